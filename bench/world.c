/* How fast the synthetic world moves: samples of many nodes in three tiers, with their calls, bursts and
 * noise.
 *
 *     ./run bench world [--json]
 *
 * Median of five rounds; CPU time of this process, not wall time, so that a neighbour matters little. */
#include "world/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROUNDS = 5, SECONDS = 60, FEW = 1000, MANY = 10000 };

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Web, api and db in thirds; each web calls two apis, each api two dbs. */
static struct world *new_world(uint32_t nodes)
{
    struct world_config config;
    world_config_default(&config);
    config.node_capacity = nodes;
    struct world *world = world_init(calloc(1, world_size(&config)), &config);
    uint32_t third = nodes / 3;
    for (uint32_t n = 0; n < nodes; n++) {
        struct world_node node;
        world_node_default(&node);
        node.role = (uint16_t)(n < third ? 0 : n < 2 * third ? 1 : 2);
        node.users_per_s = node.role == 0 ? 540 : 0;
        if (node.role < 2) {
            uint32_t base = (node.role + 1u) * third;
            node.calls[0] = base + n % third;
            node.calls[1] = base + (n * 7 + 1) % third;
            node.calls_count = 2;
        }
        world_add(world, n, &node, 0);
    }
    return world;
}

static void run(struct world *world, uint32_t nodes, instant from, instant until, double *sum)
{
    struct world_sample sample;
    for (instant second = from; second < until; second += SECOND) {
        for (uint32_t n = 0; n < nodes; n++) {
            world_sample(world, n, second + (instant)n * (SECOND / nodes), &sample);
            *sum += sample.value[METRIC_CPU_UTILIZATION];
        }
    }
}

/* Nanoseconds a sample. */
static double measure(uint32_t nodes)
{
    double took[ROUNDS], sum = 0;
    struct world *world = new_world(nodes);
    run(world, nodes, 0, 30 * SECOND, &sum);
    for (int round = 0; round < ROUNDS; round++) {
        instant from = (30 + round * SECONDS) * SECOND;
        double begun = cpu_seconds();
        run(world, nodes, from, from + SECONDS * SECOND, &sum);
        took[round] = (cpu_seconds() - begun) * 1e9 / ((double)nodes * SECONDS);
    }
    struct world_truth truth;
    world_truth(world, 0, 0, &truth);
    if (!(sum > 0) || !(truth.served > 100 * truth.failed)) {
        fprintf(stderr, "bench world: a world at rest is not well; the figure would mean nothing\n");
        exit(1);
    }
    free(world);
    qsort(took, ROUNDS, sizeof *took, by_value);
    return took[ROUNDS / 2];
}

int main(int argc, char **argv)
{
    const struct world_config one = {.node_capacity = 1}, all = {.node_capacity = MANY};
    double bytes = (double)(world_size(&all) - world_size(&one)) / (MANY - 1);
    double few = measure(FEW), many = measure(MANY);
    if (argc > 1 && strcmp(argv[1], "--json") == 0) {
        printf("{\"world_ns_per_sample_1000\":%.1f,\"world_ns_per_sample_10000\":%.1f,\"world_bytes_per_"
               "node\":%.0f}\n",
               few, many, bytes);
        return 0;
    }
    printf("the synthetic world, one CPU, median of %d\n\n", ROUNDS);
    printf("  %5d nodes      %8.1f ns a sample   %10.0f samples/s\n", FEW, few, 1e9 / few);
    printf("  %5d nodes      %8.1f ns a sample   %10.0f samples/s\n", MANY, many, 1e9 / many);
    printf("  memory         %10.0f bytes a node\n", bytes);
    return 0;
}
