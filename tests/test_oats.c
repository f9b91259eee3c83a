/* Suites: what people write, what the reader says about it, the scenario that each row becomes, and what
 * policies make of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "oats/trial.h"
#include "policy/policy_file.h"

static struct complaints complaints;
static struct scenario scenario;
static struct suite *suite;
static char row_bytes[SUITE_ROW_BYTES];

#define V       "version: 1\n"
#define CHAIN   "scenario: {fleet: [{role: web, calls: [db], capacity: 600/s}, {role: db, capacity: 600/s}]}\n"
#define FAULTS  "  - {name: fault, levels: [cpu_spike, storage_latency]}\n"
#define NODES   "  - {name: node, levels: [web-1, db-1]}\n"
#define LOUDLY  "  - {name: intensity, levels: [low, high]}\n"
#define FACTORS "factors:\n" FAULTS NODES

static int close_suite(void **state)
{
    (void)state;
    suite_free(&suite);
    return 0;
}

static const char *first_line(void)
{
    static char line[512];
    struct text text = text_over(line, sizeof line);
    line[0] = '\0';
    if (complaints.count > 0) {
        complaint_print(&text, &complaints.list[0], "F");
    }
    return line;
}

static void read_judged(const char *yaml, const struct policy *policy, const char *path)
{
    suite_free(&suite);
    if (suite_read(yaml, strlen(yaml), SCENARIOS, policy, path, &suite, &complaints) != 0) {
        fail_msg("%s in:\n%s", first_line(), yaml);
    }
}

static void read_well(const char *yaml)
{
    read_judged(yaml, NULL, NULL);
}

/* The first complaint about a suite that must be refused. */
static void refused(const char *yaml, const char *line)
{
    suite_free(&suite);
    if (suite_read(yaml, strlen(yaml), SCENARIOS, NULL, NULL, &suite, &complaints) != SUITE_REFUSED) {
        suite_free(&suite);
        fail_msg("taken, instead of %s:\n%s", line, yaml);
    }
    assert_null(suite);
    if (strcmp(first_line(), line) != 0) {
        fail_msg("\n  said:   %s\n  wanted: %s\n%s", first_line(), line, yaml);
    }
}

static const char *write_row(uint32_t row, const char *policy_path)
{
    struct row_options options = {.name = "F", .policy_path = policy_path, .to_base = SCENARIOS, .seed = 7};
    struct text text = text_over(row_bytes, sizeof row_bytes);
    row_write(&text, suite, row, &options, NULL);
    assert_false(text.cut);
    return row_bytes;
}

/* --- what is read --------------------------------------------------------------------------------------- */

static void what_is_left_out_has_a_good_default(void **state)
{
    (void)state;
    read_well(V CHAIN FACTORS);
    assert_string_equal(suite->title, "");
    assert_int_equal(suite->seed, 1);
    assert_int_equal(suite->at_ns, 30 * SECOND);
    assert_int_equal(suite->length_ns, 0);
    assert_int_equal(suite->within_ns, 0);
    assert_int_equal(suite->array.rows, 4);
    assert_string_equal(suite->policy_path, "");
    assert_true(suite->policy.detector_count > 0); /* the default one */
    assert_string_equal(suite_level(suite, 3, FACTOR_NODE)->word, "db-1");
    assert_null(suite_level(suite, 0, FACTOR_SHAPE));
}

/* The whole text, so that everybody can see what people get. */
static void a_row_is_a_scenario_that_people_can_read(void **state)
{
    (void)state;
    read_well(V "title: \"Two: by two\"\nat: 20s\nfor: 50s\nwithin: 40s\n" CHAIN FACTORS LOUDLY
                "  - {name: shape, levels: [flapping]}\nperiod: 12s\n");
    assert_string_equal(
        write_row(2, "../p.yaml"),
        "# Row 3 of 4 of the suite F, written by `oats`: change the suite, not this file.\n"
        "version: 1\n"
        "title: \"Two: by two, 3 of 4\"\n"
        "teaches: \"storage_latency on web-1, intensity high, shape flapping: it is healed where it is, by "
        "what "
        "truly cures it, and nobody else is touched.\"\n"
        "seed: 7\n"
        "policy: ../p.yaml\n"
        "fleet:\n"
        "  - {role: web, calls: [db], capacity: 600/s}\n"
        "  - {role: db, capacity: 600/s}\n"
        "faults:\n"
        "  - {at: 20s, kind: storage_latency, on: web-1, intensity: 2.5s, for: 50s, shape: flapping, period: "
        "12s}\n"
        "expect:\n"
        "  - {finding: slow-storage, on: web-1, remedy: failover_storage, verdict: effective, within: 40s}\n"
        "  - {untouched: role:db}\n");
}

static void the_base_may_be_a_file_whose_network_and_accidents_stay(void **state)
{
    (void)state;
    read_well(V "base: two-control-planes.yaml\n" FACTORS "  - {name: load, levels: [50%, 200%]}\n"
                "  - {name: loss, levels: [1%, 5%]}\n");
    const char *text = write_row(1, "");
    assert_int_equal(scenario_read(text, strlen(text), SCENARIOS, &scenario, &complaints), 0);
    assert_int_equal(scenario.accident_count, suite->base->accident_count);
    assert_true(scenario.accident_count > 0);
    assert_int_equal(scenario.fault_count, 1); /* the row's own, not the base's */
    assert_int_equal(scenario.group_count, suite->base->group_count);
    double share = suite_level(suite, 1, FACTOR_LOAD)->share;
    for (uint32_t i = 0; i < scenario.group_count; i++) {
        const struct world_node *usual = &suite->base->groups[i].node, *now = &scenario.groups[i].node;
        assert_true(now->users_per_s == usual->users_per_s * share);
        assert_true(now->capacity_per_s == usual->capacity_per_s);
    }
    assert_true(scenario.network.loss_ratio == suite_level(suite, 1, FACTOR_LOSS)->share);
    assert_int_equal(scenario.network.least_ns, suite->base->network.least_ns);
}

static void low_is_the_usual_high_ten_times_that_and_medium_between_them(void **state)
{
    (void)state;
    static const struct {
        enum fault_kind kind;
        double low, medium, high;
    } cases[] = {{FAULT_CPU_SPIKE, 0.95, 0.97, 1},         {FAULT_NETWORK_DELAY, 0.2, 0.63, 2},
                 {FAULT_STORAGE_LATENCY, 0.25, 0.79, 2.5}, {FAULT_OVERLOAD, 9, 21, 50},
                 {FAULT_CRASH_LOOP, 5, 1.6, 0.5},          {FAULT_SERVICE_CRASH, 1, 1, 1},
                 {FAULT_NETWORK_BANDWIDTH, 1000, 320, 100}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        assert_true(strength_of(cases[i].kind, STRENGTH_LOW) == cases[i].low);
        assert_true(strength_of(cases[i].kind, STRENGTH_MEDIUM) == cases[i].medium);
        assert_true(strength_of(cases[i].kind, STRENGTH_HIGH) == cases[i].high);
    }
    for (enum fault_kind kind = 0; kind < FAULT_COUNT; kind++) {
        double medium = strength_of(kind, STRENGTH_MEDIUM);
        assert_true(medium >= fault_infos[kind].least && medium <= fault_infos[kind].most);
    }
}

/* --- mistakes ------------------------------------------------------------------------------------------- */

static void mistakes_are_told_with_their_place_and_the_mend(void **state)
{
    (void)state;
    static const struct {
        const char *yaml, *line;
    } cases[] = {
        {"", "F:1:1: the file is empty; begin with \"version: 1\""},
        {"version: 2\n" CHAIN FACTORS, "F:1:10: only version 1 is known"},
        {V CHAIN FACTORS "tilte: x\n", "F:6:1: unknown key \"tilte\"; did you mean title?"},
        {V FACTORS, "F:1:1: on what? \"base: ../scenarios/NAME.yaml\", or \"scenario:\" with a fleet"},
        {V "base: a.yaml\n" CHAIN FACTORS, "F:3:1: either base or scenario; leave one of them out"},
        {V "base: nowhere.yaml\n" FACTORS, "F:2:7: base nowhere.yaml: No such file or directory"},
        {V "base: policies/approve.yaml\n" FACTORS,
         "F:2:7: policies/approve.yaml:3:1: a scenario needs a fleet: \"fleet: [{role: web, count: 3}]\""},
        {V "scenario: {fleet: [{role: web, cuont: 2}]}\n" FACTORS,
         "F:2:32: unknown key \"cuont\"; did you mean count?"},
        {V "scenario: {fleet: [{role: web, count: 1001}]}\n" FACTORS,
         "F:2:11: 1001 nodes; a suite runs its fleet many times, so at most 1000"},
        {V CHAIN, "F:1:1: what is varied? \"factors:\", as in \"- {name: fault, levels: [cpu_spike, "
                  "memory_leak]}\""},
        {V CHAIN "factors: []\n", "F:3:10: the factor fault is missing; one level is enough"},
        {V CHAIN "factors:\n" FAULTS, "F:4:3: the factor node is missing; one level is enough"},
        {V CHAIN FACTORS NODES, "F:6:12: a second factor node; put all its levels into one"},
        {V CHAIN FACTORS "  - {name: nodes, levels: [a]}\n", "F:6:12: unknown factor \"nodes\"; did you mean "
                                                             "node?"},
        {V CHAIN FACTORS "  - {levels: [a]}\n", "F:6:5: a factor needs a name, as in \"name: fault\""},
        {V CHAIN FACTORS "  - {name: load}\n",
         "F:6:5: a factor needs levels, as in \"levels: [low, medium, high]\""},
        {V CHAIN FACTORS "  - {name: load, levels: []}\n", "F:6:26: 0 levels; a factor has 1 to 32"},
        {V CHAIN FACTORS "  - {name: load, levels: [50%, 50%]}\n",
         "F:6:32: level 50% stands here twice; once is enough"},
        {V CHAIN FACTORS "  - {name: load, levels: [100%, 50]}\n",
         "F:6:33: load: 50 is out of range; the share of the usual load takes 0% to 1000%; did you mean "
         "50%?"},
        {V CHAIN "factors:\n" NODES "  - {name: fault, levels: [cpu_spike, cpu_spik]}\n",
         "F:5:39: unknown fault \"cpu_spik\"; did you mean cpu_spike?"},
        {V CHAIN "factors:\n" NODES "  - {name: fault, levels: [cpu_spike, retry_storm]}\n",
         "F:5:39: retry_storm is for the live lab alone; an overload that ends does it, with \"retries\" "
         "under load (scenarios/retry-storm.yaml)"},
        {V CHAIN "factors:\n" FAULTS "  - {name: node, levels: [web-1, web]}\n",
         "F:5:34: \"web\" is a role, not a node; did you mean role:web?"},
        {V CHAIN "factors:\n" FAULTS "  - {name: node, levels: [1 of web-*]}\n",
         "F:5:27: node: which of them? name them, leave \"1 of\" out"},
        {V CHAIN FACTORS "  - {name: intensity, levels: [low, hihg]}\n",
         "F:6:37: unknown intensity \"hihg\"; did you mean high?"},
        {V CHAIN FACTORS "  - {name: intensity, levels: [95%]}\n",
         "F:6:32: intensity: \"95%\" is no amount for storage_latency; a number with its unit: us, ms, s, m "
         "or "
         "h"},
        {V CHAIN "factors:\n" NODES "  - {name: fault, levels: [cpu_spike]}\n"
                 "  - {name: intensity, levels: [95]}\n",
         "F:6:32: intensity: 95 is out of range; cpu_spike takes 5% to 100%; did you mean 95%?"},
        {V CHAIN "factors:\n" NODES "  - {name: fault, levels: [service_hang]}\n"
                 "  - {name: intensity, levels: [3s]}\n",
         "F:6:32: intensity: a service_hang has none; low, medium and high fit all"},
        {V CHAIN FACTORS "  - {name: shape, levels: [step, ramp]}\n",
         "F:6:34: shape: a ramp needs an end to rise towards; add \"for: 60s\""},
        {V CHAIN "for: 60s\nfactors:\n" NODES "  - {name: fault, levels: [cpu_spike, service_crash]}\n"
                 "  - {name: shape, levels: [step, gray]}\n",
         "F:7:34: shape: a service_crash is there or it is not; step, spike or flapping"},
        {V CHAIN "at: 5m\n" FACTORS, "F:3:5: at: 5m is after the end of the run; its duration is 2m"},
        {V CHAIN "at: soon\n" FACTORS,
         "F:3:5: at: \"soon\" is no duration from 0s to 1000h, as in 250ms, 3s, "
         "10m or 1h"},
        {V "scenario: {fleet: [{role: web, count: 70}]}\nfactors:\n" FAULTS
           "  - {name: node, levels: [web-1]}\n",
         "F:5:27: more than 64 expectations"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        refused(cases[i].yaml, cases[i].line);
    }
}

static void a_policy_that_detects_nothing_can_judge_nothing(void **state)
{
    (void)state;
    struct policy *policy = calloc(1, sizeof *policy);
    policy_init(policy);
    suite_free(&suite);
    int result =
        suite_read(V CHAIN FACTORS, strlen(V CHAIN FACTORS), "", policy, "p.yaml", &suite, &complaints);
    assert_int_equal(result, SUITE_REFUSED);
    assert_string_equal(first_line(), "F:2:11: the policy p.yaml detects nothing, so no row can be healed");
    free(policy);
}

static void advice_does_not_stop_anybody(void **state)
{
    (void)state;
    read_well(V "scenario: {title: T, fleet: [{role: web}, {role: db}], faults: []}\nfactors:\n" NODES
                "  - {name: fault, levels: [service_crash]}\n" LOUDLY);
    assert_int_equal(complaints.count, 3);
    assert_string_equal(first_line(), "F:2:12: note: title: each row has its own; this is not used");
    assert_string_equal(complaints.list[2].text,
                        "service_crash has one strength only: its rows are alike in that");
}

/* --- what is expected ----------------------------------------------------------------------------------- */

static const char *expectation_of(uint32_t row)
{
    return strstr(write_row(row, ""), "expect:\n") + strlen("expect:\n");
}

static void what_cannot_be_cured_must_be_left_alone(void **state)
{
    (void)state;
    read_well(V CHAIN "factors:\n" NODES "  - {name: fault, levels: [sensor_fault, node_partition]}\n");
    for (uint32_t row = 0; row < suite->array.rows; row++) {
        assert_string_equal(expectation_of(row), "  - {untouched: \"*\"}\n");
        assert_false(row_cure(suite, row).heals);
    }
    read_well(V CHAIN "for: 60s\n" FACTORS "  - {name: shape, levels: [gray]}\n");
    assert_string_equal(expectation_of(0), "  - {untouched: \"*\"}\n");
}

static void those_beside_the_struck_are_named_one_by_one(void **state)
{
    (void)state;
    read_well(
        V "scenario: {fleet: [{role: web, count: 3, zones: [a, b], calls: [db]}, {role: db}]}\nfactors:\n"
          "  - {name: fault, levels: [cpu_spike]}\n  - {name: node, levels: [web-2, zone:a, role:web]}\n");
    assert_non_null(
        strstr(expectation_of(0), "untouched: web-1}\n  - {untouched: web-3}\n  - {untouched: role:db}"));
    assert_non_null(strstr(expectation_of(1), "on: zone:a, remedy"));
    assert_non_null(
        strstr(expectation_of(1), "effective}\n  - {untouched: web-2}\n  - {untouched: role:db}"));
    assert_non_null(strstr(expectation_of(2), "effective}\n  - {untouched: role:db}\n"));
}

/* The finding must look where the fault shows, whatever else restarts services. */
static void the_finding_is_the_one_that_looks_there(void **state)
{
    (void)state;
    static const struct {
        const char *fault, *finding;
    } cases[] = {{"cpu_spike", "cpu-high"},
                 {"service_crash", "service-down"},
                 {"service_hang", "hung"},
                 {"network_delay", "slow-network"},
                 {"storage_latency", "slow-storage"},
                 {"noisy_neighbour", "noisy-neighbour"},
                 {"memory_leak", "leaking"},
                 {"crash_loop", "exits"},
                 {"bad_config", "refusing"},
                 {"io_error", "failing-storage"},
                 {"disk_full", "full-disk"},
                 {"overload", "overloaded"},
                 {"network_cut", "lossy-network"}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char yaml[1024];
        snprintf(yaml, sizeof yaml, "%sfactors:\n  - {name: fault, levels: [%s]}\n%s", V CHAIN,
                 cases[i].fault, NODES);
        read_well(yaml);
        struct row_cure cure = row_cure(suite, 0);
        assert_true(cure.heals && cure.possible);
        assert_string_equal(cure.finding, cases[i].finding);
        assert_true((fault_infos[fault_kind_of(cases[i].fault)].cures & 1u << cure.remedy) != 0);
    }
}

/* --- running -------------------------------------------------------------------------------------------- */

static void run(uint32_t row, struct trial *trial)
{
    const char *text = write_row(row, "");
    /* The policy is the suite's; this one only looks the findings up. */
    assert_int_equal(scenario_read(text, strlen(text), "", &scenario, &complaints), 0);
    trial_run(trial, suite, row, &scenario);
}

static void a_row_is_healed_and_says_by_what(void **state)
{
    (void)state;
    struct trial trial;
    read_well(V CHAIN FACTORS);
    run(3, &trial);
    assert_true(trial.ran && trial.ok);
    assert_string_equal(trial.why, "");
    assert_int_equal(trial.remedy, REMEDY_FAILOVER_STORAGE);
    assert_int_equal(trial.verdict, VERDICT_EFFECTIVE);
    assert_true(trial.found_ns >= 3 * SECOND && trial.found_ns < 6 * SECOND);
    assert_true(trial.healed_ns > trial.found_ns && trial.healed_ns < 10 * SECOND);
    assert_int_equal(trial.wrong + trial.harmful + trial.people, 0);
}

static void the_same_seed_gives_the_same_trial_and_another_one_another(void **state)
{
    (void)state;
    struct trial once, again;
    read_well(V CHAIN FACTORS);
    run(0, &once);
    run(0, &again);
    assert_memory_equal(&once, &again, sizeof once);
    char *changed = strstr(row_bytes, "seed: 7");
    changed[6] = '8';
    assert_int_equal(scenario_read(row_bytes, strlen(row_bytes), "", &scenario, &complaints), 0);
    trial_run(&again, suite, 0, &scenario);
    assert_true(once.digest != again.digest);
}

static void a_policy_without_the_remedy_fails_the_row_and_says_why(void **state)
{
    (void)state;
    static const char *const policies[] = {
        /* finds it and does the wrong thing */
        V "detectors:\n  - {name: slow-storage, when: storage_latency > 100ms and request_latency > 50ms, "
          "for: 3s, "
          "do: restart_service}\n",
        /* finds it and only tells people */
        V
        "detectors:\n  - {name: slow-storage, when: storage_latency > 100ms and request_latency > 50ms, for: "
        "3s, do: page_human}\n"};
    struct policy *policy = calloc(1, sizeof *policy);
    char folder[] = "/tmp/test-oats-XXXXXX", path[64];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/policy.yaml", folder);
    for (size_t i = 0; i < COUNT_OF(policies); i++) {
        struct trial trial;
        FILE *file = fopen(path, "w");
        assert_true(file != NULL && fputs(policies[i], file) >= 0 && fclose(file) == 0);
        assert_int_equal(policy_read_file(path, policy, &complaints), 0);
        read_judged(V CHAIN FACTORS, policy, path);
        struct row_cure cure = row_cure(suite, 3);
        assert_true(cure.heals && !cure.possible);
        assert_int_equal(cure.remedy, REMEDY_FAILOVER_STORAGE);
        assert_string_equal(cure.finding, "slow-storage");
        run(3, &trial);
        assert_false(trial.ok);
        assert_int_equal(trial.healed_ns, -1);
        assert_true(strlen(trial.why) > 0);
        if (i == 0) {
            assert_int_equal(trial.remedy, REMEDY_RESTART_SERVICE);
            assert_int_not_equal(trial.verdict, VERDICT_EFFECTIVE);
        } else {
            assert_int_equal(trial.remedy, REMEDY_NONE);
            assert_int_equal(trial.people, 1);
        }
        unlink(path);
    }
    rmdir(folder);
    free(policy);
}

/* --- main effects --------------------------------------------------------------------------------------- */

static void a_row_that_never_heals_is_slower_than_any(void **state)
{
    (void)state;
    duration odd[] = {-1, 5, 3}, even[] = {4, 8, -1, 2}, sick[] = {-1, 3}, none[] = {-1};
    assert_int_equal(trial_median(odd, 3), 5);
    assert_int_equal(trial_median(even, 4), 6);
    assert_int_equal(trial_median(sick, 2), -1);
    assert_int_equal(trial_median(none, 1), -1);
    assert_int_equal(trial_median(none, 0), -1);
}

static void a_level_is_judged_by_the_rows_that_have_it(void **state)
{
    (void)state;
    struct trial trials[4] = {
        {.healed_ns = 2, .ok = 1}, {.healed_ns = 4, .ok = 1}, {.healed_ns = -1}, {.healed_ns = 8, .ok = 1}};
    read_well(V CHAIN FACTORS);
    struct trial_effect cpu = trial_effect(suite, trials, 0, 0), web = trial_effect(suite, trials, 1, 0),
                        db = trial_effect(suite, trials, 1, 1);
    assert_int_equal(cpu.rows, 2);
    assert_int_equal(cpu.healed_p50_ns, 3);
    assert_int_equal(web.ok, 1);
    assert_int_equal(web.healed, 1);
    assert_int_equal(web.healed_p50_ns, -1);
    assert_int_equal(db.healed_p50_ns, 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_left_out_has_a_good_default),
        cmocka_unit_test(a_row_is_a_scenario_that_people_can_read),
        cmocka_unit_test(the_base_may_be_a_file_whose_network_and_accidents_stay),
        cmocka_unit_test(low_is_the_usual_high_ten_times_that_and_medium_between_them),
        cmocka_unit_test(mistakes_are_told_with_their_place_and_the_mend),
        cmocka_unit_test(a_policy_that_detects_nothing_can_judge_nothing),
        cmocka_unit_test(advice_does_not_stop_anybody),
        cmocka_unit_test(what_cannot_be_cured_must_be_left_alone),
        cmocka_unit_test(those_beside_the_struck_are_named_one_by_one),
        cmocka_unit_test(the_finding_is_the_one_that_looks_there),
        cmocka_unit_test(a_row_is_healed_and_says_by_what),
        cmocka_unit_test(the_same_seed_gives_the_same_trial_and_another_one_another),
        cmocka_unit_test(a_policy_without_the_remedy_fails_the_row_and_says_why),
        cmocka_unit_test(a_row_that_never_heals_is_slower_than_any),
        cmocka_unit_test(a_level_is_judged_by_the_rows_that_have_it),
    };
    return cmocka_run_group_tests_name("oats", tests, NULL, close_suite);
}
