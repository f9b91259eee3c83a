#include "journal/codec.h"

struct codec codec_into(uint8_t *bytes, size_t room)
{
    return (struct codec){.at = bytes, .end = bytes + room};
}

struct codec codec_from(const uint8_t *bytes, size_t length)
{
    uint8_t *at = (uint8_t *)(uintptr_t)bytes; /* only read, since it decodes */
    return (struct codec){.at = at, .end = at + length, .decodes = true};
}

/* --- the small ones ------------------------------------------------------------------------------------- */

static void walk_hello(struct codec *c, struct hello *hello)
{
    codec_bytes(c, hello->name, sizeof hello->name);
    codec_64(c, &hello->boot);
    codec_time(c, &hello->interval_ns);
    for (int i = 0; i < CALLS_MAX; i++)
        codec_32(c, &hello->calls[i]);
    codec_32(c, &hello->calls_count);
    codec_32(c, &hello->reserved);
}

static void walk_report(struct codec *c, struct report *report)
{
    codec_64(c, &report->boot);
    codec_64(c, &report->sequence);
    codec_time(c, &report->age_ns);
    codec_32(c, &report->present);
    if (report->present >> METRIC_COUNT) {
        c->bad = true;
        return;
    }
    for (int m = 0; m < METRIC_COUNT; m++)
        if (report->present & 1u << m)
            codec_double(c, &report->value[m]);
}

static void walk_command_end(struct codec *c, struct command_end *end)
{
    codec_64(c, &end->command);
    codec_8(c, &end->outcome);
    codec_8(c, &end->began);
    codec_bytes(c, end->reserved, sizeof end->reserved);
}

static void walk_order(struct codec *c, struct operator_order *order)
{
    codec_64(c, &order->incident);
    codec_time(c, &order->maintain_ns);
    codec_32(c, &order->plan);
    codec_8(c, &order->word);
    codec_8(c, &order->remedy);
    codec_bytes(c, order->reserved, sizeof order->reserved);
}

static void walk_proposal(struct codec *c, struct proposal *proposal)
{
    codec_64(c, &proposal->incident);
    codec_8(c, &proposal->remedy);
    codec_bytes(c, proposal->reserved, sizeof proposal->reserved);
}

void codec_command(struct codec *c, struct command *command)
{
    codec_64(c, &command->id);
    codec_64(c, &command->epoch);
    codec_64(c, &command->incident);
    codec_64(c, &command->boot);
    codec_time(c, &command->ordered_at);
    codec_time(c, &command->expires_at);
    codec_time(c, &command->answer_by);
    codec_time(c, &command->ended_at);
    codec_64(c, &command->rule);
    codec_64(c, &command->meaning);
    codec_32(c, &command->node);
    codec_32(c, &command->attempt);
    codec_8(c, &command->remedy);
    codec_8(c, &command->outcome);
    codec_8(c, &command->by_person);
    codec_bytes(c, command->reserved, sizeof command->reserved);
}

/* --- policies ------------------------------------------------------------------------------------------- */

static void walk_condition(struct codec *c, struct condition *condition)
{
    codec_double(c, &condition->number);
    codec_8(c, &condition->metric);
    codec_8(c, &condition->comparison);
    codec_8(c, &condition->rate);
    codec_bytes(c, condition->reserved, sizeof condition->reserved);
}

static void walk_rung(struct codec *c, struct rung *rung)
{
    codec_time(c, &rung->settle_ns);
    codec_time(c, &rung->within_ns);
    codec_8(c, &rung->remedy);
    codec_bytes(c, rung->reserved, sizeof rung->reserved);
}

static void walk_detector(struct codec *c, struct detector *detector)
{
    codec_bytes(c, detector->name, sizeof detector->name);
    for (int i = 0; i < CONDITION_MAX; i++)
        walk_condition(c, &detector->when[i]);
    for (int i = 0; i < CONDITION_MAX; i++)
        walk_condition(c, &detector->clear[i]);
    codec_time(c, &detector->for_ns);
    codec_time(c, &detector->healthy_for_ns);
    codec_time(c, &detector->absent_ns);
    for (int i = 0; i < LADDER_MAX; i++)
        walk_rung(c, &detector->ladder[i]);
    codec_8(c, &detector->when_count);
    codec_8(c, &detector->clear_count);
    codec_8(c, &detector->ladder_count);
    codec_8(c, &detector->severity);
    codec_8(c, &detector->confirm);
    codec_bytes(c, detector->reserved, sizeof detector->reserved);
}

static void walk_rate(struct codec *c, struct rate *rate)
{
    codec_time(c, &rate->per_ns);
    codec_32(c, &rate->max);
    codec_32(c, &rate->reserved);
}

static void walk_window(struct codec *c, struct window *window)
{
    codec_bytes(c, window->nodes, sizeof window->nodes);
    codec_time(c, &window->from_at);
    codec_time(c, &window->until_at);
    codec_time(c, &window->after_midnight_ns);
    codec_time(c, &window->lasts_ns);
    codec_8(c, &window->days);
    codec_bytes(c, window->reserved, sizeof window->reserved);
}

static void walk_guards(struct codec *c, struct guards *guards)
{
    codec_double(c, &guards->max_disrupted_ratio);
    codec_double(c, &guards->breaker_unhealthy_ratio);
    codec_32(c, &guards->breaker_at_least);
    codec_32(c, &guards->attempts_max);
    codec_time(c, &guards->attempts_within_ns);
    codec_time(c, &guards->cooldown_ns);
    codec_time(c, &guards->recurrence_ns);
    codec_time(c, &guards->backoff_base_ns);
    codec_time(c, &guards->backoff_cap_ns);
    codec_time(c, &guards->backoff_reset_ns);
    walk_rate(c, &guards->rate_target);
    walk_rate(c, &guards->rate_rule);
    walk_rate(c, &guards->rate_kind);
    walk_rate(c, &guards->rate_fleet);
    codec_time(c, &guards->flapping_within_ns);
    codec_32(c, &guards->flapping_changes);
    codec_32(c, &guards->window_count);
    for (int i = 0; i < WINDOW_MAX; i++)
        walk_window(c, &guards->windows[i]);
    codec_time(c, &guards->approval_ns);
    codec_time(c, &guards->hold_ns);
}

static void walk_policy(struct codec *c, struct policy *policy)
{
    for (int i = 0; i < DETECTOR_MAX; i++)
        walk_detector(c, &policy->detectors[i]);
    walk_guards(c, &policy->guards);
    codec_time(c, &policy->planner_wait_ns);
    codec_32(c, &policy->detector_count);
    codec_8(c, &policy->mode);
    codec_bytes(c, policy->reserved, sizeof policy->reserved);
}

/* --- what is restored ----------------------------------------------------------------------------------- */

static void walk_control(struct codec *c, struct control *control)
{
    codec_64(c, &control->epoch);
    codec_64(c, &control->next_incident);
    codec_64(c, &control->next_command);
    codec_32(c, &control->forgiven);
    codec_8(c, &control->paused);
    codec_8(c, &control->breaker_open);
    codec_bytes(c, control->reserved, sizeof control->reserved);
}

static void walk_evidence(struct codec *c, struct evidence *evidence)
{
    codec_double(c, &evidence->before);
    codec_double(c, &evidence->after);
    walk_condition(c, &evidence->condition);
}

static void walk_incident(struct codec *c, struct incident *incident)
{
    instant *const instants[] = {
        &incident->began_at,       &incident->opened_at,  &incident->planned_at,     &incident->acted_at,
        &incident->answer_by,      &incident->ended_at,   &incident->verify_from,    &incident->verify_by,
        &incident->healthy_since,  &incident->closed_at,  &incident->hold_until,     &incident->planner_by,
        &incident->approved_until, &incident->blocked_at, &incident->blocked_last_at};
    uint32_t *const numbers[] = {&incident->node,         &incident->detector, &incident->fresh_samples,
                                 &incident->attempts,     &incident->reopened, &incident->plan,
                                 &incident->blocked_count};
    uint8_t *const words[] = {&incident->evidence_count, &incident->state,      &incident->severity,
                              &incident->rung,           &incident->remedy,     &incident->outcome,
                              &incident->verdict,        &incident->block,      &incident->why,
                              &incident->proposed,       &incident->approved,   &incident->acknowledged,
                              &incident->explained,      &incident->local_cause};
    codec_64(c, &incident->id);
    codec_64(c, &incident->command);
    for (size_t i = 0; i < sizeof instants / sizeof instants[0]; i++)
        codec_time(c, instants[i]);
    for (int i = 0; i < CONDITION_MAX; i++)
        walk_evidence(c, &incident->evidence[i]);
    codec_bytes(c, incident->detector_name, sizeof incident->detector_name);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        codec_32(c, numbers[i]);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        codec_8(c, words[i]);
    codec_bytes(c, incident->reserved, sizeof incident->reserved);
}

static void walk_action(struct codec *c, struct restored_action *action)
{
    codec_64(c, &action->command);
    codec_64(c, &action->boot);
    codec_time(c, &action->expires_at);
    codec_time(c, &action->acted_at);
    codec_time(c, &action->ended_at);
    codec_64(c, &action->rule);
    codec_64(c, &action->meaning);
    codec_8(c, &action->remedy);
    codec_8(c, &action->by_person);
    codec_bytes(c, action->reserved, sizeof action->reserved);
}

static void walk_target(struct codec *c, struct target *target)
{
    codec_time(c, &target->ended_at);
    codec_time(c, &target->trouble_at);
    codec_time(c, &target->maintained_until);
    for (int i = 0; i < CHANGES_MAX; i++)
        codec_time(c, &target->changed_at[i]);
    codec_32(c, &target->change_next);
    codec_32(c, &target->streak);
    codec_8(c, &target->flapping);
    codec_bytes(c, target->reserved, sizeof target->reserved);
}

static void walk_restore(struct codec *c, struct restore *restore)
{
    codec_8(c, &restore->kind);
    codec_bytes(c, restore->reserved, sizeof restore->reserved);
    switch ((enum restore_kind)restore->kind) {
    case RESTORE_CONTROL:
        walk_control(c, &restore->what.control);
        break;
    case RESTORE_INCIDENT:
        walk_incident(c, &restore->what.incident);
        break;
    case RESTORE_ACTION:
        walk_action(c, &restore->what.action);
        break;
    case RESTORE_NODE:
        walk_hello(c, &restore->what.node);
        break;
    case RESTORE_TARGET:
        walk_target(c, &restore->what.target);
        break;
    default:
        c->bad = true;
    }
}

/* --- the event ------------------------------------------------------------------------------------------ */

void codec_event(struct codec *c, struct event *event, struct policy *policy)
{
    codec_time(c, &event->at);
    codec_32(c, &event->node);
    codec_8(c, &event->kind);
    codec_bytes(c, event->reserved, sizeof event->reserved);
    if (c->bad)
        return;
    switch ((enum event_kind)event->kind) {
    case EVENT_HELLO:
        walk_hello(c, &event->of.hello);
        break;
    case EVENT_REPORT:
        walk_report(c, &event->of.report);
        break;
    case EVENT_COMMAND_END:
        walk_command_end(c, &event->of.command_end);
        break;
    case EVENT_OPERATOR:
        walk_order(c, &event->of.operator_order);
        break;
    case EVENT_PROPOSAL:
        walk_proposal(c, &event->of.proposal);
        break;
    case EVENT_POLICY:
        walk_policy(c, policy);
        break;
    case EVENT_RESTORE:
        walk_restore(c, &event->of.restore);
        break;
    case EVENT_GAP:
        codec_time(c, &event->of.gap.length_ns);
        break;
    case EVENT_GOODBYE:
    case EVENT_DEADLINE:
        break;
    case EVENT_COUNT:
    default:
        c->bad = true;
    }
}
