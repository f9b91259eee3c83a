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

static double commits(struct store_writer *writer)
{
    int64_t began_ns = monotonic_ns();
    for (int i = 0; i < COMMITS; i++) {
        struct incident incident = an_incident(++ticket);
        struct timeline_row line = {
            .incident = ticket, .at = (instant)ticket, .step = "DETECT", .state = "open"};
        memcpy(line.text, line_text, sizeof line_text);
        store_put_incident(writer, &incident);
        store_put_timeline(writer, &line);
        store_submit(writer, ticket, true);
        wait_durable(ticket);
    }
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

/* --- bare SQLite ---------------------------------------------------------------------------------------- */

static const char bare_incident[] =
    "INSERT INTO incidents VALUES (?, 1, 'cpu-high', 'critical', 'open', 'none', ?)";
static const char bare_line[] =
    "INSERT INTO timeline (incident, at, step, state, text) VALUES (?, ?, 'DETECT', 'open', ?)";
static const char bare_tables[] =
    "CREATE TABLE incidents (id INTEGER PRIMARY KEY, node INTEGER, finding TEXT, severity TEXT, state TEXT, "
    "remedy TEXT, "
    "opened_at BIGINT); CREATE TABLE timeline (incident BIGINT, at BIGINT, step TEXT, state TEXT, text TEXT)";

static sqlite3 *open_bare(void)
{
    sqlite3 *db;
    CHECK(sqlite3_open(bare_path, &db) == SQLITE_OK);
    CHECK(sqlite3_exec(db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL", NULL, NULL, NULL) ==
          SQLITE_OK);
    CHECK(sqlite3_exec(db, bare_tables, NULL, NULL, NULL) == SQLITE_OK);
    return db;
}

static double bare_sqlite(sqlite3 *db)
{
    static int64_t id;
    sqlite3_stmt *incident, *line;
    CHECK(sqlite3_prepare_v2(db, bare_incident, -1, &incident, NULL) == SQLITE_OK);
    CHECK(sqlite3_prepare_v2(db, bare_line, -1, &line, NULL) == SQLITE_OK);
    int64_t began_ns = monotonic_ns();
    for (int i = 0; i < COMMITS; i++) {
        id++;
        CHECK(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL) == SQLITE_OK);
        sqlite3_bind_int64(incident, 1, id);
        sqlite3_bind_int64(incident, 2, id);
        CHECK(sqlite3_step(incident) == SQLITE_DONE && sqlite3_reset(incident) == SQLITE_OK);
        sqlite3_bind_int64(line, 1, id);
        sqlite3_bind_int64(line, 2, id);
        sqlite3_bind_text(line, 3, line_text, -1, SQLITE_STATIC);
        CHECK(sqlite3_step(line) == SQLITE_DONE && sqlite3_reset(line) == SQLITE_OK);
        CHECK(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK);
    }
    double rate = per_second(COMMITS, began_ns);
    sqlite3_finalize(incident);
    sqlite3_finalize(line);
    return rate;
}

/* --- bare PostgreSQL ------------------------------------------------------------------------------------ */

static void run(PGconn *connection, const char *sql)
{
    PGresult *result = PQexec(connection, sql);
    CHECK(PQresultStatus(result) == PGRES_COMMAND_OK || PQresultStatus(result) == PGRES_TUPLES_OK);
    PQclear(result);
}

static PGconn *connect_bare(const char *address)
{
    PGconn *connection = PQconnectdb(address);
    CHECK(PQstatus(connection) == CONNECTION_OK);
    run(connection, "CREATE SCHEMA bare; SET search_path = bare");
    run(connection, bare_tables);
    PQclear(PQprepare(connection, "incident",
                      "INSERT INTO incidents VALUES ($1, 1, 'cpu-high', 'critical', 'open', 'none', $2)", 0,
                      NULL));
    PQclear(PQprepare(
        connection, "line",
        "INSERT INTO timeline (incident, at, step, state, text) VALUES ($1, $2, 'DETECT', 'open', $3)", 0,
        NULL));
    return connection;
}

static void run_prepared(PGconn *connection, const char *name, int count, const char *const *values)
{
    PGresult *result = PQexecPrepared(connection, name, count, values, NULL, NULL, 0);
    CHECK(PQresultStatus(result) == PGRES_COMMAND_OK);
    PQclear(result);
}

static double bare_postgres(PGconn *connection)
{
    static int id;
    int64_t began_ns = monotonic_ns();
    for (int i = 0; i < COMMITS; i++) {
        char number[16];
        snprintf(number, sizeof number, "%d", ++id);
        const char *values[] = {number, number, line_text};
        run(connection, "BEGIN");
        run_prepared(connection, "incident", 2, values);
        run_prepared(connection, "line", 3, values);
        run(connection, "COMMIT");
    }
    return per_second(COMMITS, began_ns);
}

/* --- both in turn --------------------------------------------------------------------------------------- */

struct figures {
    double commits, bare, samples;
};

static struct figures measure(const char *store, sqlite3 *db, PGconn *connection)
{
    double ours[ROUNDS], bare[ROUNDS], rows[ROUNDS];
    char error[512];
    struct store_writer *writer;
    if (store_writer_open(&writer, store, on_durable, NULL, error, sizeof error) < 0) {
        fprintf(stderr, "store: %s\n", error);
        exit(3);
    }
    for (int round = 0; round < ROUNDS; round++) {
        bare[round] = connection ? bare_postgres(connection) : bare_sqlite(db);
        ours[round] = commits(writer);
    }
    for (int round = 0; round < ROUNDS; round++)
        rows[round] = samples(writer);
    store_writer_close(&writer);
    return (struct figures){median(ours), median(bare), median(rows)};
}

static void print(bool json, const char *name, struct figures figures)
{
    if (json)
        printf(
            "{\"database\":\"%s\",\"incident_commits_per_s\":%.0f,\"bare_commits_per_s\":%.0f,\"ratio\":%.2f,"
            "\"samples_per_s\":%.0f}\n",
            name, figures.commits, figures.bare, figures.commits / figures.bare, figures.samples);
    else
        printf("  %-12s %14.0f %14.0f %10.2f %16.0f\n", name, figures.commits, figures.bare,
               figures.commits / figures.bare, figures.samples);
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

int main(int argc, char **argv)
{
    bool json = argc > 1 && strcmp(argv[1], "--json") == 0;
    const char *server = getenv("HOMEOSTAT_TEST_STORE");
    remove_files(path);
    remove_files(bare_path);
    if (!json)
        printf("durable one after the other, a second; samples handed over as they come, rows a second\n\n"
               "                    incidents           bare      ratio          samples\n");
    sqlite3 *db = open_bare();
    print(json, "SQLite", measure(path, db, NULL));
    sqlite3_close(db);
    remove_files(path);
    remove_files(bare_path);
    if (server) {
        PGconn *connection = connect_bare(server);
        print(json, "PostgreSQL", measure(server, NULL, connection));
        PQfinish(connection);
    }
    return 0;
}
