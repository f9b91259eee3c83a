#include "agent/remedies.h"

#include "agent/folder_copy.h"
#include "agent/knock.h"
#include "agent/link.h"
#include "agent/remedy.h"
#include "agent/supervisor.h"
#include "agent/versions.h"
#include "base/check.h"
#include "base/clock.h"
#include "wire/client.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>

static const duration echo_limit_ns = 2 * SECOND;
static const duration watch_ns = SECOND;
static const duration shed_limit_ns = 2 * SECOND; /* of the end of shedding */

void remedy_finish(struct remedies *remedies, int result, const char *detail)
{
    remedies_done *done = remedies->done;
    CHECK(done);
    remedies->done = NULL;
    done(remedies->context, result < 0 ? OUTCOME_FAILED : OUTCOME_DONE, detail);
}

void remedy_finish_told(struct remedies *remedies, int result, const char *how)
{
    if (how)
        remedy_tell(remedies, how);
    remedy_finish(remedies, result, remedies->bytes);
}

void remedy_tell(struct remedies *remedies, const char *what)
{
    text_addf(&remedies->detail, "%s%s", remedies->detail.length ? ", " : "", what);
}

bool remedy_is_fine(struct remedies *remedies, const struct answer *answer)
{
    if (answer->status != 200)
        text_addf(&remedies->detail, "the service answered %d %.100s", answer->status,
                  answer->error ? answer->error : answer->body);
    return answer->status == 200;
}

/* --- the undo ------------------------------------------------------------------------------------------- */

static void undo_drain(struct remedies *remedies)
{
    if (remedies->drained)
        remedy_replace_link(remedies, true);
    else
        remedy_finish_told(remedies, 0, remedies->detail.length ? NULL : "there was nothing to undo");
}

static void on_shed_ended(void *context, const struct answer *answer)
{
    struct remedies *remedies = context;
    remedies->shed = false; /* it ends by itself in any case */
    remedy_tell(remedies, answer->status == 200 ? "load shedding ended"
                                                : "the service could not be told to shed no more");
    undo_drain(remedies);
}

/* --- the calls ------------------------------------------------------------------------------------------ */

struct remedies *remedies_new(struct event_base *base, const struct remedies_options *options)
{
    struct remedies *remedies = calloc(1, sizeof *remedies);
    struct timeval often = timeval_of(watch_ns);
    if (!remedies)
        return NULL;
    remedies->base = base;
    remedies->options = *options;
    remedies->options.calm_ns = options->calm_ns ? options->calm_ns : 30 * SECOND;
    remedies->admin = remedy_admin_of(base, supervisor_port(options->supervisor));
    remedies->echo =
        knocker_new(base, options->echo_port, "reset", NULL, echo_limit_ns, remedy_on_echo, remedies);
    remedies->copy = folder_copy_new(base, options->log_path);
    remedies->look = event_new(base, -1, 0, remedy_look, remedies);
    remedies->watch = event_new(base, -1, EV_PERSIST, remedy_watch, remedies);
    if (!remedies->admin || !remedies->echo || !remedies->copy || !remedies->look || !remedies->watch ||
        event_add(remedies->watch, &often) < 0)
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
    remedies->ending = true;
    if (remedies->done)
        remedies->done = forget; /* freeing the client ends its requests, which ends the remedy */
    if (remedies->admin)
        client_free(&remedies->admin);
    if (remedies->second_admin)
        client_free(&remedies->second_admin);
    knocker_free(&remedies->echo);
    folder_copy_free(&remedies->copy);
    if (remedies->look)
        event_free(remedies->look);
    if (remedies->watch)
        event_free(remedies->watch);
    free(remedies);
}

static void begin(struct remedies *remedies, uint64_t command, remedies_done *done, void *context)
{
    remedies->done = done;
    remedies->context = context;
    remedies->command = command;
    remedies->began_ns = monotonic_ns();
    remedies->detail = text_over(remedies->bytes, sizeof remedies->bytes);
    remedies->bytes[0] = '\0';
    remedies->result = 0;
    remedies->drained = link_is_drained(remedies->options.link);
    remedies->opens = remedies->renews_link = remedies->had_second = false;
    if (remedies->second_admin) /* now is no call of its own under way */
        client_free(&remedies->second_admin);
}

uint32_t remedies_standing(const struct remedies *remedies)
{
    const struct remedies_options *options = &remedies->options;
    uint32_t standing = 0;
    if (supervisor_instances(options->supervisor) == 2)
        standing |= REMEDY_BIT(SCALE_OUT);
    if (link_is_drained(options->link))
        standing |= REMEDY_BIT(DRAIN_NODE);
    if (remedies->shed)
        standing |= REMEDY_BIT(SHED_LOAD);
    if (remedies->isolated)
        standing |= REMEDY_BIT(ISOLATE_NEIGHBOUR);
    return standing;
}

int remedies_undo(struct remedies *remedies, remedies_done *done, void *context)
{
    const struct remedies_options *options = &remedies->options;
    if (remedies->done)
        return -EBUSY;
    begin(remedies, 0, done, context);
    if (supervisor_instances(options->supervisor) == 2) {
        remedy_scale_in(remedies);
        remedy_tell(remedies, "the second instance ends");
    }
    if (remedies->isolated && options->isolate(options->context, false) > 0)
        remedy_tell(remedies, "the processes beside the service go on");
    remedies->isolated = false;
    if (!remedies->shed || client_send(remedies->admin, "POST", "/admin/shed?on=no", NULL, NULL, 0,
                                       shed_limit_ns, on_shed_ended, remedies) < 0)
        undo_drain(remedies);
    return 0;
}

static remedy_begin *const beginnings[REMEDY_COUNT] = {[REMEDY_RESTART_SERVICE] = remedy_restart_service,
                                                       [REMEDY_FAILOVER_STORAGE] = remedy_failover_storage,
                                                       [REMEDY_RESET_NETWORK] = remedy_reset_network,
                                                       [REMEDY_DRAIN_NODE] = remedy_drain_node,
                                                       [REMEDY_SHED_LOAD] = remedy_shed_load,
                                                       [REMEDY_SCALE_OUT] = remedy_scale_out,
                                                       [REMEDY_ISOLATE_NEIGHBOUR] = remedy_isolate_neighbour,
                                                       [REMEDY_CLEAN_DISK] = remedy_clean_disk,
                                                       [REMEDY_ROLLBACK_RELEASE] = remedy_rollback_release,
                                                       [REMEDY_ROLLBACK_CONFIG] = remedy_rollback_config,
                                                       [REMEDY_REBOOT_NODE] = remedy_reboot_node};

/* What this node can never do, or has not got now and would not get by waiting. */
static const char *unsupported(const struct remedies *remedies, int remedy)
{
    const struct remedies_options *options = &remedies->options;
    if (remedy < 0 || remedy >= REMEDY_COUNT || !beginnings[remedy])
        return "this node agent has no such remedy";
    if (!options->built_in && remedy == REMEDY_SHED_LOAD)
        return "this node runs a program of its own, which cannot be told to shed load";
    if (!options->built_in && remedy == REMEDY_SCALE_OUT)
        return "this node runs a program of its own, of which there cannot be two";
    if (remedy == REMEDY_SHED_LOAD && options->capacity_per_s <= 0)
        return "nobody has said what this node's capacity is";
    if (!options->built_in && remedy == REMEDY_ROLLBACK_CONFIG)
        return "this node runs a program of its own, whose configuration nobody rolled out";
    if (remedy == REMEDY_ROLLBACK_CONFIG && (!options->configs || versions_before(options->configs) < 0))
        return "there is no configuration before this one";
    if (remedy == REMEDY_ROLLBACK_RELEASE && (!options->releases || versions_before(options->releases) < 0))
        return "there is no release before this one";
    if (remedy == REMEDY_ISOLATE_NEIGHBOUR &&
        (!options->neighbours || !options->isolate || options->neighbours(options->context) == 0))
        return "no other process is on this node";
    return NULL;
}

/* What asks the service. */
static bool needs_service(const struct remedies *remedies, int remedy)
{
    return remedy == REMEDY_SHED_LOAD || remedy == REMEDY_SCALE_OUT || remedy == REMEDY_ROLLBACK_CONFIG ||
           (remedy == REMEDY_FAILOVER_STORAGE && remedies->options.built_in);
}

/* What ends the service's process and starts another. */
static bool restarts(int remedy)
{
    return remedy == REMEDY_RESTART_SERVICE || remedy == REMEDY_FAILOVER_STORAGE ||
           remedy == REMEDY_ROLLBACK_RELEASE || remedy == REMEDY_REBOOT_NODE;
}

static bool is_between(const struct remedies *remedies)
{
    enum service_state state = supervisor_state(remedies->options.supervisor);
    return state == SERVICE_STARTING || state == SERVICE_STOPPING;
}

const char *remedies_objection(const struct remedies *remedies, int remedy, enum outcome *outcome)
{
    *outcome = OUTCOME_REFUSED;
    if (remedies->done)
        return "an earlier remedy is still under way";
    const char *why = unsupported(remedies, remedy);
    if (why) {
        *outcome = OUTCOME_UNSUPPORTED;
        return why;
    }
    if (needs_service(remedies, remedy) && supervisor_state(remedies->options.supervisor) != SERVICE_UP)
        return remedy == REMEDY_FAILOVER_STORAGE ? "the service is not running, so it cannot switch folders"
                                                 : "the service is not running";
    if (restarts(remedy) && is_between(remedies))
        return "the service is being started or stopped just now";
    return NULL;
}

void remedies_begin(struct remedies *remedies, enum remedy remedy, uint64_t command, remedies_done *done,
                    void *context)
{
    enum outcome outcome;
    CHECK(!remedies_objection(remedies, (int)remedy, &outcome));
    begin(remedies, command, done, context);
    beginnings[remedy](remedies);
}
