#include "agent/reporter.h"

#include "agent/agent.h"
#include "agent/backlog.h"
#include "agent/receipts.h"
#include "agent/report.h"
#include "agent/spool.h"
#include "base/clock.h"
#include "base/text.h"
#include "wire/client.h"
#include "wire/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LIVE_FLIGHTS_MAX = 2, UNAUTHORIZED = 401 };

static const duration answer_limit_ns = 3 * SECOND; /* reports are answered at once; a slow answer is none */
static const duration hello_again_ns = 30 * SECOND; /* for a control plane that was replaced unnoticed */

/* One request with the report that was the newest, from its sending to its answer. */
struct flight {
    struct reporter *reporter;
    struct waybill waybill;
    bool flying;
};

struct reporter {
    struct reporter_options options;
    struct receipts receipts;
    struct backlog *backlog;
    struct agent_report newest;
    bool newest_waits; /* to be sent */
    struct flight flights[LIVE_FLIGHTS_MAX];
    uint64_t faults_departure; /* of the newest report whose answer told about faults */
    uint64_t epoch;
    int64_t hello_ns; /* monotonic, of the last hello */
    duration clock_skew_ns;
    void (*goodbye_done)(void *context);
    bool greeted, greeting, complained;
    bool tells_epoch; /* the control plane, in its answers: then it knows of gaps too */
};

static void flush(struct reporter *reporter);

static void send(struct reporter *reporter, const char *method, const char *tail, json_t *body,
                 duration timeout_ns, client_done *done, void *context)
{
    agent_send(reporter->options.agent, reporter->options.plane, method, tail, body, timeout_ns, done,
               context);
}

static void add_reason(struct text *text, const struct answer *answer, bool has_token)
{
    struct json_error error;
    if (answer->status == 0) {
        text_add(text, answer->error ? answer->error : "there was no answer");
        return;
    }
    json_t *problem = answer->body ? json_parse(answer->body, answer->length, &error) : NULL;
    const char *detail = json_string_value(json_object_get(problem, "detail"));
    text_addf(text, "%s (status %d)", detail ? detail : answer->body ? answer->body : "", answer->status);
    json_decref(problem);
    if (answer->status == UNAUTHORIZED)
        text_addf(text, "; mend: --token-file FILE with %s line 'node TOKEN', or HOMEOSTAT_TOKEN_FILE",
                  has_token ? "the control plane's" : "a");
}

/* Once per trouble, not once per interval. */
static void complain(struct reporter *reporter, const char *what, const struct answer *answer)
{
    char line[512];
    struct text text = text_over(line, sizeof line);
    if (reporter->complained)
        return;
    reporter->complained = true;
    add_reason(&text, answer, reporter->options.agent->token != NULL);
    text_tame(line);
    fprintf(stderr, "%s: %s: %s\n", reporter->options.agent->name, what, line);
}

/* --- hello ---------------------------------------------------------------------------------------------- */

static void meet_epoch(struct reporter *reporter, uint64_t epoch)
{
    if (epoch == reporter->epoch)
        return;
    reporter->epoch = epoch;
    receipts_forget(&reporter->receipts);
    reporter->options.meet_epoch(reporter->options.context, epoch);
}

static void on_hello(void *context, const struct answer *answer)
{
    struct reporter *reporter = context;
    reporter->greeting = false;
    if (answer->status != 200) {
        complain(reporter, "the control plane does not take the hello", answer);
        return; /* the next report tries again */
    }
    struct json_error error;
    json_t *document = json_parse(answer->body, answer->length, &error);
    struct json_reader reader = json_reader_over(document, &error);
    uint64_t epoch = (uint64_t)json_read_integer(&reader, "epoch", JSON_OPTIONAL, 0, INT64_MAX, 0);
    json_decref(document);
    if (epoch > 0)
        meet_epoch(reporter, epoch);
    reporter->greeted = true;
    reporter->complained = false;
    flush(reporter);
}

static json_t *hello_json(const struct reporter *reporter)
{
    const struct agent_options *agent = reporter->options.agent;
    json_t *hello = json_object(), *calls = json_array();
    int pid = reporter->options.pid(reporter->options.context);
    json_object_set_new(hello, "boot", json_of_boot(reporter->options.boot));
    uint64_t epoch_seen = reporter->options.epoch_seen(reporter->options.context);
    json_object_set_new(hello, "epoch_seen", json_integer((json_int_t)epoch_seen));
    if (agent->role && *agent->role)
        json_object_set_new(hello, "role", json_of_text(agent->role));
    if (agent->zone && *agent->zone)
        json_object_set_new(hello, "zone", json_of_text(agent->zone));
    for (size_t i = 0; i < agent->calls_count; i++)
        json_array_append_new(calls, json_of_text(agent->calls[i].name));
    json_object_set_new(hello, "calls", calls);
    json_object_set_new(hello, "interval_s", json_of_seconds(agent->interval_ns));
    json_object_set_new(hello, "address", json_of_text(reporter->options.address));
    if (agent->exec)
        json_object_set_new(hello, "program", json_true());
    /* What this node believes the time to be. Nobody reckons with it; it shows a clock that is off. */
    double wall_s = duration_seconds(clock_ns(CLOCK_REALTIME) + reporter->clock_skew_ns);
    json_object_set_new(hello, "clock_s", json_real(wall_s));
    if (pid > 0)
        json_object_set_new(hello, "pid", json_integer(pid));
    return hello;
}

void reporter_hello(struct reporter *reporter)
{
    if (reporter->greeting || reporter->goodbye_done)
        return;
    reporter->greeting = true;
    reporter->hello_ns = monotonic_ns();
    send(reporter, "PUT", "", hello_json(reporter), answer_limit_ns, on_hello, reporter);
}

/* --- answers -------------------------------------------------------------------------------------------- */

/* True if the answer is from the control plane that we know, or from a newer one that we know from now on. */
static bool is_of_this_epoch(struct reporter *reporter, const struct orders *orders)
{
    reporter->tells_epoch = orders->epoch != 0;
    if (orders->epoch == 0 || orders->epoch == reporter->epoch)
        return true;
    reporter_hello(reporter); /* it may not know us */
    if (orders->epoch < reporter->epoch)
        return false; /* its last words, or one that has lost its memory: the hello will tell */
    meet_epoch(reporter, orders->epoch);
    return true;
}

static void obey(struct reporter *reporter, const struct waybill *waybill, struct orders *orders)
{
    /* Two answers may overtake each other, and the older knows less. */
    if (waybill->departure < reporter->faults_departure)
        orders->has_faults = false;
    else if (orders->has_faults)
        reporter->faults_departure = waybill->departure;
    for (size_t i = 0; i < orders->commands_count; i++)
        if (orders->commands[i].epoch > reporter->epoch)
            reporter_hello(reporter);
    if (!reporter->goodbye_done)
        reporter->options.obey(reporter->options.context, orders);
}

static bool on_taken(void *context, const struct waybill *waybill, const struct answer *answer)
{
    struct reporter *reporter = context;
    struct orders orders;
    char why[256];
    if (!orders_parse(answer->body, answer->length, &orders, why, sizeof why)) {
        complain(reporter, why, answer);
        return false;
    }
    orders_age(&orders, uptime_ns() - waybill->sent_ns);
    if (!is_of_this_epoch(reporter, &orders))
        return false;
    bool accepted = receipts_accept(&reporter->receipts, waybill);
    if (orders.stored_boot != 0)
        receipts_stored(&reporter->receipts, waybill->departure, orders.stored_boot, orders.stored_sequence);
    obey(reporter, waybill, &orders);
    return accepted;
}

/* --- the newest report ---------------------------------------------------------------------------------- */

static void on_failed(struct reporter *reporter, const struct flight *flight, const struct answer *answer)
{
    complain(reporter, "the control plane does not take the report", answer);
    if (answer->status == 400 || answer->status == 413 || answer->status == 422)
        return; /* it is there; the backlog finds out whether the report is at fault */
    backlog_hold(reporter->backlog);
    reporter->newest_waits = flight->waybill.from == reporter->newest.sequence;
    reporter->greeted = false; /* it may be another one when it is back: introduce ourselves again */
    if (answer->status == 404)
        reporter_hello(reporter);
}

static void on_answer(void *context, const struct answer *answer)
{
    struct flight *flight = context;
    struct reporter *reporter = flight->reporter;
    flight->flying = false;
    if (answer->status < 200 || answer->status >= 300) {
        on_failed(reporter, flight, answer);
        return;
    }
    if (on_taken(reporter, &flight->waybill, answer))
        reporter->complained = false;
    flush(reporter);
    if (!reporter->goodbye_done)
        backlog_go(reporter->backlog);
}

/* Nothing is said of nothing. */
static void add_standing(json_t *body, uint32_t standing)
{
    if (standing == 0)
        return;
    json_t *list = json_array();
    for (int remedy = 0; remedy < REMEDY_COUNT; remedy++)
        if (standing >> remedy & 1)
            json_array_append_new(list, json_string(remedy_name((enum remedy)remedy)));
    json_object_set_new(body, "standing", list);
}

static void send_newest(struct reporter *reporter, struct flight *flight)
{
    const struct agent_report *report = &reporter->newest;
    json_t *body = agent_report_json(report, uptime_ns() - report->taken_ns);
    json_t *faults = reporter->options.faults(reporter->options.context);
    if (faults)
        json_object_set_new(body, "faults", faults);
    add_standing(body, reporter->options.standing(reporter->options.context));
    flight->reporter = reporter;
    flight->flying = true;
    flight->waybill = (struct waybill){.departure = receipts_depart(&reporter->receipts),
                                       .sent_ns = uptime_ns(),
                                       .boot = report->boot,
                                       .from = report->sequence,
                                       .to = report->sequence,
                                       .count = 1};
    reporter->newest_waits = false;
    send(reporter, "POST", "/reports", body, answer_limit_ns, on_answer, flight);
}

static void flush(struct reporter *reporter)
{
    if (!reporter->greeted || !reporter->newest_waits || reporter->goodbye_done)
        return;
    for (size_t i = 0; i < LIVE_FLIGHTS_MAX; i++) {
        if (reporter->flights[i].flying)
            continue;
        send_newest(reporter, &reporter->flights[i]);
        return;
    }
}

/* What waits to be sent alone, or is in the air, is not the backlog's. */
static uint64_t below(void *context)
{
    const struct reporter *reporter = context;
    uint64_t lowest = reporter->newest_waits ? reporter->newest.sequence : UINT64_MAX;
    for (size_t i = 0; i < LIVE_FLIGHTS_MAX; i++)
        if (reporter->flights[i].flying && reporter->flights[i].waybill.from < lowest)
            lowest = reporter->flights[i].waybill.from;
    return lowest;
}

static bool takes_gaps(void *context)
{
    return ((const struct reporter *)context)->tells_epoch;
}

/* --- the calls ------------------------------------------------------------------------------------------ */

struct reporter *reporter_new(const struct reporter_options *options)
{
    struct reporter *reporter = calloc(1, sizeof *reporter);
    if (!reporter)
        return NULL;
    reporter->options = *options;
    reporter->receipts.spool = options->spool;
    struct backlog_options backlog = {.base = options->base,
                                      .agent = options->agent,
                                      .plane = options->plane,
                                      .receipts = &reporter->receipts,
                                      .taken = on_taken,
                                      .below = below,
                                      .takes_gaps = takes_gaps,
                                      .context = reporter};
    reporter->backlog = backlog_new(&backlog);
    if (!reporter->backlog)
        reporter_free(&reporter);
    return reporter;
}

void reporter_free(struct reporter **owner)
{
    struct reporter *reporter = *owner;
    *owner = NULL;
    if (!reporter)
        return;
    backlog_free(&reporter->backlog);
    free(reporter);
}

void reporter_skew_clock(struct reporter *reporter, duration skew_ns)
{
    if (skew_ns == reporter->clock_skew_ns)
        return;
    reporter->clock_skew_ns = skew_ns;
    reporter_hello(reporter);
}

void reporter_report(struct reporter *reporter, const struct samples *samples)
{
    reporter->newest = (struct agent_report){.boot = reporter->options.boot,
                                             .sequence = reporter->newest.sequence + 1,
                                             .taken_ns = uptime_ns(),
                                             .samples = *samples};
    reporter->newest_waits = true;
    spool_put(reporter->options.spool, &reporter->newest);
    if (!reporter->greeted || monotonic_ns() - reporter->hello_ns > hello_again_ns)
        reporter_hello(reporter);
    flush(reporter);
    spool_tidy(reporter->options.spool);
}

static void on_goodbye(void *context, const struct answer *answer)
{
    (void)answer;
    struct reporter *reporter = context;
    reporter->goodbye_done(reporter->options.context);
}

void reporter_goodbye(struct reporter *reporter, duration timeout_ns, void (*done)(void *context))
{
    reporter->goodbye_done = done;
    backlog_hold(reporter->backlog);
    /* Another node agent of this name may have begun: it is not the one that leaves. */
    char tail[32] = "?boot=";
    json_boot_text(tail + strlen(tail), reporter->options.boot);
    send(reporter, "DELETE", tail, NULL, timeout_ns, on_goodbye, reporter);
}
