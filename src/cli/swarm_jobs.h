/* Many seeds of the swarm on several processors: each worker is a process of its own, so that one that aborts
 * takes only its seed with it. Worker j of J has every J-th seed from the j-th on; what is told of a seed
 * does not depend on J, only when it is told. */
#ifndef CLI_SWARM_JOBS_H
#define CLI_SWARM_JOBS_H

#include "sim/swarm.h"

enum {
    SWARM_JOBS_MAX = 64,
    SWARM_SEED_SECONDS = 60 /* of processor time that one seed may take; most take hundredths */
};

/* Of one seed, in no particular order of seeds. */
struct swarm_told {
    struct swarm_outcome outcome;
    char tail[SWARM_TAIL_SIZE]; /* of the trace, if there are violations */
    int signal;                 /* the worker was ended by it: then only outcome.seed is set */
};

typedef void swarm_tell_fn(void *context, const struct swarm_told *told);

/* Runs the seeds first .. first + count - 1 and tells of each; 1 <= jobs <= SWARM_JOBS_MAX. 0, or a negative
 * errno if workers cannot be had. */
int swarm_jobs_run(uint64_t first, uint64_t count, uint32_t jobs, swarm_tell_fn *tell, void *context);

#endif
