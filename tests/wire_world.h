/* A small world for conversations over real sockets: one event loop with one server in it, whose handler
 * answers by path, and plain sockets that say whatever a test wants, byte for byte. All in one thread:
 * nothing sleeps, every wait turns the loop until something has happened, and fails the test after
 * PATIENCE_NS. */
#ifndef TESTS_WIRE_WORLD_H
#define TESTS_WIRE_WORLD_H

#include "base/units.h"
#include "wire/server.h"

#include <event2/event.h>
#include <stdbool.h>

#define PATIENCE_NS (10 * SECOND)
#define HELD_MAX    64

/* What the handler does: /now answers at once with {"now":true}; /echo with the body; /length with its
 * length; /hold-bare like /hold, but without the body; /tell with method, path, query `q` and header X-Q;
 * /hold keeps the request in `held`; /events begins a stream, its begin replays Last-Event-ID; /bytes?n=N
 * answers with N bytes; all else is a 404 problem. */
struct world {
    struct event_base *base;
    struct server *server;
    int port;
    struct request *held[HELD_MAX];
    int held_count;
    struct stream *streams[HELD_MAX];
    int streams_count, streams_closed;
    int requests;
};

void world_start(struct world *world,
                 const struct server_options *options); /* NULL: defaults on a free port */
void world_stop(struct world *world);

instant world_now(void);
void world_turn(struct world *world); /* once around the loop, waiting 5 ms at most */

/* Turns the loop until the expression holds. */
#define WAIT_FOR(world, expression)                                                                          \
    do {                                                                                                     \
        instant wait_until = world_now() + PATIENCE_NS;                                                      \
        while (!(expression)) {                                                                              \
            if (world_now() > wait_until)                                                                    \
                fail_msg("waited in vain for: %s", #expression);                                             \
            world_turn(world);                                                                               \
        }                                                                                                    \
    } while (0)

/* The other end: a socket without any library in front of it. */
struct peer {
    int fd;
    char *heard; /* all bytes that came, NUL-terminated */
    size_t heard_bytes;
    bool closed; /* by the server */
};

void peer_connect(struct peer *peer, struct world *world);
void peer_say(struct peer *peer, struct world *world, const char *text);
void peer_say_bytes(struct peer *peer, struct world *world, const char *bytes, size_t length);
/* The same with `$` replaced by the server's port, as the right Host depends on it; peer_ask() forgets what
 * was heard before and waits for the answer. */
void peer_say_at(struct peer *peer, struct world *world, const char *text);
void peer_ask(struct peer *peer, struct world *world, const char *text);
bool peer_try_say(struct peer *peer, const char *text); /* false if the socket takes nothing or is broken */
void peer_listen(struct peer *peer);                    /* takes what has come */
void peer_forget(struct peer *peer);                    /* what was heard */
void peer_close(struct peer *peer);

/* True once `count` complete answers with Content-Length were heard. */
bool peer_has_answers(struct peer *peer, int count);
bool peer_heard(struct peer *peer, const char *text);
bool peer_is_closed(struct peer *peer);
int peer_status(const struct peer *peer); /* of the first answer, or 0 */

/* A server that does what a test wants it to: a listening socket and the newest connection to it. */
struct actor {
    struct peer peer;
    int listener, port, accepted;
};

void actor_start(struct actor *actor);
bool actor_accepts(struct actor *actor);
void actor_hears(struct actor *actor, struct world *world,
                 bool fresh); /* a request; on a new connection if `fresh` */
void actor_hang_up(struct actor *actor);
void actor_stop(struct actor *actor);

#endif
