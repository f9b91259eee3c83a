#include "journal/recorder.h"

#include "base/check.h"
#include "base/text.h"
#include "base/write_all.h"
#include "core/image.h"
#include "journal/picture.h"
#include "journal/segments.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert((int)TAIL_BUFFER_BYTES >= (int)JOURNAL_RECORD_MAX, "images are made in it");

#define AGAIN_NS (60 * SECOND) /* a flight recorder that has ended tries to go on */

struct sink {
    int fd; /* -1: it has ended, or never was */
    uint64_t bytes;
    int code; /* negative errno that ended it */
};

struct recorder {
    struct recorder_options options;
    struct sink file, segment;
    struct segments segments;
    uint64_t image_bytes; /* at the head of the present segment, or of the one before while it has none */
    bool alive;           /* a life has begun and did not end in a crash: its core has an image */
    bool down;            /* the flight recorder has ended, and it was said */
    instant now;          /* of the newest event */
    instant again_at;     /* while it is down: when to try again */
    struct tail *tail;    /* the buffer of a flight recorder; NULL: it has none */
    uint8_t *buffer;      /* the tail's, or our own */
    size_t filled, told;  /* bytes in it; of them, written to the file */
    uint8_t own[TAIL_BUFFER_BYTES];
};

static void say(const struct recorder *recorder, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void say(const struct recorder *recorder, const char *format, ...)
{
    char sentence[512];
    va_list list;
    if (!recorder->options.say)
        return;
    va_start(list, format);
    vsnprintf(sentence, sizeof sentence, format, list);
    va_end(list);
    recorder->options.say(recorder->options.context, sentence);
}

/* --- writing -------------------------------------------------------------------------------------------- */

static void end_sink(struct sink *sink)
{
    if (sink->fd >= 0)
        close(sink->fd);
    sink->fd = -1;
}

/* The last whole record stays the last one, as far as it can be helped. */
static bool put(struct sink *sink, const uint8_t *bytes, size_t length)
{
    sink->code = write_all(sink->fd, bytes, length);
    if (sink->code == 0) {
        sink->bytes += length;
        return true;
    }
    int cut = ftruncate(sink->fd, (off_t)sink->bytes);
    (void)cut; /* else readers meet a torn end */
    end_sink(sink);
    return false;
}

/* To the file that grows: at the end of each turn. */
static void flush_file(struct recorder *recorder)
{
    size_t length = recorder->filled - recorder->told;
    if (length == 0 || recorder->file.fd < 0)
        return;
    if (recorder->file.bytes + length > recorder->options.file_bytes) {
        end_sink(&recorder->file);
        say(recorder, "the recording has ended, since %s is as long as it may be", recorder->options.file);
    } else if (!put(&recorder->file, recorder->buffer + recorder->told, length)) {
        say(recorder, "the recording has ended, the rest goes on: %s", strerror(-recorder->file.code));
    }
    recorder->told = recorder->filled;
}

/* What its segment had no room for stays in the file `tail`: whoever opens that next, we or our successor,
 * writes it there. */
static void end_ring(struct recorder *recorder, int code)
{
    end_sink(&recorder->segment);
    segments_drop_tail(&recorder->tail);
    recorder->buffer = recorder->own;
    recorder->again_at = recorder->now + AGAIN_NS;
    if (!recorder->down)
        say(recorder, "the flight recorder is off for now, the rest goes on: %s: %s",
            recorder->options.folder, strerror(-code));
    recorder->down = true;
}

static void flush(struct recorder *recorder)
{
    flush_file(recorder);
    if (recorder->filled > 0 && recorder->segment.fd >= 0 &&
        !put(&recorder->segment, recorder->buffer, recorder->filled))
        end_ring(recorder, recorder->segment.code);
    recorder->filled = recorder->told = 0;
    if (recorder->tail)
        tail_set(recorder->tail, recorder->segment.bytes, 0);
}

/* Room for one record that is no image; NULL if nobody listens any more. */
static uint8_t *room(struct recorder *recorder)
{
    if (!recorder || (recorder->file.fd < 0 && recorder->segment.fd < 0))
        return NULL;
    if (recorder->filled + JOURNAL_PUT_MAX > TAIL_BUFFER_BYTES)
        flush(recorder);
    return recorder->buffer + recorder->filled;
}

/* The record in that room is whole. */
static void take(struct recorder *recorder, size_t length)
{
    recorder->filled += length;
    if (recorder->tail && recorder->segment.fd >= 0)
        tail_set(recorder->tail, recorder->segment.bytes, recorder->filled);
}

/* --- the ring ------------------------------------------------------------------------------------------- */

/* At which a segment is full. */
static uint64_t limit_of(const struct recorder *recorder)
{
    uint64_t bytes = recorder->options.segment_bytes;
    return bytes > 2 * recorder->image_bytes ? bytes : 2 * recorder->image_bytes;
}

/* Of the ring, if so much of it is wanted. */
static uint64_t rest_of(const struct recorder *recorder, uint64_t bytes)
{
    return recorder->options.ring_bytes > bytes ? recorder->options.ring_bytes - bytes : 0;
}

static bool next_segment(struct recorder *recorder)
{
    end_sink(&recorder->segment);
    int fd = segments_next(&recorder->segments, rest_of(recorder, limit_of(recorder)));
    recorder->segment = (struct sink){.fd = fd < 0 ? -1 : fd};
    if (fd < 0)
        end_ring(recorder, fd);
    else if (recorder->tail)
        tail_begin(recorder->tail, recorder->segments.newest);
    return fd >= 0;
}

/* The folder, its tail and an empty segment. The buffer is empty. */
static bool open_ring(struct recorder *recorder)
{
    int code = segments_open(&recorder->segments, recorder->options.folder);
    if (code == 0)
        code = segments_tail(&recorder->segments, &recorder->tail);
    if (code < 0) {
        end_ring(recorder, code);
        return false;
    }
    recorder->buffer = recorder->tail ? recorder->tail->buffer : recorder->own;
    return next_segment(recorder);
}

static bool take_piece(void *context, const uint8_t *record, size_t length)
{
    return put(&((struct recorder *)context)->segment, record, length);
}

/* At the head of an empty segment. The buffer is empty: the image is made in it, and only then the tail is
 * the new segment's. */
static bool put_image(struct recorder *recorder, const struct core *core)
{
    const struct core_config config = core_made_with(core);
    size_t length = journal_put_life(recorder->buffer, &config, true);
    if (!take_piece(recorder, recorder->buffer, length) ||
        !picture_write(core, recorder->buffer, take_piece, recorder)) {
        segments_take_back(&recorder->segments);
        end_ring(recorder, recorder->segment.code);
        return false;
    }
    recorder->image_bytes = recorder->segment.bytes;
    segments_make_room(&recorder->segments,
                       rest_of(recorder, limit_of(recorder) - recorder->image_bytes)); /* it may have grown */
    if (recorder->tail)
        tail_set(recorder->tail, recorder->segment.bytes, 0);
    return true;
}

static bool is_full(const struct recorder *recorder)
{
    return recorder->segment.fd >= 0 && recorder->segment.bytes + recorder->filled >= limit_of(recorder);
}

static bool is_due(const struct recorder *recorder)
{
    return recorder->down && recorder->alive && recorder->now >= recorder->again_at;
}

bool recorder_wants_turn(const struct recorder *recorder)
{
    if (!recorder)
        return false;
    bool writes = recorder->file.fd >= 0 || !recorder->tail || is_full(recorder);
    return is_due(recorder) || (recorder->filled > 0 && writes);
}

void recorder_turn(struct recorder *recorder, const struct core *core)
{
    if (!recorder)
        return;
    bool full = recorder->alive && is_full(recorder);
    if (full || !recorder->tail)
        flush(recorder);
    else
        flush_file(recorder);
    if (full && recorder->segment.fd >= 0 && next_segment(recorder))
        put_image(recorder, core);
    if (is_due(recorder) && open_ring(recorder) && put_image(recorder, core)) {
        recorder->down = false;
        say(recorder, "the flight recorder goes on: %s", recorder->options.folder);
    }
}

/* --- life ----------------------------------------------------------------------------------------------- */

/* Nothing is appended to what is no journal of this version. */
static int check_file(int fd, uint64_t *bytes)
{
    uint8_t head[JOURNAL_PUT_MAX];
    struct journal_record record;
    struct stat stat;
    if (fstat(fd, &stat) != 0)
        return -errno;
    *bytes = (uint64_t)stat.st_size;
    if (!S_ISREG(stat.st_mode))
        return S_ISCHR(stat.st_mode) ? 0 : -EINVAL; /* a pipe would hold up who writes */
    if (stat.st_size == 0)
        return 0;
    ssize_t got = pread(fd, head, sizeof head, 0);
    struct journal_reader reader = journal_reader_over(head, got > 0 ? (uint64_t)got : 0);
    return journal_next(&reader, &record) == JOURNAL_RECORD ? 0 : -EEXIST;
}

static bool open_file(struct recorder *recorder, char *error, size_t error_size)
{
    int fd = open(recorder->options.file, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK, 0644);
    int code = fd < 0 ? -errno : check_file(fd, &recorder->file.bytes);
    if (code == 0 && recorder->options.anew && recorder->file.bytes > 0) { /* an older journal gives way */
        code = ftruncate(fd, 0) == 0 ? 0 : -errno;
        recorder->file.bytes = 0;
    }
    if (code == 0) {
        recorder->file.fd = fd;
        return true;
    }
    if (fd >= 0)
        close(fd);
    snprintf(error, error_size, "cannot record to %s: %s", recorder->options.file,
             code == -EEXIST ? "it is there, and no journal that this version could go on with"
                             : strerror(-code));
    errno = -code;
    return false;
}

struct recorder *recorder_open(const struct recorder_options *options, char *error, size_t error_size)
{
    struct recorder *recorder = calloc(1, sizeof *recorder);
    CHECK(recorder);
    recorder->options = *options;
    recorder->file.fd = recorder->segment.fd = -1;
    struct recorder_options *o = &recorder->options;
    o->file_bytes = o->file_bytes ? o->file_bytes : RECORDER_FILE_BYTES;
    o->ring_bytes = o->ring_bytes ? o->ring_bytes : RECORDER_RING_BYTES;
    o->segment_bytes = o->segment_bytes ? o->segment_bytes : RECORDER_SEGMENT_BYTES;
    CHECK(o->segment_bytes <= o->ring_bytes);
    o->file = o->file ? strdup(o->file) : NULL;
    o->folder = o->folder ? strdup(o->folder) : NULL;
    CHECK((o->file || !options->file) && (o->folder || !options->folder));
    recorder->buffer = recorder->own;
    if (o->file && !open_file(recorder, error, error_size)) {
        int code = errno;
        recorder_close(&recorder);
        errno = code;
        return NULL;
    }
    if (o->folder)
        open_ring(recorder);
    return recorder;
}

void recorder_close(struct recorder **owner)
{
    struct recorder *recorder = *owner;
    if (!recorder)
        return;
    flush(recorder);
    end_sink(&recorder->file);
    end_sink(&recorder->segment);
    segments_drop_tail(&recorder->tail);
    free((char *)(uintptr_t)recorder->options.file); /* our copies */
    free((char *)(uintptr_t)recorder->options.folder);
    free(recorder);
    *owner = NULL;
}

/* --- what happens --------------------------------------------------------------------------------------- */

void recorder_life(struct recorder *recorder, const struct core *core)
{
    uint8_t *out = room(recorder);
    const struct core_config config = core_made_with(core);
    if (recorder)
        recorder->alive = true;
    if (out)
        take(recorder, journal_put_life(out, &config, false));
}

void recorder_event(struct recorder *recorder, const struct core *core, const struct event *event,
                    uint64_t ticket)
{
    if (recorder)
        recorder->now = event->at;
    uint8_t *out = room(recorder);
    if (out)
        take(recorder, journal_put_event(out, event, ticket, core_digest(core)));
}

void recorder_committed(struct recorder *recorder, instant at, uint64_t ticket)
{
    uint8_t *out = room(recorder);
    if (out)
        take(recorder, journal_put_committed(out, at, ticket));
}

void recorder_delivered(struct recorder *recorder, instant at, const struct command *command)
{
    uint8_t *out = room(recorder);
    if (out)
        take(recorder, journal_put_command(out, JOURNAL_DELIVERED, at, command));
}

void recorder_effect(struct recorder *recorder, instant at, const struct command *command)
{
    uint8_t *out = room(recorder);
    if (out)
        take(recorder, journal_put_command(out, JOURNAL_EFFECT, at, command));
}

void recorder_crash(struct recorder *recorder, instant at)
{
    uint8_t *out = room(recorder);
    if (recorder)
        recorder->alive = false;
    if (out)
        take(recorder, journal_put_mark(out, JOURNAL_CRASH, at));
}

void recorder_restored(struct recorder *recorder, instant at)
{
    uint8_t *out = room(recorder);
    if (out)
        take(recorder, journal_put_mark(out, JOURNAL_RESTORED, at));
}
