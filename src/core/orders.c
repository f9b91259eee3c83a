/* Orders from outside: how a command ended, what a person says, what a planner proposes. */
#include "core/state.h"

void orders_command_end(struct core *core, const struct event *event, struct effects *out)
{
    const struct command_end *end = &event->of.command_end;
    uint32_t s = node_of(core, event->node)->acting;
    if (end->outcome == OUTCOME_NONE || end->outcome >= OUTCOME_UNKNOWN) {
        effects_add_reject(core, out, event->node, REJECT_BAD_VALUE);
        return;
    }
    const struct incident *incident = s == NO_INDEX ? NULL : &slot_of(core, s)->incident;
    bool awaited = incident != NULL && incident->command == end->command &&
                   (incident->outcome == OUTCOME_NONE || incident->outcome == OUTCOME_UNKNOWN);
    if (!awaited) {
        effects_add_reject(core, out, event->node, REJECT_UNKNOWN_COMMAND);
        return;
    }
    act_end(core, s, end, out);
}

static void step_approve(struct core *core, uint32_t slot, enum remedy shown, struct effects *out)
{
    struct incident *incident = &slot_of(core, slot)->incident;
    if (incident->state != INCIDENT_PLANNED || core->policy.mode != MODE_APPROVE ||
        incident->detector == NO_INDEX) {
        effects_add_reject(core, out, incident->node, REJECT_NOT_WAITING);
        return;
    }
    if (shown != REMEDY_NONE && shown != incident->remedy) {
        effects_add_reject(core, out, incident->node, REJECT_OTHER_PLAN);
        return;
    }
    incident->approved = 1;
    incident->why = WHY_APPROVED;
    effects_add_incident(core, out, EFFECT_RECORD, incident);
    plan_advance(core, slot, out);
}

static void step_fleet_word(struct core *core, enum operator_word word, struct effects *out)
{
    if (word == OPERATOR_RESET) {
        guard_reset_breaker(core);
    } else {
        core->control.paused = word == OPERATOR_PAUSE;
    }
    /* What was stopped is weighed anew at the next report of its node: nothing is replayed. */
    effects_add_control(core, out);
}

void orders_person(struct core *core, const struct event *event, struct effects *out)
{
    const struct operator_order *order = &event->of.operator_order;
    if (order->word >= OPERATOR_WORD_COUNT || order->remedy > REMEDY_NONE) {
        effects_add_reject(core, out, event->node, REJECT_BAD_VALUE);
        return;
    }
    if (order->word == OPERATOR_PAUSE || order->word == OPERATOR_RESUME || order->word == OPERATOR_RESET) {
        step_fleet_word(core, (enum operator_word)order->word, out);
        return;
    }
    uint32_t s = plan_find(core, order->incident);
    if (s == NO_INDEX) {
        effects_add_reject(core, out, event->node, REJECT_UNKNOWN_INCIDENT);
    } else if (order->word == OPERATOR_APPROVE) {
        step_approve(core, s, (enum remedy)order->remedy, out);
    } else {
        struct incident *incident = &slot_of(core, s)->incident;
        incident->acknowledged = 1;
        incident->why = WHY_ACKNOWLEDGED;
        effects_add_incident(core, out, EFFECT_RECORD, incident);
    }
}

/* A planner proposes, the core disposes: the remedy must stand on the ladder of this finding. */
void orders_proposal(struct core *core, const struct event *event, struct effects *out)
{
    const struct proposal *proposal = &event->of.proposal;
    uint32_t s = plan_find(core, proposal->incident);
    if (s == NO_INDEX) {
        effects_add_reject(core, out, event->node, REJECT_UNKNOWN_INCIDENT);
        return;
    }
    struct incident *incident = &slot_of(core, s)->incident;
    if (incident->state != INCIDENT_OPEN || core->now >= incident->planner_by ||
        incident->detector == NO_INDEX) {
        effects_add_reject(core, out, incident->node, REJECT_NOT_WAITING);
        return;
    }
    const struct detector *d = detector_of(core, incident);
    for (uint8_t rung = incident->rung; rung < d->ladder_count; rung++) {
        if (d->ladder[rung].remedy != proposal->remedy) {
            continue;
        }
        incident->planner_by = INSTANT_NONE;
        incident->rung = rung;
        incident->proposed = 1;
        plan_advance(core, s, out);
        return;
    }
    effects_add_reject(core, out, incident->node, REJECT_NOT_ON_LADDER);
}
