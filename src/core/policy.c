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
        /* kubelet's crash loop back-off is 10 s to 5 min, reset after 10 min of health; our actions cost more
           than a container's start. */
        .backoff_base_ns = 10 * SECOND,
        .backoff_cap_ns = 10 * MINUTE,
        .backoff_reset_ns = 10 * MINUTE,
        /* A target that needs more than six actions a day has a cause that they do not reach. */
        .rate_target = {.per_ns = 24 * HOUR, .max = 6},
        .rate_fleet = {.per_ns = MINUTE, .max = 10},
        /* Nagios calls a service flapping when 20 % of its last 21 checks changed its state. */
        .flapping_within_ns = 5 * MINUTE,
        .flapping_changes = 6,
        .approval_ns = 15 * MINUTE,
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

/* --- keys ----------------------------------------------------------------------------------------------- */

/* FNV-1a, 64 bit (Fowler, Noll, Vo). */
static uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t length)
{
    const unsigned char *from = bytes;
    for (size_t i = 0; i < length; i++) {
        hash = (hash ^ from[i]) * 0x100000001b3u;
    }
    return hash;
}

static const uint64_t hash_seed = 0xcbf29ce484222325u;

uint64_t detector_name_key(const char *name)
{
    return hash_bytes(hash_seed, name, strlen(name));
}

uint64_t detector_meaning_key(const struct detector *d)
{
    uint64_t hash = hash_bytes(hash_seed, d->when, d->when_count * sizeof d->when[0]);
    hash = hash_bytes(hash, d->clear, d->clear_count * sizeof d->clear[0]);
    hash = hash_bytes(hash, &d->for_ns, sizeof d->for_ns);
    hash = hash_bytes(hash, &d->healthy_for_ns, sizeof d->healthy_for_ns);
    return hash_bytes(hash, &d->absent_ns, sizeof d->absent_ns);
}

bool detector_same_meaning(const struct detector *a, const struct detector *b)
{
    return memcmp(a->when, b->when, sizeof a->when) == 0 &&
           memcmp(a->clear, b->clear, sizeof a->clear) == 0 && a->when_count == b->when_count &&
           a->clear_count == b->clear_count && a->for_ns == b->for_ns &&
           a->healthy_for_ns == b->healthy_for_ns && a->absent_ns == b->absent_ns;
}

/* --- maintenance ---------------------------------------------------------------------------------------- */

#define DAY (24 * HOUR)

static bool is_on_span(instant from_at, instant until_at, instant at, instant *end_at)
{
    if (at < from_at || at >= until_at) {
        return false;
    }
    if (end_at != NULL) {
        *end_at = until_at;
    }
    return true;
}

/* A window that comes back may have begun today or, over midnight, yesterday. */
bool window_is_on(const struct window *window, instant at, instant *until_at)
{
    if (window->from_at != INSTANT_NONE) {
        return is_on_span(window->from_at, window->until_at, at, until_at);
    }
    int64_t today = at / DAY - (at % DAY < 0);
    for (int64_t day = today; day >= today - 1; day--) {
        uint32_t weekday = (uint32_t)(((day + 3) % 7 + 7) % 7); /* 1970-01-01 was a Thursday; 0 is Monday */
        instant from_at = day * DAY + window->after_midnight_ns;
        if (window->days & (1u << weekday) && is_on_span(from_at, from_at + window->lasts_ns, at, until_at)) {
            return true;
        }
    }
    return false;
}

bool window_covers(const struct window *window, const char *node_name)
{
    size_t length = strlen(window->nodes);
    if (length > 0 && window->nodes[length - 1] == '*') {
        return strncmp(window->nodes, node_name, length - 1) == 0;
    }
    return strcmp(window->nodes, node_name) == 0;
}
