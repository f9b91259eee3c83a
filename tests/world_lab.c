#include "world_lab.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

static struct world *new_world(uint64_t seed, bool replica, double caller_users)
{
    struct world_config config;
    struct world_node node;
    world_config_default(&config);
    config.node_capacity = LAB_NODES;
    config.seed = seed;
    struct world *world = world_init(calloc(1, world_size(&config)), &config);
    assert_non_null(world);
    for (uint32_t n = 0; n < (replica ? 3u : 2u); n++) {
        world_node_default(&node);
        node.role = n == CALLER ? 0 : 1;
        if (n == CALLER) {
            node.users_per_s = caller_users;
            node.calls[node.calls_count++] = PATIENT;
            if (replica) {
                node.calls[node.calls_count++] = REPLICA;
            }
        }
        world_add(world, n, &node, 0);
    }
    return world;
}

struct lab_world *lab_world_new(uint64_t seed, bool replica, double caller_users)
{
    struct lab_world *lab = calloc(1, sizeof *lab);
    assert_non_null(lab);
    lab->world = new_world(seed, replica, caller_users);
    lab->twin = new_world(seed, replica, caller_users);
    lab->nodes = replica ? 3 : 2;
    return lab;
}

void lab_world_free(struct lab_world **lab)
{
    free((*lab)->world);
    free((*lab)->twin);
    free(*lab);
    *lab = NULL;
}

void lab_world_run(struct lab_world *lab, int seconds)
{
    for (int i = 0; i < seconds; i++) {
        lab->now += SECOND;
        for (uint32_t n = 0; n < lab->nodes; n++) {
            world_sample(lab->world, n, lab->now, &lab->sample[n]);
            world_sample(lab->twin, n, lab->now, &lab->well[n]);
        }
    }
}

void lab_world_strike_at(struct lab_world *lab, uint32_t node, enum fault_kind kind, enum shape shape,
                         double intensity, double seconds)
{
    const struct world_fault fault = {.node = node,
                                      .kind = (uint8_t)kind,
                                      .shape = (uint8_t)shape,
                                      .intensity = intensity,
                                      .from_at = lab->now,
                                      .until_at = seconds > 0 ? lab->now + duration_from_seconds(seconds)
                                                              : INSTANT_NEVER,
                                      .period_ns = 20 * SECOND};
    assert_true(world_strike(lab->world, &fault));
}

void lab_world_strike(struct lab_world *lab, enum fault_kind kind, enum shape shape)
{
    lab_world_strike_at(lab, PATIENT, kind, shape, fault_infos[kind].intensity, 0);
}

struct world_done lab_world_remedy(struct lab_world *lab, uint32_t node, enum remedy remedy)
{
    struct world_done done;
    world_remedy(lab->world, node, remedy, lab->now, &done);
    return done;
}

struct world_truth lab_world_truth(const struct lab_world *lab, uint32_t node)
{
    struct world_truth truth;
    world_truth(lab->world, node, lab->now, &truth);
    return truth;
}

bool lab_world_has(const struct lab_world *lab, uint32_t node, enum metric metric)
{
    return (lab->sample[node].present >> metric & 1) != 0;
}

bool lab_world_well_has(const struct lab_world *lab, uint32_t node, enum metric metric)
{
    return (lab->well[node].present >> metric & 1) != 0;
}

double lab_world_value(const struct lab_world *lab, uint32_t node, enum metric metric)
{
    if (!lab_world_has(lab, node, metric)) {
        fail_msg("%s of node %u was not sampled", metric_name(metric), node);
    }
    return lab->sample[node].value[metric];
}

double lab_world_well(const struct lab_world *lab, uint32_t node, enum metric metric)
{
    assert_true(lab_world_well_has(lab, node, metric));
    return lab->well[node].value[metric];
}
