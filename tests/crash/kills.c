/* Kill -9 at random moments, under load: a control plane, a few real node agents with services, fifty
 * patients and an operator; every second or so one of the processes dies, or two, or one that has just been
 * started. It is started again at once, on the same port and database. After the last kill and a quiet time
 * nothing that was promised may be lost, no command may have had two effects, no history may be illegal, and
 * everything must have come to its end. A control plane must be ready two seconds after its start.
 *
 * `crash_kills HOMEOSTAT SERVICE [--kills N] [--full] [--nodes N] [--patients N] [--seed N] [--keep] [-v]`.
 * The seed draws the moments, the victims and what the clients do; the interleaving is the machine's. Exit
 * status as audit.h has it; 3: the environment. */
#include "audit.h"

#include "base/check.h"
#include "base/clock.h"
#include "dice.h"
#include "patients.h"
#include "person.h"
#include "promises.h"
#include "store/store.h"
#include "wire/client.h"

#include <event2/event.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char policy[] = "version: 1\n"
                             "detectors:\n"
                             "  - {name: service-down, when: service_up < 1, for: 0s, clear: service_up >= "
                             "1, healthy_for: 300ms, confirm: no}\n"
                             "  - {name: cpu-high, when: cpu_utilization > 0.90 and request_latency > 20ms, "
                             "for: 300ms, clear: cpu_utilization "
                             "< 0.70, healthy_for: 300ms}\n"
                             "  - {name: silent, absent: 8s}\n"
                             "playbooks:\n"
                             "  - on: service-down\n"
                             "    steps: [{do: restart_service, settle: 100ms, within: 3s}, {do: "
                             "restart_service, settle: 100ms, within: 3s}, "
                             "page_human]\n"
                             "  - on: cpu-high\n"
                             "    steps: [{do: restart_service, settle: 100ms, within: 3s}, {do: "
                             "restart_service, settle: 100ms, within: 3s}, "
                             "page_human]\n"
                             "  - on: silent\n"
                             "    steps: [page_human]\n"
                             "guards:\n"
                             "  max_disrupted: 100%\n"
                             "  breaker: {unhealthy: 100%, at_least: 1000}\n"
                             "  per_target: {cooldown: 200ms, backoff: no, attempts: {max: 16, within: 5s}}\n"
                             "  recurrence: 500ms\n"
                             "  rate: {fleet: no, target: no, rule: no, kind: no}\n"
                             "  flapping: no\n"
                             "  hold: 100ms\n";

enum { READY_MAX = 4096 };

static const duration ready_limit_ns = 2 * SECOND; /* p99 */
static const duration never_ready_ns = 20 * SECOND;
static const duration quiet_limit_ns =
    45 * SECOND; /* an answer may be missing for 20 s, then a verdict is due */

static struct {
    const char *homeostat, *service;
    unsigned kills, nodes, patients;
    uint64_t seed;
    bool verbose, keep;
} options = {.kills = 25, .nodes = 4, .patients = 50};

/* Who dies next. `waits`: the control plane dies at its next promise, which must then be on the disk already.
 */
struct victims {
    bool plane, agent, waits;
    size_t node;
};

struct story {
    struct event_base *base;
    struct lab lab;
    struct dice dice, dice_of_clients; /* apart, so that kills come at the same moments whatever clients do */
    struct audit audit;
    struct promises *promises;
    struct patients *patients;
    struct person *person;
    struct client *probe;
    struct event *kill, *look; /* timers: the next kill; is it ready yet? */
    int64_t started_ns, quiet_ns, began_ns;
    double ready_s[READY_MAX];
    size_t ready_count;
    unsigned killed, killed_planes, killed_agents, killed_starting;
    struct victims victims;
    bool ready, stopping;
};

/* --- is it ready yet? ----------------------------------------------------------------------------------- */

static void after(struct event *timer, duration delay_ns)
{
    struct timeval delay = timeval_of(delay_ns);
    event_add(timer, &delay);
}

static void note_ready(struct story *story)
{
    double took_s = duration_seconds(monotonic_ns() - story->started_ns);
    story->ready = true;
    if (story->ready_count < READY_MAX)
        story->ready_s[story->ready_count++] = took_s;
    if (options.verbose)
        printf("    ready after %.0f ms\n", took_s * 1000);
    if (story->quiet_ns == 0)
        after(story->kill, dice_duration(&story->dice, 100 * MILLISECOND, 1200 * MILLISECOND));
}

static void on_probe(void *context, const struct answer *answer)
{
    struct story *story = context;
    if (story->stopping || story->ready)
        return;
    if (answer->status == 200)
        note_ready(story);
    else
        after(story->look, 5 * MILLISECOND);
}

static void on_look(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    struct story *story = context;
    if (monotonic_ns() - story->started_ns > never_ready_ns) {
        audit_find(&story->audit, AUDIT_STUCK, "the control plane is not ready after %.0f s",
                   duration_seconds(never_ready_ns));
        event_base_loopbreak(story->base);
    } else if (!story->ready &&
               client_send(story->probe, "GET", "/readyz", NULL, NULL, 0, SECOND, on_probe, story) < 0) {
        after(story->look, 5 * MILLISECOND); /* an earlier question waits for its end */
    }
}

static void start_plane(struct story *story)
{
    story->ready = false;
    story->started_ns = monotonic_ns();
    lab_start_plane(&story->lab, NULL);
    after(story->look, 0);
}

/* --- killing -------------------------------------------------------------------------------------------- */

static void kill_plane(struct story *story)
{
    lab_kill(&story->lab.plane);
    story->killed_planes++;
    /* Sometimes the next one dies in its recovery, and sometimes the one after it as well. */
    while (dice_below(&story->dice, 6) == 0) {
        lab_start_plane(&story->lab, NULL);
        lab_nap(dice_duration(&story->dice, 0, 60 * MILLISECOND));
        lab_kill(&story->lab.plane);
        story->killed_starting++;
    }
    start_plane(story);
}

static void kill_agent(struct story *story, size_t node)
{
    lab_kill(&story->lab.nodes[node].pid);
    story->killed_agents++;
    lab_start_agent(&story->lab, node, NULL);
}

static void be_quiet(struct story *story)
{
    story->quiet_ns = monotonic_ns();
    patients_rest(story->patients);
    person_rest(story->person);
    if (options.verbose)
        printf("quiet\n");
}

/* In the callback of a client: only the blow itself; the rest is done from the loop. */
static void on_promise(void *context)
{
    struct story *story = context;
    if (story->lab.plane > 0)
        kill(story->lab.plane, SIGKILL);
    event_active(story->kill, EV_TIMEOUT, 0);
}

static void carry_out(struct story *story)
{
    const struct victims *victims = &story->victims;
    story->killed++;
    if (options.verbose)
        printf("%7.2f s  kill %3u: %s%s%s%s\n", duration_seconds(monotonic_ns() - story->began_ns),
               story->killed, victims->plane ? "the control plane" : "",
               victims->plane && victims->agent ? " and " : "",
               victims->agent ? story->lab.nodes[victims->node].name : "",
               victims->waits ? ", on its word" : "");
    promises_watch(story->promises, NULL, NULL);
    if (victims->agent)
        kill_agent(story, victims->node);
    if (victims->plane)
        kill_plane(story);
    if (story->killed == options.kills)
        be_quiet(story);
    else if (!victims->plane)
        after(story->kill, dice_duration(&story->dice, 100 * MILLISECOND, 1200 * MILLISECOND));
}

static void on_kill(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    struct story *story = context;
    struct victims *victims = &story->victims;
    if (victims->waits) { /* the word has come, or none in time */
        carry_out(story);
        victims->waits = false;
        return;
    }
    uint32_t whom = dice_below(&story->dice, 10);
    *victims = (struct victims){.plane = whom < 6 || whom == 9,
                                .agent = whom >= 6,
                                .node = dice_below(&story->dice, (uint32_t)story->lab.node_count)};
    victims->waits = dice_below(&story->dice, 2) == 0 && victims->plane;
    if (victims->waits) {
        promises_watch(story->promises, on_promise, story);
        after(story->kill, SECOND);
    } else {
        carry_out(story);
    }
}

/* --- the story ------------------------------------------------------------------------------------------ */

static struct event *timer(struct story *story, event_callback_fn call)
{
    struct event *made = evtimer_new(story->base, call, story);
    CHECK(made);
    return made;
}

static void begin(struct story *story)
{
    lab_open(&story->lab, options.homeostat, options.service, options.nodes, policy);
    story->base = event_base_new();
    story->dice = (struct dice){options.seed};
    story->dice_of_clients = (struct dice){options.seed + 1};
    story->promises = promises_open();
    story->began_ns = monotonic_ns();
    struct client_options probe = {.host = "127.0.0.1", .port = story->lab.port, .connections = 1};
    story->probe = client_new(story->base, &probe);
    story->kill = timer(story, on_kill);
    story->look = timer(story, on_look);
    struct patients_options patients = {.lab = &story->lab,
                                        .promises = story->promises,
                                        .audit = &story->audit,
                                        .dice = &story->dice_of_clients,
                                        .count = options.patients};
    story->patients = patients_new(story->base, &patients);
    struct person_options person = {.lab = &story->lab,
                                    .policy = policy,
                                    .promises = story->promises,
                                    .audit = &story->audit,
                                    .dice = &story->dice_of_clients};
    story->person = person_new(story->base, &person);
    start_plane(story);
    for (size_t i = 0; i < story->lab.node_count; i++)
        lab_start_agent(&story->lab, i, NULL);
}

static void turn(struct story *story, duration limit_ns)
{
    struct timeval limit = timeval_of(limit_ns);
    event_base_loopexit(story->base, &limit);
    event_base_dispatch(story->base);
}

static bool is_at_peace(const struct story *story)
{
    return story->ready && person_sees_peace(story->person) && patients_untold(story->patients) == 0;
}

/* Runs until everything has come to its end. */
static void run_to_peace(struct story *story)
{
    while (story->quiet_ns == 0 && audit_status(&story->audit) != 4 + AUDIT_STUCK)
        turn(story, 100 * MILLISECOND);
    while (!is_at_peace(story)) {
        turn(story, 100 * MILLISECOND);
        if (monotonic_ns() - story->quiet_ns > quiet_limit_ns) {
            audit_find(&story->audit, AUDIT_STUCK, "no peace %.0f s after the last kill: %zu outcomes untold",
                       duration_seconds(quiet_limit_ns), patients_untold(story->patients));
            return;
        }
    }
}

/* What is promised last must survive as well: the control plane is killed once more. */
static void kill_once_more(struct story *story)
{
    lab_kill(&story->lab.plane);
    start_plane(story);
    while (!story->ready && audit_status(&story->audit) != 4 + AUDIT_STUCK)
        turn(story, 20 * MILLISECOND);
}

static void stop_clients(struct story *story)
{
    story->stopping = true;
    patients_free(&story->patients);
    person_free(&story->person);
    client_free(&story->probe);
    event_free(story->kill);
    event_free(story->look);
    event_base_free(story->base);
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double percentile(const struct story *story, unsigned percent)
{
    size_t count = story->ready_count;
    return count ? story->ready_s[(count * percent + 99) / 100 - 1] : 0;
}

struct totals {
    unsigned incidents, effects;
    int commands;
};

static bool count_command(void *context, const struct command_row *row)
{
    (void)context, (void)row;
    return true;
}

static struct totals audit_all(struct story *story)
{
    char error[512];
    struct store *store;
    struct totals totals = {0};
    audit_integrity(&story->audit, story->lab.database);
    promises_check(story->promises, &story->audit, story->lab.database);
    if (store_open(&store, story->lab.database, error, sizeof error) < 0)
        lab_give_up("%s", error);
    totals.incidents = audit_histories(&story->audit, store);
    totals.effects = audit_effects(&story->audit, store, &story->lab);
    totals.commands = store_commands(store, 0, -1, INSTANT_NONE, count_command, NULL);
    store_close(&store);
    audit_decisions(&story->audit, &story->lab);
    qsort(story->ready_s, story->ready_count, sizeof story->ready_s[0], by_size);
    if (percentile(story, 99) > duration_seconds(ready_limit_ns))
        audit_find(&story->audit, AUDIT_STUCK, "ready p99 is %.2f s", percentile(story, 99));
    return totals;
}

static void sum_up(const struct story *story, const struct totals *totals, uint64_t obeyed)
{
    printf("kills      %u: %u of the control plane (and %u while it started), %u of node agents\n",
           story->killed, story->killed_planes, story->killed_starting, story->killed_agents);
    printf("incidents  %u\n", totals->incidents);
    printf("commands   %d; effects: %u at real nodes, %" PRIu64 " at patients\n", totals->commands,
           totals->effects, obeyed);
    printf("promised   %" PRIu64 " records\n", promises_count(story->promises));
    printf("lost       %u\ndoubled    %u\nillegal    %u\nstuck      %u\n", story->audit.found[AUDIT_LOST],
           story->audit.found[AUDIT_DOUBLED], story->audit.found[AUDIT_ILLEGAL],
           story->audit.found[AUDIT_STUCK]);
    printf("ready      p50 %.0f ms, p99 %.0f ms, max %.0f ms\n", percentile(story, 50) * 1000,
           percentile(story, 99) * 1000, percentile(story, 100) * 1000);
    printf("took       %.0f s, seed %" PRIu64 "\n", duration_seconds(monotonic_ns() - story->began_ns),
           options.seed);
}

static bool read_number(const char *text, unsigned least, unsigned most, unsigned *out)
{
    *out = (unsigned)strtoul(text, NULL, 10);
    return *out >= least && *out <= most;
}

static bool read_options(int argc, char **argv)
{
    bool good = argc >= 3;
    options.seed = (uint64_t)clock_ns(CLOCK_REALTIME) / 1000 % 1000000000;
    for (int i = 3; i < argc && good; i++) {
        const char *word = argv[i], *value = i + 1 < argc ? argv[i + 1] : "";
        bool takes_value = true;
        if (strcmp(word, "--kills") == 0)
            good = read_number(value, 1, 1000000, &options.kills);
        else if (strcmp(word, "--nodes") == 0)
            good = read_number(value, 1, LAB_NODES_MAX, &options.nodes);
        else if (strcmp(word, "--patients") == 0)
            good = read_number(value, 1, PATIENTS_MAX, &options.patients);
        else if (strcmp(word, "--seed") == 0)
            options.seed = strtoull(value, NULL, 10);
        else {
            takes_value = false;
            options.kills = strcmp(word, "--full") == 0 ? 500 : options.kills;
            options.keep = options.keep || strcmp(word, "--keep") == 0;
            options.verbose = options.verbose || strcmp(word, "-v") == 0;
            good = strcmp(word, "--full") == 0 || strcmp(word, "--keep") == 0 || strcmp(word, "-v") == 0;
        }
        i += takes_value;
    }
    return good;
}

int main(int argc, char **argv)
{
    static struct story story;
    if (!read_options(argc, argv)) {
        fprintf(stderr,
                "usage: crash_kills HOMEOSTAT SERVICE [--kills N] [--full] [--nodes N] [--patients N] "
                "[--seed N] [--keep] [-v]\n");
        return 2;
    }
    options.homeostat = argv[1];
    options.service = argv[2];
    signal(SIGPIPE, SIG_IGN);
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("seed %" PRIu64 "\n", options.seed);
    begin(&story);
    run_to_peace(&story);
    kill_once_more(&story);
    uint64_t obeyed = patients_obeyed(story.patients);
    stop_clients(&story);
    struct totals totals = audit_all(&story);
    sum_up(&story, &totals, obeyed);
    int status = audit_status(&story.audit);
    promises_close(&story.promises);
    lab_close(&story.lab, status != 0 || options.keep);
    return status;
}
