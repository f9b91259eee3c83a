/* History: samples of a minute and of an hour, least, mean, most, last and count, so that raw ones need not
 * be kept for ever. The writer's thread does it in small steps between commits:
 *
 *     samples --a minute--> rollups of 60 s --an hour--> rollups of 3600 s
 *        kept 6 h               kept 14 days                kept 400 days
 *
 * A report that comes late sends it back to its minute. What is in rollups already is made anew. */
#ifndef STORE_HISTORY_H
#define STORE_HISTORY_H

#include "store/database.h"

#define HISTORY_RAW_NS    (6 * HOUR)
#define HISTORY_MINUTE_NS (14 * 24 * HOUR)
#define HISTORY_HOUR_NS   (400 * 24 * HOUR)

struct history {
    instant newest;       /* sample that was written */
    instant minute, hour; /* everything before is in rollups; INSTANT_NONE: not known yet */
    instant raw;          /* samples before are gone; INSTANT_NONE: all are there */
    instant pruned_at;    /* `newest` when rollups that are too old were looked for */
    bool read;            /* the three are what the database has */
};

void history_init(struct history *history);

/* A committed batch had samples from `oldest` to `newest`. */
void history_note(struct history *history, instant oldest, instant newest);

/* One step, a transaction of its own, if there is anything to do. False with a sentence: it failed, and is
 * tried again with the next. *more: another step could be done at once. */
bool history_step(struct history *history, const struct database *database, void *writing, bool *more,
                  char *error, size_t error_size);

#endif
