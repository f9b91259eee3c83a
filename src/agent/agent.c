#include "agent/agent.h"

#include "base/clock.h"
#include "agent/commander.h"
#include "agent/folder_use.h"
#include "agent/injection.h"
#include "agent/journal.h"
#include "agent/link.h"
#include "agent/load.h"
#include "agent/measures.h"
#include "agent/outcomes.h"
#include "agent/paths.h"
#include "agent/ping.h"
#include "agent/port.h"
#include "agent/remedies.h"
#include "agent/reporter.h"
#include "agent/sampler.h"
#include "agent/spool.h"
#include "agent/supervisor.h"
#include "agent/tree.h"
#include "agent/versions.h"
#include "agent/warden.h"
#include "base/check.h"
#include "base/text.h"
#include "inject/page.h"
#include "inject/preload_image.h"
#include "inject/vitals.h"
#include "wire/client.h"
#include "wire/json.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <unistd.h>

#define MIB UINT64_C(1048576)

enum { LOOKS_PER_INTERVAL = 4, PLANE_CONNECTIONS = 6, PLANE_QUEUE = 64 };

static const duration end_limit_ns = 1500 * MILLISECOND; /* a clean end takes no longer than this */
static const duration goodbye_limit_ns = 500 * MILLISECOND;

struct agent {
    struct agent_options options; /* with the defaults filled in */
    uint64_t boot;
    char boot_text[17], address[64];
    struct paths paths;
    int listen_fd, echo_fd, reserved_fd, page_fd, vitals_fd, service_port;
    struct warden warden;
    struct event_base *base;
    struct event *tick, *look, *end, *on_term, *on_int, *cut;
    struct page *page;
    struct vitals *vitals;
    struct journal *journal;
    struct client *plane;
    struct supervisor *supervisor;
    struct link *link;
    struct load *load;
    struct ping *ping;
    struct sampler *sampler;
    struct measures measures;
    struct spool *spool;
    struct reporter *reporter;
    struct outcomes *outcomes;
    struct remedies *remedies;
    struct commander *commander;
    struct injection *injection;
    struct versions *releases, *configs;
    struct folder_use use; /* of the node's disk */
    bool cut_off;          /* from the control plane, by a fault */
    int ends_wanted;       /* while ending: things that have not ended yet */
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
    fprintf(stderr, "%s: the service %s\n", agent->options.name, how);
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
    fprintf(stderr, "%s: service on port %d: %s\n", agent->options.name, agent->service_port, detail);
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
    fprintf(stderr, "%s: undone: %s\n", ((struct agent *)context)->options.name, detail);
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
    return journal_epoch_floor(((struct agent *)context)->journal);
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
    spool_close(&agent->spool);
    sampler_free(&agent->sampler);
    ping_free(&agent->ping);
    load_free(&agent->load);
    link_free(&agent->link);
    supervisor_free(&agent->supervisor);
    if (agent->vitals)
        munmap(agent->vitals, sizeof *agent->vitals); /* who maps them is the warden's to kill */
    warden_end(&agent->warden);
    versions_close(&agent->releases);
    versions_close(&agent->configs);
    journal_close(&agent->journal);
    struct event *const events[] = {agent->tick,    agent->look,   agent->end,
                                    agent->on_term, agent->on_int, agent->cut};
    for (size_t i = 0; i < COUNT_OF(events); i++)
        if (events[i])
            event_free(events[i]);
    if (agent->base)
        event_base_free(agent->base);
    page_close(agent->page);
    const int fds[] = {agent->echo_fd, agent->reserved_fd, agent->page_fd, agent->vitals_fd,
                       agent->options.listen_fd > 0 ? -1 : agent->listen_fd};
    for (size_t i = 0; i < COUNT_OF(fds); i++)
        if (fds[i] >= 0)
            close(fds[i]);
    unsetenv(WARD_VARIABLE);
}

/* --- the beginning -------------------------------------------------------------------------------------- */

static int complain(const struct agent *agent, int error, const char *what)
{
    fprintf(stderr, "%s: %s: %s\n", agent->options.name ? agent->options.name : "node agent", what,
            strerror(-error));
    return error;
}

static int check_options(struct agent *agent)
{
    struct agent_options *options = &agent->options;
    if (!options->name || !text_is_name(options->name, 63))
        return complain(agent, -EINVAL, "the node's name");
    if (!options->folder || strlen(options->folder) > PATHS_FOLDER_MAX)
        return complain(agent, -EINVAL, "the node's folder");
    if (options->calls_count > AGENT_CALLS_MAX)
        return complain(agent, -E2BIG, "the node calls too many others");
    options->plane_url = options->plane_url ? options->plane_url : "http://127.0.0.1:7070";
    options->interval_ns = options->interval_ns ? options->interval_ns : SECOND;
    if (options->interval_ns < 50 * MILLISECOND || options->interval_ns > MINUTE)
        return complain(agent, -ERANGE, "the interval");
    options->spool_bytes = options->spool_bytes ? options->spool_bytes : SPOOL_BYTES_DEFAULT;
    if (options->spool_bytes < SPOOL_BYTES_MIN || options->spool_bytes > SPOOL_BYTES_MAX)
        return complain(agent, -ERANGE, "the spool's size, which is 64 KiB to 64 MiB");
    options->listen = options->listen ? options->listen : "127.0.0.1:0";
    options->binary = options->binary ? options->binary : "/proc/self/exe";
    options->load_rate = options->load_rate == 0 ? 20 : options->load_rate < 0 ? 0 : options->load_rate;
    if (options->load_rate > 5000)
        return complain(agent, -ERANGE, "the load's rate");
    if (options->capacity_per_s == 0 && !options->exec)
        options->capacity_per_s = 500;
    if (options->capacity_per_s > 1e6)
        return complain(agent, -ERANGE, "the capacity, which is at most 1000000 requests a second");
    options->quota_bytes = options->quota_bytes ? options->quota_bytes : 256 * MIB;
    options->memory_bytes = options->memory_bytes ? options->memory_bytes : 256 * MIB;
    if (options->quota_bytes < 16 * MIB || options->memory_bytes < 16 * MIB)
        return complain(agent, -ERANGE, "the quota and the memory, which are at least 16 MiB");
    if (!options->probe || !options->exec)
        options->probe = options->exec ? "tcp" : NULL;
    if (options->probe && !load_probe_is_legal(options->probe))
        return complain(agent, -EINVAL, "the probe, which is http:PATH, tcp or tcp:TEXT");
    return 0;
}

static int open_folder(struct agent *agent)
{
    int error = paths_make(&agent->paths, agent->options.folder);
    if (error)
        return complain(agent, error, agent->options.folder);
    agent->use =
        (struct folder_use){.folders = {agent->paths.data, agent->paths.standby, agent->paths.scratch}};
    error = journal_open(&agent->journal, agent->paths.journal);
    if (error == -EBUSY)
        fprintf(stderr,
                "%s: another node agent has this folder, %s; mend: stop that one, or --folder FOLDER\n",
                agent->options.name, agent->options.folder);
    else if (error == -ENOTSUP)
        fprintf(stderr, "%s: %s, its .lock or its .new is no regular file; mend: remove it\n",
                agent->options.name, agent->paths.journal);
    else if (error)
        complain(agent, error, agent->paths.journal);
    return error;
}

/* What version 1 of the release holds: how the service is started. */
static void release_text(const struct agent *agent, char *out, size_t size)
{
    snprintf(out, size, "%s\n", agent->options.exec ? agent->options.exec : "the built-in service");
}

/* After the journal, whose lock keeps others out. Faults of a node agent that was killed may have left their
 * traces. */
static int open_versions(struct agent *agent)
{
    char text[VERSION_TEXT_MAX];
    release_text(agent, text, sizeof text);
    int error = versions_open(&agent->releases, agent->paths.releases, "run", text);
    if (error)
        return complain(agent, error, agent->paths.releases);
    injection_clean(agent->paths.scratch);
    error = versions_open(&agent->configs, agent->paths.configs, "conf", "{\"version\": 1}\n");
    if (error)
        return complain(agent, error, agent->paths.configs);
    error = agent->options.exec ? preload_write(agent->paths.preload) : 0;
    return error ? complain(agent, error, agent->paths.preload) : 0;
}

/* After the journal, whose lock keeps others out. */
static int open_spool(struct agent *agent)
{
    struct spool_options options = {.folder = agent->paths.spool,
                                    .name = agent->options.name,
                                    .boot = agent->boot,
                                    .bytes = agent->options.spool_bytes};
    return spool_open(&agent->spool, &options);
}

static int open_ports(struct agent *agent)
{
    agent->listen_fd =
        agent->options.listen_fd > 0 ? agent->options.listen_fd : port_listen(agent->options.listen);
    if (agent->listen_fd < 0)
        return complain(agent, agent->listen_fd, agent->options.listen);
    agent->echo_fd = port_listen("127.0.0.1:0");
    agent->reserved_fd = port_reserve(&agent->service_port);
    if (agent->echo_fd < 0 || agent->reserved_fd < 0)
        return complain(agent, agent->echo_fd < 0 ? agent->echo_fd : agent->reserved_fd,
                        "a port on loopback");
    snprintf(agent->address, sizeof agent->address, "127.0.0.1:%d", port_of(agent->listen_fd));
    return 0;
}

static int open_pages(struct agent *agent)
{
    agent->page_fd = page_create(&agent->page);
    if (agent->page_fd < 0)
        return complain(agent, agent->page_fd, "the fault page");
    char name[WARD_MEMORY_SIZE];
    ward_memory_name(name, agent->boot_text);
    agent->vitals_fd = memfd_create(name, MFD_CLOEXEC);
    if (agent->vitals_fd < 0 || ftruncate(agent->vitals_fd, sizeof *agent->vitals) < 0)
        return complain(agent, -errno, "the vitals");
    void *memory = mmap(NULL, sizeof *agent->vitals, PROT_READ | PROT_WRITE, MAP_SHARED, agent->vitals_fd, 0);
    if (memory == MAP_FAILED)
        return complain(agent, -errno, "the vitals");
    agent->vitals = memory;
    madvise(memory, sizeof *agent->vitals, MADV_DONTFORK); /* a leash, forked from here, is nobody's ward */
    return 0;
}

static int open_plane(struct agent *agent)
{
    char host[256];
    int port;
    if (!client_parse_url(agent->options.plane_url, host, sizeof host, &port))
        return complain(agent, -EINVAL, agent->options.plane_url);
    struct client_options options = {.host = host,
                                     .port = port,
                                     .connections = PLANE_CONNECTIONS,
                                     .queue = PLANE_QUEUE,
                                     .answer_bytes_limit = 1 << 20,
                                     .token = agent->options.token};
    agent->plane = client_new(agent->base, &options);
    return agent->plane ? 0 : -ENOMEM;
}

static int make_processes(struct agent *agent)
{
    struct supervisor_options supervisor = {.agent = &agent->options,
                                            .binary = agent->options.binary,
                                            .boot = agent->boot_text,
                                            .port = agent->service_port,
                                            .page_fd = agent->page_fd,
                                            .page = agent->page,
                                            .vitals_fd = agent->vitals_fd,
                                            .vitals = agent->vitals,
                                            .data_folder = agent->paths.data,
                                            .standby_folder = agent->paths.standby,
                                            .log_path = agent->paths.service_log,
                                            .config_path = agent->paths.config,
                                            .preload_path = agent->options.exec ? agent->paths.preload : NULL,
                                            .died = on_service_died,
                                            .started = on_service_started,
                                            .context = agent};
    struct link_options link = {.binary = agent->options.binary,
                                .listen_fd = agent->listen_fd,
                                .echo_fd = agent->echo_fd,
                                .page_fd = agent->page_fd,
                                .to_port = agent->service_port,
                                .log_path = agent->paths.relay_log};
    struct load_options load = {
        .port = port_of(agent->listen_fd), .rate = agent->options.load_rate, .probe = agent->options.probe};
    agent->supervisor = supervisor_new(agent->base, &supervisor);
    agent->link = link_new(agent->base, &link);
    agent->load = load_new(agent->base, &load);
    agent->ping = ping_new(agent->base, port_of(agent->echo_fd));
    struct sampler_options sampler = {.vitals = agent->vitals,
                                      .use = &agent->use,
                                      .quota_bytes = agent->options.quota_bytes,
                                      .memory_bytes = agent->options.memory_bytes};
    agent->sampler = sampler_new(&sampler);
    return agent->supervisor && agent->link && agent->load && agent->ping && agent->sampler ? 0 : -ENOMEM;
}

static int make_obedience(struct agent *agent)
{
    struct reporter_options reporter = {.agent = &agent->options,
                                        .base = agent->base,
                                        .plane = agent->plane,
                                        .spool = agent->spool,
                                        .boot = agent->boot,
                                        .address = agent->address,
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
                                        .page = agent->page,
                                        .releases = agent->releases,
                                        .configs = agent->configs,
                                        .name = agent->options.name,
                                        .data_folder = agent->paths.data,
                                        .standby_folder = agent->paths.standby,
                                        .scratch_folder = agent->paths.scratch,
                                        .log_path = agent->paths.service_log,
                                        .quota_bytes = agent->options.quota_bytes,
                                        .capacity_per_s = agent->options.capacity_per_s,
                                        .echo_port = port_of(agent->echo_fd),
                                        .built_in = !agent->options.exec,
                                        .neighbours = neighbours,
                                        .isolate = isolate,
                                        .cleaned = cleaned,
                                        .rolled_back = rolled_back,
                                        .reboot = reboot,
                                        .offered = offered,
                                        .context = agent};
    struct injection_options injection = {.page = agent->page,
                                          .page_fd = agent->page_fd,
                                          .supervisor = agent->supervisor,
                                          .load = agent->load,
                                          .journal = agent->journal,
                                          .releases = agent->releases,
                                          .configs = agent->configs,
                                          .use = &agent->use,
                                          .scratch_folder = agent->paths.scratch,
                                          .binary = agent->options.binary,
                                          .interval_ns = agent->options.interval_ns,
                                          .usual_per_s = agent->options.load_rate,
                                          .capacity_per_s = agent->options.capacity_per_s,
                                          .quota_bytes = agent->options.quota_bytes,
                                          .memory_bytes = agent->options.memory_bytes,
                                          .built_in = !agent->options.exec,
                                          .cut = cut,
                                          .context = agent};
    agent->reporter = reporter_new(&reporter);
    agent->outcomes = outcomes_new(agent->base, agent->plane, agent->options.name, agent->journal);
    agent->remedies = remedies_new(agent->base, &remedies);
    agent->injection = injection_new(agent->base, &injection);
    if (!agent->reporter || !agent->outcomes || !agent->remedies || !agent->injection)
        return -ENOMEM;
    struct commander_options commander = {.boot = agent->boot,
                                          .journal = agent->journal,
                                          .outcomes = agent->outcomes,
                                          .remedies = agent->remedies,
                                          .carried_out = carried_out,
                                          .context = agent};
    agent->measures = (struct measures){.options = &agent->options,
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
    struct timeval interval = timeval_of(agent->options.interval_ns);
    struct timeval part = timeval_of(agent->options.interval_ns / LOOKS_PER_INTERVAL);
    event_add(agent->tick, &interval);
    event_add(agent->look, &part);
    event_add(agent->on_term, NULL);
    event_add(agent->on_int, NULL);
    return 0;
}

static int make_boot(struct agent *agent)
{
    do
        if (getrandom(&agent->boot, sizeof agent->boot, 0) != sizeof agent->boot)
            return -errno;
    while (agent->boot == 0);
    json_boot_text(agent->boot_text, agent->boot);
    return setenv(WARD_VARIABLE, agent->boot_text, 1) < 0 ? -errno : 0;
}

static int agent_init(struct agent *agent)
{
    int error = check_options(agent);
    error = error ? error : open_folder(agent);
    error = error ? error : open_versions(agent);
    error = error ? error : make_boot(agent);
    error = error ? error : open_spool(agent);
    if (error)
        return error;
    error = warden_start(&agent->warden, agent->boot_text,
                         agent->options.folder); /* before there is anything that it must not inherit */
    error = error ? error : open_ports(agent);
    error = error ? error : open_pages(agent);
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
    struct agent agent = {.options = *options,
                          .listen_fd = -1,
                          .echo_fd = -1,
                          .reserved_fd = -1,
                          .page_fd = -1,
                          .vitals_fd = -1,
                          .warden = {.lifeline = -1}};
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    int error = agent_init(&agent);
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
