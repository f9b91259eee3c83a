/* Stories of the built-in service: what it promises its users. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "service_world.h"

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- keys and values --- */

static void values_are_put_read_and_removed(void **state)
{
    struct world *world = world_new();

    (void)state;
    up(world);
    refuses(world, "GET", "/kv/colour", 404, "no such key");
    put(world, "/kv/colour", "blue");
    holds(world, "/kv/colour", "blue");
    put(world, "/kv/colour", "green");
    put(world, "/kv/empty", "");
    put(world, "/kv/a%2Bb%25", "coded");
    holds(world, "/kv/colour", "green");
    holds(world, "/kv/empty", "");
    holds(world, "/kv/a%2bb%25", "coded");
    assert_int_equal(http(world, "DELETE", "/kv/empty", "")->code, 204);
    refuses(world, "DELETE", "/kv/empty", 404, "no such key");
    struct answer *health = http(world, "GET", "/healthz", "");
    assert_string_equal(
        health->body, "{\"status\":\"ok\",\"name\":\"web-1\",\"folder\":\"primary\",\"keys\":2,\"config\":0,"
                      "\"shedding\":false}\n");
    assert_int_equal(world->vitals->requests, 12);
    assert_int_equal(world->vitals->arrivals, 11);
    assert_int_equal(world->vitals->storage_writes, 6); /* one is its start's */
    assert_int_equal(world->vitals->storage_errors, 0);
    assert_int_equal(world->vitals->storage_since, 0);
    down(world);
    world_free(world);
}

static void bad_requests_are_told_what_is_wrong(void **state)
{
    struct world *world = world_new();
    static char big[KV_VALUE_MAX_BYTES + 2], path[KV_KEY_MAX_BYTES + 16];

    (void)state;
    up(world);
    refuses(world, "GET", "/kv/", 400, "1 to 128 characters");
    refuses(world, "GET", "/kv/a/b", 400, "printable");
    refuses(world, "GET", "/kv/a%00b", 400, "printable");
    refuses(world, "POST", "/kv/a", 405, "takes GET, PUT and DELETE");
    refuses(world, "DELETE", "/healthz", 405, "takes GET");
    refuses(world, "GET", "/elsewhere", 404, "there is /kv/KEY");
    refuses(world, "POST", "/admin/storage", 400, "folder=primary");
    refuses(world, "POST", "/admin/storage?folder=tertiary", 400, "folder=primary");
    refuses(world, "GET", "/admin/storage?folder=standby", 405, "takes POST");
    refuses(world, "GET", "/admin/shed?on=yes", 405, "takes POST");
    refuses(world, "POST", "/admin/shed", 400, "?on=yes or ?on=no");
    refuses(world, "POST", "/admin/shed?on=perhaps,later", 400, "?on=yes or ?on=no");
    refuses(world, "POST", "/admin/shed?on=yes", 409, "no capacity");
    refuses(world, "POST", "/admin/shed?on=no", 409, "no capacity");
    refuses(world, "POST", "/admin/elsewhere", 404, "/admin/shed");

    strcpy(path, "/kv/");
    memset(path + 4, 'k', KV_KEY_MAX_BYTES);
    put(world, path, "as long as a key can be");
    holds(world, path, "as long as a key can be");
    strcat(path, "k");
    refuses(world, "PUT", path, 400, "1 to 128 characters");

    memset(big, 'v', KV_VALUE_MAX_BYTES);
    put(world, "/kv/big", big);
    holds(world, "/kv/big", big);
    strcat(big, "v");
    assert_int_equal(http(world, "PUT", "/kv/big", big)->code, 413);

    int page = user_of(world->port);
    static struct answer answer;
    ask(page, "POST", "/admin/storage?folder=standby", "Origin: http://elsewhere\r\n", "");
    assert_int_equal(answer_of(page, &answer)->code, 403);
    down(world);
    world_free(world);
}

/* --- what lasts --- */

static void what_was_acknowledged_survives_a_kill(void **state)
{
    struct world *world = world_new();
    _Atomic int *acknowledged = shared_new(sizeof(*acknowledged));
    char path[32], value[32];

    (void)state;
    up(world);
    for (int round = 0; round < 3; round++) {
        pid_t user = start();
        if (user == 0) {
            for (;;) {
                snprintf(path, sizeof(path), "/kv/k%d", *acknowledged % 500);
                snprintf(value, sizeof(value), "v%d", *acknowledged);
                if (try_connect(world->port) < 0 || http(world, "PUT", path, value)->code != 204)
                    _exit(0);
                ++*acknowledged;
            }
        }
        int before = *acknowledged;
        assert_soon(*acknowledged > before + 100);
        end(world->pid, SIGKILL);
        end(user, SIGKILL);

        up(world);
        for (int i = *acknowledged > 500 ? *acknowledged - 499 : 0; i < *acknowledged; i++) {
            snprintf(path, sizeof(path), "/kv/k%d", i % 500);
            snprintf(value, sizeof(value), "v%d", i);
            holds(world, path, value);
        }
    }
    print_message("# %d writes were acknowledged\n", (int)*acknowledged);
    munmap(acknowledged, sizeof(*acknowledged));
    down(world);
    world_free(world);
}

static off_t log_bytes(const struct world *world)
{
    struct stat status = {0};

    stat(world->log, &status);
    return status.st_size;
}

static void a_torn_tail_is_cut_off(void **state)
{
    struct world *world = world_new();

    (void)state;
    up(world);
    put(world, "/kv/first", "whole");
    off_t whole = log_bytes(world);
    put(world, "/kv/second", "to be torn");
    down(world);

    assert_int_equal(truncate(world->log, log_bytes(world) - 3), 0);
    up(world);
    holds(world, "/kv/first", "whole");
    refuses(world, "GET", "/kv/second", 404, "no such key");
    assert_int_equal(log_bytes(world), whole);
    put(world, "/kv/third", "after it");
    down(world);

    int fd = open(world->log, O_WRONLY | O_APPEND);
    assert_int_equal(write(fd, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16),
                     16); /* pages that never got their bytes */
    close(fd);
    up(world);
    holds(world, "/kv/first", "whole");
    holds(world, "/kv/third", "after it");
    down(world);
    world_free(world);
}

static void a_foreign_log_and_a_second_service_are_refused(void **state)
{
    struct world *world = world_new();

    (void)state;
    up(world);
    uint16_t port = world->port;
    world->port = 0;
    assert_int_equal(fails_to_start(world), 3);
    assert_non_null(strstr(complaints(world), "another service has this folder"));
    world->port = port;
    down(world);

    int fd = open(world->log, O_WRONLY | O_TRUNC);
    assert_int_equal(write(fd, "somebody's diary, not ours", 26), 26);
    close(fd);
    assert_int_equal(fails_to_start(world), 3);
    assert_non_null(strstr(complaints(world), "that this service has not written"));
    assert_int_equal(log_bytes(world), 26);
    world_free(world);
}

static void a_log_much_larger_than_its_data_is_written_anew(void **state)
{
    struct world *world = world_new();
    static char big[50001];
    off_t largest = 0;

    (void)state;
    up(world);
    put(world, "/kv/other", "kept");
    memset(big, 'v', sizeof(big) - 1);
    for (int i = 0; i < 60; i++) {
        big[0] = (char)('A' + i);
        put(world, "/kv/big", big);
        if (log_bytes(world) > largest)
            largest = log_bytes(world);
    }
    print_message("# at most %ld bytes of log for 3 MB of writes\n", (long)largest);
    assert_true(largest < 1200000);
    again(world);
    holds(world, "/kv/big", big);
    holds(world, "/kv/other", "kept");
    down(world);
    world_free(world);
}

static void writes_that_come_together_share_an_fsync(void **state)
{
    enum { USERS = 40 };
    struct world *world = world_new();
    static struct answer answer;
    int users[USERS];

    (void)state;
    up(world);
    /* Slow storage holds the loop, so that the others are all there when it comes back. */
    page_set(world->page, FAULT_STORAGE_LATENCY, 0.3, monotonic_ns() + MINUTE);
    for (int i = 0; i < USERS; i++) {
        char path[16];
        snprintf(path, sizeof(path), "/kv/%d", i);
        users[i] = user_of(world->port);
        ask(users[i], "PUT", path, "", "together");
    }
    for (int i = 0; i < USERS; i++)
        assert_int_equal(answer_of(users[i], &answer)->code, 204);
    print_message("# %d writes, %d fsyncs\n", USERS, (int)world->vitals->storage_writes);
    assert_true(world->vitals->storage_writes <= USERS / 4);
    page_clear(world->page, FAULT_STORAGE_LATENCY);
    again(world);
    for (int i = 0; i < USERS; i++) {
        char path[16];
        snprintf(path, sizeof(path), "/kv/%d", i);
        holds(world, path, "together");
    }
    down(world);
    world_free(world);
}

/* --- upstreams --- */

static void an_upstream_is_asked_first_and_its_trouble_spreads(void **state)
{
    struct world *web = world_new(), *api = world_new();

    (void)state;
    up(api);
    calls(web, api);
    up(web);
    put(web, "/kv/a%26b", "mine");
    holds(web, "/kv/a%26b", "mine");
    assert_int_equal(api->vitals->requests, 2);

    kill(api->pid, SIGSTOP);
    struct answer *answer = http(web, "GET", "/kv/a%26b", "");
    assert_int_equal(answer->code, 502);
    assert_string_equal(answer->body, "{\"error\":\"an upstream failed\"}\n");
    assert_true(answer->seconds >= 0.39 && answer->seconds < 5);
    assert_int_equal(http(web, "GET", "/healthz", "")->code, 200); /* only keys need the upstream */
    kill(api->pid, SIGCONT);
    assert_soon(http(web, "GET", "/kv/a%26b", "")->code == 200);

    end(api->pid, SIGKILL);
    assert_int_equal(http(web, "GET", "/kv/a%26b", "")->code, 502);
    assert_int_equal(http(web, "PUT", "/kv/never", "x")->code, 502);
    up(api);
    assert_soon(http(web, "GET", "/kv/a%26b", "")->code == 200);
    refuses(web, "GET", "/kv/never", 404, "no such key");
    down(web);
    down(api);
    world_free(web);
    world_free(api);
}

static void an_upstream_s_latency_adds(void **state)
{
    struct world *web = world_new(), *api = world_new();

    (void)state;
    up(api);
    calls(web, api);
    up(web);
    page_set(api->page, FAULT_CPU_SPIKE, 0.9, monotonic_ns() + MINUTE);
    assert_soon(http(web, "GET", "/kv/a", "")->seconds > 0.01);
    down(web);
    down(api);
    world_free(web);
    world_free(api);
}

static void a_ring_of_callers_comes_to_an_end(void **state)
{
    struct world *web = world_new(), *api = world_new();

    (void)state;
    up(api);
    calls(web, api);
    up(web);
    down(api);
    calls(api, web);
    up(api);
    refuses(web, "GET", "/kv/a", 404, "no such key");
    assert_int_equal(web->vitals->requests + api->vitals->requests, 1 + SERVICE_HOPS_MAX);
    down(web);
    down(api);
    world_free(web);
    world_free(api);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_put_read_and_removed),
        cmocka_unit_test(bad_requests_are_told_what_is_wrong),
        cmocka_unit_test(what_was_acknowledged_survives_a_kill),
        cmocka_unit_test(a_torn_tail_is_cut_off),
        cmocka_unit_test(a_foreign_log_and_a_second_service_are_refused),
        cmocka_unit_test(a_log_much_larger_than_its_data_is_written_anew),
        cmocka_unit_test(writes_that_come_together_share_an_fsync),
        cmocka_unit_test(an_upstream_is_asked_first_and_its_trouble_spreads),
        cmocka_unit_test(an_upstream_s_latency_adds),
        cmocka_unit_test(a_ring_of_callers_comes_to_an_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
