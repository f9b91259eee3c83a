/* Detectors: three-valued conditions over samples, with `for`, a clear condition of their own, and silence.
 *
 * A slot of a node is in one of four states, kept as bits of the node's hot row:
 *
 *     calm --when--> pending --when for `for`--> firing --clear--> clearing --clear for `healthy_for`--> calm
 *       ^____not when____|                          ^___not clear____|
 *
 * An unknown condition (a metric of it is missing) changes nothing: silence neither resolves nor condemns.
 * But a run of samples in which it stays unknown for longer than one may be missing is broken, and begins
 * anew. */
#include "core/state.h"
#include "core/mutant.h"

static enum truth compare(const struct condition *c, double x)
{
    bool is = false;
    switch ((enum comparison)c->comparison) {
    case COMPARE_GT:
        is = x > c->number;
        break;
    case COMPARE_GE:
        is = x >= c->number;
        break;
    case COMPARE_LT:
        is = x < c->number;
        break;
    case COMPARE_LE:
        is = x <= c->number;
        break;
    }
    return is ? TRUTH_TRUE : TRUTH_FALSE;
}

static enum truth test_condition(const struct condition *c, const struct sample_pair *pair)
{
    uint32_t bit = 1u << c->metric;
    if (!(pair->present & bit)) {
        return TRUTH_UNKNOWN;
    }
    double x = pair->value[c->metric];
    if (c->rate) {
        if (!(pair->previous_present & bit) || pair->elapsed_s <= 0) {
            return TRUTH_UNKNOWN;
        }
        x = (x - pair->previous[c->metric]) / pair->elapsed_s;
    }
    return compare(c, x);
}

/* All of them: one false makes it false, else one unknown makes it unknown. */
enum truth detect_conditions(const struct condition *conditions, uint32_t count,
                             const struct sample_pair *pair)
{
    enum truth truth = TRUTH_TRUE;
    for (uint32_t i = 0; i < count; i++) {
        enum truth one = test_condition(&conditions[i], pair);
        if (one == TRUTH_FALSE) {
            return TRUTH_FALSE;
        }
        if (one == TRUTH_UNKNOWN) {
            truth = TRUTH_UNKNOWN;
        }
    }
    return truth;
}

/* Node agents sample on timers of their own, a few milliseconds early or late; without an allowance a run of
 * exactly `for` would miss by one of them and wait a whole interval more. An eighth of an interval is far
 * above that jitter and far below a sample. */
bool detect_lasted(const struct node *node, instant since, instant at, duration wanted)
{
    return at - since + node->interval_ns / 8 >= wanted;
}

static void detect_calm(struct core *core, uint32_t number, uint32_t slot, const struct sample_pair *pair,
                        instant at, bool hole)
{
    const struct detector *d = &core->policy.detectors[slot];
    struct node *node = node_of(core, number);
    uint32_t bit = 1u << slot;
    enum truth truth = detect_conditions(d->when, d->when_count, pair);
    if (truth == TRUTH_FALSE) {
        node->pending &= ~bit;
        return;
    }
    if (truth == TRUTH_UNKNOWN) {
        return;
    }
    struct node_cold *cold = cold_of(core, number);
    if (!(node->pending & bit) || hole || at - cold->known_at[slot] > detect_hole(node)) {
        node->pending |= bit;
        cold->since[slot] = at;
    }
    cold->known_at[slot] = at;
    if (detect_lasted(node, cold->since[slot], at, d->for_ns)) {
        node->pending &= ~bit;
        node->firing |= bit;
        cold->began_at[slot] = cold->since[slot];
    }
}

static void detect_firing(struct core *core, uint32_t number, uint32_t slot, const struct sample_pair *pair,
                          instant at, bool hole)
{
    const struct detector *d = &core->policy.detectors[slot];
    struct node *node = node_of(core, number);
    struct node_cold *cold = cold_of(core, number);
    uint32_t bit = 1u << slot;
    /* For an absence detector a report is itself the good news. */
    enum truth truth = d->absent_ns > 0 ? TRUTH_TRUE : detect_conditions(d->clear, d->clear_count, pair);
    if (truth == TRUTH_FALSE) {
        node->clearing &= ~bit;
        return;
    }
    bool broken = hole || at - cold->known_at[slot] > detect_hole(node);
    if (truth == TRUTH_UNKNOWN) {
        node->clearing &= broken ? ~bit : UINT32_MAX; /* what is not seen any more does not look well */
        return;
    }
    if (!(node->clearing & bit) || broken) {
        node->clearing |= bit;
        cold->since[slot] = at;
    }
    cold->known_at[slot] = at;
    if (detect_lasted(node, cold->since[slot], at, MUTANT(never_healthy_enough, 20, 1) * d->healthy_for_ns)) {
        node->clearing &= ~bit;
        node->firing &= ~bit;
    }
}

/* Judges one sample under every detector. `hole`: more than two intervals lie between it and the one before.
 */
void detect_report(struct core *core, uint32_t number, const struct sample_pair *pair, instant at, bool hole)
{
    detect_adopt_generation(core, number);
    const struct node *node = node_of(core, number);
    for (uint32_t slot = 0; slot < core->policy.detector_count; slot++) {
        const struct detector *d = &core->policy.detectors[slot];
        if (d->name[0] == '\0') {
            continue;
        }
        if (node->firing & (1u << slot)) {
            detect_firing(core, number, slot, pair, at, hole);
        } else if (d->absent_ns == 0) {
            detect_calm(core, number, slot, pair, at, hole);
        }
    }
}

/* After how much silence slot `slot` fires for this node. Never before three intervals have passed. */
duration detect_silent_after(const struct core *core, const struct node *node, uint32_t slot)
{
    duration absent = core->policy.detectors[slot].absent_ns;
    return absent > 3 * node->interval_ns ? absent : 3 * node->interval_ns;
}

/* Fires the absence detectors whose time has come. */
void detect_silence(struct core *core, uint32_t number)
{
    detect_adopt_generation(core, number);
    struct node *node = node_of(core, number);
    instant from = node->seen_at > core->away_until ? node->seen_at : core->away_until;
    for (uint32_t slot = 0; slot < core->policy.detector_count; slot++) {
        uint32_t bit = 1u << slot;
        const struct detector *d = &core->policy.detectors[slot];
        if (d->name[0] == '\0' || d->absent_ns == 0) {
            continue;
        }
        if (core->now - from < detect_silent_after(core, node, slot)) {
            continue;
        }
        node->clearing &= ~bit;
        if (!(node->firing & bit)) {
            node->firing |= bit;
            cold_of(core, number)->began_at[slot] = node->seen_at;
        }
    }
}

/* A reload touches no node. The next look at a node forgets what was seen under a meaning that has changed.
 */
void detect_adopt_generation(struct core *core, uint32_t number)
{
    struct node *node = node_of(core, number);
    if (node->generation == core->policy_generation) {
        return;
    }
    for (uint32_t slot = 0; slot < DETECTOR_MAX; slot++) {
        if (core->slot_generation[slot] > node->generation) {
            uint32_t bit = 1u << slot;
            node->pending &= ~bit;
            node->firing &= ~bit;
            node->clearing &= ~bit;
        }
    }
    node->generation = core->policy_generation;
}
