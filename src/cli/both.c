#include "cli/both.h"

#include "cli/cli.h"
#include "cli/show.h"
#include "cli/watch.h"

#include "base/check.h"
#include "base/text.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WORDS_MAX = 16, WORD_SIZE = 32, LINE_SIZE = 4096 };

static const double share_apart = 0.25, apart_s = 2; /* so far may recoveries be from each other */

/* --- two runs ------------------------------------------------------------------------------------------- */

struct words {
    char numbers[4][WORD_SIZE];
    char *list[WORDS_MAX];
    size_t count, number_count;
};

static void add(struct words *words, const char *word)
{
    CHECK(words->count < WORDS_MAX - 1);
    words->list[words->count++] = (char *)word; /* execv() changes nothing */
    words->list[words->count] = NULL;
}

static void add_number(struct words *words, const char *flag, int number)
{
    char *bytes = words->numbers[words->number_count++];
    snprintf(bytes, WORD_SIZE, "%d", number);
    add(words, flag);
    add(words, bytes);
}

static void command_line(struct words *words, const struct both_options *options, bool live)
{
    *words = (struct words){.count = 0};
    add(words, "homeostat");
    add(words, live ? "up" : "sim");
    if (live)
        add(words, "--scenario");
    add(words, options->path);
    add(words, "--json");
    if (options->policy_path) {
        add(words, "--policy");
        add(words, options->policy_path);
    }
    if (options->seed > 0)
        add_number(words, "--seed", options->seed);
    if (live && options->synthetic >= 0)
        add_number(words, "--synthetic", options->synthetic);
}

/* What this program says under another verb; the caller's. NULL: it said nothing that can be read. */
static json_t *answer_of(const struct both_options *options, bool live, int *status)
{
    int ends[2];
    struct words words;
    command_line(&words, options, live);
    CHECK(pipe(ends) == 0);
    fflush(NULL);
    pid_t parent = getpid(), pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGTERM); /* `up` ends its lab then */
        if (getppid() != parent || dup2(ends[1], STDOUT_FILENO) < 0)
            _exit(EXIT_ENVIRONMENT);
        close(ends[0]);
        close(ends[1]);
        execv("/proc/self/exe", words.list);
        _exit(EXIT_ENVIRONMENT);
    }
    close(ends[1]);
    json_error_t error;
    FILE *out = fdopen(ends[0], "r");
    CHECK(out);
    json_t *answer = json_loadf(out, 0, &error);
    fclose(out);
    while (waitpid(pid, status, 0) < 0 && errno == EINTR)
        if (stop_is_wanted())
            kill(pid, SIGTERM);
    if (json_is_object(answer))
        return answer;
    json_decref(answer);
    return NULL;
}

/* --- one incident --------------------------------------------------------------------------------------- */

/* "open, planned, restart_service 1, verifying, effective, resolved"; or the reasons for which it waited. */
static void sequence(const json_t *incident, bool blocks, char line[LINE_SIZE])
{
    struct text text = text_over(line, LINE_SIZE);
    size_t i;
    json_t *step;
    line[0] = '\0';
    json_array_foreach(json_object_get(incident, "steps"), i, step)
    {
        const char *block = member_text(step, "blocked"), *verdict = member_text(step, "verdict");
        const char *remedy = member_text(step, "remedy"), *state = member_text(step, "state");
        if ((*block != '\0') != blocks)
            continue;
        text_addf(&text, "%s%s", text.length > 0 ? ", " : "",
                  *block     ? block
                  : *verdict ? verdict
                  : *remedy  ? remedy
                             : state);
        if (*remedy)
            text_addf(&text, " %lld", member_whole(step, "attempt"));
    }
}

static bool are_near(double sim_s, double live_s)
{
    if (isnan(sim_s) || isnan(live_s))
        return isnan(sim_s) && isnan(live_s);
    double apart = fabs(sim_s - live_s);
    return apart <= apart_s || apart <= share_apart * sim_s;
}

static bool are_one(const json_t *a, const json_t *b)
{
    return strcmp(member_text(a, "node"), member_text(b, "node")) == 0 &&
           strcmp(member_text(a, "finding"), member_text(b, "finding")) == 0;
}

/* The first incident of the other story that is of the same node and finding, and has no partner yet; now it
 * has one. */
static json_t *partner(const json_t *incident, const json_t *others, bool *taken)
{
    size_t i;
    json_t *other;
    json_array_foreach(others, i, other)
    {
        if (taken[i] || !are_one(incident, other))
            continue;
        taken[i] = true;
        return other;
    }
    return NULL;
}

struct pair {
    json_t *sim, *live; /* NULL: only the other one has it */
    bool same_sequence, near;
};

struct pairs {
    struct pair *list;
    size_t count, agree;
};

static void add_pair(struct pairs *pairs, json_t *sim, json_t *live)
{
    char a[LINE_SIZE] = "", b[LINE_SIZE] = "";
    struct pair pair = {.sim = sim, .live = live};
    if (sim && live) {
        sequence(sim, false, a);
        sequence(live, false, b);
        pair.same_sequence = strcmp(a, b) == 0;
        pair.near = are_near(member_number(sim, "recover_s"), member_number(live, "recover_s"));
    }
    pairs->agree += pair.same_sequence && pair.near;
    pairs->list[pairs->count++] = pair;
}

/* In the order of the simulation; what only the live run has comes last. */
static struct pairs pair_up(const json_t *sim, const json_t *live)
{
    size_t i, most = json_array_size(sim) + json_array_size(live) + 1;
    struct pairs pairs = {.list = calloc(most, sizeof *pairs.list)};
    bool *taken = calloc(json_array_size(live) + 1, sizeof *taken);
    json_t *incident;
    CHECK(pairs.list && taken);
    json_array_foreach(sim, i, incident)
    {
        add_pair(&pairs, incident, partner(incident, live, taken));
    }
    json_array_foreach(live, i, incident)
    {
        if (!taken[i])
            add_pair(&pairs, NULL, incident);
    }
    free(taken);
    return pairs;
}

/* --- telling -------------------------------------------------------------------------------------------- */

static void print_time(const char *title, const struct pair *pair, const char *key, bool good)
{
    char a[32], b[32];
    printf("    %-10s sim %-8s live %-8s%s\n", title, seconds_text(member_number(pair->sim, key), a),
           seconds_text(member_number(pair->live, key), b), good ? "" : "   too far apart");
}

static void print_sequence(const char *title, const json_t *incident, bool blocks)
{
    char line[LINE_SIZE];
    sequence(incident, blocks, line);
    printf("    %-10s ", title);
    print_wrapped(stdout, 15, *line ? line : "-");
}

static void print_pair(const struct pair *pair)
{
    const json_t *any = pair->sim ? pair->sim : pair->live;
    bool agree = pair->same_sequence && pair->near;
    printf("\n  %s%s%s  %s on %s%s\n", ink_on(stdout, agree ? INK_GREEN : INK_RED), agree ? "same " : "other",
           ink_off(stdout, agree ? INK_GREEN : INK_RED), member_text(any, "finding"),
           member_text(any, "node"),
           !pair->live  ? ": in virtual time only"
           : !pair->sim ? ": live only"
                        : "");
    if (pair->same_sequence) {
        print_sequence("both", any, false);
    } else {
        if (pair->sim)
            print_sequence("sim", pair->sim, false);
        if (pair->live)
            print_sequence("live", pair->live, false);
    }
    print_time("detected", pair, "detect_s", true);
    print_time("recovered", pair, "recover_s", pair->near || !pair->sim || !pair->live);
    char a[LINE_SIZE], b[LINE_SIZE];
    sequence(pair->sim, true, a);
    sequence(pair->live, true, b);
    if (*a || *b)
        printf("    %-10s sim %s; live %s\n", "held back", *a ? a : "-", *b ? b : "-");
}

static void print_expectations(const json_t *sim, const json_t *live)
{
    printf("\n  expectations met: sim %lld of %lld, live %lld of %lld\n", member_whole(sim, "met"),
           member_whole(sim, "expectations"), member_whole(live, "met"), member_whole(live, "expectations"));
    size_t i;
    json_t *line;
    json_array_foreach(json_object_get(live, "expected"), i, line)
    {
        if (strncmp(json_string_value(line), "ok", 2) != 0)
            printf("    live  %s\n", json_string_value(line));
    }
}

static void print_all(const json_t *sim, const json_t *live, const struct pairs *pairs, bool agree)
{
    printf("\n  %s: in virtual time, and live on %lld %s nodes\n", member_text(sim, "title"),
           member_whole(live, "nodes"), member_text(live, "live"));
    for (size_t i = 0; i < pairs->count; i++)
        print_pair(&pairs->list[i]);
    print_expectations(sim, live);
    printf("\n  %s: %zu of %zu incidents went the same way\n", agree ? "they agree" : "they do not agree",
           pairs->agree, pairs->count);
}

static json_t *member_of(const json_t *object, const char *key)
{
    json_t *value = json_object_get(object, key);
    return value ? json_incref(value) : json_null();
}

static json_t *json_of_pair(const struct pair *pair)
{
    const json_t *any = pair->sim ? pair->sim : pair->live;
    char a[LINE_SIZE], b[LINE_SIZE];
    sequence(pair->sim, false, a);
    sequence(pair->live, false, b);
    return json_pack("{s:o,s:o,s:b,s:b,s:o,s:o,s:o,s:o,s:o,s:o}", "node", member_of(any, "node"), "finding",
                     member_of(any, "finding"), "same_sequence", (int)pair->same_sequence, "near",
                     (int)pair->near, "sim", pair->sim ? json_string(a) : json_null(), "live",
                     pair->live ? json_string(b) : json_null(), "sim_detect_s",
                     member_of(pair->sim, "detect_s"), "live_detect_s", member_of(pair->live, "detect_s"),
                     "sim_recover_s", member_of(pair->sim, "recover_s"), "live_recover_s",
                     member_of(pair->live, "recover_s"));
}

static void print_as_json(json_t *sim, json_t *live, const struct pairs *pairs, bool agree)
{
    json_t *list = json_array();
    for (size_t i = 0; i < pairs->count; i++)
        json_array_append_new(list, json_of_pair(&pairs->list[i]));
    json_t *all = json_pack("{s:O,s:b,s:o,s:O,s:O}", "scenario", json_object_get(sim, "scenario"), "agree",
                            (int)agree, "incidents", list, "sim", sim, "live", live);
    CHECK(all);
    print_json(all);
    json_decref(all);
}

static bool all_met(const json_t *answer)
{
    return member_whole(answer, "met") == member_whole(answer, "expectations");
}

static int compare(const struct both_options *options, json_t *sim, json_t *live)
{
    struct pairs pairs = pair_up(json_object_get(sim, "story"), json_object_get(live, "story"));
    bool agree = pairs.agree == pairs.count && all_met(sim) == all_met(live);
    if (options->json)
        print_as_json(sim, live, &pairs, agree);
    else
        print_all(sim, live, &pairs, agree);
    free(pairs.list);
    return agree ? EXIT_DONE : EXIT_NOT_SO;
}

static int exit_code_of(int status)
{
    return WIFEXITED(status) && WEXITSTATUS(status) != EXIT_DONE ? WEXITSTATUS(status) : EXIT_ENVIRONMENT;
}

int both_run(const struct both_options *options)
{
    int status = 0;
    if (options->synthetic > 0)
        return fail(EXIT_USAGE,
                    "sim: --live compares one fleet; --synthetic 0 has as many nodes as the scenario says");
    stop_on_signals();
    json_t *sim = answer_of(options, false, &status);
    if (!sim)
        return exit_code_of(status); /* it has said why */
    if (!options->json)
        fprintf(stderr, "  in virtual time it took %.2g s; live it takes up to %.0f s ...\n",
                member_number(sim, "took_s"), member_number(sim, "virtual_s"));
    json_t *live = answer_of(options, true, &status);
    int code = live ? compare(options, sim, live) : exit_code_of(status);
    json_decref(sim);
    json_decref(live);
    return code;
}
