/* The HTTP/1.1 server on a libevent loop: strict about what it reads, with absolute deadlines, Host and
 * Origin checked, and a bound on everything. Why it is ours: docs/decisions/0006-http-server.md.
 *
 * One handler answers all requests. It may answer at once, later (an answer that waits for a commit, a long
 * poll), or begin an event stream. All calls happen on the loop's thread. */
#ifndef WIRE_SERVER_H
#define WIRE_SERVER_H

#include "base/units.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct event_base;
struct server;
struct request; /* one request that has not been answered yet */

struct server_options {
    const char *address; /* numeric; loopback unless told otherwise */
    int port;            /* 0: the kernel chooses, see server_port() */
    int listen_fd; /* >= 0: already listening and non-blocking, address and port are read from it, taken over;
                      else -1 */
    /* At most, 0: 1024. When there are as many, the one that matters least makes room: the oldest that never
     * was given a good answer, else the one whose last good answer lies longest back, if more than 5 s. If
     * there is none such, the new one is closed at once. */
    int connections;
    int connections_per_address; /* of one client address, of IPv6 one /64; 0: 64 and no limit for loopback */
    size_t body_bytes_limit;     /* 0: 256 KiB; more gets 413 */
    size_t header_bytes_limit;   /* 0: 8 KiB; more gets 431 */
    duration
        request_deadline_ns;   /* absolute, from the first byte, for
                                  headers and body together; 0: 10 s. Late ones get 408. The same for taking an
                                  answer, and a second more for each 16 KiB; then the connection is cut */
    duration idle_ns;          /* a connection without a request is closed after this; 0: 60 s */
    int streams;               /* event streams at most, 0: 64 */
    size_t stream_bytes_limit; /* waiting for one slow reader; beyond it he is dropped. 0: 256 KiB */
    size_t memory_bytes_limit; /* in the buffers of all connections without streams, 0: 64 MiB; at it, room is
                                  made as above, else 503 */
};

/* Called with a complete request. It must be answered exactly once, now or later, by server_answer(),
 * server_problem() or server_stream_begin(). */
typedef void server_handler(void *context, struct request *request);

/* Called for a stream that ended for any reason but server_stop(); `stream_context` is what
 * server_stream_begin got. */
typedef void server_stream_closed(void *context, void *stream_context);

/* NULL and a sentence in `error` if it cannot listen. */
struct server *server_start(struct event_base *base, const struct server_options *options,
                            server_handler *handler, server_stream_closed *closed, void *context, char *error,
                            size_t error_size);
/* Answers what waits with 503, closes everything; requests and streams still known to their owners are gone
 * then. Not from within the handler. */
void server_stop(struct server **server);
int server_port(const struct server *server);

/* --- the request; strings are NUL-terminated and live until it is answered ------------------------------ */

const char *request_method(const struct request *request);
const char *request_path(const struct request *request);                     /* decoded, without the query */
const char *request_query(const struct request *request, const char *name);  /* decoded value, or NULL */
const char *request_header(const struct request *request, const char *name); /* or NULL */
const char *request_body(const struct request *request, size_t *length);     /* "" if there is none */
/* Gives the body's memory back, for a request that will wait; it is "" from then on, and earlier pointers to
 * anything of the request must not be used any more. */
void request_drop_body(struct request *request);
bool request_abandoned(const struct request *request); /* the client has left meanwhile */

/* --- the answer ----------------------------------------------------------------------------------------- */

/* `body` is copied. `content_type` NULL: application/json. */
void server_answer(struct request *request, int status, const char *content_type, const char *body,
                   size_t length);

/* A header of the answer, before it is answered: at most eight; name and value must live until then. */
void server_answer_header(struct request *request, const char *name, const char *value);

/* Before it is answered: the connection is closed behind the answer. */
void server_answer_closes(struct request *request);

/* An RFC 9457 problem with the standard title of `status`. `pointer` may be NULL. */
void server_problem(struct request *request, int status, const char *pointer, const char *detail_format, ...)
    __attribute__((format(printf, 4, 5)));

struct stream;

/* Answers with 200 text/event-stream and keeps the connection. NULL, and it is answered, if there are too
 * many (503) or it was a HEAD. */
struct stream *server_stream_begin(struct request *request, void *stream_context);
/* Queues bytes as they are. false: too much is waiting, the stream is being dropped; do not use it again (its
 * closed callback follows from the loop). */
bool server_stream_send(struct stream *stream, const char *bytes, size_t length);

/* Counters for /metrics. */
struct server_counts {
    uint64_t requests, refused, deadlines, idle, dropped_streams, evicted;
    size_t held_bytes; /* in buffers of connections */
    unsigned connections, streams;
};
struct server_counts server_counts(const struct server *server);

#endif
