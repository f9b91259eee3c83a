#include "core/trace.h"

#include "base/check.h"
#include "core/state.h"

#include <math.h>
#include <string.h>

/* --- values --------------------------------------------------------------------------------------------- */

static void add_bytes(struct text *text, double bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    size_t unit = 0;
    while (bytes >= 1024 && unit + 1 < COUNT_OF(units)) {
        bytes /= 1024;
        unit++;
    }
    text_addf(text, bytes < 10 && unit > 0 ? "%.1f %s" : "%.0f %s", bytes, units[unit]);
}

void trace_value(struct text *text, enum metric metric, double value)
{
    if (isnan(value)) {
        text_add(text, "-");
        return;
    }
    switch (metric_infos[metric].unit) {
    case UNIT_RATIO:
        text_addf(text, value != 0 && value < 0.0095 ? "%.1f %%" : "%.0f %%", value * 100);
        break;
    case UNIT_SECONDS:
        if (value >= 0 && value < 1e9) {
            text_duration(text, duration_from_seconds(value));
        } else {
            text_addf(text, "%.3g s", value);
        }
        break;
    case UNIT_BYTES:
        add_bytes(text, value);
        break;
    case UNIT_PER_SECOND:
        text_addf(text, "%.3g /s", value);
        break;
    case UNIT_NONE:
    case UNIT_COUNT:
    case UNIT_FLAG:
    default:
        text_addf(text, "%.6g", value);
    }
}

static void add_number(struct text *text, const struct condition *c)
{
    if (c->rate) {
        text_addf(text, "%.6g per s", c->number);
    } else {
        trace_value(text, (enum metric)c->metric, c->number);
    }
}

/* --- sentences ------------------------------------------------------------------------------------------ */

static void say_comparison(struct text *text, const struct condition *c)
{
    static const char *const words[] = {"above", "at least", "below", "at most"};
    const struct metric_info *info = &metric_infos[c->metric];
    if (info->unit == UNIT_FLAG) {
        bool is_one = c->comparison == COMPARE_GT || c->comparison == COMPARE_GE;
        text_addf(text, "%s %s", info->short_name, is_one ? "is up" : "is down");
        return;
    }
    text_addf(text, c->rate ? "%s growing %s " : "%s %s ", info->short_name, words[c->comparison]);
    add_number(text, c);
}

static void say_finding(struct text *text, const struct core *core, const struct incident *i)
{
    const struct detector *d = i->detector == NO_INDEX ? NULL : &core_policy(core)->detectors[i->detector];
    if (d == NULL) {
        text_add(text, i->detector_name);
        return;
    }
    if (d->absent_ns > 0) {
        text_add(text, "no report for ");
        text_duration(text, d->absent_ns);
        return;
    }
    for (uint32_t k = 0; k < d->when_count; k++) {
        text_add(text, k == 0 ? "" : " and ");
        say_comparison(text, &d->when[k]);
    }
    if (d->for_ns > 0) {
        text_add(text, " for ");
        text_duration(text, d->for_ns);
    }
}

/* What `clear` asks for has proved the health. Of the rest, what users felt for instance, one sample may be
 * off. */
static bool speaks_for_health(const struct core *core, const struct incident *i, const struct evidence *e)
{
    const struct detector *d = i->detector == NO_INDEX ? NULL : &core_policy(core)->detectors[i->detector];
    for (uint32_t k = 0; d != NULL && k < d->clear_count; k++) {
        if (d->clear[k].metric == e->condition.metric) {
            return true;
        }
    }
    bool worse = metric_infos[e->condition.metric].worse_up ? e->after > e->before : e->after < e->before;
    return d == NULL || !worse;
}

static void say_seen(struct text *text, const struct core *core, const struct incident *i)
{
    const char *between = "";
    for (uint32_t k = 0; k < i->evidence_count; k++) {
        const struct evidence *e = &i->evidence[k];
        enum metric metric = (enum metric)e->condition.metric;
        if (!speaks_for_health(core, i, e)) {
            continue;
        }
        text_addf(text, "%s%s ", between, metric_infos[metric].short_name);
        between = ", ";
        trace_value(text, metric, e->before);
        text_add(text, " -> ");
        trace_value(text, metric, e->after);
    }
}

/* The remedy that was tried last is due again. */
static bool is_second_try(const struct core *core, const struct incident *i)
{
    const struct detector *d = i->detector == NO_INDEX ? NULL : &core_policy(core)->detectors[i->detector];
    return d != NULL && i->rung > 0 && i->rung < d->ladder_count &&
           d->ladder[i->rung - 1].remedy == i->remedy;
}

/* It was seen well, and then ill again: no verification has begun since. */
static bool has_come_back(const struct incident *i)
{
    return i->reopened > 0 && i->outcome == OUTCOME_DONE && i->healthy_since != INSTANT_NONE;
}

static void say_plan(struct text *text, const struct core *core, const struct incident *i)
{
    text_addf(text, "%s: ", remedy_name((enum remedy)i->remedy));
    switch ((enum why)i->why) {
    case WHY_PROPOSAL:
        text_add(text, "the planner's proposal, and it is on the ladder");
        break;
    case WHY_STILL_ILL:
        text_add(text, is_second_try(core, i) ? "once more; the first time did not help (ineffective)"
                                              : "the next rung; what was done did not help (ineffective)");
        break;
    case WHY_COMMAND_FAILED:
        text_add(text, "the next rung; the command failed");
        break;
    case WHY_NOT_BEGUN:
        text_addf(text, "the command never began (%s)", outcome_name((enum outcome)i->outcome));
        break;
    case WHY_APPROVED:
        text_add(text, "a person approved it");
        break;
    case WHY_DECLINED:
        text_add(text, "the next rung; a person declined the one before");
        break;
    default:
        text_add(text, has_come_back(i) && is_second_try(core, i) ? "once more; the last one did not last"
                       : i->reopened > 0                          ? "the next rung; last time's did not last"
                       : i->local_cause                           ? "it is ill by itself"
                                                                  : "nothing it calls explains it");
    }
}

/* `at`: now. */
static void say_return(struct text *text, const struct incident *i, instant at)
{
    text_add(text, "back ");
    text_duration(text, at - i->healthy_since);
    text_add(text, " after it was well");
}

static void say_escalation(struct text *text, const struct core *core, const struct incident *i, instant at)
{
    bool ladder_is_done = i->why == WHY_PAGE || i->why == WHY_LADDER_END;
    if (ladder_is_done && has_come_back(i)) {
        say_return(text, i, at);
        text_add(text, "; no other remedy is planned, people are told");
        return;
    }
    switch ((enum why)i->why) {
    case WHY_PAGE:
        text_add(text, i->attempts > 0 ? "told to people; what was tried did not help" : "told to people");
        break;
    case WHY_LADDER_END:
        text_add(text, i->attempts > 0 ? "nothing left to try; people are needed"
                                       : "no remedy is planned for this");
        break;
    case WHY_DECLINED:
        text_add(text, "a person declined the last remedy; it is left to people");
        break;
    case WHY_NO_EVIDENCE:
        text_add(text, i->outcome == OUTCOME_DONE
                           ? "inconclusive: no fresh samples tell whether it helped"
                           : "inconclusive: nobody said that the command was carried out");
        return;
    case WHY_WORSE:
        text_add(text, "harmed: something else fell ill after the action");
        return;
    case WHY_UNWATCHED:
        text_add(text, "its node has left; it was not healed");
        return;
    case WHY_GAVE_UP:
        text_addf(text, "gave up: this node has used up its attempts, %u within ",
                  core_policy(core)->guards.attempts_max);
        text_duration(text, core_policy(core)->guards.attempts_within_ns);
        return;
    default:
        text_add(text, why_name((enum why)i->why));
        return;
    }
    if (i->attempts == 0) {
        text_add(text, ": ");
        say_finding(text, core, i);
    }
}

static void say_resolution(struct text *text, const struct core *core, const struct incident *i)
{
    switch ((enum why)i->why) {
    case WHY_HEALTHY:
        text_addf(text, "%s: ", verdict_name((enum verdict)i->verdict));
        say_seen(text, core, i);
        text_add(text, i->verdict == VERDICT_EFFECTIVE ? "; nothing else fell ill"
                       : i->outcome == OUTCOME_CUT
                           ? "; well again, but the command was cut"
                           : "; well again, but nobody said that the command was carried out");
        break;
    case WHY_UNWATCHED:
        text_add(text, "closed: the policy does not watch for it any more");
        break;
    default:
        text_add(text, i->attempts > 0 ? "well again" : "well again without an action of ours");
    }
}

static void say_opening(struct text *text, const struct core *core, const struct incident *i, instant at)
{
    say_finding(text, core, i);
    if (i->why == WHY_REOPENED && i->healthy_since != INSTANT_NONE) {
        text_add(text, "; ");
        say_return(text, i, at);
        text_add(text, ", so what was done did not last");
    } else {
        text_add(text, i->why == WHY_REOPENED    ? "; it is back, so what was done did not last"
                       : i->why == WHY_LAPSED    ? "; planned anew, it was shown or approved too long ago"
                       : i->why == WHY_DECLINED  ? "; a person declined the plan"
                       : i->why == WHY_REPLANNED ? "; planned anew, the policy has changed"
                                                 : "");
    }
}

static void say_record(struct text *text, const struct core *core, const struct incident *i, instant at)
{
    if (i->why == WHY_ACKNOWLEDGED) {
        text_add(text, "a person has seen it");
        return;
    }
    switch ((enum incident_state)i->state) {
    case INCIDENT_OPEN:
        say_opening(text, core, i, at);
        break;
    case INCIDENT_PLANNED:
        say_plan(text, core, i);
        break;
    case INCIDENT_ACTING:
        text_addf(text, "its report is answered with %s", remedy_name((enum remedy)i->remedy));
        if (i->attempts > 1) {
            text_addf(text, ", attempt %u", i->attempts);
        }
        break;
    case INCIDENT_VERIFYING:
        text_addf(text,
                  i->why == WHY_NO_ANSWER ? "no answer to %s; watching whether it helped"
                                          : "%s ended; watching whether it helped",
                  remedy_name((enum remedy)i->remedy));
        break;
    case INCIDENT_RESOLVED:
        say_resolution(text, core, i);
        break;
    case INCIDENT_ESCALATED:
        say_escalation(text, core, i, at);
        break;
    case INCIDENT_STATE_COUNT:
    default:
        break;
    }
}

/* The end of a wait whose end is known, or INSTANT_NONE. */
static instant blocked_until(const struct core *core, const struct incident *i)
{
    instant until_at = INSTANT_NONE;
    if (i->block == BLOCK_MAINTENANCE) {
        core_maintained(core, i->node, &until_at);
    } else if (i->block == BLOCK_COOLDOWN || i->block == BLOCK_BACKOFF) {
        instant cool_at = core_target(core, i->node)->ended_at + core_policy(core)->guards.cooldown_ns;
        until_at = target_backs_off_until(core, i->node);
        until_at = until_at > cool_at ? until_at : cool_at;
    }
    return until_at;
}

/* Virtual time counts from 0: what lies before the year 2000 is no clock's. */
static void say_instant(struct text *text, instant at)
{
    char whole[32];
    if (at < 30 * 365 * 24 * HOUR) {
        text_addf(text, "%.1f s", duration_seconds(at));
        return;
    }
    text_instant(whole, at);
    text_addf(text, "%.8sZ", whole + 11);
}

static void say_blocked(struct text *text, const struct core *core, const struct incident *i)
{
    instant until_at = blocked_until(core, i);
    if (i->remedy != REMEDY_NONE) {
        text_addf(text, "%s not done: ", remedy_name((enum remedy)i->remedy));
    }
    text_add(text, block_reason_sentence((enum block_reason)i->block));
    if (until_at != INSTANT_NONE) {
        text_add(text, ", until ");
        say_instant(text, until_at);
    }
    if (i->blocked_count > 1) {
        text_addf(text, " (%u times)", i->blocked_count);
    }
}

static void say_ended(struct text *text, const struct command *c)
{
    text_addf(text, "%s %s after ", remedy_name((enum remedy)c->remedy),
              outcome_name((enum outcome)c->outcome));
    text_duration(text, c->ended_at - c->ordered_at);
}

static void say_notice(struct text *text, const struct core *core, const struct incident *i, instant at)
{
    if (i->state == INCIDENT_ESCALATED) {
        say_escalation(text, core, i, at);
        return;
    }
    say_finding(text, core, i);
    text_addf(text, "; %s", block_reason_sentence((enum block_reason)i->block));
}

static void say_target(struct text *text, const struct core *core, const struct effect *effect)
{
    const struct target *target = &effect->of.target;
    text_addf(text, "%u actions in its streak", target->streak);
    text_add(text, target->flapping ? ", flapping" : "");
    text_add(text, core_maintained(core, effect->node, NULL) ? ", in maintenance" : "");
}

void trace_sentence(struct text *text, const struct core *core, const struct effect *effect)
{
    switch ((enum effect_kind)effect->kind) {
    case EFFECT_RECORD:
        say_record(text, core, &effect->of.incident, effect->at);
        break;
    case EFFECT_ACT:
        text_addf(text, "%s, command %llu", remedy_name((enum remedy)effect->of.command.remedy),
                  (unsigned long long)effect->of.command.id);
        break;
    case EFFECT_ENDED:
        say_ended(text, &effect->of.command);
        break;
    case EFFECT_BLOCKED:
        say_blocked(text, core, &effect->of.incident);
        break;
    case EFFECT_CONTROL:
        text_addf(text, "epoch %llu, automation %s, breaker %s", (unsigned long long)effect->of.control.epoch,
                  effect->of.control.paused ? "paused" : "on",
                  effect->of.control.breaker_open ? "open" : "closed");
        break;
    case EFFECT_TARGET:
        say_target(text, core, effect);
        break;
    case EFFECT_ASK:
        text_addf(text, "what should be done about %s?", effect->of.incident.detector_name);
        break;
    case EFFECT_NOTIFY:
        say_notice(text, core, &effect->of.incident, effect->at);
        break;
    case EFFECT_REJECT:
        text_add(text, reject_sentence((enum reject)effect->reject));
        break;
    case EFFECT_COUNT:
    default:
        break;
    }
}

const char *trace_step(const struct effect *effect)
{
    static const char *const by_state[INCIDENT_STATE_COUNT] = {
        [INCIDENT_OPEN] = "DETECT",      [INCIDENT_PLANNED] = "PLAN",      [INCIDENT_ACTING] = "ACT",
        [INCIDENT_VERIFYING] = "VERIFY", [INCIDENT_RESOLVED] = "RESOLVED", [INCIDENT_ESCALATED] = "PEOPLE"};
    switch ((enum effect_kind)effect->kind) {
    case EFFECT_RECORD:
        return effect->of.incident.why == WHY_ACKNOWLEDGED ? "PEOPLE" : by_state[effect->of.incident.state];
    case EFFECT_ACT:
        return "COMMAND";
    case EFFECT_ENDED:
        return effect->of.command.outcome == OUTCOME_DONE  ? "DONE"
               : effect->of.command.outcome == OUTCOME_CUT ? "CUT"
                                                           : "END";
    case EFFECT_BLOCKED:
        return "BLOCKED";
    case EFFECT_CONTROL:
        return "CONTROL";
    case EFFECT_TARGET:
        return "TARGET";
    case EFFECT_ASK:
        return "ASK";
    case EFFECT_NOTIFY:
        return "NOTIFY";
    case EFFECT_REJECT:
        return "REJECT";
    case EFFECT_COUNT:
    default:
        return "";
    }
}

static uint64_t incident_of(const struct effect *effect)
{
    switch ((enum effect_kind)effect->kind) {
    case EFFECT_RECORD:
    case EFFECT_BLOCKED:
    case EFFECT_ASK:
    case EFFECT_NOTIFY:
        return effect->of.incident.id;
    case EFFECT_ACT:
    case EFFECT_ENDED:
        return effect->of.command.incident;
    default:
        return 0;
    }
}

void trace_line(struct text *text, const struct core *core, const struct effect *effect)
{
    const char *name = effect->node == NO_INDEX ? "-" : core_node_name(core, effect->node);
    text_addf(text, "%-8s  %-8s  ", trace_step(effect), name);
    trace_sentence(text, core, effect);
    if (incident_of(effect) != 0) {
        text_addf(text, "  incident %llu", (unsigned long long)incident_of(effect));
    }
}

/* --- the words of core.h -------------------------------------------------------------------------------- */

#define X(symbol, name, ...) name,
const char *health_name(enum health health)
{
    static const char *const names[] = {X_HEALTHS(X)};
    CHECK((unsigned)health < HEALTH_COUNT);
    return names[health];
}

#undef X

const char *reject_sentence(enum reject reject)
{
#define X(symbol, name, sentence) sentence,
    static const char *const sentences[] = {X_REJECTS(X)};
#undef X
    CHECK((unsigned)reject < REJECT_COUNT);
    return sentences[reject];
}
