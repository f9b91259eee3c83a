#include "agent/commander.h"

#include "base/clock.h"
#include "base/crash.h"
#include "agent/journal.h"
#include "agent/outcomes.h"
#include "agent/remedies.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const duration limit_ns = 20 * SECOND; /* each step of a remedy has a shorter one of its own */

struct waiting {
    struct order order;
    int64_t expires_ns; /* uptime: it goes on while the machine sleeps */
};

struct commander {
    struct commander_options options;
    struct event *timer;
    struct waiting queue[COMMANDS_WAITING];
    size_t count;
    struct order running; /* id 0: none */
    int64_t began_ns;
    bool stopped;
};

static void next(struct commander *commander);

static void record(struct commander *commander, uint64_t id, enum outcome outcome, bool began,
                   duration took_ns, const char *detail)
{
    struct journal_entry entry = {
        .id = id, .outcome = outcome, .began = began, .took_s = duration_seconds(took_ns)};
    snprintf(entry.detail, sizeof entry.detail, "%s", detail);
    int error = journal_end(commander->options.journal, &entry);
    if (error < 0) /* told all the same: what happened has happened, and a next node agent would say `cut` */
        fprintf(stderr, "the command journal cannot be written: %s\n", strerror(-error));
    crash_here(CRASH_AFTER_OUTCOME);
    outcomes_send(commander->options.outcomes);
}

/* --- the one that runs ---------------------------------------------------------------------------------- */

static void on_done(void *context, enum outcome outcome, const char *detail)
{
    struct commander *commander = context;
    struct order order = commander->running;
    if (order.id == 0)
        return; /* it took too long and was given up */
    commander->running.id = 0;
    event_del(commander->timer);
    crash_here(CRASH_AFTER_EFFECT);
    if (outcome == OUTCOME_DONE)
        commander->options.carried_out(commander->options.context, (enum remedy)order.remedy);
    record(commander, order.id, outcome, true, monotonic_ns() - commander->began_ns, detail);
    next(commander);
}

static void on_limit(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    struct commander *commander = context;
    uint64_t id = commander->running.id;
    commander->running.id = 0;
    /* It may still come to its end: whether it helped must be observed. */
    record(commander, id, OUTCOME_CUT, true, monotonic_ns() - commander->began_ns,
           "it was not finished in 20 s");
    next(commander);
}

/* Why a command of this kind will not be begun, or NULL. Asked when it comes and once more when its turn
 * comes. */
static const char *objection(const struct commander *commander, const struct order *order)
{
    if (order->epoch < journal_epoch_floor(commander->options.journal))
        return "it comes from an older epoch: another control plane has taken over";
    if (order->boot != 0 && order->boot != commander->options.boot)
        return "it is meant for another boot of this node agent";
    if (order->id <= journal_id_floor(commander->options.journal))
        return "it is older than what this node agent remembers";
    return NULL;
}

static void begin(struct commander *commander, const struct waiting *waiting)
{
    const struct order *order = &waiting->order;
    enum outcome refusal = OUTCOME_REFUSED;
    const char *why = objection(commander, order);
    if (!why)
        why = remedies_objection(commander->options.remedies, order->remedy, &refusal);
    if (why) {
        record(commander, order->id, refusal, false, 0, why);
    } else if (uptime_ns() >= waiting->expires_ns) {
        record(commander, order->id, OUTCOME_EXPIRED, false, 0, "its time was over before its turn came");
    } else if (journal_begin(commander->options.journal, order->id) < 0) {
        record(commander, order->id, OUTCOME_REFUSED, false, 0, "the command journal cannot be written");
    } else {
        struct timeval limit = timeval_of(limit_ns);
        commander->running = *order;
        commander->began_ns = monotonic_ns();
        event_add(commander->timer, &limit);
        crash_here(CRASH_AFTER_JOURNAL);
        remedies_begin(commander->options.remedies, (enum remedy)order->remedy, order->id, on_done,
                       commander);
    }
}

static void next(struct commander *commander)
{
    while (commander->running.id == 0 && commander->count > 0 && !commander->stopped) {
        struct waiting first = commander->queue[0];
        commander->count--;
        memmove(commander->queue, commander->queue + 1, commander->count * sizeof first);
        begin(commander, &first);
    }
}

/* --- those that come ------------------------------------------------------------------------------------ */

static bool is_waiting(const struct commander *commander, uint64_t id)
{
    for (size_t i = 0; i < commander->count; i++)
        if (commander->queue[i].order.id == id)
            return true;
    return commander->running.id == id;
}

static void offer(struct commander *commander, const struct order *order, int64_t now_ns)
{
    if (is_waiting(commander, order->id))
        return;
    const struct journal_entry *known = journal_find(commander->options.journal, order->id);
    if (known) {
        journal_tell_again(commander->options.journal, order->id);
        outcomes_send(commander->options.outcomes);
        return;
    }
    const char *why = objection(commander, order);
    if (why) {
        record(commander, order->id, OUTCOME_REFUSED, false, 0, why);
        return;
    }
    if (order->expires_in_s <= 0) {
        record(commander, order->id, OUTCOME_EXPIRED, false, 0, "its time was over when it came");
        return;
    }
    commander_meet_epoch(commander, order->epoch);
    if (commander->count == COMMANDS_WAITING)
        return;
    double expires_in_s = order->expires_in_s < 1e6 ? order->expires_in_s : 1e6;
    commander->queue[commander->count++] =
        (struct waiting){.order = *order, .expires_ns = now_ns + duration_from_seconds(expires_in_s)};
}

/* --- the calls ------------------------------------------------------------------------------------------ */

struct commander *commander_new(struct event_base *base, const struct commander_options *options)
{
    struct commander *commander = calloc(1, sizeof *commander);
    if (!commander)
        return NULL;
    commander->options = *options;
    commander->timer = event_new(base, -1, 0, on_limit, commander);
    if (!commander->timer) {
        free(commander);
        return NULL;
    }
    return commander;
}

void commander_free(struct commander **owner)
{
    struct commander *commander = *owner;
    *owner = NULL;
    if (!commander)
        return;
    event_free(commander->timer);
    free(commander);
}

void commander_obey(struct commander *commander, const struct orders *orders)
{
    int64_t now_ns = uptime_ns();
    for (size_t i = 0; i < orders->commands_count && !commander->stopped; i++)
        offer(commander, &orders->commands[i], now_ns);
    next(commander);
}

void commander_meet_epoch(struct commander *commander, uint64_t epoch)
{
    int error = journal_meet_epoch(commander->options.journal, epoch);
    if (error < 0)
        fprintf(stderr, "the command journal cannot be written: %s\n", strerror(-error));
}

void commander_stop(struct commander *commander)
{
    commander->stopped = true;
    commander->count = 0;
}
