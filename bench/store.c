/* The store against its database alone: incidents made durable one after the other, and samples.
 *
 *     ./run bench store [--json]                SQLite
 *     ./run bench store_postgres [--json]       the same beside PostgreSQL, on a server of its own
 *
 * Bare is what a program would write by hand: BEGIN, the same two rows by prepared statements, COMMIT. Rounds
 * of both in turn, the median of five. The database lies in the folder that this is started in. */
#include "base/check.h"
#include "base/clock.h"
#include "store/insert.h"
#include "store/shape.h"
#include "store/store.h"

#include <libpq-fe.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ROUNDS = 5, COMMITS = 1000, SAMPLES = 400000 };

static const char path[] = "bench-store.db", bare_path[] = "bench-bare.db";

/* --- what is written ------------------------------------------------------------------------------------ */

static struct incident an_incident(uint64_t id)
{
    return (struct incident){
        .id = id, .node = 1, .detector_name = "cpu-high", .opened_at = (instant)id, .detector = NO_INDEX};
}

static const char line_text[] = "cpu_utilization 97 % and request_latency 58 ms for 3 s: restart_service";

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values)
{
    qsort(values, ROUNDS, sizeof *values, by_value);
    return values[ROUNDS / 2];
}

static double per_second(int count, int64_t began_ns)
{
    return count / duration_seconds(monotonic_ns() - began_ns);
}

/* --- the store ------------------------------------------------------------------------------------------ */

static struct waiter {
    pthread_mutex_t mutex;
    pthread_cond_t told;
    uint64_t durable;
} waiter = {.mutex = PTHREAD_MUTEX_INITIALIZER, .told = PTHREAD_COND_INITIALIZER};

static void on_durable(void *context, uint64_t ticket, const char *error)
{
    (void)context;
    if (error) {
        fprintf(stderr, "store: %s\n", error);
        exit(3);
    }
    pthread_mutex_lock(&waiter.mutex);
    waiter.durable = ticket;
    pthread_cond_signal(&waiter.told);
    pthread_mutex_unlock(&waiter.mutex);
}

static void wait_durable(uint64_t ticket)
{
    pthread_mutex_lock(&waiter.mutex);
    while (waiter.durable < ticket)
        pthread_cond_wait(&waiter.told, &waiter.mutex);
    pthread_mutex_unlock(&waiter.mutex);
}

static uint64_t ticket;

static struct timeline_row a_line(uint64_t id)
{
    struct timeline_row line = {.incident = id, .at = (instant)id, .step = "DETECT", .state = "open"};
    memcpy(line.text, line_text, sizeof line_text);
    return line;
}

/* `at_once` of them are on their way at any time. */
static double commits(struct store_writer *writer, unsigned at_once)
{
    int64_t began_ns = monotonic_ns();
    for (int i = 0; i < COMMITS; i++) {
        struct incident incident = an_incident(++ticket);
        struct timeline_row line = a_line(ticket);
        store_put_incident(writer, &incident);
        store_put_timeline(writer, &line);
        store_submit(writer, ticket, true);
        if (ticket >= at_once)
            wait_durable(ticket - at_once + 1);
    }
    wait_durable(ticket);
    return per_second(COMMITS, began_ns);
}

/* Twelve metrics a row, handed over as they come. All in one minute of their own time: history has its own
 * cost, once a minute. */
static double samples(struct store_writer *writer)
{
    int64_t began_ns = monotonic_ns();
    for (int i = 0; i < SAMPLES; i++) {
        struct samples_row row = {
            .node = (uint32_t)i % 1000,
            .at = HOUR + i * (MINUTE / SAMPLES),
            .boot = 77,
            .sequence = (uint64_t)i,
            .present = 0x0fff,
            .value = {0.31, 1e7 + i, 1, 1, 50.5, 0.0021, 0.001, 0.004, 0.0002, 0.41, 0.22, 0.53}};
        while (store_put_samples(writer, &row) < 0) { /* 56 MiB wait: the disk's turn */
            store_submit(writer, ++ticket, true);
            wait_durable(ticket);
        }
        store_submit(writer, 0, false);
    }
    store_submit(writer, ++ticket, true);
    wait_durable(ticket);
    return per_second(SAMPLES, began_ns);
}

/* --- bare: the same rows into the same tables ----------------------------------------------------------- */

enum { TEXT_SIZE = 32 };

/* The tables of a store that nobody else uses. */
static void make_tables(const char *store)
{
    char error[512];
    struct store_writer *writer;
    if (store_writer_open(&writer, store, on_durable, NULL, error, sizeof error) < 0) {
        fprintf(stderr, "store: %s\n", error);
        exit(3);
    }
    store_writer_close(&writer);
}

static unsigned sql_of(enum insert insert, char bytes[INSERT_SQL_SIZE])
{
    enum value_type types[VALUES_MAX];
    struct text sql = text_over(bytes, INSERT_SQL_SIZE);
    return insert_sql(insert, &sql, types);
}

static sqlite3_stmt *prepare_sqlite(sqlite3 *db, enum insert insert)
{
    char sql[INSERT_SQL_SIZE];
    sqlite3_stmt *statement;
    sql_of(insert, sql);
    CHECK(sqlite3_prepare_v2(db, sql, -1, &statement, NULL) == SQLITE_OK);
    return statement;
}

static void run_sqlite(sqlite3_stmt *statement, const struct row_shape *shape, const void *row)
{
    struct value values[VALUES_MAX];
    char bytes[SHAPE_SCRATCH_SIZE];
    struct text scratch = text_over(bytes, sizeof bytes);
    unsigned count = shape_write(shape, row, values, &scratch);
    for (unsigned i = 0; i < count; i++) {
        int at = (int)i + 1;
        if (values[i].type == VALUE_INTEGER)
            sqlite3_bind_int64(statement, at, values[i].integer);
        else if (values[i].type == VALUE_TEXT)
            sqlite3_bind_text(statement, at, values[i].text, (int)values[i].length, SQLITE_STATIC);
        else
            sqlite3_bind_null(statement, at);
    }
    CHECK(sqlite3_step(statement) == SQLITE_DONE && sqlite3_reset(statement) == SQLITE_OK);
}

static double bare_sqlite(sqlite3 *db)
{
    static uint64_t id;
    sqlite3_stmt *incidents = prepare_sqlite(db, INSERT_INCIDENT),
                 *lines = prepare_sqlite(db, INSERT_TIMELINE);
    int64_t began_ns = monotonic_ns();
    for (int i = 0; i < COMMITS; i++) {
        struct incident incident = an_incident(++id);
        struct timeline_row line = a_line(id);
        CHECK(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL) == SQLITE_OK);
        run_sqlite(incidents, &incident_shape, &incident);
        run_sqlite(lines, &timeline_shape, &line);
        CHECK(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK);
    }
    double rate = per_second(COMMITS, began_ns);
    sqlite3_finalize(incidents);
    sqlite3_finalize(lines);
    return rate;
}

static void run(PGconn *connection, const char *sql)
{
    PGresult *result = PQexec(connection, sql);
    CHECK(PQresultStatus(result) == PGRES_COMMAND_OK || PQresultStatus(result) == PGRES_TUPLES_OK);
    PQclear(result);
}

static void prepare_postgres(PGconn *connection, enum insert insert, const char *name)
{
    char sql[INSERT_SQL_SIZE];
    sql_of(insert, sql);
    PGresult *result = PQprepare(connection, name, sql, 0, NULL);
    CHECK(PQresultStatus(result) == PGRES_COMMAND_OK);
    PQclear(result);
}

static void run_postgres(PGconn *connection, const char *name, const struct row_shape *shape, const void *row)
{
    struct value values[VALUES_MAX];
    const char *texts[VALUES_MAX];
    char bytes[SHAPE_SCRATCH_SIZE], numbers[VALUES_MAX][TEXT_SIZE];
    struct text scratch = text_over(bytes, sizeof bytes);
    unsigned count = shape_write(shape, row, values, &scratch);
    for (unsigned i = 0; i < count; i++) {
        snprintf(numbers[i], TEXT_SIZE, "%lld", (long long)values[i].integer);
        texts[i] = values[i].type == VALUE_TEXT      ? values[i].text
                   : values[i].type == VALUE_INTEGER ? numbers[i]
                                                     : NULL;
    }
    PGresult *result = PQexecPrepared(connection, name, (int)count, texts, NULL, NULL, 0);
    CHECK(PQresultStatus(result) == PGRES_COMMAND_OK);
    PQclear(result);
}

static double bare_postgres(PGconn *connection)
{
    static uint64_t id;
    int64_t began_ns = monotonic_ns();
    for (int i = 0; i < COMMITS; i++) {
        struct incident incident = an_incident(++id);
        struct timeline_row line = a_line(id);
        run(connection, "BEGIN");
        run_postgres(connection, "incident", &incident_shape, &incident);
        run_postgres(connection, "line", &timeline_shape, &line);
        run(connection, "COMMIT");
    }
    return per_second(COMMITS, began_ns);
}

/* --- both in turn --------------------------------------------------------------------------------------- */

struct figures {
    double commits, eight, bare, samples;
};

static struct figures measure(const char *store, sqlite3 *db, PGconn *connection)
{
    double ours[ROUNDS], eight[ROUNDS], bare[ROUNDS], rows[ROUNDS];
    char error[512];
    struct store_writer *writer;
    waiter.durable = ticket = 0;
    if (store_writer_open(&writer, store, on_durable, NULL, error, sizeof error) < 0) {
        fprintf(stderr, "store: %s\n", error);
        exit(3);
    }
    for (int round = 0; round < ROUNDS; round++) {
        bare[round] = connection ? bare_postgres(connection) : bare_sqlite(db);
        ours[round] = commits(writer, 1);
        eight[round] = commits(writer, 8);
    }
    for (int round = 0; round < ROUNDS; round++)
        rows[round] = samples(writer);
    store_writer_close(&writer);
    return (struct figures){median(ours), median(eight), median(bare), median(rows)};
}

static void print(bool json, const char *name, struct figures figures)
{
    double one = figures.commits / figures.bare, eight = figures.eight / figures.bare;
    if (json)
        printf(
            "{\"database\":\"%s\",\"bare_commits_per_s\":%.0f,\"incident_commits_per_s\":%.0f,\"ratio\":%.2f,"
            "\"eight_at_once_per_s\":%.0f,\"eight_ratio\":%.2f,\"samples_per_s\":%.0f}\n",
            name, figures.bare, figures.commits, one, figures.eight, eight, figures.samples);
    else
        printf("  %-12s %8.0f %10.0f (%.2f) %10.0f (%.2f) %12.0f\n", name, figures.bare, figures.commits, one,
               figures.eight, eight, figures.samples);
}

static void remove_files(const char *name)
{
    static const char *const endings[] = {"", "-wal", "-shm", ".lock"};
    for (size_t i = 0; i < COUNT_OF(endings); i++) {
        char file[64];
        snprintf(file, sizeof file, "%s%s", name, endings[i]);
        unlink(file);
    }
}

/* The store's address with a schema of its own. */
static void in_schema(char out[512], const char *server, const char *schema)
{
    char error[512];
    if (store_make_room(server, schema, out, 512, error, sizeof error) < 0) {
        fprintf(stderr, "store: %s\n", error);
        exit(3);
    }
}

static void measure_sqlite(bool json)
{
    sqlite3 *db;
    make_tables(bare_path);
    CHECK(sqlite3_open(bare_path, &db) == SQLITE_OK);
    CHECK(sqlite3_exec(db, "PRAGMA synchronous = FULL", NULL, NULL, NULL) == SQLITE_OK);
    print(json, "SQLite", measure(path, db, NULL));
    sqlite3_close(db);
}

static void measure_postgres(bool json, const char *server)
{
    char ours[512], bare[512];
    in_schema(ours, server, "bench_store");
    in_schema(bare, server, "bench_bare");
    make_tables(bare);
    PGconn *connection = PQconnectdb(bare);
    CHECK(PQstatus(connection) == CONNECTION_OK);
    prepare_postgres(connection, INSERT_INCIDENT, "incident");
    prepare_postgres(connection, INSERT_TIMELINE, "line");
    print(json, "PostgreSQL", measure(ours, NULL, connection));
    PQfinish(connection);
}

int main(int argc, char **argv)
{
    bool json = argc > 1 && strcmp(argv[1], "--json") == 0;
    const char *server = getenv("HOMEOSTAT_TEST_STORE");
    remove_files(path);
    remove_files(bare_path);
    if (!json)
        printf("incidents made durable, a second (the share of bare); samples, rows a second\n\n"
               "                   bare  one by one          eight at once         samples\n");
    measure_sqlite(json);
    remove_files(path);
    remove_files(bare_path);
    if (server)
        measure_postgres(json, server);
    return 0;
}
