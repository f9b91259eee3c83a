/* Who the request is meant for and where it comes from: a missing or foreign Host (DNS rebinding), a foreign
 * Origin (a page elsewhere talking to this server). */
#include "wire/connection.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define FORBIDDEN 403

static bool is_address(const char *host)
{
    struct in6_addr address;
    size_t length = strlen(host);
    char plain[64];
    if (host[0] != '[')
        return inet_pton(AF_INET, host, &address) == 1;
    if (length < 3 || length >= sizeof plain || host[length - 1] != ']')
        return false;
    memcpy(plain, host + 1, length - 2);
    plain[length - 2] = '\0';
    return inet_pton(AF_INET6, plain, &address) == 1;
}

/* True for `host[:port]` if it names this server. Behind all addresses of the machine any numeric one is
 * believed: a page that rebinds its own name to this machine still sends its name. */
static bool is_this_server(const struct server *server, const char *authority)
{
    char host[64];
    const char *end = authority[0] == '[' ? strchr(authority, ']') : strchr(authority, ':');
    if (authority[0] == '[' && !end)
        return false;
    size_t length = !end ? strlen(authority) : (size_t)(end - authority) + (*end == ']');
    if (length == 0 || length >= sizeof host)
        return false;
    memcpy(host, authority, length);
    host[length] = '\0';
    long port = 80;
    if (authority[length] == ':') {
        const char *digits = authority + length + 1;
        if (strspn(digits, "0123456789") != strlen(digits) || !*digits || strlen(digits) > 5)
            return false;
        port = strtol(digits, NULL, 10);
    } else if (authority[length]) {
        return false;
    }
    return port == server->port && (strcasecmp(host, "localhost") == 0 || strcmp(host, "127.0.0.1") == 0 ||
                                    strcmp(host, "[::1]") == 0 || strcasecmp(host, server->address) == 0 ||
                                    (server->any_address && is_address(host)));
}

int strict_check(const struct connection *connection, const char **why)
{
    const struct server *server = connection->server;
    const struct head *head = &connection->head;
    const char *bytes = connection->bytes + connection->start;
    if (head->host && !is_this_server(server, bytes + head->host)) {
        *why = "Host is not this server; use the address that it listens on";
        return FORBIDDEN;
    }
    const char *origin = head->origin ? bytes + head->origin : NULL;
    if (origin && (strncmp(origin, "http://", 7) != 0 || !is_this_server(server, origin + 7))) {
        *why = "Origin is another site; pages from elsewhere may not talk to this server";
        return FORBIDDEN;
    }
    return 0;
}
