/* Stories about the spool by itself: what it keeps, what it finds again after a kill, and what it says about
 * what it lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "spool_world.h"

#include "agent/receipts.h"
#include "agent/segment.h"
#include "base/clock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* Takes all that is pending, as a control plane would that stores at once; returns how many came in order,
 * without a repetition and without holes other than those told of by `gap`. */
static size_t drain(struct spool *spool, uint64_t boot, const struct gap *gap)
{
    struct spool_batch batch;
    size_t count = 0;
    uint64_t last = 0;
    int error;
    while ((error = spool_batch(spool, UINT64_MAX, BATCH_REPORTS_MAX, 200 * 1024, false, &batch)) == 0) {
        assert_int_equal(batch.boot, boot);
        for (size_t i = 0; i < batch.count; i++) {
            const struct agent_report *report = &batch.reports[i].report;
            struct agent_report same = spool_report(boot, report->sequence);
            uint64_t follows = last + 1;
            if (gap && follows >= gap->from && follows <= gap->to)
                follows = gap->to + 1;
            assert_int_equal(report->sequence, follows);
            assert_memory_equal(&report->samples, &same.samples, sizeof same.samples);
            assert_in_range(batch.reports[i].age_ns, 0, 60 * SECOND);
            last = report->sequence;
        }
        spool_accept(spool, boot, batch.reports[0].report.sequence, last);
        spool_stored(spool, boot, batch.reports[0].report.sequence, last);
        count += batch.count;
        spool_batch_free(&batch);
    }
    assert_int_equal(error, -ENOENT);
    return count;
}

static size_t look_into(const char *folder, const char *tail, size_t *bytes, char path[512])
{
    size_t count = 0;
    DIR *directory = opendir(folder);
    *bytes = 0;
    for (const struct dirent *entry; directory && (entry = readdir(directory));) {
        size_t length = strlen(entry->d_name);
        if (length < strlen(tail) || strcmp(entry->d_name + length - strlen(tail), tail) != 0)
            continue;
        char one[512];
        struct stat status;
        snprintf(one, sizeof one, "%s/%s", folder, entry->d_name);
        assert_int_equal(stat(one, &status), 0);
        *bytes += (size_t)status.st_size;
        if (count++ == 0 || strcmp(one, path) < 0)
            snprintf(path, 512, "%s", one);
    }
    if (directory)
        closedir(directory);
    return count;
}

static void what_is_kept_comes_back_bit_for_bit(void **state)
{
    struct world *world = *state;
    struct spool *spool = spool_of(world, FIRST_BOOT, SPOOL_BYTES_DEFAULT);
    char path[512];
    size_t bytes;
    spool_fill(spool, FIRST_BOOT, 1, 5000);
    assert_int_equal(spool_pending(spool, UINT64_MAX), 5000);
    assert_int_equal(spool_pending(spool, 5000), 4999); /* the newest goes another way */
    assert_int_equal(drain(spool, FIRST_BOOT, NULL), 5000);
    assert_int_equal(look_into(spool_folder(world), ".reports", &bytes, path),
                     1); /* the others are done with */
    spool_close(&spool);
    assert_int_equal(look_into(spool_folder(world), ".reports", &bytes, path), 0);
}

static void a_killed_one_has_an_heir(void **state)
{
    struct world *world = *state;
    spool_leave_behind(world, FIRST_BOOT, SPOOL_BYTES_DEFAULT, 3000, 0);
    struct spool *spool = spool_of(world, SECOND_BOOT, SPOOL_BYTES_DEFAULT);
    assert_int_equal(drain(spool, FIRST_BOOT, NULL), 3000);
    spool_fill(spool, SECOND_BOOT, 1, 10);
    assert_int_equal(drain(spool, SECOND_BOOT, NULL), 10);
    spool_close(&spool);
}

static void an_heir_does_not_tell_it_all_again(void **state)
{
    struct world *world = *state;
    spool_leave_behind(world, FIRST_BOOT, SPOOL_BYTES_DEFAULT, 3000, 2900);
    struct spool *spool = spool_of(world, SECOND_BOOT, SPOOL_BYTES_DEFAULT);
    assert_in_range(spool_pending(spool, UINT64_MAX), 100, 104);
    spool_close(&spool);
}

static void a_full_spool_says_what_it_dropped(void **state)
{
    struct world *world = *state;
    char path[512];
    size_t bytes;
    struct spool *spool = spool_of(world, FIRST_BOOT, SPOOL_BYTES_MIN);
    for (uint64_t sequence = 1; sequence <= 5000; sequence += 50) {
        spool_fill(spool, FIRST_BOOT, sequence, sequence + 49);
        look_into(spool_folder(world), ".reports", &bytes, path);
        assert_in_range(bytes, 1, SPOOL_BYTES_MIN);
    }
    assert_int_equal(spool_gaps(spool)->count, 1);
    struct gap gap = spool_gaps(spool)->list[0];
    assert_int_equal(gap.boot, FIRST_BOOT);
    assert_int_equal(gap.from, 1);
    assert_int_equal(gap.reason, GAP_SPOOL_FULL);
    assert_int_equal(spool_counts(spool)->lost, gap.to);
    assert_int_equal(spool_pending(spool, UINT64_MAX), 5000 - gap.to);
    assert_true(5000 - gap.to > 300); /* most of the room holds reports */
    spool_close(&spool);

    spool = spool_of(world, SECOND_BOOT, SPOOL_BYTES_MIN); /* it is known after a restart, too */
    assert_int_equal(spool_gaps(spool)->count, 1);
    assert_int_equal(spool_gaps(spool)->list[0].to, gap.to);
    spool_fill(spool, SECOND_BOOT, 1, 1); /* the new segment needs room, too */
    gap = spool_gaps(spool)->list[0];
    assert_int_equal(spool_pending(spool, UINT64_MAX), 5000 - gap.to + 1);
    spool_gaps(spool)->list[0].state = GAP_ACCEPTED;
    spool_gap_stored(spool, FIRST_BOOT, gap.to);
    assert_int_equal(spool_gaps(spool)->count, 0);
    spool_close(&spool);

    spool = spool_of(world, SECOND_BOOT + 1, SPOOL_BYTES_MIN); /* and so is that it was told */
    assert_int_equal(spool_gaps(spool)->count, 0);
    assert_int_equal(spool_pending(spool, UINT64_MAX), 5000 - gap.to + 1);
    spool_close(&spool);
}

static size_t slurp(const char *path, uint8_t *bytes, size_t room)
{
    int fd = open(path, O_RDONLY);
    ssize_t got = read(fd, bytes, room);
    close(fd);
    assert_true(got > 0);
    return (size_t)got;
}

static void a_torn_tail_is_cut_off(void **state)
{
    struct world *world = *state;
    enum { REPORTS = 5 };
    uint8_t bytes[4096], scratch[RECORD_BYTES_MAX];
    char path[512];
    size_t size;
    spool_leave_behind(world, FIRST_BOOT, SPOOL_BYTES_DEFAULT, REPORTS, 0);
    assert_int_equal(look_into(spool_folder(world), ".reports", &size, path), 1);
    size_t length = slurp(path, bytes, sizeof bytes);
    struct agent_report report = spool_report(FIRST_BOOT, REPORTS);
    size_t last = segment_put_report(scratch, &report);
    for (size_t cut = 1; cut < last; cut++) {
        file_write(path, bytes, length - cut);
        struct spool *spool = spool_of(world, SECOND_BOOT, SPOOL_BYTES_DEFAULT);
        assert_int_equal(spool_pending(spool, UINT64_MAX), REPORTS - 1);
        assert_int_equal(spool_gaps(spool)->count, 0);
        spool_close(&spool);
    }
    uint8_t nought[2048] = {0}; /* as a power cut may leave it */
    memcpy(nought, bytes, length - last);
    file_write(path, nought, sizeof nought);
    struct spool *spool = spool_of(world, SECOND_BOOT, SPOOL_BYTES_DEFAULT);
    assert_int_equal(drain(spool, FIRST_BOOT, NULL), REPORTS - 1);
    spool_close(&spool);
}

static void a_flipped_bit_costs_one_report_and_is_told(void **state)
{
    struct world *world = *state;
    enum { REPORTS = 3 };
    uint8_t bytes[4096];
    char path[512], aside[512];
    size_t size, told = 0, asides = 0;
    spool_leave_behind(world, FIRST_BOOT, SPOOL_BYTES_DEFAULT, REPORTS, 0);
    assert_int_equal(look_into(spool_folder(world), ".reports", &size, path), 1);
    size_t length = slurp(path, bytes, sizeof bytes);
    int talk = dup(2), silence = open("/dev/null", O_WRONLY); /* each damaged head would have its line */
    dup2(silence, 2);
    for (size_t at = 0; at < length; at++) {
        bytes[at] ^= 0x10;
        file_write(path, bytes, length);
        bytes[at] ^= 0x10;
        struct spool *spool = spool_of(world, SECOND_BOOT, SPOOL_BYTES_DEFAULT);
        size_t left = spool_pending(spool, UINT64_MAX);
        const struct gaps *gaps = spool_gaps(spool);
        if (at < SEGMENT_HEAD_BYTES) {
            assert_int_equal(left, 0);
            asides += look_into(spool_folder(world), at < 12 ? ".foreign" : ".damaged", &size, aside);
            unlink(aside);
        } else {
            assert_int_equal(left, REPORTS - 1);
            told += gaps->count;
            if (gaps->count > 0) {
                struct gap gap = gaps->list[0];
                assert_int_equal(gap.from, gap.to);
                assert_int_equal(drain(spool, FIRST_BOOT, &gap), REPORTS - 1);
            }
        }
        spool_close(&spool);
    }
    dup2(talk, 2);
    close(talk);
    close(silence);
    print_message("[          ] %zu bytes flipped: %zu files set aside, %zu gaps\n", length, asides, told);
    assert_int_equal(asides, SEGMENT_HEAD_BYTES);
    /* All but where the length of the very last record looks as if more was to come. */
    assert_in_range(told, length - SEGMENT_HEAD_BYTES - 4, length - SEGMENT_HEAD_BYTES);
}

static void another_versions_file_is_set_aside(void **state)
{
    struct world *world = *state;
    uint8_t bytes[4096], after[4096];
    char path[512], aside[512];
    size_t size;
    spool_leave_behind(world, FIRST_BOOT, SPOOL_BYTES_DEFAULT, 5, 0);
    look_into(spool_folder(world), ".reports", &size, path);
    size_t length = slurp(path, bytes, sizeof bytes);
    bytes[8] = 2; /* the version */
    file_write(path, bytes, length);
    struct spool *spool = spool_of(world, SECOND_BOOT, SPOOL_BYTES_DEFAULT);
    assert_int_equal(spool_pending(spool, UINT64_MAX), 0);
    assert_int_equal(look_into(spool_folder(world), ".foreign", &size, aside), 1);
    assert_int_equal(slurp(aside, after, sizeof after), length);
    assert_memory_equal(bytes, after, length);
    spool_fill(spool, SECOND_BOOT, 1, 5);
    assert_int_equal(drain(spool, SECOND_BOOT, NULL), 5);
    spool_close(&spool);
}

/* In whose folder somebody else has put things. */
static void what_is_no_file_of_ours_does_not_hold_it_up(void **state)
{
    struct world *world = *state;
    static const char *const names[] = {"999999999999.reports",   "-00000000001.reports",
                                        "+00000000009.reports",   "7.reports",
                                        "00000000000007.reports", "000000000007.report"};
    char path[512], aside[512];
    size_t bytes;
    spool_leave_behind(world, FIRST_BOOT, SPOOL_BYTES_DEFAULT, 5, 0);
    snprintf(path, sizeof path, "%s/000000000003.reports", spool_folder(world));
    assert_int_equal(mkfifo(path, 0600), 0);
    snprintf(path, sizeof path, "%s/000000000004.reports", spool_folder(world));
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof path, "%s/000000000005.reports", spool_folder(world));
    assert_int_equal(symlink("/dev/zero", path), 0);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", spool_folder(world), names[i]);
        file_write(path, (const uint8_t *)"strange", 7);
    }
    alarm(10); /* nobody writes into the FIFO */
    struct spool *spool = spool_of(world, SECOND_BOOT, SPOOL_BYTES_DEFAULT);
    alarm(0);
    assert_int_equal(drain(spool, FIRST_BOOT, NULL), 5);
    assert_int_equal(look_into(spool_folder(world), ".foreign", &bytes, aside), 3);
    spool_fill(spool, SECOND_BOOT, 1, 3);
    snprintf(path, sizeof path, "%s/000000000006.reports", spool_folder(world));
    assert_int_equal(access(path, F_OK), 0); /* in its row, and not behind the highest there is */
    assert_int_equal(drain(spool, SECOND_BOOT, NULL), 3);
    spool_close(&spool);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", spool_folder(world), names[i]);
        assert_int_equal(access(path, F_OK), 0);
    }
}

static void without_a_disk_the_newest_are_kept_in_memory(void **state)
{
    struct world *world = *state;
    const char *folder = spool_folder(world);
    file_write(folder, (const uint8_t *)"!", 1); /* where the folder should be */
    struct spool *spool = spool_of(world, FIRST_BOOT, SPOOL_BYTES_DEFAULT);
    spool_fill(spool, FIRST_BOOT, 1, 100);
    assert_int_equal(spool_pending(spool, UINT64_MAX), SPOOL_MEMORY);
    assert_int_equal(spool_counts(spool)->lost, 100 - SPOOL_MEMORY);
    assert_int_equal(spool_counts(spool)->troubles, 100);
    assert_int_equal(spool_gaps(spool)->count, 1);
    struct gap gap = spool_gaps(spool)->list[0];
    assert_int_equal(gap.from, 1);
    assert_int_equal(gap.to, 100 - SPOOL_MEMORY);
    unlink(folder); /* the disk is mended: all goes there, and the word of the gap too */
    spool_fill(spool, FIRST_BOOT, 101, 101);
    assert_int_equal(spool_counts(spool)->spooled, SPOOL_MEMORY + 1);
    spool_close(&spool);
    spool = spool_of(world, SECOND_BOOT, SPOOL_BYTES_DEFAULT);
    assert_int_equal(spool_gaps(spool)->count, 1);
    assert_int_equal(drain(spool, FIRST_BOOT, &gap), SPOOL_MEMORY + 1);
    spool_close(&spool);
}

static void a_disk_that_fills_up_tears_nothing(void **state)
{
    struct world *world = *state;
    char path[512];
    size_t bytes;
    struct rlimit before, limit;
    struct spool *spool = spool_of(world, FIRST_BOOT, SPOOL_BYTES_DEFAULT);
    spool_fill(spool, FIRST_BOOT, 1, 10);
    look_into(spool_folder(world), ".reports", &bytes, path);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = (struct rlimit){.rlim_cur = bytes + 50, .rlim_max = before.rlim_max}; /* within a record */
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    spool_fill(spool, FIRST_BOOT, 11, 15);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(spool_counts(spool)->troubles, 5);
    spool_fill(spool, FIRST_BOOT, 16, 16);
    assert_int_equal(spool_counts(spool)->spooled, 16);
    spool_close(&spool);
    spool = spool_of(world, SECOND_BOOT, SPOOL_BYTES_DEFAULT);
    assert_int_equal(spool_counts(spool)->damaged, 0);
    assert_int_equal(drain(spool, FIRST_BOOT, NULL), 16);
    spool_close(&spool);
}

/* A segment of the machine's boot before, begun `ago_ns` ago by the wall clock. */
static void leave_from_before_a_reboot(const struct world *world, duration ago_ns)
{
    char path[512];
    uint8_t bytes[RECORD_BYTES_MAX];
    struct agent_report report = spool_report(FIRST_BOOT, 1);
    struct segment_head head = {.boot = FIRST_BOOT, .first = 1, .machine = {1, 2, 3}};
    report.taken_ns = 5000 * HOUR; /* an uptime that this machine has not reached */
    head.wall_less_uptime_ns = clock_ns(CLOCK_REALTIME) - ago_ns - report.taken_ns;
    mkdir(spool_folder(world), 0755);
    snprintf(path, sizeof path, "%s/000000000001.reports", spool_folder(world));
    int fd = segment_create(path, &head);
    assert_true(fd >= 0);
    bool torn;
    assert_int_equal(segment_append(fd, SEGMENT_HEAD_BYTES, bytes, segment_put_report(bytes, &report), &torn),
                     0);
    close(fd);
}

static double age_after_reboot(const struct world *world, duration ago_ns)
{
    struct spool_batch batch;
    leave_from_before_a_reboot(world, ago_ns);
    struct spool *spool = spool_of(world, SECOND_BOOT, SPOOL_BYTES_DEFAULT);
    assert_int_equal(spool_batch(spool, UINT64_MAX, 10, 10000, true, &batch), 0);
    double age_s = batch.count > 0 ? duration_seconds(batch.reports[0].age_ns) : -1;
    if (batch.count == 0) {
        assert_int_equal(batch.gaps_count, 1);
        assert_int_equal(batch.gaps[0].to, 1);
    }
    spool_batch_free(&batch);
    spool_close(&spool);
    char path[512];
    snprintf(path, sizeof path, "%s/000000000001.reports", spool_folder(world));
    unlink(path);
    return age_s;
}

static void after_a_reboot_the_wall_clock_tells_the_age(void **state)
{
    struct world *world = *state;
    double uptime_s = duration_seconds(uptime_ns()), past_s = uptime_s + 7200;
    double age_s = age_after_reboot(world, duration_from_seconds(past_s));
    assert_true(age_s >= past_s && age_s < past_s + 60);
    age_s = age_after_reboot(world, -24 * HOUR); /* somebody set the clock back: no less than the uptime */
    assert_true(age_s >= uptime_s && age_s < uptime_s + 60);
    assert_true(age_after_reboot(world, 1001 * HOUR) == -1); /* nobody takes that: a gap */
}

static void a_full_spool_is_found_quickly(void **state)
{
    struct world *world = *state;
    char path[512];
    size_t bytes;
    struct spool *spool = spool_of(world, FIRST_BOOT, SPOOL_BYTES_DEFAULT);
    spool_fill(spool, FIRST_BOOT, 1, 150000);
    size_t pending = spool_pending(spool, UINT64_MAX);
    spool_close(&spool);
    look_into(spool_folder(world), ".reports", &bytes, path);
    assert_in_range(bytes, SPOOL_BYTES_DEFAULT - 2 * SEGMENT_BYTES_MAX, SPOOL_BYTES_DEFAULT);
    int64_t began_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    spool = spool_of(world, SECOND_BOOT, SPOOL_BYTES_DEFAULT);
    double took_s = duration_seconds(clock_ns(CLOCK_PROCESS_CPUTIME_ID) - began_ns);
    print_message("[          ] %zu reports in %zu bytes found in %.0f ms\n", pending, bytes, took_s * 1000);
    assert_int_equal(spool_pending(spool, UINT64_MAX), pending);
    assert_true(took_s < 0.2 * SLOWER);
    spool_close(&spool);
}

static void an_answer_that_was_overtaken_proves_nothing(void **state)
{
    struct world *world = *state;
    struct receipts *receipts = calloc(1, sizeof *receipts);
    receipts->spool = spool_of(world, FIRST_BOOT, SPOOL_BYTES_DEFAULT);
    spool_fill(receipts->spool, FIRST_BOOT, 1, 10);
    struct waybill backlog = {.departure = receipts_depart(receipts), .boot = FIRST_BOOT, .from = 1, .to = 9};
    backlog.count = 9;
    struct waybill live = {.departure = receipts_depart(receipts), .boot = FIRST_BOOT, .from = 10, .to = 10};
    live.count = 1;
    assert_true(receipts_accept(receipts, &backlog));
    receipts_stored(receipts, backlog.departure, FIRST_BOOT, 0);
    /* Written before the backlog was taken in: 10 is durable, and nothing is known of 1 to 9. */
    assert_true(receipts_accept(receipts, &live));
    receipts_stored(receipts, live.departure, FIRST_BOOT, 10);
    receipts_forget(receipts);
    assert_int_equal(spool_pending(receipts->spool, UINT64_MAX), 9);
    backlog.departure = receipts_depart(receipts);
    assert_true(receipts_accept(receipts, &backlog));
    receipts_stored(receipts, receipts_depart(receipts), FIRST_BOOT, 10); /* this one left afterwards */
    receipts_forget(receipts);
    assert_int_equal(spool_pending(receipts->spool, UINT64_MAX), 0);
    spool_close(&receipts->spool);
    free(receipts);
}

#define STORY(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(int argc, char **argv)
{
    int exit_code;
    if (world_role(argc, argv, &exit_code))
        return exit_code;
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest stories[] = {
        STORY(what_is_kept_comes_back_bit_for_bit),
        STORY(a_killed_one_has_an_heir),
        STORY(an_heir_does_not_tell_it_all_again),
        STORY(a_full_spool_says_what_it_dropped),
        STORY(a_torn_tail_is_cut_off),
        STORY(a_flipped_bit_costs_one_report_and_is_told),
        STORY(another_versions_file_is_set_aside),
        STORY(what_is_no_file_of_ours_does_not_hold_it_up),
        STORY(without_a_disk_the_newest_are_kept_in_memory),
        STORY(a_disk_that_fills_up_tears_nothing),
        STORY(after_a_reboot_the_wall_clock_tells_the_age),
        STORY(a_full_spool_is_found_quickly),
        STORY(an_answer_that_was_overtaken_proves_nothing),
    };
    return cmocka_run_group_tests_name("the spool", stories, NULL, NULL);
}
