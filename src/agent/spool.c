#include "agent/spool_state.h"

#include "base/check.h"
#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    SEGMENTS = 16,  /* a small spool has smaller segments, so that not too much gives way at once */
    FLOOR_STEP = 4, /* reports that a successor may have to forward in vain, for fewer writes */
};

void spool_path(const struct spool *spool, uint64_t number, const char *tail, char path[SPOOL_PATH_SIZE])
{
    snprintf(path, SPOOL_PATH_SIZE, "%s/%012" PRIu64 ".reports%s", spool->options.folder, number, tail);
}

/* --- trouble with the disk ------------------------------------------------------------------------------ */

/* Once per trouble, not once per report. */
static void trouble(struct spool *spool, int error)
{
    if (!spool->troubled)
        fprintf(stderr,
                "%s: reports cannot be kept on disk, %s: %s; the newest %d are kept in memory meanwhile\n",
                spool->options.name, spool->options.folder, strerror(-error), SPOOL_MEMORY);
    spool->troubled = true;
}

static void no_trouble(struct spool *spool)
{
    if (spool->troubled)
        fprintf(stderr, "%s: reports are kept on disk again\n", spool->options.name);
    spool->troubled = false;
}

/* --- writing -------------------------------------------------------------------------------------------- */

static struct piece *newest(const struct spool *spool)
{
    return spool->fd >= 0 ? spool->pieces[spool->count - 1] : NULL;
}

static int append(struct spool *spool, const uint8_t *bytes, size_t length)
{
    struct piece *piece = newest(spool);
    bool torn;
    CHECK(piece);
    int error = segment_append(spool->fd, piece->bytes, bytes, length, &torn);
    piece->bytes += error ? 0 : length;
    if (torn) { /* a record behind it would make it look like damage */
        close(spool->fd);
        spool->fd = -1;
    }
    return error;
}

void spool_note_gap(struct spool *spool, uint64_t boot, uint64_t from, uint64_t to, enum gap_reason reason)
{
    uint8_t bytes[RECORD_BYTES_MAX];
    struct gap gap = {.boot = boot, .from = from, .to = to, .reason = reason};
    /* One that cannot be written now stands at the head of the next segment. */
    if (gaps_add(&spool->gaps, boot, from, to, reason) && spool->fd >= 0)
        append(spool, bytes, segment_put_gap(bytes, &gap));
}

/* After this one nothing is appended to it. */
static void finish_segment(struct spool *spool)
{
    if (spool->fd < 0)
        return;
    if (fdatasync(spool->fd) < 0) /* then a power cut may take it */
        fprintf(stderr, "%s: %s: cannot be flushed to the disk: %s\n", spool->options.name,
                spool->options.folder, strerror(errno));
    close(spool->fd);
    spool->fd = -1;
    spool_unlink_done(spool);
}

static void unlink_oldest(struct spool *spool)
{
    char path[SPOOL_PATH_SIZE];
    struct piece *piece = spool->pieces[0];
    spool_path(spool, piece->number, "", path);
    unlink(path);
    free(piece);
    spool->count--;
    memmove(&spool->pieces[0], &spool->pieces[1], spool->count * sizeof spool->pieces[0]);
}

/* Only from the oldest on, since a floor stands in a later segment than what it speaks of; and never the
 * newest, since the gaps stand in it. */
void spool_unlink_done(struct spool *spool)
{
    uint64_t from, to;
    while (spool->count > 1 && piece_owed(spool->pieces[0], &from, &to) == 0)
        unlink_oldest(spool);
}

static size_t bytes_of(const struct spool *spool, size_t first)
{
    size_t bytes = 0;
    for (size_t i = first; i < spool->count; i++)
        bytes += spool->pieces[i]->bytes;
    return bytes;
}

/* Notes as gaps what must give way to one more segment; returns how many pieces that concerns. */
static size_t give_way(struct spool *spool)
{
    size_t victims = 0;
    while (victims < spool->count &&
           (spool->count - victims >= SPOOL_PIECES_MAX ||
            bytes_of(spool, victims) + spool->segment_bytes > spool->options.bytes)) {
        const struct piece *piece = spool->pieces[victims++];
        uint64_t from, to;
        size_t owed = piece_owed(piece, &from, &to);
        if (owed > 0)
            spool_note_gap(spool, piece->boot, from, to, GAP_SPOOL_FULL);
        spool->counts.lost += owed;
    }
    return victims;
}

static int write_gaps(struct spool *spool)
{
    uint8_t bytes[RECORD_BYTES_MAX];
    int error = 0;
    for (size_t i = 0; i < spool->gaps.count && !error; i++)
        error = append(spool, bytes, segment_put_gap(bytes, &spool->gaps.list[i]));
    return error;
}

static int begin_piece(struct spool *spool, uint64_t first)
{
    char path[SPOOL_PATH_SIZE];
    struct segment_head head = {.boot = spool->options.boot,
                                .first = first,
                                .wall_less_uptime_ns = clock_ns(CLOCK_REALTIME) - uptime_ns()};
    memcpy(head.machine, spool->machine, MACHINE_BYTES);
    struct piece *piece = calloc(1, sizeof *piece);
    if (!piece)
        return -ENOMEM;
    if (mkdir(spool->options.folder, 0755) < 0 && errno != EEXIST) {
        int error = -errno;
        free(piece);
        return error;
    }
    spool_path(spool, spool->next_number, "", path);
    int fd = segment_create(path, &head);
    if (fd < 0) {
        spool->next_number += fd == -EEXIST; /* something that is not ours */
        free(piece);
        return fd;
    }
    *piece = (struct piece){.number = spool->next_number++,
                            .boot = head.boot,
                            .first = first,
                            .next = first,
                            .bytes = SEGMENT_HEAD_BYTES,
                            .same_machine = true,
                            .wall_less_uptime_ns = head.wall_less_uptime_ns};
    spool->pieces[spool->count++] = piece;
    spool->fd = fd;
    return 0;
}

static void undo_piece(struct spool *spool)
{
    char path[SPOOL_PATH_SIZE];
    struct piece *piece = spool->pieces[--spool->count];
    if (spool->fd >= 0)
        close(spool->fd);
    spool->fd = -1;
    spool_path(spool, piece->number, "", path);
    unlink(path);
    free(piece);
}

/* The gaps stand in the new segment before what they speak of is gone. */
static int begin_segment(struct spool *spool, uint64_t first)
{
    size_t victims = give_way(spool);
    for (; spool->count >= SPOOL_PIECES_MAX; victims--)
        unlink_oldest(spool);
    int error = begin_piece(spool, first);
    if (!error && (error = write_gaps(spool)) < 0)
        undo_piece(spool);
    while (victims-- > 0)
        unlink_oldest(spool);
    return error;
}

static int put_on_disk(struct spool *spool, const struct agent_report *report)
{
    uint8_t bytes[RECORD_BYTES_MAX];
    size_t length = segment_put_report(bytes, report);
    const struct piece *piece = newest(spool);
    if (piece && (piece->bytes + length > spool->segment_bytes || !piece_takes(piece, report->sequence)))
        finish_segment(spool);
    int error = spool->fd < 0 ? begin_segment(spool, report->sequence) : 0;
    error = error ? error : append(spool, bytes, length);
    if (error)
        return error;
    piece_add(newest(spool), report->sequence);
    spool->counts.spooled++;
    return 0;
}

/* --- memory --------------------------------------------------------------------------------------------- */

static void memory_drop(struct spool_memory *memory, size_t index)
{
    memory->count--;
    memmove(&memory->reports[index], &memory->reports[index + 1],
            (memory->count - index) * sizeof memory->reports[0]);
    memmove(&memory->accepted[index], &memory->accepted[index + 1],
            (memory->count - index) * sizeof memory->accepted[0]);
}

static void put_in_memory(struct spool *spool, const struct agent_report *report)
{
    struct spool_memory *memory = &spool->memory;
    if (memory->count == SPOOL_MEMORY) {
        uint64_t sequence = memory->reports[0].sequence;
        memory_drop(memory, 0);
        spool->counts.lost++;
        spool_note_gap(spool, report->boot, sequence, sequence, GAP_SPOOL_FULL);
    }
    memory->accepted[memory->count] = false;
    memory->reports[memory->count++] = *report;
}

/* What was kept in memory goes first, so that sequences rise on disk. */
static int memory_to_disk(struct spool *spool)
{
    struct spool_memory *memory = &spool->memory;
    while (memory->count > 0) {
        uint64_t sequence = memory->reports[0].sequence;
        int error = put_on_disk(spool, &memory->reports[0]);
        if (error)
            return error;
        if (memory->accepted[0])
            piece_accept(newest(spool), sequence, sequence);
        memory_drop(memory, 0);
    }
    return 0;
}

void spool_put(struct spool *spool, const struct agent_report *report)
{
    CHECK(report->boot == spool->options.boot);
    int error = memory_to_disk(spool);
    error = error ? error : put_on_disk(spool, report);
    if (!error) {
        no_trouble(spool);
        return;
    }
    trouble(spool, error);
    spool->counts.troubles++;
    put_in_memory(spool, report);
}

void spool_tidy(struct spool *spool)
{
    const struct piece *piece = newest(spool);
    if (piece && piece->bytes + RECORD_BYTES_MAX > spool->segment_bytes)
        finish_segment(spool);
}

/* --- forgetting ----------------------------------------------------------------------------------------- */

/* All of `boot` below it is done with; UINT64_MAX: all of an earlier boot is. */
static uint64_t floor_of(const struct spool *spool, uint64_t boot)
{
    uint64_t lowest = UINT64_MAX, next = 1, from, to;
    for (size_t i = 0; i < spool->count && lowest == UINT64_MAX; i++) {
        const struct piece *piece = spool->pieces[i];
        if (piece->boot != boot)
            continue;
        next = piece->next;
        if (piece_owed(piece, &from, &to) > 0)
            lowest = from;
    }
    for (size_t i = 0; i < spool->gaps.count; i++)
        if (spool->gaps.list[i].boot == boot && spool->gaps.list[i].to < lowest)
            lowest = spool->gaps.list[i].to;
    return lowest == UINT64_MAX && boot == spool->options.boot ? next : lowest;
}

static struct piece *oldest_of(struct spool *spool, uint64_t boot)
{
    for (size_t i = 0; i < spool->count; i++)
        if (spool->pieces[i]->boot == boot)
            return spool->pieces[i];
    return NULL;
}

/* So that a successor does not forward it all again. If it cannot be written it does, which harms nobody. */
static void write_floor(struct spool *spool, uint64_t boot, uint64_t step)
{
    uint8_t bytes[RECORD_BYTES_MAX];
    struct piece *oldest = oldest_of(spool, boot);
    uint64_t floor = floor_of(spool, boot), told = oldest ? oldest->floor_told : 0;
    if (spool->fd < 0 || floor <= told || floor - told < step)
        return;
    append(spool, bytes, segment_put_floor(bytes, boot, floor));
    if (oldest)
        oldest->floor_told = floor;
}

void spool_accept(struct spool *spool, uint64_t boot, uint64_t from, uint64_t to)
{
    struct spool_memory *memory = &spool->memory;
    for (size_t i = 0; i < spool->count; i++)
        if (spool->pieces[i]->boot == boot)
            piece_accept(spool->pieces[i], from, to);
    for (size_t i = 0; boot == spool->options.boot && i < memory->count; i++)
        if (memory->reports[i].sequence >= from && memory->reports[i].sequence <= to)
            memory->accepted[i] = true;
}

void spool_stored(struct spool *spool, uint64_t boot, uint64_t from, uint64_t to)
{
    struct spool_memory *memory = &spool->memory;
    for (size_t i = 0; i < spool->count; i++)
        if (spool->pieces[i]->boot == boot)
            piece_stored(spool->pieces[i], from, to);
    for (size_t i = memory->count; boot == spool->options.boot && i-- > 0;)
        if (memory->accepted[i] && memory->reports[i].sequence >= from && memory->reports[i].sequence <= to)
            memory_drop(memory, i);
    write_floor(spool, boot, FLOOR_STEP);
    spool_unlink_done(spool);
}

void spool_unaccept(struct spool *spool)
{
    for (size_t i = 0; i < spool->count; i++)
        piece_unaccept(spool->pieces[i]);
    memset(spool->memory.accepted, 0, sizeof spool->memory.accepted);
    gaps_move(&spool->gaps, GAP_ACCEPTED, GAP_WAITING);
}

/* A run of sequences that becomes one gap. */
struct run {
    uint64_t from, to; /* 0, 0: none yet */
};

static void end_run(struct spool *spool, uint64_t boot, struct run *run, enum gap_reason reason)
{
    if (run->from == 0)
        return;
    spool->counts.lost += run->to - run->from + 1;
    spool_note_gap(spool, boot, run->from, run->to, reason);
    *run = (struct run){0, 0};
}

static void give_up_piece(struct spool *spool, struct piece *piece, uint64_t from, uint64_t to,
                          enum gap_reason reason)
{
    struct run run = {0, 0};
    from = from > piece->first ? from : piece->first;
    for (uint64_t sequence = from; sequence <= to && sequence < piece->next; sequence++) {
        if (!piece_is_pending(piece, sequence)) {
            end_run(spool, piece->boot, &run, reason);
            continue;
        }
        piece_settle(piece, sequence, sequence);
        run = (struct run){run.from ? run.from : sequence, sequence};
    }
    end_run(spool, piece->boot, &run, reason);
}

void spool_give_up(struct spool *spool, uint64_t boot, uint64_t from, uint64_t to, enum gap_reason reason)
{
    struct spool_memory *memory = &spool->memory;
    for (size_t i = 0; i < spool->count; i++)
        if (spool->pieces[i]->boot == boot)
            give_up_piece(spool, spool->pieces[i], from, to, reason);
    for (size_t i = memory->count; boot == spool->options.boot && i-- > 0;) {
        struct run run = {memory->reports[i].sequence, memory->reports[i].sequence};
        if (memory->accepted[i] || run.from < from || run.to > to)
            continue;
        memory_drop(memory, i);
        end_run(spool, boot, &run, reason);
    }
}

struct gaps *spool_gaps(struct spool *spool)
{
    return &spool->gaps;
}

void spool_gap_stored(struct spool *spool, uint64_t boot, uint64_t to)
{
    for (size_t i = spool->gaps.count; i-- > 0;) {
        const struct gap *gap = &spool->gaps.list[i];
        if (gap->boot == boot && gap->to == to && gap->state == GAP_ACCEPTED)
            gaps_remove(&spool->gaps, i);
    }
    write_floor(spool, boot, 1);
}

const struct spool_counts *spool_counts(const struct spool *spool)
{
    return &spool->counts;
}

/* --- opening and closing -------------------------------------------------------------------------------- */

static void read_machine(uint8_t machine[MACHINE_BYTES])
{
    char text[64] = "";
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t got = fd >= 0 ? read(fd, text, sizeof text - 1) : 0;
    if (fd >= 0)
        close(fd);
    size_t digits = 0;
    for (ssize_t i = 0; i < got && digits < 2 * MACHINE_BYTES; i++) {
        char digit[2] = {text[i], '\0'}, *end;
        unsigned long value = strtoul(digit, &end, 16);
        if (end == digit)
            continue; /* a dash */
        machine[digits / 2] = (uint8_t)((unsigned)machine[digits / 2] << 4 | (unsigned)value);
        digits++;
    }
}

int spool_open(struct spool **out, const struct spool_options *options)
{
    CHECK(options->bytes >= SPOOL_BYTES_MIN && options->bytes <= SPOOL_BYTES_MAX);
    struct spool *spool = calloc(1, sizeof *spool);
    *out = spool;
    if (!spool)
        return -ENOMEM;
    spool->options = *options;
    spool->fd = -1;
    spool->next_number = 1;
    spool->segment_bytes = options->bytes / SEGMENTS;
    if (spool->segment_bytes > SEGMENT_BYTES_MAX)
        spool->segment_bytes = SEGMENT_BYTES_MAX;
    read_machine(spool->machine);
    int error = mkdir(options->folder, 0755) < 0 && errno != EEXIST ? -errno : spool_find(spool);
    if (error == -ENOMEM)
        spool_close(out);
    else if (error)
        trouble(spool, error);
    return error == -ENOMEM ? error : 0;
}

void spool_close(struct spool **owner)
{
    struct spool *spool = *owner;
    *owner = NULL;
    if (!spool)
        return;
    if (spool->memory.count > 0)
        memory_to_disk(spool);
    for (size_t i = 0; i < spool->count; i++)
        write_floor(spool, spool->pieces[i]->boot, 1);
    spool_unlink_done(spool);
    uint64_t from, to;
    bool owed = spool->gaps.count > 0;
    for (size_t i = 0; i < spool->count; i++)
        owed = owed || piece_owed(spool->pieces[i], &from, &to) > 0;
    if (spool->fd >= 0 && owed)
        fdatasync(spool->fd); /* a clean end: it may be the machine's, too */
    if (spool->fd >= 0)
        close(spool->fd);
    while (spool->count > 0 && !owed)
        unlink_oldest(spool);
    for (size_t i = 0; i < spool->count; i++)
        free(spool->pieces[i]);
    free(spool);
}
