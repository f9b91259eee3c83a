/* A segment: one file of the spool. A head, then records that are only ever appended; all numbers are
 * little-endian, samples are the raw bits of their doubles.
 *
 *     head (64 bytes):  magic[8] version:4 metrics:4 boot:8 first:8 machine[16] wall:8 nought:4 crc:4
 *     record:           mark:2 kind:1 nought:1 length:4 crc:4 body[length]
 *         report        sequence:8 taken:8 present:4 value:8 per bit of `present`
 *         gap           boot:8 from:8 to:8 reason:4
 *         floor         boot:8 sequence:8      all of that boot below it is done with
 *
 * `crc` is the CRC-32 of ISO 3309 (as in zlib and PNG) over all before it in the head, and over kind, length
 * and body of a record. `metrics` is the CRC-32 of the metrics' names in their order: a number in `present`
 * means the same metric for whoever reads it, or the file is another version's. */
#ifndef AGENT_SEGMENT_H
#define AGENT_SEGMENT_H

#include "agent/gaps.h"
#include "agent/report.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SEGMENT_BYTES_MAX = 256 * 1024, /* no report is appended beyond it */
    SEGMENT_HEAD_BYTES = 64,
    RECORD_HEAD_BYTES = 12,
    RECORD_BYTES_MAX = RECORD_HEAD_BYTES + 20 + 8 * METRIC_COUNT,
    MACHINE_BYTES = 16
};

struct segment_head {
    uint64_t boot;
    uint64_t first;                 /* the sequence that was to come next when it was begun */
    uint8_t machine[MACHINE_BYTES]; /* the machine's boot id; all nought: unknown */
    int64_t wall_less_uptime_ns;    /* the wall clock less the uptime when it was begun */
};

/* Makes the file, which must not exist, with its head. A descriptor for appending, or a negative errno: then
 * there is no file. */
int segment_create(const char *path, const struct segment_head *head);

/* A record's bytes into `out`; returns their number. */
size_t segment_put_report(uint8_t out[RECORD_BYTES_MAX], const struct agent_report *report);
size_t segment_put_gap(uint8_t out[RECORD_BYTES_MAX], const struct gap *gap);
size_t segment_put_floor(uint8_t out[RECORD_BYTES_MAX], uint64_t boot, uint64_t sequence);

/* Appends whole records to the file whose good part is `size` bytes long. 0, or a negative errno: then
 * nothing of them is left in the file, or a torn tail if not even that could be mended: *torn, and nothing
 * more is to be appended. */
int segment_append(int fd, size_t size, const uint8_t *bytes, size_t length, bool *torn);

/* Another version's file, or no file at all but a FIFO, a folder, a link; a head that was not written out; a
 * head that cannot be right. */
enum segment_verdict { SEGMENT_GOOD, SEGMENT_FOREIGN, SEGMENT_TORN, SEGMENT_DAMAGED };

/* A segment read back. */
struct segment {
    struct segment_head head;
    uint8_t *bytes;
    size_t length, at;
    bool torn; /* after the last record: the file ends within a record that was never finished */
};

enum record_kind { RECORD_DAMAGE, RECORD_REPORT, RECORD_GAP, RECORD_FLOOR };

struct record {
    enum record_kind kind; /* RECORD_DAMAGE: something was here that cannot be read */
    struct agent_report report;
    struct gap gap; /* of a floor: boot, and its sequence in `to` */
};

/* Reads the file whole. An enum segment_verdict or a negative errno; the caller frees it if SEGMENT_GOOD. */
int segment_read(struct segment *segment, const char *path);
void segment_free(struct segment *segment);

/* The next record; false after the last. Goes on behind damage with the next record that is whole. */
bool segment_next(struct segment *segment, struct record *record);

#endif
