/* The store against its database alone: incidents made durable one after the other, and samples.
 *
 *     ./run bench store [--json]                SQLite
 *     ./run bench store_postgres [--json]       PostgreSQL, on a server of its own, and SQLite
 *
 * Bare is what a good programmer writes by hand, in one thread: BEGIN, the same two rows by prepared
 * statements, COMMIT, as durable as the store's. With PostgreSQL there are two of them, both with binary
 * parameters: "in four trips" waits for the answer to each statement, as libpq's examples do; "in one trip"
 * sends all four in one pipeline, which is as fast as a transaction can be. The shares are of that one.
 *
 * All of them take turns, twenty commits each, so that what disturbs one disturbs all. Commits a second are
 * one over the median time of a commit, with eight at once over the median turn. The database lies in the
 * folder that this is started in. */
#include "base/check.h"
#include "base/clock.h"
#include "store/insert.h"
#include "store/shape.h"
#include "store/store.h"

#include <endian.h>
#include <libpq-fe.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TURNS = 200, COMMITS = 20, ROUNDS = 5, SAMPLES = 400000 };

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

static double median(double *values, int count)
{
    qsort(values, (size_t)count, sizeof *values, by_value);
    return values[count / 2];
}

static double per_second(int count, int64_t began_ns)
{
    return count / duration_seconds(monotonic_ns() - began_ns);
}

/* The times of single commits, over all turns. */
struct times {
    double s[TURNS * COMMITS];
    int count;
};

static void note(struct times *times, int64_t *began_ns)
{
    int64_t now_ns = monotonic_ns();
    times->s[times->count++] = duration_seconds(now_ns - *began_ns);
    *began_ns = now_ns;
}

static double rate(struct times *times)
{
    return times->count ? 1 / median(times->s, times->count) : 0;
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
    pthread_mutex_unlock(&waiter.mutex);
    pthread_cond_signal(&waiter.told);
}

static void wait_durable(uint64_t ticket)
{
    pthread_mutex_lock(&waiter.mutex);
    while (waiter.durable < ticket)
        pthread_cond_wait(&waiter.told, &waiter.mutex);
    pthread_mutex_unlock(&waiter.mutex);
}

static uint64_t ticket;

static struct store_writer *open_writer(const char *store)
{
    char error[512];
    struct store_writer *writer;
    waiter.durable = ticket = 0;
    if (store_writer_open(&writer, store, on_durable, NULL, error, sizeof error) < 0) {
        fprintf(stderr, "store: %s\n", error);
        exit(3);
    }
    return writer;
}

static struct timeline_row a_line(uint64_t id)
{
    struct timeline_row line = {.incident = id, .at = (instant)id, .step = "DETECT", .state = "open"};
    memcpy(line.text, line_text, sizeof line_text);
    return line;
}

static void submit(struct store_writer *writer)
{
    struct incident incident = an_incident(++ticket);
    struct timeline_row line = a_line(ticket);
    store_put_incident(writer, &incident);
    store_put_timeline(writer, &line);
    store_submit(writer, ticket, true);
}

static void one_by_one(struct store_writer *writer, struct times *times)
{
    int64_t began_ns = monotonic_ns();
    for (int i = 0; i < COMMITS; i++) {
        submit(writer);
        wait_durable(ticket);
        note(times, &began_ns);
    }
}

static double eight_at_once(struct store_writer *writer)
{
    enum { AT_ONCE = 8, ALL = 8 * COMMITS };
    int64_t began_ns = monotonic_ns();
    for (int i = 0; i < ALL; i++) {
        submit(writer);
        if (ticket >= AT_ONCE)
            wait_durable(ticket - AT_ONCE + 1);
    }
    wait_durable(ticket);
    return per_second(ALL, began_ns);
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

/* The tables of a store that nobody else uses. */
static void make_tables(const char *store)
{
    struct store_writer *writer = open_writer(store);
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

static void bare_sqlite(sqlite3 *db, struct times *times)
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
        note(times, &began_ns);
    }
    sqlite3_finalize(incidents);
    sqlite3_finalize(lines);
}

static void prepare_postgres(PGconn *connection, const char *name, const char *sql)
{
    PGresult *result = PQprepare(connection, name, sql, 0, NULL);
    CHECK(PQresultStatus(result) == PGRES_COMMAND_OK);
    PQclear(result);
}

/* Hands a statement over; the answer comes later. */
static void send_postgres(PGconn *connection, const char *name, const struct row_shape *shape,
                          const void *row)
{
    struct value values[VALUES_MAX];
    const char *at[VALUES_MAX];
    int lengths[VALUES_MAX], formats[VALUES_MAX];
    uint64_t bits[VALUES_MAX];
    char bytes[SHAPE_SCRATCH_SIZE];
    struct text scratch = text_over(bytes, sizeof bytes);
    unsigned count = shape_write(shape, row, values, &scratch);
    for (unsigned i = 0; i < count; i++) {
        bool is_number = values[i].type == VALUE_INTEGER, is_text = values[i].type == VALUE_TEXT;
        bits[i] = htobe64((uint64_t)values[i].integer);
        at[i] = is_text ? values[i].text : is_number ? (const char *)&bits[i] : NULL;
        lengths[i] = sizeof bits[i];
        formats[i] = is_number;
    }
    CHECK(PQsendQueryPrepared(connection, name, (int)count, at, lengths, formats, 0));
}

static void take_answer(PGconn *connection)
{
    for (PGresult *result; (result = PQgetResult(connection)); PQclear(result))
        CHECK(PQresultStatus(result) == PGRES_COMMAND_OK);
}

static void send_word(PGconn *connection, const char *name)
{
    CHECK(PQsendQueryPrepared(connection, name, 0, NULL, NULL, NULL, 0));
}

static uint64_t bare_id;

static void four_trips(PGconn *connection, struct times *times)
{
    int64_t began_ns = monotonic_ns();
    for (int i = 0; i < COMMITS; i++) {
        struct incident incident = an_incident(++bare_id);
        struct timeline_row line = a_line(bare_id);
        send_word(connection, "begin");
        take_answer(connection);
        send_postgres(connection, "incident", &incident_shape, &incident);
        take_answer(connection);
        send_postgres(connection, "line", &timeline_shape, &line);
        take_answer(connection);
        send_word(connection, "commit");
        take_answer(connection);
        note(times, &began_ns);
    }
}

static void one_trip(PGconn *connection, struct times *times)
{
    CHECK(PQenterPipelineMode(connection));
    int64_t began_ns = monotonic_ns();
    for (int i = 0; i < COMMITS; i++) {
        struct incident incident = an_incident(++bare_id);
        struct timeline_row line = a_line(bare_id);
        send_word(connection, "begin");
        send_postgres(connection, "incident", &incident_shape, &incident);
        send_postgres(connection, "line", &timeline_shape, &line);
        send_word(connection, "commit");
        CHECK(PQpipelineSync(connection));
        for (int answers = 0; answers < 4; answers++)
            take_answer(connection);
        PGresult *end = PQgetResult(connection);
        CHECK(PQresultStatus(end) == PGRES_PIPELINE_SYNC);
        PQclear(end);
        note(times, &began_ns);
    }
    CHECK(PQexitPipelineMode(connection));
}

/* --- both in turn --------------------------------------------------------------------------------------- */

struct figures {
    double four_trips, bare, one, eight, samples; /* a second */
};

static struct figures measure(const char *store, sqlite3 *db, PGconn *connection)
{
    static struct times four, bare, one;
    double eight[TURNS], rows[ROUNDS];
    struct store_writer *writer = open_writer(store);
    four.count = bare.count = one.count = 0;
    for (int turn = 0; turn < TURNS; turn++) {
        if (connection) {
            four_trips(connection, &four);
            one_trip(connection, &bare);
        } else
            bare_sqlite(db, &bare);
        one_by_one(writer, &one);
        eight[turn] = eight_at_once(writer);
    }
    for (int round = 0; round < ROUNDS; round++)
        rows[round] = samples(writer);
    store_writer_close(&writer);
    return (struct figures){rate(&four), rate(&bare), rate(&one), median(eight, TURNS), median(rows, ROUNDS)};
}

static void print(bool json, const char *name, struct figures figures)
{
    double one = figures.one / figures.bare, eight = figures.eight / figures.bare;
    if (json)
        printf("{\"database\":\"%s\",\"bare_commits_per_s\":%.0f,\"bare_in_four_trips_per_s\":%.0f,"
               "\"incident_commits_per_s\":%.0f,\"ratio\":%.2f,\"eight_at_once_per_s\":%.0f,\"eight_ratio\":%"
               ".2f,"
               "\"samples_per_s\":%.0f}\n",
               name, figures.bare, figures.four_trips, figures.one, one, figures.eight, eight,
               figures.samples);
    else {
        char four_trips[16] = "-";
        if (figures.four_trips > 0)
            snprintf(four_trips, sizeof four_trips, "%.0f", figures.four_trips);
        printf("  %-12s %8s %10.0f %10.0f (%.2f) %10.0f (%.2f) %12.0f\n", name, four_trips, figures.bare,
               figures.one, one, figures.eight, eight, figures.samples);
    }
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
    char sql[INSERT_SQL_SIZE];
    sql_of(INSERT_INCIDENT, sql);
    prepare_postgres(connection, "incident", sql);
    sql_of(INSERT_TIMELINE, sql);
    prepare_postgres(connection, "line", sql);
    prepare_postgres(connection, "begin", "BEGIN");
    prepare_postgres(connection, "commit", "COMMIT");
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
               "                 bare in four trips   in one  one by one          eight at once         "
               "samples\n");
    measure_sqlite(json);
    remove_files(path);
    remove_files(bare_path);
    if (server)
        measure_postgres(json, server);
    return 0;
}
