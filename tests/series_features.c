#include "series_features.h"

#include "base/approx.h"

#include <stdlib.h>
#include <string.h>

static double root(double x)
{
    return x > 0 ? approx_exp2(approx_log2(x) / 2) : 0;
}

double feature_mean(const double *x, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += x[i];
    }
    return sum / (double)n;
}

static double central(const double *x, size_t n, int k)
{
    double mean = feature_mean(x, n), sum = 0;
    for (size_t i = 0; i < n; i++) {
        double d = x[i] - mean, power = d;
        for (int j = 1; j < k; j++) {
            power *= d;
        }
        sum += power;
    }
    return sum / (double)n;
}

double feature_variation(const double *x, size_t n)
{
    return root(central(x, n, 2)) / feature_mean(x, n);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double *sorted(const double *x, size_t n)
{
    double *copy = malloc(n * sizeof *copy);
    memcpy(copy, x, n * sizeof *copy);
    qsort(copy, n, sizeof *copy, by_value);
    return copy;
}

double feature_median(const double *x, size_t n)
{
    double *copy = sorted(x, n), median = copy[n / 2];
    free(copy);
    return median;
}

double feature_max_over_median(const double *x, size_t n)
{
    double *copy = sorted(x, n), ratio = copy[n - 1] / copy[n / 2];
    free(copy);
    return ratio;
}

double feature_moment(const double *x, size_t n, int k)
{
    double deviation = root(central(x, n, 2)), power = 1;
    for (int i = 0; i < k; i++) {
        power *= deviation;
    }
    return central(x, n, k) / power;
}

double feature_autocorrelation(const double *x, size_t n, size_t lag)
{
    double mean = feature_mean(x, n), sum = 0;
    for (size_t i = lag; i < n; i++) {
        sum += (x[i] - mean) * (x[i - lag] - mean);
    }
    return sum / (double)n / central(x, n, 2);
}

double feature_hour_of_day(const double *x, size_t n, size_t per_hour)
{
    double sum[24] = {0}, mean = feature_mean(x, n), between = 0;
    size_t count[24] = {0};
    for (size_t i = 0; i < n; i++) {
        sum[i / per_hour % 24] += x[i];
        count[i / per_hour % 24]++;
    }
    for (int h = 0; h < 24; h++) {
        double d = sum[h] / (double)count[h] - mean;
        between += (double)count[h] * d * d;
    }
    return between / (double)n / central(x, n, 2);
}

/* Range of the running sum of deviations, over the deviation, of one piece. */
static double rescaled_range(const double *x, size_t n)
{
    double mean = feature_mean(x, n), run = 0, low = 0, high = 0;
    for (size_t i = 0; i < n; i++) {
        run += x[i] - mean;
        low = run < low ? run : low;
        high = run > high ? run : high;
    }
    double deviation = root(central(x, n, 2));
    return deviation > 0 ? (high - low) / deviation : 0;
}

double feature_hurst(const double *x, size_t n)
{
    double sx = 0, sy = 0, sxx = 0, sxy = 0, points = 0;
    for (size_t size = 16; size <= n / 4; size *= 2) {
        double sum = 0, pieces = 0;
        for (size_t from = 0; from + size <= n; from += size) {
            double range = rescaled_range(x + from, size);
            sum += range;
            pieces += range > 0;
        }
        if (pieces > 0) {
            double lx = approx_log2((double)size), ly = approx_log2(sum / pieces);
            sx += lx, sy += ly, sxx += lx * lx, sxy += lx * ly, points++;
        }
    }
    return (points * sxy - sx * sy) / (points * sxx - sx * sx);
}

double feature_unchanged(const double *x, size_t n)
{
    size_t same = 0;
    for (size_t i = 1; i < n; i++) {
        same += x[i] <= x[i - 1] && x[i] >= x[i - 1];
    }
    return (double)same / (double)(n - 1);
}

/* Each value's place among all of them; equal values share one. */
static double *ranks(const double *x, size_t n)
{
    double *copy = sorted(x, n), *rank = malloc(n * sizeof *rank);
    for (size_t i = 0; i < n; i++) {
        const double *found = bsearch(&x[i], copy, n, sizeof *copy, by_value);
        size_t first = (size_t)(found - copy), last = first;
        while (first > 0 && copy[first - 1] >= x[i]) {
            first--;
        }
        while (last + 1 < n && copy[last + 1] <= x[i]) {
            last++;
        }
        rank[i] = (double)(first + last) / 2;
    }
    free(copy);
    return rank;
}

double feature_spearman(const double *x, const double *y, size_t n)
{
    double *a = ranks(x, n), *b = ranks(y, n), mean_a = feature_mean(a, n), mean_b = feature_mean(b, n),
           sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += (a[i] - mean_a) * (b[i] - mean_b);
    }
    double rho = sum / (double)n / root(central(a, n, 2) * central(b, n, 2));
    free(a);
    free(b);
    return rho;
}
