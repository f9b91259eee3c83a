/* The recorder: writes a journal while things happen, to one file that grows (`--record`), to a flight
 * recorder, or to both.
 *
 * A flight recorder is a folder with a ring of segments. Each is a journal by itself: it opens with a life
 * and, if the core was not empty, with the core's image, so that older segments may be deleted. Nothing is
 * ever synced: it survives the end of the process, the file up to the newest recorder_turn(), the flight
 * recorder up to the newest record, but not the end of the machine.
 *
 * Nothing that happens to it hurts its owner: a write that fails, a full disk, a file at its bound end the
 * recording, and one sentence says so. The flight recorder tries again every minute of the events' time, with
 * a new segment, and says when it goes on; what it had when the trouble began is kept. */
#ifndef JOURNAL_RECORDER_H
#define JOURNAL_RECORDER_H

#include "journal/journal.h"

#define RECORDER_FILE_BYTES    (UINT64_C(4) << 30) /* of one file; then recording stops */
#define RECORDER_RING_BYTES    (UINT64_C(64) << 20)
#define RECORDER_SEGMENT_BYTES (UINT64_C(4) << 20)

enum { RECORDER_SEGMENTS_MAX = 256 }; /* restarts leave short ones; beyond it the oldest are deleted */

struct recorder;

struct recorder_options {
    const char *file;   /* NULL: none. One that exists goes on with a new life, unless `anew` */
    const char *folder; /* NULL: no flight recorder; made if need be, one level deep */
    bool anew;
    uint64_t file_bytes, ring_bytes, segment_bytes; /* 0: as above. A segment whose image is larger than half
                                                       of it ends when as much has followed the image; only
                                                       one that alone is larger than the ring exceeds it */
    void (*say)(void *context, const char *sentence); /* NULL: nobody wants to know */
    void *context;
};

/* NULL with a sentence and errno if `file` cannot be opened, or is something else than a journal; a folder
 * that cannot be used is said, and done without. */
struct recorder *recorder_open(const struct recorder_options *options, char *error, size_t error_size);
void recorder_close(struct recorder **recorder); /* what is buffered is written first */

/* In the order in which things happen; all take NULL for "nothing is recorded". */
void recorder_life(struct recorder *recorder, const struct core *core); /* empty, no step was made */
/* After its step. `ticket` is what gate_put() gave. */
void recorder_event(struct recorder *recorder, const struct core *core, const struct event *event,
                    uint64_t ticket);
void recorder_committed(struct recorder *recorder, instant at, uint64_t ticket);
void recorder_delivered(struct recorder *recorder, instant at, const struct command *command);
void recorder_effect(struct recorder *recorder, instant at, const struct command *command);
void recorder_crash(struct recorder *recorder, instant at);
void recorder_restored(struct recorder *recorder, instant at);

/* True if something waits for recorder_turn(): it need not be called otherwise. */
bool recorder_wants_turn(const struct recorder *recorder);

/* The end of a turn of the loop: writes what is buffered, and begins a new segment when the present one is
 * full, with an image of `core` as it is now. */
void recorder_turn(struct recorder *recorder, const struct core *core);

#endif
