/* What happens in a run, one line for each step, with the same words as everywhere. Private to the swarm. */
#ifndef SIM_SWARM_TELL_H
#define SIM_SWARM_TELL_H

#include "sim/swarm.h"

struct swarm_tell {
    const struct sim *sim; /* set once it is there */
    FILE *out;
};

struct sim_watch swarm_tell_watch(struct swarm_tell *tell, FILE *out);

#endif
