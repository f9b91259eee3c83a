/* What a person can say to a running control plane: approve, acknowledge, maintain, pause, resume, reset. */
#include "cli/cli.h"
#include "cli/show.h"
#include "cli/source.h"

#include "base/text.h"
#include "core/vocabulary.h"

#include <stdlib.h>

static void print_incident(const json_t *incident)
{
    const char *state = member_text(incident, "state");
    printf("  incident %lld (%s on %s) is %s%s%s%s\n", member_whole(incident, "id"),
           member_text(incident, "finding"), member_text(incident, "node"),
           ink_on(stdout, ink_of_word(state)), state, ink_off(stdout, ink_of_word(state)),
           member_true(incident, "acknowledged") ? ", acknowledged" : "");
}

/* Says `word` about the incident in `operand`. `body` may be NULL. */
static int say(const struct verb *verb, const struct source *source, const char *operand, const char *body,
               bool json)
{
    unsigned long long id;
    char path[64];
    if (!parse_id(operand, &id))
        return fail(EXIT_USAGE, "%s: '%s' is not the number of an incident", verb->name, operand);
    snprintf(path, sizeof path, "/v1/incidents/%llu/%s", id, verb->name);
    json_t *answer = NULL;
    int code = source_call(source, "POST", path, NULL, body, &answer);
    if (code == EXIT_DONE && json)
        print_json(answer);
    else if (code == EXIT_DONE)
        print_incident(answer);
    json_decref(answer);
    return code;
}

static int complain_about_remedy(const char *remedy)
{
    size_t count;
    const char *const *names = remedy_names(&count);
    const char *near = text_nearest(remedy, names, count);
    return fail(EXIT_USAGE, "approve: no remedy is called '%s'%s%s%s", remedy, near ? "; did you mean '" : "",
                near ? near : "", near ? "'?" : "");
}

/* An approval is bound to the plan that the person was shown: the one that stands now, unless he names
 * another. */
static int present_plan(const struct source *source, const char *operand, int *plan)
{
    char path[64];
    json_t *incident = NULL;
    unsigned long long id;
    if (!parse_id(operand, &id))
        return fail(EXIT_USAGE, "approve: '%s' is not the number of an incident", operand);
    snprintf(path, sizeof path, "/v1/incidents/%llu", id);
    int code = source_call(source, "GET", path, NULL, NULL, &incident);
    const char *remedy = member_text(incident, "approvable");
    if (code == EXIT_DONE && !*remedy) {
        code = fail(EXIT_NOT_SO, "incident %llu is %s: nothing waits for an approval", id,
                    member_text(incident, "state"));
    } else if (code == EXIT_DONE) {
        *plan = (int)member_whole(incident, "plan");
        fprintf(stderr, "  plan %d: %s on %s, for %s\n", *plan, remedy, member_text(incident, "node"),
                member_text(incident, "finding"));
    }
    json_decref(incident);
    return code;
}

int verb_approve(const struct verb *verb, int argc, char **argv)
{
    struct source source = {0};
    const char *remedy = NULL;
    int plan = 0;
    bool json = false;
    const struct flag flags[] = {
        {"plan", 0, FLAG_WHOLE, &plan, "N", "only if it is still the plan of that number"},
        {"remedy", 0, FLAG_TEXT, &remedy, "NAME", "only if it is still planned"},
        {"json", 0, FLAG_YES, &json, NULL, "the incident as the API gives it"},
        SOURCE_URL_FLAG(&source),
        {0}};
    int count;
    char body[128] = "{}";
    int code = flags_read(verb, flags, argc, argv, 1, 1, &count);
    if (code >= 0)
        return code;
    if (remedy && remedy_of(remedy) < 0)
        return complain_about_remedy(remedy);
    if (plan == 0 && (code = present_plan(&source, argv[1], &plan)) != EXIT_DONE)
        return code;
    snprintf(body, sizeof body, "{\"plan\":%d%s%s%s}", plan > 0 ? plan : 1, remedy ? ",\"remedy\":\"" : "",
             remedy ? remedy : "", remedy ? "\"" : "");
    return say(verb, &source, argv[1], body, json);
}

int verb_acknowledge(const struct verb *verb, int argc, char **argv)
{
    struct source source = {0};
    bool json = false;
    const struct flag flags[] = {{"json", 0, FLAG_YES, &json, NULL, "the incident as the API gives it"},
                                 SOURCE_URL_FLAG(&source),
                                 {0}};
    int count;
    int code = flags_read(verb, flags, argc, argv, 1, 1, &count);
    return code >= 0 ? code : say(verb, &source, argv[1], "{}", json);
}

int verb_maintain(const struct verb *verb, int argc, char **argv)
{
    struct source source = {0};
    duration length_ns = 0;
    bool end = false, json = false;
    const struct flag flags[] = {
        {"for", 0, FLAG_DURATION, &length_ns, "TIME", "leave it alone for so long: 30m, 2h"},
        {"end", 0, FLAG_YES, &end, NULL, "the work is done: watch and heal it again"},
        {"json", 0, FLAG_YES, &json, NULL, "the API's JSON as it is"},
        SOURCE_URL_FLAG(&source),
        {0}};
    int count;
    char path[160], body[64];
    int code = flags_read(verb, flags, argc, argv, 1, 1, &count);
    if (code >= 0)
        return code;
    if (end == (length_ns > 0))
        return fail(EXIT_USAGE, "maintain: say --for TIME to begin, or --end to end it");
    if (!text_is_name(argv[1], 63))
        return fail(EXIT_USAGE, "maintain: '%s' is not a name of a node", argv[1]);
    snprintf(path, sizeof path, "/v1/nodes/%s/maintenance", argv[1]);
    snprintf(body, sizeof body, "{\"for_s\":%.3f}", duration_seconds(length_ns));
    json_t *answer = NULL;
    code = source_call(&source, end ? "DELETE" : "PUT", path, NULL, end ? NULL : body, &answer);
    if (code == EXIT_DONE && json)
        print_json(answer);
    else if (code == EXIT_DONE && json_is_null(json_object_get(answer, "maintained_until")))
        printf("  %s is watched and healed again\n", argv[1]);
    else if (code == EXIT_DONE)
        printf("  %s is left alone until %s\n", argv[1], member_text(answer, "maintained_until"));
    json_decref(answer);
    return code;
}

int verb_control(const struct verb *verb, int argc, char **argv)
{
    struct source source = {0};
    bool json = false;
    const struct flag flags[] = {
        {"json", 0, FLAG_YES, &json, NULL, "the API's JSON as it is"}, SOURCE_URL_FLAG(&source), {0}};
    int count;
    int code = flags_read(verb, flags, argc, argv, 0, 0, &count);
    if (code >= 0)
        return code;
    char path[32];
    json_t *answer = NULL;
    snprintf(path, sizeof path, "/v1/%s", verb->name);
    code = source_call(&source, "POST", path, NULL, "{}", &answer);
    if (code == EXIT_DONE && json)
        print_json(answer);
    else if (code == EXIT_DONE)
        printf("  automation is %s, the breaker is %s\n", member_true(answer, "paused") ? "paused" : "on",
               member_true(answer, "breaker_open") ? "open: a person must reset it" : "closed");
    json_decref(answer);
    return code;
}
