#include "plane/series.h"

#include "base/text.h"
#include "wire/json.h"

#include <stdio.h>
#include <string.h>

void series_open(struct series *series)
{
    series->points = json_array();
    series->count = 0;
    series->in_bucket = 0;
}

static void add_point(struct series *series, instant at, double value, bool is_bucket)
{
    char text[32];
    text_instant(text, at);
    json_t *point = json_array();
    json_array_append_new(point, json_string(text));
    json_array_append_new(point, json_of_number(value));
    if (is_bucket) {
        json_array_append_new(point, json_of_number(series->least));
        json_array_append_new(point, json_of_number(series->most));
        json_array_append_new(point, json_of_number(series->last));
        json_array_append_new(point, json_integer((json_int_t)series->in_bucket));
    }
    json_array_append_new(series->points, point);
    series->count++;
}

void series_close(struct series *series)
{
    if (series->in_bucket > 0 && series->count < SERIES_POINTS_MAX)
        add_point(series, series->bucket_at, series->sum / series->in_bucket, true);
    series->in_bucket = 0;
}

bool series_add(struct series *series, instant at, uint32_t present, const double *value)
{
    if (at < series->from || at > series->to || !(present & 1u << series->metric))
        return true;
    double one = value[series->metric];
    if (series->step_ns == 0) {
        add_point(series, at, one, false);
        return series->count < SERIES_POINTS_MAX;
    }
    instant bucket_at = at - (at - series->from) % series->step_ns;
    if (series->in_bucket > 0 && bucket_at != series->bucket_at)
        series_close(series);
    if (series->in_bucket == 0)
        series->sum = 0, series->least = series->most = one;
    series->bucket_at = bucket_at;
    series->sum += one;
    series->least = one < series->least ? one : series->least;
    series->most = one > series->most ? one : series->most;
    series->last = one;
    series->in_bucket++;
    return series->count < SERIES_POINTS_MAX;
}

static bool take_row(void *context, const struct samples_row *row)
{
    return series_add(context, row->at, row->present, row->value);
}

/* A step of history: as so many samples at once. */
static bool take_rollup(void *context, const struct rollup_row *row)
{
    struct series *series = context;
    instant at =
        row->at < series->from ? series->from : row->at; /* the span may begin within the first step */
    instant bucket_at = series->step_ns ? at - (at - series->from) % series->step_ns : row->at;
    if (series->in_bucket > 0 && bucket_at != series->bucket_at)
        series_close(series);
    if (series->in_bucket == 0)
        series->sum = 0, series->least = row->least, series->most = row->most;
    series->bucket_at = bucket_at;
    series->sum += row->mean * row->count;
    series->least = row->least < series->least ? row->least : series->least;
    series->most = row->most > series->most ? row->most : series->most;
    series->last = row->last;
    series->in_bucket += row->count;
    return series->count < SERIES_POINTS_MAX;
}

/* Hours as far as there are no minutes, minutes as far as there are no samples, samples from there on. */
bool series_add_stored(struct series *series, struct store *store, uint32_t node, instant to)
{
    instant raw_from, minutes_from, from = series->from;
    if (to < from)
        return true;
    if (store_history(store, &raw_from, &minutes_from) < 0)
        return false;
    if (raw_from != INSTANT_NONE && from < raw_from) {
        instant before_raw = to < raw_from - 1 ? to : raw_from - 1;
        instant hours_to =
            minutes_from == INSTANT_NONE || minutes_from > before_raw ? before_raw : minutes_from - 1;
        if (from <= hours_to && store_rollups(store, node, series->metric, 3600, from - from % HOUR, hours_to,
                                              take_rollup, series) < 0)
            return false;
        if (hours_to < before_raw && store_rollups(store, node, series->metric, 60,
                                                   from > hours_to ? from - from % MINUTE : hours_to + 1,
                                                   before_raw, take_rollup, series) < 0)
            return false;
        if (series->step_ns == 0)
            series_close(series);
        from = raw_from;
    }
    return to < from || store_samples(store, node, from, to, take_row, series) >= 0;
}

json_t *series_answer(struct series *series, const char *node)
{
    json_t *answer = json_object();
    json_object_set_new(answer, "node", json_of_text(node));
    json_object_set_new(answer, "metric", json_string(metric_name(series->metric)));
    json_object_set_new(answer, "unit", json_string(metric_unit_name(metric_infos[series->metric].unit)));
    json_object_set_new(answer, "points", series->points);
    return answer;
}

int series_metric(const char *name, char *error, size_t error_size)
{
    int metric = name ? metric_of(name) : -1;
    if (metric >= 0)
        return metric;
    size_t count;
    const char *const *names = metric_names(&count);
    const char *nearest = name ? text_nearest(name, names, count) : NULL;
    for (metric = 0; name && metric < METRIC_COUNT; metric++)
        if (strcmp(name, metric_infos[metric].short_name) == 0)
            nearest = names[metric];
    struct text text = text_over(error, error_size);
    text_addf(&text, "metric: %s", name ? "no such metric" : "which one?");
    if (nearest)
        text_addf(&text, "; did you mean %s?", nearest);
    for (size_t i = 0; i < count && !nearest; i++)
        text_addf(&text, "%s%s", i == 0 ? "; there are " : ", ", names[i]);
    return -1;
}
