/* Verify: did it help? Only samples taken after the command's end and its settling time count, and only a run
 * of them long enough. Four verdicts: effective, ineffective, inconclusive (no fresh samples, or nobody can
 * say that it was done), harmed (something else here or at a caller got worse since). */
#include "core/state.h"
#include "core/mutant.h"

static const struct rung *rung_of(const struct core *core, const struct incident *incident)
{
    static const struct rung by_default = {.settle_ns = 1 * SECOND, .within_ns = 20 * SECOND};
    if (incident->detector == NO_INDEX) {
        return &by_default;
    }
    const struct detector *d = detector_of(core, incident);
    return incident->rung < d->ladder_count ? &d->ladder[incident->rung] : &by_default;
}

duration verify_within(const struct core *core, const struct incident *incident)
{
    return rung_of(core, incident)->within_ns;
}

void verify_begin(struct core *core, uint32_t slot, enum why why, struct effects *out)
{
    struct incident *incident = &slot_of(core, slot)->incident;
    const struct rung *rung = rung_of(core, incident);
    if (incident->state != INCIDENT_VERIFYING) { /* a late outcome finds it there already */
        incident_move(incident, INCIDENT_VERIFYING, why);
    }
    incident->why = (uint8_t)why;
    incident->verify_from = core->now + rung->settle_ns;
    incident->verify_by = core->now + rung->within_ns;
    incident->healthy_since = INSTANT_NONE;
    incident->fresh_samples = 0;
    slot_of(core, slot)->healthy_samples = 0;
    cold_of(core, incident->node)->target.ended_at = core->now;
    heap_set(heap_of(core), heap_item_of_slot(core, slot),
             MUTANT(verify_by_forgotten, INSTANT_NEVER, incident->verify_by));
    effects_add_incident(core, out, EFFECT_RECORD, incident);
    if (incident->detector == NO_INDEX || node_of(core, incident->node)->flags & NODE_GONE) {
        node_walk_later(core, incident->node); /* nobody watches it any more: the walk closes it */
    }
}

/* --- harm ----------------------------------------------------------------------------------------------- */

/* `only_felt`: a finding with a local cause is the node's own affair and does not count. */
static bool began_since(const struct core *core, uint32_t number, instant since, uint32_t except,
                        bool only_felt)
{
    const struct node *node = node_of(core, number);
    for (uint32_t d = 0; d < core->policy.detector_count; d++) {
        bool counts = d != except && !(only_felt && detector_has_local_cause(&core->policy.detectors[d]));
        if (counts && node->firing & (1u << d) && cold_of(core, number)->began_at[d] > since) {
            return true;
        }
    }
    return false;
}

static bool calls_directly(const struct core *core, uint32_t from, uint32_t to)
{
    const struct node_cold *cold = cold_of(core, from);
    for (uint32_t i = 0; i < cold->calls_count; i++) {
        if (cold->calls[i] == to) {
            return true;
        }
    }
    return false;
}

/* A finding whose first sample came after we acted: on the target, or on one that calls it. What was on its
 * way before is not our doing. */
static bool something_got_worse(const struct core *core, const struct incident *incident)
{
    if (began_since(core, incident->node, incident->acted_at, incident->detector, false)) {
        return true;
    }
    for (uint32_t n = 0; n < core->node_count; n++) {
        if (n != incident->node && calls_directly(core, n, incident->node) &&
            began_since(core, n, incident->acted_at, NO_INDEX, true)) {
            return true;
        }
    }
    return false;
}

/* --- verdicts ------------------------------------------------------------------------------------------- */

static void verdict_well(struct core *core, uint32_t slot, struct effects *out)
{
    struct incident *incident = &slot_of(core, slot)->incident;
    struct node *node = node_of(core, incident->node);
    act_release(core, slot, true, out);
    if (something_got_worse(core, incident)) {
        incident->verdict = VERDICT_HARMED;
        plan_close(core, slot, INCIDENT_ESCALATED, WHY_WORSE, out);
        return;
    }
    uint32_t bit = 1u << incident->detector;
    node->firing &= ~bit;
    node->clearing &= ~bit;
    /* "Effective" says that our command helped: without its outcome nobody can say so. */
    incident->verdict = MUTANT(effective_without_outcome, true, incident->outcome == OUTCOME_DONE)
                            ? VERDICT_EFFECTIVE
                            : VERDICT_INCONCLUSIVE;
    plan_close(core, slot, INCIDENT_RESOLVED, WHY_HEALTHY, out);
}

static void verdict_ill(struct core *core, uint32_t slot, struct effects *out)
{
    struct incident *incident = &slot_of(core, slot)->incident;
    act_release(core, slot, true, out);
    if (incident->fresh_samples < VERIFY_SAMPLES_MIN || incident->outcome != OUTCOME_DONE) {
        incident->verdict = VERDICT_INCONCLUSIVE;
        plan_close(core, slot, INCIDENT_ESCALATED, WHY_NO_EVIDENCE, out);
    } else if (something_got_worse(core, incident)) {
        incident->verdict = VERDICT_HARMED;
        plan_close(core, slot, INCIDENT_ESCALATED, WHY_WORSE, out);
    } else {
        incident->verdict = VERDICT_INEFFECTIVE;
        plan_next_rung(core, slot, WHY_STILL_ILL, out);
    }
}

/* --- what comes in -------------------------------------------------------------------------------------- */

static void note_after(struct incident *incident, const struct sample_pair *pair)
{
    for (uint32_t i = 0; i < incident->evidence_count; i++) {
        struct evidence *e = &incident->evidence[i];
        if (pair->present & (1u << e->condition.metric)) {
            e->after = pair->value[e->condition.metric];
        }
    }
}

void verify_report(struct core *core, uint32_t slot, const struct sample_pair *pair, bool hole,
                   struct effects *out)
{
    struct incident *incident = &slot_of(core, slot)->incident;
    const struct node *node = node_of(core, incident->node);
    instant at = node->sampled_at;
    if (incident->detector == NO_INDEX || at <= incident->verify_from) {
        return;
    }
    const struct detector *d = detector_of(core, incident);
    enum truth truth = detect_conditions(d->clear, d->clear_count, pair);
    if (truth == TRUTH_UNKNOWN) {
        return; /* missing data speaks for nobody */
    }
    incident->fresh_samples++;
    note_after(incident, pair);
    if (truth == TRUTH_FALSE) {
        incident->healthy_since = INSTANT_NONE;
        return;
    }
    struct slot *s = slot_of(core, slot);
    if (incident->healthy_since == INSTANT_NONE || hole) {
        incident->healthy_since = at;
        s->healthy_samples = 0;
    }
    s->healthy_samples++;
    bool lasted = detect_lasted(node, incident->healthy_since, at,
                                MUTANT(never_healthy_enough, 20, 1) * d->healthy_for_ns);
    if (lasted && s->healthy_samples >= VERIFY_SAMPLES_MIN) {
        verdict_well(core, slot, out);
    }
}

/* The verdict is due. A run of good samples that is under way may end first, once, within its own bound. */
void verify_due(struct core *core, uint32_t slot, struct effects *out)
{
    struct incident *incident = &slot_of(core, slot)->incident;
    uint32_t number = incident->node;
    if (incident->detector != NO_INDEX && incident->healthy_since != INSTANT_NONE) {
        duration more = detector_of(core, incident)->healthy_for_ns +
                        VERIFY_SAMPLES_MIN * node_of(core, number)->interval_ns;
        instant last = incident->ended_at + rung_of(core, incident)->within_ns + more;
        instant due = incident->healthy_since + more;
        due = due < last ? due : last;
        if (core->now < due) {
            incident->verify_by = due;
            heap_set(heap_of(core), heap_item_of_slot(core, slot), due);
            return;
        }
    }
    if (incident->detector == NO_INDEX) {
        node_walk_later(core, number);
        return;
    }
    verdict_ill(core, slot, out);
    node_refresh_illness(core, number, out);
}
