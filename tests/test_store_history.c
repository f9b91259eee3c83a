/* Samples become minutes, minutes hours, and raw ones go: the same with SQLite and PostgreSQL. */
#include "store_bench.h"

#include "base/units.h"

static const instant begin_at = 1000 * HOUR; /* some day */
static uint64_t ticket;

static double value_at(int i)
{
    return (double)((i * 37) % 101) / 100;
}

static void put(struct bench *bench, uint32_t node, instant at, double value)
{
    struct samples_row row = {
        .node = node, .at = at, .boot = 1, .sequence = (uint64_t)at, .present = 1, .value = {value}};
    assert_int_equal(store_put_samples(bench->writer, &row), 0);
}

struct found {
    struct rollup_row rows[2000];
    int count;
};

static bool take_rollup(void *context, const struct rollup_row *row)
{
    struct found *found = context;
    found->rows[found->count++] = *row;
    return found->count < 2000;
}

static struct found *rollups(struct bench *bench, uint32_t node, int step_s)
{
    static struct found found;
    struct store *store = bench_reader(bench);
    found.count = 0;
    assert_true(store_rollups(store, node, METRIC_CPU_UTILIZATION, step_s, INSTANT_NONE, INSTANT_NEVER,
                              take_rollup, &found) >= 0);
    store_close(&store);
    return &found;
}

/* The writer's thread goes on after each commit, so there must be commits. */
static void wait_for_rollups(struct bench *bench, uint32_t node, int step_s, int count)
{
    for (int tried = 0; rollups(bench, node, step_s)->count < count; tried++) {
        assert_true(tried < 2000);
        bench_commit(bench, ++ticket);
        nanosleep(&(struct timespec){.tv_nsec = 2 * MILLISECOND}, NULL);
    }
}

static void assert_minute(const struct rollup_row *row, int minute, int samples, double extra)
{
    double least = value_at(minute * samples), most = least, sum = 0;
    for (int i = minute * samples; i < (minute + 1) * samples; i++) {
        least = value_at(i) < least ? value_at(i) : least;
        most = value_at(i) > most ? value_at(i) : most;
        sum += value_at(i);
    }
    bool has_extra = extra > 0;
    assert_int_equal(row->at, begin_at + minute * MINUTE);
    assert_true(row->least == least && row->most == (has_extra ? extra : most));
    assert_true(row->count == samples + has_extra);
    double mean = (sum + (has_extra ? extra : 0)) / (samples + has_extra);
    assert_true(row->mean > mean - 1e-9 && row->mean < mean + 1e-9);
    assert_true(row->last == value_at((minute + 1) * samples - 1));
}

enum { MINUTES = 20, SAMPLES = 12 };

static void write_minutes(struct bench *bench)
{
    for (int i = 0; i < MINUTES * SAMPLES; i++) {
        put(bench, 1, begin_at + i * 5 * SECOND, value_at(i));
        put(bench, 2, begin_at + i * 5 * SECOND, 1);
    }
    bench_commit(bench, ++ticket);
}

static void a_minute_says_what_its_samples_said(void **state)
{
    struct bench *bench = *state;
    bench_open(bench);
    write_minutes(bench);
    wait_for_rollups(bench, 1, 60, MINUTES - 2); /* the newest minute and a half is not over */
    const struct found *found = rollups(bench, 1, 60);
    assert_int_equal(found->count, MINUTES - 2);
    for (int minute = 0; minute < found->count; minute++)
        assert_minute(&found->rows[minute], minute, SAMPLES, 0);
    assert_int_equal(rollups(bench, 2, 60)->rows[3].count, SAMPLES);
}

static void what_comes_late_is_counted_in(void **state)
{
    struct bench *bench = *state;
    bench_open(bench);
    write_minutes(bench);
    wait_for_rollups(bench, 1, 60, MINUTES - 2);
    put(bench, 1, begin_at + 3 * MINUTE + SECOND, 99);
    bench_commit(bench, ++ticket);
    for (int tried = 0; rollups(bench, 1, 60)->rows[3].count < SAMPLES + 1; tried++) {
        assert_true(tried < 2000);
        bench_commit(bench, ++ticket);
    }
    assert_minute(&rollups(bench, 1, 60)->rows[3], 3, SAMPLES, 99);
    assert_minute(&rollups(bench, 1, 60)->rows[4], 4, SAMPLES, 0);
}

static void a_new_start_goes_on(void **state)
{
    struct bench *bench = *state;
    bench_open(bench);
    write_minutes(bench);
    wait_for_rollups(bench, 1, 60, 5);
    store_writer_close(&bench->writer);
    bench_open(bench);
    put(bench, 1, begin_at + MINUTES * MINUTE, 0);
    wait_for_rollups(bench, 1, 60, MINUTES - 2);
    for (int minute = 0; minute < MINUTES - 2; minute++)
        assert_minute(&rollups(bench, 1, 60)->rows[minute], minute, SAMPLES, 0);
}

static bool count_row(void *context, const struct samples_row *row)
{
    (void)row;
    ++*(int *)context;
    return true;
}

/* Eight hours: of the first two there are minutes and hours only. */
static void old_samples_go_and_their_history_stays(void **state)
{
    struct bench *bench = *state;
    bench_open(bench);
    enum { HOURS = 8, RAW = 6, NODES = 20, AN_HOUR = 120 };
    const instant raw_since = begin_at + (HOURS - RAW) * HOUR;
    for (int i = 0; i <= HOURS * AN_HOUR; i++)
        for (uint32_t node = 0; node < NODES; node++)
            put(bench, node, begin_at + i * 30 * SECOND, value_at(i));
    bench_commit(bench, ++ticket);
    wait_for_rollups(bench, 1, 3600, HOURS - 1);
    struct store *store = bench_reader(bench);
    instant raw_from = INSTANT_NONE, minutes_from;
    while (raw_from != raw_since) { /* ten minutes at a time */
        assert_true(raw_from < raw_since);
        bench_commit(bench, ++ticket);
        assert_true(store_history(store, &raw_from, &minutes_from) >= 0);
    }
    assert_int_equal(minutes_from, begin_at);
    int early = 0, late = 0;
    store_samples(store, 1, INSTANT_NONE, begin_at + 3 * HOUR / 2, count_row, &early);
    store_samples(store, 1, raw_from, INSTANT_NEVER, count_row, &late);
    assert_int_equal(early, 0);
    assert_int_equal(late, RAW * AN_HOUR + 1);
    store_close(&store);
    const struct found *found = rollups(bench, 1, 3600);
    for (int hour = 0; hour < HOURS - 1; hour++) {
        assert_int_equal(found->rows[hour].at, begin_at + hour * HOUR);
        assert_true(found->rows[hour].count == AN_HOUR);
        assert_true(found->rows[hour].last == value_at((hour + 1) * AN_HOUR - 1));
    }
    /* A node that was cut off delivers what is older than all samples that are left: it gets minutes and an
     * hour of its own, and nobody else's change. */
    for (int i = 0; i < AN_HOUR; i++)
        put(bench, 20, begin_at + HOUR + i * 30 * SECOND, 0.25);
    bench_commit(bench, ++ticket);
    wait_for_rollups(bench, 20, 3600, 1);
    assert_true(rollups(bench, 20, 3600)->rows[0].count == AN_HOUR && rollups(bench, 20, 60)->count == 60);
    assert_true(rollups(bench, 1, 3600)->rows[1].count == AN_HOUR &&
                rollups(bench, 1, 60)->rows[70].count == 2);
}

/* A lab that was not used for ten days. */
static void silence_is_passed_over(void **state)
{
    struct bench *bench = *state;
    bench_open(bench);
    write_minutes(bench);
    wait_for_rollups(bench, 1, 60, MINUTES - 2);
    for (int i = 0; i < 60; i++)
        put(bench, 1, begin_at + 240 * HOUR + i * 5 * SECOND, 0.5);
    bench_commit(bench, ++ticket);
    wait_for_rollups(bench, 1, 60, MINUTES + 3);
    const struct found *found = rollups(bench, 1, 60);
    assert_int_equal(found->rows[MINUTES].at, begin_at + 240 * HOUR);
    assert_true(found->rows[MINUTES].count == 12);
}

int main(void)
{
    const struct CMUnitTest stories[] = {
        STORY(a_minute_says_what_its_samples_said),
        STORY(what_comes_late_is_counted_in),
        STORY(a_new_start_goes_on),
        STORY(old_samples_go_and_their_history_stays),
        STORY(silence_is_passed_over),
    };
    return cmocka_run_group_tests_name("store_history", stories, NULL, NULL);
}
