#include "agent/outcomes.h"

#include "base/clock.h"
#include "base/crash.h"
#include "agent/journal.h"
#include "wire/client.h"
#include "wire/json.h"

#include <event2/event.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static const duration answer_limit_ns = 5 * SECOND; /* it may wait for a commit */
static const duration wait_least_ns = 100 * MILLISECOND;
static const duration wait_most_ns = 5 * SECOND;

struct outcomes {
    struct client *plane;
    const char *node;
    struct journal *journal;
    struct event *timer;
    uint64_t id; /* under way, or waiting to be tried again; 0: none */
    duration wait_ns;
};

static void try_later(struct outcomes *outcomes)
{
    struct timeval wait = timeval_of(outcomes->wait_ns);
    event_add(outcomes->timer, &wait);
    outcomes->wait_ns = outcomes->wait_ns * 2 < wait_most_ns ? outcomes->wait_ns * 2 : wait_most_ns;
}

static void on_answer(void *context, const struct answer *answer)
{
    struct outcomes *outcomes = context;
    int status = answer->status;
    if (status == 0 || status >= 500 || status == 408 || status == 429) {
        try_later(outcomes);
        return;
    }
    crash_here(CRASH_AFTER_ACK);
    /* A control plane that refuses it will never want it. */
    journal_acknowledge(outcomes->journal, outcomes->id);
    outcomes->id = 0;
    outcomes_send(outcomes);
}

static void send_one(struct outcomes *outcomes, const struct journal_entry *entry)
{
    char path[64];
    snprintf(path, sizeof path, "/v1/commands/%" PRIu64 "/outcome", entry->id);
    json_t *body = json_object();
    json_object_set_new(body, "node", json_of_text(outcomes->node));
    json_object_set_new(body, "outcome", json_string(outcome_name(entry->outcome)));
    json_object_set_new(body, "began", json_boolean(entry->began));
    json_object_set_new(body, "took_s", json_of_number(entry->took_s));
    json_object_set_new(body, "detail", json_of_text(entry->detail));
    size_t length = 0;
    char *text = json_text_of(body, &length);
    int error = text ? client_send(outcomes->plane, "POST", path, NULL, text, length, answer_limit_ns,
                                   on_answer, outcomes)
                     : -1;
    free(text);
    outcomes->id = entry->id;
    if (error < 0)
        try_later(outcomes);
}

static void on_timer(int fd, short what, void *context)
{
    (void)fd, (void)what;
    struct outcomes *outcomes = context;
    const struct journal_entry *entry = journal_find(outcomes->journal, outcomes->id);
    outcomes->id = 0;
    if (entry && entry->outcome != OUTCOME_NONE && !entry->acknowledged)
        send_one(outcomes, entry);
    else
        outcomes_send(outcomes);
}

struct outcomes *outcomes_new(struct event_base *base, struct client *plane, const char *node,
                              struct journal *journal)
{
    struct outcomes *outcomes = calloc(1, sizeof *outcomes);
    if (!outcomes)
        return NULL;
    *outcomes = (struct outcomes){.plane = plane, .node = node, .journal = journal, .wait_ns = wait_least_ns};
    outcomes->timer = event_new(base, -1, 0, on_timer, outcomes);
    if (!outcomes->timer) {
        free(outcomes);
        return NULL;
    }
    return outcomes;
}

void outcomes_free(struct outcomes **owner)
{
    struct outcomes *outcomes = *owner;
    *owner = NULL;
    if (!outcomes)
        return;
    event_free(outcomes->timer);
    free(outcomes);
}

void outcomes_send(struct outcomes *outcomes)
{
    const struct journal_entry *entry = outcomes->id ? NULL : journal_unacknowledged(outcomes->journal);
    outcomes->wait_ns = outcomes->id ? outcomes->wait_ns : wait_least_ns;
    if (entry)
        send_one(outcomes, entry);
}
