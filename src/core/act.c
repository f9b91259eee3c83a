/* Act: one command to one node agent, and how it ended. */
#include "core/state.h"
#include "core/mutant.h"

/* The guards have agreed. */
void act_order(struct core *core, uint32_t slot, struct effects *out)
{
    struct slot *s = slot_of(core, slot);
    struct incident *incident = &s->incident;
    struct node *node = node_of(core, incident->node);
    struct target *target = &cold_of(core, incident->node)->target;
    CHECK(node->acting == NO_INDEX);

    memset(&s->command, 0, sizeof s->command);
    s->command.id = core->control.epoch << 32 | core->control.next_command;
    core->control.next_command += MUTANT(command_number_reused, 0, 1);
    s->command.epoch = core->control.epoch;
    s->command.incident = incident->id;
    s->command.boot = node->boot;
    s->command.ordered_at = core->now;
    s->command.expires_at = core->now + COMMAND_EXPIRES_NS;
    s->command.answer_by = core->now + COMMAND_ANSWER_NS;
    s->command.ended_at = INSTANT_NONE;
    s->command.node = incident->node;
    s->command.attempt = ++incident->attempts;
    s->command.remedy = incident->remedy;
    s->command.rule = detector_name_key(incident->detector_name);
    s->command.meaning = detector_meaning_key(detector_of(core, incident));
    s->command.by_person = incident->approved;
    effects_add_control(core, out);

    incident->plan += incident->approved; /* an approval is used up: the same word once more is for no plan */
    incident->command = s->command.id;
    incident->acted_at = core->now;
    incident->answer_by = s->command.answer_by;
    incident->ended_at = INSTANT_NONE;
    incident->outcome = OUTCOME_NONE;
    incident->verdict = VERDICT_NONE;
    incident_move(incident, INCIDENT_ACTING, WHY_GUARDS_PASSED);

    node->acting = slot;
    core->disrupted++;
    target_note_action(core, incident->node,
                       &(struct restored_action){.acted_at = core->now,
                                                 .rule = s->command.rule,
                                                 .meaning = s->command.meaning,
                                                 .remedy = s->command.remedy,
                                                 .by_person = s->command.by_person});
    target->streak += MUTANT(streak_not_counted, 0, !s->command.by_person && target->streak < UINT32_MAX);
    target->trouble_at = core->now;
    heap_set(heap_of(core), heap_item_of_slot(core, slot),
             MUTANT(answer_by_forgotten, INSTANT_NEVER, incident->answer_by));

    effects_add_target(core, out, incident->node);
    effects_add_incident(core, out, EFFECT_RECORD, incident);
    effects_add(core, out, EFFECT_ACT, incident->node)->of.command = s->command;
}

/* The target is no longer in work; if it was disrupted, its cooldown counts from here. */
void act_release(struct core *core, uint32_t slot, bool disrupted, struct effects *out)
{
    const struct incident *incident = &slot_of(core, slot)->incident;
    struct node *node = node_of(core, incident->node);
    CHECK(node->acting == slot);
    node->acting = NO_INDEX;
    CHECK(core->disrupted > 0);
    core->disrupted--;
    if (disrupted) {
        struct target *target = &cold_of(core, incident->node)->target;
        target->ended_at = target->trouble_at = core->now;
        effects_add_target(core, out, incident->node);
    }
    heap_set(heap_of(core), heap_item_of_slot(core, slot), INSTANT_NEVER);
}

static void record_end(struct core *core, uint32_t slot, enum outcome outcome, struct effects *out)
{
    struct slot *s = slot_of(core, slot);
    s->command.ended_at = core->now;
    s->command.outcome = (uint8_t)outcome;
    s->incident.ended_at = core->now;
    s->incident.outcome = (uint8_t)outcome;
    effects_add(core, out, EFFECT_ENDED, s->incident.node)->of.command = s->command;
}

/* What never began disrupted nobody: it may be tried again, except where the node agent says it cannot do
 * this at all. */
static void end_not_begun(struct core *core, uint32_t slot, enum outcome outcome, struct effects *out)
{
    struct incident *incident = &slot_of(core, slot)->incident;
    act_release(core, slot, false, out);
    struct target *target = &cold_of(core, incident->node)->target;
    if (target->streak > 0 && !slot_of(core, slot)->command.by_person) {
        target->streak--; /* nothing to back off from; it still counts as an attempt */
        effects_add_target(core, out, incident->node);
    }
    if (outcome == OUTCOME_UNSUPPORTED) {
        plan_next_rung(core, slot, WHY_NOT_BEGUN, out);
        return;
    }
    incident->approved = MUTANT(approval_not_used_up, incident->approved, 0); /* one word, one command */
    incident_move(incident, INCIDENT_PLANNED, WHY_NOT_BEGUN);
    effects_add_incident(core, out, EFFECT_RECORD, incident);
}

/* The node agent says how the command ended. `slot` is ACTING, or VERIFYING with an unknown outcome: then its
 * answer is late, and is taken like one in time. */
void act_end(struct core *core, uint32_t slot, const struct command_end *end, struct effects *out)
{
    struct incident *incident = &slot_of(core, slot)->incident;
    enum outcome outcome = (enum outcome)end->outcome;
    uint32_t number = incident->node;
    bool observe = incident->detector == NO_INDEX || node_of(core, number)->flags & NODE_GONE ||
                   outcome == OUTCOME_DONE || (outcome == OUTCOME_CUT && end->began);
    record_end(core, slot, outcome, out);
    if (observe) {
        verify_begin(core, slot, WHY_COMMAND_ENDED, out);
    } else if (!end->began) {
        end_not_begun(core, slot, outcome, out);
    } else {
        incident->verdict = VERDICT_INEFFECTIVE;
        act_release(core, slot, true, out);
        plan_next_rung(core, slot, WHY_COMMAND_FAILED, out);
    }
    node_refresh_illness(core, number, out);
}

/* The answer is overdue: whether it happened is unknown, and only observation can tell. */
void act_no_answer(struct core *core, uint32_t slot, struct effects *out)
{
    record_end(core, slot, OUTCOME_UNKNOWN, out);
    verify_begin(core, slot, WHY_NO_ANSWER, out);
}
