/* The decision core: Detect -> Plan -> Act -> Verify as one pure function of events.
 *
 * One event in, a few effects out. Same config and same events: same effects, byte for byte. The core does no
 * I/O, reads no clock and allocates nothing; time arrives with each event. The control plane drives it on the
 * real clock, examples/tiny.c drives it by hand.
 *
 *     struct core *core = core_init(memory, &config);        // core_size(&config) zeroed bytes
 *     core_step(core, &event, &effects);                     // for every event
 *     while (core_deadline(core) <= now) { event.kind = EVENT_DEADLINE; core_step(...); }
 *
 * Records (incident moves, commands) must be durable before the commands of the same step are visible to a
 * node agent; gate.h keeps that order. */
#ifndef CORE_CORE_H
#define CORE_CORE_H

#include "core/incident.h"

enum {
    NODE_NAME_SIZE = 64, /* bytes of a node's name, the NUL included */
    CALLS_MAX = 8,       /* services that one service calls */
    EFFECTS_MAX = 24     /* effects of one step */
};

#define MAINTAIN_MAX_NS (30 * 24 * HOUR) /* that long a person may keep a node to himself with one word */

struct core_config {
    uint32_t node_capacity;     /* 1 .. 1,000,000; the driver numbers nodes 0, 1, 2, ... below it */
    uint32_t incident_capacity; /* 1 .. 1,000,000; when full, findings wait and are counted */
    uint64_t seed;              /* of the jitter of back-off */
};

/* --- what goes in --------------------------------------------------------------------------------------- */

enum event_kind {
    EVENT_HELLO,
    EVENT_GOODBYE,
    EVENT_REPORT,
    EVENT_DEADLINE,
    EVENT_COMMAND_END,
    EVENT_OPERATOR,
    EVENT_PROPOSAL,
    EVENT_POLICY,
    EVENT_RESTORE,
    EVENT_GAP,
    EVENT_COUNT
};

/* A node joins, or tells anew who it is. `calls` are node numbers; a callee need not have joined yet. */
struct hello {
    char name[NODE_NAME_SIZE];
    uint64_t boot;        /* changes with each start of the node agent; 0: it keeps none */
    duration interval_ns; /* between its reports; 0: unknown, learned from them */
    uint32_t calls[CALLS_MAX];
    uint32_t calls_count;
    uint32_t reserved;
};

/* All samples of a node at one instant: event.at less `age_ns`. */
struct report {
    uint64_t boot;
    uint64_t sequence; /* rises by one with each report of a boot; 0: the node keeps none */
    duration age_ns;   /* from the node's uptime, not its wall clock */
    double value[METRIC_CAPACITY];
    uint32_t present; /* bit m: value[m] was sampled. Values are finite. */
    uint32_t reserved;
};

struct command_end {
    uint64_t command;
    uint8_t outcome; /* DONE, FAILED, CUT, REFUSED, UNSUPPORTED or EXPIRED */
    uint8_t began;   /* 1: the node may have changed. Not-begun commands may be tried again */
    uint8_t reserved[6];
};

struct operator_order {
    uint64_t incident;    /* approve, decline, acknowledge; else 0 */
    duration maintain_ns; /* maintain: event.node is left alone for so long from now; 0 ends it */
    uint32_t plan;        /* approve, decline: the plan that the person saw, incident.plan */
    uint8_t word;         /* enum operator_word */
    uint8_t remedy;       /* approve, decline: its remedy; REMEDY_NONE: not said */
    uint8_t reserved[2];
};

struct proposal {
    uint64_t incident;
    uint8_t remedy; /* enum remedy */
    uint8_t reserved[7];
};

/* The row of things that outlive the core: written when one of them changes, given back by a restore event.
 */
struct control {
    uint64_t epoch;         /* of this control plane; above every epoch that was ever used */
    uint64_t next_incident; /* ids to be given next */
    uint64_t next_command;
    uint32_t forgiven; /* unhealthy nodes that a person knew of when he reset the breaker */
    uint8_t paused;
    uint8_t breaker_open; /* latched until a person resets it */
    uint8_t reserved[2];
};

/* What outlives the incidents of a target: written when it changes, given back by a restore event. */
struct target {
    instant ended_at;         /* end of the newest action or of its verification; INSTANT_NONE: never */
    instant trouble_at;       /* it was in trouble until then; INSTANT_NONE: never */
    instant maintained_until; /* by a person's word; INSTANT_NONE: not */
    instant changed_at[CHANGES_MAX]; /* ring of the changes of its health; INSTANT_NONE where there is none */
    uint32_t change_next;            /* place in the ring */
    uint32_t streak;                 /* actions since it was last well for long: what back-off counts */
    uint8_t flapping;                /* 1: its health changes too often to act */
    uint8_t reserved[7];
};

/* What restore events bring back, in this order: control, nodes (those that were here by a hello, older ones
 * by RESTORE_NODE), targets, incidents the oldest first (all that are open or escalated, and those resolved
 * within the recurrence window), and the commands of the last SPAN_MAX_NS the oldest first, each as an
 * action. */
enum restore_kind { RESTORE_CONTROL, RESTORE_INCIDENT, RESTORE_ACTION, RESTORE_NODE, RESTORE_TARGET };

struct restored_action {    /* a disruptive command of the past, for attempts, cooldown and rates */
    uint64_t command, boot; /* if its incident was restored before, this completes its command */
    instant expires_at;
    instant acted_at;
    instant ended_at;
    uint64_t rule, meaning; /* as in the command */
    uint8_t remedy;
    uint8_t by_person;
    uint8_t reserved[6];
};

struct restore {
    uint8_t kind;
    uint8_t reserved[7];
    union {
        struct control control;
        struct incident incident; /* `detector` is looked up by name */
        struct restored_action action;
        struct hello node; /* known of old, but absent until it is heard of: not part of the fleet */
        struct target target;
    } what;
};

struct gap {
    duration length_ns; /* how long our clock jumped or we were suspended */
};

struct event {
    instant at; /* never earlier than the event before */
    uint32_t node;
    uint8_t kind; /* enum event_kind */
    uint8_t reserved[3];
    union {
        struct hello hello;
        struct report report;
        struct command_end command_end;
        struct operator_order operator_order;
        struct proposal proposal;
        const struct policy *policy; /* copied during the step */
        struct restore restore;
        struct gap gap;
    } of;
};

/* --- what comes out ------------------------------------------------------------------------------------- */

enum effect_kind {
    EFFECT_RECORD,  /* an incident moved or changed: store it, with the line for its timeline */
    EFFECT_ACT,     /* a command: store the intent, then let its node agent have it */
    EFFECT_ENDED,   /* a command ended: store its outcome */
    EFFECT_BLOCKED, /* an action was stopped: store reason and count */
    EFFECT_CONTROL, /* the control row changed: store it */
    EFFECT_TARGET,  /* what is remembered of a node changed: store it */
    EFFECT_ASK,     /* ask the planner about an incident */
    EFFECT_NOTIFY,  /* tell people */
    EFFECT_REJECT,  /* the event itself could not be taken, and why */
    EFFECT_COUNT
};

#define X_REJECTS(X)                                                                                         \
    X(NONE, "none", "")                                                                                      \
    X(UNKNOWN_NODE, "unknown_node", "no node has this number")                                               \
    X(OLD_REPORT, "old_report", "a report with this or a higher sequence number was already evaluated")      \
    X(LATE_REPORT, "late_report", "its samples are too old to decide on; stored only")                       \
    X(UNKNOWN_INCIDENT, "unknown_incident", "there is no such open incident")                                \
    X(UNKNOWN_COMMAND, "unknown_command", "no such command is waiting for its outcome")                      \
    X(NOT_WAITING, "not_waiting", "this incident is not waiting for that")                                   \
    X(OTHER_PLAN, "other_plan", "the plan has changed since it was shown")                                   \
    X(NOT_ON_LADDER, "not_on_ladder", "the policy does not allow this remedy here")                          \
    X(INCIDENTS_FULL, "incidents_full", "the incident table is full; the finding waits")                     \
    X(BAD_VALUE, "bad_value", "a value is out of its range")
#define X(symbol, ...) REJECT_##symbol,
enum reject { X_REJECTS(X) REJECT_COUNT };
#undef X

struct command {
    uint64_t id; /* (epoch << 32) + sequence: rises for ever, also across restarts */
    uint64_t epoch;
    uint64_t incident;
    uint64_t boot; /* of the node agent it is meant for; 0: any */
    instant ordered_at;
    instant expires_at; /* must have begun by then */
    instant answer_by;
    instant ended_at;       /* INSTANT_NONE while it runs */
    uint64_t rule, meaning; /* keys of the detector's name and meaning, for rate limits */
    uint32_t node;
    uint32_t attempt; /* of its incident, from 1 */
    uint8_t remedy;
    uint8_t outcome;   /* enum outcome */
    uint8_t by_person; /* 1: a person approved it, so the machine's counters leave it out */
    uint8_t reserved[5];
};

struct effect {
    uint8_t kind;   /* enum effect_kind */
    uint8_t reject; /* EFFECT_REJECT: enum reject */
    uint8_t reserved[2];
    uint32_t node;
    instant at;
    union {
        struct incident incident; /* RECORD, BLOCKED, ASK, NOTIFY */
        struct command command;   /* ACT, ENDED */
        struct control control;   /* CONTROL */
        struct target target;     /* TARGET */
    } of;
};

struct effects {
    uint32_t count;
    uint32_t reserved;
    struct effect list[EFFECTS_MAX];
};

/* --- the calls ------------------------------------------------------------------------------------------ */

struct core;

/* Bytes that a core of this size needs. An absurd config is a broken invariant. */
size_t core_size(const struct core_config *config);

/* Makes an empty core in the caller's memory: core_size() bytes, 8-byte aligned and all zero (calloc), which
 * the caller frees. Rows are touched when they are first used, so that capacity costs nothing until then. The
 * core has no policy, hence watches nothing, until the first policy event. Its bytes may be copied, stored
 * and digested. */
struct core *core_init(void *memory, const struct core_config *config);

/* Takes one event. `out` is overwritten. Bad input yields EFFECT_REJECT, never an abort. */
void core_step(struct core *core, const struct event *event, struct effects *out);

/* A hint: a report of this node comes soon. It changes nothing but the processor's caches. */
void core_ahead(const struct core *core, uint32_t node);

/* When EVENT_DEADLINE is next wanted; INSTANT_NEVER if not at all. Not later than now while work is queued.
 */
instant core_deadline(const struct core *core);

/* A digest over everything that went in and came out: equal runs have equal digests. */
uint64_t core_digest(const struct core *core);

/* What a stored command is restored as. What never began ended no action. */
struct restored_action core_restored_action(const struct command *command);

/* --- looking in; nothing here changes anything ---------------------------------------------------------- */

#define X_HEALTHS(X)                                                                                         \
    X(UNKNOWN, "unknown") /* nothing was heard of how it is */                                               \
    X(HEALTHY, "healthy")                                                                                    \
    X(ILL, "ill")         /* a detector fires */                                                             \
    X(HEALING, "healing") /* a command is under way or being verified */                                     \
    X(SILENT, "silent")   /* no report for too long: neither ill nor well */                                 \
    X(GONE, "gone")       /* said goodbye */
#define X(symbol, ...) HEALTH_##symbol,
enum health { X_HEALTHS(X) HEALTH_COUNT };
#undef X

const char *health_name(enum health health);
const char *reject_sentence(enum reject reject);

const char *core_node_name(const struct core *core, uint32_t node); /* "" if unknown */
enum health core_node_health(const struct core *core, uint32_t node);
const struct policy *core_policy(const struct core *core);
const struct control *core_control(const struct core *core);
const struct target *core_target(const struct core *core, uint32_t node); /* NULL if the node is unknown */
/* True while nothing is done to the node because people are at work on it; `*until_at` gets the end. */
bool core_maintained(const struct core *core, uint32_t node, instant *until_at);
uint32_t core_fleet(const struct core *core);     /* nodes that are here: heard of, and not gone */
uint32_t core_unhealthy(const struct core *core); /* of them, ill by themselves or silent */
uint32_t core_disrupted(const struct core *core); /* of them, in flight, verifying or of unknown outcome */
uint32_t core_budget(const struct core *core);    /* how many may be disrupted at once */

/* What an approval of this incident would let go ahead now; REMEDY_NONE if nothing waits for one. */
enum remedy core_approvable(const struct core *core, uint64_t id);

/* The active, escalated or recently resolved incident with this id, or NULL. */
const struct incident *core_incident(const struct core *core, uint64_t id);

#endif
