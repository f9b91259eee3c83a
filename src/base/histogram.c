#include "base/histogram.h"

#include "base/check.h"

#include <stddef.h>
#include <string.h>

/* Values are counted in whole microseconds, rounded up. Below 32 each has a bucket of its own; from there on
 * every power of two has 32 buckets of equal width: 32 + 27 x 32 = 896 of them reach to 2^32 us. */
enum { STEPS_LOG2 = 5, STEPS = 1 << STEPS_LOG2, POWERS = HISTOGRAM_BUCKETS / STEPS - 1 };

#define MICROSECONDS_MAX ((UINT64_C(1) << (STEPS_LOG2 + POWERS)) - 1)

static uint32_t bucket_of(uint64_t microseconds)
{
    if (microseconds < STEPS)
        return (uint32_t)microseconds;
    uint32_t power = 63 - (uint32_t)__builtin_clzll(microseconds) - STEPS_LOG2;
    return power * STEPS + (uint32_t)(microseconds >> power);
}

/* The largest number of microseconds that falls into `bucket`. */
static uint64_t bound_of(uint32_t bucket)
{
    if (bucket < STEPS)
        return bucket;
    uint32_t power = bucket / STEPS - 1;
    uint64_t step = bucket % STEPS + STEPS;
    return ((step + 1) << power) - 1;
}

void histogram_clear(struct histogram *histogram)
{
    memset(histogram, 0, sizeof *histogram);
}

void histogram_add(struct histogram *histogram, duration value)
{
    if (value < 0)
        value = 0;
    uint64_t microseconds = (uint64_t)(value / MICROSECOND) + (value % MICROSECOND != 0);
    if (microseconds > MICROSECONDS_MAX)
        microseconds = MICROSECONDS_MAX;
    uint32_t *count = &histogram->count[bucket_of(microseconds)];
    if (*count == UINT32_MAX) /* at the bound, more of the same says nothing new */
        return;
    (*count)++;
    histogram->total++;
    if (value > histogram->longest)
        histogram->longest = value;
}

duration histogram_quantile(const struct histogram *histogram, double quantile)
{
    CHECK(quantile >= 0 && quantile <= 1);
    double wanted = quantile * (double)histogram->total;
    uint64_t seen = 0;
    for (uint32_t bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++) {
        seen += histogram->count[bucket];
        if (seen > 0 && (double)seen >= wanted) {
            duration bound = (duration)bound_of(bucket) * MICROSECOND;
            return bound < histogram->longest ? bound : histogram->longest;
        }
    }
    return histogram->longest;
}
