/* What a person writes into a policy file, and what the reader makes of it or says about it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "policy/policy_builtin.h"
#include "policy/policy_file.h"
#include "policy/policy_text.h"
#include "policy/quantity.h"
#include "policy/yaml_tree.h"

/* --- helpers -------------------------------------------------------------------------------------------- */

static struct complaints complaints;
static char *first_text; /* policies/first.yaml */

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
static struct policy read_well(const char *yaml)
{
    static struct policy policy;
    int result = policy_read(yaml, strlen(yaml), &policy, &complaints);
    if (result != 0) {
        print_complaints(yaml);
    }
    assert_int_equal(result, 0);
    assert_int_equal(complaints.errors, 0);
    return policy;
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

#define V     "version: 1\n"
#define RULES V "rules:\n"
#define DET   V "detectors:\n"
#define HIGH  DET "  - {name: a, when: cpu_utilization > 0.9}\n"

/* --- what is read --------------------------------------------------------------------------------------- */

static void three_lines_are_a_policy(void **state)
{
    (void)state;
    struct policy policy = read_well(first_text);
    assert_int_equal(complaints.count, 0);
    assert_int_equal(policy.detector_count, 1);
    const struct detector *detector = &policy.detectors[0];
    assert_string_equal(detector->name, "cpu-high");
    assert_int_equal(detector->confirm, 0);
    assert_int_equal(detector->for_ns, 3 * SECOND);
    assert_int_equal(detector->healthy_for_ns, 3 * SECOND);
    assert_int_equal(detector->when_count, 1);
    assert_int_equal(detector->when[0].metric, METRIC_CPU_UTILIZATION);
    assert_int_equal(detector->when[0].comparison, COMPARE_GT);
    assert_true(detector->when[0].number == 0.9);
    assert_int_equal(detector->clear_count, 1);
    assert_int_equal(detector->clear[0].comparison, COMPARE_LE);
    assert_true(detector->clear[0].number == 0.72);
    assert_int_equal(detector->ladder_count, 1);
    assert_int_equal(detector->ladder[0].remedy, REMEDY_RESTART_SERVICE);
    assert_int_equal(detector->ladder[0].settle_ns, SECOND);
    assert_int_equal(detector->ladder[0].within_ns, 20 * SECOND);
}

static void what_is_left_out_gets_the_default_of_the_core(void **state)
{
    (void)state;
    struct policy policy = read_well(HIGH), empty;
    policy_init(&empty);
    assert_memory_equal(&policy.guards, &empty.guards, sizeof empty.guards);
    assert_int_equal(policy.mode, MODE_AUTO);
    assert_int_equal(policy.planner_wait_ns, 0);
    assert_int_equal(policy.detectors[0].confirm, 1);
    assert_int_equal(policy.detectors[0].severity, SEVERITY_WARNING);
    assert_int_equal(policy.detectors[0].ladder_count, 0);
}

static void healthy_for_is_as_long_as_for_but_never_under_three_seconds(void **state)
{
    (void)state;
    assert_int_equal(
        read_well(DET "  - {name: a, when: service_up < 1, for: 10s}\n").detectors[0].healthy_for_ns,
        10 * SECOND);
    assert_int_equal(
        read_well(DET "  - {name: a, when: service_up < 1, for: 0s}\n").detectors[0].healthy_for_ns,
        3 * SECOND);
    assert_int_equal(read_well(DET "  - {name: a, when: service_up < 1, for: 9s, healthy_for: 1s}\n")
                         .detectors[0]
                         .healthy_for_ns,
                     SECOND);
}

static void the_whole_full_form_is_read(void **state)
{
    (void)state;
    struct policy policy =
        read_well(V "mode: approve\n"
                    "planner: {wait: 2s}\n"
                    "detectors:\n"
                    "  - name: a\n"
                    "    when: rate(memory_bytes) > 1.5 MiB/s and request_latency >= 20ms\n"
                    "    for: 1.5s\n"
                    "    clear: rate(memory_bytes) < -1KiB/s\n"
                    "    healthy_for: 1m\n"
                    "    severity: critical\n"
                    "    confirm: no\n"
                    "playbooks:\n"
                    "  - on: a\n"
                    "    steps: [drain_node, {do: page_human, settle: 2s, within: 1h}]\n"
                    "guards:\n"
                    "  max_disrupted: 0.5\n"
                    "  breaker: {unhealthy: 40%, at_least: 7}\n"
                    "  per_target: {cooldown: 0, attempts: {max: 9, within: 2h}}\n"
                    "  recurrence: 5m\n"
                    "  hold: 250ms\n");
    const struct detector *detector = &policy.detectors[0];
    assert_int_equal(policy.mode, MODE_APPROVE);
    assert_int_equal(policy.planner_wait_ns, 2 * SECOND);
    assert_int_equal(detector->when_count, 2);
    assert_int_equal(detector->when[0].rate, 1);
    assert_true(detector->when[0].number == 1.5 * 1048576);
    assert_int_equal(detector->when[1].comparison, COMPARE_GE);
    assert_true(detector->when[1].number == 0.02);
    assert_true(detector->clear[0].number == -1024);
    assert_int_equal(detector->for_ns, 1500 * MILLISECOND);
    assert_int_equal(detector->healthy_for_ns, MINUTE);
    assert_int_equal(detector->severity, SEVERITY_CRITICAL);
    assert_int_equal(detector->confirm, 0);
    assert_int_equal(detector->ladder_count, 2);
    assert_int_equal(detector->ladder[0].remedy, REMEDY_DRAIN_NODE);
    assert_int_equal(detector->ladder[1].within_ns, HOUR);
    assert_true(policy.guards.max_disrupted_ratio == 0.5);
    assert_true(policy.guards.breaker_unhealthy_ratio == 0.4);
    assert_int_equal(policy.guards.breaker_at_least, 7);
    assert_int_equal(policy.guards.cooldown_ns, 0);
    assert_int_equal(policy.guards.attempts_max, 9);
    assert_int_equal(policy.guards.attempts_within_ns, 2 * HOUR);
    assert_int_equal(policy.guards.recurrence_ns, 5 * MINUTE);
    assert_int_equal(policy.guards.hold_ns, 250 * MILLISECOND);
}

static void rules_without_a_name_are_named_after_their_metric(void **state)
{
    (void)state;
    struct policy policy = read_well(RULES "  - {if: cpu_utilization > 0.9, do: []}\n"
                                           "  - {if: cpu_utilization >= 0.8, do: []}\n"
                                           "  - {if: service_up < 1, do: []}\n"
                                           "  - {if: error_ratio > 0.1, do: [], name: cpu-high-2}\n");
    assert_string_equal(policy.detectors[0].name, "cpu-high");
    assert_string_equal(policy.detectors[1].name, "cpu-high-3"); /* a person has taken -2 */
    assert_string_equal(policy.detectors[2].name, "service-low");
    assert_string_equal(policy.detectors[3].name, "cpu-high-2");
}

static void the_default_clear_never_holds_while_the_detector_fires(void **state)
{
    (void)state;
    static const struct {
        const char *when;
        uint8_t comparison;
        double number;
    } cases[] = {
        {"request_latency > 100ms", COMPARE_LE, 0.08},
        {"request_latency >= 100ms", COMPARE_LE, 0.08},
        {"service_up < 1", COMPARE_GE, 1},
        {"request_rate <= 5", COMPARE_GT, 5},
        {"rate(memory_bytes) > -5", COMPARE_LE, -5},
        {"rate(memory_bytes) >= 0", COMPARE_LT, 0},
        {"error_ratio > 0 and request_rate > 1", COMPARE_LE, 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char yaml[256];
        snprintf(yaml, sizeof yaml, DET "  - {name: a, when: %s}\n", cases[i].when);
        const struct condition clear = read_well(yaml).detectors[0].clear[0];
        assert_int_equal(clear.comparison, cases[i].comparison);
        assert_true(clear.number == cases[i].number);
    }
}

static void thirty_two_detectors_fit_and_no_more(void **state)
{
    (void)state;
    char yaml[4096];
    struct text text = text_over(yaml, sizeof yaml);
    text_add(&text, DET);
    for (int i = 0; i < DETECTOR_MAX; i++) {
        text_addf(&text, "  - {name: n%d, absent: 5s}\n", i);
    }
    assert_int_equal(read_well(yaml).detector_count, DETECTOR_MAX);
    text_add(&text, "  - {name: straw, absent: 5s}\n");
    assert_int_equal(refuse_bytes(yaml, strlen(yaml)), POLICY_REFUSED);
    assert_int_equal(complaints.list[0].line, DETECTOR_MAX + 3);
    assert_string_equal(complaints.list[0].text, "more than 32 detectors and rules");
}

/* --- written again -------------------------------------------------------------------------------------- */

static void check_round_trip(const char *yaml)
{
    static char written[POLICY_TEXT_SIZE];
    struct policy policy = read_well(yaml);
    struct text text = text_over(written, sizeof written);
    policy_write(&text, &policy);
    assert_false(text.cut);
    struct policy again = read_well(written);
    assert_memory_equal(&policy, &again, sizeof policy);
}

static void the_effective_policy_reads_back_as_the_same_policy(void **state)
{
    (void)state;
    check_round_trip(first_text);
    check_round_trip(policy_default_text());
    check_round_trip(V);
    check_round_trip(
        RULES
        "  - {if: rate(request_rate) < -0.1 /s/s, for: 1.234567us, do: [{do: page_human, within: 7s}]}\n");
    check_round_trip(
        RULES "  - {if: memory_bytes > 123456789.125, do: []}\n  - {if: memory_bytes > 3GiB, do: []}\n");
}

static void the_effective_policy_reads_well(void **state)
{
    (void)state;
    static char written[POLICY_TEXT_SIZE];
    struct policy policy = read_well(first_text);
    struct text text = text_over(written, sizeof written);
    policy_write(&text, &policy);
    assert_string_equal(written, "version: 1\n"
                                 "mode: auto\n"
                                 "planner: {wait: 0s}\n"
                                 "detectors:\n"
                                 "  - name: cpu-high\n"
                                 "    when: cpu_utilization > 90%\n"
                                 "    for: 3s\n"
                                 "    clear: cpu_utilization <= 72%\n"
                                 "    healthy_for: 3s\n"
                                 "    severity: warning\n"
                                 "    confirm: no\n"
                                 "playbooks:\n"
                                 "  - on: cpu-high\n"
                                 "    steps:\n"
                                 "      - {do: restart_service, settle: 1s, within: 20s}\n"
                                 "guards:\n"
                                 "  max_disrupted: 20%\n"
                                 "  breaker: {unhealthy: 55%, at_least: 3}\n"
                                 "  per_target:\n"
                                 "    cooldown: 30s\n"
                                 "    attempts: {max: 3, within: 10m}\n"
                                 "    backoff: {base: 10s, cap: 10m, reset: 10m}\n"
                                 "  rate:\n"
                                 "    fleet: {per: 1m, max: 10}\n"
                                 "    target: {per: 24h, max: 6}\n"
                                 "    rule: no\n"
                                 "    kind: no\n"
                                 "  flapping: {changes: 6, within: 5m}\n"
                                 "  maintenance: []\n"
                                 "  approval: 15m\n"
                                 "  recurrence: 10m\n"
                                 "  hold: 2s\n");
}

/* A number that any seed comes up with survives the way to text and back. */
static void every_quantity_reads_back_exactly(void **state)
{
    (void)state;
    static const enum metric_unit units[] = {UNIT_RATIO, UNIT_SECONDS, UNIT_BYTES, UNIT_PER_SECOND,
                                             UNIT_COUNT};
    uint64_t seed = 1;
    for (int i = 0; i < 20000; i++) {
        seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        double value = (double)(seed >> 11) / (double)(UINT64_C(1) << (seed % 60));
        char bytes[64];
        struct text text = text_over(bytes, sizeof bytes);
        enum metric_unit unit = units[i % (int)COUNT_OF(units)];
        quantity_write(&text, value, unit);
        const char *rest = bytes;
        double number, again;
        assert_true(quantity_number(&rest, false, &number));
        assert_true(quantity_in_base(number, rest, unit, &again));
        assert_true(again == value);
    }
}

/* --- the policies that come with homeostat -------------------------------------------------------------- */

static const struct detector *find(const struct policy *policy, const char *name)
{
    for (uint32_t i = 0; i < policy->detector_count; i++) {
        if (strcmp(policy->detectors[i].name, name) == 0) {
            return &policy->detectors[i];
        }
    }
    fail_msg("no detector %s", name);
    return NULL;
}

static void the_default_policy_needs_no_excuse(void **state)
{
    (void)state;
    struct policy policy = read_well(policy_default_text()), empty;
    assert_int_equal(complaints.count, 0); /* not even a note */
    assert_int_equal(policy.detector_count, 16);
    policy_init(&empty);
    assert_memory_equal(&policy.guards, &empty.guards, sizeof empty.guards); /* it spells the defaults out */
    for (uint32_t i = 0; i < policy.detector_count; i++) {
        const struct detector *detector = &policy.detectors[i];
        assert_int_equal(detector->ladder[detector->ladder_count - 1].remedy, REMEDY_PAGE_HUMAN);
    }
}

/* For each kind of fault that a remedy cures there is a detector that begins with such a remedy, and for most
 * of them it looks first at the very metric that must move. */
static void the_default_policy_has_a_cure_for_every_fault(void **state)
{
    (void)state;
    static const char *const detectors[FAULT_COUNT] = {
        [FAULT_CPU_SPIKE] = "cpu-high",
        [FAULT_NETWORK_DELAY] = "slow-network",
        [FAULT_STORAGE_LATENCY] = "slow-storage",
        [FAULT_SERVICE_CRASH] = "service-down",
        [FAULT_SERVICE_HANG] = "hung",
        [FAULT_NOISY_NEIGHBOUR] = "noisy-neighbour",
        [FAULT_MEMORY_LEAK] = "leaking",
        [FAULT_CRASH_LOOP] = "exits",
        [FAULT_BAD_CONFIG] = "refusing",
        [FAULT_NETWORK_LOSS] = "lossy-network",
        [FAULT_IO_ERROR] = "failing-storage",
        [FAULT_DISK_FULL] = "full-disk",
        [FAULT_OVERLOAD] = "overloaded",
        [FAULT_NETWORK_BANDWIDTH] = "slow-network",
        [FAULT_NETWORK_CUT] = "lossy-network",
        [FAULT_RETRY_STORM] = "overloaded",
    };
    struct policy policy = read_well(policy_default_text());
    for (int kind = 0; kind < FAULT_COUNT; kind++) {
        assert_int_equal(detectors[kind] != NULL, fault_infos[kind].cures != 0);
        if (!detectors[kind]) {
            continue;
        }
        const struct detector *detector = find(&policy, detectors[kind]);
        bool exits =
            kind == FAULT_CRASH_LOOP; /* its metric counts the starts, and people start services too */
        assert_true(detector->when[0].metric == fault_infos[kind].metric || exits);
        assert_true(fault_infos[kind].cures & (1u << detector->ladder[0].remedy));
        assert_true(detector->confirm == 0 || detector_witnesses(detector) >= 2);
    }
    assert_int_equal(find(&policy, "service-down")->for_ns, 0);
    assert_int_equal(find(&policy, "silent")->absent_ns, 5 * SECOND);
}

/* The other policy that comes with homeostat is for contrast: it knows one remedy. */
static void the_naive_policy_restarts_whatever_looks_bad(void **state)
{
    (void)state;
    char *text;
    size_t length;
    assert_int_equal(yaml_tree_load(POLICIES "/naive.yaml", &text, &length), 0);
    struct policy policy = read_well(text);
    free(text);
    assert_int_equal(complaints.count, 0);
    for (uint32_t i = 0; i < policy.detector_count; i++) {
        const struct detector *detector = &policy.detectors[i];
        for (uint32_t k = 0; k < detector->ladder_count; k++) {
            enum remedy remedy = (enum remedy)detector->ladder[k].remedy;
            assert_true(remedy == REMEDY_RESTART_SERVICE || remedy == REMEDY_PAGE_HUMAN);
        }
        assert_true(detector->absent_ns > 0 || !detector->confirm);
    }
}

/* --- hostile input -------------------------------------------------------------------------------------- */

static void assert_refused(const char *bytes, size_t length, int line, int column, const char *text)
{
    assert_int_equal(refuse_bytes(bytes, length), POLICY_REFUSED);
    assert_int_equal(complaints.count, 1);
    assert_string_equal(complaints.list[0].text, text);
    assert_int_equal(complaints.list[0].line, line);
    assert_int_equal(complaints.list[0].column, column);
}

static char *filled(size_t length, char with)
{
    char *bytes = malloc(length + 1);
    assert_non_null(bytes);
    memset(bytes, with, length);
    bytes[length] = '\0';
    return bytes;
}

static void a_file_of_two_mebibytes_is_refused_unread(void **state)
{
    (void)state;
    size_t length = 2 << 20;
    char *bytes = filled(length, '#');
    assert_refused(bytes, length, 1, 1, "larger than 1 MiB");
    free(bytes);
}

static void half_a_million_levels_are_refused_at_the_33rd(void **state)
{
    (void)state;
    char *bytes = filled(500000, '[');
    assert_refused(bytes, 500000, 1, 33, "more than 32 maps and lists within each other");
    free(bytes);
}

static void too_many_values_are_refused(void **state)
{
    (void)state;
    size_t length = 400001;
    char *bytes = filled(length, ',');
    bytes[0] = '[';
    for (size_t i = 1; i < length; i += 2) {
        bytes[i] = 'a';
    }
    assert_refused(bytes, length, 1, 200000, "more than 100,000 values in one file");
    free(bytes);
}

static void a_map_of_ten_thousand_keys_is_refused_at_the_257th(void **state)
{
    (void)state;
    size_t size = 10000 * 8;
    char *bytes = filled(size, ' ');
    struct text text = text_over(bytes, size);
    for (int i = 0; i < 10000; i++) {
        text_addf(&text, "%05d:\n", i);
    }
    assert_refused(bytes, text.length, 257, 1, "more than 256 keys in one map");
    free(bytes);
}

static void an_alias_bomb_does_not_go_off(void **state)
{
    (void)state;
    const char *bomb =
        "a: &a [x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b]\n";
    assert_refused(bomb, strlen(bomb), 1, 4,
                   "anchors (&) are not known here; write the value out, or put it in quotes");
}

static void nul_bytes_and_bad_utf8_are_refused_where_they_are(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t length;
        int line, column;
        const char *text;
    } cases[] = {
        {"version: 1\nmode: \0auto\n", 23, 2, 7, "not UTF-8 text: control characters are not allowed"},
        {"version: 1\nmode: \x1B[2J\n", 22, 2, 7, "not UTF-8 text: control characters are not allowed"},
        {"version: 1 # \xFF\n", 15, 1, 14, "not UTF-8 text: invalid leading UTF-8 octet"},
        {"# \xC3\xA4\nm: \xC3(\n", 11, 2, 5, "not UTF-8 text: invalid trailing UTF-8 octet"},
        {"# \xE2\x82", 4, 1, 3, "not UTF-8 text: incomplete UTF-8 octet sequence"},
        {"# \xC0\xAF", 4, 1, 3, "not UTF-8 text: invalid length of a UTF-8 sequence"},
        {"\xFF\xFEv\0", 4, 1, 1, "not UTF-8 text: invalid leading UTF-8 octet"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        assert_refused(cases[i].bytes, cases[i].length, cases[i].line, cases[i].column, cases[i].text);
    }
}

static void a_byte_order_mark_is_no_part_of_the_text(void **state)
{
    (void)state;
    read_well("\xEF\xBB\xBFversion: 1\n");
    assert_refused("\xEF\xBB\xBFversion: 2\n", 14, 1, 10, "only version 1 is known");
}

static void long_and_odd_words_are_quoted_short_and_clean(void **state)
{
    (void)state;
    char yaml[2048] = "version: 1\nmode: \"";
    for (int i = 0; i < 500; i++) {
        strcat(yaml, "\xC3\xA4");
    }
    strcat(yaml, "\"\n");
    assert_int_equal(refuse_bytes(yaml, strlen(yaml)), POLICY_REFUSED);
    char expected[256] = "unknown mode \"";
    for (int i = 0; i < 40; i++) {
        strcat(expected, "\xC3\xA4");
    }
    strcat(expected, "...\"; known: auto, approve, dry_run");
    assert_string_equal(complaints.list[0].text, expected);
    const char *lines = "version: 1\nmode: \"a\\nb\"\n";
    assert_refused(lines, strlen(lines), 2, 7, "unknown mode \"a?b\"; known: auto, approve, dry_run");
}

/* Whatever is cut off or overwritten: an answer, never a crash, and a complaint whenever it is refused. */
static void every_cut_and_every_flipped_byte_of_the_default_is_survived(void **state)
{
    (void)state;
    const char *text = policy_default_text();
    size_t length = strlen(text);
    char *bytes = filled(length, ' ');
    struct policy policy;
    static const char odd[] = {'\0', '\xFF', '{', '"', '\n', '9', ':', '-'};
    for (size_t i = 0; i < length; i++) {
        memcpy(bytes, text, length);
        bytes[i] = odd[i % sizeof odd];
        int flipped = policy_read(bytes, length, &policy, &complaints);
        assert_true(flipped == (complaints.errors > 0 ? POLICY_REFUSED : 0));
        if (i % 7 == 0) {
            int cut = policy_read(text, i, &policy, &complaints);
            assert_true(cut == (complaints.errors > 0 ? POLICY_REFUSED : 0));
        }
    }
    free(bytes);
}

/* --- files ---------------------------------------------------------------------------------------------- */

static void a_file_is_read_or_the_world_says_why_not(void **state)
{
    (void)state;
    char path[] = "/tmp/homeostat-policy-XXXXXX";
    int file = mkstemp(path);
    assert_true(file >= 0);
    const char *yaml = first_text;
    assert_int_equal(write(file, yaml, strlen(yaml)), strlen(yaml));
    close(file);
    struct policy policy;
    assert_int_equal(policy_read_file(path, &policy, &complaints), 0);
    assert_int_equal(policy.detector_count, 1);
    unlink(path);
    assert_int_equal(policy_read_file(path, &policy, &complaints), -ENOENT);
    assert_int_equal(policy_read_file("/", &policy, &complaints), -EISDIR);
    assert_int_equal(policy_read_file("/dev/zero", &policy, &complaints), POLICY_REFUSED);
    assert_string_equal(complaints.list[0].text, "larger than 1 MiB");
}

static int load_first(void **state)
{
    (void)state;
    size_t length;
    return yaml_tree_load(POLICIES "/first.yaml", &first_text, &length);
}

static int free_first(void **state)
{
    (void)state;
    free(first_text);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(three_lines_are_a_policy),
        cmocka_unit_test(what_is_left_out_gets_the_default_of_the_core),
        cmocka_unit_test(healthy_for_is_as_long_as_for_but_never_under_three_seconds),
        cmocka_unit_test(the_whole_full_form_is_read),
        cmocka_unit_test(rules_without_a_name_are_named_after_their_metric),
        cmocka_unit_test(the_default_clear_never_holds_while_the_detector_fires),
        cmocka_unit_test(thirty_two_detectors_fit_and_no_more),
        cmocka_unit_test(the_effective_policy_reads_back_as_the_same_policy),
        cmocka_unit_test(the_effective_policy_reads_well),
        cmocka_unit_test(every_quantity_reads_back_exactly),
        cmocka_unit_test(the_default_policy_needs_no_excuse),
        cmocka_unit_test(the_default_policy_has_a_cure_for_every_fault),
        cmocka_unit_test(the_naive_policy_restarts_whatever_looks_bad),
        cmocka_unit_test(a_file_of_two_mebibytes_is_refused_unread),
        cmocka_unit_test(half_a_million_levels_are_refused_at_the_33rd),
        cmocka_unit_test(too_many_values_are_refused),
        cmocka_unit_test(a_map_of_ten_thousand_keys_is_refused_at_the_257th),
        cmocka_unit_test(an_alias_bomb_does_not_go_off),
        cmocka_unit_test(nul_bytes_and_bad_utf8_are_refused_where_they_are),
        cmocka_unit_test(a_byte_order_mark_is_no_part_of_the_text),
        cmocka_unit_test(long_and_odd_words_are_quoted_short_and_clean),
        cmocka_unit_test(every_cut_and_every_flipped_byte_of_the_default_is_survived),
        cmocka_unit_test(a_file_is_read_or_the_world_says_why_not),
    };
    return cmocka_run_group_tests(tests, load_first, free_first);
}
