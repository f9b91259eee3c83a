#include "store/store.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/text.h"
#include "store/history.h"
#include "store/writer.h"
#include "store/insert.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    WAITING_MAX = 64 << 20,            /* bytes of rows that wait for the disk */
    SAMPLES_MAX = WAITING_MAX / 8 * 7, /* samples stop earlier, so that a step's records still find room */
    /* So much is committed without waiting any longer: about 1200 samples. Where loop and thread share a CPU,
     * a longer batch would keep the loop from it for milliseconds. */
    FULL_BATCH = 128 << 10,
    HISTORY_STEPS = 30, /* after one commit, each of some milliseconds */
    SENTENCE_SIZE = 1024
};

static const duration gather_ns = 250 * MILLISECOND;

struct store_writer {
    /* Constant while the thread runs. */
    store_durable *durable;
    void *context;
    pthread_t thread;
    const struct database *database;

    /* The loop's own. */
    struct rows present;

    /* Shared under `mutex`. */
    pthread_mutex_t mutex;
    pthread_cond_t work;   /* something waits, or the end */
    pthread_cond_t taking; /* the thread has emptied `pending` */
    struct rows pending;
    uint64_t pending_ticket; /* the newest that is not 0 */
    uint64_t durable_ticket;
    instant pending_since; /* of CLOCK_MONOTONIC; INSTANT_NONE while nothing waits */
    bool urgent;
    bool lost; /* a commit failed, and the loop has not said store_discard() yet */
    bool closing;

    /* From both sides without the mutex. */
    atomic_size_t waiting; /* bytes in `pending` and `taken` */
    atomic_bool away;      /* the server; a file never is */

    /* The thread's own, and of the opener before it starts. */
    void *writing;
    struct rows taken;
    struct history history;
    bool keeps_no_history;
    int64_t stepped_ns; /* of CLOCK_MONOTONIC: when history went on last */
};

/* --- the loop's side ---------------------------------------------------------------------------------- */

static int put(struct store_writer *writer, enum row_kind kind, const void *head, size_t head_size,
               const void *tail, size_t tail_size)
{
    size_t bound = kind == ROW_SAMPLES ? SAMPLES_MAX : WAITING_MAX;
    size_t waiting = atomic_load_explicit(&writer->waiting, memory_order_relaxed) + writer->present.used;
    if (waiting + rows_cost(head_size + tail_size) > bound)
        return -ENOMEM;
    return rows_add(&writer->present, kind, head, head_size, tail, tail_size) ? 0 : -ENOMEM;
}

/* A row that ends in a text: only the used part of the text goes along, with its NUL. */
#define PUT_WITH_TEXT(writer, kind, row, text)                                                               \
    put(writer, kind, row,                                                                                   \
        offsetof(__typeof__(*(row)), text) + strnlen((row)->text, sizeof((row)->text) - 1), "", 1)

int store_put_node(struct store_writer *writer, const struct node_row *row)
{
    return put(writer, ROW_NODE, row, sizeof *row, NULL, 0);
}

int store_put_incident(struct store_writer *writer, const struct incident *incident)
{
    return put(writer, ROW_INCIDENT, incident, sizeof *incident, NULL, 0);
}

int store_put_timeline(struct store_writer *writer, const struct timeline_row *row)
{
    return PUT_WITH_TEXT(writer, ROW_TIMELINE, row, text);
}

int store_put_command(struct store_writer *writer, const struct command_row *row)
{
    return PUT_WITH_TEXT(writer, ROW_COMMAND, row, detail);
}

int store_put_block(struct store_writer *writer, const struct block_row *row)
{
    return put(writer, ROW_BLOCK, row, sizeof *row, NULL, 0);
}

int store_put_target(struct store_writer *writer, const struct target_row *row)
{
    return put(writer, ROW_TARGET, row, sizeof *row, NULL, 0);
}

int store_put_fault(struct store_writer *writer, const struct fault_row *row)
{
    return PUT_WITH_TEXT(writer, ROW_FAULT, row, reason);
}

int store_put_gap(struct store_writer *writer, const struct gap_row *row)
{
    return put(writer, ROW_GAP, row, sizeof *row, NULL, 0);
}

int store_put_samples(struct store_writer *writer, const struct samples_row *row)
{
    CHECK(row->present >> METRIC_COUNT == 0);
    double values[METRIC_COUNT];
    size_t count = 0;
    for (unsigned metric = 0; metric < METRIC_COUNT; metric++)
        if (row->present >> metric & 1)
            values[count++] = row->value[metric];
    struct samples_head head = {.at = row->at,
                                .boot = row->boot,
                                .sequence = row->sequence,
                                .node = row->node,
                                .present = row->present};
    return put(writer, ROW_SAMPLES, &head, sizeof head, values, count * sizeof values[0]);
}

int store_put_policy(struct store_writer *writer, const struct policy_row *row)
{
    return put(writer, ROW_POLICY, row, offsetof(struct policy_row, text), row->text, strlen(row->text) + 1);
}

int store_put_control(struct store_writer *writer, const struct control_row *row)
{
    return put(writer, ROW_CONTROL, row, sizeof *row, NULL, 0);
}

/* Under the mutex. With `pending` empty a move needs no memory, so when there is none to be had, the loop
 * waits for the thread this once. True: the thread is to be woken, when the mutex is free for it. */
static bool hand_over(struct store_writer *writer, uint64_t ticket, bool urgent)
{
    size_t bytes = writer->present.used;
    while (!writer->lost && !rows_move(&writer->pending, &writer->present)) {
        writer->urgent = true;
        pthread_cond_signal(&writer->work);
        pthread_cond_wait(&writer->taking, &writer->mutex);
    }
    if (writer->lost) {
        rows_clear(&writer->present);
        return false;
    }
    atomic_fetch_add(&writer->waiting, bytes);
    if (ticket)
        writer->pending_ticket = ticket;
    bool first = writer->pending_since == INSTANT_NONE;
    if (first)
        writer->pending_since = monotonic_ns();
    if (urgent || writer->pending.used >= FULL_BATCH)
        writer->urgent = true;
    return first || writer->urgent;
}

void store_submit(struct store_writer *writer, uint64_t ticket, bool urgent)
{
    if (writer->present.used == 0 && ticket == 0)
        return;
    pthread_mutex_lock(&writer->mutex);
    bool wake = hand_over(writer, ticket, urgent);
    pthread_mutex_unlock(&writer->mutex);
    if (wake)
        pthread_cond_signal(&writer->work);
}

/* Under the mutex. */
static void forget_pending(struct store_writer *writer)
{
    atomic_fetch_sub(&writer->waiting, writer->pending.used);
    rows_clear(&writer->pending);
    writer->pending_ticket = writer->durable_ticket; /* so that the next commit does not report a lost one */
    writer->pending_since = INSTANT_NONE;
    writer->urgent = false;
}

void store_keep_no_history(struct store_writer *writer)
{
    writer->keeps_no_history = true;
}

void store_discard(struct store_writer *writer)
{
    rows_clear(&writer->present);
    pthread_mutex_lock(&writer->mutex);
    forget_pending(writer);
    writer->lost = false;
    pthread_mutex_unlock(&writer->mutex);
}

/* --- the thread's side -------------------------------------------------------------------------------- */

bool writer_reaches(const struct store_writer *writer)
{
    return !atomic_load(&writer->away);
}

void writer_doubt(struct store_writer *writer)
{
    atomic_store(&writer->away, true);
    pthread_mutex_lock(&writer->mutex);
    pthread_cond_signal(&writer->work);
    pthread_mutex_unlock(&writer->mutex);
}

/* Under the mutex, and nothing waits: looks for a server that is away, once a second. */
static void look_for_server(struct store_writer *writer)
{
    pthread_mutex_unlock(&writer->mutex);
    bool there = writer->database->reach(writer->writing);
    pthread_mutex_lock(&writer->mutex);
    if (there)
        atomic_store(&writer->away, false);
    instant until_ns = monotonic_ns() + SECOND;
    struct timespec until = {.tv_sec = until_ns / SECOND, .tv_nsec = until_ns % SECOND};
    if (!there && !writer->closing && writer->pending_since == INSTANT_NONE)
        pthread_cond_timedwait(&writer->work, &writer->mutex, &until);
}

/* Under the mutex: sleeps until there is something to commit now. False: closing, and nothing waits. */
static bool wait_for_work(struct store_writer *writer)
{
    for (;;) {
        if (writer->pending_since == INSTANT_NONE) {
            if (writer->closing)
                return false;
            if (atomic_load(&writer->away)) {
                look_for_server(writer);
                continue;
            }
            pthread_cond_wait(&writer->work, &writer->mutex);
            continue;
        }
        instant due_at = writer->pending_since + gather_ns;
        if (writer->urgent || writer->closing || monotonic_ns() >= due_at)
            return true;
        struct timespec until = {.tv_sec = due_at / SECOND, .tv_nsec = due_at % SECOND};
        pthread_cond_timedwait(&writer->work, &writer->mutex, &until);
    }
}

/* Empties `pending` into `taken`; *ticket is the newest that was ever handed over with it or before. */
static bool take(struct store_writer *writer, uint64_t *ticket)
{
    pthread_mutex_lock(&writer->mutex);
    bool work = wait_for_work(writer);
    if (work) {
        CHECK(writer->taken.used == 0);
        rows_move(&writer->taken, &writer->pending); /* into an empty one: needs no memory */
        writer->pending_since = INSTANT_NONE;
        writer->urgent = false;
        *ticket = writer->pending_ticket;
        pthread_cond_signal(&writer->taking);
    }
    pthread_mutex_unlock(&writer->mutex);
    return work;
}

static void finish(struct store_writer *writer, uint64_t ticket, bool done)
{
    pthread_mutex_lock(&writer->mutex);
    atomic_fetch_sub(&writer->waiting, writer->taken.used);
    rows_clear(&writer->taken);
    if (done) {
        writer->durable_ticket = ticket;
    } else {
        writer->lost = true;
        forget_pending(writer);
        pthread_cond_signal(&writer->taking);
    }
    pthread_mutex_unlock(&writer->mutex);
}

/* Samples in what was just committed. */
static void note_samples(struct store_writer *writer, const struct rows *rows)
{
    struct row row;
    instant oldest = INSTANT_NEVER, newest = INSTANT_NONE;
    for (size_t at = 0; rows_next(rows, &at, &row);) {
        struct samples_head head;
        if (row.kind != ROW_SAMPLES)
            continue;
        memcpy(&head, row.bytes, sizeof head);
        oldest = head.at < oldest ? head.at : oldest;
        newest = head.at > newest ? head.at : newest;
    }
    if (newest != INSTANT_NONE)
        history_note(&writer->history, oldest, newest);
}

static bool is_idle(struct store_writer *writer)
{
    pthread_mutex_lock(&writer->mutex);
    bool idle = writer->pending_since == INSTANT_NONE && !writer->closing;
    pthread_mutex_unlock(&writer->mutex);
    return idle;
}

/* History goes on in small steps while nothing waits, and in one a second if something always does. What
 * fails is tried again after a later commit; if the store fails, that one says so. */
static void tidy(struct store_writer *writer)
{
    char error[SENTENCE_SIZE];
    bool more = true;
    writer->database->tidy(writer->writing);
    if (writer->keeps_no_history)
        return;
    if (!is_idle(writer) && monotonic_ns() - writer->stepped_ns < SECOND)
        return;
    for (int steps = 0; more && steps < HISTORY_STEPS && (steps == 0 || is_idle(writer)); steps++)
        more =
            history_step(&writer->history, writer->database, writer->writing, &more, error, sizeof error) &&
            more;
    writer->stepped_ns = monotonic_ns();
}

static void *run(void *context)
{
    struct store_writer *writer = context;
    uint64_t ticket;
    while (take(writer, &ticket)) {
        char error[SENTENCE_SIZE] = "";
        bool done = writer->database->commit(writer->writing, &writer->taken, error, sizeof error);
        if (writer->database->is_server)
            atomic_store(&writer->away, !done);
        if (done)
            note_samples(writer, &writer->taken);
        finish(writer, ticket, done);
        writer->durable(writer->context, ticket, done ? NULL : error);
        if (done)
            tidy(writer);
    }
    return NULL;
}

/* --- opening and closing ------------------------------------------------------------------------------ */

/* Signals are the loop's business. */
static int start_thread(struct store_writer *writer, char *error, size_t error_size)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int reason = pthread_create(&writer->thread, NULL, run, writer);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (reason)
        snprintf(error, error_size, "the store's thread cannot be started: %s", strerror(reason));
    return -reason;
}

static void release(struct store_writer *writer)
{
    if (writer->writing)
        writer->database->write_close(&writer->writing);
    rows_free(&writer->present);
    rows_free(&writer->pending);
    rows_free(&writer->taken);
    pthread_cond_destroy(&writer->work);
    pthread_cond_destroy(&writer->taking);
    pthread_mutex_destroy(&writer->mutex);
    free(writer);
}

static struct store_writer *make_writer(store_durable *durable, void *context)
{
    struct store_writer *writer = calloc(1, sizeof *writer);
    if (!writer)
        return NULL;
    writer->durable = durable;
    writer->context = context;
    writer->pending_since = INSTANT_NONE;
    history_init(&writer->history);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&writer->mutex, NULL);
    pthread_cond_init(&writer->work, &attributes);
    pthread_cond_init(&writer->taking, &attributes);
    pthread_condattr_destroy(&attributes);
    return writer;
}

int writer_open(struct store_writer **writer, const struct database *database, const char *target,
                store_durable *durable, void *context, char *error, size_t error_size)
{
    *writer = NULL;
    struct store_writer *made = make_writer(durable, context);
    if (!made) {
        snprintf(error, error_size, "out of memory");
        return -ENOMEM;
    }
    made->database = database;
    int result = database->write_open(&made->writing, target, error, error_size);
    if (result == 0)
        result = start_thread(made, error, error_size);
    if (result < 0)
        release(made);
    else
        *writer = made;
    return result;
}

int store_writer_open(struct store_writer **writer, const char *store, store_durable *durable, void *context,
                      char *error, size_t error_size)
{
    const char *target;
    const struct database *database = database_of(store, &target);
    return writer_open(writer, database, target, durable, context, error, error_size);
}

void store_writer_close(struct store_writer **writer)
{
    struct store_writer *closing = *writer;
    if (!closing)
        return;
    pthread_mutex_lock(&closing->mutex);
    closing->closing = true;
    pthread_cond_signal(&closing->work);
    pthread_mutex_unlock(&closing->mutex);
    pthread_join(closing->thread, NULL);
    release(closing);
    *writer = NULL;
}
