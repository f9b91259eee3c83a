/* Reports: the busiest requests by far. A body is read whole before anything of it counts, so that a batch is
 * taken or refused as one; then each report is a step of the core, in the order it was written. */
#include "plane/api.h"

#include "base/check.h"
#include "base/text.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TOLD_MAX = 16 }; /* faults that one report tells of */

struct parsed {
    const char *node; /* of a batch of many nodes; lives as long as the document */
    struct report report;
    struct fault_told told[TOLD_MAX];
    uint32_t told_count;
};

/* --- reading ------------------------------------------------------------------------------------------- */

static void read_samples(struct json_reader *reader, struct report *report)
{
    struct json_reader samples = json_read_object(reader, "samples", JSON_REQUIRED);
    const char *name = json_next_member(&samples, NULL);
    for (; name; name = json_next_member(&samples, name)) {
        int metric = metric_of(name);
        if (metric < 0) {
            size_t count;
            const char *const *names = metric_names(&count);
            json_refuse_word(&samples, name, "metric", names, count);
            break;
        }
        enum metric_unit unit = metric_infos[metric].unit;
        double most = unit == UNIT_RATIO || unit == UNIT_FLAG ? 1 : 1e300;
        report->value[metric] = json_read_number(&samples, name, JSON_REQUIRED, 0, most, 0);
        report->present |= 1u << metric;
    }
    json_read_end(&samples);
}

static void read_told(struct json_reader *reader, struct fault_told *told)
{
    static const char *const states[] = {"active", "ended", "failed"};
    static const char *const effects[] = {"waiting", "seen", "none"};
    const char *metric;
    told->id = (uint64_t)json_read_integer(reader, "id", JSON_REQUIRED, 1, INT64_MAX, 0);
    told->state = FAULT_ACTIVE + json_read_word(reader, "state", JSON_REQUIRED, states, COUNT_OF(states), 0);
    told->effect = json_read_word(reader, "effect", JSON_OPTIONAL, effects, COUNT_OF(effects), -1);
    told->age_ns = json_read_seconds(reader, "age_s", JSON_OPTIONAL, 0, 1000 * HOUR, 0);
    told->before = json_read_number(reader, "before", JSON_OPTIONAL, -1e300, 1e300, NAN);
    told->after = json_read_number(reader, "after", JSON_OPTIONAL, -1e300, 1e300, NAN);
    told->reason = json_read_string(reader, "reason", JSON_OPTIONAL, STORE_TEXT_MAX - 1);
    metric = json_read_string(reader, "metric", JSON_OPTIONAL, STORE_WORD_MAX);
    if (metric && metric_of(metric) < 0) {
        size_t count;
        const char *const *names = metric_names(&count);
        json_refuse_word(reader, "metric", "metric", names, count);
    }
    json_read_end(reader);
}

static void read_report(struct json_reader *reader, struct parsed *parsed)
{
    parsed->report.boot = json_read_boot(reader, "boot", JSON_OPTIONAL);
    parsed->report.sequence = (uint64_t)json_read_integer(reader, "sequence", JSON_OPTIONAL, 0, INT64_MAX, 0);
    parsed->report.age_ns = json_read_seconds(reader, "age_s", JSON_OPTIONAL, 0, 1000 * HOUR, 0);
    read_samples(reader, &parsed->report);
    parsed->told_count = (uint32_t)json_read_array(reader, "faults", JSON_OPTIONAL, TOLD_MAX);
    for (uint32_t i = 0; i < parsed->told_count; i++) {
        struct json_reader told = json_read_element(reader, "faults", i);
        read_told(&told, &parsed->told[i]);
    }
}

/* One report, or {"reports":[...]}. NULL when something is wrong. The caller frees it. */
static struct parsed *read_reports(json_t *document, bool many_nodes, size_t *count, struct json_error *error)
{
    struct json_reader reader = json_reader_over(document, error);
    bool batch = many_nodes || json_is_present(&reader, "reports");
    *count = batch ? json_read_array(&reader, "reports", JSON_REQUIRED, REPORTS_MAX) : 1;
    struct parsed *parsed = calloc(*count + 1, sizeof(*parsed));
    CHECK(parsed);
    if (!batch)
        read_report(&reader, &parsed[0]);
    for (size_t i = 0; batch && i < *count; i++) {
        struct json_reader element = json_read_element(&reader, "reports", i);
        if (many_nodes) {
            parsed[i].node = json_read_string(&element, "node", JSON_REQUIRED, NODE_NAME_SIZE - 1);
            if (parsed[i].node && !text_is_name(parsed[i].node, NODE_NAME_SIZE - 1))
                json_refuse(&element, "node", "not a name of a node");
        }
        read_report(&element, &parsed[i]);
        if (!json_read_end(&element))
            break;
    }
    if (json_read_end(&reader))
        return parsed;
    free(parsed);
    return NULL;
}

/* --- taking -------------------------------------------------------------------------------------------- */

static void say_told(const struct fault_row *row, struct text *text)
{
    switch (row->state) {
    case FAULT_ACTIVE:
        text_add(text, row->effect == EFFECT_SEEN   ? "is on and can be seen"
                       : row->effect == EFFECT_NONE ? "is on, and nothing of it can be seen"
                                                    : "is on");
        break;
    case FAULT_FAILED:
        text_addf(text, "failed: %s", row->reason);
        break;
    default:
        text_addf(text, "is over: %s", row->reason);
    }
}

static void take_told(struct plane *plane, const struct node *node, const struct parsed *parsed)
{
    for (uint32_t i = 0; i < parsed->told_count; i++) {
        struct fault_row *row = faults_find(&plane->faults, parsed->told[i].id);
        if (!row || row->node != node->number || !fault_tell(row, &parsed->told[i], plane->now))
            continue; /* told again, or one that is over for us */
        char sentence[STORE_TEXT_MAX + 32];
        struct text text = text_over(sentence, sizeof(sentence));
        say_told(row, &text);
        record_fault(plane, row, sentence);
    }
    faults_sweep(&plane->faults);
}

static void note_report(struct plane *plane, struct node *node, const struct report *report)
{
    instant sampled_at = plane->now - report->age_ns;
    const struct recent_samples *newest = node_newest(node);
    if (!newest || sampled_at > newest->at)
        node_remember(node, sampled_at, report);
    if (report->boot != 0 && report->boot != node->boot) {
        node->boot = report->boot;
        node->sequence = 0;
    }
    if (report->sequence > node->sequence)
        node->sequence = report->sequence;
    node->seen_at = plane->now;
    node->gone = false;
    node->changed = true;
}

/* False if it cannot be taken now: more waits for the disk than there is memory for. */
static bool take(struct plane *plane, struct node *node, const struct parsed *parsed)
{
    const struct report *report = &parsed->report;
    struct samples_row row = {.node = node->number,
                              .at = plane->now - report->age_ns,
                              .boot = report->boot,
                              .sequence = report->sequence,
                              .present = report->present};
    memcpy(row.value, report->value, sizeof(row.value));
    if (!plane_can_act(plane) || store_put_samples(plane->commits.writer, &row) < 0)
        return false;
    plane_rows_put(plane, false);
    if (!node->told)
        api_introduce(plane, node);
    bool new_boot = report->boot != 0 && report->boot != node->boot;
    if (node->seen_at == INSTANT_NONE || new_boot)
        record_node(plane, node); /* its name and number must be durable no later than its samples */
    if (report->boot != 0 || node->boot == 0)
        node_handed(node, report->boot, report->sequence, plane->commits.batch, plane->commits.durable);
    note_report(plane, node, report);
    if (parsed->told_count > 0)
        take_told(plane, node, parsed);
    struct event event = {.kind = EVENT_REPORT, .node = node->number, .of.report = *report};
    plane_step(plane, &event);
    plane->counts.reports++;
    return true;
}

/* --- answering ----------------------------------------------------------------------------------------- */

static json_t *shape_order(const struct plane *plane, const struct order *order)
{
    const struct command *command = &order->command;
    json_t *item = json_object();
    json_object_set_new(item, "id", json_integer((json_int_t)command->id));
    json_object_set_new(item, "remedy", json_string(remedy_name(command->remedy)));
    json_object_set_new(item, "incident", json_integer((json_int_t)command->incident));
    json_object_set_new(item, "attempt", json_integer(command->attempt));
    json_object_set_new(item, "epoch", json_integer((json_int_t)command->epoch));
    json_object_set_new(item, "boot", json_of_boot(command->boot));
    json_object_set_new(item, "expires_in_s", json_of_seconds(command->expires_at - plane->now));
    json_object_set_new(item, "reason", json_of_text(order->reason));
    return item;
}

static void add_orders(const struct plane *plane, const struct node *node, struct text *text)
{
    if (!node_has_orders(node, plane->now))
        return;
    json_t *list = json_array();
    for (int i = 0; i < ORDERS_MAX; i++)
        if (order_is_waiting(&node->orders->slot[i], plane->now))
            json_array_append_new(list, shape_order(plane, &node->orders->slot[i]));
    char *orders = json_text_of(list, NULL);
    CHECK(orders);
    text_add(text, orders + 1); /* without its brackets */
    text->bytes[--text->length] = '\0';
    free(orders);
}

static void add_faults(const struct plane *plane, const struct node *node, struct text *text)
{
    bool any = false;
    for (uint32_t i = 0; i < plane->faults.count; i++) {
        const struct fault_row *row = &plane->faults.row[i];
        if (row->node != node->number || !fault_is_wanted(row, plane->now))
            continue;
        text_addf(text, "%s{\"id\":%" PRIu64 ",\"kind\":\"%s\",\"intensity\":%.15g,\"lease_s\":%.3f}",
                  any ? "," : "", row->id, fault_kind_name(row->kind), row->intensity,
                  duration_seconds(row->asked_at + row->lease_ns - plane->now));
        any = true;
    }
}

/* Written by hand, since every report is answered with it: nearly always both lists are empty. */
void api_answer_node(struct plane *plane, struct request *request, struct node *node, const char *head)
{
    char body[64 * 1024];
    struct text text = text_over(body, sizeof(body));
    text_addf(&text, "{%s\"commands\":[", head);
    add_orders(plane, node, &text);
    text_add(&text, "],\"faults\":[");
    add_faults(plane, node, &text);
    text_add(&text, "]}");
    CHECK(!text.cut); /* ORDERS_MAX commands with bounded reasons, and one fault of a kind */
    server_answer(request, 200, NULL, body, text.length);
}

static void answer_reports(struct plane *plane, struct request *request, struct node *node, uint32_t accepted)
{
    char head[160], boot[17];
    struct text text = text_over(head, sizeof(head));
    text_addf(&text, "\"accepted\":%u,\"stored_through\":", accepted);
    node_settle(node, plane->commits.durable);
    if (node->boot) {
        json_boot_text(boot, node->boot);
        uint64_t sequence = node->stored_boot == node->boot ? node->stored_sequence : 0;
        text_addf(&text, "{\"boot\":\"%s\",\"sequence\":%" PRIu64 "},", boot, sequence);
    } else {
        text_add(&text, "null,");
    }
    api_answer_node(plane, request, node, head);
}

static void reports_are_kept(struct plane *plane, const struct waiter *waiter, enum wait_end end)
{
    struct node *node = roster_node(&plane->roster, waiter->node);
    if (end == WAIT_FAILED)
        api_not_kept(plane, waiter->request);
    else /* late: what was decided comes with the next answer */
        answer_reports(plane, waiter->request, node, waiter->accepted);
}

static struct parsed *parse(struct request *request, bool many_nodes, size_t *count, json_t **document)
{
    *document = api_body(request, false);
    if (!*document)
        return NULL;
    struct json_error error = {.sentence = ""};
    struct parsed *parsed = read_reports(*document, many_nodes, count, &error);
    if (!parsed) {
        api_refuse(request, &error);
        json_decref(*document);
    }
    return parsed;
}

static struct node *enrol(struct plane *plane, struct request *request, const char *name)
{
    struct node *node = roster_enrol(&plane->roster, name);
    if (!node)
        api_full(request);
    return node;
}

static void answer_busy(struct request *request, size_t taken)
{
    server_answer_header(request, "Retry-After", "1");
    server_problem(request, 503, NULL,
                   "the disk is behind; %zu reports of this body were taken, send them again", taken);
}

void api_node_reports(struct plane *plane, struct request *request, const char *name)
{
    if (!api_name_is_legal(request, name))
        return;
    json_t *document;
    size_t count, taken = 0;
    struct parsed *parsed = parse(request, false, &count, &document);
    if (!parsed)
        return;
    struct node *node = enrol(plane, request, name);
    while (node && taken < count && take(plane, node, &parsed[taken]))
        taken++;
    free(parsed);
    json_decref(document);
    if (!node)
        return;
    plane_run_deadlines(plane);
    if (taken < count) {
        answer_busy(request, taken);
        return;
    }
    struct waiter waiter = {.request = request,
                            .end = reports_are_kept,
                            .ticket = node->ticket,
                            .by = plane->now + ANSWER_WAIT_MS * MILLISECOND,
                            .node = node->number,
                            .accepted = (uint32_t)count};
    if (node->ticket > plane->commits.durable)
        wait_add(plane, &waiter);
    else
        answer_reports(plane, request, node, (uint32_t)count);
}

void api_fleet_reports(struct plane *plane, struct request *request, const char *name)
{
    (void)name;
    json_t *document;
    size_t count, taken = 0;
    struct parsed *parsed = parse(request, true, &count, &document);
    if (!parsed)
        return;
    struct node *node = NULL;
    for (; taken < count; taken++) {
        node = enrol(plane, request, parsed[taken].node);
        if (!node || !take(plane, node, &parsed[taken]))
            break;
    }
    free(parsed);
    json_decref(document);
    plane_run_deadlines(plane);
    if (taken < count && node) {
        answer_busy(request, taken);
    } else if (taken == count) {
        char body[64];
        int length = snprintf(body, sizeof(body), "{\"accepted\":%zu}", taken);
        server_answer(request, 200, NULL, body, (size_t)length);
    }
}
