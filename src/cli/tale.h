/* The story of a run: its incidents in order of their opening, and what each went through, step by step. The
 * same from the simulator's effects and from a live lab's database, so that the two can be laid side by side.
 */
#ifndef CLI_TALE_H
#define CLI_TALE_H

#include "core/core.h"
#include "scenario/expect.h"

#include <jansson.h>
#include <stdbool.h>

struct tale;

enum {
    TALE_INCIDENTS_MAX = 4096,
    TALE_STEPS_MAX = 256
}; /* in all, and of one incident; later ones are left out */

struct tale *tale_new(void);
void tale_free(struct tale **tale);

/* What an incident came to at `at`: a step is told for each change of its verdict, its state, and for each
 * order. Calls for one incident come in order of time. Instants count from the start of the script. */
struct told_step {
    uint64_t incident;
    instant at;
    const char *node;    /* its name; copied */
    const char *finding; /* copied */
    uint32_t number;     /* of the node */
    uint8_t state;       /* enum incident_state */
    uint8_t remedy;      /* of the plan in force, or REMEDY_NONE */
    uint8_t verdict;     /* on the newest command */
};
void tale_step(struct tale *tale, const struct told_step *step);

/* Its action was held up; told once for each reason. */
void tale_blocked(struct tale *tale, const struct told_step *step, enum block_reason reason);

/* [{node, finding, state, remedy, verdict, opened_s, detect_s, recover_s, steps: [{at_s, ...}]}] in order of
 * opening. A step has `state` (with `remedy` and `attempt` when something is ordered), `verdict`, or
 * `blocked`. detect_s and recover_s count from the injection that can have made it ill, null if there is
 * none; recovered is when it was resolved for the last time. */
json_t *tale_json(const struct tale *tale, const struct expect_facts *facts);

#endif
