/* A command cut at each of its points: for every crash point a lab of its own, whose control plane or node
 * agent kills itself exactly there; then the same with the other one killed at that moment as well. What must
 * hold:
 *
 *     the witness counts one effect where trying again is safe, and never two
 *     a command that was cut midway ends as such, and observation settles what became of it
 *     nothing is silent: the incident ends resolved or escalated, with a verdict if something was done
 *
 * `crash_points HOMEOSTAT SERVICE [--full] [--seed N] [--jobs N] [-v]`: --full does each twenty times, with
 * service and processes killed at random moments. Exit status as audit.h has it; 3: the environment. */
#include "audit.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/crash.h"
#include "core/core.h"
#include "dice.h"
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static const char policy[] = "version: 1\n"
                             "detectors:\n"
                             "  - {name: service-down, when: service_up < 1, for: 0s, clear: service_up >= "
                             "1, healthy_for: 500ms, confirm: no}\n"
                             "  - {name: silent, absent: 10s}\n"
                             "playbooks:\n"
                             "  - on: service-down\n"
                             "    steps: [{do: restart_service, settle: 100ms, within: 5s}, {do: "
                             "restart_service, settle: 100ms, within: 5s}, "
                             "page_human]\n"
                             "  - on: silent\n"
                             "    steps: [page_human]\n"
                             "guards:\n"
                             "  max_disrupted: 100%\n"
                             "  breaker: {unhealthy: 100%, at_least: 100}\n"
                             "  per_target: {cooldown: 200ms, backoff: no, attempts: {max: 5, within: 1m}}\n"
                             "  recurrence: 1s\n"
                             "  rate: {fleet: no, target: no, rule: no, kind: no}\n"
                             "  flapping: no\n"
                             "  hold: 100ms\n";

enum who { ALONE, BOTH };

/* What may come of a command cut at a point: how often the witness saw an effect, and how the command that
 * was cut ended (a set of outcomes; 0: there is none on record). */
struct expectation {
    unsigned least, most, outcomes;
};

#define O(name) (1u << OUTCOME_##name)
static const struct expectation expectations[CRASH_COUNT][2] = {
    [CRASH_BEFORE_INTENT] = {{1, 1, O(DONE)}, {0, 1, O(DONE) | O(NONE)}},
    /* The order stands and is given again; its epoch is that of the one who died, so it may be refused: then
     * there is another one for it. A new node agent starts its service by itself. */
    [CRASH_AFTER_INTENT] = {{1, 1, O(DONE) | O(REFUSED)}, {0, 1, O(DONE) | O(REFUSED)}},
    [CRASH_AFTER_SEND] = {{1, 1, O(DONE) | O(REFUSED)}, {0, 1, O(DONE) | O(REFUSED) | O(CUT)}},
    [CRASH_AFTER_JOURNAL] = {{0, 0, O(CUT)}, {0, 0, O(CUT)}},
    [CRASH_MID_EFFECT] = {{0, 0, O(CUT)}, {0, 0, O(CUT)}},
    [CRASH_AFTER_EFFECT] = {{1, 1, O(CUT)}, {1, 1, O(CUT)}},
    [CRASH_AFTER_OUTCOME] = {{1, 1, O(DONE)}, {1, 1, O(DONE)}},
    [CRASH_AFTER_ACK] = {{1, 1, O(DONE)}, {1, 1, O(DONE)}},
};

struct result {
    unsigned effects, commands, incidents;
    uint8_t cut_outcome, outcome, state, verdict;
    double took_s;
    struct audit audit;
};

struct cell {
    enum crash_point point;
    enum who who;
    uint64_t seed;
    pid_t pid;
    int result_fd;
    bool played;
    struct result result;
};

static struct {
    const char *homeostat, *service;
    uint64_t seed;
    int times, jobs;
    bool full, verbose;
} options = {.times = 1, .jobs = 8};

/* --- one cell, in a process of its own ------------------------------------------------------------------ */

static void wait_until_well(const struct lab *lab)
{
    for (int64_t by_ns = monotonic_ns() + 30 * SECOND;; lab_nap(20 * MILLISECOND)) {
        char *body = NULL;
        int status = lab_call(lab, "GET", "/v1/nodes/real-1", &body);
        bool well = status == 200 && strstr(body, "\"service_up\":1") && strstr(body, "\"healthy\"");
        free(body);
        if (well)
            return;
        if (monotonic_ns() > by_ns)
            lab_give_up("the lab does not come up; see %s", lab->folder);
    }
}

struct seen {
    struct result *result;
    bool active;
};

static bool see_incident(void *context, const struct incident *incident)
{
    struct seen *seen = context;
    seen->result->incidents++;
    seen->active = seen->active || incident_is_active(incident);
    if (seen->result->incidents == 1) { /* the newest comes first */
        seen->result->state = incident->state;
        seen->result->verdict = incident->verdict;
    }
    return true;
}

static bool see_command(void *context, const struct command_row *row)
{
    struct seen *seen = context;
    if (seen->result->commands++ == 0)
        seen->result->cut_outcome = row->command.outcome;
    seen->result->outcome = row->command.outcome;
    seen->active = seen->active || row->command.outcome == OUTCOME_NONE;
    return true;
}

/* True if everything that began has ended, and the newest sample of the node says that it is well. */
static bool has_settled(const struct lab *lab, struct result *result)
{
    char error[256];
    struct store *store;
    struct incident_filter all = {.node = -1, .state = -1};
    struct seen seen = {.result = result};
    result->incidents = result->commands = 0;
    if (store_open(&store, lab->database, error, sizeof error) < 0)
        return false;
    bool read = store_incidents(store, &all, see_incident, &seen) >= 0 &&
                store_commands(store, 0, -1, INSTANT_NONE, see_command, &seen) >= 0;
    store_close(&store);
    return read && !seen.active;
}

static void settle(const struct lab *lab, const struct cell *cell, struct result *result)
{
    /* If both died the trouble may have gone with them, unseen by anybody who lives. */
    unsigned expected = cell->who == BOTH && cell->point == CRASH_BEFORE_INTENT ? 0 : 1;
    for (int64_t by_ns = monotonic_ns() + 45 * SECOND;; lab_nap(50 * MILLISECOND)) {
        if (has_settled(lab, result) && result->incidents >= expected)
            return;
        if (monotonic_ns() > by_ns) {
            audit_find(&result->audit, AUDIT_STUCK, "%s: the incident does not end",
                       crash_infos[cell->point].name);
            return;
        }
    }
}

static void judge(const struct lab *lab, const struct cell *cell, struct result *result)
{
    const struct expectation *expected = &expectations[cell->point][cell->who];
    const char *name = crash_infos[cell->point].name;
    char error[256];
    struct store *store;
    if (store_open(&store, lab->database, error, sizeof error) < 0)
        lab_give_up("%s", error);
    audit_integrity(&result->audit, lab->database);
    audit_histories(&result->audit, store);
    result->effects = audit_effects(&result->audit, store, lab);
    store_close(&store);
    if (result->effects < expected->least)
        audit_find(&result->audit, AUDIT_LOST, "%s: %u effects", name, result->effects);
    if (result->effects > expected->most)
        audit_find(&result->audit, AUDIT_DOUBLED, "%s: %u effects", name, result->effects);
    if (!(expected->outcomes >> result->cut_outcome & 1))
        audit_find(&result->audit, AUDIT_ILLEGAL, "%s: its outcome is %s", name,
                   outcome_name(result->cut_outcome));
    if (result->effects > 0 && result->verdict == VERDICT_NONE)
        audit_find(&result->audit, AUDIT_ILLEGAL, "%s: something was done, and there is no verdict", name);
}

static struct result play(const struct cell *cell)
{
    bool plane_dies = crash_infos[cell->point].process == CRASH_PLANE;
    const char *name = crash_infos[cell->point].name;
    struct result result = {0};
    struct dice dice = {cell->seed};
    struct lab lab;
    int64_t began_ns = monotonic_ns();
    lab_open(&lab, options.homeostat, options.service, 1, policy);
    lab_start_plane(&lab, plane_dies ? name : NULL);
    lab_start_agent(&lab, 0, plane_dies ? NULL : name);
    wait_until_well(&lab);
    if (options.full)
        lab_nap(dice_duration(&dice, 0, SECOND));
    lab_kill_service(&lab, 0);
    if (!lab_dies(plane_dies ? &lab.plane : &lab.nodes[0].pid, 20 * SECOND))
        lab_give_up("%s: nobody died there; see %s", name, lab.folder);
    if (cell->who == BOTH) {
        if (options.full)
            lab_nap(dice_duration(&dice, 0, 20 * MILLISECOND));
        lab_kill(plane_dies ? &lab.nodes[0].pid : &lab.plane);
    }
    if (options.full)
        lab_nap(dice_duration(&dice, 0, 500 * MILLISECOND));
    if (!lab.plane)
        lab_start_plane(&lab, NULL);
    if (!lab.nodes[0].pid)
        lab_start_agent(&lab, 0, NULL);
    wait_until_well(&lab);
    settle(&lab, cell, &result);
    judge(&lab, cell, &result);
    result.took_s = duration_seconds(monotonic_ns() - began_ns);
    lab_close(&lab, audit_status(&result.audit) != 0);
    return result;
}

static void begin(struct cell *cell)
{
    int ends[2];
    pid_t parent = getpid();
    CHECK(pipe2(ends, O_CLOEXEC) == 0);
    fflush(stdout);
    cell->pid = fork();
    if (cell->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(3);
        struct result result = play(cell);
        _exit(write(ends[1], &result, sizeof result) == sizeof result ? 0 : 3);
    }
    CHECK(cell->pid > 0);
    close(ends[1]);
    cell->result_fd = ends[0];
}

/* --- all of them ---------------------------------------------------------------------------------------- */

static void tell(const struct cell *cell)
{
    const struct result *result = &cell->result;
    bool plane_dies = crash_infos[cell->point].process == CRASH_PLANE;
    if (!cell->played) {
        printf("%-14s could not be played\n", crash_infos[cell->point].name);
        return;
    }
    printf("%-14s %-17s %7u %8u  %-8s %-8s %-9s %-12s %5.1f s  %s\n", crash_infos[cell->point].name,
           cell->who == BOTH ? "both"
           : plane_dies      ? "the control plane"
                             : "the node agent",
           result->effects, result->commands, outcome_name(result->cut_outcome),
           outcome_name(result->outcome), result->incidents ? incident_state_name(result->state) : "-",
           verdict_name(result->verdict), result->took_s, audit_status(&result->audit) == 0 ? "ok" : "WRONG");
}

/* Waits for one of the running cells. */
static void end_one(struct cell *cells, size_t count)
{
    int status;
    pid_t pid = wait(&status);
    for (size_t i = 0; i < count; i++) {
        struct cell *cell = &cells[i];
        if (cell->pid != pid)
            continue;
        cell->pid = 0;
        cell->played = read(cell->result_fd, &cell->result, sizeof cell->result) == sizeof cell->result;
        close(cell->result_fd);
        if (options.verbose)
            tell(cell);
    }
}

/* A table line for each; the exit status. */
static int sum_up(const struct cell *cells, size_t count)
{
    struct audit sum = {0};
    size_t played = 0;
    printf("%-14s %-17s %7s %8s  %-8s %-8s %-9s %-12s\n", "cut at", "who dies", "effects", "commands",
           "outcome", "last", "incident", "verdict");
    for (size_t i = 0; i < count; i++) {
        played += cells[i].played;
        tell(&cells[i]);
        for (int kind = 0; kind < AUDIT_KINDS; kind++)
            sum.found[kind] += cells[i].result.audit.found[kind];
    }
    printf("%zu commands cut: %u lost, %u doubled, %u illegal, %u stuck\n", played, sum.found[AUDIT_LOST],
           sum.found[AUDIT_DOUBLED], sum.found[AUDIT_ILLEGAL], sum.found[AUDIT_STUCK]);
    return played < count ? 3 : audit_status(&sum);
}

static bool read_options(int argc, char **argv)
{
    options.seed = (uint64_t)clock_ns(CLOCK_REALTIME) / 1000 % 1000000000;
    for (int i = 3; i < argc; i++) {
        if (strcmp(argv[i], "--full") == 0)
            options.full = true;
        else if (strcmp(argv[i], "-v") == 0)
            options.verbose = true;
        else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc)
            options.seed = strtoull(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--jobs") == 0 && i + 1 < argc)
            options.jobs = atoi(argv[++i]);
        else
            return false;
    }
    options.times = options.full ? 20 : 1;
    return argc >= 3 && options.jobs > 0;
}

int main(int argc, char **argv)
{
    if (!read_options(argc, argv)) {
        fprintf(stderr, "usage: crash_points HOMEOSTAT SERVICE [--full] [--seed N] [--jobs N] [-v]\n");
        return 2;
    }
    options.homeostat = argv[1];
    options.service = argv[2];
    size_t count = (size_t)options.times * CRASH_COUNT * 2;
    struct cell *cells = calloc(count, sizeof *cells);
    CHECK(cells);
    printf("seed %" PRIu64 "\n", options.seed);
    for (size_t i = 0; i < count;
         i++) { /* neighbours differ in `times`, so that the table has them together */
        size_t kind = i / (size_t)options.times;
        cells[i] = (struct cell){
            .point = (enum crash_point)(kind / 2), .who = (enum who)(kind % 2), .seed = options.seed + i};
        if (i >= (size_t)options.jobs)
            end_one(cells, i);
        begin(&cells[i]);
    }
    for (size_t i = 0; i < count && i < (size_t)options.jobs; i++)
        end_one(cells, count);
    int status = sum_up(cells, count);
    free(cells);
    return status;
}
