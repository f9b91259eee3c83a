/* The store: what outlives the control plane. Nodes, incidents with their timeline, commands, block reasons,
 * faults, samples, policy versions and the control row; in a SQLite file, or in PostgreSQL.
 *
 * Exactly one connection writes (and checkpoints: SQLite's WAL-reset race, docs/store.md); it belongs to a
 * thread of its own, so that the control plane's loop never waits for a disk. The loop hands rows over
 * together with the gate's ticket; the thread commits whatever waits in one transaction and says which ticket
 * is durable. Readers have read-only connections of their own. A failed commit is reported and nothing of it
 * is kept; a failed fsync of SQLite's aborts the process (the kernel may have dropped the pages). A lost
 * connection to a server is made anew, and what was under way is tried again or found to have been committed.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "core/core.h"

#include <stdbool.h>
#include <stddef.h>

struct store;        /* a reader's connection */
struct store_writer; /* the writing connection and its thread */

enum { STORE_TEXT_MAX = 512, STORE_WORD_MAX = 64 };

/* --- rows --------------------------------------------------------------------------------------------- */

struct node_row {
    char name[NODE_NAME_SIZE];
    char role[STORE_WORD_MAX];
    char zone[STORE_WORD_MAX];
    char address[STORE_WORD_MAX];
    char calls[CALLS_MAX][NODE_NAME_SIZE]; /* names */
    uint32_t calls_count;
    uint32_t number; /* the core's; dense from 0, given in order of enrolment and never reused */
    uint64_t boot;
    uint64_t sequence; /* highest stored of this boot */
    duration interval_ns;
    instant seen_at; /* newest report */
    bool gone;       /* said goodbye */
    bool synthetic;  /* of the world model */
    bool program;    /* of one's own, in place of the built-in service */
};

struct timeline_row {
    uint64_t incident;
    instant at;
    uint8_t remedy;            /* of the plan in force; REMEDY_NONE, and so in the lines of commands */
    uint8_t verdict;           /* on the newest command */
    char step[STORE_WORD_MAX]; /* DETECT, PLAN, ... */
    char state[STORE_WORD_MAX];
    char text[STORE_TEXT_MAX];
};

struct command_row {
    struct command command; /* its node's number is in it */
    double took_s;          /* as the node agent tells it; NaN if unknown */
    char detail[STORE_TEXT_MAX];
};

struct target_row {
    uint32_t node;
    struct target target;
};

struct block_row { /* one per incident and reason: first, last, count */
    uint64_t incident;
    uint32_t node;
    uint8_t reason;
    uint8_t remedy;
    instant first_at, last_at;
    uint64_t count;
    char finding[DETECTOR_NAME_SIZE]; /* filled by readers */
};

enum fault_state { FAULT_ASKED, FAULT_ACTIVE, FAULT_ENDED, FAULT_FAILED };
enum fault_effect { EFFECT_WAITING, EFFECT_SEEN, EFFECT_NONE };

/* "asked", "active", ...; "waiting", "seen", "none": the words of the database and the API. Or -1 for no such
 * word. */
const char *fault_state_name(enum fault_state state);
const char *fault_effect_name(enum fault_effect effect);
int fault_state_of(const char *word);
int fault_effect_of(const char *word);

struct fault_row {
    uint64_t id;
    uint32_t node;   /* NO_INDEX: the control plane itself */
    uint8_t kind;    /* enum fault_kind */
    uint8_t state;   /* enum fault_state */
    uint8_t effect;  /* enum fault_effect */
    uint8_t shape;   /* enum shape */
    uint8_t removal; /* enum fault_effect: after its end, was the metric seen to go back? */
    uint8_t reserved[3];
    double intensity;
    double before, after; /* of the metric that must move; NaN if unknown */
    double restored;      /* the same when its removal was seen */
    duration lease_ns;
    duration period_ns; /* of the shape; 0: it has none */
    instant asked_at;
    instant injected_at; /* INSTANT_NONE until it is on */
    instant ended_at;    /* INSTANT_NONE while it may be on */
    char reason[STORE_TEXT_MAX];
};

enum gap_reason { GAP_SPOOL_FULL, GAP_DAMAGED };

/* "spool_full", "damaged"; or -1. */
const char *gap_reason_name(enum gap_reason reason);
int gap_reason_of(const char *word);

struct gap_row { /* reports that a node agent had to give up: first..last of a boot */
    uint32_t node;
    uint8_t reason; /* enum gap_reason */
    uint64_t boot, first, last;
    instant at; /* when we were told first */
};

struct samples_row {
    uint32_t node;
    instant at; /* of the sample, by the control plane's clock */
    uint64_t boot, sequence;
    uint32_t present;
    double value[METRIC_CAPACITY];
};

struct rollup_row { /* of one node's metric, over a step */
    instant at;     /* when the step begins */
    double least, most, mean, last;
    double count; /* samples */
};

struct policy_row {
    uint64_t version; /* 1, 2, 3 ... */
    instant at;
    const char *text; /* the file; copied on the way in, owned by the store and valid during the call on the
                         way out */
};

struct control_row {
    struct control control;
    instant at; /* the newest instant that was made durable: the plane's clock starts no earlier */
};

/* --- which store ----------------------------------------------------------------------------------------
 * A store is named sqlite:PATH or PATH, or postgresql://USER@HOST/NAME with whatever else libpq takes. */

/* False with a sentence: no store can have that name. */
bool store_check_name(const char *store, char *error, size_t error_size);

/* The path of a file, or NULL: it is on a server. */
const char *store_path(const char *store);

/* The name as people may read it: without a password. */
void store_show(const char *store, char *out, size_t size);

/* On a server: a place (a schema) of its own called `name`, empty; what a run before left there is kept as
 * NAME_previous. `out` gets the store's name with that place. 0, or a negative errno with a sentence. */
int store_make_room(const char *store, const char *name, char *out, size_t size, char *error,
                    size_t error_size);

/* --- writing, from the loop's thread ------------------------------------------------------------------ */

/* Called on the writer's thread whenever a commit ended: everything handed over with `ticket` or a lower one
 * is durable (error NULL), or the commit failed (a sentence, valid during the call) and whatever was not
 * called durable before is lost: see store_discard(). It must only wake the loop. */
typedef void store_durable(void *context, uint64_t ticket, const char *error);

/* Creates the file if need be, runs the migrations, takes the lock that keeps a second control plane out,
 * starts the thread. Returns 0, or a negative errno with a sentence in `error` (-EWOULDBLOCK: another control
 * plane has it). */
int store_writer_open(struct store_writer **writer, const char *store, store_durable *durable, void *context,
                      char *error, size_t error_size);

/* Before the first row: history is left to the next writer. */
void store_keep_no_history(struct store_writer *writer);

/* Commits what waits, checkpoints, stops the thread, releases the lock. */
void store_writer_close(struct store_writer **writer);

/* Each copies its row into the present batch; nothing is written before store_submit(). They return 0 or
 * -ENOMEM when the batch has reached its bound (64 MiB wait for the disk); then the caller must refuse new
 * work for a while. */
int store_put_node(struct store_writer *writer, const struct node_row *row); /* insert or replace by name */
int store_put_incident(struct store_writer *writer,
                       const struct incident *incident); /* insert or replace by id */
int store_put_timeline(struct store_writer *writer, const struct timeline_row *row); /* append */
int store_put_command(struct store_writer *writer,
                      const struct command_row *row); /* insert or replace by id */
int store_put_target(struct store_writer *writer,
                     const struct target_row *row); /* insert or replace by node */
int store_put_block(struct store_writer *writer,
                    const struct block_row *row); /* insert, or last and count of the row */
int store_put_fault(struct store_writer *writer, const struct fault_row *row); /* insert or replace by id */
int store_put_gap(struct store_writer *writer,
                  const struct gap_row *row); /* insert, or widen the one with its first */
int store_put_samples(struct store_writer *writer, const struct samples_row *row); /* append */
int store_put_policy(struct store_writer *writer, const struct policy_row *row);   /* append */
int store_put_control(struct store_writer *writer, const struct control_row *row); /* the one row */

/* Hands the batch over. `urgent` wakes the thread at once; otherwise it is committed with the next urgent
 * one, or after a quarter of a second (samples alone). Tickets rise; 0 means no ticket. */
void store_submit(struct store_writer *writer, uint64_t ticket, bool urgent);

/* After a failed commit nothing more is written and nothing more is reported, since later rows build on the
 * lost ones, until the caller has thrown away what he based on them and says so here. It drops every row that
 * waits. */
void store_discard(struct store_writer *writer);

/* --- reading; each reader is used by one thread ------------------------------------------------------- */

/* Opens read-only. -ENOENT if there is no such file; -EINVAL with a sentence if it is not ours or of another
 * version. */
int store_open(struct store **store, const char *name, char *error, size_t error_size);
void store_close(struct store **store);

/* From now on the reader asks nobody while the writer knows that the server is away: a question would take
 * seconds to fail, and whoever asks, the control plane's loop, has none. The writer's thread looks once a
 * second whether it is back. */
void store_follow(struct store *store, struct store_writer *writer);

/* Each calls `each` per row until it returns false. They return the number of rows, or a negative errno. */
typedef bool each_node(void *context, const struct node_row *row);
typedef bool each_incident(void *context, const struct incident *incident);
typedef bool each_timeline(void *context, const struct timeline_row *row);
typedef bool each_command(void *context, const struct command_row *row);
typedef bool each_target(void *context, const struct target_row *row);
typedef bool each_block(void *context, const struct block_row *row);
typedef bool each_fault(void *context, const struct fault_row *row);
typedef bool each_gap(void *context, const struct gap_row *row);
typedef bool each_samples(void *context, const struct samples_row *row);

struct incident_filter {
    uint64_t id;        /* 0: any */
    int64_t node;       /* -1: any */
    int state;          /* -1: any */
    bool open_or_since; /* active, escalated, or closed at `since` or later; for restore */
    instant since;
    unsigned limit; /* 0: no limit. Newest first */
};

int store_nodes(struct store *store, each_node *each, void *context); /* by number */
int store_incidents(struct store *store, const struct incident_filter *filter, each_incident *each,
                    void *context);
int store_timeline(struct store *store, uint64_t incident, each_timeline *each,
                   void *context); /* oldest first */
int store_commands(struct store *store, uint64_t incident, int64_t node, instant since, each_command *each,
                   void *context); /* incident 0 and node -1: any; oldest first */
int store_command(struct store *store, uint64_t id, struct command_row *row); /* 0 rows: there is none */
int store_targets(struct store *store, each_target *each, void *context);
int store_blocks(struct store *store, uint64_t incident, unsigned limit, each_block *each, void *context);
int store_faults(struct store *store, uint64_t id, bool active_only, unsigned limit, each_fault *each,
                 void *context); /* newest first */
int store_gaps(struct store *store, int64_t node, each_gap *each,
               void *context); /* node -1: any; by boot and first */
int store_samples(struct store *store, uint32_t node, instant from, instant to, each_samples *each,
                  void *context);
typedef bool each_rollup(void *context, const struct rollup_row *row);

/* Of steps of 60 or 3600 s that begin in the span, both ends included; oldest first. */
int store_rollups(struct store *store, uint32_t node, enum metric metric, int step_s, instant from,
                  instant to, each_rollup *each, void *context);

/* From when on there are raw samples, and rollups of a minute; INSTANT_NONE: from the beginning on, or none.
 */
int store_history(struct store *store, instant *raw_from, instant *minutes_from);
int store_policy(struct store *store, struct policy_row *row,
                 char **text); /* the newest; *text is malloc'ed; 0 if none */
int store_control(struct store *store, struct control_row *row); /* 0 rows: never written */

/* --- looking after a store ---------------------------------------------------------------------------- */

struct value; /* store/value.h */

/* The rows of a question of one's own, in SQL that the store's database understands; as the calls above. */
typedef bool each_values(void *context, const struct value *values);
int store_ask(struct store *store, const char *sql, unsigned columns, each_values *each, void *context);

/* A copy of a file's store, whole as of one moment, in the file `to`, which must not be there; a control
 * plane may be writing meanwhile. 0, or a negative errno with a sentence. */
int store_backup(const char *store, const char *to, char *error, size_t error_size);

/* Deletes what was over before `before`: samples, closed incidents with all that belongs to them, ended
 * faults, gaps. Nobody else may be writing (-EWOULDBLOCK). 0, or a negative errno with a sentence. */
int store_prune(const char *store, instant before, char *error, size_t error_size);

/* Why the newest of the calls above returned an errno, as a sentence; "" if it did not. Valid until the next
 * call. */
const char *store_problem(const struct store *store);

/* "3.40.1" and the like, for doctor. */
const char *store_library_version(void);

#endif
