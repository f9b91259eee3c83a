#include "agent/remedy.h"

#include "agent/link.h"
#include "agent/load.h"
#include "agent/supervisor.h"
#include "base/clock.h"
#include "base/crash.h"
#include "inject/page.h"
#include "wire/client.h"

#include <errno.h>
#include <stdio.h>

static const duration shed_limit_ns = 5 * SECOND; /* it is overloaded, after all */

/* --- drain_node, shed_load, scale_out ------------------------------------------------------------------- */

void remedy_drain_node(struct remedies *remedies)
{
    load_pause(remedies->options.load, true);
    crash_here(CRASH_MID_EFFECT);
    link_drain(remedies->options.link);
    remedy_finish(remedies, 0,
                  remedies->drained ? "nothing changed: it was drained already"
                                    : "no more users are sent here");
}

static void on_second_sheds(void *context, const struct answer *answer)
{
    struct remedies *remedies = context;
    remedy_finish_told(remedies, 0,
                       answer->status == 200 ? "both instances" : "but the second instance does not");
}

struct client *remedy_admin_of(struct event_base *base, int port)
{
    struct client_options options = {.host = "127.0.0.1", .port = port, .connections = 1, .queue = 1};
    return client_new(base, &options);
}

static void on_sheds(void *context, const struct answer *answer)
{
    struct remedies *remedies = context;
    int port = page_second_port(remedies->options.page);
    if (!remedy_is_fine(remedies, answer)) {
        remedy_finish(remedies, -EIO, remedies->bytes);
        return;
    }
    remedies->shed = true;
    text_addf(&remedies->detail, "it turns away what is beyond four fifths of %g requests/s",
              remedies->options.capacity_per_s);
    remedies->second_admin = port && !remedies->ending ? remedy_admin_of(remedies->base, port) : NULL;
    if (!remedies->second_admin || client_send(remedies->second_admin, "POST", "/admin/shed?on=yes", NULL,
                                               NULL, 0, shed_limit_ns, on_second_sheds, remedies) < 0)
        remedy_finish(remedies, 0, remedies->bytes);
}

void remedy_shed_load(struct remedies *remedies)
{
    int error = client_send(remedies->admin, "POST", "/admin/shed?on=yes", NULL, NULL, 0, shed_limit_ns,
                            on_sheds, remedies);
    crash_here(CRASH_MID_EFFECT);
    if (error < 0)
        remedy_finish(remedies, error, "the service could not be asked");
}

static void on_scaled_out(void *context, int result, const char *detail)
{
    struct remedies *remedies = context;
    if (result == 0)
        load_spread(remedies->options.load);
    remedy_finish_told(remedies, result, detail);
}

void remedy_scale_out(struct remedies *remedies)
{
    remedies->fits_since_ns = 0;
    int error =
        supervisor_scale_out(remedies->options.supervisor, remedies->command, on_scaled_out, remedies);
    if (error == -EALREADY)
        remedy_finish(remedies, 0, "nothing changed: it has two instances already");
    else if (error < 0)
        remedy_finish(remedies, error, "a second instance could not be started just now");
}

/* What the two have cost is not needed any more. */
void remedy_scale_in(struct remedies *remedies)
{
    supervisor_scale_in(remedies->options.supervisor);
    load_spread(remedies->options.load);
    remedies->fits_since_ns = 0;
}

void remedy_watch(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    struct remedies *remedies = context;
    const struct remedies_options *options = &remedies->options;
    if (supervisor_instances(options->supervisor) < 2 || !options->offered || remedies->done)
        return;
    double offered = options->offered(options->context);
    if (offered < 0)
        return;
    int64_t now_ns = monotonic_ns();
    if (offered >= REMEDIES_FITS_RATIO)
        remedies->fits_since_ns = 0;
    else if (remedies->fits_since_ns == 0)
        remedies->fits_since_ns = now_ns;
    if (remedies->fits_since_ns && now_ns - remedies->fits_since_ns >= options->calm_ns) {
        fprintf(stderr, "%s: one instance is enough again: the second one ends\n", options->name);
        remedy_scale_in(remedies);
    }
}

/* --- isolate_neighbour ---------------------------------------------------------------------------------- */

void remedy_isolate_neighbour(struct remedies *remedies)
{
    int count = remedies->options.isolate(remedies->options.context, true);
    crash_here(CRASH_MID_EFFECT);
    remedies->isolated = count > 0;
    text_addf(&remedies->detail, "%d process%s beside the service stopped", count, count == 1 ? "" : "es");
    remedy_finish(remedies, count > 0 ? 0 : -ESRCH, remedies->bytes);
}
