#include "cli/live.h"

#include "cli/cli.h"
#include "cli/show.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/flock.h"
#include "base/text.h"
#include "synthetic/synthetic.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_SIZE = 4096 };

static const duration ready_within_ns = 30 * SECOND;
static const duration look_ns = 50 * MILLISECOND;       /* the longest wait within the loop */
static const duration rest_look_ns = 250 * MILLISECOND; /* between questions whether it is at rest */
static const duration quiet_ns = 8 * SECOND; /* without news, where nodes stay ill: nobody will heal them */

/* --- the fleet ------------------------------------------------------------------------------------------ */

/* Where a scenario's node has its usual users, a real one has those that a node agent has. So many come at
 * least, wherever: the users are the ones who tell how a service is, and every half second needs some writes
 * of theirs. */
static const double scale = 20.0 / 40;

static double load_of(double users_per_s)
{
    static const double least = 20, most = 50;
    double rate = users_per_s * scale;
    return rate < least ? least : rate > most ? most : rate;
}

static void lay_out_lab(struct live *live)
{
    live->lab.node_count = live->scenario->node_count;
    for (uint32_t i = 0; i < live->lab.node_count; i++) {
        struct lab_node *node = &live->lab.nodes[i];
        text_copy(node->name, sizeof node->name, live->names[i]);
        text_copy(node->role, sizeof node->role, scenario_group_of(live->scenario, i)->role);
        text_copy(node->zone, sizeof node->zone, scenario_zone_of(live->scenario, i));
        node->interval_ns = live->nodes[i].interval_ns;
        node->calls_count = live->nodes[i].calls_count;
        memcpy(node->calls, live->nodes[i].calls, sizeof node->calls);
        live->load[i] = load_of(live->nodes[i].users_per_s);
        /* What is made up from the load would keep a quarter of a core busy on each node. */
        if (scenario_group_of(live->scenario, i)->capacity_is_said)
            node->capacity_per_s = live->nodes[i].capacity_per_s * scale;
    }
}

static void lay_out(struct live *live)
{
    uint32_t count = live->scenario->node_count;
    live->nodes = calloc(count, sizeof *live->nodes);
    live->names = calloc(count, sizeof *live->names);
    live->load = calloc(count, sizeof *live->load);
    CHECK(live->nodes && live->names && live->load);
    scenario_lay_out(live->scenario, live->nodes, live->names);
    const struct live_options *options = &live->options;
    live->fleet_options = (struct fleet_options){.lab = &live->lab,
                                                 .database = options->database,
                                                 .policy_path = options->policy_path,
                                                 .record_path = options->record_path,
                                                 .port = options->port};
    for (uint32_t i = 0; i < count; i++)
        live->load[i] = live->nodes[i].users_per_s;
    if (options->synthetic) {
        live->synthetic = (struct fleet_synthetic){
            .nodes = options->synthetic_nodes, .scenario_path = options->path, .seed = options->seed};
        live->fleet_options.synthetic = &live->synthetic;
    } else {
        lay_out_lab(live);
        live->fleet_options.load = live->load;
    }
}

/* --- files ---------------------------------------------------------------------------------------------- */

static void print_complaints(const struct complaints *complaints, const char *path)
{
    for (uint32_t i = 0; i < complaints->count; i++) {
        char line[4096 + COMPLAINT_TEXT_SIZE];
        struct text text = text_over(line, sizeof line);
        complaint_print(&text, &complaints->list[i], path);
        fprintf(stderr, "%s\n", line);
    }
}

static int read_scenario(struct live *live)
{
    struct complaints *complaints = calloc(1, sizeof *complaints);
    CHECK(complaints);
    int result = scenario_read_file(live->options.path, live->scenario, complaints);
    print_complaints(complaints, live->options.path);
    free(complaints);
    if (result < 0)
        return fail(EXIT_ENVIRONMENT, "%s: %s", live->options.path, strerror(-result));
    if (result > 0)
        return EXIT_USAGE;
    if (live->options.seed)
        live->scenario->seed = live->options.seed;
    if (!live->options.policy_path && live->scenario->policy_path[0])
        live->options.policy_path = live->scenario->policy_path;
    return EXIT_DONE;
}

/* As many nodes as were asked for. */
static int resize(struct live *live)
{
    const struct live_options *options = &live->options;
    uint32_t nodes = options->synthetic_nodes ? options->synthetic_nodes : live->scenario->node_count;
    if (!options->synthetic)
        return EXIT_DONE;
    if (nodes > SYNTHETIC_NODES_MAX)
        return fail(EXIT_USAGE, "up: %u synthetic nodes are more than the %d of one process", nodes,
                    (int)SYNTHETIC_NODES_MAX);
    if (options->synthetic_nodes && !synthetic_resize(live->scenario, nodes))
        return fail(EXIT_USAGE, "up: %s has %u groups of nodes; --synthetic %u or more", options->path,
                    live->scenario->group_count, live->scenario->group_count);
    return EXIT_DONE;
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *where)
{
    (void)status, (void)kind, (void)where;
    return remove(path) == 0 || errno == ENOENT ? 0 : -1;
}

/* Every run begins with nothing: neither incidents nor what node agents and services of the run before have
 * kept on disk. */
static int begin_anew(struct live *live)
{
    static const char *const parts[] = {"", "-wal", "-shm", ".lock"};
    char path[PATH_SIZE];
    int code = make_folders_above(live->options.database);
    if (code != EXIT_DONE)
        return code;
    if (live->options.port > 0 && !fleet_port_is_free(live->options.port))
        return fail(EXIT_ENVIRONMENT, "port %d is taken; name another with --port, or none",
                    live->options.port);
    /* Two runs would take each other's database away. */
    snprintf(path, sizeof path, "%s.running", live->options.database);
    live->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (live->lock_fd < 0)
        return fail(EXIT_ENVIRONMENT, "%s: %s", path, strerror(errno));
    if (flock_within(live->lock_fd, FLOCK_PATIENCE) < 0)
        return fail(EXIT_ENVIRONMENT,
                    "another scenario is running with %s; wait for its end, or name another file with --db",
                    live->options.database);
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        snprintf(path, sizeof path, "%s%s", live->options.database, parts[i]);
        if (unlink(path) != 0 && errno != ENOENT)
            return fail(EXIT_ENVIRONMENT, "%s cannot be removed: %s", path, strerror(errno));
    }
    if (fleet_path(path, sizeof path, live->options.database, "nodes") &&
        nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS) != 0 && errno != ENOENT)
        return fail(EXIT_ENVIRONMENT, "%s cannot be removed: %s", path, strerror(errno));
    return EXIT_DONE;
}

/* --- running -------------------------------------------------------------------------------------------- */

static void print_places(const struct live *live)
{
    if (live->options.json)
        return;
    const struct scenario *scenario = live->scenario;
    printf("\n  %s\n\n", scenario->title[0] ? scenario->title : live->options.path);
    printf("  homeostat up    dashboard      http://127.0.0.1:%d/   (open it in a browser)\n",
           fleet_port(live->fleet));
    printf("                  control plane  http://127.0.0.1:%d\n", fleet_port(live->fleet));
    printf("                  database       %s\n", live->options.database);
    printf("                  policy         %s\n",
           live->options.policy_path ? live->options.policy_path : "the default");
    printf("                  nodes          %u %s\n", scenario->node_count,
           live->options.synthetic ? "synthetic ones, in one process" : "real ones");
    printf("                  script         %g s, and at most %g s to come to rest\n\n  Here Ctrl-C ends "
           "it.\n\n",
           duration_seconds(scenario->length_ns), duration_seconds(scenario->heal_ns));
}

/* False if the run is void, or over by Ctrl-C. */
static bool pump(struct live *live, duration at_most_ns)
{
    watch_pump(live->watch, at_most_ns);
    if (!live->plane_is_away)
        lab_log_tick(live->log, fleet_port(live->fleet));
    if (stop_is_wanted()) {
        snprintf(live->trouble, sizeof live->trouble, "ended before the script was over");
        return false;
    }
    return fleet_look(live->fleet, live->trouble, sizeof live->trouble) == FLEET_IS_WELL;
}

static bool until_all_have_reported(struct live *live)
{
    int64_t until_ns = monotonic_ns() + ready_within_ns;
    while (lab_log_heard(live->log) < live->scenario->node_count) {
        if (!pump(live, look_ns))
            return false;
        if (monotonic_ns() < until_ns)
            continue;
        snprintf(live->trouble, sizeof live->trouble,
                 "only %u of %u nodes have reported within %g s; see the logs", lab_log_heard(live->log),
                 live->scenario->node_count, duration_seconds(ready_within_ns));
        return false;
    }
    live->begun_ns = monotonic_ns();
    live->begun_at = clock_ns(CLOCK_REALTIME);
    lab_log_say(live->log, "SCRIPT", NO_INDEX, "all nodes have reported: the script begins");
    return true;
}

static bool until_script_is_over(struct live *live)
{
    instant end_at = live->scenario->length_ns;
    while (live_now(live) < end_at) {
        instant next_at = live_turn(live);
        if (*live->trouble)
            return false;
        next_at = next_at < end_at ? next_at : end_at;
        duration wait_ns = next_at - live_now(live);
        wait_ns = wait_ns < look_ns ? wait_ns : look_ns;
        if (!pump(live, wait_ns > MILLISECOND ? wait_ns : MILLISECOND))
            return false;
    }
    return true;
}

/* Where everybody is well, two intervals tell; where somebody stays ill, only the absence of news does. */
static bool until_at_rest(struct live *live)
{
    instant end_at = live->healed_at + live->scenario->heal_ns;
    int64_t rests_ns = -1;
    while (live_now(live) < end_at) {
        if (!pump(live, rest_look_ns))
            return false;
        bool rests = live_is_at_rest(live);
        rests_ns = !rests ? -1 : rests_ns < 0 ? monotonic_ns() : rests_ns;
        int64_t since_ns = lab_log_unwell(live->log) > 0 ? lab_log_news_ns(live->log) : rests_ns;
        duration enough_ns = lab_log_unwell(live->log) > 0 ? quiet_ns : 3 * live->nodes[0].interval_ns;
        if (rests && monotonic_ns() - rests_ns >= enough_ns && monotonic_ns() - since_ns >= enough_ns)
            return true;
    }
    lab_log_say(live->log, "SCRIPT", NO_INDEX, "the time for healing is over");
    return true;
}

static bool play(struct live *live)
{
    char error[2048];
    live->fleet = fleet_start(&live->fleet_options, error, sizeof error);
    if (!live->fleet) {
        text_copy(live->trouble, sizeof live->trouble, error);
        return false;
    }
    live->log = lab_log_new(&(struct lab_log_options){.names = live->names,
                                                      .count = live->scenario->node_count,
                                                      .verbose = live->options.verbose,
                                                      .quiet = live->options.json});
    print_places(live);
    live->watch = watch_open(fleet_port(live->fleet), lab_log_event, live->log);
    lab_log_head(live->log);
    bool played =
        until_all_have_reported(live) && until_script_is_over(live) && live_heal(live) && until_at_rest(live);
    live->ended_at = live->begun_ns ? live_now(live) : 0;
    return played;
}

static int tell(struct live *live)
{
    struct live_result result;
    double others = machine_use_by_others(&live->machine);
    if (!live_result(live, &result))
        return fail(EXIT_ENVIRONMENT, "%s", live->trouble);
    result.others = others;
    if (live->options.json)
        live_print_json(live, &result);
    else
        live_print_summary(live, &result);
    bool met = result.sums.met == result.sums.expectations;
    live_result_free(&result);
    return met ? EXIT_DONE : EXIT_NOT_SO;
}

static int run(struct live *live)
{
    char sentence[LIVE_SENTENCE_SIZE];
    int code = read_scenario(live);
    if (code != EXIT_DONE)
        return code;
    code = resize(live);
    if (code != EXIT_DONE)
        return code;
    if (live_refusal(live, sentence))
        return fail(EXIT_USAGE, "%s: %s", live->options.path, sentence);
    lay_out(live);
    live->healed_at = INSTANT_NEVER;
    if (!live_begin_script(live))
        return fail(EXIT_USAGE, "%s: %s", live->options.path, live->trouble);
    code = begin_anew(live);
    if (code != EXIT_DONE)
        return code;
    stop_on_signals();
    machine_use_begin(&live->machine);
    bool played = play(live);
    watch_close(&live->watch);
    fleet_stop(&live->fleet);
    if (!played)
        return fail(stop_is_wanted() ? EXIT_NOT_SO : EXIT_ENVIRONMENT, "%s", live->trouble);
    return tell(live);
}

int live_run(const struct live_options *options)
{
    struct live *live = calloc(1, sizeof *live);
    CHECK(live);
    live->options = *options;
    live->lock_fd = -1;
    live->scenario = calloc(1, sizeof *live->scenario);
    CHECK(live->scenario);
    int code = run(live);
    if (live->lock_fd >= 0)
        close(live->lock_fd);
    lab_log_free(&live->log);
    free(live->scenario);
    free(live->nodes);
    free(live->names);
    free(live->load);
    free(live->acts);
    free(live->strikes);
    free(live);
    return code;
}
