#include "plane/api.h"

#include "base/text.h"

#include <string.h>

/* As scenarios have it. */
static const duration period_default_ns = 20 * SECOND;
static const duration period_least_ns = SECOND;

struct asked {
    struct fault_asked fault;
    const char *node;
    bool has_period;
};

static bool has_periods(enum shape shape)
{
    return shape == SHAPE_SPIKE || shape == SHAPE_SAWTOOTH || shape == SHAPE_FLAPPING;
}

static bool read_asked(json_t *document, struct asked *asked, struct json_error *error)
{
    struct json_reader reader = json_reader_over(document, error);
    struct fault_asked *fault = &asked->fault;
    size_t kinds_count, shapes_count;
    const char *const *kinds = fault_kind_names(&kinds_count), *const *shapes = shape_names(&shapes_count);
    fault->kind = (enum fault_kind)json_read_word(&reader, "kind", JSON_REQUIRED, kinds, kinds_count, 0);
    const struct fault_info *info = &fault_infos[fault->kind];
    asked->node = json_read_string(&reader, "node", JSON_REQUIRED, NODE_NAME_SIZE - 1);
    fault->intensity =
        json_read_number(&reader, "intensity", JSON_OPTIONAL, info->least, info->most, info->intensity);
    fault->lease_ns = json_read_seconds(&reader, "lease_s", JSON_OPTIONAL, SECOND, FAULT_LEASE_MAX_S * SECOND,
                                        FAULT_LEASE_DEFAULT_S * SECOND);
    fault->shape =
        (enum shape)json_read_word(&reader, "shape", JSON_OPTIONAL, shapes, shapes_count, SHAPE_STEP);
    asked->has_period = json_is_present(&reader, "period_s");
    duration otherwise_ns = has_periods(fault->shape) ? period_default_ns : 0;
    fault->period_ns =
        json_read_seconds(&reader, "period_s", JSON_OPTIONAL, period_least_ns, HOUR, otherwise_ns);
    return json_read_end(&reader);
}

/* --- what cannot be ------------------------------------------------------------------------------------- */

static bool shape_fits(const struct fault_asked *fault)
{
    bool is_there_or_not = fault_infos[fault->kind].unit == UNIT_NONE;
    if (is_there_or_not && fault->shape != SHAPE_STEP)
        return fault->shape == SHAPE_SPIKE || fault->shape == SHAPE_FLAPPING;
    return fault->shape != SHAPE_GRAY || fault->kind != FAULT_CRASH_LOOP;
}

static void list_live_kinds(struct text *text)
{
    size_t count;
    const char *const *names = live_fault_kind_names(&count);
    for (size_t i = 0; i < count; i++)
        text_addf(text, "%s%s", i == 0 ? "" : i + 1 == count ? " and " : ", ", names[i]);
}

/* False when 422 has been answered: real processes are given the faults of the first table, which are on or
 * off. */
static bool can_be_done(struct request *request, const struct node *node, const struct asked *asked)
{
    const struct fault_asked *fault = &asked->fault;
    const char *kind = fault_kind_name(fault->kind), *shape = shape_name(fault->shape);
    char kinds[256];
    struct text text = text_over(kinds, sizeof(kinds));
    list_live_kinds(&text);
    if (!node->synthetic && (int)fault->kind >= FAULT_LIVE_COUNT)
        server_problem(request, 422, "/kind",
                       "%s runs a real service; %s can be done to synthetic nodes only (up --synthetic N). "
                       "What can be done to %s: %s",
                       node->name, kind, node->name, kinds);
    else if (!node->synthetic && fault->shape != SHAPE_STEP)
        server_problem(
            request, 422, "/shape",
            "%s runs a real service, whose faults are on or off; the shape %s is for synthetic nodes "
            "only (up --synthetic N)",
            node->name, shape);
    else if (!shape_fits(fault))
        server_problem(request, 422, "/shape", "%s is there or it is not, and cannot have the shape %s", kind,
                       shape);
    else if (asked->has_period && !has_periods(fault->shape))
        server_problem(request, 422, "/period_s",
                       "a period belongs to the shapes spike, sawtooth and flapping, not to %s", shape);
    else
        return true;
    return false;
}

/* --- asking --------------------------------------------------------------------------------------------- */

static bool copy_fault(void *context, const struct fault_row *row)
{
    *(struct fault_row *)context = *row;
    return true;
}

static void fault_is_kept(struct plane *plane, const struct waiter *waiter, enum wait_end end)
{
    struct fault_row row;
    const struct book *book;
    if (end != WAIT_DONE)
        api_not_kept(plane, waiter->request);
    else if (store_faults(plane->reader, waiter->id, false, 1, copy_fault, &row) != 1)
        api_unreadable(plane, waiter->request);
    else if ((book = api_book(plane, waiter->request)))
        api_answer(waiter->request, 201, shape_fault(book, &row));
}

static void ask(struct plane *plane, struct request *request, const struct node *node,
                const struct fault_asked *asked)
{
    enum fault_kind kind = asked->kind;
    const struct fault_row *same = faults_same(&plane->faults, kind, node->number);
    if (same) {
        server_problem(request, 409, NULL, "%s is on at %s already, as fault %llu", fault_kind_name(kind),
                       node->name, (unsigned long long)same->id);
        return;
    }
    struct fault_row *row = faults_ask(&plane->faults, asked, plane->now);
    if (!row) {
        server_problem(request, 429, NULL, "%d faults are on, which is all there is room for", FAULTS_MAX);
        return;
    }
    record_fault(plane, row, "is asked for");
    uint64_t id = row->id;
    wait_command(plane, node->number);
    api_promise(plane, request, fault_is_kept, node->number, id);
}

void api_ask_fault(struct plane *plane, struct request *request, const char *name)
{
    (void)name;
    json_t *document = api_body(request, false);
    if (!document)
        return;
    struct asked asked = {0};
    struct json_error error = {.sentence = ""};
    if (read_asked(document, &asked, &error)) {
        struct node *node = api_node(plane, request, asked.node);
        if (node && node->gone)
            server_problem(request, 409, NULL, "%s has left the fleet", node->name);
        else if (node && can_be_done(request, node, &asked)) {
            asked.fault.node = node->number;
            ask(plane, request, node, &asked.fault);
        }
    } else {
        api_refuse(request, &error);
    }
    json_decref(document);
}

void api_list_faults(struct plane *plane, struct request *request, const char *name)
{
    (void)name;
    const char *active = request_query(request, "active");
    if (active && strcmp(active, "true") != 0 && strcmp(active, "false") != 0) {
        server_problem(request, 400, NULL, "active: true or false");
        return;
    }
    const struct book *book = api_book(plane, request);
    if (!book)
        return;
    json_t *answer = shape_faults(plane->reader, book, active && strcmp(active, "true") == 0);
    if (answer)
        api_answer(request, 200, answer);
    else
        api_unreadable(plane, request);
}

/* --- clearing ------------------------------------------------------------------------------------------ */

static void clearing_is_kept(struct plane *plane, const struct waiter *waiter, enum wait_end end)
{
    char body[64];
    int length = snprintf(body, sizeof(body), "{\"cleared\":%u}", waiter->accepted);
    if (end == WAIT_DONE)
        server_answer(waiter->request, 200, NULL, body, (size_t)length);
    else
        api_not_kept(plane, waiter->request);
}

static void clear(struct plane *plane, struct request *request, uint64_t id)
{
    uint32_t cleared = 0;
    for (uint32_t i = 0; i < plane->faults.count; i++) {
        struct fault_row *row = &plane->faults.row[i];
        if ((id && row->id != id) || fault_is_clearing(row))
            continue;
        fault_clear(row, plane->now);
        record_fault(plane, row, "is being cleared");
        wait_command(plane, row->node);
        cleared++;
    }
    faults_sweep(&plane->faults);
    plane_rows_put(plane, true);
    wait_add(plane, &(struct waiter){.request = request,
                                     .end = clearing_is_kept,
                                     .ticket = plane->commits.batch,
                                     .by = plane->now + PROMISE_WAIT_MS * MILLISECOND,
                                     .accepted = cleared});
}

void api_clear_faults(struct plane *plane, struct request *request, const char *name)
{
    (void)name;
    clear(plane, request, 0);
}

void api_clear_fault(struct plane *plane, struct request *request, const char *name)
{
    struct fault_row row;
    uint64_t id = api_id(request, name, "fault");
    if (!id)
        return;
    if (!faults_find(&plane->faults, id) &&
        store_faults(plane->reader, id, false, 1, copy_fault, &row) != 1) {
        server_problem(request, 404, NULL, "there is no fault %llu", (unsigned long long)id);
        return;
    }
    clear(plane, request, id);
}
