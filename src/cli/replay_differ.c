/* The first decision that another policy changes, in words. */
#include "cli/replay.h"

#include "base/text.h"
#include "cli/show.h"
#include "core/trace.h"

#include <stdio.h>
#include <string.h>

enum { WHY_SIZE = 2048 };

static const struct detector *find(const struct policy *policy, const char *name)
{
    for (uint32_t i = 0; i < DETECTOR_MAX; i++)
        if (*name && strncmp(policy->detectors[i].name, name, DETECTOR_NAME_SIZE) == 0)
            return &policy->detectors[i];
    return NULL;
}

static void add_conditions(struct text *text, const struct condition *list, uint32_t count)
{
    static const char *const signs[] = {">", ">=", "<", "<="};
    if (count == 0)
        text_add(text, "nothing");
    for (uint32_t i = 0; i < count; i++) {
        const struct condition *c = &list[i];
        text_addf(text, "%s%s%s%s %s ", i ? " and " : "", c->rate ? "rate(" : "",
                  metric_name((enum metric)c->metric), c->rate ? ")" : "", signs[c->comparison]);
        if (c->rate)
            text_addf(text, "%.6g", c->number);
        else
            trace_value(text, (enum metric)c->metric, c->number);
    }
}

static void add_durations(struct text *why, const char *what, duration a, duration b)
{
    if (a == b)
        return;
    text_addf(why, "%s%s ", why->length ? "; " : "", what);
    text_duration(why, a);
    text_add(why, " -> ");
    text_duration(why, b);
}

static void add_numbers(struct text *why, const char *what, double a, double b)
{
    if (a < b || a > b)
        text_addf(why, "%s%s %.6g -> %.6g", why->length ? "; " : "", what, a, b);
}

static void add_rates(struct text *why, const char *what, const struct rate *a, const struct rate *b)
{
    char name[64];
    snprintf(name, sizeof name, "%s: at most", what);
    add_numbers(why, name, a->max, b->max);
    snprintf(name, sizeof name, "%s: per", what);
    add_durations(why, name, a->per_ns, b->per_ns);
}

static void add_ladder(struct text *text, const struct detector *d)
{
    for (uint32_t i = 0; i < d->ladder_count; i++)
        text_addf(text, "%s%s", i ? ", " : "", remedy_name((enum remedy)d->ladder[i].remedy));
    if (d->ladder_count == 0)
        text_add(text, "nothing");
}

static void compare_detectors(struct text *why, const struct detector *a, const struct detector *b)
{
    if (a->when_count != b->when_count || memcmp(a->when, b->when, sizeof a->when) != 0) {
        text_addf(why, "%swhen ", why->length ? "; " : "");
        add_conditions(why, a->when, a->when_count);
        text_add(why, " -> ");
        add_conditions(why, b->when, b->when_count);
    }
    if (a->clear_count != b->clear_count || memcmp(a->clear, b->clear, sizeof a->clear) != 0) {
        text_addf(why, "%sclear ", why->length ? "; " : "");
        add_conditions(why, a->clear, a->clear_count);
        text_add(why, " -> ");
        add_conditions(why, b->clear, b->clear_count);
    }
    add_durations(why, "for", a->for_ns, b->for_ns);
    add_durations(why, "healthy_for", a->healthy_for_ns, b->healthy_for_ns);
    add_durations(why, "absent", a->absent_ns, b->absent_ns);
    bool same = a->ladder_count == b->ladder_count;
    for (uint32_t i = 0; same && i < a->ladder_count; i++)
        same = a->ladder[i].remedy == b->ladder[i].remedy;
    if (!same) {
        text_addf(why, "%sladder ", why->length ? "; " : "");
        add_ladder(why, a);
        text_add(why, " -> ");
        add_ladder(why, b);
    }
    for (uint32_t i = 0; same && i < a->ladder_count; i++) {
        add_durations(why, "settle", a->ladder[i].settle_ns, b->ladder[i].settle_ns);
        add_durations(why, "within", a->ladder[i].within_ns, b->ladder[i].within_ns);
    }
    add_numbers(why, "confirm", a->confirm, b->confirm);
}

static void compare_guards(struct text *why, const struct policy *x, const struct policy *y)
{
    const struct guards *a = &x->guards, *b = &y->guards;
    if (x->mode != y->mode)
        text_addf(why, "%smode %s -> %s", why->length ? "; " : "", mode_name((enum mode)x->mode),
                  mode_name((enum mode)y->mode));
    add_numbers(why, "max_disrupted", a->max_disrupted_ratio, b->max_disrupted_ratio);
    add_numbers(why, "breaker: unhealthy", a->breaker_unhealthy_ratio, b->breaker_unhealthy_ratio);
    add_numbers(why, "breaker: at_least", a->breaker_at_least, b->breaker_at_least);
    add_numbers(why, "attempts: max", a->attempts_max, b->attempts_max);
    add_durations(why, "attempts: within", a->attempts_within_ns, b->attempts_within_ns);
    add_durations(why, "cooldown", a->cooldown_ns, b->cooldown_ns);
    add_durations(why, "recurrence", a->recurrence_ns, b->recurrence_ns);
    add_durations(why, "backoff: base", a->backoff_base_ns, b->backoff_base_ns);
    add_durations(why, "backoff: cap", a->backoff_cap_ns, b->backoff_cap_ns);
    add_durations(why, "backoff: reset", a->backoff_reset_ns, b->backoff_reset_ns);
    add_rates(why, "rate of a target", &a->rate_target, &b->rate_target);
    add_rates(why, "rate of a rule", &a->rate_rule, &b->rate_rule);
    add_rates(why, "rate of a kind", &a->rate_kind, &b->rate_kind);
    add_rates(why, "rate of the fleet", &a->rate_fleet, &b->rate_fleet);
    add_numbers(why, "flapping: changes", a->flapping_changes, b->flapping_changes);
    add_durations(why, "flapping: within", a->flapping_within_ns, b->flapping_within_ns);
    add_durations(why, "approval", a->approval_ns, b->approval_ns);
    add_durations(why, "hold", a->hold_ns, b->hold_ns);
    if (memcmp(a->windows, b->windows, sizeof a->windows) != 0 || a->window_count != b->window_count)
        text_addf(why, "%sother windows of maintenance", why->length ? "; " : "");
    add_durations(why, "planner_wait", x->planner_wait_ns, y->planner_wait_ns);
}

/* What the two policies say differently about it: of its detector, and of the guards, which may have decided
 * as well. For what was stopped: of the guards, and if those are the same, of the detector. */
static void explain(const struct difference *d, struct text *why)
{
    bool stopped = (d->has_a && d->a.kind == EFFECT_BLOCKED) || (d->has_b && d->b.kind == EFFECT_BLOCKED);
    const struct detector *a = find(&d->a_policy, d->detector_name),
                          *b = find(&d->b_policy, d->detector_name);
    if (stopped)
        compare_guards(why, &d->a_policy, &d->b_policy);
    else if (a && b)
        compare_detectors(why, a, b);
    else if (*d->detector_name)
        text_addf(why, "only %s has a detector %s", a ? "A" : "B", d->detector_name);
    if (!stopped)
        compare_guards(why, &d->a_policy, &d->b_policy);
    else if (why->length == 0 && a && b)
        compare_detectors(why, a, b);
}

static void print_side(const char *side, bool decides, const char *says)
{
    printf("  %-8s ", side);
    print_wrapped(stdout, 11, decides ? says : "decides nothing here");
}

void replay_print_difference(const struct difference *d, const char *policy_path)
{
    char time[32], bytes[WHY_SIZE];
    struct text text = text_over(bytes, sizeof bytes);
    printf("\n  The first decision that differs: %s%s%s\n\n", replay_time(d->at, time),
           d->node == NO_INDEX ? ", the fleet" : ", ", d->node_name);
    print_side("A", d->has_a, d->a_says);
    print_side("B", d->has_b, d->b_says);
    text_addf(&text, "A is the policy in force when this was recorded, B is %s", policy_path);
    printf("  %-8s ", "");
    print_wrapped(stdout, 11, bytes);
    text = text_over(bytes, sizeof bytes);
    explain(d, &text);
    if (text.length) {
        char line[DETECTOR_NAME_SIZE + 2 + WHY_SIZE];
        snprintf(line, sizeof line, "%s%s%s", d->detector_name, *d->detector_name ? ": " : "", bytes);
        printf("  %-8s ", "A -> B");
        print_wrapped(stdout, 11, line);
    }
    if (d->has_report) {
        text = text_over(bytes, sizeof bytes);
        for (int m = 0; m < METRIC_COUNT; m++) {
            if (!(d->report.present & 1u << m))
                continue;
            text_addf(&text, "%s%s ", text.length ? ", " : "", metric_name((enum metric)m));
            trace_value(&text, (enum metric)m, d->report.value[m]);
        }
        printf("  %-8s ", "report");
        print_wrapped(stdout, 11, bytes);
    }
    printf("\n  From here on the world would have gone another way, so nothing after it is compared.\n");
}

json_t *replay_difference_json(const struct difference *d)
{
    char time[32], bytes[WHY_SIZE];
    struct text text = text_over(bytes, sizeof bytes);
    explain(d, &text);
    json_t *values = json_object();
    for (int m = 0; d->has_report && m < METRIC_COUNT; m++)
        if (d->report.present & 1u << m)
            json_object_set_new(values, metric_name((enum metric)m), json_real(d->report.value[m]));
    return json_pack("{s:s,s:s,s:s,s:o,s:o,s:s,s:o}", "at", replay_time(d->at, time), "node", d->node_name,
                     "detector", d->detector_name, "a", d->has_a ? json_string(d->a_says) : json_null(), "b",
                     d->has_b ? json_string(d->b_says) : json_null(), "policies_differ", bytes, "report",
                     values);
}
