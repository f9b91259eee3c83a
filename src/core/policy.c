#include "core/policy.h"

#include <string.h>

void policy_init(struct policy *policy)
{
    memset(policy, 0, sizeof *policy);
    policy->mode = MODE_AUTO;
    policy->guards = (struct guards){
        /* One in five at once: the value of medik8s' and CAPI's worked examples, and never their default of
           100 %. */
        .max_disrupted_ratio = 0.20,
        /* Kubernetes' node life cycle stops evicting when more than 55 % of a zone are unhealthy. */
        .breaker_unhealthy_ratio = 0.55,
        .breaker_at_least = 3,
        .attempts_max = 3,
        .attempts_within_ns = 10 * MINUTE,
        .cooldown_ns = 30 * SECOND,
        .recurrence_ns = 10 * MINUTE,
        .hold_ns = 2 * SECOND,
    };
}

static bool is_bad_direction(const struct condition *c)
{
    bool above = c->comparison == COMPARE_GT || c->comparison == COMPARE_GE;
    return above == metric_infos[c->metric].worse_up;
}

/* "The service is up" is true of nearly every node, so it bears witness to nothing; "the processor does
 * nothing" may. */
static bool testifies(const struct condition *c)
{
    enum metric_unit unit = metric_infos[c->metric].unit;
    return is_bad_direction(c) || (unit != UNIT_FLAG && unit != UNIT_COUNT);
}

uint32_t detector_witness_mask(const struct detector *detector)
{
    uint32_t seen = 0;
    for (uint32_t i = 0; i < detector->when_count; i++) {
        if (testifies(&detector->when[i])) {
            seen |= 1u << metric_infos[detector->when[i].metric].witness;
        }
    }
    return seen;
}

uint32_t detector_witnesses(const struct detector *detector)
{
    return (uint32_t)__builtin_popcount(detector_witness_mask(detector));
}

bool detector_has_local_cause(const struct detector *detector)
{
    if (detector->absent_ns > 0) {
        return true; /* what a node calls cannot silence its node agent */
    }
    for (uint32_t i = 0; i < detector->when_count; i++) {
        if (metric_infos[detector->when[i].metric].local && is_bad_direction(&detector->when[i])) {
            return true;
        }
    }
    return false;
}
