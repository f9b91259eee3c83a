/* What the checkers' files share: the books that an onlooker keeps. Private to src/sim/check*.c.
 *
 * Incidents and commands stand in the books twice: as the core says they are now, and as the store has them.
 * Between the two wait the rows of steps that are not committed; a crash forgets these and goes back to what
 * the store has. */
#ifndef SIM_CHECK_STATE_H
#define SIM_CHECK_STATE_H

#include "sim/check.h"

/* Rows by id, ascending. */
struct shelf {
    char *rows; /* each begins with its uint64_t id */
    size_t row_size;
    uint32_t count, room;
};

struct incident_book {
    uint64_t id;
    uint64_t command;
    instant opened_at, blocked_at;
    instant moved_at;   /* its state changed */
    instant active_at;  /* opened, reopened, or taken back from people */
    instant word_until; /* a person approved its plan, and it is not used up; INSTANT_NONE: no such word */
    uint32_t node, attempts, reopened, plan, blocked_count;
    uint8_t state, rung, remedy, outcome, verdict, block, why;
    uint8_t acknowledged, approved, local_cause;
    uint8_t rested; /* it was seen waiting for people since it moved, or has ended */
    char detector_name[DETECTOR_NAME_SIZE];
};

struct command_book {
    uint64_t id, epoch, incident;
    instant ordered_at, expires_at, ended_at;
    uint32_t node;
    uint32_t effects; /* in the world */
    uint8_t remedy, outcome, by_person, reserved[5];
};

/* Of a node, what the store must bring back. */
struct node_kept {
    instant maintained_until;           /* by a person's word */
    instant ended_at;                   /* a verification began or ended */
    instant acted_at[ATTEMPTS_MAX + 1]; /* the machine's commands, the newest first */
    uint32_t streak;                    /* of them, without a long time between */
    uint32_t reserved;
};

struct node_book {
    struct node_kept kept, durable;
    instant sampled_at; /* newest sample that may have been judged; INSTANT_NONE */
    instant heard_at;   /* newest report that was not refused */
    instant arrived_at;
    instant fresh_from; /* samples after it count as fresh for the newest command */
    duration interval_ns;
    uint64_t epoch_seen; /* newest that its node agent has seen */
    uint32_t fresh;
    uint32_t busy;                  /* incidents of it that are acting or verifying */
    uint32_t hidden;                /* what hides faults of its processor and storage, at present */
    uint32_t ill;                   /* incidents of it with a local cause that are not resolved */
    uint32_t open;                  /* incidents of it that are not resolved */
    uint32_t present;               /* metrics in its newest report */
    uint32_t change_next;           /* as the core told of its target */
    instant steady_from;            /* samples without a hole; INSTANT_NONE: none yet */
    instant moved_at[CHANGES_MAX];  /* its incidents moved, the newest first */
    instant turned_at[CHANGES_MAX]; /* it turned ill or well, as the core told */
    uint8_t known, here, declared;
    uint8_t has_left; /* at least once: then the core may have forgotten what people have of it */
    char name[NODE_NAME_SIZE];
};

struct control_book {
    uint64_t next_incident, next_command;
    uint32_t forgiven;
    uint8_t paused, breaker_open, reserved[2];
};

enum pending_kind { PENDING_INCIDENT, PENDING_COMMAND, PENDING_CONTROL, PENDING_NODE };

struct pending {
    uint64_t ticket;
    instant at;
    uint32_t node;
    uint32_t kind;
    union {
        struct incident_book incident;
        struct command_book command;
        struct control_book control;
        struct node_kept kept;
    } of;
};

struct action { /* a disruptive command of the machine's own */
    instant at;
    uint64_t command, rule;
    uint32_t node;
    uint32_t remedy;
};

struct fault_book {
    instant since_at; /* INSTANT_NONE: this place is free */
    uint32_t node;
    uint8_t kind;
    uint8_t found;   /* an incident of this node was there */
    uint8_t excused; /* nobody could be expected to find it */
    uint8_t reserved;
};
enum { FAULTS_FOLLOWED = 1024 }; /* at once; more are not followed */

struct checker {
    uint32_t nodes;
    uint32_t violations;
    struct violation violation[VIOLATIONS_MAX];
    struct checker_seen seen;

    struct node_book *node;
    struct shelf incidents, durable_incidents; /* incident_book */
    struct shelf commands, durable_commands;   /* command_book */
    struct control_book control, durable_control;
    struct pending *pending; /* ring, the oldest first */
    uint32_t pending_first, pending_count, pending_room;
    bool full_told;

    struct policy policy;
    uint32_t fleet;
    uint32_t disrupted;      /* incidents acting or verifying */
    uint64_t epoch;          /* newest used */
    uint64_t epoch_restored; /* of the restore event that is under way */
    instant away_until;
    instant policy_at;  /* the newest one came */
    instant crashed_at; /* INSTANT_NONE: it runs */
    bool has_lived;     /* it has crashed at least once: what is restored must be in the books */
    bool older_rows;    /* the store had actions or targets from before the checker's time */
    bool breaker_due;   /* so many are ill that it must be open */

    struct action action[CHECKER_ACTIONS]; /* ring */
    uint32_t action_next;
    struct fault_book fault[FAULTS_FOLLOWED];
    uint32_t fault_count; /* places below it were used */

    /* The step under way. */
    struct event step; /* without its policy */
    bool step_open;
    bool breaker_before;
    uint64_t ticket;
    uint32_t changed[EFFECTS_MAX + 1]; /* nodes whose kept row has changed */
    uint32_t changed_count;
};

void violation_add(struct checker *checker, instant at, uint32_t node, enum invariant invariant,
                   const char *format, ...) __attribute__((format(printf, 5, 6)));

/* --- check_books.c: the books themselves ---------------------------------------------------------------- */

void *shelf_find(const struct shelf *shelf, uint64_t id);
void *shelf_put(struct shelf *shelf,
                uint64_t id); /* its row, zeroed if it is new; NULL if there is no room */
void *shelf_row(const struct shelf *shelf, uint32_t number);
bool shelf_copy(struct shelf *to, const struct shelf *from);

struct node_book *books_node(struct checker *checker, uint32_t node); /* NULL beyond what is followed */
void books_changed(struct checker *checker, uint32_t node);           /* its kept row */
void books_pend(struct checker *checker, const struct pending *pending);
void books_commit(struct checker *checker, uint64_t ticket);
void books_crash(struct checker *checker);
void books_full(struct checker *checker, instant at, const char *what);

/* An incident is in `state` now: whether it counts as disrupted, and as an illness of its node. */
void books_count(struct checker *checker, const struct incident_book *book, int by);

/* The step is a node agent's word that its command never began: that disrupted nobody. */
static inline bool step_tells_not_begun(const struct checker *checker)
{
    return checker->step.kind == EVENT_COMMAND_END && !checker->step.of.command_end.began &&
           checker->step.of.command_end.outcome != OUTCOME_DONE;
}

bool state_is_active(uint8_t state);
bool state_is_disrupted(uint8_t state);

/* --- check_safety.c ------------------------------------------------------------------------------------- */

void safety_record(struct checker *checker, const struct effect *effect); /* RECORD and BLOCKED */
void safety_blocked(struct checker *checker, const struct effect *effect, const struct incident_book *before);
void safety_act(struct checker *checker, const struct effect *effect);
void safety_ended(struct checker *checker, const struct effect *effect);
void safety_control(struct checker *checker, const struct effect *effect);

/* --- check_order.c: what is asked of an order ----------------------------------------------------------- */

void order_check(struct checker *checker, const struct command *command, struct incident_book *incident);
bool order_is_maintained(const struct checker *checker, const struct node_book *node, instant at);
void order_policy_ends(struct checker *checker, instant at); /* before another one is taken */
void order_note_illness(struct checker *checker, const struct incident_book *book); /* one more is ill */

/* --- check_excuse.c: why nothing is done ---------------------------------------------------------------- */

void excuse_init(struct node_book *node);
void excuse_note_move(struct node_book *node, const struct incident_book *before,
                      const struct incident_book *after, instant at);
void excuse_note_target(struct node_book *node, const struct target *target, instant at);
/* Before sampled_at moves on. */
void excuse_note_report(struct node_book *node, const struct report *report, instant sampled_at, instant at);
void excuse_note_restart(struct checker *checker, instant at);
void excuse_check(struct checker *checker, const struct effect *effect, const struct incident_book *before);
void excuse_check_breaker(struct checker *checker, instant at); /* after a step that has opened it */
void excuse_check_told(struct checker *checker, const struct effects *effects, const struct effect *effect);
/* The reason that the core gives may be so, in the case that is best for it, now or up to `slack_ns` ago. */
bool excuse_holds(const struct checker *checker, const struct incident_book *book, enum block_reason reason,
                  instant at, duration slack_ns);

/* --- check_liveness.c ----------------------------------------------------------------------------------- */

void liveness_found(struct checker *checker, uint32_t node);              /* an incident of it is open */
void liveness_excuse(struct checker *checker, uint32_t node);             /* NO_INDEX: all faults under way */
void liveness_report(struct checker *checker, uint32_t node, instant at); /* before heard_at moves on */
void liveness_sampled(struct checker *checker, uint32_t node, uint32_t present);
void liveness_anew(struct checker *checker, uint32_t node, instant at); /* NO_INDEX: all of them */

#endif
