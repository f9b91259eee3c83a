/* Commits: rows on their way to the disk, in batches, each with a ticket.
 *
 *     loop:    put rows ... commits_submit() --------------------+
 *     writer:                     commit, commits_ended() -> wakes the loop
 *     loop:    commits_take(): what is durable now, or that one failed
 *
 * All rows that are put during one turn of the loop go into one batch, so that many requests share a commit.
 * The gate counts tickets of its own; each batch remembers the newest of them. */
#ifndef PLANE_COMMITS_H
#define PLANE_COMMITS_H

#include "store/store.h"

#include <pthread.h>
#include <stdbool.h>

enum {
    BATCHES_MAX = 1024,
    LATENCY_BOUNDS = 12,
    FULL_ROWS = 2048 /* so many rows that nobody waits for are handed over without waiting for the pulse */
};                   /* batches under way; beyond that rows gather in the next one */

struct commits {
    struct store_writer *writer;
    uint64_t batch;       /* ticket of the batch being filled; 1 is the first */
    uint32_t rows;        /* in it */
    bool dirty, urgent;   /* rows are in it; somebody waits for it */
    uint64_t gate_ticket; /* newest one in it, 0: none */
    struct batch {
        uint64_t ticket, gate_ticket;
        instant submitted_at;
    } way[BATCHES_MAX]; /* under way, oldest first */
    uint32_t head, tail;
    uint64_t durable;      /* committed up to here */
    uint64_t gate_durable; /* the same in the gate's tickets */
    uint64_t latency_count[LATENCY_BOUNDS + 1], committed, failures;
    double latency_sum_s;
    int wake_fd; /* readable when commits_take() has news */
    /* What the writer's thread says: */
    pthread_mutex_t lock;
    uint64_t ended;
    bool failed;
    char error[256];
};

extern const double commits_latency_bounds[LATENCY_BOUNDS]; /* seconds, rising */

int commits_init(struct commits *commits);  /* 0 or a negative errno */
void commits_fini(struct commits *commits); /* the writer is closed already */

store_durable commits_ended; /* on the writer's thread; its context is the struct commits */

/* Hands the present batch over, if there is anything in it and room for it. */
void commits_submit(struct commits *commits, instant now);

enum commits_news { COMMITS_DURABLE, COMMITS_FAILED };

/* What has happened since the last call: `durable` and `gate_durable` have moved, or a commit failed (`error`
 * says why). After a failure nothing is written until commits_forget(). */
enum commits_news commits_take(struct commits *commits, instant now, char *error, size_t error_size);

/* After a failure: everything that is not durable, the batch being filled included, never happened. */
void commits_forget(struct commits *commits);

#endif
