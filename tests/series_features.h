/* Features of a series of numbers, as docs/realism.md names them. All of them are plain statistics; none
 * changes the series. A series has at least 100 values. */
#ifndef TESTS_SERIES_FEATURES_H
#define TESTS_SERIES_FEATURES_H

#include <stddef.h>

double feature_mean(const double *x, size_t n);
double feature_variation(const double *x, size_t n); /* standard deviation over mean */
double feature_median(const double *x, size_t n);
double feature_max_over_median(const double *x, size_t n);
double feature_moment(const double *x, size_t n, int k); /* standardized; 3: skew, 4: kurtosis */
double feature_autocorrelation(const double *x, size_t n, size_t lag);
double feature_hour_of_day(const double *x, size_t n,
                           size_t per_hour);         /* share of variance between the 24 hours */
double feature_hurst(const double *x, size_t n);     /* rescaled range, pieces of 16 to n/4 values */
double feature_unchanged(const double *x, size_t n); /* share equal to the one before */
double feature_spearman(const double *x, const double *y, size_t n);

#endif
