/* Faults, as the control plane asks for them: struck in the world at once, and watched as a node agent
 * watches those of real processes (agent/injection.h). */
#include "synthetic/state.h"

#include "base/clock.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum strike_state { STRIKE_ACTIVE, STRIKE_ENDED, STRIKE_FAILED };
enum strike_effect { EFFECT_WAITING, EFFECT_SEEN, EFFECT_NONE };

static const char *const state_words[] = {"active", "ended", "failed"};
static const char *const effect_words[] = {"waiting", "seen", "none"};

#define PATIENCE_NS      (6 * SECOND)
#define PATIENCE_SLOW_NS MINUTE /* for what comes slowly: a leak, a release that exits again and again */
#define PATIENCE_END_NS  (12 * SECOND)        /* for the metric to go back */
#define NEARLY_OVER_NS   (1500 * MILLISECOND) /* left of a lease when the control plane lets go of it */

static void end(struct strike *strike, enum strike_state state, const char *reason)
{
    strike->state = (uint8_t)state;
    strike->reason = reason;
    strike->ended_ns = monotonic_ns();
}

/* --- beginnings ----------------------------------------------------------------------------------------- */

static bool has_periods(int shape)
{
    return shape == SHAPE_SPIKE || shape == SHAPE_SAWTOOTH || shape == SHAPE_FLAPPING;
}

static duration patience(const struct node *node, const struct fault_order *order, duration lease_ns)
{
    duration intervals_ns = 6 * node->interval_ns, patience_ns = PATIENCE_NS;
    patience_ns = intervals_ns > patience_ns ? intervals_ns : patience_ns;
    if (order->kind == FAULT_MEMORY_LEAK || order->kind == FAULT_CRASH_LOOP)
        patience_ns = PATIENCE_SLOW_NS;
    if (order->shape == SHAPE_RAMP)
        patience_ns += lease_ns;
    if (has_periods(order->shape))
        patience_ns += 2 * duration_from_seconds(order->period_s);
    return patience_ns;
}

static void strike_world(struct node *node, struct strike *strike, const struct fault_order *order)
{
    instant now = fleet_now(node->fleet);
    struct world_fault fault = {.node = node->number,
                                .kind = (uint8_t)order->kind,
                                .shape = (uint8_t)order->shape,
                                .intensity = strike->intensity,
                                .from_at = now,
                                .until_at = now + (strike->until_ns - strike->began_ns),
                                .period_ns = duration_from_seconds(order->period_s)};
    if (!world_strike(node->fleet->world, &fault))
        end(strike, STRIKE_FAILED, "too many faults on this node, or a shape that this kind cannot have");
}

/* What silences the node is told before it does: afterwards nobody would hear that it began. */
static void begin(struct node *node, struct strike *strike, const struct fault_order *order)
{
    if (order->kind == FAULT_NODE_PARTITION || order->kind == FAULT_ZONE_OUTAGE)
        node_report_now(node);
    strike_world(node, strike, order);
}

static bool same_is_on(const struct node *node, const struct strike *strike)
{
    for (uint32_t i = 0; i < node->strikes->count; i++) {
        const struct strike *other = &node->strikes->list[i];
        if (other != strike && other->kind == strike->kind && other->state == STRIKE_ACTIVE)
            return true;
    }
    return false;
}

static void add(struct node *node, const struct fault_order *order)
{
    struct strikes *strikes = node->strikes;
    if (strikes->count == STRIKES_MAX)
        return; /* it will be listed again, when others are forgotten */
    struct strike *strike = &strikes->list[strikes->count++];
    duration lease_ns = duration_from_seconds(order->lease_s < 1e6 ? order->lease_s : 1e6);
    *strike = (struct strike){.id = order->id,
                              .kind = order->kind,
                              .intensity = order->intensity,
                              .began_ns = monotonic_ns(),
                              .listed = true,
                              .reason = ""};
    strike->until_ns = strike->began_ns + lease_ns;
    strike->patience_ns = patience(node, order, lease_ns);
    if (order->kind < 0 || order->shape < 0) {
        end(strike, STRIKE_FAILED,
            order->kind < 0 ? "this node agent has no such fault" : "this node agent knows no such shape");
        return;
    }
    enum metric metric = fault_infos[order->kind].metric;
    strike->has_before = metric != METRIC_NONE && (node->last_present & 1u << metric) != 0;
    strike->before = strike->has_before ? node->last[metric] : 0;
    if (strike->intensity == 0 && fault_infos[order->kind].least > 0)
        strike->intensity = fault_infos[order->kind].intensity;
    if (lease_ns <= 0)
        end(strike, STRIKE_ENDED, "expired");
    else if (same_is_on(node, strike))
        end(strike, STRIKE_FAILED, "another fault of this kind is on already");
    else
        begin(node, strike, order);
}

/* --- effects -------------------------------------------------------------------------------------------- */

/* At least half of what the intensity promises, beyond what was there before. Of the kinds that fail a part
 * of something, which is counted, a quarter will do. */
static bool has_moved(const struct strike *strike, double value)
{
    double before = strike->has_before ? strike->before : 0, x = strike->intensity;
    double minutes = duration_seconds(monotonic_ns() - strike->began_ns) / 60;
    switch (strike->kind) {
    case FAULT_CPU_SPIKE:
    case FAULT_NOISY_NEIGHBOUR:
        return value >= before + 0.5 * x * (1 - before);
    case FAULT_SERVICE_CRASH:
        return value == 0;
    case FAULT_SERVICE_HANG:
        return value > 0.5;
    case FAULT_MEMORY_LEAK:
        return value >= before * (1 + 0.5 * x * WORLD_NODE_MEMORY * minutes) && value >= 1.02 * before;
    case FAULT_CRASH_LOOP:
        return value > before;
    case FAULT_BAD_CONFIG:
    case FAULT_NETWORK_LOSS:
    case FAULT_IO_ERROR:
        return value >= before + 0.25 * x;
    case FAULT_DISK_FULL:
        return value >= before + 0.5 * (x - before);
    case FAULT_OVERLOAD:
        return value >= before * (1 + 0.5 * (x - 1));
    case FAULT_NETWORK_BANDWIDTH:
        return value >= 2 * before;
    case FAULT_SENSOR_FAULT:
        return fabs(value - x) < 0.02;
    default:
        return value >= before + 0.5 * x;
    }
}

/* Kinds that no metric shows, or that keep the node from reporting. */
static bool is_told_by_sample(const struct strike *strike, const struct world_sample *sample)
{
    if (strike->kind == FAULT_NODE_PARTITION || strike->kind == FAULT_ZONE_OUTAGE)
        return sample->silent;
    return strike->kind == FAULT_CLOCK_SKEW && sample->skew_ns != 0;
}

/* Most of the way back to where it was before. */
static bool has_gone_back(const struct strike *strike, const struct world_sample *sample)
{
    enum metric metric = fault_infos[strike->kind].metric;
    if (strike->effect != EFFECT_SEEN || metric == METRIC_NONE)
        return true;                      /* nothing was moved that could go back */
    if (strike->kind == FAULT_CRASH_LOOP) /* starts are never fewer again */
        return sample->present & 1u << METRIC_SERVICE_UP && sample->value[METRIC_SERVICE_UP] > 0;
    if (!(sample->present & 1u << metric))
        return false;
    double before = strike->has_before ? strike->before : 0, moved = strike->after - before;
    double value = sample->value[metric];
    return moved >= 0 ? value <= before + 0.4 * moved : value >= before + 0.4 * moved;
}

static void observe_end(struct strike *strike, const struct world_sample *sample)
{
    if (strike->removal != EFFECT_WAITING)
        return;
    if (has_gone_back(strike, sample))
        strike->removal = EFFECT_SEEN;
    else if (monotonic_ns() - strike->ended_ns > PATIENCE_END_NS)
        strike->removal = EFFECT_NONE;
}

static void observe(struct strike *strike, const struct world_sample *sample)
{
    int64_t now_ns = monotonic_ns();
    enum metric metric = fault_infos[strike->kind].metric;
    if (sample->present & 1u << metric) {
        double value = sample->value[metric];
        bool more = metric_infos[metric].worse_up ? value > strike->after : value < strike->after;
        if (!strike->has_after || more)
            strike->after = value;
        strike->has_after = true;
        if (has_moved(strike, value) && strike->kind != FAULT_CLOCK_SKEW)
            strike->effect = EFFECT_SEEN;
    }
    if (is_told_by_sample(strike, sample))
        strike->effect = EFFECT_SEEN;
    if (strike->effect == EFFECT_WAITING && now_ns - strike->began_ns > strike->patience_ns)
        strike->effect = EFFECT_NONE;
    if (now_ns >= strike->until_ns)
        end(strike, STRIKE_ENDED, "expired");
}

void strikes_observe(struct node *node, const struct world_sample *sample)
{
    for (uint32_t i = 0; node->strikes && i < node->strikes->count; i++) {
        struct strike *strike = &node->strikes->list[i];
        if (strike->state == STRIKE_ACTIVE)
            observe(strike, sample);
        else if (strike->state == STRIKE_ENDED)
            observe_end(strike, sample);
    }
    for (int metric = 0; metric < METRIC_COUNT; metric++)
        if (sample->present & 1u << metric)
            node->last[metric] = sample->value[metric];
    node->last_present |= sample->present;
}

/* --- ends ----------------------------------------------------------------------------------------------- */

void strikes_cured(struct node *node, uint32_t kinds)
{
    for (uint32_t i = 0; node->strikes && i < node->strikes->count; i++) {
        struct strike *strike = &node->strikes->list[i];
        if (strike->state == STRIKE_ACTIVE && kinds & 1u << strike->kind)
            end(strike, STRIKE_ENDED, "cured");
    }
}

static struct strike *find(const struct node *node, uint64_t id)
{
    for (uint32_t i = 0; i < node->strikes->count; i++)
        if (node->strikes->list[i].id == id)
            return &node->strikes->list[i];
    return NULL;
}

/* No longer listed: it is over, unless that was told already. */
static bool is_forgotten(struct node *node, struct strike *strike)
{
    if (strike->listed)
        return false;
    if (strike->state == STRIKE_ACTIVE) {
        bool over = strike->until_ns - monotonic_ns() < NEARLY_OVER_NS;
        world_clear(node->fleet->world, node->number, (enum fault_kind)strike->kind, fleet_now(node->fleet));
        end(strike, STRIKE_ENDED, over ? "expired" : "cleared");
        return false;
    }
    return strike->told;
}

void strikes_obey(struct node *node, const struct orders *orders)
{
    if (!orders->has_faults || (orders->faults_count == 0 && !node->strikes))
        return;
    if (!node->strikes)
        node->strikes = calloc(1, sizeof *node->strikes);
    if (!node->strikes) {
        fleet_complain(node->fleet, TROUBLE_MEMORY, node, 0, "no memory for a fault");
        return;
    }
    struct strikes *strikes = node->strikes;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < strikes->count; i++)
        strikes->list[i].listed = false;
    for (size_t i = 0; i < orders->faults_count; i++) {
        struct strike *known = find(node, orders->faults[i].id);
        if (known)
            known->listed = true;
    }
    /* Ends come before beginnings, so that one of a kind may follow another at once. */
    for (uint32_t i = 0; i < strikes->count; i++)
        if (!is_forgotten(node, &strikes->list[i]))
            strikes->list[kept++] = strikes->list[i];
    strikes->count = kept;
    for (size_t i = 0; i < orders->faults_count; i++)
        if (!find(node, orders->faults[i].id))
            add(node, &orders->faults[i]);
}

/* --- telling -------------------------------------------------------------------------------------------- */

static void tell(struct text *text, const struct strike *strike)
{
    text_addf(text, "{\"id\":%" PRIu64 ",\"state\":\"%s\"", strike->id, state_words[strike->state]);
    if (strike->state == STRIKE_ACTIVE)
        text_addf(text, ",\"age_s\":%.6f", duration_seconds(monotonic_ns() - strike->began_ns));
    else
        text_addf(text, ",\"reason\":\"%s\"", strike->reason);
    if (strike->state != STRIKE_FAILED) {
        text_addf(text, ",\"effect\":\"%s\",\"metric\":\"%s\"", effect_words[strike->effect],
                  metric_name(fault_infos[strike->kind].metric));
        if (strike->state == STRIKE_ENDED)
            text_addf(text, ",\"removal\":\"%s\"", effect_words[strike->removal]);
        if (strike->has_before)
            text_addf(text, ",\"before\":%.9g", strike->before);
        if (strike->has_after)
            text_addf(text, ",\"after\":%.9g", strike->after);
    }
    text_add(text, "}");
}

void strikes_json(struct node *node, struct text *text)
{
    uint32_t count = node->strikes ? node->strikes->count : 0;
    for (uint32_t i = 0; i < count; i++) {
        struct strike *strike = &node->strikes->list[i];
        text_add(text, i == 0 ? ",\"faults\":[" : ",");
        tell(text, strike);
        strike->told = strike->state == STRIKE_FAILED ||
                       (strike->state == STRIKE_ENDED && strike->removal != EFFECT_WAITING);
    }
    if (count > 0)
        text_add(text, "]");
}
