/* What the parts of the relay share, for relay*.c alone.
 *
 *     relay.c             the process: who is listened to, draining, ending
 *     relay_connection.c  one user, and the service or the echo behind him
 *     relay_link.c        what all of them go through on their way back, and what faults do to it */
#ifndef INJECT_RELAY_STATE_H
#define INJECT_RELAY_STATE_H

#include "base/units.h"
#include "inject/page.h"
#include "inject/relay.h"

#include <event2/util.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/socket.h>

/* How often the page is looked at for what must strike, or end, while nothing moves: only while anybody is
 * connected, since whoever comes is struck at the door. */
#define RELAY_WATCH_NS (35 * MILLISECOND)
#define RELAY_PUMP_NS  (10 * MILLISECOND) /* the same while bytes wait for a link of little bandwidth */

struct bufferevent;
struct delay_line;
struct evbuffer;
struct evconnlistener;
struct event;
struct event_base;
struct relay;

struct connection {
    struct relay *relay;
    struct bufferevent *user;
    struct bufferevent *service;    /* NULL: an echo */
    struct evbuffer *waiting;       /* towards the user, for the link to be free; in the queue unless empty */
    size_t carried;                 /* of what waited, in this turn */
    struct delay_line *line;        /* after that */
    int64_t touched_at;             /* last bytes of either side */
    bool awaiting;                  /* the user spoke last, or nobody did */
    bool asked;                     /* the user spoke, and the service has not answered since */
    bool lost;                      /* a reply was, and with it all that follows */
    bool connected;                 /* to the service */
    bool second;                    /* to its second instance */
    bool user_ended, service_ended; /* that side sends no more */
    bool user_shut, service_shut;   /* we told that side that no more is coming */
    LIST_ENTRY(connection) link;
    TAILQ_ENTRY(connection) turn;
};

struct relay {
    struct event_base *base;
    struct evconnlistener *users, *echoes;
    struct event *terminate, *interrupt, *drain, *sweep, *watch;
    struct page *page;
    uint64_t incarnations[FAULT_COUNT];
    uint64_t chance, draws; /* a stream of base/random.h, and how many were drawn */
    int64_t link_free_at;   /* what the link of little bandwidth has taken will be over then */
    unsigned turns;         /* connections made to the service while it had two instances */
    struct sockaddr_storage to;
    socklen_t to_length;
    LIST_HEAD(, connection) connections;
    TAILQ_HEAD(, connection) queue; /* those with bytes that wait for the link, in their turns */
    unsigned count, capacity;
    bool draining;     /* new users are closed at once */
    bool ending;       /* no more is accepted; over when the last connection is */
    bool paused;       /* accepting failed a moment ago */
    int64_t finish_by; /* INSTANT_NEVER unless draining or ending */
    duration finish_quiet_ns;
};

/* --- relay.c --- */

/* One place says who is listened to; all that changes an answer calls it. */
void relay_listen_as_due(struct relay *relay);

void relay_watch_in(struct relay *relay, duration in);

/* --- relay_connection.c --- */

/* Takes the descriptor over. */
void relay_connect(struct relay *relay, evutil_socket_t fd, bool echo);
void relay_disconnect(struct connection *connection);

/* Both ends hear a reset, and what was under way is gone. */
void relay_reset(struct connection *connection);

/* Bytes on their way back to the user. */
size_t relay_held(const struct connection *connection);

/* When this descriptor is closed the other end hears a reset. */
void relay_reset_on_close(evutil_socket_t fd);

/* --- relay_link.c --- */

/* The intensity that strikes this relay now, 0: none. */
double relay_fault(const struct relay *relay, enum fault_kind kind);
bool relay_is_cut(const struct relay *relay);

/* The link takes bytes of those who wait in their turns, as many as it can. Settles nobody, since nothing
 * more is held than before. */
void relay_carry(struct relay *relay);

/* All bytes from one to the other, less those that are lost: of each byte that `share`. */
void relay_pour(struct relay *relay, struct evbuffer *from, struct evbuffer *to, double share);

/* Whether what the service says now is lost; to be asked once for each piece of it. */
bool relay_loses(struct connection *connection);

#endif
