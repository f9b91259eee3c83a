/* The reporter: says hello, sends one report per interval and one at once when told to, and keeps the last 60
 * that the control plane has not stored, so that a control plane that was away gets them with their age when
 * it is back.
 *
 *     UNSENT --sent--> SENDING --200--> SENT --stored_through--> forgotten
 *        ^                |              |
 *        +--- failed -----+              |
 *        +--- another epoch: it may have been lost with the one before
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
struct reporter;

enum { REPORTS_KEPT = 60 };

struct reporter_options {
    const struct agent_options *agent;
    struct client *plane; /* shared; outlives the reporter's requests */
    uint64_t boot;
    const char *address; /* where users reach this node */
    /* How the injected faults are doing: a new reference to an array, or NULL. */
    json_t *(*faults)(void *context);
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

/* Takes `samples` as of now and sends them, or keeps them. When 60 are kept the oldest gives way,
 * and how many did so unsent is said on stderr when the control plane is back. */
void reporter_report(struct reporter *reporter, const struct samples *samples);

/* Leaves the fleet; `done` is called once, with or without the control plane's consent, within `timeout_ns`.
 */
void reporter_goodbye(struct reporter *reporter, duration timeout_ns, void (*done)(void *context));

#endif
