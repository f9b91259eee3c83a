/* An upstream: another service that this one asks before it answers. Connections are kept and used again. */
#ifndef SERVICE_UPSTREAM_H
#define SERVICE_UPSTREAM_H

#include "base/units.h"

#include <stdbool.h>
#include <stdint.h>

#define UPSTREAM_DEADLINE_NS (400 * MILLISECOND) /* of one call, connecting included */
#define UPSTREAM_CONCURRENCY 64                  /* calls; one more fails at once */

struct event_base;
struct upstream;

/* `host` is a numeric address. NULL if there is no memory. */
struct upstream *upstream_new(struct event_base *base, const char *host, uint16_t port);
void upstream_free(struct upstream **upstream); /* no call may be under way */

/* One call; the memory is the caller's, untouched by it while `connection` is not NULL. */
struct upstream_call {
    struct upstream *upstream;
    struct evhttp_connection *connection;
    struct evhttp_request *request;
    struct event *deadline;
    void (*done)(void *arg, bool answered);
    void *arg;
};

/* GET `path`. `done` is told exactly once, maybe before this returns: true if the upstream answered in time
 * with anything below 500. */
void upstream_get(struct upstream *upstream, const char *path, struct upstream_call *call,
                  void (*done)(void *arg, bool answered), void *arg);

/* Ends a call that is under way without telling; fine if it is not. */
void upstream_cancel(struct upstream_call *call);

#endif
