/* The swarm: a seed draws a whole run, of wide ranges: who calls whom, load, network, faults and accidents,
 * and the policy with its guards. Each is run under the checkers, through a phase under faults and one in
 * which everything comes to rest. Most of what a seed draws makes no sense as a lab; all of it is legal, so
 * whatever breaks an invariant is a mistake in the core, the simulator, or a checker.
 *
 *     swarm_draw(seed, swarm);               // what it is
 *     swarm_run(swarm, NULL, &outcome);      // what it came to
 *     seen_add(seen, &outcome.seen)
 *
 * Drawing is pure: the same seed gives the same bytes. Each thing has its own stream of randomness, so that a
 * draw added for one shifts no other. */
#ifndef SIM_SWARM_H
#define SIM_SWARM_H

#include "sim/check.h"
#include "sim/sim.h"

#include <stdio.h>

enum {
    SWARM_ACCIDENTS_MAX = 24,
    SWARM_CUTS_MAX = 6,
    SWARM_VIOLATIONS_KEPT = 4, /* of one seed; more are counted */
    SWARM_TAIL_SIZE = 6000     /* bytes of the trace's last lines before the first violation */
};

/* The control plane is killed, or replaced by a second one, while the commit of its `step`-th step with
 * something to commit is under way: such instants are too short to be met by the clock. */
struct swarm_cut {
    uint64_t step;
    duration length_ns;
    uint8_t kind; /* ACCIDENT_CRASH_PLANE or ACCIDENT_SECOND_PLANE */
    uint8_t reserved[7];
};

/* A planner that is asked answers a while later, with whatever remedy: the guards must not care. */
struct swarm_planner {
    double answers_ratio; /* of the questions; 0: there is no planner */
    double wild_ratio;    /* of the answers: any remedy at all, else one of the ladder */
    duration takes_ns;    /* at most */
};

/* People who are told of an incident look at it a while later. */
struct swarm_people {
    double approve_ratio, acknowledge_ratio, decline_ratio; /* of what they are told */
    duration takes_ns;                                      /* at most */
};

struct swarm {
    uint64_t seed;
    struct scenario scenario; /* its seed is that of the swarm */
    struct policy policy;
    struct policy later[SWARM_ACCIDENTS_MAX]; /* of accidents of kind policy, by number of the accident */
    struct swarm_cut cuts[SWARM_CUTS_MAX];    /* by step, rising */
    uint32_t cut_count;
    uint32_t storm; /* 1: its first fault is one */
    struct swarm_planner planner;
    struct swarm_people people;
};

/* Whatever the seed, all of it is legal: scenarios could be written as a file that its reader takes, policies
 * as well. */
void swarm_draw(uint64_t seed, struct swarm *swarm);

/* What was drawn, for people. */
void swarm_print(const struct swarm *swarm, FILE *out);

/* --- what occurred -------------------------------------------------------------------------------------- */

/* X(symbol, name of the group, number of its rows). The first `none` of a table is no row. */
#define SEEN_TABLE(X)                                                                                        \
    X(BLOCK, "block reason", BLOCK_REASON_COUNT)                                                             \
    X(REMEDY, "remedy", REMEDY_COUNT)                                                                        \
    X(VERDICT, "verdict", VERDICT_COUNT)                                                                     \
    X(OUTCOME, "outcome", OUTCOME_COUNT)                                                                     \
    X(EDGE, "incident edge", SEEN_EDGE_COUNT)                                                                \
    X(WHY, "why", WHY_COUNT)                                                                                 \
    X(REJECT, "refusal", REJECT_COUNT)                                                                       \
    X(FAULT, "fault", FAULT_COUNT)                                                                           \
    X(SHAPE, "shape", SHAPE_COUNT)                                                                           \
    X(ACCIDENT, "accident", ACCIDENT_COUNT)                                                                  \
    X(MODE, "mode", MODE_COUNT)                                                                              \
    X(FATE, "fate of messages and commits", SIM_FATE_COUNT)                                                  \
    X(RUN, "run", SEEN_RUN_COUNT)
#define X(symbol, ...) SEEN_##symbol,
enum seen_group { SEEN_TABLE(X) SEEN_GROUP_COUNT };
#undef X

#define X(from, to) SEEN_EDGE_##from##_##to,
enum seen_edge { INCIDENT_EDGE_TABLE(X) SEEN_EDGE_COUNT };
#undef X

/* X(symbol, name): what concerns a run as a whole. */
#define SEEN_RUN_TABLE(X)                                                                                    \
    X(STORM, "a storm over 40 to 100 % of the fleet")                                                        \
    X(COMPOSITION, "several faults at once on one node")                                                     \
    X(BREAKER, "the breaker opens")                                                                          \
    X(GAP, "a gap")                                                                                          \
    X(LOST_REPORTS, "a full spool loses reports")                                                            \
    X(PROPOSAL, "a planner's proposal")                                                                      \
    X(NEVER_RESTS, "rest only at the end of the healing phase")
#define X(symbol, ...) SEEN_RUN_##symbol,
enum seen_run { SEEN_RUN_TABLE(X) SEEN_RUN_COUNT };
#undef X

enum { SEEN_ROWS_MAX = 32 };

struct seen {
    uint64_t times[SEEN_GROUP_COUNT][SEEN_ROWS_MAX];
    uint64_t seeds[SEEN_GROUP_COUNT][SEEN_ROWS_MAX]; /* in how many runs */
};

void seen_add(struct seen *seen, const struct seen *run);
const char *seen_group_name(enum seen_group group);
uint32_t seen_rows(enum seen_group group);
enum seen_edge seen_edge_of(uint32_t from, uint32_t to); /* SEEN_EDGE_COUNT: no legal one */
/* Writes the row's name; false for a row that is none. */
bool seen_row_name(enum seen_group group, uint32_t row, char out[64]);

/* --- running -------------------------------------------------------------------------------------------- */

/* Flat, so that it can be sent through a pipe. */
struct swarm_outcome {
    uint64_t seed;
    uint64_t digest; /* of the simulation, and of everything that was seen */
    uint64_t reports;
    double virtual_s;
    uint32_t nodes;
    uint32_t violations;
    uint32_t safety; /* of them, of safety; the rest is liveness */
    uint32_t reserved;
    struct violation violation[SWARM_VIOLATIONS_KEPT]; /* the first ones */
    char node[SWARM_VIOLATIONS_KEPT][NODE_NAME_SIZE];  /* "": the fleet */
    struct seen seen;
};

/* Runs it to its end, or, if `stops`, to the first violation. `trace`, if not NULL, gets a line for every
 * step. False if there is no memory for it. */
bool swarm_run(const struct swarm *swarm, FILE *trace, bool stops, struct swarm_outcome *outcome);

/* The last lines of the trace up to the first violation: runs it once more. `tail` gets whole lines. */
void swarm_tail(const struct swarm *swarm, char tail[SWARM_TAIL_SIZE]);

#endif
