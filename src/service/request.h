/* A user's request to the built-in service, from its arrival to its answer.
 *
 *     arrived ──> upstreams asked ──> value read ───────────────────────> answered
 *        │               │               └─ change staged ──> committed ──┘
 *        └─ bad: 4xx     └─ one failed: 502                   └─ failed: 503
 */
#ifndef SERVICE_REQUEST_H
#define SERVICE_REQUEST_H

#include "service/kv.h"
#include "service/service.h"
#include "service/upstream.h"

#include <sys/queue.h>

struct event;
struct event_base;
struct evhttp;
struct request;

TAILQ_HEAD(request_list, request);

/* What requests work on: the service while it runs. */
struct desk {
    const char *name;
    struct kv *kv;
    struct vitals *vitals;
    struct upstream *upstreams[SERVICE_UPSTREAMS_MAX];
    size_t upstream_count;
    bool closing;               /* whatever still comes is refused */
    struct event *commit;       /* activated by the first change of a loop round */
    struct request_list asking; /* upstreams are being asked */
    struct request_list staged; /* waiting for the commit, in their order */
};

void desk_open(struct desk *desk, struct event_base *base,
               struct evhttp *http); /* takes requests from now on */
void desk_commit(struct desk *desk); /* commits what is staged and answers for it */
void desk_close(struct desk *desk);  /* answers all that is open: commits, and refuses the rest */

#endif
