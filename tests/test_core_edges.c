/* The decision core where two things meet: a policy change during an action, a goodbye during one, late
 * answers, strangers' reports, people's orders at the wrong moment. Each of these once went wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "core/core.h"
#include "story.h"

#define CPU_HIGH                                                                                             \
    "  - {name: cpu-high, when: cpu_utilization > 0.90 and request_latency > 20ms, for: 3s,"                 \
    " clear: cpu_utilization < 0.70, healthy_for: 3s}\n"
#define FAILING                                                                                              \
    "  - {name: failing, when: error_ratio > 20%, for: 2s, clear: error_ratio < 5%, healthy_for: 3s,"        \
    " confirm: no}\n"
#define STEPS(steps) "playbooks:\n  - {on: cpu-high, steps: [" steps "]}\n"
#define GUARDS       "guards: {per_target: {cooldown: 5s, backoff: no}}\n"
#define POLICY       "version: 1\ndetectors:\n" CPU_HIGH STEPS("restart_service, drain_node, page_human") GUARDS
#define WITH_LIMIT(when, clear)                                                                              \
    "version: 1\ndetectors:\n  - {name: cpu-high, when: cpu_utilization > " when                             \
    " and request_latency > 20ms, for: 3s, clear: cpu_utilization < " clear                                  \
    ", healthy_for: 3s}\n" STEPS("restart_service, drain_node, page_human") GUARDS
#define ILL  "cpu=0.97 latency=0.058"
#define WELL "cpu=0.03 latency=0.001"

static void say_goodbye(struct story *s, double at, uint32_t node)
{
    struct event event;
    memset(&event, 0, sizeof event);
    event.kind = EVENT_GOODBYE;
    event.node = node;
    story_event(s, at, &event);
}

/* --- strangers --------------------------------------------------------------------------------------------
 */

static void test_a_report_without_a_boot_does_not_blind_the_node_agent(void **state)
{
    (void)state;
    struct story *s = story_new(POLICY);
    uint32_t web = story_join(s, 0, "web-1", NULL);
    struct event curl;
    story_reports(s, 1, 3, web, WELL);
    memset(&curl, 0, sizeof curl);
    curl.kind = EVENT_REPORT;
    curl.node = web;
    curl.of.report.present = 1u << METRIC_CPU_UTILIZATION;
    story_event(s, 3.5, &curl);
    story_reports(s, 4, 8, web, ILL);
    story_saw(s, "DETECT");
    assert_int_equal(s->commands, 1);
    story_free(&s);
}

static void test_being_up_is_no_second_witness(void **state)
{
    (void)state;
    struct story *s = story_new("version: 1\ndetectors:\n"
                                "  - {name: busy, when: cpu_utilization > 0.90 and service_up >= 1, for: 1s,"
                                " do: restart_service}\n");
    uint32_t web = story_join(s, 0, "web-1", NULL);
    story_reports(s, 1, 10, web, "cpu=0.97 service=1");
    assert_int_equal(s->commands, 0);
    assert_int_equal(core_incident(s->core, 1)->block, BLOCK_UNCORROBORATED);
    story_free(&s);
}

static void send_as(struct story *s, double at, uint32_t node, uint64_t boot, uint64_t sequence, double cpu)
{
    struct event event;
    memset(&event, 0, sizeof event);
    event.kind = EVENT_REPORT;
    event.node = node;
    event.of.report.boot = boot;
    event.of.report.sequence = sequence;
    event.of.report.present = 1u << METRIC_CPU_UTILIZATION | 1u << METRIC_REQUEST_LATENCY;
    event.of.report.value[METRIC_CPU_UTILIZATION] = cpu;
    event.of.report.value[METRIC_REQUEST_LATENCY] = 0.058;
    story_event(s, at, &event);
}

static void test_a_second_node_agent_that_came_and_went_does_not_blind_the_first(void **state)
{
    (void)state;
    struct story *s = story_new(POLICY);
    uint32_t web = story_join(s, 0, "web-1", NULL);
    story_reports(s, 1, 3, web, WELL);
    send_as(s, 3.5, web, 99, 1, 0.03);
    story_reports(s, 4, 6, web, WELL); /* taken for news of a boot that was replaced */
    story_saw(s, "REJECT");
    story_reports(s, 7, 12, web, ILL); /* the stranger has fallen quiet */
    assert_int_equal(s->commands, 1);
    story_free(&s);
}

static void test_a_sequence_number_out_of_all_proportion_is_refused(void **state)
{
    (void)state;
    struct story *s = story_new(POLICY);
    uint32_t web = story_join(s, 0, "web-1", NULL);
    story_reports(s, 1, 3, web, WELL);
    send_as(s, 3.5, web, 7, UINT64_MAX, 0.03);
    story_saw(s, "a value is out of its range");
    story_reports(s, 4, 8, web, ILL);
    assert_int_equal(s->commands, 1);
    story_free(&s);
}

static void test_a_node_that_only_repeats_itself_falls_silent(void **state)
{
    (void)state;
    struct story *s = story_new("version: 1\ndetectors:\n  - {name: silent, absent: 5s, do: page_human}\n");
    uint32_t web = story_join(s, 0, "web-1", NULL);
    for (int t = 1; t <= 12; t++) {
        send_as(s, t, web, 7, 1, 0.03);
    }
    story_saw(s, "no report for 5 s");
    story_free(&s);
}

/* --- a policy change in the middle ------------------------------------------------------------------------
 */

static void test_a_remedy_taken_out_of_the_policy_is_not_carried_out(void **state)
{
    (void)state;
    struct story *s = story_new(POLICY);
    uint32_t web = story_join(s, 0, "web-1", NULL);
    story_say(s, 0.5, OPERATOR_PAUSE, 0, REMEDY_NONE);
    story_reports(s, 1, 5, web, ILL);
    story_policy(s, 5.5, "version: 1\ndetectors:\n" CPU_HIGH STEPS("page_human") GUARDS);
    story_reports(s, 6, 7, web, ILL);
    story_say(s, 7.5, OPERATOR_RESUME, 0, REMEDY_NONE);
    story_reports(s, 8, 9, web, ILL);
    assert_int_equal(s->commands, 0);
    story_saw(s, "planned anew, the policy has changed");
    story_saw(s, "PEOPLE    web-1     told to people");
    story_free(&s);
}

static void test_a_changed_threshold_gives_no_verdict(void **state)
{
    (void)state;
    struct story *s = story_new(POLICY);
    uint32_t web = story_join(s, 0, "web-1", NULL);
    story_say(s, 0.5, OPERATOR_PAUSE, 0, REMEDY_NONE);
    story_reports(s, 1, 5, web, ILL);
    story_policy(s, 5.5, WITH_LIMIT("0.80", "0.70"));
    story_reports(s, 6, 12, web, ILL);
    story_saw_not(s, "well again");
    story_saw(s, "closed: the policy does not watch for it any more  incident 1");
    story_saw(s, "cpu above 80 % and latency above 20 ms for 3 s  incident 2");
    story_free(&s);
}

static void test_a_threshold_raised_during_verification_makes_nothing_effective(void **state)
{
    (void)state;
    struct story *s = story_new(POLICY);
    uint32_t web = story_join(s, 0, "web-1", NULL);
    story_reports(s, 1, 4, web, ILL);
    story_end(s, 4.1, web, OUTCOME_DONE, true);
    story_reports(s, 5, 6, web, ILL);
    story_policy(s, 6.5, WITH_LIMIT("0.99", "0.98"));
    story_reports(s, 7, 30, web, ILL);
    story_saw_not(s, "effective");
    assert_int_equal(core_disrupted(s->core), 0);
    story_free(&s);
}

static void test_approving_what_the_policy_has_lost_is_refused(void **state)
{
    (void)state;
    struct story *s = story_new(POLICY "mode: approve\n");
    uint32_t web = story_join(s, 0, "web-1", NULL);
    struct event event;
    struct effects out;
    story_reports(s, 1, 5, web, ILL);
    struct policy empty = s->policy;
    empty.detector_count = 0;
    memset(&event, 0, sizeof event);
    event.kind = EVENT_POLICY;
    event.at = s->now + 1;
    event.of.policy = &empty;
    core_step(s->core, &event, &out);
    memset(&event, 0, sizeof event); /* before the queued walk has closed it */
    event.kind = EVENT_OPERATOR;
    event.at = s->now + 2;
    event.of.operator_order.incident = 1;
    event.of.operator_order.word = OPERATOR_APPROVE;
    event.of.operator_order.remedy = REMEDY_NONE;
    core_step(s->core, &event, &out);
    assert_int_equal(out.list[0].kind, EFFECT_REJECT);
    story_free(&s);
}

/* --- goodbyes ---------------------------------------------------------------------------------------------
 */

static void test_a_node_that_leaves_during_an_action_leaves_nothing_behind(void **state)
{
    (void)state;
    struct story *s = story_new(POLICY);
    uint32_t web = story_join(s, 0, "web-1", NULL);
    story_reports(s, 1, 4, web, ILL);
    say_goodbye(s, 5, web);
    assert_int_equal(core_unhealthy(s->core), 0);
    story_wait(s, 3600);
    story_saw(s, "PEOPLE    web-1     its node has left; it was not healed  incident 1");
    assert_null(core_incident(s->core, 1)); /* kept for a while, in case it comes back */
    assert_int_equal(core_disrupted(s->core), 0);
    story_free(&s);
}

static void test_a_node_that_comes_back_well_is_resolved(void **state)
{
    (void)state;
    struct story *s =
        story_new("version: 1\ndetectors:\n" CPU_HIGH "  - {name: silent, absent: 5s, do: page_human}\n");
    uint32_t web = story_join(s, 0, "web-1", NULL);
    story_reports(s, 1, 2, web, WELL);
    story_wait(s, 10);
    story_saw(s, "told to people: no report for 5 s  incident 1");
    say_goodbye(s, 11, web);
    story_reports(s, 12, 16, web, WELL);
    story_saw(s, "RESOLVED  web-1     well again without an action of ours  incident 1");
    story_free(&s);
}

static void test_a_trouble_that_people_have_explains_no_other_on_its_node(void **state)
{
    (void)state;
    struct story *s =
        story_new("version: 1\ndetectors:\n"
                  "  - {name: disk, when: filesystem_utilization > 80%, for: 0s, do: page_human}\n" FAILING
                  "playbooks:\n  - {on: failing, steps: [restart_service]}\n");
    uint32_t db = story_join(s, 0, "db-1", NULL);
    story_reports(s, 1, 6, db, "filesystem=0.9 errors=0.9");
    assert_int_equal(s->commands, 1);
    story_free(&s);
}

static void test_a_callee_that_has_left_explains_nothing(void **state)
{
    (void)state;
    struct story *s = story_new("version: 1\ndetectors:\n" CPU_HIGH FAILING
                                "playbooks:\n  - {on: cpu-high, steps: [restart_service, page_human]}\n"
                                "  - {on: failing, steps: [restart_service]}\n" GUARDS);
    uint32_t db = story_join(s, 0, "db-1", NULL);
    uint32_t web = story_join(s, 0, "web-1", "db-1");
    for (int t = 1; t <= 4; t++) {
        story_report(s, t, db, ILL);
        story_report(s, t, web, "errors=0");
    }
    say_goodbye(s, 5, db);
    story_reports(s, 6, 60, web, "errors=0");
    story_reports(s, 61, 70, web, "errors=0.9");
    assert_int_equal(s->commands, 2); /* db-1's, and web-1's own */
    story_free(&s);
}

static void test_what_people_leave_alone_does_not_explain_callers_for_ever(void **state)
{
    (void)state;
    struct story *s =
        story_new("version: 1\ndetectors:\n"
                  "  - {name: disk, when: filesystem_utilization > 80%, for: 0s, do: page_human}\n" FAILING
                  "playbooks:\n  - {on: failing, steps: [restart_service]}\n");
    uint32_t db = story_join(s, 0, "db-1", NULL);
    uint32_t web = story_join(s, 0, "web-1", "db-1");
    for (int t = 1; t <= 620; t++) {
        story_report(s, t, db, "filesystem=0.9 errors=0");
        story_report(s, t, web, t > 20 ? "errors=0.9" : "errors=0");
        if (t == 500) {
            assert_int_equal(s->commands, 0); /* people are at it */
        }
    }
    assert_int_equal(s->commands, 1);
    story_free(&s);
}

/* --- late answers -----------------------------------------------------------------------------------------
 */

static void test_a_late_failure_takes_the_next_rung(void **state)
{
    (void)state;
    struct story *s = story_new(POLICY);
    uint32_t web = story_join(s, 0, "web-1", NULL);
    story_reports(s, 1, 25, web, ILL); /* ordered at 4, unknown at 24 */
    story_end(s, 25.5, web, OUTCOME_FAILED, true);
    story_saw(s, "25.5 PLAN      web-1     drain_node: the next rung; the command failed");
    story_free(&s);
}

static void test_a_late_success_still_has_time_to_settle(void **state)
{
    (void)state;
    struct story *s = story_new("version: 1\ndetectors:\n" CPU_HIGH STEPS(
        "{do: restart_service, settle: 10s, within: 40s}, page_human") GUARDS);
    uint32_t web = story_join(s, 0, "web-1", NULL);
    story_reports(s, 1, 36, web, ILL);
    story_end(s, 36.5, web, OUTCOME_DONE, true);
    story_reports(s, 37, 49, web, WELL);
    story_saw_not(s, "RESOLVED");
    story_reports(s, 50, 51, web, WELL);
    story_saw(s, "50.0 RESOLVED  web-1     effective");
    story_free(&s);
}

/* --- verdicts and guards ----------------------------------------------------------------------------------
 */

static void test_a_callers_own_illness_does_not_condemn_the_cure(void **state)
{
    (void)state;
    struct story *s = story_new(POLICY);
    uint32_t db = story_join(s, 0, "db-1", NULL);
    uint32_t web = story_join(s, 0, "web-1", "db-1");
    for (int t = 1; t <= 4; t++) {
        story_report(s, t, db, ILL);
        story_report(s, t, web, WELL);
    }
    story_end(s, 4.1, db, OUTCOME_DONE, true);
    for (int t = 5; t <= 12; t++) {
        story_report(s, t, web, ILL);
        story_report(s, t, db, WELL);
    }
    story_saw(s, "RESOLVED  db-1      effective");
    story_saw_not(s, "harmed");
    story_free(&s);
}

static void test_effective_takes_three_good_samples_in_a_row(void **state)
{
    (void)state;
    struct story *s =
        story_new("version: 1\ndetectors:\n"
                  "  - {name: cpu-high, when: cpu_utilization > 0.90, for: 1s,"
                  " clear: cpu_utilization < 0.70, healthy_for: 0s, confirm: no, do: restart_service}\n");
    uint32_t web = story_join(s, 0, "web-1", NULL);
    story_reports(s, 1, 2, web, ILL);
    story_end(s, 2.1, web, OUTCOME_DONE, true);
    story_reports(s, 4, 6, web, ILL);
    story_reports(s, 7, 8, web, WELL);
    story_saw_not(s, "effective");
    story_report(s, 9, web, WELL);
    story_saw(s, "9.0 RESOLVED  web-1     effective");
    story_free(&s);
}

static void test_a_reset_breaker_opens_again_only_for_more(void **state)
{
    (void)state;
    struct story *s = story_new(POLICY);
    const char *names[] = {"a", "b", "c", "d"};
    uint32_t n[4];
    for (int i = 0; i < 4; i++) {
        n[i] = story_join(s, 0, names[i], NULL);
    }
    for (int t = 1; t <= 5; t++) {
        for (int i = 0; i < 4; i++) {
            story_report(s, t, n[i], i < 3 ? ILL : WELL);
        }
    }
    assert_true(core_control(s->core)->breaker_open);
    story_say(s, 5.5, OPERATOR_RESET, 0, REMEDY_NONE);
    assert_false(core_control(s->core)->breaker_open); /* three of four: a person knows, and says go on */
    for (int t = 6; t <= 10; t++) {
        for (int i = 0; i < 4; i++) {
            story_report(s, t, n[i], i < 3 || t > 6 ? ILL : WELL);
        }
    }
    assert_true(core_control(s->core)->breaker_open); /* the fourth, he did not know of */
    story_free(&s);
}

static void test_every_stopped_evaluation_is_counted(void **state)
{
    (void)state;
    struct story *s = story_new(POLICY);
    uint32_t web = story_join(s, 0, "web-1", NULL);
    s->verbose = true;
    story_say(s, 0.5, OPERATOR_PAUSE, 0, REMEDY_NONE);
    story_reports(s, 1, 8, web, ILL); /* stopped at 4, 5, 6, 7 and 8 */
    story_say(s, 8.5, OPERATOR_RESUME, 0, REMEDY_NONE);
    story_report(s, 9, web, ILL);
    story_saw(s,
              "9.0 BLOCKED   web-1     restart_service not done: a person has paused automation (5 times)");
    assert_int_equal(s->commands, 1);
    story_free(&s);
}

static void test_a_command_that_never_began_costs_no_cooldown(void **state)
{
    (void)state;
    struct story *s = story_new(POLICY);
    uint32_t web = story_join(s, 0, "web-1", NULL);
    story_reports(s, 1, 4, web, ILL);
    story_end(s, 4.1, web, OUTCOME_DONE, true);
    story_reports(s, 5, 30, web, ILL); /* ineffective at 24.1, so drain_node may go out from 29.1 on */
    assert_int_equal(s->commands, 2);
    story_end(s, 30.1, web, OUTCOME_FAILED, false);
    story_report(s, 31, web, ILL);
    assert_int_equal(s->commands, 3);
    story_free(&s);
}

/* The cooldown counts from the end of the verification, before a restart of the control plane and after it.
 */
static void test_the_cooldown_survives_a_restart(void **state)
{
    (void)state;
    struct story *s = story_new("version: 1\ndetectors:\n" CPU_HIGH STEPS(
        "restart_service, drain_node") "guards: {per_target: {cooldown: 30s}}\n");
    struct event event;
    memset(&event, 0, sizeof event);
    event.kind = EVENT_RESTORE;
    event.of.restore.kind = RESTORE_INCIDENT;
    struct incident *healed = &event.of.restore.what.incident;
    healed->id = 1;
    healed->state = INCIDENT_RESOLVED;
    healed->verdict = VERDICT_EFFECTIVE;
    healed->outcome = OUTCOME_DONE;
    healed->remedy = REMEDY_RESTART_SERVICE;
    healed->attempts = 1;
    healed->ended_at = 80 * SECOND;
    healed->closed_at = 100 * SECOND;
    strcpy(healed->detector_name, "cpu-high");
    uint32_t web = story_join(s, 105, "web-1", NULL);
    event.node = web;
    story_event(s, 105, &event);
    story_reports(s, 106, 129, web, ILL); /* it came back, and 80 + 30 s is long over */
    assert_int_equal(s->commands, 0);
    assert_int_equal(core_incident(s->core, 1)->block, BLOCK_COOLDOWN);
    story_report(s, 130, web, ILL);
    assert_int_equal(s->commands, 1);
    story_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_report_without_a_boot_does_not_blind_the_node_agent),
        cmocka_unit_test(test_a_second_node_agent_that_came_and_went_does_not_blind_the_first),
        cmocka_unit_test(test_a_sequence_number_out_of_all_proportion_is_refused),
        cmocka_unit_test(test_a_node_that_only_repeats_itself_falls_silent),
        cmocka_unit_test(test_a_node_that_comes_back_well_is_resolved),
        cmocka_unit_test(test_a_trouble_that_people_have_explains_no_other_on_its_node),
        cmocka_unit_test(test_being_up_is_no_second_witness),
        cmocka_unit_test(test_a_remedy_taken_out_of_the_policy_is_not_carried_out),
        cmocka_unit_test(test_a_changed_threshold_gives_no_verdict),
        cmocka_unit_test(test_a_threshold_raised_during_verification_makes_nothing_effective),
        cmocka_unit_test(test_approving_what_the_policy_has_lost_is_refused),
        cmocka_unit_test(test_a_node_that_leaves_during_an_action_leaves_nothing_behind),
        cmocka_unit_test(test_a_callee_that_has_left_explains_nothing),
        cmocka_unit_test(test_what_people_leave_alone_does_not_explain_callers_for_ever),
        cmocka_unit_test(test_a_late_failure_takes_the_next_rung),
        cmocka_unit_test(test_a_late_success_still_has_time_to_settle),
        cmocka_unit_test(test_a_callers_own_illness_does_not_condemn_the_cure),
        cmocka_unit_test(test_effective_takes_three_good_samples_in_a_row),
        cmocka_unit_test(test_a_reset_breaker_opens_again_only_for_more),
        cmocka_unit_test(test_every_stopped_evaluation_is_counted),
        cmocka_unit_test(test_a_command_that_never_began_costs_no_cooldown),
        cmocka_unit_test(test_the_cooldown_survives_a_restart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
