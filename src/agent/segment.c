#include "agent/segment.h"

#include "base/check.h"
#include "base/crc.h"
#include "base/write_all.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    VERSION = 1,
    MARK = 0xA55A,
    FILE_BYTES_MAX = 4 * SEGMENT_BYTES_MAX, /* no file of ours is longer */
    REPORT_BYTES_MIN = 20,
    GAP_BYTES = 28,
    FLOOR_BYTES = 16
};

/* No clock of ours shows more, about a hundred years, and differences of such numbers cannot overflow. */
#define TIME_NS_MAX (INT64_MAX / 3)

/* The API takes no higher numbers, and what counts on from here does not begin anew. */
#define SEQUENCE_MAX (UINT64_C(1) << 62)

static const char magic[8] = {'h', 'o', 'm', 'e', 's', 'p', 'o', 'l'};

/* --- numbers -------------------------------------------------------------------------------------------- */

static uint8_t *put_32(uint8_t *to, uint32_t number)
{
    number = htole32(number);
    memcpy(to, &number, sizeof number);
    return to + sizeof number;
}

static uint8_t *put_64(uint8_t *to, uint64_t number)
{
    number = htole64(number);
    memcpy(to, &number, sizeof number);
    return to + sizeof number;
}

static uint32_t take_32(const uint8_t *from)
{
    uint32_t number;
    memcpy(&number, from, sizeof number);
    return le32toh(number);
}

static uint64_t take_64(const uint8_t *from)
{
    uint64_t number;
    memcpy(&number, from, sizeof number);
    return le64toh(number);
}

static uint32_t record_crc(const uint8_t *record, size_t body_bytes)
{
    return crc32_add(crc32_add(0, record + 2, 6), record + RECORD_HEAD_BYTES, body_bytes);
}

static uint32_t metrics_crc(void)
{
    uint32_t crc = 0;
    for (int metric = 0; metric < METRIC_COUNT; metric++) {
        const char *name = metric_name((enum metric)metric);
        crc = crc32_add(crc, name, strlen(name) + 1);
    }
    return crc;
}

/* --- writing -------------------------------------------------------------------------------------------- */

int segment_create(const char *path, const struct segment_head *head)
{
    uint8_t bytes[SEGMENT_HEAD_BYTES] = {0}, *at = bytes;
    memcpy(at, magic, sizeof magic);
    at = put_32(at + sizeof magic, VERSION);
    at = put_32(at, metrics_crc());
    at = put_64(at, head->boot);
    at = put_64(at, head->first);
    memcpy(at, head->machine, MACHINE_BYTES);
    at = put_64(at + MACHINE_BYTES, (uint64_t)head->wall_less_uptime_ns);
    at = put_32(at, 0);
    put_32(at, crc32_add(0, bytes, (size_t)(at - bytes)));
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0644);
    if (fd < 0)
        return -errno;
    int error = write_all(fd, bytes, sizeof bytes);
    if (!error)
        return fd;
    close(fd);
    unlink(path);
    return error;
}

/* The head of a record whose body stands behind it. */
static size_t seal(uint8_t *record, enum record_kind kind, const uint8_t *end)
{
    size_t body_bytes = (size_t)(end - record) - RECORD_HEAD_BYTES;
    record[0] = MARK & 0xff;
    record[1] = MARK >> 8;
    record[2] = (uint8_t)kind;
    record[3] = 0;
    put_32(record + 4, (uint32_t)body_bytes);
    put_32(record + 8, record_crc(record, body_bytes));
    return RECORD_HEAD_BYTES + body_bytes;
}

size_t segment_put_report(uint8_t out[RECORD_BYTES_MAX], const struct agent_report *report)
{
    uint8_t *at = put_64(out + RECORD_HEAD_BYTES, report->sequence);
    at = put_64(at, (uint64_t)report->taken_ns);
    at = put_32(at, report->samples.present);
    for (int metric = 0; metric < METRIC_COUNT; metric++) {
        uint64_t bits;
        memcpy(&bits, &report->samples.value[metric], sizeof bits);
        if (samples_have(&report->samples, (enum metric)metric))
            at = put_64(at, bits);
    }
    return seal(out, RECORD_REPORT, at);
}

size_t segment_put_gap(uint8_t out[RECORD_BYTES_MAX], const struct gap *gap)
{
    uint8_t *at = put_64(out + RECORD_HEAD_BYTES, gap->boot);
    at = put_64(at, gap->from);
    at = put_64(at, gap->to);
    return seal(out, RECORD_GAP, put_32(at, (uint32_t)gap->reason));
}

size_t segment_put_floor(uint8_t out[RECORD_BYTES_MAX], uint64_t boot, uint64_t sequence)
{
    return seal(out, RECORD_FLOOR, put_64(put_64(out + RECORD_HEAD_BYTES, boot), sequence));
}

int segment_append(int fd, size_t size, const uint8_t *bytes, size_t length, bool *torn)
{
    int error = write_all(fd, bytes, length);
    *torn = error && ftruncate(fd, (off_t)size) < 0; /* what is left is cut off when it is read */
    return error;
}

/* --- reading -------------------------------------------------------------------------------------------- */

static int read_file(struct segment *segment, int fd)
{
    struct stat status;
    if (fstat(fd, &status) < 0)
        return -errno;
    if (!S_ISREG(status.st_mode) || status.st_size > FILE_BYTES_MAX)
        return SEGMENT_FOREIGN;
    size_t room = (size_t)status.st_size;
    segment->bytes = malloc(room + 1);
    if (!segment->bytes)
        return -ENOMEM;
    while (segment->length < room) {
        ssize_t got = read(fd, segment->bytes + segment->length, room - segment->length);
        if (got < 0 && errno != EINTR)
            return -errno;
        if (got == 0)
            break;
        segment->length += got > 0 ? (size_t)got : 0;
    }
    return SEGMENT_GOOD;
}

static bool all_nought(const uint8_t *bytes, size_t length)
{
    return length == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, length - 1) == 0);
}

static int read_head(struct segment *segment)
{
    const uint8_t *bytes = segment->bytes;
    struct segment_head *head = &segment->head;
    if (segment->length < SEGMENT_HEAD_BYTES || all_nought(bytes, segment->length))
        return SEGMENT_TORN;
    if (memcmp(bytes, magic, sizeof magic) != 0 || take_32(bytes + 8) != VERSION)
        return SEGMENT_FOREIGN;
    if (take_32(bytes + 60) != crc32_add(0, bytes, 60))
        return SEGMENT_DAMAGED;
    if (take_32(bytes + 12) != metrics_crc())
        return SEGMENT_FOREIGN;
    head->boot = take_64(bytes + 16);
    head->first = take_64(bytes + 24);
    memcpy(head->machine, bytes + 32, MACHINE_BYTES);
    head->wall_less_uptime_ns = (int64_t)take_64(bytes + 48);
    segment->at = SEGMENT_HEAD_BYTES;
    bool possible = head->boot != 0 && head->first <= SEQUENCE_MAX &&
                    head->wall_less_uptime_ns >= -TIME_NS_MAX && head->wall_less_uptime_ns <= TIME_NS_MAX;
    return possible ? SEGMENT_GOOD : SEGMENT_DAMAGED;
}

int segment_read(struct segment *segment, const char *path)
{
    *segment = (struct segment){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) /* a link, or a socket */
        return errno == ELOOP || errno == ENXIO ? SEGMENT_FOREIGN : -errno;
    int verdict = read_file(segment, fd);
    close(fd);
    verdict = verdict == SEGMENT_GOOD ? read_head(segment) : verdict;
    if (verdict != SEGMENT_GOOD)
        segment_free(segment);
    return verdict;
}

void segment_free(struct segment *segment)
{
    free(segment->bytes);
    segment->bytes = NULL;
}

static bool take_report(const uint8_t *body, size_t length, const struct segment *segment,
                        struct agent_report *report)
{
    if (length < REPORT_BYTES_MIN)
        return false;
    *report = (struct agent_report){.boot = segment->head.boot,
                                    .sequence = take_64(body),
                                    .taken_ns = (int64_t)take_64(body + 8),
                                    .samples.present = take_32(body + 16)};
    uint32_t present = report->samples.present;
    if (present >> METRIC_COUNT != 0 || report->sequence == 0 || report->sequence > SEQUENCE_MAX ||
        report->taken_ns < 0 || report->taken_ns > TIME_NS_MAX ||
        length != REPORT_BYTES_MIN + 8 * (size_t)__builtin_popcount(present))
        return false;
    body += REPORT_BYTES_MIN;
    for (int metric = 0; metric < METRIC_COUNT; metric++) {
        if (!samples_have(&report->samples, (enum metric)metric))
            continue;
        uint64_t bits = take_64(body);
        memcpy(&report->samples.value[metric], &bits, sizeof bits);
        body += 8;
    }
    return true;
}

static bool take_body(const uint8_t *body, size_t length, const struct segment *segment,
                      struct record *record)
{
    if (record->kind == RECORD_REPORT)
        return take_report(body, length, segment, &record->report);
    if (record->kind == RECORD_GAP && length == GAP_BYTES) {
        uint32_t reason = take_32(body + 24);
        record->gap = (struct gap){.boot = take_64(body),
                                   .from = take_64(body + 8),
                                   .to = take_64(body + 16),
                                   .reason = (enum gap_reason)reason};
        return reason < GAP_REASON_COUNT && record->gap.boot != 0 && record->gap.from <= record->gap.to &&
               record->gap.to <= SEQUENCE_MAX;
    }
    if (record->kind == RECORD_FLOOR && length == FLOOR_BYTES) {
        record->gap = (struct gap){.boot = take_64(body), .to = take_64(body + 8)};
        return true;
    }
    return false;
}

/* The length of the whole record that begins at `at`, 0 if none does. */
static size_t record_at(const struct segment *segment, size_t at, struct record *record)
{
    const uint8_t *bytes = segment->bytes + at;
    size_t left = segment->length - at;
    if (left < RECORD_HEAD_BYTES || bytes[0] != (MARK & 0xff) || bytes[1] != MARK >> 8)
        return 0;
    size_t length = take_32(bytes + 4);
    if (length > RECORD_BYTES_MAX || length > left - RECORD_HEAD_BYTES ||
        take_32(bytes + 8) != record_crc(bytes, length))
        return 0;
    record->kind = (enum record_kind)bytes[2];
    return take_body(bytes + RECORD_HEAD_BYTES, length, segment, record) ? RECORD_HEAD_BYTES + length : 0;
}

/* No record follows: was there one that cannot be read, or one that was never finished? */
static bool tail_was_whole(const struct segment *segment)
{
    const uint8_t *bytes = segment->bytes + segment->at;
    size_t left = segment->length - segment->at;
    if (left < RECORD_HEAD_BYTES + FLOOR_BYTES || all_nought(bytes, left))
        return false;
    bool marked = bytes[0] == (MARK & 0xff) && bytes[1] == MARK >> 8;
    return !marked || take_32(bytes + 4) <= left - RECORD_HEAD_BYTES;
}

bool segment_next(struct segment *segment, struct record *record)
{
    if (segment->at >= segment->length)
        return false;
    size_t length = record_at(segment, segment->at, record);
    if (length > 0) {
        segment->at += length;
        return true;
    }
    record->kind = RECORD_DAMAGE;
    struct record next;
    for (size_t at = segment->at + 1; at < segment->length; at++) {
        if (record_at(segment, at, &next) > 0) {
            segment->at = at;
            return true;
        }
    }
    segment->torn = !tail_was_whole(segment);
    segment->at = segment->length;
    return !segment->torn;
}
