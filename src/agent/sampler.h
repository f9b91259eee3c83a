/* The sampler: what the node is like, measured once per interval from /proc, from its folders and from the
 * service's shared counters.
 *
 * cpu_utilization of the service is the growth of run plus wait time of all threads of its process tree, over
 * wall time and one core. Run time alone would make a busy service look idle on a laptop that is busy with
 * other things: it reads 0.59 for a full spike beside busy neighbours where run plus wait reads 0.98. Of the
 * other processes on the node only run time counts: it is what they really take of its core. What cannot be
 * measured is left out. */
#ifndef AGENT_SAMPLER_H
#define AGENT_SAMPLER_H

#include "agent/tree.h"
#include "core/vocabulary.h"

#include <stdbool.h>
#include <stdint.h>

struct sampler;
struct vitals;

struct samples {
    double value[METRIC_COUNT];
    uint32_t present; /* bit m: value[m] was sampled */
};

void samples_set(struct samples *samples, enum metric metric, double value);
void samples_forget(struct samples *samples, enum metric metric);
bool samples_have(const struct samples *samples, enum metric metric);

struct sampler_options {
    const struct vitals *vitals; /* of the service, or of the library preloaded into it */
    struct folder_use *use;      /* of the node's disk, see folder_use.h */
    uint64_t quota_bytes;        /* of disk */
    uint64_t memory_bytes;       /* of the node */
};

/* What `options` points to must outlive the sampler. NULL if out of memory. */
struct sampler *sampler_new(const struct sampler_options *options);
void sampler_free(struct sampler **sampler);

/* Takes in what the threads of the service's tree and of the other processes have used so far. To be called a
 * few times per interval, so that the time of those that end is not lost. */
void sampler_look(struct sampler *sampler, const struct tree *tree, const struct tree *others);

/* Adds this interval's samples of the service (if the tree is not empty) and of the node, and begins the next
 * interval. `cores` >= 1 is what the service has: one for each instance. `*arrivals_per_s` gets what came to
 * the service since the last call; below 0: unknown. */
void sampler_take(struct sampler *sampler, int cores, const struct tree *tree, const struct tree *others,
                  struct samples *samples, double *arrivals_per_s);

#endif
