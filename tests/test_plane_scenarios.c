/* Scenarios that a person starts on the fleet that is here: their faults, at their times, on whom they mean.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "plane_world.h"

#include <stdio.h>
#include <string.h>

static void write_scenario(struct world *world, const char *name, const char *text)
{
    char path[160];
    snprintf(path, sizeof path, "%s/%s.yaml", world->folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static const char two_faults[] =
    "version: 1\n"
    "title: Two faults\n"
    "teaches: One after the other.\n"
    "duration: 10s\n"
    "fleet:\n"
    "  - {role: web, count: 2}\n"
    "faults:\n"
    "  - {at: 0s, kind: cpu_spike, on: web-1, intensity: 50%, for: 5s}\n"
    "  - {at: 1s, kind: network_delay, on: role:web, intensity: 20ms, for: 5s}\n";

/* Reports of web-1 and web-2, which belong to role web. */
static void join(struct world *world)
{
    assert_int_equal(call(world, "PUT", "/v1/nodes/web-1", "{\"role\":\"web\",\"interval_s\":0.05}"), 200);
    assert_int_equal(call(world, "PUT", "/v1/nodes/web-2", "{\"role\":\"web\",\"interval_s\":0.05}"), 200);
}

static size_t count_faults(struct world *world, const char *query)
{
    char path[64];
    snprintf(path, sizeof path, "/v1/faults%s", query);
    assert_int_equal(call(world, "GET", path, NULL), 200);
    return json_array_size(member(world, "faults"));
}

/* The scenario of that name as the list has it. */
static json_t *listed(struct world *world, const char *name)
{
    size_t i;
    json_t *item;
    assert_int_equal(call(world, "GET", "/v1/scenarios", NULL), 200);
    json_array_foreach(member(world, "scenarios"), i, item)
    {
        if (strcmp(json_string_value(json_object_get(item, "name")), name) == 0)
            return item;
    }
    fail_msg("%s is not listed", name);
    return NULL;
}

static void assert_why_not(struct world *world, const char *name, const char *wanted)
{
    char body[128];
    const char *why = json_string_value(json_object_get(listed(world, name), "why_not"));
    assert_non_null(why);
    if (!strstr(why, wanted))
        fail_msg("'%s' does not say '%s'", why, wanted);
    snprintf(body, sizeof body, "{\"name\":\"%s\"}", name);
    assert_int_equal(call(world, "POST", "/v1/scenarios", body), 422);
    assert_non_null(strstr(word(world, "detail"), wanted));
}

static void its_faults_come_at_their_times_on_whom_they_mean(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, quick_policy);
    write_scenario(&world, "two-faults", two_faults);
    join(&world);
    assert_true(json_is_true(json_object_get(listed(&world, "two-faults"), "playable")));
    assert_true(json_is_null(member(&world, "running")));
    assert_int_equal(call(&world, "POST", "/v1/scenarios", "{\"name\":\"two-faults\"}"), 201);
    assert_string_equal(word(&world, "faults.1.on"), "role:web");
    assert_true(json_is_true(member(&world, "faults.0.done")));
    assert_false(json_is_true(member(&world, "faults.1.done")));
    assert_int_equal(count_faults(&world, ""), 1);
    assert_string_equal(word(&world, "faults.0.node"), "web-1");
    assert_true(number(&world, "faults.0.intensity") == 0.5);
    assert_int_equal(call(&world, "POST", "/v1/scenarios", "{\"name\":\"two-faults\"}"), 409);
    WAIT_FOR(&world, count_faults(&world, "") == 3);
    assert_int_equal(call(&world, "GET", "/v1/scenarios", NULL), 200);
    assert_true(json_is_true(member(&world, "running.faults.1.done")));
    assert_true(number(&world, "running.at_s") >= 1);
    world_close(&world);
}

static void stopping_it_clears_its_faults_and_no_others(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, quick_policy);
    write_scenario(&world, "two-faults", two_faults);
    join(&world);
    assert_int_equal(call(&world, "DELETE", "/v1/scenarios", NULL), 409);
    assert_int_equal(call(&world, "POST", "/v1/faults", "{\"kind\":\"storage_latency\",\"node\":\"web-1\"}"),
                     201);
    assert_int_equal(call(&world, "POST", "/v1/scenarios", "{\"name\":\"two-faults\"}"), 201);
    assert_int_equal(call(&world, "DELETE", "/v1/scenarios", NULL), 200);
    assert_true(json_is_true(member(&world, "ended")));
    WAIT_FOR(&world, count_faults(&world, "?active=true") == 1);
    assert_string_equal(word(&world, "faults.0.kind"), "storage_latency");
    world_close(&world);
}

static void one_that_is_on_already_is_left_out_and_that_is_said(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, quick_policy);
    write_scenario(&world, "two-faults", two_faults);
    join(&world);
    assert_int_equal(call(&world, "POST", "/v1/faults", "{\"kind\":\"cpu_spike\",\"node\":\"web-1\"}"), 201);
    assert_int_equal(call(&world, "POST", "/v1/scenarios", "{\"name\":\"two-faults\"}"), 201);
    assert_string_equal(word(&world, "faults.0.trouble"), "cpu_spike is on at web-1 already");
    assert_int_equal(count_faults(&world, ""), 1);
    world_close(&world);
}

static void what_does_not_suit_this_fleet_says_why(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, quick_policy);
    join(&world);
    write_scenario(&world, "bad", "version: 1\nfleet: 7\n");
    write_scenario(&world, "other",
                   "version: 1\ntitle: Other\nfleet:\n  - {role: db}\n"
                   "faults:\n  - {at: 1s, kind: cpu_spike, on: db-1}\n");
    write_scenario(&world, "many",
                   "version: 1\ntitle: Many\nfleet:\n  - {role: web, count: 9}\n"
                   "faults:\n  - {at: 1s, kind: cpu_spike, on: 3 of role:web}\n");
    write_scenario(&world, "quiet", "version: 1\ntitle: Quiet\nfleet:\n  - {role: web}\n");
    write_scenario(&world, "person",
                   "version: 1\ntitle: Person\nfleet:\n  - {role: web}\n"
                   "accidents:\n  - {at: 1s, what: pause}\n");
    assert_why_not(&world, "bad", "bad.yaml:2:");
    assert_why_not(&world, "other", "this fleet has no db-1");
    assert_why_not(&world, "many", "this fleet has no 3 of role:web");
    assert_why_not(&world, "quiet", "nothing would be seen");
    assert_why_not(&world, "person", "up --scenario");
    assert_int_equal(call(&world, "POST", "/v1/scenarios", "{\"name\":\"quite\"}"), 404);
    assert_non_null(strstr(word(&world, "detail"), "did you mean quiet?"));
    world_close(&world);
}

static void a_file_that_has_changed_is_read_again(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, quick_policy);
    join(&world);
    write_scenario(&world, "other", "version: 1\nfleet: 7\n");
    assert_why_not(&world, "other", "other.yaml:2:");
    write_scenario(&world, "other", two_faults);
    assert_true(json_is_true(json_object_get(listed(&world, "other"), "playable")));
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(its_faults_come_at_their_times_on_whom_they_mean),
        cmocka_unit_test(stopping_it_clears_its_faults_and_no_others),
        cmocka_unit_test(one_that_is_on_already_is_left_out_and_that_is_said),
        cmocka_unit_test(what_does_not_suit_this_fleet_says_why),
        cmocka_unit_test(a_file_that_has_changed_is_read_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
