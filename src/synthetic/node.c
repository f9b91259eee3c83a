/* One synthetic node agent: samples, hello, reports, and what the answers say. */
#include "synthetic/state.h"

#include "base/clock.h"
#include "wire/json.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { PURPOSE_PHASE, PURPOSE_DRIFT };

const char *node_name(const struct node *node)
{
    return node->fleet->names[node->number];
}

/* --- the beginning and the end -------------------------------------------------------------------------- */

static double draw_unit(const struct fleet *fleet, uint64_t purpose, uint32_t node)
{
    return random_unit(random_draw(random_stream(random_key(fleet->seed, 0x53594e00 + purpose), node), 0));
}

/* Another one each time: commands for an earlier one are refused. */
static bool take_boot(struct node *node)
{
    do
        if (getrandom(&node->boot, sizeof node->boot, 0) != sizeof node->boot)
            return false;
    while (node->boot == 0);
    node->sequence = 0;
    node->epoch = 0;
    return true;
}

/* Each begins in its own part of the interval, so that the reports of the fleet are spread evenly over it. */
bool node_init(struct fleet *fleet, uint32_t number)
{
    struct node *node = &fleet->nodes[number];
    duration interval_ns = fleet->layout[number].interval_ns;
    *node = (struct node){.fleet = fleet, .number = number};
    node->rate = 1 + (2 * draw_unit(fleet, PURPOSE_DRIFT, number) - 1) * fleet->scenario->network.drift_ratio;
    node->interval_ns = (duration)((double)interval_ns / node->rate);
    double phase = (number + draw_unit(fleet, PURPOSE_PHASE, number)) / fleet->count;
    node->next_ns = fleet->began_ns + (int64_t)(phase * (double)node->interval_ns);
    heap_set(fleet->heap, number, node->next_ns);
    return take_boot(node);
}

void node_fini(struct node *node)
{
    ring_free(&node->ring);
    commands_free(node);
    free(node->strikes);
}

/* --- hello ---------------------------------------------------------------------------------------------- */

static struct text *begin_body(struct fleet *fleet)
{
    fleet->text.length = 0;
    fleet->text.cut = false;
    fleet->text.bytes[0] = '\0';
    return &fleet->text;
}

/* Names, roles and zones are made of characters that stand for themselves in JSON. */
static void write_hello(const struct node *node)
{
    const struct fleet *fleet = node->fleet;
    const struct world_node *layout = &fleet->layout[node->number];
    struct text *text = begin_body(node->fleet);
    text_addf(text, "{\"boot\":\"%016" PRIx64 "\",\"epoch_seen\":%" PRIu64 ",\"synthetic\":true", node->boot,
              node->epoch_floor);
    text_addf(text, ",\"role\":\"%s\",\"zone\":\"%s\",\"interval_s\":%.6f,\"calls\":[",
              scenario_group_of(fleet->scenario, node->number)->role,
              scenario_zone_of(fleet->scenario, node->number), duration_seconds(layout->interval_ns));
    for (uint32_t i = 0; i < layout->calls_count; i++)
        text_addf(text, "%s\"%s\"", i ? "," : "", fleet->names[layout->calls[i]]);
    text_add(text, "]}");
}

static void say_hello(struct node *node)
{
    int64_t now_ns = monotonic_ns();
    bool waits = node->hello_ns != 0 && now_ns - node->hello_ns < HELLO_AGAIN_NS;
    struct errand *errand = NULL;
    if (!node->greeting && !waits && fleet_has_room(node->fleet))
        errand = errand_new(node->fleet, ERRAND_HELLO, node->number);
    if (!errand)
        return;
    node->greeting = true;
    node->hello_ns = now_ns;
    snprintf(errand->path, sizeof errand->path, "/v1/nodes/%s", node_name(node));
    write_hello(node);
    errand_send(errand);
}

static void meet(struct node *node, uint64_t epoch)
{
    node->epoch_floor = epoch > node->epoch_floor ? epoch : node->epoch_floor;
    if (epoch == 0 || epoch == node->epoch)
        return;
    if (node->epoch != 0)
        ring_unaccept(&node->ring);
    node->epoch = epoch;
}

/* --- reports -------------------------------------------------------------------------------------------- */

static void write_report(const struct node *node, struct text *text, const struct record *record)
{
    double age_s = duration_seconds(uptime_ns() - record->taken_ns) * node->rate;
    const char *comma = "";
    text_addf(text, "{\"boot\":\"%016" PRIx64 "\",\"sequence\":%" PRIu64 ",\"age_s\":%.6f,\"samples\":{",
              record->boot, record->sequence, age_s > 0 ? age_s : 0);
    for (int metric = 0; metric < METRIC_COUNT; metric++) {
        if (!(record->present & 1u << metric))
            continue;
        text_addf(text, "%s\"%s\":%.9g", comma, metric_name((enum metric)metric), record->value[metric]);
        comma = ",";
    }
    text_add(text, "}");
}

/* The newest report, alone: what is happening now must not wait for what happened before. */
static void send_newest(struct node *node)
{
    struct record *newest = node->ring.count > 0 ? ring_at(&node->ring, node->ring.count - 1) : NULL;
    struct errand *errand = NULL;
    if (!newest || newest->state != RECORD_PENDING || node->live == LIVE_MAX)
        return;
    if (fleet_has_room(node->fleet))
        errand = errand_new(node->fleet, ERRAND_REPORT, node->number);
    if (!errand)
        return;
    struct text *text = begin_body(node->fleet);
    write_report(node, text, newest);
    strikes_json(node, text);
    text_add(text, "}");
    ring_load_one(&node->ring, newest, &errand->freight);
    node->live++;
    snprintf(errand->path, sizeof errand->path, "/v1/nodes/%s/reports", node_name(node));
    errand_send(errand);
}

static void write_backlog(struct node *node, const struct freight *freight)
{
    struct text *text = begin_body(node->fleet);
    struct losses *losses = node->ring.losses;
    uint32_t written = 0, told = 0;
    text_add(text, "{\"reports\":[");
    for (uint32_t i = 0; i < node->ring.count; i++) {
        const struct record *record = ring_at(&node->ring, i);
        if (record->state != RECORD_FLYING || record->departure != freight->departure)
            continue;
        text_add(text, written++ ? "," : "");
        write_report(node, text, record);
        text_add(text, "}");
    }
    text_add(text, "]");
    for (uint32_t i = 0; freight->losses && i < losses->count; i++) {
        struct loss *loss = &losses->list[i];
        if (loss->state != LOSS_WAITING || loss->boot != freight->boot)
            continue;
        text_addf(text,
                  "%s{\"boot\":\"%016" PRIx64 "\",\"from\":%" PRIu64 ",\"to\":%" PRIu64 ",\"reason\":\"%s\"}",
                  told++ ? "," : ",\"gaps\":[", loss->boot, loss->from, loss->to,
                  loss->damaged ? "damaged" : "spool_full");
        loss->state = LOSS_SENDING;
    }
    text_add(text, told ? "]}" : "}");
}

static void send_backlog(struct node *node)
{
    struct fleet *fleet = node->fleet;
    const struct record *newest = node->ring.count > 0 ? ring_at(&node->ring, node->ring.count - 1) : NULL;
    if (node->backlog || fleet->backlogs == BACKLOGS_MAX || !fleet_has_room(fleet) ||
        !ring_has_backlog(&node->ring, newest))
        return;
    struct errand *errand = errand_new(fleet, ERRAND_BACKLOG, node->number);
    if (!errand)
        return;
    node->backlog = true;
    fleet->backlogs++;
    ring_load(&node->ring, newest, &errand->freight);
    write_backlog(node, &errand->freight);
    snprintf(errand->path, sizeof errand->path, "/v1/nodes/%s/reports", node_name(node));
    errand_send(errand);
}

/* --- samples -------------------------------------------------------------------------------------------- */

static void put_record(struct node *node, const struct world_sample *sample)
{
    struct record *record = ring_put(&node->ring);
    record->taken_ns = uptime_ns();
    record->boot = node->boot;
    record->sequence = ++node->sequence;
    record->present = sample->present;
    memcpy(record->value, sample->value, sizeof record->value);
}

/* Either the way is cut, and the node agent goes on by itself, or the node is off with all that runs on it.
 */
static bool is_off(const struct node *node)
{
    struct world_truth truth;
    world_truth(node->fleet->world, node->number, fleet_now(node->fleet), &truth);
    return (truth.faults & 1u << FAULT_ZONE_OUTAGE) != 0;
}

static void go_off(struct node *node)
{
    node->off = true;
    node->welcome = false;
    node->hello_ns = 0;
    commands_stop(node);
}

/* One hello in a while asks whether somebody is there again. */
static bool may_knock(struct fleet *fleet)
{
    int64_t now_ns = monotonic_ns();
    if (fleet->away_ns == 0)
        return true;
    if (now_ns - fleet->probed_ns < PROBE_NS)
        return false;
    fleet->probed_ns = now_ns;
    return true;
}

void node_sample(struct node *node)
{
    struct fleet *fleet = node->fleet;
    struct world_sample sample;
    world_sample(fleet->world, node->number, fleet_now(fleet), &sample);
    node->cut_off = sample.silent;
    strikes_observe(node, &sample);
    if (sample.silent && is_off(node)) {
        if (!node->off)
            go_off(node);
        return;
    }
    if (node->off)
        node->off = !take_boot(node);
    put_record(node, &sample);
    bool known =
        node->welcome && node->absence == fleet->absences && monotonic_ns() - node->hello_ns < GREET_AGAIN_NS;
    if (!may_knock(fleet))
        return;
    if (!known)
        say_hello(node);
    if (node->welcome && node->absence == fleet->absences)
        send_newest(node);
    commands_tell(node);
}

void node_report_now(struct node *node)
{
    struct world_sample sample;
    world_sample(node->fleet->world, node->number, fleet_now(node->fleet), &sample);
    if (sample.silent)
        return;
    put_record(node, &sample);
    send_newest(node);
}

/* --- answers -------------------------------------------------------------------------------------------- */

static void hear_hello(struct node *node, const struct errand *errand, int status, const char *body,
                       size_t length)
{
    struct json_error error = {.sentence = ""};
    node->greeting = node->greeting && errand->copy;
    if (status != 200) {
        if (status != 0)
            fleet_complain(node->fleet, TROUBLE_HELLO, node, status, body);
        return; /* the next sample tries again */
    }
    json_t *document = json_parse(body, length, &error);
    struct json_reader reader = json_reader_over(document, &error);
    meet(node, (uint64_t)json_read_integer(&reader, "epoch", JSON_OPTIONAL, 0, INT64_MAX, 0));
    json_decref(document);
    node->fleet->welcomed += !node->ever_welcome;
    node->welcome = node->ever_welcome = true;
    node->absence = node->fleet->absences;
    send_newest(node);
}

/* True if the answer is from the control plane that we know, or from a newer one that we know from now on. */
static bool is_of_this_epoch(struct node *node, const struct orders *orders)
{
    if (orders->epoch == 0 || orders->epoch == node->epoch)
        return true;
    say_hello(node); /* it may not know us */
    if (orders->epoch < node->epoch)
        return false; /* its last words, or one that has lost its memory: the hello will tell */
    meet(node, orders->epoch);
    return true;
}

static void obey(struct node *node, const struct errand *errand, struct orders *orders)
{
    /* Two answers may overtake each other, and the older knows less. */
    if (errand->freight.departure < node->faults_departure)
        orders->has_faults = false;
    else if (orders->has_faults)
        node->faults_departure = errand->freight.departure;
    strikes_obey(node, orders);
    commands_obey(node, orders);
}

static void hear_taken(struct node *node, const struct errand *errand, const char *body, size_t length)
{
    struct orders orders;
    char why[256];
    if (!orders_parse(body, length, &orders, why, sizeof why)) {
        fleet_complain(node->fleet, TROUBLE_ANSWER, node, 200, why);
        ring_fail(&node->ring, &errand->freight);
        return;
    }
    orders_age(&orders, (duration)((double)(uptime_ns() - errand->sent_ns) * node->rate));
    if (!is_of_this_epoch(node, &orders)) {
        ring_fail(&node->ring, &errand->freight);
        return;
    }
    ring_accept(&node->ring, &errand->freight);
    if (orders.stored_boot != 0)
        ring_stored(&node->ring, errand->freight.departure, orders.stored_boot, orders.stored_sequence);
    obey(node, errand, &orders);
    send_newest(node);
    send_backlog(node);
}

static void hear_report(struct node *node, const struct errand *errand, int status, const char *body,
                        size_t length)
{
    bool refused = status == 400 || status == 413 || status == 422;
    if (!errand->copy && errand->kind == ERRAND_REPORT)
        node->live--;
    if (!errand->copy && errand->kind == ERRAND_BACKLOG) {
        node->backlog = false;
        node->fleet->backlogs--;
    }
    if (status >= 200 && status < 300) {
        hear_taken(node, errand, body, length);
        return;
    }
    if (status != 0)
        fleet_complain(node->fleet, TROUBLE_REPORT, node, status, body);
    if (refused)
        ring_give_up(&node->ring, &errand->freight);
    else
        ring_fail(&node->ring, &errand->freight);
    if (status == 404 || status == 401 || status == 403)
        node->welcome = false;
}

void node_hear(const struct errand *errand, int status, const char *body, size_t length)
{
    struct node *node = &errand->fleet->nodes[errand->node];
    bool of_the_past = errand->boot != node->boot || node->off;
    if (errand->kind == ERRAND_OUTCOME) {
        commands_told(node, errand, status);
    } else if (of_the_past) { /* its node agent is gone; what it had put by has not been taken */
        int nothing = 0;
        if (errand->kind == ERRAND_HELLO)
            node->greeting = false;
        else
            hear_report(node, errand, nothing, "", 0);
    } else if (errand->kind == ERRAND_HELLO) {
        hear_hello(node, errand, status, body, length);
    } else {
        hear_report(node, errand, status, body, length);
    }
}
