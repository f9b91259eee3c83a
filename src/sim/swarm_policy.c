/* What a seed draws of a policy: which findings, with which thresholds and ladders, and the guards, from off
 * to far too strict. */
#include "policy/policy_file.h"
#include "sim/swarm_dice.h"

#include <stdlib.h>
#include <string.h>

/* What may be looked for: those of policies/default.yaml, and more, so that every fault has a finding. */
static const char all_detectors[] =
    "version: 1\n"
    "detectors:\n"
    "  - {name: service-down, when: service_up < 1, for: 0s, clear: service_up >= 1, healthy_for: 2s, "
    "confirm: no}\n"
    "  - {name: cpu-high, when: cpu_utilization > 0.90 and request_latency > 20ms, for: 3s,"
    " clear: cpu_utilization < 0.70, healthy_for: 3s, severity: critical}\n"
    "  - {name: cpu-alone, when: cpu_utilization > 0.85, for: 3s, clear: cpu_utilization < 0.70, "
    "healthy_for: 3s}\n"
    "  - {name: slow-storage, when: storage_latency > 100ms and request_latency > 50ms, for: 3s,"
    " clear: storage_latency < 20ms, healthy_for: 3s}\n"
    "  - {name: slow-network, when: network_latency > 50ms and request_latency > 50ms, for: 3s,"
    " clear: network_latency < 20ms, healthy_for: 3s}\n"
    "  - {name: hung, when: error_ratio > 50% and cpu_utilization < 0.1% and service_up >= 1, for: 2s,"
    " clear: error_ratio < 5%, healthy_for: 3s, severity: critical}\n"
    "  - {name: failing, when: error_ratio > 20%, for: 5s, clear: error_ratio < 5%, healthy_for: 5s}\n"
    "  - {name: slow-replies, when: request_latency > 300ms, for: 10s, clear: request_latency < 100ms,"
    " healthy_for: 10s}\n"
    "  - {name: neighbour, when: neighbour_cpu_utilization > 90%, for: 3s, clear: neighbour_cpu_utilization "
    "< 70%,"
    " healthy_for: 3s}\n"
    "  - {name: disk, when: filesystem_utilization > 95%, for: 1s, clear: filesystem_utilization < 90%,"
    " healthy_for: 2s}\n"
    "  - {name: leaking, when: rate(memory_bytes) > 1000000, for: 5s, clear: rate(memory_bytes) < 200000,"
    " healthy_for: 5s}\n"
    "  - {name: starting, when: rate(service_starts) > 0.1 and error_ratio > 1%, for: 2s,"
    " clear: rate(service_starts) < 0.01, healthy_for: 10s}\n"
    "  - {name: exits, when: service_up < 1 and service_exit < 128, for: 0s, clear: service_up >= 1,"
    " healthy_for: 2s, confirm: no}\n"
    "  - {name: overloaded, when: offered_load > 0.85 and request_latency > 50ms, for: 3s,"
    " clear: request_latency < 50ms, healthy_for: 3s}\n"
    "  - {name: failing-storage, when: storage_error_ratio > 10% and error_ratio > 2%, for: 3s,"
    " clear: storage_error_ratio < 2%, healthy_for: 3s}\n"
    "  - {name: lossy-network, when: network_loss > 5% and error_ratio > 2%, for: 2s,"
    " clear: network_loss < 2%, healthy_for: 3s}\n"
    "  - {name: silent, absent: 5s}\n";

static void read_all_detectors(struct policy *policy)
{
    struct complaints *complaints = calloc(1, sizeof *complaints);
    CHECK(complaints);
    CHECK(policy_read(all_detectors, strlen(all_detectors), policy, complaints) == 0);
    free(complaints);
}

/* --- detectors ------------------------------------------------------------------------------------------ */

/* Shares stay below 1, flags and counts as they are; both conditions move alike, so that they go on excluding
 * each other. */
static void move_thresholds(struct dice *dice, struct detector *d)
{
    double scale = dice_log(dice, 0.6, 4), share = dice_even(dice, 0.6, 1.03);
    for (uint32_t i = 0; i < 2u * CONDITION_MAX; i++) {
        struct condition *c = i < CONDITION_MAX ? &d->when[i] : &d->clear[i - CONDITION_MAX];
        enum metric_unit unit = metric_infos[c->metric].unit;
        if (c->rate || unit == UNIT_SECONDS)
            c->number *= scale;
        else if (unit == UNIT_RATIO)
            c->number *= share;
    }
}

static void draw_times(struct dice *dice, struct detector *d)
{
    static const duration times[] = {0, SECOND, 2 * SECOND, 3 * SECOND, 5 * SECOND, 10 * SECOND, 20 * SECOND};
    if (d->absent_ns > 0)
        d->absent_ns = dice_time(dice, 2 * SECOND, MINUTE);
    else
        d->for_ns = DICE_OF(dice, times);
    d->healthy_for_ns = times[dice_whole(dice, 1, 6)];
}

/* What cures or hides the faults that show in what it looks at. */
static uint32_t apt_remedies(const struct detector *d)
{
    uint32_t apt = 0;
    for (uint32_t i = 0; i < d->when_count; i++)
        for (uint32_t k = 0; k < FAULT_COUNT; k++)
            if (fault_infos[k].metric == d->when[i].metric)
                apt |= fault_infos[k].cures | fault_infos[k].masks;
    return apt ? apt : REMEDY_BIT(RESTART_SERVICE);
}

static enum remedy draw_remedy(struct dice *dice, uint32_t among)
{
    for (;;) {
        enum remedy remedy = (enum remedy)dice_below(dice, REMEDY_COUNT);
        if (among >> remedy & 1)
            return remedy;
    }
}

static void draw_ladder(struct dice *dice, struct detector *d)
{
    static const duration settles[] = {0, 500 * MILLISECOND, SECOND, 5 * SECOND};
    static const duration withins[] = {8 * SECOND, 15 * SECOND, 20 * SECOND, MINUTE};
    const uint32_t disruptive = (1u << REMEDY_COUNT) - 1 - REMEDY_BIT(PAGE_HUMAN);
    uint32_t rungs = d->absent_ns > 0 && dice_chance(dice, 0.8) ? 0 : dice_whole(dice, 0, LADDER_MAX - 1);
    uint32_t apt = apt_remedies(d);
    bool page = rungs == 0 || dice_chance(dice, 0.75);
    d->ladder_count = (uint8_t)(rungs + page);
    if (rungs == 0 && dice_chance(dice, 0.2))
        d->ladder_count = 0;
    memset(d->ladder, 0, sizeof d->ladder);
    for (uint32_t i = 0; i < d->ladder_count; i++)
        d->ladder[i] = (struct rung){
            .settle_ns = DICE_OF(dice, settles),
            .within_ns = DICE_OF(dice, withins),
            .remedy = (uint8_t)(i >= rungs ? REMEDY_PAGE_HUMAN
                                           : draw_remedy(dice, dice_chance(dice, 0.6) ? apt : disruptive))};
}

/* Findings that another policy has too keep their name, and mostly their thresholds: a reload in the middle
 * of an incident finds it again. */
static void draw_detectors(struct dice *dice, struct policy *policy)
{
    struct policy *all = calloc(1, sizeof *all);
    CHECK(all);
    read_all_detectors(all);
    policy->detector_count = 0;
    double share = dice_chance(dice, 0.3) ? dice_even(dice, 0.1, 0.6) : 0.9;
    for (uint32_t i = 0; i < all->detector_count; i++) {
        if (!dice_chance(dice, share))
            continue;
        struct detector *d = &policy->detectors[policy->detector_count++];
        *d = all->detectors[i];
        if (dice_chance(dice, 0.4))
            move_thresholds(dice, d);
        if (dice_chance(dice, 0.5))
            draw_times(dice, d);
        if (dice_chance(dice, 0.5))
            d->confirm = dice_chance(dice, 0.5);
        draw_ladder(dice, d);
    }
    free(all);
}

/* --- guards --------------------------------------------------------------------------------------------- */

static struct rate draw_rate(struct dice *dice, double likely, uint32_t most)
{
    static const uint32_t odd[] = {1, 1, 2, 1000};
    if (!dice_chance(dice, likely))
        return (struct rate){0};
    uint32_t max = dice_chance(dice, 0.4) ? DICE_OF(dice, odd) : dice_whole(dice, 1, 16);
    return (struct rate){.per_ns = dice_time(dice, SECOND, 5 * MINUTE), .max = max < most ? max : most};
}

static void draw_rates(struct dice *dice, struct guards *guards)
{
    guards->rate_fleet = draw_rate(dice, 0.6, RATE_MAX);
    guards->rate_rule = draw_rate(dice, 0.4, RATE_MAX);
    guards->rate_kind = draw_rate(dice, 0.4, RATE_MAX);
    if (dice_chance(dice, 0.5))
        guards->rate_target = draw_rate(dice, 0.7, ATTEMPTS_MAX);
    if (dice_chance(dice, 0.2))
        guards->rate_target.per_ns = guards->rate_target.max > 0 ? 24 * HOUR : 0;
}

static void draw_waits(struct dice *dice, struct guards *guards)
{
    guards->cooldown_ns = dice_chance(dice, 0.4) ? 0 : dice_time(dice, 100 * MILLISECOND, MINUTE);
    guards->backoff_base_ns = dice_chance(dice, 0.4) ? 0 : dice_time(dice, 100 * MILLISECOND, MINUTE);
    guards->backoff_cap_ns = dice_time(dice, guards->backoff_base_ns + MILLISECOND, 3 * MINUTE);
    guards->backoff_reset_ns = dice_time(dice, SECOND, 10 * MINUTE);
    guards->attempts_max = dice_chance(dice, 0.2) ? 1 : dice_whole(dice, 1, ATTEMPTS_MAX);
    guards->attempts_within_ns = dice_time(dice, 5 * SECOND, HOUR);
    guards->recurrence_ns = dice_chance(dice, 0.1) ? 0 : dice_time(dice, SECOND, 10 * MINUTE);
    guards->hold_ns = dice_chance(dice, 0.2) ? 0 : dice_time(dice, 100 * MILLISECOND, 20 * SECOND);
    guards->approval_ns = dice_time(dice, SECOND, 15 * MINUTE);
}

static void draw_fleet_guards(struct dice *dice, struct guards *guards)
{
    static const double budgets[] = {0.0, 0.01, 0.2, 0.2, 0.5, 1.0};
    static const double breakers[] = {0.0, 0.1, 0.3, 0.55, 0.55, 0.9, 1.0};
    guards->max_disrupted_ratio = DICE_OF(dice, budgets);
    guards->breaker_unhealthy_ratio = DICE_OF(dice, breakers);
    guards->breaker_at_least = dice_chance(dice, 0.5) ? 3 : (uint32_t)dice_log(dice, 1, 20);
    guards->flapping_changes = dice_chance(dice, 0.2) ? 0 : dice_whole(dice, 2, CHANGES_MAX);
    guards->flapping_within_ns = dice_time(dice, 5 * SECOND, 10 * MINUTE);
}

/* The virtual clock begins at midnight. One that comes back has whole minutes. */
static void draw_window(struct dice *dice, const struct swarm *swarm, struct window *window)
{
    const struct scenario *scenario = &swarm->scenario;
    const char *role = scenario->groups[dice_below(dice, scenario->group_count)].role;
    *window = (struct window){.from_at = INSTANT_NONE, .until_at = INSTANT_NONE};
    struct text text = text_over(window->nodes, sizeof window->nodes);
    text_addf(&text, dice_chance(dice, 0.3) ? "*" : dice_chance(dice, 0.5) ? "%s-*" : "%s-1", role);
    if (dice_chance(dice, 0.5)) {
        window->from_at =
            (instant)(dice_unit(dice) * (double)scenario->length_ns) / MILLISECOND * MILLISECOND;
        window->until_at = window->from_at + dice_time(dice, SECOND, 5 * MINUTE);
    } else {
        window->after_midnight_ns = dice_below(dice, 6) * MINUTE;
        window->lasts_ns = dice_time(dice, SECOND, 5 * MINUTE);
        window->days = dice_chance(dice, 0.8) ? 0x7f : 1 << 3; /* 1970-01-01 was a Thursday */
    }
}

/* All as in the first policy, but for the ladders: what is planned when it takes effect may stand on them no
 * more. */
static void draw_other_ladders(const struct swarm *swarm, struct dice *dice, struct policy *policy)
{
    *policy = swarm->policy;
    for (uint32_t i = 0; i < policy->detector_count; i++)
        draw_ladder(dice, &policy->detectors[i]);
}

void swarm_draw_policy(const struct swarm *swarm, uint64_t which, struct policy *policy)
{
    struct dice dice = dice_of(swarm->seed, DICE_POLICY, which);
    if (which > 0 && dice_chance(&dice, 0.5)) {
        draw_other_ladders(swarm, &dice, policy);
        return;
    }
    policy_init(policy);
    draw_detectors(&dice, policy);
    if (dice_chance(&dice, 0.8))
        draw_waits(&dice, &policy->guards);
    if (dice_chance(&dice, 0.8))
        draw_rates(&dice, &policy->guards);
    if (dice_chance(&dice, 0.8))
        draw_fleet_guards(&dice, &policy->guards);
    policy->guards.window_count = dice_chance(&dice, 0.8) ? 0 : dice_whole(&dice, 1, 3);
    for (uint32_t i = 0; i < policy->guards.window_count; i++)
        draw_window(&dice, swarm, &policy->guards.windows[i]);
    double mode = dice_unit(&dice);
    policy->mode = mode < 0.78 ? MODE_AUTO : mode < 0.95 ? MODE_APPROVE : MODE_DRY_RUN;
    policy->planner_wait_ns = dice_chance(&dice, 0.75) ? 0 : dice_time(&dice, 100 * MILLISECOND, 20 * SECOND);
}
