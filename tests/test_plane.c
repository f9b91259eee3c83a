/* The control plane, in conversations over real sockets: what a node agent, a person and a watcher may rely
 * on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "plane_world.h"
#include "store/store.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- what the database says ---------------------------------------------------------------------------- */

struct seen {
    uint64_t id;
    int count;
    struct command_row row;
};

static bool see_command(void *context, const struct command_row *row)
{
    struct seen *seen = context;
    if (row->command.id == seen->id) {
        seen->count++;
        seen->row = *row;
    }
    return true;
}

/* How many rows a reader of its own finds of this command, at this moment. */
static struct seen rows_of_command(struct world *world, uint64_t id)
{
    struct store *store;
    char error[512];
    struct seen seen = {.id = id};
    assert_int_equal(store_open(&store, world->database, error, sizeof(error)), 0);
    assert_true(store_commands(store, 0, -1, INSTANT_NONE, see_command, &seen) >= 0);
    store_close(&store);
    return seen;
}

/* --- nodes, reports, commands -------------------------------------------------------------------------- */

/* policies/first.yaml */
static const char first_policy[] = "version: 1\n"
                                   "rules:\n"
                                   "  - {if: cpu_utilization > 0.90, for: 3s, do: restart_service}\n";

/* The first thing a beginner does by hand: a node agent played with curl, under the three-line policy. */
static void curl_can_play_a_node_agent(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, first_policy);
    static const char ill[] = "{\"samples\":{\"cpu_utilization\":0.97}}";
    assert_int_equal(call(&world, "POST", "/v1/nodes/web-1/reports", ill), 200);
    assert_int_equal((int)number(&world, "accepted"), 1);
    assert_int_equal((int)json_array_size(member(&world, "commands")), 0);
    assert_int_equal(call(&world, "GET", "/v1/nodes/web-1", NULL), 200);
    assert_string_equal(word(&world, "health"), "healthy"); /* three seconds are not over yet */
    assert_true(number(&world, "samples.cpu_utilization") == 0.97);

    WAIT_FOR(&world,
             call(&world, "POST", "/v1/nodes/web-1/reports", ill) == 200 && member(&world, "commands.0"));
    assert_string_equal(word(&world, "commands.0.remedy"), "restart_service");
    assert_string_equal(word(&world, "commands.0.reason"), "cpu above 90 % for 3 s");
    uint64_t id = (uint64_t)json_integer_value(member(&world, "commands.0.id"));
    assert_int_equal(rows_of_command(&world, id).count, 1); /* durable before visible */

    /* Well samples alone prove nothing while nobody says that the command was carried out. */
    for (int i = 0; i < 20; i++)
        assert_int_equal(
            call(&world, "POST", "/v1/nodes/web-1/reports", "{\"samples\":{\"cpu_utilization\":0.03}}"), 200);
    assert_int_equal(call(&world, "GET", "/v1/incidents/1", NULL), 200);
    assert_string_equal(word(&world, "state"), "acting");
    assert_true(json_is_null(member(&world, "verdict")));
    world_close(&world);
}

static void a_heal_is_proved_and_outlives_the_plane(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, quick_policy);
    hello(&world, "web-1");
    int epoch = (int)number(&world, "epoch");
    uint64_t id = report_until_command(&world, "web-1", 0.97);
    assert_int_equal(id >> 32, epoch);
    assert_int_equal(id & 0xffffffff, 1);
    assert_int_equal(rows_of_command(&world, id).count, 1);
    assert_int_equal(outcome(&world, id, "web-1", "done"), 200);
    assert_string_equal(word(&world, "outcome"), "done");
    struct seen seen = rows_of_command(&world, id); /* answered, hence stored */
    assert_int_equal(seen.row.command.outcome, OUTCOME_DONE);
    assert_string_equal(seen.row.detail, "process 4312 -> 4377");
    report_until_state(&world, "web-1", 0.03, 1, "resolved");
    assert_string_equal(word(&world, "verdict"), "effective");

    for (int start = 0; start < 2; start++) {
        assert_int_equal(call(&world, "GET", "/v1/incidents/1", NULL), 200);
        assert_string_equal(word(&world, "node"), "web-1");
        assert_string_equal(word(&world, "verdict"), "effective");
        assert_true(number(&world, "fixed_after_s") >= number(&world, "detected_after_s"));
        assert_true(number(&world, "proved_after_s") >= number(&world, "fixed_after_s"));
        assert_string_equal(word(&world, "timeline.0.step"), "DETECT");
        assert_string_equal(word(&world, "timeline.1.step"), "PLAN");
        assert_string_equal(word(&world, "commands.0.outcome"), "done");
        assert_string_equal(word(&world, "evidence.0.condition"), "> 0.9");
        assert_true(number(&world, "evidence.0.before") > 0.9);
        assert_true(number(&world, "evidence.0.after") < 0.7);
        world_stop_plane(&world);
        world_start_plane(&world);
        assert_int_equal(call(&world, "GET", "/healthz", NULL), 200);
        assert_int_equal((int)number(&world, "epoch"), epoch + 1 + start);
    }
    world_close(&world);
}

static void a_repeated_outcome_changes_nothing(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, quick_policy);
    hello(&world, "web-1");
    hello(&world, "web-2");
    uint64_t id = report_until_command(&world, "web-1", 0.97);
    assert_int_equal(outcome(&world, id, "web-2", "done"), 404);
    assert_int_equal(outcome(&world, id + 7, "web-1", "done"), 404);
    assert_int_equal(outcome(&world, id, "nobody", "done"), 404);
    assert_int_equal(outcome(&world, id, "web-1", "marvellous"), 400);
    assert_int_equal(outcome(&world, id, "web-1", "done"), 200);
    assert_int_equal(outcome(&world, id, "web-1", "failed"), 200);
    assert_string_equal(word(&world, "outcome"), "done"); /* what is on record stands */
    assert_int_equal(rows_of_command(&world, id).count, 1);
    assert_int_equal(report(&world, "web-1", 0.03), 200);
    assert_int_equal((int)json_array_size(member(&world, "commands")), 0);
    world_close(&world);
}

static void a_command_waits_for_its_node_across_a_restart(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, quick_policy);
    hello(&world, "web-1");
    uint64_t id = report_until_command(&world, "web-1", 0.97);
    world_stop_plane(&world);
    world_start_plane(&world);
    assert_int_equal(call(&world, "GET", "/v1/incidents?state=acting", NULL), 200);
    assert_int_equal((int)number(&world, "incidents.0.id"), 1);
    assert_int_equal((int)number(&world, "incidents.0.attempts"), 1);
    assert_int_equal(report(&world, "web-1", 0.97), 200);
    assert_true(id == (uint64_t)json_integer_value(member(&world, "commands.0.id")));
    assert_string_equal(word(&world, "commands.0.boot"), "00000000000000b1");
    assert_int_equal(outcome(&world, id, "web-1", "done"), 200);
    report_until_state(&world, "web-1", 0.03, 1, "resolved");
    assert_string_equal(word(&world, "verdict"), "effective");
    world_close(&world);
}

/* Its database is fresh, but the node agent has obeyed an older one: it would refuse an epoch below that. */
static void a_fresh_plane_rises_above_the_epoch_that_a_node_agent_has_seen(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, quick_policy);
    assert_int_equal(
        call(&world, "PUT", "/v1/nodes/web-1", "{\"boot\":\"00000000000000aa\",\"epoch_seen\":41}"), 200);
    assert_int_equal(number(&world, "epoch"), 42);
    assert_int_equal(
        call(&world, "PUT", "/v1/nodes/web-1", "{\"boot\":\"00000000000000aa\",\"epoch_seen\":42}"), 200);
    assert_int_equal(number(&world, "epoch"), 42); /* it has seen ours */
    hello(&world, "web-1");
    assert_int_equal(report_until_command(&world, "web-1", 0.97) >> 32, 42);
    world_stop_plane(&world);
    world_start_plane(&world);
    assert_int_equal(call(&world, "GET", "/healthz", NULL), 200);
    assert_int_equal(number(&world, "epoch"), 43);
    world_close(&world);
}

/* Two nodes are here when the plane goes; only one of them is still there when it is back. */
static void who_does_not_come_back_after_a_restart_is_missed(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, "version: 1\ndetectors:\n  - {name: silent, absent: 600ms, do: page_human}\n");
    hello(&world, "web-1");
    hello(&world, "db-1");
    assert_int_equal(report(&world, "web-1", 0.1), 200);
    assert_int_equal(report(&world, "db-1", 0.1), 200);
    world_stop_plane(&world);
    world_start_plane(&world);
    WAIT_FOR(&world, report(&world, "web-1", 0.1) == 200 &&
                         call(&world, "GET", "/v1/incidents", NULL) == 200 &&
                         json_array_size(member(&world, "incidents")) == 1);
    assert_string_equal(word(&world, "incidents.0.node"), "db-1");
    assert_string_equal(word(&world, "incidents.0.finding"), "silent");
    world_close(&world);
}

static void a_batch_is_stepped_in_order_and_stored_through_its_end(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, quick_policy);
    hello(&world, "web-1");
    assert_int_equal(
        call(&world, "POST", "/v1/nodes/web-1/reports",
             "{\"reports\":[{\"boot\":\"00000000000000b1\",\"sequence\":1,\"age_s\":0.2,\"samples\":{\"cpu_"
             "utilization\":0.1}},"
             "{\"boot\":\"00000000000000b1\",\"sequence\":2,\"age_s\":0.1,\"samples\":{\"cpu_utilization\":0."
             "2}},"
             "{\"boot\":\"00000000000000b1\",\"sequence\":3,\"samples\":{\"cpu_utilization\":0.3}}]}"),
        200);
    assert_int_equal((int)number(&world, "accepted"), 3);
    world.sequence = 3;
    WAIT_FOR(&world, report(&world, "web-1", 0.3) == 200 && number(&world, "stored_through.sequence") >= 3);
    assert_string_equal(word(&world, "stored_through.boot"), "00000000000000b1");
    assert_int_equal(call(&world, "GET", "/v1/nodes/web-1/metrics?metric=cpu_utilization", NULL), 200);
    assert_true(json_array_size(member(&world, "points")) >= 4);
    assert_true(number(&world, "points.0.1") == 0.1);
    assert_string_equal(word(&world, "unit"), "ratio");

    assert_int_equal(call(&world, "POST", "/v1/reports",
                          "{\"reports\":[{\"node\":\"a\",\"samples\":{\"error_ratio\":0}},{\"node\":\"b\","
                          "\"samples\":{\"error_ratio\":0}}]}"),
                     200);
    assert_int_equal((int)number(&world, "accepted"), 2);
    assert_int_equal(call(&world, "GET", "/v1/nodes", NULL), 200);
    assert_int_equal((int)json_array_size(member(&world, "nodes")), 3);

    /* Names, numbers and samples outlive us. */
    world_stop_plane(&world);
    world_start_plane(&world);
    assert_int_equal(call(&world, "GET", "/v1/nodes/web-1/metrics?metric=cpu_utilization", NULL), 200);
    assert_true(json_array_size(member(&world, "points")) >= 4);
    assert_int_equal(call(&world, "GET", "/v1/nodes/b", NULL), 200);
    assert_string_equal(word(&world, "health"), "unknown");
    world_close(&world);
}

static void a_callee_is_known_before_it_is_heard_of_and_a_goodbye_ends_it(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, quick_policy);
    assert_int_equal(
        call(&world, "PUT", "/v1/nodes/web-1", "{\"calls\":[\"api-1\",\"db-1\"],\"role\":\"web\"}"), 200);
    assert_int_equal(call(&world, "GET", "/v1/nodes/api-1", NULL), 200);
    assert_string_equal(word(&world, "health"), "unknown");
    assert_int_equal(call(&world, "GET", "/healthz", NULL), 200);
    assert_int_equal((int)number(&world, "fleet"), 1);
    world_stop_plane(&world);
    world_start_plane(&world);
    assert_int_equal(call(&world, "GET", "/v1/nodes/web-1", NULL), 200);
    assert_string_equal(word(&world, "calls.1"), "db-1");
    assert_string_equal(word(&world, "role"), "web");
    assert_int_equal(call(&world, "DELETE", "/v1/nodes/web-1", NULL), 204);
    assert_int_equal(call(&world, "DELETE", "/v1/nodes/web-9", NULL), 404);
    assert_non_null(strstr(word(&world, "detail"), "did you mean web-1?"));
    world_close(&world);
}

struct heard {
    bool answered;
    char body[2048];
};

static void on_poll(void *context, const struct answer *answer)
{
    struct heard *heard = context;
    heard->answered = true;
    snprintf(heard->body, sizeof(heard->body), "%s", answer->body ? answer->body : "");
}

static void a_long_poll_is_answered_when_there_is_a_command(void **state)
{
    (void)state;
    struct world world;
    struct heard heard = {0};
    world_open(&world, quick_policy);
    hello(&world, "web-1");
    assert_int_equal(call(&world, "GET", "/v1/nodes/web-1/commands?wait=31s", NULL), 400);
    assert_int_equal(call(&world, "GET", "/v1/nodes/web-1/commands?wait=50ms", NULL), 200);
    assert_int_equal((int)json_array_size(member(&world, "commands")), 0);
    assert_int_equal(client_send(world.client, "GET", "/v1/nodes/web-1/commands?wait=20s", NULL, NULL, 0,
                                 25 * SECOND, on_poll, &heard),
                     0);
    WAIT_FOR(&world, report(&world, "web-1", 0.97) == 200 && heard.answered);
    assert_non_null(strstr(heard.body, "\"remedy\":\"restart_service\""));
    world_close(&world);
}

/* --- guards and people --------------------------------------------------------------------------------- */

static void pause_is_a_reason_and_resume_lets_it_act(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, quick_policy);
    hello(&world, "web-1");
    assert_int_equal(call(&world, "POST", "/v1/pause", NULL), 200);
    assert_true(json_is_true(member(&world, "paused")));
    world_stop_plane(&world); /* a person's word outlives us */
    world_start_plane(&world);
    hello(&world, "web-1");
    WAIT_FOR(&world, report(&world, "web-1", 0.97) == 200 &&
                         call(&world, "GET", "/v1/blocked", NULL) == 200 && strstr(world.body, "\"paused\""));
    assert_int_equal(call(&world, "GET", "/v1/incidents/1", NULL), 200);
    assert_int_equal((int)json_array_size(member(&world, "commands")), 0);
    assert_string_equal(word(&world, "block"), "paused");
    assert_int_equal(call(&world, "POST", "/v1/resume", NULL), 200);
    assert_true(json_is_false(member(&world, "paused")));
    report_until_command(&world, "web-1", 0.97);
    assert_int_equal(call(&world, "POST", "/v1/incidents/1/acknowledge", NULL), 200);
    assert_true(json_is_true(member(&world, "acknowledged")));
    assert_int_equal(call(&world, "POST", "/v1/incidents/1/approve", "{\"plan\":1}"), 409);
    assert_int_equal(call(&world, "POST", "/v1/incidents/9/approve", "{\"plan\":1}"), 404);
    assert_int_equal(call(&world, "POST", "/v1/incidents/1/proposal", "{\"remedy\":\"drain_node\"}"), 409);
    world_close(&world);
}

static const char *with_mode(const char *mode)
{
    static char text[2048];
    snprintf(text, sizeof(text), "%smode: %s\n", quick_policy, mode);
    return text;
}

/* Incident 1 of web-1 has plan 1, a restart, which waits for a person. */
static void open_with_a_plan_that_waits(struct world *world)
{
    world_open(world, with_mode("approve"));
    hello(world, "web-1");
    WAIT_FOR(world, report(world, "web-1", 0.97) == 200 &&
                        call(world, "GET", "/v1/incidents/1", NULL) == 200 && word(world, "block") &&
                        strcmp(word(world, "block"), "approval") == 0);
}

static void approve_mode_waits_for_a_person(void **state)
{
    (void)state;
    struct world world;
    open_with_a_plan_that_waits(&world);
    assert_int_equal(
        call(&world, "POST", "/v1/incidents/1/approve", "{\"plan\":1,\"remedy\":\"drain_node\"}"), 409);
    assert_int_equal(call(&world, "POST", "/v1/incidents/1/approve", "{\"plan\":2}"), 409);
    assert_int_equal(call(&world, "POST", "/v1/incidents/1/approve", "{}"), 400);
    assert_int_equal(
        call(&world, "POST", "/v1/incidents/1/approve", "{\"plan\":1,\"remedy\":\"restart_servise\"}"), 400);
    assert_non_null(strstr(word(&world, "detail"), "did you mean restart_service?"));
    assert_int_equal(report(&world, "web-1", 0.97), 200); /* so that the newest sample is fresh */
    assert_int_equal(
        call(&world, "POST", "/v1/incidents/1/approve", "{\"plan\":1,\"remedy\":\"restart_service\"}"), 200);
    uint64_t id = report_until_command(&world, "web-1", 0.97);
    assert_int_equal(rows_of_command(&world, id).count, 1);
    world_close(&world);
}

static void a_person_may_decline_a_plan(void **state)
{
    (void)state;
    struct world world;
    open_with_a_plan_that_waits(&world);
    assert_int_equal(call(&world, "POST", "/v1/incidents/1/decline", "{}"), 400);
    assert_int_equal(call(&world, "POST", "/v1/incidents/1/decline", "{\"plan\":2}"), 409);
    assert_int_equal(call(&world, "POST", "/v1/incidents/9/decline", "{\"plan\":1}"), 404);
    assert_int_equal(call(&world, "POST", "/v1/incidents/1/decline", "{\"plan\":1}"), 200);
    assert_int_equal((int)number(&world, "attempts"), 0);
    assert_true(strcmp(word(&world, "state"), "escalated") == 0 ||
                strcmp(word(&world, "remedy"), "restart_service") != 0);
    assert_int_equal((int)json_array_size(member(&world, "commands")), 0);
    world_close(&world);
}

static void dry_run_decides_everything_and_does_nothing(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, with_mode("dry_run"));
    hello(&world, "web-1");
    WAIT_FOR(&world, report(&world, "web-1", 0.97) == 200 &&
                         call(&world, "GET", "/v1/blocked", NULL) == 200 &&
                         strstr(world.body, "\"dry_run\""));
    for (int i = 0; i < 10; i++) {
        assert_int_equal(report(&world, "web-1", 0.97), 200);
        assert_int_equal((int)json_array_size(member(&world, "commands")), 0);
    }
    assert_int_equal(call(&world, "GET", "/v1/incidents/1", NULL), 200);
    assert_int_equal((int)number(&world, "attempts"), 0);
    assert_string_equal(word(&world, "remedy"), "restart_service");
    world_close(&world);
}

static void a_bad_policy_is_refused_and_the_old_one_stays(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, quick_policy);
    assert_int_equal(call(&world, "GET", "/v1/policy", NULL), 200);
    assert_string_equal(word(&world, "text"), quick_policy);
    assert_int_equal((int)number(&world, "version"), 1);
    static const char bad[] =
        "version: 1\nrules:\n  - {if: cpu_utilization > 0.90, for: 3s, do: restart_servise}\n";
    assert_int_equal(call_as(&world, "PUT", "/v1/policy", "application/yaml", bad), 422);
    assert_int_equal((int)number(&world, "errors.0.line"), 3);
    assert_true(number(&world, "errors.0.column") > 1);
    assert_non_null(strstr(word(&world, "errors.0.text"), "did you mean restart_service?"));
    assert_int_equal(call_as(&world, "PUT", "/v1/policy", "application/json", "{}"), 415);
    assert_int_equal(call(&world, "GET", "/v1/policy", NULL), 200);
    assert_string_equal(word(&world, "text"), quick_policy);

    assert_int_equal(call_as(&world, "PUT", "/v1/policy", "application/yaml", with_mode("dry_run")), 200);
    assert_int_equal((int)number(&world, "version"), 2);
    assert_string_equal(word(&world, "mode"), "dry_run");
    world_stop_plane(&world);
    world_start_plane(&world); /* with the old text as its default: the database's newest one counts */
    assert_int_equal(call(&world, "GET", "/v1/policy", NULL), 200);
    assert_string_equal(word(&world, "mode"), "dry_run");
    assert_int_equal((int)number(&world, "version"), 2);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(curl_can_play_a_node_agent),
        cmocka_unit_test(a_heal_is_proved_and_outlives_the_plane),
        cmocka_unit_test(a_repeated_outcome_changes_nothing),
        cmocka_unit_test(a_command_waits_for_its_node_across_a_restart),
        cmocka_unit_test(a_fresh_plane_rises_above_the_epoch_that_a_node_agent_has_seen),
        cmocka_unit_test(who_does_not_come_back_after_a_restart_is_missed),
        cmocka_unit_test(a_batch_is_stepped_in_order_and_stored_through_its_end),
        cmocka_unit_test(a_callee_is_known_before_it_is_heard_of_and_a_goodbye_ends_it),
        cmocka_unit_test(a_long_poll_is_answered_when_there_is_a_command),
        cmocka_unit_test(pause_is_a_reason_and_resume_lets_it_act),
        cmocka_unit_test(approve_mode_waits_for_a_person),
        cmocka_unit_test(a_person_may_decline_a_plan),
        cmocka_unit_test(dry_run_decides_everything_and_does_nothing),
        cmocka_unit_test(a_bad_policy_is_refused_and_the_old_one_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
