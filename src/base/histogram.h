/* A histogram of durations with a bounded relative error, for latencies of one reporting interval.
 *
 * Log-linear buckets as in Gil Tene's HdrHistogram: 32 linear steps per power of two, so a quantile is at
 * most 3.2 % or 1 us too high, whichever is more. From 1 us to about 1.2 hours; what lies outside counts at
 * the nearest end. */
#ifndef BASE_HISTOGRAM_H
#define BASE_HISTOGRAM_H

#include "base/units.h"

#include <stdint.h>

#define HISTOGRAM_BUCKETS 896

struct histogram {
    uint32_t count[HISTOGRAM_BUCKETS];
    uint64_t total;
    duration longest; /* exact */
};

void histogram_clear(struct histogram *histogram);
void histogram_add(struct histogram *histogram, duration value);

/* The smallest bucket bound that `quantile` (0..1) of the values do not exceed, and never above the exact
 * longest value. 0 for an empty histogram. */
duration histogram_quantile(const struct histogram *histogram, double quantile);

#endif
