/* What every database must do to be a store: the same stories with SQLite and with PostgreSQL
 * (HOMEOSTAT_TEST_STORE, see store_bench.h). */
#include "store_bench.h"

#include <signal.h>
#include <sys/wait.h>

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

/* Puts incident `id` with so much evidence, and reads it back: the store says so itself if it has more or
 * less. */
static void assert_evidence(struct bench *bench, uint64_t ticket, uint64_t id, uint8_t count)
{
    struct incident incident = {
        .id = id, .detector_name = "cpu-high", .detector = NO_INDEX, .evidence_count = count};
    struct incident_filter filter = {.id = id, .node = -1, .state = -1};
    for (uint8_t place = 0; place < count; place++)
        incident.evidence[place].before = place;
    assert_int_equal(store_put_incident(bench->writer, &incident), 0);
    bench_commit(bench, ticket);
    struct incident found[1];
    struct basket basket = BASKET(found);
    struct store *store = bench_reader(bench);
    assert_int_equal(store_incidents(store, &filter, take_incident, &basket), 1);
    assert_int_equal(found[0].evidence_count, count);
    store_close(&store);
}

/* It opens anew under another policy, and its new evidence is less; the newest incident is not the only one.
 */
static void evidence_can_become_less(void **state)
{
    struct bench *bench = *state;
    bench_open(bench);
    assert_evidence(bench, 1, 1, 3);
    assert_evidence(bench, 2, 2, 0);
    assert_evidence(bench, 3, 1, 1);
    assert_evidence(bench, 4, 3, 2);
    store_writer_close(&bench->writer);
    bench_open(bench);
    assert_evidence(bench, 5, 3, 0);
    assert_evidence(bench, 6, 4, 1);
    assert_evidence(bench, 7, 2, 1);
    assert_evidence(bench, 8, 2, 0);
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

static void a_second_start_continues(void **state)
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
    bench_open(bench); /* finds nothing to migrate */
    struct store *store = bench_reader(bench);
    struct node_row found[2];
    struct basket basket = BASKET(found);
    assert_int_equal(store_nodes(store, take_node, &basket), 1);
    assert_string_equal(found[0].name, "web-1");
    store_close(&store);
}

static void only_one_control_plane_writes(void **state)
{
    struct bench *bench = *state;
    bench_open(bench);
    char error[1024];
    struct store_writer *second;
    assert_int_equal(store_writer_open(&second, bench->store, note_durable, bench, error, sizeof error),
                     -EWOULDBLOCK);
    assert_null(second);
    assert_non_null(strstr(error, "another control plane"));
    assert_null(strstr(error, "secret"));
    store_writer_close(&bench->writer);
    bench_open(bench);
}

/* Its connection, its lock and its half transaction end with it. */
static void a_killed_control_plane_leaves_the_store_free(void **state)
{
    struct bench *bench = *state;
    pid_t child = fork();
    if (child == 0) {
        bench_open(bench);
        struct timeline_row line = {.incident = 1, .step = "PLAN"};
        for (uint64_t ticket = 1;; ticket++) {
            for (int i = 0; i < 3; i++)
                store_put_timeline(bench->writer, &line);
            store_submit(bench->writer, ticket, true);
            bench_wait(bench, ticket);
        }
    }
    nanosleep(&(struct timespec){.tv_nsec = 300000000}, NULL); /* a moment drawn from the machine's load */
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    bench_open(bench);
    struct store *store = bench_reader(bench);
    static struct timeline_row lines[100000];
    struct basket basket = BASKET(lines);
    assert_int_equal(store_timeline(store, 1, take_timeline, &basket) % 3, 0);
    store_close(&store);
}

int main(void)
{
    const struct CMUnitTest stories[] = {
        STORY(filters_find_what_a_restore_needs),
        STORY(evidence_can_become_less),
        STORY(a_block_keeps_its_first_and_takes_last_and_count),
        STORY(samples_of_a_span_come_in_order_of_time),
        STORY(readers_see_whole_commits_while_writing_goes_on),
        STORY(samples_alone_wait_a_little),
        STORY(a_disk_that_does_not_keep_up_is_noticed),
        STORY(a_second_start_continues),
        STORY(only_one_control_plane_writes),
        STORY(a_killed_control_plane_leaves_the_store_free),
        STORY(speed_of_samples),
    };
    return cmocka_run_group_tests_name("store_conformance", stories, NULL, NULL);
}
