#include "plane/api.h"

#include "base/text.h"

#include <string.h>

static bool read_filter(struct plane *plane, struct request *request, struct incident_filter *filter)
{
    uint64_t limit;
    const char *node = request_query(request, "node"), *state = request_query(request, "state");
    *filter = (struct incident_filter){.node = -1, .state = -1};
    if (!api_query_number(request, "limit", 1, 1000, 50, &limit))
        return false;
    filter->limit = (unsigned)limit;
    if (node && *node) {
        const struct node *found = api_node(plane, request, node);
        if (!found)
            return false;
        filter->node = found->number;
    }
    if (state && *state) {
        filter->state = incident_state_of(state);
        if (filter->state < 0) {
            server_problem(request, 400, NULL,
                           "state: one of open, planned, acting, verifying, resolved, escalated");
            return false;
        }
    }
    return true;
}

void api_list_incidents(struct plane *plane, struct request *request, const char *name)
{
    (void)name;
    struct incident_filter filter;
    const struct book *book = read_filter(plane, request, &filter) ? api_book(plane, request) : NULL;
    if (!book)
        return;
    json_t *answer = shape_incidents(plane->reader, book, &filter);
    if (answer)
        api_answer(request, 200, answer);
    else
        api_unreadable(plane, request);
}

static bool copy_incident(void *context, const struct incident *incident)
{
    *(struct incident *)context = *incident;
    return true;
}

static void answer_shape(struct plane *plane, struct request *request, const struct book *book,
                         const struct incident *incident)
{
    json_t *shape = shape_incident(plane->reader, book, incident, true);
    enum remedy remedy = core_approvable(plane->core, incident->id);
    json_object_set_new(shape, "approvable",
                        remedy == REMEDY_NONE ? json_null() : json_string(remedy_name(remedy)));
    api_answer(request, 200, shape);
}

static void answer_incident(struct plane *plane, struct request *request, uint64_t id)
{
    struct incident incident;
    struct incident_filter filter = {.id = id, .node = -1, .state = -1, .limit = 1};
    int rows = store_incidents(plane->reader, &filter, copy_incident, &incident);
    const struct book *book = rows == 1 ? api_book(plane, request) : NULL;
    if (rows < 0)
        api_unreadable(plane, request);
    else if (rows == 0)
        server_problem(request, 404, NULL, "there is no incident %llu", (unsigned long long)id);
    else if (book)
        answer_shape(plane, request, book, &incident);
}

void api_show_incident(struct plane *plane, struct request *request, const char *name)
{
    uint64_t id = api_id(request, name, "incident");
    if (id)
        answer_incident(plane, request, id);
}

/* --- words of people and planners ---------------------------------------------------------------------- */

static void word_is_kept(struct plane *plane, const struct waiter *waiter, enum wait_end end)
{
    if (end == WAIT_DONE)
        answer_incident(plane, waiter->request, waiter->id);
    else
        api_not_kept(plane, waiter->request);
}

struct said {
    enum remedy remedy; /* REMEDY_NONE if it is not there */
    uint32_t plan;      /* 0 likewise */
};

/* {"remedy":"...","plan":2}. False when an answer has been given. */
static bool read_said(struct request *request, enum json_need remedy_need, enum json_need plan_need,
                      struct said *said)
{
    bool may_be_empty = remedy_need == JSON_OPTIONAL && plan_need == JSON_OPTIONAL;
    json_t *document = api_body(request, may_be_empty);
    if (!document)
        return false;
    struct json_error error = {.sentence = ""};
    struct json_reader reader = json_reader_over(document, &error);
    size_t count;
    const char *const *names = remedy_names(&count);
    said->remedy = (enum remedy)json_read_word(&reader, "remedy", remedy_need, names, count, REMEDY_NONE);
    said->plan = (uint32_t)json_read_integer(&reader, "plan", plan_need, 1, UINT32_MAX, 0);
    bool good = json_read_end(&reader);
    if (!good)
        api_refuse(request, &error);
    json_decref(document);
    return good;
}

static void say(struct plane *plane, struct request *request, uint64_t id, struct event *event)
{
    plane_step(plane, event);
    if (api_rejected(plane, request))
        return;
    plane_run_deadlines(plane);
    api_promise(plane, request, word_is_kept, 0, id);
}

/* One that is closed for long is not in the core any more, but it is an incident all the same: 409 and not
 * 404. */
static bool is_known(struct plane *plane, struct request *request, uint64_t id)
{
    struct incident incident;
    struct incident_filter filter = {.id = id, .node = -1, .state = -1, .limit = 1};
    if (!id || core_incident(plane->core, id))
        return id != 0;
    if (store_incidents(plane->reader, &filter, copy_incident, &incident) == 1)
        server_problem(request, 409, NULL, "incident %llu is closed", (unsigned long long)id);
    else
        server_problem(request, 404, NULL, "there is no incident %llu", (unsigned long long)id);
    return false;
}

static void operator_says(struct plane *plane, struct request *request, const char *name,
                          enum operator_word word)
{
    uint64_t id = api_id(request, name, "incident");
    struct said said;
    enum json_need plan_need = word == OPERATOR_ACKNOWLEDGE ? JSON_OPTIONAL : JSON_REQUIRED;
    if (!is_known(plane, request, id) || !read_said(request, JSON_OPTIONAL, plan_need, &said))
        return;
    struct event event = {.kind = EVENT_OPERATOR, .node = NO_INDEX};
    event.of.operator_order = (struct operator_order){
        .incident = id, .plan = said.plan, .word = (uint8_t)word, .remedy = (uint8_t)said.remedy};
    say(plane, request, id, &event);
}

void api_approve(struct plane *plane, struct request *request, const char *name)
{
    operator_says(plane, request, name, OPERATOR_APPROVE);
}

void api_decline(struct plane *plane, struct request *request, const char *name)
{
    operator_says(plane, request, name, OPERATOR_DECLINE);
}

void api_acknowledge(struct plane *plane, struct request *request, const char *name)
{
    operator_says(plane, request, name, OPERATOR_ACKNOWLEDGE);
}

void api_propose(struct plane *plane, struct request *request, const char *name)
{
    uint64_t id = api_id(request, name, "incident");
    struct said said;
    if (!is_known(plane, request, id) || !read_said(request, JSON_REQUIRED, JSON_OPTIONAL, &said))
        return;
    struct event event = {.kind = EVENT_PROPOSAL, .node = NO_INDEX};
    event.of.proposal = (struct proposal){.incident = id, .remedy = (uint8_t)said.remedy};
    say(plane, request, id, &event);
}

void api_blocked(struct plane *plane, struct request *request, const char *name)
{
    (void)name;
    uint64_t limit;
    const struct book *book =
        api_query_number(request, "limit", 1, 1000, 100, &limit) ? api_book(plane, request) : NULL;
    if (!book)
        return;
    json_t *answer = shape_blocked_list(plane->reader, book, 0, (unsigned)limit);
    if (answer)
        api_answer(request, 200, answer);
    else
        api_unreadable(plane, request);
}
