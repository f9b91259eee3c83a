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

void core_lay_out(struct core *core, const struct core_config *config, size_t *total)
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
    core_lay_out(&scratch, config, &total);
    return total;
}

struct core *core_init(void *memory, const struct core_config *config)
{
    struct core *core = memory;
    size_t total;
    check_config(config);
    memset(core, 0, sizeof *core);
    core_lay_out(core, config, &total);
    core->config = *config;
    core->now = core->away_until = INSTANT_NONE;
    core->control = (struct control){.epoch = 1, .next_incident = 1, .next_command = 1};
    policy_init(&core->policy);
    for (uint32_t i = 0; i < ACTIONS_KEPT; i++) {
        core->actions[i].acted_at = INSTANT_NONE;
    }
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

/* Likewise what is remembered of a node. */
void effects_add_target(struct core *core, struct effects *out, uint32_t node)
{
    struct effect *effect = NULL;
    for (uint32_t i = 0; i < out->count && effect == NULL; i++) {
        if (out->list[i].kind == EFFECT_TARGET && out->list[i].node == node) {
            effect = &out->list[i];
        }
    }
    effect = effect != NULL ? effect : effects_add(core, out, EFFECT_TARGET, node);
    effect->of.target = cold_of(core, node)->target;
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

/* Only the member that is meant: whoever made the event need not have cleared the rest of the union. */
static uint64_t digest_restore(uint64_t digest, const struct restore *restore)
{
    digest = digest_word(digest, restore->kind);
    switch ((enum restore_kind)restore->kind) {
    case RESTORE_CONTROL:
        return digest_bytes(digest, &restore->what.control, sizeof restore->what.control);
    case RESTORE_INCIDENT:
        return digest_bytes(digest, &restore->what.incident, sizeof restore->what.incident);
    case RESTORE_ACTION:
        return digest_bytes(digest, &restore->what.action, sizeof restore->what.action);
    case RESTORE_NODE:
        return digest_bytes(digest, &restore->what.node, sizeof restore->what.node);
    case RESTORE_TARGET:
        return digest_bytes(digest, &restore->what.target, sizeof restore->what.target);
    default:
        return digest;
    }
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
        return digest_restore(digest, &event->of.restore);
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
        orders_command_end(core, event, out);
        break;
    case EVENT_OPERATOR:
        orders_person(core, event, out);
        break;
    case EVENT_PROPOSAL:
        orders_proposal(core, event, out);
        break;
    case EVENT_POLICY:
        reload_policy(core, event);
        break;
    case EVENT_RESTORE:
        restore_step(core, event, out);
        break;
    case EVENT_GAP:
        restore_gap(core, event);
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

void core_ahead(const struct core *core, uint32_t node)
{
    if (node >= core->node_count)
        return;
    const char *row = (const char *)node_of(core, node);
    for (size_t i = 0; i < sizeof(struct node); i += 64)
        __builtin_prefetch(row + i, 1);
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
    if (!(node->flags & NODE_HERE)) {
        return HEALTH_UNKNOWN;
    }
    if (node->flags & NODE_SILENT) {
        return HEALTH_SILENT;
    }
    if (node->sampled_at == INSTANT_NONE) {
        return HEALTH_UNKNOWN; /* a hello says who it is, not how it is */
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

const struct target *core_target(const struct core *core, uint32_t node)
{
    return node < core->node_count ? &cold_of(core, node)->target : NULL;
}

bool core_maintained(const struct core *core, uint32_t node, instant *until_at)
{
    return node < core->node_count && target_is_maintained(core, node, until_at);
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
    uint32_t s = plan_find(core, id);
    return s == NO_INDEX ? NULL : &slot_of(core, s)->incident;
}
