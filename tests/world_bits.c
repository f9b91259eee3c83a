/* Prints the digest of an eventful world and of every sample in it. tests/world_bits.sh builds this with each
 * compiler at several levels: they must print the same. */
#include "base/random.h"
#include "world/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NODES = 12, STEPS = 20000 };

static uint64_t digest_of(uint64_t digest, const struct world_sample *sample)
{
    for (int m = 0; m < METRIC_COUNT; m++) {
        uint64_t word;
        memcpy(&word, &sample->value[m], sizeof word);
        digest = random_mix(digest ^ word);
    }
    return random_mix(digest ^ sample->present ^ (uint64_t)sample->skew_ns ^ sample->silent);
}

static struct world *new_world(void)
{
    struct world_config config;
    world_config_default(&config);
    config.node_capacity = NODES;
    struct world *world = world_init(calloc(1, world_size(&config)), &config);
    for (uint32_t n = 0; n < NODES; n++) {
        struct world_node node;
        world_node_default(&node);
        node.role = (uint16_t)(n / 4);
        node.zone = (uint16_t)(n % 2);
        for (uint32_t c = 0; node.role < 2 && c < 2; c++) {
            node.calls[node.calls_count++] = (node.role + 1u) * 4 + (n + c) % 4;
        }
        world_add(world, n, &node, 0);
    }
    return world;
}

/* Strikes and heals somewhere, now and then. */
static void stir(struct world *world, uint64_t draw, instant now)
{
    uint32_t node = (uint32_t)(draw >> 8) % NODES;
    enum fault_kind kind = (enum fault_kind)(draw % FAULT_COUNT);
    if (draw >> 60 < 2) {
        const struct world_fault fault = {.node = node,
                                          .kind = (uint8_t)kind,
                                          .shape = (uint8_t)((draw >> 16) % SHAPE_COUNT),
                                          .intensity = fault_infos[kind].intensity,
                                          .from_at = now,
                                          .until_at = now + (instant)(draw >> 32 & 0xff) * SECOND + 1,
                                          .period_ns = 10 * SECOND};
        world_strike(world, &fault);
    } else if (draw >> 60 == 2) {
        struct world_done done;
        world_remedy(world, node, (enum remedy)((draw >> 24) % REMEDY_COUNT), now, &done);
    }
}

int main(void)
{
    struct world *world = new_world();
    uint64_t digest = 0, dice = random_stream(1, 1);
    instant now = 0;
    for (uint64_t i = 0; i < STEPS; i++) {
        uint64_t draw = random_draw(dice, i);
        struct world_sample sample;
        now += (instant)(draw >> 40) * 12; /* 0 .. 200 ms */
        world_sample(world, (uint32_t)(i % NODES), now, &sample);
        digest = digest_of(digest, &sample);
        stir(world, random_mix(draw), now);
    }
    printf("%016llx %016llx\n", (unsigned long long)digest, (unsigned long long)world_digest(world));
    free(world);
    return 0;
}
