#include "cli/cli.h"
#include "cli/demo.h"
#include "cli/incident_view.h"
#include "store/store.h"
#include "cli/show.h"
#include "cli/source.h"

#include "base/check.h"

#include <stdlib.h>
#include <string.h>

enum { INCIDENTS_MAX = 50 };

struct found {
    json_t *incidents;  /* in full, oldest first */
    const json_t *hero; /* of the fault's node; the healed one if there is one, else the newest. NULL: none */
    bool healed;
};

static bool is_healed(const json_t *incident)
{
    return strcmp(member_text(incident, "state"), "resolved") == 0 &&
           strcmp(member_text(incident, "verdict"), "effective") == 0;
}

static int read_incidents(const struct demo_options *options, const char *database, struct found *found)
{
    char error[512];
    json_t *list;
    int code =
        source_read_database(database, &(struct question){.kind = ASK_INCIDENTS, .limit = INCIDENTS_MAX},
                             &list, error, sizeof error);
    if (code != EXIT_DONE)
        return fail(code, "%s", error);
    const json_t *rows = json_object_get(list, "incidents");
    found->incidents = json_array();
    for (size_t i = json_array_size(rows); i-- > 0;) {
        uint64_t id = (uint64_t)member_whole(json_array_get(rows, i), "id");
        json_t *incident;
        code = source_read_database(database, &(struct question){.kind = ASK_INCIDENT, .id = id}, &incident,
                                    error, sizeof error);
        if (code != EXIT_DONE)
            break;
        json_array_append_new(found->incidents, incident);
        bool is_heros = strcmp(member_text(incident, "node"), options->node) == 0;
        if (is_heros && !found->healed) {
            found->hero = incident;
            found->healed = is_healed(incident);
        }
    }
    json_decref(list);
    return code == EXIT_DONE ? code : fail(code, "%s", error);
}

/* Every disruptive command. The verdict of an incident is that of its newest command; the verdicts of earlier
 * ones are in its timeline, as text, and null here. */
static json_t *actions_json(const json_t *incidents)
{
    json_t *actions = json_array();
    size_t i, k;
    json_t *incident, *command;
    json_array_foreach(incidents, i, incident)
    {
        const json_t *commands = json_object_get(incident, "commands");
        json_array_foreach(commands, k, command)
        {
            bool is_newest = k + 1 == json_array_size(commands);
            json_array_append_new(
                actions,
                json_pack("{s:O, s:O, s:O, s:O*}", "node", json_object_get(incident, "node"), "remedy",
                          json_object_get(command, "remedy"), "outcome", json_object_get(command, "outcome"),
                          "verdict", is_newest ? json_object_get(incident, "verdict") : json_null()));
        }
    }
    return actions;
}

static json_t *member_or_null(const json_t *object, const char *name)
{
    json_t *value = json_object_get(object, name);
    return value ? json_incref(value) : json_null();
}

static void print_result(const struct demo_options *options, const char *database, struct found *found)
{
    char shown[4096], store[4200];
    store_show(database, shown, sizeof shown);
    snprintf(store, sizeof store, "%s%s", options->store ? "" : "sqlite:", shown);
    const json_t *hero = found->hero;
    json_t *result = json_pack(
        "{s:b, s:o, s:s, s:s, s:o, s:o, s:o, s:o, s:s, s:O}", "healed", (int)found->healed, "incident_id",
        member_or_null(hero, "id"), "node", options->node, "fault", fault_kind_name(options->kind),
        "detected_after_s", member_or_null(hero, "detected_after_s"), "fixed_after_s",
        member_or_null(hero, "fixed_after_s"), "proved_after_s", member_or_null(hero, "proved_after_s"),
        "actions", actions_json(found->incidents), "store", store, "incidents", found->incidents);
    CHECK(result);
    print_json(result);
    json_decref(result);
}

static int explain(const struct demo_options *options, const char *database, const struct found *found,
                   const char *trouble)
{
    const char *and = *trouble ? "; " : "";
    if (!found->hero)
        return fail(EXIT_NOT_SO, "not healed: the database has no incident of %s%s%s", options->node, and,
                    trouble);
    char shown[4096];
    store_show(database, shown, sizeof shown);
    const char *verdict = member_text(found->hero, "verdict"), *block = member_text(found->hero, "block");
    long long id = member_whole(found->hero, "id");
    return fail(EXIT_NOT_SO,
                "not healed: no remedy was proved effective; incident %lld of %s is %s, its verdict "
                "%s%s%s%s%s; '%s incident "
                "%lld %s %s' has the whole timeline",
                id, options->node, member_text(found->hero, "state"), *verdict ? verdict : "none",
                *block ? ", held back by " : "", block, and, trouble, program_name(), id,
                options->store ? "--store" : "--db", shown);
}

static void print_next(const struct demo_options *options, const char *database, const struct found *found,
                       FILE *out)
{
    const char *me = program_name();
    bool storage = options->kind == FAULT_STORAGE_LATENCY;
    char shown[4096], lines[3][4300];
    store_show(database, shown, sizeof shown);
    snprintf(lines[0], sizeof lines[0], "%s demo --fault %s", me,
             storage ? "service_hang" : "storage_latency");
    snprintf(lines[1], sizeof lines[1], "%s up", me);
    snprintf(lines[2], sizeof lines[2], "%s incident %lld %s %s", me, member_whole(found->hero, "id"),
             options->store ? "--store" : "--db", shown);
    const char *const why[] = {
        storage ? "a service that is alive and silent" : "a fault that a restart does not cure",
        "a live lab, and faults of your choosing", "the whole timeline with its evidence"};
    size_t width = 0;
    for (int i = 0; i < 3; i++)
        width = strlen(lines[i]) > width ? strlen(lines[i]) : width;
    for (int i = 0; i < 3; i++)
        fprintf(out, "  %-6s %-*s   %s\n", i ? "" : "Next", (int)width, lines[i], why[i]);
    fprintf(out, "\n");
}

int demo_read_back(const struct demo_options *options, const char *database, const char *trouble, FILE *out)
{
    struct found found = {.healed = false};
    int code = read_incidents(options, database, &found);
    if (code == EXIT_DONE) {
        fprintf(out, "\n  Read back from the database:\n\n");
        if (json_array_size(found.incidents) > 0)
            incident_table(found.incidents, out, 4);
        else
            fprintf(out, "    no incidents\n");
        fprintf(out, "\n");
        if (found.healed)
            print_next(options, database, &found, out);
        fflush(out);
        if (options->json)
            print_result(options, database, &found);
        if (!found.healed)
            code = explain(options, database, &found, trouble);
    }
    json_decref(found.incidents);
    return code;
}
