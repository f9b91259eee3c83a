/* How fast the decision core steps: healthy reports of many nodes under the default policy, and whole
 * incidents.
 *
 *     ./run bench core [--json]
 *
 * Median of five rounds; CPU time of this process, not wall time, so that a neighbour matters little. */
#include "steps.h"

#include "core/core.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 5 };

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

int main(int argc, char **argv)
{
    struct policy policy;
    double healthy[ROUNDS], incidents[ROUNDS];
    steps_policy(&policy);
    for (int round = 0; round < ROUNDS; round++) {
        healthy[round] = steps_healthy(&policy);
        incidents[round] = steps_incidents(&policy);
    }
    const struct core_config size = {.node_capacity = 10000, .incident_capacity = 1};
    const struct core_config none = {.node_capacity = 1, .incident_capacity = 1};
    double bytes = (double)(core_size(&size) - core_size(&none)) / 9999;
    double steps = median(healthy), whole = median(incidents);
    if (argc > 1 && strcmp(argv[1], "--json") == 0) {
        printf("{\"core_steps_per_s\":%.0f,\"ns_per_step\":%.1f,\"incidents_per_s\":%.0f,\"core_bytes_per_"
               "node\":%.0f}\n",
               steps, 1e9 / steps, whole, bytes);
        return 0;
    }
    printf("the decision core, one CPU, default policy, median of %d\n\n", ROUNDS);
    printf("  healthy reports   %12.0f /s   %8.1f ns each, over %d nodes\n", steps, 1e9 / steps, STEPS_NODES);
    printf("  whole incidents   %12.0f /s   from the first bad sample to the verdict\n", whole);
    printf("  memory            %12.0f bytes a node\n", bytes);
    return 0;
}
