#include "core/image.h"

#include "core/state.h"

/* About 73 years: three of them can be added without an overflow. */
#define TIME_MAX (INT64_C(1) << 61)

/* --- what is in use ------------------------------------------------------------------------------------- */

void core_spans(const struct core *core, struct core_span spans[CORE_SPANS])
{
    uint64_t nodes = core->node_count;
    uint64_t heap_bytes = heap_size(core->config.node_capacity + core->config.incident_capacity);
    spans[0] = (struct core_span){.offset = 0, .length = core->nodes_offset + nodes * sizeof(struct node)};
    spans[1] = (struct core_span){.offset = core->cold_offset, .length = nodes * sizeof(struct node_cold)};
    spans[2] =
        (struct core_span){.offset = core->slots_offset, .length = core->slot_count * sizeof(struct slot)};
    spans[3] = (struct core_span){.offset = core->heap_offset, .length = heap_bytes};
}
_Static_assert(sizeof(struct node) % 8 == 0 && sizeof(struct node_cold) % 8 == 0 &&
                   sizeof(struct slot) % 8 == 0,
               "spans are whole words");

struct core_config core_made_with(const struct core *core)
{
    return core->config;
}

instant core_now(const struct core *core)
{
    return core->now;
}

/* --- single values -------------------------------------------------------------------------------------- */

static bool is_instant(instant at)
{
    return at == INSTANT_NONE || (at > -TIME_MAX && at < TIME_MAX);
}

static bool is_due(instant at)
{
    return at == INSTANT_NEVER || is_instant(at);
}

static bool is_duration(duration d)
{
    return d >= 0 && d < TIME_MAX;
}

static bool ends(const char *name, size_t size)
{
    return memchr(name, '\0', size) != NULL;
}

static bool is_flag(uint8_t flag)
{
    return flag <= 1;
}

/* --- policies ------------------------------------------------------------------------------------------- */

static bool is_condition(const struct condition *c)
{
    return c->metric < METRIC_COUNT && c->comparison <= COMPARE_LE && is_flag(c->rate) &&
           c->number - c->number == 0;
}

static bool are_conditions(const struct condition *list, uint32_t count)
{
    bool good = count <= CONDITION_MAX;
    for (uint32_t i = 0; good && i < count; i++) {
        good = is_condition(&list[i]);
    }
    return good;
}

static bool is_detector(const struct detector *d)
{
    bool good = ends(d->name, sizeof d->name) && are_conditions(d->when, d->when_count) &&
                are_conditions(d->clear, d->clear_count) && is_duration(d->for_ns) &&
                is_duration(d->healthy_for_ns) && is_duration(d->absent_ns) &&
                d->ladder_count <= LADDER_MAX && d->severity < SEVERITY_COUNT && is_flag(d->confirm);
    for (uint32_t i = 0; good && i < d->ladder_count; i++) {
        good = is_duration(d->ladder[i].settle_ns) && is_duration(d->ladder[i].within_ns) &&
               d->ladder[i].remedy < REMEDY_COUNT;
    }
    return good;
}

static bool is_rate(const struct rate *rate)
{
    return is_duration(rate->per_ns) && rate->per_ns <= SPAN_MAX_NS && rate->max <= RATE_MAX;
}

static bool is_window(const struct window *w)
{
    return ends(w->nodes, sizeof w->nodes) && is_instant(w->from_at) && is_instant(w->until_at) &&
           is_duration(w->after_midnight_ns) && is_duration(w->lasts_ns);
}

static bool are_guards(const struct guards *g)
{
    bool good = g->max_disrupted_ratio >= 0 && g->max_disrupted_ratio <= 1 &&
                g->breaker_unhealthy_ratio >= 0 && g->breaker_unhealthy_ratio <= 1 &&
                g->attempts_max <= ATTEMPTS_MAX && is_duration(g->attempts_within_ns) &&
                is_duration(g->cooldown_ns) && is_duration(g->recurrence_ns) &&
                is_duration(g->backoff_base_ns) && is_duration(g->backoff_cap_ns) &&
                is_duration(g->backoff_reset_ns) && is_rate(&g->rate_target) && is_rate(&g->rate_rule) &&
                is_rate(&g->rate_kind) && is_rate(&g->rate_fleet) && g->rate_target.max <= ATTEMPTS_MAX &&
                is_duration(g->flapping_within_ns) && g->flapping_changes <= CHANGES_MAX &&
                g->window_count <= WINDOW_MAX && is_duration(g->approval_ns) && is_duration(g->hold_ns);
    for (uint32_t i = 0; good && i < g->window_count; i++) {
        good = is_window(&g->windows[i]);
    }
    return good;
}

bool policy_is_sound(const struct policy *policy)
{
    bool good = policy->detector_count <= DETECTOR_MAX && policy->mode < MODE_COUNT &&
                is_duration(policy->planner_wait_ns) && are_guards(&policy->guards);
    for (uint32_t i = 0; good && i < DETECTOR_MAX; i++) {
        good = is_detector(&policy->detectors[i]);
    }
    return good;
}

/* --- incidents, commands, targets ----------------------------------------------------------------------- */

bool incident_is_sound(const struct incident *i)
{
    bool good = ends(i->detector_name, sizeof i->detector_name) && i->evidence_count <= CONDITION_MAX &&
                i->state < INCIDENT_STATE_COUNT && i->severity < SEVERITY_COUNT && i->rung < LADDER_MAX &&
                i->remedy <= REMEDY_NONE && i->outcome < OUTCOME_COUNT && i->verdict < VERDICT_COUNT &&
                i->block < BLOCK_REASON_COUNT && i->why < WHY_COUNT &&
                (i->detector < DETECTOR_MAX || i->detector == NO_INDEX);
    const instant instants[] = {i->began_at,       i->opened_at,  i->planned_at,     i->acted_at,
                                i->answer_by,      i->ended_at,   i->verify_from,    i->verify_by,
                                i->healthy_since,  i->closed_at,  i->hold_until,     i->planner_by,
                                i->approved_until, i->blocked_at, i->blocked_last_at};
    for (size_t k = 0; good && k < COUNT_OF(instants); k++) {
        good = is_due(instants[k]);
    }
    for (uint32_t k = 0; good && k < i->evidence_count; k++) {
        good = is_condition(&i->evidence[k].condition);
    }
    return good;
}

bool command_is_sound(const struct command *c)
{
    return is_due(c->ordered_at) && is_due(c->expires_at) && is_due(c->answer_by) && is_due(c->ended_at) &&
           c->remedy <= REMEDY_NONE && c->outcome < OUTCOME_COUNT && is_flag(c->by_person);
}

static bool is_target(const struct target *t)
{
    bool good = is_due(t->ended_at) && is_due(t->trouble_at) && is_due(t->maintained_until) &&
                t->change_next < CHANGES_MAX && is_flag(t->flapping);
    for (uint32_t i = 0; good && i < CHANGES_MAX; i++) {
        good = is_instant(t->changed_at[i]);
    }
    return good;
}

/* --- events --------------------------------------------------------------------------------------------- */

static bool is_hello(const struct hello *h)
{
    return ends(h->name, sizeof h->name) && is_duration(h->interval_ns) && h->calls_count <= CALLS_MAX;
}

static bool is_report(const struct report *r)
{
    bool good = is_duration(r->age_ns) && r->present >> METRIC_COUNT == 0;
    for (uint32_t m = 0; good && m < METRIC_COUNT; m++) {
        good = r->value[m] - r->value[m] == 0; /* finite */
    }
    return good;
}

static bool is_action(const struct restored_action *a)
{
    return is_instant(a->expires_at) && is_instant(a->acted_at) && is_instant(a->ended_at) &&
           a->remedy <= REMEDY_NONE && is_flag(a->by_person);
}

/* What the core keeps of it later adds spans to instants: NEVER has no place here. */
static bool is_stored_incident(const struct incident *i)
{
    return incident_is_sound(i) && is_instant(i->closed_at) && is_instant(i->acted_at) &&
           is_instant(i->answer_by) && is_instant(i->verify_by) && is_instant(i->hold_until) &&
           is_instant(i->planner_by) && is_instant(i->ended_at) && is_instant(i->began_at) &&
           is_instant(i->verify_from) && is_instant(i->healthy_since);
}

static bool is_restore(const struct restore *r)
{
    switch ((enum restore_kind)r->kind) {
    case RESTORE_CONTROL:
        return r->what.control.epoch < UINT32_MAX && is_flag(r->what.control.paused) &&
               is_flag(r->what.control.breaker_open);
    case RESTORE_INCIDENT:
        return is_stored_incident(&r->what.incident);
    case RESTORE_ACTION:
        return is_action(&r->what.action);
    case RESTORE_NODE:
        return is_hello(&r->what.node);
    case RESTORE_TARGET:
        return is_target(&r->what.target);
    default:
        return false;
    }
}

bool event_is_sound(const struct event *event)
{
    if (event->at <= -TIME_MAX || event->at >= TIME_MAX) {
        return false;
    }
    switch ((enum event_kind)event->kind) {
    case EVENT_HELLO:
        return is_hello(&event->of.hello);
    case EVENT_REPORT:
        return is_report(&event->of.report);
    case EVENT_COMMAND_END:
        return event->of.command_end.outcome < OUTCOME_COUNT && is_flag(event->of.command_end.began);
    case EVENT_OPERATOR:
        return event->of.operator_order.word < OPERATOR_WORD_COUNT &&
               event->of.operator_order.remedy <= REMEDY_NONE &&
               is_duration(event->of.operator_order.maintain_ns);
    case EVENT_PROPOSAL:
        return event->of.proposal.remedy <= REMEDY_NONE;
    case EVENT_POLICY:
        return policy_is_sound(event->of.policy);
    case EVENT_RESTORE:
        return is_restore(&event->of.restore);
    case EVENT_GAP:
        return is_duration(event->of.gap.length_ns);
    case EVENT_GOODBYE:
    case EVENT_DEADLINE:
        return true;
    case EVENT_COUNT:
    default:
        return false;
    }
}

/* --- a core from a copy --------------------------------------------------------------------------------- */

static bool is_slot_number(const struct core *core, uint32_t slot)
{
    return slot == NO_INDEX || slot < core->slot_count;
}

static bool head_is_sound(const struct core *core, const struct core_config *config)
{
    bool good = core->config.node_capacity == config->node_capacity &&
                core->config.incident_capacity == config->incident_capacity &&
                core->node_count <= config->node_capacity && core->slot_count <= config->incident_capacity &&
                is_instant(core->now) && is_instant(core->away_until) && core->action_next < ACTIONS_KEPT &&
                is_slot_number(core, core->free_slot) && policy_is_sound(&core->policy) &&
                core->fleet <= core->node_count && core->unhealthy <= core->fleet &&
                core->control.epoch < UINT32_MAX;
    for (uint32_t i = 0; good && i < ACTIONS_KEPT; i++) {
        good = is_instant(core->actions[i].acted_at) && core->actions[i].remedy <= REMEDY_NONE;
    }
    return good;
}

static uint32_t policy_bits(const struct core *core)
{
    uint32_t count = core->policy.detector_count;
    return count >= 32 ? UINT32_MAX : (1u << count) - 1;
}

static bool node_is_sound(const struct core *core, uint32_t number)
{
    const struct node *node = node_of(core, number);
    const struct node_cold *cold = cold_of(core, number);
    uint32_t bits = node->pending | node->firing | node->clearing;
    bool current = node->generation == core->policy_generation;
    bool good = is_slot_number(core, node->first_incident) && is_slot_number(core, node->acting) &&
                is_due(node->seen_at) && is_due(node->sampled_at) && is_duration(node->interval_ns) &&
                node->present >> METRIC_COUNT == 0 && (!current || (bits & ~policy_bits(core)) == 0) &&
                cold->held_count <= HELD_MAX && cold->calls_count <= CALLS_MAX &&
                ends(cold->name, sizeof cold->name) && is_target(&cold->target);
    for (uint32_t i = 0; good && i < cold->held_count; i++) {
        good = is_report(&cold->held[i].report) && is_instant(cold->held[i].sampled_at);
    }
    for (uint32_t i = 0; good && i < DETECTOR_MAX; i++) {
        good = is_instant(cold->known_at[i]) && is_instant(cold->since[i]) && is_instant(cold->began_at[i]);
    }
    for (uint32_t i = 0; good && i < ATTEMPTS_MAX; i++) {
        good = is_instant(cold->acted_at[i]);
    }
    return good;
}

static bool slot_is_sound(const struct core *core, uint32_t number)
{
    const struct slot *slot = slot_of(core, number);
    const struct incident *incident = &slot->incident;
    return is_slot_number(core, slot->next) && incident_is_sound(incident) &&
           command_is_sound(&slot->command) && (!slot->used || incident->node < core->node_count) &&
           (incident->detector == NO_INDEX || incident->detector < core->policy.detector_count ||
            !slot->used);
}

/* Each list has an end: no more steps than there are slots. */
static bool list_ends(const struct core *core, uint32_t slot)
{
    uint32_t steps = 0;
    while (slot != NO_INDEX && steps <= core->slot_count) {
        slot = slot_of(core, slot)->next;
        steps++;
    }
    return slot == NO_INDEX;
}

struct core *core_adopt(void *memory, const struct core_config *config)
{
    struct core *core = memory;
    struct core laid;
    size_t total = core_size(config);
    core_lay_out(&laid, config, &total);
    if (!head_is_sound(core, config) || core->nodes_offset != laid.nodes_offset ||
        core->cold_offset != laid.cold_offset || core->slots_offset != laid.slots_offset ||
        core->heap_offset != laid.heap_offset ||
        !heap_is_sound(heap_of(core), config->node_capacity + config->incident_capacity)) {
        return NULL;
    }
    for (uint32_t s = 0; s < core->slot_count; s++) {
        if (!slot_is_sound(core, s)) {
            return NULL;
        }
    }
    for (uint32_t n = 0; n < core->node_count; n++) {
        if (!node_is_sound(core, n) || !list_ends(core, node_of(core, n)->first_incident)) {
            return NULL;
        }
    }
    return list_ends(core, core->free_slot) ? core : NULL;
}
