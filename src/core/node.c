/* Nodes: who is here, taking in their reports, noticing their silence, and the walk over a node's incidents.
 */
#include "core/state.h"

/* --- coming and going ----------------------------------------------------------------------------------- */

static void node_init(struct core *core, uint32_t number)
{
    struct node *node = node_of(core, number);
    struct node_cold *cold = cold_of(core, number);
    node->seen_at = node->sampled_at = INSTANT_NONE;
    node->interval_ns = INTERVAL_DEFAULT_NS;
    node->first_incident = node->acting = NO_INDEX;
    target_init(cold);
}

void node_cover(struct core *core, uint32_t number)
{
    CHECK(number < core->config.node_capacity);
    while (core->node_count <= number) {
        node_init(core, core->node_count++);
    }
}

static void node_arrive(struct core *core, struct node *node)
{
    if (!(node->flags & NODE_HERE)) {
        node->flags |= NODE_HERE;
        node->flags &= ~(uint32_t)NODE_GONE;
        core->fleet++;
    }
}

static bool is_counted(const struct node *node)
{
    return (node->flags & (NODE_ILL | NODE_SILENT)) != 0 && !(node->flags & NODE_MAINTAINED);
}

/* The breaker counts a node once, whether it is ill, silent or both; and not while people are at work on it.
 */
static void node_mark(struct core *core, struct node *node, enum node_flag flag, bool on)
{
    bool before = is_counted(node);
    node->flags = on ? node->flags | (uint32_t)flag : node->flags & ~(uint32_t)flag;
    bool after = is_counted(node);
    core->unhealthy += (uint32_t)after - (uint32_t)before;
}

static void node_heard(struct core *core, struct node *node)
{
    node->seen_at = core->now;
    if (node->flags & NODE_SILENT) {
        node_mark(core, node, NODE_SILENT, false);
    }
}

/* Takes a hello, or what the store knows of a node (`here` false). False if it makes no sense. */
bool node_hello(struct core *core, uint32_t number, const struct hello *hello, bool here)
{
    if (number >= core->config.node_capacity || hello->calls_count > CALLS_MAX || hello->interval_ns < 0 ||
        hello->interval_ns > HOUR || memchr(hello->name, '\0', NODE_NAME_SIZE) == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < hello->calls_count; i++) {
        if (hello->calls[i] >= core->config.node_capacity) {
            return false;
        }
    }
    node_cover(core, number);
    for (uint32_t i = 0; i < hello->calls_count; i++) {
        node_cover(core, hello->calls[i]);
    }
    struct node *node = node_of(core, number);
    struct node_cold *cold = cold_of(core, number);
    node->flags |= NODE_KNOWN;
    memcpy(cold->name, hello->name, NODE_NAME_SIZE);
    memcpy(cold->calls, hello->calls, sizeof cold->calls);
    cold->calls_count = hello->calls_count;
    if (hello->interval_ns > 0) {
        node->interval_ns = hello->interval_ns;
        node->flags |= NODE_DECLARED;
    }
    if (here) {
        /* A hello of one that is here already is no sign of life: a node agent that starts again and again
         * and never reports is silent. */
        bool arrives = !(node->flags & NODE_HERE);
        node_arrive(core, node);
        if (arrives) {
            node_heard(core, node);
        }
        node_schedule(core, number);
    }
    return true;
}

void node_refresh_maintenance(struct core *core, uint32_t number, struct effects *out)
{
    struct node *node = node_of(core, number);
    bool maintained = target_is_maintained(core, number, NULL);
    if (maintained != ((node->flags & NODE_MAINTAINED) != 0)) {
        node_mark(core, node, NODE_MAINTAINED, maintained);
        guard_check_breaker(core, out);
    }
}

void node_goodbye(struct core *core, uint32_t number)
{
    struct node *node = node_of(core, number);
    if (node->flags & NODE_HERE) {
        core->fleet--;
    }
    node_mark(core, node, NODE_SILENT, false);
    node_mark(core, node, NODE_ILL, false);
    node->flags &= ~(uint32_t)NODE_HERE;
    node->flags |= NODE_GONE;
    node->pending = node->clearing = 0;
    held_forget(core, number);
    node_walk_later(core, number);
}

static void node_release(struct core *core, uint32_t number, struct effects *out);

/* --- reports -------------------------------------------------------------------------------------------- */

static enum reject report_weigh(const struct node *node, const struct report *report, instant at)
{
    if (report->age_ns < 0 || report->age_ns > 1000 * HOUR || report->present >> METRIC_COUNT != 0) {
        return REJECT_BAD_VALUE;
    }
    for (uint32_t m = 0; m < METRIC_COUNT; m++) {
        if ((report->present & (1u << m)) && !(report->value[m] >= -1e300 && report->value[m] <= 1e300)) {
            return REJECT_BAD_VALUE; /* neither NaN nor infinity is a sample */
        }
    }
    /* A boot that was replaced speaks again: old news, unless the one that replaced it has fallen quiet (a
     * second node agent of the same name that came and went). */
    bool quiet = node->sampled_at == INSTANT_NONE || at - node->sampled_at > 3 * node->interval_ns;
    if (report->boot != 0 && report->boot == node->previous_boot && !quiet) {
        return REJECT_OLD_REPORT;
    }
    bool same_boot = report->boot == node->boot || report->boot == 0;
    if (same_boot && report->sequence != 0 && report->sequence <= node->sequence) {
        return REJECT_OLD_REPORT;
    }
    if (same_boot && node->sequence != 0 && report->sequence > node->sequence + SEQUENCE_JUMP_MAX) {
        return REJECT_BAD_VALUE;
    }
    /* The sequence number knows better than an age, which leaves out what the report waited on its way. */
    bool numbered = same_boot && report->sequence != 0 && node->sequence != 0;
    if (!numbered && node->sampled_at != INSTANT_NONE && at - report->age_ns <= node->sampled_at) {
        return REJECT_OLD_REPORT;
    }
    if (report->age_ns > 2 * node->interval_ns + SECOND) {
        return REJECT_LATE_REPORT;
    }
    return REJECT_NONE;
}

static void report_number(struct node *node, const struct report *report)
{
    if (report->boot == 0 && node->boot != 0) {
        return; /* somebody without a boot, with curl perhaps: the node agent's own numbering goes on */
    }
    if (report->boot != node->boot) {
        node->previous_boot = node->boot;
        node->boot = report->boot;
        node->sequence = 0;
    }
    if (report->sequence > node->sequence) {
        node->sequence = report->sequence;
    }
}

/* A node that declared no interval is given the usual gap between its reports. */
static void report_learn_interval(struct node *node, instant sampled_at)
{
    if ((node->flags & NODE_DECLARED) || node->sampled_at == INSTANT_NONE) {
        return;
    }
    duration gap = sampled_at - node->sampled_at;
    if (gap <= 3 * node->interval_ns) {
        node->interval_ns += (gap - node->interval_ns) / 8;
    }
    if (node->interval_ns < 10 * MILLISECOND) {
        node->interval_ns = 10 * MILLISECOND;
    }
}

static void report_verify(struct core *core, uint32_t number, const struct sample_pair *pair, bool hole,
                          struct effects *out)
{
    const struct node *node = node_of(core, number);
    if (node->acting != NO_INDEX && slot_of(core, node->acting)->incident.state == INCIDENT_VERIFYING) {
        verify_report(core, node->acting, pair, hole, out);
    }
}

/* Judges the samples of one report. */
static void report_evaluate(struct core *core, uint32_t number, const struct report *report,
                            instant sampled_at, struct effects *out)
{
    struct node *node = node_of(core, number);
    bool first = node->sampled_at == INSTANT_NONE;
    sampled_at = sampled_at > node->sampled_at ? sampled_at : node->sampled_at;
    duration since_last = first ? 0 : sampled_at - node->sampled_at;
    double previous[METRIC_CAPACITY];
    memcpy(previous, node->value, sizeof previous);
    struct sample_pair pair = {.value = report->value,
                               .previous = previous,
                               .present = report->present,
                               .previous_present = first ? 0 : node->present,
                               .elapsed_s = duration_seconds(since_last)};
    /* What waited for us while we were away is dated by when we came back. */
    bool hole = !first && (since_last > detect_hole(node) || node->sampled_at < core->away_until);
    report_learn_interval(node, sampled_at);
    memcpy(node->value, report->value, sizeof node->value);
    node->present = report->present;
    node->sampled_at = sampled_at;

    detect_report(core, number, &pair, sampled_at, hole);
    report_verify(core, number, &pair, hole, out);
    target_note_health(core, number, out);
    if (node->firing != 0 || node->first_incident != NO_INDEX) {
        node_walk(core, number, out);
    }
}

void node_report(struct core *core, const struct event *event, struct effects *out)
{
    const struct report *report = &event->of.report;
    uint32_t number = event->node;
    struct node *node = node_of(core, number);
    node_arrive(core, node);
    enum reject reject = report_weigh(node, report, event->at);
    instant sampled_at = held_bound(core, number, report, event->at - report->age_ns);
    bool holds = reject == REJECT_NONE && held_wants(core, number, report);
    if (holds && held_has(core, number, report)) {
        reject = REJECT_OLD_REPORT;
    }
    if (reject == REJECT_NONE || reject == REJECT_LATE_REPORT) {
        /* What is not looked at is no sign of life: a node that only repeats itself falls silent, and people
         * learn of it. */
        node_heard(core, node);
    }
    if (reject == REJECT_NONE && holds && cold_of(core, number)->held_count == HELD_MAX) {
        if (report->sequence < cold_of(core, number)->held[0].report.sequence) {
            holds = false; /* the oldest of too many is this one */
        } else {
            node_release(core, number, out); /* one judgement, as ever */
        }
    }
    if (reject == REJECT_NONE && holds) {
        held_put(core, number, report, sampled_at);
        node_schedule(core, number);
        return;
    }
    if (reject == REJECT_NONE || reject == REJECT_LATE_REPORT) {
        if (report->boot != 0 && report->boot != node->boot) {
            held_forget(core, number);
        }
        report_number(node, report);
    }
    if (reject != REJECT_NONE) {
        effects_add_reject(core, out, number, reject);
        node_schedule(core, number);
        return;
    }
    report_evaluate(core, number, report, sampled_at, out);
    if (heap_at(heap_of(core), number) == INSTANT_NEVER || held_due(core, number) != INSTANT_NEVER) {
        node_schedule(core, number);
    }
}

/* The next of those that waited for others, if its wait is over. */
static void node_release(struct core *core, uint32_t number, struct effects *out)
{
    struct held held;
    struct node *node = node_of(core, number);
    if (held_take(core, number, &held) && held.report.sequence > node->sequence) {
        report_number(node, &held.report);
        report_evaluate(core, number, &held.report, held.sampled_at, out);
    }
}

/* --- silence -------------------------------------------------------------------------------------------- */

static duration silence_limit(const struct core *core, const struct node *node)
{
    duration least = SILENT_DEFAULT_NS;
    bool any = false;
    for (uint32_t slot = 0; slot < core->policy.detector_count; slot++) {
        if (core->policy.detectors[slot].name[0] != '\0' && core->policy.detectors[slot].absent_ns > 0) {
            duration after = detect_silent_after(core, node, slot);
            least = any && least < after ? least : after;
            any = true;
        }
    }
    return any || least > 3 * node->interval_ns ? least : 3 * node->interval_ns;
}

/* When this node must be looked at for silence: the first limit not yet passed. */
static instant silence_deadline(const struct core *core, const struct node *node)
{
    if (!(node->flags & NODE_HERE)) {
        return INSTANT_NEVER;
    }
    instant from = node->seen_at > core->away_until ? node->seen_at : core->away_until;
    instant next = node->flags & NODE_SILENT ? INSTANT_NEVER : from + silence_limit(core, node);
    for (uint32_t slot = 0; slot < core->policy.detector_count; slot++) {
        const struct detector *d = &core->policy.detectors[slot];
        if (d->name[0] != '\0' && d->absent_ns > 0 && !(node->firing & (1u << slot))) {
            instant at = from + detect_silent_after(core, node, slot);
            next = at < next ? at : next;
        }
    }
    return next;
}

/* A report does not move the node in the heap: the entry is looked at when it is due and moved on then. So a
 * healthy report costs no heap operation. */
void node_schedule(struct core *core, uint32_t number)
{
    const struct node *node = node_of(core, number);
    instant at = node->flags & NODE_WORK ? core->now : silence_deadline(core, node);
    instant held = held_due(core, number);
    at = held < at ? held : at;
    if (node->flags & NODE_SILENT && core->policy.guards.window_count > 0 && core->now + MINUTE < at) {
        at = core->now + MINUTE;
    }
    instant until_at;
    if (node->flags & NODE_MAINTAINED && target_is_maintained(core, number, &until_at)) {
        at = until_at < at ? until_at : at; /* a silent node does not call to be looked at again */
    }
    heap_set(heap_of(core), number, at);
}

static void node_check_silence(struct core *core, uint32_t number)
{
    struct node *node = node_of(core, number);
    if (!(node->flags & NODE_HERE)) {
        return;
    }
    instant from = node->seen_at > core->away_until ? node->seen_at : core->away_until;
    if (!(node->flags & NODE_SILENT) && core->now - from >= silence_limit(core, node)) {
        node_mark(core, node, NODE_SILENT, true);
    }
    detect_silence(core, number);
}

/* The heap's top was this node: an unfinished walk, or a look at its silence. */
void node_due(struct core *core, uint32_t number, struct effects *out)
{
    struct node *node = node_of(core, number);
    bool work = (node->flags & NODE_WORK) != 0;
    uint32_t firing = node->firing;
    bool maintained = (node->flags & NODE_MAINTAINED) != 0;
    node->flags &= ~(uint32_t)NODE_WORK;
    if (held_due(core, number) <= core->now && !work) {
        node_release(core, number, out);
        guard_check_breaker(core, out);
        node_schedule(core, number);
        return;
    }
    node_refresh_maintenance(core, number, out);
    bool over = maintained && !(node->flags & NODE_MAINTAINED);
    node_check_silence(core, number);
    if (!work) {
        target_note_health(core, number, out);
    }
    if (work || over || node->firing != firing) {
        node_walk(core, number, out);
    }
    if (work) { /* after our own start only the walk tells who is ill: asked before, all would turn well and
                   ill */
        target_note_health(core, number, out);
    }
    guard_check_breaker(core, out);
    node_schedule(core, number);
}

void node_walk_later(struct core *core, uint32_t number)
{
    node_of(core, number)->flags |= NODE_WORK;
    node_schedule(core, number);
}

/* --- the walk ------------------------------------------------------------------------------------------- */

static uint32_t incident_of_detector(const struct core *core, const struct node *node, uint32_t detector)
{
    for (uint32_t s = node->first_incident; s != NO_INDEX; s = slot_of(core, s)->next) {
        if (slot_of(core, s)->incident.detector == detector) {
            return s;
        }
    }
    return NO_INDEX;
}

static bool came_back(const struct core *core, const struct incident *incident)
{
    return incident->state == INCIDENT_RESOLVED && incident->verdict == VERDICT_EFFECTIVE &&
           core->now < incident->closed_at + core->policy.guards.recurrence_ns;
}

/* A finding without an active incident opens one, or reopens the one that was thought healed. */
static void walk_finding(struct core *core, uint32_t number, uint32_t detector, struct effects *out)
{
    uint32_t s = incident_of_detector(core, node_of(core, number), detector);
    if (s != NO_INDEX && slot_of(core, s)->incident.state == INCIDENT_RESOLVED) {
        if (came_back(core, &slot_of(core, s)->incident)) {
            plan_reopen(core, s, out);
        } else {
            plan_release(core, s);
            s = NO_INDEX;
        }
    }
    if (s == NO_INDEX) {
        s = plan_open(core, number, detector, out);
    }
    if (s != NO_INDEX) {
        plan_advance(core, s, out);
    }
}

/* The node has left: what is not healed by now stays with people, and is not called resolved unless it comes
 * back well. */
static void walk_left(struct core *core, uint32_t slot, struct effects *out)
{
    struct incident *incident = &slot_of(core, slot)->incident;
    if (incident->state == INCIDENT_ACTING) {
        return; /* its end or its answer-by is awaited */
    }
    if (incident->state == INCIDENT_VERIFYING) {
        incident->verdict = VERDICT_INCONCLUSIVE;
        act_release(core, slot, true, out);
    }
    if (incident_is_active(incident)) {
        plan_close(core, slot, INCIDENT_ESCALATED, WHY_UNWATCHED, out);
    } else if (incident->state == INCIDENT_ESCALATED) {
        heap_set(heap_of(core), heap_item_of_slot(core, slot), core->now + core->policy.guards.recurrence_ns);
    }
}

static void walk_all_left(struct core *core, uint32_t number, struct effects *out)
{
    for (uint32_t s = node_of(core, number)->first_incident; s != NO_INDEX; s = slot_of(core, s)->next) {
        if (!effects_have_room(out)) {
            node_walk_later(core, number);
            return;
        }
        walk_left(core, s, out);
    }
}

/* An incident whose finding is gone: by itself, by people, or because the policy does not watch for it any
 * more. */
static void walk_quiet(struct core *core, uint32_t slot, struct effects *out)
{
    struct incident *incident = &slot_of(core, slot)->incident;
    bool unwatched = incident->detector == NO_INDEX;
    switch ((enum incident_state)incident->state) {
    case INCIDENT_OPEN:
    case INCIDENT_PLANNED:
    case INCIDENT_ESCALATED:
        plan_close(core, slot, INCIDENT_RESOLVED, unwatched ? WHY_UNWATCHED : WHY_CLEARED, out);
        break;
    case INCIDENT_VERIFYING:
        if (unwatched) {
            incident->verdict = VERDICT_INCONCLUSIVE;
            act_release(core, slot, true, out);
            plan_close(core, slot, INCIDENT_RESOLVED, WHY_UNWATCHED, out);
        }
        break;
    case INCIDENT_ACTING: /* its end or its answer-by is awaited */
    case INCIDENT_RESOLVED:
    default:
        break;
    }
}

/* Brings all incidents of a node up to date. When the step's effects run out of room the rest is queued: the
 * driver is asked for a deadline at once, and this walk starts anew; what is up to date already yields
 * nothing. */
void node_walk(struct core *core, uint32_t number, struct effects *out)
{
    struct node *node = node_of(core, number);
    detect_adopt_generation(core, number);
    node_refresh_maintenance(core, number, out);
    if (node->flags & NODE_GONE) {
        walk_all_left(core, number, out);
        return;
    }
    for (uint32_t s = node->first_incident, next; s != NO_INDEX; s = next) {
        const struct slot *slot = slot_of(core, s);
        next = slot->next;
        uint32_t detector = slot->incident.detector;
        bool quiet = detector == NO_INDEX || !(node->firing & (1u << detector));
        if (quiet && !effects_have_room(out)) {
            node_walk_later(core, number);
            return;
        }
        if (quiet) {
            walk_quiet(core, s, out);
        }
    }
    bool full = false;
    for (uint32_t detector = 0; detector < core->policy.detector_count; detector++) {
        if (!(node->firing & (1u << detector)) ||
            (full && incident_of_detector(core, node, detector) == NO_INDEX)) {
            continue; /* to say once that the table is full is enough */
        }
        if (!effects_have_room(out)) {
            node_walk_later(core, number);
            return;
        }
        uint32_t before = out->count;
        walk_finding(core, number, detector, out);
        full = full || (out->count > before && out->list[out->count - 1].kind == EFFECT_REJECT);
    }
    node_refresh_illness(core, number, out);
}

/* Illness of its own counts for the breaker; what a sick callee explains, or still might explain, does not.
 */
void node_refresh_illness(struct core *core, uint32_t number, struct effects *out)
{
    struct node *node = node_of(core, number);
    bool ill = false;
    for (uint32_t s = node->first_incident; s != NO_INDEX; s = slot_of(core, s)->next) {
        const struct incident *i = &slot_of(core, s)->incident;
        bool silence = i->detector != NO_INDEX && core->policy.detectors[i->detector].absent_ns > 0;
        ill = ill || (i->state != INCIDENT_RESOLVED && !i->explained && !silence &&
                      (i->local_cause || i->state != INCIDENT_OPEN));
    }
    ill = ill && (node->flags & NODE_HERE);
    if (ill != ((node->flags & NODE_ILL) != 0)) {
        node_mark(core, node, NODE_ILL, ill);
        target_note_health(core, number, out);
        guard_check_breaker(core, out);
    }
}

/* --- the call graph ------------------------------------------------------------------------------------- */

/* True if calls lead from `from` to `to`. Looks at WALK_MAX nodes at most; beyond that the answer is no. */
bool node_calls_reach(const struct core *core, uint32_t from, uint32_t to)
{
    uint32_t queue[WALK_MAX];
    uint32_t count = 1;
    queue[0] = from;
    for (uint32_t i = 0; i < count; i++) {
        const struct node_cold *cold = cold_of(core, queue[i]);
        for (uint32_t c = 0; c < cold->calls_count; c++) {
            if (cold->calls[c] == to) {
                return true;
            }
            bool seen = false;
            for (uint32_t k = 0; k < count && !seen; k++) {
                seen = queue[k] == cold->calls[c];
            }
            if (!seen && count < WALK_MAX) {
                queue[count++] = cold->calls[c];
            }
        }
    }
    return false;
}
