#include "agent/agent.h"

#include "base/clock.h"
#include "agent/commander.h"
#include "agent/ground.h"
#include "agent/injection.h"
#include "agent/journal.h"
#include "agent/link.h"
#include "agent/load.h"
#include "agent/measures.h"
#include "agent/outcomes.h"
#include "agent/ping.h"
#include "agent/port.h"
#include "agent/remedies.h"
#include "agent/reporter.h"
#include "agent/sampler.h"
#include "agent/supervisor.h"
#include "agent/tree.h"
#include "base/check.h"
#include "wire/client.h"
#include "wire/json.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { LOOKS_PER_INTERVAL = 4, PLANE_CONNECTIONS = 6, PLANE_QUEUE = 64 };

static const duration end_limit_ns = 1500 * MILLISECOND; /* a clean end takes no longer than this */
static const duration goodbye_limit_ns = 500 * MILLISECOND;

struct agent {
    struct ground ground;
    struct event_base *base;
    struct event *tick, *look, *end, *on_term, *on_int, *cut;
    struct client *plane;
    struct supervisor *supervisor;
    struct link *link;
    struct load *load;
    struct ping *ping;
    struct sampler *sampler;
    struct measures measures;
    struct reporter *reporter;
    struct outcomes *outcomes;
    struct remedies *remedies;
    struct commander *commander;
    struct injection *injection;
    bool cut_off;    /* from the control plane, by a fault */
    int ends_wanted; /* while ending: things that have not ended yet */
    bool ending;
};

/* --- sampling and reporting ----------------------------------------------------------------------------- */

static void on_look(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    struct agent *agent = context;
    measures_look(&agent->measures);
}

/* What is sampled is told as the sensors have it, and one of them may lie. */
static void report(struct agent *agent, struct samples *samples)
{
    injection_lie(agent->injection, samples);
    injection_observe(agent->injection, samples);
    reporter_skew_clock(agent->reporter, injection_clock_skew(agent->injection));
    reporter_report(agent->reporter, samples);
}

static void on_tick(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    struct agent *agent = context;
    struct samples samples = {0};
    measures_take(&agent->measures, &samples);
    report(agent, &samples);
}

/* The rest of the interval is told when it is over; this is told now. */
static void on_service_died(void *context, const char *how)
{
    struct agent *agent = context;
    struct samples samples = {0};
    fprintf(stderr, "%s: the service %s\n", agent->ground.options.name, how);
    if (agent->ending)
        return;
    measures_of_life(&agent->measures, &samples);
    report(agent, &samples);
}

static void on_service_started(void *context)
{
    injection_service_started(((struct agent *)context)->injection);
}

static void on_first_start(void *context, int result, const char *detail)
{
    (void)result;
    struct agent *agent = context;
    fprintf(stderr, "%s: service on port %d: %s\n", agent->ground.options.name, agent->ground.service_port,
            detail);
    load_pause(agent->load, false); /* if it failed, users find out */
}

/* --- what the reporter and the commander need ----------------------------------------------------------- */

static json_t *faults_of(void *context)
{
    return injection_json(((struct agent *)context)->injection);
}

static int pid_of(void *context)
{
    return (int)supervisor_pid(((struct agent *)context)->supervisor);
}

static void on_undone(void *context, enum outcome outcome, const char *detail)
{
    (void)outcome;
    fprintf(stderr, "%s: undone: %s\n", ((struct agent *)context)->ground.options.name, detail);
}

static void obey(void *context, const struct orders *orders)
{
    struct agent *agent = context;
    injection_obey(agent->injection, orders);
    commander_obey(agent->commander, orders);
    /* It is asked for again until nothing stands any more, so one that finds us busy is not lost. */
    if (orders->undo && remedies_standing(agent->remedies))
        remedies_undo(agent->remedies, on_undone, agent);
}

static uint32_t standing_of(void *context)
{
    return remedies_standing(((struct agent *)context)->remedies);
}

/* The fault that asks for it may have come with an answer that is still being read. */
static void cut(void *context, bool cut)
{
    struct agent *agent = context;
    agent->cut_off = cut;
    event_active(agent->cut, EV_TIMEOUT, 0);
}

static void on_cut(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    struct agent *agent = context;
    client_cut(agent->plane, agent->cut_off);
}

static void meet_epoch(void *context, uint64_t epoch)
{
    commander_meet_epoch(((struct agent *)context)->commander, epoch);
}

static uint64_t epoch_seen(void *context)
{
    return journal_epoch_floor(((struct agent *)context)->ground.journal);
}

/* --- what remedies need of the injection ---------------------------------------------------------------- */

static int neighbours(void *context)
{
    struct tree others;
    injection_others(((struct agent *)context)->injection, &others);
    return (int)others.count;
}

static int isolate(void *context, bool isolate)
{
    return injection_isolate(((struct agent *)context)->injection, isolate);
}

static void cleaned(void *context)
{
    injection_tell_room(((struct agent *)context)->injection);
}

static void rolled_back(void *context, enum remedy remedy)
{
    injection_cured(((struct agent *)context)->injection, remedy);
}

static void reboot(void *context)
{
    injection_reboot(((struct agent *)context)->injection);
}

static double offered(void *context)
{
    return ((struct agent *)context)->measures.offered;
}

static void carried_out(void *context, enum remedy remedy)
{
    struct agent *agent = context;
    injection_cured(agent->injection, remedy);
    if (remedy == REMEDY_RESTART_SERVICE || remedy == REMEDY_ROLLBACK_RELEASE || remedy == REMEDY_REBOOT_NODE)
        reporter_hello(agent->reporter); /* with the new process id */
}

/* --- the end -------------------------------------------------------------------------------------------- */

static void one_ended(struct agent *agent)
{
    if (--agent->ends_wanted == 0)
        event_base_loopbreak(agent->base);
}

static void on_stopped(void *context, int result, const char *detail)
{
    (void)result, (void)detail;
    one_ended(context);
}

static void on_goodbye(void *context)
{
    one_ended(context);
}

static void on_end_limit(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    event_base_loopbreak(((struct agent *)context)->base);
}

static void on_signal(evutil_socket_t number, short what, void *context)
{
    (void)number, (void)what;
    struct agent *agent = context;
    if (agent->ending)
        return;
    agent->ending = true;
    agent->ends_wanted = 2;
    struct timeval limit = timeval_of(end_limit_ns);
    event_add(agent->end, &limit);
    event_del(agent->tick);
    event_del(agent->look);
    client_cut(agent->plane, false); /* a goodbye goes through */
    load_pause(agent->load, true);
    commander_stop(agent->commander);
    reporter_goodbye(agent->reporter, goodbye_limit_ns, on_goodbye);
    supervisor_stop(agent->supervisor, on_stopped, agent);
}

/* In the order that lets nobody call what is gone. */
static void agent_fini(struct agent *agent)
{
    commander_free(&agent->commander);
    remedies_free(&agent->remedies);
    injection_free(&agent->injection);
    if (agent->plane)
        client_free(&agent->plane);
    outcomes_free(&agent->outcomes);
    reporter_free(&agent->reporter);
    sampler_free(&agent->sampler);
    ping_free(&agent->ping);
    load_free(&agent->load);
    link_free(&agent->link);
    supervisor_free(&agent->supervisor);
    struct event *const events[] = {agent->tick,    agent->look,   agent->end,
                                    agent->on_term, agent->on_int, agent->cut};
    for (size_t i = 0; i < COUNT_OF(events); i++)
        if (events[i])
            event_free(events[i]);
    if (agent->base)
        event_base_free(agent->base);
    ground_close(&agent->ground);
}

/* --- the beginning -------------------------------------------------------------------------------------- */

static int open_plane(struct agent *agent)
{
    char host[256];
    int port;
    if (!client_parse_url(agent->ground.options.plane_url, host, sizeof host, &port)) {
        fprintf(stderr, "%s: %s: %s\n", agent->ground.options.name, agent->ground.options.plane_url,
                strerror(EINVAL));
        return -EINVAL;
    }
    struct client_options options = {.host = host,
                                     .port = port,
                                     .connections = PLANE_CONNECTIONS,
                                     .queue = PLANE_QUEUE,
                                     .answer_bytes_limit = 1 << 20,
                                     .token = agent->ground.options.token};
    agent->plane = client_new(agent->base, &options);
    return agent->plane ? 0 : -ENOMEM;
}

static int make_processes(struct agent *agent)
{
    struct supervisor_options supervisor = {
        .agent = &agent->ground.options,
        .binary = agent->ground.options.binary,
        .boot = agent->ground.boot_text,
        .port = agent->ground.service_port,
        .page_fd = agent->ground.page_fd,
        .page = agent->ground.page,
        .vitals_fd = agent->ground.vitals_fd,
        .vitals = agent->ground.vitals,
        .data_folder = agent->ground.paths.data,
        .standby_folder = agent->ground.paths.standby,
        .log_path = agent->ground.paths.service_log,
        .config_path = agent->ground.paths.config,
        .preload_path = agent->ground.options.exec ? agent->ground.paths.preload : NULL,
        .died = on_service_died,
        .started = on_service_started,
        .context = agent};
    struct link_options link = {.binary = agent->ground.options.binary,
                                .listen_fd = agent->ground.listen_fd,
                                .echo_fd = agent->ground.echo_fd,
                                .page_fd = agent->ground.page_fd,
                                .to_port = agent->ground.service_port,
                                .log_path = agent->ground.paths.relay_log};
    struct load_options load = {.port = port_of(agent->ground.listen_fd),
                                .rate = agent->ground.options.load_rate,
                                .probe = agent->ground.options.probe};
    agent->supervisor = supervisor_new(agent->base, &supervisor);
    agent->link = link_new(agent->base, &link);
    agent->load = load_new(agent->base, &load);
    agent->ping = ping_new(agent->base, port_of(agent->ground.echo_fd));
    struct sampler_options sampler = {.vitals = agent->ground.vitals,
                                      .use = &agent->ground.use,
                                      .quota_bytes = agent->ground.options.quota_bytes,
                                      .memory_bytes = agent->ground.options.memory_bytes};
    agent->sampler = sampler_new(&sampler);
    return agent->supervisor && agent->link && agent->load && agent->ping && agent->sampler ? 0 : -ENOMEM;
}

static int make_obedience(struct agent *agent)
{
    struct reporter_options reporter = {.agent = &agent->ground.options,
                                        .base = agent->base,
                                        .plane = agent->plane,
                                        .spool = agent->ground.spool,
                                        .boot = agent->ground.boot,
                                        .address = agent->ground.address,
                                        .faults = faults_of,
                                        .standing = standing_of,
                                        .pid = pid_of,
                                        .obey = obey,
                                        .meet_epoch = meet_epoch,
                                        .epoch_seen = epoch_seen,
                                        .context = agent};
    struct remedies_options remedies = {.supervisor = agent->supervisor,
                                        .link = agent->link,
                                        .load = agent->load,
                                        .ping = agent->ping,
                                        .page = agent->ground.page,
                                        .releases = agent->ground.releases,
                                        .configs = agent->ground.configs,
                                        .name = agent->ground.options.name,
                                        .data_folder = agent->ground.paths.data,
                                        .standby_folder = agent->ground.paths.standby,
                                        .scratch_folder = agent->ground.paths.scratch,
                                        .log_path = agent->ground.paths.service_log,
                                        .quota_bytes = agent->ground.options.quota_bytes,
                                        .capacity_per_s = agent->ground.options.capacity_per_s,
                                        .echo_port = port_of(agent->ground.echo_fd),
                                        .built_in = !agent->ground.options.exec,
                                        .neighbours = neighbours,
                                        .isolate = isolate,
                                        .cleaned = cleaned,
                                        .rolled_back = rolled_back,
                                        .reboot = reboot,
                                        .offered = offered,
                                        .context = agent};
    struct injection_options injection = {.page = agent->ground.page,
                                          .page_fd = agent->ground.page_fd,
                                          .supervisor = agent->supervisor,
                                          .load = agent->load,
                                          .journal = agent->ground.journal,
                                          .releases = agent->ground.releases,
                                          .configs = agent->ground.configs,
                                          .use = &agent->ground.use,
                                          .scratch_folder = agent->ground.paths.scratch,
                                          .binary = agent->ground.options.binary,
                                          .interval_ns = agent->ground.options.interval_ns,
                                          .usual_per_s = agent->ground.options.load_rate,
                                          .capacity_per_s = agent->ground.options.capacity_per_s,
                                          .quota_bytes = agent->ground.options.quota_bytes,
                                          .memory_bytes = agent->ground.options.memory_bytes,
                                          .built_in = !agent->ground.options.exec,
                                          .cut = cut,
                                          .context = agent};
    agent->reporter = reporter_new(&reporter);
    agent->outcomes =
        outcomes_new(agent->base, agent->plane, agent->ground.options.name, agent->ground.journal);
    agent->remedies = remedies_new(agent->base, &remedies);
    agent->injection = injection_new(agent->base, &injection);
    if (!agent->reporter || !agent->outcomes || !agent->remedies || !agent->injection)
        return -ENOMEM;
    struct commander_options commander = {.boot = agent->ground.boot,
                                          .journal = agent->ground.journal,
                                          .outcomes = agent->outcomes,
                                          .remedies = agent->remedies,
                                          .carried_out = carried_out,
                                          .context = agent};
    agent->measures = (struct measures){.options = &agent->ground.options,
                                        .supervisor = agent->supervisor,
                                        .link = agent->link,
                                        .load = agent->load,
                                        .ping = agent->ping,
                                        .sampler = agent->sampler,
                                        .injection = agent->injection};
    agent->commander = commander_new(agent->base, &commander);
    return agent->commander ? 0 : -ENOMEM;
}

static int make_events(struct agent *agent)
{
    agent->tick = event_new(agent->base, -1, EV_PERSIST, on_tick, agent);
    agent->look = event_new(agent->base, -1, EV_PERSIST, on_look, agent);
    agent->end = event_new(agent->base, -1, 0, on_end_limit, agent);
    agent->on_term = evsignal_new(agent->base, SIGTERM, on_signal, agent);
    agent->on_int = evsignal_new(agent->base, SIGINT, on_signal, agent);
    if (!agent->tick || !agent->look || !agent->end || !agent->on_term || !agent->on_int)
        return -ENOMEM;
    struct timeval interval = timeval_of(agent->ground.options.interval_ns);
    struct timeval part = timeval_of(agent->ground.options.interval_ns / LOOKS_PER_INTERVAL);
    event_add(agent->tick, &interval);
    event_add(agent->look, &part);
    event_add(agent->on_term, NULL);
    event_add(agent->on_int, NULL);
    return 0;
}

/* `agent` is all zeros. */
static int agent_init(struct agent *agent, const struct agent_options *options)
{
    int error = ground_open(&agent->ground, options);
    if (error)
        return error;
    agent->base = event_base_new();
    if (!agent->base)
        return -ENOMEM;
    agent->cut = event_new(agent->base, -1, 0, on_cut, agent);
    error = agent->cut ? open_plane(agent) : -ENOMEM;
    error = error ? error : make_processes(agent);
    error = error ? error : make_obedience(agent);
    return error ? error : make_events(agent);
}

int agent_main(const struct agent_options *options)
{
    struct agent agent = {0};
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    int error = agent_init(&agent, options);
    error = error ? error : link_start(agent.link);
    if (!error) {
        load_pause(agent.load, true); /* users come when there is something to come to */
        supervisor_restart(agent.supervisor, 0, on_first_start, &agent);
        reporter_hello(agent.reporter);
        outcomes_send(agent.outcomes); /* what the last node agent could not tell any more */
        event_base_dispatch(agent.base);
    }
    agent_fini(&agent);
    return error;
}
