/* Replay: the events of journals go into the real core once more, and its digest is compared after every
 * step.
 *
 *     struct replay *replay = replay_new(&options);
 *     while (... && replay_feed(replay, bytes, length, name))   // files in their order
 *         ;
 *     const struct replay_result *result = replay_result(replay);
 *     replay_free(&replay);
 *
 * It goes on over torn ends, over control planes that end and begin, and from image to image where events are
 * missing; it stops where the core decides otherwise than what is written. */
#ifndef JOURNAL_REPLAY_H
#define JOURNAL_REPLAY_H

#include "journal/journal.h"

struct replay;

/* Told of everything, in order; all may be NULL. */
struct replay_watch {
    /* A core begins: empty, or as an image has it, then `from_image`. The one before is gone. */
    void (*life)(void *context, instant at, const struct core *core, bool from_image);
    /* Before the step; and after it. */
    void (*event)(void *context, const struct core *core, const struct event *event);
    void (*effects)(void *context, const struct core *core, uint64_t ticket, const struct effects *effects,
                    instant at);
    void (*committed)(void *context, instant at, uint64_t ticket);
    void (*delivered)(void *context, instant at, const struct command *command);
    void (*effect)(void *context, instant at, const struct command *command);
    void (*crash)(void *context, instant at);
    void (*restored)(void *context, instant at, const struct core *core);
    void (*note)(void *context, const char *sentence); /* torn ends, holes, other builds */
    void *context;
};

enum { REPLAY_WATCHES_MAX = 4 };

struct replay_options {
    struct replay_watch watch[REPLAY_WATCHES_MAX];
    uint32_t watch_count;
    bool goes_on;            /* past another decision; the first one is told */
    instant until_at;        /* later events are left out; INSTANT_NEVER: none are */
    uint64_t core_bytes_max; /* of one core, 0: 8 GiB. A journal that wants more is refused */
};

enum replay_end {
    REPLAY_FINE,
    REPLAY_DIVERGED, /* another decision than what is written: `step_...` tell which */
    REPLAY_REFUSED   /* it cannot be replayed; `why` is a sentence */
};

struct replay_result {
    enum replay_end end;
    char why[512];
    uint64_t lives, images_used, holes, torn, damaged, bytes_skipped, crashes;
    uint64_t events, kinds[EVENT_COUNT];
    uint32_t opened, resolved, escalated, commands; /* as the records of effects tell them */
    instant first_at, last_at;                      /* of events; INSTANT_NONE if there were none */
    uint64_t digest;                                /* of the newest core */
    struct event step;                              /* diverged: the event; of.policy is not kept */
    uint64_t step_written, step_found;              /* digests after it */
};

struct replay *replay_new(const struct replay_options *options); /* NULL without memory */
void replay_free(struct replay **replay);

/* The bytes of one journal, which is called `name` in sentences. False when it has stopped. */
bool replay_feed(struct replay *replay, const uint8_t *bytes, uint64_t length, const char *name);

const struct replay_result *replay_result(const struct replay *replay);
const struct core *replay_core(const struct replay *replay); /* NULL while there is none */

#endif
