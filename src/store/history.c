#include "store/history.h"

#include "base/check.h"

static const duration late_ns = 90 * SECOND; /* a minute is over when so much has passed since its end */
static const duration back_ns = 10 * MINUTE; /* made anew after a start: what came late before the end */
static const duration latest_ns = 48 * HOUR; /* what comes later is not counted in; spools hold less */
static const duration prune_every_ns = 10 * MINUTE; /* of the samples' own time */
static const long long minute_s = 60, hour_s = 3600;

void history_init(struct history *history)
{
    *history = (struct history){.newest = INSTANT_NONE,
                                .minute = INSTANT_NONE,
                                .hour = INSTANT_NONE,
                                .raw = INSTANT_NONE,
                                .pruned_at = INSTANT_NONE};
}

static instant begin_of(instant at, duration step)
{
    instant rest = at % step;
    return at - (rest < 0 ? rest + step : rest);
}

static void go_back(instant *through, instant to, duration step)
{
    instant begin = begin_of(to, step);
    if (*through != INSTANT_NONE && begin < *through)
        *through = begin;
}

void history_note(struct history *history, instant oldest, instant newest)
{
    if (history->newest == INSTANT_NONE || newest > history->newest)
        history->newest = newest;
    if (oldest < history->newest - latest_ns)
        oldest = history->newest - latest_ns;
    go_back(&history->minute, oldest, MINUTE);
    go_back(&history->hour, oldest, HOUR);
}

/* --- what the database knows ---------------------------------------------------------------------------- */

struct asking { /* with whom, and where a failure is told */
    const struct database *database;
    void *writing;
    char *error;
    size_t error_size;
};

static bool ask(const struct asking *asking, const char *sql, instant *out)
{
    return asking->database->number(asking->writing, sql, out, asking->error, asking->error_size) == 0;
}

/* The first start on a store with samples begins with the oldest; a later one where the last one was, and a
 * little before. */
static bool read_marks(struct history *history, const struct asking *asking)
{
    instant oldest = INSTANT_NONE, oldest_rollup = INSTANT_NONE;
    if (!ask(asking, "SELECT at FROM history WHERE what = 'minute'", &history->minute) ||
        !ask(asking, "SELECT at FROM history WHERE what = 'hour'", &history->hour) ||
        !ask(asking, "SELECT at FROM history WHERE what = 'raw'", &history->raw) ||
        !ask(asking, "SELECT min(at) FROM rollups WHERE step_s = 60", &oldest_rollup))
        return false;
    if (history->minute == INSTANT_NONE) {
        if (!ask(asking, asking->database->oldest_sample_sql, &oldest))
            return false;
        if (oldest == INSTANT_NONE)
            return true; /* there are no samples */
        history->minute = begin_of(oldest, MINUTE);
    }
    if (history->hour == INSTANT_NONE)
        history->hour = begin_of(oldest_rollup == INSTANT_NONE ? history->minute : oldest_rollup, HOUR);
    history_note(history, history->minute - back_ns, history->newest);
    history->read = true;
    return true;
}

/* --- the statements ------------------------------------------------------------------------------------- */

static void set_mark(struct text *sql, const char *what, instant at)
{
    text_addf(sql,
              "INSERT INTO history (what, at) VALUES ('%s', %lld) ON CONFLICT (what) DO UPDATE SET at = "
              "excluded.at; ",
              what, (long long)at);
}

/* Made anew of all that the step has; or, if most of that is gone by now, only where there is nothing: for a
 * node that reports late. */
static void on_conflict(struct text *sql, bool anew)
{
    text_add(sql,
             anew ? " ON CONFLICT (node, metric, step_s, at) DO UPDATE SET least = excluded.least, most "
                    "= excluded.most, mean = excluded.mean, last = excluded.last, count = excluded.count; "
                  : " ON CONFLICT (node, metric, step_s, at) DO NOTHING; ");
}

/* What one metric was for each node, of the `span` that roll_minute() reads. */
static void roll_metric(struct text *sql, const char *metric, instant from)
{
    text_addf(sql,
              "SELECT node, '%s', %lld, %lld, min(v), max(v), avg(v), max(CASE WHEN at = newest THEN v END), "
              "count(*) FROM (SELECT node, at, %s AS v, max(at) OVER (PARTITION BY node) AS newest FROM span "
              "WHERE %s IS NOT NULL) AS of_one GROUP BY node",
              metric, minute_s, (long long)from, metric, metric);
}

/* The samples are read once, whatever the number of metrics. Both marks go along: the hour's may have been
 * taken back as well. */
static void roll_minute(const struct database *database, struct text *sql, const struct history *history)
{
    instant from = history->minute;
    text_add(sql, "WITH span AS MATERIALIZED (SELECT node, at");
    for (unsigned metric = 0; metric < METRIC_COUNT; metric++)
        text_addf(sql, ", %s", metric_name((enum metric)metric));
    text_add(sql, " FROM ");
    database->span_sql(sql, from, from + MINUTE - 1);
    text_add(sql, ") INSERT INTO rollups ");
    for (unsigned metric = 0; metric < METRIC_COUNT; metric++) {
        text_add(sql, metric > 0 ? " UNION ALL " : "");
        roll_metric(sql, metric_name((enum metric)metric), from);
    }
    on_conflict(sql, history->raw == INSTANT_NONE || from >= history->raw);
    set_mark(sql, "minute", from + MINUTE);
    set_mark(sql, "hour", history->hour);
}

static void roll_hour(struct text *sql, const struct history *history)
{
    instant from = history->hour;
    text_addf(
        sql,
        "INSERT INTO rollups SELECT node, metric, %lld, %lld, min(least), max(most), sum(mean * count) / "
        "sum(count), max(CASE WHEN at = newest THEN last END), CAST(sum(count) AS bigint) FROM (SELECT "
        "rollups.*, max(at) OVER (PARTITION BY node, metric) AS newest FROM rollups WHERE step_s = %lld AND "
        "at BETWEEN %lld AND %lld) AS minutes GROUP BY node, metric",
        hour_s, (long long)from, minute_s, (long long)from, (long long)(from + HOUR - 1));
    on_conflict(sql, from >= history->newest - HISTORY_MINUTE_NS + HOUR);
    set_mark(sql, "hour", from + HOUR);
}

/* Rollups go by whole hours: where minutes begin, no hour is in both. */
static void drop_old(const struct database *database, struct text *sql, instant newest, instant raw)
{
    database->drop_samples_sql(sql, raw);
    text_addf(
        sql,
        "DELETE FROM rollups WHERE step_s = %lld AND at < %lld; DELETE FROM rollups WHERE step_s = %lld "
        "AND at < %lld; ",
        minute_s, (long long)begin_of(newest - HISTORY_MINUTE_NS, HOUR), hour_s,
        (long long)begin_of(newest - HISTORY_HOUR_NS, HOUR));
    set_mark(sql, "raw", raw);
}

/* --- a step --------------------------------------------------------------------------------------------- */

static bool minute_is_over(const struct history *history)
{
    return history->minute + MINUTE + late_ns <= history->newest;
}

static bool hour_is_over(const struct history *history)
{
    return history->hour + HOUR <= history->minute;
}

static bool is_time_to_drop(const struct history *history)
{
    return history->pruned_at == INSTANT_NONE || history->newest - history->pruned_at >= prune_every_ns;
}

/* Nobody reported for a while: on to the next minute of which there is a sample. */
static bool skip_silence(struct history *history, const struct asking *asking)
{
    for (duration span = MINUTE; minute_is_over(history); span = HOUR) {
        char bytes[512];
        struct text sql = text_over(bytes, sizeof bytes);
        instant first = INSTANT_NONE, to = history->minute + span - 1;
        text_add(&sql, span == MINUTE ? "SELECT at FROM " : "SELECT min(at) FROM ");
        asking->database->span_sql(&sql, history->minute, to < history->newest ? to : history->newest);
        text_add(&sql, span == MINUTE ? " LIMIT 1" : "");
        if (!ask(asking, bytes, &first))
            return false;
        if (first != INSTANT_NONE) {
            history->minute = begin_of(first, MINUTE);
            return true;
        }
        history->minute += span;
    }
    return true;
}

/* At most ten minutes of samples at once, so that no commit waits for long; nothing that is not in rollups
 * yet. */
static bool drop(struct history *history, const struct asking *asking, struct text *sql)
{
    instant cut = begin_of(history->newest - HISTORY_RAW_NS, prune_every_ns), from = history->raw;
    if (history->hour < cut)
        cut = history->hour;
    if (from == INSTANT_NONE && !ask(asking, asking->database->oldest_sample_sql, &from))
        return false;
    if (from != INSTANT_NONE && from < cut) {
        instant next = begin_of(from, prune_every_ns) + prune_every_ns;
        history->raw = next < cut ? next : cut;
        drop_old(asking->database, sql, history->newest, history->raw);
    }
    if (history->raw == INSTANT_NONE || history->raw >= cut)
        history->pruned_at = history->newest;
    return true;
}

static bool decide(struct history *next, const struct asking *asking, struct text *sql)
{
    if (!next->read && !read_marks(next, asking))
        return false;
    if (!next->read)
        return true; /* nothing to make history of */
    if (!skip_silence(next, asking))
        return false;
    if (minute_is_over(next)) {
        roll_minute(asking->database, sql, next);
        next->minute += MINUTE;
    } else if (hour_is_over(next)) {
        roll_hour(sql, next);
        next->hour += HOUR;
    } else if (is_time_to_drop(next)) {
        return drop(next, asking, sql);
    }
    return true;
}

bool history_step(struct history *history, const struct database *database, void *writing, bool *more,
                  char *error, size_t error_size)
{
    static _Thread_local char bytes[32768];
    const struct asking asking = {database, writing, error, error_size};
    struct text sql = text_over(bytes, sizeof bytes);
    struct history next = *history;
    *more = false;
    if (history->newest == INSTANT_NONE)
        return true;
    bool good = decide(&next, &asking, &sql);
    CHECK(!sql.cut);
    if (good && sql.length > 0)
        good = database->run(writing, bytes, error, error_size) == 0;
    if (!good) {
        history->read = false; /* what is there is looked up again */
        return false;
    }
    *history = next;
    *more = sql.length > 0;
    return true;
}
