#include "agent/injection.h"

#include "agent/fault.h"
#include "agent/folder_use.h"
#include "agent/journal.h"
#include "agent/supervisor.h"
#include "base/clock.h"
#include "core/fault.h"
#include "inject/page.h"
#include "wire/json.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const duration tick_ns = 50 * MILLISECOND;
static const duration nearly_over_ns =
    1500 * MILLISECOND; /* left of a lease when the control plane lets go of it */

static const char *const state_words[] = {"active", "ended", "failed"};
static const char *const sight_words[] = {"waiting", "seen", "none"};

/* --- ends ----------------------------------------------------------------------------------------------- */

static void fault_end(struct fault *fault, const char *reason)
{
    strike_end(fault);
    fault->state = FAULT_IS_ENDED;
    fault->ended_ns = monotonic_ns();
    fault->told = false;
    snprintf(fault->reason, sizeof fault->reason, "%s", reason);
}

static void fault_fail(struct fault *fault, const char *reason)
{
    fault->state = FAULT_IS_FAILED;
    snprintf(fault->reason, sizeof fault->reason, "%s", reason);
}

static void fault_free(struct fault *fault)
{
    if (fault->state == FAULT_IS_ACTIVE)
        strike_end(fault);
    strike_bury(fault);
    free(fault);
}

/* --- beginnings ----------------------------------------------------------------------------------------- */

static bool same_is_on(const struct injection *injection, const struct fault *fault)
{
    for (size_t i = 0; i < injection->count; i++) {
        const struct fault *other = injection->faults[i];
        if (other != fault && other->kind == fault->kind && other->state == FAULT_IS_ACTIVE)
            return true;
    }
    return false;
}

static double level_now(const struct fault *fault, int64_t now_ns)
{
    double level = fault_level((enum shape)fault->shape, now_ns - fault->began_ns,
                               fault->until_ns - fault->began_ns, fault->period_ns);
    if (fault_is_on_or_off((enum fault_kind)fault->kind))
        return level >= 0.5 ? 1 : 0;
    return level;
}

static void fault_drive(struct fault *fault, double level)
{
    fault->level = level;
    fault->peak = level > fault->peak ? level : fault->peak;
    if (level >= 0.5 && fault->peak_ns == 0)
        fault->peak_ns = monotonic_ns();
    strike_drive(fault, level);
}

static void fault_strike(struct injection *injection, struct fault *fault)
{
    uint32_t place = injection->options.built_in ? FAULT_AT_SERVICE : FAULT_AT_PROGRAM;
    bool once = fault->kind == FAULT_SERVICE_CRASH || fault->kind == FAULT_SERVICE_HANG;
    const char *why = NULL;
    if (fault->kind < 0)
        why = "this node agent has no such fault";
    else if (fault->shape < 0 || !fault_shape_fits((enum fault_kind)fault->kind, (enum shape)fault->shape,
                                                   fault->until_ns - fault->began_ns, fault->period_ns))
        why = "this fault cannot have that shape";
    else if (!(fault_infos[fault->kind].places & place))
        why = "this node runs a program of its own; only the built-in service has this fault";
    else if (same_is_on(injection, fault))
        why = "another fault of this kind is on already";
    if (why) {
        fault_fail(fault, why);
    } else if (fault->until_ns <= fault->began_ns) {
        fault_end(fault, "expired");
    } else if (once && journal_has_struck(injection->options.journal, fault->id)) {
        fault_end(fault, "cured"); /* by our own restart: the process it struck is gone */
    } else if ((why = strike_begin(fault))) {
        fault_fail(fault, why);
    } else {
        fault_drive(fault, level_now(fault, fault->began_ns));
    }
}

static void fault_add(struct injection *injection, const struct fault_order *order)
{
    struct fault *fault = injection->count < NODE_FAULTS_MAX ? calloc(1, sizeof *fault) : NULL;
    if (!fault)
        return; /* it will be listed again, when others are forgotten */
    injection->faults[injection->count++] = fault;
    double lease_s = order->lease_s < 1e6 ? order->lease_s : 1e6;
    *fault = (struct fault){.injection = injection,
                            .id = order->id,
                            .kind = order->kind,
                            .shape = order->shape,
                            .period_ns = duration_from_seconds(order->period_s),
                            .intensity = order->intensity,
                            .began_ns = monotonic_ns(),
                            .leash_fd = -1,
                            .helper = {.pidfd = -1},
                            .listed = true};
    fault->until_ns = fault->began_ns + duration_from_seconds(lease_s);
    if (fault->kind >= 0) {
        const struct fault_info *info = &fault_infos[fault->kind];
        fault->has_before = info->metric != METRIC_NONE && samples_have(&injection->last, info->metric);
        fault->before = fault->has_before ? injection->last.value[info->metric] : 0;
        if (fault->intensity <= 0 && info->least > 0)
            fault->intensity = info->intensity;
        if (fault->shape == SHAPE_GRAY)
            fault->intensity = fault_gray((enum fault_kind)fault->kind, fault->intensity);
    }
    fault_strike(injection, fault);
}

/* --- time passes ---------------------------------------------------------------------------------------- */

static void fault_tick(struct fault *fault, int64_t now_ns)
{
    if (fault->state == FAULT_IS_ACTIVE && now_ns >= fault->until_ns)
        fault_end(fault, "expired");
    if (now_ns >= fault->until_ns)
        strike_bury(fault);
    if (fault->state != FAULT_IS_ACTIVE)
        return;
    double level = level_now(fault, now_ns);
    if (level != fault->level)
        fault_drive(fault, level);
    const char *why = strike_tick(fault, now_ns);
    if (why)
        fault_end(fault, why);
}

static void on_tick(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    struct injection *injection = context;
    int64_t now_ns = monotonic_ns();
    for (size_t i = 0; i < injection->count; i++)
        fault_tick(injection->faults[i], now_ns);
}

/* --- the life ------------------------------------------------------------------------------------------- */

struct injection *injection_new(struct event_base *base, const struct injection_options *options)
{
    struct injection *injection = calloc(1, sizeof *injection);
    if (!injection)
        return NULL;
    injection->base = base;
    injection->options = *options;
    injection->tick = event_new(base, -1, EV_PERSIST, on_tick, injection);
    if (!injection->tick)
        injection_free(&injection);
    return injection;
}

void injection_free(struct injection **owner)
{
    struct injection *injection = *owner;
    *owner = NULL;
    if (!injection)
        return;
    injection->ending = true;
    for (size_t i = 0; i < injection->count; i++)
        fault_free(injection->faults[i]);
    if (injection->tick)
        event_free(injection->tick);
    free(injection);
}

/* Those that are over and told of are forgotten; the others need their time. */
static void sweep(struct injection *injection)
{
    size_t kept = 0;
    for (size_t i = 0; i < injection->count; i++) {
        struct fault *fault = injection->faults[i];
        bool over = fault->state != FAULT_IS_ACTIVE && !fault->listed && fault->told && !fault->helper.pid;
        if (over)
            fault_free(fault);
        else
            injection->faults[kept++] = fault;
    }
    injection->count = kept;
    struct timeval tick = timeval_of(tick_ns);
    if (kept == 0)
        event_del(injection->tick);
    else if (!event_pending(injection->tick, EV_TIMEOUT, NULL))
        event_add(injection->tick, &tick);
}

/* --- orders --------------------------------------------------------------------------------------------- */

static struct fault *fault_find(struct injection *injection, uint64_t id)
{
    for (size_t i = 0; i < injection->count; i++)
        if (injection->faults[i]->id == id)
            return injection->faults[i];
    return NULL;
}

void injection_obey(struct injection *injection, const struct orders *orders)
{
    if (!orders->has_faults)
        return;
    for (size_t i = 0; i < injection->count; i++)
        injection->faults[i]->listed = false;
    /* What is to go goes first: a fault of the same kind may take its place. */
    for (size_t i = 0; i < orders->faults_count; i++) {
        struct fault *fault = fault_find(injection, orders->faults[i].id);
        if (fault)
            fault->listed = true;
    }
    for (size_t i = 0; i < injection->count; i++) {
        struct fault *fault = injection->faults[i];
        if (!fault->listed && fault->state == FAULT_IS_ACTIVE)
            fault_end(fault, fault->until_ns - monotonic_ns() < nearly_over_ns ? "expired" : "cleared");
    }
    for (size_t i = 0; i < orders->faults_count; i++)
        if (!fault_find(injection, orders->faults[i].id))
            fault_add(injection, &orders->faults[i]);
    sweep(injection);
}

/* --- what others do ------------------------------------------------------------------------------------- */

void injection_service_started(struct injection *injection)
{
    for (size_t i = 0; i < injection->count; i++)
        if (injection->faults[i]->state == FAULT_IS_ACTIVE)
            strike_started(injection->faults[i]);
}

/* These go on whatever is done; a remedy only lets the node bear them. */
static bool is_borne(int kind)
{
    return kind == FAULT_OVERLOAD || kind == FAULT_RETRY_STORM;
}

void injection_cured(struct injection *injection, enum remedy remedy)
{
    uint32_t did = 1u << remedy;
    if (remedy == REMEDY_REBOOT_NODE)
        did |= REMEDY_BIT(RESTART_SERVICE) | REMEDY_BIT(RESET_NETWORK);
    for (size_t i = 0; i < injection->count; i++) {
        struct fault *fault = injection->faults[i];
        if (fault->state == FAULT_IS_ACTIVE && fault_infos[fault->kind].cures & did &&
            !is_borne(fault->kind) && strike_is_out_of_reach(fault))
            fault_end(fault, "cured");
    }
}

int injection_isolate(struct injection *injection, bool isolate)
{
    int count = 0;
    for (size_t i = 0; i < injection->count; i++) {
        struct fault *fault = injection->faults[i];
        if (fault->kind != FAULT_NOISY_NEIGHBOUR || !fault->helper.pid)
            continue;
        count++;
        if (!isolate && fault->state != FAULT_IS_ACTIVE) {
            strike_bury(fault); /* it is over, and does not begin again */
            continue;
        }
        child_signal(&fault->helper, isolate ? SIGSTOP : SIGCONT);
        fault->isolated = isolate;
    }
    return count;
}

void injection_tell_room(struct injection *injection)
{
    uint64_t used = folder_use_bytes(injection->options.use), quota = injection->options.quota_bytes;
    page_set_room(injection->options.page, used < quota ? quota - used : 0);
    injection->room_ns = monotonic_ns();
}

void injection_reboot(struct injection *injection)
{
    for (size_t i = 0; i < injection->count; i++) {
        struct fault *fault = injection->faults[i];
        fault->isolated = false;
        if (fault->state == FAULT_IS_ACTIVE && fault->kind == FAULT_NOISY_NEIGHBOUR)
            fault_end(fault, "cured"); /* nothing of the node's processes outlives its reboot */
        strike_bury(fault);
    }
}

void injection_others(const struct injection *injection, struct tree *others)
{
    others->count = 0;
    for (size_t i = 0; i < injection->count; i++) {
        const struct fault *fault = injection->faults[i];
        if (fault->kind == FAULT_NOISY_NEIGHBOUR && fault->helper.pid && others->count < TREE_MAX)
            others->pid[others->count++] = fault->helper.pid;
    }
}

/* --- samples -------------------------------------------------------------------------------------------- */

static const struct fault *active(const struct injection *injection, enum fault_kind kind)
{
    for (size_t i = 0; i < injection->count; i++) {
        const struct fault *fault = injection->faults[i];
        if (fault->kind == (int)kind && fault->state == FAULT_IS_ACTIVE && fault->level > 0)
            return fault;
    }
    return NULL;
}

void injection_lie(const struct injection *injection, struct samples *samples)
{
    const struct fault *lie = active(injection, FAULT_SENSOR_FAULT);
    if (lie)
        samples_set(samples, METRIC_CPU_UTILIZATION, lie->intensity);
}

duration injection_clock_skew(const struct injection *injection)
{
    const struct fault *skew = active(injection, FAULT_CLOCK_SKEW);
    return skew ? duration_from_seconds(skew->intensity) : 0;
}

void injection_observe(struct injection *injection, const struct samples *samples)
{
    for (size_t i = 0; i < injection->count; i++) {
        struct fault *fault = injection->faults[i];
        if (fault->state != FAULT_IS_FAILED)
            effect_observe(fault, samples);
    }
    for (int metric = 0; metric < METRIC_COUNT; metric++)
        if (samples_have(samples, (enum metric)metric))
            samples_set(&injection->last, (enum metric)metric, samples->value[metric]);
}

static json_t *fault_json(const struct fault *fault)
{
    json_t *json = json_object();
    json_object_set_new(json, "id", json_integer((json_int_t)fault->id));
    json_object_set_new(json, "state", json_string(state_words[fault->state]));
    if (fault->state != FAULT_IS_FAILED)
        json_object_set_new(json, "age_s", json_of_seconds(monotonic_ns() - fault->began_ns));
    if (fault->state != FAULT_IS_ACTIVE)
        json_object_set_new(json, "reason", json_of_text(fault->reason));
    if (fault->state == FAULT_IS_FAILED)
        return json;
    json_object_set_new(json, "effect", json_string(sight_words[fault->effect]));
    if (fault->state == FAULT_IS_ENDED)
        json_object_set_new(json, "removal", json_string(sight_words[fault->removal]));
    if (fault_infos[fault->kind].metric == METRIC_NONE)
        return json;
    json_object_set_new(json, "metric", json_string(metric_name(fault_infos[fault->kind].metric)));
    if (fault->has_before)
        json_object_set_new(json, "before", json_of_number(fault->before));
    if (fault->has_after)
        json_object_set_new(json, "after", json_of_number(fault->worst));
    return json;
}

json_t *injection_json(struct injection *injection)
{
    if (injection->count == 0)
        return NULL;
    json_t *faults = json_array();
    for (size_t i = 0; i < injection->count; i++) {
        struct fault *fault = injection->faults[i];
        json_array_append_new(faults, fault_json(fault));
        fault->told = fault->state == FAULT_IS_FAILED ||
                      (fault->state == FAULT_IS_ENDED && fault->removal != SIGHT_IS_WAITING);
    }
    return faults;
}
