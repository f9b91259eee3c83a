/* The simulator: the decision core, the gate, node agents and the world on a virtual clock. One heap of what
 * happens next; the same scenario, policy and seed give the same bytes.
 *
 *     struct sim *sim = sim_new(&options, error, sizeof error);
 *     while (sim_turn(sim))                       // one happening after another, until the script is over
 *         ;
 *     sim_result(sim, &result);
 *     sim_free(&sim);
 *
 * The control plane in it is the real core and the real gate; its store is memory that commits a while later,
 * and that a crash leaves as it was at the newest commit. It comes back through the same restore events as
 * the real one. A node agent keeps a journal of command ids and a spool, and carries commands out in the
 * world. Messages are late, lost, doubled and reordered as the scenario's network says.
 *
 * The clock starts at 0. When the script is over (scenario.length_ns) all faults are cleared, the network
 * loses nothing and is late by a tenth of a second at most, node agents and control plane come back, and
 * people resume automation, end their maintenance and reset the breaker; then everything has scenario.heal_ns
 * to come to rest. */
#ifndef SIM_SIM_H
#define SIM_SIM_H

#include "scenario/scenario.h"

#include <stdio.h>

struct sim;
struct checker;

/* Told of everything that happens, in order; all may be NULL. For traces, records and checkers. */
struct sim_watch {
    void (*event)(void *context,
                  const struct event *event); /* goes into the core of the control plane in force */
    /* After each event, also when there are none; `ticket` as gate_put() gave it. */
    void (*effects)(void *context, const struct core *core, uint64_t ticket, const struct effects *effects,
                    instant at);
    void (*committed)(void *context, instant at, uint64_t ticket); /* durable up to this ticket */
    void (*delivered)(void *context, instant at,
                      const struct command *command); /* a node agent has it for the first time */
    void (*effect)(void *context, instant at, const struct command *command,
                   const struct world_done *done); /* the world changes */
    void (*fault)(void *context, instant at, const struct world_fault *fault, bool begins);
    /* A crash ends when the control plane has been restored; a second one begins and ends at one instant,
     * with its restore in between. */
    void (*accident)(void *context, instant at, const struct scenario_accident *accident, bool begins);
    void *context;
};

struct sim_options {
    const struct scenario *scenario; /* outlives the sim */
    const struct policy *policy;     /* copied */
    const struct policy *later; /* of accidents of kind policy, by number of the accident, copied; NULL: read
                                   from the files that they name */
    uint64_t seed;              /* instead of the scenario's, unless 0 */
    struct sim_watch watch[4];
    uint32_t watch_count;
};

/* X(symbol, name): what became of messages that did not simply arrive, and of commits that were cut. */
#define SIM_FATE_TABLE(X)                                                                                    \
    X(LOST_THERE, "lost on the way to the control plane")                                                    \
    X(LOST_BACK, "lost on the way back")                                                                     \
    X(CUT_OFF, "lost at a partition")                                                                        \
    X(DOUBLED, "doubled")                                                                                    \
    X(LATE, "later than its sender waits")                                                                   \
    X(OVERTAKEN, "overtaken by a newer one")                                                                 \
    X(HUNG_UP, "hung up on while the control plane was suspended")                                           \
    X(NOBODY_THERE, "came while the control plane was down")                                                 \
    X(NOT_HEARD, "came back while the node agent was away")                                                  \
    X(COMMIT_LOST, "a crash loses the commit under way")                                                     \
    X(COMMIT_KEPT, "a crash right after a commit, before anybody is told")                                   \
    X(ROWS_LOST, "a crash loses what no commit had begun on")                                                \
    X(COMMIT_FENCED, "a commit of a control plane that was replaced")
#define X(symbol, ...) SIM_FATE_##symbol,
enum sim_fate { SIM_FATE_TABLE(X) SIM_FATE_COUNT };
#undef X

/* What a run came to. Durations of nothing are -1. */
struct sim_result {
    uint64_t digest;  /* over core, world and everything that was drawn */
    uint64_t turns;   /* happenings */
    uint64_t reports; /* node reports that the control plane has taken, late and doubled ones too */
    uint32_t incidents, resolved, escalated, open;
    uint32_t commands;
    uint32_t verdicts[VERDICT_COUNT];
    uint32_t told;     /* how often people were */
    uint32_t wrong;    /* commands to a node without a fault of its own when they were ordered */
    uint32_t needless; /* ... and whose users were well */
    uint32_t harmful;  /* commands that made the world worse */
    uint64_t blocks[BLOCK_REASON_COUNT];  /* evaluations */
    uint32_t faults, detected, recovered; /* injections that were seen; after which users were well again */
    duration detect_p50_ns, detect_p95_ns, recover_p50_ns, recover_p95_ns; /* from the instant of injection */
    double availability_requests; /* served of asked, over all users */
    double availability_time;     /* share of node-time with well users */
    uint32_t expectations, met;
    uint64_t fates[SIM_FATE_COUNT];
    uint32_t deeds_dropped; /* incidents and commands beyond what expectations can look at: then they are
                               unreliable */
};

/* What is under way still: all zero when everything has come to rest. */
struct sim_rest {
    uint64_t spooled; /* reports that node agents keep, since they are not durable yet; those of the last
                         seconds are always among them */
    uint64_t overdue; /* of them, older than half a minute */
    uint64_t lost;    /* reports that found no room in a spool */
    uint32_t untold;  /* outcomes that the control plane has not acknowledged */
    uint32_t running; /* commands being carried out, or waiting at a node agent */
};

/* NULL and a sentence if it cannot be (out of memory, more than fits). */
struct sim *sim_new(const struct sim_options *options, char *error, size_t error_size);
void sim_free(struct sim **sim);

bool sim_turn(struct sim *sim); /* one happening; false when the script and the healing phase are over */
instant sim_now(const struct sim *sim);
instant sim_end(const struct sim *sim);
const struct core *sim_core(const struct sim *sim); /* of the control plane in force; NULL while it is down */
const struct world *sim_world(const struct sim *sim);
uint32_t sim_nodes(const struct sim *sim);
const char *sim_node_name(const struct sim *sim, uint32_t node);
uint64_t sim_overdue(const struct sim *sim,
                     uint32_t node); /* reports in its spool, older than half a minute */
void sim_result(const struct sim *sim, struct sim_result *result);
void sim_rest(const struct sim *sim, struct sim_rest *rest);

/* One more accident, now, between two happenings: for tests that cut a run at every place. */
void sim_accident(struct sim *sim, const struct scenario_accident *accident);

/* One more event for the control plane in force, now, between two happenings: a planner's proposal, or what a
 * person says. `at` is set here. False: it is down, or has no room. */
bool sim_event(struct sim *sim, struct event *event);

/* The expectations of the scenario, one line each: "ok ..." or "not ok ..., but ..." */
void sim_print_expectations(const struct sim *sim, FILE *out);

#endif
