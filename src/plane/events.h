/* What watchers are told: a ring of the newest events, for replay, and the open streams.
 *
 * Durable before visible holds here too: an event is added with the ticket of the batch that carries its
 * records and reaches nobody before that batch is committed. Events of a batch that failed are taken back. */
#ifndef PLANE_EVENTS_H
#define PLANE_EVENTS_H

#include "base/units.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct request;
struct stream;

enum {
    EVENTS_MAX = 4096,
    WATCHERS_MAX = 64,
    EVENT_DATA_MAX = 1024,
    REPLAY_MAX_BYTES = 768 * 1024,
    STREAM_WAITING_BYTES = 1024 * 1024 /* a slow reader's queue; a whole replay must fit */
};

/* What an event tells; members that do not apply are NULL, 0 or INSTANT_NONE. */
struct told {
    const char *name; /* incident, command, blocked, control, node, fault, notice */
    instant at;
    const char *step;
    const char *node;
    const char *state;
    const char *text;
    uint64_t incident, command, fault;
};

struct watcher {
    struct stream *stream; /* NULL: free, or being dropped */
    bool taken;            /* until the server has said that it is closed */
};

struct events {
    struct kept {
        uint64_t ticket;
        char *line; /* the whole frame: id, event, data */
        uint32_t length;
    } ring[EVENTS_MAX];
    uint64_t first_id; /* ids so far are first_id .. next_id-1; those below released_id are visible */
    uint64_t next_id;
    uint64_t released_id;
    struct watcher watchers[WATCHERS_MAX];
};

/* `first_id` lies above every id of an earlier start. */
void events_init(struct events *events, uint64_t first_id);
void events_fini(struct events *events);

void events_add(struct events *events, uint64_t ticket, const struct told *told);

/* Everything up to `ticket` is durable: lets it out to the streams. */
void events_release(struct events *events, uint64_t ticket);

/* A commit failed: what was not let out never happened. */
void events_discard(struct events *events);

/* Answers `request` with a stream; replays what came after id `after` (UINT64_MAX: nothing) as far
 * as it is kept, at most REPLAY_MAX_BYTES of the newest. */
void events_watch(struct events *events, struct request *request, uint64_t after);
void events_closed(struct watcher *watcher); /* from server_stream_closed */

/* A comment line to every stream, so that dead ones are noticed and proxies keep them open. */
void events_ping(struct events *events);

#endif
