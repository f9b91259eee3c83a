#include "agent/backlog.h"

#include "agent/agent.h"
#include "base/clock.h"
#include "base/text.h"
#include "wire/json.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    BODY_BYTES = 200 * 1024, /* the control plane takes 256 KiB; live reports go by between two bodies */
    WORTH_TELLING = 5        /* reports; fewer are what crosses any restart */
};

static const duration pace_ns = 50 * MILLISECOND;
static const duration answer_limit_ns = 10 * SECOND; /* as long as the control plane takes for any request */
static const duration retry_least_ns = SECOND, retry_most_ns = 30 * SECOND;

struct backlog {
    struct backlog_options options;
    struct event *timer;
    struct waybill waybill; /* of the batch in the air */
    size_t most;            /* reports in a batch */
    duration retry_ns;
    bool flying, held;
    bool plain; /* the next batch goes without gaps */
    struct {    /* since the backlog was empty */
        uint64_t forwarded, lost[GAP_REASON_COUNT];
        int64_t since_ns; /* monotonic; 0: it is empty */
        duration oldest_ns;
    } story;
    uint64_t lost[GAP_REASON_COUNT]; /* as the batch in the air tells */
};

static void launch(struct backlog *backlog);

/* --- telling -------------------------------------------------------------------------------------------- */

static void tell_begin(struct backlog *backlog, const struct spool_batch *batch)
{
    if (backlog->story.since_ns == 0)
        backlog->story.since_ns = monotonic_ns();
    for (size_t i = 0; i < batch->count; i++)
        if (batch->reports[i].age_ns > backlog->story.oldest_ns)
            backlog->story.oldest_ns = batch->reports[i].age_ns;
}

static void tell_end(struct backlog *backlog)
{
    const uint64_t *lost = backlog->story.lost;
    uint64_t forwarded = backlog->story.forwarded;
    if (forwarded >= WORTH_TELLING || lost[GAP_SPOOL_FULL] > 0 || lost[GAP_DAMAGED] > 0) {
        char line[256];
        struct text text = text_over(line, sizeof line);
        text_addf(&text, "caught up: %llu reports of the last ", (unsigned long long)forwarded);
        text_duration(&text, backlog->story.oldest_ns);
        text_add(&text, " forwarded in ");
        text_duration(&text, monotonic_ns() - backlog->story.since_ns);
        if (lost[GAP_SPOOL_FULL] > 0)
            text_addf(&text, "; %llu lost (spool full)", (unsigned long long)lost[GAP_SPOOL_FULL]);
        if (lost[GAP_DAMAGED] > 0)
            text_addf(&text, "; %llu lost (damaged)", (unsigned long long)lost[GAP_DAMAGED]);
        fprintf(stderr, "%s: %s\n", backlog->options.agent->name, line);
    }
    memset(&backlog->story, 0, sizeof backlog->story);
}

/* --- flights -------------------------------------------------------------------------------------------- */

static void again_in(struct backlog *backlog, duration pause_ns)
{
    struct timeval pause = timeval_of(pause_ns);
    event_add(backlog->timer, &pause);
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    launch(context);
}

/* Who is at fault: the gaps, or one of the reports? */
static void on_refused(struct backlog *backlog)
{
    const struct waybill *waybill = &backlog->waybill;
    backlog->plain = true;
    if (waybill->gaps_count > 0)
        return;
    if (waybill->count > 1)
        backlog->most = waybill->count / 2;
    else
        spool_give_up(backlog->options.receipts->spool, waybill->boot, waybill->from, waybill->to,
                      GAP_DAMAGED);
}

static void on_taken(struct backlog *backlog)
{
    backlog->retry_ns = retry_least_ns;
    backlog->plain = false;
    backlog->most = 2 * backlog->most < BATCH_REPORTS_MAX ? 2 * backlog->most : BATCH_REPORTS_MAX;
    backlog->story.forwarded += backlog->waybill.count;
    for (int reason = 0; reason < GAP_REASON_COUNT; reason++)
        backlog->story.lost[reason] += backlog->lost[reason];
}

static void on_answer(void *context, const struct answer *answer)
{
    struct backlog *backlog = context;
    const struct waybill *waybill = &backlog->waybill;
    bool refused = answer->status == 400 || answer->status == 413 || answer->status == 422;
    bool taken = answer->status >= 200 && answer->status < 300 &&
                 backlog->options.taken(backlog->options.context, waybill, answer);
    duration pause_ns = answer->took_ns > pace_ns ? answer->took_ns : pace_ns;
    backlog->flying = false;
    gaps_move(spool_gaps(backlog->options.receipts->spool), GAP_SENDING, GAP_WAITING);
    if (taken)
        on_taken(backlog);
    else if (refused && waybill->count > 0)
        on_refused(backlog);
    else {
        pause_ns = backlog->retry_ns;
        backlog->retry_ns = 2 * pause_ns < retry_most_ns ? 2 * pause_ns : retry_most_ns;
    }
    again_in(backlog, pause_ns);
}

static void fill_waybill(struct backlog *backlog, const struct spool_batch *batch)
{
    struct receipts *receipts = backlog->options.receipts;
    struct gaps *gaps = spool_gaps(receipts->spool);
    struct waybill *waybill = &backlog->waybill;
    *waybill = (struct waybill){.departure = receipts_depart(receipts),
                                .sent_ns = uptime_ns(),
                                .boot = batch->boot,
                                .count = batch->count,
                                .gaps_count = batch->gaps_count};
    if (batch->count > 0) {
        waybill->from = batch->reports[0].report.sequence;
        waybill->to = batch->reports[batch->count - 1].report.sequence;
    }
    memset(backlog->lost, 0, sizeof backlog->lost);
    for (size_t i = 0; i < batch->gaps_count; i++) {
        waybill->gaps_to[i] = batch->gaps[i].to;
        backlog->lost[batch->gaps[i].reason] += batch->gaps[i].to - batch->gaps[i].from + 1;
        for (size_t k = 0; k < gaps->count; k++)
            if (gaps->list[k].boot == batch->boot && gaps->list[k].to == batch->gaps[i].to &&
                gaps->list[k].state == GAP_WAITING)
                gaps->list[k].state = GAP_SENDING;
    }
}

static json_t *gap_json(const struct gap *gap)
{
    json_t *body = json_object();
    json_object_set_new(body, "boot", json_of_boot(gap->boot));
    json_object_set_new(body, "from", json_integer((json_int_t)gap->from));
    json_object_set_new(body, "to", json_integer((json_int_t)gap->to));
    json_object_set_new(body, "reason", json_string(gap_reason_word(gap->reason)));
    return body;
}

static json_t *batch_json(const struct spool_batch *batch)
{
    json_t *body = json_object(), *reports = json_array(), *gaps = json_array();
    for (size_t i = 0; i < batch->count; i++)
        json_array_append_new(reports,
                              agent_report_json(&batch->reports[i].report, batch->reports[i].age_ns));
    for (size_t i = 0; i < batch->gaps_count; i++)
        json_array_append_new(gaps, gap_json(&batch->gaps[i]));
    json_object_set_new(body, "reports", reports);
    if (batch->gaps_count > 0)
        json_object_set(body, "gaps", gaps);
    json_decref(gaps);
    return body;
}

static void launch(struct backlog *backlog)
{
    const struct backlog_options *options = &backlog->options;
    struct spool_batch batch;
    if (backlog->flying || backlog->held)
        return;
    uint64_t below = options->below(options->context);
    int error = spool_batch(options->receipts->spool, below, backlog->most, BODY_BYTES,
                            options->takes_gaps(options->context) && !backlog->plain, &batch);
    if (error == -ENOENT) {
        tell_end(backlog);
        backlog->plain = false; /* the gaps may go with the next answer's leave */
    } else if (error) {
        again_in(backlog, retry_least_ns);
    }
    if (error)
        return;
    tell_begin(backlog, &batch);
    fill_waybill(backlog, &batch);
    json_t *body = batch_json(&batch);
    spool_batch_free(&batch);
    backlog->flying = true;
    agent_send(options->agent, options->plane, "POST", "/reports", body, answer_limit_ns, on_answer, backlog);
}

/* --- the calls ------------------------------------------------------------------------------------------ */

struct backlog *backlog_new(const struct backlog_options *options)
{
    struct backlog *backlog = calloc(1, sizeof *backlog);
    if (!backlog)
        return NULL;
    backlog->options = *options;
    backlog->most = BATCH_REPORTS_MAX;
    backlog->retry_ns = retry_least_ns;
    backlog->timer = evtimer_new(options->base, on_timer, backlog);
    if (!backlog->timer)
        backlog_free(&backlog);
    return backlog;
}

void backlog_free(struct backlog **owner)
{
    struct backlog *backlog = *owner;
    *owner = NULL;
    if (!backlog)
        return;
    if (backlog->timer)
        event_free(backlog->timer);
    free(backlog);
}

void backlog_go(struct backlog *backlog)
{
    backlog->held = false;
    if (!backlog->flying && !evtimer_pending(backlog->timer, NULL))
        launch(backlog);
}

void backlog_hold(struct backlog *backlog)
{
    backlog->held = true;
}
