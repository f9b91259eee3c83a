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

static void a_second_control_plane_is_kept_out(void **state)
{
    struct bench *bench = *state;
    bench_open(bench);
    char error[1024], path[200];
    struct store_writer *second;
    assert_int_equal(store_writer_open(&second, bench->path, note_durable, bench, error, sizeof error),
                     -EWOULDBLOCK);
    assert_null(second);
    snprintf(path, sizeof path, "process %d", (int)getpid());
    assert_non_null(strstr(error, path));

    snprintf(path, sizeof path, "%s/alias.db", bench->folder);
    assert_int_equal(symlink("lab.db", path), 0);
    assert_int_equal(store_writer_open(&second, path, note_durable, bench, error, sizeof error),
                     -EWOULDBLOCK);

    assert_int_equal(unlink(path), 0);

    store_writer_close(&bench->writer);
    bench_open(bench);
}

static void filters_find_what_a_restore_needs(void **state)
{
    struct bench *bench = *state;
    bench_open(bench);
    static const uint8_t states[] = {INCIDENT_OPEN, INCIDENT_RESOLVED, INCIDENT_RESOLVED, INCIDENT_ESCALATED};
    for (uint64_t id = 1; id <= 4; id++) {
        struct incident incident = {.id = id,
                                    .node = id % 2,
                                    .state = states[id - 1],
                                    .detector_name = "cpu-high",
                                    .closed_at = states[id - 1] == INCIDENT_RESOLVED ? (instant)id * 100
                                                                                     : INSTANT_NONE};
        assert_int_equal(store_put_incident(bench->writer, &incident), 0);
        struct command_row command = {
            .command = {.id = id,
                        .incident = id,
                        .node = id % 2,
                        .ordered_at = (instant)id * 100,
                        .ended_at = id == 1 ? INSTANT_NONE : (instant)id * 100 + 50}};
        assert_int_equal(store_put_command(bench->writer, &command), 0);
        struct fault_row fault = {.id = id, .state = (uint8_t)(id - 1)};
        assert_int_equal(store_put_fault(bench->writer, &fault), 0);
    }
    bench_commit(bench, 1);

    struct store *store = bench_reader(bench);
    struct incident found[5];
    struct basket basket = BASKET(found);
    struct incident_filter filter = {.node = -1, .state = -1, .open_or_since = true, .since = 250};
    assert_int_equal(store_incidents(store, &filter, take_incident, &basket), 3);
    assert_int_equal(found[0].id, 4);
    assert_int_equal(found[1].id, 3);
    assert_int_equal(found[2].id, 1);
    basket = (struct basket)BASKET(found);
    filter = (struct incident_filter){.node = 0, .state = INCIDENT_RESOLVED};
    assert_int_equal(store_incidents(store, &filter, take_incident, &basket), 1);
    assert_int_equal(found[0].id, 2);
    basket = (struct basket)BASKET(found);
    filter = (struct incident_filter){.node = -1, .state = -1, .limit = 2};
    assert_int_equal(store_incidents(store, &filter, take_incident, &basket), 2);
    assert_int_equal(found[1].id, 3);
    basket =
        (struct basket){(unsigned char *)found, sizeof found[0], 1, 0}; /* wants no more after the first */
    assert_int_equal(store_incidents(store, &every_incident, take_incident, &basket), 1);

    struct command_row commands[5];
    basket = (struct basket)BASKET(commands);
    assert_int_equal(store_commands(store, 0, -1, 340, take_command, &basket),
                     3); /* running, ended since, ordered since */
    assert_int_equal(commands[0].command.id, 1);
    assert_int_equal(commands[1].command.id, 3);
    basket = (struct basket)BASKET(commands);
    assert_int_equal(store_commands(store, 2, 0, INSTANT_NONE, take_command, &basket), 1);
    basket = (struct basket)BASKET(commands);
    assert_int_equal(store_commands(store, 2, 1, INSTANT_NONE, take_command, &basket), 0);

    struct fault_row faults[5];
    basket = (struct basket)BASKET(faults);
    assert_int_equal(store_faults(store, 0, true, 0, take_fault, &basket), 2); /* asked, active */
    assert_int_equal(faults[0].id, 2);
    basket = (struct basket)BASKET(faults);
    assert_int_equal(store_faults(store, 3, false, 1, take_fault, &basket), 1);
    assert_int_equal(faults[0].state, FAULT_ENDED);
    store_close(&store);
}

static void a_block_keeps_its_first_and_takes_last_and_count(void **state)
{
    struct bench *bench = *state;
    bench_open(bench);
    struct incident incident = {.id = 1, .detector_name = "cpu-high", .detector = NO_INDEX};
    store_put_incident(bench->writer, &incident);
    struct block_row row = {
        .incident = 1, .node = 4, .reason = BLOCK_COOLDOWN, .first_at = 10, .last_at = 10, .count = 1};
    store_put_block(bench->writer, &row);
    row.first_at = 11, row.last_at = 30, row.count = 3;
    store_put_block(bench->writer, &row);
    row.reason = BLOCK_BUDGET, row.first_at = row.last_at = 20, row.count = 1;
    store_put_block(bench->writer, &row);
    bench_commit(bench, 1);

    struct store *store = bench_reader(bench);
    struct block_row found[3];
    struct basket basket = BASKET(found);
    assert_int_equal(store_blocks(store, 1, 0, take_block, &basket), 2);
    assert_int_equal(found[0].reason, BLOCK_COOLDOWN);
    assert_int_equal(found[0].first_at, 10);
    assert_int_equal(found[0].last_at, 30);
    assert_int_equal(found[0].count, 3);
    assert_int_equal(found[0].node, 4);
    assert_string_equal(found[0].finding, "cpu-high");
    assert_int_equal(found[1].reason, BLOCK_BUDGET);
    store_close(&store);
}

/* Reports come late from a node that was cut off: the time range must find them all the same, and in order.
 */
static void samples_of_a_span_come_in_order_of_time(void **state)
{
    struct bench *bench = *state;
    bench_open(bench);
    enum { SECONDS = 6000, NODES = 4 };
    for (int second = 0; second < SECONDS; second++)
        for (uint32_t node = 0; node < NODES; node++) {
            struct samples_row row = {
                .node = node, .at = second * SECOND, .boot = 1, .present = 1, .value = {second}};
            if (!(node == 3 && second >= 1000 && second < 2000))
                assert_int_equal(store_put_samples(bench->writer, &row), 0);
        }
    bench_commit(bench, 1); /* the late ones then begin in the middle of a block */
    for (int second = 1999; second >= 1000; second--) {
        struct samples_row row = {
            .node = 3, .at = second * SECOND, .boot = 1, .present = 1, .value = {second}};
        assert_int_equal(store_put_samples(bench->writer, &row), 0);
    }
    bench_commit(bench, 2);

    struct store *store = bench_reader(bench);
    static struct samples_row found[SECONDS];
    for (uint32_t node = 0; node < NODES; node++) {
        struct basket basket = BASKET(found);
        assert_int_equal(store_samples(store, node, 990 * SECOND, 1010 * SECOND, take_samples, &basket), 21);
        for (int i = 0; i < 21; i++) {
            assert_int_equal(found[i].at, (990 + i) * SECOND);
            assert_int_equal(found[i].node, node);
            assert_true(found[i].value[0] > 989.5 + i && found[i].value[0] < 990.5 + i);
        }
    }
    struct basket basket = BASKET(found);
    assert_int_equal(store_samples(store, 3, 1990 * SECOND, 1999 * SECOND, take_samples, &basket), 10);
    basket = (struct basket)BASKET(found);
    assert_int_equal(store_samples(store, 3, INSTANT_NONE, INSTANT_NEVER, take_samples, &basket), SECONDS);
    assert_int_equal(store_samples(store, 3, SECONDS * SECOND, INSTANT_NEVER, take_samples, &basket), 0);
    store_close(&store);
}

static void readers_see_whole_commits_while_writing_goes_on(void **state)
{
    struct bench *bench = *state;
    bench_open(bench);
    struct store *store = bench_reader(bench);
    uint64_t ticket = 0;
    for (int round = 0; round < 100; round++) {
        for (int i = 0; i < 3; i++) { /* always three lines together */
            struct timeline_row line = {.incident = 1, .at = round, .step = "PLAN"};
            store_put_timeline(bench->writer, &line);
        }
        store_submit(bench->writer, ++ticket, true);
        static struct timeline_row lines[400];
        struct basket basket = BASKET(lines);
        int count = store_timeline(store, 1, take_timeline, &basket);
        assert_true(count >= 0 && count % 3 == 0);
    }
    assert_true(bench_wait(bench, ticket));
    static struct timeline_row lines[400];
    struct basket basket = BASKET(lines);
    assert_int_equal(store_timeline(store, 1, take_timeline, &basket), 300);
    store_close(&store);
    assert_false(bench->went_back);
    assert_int_equal(bench->durable, ticket);
}

static void samples_alone_wait_a_little(void **state)
{
    struct bench *bench = *state;
    bench_open(bench);
    struct samples_row row = {.at = 1};
    struct timespec from, to;
    clock_gettime(CLOCK_MONOTONIC, &from);
    store_put_samples(bench->writer, &row);
    store_submit(bench->writer, 0, false);
    store_put_samples(bench->writer, &row);
    store_submit(bench->writer, 0, false);
    store_submit(bench->writer, 0, true); /* nothing in it: does not hurry the others */

    struct timespec until = in_seconds(10);
    pthread_mutex_lock(&bench->mutex);
    while (bench->commits == 0)
        assert_int_equal(pthread_cond_timedwait(&bench->told, &bench->mutex, &until), 0);
    pthread_mutex_unlock(&bench->mutex);
    clock_gettime(CLOCK_MONOTONIC, &to);
    assert_true((to.tv_sec - from.tv_sec) * SECOND + to.tv_nsec - from.tv_nsec >= 250 * MILLISECOND);
    assert_int_equal(bench->commits, 1); /* both in one commit */
    assert_int_equal(bench->durable, 0);
    store_submit(bench->writer, 9, true); /* a ticket without rows becomes durable too */
    assert_true(bench_wait(bench, 9));
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

/* Telemetry is refused first, so that the records of a step still fit; then everything is. */
static void a_disk_that_does_not_keep_up_is_noticed(void **state)
{
    struct bench *bench = *state;
    bench_open(bench);
    struct samples_row row = {.present = (1u << METRIC_COUNT) - 1};
    size_t count = 0;
    while (store_put_samples(bench->writer, &row) == 0)
        assert_true(++count < (64u << 20) / (METRIC_COUNT * sizeof(double)));
    assert_true(count > 100000);
    struct timeline_row line = {.text = "still fits"};
    assert_int_equal(store_put_timeline(bench->writer, &line), 0);
    memset(line.text, 'x', sizeof line.text - 1);
    size_t lines = 0;
    while (store_put_timeline(bench->writer, &line) == 0)
        assert_true(++lines < 64u << 20);
    assert_int_equal(store_put_timeline(bench->writer, &line), -ENOMEM);
    store_discard(bench->writer);
    assert_int_equal(store_put_samples(bench->writer, &row), 0);
    bench_commit(bench, 1);
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

/* Printed, not asserted: a busy machine is no broken store. */
static void speed_of_samples(void **state)
{
    struct bench *bench = *state;
    bench_open(bench);
    struct timespec from, to;
    clock_gettime(CLOCK_MONOTONIC, &from);
    enum { COUNT = 100000 };
    for (int i = 0; i < COUNT; i++) {
        struct samples_row row = {
            .node = (uint32_t)i % 100,
            .at = i * SECOND,
            .boot = 77,
            .sequence = (uint64_t)i,
            .present = 0x0fff,
            .value = {0.31, 1e7 + i, 1, 1, 50.5, 0.0021, 0.001, 0.004, 0.0002, 0.41, 0.22, 0.53}};
        assert_int_equal(store_put_samples(bench->writer, &row), 0);
        store_submit(bench->writer, 0, false);
    }
    bench_commit(bench, 1);
    clock_gettime(CLOCK_MONOTONIC, &to);
    double seconds = (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9;
    print_message("# %d samples rows durable in %.2f s, %.0f rows/s\n", COUNT, seconds, COUNT / seconds);
}

int main(void)
{
    const struct CMUnitTest stories[] = {
        STORY(an_empty_file_gets_the_present_schema),
        STORY(a_second_control_plane_is_kept_out),
        STORY(filters_find_what_a_restore_needs),
        STORY(a_block_keeps_its_first_and_takes_last_and_count),
        STORY(samples_of_a_span_come_in_order_of_time),
        STORY(readers_see_whole_commits_while_writing_goes_on),
        STORY(samples_alone_wait_a_little),
        STORY(closing_commits_what_was_handed_over),
        STORY(a_disk_that_does_not_keep_up_is_noticed),
        STORY(people_can_read_it),
        STORY(a_schema_from_the_future_is_refused),
        STORY(what_is_not_ours_is_refused_and_left_alone),
        STORY(a_word_that_nobody_knows_is_not_guessed_at),
        STORY(speed_of_samples),
    };
    return cmocka_run_group_tests_name("store", stories, NULL, NULL);
}
