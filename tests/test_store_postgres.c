/* What only a server can do to a store: vanish, come back, stall, cut the line between COMMIT and its answer,
 * be somebody else's. Wants HOMEOSTAT_TEST_STORE and HOMEOSTAT_TEST_PIDFILE of with_postgres.sh, which starts
 * a server again whenever it ends. */
#include "store_line.h"

#include "base/check.h"
#include "base/units.h"
#include "store/database.h"
#include "store/postgres.h"
#include "store/writer.h"

#include <signal.h>
#include <sys/wait.h>

/* --- steps ---------------------------------------------------------------------------------------------- */

enum { LINES_A_STEP = 3 };

/* Three lines of a timeline, with samples if wanted: all of it or nothing. */
static void put_step(struct bench *bench, uint64_t ticket, bool with_samples)
{
    struct timeline_row line = {.incident = 1, .at = (instant)ticket, .step = "PLAN"};
    struct samples_row samples = {
        .node = 1, .at = (instant)ticket, .boot = 1, .sequence = ticket, .present = 1};
    for (int i = 0; i < LINES_A_STEP; i++)
        assert_int_equal(store_put_timeline(bench->writer, &line), 0);
    if (with_samples)
        assert_int_equal(store_put_samples(bench->writer, &samples), 0);
    store_submit(bench->writer, ticket, true);
}

/* Each step is there exactly once. */
static void assert_once(struct bench *bench, int steps, int with_samples)
{
    static struct timeline_row lines[10000];
    static struct samples_row samples[10000];
    struct basket basket = BASKET(lines);
    struct store *store = bench_reader(bench);
    assert_int_equal(store_timeline(store, 1, take_timeline, &basket), LINES_A_STEP * steps);
    for (int i = 0; i < LINES_A_STEP * steps; i++)
        assert_int_equal(lines[i].at, i / LINES_A_STEP + 1);
    basket = (struct basket)BASKET(samples);
    assert_int_equal(store_samples(store, 1, INSTANT_NONE, INSTANT_NEVER, take_samples, &basket),
                     with_samples);
    store_close(&store);
}

/* A store whose patience is short, as the tests' is. */
static int open_impatient(void **writing, const char *address, char *error, size_t error_size)
{
    static const struct postgres_patience patience = {.answer = 600 * MILLISECOND,
                                                      .batch = 200 * MILLISECOND,
                                                      .whole = 20 * SECOND,
                                                      .takeover = 200 * MILLISECOND};
    int code = -1;
    for (int tried = 0; tried < 50 && code < 0; tried++) /* a busy machine may need longer than that */
        code = postgres_write_open(writing, address, &patience, error, error_size);
    return code;
}

static void bench_open_impatient(struct bench *bench)
{
    static struct database impatient;
    bench_open(bench); /* makes the tables */
    store_writer_close(&bench->writer);
    impatient = postgres_database;
    impatient.write_open = open_impatient;
    assert_int_equal(writer_open(&bench->writer, &impatient, bench->store, note_durable, bench, bench->error,
                                 sizeof bench->error),
                     0);
}

/* The process of the server that the bench's writer talks to. */
static pid_t backend_of(struct bench *bench)
{
    char sql[512];
    snprintf(sql, sizeof sql,
             "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND classid = 1752132966 AND "
             "objid = hashtext('%s')::bigint & 4294967295 AND granted",
             strrchr(bench->folder, '/') + 1);
    PGconn *connection = PQconnectdb(getenv("HOMEOSTAT_TEST_STORE"));
    PGresult *result = PQexec(connection, sql);
    assert_int_equal(PQntuples(result), 1);
    pid_t backend = atoi(PQgetvalue(result, 0, 0));
    PQclear(result);
    PQfinish(connection);
    return backend;
}

/* How many lines of this step are there. */
static int lines_of(struct bench *bench, uint64_t ticket)
{
    static struct timeline_row lines[1000];
    struct basket basket = BASKET(lines);
    struct store *store = bench_reader(bench);
    int all = store_timeline(store, 1, take_timeline, &basket), found = 0;
    store_close(&store);
    for (int i = 0; i < all; i++)
        found += lines[i].at == (instant)ticket;
    return found;
}

/* --- the stories ---------------------------------------------------------------------------------------- */

static void a_cut_around_the_commit_loses_and_doubles_nothing(void **state)
{
    struct bench *bench = *state;
    struct line *line = line_open(bench);
    bench_open(bench);
    enum { STEPS = 60 };
    for (uint64_t ticket = 1; ticket <= STEPS; ticket++) {
        line->mode = (int)(ticket % 3);
        put_step(bench, ticket, ticket % 2);
        assert_true(bench_wait(bench, ticket));
        assert_int_equal(line->mode, LINE_WHOLE); /* the cut was made */
    }
    assert_int_equal(line->cuts, STEPS * 2 / 3);
    assert_once(bench, STEPS, STEPS / 2);
    line_close(line);
}

static void a_line_that_stalls_around_the_commit_loses_and_doubles_nothing(void **state)
{
    struct bench *bench = *state;
    struct line *line = line_open(bench);
    bench_open_impatient(bench);
    put_step(bench, 1, true);
    assert_true(bench_wait(bench, 1));
    line->mode = LINE_STALL_BEFORE_COMMIT;
    put_step(bench, 2, false);
    assert_true(bench_wait(bench, 2));
    assert_int_equal(line->mode, LINE_WHOLE); /* the stall was made */
    line->mode = LINE_STALL_AFTER_COMMIT;
    put_step(bench, 3, true);
    assert_true(bench_wait(bench, 3));
    assert_int_equal(line->mode, LINE_WHOLE);
    put_step(bench, 4, false);
    assert_true(bench_wait(bench, 4));
    assert_once(bench, 4, 2);
    assert_int_equal(bench->failures, 0);
    line_close(line);
}

/* As a backend does whose disk hangs: nobody can end it, so nobody can know how the batch ends. The caller is
 * told, and looks once a later commit has come through: that can only be when the old backend is gone. */
static void a_backend_that_stops_fails_the_commit_until_it_ends(void **state)
{
    struct bench *bench = *state;
    bench_open_impatient(bench);
    put_step(bench, 1, false);
    assert_true(bench_wait(bench, 1));
    pid_t backend = backend_of(bench);
    assert_int_equal(kill(backend, SIGSTOP), 0);
    put_step(bench, 2, true);
    bool durable = bench_wait(bench, 2);
    kill(backend, SIGCONT);
    assert_false(durable);
    assert_non_null(strstr(bench->failure, "does not end"));
    do {
        store_discard(bench->writer);
        bench->failures = 0;
        put_step(bench, 3, false);
    } while (!bench_wait(bench, 3)); /* until the old backend has gone */
    assert_int_equal(lines_of(bench, 3), LINES_A_STEP);
    int second = lines_of(bench, 2);
    assert_true(second == 0 || second == LINES_A_STEP);
}

static void killed_backends_are_replaced(void **state)
{
    struct bench *bench = *state;
    bench_open(bench);
    enum { STEPS = 100 };
    for (uint64_t ticket = 1; ticket <= STEPS; ticket++) {
        put_step(bench, ticket, ticket % 2);
        if (ticket % 5 == 0)
            bench_sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = "
                      "'homeostat'");
        assert_true(bench_wait(bench, ticket));
    }
    assert_once(bench, STEPS, STEPS / 2);
}

/* As after a crash of the server's machine: no goodbye, and a recovery when it starts again. */
static void kill_server(void)
{
    const char *path = getenv("HOMEOSTAT_TEST_PIDFILE");
    char line[32] = "";
    for (int tried = 0; tried < 400 && !line[0]; tried++) {
        FILE *file = fopen(path, "re");
        if (file && !fgets(line, sizeof line, file))
            line[0] = '\0';
        if (file)
            fclose(file);
        if (!line[0])
            nanosleep(&(struct timespec){.tv_nsec = 10 * MILLISECOND}, NULL);
    }
    pid_t server = atoi(line);
    assert_true(server > 0);
    kill(server, SIGQUIT);
    while (kill(server, 0) == 0)
        nanosleep(&(struct timespec){.tv_nsec = 10 * MILLISECOND}, NULL);
}

static void the_server_crashes_and_comes_back(void **state)
{
    struct bench *bench = *state;
    bench_open(bench);
    struct store *store = bench_reader(bench);
    enum { STEPS = 30 };
    for (uint64_t ticket = 1; ticket <= STEPS; ticket++) {
        put_step(bench, ticket, ticket % 2);
        if (ticket % 10 == 0)
            kill_server();
        assert_true(bench_wait(bench, ticket));
    }
    bench_sql("SELECT 'it is back'");
    assert_once(bench, STEPS, STEPS / 2);
    struct control_row control; /* a reader that was there before goes on, too */
    assert_int_equal(store_control(store, &control), 0);
    store_close(&store);
}

/* What the control plane needs to stop acting, and to go on by itself. */
static void a_server_that_stays_away_fails_the_commit(void **state)
{
    struct bench *bench = *state;
    struct line *line = line_open(bench);
    bench_open(bench);
    put_step(bench, 1, false);
    assert_true(bench_wait(bench, 1));
    line->mode = LINE_DOWN;
    put_step(bench, 2, true);
    assert_false(bench_wait(bench, 2));
    assert_non_null(strstr(bench->failure, "127.0.0.1"));
    assert_null(strstr(bench->failure, "secret"));
    char error[1024];
    struct store *store;
    assert_int_equal(store_open(&store, bench->store, error, sizeof error), -ECONNREFUSED);
    assert_null(strstr(error, "secret"));
    line->mode = LINE_WHOLE;
    store_discard(bench->writer);
    bench->failures = 0;
    put_step(bench, 2, true);
    assert_true(bench_wait(bench, 2));
    assert_once(bench, 2, 1);
    line_close(line);
}

static void another_session_fences_ours(void **state)
{
    struct bench *bench = *state;
    char sql[256];
    bench_open(bench);
    put_step(bench, 1, false);
    assert_true(bench_wait(bench, 1));
    snprintf(sql, sizeof sql, "UPDATE \"%s\".homeostat_session SET session = 'another'",
             strrchr(bench->folder, '/') + 1);
    bench_sql(sql);
    put_step(bench, 2, true);
    assert_false(bench_wait(bench, 2));
    assert_non_null(strstr(bench->failure, "another control plane has taken over"));
    assert_once(bench, 1, 0);
}

static void a_fence_without_its_row_fails(void **state)
{
    struct bench *bench = *state;
    char sql[256];
    bench_open(bench);
    snprintf(sql, sizeof sql, "DELETE FROM \"%s\".homeostat_session", strrchr(bench->folder, '/') + 1);
    bench_sql(sql);
    put_step(bench, 1, true);
    assert_false(bench_wait(bench, 1));
    assert_non_null(strstr(bench->failure, "homeostat_session has lost its row"));
    assert_once(bench, 0, 0);
}

/* Ours was cut off, another one wrote and ended: what ours has in mind is stale, though nobody holds the
 * store now. */
static void another_that_came_and_went_is_noticed(void **state)
{
    struct bench *bench = *state;
    struct line *line = line_open(bench);
    char sql[512];
    bench_open(bench);
    put_step(bench, 1, false);
    assert_true(bench_wait(bench, 1));
    snprintf(sql, sizeof sql, "UPDATE \"%s\".homeostat_session SET session = 'another'",
             strrchr(bench->folder, '/') + 1);
    line->mode = LINE_CUT_BEFORE_COMMIT;
    bench_sql(sql);
    put_step(bench, 2, false);
    assert_false(bench_wait(bench, 2));
    assert_int_equal(line->mode, LINE_WHOLE);
    assert_non_null(strstr(bench->failure, "another control plane has taken over"));
    assert_once(bench, 1, 0);
    store_discard(bench->writer); /* it has looked at what is there now */
    bench->failures = 0;
    put_step(bench, 2, true);
    assert_true(bench_wait(bench, 2));
    assert_once(bench, 2, 1);
    line_close(line);
}

/* They begin at once on nothing: one gets the store, the others are told who has it. */
static void two_starters_make_one_schema(void **state)
{
    struct bench *bench = *state;
    enum { STARTERS = 4 };
    int ready[2], go[2], results[STARTERS], won = 0;
    pid_t starters[STARTERS];
    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(go), 0);
    for (int i = 0; i < STARTERS; i++) {
        starters[i] = fork();
        if (starters[i] != 0)
            continue;
        char error[1024], byte;
        struct store_writer *writer;
        close(go[1]);
        (void)!read(go[0], &byte, 1); /* until the other end is closed */
        int code = store_writer_open(&writer, bench->store, note_durable, bench, error, sizeof error);
        (void)!write(ready[1], &code, sizeof code);
        if (code == 0)
            nanosleep(&(struct timespec){.tv_sec = 5}, NULL); /* longer than the others' patience */
        _exit(0);
    }
    close(go[0]);
    close(go[1]);
    for (int i = 0; i < STARTERS; i++) {
        assert_int_equal(read(ready[0], &results[i], sizeof results[i]), sizeof results[i]);
        won += results[i] == 0;
        assert_true(results[i] == 0 || results[i] == -EWOULDBLOCK);
    }
    for (int i = 0; i < STARTERS; i++)
        waitpid(starters[i], NULL, 0);
    close(ready[0]);
    close(ready[1]);
    assert_int_equal(won, 1);
    bench_open(bench);
}

static void assert_refused(struct bench *bench, const char *sql, const char *word)
{
    char whole[512];
    snprintf(whole, sizeof whole, "SET search_path = \"%s\"; %s", strrchr(bench->folder, '/') + 1, sql);
    bench_sql(whole);
    bench->error[0] = '\0';
    assert_int_equal(store_writer_open(&bench->writer, bench->store, note_durable, bench, bench->error,
                                       sizeof bench->error),
                     -EINVAL);
    assert_non_null(strstr(bench->error, word));
    struct store *store;
    assert_int_equal(store_open(&store, bench->store, bench->error, sizeof bench->error), -EINVAL);
    assert_non_null(strstr(bench->error, word));
}

static void what_is_not_ours_is_refused(void **state)
{
    assert_refused(*state, "CREATE TABLE recipes (cake text)", "another program");
}

static void a_newer_or_another_schema_is_refused(void **state)
{
    struct bench *bench = *state;
    bench_open(bench);
    store_writer_close(&bench->writer);
    assert_refused(bench, "INSERT INTO homeostat_migrations VALUES (99, 'future', 1, 1)", "newer homeostat");
    assert_refused(
        bench,
        "DELETE FROM homeostat_migrations WHERE version = 99; UPDATE homeostat_migrations SET checksum = 1",
        "another build");
}

static void people_can_read_it(void **state)
{
    struct bench *bench = *state;
    bench_open(bench);
    struct node_row node = {.name = "web-1", .seen_at = SECOND};
    struct incident incident = {.id = 1,
                                .detector_name = "cpu-high",
                                .state = INCIDENT_RESOLVED,
                                .verdict = VERDICT_EFFECTIVE,
                                .opened_at = 100 * SECOND,
                                .ended_at = 103 * SECOND,
                                .closed_at = 108 * SECOND};
    struct fault_row fault = {
        .id = 4, .injected_at = 99 * SECOND, .lease_ns = 60 * SECOND, .ended_at = INSTANT_NONE};
    store_put_node(bench->writer, &node);
    store_put_incident(bench->writer, &incident);
    store_put_fault(bench->writer, &fault);
    bench_commit(bench, 1);
    PGconn *connection = PQconnectdb(bench->store);
    PGresult *result = PQexec(connection, "SELECT node, detected_after_s, fixed_after_s, proved_after_s, "
                                          "to_char(opened AT TIME ZONE 'UTC', 'HH24:MI:SS'), fault_kind "
                                          "FROM incidents_for_people");
    assert_int_equal(PQntuples(result), 1);
    static const char *const wanted[] = {"web-1", "1.000", "4.000", "9.000", "00:01:40", "cpu_spike"};
    for (int i = 0; i < (int)(sizeof wanted / sizeof wanted[0]); i++)
        assert_string_equal(PQgetvalue(result, 0, i), wanted[i]);
    PQclear(result);
    PQfinish(connection);
}

int main(void)
{
    const struct CMUnitTest stories[] = {
        STORY(a_cut_around_the_commit_loses_and_doubles_nothing),
        STORY(a_line_that_stalls_around_the_commit_loses_and_doubles_nothing),
        STORY(a_backend_that_stops_fails_the_commit_until_it_ends),
        STORY(killed_backends_are_replaced),
        STORY(the_server_crashes_and_comes_back),
        STORY(a_server_that_stays_away_fails_the_commit),
        STORY(another_session_fences_ours),
        STORY(a_fence_without_its_row_fails),
        STORY(another_that_came_and_went_is_noticed),
        STORY(two_starters_make_one_schema),
        STORY(what_is_not_ours_is_refused),
        STORY(a_newer_or_another_schema_is_refused),
        STORY(people_can_read_it),
    };
    return cmocka_run_group_tests_name("store_postgres", stories, NULL, NULL);
}
