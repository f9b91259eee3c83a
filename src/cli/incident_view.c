#include "cli/incident_view.h"

#include "base/text.h"
#include "cli/hint.h"
#include "cli/show.h"
#include "core/trace.h"

#include <math.h>
#include <string.h>

static void word_cell(struct table *table, const json_t *object, const char *name)
{
    const char *word = member_text(object, name);
    bool is_empty = *word == '\0' || strcmp(word, "none") == 0;
    table_cell(table, ink_of_word(word), "%s", is_empty ? "-" : word);
}

static void seconds_cell(struct table *table, const json_t *object, const char *name)
{
    char text[32];
    table_cell(table, INK_PLAIN, "%s", seconds_text(member_number(object, name), text));
}

/* Of an incident that came back the times would count from its first beginning, and mean nothing. */
static void times_cells(struct table *table, const json_t *incident)
{
    bool came_back = member_whole(incident, "reopened") > 0;
    static const char *const names[] = {"fixed_after_s", "proved_after_s"};
    for (size_t i = 0; i < 2; i++) {
        if (came_back)
            table_cell(table, INK_DIM, "-");
        else
            seconds_cell(table, incident, names[i]);
    }
}

void incident_table(const json_t *incidents, FILE *stream, int indent)
{
    static const char *const titles[] = {">id",   "opened at", "node",   "finding", "remedy",
                                         "state", "verdict",   ">fixed", ">proved"};
    struct table *table = table_new(titles, 9);
    size_t index;
    json_t *incident;
    json_array_foreach(incidents, index, incident)
    {
        char clock[16];
        table_cell(table, INK_PLAIN, "%lld", member_whole(incident, "id"));
        table_cell(table, INK_PLAIN, "%s", member_clock(incident, "opened_at", clock));
        table_cell(table, INK_BOLD, "%s", member_text(incident, "node"));
        table_cell(table, INK_PLAIN, "%s", member_text(incident, "finding"));
        word_cell(table, incident, "remedy");
        word_cell(table, incident, "state");
        word_cell(table, incident, "verdict");
        times_cells(table, incident);
    }
    table_print(&table, stream, indent);
}

/* The remedy that the verdict is about: that of the newest command. The incident's own may be one that tells
 * people, which neither helps nor fails to. */
static const char *judged_remedy(const json_t *incident)
{
    const json_t *commands = json_object_get(incident, "commands");
    const char *remedy = member_text(incident, "remedy");
    if (json_array_size(commands) > 0)
        return member_text(json_array_get(commands, json_array_size(commands) - 1), "remedy");
    return strcmp(remedy, "page_human") == 0 ? "" : remedy;
}

static void print_times(const json_t *incident, FILE *stream)
{
    char clock[16], one[32], two[32], three[32];
    long long reopened = member_whole(incident, "reopened");
    const json_t *fault = json_object_get(incident, "fault");
    if (json_is_object(fault))
        fprintf(stream, "  fault %lld (%s) was injected at %s; times count from there\n",
                member_whole(fault, "id"), member_text(fault, "kind"),
                member_clock(fault, "injected_at", clock));
    else
        fprintf(stream, "  began at %s; times count from there\n", member_clock(incident, "began_at", clock));
    fprintf(stream, "  detected after %s", seconds_text(member_number(incident, "detected_after_s"), one));
    if (reopened > 0) {
        if (reopened == 1)
            fprintf(stream, "; it came back once, and they count anew from then on\n");
        else
            fprintf(stream, "; it came back %lld times, and they count anew each time\n", reopened);
        return;
    }
    if (!isnan(member_number(incident, "fixed_after_s")))
        fprintf(stream, ", fixed after %s", seconds_text(member_number(incident, "fixed_after_s"), two));
    if (!isnan(member_number(incident, "proved_after_s")))
        fprintf(stream, ", proved after %s\n",
                seconds_text(member_number(incident, "proved_after_s"), three));
    else
        fprintf(stream, ", not resolved yet\n");
}

/* What waits for a person, and how he says so. */
static void print_approvable(const json_t *incident, FILE *stream)
{
    char hint[HINT_SIZE];
    const char *remedy = member_text(incident, "approvable"), *block = member_text(incident, "block");
    long long id = member_whole(incident, "id"), plan = member_whole(incident, "plan");
    if (strcmp(member_text(incident, "state"), "escalated") == 0 && *remedy) {
        fprintf(stream, "  %s can be tried once more: %s approve %lld\n", remedy, program_name(), id);
    } else if (strcmp(block, "approval") == 0 && *remedy) {
        fprintf(stream, "  plan %lld: %s waits for you: %s approve %lld\n", plan, remedy, program_name(), id);
    } else if (*block) {
        block_hint(block, id, member_text(incident, "node"), hint);
        fprintf(stream, "  not done now because of %s%s%s\n", block, *hint ? "; " : "", hint);
    }
}

static void print_head(const json_t *incident, FILE *stream)
{
    const char *state = member_text(incident, "state");
    const char *verdict = member_text(incident, "verdict"), *remedy = judged_remedy(incident);
    fprintf(stream, "\n  %sincident %lld%s  %s on %s, %s: %s%s%s", ink_on(stream, INK_BOLD),
            member_whole(incident, "id"), ink_off(stream, INK_BOLD), member_text(incident, "finding"),
            member_text(incident, "node"), member_text(incident, "severity"),
            ink_on(stream, ink_of_word(state)), state, ink_off(stream, ink_of_word(state)));
    if (*verdict && *remedy && strcmp(verdict, "none") != 0)
        fprintf(stream, ", %s was %s", remedy, verdict);
    fprintf(stream, "%s\n", member_true(incident, "acknowledged") ? ", acknowledged" : "");
    print_times(incident, stream);
    print_approvable(incident, stream);
}

static instant origin_of(const json_t *incident)
{
    instant at = INSTANT_NONE;
    const json_t *fault = json_object_get(incident, "fault");
    if (!text_parse_instant(member_text(fault, "injected_at"), &at))
        text_parse_instant(member_text(incident, "began_at"), &at);
    return at;
}

static void print_timeline(const json_t *incident, FILE *stream)
{
    static const char *const titles[] = {"at", ">after", "step", "state", "what"};
    const json_t *timeline = json_object_get(incident, "timeline");
    if (json_array_size(timeline) == 0)
        return;
    instant origin = origin_of(incident);
    bool resolved = false;
    struct table *table = table_new(titles, 5);
    size_t index;
    json_t *line;
    json_array_foreach(timeline, index, line)
    {
        char clock[16], after[32];
        instant at;
        const char *step = member_text(line, "step");
        bool known = text_parse_instant(member_text(line, "at"), &at) && origin != INSTANT_NONE;
        if (known && resolved && strcmp(step, "DETECT") == 0)
            origin = at; /* it is back: what follows counts from here */
        resolved = strcmp(step, "RESOLVED") == 0;
        table_cell(table, INK_DIM, "%s", member_clock(line, "at", clock));
        if (known)
            snprintf(after, sizeof after, "%.1f s", duration_seconds(at - origin));
        table_cell(table, INK_PLAIN, "%s", known ? after : "-");
        table_cell(table, ink_of_word(step), "%s", step);
        table_cell(table, INK_DIM, "%s", member_text(line, "state"));
        table_cell(table, INK_PLAIN, "%s", member_text(line, "text"));
    }
    fprintf(stream, "\n");
    table_print(&table, stream, 2);
}

static void print_evidence(const json_t *incident, FILE *stream)
{
    static const char *const titles[] = {"evidence", "condition", ">when found", ">at the end"};
    const json_t *evidence = json_object_get(incident, "evidence");
    if (json_array_size(evidence) == 0)
        return;
    struct table *table = table_new(titles, 4);
    size_t index;
    json_t *row;
    json_array_foreach(evidence, index, row)
    {
        char before[32], after[32];
        const char *metric = member_text(row, "metric");
        table_cell(table, INK_PLAIN, "%s", metric);
        table_cell(table, INK_PLAIN, "%s", member_text(row, "condition"));
        table_cell(table, INK_PLAIN, "%s", metric_text(metric, member_number(row, "before"), before));
        table_cell(table, INK_PLAIN, "%s", metric_text(metric, member_number(row, "after"), after));
    }
    fprintf(stream, "\n");
    table_print(&table, stream, 2);
}

static void print_commands(const json_t *incident, FILE *stream)
{
    static const char *const titles[] = {">command", ">attempt", "remedy", "ordered at",
                                         "outcome",  ">took",    "detail"};
    const json_t *commands = json_object_get(incident, "commands");
    if (json_array_size(commands) == 0)
        return;
    struct table *table = table_new(titles, 7);
    size_t index;
    json_t *row;
    json_array_foreach(commands, index, row)
    {
        char clock[16];
        long long id = member_whole(row, "id");
        table_cell(table, INK_PLAIN, "%lld", id);
        table_cell(table, INK_PLAIN, "%lld", member_whole(row, "attempt"));
        table_cell(table, INK_BOLD, "%s", member_text(row, "remedy"));
        table_cell(table, INK_PLAIN, "%s", member_clock(row, "ordered_at", clock));
        word_cell(table, row, "outcome");
        seconds_cell(table, row, "took_s");
        table_cell(table, INK_PLAIN, "%s", member_text(row, "detail"));
    }
    fprintf(stream, "\n");
    table_print(&table, stream, 2);
}

static void print_not_done(const json_t *incident, FILE *stream)
{
    static const char *const titles[] = {"not done because", ">times", "first", "last", ""};
    const json_t *blocked = json_object_get(incident, "blocked");
    if (json_array_size(blocked) == 0)
        return;
    struct table *table = table_new(titles, 5);
    size_t index;
    json_t *row;
    json_array_foreach(blocked, index, row)
    {
        char clock[16];
        table_cell(table, INK_YELLOW, "%s", member_text(row, "reason"));
        table_cell(table, INK_PLAIN, "%lld", member_whole(row, "count"));
        table_cell(table, INK_PLAIN, "%s", member_clock(row, "first_at", clock));
        table_cell(table, INK_PLAIN, "%s", member_clock(row, "last_at", clock));
        table_cell(table, INK_DIM, "%s", member_text(row, "text"));
    }
    fprintf(stream, "\n");
    table_print(&table, stream, 2);
}

void incident_print(const json_t *incident, FILE *stream)
{
    print_head(incident, stream);
    print_timeline(incident, stream);
    print_evidence(incident, stream);
    print_commands(incident, stream);
    print_not_done(incident, stream);
    fprintf(stream, "\n");
}
