/* The policy as the core holds it: flat, fixed capacities, no pointers. src/policy makes it from a file.
 *
 * What to detect (detectors), which remedies to try in turn (each detector's ladder), and the guards. */
#ifndef CORE_POLICY_H
#define CORE_POLICY_H

#include "base/units.h"
#include "core/vocabulary.h"

enum {
    DETECTOR_MAX = 32,      /* detectors in one policy */
    CONDITION_MAX = 4,      /* comparisons in one condition */
    LADDER_MAX = 6,         /* rungs on one ladder */
    DETECTOR_NAME_SIZE = 32 /* bytes of a detector's name, the NUL included */
};

enum comparison { COMPARE_GT, COMPARE_GE, COMPARE_LT, COMPARE_LE };

/* `metric op number`, or `rate(metric) op number` with the growth per second since the sample before. */
struct condition {
    double number; /* finite, in the metric's base unit */
    uint8_t metric;
    uint8_t comparison;
    uint8_t rate; /* 0 or 1 */
    uint8_t reserved[5];
};

struct rung {
    duration settle_ns; /* after the command's end, before samples count */
    duration within_ns; /* from the command's end: the verdict is due by then */
    uint8_t remedy;
    uint8_t reserved[7];
};

struct detector {
    char name[DETECTOR_NAME_SIZE]; /* empty: this slot is free */
    struct condition when[CONDITION_MAX];
    struct condition clear[CONDITION_MAX];
    duration for_ns;         /* `when` must hold that long. 0: at once */
    duration healthy_for_ns; /* `clear` must hold that long */
    duration absent_ns;      /* > 0: fires when the node is silent that long; then `when` is empty */
    struct rung ladder[LADDER_MAX];
    uint8_t when_count;
    uint8_t clear_count;
    uint8_t ladder_count; /* 0: the finding is recorded and people are told */
    uint8_t severity;
    uint8_t confirm; /* 1: a disruptive remedy needs a second witness (the default); 0: `confirm: no` */
    uint8_t reserved[3];
};

struct guards {
    double max_disrupted_ratio; /* of the fleet: in flight + verifying + unknown, this one included; at least
                                   1 */
    double breaker_unhealthy_ratio; /* trips when more than this share is ill by itself or silent ... */
    uint32_t breaker_at_least;      /* ... and at least so many nodes are */
    uint32_t attempts_max;          /* disruptive commands on one target ... */
    duration attempts_within_ns;    /* ... within this time; then people are told */
    duration cooldown_ns;           /* between the end of one action on a target and the next */
    duration recurrence_ns; /* the same finding back this soon after "resolved": it did not help after all */
    duration hold_ns;       /* how long a finding that a callee could explain waits for news from below */
};

struct policy {
    struct detector detectors[DETECTOR_MAX];
    struct guards guards;
    duration planner_wait_ns; /* 0: the built-in plan at once; else a planner is asked and has this long */
    uint32_t detector_count;  /* detectors stand at 0 .. count-1 in the file's order */
    uint8_t mode;
    uint8_t reserved[3];
};

/* The defaults of every guard, as DESIGN and docs/policy.md give them; no detectors, mode auto. */
void policy_init(struct policy *policy);

/* Shared by the reader (to lint) and the core (to guard). */
uint32_t
detector_witness_mask(const struct detector *detector);       /* a bit for each witness that `when` calls */
uint32_t detector_witnesses(const struct detector *detector); /* distinct witnesses among `when` */
bool detector_has_local_cause(
    const struct detector *detector); /* some comparison is illness of this node itself */

#endif
