/* Restore and gap: the core learns what was before it was made, or that it was away. */
#include "core/state.h"
#include "core/mutant.h"

/* As far as the incident knows it; restore_action() completes it. */
static void restore_command(struct slot *slot)
{
    const struct incident *incident = &slot->incident;
    slot->command = (struct command){.id = incident->command,
                                     .epoch = incident->command >> 32,
                                     .incident = incident->id,
                                     .ordered_at = incident->acted_at,
                                     .expires_at = incident->acted_at + COMMAND_EXPIRES_NS,
                                     .answer_by = incident->answer_by,
                                     .ended_at = incident->ended_at,
                                     .node = incident->node,
                                     .attempt = incident->attempts,
                                     .by_person = incident->approved,
                                     .remedy = incident->remedy,
                                     .outcome = incident->outcome};
}

/* A callee's run of bad samples begins anew when we were away: who may be explained by one waits for as long
 * as its own finding took, and for the usual hold. */
static void hold_anew(const struct core *core, struct incident *incident)
{
    bool waits = incident->state == INCIDENT_OPEN || incident->state == INCIDENT_PLANNED;
    if (waits && !incident->local_cause && incident->detector != NO_INDEX) {
        instant until = core->now + core->policy.guards.hold_ns + detector_of(core, incident)->for_ns;
        incident->hold_until = until > incident->hold_until ? until : incident->hold_until;
    }
}

/* Of what is resolved only a verified one is remembered (plan_close()); others would but take the room of
 * what is open. So do the verified ones, where the policy has been changed to remember them longer. */
static bool is_remembered(const struct incident *stored)
{
    return stored->state != INCIDENT_RESOLVED ||
           (stored->verdict == VERDICT_EFFECTIVE && stored->why == WHY_HEALTHY);
}

static uint32_t take_slot(struct core *core, const struct incident *stored)
{
    uint32_t s = plan_take_slot(core, stored->node);
    for (uint32_t i = 0; s == NO_INDEX && stored->state != INCIDENT_RESOLVED && i < core->slot_count; i++) {
        if (slot_of(core, i)->used && slot_of(core, i)->incident.state == INCIDENT_RESOLVED) {
            plan_release(core, i);
            s = plan_take_slot(core, stored->node);
        }
    }
    return s;
}

static void restore_incident(struct core *core, const struct incident *stored, struct effects *out)
{
    bool sane = stored->node < core->config.node_capacity && stored->state < INCIDENT_STATE_COUNT &&
                stored->remedy <= REMEDY_NONE && stored->evidence_count <= CONDITION_MAX &&
                stored->block < BLOCK_REASON_COUNT && stored->verdict < VERDICT_COUNT &&
                stored->outcome < OUTCOME_COUNT && plan_find(core, stored->id) == NO_INDEX;
    bool in_flight = stored->state == INCIDENT_ACTING || stored->state == INCIDENT_VERIFYING;
    if (sane) {
        node_cover(core, stored->node);
    }
    if (!sane || (in_flight && node_of(core, stored->node)->acting != NO_INDEX)) {
        effects_add_reject(core, out, NO_INDEX, REJECT_BAD_VALUE);
        return;
    }
    struct node *node = node_of(core, stored->node);
    struct target *target = &cold_of(core, stored->node)->target;
    if (stored->attempts > 0 && stored->closed_at > target->ended_at) {
        target->ended_at = stored->closed_at; /* the end of its verification */
    }
    if (!is_remembered(stored)) {
        return;
    }
    uint32_t s = take_slot(core, stored);
    if (s == NO_INDEX) {
        effects_add_reject(core, out, stored->node, REJECT_INCIDENTS_FULL);
        return;
    }
    struct slot *slot = slot_of(core, s);
    slot->incident = *stored;
    slot->incident.attempts = MUTANT(restart_forgets_attempts, 0, stored->attempts);
    slot->incident.blocked_count = 0;
    slot->incident.detector = reload_find_detector(&core->policy, stored->detector_name);
    restore_command(slot);
    hold_anew(core, &slot->incident);
    if (slot->incident.detector != NO_INDEX && stored->state != INCIDENT_RESOLVED) {
        detect_adopt_generation(core, stored->node);
        node->firing |= 1u << slot->incident.detector;
        node->flags |= NODE_WAS_ILL;
        cold_of(core, stored->node)->began_at[slot->incident.detector] = stored->began_at;
    }
    instant due = INSTANT_NEVER;
    if (in_flight) {
        /* The time we were away is not held against the node agent. */
        node->acting = s;
        core->disrupted++;
        bool acting = stored->state == INCIDENT_ACTING;
        instant least = core->now + (acting ? COMMAND_ANSWER_NS : verify_within(core, &slot->incident));
        instant *by = acting ? &slot->incident.answer_by : &slot->incident.verify_by;
        *by = *by < least ? least : *by;
        due = *by;
    } else if (stored->state == INCIDENT_ESCALATED && !(node->flags & NODE_HERE)) {
        due = core->now + core->policy.guards.recurrence_ns;
    } else if (stored->state == INCIDENT_RESOLVED) {
        due = stored->closed_at + core->policy.guards.recurrence_ns;
    }
    heap_set(heap_of(core), heap_item_of_slot(core, s), due);
    node_walk_later(core, stored->node);
}

struct restored_action core_restored_action(const struct command *command)
{
    bool not_begun = outcome_never_began((enum outcome)command->outcome);
    instant ended_at = command->ended_at == INSTANT_NONE ? command->ordered_at : command->ended_at;
    return (struct restored_action){.command = command->id,
                                    .boot = command->boot,
                                    .expires_at = command->expires_at,
                                    .acted_at = command->ordered_at,
                                    .ended_at = not_begun ? INSTANT_NONE : ended_at,
                                    .rule = command->rule,
                                    .meaning = command->meaning,
                                    .remedy = command->remedy,
                                    .by_person = command->by_person};
}

/* They come the oldest first. */
static void restore_action(struct core *core, uint32_t number, const struct restored_action *action)
{
    node_cover(core, number);
    if (MUTANT(restart_forgets_actions, false, true)) {
        target_note_action(core, number, action);
    }
    for (uint32_t s = node_of(core, number)->first_incident; s != NO_INDEX; s = slot_of(core, s)->next) {
        struct command *command = &slot_of(core, s)->command;
        if (action->command != 0 && command->id == action->command) {
            command->boot = action->boot;
            command->expires_at = action->expires_at;
            command->rule = action->rule;
            command->meaning = action->meaning;
            command->by_person = action->by_person;
        }
    }
    struct target *target = &cold_of(core, number)->target;
    if (action->ended_at > target->ended_at) {
        target->ended_at = action->ended_at;
    }
}

void restore_step(struct core *core, const struct event *event, struct effects *out)
{
    const struct restore *restore = &event->of.restore;
    switch ((enum restore_kind)restore->kind) {
    case RESTORE_CONTROL:
        core->control = restore->what.control;
        core->control.paused =
            MUTANT(restart_forgets_pause, 0, MUTANT(restart_forgets_resume, 1, core->control.paused));
        core->away_until = MUTANT(start_forgotten, INSTANT_NONE, core->now);
        return;
    case RESTORE_NODE:
        if (!node_hello(core, event->node, &restore->what.node, false)) {
            effects_add_reject(core, out, event->node, REJECT_BAD_VALUE);
        }
        return;
    case RESTORE_INCIDENT:
        restore_incident(core, &restore->what.incident, out);
        return;
    case RESTORE_ACTION:
        restore_action(core, event->node, &restore->what.action);
        return;
    case RESTORE_TARGET:
        node_cover(core, event->node);
        target_restore(core, event->node, &restore->what.target);
        return;
    default:
        effects_add_reject(core, out, event->node, REJECT_BAD_VALUE);
    }
}

/* We were away: nothing that fell due meanwhile may be held against anybody. Every wait gets the lost time
 * back. */
void restore_gap(struct core *core, const struct event *event)
{
    duration lost = event->of.gap.length_ns;
    core->away_until = MUTANT(gap_forgotten, core->away_until, core->now);
    for (uint32_t s = 0; s < core->slot_count && lost > 0; s++) {
        struct slot *slot = slot_of(core, s);
        struct incident *i = &slot->incident;
        if (!slot->used || i->state == INCIDENT_RESOLVED || i->state == INCIDENT_ESCALATED) {
            continue;
        }
        i->answer_by += i->answer_by != INSTANT_NONE ? lost : 0;
        i->verify_by += i->verify_by != INSTANT_NONE ? lost : 0;
        i->hold_until += i->hold_until != INSTANT_NONE ? lost : 0;
        hold_anew(core, i);
        i->planner_by += i->planner_by != INSTANT_NONE ? lost : 0;
        instant due = heap_at(heap_of(core), heap_item_of_slot(core, s));
        if (due != INSTANT_NEVER) {
            heap_set(heap_of(core), heap_item_of_slot(core, s), due + lost);
        }
    }
}
