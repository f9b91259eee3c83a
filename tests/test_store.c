/* The store as the control plane, its readers and a person with the sqlite3 shell know it. */
#include "store_bench.h"

#include <sqlite3.h>
#include <sys/stat.h>

static void an_empty_file_gets_the_present_schema(void **state)
{
    struct bench *bench = *state;
    bench_open(bench);
    struct store *store = bench_reader(bench);
    struct node_row nodes[1];
    struct basket basket = BASKET(nodes);
    struct control_row control;
    assert_int_equal(store_nodes(store, take_node, &basket), 0);
    assert_int_equal(store_control(store, &control), 0);
    store_close(&store);
    store_writer_close(&bench->writer);

    sqlite3 *db;
    sqlite3_stmt *statement;
    assert_int_equal(sqlite3_open(bench->path, &db), SQLITE_OK);
    assert_int_equal(
        sqlite3_prepare_v2(db,
                           "SELECT application_id, user_version, journal_mode, count(*), max(version), "
                           "(SELECT name FROM migrations WHERE version = 1) FROM pragma_application_id, "
                           "pragma_user_version, "
                           "pragma_journal_mode, migrations",
                           -1, &statement, NULL),
        SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    assert_int_equal(sqlite3_column_int(statement, 0), 0x686f6d65);
    int version = sqlite3_column_int(statement, 1);
    assert_true(version >= 1);
    assert_string_equal((const char *)sqlite3_column_text(statement, 2), "wal");
    assert_int_equal(sqlite3_column_int(statement, 3), version);
    assert_int_equal(sqlite3_column_int(statement, 4), version);
    assert_string_equal((const char *)sqlite3_column_text(statement, 5), "first");
    sqlite3_finalize(statement);
    sqlite3_close(db);

    bench_open(bench); /* a second start finds nothing to migrate */
}

/* That it keeps another out at all is every database's story (test_store_conformance.c). */
static void its_lock_holds_for_other_names_and_tells_who_has_it(void **state)
{
    struct bench *bench = *state;
    bench_open(bench);
    char error[1024], path[200], owner[32];
    struct store_writer *second;
    snprintf(path, sizeof path, "%s/alias.db", bench->folder);
    snprintf(owner, sizeof owner, "process %d", (int)getpid());
    assert_int_equal(symlink("lab.db", path), 0);
    assert_int_equal(store_writer_open(&second, path, note_durable, bench, error, sizeof error),
                     -EWOULDBLOCK);
    assert_non_null(strstr(error, owner));
    assert_int_equal(unlink(path), 0);
}

static void closing_commits_what_was_handed_over(void **state)
{
    struct bench *bench = *state;
    bench_open(bench);
    struct node_row node = {.name = "web-1"};
    store_put_node(bench->writer, &node);
    store_submit(bench->writer, 1, false);
    node = (struct node_row){.name = "web-2", .number = 1};
    store_put_node(bench->writer, &node); /* put, but never handed over */
    store_writer_close(&bench->writer);
    assert_int_equal(bench->durable, 1);

    char log[128];
    struct stat status;
    snprintf(log, sizeof log, "%s-wal", bench->path);
    assert_true(stat(log, &status) != 0 || status.st_size == 0);
    struct store *store = bench_reader(bench);
    struct node_row found[2];
    struct basket basket = BASKET(found);
    assert_int_equal(store_nodes(store, take_node, &basket), 1);
    store_close(&store);
}

static void people_can_read_it(void **state)
{
    struct bench *bench = *state;
    bench_open(bench);
    struct node_row node = {.name = "web-1", .number = 0};
    store_put_node(bench->writer, &node);
    const instant noon = 1795953600 * SECOND; /* 2026-11-29T12:00:00Z */
    struct fault_row fault = {.id = 4,
                              .kind = FAULT_CPU_SPIKE,
                              .state = FAULT_ENDED,
                              .lease_ns = 60 * SECOND,
                              .injected_at = noon,
                              .ended_at = noon + 5 * SECOND};
    store_put_fault(bench->writer, &fault);
    fault = (struct fault_row){
        .id = 5, .injected_at = noon + 50 * SECOND, .lease_ns = SECOND, .ended_at = INSTANT_NONE};
    store_put_fault(bench->writer, &fault); /* too late to be the cause */
    struct incident incident = {.id = 1,
                                .detector_name = "cpu-high",
                                .severity = SEVERITY_CRITICAL,
                                .state = INCIDENT_RESOLVED,
                                .remedy = REMEDY_RESTART_SERVICE,
                                .verdict = VERDICT_EFFECTIVE,
                                .began_at = noon + SECOND,
                                .opened_at = noon + 4 * SECOND + 7 * MILLISECOND,
                                .acted_at = noon + 4 * SECOND,
                                .ended_at = noon + 4100 * MILLISECOND,
                                .closed_at = noon + 8100 * MILLISECOND,
                                .attempts = 1};
    store_put_incident(bench->writer, &incident);
    incident.id = 2, incident.began_at += 3600 * SECOND,
    incident.opened_at += 3600 * SECOND; /* no fault near */
    incident.state = INCIDENT_VERIFYING, incident.closed_at = INSTANT_NONE;
    store_put_incident(bench->writer, &incident);
    bench_commit(bench, 1);
    store_writer_close(&bench->writer);

    char command[512], told[1024] = "";
    snprintf(command, sizeof command,
             "sqlite3 -readonly %s 'SELECT node, finding, state, remedy, verdict, opened, fault, fault_kind, "
             "detected_after_s, fixed_after_s, proved_after_s FROM incidents_for_people ORDER BY id'",
             bench->path);
    FILE *shell = popen(command, "r");
    assert_non_null(shell);
    size_t length = fread(told, 1, sizeof told - 1, shell);
    if (pclose(shell) == 127 << 8)
        skip(); /* no sqlite3 shell here */
    assert_true(length > 0);
    assert_string_equal(
        told, "web-1|cpu-high|resolved|restart_service|effective|2026-11-29T12:00:04.007Z|4|cpu_spike|4.007|"
              "4.1|8.1\n"
              "web-1|cpu-high|verifying|restart_service|effective|2026-11-29T13:00:04.007Z|||3.007||\n");
}

static void a_schema_from_the_future_is_refused(void **state)
{
    struct bench *bench = *state;
    bench_open(bench);
    store_writer_close(&bench->writer);
    sqlite3 *db;
    assert_int_equal(sqlite3_open(bench->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "PRAGMA user_version = 999", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    struct store *store;
    assert_int_equal(store_writer_open(&bench->writer, bench->path, note_durable, bench, bench->error, 1024),
                     -EINVAL);
    assert_non_null(strstr(bench->error, "newer homeostat (schema 999"));
    assert_int_equal(store_open(&store, bench->path, bench->error, sizeof bench->error), -EINVAL);
    assert_non_null(strstr(bench->error, "name another file"));
}

static void what_is_not_ours_is_refused_and_left_alone(void **state)
{
    struct bench *bench = *state;
    struct store *store;
    assert_int_equal(store_open(&store, bench->path, bench->error, sizeof bench->error), -ENOENT);
    assert_null(store);

    static const char diary[] =
        "Dear diary, this is no database at all, but it is longer than a header would be. "
        "So it has to go on a little, and then some more.";
    FILE *file = fopen(bench->path, "w");
    assert_non_null(file);
    fputs(diary, file);
    fclose(file);
    assert_int_equal(store_writer_open(&bench->writer, bench->path, note_durable, bench, bench->error, 1024),
                     -EINVAL);
    assert_non_null(strstr(bench->error, "no SQLite database"));
    assert_int_equal(store_open(&store, bench->path, bench->error, sizeof bench->error), -EINVAL);
    assert_non_null(strstr(bench->error, "name another file"));
    char kept[256] = "";
    file = fopen(bench->path, "r");
    assert_non_null(file);
    assert_int_equal(fread(kept, 1, sizeof kept, file), sizeof diary - 1);
    fclose(file);
    assert_string_equal(kept, diary);
    unlink(bench->path);

    sqlite3 *db;
    assert_int_equal(sqlite3_open(bench->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "CREATE TABLE recipes (cake TEXT)", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    assert_int_equal(store_writer_open(&bench->writer, bench->path, note_durable, bench, bench->error, 1024),
                     -EINVAL);
    assert_non_null(strstr(bench->error, "another program"));
}

static void a_word_that_nobody_knows_is_not_guessed_at(void **state)
{
    struct bench *bench = *state;
    bench_open(bench);
    struct incident incident = {.id = 1};
    store_put_incident(bench->writer, &incident);
    bench_commit(bench, 1);
    store_writer_close(&bench->writer);
    sqlite3 *db;
    assert_int_equal(sqlite3_open(bench->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "UPDATE incidents SET state = 'fine'", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    struct store *store = bench_reader(bench);
    struct incident found[1];
    struct basket basket = BASKET(found);
    assert_int_equal(store_incidents(store, &every_incident, take_incident, &basket), -EBADMSG);
    assert_non_null(strstr(store_problem(store), "incidents.state"));
    store_close(&store);
}

int main(void)
{
    const struct CMUnitTest stories[] = {
        STORY(an_empty_file_gets_the_present_schema),
        STORY(its_lock_holds_for_other_names_and_tells_who_has_it),
        STORY(closing_commits_what_was_handed_over),
        STORY(people_can_read_it),
        STORY(a_schema_from_the_future_is_refused),
        STORY(what_is_not_ours_is_refused_and_left_alone),
        STORY(a_word_that_nobody_knows_is_not_guessed_at),
    };
    return cmocka_run_group_tests_name("store", stories, NULL, NULL);
}
