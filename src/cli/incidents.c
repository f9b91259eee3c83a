/* What went wrong: the list, one incident in full, and what was not done. */
#include "cli/cli.h"
#include "cli/hint.h"
#include "cli/incident_view.h"
#include "cli/show.h"
#include "cli/source.h"

#include "base/text.h"
#include "core/core.h"
#include "core/vocabulary.h"

#include <string.h>

static int unknown_state(const char *given)
{
    const char *names[INCIDENT_STATE_COUNT];
    for (int i = 0; i < INCIDENT_STATE_COUNT; i++)
        names[i] = incident_state_name((enum incident_state)i);
    const char *near = text_nearest(given, names, INCIDENT_STATE_COUNT);
    if (near)
        return fail(EXIT_USAGE, "incidents: no state is called '%s'; did you mean '%s'?", given, near);
    char list[160];
    struct text text = text_over(list, sizeof list);
    for (int i = 0; i < INCIDENT_STATE_COUNT; i++)
        text_addf(&text, "%s%s", i == 0 ? "" : i + 1 < INCIDENT_STATE_COUNT ? ", " : " or ", names[i]);
    return fail(EXIT_USAGE, "incidents: no state is called '%s'; it is %s", given, list);
}

static void print_incidents(const json_t *incidents)
{
    incident_table(incidents, stdout, 2);
}

int verb_incidents(const struct verb *verb, int argc, char **argv)
{
    struct source source = {0};
    struct question question = {.kind = ASK_INCIDENTS, .limit = 50};
    bool json = false;
    const struct flag flags[] = {
        {"node", 'n', FLAG_TEXT, &question.node, "NODE", "only this node's"},
        {"state", 's', FLAG_TEXT, &question.state, "STATE", "only those in this state"},
        {"limit", 0, FLAG_WHOLE, &question.limit, "N", "the newest N (50)"},
        {"json", 0, FLAG_YES, &json, NULL, "the API's JSON as it is"},
        SOURCE_URL_FLAG(&source),
        SOURCE_DB_FLAG(&source),
        {0}};
    int count;
    int code = flags_read(verb, flags, argc, argv, 0, 0, &count);
    if (code >= 0)
        return code;
    if (question.node && !text_is_name(question.node, NODE_NAME_SIZE - 1))
        return fail(EXIT_USAGE, "incidents: '%s' cannot be the name of a node", question.node);
    if (question.state && incident_state_of(question.state) < 0)
        return unknown_state(question.state);
    code = source_show(&source, &question, json, "incidents", "no incidents", print_incidents);
    if (code == EXIT_DONE && !json)
        print_standing(&source);
    return code;
}

int verb_incident(const struct verb *verb, int argc, char **argv)
{
    struct source source = {0};
    bool json = false;
    const struct flag flags[] = {{"json", 0, FLAG_YES, &json, NULL, "the API's JSON as it is"},
                                 SOURCE_URL_FLAG(&source),
                                 SOURCE_DB_FLAG(&source),
                                 {0}};
    int count;
    int code = flags_read(verb, flags, argc, argv, 1, 1, &count);
    if (code >= 0)
        return code;
    unsigned long long id;
    if (!parse_id(argv[1], &id))
        return fail(EXIT_USAGE, "incident: '%s' is not the number of an incident; '%s incidents' lists them",
                    argv[1], program_name());
    json_t *incident;
    code = source_read(&source, &(struct question){.kind = ASK_INCIDENT, .id = id}, &incident);
    if (code != EXIT_DONE)
        return code;
    if (json)
        print_json(incident);
    else
        incident_print(incident, stdout);
    json_decref(incident);
    return EXIT_DONE;
}

/* Each reason once, with what it says and what the newest incident of it can be helped with. */
static void print_reasons(const json_t *blocked)
{
    static const char *const titles[] = {"why", "that is"};
    struct table *table = table_new(titles, 2);
    bool told[BLOCK_REASON_COUNT] = {false};
    size_t index;
    json_t *row;
    json_array_foreach(blocked, index, row)
    {
        char hint[HINT_SIZE];
        const char *reason = member_text(row, "reason");
        int number = block_reason_of(reason);
        if (number < 0 || told[number])
            continue;
        told[number] = true;
        block_hint(reason, member_whole(row, "incident"), member_text(row, "node"), hint);
        table_cell(table, INK_YELLOW, "%s", reason);
        table_cell(table, INK_PLAIN, "%s%s%s", member_text(row, "text"), *hint ? "; " : "", hint);
    }
    table_print(&table, stdout, 2);
}

static void print_blocked(const json_t *blocked)
{
    static const char *const titles[] = {">incident", "node",   "finding", "not done",
                                         "why",       ">times", "first",   "last"};
    struct table *table = table_new(titles, 8);
    size_t index;
    json_t *row;
    json_array_foreach(blocked, index, row)
    {
        char clock[16];
        const char *remedy = member_text(row, "remedy");
        table_cell(table, INK_PLAIN, "%lld", member_whole(row, "incident"));
        table_cell(table, INK_BOLD, "%s", member_text(row, "node"));
        table_cell(table, INK_PLAIN, "%s", member_text(row, "finding"));
        table_cell(table, INK_PLAIN, "%s", *remedy ? remedy : "-");
        table_cell(table, INK_YELLOW, "%s", member_text(row, "reason"));
        table_cell(table, INK_PLAIN, "%lld", member_whole(row, "count"));
        table_cell(table, INK_PLAIN, "%s", member_clock(row, "first_at", clock));
        table_cell(table, INK_PLAIN, "%s", member_clock(row, "last_at", clock));
    }
    table_print(&table, stdout, 2);
    printf("\n");
    print_reasons(blocked);
}

int verb_blocked(const struct verb *verb, int argc, char **argv)
{
    struct source source = {0};
    struct question question = {.kind = ASK_BLOCKED, .limit = 100};
    bool json = false;
    const struct flag flags[] = {{"limit", 0, FLAG_WHOLE, &question.limit, "N", "the newest N (100)"},
                                 {"json", 0, FLAG_YES, &json, NULL, "the API's JSON as it is"},
                                 SOURCE_URL_FLAG(&source),
                                 SOURCE_DB_FLAG(&source),
                                 {0}};
    int count;
    int code = flags_read(verb, flags, argc, argv, 0, 0, &count);
    if (code >= 0)
        return code;
    code = source_show(&source, &question, json, "blocked", "nothing was blocked", print_blocked);
    if (code == EXIT_DONE && !json)
        print_standing(&source);
    return code;
}
