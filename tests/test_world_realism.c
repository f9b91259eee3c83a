/* The world's telemetry beside what was measured in production: docs/realism.md has the table that this
 * prints. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "series_features.h"
#include "world/world.h"

enum { DAYS = 14, SERIES = 19, FIVE_MINUTES = DAYS * 288, MINUTES = DAYS * 1440 };
#define STEP (10 * SECOND)

/* Per minute and per five minutes, the means of the samples every ten seconds. */
struct record {
    double rate[MINUTES];
    double value[METRIC_COUNT][FIVE_MINUTES];
    size_t missing;
};

static const enum metric recorded[] = {METRIC_CPU_UTILIZATION, METRIC_NEIGHBOUR_CPU_UTILIZATION,
                                       METRIC_REQUEST_LATENCY, METRIC_STORAGE_LATENCY,
                                       METRIC_NETWORK_LATENCY, METRIC_REQUEST_RATE,
                                       METRIC_MEMORY_BYTES};

static void take(struct record *r, int64_t step, const struct world_sample *sample)
{
    int64_t per_five = 5 * MINUTE / STEP, per_minute = MINUTE / STEP;
    for (size_t i = 0; i < COUNT_OF(recorded); i++) {
        r->value[recorded[i]][step / per_five] += sample->value[recorded[i]] / (double)per_five;
        r->missing += (sample->present >> recorded[i] & 1) == 0;
    }
    r->rate[step / per_minute] += sample->value[METRIC_REQUEST_RATE] / (double)per_minute;
}

/* Nineteen services that call nobody, from idle to half busy: what was published are such a mixture too.
 * Published values are rounded to three digits after the point, in per cent or milliseconds; so are these. */
static struct record *record_fleet(uint64_t seed)
{
    static const double users[] = {540, 400, 470, 200};
    struct world_config config;
    world_config_default(&config);
    config.node_capacity = SERIES;
    config.seed = seed;
    struct world *world = world_init(calloc(1, world_size(&config)), &config);
    struct record *records = calloc(SERIES, sizeof *records);
    assert_true(world != NULL && records != NULL);
    for (uint32_t n = 0; n < SERIES; n++) {
        struct world_node node;
        world_node_default(&node);
        node.users_per_s = users[n % 4];
        node.role = (uint16_t)n;
        world_add(world, n, &node, 0);
    }
    for (int64_t step = 0; step < DAYS * 24 * HOUR / STEP; step++) {
        for (uint32_t n = 0; n < SERIES; n++) {
            struct world_sample sample;
            world_sample(world, n, step * STEP, &sample);
            take(&records[n], step, &sample);
        }
    }
    free(world);
    return records;
}

/* --- the table ------------------------------------------------------------------------------------------ */

struct table {
    int inside, all;
};

static void row(struct table *table, const char *feature, double low, double high, double *values,
                size_t count)
{
    double median = feature_median(values, count);
    bool inside = median >= low && median <= high;
    table->all++;
    table->inside += inside;
    print_message("# | %-38s | %7.3f .. %7.3f | %8.3f | %s |\n", feature, low, high, median,
                  inside ? "yes" : "no ");
}

typedef double feature(const double *x, size_t n);

static double skew(const double *x, size_t n)
{
    return feature_moment(x, n, 3);
}
static double excess(const double *x, size_t n)
{
    return feature_moment(x, n, 4) - 3;
}
static double sample_5(const double *x, size_t n)
{
    return feature_autocorrelation(x, n, 1);
}
static double hour_5(const double *x, size_t n)
{
    return feature_autocorrelation(x, n, 12);
}
static double day_5(const double *x, size_t n)
{
    return feature_autocorrelation(x, n, 288);
}
static double by_hour_5(const double *x, size_t n)
{
    return feature_hour_of_day(x, n, 12);
}
static double hour_1(const double *x, size_t n)
{
    return feature_autocorrelation(x, n, 60);
}
static double day_1(const double *x, size_t n)
{
    return feature_autocorrelation(x, n, 1440);
}
static double by_hour_1(const double *x, size_t n)
{
    return feature_hour_of_day(x, n, 60);
}

static void servers_row(struct table *table, const struct record *records, const char *name, double low,
                        double high, feature *f)
{
    /* Such a mixture of kinds as was published: mostly processors, then disks, networks and latencies. */
    static const enum metric kind[SERIES] = {METRIC_CPU_UTILIZATION,
                                             METRIC_CPU_UTILIZATION,
                                             METRIC_CPU_UTILIZATION,
                                             METRIC_CPU_UTILIZATION,
                                             METRIC_CPU_UTILIZATION,
                                             METRIC_CPU_UTILIZATION,
                                             METRIC_CPU_UTILIZATION,
                                             METRIC_CPU_UTILIZATION,
                                             METRIC_NEIGHBOUR_CPU_UTILIZATION,
                                             METRIC_NEIGHBOUR_CPU_UTILIZATION,
                                             METRIC_STORAGE_LATENCY,
                                             METRIC_STORAGE_LATENCY,
                                             METRIC_STORAGE_LATENCY,
                                             METRIC_NETWORK_LATENCY,
                                             METRIC_NETWORK_LATENCY,
                                             METRIC_NETWORK_LATENCY,
                                             METRIC_REQUEST_LATENCY,
                                             METRIC_REQUEST_LATENCY,
                                             METRIC_REQUEST_RATE};
    double values[SERIES];
    for (size_t i = 0; i < SERIES; i++) {
        values[i] = f(records[i].value[kind[i]], FIVE_MINUTES);
    }
    row(table, name, low, high, values, SERIES);
}

static void rates_row(struct table *table, const struct record *records, const char *name, double low,
                      double high, feature *f)
{
    double values[SERIES];
    for (size_t i = 0; i < SERIES; i++) {
        values[i] = f(records[i].rate, MINUTES);
    }
    row(table, name, low, high, values, SERIES);
}

static void memory_row(struct table *table, const struct record *records, const char *name, double low,
                       double high, feature *f)
{
    double values[SERIES];
    for (size_t i = 0; i < SERIES; i++) {
        values[i] = f(records[i].value[METRIC_MEMORY_BYTES], FIVE_MINUTES);
    }
    row(table, name, low, high, values, SERIES);
}

static void coupling_row(struct table *table, const struct record *records, const char *name, double low,
                         double high, enum metric metric)
{
    double values[SERIES];
    for (size_t i = 0; i < SERIES; i++) {
        values[i] =
            feature_spearman(records[i].value[METRIC_REQUEST_RATE], records[i].value[metric], FIVE_MINUTES);
    }
    row(table, name, low, high, values, SERIES);
}

static void rate_rows(struct table *t, const struct record *r)
{
    rates_row(t, r, "rates: coefficient of variation", 0.26, 0.41, feature_variation);
    rates_row(t, r, "rates: max / median", 2.3, 3.8, feature_max_over_median);
    rates_row(t, r, "rates: skew", -0.3, 1.0, skew);
    rates_row(t, r, "rates: excess kurtosis", -0.3, 4.7, excess);
    rates_row(t, r, "rates: autocorrelation at one sample", 0.96, 0.995, sample_5);
    rates_row(t, r, "rates: ... at one hour", 0.74, 0.91, hour_1);
    rates_row(t, r, "rates: ... at one day", 0.55, 0.80, day_1);
    rates_row(t, r, "rates: variance by hour of day", 0.29, 0.72, by_hour_1);
    rates_row(t, r, "rates: Hurst exponent", 0.89, 0.97, feature_hurst);
}

static void test_the_telemetry_looks_like_production(void **state)
{
    (void)state;
    struct record *r = record_fleet(1);
    struct table t = {0, 0};
    print_message("# | feature                                | anchor, 25-75 %%    | world    | inside |\n");
    servers_row(&t, r, "servers: coefficient of variation", 0.35, 2.3, feature_variation);
    servers_row(&t, r, "servers: max / median", 2.2, 24, feature_max_over_median);
    servers_row(&t, r, "servers: skew", 1.5, 7.0, skew);
    servers_row(&t, r, "servers: excess kurtosis", 3.7, 73, excess);
    servers_row(&t, r, "servers: autocorrelation at one sample", 0.12, 0.94, sample_5);
    servers_row(&t, r, "servers: ... at one hour", 0.09, 0.88, hour_5);
    servers_row(&t, r, "servers: ... at one day", 0.03, 0.49, day_5);
    servers_row(&t, r, "servers: variance by hour of day", 0.005, 0.05, by_hour_5);
    servers_row(&t, r, "servers: Hurst exponent", 0.69, 0.97, feature_hurst);
    servers_row(&t, r, "servers: unchanged samples", 0.002, 0.125, feature_unchanged);
    rate_rows(&t, r);
    memory_row(&t, r, "memory: coefficient of variation", 0.010, 0.020, feature_variation);
    memory_row(&t, r, "memory: autocorrelation at one sample", 0.98, 1.0, sample_5);
    coupling_row(&t, r, "Spearman load to cpu", 0.2, 0.4, METRIC_CPU_UTILIZATION);
    coupling_row(&t, r, "Spearman load to latency", -0.1, 0.1, METRIC_REQUEST_LATENCY);
    print_message("# inside: %d of %d\n", t.inside, t.all);
    for (size_t i = 0; i < SERIES; i++) {
        assert_int_equal(r[i].missing, 0); /* the world loses nothing; the network between may */
    }
    free(r);
    assert_true(t.inside * 10 >= t.all * 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_the_telemetry_looks_like_production)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
