#include "agent/spool_state.h"

#include "base/clock.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* No node agent comes that far, and twelve digits are enough for all that follow. */
#define NUMBERS_END UINT64_C(500000000000)

static const duration age_limit_ns = 1000 * HOUR; /* the control plane refuses what is older */

/* --- finding what was left ------------------------------------------------------------------------------ */

struct numbers { /* of the segments in the folder */
    uint64_t *list;
    size_t count, room;
    uint64_t highest; /* of those set aside, too */
};

struct floors { /* the highest of each boot */
    struct {
        uint64_t boot, sequence;
    } list[SPOOL_PIECES_MAX];
    size_t count;
};

/* How far the finding has come. */
struct finding {
    struct spool *spool;
    struct floors floors;
    uint64_t boot, next; /* of the segment before: the sequence that should follow */
    bool damaged;        /* something between there and the next report could not be read */
    bool hole;           /* ... or is missing, which tells only if more of that boot follows */
};

/* What stands behind the number and ".reports" of a segment's name, "" if nothing does; NULL for a name that
 * is not one of ours. */
static const char *name_tail(const char *name, uint64_t *number)
{
    enum { DIGITS = 12 };
    char ours[DIGITS + sizeof ".reports"];
    if (strspn(name, "0123456789") != DIGITS)
        return NULL;
    *number = strtoull(name, NULL, 10);
    snprintf(ours, sizeof ours, "%.12s.reports", name);
    bool is_ours = strncmp(name, ours, sizeof ours - 1) == 0 && *number < NUMBERS_END;
    return is_ours ? name + sizeof ours - 1 : NULL;
}

static int collect(const char *folder, struct numbers *numbers)
{
    DIR *directory = opendir(folder);
    if (!directory)
        return -errno;
    for (const struct dirent *entry; (entry = readdir(directory));) {
        uint64_t number;
        const char *tail = name_tail(entry->d_name, &number);
        if (!tail)
            continue;
        if (number > numbers->highest)
            numbers->highest = number;
        if (*tail != '\0')
            continue;
        if (numbers->count == numbers->room) {
            numbers->room = numbers->room ? 2 * numbers->room : 64;
            uint64_t *more = realloc(numbers->list, numbers->room * sizeof *more);
            if (!more) {
                closedir(directory);
                return -ENOMEM;
            }
            numbers->list = more;
        }
        numbers->list[numbers->count++] = number;
    }
    closedir(directory);
    return 0;
}

static int compare(const void *one, const void *other)
{
    uint64_t a = *(const uint64_t *)one, b = *(const uint64_t *)other;
    return a < b ? -1 : a > b;
}

static void note_floor(struct floors *floors, uint64_t boot, uint64_t sequence)
{
    size_t i = 0;
    while (i < floors->count && floors->list[i].boot != boot)
        i++;
    if (i == SPOOL_PIECES_MAX)
        return; /* its reports are forwarded again */
    if (i == floors->count)
        floors->list[floors->count++].sequence = 0;
    floors->list[i].boot = boot;
    if (sequence > floors->list[i].sequence)
        floors->list[i].sequence = sequence;
}

/* What could not be read ends before `next`, the next sequence that can be; 0: there is none of that boot. */
static void end_damage(struct finding *finding, uint64_t next)
{
    if (finding->damaged && next == 0)
        next = finding->next + 1; /* nobody knows how many; one at least */
    if ((finding->damaged || finding->hole) && finding->boot != 0 && next > finding->next)
        gaps_add(&finding->spool->gaps, finding->boot, finding->next, next - 1, GAP_DAMAGED);
    finding->damaged = finding->hole = false;
}

static void find_record(struct finding *finding, struct piece *piece, const struct record *record)
{
    uint64_t sequence = record->report.sequence;
    switch (record->kind) {
    case RECORD_DAMAGE:
        finding->damaged = true;
        finding->spool->counts.damaged++;
        break;
    case RECORD_REPORT:
        if (!piece_takes(piece, sequence)) {
            finding->damaged = true;
            finding->spool->counts.damaged++;
            break;
        }
        end_damage(finding, sequence);
        piece_add(piece, sequence);
        finding->next = sequence + 1;
        break;
    case RECORD_GAP:
        gaps_add(&finding->spool->gaps, record->gap.boot, record->gap.from, record->gap.to,
                 record->gap.reason);
        break;
    case RECORD_FLOOR:
        note_floor(&finding->floors, record->gap.boot, record->gap.to);
        break;
    }
}

static void find_segment(struct finding *finding, struct segment *segment, uint64_t number)
{
    struct spool *spool = finding->spool;
    const struct segment_head *head = &segment->head;
    struct piece *piece = calloc(1, sizeof *piece);
    if (!piece)
        return; /* it waits for the next start */
    static const uint8_t unknown[MACHINE_BYTES];
    *piece = (struct piece){.number = number,
                            .boot = head->boot,
                            .first = head->first,
                            .next = head->first,
                            .bytes = segment->length,
                            .same_machine = memcmp(head->machine, spool->machine, MACHINE_BYTES) == 0 &&
                                            memcmp(head->machine, unknown, MACHINE_BYTES) != 0,
                            .wall_less_uptime_ns = head->wall_less_uptime_ns};
    end_damage(finding, head->boot == finding->boot ? head->first : 0);
    finding->boot = head->boot;
    finding->next = head->first;
    for (struct record record; segment_next(segment, &record);)
        find_record(finding, piece, &record);
    finding->hole = finding->hole || segment->torn;
    spool->pieces[spool->count++] = piece;
}

static void set_aside(struct spool *spool, uint64_t number, const char *tail, const char *why)
{
    char path[SPOOL_PATH_SIZE], aside[SPOOL_PATH_SIZE];
    spool_path(spool, number, "", path);
    spool_path(spool, number, tail, aside);
    bool done = rename(path, aside) == 0;
    fprintf(stderr, "%s: %s %s%s%s\n", spool->options.name, path, why,
            done ? "; it was set aside as " : " and cannot be set aside", done ? aside : "");
}

static int find_number(struct finding *finding, uint64_t number)
{
    struct spool *spool = finding->spool;
    char path[SPOOL_PATH_SIZE];
    struct segment segment;
    spool_path(spool, number, "", path);
    int verdict = segment_read(&segment, path);
    switch (verdict) {
    case SEGMENT_GOOD:
        find_segment(finding, &segment, number);
        segment_free(&segment);
        return 0;
    case SEGMENT_TORN: /* it was just being made when the power went */
        unlink(path);
        return 0;
    case SEGMENT_FOREIGN:
        set_aside(spool, number, ".foreign", "is no segment of this version");
        return 0;
    case SEGMENT_DAMAGED:
        set_aside(spool, number, ".damaged", "has a damaged head");
        spool->counts.damaged++;
        finding->hole = true;
        return 0;
    default:
        fprintf(stderr, "%s: %s: %s\n", spool->options.name, path, strerror(-verdict));
        finding->hole = true;
        return verdict == -ENOMEM ? verdict : 0;
    }
}

static void apply_floor(struct spool *spool, uint64_t boot, uint64_t floor)
{
    for (size_t i = 0; i < spool->count; i++) {
        struct piece *piece = spool->pieces[i];
        if (piece->boot != boot || floor == 0)
            continue;
        piece_settle(piece, 0, floor - 1);
        piece->floor_told = floor;
    }
    for (size_t i = spool->gaps.count; i-- > 0;)
        if (spool->gaps.list[i].boot == boot && spool->gaps.list[i].to < floor)
            gaps_remove(&spool->gaps, i);
}

int spool_find(struct spool *spool)
{
    struct numbers numbers = {0};
    struct finding *finding = calloc(1, sizeof *finding);
    int error = finding ? collect(spool->options.folder, &numbers) : -ENOMEM;
    spool->next_number = numbers.highest + 1;
    if (!error && numbers.count > 0) {
        qsort(numbers.list, numbers.count, sizeof numbers.list[0], compare);
        finding->spool = spool;
        /* More than that were never ours; they stay where they are. */
        size_t first = numbers.count > SPOOL_PIECES_MAX ? numbers.count - SPOOL_PIECES_MAX : 0;
        for (size_t i = first; i < numbers.count && !error; i++)
            error = find_number(finding, numbers.list[i]);
        end_damage(finding, 0);
        for (size_t i = 0; i < finding->floors.count; i++)
            apply_floor(spool, finding->floors.list[i].boot, finding->floors.list[i].sequence);
        spool_unlink_done(spool);
    }
    free(numbers.list);
    free(finding);
    return error;
}

/* --- batches -------------------------------------------------------------------------------------------- */

/* What a batch may take. */
struct limits {
    uint64_t below; /* of this boot; UINT64_MAX of others */
    size_t most, bytes_left;
};

static uint64_t below_of(const struct spool *spool, uint64_t boot, uint64_t below)
{
    return boot == spool->options.boot ? below : UINT64_MAX;
}

size_t spool_pending(const struct spool *spool, uint64_t below)
{
    size_t count = 0;
    for (size_t i = 0; i < spool->count; i++)
        count += piece_pending(spool->pieces[i], below_of(spool, spool->pieces[i]->boot, below));
    for (size_t i = 0; i < spool->memory.count; i++)
        count += !spool->memory.accepted[i] && spool->memory.reports[i].sequence < below;
    return count;
}

/* After a restart of the machine its uptime began anew. Then only the wall clocks of then and now tell, and
 * the age is no less than the present uptime, whatever they were set to. */
static duration age_of(const struct piece *piece, const struct agent_report *report)
{
    int64_t now_ns = uptime_ns();
    duration age_ns = now_ns - report->taken_ns;
    if (!piece->same_machine) {
        age_ns = clock_ns(CLOCK_REALTIME) - (piece->wall_less_uptime_ns + report->taken_ns);
        age_ns = age_ns > now_ns ? age_ns : now_ns;
    }
    return age_ns > 0 ? age_ns : 0;
}

/* False: the batch is full. */
static bool take(struct spool_batch *batch, const struct agent_report *report, duration age_ns,
                 struct limits *limits)
{
    size_t bytes = agent_report_json_bytes(report);
    if (batch->count == limits->most || (batch->count > 0 && bytes > limits->bytes_left))
        return false;
    limits->bytes_left -= bytes < limits->bytes_left ? bytes : limits->bytes_left;
    batch->reports[batch->count].report = *report;
    batch->reports[batch->count++].age_ns = age_ns;
    return true;
}

/* 0 or a negative errno that may pass. What cannot be read any more becomes a gap. */
static int take_piece(struct spool *spool, struct piece *piece, struct spool_batch *batch,
                      struct limits *limits)
{
    char path[SPOOL_PATH_SIZE];
    struct segment segment;
    spool_path(spool, piece->number, "", path);
    int verdict = segment_read(&segment, path);
    if (verdict == -ENOMEM || verdict == -EMFILE || verdict == -ENFILE)
        return verdict;
    uint64_t expected = piece->first; /* all pending ones below were found */
    uint64_t end = limits->below < piece->next ? limits->below : piece->next;
    bool full = false;
    for (struct record record; verdict == SEGMENT_GOOD && !full && segment_next(&segment, &record);) {
        const struct agent_report *report = &record.report;
        if (record.kind != RECORD_REPORT || report->sequence < expected || report->sequence >= end)
            continue;
        duration age_ns = age_of(piece, report);
        bool pending = piece_is_pending(piece, report->sequence), stale = age_ns > age_limit_ns;
        full = pending && !stale && !take(batch, report, age_ns, limits);
        if (full)
            break;
        if (report->sequence > expected)
            spool_give_up(spool, piece->boot, expected, report->sequence - 1, GAP_DAMAGED);
        if (pending && stale)
            spool_give_up(spool, piece->boot, report->sequence, report->sequence, GAP_SPOOL_FULL);
        expected = report->sequence + 1;
    }
    if (!full && end > expected)
        spool_give_up(spool, piece->boot, expected, end - 1, GAP_DAMAGED);
    if (verdict == SEGMENT_GOOD)
        segment_free(&segment);
    return 0;
}

static void take_memory(struct spool *spool, struct spool_batch *batch, struct limits *limits)
{
    const struct spool_memory *memory = &spool->memory;
    bool room = true;
    for (size_t i = 0; room && i < memory->count && memory->reports[i].sequence < limits->below; i++)
        if (!memory->accepted[i])
            room = take(batch, &memory->reports[i], uptime_ns() - memory->reports[i].taken_ns, limits);
}

static void take_gaps(struct spool *spool, struct spool_batch *batch)
{
    const struct gap *gap;
    if (batch->count == 0 && (gap = gaps_waiting(&spool->gaps, 0)))
        batch->boot = gap->boot;
    for (size_t i = 0; i < spool->gaps.count && batch->gaps_count < BATCH_GAPS_MAX; i++) {
        gap = &spool->gaps.list[i];
        if (gap->state == GAP_WAITING && gap->boot == batch->boot)
            batch->gaps[batch->gaps_count++] = *gap;
    }
}

int spool_batch(struct spool *spool, uint64_t below, size_t most, size_t bytes_most, bool with_gaps,
                struct spool_batch *batch)
{
    *batch = (struct spool_batch){.reports = calloc(most, sizeof *batch->reports)};
    if (!batch->reports)
        return -ENOMEM;
    struct limits limits = {.most = most, .bytes_left = bytes_most};
    int error = 0;
    for (size_t i = 0; i < spool->count && batch->count == 0 && !error; i++) {
        struct piece *piece = spool->pieces[i];
        limits.below = below_of(spool, piece->boot, below);
        batch->boot = piece->boot;
        if (piece_pending(piece, limits.below) > 0)
            error = take_piece(spool, piece, batch, &limits);
    }
    if (batch->count == 0 && !error) {
        batch->boot = spool->options.boot;
        limits.below = below;
        take_memory(spool, batch, &limits);
    }
    if (with_gaps && !error)
        take_gaps(spool, batch);
    if (!error && batch->count == 0 && batch->gaps_count == 0)
        error = -ENOENT;
    if (error)
        spool_batch_free(batch);
    return error;
}

void spool_batch_free(struct spool_batch *batch)
{
    free(batch->reports);
    batch->reports = NULL;
}
