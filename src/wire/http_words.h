/* What the client and the event stream reader share: how failures are told, and addresses. */
#ifndef WIRE_HTTP_WORDS_H
#define WIRE_HTTP_WORDS_H

#include <event2/bufferevent.h>
#include <event2/http.h>
#include <stddef.h>

/* A sentence for what evhttp reports, or, if `failure` is -1, for the errno of a connection that did not come
 * about. */
void http_failure(char *out, size_t size, int failure, int error_number, size_t answer_bytes_limit);

/* A connection to host:port whose own timeouts, which every byte restarts, never strike. NULL without memory.
 */
struct evhttp_connection *http_connect(struct event_base *base, const char *host, int port);

/* Keeps the errno of a connection that does not come about: evhttp shuts the socket down before it tells, and
 * that has an errno of its own. To be called right after the request was made; must live as long as the
 * connection. */
struct http_connecting {
    int error_number;
    bufferevent_event_cb original;
    void *original_context;
};
void http_watch_connecting(struct evhttp_connection *connection, struct http_connecting *connecting);

/* `host:port` as a Host header has it. */
void http_authority(char *out, size_t size, const char *host, int port);

#endif
