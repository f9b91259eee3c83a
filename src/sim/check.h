/* The checkers: what must hold whatever happens (safety, S1-S12) and what must come about once the faults
 * have stopped (liveness, L1-L6), as one library for simulations and for tests on real processes. They watch
 * from outside: events into the core, effects out of it, commits, deliveries and effects in the world; they
 * know nothing of the core's own counters, and count for themselves. Where an onlooker cannot know (which
 * findings fire, how a held report will be judged) a check takes the case that is best for the core: it may
 * miss something, but what it says is so.
 *
 *     checker_event(checker, &event);
 *     core_step(core, &event, &effects);
 *     checker_effects(checker, event.at, gate_put(gate, &effects), &effects);   // also when there are none
 *     checker_committed(checker, now, ticket);                                  // with gate_durable()
 */
#ifndef SIM_CHECK_H
#define SIM_CHECK_H

#include "core/core.h"

struct checker;

#define INVARIANT_TABLE(X)                                                                                   \
    X(S1, "S1", "what was answered as kept is there after every crash, unchanged")                           \
    X(S2, "S2", "incidents and commands take legal edges only")                                              \
    X(S3, "S3", "no node agent sees a command before its intent is durable")                                 \
    X(S4, "S4", "a command has at most one effect")                                                          \
    X(S5, "S5", "one disruptive action at a time on a target, and no more than the budget in the fleet")     \
    X(S6, "S6", "rate limits hold over every sliding window")                                                \
    X(S7, "S7", "no new disruptive action while the breaker is open")                                        \
    X(S8, "S8", "nothing is done on stale data, in maintenance, while paused, or after a command's expiry")  \
    X(S9, "S9", "no node agent carries out a command of an older epoch after it has seen a newer one")       \
    X(S10, "S10", "every action stands on the ladder of its finding")                                        \
    X(S11, "S11", "effective only with enough fresh samples after the action")                               \
    X(S12, "S12", "every stopped action is counted under exactly one reason")                                \
    X(L1, "L1", "every incident comes to its end")                                                           \
    X(L2, "L2", "every command comes to an outcome")                                                         \
    X(L3, "L3", "what was spooled is forwarded")                                                             \
    X(L4, "L4", "the control plane is back in time")                                                         \
    X(L5, "L5", "every fault that can be seen is found in time")                                             \
    X(L6, "L6", "no lock, budget or slot is kept for ever")
#define X(symbol, ...) INVARIANT_##symbol,
enum invariant { INVARIANT_TABLE(X) INVARIANT_COUNT };
#undef X

struct violation {
    instant at;
    uint32_t node;      /* NO_INDEX: the fleet */
    uint8_t invariant;  /* enum invariant */
    char sentence[200]; /* what was seen, with the figures */
};

enum {
    VIOLATIONS_MAX = 64,        /* kept; more are counted */
    CHECKER_ROWS_MAX = 1 << 20, /* incidents, commands, and rows waiting for their commit that are followed,
                                   each; one more is a violation of L6 */
    CHECKER_ACTIONS = 4096      /* past actions of the fleet that rates look back over */
};

/* A fault that can be seen is found within this time (L5). */
#define CHECKER_DETECT_NS (30 * SECOND)
/* What has moved within this time is not stuck. */
#define CHECKER_BUSY_NS (30 * SECOND)
/* Longer than a command and its verification take. */
#define CHECKER_MOVED_NS (2 * MINUTE)
/* A control plane that was killed is back within this time, or its driver says why not (L4). */
#define CHECKER_BACK_NS (5 * MINUTE)

/* `nodes`: how many there may be. NULL without memory. */
struct checker *checker_new(uint32_t nodes);
void checker_free(struct checker **checker);

/* --- in the order in which things happen --------------------------------------------------------------- */

/* Before the core is given it, restore events too. `policy` events carry the limits that hold from then on.
 */
void checker_event(struct checker *checker, const struct event *event);

/* After the step. `ticket`: what gate_put() gave for these effects, 0 if it gave none. The checker numbers
 * nothing itself: what has no ticket never becomes durable, so a command that went round the gate is seen. */
void checker_effects(struct checker *checker, instant at, uint64_t ticket, const struct effects *effects);

/* The store has everything up to and with this ticket. After a crash a new gate may count from 1 again. */
void checker_committed(struct checker *checker, instant at, uint64_t ticket);

/* A node agent sees this command, whether it takes it or not. */
void checker_delivered(struct checker *checker, instant at, const struct command *command);

/* A node agent begins to carry it out: the world changes. */
void checker_world_effect(struct checker *checker, instant at, const struct command *command);

/* The control plane is gone, with what was not durable: killed, or its commit failed and the core is thrown
 * away. If the store has more than was told as committed, tell that first. */
void checker_crash(struct checker *checker, instant at);

/* ... and is back: all restore events are in, no deadline was run yet. The core is compared with the books.
 */
void checker_restored(struct checker *checker, instant at, const struct core *core);

/* A fault that ought to be seen begins or ends: told only of those that are strong enough, and lasting
 * (neither gray nor flapping). Others are nobody's business here. */
void checker_fault(struct checker *checker, instant at, uint32_t node, enum fault_kind kind, bool begins);

/* The node's process is stopped, in whatever form, and burns and writes nothing; or its sensor lies:
 * meanwhile a fault of its processor or storage cannot be seen. */
void checker_hidden(struct checker *checker, uint32_t node, bool begins);

/* --- the end -------------------------------------------------------------------------------------------- */

/* The healed phase is over and this many reports still wait in a node agent's spool. */
void checker_spooled(struct checker *checker, instant at, uint32_t node, uint64_t waiting);

/* The healed phase is over: liveness. `core` is the control plane's, NULL if it is down.
 *
 * Incidents may still be active when their block reason waits for people, who do not come in a simulation:
 * approval and uncorroborated (asked, and not answered), paused and breaker (a person's switch), flapping and
 * rate_target (left to people until a day has passed), attempts, dry_run, maintenance (a person's word); each
 * only if the books say so too, by the reading that is best for the core, now or CHECKER_BUSY_NS ago. What
 * such an incident explains waits with it. So may what is open or planned on a node that was not heard of for
 * a minute: its silence is a finding of its own. What moved within the last CHECKER_BUSY_NS, and rows that
 * young, are on their way; nothing else may stay acting or verifying. */
void checker_rest(struct checker *checker, instant at, const struct core *core);

/* For runs that may end as soon as everything rests, asked now and then. In a large fleet some finding comes
 * or goes at every instant, in the best of weathers; so this asks of each incident by itself: true if none is
 * stuck, that is, each has ended, moved within the last CHECKER_MOVED_NS, or was seen waiting for people (as
 * above) since it moved; no command waits for its outcome for longer than that, and no row for its commit for
 * longer than CHECKER_BUSY_NS. What has been active for longer than the policy lets one ladder take moves in
 * circles, and does not count as moving. A run that ends then need not be asked checker_rest(). */
bool checker_settles(struct checker *checker, instant at, const struct core *core);

uint32_t checker_count(const struct checker *checker); /* violations, also those that are not kept any more */
const struct violation *checker_violation(const struct checker *checker, uint32_t number);
const char *invariant_name(enum invariant invariant);
const char *invariant_sentence(enum invariant invariant);
bool invariant_is_safety(enum invariant invariant);

/* How often each thing occurred, for "sometimes" tables. Blocks are evaluations. */
struct checker_seen {
    uint64_t blocks[BLOCK_REASON_COUNT], remedies[REMEDY_COUNT], verdicts[VERDICT_COUNT],
        outcomes[OUTCOME_COUNT];
    uint64_t edges[INCIDENT_STATE_COUNT][INCIDENT_STATE_COUNT];
    uint64_t crashes, gaps, refusals, opened;
};
void checker_seen(const struct checker *checker, struct checker_seen *seen);

#endif
