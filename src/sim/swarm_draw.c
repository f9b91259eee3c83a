/* What a seed draws, all together. */
#include "sim/swarm_dice.h"

#include <string.h>

static void draw_planner(struct swarm *swarm)
{
    struct dice dice = dice_of(swarm->seed, DICE_PLANNER, 0);
    if (dice_chance(&dice, 0.3))
        return;
    swarm->planner = (struct swarm_planner){.answers_ratio = dice_even(&dice, 0.2, 1),
                                            .wild_ratio = dice_even(&dice, 0, 1),
                                            .takes_ns = dice_time(&dice, MILLISECOND, 30 * SECOND)};
}

static void draw_people(struct swarm *swarm)
{
    struct dice dice = dice_of(swarm->seed, DICE_PEOPLE, 0);
    if (dice_chance(&dice, 0.4))
        return;
    swarm->people = (struct swarm_people){.approve_ratio = dice_even(&dice, 0, 0.7),
                                          .acknowledge_ratio = dice_even(&dice, 0, 0.2),
                                          .decline_ratio = dice_even(&dice, 0, 0.1),
                                          .takes_ns = dice_time(&dice, 100 * MILLISECOND, 2 * MINUTE)};
}

/* An action's time, where so many want to act and a rate lets only a few. */
static duration wait_for_rate(const struct rate *rate, uint32_t nodes)
{
    return rate->max > 0 ? rate->per_ns / rate->max * nodes + rate->per_ns : 0;
}

/* What an action may have to wait for under this policy, if all nodes want one. */
static duration longest_wait(const struct policy *policy, uint32_t nodes)
{
    const struct guards *g = &policy->guards;
    duration once =
        policy->planner_wait_ns + g->hold_ns + g->cooldown_ns + MINUTE; /* a command, and its verdict */
    const duration waits[] = {g->backoff_base_ns > 0 ? g->backoff_cap_ns : 0,
                              wait_for_rate(&g->rate_fleet, nodes), wait_for_rate(&g->rate_rule, nodes),
                              wait_for_rate(&g->rate_kind, nodes)};
    duration longest = 0;
    for (size_t i = 0; i < sizeof waits / sizeof waits[0]; i++)
        longest = waits[i] > longest ? waits[i] : longest;
    uint32_t at_once = (uint32_t)(g->max_disrupted_ratio * nodes);
    return longest + once * (nodes / (at_once > 0 ? at_once : 1));
}

/* Long enough for every rung of every node's ladder to be waited for, since nothing is promised of a fleet
 * that is let alone sooner; but not beyond a day. A run ends when it rests, so that this costs nothing where
 * it is not needed. */
static void draw_healing(struct swarm *swarm)
{
    const struct scenario *scenario = &swarm->scenario;
    duration longest = longest_wait(&swarm->policy, scenario->node_count);
    for (uint32_t i = 0; i < scenario->accident_count; i++) {
        bool other = scenario->accidents[i].kind == ACCIDENT_POLICY;
        duration wait = other ? longest_wait(&swarm->later[i], scenario->node_count) : 0;
        longest = wait > longest ? wait : longest;
    }
    duration heal_ns = 3 * MINUTE + LADDER_MAX * longest;
    swarm->scenario.heal_ns = heal_ns < 24 * HOUR ? heal_ns : 24 * HOUR;
}

void swarm_draw(uint64_t seed, struct swarm *swarm)
{
    memset(swarm, 0, sizeof *swarm);
    swarm->seed = seed;
    scenario_init(&swarm->scenario);
    swarm->scenario.seed = swarm->scenario.world.seed = seed;
    swarm_draw_fleet(swarm);
    swarm_draw_load(swarm);
    swarm_draw_network(swarm);
    swarm_draw_policy(swarm, 0, &swarm->policy);
    swarm_draw_faults(swarm);
    swarm_draw_accidents(swarm);
    draw_planner(swarm);
    draw_people(swarm);
    draw_healing(swarm);
}
