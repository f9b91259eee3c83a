/* Orders from outside: how a command ended, what a person says, what a planner proposes. */
#include "core/state.h"
#include "core/mutant.h"

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

/* An escalated incident whose finding still stands: a person may say that the last remedy of its ladder that
 * does something be tried all the same. REMEDY_NONE if there is none. */
static enum remedy remedy_to_retry(const struct core *core, const struct incident *incident)
{
    const struct node *node = node_of(core, incident->node);
    const struct detector *d = detector_of(core, incident);
    if (node->flags & NODE_GONE || !(node->firing & (1u << incident->detector))) {
        return REMEDY_NONE;
    }
    for (uint32_t rung = incident->rung + 1u; rung-- > 0;) {
        if (rung < d->ladder_count && remedy_infos[d->ladder[rung].remedy].disruptive) {
            return (enum remedy)d->ladder[rung].remedy;
        }
    }
    return REMEDY_NONE;
}

enum remedy core_approvable(const struct core *core, uint64_t id)
{
    const struct incident *incident = core_incident(core, id);
    if (incident == NULL || incident->detector == NO_INDEX) {
        return REMEDY_NONE;
    }
    return incident->state == INCIDENT_PLANNED     ? (enum remedy)incident->remedy
           : incident->state == INCIDENT_ESCALATED ? remedy_to_retry(core, incident)
                                                   : REMEDY_NONE;
}

/* A word for one plan, the one that was shown, and for a time. It passes what the machine counts to stop
 * itself; all other guards are asked as ever. */
static void step_approve(struct core *core, uint32_t slot, const struct operator_order *order,
                         struct effects *out)
{
    struct incident *incident = &slot_of(core, slot)->incident;
    enum remedy remedy = core_approvable(core, incident->id);
    if (remedy == REMEDY_NONE) {
        effects_add_reject(core, out, incident->node, REJECT_NOT_WAITING);
        return;
    }
    if (order->plan != incident->plan || (order->remedy != REMEDY_NONE && order->remedy != remedy)) {
        effects_add_reject(core, out, incident->node, REJECT_OTHER_PLAN);
        return;
    }
    if (incident->state == INCIDENT_PLANNED && incident->block == BLOCK_APPROVAL &&
        core->now >= incident->planned_at + core->policy.guards.approval_ns) {
        effects_add_reject(core, out, incident->node, REJECT_OTHER_PLAN);
        return;
    }
    if (incident->state == INCIDENT_ESCALATED) {
        plan_retry(core, slot, remedy);
    }
    incident->approved = 1;
    incident->approved_until = core->now + core->policy.guards.approval_ns;
    incident->why = WHY_APPROVED;
    effects_add_incident(core, out, EFFECT_RECORD, incident);
    plan_advance(core, slot, out);
}

/* A word against one plan, the one that was shown: that remedy is passed over, this time. What comes next on
 * the ladder is planned and weighed as ever. */
static void step_decline(struct core *core, uint32_t slot, const struct operator_order *order,
                         struct effects *out)
{
    struct incident *incident = &slot_of(core, slot)->incident;
    if (incident->state != INCIDENT_PLANNED || incident->detector == NO_INDEX) {
        effects_add_reject(core, out, incident->node, REJECT_NOT_WAITING);
        return;
    }
    if (order->plan != incident->plan ||
        (order->remedy != REMEDY_NONE && order->remedy != incident->remedy)) {
        effects_add_reject(core, out, incident->node, REJECT_OTHER_PLAN);
        return;
    }
    plan_decline(core, slot, out);
    plan_advance(core, slot, out);
}

/* When it ends, the next report of the node is weighed as ever: nothing is replayed. */
static void step_maintain(struct core *core, uint32_t number, duration length_ns, struct effects *out)
{
    if (number >= core->node_count || !(node_of(core, number)->flags & NODE_KNOWN)) {
        effects_add_reject(core, out, number, REJECT_UNKNOWN_NODE);
        return;
    }
    if (length_ns < 0 || length_ns > MAINTAIN_MAX_NS) {
        effects_add_reject(core, out, number, REJECT_BAD_VALUE);
        return;
    }
    struct target *target = &cold_of(core, number)->target;
    duration kept_ns = MUTANT(maintenance_never_ends, MAINTAIN_MAX_NS, length_ns);
    target->maintained_until = length_ns > 0 ? core->now + kept_ns : INSTANT_NONE;
    effects_add_target(core, out, number);
    node_refresh_maintenance(core, number, out);
    node_walk_later(core, number);
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
    if (order->word == OPERATOR_MAINTAIN) {
        step_maintain(core, event->node, order->maintain_ns, out);
        return;
    }
    uint32_t s = plan_find(core, order->incident);
    if (s == NO_INDEX) {
        effects_add_reject(core, out, event->node, REJECT_UNKNOWN_INCIDENT);
    } else if (order->word == OPERATOR_APPROVE) {
        step_approve(core, s, order, out);
    } else if (order->word == OPERATOR_DECLINE) {
        step_decline(core, s, order, out);
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
