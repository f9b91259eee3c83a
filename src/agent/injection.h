/* The injection: the faults that the control plane wants on this node, and how they are doing.
 *
 * Each answer lists the faults that should be on. A new one is struck, through the fault page, a signal or
 * the leash; one that is no longer listed is ended. Whether it had an effect is not believed but looked for
 * in the node's own samples: the metric that fault_infos names must move by at least half of what the
 * intensity promises.
 *
 *     ACTIVE --a command that cures its kind was carried out--> ENDED cured
 *        +-----it is no longer listed-------------------------> ENDED cleared
 *        +-----its lease is over------------------------------> ENDED expired
 *     FAILED: it could not be struck
 *
 *     effect: WAITING --the metric moved--> SEEN
 *                +------6 intervals (at least 6 s) without---> NONE */
#ifndef AGENT_INJECTION_H
#define AGENT_INJECTION_H

#include "agent/orders.h"
#include "agent/sampler.h"
#include "base/units.h"

#include <jansson.h>

struct injection;
struct journal;
struct page;
struct supervisor;

struct injection_options {
    struct page *page;
    struct supervisor *supervisor;
    struct journal *journal; /* remembers which fault was struck once, across restarts of the node agent */
    duration interval_ns;    /* between reports */
    bool built_in;           /* false: a program of one's own, which reads no fault page */
};

struct injection *injection_new(const struct injection_options *options);

/* Ends what is on: a stopped service goes on. */
void injection_free(struct injection **injection);

void injection_obey(struct injection *injection, const struct orders *orders);

/* Looks for effects in what was sampled just now, and for leases that are over. */
void injection_observe(struct injection *injection, const struct samples *samples);

/* This remedy was carried out. */
void injection_cured(struct injection *injection, enum remedy remedy);

/* The `faults` of a report, a new reference; NULL if there is nothing to tell. */
json_t *injection_json(struct injection *injection);

#endif
