#include "agent/injection.h"

#include "base/clock.h"
#include "agent/journal.h"
#include "agent/supervisor.h"
#include "inject/leash.h"
#include "inject/page.h"
#include "wire/json.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FAULTS_MAX = 32, REASON_SIZE = 128, INTERVALS_FOR_EFFECT = 6 };

static const duration seconds_for_effect_ns = 6 * SECOND;
static const duration nearly_over_ns =
    1500 * MILLISECOND; /* left of a lease when the control plane lets go of it */

enum fault_state { FAULT_IS_ACTIVE, FAULT_IS_ENDED, FAULT_IS_FAILED };
enum fault_effect { EFFECT_IS_WAITING, EFFECT_IS_SEEN, EFFECT_IS_NONE };

static const char *const state_words[] = {"active", "ended", "failed"};
static const char *const effect_words[] = {"waiting", "seen", "none"};

struct fault {
    uint64_t id;
    double intensity;
    double before, after; /* of its metric: the last sample before it, the most moved one since */
    int64_t began_ns, until_ns;
    int kind;
    int leash_fd;
    enum fault_state state;
    enum fault_effect effect;
    char reason[REASON_SIZE];
    bool has_before, has_after;
    bool listed; /* by the newest answer */
    bool told;   /* its end was in a report */
};

struct injection {
    struct injection_options options;
    struct samples last; /* the newest of each metric */
    struct fault faults[FAULTS_MAX];
    size_t count;
};

/* --- ends ----------------------------------------------------------------------------------------------- */

static bool is_on_page(int kind)
{
    return kind == FAULT_CPU_SPIKE || kind == FAULT_NETWORK_DELAY || kind == FAULT_STORAGE_LATENCY;
}

static void fault_end(struct injection *injection, struct fault *fault, const char *reason)
{
    if (is_on_page(fault->kind))
        page_clear(injection->options.page, (enum fault_kind)fault->kind);
    leash_release(&fault->leash_fd);
    fault->state = FAULT_IS_ENDED;
    snprintf(fault->reason, sizeof fault->reason, "%s", reason);
}

static void fault_fail(struct fault *fault, const char *reason)
{
    fault->state = FAULT_IS_FAILED;
    snprintf(fault->reason, sizeof fault->reason, "%s", reason);
}

/* --- beginnings ----------------------------------------------------------------------------------------- */

static void strike_crash(struct injection *injection, struct fault *fault)
{
    pid_t pid = supervisor_pid(injection->options.supervisor);
    if (pid <= 0)
        fault_fail(fault, "the service is not running");
    else if (journal_strike(injection->options.journal, fault->id, fault->until_ns - fault->began_ns) < 0)
        fault_fail(fault, "the command journal cannot be written");
    else if (kill(pid, SIGKILL) < 0)
        fault_fail(fault, strerror(errno));
}

static void strike_hang(struct injection *injection, struct fault *fault)
{
    pid_t pid = supervisor_pid(injection->options.supervisor);
    if (pid <= 0) {
        fault_fail(fault, "the service is not running");
        return;
    }
    if (journal_strike(injection->options.journal, fault->id, fault->until_ns - fault->began_ns) < 0) {
        fault_fail(fault, "the command journal cannot be written");
        return;
    }
    int error = leash_hang(pid, fault->until_ns - fault->began_ns, &fault->leash_fd);
    if (error < 0)
        fault_fail(fault, strerror(-error));
}

static bool same_is_on(const struct injection *injection, const struct fault *fault)
{
    for (size_t i = 0; i < injection->count; i++) {
        const struct fault *other = &injection->faults[i];
        if (other != fault && other->kind == fault->kind && other->state == FAULT_IS_ACTIVE)
            return true;
    }
    return false;
}

static void fault_strike(struct injection *injection, struct fault *fault)
{
    bool service_reads_page = fault->kind == FAULT_CPU_SPIKE || fault->kind == FAULT_STORAGE_LATENCY;
    bool once = fault->kind == FAULT_SERVICE_CRASH || fault->kind == FAULT_SERVICE_HANG;
    if (fault->kind < 0)
        fault_fail(fault, "this node agent has no such fault");
    else if (fault->until_ns <= fault->began_ns)
        fault_end(injection, fault, "expired");
    else if (once && journal_has_struck(injection->options.journal, fault->id))
        fault_end(injection, fault, "cured"); /* by our own restart: the process it struck is gone */
    else if (service_reads_page && !injection->options.built_in)
        fault_fail(fault, "this node runs a program of its own; only the built-in service has this fault");
    else if (same_is_on(injection, fault))
        fault_fail(fault, "another fault of this kind is on already");
    else if (fault->kind == FAULT_SERVICE_CRASH)
        strike_crash(injection, fault);
    else if (fault->kind == FAULT_SERVICE_HANG)
        strike_hang(injection, fault);
    else
        page_set(injection->options.page, (enum fault_kind)fault->kind, fault->intensity, fault->until_ns);
}

static void fault_add(struct injection *injection, const struct fault_order *order)
{
    if (injection->count == FAULTS_MAX)
        return; /* it will be listed again, when others are forgotten */
    struct fault *fault = &injection->faults[injection->count++];
    double lease_s = order->lease_s < 1e6 ? order->lease_s : 1e6;
    *fault = (struct fault){.id = order->id,
                            .kind = order->kind,
                            .intensity = order->intensity,
                            .began_ns = monotonic_ns(),
                            .leash_fd = -1,
                            .listed = true};
    fault->until_ns = fault->began_ns + duration_from_seconds(lease_s);
    if (fault->kind >= 0) {
        enum metric metric = fault_infos[fault->kind].metric;
        fault->has_before = samples_have(&injection->last, metric);
        fault->before = injection->last.value[metric];
        if (fault->intensity <= 0)
            fault->intensity = fault_infos[fault->kind].intensity;
    }
    fault_strike(injection, fault);
}

/* --- effects -------------------------------------------------------------------------------------------- */

/* At least half of what the intensity promises, beyond what was there before. */
static bool has_moved(const struct fault *fault, double value)
{
    double before = fault->has_before ? fault->before : 0;
    switch (fault->kind) {
    case FAULT_CPU_SPIKE:
        return value >= before + 0.5 * fault->intensity * (1 - before);
    case FAULT_SERVICE_CRASH:
        return value == 0;
    case FAULT_SERVICE_HANG:
        return value > 0.5;
    default:
        return value >= before + 0.5 * fault->intensity;
    }
}

static void fault_observe(struct injection *injection, struct fault *fault, const struct samples *samples)
{
    enum metric metric = fault_infos[fault->kind].metric;
    duration patience_ns = INTERVALS_FOR_EFFECT * injection->options.interval_ns;
    if (patience_ns < seconds_for_effect_ns)
        patience_ns = seconds_for_effect_ns;
    int64_t now_ns = monotonic_ns();
    if (samples_have(samples, metric)) {
        double value = samples->value[metric];
        bool more = metric_infos[metric].worse_up ? value > fault->after : value < fault->after;
        if (!fault->has_after || more)
            fault->after = value;
        fault->has_after = true;
        if (has_moved(fault, value))
            fault->effect = EFFECT_IS_SEEN;
    }
    if (fault->effect == EFFECT_IS_WAITING && now_ns - fault->began_ns > patience_ns)
        fault->effect = EFFECT_IS_NONE;
    if (now_ns >= fault->until_ns)
        fault_end(injection, fault, "expired");
}

/* --- the calls ------------------------------------------------------------------------------------------ */

struct injection *injection_new(const struct injection_options *options)
{
    struct injection *injection = calloc(1, sizeof *injection);
    if (injection)
        injection->options = *options;
    return injection;
}

void injection_free(struct injection **owner)
{
    struct injection *injection = *owner;
    *owner = NULL;
    for (size_t i = 0; injection && i < injection->count; i++)
        leash_release(&injection->faults[i].leash_fd);
    free(injection);
}

static struct fault *fault_find(struct injection *injection, uint64_t id)
{
    for (size_t i = 0; i < injection->count; i++)
        if (injection->faults[i].id == id)
            return &injection->faults[i];
    return NULL;
}

void injection_obey(struct injection *injection, const struct orders *orders)
{
    if (!orders->has_faults)
        return;
    for (size_t i = 0; i < injection->count; i++)
        injection->faults[i].listed = false;
    for (size_t i = 0; i < orders->faults_count; i++) {
        struct fault *fault = fault_find(injection, orders->faults[i].id);
        if (fault)
            fault->listed = true;
        else
            fault_add(injection, &orders->faults[i]);
    }
    size_t kept = 0;
    for (size_t i = 0; i < injection->count; i++) {
        struct fault *fault = &injection->faults[i];
        if (!fault->listed && fault->state == FAULT_IS_ACTIVE)
            fault_end(injection, fault,
                      fault->until_ns - monotonic_ns() < nearly_over_ns ? "expired" : "cleared");
        else if (!fault->listed && fault->told)
            continue;
        injection->faults[kept++] = *fault;
    }
    injection->count = kept;
}

void injection_observe(struct injection *injection, const struct samples *samples)
{
    for (size_t i = 0; i < injection->count; i++)
        if (injection->faults[i].state == FAULT_IS_ACTIVE)
            fault_observe(injection, &injection->faults[i], samples);
    for (int metric = 0; metric < METRIC_COUNT; metric++)
        if (samples_have(samples, (enum metric)metric))
            samples_set(&injection->last, (enum metric)metric, samples->value[metric]);
}

void injection_cured(struct injection *injection, enum remedy remedy)
{
    for (size_t i = 0; i < injection->count; i++) {
        struct fault *fault = &injection->faults[i];
        if (fault->state == FAULT_IS_ACTIVE && fault_infos[fault->kind].cures & (1u << remedy))
            fault_end(injection, fault, "cured");
    }
}

static json_t *fault_json(struct fault *fault)
{
    json_t *json = json_object();
    json_object_set_new(json, "id", json_integer((json_int_t)fault->id));
    json_object_set_new(json, "state", json_string(state_words[fault->state]));
    if (fault->state == FAULT_IS_ACTIVE)
        json_object_set_new(json, "age_s", json_of_seconds(monotonic_ns() - fault->began_ns));
    else
        json_object_set_new(json, "reason", json_of_text(fault->reason));
    if (fault->state == FAULT_IS_FAILED)
        return json;
    json_object_set_new(json, "effect", json_string(effect_words[fault->effect]));
    json_object_set_new(json, "metric", json_string(metric_name(fault_infos[fault->kind].metric)));
    if (fault->has_before)
        json_object_set_new(json, "before", json_of_number(fault->before));
    if (fault->has_after)
        json_object_set_new(json, "after", json_of_number(fault->after));
    return json;
}

json_t *injection_json(struct injection *injection)
{
    if (injection->count == 0)
        return NULL;
    json_t *faults = json_array();
    for (size_t i = 0; i < injection->count; i++) {
        json_array_append_new(faults, fault_json(&injection->faults[i]));
        injection->faults[i].told = injection->faults[i].state != FAULT_IS_ACTIVE;
    }
    return faults;
}
