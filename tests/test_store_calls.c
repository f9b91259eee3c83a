/* The SQLite store beside an operating system that refuses: the k-th call of a life fails, for every k that
 * there is. A life opens the store, writes steps, reads, closes, opens again. Whatever fails says so, nothing
 * is there by halves, and once the trouble is over the same process goes on by itself.
 *
 * Of the writes, of which there are hundreds, every eleventh (43rd with sanitizers); all with
 * HOMEOSTAT_EVERY_CALL=1. */
#include "calls.h"
#include "sanitized.h"
#include "store_steps.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

enum { STEPS = 4 }; /* of a life: half of them, then the store is closed and opened once more */

static struct tally {
    unsigned lives, starts, commits, reads; /* lives that met the trouble; what failed in them */
} tally;

static void after_failure(struct bench *bench)
{
    pthread_mutex_lock(&bench->mutex);
    bench->failures = 0;
    pthread_mutex_unlock(&bench->mutex);
    store_discard(bench->writer);
}

/* Only the trouble may be why something failed. */
static void assert_met(const char *said)
{
    if (atomic_load(&calls->met) == 0)
        fail_msg("failed without a reason: %s", said);
    assert_true(said[0] != '\0');
    calls_heal(calls);
}

static void open_in_trouble(struct bench *bench)
{
    int result = store_writer_open(&bench->writer, bench->path, note_durable, bench, bench->error,
                                   sizeof bench->error);
    if (result == 0)
        return;
    assert_true(result < 0);
    assert_null(bench->writer);
    assert_met(bench->error);
    tally.starts++;
    bench_open(bench);
}

static void step_in_trouble(struct bench *bench, uint64_t ticket)
{
    put_step(bench->writer, ticket);
    if (bench_wait(bench, ticket))
        return;
    assert_met(bench->failure);
    tally.commits++;
    assert_int_equal(whole_steps(bench), ticket - 1);
    after_failure(bench);
    put_step(bench->writer, ticket);
    if (!bench_wait(bench, ticket))
        fail_msg("after the trouble: %s", bench->failure);
}

static void read_in_trouble(struct bench *bench)
{
    struct store *store;
    struct control_row control;
    int result = store_open(&store, bench->path, bench->error, sizeof bench->error);
    if (result < 0)
        assert_met(bench->error);
    else if (store_control(store, &control) < 0)
        assert_met(store_problem(store));
    else
        result = 1;
    tally.reads += result < 1;
    store_close(&store);
}

static void live(struct bench *bench)
{
    open_in_trouble(bench);
    for (uint64_t ticket = 1; ticket <= STEPS; ticket++) {
        if (ticket == STEPS / 2 + 1) {
            store_writer_close(&bench->writer);
            open_in_trouble(bench);
        }
        step_in_trouble(bench, ticket);
        read_in_trouble(bench);
    }
    store_writer_close(&bench->writer);
}

static void remove_store(struct bench *bench)
{
    static const char *const endings[] = {"", "-wal", "-shm", "-journal"};
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        char path[128];
        snprintf(path, sizeof path, "%s%s", bench->path, endings[i]);
        unlink(path);
    }
    bench->durable = 0;
}

static uint32_t first; /* differs, so that no two stories take the same of the k */

/* One life for each k, until there is no k-th call. */
static void every_call(struct bench *bench, enum calls_kind kind, enum calls_fate fate, int error, bool lasts)
{
    tally = (struct tally){0};
    snprintf(calls->folder, sizeof calls->folder, "%s/", bench->folder);
    calls->skips_sync = true;
    uint32_t stride = kind == CALLS_WRITE && !getenv("HOMEOSTAT_EVERY_CALL") ? (SANITIZED ? 43 : 11) : 1;
    for (uint32_t k = 1 + first++ % stride;; k += stride) {
        calls->kinds = 1u << kind;
        calls_begin(calls, fate, error, lasts, k);
        live(bench);
        bool met = atomic_load(&calls->met) > 0;
        calls->kinds = 0;
        assert_int_equal(whole_steps(bench), STEPS);
        assert_whole(bench);
        remove_store(bench);
        if (!met)
            break;
        tally.lives++;
    }
    print_message("# %s, %s%s: %u lives; failed: %u starts, %u commits, %u readers\n", calls_kind_name(kind),
                  fate == CALLS_SHORT ? "short" : strerror(error), lasts ? ", until mended" : "", tally.lives,
                  tally.starts, tally.commits, tally.reads);
}

/* --- stories -------------------------------------------------------------------------------------------- */

static void an_open_without_a_descriptor_costs_a_start_at_most(void **state)
{
    every_call(*state, CALLS_OPEN, CALLS_FAIL, EMFILE, false);
    assert_true(tally.lives > 10);
    every_call(*state, CALLS_OPEN, CALLS_FAIL, EMFILE, true);
    assert_true(tally.starts > 2 && tally.reads > 1);
}

static void a_write_that_stops_short_is_gone_on_with(void **state)
{
    every_call(*state, CALLS_WRITE, CALLS_SHORT, 0, false);
    assert_true(tally.lives > 4);
    assert_int_equal(tally.starts + tally.commits + tally.reads, 0);
    every_call(*state, CALLS_WRITE, CALLS_SHORT, 0, true); /* and all after it stop short, too */
    assert_int_equal(tally.starts + tally.commits + tally.reads, 0);
}

static void a_disk_that_fills_up_within_a_write_is_reported(void **state)
{
    every_call(*state, CALLS_WRITE, CALLS_SHORT, ENOSPC, true);
    assert_true(tally.starts > 0 && tally.commits > 0);
}

static void a_full_disk_at_any_write_is_reported(void **state)
{
    every_call(*state, CALLS_WRITE, CALLS_FAIL, ENOSPC, false);
    every_call(*state, CALLS_WRITE, CALLS_FAIL, ENOSPC, true);
    assert_true(tally.starts > 0 && tally.commits > 0);
}

static void a_failing_disk_at_any_write_is_reported(void **state)
{
    every_call(*state, CALLS_WRITE, CALLS_FAIL, EIO, false);
    every_call(*state, CALLS_WRITE, CALLS_FAIL, EIO, true);
    assert_true(tally.starts > 0 && tally.commits > 0);
}

static void a_name_that_cannot_be_removed_is_reported(void **state)
{
    every_call(*state, CALLS_NAME, CALLS_FAIL, EIO, true);
    assert_true(tally.lives > 0);
}

/* What a child was told is durable, where its parent can see it after its death. */
static _Atomic uint64_t *told;

static void note_told(void *context, uint64_t ticket, const char *error)
{
    if (!error)
        atomic_store(told, ticket);
    note_durable(context, ticket, error);
}

/* The process ends at a failed fsync, or does not start; it never goes on. */
static _Noreturn void live_until_fsync(struct bench *bench, uint32_t k)
{
    signal(SIGABRT, SIG_DFL); /* cmocka's would go on with the next story */
    setrlimit(RLIMIT_CORE, &(struct rlimit){0});
    (void)!freopen("/dev/null", "w", stderr);
    calls->kinds = 1u << CALLS_SYNC;
    calls_begin(calls, CALLS_FAIL, EIO, false, k);
    if (store_writer_open(&bench->writer, bench->path, note_told, bench, bench->error, 1024) != 0)
        _exit(1);
    for (uint64_t ticket = 1; ticket <= STEPS; ticket++) {
        put_step(bench->writer, ticket);
        if (!bench_wait(bench, ticket))
            _exit(2);
    }
    store_writer_close(&bench->writer);
    _exit(atomic_load(&calls->met) > 0 ? 3 : 0);
}

static void nobody_goes_on_after_a_failed_fsync(void **state)
{
    struct bench *bench = *state;
    unsigned refused = 0, ended = 0;
    told = mmap(NULL, sizeof *told, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(told, MAP_FAILED);
    snprintf(calls->folder, sizeof calls->folder, "%s/", bench->folder);
    for (uint32_t k = 1;; k++) {
        int status;
        atomic_store(told, 0);
        pid_t child = fork();
        if (child == 0)
            live_until_fsync(bench, k);
        assert_int_equal(waitpid(child, &status, 0), child);
        bench_open(bench);
        assert_in_range(whole_steps(bench), *told, STEPS);
        store_writer_close(&bench->writer);
        assert_whole(bench);
        remove_store(bench);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
            break;
        bool aborted = WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
        if (!aborted && !(WIFEXITED(status) && WEXITSTATUS(status) == 1))
            fail_msg("fsync %u: went on, status %d", k, status);
        refused += !aborted;
        ended += aborted;
    }
    print_message("# fsync: %u ended, %u did not start\n", ended, refused);
    assert_true(ended >= STEPS && refused > 0);
    munmap(told, sizeof *told);
}

static int tear_down(void **state)
{
    calls->kinds = calls->skips_sync = 0;
    return bench_tear_down(state);
}

#define STORY_IN_TROUBLE(story) cmocka_unit_test_setup_teardown(story, bench_set_up, tear_down)

int main(void)
{
    const struct CMUnitTest stories[] = {
        STORY_IN_TROUBLE(an_open_without_a_descriptor_costs_a_start_at_most),
        STORY_IN_TROUBLE(a_write_that_stops_short_is_gone_on_with),
        STORY_IN_TROUBLE(a_disk_that_fills_up_within_a_write_is_reported),
        STORY_IN_TROUBLE(a_full_disk_at_any_write_is_reported),
        STORY_IN_TROUBLE(a_failing_disk_at_any_write_is_reported),
        STORY_IN_TROUBLE(a_name_that_cannot_be_removed_is_reported),
        STORY_IN_TROUBLE(nobody_goes_on_after_a_failed_fsync),
    };
    return cmocka_run_group_tests_name("store_calls", stories, NULL, NULL);
}
