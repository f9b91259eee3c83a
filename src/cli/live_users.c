#include "cli/live_users.h"

#include "base/check.h"

#include <math.h>
#include <stdlib.h>

static const duration well_for_ns = 5 * SECOND; /* as in the simulator */
static const double ill_errors = 0.05;
static const double ill_times = 3, ill_latency_s = 0.05;
static const double usual_latency_s = 0.005; /* where nothing was measured before the first fault */

static double value_of(const struct samples_row *row, enum metric metric)
{
    return row->present & 1u << metric ? row->value[metric] : (double)NAN;
}

/* --- reading -------------------------------------------------------------------------------------------- */

struct reading {
    struct look *look;
    instant begun_at, first_fault_at;
    double *latencies; /* before the first fault */
    uint32_t latency_count, latency_room;
};

static bool take_usual(void *context, const struct samples_row *row)
{
    struct reading *reading = context;
    double latency = value_of(row, METRIC_REQUEST_LATENCY);
    if (isnan(latency) || row->at - reading->begun_at >= reading->first_fault_at)
        return true;
    if (reading->latency_count == reading->latency_room) {
        reading->latency_room = reading->latency_room ? 2 * reading->latency_room : 64;
        reading->latencies = reallocarray(reading->latencies, reading->latency_room, sizeof(double));
        CHECK(reading->latencies);
    }
    reading->latencies[reading->latency_count++] = latency;
    return true;
}

static bool take_moment(void *context, const struct samples_row *row)
{
    struct reading *reading = context;
    struct look *look = reading->look;
    double latency = value_of(row, METRIC_REQUEST_LATENCY), errors = value_of(row, METRIC_ERROR_RATIO);
    double up = value_of(row, METRIC_SERVICE_UP), rate = value_of(row, METRIC_REQUEST_RATE);
    look->reports++;
    if (row->at < reading->begun_at)
        return true;
    if (look->count == look->room) {
        look->room = look->room ? 2 * look->room : 64;
        look->moments = reallocarray(look->moments, look->room, sizeof *look->moments);
        CHECK(look->moments);
    }
    bool says_nothing = isnan(latency) && isnan(errors) && isnan(up);
    bool was_ill = look->count > 0 && look->moments[look->count - 1].ill;
    bool ill = up < 1 || errors >= ill_errors || latency > ill_times * look->usual_s + ill_latency_s;
    look->moments[look->count++] =
        (struct moment){.at = row->at - reading->begun_at,
                        .ill = says_nothing ? was_ill : ill,
                        .served_per_s = rate,
                        .asked_per_s = errors < 1 ? rate / (1 - errors) : (double)NAN};
    return true;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int by_moment(const void *a, const void *b)
{
    const struct moment *x = a, *y = b;
    return (x->at > y->at) - (x->at < y->at);
}

bool live_users_read(struct store *store, uint32_t number, instant begun_at, instant first_fault_at,
                     struct look *look)
{
    struct reading reading = {.look = look, .begun_at = begun_at, .first_fault_at = first_fault_at};
    bool good = store_samples(store, number, INSTANT_NONE, INSTANT_NEVER, take_usual, &reading) >= 0;
    look->usual_s = usual_latency_s;
    if (reading.latency_count > 0) {
        qsort(reading.latencies, reading.latency_count, sizeof(double), by_size);
        look->usual_s = reading.latencies[reading.latency_count / 2];
    }
    free(reading.latencies);
    good = good && store_samples(store, number, INSTANT_NONE, INSTANT_NEVER, take_moment, &reading) >= 0;
    if (look->count > 0) /* a backlog comes later than what is newer */
        qsort(look->moments, look->count, sizeof *look->moments, by_moment);
    return good;
}

void live_users_fini(struct look *look)
{
    free(look->moments);
    *look = (struct look){0};
}

/* --- looking -------------------------------------------------------------------------------------------- */

bool live_users_were_ill(const struct look *look, instant at)
{
    bool ill = false;
    for (uint32_t i = 0; i < look->count && look->moments[i].at <= at; i++)
        ill = look->moments[i].ill;
    return ill;
}

duration live_users_recovered(const struct look *look, instant struck_at)
{
    instant well_at = INSTANT_NONE;
    bool seen_ill = false;
    for (uint32_t i = 0; i < look->count; i++) {
        const struct moment *moment = &look->moments[i];
        if (moment->at < struck_at)
            continue;
        if (moment->ill) {
            seen_ill = true;
            well_at = INSTANT_NONE;
        } else if (seen_ill) {
            well_at = well_at == INSTANT_NONE ? moment->at : well_at;
            if (moment->at - well_at >= well_for_ns || i + 1 == look->count)
                return well_at - struck_at;
        }
    }
    return -1;
}

void live_users_sum(const struct look *look, double usual_per_s, struct availability *sum)
{
    for (uint32_t i = 1; i < look->count; i++) {
        const struct moment *moment = &look->moments[i];
        double lived_ns = (double)(moment->at - look->moments[i - 1].at);
        sum->lived_ns += lived_ns;
        sum->well_ns += moment->ill ? 0 : lived_ns;
        if (isnan(moment->served_per_s))
            continue;
        sum->served += moment->served_per_s * lived_ns;
        sum->asked += (isnan(moment->asked_per_s) ? usual_per_s : moment->asked_per_s) * lived_ns;
    }
}
