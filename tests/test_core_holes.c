/* Stories of holes that reviews have found in the guards, each of which fails without its mend. */
#include "guard_policies.h"
#include "story.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

/* As in test_core_guards.c, whether the guards let it be healed or not. */
static void heal(struct story *s, double t, uint32_t node, const char *ill)
{
    story_reports(s, t, t + 3, node, ill);
    story_end(s, t + 3.1, node, OUTCOME_DONE, true);
    story_reports(s, t + 4, t + 10, node, WELL);
}

static void test_what_a_person_knew_of_survives_a_restart_with_several_ill(void **state)
{
    (void)state;
    struct story *s = story_new(POLICY_WITH("rate: no, breaker: {unhealthy: 25%, at_least: 1}"));
    uint32_t n[4] = {story_join(s, 0, "a", NULL), story_join(s, 0, "b", NULL), story_join(s, 0, "c", NULL),
                     story_join(s, 0, "d", NULL)};
    for (int t = 1; t <= 6; t++)
        for (int i = 0; i < 4; i++)
            story_report(s, t + i * 0.1, n[i], i < 3 ? ILL : WELL);
    story_say(s, 6.5, OPERATOR_RESET, 0, REMEDY_NONE);
    story_restart(s, 7);
    assert_false(core_control(s->core)->breaker_open);
    story_free(&s);
}

static void test_a_full_table_and_many_findings_come_to_rest(void **state)
{
    (void)state;
    char yaml[8192] = "version: 1\ndetectors:\n";
    for (int i = 0; i < 14; i++)
        sprintf(yaml + strlen(yaml),
                "  - {name: d%d, when: cpu_utilization > 0.9%d and request_latency > %dms, for: 1s}\n", i,
                i % 5, 10 + i);
    struct story *s = story_new_sized(yaml, 4, 1);
    uint32_t web = story_join(s, 0, "web-1", NULL);
    story_reports(s, 1, 4, web, "cpu=0.99 latency=0.058");
    story_free(&s);
}

static void test_one_approval_is_one_command(void **state)
{
    (void)state;
    struct story *s = story_new(POLICY_WITH("recurrence: 1s") "mode: approve\n");
    uint32_t web = story_join(s, 0, "web-1", NULL);
    story_reports(s, 1, 6, web, ILL);
    story_approve(s, 6.5, 1, 1);
    for (int t = 7; t < 900; t++) {
        story_end(s, t, web, OUTCOME_REFUSED, false);
        story_report(s, t + 0.5, web, ILL);
        story_forget(s);
    }
    assert_true(s->commands <= 3);
    story_free(&s);
}

static void test_the_same_approval_twice_is_for_no_plan(void **state)
{
    (void)state;
    struct story *s = story_new("version: 1\ndetectors:\n" CPU_HIGH
                                "playbooks:\n  - {on: cpu-high, steps: [{do: restart_service, settle: 1s, "
                                "within: 20s}]}\nguards: {rate: no}\nmode: approve\n");
    uint32_t web = story_join(s, 0, "web-1", NULL);
    story_reports(s, 1, 6, web, ILL);
    story_approve(s, 6.5, 1, 1);
    story_end(s, 7, web, OUTCOME_DONE, true);
    story_reports(s, 7.5, 40, web, ILL);
    story_approve(s, 41, 1, 1); /* the same word once more */
    assert_int_equal(s->commands, 1);
    story_free(&s);
}

static void test_an_approval_after_its_time_is_refused(void **state)
{
    (void)state;
    struct story *s = story_new(POLICY_WITH("rate: no, recurrence: 1s, approval: 30s") "mode: approve\n");
    uint32_t web = story_join(s, 0, "web-1", NULL);
    story_reports(s, 1, 4, web, ILL);
    story_approve(s, 3000, 1, 1); /* shown until 34 */
    story_reports(s, 3001, 3010, web, ILL);
    assert_int_equal(s->commands, 0);
    story_free(&s);
}

static void test_a_callee_silent_for_long_explains_nobody(void **state)
{
    (void)state;
    struct story *s = story_new("version: 1\ndetectors:\n  - {name: slow, when: request_latency > 50ms and "
                                "error_ratio > 0.1, for: 1s, confirm: no}\n"
                                "playbooks:\n  - {on: slow, steps: [{do: restart_service}]}\n");
    uint32_t db = story_join(s, 0, "db", NULL);
    story_report(s, 0, db, WELL);
    uint32_t web = story_join(s, 0, "web-1", "db");
    story_reports(s, 100, 86400, web, "latency=0.09 errors=0.5");
    assert_true(s->commands > 0);
    story_free(&s);
}

static void test_a_callee_that_nobody_may_heal_does_not_explain_for_ever(void **state)
{
    (void)state;
    struct story *s = story_new("version: 1\ndetectors:\n  - {name: slow, when: request_latency > 50ms and "
                                "error_ratio > 0.1, for: 1s, confirm: no}\n"
                                "  - {name: hot, when: cpu_utilization > 0.9, for: 3s}\n"
                                "playbooks:\n  - {on: slow, steps: [{do: restart_service}]}\n  - {on: hot, "
                                "steps: [{do: restart_service}]}\n");
    uint32_t db = story_join(s, 0, "db", NULL);
    uint32_t web = story_join(s, 0, "web-1", "db");
    for (int t = 1; t < 86400; t++) {
        story_report(s, t, db, "cpu=0.97 latency=0.001");
        story_report(s, t + 0.5, web, t < 100 ? "latency=0.001 errors=0" : "latency=0.09 errors=0.5");
    }
    assert_true(s->commands > 0);
    story_free(&s);
}

static void test_swapping_two_rules_hands_over_no_actions(void **state)
{
    (void)state;
#define TWO(a, b)                                                                                            \
    "version: 1\ndetectors:\n"                                                                               \
    "  - {name: x, when: cpu_utilization > " a                                                               \
    " and request_latency > 20ms, for: 3s, clear: cpu_utilization < 0.70, healthy_for: 3s}\n"                \
    "  - {name: y, when: cpu_utilization > " b                                                               \
    " and request_latency > 20ms, for: 3s, clear: cpu_utilization < 0.70, healthy_for: 3s}\n"                \
    "playbooks:\n  - {on: x, steps: [{do: restart_service, settle: 1s, within: 20s}]}\n"                     \
    "guards: {" FREE FREE_TARGET "rate: {fleet: no, target: no, rule: {per: 10m, max: 1}}}\n"
    struct story *s = story_new(TWO("0.90", "0.98"));
    uint32_t web = story_join(s, 0, "web-1", NULL);
    heal(s, 1, web, ILL);
    story_policy(s, 40, TWO("0.98", "0.90"));
    heal(s, 41, web, "cpu=0.99 latency=0.058");
    assert_int_equal(s->commands, 1);
    story_free(&s);
}

#define ONE(name, a)                                                                                         \
    "version: 1\ndetectors:\n"                                                                               \
    "  - {name: " name ", when: cpu_utilization > " a                                                        \
    " and request_latency > 20ms, for: 3s, clear: cpu_utilization < 0.70, healthy_for: 3s}\n"                \
    "playbooks:\n  - {on: " name ", steps: [{do: restart_service, settle: 1s, within: 20s}]}\n"              \
    "guards: {" FREE FREE_TARGET "rate: {fleet: no, target: no, rule: {per: 10m, max: 1}}}\n"

static void test_a_restart_in_flight_keeps_what_the_command_counts_for(void **state)
{
    (void)state;
    struct story *s = story_new(ONE("a", "0.90"));
    uint32_t web = story_join(s, 0, "web-1", NULL);
    story_reports(s, 1, 4, web, ILL);
    assert_int_equal(s->commands, 1);
    story_restart(s, 4.5);
    story_end(s, 5, web, OUTCOME_DONE, true); /* the row is written anew, meaning 0 */
    story_reports(s, 6, 20, web, WELL);
    story_restart(s, 25);
    story_policy(s, 26, ONE("b", "0.90"));
    story_reports(s, 27, 30, web, WELL);
    story_restart(s, 31);
    story_reports(s, 32, 35, web, WELL);
    heal(s, 40, web, ILL);
    assert_int_equal(s->commands, 1);
    story_free(&s);
}

static void test_a_window_that_is_taken_away_counts_silent_nodes_again(void **state)
{
    (void)state;
#define W(w) "version: 1\ndetectors:\n" CPU_HIGH "guards: {breaker: {unhealthy: 55%, at_least: 3}" w "}\n"
    struct story *s = story_new(
        W(", maintenance: [{nodes: rack-*, from: 1970-01-01T00:00:00Z, until: 1970-01-01T10:00:00Z}]"));
    for (int i = 0; i < 4; i++) {
        char name[] = {'r', 'a', 'c', 'k', '-', (char)('0' + i), '\0'};
        story_report(s, 1, story_join(s, 0, name, NULL), WELL);
    }
    uint32_t web = story_join(s, 1, "web-1", NULL);
    story_reports(s, 2, 59, web, WELL);
    story_policy(s, 60, W(""));
    story_reports(s, 61, 7200, web, WELL);
    assert_true(core_control(s->core)->breaker_open);
    story_free(&s);
}

static void test_a_window_over_silent_nodes_takes_them_out_of_the_breaker(void **state)
{
    (void)state;
    struct story *s = story_new(
        W(", maintenance: [{nodes: rack-*, from: 1970-01-01T00:01:00Z, until: 1970-01-01T10:00:00Z}]"));
    for (int i = 0; i < 2; i++) {
        char name[] = {'r', 'a', 'c', 'k', '-', (char)('0' + i), '\0'};
        story_report(s, 1, story_join(s, 0, name, NULL), WELL);
    }
    uint32_t web = story_join(s, 1, "web-1", NULL);
    story_reports(s, 2, 600, web, WELL);
    assert_int_equal(core_unhealthy(s->core), 0);
    story_free(&s);
}

static void goodbye(struct story *s, double at, uint32_t node)
{
    struct event e;
    memset(&e, 0, sizeof e);
    e.kind = EVENT_GOODBYE;
    e.node = node;
    story_event(s, at, &e);
}
static void test_approving_for_a_node_that_has_left_is_refused(void **state)
{
    (void)state;
    struct story *s = story_new("version: 1\ndetectors:\n" CPU_HIGH
                                "playbooks:\n  - {on: cpu-high, steps: [{do: restart_service, settle: 1s, "
                                "within: 20s}]}\nguards: {rate: no}\nmode: approve\n");
    uint32_t web = story_join(s, 0, "web-1", NULL);
    story_reports(s, 1, 6, web, ILL);
    goodbye(s, 6.2, web);
    story_approve(s, 6.5, 1, 1);
    assert_int_equal(s->commands, 0);
    story_free(&s);
}
static void test_approving_long_after_a_node_has_left_leaves_nothing_behind(void **state)
{
    (void)state;
    struct story *s = story_new("version: 1\ndetectors:\n" CPU_HIGH
                                "playbooks:\n  - {on: cpu-high, steps: [{do: restart_service, settle: 1s, "
                                "within: 20s}]}\nguards: {rate: no}\nmode: approve\n");
    uint32_t web = story_join(s, 0, "web-1", NULL);
    story_reports(s, 1, 6, web, ILL);
    goodbye(s, 6.2, web);
    story_approve(s, 60, 1, 1);
    story_wait(s, 86400);
    const struct incident *i = core_incident(s->core, 1);
    assert_true(i == NULL || i->state == INCIDENT_ESCALATED);
    story_free(&s);
}
static void test_what_people_had_of_a_node_that_left_is_forgotten(void **state)
{
    (void)state;
    struct story *s =
        story_new("version: 1\ndetectors:\n" CPU_HIGH
                  "playbooks:\n  - {on: cpu-high, steps: [{do: page_human}]}\nguards: {rate: no}\n");
    uint32_t web = story_join(s, 0, "web-1", NULL);
    story_reports(s, 1, 6, web, ILL);
    goodbye(s, 6.2, web);
    story_wait(s, 86400);
    assert_null(core_incident(s->core, 1));
    story_free(&s);
}
static void test_nodes_of_old_do_not_count_for_the_breaker(void **state)
{
    (void)state;
    struct story *s =
        story_new("version: 1\ndetectors:\n" CPU_HIGH
                  "playbooks:\n  - {on: cpu-high, steps: [{do: page_human}]}\nguards: {rate: no}\n");
    struct event e;
    struct effects out;
    memset(&e, 0, sizeof e);
    e.kind = EVENT_RESTORE;
    e.node = NO_INDEX;
    e.of.restore.kind = RESTORE_CONTROL;
    e.of.restore.what.control = (struct control){.epoch = 2, .next_incident = 10, .next_command = 1};
    core_step(s->core, &e, &out);
    for (uint32_t n = 0; n < 3; n++) {
        memset(&e, 0, sizeof e);
        e.kind = EVENT_RESTORE;
        e.node = n;
        e.of.restore.kind = RESTORE_NODE;
        snprintf(e.of.restore.what.node.name, 64, "old-%u", n);
        core_step(s->core, &e, &out);
    }
    s->nodes = 3;
    uint32_t web = story_join(s, 0, "web-1", NULL);
    story_join(s, 0, "web-2", NULL);
    for (uint32_t n = 0; n < 3; n++) {
        memset(&e, 0, sizeof e);
        e.kind = EVENT_RESTORE;
        e.node = n;
        e.of.restore.kind = RESTORE_INCIDENT;
        struct incident *i = &e.of.restore.what.incident;
        i->id = n + 1;
        i->node = n;
        strcpy(i->detector_name, "cpu-high");
        i->state = INCIDENT_ESCALATED;
        i->why = WHY_UNWATCHED;
        i->local_cause = 1;
        i->remedy = REMEDY_NONE;
        i->closed_at = i->hold_until = INSTANT_NONE;
        core_step(s->core, &e, &out);
    }
    story_reports(s, 1, 6, web, WELL);
    assert_false(core_control(s->core)->breaker_open);
    story_free(&s);
}
static void test_two_bad_samples_an_hour_apart_are_no_run(void **state)
{
    (void)state;
    struct story *s = story_new(POLICY_WITH("rate: no"));
    uint32_t web = story_join(s, 0, "web-1", NULL);
    story_report(s, 1, web, ILL);
    story_reports(s, 2, 3600, web, "storage=0.001");
    story_report(s, 3601, web, ILL);
    assert_int_equal(s->commands, 0);
    story_free(&s);
}
static void test_what_is_not_seen_any_more_does_not_look_well(void **state)
{
    (void)state;
    struct story *s = story_new(POLICY_WITH("rate: no"));
    uint32_t web = story_join(s, 0, "web-1", NULL);
    story_say(s, 0.5, OPERATOR_PAUSE, 0, REMEDY_NONE);
    story_reports(s, 1, 6, web, ILL);
    story_report(s, 7, web, WELL);
    story_say(s, 7.5, OPERATOR_RESUME, 0, REMEDY_NONE);
    story_reports(s, 8, 86400, web, "latency=0.058"); /* cpu is missing from here on */
    const struct incident *i = core_incident(s->core, 1);
    assert_true(i->block != BLOCK_CLEARING);
    story_free(&s);
}
static void test_a_slow_loop_comes_to_people(void **state)
{
    (void)state;
    struct story *s = story_new(POLICY_WITH(""));
    uint32_t web = story_join(s, 0, "web-1", NULL);
    double t = 1;
    uint32_t told = 0;
    while (t < 86400) {
        uint32_t before = s->commands;
        for (int k = 0; k < 30 && s->commands == before; k++) {
            story_report(s, t, web, ILL);
            t += 1;
        }
        if (s->commands > before)
            story_end(s, t - 0.5, web, OUTCOME_DONE, true);
        story_reports(s, t, t + 640, web, WELL);
        t += 641;
        told += strstr(s->log, "PEOPLE") != NULL;
        story_forget(s);
    }
    assert_true(s->commands <= 6 || told > 0);
    story_free(&s);
}
static void test_saying_hello_again_and_again_is_no_sign_of_life(void **state)
{
    (void)state;
    struct story *s = story_new("version: 1\ndetectors:\n  - {name: silent, absent: 5s}\n");
    uint32_t web = story_join(s, 0, "web-1", NULL);
    story_report(s, 1, web, WELL);
    for (int t = 2; t < 3600; t += 2) {
        struct event e;
        memset(&e, 0, sizeof e);
        e.kind = EVENT_HELLO;
        e.node = web;
        e.of.hello = (struct hello){.name = "web-1", .boot = 7 + (uint64_t)t, .interval_ns = SECOND};
        story_event(s, t, &e);
    }
    assert_int_equal(core_node_health(s->core, web), HEALTH_SILENT);
    story_free(&s);
}
static void test_any_number_of_overtaking_reports_is_taken(void **state)
{
    (void)state;
    struct story *s = story_new(POLICY_WITH("rate: no"));
    uint32_t web = story_join(s, 0, "web-1", NULL);
    story_report(s, 1, web, WELL);
    struct effects out;
    for (uint64_t q = 9; q > 2; q--) {
        struct event e;
        memset(&e, 0, sizeof e);
        e.kind = EVENT_REPORT;
        e.node = web;
        e.at = s->now;
        e.of.report.boot = 7;
        e.of.report.sequence = q;
        core_step(s->core, &e, &out);
    }
    for (uint64_t q = 12; q < 20; q++) {
        struct event e;
        memset(&e, 0, sizeof e);
        e.kind = EVENT_REPORT;
        e.node = web;
        e.at = s->now;
        e.of.report.boot = 7;
        e.of.report.sequence = q;
        core_step(s->core, &e, &out);
    }
    story_wait(s, 20);
    story_free(&s);
}

/* Without an age of its own an overtaken report would be dated by its coming, later than what overtook it,
 * and pass for a fresh sample after the command's end. */
static void test_what_was_overtaken_is_no_younger_than_what_overtook_it(void **state)
{
    (void)state;
    struct story *s =
        story_new("version: 1\ndetectors:\n  - {name: hot, when: cpu_utilization > 0.9, for: 1s, "
                  "clear: cpu_utilization < 0.7, healthy_for: 1s, confirm: no}\n"
                  "playbooks:\n  - {on: hot, steps: [{do: restart_service, settle: 1s, within: 20s}]}\n");
    uint32_t web = story_join(s, 0, "web-1", NULL);
    story_reports(s, 1, 10, web, ILL);
    story_end(s, 10.1, web, OUTCOME_DONE, true); /* samples count from 11.1 on */
    s->sequence[web] += 1;
    story_report(s, 10.6, web, WELL); /* the second after it has overtaken ... */
    s->sequence[web] -= 2;
    story_report(s, 11.6, web, WELL); /* ... the first, which comes now and was taken before that */
    s->sequence[web] += 1;
    story_report(s, 12.2, web, WELL);
    story_report(s, 12.7, web, WELL);
    story_saw_not(s, "RESOLVED");
    story_report(s, 13.7, web, WELL);
    story_saw(s, "13.7 RESOLVED");
    story_free(&s);
}

static const char two_rules[] =
    "version: 1\ndetectors:\n"
    "  - {name: late, when: cpu_utilization > 0.5, for: 5s}\n"
    "  - {name: soon, when: cpu_utilization > 0.9, for: 1s, confirm: no}\n"
    "playbooks:\n"
    "  - {on: soon, steps: [{do: restart_service, settle: 1s, within: 8s}, {do: restart_service, settle: 1s, "
    "within: 8s}]}\n"
    "guards: {per_target: {cooldown: 0s, backoff: no}, recurrence: 1s}\n";

/* `late` finds no room, and stands before `soon` in the policy. */
static void test_a_finding_without_room_does_not_stop_the_others(void **state)
{
    (void)state;
    struct story *s = story_new_sized(two_rules, 4, 1);
    uint32_t web = story_join(s, 0, "web-1", NULL);
    story_reports(s, 1, 3, web, "cpu=0.99 latency=0.058");
    story_end(s, 3.5, web, OUTCOME_DONE, true);
    story_reports(s, 4, 30, web, "cpu=0.99 latency=0.058");
    assert_int_equal(s->commands, 2);
    story_free(&s);
}

/* A running core forgets what got well by itself; a restored one must not keep it in the place of what is
 * open.
 */
static void test_what_got_well_by_itself_takes_no_room_after_a_restart(void **state)
{
    (void)state;
    struct story *s =
        story_new_sized("version: 1\nrules: [{if: cpu_utilization > 0.9, for: 1s, do: page_human}]\n", 4, 2);
    uint32_t web = story_join(s, 0, "web-1", NULL);
    for (int i = 0; i < 3; i++) {
        story_reports(s, 1 + 20 * i, 3 + 20 * i, web, ILL);
        story_reports(s, 4 + 20 * i, 15 + 20 * i, web, WELL);
    }
    story_reports(s, 70, 73, web, ILL);
    assert_non_null(core_incident(s->core, 4));
    story_restart(s, 74);
    assert_non_null(core_incident(s->core, 4));
    story_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_a_person_knew_of_survives_a_restart_with_several_ill),
        cmocka_unit_test(test_a_full_table_and_many_findings_come_to_rest),
        cmocka_unit_test(test_one_approval_is_one_command),
        cmocka_unit_test(test_the_same_approval_twice_is_for_no_plan),
        cmocka_unit_test(test_an_approval_after_its_time_is_refused),
        cmocka_unit_test(test_a_callee_silent_for_long_explains_nobody),
        cmocka_unit_test(test_a_callee_that_nobody_may_heal_does_not_explain_for_ever),
        cmocka_unit_test(test_swapping_two_rules_hands_over_no_actions),
        cmocka_unit_test(test_a_restart_in_flight_keeps_what_the_command_counts_for),
        cmocka_unit_test(test_a_window_that_is_taken_away_counts_silent_nodes_again),
        cmocka_unit_test(test_a_window_over_silent_nodes_takes_them_out_of_the_breaker),
        cmocka_unit_test(test_approving_for_a_node_that_has_left_is_refused),
        cmocka_unit_test(test_approving_long_after_a_node_has_left_leaves_nothing_behind),
        cmocka_unit_test(test_what_people_had_of_a_node_that_left_is_forgotten),
        cmocka_unit_test(test_nodes_of_old_do_not_count_for_the_breaker),
        cmocka_unit_test(test_two_bad_samples_an_hour_apart_are_no_run),
        cmocka_unit_test(test_what_is_not_seen_any_more_does_not_look_well),
        cmocka_unit_test(test_a_slow_loop_comes_to_people),
        cmocka_unit_test(test_saying_hello_again_and_again_is_no_sign_of_life),
        cmocka_unit_test(test_any_number_of_overtaking_reports_is_taken),
        cmocka_unit_test(test_what_was_overtaken_is_no_younger_than_what_overtook_it),
        cmocka_unit_test(test_a_finding_without_room_does_not_stop_the_others),
        cmocka_unit_test(test_what_got_well_by_itself_takes_no_room_after_a_restart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
