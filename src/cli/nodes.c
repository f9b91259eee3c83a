/* nodes: every node with its health and its main figures. */
#include "cli/cli.h"
#include "cli/hint.h"
#include "cli/show.h"
#include "cli/source.h"

#include "base/text.h"

#include <math.h>

enum { CLOCK_OFF_S = 10 }; /* so much is told */

static void sample_cell(struct table *table, const json_t *node, const char *metric)
{
    char text[32];
    double value = member_number(json_object_get(node, "samples"), metric);
    table_cell(table, INK_PLAIN, "%s", isnan(value) ? "-" : metric_text(metric, value, text));
}

static void incident_cell(struct table *table, const json_t *node)
{
    long long id = member_whole(node, "incident");
    if (id)
        table_cell(table, INK_YELLOW, "%lld", id);
    else
        table_cell(table, INK_PLAIN, "-");
}

/* Remedies that stand until somebody, or the node itself, takes them back. */
static void print_in_force(const json_t *node)
{
    const json_t *standing = json_object_get(node, "standing");
    if (json_array_size(standing) == 0)
        return;
    printf("  %s has in force:", member_text(node, "node"));
    for (size_t i = 0; i < json_array_size(standing); i++)
        printf("%s %s", i ? "," : "", json_string_value(json_array_get(standing, i)));
    printf("; '%s undo %s' takes it back\n", program_name(), member_text(node, "node"));
}

/* A clock that is off harms nobody here, and people may want to know. */
static void print_clock(const json_t *node)
{
    char off[32];
    double seconds = member_number(node, "clock_off_s");
    struct text text = text_over(off, sizeof off);
    if (isnan(seconds) || fabs(seconds) < CLOCK_OFF_S || fabs(seconds) > 1e9)
        return;
    text_duration(&text, duration_from_seconds(fabs(seconds)));
    printf("  the clock of %s is %s %s; nothing is reckoned with it\n", member_text(node, "node"), off,
           seconds > 0 ? "ahead" : "behind");
}

static void print_nodes(const json_t *nodes)
{
    static const char *const titles[] = {"node",    "health",   ">last report", ">cpu",     ">replies",
                                         ">errors", ">storage", ">network",     ">incident"};
    struct table *table = table_new(titles, 9);
    size_t index;
    json_t *node;
    json_array_foreach(nodes, index, node)
    {
        const char *health = member_text(node, "health");
        double age = member_number(node, "last_report_age_s");
        bool synthetic = json_is_true(json_object_get(node, "synthetic"));
        table_cell(table, INK_BOLD, "%s", member_text(node, "node"));
        bool alone = *member_text(node, "maintained_until") != '\0';
        table_cell(table, ink_of_word(health), "%s%s%s", health, alone ? ", left alone" : "",
                   synthetic ? ", synthetic" : "");
        table_cell(table, INK_PLAIN, isnan(age) ? "-" : "%.1f s ago", age);
        sample_cell(table, node, "cpu_utilization");
        sample_cell(table, node, "request_latency");
        sample_cell(table, node, "error_ratio");
        sample_cell(table, node, "storage_latency");
        sample_cell(table, node, "network_latency");
        incident_cell(table, node);
    }
    table_print(&table, stdout, 2);
    json_array_foreach(nodes, index, node)
    {
        char clock[16];
        if (*member_text(node, "maintained_until"))
            printf("  %s is left alone until %s (maintenance); '%s maintain %s --end' ends it now\n",
                   member_text(node, "node"), member_clock(node, "maintained_until", clock), program_name(),
                   member_text(node, "node"));
        print_in_force(node);
        print_clock(node);
    }
}

int verb_nodes(const struct verb *verb, int argc, char **argv)
{
    struct source source = {0};
    bool json = false;
    const struct flag flags[] = {{"json", 0, FLAG_YES, &json, NULL, "the API's JSON as it is"},
                                 SOURCE_URL_FLAG(&source),
                                 SOURCE_DB_FLAG(&source),
                                 {0}};
    int count;
    int code = flags_read(verb, flags, argc, argv, 0, 0, &count);
    if (code >= 0)
        return code;
    code = source_show(&source, &(struct question){.kind = ASK_NODES}, json, "nodes", "no nodes yet",
                       print_nodes);
    if (code == EXIT_DONE && !json)
        print_standing(&source);
    return code;
}
