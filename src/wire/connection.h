/* The inside of the server: one connection, with the one request it may have open, and its event stream if it
 * has become one. Only server.c, connection.c, outgoing.c, request.c, strict.c and
 * stream.c know of it.
 *
 *            first byte             complete            answered            all sent
 *     IDLE ------------> READING -------------> WAITING ---------> ANSWERING ---------> IDLE
 *       |                   |                      |                    |
 *       | idle_ns           | refused, or          | the handler's      | deadline: closed
 *       v                   v deadline: 408        v business           v
 *     (closed) <------- LINGERING              STREAMING  (until the reader leaves or is too slow)
 *
 * LINGERING: the last word was said; what still comes is swallowed for a while, because closing a socket with
 * unread bytes resets it, and that would take the answer away from whoever has not read it yet. BROKEN: to be
 * closed from the loop.
 *
 * Memory: an idle connection holds no buffer. Bytes arrive in one buffer of the server; what is not a whole
 * request, or waits for its answer, moves to a buffer of the connection that grows by doubling with what
 * really came, not with what was announced. */
#ifndef WIRE_CONNECTION_H
#define WIRE_CONNECTION_H

#include "base/clock.h"
#include "wire/chunks.h"
#include "wire/head.h"
#include "wire/server.h"

#include <event2/event.h>
#include <netinet/in.h>
#include <sys/queue.h>

enum phase {
    PHASE_IDLE,
    PHASE_READING,
    PHASE_WAITING,
    PHASE_ANSWERING,
    PHASE_STREAMING,
    PHASE_LINGERING,
    PHASE_BROKEN
};

enum {
    ANSWER_HEADERS_MAX = 8,
    SCRATCH_BYTES = 64 * 1024,
    SWALLOWED_LIMITS = 64 /* of what comes behind a refused body, in body_bytes_limits */
};

struct request {
    struct connection *connection;
    size_t body_bytes;
    bool abandoned;
    const char *header_names[ANSWER_HEADERS_MAX], *header_values[ANSWER_HEADERS_MAX];
    int headers;
};

/* Bytes that wait to be sent: bytes[start, end). */
struct outgoing {
    char *bytes;
    size_t start, end, capacity;
};

struct connection {
    TAILQ_ENTRY(connection) link, turn;
    struct server *server;
    struct event *readable, *writable;
    int fd;
    enum phase phase;
    bool known;      /* has been given a good answer: in server->known, else in server->strangers */
    bool paused;     /* not looked at for reading */
    bool in_handler; /* the handler is being called for it */
    bool backlog;    /* bytes that have come were not looked at yet: in server->backlog */
    bool last;       /* no further request is taken */
    instant since;   /* accepted, or given a good answer */
    instant idle_since;
    instant deadline_by; /* of the phases READING, ANSWERING and LINGERING */

    char *bytes; /* server->scratch, or its own; bytes[start, end) are not consumed; one more is room for a
                    NUL */
    size_t start, end, capacity;
    /* Of the request that begins at bytes[start]; offsets are counted from there. */
    bool has_head;
    size_t seen; /* of the head, see head_length() */
    struct head head;
    struct chunks chunks;
    size_t body_end; /* of the body as far as it is there */
    char behind;     /* the byte that the NUL behind the body stands on */

    size_t swallowed_bytes; /* while LINGERING, or from a reader of a stream */
    size_t behind_bytes;    /* LINGERING: so many are swallowed before our end of the connection is closed */
    struct outgoing out;
    struct request request;
    struct stream *stream;
    struct in6_addr from; /* the client's address, of IPv6 the network's 64 bits only */
    bool from_loopback;
};

TAILQ_HEAD(connections, connection);

struct server {
    struct event_base *base;
    struct server_options options;
    server_handler *handler;
    server_stream_closed *closed;
    void *context;
    int fd;
    struct event *accepting, *sweep, *sweep_on, *backlog_on;
    struct connections strangers; /* by when they were accepted */
    struct connections known;     /* by when they were last given a good answer */
    struct connections backlog;   /* by turns: who has sent more requests than were taken at once */
    size_t held_bytes;            /* in all buffers of connections */
    bool deaf;                    /* too many descriptors are open: nobody is accepted until the next sweep */
    bool stopping;
    char address[64]; /* as it stands in a URL: IPv6 in brackets */
    int port;
    bool any_address;     /* bound to all of them */
    bool counts_loopback; /* the limit per address holds for loopback too */
    char date[40];        /* as the Date header has it */
    struct server_counts counts;
    char scratch[SCRATCH_BYTES];
};

/* --- connection.c -------------------------------------------------------------------------------------- */

/* Takes over `fd`. NULL without memory. */
struct connection *connection_new(struct server *server, int fd, const struct sockaddr *address);
void connection_free(struct connection *connection);  /* not while a request is WAITING */
void connection_break(struct connection *connection); /* the loop will free it */
/* Does what is due; true if that cut the connection, which may be freed then. */
bool connection_sweep(struct connection *connection, instant now);

/* On with what it has sent already; it may be freed then. */
void connection_take_backlog(struct connection *connection);

/* The answer to the request has been given to connection_send(): on to the next. `good`: not an error. */
void connection_answered(struct connection *connection, bool good);

/* Says `status` in the middle of things and lingers; the caller must not use the connection's request any
 * more. */
void connection_refuse(struct connection *connection, int status, const char *detail);

/* Closes the connection that matters least. False if all that come into question are in use. */
struct room {
    const struct connection *except; /* not this one; may be NULL */
    const struct in6_addr *from;     /* only one of that address; may be NULL */
    bool holding;                    /* only one that holds memory */
};
bool server_make_room(struct server *server, const struct room *room);

/* Bytes wait that were not looked at: connection_take_backlog() follows when others have had their turn. */
void backlog_join(struct connection *connection);
void backlog_leave(struct connection *connection); /* also if it is not in it */

/* --- outgoing.c ---------------------------------------------------------------------------------------- */

/* Doubles `capacity` until it is `needed` or more. All connections together have a bound: at it, others make
 * room, unless it `must` be. False without memory. */
bool connection_grow(struct connection *connection, char **bytes, size_t *capacity, size_t needed, bool must);
void connection_shrink(
    struct connection *connection); /* what came and is not needed any more is given back */
void connection_give_back(struct connection *connection, char **bytes, size_t *capacity);

bool socket_would_block(void); /* says errno */

/* Sends, or keeps what cannot be sent at once. Breaks the connection if it cannot be sent at all. */
void connection_send(struct connection *connection, const char *head, size_t head_bytes, const char *body,
                     size_t body_bytes);
/* Adds to what waits, without sending. False without memory. */
bool connection_queue(struct connection *connection, const char *bytes, size_t length);
void connection_flush(struct connection *connection); /* sends what waits, as far as the socket takes it */

/* --- request.c ----------------------------------------------------------------------------------------- */

/* A problem document; NULL without memory. To be freed by the caller. */
char *problem_text(int status, const char *pointer, const char *detail, size_t *length);

/* The head of an answer, NUL-terminated, into out[0, size). `length` SIZE_MAX: the answer ends with the
 * connection. Returns its length, 0 if it does not fit. */
size_t answer_head(const struct connection *connection, char *out, size_t size, int status, const char *type,
                   size_t length);

/* --- strict.c: 0, or the status to refuse a request with once its head is there, and a sentence. ----------
 */

int strict_check(const struct connection *connection, const char **why);

/* --- stream.c ------------------------------------------------------------------------------------------ */

void stream_ended(struct connection *connection);      /* it is being freed */
void stream_sweep(struct stream *stream, instant now); /* keep-alive comments */

#endif
