/* Stories about guards: each stops what it should, for as long as it should, and does not forget when the
 * control plane is restarted, the policy reloaded or a rule renamed. docs/guards.md says which story proves
 * which guard. */
#include "guard_policies.h"
#include "story.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

/* One illness that is healed at once: from `t` on 3 s ill, a restart, and well again; over at t + 10. */
static void heal(struct story *s, double t, uint32_t node, const char *ill)
{
    uint32_t before = s->commands;
    story_reports(s, t, t + 3, node, ill);
    assert_int_equal(s->commands, before + 1);
    story_end(s, t + 3.1, node, OUTCOME_DONE, true);
    story_reports(s, t + 4, t + 10, node, WELL);
}

/* The same illness, and nothing is done about it. */
static void suffer(struct story *s, double t, uint32_t node, const char *ill, enum block_reason reason)
{
    uint32_t before = s->commands, told = story_blocked(s, reason);
    story_reports(s, t, t + 3, node, ill);
    assert_int_equal(s->commands, before);
    assert_true(story_blocked(s, reason) > told);
    story_reports(s, t + 4, t + 10, node, WELL);
    assert_int_equal(s->commands, before);
}

/* --- rates ---------------------------------------------------------------------------------------------- */

static void test_a_target_gets_so_many_actions_and_no_more(void **state)
{
    (void)state;
    struct story *s =
        story_new(POLICY_WITH(FREE FREE_TARGET "rate: {fleet: no, target: {per: 100s, max: 2}}"));
    uint32_t web = story_join(s, 0, "web-1", NULL), api = story_join(s, 0, "api-1", NULL);
    heal(s, 1, web, ILL);   /* acted at 4 */
    heal(s, 21, web, SLOW); /* ... and at 24: another rule, the same target */
    suffer(s, 41, web, ILL, BLOCK_RATE_TARGET);
    heal(s, 61, api, ILL);                         /* another target has its own count */
    suffer(s, 100.5, web, ILL, BLOCK_RATE_TARGET); /* acts at 103.5 at the earliest: within 100 s of 4 */
    heal(s, 121, web, ILL);                        /* one of the two is out of the window by now */
    story_free(&s);
}

static void test_a_rule_gets_so_many_actions_over_all_nodes(void **state)
{
    (void)state;
    struct story *s =
        story_new(POLICY_WITH(FREE FREE_TARGET "rate: {fleet: no, target: no, rule: {per: 1m, max: 1}}"));
    uint32_t web = story_join(s, 0, "web-1", NULL), api = story_join(s, 0, "api-1", NULL);
    heal(s, 1, web, ILL);
    suffer(s, 21, api, ILL, BLOCK_RATE_RULE);
    heal(s, 41, api, SLOW); /* another rule */
    heal(s, 62, api, ILL);  /* acts at 65, a minute after 4 */
    story_free(&s);
}

static void test_a_kind_of_remedy_gets_so_many_actions(void **state)
{
    (void)state;
    struct story *s =
        story_new(POLICY_WITH(FREE FREE_TARGET "rate: {fleet: no, target: no, kind: {per: 1m, max: 1}}"));
    uint32_t web = story_join(s, 0, "web-1", NULL), api = story_join(s, 0, "api-1", NULL);
    heal(s, 1, web, ILL);
    suffer(s, 21, api, ILL, BLOCK_RATE_KIND);
    heal(s, 41, api, SLOW); /* failover_storage is another kind */
    story_free(&s);
}

static void test_the_fleet_gets_so_many_actions(void **state)
{
    (void)state;
    struct story *s = story_new(POLICY_WITH(FREE FREE_TARGET "rate: {per: 1m, max: 2}"));
    uint32_t web = story_join(s, 0, "web-1", NULL), api = story_join(s, 0, "api-1", NULL),
             db = story_join(s, 0, "db-1", NULL);
    heal(s, 1, web, ILL);
    heal(s, 15, api, SLOW);
    suffer(s, 30, db, ILL, BLOCK_RATE_FLEET);
    heal(s, 62, db, ILL);
    story_free(&s);
}

static const char rule_policy[] =
    POLICY_WITH(FREE FREE_TARGET "rate: {fleet: no, target: no, rule: {per: 10m, max: 2}}");

static void test_a_restart_forgets_no_rate(void **state)
{
    (void)state;
    struct story *s = story_new(rule_policy);
    uint32_t web = story_join(s, 0, "web-1", NULL), api = story_join(s, 0, "api-1", NULL);
    heal(s, 1, web, ILL);
    story_restart(s, 20);
    story_reports(s, 20, 25, web, WELL); /* the grace after our absence */
    heal(s, 30, web, ILL);
    story_restart(s, 50);
    story_reports(s, 50, 55, api, WELL);
    suffer(s, 60, api, ILL, BLOCK_RATE_RULE);
    heal(s, 605, api, ILL);
    story_free(&s);
}

static void test_another_name_for_a_rule_forgets_no_rate(void **state)
{
    (void)state;
    static const char renamed[] =
        "version: 1\ndetectors:\n"
        "  - {name: hot, when: cpu_utilization > 0.90 and request_latency > 20ms, for: 3s, clear: "
        "cpu_utilization < 0.70, healthy_for: 3s}\n"
        "playbooks:\n  - {on: hot, steps: [{do: restart_service, settle: 1s, within: 20s}]}\n"
        "guards: {" FREE FREE_TARGET "rate: {fleet: no, target: no, rule: {per: 10m, max: 2}}}\n";
    struct story *s = story_new(rule_policy);
    uint32_t web = story_join(s, 0, "web-1", NULL);
    heal(s, 1, web, ILL);
    heal(s, 21, web, ILL);
    story_policy(s, 40, renamed);
    suffer(s, 41, web, ILL, BLOCK_RATE_RULE);
    story_restart(s, 60);
    story_reports(s, 60, 65, web, WELL);
    suffer(s, 70, web, ILL, BLOCK_RATE_RULE);
    char lower[sizeof renamed];
    memcpy(lower, renamed, sizeof renamed);
    memcpy(strstr(lower, "0.90"), "0.80", 4); /* a new name first, and then a new threshold */
    story_policy(s, 90, lower);
    suffer(s, 91, web, ILL, BLOCK_RATE_RULE);
    story_free(&s);
}

/* Safety S6, with actions wherever a seed puts them: no window of the length holds more than the limit, over
 * restarts and reloads. */
static void test_no_sliding_window_ever_holds_more_than_its_limit(void **state)
{
    (void)state;
    struct story *s =
        story_new(POLICY_WITH(FREE FREE_TARGET "rate: {fleet: {per: 120s, max: 3}, target: no}"));
    uint32_t node[3] = {story_join(s, 0, "a", NULL), story_join(s, 0, "b", NULL),
                        story_join(s, 0, "c", NULL)};
    double acted[512], t = 1;
    uint32_t count = 0;
    uint64_t seed = 42;
    for (int round = 0; round < 300 && count < 500; round++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        uint32_t drawn = (uint32_t)(seed >> 40);
        uint32_t before = s->commands;
        story_reports(s, t, t + 3, node[drawn % 3], ILL);
        if (s->commands > before) {
            acted[count++] = t + 3;
            story_end(s, t + 3.1, node[drawn % 3], OUTCOME_DONE, true);
        }
        story_reports(s, t + 4, t + 10, node[drawn % 3], WELL);
        t += 11 + drawn / 3 % 40;
        if (drawn % 17 == 0) {
            story_restart(s, t);
            for (uint32_t n = 0; n < 3; n++) {
                story_reports(s, t + 1, t + 3, node[n], WELL);
            }
            t += 4;
        } else if (drawn % 13 == 0) {
            story_policy(s, t,
                         POLICY_WITH(FREE FREE_TARGET "rate: {fleet: {per: 120s, max: 3}, target: no}"));
        }
        story_forget(s);
    }
    assert_true(count > 100);
    for (uint32_t i = 3; i < count; i++) {
        assert_true(acted[i] - acted[i - 3] >= 120);
    }
    assert_true(story_blocked(s, BLOCK_RATE_FLEET) > 10);
    story_free(&s);
}

/* --- back-off ------------------------------------------------------------------------------------------- */

#define BACKOFF_POLICY                                                                                       \
    POLICY_WITH(FREE                                                                                         \
                "per_target: {cooldown: 0s, attempts: {max: 16, within: 1s}, backoff: {base: 20s, cap: "     \
                "100s, reset: 10m}}, rate: no")

/* Ill from `t` until a command comes; answers how long after `since` it came. The node is well again ten
 * seconds later. */
static double wait_for_command(struct story *s, double *t, uint32_t node, double since)
{
    uint32_t before = s->commands;
    while (s->commands == before) {
        story_report(s, *t, node, ILL);
        *t += 1;
        assert_true(*t - since < 3600);
    }
    double waited = *t - 1 - since;
    story_end(s, *t - 0.9, node, OUTCOME_DONE, true);
    story_reports(s, *t, *t + 8, node, WELL);
    *t += 9;
    story_forget(s);
    return waited;
}

/* When the node's last action ended, that is when its verification did. */
static double ended(const struct story *s, uint32_t node)
{
    return duration_seconds(core_target(s->core, node)->ended_at);
}

static void test_each_action_makes_the_next_one_wait_longer(void **state)
{
    (void)state;
    struct story *s = story_new(BACKOFF_POLICY);
    uint32_t web = story_join(s, 0, "web-1", NULL);
    double t = 1;
    assert_true(wait_for_command(s, &t, web, 1) <= 3); /* the first one waits for nothing */
    static const double longest[] = {20, 40, 80, 100, 100};
    for (int i = 0; i < 5; i++) {
        double waited = wait_for_command(s, &t, web, ended(s, web));
        assert_true(waited >= 0.8 * longest[i] && waited <= longest[i] + 2); /* samples come once a second */
    }
    assert_true(story_blocked(s, BLOCK_BACKOFF) >= 5);
    story_free(&s);
}

static void test_a_long_time_of_health_ends_the_back_off(void **state)
{
    (void)state;
    struct story *s = story_new(BACKOFF_POLICY);
    uint32_t web = story_join(s, 0, "web-1", NULL);
    double t = 1;
    for (int i = 0; i < 4; i++) {
        wait_for_command(s, &t, web, t);
    }
    assert_int_equal(core_target(s->core, web)->streak, 4);
    story_reports(s, t, t + 580, web, WELL); /* not quite ten minutes */
    t += 581;
    assert_true(wait_for_command(s, &t, web, t) <= 4);      /* the wait itself is over by then ... */
    assert_int_equal(core_target(s->core, web)->streak, 5); /* ... but it still counts */
    story_reports(s, t, t + 610, web, WELL);
    t += 611;
    wait_for_command(s, &t, web, t);
    assert_int_equal(core_target(s->core, web)->streak, 1);
    story_free(&s);
}

static void test_a_restart_does_not_shorten_the_back_off(void **state)
{
    (void)state;
    struct story *straight = story_new(BACKOFF_POLICY), *restarted = story_new(BACKOFF_POLICY);
    struct story *both[] = {straight, restarted};
    double waited[2] = {0, 0};
    for (int i = 0; i < 2; i++) {
        struct story *s = both[i];
        uint32_t web = story_join(s, 0, "web-1", NULL);
        double t = 1;
        for (int k = 0; k < 3; k++) {
            wait_for_command(s, &t, web, t);
        }
        double since = ended(s, web);
        if (i == 1) {
            story_restart(s, t);
            assert_int_equal(core_target(s->core, web)->streak, 3);
        }
        waited[i] = wait_for_command(s, &t, web, since);
    }
    assert_true(waited[0] >= 64);
    assert_true(waited[0] == waited[1]); /* the jitter is drawn from seed, node and streak: the same again */
    story_free(&straight);
    story_free(&restarted);
}

static void test_targets_that_fell_ill_together_do_not_come_back_together(void **state)
{
    (void)state;
    struct story *s = story_new(BACKOFF_POLICY);
    double waited[6];
    int distinct = 0;
    for (int i = 0; i < 6; i++) {
        char name[] = {'n', (char)('0' + i), '\0'};
        uint32_t node = story_join(s, 0, name, NULL);
        double t = duration_seconds(s->now) + 1;
        for (int k = 0; k < 4; k++) {
            wait_for_command(s, &t, node, t);
        }
        waited[i] = wait_for_command(s, &t, node, ended(s, node));
        bool seen = false;
        for (int k = 0; k < i; k++) {
            seen = seen || waited[k] == waited[i];
        }
        distinct += !seen;
    }
    assert_true(distinct >= 3);
    story_free(&s);
}

/* --- flapping ------------------------------------------------------------------------------------------- */

#define FLAPPING_POLICY                                                                                      \
    POLICY_WITH("max_disrupted: 100%, recurrence: 1s, rate: no, flapping: {changes: 6, within: 5m}, "        \
                "per_target: {cooldown: 5m, attempts: {max: 16, within: 1s}, backoff: no}")

static void test_a_flapping_target_is_left_to_people(void **state)
{
    (void)state;
    struct story *s = story_new(FLAPPING_POLICY);
    uint32_t web = story_join(s, 0, "web-1", NULL);
    s->verbose = true;
    heal(s, 1, web, ILL);                    /* ill at 4, well at about 8: two changes */
    suffer(s, 21, web, ILL, BLOCK_COOLDOWN); /* four */
    suffer(s, 41, web, ILL, BLOCK_COOLDOWN); /* the fifth, and the sixth at its end */
    story_forget(s);
    suffer(s, 61, web, ILL, BLOCK_FLAPPING);
    story_saw(s, "NOTIFY    web-1     cpu above 90 % and latency above 20 ms for 3 s; it turns ill and well");
    assert_true(core_target(s->core, web)->flapping);
    story_restart(s, 80);
    assert_true(core_target(s->core, web)->flapping);
    story_reports(s, 81, 400, web, WELL);
    assert_false(core_target(s->core, web)->flapping); /* fewer than three changes in the last five minutes */
    heal(s, 401, web, ILL);
    story_free(&s);
}

/* Whoever is ill when the control plane is started anew was ill before: nothing turned. */
static void test_a_restart_makes_nobody_flap(void **state)
{
    (void)state;
    struct story *s = story_new(FLAPPING_POLICY);
    uint32_t web = story_join(s, 0, "web-1", NULL);
    heal(s, 1, web, ILL);
    suffer(s, 21, web, ILL, BLOCK_COOLDOWN);
    story_reports(s, 41, 46, web, ILL); /* the fifth change */
    for (int i = 0; i < 4; i++) {
        story_restart(s, 47 + 5 * i);
        story_reports(s, 48 + 5 * i, 51 + 5 * i, web, ILL);
        assert_false(core_target(s->core, web)->flapping);
    }
    story_free(&s);
}

/* --- maintenance ---------------------------------------------------------------------------------------- */

#define WINDOW_POLICY                                                                                        \
    POLICY_WITH("max_disrupted: 100%, rate: no, maintenance: [{nodes: web-*, from: 1970-01-01T00:00:10Z, "   \
                "until: 1970-01-01T00:01:00Z}]")

static void test_the_end_of_a_window_weighs_anew_and_replays_nothing(void **state)
{
    (void)state;
    struct story *s = story_new(WINDOW_POLICY);
    uint32_t web = story_join(s, 0, "web-1", NULL), api = story_join(s, 0, "api-1", NULL);
    s->verbose = true;
    story_reports(s, 1, 20, web, WELL);
    story_reports(s, 21, 40, web, ILL);
    story_saw(s, "24.0 DETECT    web-1"); /* it is seen and told ... */
    story_saw(s, "24.0 BLOCKED   web-1     people are at work on it, until 60.0 s");
    assert_int_equal(s->commands, 0); /* ... and left alone */
    story_reports(s, 41, 50, web, WELL);
    story_wait(s, 61);
    story_reports(s, 61, 70, web, WELL);
    assert_int_equal(s->commands, 0); /* well at the end: there is nothing left to do */
    story_reports(s, 71, 73, api, ILL);
    story_free(&s);
}

static void test_what_is_ill_at_the_end_of_a_window_is_healed_then(void **state)
{
    (void)state;
    struct story *s = story_new(WINDOW_POLICY);
    uint32_t web = story_join(s, 0, "web-1", NULL), api = story_join(s, 0, "api-1", NULL);
    story_reports(s, 21, 59, web, ILL);
    assert_int_equal(s->commands, 0);
    story_report(s, 60, web, ILL);
    assert_int_equal(s->commands, 1); /* on a fresh sample */
    story_reports(s, 61, 64, api, ILL);
    assert_int_equal(s->commands, 2); /* the pattern does not name it */
    story_free(&s);
}

static void test_a_window_begins_in_the_middle_of_an_incident(void **state)
{
    (void)state;
    struct story *s = story_new(WINDOW_POLICY "mode: approve\n");
    uint32_t web = story_join(s, 0, "web-1", NULL);
    story_reports(s, 1, 15, web, ILL); /* planned at 4, waiting for approval */
    story_approve(s, 15.5, 1, 1);
    assert_int_equal(s->commands, 0); /* not even a person's approval reaches into a window */
    story_reports(s, 16, 59, web, ILL);
    assert_int_equal(s->commands, 0);
    story_report(s, 60, web, ILL);
    assert_int_equal(s->commands, 1); /* the approval is still good, and the evidence fresh */
    story_free(&s);
}

static void test_a_daily_window_may_begin_before_midnight(void **state)
{
    (void)state;
    /* 1970-01-01 was a Thursday; the window that begins then at 23:59:30 lasts into Friday. */
    struct story *s = story_new(
        POLICY_WITH("rate: no, maintenance: [{nodes: web-1, daily: \"23:59\", for: 2m, days: [thu]}]"));
    uint32_t web = story_join(s, 86300, "web-1", NULL);
    story_reports(s, 86341, 86450, web, ILL); /* 23:59:01 to 00:00:50 */
    assert_int_equal(s->commands, 0);
    story_reports(s, 86451, 86461, web, ILL); /* until 00:01:01 */
    assert_int_equal(s->commands, 1);
    story_free(&s);
    s = story_new(
        POLICY_WITH("rate: no, maintenance: [{nodes: web-1, daily: \"23:59\", for: 2m, days: [fri]}]"));
    web = story_join(s, 86300, "web-1", NULL);
    story_reports(s, 86341, 86350, web, ILL);
    assert_int_equal(s->commands, 1); /* it is Thursday still */
    story_free(&s);
}

static void test_a_person_keeps_a_node_to_himself(void **state)
{
    (void)state;
    struct story *s = story_new(POLICY_WITH("rate: no"));
    uint32_t web = story_join(s, 0, "web-1", NULL);
    story_maintain(s, 0.5, web, 600);
    suffer(s, 1, web, ILL, BLOCK_MAINTENANCE);
    story_restart(s, 20);
    story_reports(s, 20, 25, web, WELL);
    suffer(s, 30, web, ILL, BLOCK_MAINTENANCE); /* his word outlives our restart */
    story_reports(s, 50, 55, web, ILL);
    story_maintain(s, 55.5, web, 0);
    story_report(s, 56, web, ILL);
    assert_int_equal(s->commands, 1);
    story_free(&s);
}

static void test_nodes_in_maintenance_do_not_trip_the_breaker(void **state)
{
    (void)state;
    struct story *s =
        story_new("version: 1\ndetectors:\n" CPU_HIGH "  - {name: silent, absent: 5s}\n"
                  "guards: {breaker: {unhealthy: 55%, at_least: 3}, maintenance: [{nodes: rack-*, "
                  "from: 1970-01-01T00:00:00Z, until: 1970-01-01T00:02:00Z}]}\n");
    for (int i = 0; i < 4; i++) {
        char name[] = {'r', 'a', 'c', 'k', '-', (char)('0' + i), '\0'};
        uint32_t node = story_join(s, 0, name, NULL);
        story_report(s, 1, node, WELL);
    }
    uint32_t web = story_join(s, 1, "web-1", NULL);
    story_reports(s, 2, 119, web, WELL); /* the rack is switched off: 4 of 5 are silent */
    assert_false(core_control(s->core)->breaker_open);
    assert_int_equal(core_unhealthy(s->core), 0);
    story_reports(s, 120, 125, web, WELL); /* and does not come back in time */
    assert_int_equal(core_unhealthy(s->core), 4);
    assert_true(core_control(s->core)->breaker_open);
    story_free(&s);
}

/* --- approval ------------------------------------------------------------------------------------------- */

#define APPROVE_POLICY POLICY_WITH("rate: no, recurrence: 1s, approval: 30s") "mode: approve\n"

static void test_an_approval_is_for_the_plan_that_was_shown(void **state)
{
    (void)state;
    struct story *s = story_new(APPROVE_POLICY);
    uint32_t web = story_join(s, 0, "web-1", NULL);
    story_reports(s, 1, 6, web, ILL);
    story_approve(s, 6.5, 1, 2);
    story_saw(s, "the plan has changed since it was shown");
    assert_int_equal(s->commands, 0);
    story_approve(s, 6.6, 1, 1);
    assert_int_equal(s->commands, 1);
    story_free(&s);
}

static void test_a_plan_that_nobody_approves_is_shown_anew(void **state)
{
    (void)state;
    struct story *s = story_new(APPROVE_POLICY);
    uint32_t web = story_join(s, 0, "web-1", NULL);
    story_reports(s, 1, 40, web, ILL); /* shown at 4, so until 34 */
    story_saw(s, "34.0 DETECT    web-1     cpu above 90 % and latency above 20 ms for 3 s; planned anew, it "
                 "was shown or "
                 "approved too long ago");
    story_approve(s, 40.5, 1, 1); /* he answers what he saw first */
    story_saw(s, "the plan has changed since it was shown");
    assert_int_equal(s->commands, 0);
    story_approve(s, 40.6, 1, 2);
    assert_int_equal(s->commands, 1);
    story_free(&s);
}

static void test_an_approval_that_could_not_be_used_lapses(void **state)
{
    (void)state;
    struct story *s = story_new(APPROVE_POLICY);
    uint32_t web = story_join(s, 0, "web-1", NULL);
    story_say(s, 0.5, OPERATOR_PAUSE, 0, REMEDY_NONE);
    story_reports(s, 1, 6, web, ILL);
    story_approve(s, 6.5, 1, 1);
    story_reports(s, 7, 40, web, ILL);
    story_say(s, 40.5, OPERATOR_RESUME, 0, REMEDY_NONE);
    story_reports(s, 41, 45, web, ILL);
    assert_int_equal(s->commands, 0); /* his word was for half a minute, and the pause was longer */
    story_approve(s, 45.5, 1, 2);
    assert_int_equal(s->commands, 1);
    story_free(&s);
}

static void test_an_approval_is_restored_with_its_time(void **state)
{
    (void)state;
    struct story *s = story_new(APPROVE_POLICY);
    uint32_t web = story_join(s, 0, "web-1", NULL);
    story_say(s, 0.5, OPERATOR_PAUSE, 0, REMEDY_NONE);
    story_reports(s, 1, 6, web, ILL);
    story_approve(s, 6.5, 1, 1);
    story_restart(s, 10);
    story_say(s, 10.5, OPERATOR_RESUME, 0, REMEDY_NONE);
    story_reports(s, 11, 20, web, ILL);
    assert_int_equal(s->commands, 1);
    story_free(&s);
}

/* --- people pass the machine's counters ------------------------------------------------------------------
 */

static void test_a_person_passes_the_machines_counters_and_is_not_counted(void **state)
{
    (void)state;
    struct story *s = story_new(POLICY_WITH(
        FREE "per_target: {cooldown: 10m, attempts: {max: 16, within: 1s}}, rate: {per: 10m, max: 1}"));
    uint32_t web = story_join(s, 0, "web-1", NULL), api = story_join(s, 0, "api-1", NULL);
    heal(s, 1, web, ILL);
    story_reports(s, 21, 30, web, ILL);
    assert_true(story_blocked(s, BLOCK_COOLDOWN) > 0);
    uint32_t streak = core_target(s->core, web)->streak;
    story_approve(s, 30.5, 2, 1); /* "do it now" */
    assert_int_equal(s->commands, 2);
    assert_int_equal(core_target(s->core, web)->streak, streak);
    story_end(s, 31, web, OUTCOME_DONE, true);
    story_reports(s, 31.5, 40, web, WELL);
    story_saw(s, "effective");
    suffer(s, 50, api, ILL, BLOCK_RATE_FLEET); /* the machine's own action still counts ... */
    heal(s, 605, api, ILL);                    /* ... and the person's never did */
    story_free(&s);
}

static void test_a_person_does_not_pass_the_breaker(void **state)
{
    (void)state;
    struct story *s = story_new(POLICY_WITH("breaker: {unhealthy: 10%, at_least: 1}"));
    uint32_t web = story_join(s, 0, "web-1", NULL);
    story_reports(s, 1, 6, web, ILL);
    assert_true(core_control(s->core)->breaker_open);
    story_approve(s, 6.5, 1, 1);
    story_reports(s, 7, 10, web, ILL);
    assert_int_equal(s->commands, 0);
    story_say(s, 10.5, OPERATOR_RESET, 0, REMEDY_NONE);
    story_reports(s, 11, 12, web, ILL);
    assert_int_equal(s->commands, 1);
    story_free(&s);
}

static void test_a_person_may_have_an_escalated_remedy_tried_again(void **state)
{
    (void)state;
    struct story *s = story_new(POLICY_WITH("rate: no, recurrence: 1s, per_target: {cooldown: 0s, attempts: "
                                            "{max: 1, within: 10m}, backoff: no}"));
    uint32_t web = story_join(s, 0, "web-1", NULL);
    heal(s, 1, web, ILL);
    story_reports(s, 21, 30, web, ILL);
    story_saw(s, "24.0 PEOPLE    web-1     gave up: this node has used up its attempts, 1 within 10 min  "
                 "incident 2");
    assert_int_equal(s->commands, 1);
    story_approve(s, 30.5, 2, 1);
    assert_int_equal(s->commands, 2);
    story_forget(s);
    story_end(s, 31, web, OUTCOME_DONE, true);
    story_reports(s, 31.5, 40, web, WELL);
    story_saw(s, "RESOLVED  web-1     effective");
    story_approve(s, 41, 2, 1);
    story_saw(s, "there is no such open incident");
    story_free(&s);
}

static void test_a_person_is_a_second_witness(void **state)
{
    (void)state;
    struct story *s =
        story_new("version: 1\ndetectors:\n  - {name: hot, when: cpu_utilization > 0.90, for: 3s}\n"
                  "playbooks:\n  - {on: hot, steps: [{do: restart_service}]}\n");
    uint32_t web = story_join(s, 0, "web-1", NULL);
    story_reports(s, 1, 6, web, "cpu=0.97");
    assert_true(story_blocked(s, BLOCK_UNCORROBORATED) > 0);
    assert_int_equal(s->commands, 0);
    story_approve(s, 6.5, 1, 1);
    assert_int_equal(s->commands, 1);
    story_free(&s);
}

/* --- facts about the finding -----------------------------------------------------------------------------
 */

static void test_old_samples_are_not_acted_on(void **state)
{
    (void)state;
    struct story *s = story_new(POLICY_WITH("rate: no") "mode: approve\n");
    uint32_t web = story_join(s, 0, "web-1", NULL);
    story_reports(s, 1, 4, web, ILL);
    story_approve(s, 60, 1, 1); /* nothing was heard for 56 s */
    assert_int_equal(s->commands, 0);
    assert_int_equal(core_incident(s->core, 1)->block, BLOCK_STALE);
    story_free(&s);
}

static void test_what_looks_well_again_is_not_acted_on(void **state)
{
    (void)state;
    struct story *s = story_new(POLICY_WITH("rate: no"));
    uint32_t web = story_join(s, 0, "web-1", NULL);
    story_say(s, 0.5, OPERATOR_PAUSE, 0, REMEDY_NONE);
    story_reports(s, 1, 6, web, ILL);
    story_report(s, 7, web, WELL);
    story_say(s, 7.5, OPERATOR_RESUME, 0, REMEDY_NONE);
    story_report(s, 8, web, WELL);
    assert_int_equal(core_incident(s->core, 1)->block, BLOCK_CLEARING);
    assert_int_equal(s->commands, 0);
    story_report(s, 9, web, ILL);
    assert_int_equal(s->commands, 1);
    story_free(&s);
}

static void test_what_a_callee_could_explain_waits_for_news_from_there(void **state)
{
    (void)state;
    struct story *s = story_new("version: 1\ndetectors:\n  - {name: slow, when: request_latency > 50ms and "
                                "error_ratio > 0.1, for: 1s, confirm: no}\n"
                                "playbooks:\n  - {on: slow, steps: [{do: restart_service}]}\n"
                                "guards: {hold: 3s}\n");
    uint32_t web = story_join(s, 0, "web-1", NULL);
    story_reports(s, 1, 4, web, "latency=0.09 errors=0.5"); /* found at 2 */
    assert_int_equal(s->commands, 0);
    assert_int_equal(core_incident(s->core, 1)->block, BLOCK_HOLD);
    story_report(s, 5, web, "latency=0.09 errors=0.5");
    assert_int_equal(s->commands, 1);
    story_free(&s);
}

static void test_a_planner_is_given_its_time(void **state)
{
    (void)state;
    struct story *s = story_new(POLICY_WITH("rate: no"));
    struct event event = {.kind = EVENT_POLICY, .of.policy = &s->policy};
    s->policy.planner_wait_ns = 3 * SECOND;
    story_event(s, 0, &event);
    uint32_t web = story_join(s, 0, "web-1", NULL);
    story_reports(s, 1, 6, web, ILL);
    assert_int_equal(core_incident(s->core, 1)->block, BLOCK_PLANNER);
    assert_int_equal(s->commands, 0);
    story_report(s, 7, web, ILL);
    assert_int_equal(s->commands, 1);
    story_free(&s);
}

static void test_one_action_at_a_time_on_one_node(void **state)
{
    (void)state;
    struct story *s = story_new(POLICY_WITH(FREE FREE_TARGET "rate: no"));
    uint32_t web = story_join(s, 0, "web-1", NULL);
    story_reports(s, 1, 4, web, ILL);
    assert_int_equal(s->commands, 1); /* under way, and its answer is awaited */
    story_reports(s, 5, 9, web, "storage=0.3 latency=0.090 cpu=0.97");
    assert_int_equal(core_incident(s->core, 2)->block, BLOCK_IN_FLIGHT);
    assert_int_equal(s->commands, 1);
    story_free(&s);
}

/* The one too many is not acted on itself, and the reason says so. */
static void test_the_breaker_opens_before_the_action_that_it_forbids(void **state)
{
    (void)state;
    struct story *s =
        story_new(POLICY_WITH("rate: no, max_disrupted: 100%, breaker: {unhealthy: 50%, at_least: 2}"));
    uint32_t node[3] = {story_join(s, 0, "a", NULL), story_join(s, 0, "b", NULL),
                        story_join(s, 0, "c", NULL)};
    for (int t = 1; t <= 5; t++) {
        story_report(s, t, node[0], ILL);
        story_report(s, t + 0.3, node[1], t > 1 ? ILL : WELL);
        story_report(s, t + 0.6, node[2], WELL);
    }
    assert_int_equal(s->commands, 1); /* for the first of the two */
    assert_true(core_control(s->core)->breaker_open);
    assert_int_equal(core_incident(s->core, 2)->block, BLOCK_BREAKER);
    story_free(&s);
}

/* --- the breaker's memory --------------------------------------------------------------------------------
 */

static void test_what_a_person_knew_of_survives_a_restart(void **state)
{
    (void)state;
    struct story *s = story_new(POLICY_WITH("rate: no, breaker: {unhealthy: 10%, at_least: 1}"));
    uint32_t web = story_join(s, 0, "web-1", NULL);
    story_reports(s, 1, 6, web, "cpu=0.97 latency=0.058");
    story_say(s, 6.5, OPERATOR_RESET, 0, REMEDY_NONE);
    assert_int_equal(core_control(s->core)->forgiven, 1);
    story_restart(s, 6.6);
    story_reports(s, 7, 12, web, ILL);
    assert_false(core_control(s->core)->breaker_open); /* the same illness does not open it again */
    story_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_target_gets_so_many_actions_and_no_more),
        cmocka_unit_test(test_a_rule_gets_so_many_actions_over_all_nodes),
        cmocka_unit_test(test_a_kind_of_remedy_gets_so_many_actions),
        cmocka_unit_test(test_the_fleet_gets_so_many_actions),
        cmocka_unit_test(test_a_restart_forgets_no_rate),
        cmocka_unit_test(test_another_name_for_a_rule_forgets_no_rate),
        cmocka_unit_test(test_no_sliding_window_ever_holds_more_than_its_limit),
        cmocka_unit_test(test_each_action_makes_the_next_one_wait_longer),
        cmocka_unit_test(test_a_long_time_of_health_ends_the_back_off),
        cmocka_unit_test(test_a_restart_does_not_shorten_the_back_off),
        cmocka_unit_test(test_targets_that_fell_ill_together_do_not_come_back_together),
        cmocka_unit_test(test_a_flapping_target_is_left_to_people),
        cmocka_unit_test(test_a_restart_makes_nobody_flap),
        cmocka_unit_test(test_the_end_of_a_window_weighs_anew_and_replays_nothing),
        cmocka_unit_test(test_what_is_ill_at_the_end_of_a_window_is_healed_then),
        cmocka_unit_test(test_a_window_begins_in_the_middle_of_an_incident),
        cmocka_unit_test(test_a_daily_window_may_begin_before_midnight),
        cmocka_unit_test(test_a_person_keeps_a_node_to_himself),
        cmocka_unit_test(test_nodes_in_maintenance_do_not_trip_the_breaker),
        cmocka_unit_test(test_an_approval_is_for_the_plan_that_was_shown),
        cmocka_unit_test(test_a_plan_that_nobody_approves_is_shown_anew),
        cmocka_unit_test(test_an_approval_that_could_not_be_used_lapses),
        cmocka_unit_test(test_an_approval_is_restored_with_its_time),
        cmocka_unit_test(test_a_person_passes_the_machines_counters_and_is_not_counted),
        cmocka_unit_test(test_a_person_does_not_pass_the_breaker),
        cmocka_unit_test(test_a_person_may_have_an_escalated_remedy_tried_again),
        cmocka_unit_test(test_a_person_is_a_second_witness),
        cmocka_unit_test(test_old_samples_are_not_acted_on),
        cmocka_unit_test(test_what_looks_well_again_is_not_acted_on),
        cmocka_unit_test(test_what_a_callee_could_explain_waits_for_news_from_there),
        cmocka_unit_test(test_a_planner_is_given_its_time),
        cmocka_unit_test(test_one_action_at_a_time_on_one_node),
        cmocka_unit_test(test_the_breaker_opens_before_the_action_that_it_forbids),
        cmocka_unit_test(test_what_a_person_knew_of_survives_a_restart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
