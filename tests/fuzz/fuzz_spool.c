/* The node agent's spool after any damage: whatever lies in its folder, it opens, hands out what it can in
 * order and within its bounds, and comes to an end when everything it handed out has been stored.
 *
 * Behind '+' an input is a list of records, each of which gets its checksum; else it is the bytes of a file.
 */
#include "target.h"

#include "agent/segment.h"
#include "agent/spool.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OUR_BOOT = 7, MOST = 20, BYTES_MOST = 8192, ROUNDS_MAX = 20000, FILES_MAX = 6 };

static char folder[64];

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    make_scratch_folder(folder);
    return 0;
}

/* --- writing files -------------------------------------------------------------------------------------- */

struct source {
    const uint8_t *at, *end;
};

static uint8_t byte_of(struct source *source)
{
    return source->at < source->end ? *source->at++ : 0;
}

/* Mostly small, so that numbers meet; sometimes any. */
static uint64_t number_of(struct source *source)
{
    uint64_t number = byte_of(source);
    if (number < 0xf0)
        return number;
    for (int i = 0; i < 8; i++)
        number = number << 8 | byte_of(source);
    return number;
}

static size_t make_report(struct source *source, uint64_t boot, uint8_t out[RECORD_BYTES_MAX])
{
    struct agent_report report = {.boot = boot, .sequence = number_of(source)};
    report.taken_ns = (int64_t)number_of(source);
    report.samples.present = (uint32_t)number_of(source) & ((1u << METRIC_COUNT) - 1);
    for (int metric = 0; metric < METRIC_COUNT; metric++) {
        uint64_t bits = report.samples.present & 1u << metric ? number_of(source) << 48 : 0;
        memcpy(&report.samples.value[metric], &bits, sizeof bits);
    }
    return segment_put_report(out, &report);
}

static void write_record(struct source *source, int fd, uint64_t boot)
{
    uint8_t out[RECORD_BYTES_MAX];
    size_t length = 0;
    switch (byte_of(source) % 4) {
    case 0:
        length = make_report(source, boot, out);
        break;
    case 1: {
        struct gap gap = {.boot = number_of(source), .from = number_of(source), .to = number_of(source)};
        gap.reason = (enum gap_reason)(byte_of(source) % 3); /* one more than there are */
        length = segment_put_gap(out, &gap);
        break;
    }
    case 2: {
        uint64_t of = number_of(source), below = number_of(source);
        length = segment_put_floor(out, of, below);
        break;
    }
    default: /* damage, or a torn tail */
        length = byte_of(source) % 40;
        length = length < (size_t)(source->end - source->at) ? length : (size_t)(source->end - source->at);
        memcpy(out, source->at, length);
        source->at += length;
    }
    PROMISE(write(fd, out, length) == (ssize_t)length);
}

static void write_segments(struct source *source)
{
    char path[128];
    for (uint64_t number = 1; number <= FILES_MAX && source->at < source->end; number++) {
        struct segment_head head = {.boot = number_of(source), .first = number_of(source)};
        head.wall_less_uptime_ns = (int64_t)number_of(source);
        snprintf(path, sizeof path, "%s/%012llu.reports", folder, (unsigned long long)number);
        int fd = segment_create(path, &head);
        PROMISE(fd >= 0);
        for (int records = byte_of(source); records > 0 && source->at < source->end; records--)
            write_record(source, fd, head.boot);
        close(fd);
    }
}

static void write_bytes(const uint8_t *bytes, size_t length)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%012d.reports", folder, 1);
    FILE *file = fopen(path, "we");
    PROMISE(file && fwrite(bytes, 1, length, file) == length && fclose(file) == 0);
}

static void empty_folder(void)
{
    char path[384];
    DIR *dir = opendir(folder);
    for (struct dirent *entry = dir ? readdir(dir) : NULL; entry; entry = readdir(dir)) {
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (entry->d_name[0] != '.')
            PROMISE(unlink(path) == 0);
    }
    if (dir)
        closedir(dir);
}

/* --- reading -------------------------------------------------------------------------------------------- */

static void batch_is_sound(const struct spool_batch *batch)
{
    PROMISE(batch->count <= MOST && batch->gaps_count <= BATCH_GAPS_MAX);
    PROMISE(batch->count + batch->gaps_count > 0);
    for (size_t i = 0; i < batch->count; i++) {
        const struct agent_report *report = &batch->reports[i].report;
        PROMISE(report->boot == batch->boot && batch->reports[i].age_ns >= 0);
        PROMISE(i == 0 || report->sequence > batch->reports[i - 1].report.sequence);
        json_t *json = agent_report_json(report, batch->reports[i].age_ns);
        PROMISE(json);
        json_decref(json);
    }
    for (size_t i = 0; i < batch->gaps_count; i++) {
        const struct gap *gap = &batch->gaps[i];
        PROMISE(gap->boot == batch->boot && gap->from <= gap->to && gap->reason < GAP_REASON_COUNT);
    }
}

/* Until nothing is left; each round settles at least one report or gap. */
static void drain(struct spool *spool)
{
    struct spool_batch batch;
    unsigned rounds = 0;
    while (spool_batch(spool, UINT64_MAX, MOST, BYTES_MOST, true, &batch) == 0) {
        size_t before = spool_pending(spool, UINT64_MAX);
        PROMISE(rounds++ < ROUNDS_MAX);
        batch_is_sound(&batch);
        if (batch.count > 0) {
            uint64_t from = batch.reports[0].report.sequence,
                     to = batch.reports[batch.count - 1].report.sequence;
            spool_accept(spool, batch.boot, from, to);
            PROMISE(spool_pending(spool, UINT64_MAX) < before);
            spool_stored(spool, batch.boot, from, to);
        }
        for (size_t i = 0; i < batch.gaps_count; i++) {
            gaps_move(spool_gaps(spool), GAP_WAITING, GAP_ACCEPTED);
            spool_gap_stored(spool, batch.boot, batch.gaps[i].to);
        }
        spool_batch_free(&batch);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    const struct spool_options options = {
        .folder = folder, .name = "fuzz", .boot = OUR_BOOT, .bytes = SPOOL_BYTES_MIN};
    empty_folder();
    if (length > 0 && bytes[0] == '+')
        write_segments(&(struct source){bytes + 1, bytes + length});
    else
        write_bytes(bytes, length);

    struct spool *spool;
    PROMISE(spool_open(&spool, &options) == 0);
    size_t found = spool_pending(spool, UINT64_MAX);
    spool_close(&spool);
    PROMISE(spool_open(&spool, &options) == 0);
    /* More may be pending than before, if a floor stood in a segment that is gone: sent twice, but not lost.
     */
    PROMISE(spool_pending(spool, UINT64_MAX) >= found);
    drain(spool);
    PROMISE(spool_pending(spool, UINT64_MAX) == 0);
    spool_close(&spool);
    return 0;
}
