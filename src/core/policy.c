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

uint32_t detector_witnesses(const struct detector *detector)
{
    uint32_t seen = 0;
    for (uint32_t i = 0; i < detector->when_count; i++) {
        seen |= 1u << metric_infos[detector->when[i].metric].witness;
    }
    return (uint32_t)__builtin_popcount(seen);
}

bool detector_has_local_cause(const struct detector *detector)
{
    if (detector->absent_ns > 0) {
        return true; /* what a node calls cannot silence its node agent */
    }
    for (uint32_t i = 0; i < detector->when_count; i++) {
        const struct condition *c = &detector->when[i];
        const struct metric_info *info = &metric_infos[c->metric];
        bool above = c->comparison == COMPARE_GT || c->comparison == COMPARE_GE;
        if (info->local && above == info->worse_up) {
            return true;
        }
    }
    return false;
}
