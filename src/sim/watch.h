/* A checker as a watcher of a simulation: everything that the checkers want to be told, told in order.
 *
 *     struct sim_judge judge;
 *     sim_judge_init(&judge, nodes);
 *     options.watch[options.watch_count++] = sim_judge_watch(&judge);
 *     ... sim_turn() until it is over ...
 *     sim_judge_rest(&judge, sim);             // liveness
 *     checker_count(judge.checker) */
#ifndef SIM_WATCH_H
#define SIM_WATCH_H

#include "sim/check.h"
#include "sim/sim.h"

struct sim_judge {
    struct checker *checker; /* NULL without memory */
    const struct core *core; /* the one told of last */
};

void sim_judge_init(struct sim_judge *judge, uint32_t nodes);
void sim_judge_fini(struct sim_judge *judge);
struct sim_watch sim_judge_watch(struct sim_judge *judge);
/* Liveness, for runs whose healing phase lasts SIM_REST_LEAST_NS or more: nothing can come to rest in less.
 */
#define SIM_REST_LEAST_NS (10 * SECOND)
void sim_judge_rest(struct sim_judge *judge, const struct sim *sim);

#endif
