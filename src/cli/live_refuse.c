/* What of a scenario cannot be done live, with the line that says it. */
#include "cli/live.h"

#include "base/text.h"

#include <stdio.h>

static bool refuse(char sentence[LIVE_SENTENCE_SIZE], uint32_t line, const char *what)
{
    snprintf(sentence, LIVE_SENTENCE_SIZE, "line %u: %s; --synthetic 0 runs it on synthetic nodes", line,
             what);
    return true;
}

/* The way between node agents and control plane of one machine is what it is. */
static bool has_network(const struct scenario *scenario)
{
    struct scenario_network usual = {.least_ns = MILLISECOND, .tail_ns = MILLISECOND};
    const struct scenario_network *network = &scenario->network;
    return scenario->network_line > 0 &&
           (network->least_ns > usual.least_ns || network->tail_ns > usual.tail_ns ||
            network->loss_ratio > 0 || network->double_ratio > 0 || network->skew_s > 0 ||
            network->drift_ratio > 0);
}

static bool refuse_real(const struct live *live, char sentence[LIVE_SENTENCE_SIZE])
{
    const struct scenario *scenario = live->scenario;
    if (scenario->node_count > LIVE_NODES_MAX) {
        snprintf(sentence, LIVE_SENTENCE_SIZE,
                 "%u nodes are more than the %d real ones that a laptop carries; --synthetic 0 runs it on "
                 "synthetic nodes",
                 scenario->node_count, LIVE_NODES_MAX);
        return true;
    }
    if (has_network(scenario))
        return refuse(sentence, scenario->network_line, "real messages are not made late, lost or doubled");
    return false;
}

/* Synthetic nodes share one process, so that none of them can be killed alone; and the world model knows
 * fewer faults than real processes do. */
static bool refuse_synthetic(const struct live *live, char sentence[LIVE_SENTENCE_SIZE])
{
    for (uint32_t i = 0; i < live->scenario->fault_count; i++) {
        const struct scenario_fault *fault = &live->scenario->faults[i];
        if (fault_is_synthetic((enum fault_kind)fault->fault.kind))
            continue;
        snprintf(sentence, LIVE_SENTENCE_SIZE,
                 "line %u: %s needs real processes, the world model does not know it; leave --synthetic out",
                 fault->line, fault_kind_name((enum fault_kind)fault->fault.kind));
        return true;
    }
    for (uint32_t i = 0; i < live->scenario->accident_count; i++) {
        const struct scenario_accident *accident = &live->scenario->accidents[i];
        if (accident->kind != ACCIDENT_CRASH_AGENT && accident->kind != ACCIDENT_SUSPEND_AGENT &&
            accident->kind != ACCIDENT_LEAVE)
            continue;
        snprintf(
            sentence, LIVE_SENTENCE_SIZE,
            "line %u: %s needs real node agents, since synthetic ones share a process; leave --synthetic out",
            accident->line, accident_name((enum accident)accident->kind));
        return true;
    }
    return false;
}

bool live_refusal(const struct live *live, char sentence[LIVE_SENTENCE_SIZE])
{
    return live->options.synthetic ? refuse_synthetic(live, sentence) : refuse_real(live, sentence);
}
