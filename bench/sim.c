/* How fast the simulator is: healthy reports of many nodes through world, network, control plane and core.
 *
 *     ./run bench sim [--json]
 *
 * Median of five rounds; CPU time of this process, not wall time, so that a neighbour matters little. A round
 * of 10,000 nodes is thirty virtual seconds, one of 1,000 nodes a virtual minute, after a warm-up in which
 * everybody has said hello. */
#include "steps.h"

#include "sim/sim.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROUNDS = 5 };

struct round {
    double reports_per_s, times_real, bytes_per_node;
};

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

static double median(double *values)
{
    qsort(values, ROUNDS, sizeof *values, by_value);
    return values[ROUNDS / 2];
}

/* What the simulator has taken from the system, large blocks included. */
static double allocated(void)
{
    struct mallinfo2 info = mallinfo2();
    return (double)(info.uordblks + info.hblkhd);
}

/* Web nodes that call api nodes that call db nodes, one report a second, a millisecond away, none lost. */
static struct scenario *fleet(uint32_t nodes, duration length_ns)
{
    static const char *const roles[] = {"web", "api", "db"};
    struct scenario *scenario = calloc(1, sizeof *scenario);
    scenario_init(scenario);
    scenario->length_ns = length_ns;
    scenario->heal_ns = 0;
    scenario->network = (struct scenario_network){.least_ns = MILLISECOND};
    for (uint32_t i = 0; i < 3; i++) {
        struct scenario_group *group = &scenario->groups[scenario->group_count++];
        strcpy(group->role, roles[i]);
        group->count = i < 2 ? nodes / 3 : nodes - 2 * (nodes / 3);
        world_node_default(&group->node);
        if (i < 2) {
            strcpy(group->calls[0], roles[i + 1]);
            group->calls_count = 1;
        }
        if (i > 0)
            group->node.users_per_s = 0;
        scenario->node_count += group->count;
    }
    return scenario;
}

static struct round measure(const struct policy *policy, uint32_t nodes, duration length_ns)
{
    const duration warm_ns = 2 * SECOND;
    char error[256];
    struct scenario *scenario = fleet(nodes, warm_ns + length_ns);
    struct sim_options options = {.scenario = scenario, .policy = policy};
    struct sim_result warm, result;
    double before = allocated();
    struct sim *sim = sim_new(&options, error, sizeof error);
    if (!sim) {
        fprintf(stderr, "bench sim: %s\n", error);
        exit(1);
    }
    while (sim_now(sim) < warm_ns && sim_turn(sim))
        ;
    sim_result(sim, &warm);
    double begun = cpu_seconds();
    while (sim_turn(sim))
        ;
    double took = cpu_seconds() - begun;
    struct round round = {.bytes_per_node = (allocated() - before) / nodes};
    sim_result(sim, &result);
    round.reports_per_s = (double)(result.reports - warm.reports) / took;
    round.times_real = duration_seconds(length_ns) / took;
    double expected = (double)nodes * duration_seconds(length_ns);
    if ((double)(result.reports - warm.reports) < 0.99 * expected || result.incidents > nodes / 100) {
        fprintf(stderr, "bench sim: %llu reports and %u incidents; the figure would mean nothing\n",
                (unsigned long long)(result.reports - warm.reports), result.incidents);
        exit(1);
    }
    sim_free(&sim);
    free(scenario);
    return round;
}

int main(int argc, char **argv)
{
    struct policy policy;
    double reports[ROUNDS], times[ROUNDS], bytes = 0;
    steps_policy(&policy);
    for (int i = 0; i < ROUNDS; i++) {
        struct round large = measure(&policy, 10000, 30 * SECOND);
        struct round small = measure(&policy, 1000, MINUTE);
        reports[i] = large.reports_per_s;
        times[i] = small.times_real;
        bytes = large.bytes_per_node;
    }
    double per_s = median(reports), times_real = median(times);
    if (argc > 1 && strcmp(argv[1], "--json") == 0) {
        printf(
            "{\"node_reports_per_s_10000\":%.0f,\"ns_per_report\":%.1f,\"times_real_at_1000\":%.0f,\"bytes_"
            "per_node\":%.0f}\n",
            per_s, 1e9 / per_s, times_real, bytes);
        return 0;
    }
    printf("the simulator, one CPU, default policy, healthy fleets that report each second, median of %d\n\n",
           ROUNDS);
    printf("  10,000 nodes   %12.0f node reports/s   %.0f ns each, through world, network and core\n", per_s,
           1e9 / per_s);
    printf("  1,000 nodes    %12.0f times real time\n", times_real);
    printf("  memory         %12.0f bytes a node\n", bytes);
    return 0;
}
