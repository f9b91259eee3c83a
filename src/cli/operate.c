/* What a person can say to a running control plane: approve, decline, acknowledge, maintain, undo, pause,
 * resume, reset. */
#include "cli/cli.h"
#include "cli/hint.h"
#include "cli/show.h"
#include "cli/source.h"

#include "base/text.h"
#include "core/vocabulary.h"

#include <stdlib.h>
#include <string.h>

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

static int complain_about_remedy(const struct verb *verb, const char *remedy)
{
    size_t count;
    const char *const *names = remedy_names(&count);
    const char *near = text_nearest(remedy, names, count);
    return fail(EXIT_USAGE, "%s: no remedy is called '%s'%s%s%s", verb->name, remedy,
                near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

static const char *why_not_approvable(const char *state)
{
    return strcmp(state, "open") == 0        ? "there is no plan yet"
           : strcmp(state, "acting") == 0    ? "its command is under way already"
           : strcmp(state, "verifying") == 0 ? "its command is done, and is being verified"
           : strcmp(state, "resolved") == 0  ? "there is nothing left to do"
           : strcmp(state, "escalated") == 0 ? "its finding is gone, or its ladder has nothing to try"
                                             : "nothing waits for an approval";
}

/* An approval is bound to the plan that the person was shown: the one that stands now, unless he names
 * another. `wanted`: the remedy that he names, or "". */
static int present_plan(const struct verb *verb, const struct source *source, const char *operand,
                        const char *wanted, int *plan)
{
    char path[64];
    json_t *incident = NULL;
    unsigned long long id;
    if (!parse_id(operand, &id))
        return fail(EXIT_USAGE, "%s: '%s' is not the number of an incident", verb->name, operand);
    snprintf(path, sizeof path, "/v1/incidents/%llu", id);
    int code = source_call(source, "GET", path, NULL, NULL, &incident);
    const char *remedy = member_text(incident, "approvable");
    bool declines = strcmp(verb->name, "decline") == 0;
    if (code == EXIT_DONE && declines && strcmp(member_text(incident, "state"), "planned") != 0) {
        code = fail(EXIT_NOT_SO, "incident %llu is %s: it has no plan that waits for a word", id,
                    member_text(incident, "state"));
    } else if (code == EXIT_DONE && *remedy && *wanted && strcmp(remedy, wanted) != 0) {
        code = fail(EXIT_NOT_SO, "incident %llu: %s is planned, not %s", id, remedy, wanted);
    } else if (code == EXIT_DONE && !*remedy) {
        code = fail(EXIT_NOT_SO, "incident %llu is %s: %s", id, member_text(incident, "state"),
                    why_not_approvable(member_text(incident, "state")));
    } else if (code == EXIT_DONE) {
        *plan = (int)member_whole(incident, "plan");
        fprintf(stderr, "  plan %d: %s on %s, for %s\n", *plan, remedy, member_text(incident, "node"),
                member_text(incident, "finding"));
    }
    json_decref(incident);
    return code;
}

/* What was approved waits all the same. */
static void tell_if_paused(const struct source *source)
{
    char sentence[HINT_SIZE];
    json_t *health = source_health(source);
    if (member_true(health, "paused"))
        printf("  %s\n", paused_sentence(sentence));
    json_decref(health);
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
        return complain_about_remedy(verb, remedy);
    if (plan == 0 && (code = present_plan(verb, &source, argv[1], remedy ? remedy : "", &plan)) != EXIT_DONE)
        return code;
    snprintf(body, sizeof body, "{\"plan\":%d%s%s%s}", plan > 0 ? plan : 1, remedy ? ",\"remedy\":\"" : "",
             remedy ? remedy : "", remedy ? "\"" : "");
    code = say(verb, &source, argv[1], body, json);
    if (code == EXIT_DONE && !json)
        tell_if_paused(&source);
    return code;
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

static int was_maintained(const struct source *source, const char *node, bool *was)
{
    char path[160];
    json_t *answer = NULL;
    snprintf(path, sizeof path, "/v1/nodes/%s", node);
    int code = source_call(source, "GET", path, NULL, NULL, &answer);
    *was = *member_text(answer, "maintained_until") != '\0';
    json_decref(answer);
    return code;
}

/* `length_ns` 0: its end was asked for. */
static void say_maintained(const char *node, const json_t *answer, duration length_ns, bool was_alone)
{
    char clock[16], length[32];
    struct text text = text_over(length, sizeof length);
    bool alone = *member_text(answer, "maintained_until") != '\0';
    text_duration(&text, length_ns);
    if (length_ns > 0)
        printf("  %s is left alone for %s, until %s (maintenance)\n", node, length,
               member_clock(answer, "maintained_until", clock));
    else if (alone)
        printf("  %s is left alone until %s all the same: a window of the policy is on\n", node,
               member_clock(answer, "maintained_until", clock));
    else if (was_alone)
        printf("  %s is watched and healed again\n", node);
    else
        printf("  %s was not left alone; nothing has changed\n", node);
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
    bool was_alone = true;
    code = end ? was_maintained(&source, argv[1], &was_alone) : EXIT_DONE;
    if (code == EXIT_DONE && !was_alone) /* nobody need be told of an end */
        answer = json_pack("{s:s, s:n}", "node", argv[1], "maintained_until");
    else if (code == EXIT_DONE)
        code = source_call(&source, end ? "DELETE" : "PUT", path, NULL, end ? NULL : body, &answer);
    if (code == EXIT_DONE && json)
        print_json(answer);
    else if (code == EXIT_DONE)
        say_maintained(argv[1], answer, end ? 0 : length_ns, was_alone);
    json_decref(answer);
    return code;
}

int verb_undo(const struct verb *verb, int argc, char **argv)
{
    struct source source = {0};
    bool json = false;
    const struct flag flags[] = {
        {"json", 0, FLAG_YES, &json, NULL, "the API's JSON as it is"}, SOURCE_URL_FLAG(&source), {0}};
    int count;
    char path[160];
    int code = flags_read(verb, flags, argc, argv, 1, 1, &count);
    if (code >= 0)
        return code;
    if (!text_is_name(argv[1], 63))
        return fail(EXIT_USAGE, "undo: '%s' is not a name of a node", argv[1]);
    snprintf(path, sizeof path, "/v1/nodes/%s/undo", argv[1]);
    json_t *answer = NULL;
    code = source_call(&source, "POST", path, NULL, "{}", &answer);
    const json_t *standing = json_object_get(answer, "standing");
    if (code == EXIT_DONE && json) {
        print_json(answer);
    } else if (code == EXIT_DONE && json_array_size(standing) == 0) {
        printf("  no remedy is in force on %s, as far as it has told\n", argv[1]);
    } else if (code == EXIT_DONE) {
        printf("  %s takes back:", argv[1]);
        for (size_t i = 0; i < json_array_size(standing); i++)
            printf("%s %s", i ? "," : "", json_string_value(json_array_get(standing, i)));
        printf("\n");
    }
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
