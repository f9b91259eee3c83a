/* What a node agent keeps on its disk, beside an operating system that refuses, and killed at any call: its
 * spool of reports, and its journal of commands. Whatever fails or ends at the k-th call, for every k: no
 * report that it kept is lost, and no command that it began is forgotten, so that none is done twice.
 *
 * Of the writes every third; all with HOMEOSTAT_EVERY_CALL=1. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "calls.h"
#include "sanitized.h"

#include "agent/journal.h"
#include "agent/spool.h"
#include "base/clock.h"
#include "base/units.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BOOT = 0xa1, HEIR = 0xb2, HEIRS_HEIR = 0xc3, REPORTS = 70, LAST_IN_TROUBLE = 50, COMMANDS = 12 };

/* What a life has been told, where its parent can see it after its death. */
struct told {
    uint64_t put, epoch;
    bool began[COMMANDS + 1], ended[COMMANDS + 1];
};

static struct told *told;
static char folder[64], path[96];

struct trouble {
    enum calls_kind kind;
    enum calls_fate fate;
    int error;
    bool lasts;
};

static const struct trouble troubles[] = {
    {CALLS_OPEN, CALLS_FAIL, EMFILE, false},  {CALLS_OPEN, CALLS_FAIL, EMFILE, true},
    {CALLS_WRITE, CALLS_SHORT, 0, true},      {CALLS_WRITE, CALLS_SHORT, ENOSPC, true},
    {CALLS_WRITE, CALLS_FAIL, ENOSPC, false}, {CALLS_WRITE, CALLS_FAIL, ENOSPC, true},
    {CALLS_WRITE, CALLS_FAIL, EIO, false},    {CALLS_WRITE, CALLS_FAIL, EIO, true},
    {CALLS_SYNC, CALLS_FAIL, EIO, false},     {CALLS_SYNC, CALLS_FAIL, EIO, true},
    {CALLS_NAME, CALLS_FAIL, EIO, true},      {CALLS_OPEN, CALLS_KILL, 0, false},
    {CALLS_WRITE, CALLS_KILL, 0, false},      {CALLS_WRITE, CALLS_TEAR, 0, false},
    {CALLS_SYNC, CALLS_KILL, 0, false},       {CALLS_NAME, CALLS_KILL, 0, false},
    {CALLS_NAME, CALLS_TEAR, 0, false},
};

static int remove_one(const char *name, const struct stat *status, int what, struct FTW *where)
{
    (void)status, (void)what, (void)where;
    return remove(name);
}

/* A life in a process of its own; true if it met its trouble. */
static bool live(const struct trouble *trouble, uint32_t k, void (*life)(void))
{
    int status;
    bool kills = trouble->fate == CALLS_KILL || trouble->fate == CALLS_TEAR;
    memset(told, 0, sizeof *told);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
        dup2(null, 2); /* it complains, as it should */
        calls->kinds = 1u << trouble->kind;
        calls_begin(calls, trouble->fate, trouble->error, trouble->lasts, k);
        life();
        _exit(atomic_load(&calls->met) > 0 ? 1 : 0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    if (!killed && !(WIFEXITED(status) && WEXITSTATUS(status) <= 1))
        fail_msg("call %u of %s: status %d", k, calls_kind_name(trouble->kind), status);
    assert_true(!killed || kills);
    return killed || WEXITSTATUS(status) == 1;
}

static void every_call(void (*life)(void), void (*judge)(const struct trouble *trouble))
{
    snprintf(calls->folder, sizeof calls->folder, "%s", folder);
    for (size_t i = 0; i < sizeof troubles / sizeof troubles[0]; i++) {
        uint32_t lives = 0, stride = 1;
        if (troubles[i].kind == CALLS_WRITE && !getenv("HOMEOSTAT_EVERY_CALL"))
            stride = SANITIZED ? 7 : 3;
        for (uint32_t k = 1 + (uint32_t)i % stride; live(&troubles[i], k, life); k += stride) {
            lives++;
            judge(&troubles[i]);
            nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
            assert_int_equal(mkdir(folder, 0700), 0);
        }
        judge(&troubles[i]);
        nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
        assert_int_equal(mkdir(folder, 0700), 0);
        print_message("# %s %s%s: %u lives\n", calls_kind_name(troubles[i].kind),
                      troubles[i].fate == CALLS_KILL    ? "kills"
                      : troubles[i].fate == CALLS_TEAR  ? "is torn"
                      : troubles[i].fate == CALLS_SHORT ? "stops short"
                                                        : strerror(troubles[i].error),
                      troubles[i].lasts ? ", for a while" : "", lives);
    }
}

/* --- the spool ------------------------------------------------------------------------------------------ */

static struct spool *spool_as(uint64_t boot)
{
    struct spool_options options = {.folder = path, .name = "web-1", .boot = boot, .bytes = SPOOL_BYTES_MIN};
    struct spool *spool;
    if (spool_open(&spool, &options) != 0) /* only for want of memory, and perhaps in a life's own process */
        abort();
    return spool;
}

/* Forty reports through several segments; of every tenth it is told that all up to it are durable. It mends
 * by itself after the thirtieth. */
static void keep_reports(void)
{
    struct spool *spool = spool_as(BOOT);
    for (uint64_t sequence = 1; sequence <= REPORTS; sequence++) {
        struct agent_report report = {.boot = BOOT, .sequence = sequence, .taken_ns = uptime_ns()};
        for (int metric = 0; metric < METRIC_COUNT; metric++)
            samples_set(&report.samples, (enum metric)metric, (double)sequence);
        if (sequence == LAST_IN_TROUBLE)
            calls_heal(calls);
        spool_put(spool, &report);
        told->put = sequence;
        spool_tidy(spool);
        if (sequence % 10 == 0) {
            spool_accept(spool, BOOT, sequence - 9, sequence - 9);
            spool_stored(spool, BOOT, sequence - 9, sequence - 9);
        }
    }
    spool_close(&spool);
}

/* Marks what the spool has; each report is whole, and there once. */
static void collect(struct spool *spool, bool *there)
{
    struct spool_batch batch;
    while (spool_batch(spool, UINT64_MAX, BATCH_REPORTS_MAX, 200 * 1024, false, &batch) == 0) {
        uint64_t last = 0;
        for (size_t i = 0; i < batch.count; i++) {
            const struct agent_report *report = &batch.reports[i].report;
            last = report->sequence;
            assert_int_equal(batch.boot, BOOT);
            assert_in_range(last, 1, REPORTS);
            assert_false(there[last]);
            there[last] = true;
            for (int metric = 0; metric < METRIC_COUNT; metric++)
                assert_true(report->samples.value[metric] == (double)last);
        }
        spool_accept(spool, BOOT, batch.reports[0].report.sequence, last);
        spool_stored(spool, BOOT, batch.reports[0].report.sequence, last);
        spool_batch_free(&batch);
    }
}

/* Those in memory go with a process that is killed; nothing else does. */
static void judge_reports(const struct trouble *trouble)
{
    bool there[REPORTS + 1] = {false};
    (void)trouble;
    struct spool *spool = spool_as(HEIR);
    assert_int_equal(spool_counts(spool)->damaged, 0);
    /* A torn end may be told as a gap when the one behind it was durable before it reached the disk. */
    for (size_t i = 0; i < spool_gaps(spool)->count; i++) {
        assert_int_equal(spool_gaps(spool)->list[i].from % 10, 1);
        assert_int_equal(spool_gaps(spool)->list[i].to, spool_gaps(spool)->list[i].from);
    }
    collect(spool, there);
    for (uint64_t sequence = 1; sequence <= told->put; sequence++)
        if (!there[sequence] && sequence % 10 != 1) /* those were durable */
            fail_msg("report %d of %d is lost", (int)sequence, (int)told->put);
    spool_close(&spool);
}

static void no_report_is_lost_at_any_call(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "%s/spool", folder);
    every_call(keep_reports, judge_reports);
}

/* What its predecessor left is read while the trouble is on. */
static void inherit(void)
{
    struct spool *spool = spool_as(HEIR);
    spool_close(&spool);
}

static void judge_inheritance(const struct trouble *trouble)
{
    bool there[REPORTS + 1] = {false};
    (void)trouble;
    struct spool *spool = spool_as(HEIRS_HEIR);
    collect(spool, there);
    for (uint64_t sequence = 1; sequence <= REPORTS; sequence++)
        if (!there[sequence] && sequence % 10 != 1)
            fail_msg("report %d is lost", (int)sequence);
    spool_close(&spool);
}

static void keep_then_inherit(void)
{
    uint32_t kinds = calls->kinds, at = atomic_load(&calls->at);
    calls->kinds = 0;
    keep_reports();
    calls->kinds = kinds;
    atomic_store(&calls->at, at);
    inherit();
}

static void an_heir_in_trouble_loses_nothing_either(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "%s/spool", folder);
    every_call(keep_then_inherit, judge_inheritance);
}

/* --- the journal of commands ---------------------------------------------------------------------------- */

/* Obeys twelve commands, each if its beginning is on the disk. */
static void obey(void)
{
    struct journal *journal;
    if (journal_open(&journal, path) < 0)
        return;
    told->epoch = journal_meet_epoch(journal, 1) == 0;
    for (uint64_t id = 1; id <= COMMANDS; id++) {
        struct journal_entry entry = {.id = id, .outcome = OUTCOME_DONE, .began = true, .took_s = 0.5};
        if (id == COMMANDS - 2)
            calls_heal(calls);
        if (journal_begin(journal, id) < 0)
            continue;
        told->began[id] = true;
        told->ended[id] = journal_end(journal, &entry) == 0;
        journal_acknowledge(journal, id);
    }
    journal_close(&journal);
}

static void judge_commands(const struct trouble *trouble)
{
    struct journal *journal;
    assert_int_equal(journal_open(&journal, path), 0);
    assert_true(journal_epoch_floor(journal) >= told->epoch);
    for (uint64_t id = 1; id <= COMMANDS; id++) {
        const struct journal_entry *entry = journal_find(journal, id);
        if (told->began[id] && !entry)
            fail_msg("command %d was begun and is forgotten", (int)id);
        if (told->ended[id] && entry->outcome != OUTCOME_DONE)
            fail_msg("command %d was done and is %s", (int)id, outcome_name(entry->outcome));
        assert_true(!entry || entry->outcome == OUTCOME_DONE || entry->outcome == OUTCOME_CUT);
    }
    bool kills = trouble->fate == CALLS_KILL || trouble->fate == CALLS_TEAR;
    assert_true(kills || told->began[COMMANDS] || !told->epoch); /* it mends by itself */
    journal_close(&journal);
}

static void no_command_is_forgotten_at_any_call(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "%s/journal", folder);
    every_call(obey, judge_commands);
}

static int set_up(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/homeostat-agent-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    return nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

#define STORY(story) cmocka_unit_test_setup_teardown(story, set_up, tear_down)

int main(void)
{
    told = mmap(NULL, sizeof *told, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    const struct CMUnitTest stories[] = {
        STORY(no_report_is_lost_at_any_call),
        STORY(an_heir_in_trouble_loses_nothing_either),
        STORY(no_command_is_forgotten_at_any_call),
    };
    return told == MAP_FAILED ? 1 : cmocka_run_group_tests_name("agent_calls", stories, NULL, NULL);
}
