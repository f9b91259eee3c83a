/* The whole decision core in one small program: ten CPU values go in, what it decides comes out.
 *
 *     ninja -C build examples/tiny && build/examples/tiny
 *
 * No clock, no network, no process: time is a number that we make up. The control plane drives the same
 * object code with real reports. */
#include "core/core.h"
#include "core/trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* policies/first.yaml by hand: cpu_utilization > 0.90 for 3 s, do restart_service. */
static void write_policy(struct policy *policy)
{
    policy_init(policy);
    struct detector *d = &policy->detectors[policy->detector_count++];
    text_copy(d->name, sizeof d->name, "cpu-high");
    d->when[d->when_count++] =
        (struct condition){.metric = METRIC_CPU_UTILIZATION, .comparison = COMPARE_GT, .number = 0.90};
    d->clear[d->clear_count++] =
        (struct condition){.metric = METRIC_CPU_UTILIZATION, .comparison = COMPARE_LE, .number = 0.72};
    d->for_ns = 3 * SECOND;
    d->healthy_for_ns = 3 * SECOND;
    d->ladder[d->ladder_count++] =
        (struct rung){.remedy = REMEDY_RESTART_SERVICE, .settle_ns = 1 * SECOND, .within_ns = 20 * SECOND};
}

/* One event in, its effects printed. Returns the id of a command that was ordered, or 0. */
static uint64_t step(struct core *core, const struct event *event)
{
    struct effects effects;
    uint64_t command = 0;
    core_step(core, event, &effects);
    for (uint32_t i = 0; i < effects.count; i++) {
        char line[256];
        struct text text = text_over(line, sizeof line);
        if (effects.list[i].kind == EFFECT_CONTROL) {
            continue;
        }
        trace_line(&text, core, &effects.list[i]);
        printf("%4.0f s  %s\n", duration_seconds(event->at), line);
        command = effects.list[i].kind == EFFECT_ACT ? effects.list[i].of.command.id : command;
    }
    return command;
}

int main(void)
{
    const double cpu[] = {0.03, 0.97, 0.97, 0.98, 0.97, 0.04, 0.03, 0.03, 0.03, 0.03};
    const struct core_config config = {.node_capacity = 1, .incident_capacity = 4};
    struct core *core = core_init(calloc(1, core_size(&config)), &config);
    struct policy policy;
    struct event event = {.kind = EVENT_POLICY, .of.policy = &policy};
    write_policy(&policy);
    step(core, &event);

    event = (struct event){.kind = EVENT_HELLO, .of.hello = {.name = "me", .interval_ns = SECOND}};
    step(core, &event);
    for (size_t i = 0; i < sizeof cpu / sizeof cpu[0]; i++) {
        printf("%4zu s            cpu %.2f\n", i + 1, cpu[i]);
        event = (struct event){.at = (instant)(i + 1) * SECOND, .kind = EVENT_REPORT};
        event.of.report.present = 1u << METRIC_CPU_UTILIZATION;
        event.of.report.value[METRIC_CPU_UTILIZATION] = cpu[i];
        uint64_t command = step(core, &event);
        if (command != 0) { /* we are the node agent: done at once */
            event = (struct event){.at = event.at, .kind = EVENT_COMMAND_END};
            event.of.command_end =
                (struct command_end){.command = command, .outcome = OUTCOME_DONE, .began = 1};
            step(core, &event);
        }
    }
    free(core);
    return 0;
}
