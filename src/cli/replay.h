/* What the files of `replay` share. */
#ifndef CLI_REPLAY_H
#define CLI_REPLAY_H

#include "journal/differ.h"
#include "journal/replay.h"
#include "sim/check.h"

#include <jansson.h>
#include <stdbool.h>

/* "12.3 s" in virtual time, which begins at 0, else RFC 3339. `out` holds 32 bytes. */
const char *replay_time(instant at, char out[32]);

/* --- replay_trace.c: the lines of the timeline, as `sim --trace` tells them ----------------------------- */

struct replay_trace {
    instant from_at;
    instant crash_at; /* the newest */
    bool begins;      /* a life: told at its first event, for nobody wrote down when its process began */
    json_t *list;     /* NULL: lines are printed, else they are added to it */
};

struct replay_watch replay_trace_watch(struct replay_trace *trace);

/* --- replay_check.c: the checkers over a journal -------------------------------------------------------- */

struct replay_check {
    struct checker *checker; /* NULL: this life did not begin with an empty core, or none did */
    uint32_t checked;        /* lives that could be checked from their start */
    uint32_t unchecked;      /* ... and those that could not */
    bool crashed;            /* and told: the books go on in the next life */
    bool restoring;
    uint64_t violations;
    bool safety;
    json_t *list; /* of the violations, or NULL: they are printed on stderr */
};

struct replay_watch replay_check_watch(struct replay_check *check);
/* The journal is over. `rest`: everything ought to be at rest, so liveness is asked too. */
void replay_check_end(struct replay_check *check, instant at, const struct core *core, bool rest);

/* --- replay_differ.c ------------------------------------------------------------------------------------ */

void replay_print_difference(const struct difference *difference, const char *policy_path);
json_t *replay_difference_json(const struct difference *difference);

#endif
