/* The segments of a flight recorder: files NUMBER.journal in a folder of their own, the highest number the
 * newest. Only one process writes there at a time; its database's lock sees to that.
 *
 * What is not written yet stands in the file `tail`, which is the writer's buffer, mapped: it outlives kill
 * -9 without a system call for each turn of the loop. One word says which bytes of it count, so it is right
 * at every instant. */
#ifndef JOURNAL_SEGMENTS_H
#define JOURNAL_SEGMENTS_H

#include <stddef.h>
#include <stdint.h>

enum { SEGMENT_PATH_MAX = 4096, TAIL_BUFFER_BYTES = 64 * 1024, TAIL_FILLED_BITS = 20 };

struct tail { /* as it stands in the file, in the machine's own byte order */
    char magic[8];
    uint64_t segment; /* whose tail it is */
    uint64_t state;   /* offset in it << TAIL_FILLED_BITS | bytes of the buffer that belong there */
    uint64_t reserved[5];
    uint8_t buffer[TAIL_BUFFER_BYTES];
};

struct segments {
    char folder[SEGMENT_PATH_MAX];
    uint64_t newest; /* number; 0: none yet */
};

/* Makes the folder if need be, and looks what is in it. 0 or a negative errno. */
int segments_open(struct segments *segments, const char *folder);

/* The tail, mapped, after what it still had was written to its segment. 0, with NULL if there can be none:
 * then the writer has to write at every turn. Or a negative errno if its segment has no room for that now:
 * then it stays as it is. */
int segments_tail(const struct segments *segments, struct tail **tail);
void segments_drop_tail(struct tail **tail);

/* From now on it belongs to this segment, and is empty. */
void tail_begin(struct tail *tail, uint64_t segment);
/* So many of its bytes follow the first `offset` bytes of the segment. */
static inline void tail_set(struct tail *tail, uint64_t offset, size_t filled)
{
    __atomic_store_n(&tail->state, offset << TAIL_FILLED_BITS | filled, __ATOMIC_RELEASE);
}

/* Deletes the oldest, but never the newest, as long as all that are left have more than `bytes`, or are as
 * many as there may be. */
void segments_make_room(const struct segments *segments, uint64_t bytes);

/* Begins the next one, after making room. A descriptor, or a negative errno. */
int segments_next(struct segments *segments, uint64_t bytes);
void segments_take_back(struct segments *segments); /* the newest, of which nobody could make use */

/* The bytes of a journal, with its tail if it is a segment that has one. 0 or a negative errno; the bytes
 * live until segments_unload(). */
struct loaded {
    const uint8_t *bytes;
    size_t length;
    size_t mapped; /* 0: allocated */
};
int segments_load(const char *path, struct loaded *loaded);
void segments_unload(struct loaded *loaded);

/* The paths of all, the oldest first. Their number, or a negative errno. segments_free() frees. */
int segments_list(const char *folder, char ***paths);
void segments_free(char ***paths, int count);

#endif
