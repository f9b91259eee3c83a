#include "steps.h"

#include "core/core.h"
#include "policy/policy_builtin.h"
#include "policy/policy_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { INCIDENTS = 20000 };

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
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
    const struct core_config config = {.node_capacity = STEPS_NODES, .incident_capacity = 64};
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

double steps_healthy(const struct policy *policy)
{
    struct core *core = new_core(policy, STEPS_NODES);
    struct effects out;
    double begun = cpu_seconds();
    for (uint64_t i = 0; i < STEPS_HEALTHY; i++) {
        struct event event;
        fill(&event, (instant)(1 + i) * (SECOND / STEPS_NODES), (uint32_t)(i % STEPS_NODES),
             1 + i / STEPS_NODES, 0.02 + 0.01 * (double)(i % 7));
        step(core, &event, &out);
    }
    double took = cpu_seconds() - begun;
    free(core);
    return STEPS_HEALTHY / took;
}

double steps_incidents(const struct policy *policy)
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

void steps_policy(struct policy *policy)
{
    static struct complaints complaints; /* large */
    const char *text = policy_default_text();
    if (policy_read(text, strlen(text), policy, &complaints) != 0) {
        fprintf(stderr, "bench: the default policy does not read\n");
        exit(1);
    }
    policy->guards.recurrence_ns = MINUTE; /* each incident of the bench is a new one */
    policy->guards.rate_target.max = 0;    /* ... and no day has too many of them */
}
