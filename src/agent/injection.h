/* The injection: the faults that the control plane wants on this node, and how they are doing.
 *
 * Each answer lists the faults that should be on. A new one is struck (strike.c says how each kind is done),
 * then driven over its time by its shape; one that is no longer listed is ended. Whether it had an effect,
 * and whether its end had, is not believed but looked for in the node's own samples (effect.c).
 *
 *     ACTIVE --a command that cures its kind was carried out--> ENDED cured
 *        +-----it is no longer listed-------------------------> ENDED cleared
 *        +-----its lease is over------------------------------> ENDED expired
 *     FAILED: it could not be struck
 *
 *     effect:  WAITING --the metric moved---------> SEEN      removal (after the end):
 *                 +----6 intervals, at least 6 s--> NONE         WAITING --it went back--> SEEN, or NONE
 *
 * Too many users are not cured by what lets a node bear them: such a fault stays until its lease is over. */
#ifndef AGENT_INJECTION_H
#define AGENT_INJECTION_H

#include "agent/orders.h"
#include "agent/sampler.h"
#include "agent/tree.h"
#include "base/units.h"

#include <jansson.h>

struct event_base;
struct folder_use;
struct injection;
struct journal;
struct load;
struct page;
struct supervisor;
struct versions;

/* All pointers outlive the injection. */
struct injection_options {
    struct page *page;
    int page_fd; /* helpers inherit it */
    struct supervisor *supervisor;
    struct load *load;
    struct journal *journal; /* remembers which fault was struck once, across restarts of the node agent */
    struct versions *releases, *configs;
    struct folder_use *use;     /* of the node's disk */
    const char *scratch_folder; /* what may be lost lies there */
    const char *binary;         /* to start helpers with */
    duration interval_ns;       /* between reports */
    double usual_per_s;         /* requests of the node's own users, when nothing is on */
    double capacity_per_s;      /* that it is provisioned for; <= 0: not said */
    uint64_t quota_bytes, memory_bytes;
    bool built_in; /* false: a program of one's own, which reads no fault page */
    /* Cuts the node off from its control plane, or lets it talk again. */
    void (*cut)(void *context, bool cut);
    void *context;
};

/* NULL if out of memory. */
struct injection *injection_new(struct event_base *base, const struct injection_options *options);

/* Removes what faults of a node agent that was killed left in its scratch folder. */
void injection_clean(const char *scratch_folder);

/* Ends what is on: a stopped service goes on, helpers end, the disk is given back. */
void injection_free(struct injection **injection);

void injection_obey(struct injection *injection, const struct orders *orders);

/* The service listens again: what its release has in it begins anew. */
void injection_service_started(struct injection *injection);

/* What a lying sensor says instead. To be asked before the samples are looked at and sent. */
void injection_lie(const struct injection *injection, struct samples *samples);

/* How far the node's wall clock is off. */
duration injection_clock_skew(const struct injection *injection);

/* Looks for effects in what was sampled just now, and for leases that are over. */
void injection_observe(struct injection *injection, const struct samples *samples);

/* This remedy was carried out. */
void injection_cured(struct injection *injection, enum remedy remedy);

/* Stops, or lets go on, the processes beside the service; returns how many there are. */
int injection_isolate(struct injection *injection, bool isolate);

/* The disk was cleaned: how much room there is now is told at once. */
void injection_tell_room(struct injection *injection);

/* Ends the processes that faults have started, for a node that starts afresh. */
void injection_reboot(struct injection *injection);

/* The processes of the node that are not its service's: neighbours. */
void injection_others(const struct injection *injection, struct tree *others);

/* The `faults` of a report, a new reference; NULL if there is nothing to tell. */
json_t *injection_json(struct injection *injection);

#endif
