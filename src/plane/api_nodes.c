#include "plane/api.h"

#include "base/check.h"
#include "base/text.h"
#include "plane/series.h"
#include "store/history.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- hello and goodbye --------------------------------------------------------------------------------- */

void api_introduce(struct plane *plane, struct node *node)
{
    struct event event = {.kind = EVENT_HELLO, .node = node->number};
    roster_hello(node, &event.of.hello);
    plane_step(plane, &event);
    node->told = true;
    node->gone = false;
    node->changed = true;
    record_health(plane, node);
}

/* A fresh database is behind by as many starts as there ever were; who claims more is not believed, nor are
 * many who claim a little each, or hellos could drive the epoch to where the ids of commands (epoch times
 * 2^32) are no longer exact in JSON. */
enum { EPOCH_JUMP_MAX = 1000 };

struct greeting {
    uint64_t boot;
    uint64_t epoch_seen;
    duration interval_ns;
    int64_t pid;
    double clock_s; /* since 1970; NaN: it does not say */
    char role[STORE_WORD_MAX], zone[STORE_WORD_MAX], address[STORE_WORD_MAX];
    const char *calls[CALLS_MAX];
    size_t calls_count;
    bool has_role, has_zone, has_address, has_calls, has_interval, has_pid, synthetic, program;
};

static bool read_greeting(json_t *document, struct greeting *greeting, struct json_error *error)
{
    struct json_reader reader = json_reader_over(document, error);
    greeting->boot = json_read_boot(&reader, "boot", JSON_OPTIONAL);
    greeting->epoch_seen = (uint64_t)json_read_integer(&reader, "epoch_seen", JSON_OPTIONAL, 0, INT64_MAX, 0);
    greeting->has_role = json_read_text(&reader, "role", JSON_OPTIONAL, greeting->role, STORE_WORD_MAX);
    greeting->has_zone = json_read_text(&reader, "zone", JSON_OPTIONAL, greeting->zone, STORE_WORD_MAX);
    greeting->has_address =
        json_read_text(&reader, "address", JSON_OPTIONAL, greeting->address, STORE_WORD_MAX);
    text_tame(greeting->role);
    text_tame(greeting->zone);
    text_tame(greeting->address);
    greeting->has_interval = json_is_present(&reader, "interval_s");
    greeting->interval_ns =
        json_read_seconds(&reader, "interval_s", JSON_OPTIONAL, 10 * MILLISECOND, HOUR, 0);
    greeting->has_pid = json_is_present(&reader, "pid");
    greeting->pid = json_read_integer(&reader, "pid", JSON_OPTIONAL, 0, INT32_MAX, 0);
    greeting->clock_s = json_read_number(&reader, "clock_s", JSON_OPTIONAL, -1e11, 1e11, NAN);
    greeting->synthetic = json_read_flag(&reader, "synthetic", JSON_OPTIONAL, false);
    greeting->program = json_read_flag(&reader, "program", JSON_OPTIONAL, false);
    greeting->has_calls = json_is_present(&reader, "calls");
    greeting->calls_count = json_read_array(&reader, "calls", JSON_OPTIONAL, CALLS_MAX);
    for (size_t i = 0; i < greeting->calls_count; i++) {
        greeting->calls[i] = json_read_element_string(&reader, "calls", i, NODE_NAME_SIZE - 1);
        if (greeting->calls[i] && !text_is_name(greeting->calls[i], NODE_NAME_SIZE - 1))
            json_refuse(&reader, "calls", "%s is not a name of a node", greeting->calls[i]);
    }
    return json_read_end(&reader);
}

static bool enrol_callees(struct plane *plane, struct node *node, const struct greeting *greeting)
{
    uint32_t calls[CALLS_MAX];
    for (size_t i = 0; i < greeting->calls_count; i++) {
        struct node *callee = roster_name(&plane->roster, node, greeting->calls[i]);
        if (!callee)
            return false;
        calls[i] = callee->number;
        if (callee->changed)
            record_node(plane, callee);
    }
    node->calls_count = (uint32_t)greeting->calls_count;
    memcpy(node->calls, calls, greeting->calls_count * sizeof(calls[0]));
    return true;
}

/* This node agent has obeyed a later epoch than ours: the database is a fresh or an older one. Our commands
 * would be refused as those of a control plane that was replaced, so we go above it. Like every change of the
 * control row it is durable before a command can carry it. */
static void rise_above(struct plane *plane, uint64_t epoch_seen)
{
    struct control control = *core_control(plane->core);
    if (epoch_seen <= control.epoch || epoch_seen > plane->epoch_at_start + EPOCH_JUMP_MAX)
        return;
    struct event event = {.kind = EVENT_RESTORE, .node = NO_INDEX, .of.restore.kind = RESTORE_CONTROL};
    control.epoch = epoch_seen + 1;
    event.of.restore.what.control = control;
    plane_step(plane, &event);
    plane->epoch = control.epoch;
    plane_rows_put(plane, true);
}

void api_reboot(struct plane *plane, struct node *node, uint64_t boot, instant at)
{
    char line[NODE_NAME_SIZE + 160];
    node_reboot(node, boot, at);
    if (!node_has_twin(node, plane->now))
        return;
    struct text text = text_over(line, sizeof(line));
    text_addf(&text, "NODE      two node agents call themselves %s; mend: stop one, or give it another name",
              node->name);
    record_log(plane, line);
    record_notice(plane, "NODE", line + strlen("NODE      "));
}

static bool greet(struct plane *plane, struct node *node, const struct greeting *greeting)
{
    if (greeting->has_calls && !enrol_callees(plane, node, greeting))
        return false;
    rise_above(plane, greeting->epoch_seen);
    if (greeting->boot && greeting->boot != node->boot)
        api_reboot(plane, node, greeting->boot, plane->now);
    if (greeting->has_role)
        text_copy(node->role, sizeof(node->role), greeting->role);
    if (greeting->has_zone)
        text_copy(node->zone, sizeof(node->zone), greeting->zone);
    if (greeting->has_address)
        text_copy(node->address, sizeof(node->address), greeting->address);
    if (greeting->has_interval)
        node->interval_ns = greeting->interval_ns;
    if (greeting->has_pid)
        node->pid = greeting->pid;
    node->clock_off_s = greeting->clock_s - duration_seconds(plane->now);
    node->synthetic = greeting->synthetic;
    node->program = greeting->program;
    return true;
}

static void hello_is_kept(struct plane *plane, const struct waiter *waiter, enum wait_end end)
{
    const struct node *node = roster_node(&plane->roster, waiter->node);
    if (end != WAIT_DONE) {
        api_not_kept(plane, waiter->request);
        return;
    }
    duration interval_ns = node->interval_ns ? node->interval_ns : SECOND;
    json_t *answer = json_object();
    json_object_set_new(answer, "node", json_of_text(node->name));
    json_object_set_new(answer, "epoch", json_integer((json_int_t)core_control(plane->core)->epoch));
    json_object_set_new(answer, "interval_s", json_of_seconds(interval_ns));
    api_answer(waiter->request, 200, answer);
}

void api_put_node(struct plane *plane, struct request *request, const char *name)
{
    if (!api_name_is_legal(request, name))
        return;
    json_t *document = api_body(request, true);
    if (!document)
        return;
    struct greeting greeting = {0};
    struct json_error error = {.sentence = ""};
    if (!read_greeting(document, &greeting, &error)) {
        api_refuse(request, &error);
        json_decref(document);
        return;
    }
    struct node *node = roster_enrol(&plane->roster, name);
    bool good = node && greet(plane, node, &greeting);
    json_decref(document);
    if (!node) {
        api_full(request);
        return;
    }
    if (!good) {
        server_problem(
            request, 507, "/calls",
            "calls: there is no room for more names of nodes that nobody has heard of: %d that one node "
            "names, %d of all",
            NAMED_BY_ONE_MAX, PLANE_NODE_CAPACITY / NAMED_SHARE);
        return;
    }
    api_introduce(plane, node);
    record_node(plane, node);
    plane_run_deadlines(plane);
    api_promise(plane, request, hello_is_kept, node->number, 0);
}

static void goodbye_is_kept(struct plane *plane, const struct waiter *waiter, enum wait_end end)
{
    if (end == WAIT_DONE)
        server_answer(waiter->request, 204, NULL, "", 0);
    else
        api_not_kept(plane, waiter->request);
}

/* A node agent takes leave of its own boot only: another one of its name may have begun meanwhile. */
void api_delete_node(struct plane *plane, struct request *request, const char *name)
{
    struct node *node = api_node(plane, request, name);
    const char *digits = node ? request_query(request, "boot") : NULL;
    uint64_t boot = 0;
    if (!node)
        return;
    if (digits && !json_boot_parse(digits, &boot)) {
        server_problem(request, 400, NULL, "boot: 16 hexadecimal digits, not all of them 0");
        return;
    }
    if (boot && node->boot && boot != node->boot) {
        server_answer(request, 204, NULL, "", 0);
        return;
    }
    struct event event = {.kind = EVENT_GOODBYE, .node = node->number};
    if (node->told)
        plane_step(plane, &event);
    node->gone = true;
    record_node(plane, node);
    record_health(plane, node);
    plane_run_deadlines(plane);
    api_promise(plane, request, goodbye_is_kept, node->number, 0);
}

/* --- showing them -------------------------------------------------------------------------------------- */

static json_t *shape_samples(const struct node *node)
{
    json_t *samples = json_object();
    const struct recent_samples *newest = node_newest(node);
    for (uint32_t m = 0; newest && m < METRIC_COUNT; m++)
        if (newest->present & 1u << m)
            json_object_set_new(samples, metric_name(m), json_of_number(newest->value[m]));
    return samples;
}

static json_t *shape_one(struct plane *plane, const struct node *node, uint64_t incident)
{
    struct node_row row;
    roster_row(&plane->roster, node, &row);
    row.sequence = node->sequence;
    json_t *object = shape_node(&row, health_name(core_node_health(plane->core, node->number)));
    json_object_set_new(object, "pid", node->pid ? json_integer(node->pid) : json_null());
    json_object_set_new(object, "last_report_age_s",
                        node->seen_at == INSTANT_NONE ? json_null()
                                                      : json_of_seconds(plane->now - node->seen_at));
    json_object_set_new(object, "clock_off_s", json_of_number(node->clock_off_s));
    json_object_set_new(object, "maintained_until", api_maintained_until(plane, node));
    json_object_set_new(object, "samples", shape_samples(node));
    json_object_set_new(object, "standing", json_of_remedies(node->standing));
    json_object_set_new(object, "incident", incident ? json_integer((json_int_t)incident) : json_null());
    return object;
}

/* The newest active incident of every node, or of one; newest first, so the first that is met counts. */
struct newest {
    uint64_t *incident; /* by number */
    uint32_t count;
};

static bool note_incident(void *context, const struct incident *incident)
{
    struct newest *newest = context;
    bool open = incident_is_active(incident) || incident->state == INCIDENT_ESCALATED;
    if (open && incident->node < newest->count && newest->incident[incident->node] == 0)
        newest->incident[incident->node] = incident->id;
    return true;
}

static void answer_nodes(struct plane *plane, struct request *request, struct node *only)
{
    struct newest newest = {.count = plane->roster.count};
    newest.incident = calloc(newest.count + 1, sizeof(newest.incident[0]));
    CHECK(newest.incident);
    struct incident_filter filter = {.node = only ? (int64_t)only->number : -1,
                                     .state = -1,
                                     .open_or_since = true,
                                     .since = INSTANT_NEVER,
                                     .limit = PLANE_INCIDENT_CAPACITY};
    if (store_incidents(plane->reader, &filter, note_incident, &newest) < 0) {
        api_unreadable(plane, request);
    } else if (only) {
        api_answer(request, 200, shape_one(plane, only, newest.incident[only->number]));
    } else {
        json_t *list = json_array(), *answer = json_object();
        for (uint32_t i = 0; i < plane->roster.count; i++)
            if (plane->roster.nodes[i]->name[0] != '#')
                json_array_append_new(list, shape_one(plane, plane->roster.nodes[i], newest.incident[i]));
        json_object_set_new(answer, "nodes", list);
        api_answer(request, 200, answer);
    }
    free(newest.incident);
}

void api_list_nodes(struct plane *plane, struct request *request, const char *name)
{
    (void)name;
    answer_nodes(plane, request, NULL);
}

void api_show_node(struct plane *plane, struct request *request, const char *name)
{
    struct node *node = api_node(plane, request, name);
    if (node)
        answer_nodes(plane, request, node);
}

/* --- taking remedies back ------------------------------------------------------------------------------ */

/* Every answer to the node says so until it tells that none is in force any more. */
void api_undo(struct plane *plane, struct request *request, const char *name)
{
    struct node *node = api_node(plane, request, name);
    if (!node)
        return;
    if (node->gone) {
        server_problem(request, 409, NULL, "%s has left the fleet", node->name);
        return;
    }
    if (node->synthetic) {
        server_problem(request, 422, NULL, "%s is a synthetic node: its remedies leave nothing to take back",
                       node->name);
        return;
    }
    json_t *document = api_body(request, true);
    if (!document)
        return;
    struct json_error error = {.sentence = ""};
    struct json_reader reader = json_reader_over(document, &error);
    bool good = json_read_end(&reader);
    json_decref(document);
    if (!good) {
        api_refuse(request, &error);
        return;
    }
    node->undo = true;
    node->undo_told = false;
    wait_command(plane, node->number);
    json_t *answer = json_object();
    json_object_set_new(answer, "node", json_of_text(node->name));
    json_object_set_new(answer, "standing", json_of_remedies(node->standing));
    api_answer(request, 200, answer);
}

/* --- metrics of a node --------------------------------------------------------------------------------- */

/* Old ones from the store, up to where memory begins. */
static bool collect(struct plane *plane, const struct node *node, struct series *series)
{
    const struct recent *recent = node->recent;
    uint32_t kept = !recent ? 0 : recent->count < RECENT_MAX ? recent->count : RECENT_MAX;
    uint32_t first = recent ? recent->count - kept : 0;
    instant memory_from = kept ? recent->ring[first % RECENT_MAX].at : INSTANT_NEVER;
    /* Of so long ago the store has minutes, which would count these once more. */
    if (kept && memory_from < plane->now - HISTORY_RAW_NS)
        recent = NULL, kept = 0, memory_from = INSTANT_NEVER;
    instant store_to = series->to < memory_from ? series->to : memory_from - 1;
    if (!series_add_stored(series, plane->reader, node->number, store_to))
        return false;
    for (uint32_t i = first; recent && i < recent->count && series->count < SERIES_POINTS_MAX; i++) {
        const struct recent_samples *samples = &recent->ring[i % RECENT_MAX];
        series_add(series, samples->at, samples->present, samples->value);
    }
    series_close(series);
    return true;
}

static bool read_instant(struct request *request, const char *name, instant otherwise, instant *out)
{
    const char *text = request_query(request, name);
    *out = otherwise;
    if (!text || !*text || text_parse_instant(text, out))
        return true;
    server_problem(request, 400, NULL, "%s: an instant such as 2026-11-23T12:04:11Z", name);
    return false;
}

static bool read_series(struct plane *plane, struct request *request, struct series *series)
{
    char error[512];
    int metric = series_metric(request_query(request, "metric"), error, sizeof(error));
    if (metric < 0) {
        server_problem(request, 400, NULL, "%s", error);
        return false;
    }
    series->metric = (enum metric)metric;
    if (!read_instant(request, "to", plane->now, &series->to) ||
        !read_instant(request, "from", series->to - MINUTE, &series->from))
        return false;
    const char *step = request_query(request, "step");
    if (step && *step && (!text_parse_duration(step, &series->step_ns) || series->step_ns <= 0)) {
        server_problem(request, 400, NULL, "step: a duration such as 10s");
        return false;
    }
    return true;
}

void api_node_metrics(struct plane *plane, struct request *request, const char *name)
{
    struct node *node = api_node(plane, request, name);
    struct series series = {.points = NULL};
    if (!node || !read_series(plane, request, &series))
        return;
    series_open(&series);
    if (!collect(plane, node, &series)) {
        json_decref(series.points);
        api_unreadable(plane, request);
        return;
    }
    api_answer(request, 200, series_answer(&series, node->name));
}
