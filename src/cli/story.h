/* A story: what happens in a lab, told line by line as it happens.
 *
 *       7.2 s  DETECT    cpu above 90 % and latency above 20 ms for 3 s     incident 1 */
#ifndef CLI_STORY_H
#define CLI_STORY_H

#include "base/units.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

struct story {
    FILE *out;
    const char *node;  /* the hero: lines about others begin with their name */
    bool verbose;      /* commands with their ids, and what was held back, too */
    bool has_progress; /* a line that will be overwritten stands on the terminal */
    instant origin_at; /* seconds count from here; INSTANT_NONE: not yet */
};

/* One line; `at` INSTANT_NONE: without a time, as a continuation of the line before. */
void story_line(struct story *story, instant at, const char *step, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* What we are waiting for; the next line overwrites it. Only on a terminal. */
void story_progress(struct story *story, const char *format, ...) __attribute__((format(printf, 2, 3)));
void story_clear_progress(struct story *story);

/* An event of the control plane, if it belongs into the story. */
void story_event(struct story *story, const char *kind, const json_t *data);

/* "2-4 %" or "1 ms", from the least and most value of a metric. `out` holds 80 bytes. */
const char *range_text(const char *metric, double least, double most, char out[80]);

#endif
