/* nodes: every node with its health and its main figures. */
#include "cli/cli.h"
#include "cli/hint.h"
#include "cli/show.h"
#include "cli/source.h"

#include <math.h>

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
