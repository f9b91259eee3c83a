/* metrics: one metric of one node over time, as a line of blocks, as a table, or for programs. */
#include "cli/cli.h"
#include "cli/show.h"
#include "cli/source.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/text.h"
#include "core/vocabulary.h"
#include "plane/series.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH = 60 /* points of the line of blocks */ };

static const duration usual_span_ns = 10 * MINUTE;

/* An instant, or so long ago. */
static bool read_when(const char *text, instant now, instant *out)
{
    duration ago;
    if (text_parse_instant(text, out))
        return true;
    if (!text_parse_duration(text, &ago))
        return false;
    *out = now - ago;
    return true;
}

struct figures {
    double least, most, sum, count, last;
};

/* A point is [at, value], or [at, mean, least, most, last, count]. */
static void add_figures(struct figures *figures, const json_t *point)
{
    bool is_bucket = json_array_size(point) > 2;
    double value = json_number_value(json_array_get(point, 1));
    double least = is_bucket ? json_number_value(json_array_get(point, 2)) : value;
    double most = is_bucket ? json_number_value(json_array_get(point, 3)) : value;
    double count = is_bucket ? json_number_value(json_array_get(point, 5)) : 1;
    if (figures->count == 0)
        figures->least = least, figures->most = most;
    figures->least = least < figures->least ? least : figures->least;
    figures->most = most > figures->most ? most : figures->most;
    figures->sum += value * count;
    figures->count += count;
    figures->last = is_bucket ? json_number_value(json_array_get(point, 4)) : value;
}

static void print_csv(const json_t *points)
{
    size_t i;
    json_t *point;
    printf("at,mean,least,most,last,count\n");
    json_array_foreach(points, i, point)
    {
        bool is_bucket = json_array_size(point) > 2;
        printf("%s", json_string_value(json_array_get(point, 0)));
        for (size_t column = 1; column < 5; column++)
            printf(",%.12g", json_number_value(json_array_get(point, is_bucket ? column : 1)));
        printf(",%.0f\n", is_bucket ? json_number_value(json_array_get(point, 5)) : 1);
    }
}

/* One place a step, a blank where nothing was reported. The highest block is the highest mean, the lowest 0
 * or, where that is below it, the lowest mean. */
static void print_blocks(const json_t *points, const struct question *question)
{
    static const char *const blocks[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    double place[WIDTH + 1], low = 0, high = 0;
    size_t i;
    json_t *point;
    for (size_t at = 0; at <= WIDTH; at++)
        place[at] = (double)NAN;
    json_array_foreach(points, i, point)
    {
        instant at;
        double value = json_number_value(json_array_get(point, 1));
        if (!text_parse_instant(json_string_value(json_array_get(point, 0)), &at) || at < question->from)
            continue;
        size_t index = (size_t)((at - question->from + MILLISECOND - 1) / question->step_ns);
        place[index > WIDTH ? WIDTH : index] = value;
        low = value < low ? value : low;
        high = value > high ? value : high;
    }
    printf("  ");
    for (size_t at = 0; at <= WIDTH; at++) {
        double share = high > low ? (place[at] - low) / (high - low) : 0;
        printf("%s", isnan(place[at]) ? " " : blocks[(size_t)(share * 7.999)]);
    }
    printf("\n");
}

static void print_people(const json_t *answer, const struct question *question)
{
    const json_t *points = json_object_get(answer, "points");
    const char *metric = member_text(answer, "metric");
    struct figures figures = {.count = 0};
    char from[32], to[32], texts[4][32], span[32];
    size_t i;
    json_t *point;
    json_array_foreach(points, i, point) add_figures(&figures, point);
    text_instant(from, question->from);
    text_instant(to, question->to);
    printf("\n  %s  %s   %.19sZ to %.19sZ\n\n", member_text(answer, "node"), metric, from, to);
    if (figures.count == 0) {
        printf("  nothing was reported in that time\n\n");
        return;
    }
    print_blocks(points, question);
    struct text text = text_over(span, sizeof span);
    text_duration(&text, question->step_ns);
    printf("\n  least %s, mean %s, most %s, last %s; %.0f samples, %s a place\n\n",
           metric_text(metric, figures.least, texts[0]),
           metric_text(metric, figures.sum / figures.count, texts[1]),
           metric_text(metric, figures.most, texts[2]), metric_text(metric, figures.last, texts[3]),
           figures.count, span);
}

/* What was asked for, and the usual where nothing was said. */
static int read_span(struct question *question, const char *from, const char *to, duration step_ns,
                     bool people)
{
    instant now = clock_ns(CLOCK_REALTIME);
    question->to = now;
    if (to && !read_when(to, now, &question->to))
        return fail(EXIT_USAGE,
                    "metrics: --to takes an instant such as 2026-11-23T12:04:11Z, or 5m for five minutes "
                    "ago, not '%s'",
                    to);
    question->from = question->to - usual_span_ns;
    if (from && !read_when(from, now, &question->from))
        return fail(EXIT_USAGE,
                    "metrics: --from takes an instant such as 2026-11-23T12:04:11Z, or 1h for an hour ago, "
                    "not '%s'",
                    from);
    if (question->from >= question->to)
        return fail(EXIT_USAGE, "metrics: --from must lie before --to");
    question->from -= question->from % MILLISECOND; /* as the API writes it */
    question->step_ns = step_ns;
    if (people && step_ns == 0)
        question->step_ns = ((question->to - question->from) / WIDTH / MILLISECOND + 1) * MILLISECOND;
    if (people && (question->to - question->from) / question->step_ns > WIDTH)
        return fail(EXIT_USAGE,
                    "metrics: that makes more than %d places in a line; leave --step out, or add --csv",
                    (int)WIDTH);
    return EXIT_DONE;
}

int verb_metrics(const struct verb *verb, int argc, char **argv)
{
    struct source source = {0};
    struct question question = {.kind = ASK_METRICS};
    const char *from = NULL, *to = NULL;
    duration step_ns = 0;
    bool json = false, csv = false;
    const struct flag flags[] = {
        {"from", 0, FLAG_TEXT, &from, "WHEN", "an instant, or so long ago: 2026-11-23T12:04:11Z, 1h (10m)"},
        {"to", 0, FLAG_TEXT, &to, "WHEN", "likewise (now)"},
        {"step", 0, FLAG_DURATION, &step_ns, "TIME",
         "one point each (a 60th of the span; with --csv or --json every sample)"},
        {"csv", 0, FLAG_YES, &csv, NULL, "a line for each point"},
        {"json", 0, FLAG_YES, &json, NULL, "the API's JSON as it is"},
        SOURCE_URL_FLAG(&source),
        SOURCE_DB_FLAG(&source),
        {0}};
    int count;
    int code = flags_read(verb, flags, argc, argv, 2, 2, &count);
    if (code >= 0)
        return code;
    char error[512];
    question.node = argv[1];
    question.metric = argv[2];
    if (!text_is_name(question.node, NODE_NAME_SIZE - 1))
        return fail(EXIT_USAGE, "metrics: no node can be called '%s'", question.node);
    if (series_metric(question.metric, error, sizeof error) < 0)
        return fail(EXIT_USAGE, "metrics: %s", error);
    code = read_span(&question, from, to, step_ns, !json && !csv);
    json_t *answer = NULL;
    if (code == EXIT_DONE)
        code = source_read(&source, &question, &answer);
    if (code != EXIT_DONE)
        return code;
    if (json)
        print_json(answer);
    else if (csv)
        print_csv(json_object_get(answer, "points"));
    else
        print_people(answer, &question);
    json_decref(answer);
    return EXIT_DONE;
}
