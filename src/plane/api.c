#include "plane/api.h"

#include "base/check.h"
#include "base/text.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const struct route {
    const char *method;
    const char *path; /* "*" is one segment of any name */
    enum right right; /* what a token is needed for, when there are tokens */
    bool starting;    /* answered also while the plane cannot act yet */
    api_handler *handler;
} routes[] = {
    {"POST", "/v1/nodes/*/reports", RIGHT_OWN_NODE, false, api_node_reports},
    {"POST", "/v1/reports", RIGHT_ALL_NODES, false, api_fleet_reports},
    {"GET", "/v1/nodes/*/commands", RIGHT_OWN_NODE, false, api_node_commands},
    {"POST", "/v1/commands/*/outcome", RIGHT_SOME_NODE, false, api_command_outcome},
    {"PUT", "/v1/nodes/*", RIGHT_OWN_NODE, false, api_put_node},
    {"DELETE", "/v1/nodes/*", RIGHT_OWN_NODE, false, api_delete_node},
    {"PUT", "/v1/nodes/*/maintenance", RIGHT_OPERATOR, false, api_maintain_node},
    {"DELETE", "/v1/nodes/*/maintenance", RIGHT_OPERATOR, false, api_end_maintenance},
    {"GET", "/v1/nodes", RIGHT_OPERATOR, true, api_list_nodes},
    {"GET", "/v1/nodes/*", RIGHT_OPERATOR, true, api_show_node},
    {"GET", "/v1/nodes/*/metrics", RIGHT_OPERATOR, true, api_node_metrics},
    {"POST", "/v1/nodes/*/undo", RIGHT_OPERATOR, false, api_undo},
    {"GET", "/v1/incidents", RIGHT_OPERATOR, true, api_list_incidents},
    {"GET", "/v1/incidents/*", RIGHT_OPERATOR, true, api_show_incident},
    {"POST", "/v1/incidents/*/approve", RIGHT_OPERATOR, false, api_approve},
    {"POST", "/v1/incidents/*/decline", RIGHT_OPERATOR, false, api_decline},
    {"POST", "/v1/incidents/*/acknowledge", RIGHT_OPERATOR, false, api_acknowledge},
    {"POST", "/v1/incidents/*/proposal", RIGHT_OPERATOR, false, api_propose},
    {"GET", "/v1/blocked", RIGHT_OPERATOR, true, api_blocked},
    {"POST", "/v1/faults", RIGHT_OPERATOR, false, api_ask_fault},
    {"GET", "/v1/faults", RIGHT_OPERATOR, true, api_list_faults},
    {"DELETE", "/v1/faults", RIGHT_OPERATOR, false, api_clear_faults},
    {"DELETE", "/v1/faults/*", RIGHT_OPERATOR, false, api_clear_fault},
    {"GET", "/v1/scenarios", RIGHT_OPERATOR, true, api_list_scenarios},
    {"POST", "/v1/scenarios", RIGHT_OPERATOR, false, api_start_scenario},
    {"DELETE", "/v1/scenarios", RIGHT_OPERATOR, false, api_stop_scenario},
    {"GET", "/v1/policy", RIGHT_OPERATOR, false, api_show_policy},
    {"PUT", "/v1/policy", RIGHT_OPERATOR, false, api_put_policy},
    {"POST", "/v1/pause", RIGHT_OPERATOR, false, api_pause},
    {"POST", "/v1/resume", RIGHT_OPERATOR, false, api_resume},
    {"POST", "/v1/reset", RIGHT_OPERATOR, false, api_reset},
    {"GET", "/v1/events", RIGHT_OPERATOR, true, api_events},
    {"GET", "/", RIGHT_OPEN, true, api_page},
    {"GET", "/web/*", RIGHT_OPEN, true, api_page},
    {"GET", "/metrics", RIGHT_OPERATOR, true, api_metrics},
    {"GET", "/healthz", RIGHT_OPEN, true, api_health},
    {"GET", "/readyz", RIGHT_OPEN, true, api_ready},
    {"GET", "/openapi.json", RIGHT_OPERATOR, true, api_openapi},
};

/* The segment under '*' goes to `name`. A longer one than any of ours matches nothing. */
static bool path_matches(const char *pattern, const char *path, char name[API_NAME_SIZE])
{
    name[0] = '\0';
    while (*pattern && *path) {
        if (*pattern != '*') {
            if (*pattern++ != *path++)
                return false;
            continue;
        }
        size_t length = strcspn(path, "/");
        if (length == 0 || length >= API_NAME_SIZE)
            return false;
        memcpy(name, path, length);
        name[length] = '\0';
        path += length;
        pattern++;
    }
    return *pattern == *path;
}

static void answer_no_route(struct request *request)
{
    char allowed[64], name[API_NAME_SIZE];
    struct text text = text_over(allowed, sizeof(allowed));
    for (size_t i = 0; i < COUNT_OF(routes); i++)
        if (path_matches(routes[i].path, request_path(request), name))
            text_addf(&text, "%s%s%s", text.length ? ", " : "", routes[i].method,
                      strcmp(routes[i].method, "GET") == 0 ? ", HEAD" : "");
    if (text.length == 0) {
        server_problem(request, 404, NULL,
                       "there is nothing at this path; /openapi.json lists what there is");
        return;
    }
    server_answer_header(request, "Allow", allowed);
    server_problem(request, 405, NULL, "this path takes %s", allowed);
}

/* False when 401 or 403 has been answered. */
static bool is_granted(struct plane *plane, struct request *request, enum right right, const char *name)
{
    if (!plane->access)
        return true;
    const char *authorization = request_header(request, "Authorization");
    switch (access_judge(plane->access, authorization, right, name)) {
    case ACCESS_GRANTED:
        return true;
    case ACCESS_NAMELESS:
        plane->counts.nameless++;
        server_answer_header(request, "WWW-Authenticate", "Bearer realm=\"homeostat\"");
        server_problem(request, 401, NULL,
                       authorization ? "this token is not known here"
                                     : "a token is needed: Authorization: Bearer TOKEN");
        return false;
    case ACCESS_FORBIDDEN:
        break;
    }
    plane->counts.forbidden++;
    server_problem(request, 403, NULL,
                   right == RIGHT_OPERATOR    ? "this takes an operator's token"
                   : right == RIGHT_ALL_NODES ? "this takes a token that is bound to no node"
                                              : "this token is for another node");
    return false;
}

bool api_speaks_for(struct plane *plane, struct request *request, const char *node)
{
    return is_granted(plane, request, RIGHT_OWN_NODE, node);
}

/* No GET of ours takes a body: it would lie about while the answer waits. */
static bool has_stray_body(struct request *request)
{
    size_t length;
    request_body(request, &length);
    if (length > 0)
        server_problem(request, 400, NULL, "a GET takes no body here");
    return length > 0;
}

void api_handle(void *context, struct request *request)
{
    struct plane *plane = context;
    char name[API_NAME_SIZE];
    const char *method = request_method(request);
    if (strcmp(method, "HEAD") == 0) /* the server leaves the body out (RFC 9110, section 9.3.2) */
        method = "GET";
    plane_turn(plane);
    for (size_t i = 0; i < COUNT_OF(routes); i++) {
        const struct route *route = &routes[i];
        if (strcmp(route->method, method) != 0 || !path_matches(route->path, request_path(request), name))
            continue;
        if (is_granted(plane, request, route->right, name) &&
            (strcmp(method, "GET") != 0 || !has_stray_body(request)) &&
            (route->starting || api_can_act(plane, request)))
            route->handler(plane, request, name);
        return;
    }
    answer_no_route(request);
}

/* --- helpers ------------------------------------------------------------------------------------------- */

void api_answer(struct request *request, int status, json_t *value)
{
    size_t length;
    char *text = json_text_of(value, &length);
    if (!text) {
        server_problem(request, 500, NULL, "out of memory");
        return;
    }
    server_answer(request, status, NULL, text, length);
    free(text);
}

/* "/samples/cpu_utilisation" -> "samples.cpu_utilisation: no such metric; ..." */
void api_refuse(struct request *request, const struct json_error *error)
{
    char place[sizeof(error->pointer)];
    text_copy(place, sizeof(place), error->pointer[0] == '/' ? error->pointer + 1 : error->pointer);
    for (char *c = place; *c; c++)
        if (*c == '/')
            *c = '.';
    server_problem(request, 400, error->pointer[0] ? error->pointer : NULL, "%s%s%s", place,
                   place[0] ? ": " : "", error->sentence);
}

static bool is_json(const char *type)
{
    static const char json[] = "application/json";
    return type && strncasecmp(type, json, sizeof(json) - 1) == 0 &&
           (type[sizeof(json) - 1] == '\0' || strchr("; \t", type[sizeof(json) - 1]));
}

bool api_is_json(struct request *request)
{
    bool good = is_json(request_header(request, "Content-Type"));
    if (!good)
        server_problem(request, 415, NULL,
                       "the body must be JSON and say so; with curl: -H 'Content-Type: application/json'");
    return good;
}

json_t *api_body(struct request *request, bool may_be_empty)
{
    size_t length;
    const char *body = request_body(request, &length);
    if (length == 0 && may_be_empty)
        return json_object();
    if (!api_is_json(request))
        return NULL;
    struct json_error error;
    json_t *document = json_parse(body, length, &error);
    if (!document)
        api_refuse(request, &error);
    return document;
}

struct node *api_node(struct plane *plane, struct request *request, const char *name)
{
    struct node *node = roster_find(&plane->roster, name);
    if (node && node->name[0] != '#')
        return node;
    const char *nearest = roster_nearest(&plane->roster, name);
    server_problem(request, 404, NULL, "no node is called %s%s%s%s", name, nearest ? "; did you mean " : "",
                   nearest ? nearest : "", nearest ? "?" : "");
    return NULL;
}

bool api_name_is_legal(struct request *request, const char *name)
{
    if (text_is_name(name, NODE_NAME_SIZE - 1))
        return true;
    server_problem(request, 400, NULL,
                   "a node's name has 1 to 63 of a-z A-Z 0-9 - _ . and begins with a letter or digit");
    return false;
}

void api_full(struct request *request)
{
    server_problem(request, 507, NULL, "%d nodes are enrolled, which is all there is room for",
                   PLANE_NODE_CAPACITY);
}

static bool parse_number(const char *text, uint64_t *out)
{
    uint64_t number = 0;
    if (!*text || strlen(text) > 19)
        return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return false;
        number = number * 10 + (uint64_t)(*text - '0');
    }
    *out = number;
    return number <= INT64_MAX;
}

uint64_t api_id(struct request *request, const char *name, const char *what)
{
    uint64_t id = 0;
    if (!parse_number(name, &id) || id == 0) {
        server_problem(request, 404, NULL, "there is no %s %s", what, name);
        return 0;
    }
    return id;
}

bool api_query_number(struct request *request, const char *name, uint64_t least, uint64_t most,
                      uint64_t otherwise, uint64_t *out)
{
    const char *text = request_query(request, name);
    *out = otherwise;
    if (!text || !*text)
        return true;
    if (parse_number(text, out) && *out >= least && *out <= most)
        return true;
    server_problem(request, 400, NULL, "%s: a whole number from %llu to %llu", name,
                   (unsigned long long)least, (unsigned long long)most);
    return false;
}

bool api_can_act(struct plane *plane, struct request *request)
{
    if (plane_can_act(plane))
        return true;
    server_answer_header(request, "Retry-After", "1");
    if (plane->condition == CONDITION_READY)
        server_problem(request, 503, NULL, "the disk is behind; ask again in a second");
    else if (plane->condition == CONDITION_STARTING && !plane->trouble[0])
        server_problem(request, 503, NULL, "the control plane is starting; ask again in a second");
    else
        server_problem(request, 503, NULL, "the store fails: %s", plane->trouble);
    return false;
}

void api_promise(struct plane *plane, struct request *request, waiter_end *end, uint32_t node, uint64_t id)
{
    plane_rows_put(plane, true);
    wait_add(plane, &(struct waiter){.request = request,
                                     .end = end,
                                     .ticket = plane->commits.batch,
                                     .by = plane->now + PROMISE_WAIT_MS * MILLISECOND,
                                     .node = node,
                                     .id = id});
}

void api_not_kept(struct plane *plane, struct request *request)
{
    server_answer_header(request, "Retry-After", "1");
    server_problem(request, 503, NULL, "it could not be made durable in time%s%s; ask again",
                   plane->trouble[0] ? ": " : "", plane->trouble);
}

void api_unreadable(struct plane *plane, struct request *request)
{
    server_problem(request, 503, NULL, "the database cannot be read: %s", store_problem(plane->reader));
}

const struct book *api_book(struct plane *plane, struct request *request)
{
    uint64_t durable = plane->commits.durable;
    if (plane->book && plane->book_durable < plane->book_ticket && durable > plane->book_durable)
        book_close(&plane->book);
    if (!plane->book) {
        plane->book = book_open(plane->reader);
        plane->book_durable = durable;
    }
    if (!plane->book)
        api_unreadable(plane, request);
    return plane->book;
}

bool api_rejected(struct plane *plane, struct request *request)
{
    enum reject reject = plane_reject(plane);
    if (reject == REJECT_NONE)
        return false;
    bool unknown = reject == REJECT_UNKNOWN_INCIDENT || reject == REJECT_UNKNOWN_NODE;
    int status = unknown ? 404 : reject == REJECT_BAD_VALUE ? 400 : 409;
    server_problem(request, status, NULL, "%s", reject_sentence(reject));
    return true;
}
