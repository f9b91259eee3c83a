/* The sampler: what the node is like, measured once per interval from /proc and from the service's shared
 * counters.
 *
 * cpu_utilization of the service is the growth of run plus wait time of all threads of its process tree, over
 * wall time and one core. Run time alone would make a busy service look idle on a laptop that is busy with
 * other things: it reads 0.59 for a full spike beside busy neighbours where run plus wait reads 0.98. What
 * cannot be measured is left out. */
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
bool samples_have(const struct samples *samples, enum metric metric);

/* `vitals` may be NULL (a program of one's own). `data_folder` lies on the file system to watch. Strings must
 * outlive the sampler. NULL if out of memory. */
struct sampler *sampler_new(const struct vitals *vitals, const char *data_folder);
void sampler_free(struct sampler **sampler);

/* Takes in what the tree's threads have used so far. To be called a few times per interval, so that the time
 * of those that end is not lost. */
void sampler_look(struct sampler *sampler, const struct tree *tree);

/* Adds this interval's samples of the service (if the tree is not empty) and of the node, and begins the next
 * interval. */
void sampler_take(struct sampler *sampler, const struct tree *tree, struct samples *samples);

#endif
