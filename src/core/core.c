#include "core/state.h"

/* --- memory --------------------------------------------------------------------------------------------- */

enum { CAPACITY_MAX = 1000000 };

static size_t round_up(size_t bytes)
{
    return (bytes + 63) & ~(size_t)63;
}

static void check_config(const struct core_config *config)
{
    CHECK(config->node_capacity >= 1 && config->node_capacity <= CAPACITY_MAX);
    CHECK(config->incident_capacity >= 1 && config->incident_capacity <= CAPACITY_MAX);
}

static void lay_out(struct core *core, const struct core_config *config, size_t *total)
{
    size_t at = round_up(sizeof(struct core));
    core->nodes_offset = at;
    at += round_up(sizeof(struct node) * config->node_capacity);
    core->cold_offset = at;
    at += round_up(sizeof(struct node_cold) * config->node_capacity);
    core->slots_offset = at;
    at += round_up(sizeof(struct slot) * config->incident_capacity);
    core->heap_offset = at;
    at += round_up(heap_size(config->node_capacity + config->incident_capacity));
    *total = at;
}

size_t core_size(const struct core_config *config)
{
    struct core scratch;
    size_t total;
    check_config(config);
    lay_out(&scratch, config, &total);
    return total;
}

struct core *core_init(void *memory, const struct core_config *config)
{
    struct core *core = memory;
    size_t total;
    check_config(config);
    memset(core, 0, sizeof *core);
    lay_out(core, config, &total);
    core->config = *config;
    core->now = core->away_until = INSTANT_NONE;
    core->control = (struct control){.epoch = 1, .next_incident = 1, .next_command = 1};
    policy_init(&core->policy);
    core->free_slot = NO_INDEX;
    heap_init(heap_of(core), config->node_capacity + config->incident_capacity);
    return core;
}

/* --- effects -------------------------------------------------------------------------------------------- */

struct effect *effects_add(struct core *core, struct effects *out, enum effect_kind kind, uint32_t node)
{
    CHECK(out->count < EFFECTS_MAX);
    struct effect *effect = &out->list[out->count++];
    memset(effect, 0, sizeof *effect);
    effect->kind = (uint8_t)kind;
    effect->node = node;
    effect->at = core->now;
    return effect;
}

void effects_add_incident(struct core *core, struct effects *out, enum effect_kind kind,
                          const struct incident *incident)
{
    effects_add(core, out, kind, incident->node)->of.incident = *incident;
}

void effects_add_reject(struct core *core, struct effects *out, uint32_t node, enum reject reject)
{
    effects_add(core, out, EFFECT_REJECT, node)->reject = (uint8_t)reject;
}

/* The control row of one step is told once, with its newest content. */
void effects_add_control(struct core *core, struct effects *out)
{
    for (uint32_t i = 0; i < out->count; i++) {
        if (out->list[i].kind == EFFECT_CONTROL) {
            out->list[i].of.control = core->control;
            return;
        }
    }
    effects_add(core, out, EFFECT_CONTROL, NO_INDEX)->of.control = core->control;
}

/* --- digest --------------------------------------------------------------------------------------------- */

/* One multiplication and two shifts per word, after SplitMix64's finalizer (Steele, Lea, Flood 2014). */
static uint64_t digest_word(uint64_t digest, uint64_t word)
{
    digest = (digest ^ word) * 0xbf58476d1ce4e5b9u;
    return digest ^ digest >> 29;
}

static uint64_t digest_bytes(uint64_t digest, const void *bytes, size_t length)
{
    const char *from = bytes;
    for (size_t i = 0; i < length; i += 8) {
        uint64_t word = 0;
        memcpy(&word, from + i, length - i < 8 ? length - i : 8);
        digest = digest_word(digest, word);
    }
    return digest;
}

static uint64_t digest_event(uint64_t digest, const struct event *event)
{
    digest = digest_word(digest, (uint64_t)event->at);
    digest = digest_word(digest, (uint64_t)event->node << 8 | event->kind);
    switch ((enum event_kind)event->kind) {
    case EVENT_REPORT:
        digest = digest_word(digest, event->of.report.sequence ^ event->of.report.boot);
        digest =
            digest_word(digest, (uint64_t)event->of.report.age_ns ^ (uint64_t)event->of.report.present << 40);
        for (uint32_t m = 0; m < METRIC_COUNT; m++) {
            if (event->of.report.present & (1u << m)) {
                digest = digest_bytes(digest, &event->of.report.value[m], sizeof(double));
            }
        }
        return digest;
    case EVENT_HELLO:
        return digest_bytes(digest, &event->of.hello, sizeof event->of.hello);
    case EVENT_COMMAND_END:
        return digest_bytes(digest, &event->of.command_end, sizeof event->of.command_end);
    case EVENT_OPERATOR:
        return digest_bytes(digest, &event->of.operator_order, sizeof event->of.operator_order);
    case EVENT_PROPOSAL:
        return digest_bytes(digest, &event->of.proposal, sizeof event->of.proposal);
    case EVENT_POLICY:
        return digest_bytes(digest, event->of.policy, sizeof *event->of.policy);
    case EVENT_RESTORE:
        return digest_bytes(digest, &event->of.restore, sizeof event->of.restore);
    case EVENT_GAP:
        return digest_bytes(digest, &event->of.gap, sizeof event->of.gap);
    case EVENT_GOODBYE:
    case EVENT_DEADLINE:
    case EVENT_COUNT:
    default:
        return digest;
    }
}

uint64_t core_digest(const struct core *core)
{
    return core->digest;
}

/* --- the policy ----------------------------------------------------------------------------------------- */

static uint32_t find_detector(const struct policy *policy, const char *name)
{
    for (uint32_t i = 0; i < policy->detector_count; i++) {
        if (policy->detectors[i].name[0] != '\0' && strcmp(policy->detectors[i].name, name) == 0) {
            return i;
        }
    }
    return NO_INDEX;
}

static bool same_meaning(const struct detector *a, const struct detector *b)
{
    return memcmp(a->when, b->when, sizeof a->when) == 0 &&
           memcmp(a->clear, b->clear, sizeof a->clear) == 0 && a->when_count == b->when_count &&
           a->clear_count == b->clear_count && a->for_ns == b->for_ns &&
           a->healthy_for_ns == b->healthy_for_ns && a->absent_ns == b->absent_ns;
}

static uint32_t free_place(const struct policy *policy, const bool *taken)
{
    for (uint32_t i = 0; i < DETECTOR_MAX; i++) {
        if (!taken[i] && policy->detectors[i].name[0] == '\0') {
            return i;
        }
    }
    for (uint32_t i = 0; i < DETECTOR_MAX; i++) {
        if (!taken[i]) {
            return i;
        }
    }
    CHECK(false); /* the policy was checked: no more detectors than places */
    return NO_INDEX;
}

/* Detectors keep their place by name, so a reload touches no node; a place whose meaning changed gets a new
 * generation, and nodes forget its bits when they are next looked at. */
static void adopt_policy(struct core *core, const struct policy *fresh)
{
    const struct policy old = core->policy;
    bool taken[DETECTOR_MAX] = {false};
    uint32_t place[DETECTOR_MAX];
    core->policy = *fresh;
    memset(core->policy.detectors, 0, sizeof core->policy.detectors);
    core->policy_generation++;
    for (uint32_t i = 0; i < fresh->detector_count; i++) {
        place[i] = find_detector(&old, fresh->detectors[i].name);
        if (place[i] != NO_INDEX) {
            taken[place[i]] = true;
        }
    }
    uint32_t used = 0;
    for (uint32_t i = 0; i < fresh->detector_count; i++) {
        if (place[i] == NO_INDEX) {
            place[i] = free_place(&old, taken);
            taken[place[i]] = true;
        }
        core->policy.detectors[place[i]] = fresh->detectors[i];
        used = place[i] + 1 > used ? place[i] + 1 : used;
    }
    core->policy.detector_count = used;
    for (uint32_t i = 0; i < DETECTOR_MAX; i++) {
        const struct detector *now = &core->policy.detectors[i];
        if (strcmp(now->name, old.detectors[i].name) != 0 || !same_meaning(now, &old.detectors[i])) {
            core->slot_generation[i] = core->policy_generation;
        }
    }
}

/* Incidents of detectors that are gone lose their place, and a walk closes them. */
static void step_policy(struct core *core, const struct event *event)
{
    CHECK(event->of.policy->detector_count <= DETECTOR_MAX);
    adopt_policy(core, event->of.policy);
    for (uint32_t s = 0; s < core->slot_count; s++) {
        struct slot *slot = slot_of(core, s);
        if (slot->used) {
            slot->incident.detector = find_detector(&core->policy, slot->incident.detector_name);
            node_walk_later(core, slot->incident.node);
        }
    }
}

/* --- commands, people, planners ------------------------------------------------------------------------- */

static uint32_t find_incident(const struct core *core, uint64_t id)
{
    for (uint32_t s = 0; s < core->slot_count; s++) {
        if (slot_of(core, s)->used && slot_of(core, s)->incident.id == id) {
            return s;
        }
    }
    return NO_INDEX;
}

static void step_command_end(struct core *core, const struct event *event, struct effects *out)
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

static void step_approve(struct core *core, uint32_t slot, enum remedy shown, struct effects *out)
{
    struct incident *incident = &slot_of(core, slot)->incident;
    if (incident->state != INCIDENT_PLANNED || core->policy.mode != MODE_APPROVE) {
        effects_add_reject(core, out, incident->node, REJECT_NOT_WAITING);
        return;
    }
    if (shown != REMEDY_NONE && shown != incident->remedy) {
        effects_add_reject(core, out, incident->node, REJECT_OTHER_PLAN);
        return;
    }
    incident->approved = 1;
    incident->why = WHY_APPROVED;
    effects_add_incident(core, out, EFFECT_RECORD, incident);
    plan_advance(core, slot, out);
}

static void step_fleet_word(struct core *core, enum operator_word word, struct effects *out)
{
    if (word == OPERATOR_RESET) {
        core->control.breaker_open = 0;
    } else {
        core->control.paused = word == OPERATOR_PAUSE;
    }
    effects_add_control(core, out);
    if (word == OPERATOR_PAUSE) {
        return;
    }
    /* What was stopped is weighed anew at the next report of its node: nothing is replayed. */
    guard_check_breaker(core, out);
}

static void step_operator(struct core *core, const struct event *event, struct effects *out)
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
    uint32_t s = find_incident(core, order->incident);
    if (s == NO_INDEX) {
        effects_add_reject(core, out, event->node, REJECT_UNKNOWN_INCIDENT);
    } else if (order->word == OPERATOR_APPROVE) {
        step_approve(core, s, (enum remedy)order->remedy, out);
    } else {
        struct incident *incident = &slot_of(core, s)->incident;
        incident->acknowledged = 1;
        incident->why = WHY_ACKNOWLEDGED;
        effects_add_incident(core, out, EFFECT_RECORD, incident);
    }
}

/* A planner proposes, the core disposes: the remedy must stand on the ladder of this finding. */
static void step_proposal(struct core *core, const struct event *event, struct effects *out)
{
    const struct proposal *proposal = &event->of.proposal;
    uint32_t s = find_incident(core, proposal->incident);
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

/* --- restore and gap ------------------------------------------------------------------------------------ */

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
                                     .remedy = incident->remedy,
                                     .outcome = incident->outcome};
}

static void restore_incident(struct core *core, const struct incident *stored, struct effects *out)
{
    bool sane = stored->node < core->config.node_capacity && stored->state < INCIDENT_STATE_COUNT &&
                stored->remedy <= REMEDY_NONE && stored->evidence_count <= CONDITION_MAX &&
                stored->block < BLOCK_REASON_COUNT && stored->verdict < VERDICT_COUNT &&
                stored->outcome < OUTCOME_COUNT && find_incident(core, stored->id) == NO_INDEX;
    bool in_flight = stored->state == INCIDENT_ACTING || stored->state == INCIDENT_VERIFYING;
    if (sane) {
        node_cover(core, stored->node);
    }
    if (!sane || (in_flight && node_of(core, stored->node)->acting != NO_INDEX)) {
        effects_add_reject(core, out, NO_INDEX, REJECT_BAD_VALUE);
        return;
    }
    struct node *node = node_of(core, stored->node);
    uint32_t s = plan_take_slot(core, stored->node);
    if (s == NO_INDEX) {
        effects_add_reject(core, out, stored->node, REJECT_INCIDENTS_FULL);
        return;
    }
    struct slot *slot = slot_of(core, s);
    slot->incident = *stored;
    slot->incident.detector = find_detector(&core->policy, stored->detector_name);
    restore_command(slot);
    if (slot->incident.detector != NO_INDEX && stored->state != INCIDENT_RESOLVED) {
        detect_adopt_generation(core, stored->node);
        node->firing |= 1u << slot->incident.detector;
        cold_of(core, stored->node)->began_at[slot->incident.detector] = stored->began_at;
    }
    instant due = INSTANT_NEVER;
    if (in_flight) {
        /* The time we were away is not held against the node agent. */
        node->acting = s;
        core->disrupted++;
        instant least = core->now + COMMAND_ANSWER_NS;
        instant *by =
            stored->state == INCIDENT_ACTING ? &slot->incident.answer_by : &slot->incident.verify_by;
        *by = *by < least ? least : *by;
        due = *by;
    } else if (stored->state == INCIDENT_RESOLVED) {
        due = stored->closed_at + core->policy.guards.recurrence_ns;
    }
    heap_set(heap_of(core), heap_item_of_slot(core, s), due);
    node_walk_later(core, stored->node);
}

static void step_restore(struct core *core, const struct event *event, struct effects *out)
{
    const struct restore *restore = &event->of.restore;
    switch ((enum restore_kind)restore->kind) {
    case RESTORE_CONTROL:
        core->control = restore->what.control;
        core->away_until = core->now;
        return;
    case RESTORE_NODE:
        if (!node_hello(core, event->node, &restore->what.node, false)) {
            effects_add_reject(core, out, event->node, REJECT_BAD_VALUE);
        }
        return;
    case RESTORE_INCIDENT:
        restore_incident(core, &restore->what.incident, out);
        return;
    case RESTORE_ACTION: {
        node_cover(core, event->node);
        struct node_cold *cold = cold_of(core, event->node);
        cold->acted_at[cold->acted_next] = restore->what.action.acted_at;
        cold->acted_next = (cold->acted_next + 1) % ACTIONS_KEPT;
        if (restore->what.action.ended_at > cold->action_ended_at) {
            cold->action_ended_at = restore->what.action.ended_at;
        }
        return;
    }
    default:
        effects_add_reject(core, out, event->node, REJECT_BAD_VALUE);
    }
}

/* We were away: nothing that fell due meanwhile may be held against anybody. Every wait gets the lost time
 * back. */
static void step_gap(struct core *core, const struct event *event)
{
    duration lost = event->of.gap.length_ns;
    core->away_until = core->now;
    for (uint32_t s = 0; s < core->slot_count && lost > 0; s++) {
        struct slot *slot = slot_of(core, s);
        struct incident *i = &slot->incident;
        if (!slot->used || i->state == INCIDENT_RESOLVED || i->state == INCIDENT_ESCALATED) {
            continue;
        }
        i->answer_by += i->answer_by != INSTANT_NONE ? lost : 0;
        i->verify_by += i->verify_by != INSTANT_NONE ? lost : 0;
        i->hold_until += i->hold_until != INSTANT_NONE ? lost : 0;
        i->planner_by += i->planner_by != INSTANT_NONE ? lost : 0;
        instant due = heap_at(heap_of(core), heap_item_of_slot(core, s));
        if (due != INSTANT_NEVER) {
            heap_set(heap_of(core), heap_item_of_slot(core, s), due + lost);
        }
    }
}

/* --- the step ------------------------------------------------------------------------------------------- */

static void step_deadline(struct core *core, struct effects *out)
{
    struct heap *heap = heap_of(core);
    if (heap_top_at(heap) > core->now) {
        return;
    }
    uint32_t item = heap_top(heap);
    if (item < core->config.node_capacity) {
        node_due(core, item, out);
    } else {
        plan_due(core, item - core->config.node_capacity, out);
    }
}

static bool needs_node(enum event_kind kind)
{
    return kind == EVENT_HELLO || kind == EVENT_GOODBYE || kind == EVENT_REPORT || kind == EVENT_COMMAND_END;
}

static void step(struct core *core, const struct event *event, struct effects *out)
{
    enum event_kind kind = (enum event_kind)event->kind;
    bool names_node =
        needs_node(kind) || (kind == EVENT_RESTORE && event->of.restore.kind != RESTORE_CONTROL);
    if (names_node && event->node >= core->config.node_capacity) {
        effects_add_reject(core, out, event->node, REJECT_UNKNOWN_NODE);
        return;
    }
    bool joins = kind == EVENT_HELLO || kind == EVENT_RESTORE;
    if (names_node && !joins &&
        (event->node >= core->node_count || !(node_of(core, event->node)->flags & NODE_KNOWN))) {
        effects_add_reject(core, out, event->node, REJECT_UNKNOWN_NODE);
        return;
    }
    switch (kind) {
    case EVENT_HELLO:
        if (!node_hello(core, event->node, &event->of.hello, true)) {
            effects_add_reject(core, out, event->node, REJECT_BAD_VALUE);
        }
        break;
    case EVENT_GOODBYE:
        node_goodbye(core, event->node);
        break;
    case EVENT_REPORT:
        node_report(core, event, out);
        break;
    case EVENT_DEADLINE:
        step_deadline(core, out);
        break;
    case EVENT_COMMAND_END:
        step_command_end(core, event, out);
        break;
    case EVENT_OPERATOR:
        step_operator(core, event, out);
        break;
    case EVENT_PROPOSAL:
        step_proposal(core, event, out);
        break;
    case EVENT_POLICY:
        step_policy(core, event);
        break;
    case EVENT_RESTORE:
        step_restore(core, event, out);
        break;
    case EVENT_GAP:
        step_gap(core, event);
        break;
    case EVENT_COUNT:
    default:
        effects_add_reject(core, out, event->node, REJECT_BAD_VALUE);
    }
}

void core_step(struct core *core, const struct event *event, struct effects *out)
{
    CHECK(event->at >= core->now);
    core->now = event->at;
    out->count = 0;
    out->reserved = 0;
    step(core, event, out);
    core->digest = digest_event(core->digest, event);
    if (out->count > 0) {
        core->digest = digest_bytes(core->digest, out->list, out->count * sizeof out->list[0]);
    }
}

instant core_deadline(const struct core *core)
{
    return heap_top_at(heap_of(core));
}

/* --- looking in ----------------------------------------------------------------------------------------- */

const char *core_node_name(const struct core *core, uint32_t node)
{
    return node < core->node_count ? cold_of(core, node)->name : "";
}

enum health core_node_health(const struct core *core, uint32_t number)
{
    if (number >= core->node_count) {
        return HEALTH_UNKNOWN;
    }
    const struct node *node = node_of(core, number);
    if (node->flags & NODE_GONE) {
        return HEALTH_GONE;
    }
    if (!(node->flags & NODE_HERE) || node->seen_at == INSTANT_NONE) {
        return HEALTH_UNKNOWN;
    }
    if (node->flags & NODE_SILENT) {
        return HEALTH_SILENT;
    }
    if (node->acting != NO_INDEX) {
        return HEALTH_HEALING;
    }
    return node->firing != 0 ? HEALTH_ILL : HEALTH_HEALTHY;
}

const struct policy *core_policy(const struct core *core)
{
    return &core->policy;
}

const struct control *core_control(const struct core *core)
{
    return &core->control;
}

uint32_t core_fleet(const struct core *core)
{
    return core->fleet;
}

uint32_t core_unhealthy(const struct core *core)
{
    return core->unhealthy;
}

uint32_t core_disrupted(const struct core *core)
{
    return core->disrupted;
}

const struct incident *core_incident(const struct core *core, uint64_t id)
{
    uint32_t s = find_incident(core, id);
    return s == NO_INDEX ? NULL : &slot_of(core, s)->incident;
}
