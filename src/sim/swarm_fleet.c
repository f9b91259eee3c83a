/* What a seed draws of the fleet, its load, and the network. */
#include "base/text.h"
#include "sim/swarm_dice.h"

#include <string.h>

enum { TIERS_MAX = 4, ROLES_A_TIER = 2, LONG_RUN_NODES = 6 };

static const char *const roles[TIERS_MAX][ROLES_A_TIER] = {
    {"web", "shop"}, {"api", "auth"}, {"db", "cache"}, {"disk", "queue"}};

/* --- the fleet ------------------------------------------------------------------------------------------ */

/* Mostly small, since a mistake that shows among three hundred nodes mostly shows among thirty. */
static uint32_t draw_size(struct dice *dice)
{
    double kind = dice_unit(dice);
    return kind < 0.55    ? dice_whole(dice, 1, 8)
           : kind < 0.90  ? dice_whole(dice, 9, 30)
           : kind < 0.995 ? dice_whole(dice, 31, 60)
                          : 300;
}

static duration draw_interval(struct dice *dice, uint32_t nodes)
{
    static const duration intervals[] = {
        SECOND, SECOND, SECOND, 2 * SECOND, 5 * SECOND, 500 * MILLISECOND, 200 * MILLISECOND};
    return nodes > 30 ? intervals[dice_below(dice, 5)] : DICE_OF(dice, intervals);
}

static void draw_zones(struct dice *dice, struct scenario_group *group)
{
    static const char *const zones[SCENARIO_ZONES_MAX] = {"a", "b", "c", "d"};
    group->zones_count = dice_below(dice, SCENARIO_ZONES_MAX + 1);
    for (uint32_t i = 0; i < group->zones_count; i++)
        text_copy(group->zones[i], sizeof group->zones[i], zones[i]);
}

static void draw_node(struct dice *dice, struct world_node *node, uint32_t nodes, bool is_called)
{
    *node =
        (struct world_node){.interval_ns = draw_interval(dice, nodes),
                            .users_per_s = is_called && dice_chance(dice, 0.8) ? 0 : dice_log(dice, 0.5, 500),
                            .service_time_s = dice_log(dice, 0.0001, 0.02),
                            .memory_bytes = dice_log(dice, 1 << 24, 1 << 30),
                            .storage_latency_s = dice_log(dice, 0.0001, 0.002),
                            .network_latency_s = dice_log(dice, 0.00005, 0.002)};
}

static void add_group(struct swarm *swarm, struct dice *dice, uint32_t tier, uint32_t role, uint32_t count,
                      uint32_t nodes)
{
    struct scenario *scenario = &swarm->scenario;
    struct scenario_group *group = &scenario->groups[scenario->group_count++];
    text_copy(group->role, sizeof group->role, roles[tier][role]);
    group->count = count;
    scenario->node_count += count;
    draw_zones(dice, group);
    draw_node(dice, &group->node, nodes, tier > 0);
}

static void draw_call(struct scenario_group *group, const struct scenario_group *callee)
{
    text_copy(group->calls[group->calls_count++], sizeof group->calls[0], callee->role);
}

/* Each calls one or both roles of the tier below; now and then the lowest calls the highest, in a circle. */
static void draw_calls(struct scenario *scenario, struct dice *dice, const uint32_t *tier_of, uint32_t tiers)
{
    bool circle = tiers > 1 && dice_chance(dice, 0.03);
    for (uint32_t i = 0; i < scenario->group_count; i++) {
        struct scenario_group *group = &scenario->groups[i];
        for (uint32_t k = 0; k < scenario->group_count; k++)
            if (tier_of[k] == tier_of[i] + 1 && (group->calls_count == 0 || dice_chance(dice, 0.5)))
                draw_call(group, &scenario->groups[k]);
        if (circle && tier_of[i] == tiers - 1)
            draw_call(group, &scenario->groups[0]);
    }
}

/* So that in quiet weather a third of the capacity is left at least, without counting bursts: a fleet that is
 * ill by itself comes to rest never, and its incidents say nothing. */
static void draw_capacities(struct scenario *scenario, struct dice *dice)
{
    double loads[SCENARIO_GROUPS_MAX];
    for (uint32_t i = 0; i < scenario->group_count; i++)
        loads[i] = scenario->groups[i].node.users_per_s;
    for (uint32_t i = 0; i < scenario->group_count; i++) { /* callers stand before their callees */
        struct scenario_group *group = &scenario->groups[i];
        for (uint32_t c = 0; c < group->calls_count; c++)
            for (uint32_t k = i + 1; k < scenario->group_count; k++)
                if (strcmp(group->calls[c], scenario->groups[k].role) == 0)
                    loads[k] += loads[i] * group->count / scenario->groups[k].count;
    }
    for (uint32_t i = 0; i < scenario->group_count; i++) {
        double capacity = dice_log(dice, 2.5, 20) * loads[i];
        scenario->groups[i].node.capacity_per_s = capacity < 10 ? 10 : capacity;
    }
}

void swarm_draw_fleet(struct swarm *swarm)
{
    struct dice dice = dice_of(swarm->seed, DICE_FLEET, 0);
    uint32_t tier_of[SCENARIO_GROUPS_MAX] = {0};
    uint32_t nodes = draw_size(&dice), left = nodes;
    uint32_t tiers = dice_whole(&dice, 1, TIERS_MAX), tier = 0;
    for (; tier < tiers && left > 0; tier++) {
        uint32_t many = dice_whole(&dice, 1, ROLES_A_TIER);
        for (uint32_t role = 0; role < many && left > 0; role++) {
            bool last = tier == tiers - 1 && role == many - 1;
            uint32_t count = last ? left : dice_whole(&dice, 1, left);
            tier_of[swarm->scenario.group_count] = tier;
            add_group(swarm, &dice, tier, role, count, nodes);
            left -= count;
        }
    }
    draw_calls(&swarm->scenario, &dice, tier_of, tier);
    draw_capacities(&swarm->scenario, &dice);
}

/* --- load and length ------------------------------------------------------------------------------------ */

static duration draw_length(struct dice *dice, uint32_t nodes)
{
    double kind = dice_unit(dice);
    if (kind < 0.1 && nodes <= LONG_RUN_NODES)
        return dice_time(dice, 20 * MINUTE, HOUR);
    return kind < 0.3 ? dice_time(dice, 4 * MINUTE, 10 * MINUTE) : dice_time(dice, MINUTE, 4 * MINUTE);
}

void swarm_draw_load(struct swarm *swarm)
{
    struct dice dice = dice_of(swarm->seed, DICE_LOAD, 0);
    struct world_config *world = &swarm->scenario.world;
    swarm->scenario.length_ns = draw_length(&dice, swarm->scenario.node_count);
    world->wave_ratio = dice_even(&dice, 0, 0.5);
    world->wave_ns = dice_time(&dice, 20 * SECOND, HOUR);
    world->burst_per_hour = dice_chance(&dice, 0.5) ? 0 : dice_log(&dice, 0.5, 60);
    world->noise_ratio = dice_chance(&dice, 0.2) ? 0 : dice_even(&dice, 0, 2);
    world->retries = dice_below(&dice, 5);
    world->timeout_ns = dice_time(&dice, 50 * MILLISECOND, 5 * SECOND);
    world->warm_ns = dice_chance(&dice, 0.2) ? 0 : dice_time(&dice, SECOND, 2 * MINUTE);
}

/* --- the network ---------------------------------------------------------------------------------------- */

void swarm_draw_network(struct swarm *swarm)
{
    struct dice dice = dice_of(swarm->seed, DICE_NETWORK, 0);
    struct scenario_network *network = &swarm->scenario.network;
    double kind = dice_unit(&dice);
    if (kind < 0.25) { /* one machine: faster than a commit */
        network->least_ns = dice_chance(&dice, 0.5) ? 0 : MILLISECOND;
        network->tail_ns = dice_chance(&dice, 0.5) ? 0 : MILLISECOND;
    } else {
        network->least_ns = dice_time(&dice, MILLISECOND, 100 * MILLISECOND);
        network->tail_ns = kind < 0.35   ? 0
                           : kind < 0.82 ? dice_time(&dice, MILLISECOND, 100 * MILLISECOND)
                                         : dice_time(&dice, 100 * MILLISECOND, 5 * SECOND);
    }
    network->loss_ratio = dice_chance(&dice, 0.5) ? 0 : dice_log(&dice, 0.001, 0.6);
    network->double_ratio = dice_chance(&dice, 0.6) ? 0 : dice_log(&dice, 0.001, 0.5);
    network->skew_s = dice_chance(&dice, 0.5) ? 0 : dice_log(&dice, 0.001, 86400);
    network->drift_ratio = dice_chance(&dice, 0.5) ? 0 : dice_log(&dice, 1e-6, 0.1);
}
