#include "agent/reporter.h"

#include "agent/agent.h"
#include "base/clock.h"
#include "wire/client.h"
#include "wire/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FLIGHTS_MAX = 4, LIVE_FLIGHTS_MAX = 2, PATH_SIZE = 128 };

static const duration answer_limit_ns = 3 * SECOND; /* reports are answered at once; a slow answer is none */
static const duration hello_again_ns = 30 * SECOND; /* for a control plane that was replaced unnoticed */

enum row_state { ROW_UNSENT, ROW_SENDING, ROW_SENT };

struct row {
    uint64_t sequence;
    int64_t taken_ns; /* uptime */
    struct samples samples;
    enum row_state state;
};

/* One request with reports, from its sending to its answer. */
struct flight {
    struct reporter *reporter;
    uint64_t sequence[REPORTS_KEPT];
    size_t count; /* 0: this place is free */
    bool live;
};

struct reporter {
    struct reporter_options options;
    struct row rows[REPORTS_KEPT]; /* the oldest first */
    size_t count;
    struct flight flights[FLIGHTS_MAX];
    uint64_t sequence, lost;
    uint64_t faults_sequence; /* the newest report whose answer told about faults */
    uint64_t epoch;
    int64_t hello_ns; /* monotonic, of the last hello */
    void (*goodbye_done)(void *context);
    bool greeted, greeting, complained;
};

static void flush(struct reporter *reporter);

static void send_json(struct reporter *reporter, const char *method, const char *tail, json_t *body,
                      duration timeout_ns, client_done *done, void *context)
{
    char path[PATH_SIZE];
    size_t length = 0;
    char *text = body ? json_text_of(body, &length) : NULL;
    snprintf(path, sizeof path, "/v1/nodes/%s%s", reporter->options.agent->name, tail);
    int error = body && !text ? -1
                              : client_send(reporter->options.plane, method, path, NULL, text, length,
                                            timeout_ns, done, context);
    free(text);
    if (error < 0)
        done(context, &(struct answer){.error = "it could not be sent"});
}

/* Once per trouble, not once per interval. */
static void complain(struct reporter *reporter, const char *what, const struct answer *answer)
{
    if (!reporter->complained)
        fprintf(stderr, "%s: %s: %s (status %d)\n", reporter->options.agent->name, what,
                answer->error  ? answer->error
                : answer->body ? answer->body
                               : "",
                answer->status);
    reporter->complained = true;
}

/* --- hello ---------------------------------------------------------------------------------------------- */

static void meet_epoch(struct reporter *reporter, uint64_t epoch)
{
    if (epoch == reporter->epoch)
        return;
    reporter->epoch = epoch;
    for (size_t i = 0; i < reporter->count; i++)
        if (reporter->rows[i].state == ROW_SENT)
            reporter->rows[i].state = ROW_UNSENT;
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
    if (reporter->lost > 0)
        fprintf(stderr, "%s: the oldest %llu reports were given up while the control plane was away\n",
                reporter->options.agent->name, (unsigned long long)reporter->lost);
    reporter->lost = 0;
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
    send_json(reporter, "PUT", "", hello_json(reporter), answer_limit_ns, on_hello, reporter);
}

/* --- rows ----------------------------------------------------------------------------------------------- */

static struct row *row_find(struct reporter *reporter, uint64_t sequence)
{
    for (size_t i = 0; i < reporter->count; i++)
        if (reporter->rows[i].sequence == sequence)
            return &reporter->rows[i];
    return NULL;
}

static void row_drop(struct reporter *reporter, size_t index)
{
    reporter->count--;
    memmove(&reporter->rows[index], &reporter->rows[index + 1],
            (reporter->count - index) * sizeof reporter->rows[0]);
}

static void rows_stored(struct reporter *reporter, uint64_t through)
{
    for (size_t i = reporter->count; i-- > 0;)
        if (reporter->rows[i].state == ROW_SENT && reporter->rows[i].sequence <= through)
            row_drop(reporter, i);
}

static json_t *row_json(const struct reporter *reporter, const struct row *row, int64_t now_ns)
{
    json_t *report = json_object(), *samples = json_object();
    duration age_ns = now_ns > row->taken_ns ? now_ns - row->taken_ns : 0;
    json_object_set_new(report, "boot", json_of_boot(reporter->options.boot));
    json_object_set_new(report, "sequence", json_integer((json_int_t)row->sequence));
    json_object_set_new(report, "age_s", json_of_seconds(age_ns));
    for (int metric = 0; metric < METRIC_COUNT; metric++)
        if (samples_have(&row->samples, (enum metric)metric))
            json_object_set_new(samples, metric_name((enum metric)metric),
                                json_of_number(row->samples.value[metric]));
    json_object_set_new(report, "samples", samples);
    return report;
}

/* --- flights -------------------------------------------------------------------------------------------- */

static void obey(struct reporter *reporter, const struct flight *flight, const struct answer *answer)
{
    struct orders orders;
    char why[256];
    if (!orders_parse(answer->body, answer->length, &orders, why, sizeof why)) {
        complain(reporter, why, answer);
        return;
    }
    uint64_t newest = flight->sequence[flight->count - 1];
    if (orders.stored_boot == reporter->options.boot)
        rows_stored(reporter, orders.stored_sequence);
    /* Two answers may overtake each other, and the older knows less. */
    if (newest < reporter->faults_sequence)
        orders.has_faults = false;
    else if (orders.has_faults)
        reporter->faults_sequence = newest;
    for (size_t i = 0; i < orders.commands_count; i++)
        if (orders.commands[i].epoch > reporter->epoch)
            reporter_hello(reporter);
    if (!reporter->goodbye_done)
        reporter->options.obey(reporter->options.context, &orders);
}

static void on_answer(void *context, const struct answer *answer)
{
    struct flight *flight = context;
    struct reporter *reporter = flight->reporter;
    bool taken = answer->status >= 200 && answer->status < 300;
    bool hopeless = answer->status >= 400 && answer->status < 500 && answer->status != 404 &&
                    answer->status != 408 && answer->status != 429;
    for (size_t i = 0; i < flight->count; i++) {
        struct row *row = row_find(reporter, flight->sequence[i]);
        if (row)
            row->state = taken || hopeless ? ROW_SENT : ROW_UNSENT;
    }
    if (taken) {
        reporter->complained = false;
        obey(reporter, flight, answer);
    } else {
        complain(reporter, "the control plane does not take the report", answer);
    }
    flight->count = 0;
    if (taken)
        flush(reporter);
    else if (!hopeless)
        reporter->greeted = false; /* it may be another one when it is back: introduce ourselves again */
    if (answer->status == 404)
        reporter_hello(reporter);
}

static struct flight *flight_free(struct reporter *reporter)
{
    for (size_t i = 0; i < FLIGHTS_MAX; i++)
        if (reporter->flights[i].count == 0)
            return &reporter->flights[i];
    return NULL;
}

static int flights_of(const struct reporter *reporter, bool live)
{
    int count = 0;
    for (size_t i = 0; i < FLIGHTS_MAX; i++)
        count += reporter->flights[i].count > 0 && reporter->flights[i].live == live;
    return count;
}

static void take_off(struct reporter *reporter, struct flight *flight, bool live, json_t *body)
{
    flight->reporter = reporter;
    flight->live = live;
    send_json(reporter, "POST", "/reports", body, answer_limit_ns, on_answer, flight);
}

static void board(struct flight *flight, struct row *row)
{
    row->state = ROW_SENDING;
    flight->sequence[flight->count++] = row->sequence;
}

static void send_newest(struct reporter *reporter, struct row *row)
{
    struct flight *flight = flight_free(reporter);
    if (!flight || flights_of(reporter, true) >= LIVE_FLIGHTS_MAX)
        return;
    json_t *body = row_json(reporter, row, uptime_ns());
    json_t *faults = reporter->options.faults(reporter->options.context);
    if (faults)
        json_object_set_new(body, "faults", faults);
    board(flight, row);
    take_off(reporter, flight, true, body);
}

static void send_older(struct reporter *reporter)
{
    struct flight *flight = flight_free(reporter);
    if (!flight || flights_of(reporter, false) > 0)
        return;
    json_t *list = json_array();
    int64_t now_ns = uptime_ns();
    for (size_t i = 0; i < reporter->count; i++) {
        struct row *row = &reporter->rows[i];
        if (row->state != ROW_UNSENT)
            continue;
        json_array_append_new(list, row_json(reporter, row, now_ns));
        board(flight, row);
    }
    if (flight->count == 0) {
        json_decref(list);
        return;
    }
    json_t *body = json_object();
    json_object_set_new(body, "reports", list);
    take_off(reporter, flight, false, body);
}

static void flush(struct reporter *reporter)
{
    if (!reporter->greeted || reporter->count == 0 || reporter->goodbye_done)
        return;
    struct row *newest = row_find(reporter, reporter->sequence);
    if (newest && newest->state == ROW_UNSENT)
        send_newest(reporter, newest);
    else if (!newest || newest->state == ROW_SENT) /* it is there and answers: now the rest */
        send_older(reporter);
}

/* --- the calls ------------------------------------------------------------------------------------------ */

struct reporter *reporter_new(const struct reporter_options *options)
{
    struct reporter *reporter = calloc(1, sizeof *reporter);
    if (reporter)
        reporter->options = *options;
    return reporter;
}

void reporter_free(struct reporter **reporter)
{
    free(*reporter);
    *reporter = NULL;
}

void reporter_report(struct reporter *reporter, const struct samples *samples)
{
    if (reporter->count == REPORTS_KEPT) {
        reporter->lost += reporter->rows[0].state == ROW_UNSENT;
        row_drop(reporter, 0);
    }
    reporter->rows[reporter->count++] =
        (struct row){.sequence = ++reporter->sequence, .taken_ns = uptime_ns(), .samples = *samples};
    if (!reporter->greeted || monotonic_ns() - reporter->hello_ns > hello_again_ns)
        reporter_hello(reporter);
    flush(reporter);
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
    send_json(reporter, "DELETE", "", NULL, timeout_ns, on_goodbye, reporter);
}
