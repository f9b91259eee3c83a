/* One row in a live lab: this same program again, as `up --scenario FILE --json`. */
#include "cli/oats.h"

#include "cli/cli.h"
#include "cli/show.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/text.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    ANSWER_MAX = 4 << 20, /* more than that is no summary: the child is ended */
    WORDS_MAX = 4096      /* kept of what it says on stderr: the end */
};

static const duration spare_ns = 2 * MINUTE;  /* to start and to stop, on a busy machine */
static const duration asked_ns = 10 * SECOND; /* from being asked to end until being killed */

struct child {
    pid_t pid;
    int out, words;
    char *answer;
    size_t length;
    char said[WORDS_MAX + 1];
    size_t said_length;
};

/* --- the process ---------------------------------------------------------------------------------------- */

static bool start(struct child *child, const char *path, bool synthetic)
{
    int out[2], words[2];
    if (pipe(out) != 0)
        return false;
    if (pipe(words) != 0) {
        close(out[0]);
        close(out[1]);
        return false;
    }
    pid_t parent = getpid();
    child->pid = fork();
    if (child->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGTERM); /* `up` stops its lab then */
        if (getppid() != parent || dup2(out[1], STDOUT_FILENO) < 0 || dup2(words[1], STDERR_FILENO) < 0)
            _exit(EXIT_ENVIRONMENT);
        for (int end = 0; end < 2; end++) {
            close(out[end]);
            close(words[end]);
        }
        char program[] = "/proc/self/exe", verb[] = "up", scenario[] = "--scenario", json[] = "--json";
        char synthetic_nodes[] = "--synthetic", as_many[] = "0", *file = strdup(path);
        execv(program, (char *[]){program, verb, scenario, file, json, synthetic ? synthetic_nodes : NULL,
                                  as_many, NULL});
        _exit(EXIT_ENVIRONMENT);
    }
    close(out[1]);
    close(words[1]);
    child->out = out[0];
    child->words = words[0];
    if (child->pid < 0) {
        close(out[0]);
        close(words[0]);
    }
    return child->pid > 0;
}

/* Takes what there is. False at the end, or when it is too much. */
static bool take_answer(struct child *child)
{
    ssize_t got = read(child->out, child->answer + child->length, ANSWER_MAX - child->length);
    child->length += got > 0 ? (size_t)got : 0;
    return (got > 0 && child->length < ANSWER_MAX) || (got < 0 && errno == EINTR);
}

static bool take_words(struct child *child)
{
    char bytes[WORDS_MAX];
    ssize_t got = read(child->words, bytes, sizeof bytes);
    if (got <= 0)
        return got < 0 && errno == EINTR;
    size_t keep = child->said_length, more = (size_t)got;
    keep = keep + more > WORDS_MAX ? WORDS_MAX - more : keep;
    memmove(child->said, child->said + child->said_length - keep, keep);
    memcpy(child->said + keep, bytes, more);
    child->said_length = keep + more;
    child->said[child->said_length] = '\0';
    return true;
}

/* Listens until both ends are closed. When its time is over it is asked to end, then killed. Returns its
 * status. */
static int listen_to(struct child *child, duration most_ns)
{
    struct pollfd ends[] = {{.fd = child->out, .events = POLLIN}, {.fd = child->words, .events = POLLIN}};
    int64_t end_ns = monotonic_ns() + most_ns;
    int signals[] = {SIGTERM, SIGKILL}, next = 0, status = 0;
    while (ends[0].fd >= 0 || ends[1].fd >= 0) {
        int64_t left_ns = end_ns - monotonic_ns();
        if (left_ns <= 0 && next < (int)COUNT_OF(signals)) {
            kill(child->pid, signals[next++]);
            end_ns = monotonic_ns() + asked_ns;
            continue;
        }
        if (left_ns <= 0)
            break; /* something else holds the ends open */
        if (poll(ends, COUNT_OF(ends), (int)(left_ns / MILLISECOND) + 1) < 0 && errno != EINTR)
            break;
        if (ends[0].fd >= 0 && ends[0].revents && !take_answer(child))
            ends[0].fd = -1;
        if (ends[1].fd >= 0 && ends[1].revents && !take_words(child))
            ends[1].fd = -1;
    }
    close(child->out);
    close(child->words);
    while (waitpid(child->pid, &status, 0) < 0 && errno == EINTR)
        ;
    return status;
}

/* --- what it says --------------------------------------------------------------------------------------- */

static duration time_of(const json_t *answer, const char *name)
{
    double seconds = member_number(answer, name);
    return isfinite(seconds) && seconds >= 0 && seconds < 1e9 ? duration_from_seconds(seconds) : -1;
}

static uint32_t count_of(const json_t *answer, const char *name)
{
    long long count = member_whole(answer, name);
    return count > 0 && count < UINT32_MAX ? (uint32_t)count : 0;
}

/* True if a node of that name is among those that the row strikes. */
static bool is_struck(const struct scenario *scenario, const struct scenario_target *on, const char *name)
{
    const char *dash = strrchr(name, '-');
    uint32_t first = 0;
    for (uint32_t i = 0; dash && i < scenario->group_count; i++) {
        const struct scenario_group *group = &scenario->groups[i];
        unsigned long number = strtoul(dash + 1, NULL, 10);
        if (strlen(group->role) == (size_t)(dash - name) &&
            strncmp(group->role, name, strlen(group->role)) == 0)
            return number >= 1 && number <= group->count &&
                   scenario_target_means(on, name, group->role,
                                         scenario_zone_of(scenario, first + (uint32_t)number - 1));
        first += group->count;
    }
    return false;
}

/* The story is a list of incidents with their steps: the newest order to a struck node, and the newest
 * verdict on it. */
static void take_story(struct trial *trial, const struct scenario *scenario, const struct scenario_target *on,
                       const json_t *story)
{
    size_t i, k;
    json_t *incident, *step;
    double newest_s = -INFINITY;
    json_array_foreach(story, i, incident)
    {
        if (!is_struck(scenario, on, member_text(incident, "node")))
            continue;
        bool is_newest = false;
        json_array_foreach(json_object_get(incident, "steps"), k, step)
        {
            int remedy = remedy_of(member_text(step, "remedy"));
            int verdict = verdict_of(member_text(step, "verdict"));
            if (remedy >= 0) {
                is_newest = member_number(step, "at_s") >= newest_s;
                newest_s = is_newest ? member_number(step, "at_s") : newest_s;
                trial->remedy = is_newest ? (uint8_t)remedy : trial->remedy;
                trial->verdict = is_newest ? (uint8_t)VERDICT_NONE : trial->verdict;
            }
            if (verdict >= 0 && is_newest)
                trial->verdict = (uint8_t)verdict;
            trial->people |= strcmp(member_text(step, "state"), incident_state_name(INCIDENT_ESCALATED)) == 0;
        }
    }
}

static void take_expected(struct trial *trial, const json_t *expected)
{
    size_t i;
    json_t *line;
    json_array_foreach(expected, i, line)
    {
        static const char unmet[] = "not ok";
        const char *words = json_is_string(line) ? json_string_value(line) : "";
        if (strncmp(words, unmet, strlen(unmet)) == 0 && !trial->why[0])
            text_copy(trial->why, sizeof trial->why,
                      words + strlen(unmet) + strspn(words + strlen(unmet), " "));
    }
}

static void take_summary(struct trial *trial, const struct suite *suite, const struct scenario *scenario,
                         const struct scenario_target *on, const json_t *answer)
{
    duration most_ns = scenario->length_ns - suite->at_ns;
    trial->ran = 1;
    trial->found_ns = time_of(answer, "detect_p50_s");
    trial->healed_ns = time_of(answer, "recover_p50_s");
    trial->healed_ns = trial->healed_ns < most_ns ? trial->healed_ns : -1;
    trial->commands = count_of(answer, "commands");
    trial->wrong = count_of(answer, "wrong");
    trial->needless = count_of(answer, "needless");
    trial->harmful = count_of(answer, "harmful");
    trial->expectations = count_of(answer, "expectations");
    trial->met = count_of(answer, "met");
    take_story(trial, scenario, on, json_object_get(answer, "story"));
    take_expected(trial, json_object_get(answer, "expected"));
    trial->ok = trial->expectations > 0 && trial->met == trial->expectations;
}

/* The last line that it said on stderr, without the program's name. */
static const char *last_words(struct child *child)
{
    while (child->said_length > 0 && child->said[child->said_length - 1] == '\n')
        child->said[--child->said_length] = '\0';
    char *line = strrchr(child->said, '\n');
    line = line ? line + 1 : child->said;
    static const char name[] = "homeostat: ";
    text_tame(line);
    return strncmp(line, name, strlen(name)) == 0 ? line + strlen(name) : line;
}

static void note_failure(struct trial *trial, struct child *child, int status)
{
    struct text why = text_over(trial->why, sizeof trial->why);
    if (WIFSIGNALED(status))
        text_addf(&why, "the live lab was ended by signal %d", WTERMSIG(status));
    else
        text_addf(&why, "the live lab ended with exit code %d and no summary", WEXITSTATUS(status));
    const char *words = last_words(child);
    if (*words)
        text_addf(&why, ": %s", words);
}

void oats_run_live(const struct oats *oats, uint32_t row, const struct scenario *scenario, const char *path,
                   struct trial *trial)
{
    struct child child = {.answer = malloc(ANSWER_MAX)};
    CHECK(child.answer);
    *trial = (struct trial){.found_ns = -1, .healed_ns = -1, .remedy = REMEDY_NONE};
    if (!start(&child, path, oats->synthetic)) {
        snprintf(trial->why, sizeof trial->why, "the live lab was not started: %s", strerror(errno));
        free(child.answer);
        return;
    }
    int status = listen_to(&child, scenario->length_ns + scenario->heal_ns + spare_ns);
    json_error_t error;
    json_t *answer = json_loadb(child.answer, child.length, 0, &error);
    if (json_is_object(answer))
        take_summary(trial, oats->suite, scenario, &suite_level(oats->suite, row, FACTOR_NODE)->on, answer);
    else
        note_failure(trial, &child, status);
    json_decref(answer);
    free(child.answer);
}
