#include "wire/http_words.h"

#include <errno.h>
#include <event2/bufferevent.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>

/* evhttp has no "never". Our own deadlines are absolute and shorter. */
#define NEVER_S (366 * 24 * 3600)

#define HEADER_BYTES_LIMIT 65536

void http_failure(char *out, size_t size, int failure, int error_number, size_t answer_bytes_limit)
{
    switch (failure) {
    case EVREQ_HTTP_TIMEOUT:
        snprintf(out, size, "no answer in time");
        break;
    case EVREQ_HTTP_EOF:
        snprintf(out, size, "the server closed the connection before its answer was complete");
        break;
    case EVREQ_HTTP_INVALID_HEADER:
        snprintf(out, size, "the answer is not HTTP");
        break;
    case EVREQ_HTTP_DATA_TOO_LONG:
        snprintf(out, size, "the answer has more than %zu bytes", answer_bytes_limit);
        break;
    case EVREQ_HTTP_BUFFER_ERROR:
        snprintf(out, size, "the connection broke before the answer was complete");
        break;
    default:
        if (error_number == ECONNREFUSED)
            snprintf(out, size, "connection refused");
        else if (error_number == 0 || error_number == EINPROGRESS || error_number == EAGAIN)
            snprintf(out, size, "cannot connect");
        else
            snprintf(out, size, "cannot connect: %s", strerror(error_number));
    }
}

struct evhttp_connection *http_connect(struct event_base *base, const char *host, int port)
{
    /* Without this the resolver may offer ::1 first, where a server on 127.0.0.1 does not listen. */
    const char *address = strcmp(host, "localhost") == 0 ? "127.0.0.1" : host;
    struct evhttp_connection *connection =
        evhttp_connection_base_new(base, NULL, address, (unsigned short)port);
    const struct timeval never = {.tv_sec = NEVER_S};
    if (connection) {
        evhttp_connection_set_timeout_tv(connection, &never);
        evhttp_connection_set_max_headers_size(connection, HEADER_BYTES_LIMIT);
    }
    return connection;
}

static void on_connect_event(struct bufferevent *transport, short what, void *context)
{
    struct http_connecting *connecting = context;
    connecting->error_number = what & BEV_EVENT_ERROR ? EVUTIL_SOCKET_ERROR() : 0;
    bufferevent_setcb(transport, NULL, NULL, connecting->original, connecting->original_context);
    connecting->original(transport, what, connecting->original_context);
}

void http_watch_connecting(struct evhttp_connection *connection, struct http_connecting *connecting)
{
    struct bufferevent *transport = evhttp_connection_get_bufferevent(connection);
    bufferevent_data_cb on_read, on_write;
    *connecting = (struct http_connecting){0};
    bufferevent_getcb(transport, &on_read, &on_write, &connecting->original, &connecting->original_context);
    if (!on_read && !on_write && connecting->original)
        bufferevent_setcb(transport, NULL, NULL, on_connect_event, connecting);
}

void http_authority(char *out, size_t size, const char *host, int port)
{
    snprintf(out, size, strchr(host, ':') ? "[%s]:%d" : "%s:%d", host, port);
}
