/* sim: a scenario in virtual time, with the same decision core. */
#include "cli/both.h"
#include "cli/cli.h"
#include "cli/show.h"
#include "cli/sums.h"
#include "cli/swarm.h"
#include "cli/tale_sim.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/text.h"
#include "core/trace.h"
#include "policy/policy_builtin.h"
#include "policy/policy_file.h"
#include "sim/record.h"
#include "sim/watch.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    COLUMNS_MAX = 8, /* with more nodes a line names its node instead */
    LINE_SIZE = 1024,
    TURNS_A_LOOK = 4096 /* between looks at the clock */
};

static const duration progress_every_ns = 200 * MILLISECOND;

struct run {
    struct scenario *scenario;
    struct policy policy;
    struct sim *sim;
    struct sim_judge judge;
    struct sim_rest rest;
    struct sim_result result;
    struct tale_sim *tale; /* NULL: nobody wants the story */
    const char *path, *policy_path, *record_path;
    struct sim_record record;
    double speed; /* times real time; 0: as fast as it goes */
    double took_s;
    int width; /* of a node's column */
    bool trace, json, no_check;
    bool has_progress;
};

/* --- the trace ------------------------------------------------------------------------------------------ */

static void clear_progress(struct run *run)
{
    if (run->has_progress)
        fputs("\r\033[K", stderr);
    run->has_progress = false;
}

static bool has_columns(const struct run *run)
{
    return run->scenario->node_count <= COLUMNS_MAX;
}

static void print_head(struct run *run)
{
    run->width = 7;
    for (uint32_t i = 0; has_columns(run) && i < run->scenario->node_count; i++) {
        int length = (int)strlen(sim_node_name(run->sim, i));
        run->width = length > run->width ? length : run->width;
    }
    printf("  %10s  ", "time");
    for (uint32_t i = 0; has_columns(run) && i < run->scenario->node_count; i++)
        printf("%s%-*s%s  ", ink_on(stdout, INK_BOLD), run->width, sim_node_name(run->sim, i),
               ink_off(stdout, INK_BOLD));
    printf("\n");
}

static void print_line(struct run *run, instant at, uint32_t node, const char *step, const char *sentence)
{
    char bytes[LINE_SIZE];
    struct text text = text_over(bytes, sizeof bytes);
    enum ink ink = ink_of_word(step);
    clear_progress(run);
    printf("  %8.1f s  ", duration_seconds(at));
    for (uint32_t i = 0; has_columns(run) && i < run->scenario->node_count; i++) {
        if (i == node)
            printf("%s●%s%*s  ", ink_on(stdout, ink), ink_off(stdout, ink), run->width - 1, "");
        else
            printf("%s%-*s%s  ", ink_on(stdout, INK_DIM), run->width, ".", ink_off(stdout, INK_DIM));
    }
    printf("%s%-9s%s ", ink_on(stdout, ink), step, ink_off(stdout, ink));
    if (node != NO_INDEX && !has_columns(run))
        text_addf(&text, "%s: ", sim_node_name(run->sim, node));
    text_add(&text, sentence);
    size_t columns = has_columns(run) ? run->scenario->node_count * (size_t)(run->width + 2) : 0;
    print_folded(stdout, 14 + columns + 10, bytes);
}

/* Orders are told by ACT, and what people are told by PEOPLE; the rest is bookkeeping. */
static bool is_news(const struct effect *effect)
{
    return effect->kind == EFFECT_RECORD || effect->kind == EFFECT_ENDED ||
           (effect->kind == EFFECT_BLOCKED && effect->of.incident.blocked_count == 1);
}

static void on_effects(void *context, const struct core *core, uint64_t ticket, const struct effects *effects,
                       instant at)
{
    struct run *run = context;
    (void)ticket;
    for (uint32_t i = 0; i < effects->count; i++) {
        const struct effect *effect = &effects->list[i];
        char bytes[LINE_SIZE];
        struct text text = text_over(bytes, sizeof bytes);
        if (!is_news(effect))
            continue;
        trace_sentence(&text, core, effect);
        if (strcmp(trace_step(effect), "DETECT") == 0)
            text_addf(&text, "   incident %" PRIu64, effect->of.incident.id);
        print_line(run, at, effect->node, trace_step(effect), bytes);
    }
}

static void on_fault(void *context, instant at, const struct world_fault *fault, bool begins)
{
    char bytes[LINE_SIZE];
    struct text text = text_over(bytes, sizeof bytes);
    text_addf(&text, "%s %s", fault_kind_name((enum fault_kind)fault->kind), begins ? "begins" : "is over");
    if (begins && fault->shape != SHAPE_STEP)
        text_addf(&text, ", %s", shape_name((enum shape)fault->shape));
    print_line(context, at, fault->node, "FAULT", bytes);
}

static void on_accident(void *context, instant at, const struct scenario_accident *accident, bool begins)
{
    char bytes[LINE_SIZE];
    struct text text = text_over(bytes, sizeof bytes);
    text_addf(&text, "%s%s", accident_name((enum accident)accident->kind),
              begins                                    ? ""
              : accident->kind == ACCIDENT_SECOND_PLANE ? " has taken over"
                                                        : ": over");
    if (begins && accident->length_ns > 0) {
        text_add(&text, " for ");
        text_duration(&text, accident->length_ns);
    }
    print_line(context, at, NO_INDEX, "ACCIDENT", bytes);
}

/* --- what is run ---------------------------------------------------------------------------------------- */

static void print_complaints(const struct complaints *complaints, const char *path)
{
    for (uint32_t i = 0; i < complaints->count; i++) {
        char line[4096 + COMPLAINT_TEXT_SIZE];
        struct text text = text_over(line, sizeof line);
        complaint_print(&text, &complaints->list[i], path);
        fprintf(stderr, "%s\n", line);
    }
}

static int after_reading(int code, const struct complaints *complaints, const char *path)
{
    print_complaints(complaints, path);
    if (code < 0)
        return fail(EXIT_ENVIRONMENT, "%s: %s", path, strerror(-code));
    return code == 0 ? EXIT_DONE : EXIT_USAGE;
}

/* --policy, else the scenario's own, else the default. */
static int read_policy(struct run *run, struct complaints *complaints)
{
    const char *path = run->policy_path ? run->policy_path : run->scenario->policy_path;
    if (*path)
        return after_reading(policy_read_file(path, &run->policy, complaints), complaints, path);
    const char *text = policy_default_text();
    return after_reading(policy_read(text, strlen(text), &run->policy, complaints), complaints,
                         "the default policy");
}

static int read_all(struct run *run)
{
    struct complaints *complaints = calloc(1, sizeof *complaints);
    CHECK(complaints);
    int result = scenario_read_file(run->path, run->scenario, complaints);
    result = result == 0 ? scenario_check_synthetic(run->scenario, complaints) : result;
    int code = after_reading(result, complaints, run->path);
    if (code == EXIT_DONE)
        code = read_policy(run, complaints);
    free(complaints);
    return code;
}

/* "max", "real", or so many times real time: "10x". */
static bool parse_speed(const char *word, double *speed)
{
    char *end;
    *speed = 0;
    if (!word || strcmp(word, "max") == 0)
        return true;
    *speed = 1;
    if (strcmp(word, "real") == 0)
        return true;
    *speed = strtod(word, &end);
    return end != word && strcmp(end, "x") == 0 && isfinite(*speed) && *speed >= 0.001 && *speed <= 1e6;
}

/* --- running -------------------------------------------------------------------------------------------- */

static void show_progress(struct run *run, int64_t begun_ns)
{
    double done = (double)sim_now(run->sim) / (double)sim_end(run->sim);
    double took_s = duration_seconds(monotonic_ns() - begun_ns);
    int filled = (int)(done * 30);
    fprintf(stderr, "\r  [%.*s%*s] %3.0f %%  %.0f s of %.0f s, %.0f times real time\033[K", filled,
            "==============================", 30 - filled, "", done * 100,
            duration_seconds(sim_now(run->sim)), duration_seconds(sim_end(run->sim)),
            duration_seconds(sim_now(run->sim)) / took_s);
    run->has_progress = true;
}

static void keep_pace(const struct run *run, int64_t begun_ns)
{
    int64_t due_ns = begun_ns + (int64_t)((double)sim_now(run->sim) / run->speed);
    int64_t ahead_ns = due_ns - monotonic_ns();
    if (ahead_ns > MILLISECOND) {
        struct timespec pause = {.tv_sec = ahead_ns / SECOND, .tv_nsec = ahead_ns % SECOND};
        fflush(stdout);
        nanosleep(&pause, NULL);
    }
}

static void run_it(struct run *run)
{
    int64_t begun_ns = monotonic_ns(), shown_ns = begun_ns;
    bool shows = isatty(STDERR_FILENO) && !run->json;
    for (uint64_t turns = 1; sim_turn(run->sim); turns++) {
        if (run->speed > 0)
            keep_pace(run, begun_ns);
        if (!shows || turns % TURNS_A_LOOK != 0 || monotonic_ns() - shown_ns < progress_every_ns)
            continue;
        shown_ns = monotonic_ns();
        show_progress(run, begun_ns);
    }
    clear_progress(run);
    run->took_s = duration_seconds(monotonic_ns() - begun_ns);
    if (run->judge.checker && run->scenario->heal_ns >= SIM_REST_LEAST_NS)
        sim_judge_rest(&run->judge, run->sim);
    else if (run->judge.checker)
        fprintf(stderr,
                "%s: note: heal is too short to come to rest in, so that is not asked; mend: heal: 1m\n",
                run->path);
    sim_result(run->sim, &run->result);
    sim_rest(run->sim, &run->rest);
}

/* --- what it came to ------------------------------------------------------------------------------------ */

static void print_summary(const struct run *run, uint64_t seed)
{
    const struct sim_result *r = &run->result;
    sums_print(run->scenario->title[0] ? run->scenario->title : run->path, r, true);
    printf("  %-12s %" PRIu64 " of %u nodes; %.3g s of virtual time in %.2g s: %.0f times real time\n",
           "reports", r->reports, run->scenario->node_count, duration_seconds(sim_end(run->sim)), run->took_s,
           duration_seconds(sim_end(run->sim)) / run->took_s);
    printf("  %-12s %016" PRIx64 "   of the whole run, with seed %" PRIu64 "\n", "digest", r->digest, seed);
    if (r->expectations > 0) {
        printf("\n");
        sim_print_expectations(run->sim, stdout);
    }
}

static void print_violations(const struct run *run, uint64_t seed)
{
    uint32_t count = run->judge.checker ? checker_count(run->judge.checker) : 0;
    if (count == 0)
        return;
    fflush(stdout);
    fprintf(stderr, "\n%u violation%s with seed %" PRIu64 ":\n", count, count == 1 ? "" : "s", seed);
    for (uint32_t i = 0; i < count && i < VIOLATIONS_MAX; i++) {
        const struct violation *violation = checker_violation(run->judge.checker, i);
        fprintf(stderr, "  %8.1f s  %s  %s%s%s\n", duration_seconds(violation->at),
                invariant_name((enum invariant)violation->invariant),
                violation->node == NO_INDEX ? "" : sim_node_name(run->sim, violation->node),
                violation->node == NO_INDEX ? "" : ": ", violation->sentence);
    }
    fprintf(stderr, "again, with every step: %s sim %s --seed %" PRIu64 "%s%s --trace\n", program_name(),
            run->path, seed, run->policy_path ? " --policy " : "", run->policy_path ? run->policy_path : "");
}

/* Safety first: what must never be weighs more than what did not come about. */
static int verdict_on(const struct run *run)
{
    uint32_t count = run->judge.checker ? checker_count(run->judge.checker) : 0;
    bool safety = false;
    for (uint32_t i = 0; i < count && i < VIOLATIONS_MAX; i++)
        safety |= invariant_is_safety((enum invariant)checker_violation(run->judge.checker, i)->invariant);
    if (count > 0)
        return safety ? EXIT_SAFETY : EXIT_LIVENESS;
    return run->result.met == run->result.expectations ? EXIT_DONE : EXIT_NOT_SO;
}

static json_t *json_of_time(duration d)
{
    return d < 0 ? json_null() : json_real(duration_seconds(d));
}

static json_t *json_of_violations(const struct run *run)
{
    json_t *list = json_array();
    uint32_t count = run->judge.checker ? checker_count(run->judge.checker) : 0;
    for (uint32_t i = 0; i < count && i < VIOLATIONS_MAX; i++) {
        const struct violation *violation = checker_violation(run->judge.checker, i);
        json_array_append_new(
            list, json_pack("{s:f,s:s,s:s,s:s}", "at_s", duration_seconds(violation->at), "invariant",
                            invariant_name((enum invariant)violation->invariant), "node",
                            sim_node_name(run->sim, violation->node), "text", violation->sentence));
    }
    return list;
}

static json_t *json_of_expectations(const struct run *run)
{
    json_t *list = json_array();
    char *bytes = NULL, *rest;
    size_t size;
    FILE *out = open_memstream(&bytes, &size);
    CHECK(out);
    sim_print_expectations(run->sim, out);
    fclose(out);
    for (char *line = strtok_r(bytes, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        json_array_append_new(list, json_string(line));
    free(bytes);
    return list;
}

static void print_as_json(const struct run *run, uint64_t seed)
{
    const struct sim_result *r = &run->result;
    char digest[17];
    json_t *verdicts = json_object(), *blocks = json_object();
    snprintf(digest, sizeof digest, "%016" PRIx64, r->digest);
    for (int i = 1; i < VERDICT_COUNT; i++)
        json_object_set_new(verdicts, verdict_name((enum verdict)i), json_integer(r->verdicts[i]));
    for (int i = 1; i < BLOCK_REASON_COUNT; i++)
        if (r->blocks[i] > 0)
            json_object_set_new(blocks, block_reason_name((enum block_reason)i),
                                json_integer((json_int_t)r->blocks[i]));
    json_t *all =
        json_pack("{s:s,s:s,s:I,s:s,s:i,s:I,s:I}", "scenario", run->path, "title", run->scenario->title,
                  "seed", (json_int_t)seed, "digest", digest, "nodes", (int)run->scenario->node_count,
                  "reports", (json_int_t)r->reports, "happenings", (json_int_t)r->turns);
    json_t *more =
        json_pack("{s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:o,s:o}", "people_told", (int)r->told, "incidents",
                  (int)r->incidents, "resolved", (int)r->resolved, "escalated", (int)r->escalated, "open",
                  (int)r->open, "commands", (int)r->commands, "wrong", (int)r->wrong, "needless",
                  (int)r->needless, "harmful", (int)r->harmful, "verdicts", verdicts, "blocks", blocks);
    json_t *times = json_pack("{s:i,s:i,s:i,s:o,s:o,s:o,s:o,s:f,s:f}", "faults", (int)r->faults, "detected",
                              (int)r->detected, "recovered", (int)r->recovered, "detect_p50_s",
                              json_of_time(r->detect_p50_ns), "detect_p95_s", json_of_time(r->detect_p95_ns),
                              "recover_p50_s", json_of_time(r->recover_p50_ns), "recover_p95_s",
                              json_of_time(r->recover_p95_ns), "availability_requests",
                              r->availability_requests, "availability_time", r->availability_time);
    json_t *end =
        json_pack("{s:i,s:i,s:o,s:o,s:I,s:i,s:f,s:f}", "expectations", (int)r->expectations, "met",
                  (int)r->met, "expected", json_of_expectations(run), "violations", json_of_violations(run),
                  "reports_lost", (json_int_t)run->rest.lost, "outcomes_untold", (int)run->rest.untold,
                  "virtual_s", duration_seconds(sim_end(run->sim)), "took_s", run->took_s);
    json_object_update(all, more);
    json_object_update(all, times);
    json_object_update(all, end);
    json_object_set_new(all, "story", tale_sim_json(run->tale));
    print_json(all);
    json_decref(more);
    json_decref(times);
    json_decref(end);
    json_decref(all);
}

/* --- the verb ------------------------------------------------------------------------------------------- */

static void on_recorder(void *context, const char *sentence)
{
    (void)context;
    fail(EXIT_DONE, "%s", sentence);
}

static int simulate(struct run *run, uint64_t seed)
{
    char error[1024];
    struct sim_options options = {.scenario = run->scenario, .policy = &run->policy, .seed = seed};
    int code = read_all(run);
    if (code != EXIT_DONE)
        return code;
    seed = seed ? seed : run->scenario->seed;
    if (run->trace && !run->json)
        options.watch[options.watch_count++] = (struct sim_watch){
            .effects = on_effects, .fault = on_fault, .accident = on_accident, .context = run};
    if (!run->no_check) {
        sim_judge_init(&run->judge, run->scenario->node_count);
        CHECK(run->judge.checker);
        options.watch[options.watch_count++] = sim_judge_watch(&run->judge);
    }
    if (run->json) {
        run->tale = tale_sim_new(run->scenario);
        options.watch[options.watch_count++] = tale_sim_watch(run->tale);
    }
    if (run->record_path) {
        struct recorder_options recording = {.file = run->record_path, .anew = true, .say = on_recorder};
        run->record.recorder = recorder_open(&recording, error, sizeof error);
        if (!run->record.recorder)
            return fail(EXIT_ENVIRONMENT, "%s", error);
        options.watch[options.watch_count++] = sim_record_watch(&run->record);
    }
    run->sim = sim_new(&options, error, sizeof error);
    if (!run->sim)
        return fail(EXIT_ENVIRONMENT, "%s: %s", run->path, error);
    if (run->trace && !run->json)
        print_head(run);
    run_it(run);
    if (run->json)
        print_as_json(run, seed);
    else
        print_summary(run, seed);
    print_violations(run, seed);
    code = verdict_on(run);
    sim_free(&run->sim);
    return code;
}

int verb_sim(const struct verb *verb, int argc, char **argv)
{
    struct run run = {0};
    struct both_options both = {.synthetic = -1};
    const char *speed = NULL;
    int seed = 0, count, swarm = 0;
    if (swarm_is_asked(argc, argv))
        return swarm_verb(argc, argv);
    const struct flag flags[] = {
        {"seed", 's', FLAG_WHOLE, &seed, "N", "another course of events (the scenario's; 0: the same)"},
        {"policy", 0, FLAG_TEXT, &run.policy_path, "FILE", "(the scenario's, else policies/default.yaml)"},
        {"speed", 0, FLAG_TEXT, &speed, "SPEED", "max, real, or times real time: 10x (max)"},
        {"trace", 't', FLAG_YES, &run.trace, NULL, "tell every step, with a column per node"},
        {"no-check", 0, FLAG_YES, &run.no_check, NULL,
         "without the checkers of safety (exit code 4) and liveness (5)"},
        {"json", 0, FLAG_YES, &run.json, NULL, "the summary as one JSON object"},
        {"record", 0, FLAG_TEXT, &run.record_path, "FILE", "write a journal there, for replay"},
        {"live", 0, FLAG_YES, &both.is_wanted, NULL, "live as well, and side by side: do they agree?"},
        {"synthetic", 0, FLAG_WHOLE, &both.synthetic, "N",
         "with --live: 0, on synthetic nodes instead of real ones"},
        {"swarm", 0, FLAG_WHOLE, &swarm, "N", "no scenario, but N drawn ones: see sim --swarm 1 --help"},
        {0}};
    int code = flags_read(verb, flags, argc, argv, 1, 1, &count);
    if (code >= 0)
        return code;
    if (!parse_speed(speed, &run.speed))
        return fail(EXIT_USAGE, "sim: --speed wants max, real, or times real time such as 10x, not '%s'",
                    speed);
    run.path = argv[1];
    if (both.synthetic >= 0 && !both.is_wanted)
        return fail(EXIT_USAGE,
                    "sim: --synthetic belongs to --live; in virtual time all nodes are synthetic");
    if (both.is_wanted) {
        both.path = run.path;
        both.policy_path = run.policy_path;
        both.seed = seed;
        both.json = run.json;
        return both_run(&both);
    }
    run.scenario = calloc(1, sizeof *run.scenario);
    CHECK(run.scenario);
    code = simulate(&run, (uint64_t)seed);
    if (run.judge.checker)
        sim_judge_fini(&run.judge);
    recorder_close(&run.record.recorder);
    tale_sim_free(&run.tale);
    free(run.scenario);
    return code;
}
