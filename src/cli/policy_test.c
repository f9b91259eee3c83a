#include "cli/policy_test.h"

#include "cli/cli.h"
#include "cli/show.h"

#include "base/check.h"
#include "base/text.h"
#include "policy/test_run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Lines of the trace around what failed. */
enum { LINES_BEFORE = 8, LINES_AFTER = 2, LINE_SIZE = 8192 };

struct tally {
    unsigned passed, failed;
    json_t *cases; /* NULL unless it is JSON that is wanted */
};

void policy_print_complaints(const struct complaints *complaints, const char *name)
{
    for (uint32_t i = 0; i < complaints->count; i++) {
        char line[LINE_SIZE];
        struct text text = text_over(line, sizeof line);
        complaint_print(&text, &complaints->list[i], name);
        fprintf(stderr, "%s\n", line);
    }
    if (complaints->dropped)
        fprintf(stderr, "%s: and %u more\n", name, complaints->dropped);
}

/* --- for people ----------------------------------------------------------------------------------------- */

static void print_trace(const struct test_result *result, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++)
        printf("            %7.1f s  %s\n", duration_seconds(result->trace[i].at), result->trace[i].text);
}

/* The lines of the trace from a little before `at` to a little after it. */
static void window_around(const struct test_result *result, duration at, uint32_t *from, uint32_t *to)
{
    uint32_t middle = 0;
    while (middle < result->trace_count && result->trace[middle].at <= at)
        middle++;
    *from = middle > LINES_BEFORE ? middle - LINES_BEFORE : 0;
    *to = middle + LINES_AFTER < result->trace_count ? middle + LINES_AFTER : result->trace_count;
}

static void print_failure(const char *path, const struct test_result *result,
                          const struct test_failure *failure, bool with_trace)
{
    char when[32];
    struct text text = text_over(when, sizeof when);
    text_duration(&text, failure->at);
    printf("    %s:%d:%d: at %s\n", path, failure->place.line, failure->place.column, when);
    printf("        expected: %s\n        seen:     %s\n", failure->expected, failure->seen);
    uint32_t from, to;
    window_around(result, failure->at, &from, &to);
    if (with_trace && from < to) {
        printf("        the trace around it:\n");
        print_trace(result, from, to);
    }
}

static void print_case(const char *path, const struct test_case *test, const struct test_result *result,
                       bool verbose)
{
    printf("  %-6s  %s\n", result->failure_count == 0 ? "ok" : "FAILED", test->name);
    for (uint32_t i = 0; i < result->failure_count; i++)
        print_failure(path, result, &result->failures[i], !verbose);
    if (result->failures_dropped)
        printf("        and %u more\n", result->failures_dropped);
    if (verbose)
        print_trace(result, 0, result->trace_count);
    if (verbose && result->trace_dropped)
        printf("        and %u lines more\n", result->trace_dropped);
}

/* --- for programs --------------------------------------------------------------------------------------- */

static json_t *json_of_trace(const struct test_result *result, uint32_t from, uint32_t to)
{
    json_t *list = json_array();
    for (uint32_t i = from; i < to; i++)
        json_array_append_new(list, json_pack("{s:f,s:s}", "at_s", duration_seconds(result->trace[i].at),
                                              "line", result->trace[i].text));
    return list;
}

static json_t *json_of_failure(const struct test_result *result, const struct test_failure *failure)
{
    uint32_t from, to;
    window_around(result, failure->at, &from, &to);
    return json_pack("{s:i,s:i,s:f,s:s,s:s,s:o}", "line", failure->place.line, "column",
                     failure->place.column, "at_s", duration_seconds(failure->at), "expected",
                     failure->expected, "seen", failure->seen, "trace", json_of_trace(result, from, to));
}

static json_t *json_of_case(const char *path, const struct test_case *test, const struct test_result *result,
                            bool verbose)
{
    json_t *failures = json_array();
    for (uint32_t i = 0; i < result->failure_count; i++)
        json_array_append_new(failures, json_of_failure(result, &result->failures[i]));
    json_t *item = json_pack("{s:s,s:s,s:i,s:i,s:b,s:i,s:o}", "file", path, "name", test->name, "line",
                             test->place.line, "column", test->place.column, "ok", result->failure_count == 0,
                             "commands", (int)result->order_count, "failures", failures);
    if (verbose)
        json_object_set_new(item, "trace", json_of_trace(result, 0, result->trace_count));
    return item;
}

/* --- files ---------------------------------------------------------------------------------------------- */

static int test_one_file(const char *path, const struct policy_test_options *options, struct tally *tally)
{
    struct test_file *file;
    struct complaints *complaints = calloc(1, sizeof *complaints);
    CHECK(complaints);
    int code = test_file_read(&file, path, complaints);
    policy_print_complaints(complaints, path);
    free(complaints);
    if (code != 0)
        return code < 0 ? fail(EXIT_ENVIRONMENT, "%s: %s", path, strerror(-code)) : EXIT_USAGE;
    if (!options->json)
        printf("%s\n", path);
    unsigned failed = tally->failed;
    for (uint32_t i = 0; i < test_file_count(file); i++) {
        const struct test_case *test = test_file_case(file, i);
        struct test_result *result = test_run(test);
        *(result->failure_count == 0 ? &tally->passed : &tally->failed) += 1;
        if (options->json)
            json_array_append_new(tally->cases, json_of_case(path, test, result, options->verbose));
        else
            print_case(path, test, result, options->verbose);
        test_result_free(&result);
    }
    test_file_free(&file);
    return tally->failed == failed ? EXIT_DONE : EXIT_NOT_SO;
}

int policy_test(int count, char **paths, const struct policy_test_options *options)
{
    struct tally tally = {.cases = options->json ? json_array() : NULL};
    int worst = EXIT_DONE;
    for (int i = 0; i < count; i++) {
        int code = test_one_file(paths[i], options, &tally);
        worst = code > worst ? code : worst;
    }
    if (options->json) {
        json_t *answer = json_pack("{s:i,s:i,s:o}", "passed", (int)tally.passed, "failed", (int)tally.failed,
                                   "cases", tally.cases);
        print_json(answer);
        json_decref(answer);
    } else {
        printf("%u case%s as expected, %u not\n", tally.passed, tally.passed == 1 ? "" : "s", tally.failed);
    }
    return worst;
}
