/* A new policy through the API while everything runs: no guard forgets, a bad policy changes nothing, and
 * what is under way goes on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "plane_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One detector under that name, quick to fire and to believe; all guards are off but the ones given. */
static const char *policy_with(const char *name, const char *guards)
{
    static char text[2048];
    snprintf(text, sizeof(text),
             "version: 1\n"
             "detectors:\n"
             "  - {name: %s, when: cpu_utilization > 0.90, for: 100ms, clear: cpu_utilization < 0.70, "
             "healthy_for: "
             "150ms, confirm: no}\n"
             "playbooks:\n"
             "  - on: %s\n"
             "    steps: [{do: restart_service, settle: 50ms, within: 5s}, {do: page_human}]\n"
             "guards: {max_disrupted: 50%%, hold: 0s, recurrence: 0s, %s}\n",
             name, name, guards);
    return text;
}

static void reload(struct world *world, const char *text)
{
    if (call_as(world, "PUT", "/v1/policy", "application/yaml", text) != 200)
        fail_msg("%d %s\n%s", world->status, world->body, text);
}

static void restart(struct world *world)
{
    world_stop_plane(world);
    world_start_plane(world);
}

/* Ill, one restart, well again: incident 1, and one action to count. */
static void heal_once(struct world *world)
{
    hello(world, "web-1");
    uint64_t command = report_until_command(world, "web-1", 0.97);
    assert_int_equal(outcome(world, command, "web-1", "done"), 200);
    report_until_state(world, "web-1", 0.05, 1, "resolved");
}

/* Ill once more: the incident says that it was stopped for that reason, and no command comes. */
static void expect_stopped_by(struct world *world, const char *reason)
{
    char word[32];
    snprintf(word, sizeof(word), "\"%s\"", reason);
    WAIT_FOR(world, report(world, "web-1", 0.97) == 200 && !member(world, "commands.0") &&
                        call(world, "GET", "/v1/incidents/2", NULL) == 200 && strstr(world->body, word));
    assert_int_equal((int)number(world, "attempts"), 0);
}

/* --- no guard forgets ----------------------------------------------------------------------------------- */

#define OFF_BUT_BACKOFF "rate: no, flapping: no"
#define OFF             OFF_BUT_BACKOFF ", per_target: {cooldown: 0s, backoff: no}"

static const struct {
    const char *reason, *guards;
} counted[] = {
    {"cooldown", "per_target: {cooldown: 1h, backoff: no}, " OFF_BUT_BACKOFF},
    {"backoff", "per_target: {cooldown: 0s, backoff: {base: 1h, cap: 1h}}, " OFF_BUT_BACKOFF},
    {"attempts", "per_target: {cooldown: 0s, backoff: no, attempts: {max: 1, within: 1h}}, " OFF_BUT_BACKOFF},
    {"rate_target",
     "per_target: {cooldown: 0s, backoff: no}, flapping: no, rate: {fleet: no, target: {per: 1h, max: 1}}"},
    {"rate_rule", "per_target: {cooldown: 0s, backoff: no}, flapping: no, rate: {fleet: no, target: no, "
                  "rule: {per: 1h, max: 1}}"},
    {"rate_kind", "per_target: {cooldown: 0s, backoff: no}, flapping: no, rate: {fleet: no, target: no, "
                  "kind: {per: 1h, max: 1}}"},
    {"rate_fleet",
     "per_target: {cooldown: 0s, backoff: no}, flapping: no, rate: {fleet: {per: 1h, max: 1}, target: no}"},
    {"flapping", "per_target: {cooldown: 0s, backoff: no}, rate: no, flapping: {changes: 2, within: 1h}"},
};

/* The world of one guard: healed once, then `meanwhile` happens, then ill again. */
static void check_counted(void (*meanwhile)(struct world *world, const char *guards))
{
    for (size_t i = 0; i < sizeof(counted) / sizeof(counted[0]); i++) {
        struct world world;
        print_message("# %s\n", counted[i].reason);
        world_open(&world, policy_with("cpu-high", counted[i].guards));
        heal_once(&world);
        meanwhile(&world, counted[i].guards);
        expect_stopped_by(&world, counted[i].reason);
        world_close(&world);
    }
}

static void is_reloaded_and_renamed(struct world *world, const char *guards)
{
    reload(world, policy_with("cpu-high", guards));
    reload(world, policy_with("hot", guards));
}

static void is_renamed_and_restarted(struct world *world, const char *guards)
{
    reload(world, policy_with("hot", guards));
    restart(world);
}

static void counters_survive_a_reload_and_a_new_name(void **state)
{
    (void)state;
    check_counted(is_reloaded_and_renamed);
}

static void counters_survive_a_new_name_and_a_restart(void **state)
{
    (void)state;
    check_counted(is_renamed_and_restarted);
}

/* The same name with another condition is still the same rule. */
static void counters_survive_a_new_threshold(void **state)
{
    (void)state;
    struct world world;
    char text[4096];
    static const char rule[] =
        "per_target: {cooldown: 0s, backoff: no}, flapping: no, rate: {fleet: no, target: "
        "no, rule: {per: 1h, max: 1}}";
    world_open(&world, policy_with("cpu-high", rule));
    heal_once(&world);
    snprintf(text, sizeof(text), "%s", policy_with("cpu-high", rule));
    memcpy(strstr(text, "> 0.90"), "> 0.80", strlen("> 0.80"));
    reload(&world, text);
    expect_stopped_by(&world, "rate_rule");
    restart(&world);
    expect_stopped_by(&world, "rate_rule");
    world_close(&world);
}

/* Without guards it would have acted: the counters above are what stops it. */
static void without_a_guard_the_second_time_is_like_the_first(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, policy_with("cpu-high", OFF));
    heal_once(&world);
    is_reloaded_and_renamed(&world, OFF);
    report_until_command(&world, "web-1", 0.97);
    assert_int_equal(call(&world, "GET", "/v1/incidents/2", NULL), 200);
    assert_string_equal(word(&world, "finding"), "hot");
    world_close(&world);
}

/* A guard that a reload switches on counts what was done before it. */
static void a_guard_that_comes_later_counts_what_was_before(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, policy_with("cpu-high", OFF));
    heal_once(&world);
    reload(&world, policy_with("cpu-high", counted[0].guards));
    expect_stopped_by(&world, "cooldown");
    world_close(&world);
}

/* --- a bad reload --------------------------------------------------------------------------------------- */

static void guards_are_never_weaker_after_a_bad_reload(void **state)
{
    (void)state;
    struct world world;
    char digest[32], bad[4096];
    world_open(&world, policy_with("cpu-high", counted[0].guards));
    heal_once(&world);
    assert_int_equal(call(&world, "GET", "/v1/policy", NULL), 200);
    snprintf(digest, sizeof(digest), "%s", word(&world, "digest"));
    /* All guards off, and one slip: none of it is taken. */
    snprintf(bad, sizeof(bad), "%smoode: auto\n", policy_with("cpu-high", OFF));
    assert_int_equal(call_as(&world, "PUT", "/v1/policy", "application/yaml", bad), 422);
    assert_string_equal(word(&world, "errors.0.text"), "unknown key \"moode\"; did you mean mode?");
    snprintf(bad, sizeof(bad), "%s", policy_with("cpu-high", "rate: {per: 1m, max: 0}"));
    assert_int_equal(call_as(&world, "PUT", "/v1/policy", "application/yaml", bad), 422);
    assert_int_equal(call_as(&world, "PUT", "/v1/policy", "application/yaml", ""), 422);
    expect_stopped_by(&world, "cooldown");
    restart(&world);
    assert_int_equal(call(&world, "GET", "/v1/policy", NULL), 200);
    assert_string_equal(word(&world, "digest"), digest);
    assert_int_equal((int)number(&world, "version"), 1);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(report(&world, "web-1", 0.97), 200);
        assert_null(member(&world, "commands.0"));
    }
    world_close(&world);
}

/* --- in the middle -------------------------------------------------------------------------------------- */

static void an_incident_that_is_acting_goes_on_under_its_new_name(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, policy_with("cpu-high", OFF));
    hello(&world, "web-1");
    uint64_t command = report_until_command(&world, "web-1", 0.97);
    reload(&world, policy_with("hot", OFF));
    assert_int_equal(call(&world, "GET", "/v1/incidents/1", NULL), 200);
    assert_string_equal(word(&world, "state"), "acting");
    assert_int_equal(outcome(&world, command, "web-1", "done"), 200);
    reload(&world, policy_with("hotter", OFF));
    report_until_state(&world, "web-1", 0.05, 1, "resolved");
    assert_string_equal(word(&world, "verdict"), "effective");
    assert_string_equal(word(&world, "finding"), "hotter");
    assert_int_equal((int)number(&world, "attempts"), 1);
    assert_int_equal(call(&world, "GET", "/v1/incidents", NULL), 200);
    assert_int_equal((int)json_array_size(member(&world, "incidents")), 1);
    world_close(&world);
}

/* The new policy does not watch for it any more: nothing is ordered again, and the end of its command is
 * still taken. */
static void an_incident_whose_detector_is_gone_closes_in_order(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, policy_with("cpu-high", OFF));
    hello(&world, "web-1");
    uint64_t command = report_until_command(&world, "web-1", 0.97);
    reload(&world, "version: 1\ndetectors: [{name: silent, absent: 1h}]\n");
    outcome(&world, command, "web-1", "done");
    WAIT_FOR(&world, report(&world, "web-1", 0.97) == 200 && !member(&world, "commands.0") &&
                         call(&world, "GET", "/v1/incidents/1", NULL) == 200 &&
                         strcmp(word(&world, "state"), "resolved") == 0);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counters_survive_a_reload_and_a_new_name),
        cmocka_unit_test(counters_survive_a_new_name_and_a_restart),
        cmocka_unit_test(counters_survive_a_new_threshold),
        cmocka_unit_test(without_a_guard_the_second_time_is_like_the_first),
        cmocka_unit_test(a_guard_that_comes_later_counts_what_was_before),
        cmocka_unit_test(guards_are_never_weaker_after_a_bad_reload),
        cmocka_unit_test(an_incident_that_is_acting_goes_on_under_its_new_name),
        cmocka_unit_test(an_incident_whose_detector_is_gone_closes_in_order),
    };
    return cmocka_run_group_tests_name("policy_reload", tests, NULL, NULL);
}
