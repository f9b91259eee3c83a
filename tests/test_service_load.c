/* Stories of the built-in service under load: its capacity, shedding, and a second instance. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "service_world.h"

#include "service/shed.h"
#include "service/upstream.h"

#include <math.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static struct answer last; /* large: what answer_of() fills */

/* Seconds that its process has run. */
static double ran_s(const struct world *world)
{
    char path[64];
    double ran;

    snprintf(path, sizeof(path), "/proc/%d/schedstat", (int)world->pid);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%lf", &ran), 1);
    fclose(file);
    return ran / 1e9;
}

static void get(int fd)
{
    ask(fd, "GET", "/kv/a", "", "");
}

static bool is_shedding(const struct world *world)
{
    return strstr(http(world, "GET", "/healthz", "")->body, "\"shedding\":true") != NULL;
}

/* --- capacity --- */

static void each_request_costs_its_part_of_the_capacity(void **state)
{
    struct world *world = world_new();

    (void)state;
    world->capacity = 25;
    up(world);
    double before = ran_s(world);
    put(world, "/kv/a", "x");
    holds(world, "/kv/a", "x");
    assert_int_equal(http(world, "DELETE", "/kv/a", "")->code, 204);
    refuses(world, "GET", "/kv/a", 404, "no such key");
    double worked = ran_s(world) - before;
    print_message("# four requests: %.1f ms of processor time\n", worked * 1e3);
    assert_true(worked >= 0.159 && worked < 0.5);

    before = ran_s(world);
    for (int i = 0; i < 4; i++) {
        http(world, "GET", "/healthz", "");
        refuses(world, "GET", "/kv/", 400, "1 to 128 characters"); /* what is refused is no work */
    }
    assert_true(ran_s(world) - before < 0.08);
    assert_int_equal(world->vitals->arrivals, 8);
    down(world);
    world_free(world);
}

static void nonsense_about_capacity_and_instances_is_refused(void **state)
{
    static const double bad[] = {-1, 0.5, 1e9, (double)NAN, (double)INFINITY};
    struct world *world = world_new();
    int page = world->page_fd;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        world->capacity = bad[i];
        assert_int_equal(fails_to_start(world), 2);
    }
    assert_non_null(strstr(complaints(world), "the capacity is 1 to 100000 requests per second"));
    pid_t child = start();
    if (child == 0) {
        struct service_options options = {
            .name = "x", .address = "127.0.0.1", .page_fd = page, .vitals_fd = -1};
        if (service_main(options) != 2) /* neither data nor a primary */
            _exit(1);
        options.primary = (struct service_upstream){.host = "127.0.0.1", .port = 1};
        options.data_dir = world->primary;
        if (service_main(options) != 2) /* both */
            _exit(1);
        options.data_dir = NULL;
        options.primary.host = "nonsense";
        _exit(service_main(options) == 2 ? 0 : 1);
    }
    assert_int_equal(end(child, 0), 0);
    world_free(world);
}

static void who_has_no_work_to_do_need_not_wait(void **state)
{
    enum { USERS = 40 };
    struct world *world = world_new();
    int users[USERS];

    (void)state;
    world->capacity = 20;
    up(world);
    for (int i = 0; i < USERS; i++)
        get(users[i] = user_of(world->port));
    assert_int_equal(http(world, "GET", "/healthz", "")->code, 200);
    assert_true(is_silent(users[USERS - 1], 0));
    for (int i = 0; i < USERS; i++)
        assert_int_equal(answer_of(users[i], &last)->code, 404);
    down(world);
    world_free(world);
}

static void writes_that_wait_for_their_turn_still_share_fsyncs(void **state)
{
    enum { USERS = 40 };
    struct world *world = world_new();
    int users[USERS];

    (void)state;
    world->capacity = 1000;
    up(world);
    page_set(world->page, FAULT_STORAGE_LATENCY, 0.3, monotonic_ns() + MINUTE);
    for (int i = 0; i < USERS; i++)
        ask(users[i] = user_of(world->port), "PUT", "/kv/a", "", "x");
    for (int i = 0; i < USERS; i++)
        assert_int_equal(answer_of(users[i], &last)->code, 204);
    assert_true(world->vitals->storage_writes <= USERS / 4);
    down(world);
    world_free(world);
}

/* And the crowd does not keep it from ending. */
static void more_than_it_can_keep_waiting_are_told_so(void **state)
{
    enum { USERS = SERVICE_WAITING_MAX + 200 };
    struct world *world = world_new();
    struct rlimit limit = {0};
    static int users[USERS];
    int ended = 0, crowded = 0;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max < 4096 ? limit.rlim_max : 4096;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    world->capacity = 4;
    up(world);
    for (int i = 0; i < USERS; i++)
        get(users[i] = user_of(world->port));
    assert_soon(world->vitals->arrivals == USERS);
    int64_t began_at = monotonic_ns();
    down(world);
    double took = seconds_since(began_at);
    print_message("# ended with %d waiting in %.0f ms\n", SERVICE_WAITING_MAX, took * 1e3);
    assert_true(took < 2);
    for (int i = 0; i < USERS; i++) {
        answer_of(users[i], &last);
        crowded += last.code == 503 && strstr(last.body, "too many requests wait already");
        ended += last.code == 503 && strstr(last.body, "being ended");
    }
    assert_in_range(crowded, 100, 200); /* but for those whose turn came meanwhile */
    assert_in_range(ended, 900, SERVICE_WAITING_MAX);
    world_free(world);
}

/* --- shedding --- */

static int offer(struct shed *shed, int64_t *now, double per_s, int seconds)
{
    int let_in = 0, count = (int)(per_s * seconds);

    for (int i = 0; i < count; i++) {
        *now += duration_from_seconds(1 / per_s);
        let_in += shed_lets_in(shed, *now);
    }
    return let_in;
}

static void four_fifths_get_in_until_it_has_been_calm(void **state)
{
    struct shed shed = {.capacity = 100};
    int64_t now = 5 * MINUTE;

    (void)state;
    assert_int_equal(offer(&shed, &now, 500, 2), 1000); /* it is off */
    shed_begin(&shed, now);
    assert_in_range(offer(&shed, &now, 500, 10), 790, 805);
    assert_true(shed_is_on(&shed, now));
    int64_t until = now;
    assert_int_equal(offer(&shed, &now, 75, 20), 1500); /* under the limit, and too much to end it */
    assert_true(shed_is_on(&shed, now));
    offer(&shed, &now, 60, 4);
    assert_true(shed_is_on(&shed, now));
    offer(&shed, &now, 90, 2); /* begins anew */
    offer(&shed, &now, 60, 4);
    shed_begin(&shed, now); /* nothing new */
    assert_true(shed_is_on(&shed, now));
    offer(&shed, &now, 60, 3);
    assert_false(shed_is_on(&shed, now));
    assert_true(now - until > 20 * SECOND);

    shed_begin(&shed, now); /* nobody comes at all */
    assert_true(shed_is_on(&shed, now + 4 * SECOND));
    assert_false(shed_is_on(&shed, now + 10 * MINUTE));

    struct shed small = {.capacity = 2}; /* whose bucket would not hold a single request */
    shed_begin(&small, 0);
    now = 0;
    assert_in_range(offer(&small, &now, 100, 10), 15, 17);
    shed_end(&small);
    assert_false(shed_is_on(&small, now));
}

static void order(const struct world *world, bool on)
{
    struct answer *answer = http(world, "POST", on ? "/admin/shed?on=yes" : "/admin/shed?on=no", "");

    assert_int_equal(answer->code, 200);
    assert_non_null(strstr(answer->body, on ? "{\"shedding\":true,\"capacity\":" : "{\"shedding\":false,"));
}

static void what_is_too_much_is_turned_away_at_once(void **state)
{
    enum { USERS = 200, TOGETHER = 30 };
    struct world *world = world_new();
    int users[USERS], let_in = 0;
    char reply[512] = "";

    (void)state;
    world->capacity = 50;
    up(world);
    assert_false(is_shedding(world));
    order(world, true);
    order(world, true);
    assert_true(is_shedding(world));
    int64_t began_at = monotonic_ns();
    for (int i = 0; i < USERS; i++)
        get(users[i] = user_of(world->port));
    for (int i = 0; i < USERS; i++) {
        answer_of(users[i], &last);
        assert_true(last.code == 404 || last.code == 429);
        let_in += last.code == 404;
    }
    double took = seconds_since(began_at);
    print_message("# %d of %d let in, in %.2f s\n", let_in, USERS, took);
    assert_true(let_in >= 1 && let_in <= 4 + took * 40);
    assert_true(let_in < USERS / 2 || took > 2);

    kill(world->pid, SIGSTOP); /* so that they come together, however slow we are */
    for (int i = 0; i < TOGETHER; i++)
        get(users[i] = user_of(world->port));
    kill(world->pid, SIGCONT);
    for (int i = 0; i < TOGETHER; i++) {
        if (!strstr(reply, " 429 ")) {
            memset(reply, 0, sizeof(reply));
            recv(users[i], reply, sizeof(reply) - 1, 0);
        }
        close(users[i]);
    }
    assert_non_null(strstr(reply, "Retry-After: 1\r\n"));
    order(world, false);
    assert_false(is_shedding(world));
    for (int i = 0; i < 10; i++)
        assert_int_equal(http(world, "GET", "/kv/a", "")->code, 404);
    down(world);
    world_free(world);
}

static void what_waits_when_it_begins_is_turned_away(void **state)
{
    enum { USERS = 20 };
    struct world *world = world_new();
    int users[USERS], away = 0;

    (void)state;
    world->capacity = 4;
    up(world);
    for (int i = 0; i < USERS; i++)
        get(users[i] = user_of(world->port));
    order(world, true);
    for (int i = 0; i < USERS; i++)
        away += answer_of(users[i], &last)->code == 429;
    print_message("# %d of %d turned away\n", away, USERS);
    assert_true(away >= USERS / 2);
    down(world);
    world_free(world);
}

/* The processor time of requests whose users left before they were read. */
static double cost_of_the_gone(const struct world *world)
{
    uint64_t before = world->vitals->requests;

    kill(world->pid, SIGSTOP);
    double ran = ran_s(world);
    for (int i = 0; i < 4; i++) {
        int user = user_of(world->port);
        get(user);
        close(user);
    }
    kill(world->pid, SIGCONT);
    assert_soon(world->vitals->requests == before + 4);
    return ran_s(world) - ran;
}

static void work_for_users_who_have_left_is_spared_only_while_shedding(void **state)
{
    struct world *world = world_new();

    (void)state;
    world->capacity = 100;
    up(world);
    double usual = cost_of_the_gone(world);
    order(world, true);
    double shedding = cost_of_the_gone(world);
    print_message("# %.1f ms for four who had left, %.1f ms while shedding\n", usual * 1e3, shedding * 1e3);
    assert_true(usual >= 0.039);
    assert_true(shedding < 0.02);
    down(world);
    world_free(world);
}

static void shedding_ends_by_itself(void **state)
{
    struct world *world = world_new();

    (void)state;
    world->capacity = 100;
    up(world);
    int64_t began_at = monotonic_ns();
    order(world, true);
    assert_soon(!is_shedding(world));
    assert_true(seconds_since(began_at) >= 5);
    down(world);
    world_free(world);
}

/* --- a second instance --- */

static void a_second_instance_does_the_work_and_leaves_the_map_to_the_first(void **state)
{
    struct world *first = world_new();
    static char big[KV_VALUE_MAX_BYTES + 2];

    (void)state;
    first->capacity = 25;
    up(first);
    struct world *second = second_new(first);
    up(second);
    double first_ran = ran_s(first), second_ran = ran_s(second);
    put(second, "/kv/a%26b", "through the second");
    holds(second, "/kv/a%26b", "through the second");
    put(second, "/kv/empty", "");
    holds(second, "/kv/empty", "");
    assert_int_equal(http(second, "DELETE", "/kv/empty", "")->code, 204);
    refuses(second, "GET", "/kv/empty", 404, "no such key");
    first_ran = ran_s(first) - first_ran;
    second_ran = ran_s(second) - second_ran;
    print_message("# six requests: %.0f ms in the second, %.0f ms in the first\n", second_ran * 1e3,
                  first_ran * 1e3);
    assert_true(second_ran >= 0.239);
    assert_true(first_ran < 0.1);
    assert_int_equal(first->vitals->arrivals, 6);
    assert_int_equal(first->vitals->requests, 6);
    holds(first, "/kv/a%26b", "through the second");

    memset(big, 'v', KV_VALUE_MAX_BYTES);
    put(second, "/kv/big", big);
    holds(second, "/kv/big", big);
    big[KV_VALUE_MAX_BYTES] = 'v';
    assert_int_equal(http(second, "PUT", "/kv/big", big)->code, 413);
    refuses(second, "GET", "/kv/", 400, "1 to 128 characters");
    assert_string_equal(http(second, "GET", "/healthz", "")->body,
                        "{\"status\":\"ok\",\"name\":\"web-1\",\"config\":0,\"shedding\":false}\n");
    refuses(second, "POST", "/admin/storage?folder=standby", 409, "no data folder");
    order(second, true);
    assert_true(is_shedding(second));
    assert_false(is_shedding(first));
    assert_int_equal(access(second->primary, F_OK), -1);
    down(second);
    down(first);
    world_free(second);
    world_free(first);
}

static void both_together_ask_an_upstream_once(void **state)
{
    struct world *api = world_new(), *first = world_new();

    (void)state;
    up(api);
    calls(first, api);
    up(first);
    struct world *second = second_new(first);
    calls(second, api);
    up(second);
    for (int i = 0; i < 5; i++)
        put(second, "/kv/a", "x");
    assert_int_equal(api->vitals->arrivals, 5);
    end(api->pid, SIGKILL);
    refuses(second, "GET", "/kv/a", 502, "an upstream failed");
    down(second);
    down(first);
    world_free(second);
    world_free(first);
    world_free(api);
}

static void without_the_first_the_second_says_so(void **state)
{
    struct world *first = world_new();

    (void)state;
    up(first);
    struct world *second = second_new(first), *third = second_new(second);
    up(second);
    put(second, "/kv/a", "kept");
    kill(first->pid, SIGSTOP);
    struct answer *answer = http(second, "GET", "/kv/a", "");
    assert_int_equal(answer->code, 502);
    assert_string_equal(answer->body, "{\"error\":\"the primary instance did not answer\"}\n");
    assert_true(answer->seconds >= 0.85);
    end(first->pid, SIGKILL);
    refuses(second, "PUT", "/kv/a", 502, "the primary instance did not answer");
    up(first);
    assert_soon(http(second, "GET", "/kv/a", "")->code == 200);
    holds(second, "/kv/a", "kept");

    up(third); /* a chain is none */
    refuses(third, "GET", "/kv/a", 508, "nobody's primary");

    /* Its end does not wait for a silent primary either. */
    kill(first->pid, SIGSTOP);
    int user = user_of(second->port);
    get(user);
    assert_true(is_silent(user, 50));
    int64_t began_at = monotonic_ns();
    down(second);
    assert_true(seconds_since(began_at) < 2);
    assert_true(answer_of(user, &last)->code >= 502);
    down(third);
    down(first);
    world_free(third);
    world_free(second);
    world_free(first);
}

static void a_second_instance_leaves_the_first_ones_vitals_and_faults_alone(void **state)
{
    struct world *first = world_new();

    (void)state;
    configure(first, "{\"version\": 1, \"broken\": true}");
    page_set(first->page, FAULT_BAD_CONFIG, 1.0, monotonic_ns() + 5 * MINUTE);
    up(first);
    struct world *second = second_new(first);
    up(second);
    refuses(second, "GET", "/kv/a", 500, "no route: the configuration is broken");
    kill(second->pid, SIGHUP); /* has no configuration, and goes on */
    assert_soon(strstr(complaints(second), "no configuration to read"));
    refuses(second, "GET", "/kv/a", 500, "no route");
    page_clear(first->page, FAULT_BAD_CONFIG);
    down(second);

    page_set(first->page, FAULT_STORAGE_LATENCY, 10, monotonic_ns() + 5 * MINUTE);
    int writer = user_of(first->port);
    ask(writer, "PUT", "/kv/a", "", "x");
    assert_soon(first->vitals->storage_since != 0);
    up(second);
    assert_true(first->vitals->storage_since != 0);
    down(second);
    down(first);
    close(writer);
    world_free(second);
    world_free(first);
}

/* --- upstreams --- */

/* Answers each request on each connection, one after the other, until it dies. */
static void count_uses(int listener, _Atomic int *connections, _Atomic int *most)
{
    static const char reply[] = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";

    for (;;) {
        char text[4096];
        int uses = 0, fd = accept(listener, NULL, NULL);
        ++*connections;
        while (recv(fd, text, sizeof(text), 0) > 0) { /* one request is one segment here */
            if (++uses > *most)
                *most = uses;
            send(fd, reply, sizeof(reply) - 1, MSG_NOSIGNAL);
        }
        close(fd);
    }
}

static void a_kept_connection_is_closed_after_64_uses(void **state)
{
    struct world *web = world_new(), api = {0};
    _Atomic int *counts = shared_new(2 * sizeof(*counts));
    int listener = listen_somewhere(&api.port);

    (void)state;
    pid_t upstream = start();
    if (upstream == 0)
        count_uses(listener, &counts[0], &counts[1]);
    calls(web, &api);
    up(web);
    for (int i = 0; i < 130; i++)
        refuses(web, "GET", "/kv/a", 404, "no such key");
    assert_int_equal(counts[0], 3);
    assert_int_equal(counts[1], UPSTREAM_USES);
    down(web);
    end(upstream, SIGKILL);
    close(listener);
    munmap(counts, 2 * sizeof(*counts));
    world_free(web);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_request_costs_its_part_of_the_capacity),
        cmocka_unit_test(nonsense_about_capacity_and_instances_is_refused),
        cmocka_unit_test(who_has_no_work_to_do_need_not_wait),
        cmocka_unit_test(writes_that_wait_for_their_turn_still_share_fsyncs),
        cmocka_unit_test(more_than_it_can_keep_waiting_are_told_so),
        cmocka_unit_test(four_fifths_get_in_until_it_has_been_calm),
        cmocka_unit_test(what_is_too_much_is_turned_away_at_once),
        cmocka_unit_test(what_waits_when_it_begins_is_turned_away),
        cmocka_unit_test(work_for_users_who_have_left_is_spared_only_while_shedding),
        cmocka_unit_test(shedding_ends_by_itself),
        cmocka_unit_test(a_second_instance_does_the_work_and_leaves_the_map_to_the_first),
        cmocka_unit_test(both_together_ask_an_upstream_once),
        cmocka_unit_test(without_the_first_the_second_says_so),
        cmocka_unit_test(a_second_instance_leaves_the_first_ones_vitals_and_faults_alone),
        cmocka_unit_test(a_kept_connection_is_closed_after_64_uses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
