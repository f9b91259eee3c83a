/* Whether a fault did anything, and whether its end did: by the metric that it should move. One study found
 * that only a sixth of blindly injected faults was visible to anybody; one without effect proves nothing
 * about those who should have healed it. */
#include "agent/fault.h"

#include "agent/supervisor.h"
#include "base/clock.h"

enum { INTERVALS_FOR_EFFECT = 6 };

static const duration seconds_for_effect_ns = 6 * SECOND;
static const duration seconds_for_removal_ns = 12 * SECOND;

/* --- the effect -------------------------------------------------------------------------------------------
 */

/* At least half of what the intensity promises, beyond what was there before; as much of it as its shape has
 * come to. */
static bool has_moved(const struct fault *fault, double value)
{
    const struct injection_options *my = &fault->injection->options;
    bool as_a_share =
        fault_infos[fault->kind].unit == UNIT_RATIO || fault_infos[fault->kind].unit == UNIT_SECONDS;
    double before = fault->has_before ? fault->before : 0;
    double x = fault->intensity * (as_a_share && fault->kind != FAULT_SENSOR_FAULT ? fault->peak : 1);
    double age_s = duration_seconds(monotonic_ns() - fault->began_ns);
    switch (fault->kind) {
    case FAULT_CPU_SPIKE:
        return value >= before + 0.5 * x * (1 - before);
    case FAULT_SERVICE_CRASH:
        return value == 0;
    case FAULT_SERVICE_HANG:
        return value > 0.5;
    case FAULT_MEMORY_LEAK: {
        double lost = x * (double)my->memory_bytes / 60 * age_s;
        return age_s > 1 && value >= before + 0.25 * lost;
    }
    case FAULT_CRASH_LOOP:
        return fault->bit;
    case FAULT_NETWORK_LOSS:
    case FAULT_IO_ERROR: /* by lot */
        return value >= 0.3 * x;
    case FAULT_DISK_FULL:
        return value >= x - 0.02;
    case FAULT_OVERLOAD:
        return value >= before * (1 + 0.5 * (x - 1)) && value > before;
    case FAULT_RETRY_STORM:
        return value >= 1;
    case FAULT_NETWORK_BANDWIDTH:
        return value >= 2 * before + 0.002;
    case FAULT_NETWORK_CUT:
        return value >= 0.5;
    case FAULT_SENSOR_FAULT:
        return value == x;
    default:
        return value >= before + 0.5 * x;
    }
}

static bool has_effect(const struct fault *fault, const struct samples *samples)
{
    enum metric metric = fault_infos[fault->kind].metric;
    if (metric == METRIC_NONE) /* cut off for a whole interval, or off by so many seconds */
        return fault->kind == FAULT_CLOCK_SKEW || (fault->bit && fault->samples >= 2);
    return samples_have(samples, metric) && has_moved(fault, samples->value[metric]);
}

/* --- the removal ------------------------------------------------------------------------------------------
 */

/* Most of the way back to where it was before. What fell to 0 or rose from it is judged by the whole of it.
 */
static bool has_gone_back(const struct fault *fault, double value)
{
    double before = fault->has_before ? fault->before : 0;
    double moved = fault->worst - before;
    switch (fault->kind) {
    case FAULT_SERVICE_CRASH:
        return value == 1;
    case FAULT_CRASH_LOOP:
        return supervisor_state(fault->injection->options.supervisor) == SERVICE_UP &&
               monotonic_ns() - fault->ended_ns > duration_from_seconds(fault->intensity);
    case FAULT_SENSOR_FAULT:
        return value != fault->intensity;
    default:
        return moved >= 0 ? value <= before + 0.4 * moved : value >= before + 0.4 * moved;
    }
}

static bool is_removed(const struct fault *fault, const struct samples *samples)
{
    enum metric metric = fault_infos[fault->kind].metric;
    if (fault->kind == FAULT_ZONE_OUTAGE)
        return supervisor_state(fault->injection->options.supervisor) == SERVICE_UP;
    if (metric == METRIC_NONE)
        return true;
    return samples_have(samples, metric) && has_gone_back(fault, samples->value[metric]);
}

/* --- both -------------------------------------------------------------------------------------------------
 */

static duration patience(const struct fault *fault, duration least_ns)
{
    duration patience_ns = INTERVALS_FOR_EFFECT * fault->injection->options.interval_ns;
    if (fault->kind == FAULT_CRASH_LOOP)
        least_ns += duration_from_seconds(fault->intensity);
    return patience_ns > least_ns ? patience_ns : least_ns;
}

static void note_value(struct fault *fault, const struct samples *samples)
{
    enum metric metric = fault_infos[fault->kind].metric;
    if (metric == METRIC_NONE || !samples_have(samples, metric))
        return;
    double value = samples->value[metric];
    bool more = metric_infos[metric].worse_up ? value > fault->worst : value < fault->worst;
    if (!fault->has_after || more)
        fault->worst = value;
    fault->after = value;
    fault->has_after = true;
}

void effect_observe(struct fault *fault, const struct samples *samples)
{
    int64_t now_ns = monotonic_ns();
    fault->samples++;
    if (fault->state == FAULT_IS_ACTIVE) {
        note_value(fault, samples);
        if (fault->peak_ns && has_effect(fault, samples))
            fault->effect = SIGHT_IS_SEEN;
        else if (fault->effect == SIGHT_IS_WAITING && fault->peak_ns &&
                 now_ns - fault->peak_ns > patience(fault, seconds_for_effect_ns))
            fault->effect = SIGHT_IS_NONE;
    } else if (fault->removal == SIGHT_IS_WAITING) {
        if (fault->effect == SIGHT_IS_SEEN && is_removed(fault, samples))
            fault->removal = SIGHT_IS_SEEN;
        else if (fault->effect != SIGHT_IS_SEEN ||
                 now_ns - fault->ended_ns > patience(fault, seconds_for_removal_ns))
            fault->removal = SIGHT_IS_NONE;
    }
}
