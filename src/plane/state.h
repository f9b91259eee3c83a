/* What the control plane consists of, for the files of this folder. plane.c drives, record.c turns effects
 * into rows, restore.c begins and begins anew, api_*.c take requests. All of it runs on the loop's thread. */
#ifndef PLANE_STATE_H
#define PLANE_STATE_H

#include "core/gate.h"
#include "journal/recorder.h"
#include "plane/access.h"
#include "plane/clock.h"
#include "plane/commits.h"
#include "plane/events.h"
#include "plane/faults.h"
#include "plane/loop.h"
#include "plane/plane.h"
#include "plane/roster.h"
#include "plane/play.h"
#include "plane/shapes.h"
#include "plane/tally.h"
#include "wire/server.h"

#include <stdio.h>

enum {
    GATE_CAPACITY = 4096,
    DEADLINES_PER_TURN = 256, /* then requests have their turn */
    PULSE_MS = 100,
    CONNECTIONS_MAX = 4096,
    DESCRIPTORS_ASIDE = 32, /* for the database, the log, and what the loop needs */
    TROUBLE_SIZE = 512,
    POLICY_BYTES_MAX = 128 * 1024
};

enum plane_condition {
    CONDITION_STARTING, /* the new epoch is not durable yet */
    CONDITION_READY,
    CONDITION_DEGRADED /* a commit failed: nothing is decided until one succeeds again */
};

/* A request whose answer waits: for a commit, or for a command (then `ticket` is 0). */
struct waiter;
enum wait_end { WAIT_DONE, WAIT_LATE, WAIT_FAILED };
typedef void waiter_end(struct plane *plane, const struct waiter *waiter, enum wait_end end);
struct waiter {
    struct request *request;
    waiter_end *end;
    uint64_t ticket;
    instant by;
    uint32_t node;
    uint32_t accepted; /* how many, as the answer says it */
    uint64_t id;
};

struct counts {
    uint64_t nameless, forbidden; /* requests without a known token, or without the right */
    uint64_t reports, lost_reports, late_reports, old_reports, bad_reports, notices, gaps, rebuilds;
    uint64_t closed[INCIDENT_STATE_COUNT][VERDICT_COUNT];
    uint64_t opened;
    uint64_t ended[REMEDY_COUNT][OUTCOME_COUNT];
    uint64_t ordered[REMEDY_COUNT];
    uint64_t blocked[BLOCK_REASON_COUNT];
};

struct plane {
    struct event_base *base;
    struct server *server;
    struct access *access; /* NULL: no tokens, everybody on the loopback may do everything */
    char *token_file;
    char database[4096];
    FILE *log; /* NULL: nowhere */
    bool owns_log;
    int ready_fd;

    struct clock clock;
    instant now;            /* of the present turn, never earlier than the one before */
    instant pinged_at;      /* watchers */
    instant deadlines_from; /* after a gap: waiting reports are taken in first */

    enum plane_condition condition;
    char trouble[TROUBLE_SIZE]; /* why it is degraded, or was last */
    instant probe_at;           /* degraded: when the next attempt is made; INSTANT_NEVER: one is under way */
    uint64_t probe_ticket;
    uint64_t epoch;          /* the one that the probe makes durable */
    uint64_t epoch_at_start; /* the first one of this process; hellos lift it by so much in all */

    void *core_memory;
    struct core *core;
    struct gate *gate;
    struct effects effects; /* of the newest step */
    struct commits commits;
    struct store *reader;

    struct roster roster;
    struct faults faults;
    struct tally tally;
    struct events events;
    struct counts counts;
    struct book *book;     /* of durable rows; NULL: read it when it is asked for */
    uint64_t book_ticket;  /* the batch that changed a row of it last */
    uint64_t book_durable; /* it was read when so much was durable */

    uint64_t policy_version; /* 0: none yet */
    char *policy_text;       /* the file, as the core has it */
    char *first_policy;      /* what a start with --policy, or an empty database, shall use; then NULL */

    struct waiter *waiters; /* any order */
    uint32_t waiter_count, waiter_room;
    uint32_t connections; /* at most; seven of eight may wait, so that newcomers always find a place */
    uint32_t sweep;       /* node whose row is looked at next */

    struct recorder *recorder; /* NULL: nothing is recorded */
    bool recorded;             /* something, in this turn of the loop */
    uint64_t recorded_ticket;  /* of the gate, durable: told last */

    duration inject_gap_ns;       /* between two faults on one node */
    struct repertoire repertoire; /* of scenarios */
    struct play *play;            /* the one that is being played, or was last; NULL: none yet */
    instant struck_at;            /* the newest fault of the control plane itself; INSTANT_NONE: never */

    struct watch *wake, *pulse, *due, *flush, *sent, *turned, *stall;
};

/* --- plane.c ------------------------------------------------------------------------------------------- */

/* A new turn: takes the time, and notices that we were away. Called first by all that the loop calls. */
void plane_turn(struct plane *plane);

/* Steps the core with an event at plane->now; rows, ticket and gate are seen to. The gate must have room.
 * Effects stay in plane->effects until the next step. */
void plane_step(struct plane *plane, struct event *event);

/* Something was recorded: it is written when this turn of the loop ends. */
void plane_recorded(struct plane *plane);

/* Runs due deadlines, at most DEADLINES_PER_TURN, and sets the timer for the next. */
void plane_run_deadlines(struct plane *plane);

/* True if requests that change something can be taken. */
bool plane_can_act(const struct plane *plane);

/* The reject of the newest step, or REJECT_NONE. */
enum reject plane_reject(const struct plane *plane);

/* Rows are in the present batch: it will be submitted when this turn ends (urgent), or soon. */
void plane_rows_put(struct plane *plane, bool urgent);

/* Something cannot be stored: forget what is not durable, and begin anew from the store. */
void plane_fail(struct plane *plane, const char *why);

/* --- record.c ------------------------------------------------------------------------------------------ */

void record_effects(struct plane *plane); /* plane->effects -> rows, orders, events, counts */
void record_release(struct plane *plane, const struct effect *effect); /* the gate lets it out */
void record_node(struct plane *plane, struct node *node);              /* its row */
void record_fault(struct plane *plane, const struct fault_row *row, const char *text);
void record_notice(struct plane *plane, const char *step, const char *text);
void record_gap(struct plane *plane, const struct node *node, const struct gap_row *row, uint64_t news);
void record_health(struct plane *plane, struct node *node); /* tells watchers if it has changed */
void record_log(struct plane *plane, const char *line);
void record_order_reason(struct plane *plane, struct order *order);

/* --- strike.c ------------------------------------------------------------------------------------------ */

/* Puts a fault on the board, records it, and wakes its node; returns its id. There must be room
 * (faults_room). Not durable before plane_rows_put() has been called and the batch is. */
uint64_t strike_ask(struct plane *plane, const struct fault_asked *asked);
/* Asks its node to end it; false if it is over or being ended already. */
bool strike_clear(struct plane *plane, struct fault_row *row);

/* --- restore.c ----------------------------------------------------------------------------------------- */

/* At the start: the clock, the roster, and the policy to begin with. False with a sentence and errno. */
bool restore_open(struct plane *plane, const struct plane_options *options, char *error, size_t error_size);
bool restore_empty_core(struct plane *plane); /* in fresh memory; false if there is none */
void restore_probe(struct plane *plane); /* makes a new epoch durable; the answer comes through the commits */
/* It is durable: fills the core from the store, and is ready. False, with a sentence, if the store cannot be
 * read. */
bool restore_rebuild(struct plane *plane, char *error, size_t error_size);

/* --- wait.c -------------------------------------------------------------------------------------------- */

/* Keeps the request until `ticket` is durable, or until `by`; its body is gone then. A full list answers 503
 * at once. */
void wait_add(struct plane *plane, const struct waiter *waiter);
bool wait_is_crowded(const struct plane *plane); /* half of all connections wait: no time for long polls */
void wait_durable(struct plane *plane);          /* commits have moved */
void wait_command(struct plane *plane, uint32_t node); /* something is there for a long poll */
void wait_late(struct plane *plane);
void wait_fail(struct plane *plane); /* all of them */

/* --- stall.c ------------------------------------------------------------------------------------------- */

/* A control_plane_stall that was asked for is durable: it begins when its answer has left. */
void stall_soon(struct plane *plane);
void stall_run(void *context); /* a timer's call; the process is stopped in it */

/* One that was on when we began, or began anew, is over. */
void stall_forget(struct plane *plane);

/* --- api.c --------------------------------------------------------------------------------------------- */

server_handler api_handle; /* its context is the plane */

#endif
