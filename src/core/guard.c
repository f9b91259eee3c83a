/* Guards: every rule that can stop an action, in one place and in one order.
 *
 * Facts about the finding come first (plan.c looks at the earliest of them), then what people have switched,
 * then what the machine counts to stop itself, the budget, and approval last, so that a person is asked only
 * for what could be done at once. The first that applies is the block reason. What a person has approved
 * passes the machine's counters, and nothing else. */
#include "core/state.h"
#include "core/mutant.h"

static bool is_stale(const struct core *core, const struct node *node)
{
    return node->sampled_at == INSTANT_NONE ||
           MUTANT(stale_ignored, false, core->now - node->sampled_at > 2 * node->interval_ns + SECOND);
}

/* We were away (started anew, suspended): one full interval of this node must have passed, with a report in
 * it. */
static bool is_in_grace(const struct core *core, const struct node *node)
{
    bool early = node->seen_at < core->away_until || core->now < core->away_until + node->interval_ns;
    return core->away_until != INSTANT_NONE && MUTANT(grace_ignored, false, early);
}

/* A second, independent witness: in the finding itself, or in another finding on the same node. */
static bool is_corroborated(const struct core *core, const struct incident *incident)
{
    const struct detector *d = detector_of(core, incident);
    if (!d->confirm || MUTANT(never_corroborated, false, detector_witnesses(d) >= 2)) {
        return true;
    }
    uint32_t witnesses = 0;
    const struct node *node = node_of(core, incident->node);
    for (uint32_t slot = 0; slot < core->policy.detector_count; slot++) {
        if (node->firing & (1u << slot)) {
            witnesses |= detector_witness_mask(&core->policy.detectors[slot]);
        }
    }
    return MUTANT(never_corroborated, false, __builtin_popcount(witnesses) >= 2);
}

/* --- rates ---------------------------------------------------------------------------------------------- */

/* Which actions count for a limit: those of one rule, of one kind, or all. */
struct counted {
    uint64_t rule, meaning; /* either: neither a new name nor a new threshold makes a rule forget */
    bool of_rule, of_kind;
    uint8_t remedy;
};

static bool counts(const struct past_action *action, const struct counted *counted)
{
    return counted->of_rule   ? action->rule == counted->rule || action->meaning == counted->meaning
           : counted->of_kind ? action->remedy == counted->remedy
                              : true;
}

/* Counts back from the newest action. What was forgotten for want of room counts as an action. */
static bool exceeds(const struct core *core, const struct rate *rate, const struct counted *counted)
{
    uint32_t count = 0;
    for (uint32_t i = 1; i <= ACTIONS_KEPT && rate->max > 0; i++) {
        const struct past_action *action =
            &core->actions[(core->action_next + ACTIONS_KEPT - i) % ACTIONS_KEPT];
        if (action->acted_at == INSTANT_NONE ||
            core->now - action->acted_at >= MUTANT(rate_window_halved, rate->per_ns / 2, rate->per_ns)) {
            return false;
        }
        count += counts(action, counted);
        if (count >= MUTANT(rate_off_by_one, rate->max + 1, rate->max)) {
            return true;
        }
    }
    return rate->max > 0;
}

static enum block_reason check_rates(const struct core *core, const struct incident *incident)
{
    const struct guards *guards = &core->policy.guards;
    struct counted counted = {.rule = detector_name_key(incident->detector_name),
                              .meaning = detector_meaning_key(detector_of(core, incident)),
                              .remedy = incident->remedy,
                              .of_rule = true};
    if (MUTANT(rate_target_ignored, false, guards->rate_target.max > 0) &&
        target_attempts(core, incident->node, guards->rate_target.per_ns) >= guards->rate_target.max) {
        return BLOCK_RATE_TARGET;
    }
    if (exceeds(core, &guards->rate_rule, &counted)) {
        return BLOCK_RATE_RULE;
    }
    counted.of_rule = false;
    counted.of_kind = true;
    if (exceeds(core, &guards->rate_kind, &counted)) {
        return BLOCK_RATE_KIND;
    }
    counted.of_kind = false;
    return exceeds(core, &guards->rate_fleet, &counted) ? BLOCK_RATE_FLEET : BLOCK_NONE;
}

/* --- the guards ----------------------------------------------------------------------------------------- */

uint32_t core_budget(const struct core *core)
{
    double share = core->policy.guards.max_disrupted_ratio * core->fleet;
    return share < 1 ? 1 : (uint32_t)share;
}

/* What the finding and its node say about it. */
static enum block_reason check_facts(const struct core *core, const struct incident *incident)
{
    const struct node *node = node_of(core, incident->node);
    if (is_stale(core, node) || node->flags & NODE_SILENT) {
        return BLOCK_STALE;
    }
    if (is_in_grace(core, node)) {
        return BLOCK_GRACE;
    }
    if (!incident->approved && !is_corroborated(core, incident)) {
        return BLOCK_UNCORROBORATED;
    }
    return BLOCK_NONE;
}

static enum block_reason check_switches(const struct core *core, const struct incident *incident)
{
    if (MUTANT(dry_run_ignored, false, core->policy.mode == MODE_DRY_RUN)) {
        return BLOCK_DRY_RUN;
    }
    if (MUTANT(pause_ignored, false, MUTANT(never_acts, true, core->control.paused))) {
        return BLOCK_PAUSED;
    }
    if (MUTANT(breaker_ignored, false, core->control.breaker_open)) {
        return BLOCK_BREAKER;
    }
    bool in_flight = node_of(core, incident->node)->acting != NO_INDEX;
    return MUTANT(in_flight_ignored, false, in_flight) ? BLOCK_IN_FLIGHT : BLOCK_NONE;
}

/* What the machine counts, to stop itself. A person who approved the plan has seen more than the counters. */
static enum block_reason check_counters(const struct core *core, const struct incident *incident)
{
    const struct guards *guards = &core->policy.guards;
    const struct target *target = &cold_of(core, incident->node)->target;
    if (target->flapping) {
        return BLOCK_FLAPPING;
    }
    if (target_attempts(core, incident->node,
                        MUTANT(attempts_never_lapse, 100 * HOUR, guards->attempts_within_ns)) >=
        MUTANT(attempts_off_by_one, guards->attempts_max + 1, guards->attempts_max)) {
        return BLOCK_ATTEMPTS;
    }
    if (target->ended_at != INSTANT_NONE &&
        core->now - target->ended_at < MUTANT(cooldown_ignored, 0, guards->cooldown_ns)) {
        return BLOCK_COOLDOWN;
    }
    if (MUTANT(backoff_ignored, false, core->now < target_backs_off_until(core, incident->node))) {
        return BLOCK_BACKOFF;
    }
    return check_rates(core, incident);
}

/* Why `incident` must not act now; BLOCK_NONE if nothing speaks against it. Its state is PLANNED. */
enum block_reason guard_check(const struct core *core, const struct incident *incident)
{
    enum block_reason reason = check_facts(core, incident);
    if (reason == BLOCK_NONE) {
        reason = check_switches(core, incident);
    }
    if (reason == BLOCK_NONE && !incident->approved) {
        reason = check_counters(core, incident);
    }
    if (reason == BLOCK_NONE && core->disrupted + MUTANT(budget_off_by_one, 0, 1) > core_budget(core)) {
        reason = BLOCK_BUDGET;
    }
    if (reason == BLOCK_NONE && MUTANT(approval_ignored, false, core->policy.mode == MODE_APPROVE) &&
        !incident->approved) {
        reason = BLOCK_APPROVAL;
    }
    return reason;
}

/* People are told once when a finding cannot be acted on without them. */
static bool wants_people(enum block_reason reason)
{
    return reason == BLOCK_UNCORROBORATED || reason == BLOCK_FLAPPING || reason == BLOCK_RATE_TARGET ||
           reason == BLOCK_APPROVAL;
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
    incident->blocked_count += MUTANT(blocks_not_counted, 0, 1);
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
    struct control *control = &core->control;
    /* After our own start or absence the ill are counted one by one as they report. */
    bool settled = core->away_until == INSTANT_NONE || core->now - core->away_until >= MINUTE;
    if (settled && unhealthy < control->forgiven) {
        control->forgiven = unhealthy;
        effects_add_control(core, out);
    }
    if (control->breaker_open || core->fleet == 0 ||
        unhealthy < MUTANT(breaker_at_a_tenth, guards->breaker_at_least / 10, guards->breaker_at_least) ||
        unhealthy <= control->forgiven ||
        (double)unhealthy <=
            MUTANT(breaker_at_a_tenth, 0.1, 1) * guards->breaker_unhealthy_ratio * core->fleet) {
        return;
    }
    control->breaker_open = MUTANT(breaker_never_opens, 0, 1);
    effects_add_control(core, out);
}

void guard_reset_breaker(struct core *core)
{
    core->control.breaker_open = 0;
    core->control.forgiven = core_unhealthy(core);
}
