/* Excuses: why the core says that it does nothing, judged from outside. A core that is never in the wrong
 * because it never does anything would pass every other check. */
#include "sim/check_state.h"

#include <string.h>

typedef unsigned long long id;

/* --- what the books keep for it ------------------------------------------------------------------------- */

static void push(instant newest_first[CHANGES_MAX], instant at)
{
    memmove(&newest_first[1], &newest_first[0], (CHANGES_MAX - 1) * sizeof newest_first[0]);
    newest_first[0] = at;
}

static uint32_t count_since(const instant newest_first[CHANGES_MAX], instant since)
{
    uint32_t count = 0;
    while (count < CHANGES_MAX && newest_first[count] != INSTANT_NONE && newest_first[count] > since) {
        count++;
    }
    return count;
}

void excuse_init(struct node_book *node)
{
    for (uint32_t i = 0; i < CHANGES_MAX; i++) {
        node->moved_at[i] = node->turned_at[i] = INSTANT_NONE;
    }
    node->steady_from = INSTANT_NONE;
}

/* Without it no node can have turned ill or well: an incident of its moves, or begins or ceases to be
 * explained. */
void excuse_note_move(struct node_book *node, const struct incident_book *before,
                      const struct incident_book *after, instant at)
{
    bool explained = (before->block == BLOCK_EXPLAINED) != (after->block == BLOCK_EXPLAINED);
    if (node != NULL && (before->id == 0 || before->state != after->state || explained)) {
        push(node->moved_at, at);
    }
}

/* ... and the core tells of its turns with the step. */
void excuse_note_target(struct node_book *node, const struct target *target, instant at)
{
    while (node != NULL && node->change_next != target->change_next % CHANGES_MAX) {
        node->change_next = (node->change_next + 1) % CHANGES_MAX;
        push(node->turned_at, at);
    }
}

/* A hole between samples, or other samples than before: who was getting well begins anew. */
void excuse_note_report(struct node_book *node, const struct report *report, instant sampled_at, instant at)
{
    bool hole =
        node->sampled_at == INSTANT_NONE || 2 * (sampled_at - node->sampled_at) > 3 * node->interval_ns;
    if (hole || node->present != report->present || node->steady_from == INSTANT_NONE) {
        node->steady_from = at;
    }
    node->present = report->present;
}

/* What was turning when the control plane fell may turn once more. */
void excuse_note_restart(struct checker *checker, instant at)
{
    for (uint32_t n = 0; n < checker->nodes; n++) {
        struct node_book *node = &checker->node[n];
        push(node->moved_at, at);
        push(node->turned_at, at);
        node->steady_from = INSTANT_NONE;
    }
}

/* --- the counters --------------------------------------------------------------------------------------- */

static uint32_t acted_since(const struct node_book *node, instant since)
{
    uint32_t count = 0;
    while (count <= ATTEMPTS_MAX && node->kept.acted_at[count] != INSTANT_NONE &&
           node->kept.acted_at[count] > since) {
        count++;
    }
    return count;
}

static bool may_have_acted(const struct node_book *node, duration within_ns, uint32_t max, instant at)
{
    return acted_since(node, at - within_ns) >= max;
}

static bool is_just_reloaded(const struct checker *checker, instant at)
{
    return checker->policy_at == INSTANT_NONE || at - checker->policy_at <= CHECKER_BUSY_NS;
}

static bool may_flap(const struct checker *checker, const struct node_book *node, instant at)
{
    const struct guards *g = &checker->policy.guards;
    instant since = at - g->flapping_within_ns - CHECKER_BUSY_NS;
    bool turned = 2 * count_since(node->moved_at, since) >= g->flapping_changes &&
                  2 * count_since(node->turned_at, since) >= g->flapping_changes;
    return (g->flapping_changes > 0 && turned) || is_just_reloaded(checker, at);
}

/* --- the facts ------------------------------------------------------------------------------------------ */

static const struct detector *detector_named(const struct checker *checker, const char *name)
{
    for (uint32_t i = 0; i < checker->policy.detector_count; i++) {
        if (strncmp(checker->policy.detectors[i].name, name, DETECTOR_NAME_SIZE) == 0) {
            return &checker->policy.detectors[i];
        }
    }
    return NULL;
}

/* No second witness in the finding itself, nor in another one of the node that was there before. */
static bool may_stand_alone(const struct checker *checker, const struct incident_book *book, instant before)
{
    const struct detector *own = detector_named(checker, book->detector_name);
    if (own == NULL || checker->policy_at >= before) {
        return true;
    }
    if (!own->confirm) {
        return false;
    }
    uint32_t witnesses = detector_witness_mask(own);
    for (uint32_t i = 0; i < checker->incidents.count; i++) {
        const struct incident_book *other = shelf_row(&checker->incidents, i);
        bool fires = other->state == INCIDENT_OPEN || other->state == INCIDENT_PLANNED;
        if (other->node != book->node || !fires || other->active_at >= before) {
            continue;
        }
        const struct detector *d = detector_named(checker, other->detector_name);
        witnesses |= d != NULL ? detector_witness_mask(d) : 0;
    }
    return __builtin_popcount(witnesses) < 2;
}

/* --- together ------------------------------------------------------------------------------------------- */

bool excuse_holds(const struct checker *checker, const struct incident_book *book, enum block_reason reason,
                  instant at, duration slack_ns)
{
    const struct guards *g = &checker->policy.guards;
    const struct node_book *node = book->node < checker->nodes ? &checker->node[book->node] : NULL;
    bool unknown = checker->older_rows || node == NULL;
    switch (reason) {
    case BLOCK_APPROVAL:
        return checker->policy.mode == MODE_APPROVE;
    case BLOCK_DRY_RUN:
        return checker->policy.mode == MODE_DRY_RUN;
    case BLOCK_PAUSED:
        return checker->control.paused;
    case BLOCK_BREAKER:
        return checker->control.breaker_open;
    case BLOCK_UNCORROBORATED:
        return may_stand_alone(checker, book, at - slack_ns);
    case BLOCK_FLAPPING:
        return unknown || may_flap(checker, node, at);
    case BLOCK_ATTEMPTS:
        return unknown || may_have_acted(node, g->attempts_within_ns + slack_ns, g->attempts_max, at);
    case BLOCK_RATE_TARGET:
        return unknown || (g->rate_target.max > 0 &&
                           may_have_acted(node, g->rate_target.per_ns + slack_ns, g->rate_target.max, at));
    case BLOCK_MAINTENANCE:
        return unknown || order_is_maintained(checker, node, at) ||
               order_is_maintained(checker, node, at - slack_ns);
    default:
        return true;
    }
}

/* It has looked well for longer than anybody asked for, and is not taken for well: told with one more report.
 */
static void check_clearing(struct checker *checker, const struct effect *effect,
                           const struct incident_book *before)
{
    const struct incident *incident = &effect->of.incident;
    const struct node_book *node = books_node(checker, incident->node);
    const struct detector *d = detector_named(checker, incident->detector_name);
    if (node == NULL || d == NULL || checker->step.kind != EVENT_REPORT ||
        node->steady_from == INSTANT_NONE || before->blocked_at != incident->blocked_at) {
        return;
    }
    instant since = incident->blocked_at;
    since = node->steady_from > since ? node->steady_from : since;
    since = checker->policy_at > since ? checker->policy_at : since;
    since = checker->away_until > since ? checker->away_until : since;
    if (effect->at - since > 2 * d->healthy_for_ns + CHECKER_BUSY_NS) {
        violation_add(checker, effect->at, incident->node, INVARIANT_L1,
                      "incident %llu looks well for %.0f s, and %.0f s are asked for", (id)incident->id,
                      duration_seconds(effect->at - since), duration_seconds(d->healthy_for_ns));
    }
}

/* Told as stopped, and just now if the reason is a new one. */
void excuse_check(struct checker *checker, const struct effect *effect, const struct incident_book *before)
{
    const struct incident *incident = &effect->of.incident;
    enum block_reason reason = (enum block_reason)incident->block;
    struct incident_book now = *before;
    now.id = incident->id;
    now.node = incident->node;
    memcpy(now.detector_name, incident->detector_name, DETECTOR_NAME_SIZE);
    bool is_new = incident->blocked_at == effect->at && incident->blocked_count == 1;
    if (reason == BLOCK_CLEARING) {
        check_clearing(checker, effect, before);
    }
    if (is_new && !excuse_holds(checker, &now, reason, effect->at, 0)) {
        violation_add(checker, effect->at, incident->node, INVARIANT_S12,
                      "incident %llu: stopped by %s, of which the books know nothing", (id)incident->id,
                      block_reason_name(reason));
    }
}

/* --- the breaker ---------------------------------------------------------------------------------------- */

/* Ill or silent by any reading. Whoever the step is about may have been so within it. */
static bool may_be_unhealthy(const struct node_book *node, instant at)
{
    return node->here &&
           (node->open > 0 || node->heard_at == INSTANT_NONE || at - node->heard_at > node->interval_ns);
}

/* Just after a reload the core may still count illnesses that the new policy does not watch for. */
void excuse_check_breaker(struct checker *checker, instant at)
{
    const struct guards *g = &checker->policy.guards;
    uint32_t unhealthy = 0;
    if (is_just_reloaded(checker, at)) {
        return;
    }
    for (uint32_t n = 0; n < checker->nodes; n++) {
        unhealthy += n == checker->step.node || may_be_unhealthy(&checker->node[n], at);
    }
    if (unhealthy < g->breaker_at_least || (double)unhealthy <= g->breaker_unhealthy_ratio * checker->fleet) {
        violation_add(checker, at, NO_INDEX, INVARIANT_L6,
                      "the breaker opens, and %u of %u nodes are ill or silent at most", unhealthy,
                      checker->fleet);
    }
}

/* --- what people must be told --------------------------------------------------------------------------- */

static bool wants_people(enum block_reason reason)
{
    return reason == BLOCK_UNCORROBORATED || reason == BLOCK_FLAPPING || reason == BLOCK_RATE_TARGET ||
           reason == BLOCK_APPROVAL;
}

static bool is_told(const struct effects *effects, uint64_t incident)
{
    for (uint32_t i = 0; i < effects->count; i++) {
        if (effects->list[i].kind == EFFECT_NOTIFY && effects->list[i].of.incident.id == incident) {
            return true;
        }
    }
    return false;
}

/* Before the books take `effect`: what is handed to people, or waits for them from now on, is told to them in
 * the same step. */
void excuse_check_told(struct checker *checker, const struct effects *effects, const struct effect *effect)
{
    const struct incident *incident = &effect->of.incident;
    const struct incident_book *before = shelf_find(&checker->incidents, incident->id);
    bool escalated = effect->kind == EFFECT_RECORD && incident->state == INCIDENT_ESCALATED &&
                     (before == NULL || before->state != INCIDENT_ESCALATED);
    bool waits = effect->kind == EFFECT_BLOCKED && wants_people((enum block_reason)incident->block) &&
                 incident->blocked_at == effect->at && incident->blocked_count == 1;
    if ((escalated || waits) && !is_told(effects, incident->id)) {
        violation_add(checker, effect->at, incident->node, INVARIANT_L1,
                      "incident %llu (%s) is left to people, and nobody tells them", (id)incident->id,
                      incident->detector_name);
    }
}
