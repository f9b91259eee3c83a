/* Policy tests: series in, decisions of the real core out, and what is said when they are not as expected. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "policy/test_run.h"

static struct complaints complaints;

#define POLICY                                                                                               \
    "version: 1\npolicy: {version: 1, rules: [{if: cpu_utilization > 90%, for: 3s, do: restart_service}]}\n" \
    "nodes: [a, b]\ncases:\n"
#define SPIKE "series: {a: {cpu_utilization: 0.05x5 0.97x5 0.05x10}, b: {cpu_utilization: 0.05}}"

static struct test_file *read_text(const char *yaml)
{
    struct test_file *file;
    int result = test_file_read_text(&file, "tests/x.yaml", yaml, strlen(yaml), &complaints);
    for (uint32_t i = 0; result != 0 && i < complaints.count; i++) {
        char line[512];
        struct text text = text_over(line, sizeof line);
        complaint_print(&text, &complaints.list[i], "FILE");
        print_message("%s\n", line);
    }
    assert_int_equal(result, 0);
    return file;
}

/* The result of the only case of a file. */
static struct test_result *result_of(const char *yaml)
{
    struct test_file *file = read_text(yaml);
    assert_int_equal(test_file_count(file), 1);
    struct test_result *result = test_run(test_file_case(file, 0));
    test_file_free(&file);
    return result;
}

static void expect_all_well(const char *yaml)
{
    struct test_result *result = result_of(yaml);
    for (uint32_t i = 0; i < result->failure_count; i++) {
        print_message("%d: expected %s, seen %s\n", result->failures[i].place.line,
                      result->failures[i].expected, result->failures[i].seen);
    }
    assert_int_equal(result->failure_count, 0);
    test_result_free(&result);
}

static void expect_failure(const char *yaml, int line, const char *expected, const char *seen)
{
    struct test_result *result = result_of(yaml);
    assert_int_equal(result->failure_count, 1);
    assert_string_equal(result->failures[0].expected, expected);
    assert_string_equal(result->failures[0].seen, seen);
    assert_int_equal(result->failures[0].place.line, line);
    test_result_free(&result);
}

/* --- what holds, and what does not ---------------------------------------------------------------------- */

static void what_the_core_does_is_what_is_seen(void **state)
{
    (void)state;
    expect_all_well(POLICY
                    "  - name: spike\n    " SPIKE "\n    expect:\n"
                    "      - {at: 7s, incident: cpu-high, node: a, state: none}\n"
                    "      - {at: 8s, incident: cpu-high, node: a, state: acting, health: healing}\n"
                    "      - {at: 8s, command: none, node: b}\n"
                    "      - {at: 8s, command: restart_service, node: a, paused: no, breaker: closed}\n"
                    "      - {at: 19s, incident: cpu-high, node: a, state: resolved, verdict: effective}\n"
                    "    commands: [{do: restart_service, node: a, at: 8s}]\n");
}

static void each_thing_that_is_otherwise_is_said_with_its_place(void **state)
{
    (void)state;
    expect_failure(
        POLICY "  - name: spike\n    " SPIKE "\n    expect:\n"
               "      - {at: 9s, incident: cpu-high, node: a, state: resolved, verdict: effective}\n",
        8, "cpu-high on a is resolved, verdict effective", "it is verifying, remedy restart_service");
    expect_failure(POLICY "  - name: spike\n    " SPIKE "\n    expect:\n"
                          "      - {at: 9s, incident: cpu-high, node: b}\n",
                   8, "cpu-high on b is there", "there is no such incident");
    expect_failure(POLICY "  - name: spike\n    " SPIKE "\n    expect:\n"
                          "      - {at: 9s, incident: cpu-high, node: a, state: none}\n",
                   8, "cpu-high on a never happened", "it is verifying, remedy restart_service");
    expect_failure(POLICY "  - name: spike\n    " SPIKE "\n    expect:\n      - {at: 9s, command: none}\n", 8,
                   "no command to any node by then", "restart_service to a at 8 s");
    expect_failure(POLICY "  - name: spike\n    " SPIKE "\n    expect: [{at: 7s, node: a, health: ill}]\n", 7,
                   "a is ill", "it is healthy");
    expect_failure(POLICY "  - name: spike\n    " SPIKE "\n    expect: [{at: 7s, paused: yes}]\n", 7,
                   "automation is paused", "it is on");
}

static void too_many_and_too_few_commands_are_both_wrong(void **state)
{
    (void)state;
    expect_failure(POLICY "  - name: spike\n    " SPIKE "\n    commands: []\n", 5, "no command at all",
                   "restart_service to a at 8 s");
    expect_failure(POLICY "  - name: spike\n    " SPIKE "\n    commands:\n"
                          "      - {do: restart_service, node: a}\n      - {do: restart_service, node: b}\n",
                   9, "restart_service to a, restart_service to b", "restart_service to a at 8 s");
    expect_failure(POLICY "  - name: spike\n    " SPIKE
                          "\n    commands: [{do: restart_service, node: a, at: 7s}]\n",
                   7, "restart_service to a at 7 s", "restart_service to a at 8 s");
}

/* The trace is the one that people read. */
static void the_trace_comes_with_it(void **state)
{
    (void)state;
    struct test_result *result = result_of(POLICY "  - name: spike\n    " SPIKE "\n    commands: []\n");
    assert_true(result->trace_count >= 6);
    assert_string_equal(result->trace[0].text, "DETECT    a         cpu above 90 % for 3 s  incident 1");
    assert_int_equal(result->trace[0].at, 8 * SECOND);
    test_result_free(&result);
}

static void the_same_case_gives_the_same_trace(void **state)
{
    (void)state;
    struct test_result *one = result_of(POLICY "  - name: spike\n    " SPIKE "\n    commands: []\n");
    struct test_result *two = result_of(POLICY "  - name: spike\n    " SPIKE "\n    commands: []\n");
    assert_int_equal(one->trace_count, two->trace_count);
    assert_memory_equal(one->trace, two->trace, one->trace_count * sizeof one->trace[0]);
    test_result_free(&one);
    test_result_free(&two);
}

/* --- what can happen ------------------------------------------------------------------------------------ */

static void people_can_speak_and_commands_can_go_wrong(void **state)
{
    (void)state;
    expect_all_well(POLICY "  - name: pause\n    " SPIKE "\n"
                           "    events: [{at: 1s, say: pause}, {at: 9s, say: resume}]\n"
                           "    expect:\n"
                           "      - {at: 8s, incident: cpu-high, node: a, state: planned, blocked: paused}\n"
                           "      - {at: 8s, paused: yes}\n"
                           "      - {at: 9s, incident: cpu-high, node: a, state: acting, blocked: none}\n");
    expect_all_well(POLICY "  - name: refused, then unanswered\n    series: {a: {cpu_utilization: 0.97}}\n"
                           "    outcomes: [{outcome: refused, after: 0s, times: 1}, {outcome: none}]\n"
                           "    expect:\n"
                           "      - {at: 3s, incident: cpu-high, node: a, state: planned}\n"
                           "      - {at: 60s, incident: cpu-high, node: a, state: escalated}\n");
    expect_all_well(POLICY "  - name: approval\n"
                           "    policy: {version: 1, mode: approve, rules: [{if: cpu_utilization > 0.9, do: "
                           "restart_service}]}\n"
                           "    nodes: [a]\n    series: {a: {cpu_utilization: 0.97x9 0.05}}\n"
                           "    events: [{at: 6s, say: approve, incident: cpu-high}]\n"
                           "    expect:\n"
                           "      - {at: 5s, incident: cpu-high, state: planned, blocked: approval}\n"
                           "      - {at: 6s, incident: cpu-high, state: acting}\n");
}

static void nodes_come_and_go_and_policies_change(void **state)
{
    (void)state;
    expect_all_well(POLICY
                    "  - name: goodbye\n    " SPIKE "\n"
                    "    events: [{at: 3s, goodbye: a}, {at: 12s, hello: a}]\n"
                    "    expect: [{at: 4s, node: a, health: gone}, {at: 12s, node: a, health: healthy}]\n"
                    "    commands: []\n");
    expect_all_well(POLICY "  - name: reload\n    " SPIKE "\n"
                           "    events: [{at: 7s, policy: {version: 1, mode: dry_run, rules: [{if: "
                           "cpu_utilization > 90%, for: 3s, do: restart_service}]}}]\n"
                           "    expect: [{at: 8s, incident: cpu-high, node: a, blocked: dry_run}]\n"
                           "    commands: []\n");
}

static void a_window_of_maintenance_is_on_the_clock_of_the_case(void **state)
{
    (void)state;
    expect_all_well(
        "version: 1\n"
        "start: 2026-12-24T19:59:50Z\n"
        "nodes: [a]\n"
        "policy: {version: 1, rules: [{if: service_up < 1, for: 0s, do: restart_service}], guards: "
        "{maintenance: [{nodes: a, from: 2026-12-24T20:00:00Z, until: 2026-12-24T20:00:10Z}]}}\n"
        "cases:\n"
        "  - name: window\n"
        "    series: {a: {service_up: 1x12 0x20}}\n"
        "    expect:\n"
        "      - {at: 12s, incident: service-low, blocked: maintenance}\n"
        "      - {at: 19s, command: none}\n"
        "      - {at: 20s, incident: service-low, state: acting}\n");
}

/* --- series --------------------------------------------------------------------------------------------- */

static void a_series_is_values_ramps_and_gaps(void **state)
{
    (void)state;
    struct test_file *file = read_text("version: 1\npolicy: {version: 1, rules: []}\ncases:\n  - name: s\n"
                                       "    nodes: [a]\n    commands: []\n    series:\n      a:\n"
                                       "        cpu_utilization: 5%x2 0.1..0.9x5 _x2 1\n"
                                       "        memory_bytes: >\n          64MiB\n          1KiBx2\n"
                                       "        request_latency: 4ms\n");
    const struct test_case *test = test_file_case(file, 0);
    const struct series *cpu = test->nodes[0].series[METRIC_CPU_UTILIZATION];
    static const double wanted[] = {0.05, 0.05, 0.1, 0.3, 0.5, 0.7, 0.9};
    for (uint32_t i = 0; i < COUNT_OF(wanted); i++) {
        assert_true(fabs(series_value(cpu, i) - wanted[i]) < 1e-12);
    }
    assert_true(isnan(series_value(cpu, 7)) && isnan(series_value(cpu, 8)));
    assert_true(series_value(cpu, 9) == 1 && series_value(cpu, 1000) == 1); /* it goes on */
    assert_true(series_value(test->nodes[0].series[METRIC_MEMORY_BYTES], 0) == 67108864);
    assert_true(series_value(test->nodes[0].series[METRIC_MEMORY_BYTES], 2) == 1024);
    assert_true(series_value(test->nodes[0].series[METRIC_REQUEST_LATENCY], 0) == 0.004);
    assert_int_equal(test->until_ns, 9 * SECOND); /* the longest has ten reports */
    test_file_free(&file);
}

/* --- what is refused ------------------------------------------------------------------------------------ */

static const struct {
    const char *yaml;
    int line, column;
    const char *text;
} bad[] = {
    {"nodes: []\ncases: [{name: x, policy: {version: 1}, nodes: [a], commands: []}]\n", 1, 1,
     "the version is missing; begin with \"version: 1\""},
    {"version: 1\n", 1, 1, "a test file needs cases: \"cases: [{name: ..., nodes: ..., ...}]\""},
    {"version: 1\ncases: []\n", 2, 8, "no case: nothing would be tested"},
    {POLICY "  - {name: x}\n", 5, 5, "nothing is expected: \"expect:\" or \"commands:\" is missing"},
    {"version: 1\ncases:\n  - {name: x, nodes: [a], commands: []}\n", 3, 5,
     "which policy? \"policy: ../default.yaml\""},
    {"version: 1\npolicy: no-such.yaml\ncases:\n  - {name: x, nodes: [a], commands: []}\n", 2, 9,
     "policy no-such.yaml: No such file or directory"},
    {"version: 1\npolicy: {version: 1, mode: fast}\ncases:\n  - {name: x, nodes: [a], commands: []}\n", 2, 28,
     "unknown mode \"fast\"; known: auto, approve, dry_run"},
    {POLICY "  - {name: x, commands: [], serie: {}}\n", 5, 29, "unknown key \"serie\"; did you mean series?"},
    {POLICY "  - {name: x, commands: [], series: {c: {}}}\n", 5, 38, "unknown node \"c\"; did you mean a?"},
    {POLICY "  - {name: x, commands: [], series: {a: {cpu: 1}}}\n", 5, 42,
     "unknown metric \"cpu\"; did you mean cpu_utilization?"},
    {POLICY "  - {name: x, commands: [], series: {a: {cpu_utilization: 0.1x3 97}}}\n", 5, 65,
     "cpu_utilization: \"97\": no share from 0 to 1, as in 0.97 or 97%; _ is not reported"},
    {POLICY "  - {name: x, commands: [], series: {a: {cpu_utilization: 0.1x0}}}\n", 5, 59,
     "cpu_utilization: \"0.1x0\": behind x stands a number of reports from 1 to 100000"},
    {POLICY "  - {name: x, commands: [], series: {a: {cpu_utilization: 0.1x99999999999}}}\n", 5, 59,
     "cpu_utilization: \"0.1x99999999999\": behind x stands a number of reports from 1 to 100000"},
    {POLICY "  - {name: x, commands: [], series: {a: {request_latency: nanx3}}}\n", 5, 59,
     "request_latency: \"nanx3\": no value of this metric; _ is not reported"},
    {POLICY "  - {name: x, commands: [], series: {a: {request_latency: 1ms..2ms}}}\n", 5, 59,
     "request_latency: \"1ms..2ms\": a ramp needs a count of at least 2, as in 0.1..0.9x5"},
    {POLICY "  - {name: x, expect: [{at: 9s}]}\n", 5, 24,
     "what is expected? \"incident: cpu-high, state: acting\", \"command: none\", ..."},
    {POLICY "  - {name: x, expect: [{at: 9s, state: acting, node: a}]}\n", 5, 24,
     "of which finding? \"incident: cpu-high\""},
    {POLICY "  - {name: x, expect: [{at: 9s, incident: cpu-high}]}\n", 5, 24,
     "on which node? \"node: web-1\""},
    {POLICY "  - {name: x, expect: [{at: 9s, incident: cpu-high, node: a, state: akting}]}\n", 5, 69,
     "unknown state \"akting\"; did you mean acting?"},
    {POLICY "  - {name: x, expect: [{at: 9s, incident: cpu-high, node: a, blocked: cool}]}\n", 5, 71,
     "unknown blocked \"cool\"; did you mean cooldown?"},
    {POLICY "  - {name: x, expect: [{paused: no}]}\n", 5, 24,
     "when? \"at: 9s\" after the beginning of the case"},
    {POLICY "  - {name: x, commands: [], events: [{at: 1s, say: stop}]}\n", 5, 52,
     "unknown say \"stop\"; known: approve, acknowledge, maintain, pause, resume, reset, decline"},
    {POLICY "  - {name: x, commands: [], events: [{at: 1s, say: pause, gap: 1s}]}\n", 5, 38,
     "one of say, gap, goodbye, hello and policy at a time"},
    {POLICY "  - {name: x, commands: [], events: [{at: 1s, say: maintain}]}\n", 5, 38,
     "which node, and for how long? \"node: web-1, for: 10m\"; 0s ends it"},
    {POLICY "  - {name: x, commands: [{do: restart_service}]}\n", 5, 26,
     "a command is {do: restart_service, node: web-1}"},
    {POLICY "  - {name: x, commands: [], until: 5s, events: [{at: 9s, say: pause}]}\n", 5, 36,
     "until: the case says or expects something later than that"},
    {POLICY "  - {name: x, commands: [], until: 1000h}\n", 5, 36,
     "longer than 100000 reports of a node; take a longer interval"},
};

static void what_does_not_read_is_named_at_its_place(void **state)
{
    (void)state;
    size_t wrong = 0;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct test_file *file;
        int result = test_file_read_text(&file, "x.yaml", bad[i].yaml, strlen(bad[i].yaml), &complaints);
        const struct complaint *first = &complaints.list[0];
        bool ok = result == TEST_FILE_REFUSED && file == NULL && complaints.errors == 1 &&
                  first->line == bad[i].line && first->column == bad[i].column &&
                  strcmp(first->text, bad[i].text) == 0;
        if (!ok) {
            print_message("expected %d:%d: %s\n", bad[i].line, bad[i].column, bad[i].text);
            for (uint32_t k = 0; k < complaints.count; k++) {
                print_message("     got %d:%d: %s\n", complaints.list[k].line, complaints.list[k].column,
                              complaints.list[k].text);
            }
            test_file_free(&file);
            wrong++;
        }
    }
    assert_int_equal(wrong, 0);
}

static void every_cut_of_a_test_file_is_survived(void **state)
{
    (void)state;
    static const char whole[] =
        POLICY "  - name: spike\n    " SPIKE "\n"
               "    events: [{at: 3s, say: maintain, node: a, for: 2s}, {at: 4s, gap: 1s}]\n"
               "    outcomes: [{do: restart_service, outcome: failed, times: 2}]\n"
               "    expect: [{at: 8s, incident: cpu-high, node: a, state: acting}]\n";
    for (size_t length = 0; length < strlen(whole); length++) {
        struct test_file *file;
        if (test_file_read_text(&file, "x.yaml", whole, length, &complaints) == 0) {
            struct test_result *result = test_run(test_file_case(file, 0));
            test_result_free(&result);
        }
        test_file_free(&file);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_core_does_is_what_is_seen),
        cmocka_unit_test(each_thing_that_is_otherwise_is_said_with_its_place),
        cmocka_unit_test(too_many_and_too_few_commands_are_both_wrong),
        cmocka_unit_test(the_trace_comes_with_it),
        cmocka_unit_test(the_same_case_gives_the_same_trace),
        cmocka_unit_test(people_can_speak_and_commands_can_go_wrong),
        cmocka_unit_test(nodes_come_and_go_and_policies_change),
        cmocka_unit_test(a_window_of_maintenance_is_on_the_clock_of_the_case),
        cmocka_unit_test(a_series_is_values_ramps_and_gaps),
        cmocka_unit_test(what_does_not_read_is_named_at_its_place),
        cmocka_unit_test(every_cut_of_a_test_file_is_survived),
    };
    return cmocka_run_group_tests_name("policy_test", tests, NULL, NULL);
}
