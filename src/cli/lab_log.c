#include "cli/lab_log.h"

#include "cli/hint.h"
#include "cli/show.h"
#include "cli/watch.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/text.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    COLUMNS_MAX = 8,  /* with more nodes a line names its node instead */
    COLUMN_LEAST = 7, /* "healthy" */
    MANY = 12,        /* with more nodes than that only the ill ones are named, and no more than that */
    LOOK_S = 2        /* between looks at who is left alone: windows come and go without an event */
};

static const duration health_every_ns = SECOND; /* with many nodes */

struct lab_log {
    char (*names)[NODE_NAME_SIZE];
    uint32_t *sorted; /* numbers by name */
    char (*health)[16];
    bool *alone; /* in maintenance */
    uint32_t count;
    uint32_t heard, unwell;
    int width; /* of a column */
    time_t looked_at;
    int64_t told_ns, news_ns;
    bool changed; /* some health, since the last line of it */
    bool verbose, quiet;
    bool paused, breaker_open; /* as they were told last */
};

/* --- the life ------------------------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b, void *context)
{
    const struct lab_log *log = context;
    return strcmp(log->names[*(const uint32_t *)a], log->names[*(const uint32_t *)b]);
}

struct lab_log *lab_log_new(const struct lab_log_options *options)
{
    struct lab_log *log = calloc(1, sizeof *log);
    CHECK(log);
    log->names = options->names;
    log->count = options->count;
    log->verbose = options->verbose;
    log->quiet = options->quiet;
    log->width = COLUMN_LEAST;
    log->news_ns = monotonic_ns();
    log->sorted = calloc(log->count + 1, sizeof *log->sorted);
    log->health = calloc(log->count + 1, sizeof *log->health);
    log->alone = calloc(log->count + 1, sizeof *log->alone);
    CHECK(log->sorted && log->health && log->alone);
    for (uint32_t i = 0; i < log->count; i++) {
        int length = (int)strlen(log->names[i]);
        log->width = length > log->width ? length : log->width;
        log->sorted[i] = i;
    }
    qsort_r(log->sorted, log->count, sizeof *log->sorted, by_name, log);
    return log;
}

void lab_log_free(struct lab_log **owner)
{
    struct lab_log *log = *owner;
    if (!log)
        return;
    free(log->sorted);
    free(log->health);
    free(log->alone);
    free(log);
    *owner = NULL;
}

int64_t lab_log_find(const struct lab_log *log, const char *name)
{
    uint32_t low = 0, high = log->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = strcmp(log->names[log->sorted[middle]], name);
        if (order == 0)
            return log->sorted[middle];
        low = order < 0 ? middle + 1 : low;
        high = order < 0 ? high : middle;
    }
    return -1;
}

uint32_t lab_log_heard(const struct lab_log *log)
{
    return log->heard;
}

uint32_t lab_log_unwell(const struct lab_log *log)
{
    return log->unwell;
}

int64_t lab_log_news_ns(const struct lab_log *log)
{
    return log->news_ns;
}

/* --- lines ---------------------------------------------------------------------------------------------- */

static bool has_columns(const struct lab_log *log)
{
    return log->count <= COLUMNS_MAX;
}

static void print_time(instant at)
{
    char whole[32];
    text_instant(whole, at);
    printf("  %.10s  ", whole + 11);
}

static instant wall_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (instant)now.tv_sec * SECOND + now.tv_nsec;
}

void lab_log_head(struct lab_log *log)
{
    if (log->quiet)
        return;
    printf("  %-10s  ", "UTC");
    for (uint32_t i = 0; has_columns(log) && i < log->count; i++)
        printf("%s%-*s%s  ", ink_on(stdout, INK_BOLD), log->width, log->names[i], ink_off(stdout, INK_BOLD));
    printf("\n");
}

static void print_line(struct lab_log *log, instant at, int64_t node, const char *step, const char *line)
{
    enum ink ink = ink_of_word(step);
    if (log->quiet)
        return;
    print_time(at);
    for (int64_t i = 0; has_columns(log) && i < (int64_t)log->count; i++) {
        /* The mark is one character of three bytes, so printf's own padding would be short by two. */
        if (i == node)
            printf("%s●%s%*s  ", ink_on(stdout, ink), ink_off(stdout, ink), log->width - 1, "");
        else
            printf("%s%-*s%s  ", ink_on(stdout, INK_DIM), log->width, ".", ink_off(stdout, INK_DIM));
    }
    printf("%s%-8s%s  ", ink_on(stdout, ink), step, ink_off(stdout, ink));
    size_t columns = has_columns(log) ? log->count * (size_t)(log->width + 2) : 0;
    print_folded(stdout, 14 + columns + 10, line);
}

void lab_log_say(struct lab_log *log, const char *step, uint32_t node, const char *sentence)
{
    char bytes[1024];
    struct text line = text_over(bytes, sizeof bytes);
    if (node != NO_INDEX && !has_columns(log))
        text_addf(&line, "%s: ", log->names[node]);
    text_add(&line, sentence);
    print_line(log, wall_now(), node == NO_INDEX ? -1 : (int64_t)node, step, bytes);
}

static void print_event(struct lab_log *log, const json_t *data)
{
    instant at = 0;
    char bytes[1024];
    struct text line = text_over(bytes, sizeof bytes);
    const char *step = member_text(data, "step"), *node = member_text(data, "node");
    int64_t column = *node ? lab_log_find(log, node) : -1;
    text_parse_instant(member_text(data, "at"), &at);
    if (*node && (!has_columns(log) || column < 0))
        text_addf(&line, "%s: ", node);
    text_add(&line, member_text(data, "text"));
    if (strcmp(step, "DETECT") == 0)
        text_addf(&line, "   incident %lld", member_whole(data, "incident"));
    if (strcmp(step, "BLOCKED") == 0) {
        char hint[HINT_SIZE];
        block_hint(member_text(data, "state"), member_whole(data, "incident"), node, hint);
        text_addf(&line, "%s%s", *hint ? "; " : "", hint);
    }
    print_line(log, at, column, step, bytes);
}

/* --- health --------------------------------------------------------------------------------------------- */

static void print_columns(const struct lab_log *log)
{
    for (uint32_t i = 0; i < log->count; i++) {
        const char *word = log->alone[i] ? "alone" : log->health[i];
        printf("%s%-*s%s  ", ink_on(stdout, ink_of_word(word)), log->width, word,
               ink_off(stdout, ink_of_word(word)));
    }
}

/* Those that are not well, by name, as many as fit a line. */
static void print_unwell(const struct lab_log *log)
{
    uint32_t named = 0;
    for (uint32_t i = 0; i < log->count && named < MANY; i++) {
        if (!*log->health[i] || strcmp(log->health[i], "healthy") == 0)
            continue;
        printf("%s%s %s", named++ ? ", " : "; ", log->names[i], log->health[i]);
    }
    if (log->unwell > named)
        printf(" and %u more", log->unwell - named);
}

static void print_health(struct lab_log *log, int port)
{
    json_t *health = plane_ask(port, "GET", "/healthz", NULL, NULL, 0);
    print_time(wall_now());
    if (has_columns(log))
        print_columns(log);
    if (health)
        printf("%lld node%s, ill by itself: %lld, in work: %lld of %lld%s%s", member_whole(health, "fleet"),
               member_whole(health, "fleet") == 1 ? "" : "s", member_whole(health, "unhealthy"),
               member_whole(health, "disrupted"), member_whole(health, "budget"),
               member_true(health, "breaker_open") ? ", BREAKER OPEN" : "",
               member_true(health, "paused") ? ", PAUSED" : "");
    if (log->count > MANY)
        print_unwell(log);
    printf("\n");
    json_decref(health);
    log->changed = false;
}

/* "epoch 1, automation paused, breaker closed": what people or the breaker changed, in the words of people.
 * The epoch alone is no news. */
static void print_control(struct lab_log *log, const json_t *data)
{
    char paused_line[HINT_SIZE], open_line[HINT_SIZE];
    const char *text = member_text(data, "text"), *lines[2] = {NULL, NULL};
    bool paused = strstr(text, "automation paused") != NULL, open = strstr(text, "breaker open") != NULL;
    if (paused != log->paused)
        lines[0] = paused ? paused_sentence(paused_line) : "automation is on again";
    if (open != log->breaker_open)
        lines[1] = open ? breaker_sentence(open_line) : "the breaker is closed again";
    log->paused = paused;
    log->breaker_open = open;
    for (size_t i = 0; i < 2; i++) {
        if (!lines[i])
            continue;
        json_t *line = json_pack("{s:s, s:s, s:s}", "at", member_text(data, "at"), "step",
                                 member_text(data, "step"), "text", lines[i]);
        print_event(log, line);
        json_decref(line);
    }
}

/* Who is in maintenance, asked now and then. */
static void look_who_is_alone(struct lab_log *log, int port)
{
    time_t now = time(NULL);
    if (now - log->looked_at < LOOK_S || log->count > MANY || log->quiet)
        return;
    log->looked_at = now;
    json_t *answer = plane_ask(port, "GET", "/v1/nodes", NULL, NULL, 0);
    size_t index;
    json_t *row;
    json_array_foreach(json_object_get(answer, "nodes"), index, row)
    {
        int64_t node = lab_log_find(log, member_text(row, "node"));
        bool alone = *member_text(row, "maintained_until") != '\0';
        if (node < 0 || log->alone[node] == alone)
            continue;
        log->alone[node] = alone;
        log->changed = true;
    }
    json_decref(answer);
}

/* Unknown is no news of how it is. */
static bool is_word_of_health(const char *health)
{
    return *health && strcmp(health, "unknown") != 0;
}

static bool is_unwell(const char *health)
{
    return is_word_of_health(health) && strcmp(health, "healthy") != 0;
}

static void note_health(struct lab_log *log, uint32_t node, const char *health)
{
    char *had = log->health[node];
    if (strcmp(had, health) == 0)
        return;
    log->heard += is_word_of_health(health) && !is_word_of_health(had);
    log->unwell += (uint32_t)is_unwell(health) - (uint32_t)is_unwell(had);
    text_copy(had, sizeof log->health[node], health);
    log->changed = true;
}

void lab_log_event(void *context, const char *kind, const json_t *data)
{
    struct lab_log *log = context;
    const char *step = member_text(data, "step");
    log->news_ns = monotonic_ns();
    if (strcmp(kind, "node") == 0) {
        int64_t node = lab_log_find(log, member_text(data, "node"));
        if (node >= 0) {
            note_health(log, (uint32_t)node, member_text(data, "state"));
            return;
        }
    }
    /* The order is told by ACT already, and what people are told by PEOPLE; their ids are for those who ask.
     * Of the control row only what people change is news. */
    if (!log->verbose && strcmp(kind, "control") == 0) {
        print_control(log, data);
        return;
    }
    if (!log->verbose && (strcmp(step, "COMMAND") == 0 || strcmp(step, "NOTIFY") == 0))
        return;
    print_event(log, data);
}

void lab_log_tick(struct lab_log *log, int port)
{
    look_who_is_alone(log, port);
    if (log->changed && !log->quiet &&
        (log->count <= MANY || monotonic_ns() - log->told_ns >= health_every_ns)) {
        log->told_ns = monotonic_ns();
        print_health(log, port);
    }
    fflush(stdout);
}
