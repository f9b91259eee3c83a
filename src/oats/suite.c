/* The words of suites, and what a row expects. */
#include "oats/suite.h"

#include "base/approx.h"
#include "base/check.h"

#include <string.h>

#define X(symbol, map_name, ...) [SUITE_MAP_##symbol] = KEYS_OF(map_name, __VA_ARGS__),
const struct keys suite_keys[SUITE_MAP_COUNT] = {SUITE_MAP_TABLE(X)};
#undef X

#define X(symbol, name) [FACTOR_##symbol] = (name),
static const char *const factor_words[FACTOR_COUNT] = {FACTOR_TABLE(X)};
#undef X

const char *factor_name(enum factor_kind kind)
{
    CHECK((unsigned)kind < FACTOR_COUNT);
    return factor_words[kind];
}

const struct suite_level *suite_level(const struct suite *suite, uint32_t row, enum factor_kind kind)
{
    for (uint32_t i = 0; i < suite->factor_count; i++) {
        if (suite->factors[i].kind == kind) {
            return &suite->factors[i].levels[array_cell(&suite->array, row, i)];
        }
    }
    return NULL;
}

/* --- strengths ------------------------------------------------------------------------------------------ */

/* To two significant digits; divides by a power of ten, so that 1.4 is the 1.4 that people write. 0.1 to 1e9.
 */
static double two_digits(double value)
{
    double tens = 1;
    for (; value * tens < 10; tens *= 10) {
    }
    double unit = 1;
    for (; value / unit >= 100; unit *= 10) {
    }
    return unit > 1 ? (double)(int64_t)(value / unit + 0.5) * unit
                    : (double)(int64_t)(value * tens + 0.5) / tens;
}

double strength_of(enum fault_kind kind, enum strength strength)
{
    const struct fault_info *info = &fault_infos[kind];
    double low = info->intensity, high = low * 10 < info->most ? low * 10 : info->most;
    if (kind == FAULT_CRASH_LOOP || kind == FAULT_NETWORK_BANDWIDTH) { /* sooner, or less, is worse */
        high = low / 10 > info->least ? low / 10 : info->least;
    }
    if (strength == STRENGTH_LOW || low == high) {
        return low;
    }
    return strength == STRENGTH_HIGH ? high
                                     : two_digits(approx_exp2((approx_log2(low) + approx_log2(high)) / 2));
}

/* --- what cures it -------------------------------------------------------------------------------------- */

static bool looks_at(const struct detector *detector, enum metric metric)
{
    for (uint32_t i = 0; i < detector->when_count; i++) {
        if (detector->when[i].metric == metric) {
            return true;
        }
    }
    return false;
}

/* The first rung that is one of `cures`, or REMEDY_NONE. */
static uint8_t cure_on(const struct detector *detector, uint32_t cures)
{
    for (uint32_t i = 0; i < detector->ladder_count; i++) {
        if ((cures & 1u << detector->ladder[i].remedy) != 0) {
            return detector->ladder[i].remedy;
        }
    }
    return REMEDY_NONE;
}

static void take(struct row_cure *cure, const struct detector *detector, uint8_t remedy)
{
    cure->possible = remedy != REMEDY_NONE;
    cure->remedy = remedy;
    text_copy(cure->finding, sizeof cure->finding, detector->name);
}

/* How well a detector fits a fault: it looks where the fault shows, and its ladder has a cure, best of all as
 * the first rung. 0: neither. */
static int fitness(const struct detector *detector, const struct fault_info *info)
{
    bool looks = looks_at(detector, info->metric);
    uint8_t remedy = cure_on(detector, info->cures);
    if (remedy == REMEDY_NONE) {
        return looks;
    }
    return 2 + 2 * looks + (detector->ladder[0].remedy == remedy);
}

struct row_cure row_cure(const struct suite *suite, uint32_t row)
{
    const struct policy *policy = &suite->policy;
    const struct suite_level *shape = suite_level(suite, row, FACTOR_SHAPE);
    const struct fault_info *info = &fault_infos[suite_level(suite, row, FACTOR_FAULT)->which];
    struct row_cure cure = {.heals = info->cures != 0 && (shape == NULL || shape->which != SHAPE_GRAY),
                            .remedy = REMEDY_NONE};
    if (!cure.heals) {
        return cure;
    }
    CHECK(policy->detector_count > 0); /* the reader sees to it */
    const struct detector *best = &policy->detectors[0];
    for (uint32_t i = 1; i < policy->detector_count; i++) {
        best = fitness(&policy->detectors[i], info) > fitness(best, info) ? &policy->detectors[i] : best;
    }
    take(&cure, best, cure_on(best, info->cures));
    if (!cure.possible) {
        for (cure.remedy = 0; (info->cures & 1u << cure.remedy) == 0; cure.remedy++) {
        }
    }
    return cure;
}
