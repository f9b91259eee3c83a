/* Reports: the busiest requests by far. A body is read whole before anything of it counts (report_body.h);
 * then each report is a step of the core, in the order it was written. */
#include "plane/api.h"

#include "base/check.h"
#include "base/crash.h"
#include "base/text.h"
#include "plane/report_body.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- taking -------------------------------------------------------------------------------------------- */

/* When it was told: a report that had to wait is older than its arrival. */
static instant told_at(const struct plane *plane, const struct fault_row *row, const struct report_read *read)
{
    instant at = plane->now - read->report.age_ns;
    return at > row->asked_at ? at : row->asked_at;
}

/* The report that tells of the removal carries the metric that went back. */
static void note_restored(struct fault_row *row, const struct report *report)
{
    enum metric metric = fault_infos[row->kind].metric;
    if (row->removal == EFFECT_SEEN && metric != METRIC_NONE && report->present & 1u << metric)
        row->restored = report->value[metric];
}

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
        text_addf(text, "is over: %s%s", row->reason,
                  row->removal == EFFECT_SEEN   ? "; nothing of it can be seen any more"
                  : row->removal == EFFECT_NONE ? "; its metric has not gone back"
                                                : "");
    }
}

static void take_told(struct plane *plane, const struct node *node, const struct report_read *read)
{
    for (uint32_t i = 0; i < read->told_count; i++) {
        struct fault_row *row = faults_find(&plane->faults, read->told[i].id);
        if (!row || row->node != node->number || !fault_tell(row, &read->told[i], told_at(plane, row, read)))
            continue; /* told again, or one that is over for us */
        text_tame(row->reason);
        note_restored(row, &read->report);
        char sentence[STORE_TEXT_MAX + 32];
        struct text text = text_over(sentence, sizeof(sentence));
        say_told(row, &text);
        record_fault(plane, row, sentence);
    }
    faults_sweep(&plane->faults, plane->now);
}

/* What is in force there, and whether what a person wanted undone is. */
static void note_standing(struct node *node, uint32_t standing)
{
    node->standing = standing;
    if (standing == 0 && node->undo_told)
        node->undo = false;
}

static void note_report(struct plane *plane, struct node *node, const struct report_read *read)
{
    const struct report *report = &read->report;
    instant sampled_at = plane->now - report->age_ns;
    const struct recent_samples *newest = node_newest(node);
    bool is_newest = !newest || sampled_at > newest->at;
    if (is_newest)
        node_remember(node, sampled_at, report);
    if (is_newest)
        note_standing(node, read->standing);
    if (sampled_at > node->sampled_at)
        node->sampled_at = sampled_at;
    if (report->sequence > node->sequence)
        node->sequence = report->sequence;
    node->seen_at = plane->now;
    node->gone = false;
    node->changed = true;
}

/* What a boot that was replaced had put by is stored, and that is all. */
static void take_news(struct plane *plane, struct node *node, const struct report_read *read)
{
    const struct report *report = &read->report;
    instant sampled_at = plane->now - report->age_ns;
    if (node_is_past(node, report->boot, sampled_at)) {
        plane->counts.old_reports++;
        return;
    }
    bool new_boot = report->boot != 0 && report->boot != node->boot;
    if (new_boot)
        api_reboot(plane, node, report->boot, sampled_at);
    if (node->seen_at == INSTANT_NONE || new_boot)
        record_node(plane, node); /* its name and number must be durable no later than its samples */
    note_report(plane, node, read);
    if (read->told_count > 0)
        take_told(plane, node, read);
    struct event event = {.kind = EVENT_REPORT, .node = node->number, .of.report = *report};
    plane_step(plane, &event);
}

/* False if it cannot be taken now: more waits for the disk than there is memory for. */
static bool take(struct plane *plane, struct node *node, const struct report_read *read)
{
    const struct report *report = &read->report;
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
    if (report->boot != 0 && report->sequence != 0)
        node_taken(node, report->boot, report->sequence, report->sequence, plane->commits.batch,
                   plane->commits.durable);
    take_news(plane, node, read);
    plane->counts.reports++;
    return true;
}

/* A gap is a word about reports that will never come: with it, they count as accepted. */
static bool take_gap(struct plane *plane, struct node *node, const struct gap_told *told)
{
    struct loss loss = {.boot = told->boot, .first = told->first, .last = told->last};
    if (!plane_can_act(plane))
        return false;
    if (node->seen_at == INSTANT_NONE)
        record_node(plane, node);
    node_taken(node, told->boot, told->first, told->last, plane->commits.batch, plane->commits.durable);
    uint64_t news = node_note_loss(node, &loss);
    struct gap_row row = {.node = node->number,
                          .reason = (uint8_t)told->reason,
                          .boot = loss.boot,
                          .first = loss.first,
                          .last = loss.last,
                          .at = plane->now};
    record_gap(plane, node, &row, news);
    return plane_can_act(plane);
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

/* For the journal: the first answer that carries it. */
static void note_delivered(struct plane *plane, struct order *order)
{
    if (order->delivered)
        return;
    order->delivered = true;
    recorder_delivered(plane->recorder, plane->now, &order->command);
    plane_recorded(plane);
}

static void add_orders(struct plane *plane, const struct node *node, struct text *text)
{
    if (!node_has_orders(node, plane->now))
        return;
    json_t *list = json_array();
    for (int i = 0; i < ORDERS_MAX; i++)
        if (order_is_waiting(&node->orders->slot[i], plane->now)) {
            note_delivered(plane, &node->orders->slot[i]);
            json_array_append_new(list, shape_order(plane, &node->orders->slot[i]));
        }
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
        text_addf(text, "%s{\"id\":%" PRIu64 ",\"kind\":\"%s\",\"intensity\":%.15g,\"lease_s\":%.3f",
                  any ? "," : "", row->id, fault_kind_name(row->kind), row->intensity,
                  duration_seconds(row->asked_at + row->lease_ns - plane->now));
        if (row->shape != SHAPE_STEP)
            text_addf(text, ",\"shape\":\"%s\"", shape_name(row->shape));
        if (row->period_ns > 0)
            text_addf(text, ",\"period_s\":%.6f", duration_seconds(row->period_ns));
        text_add(text, "}");
        any = true;
    }
}

/* Written by hand, since every report is answered with it: nearly always both lists are empty. */
void api_answer_node(struct plane *plane, struct request *request, struct node *node, const char *head)
{
    char body[64 * 1024];
    struct text text = text_over(body, sizeof(body));
    text_add(&text, "{");
    text_add(&text, head);
    text_add(&text, "\"commands\":[");
    add_orders(plane, node, &text);
    text_add(&text, "],\"faults\":[");
    add_faults(plane, node, &text);
    text_add(&text, node->undo ? "],\"undo\":true}" : "]}");
    node->undo_told = node->undo;
    CHECK(!text.cut); /* ORDERS_MAX commands with bounded reasons, and one fault of a kind */
    server_answer(request, 200, NULL, body, text.length);
    if (crash_is_armed(CRASH_AFTER_SEND) && node_has_orders(node, plane->now))
        watch_after(plane->sent, MILLISECOND); /* the server has its turn before */
}

/* printf would cost more than reading and deciding the report. */
static void add_number(struct text *text, uint64_t number)
{
    char digits[21];
    char *first = digits + sizeof(digits) - 1;
    *first = '\0';
    do
        *--first = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    text_add(text, first);
}

/* Of the boot of the last report. */
static void add_stored_through(const struct plane *plane, struct node *node, uint64_t boot, struct text *text)
{
    char digits[17];
    if (boot == 0) {
        text_add(text, "null,");
        return;
    }
    json_boot_text(digits, boot);
    text_add(text, "{\"boot\":\"");
    text_add(text, digits);
    text_add(text, "\",\"sequence\":");
    add_number(text, node_through(node, boot, plane->commits.durable));
    text_add(text, "},");
}

static void answer_reports(struct plane *plane, const struct waiter *waiter)
{
    struct node *node = roster_node(&plane->roster, waiter->node);
    char head[160];
    struct text text = text_over(head, sizeof(head));
    text_add(&text, "\"accepted\":");
    add_number(&text, waiter->accepted);
    text_add(&text, ",\"epoch\":");
    add_number(&text, core_control(plane->core)->epoch);
    text_add(&text, ",\"stored_through\":");
    add_stored_through(plane, node, waiter->id, &text);
    api_answer_node(plane, waiter->request, node, head);
}

static void reports_are_kept(struct plane *plane, const struct waiter *waiter, enum wait_end end)
{
    if (end == WAIT_FAILED)
        api_not_kept(plane, waiter->request);
    else /* late: what was decided comes with the next answer */
        answer_reports(plane, waiter);
}

static bool read_body(struct request *request, bool many_nodes, struct report_body *body)
{
    size_t length;
    const char *bytes = request_body(request, &length);
    struct json_error error = {.sentence = ""};
    if (!api_is_json(request))
        return false;
    if (report_body_read(body, bytes, length, many_nodes, &error))
        return true;
    api_refuse(request, &error);
    return false;
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

/* How many of the reports were taken; all, unless the disk is behind. */
static size_t take_all(struct plane *plane, struct node *node, const struct report_body *body, bool *busy)
{
    size_t taken = 0;
    for (size_t i = 0; i < body->gaps_count && !*busy; i++)
        *busy = !take_gap(plane, node, &body->gaps[i]);
    while (!*busy && taken < body->count) {
        *busy = !take(plane, node, &body->list[taken]);
        taken += !*busy;
    }
    return taken;
}

static uint64_t last_boot(const struct report_body *body)
{
    return body->count > 0        ? body->list[body->count - 1].report.boot
           : body->gaps_count > 0 ? body->gaps[body->gaps_count - 1].boot
                                  : 0;
}

void api_node_reports(struct plane *plane, struct request *request, const char *name)
{
    struct report_body body;
    if (!api_name_is_legal(request, name) || !read_body(request, false, &body))
        return;
    struct node *node = enrol(plane, request, name);
    bool busy = false;
    size_t taken = node ? take_all(plane, node, &body, &busy) : 0;
    uint64_t boot = last_boot(&body);
    report_body_free(&body);
    if (!node)
        return;
    plane_run_deadlines(plane);
    if (busy) {
        answer_busy(request, taken);
        return;
    }
    struct waiter waiter = {.request = request,
                            .end = reports_are_kept,
                            .ticket = node->ticket,
                            .by = plane->now + ANSWER_WAIT_MS * MILLISECOND,
                            .node = node->number,
                            .accepted = (uint32_t)taken,
                            .id = boot};
    if (node->ticket > plane->commits.durable)
        wait_add(plane, &waiter);
    else
        answer_reports(plane, &waiter);
}

void api_fleet_reports(struct plane *plane, struct request *request, const char *name)
{
    (void)name;
    struct report_body body;
    if (!read_body(request, true, &body))
        return;
    struct node *node = NULL;
    size_t taken = 0;
    for (; taken < body.count; taken++) {
        node = enrol(plane, request, body.list[taken].node);
        if (!node || !take(plane, node, &body.list[taken]))
            break;
    }
    bool all = taken == body.count;
    report_body_free(&body);
    plane_run_deadlines(plane);
    if (!all && node) {
        answer_busy(request, taken);
    } else if (all) {
        char text[64];
        int length = snprintf(text, sizeof(text), "{\"accepted\":%zu}", taken);
        server_answer(request, 200, NULL, text, (size_t)length);
    }
}
