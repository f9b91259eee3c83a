/* The story of a simulation, for its JSON: a watcher that collects it. */
#ifndef CLI_TALE_SIM_H
#define CLI_TALE_SIM_H

#include "sim/sim.h"

#include <jansson.h>

struct tale_sim;

struct tale_sim *tale_sim_new(const struct scenario *scenario); /* which outlives it */
void tale_sim_free(struct tale_sim **tale);
struct sim_watch tale_sim_watch(struct tale_sim *tale);

/* As tale_json(); the caller's. */
json_t *tale_sim_json(const struct tale_sim *tale);

#endif
