/* A user's request to the built-in service, from its arrival to its answer.
 *
 *     arrived ──> waits for its turn ──> upstreams asked ──> value read ───────────────────────> answered
 *        │           and its work               │               └─ change staged ──> committed ──┘
 *        ├─ bad: 4xx, too much: 429, 503        └─ one failed: 502                   └─ failed: 503, 507
 *        └─ no route: 500
 *
 * Turns are only waited for if a request costs work (--capacity). They are taken one by one between rounds of
 * the loop, so that whoever has no work to do, a node agent that orders shedding above all, is answered at
 * once however many wait. The work of users who have given up is done like any other, which is what keeps a
 * retry storm going; only while load is being shed they are passed over.
 *
 * A second instance has no map. After the work and the upstreams it hands the request to the primary, marked
 * as worked, and answers what that answers. */
#ifndef SERVICE_REQUEST_H
#define SERVICE_REQUEST_H

#include "service/config.h"
#include "service/kv.h"
#include "service/service.h"
#include "service/shed.h"
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
    struct kv *kv;            /* NULL: a second instance */
    struct upstream *primary; /* NULL: this is the primary */
    struct vitals *vitals;
    const struct page *page; /* NULL: no faults */
    struct config config;
    struct shed shed; /* knows the capacity */
    int hurry_fd;     /* work ends early when it becomes readable */
    struct upstream *upstreams[SERVICE_UPSTREAMS_MAX];
    size_t upstream_count;
    bool closing;                /* whatever still comes is refused */
    struct event *turn;          /* the next request's; only if there is work */
    struct event *commit;        /* activated by the first change of a loop round */
    int64_t staged_at;           /* when the first of those that are staged was */
    struct request_list waiting; /* for their turn */
    size_t waiting_count;
    struct request_list asking; /* upstreams, or the primary, are being asked */
    struct request_list staged; /* waiting for the commit, in their order */
};

void desk_open(struct desk *desk, struct event_base *base,
               struct evhttp *http); /* takes requests from now on */
void desk_commit(struct desk *desk); /* commits what is staged and answers for it */
void desk_shed(struct desk *desk);   /* sheds from now on, and turns away what waits; again is fine */
void desk_close(struct desk *desk);  /* answers all that is open: commits, and refuses the rest */

#endif
