/* Scenario files: a scenario that is accepted is one that can be laid out and run. */
#include "target.h"

#include "scenario/scenario.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct scenario scenario;

static bool is_amount(double value, double least, double most)
{
    return isfinite(value) && value >= least && value <= most;
}

static void group_is_sound(const struct scenario_group *group)
{
    const struct world_node *node = &group->node;
    PROMISE(memchr(group->role, '\0', sizeof group->role) &&
            text_is_name(group->role, SCENARIO_WORD_SIZE - 1));
    PROMISE(group->count >= 1 && group->zones_count <= SCENARIO_ZONES_MAX && group->calls_count <= CALLS_MAX);
    PROMISE(is_amount(node->users_per_s, 0, 1e6) && is_amount(node->capacity_per_s, 1, 1e6));
    PROMISE(is_amount(node->service_time_s, 1e-5, 10) && is_amount(node->memory_bytes, 1, 1e13));
    PROMISE(is_amount(node->storage_latency_s, 1e-5, 1) && is_amount(node->network_latency_s, 1e-5, 1));
    PROMISE(node->interval_ns >= 50 * MILLISECOND && node->interval_ns <= MINUTE);
}

static void layout_is_sound(uint32_t *targets)
{
    struct world_node *nodes = calloc(scenario.node_count, sizeof *nodes);
    char(*names)[NODE_NAME_SIZE] = calloc(scenario.node_count, sizeof *names);
    PROMISE(nodes && names);
    scenario_lay_out(&scenario, nodes, names);
    for (uint32_t i = 0; i < scenario.node_count; i++) {
        PROMISE(text_is_name(names[i], NODE_NAME_SIZE - 1) && nodes[i].calls_count <= CALLS_MAX);
        for (uint32_t k = 0; k < nodes[i].calls_count; k++)
            PROMISE(nodes[i].calls[k] < scenario.node_count && nodes[i].calls[k] != i);
    }
    for (uint32_t i = 0; i < scenario.fault_count; i++) {
        uint32_t count = scenario_targets(&scenario, &scenario.faults[i].on, scenario.seed, targets);
        PROMISE(count >= 1 && count <= scenario.node_count);
    }
    for (uint32_t i = 0; i < scenario.expect_count; i++) {
        const struct scenario_target *on = &scenario.expects[i].on;
        bool any = !on->pattern[0] && !on->role[0] && !on->zone[0];
        PROMISE(any || scenario_targets(&scenario, on, scenario.seed, targets) >= 1);
    }
    free(nodes);
    free(names);
}

static void fault_is_sound(const struct scenario_fault *fault)
{
    PROMISE(fault->fault.kind < FAULT_COUNT && fault->fault.shape < SHAPE_COUNT);
    const struct fault_info *info = &fault_infos[fault->fault.kind];
    PROMISE(is_amount(fault->fault.intensity, info->least, info->most));
    PROMISE(fault->fault.from_at >= 0 && fault->fault.from_at < scenario.length_ns);
    PROMISE(fault->fault.until_at > fault->fault.from_at);
    PROMISE(fault->spread_ns >= 0 && fault->fault.from_at + fault->spread_ns <= scenario.length_ns);
    bool repeats = fault->fault.shape == SHAPE_SPIKE || fault->fault.shape == SHAPE_SAWTOOTH ||
                   fault->fault.shape == SHAPE_FLAPPING;
    PROMISE(repeats == (fault->fault.period_ns > 0));
}

static void script_is_sound(void)
{
    for (uint32_t i = 0; i < scenario.fault_count; i++)
        fault_is_sound(&scenario.faults[i]);
    for (uint32_t i = 0; i < scenario.accident_count; i++) {
        const struct scenario_accident *accident = &scenario.accidents[i];
        PROMISE(accident->kind < ACCIDENT_COUNT && accident->at >= 0 && accident->at < scenario.length_ns);
        PROMISE(accident->length_ns >= 0 && memchr(accident->path, '\0', sizeof accident->path));
    }
    for (uint32_t i = 0; i < scenario.expect_count; i++) {
        const struct scenario_expect *expect = &scenario.expects[i];
        PROMISE((expect->untouched == 1) == (expect->finding[0] == '\0'));
        PROMISE(expect->remedy <= REMEDY_NONE && expect->verdict < VERDICT_COUNT);
        PROMISE(expect->block < BLOCK_REASON_COUNT && expect->within_ns >= 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static struct complaints complaints;
    int result = scenario_read((const char *)bytes, length, "/nowhere", &scenario, &complaints);
    PROMISE(result == 0 || result == SCENARIO_REFUSED);
    PROMISE((result == 0) == (complaints.errors == 0) && complaints.count <= COMPLAINTS_MAX);
    for (uint32_t i = 0; i < complaints.count; i++)
        PROMISE(memchr(complaints.list[i].text, '\0', sizeof complaints.list[i].text));
    if (result != 0)
        return 0;
    PROMISE(scenario.group_count >= 1 && scenario.group_count <= SCENARIO_GROUPS_MAX);
    PROMISE(scenario.node_count >= 1 && scenario.node_count <= SCENARIO_NODES_MAX);
    PROMISE(scenario.length_ns >= 10 * SECOND && scenario.heal_ns >= 0 &&
            scenario.world.wave_ns >= 10 * SECOND);
    PROMISE(is_amount(scenario.world.wave_ratio, 0, 0.9) && is_amount(scenario.network.loss_ratio, 0, 1));
    for (uint32_t i = 0; i < scenario.group_count; i++)
        group_is_sound(&scenario.groups[i]);
    uint32_t *targets = calloc(scenario.node_count, sizeof *targets);
    PROMISE(targets);
    layout_is_sound(targets);
    script_is_sound();
    free(targets);
    return 0;
}
