/* Stories of the simulator: runs repeat themselves, accidents neither lose nor double anything, and who was
 * away orders nothing wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "policy/policy_builtin.h"
#include "policy/policy_file.h"
#include "sim/watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- a small world: three web nodes that call two databases --------------------------------------------- */

static struct scenario *small_scenario(void)
{
    struct scenario *s = calloc(1, sizeof *s);
    assert_non_null(s);
    scenario_init(s);
    for (uint32_t i = 0; i < 2; i++) {
        struct scenario_group *group = &s->groups[s->group_count++];
        strcpy(group->role, i == 0 ? "web" : "db");
        group->count = i == 0 ? 3 : 2;
        world_node_default(&group->node);
        group->node.users_per_s = i == 0 ? 300 : 0;
        s->node_count += group->count;
    }
    strcpy(s->groups[0].calls[0], "db");
    s->groups[0].calls_count = 1;
    s->length_ns = 90 * SECOND;
    s->heal_ns = 90 * SECOND;
    return s;
}

static void add_fault(struct scenario *s, const char *on, enum fault_kind kind, double at, double seconds)
{
    struct scenario_fault *fault = &s->faults[s->fault_count++];
    strcpy(fault->on.pattern, on);
    fault->fault.kind = (uint8_t)kind;
    fault->fault.intensity = fault_infos[kind].intensity;
    fault->fault.from_at = duration_from_seconds(at);
    fault->fault.until_at = duration_from_seconds(at + seconds);
}

static void add_accident(struct scenario *s, enum accident kind, const char *on, double at, double seconds)
{
    struct scenario_accident *accident = &s->accidents[s->accident_count++];
    strcpy(accident->on.pattern, on);
    accident->kind = (uint8_t)kind;
    accident->at = duration_from_seconds(at);
    accident->length_ns = duration_from_seconds(seconds);
}

static const struct policy *default_policy(void)
{
    static struct policy policy;
    static struct complaints complaints;
    const char *text = policy_default_text();
    assert_int_equal(policy_read(text, strlen(text), &policy, &complaints), 0);
    return &policy;
}

/* --- a run, with a witness of its own ------------------------------------------------------------------- */

enum { WITNESSED_MAX = 256 };

struct run {
    struct sim_result result;
    struct sim_rest rest;
    struct sim_judge judge;
    uint64_t effects[WITNESSED_MAX]; /* command ids, as the world felt them */
    uint32_t effect_count, twice;
    uint32_t begun[ACCIDENT_COUNT], ended[ACCIDENT_COUNT];
    uint32_t gaps, restores, hellos, goodbyes, operators, policies;
    char violation[256];
};

static void on_effect(void *context, instant at, const struct command *command, const struct world_done *done)
{
    struct run *run = context;
    (void)at, (void)done;
    for (uint32_t i = 0; i < run->effect_count; i++)
        run->twice += run->effects[i] == command->id;
    assert_true(run->effect_count < WITNESSED_MAX);
    run->effects[run->effect_count++] = command->id;
}

static void on_accident(void *context, instant at, const struct scenario_accident *accident, bool begins)
{
    struct run *run = context;
    (void)at;
    (begins ? run->begun : run->ended)[accident->kind]++;
}

static void on_event(void *context, const struct event *event)
{
    struct run *run = context;
    run->gaps += event->kind == EVENT_GAP;
    run->restores += event->kind == EVENT_RESTORE;
    run->hellos += event->kind == EVENT_HELLO;
    run->goodbyes += event->kind == EVENT_GOODBYE;
    run->operators += event->kind == EVENT_OPERATOR;
    run->policies += event->kind == EVENT_POLICY;
}

/* `crash_at`: after so many happenings the control plane is killed; 0: never. */
static struct run *run_it(const struct scenario *scenario, uint64_t seed, uint64_t crash_at)
{
    struct run *run = calloc(1, sizeof *run);
    char error[256];
    struct sim_options options = {.scenario = scenario, .policy = default_policy(), .seed = seed};
    assert_non_null(run);
    sim_judge_init(&run->judge, scenario->node_count);
    options.watch[options.watch_count++] =
        (struct sim_watch){.effect = on_effect, .accident = on_accident, .event = on_event, .context = run};
    options.watch[options.watch_count++] = sim_judge_watch(&run->judge);
    struct sim *sim = sim_new(&options, error, sizeof error);
    if (!sim)
        fail_msg("%s", error);
    const struct scenario_accident crash = {.kind = ACCIDENT_CRASH_PLANE, .length_ns = 700 * MILLISECOND};
    for (uint64_t turn = 1; sim_turn(sim); turn++)
        if (turn == crash_at)
            sim_accident(sim, &crash);
    sim_judge_rest(&run->judge, sim);
    sim_result(sim, &run->result);
    sim_rest(sim, &run->rest);
    if (checker_count(run->judge.checker) > 0) {
        const struct violation *v = checker_violation(run->judge.checker, 0);
        snprintf(run->violation, sizeof run->violation, "%s: %s",
                 invariant_name((enum invariant)v->invariant), v->sentence);
    }
    sim_judge_fini(&run->judge);
    sim_free(&sim);
    return run;
}

/* Whatever happened: afterwards nobody waits for anything, nothing was done twice, and nothing is lost. */
static void assert_at_rest(const struct run *run)
{
    assert_string_equal(run->violation, "");
    assert_int_equal(run->twice, 0);
    assert_int_equal(run->rest.overdue, 0);
    assert_int_equal(run->rest.lost, 0);
    assert_int_equal(run->rest.untold, 0);
    assert_int_equal(run->rest.running, 0);
    assert_int_equal(run->result.open, 0);
}

/* --- the same again ------------------------------------------------------------------------------------- */

static uint64_t digest_of(const struct scenario *scenario, uint64_t seed)
{
    struct run *run = run_it(scenario, seed, 0);
    uint64_t digest = run->result.digest;
    free(run);
    return digest;
}

static void the_same_seed_is_the_same_run_and_another_is_another(void **state)
{
    (void)state;
    struct scenario *s = small_scenario();
    add_fault(s, "db-1", FAULT_STORAGE_LATENCY, 20, 40);
    s->network = (struct scenario_network){.least_ns = 2 * MILLISECOND,
                                           .tail_ns = 300 * MILLISECOND,
                                           .loss_ratio = 0.05,
                                           .double_ratio = 0.05,
                                           .skew_s = 100,
                                           .drift_ratio = 0.01};
    uint64_t first = digest_of(s, 7);
    assert_true(first == digest_of(s, 7));
    assert_true(first != digest_of(s, 8));
    free(s);
}

static void a_sick_database_is_healed_at_the_database(void **state)
{
    (void)state;
    struct scenario *s = small_scenario();
    add_fault(s, "db-1", FAULT_STORAGE_LATENCY, 20, 60);
    struct scenario_expect *e = &s->expects[s->expect_count++];
    strcpy(e->finding, "slow-storage");
    strcpy(e->on.pattern, "db-1");
    e->remedy = REMEDY_FAILOVER_STORAGE;
    e->verdict = VERDICT_EFFECTIVE;
    e->within_ns = 20 * SECOND;
    e = &s->expects[s->expect_count++];
    strcpy(e->on.pattern, "web-*");
    e->remedy = REMEDY_NONE;
    e->untouched = 1;
    struct run *run = run_it(s, 1, 0);
    assert_at_rest(run);
    assert_int_equal(run->result.met, 2);
    assert_int_equal(run->result.detected, 1);
    assert_int_equal(run->result.recovered, 1);
    assert_int_equal(run->result.commands, 1);
    assert_int_equal(run->result.verdicts[VERDICT_EFFECTIVE], 1);
    assert_int_equal(run->result.wrong, 0);
    assert_true(run->result.detect_p50_ns >= 3 * SECOND && run->result.detect_p50_ns < 6 * SECOND);
    free(run);
    free(s);
}

static void what_was_expected_and_did_not_come_is_not_met(void **state)
{
    (void)state;
    struct scenario *s = small_scenario();
    struct scenario_expect *e = &s->expects[s->expect_count++];
    strcpy(e->finding, "slow-storage");
    strcpy(e->on.pattern, "db-1");
    e->remedy = REMEDY_NONE;
    struct run *run = run_it(s, 1, 0);
    assert_int_equal(run->result.expectations, 1);
    assert_int_equal(run->result.met, 0);
    free(run);
    free(s);
}

/* --- accidents ------------------------------------------------------------------------------------------ */

static void after_each_accident_everything_comes_to_rest(void **state)
{
    (void)state;
    for (int kind = 0; kind < ACCIDENT_COUNT; kind++) {
        if (kind == ACCIDENT_POLICY)
            continue; /* it wants a file: scenarios/ has one */
        struct scenario *s = small_scenario();
        add_fault(s, "db-1", FAULT_STORAGE_LATENCY, 20, 50);
        add_accident(s, (enum accident)kind, "db-1", 22, 20);
        struct run *run = run_it(s, 3, 0);
        if (run->violation[0])
            print_error("%s: %s\n", accident_name((enum accident)kind), run->violation);
        assert_at_rest(run);
        assert_int_equal(run->begun[kind], 1);
        assert_int_equal(run->ended[kind], 1);
        free(run);
        free(s);
    }
}

static void the_control_plane_comes_back_through_restore(void **state)
{
    (void)state;
    struct scenario *s = small_scenario();
    add_fault(s, "db-1", FAULT_STORAGE_LATENCY, 20, 60);
    struct run *quiet = run_it(s, 3, 0);
    add_accident(s, ACCIDENT_CRASH_PLANE, "", 24, 5);
    struct run *run = run_it(s, 3, 0);
    assert_at_rest(run);
    assert_int_equal(quiet->restores, 1); /* of the control row: also the first start is one */
    assert_true(run->restores > 1);
    assert_int_equal(run->result.recovered, 1);
    free(quiet);
    free(run);
    free(s);
}

static void who_leaves_says_so_and_says_hello_when_he_is_back(void **state)
{
    (void)state;
    struct scenario *s = small_scenario();
    add_accident(s, ACCIDENT_LEAVE, "web-2", 30, 20);
    struct run *run = run_it(s, 1, 0);
    assert_at_rest(run);
    assert_int_equal(run->goodbyes, 1);
    assert_int_equal(run->hellos, 5 + 1);
    assert_int_equal(run->result.incidents, 0);
    free(run);
    free(s);
}

static void a_suspended_control_plane_orders_nothing_wrong(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct scenario *s = small_scenario();
        s->network.tail_ns = 50 * MILLISECOND;
        add_accident(s, ACCIDENT_SUSPEND_PLANE, "", 20, 2 * (double)seed);
        struct run *run = run_it(s, seed, 0);
        assert_at_rest(run);
        assert_int_equal(run->gaps, 1);
        assert_int_equal(run->result.commands, 0);
        assert_int_equal(run->result.incidents, 0); /* nobody was silent: we were away */
        free(run);
        free(s);
    }
}

static void two_control_planes_never_do_a_thing_twice(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct scenario *s = small_scenario();
        add_fault(s, "db-*", FAULT_STORAGE_LATENCY, 20, 50);
        add_accident(s, ACCIDENT_SECOND_PLANE, "", 22.5 + 0.1 * (double)seed, 0);
        struct run *run = run_it(s, seed, 0);
        assert_at_rest(run);
        assert_int_equal(run->result.recovered, 2);
        free(run);
        free(s);
    }
}

/* --- a crash at every seventh happening ----------------------------------------------------------------- */

static void nothing_is_lost_or_doubled_wherever_the_control_plane_dies(void **state)
{
    (void)state;
    struct scenario *s = small_scenario();
    s->length_ns = 50 * SECOND;
    s->heal_ns = 60 * SECOND;
    s->network.double_ratio = 0.1;
    add_fault(s, "db-1", FAULT_STORAGE_LATENCY, 10, 30);
    add_fault(s, "web-2", FAULT_SERVICE_CRASH, 14, 30);
    struct run *quiet = run_it(s, 5, 0);
    assert_at_rest(quiet);
    assert_true(quiet->result.commands >= 2);
    uint64_t crashes = 0;
    /* Not in the last seconds: it must have the time to come back. */
    for (uint64_t k = 1; k < quiet->result.turns / 5 * 4; k += 7, crashes++) {
        struct run *run = run_it(s, 5, k);
        bool good = run->violation[0] == '\0' && run->twice == 0 && run->rest.overdue == 0 &&
                    run->rest.lost == 0 && run->rest.untold == 0 && run->rest.running == 0 &&
                    run->result.open == 0 && run->result.detected == 2 && run->result.recovered == 2;
        if (!good)
            fail_msg("killed after happening %llu: %s; %u twice, %u open, %llu overdue, %u untold, %u of 2 "
                     "recovered",
                     (unsigned long long)k, run->violation, run->twice, run->result.open,
                     (unsigned long long)run->rest.overdue, run->rest.untold, run->result.recovered);
        free(run);
    }
    assert_true(crashes > 100);
    free(quiet);
    free(s);
}

/* --- a bad network -------------------------------------------------------------------------------------- */

static void what_is_lost_on_the_way_comes_later_with_its_age(void **state)
{
    (void)state;
    struct scenario *s = small_scenario();
    s->network = (struct scenario_network){
        .least_ns = MILLISECOND, .tail_ns = 200 * MILLISECOND, .loss_ratio = 0.2, .double_ratio = 0.1};
    struct run *run = run_it(s, 1, 0);
    assert_at_rest(run);
    assert_true(run->result.reports >= 5 * 175); /* each at least once, but for those of the last seconds */
    assert_int_equal(run->result.commands, 0);
    free(run);
    free(s);
}

/* Batches answer one another; if each doubled answer began a chain of its own, they would fill the world. */
static void doubled_answers_begin_no_second_chain_of_batches(void **state)
{
    (void)state;
    struct scenario *s = small_scenario();
    s->length_ns = 600 * SECOND;
    s->heal_ns = 120 * SECOND;
    s->network = (struct scenario_network){.least_ns = 25 * SECOND, .double_ratio = 1};
    struct run *run = run_it(s, 1, 0);
    assert_true(run->result.reports < 400000);
    assert_int_equal(run->rest.overdue, 0);
    free(run);
    free(s);
}

static void a_crash_that_outlasts_the_script_ends_with_it(void **state)
{
    (void)state;
    struct scenario *s = small_scenario();
    add_accident(s, ACCIDENT_CRASH_PLANE, "", 60, 3600);
    struct run *run = run_it(s, 1, 0);
    assert_at_rest(run);
    assert_int_equal(run->ended[ACCIDENT_CRASH_PLANE], 1);
    free(run);
    free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_seed_is_the_same_run_and_another_is_another),
        cmocka_unit_test(a_sick_database_is_healed_at_the_database),
        cmocka_unit_test(what_was_expected_and_did_not_come_is_not_met),
        cmocka_unit_test(after_each_accident_everything_comes_to_rest),
        cmocka_unit_test(the_control_plane_comes_back_through_restore),
        cmocka_unit_test(who_leaves_says_so_and_says_hello_when_he_is_back),
        cmocka_unit_test(a_suspended_control_plane_orders_nothing_wrong),
        cmocka_unit_test(two_control_planes_never_do_a_thing_twice),
        cmocka_unit_test(nothing_is_lost_or_doubled_wherever_the_control_plane_dies),
        cmocka_unit_test(what_is_lost_on_the_way_comes_later_with_its_age),
        cmocka_unit_test(doubled_answers_begin_no_second_chain_of_batches),
        cmocka_unit_test(a_crash_that_outlasts_the_script_ends_with_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
