/* The decision core, told as stories. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/core.h"
#include "core/trace.h"
#include "story.h"

/* Two witnesses, a ladder of two rungs and people at its end. */
#define CPU_DETECTOR                                                                                         \
    "  - {name: cpu-high, when: cpu_utilization > 0.90 and request_latency > 20ms, for: 3s,"                 \
    " clear: cpu_utilization < 0.70, healthy_for: 3s, severity: critical}\n"
#define CPU_PLAYBOOK                                                                                         \
    "  - on: cpu-high\n"                                                                                     \
    "    steps: [{do: restart_service, settle: 1s, within: 20s}, {do: drain_node}, {do: page_human}]\n"
#define CPU_POLICY                                                                                           \
    "version: 1\ndetectors:\n" CPU_DETECTOR "playbooks:\n" CPU_PLAYBOOK                                      \
    "guards: {per_target: {cooldown: 5s, backoff: no}}\n"

#define ILL  "cpu=0.97 latency=0.058"
#define WELL "cpu=0.03 latency=0.001"

/* --- detect, plan, act, verify -------------------------------------------------------------------------- */

static void test_cpu_is_high_and_a_restart_helps(void **state)
{
    (void)state;
    struct story *s = story_new(CPU_POLICY);
    uint32_t web = story_join(s, 0, "web-1", NULL);
    story_reports(s, 1, 2, web, WELL);
    story_reports(s, 3, 6, web, ILL);
    story_expect(s, "6.0 DETECT    web-1     cpu above 90 % and latency above 20 ms for 3 s  incident 1\n"
                    "6.0 PLAN      web-1     restart_service: it is ill by itself  incident 1\n"
                    "6.0 ACT       web-1     its report is answered with restart_service  incident 1\n");
    story_end(s, 6.1, web, OUTCOME_DONE, true);
    story_reports(s, 7, 11, web, WELL); /* the sample of 7.0 is within the settling time */
    story_expect(
        s, "6.1 DONE      web-1     restart_service done after 100 ms  incident 1\n"
           "6.1 VERIFY    web-1     restart_service ended; watching whether it helped  incident 1\n"
           "11.0 RESOLVED  web-1     effective: cpu 97 % -> 3 %, latency 58 ms -> 1 ms; nothing else fell "
           "ill  incident 1\n");
    assert_int_equal(core_node_health(s->core, web), HEALTH_HEALTHY);
    assert_int_equal(core_disrupted(s->core), 0);
    story_free(&s);
}

static void test_a_sample_a_few_milliseconds_early_does_not_cost_an_interval(void **state)
{
    (void)state;
    struct story *s = story_new(CPU_POLICY);
    uint32_t web = story_join(s, 0, "web-1", NULL);
    story_report(s, 1.004, web, ILL);
    story_report(s, 2.001, web, ILL);
    story_report(s, 3.003, web, ILL);
    story_expect(s, "");
    story_report(s, 4.000, web, ILL); /* 2.996 s */
    story_saw(s, "4.0 DETECT");
    story_free(&s);
}

static void test_a_single_good_sample_starts_for_anew(void **state)
{
    (void)state;
    struct story *s = story_new(CPU_POLICY);
    uint32_t web = story_join(s, 0, "web-1", NULL);
    story_reports(s, 1, 3, web, ILL);
    story_report(s, 4, web, WELL);
    story_reports(s, 5, 7, web, ILL);
    story_expect(s, "");
    story_report(s, 8, web, ILL);
    story_saw(s, "8.0 DETECT");
    story_free(&s);
}

static void test_a_hole_of_more_than_two_intervals_starts_for_anew(void **state)
{
    (void)state;
    struct story *s = story_new(CPU_POLICY);
    uint32_t web = story_join(s, 0, "web-1", NULL);
    story_reports(s, 1, 3, web, ILL);
    story_report(s, 5.5, web, ILL); /* 2.5 s later: who knows what was in between */
    story_report(s, 6.5, web, ILL);
    story_report(s, 7.5, web, ILL);
    story_expect(s, "");
    story_report(s, 8.5, web, ILL);
    story_saw(s, "8.5 DETECT");
    story_free(&s);
}

static void test_a_missing_metric_neither_condemns_nor_resolves(void **state)
{
    (void)state;
    struct story *s = story_new(CPU_POLICY);
    uint32_t web = story_join(s, 0, "web-1", NULL);
    story_reports(s, 1, 3, web, ILL);
    story_report(s, 4, web, "cpu=0.97"); /* latency unknown: no verdict, and the run is not broken */
    story_expect(s, "");
    story_report(s, 5, web, ILL);
    story_saw(s, "5.0 DETECT");
    story_end(s, 5.1, web, OUTCOME_DONE, true);
    story_forget(s);
    story_reports(s, 7, 12, web, "latency=0.001"); /* cpu, which `clear` asks for, is missing */
    story_expect(s, "");
    assert_int_equal(core_incident(s->core, 1)->fresh_samples, 0);
    story_free(&s);
}

static void test_between_clear_and_when_the_finding_stays(void **state)
{
    (void)state;
    struct story *s = story_new(CPU_POLICY);
    uint32_t web = story_join(s, 0, "web-1", NULL);
    story_say(s, 0, OPERATOR_PAUSE, 0, REMEDY_NONE);
    story_reports(s, 1, 4, web, ILL);
    story_saw(s, "4.0 DETECT");
    story_forget(s);
    story_reports(s, 5, 20, web, "cpu=0.80 latency=0.010");
    story_expect(s, "");
    story_reports(s, 21, 24, web, WELL);
    story_expect(s, "24.0 RESOLVED  web-1     well again without an action of ours  incident 1\n");
    story_free(&s);
}

static void test_ineffective_takes_the_next_rung_and_then_people(void **state)
{
    (void)state;
    struct story *s = story_new(CPU_POLICY);
    uint32_t web = story_join(s, 0, "web-1", NULL);
    story_reports(s, 1, 4, web, ILL);
    story_end(s, 4.1, web, OUTCOME_DONE, true);
    story_forget(s);
    story_reports(s, 5, 30, web, ILL);
    story_expect(
        s, "24.1 PLAN      web-1     drain_node: the next rung; what was done did not help (ineffective)  "
           "incident 1\n"
           "30.0 ACT       web-1     its report is answered with drain_node, attempt 2  incident 1\n");
    story_free(&s);
}

static void test_silence_after_the_action_is_inconclusive(void **state)
{
    (void)state;
    struct story *s = story_new(CPU_POLICY);
    uint32_t web = story_join(s, 0, "web-1", NULL);
    story_reports(s, 1, 4, web, ILL);
    story_end(s, 4.1, web, OUTCOME_DONE, true);
    story_forget(s);
    story_wait(s, 60);
    story_expect(
        s, "24.1 PEOPLE    web-1     inconclusive: no fresh samples tell whether it helped  incident 1\n");
    assert_int_equal(core_incident(s->core, 1)->verdict, VERDICT_INCONCLUSIVE);
    assert_int_equal(s->commands, 1);
    story_free(&s);
}

static void test_without_an_outcome_nothing_is_called_effective(void **state)
{
    (void)state;
    struct story *s = story_new(CPU_POLICY);
    uint32_t web = story_join(s, 0, "web-1", NULL);
    story_reports(s, 1, 4, web, ILL);
    story_forget(s);
    story_reports(s, 5, 40, web, WELL);
    story_expect(
        s, "24.0 END       web-1     restart_service unknown after 20 s  incident 1\n"
           "24.0 VERIFY    web-1     no answer to restart_service; watching whether it helped  incident 1\n"
           "29.0 RESOLVED  web-1     inconclusive: cpu 97 % -> 3 %, latency 58 ms -> 1 ms; well again, but "
           "nobody said that the command was carried out  incident 1\n");
    story_free(&s);
}

static void test_a_late_outcome_is_still_taken(void **state)
{
    (void)state;
    struct story *s = story_new(CPU_POLICY);
    uint32_t web = story_join(s, 0, "web-1", NULL);
    story_reports(s, 1, 4, web, ILL);
    story_reports(s, 5, 24, web, ILL);
    story_end(s, 24.5, web, OUTCOME_DONE, true);
    story_forget(s);
    story_reports(s, 25, 30, web, WELL);
    story_saw(s, "RESOLVED  web-1     effective");
    story_free(&s);
}

static void test_what_gets_worse_after_the_action_is_harm(void **state)
{
    (void)state;
    struct story *s =
        story_new("version: 1\ndetectors:\n" CPU_DETECTOR
                  "  - {name: failing, when: error_ratio > 0.2, for: 1s, do: page_human}\n"
                  "playbooks:\n" CPU_PLAYBOOK "guards: {per_target: {cooldown: 5s, backoff: no}}\n");
    uint32_t db = story_join(s, 0, "db-1", NULL);
    uint32_t web = story_join(s, 0, "web-1", "db-1");
    for (int t = 1; t <= 4; t++) {
        story_report(s, t, db, ILL);
        story_report(s, t, web, WELL " errors=0");
    }
    story_end(s, 4.1, db, OUTCOME_DONE, true);
    story_forget(s);
    for (int t = 5; t <= 9; t++) {
        story_report(s, t, db, WELL);
        story_report(s, t, web, WELL " errors=0.9");
    }
    story_saw(s, "9.0 PEOPLE    db-1      harmed: something else fell ill after the action  incident 1");
    assert_int_equal(s->commands, 1);
    story_free(&s);
}

static void test_what_was_already_under_way_is_not_our_harm(void **state)
{
    (void)state;
    struct story *s =
        story_new("version: 1\ndetectors:\n" CPU_DETECTOR
                  "  - {name: slow, when: request_latency > 30ms, for: 10s, do: page_human}\n"
                  "playbooks:\n" CPU_PLAYBOOK "guards: {per_target: {cooldown: 5s, backoff: no}}\n");
    uint32_t web = story_join(s, 0, "web-1", NULL);
    story_reports(s, 1, 4, web, ILL);
    story_end(s, 4.1, web, OUTCOME_DONE, true);
    story_reports(s, 5, 26, web, ILL); /* the restart did nothing: `slow` fires at 11, begun at 1 */
    story_saw(s, "drain_node: the next rung");
    story_saw_not(s, "harmed");
    story_free(&s);
}

static void test_the_same_finding_soon_after_means_it_was_only_masked(void **state)
{
    (void)state;
    struct story *s = story_new(CPU_POLICY);
    uint32_t web = story_join(s, 0, "web-1", NULL);
    story_reports(s, 1, 4, web, ILL);
    story_end(s, 4.1, web, OUTCOME_DONE, true);
    story_reports(s, 5, 60, web, WELL);
    story_saw(s, "RESOLVED");
    story_forget(s);
    story_reports(s, 61, 64, web, ILL);
    story_expect(
        s, "64.0 DETECT    web-1     cpu above 90 % and latency above 20 ms for 3 s; back 58 s after it was "
           "well, so what was done did not last  incident 1\n"
           "64.0 PLAN      web-1     drain_node: the next rung; last time's did not last  incident 1\n"
           "64.0 ACT       web-1     its report is answered with drain_node, attempt 2  incident 1\n");
    story_free(&s);
}

#define TWICE_POLICY                                                                                         \
    "version: 1\ndetectors:\n" CPU_DETECTOR "playbooks:\n"                                                   \
    "  - {on: cpu-high, steps: [restart_service, restart_service, page_human]}\n"                            \
    "guards: {per_target: {cooldown: 5s, backoff: no}}\n"

static void test_the_same_finding_again_is_healed_once_more_and_then_told(void **state)
{
    (void)state;
    struct story *s = story_new(TWICE_POLICY);
    uint32_t web = story_join(s, 0, "web-1", NULL);
    story_reports(s, 1, 4, web, ILL);
    story_end(s, 4.1, web, OUTCOME_DONE, true);
    story_reports(s, 5, 60, web, WELL);
    story_forget(s);
    story_reports(s, 61, 64, web, ILL);
    story_saw(s,
              "64.0 PLAN      web-1     restart_service: once more; the last one did not last  incident 1");
    story_end(s, 64.1, web, OUTCOME_DONE, true);
    story_reports(s, 65, 100, web, WELL);
    story_forget(s);
    story_reports(s, 101, 104, web, ILL);
    story_saw(s, "104.0 PEOPLE    web-1     back 38 s after it was well; no other remedy is planned, people "
                 "are told  incident 1");
    story_free(&s);
}

/* What `clear` does not ask for and one sample shows worse than before speaks neither for nor against it. */
static void test_a_figure_that_got_worse_is_not_praised(void **state)
{
    (void)state;
    struct story *s = story_new(CPU_POLICY);
    uint32_t web = story_join(s, 0, "web-1", NULL);
    story_reports(s, 1, 4, web, ILL);
    story_end(s, 4.1, web, OUTCOME_DONE, true);
    story_reports(s, 5, 12, web, "cpu=0.03 latency=0.401");
    story_saw(s, "RESOLVED  web-1     effective: cpu 97 % -> 3 %; nothing else fell ill  incident 1");
    story_free(&s);
}

static void test_much_later_it_is_a_new_trouble(void **state)
{
    (void)state;
    struct story *s = story_new(CPU_POLICY);
    uint32_t web = story_join(s, 0, "web-1", NULL);
    story_reports(s, 1, 4, web, ILL);
    story_end(s, 4.1, web, OUTCOME_DONE, true);
    story_reports(s, 5, 700, web, WELL);
    story_forget(s);
    story_reports(s, 701, 704, web, ILL);
    story_saw(s, "its report is answered with restart_service  incident 2");
    story_free(&s);
}

static void test_a_command_that_never_began_is_tried_again(void **state)
{
    (void)state;
    struct story *s = story_new(CPU_POLICY);
    uint32_t web = story_join(s, 0, "web-1", NULL);
    story_reports(s, 1, 4, web, ILL);
    story_end(s, 4.1, web, OUTCOME_FAILED, false);
    story_report(s, 5, web, ILL);
    story_saw(s, "restart_service: the command never began (failed)");
    story_saw(s, "5.0 ACT       web-1     its report is answered with restart_service, attempt 2");
    story_end(s, 5.1, web, OUTCOME_UNSUPPORTED, false); /* it cannot do this at all */
    story_report(s, 6, web, ILL);
    story_saw(s, "6.0 ACT       web-1     its report is answered with drain_node, attempt 3");
    story_free(&s);
}

static void test_a_command_that_failed_midway_takes_the_next_rung(void **state)
{
    (void)state;
    struct story *s = story_new(CPU_POLICY);
    uint32_t web = story_join(s, 0, "web-1", NULL);
    story_reports(s, 1, 4, web, ILL);
    story_end(s, 4.1, web, OUTCOME_FAILED, true);
    story_saw(s, "drain_node: the next rung; the command failed");
    story_free(&s);
}

/* --- silence -------------------------------------------------------------------------------------------- */

static void test_silence_is_told_and_never_acted_on(void **state)
{
    (void)state;
    struct story *s = story_new("version: 1\ndetectors:\n  - {name: silent, absent: 5s, do: page_human}\n");
    uint32_t web = story_join(s, 0, "web-1", NULL);
    story_reports(s, 1, 3, web, WELL);
    story_wait(s, 7.9);
    story_expect(s, "");
    story_wait(s, 30);
    story_expect(s, "8.0 DETECT    web-1     no report for 5 s  incident 1\n"
                    "8.0 PEOPLE    web-1     told to people: no report for 5 s  incident 1\n");
    assert_int_equal(core_node_health(s->core, web), HEALTH_SILENT);
    story_reports(s, 31, 36, web, WELL);
    story_saw(s, "RESOLVED  web-1     well again without an action of ours");
    story_free(&s);
}

static void test_goodbye_leaves_the_fleet_and_what_is_open_to_people(void **state)
{
    (void)state;
    struct story *s = story_new(CPU_POLICY);
    uint32_t web = story_join(s, 0, "web-1", NULL);
    story_say(s, 0, OPERATOR_PAUSE, 0, REMEDY_NONE);
    story_reports(s, 1, 4, web, ILL);
    struct event bye = {.kind = EVENT_GOODBYE, .node = web};
    story_forget(s);
    story_event(s, 5, &bye);
    story_expect(s, "5.0 PEOPLE    web-1     its node has left; it was not healed  incident 1\n");
    assert_int_equal(core_fleet(s->core), 0);
    assert_int_equal(core_unhealthy(s->core), 0);
    story_wait(s, 100);
    story_expect(s, "");
    story_free(&s);
}

/* --- guards
 * ---------------------------------------------------------------------------------------------------------
 */

static void test_budget_lets_one_of_three_be_disrupted(void **state)
{
    (void)state;
    struct story *s = story_new(CPU_POLICY);
    uint32_t a = story_join(s, 0, "a", NULL);
    uint32_t b = story_join(s, 0, "b", NULL);
    uint32_t c = story_join(s, 0, "c", NULL);
    s->verbose = true;
    for (int t = 1; t <= 5; t++) {
        story_report(s, t, a, ILL);
        story_report(s, t, b, ILL);
        story_report(s, t, c, WELL);
    }
    assert_int_equal(s->commands, 1);
    story_saw(s, "BLOCKED   b         restart_service not done: as many nodes are being worked on as the "
                 "policy allows");
    story_end(s, 5.1, a, OUTCOME_DONE, true);
    for (int t = 6; t <= 11; t++) {
        story_report(s, t, a, WELL);
        story_report(s, t, b, ILL);
        story_report(s, t, c, WELL);
    }
    story_saw(s, "RESOLVED  a");
    story_saw(s, "ACT       b         its report is answered with restart_service");
    assert_int_equal(s->commands, 2);
    story_free(&s);
}

static void test_cooldown_counts_from_the_end(void **state)
{
    (void)state;
    struct story *s = story_new(CPU_POLICY); /* cooldown: 5s */
    uint32_t web = story_join(s, 0, "web-1", NULL);
    s->verbose = true;
    story_reports(s, 1, 4, web, ILL);
    story_end(s, 4.1, web, OUTCOME_DONE, true);
    story_reports(s, 5, 29, web, ILL); /* ineffective at 24.1 */
    story_saw(s, "BLOCKED   web-1     drain_node not done: the last action on this node is too recent");
    assert_int_equal(s->commands, 1);
    story_report(s, 30, web, ILL);
    assert_int_equal(s->commands, 2);
    story_free(&s);
}

static void test_attempts_used_up_are_told_to_people(void **state)
{
    (void)state;
    struct story *s = story_new("version: 1\ndetectors:\n" CPU_DETECTOR "playbooks:\n" CPU_PLAYBOOK
                                "guards: {recurrence: 1s, per_target: {cooldown: 0s, attempts: {max: 2, "
                                "within: 10m}, backoff: no}}\n");
    uint32_t web = story_join(s, 0, "web-1", NULL);
    double t = 1;
    for (int round = 0; round < 3; round++, t += 20) {
        story_reports(s, t, t + 3, web, ILL);
        if (round < 2) {
            story_end(s, t + 3.1, web, OUTCOME_DONE, true);
        }
        story_reports(s, t + 4, t + 19, web, WELL);
    }
    assert_int_equal(s->commands, 2);
    story_saw(s, "44.0 PEOPLE    web-1     gave up: this node has used up its attempts, 2 within 10 min  "
                 "incident 3");
    story_free(&s);
}

static void test_dry_run_plans_and_does_nothing(void **state)
{
    (void)state;
    struct story *s = story_new(CPU_POLICY "mode: dry_run\n");
    uint32_t web = story_join(s, 0, "web-1", NULL);
    s->verbose = true;
    story_reports(s, 1, 20, web, ILL);
    assert_int_equal(s->commands, 0);
    story_saw(s, "PLAN      web-1     restart_service");
    story_saw(s, "restart_service not done: the policy only watches");
    story_free(&s);
}

static void test_approve_mode_waits_for_the_plan_that_was_shown(void **state)
{
    (void)state;
    struct story *s = story_new(CPU_POLICY "mode: approve\n");
    uint32_t web = story_join(s, 0, "web-1", NULL);
    s->verbose = true;
    story_reports(s, 1, 10, web, ILL);
    assert_int_equal(s->commands, 0);
    story_saw(s, "waiting for a person's approval");
    story_saw(s, "NOTIFY");
    story_say(s, 10.1, OPERATOR_APPROVE, 1, REMEDY_DRAIN_NODE);
    story_saw(s, "the plan has changed since it was shown");
    assert_int_equal(s->commands, 0);
    story_say(s, 10.2, OPERATOR_APPROVE, 1, REMEDY_RESTART_SERVICE);
    assert_int_equal(s->commands, 1);
    story_say(s, 10.3, OPERATOR_APPROVE, 1, REMEDY_NONE);
    story_saw(s, "this incident is not waiting for that");
    story_say(s, 10.4, OPERATOR_APPROVE, 99, REMEDY_NONE);
    story_saw(s, "there is no such open incident");
    story_free(&s);
}

static void test_a_declined_plan_gives_way_to_the_next_rung(void **state)
{
    (void)state;
    struct story *s = story_new(CPU_POLICY "mode: approve\n");
    uint32_t web = story_join(s, 0, "web-1", NULL);
    s->verbose = true;
    story_say(s, 0.5, OPERATOR_DECLINE, 1, REMEDY_NONE);
    story_saw(s, "there is no such open incident");
    story_reports(s, 1, 6, web, ILL);
    story_say(s, 6.1, OPERATOR_DECLINE, 1, REMEDY_DRAIN_NODE);
    story_saw(s, "the plan has changed since it was shown");
    story_say(s, 6.2, OPERATOR_DECLINE, 1, REMEDY_RESTART_SERVICE);
    story_saw(s, "drain_node: the next rung; a person declined the one before");
    story_reports(s, 7, 9, web, ILL);
    assert_int_equal(s->commands, 0); /* the next plan waits for a person as well */
    story_say(s, 9.1, OPERATOR_DECLINE, 1, REMEDY_NONE);
    story_saw(s, "a person declined the last remedy; it is left to people");
    assert_int_equal(core_incident(s->core, 1)->state, INCIDENT_ESCALATED);
    story_say(s, 9.2, OPERATOR_DECLINE, 1, REMEDY_NONE);
    story_saw(s, "this incident is not waiting for that");
    story_say(s, 9.3, OPERATOR_APPROVE, 1, REMEDY_NONE); /* he thinks better of it */
    assert_int_equal(s->commands, 1);
    story_free(&s);
}

static void test_an_approval_does_not_outlive_the_evidence(void **state)
{
    (void)state;
    struct story *s = story_new(CPU_POLICY "mode: approve\n");
    uint32_t web = story_join(s, 0, "web-1", NULL);
    story_reports(s, 1, 4, web, ILL);
    story_say(s, 60, OPERATOR_APPROVE, 1, REMEDY_NONE); /* nothing was heard for 56 s */
    assert_int_equal(s->commands, 0);
    story_free(&s);
}

static void test_pause_stops_and_resume_weighs_anew(void **state)
{
    (void)state;
    struct story *s = story_new(CPU_POLICY);
    uint32_t web = story_join(s, 0, "web-1", NULL);
    story_say(s, 0, OPERATOR_PAUSE, 0, REMEDY_NONE);
    story_reports(s, 1, 10, web, ILL);
    assert_int_equal(s->commands, 0);
    assert_int_equal(core_incident(s->core, 1)->block, BLOCK_PAUSED);
    story_say(s, 10.5, OPERATOR_RESUME, 0, REMEDY_NONE);
    assert_int_equal(s->commands, 0); /* only fresh evidence may act */
    story_report(s, 11, web, ILL);
    assert_int_equal(s->commands, 1);
    story_free(&s);
}

static void test_one_metric_alone_is_told_and_a_second_witness_lets_it_act(void **state)
{
    (void)state;
    struct story *s =
        story_new("version: 1\ndetectors:\n"
                  "  - {name: busy, when: cpu_utilization > 0.90, for: 3s, do: restart_service}\n"
                  "  - {name: slow, when: request_latency > 20ms, for: 3s, do: page_human}\n");
    uint32_t web = story_join(s, 0, "web-1", NULL);
    s->verbose = true;
    story_reports(s, 1, 10, web, "cpu=0.97 latency=0.001");
    assert_int_equal(s->commands, 0);
    story_saw(s, "restart_service not done: one metric alone; a second witness is missing");
    story_saw(s, "NOTIFY");
    story_reports(s, 11, 15, web, ILL);
    assert_int_equal(s->commands, 1);
    story_free(&s);
}

static void test_breaker_latches_until_a_person_resets_it(void **state)
{
    (void)state;
    struct story *s = story_new(CPU_POLICY);
    uint32_t n[4];
    const char *names[] = {"a", "b", "c", "d"};
    for (int i = 0; i < 4; i++) {
        n[i] = story_join(s, 0, names[i], NULL);
    }
    for (int t = 1; t <= 6; t++) {
        for (int i = 0; i < 4; i++) {
            story_report(s, t, n[i], i < 3 ? ILL : WELL);
        }
    }
    assert_true(core_control(s->core)->breaker_open);
    uint32_t before = s->commands;
    for (int t = 7; t <= 40; t++) {
        for (int i = 0; i < 4; i++) {
            story_report(s, t, n[i], i == 1 ? ILL : WELL); /* only one is left ill: the breaker stays open */
        }
    }
    assert_true(core_control(s->core)->breaker_open);
    assert_int_equal(s->commands, before);
    assert_int_equal(core_incident(s->core, 2)->block, BLOCK_BREAKER);
    story_say(s, 40.5, OPERATOR_RESET, 0, REMEDY_NONE);
    assert_false(core_control(s->core)->breaker_open);
    for (int i = 0; i < 4; i++) {
        story_report(s, 41, n[i], i == 1 ? ILL : WELL);
    }
    assert_int_equal(s->commands, before + 1);
    story_free(&s);
}

/* --- attribution ---------------------------------------------------------------------------------------- */

#define FLEET_POLICY                                                                                         \
    "version: 1\ndetectors:\n"                                                                               \
    "  - {name: slow-storage, when: storage_latency > 100ms and request_latency > 50ms, for: 3s,"            \
    " clear: storage_latency < 20ms, do: failover_storage}\n"                                                \
    "  - {name: failing, when: error_ratio > 0.2 and request_latency > 50ms, for: 2s, confirm: no,"          \
    " do: restart_service}\n"

static void test_a_sick_database_is_healed_at_the_database(void **state)
{
    (void)state;
    struct story *s = story_new(FLEET_POLICY);
    uint32_t db = story_join(s, 0, "db-1", NULL);
    uint32_t api = story_join(s, 0, "api-1", "db-1");
    uint32_t web = story_join(s, 0, "web-1", "api-1");
    for (int t = 1; t <= 5; t++) {
        story_report(s, t, web, "errors=0.9 latency=0.4 storage=0.001");
        story_report(s, t, api, "errors=0.9 latency=0.4 storage=0.001");
        story_report(s, t, db, "errors=0.1 latency=0.4 storage=0.25");
    }
    story_expect(s,
                 "3.0 DETECT    web-1     errors above 20 % and latency above 50 ms for 2 s  incident 1\n"
                 "3.0 DETECT    api-1     errors above 20 % and latency above 50 ms for 2 s  incident 2\n"
                 "4.0 DETECT    db-1      storage above 100 ms and latency above 50 ms for 3 s  incident 3\n"
                 "4.0 PLAN      db-1      failover_storage: it is ill by itself  incident 3\n"
                 "4.0 ACT       db-1      its report is answered with failover_storage  incident 3\n");
    assert_int_equal(core_incident(s->core, 1)->block, BLOCK_EXPLAINED);
    assert_int_equal(core_unhealthy(s->core), 1);
    story_end(s, 5.1, db, OUTCOME_DONE, true);
    for (int t = 6; t <= 12; t++) {
        story_report(s, t, web, "errors=0 latency=0.002 storage=0.001");
        story_report(s, t, api, "errors=0 latency=0.002 storage=0.001");
        story_report(s, t, db, "errors=0 latency=0.002 storage=0.001");
    }
    story_saw(s, "RESOLVED  db-1      effective");
    story_saw(s, "RESOLVED  web-1     well again without an action of ours");
    story_saw(s, "RESOLVED  api-1     well again without an action of ours");
    assert_int_equal(s->commands, 1);
    assert_false(core_control(s->core)->breaker_open);
    story_free(&s);
}

static void test_a_caller_alone_is_healed_after_waiting_for_news(void **state)
{
    (void)state;
    struct story *s = story_new(FLEET_POLICY);
    uint32_t db = story_join(s, 0, "db-1", NULL);
    uint32_t web = story_join(s, 0, "web-1", "db-1");
    for (int t = 1; t <= 5; t++) {
        story_report(s, t, db, "errors=0 latency=0.001 storage=0.001");
        story_report(s, t, web, "errors=0.9 latency=0.4 storage=0.001");
    }
    story_expect(s, "3.0 DETECT    web-1     errors above 20 % and latency above 50 ms for 2 s  incident 1\n"
                    "5.0 PLAN      web-1     restart_service: nothing it calls explains it  incident 1\n"
                    "5.0 ACT       web-1     its report is answered with restart_service  incident 1\n");
    story_free(&s);
}

static void test_what_users_see_is_explained_by_a_local_cause_on_the_same_node(void **state)
{
    (void)state;
    struct story *s = story_new(FLEET_POLICY);
    uint32_t db = story_join(s, 0, "db-1", NULL);
    story_reports(s, 1, 8, db, "errors=0.9 latency=0.4 storage=0.25");
    assert_int_equal(s->commands, 1);
    story_saw(s, "its report is answered with failover_storage");
    assert_int_equal(core_incident(s->core, 1)->block, BLOCK_EXPLAINED);
    story_free(&s);
}

static void test_a_ring_of_calls_does_not_explain_itself_away(void **state)
{
    (void)state;
    struct story *s = story_new(FLEET_POLICY);
    uint32_t a = story_join(s, 0, "a", NULL);
    uint32_t b = story_join(s, 0, "b", "a");
    struct event again = {
        .kind = EVENT_HELLO, .node = a, .of.hello = {.name = "a", .calls = {b}, .calls_count = 1}};
    story_event(s, 0, &again);
    for (int t = 1; t <= 6; t++) {
        story_report(s, t, a, "errors=0.9 latency=0.4");
        story_report(s, t, b, "errors=0.9 latency=0.4");
    }
    assert_int_equal(s->commands, 1); /* the budget of a fleet of two */
    story_free(&s);
}

/* --- reports that come twice, late or wrong ------------------------------------------------------------- */

static void send(struct story *s, double at, uint32_t node, uint64_t sequence, double age_s, double cpu)
{
    struct event event;
    memset(&event, 0, sizeof event);
    event.kind = EVENT_REPORT;
    event.node = node;
    event.of.report.boot = 7;
    event.of.report.sequence = sequence;
    event.of.report.age_ns = duration_from_seconds(age_s);
    event.of.report.present = 1u << METRIC_CPU_UTILIZATION | 1u << METRIC_REQUEST_LATENCY;
    event.of.report.value[METRIC_CPU_UTILIZATION] = cpu;
    event.of.report.value[METRIC_REQUEST_LATENCY] = 0.058;
    story_event(s, at, &event);
}

static void test_repeated_and_reordered_reports_are_not_evaluated(void **state)
{
    (void)state;
    struct story *s = story_new(CPU_POLICY);
    uint32_t web = story_join(s, 0, "web-1", NULL);
    send(s, 1, web, 1, 0, 0.97);
    send(s, 2, web, 2, 0, 0.97);
    send(s, 3, web, 3, 0, 0.97);
    story_expect(s, "");
    send(s, 3.5, web, 2, 0, 0.03); /* an old good one must not clear it */
    story_saw(s, "3.5 REJECT");
    send(s, 4, web, 4, 0, 0.97);
    story_saw(s, "4.0 DETECT");
    story_free(&s);
}

static void test_old_news_is_not_acted_on(void **state)
{
    (void)state;
    struct story *s = story_new(CPU_POLICY);
    uint32_t web = story_join(s, 0, "web-1", NULL);
    for (uint64_t i = 1; i <= 10; i++) {
        send(s, 100 + (double)i / 10, web, i, 60 - (double)i, 0.97); /* a minute old, arriving in one go */
    }
    story_saw(s, "its samples are too old to decide on; stored only");
    story_saw_not(s, "DETECT");
    story_free(&s);
}

static void test_wrong_values_are_refused_not_swallowed(void **state)
{
    (void)state;
    struct story *s = story_new(CPU_POLICY);
    uint32_t web = story_join(s, 0, "web-1", NULL);
    send(s, 1, web, 1, 0, NAN);
    send(s, 2, web, 2, 0, INFINITY);
    send(s, 3, web, 3, -1, 0.5);
    story_expect(s, "1.0 REJECT    web-1     a value is out of its range\n"
                    "2.0 REJECT    web-1     a value is out of its range\n"
                    "3.0 REJECT    web-1     a value is out of its range\n");
    struct event stranger = {.kind = EVENT_REPORT, .node = 9};
    story_event(s, 4, &stranger);
    struct event nowhere = {.kind = EVENT_REPORT, .node = 4000000000u};
    story_event(s, 4, &nowhere);
    story_saw(s, "no node has this number");
    story_end(s, 5, web, OUTCOME_DONE, true);
    story_saw(s, "no such command is waiting for its outcome");
    story_free(&s);
}

/* --- planner -------------------------------------------------------------------------------------------- */

static void propose(struct story *s, double at, uint64_t incident, enum remedy remedy)
{
    struct event event;
    memset(&event, 0, sizeof event);
    event.kind = EVENT_PROPOSAL;
    event.node = NO_INDEX;
    event.of.proposal.incident = incident;
    event.of.proposal.remedy = (uint8_t)remedy;
    story_event(s, at, &event);
}

static void test_a_planner_proposes_and_the_core_disposes(void **state)
{
    (void)state;
    struct story *s = story_new(CPU_POLICY "planner: {wait: 5s}\n");
    uint32_t web = story_join(s, 0, "web-1", NULL);
    story_reports(s, 1, 4, web, ILL);
    story_saw(s, "ASK       web-1     what should be done about cpu-high?");
    propose(s, 4.5, 1, REMEDY_FAILOVER_STORAGE);
    story_saw(s, "the policy does not allow this remedy here");
    assert_int_equal(s->commands, 0);
    propose(s, 5, 1, REMEDY_DRAIN_NODE);
    story_saw(s, "PLAN      web-1     drain_node: the planner's proposal, and it is on the ladder");
    assert_int_equal(s->commands, 1);
    propose(s, 5.5, 1, REMEDY_DRAIN_NODE);
    story_saw(s, "this incident is not waiting for that");
    story_free(&s);
}

static void test_a_silent_planner_is_replaced_at_its_deadline(void **state)
{
    (void)state;
    struct story *s = story_new(CPU_POLICY "planner: {wait: 5s}\n");
    uint32_t web = story_join(s, 0, "web-1", NULL);
    story_reports(s, 1, 8, web, ILL);
    assert_int_equal(s->commands, 0);
    story_report(s, 9, web, ILL);
    story_saw(s, "9.0 PLAN      web-1     restart_service: it is ill by itself");
    assert_int_equal(s->commands, 1);
    story_free(&s);
}

/* --- policy change -------------------------------------------------------------------------------------- */

static void test_a_reload_keeps_what_is_unchanged(void **state)
{
    (void)state;
    struct story *s = story_new(CPU_POLICY);
    uint32_t web = story_join(s, 0, "web-1", NULL);
    story_reports(s, 1, 3, web, ILL);
    story_policy(
        s, 3.5,
        "version: 1\ndetectors:\n  - {name: new, when: error_ratio > 0.5, do: page_human}\n" CPU_DETECTOR
        "playbooks:\n" CPU_PLAYBOOK);
    story_report(s, 4, web, ILL); /* `for` went on counting, although the detector moved to second place */
    story_saw(s, "4.0 DETECT    web-1     cpu above 90 %");
    story_free(&s);
}

static void test_a_detector_that_is_gone_closes_its_incident(void **state)
{
    (void)state;
    struct story *s = story_new(CPU_POLICY);
    uint32_t web = story_join(s, 0, "web-1", NULL);
    story_say(s, 0, OPERATOR_PAUSE, 0, REMEDY_NONE);
    story_reports(s, 1, 4, web, ILL);
    story_forget(s);
    story_policy(s, 5,
                 "version: 1\ndetectors:\n  - {name: other, when: error_ratio > 0.5, do: page_human}\n");
    story_expect(s,
                 "5.0 RESOLVED  web-1     closed: the policy does not watch for it any more  incident 1\n");
    story_reports(s, 6, 10, web, ILL);
    story_expect(s, "");
    story_free(&s);
}

static void test_a_detector_that_goes_while_its_command_runs(void **state)
{
    (void)state;
    struct story *s = story_new(CPU_POLICY);
    uint32_t web = story_join(s, 0, "web-1", NULL);
    story_reports(s, 1, 4, web, ILL);
    story_policy(s, 5,
                 "version: 1\ndetectors:\n  - {name: other, when: error_ratio > 0.5, do: page_human}\n");
    story_end(s, 6, web, OUTCOME_FAILED, true);
    story_report(s, 7, web, ILL);
    story_wait(s, 100);
    story_saw(s, "closed: the policy does not watch for it any more");
    assert_int_equal(core_disrupted(s->core), 0);
    story_free(&s);
}

/* --- restore and gap ------------------------------------------------------------------------------------ */

static void restore(struct story *s, double at, uint32_t node, const struct restore *what)
{
    struct event event;
    memset(&event, 0, sizeof event);
    event.kind = EVENT_RESTORE;
    event.node = node;
    event.of.restore = *what;
    story_event(s, at, &event);
}

static void restore_control(struct story *s, double at, const struct control *control)
{
    struct restore what;
    memset(&what, 0, sizeof what);
    what.kind = RESTORE_CONTROL;
    what.what.control = *control;
    what.what.control.epoch++;
    restore(s, at, NO_INDEX, &what);
}

static void restore_node(struct story *s, double at, uint32_t node, const char *name)
{
    struct restore what;
    memset(&what, 0, sizeof what);
    what.kind = RESTORE_NODE;
    text_copy(what.what.node.name, NODE_NAME_SIZE, name);
    what.what.node.interval_ns = SECOND;
    restore(s, at, node, &what);
}

static void test_a_command_in_flight_survives_a_restart_of_the_core(void **state)
{
    (void)state;
    struct story *before = story_new(CPU_POLICY);
    uint32_t web = story_join(before, 0, "web-1", NULL);
    story_reports(before, 1, 4, web, ILL);

    struct story *s = story_new(CPU_POLICY);
    struct restore what;
    restore_control(s, 10, core_control(before->core));
    restore_node(s, 10, web, "web-1");
    memset(&what, 0, sizeof what);
    what.kind = RESTORE_INCIDENT;
    what.what.incident = *core_incident(before->core, 1);
    restore(s, 10, web, &what);
    memset(&what, 0, sizeof what);
    what.kind = RESTORE_ACTION;
    what.what.action = (struct restored_action){.acted_at = 4 * SECOND, .ended_at = INSTANT_NONE};
    restore(s, 10, web, &what);
    assert_int_equal(core_disrupted(s->core), 1);

    s->command = before->command;
    s->sequence[web] = 100;
    s->nodes = 1;
    story_report(s, 11, web, ILL);
    assert_int_equal(s->commands, 0); /* one in flight per target, also across the restart */
    story_end(s, 11.1, web, OUTCOME_DONE, true);
    story_reports(s, 12, 17, web, WELL);
    story_saw(s, "RESOLVED  web-1     effective");
    assert_int_equal(core_control(s->core)->epoch, 2);

    story_reports(s, 18, 21, web, ILL); /* a new command has a higher id than every old one */
    story_saw(s, "its report is answered with drain_node");
    assert_true(s->command > before->command);
    story_free(&s);
    story_free(&before);
}

static void test_after_a_restart_nobody_is_dead_and_nobody_is_acted_on_at_once(void **state)
{
    (void)state;
    struct story *s = story_new(
        "version: 1\ndetectors:\n  - {name: silent, absent: 5s, do: page_human}\n"
        "  - {name: busy, when: cpu_utilization > 0.9, for: 0s, confirm: no, do: restart_service}\n");
    const struct control control = {.epoch = 1, .next_incident = 5, .next_command = 9};
    restore_control(s, 100, &control);
    restore_node(s, 100, 0, "web-1");
    s->nodes = 1;
    story_wait(s, 130);
    story_expect(s, ""); /* it was never heard of since: not part of the fleet */
    story_report(s, 130, 0, ILL);
    story_saw(s, "DETECT");
    assert_int_equal(s->commands, 1);
    story_free(&s);
}

static void test_a_gap_condemns_nobody(void **state)
{
    (void)state;
    struct story *s =
        story_new("version: 1\ndetectors:\n  - {name: silent, absent: 5s, do: page_human}\n" CPU_DETECTOR
                  "playbooks:\n" CPU_PLAYBOOK);
    uint32_t web = story_join(s, 0, "web-1", NULL);
    story_reports(s, 1, 4, web, ILL); /* a command is in flight when the machine goes to sleep */
    story_end(s, 4.1, web, OUTCOME_DONE, true);
    story_forget(s);
    /* The driver that wakes up an hour later says so before it runs any deadline. */
    struct event gap;
    memset(&gap, 0, sizeof gap);
    gap.kind = EVENT_GAP;
    gap.at = 3600 * SECOND;
    gap.of.gap.length_ns = 3595 * SECOND;
    struct effects effects;
    core_step(s->core, &gap, &effects);
    s->now = gap.at;
    story_wait(s, 3600);
    story_expect(s, "");
    story_reports(s, 3601, 3605, web, WELL);
    story_saw(s, "RESOLVED  web-1     effective");
    story_saw_not(s, "no report");
    story_free(&s);
}

static void test_after_a_gap_one_full_interval_must_pass(void **state)
{
    (void)state;
    struct story *s =
        story_new("version: 1\ndetectors:\n"
                  "  - {name: down, when: service_up < 1, for: 0s, confirm: no, do: restart_service}\n");
    uint32_t web = story_join(s, 0, "web-1", NULL);
    story_report(s, 1, web, "service=1");
    struct event gap;
    memset(&gap, 0, sizeof gap);
    gap.kind = EVENT_GAP;
    gap.of.gap.length_ns = 8 * SECOND;
    story_event(s, 3.5, &gap);
    story_report(s, 3.6, web, "service=0");
    assert_int_equal(s->commands, 0);
    assert_int_equal(core_incident(s->core, 1)->block, BLOCK_GRACE);
    story_report(s, 4.6, web, "service=0");
    assert_int_equal(s->commands, 1);
    story_free(&s);
}

/* --- bounds
 * -----------------------------------------------------------------------------------------------------------
 */

static void test_a_full_incident_table_says_so(void **state)
{
    (void)state;
    struct story *s = story_new_sized(CPU_POLICY, 4, 1);
    uint32_t a = story_join(s, 0, "a", NULL);
    uint32_t b = story_join(s, 0, "b", NULL);
    for (int t = 1; t <= 4; t++) {
        story_report(s, t, a, ILL);
        story_report(s, t, b, ILL);
    }
    story_saw(s, "REJECT    b         the incident table is full; the finding waits");
    story_free(&s);
}

static void test_many_findings_at_once_are_all_told(void **state)
{
    (void)state;
    char yaml[8192] = "version: 1\ndetectors:\n";
    for (int i = 0; i < DETECTOR_MAX; i++) {
        size_t n = strlen(yaml);
        snprintf(yaml + n, sizeof yaml - n,
                 "  - {name: d%d, when: cpu_utilization > 0.%02d, for: 0s, do: page_human}\n", i, i + 10);
    }
    struct story *s = story_new_sized(yaml, 4, 64);
    uint32_t web = story_join(s, 0, "web-1", NULL);
    story_report(s, 1, web, "cpu=0.99");
    for (uint64_t id = 1; id <= DETECTOR_MAX; id++) {
        assert_non_null(core_incident(s->core, id));
        assert_int_equal(core_incident(s->core, id)->state, INCIDENT_ESCALATED);
    }
    story_free(&s);
}

static void test_a_copied_core_goes_on_as_the_first_would(void **state)
{
    (void)state;
    struct story *s = story_new(CPU_POLICY);
    uint32_t web = story_join(s, 0, "web-1", NULL);
    story_reports(s, 1, 3, web, ILL);
    const struct core_config config = {.node_capacity = 16, .incident_capacity = 16};
    struct story *copy = story_new(CPU_POLICY);
    memcpy(copy->core, s->core, core_size(&config));
    copy->now = s->now;
    copy->sequence[web] = s->sequence[web];
    story_report(s, 4, web, ILL);
    story_report(copy, 4, web, ILL);
    assert_true(core_digest(s->core) == core_digest(copy->core));
    assert_int_equal(copy->commands, 1);
    story_free(&s);
    story_free(&copy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cpu_is_high_and_a_restart_helps),
        cmocka_unit_test(test_a_sample_a_few_milliseconds_early_does_not_cost_an_interval),
        cmocka_unit_test(test_a_single_good_sample_starts_for_anew),
        cmocka_unit_test(test_a_hole_of_more_than_two_intervals_starts_for_anew),
        cmocka_unit_test(test_a_missing_metric_neither_condemns_nor_resolves),
        cmocka_unit_test(test_between_clear_and_when_the_finding_stays),
        cmocka_unit_test(test_ineffective_takes_the_next_rung_and_then_people),
        cmocka_unit_test(test_silence_after_the_action_is_inconclusive),
        cmocka_unit_test(test_without_an_outcome_nothing_is_called_effective),
        cmocka_unit_test(test_a_late_outcome_is_still_taken),
        cmocka_unit_test(test_what_gets_worse_after_the_action_is_harm),
        cmocka_unit_test(test_what_was_already_under_way_is_not_our_harm),
        cmocka_unit_test(test_the_same_finding_soon_after_means_it_was_only_masked),
        cmocka_unit_test(test_the_same_finding_again_is_healed_once_more_and_then_told),
        cmocka_unit_test(test_a_figure_that_got_worse_is_not_praised),
        cmocka_unit_test(test_much_later_it_is_a_new_trouble),
        cmocka_unit_test(test_a_command_that_never_began_is_tried_again),
        cmocka_unit_test(test_a_command_that_failed_midway_takes_the_next_rung),
        cmocka_unit_test(test_silence_is_told_and_never_acted_on),
        cmocka_unit_test(test_goodbye_leaves_the_fleet_and_what_is_open_to_people),
        cmocka_unit_test(test_budget_lets_one_of_three_be_disrupted),
        cmocka_unit_test(test_cooldown_counts_from_the_end),
        cmocka_unit_test(test_attempts_used_up_are_told_to_people),
        cmocka_unit_test(test_dry_run_plans_and_does_nothing),
        cmocka_unit_test(test_approve_mode_waits_for_the_plan_that_was_shown),
        cmocka_unit_test(test_a_declined_plan_gives_way_to_the_next_rung),
        cmocka_unit_test(test_an_approval_does_not_outlive_the_evidence),
        cmocka_unit_test(test_pause_stops_and_resume_weighs_anew),
        cmocka_unit_test(test_one_metric_alone_is_told_and_a_second_witness_lets_it_act),
        cmocka_unit_test(test_breaker_latches_until_a_person_resets_it),
        cmocka_unit_test(test_a_sick_database_is_healed_at_the_database),
        cmocka_unit_test(test_a_caller_alone_is_healed_after_waiting_for_news),
        cmocka_unit_test(test_what_users_see_is_explained_by_a_local_cause_on_the_same_node),
        cmocka_unit_test(test_a_ring_of_calls_does_not_explain_itself_away),
        cmocka_unit_test(test_repeated_and_reordered_reports_are_not_evaluated),
        cmocka_unit_test(test_old_news_is_not_acted_on),
        cmocka_unit_test(test_wrong_values_are_refused_not_swallowed),
        cmocka_unit_test(test_a_planner_proposes_and_the_core_disposes),
        cmocka_unit_test(test_a_silent_planner_is_replaced_at_its_deadline),
        cmocka_unit_test(test_a_reload_keeps_what_is_unchanged),
        cmocka_unit_test(test_a_detector_that_is_gone_closes_its_incident),
        cmocka_unit_test(test_a_detector_that_goes_while_its_command_runs),
        cmocka_unit_test(test_a_command_in_flight_survives_a_restart_of_the_core),
        cmocka_unit_test(test_after_a_restart_nobody_is_dead_and_nobody_is_acted_on_at_once),
        cmocka_unit_test(test_a_gap_condemns_nobody),
        cmocka_unit_test(test_after_a_gap_one_full_interval_must_pass),
        cmocka_unit_test(test_a_full_incident_table_says_so),
        cmocka_unit_test(test_many_findings_at_once_are_all_told),
        cmocka_unit_test(test_a_copied_core_goes_on_as_the_first_would),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
