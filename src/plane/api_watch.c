#include "plane/api.h"

#include "base/text.h"
#include "plane/openapi.h"

#include <stdlib.h>
#include <string.h>

/* `text` as an event id; false if it is none. */
static bool parse_id(const char *text, uint64_t *id)
{
    char *end;
    if (!text || *text < '0' || *text > '9' || strlen(text) > 19)
        return false;
    *id = strtoull(text, &end, 10);
    return *end == '\0';
}

void api_events(struct plane *plane, struct request *request, const char *name)
{
    (void)name;
    uint64_t after = UINT64_MAX;
    const char *query = request_query(request, "after"), *header = request_header(request, "Last-Event-ID");
    if (query && !parse_id(query, &after)) {
        server_problem(request, 400, NULL, "after: the id of an event");
        return;
    }
    /* A browser that comes back says where it was; whatever else stands in that header means: from now on. */
    if (header && !parse_id(header, &after))
        after = UINT64_MAX;
    events_watch(&plane->events, request, after);
}

static const char *condition_word(const struct plane *plane)
{
    return plane->condition == CONDITION_READY      ? "ok"
           : plane->condition == CONDITION_STARTING ? "starting"
                                                    : "degraded";
}

static void set(json_t *object, const char *key, json_t *value)
{
    json_object_set_new(object, key, value);
}

static uint32_t known_nodes(const struct plane *plane)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < plane->roster.count; i++)
        count += plane->roster.nodes[i]->name[0] != '#' && !plane->roster.nodes[i]->gone;
    return count;
}

void api_health(struct plane *plane, struct request *request, const char *name)
{
    (void)name;
    const struct core *core = plane->core;
    bool ready = plane->condition == CONDITION_READY;
    json_t *answer = json_object();
    set(answer, "status", json_string(condition_word(plane)));
    set(answer, "nodes", json_integer(known_nodes(plane)));
    set(answer, "fleet", json_integer(core_fleet(core)));
    set(answer, "unhealthy", json_integer(core_unhealthy(core)));
    set(answer, "disrupted", json_integer(core_disrupted(core)));
    set(answer, "budget", json_integer(core_budget(core)));
    set(answer, "paused", json_boolean(core_control(core)->paused));
    set(answer, "breaker_open", json_boolean(core_control(core)->breaker_open));
    set(answer, "epoch", json_integer((json_int_t)core_control(core)->epoch));
    set(answer, "database", ready ? json_string("ok") : json_of_text(plane->trouble));
    set(answer, "version", json_string(HOMEOSTAT_VERSION));
    api_answer(request, ready ? 200 : 503, answer);
}

void api_ready(struct plane *plane, struct request *request, const char *name)
{
    (void)name;
    bool ready = plane->condition == CONDITION_READY;
    json_t *answer = json_object();
    set(answer, "status", json_string(condition_word(plane)));
    api_answer(request, ready ? 200 : 503, answer);
}

void api_metrics(struct plane *plane, struct request *request, const char *name)
{
    (void)name;
    size_t length;
    char *text = metrics_text(plane, &length);
    server_answer(request, 200, "text/plain; version=0.0.4; charset=utf-8", text, length);
    free(text);
}

void api_openapi(struct plane *plane, struct request *request, const char *name)
{
    (void)plane;
    (void)name;
    server_answer(request, 200, NULL, openapi_text, openapi_length);
}
