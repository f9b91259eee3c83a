#include "core/fault.h"

#include "base/check.h"

/* Intensities just under what policies/default.yaml calls ill; 0: this kind is there or it is not. */
static const double gray[FAULT_COUNT] = {
    [FAULT_CPU_SPIKE] = 0.38,      [FAULT_NETWORK_DELAY] = 0.030, [FAULT_STORAGE_LATENCY] = 0.080,
    [FAULT_NOISY_NEIGHBOUR] = 0.3, [FAULT_MEMORY_LEAK] = 0.02,    [FAULT_BAD_CONFIG] = 0.05,
    [FAULT_NETWORK_LOSS] = 0.009,  [FAULT_IO_ERROR] = 0.05,       [FAULT_DISK_FULL] = 0.90,
    [FAULT_OVERLOAD] = 1.6,        [FAULT_SENSOR_FAULT] = 0.88,   [FAULT_CLOCK_SKEW] = 1.0,
};

double fault_level(enum shape shape, duration since, duration lasts, duration period)
{
    double phase = period > 0 ? (double)(since % period) / (double)period : 0;
    switch (shape) {
    case SHAPE_RAMP: {
        duration rise = lasts == INSTANT_NEVER ? period : lasts / 2;
        return since >= rise ? 1 : (double)since / (double)rise;
    }
    case SHAPE_SPIKE:
        return phase < 0.1 ? 1 : 0;
    case SHAPE_SAWTOOTH:
        return phase;
    case SHAPE_FLAPPING:
        return phase < 0.5 ? 1 : 0;
    case SHAPE_STEP:
    case SHAPE_GRAY:
    case SHAPE_COUNT:
        break;
    }
    return 1;
}

/* A link that carries less is the worse one: there gray is a lot. */
static const double gray_bandwidth = 50e3;

double fault_gray(enum fault_kind kind, double intensity)
{
    CHECK((unsigned)kind < FAULT_COUNT);
    if (kind == FAULT_NETWORK_BANDWIDTH) {
        return intensity > gray_bandwidth ? intensity : gray_bandwidth;
    }
    return intensity < gray[kind] ? intensity : gray[kind];
}

bool fault_is_on_or_off(enum fault_kind kind)
{
    CHECK((unsigned)kind < FAULT_COUNT);
    return fault_infos[kind].unit == UNIT_NONE || kind == FAULT_CRASH_LOOP || kind == FAULT_SENSOR_FAULT ||
           kind == FAULT_CLOCK_SKEW || kind == FAULT_RETRY_STORM || kind == FAULT_NETWORK_BANDWIDTH;
}

bool fault_shape_fits(enum fault_kind kind, enum shape shape, duration lasts, duration period)
{
    CHECK((unsigned)kind < FAULT_COUNT);
    bool is_there_or_not = fault_infos[kind].unit == UNIT_NONE;
    switch (shape) {
    case SHAPE_STEP:
        return true;
    case SHAPE_GRAY:
        return gray[kind] > 0 || kind == FAULT_NETWORK_BANDWIDTH;
    case SHAPE_RAMP:
        return !is_there_or_not && (lasts != INSTANT_NEVER || period > 0);
    case SHAPE_SAWTOOTH:
        return !is_there_or_not && period > 0;
    case SHAPE_SPIKE:
    case SHAPE_FLAPPING:
        return period > 0;
    case SHAPE_COUNT:
        break;
    }
    return false;
}
