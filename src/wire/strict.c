/* What libmicrohttpd 0.9.75 to 1.0 lets pass and we do not: two lengths, a length beside chunks, blanks in
 * names, a missing or foreign Host (DNS rebinding), a foreign Origin (a page elsewhere talking to this
 * server), a target that cannot be decoded. A bare LF as line end is taken, as RFC 9112 section 2.2 allows.
 */
#include "wire/connection.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct headers {
    const char *host, *origin, *length, *encoding;
    int hosts, origins, lengths, encodings;
    bool bad_name;
};

/* RFC 9110 section 5.6.2: what a header's name is made of. */
static bool is_token(const char *name, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)name[i];
        if (c <= ' ' || c >= 0x7f || strchr("\"(),/:;<=>?@[\\]{}", c))
            return false;
    }
    return length > 0;
}

static enum MHD_Result look_at(void *context, enum MHD_ValueKind kind, const char *name, size_t name_length,
                               const char *value, size_t value_length)
{
    (void)kind;
    (void)value_length;
    struct headers *headers = context;
    if (!value)
        value = "";
    if (!is_token(name, name_length))
        headers->bad_name = true;
    else if (name_length == 4 && strcasecmp(name, "Host") == 0)
        headers->hosts++, headers->host = value;
    else if (name_length == 6 && strcasecmp(name, "Origin") == 0)
        headers->origins++, headers->origin = value;
    else if (name_length == 14 && strcasecmp(name, "Content-Length") == 0)
        headers->lengths++, headers->length = value;
    else if (name_length == 17 && strcasecmp(name, "Transfer-Encoding") == 0)
        headers->encodings++, headers->encoding = value;
    return MHD_YES;
}

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
        char *after;
        port = strtol(authority + length + 1, &after, 10);
        if (*after || after == authority + length + 1)
            return false;
    } else if (authority[length]) {
        return false;
    }
    return port == server->port && (strcasecmp(host, "localhost") == 0 || strcmp(host, "127.0.0.1") == 0 ||
                                    strcmp(host, "[::1]") == 0 || strcasecmp(host, server->address) == 0 ||
                                    (server->any_address && is_address(host)));
}

/* Decimal digits only; SIZE_MAX - 1 for what is larger than any body. */
static bool parse_length(const char *text, size_t *length)
{
    size_t digits = strlen(text);
    if (digits == 0 || strspn(text, "0123456789") != digits)
        return false;
    *length = digits > 18 ? SIZE_MAX - 1 : (size_t)strtoull(text, NULL, 10);
    return true;
}

static int check_framing(const struct headers *headers, size_t *announced, const char **why)
{
    *announced = 0;
    *why = NULL;
    if (headers->bad_name)
        *why = "a header's name has characters that names do not have";
    else if (headers->encodings && headers->lengths)
        *why = "Content-Length and Transfer-Encoding exclude each other";
    else if (headers->lengths > 1)
        *why = "more than one Content-Length";
    else if (headers->encodings > 1 || (headers->encodings && strcasecmp(headers->encoding, "chunked") != 0))
        *why = "the only Transfer-Encoding understood is chunked";
    else if (headers->lengths && !parse_length(headers->length, announced))
        *why = "Content-Length must be a decimal number";
    if (headers->encodings)
        *announced = SIZE_MAX;
    return *why ? MHD_HTTP_BAD_REQUEST : 0;
}

static int check_names(const struct server *server, const struct headers *headers, const char *version,
                       const char **why)
{
    if (headers->hosts > 1 || (headers->hosts == 0 && strcmp(version, MHD_HTTP_VERSION_1_1) == 0)) {
        *why = "exactly one Host is needed";
        return MHD_HTTP_BAD_REQUEST;
    }
    if (headers->hosts && !is_this_server(server, headers->host)) {
        *why = "Host is not this server; use the address that it listens on";
        return MHD_HTTP_FORBIDDEN;
    }
    if (headers->origins > 1 || (headers->origins && (strncmp(headers->origin, "http://", 7) != 0 ||
                                                      !is_this_server(server, headers->origin + 7)))) {
        *why = "Origin is another site; pages from elsewhere may not talk to this server";
        return MHD_HTTP_FORBIDDEN;
    }
    return 0;
}

int strict_check(struct connection *connection, const char *method, const char *version, size_t *announced,
                 const char **why)
{
    const struct server *server = connection->server;
    struct headers headers = {0};
    MHD_get_connection_values_n(connection->mhd, MHD_HEADER_KIND, look_at, &headers);
    int status = check_framing(&headers, announced, why);
    if (status)
        return status;
    const union MHD_ConnectionInfo *size =
        MHD_get_connection_info(connection->mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    if (size && size->header_size > server->options.header_bytes_limit) {
        *why = "the headers are too long";
        return MHD_HTTP_REQUEST_HEADER_FIELDS_TOO_LARGE;
    }
    if (connection->request.malformed || !is_token(method, strlen(method))) {
        *why = "the request's method or target cannot be decoded";
        return MHD_HTTP_BAD_REQUEST;
    }
    return check_names(server, &headers, version, why);
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

size_t strict_unescape(void *unused, struct MHD_Connection *mhd, char *text)
{
    (void)unused;
    struct connection *connection = connection_of(mhd);
    char *to = text;
    for (const char *from = text; *from; from++) {
        int high = *from == '%' ? hex_digit(from[1]) : -1;
        int low = high >= 0 ? hex_digit(from[2]) : -1;
        if (*from == '%' && (low < 0 || (high == 0 && low == 0))) {
            if (connection)
                connection->request.malformed = true;
        } else if (*from == '%') {
            *to++ = (char)(high << 4 | low);
            from += 2;
            continue;
        }
        *to++ = *from;
    }
    *to = '\0';
    return (size_t)(to - text);
}
