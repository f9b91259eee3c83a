#include "cli/swarm.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/text.h"
#include "cli/show.h"
#include "cli/swarm_jobs.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    SEEDS_MAX = 1000000,   /* of one call */
    FAILURES_KEPT = 1000,  /* in the table and in JSON; more are counted */
    FAILURES_PRINTED = 20, /* with their trace, as they come */
    IDLE_SEEDS = 1000      /* in so many seeds something must have been done */
};

static const duration progress_every_ns = 200 * MILLISECOND;

struct failure {
    uint64_t seed;
    int signal;
    bool safety;
    uint32_t violations;
    struct violation first;
    char node[NODE_NAME_SIZE];
};

struct campaign {
    uint64_t first, count;
    uint32_t jobs;
    bool json, shows, has_progress;
    uint64_t *digests; /* by seed */
    struct failure *failures;
    uint32_t failure_count, crashes, unsafe, lifeless; /* seeds, each in one of the last three */
    uint64_t done, reports;
    double virtual_s, took_s;
    int64_t begun_ns, shown_ns;
    struct seen seen;
};

/* --- as they come --------------------------------------------------------------------------------------- */

static void clear_progress(struct campaign *campaign)
{
    if (campaign->has_progress)
        fputs("\r\033[K", stderr);
    campaign->has_progress = false;
}

static void show_progress(struct campaign *campaign)
{
    int64_t now_ns = monotonic_ns();
    if (!campaign->shows || now_ns - campaign->shown_ns < progress_every_ns)
        return;
    campaign->shown_ns = now_ns;
    double share = (double)campaign->done / (double)campaign->count;
    int filled = (int)(share * 30);
    fprintf(stderr, "\r  [%.*s%*s] %" PRIu64 " of %" PRIu64 " seeds, %.0f a second, %u with violations\033[K",
            filled, "==============================", 30 - filled, "", campaign->done, campaign->count,
            (double)campaign->done / duration_seconds(now_ns - campaign->begun_ns), campaign->failure_count);
    campaign->has_progress = true;
}

static void print_again(FILE *out, uint64_t seed)
{
    fprintf(out, "again, with every step: %s sim --swarm 1 --seeds %" PRIu64 "..%" PRIu64 " --trace\n",
            program_name(), seed, seed);
}

static void print_violation(const struct violation *violation, const char *node)
{
    enum invariant invariant = (enum invariant)violation->invariant;
    fprintf(stderr, "  %9.3f s  %s (%s)\n    %s%s%s\n", duration_seconds(violation->at),
            invariant_name(invariant), invariant_sentence(invariant), node, *node ? ": " : "",
            violation->sentence);
}

static void print_failure(const struct swarm_told *told)
{
    const struct swarm_outcome *outcome = &told->outcome;
    if (told->signal != 0) {
        fprintf(stderr, "\nseed %" PRIu64 ": the run ended by signal %d (%s)\n", outcome->seed, told->signal,
                strsignal(told->signal));
        print_again(stderr, outcome->seed);
        return;
    }
    fprintf(stderr, "\nseed %" PRIu64 ": %u violation%s, %u nodes\n", outcome->seed, outcome->violations,
            outcome->violations == 1 ? "" : "s", outcome->nodes);
    for (uint32_t i = 0; i < outcome->violations && i < SWARM_VIOLATIONS_KEPT; i++)
        print_violation(&outcome->violation[i], outcome->node[i]);
    fprintf(stderr, "what came before the first one:\n%s", told->tail);
    print_again(stderr, outcome->seed);
}

static void keep_failure(struct campaign *campaign, const struct swarm_told *told)
{
    const struct swarm_outcome *outcome = &told->outcome;
    uint32_t *kind = told->signal != 0     ? &campaign->crashes
                     : outcome->safety > 0 ? &campaign->unsafe
                                           : &campaign->lifeless;
    ++*kind;
    if (campaign->failure_count++ >= FAILURES_KEPT)
        return;
    struct failure *failure = &campaign->failures[campaign->failure_count - 1];
    *failure = (struct failure){.seed = outcome->seed,
                                .signal = told->signal,
                                .safety = outcome->safety > 0,
                                .violations = outcome->violations,
                                .first = outcome->violation[0]};
    text_copy(failure->node, sizeof failure->node, outcome->node[0]);
}

static void on_told(void *context, const struct swarm_told *told)
{
    struct campaign *campaign = context;
    const struct swarm_outcome *outcome = &told->outcome;
    campaign->done++;
    campaign->digests[outcome->seed - campaign->first] = outcome->digest;
    campaign->reports += outcome->reports;
    campaign->virtual_s += outcome->virtual_s;
    seen_add(&campaign->seen, &outcome->seen);
    if (told->signal != 0 || outcome->violations > 0) {
        keep_failure(campaign, told);
        clear_progress(campaign);
        if (campaign->failure_count <= FAILURES_PRINTED)
            print_failure(told);
        else if (campaign->failure_count == FAILURES_PRINTED + 1)
            fprintf(stderr, "\n... and more; the table at the end has them all\n");
    }
    show_progress(campaign);
}

/* --- at the end ----------------------------------------------------------------------------------------- */

/* Over all seeds in their order. */
static uint64_t digest_of(const struct campaign *campaign)
{
    uint64_t digest = 0xcbf29ce484222325u; /* FNV-1a, 64 bit */
    for (uint64_t i = 0; i < campaign->count; i++)
        for (int b = 0; b < 64; b += 8)
            digest = (digest ^ (campaign->digests[i] >> b & 0xff)) * 0x100000001b3u;
    return digest;
}

static int by_seed(const void *x, const void *y)
{
    const struct failure *a = x, *b = y;
    return a->seed < b->seed ? -1 : a->seed > b->seed;
}

static uint32_t failures_kept(const struct campaign *campaign)
{
    return campaign->failure_count < FAILURES_KEPT ? campaign->failure_count : FAILURES_KEPT;
}

static void print_occurrences(const struct campaign *campaign)
{
    static const char *const titles[] = {"what", "", ">times", ">seeds"};
    struct table *table = table_new(titles, 4);
    for (uint32_t g = 0; g < SEEN_GROUP_COUNT; g++) {
        const char *group = seen_group_name((enum seen_group)g);
        for (uint32_t r = 0; r < seen_rows((enum seen_group)g); r++) {
            char name[64];
            if (!seen_row_name((enum seen_group)g, r, name))
                continue;
            uint64_t times = campaign->seen.times[g][r];
            table_cell(table, INK_DIM, "%s", group);
            table_cell(table, INK_PLAIN, "%s", name);
            if (times > 0)
                table_cell(table, INK_PLAIN, "%" PRIu64, times);
            else
                table_cell(table, INK_YELLOW, "never");
            table_cell(table, INK_PLAIN, "%" PRIu64, campaign->seen.seeds[g][r]);
            group = "";
        }
    }
    table_print(&table, stdout, 2);
}

static void print_failures(const struct campaign *campaign)
{
    static const char *const titles[] = {">seed", "invariant", ">at", "node", "what"};
    if (campaign->failure_count == 0)
        return;
    struct table *table = table_new(titles, 5);
    for (uint32_t i = 0; i < failures_kept(campaign); i++) {
        const struct failure *failure = &campaign->failures[i];
        table_cell(table, INK_PLAIN, "%" PRIu64, failure->seed);
        if (failure->signal != 0) {
            table_cell(table, INK_RED, "crash");
            table_cell(table, INK_PLAIN, "-");
            table_cell(table, INK_PLAIN, "-");
            table_cell(table, INK_PLAIN, "signal %d", failure->signal);
            continue;
        }
        table_cell(table, INK_RED, "%s", invariant_name((enum invariant)failure->first.invariant));
        table_cell(table, INK_PLAIN, "%.3f s", duration_seconds(failure->first.at));
        table_cell(table, INK_PLAIN, "%s", *failure->node ? failure->node : "-");
        table_cell(table, INK_PLAIN, "%s", failure->first.sentence);
    }
    printf("\n");
    table_print(&table, stdout, 2);
    if (campaign->failure_count > FAILURES_KEPT)
        printf("  ... and %u more\n", campaign->failure_count - FAILURES_KEPT);
    printf("\n  %s sim --swarm 1 --seeds S..S --trace   shows every step of seed S\n", program_name());
}

/* So many runs, and nothing was ever done in any: whatever the checkers say, that is no core. */
static bool is_idle(const struct campaign *campaign)
{
    bool idle = campaign->count >= IDLE_SEEDS;
    for (uint32_t r = 0; r < REMEDY_COUNT; r++)
        idle = idle && !(remedy_infos[r].disruptive && campaign->seen.times[SEEN_REMEDY][r] > 0);
    return idle;
}

static void print_all(const struct campaign *campaign)
{
    printf("\n");
    print_occurrences(campaign);
    print_failures(campaign);
    printf("\n  %-12s %" PRIu64 " from %" PRIu64 " on: %u crashed, %u broke safety, %u broke liveness\n",
           "seeds", campaign->count, campaign->first, campaign->crashes, campaign->unsafe,
           campaign->lifeless);
    printf("  %-12s %" PRIu64 " reports in %.1f h of virtual time\n", "runs", campaign->reports,
           campaign->virtual_s / 3600);
    printf("  %-12s %016" PRIx64 "\n", "digest", digest_of(campaign));
    if (is_idle(campaign))
        printf("  %-12s none of the disruptive remedies was ever tried\n", "idle");
    fflush(stdout);
    fprintf(stderr, "  %-12s %.1f s with %u job%s: %.1f seeds a second\n", "took", campaign->took_s,
            campaign->jobs, campaign->jobs == 1 ? "" : "s", (double)campaign->count / campaign->took_s);
}

/* --- JSON ----------------------------------------------------------------------------------------------- */

static json_t *json_of_failures(const struct campaign *campaign)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < failures_kept(campaign); i++) {
        const struct failure *failure = &campaign->failures[i];
        char again[128];
        snprintf(again, sizeof again, "%s sim --swarm 1 --seeds %" PRIu64 "..%" PRIu64 " --trace",
                 program_name(), failure->seed, failure->seed);
        json_t *one = json_pack("{s:I,s:s,s:s}", "seed", (json_int_t)failure->seed, "kind",
                                failure->signal != 0 ? "crash"
                                : failure->safety    ? "safety"
                                                     : "liveness",
                                "again", again);
        json_t *rest = failure->signal != 0
                           ? json_pack("{s:i}", "signal", failure->signal)
                           : json_pack("{s:s,s:f,s:s,s:s,s:i}", "invariant",
                                       invariant_name((enum invariant)failure->first.invariant), "at_s",
                                       duration_seconds(failure->first.at), "node", failure->node, "text",
                                       failure->first.sentence, "violations", (int)failure->violations);
        json_object_update(one, rest);
        json_decref(rest);
        json_array_append_new(list, one);
    }
    return list;
}

static json_t *json_of_occurrences(const struct campaign *campaign, json_t *never)
{
    json_t *all = json_object();
    for (uint32_t g = 0; g < SEEN_GROUP_COUNT; g++) {
        json_t *group = json_object();
        for (uint32_t r = 0; r < seen_rows((enum seen_group)g); r++) {
            char name[64], both[128];
            if (!seen_row_name((enum seen_group)g, r, name))
                continue;
            json_object_set_new(group, name,
                                json_pack("{s:I,s:I}", "times", (json_int_t)campaign->seen.times[g][r],
                                          "seeds", (json_int_t)campaign->seen.seeds[g][r]));
            snprintf(both, sizeof both, "%s: %s", seen_group_name((enum seen_group)g), name);
            if (campaign->seen.times[g][r] == 0)
                json_array_append_new(never, json_string(both));
        }
        json_object_set_new(all, seen_group_name((enum seen_group)g), group);
    }
    return all;
}

static void print_as_json(const struct campaign *campaign)
{
    char digest[17];
    json_t *never = json_array(), *seen = json_of_occurrences(campaign, never);
    snprintf(digest, sizeof digest, "%016" PRIx64, digest_of(campaign));
    json_t *all = json_pack("{s:I,s:I,s:s,s:i,s:i,s:i,s:o,s:o,s:o,s:I,s:f,s:i,s:f,s:f}", "first",
                            (json_int_t)campaign->first, "seeds", (json_int_t)campaign->count, "digest",
                            digest, "crashed", (int)campaign->crashes, "unsafe", (int)campaign->unsafe,
                            "lifeless", (int)campaign->lifeless, "failures", json_of_failures(campaign),
                            "occurred", seen, "never", never, "reports", (json_int_t)campaign->reports,
                            "virtual_s", campaign->virtual_s, "jobs", (int)campaign->jobs, "took_s",
                            campaign->took_s, "seeds_per_s", (double)campaign->count / campaign->took_s);
    print_json(all);
    json_decref(all);
}

/* --- the verb ------------------------------------------------------------------------------------------- */

/* One seed, step by step, in a process of its own: what breaks there is told when it is run once more. */
static void trace_one(uint64_t seed)
{
    struct swarm *swarm = malloc(sizeof *swarm);
    struct swarm_outcome *outcome = malloc(sizeof *outcome);
    CHECK(swarm && outcome);
    swarm_draw(seed, swarm);
    swarm_print(swarm, stdout);
    printf("\n");
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        swarm_run(swarm, stdout, false, outcome);
        fflush(stdout);
        _exit(0);
    }
    if (pid > 0)
        waitpid(pid, NULL, 0);
    free(swarm);
    free(outcome);
}

static int run_all(struct campaign *campaign)
{
    campaign->digests = calloc(campaign->count, sizeof campaign->digests[0]);
    campaign->failures = calloc(FAILURES_KEPT, sizeof campaign->failures[0]);
    CHECK(campaign->digests && campaign->failures);
    campaign->shows = isatty(STDERR_FILENO) && !campaign->json;
    campaign->begun_ns = campaign->shown_ns = monotonic_ns();
    int code = swarm_jobs_run(campaign->first, campaign->count, campaign->jobs, on_told, campaign);
    clear_progress(campaign);
    campaign->took_s = duration_seconds(monotonic_ns() - campaign->begun_ns);
    if (code < 0)
        return fail(EXIT_ENVIRONMENT, "sim: the workers of the swarm: %s", strerror(-code));
    qsort(campaign->failures, failures_kept(campaign), sizeof campaign->failures[0], by_seed);
    if (campaign->json)
        print_as_json(campaign);
    else
        print_all(campaign);
    return campaign->crashes > 0    ? EXIT_CRASH
           : campaign->unsafe > 0   ? EXIT_SAFETY
           : campaign->lifeless > 0 ? EXIT_LIVENESS
           : is_idle(campaign)      ? EXIT_NOT_SO
                                    : EXIT_DONE;
}

/* "A..B", both included. */
static bool parse_seeds(const char *word, uint64_t *first, uint64_t *last)
{
    char from[32];
    unsigned long long a, b;
    const char *dots = strstr(word, "..");
    if (!dots || (size_t)(dots - word) >= sizeof from)
        return false;
    memcpy(from, word, (size_t)(dots - word));
    from[dots - word] = '\0';
    if (!parse_id(from, &a) || !parse_id(dots + 2, &b) || b < a || b == UINT64_MAX)
        return false;
    *first = a;
    *last = b;
    return true;
}

static uint32_t processors(void)
{
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    return count < 1 ? 1 : count > SWARM_JOBS_MAX ? SWARM_JOBS_MAX : (uint32_t)count;
}

bool swarm_is_asked(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--swarm") == 0 || strncmp(argv[i], "--swarm=", 8) == 0)
            return true;
    return false;
}

int swarm_verb(int argc, char **argv)
{
    static const struct verb verb = {.name = "sim",
                                     .line =
                                         "drawn scenarios and policies in virtual time, under the checkers",
                                     .usage = "--swarm N",
                                     .example = "--swarm 100"};
    struct campaign campaign = {.first = 1};
    const char *seeds = NULL;
    int count = 0, jobs = (int)processors(), operands;
    bool trace = false;
    uint64_t last = UINT64_MAX;
    const struct flag flags[] = {
        {"swarm", 0, FLAG_WHOLE, &count, "N", "so many seeds, each a run with everything drawn"},
        {"seeds", 0, FLAG_TEXT, &seeds, "A..B", "of these, from A on (1 ..)"},
        {"jobs", 'j', FLAG_WHOLE, &jobs, "J", "processes at a time (as many as there are processors)"},
        {"trace", 't', FLAG_YES, &trace, NULL, "of one seed: what was drawn, and every step"},
        {"json", 0, FLAG_YES, &campaign.json, NULL, "the result as one JSON object"},
        {0}};
    int code = flags_read(&verb, flags, argc, argv, 0, 0, &operands);
    if (code >= 0)
        return code;
    if (count < 1 || count > SEEDS_MAX)
        return fail(EXIT_USAGE, "sim: --swarm wants 1 to %d seeds, not %d", SEEDS_MAX, count);
    if (seeds && !parse_seeds(seeds, &campaign.first, &last))
        return fail(EXIT_USAGE, "sim: --seeds wants a first and a last one such as 1..1000, not '%s'", seeds);
    if (jobs < 1 || jobs > SWARM_JOBS_MAX)
        return fail(EXIT_USAGE, "sim: --jobs wants 1 to %d, not %d", SWARM_JOBS_MAX, jobs);
    uint64_t there = last - campaign.first;
    campaign.count = there < (uint64_t)count ? there + 1 : (uint64_t)count;
    campaign.jobs = (uint64_t)jobs < campaign.count ? (uint32_t)jobs : (uint32_t)campaign.count;
    if (trace && (campaign.count > 1 || campaign.json))
        return fail(EXIT_USAGE,
                    "sim: --trace is for one seed and for people: --swarm 1 --seeds 12..12 --trace");
    if (trace)
        trace_one(campaign.first);
    code = run_all(&campaign);
    free(campaign.digests);
    free(campaign.failures);
    return code;
}
