/* A small world for stories, and its twin without faults: randomness is a function of seed, purpose, node and
 * count, so whatever differs between the two is the fault's doing.
 *
 *     node 0  caller: calls node 1 (and 2)        node 1  patient        node 2  its replica, if there is one
 *
 * One second a step; all nodes are sampled in each. */
#ifndef TESTS_WORLD_LAB_H
#define TESTS_WORLD_LAB_H

#include "world/world.h"

enum { CALLER, PATIENT, REPLICA, LAB_NODES };

struct lab_world {
    struct world *world, *twin;
    uint32_t nodes;
    instant now;
    struct world_sample sample[LAB_NODES], well[LAB_NODES]; /* of the last second; `well`: the twin's */
};

/* Two nodes, or three with a replica. The patient has 540 users, the caller `caller_users`, of 2000 that each
 * can serve. */
struct lab_world *lab_world_new(uint64_t seed, bool replica, double caller_users);
void lab_world_free(struct lab_world **lab);
void lab_world_run(struct lab_world *lab, int seconds);

/* Now, on the patient, with its default intensity, for ever; fails the test if it is refused. */
void lab_world_strike(struct lab_world *lab, enum fault_kind kind, enum shape shape);
void lab_world_strike_at(struct lab_world *lab, uint32_t node, enum fault_kind kind, enum shape shape,
                         double intensity, double seconds);
struct world_done lab_world_remedy(struct lab_world *lab, uint32_t node, enum remedy remedy);
struct world_truth lab_world_truth(const struct lab_world *lab, uint32_t node);

/* The sample of a metric; fails the test if it is not there. */
double lab_world_value(const struct lab_world *lab, uint32_t node, enum metric metric);
double lab_world_well(const struct lab_world *lab, uint32_t node, enum metric metric);
bool lab_world_has(const struct lab_world *lab, uint32_t node, enum metric metric);
bool lab_world_well_has(const struct lab_world *lab, uint32_t node, enum metric metric);

#endif
