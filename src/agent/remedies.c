#include "agent/remedies.h"

#include "agent/knock.h"
#include "agent/link.h"
#include "agent/load.h"
#include "agent/supervisor.h"
#include "base/check.h"
#include "base/crash.h"
#include "inject/page.h"
#include "wire/client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static const duration failover_limit_ns =
    10 * SECOND; /* a write may be waiting for the slow folder until then */
static const duration echo_limit_ns = 2 * SECOND;

enum { DETAIL_SIZE = 160 };

struct remedies {
    struct remedies_options options;
    struct client *admin; /* to the service's own port, past the relay */
    struct knocker *echo; /* to the relay's echo port */
    remedies_done *done;  /* of the one under way, else NULL */
    void *context;
    char detail[DETAIL_SIZE]; /* what its first step said */
    bool drained;             /* before it began */
};

static void finish(struct remedies *remedies, int result, const char *detail)
{
    remedies_done *done = remedies->done;
    CHECK(done);
    remedies->done = NULL;
    done(remedies->context, result < 0 ? OUTCOME_FAILED : OUTCOME_DONE, detail);
}

/* --- restart_service ------------------------------------------------------------------------------------ */

static void on_undrained(void *context, int result, const char *detail)
{
    struct remedies *remedies = context;
    if (result == 0)
        load_pause(remedies->options.load, false);
    finish(remedies, result, result < 0 ? detail : remedies->detail);
}

static void on_restarted(void *context, int result, const char *detail)
{
    struct remedies *remedies = context;
    snprintf(remedies->detail, sizeof remedies->detail, "%s", detail);
    if (result < 0 || !link_is_drained(remedies->options.link)) {
        finish(remedies, result, remedies->detail);
        return;
    }
    int error = link_replace(remedies->options.link, on_undrained, remedies);
    if (error < 0)
        finish(remedies, error, "the relay is being replaced already");
}

static void restart_service(struct remedies *remedies, uint64_t command)
{
    int error = supervisor_restart(remedies->options.supervisor, command, on_restarted, remedies);
    if (error < 0)
        finish(remedies, error, "the service is being started already");
}

/* --- failover_storage ----------------------------------------------------------------------------------- */

static void on_failover(void *context, const struct answer *answer)
{
    struct remedies *remedies = context;
    bool standby = !supervisor_on_standby(remedies->options.supervisor);
    if (answer->status == 200) {
        supervisor_set_standby(remedies->options.supervisor, standby);
        snprintf(remedies->detail, sizeof remedies->detail, "storage %s -> %s",
                 standby ? "primary" : "standby", standby ? "standby" : "primary");
    } else {
        snprintf(remedies->detail, sizeof remedies->detail, "the service answered %d %.100s", answer->status,
                 answer->error ? answer->error : answer->body);
    }
    finish(remedies, answer->status == 200 ? 0 : -EIO, remedies->detail);
}

static void failover_storage(struct remedies *remedies)
{
    bool standby = !supervisor_on_standby(remedies->options.supervisor);
    /* The service reads its incarnation when it switches, so this must come first. Until then it counts by
     * the old one and feels what it felt. */
    page_renew(remedies->options.page, FAULT_STORAGE_LATENCY);
    crash_here(CRASH_MID_EFFECT);
    int error = client_send(remedies->admin, "POST",
                            standby ? "/admin/storage?folder=standby" : "/admin/storage?folder=primary", NULL,
                            NULL, 0, failover_limit_ns, on_failover, remedies);
    if (error < 0)
        finish(remedies, error, "the service could not be asked");
}

/* --- reset_network -------------------------------------------------------------------------------------- */

static void on_echo(void *context, bool answered, duration took_ns)
{
    (void)took_ns;
    struct remedies *remedies = context;
    if (answered &&
        remedies->drained) /* not before: a signal would kill a relay that does not expect it yet */
        link_drain(remedies->options.link);
    finish(remedies, answered ? 0 : -ETIMEDOUT,
           answered ? remedies->detail : "the new relay does not answer");
}

static void on_replaced(void *context, int result, const char *detail)
{
    struct remedies *remedies = context;
    snprintf(remedies->detail, sizeof remedies->detail, "%s", detail);
    int error = result < 0 ? result : knock(remedies->echo);
    if (error < 0)
        finish(remedies, error, remedies->detail);
}

static void reset_network(struct remedies *remedies)
{
    remedies->drained = link_is_drained(remedies->options.link);
    page_renew(remedies->options.page, FAULT_NETWORK_DELAY);
    crash_here(CRASH_MID_EFFECT);
    int error = link_replace(remedies->options.link, on_replaced, remedies);
    if (error < 0)
        finish(remedies, error, "the relay is being replaced already");
}

/* --- drain_node ----------------------------------------------------------------------------------------- */

static void drain_node(struct remedies *remedies)
{
    load_pause(remedies->options.load, true);
    crash_here(CRASH_MID_EFFECT);
    link_drain(remedies->options.link);
    finish(remedies, 0, "no more users are sent here");
}

/* --- the calls ------------------------------------------------------------------------------------------ */

struct remedies *remedies_new(struct event_base *base, const struct remedies_options *options)
{
    struct remedies *remedies = calloc(1, sizeof *remedies);
    if (!remedies)
        return NULL;
    remedies->options = *options;
    struct client_options admin = {
        .host = "127.0.0.1", .port = supervisor_port(options->supervisor), .connections = 1, .queue = 1};
    remedies->admin = client_new(base, &admin);
    remedies->echo = knocker_new(base, options->echo_port, "reset", echo_limit_ns, on_echo, remedies);
    if (!remedies->admin || !remedies->echo)
        remedies_free(&remedies);
    return remedies;
}

static void forget(void *context, enum outcome outcome, const char *detail)
{
    (void)context, (void)outcome, (void)detail;
}

void remedies_free(struct remedies **owner)
{
    struct remedies *remedies = *owner;
    *owner = NULL;
    if (!remedies)
        return;
    if (remedies->done)
        remedies->done = forget; /* freeing the client ends its requests, which ends the remedy */
    if (remedies->admin)
        client_free(&remedies->admin);
    knocker_free(&remedies->echo);
    free(remedies);
}

const char *remedies_objection(const struct remedies *remedies, int remedy, enum outcome *outcome)
{
    *outcome = OUTCOME_REFUSED;
    if (remedies->done)
        return "an earlier remedy is still under way";
    switch (remedy) {
    case REMEDY_RESTART_SERVICE:
    case REMEDY_RESET_NETWORK:
    case REMEDY_DRAIN_NODE:
        return NULL;
    case REMEDY_FAILOVER_STORAGE:
        if (!remedies->options.built_in) {
            *outcome = OUTCOME_UNSUPPORTED;
            return "this node runs a program of its own, which has no standby folder to switch to";
        }
        return supervisor_state(remedies->options.supervisor) == SERVICE_UP
                   ? NULL
                   : "the service is not running, so it cannot switch folders";
    default:
        *outcome = OUTCOME_UNSUPPORTED;
        return "this node agent has no such remedy";
    }
}

void remedies_begin(struct remedies *remedies, enum remedy remedy, uint64_t command, remedies_done *done,
                    void *context)
{
    enum outcome outcome;
    CHECK(!remedies_objection(remedies, (int)remedy, &outcome));
    remedies->done = done;
    remedies->context = context;
    if (remedy == REMEDY_RESTART_SERVICE)
        restart_service(remedies, command);
    else if (remedy == REMEDY_FAILOVER_STORAGE)
        failover_storage(remedies);
    else if (remedy == REMEDY_RESET_NETWORK)
        reset_network(remedies);
    else
        drain_node(remedies);
}
