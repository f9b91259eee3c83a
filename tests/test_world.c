/* The world as a whole: equal runs are equal, randomness is kept apart by purpose, storms outlive their
 * cause. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "base/approx.h"
#include "base/check.h"
#include "base/random.h"
#include "world_lab.h"

/* --- the numbers underneath ----------------------------------------------------------------------------- */

static bool near(double a, double b, double relative)
{
    double d = a - b, scale = b < 0 ? -b : b;
    return (d < 0 ? -d : d) <= relative * (scale > 1 ? scale : 1);
}

static void test_the_approximations_are_near_enough(void **state)
{
    (void)state;
    double product = 1;
    for (int i = 0; i <= 40; i++, product *= 1.4142135623730951) {
        assert_true(near(approx_exp2(i / 2.0) / product, 1, 1e-7));
        assert_true(near(approx_log2(product), i / 2.0, 1e-8));
    }
    for (double x = 0.001; x < 5000; x *= 1.003) {
        assert_true(near(approx_exp2(approx_log2(x)) / x, 1, 1e-7));
    }
    assert_true(near(approx_exp(1), 2.718281828459045, 1e-7));
    assert_true(near(approx_sine(0), 0, 1e-9) && near(approx_sine(0.25), 1, 1e-5) &&
                near(approx_sine(0.5), 0, 1e-9));
    assert_true(near(approx_sine(0.75), -1, 1e-5) && near(approx_sine(1.0 / 12), 0.5, 1e-6));
    assert_true(approx_exp2(-1e9) >= 0 && approx_exp2(1e9) < 1e302);
}

static void test_the_draws_have_the_shapes_that_they_are_said_to_have(void **state)
{
    (void)state;
    enum { N = 200000 };
    uint64_t stream = random_stream(random_key(1, 2), 3);
    double units = 0, gauss = 0, squares = 0, beyond_8 = 0;
    for (uint64_t i = 0; i < N; i++) {
        uint64_t draw = random_draw(stream, i);
        units += random_unit(draw) / N;
        gauss += random_gauss(draw) / N;
        squares += random_gauss(draw) * random_gauss(draw) / N;
        double pareto = random_pareto(draw, 1.5);
        assert_true(pareto >= 1 - 1e-7);
        beyond_8 += pareto > 8 ? 1.0 / N : 0;
    }
    assert_true(near(units, 0.5, 0.01) && near(gauss, 0, 0.01) && near(squares, 1, 0.01));
    assert_true(near(beyond_8, 0.0442, 0.003)); /* 8^-1.5 */
}

/* --- equal runs are equal ------------------------------------------------------------------------------- */

/* Faults of every kind and shape and remedies of every kind, in an order that hangs on nothing but `salt`. */
static uint64_t eventful_run(uint64_t seed)
{
    struct lab_world *lab = lab_world_new(seed, true, 200);
    uint64_t dice = random_stream(99, 1);
    for (uint64_t i = 0; i < 300; i++) {
        uint64_t draw = random_draw(dice, i);
        enum fault_kind kind = (enum fault_kind)(draw % FAULT_COUNT);
        const struct world_fault fault = {.node = (uint32_t)(draw >> 8) % 3,
                                          .kind = (uint8_t)kind,
                                          .shape = (uint8_t)((draw >> 16) % SHAPE_COUNT),
                                          .intensity = fault_infos[kind].intensity,
                                          .from_at = lab->now,
                                          .until_at = lab->now + (instant)(draw >> 32 & 0xff) * SECOND + 1,
                                          .period_ns = 10 * SECOND};
        world_strike(lab->world, &fault);
        lab_world_run(lab, 7);
        lab_world_remedy(lab, (uint32_t)(draw >> 24) % 3, (enum remedy)((draw >> 40) % (REMEDY_COUNT + 1)));
        lab_world_run(lab, 3);
        for (uint32_t n = 0; n < 3; n++) { /* whatever happens, numbers stay numbers */
            for (int m = 0; m < METRIC_COUNT; m++) {
                assert_true(lab->sample[n].value[m] >= 0 && lab->sample[n].value[m] < 1e12);
            }
        }
    }
    uint64_t digest = world_digest(lab->world);
    lab_world_free(&lab);
    return digest;
}

static void test_equal_seeds_give_equal_worlds_on_every_compiler(void **state)
{
    (void)state;
    uint64_t digest = eventful_run(5);
    print_message("# digest of an eventful run: %016llx\n", (unsigned long long)digest);
    assert_true(digest == eventful_run(5));
    assert_true(digest != eventful_run(6));
}

static void test_a_draw_more_shifts_no_other(void **state)
{
    (void)state;
    struct lab_world *lab = lab_world_new(5, false, 200);
    lab_world_run(lab, 60);
    for (int i = 0; i < 5; i++) {
        lab_world_remedy(lab, PATIENT,
                         REMEDY_RESET_NETWORK); /* each draws how long it takes, and changes nothing */
    }
    for (int i = 0; i < 3600; i++) {
        lab_world_run(lab, 1);
        assert_memory_equal(lab->sample, lab->well, sizeof lab->sample);
    }
    lab_world_free(&lab);
}

static void test_who_samples_more_often_sees_the_same_weather(void **state)
{
    (void)state;
    struct lab_world *often = lab_world_new(5, false, 200), *seldom = lab_world_new(5, false, 200);
    lab_world_run(often, 3600);
    seldom->now = 3599 * SECOND;
    lab_world_run(seldom, 1);
    double a = lab_world_value(often, PATIENT, METRIC_NETWORK_LATENCY);
    double b = lab_world_value(seldom, PATIENT, METRIC_NETWORK_LATENCY);
    assert_true(a >= b && a <= b);
    lab_world_free(&often);
    lab_world_free(&seldom);
}

/* A world of odd sizes, from nothing at all to absurd. */
static struct world *odd_world(uint64_t stream)
{
    struct world_config config = {.node_capacity = 8,
                                  .retries = (uint32_t)(random_draw(stream, 0) % 17),
                                  .seed = stream,
                                  .wave_ratio = 2 * random_unit(random_draw(stream, 1)),
                                  .wave_ns = (duration)(random_draw(stream, 2) % (2 * HOUR)),
                                  .burst_per_hour = 10 * random_unit(random_draw(stream, 3)),
                                  .noise_ratio = 4 * random_unit(random_draw(stream, 4)),
                                  .timeout_ns = 1 + (duration)(random_draw(stream, 5) % MINUTE),
                                  .warm_ns = (duration)(random_draw(stream, 6) % MINUTE)};
    struct world *world = world_init(calloc(1, world_size(&config)), &config);
    for (uint32_t n = 0; n < 8; n++) {
        uint64_t mine = random_stream(stream, n);
        struct world_node node = {.calls_count = (uint32_t)(random_draw(mine, 0) % (CALLS_MAX + 1)),
                                  .role = (uint16_t)(random_draw(mine, 1) % 3),
                                  .users_per_s = random_pareto(random_draw(mine, 2), 0.3) - 1,
                                  .capacity_per_s = random_pareto(random_draw(mine, 3), 0.3),
                                  .service_time_s = random_unit(random_draw(mine, 4)),
                                  .memory_bytes = 1e9 * random_unit(random_draw(mine, 5)),
                                  .storage_latency_s = random_unit(random_draw(mine, 6)),
                                  .network_latency_s = random_unit(random_draw(mine, 7))};
        node.users_per_s = node.users_per_s < 1e6 ? node.users_per_s : 1e6;
        node.capacity_per_s = node.capacity_per_s < 1e6 ? node.capacity_per_s : 1e6;
        for (uint32_t i = 0; i < CALLS_MAX; i++) { /* in circles, twice, and to itself */
            node.calls[i] = (uint32_t)(random_draw(mine, 8 + i) % 8);
        }
        world_add(world, n, &node, 0);
    }
    return world;
}

static void test_odd_worlds_give_numbers_all_the_same(void **state)
{
    (void)state;
    static const double most[METRIC_COUNT] = {[METRIC_CPU_UTILIZATION] = 1,
                                              [METRIC_SERVICE_UP] = 1,
                                              [METRIC_ERROR_RATIO] = 1,
                                              [METRIC_FILESYSTEM_UTILIZATION] = 1,
                                              [METRIC_NEIGHBOUR_CPU_UTILIZATION] = 1,
                                              [METRIC_NODE_MEMORY_UTILIZATION] = 1};
    for (uint64_t w = 0; w < 200; w++) {
        uint64_t stream = random_stream(w, 4);
        struct world *world = odd_world(stream);
        instant now = 0;
        for (uint64_t i = 0; i < 800; i++) {
            uint64_t draw = random_draw(random_stream(stream, 9), i);
            enum fault_kind kind = (enum fault_kind)(draw % FAULT_COUNT);
            const struct fault_info *info = &fault_infos[kind];
            struct world_fault fault = {.node = (uint32_t)(draw >> 8) % 8,
                                        .kind = (uint8_t)kind,
                                        .shape = (uint8_t)((draw >> 16) % SHAPE_COUNT),
                                        .intensity = (draw >> 20 & 1) != 0 ? info->least : info->most,
                                        .from_at = now + (instant)(draw >> 50 & 7) * SECOND,
                                        .until_at = now + (instant)(draw >> 32 & 0xff) * SECOND,
                                        .period_ns = (instant)(draw >> 40 & 0xff) * SECOND};
            world_strike(world, &fault);
            struct world_done done;
            struct world_sample sample;
            struct world_truth before, after;
            now += (instant)(random_mix(draw) % (5 * SECOND));
            world_truth(world, i % 8, now, &before);
            world_sample(world, i % 8, now, &sample);
            world_truth(world, i % 8, now, &after);
            assert_true(after.served >= before.served && after.failed >= before.failed &&
                        after.failed < 1e15);
            for (int m = 0; m < METRIC_COUNT; m++) {
                double x = sample.value[m];
                assert_true(x >= 0 && x <= (most[m] > 0 ? most[m] : 1e15));
            }
            world_remedy(world, (uint32_t)(draw >> 24) % 8, (enum remedy)((draw >> 28) % REMEDY_COUNT), now,
                         &done);
        }
        free(world);
    }
}

/* --- shapes --------------------------------------------------------------------------------------------- */

/* Added network latency in each of the next 40 seconds. */
static void record_shape(enum shape shape, double added[40])
{
    struct lab_world *lab = lab_world_new(5, false, 200);
    lab_world_run(lab, 10);
    lab_world_strike_at(lab, PATIENT, FAULT_NETWORK_DELAY, shape, 0.2, 40);
    for (int i = 0; i < 40; i++) {
        lab_world_run(lab, 1);
        added[i] = lab_world_value(lab, PATIENT, METRIC_NETWORK_LATENCY) -
                   lab_world_well(lab, PATIENT, METRIC_NETWORK_LATENCY);
    }
    assert_int_equal(lab_world_truth(lab, PATIENT).faults, 0); /* over by itself */
    assert_true(added[39] < 1e-12);
    lab_world_free(&lab);
}

static void test_shapes_go_over_time_as_they_are_called(void **state)
{
    (void)state;
    double a[40];
    for (int s = 0; s < SHAPE_COUNT; s++) {
        assert_int_equal(shape_of(shape_name((enum shape)s)), s);
    }
    assert_int_equal(shape_of("round"), -1);
    record_shape(SHAPE_STEP, a);
    assert_true(near(a[0], 0.2, 1e-9) && near(a[38], 0.2, 1e-9));
    record_shape(SHAPE_RAMP, a);
    assert_true(near(a[9], 0.1, 1e-9) && near(a[19], 0.2, 1e-9) && near(a[30], 0.2, 1e-9));
    record_shape(SHAPE_SPIKE, a);
    assert_true(near(a[0], 0.2, 1e-9) && a[5] < 1e-12 && near(a[20], 0.2, 1e-9));
    record_shape(SHAPE_SAWTOOTH, a);
    assert_true(near(a[9], 0.1, 1e-9) && near(a[18], 0.19, 1e-9) && near(a[29], 0.1, 1e-9));
    record_shape(SHAPE_FLAPPING, a);
    assert_true(near(a[5], 0.2, 1e-9) && a[14] < 1e-12 && near(a[25], 0.2, 1e-9) && a[34] < 1e-12);
    record_shape(SHAPE_GRAY, a);
    assert_true(near(a[5], 0.03, 1e-9));
}

static void test_faults_that_cannot_be_are_refused(void **state)
{
    (void)state;
    struct lab_world *lab = lab_world_new(5, false, 200);
    lab_world_run(lab, 1);
    const struct world_fault good = {.node = PATIENT,
                                     .kind = FAULT_CPU_SPIKE,
                                     .intensity = 0.9,
                                     .from_at = lab->now,
                                     .until_at = INSTANT_NEVER};
    struct world_fault bad[9];
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        bad[i] = good;
    }
    bad[0].node = 2;
    bad[1].node = UINT32_MAX;
    bad[2].kind = FAULT_COUNT;
    bad[3].shape = SHAPE_COUNT;
    bad[4].intensity = 1.01;
    bad[5].intensity = __builtin_nan("");
    bad[6].until_at = lab->now;
    bad[7].shape = SHAPE_FLAPPING;                                                      /* without a period */
    bad[8].kind = FAULT_SERVICE_CRASH, bad[8].intensity = 1, bad[8].shape = SHAPE_GRAY; /* half a death */
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        assert_false(world_strike(lab->world, &bad[i]));
    }
    for (int i = 0; i < WORLD_FAULTS_PER_NODE; i++) {
        assert_true(world_strike(lab->world, &good));
    }
    assert_false(world_strike(lab->world, &good)); /* one too many */
    world_clear(lab->world, PATIENT, FAULT_CPU_SPIKE, lab->now);
    assert_true(world_strike(lab->world, &good));
    lab_world_free(&lab);
}

static void test_several_faults_at_once_add_up_and_are_cured_one_by_one(void **state)
{
    (void)state;
    struct lab_world *lab = lab_world_new(5, false, 200);
    lab_world_run(lab, 60);
    lab_world_strike(lab, FAULT_NETWORK_DELAY, SHAPE_STEP);
    lab_world_strike(lab, FAULT_STORAGE_LATENCY, SHAPE_STEP);
    lab_world_run(lab, 5);
    assert_true(lab_world_value(lab, PATIENT, METRIC_REQUEST_LATENCY) > 0.45);
    assert_true(lab_world_remedy(lab, PATIENT, REMEDY_RESET_NETWORK).cured);
    lab_world_run(lab, 5);
    assert_int_equal(lab_world_truth(lab, PATIENT).faults, 1u << FAULT_STORAGE_LATENCY);
    assert_true(lab_world_truth(lab, PATIENT).ill);
    assert_true(lab_world_remedy(lab, PATIENT, REMEDY_FAILOVER_STORAGE).cured);
    lab_world_run(lab, 5);
    assert_false(lab_world_truth(lab, PATIENT).ill);
    lab_world_free(&lab);
}

/* --- the storm that outlives its cause ------------------------------------------------------------------ */

/* The patient has 540 users and 600 calls/s, of 2000; a surge of its own users lasts 30 s, and the caller's
 * retries stay. */
static struct lab_world *stormy(void)
{
    struct lab_world *lab = lab_world_new(5, false, 600);
    lab_world_run(lab, 120);
    lab_world_strike_at(lab, PATIENT, FAULT_OVERLOAD, SHAPE_STEP, 6, 30);
    lab_world_run(lab, 31);
    return lab;
}

static void expect_storm(const struct lab_world *lab)
{
    struct world_truth truth = lab_world_truth(lab, PATIENT);
    assert_int_equal(truth.faults, 0); /* there is no cause any more */
    assert_true(truth.ill && truth.ill_by_itself);
    assert_true(lab_world_truth(lab, CALLER).ill);
    assert_false(lab_world_truth(lab, CALLER).ill_by_itself);
}

static void test_a_retry_storm_outlives_its_cause_and_shedding_ends_it(void **state)
{
    (void)state;
    struct lab_world *lab = stormy();
    lab_world_run(lab, 600); /* ten minutes later it is as bad as ever */
    expect_storm(lab);
    struct world_done restart = lab_world_remedy(lab, PATIENT, REMEDY_RESTART_SERVICE);
    assert_true(restart.harmed && !restart.cured && restart.needed);
    lab_world_run(lab, 60); /* the callers' herd was waiting at its door */
    expect_storm(lab);
    struct world_done shed = lab_world_remedy(lab, PATIENT, REMEDY_SHED_LOAD);
    assert_true(shed.cured && !shed.harmed);
    lab_world_run(lab, 15);
    assert_false(lab_world_truth(lab, PATIENT).ill);
    assert_false(lab_world_truth(lab, CALLER).ill);
    lab_world_run(lab, 600);
    assert_true(lab_world_value(lab, PATIENT, METRIC_ERROR_RATIO) < 0.05);
    lab_world_free(&lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_approximations_are_near_enough),
        cmocka_unit_test(test_the_draws_have_the_shapes_that_they_are_said_to_have),
        cmocka_unit_test(test_equal_seeds_give_equal_worlds_on_every_compiler),
        cmocka_unit_test(test_a_draw_more_shifts_no_other),
        cmocka_unit_test(test_who_samples_more_often_sees_the_same_weather),
        cmocka_unit_test(test_odd_worlds_give_numbers_all_the_same),
        cmocka_unit_test(test_shapes_go_over_time_as_they_are_called),
        cmocka_unit_test(test_faults_that_cannot_be_are_refused),
        cmocka_unit_test(test_several_faults_at_once_add_up_and_are_cured_one_by_one),
        cmocka_unit_test(test_a_retry_storm_outlives_its_cause_and_shedding_ends_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
