/* What the simulator's files share. Private to src/sim.
 *
 *     agents.c   node agents: sample, spool, journal, obey
 *     way.c      messages between node agents and control plane
 *     control.c   the control plane: the core, the gate, commits; crash and restore
 *     rows.c     what is durable: the store that the control plane commits to
 *     script.c   faults, accidents, people, and the healing phase
 *     score.c    what a run came to, from the truth of the world */
#ifndef SIM_STATE_H
#define SIM_STATE_H

#include "base/check.h"
#include "base/random.h"
#include "core/gate.h"
#include "sim/queue.h"
#include "scenario/expect.h"
#include "sim/sim.h"

enum {
    SPOOL_MAX = 512,     /* reports kept by a node agent; beyond that the oldest is lost, and told as lost */
    BATCH_MAX = 300,     /* of them in one message of the backlog, as the real one */
    JOURNAL_MAX = 256,   /* command ids a node agent remembers */
    OBEY_MAX = 8,        /* commands waiting at a node agent; more will be offered again */
    LIST_MAX = 8,        /* commands in one answer */
    GATE_ROOM = 4096,    /* effects waiting for their commit */
    PENDING_MAX = 32768, /* rows waiting for their commit; beyond that the control plane says it is busy */
    INJECTIONS_MAX = 65536,   /* faults on single nodes that a score follows; more are struck, not scored */
    DEEDS_MAX = 65536,        /* incidents and commands that expectations may look at; the oldest are kept */
    ACCIDENT_OF_CALLER = 0xff /* the place in the script of what sim_accident() was told */
};

#define ANSWER_LIMIT_NS (3 * SECOND)  /* a node agent gives up waiting for an answer (agent/reporter.c) */
#define TELL_AGAIN_NS   (1 * SECOND)  /* an outcome that was not acknowledged is told again */
#define HELLO_AGAIN_NS  (1 * SECOND)  /* a hello that was not answered */
#define WORK_LIMIT_NS   (20 * SECOND) /* a remedy that takes longer is given up: cut (agent/commander.c) */
#define LONG_POLL_NS    (2 * SECOND)  /* node agents that report less often than this wait for commands */
#define FLUSH_NS        (100 * MILLISECOND) /* rows that nobody waits for are committed this often */
#define COMMIT_NS       (2 * MILLISECOND)   /* of a commit, and the mean of its tail */
#define COMMIT_TAIL_NS  (1 * MILLISECOND)
#define BEGIN_NS        (20 * MILLISECOND)   /* from the start of a control plane to its first commit */
#define GAP_NS          (1100 * MILLISECOND) /* away for longer than this: a gap (plane/clock.c) */
#define GAP_WAIT_NS                                                                                          \
    (250 * MILLISECOND) /* deadlines wait so long for what lies in the sockets (plane/plane.c) */
#define HEALED_DELAY_NS (100 * MILLISECOND) /* of the network when all is healed, at most */
#define STALL_NS        (300 * MILLISECOND)
#define STALL_WAIT_NS   (100 * MILLISECOND)

/* One stream of randomness per purpose. */
enum purpose {
    PURPOSE_PHASE,
    PURPOSE_DRIFT,
    PURPOSE_THERE,
    PURPOSE_BACK,
    PURPOSE_LOSS_THERE,
    PURPOSE_LOSS_BACK,
    PURPOSE_DOUBLE,
    PURPOSE_COMMIT,
    PURPOSE_CRASH,
    PURPOSE_WHICH_PLANE,
    PURPOSE_COUNT
};

/* --- node agents ---------------------------------------------------------------------------------------- */

/* A report, from the sample until it is durable and no copy of it is under way. */
struct record {
    instant sampled_at;
    uint64_t boot, sequence;
    double value[METRIC_COUNT];
    uint32_t present;
    uint32_t next; /* in its spool or on the free list */
    uint32_t references;
    uint32_t accepted; /* low half of the epoch that answered it; 0: none */
};

struct entry { /* of a journal */
    uint64_t id;
    uint8_t outcome; /* NONE: begun and not ended */
    uint8_t began;
    uint8_t acknowledged;
    uint8_t reserved[5];
};

struct waiting_command {
    struct command command;
    instant expires_at; /* as the node agent reckons */
};

struct commander {         /* made when the first command comes */
    struct entry *entries; /* the oldest first */
    uint32_t count, room;
    uint64_t id_floor; /* ids up to here are forgotten, hence refused */
    struct waiting_command queue[OBEY_MAX];
    uint32_t waiting;
    uint64_t running; /* id; 0: none */
    instant began_at;
    uint8_t outcome; /* that it will have */
    bool again;      /* TELL_AGAIN is in the queue */
};

struct agent {
    instant away_until;           /* suspended or down; INSTANT_NONE: neither */
    instant hello_at, backlog_at; /* sent last; INSTANT_NONE: not, or answered */
    uint64_t boot, sequence;      /* of the newest report */
    uint64_t epoch;               /* the highest that was ever seen: on disk */
    uint64_t messages;            /* sent either way: draws are counted by it */
    uint64_t heard_epoch;         /* of the newest answer */
    uint64_t proof;               /* reports above it were sent after all that is accepted of boots before */
    duration interval_ns;         /* on a true clock */
    double rate;                  /* of the node's own clock: 1 is true */
    struct commander *commander;
    uint32_t first, last, spooled; /* of the spool */
    uint32_t lost;                 /* reports that the spool had no room for */
    bool welcome;                  /* the control plane has answered a hello of this boot */
    bool down;                     /* away_until: crashed or left, not suspended */
    bool cut_off;                  /* partitioned, as of the newest sample */
    bool off;                      /* the whole node is */
    instant latest_at;             /* when its messages are there at the latest, on a way with a tail */
};

/* --- the control plane ---------------------------------------------------------------------------------- */

enum { LEDGER_WORDS = SPOOL_MAX / 64 };

/* Which reports of one boot have been accepted, and up to where they are durable. */
struct ledger {
    uint64_t boot, through;        /* all up to `through` are accepted */
    uint64_t stored;               /* ... durable */
    uint64_t beyond[LEDGER_WORDS]; /* bit i: through + 1 + i */
    struct {
        uint64_t through, batch;
    } way[2]; /* on their way to the disk, the older first; batch 0: none */
};

struct plane_node {
    struct ledger ledger; /* of the present boot */
    struct ledger *past;  /* of one before it; NULL: none yet */
    uint64_t boot;
    uint64_t batch;  /* newest one with a row of an effect on this node */
    uint32_t orders; /* of the list below */
    bool told;       /* the core knows it */
};

struct order {
    struct command command;
    bool visible;
};

struct waiting_answer {
    struct happening answer;
    uint64_t batch;
};

struct row {
    uint64_t batch;
    uint8_t kind; /* enum effect_kind, or ROW_HELLO, ROW_GOODBYE */
    struct effect effect;
    uint64_t boot;
};
enum { ROW_HELLO = EFFECT_COUNT, ROW_GOODBYE };

enum plane_state { PLANE_NONE, PLANE_DOWN, PLANE_UP, PLANE_SUSPENDED };

struct plane {
    enum plane_state state;
    uint32_t generation; /* of its life: what was put for an earlier one means nothing */
    uint8_t number;
    void *core_memory;
    struct core *core;
    struct gate *gate;
    struct plane_node *nodes;
    struct order *orders;
    uint32_t order_count, order_room;
    struct waiting_answer *answers;
    uint32_t answer_count, answer_room;
    struct row *rows; /* a ring: the pending view of the store */
    uint32_t row_first, row_count, row_room;
    struct happening *sockets; /* what came while it was suspended */
    uint32_t socket_count, socket_room;
    uint64_t epoch;
    uint64_t batch; /* being filled; 1 is the first */
    uint64_t durable_batch, committing_batch;
    uint64_t ticket, committing_ticket; /* of the gate: newest put; in the commit under way */
    struct control committing_control;
    bool committing, dirty, urgent, flushing;
    instant suspended_at, deadlines_from;
    struct effects effects;
    struct event report; /* the rest of it stays zero */
};

/* What is durable. Shared by all control planes; who began last owns it. */
struct store_node {
    struct target *target; /* NULL: nothing is remembered of it */
    uint64_t boot, boot_stored, past_boot, past_stored;
    instant seen_at;
    bool known, gone;
};

struct store {
    struct control control;
    uint64_t owner;             /* epoch of the control plane that may commit */
    struct incident *incidents; /* by id, rising */
    struct command *commands;
    uint32_t incident_count, incident_room, command_count, command_room;
    struct store_node *nodes;
};

/* --- score ---------------------------------------------------------------------------------------------- */

struct injection {
    struct world_fault fault;
    uint32_t node;
    uint8_t kind;
    bool seen_ill, over;
    instant at, detected_at, recovered_at, well_since; /* INSTANT_NONE: not yet */
    uint32_t next;                                     /* on the same node */
};

struct score {
    struct sim_result result;
    struct injection *injections;
    uint32_t injection_count, injection_room;
    uint32_t *first_injection; /* by node, NO_INDEX: none that is still followed */
    struct deed *deeds;
    uint32_t deed_count, deed_room;
    uint32_t states[INCIDENT_STATE_COUNT];
    double well_ns, lived_ns;
    instant *looked_at; /* by node */
    bool *touched;      /* by node: a command went there */
    uint32_t stride;    /* a power of two: every so many-th sample of a node the truth is looked at */
};

/* --- all of it ------------------------------------------------------------------------------------------ */

struct list { /* commands of one answer */
    struct command command[LIST_MAX];
    duration expires_in_ns[LIST_MAX]; /* when it was answered */
    uint32_t count, next;
};

struct sim {
    struct sim_options options;
    const struct scenario *scenario;
    struct policy policy;
    struct policy *policies;         /* of accidents, by number of the accident */
    struct scenario_network network; /* in force */
    struct queue *queue;
    struct world *world;
    struct world_node *fleet;
    char (*names)[NODE_NAME_SIZE];
    struct agent *agents;
    struct record *records;
    uint32_t record_count, record_room, record_free;
    struct list *lists;
    uint32_t list_count, list_room, list_free;
    struct store store;
    struct plane planes[2];
    struct plane *plane; /* in force */
    struct score score;
    struct scenario_accident own; /* of sim_accident() */
    uint64_t streams[PURPOSE_COUNT];
    uint64_t commits; /* begun: draws are counted by it */
    uint64_t digest, turns;
    uint64_t deadlines_at_once; /* since time went on */
    instant now, heal_at, end_at;
    uint32_t nodes;
    bool healing;
};

/* --- sim.c ---------------------------------------------------------------------------------------------- */

void sim_put(struct sim *sim, enum lane lane, struct happening *happening);
void *sim_block(size_t count, size_t item); /* zeroed, for one large fleet; NULL without memory */
void *sim_grow(void *list, uint32_t *room, size_t item); /* twice as long; no memory aborts */
uint64_t sim_draw(const struct sim *sim, enum purpose purpose, uint64_t who, uint64_t count);
duration sim_delay(uint64_t draw, duration least_ns, duration tail_ns);
void sim_fold(struct sim *sim, uint64_t word); /* into the digest */

static inline void sim_fate(struct sim *sim, enum sim_fate fate)
{
    sim->score.result.fates[fate]++;
}

/* --- way.c ---------------------------------------------------------------------------------------------- */

void way_there(struct sim *sim,
               struct happening *message); /* a node agent sends; `at` and `sent_at` are set here */
void way_back(struct sim *sim, struct happening *answer, instant question_at); /* the control plane answers */
uint32_t list_new(struct sim *sim);
void list_free(struct sim *sim, uint32_t list);
void message_drop(struct sim *sim, const struct happening *message); /* what it holds on to */

/* --- agents.c ------------------------------------------------------------------------------------------- */

void agents_begin(struct sim *sim);
void agent_sample(struct sim *sim, uint32_t node);
void agent_ahead(const struct sim *sim, uint32_t node); /* a hint: its sample comes soon */
void agent_hear(struct sim *sim, const struct happening *answer);
void agent_work_done(struct sim *sim, const struct happening *happening);
void agent_tell(struct sim *sim, uint32_t node); /* all outcomes that nobody has acknowledged */
void agent_crash(struct sim *sim, uint32_t node, instant until);
void agent_suspend(struct sim *sim, uint32_t node, instant until);
void agent_leave(struct sim *sim, uint32_t node, instant until);
void agent_wake(struct sim *sim, uint32_t node); /* back now, whatever it was away for */
void record_drop(struct sim *sim, uint32_t record);
duration agent_age(const struct agent *agent, duration true_ns); /* on its own clock */
bool agent_wants_forwarded(const struct agent *agent, const struct record *record, instant before);

/* --- control.c -------------------------------------------------------------------------------------------
 */

void control_begin(struct sim *sim,
                   struct plane *plane); /* takes the store over, through the usual restore */
void control_end(struct sim *sim, struct plane *plane,
                 enum plane_state state); /* what is not durable is gone */
void control_hear(struct sim *sim, struct plane *plane, const struct happening *message);
void control_ahead(const struct plane *plane, uint32_t node); /* a hint: its report comes soon */
void control_step(struct sim *sim, struct plane *plane, struct event *event);
void control_deadline(struct sim *sim, struct plane *plane);
instant control_deadline_at(const struct plane *plane);
void control_flush(struct sim *sim, struct plane *plane);
void control_commit_end(struct sim *sim, struct plane *plane);
void control_suspend(struct sim *sim, struct plane *plane);
void control_resume(struct sim *sim, struct plane *plane);
bool control_has_room(const struct plane *plane);
void control_forget_nodes(const struct sim *sim, struct plane *plane);

/* offers.c: what is offered, and answered */
void offers_note(struct plane *plane, const struct effect *effect);
void offers_show(struct sim *sim, struct plane *plane, const struct command *command);
void offers_answer(struct sim *sim, struct plane *plane, struct happening *answer);
void offers_answer_durable(struct sim *sim, struct plane *plane);
void offers_restore(struct plane *plane, const struct command *command);

/* reports.c: which reports are accepted and durable */
void reports_accept(struct ledger *ledger, uint64_t sequence, uint64_t lost_below, uint64_t batch,
                    uint64_t durable);
uint64_t reports_stored(struct ledger *ledger, uint64_t durable);
struct ledger *reports_of(struct plane_node *node, uint64_t boot);
void reports_boot(struct plane_node *node, uint64_t boot); /* it starts anew */

/* --- rows.c --------------------------------------------------------------------------------------------- */

void rows_put(struct plane *plane, const struct row *row);
void rows_commit(struct sim *sim, struct plane *plane,
                 uint64_t batch); /* pending rows up to it become durable */
void rows_fini(struct store *store, uint32_t nodes);
const struct incident *rows_incident(const struct store *store, uint64_t id);

/* --- script.c ------------------------------------------------------------------------------------------- */

bool script_begin(struct sim *sim, char *error, size_t error_size);
void script_turn(struct sim *sim, const struct happening *happening);
bool script_means(const struct sim *sim, const struct scenario_target *target, uint32_t node);
uint32_t script_faults(const struct sim *sim, uint32_t node); /* mask of those that are there now */
void script_cured(struct sim *sim, uint32_t node,
                  uint32_t before);                     /* of these, what is not there any more is over */
void script_accident(struct sim *sim, uint32_t number); /* place in the script, or ACCIDENT_OF_CALLER */

/* --- score.c -------------------------------------------------------------------------------------------- */

bool score_begin(struct sim *sim);
void score_fini(struct sim *sim);
void score_sample(struct sim *sim, uint32_t node);
void score_strike(struct sim *sim, const struct world_fault *fault);
void score_opened(struct sim *sim, const struct incident *incident); /* told by the core in force */
void score_incident(struct sim *sim, const struct incident *before, const struct incident *now); /* durable */
void score_ordered(struct sim *sim, const struct command *command); /* a node agent may have it */
void score_done(struct sim *sim, const struct world_done *done);

/* --- the watchers --------------------------------------------------------------------------------------- */

#define SIM_TELL(sim, call, ...)                                                                             \
    do {                                                                                                     \
        for (uint32_t watch_ = 0; watch_ < (sim)->options.watch_count; watch_++)                             \
            if ((sim)->options.watch[watch_].call)                                                           \
                (sim)->options.watch[watch_].call((sim)->options.watch[watch_].context, __VA_ARGS__);        \
    } while (0)

#endif
