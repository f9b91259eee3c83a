/* Plan: what a finding is, what explains it, and which remedy comes next. */
#include "core/state.h"
#include "core/mutant.h"

/* --- slots ---------------------------------------------------------------------------------------------- */

uint32_t plan_take_slot(struct core *core, uint32_t number)
{
    uint32_t s = core->free_slot;
    if (s != NO_INDEX) {
        core->free_slot = slot_of(core, s)->next;
    } else if (core->slot_count < core->config.incident_capacity) {
        s = core->slot_count++;
    } else {
        return NO_INDEX;
    }
    struct slot *slot = slot_of(core, s);
    struct node *node = node_of(core, number);
    memset(slot, 0, sizeof *slot);
    slot->used = 1;
    slot->next = node->first_incident;
    node->first_incident = s;
    return s;
}

uint32_t plan_find(const struct core *core, uint64_t id)
{
    for (uint32_t s = 0; s < core->slot_count; s++) {
        if (slot_of(core, s)->used && slot_of(core, s)->incident.id == id) {
            return s;
        }
    }
    return NO_INDEX;
}

/* Forgets an incident; the store has it. */
void plan_release(struct core *core, uint32_t slot)
{
    struct slot *gone = slot_of(core, slot);
    struct node *node = node_of(core, gone->incident.node);
    if (node->first_incident == slot) {
        node->first_incident = gone->next;
    } else {
        uint32_t s = node->first_incident;
        while (slot_of(core, s)->next != slot) {
            s = slot_of(core, s)->next;
            CHECK(s != NO_INDEX);
        }
        slot_of(core, s)->next = gone->next;
    }
    CHECK(node->acting != slot);
    heap_set(heap_of(core), heap_item_of_slot(core, slot), INSTANT_NEVER);
    gone->used = 0;
    gone->next = core->free_slot;
    core->free_slot = slot;
}

/* --- opening -------------------------------------------------------------------------------------------- */

static void note_evidence(const struct core *core, struct incident *incident)
{
    const struct node *node = node_of(core, incident->node);
    const struct detector *d = detector_of(core, incident);
    incident->evidence_count = d->when_count;
    for (uint32_t i = 0; i < d->when_count; i++) {
        struct evidence *e = &incident->evidence[i];
        uint32_t bit = 1u << d->when[i].metric;
        e->condition = d->when[i];
        e->before = node->present & bit ? node->value[d->when[i].metric] : __builtin_nan("");
        e->after = __builtin_nan("");
    }
}

/* A finding may have a cause elsewhere: then its plan waits for news from there. */
static void start_waits(struct core *core, struct incident *incident, struct effects *out)
{
    const struct guards *guards = &core->policy.guards;
    incident->hold_until = incident->local_cause ? INSTANT_NONE : core->now + guards->hold_ns;
    incident->planner_by = INSTANT_NONE;
    if (core->policy.planner_wait_ns > 0) {
        incident->planner_by = core->now + core->policy.planner_wait_ns;
        effects_add_incident(core, out, EFFECT_ASK, incident);
    }
}

uint32_t plan_open(struct core *core, uint32_t number, uint32_t detector, struct effects *out)
{
    target_note_opening(core, number);
    uint32_t s = plan_take_slot(core, number);
    if (s == NO_INDEX) {
        effects_add_reject(core, out, number, REJECT_INCIDENTS_FULL);
        return NO_INDEX;
    }
    const struct detector *d = &core->policy.detectors[detector];
    const struct node_cold *cold = cold_of(core, number);
    struct incident *incident = &slot_of(core, s)->incident;
    incident->id = core->control.next_incident++;
    effects_add_control(core, out);
    incident->node = number;
    incident->detector = detector;
    memcpy(incident->detector_name, d->name, DETECTOR_NAME_SIZE);
    incident->state = INCIDENT_OPEN;
    incident->why = WHY_FINDING;
    incident->severity = d->severity;
    incident->remedy = REMEDY_NONE;
    incident->local_cause = detector_has_local_cause(d);
    incident->began_at = cold->began_at[detector];
    incident->opened_at = core->now;
    incident->planned_at = incident->acted_at = incident->answer_by = incident->ended_at = INSTANT_NONE;
    incident->verify_from = incident->verify_by = incident->healthy_since = incident->closed_at =
        INSTANT_NONE;
    incident->approved_until = incident->blocked_at = incident->blocked_last_at = INSTANT_NONE;
    note_evidence(core, incident);
    effects_add_incident(core, out, EFFECT_RECORD, incident);
    start_waits(core, incident, out);
    return s;
}

/* "Resolved" was too early: what was done only masked it, so the next rung is due. */
void plan_reopen(struct core *core, uint32_t slot, struct effects *out)
{
    struct incident *incident = &slot_of(core, slot)->incident;
    heap_set(heap_of(core), heap_item_of_slot(core, slot), INSTANT_NEVER);
    incident_move(incident, INCIDENT_OPEN, WHY_REOPENED);
    incident->verdict = VERDICT_INEFFECTIVE;
    incident->reopened++;
    incident->rung++;
    incident->closed_at = INSTANT_NONE;
    incident->remedy = REMEDY_NONE;
    incident->approved = incident->proposed = incident->acknowledged = 0;
    note_evidence(core, incident);
    effects_add_incident(core, out, EFFECT_RECORD, incident);
    start_waits(core, incident, out);
}

/* --- closing -------------------------------------------------------------------------------------------- */

/* Resolved or escalated. A verified one is remembered for the recurrence window, an escalated one until its
 * finding is gone; any other leaves the core at once. */
void plan_close(struct core *core, uint32_t slot, enum incident_state state, enum why why,
                struct effects *out)
{
    struct incident *incident = &slot_of(core, slot)->incident;
    uint32_t number = incident->node;
    incident_move(incident, state, why);
    incident->closed_at = core->now;
    target_note_trouble(core, number);
    guard_note(core, slot, BLOCK_NONE, out);
    effects_add_incident(core, out, EFFECT_RECORD, incident);
    if (state == INCIDENT_ESCALATED) {
        if (MUTANT(people_never_told, false, true)) {
            effects_add_incident(core, out, EFFECT_NOTIFY, incident);
        }
        /* Of a node that has left nothing may ever be heard again. */
        heap_set(heap_of(core), heap_item_of_slot(core, slot),
                 why == WHY_UNWATCHED ? core->now + core->policy.guards.recurrence_ns : INSTANT_NEVER);
    } else if (incident->verdict == VERDICT_EFFECTIVE && why == WHY_HEALTHY) {
        heap_set(heap_of(core), heap_item_of_slot(core, slot), core->now + core->policy.guards.recurrence_ns);
    } else {
        plan_release(core, slot);
    }
    node_refresh_illness(core, number, out);
}

/* --- attribution ---------------------------------------------------------------------------------------- */

/* A trouble that the machine still has, or that people were told of not long ago. What they leave alone for
 * longer than the recurrence window explains nobody any more, or one full disk would leave every caller to
 * its fate for ever. */
static bool node_is_sick(const struct core *core, uint32_t number)
{
    const struct node *node = node_of(core, number);
    if (node->flags & NODE_GONE) {
        return false;
    }
    instant heard_at = node->seen_at > core->away_until ? node->seen_at : core->away_until;
    bool newly = core->now < heard_at + core->policy.guards.recurrence_ns;
    if ((node->flags & NODE_SILENT && newly) || node->acting != NO_INDEX) {
        return true;
    }
    for (uint32_t s = node->first_incident; s != NO_INDEX; s = slot_of(core, s)->next) {
        const struct incident *i = &slot_of(core, s)->incident;
        instant told_until = i->closed_at + core->policy.guards.recurrence_ns;
        bool left_alone = (i->block == BLOCK_STALE || i->block == BLOCK_UNCORROBORATED ||
                           i->block == BLOCK_FLAPPING || i->block == BLOCK_APPROVAL) &&
                          core->now >= i->blocked_at + core->policy.guards.recurrence_ns;
        if ((incident_is_active(i) && !left_alone) ||
            (i->state == INCIDENT_ESCALATED && core->now < told_until)) {
            return true;
        }
    }
    return false;
}

/* Something below is sick. Nodes of a ring of calls do not explain each other, or nobody would ever be
 * healed. */
static bool callee_explains(const struct core *core, uint32_t number)
{
    uint32_t queue[WALK_MAX];
    uint32_t count = 1;
    queue[0] = number;
    for (uint32_t i = 0; i < count; i++) {
        const struct node_cold *cold = cold_of(core, queue[i]);
        for (uint32_t c = 0; c < cold->calls_count; c++) {
            uint32_t callee = cold->calls[c];
            bool seen = false;
            for (uint32_t k = 0; k < count && !seen; k++) {
                seen = queue[k] == callee;
            }
            if (seen || count == WALK_MAX) {
                continue;
            }
            queue[count++] = callee;
            if (node_is_sick(core, callee) && !node_calls_reach(core, callee, number)) {
                return true;
            }
        }
    }
    return false;
}

/* What users see of a node is explained by a finding with a local cause on it, and by what is being done
 * about one. */
static bool neighbour_explains(const struct core *core, const struct incident *incident)
{
    const struct node *node = node_of(core, incident->node);
    for (uint32_t s = node->first_incident; s != NO_INDEX; s = slot_of(core, s)->next) {
        const struct incident *other = &slot_of(core, s)->incident;
        bool in_work = other->state == INCIDENT_ACTING || other->state == INCIDENT_VERIFYING;
        if (other->id != incident->id && (in_work || (other->local_cause && incident_is_active(other)))) {
            return true;
        }
    }
    return false;
}

/* Only findings without a cause of their own can be explained: a busy processor is nobody else's. */
bool plan_is_explained(const struct core *core, const struct incident *incident)
{
    return !incident->local_cause &&
           (neighbour_explains(core, incident) || callee_explains(core, incident->node));
}

/* News from below may itself be late. The wait is over when each callee has been looked at within its last
 * interval; one that stays behind for longer than the lateness that is granted is not waited for. */
static bool holds_for_news(const struct core *core, const struct incident *incident)
{
    if (incident->hold_until == INSTANT_NONE) {
        return false;
    }
    const struct node_cold *cold = cold_of(core, incident->node);
    for (uint32_t c = 0; c < cold->calls_count; c++) {
        const struct node *callee = node_of(core, cold->calls[c]);
        instant wanted = incident->hold_until - callee->interval_ns;
        instant until = incident->hold_until + LATENESS_INTERVALS * callee->interval_ns;
        if (callee->flags & NODE_HERE && !(callee->flags & NODE_SILENT) && callee->sampled_at < wanted &&
            core->now < until) {
            return true;
        }
    }
    return core->now < incident->hold_until;
}

/* --- the ladder ----------------------------------------------------------------------------------------- */

static void plan_choose(struct core *core, uint32_t slot, enum remedy remedy, enum why why,
                        struct effects *out)
{
    struct incident *incident = &slot_of(core, slot)->incident;
    incident_move(incident, INCIDENT_PLANNED, why);
    incident->remedy = (uint8_t)remedy;
    incident->planned_at = core->now;
    incident->plan++;
    incident->approved = 0;
    incident->proposed = why == WHY_PROPOSAL;
    guard_note(core, slot, BLOCK_NONE, out);
    effects_add_incident(core, out, EFFECT_RECORD, incident);
}

/* The built-in plan: the rung that is due. Nothing left, or a rung that says so: people. */
static void plan_built_in(struct core *core, uint32_t slot, struct effects *out)
{
    struct incident *incident = &slot_of(core, slot)->incident;
    const struct detector *d = detector_of(core, incident);
    if (incident->rung >= d->ladder_count) {
        plan_close(core, slot, INCIDENT_ESCALATED, WHY_LADDER_END, out);
        return;
    }
    enum remedy remedy = (enum remedy)d->ladder[incident->rung].remedy;
    if (!remedy_infos[remedy].disruptive) {
        incident->remedy = (uint8_t)remedy;
        plan_close(core, slot, INCIDENT_ESCALATED, WHY_PAGE, out);
        return;
    }
    plan_choose(core, slot, remedy, incident->proposed ? WHY_PROPOSAL : WHY_LADDER, out);
}

static void try_to_act(struct core *core, uint32_t slot, struct effects *out)
{
    struct incident *incident = &slot_of(core, slot)->incident;
    node_refresh_illness(core, incident->node, out); /* the one too many must not be acted on itself */
    enum block_reason reason = guard_check(core, incident);
    guard_note(core, slot, reason, out);
    if (reason == BLOCK_NONE) {
        act_order(core, slot, out);
    } else if (reason == BLOCK_ATTEMPTS) {
        plan_close(core, slot, INCIDENT_ESCALATED, WHY_GAVE_UP, out);
    }
}

/* The policy may have changed since: what it no longer says is not done. */
static bool plan_stands(const struct core *core, const struct incident *incident)
{
    const struct detector *d = detector_of(core, incident);
    bool stands = incident->rung < d->ladder_count && d->ladder[incident->rung].remedy == incident->remedy;
    return MUTANT(plan_outlives_its_policy, true, stands);
}

/* What a person approved, or was shown for approval, is of its time: after it he is shown it anew. */
static bool plan_has_lapsed(const struct core *core, const struct incident *incident)
{
    instant shown_until = incident->planned_at + core->policy.guards.approval_ns;
    return incident->approved ? MUTANT(approval_never_lapses, false, core->now >= incident->approved_until)
                              : incident->block == BLOCK_APPROVAL && core->now >= shown_until;
}

static void plan_again(struct core *core, uint32_t slot, enum why why, struct effects *out)
{
    struct incident *incident = &slot_of(core, slot)->incident;
    incident_move(incident, INCIDENT_OPEN, why);
    incident->remedy = REMEDY_NONE;
    incident->approved = 0;
    incident->proposed &= why == WHY_LAPSED;
    guard_note(core, slot, BLOCK_NONE, out);
    effects_add_incident(core, out, EFFECT_RECORD, incident);
}

/* Takes an OPEN or PLANNED incident as far as it can go now; others are left as they are. */
void plan_advance(struct core *core, uint32_t slot, struct effects *out)
{
    struct incident *incident = &slot_of(core, slot)->incident;
    bool waits = incident->state == INCIDENT_OPEN || incident->state == INCIDENT_PLANNED;
    if (!waits || incident->detector == NO_INDEX) {
        return;
    }
    if (incident->state == INCIDENT_PLANNED && !plan_stands(core, incident)) {
        plan_again(core, slot, WHY_REPLANNED, out);
    } else if (incident->state == INCIDENT_PLANNED && plan_has_lapsed(core, incident)) {
        plan_again(core, slot, WHY_LAPSED, out);
    }
    incident->explained = plan_is_explained(core, incident);
    if (incident->explained) {
        incident->hold_until = core->now + core->policy.guards.hold_ns;
        guard_note(core, slot, BLOCK_EXPLAINED, out);
        return;
    }
    if (node_of(core, incident->node)->clearing & (1u << incident->detector)) {
        guard_note(core, slot, BLOCK_CLEARING, out);
        return;
    }
    if (MUTANT(maintenance_ignored, false, target_is_maintained(core, incident->node, NULL))) {
        guard_note(core, slot, BLOCK_MAINTENANCE, out);
        return;
    }
    if (holds_for_news(core, incident)) {
        guard_note(core, slot, BLOCK_HOLD, out);
        return;
    }
    if (incident->state == INCIDENT_OPEN && core->now < incident->planner_by) {
        guard_note(core, slot, BLOCK_PLANNER, out);
        return;
    }
    if (incident->state == INCIDENT_OPEN) {
        plan_built_in(core, slot, out);
    }
    /* The slot may have been closed and even released by now. */
    if (slot_of(core, slot)->used && incident->state == INCIDENT_PLANNED) {
        try_to_act(core, slot, out);
    }
}

/* What was tried did not help, or is not wanted: the next rung, or people. `why` says how we know. */
void plan_next_rung(struct core *core, uint32_t slot, enum why why, struct effects *out)
{
    struct incident *incident = &slot_of(core, slot)->incident;
    const struct detector *d = detector_of(core, incident);
    bool declined = why == WHY_DECLINED;
    incident->rung++;
    if (incident->rung >= d->ladder_count) {
        plan_close(core, slot, INCIDENT_ESCALATED, declined ? why : WHY_LADDER_END, out);
        return;
    }
    enum remedy remedy = (enum remedy)d->ladder[incident->rung].remedy;
    if (!remedy_infos[remedy].disruptive) {
        incident->remedy = (uint8_t)remedy;
        plan_close(core, slot, INCIDENT_ESCALATED, declined ? why : WHY_PAGE, out);
        return;
    }
    plan_choose(core, slot, remedy, why, out);
}

/* A ladder may try one remedy twice running; who declines it has declined both. */
void plan_decline(struct core *core, uint32_t slot, struct effects *out)
{
    struct incident *incident = &slot_of(core, slot)->incident;
    const struct detector *d = detector_of(core, incident);
    while (incident->rung + 1u < d->ladder_count &&
           d->ladder[incident->rung + 1u].remedy == incident->remedy) {
        incident->rung++;
    }
    plan_again(core, slot, WHY_DECLINED, out);
    plan_next_rung(core, slot, WHY_DECLINED, out);
}

/* A person wants that remedy of its ladder tried all the same. Its rung is the newest one of that remedy, so
 * that the plan stands on the ladder. */
void plan_retry(struct core *core, uint32_t slot, enum remedy remedy)
{
    struct incident *incident = &slot_of(core, slot)->incident;
    const struct detector *d = detector_of(core, incident);
    uint8_t found = 0;
    incident_move(incident, INCIDENT_PLANNED, WHY_APPROVED);
    for (uint8_t rung = 0; rung < d->ladder_count; rung++) {
        if (d->ladder[rung].remedy == remedy && rung <= incident->rung) {
            found = rung;
        }
    }
    incident->rung = found;
    incident->remedy = (uint8_t)remedy;
    incident->planned_at = core->now;
    incident->closed_at = INSTANT_NONE;
}

static void plan_forget_left(struct core *core, uint32_t slot)
{
    const struct incident *incident = &slot_of(core, slot)->incident;
    struct node *node = node_of(core, incident->node);
    if (!(node->flags & NODE_HERE)) {
        node->firing &= incident->detector == NO_INDEX ? node->firing : ~(1u << incident->detector);
        plan_release(core, slot);
    }
}

/* The heap's top was this incident. */
void plan_due(struct core *core, uint32_t slot, struct effects *out)
{
    struct slot *due = slot_of(core, slot);
    heap_set(heap_of(core), heap_item_of_slot(core, slot), INSTANT_NEVER);
    switch ((enum incident_state)due->incident.state) {
    case INCIDENT_ACTING:
        act_no_answer(core, slot, out);
        break;
    case INCIDENT_VERIFYING:
        verify_due(core, slot, out);
        break;
    case INCIDENT_RESOLVED:
        plan_release(core, slot);
        break;
    case INCIDENT_ESCALATED:
        plan_forget_left(core, slot);
        break;
    case INCIDENT_OPEN:
    case INCIDENT_PLANNED:
    default:
        break;
    }
}
