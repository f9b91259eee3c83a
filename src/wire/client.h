/* An HTTP client on an event loop: bounded, with an absolute deadline per request.
 *
 * A wrapper of libevent's evhttp client. Keeps a few connections to one server open and reuses them; a
 * request that finds them all busy waits in a bounded queue. One that is not answered in time has its
 * connection reset, so that nobody between here and the server keeps it half open for an answer. Used by node
 * agents, by their load and by the command line. */
#ifndef WIRE_CLIENT_H
#define WIRE_CLIENT_H

#include "base/units.h"

#include <stdbool.h>
#include <stddef.h>

struct event_base;
struct client;

struct client_options {
    const char *host; /* a numeric address or localhost; copied */
    int port;
    int connections;           /* kept open at most, 1..256 */
    int queue;                 /* requests waiting beyond that, 0..4096; more are refused */
    size_t answer_bytes_limit; /* a larger answer is an error; 0: 8 MiB */
    const char *token;         /* sent as `Authorization: Bearer TOKEN`, NULL: none; copied */
};

struct answer {
    int status;        /* HTTP status, or 0 if there was none */
    const char *error; /* a sentence when status is 0, else NULL */
    const char *body;  /* NUL-terminated besides `length`; valid during the call only */
    size_t length;
    duration took_ns; /* from client_send() to the end of the answer, waiting included */
};

/* Called exactly once for each accepted request, from the loop; also when the client is freed. */
typedef void client_done(void *context, const struct answer *answer);

struct client *client_new(struct event_base *base, const struct client_options *options);

/* Fails what is under way (their client_done is called with an error), closes the connections. Forgets the
 * owner's variable. Not to be called from within a client_done of the same client. */
void client_free(struct client **client);

/* `body` may be NULL. `content_type` may be NULL for JSON. Copies all it needs. Returns 0, -EAGAIN if the
 * queue is full, -EINVAL for an unusable method or path. `method` is GET, POST, PUT or DELETE. */
int client_send(struct client *client, const char *method, const char *path, const char *content_type,
                const char *body, size_t body_bytes, duration timeout_ns, client_done *done, void *context);

/* Cuts the way to the server, as a network does that loses everything: what is under way and what is sent
 * meanwhile waits, and fails at its deadline unless the way is open again before. Not to be called from
 * within a client_done of the same client. */
void client_cut(struct client *client, bool cut);

/* No later request goes over a connection that is open now: each is closed instead of being used again. Not
 * to be called from within a client_done of the same client. */
void client_renew(struct client *client);

int client_waiting(const struct client *client); /* under way and queued */

/* Splits `http://host:port[/]` (the port defaults to 80); false if it is not that. */
bool client_parse_url(const char *url, char *host, size_t host_size, int *port);

/* The same, blocking: runs a loop of its own until the answer came. Returns the HTTP status or 0; `*body`
 * (may be NULL on the caller's side to drop it) gets a malloc'ed, NUL-terminated body, the error sentence
 * when 0. `client_call_as` sends a token along (may be NULL). */
int client_call_as(const char *token, const char *host, int port, const char *method, const char *path,
                   const char *content_type, const char *body, size_t body_bytes, duration timeout_ns,
                   char **answer_body);
int client_call(const char *host, int port, const char *method, const char *path, const char *content_type,
                const char *body, size_t body_bytes, duration timeout_ns, char **answer_body);

/* --- Server-Sent Events --------------------------------------------------------------------------------- */

struct event_stream;

/* One event: `name` and `data` are NUL-terminated and valid during the call only. `name` NULL: the stream
 * ended or failed, `data` says why; no further call follows. */
typedef void event_stream_handler(void *context, const char *name, uint64_t id, const char *data);

struct event_stream *event_stream_open(struct event_base *base, const char *host, int port, const char *path,
                                       event_stream_handler *handler, void *context);
void event_stream_close(struct event_stream **stream);

#endif
