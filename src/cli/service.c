/* service: the built-in service alone, as a node agent starts it. */
#include "service/service.h"

#include "base/text.h"
#include "cli/cli.h"
#include "wire/client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ADDRESS_SIZE = 64 };

/* `127.0.0.1:9001` or `http://127.0.0.1:9001`. */
static bool read_address(const char *given, char host[ADDRESS_SIZE], uint16_t *port)
{
    char url[256];
    int number;
    if (strncmp(given, "http://", 7) == 0)
        text_copy(url, sizeof url, given);
    else
        snprintf(url, sizeof url, "http://%s", given);
    if (!client_parse_url(url, host, ADDRESS_SIZE, &number))
        return false;
    *port = (uint16_t)number;
    return true;
}

/* Port 0 is legal here and in no URL. */
static bool read_listen(const char *given, char host[ADDRESS_SIZE], uint16_t *port)
{
    const char *colon = strrchr(given, ':');
    if (!colon || strcmp(colon, ":0") != 0)
        return read_address(given, host, port);
    snprintf(host, ADDRESS_SIZE, "%.*s", (int)(colon - given), given);
    *port = 0;
    return true;
}

int verb_service(const struct verb *verb, int argc, char **argv)
{
    struct service_options options = {.page_fd = -1, .vitals_fd = -1};
    const char *listen = "127.0.0.1:0", *folder = "primary";
    const char *primary = NULL;
    struct flag_list upstreams = {0};
    char address[ADDRESS_SIZE], primary_host[ADDRESS_SIZE], hosts[FLAG_LIST_MAX][ADDRESS_SIZE];
    options.name = "service";
    const struct flag flags[] = {
        {"name", 0, FLAG_TEXT, &options.name, "NAME", "of the node it runs on (service)"},
        {"listen", 0, FLAG_TEXT, &listen, "ADDRESS:PORT", "(127.0.0.1:0, the kernel chooses)"},
        {"data", 0, FLAG_TEXT, &options.data_dir, "FOLDER", "where it writes (data)"},
        {"standby", 0, FLAG_TEXT, &options.standby_dir, "FOLDER", "where it can write instead"},
        {"folder", 0, FLAG_TEXT, &folder, "WHICH", "primary or standby, to begin with (primary)"},
        {"upstream", 0, FLAG_LIST, &upstreams, "URL", "a service that it asks first; at most 8 times"},
        {"capacity", 0, FLAG_NUMBER, &options.capacity, "N", "requests a second; 0: they cost no work (0)"},
        {"config", 0, FLAG_TEXT, &options.config_path, "FILE", "its configuration, read again at SIGHUP"},
        {"primary", 0, FLAG_TEXT, &primary, "URL", "share the load of that service, which keeps the data"},
        {"page-fd", 0, FLAG_WHOLE, &options.page_fd, "FD", "the fault page"},
        {"vitals-fd", 0, FLAG_WHOLE, &options.vitals_fd, "FD", "where it tells its vitals"},
        {0}};
    int count;
    int code = flags_read(verb, flags, argc, argv, 0, 0, &count);
    if (code >= 0)
        return code;
    if (!read_listen(listen, address, &options.port))
        return fail(EXIT_USAGE, "service: --listen wants ADDRESS:PORT, not '%s'", listen);
    options.address = address;
    if (strcmp(folder, "standby") == 0)
        options.folder = KV_STANDBY;
    else if (strcmp(folder, "primary") != 0)
        return fail(EXIT_USAGE, "service: --folder is primary or standby, not '%s'", folder);
    for (size_t i = 0; i < upstreams.count; i++) {
        struct service_upstream *upstream = &options.upstreams[i];
        if (!read_address(upstreams.items[i], hosts[i], &upstream->port))
            return fail(EXIT_USAGE, "service: --upstream wants a URL, not '%s'", upstreams.items[i]);
        upstream->host = hosts[i];
    }
    options.upstream_count = upstreams.count;
    options.primary.host = primary ? primary_host : NULL;
    if (primary && !read_address(primary, primary_host, &options.primary.port))
        return fail(EXIT_USAGE, "service: --primary wants a URL, not '%s'", primary);
    if (!primary && !options.data_dir)
        options.data_dir = "data";
    return service_main(options);
}
