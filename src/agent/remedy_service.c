#include "agent/remedy.h"

#include "agent/knock.h"
#include "agent/link.h"
#include "agent/load.h"
#include "agent/ping.h"
#include "agent/supervisor.h"
#include "agent/versions.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/crash.h"
#include "inject/page.h"
#include "wire/client.h"

#include <errno.h>
#include <event2/event.h>
#include <jansson.h>
#include <string.h>

static const duration config_limit_ns = 2 * SECOND;
static const duration look_ns = 50 * MILLISECOND;

/* --- the link: reset_network, and the end of a drain ---------------------------------------------------- */

static const enum fault_kind network_kinds[] = {FAULT_NETWORK_DELAY, FAULT_NETWORK_LOSS,
                                                FAULT_NETWORK_BANDWIDTH, FAULT_NETWORK_CUT};

static void renew_network(struct remedies *remedies)
{
    for (size_t i = 0; i < COUNT_OF(network_kinds); i++)
        page_renew(remedies->options.page, network_kinds[i]);
}

void remedy_on_echo(void *context, bool answered, duration took_ns)
{
    (void)took_ns;
    struct remedies *remedies = context;
    if (!answered) {
        remedy_finish_told(remedies, -ETIMEDOUT, "the new relay does not answer");
        return;
    }
    if (remedies->options.ping)
        ping_forget(remedies->options.ping);
    if (remedies->opens)
        load_pause(remedies->options.load, false);
    else if (remedies->drained) /* not before: a signal would kill a relay that does not expect it yet */
        link_drain(remedies->options.link);
    remedy_finish_told(remedies, 0, remedies->opens && remedies->drained ? "users are let in again" : NULL);
}

static void on_replaced(void *context, int result, const char *detail)
{
    struct remedies *remedies = context;
    remedy_tell(remedies, detail);
    int error = result < 0 ? result : knock(remedies->echo);
    if (error < 0)
        remedy_finish(remedies, error, remedies->bytes);
}

void remedy_replace_link(struct remedies *remedies, bool opens)
{
    remedies->opens = opens;
    int error = remedies->ending ? -ECANCELED : link_replace(remedies->options.link, on_replaced, remedies);
    if (error < 0)
        remedy_finish_told(remedies, error, "the relay could not be replaced just now");
}

void remedy_reset_network(struct remedies *remedies)
{
    renew_network(remedies);
    crash_here(CRASH_MID_EFFECT);
    remedy_replace_link(remedies, false);
}

/* --- restarts: restart_service, rollback_release, reboot_node ------------------------------------------- */

static void on_restarted(void *context, int result, const char *detail)
{
    struct remedies *remedies = context;
    remedy_tell(remedies, detail);
    if (remedies->had_second)
        remedy_tell(remedies, "the second instance ended");
    if (result < 0 || !(remedies->drained || remedies->renews_link))
        remedy_finish(remedies, result, remedies->bytes);
    else
        remedy_replace_link(remedies, true);
}

void remedy_restart_service(struct remedies *remedies)
{
    remedies->shed = false; /* it is a new process that does not know of it */
    remedies->had_second = supervisor_instances(remedies->options.supervisor) == 2;
    int error = supervisor_restart(remedies->options.supervisor, remedies->command, on_restarted, remedies);
    if (error < 0)
        remedy_finish_told(remedies, error, "the service is being started already");
}

/* False: it could not be done, and that was told. */
static bool roll_back(struct remedies *remedies, struct versions *versions, const char *what)
{
    int before = versions_current(versions), number = versions_roll_back(versions);
    if (number > 0) {
        text_addf(&remedies->detail, "%s %d -> %d", what, before, number);
        return true;
    }
    text_addf(&remedies->detail, "the %s stays %d: %s", what, before, strerror(-number));
    remedy_finish(remedies, number, remedies->bytes);
    return false;
}

static void tell_rolled_back(const struct remedies *remedies, enum remedy remedy)
{
    if (remedies->options.rolled_back)
        remedies->options.rolled_back(remedies->options.context, remedy);
}

void remedy_rollback_release(struct remedies *remedies)
{
    if (!roll_back(remedies, remedies->options.releases, "release"))
        return;
    page_renew(remedies->options.page, FAULT_MEMORY_LEAK);
    page_renew(remedies->options.page, FAULT_CRASH_LOOP);
    tell_rolled_back(remedies, REMEDY_ROLLBACK_RELEASE);
    remedy_restart_service(remedies);
}

void remedy_reboot_node(struct remedies *remedies)
{
    if (remedies->options.reboot)
        remedies->options.reboot(remedies->options.context);
    remedies->isolated = false;
    remedies->renews_link = true;
    renew_network(remedies);
    remedy_restart_service(remedies);
}

/* --- rollback_config ------------------------------------------------------------------------------------ */

/* What the configuration calls itself, which need not be the number of its folder; 0 if it does not say. */
static json_int_t version_wanted(const struct remedies *remedies)
{
    json_t *file = json_load_file(versions_path(remedies->options.configs), 0, NULL);
    json_int_t version = json_integer_value(json_object_get(file, "version"));
    json_decref(file);
    return version;
}

static bool is_read(const struct remedies *remedies, const struct answer *answer)
{
    json_t *said = answer->status == 200 ? json_loadb(answer->body, answer->length, 0, NULL) : NULL;
    json_int_t version = json_integer_value(json_object_get(said, "config"));
    json_decref(said);
    return version > 0 && version == version_wanted(remedies);
}

static void on_health(void *context, const struct answer *answer)
{
    struct remedies *remedies = context;
    if (is_read(remedies, answer)) {
        remedy_finish_told(remedies, 0, "and the service has read it");
    } else if (remedies->ending || monotonic_ns() - remedies->began_ns > config_limit_ns) {
        remedy_finish_told(remedies, -ETIMEDOUT,
                           "but the service did not say within 2 s that it has read it");
    } else {
        struct timeval again = timeval_of(look_ns);
        event_add(remedies->look, &again);
    }
}

void remedy_look(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    struct remedies *remedies = context;
    duration left_ns = config_limit_ns - (monotonic_ns() - remedies->began_ns);
    int error = client_send(remedies->admin, "GET", "/healthz", NULL, NULL, 0,
                            left_ns > look_ns ? left_ns : look_ns, on_health, remedies);
    if (error < 0)
        remedy_finish_told(remedies, error, "but the service could not be asked");
}

void remedy_rollback_config(struct remedies *remedies)
{
    if (!roll_back(remedies, remedies->options.configs, "configuration"))
        return;
    page_renew(remedies->options.page, FAULT_BAD_CONFIG);
    tell_rolled_back(remedies, REMEDY_ROLLBACK_CONFIG);
    crash_here(CRASH_MID_EFFECT);
    supervisor_reload(remedies->options.supervisor);
    struct timeval soon = timeval_of(look_ns / 5);
    event_add(remedies->look, &soon);
}
