/* The reporter: says hello, keeps every report on disk before it is sent (spool.h), sends one per interval
 * and one at once when told to, and learns from the answers what may be forgotten (receipts.h).
 *
 *     taken --spool--> newest --sent--> in the air --200--> accepted --stored_through--> forgotten
 *                         |                 |                   |
 *                         +-- overtaken ----+-- failed ---------+-- another epoch: it may have been lost
 *                         v                                         with the one before
 *                      backlog (backlog.h): in batches, behind the newest
 *
 * The newest report always goes first and alone: what is happening now must not wait for what happened
 * before. */
#ifndef AGENT_REPORTER_H
#define AGENT_REPORTER_H

#include "agent/orders.h"
#include "agent/sampler.h"
#include "base/units.h"

#include <jansson.h>

struct agent_options;
struct client;
struct event_base;
struct reporter;
struct spool;

struct reporter_options {
    const struct agent_options *agent;
    struct event_base *base;
    struct client *plane; /* shared; outlives the reporter's requests */
    struct spool *spool;  /* outlives the reporter */
    uint64_t boot;
    const char *address; /* where users reach this node */
    /* How the injected faults are doing: a new reference to an array, or NULL. */
    json_t *(*faults)(void *context);
    uint32_t (*standing)(void *context);                      /* mask of remedies that are still in force */
    int (*pid)(void *context);                                /* of the service, 0: none */
    void (*obey)(void *context, const struct orders *orders); /* an answer came */
    void (*meet_epoch)(void *context, uint64_t epoch);        /* of the control plane, known anew */
    uint64_t (*epoch_seen)(void *context);                    /* the highest that was ever obeyed */
    void *context;
};

/* Pointers in `options` must outlive the reporter. NULL if out of memory. */
struct reporter *reporter_new(const struct reporter_options *options);
void reporter_free(struct reporter **reporter); /* after the client is freed: its answers come here */

/* Says who this node is; reports wait until that was answered once. Repeated by itself after a 404, a
 * failure, a new epoch, and every 30 s. */
void reporter_hello(struct reporter *reporter);

/* The node's wall clock is off by that much; told at once. */
void reporter_skew_clock(struct reporter *reporter, duration skew_ns);

/* Takes `samples` as of now, keeps them, and sends them if the control plane is there. What it missed is told
 * on stderr when it is back. */
void reporter_report(struct reporter *reporter, const struct samples *samples);

/* Leaves the fleet; `done` is called once, with or without the control plane's consent, within `timeout_ns`.
 */
void reporter_goodbye(struct reporter *reporter, duration timeout_ns, void (*done)(void *context));

#endif
