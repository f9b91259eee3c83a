#include "store/history.h"

#include "base/check.h"

static const duration late_ns = 90 * SECOND; /* a minute is over when so much has passed since its end */
static const duration back_ns = 10 * MINUTE; /* made anew after a start: what came late just before the end */
static const duration prune_every_ns = 10 * MINUTE; /* of the samples' own time */
static const int64_t minute_s = 60, hour_s = 3600;

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
    if (history->raw != INSTANT_NONE && oldest < history->raw)
        oldest =
            history->raw; /* its minute's other samples are gone: it is not made anew of this one alone */
    go_back(&history->minute, oldest, MINUTE);
    go_back(&history->hour, oldest, HOUR);
}

/* --- what the database knows ---------------------------------------------------------------------------- */

static bool read_one(const struct database *database, void *writing, const char *what, instant *out,
                     char *error, size_t error_size)
{
    char sql[128];
    struct text text = text_over(sql, sizeof sql);
    text_addf(&text, "SELECT at FROM history WHERE what = '%s'", what);
    return database->number(writing, sql, out, error, error_size) == 0;
}

static bool read_all(struct history *history, const struct database *database, void *writing, char *error,
                     size_t error_size)
{
    instant oldest = INSTANT_NONE;
    history->minute = history->hour = history->raw = INSTANT_NONE;
    if (!read_one(database, writing, "minute", &history->minute, error, error_size) ||
        !read_one(database, writing, "hour", &history->hour, error, error_size) ||
        !read_one(database, writing, "raw", &history->raw, error, error_size))
        return false;
    if (history->minute != INSTANT_NONE) {
        history_note(history, history->minute - back_ns, history->newest);
    } else {
        if (database->number(writing, database->oldest_sample_sql, &oldest, error, error_size) < 0)
            return false;
        if (oldest == INSTANT_NONE)
            return true; /* there are no samples */
        history->minute = begin_of(oldest, MINUTE);
    }
    if (history->hour == INSTANT_NONE)
        history->hour = begin_of(history->minute, HOUR);
    history->read = true;
    return true;
}

/* --- the statements ------------------------------------------------------------------------------------- */

static void set_through(struct text *sql, const char *what, instant at)
{
    text_addf(sql,
              "INSERT INTO history (what, at) VALUES ('%s', %lld) ON CONFLICT (what) DO UPDATE SET at = "
              "excluded.at; ",
              what, (long long)at);
}

static const char anew[] =
    " ON CONFLICT (node, metric, step_s, at) DO UPDATE SET least = excluded.least, most = excluded.most, "
    "mean = excluded.mean, last = excluded.last, count = excluded.count; ";

static void roll_metric(const struct database *database, struct text *sql, const char *metric, instant from)
{
    text_addf(
        sql,
        "INSERT INTO rollups SELECT node, '%s', %lld, %lld, min(v), max(v), avg(v), max(CASE WHEN at = "
        "newest THEN v "
        "END), count(*) FROM (SELECT node, at, %s AS v, max(at) OVER (PARTITION BY node) AS newest FROM ",
        metric, (long long)minute_s, (long long)from, metric);
    database->span_sql(sql, from, from + MINUTE - 1);
    text_addf(sql, " AND %s IS NOT NULL) AS span GROUP BY node", metric);
    text_add(sql, anew);
}

static void roll_minute(const struct database *database, struct text *sql, instant from)
{
    for (unsigned metric = 0; metric < METRIC_COUNT; metric++)
        roll_metric(database, sql, metric_name((enum metric)metric), from);
    set_through(sql, "minute", from + MINUTE);
}

static void roll_hour(struct text *sql, instant from)
{
    text_addf(sql,
              "INSERT INTO rollups SELECT node, metric, %lld, %lld, min(least), max(most), sum(mean * count) "
              "/ sum(count), "
              "max(CASE WHEN at = newest THEN last END), CAST(sum(count) AS bigint) FROM (SELECT rollups.*, "
              "max(at) OVER "
              "(PARTITION BY node, metric) AS newest FROM rollups WHERE step_s = %lld AND at BETWEEN %lld "
              "AND %lld) AS minutes "
              "GROUP BY node, metric",
              (long long)hour_s, (long long)from, (long long)minute_s, (long long)from,
              (long long)(from + HOUR - 1));
    text_add(sql, anew);
    set_through(sql, "hour", from + HOUR);
}

static void drop_old(const struct database *database, struct text *sql, instant newest, instant raw)
{
    database->drop_samples_sql(sql, raw);
    text_addf(sql,
              "DELETE FROM rollups WHERE step_s = %lld AND at < %lld; DELETE FROM rollups WHERE step_s = "
              "%lld AND at < %lld; ",
              (long long)minute_s, (long long)(newest - HISTORY_MINUTE_NS), (long long)hour_s,
              (long long)(newest - HISTORY_HOUR_NS));
    set_through(sql, "raw", raw);
}

/* --- a step --------------------------------------------------------------------------------------------- */

static bool minute_is_over(const struct history *history)
{
    return history->minute != INSTANT_NONE && history->minute + MINUTE + late_ns <= history->newest;
}

static bool hour_is_over(const struct history *history)
{
    return history->hour != INSTANT_NONE && history->hour + HOUR <= history->minute;
}

static bool is_time_to_drop(const struct history *history)
{
    return history->pruned_at == INSTANT_NONE || history->newest - history->pruned_at >= prune_every_ns;
}

/* Nothing that is not in rollups yet. */
static instant raw_cut(const struct history *history)
{
    instant cut = begin_of(history->newest - HISTORY_RAW_NS, prune_every_ns);
    return cut < history->hour ? cut : history->hour;
}

bool history_step(struct history *history, const struct database *database, void *writing, bool *more,
                  char *error, size_t error_size)
{
    static _Thread_local char bytes[32768];
    struct text sql = text_over(bytes, sizeof bytes);
    struct history next = *history;
    *more = false;
    if (history->newest == INSTANT_NONE)
        return true;
    if (!history->read && !read_all(history, database, writing, error, error_size))
        return false;
    next = *history;
    if (minute_is_over(history)) {
        roll_minute(database, &sql, history->minute);
        next.minute += MINUTE;
    } else if (hour_is_over(history)) {
        roll_hour(&sql, history->hour);
        next.hour += HOUR;
    } else if (history->read && is_time_to_drop(history)) {
        next.pruned_at = history->newest;
        instant raw = raw_cut(history);
        if (history->raw == INSTANT_NONE || raw > history->raw)
            next.raw = raw;
        if (next.raw == history->raw) {
            *history = next;
            return true;
        }
        drop_old(database, &sql, history->newest, next.raw);
    } else {
        return true;
    }
    CHECK(!sql.cut);
    if (database->run(writing, bytes, error, error_size) < 0) {
        history->read = false; /* what is there is looked up again */
        return false;
    }
    *history = next;
    *more = true;
    return true;
}
