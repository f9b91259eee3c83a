/* What a seed has drawn, in a form that people can read. Policies are written as policy files. */
#include "sim/swarm.h"

#include "base/check.h"
#include "base/text.h"
#include "policy/policy_text.h"

#include <stdlib.h>

static const char *time_text(duration d, char out[32])
{
    struct text text = text_over(out, 32);
    text_duration(&text, d);
    return out;
}

static void print_target(const struct scenario_target *target, FILE *out)
{
    if (target->some > 0)
        fprintf(out, "%u of ", target->some);
    fprintf(out, "%s%s",
            target->role[0]   ? "role:"
            : target->zone[0] ? "zone:"
                              : "",
            target->role[0]   ? target->role
            : target->zone[0] ? target->zone
                              : target->pattern);
}

static void print_group(const struct scenario_group *group, FILE *out)
{
    char interval[32];
    fprintf(out, "    %4u %-6s every %-7s %6.1f users/s, capacity %6.0f/s", group->count, group->role,
            time_text(group->node.interval_ns, interval), group->node.users_per_s,
            group->node.capacity_per_s);
    for (uint32_t i = 0; i < group->zones_count; i++)
        fprintf(out, "%s%s", i == 0 ? ", zones " : " ", group->zones[i]);
    for (uint32_t i = 0; i < group->calls_count; i++)
        fprintf(out, "%s%s", i == 0 ? ", calls " : " ", group->calls[i]);
    fprintf(out, "\n");
}

static void print_fault(const struct scenario_fault *line, FILE *out)
{
    const struct world_fault *fault = &line->fault;
    char a[32], b[32];
    fprintf(out, "    %8.3f s  %s %g, %s, on ", duration_seconds(fault->from_at),
            fault_kind_name((enum fault_kind)fault->kind), fault->intensity,
            shape_name((enum shape)fault->shape));
    print_target(&line->on, out);
    if (fault->until_at != INSTANT_NEVER)
        fprintf(out, ", for %s", time_text(fault->until_at - fault->from_at, a));
    if (fault->period_ns > 0)
        fprintf(out, ", period %s", time_text(fault->period_ns, a));
    if (line->spread_ns > 0)
        fprintf(out, ", spread over %s", time_text(line->spread_ns, b));
    fprintf(out, "\n");
}

static void print_accident(const struct scenario_accident *accident, FILE *out)
{
    char a[32];
    fprintf(out, "    %8.3f s  %s ", duration_seconds(accident->at),
            accident_name((enum accident)accident->kind));
    print_target(&accident->on, out);
    fprintf(out, "%s", accident->path);
    if (accident->length_ns > 0)
        fprintf(out, " for %s", time_text(accident->length_ns, a));
    fprintf(out, "\n");
}

static void print_policy(const char *name, const struct policy *policy, FILE *out)
{
    char *bytes = malloc(POLICY_TEXT_SIZE);
    CHECK(bytes);
    struct text text = text_over(bytes, POLICY_TEXT_SIZE);
    policy_write(&text, policy);
    fprintf(out, "  %s\n", name);
    for (const char *line = bytes; *line;) {
        size_t length = 0;
        while (line[length] && line[length] != '\n')
            length++;
        fprintf(out, "    %.*s\n", (int)length, line);
        line += length + (line[length] == '\n');
    }
    free(bytes);
}

static void print_conditions(const struct swarm *swarm, FILE *out)
{
    const struct scenario *s = &swarm->scenario;
    const struct scenario_network *n = &s->network;
    char a[32], b[32], c[32];
    fprintf(
        out,
        "  load      wave %.0f %% in %s, noise %.2f, %.1f bursts/h, %u retries, time-out %s, warm in %s\n",
        s->world.wave_ratio * 100, time_text(s->world.wave_ns, a), s->world.noise_ratio,
        s->world.burst_per_hour, s->world.retries, time_text(s->world.timeout_ns, b),
        time_text(s->world.warm_ns, c));
    fprintf(out,
            "  network   %s and %s of tail, loses %.2f %%, doubles %.2f %%, clocks off by %.3g s, drift %.3g "
            "%%\n",
            time_text(n->least_ns, a), time_text(n->tail_ns, b), n->loss_ratio * 100, n->double_ratio * 100,
            n->skew_s, n->drift_ratio * 100);
    fprintf(out, "  length    %s under faults, at most %s of healing\n", time_text(s->length_ns, a),
            time_text(s->heal_ns, b));
    if (swarm->planner.answers_ratio > 0)
        fprintf(out, "  planner   answers %.0f %% within %s, of these %.0f %% wild\n",
                swarm->planner.answers_ratio * 100, time_text(swarm->planner.takes_ns, a),
                swarm->planner.wild_ratio * 100);
    if (swarm->people.takes_ns > 0)
        fprintf(out,
                "  people    approve %.0f %% of what they are told, acknowledge %.0f %%, decline %.0f %%, "
                "within %s\n",
                swarm->people.approve_ratio * 100, swarm->people.acknowledge_ratio * 100,
                swarm->people.decline_ratio * 100, time_text(swarm->people.takes_ns, a));
}

void swarm_print(const struct swarm *swarm, FILE *out)
{
    const struct scenario *s = &swarm->scenario;
    char a[32];
    fprintf(out, "seed %llu drew\n  fleet     %u nodes\n", (unsigned long long)swarm->seed, s->node_count);
    for (uint32_t i = 0; i < s->group_count; i++)
        print_group(&s->groups[i], out);
    print_conditions(swarm, out);
    fprintf(out, "  faults    %u lines%s\n", s->fault_count, swarm->storm ? ", the first a storm" : "");
    for (uint32_t i = 0; i < s->fault_count; i++)
        print_fault(&s->faults[i], out);
    fprintf(out, "  accidents %u\n", s->accident_count);
    for (uint32_t i = 0; i < s->accident_count; i++)
        print_accident(&s->accidents[i], out);
    for (uint32_t i = 0; i < swarm->cut_count; i++)
        fprintf(out, "    at the commit of step %llu  %s for %s\n", (unsigned long long)swarm->cuts[i].step,
                accident_name((enum accident)swarm->cuts[i].kind), time_text(swarm->cuts[i].length_ns, a));
    print_policy("policy", &swarm->policy, out);
    for (uint32_t i = 0; i < s->accident_count; i++)
        if (s->accidents[i].kind == ACCIDENT_POLICY)
            print_policy(s->accidents[i].path, &swarm->later[i], out);
}
