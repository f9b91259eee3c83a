/* Faults as people ask the control plane for them: on whom, which, how often, and what becomes of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "plane_world.h"

#include "base/check.h"
#include "core/vocabulary.h"

#include <math.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Two web nodes in two zones that call a database, which calls nobody; one with a program, one synthetic. */
static void enrol_all(struct world *world)
{
    static const struct {
        const char *path, *body;
    } nodes[] = {
        {"/v1/nodes/web-1", "{\"role\":\"web\",\"zone\":\"a\",\"calls\":[\"db-1\",\"pg-1\"]}"},
        {"/v1/nodes/web-2", "{\"role\":\"web\",\"zone\":\"b\",\"calls\":[\"db-1\"]}"},
        {"/v1/nodes/db-1", "{\"role\":\"db\",\"zone\":\"a\"}"},
        {"/v1/nodes/pg-1", "{\"role\":\"pg\",\"zone\":\"c\",\"program\":true}"},
        {"/v1/nodes/sim-1", "{\"role\":\"sim\",\"synthetic\":true}"},
    };
    for (size_t i = 0; i < COUNT_OF(nodes); i++)
        assert_int_equal(call(world, "PUT", nodes[i].path, nodes[i].body), 200);
}

static int ask(struct world *world, const char *body)
{
    return call(world, "POST", "/v1/faults", body);
}

static void clear_all(struct world *world)
{
    assert_int_equal(call(world, "DELETE", "/v1/faults", NULL), 200);
}

/* "web-1 web-2": the nodes of an answer with several faults, in their order. */
static const char *struck(struct world *world)
{
    static char names[256];
    size_t i, length = 0;
    json_t *fault;
    names[0] = '\0';
    json_array_foreach(member(world, "faults"), i, fault)
    {
        length += (size_t)snprintf(names + length, sizeof(names) - length, "%s%s", i ? " " : "",
                                   json_string_value(json_object_get(fault, "node")));
    }
    return names;
}

static void says(struct world *world, const char *part)
{
    if (!word(world, "detail") || !strstr(word(world, "detail"), part))
        fail_msg("'%s' does not say '%s'", world->body, part);
}

/* --- on whom -------------------------------------------------------------------------------------------- */

static void one_request_strikes_all_the_nodes_that_it_means(void **state)
{
    static const struct {
        const char *on, *struck;
    } cases[] = {{"role:web", "web-1 web-2"}, {"zone:a", "web-1 db-1"}, {"web-*", "web-1 web-2"},
                 {"web-2", "web-2"},          {"db-*", "db-1"},         {"below web-1", "db-1 pg-1"}};
    (void)state;
    struct world world;
    world_open(&world, quick_policy);
    enrol_all(&world);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char body[128];
        snprintf(body, sizeof(body), "{\"kind\":\"cpu_spike\",\"on\":\"%s\",\"intensity\":0.5}", cases[i].on);
        assert_int_equal(ask(&world, body), 201);
        assert_string_equal(struck(&world), cases[i].struck);
        assert_true(number(&world, "faults.0.intensity") == 0.5);
        clear_all(&world);
    }
    assert_int_equal(ask(&world, "{\"kind\":\"cpu_spike\",\"on\":\"1 of role:web\"}"), 201);
    assert_int_equal((int)json_array_size(member(&world, "faults")), 1);
    assert_int_equal(strncmp(struck(&world), "web-", 4), 0);
    clear_all(&world);
    assert_int_equal(ask(&world, "{\"kind\":\"cpu_spike\",\"on\":\"2 of role:web\"}"), 201);
    assert_int_equal((int)json_array_size(member(&world, "faults")), 2);
    clear_all(&world);
    assert_int_equal(call(&world, "DELETE", "/v1/nodes/web-1", NULL), 204);
    assert_int_equal(ask(&world, "{\"kind\":\"cpu_spike\",\"on\":\"role:web\"}"), 201);
    assert_string_equal(struck(&world), "web-2"); /* who has left is not meant */
    world_close(&world);
}

static void what_cannot_be_is_said_with_what_can(void **state)
{
    static const struct {
        const char *body;
        int status;
        const char *says;
    } cases[] = {
        {"{\"kind\":\"cpu_spike\"}", 400, "role:web"},
        {"{\"kind\":\"cpu_spike\",\"node\":\"web-1\",\"on\":\"web-2\"}", 400, "either node or on"},
        {"{\"kind\":\"cpu_spike\",\"on\":\"web 1\"}", 400, "\"2 of role:web\" or \"below web-1\""},
        {"{\"kind\":\"cpu_spike\",\"on\":\"0 of role:web\"}", 400, "means no nodes"},
        {"{\"kind\":\"cpu_spike\",\"on\":\"role:wbe\"}", 404, "did you mean role:web?"},
        {"{\"kind\":\"cpu_spike\",\"on\":\"zone:q\"}", 404, "no node here is of zone q"},
        {"{\"kind\":\"cpu_spike\",\"on\":\"wbe-1\"}", 404, "did you mean web-1?"},
        {"{\"kind\":\"cpu_spike\",\"on\":\"3 of role:web\"}", 422, "there are only 2"},
        {"{\"kind\":\"cpu_spike\",\"on\":\"below web-9\"}", 404, "no node is called web-9"},
        {"{\"kind\":\"cpu_spike\",\"on\":\"below db-1\"}", 422, "db-1 calls nobody"},
        {"{\"kind\":\"dependency_sick\",\"node\":\"db-1\"}", 422, "db-1 calls nobody"},
        {"{\"kind\":\"dependency_sikc\",\"node\":\"db-1\"}", 400, "did you mean dependency_sick?"},
        {"{\"kind\":\"cpu_spike\",\"of\":\"io_error\",\"node\":\"db-1\"}", 400,
         "dependency_sick and flapping"},
        {"{\"kind\":\"flapping\",\"of\":\"control_plane_stall\",\"node\":\"db-1\"}", 400, "strikes no node"},
        {"{\"kind\":\"flapping\",\"shape\":\"ramp\",\"node\":\"db-1\"}", 400, "leave the shape out"},
        {"{\"kind\":\"bad_config\",\"node\":\"pg-1\"}", 422, "pg-1 runs a program of one's own"},
        {"{\"kind\":\"overload\",\"node\":\"pg-1\"}", 422, "overload takes"},
        {"{\"kind\":\"retry_storm\",\"node\":\"sim-1\"}", 422, "sim-1 is synthetic"},
        {"{\"kind\":\"control_plane_stall\",\"node\":\"web-1\"}", 422, "leave the node out"},
        {"{\"kind\":\"control_plane_stall\",\"on\":\"role:web\"}", 422, "leave the node out"},
        {"{\"kind\":\"control_plane_stall\",\"shape\":\"flapping\"}", 422, "only be a step"},
        {"{\"kind\":\"control_plane_stall\",\"lease_s\":31}", 400, "30"},
        {"{\"kind\":\"service_hang\",\"shape\":\"ramp\",\"node\":\"web-1\"}", 422,
         "it can have: step, spike, flapping"},
        {"{\"kind\":\"cpu_spike\",\"period_s\":5,\"node\":\"web-1\"}", 422, "a period belongs to the shapes"},
        {"{\"kind\":\"cpu_spike\",\"lease_s\":3601,\"node\":\"web-1\"}", 400, "3600"},
    };
    (void)state;
    struct world world;
    world_open(&world, quick_policy);
    enrol_all(&world);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        if (ask(&world, cases[i].body) != cases[i].status)
            fail_msg("%s: %d %s", cases[i].body, world.status, world.body);
        says(&world, cases[i].says);
    }
    assert_int_equal(call(&world, "GET", "/v1/faults", NULL), 200);
    assert_int_equal((int)json_array_size(member(&world, "faults")), 0);
    world_close(&world);
}

/* --- which ---------------------------------------------------------------------------------------------- */

static void composed_faults_are_made_of_others(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, quick_policy);
    enrol_all(&world);
    assert_int_equal(ask(&world, "{\"kind\":\"dependency_sick\",\"node\":\"web-1\"}"), 201);
    assert_string_equal(word(&world, "kind"), "storage_latency");
    assert_string_equal(word(&world, "node"), "db-1");
    clear_all(&world);
    /* Both call db-1 first: it is struck once. */
    assert_int_equal(ask(&world, "{\"kind\":\"dependency_sick\",\"of\":\"io_error\",\"on\":\"role:web\"}"),
                     201);
    assert_string_equal(struck(&world), "db-1");
    assert_string_equal(word(&world, "faults.0.kind"), "io_error");
    clear_all(&world);
    assert_int_equal(ask(&world, "{\"kind\":\"flapping\",\"node\":\"web-1\"}"), 201);
    assert_string_equal(word(&world, "kind"), "cpu_spike");
    assert_string_equal(word(&world, "shape"), "flapping");
    assert_true(number(&world, "period_s") == 20);
    assert_int_equal(call(&world, "GET", "/v1/faults", NULL), 200);
    assert_string_equal(word(&world, "composed.0.kind"), "dependency_sick");
    assert_string_equal(word(&world, "composed.0.of"), "storage_latency");
    world_close(&world);
}

/* Whatever the table says of a place is what nodes of that place are given. */
static void every_kind_goes_where_its_places_say(void **state)
{
    static const struct {
        const char *node;
        uint32_t place;
    } nodes[] = {{"web-1", FAULT_AT_SERVICE}, {"pg-1", FAULT_AT_PROGRAM}, {"sim-1", FAULT_AT_SYNTHETIC}};
    (void)state;
    struct world world;
    world_open(&world, quick_policy);
    enrol_all(&world);
    world_stop_plane(&world); /* what a node runs is known also after a restart */
    world_start_plane(&world);
    for (size_t i = 0; i < COUNT_OF(nodes); i++) {
        for (int kind = 0; kind < FAULT_COUNT; kind++) {
            char body[128];
            snprintf(body, sizeof(body), "{\"kind\":\"%s\",\"node\":\"%s\",\"alongside\":true}",
                     fault_kind_name((enum fault_kind)kind), nodes[i].node);
            int wanted = fault_infos[kind].places & nodes[i].place ? 201 : 422;
            if (ask(&world, body) != wanted)
                fail_msg("%s: %d %s", body, world.status, world.body);
        }
        clear_all(&world);
    }
    world_close(&world);
}

static void shapes_reach_real_nodes(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, quick_policy);
    enrol_all(&world);
    assert_int_equal(ask(&world, "{\"kind\":\"io_error\",\"node\":\"pg-1\",\"shape\":\"sawtooth\","
                                 "\"period_s\":3,\"intensity\":0.25}"),
                     201);
    assert_int_equal(call(&world, "POST", "/v1/nodes/pg-1/reports", "{\"samples\":{}}"), 200);
    assert_string_equal(word(&world, "faults.0.shape"), "sawtooth");
    assert_true(number(&world, "faults.0.period_s") == 3);
    assert_true(number(&world, "faults.0.intensity") == 0.25);
    assert_null(member(&world, "undo"));
    world_close(&world);
}

/* --- how often ------------------------------------------------------------------------------------------ */

static void a_node_has_one_fault_at_a_time(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, quick_policy);
    enrol_all(&world);
    assert_int_equal(ask(&world, "{\"kind\":\"cpu_spike\",\"node\":\"web-2\"}"), 201);
    int first = (int)number(&world, "id");
    assert_int_equal(ask(&world, "{\"kind\":\"network_delay\",\"node\":\"web-2\"}"), 409);
    char sentence[64];
    snprintf(sentence, sizeof(sentence), "cpu_spike is on at web-2, as fault %d", first);
    says(&world, sentence);
    /* All of them or none. */
    assert_int_equal(ask(&world, "{\"kind\":\"network_delay\",\"on\":\"role:web\"}"), 409);
    says(&world, "web-2");
    assert_int_equal(call(&world, "GET", "/v1/faults", NULL), 200);
    assert_int_equal((int)json_array_size(member(&world, "faults")), 1);
    assert_int_equal(ask(&world, "{\"kind\":\"network_delay\",\"on\":\"role:web\",\"alongside\":true}"), 201);
    assert_string_equal(struck(&world), "web-1 web-2");
    assert_int_equal(ask(&world, "{\"kind\":\"cpu_spike\",\"node\":\"web-2\",\"alongside\":true}"), 409);
    says(&world, "already"); /* two of a kind would hide each other */
    world_close(&world);
}

static void faults_on_one_node_keep_their_distance(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, quick_policy);
    world_stop_plane(&world);
    world.inject_gap_ns = 2 * SECOND;
    world_start_plane(&world);
    enrol_all(&world);
    assert_int_equal(ask(&world, "{\"kind\":\"cpu_spike\",\"node\":\"web-1\"}"), 201);
    instant asked_at = world_now();
    clear_all(&world);
    world_stop_plane(&world); /* it is remembered across a restart */
    world_start_plane(&world);
    char text[256];
    snprintf(text, sizeof(text),
             "POST /v1/faults HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: close\r\n"
             "Content-Type: application/json\r\nContent-Length: 39\r\n\r\n"
             "{\"kind\":\"network_loss\",\"on\":\"role:web\"}",
             world.port);
    char *heard = say_raw(&world, text);
    if (world_now() < asked_at + 1900 * MILLISECOND &&
        (!strstr(heard, " 429 ") || !strstr(heard, "\r\nRetry-After: ") || !strstr(heard, "fault on web-1")))
        fail_msg("%s", heard);
    free(heard);
    assert_int_equal(ask(&world, "{\"kind\":\"cpu_spike\",\"node\":\"web-2\"}"), 201); /* another node */
    WAIT_FOR(&world, ask(&world, "{\"kind\":\"network_loss\",\"node\":\"web-1\"}") == 201);
    assert_true(world_now() - asked_at >= 1900 * MILLISECOND);
    assert_int_equal(ask(&world, "{\"kind\":\"io_error\",\"node\":\"web-1\",\"alongside\":true}"), 201);
    world_close(&world);
}

/* Its store fails while it is asked for: it was promised to nobody, and it never was. */
static void a_fault_that_was_not_kept_does_not_keep_the_next_away(void **state)
{
    (void)state;
    struct world world;
    sqlite3 *other;
    world_open(&world, quick_policy);
    world_stop_plane(&world);
    world.inject_gap_ns = HOUR;
    world_start_plane(&world);
    enrol_all(&world);
    assert_int_equal(sqlite3_open(world.database, &other), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(ask(&world, "{\"kind\":\"cpu_spike\",\"node\":\"web-1\"}"), 503);
    assert_int_equal(sqlite3_exec(other, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(other);
    WAIT_FOR(&world, call(&world, "GET", "/healthz", NULL) == 200);
    assert_int_equal(ask(&world, "{\"kind\":\"network_loss\",\"node\":\"web-1\"}"), 201);
    world_close(&world);
}

/* --- what becomes of them ------------------------------------------------------------------------------- */

static int tell(struct world *world, int id, const char *state_and_more, double cpu)
{
    char body[512];
    snprintf(body, sizeof(body),
             "{\"samples\":{\"cpu_utilization\":%g},\"faults\":[{\"id\":%d,\"state\":%s}]}", cpu, id,
             state_and_more);
    return call(world, "POST", "/v1/nodes/web-1/reports", body);
}

static bool newest_is(struct world *world, const char *name, const char *value)
{
    char path[64];
    snprintf(path, sizeof(path), "faults.0.%s", name);
    return call(world, "GET", "/v1/faults", NULL) == 200 && word(world, path) &&
           strcmp(word(world, path), value) == 0;
}

static void its_removal_is_told_after_its_end(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, quick_policy);
    enrol_all(&world);
    assert_int_equal(ask(&world, "{\"kind\":\"cpu_spike\",\"node\":\"web-1\"}"), 201);
    int id = (int)number(&world, "id");
    assert_string_equal(word(&world, "removal"), "waiting");
    assert_int_equal(
        tell(&world, id, "\"active\",\"age_s\":0.1,\"effect\":\"seen\",\"before\":0.03,\"after\":0.97", 0.97),
        200);
    assert_int_equal(
        tell(&world, id, "\"ended\",\"reason\":\"cured\",\"effect\":\"seen\",\"removal\":\"waiting\"", 0.5),
        200);
    WAIT_FOR(&world, newest_is(&world, "state", "ended"));
    assert_string_equal(word(&world, "faults.0.removal"), "waiting");
    world_stop_plane(&world); /* a new one listens on for that word */
    world_start_plane(&world);
    clear_all(&world);
    assert_true(number(&world, "cleared") == 0); /* what is over is not cleared */
    assert_int_equal(
        tell(&world, id, "\"ended\",\"reason\":\"cured\",\"effect\":\"seen\",\"removal\":\"seen\"", 0.04),
        200);
    WAIT_FOR(&world, newest_is(&world, "removal", "seen"));
    assert_true(number(&world, "faults.0.restored") == 0.04);
    assert_true(number(&world, "faults.0.after") == 0.97);
    assert_string_equal(word(&world, "faults.0.reason"), "cured");
    /* Said once and for all. */
    assert_int_equal(tell(&world, id, "\"ended\",\"removal\":\"none\"", 0.9), 200);
    assert_true(newest_is(&world, "removal", "seen"));
    world_close(&world);
}

static void an_effect_told_late_counts(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, quick_policy);
    enrol_all(&world);
    assert_int_equal(ask(&world, "{\"kind\":\"node_partition\",\"node\":\"web-1\",\"lease_s\":1}"), 201);
    int id = (int)number(&world, "id");
    assert_int_equal(json_is_null(member(&world, "metric")), 1);
    assert_int_equal(tell(&world, id, "\"active\",\"effect\":\"waiting\"", 0.1), 200);
    WAIT_FOR(&world, newest_is(&world, "reason", "expired")); /* the node says nothing for six seconds */
    assert_int_equal(
        tell(&world, id, "\"ended\",\"reason\":\"expired\",\"effect\":\"seen\",\"removal\":\"seen\"", 0.1),
        200);
    WAIT_FOR(&world, newest_is(&world, "effect", "seen"));
    assert_string_equal(word(&world, "faults.0.removal"), "seen");
    world_close(&world);
}

static void an_undo_is_told_until_nothing_stands(void **state)
{
    static const char stands[] = "{\"samples\":{},\"standing\":[\"shed_load\",\"scale_out\"]}";
    (void)state;
    struct world world;
    world_open(&world, quick_policy);
    enrol_all(&world);
    assert_int_equal(call(&world, "POST", "/v1/nodes/web-1/reports", stands), 200);
    assert_null(member(&world, "undo"));
    assert_int_equal(call(&world, "GET", "/v1/nodes/web-1", NULL), 200);
    assert_int_equal((int)json_array_size(member(&world, "standing")), 2);
    assert_int_equal(call(&world, "POST", "/v1/nodes/web-1/undo", "{}"), 200);
    assert_string_equal(word(&world, "standing.0"), "shed_load");
    for (int i = 0; i < 2; i++) {
        assert_int_equal(call(&world, "POST", "/v1/nodes/web-1/reports", stands), 200);
        assert_true(json_is_true(member(&world, "undo")));
    }
    assert_int_equal(call(&world, "POST", "/v1/nodes/web-1/reports", "{\"samples\":{}}"), 200);
    assert_null(member(&world, "undo"));
    assert_int_equal(call(&world, "GET", "/v1/nodes/web-1", NULL), 200);
    assert_int_equal((int)json_array_size(member(&world, "standing")), 0);
    assert_int_equal(call(&world, "POST", "/v1/nodes/web-9/undo", "{}"), 404);
    assert_int_equal(call(&world, "POST", "/v1/nodes/sim-1/undo", "{}"), 422);
    world_close(&world);
}

/* --- the control plane itself --------------------------------------------------------------------------- */

static double gaps(struct world *world)
{
    assert_int_equal(call(world, "GET", "/metrics", NULL), 200);
    const char *line = strstr(world->body, "\nhomeostat_gaps_total ");
    assert_non_null(line);
    return strtod(line + strlen("\nhomeostat_gaps_total "), NULL);
}

static void the_control_plane_stops_itself_and_notices(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, quick_policy);
    enrol_all(&world);
    double before = gaps(&world);
    instant asked_at = world_now();
    assert_int_equal(ask(&world, "{\"kind\":\"control_plane_stall\",\"lease_s\":2}"), 201);
    assert_true(json_is_null(member(&world, "node")));
    assert_string_equal(word(&world, "state"), "asked"); /* answered before it stops */
    WAIT_FOR(&world, newest_is(&world, "state", "ended"));
    assert_true(world_now() - asked_at >= 2 * SECOND);
    assert_string_equal(word(&world, "faults.0.effect"), "seen");
    assert_string_equal(word(&world, "faults.0.reason"), "expired");
    assert_true(gaps(&world) > before);
    world_close(&world);
}

/* Who is killed before it began, or while it lasts, does not stop again when it is started anew. */
static void a_stall_does_not_outlive_its_control_plane(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, quick_policy);
    assert_int_equal(ask(&world, "{\"kind\":\"control_plane_stall\",\"lease_s\":30}"), 201);
    assert_int_equal(ask(&world, "{\"kind\":\"control_plane_stall\"}"), 409);
    world_stop_plane(&world);
    world_start_plane(&world);
    instant began_at = world_now();
    WAIT_FOR(&world, newest_is(&world, "state", "ended"));
    assert_string_equal(word(&world, "faults.0.reason"), "the control plane began anew");
    assert_true(world_now() - began_at < 10 * SECOND);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_request_strikes_all_the_nodes_that_it_means),
        cmocka_unit_test(what_cannot_be_is_said_with_what_can),
        cmocka_unit_test(composed_faults_are_made_of_others),
        cmocka_unit_test(every_kind_goes_where_its_places_say),
        cmocka_unit_test(shapes_reach_real_nodes),
        cmocka_unit_test(a_node_has_one_fault_at_a_time),
        cmocka_unit_test(faults_on_one_node_keep_their_distance),
        cmocka_unit_test(a_fault_that_was_not_kept_does_not_keep_the_next_away),
        cmocka_unit_test(its_removal_is_told_after_its_end),
        cmocka_unit_test(an_effect_told_late_counts),
        cmocka_unit_test(an_undo_is_told_until_nothing_stands),
        cmocka_unit_test(the_control_plane_stops_itself_and_notices),
        cmocka_unit_test(a_stall_does_not_outlive_its_control_plane),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
