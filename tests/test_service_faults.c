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
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
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
    assert_string_equal(
        http(world, "GET", "/healthz", "")->body,
        "{\"status\":\"ok\",\"name\":\"web-1\",\"folder\":\"standby\",\"keys\":3,\"config\":0,"
        "\"shedding\":false}\n");
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

/* --- failing and full storage --- */

static off_t log_bytes(const struct world *world)
{
    struct stat status = {0};

    assert_int_equal(stat(world->log, &status), 0);
    return status.st_size;
}

static void failed_writes_are_refused_and_leave_no_trace(void **state)
{
    struct world *world = world_new();
    char path[16];
    int stored = 0;
    bool is_stored[60];

    (void)state;
    up(world);
    put(world, "/kv/before", "kept");
    off_t whole = log_bytes(world);
    page_set(world->page, FAULT_IO_ERROR, 1.0, monotonic_ns() + 5 * MINUTE);
    refuses(world, "PUT", "/kv/before", 503, "nothing was changed");
    refuses(world, "DELETE", "/kv/before", 503, "nothing was changed");
    holds(world, "/kv/before", "kept");
    assert_int_equal(log_bytes(world), whole);
    assert_int_equal(world->vitals->storage_errors, 2);

    page_set(world->page, FAULT_IO_ERROR, 0.5, monotonic_ns() + 5 * MINUTE);
    for (int i = 0; i < 60; i++) {
        snprintf(path, sizeof(path), "/kv/%d", i);
        int code = http(world, "PUT", path, "half")->code;
        assert_true(code == 204 || code == 503);
        is_stored[i] = code == 204;
        stored += code == 204;
    }
    print_message("# %d of 60 writes failed\n", 60 - stored);
    assert_in_range(stored, 10, 50);
    assert_int_equal(world->vitals->storage_errors, 2 + 60 - stored);
    page_clear(world->page, FAULT_IO_ERROR);
    put(world, "/kv/after", "there");
    again(world);
    for (int i = 0; i < 60; i++) {
        snprintf(path, sizeof(path), "/kv/%d", i);
        assert_int_equal(http(world, "GET", path, "")->code, is_stored[i] ? 200 : 404);
    }
    holds(world, "/kv/after", "there");
    down(world);
    world_free(world);
}

static void failing_storage_is_cured_by_the_other_folder(void **state)
{
    struct world *world = world_new();

    (void)state;
    up(world);
    put(world, "/kv/before", "kept");
    page_set(world->page, FAULT_IO_ERROR, 1.0, monotonic_ns() + 5 * MINUTE);
    refuses(world, "POST", "/admin/storage?folder=standby", 503, "goes on in the old one"); /* not renewed */
    page_renew(world->page, FAULT_IO_ERROR);

    /* A failover that fails cures nothing. */
    rmdir(world->standby);
    close(open(world->standby, O_WRONLY | O_CREAT, 0600));
    refuses(world, "POST", "/admin/storage?folder=standby", 503, "goes on in the old one");
    refuses(world, "PUT", "/kv/before", 503, "nothing was changed");
    unlink(world->standby);

    assert_int_equal(http(world, "POST", "/admin/storage?folder=standby", "")->code, 200);
    put(world, "/kv/after", "there");
    world->active = KV_STANDBY;
    again(world);
    holds(world, "/kv/before", "kept");
    holds(world, "/kv/after", "there");
    down(world);
    world_free(world);
}

static void a_full_disk_takes_no_write_until_there_is_room(void **state)
{
    struct world *world = world_new();
    char big[2001];

    (void)state;
    memset(big, 'v', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';
    up(world);
    put(world, "/kv/before", "kept");
    off_t whole = log_bytes(world);
    page_set_room(world->page, 1000);
    page_set(world->page, FAULT_DISK_FULL, 1.0, monotonic_ns() + 5 * MINUTE);
    assert_int_equal(http(world, "PUT", "/kv/big", big)->code, 507);
    assert_int_equal(log_bytes(world), whole);
    put(world, "/kv/small", "fits");
    page_set_room(world->page, 0);
    refuses(world, "PUT", "/kv/small", 507, "disk is full");
    refuses(world, "DELETE", "/kv/small", 507, "disk is full");
    holds(world, "/kv/small", "fits");
    assert_int_equal(world->vitals->storage_errors, 3);
    refuses(world, "POST", "/admin/storage?folder=standby", 503, "goes on in the old one");
    char draft[96];
    snprintf(draft, sizeof(draft), "%s/kv.log.new", world->standby);
    assert_int_equal(access(draft, F_OK), -1); /* it would take the room that is missing */

    page_clear(world->page, FAULT_DISK_FULL);
    put(world, "/kv/big", big);
    again(world);
    holds(world, "/kv/before", "kept");
    holds(world, "/kv/small", "fits");
    holds(world, "/kv/big", big);
    down(world);
    world_free(world);
}

static void it_does_not_start_where_it_cannot_write(void **state)
{
    struct world *world = world_new();

    (void)state;
    up(world);
    put(world, "/kv/before", "kept");
    down(world);
    page_set_room(world->page, 0);
    page_set(world->page, FAULT_DISK_FULL, 1.0, monotonic_ns() + 5 * MINUTE);
    assert_int_equal(fails_to_start(world), 3);
    assert_non_null(strstr(complaints(world), "/primary: the disk is full, and the service cannot start"));
    assert_int_equal(world->vitals->storage_errors, 1);
    assert_int_equal(world->vitals->storage_since, 0);
    page_clear(world->page, FAULT_DISK_FULL);

    page_set(world->page, FAULT_IO_ERROR, 1.0, monotonic_ns() + 5 * MINUTE);
    assert_int_equal(fails_to_start(world), 3);
    assert_non_null(strstr(complaints(world), "/primary: Input/output error, and the service cannot start"));
    page_clear(world->page, FAULT_IO_ERROR);

    up(world);
    holds(world, "/kv/before", "kept");
    down(world);
    world_free(world);
}

/* Not injected: a write that gets half its bytes to the disk. */
static void half_a_write_is_cut_back(void **state)
{
    struct world *world = world_new();
    struct rlimit limit, before;

    (void)state;
    up(world);
    put(world, "/kv/before", "kept");
    off_t whole = log_bytes(world);
    assert_int_equal(prlimit(world->pid, RLIMIT_FSIZE, NULL, &before), 0);
    limit = before;
    limit.rlim_cur = (rlim_t)whole + 10;
    assert_int_equal(prlimit(world->pid, RLIMIT_FSIZE, &limit, NULL), 0);
    assert_int_equal(http(world, "PUT", "/kv/torn", "more than ten bytes")->code, 503);
    assert_int_equal(log_bytes(world), whole);
    assert_int_equal(world->vitals->storage_errors, 1);

    assert_int_equal(prlimit(world->pid, RLIMIT_FSIZE, &before, NULL), 0);
    put(world, "/kv/after", "there");
    again(world);
    holds(world, "/kv/before", "kept");
    holds(world, "/kv/after", "there");
    refuses(world, "GET", "/kv/torn", 404, "no such key");
    down(world);
    world_free(world);
}

/* --- configurations --- */

static bool has_config(const struct world *world, int version)
{
    char text[32];

    snprintf(text, sizeof(text), "\"config\":%d,", version);
    return strstr(http(world, "GET", "/healthz", "")->body, text) != NULL;
}

/* How many of 200 requests find no route. */
static int refused_of_200(const struct world *world)
{
    int refused = 0;

    for (int i = 0; i < 200; i++) {
        struct answer *answer = http(world, i % 2 ? "GET" : "DELETE", "/kv/none", "");
        assert_true(answer->code == 404 || answer->code == 500);
        if (answer->code == 500)
            assert_string_equal(answer->body, "{\"error\":\"no route: the configuration is broken\"}\n");
        refused += answer->code == 500;
    }
    return refused;
}

static void a_broken_configuration_refuses_its_share_until_it_is_rolled_back(void **state)
{
    struct world *world = world_new();

    (void)state;
    configure(world, "{\"version\": 1}");
    up(world);
    assert_true(has_config(world, 1));
    page_set(world->page, FAULT_BAD_CONFIG, 0.5, monotonic_ns() + 5 * MINUTE);
    assert_int_equal(refused_of_200(world), 0); /* this one is not broken */
    configure(world, "{\"version\": 2, \"broken\": true}");
    kill(world->pid, SIGHUP);
    assert_soon(has_config(world, 2));
    int refused = refused_of_200(world);
    print_message("# %d of 200 found no route\n", refused);
    assert_in_range(refused, 60, 140);
    assert_int_equal(world->vitals->arrivals, 400);
    assert_int_equal(http(world, "POST", "/admin/storage?folder=standby", "")->code, 200);
    again(world);
    assert_true(refused_of_200(world) > 0); /* a restart cures nothing */
    page_level(world->page, FAULT_BAD_CONFIG, 1.0);
    assert_int_equal(refused_of_200(world), 200);

    page_renew(world->page, FAULT_BAD_CONFIG);
    configure(world, "{\"version\": 1}");
    kill(world->pid, SIGHUP);
    assert_soon(has_config(world, 1));
    assert_int_equal(refused_of_200(world), 0);
    configure(world, "{\"version\": 3, \"broken\": true}"); /* another victim than the fault's */
    kill(world->pid, SIGHUP);
    assert_soon(has_config(world, 3));
    assert_int_equal(refused_of_200(world), 0);
    down(world);
    world_free(world);
}

static int count_of(const char *text, const char *word)
{
    int count = 0;

    while ((text = strstr(text, word)) != NULL) {
        text += strlen(word);
        count++;
    }
    return count;
}

static void nonsense_is_complained_about_and_the_old_configuration_stays(void **state)
{
    static const struct {
        const char *text, *complaint;
    } cases[] = {
        {NULL, "No such file"},
        {"", "stays"},
        {"{\"version\": 5", "stays"},
        {"[5]", "object"},
        {"{}", "/version"},
        {"{\"version\": 0}", "/version"},
        {"{\"version\": \"5\"}", "/version"},
        {"{\"version\": 5, \"broken\": \"yes\"}", "/broken"},
        {"{\"version\": 5, \"brokn\": true}", "brokn"},
    };
    struct world *world = world_new();
    char *long_text;

    (void)state;
    configure(world, NULL);
    up(world); /* without one, too */
    assert_true(has_config(world, 0));
    assert_int_equal(count_of(complaints(world), "stays as it was"), 1);
    configure(world, "{\"version\": 4}\n");
    kill(world->pid, SIGHUP);
    assert_soon(has_config(world, 4));
    for (int i = 0; i < (int)(sizeof(cases) / sizeof(cases[0])); i++) {
        configure(world, cases[i].text);
        kill(world->pid, SIGHUP);
        assert_soon(count_of(complaints(world), "stays as it was") == 2 + i);
        assert_non_null(strstr(complaints(world), cases[i].complaint));
        assert_true(has_config(world, 4));
    }
    assert_true(asprintf(&long_text, "{\"version\": 5%5000s}", "") > 0);
    configure(world, long_text);
    free(long_text);
    kill(world->pid, SIGHUP);
    assert_soon(strstr(complaints(world), "File too large"));
    assert_true(has_config(world, 4));
    down(world);

    world->has_config = false; /* nothing to read again: it ends as a hung-up program does */
    up(world);
    assert_int_equal(end(world->pid, SIGHUP), 0);
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
        cmocka_unit_test(failed_writes_are_refused_and_leave_no_trace),
        cmocka_unit_test(failing_storage_is_cured_by_the_other_folder),
        cmocka_unit_test(a_full_disk_takes_no_write_until_there_is_room),
        cmocka_unit_test(it_does_not_start_where_it_cannot_write),
        cmocka_unit_test(half_a_write_is_cut_back),
        cmocka_unit_test(a_broken_configuration_refuses_its_share_until_it_is_rolled_back),
        cmocka_unit_test(nonsense_is_complained_about_and_the_old_configuration_stays),
        cmocka_unit_test(it_ends_at_once_even_while_it_burns_or_waits),
        cmocka_unit_test(requests_under_way_at_its_end_get_an_answer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
