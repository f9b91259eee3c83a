/* Scenarios, played on the fleet that is here. */
#include "base/text.h"
#include "plane/api.h"

#include <string.h>

static json_t *shape_line(const struct play_line *line)
{
    char target[2 * NODE_PATTERN_SIZE];
    const struct world_fault *fault = &line->fault.fault;
    return json_pack("{s:f,s:s,s:s,s:f,s:b,s:o}", "at_s", duration_seconds(fault->from_at), "kind",
                     fault_kind_name((enum fault_kind)fault->kind), "on",
                     play_target_text(&line->fault.on, target), "intensity", fault->intensity, "done",
                     line->struck > 0 || line->trouble[0], "trouble",
                     line->trouble[0] ? json_of_text(line->trouble) : json_null());
}

/* The one that is being played, or was last; null if there was none since the start. */
static json_t *shape_play(const struct plane *plane)
{
    const struct play *play = plane->play;
    if (!play)
        return json_null();
    bool on = play_is_on(plane);
    json_t *faults = json_array();
    for (uint32_t i = 0; i < play->line_count; i++)
        json_array_append_new(faults, shape_line(&play->lines[i]));
    return json_pack("{s:s,s:o,s:o,s:f,s:f,s:b,s:o}", "name", play->name, "title", json_of_text(play->title),
                     "started_at", json_of_instant(play->began_at), "length_s",
                     duration_seconds(play->length_ns), "at_s",
                     duration_seconds((on ? plane->now : play->ended_at) - play->began_at), "ended", !on,
                     "faults", faults);
}

static json_t *shape_item(const struct plane *plane, const struct listed *item)
{
    char why[PLAY_WHY_SIZE];
    bool unfit = play_is_unfit(plane, item, why);
    return json_pack("{s:o,s:o,s:o,s:f,s:i,s:b,s:o}", "name", json_of_text(item->name), "title",
                     json_of_text(item->title), "text", json_of_text(item->teaches), "length_s",
                     duration_seconds(item->length_ns), "faults", (int)item->fault_count, "playable", !unfit,
                     "why_not", unfit ? json_of_text(why) : json_null());
}

void api_list_scenarios(struct plane *plane, struct request *request, const char *name)
{
    (void)name;
    json_t *list = json_array();
    repertoire_look(&plane->repertoire);
    for (uint32_t i = 0; i < plane->repertoire.count; i++)
        json_array_append_new(list, shape_item(plane, &plane->repertoire.items[i]));
    api_answer(request, 200, json_pack("{s:o,s:o}", "running", shape_play(plane), "scenarios", list));
}

static void play_is_kept(struct plane *plane, const struct waiter *waiter, enum wait_end end)
{
    if (end == WAIT_DONE)
        api_answer(waiter->request, (int)waiter->id, shape_play(plane));
    else
        api_not_kept(plane, waiter->request);
}

static void refuse_name(struct plane *plane, struct request *request, const char *name)
{
    const char *names[REPERTOIRE_MAX];
    for (uint32_t i = 0; i < plane->repertoire.count; i++)
        names[i] = plane->repertoire.items[i].name;
    const char *nearest = text_nearest(name, names, plane->repertoire.count);
    server_problem(request, 404, "/name", "no scenario here is called %s%s%s%s", name,
                   nearest ? "; did you mean " : "", nearest ? nearest : "", nearest ? "?" : "");
}

static void start(struct plane *plane, struct request *request, const char *name)
{
    char why[PLAY_WHY_SIZE];
    repertoire_look(&plane->repertoire);
    const struct listed *item = repertoire_find(&plane->repertoire, name);
    if (!item) {
        refuse_name(plane, request, name);
    } else if (play_is_on(plane)) {
        server_problem(request, 409, NULL, "%s is being played; stop it first", plane->play->name);
    } else if (play_is_unfit(plane, item, why)) {
        server_problem(request, 422, "/name", "%s: %s", name, why);
    } else {
        play_begin(plane, item);
        api_promise(plane, request, play_is_kept, 0, 201);
    }
}

void api_start_scenario(struct plane *plane, struct request *request, const char *name)
{
    (void)name;
    json_t *document = api_body(request, false);
    if (!document)
        return;
    struct json_error error = {.sentence = ""};
    struct json_reader reader = json_reader_over(document, &error);
    const char *wanted = json_read_string(&reader, "name", JSON_REQUIRED, PLAY_NAME_SIZE - 1);
    if (json_read_end(&reader))
        start(plane, request, wanted);
    else
        api_refuse(request, &error);
    json_decref(document);
}

void api_stop_scenario(struct plane *plane, struct request *request, const char *name)
{
    (void)name;
    if (!play_is_on(plane)) {
        server_problem(request, 409, NULL, "no scenario is being played");
        return;
    }
    play_stop(plane);
    api_promise(plane, request, play_is_kept, 0, 200);
}
