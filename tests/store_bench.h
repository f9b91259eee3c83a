/* A bench for tests of the store: a folder of its own, a writer, and what its thread has told. With
 * HOMEOSTAT_TEST_STORE=postgresql://... (tests/with_postgres.sh) the store is a schema of its own on that
 * server. */
#ifndef TESTS_STORE_BENCH_H
#define TESTS_STORE_BENCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/store.h"

#include <errno.h>
#include <libpq-fe.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct bench {
    char folder[64];
    char path[96];
    char store[512]; /* the path, or the address with the schema */
    char error[1024];
    struct store_writer *writer;
    pthread_mutex_t mutex;
    pthread_cond_t told;
    uint64_t durable; /* the highest ticket told */
    unsigned commits, failures;
    char failure[1024];
    bool went_back;
};

/* The store's callback: takes notes. */
static void note_durable(void *context, uint64_t ticket, const char *error)
{
    struct bench *bench = context;
    pthread_mutex_lock(&bench->mutex);
    if (error) {
        bench->failures++;
        snprintf(bench->failure, sizeof bench->failure, "%s", error);
    } else {
        bench->commits++;
        bench->went_back |= ticket < bench->durable;
        bench->durable = ticket;
    }
    pthread_cond_broadcast(&bench->told);
    pthread_mutex_unlock(&bench->mutex);
}

/* Runs SQL on the server of the tests, which may be on its way back. */
static inline void bench_sql(const char *sql)
{
    PGconn *connection = PQconnectdb(getenv("HOMEOSTAT_TEST_STORE"));
    for (int tried = 0; PQstatus(connection) != CONNECTION_OK && tried < 1000; tried++) {
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
        PQreset(connection);
    }
    PQclear(PQexec(connection, "SET client_min_messages = warning"));
    PGresult *result = PQexec(connection, sql);
    if (PQresultStatus(result) == PGRES_FATAL_ERROR)
        print_error("%s: %s\n", sql, PQresultErrorMessage(result));
    assert_int_not_equal(PQresultStatus(result), PGRES_FATAL_ERROR);
    PQclear(result);
    PQfinish(connection);
}

/* The schema has the name of the folder. */
static inline void bench_schema(const struct bench *bench, const char *order, const char *rest)
{
    char sql[256];
    snprintf(sql, sizeof sql, "%s SCHEMA \"%s\"%s", order, strrchr(bench->folder, '/') + 1, rest);
    bench_sql(sql);
}

static inline struct bench *bench_new(void)
{
    struct bench *bench = calloc(1, sizeof *bench);
    assert_non_null(bench);
    snprintf(bench->folder, sizeof bench->folder, "/tmp/homeostat-store-XXXXXX");
    assert_non_null(mkdtemp(bench->folder));
    snprintf(bench->path, sizeof bench->path, "%s/lab.db", bench->folder);
    const char *server = getenv("HOMEOSTAT_TEST_STORE");
    snprintf(bench->store, sizeof bench->store, "%s", bench->path);
    if (server) {
        bench_schema(bench, "CREATE", "");
        snprintf(bench->store, sizeof bench->store, "%s?options=-csearch_path%%3D%%22%s%%22", server,
                 strrchr(bench->folder, '/') + 1);
    }
    pthread_mutex_init(&bench->mutex, NULL);
    pthread_cond_init(&bench->told, NULL);
    return bench;
}

static inline void bench_open(struct bench *bench)
{
    int result = store_writer_open(&bench->writer, bench->store, note_durable, bench, bench->error,
                                   sizeof bench->error);
    if (result != 0)
        print_error("%s\n", bench->error);
    assert_int_equal(result, 0);
}

static inline void bench_free(struct bench *bench)
{
    store_writer_close(&bench->writer);
    static const char *const endings[] = {"", ".lock", "-wal", "-shm", "-journal"};
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        char path[128];
        snprintf(path, sizeof path, "%s%s", bench->path, endings[i]);
        unlink(path);
    }
    assert_int_equal(rmdir(bench->folder), 0);
    if (getenv("HOMEOSTAT_TEST_STORE"))
        bench_schema(bench, "DROP", " CASCADE");
    pthread_cond_destroy(&bench->told);
    pthread_mutex_destroy(&bench->mutex);
    free(bench);
}

static inline struct timespec in_seconds(int seconds)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += seconds;
    return until;
}

/* Waits until the ticket is durable, or a failure was told; true if it is durable. */
static inline bool bench_wait(struct bench *bench, uint64_t ticket)
{
    struct timespec until = in_seconds(20);
    pthread_mutex_lock(&bench->mutex);
    while (bench->durable < ticket && bench->failures == 0)
        assert_int_equal(pthread_cond_timedwait(&bench->told, &bench->mutex, &until), 0);
    bool durable = bench->durable >= ticket;
    pthread_mutex_unlock(&bench->mutex);
    return durable;
}

/* Hands over what was put, and waits for the disk. */
static inline void bench_commit(struct bench *bench, uint64_t ticket)
{
    store_submit(bench->writer, ticket, true);
    assert_true(bench_wait(bench, ticket));
}

static inline struct store *bench_reader(struct bench *bench)
{
    struct store *store = NULL;
    int result = store_open(&store, bench->store, bench->error, sizeof bench->error);
    if (result != 0)
        print_error("%s\n", bench->error);
    assert_int_equal(result, 0);
    return store;
}

/* One callback per type of row, all alike: appends a copy until `room` is used up. */
struct basket {
    unsigned char *rows;
    size_t row_size;
    unsigned room, count;
};

static inline bool take(struct basket *basket, const void *row)
{
    memcpy(basket->rows + basket->count * basket->row_size, row, basket->row_size);
    return ++basket->count < basket->room;
}

#define TAKER(noun, type)                                                                                    \
    static inline bool take_##noun(void *context, const type *row)                                           \
    {                                                                                                        \
        return take(context, row);                                                                           \
    }
TAKER(node, struct node_row)
TAKER(incident, struct incident)
TAKER(timeline, struct timeline_row)
TAKER(command, struct command_row)
TAKER(block, struct block_row)
TAKER(fault, struct fault_row)
TAKER(samples, struct samples_row)
#undef TAKER

#define BASKET(array)                                                                                        \
    {                                                                                                        \
        (unsigned char *)(array), sizeof(array)[0], sizeof(array) / sizeof(array)[0], 0                      \
    }

static const struct incident_filter every_incident = {.node = -1, .state = -1};

static inline int bench_set_up(void **state)
{
    *state = bench_new();
    return 0;
}

static inline int bench_tear_down(void **state)
{
    bench_free(*state);
    return 0;
}

#define STORY(story) cmocka_unit_test_setup_teardown(story, bench_set_up, bench_tear_down)

#endif
