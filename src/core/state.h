/* What the core's files share: the layout of its memory, and the calls between them. Private to src/core.
 *
 * One block: struct core, the nodes' hot rows, their cold rows, the incident slots, the heap of due things.
 * Everything refers by index, nothing by pointer, so the block can be copied. A step touches one hot row in
 * the usual case: a healthy report. */
#ifndef CORE_STATE_H
#define CORE_STATE_H

#include "base/check.h"
#include "base/heap.h"
#include "core/core.h"

#include <string.h>

/* A command must begin within this time; then its node agent refuses it. */
#define COMMAND_EXPIRES_NS (10 * SECOND)
/* ... and must be answered within this time, or its outcome is unknown. */
#define COMMAND_ANSWER_NS (20 * SECOND)
/* Fresh samples that a verdict needs at least (reliability S11). */
#define VERIFY_SAMPLES_MIN 3
/* Without a declared interval, and before two reports are seen. */
#define INTERVAL_DEFAULT_NS (1 * SECOND)
/* A node is silent after this time without a report when no detector says otherwise; never before three
 * intervals. */
#define SILENT_DEFAULT_NS (5 * SECOND)
/* A stopped action that stays stopped for one reason is told again this often, with its count. */
#define BLOCK_REPEAT_NS (5 * SECOND)
/* A deciding walk never leaves more effects than this for one incident. */
#define EFFECTS_RESERVE 14
/* Past actions kept of the whole fleet, for its rate limits. When they are full and the oldest still counts,
 * the limits say no: they never forget in order to allow. */
#define ACTIONS_KEPT 1024
_Static_assert(ACTIONS_KEPT > RATE_MAX, "a rate limit must be able to see as many actions as it may allow");
/* A sequence number that jumps further within one boot is nobody's: it would make all that follow look old.
 */
#define SEQUENCE_JUMP_MAX 1000000
/* A report that overtook others waits until they are there, but no longer than this many intervals after they
 * were due; later ones are stored only. */
#define LATENESS_INTERVALS 2
/* Reports of a node that wait at once. When there are more, the oldest does not wait any longer. */
#define HELD_MAX 3
/* How far a walk along the call graph goes, in nodes. */
#define WALK_MAX 64

enum node_flag {
    NODE_KNOWN = 1 << 0,      /* enrolled: has a name */
    NODE_HERE = 1 << 1,       /* part of the fleet */
    NODE_SILENT = 1 << 2,     /* no report for too long */
    NODE_ILL = 1 << 3,        /* by itself: counts for the breaker */
    NODE_GONE = 1 << 4,       /* said goodbye */
    NODE_WORK = 1 << 5,       /* a walk over its incidents is not finished */
    NODE_DECLARED = 1 << 6,   /* its interval is declared, not learned */
    NODE_MAINTAINED = 1 << 7, /* people are at work on it: does not count for the breaker */
    NODE_WAS_ILL = 1 << 8,    /* when its health was last looked at */
    NODE_HELD = 1 << 9,       /* reports that overtook others wait in its cold row */
    NODE_FLAPPING = 1 << 10   /* its cold row says so too */
};

/* The hot row: all that a healthy report touches. */
struct node {
    double value[METRIC_CAPACITY]; /* of the newest evaluated report */
    instant seen_at;               /* newest report of any kind; INSTANT_NONE before */
    instant sampled_at;            /* newest evaluated sample; INSTANT_NONE before */
    uint64_t boot;
    uint64_t previous_boot;
    uint64_t sequence;
    duration interval_ns;
    uint32_t present;        /* metrics of the newest evaluated report */
    uint32_t pending;        /* detector slots: `when` holds, not yet long enough */
    uint32_t firing;         /* ... long enough: ill */
    uint32_t clearing;       /* ... of the firing: `clear` holds, not yet long enough */
    uint32_t generation;     /* of the policy that these bits were made under */
    uint32_t first_incident; /* slot, or NO_INDEX */
    uint32_t acting;         /* slot of the incident whose command is in flight or being verified */
    uint32_t flags;          /* enum node_flag */
};
_Static_assert(sizeof(struct node) <= 256, "a node's hot row must stay within 256 bytes");

struct held { /* a report that overtook another */
    instant sampled_at;
    struct report report;
};

struct node_cold {
    struct held held[HELD_MAX]; /* the lowest sequence number first */
    uint32_t held_count;
    uint32_t padding;
    instant known_at[DETECTOR_MAX]; /* newest sample that the run under way was judged by */
    instant since[DETECTOR_MAX]; /* first sample of the present run of `when`, or of `clear` while clearing */
    instant began_at[DETECTOR_MAX]; /* first sample of the finding that fires now */
    instant acted_at[ATTEMPTS_MAX]; /* the machine's disruptive commands, the newest first */
    struct target target;
    uint32_t calls[CALLS_MAX];
    uint32_t calls_count;
    uint32_t reserved;
    char name[NODE_NAME_SIZE];
};

struct slot {
    struct incident incident;
    struct command command;   /* the newest one */
    uint32_t healthy_samples; /* in the present run of clear samples */
    uint32_t blocked_told;    /* of incident.blocked_count */
    uint32_t next;            /* of the same node, or of the free list */
    uint32_t used;
};

/* A disruptive command of the machine's own, as the rate limits of the fleet count it. */
struct past_action {
    instant acted_at; /* INSTANT_NONE: this place is free */
    uint64_t rule, meaning;
    uint32_t node;
    uint8_t remedy;
    uint8_t reserved[3];
};

struct core {
    struct core_config config;
    struct control control;
    instant now;
    instant away_until; /* we were away until then: verdicts and actions need reports from after it */
    uint64_t digest;
    uint64_t nodes_offset, cold_offset, slots_offset, heap_offset;
    uint32_t node_count; /* rows below this number are in use; those above are untouched memory */
    uint32_t fleet;
    uint32_t unhealthy; /* of the fleet: ill by themselves, or silent */
    uint32_t disrupted;
    uint32_t free_slot;  /* of those given back; NO_INDEX if there is none */
    uint32_t slot_count; /* slots below this number were used at least once */
    uint32_t policy_generation;
    uint32_t slot_generation[DETECTOR_MAX]; /* the policy generation that last changed its meaning */
    uint32_t action_next;                   /* place in the ring */
    struct past_action actions[ACTIONS_KEPT];
    struct policy policy;
};

/* Where its parts begin, and how many bytes it takes. */
void core_lay_out(struct core *core, const struct core_config *config, size_t *total);

/* --- layout --------------------------------------------------------------------------------------------- */

static inline struct node *node_of(const struct core *core, uint32_t node)
{
    return (struct node *)((char *)(uintptr_t)core + core->nodes_offset) + node;
}

static inline struct node_cold *cold_of(const struct core *core, uint32_t node)
{
    return (struct node_cold *)((char *)(uintptr_t)core + core->cold_offset) + node;
}

static inline struct slot *slot_of(const struct core *core, uint32_t slot)
{
    return (struct slot *)((char *)(uintptr_t)core + core->slots_offset) + slot;
}

static inline struct heap *heap_of(const struct core *core)
{
    return (struct heap *)((char *)(uintptr_t)core + core->heap_offset);
}

/* Items of the heap: nodes first, then incident slots. */
static inline uint32_t heap_item_of_slot(const struct core *core, uint32_t slot)
{
    return core->config.node_capacity + slot;
}

static inline const struct detector *detector_of(const struct core *core, const struct incident *incident)
{
    return &core->policy.detectors[incident->detector];
}

/* --- effects -------------------------------------------------------------------------------------------- */

static inline bool effects_have_room(const struct effects *out)
{
    return out->count + EFFECTS_RESERVE <= EFFECTS_MAX;
}

/* A zeroed effect of that kind at the end of the list, padding included. */
struct effect *effects_add(struct core *core, struct effects *out, enum effect_kind kind, uint32_t node);
void effects_add_incident(struct core *core, struct effects *out, enum effect_kind kind,
                          const struct incident *incident);
void effects_add_reject(struct core *core, struct effects *out, uint32_t node, enum reject reject);
void effects_add_control(struct core *core, struct effects *out);
void effects_add_target(struct core *core, struct effects *out, uint32_t node);

/* --- node.c: who is there, and the walk over one node's incidents --------------------------------------- */

void node_cover(struct core *core, uint32_t number); /* makes the rows up to this number usable */
bool node_hello(struct core *core, uint32_t number, const struct hello *hello, bool here);
void node_goodbye(struct core *core, uint32_t number);
void node_due(struct core *core, uint32_t number, struct effects *out);
void node_report(struct core *core, const struct event *event, struct effects *out);
void node_walk(struct core *core, uint32_t number,
               struct effects *out);                      /* open, advance and close its incidents */
void node_walk_later(struct core *core, uint32_t number); /* queue such a walk */
void node_refresh_illness(struct core *core, uint32_t number, struct effects *out);
void node_refresh_maintenance(struct core *core, uint32_t number, struct effects *out);
void node_schedule(struct core *core, uint32_t number);
bool node_calls_reach(const struct core *core, uint32_t from, uint32_t to);

/* held.c: reports that overtook others */
bool held_wants(const struct core *core, uint32_t number, const struct report *report);
bool held_has(const struct core *core, uint32_t number, const struct report *report);
void held_put(struct core *core, uint32_t number, const struct report *report, instant sampled_at);
instant held_bound(const struct core *core, uint32_t number, const struct report *report, instant sampled_at);
instant held_due(const struct core *core, uint32_t number);            /* INSTANT_NEVER if none waits */
bool held_take(struct core *core, uint32_t number, struct held *held); /* the next one whose wait is over */
void held_forget(struct core *core, uint32_t number);

/* --- detect.c: conditions and detectors ----------------------------------------------------------------- */

enum truth { TRUTH_FALSE, TRUTH_TRUE, TRUTH_UNKNOWN };

struct sample_pair { /* the sample to judge, and the one before for rates */
    const double *value;
    const double *previous;
    uint32_t present, previous_present;
    double elapsed_s; /* between them; 0 if there is none before */
};

enum truth detect_conditions(const struct condition *conditions, uint32_t count,
                             const struct sample_pair *pair);
void detect_report(struct core *core, uint32_t number, const struct sample_pair *pair, instant at, bool hole);
void detect_silence(struct core *core, uint32_t number);
duration detect_silent_after(const struct core *core, const struct node *node, uint32_t slot);
void detect_adopt_generation(struct core *core, uint32_t number);
/* How long a run of samples may be without one before it is broken: one may be missing, two may not. A
 * quarter of an interval is for the jitter of sampling. */
static inline duration detect_hole(const struct node *node)
{
    return 2 * node->interval_ns + node->interval_ns / 4;
}

/* A run of samples from `since` to `at` has lasted `wanted`, give or take the jitter of sampling. */
bool detect_lasted(const struct node *node, instant since, instant at, duration wanted);

/* --- plan.c, guard.c, act.c, verify.c: one incident ----------------------------------------------------- */

uint32_t plan_take_slot(struct core *core, uint32_t number); /* zeroed, on the node's list; or NO_INDEX */
uint32_t plan_find(const struct core *core, uint64_t id);    /* slot or NO_INDEX */
uint32_t plan_open(struct core *core, uint32_t number, uint32_t detector,
                   struct effects *out); /* slot or NO_INDEX */
void plan_reopen(struct core *core, uint32_t slot, struct effects *out);
void plan_advance(struct core *core, uint32_t slot, struct effects *out); /* OPEN and PLANNED */
void plan_next_rung(struct core *core, uint32_t slot, enum why why, struct effects *out);
void plan_decline(struct core *core, uint32_t slot,
                  struct effects *out); /* of a PLANNED one: the next rung */
void plan_close(struct core *core, uint32_t slot, enum incident_state state, enum why why,
                struct effects *out);
void plan_release(struct core *core, uint32_t slot);
void plan_retry(struct core *core, uint32_t slot,
                enum remedy remedy); /* ESCALATED to PLANNED, on a person's word */
bool plan_is_explained(const struct core *core, const struct incident *incident);
void plan_due(struct core *core, uint32_t slot, struct effects *out);

/* target.c: what is remembered of a node beyond its incidents */
void target_init(struct node_cold *cold);
void target_restore(struct core *core, uint32_t number, const struct target *target);
void target_note_health(struct core *core, uint32_t number, struct effects *out); /* it may have changed */
void target_note_trouble(struct core *core, uint32_t number); /* it is in trouble until now */
void target_note_opening(struct core *core, uint32_t number); /* trouble begins: is it the old one still? */
void target_note_action(struct core *core, uint32_t number, const struct restored_action *action);
bool target_is_maintained(const struct core *core, uint32_t number, instant *until_at);
instant target_backs_off_until(const struct core *core, uint32_t number); /* INSTANT_NONE: it does not */
uint32_t target_attempts(const struct core *core, uint32_t number, duration within_ns);

enum block_reason guard_check(const struct core *core, const struct incident *incident);
void guard_note(struct core *core, uint32_t slot, enum block_reason reason, struct effects *out);
void guard_check_breaker(struct core *core, struct effects *out);
void guard_reset_breaker(struct core *core);

void act_order(struct core *core, uint32_t slot, struct effects *out);
void act_end(struct core *core, uint32_t slot, const struct command_end *end, struct effects *out);
void act_no_answer(struct core *core, uint32_t slot, struct effects *out);
/* If it was disrupted, its cooldown counts from now. */
void act_release(struct core *core, uint32_t slot, bool disrupted, struct effects *out);

duration verify_within(const struct core *core,
                       const struct incident *incident); /* its rung's time for a verdict */
void verify_begin(struct core *core, uint32_t slot, enum why why, struct effects *out);
void verify_report(struct core *core, uint32_t slot, const struct sample_pair *pair, bool hole,
                   struct effects *out);
void verify_due(struct core *core, uint32_t slot, struct effects *out);

/* --- orders.c, reload.c, restore.c: the rarer events ---------------------------------------------------- */

void orders_command_end(struct core *core, const struct event *event, struct effects *out);
void orders_person(struct core *core, const struct event *event, struct effects *out);
void orders_proposal(struct core *core, const struct event *event, struct effects *out);

void reload_policy(struct core *core, const struct event *event);
uint32_t reload_find_detector(const struct policy *policy, const char *name); /* its place, or NO_INDEX */

void restore_step(struct core *core, const struct event *event, struct effects *out);
void restore_gap(struct core *core, const struct event *event);

#endif
