/* How fast the decision core steps: healthy reports of many nodes under the default policy, and whole
 * incidents.
 *
 *     ./run bench core [--json]
 *
 * Median of five rounds; CPU time of this process, not wall time, so that a neighbour matters little. */
#include "core/core.h"
#include "policy/policy_builtin.h"
#include "policy/policy_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { NODES = 1000, ROUNDS = 5, HEALTHY_STEPS = 2000000, INCIDENTS = 20000 };

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

static void step(struct core *core, struct event *event, struct effects *out)
{
    core_step(core, event, out);
    while (core_deadline(core) <= event->at) {
        struct event due = {.kind = EVENT_DEADLINE, .at = event->at};
        core_step(core, &due, out);
    }
}

static struct core *new_core(const struct policy *policy, uint32_t nodes)
{
    const struct core_config config = {.node_capacity = NODES, .incident_capacity = 64};
    struct core *core = core_init(calloc(1, core_size(&config)), &config);
    struct effects out;
    struct event event = {.kind = EVENT_POLICY, .of.policy = policy};
    step(core, &event, &out);
    for (uint32_t n = 0; n < nodes; n++) {
        event = (struct event){.kind = EVENT_HELLO, .node = n, .of.hello.interval_ns = SECOND};
        snprintf(event.of.hello.name, NODE_NAME_SIZE, "node-%u", n);
        step(core, &event, &out);
    }
    return core;
}

static void fill(struct event *event, instant at, uint32_t node, uint64_t sequence, double cpu)
{
    *event = (struct event){.kind = EVENT_REPORT, .at = at, .node = node};
    event->of.report.boot = 1;
    event->of.report.sequence = sequence;
    event->of.report.present = (1u << METRIC_COUNT) - 1;
    event->of.report.value[METRIC_CPU_UTILIZATION] = cpu;
    event->of.report.value[METRIC_REQUEST_LATENCY] = cpu > 0.9 ? 0.06 : 0.001;
    event->of.report.value[METRIC_SERVICE_UP] = 1;
}

/* Healthy reports a second of CPU. */
static double measure_healthy(const struct policy *policy)
{
    struct core *core = new_core(policy, NODES);
    struct effects out;
    double begun = cpu_seconds();
    for (uint64_t i = 0; i < HEALTHY_STEPS; i++) {
        struct event event;
        fill(&event, (instant)(1 + i) * (SECOND / NODES), (uint32_t)(i % NODES), 1 + i / NODES,
             0.02 + 0.01 * (double)(i % 7));
        step(core, &event, &out);
    }
    double took = cpu_seconds() - begun;
    free(core);
    return HEALTHY_STEPS / took;
}

/* Incidents a second of CPU, from the first bad sample to "resolved, effective": 14 reports and an outcome
 * each. */
static double measure_incidents(const struct policy *policy)
{
    struct core *core = new_core(policy, 1);
    struct effects out;
    uint32_t healed = 0;
    uint64_t sequence = 0;
    instant now = SECOND;
    double begun = cpu_seconds();
    for (uint32_t i = 0; i < INCIDENTS; i++, now += HOUR) {
        for (int t = 0; t < 14; t++, now += SECOND) {
            struct event event;
            fill(&event, now, 0, ++sequence, t < 4 ? 0.97 : 0.03);
            core_step(core, &event, &out);
            for (uint32_t k = 0; k < out.count; k++) {
                const struct effect *e = &out.list[k];
                healed += e->kind == EFFECT_RECORD && e->of.incident.state == INCIDENT_RESOLVED &&
                          e->of.incident.verdict == VERDICT_EFFECTIVE;
                if (e->kind == EFFECT_ACT) {
                    uint64_t id = e->of.command.id;
                    event = (struct event){.kind = EVENT_COMMAND_END, .at = now};
                    event.of.command_end =
                        (struct command_end){.command = id, .outcome = OUTCOME_DONE, .began = 1};
                    core_step(core, &event, &out);
                    break;
                }
            }
        }
    }
    double took = cpu_seconds() - begun;
    free(core);
    if (healed != INCIDENTS) {
        fprintf(stderr, "bench core: only %u of %d incidents were healed; the figure would mean nothing\n",
                healed, INCIDENTS);
        exit(1);
    }
    return INCIDENTS / took;
}

int main(int argc, char **argv)
{
    struct policy policy;
    struct complaints complaints;
    double healthy[ROUNDS], incidents[ROUNDS];
    const char *text = policy_default_text();
    if (policy_read(text, strlen(text), &policy, &complaints) != 0) {
        fprintf(stderr, "bench core: the default policy does not read\n");
        return 1;
    }
    policy.guards.recurrence_ns = MINUTE; /* each incident of the bench is a new one */
    for (int round = 0; round < ROUNDS; round++) {
        healthy[round] = measure_healthy(&policy);
        incidents[round] = measure_incidents(&policy);
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
    printf("  healthy reports   %12.0f /s   %8.1f ns each, over %d nodes\n", steps, 1e9 / steps, NODES);
    printf("  whole incidents   %12.0f /s   from the first bad sample to the verdict\n", whole);
    printf("  memory            %12.0f bytes a node\n", bytes);
    return 0;
}
