/* demo: one fault, one loop, one incident, told as it happens and read back from the database in the end. */
#include "cli/demo.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/flock.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/fault_words.h"
#include "cli/fleet.h"
#include "cli/show.h"
#include "cli/store_choice.h"
#include "cli/source.h"
#include "cli/story.h"
#include "cli/watch.h"
#include "core/vocabulary.h"
#include "scenario/lab.h"
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    WARM_REPORTS = 3, /* the first ones still carry the start of the service */
    BASELINE_REPORTS =
        2, /* more of them before the fault, so that what follows has something to stand against */
    PUMP_MS = 100,
    OVERALL_S = 60,
    CALM_S = 5,   /* so long we wait for a calm moment on a busy machine */
    SETTLE_S = 10 /* after the hero is well, for what the fault did to others */
};

/* Where each fault is shown, and how it is said; `%s` is the intensity. */
static const struct {
    const char *node;
    const char *sentence;
} cases[FAULT_COUNT] = {
    [FAULT_CPU_SPIKE] = {"web-1", "its request loop burns %s of a core"},
    [FAULT_NETWORK_DELAY] = {"web-1", "its link holds every reply back for %s"},
    [FAULT_STORAGE_LATENCY] = {"db-1", "each read, write and fsync in its data folder waits %s"},
    [FAULT_SERVICE_CRASH] = {"api-1", "its process is killed"},
    [FAULT_SERVICE_HANG] = {"db-1", "its process is stopped: alive, and silent"},
    [FAULT_NOISY_NEIGHBOUR] = {"web-1", "another process on it takes %s of its processor"},
    [FAULT_MEMORY_LEAK] = {"api-1", "its new release loses %s of the node's memory each minute"},
    [FAULT_CRASH_LOOP] = {"api-1", "its new release exits %s after each start"},
    [FAULT_BAD_CONFIG] = {"api-1", "its new configuration makes it refuse %s of its requests"},
    [FAULT_NETWORK_LOSS] = {"web-1", "its link loses %s of the replies"},
    [FAULT_IO_ERROR] = {"db-1", "%s of the writes in its data folder fail"},
    [FAULT_DISK_FULL] = {"db-1", "its disk is filled to %s"},
    [FAULT_OVERLOAD] = {"web-1", "its users send %s their usual requests"},
    [FAULT_RETRY_STORM] = {"web-1", "after a surge its users try again %s what failed"},
    [FAULT_NETWORK_BANDWIDTH] = {"web-1", "its link carries only %s"},
    [FAULT_NETWORK_CUT] = {"web-1", "its link is cut: users are refused"},
};

struct demo {
    struct demo_options options;
    struct lab lab;
    struct fleet *fleet;
    struct watch *watch;
    struct story story;
    instant give_up_by;                   /* by CLOCK_MONOTONIC */
    instant calm_by;                      /* likewise; 0: not well yet */
    long long fault;                      /* its id; 0: not injected yet */
    bool told_fault;                      /* its line stands */
    bool told_end;                        /* the hero's incident has ended, and the story has said so */
    bool told_effect;                     /* likewise */
    double latency_before, errors_before; /* of the hero */
    long long sequence_before[LAB_NODES_MAX];
    int lock_fd; /* held while we run */
    char database[4096];
    char store[4096];   /* on a server, with its schema */
    char trouble[1024]; /* why the environment failed */
};

static const char *fault_text(enum fault_kind kind, double intensity, char out[160])
{
    char amount[INTENSITY_SIZE];
    const struct fault_info *info = &fault_infos[kind];
    intensity_text(info, intensity, amount);
    const char *sentence = cases[kind].sentence ? cases[kind].sentence : info->sentence;
    const char *place = strstr(sentence, "%s");
    if (!place)
        text_copy(out, 160, sentence);
    else
        snprintf(out, 160, "%.*s%s%s", (int)(place - sentence), sentence, amount, place + 2);
    return out;
}

/* --- waiting -------------------------------------------------------------------------------------------- */

enum step { STEP_GO_ON, STEP_DONE, STEP_STOP };

/* Looks at the world while `until` says so. True when it is done; false on Ctrl-C, time over, or trouble. */
static bool wait_for(struct demo *demo, const char *what, enum step (*until)(struct demo *demo))
{
    for (;;) {
        watch_pump(demo->watch, PUMP_MS * MILLISECOND);
        if (stop_is_wanted()) {
            snprintf(demo->trouble, sizeof demo->trouble, "interrupted while waiting for %s", what);
            return false;
        }
        if (fleet_look(demo->fleet, demo->trouble, sizeof demo->trouble) != FLEET_IS_WELL)
            return false;
        enum step step = until(demo);
        if (step != STEP_GO_ON)
            return step == STEP_DONE;
        if (clock_ns(CLOCK_MONOTONIC) > demo->give_up_by) {
            snprintf(demo->trouble, sizeof demo->trouble, "after %d s still waiting for %s", OVERALL_S, what);
            return false;
        }
    }
}

static json_t *ask(struct demo *demo, const char *path)
{
    return plane_ask(fleet_port(demo->fleet), "GET", path, NULL, NULL, 0);
}

/* --- all is well ---------------------------------------------------------------------------------------- */

static const json_t *find_node(const json_t *nodes, const char *name)
{
    size_t index;
    json_t *node;
    json_array_foreach(nodes, index, node)
    {
        if (strcmp(member_text(node, "node"), name) == 0)
            return node;
    }
    return NULL;
}

static bool is_well(const json_t *node)
{
    const json_t *samples = json_object_get(node, "samples");
    return strcmp(member_text(node, "health"), "healthy") == 0 && member_number(samples, "service_up") >= 1 &&
           member_number(samples, "error_ratio") <= 0 && member_number(samples, "request_latency") > 0 &&
           !isnan(member_number(samples, "cpu_utilization"));
}

/* True if every node is well and has sent `more` reports beyond those noted. */
static bool all_are_well(struct demo *demo, const json_t *nodes, long long more)
{
    const char *waiting = NULL;
    for (size_t i = 0; i < fleet_size(demo->fleet); i++) {
        const json_t *node = find_node(nodes, fleet_node(demo->fleet, i));
        if (!is_well(node) || member_whole(node, "sequence") < demo->sequence_before[i] + more)
            waiting = fleet_node(demo->fleet, i);
    }
    if (waiting)
        story_progress(&demo->story, "waiting for reports of %s ...", waiting);
    return waiting == NULL;
}

struct range {
    double least, most;
};

static void widen(struct range *range, double value)
{
    if (value < range->least)
        range->least = value;
    if (value > range->most)
        range->most = value;
}

static void tell_healthy(struct demo *demo, const json_t *nodes)
{
    struct range cpu = {INFINITY, 0}, latency = {INFINITY, 0};
    char cpu_text[80], latency_text[80];
    for (size_t i = 0; i < fleet_size(demo->fleet); i++) {
        const json_t *node = find_node(nodes, fleet_node(demo->fleet, i));
        const json_t *samples = json_object_get(node, "samples");
        widen(&cpu, member_number(samples, "cpu_utilization"));
        widen(&latency, member_number(samples, "request_latency"));
        demo->sequence_before[i] = member_whole(node, "sequence");
    }
    story_line(&demo->story, demo->story.origin_at, "healthy", "all three: cpu %s, replies in %s, no errors",
               range_text("cpu_utilization", cpu.least, cpu.most, cpu_text),
               range_text("request_latency", latency.least, latency.most, latency_text));
}

/* Others may be at work on this machine, too. The story reads better if it begins in a quiet moment. */
static bool is_calm(struct demo *demo, const json_t *nodes)
{
    size_t index;
    json_t *node;
    instant now = clock_ns(CLOCK_MONOTONIC);
    if (demo->calm_by == 0)
        demo->calm_by = now + CALM_S * SECOND;
    json_array_foreach(nodes, index, node)
    {
        const json_t *samples = json_object_get(node, "samples");
        if (member_number(samples, "cpu_utilization") > 0.2 ||
            member_number(samples, "request_latency") > 0.01)
            return now > demo->calm_by;
    }
    return true;
}

static enum step until_healthy(struct demo *demo)
{
    json_t *answer = ask(demo, "/v1/nodes");
    const json_t *nodes = json_object_get(answer, "nodes");
    bool well = all_are_well(demo, nodes, WARM_REPORTS) && is_calm(demo, nodes);
    if (well) {
        demo->story.origin_at = clock_ns(CLOCK_REALTIME);
        tell_healthy(demo, nodes);
    }
    json_decref(answer);
    return well ? STEP_DONE : STEP_GO_ON;
}

static enum step until_baseline(struct demo *demo)
{
    json_t *answer = ask(demo, "/v1/nodes");
    const json_t *nodes = json_object_get(answer, "nodes");
    bool well = all_are_well(demo, nodes, BASELINE_REPORTS);
    if (well) {
        const json_t *samples = json_object_get(find_node(nodes, demo->options.node), "samples");
        demo->latency_before = member_number(samples, "request_latency");
        demo->errors_before = member_number(samples, "error_ratio");
    }
    json_decref(answer);
    return well ? STEP_DONE : STEP_GO_ON;
}

/* --- the fault ------------------------------------------------------------------------------------------ */

static bool inject(struct demo *demo)
{
    char body[256];
    snprintf(body, sizeof body, "{\"kind\":\"%s\",\"node\":\"%s\",\"lease_s\":%d}",
             fault_kind_name(demo->options.kind), demo->options.node, OVERALL_S);
    json_t *fault =
        plane_ask(fleet_port(demo->fleet), "POST", "/v1/faults", body, demo->trouble, sizeof demo->trouble);
    demo->fault = member_whole(fault, "id");
    json_decref(fault);
    return demo->fault != 0;
}

/* Adds "replies 1 ms → 58 ms", or errors if that is what users get. False if they do not feel it. */
static bool add_users_view(struct demo *demo, struct text *text, const char *fault_metric)
{
    json_t *answer = ask(demo, "/v1/nodes");
    const json_t *samples =
        json_object_get(find_node(json_object_get(answer, "nodes"), demo->options.node), "samples");
    double latency = member_number(samples, "request_latency"),
           errors = member_number(samples, "error_ratio");
    bool slow = latency > 5 * demo->latency_before, failing = errors > demo->errors_before;
    char before[32], after[32];
    if (slow)
        text_addf(text, ", replies %s → %s", metric_text("request_latency", demo->latency_before, before),
                  metric_text("request_latency", latency, after));
    if (failing && strcmp(fault_metric, "error_ratio") != 0)
        text_addf(text, ", errors %s → %s", metric_text("error_ratio", demo->errors_before, before),
                  metric_text("error_ratio", errors, after));
    json_decref(answer);
    return slow || failing;
}

static void add_effect(struct text *text, const json_t *fault)
{
    char before[32], after[32];
    const char *name = member_text(fault, "metric");
    int metric = metric_of(name);
    if (metric >= 0 && metric_infos[metric].unit == UNIT_FLAG)
        text_addf(text, "seen: %s up → down", metric_infos[metric].short_name);
    else
        text_addf(text, "seen: %s %s → %s", metric >= 0 ? metric_infos[metric].short_name : name,
                  metric_text(name, member_number(fault, "before"), before),
                  metric_text(name, member_number(fault, "after"), after));
}

/* Once users feel it too, or at the latest (`now`) before the finding is told. */
static void tell_effect(struct demo *demo, const json_t *fault, bool now)
{
    char line[256];
    struct text text = text_over(line, sizeof line);
    add_effect(&text, fault);
    bool felt = add_users_view(demo, &text, member_text(fault, "metric"));
    if (!felt && !now)
        return;
    story_line(&demo->story, INSTANT_NONE, "", "%s", line);
    demo->told_effect = true;
}

/* Tells when the fault is on, and when it is felt. False: the node could not do it. */
static bool look_at_fault(struct demo *demo, bool now)
{
    if (demo->told_effect || !demo->fault)
        return true;
    json_t *answer = ask(demo, "/v1/faults");
    size_t index;
    json_t *fault;
    bool possible = true;
    json_array_foreach(json_object_get(answer, "faults"), index, fault)
    {
        instant injected_at;
        char sentence[160];
        if (member_whole(fault, "id") != demo->fault)
            continue;
        if (strcmp(member_text(fault, "state"), "failed") == 0) {
            snprintf(demo->trouble, sizeof demo->trouble, "the fault could not be injected: %s",
                     member_text(fault, "reason"));
            possible = false;
        }
        if (!demo->told_fault && text_parse_instant(member_text(fault, "injected_at"), &injected_at)) {
            story_line(&demo->story, injected_at, "FAULT", "%s on %s: %s", member_text(fault, "kind"),
                       member_text(fault, "node"),
                       fault_text(demo->options.kind, member_number(fault, "intensity"), sentence));
            demo->told_fault = true;
        }
        if (demo->told_fault && strcmp(member_text(fault, "effect"), "seen") == 0)
            tell_effect(demo, fault, now);
    }
    json_decref(answer);
    return possible;
}

/* --- the loop ------------------------------------------------------------------------------------------- */

/* With -v: what the guards looked at when they let an action pass. */
static void tell_guards(struct demo *demo, instant at)
{
    json_t *health = ask(demo, "/healthz");
    if (health)
        story_line(&demo->story, at, "GUARDS",
                   "epoch %lld, fleet %lld, ill by themselves %lld, in work %lld of at most %lld, breaker %s",
                   member_whole(health, "epoch"), member_whole(health, "fleet"),
                   member_whole(health, "unhealthy"), member_whole(health, "disrupted"),
                   member_whole(health, "budget"), member_true(health, "breaker_open") ? "open" : "closed");
    json_decref(health);
}

/* How long it took and, with -v, the figures behind the verdict. */
static void tell_resolution(struct demo *demo, long long incident)
{
    char path[64], fixed[32], proved[32];
    snprintf(path, sizeof path, "/v1/incidents/%lld", incident);
    json_t *answer = ask(demo, path);
    if (strcmp(member_text(answer, "verdict"), "effective") == 0)
        story_line(&demo->story, INSTANT_NONE, "", "fixed after %s, proved after %s",
                   seconds_text(member_number(answer, "fixed_after_s"), fixed),
                   seconds_text(member_number(answer, "proved_after_s"), proved));
    if (!demo->options.verbose) {
        json_decref(answer);
        return;
    }
    size_t index;
    json_t *row;
    json_array_foreach(json_object_get(answer, "evidence"), index, row)
    {
        char before[32], after[32];
        const char *metric = member_text(row, "metric");
        story_line(&demo->story, INSTANT_NONE, "", "evidence: %s %s, when found %s, now %s", metric,
                   member_text(row, "condition"), metric_text(metric, member_number(row, "before"), before),
                   metric_text(metric, member_number(row, "after"), after));
    }
    json_decref(answer);
}

/* An incident, or an event about one. */
static bool is_over(const json_t *incident)
{
    const char *state = member_text(incident, "state");
    return strcmp(state, "resolved") == 0 || strcmp(state, "escalated") == 0;
}

static void on_event(void *context, const char *kind, const json_t *data)
{
    struct demo *demo = context;
    const char *step = member_text(data, "step");
    if (!demo->fault)
        return; /* how the lab came up is not the story */
    if (strcmp(kind, "incident") == 0 && is_over(data) &&
        strcmp(member_text(data, "node"), demo->options.node) == 0)
        demo->told_end = true;
    if (strcmp(kind, "incident") == 0)
        look_at_fault(demo, true);
    story_event(&demo->story, kind, data);
    if (demo->options.verbose && strcmp(step, "COMMAND") == 0)
        tell_guards(demo, INSTANT_NONE);
    if (strcmp(step, "RESOLVED") == 0)
        tell_resolution(demo, member_whole(data, "incident"));
}

/* Over when the hero's incident is, and then those of the others, who may only have felt it. */
static enum step until_over(struct demo *demo)
{
    if (!look_at_fault(demo, false))
        return STEP_STOP;
    json_t *answer = ask(demo, "/v1/incidents?limit=50");
    bool hero_over = false, others_over = true;
    size_t index;
    json_t *incident;
    json_array_foreach(json_object_get(answer, "incidents"), index, incident)
    {
        if (strcmp(member_text(incident, "node"), demo->options.node) == 0 && is_over(incident))
            hero_over = true;
        if (!is_over(incident))
            others_over = false;
    }
    json_decref(answer);
    if (!hero_over) {
        story_progress(&demo->story, "%6.1f s  ...",
                       duration_seconds(clock_ns(CLOCK_REALTIME) - demo->story.origin_at));
        return STEP_GO_ON;
    }
    instant settle_by = clock_ns(CLOCK_MONOTONIC) + SETTLE_S * SECOND;
    if (demo->give_up_by > settle_by)
        demo->give_up_by = settle_by;
    return others_over && demo->told_end ? STEP_DONE : STEP_GO_ON;
}

/* The story up to the end of the incident. What became of it is read from the database, not here. */
static int tell(struct demo *demo)
{
    char error[2048];
    const struct fleet_options options = {.lab = &demo->lab,
                                          .database = demo->database,
                                          .store = demo->options.store ? demo->store : NULL,
                                          .policy_path = demo->options.policy_path,
                                          .port = demo->options.port < 0 ? 7070 : demo->options.port,
                                          .any_port = demo->options.port < 0,
                                          .interval_ns = demo->options.interval_ns};
    demo->fleet = fleet_start(&options, error, sizeof error);
    if (!demo->fleet)
        return fail(EXIT_ENVIRONMENT, "%s", error);
    FILE *out = demo->story.out;
    fprintf(out, "  web-1 → api-1 → db-1     three real services, each with its own node agent\n");
    char shown[4096];
    store_show(demo->options.store ? demo->options.store : demo->database, shown, sizeof shown);
    fprintf(out, "  %24s control plane http://127.0.0.1:%d\n  %24s database %s%s\n\n", "",
            fleet_port(demo->fleet), "", shown, demo->options.store ? ", schema homeostat_demo" : "");
    fflush(out);
    demo->watch = watch_open(fleet_port(demo->fleet), on_event, demo);
    bool injected = wait_for(demo, "three healthy services", until_healthy) &&
                    wait_for(demo, "a baseline", until_baseline) && inject(demo);
    if (injected)
        wait_for(demo, "the end of the incident", until_over);
    story_clear_progress(&demo->story);
    watch_close(&demo->watch);
    bool interrupted = stop_is_wanted();
    if (injected && !interrupted)
        story_progress(&demo->story, "stopping the lab ...");
    fleet_stop(&demo->fleet);
    story_clear_progress(&demo->story);
    if (injected && !interrupted)
        return EXIT_DONE;
    return fail(EXIT_ENVIRONMENT, "%s", demo->trouble);
}

/* --- files ---------------------------------------------------------------------------------------------- */

/* The same on a server: the run before stays readable in the schema homeostat_demo_previous. */
static int make_room_on_server(struct demo *demo)
{
    char error[1024];
    if (store_make_room(demo->options.store, "homeostat_demo", demo->store, sizeof demo->store, error,
                        sizeof error) < 0)
        return fail(EXIT_ENVIRONMENT, "%s", error);
    return EXIT_DONE;
}

/* The database of the run before stays readable, as lab/demo-previous.db. */
static int make_room(struct demo *demo)
{
    static const char *const parts[] = {"", "-wal", "-shm"};
    char running[4096], previous[4096], from[4200], to[4200];
    if (!home_path(demo->database, sizeof demo->database, "lab/demo.db") ||
        !home_path(previous, sizeof previous, "lab/demo-previous.db") ||
        !home_path(running, sizeof running, "lab/demo.running"))
        return fail(EXIT_ENVIRONMENT, "HOMEOSTAT_HOME is too long");
    int code = make_folders_above(demo->database);
    if (code != EXIT_DONE)
        return code;
    demo->lock_fd = open(running, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (demo->lock_fd < 0)
        return fail(EXIT_ENVIRONMENT, "%s: %s", running, strerror(errno));
    /* Two demos would take each other's database away. */
    if (flock_within(demo->lock_fd, FLOCK_PATIENCE) < 0)
        return fail(EXIT_ENVIRONMENT,
                    "another demo is running here; wait for its end, or set HOMEOSTAT_HOME");
    if (demo->options.store)
        return make_room_on_server(demo);
    if (access(demo->database, F_OK) != 0)
        return EXIT_DONE; /* a start that failed before must not cost the last good one */
    if (demo->options.port > 0 && !fleet_port_is_free(demo->options.port))
        return fail(EXIT_ENVIRONMENT, "port %d is taken; name another with --port, or none",
                    demo->options.port);
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        snprintf(from, sizeof from, "%s%s", demo->database, parts[i]);
        snprintf(to, sizeof to, "%s%s", previous, parts[i]);
        unlink(to);
        if (rename(from, to) != 0 && errno != ENOENT)
            return fail(EXIT_ENVIRONMENT, "%s cannot be moved to %s: %s", from, to, strerror(errno));
    }
    return EXIT_DONE;
}

static int run_demo(const struct demo_options *options)
{
    struct demo *demo = calloc(1, sizeof *demo);
    CHECK(demo);
    demo->options = *options;
    demo->lock_fd = -1;
    demo->story = (struct story){.out = options->json ? stderr : stdout,
                                 .node = options->node,
                                 .verbose = options->verbose,
                                 .origin_at = INSTANT_NONE};
    demo->give_up_by = clock_ns(CLOCK_MONOTONIC) + OVERALL_S * SECOND;
    lab_default(&demo->lab);
    stop_on_signals();
    int code = make_room(demo);
    if (code == EXIT_DONE) {
        fprintf(demo->story.out, "\n  %-33s one fault, one loop, one incident\n\n", "homeostat demo");
        code = tell(demo);
    }
    if (code == EXIT_DONE)
        code = demo_read_back(options, options->store ? demo->store : demo->database, demo->trouble,
                              demo->story.out);
    if (demo->lock_fd >= 0)
        close(demo->lock_fd);
    free(demo);
    return code;
}

/* A fault that no remedy cures has no story that ends: it may only be watched (`up`, `inject`). */
static size_t demo_kinds(const char *names[FAULT_COUNT])
{
    size_t count = 0;
    for (int kind = 0; kind < FAULT_COUNT; kind++)
        if (cases[kind].sentence)
            names[count++] = fault_kind_name((enum fault_kind)kind);
    return count;
}

static int choose_fault(const char *fault, const char *node, struct demo_options *options)
{
    const char *names[FAULT_COUNT];
    size_t count = demo_kinds(names);
    int kind = fault_kind_of(fault);
    if (kind < 0) {
        const char *near = text_nearest(fault, names, count);
        return fail(EXIT_USAGE, "demo: no fault is called '%s'%s%s%s; '%s inject --list' names them", fault,
                    near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "", program_name());
    }
    if (!cases[kind].sentence)
        return fail(
            EXIT_USAGE,
            "demo: %s is cured by nothing, so that no story of it ends; try it in a lab: '%s up', '%s "
            "inject %s'",
            fault, program_name(), program_name(), fault);
    options->kind = (enum fault_kind)kind;
    options->node = node ? node : cases[kind].node;
    struct lab lab;
    lab_default(&lab);
    if (lab_find(&lab, options->node) < 0)
        return fail(EXIT_USAGE, "demo: its nodes are web-1, api-1 and db-1, not '%s'", options->node);
    return EXIT_DONE;
}

int verb_demo(const struct verb *verb, int argc, char **argv)
{
    struct demo_options options = {.port = -1, .interval_ns = 500 * MILLISECOND};
    struct store_choice choice = {0};
    const char *fault = "cpu_spike", *node = NULL;
    char policy[4096];
    const struct flag flags[] = {
        {"fault", 'f', FLAG_TEXT, &fault, "KIND",
         "cpu_spike, io_error, ...: any that a remedy cures (inject --list)"},
        {"node", 'n', FLAG_TEXT, &node, "NODE", "web-1, api-1 or db-1 (the one that shows this fault best)"},
        {"verbose", 'v', FLAG_YES, &options.verbose, NULL,
         "ids of commands, what the guards saw, the evidence"},
        {"json", 0, FLAG_YES, &options.json, NULL, "one object on stdout, the story on stderr"},
        {"interval", 0, FLAG_DURATION, &options.interval_ns, "TIME", "between the reports of a node (500ms)"},
        {"policy", 0, FLAG_TEXT, &options.policy_path, "FILE", "(policies/default.yaml)"},
        {"port", 0, FLAG_WHOLE, &options.port, "PORT", "of the control plane (7070, or a free one)"},
        {"store", 0, FLAG_TEXT, &choice.store, "STORE",
         "postgresql://USER@HOST/NAME instead of lab/demo.db (HOMEOSTAT_STORE)"},
        {0}};
    int count;
    int code = flags_read(verb, flags, argc, argv, 0, 0, &count);
    if (code >= 0)
        return code;
    code = choose_fault(fault, node, &options);
    if (code != EXIT_DONE)
        return code;
    code = store_choose(&choice, "demo", "lab/demo.db");
    if (code != EXIT_DONE)
        return code;
    if (choice.store && !choice.address)
        return fail(EXIT_USAGE, "demo: its file is lab/demo.db; --store takes postgresql://USER@HOST/NAME");
    options.store = choice.address;
    if (options.port > 65535)
        return fail(EXIT_USAGE, "demo: no port is above 65535");
    if (!options.policy_path && home_path(policy, sizeof policy, "policies/default.yaml") &&
        access(policy, R_OK) == 0)
        options.policy_path = policy;
    return run_demo(&options);
}
