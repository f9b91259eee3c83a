/* The policy as the core holds it: flat, fixed capacities, no pointers. src/policy makes it from a file.
 *
 * What to detect (detectors), which remedies to try in turn (each detector's ladder), and the guards. */
#ifndef CORE_POLICY_H
#define CORE_POLICY_H

#include "base/units.h"
#include "core/vocabulary.h"

enum {
    DETECTOR_MAX = 32, /* detectors in one policy */
    CONDITION_MAX = 4, /* comparisons in one condition */
    LADDER_MAX = 6,    /* rungs on one ladder */
    WINDOW_MAX = 16,   /* windows of maintenance in one policy */
    RATE_MAX = 1000,   /* actions that a rate limit may allow within its span; a target's: ATTEMPTS_MAX */
    ATTEMPTS_MAX = 16, /* attempts, and actions on one target within a span: what is kept per target */
    CHANGES_MAX = 16,  /* changes of a target's health that flapping may count */
    NODE_PATTERN_SIZE = 64, /* bytes of a pattern of node names, the NUL included */
    DETECTOR_NAME_SIZE = 32 /* bytes of a detector's name, the NUL included */
};

/* No guard looks back further; the policy reader sees to it. */
#define SPAN_MAX_NS (24 * HOUR)

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

/* At most `max` actions within any span of `per_ns`. */
struct rate {
    duration per_ns;
    uint32_t max; /* 0: no limit */
    uint32_t reserved;
};

/* Maintenance: people are at work on these nodes, and nothing is done to them meanwhile. Either one span on
 * the control plane's clock, or one that comes back on the chosen days of the week, in UTC. */
struct window {
    char nodes[NODE_PATTERN_SIZE]; /* a node's name, or the beginning of names and a star: `web-*`, `*` */
    instant from_at, until_at;     /* one span; both INSTANT_NONE if it comes back */
    duration after_midnight_ns;    /* else: begins so long after midnight UTC ... */
    duration lasts_ns;             /* ... and lasts so long, at most a day */
    uint8_t days;                  /* bit 0 Monday ... bit 6 Sunday: the days on which it begins */
    uint8_t reserved[7];
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
    /* After the n-th action on a target the next one waits base * 2^(n-1), at most cap, less up to a fifth by
     * a jitter that depends on the seed. A target that was well for `reset` begins anew. base 0: none. */
    duration backoff_base_ns, backoff_cap_ns, backoff_reset_ns;
    struct rate rate_target, rate_rule, rate_kind, rate_fleet;
    duration flapping_within_ns; /* a target whose health changes ... */
    uint32_t flapping_changes;   /* ... that often within it is left alone, until half of that. 0: never */
    uint32_t window_count;
    struct window windows[WINDOW_MAX];
    duration approval_ns; /* a plan is shown for approval that long, and an approval is good for as long */
    duration hold_ns;     /* how long a finding that a callee could explain waits for news from below */
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

/* Keys under which a rule's actions are counted, so that a reload, a restart or another name for the same
 * thing does not begin the count anew: of its name, and of what it means. */
uint64_t detector_name_key(const char *name);
uint64_t detector_meaning_key(const struct detector *detector);

/* Both detect and clear the same thing: then what is known of one holds for the other, whatever their names.
 */
bool detector_same_meaning(const struct detector *a, const struct detector *b);

/* True while `at` lies in a window; `*until_at`, if not NULL, gets its end. */
bool window_is_on(const struct window *window, instant at, instant *until_at);
bool window_covers(const struct window *window, const char *node_name);

#endif
