/* Guards: every rule that can stop an action, in one place and in one order.
 *
 * Facts about the finding come first, people's and the fleet's limits next, approval last, so that a person
 * is asked only for what could be done at once. The first that applies is the block reason. */
#include "core/state.h"

static bool is_stale(const struct core *core, const struct node *node)
{
    return node->sampled_at == INSTANT_NONE || core->now - node->sampled_at > 2 * node->interval_ns + SECOND;
}

/* We were away (started anew, suspended): one full interval of this node must have passed, with a report in
 * it. */
static bool is_in_grace(const struct core *core, const struct node *node)
{
    return core->away_until != INSTANT_NONE &&
           (node->seen_at < core->away_until || core->now < core->away_until + node->interval_ns);
}

/* A second, independent witness: in the finding itself, or in another finding on the same node. */
static bool is_corroborated(const struct core *core, const struct incident *incident)
{
    const struct detector *d = detector_of(core, incident);
    if (!d->confirm || detector_witnesses(d) >= 2) {
        return true;
    }
    uint32_t witnesses = 0;
    const struct node *node = node_of(core, incident->node);
    for (uint32_t slot = 0; slot < core->policy.detector_count; slot++) {
        if (node->firing & (1u << slot)) {
            witnesses |= detector_witness_mask(&core->policy.detectors[slot]);
        }
    }
    return __builtin_popcount(witnesses) >= 2;
}

static uint32_t attempts_used(const struct core *core, const struct node_cold *cold)
{
    uint32_t used = 0;
    for (uint32_t i = 0; i < ACTIONS_KEPT; i++) {
        used += cold->acted_at[i] != INSTANT_NONE &&
                core->now - cold->acted_at[i] < core->policy.guards.attempts_within_ns;
    }
    return used;
}

uint32_t core_budget(const struct core *core)
{
    double share = core->policy.guards.max_disrupted_ratio * core->fleet;
    return share < 1 ? 1 : (uint32_t)share;
}

/* Why `incident` must not act now; BLOCK_NONE if nothing speaks against it. Its state is PLANNED. */
enum block_reason guard_check(const struct core *core, const struct incident *incident)
{
    const struct guards *guards = &core->policy.guards;
    const struct node *node = node_of(core, incident->node);
    const struct node_cold *cold = cold_of(core, incident->node);
    if (is_stale(core, node) || node->flags & NODE_SILENT) {
        return BLOCK_STALE;
    }
    if (is_in_grace(core, node)) {
        return BLOCK_GRACE;
    }
    if (!is_corroborated(core, incident)) {
        return BLOCK_UNCORROBORATED;
    }
    if (core->policy.mode == MODE_DRY_RUN) {
        return BLOCK_DRY_RUN;
    }
    if (core->control.paused) {
        return BLOCK_PAUSED;
    }
    if (core->control.breaker_open) {
        return BLOCK_BREAKER;
    }
    if (node->acting != NO_INDEX) {
        return BLOCK_IN_FLIGHT;
    }
    if (attempts_used(core, cold) >= guards->attempts_max) {
        return BLOCK_ATTEMPTS;
    }
    if (cold->action_ended_at != INSTANT_NONE && core->now - cold->action_ended_at < guards->cooldown_ns) {
        return BLOCK_COOLDOWN;
    }
    if (core->disrupted + 1 > core_budget(core)) {
        return BLOCK_BUDGET;
    }
    if (core->policy.mode == MODE_APPROVE && !incident->approved) {
        return BLOCK_APPROVAL;
    }
    return BLOCK_NONE;
}

/* People are told once when a finding cannot be acted on without them. */
static bool wants_people(enum block_reason reason)
{
    return reason == BLOCK_UNCORROBORATED || reason == BLOCK_APPROVAL;
}

/* The count of a reason that is over, or of which much has not been told. */
static void tell_block(struct core *core, struct slot *slot, struct effects *out)
{
    slot->incident.blocked_last_at = core->now;
    slot->blocked_told = slot->incident.blocked_count;
    effects_add_incident(core, out, EFFECT_BLOCKED, &slot->incident);
}

/* Counts this evaluation under its reason; BLOCK_NONE ends the reason before. A new reason is told at once,
 * an old one now and then and at its end, with its count. */
void guard_note(struct core *core, uint32_t slot, enum block_reason reason, struct effects *out)
{
    struct slot *s = slot_of(core, slot);
    struct incident *incident = &s->incident;
    bool is_new = incident->block != reason;
    if (is_new && incident->block != BLOCK_NONE && incident->blocked_count > s->blocked_told) {
        tell_block(core, s, out);
    }
    if (is_new) {
        incident->block = (uint8_t)reason;
        incident->blocked_at = core->now;
        incident->blocked_count = s->blocked_told = 0;
    }
    if (reason == BLOCK_NONE) {
        return;
    }
    incident->blocked_count++;
    if (is_new || core->now - incident->blocked_last_at >= BLOCK_REPEAT_NS) {
        tell_block(core, s, out);
    }
    if (is_new && wants_people(reason)) {
        effects_add_incident(core, out, EFFECT_NOTIFY, incident);
    }
}

/* Too many are ill by themselves, or silent: suspicion falls on us. Latched until a person says reset; then
 * it takes more than he knew of to open it again. */
void guard_check_breaker(struct core *core, struct effects *out)
{
    const struct guards *guards = &core->policy.guards;
    uint32_t unhealthy = core_unhealthy(core);
    core->forgiven = unhealthy < core->forgiven ? unhealthy : core->forgiven;
    if (core->control.breaker_open || core->fleet == 0 || unhealthy < guards->breaker_at_least ||
        unhealthy <= core->forgiven || (double)unhealthy <= guards->breaker_unhealthy_ratio * core->fleet) {
        return;
    }
    core->control.breaker_open = 1;
    effects_add_control(core, out);
}

void guard_reset_breaker(struct core *core)
{
    core->control.breaker_open = 0;
    core->forgiven = core_unhealthy(core);
}
