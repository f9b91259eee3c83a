/* relay: the link in front of a service, as a node agent starts it. */
#include "inject/relay.h"

#include "cli/cli.h"
#include "wire/client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int verb_relay(const struct verb *verb, int argc, char **argv)
{
    struct relay_options options = {.listen_fd = -1, .echo_fd = -1, .page_fd = -1};
    const char *to = NULL;
    char url[256], host[256];
    int port;
    const struct flag flags[] = {
        {"listen-fd", 0, FLAG_WHOLE, &options.listen_fd, "FD", "listening socket of the users"},
        {"echo-fd", 0, FLAG_WHOLE, &options.echo_fd, "FD", "listening socket of the echo"},
        {"page-fd", 0, FLAG_WHOLE, &options.page_fd, "FD", "the fault page"},
        {"to", 0, FLAG_TEXT, &to, "ADDRESS:PORT", "the service"},
        {0}};
    int count;
    int code = flags_read(verb, flags, argc, argv, 0, 0, &count);
    if (code >= 0)
        return code;
    if (options.listen_fd < 0 || !to)
        return fail(EXIT_USAGE, "relay: --listen-fd and --to are needed");
    snprintf(url, sizeof url, "http://%s", to);
    if (!client_parse_url(url, host, sizeof host, &port))
        return fail(EXIT_USAGE, "relay: --to wants ADDRESS:PORT, not '%s'", to);
    options.to_host = host;
    options.to_port = (uint16_t)port;
    return relay_main(options);
}
