/* The inside of the spool, shared by spool.c (writing, forgetting) and spool_read.c (finding what was left,
 * reading batches back). */
#ifndef AGENT_SPOOL_STATE_H
#define AGENT_SPOOL_STATE_H

#include "agent/piece.h"
#include "agent/segment.h"
#include "agent/spool.h"

enum { SPOOL_PATH_SIZE = 1200 };

/* What is kept when nothing can be written. */
struct spool_memory {
    struct agent_report reports[SPOOL_MEMORY]; /* the oldest first */
    bool accepted[SPOOL_MEMORY];
    size_t count;
};

struct spool {
    struct spool_options options;
    uint8_t machine[MACHINE_BYTES];
    size_t segment_bytes;
    struct piece *pieces[SPOOL_PIECES_MAX]; /* the oldest first */
    size_t count;
    uint64_t next_number;
    int fd; /* of the newest piece; -1: none is being written */
    bool troubled;
    struct spool_memory memory;
    struct gaps gaps;
    struct spool_counts counts;
};

void spool_path(const struct spool *spool, uint64_t number, const char *tail, char path[SPOOL_PATH_SIZE]);

/* Notes a gap, in memory and, if a segment is being written, on disk. */
void spool_note_gap(struct spool *spool, uint64_t boot, uint64_t from, uint64_t to, enum gap_reason reason);

/* Unlinks the oldest segments of which nothing is owed. */
void spool_unlink_done(struct spool *spool);

/* Finds what earlier node agents left. 0 or a negative errno. */
int spool_find(struct spool *spool);

#endif
