/* Every fault moves what it should and nothing else, and ends by its cures and by nothing else:
 * docs/world.md. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/check.h"
#include "world_lab.h"

#define BIT(metric) (1u << METRIC_##metric)
enum { WARM_UP = 120 };

/* X(fault, seconds until it shows, metrics that rise, that fall, that may move besides, 1: its callers are
 * ill) */
#define SYMPTOM_TABLE(X)                                                                                     \
    X(CPU_SPIKE, 3, BIT(CPU_UTILIZATION) | BIT(REQUEST_LATENCY), 0, USERS, 1)                                \
    X(NETWORK_DELAY, 1, BIT(NETWORK_LATENCY) | BIT(REQUEST_LATENCY), 0, USERS, 1)                            \
    X(STORAGE_LATENCY, 1, BIT(STORAGE_LATENCY) | BIT(REQUEST_LATENCY), 0, USERS, 1)                          \
    X(SERVICE_CRASH, 1, BIT(ERROR_RATIO) | BIT(SERVICE_EXIT), BIT(SERVICE_UP) | BIT(REQUEST_RATE), SERVICE,  \
      1)                                                                                                     \
    X(SERVICE_HANG, 1, BIT(ERROR_RATIO) | BIT(REQUEST_LATENCY), BIT(CPU_UTILIZATION) | BIT(REQUEST_RATE),    \
      SERVICE, 1)                                                                                            \
    X(NOISY_NEIGHBOUR, 3, BIT(NEIGHBOUR_CPU_UTILIZATION) | BIT(CPU_UTILIZATION) | BIT(REQUEST_LATENCY), 0,   \
      USERS, 0)                                                                                              \
    X(MEMORY_LEAK, 10, BIT(MEMORY_BYTES) | BIT(NODE_MEMORY_UTILIZATION), 0, 0, 0)                            \
    X(CRASH_LOOP, 8, BIT(SERVICE_STARTS) | BIT(ERROR_RATIO) | BIT(SERVICE_EXIT),                             \
      BIT(SERVICE_UP) | BIT(REQUEST_RATE), SERVICE, 1)                                                       \
    X(BAD_CONFIG, 1, BIT(ERROR_RATIO), BIT(REQUEST_RATE), LOOP, 1)                                           \
    X(NETWORK_LOSS, 3, BIT(NETWORK_LOSS) | BIT(ERROR_RATIO) | BIT(REQUEST_LATENCY), BIT(REQUEST_RATE), LOOP, \
      1)                                                                                                     \
    X(NODE_PARTITION, 1, 0, 0, 0, 0)                                                                         \
    X(IO_ERROR, 3, BIT(STORAGE_ERROR_RATIO) | BIT(ERROR_RATIO), BIT(REQUEST_RATE), LOOP, 0)                  \
    X(DISK_FULL, 1, BIT(FILESYSTEM_UTILIZATION) | BIT(STORAGE_ERROR_RATIO) | BIT(ERROR_RATIO),               \
      BIT(REQUEST_RATE), LOOP, 0)                                                                            \
    X(OVERLOAD, 15, BIT(OFFERED_LOAD) | BIT(CPU_UTILIZATION) | BIT(REQUEST_LATENCY), 0, USERS, 1)            \
    X(ZONE_OUTAGE, 1, BIT(ERROR_RATIO), BIT(SERVICE_UP) | BIT(REQUEST_RATE), SERVICE, 1)                     \
    X(SENSOR_FAULT, 1, BIT(CPU_UTILIZATION), 0, 0, 0)                                                        \
    X(CLOCK_SKEW, 1, 0, 0, 0, 0)                                                                             \
    X(NETWORK_BANDWIDTH, 1, BIT(NETWORK_LATENCY) | BIT(REQUEST_LATENCY), 0, USERS, 1)                        \
    X(NETWORK_CUT, 1, BIT(NETWORK_LOSS) | BIT(ERROR_RATIO) | BIT(REQUEST_LATENCY), BIT(REQUEST_RATE),        \
      LOOP | BIT(NETWORK_LATENCY), 1)
/* A callers' retries move the load a little, and with it the processor. */
#define LOOP  (BIT(CPU_UTILIZATION) | BIT(OFFERED_LOAD) | BIT(REQUEST_LATENCY))
#define USERS (LOOP | BIT(REQUEST_RATE) | BIT(ERROR_RATIO))
#define SERVICE                                                                                              \
    (USERS | BIT(MEMORY_BYTES) | BIT(STORAGE_LATENCY) | BIT(STORAGE_ERROR_RATIO) |                           \
     BIT(NODE_MEMORY_UTILIZATION))

struct symptom {
    enum fault_kind kind;
    int seconds;
    uint32_t rise, fall, may;
    bool callers;
};

static const struct symptom symptoms[] = {
#define X(kind, seconds, rise, fall, may, callers) {FAULT_##kind, seconds, rise, fall, may, callers},
    SYMPTOM_TABLE(X)
#undef X
};
_Static_assert(COUNT_OF(symptoms) == FAULT_COUNT - 2, "a fault of the world has no story");

static struct lab_world *struck(enum fault_kind kind, bool replica, int seconds)
{
    struct lab_world *lab = lab_world_new(7, replica, 50);
    lab_world_run(lab, WARM_UP);
    /* A surge of nine is more than two instances carry. */
    lab_world_strike_at(lab, PATIENT, kind, SHAPE_STEP,
                        kind == FAULT_OVERLOAD ? 6 : fault_infos[kind].intensity, 0);
    lab_world_run(lab, seconds);
    return lab;
}

static void check_metric(const struct lab_world *lab, const struct symptom *s, enum metric m)
{
    double well = lab_world_well_has(lab, PATIENT, m) ? lab_world_well(lab, PATIENT, m) : 0;
    bool there = lab_world_has(lab, PATIENT, m);
    double value = there ? lab_world_value(lab, PATIENT, m) : 0;
    const char *fault = fault_kind_name(s->kind), *metric = metric_name(m);
    /* Rises and falls are well beyond rounding: by a twentieth at least. */
    if ((s->rise >> m & 1) != 0 && !(there && value > 1.05 * well + 1e-6)) {
        fail_msg("%s should raise %s: %g, without it %g", fault, metric, value, well);
    }
    if ((s->fall >> m & 1) != 0 && !(there && value < 0.95 * well)) {
        fail_msg("%s should lower %s: %g, without it %g", fault, metric, value, well);
    }
    bool same = there == lab_world_well_has(lab, PATIENT, m) && value >= well && value <= well;
    if (((s->rise | s->fall | s->may) >> m & 1) == 0 && !same) {
        fail_msg("%s should leave %s alone: %g, without it %g", fault, metric, value, well);
    }
}

static void test_each_fault_moves_its_metrics_and_no_others(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(symptoms); i++) {
        const struct symptom *s = &symptoms[i];
        struct lab_world *lab = struck(s->kind, false, s->seconds);
        for (enum metric m = 0; m < METRIC_COUNT; m++) {
            check_metric(lab, s, m);
        }
        struct world_truth patient = lab_world_truth(lab, PATIENT);
        assert_int_equal(patient.faults, 1u << s->kind);
        lab_world_run(lab, 10); /* and what can be cured is felt, but for memory, which takes its time */
        bool felt = fault_infos[s->kind].cures != 0 && s->kind != FAULT_MEMORY_LEAK;
        if (felt && !lab_world_truth(lab, PATIENT).ill_by_itself) {
            fail_msg("users do not feel %s", fault_kind_name(s->kind));
        }
        lab_world_free(&lab);
    }
}

static void test_what_is_sick_below_shows_at_its_callers(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(symptoms); i++) {
        const struct symptom *s = &symptoms[i];
        struct lab_world *lab = struck(s->kind, false, s->seconds + 2);
        struct world_truth caller = lab_world_truth(lab, CALLER);
        assert_int_equal(caller.faults, 0);
        assert_false(caller.ill_by_itself);
        if (s->callers && !caller.ill) {
            fail_msg("%s of a callee should hurt its callers' users", fault_kind_name(s->kind));
        }
        for (enum metric m = 0; m < METRIC_COUNT; m++) {
            if (m == METRIC_SERVICE_EXIT) {
                assert_false(lab_world_has(lab, CALLER, m)); /* it lives */
                continue;
            }
            double value = lab_world_value(lab, CALLER, m), well = lab_world_well(lab, CALLER, m);
            if (metric_infos[m].local && (value > well || value < well)) {
                fail_msg("%s of a callee should leave its caller's %s alone", fault_kind_name(s->kind),
                         metric_name(m));
            }
        }
        lab_world_free(&lab);
    }
}

static void test_silence_lies_and_wrong_clocks_are_told_apart_from_illness(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(symptoms); i++) {
        enum fault_kind kind = symptoms[i].kind;
        struct lab_world *lab = struck(kind, false, 2);
        bool silent = kind == FAULT_NODE_PARTITION || kind == FAULT_ZONE_OUTAGE;
        assert_int_equal(lab->sample[PATIENT].silent, silent);
        assert_int_equal(lab->sample[PATIENT].skew_ns, kind == FAULT_CLOCK_SKEW ? 86400 * SECOND : 0);
        if (kind == FAULT_NODE_PARTITION || kind == FAULT_SENSOR_FAULT || kind == FAULT_CLOCK_SKEW) {
            assert_false(lab_world_truth(lab, PATIENT).ill);
        }
        lab_world_free(&lab);
    }
}

static bool users_are_well(const struct lab_world *lab)
{
    for (uint32_t n = 0; n < lab->nodes; n++) {
        if (lab_world_truth(lab, n).ill) {
            return false;
        }
    }
    return true;
}

static void check_cure(enum fault_kind kind, enum remedy remedy)
{
    struct lab_world *lab = struck(kind, true, 20);
    struct world_done done = lab_world_remedy(lab, PATIENT, remedy);
    assert_int_equal(done.outcome, OUTCOME_DONE);
    assert_true(done.needed && done.cured && !done.harmed);
    assert_in_range(done.took_ns, MILLISECOND, 30 * SECOND);
    lab_world_run(lab, (int)(done.took_ns / SECOND) + 10);
    if (lab_world_truth(lab, PATIENT).faults != 0 || !users_are_well(lab)) {
        fail_msg("%s should cure %s", remedy_name(remedy), fault_kind_name(kind));
    }
    lab_world_run(lab, 300);
    assert_true(users_are_well(lab)); /* and it stays so */
    lab_world_free(&lab);
}

static void check_no_cure(enum fault_kind kind, enum remedy remedy)
{
    struct lab_world *lab = struck(kind, true, 20);
    struct world_done done = lab_world_remedy(lab, PATIENT, remedy);
    lab_world_run(lab, 60);
    if (done.cured || lab_world_truth(lab, PATIENT).faults != 1u << kind) {
        fail_msg("%s should not cure %s", remedy_name(remedy), fault_kind_name(kind));
    }
    assert_int_equal(done.masked, (fault_infos[kind].masks >> remedy & 1) ||
                                      (remedy == REMEDY_REBOOT_NODE && (fault_infos[kind].masks & 1) != 0));
    lab_world_free(&lab);
}

static void test_cures_end_their_faults_and_nothing_else_does(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(symptoms); i++) {
        enum fault_kind kind = symptoms[i].kind;
        for (enum remedy remedy = 0; remedy < REMEDY_PAGE_HUMAN; remedy++) {
            uint32_t bits = 1u << remedy | (remedy == REMEDY_REBOOT_NODE ? REMEDY_BIT(RESTART_SERVICE) : 0);
            if ((fault_infos[kind].cures & bits) != 0) {
                check_cure(kind, remedy);
            } else {
                check_no_cure(kind, remedy);
            }
        }
    }
}

static void test_one_cure_ends_a_flapping_fault_also_while_it_is_off(void **state)
{
    (void)state;
    struct lab_world *lab = lab_world_new(7, false, 50);
    lab_world_run(lab, WARM_UP);
    lab_world_strike(lab, FAULT_STORAGE_LATENCY, SHAPE_FLAPPING);
    lab_world_run(lab, 15); /* on for ten seconds, off for five */
    assert_false(lab_world_truth(lab, PATIENT).ill);
    assert_true(lab_world_remedy(lab, PATIENT, REMEDY_FAILOVER_STORAGE).cured);
    lab_world_run(lab, 10);
    assert_int_equal(lab_world_truth(lab, PATIENT).faults, 0);
    assert_false(lab_world_truth(lab, PATIENT).ill);
    lab_world_free(&lab);
}

static void test_a_restarted_leak_gives_its_memory_back_and_leaks_again(void **state)
{
    (void)state;
    struct lab_world *lab = lab_world_new(7, false, 50);
    lab_world_run(lab, WARM_UP);
    lab_world_strike_at(lab, PATIENT, FAULT_MEMORY_LEAK, SHAPE_STEP, 0.05, 0);
    lab_world_run(lab, 240);
    double swollen = lab_world_value(lab, PATIENT, METRIC_MEMORY_BYTES);
    assert_true(lab_world_remedy(lab, PATIENT, REMEDY_RESTART_SERVICE).masked);
    lab_world_run(lab, 5);
    double fresh = lab_world_value(lab, PATIENT, METRIC_MEMORY_BYTES);
    lab_world_run(lab, 235);
    assert_true(fresh < 0.6 * swollen);
    assert_true(lab_world_value(lab, PATIENT, METRIC_MEMORY_BYTES) > 0.95 * swollen);
    lab_world_run(lab, 900); /* left alone, it takes all the node has, and the kernel ends it */
    assert_false(lab_world_truth(lab, PATIENT).up);
    assert_true(lab_world_value(lab, PATIENT, METRIC_SERVICE_EXIT) > 128);
    assert_true(lab_world_value(lab, PATIENT, METRIC_SERVICE_UP) < 1);
    lab_world_free(&lab);
}

static void test_a_crash_loop_runs_for_seconds_after_each_restart(void **state)
{
    (void)state;
    struct lab_world *lab = struck(FAULT_CRASH_LOOP, false, 20);
    for (int i = 1; i <= 3; i++) {
        assert_false(lab_world_truth(lab, PATIENT).up);
        struct world_done done = lab_world_remedy(lab, PATIENT, REMEDY_RESTART_SERVICE);
        assert_true(done.masked && !done.cured && !done.harmed);
        lab_world_run(lab, (int)(done.took_ns / SECOND) + 2);
        assert_true(lab_world_truth(lab, PATIENT).up);
        lab_world_run(lab, 20);
        assert_int_equal((int)lab_world_value(lab, PATIENT, METRIC_SERVICE_STARTS), 2 + i);
        assert_int_equal((int)lab_world_value(lab, PATIENT, METRIC_SERVICE_EXIT), 1); /* nobody killed it */
    }
    lab_world_free(&lab);
}

static void test_shedding_hides_a_spike_and_burns_on(void **state)
{
    (void)state;
    struct lab_world *lab = struck(FAULT_CPU_SPIKE, false, 10);
    assert_true(lab_world_value(lab, PATIENT, METRIC_REQUEST_LATENCY) > 0.9);
    assert_true(lab_world_remedy(lab, PATIENT, REMEDY_SHED_LOAD).masked);
    lab_world_run(lab, 5);
    assert_true(lab_world_value(lab, PATIENT, METRIC_REQUEST_LATENCY) < 0.9);
    assert_true(lab_world_value(lab, PATIENT, METRIC_CPU_UTILIZATION) > 0.9);
    lab_world_free(&lab);
}

static void test_a_restart_in_an_overload_makes_it_worse(void **state)
{
    (void)state;
    struct lab_world *lab = lab_world_new(7, false, 50), *left = lab_world_new(7, false, 50);
    struct lab_world *both[] = {lab, left};
    for (int i = 0; i < 2; i++) {
        lab_world_run(both[i], WARM_UP);
        lab_world_strike_at(both[i], PATIENT, FAULT_OVERLOAD, SHAPE_STEP, 4, 60);
        lab_world_run(both[i], 5); /* slow, and not lost yet */
    }
    assert_true(lab_world_remedy(lab, PATIENT, REMEDY_RESTART_SERVICE).harmed);
    lab_world_run(lab, 60);
    lab_world_run(left, 60);
    assert_true(lab_world_truth(lab, PATIENT).failed > lab_world_truth(left, PATIENT).failed + 1000);
    lab_world_free(&lab);
    lab_world_free(&left);
}

static void test_a_full_disk_lets_nothing_start(void **state)
{
    (void)state;
    struct lab_world *lab = struck(FAULT_DISK_FULL, false, 10);
    assert_true(lab_world_truth(lab, PATIENT).up);
    struct world_done done = lab_world_remedy(lab, PATIENT, REMEDY_RESTART_SERVICE);
    assert_int_equal(done.outcome, OUTCOME_FAILED);
    assert_true(done.harmed);
    lab_world_run(lab, 10);
    assert_false(lab_world_truth(lab, PATIENT).up);
    assert_true(lab_world_remedy(lab, PATIENT, REMEDY_CLEAN_DISK).cured);
    lab_world_run(lab, 1);
    assert_true(lab_world_remedy(lab, PATIENT, REMEDY_RESTART_SERVICE).cured);
    lab_world_run(lab, 10);
    assert_true(users_are_well(lab));
    lab_world_free(&lab);
}

static void test_needless_actions_cost_the_users(void **state)
{
    (void)state;
    struct lab_world *lab = lab_world_new(7, false, 50);
    lab_world_run(lab, WARM_UP);
    struct world_truth before = lab_world_truth(lab, PATIENT);
    struct world_done done = lab_world_remedy(lab, PATIENT, REMEDY_RESTART_SERVICE);
    assert_true(done.harmed && !done.needed && !done.cured);
    lab_world_run(lab, 10);
    double lost = lab_world_truth(lab, PATIENT).failed - before.failed;
    assert_true(lost > 0.5 * 400 * duration_seconds(done.took_ns));        /* what came while it was down */
    assert_true(lab_world_remedy(lab, PATIENT, REMEDY_DRAIN_NODE).harmed); /* nobody can stand in */
    lab_world_run(lab, 5);
    assert_true(lab_world_truth(lab, CALLER).ill);
    lab_world_free(&lab);
}

static void test_a_drained_node_gets_nothing_until_its_service_is_restarted(void **state)
{
    (void)state;
    struct lab_world *lab = lab_world_new(7, true, 200);
    lab_world_run(lab, WARM_UP);
    double alone = lab_world_value(lab, REPLICA, METRIC_REQUEST_RATE);
    assert_false(lab_world_remedy(lab, PATIENT, REMEDY_DRAIN_NODE).harmed);
    lab_world_run(lab, 5);
    assert_true(lab_world_value(lab, PATIENT, METRIC_REQUEST_RATE) < 1e-9);
    assert_true(lab_world_value(lab, REPLICA, METRIC_REQUEST_RATE) > 1.6 * alone);
    assert_true(users_are_well(lab));
    lab_world_remedy(lab, PATIENT, REMEDY_RESTART_SERVICE);
    lab_world_run(lab, 10);
    assert_true(lab_world_value(lab, PATIENT, METRIC_REQUEST_RATE) > 200);
    assert_true(lab_world_value(lab, REPLICA, METRIC_REQUEST_RATE) < 1.3 * alone);
    lab_world_free(&lab);
}

static void test_a_second_instance_takes_half_and_a_surge_of_twenty_needs_more(void **state)
{
    (void)state;
    struct lab_world *lab = lab_world_new(7, false, 50);
    lab_world_run(lab, WARM_UP);
    lab_world_strike_at(lab, PATIENT, FAULT_OVERLOAD, SHAPE_STEP, 20, 0);
    lab_world_run(lab, 10);
    int tries = 0;
    for (struct world_done done = {0}; !done.cured && tries < 8; tries++) {
        done = lab_world_remedy(lab, PATIENT, REMEDY_SCALE_OUT);
        lab_world_run(lab, 10);
    }
    assert_in_range(tries, 2, 4);
    assert_true(users_are_well(lab));
    lab_world_free(&lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_fault_moves_its_metrics_and_no_others),
        cmocka_unit_test(test_what_is_sick_below_shows_at_its_callers),
        cmocka_unit_test(test_silence_lies_and_wrong_clocks_are_told_apart_from_illness),
        cmocka_unit_test(test_cures_end_their_faults_and_nothing_else_does),
        cmocka_unit_test(test_one_cure_ends_a_flapping_fault_also_while_it_is_off),
        cmocka_unit_test(test_a_restarted_leak_gives_its_memory_back_and_leaks_again),
        cmocka_unit_test(test_a_crash_loop_runs_for_seconds_after_each_restart),
        cmocka_unit_test(test_shedding_hides_a_spike_and_burns_on),
        cmocka_unit_test(test_a_restart_in_an_overload_makes_it_worse),
        cmocka_unit_test(test_a_full_disk_lets_nothing_start),
        cmocka_unit_test(test_needless_actions_cost_the_users),
        cmocka_unit_test(test_a_drained_node_gets_nothing_until_its_service_is_restarted),
        cmocka_unit_test(test_a_second_instance_takes_half_and_a_surge_of_twenty_needs_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
