/* Stories of the built-in service's faults, what cures them, and of its end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "service_world.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* --- faults --- */

/* Seconds that it ran, and waited to run, as the scheduler tells it. */
static double ran_cpu(const struct world *world, double *waited)
{
    char path[64];
    double ran;

    snprintf(path, sizeof(path), "/proc/%d/schedstat", (int)world->pid);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%lf %lf", &ran, waited), 2);
    fclose(file);
    *waited /= 1e9;
    return ran / 1e9;
}

/* Waiting counts: beside busy neighbours a spike gets less than it wants. */
static double wanted_cpu(const struct world *world)
{
    double waited, ran = ran_cpu(world, &waited);

    return ran + waited;
}

/* The share of a core that it really got, over a second in which users asked. */
static double burnt_share(const struct world *world)
{
    int64_t began_at = monotonic_ns();
    double waited, before = ran_cpu(world, &waited);

    while (seconds_since(began_at) < 1.0) {
        http(world, "GET", "/kv/a", "");
        pause_ms(2);
    }
    return (ran_cpu(world, &waited) - before) / seconds_since(began_at);
}

/* Its share of a core over a second, and the mean latency of users meanwhile. */
static double cpu_share(const struct world *world, double *latency)
{
    int64_t began_at = monotonic_ns();
    double before = wanted_cpu(world);
    int asked = 0;

    *latency = 0;
    while (seconds_since(began_at) < 1.0) {
        struct answer *answer = http(world, "GET", "/kv/a", "");
        assert_int_equal(answer->code, 404);
        *latency += answer->seconds;
        asked++;
        pause_ms(7);
    }
    *latency /= asked;
    return (wanted_cpu(world) - before) / seconds_since(began_at);
}

static void a_spike_is_felt_and_a_restart_cures_it(void **state)
{
    struct world *world = world_new();
    double latency;

    (void)state;
    up(world);
    double calm = cpu_share(world, &latency);
    print_message("# calm: cpu %.2f, latency %.1f ms\n", calm, latency * 1e3);
    assert_true(calm < 0.5);

    page_set(world->page, FAULT_CPU_SPIKE, 0.95, monotonic_ns() + MINUTE);
    pause_ms(100);
    double spike = cpu_share(world, &latency);
    print_message("# spike: cpu %.2f, latency %.1f ms\n", spike, latency * 1e3);
    assert_true(spike > 0.85);
    assert_true(latency > 0.02 && latency < 2);

    page_set(world->page, FAULT_CPU_SPIKE, 0.5, monotonic_ns() + MINUTE);
    pause_ms(100);
    assert_true(burnt_share(world) < 0.85); /* half a spike, and users, are not a whole one */

    page_set(world->page, FAULT_CPU_SPIKE, 0.95, monotonic_ns() + MINUTE);
    again(world);
    assert_soon(cpu_share(world, &latency) < 0.5);
    print_message("# after the restart: latency %.1f ms\n", latency * 1e3);
    down(world);
    world_free(world);
}

static bool write_is_slow(const struct world *world)
{
    struct answer *answer = http(world, "PUT", "/kv/slow", "x");

    assert_int_equal(answer->code, 204);
    return answer->seconds >= 0.25;
}

static void slow_storage_is_cured_by_the_other_folder_and_not_by_a_restart(void **state)
{
    struct world *world = world_new();
    static struct answer answer;

    (void)state;
    up(world);
    put(world, "/kv/before", "kept");
    page_set(world->page, FAULT_STORAGE_LATENCY, 0.25, monotonic_ns() + 5 * MINUTE);

    /* It holds the request loop, so readers feel it as well; and the vitals tell, even meanwhile. */
    int writer = user_of(world->port);
    ask(writer, "PUT", "/kv/meanwhile", "", "written");
    assert_soon(world->vitals->storage_since != 0 || world->vitals->storage_writes > 1);
    http(world, "GET", "/kv/before", "");
    assert_int_equal(answer_of(writer, &answer)->code, 204);
    assert_true(world->vitals->storage_ns >= 250 * MILLISECOND);
    assert_true(write_is_slow(world));
    again(world);
    assert_true(write_is_slow(world));

    page_renew(world->page, FAULT_STORAGE_LATENCY);
    assert_int_equal(http(world, "POST", "/admin/storage?folder=standby", "")->code, 200);
    assert_string_equal(http(world, "GET", "/healthz", "")->body,
                        "{\"status\":\"ok\",\"name\":\"web-1\",\"folder\":\"standby\",\"keys\":3}\n");
    assert_soon(!write_is_slow(world));
    put(world, "/kv/after", "there");
    holds(world, "/kv/before", "kept");

    world->active = KV_STANDBY;
    again(world);
    holds(world, "/kv/before", "kept");
    holds(world, "/kv/after", "there");
    assert_soon(!write_is_slow(world));
    down(world);
    world_free(world);
}

static void no_choice_of_folder_loses_a_write(void **state)
{
    struct world *world = world_new();

    (void)state;
    up(world);
    put(world, "/kv/one", "in the primary");
    assert_int_equal(http(world, "POST", "/admin/storage?folder=standby", "")->code, 200);
    put(world, "/kv/two", "in the standby");
    again(world); /* a node agent that forgot says primary again */
    holds(world, "/kv/one", "in the primary");
    holds(world, "/kv/two", "in the standby");
    put(world, "/kv/three", "in the primary again");
    assert_int_equal(http(world, "POST", "/admin/storage?folder=primary", "")->code, 200); /* it is there */
    world->active = KV_STANDBY;
    again(world);
    holds(world, "/kv/one", "in the primary");
    holds(world, "/kv/two", "in the standby");
    holds(world, "/kv/three", "in the primary again");
    down(world);
    world_free(world);
}

static void a_standby_that_cannot_be_used_changes_nothing(void **state)
{
    struct world *world = world_new();

    (void)state;
    up(world);
    put(world, "/kv/one", "here");
    int fd = open(world->standby, O_WRONLY | O_CREAT, 0600); /* a file where the folder should be */
    close(fd);
    refuses(world, "POST", "/admin/storage?folder=standby", 503, "goes on in the old one");
    put(world, "/kv/two", "here too");
    again(world);
    holds(world, "/kv/two", "here too");
    down(world);
    unlink(world->standby);
    world_free(world);
}

static void both_faults_end_with_their_lease(void **state)
{
    struct world *world = world_new();
    double latency;

    (void)state;
    up(world);
    int64_t until = monotonic_ns() + 1500 * MILLISECOND;
    page_set(world->page, FAULT_STORAGE_LATENCY, 0.25, until);
    assert_true(write_is_slow(world) || monotonic_ns() > until);
    page_set(world->page, FAULT_CPU_SPIKE, 0.9, until);
    assert_soon(!write_is_slow(world));
    assert_true(monotonic_ns() >= until);
    assert_soon(cpu_share(world, &latency) < 0.5);
    down(world);
    world_free(world);
}

/* --- its end --- */

static void it_ends_at_once_even_while_it_burns_or_waits(void **state)
{
    struct world *world = world_new();
    static struct answer answer;

    (void)state;
    up(world);
    page_set(world->page, FAULT_STORAGE_LATENCY, 10, monotonic_ns() + 5 * MINUTE);
    int writer = user_of(world->port);
    ask(writer, "PUT", "/kv/last", "", "word");
    assert_soon(world->vitals->storage_since != 0);
    int64_t began_at = monotonic_ns();
    down(world);
    print_message("# ended a waiting one in %.1f ms\n", seconds_since(began_at) * 1e3);
    assert_true(seconds_since(began_at) < 2);
    assert_int_equal(answer_of(writer, &answer)->code, 204);
    page_clear(world->page, FAULT_STORAGE_LATENCY);

    up(world);
    holds(world, "/kv/last", "word");
    page_set(world->page, FAULT_CPU_SPIKE, 1.0, monotonic_ns() + 5 * MINUTE);
    assert_soon(http(world, "GET", "/kv/last", "")->seconds > 0.03);
    began_at = monotonic_ns();
    down(world);
    print_message("# ended a burning one in %.1f ms\n", seconds_since(began_at) * 1e3);
    assert_true(seconds_since(began_at) < 2);
    world_free(world);
}

static void requests_under_way_at_its_end_get_an_answer(void **state)
{
    struct world *web = world_new(), *api = world_new();
    static struct answer answer;

    (void)state;
    up(api);
    calls(web, api);
    up(web);
    kill(api->pid, SIGSTOP);
    int user = user_of(web->port);
    ask(user, "GET", "/kv/a", "", "");
    assert_true(is_silent(user, 50));
    down(web);
    answer_of(user, &answer);
    assert_true(answer.code == 503 || answer.code == 502); /* 502 if it came too late to be interrupted */
    down(api);
    world_free(web);
    world_free(api);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_spike_is_felt_and_a_restart_cures_it),
        cmocka_unit_test(slow_storage_is_cured_by_the_other_folder_and_not_by_a_restart),
        cmocka_unit_test(no_choice_of_folder_loses_a_write),
        cmocka_unit_test(a_standby_that_cannot_be_used_changes_nothing),
        cmocka_unit_test(both_faults_end_with_their_lease),
        cmocka_unit_test(it_ends_at_once_even_while_it_burns_or_waits),
        cmocka_unit_test(requests_under_way_at_its_end_get_an_answer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
