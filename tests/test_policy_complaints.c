/* Every mistake in a policy file is named once, at its place, with its mend. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/check.h"
#include "policy/policy_file.h"

/* --- helpers -------------------------------------------------------------------------------------------- */

static struct complaints complaints;

static void print_complaints(const char *yaml)
{
    for (uint32_t i = 0; i < complaints.count; i++) {
        char line[512];
        struct text text = text_over(line, sizeof line);
        complaint_print(&text, &complaints.list[i], "FILE");
        print_message("%s\n", line);
    }
    print_message("in:\n%s\n", yaml);
}

/* A policy that must be read, without errors. */
static void read_well(const char *yaml)
{
    struct policy policy;
    int result = policy_read(yaml, strlen(yaml), &policy, &complaints);
    if (result != 0) {
        print_complaints(yaml);
    }
    assert_int_equal(result, 0);
    assert_int_equal(complaints.errors, 0);
}

static int refuse_bytes(const char *bytes, size_t length)
{
    struct policy policy, before;
    memset(&policy, 0x5A, sizeof policy);
    memcpy(&before, &policy, sizeof before);
    int result = policy_read(bytes, length, &policy, &complaints);
    assert_memory_equal(&policy, &before, sizeof before); /* as it was */
    return result;
}

/* --- complaints ----------------------------------------------------------------------------------------- */

struct bad_policy {
    const char *yaml;
    int line, column;
    const char *text;
};

#define V     "version: 1\n"
#define RULES V "rules:\n"
#define DET   V "detectors:\n"
#define HIGH  DET "  - {name: a, when: cpu_utilization > 0.9}\n"

static const struct bad_policy not_yaml[] = {
    {"version: 1\nrules: [\n", 3, 1, "not YAML: did not find expected node content"},
    {"version: 1\n\trules: 3\n", 2, 1,
     "not YAML: found a tab character that violates indentation; indent with spaces"},
    {"version: 1\nmode: a: b\n", 2, 8,
     "not YAML: mapping values are not allowed in this context; check the indentation, or put a text that "
     "contains "
     "\": \" in quotes"},
    {"version: 1\nmode: @auto\n", 2, 7,
     "not YAML: found character that cannot start any token; put the text in quotes"},
    {RULES "  - {if: a, do: b\n", 4, 1,
     "not YAML: did not find expected ',' or '}'; close the brace, or put a text that contains , { } [ or ] "
     "in quotes"},
    {"version: 1\nversion: 1\n", 2, 1, "\"version\" for the second time; the first is in line 1"},
    {HIGH "  - {name: b, name: c}\n", 4, 15, "\"name\" for the second time; the first is in line 4"},
    {"version: 1\n---\nversion: 1\n", 2, 1, "a second document; one file holds one"},
    {"version: &one 1\n", 1, 10, "anchors (&) are not known here; write the value out, or put it in quotes"},
    {"version: 1\nmode: *one\n", 2, 7,
     "aliases (*) are not known here; write the value out, or put it in quotes"},
    {"version: !!int 1\n", 1, 10, "tags (!) are not known here; put the text in quotes"},
    {"version: 1\nmode: \"a\\0b\"\n", 2, 7, "a control character in the text"},
    {"version: 1\n[a, b]: 2\n", 2, 1, "a key must be one word; put it in quotes if it is meant to be a text"},
    {"", 1, 1, "the file is empty; begin with \"version: 1\""},
    {"# only a comment\n", 1, 1, "the file is empty; begin with \"version: 1\""},
};

static const struct bad_policy wrong_shape[] = {
    {"just words\n", 1, 1, "a policy must be a map of \"key: value\", not a text"},
    {"- version\n", 1, 1, "a policy must be a map of \"key: value\", not a list"},
    {"rules: []\n", 1, 1, "the version is missing; begin with \"version: 1\""},
    {"version: 2\n", 1, 10, "only version 1 is known"},
    {"version: 1\nmoode: auto\n", 2, 1, "unknown key \"moode\"; did you mean mode?"},
    {"version: 1\nmode: automatic\n", 2, 7, "unknown mode \"automatic\"; known: auto, approve, dry_run"},
    {"version: 1\nmode: aproove\n", 2, 7, "unknown mode \"aproove\"; did you mean approve?"},
    {"version: 1\nmode:\n", 2, 6, "mode must be one word, not empty"},
    {"version: 1\nplanner: {wait: soon}\n", 2, 17,
     "wait: \"soon\" is no duration from 0s to 1000h, as in 250ms, 3s, 10m or 1h"},
    {"version: 1\nplanner: 2s\n", 2, 10, "planner must be a map of \"key: value\", not a text"},
    {"version: 1\nrules: restart_service\n", 2, 8, "rules must be a list: \"- ...\" in lines, or [...]"},
    {RULES "  - restart_service\n", 3, 5, "a rule must be a map of \"key: value\", not a text"},
    {RULES "  - {do: restart_service}\n", 3, 5, "a rule needs a condition: \"if: cpu_utilization > 90%\""},
    {RULES "  - {if: cpu_utilization > 0.9}\n", 3, 5, "a rule needs a remedy: \"do: restart_service\""},
    {RULES "  - {when: cpu_utilization > 0.9, if: cpu_utilization > 0.9, do: []}\n", 3, 6,
     "unknown key \"when\"; known: if, for, do, name"},
    {DET "  - {when: cpu_utilization > 0.9}\n", 3, 5, "a detector needs a name, as in \"name: cpu-high\""},
    {DET "  - {name: a}\n", 3, 5,
     "a detector needs a condition: \"when: cpu_utilization > 90%\", or \"absent: 5s\""},
    {DET "  - {name: -a b, absent: 5s}\n", 3, 12,
     "name: \"-a b\" is no name: up to 31 of a-z A-Z 0-9 - _ . and first a letter or digit"},
    {HIGH "  - {name: a, absent: 5s}\n", 4, 12, "a second detector \"a\"; the first is in line 3"},
    {DET "  - {name: a, absent: 5s, severty: info}\n", 3, 27,
     "unknown key \"severty\"; did you mean severity?"},
    {DET "  - {name: a, absent: 5s, severity: bad}\n", 3, 37,
     "unknown severity \"bad\"; known: info, warning, critical"},
    {DET "  - {name: a, absent: 5s, confirm: maybe}\n", 3, 36,
     "unknown answer \"maybe\"; known: no, yes, false, true"},
    {DET "  - {name: a, absent: 5s, for: 3s}\n", 3, 27,
     "absent and for do not go together; write two detectors, or leave one out"},
    {DET "  - {name: a, absent: 0s}\n", 3, 23, "absent: 0s is too short; at least 1ms"},
};

static const struct bad_policy bad_ladders[] = {
    {RULES "  - {if: cpu_utilization > 0.9, do: restart_servise}\n", 3, 37,
     "unknown remedy \"restart_servise\"; did you mean restart_service?"},
    {RULES "  - {if: cpu_utilization > 0.9, do: restart}\n", 3, 37,
     "unknown remedy \"restart\"; did you mean restart_service?"},
    {RULES "  - {if: cpu_utilization > 0.9, do: [drain_node, reboot]}\n", 3, 50,
     "unknown remedy \"reboot\"; did you mean reboot_node?"},
    {RULES "  - {if: cpu_utilization > 0.9, do: [drain_node, xyz]}\n", 3, 50,
     "unknown remedy \"xyz\"; known: restart_service, failover_storage, reset_network, drain_node, "
     "shed_load, "
     "scale_out, isolate_neighbour, clean_disk, rollback_release, rollback_config, ..."},
    {RULES "  - {if: cpu_utilization > 0.9, do: {do: drain_node, a: b}}\n", 3, 54,
     "unknown key \"a\"; known: do, settle, within"},
    {RULES "  - {if: cpu_utilization > 0.9, do: {settle: 1s}}\n", 3, 37,
     "a step needs a remedy: {do: restart_service}"},
    {RULES "  - {if: cpu_utilization > 0.9, do: {do: drain_node, settle: 30s}}\n", 3, 37,
     "within must be longer than settle, or nothing is left to verify with"},
    {RULES "  - {if: cpu_utilization > 0.9, do: {do: drain_node, settle: 9s, within: 9s}}\n", 3, 74,
     "within must be longer than settle, or nothing is left to verify with"},
    {RULES "  - {if: cpu_utilization > 0.9, do: [drain_node, drain_node, drain_node, drain_node, drain_node, "
           "drain_node, "
           "drain_node]}\n",
     3, 110, "more than 6 steps on one ladder"},
    {HIGH "playbooks:\n  - {on: cpu-hi, steps: []}\n", 5, 10, "unknown detector \"cpu-hi\"; known: a"},
    {V "playbooks:\n  - {on: a, steps: []}\n", 3, 10, "unknown detector \"a\"; known: none"},
    {HIGH "playbooks:\n  - {on: a}\n", 5, 5, "a playbook needs \"on: DETECTOR\" and \"steps:\""},
    {HIGH "playbooks:\n  - {on: a, steps: []}\n  - {on: a, steps: []}\n", 6, 10,
     "a second ladder for \"a\"; the first is in line 5"},
    {DET "  - {name: a, absent: 5s, do: page_human}\nplaybooks: [{on: a, steps: []}]\n", 4, 18,
     "a second ladder for \"a\"; the first is in line 3"},
    {HIGH "playbooks:\n  - {on: a, steps: page_human}\n", 5, 20,
     "steps must be a list: \"- ...\" in lines, or [...]"},
};

#define IF(condition) RULES "  - {do: [], if: " condition "}\n"

static const struct bad_policy bad_conditions[] = {
    {IF("cpu_utilisation > 0.9"), 3, 18, "unknown metric \"cpu_utilisation\"; did you mean cpu_utilization?"},
    {IF("cpu > 0.9"), 3, 18, "unknown metric \"cpu\"; did you mean cpu_utilization?"},
    {IF("\"latency > 20ms\""), 3, 19, "unknown metric \"latency\"; did you mean request_latency?"},
    {IF("cpu_utilization > 0.9 and latnecy > 20ms"), 3, 44,
     "unknown metric \"latnecy\"; known: cpu_utilization, memory_bytes, service_up, service_starts, "
     "request_rate, "
     "request_latency, error_ratio, storage_latency, network_latency, ..."},
    {IF("cpu_utilization"), 3, 33, "one of > >= < <= must follow cpu_utilization"},
    {IF("cpu_utilization => 0.9"), 3, 34, "unknown comparison \"=>\"; did you mean >=?"},
    {IF("cpu_utilization == 0.9"), 3, 34, "unknown comparison \"==\"; known: > >= < <="},
    {IF("cpu_utilization > high"), 3, 36, "a number up to 1e18 must follow, as in cpu_utilization > 90%"},
    {IF("cpu_utilization > nan"), 3, 36, "a number up to 1e18 must follow, as in cpu_utilization > 90%"},
    {IF("cpu_utilization > inf"), 3, 36, "a number up to 1e18 must follow, as in cpu_utilization > 90%"},
    {IF("memory_bytes > 1e19"), 3, 33, "a number up to 1e18 must follow, as in memory_bytes > 64MiB"},
    {IF("cpu_utilization > -1"), 3, 36,
     "cpu_utilization is never below 0; only rate(cpu_utilization) can be"},
    {IF("cpu_utilization > 90"), 3, 36, "cpu_utilization lies between 0 and 1; did you mean 90%?"},
    {IF("error_ratio > 120%"), 3, 32, "error_ratio lies between 0 and 1"},
    {IF("service_up > 2"), 3, 31, "service_up lies between 0 and 1"},
    {IF("request_latency > 20%"), 3, 38,
     "unit \"%\" does not fit request_latency; it takes us, ms, s, m or h"},
    {IF("request_latency > 2000h"), 3, 36, "more than 1000h"},
    {IF("memory_bytes > 64 MB"), 3, 36, "unit \"MB\" does not fit memory_bytes; it takes B, KiB, MiB or GiB"},
    {IF("service_starts > 3 times"), 3, 37,
     "unit \"times\" does not fit service_starts; it has none: write the bare number"},
    {IF("rate(memory_bytes) > 1 MB/s"), 3, 41,
     "unit \"MB/s\" does not fit memory_bytes; it takes B, KiB, MiB or GiB, with /s behind it"},
    {IF("rate memory_bytes > 1"), 3, 23, "rate needs a metric: rate(memory_bytes)"},
    {IF("rate(memory_bytes > 1"), 3, 36, "a closing ) is missing here"},
    {IF("service_up < 1 or cpu_utilization > 0.9"), 3, 33,
     "\"or\" is not known; write one more detector instead"},
    {IF("service_up < 1 AND cpu_utilization > 0.9"), 3, 33, "comparisons are joined by \"and\""},
    {IF("service_up < 1 for 3s"), 3, 33,
     "\"for\" does not belong here; it stands beside the condition: \"for: 3s\""},
    {IF("service_up < 1 and"), 3, 36, "a metric is missing here; write for example cpu_utilization > 90%"},
    {IF("service_up < 1 and service_up < 1 and service_up < 1 and service_up < 1 and service_up < 1"), 3, 93,
     "more than 4 comparisons in one condition"},
    {IF("[service_up < 1]"), 3, 18, "a condition must be a text, as in cpu_utilization > 90%"},
    {IF("request_rate >= 0"), 3, 34, "this always holds: request_rate is never below 0"},
    {IF("request_rate < 0"), 3, 33, "this never holds: request_rate is never below 0"},
    {IF("service_up <= 1"), 3, 32, "this always holds: service_up is never above 1"},
    {IF("service_up > 1"), 3, 31, "this never holds: service_up is never above 1"},
    {IF("cpu_utilization > 0.9 and cpu_utilization < 0.8"), 3, 18,
     "this can never hold: its comparisons exclude each other"},
    {DET "  - {name: a, when: cpu_utilization > 0.9, clear: cpu_utilization < 0.95}\n", 3, 51,
     "this can hold while the detector still fires; clear must exclude its condition"},
    {DET
     "  - {name: a, when: cpu_utilization > 0.9, clear: cpu_utilization < 0.5 and cpu_utilization > 0.6}\n",
     3, 51, "this can never hold: the finding would stay for ever"},
    {DET "  - {name: a, when: cpu_utilization > 0.9, clear: cpu_utilization <= 0.9, healthy_for: 0s}\n", 3,
     88, "it would flap: clear is the contrary of when; let healthy_for be 3s, or leave a gap between them"},
};

#define GUARDS(guards) V "guards: {" guards "}\n"

static const struct bad_policy bad_guards[] = {
    {GUARDS("max_disrupted: 20"), 2, 25, "max_disrupted: 20 is more than all of it; did you mean 20%?"},
    {GUARDS("max_disrupted: 120%"), 2, 25, "max_disrupted: 120% is more than all of it"},
    {GUARDS("max_disrupted: some"), 2, 25, "max_disrupted: \"some\" is no share, as in 20% or 0.2"},
    {GUARDS("max_disrupted: nan"), 2, 25, "max_disrupted: \"nan\" is no share, as in 20% or 0.2"},
    {GUARDS("breaker: {at_least: 0}"), 2, 30, "at_least: \"0\" is no whole number from 1 to 1000000"},
    {GUARDS("breaker: {at_least: 4294967297}"), 2, 30,
     "at_least: \"4294967297\" is no whole number from 1 to 1000000"},
    {GUARDS("per_target: {cooldown: 30}"), 2, 33,
     "cooldown: 30 needs a unit: us, ms, s, m or h; did you mean 30s?"},
    {GUARDS("per_target: {cooldown: 30 s}"), 2, 33, "cooldown: \"30 s\" is no duration; did you mean 30s?"},
    {GUARDS("per_target: {cooldown: 5 min}"), 2, 33, "cooldown: \"5 min\" is no duration; did you mean 5m?"},
    {GUARDS("per_target: {cooldown: 1001h}"), 2, 33,
     "cooldown: \"1001h\" is no duration from 0s to 1000h, as in 250ms, 3s, 10m or 1h"},
    {GUARDS("per_target: {attempts: 3}"), 2, 33, "attempts must be a map of \"key: value\", not a text"},
    {GUARDS("per_target: {attempts: {max: many}}"), 2, 39, "max: \"many\" is no whole number from 1 to 16"},
    {GUARDS("hold: {a: b}"), 2, 16,
     "hold must be a duration, as in 3s, not a map; a text that begins with a brace needs quotes"},
};

/* Each mistake gives exactly one complaint, at its place, with its mend. */
static void check_bad(const struct bad_policy *bad, size_t count)
{
    size_t wrong = 0;
    for (size_t i = 0; i < count; i++) {
        int result = refuse_bytes(bad[i].yaml, strlen(bad[i].yaml));
        const struct complaint *first = &complaints.list[0];
        bool ok = result == POLICY_REFUSED && complaints.count == 1 && first->line == bad[i].line &&
                  first->column == bad[i].column && strcmp(first->text, bad[i].text) == 0;
        if (!ok) {
            print_complaints(bad[i].yaml);
            print_message("expected %d:%d: %s\n\n", bad[i].line, bad[i].column, bad[i].text);
            wrong++;
        }
    }
    assert_int_equal(wrong, 0);
}

static void what_is_not_yaml_is_named_at_its_place(void **state)
{
    (void)state;
    check_bad(not_yaml, COUNT_OF(not_yaml));
}

static void a_wrong_shape_is_named_at_its_place(void **state)
{
    (void)state;
    check_bad(wrong_shape, COUNT_OF(wrong_shape));
}

static void a_bad_ladder_is_named_at_its_place(void **state)
{
    (void)state;
    check_bad(bad_ladders, COUNT_OF(bad_ladders));
}

static void a_bad_condition_is_named_at_the_very_word(void **state)
{
    (void)state;
    check_bad(bad_conditions, COUNT_OF(bad_conditions));
}

static void a_bad_guard_is_named_at_its_place(void **state)
{
    (void)state;
    check_bad(bad_guards, COUNT_OF(bad_guards));
}

/* --- notes: legal, but most likely not what was meant --------------------------------------------------- */

static const struct bad_policy doubtful[] = {
    {V, 1, 1, "no rules and no detectors: nothing will ever be found"},
    {DET "  - {name: a, when: cpu_utilization > 0.9, do: restart_service}\n", 3, 21,
     "one witness alone: people will be told instead of restart_service; join a metric of another kind by "
     "\"and\", or say "
     "confirm: no"},
    {DET "  - {name: a, when: cpu_utilization > 0.9 and neighbour_cpu_utilization > 0.9, do: drain_node}\n",
     3, 21,
     "one witness alone: people will be told instead of drain_node; join a metric of another kind by "
     "\"and\", or say "
     "confirm: no"},
    {DET "  - {name: a, absent: 5s, do: drain_node}\n", 3, 31,
     "a silent node cannot be told to do drain_node; page_human is what helps"},
    {DET "  - {name: a, absent: 5s, do: [page_human, page_human]}\n", 3, 44,
     "never reached: page_human hands the incident to people"},
    {HIGH "guards: {max_disrupted: 100%}\n", 4, 25, "at 100% the whole fleet may be restarted at once"},
};

static void what_is_legal_but_doubtful_is_noted_and_taken(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(doubtful); i++) {
        read_well(doubtful[i].yaml);
        assert_int_equal(complaints.count, 1);
        assert_true(complaints.list[0].note);
        assert_string_equal(complaints.list[0].text, doubtful[i].text);
        assert_int_equal(complaints.list[0].line, doubtful[i].line);
        assert_int_equal(complaints.list[0].column, doubtful[i].column);
    }
}

static void many_mistakes_come_in_the_order_of_the_file(void **state)
{
    (void)state;
    const char *yaml = V "mode: fast\n"
                         "playbooks: [{on: b, steps: [nap]}]\n"
                         "guards: {hold: 1}\n"
                         "detectors: [{name: a, absent: x}]\n";
    assert_int_equal(refuse_bytes(yaml, strlen(yaml)), POLICY_REFUSED);
    assert_int_equal(complaints.count, 4);
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(complaints.list[i].line, i + 2);
    }
    char line[512];
    struct text text = text_over(line, sizeof line);
    complaint_print(&text, &complaints.list[0], "my.yaml");
    assert_string_equal(line, "my.yaml:2:7: unknown mode \"fast\"; known: auto, approve, dry_run");
}

static void more_complaints_than_there_is_room_for_are_counted(void **state)
{
    (void)state;
    char yaml[4096];
    struct text text = text_over(yaml, sizeof yaml);
    text_add(&text, V);
    for (int i = 0; i < 100; i++) {
        text_addf(&text, "key-%d: 1\n", i);
    }
    assert_int_equal(refuse_bytes(yaml, strlen(yaml)), POLICY_REFUSED);
    assert_int_equal(complaints.count, COMPLAINTS_MAX);
    assert_int_equal(complaints.errors, 100);
    assert_int_equal(complaints.dropped, 100 - COMPLAINTS_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_yaml_is_named_at_its_place),
        cmocka_unit_test(a_wrong_shape_is_named_at_its_place),
        cmocka_unit_test(a_bad_ladder_is_named_at_its_place),
        cmocka_unit_test(a_bad_condition_is_named_at_the_very_word),
        cmocka_unit_test(a_bad_guard_is_named_at_its_place),
        cmocka_unit_test(what_is_legal_but_doubtful_is_noted_and_taken),
        cmocka_unit_test(many_mistakes_come_in_the_order_of_the_file),
        cmocka_unit_test(more_complaints_than_there_is_room_for_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
