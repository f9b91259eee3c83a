/* The control plane at its edges: bad requests, faults and their leases, watchers, a store that fails, being
 * away, beginning and ending. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "plane_world.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- bad requests -------------------------------------------------------------------------------------- */

static void what_is_wrong_is_said_with_its_place_and_mend(void **state)
{
    (void)state;
    static const struct {
        const char *method, *path, *body;
        int status;
        const char *pointer, *text;
    } cases[] = {
        {"POST", "/v1/nodes/w/reports", "{\"samples\":{\"cpu_utilisation\":0.5}}", 400,
         "/samples/cpu_utilisation", "did you mean cpu_utilization?"},
        {"POST", "/v1/nodes/w/reports", "{\"samples\":{\"cpu_utilization\":NaN}}", 400, NULL, NULL},
        {"POST", "/v1/nodes/w/reports", "{\"samples\":{\"cpu_utilization\":1e999}}", 400, NULL, NULL},
        {"POST", "/v1/nodes/w/reports", "{\"samples\":{\"cpu_utilization\":1e301}}", 400,
         "/samples/cpu_utilization", NULL},
        {"POST", "/v1/nodes/w/reports", "{\"samples\":{\"cpu_utilization\":\"high\"}}", 400,
         "/samples/cpu_utilization", NULL},
        {"POST", "/v1/nodes/w/reports", "{\"sample\":{}}", 400, NULL, "samples"},
        {"POST", "/v1/nodes/w/reports", "{\"samples\":{},\"sequense\":4}", 400, "/sequense",
         "did you mean sequence?"},
        {"POST", "/v1/nodes/w/reports", "{\"samples\":{},\"boot\":\"12\"}", 400, "/boot", NULL},
        {"POST", "/v1/nodes/w/reports", "{\"samples\":{},\"age_s\":-1}", 400, "/age_s", NULL},
        {"POST", "/v1/nodes/w/reports", "[]", 400, NULL, NULL},
        {"POST", "/v1/nodes/w/reports", "{\"reports\":[{\"samples\":{}},{\"samples\":{\"x\":1}}]}", 400,
         "/reports/1/samples/x", NULL},
        {"POST", "/v1/nodes/-w/reports", "{\"samples\":{}}", 400, NULL, "a node's name"},
        {"POST", "/v1/reports", "{\"reports\":[{\"samples\":{}}]}", 400, "/reports/0/node", NULL},
        {"PUT", "/v1/nodes/w", "{\"calls\":[\"a b\"]}", 400, "/calls", NULL},
        {"PUT", "/v1/nodes/w", "{\"interval_s\":0}", 400, "/interval_s", NULL},
        {"GET", "/v1/nodes/nobody/commands", NULL, 404, NULL, NULL},
        {"GET", "/v1/nodes/nobody", NULL, 404, NULL, NULL},
        {"GET", "/v1/incidents/7", NULL, 404, NULL, NULL},
        {"GET", "/v1/incidents/x", NULL, 404, NULL, NULL},
        {"GET", "/v1/incidents?limit=0", NULL, 400, NULL, NULL},
        {"GET", "/v1/incidents?state=well", NULL, 400, NULL, NULL},
        {"POST", "/v1/commands/4294967297/outcome", "{\"node\":\"nobody\",\"outcome\":\"done\"}", 404, NULL,
         NULL},
        {"POST", "/v1/commands/0/outcome", "{\"node\":\"w\",\"outcome\":\"done\"}", 404, NULL, NULL},
        {"DELETE", "/v1/faults/77", NULL, 404, NULL, NULL},
        {"POST", "/v1/nodes", "{}", 405, NULL, "GET"},
        {"GET", "/v1/nodez", NULL, 404, NULL, NULL},
        {"GET", "/v1/events?after=x", NULL, 400, NULL, NULL},
    };
    struct world world;
    world_open(&world, quick_policy);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int status = call(&world, cases[i].method, cases[i].path, cases[i].body);
        if (status != cases[i].status)
            fail_msg("case %zu: %d %s", i, status, world.body);
        assert_int_equal((int)number(&world, "status"), status);
        if (cases[i].pointer)
            assert_string_equal(word(&world, "pointer"), cases[i].pointer);
        if (cases[i].text && !strstr(word(&world, "detail"), cases[i].text))
            fail_msg("case %zu: %s", i, word(&world, "detail"));
    }
    assert_int_equal(call(&world, "GET", "/v1/nodes", NULL), 200); /* none of it enrolled anybody */
    assert_int_equal((int)json_array_size(member(&world, "nodes")), 0);
    world_close(&world);
}

static void curl_without_a_content_type_is_told_the_mend(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, quick_policy);
    assert_int_equal(call_as(&world, "POST", "/v1/nodes/w/reports", "application/x-www-form-urlencoded",
                             "{\"samples\":{}}"),
                     415);
    assert_non_null(strstr(word(&world, "detail"), "-H 'Content-Type: application/json'"));
    world_close(&world);
}

static void a_body_of_ten_megabytes_is_too_much(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, quick_policy);
    size_t length = 10 << 20;
    char *body = malloc(length);
    memset(body, ' ', length);
    int status = call_bytes(&world, "POST", "/v1/nodes/w/reports", NULL, body, length);
    assert_true(status == 413 ||
                status == 0); /* the answer, or the cut that follows it while we still send */
    assert_int_equal(call(&world, "POST", "/v1/nodes/w/reports", "{\"samples\":{}}"), 200);
    free(body);
    world_close(&world);
}

static void foreign_hosts_and_origins_are_refused(void **state)
{
    (void)state;
    struct world world;
    char text[512];
    world_open(&world, quick_policy);
    static const char *const heads[] = {"Host: evil.example\r\n",
                                        "Host: 127.0.0.1:%d\r\nOrigin: http://evil.example\r\n"};
    for (int i = 0; i < 2; i++) {
        char head[128];
        snprintf(head, sizeof(head),
                 i == 0 ? "Host: evil.example\r\n" : "Host: 127.0.0.1:%d\r\nOrigin: http://evil.example\r\n",
                 world.port);
        snprintf(text, sizeof(text),
                 "POST /v1/pause HTTP/1.1\r\n%sConnection: close\r\nContent-Length: 0\r\n\r\n", head);
        char *answer = say_raw(&world, text);
        if (strncmp(answer, "HTTP/1.1 403", 12) != 0)
            fail_msg("%s: %s", heads[i], answer);
        free(answer);
    }
    assert_int_equal(call(&world, "GET", "/healthz", NULL), 200);
    assert_true(json_is_false(member(&world, "paused")));
    world_close(&world);
}

/* --- faults -------------------------------------------------------------------------------------------- */

static int fault_in_state(struct world *world, const char *how)
{
    return call(world, "GET", "/v1/faults", NULL) == 200 && strcmp(word(world, "faults.0.state"), how) == 0;
}

static void a_fault_is_delivered_told_of_and_explains_the_incident(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, quick_policy);
    assert_int_equal(call(&world, "PUT", "/v1/nodes/web-1",
                          "{\"boot\":\"00000000000000b1\",\"interval_s\":0.05,\"calls\":[\"db-1\"]}"),
                     200);
    assert_int_equal(call(&world, "POST", "/v1/faults", "{\"kind\":\"cpu_spik\",\"node\":\"web-1\"}"), 400);
    assert_non_null(strstr(word(&world, "detail"), "did you mean cpu_spike?"));
    assert_int_equal(call(&world, "POST", "/v1/faults", "{\"kind\":\"cpu_spike\",\"node\":\"web-2\"}"), 404);
    assert_int_equal(
        call(&world, "POST", "/v1/faults", "{\"kind\":\"cpu_spike\",\"node\":\"web-1\",\"intensity\":7}"),
        400);
    assert_int_equal(call(&world, "POST", "/v1/faults", "{\"kind\":\"cpu_spike\",\"node\":\"db-1\"}"), 201);
    assert_string_equal(word(&world, "state"), "asked");
    assert_int_equal(call(&world, "POST", "/v1/faults", "{\"kind\":\"cpu_spike\",\"node\":\"db-1\"}"), 409);

    assert_int_equal(
        call(&world, "POST", "/v1/nodes/db-1/reports", "{\"samples\":{\"cpu_utilization\":0.03}}"), 200);
    assert_string_equal(word(&world, "faults.0.kind"), "cpu_spike");
    assert_true(number(&world, "faults.0.intensity") == 0.95);
    assert_true(number(&world, "faults.0.lease_s") > 50 && number(&world, "faults.0.lease_s") <= 60);
    int id = (int)number(&world, "faults.0.id");
    char body[256];
    snprintf(body, sizeof(body),
             "{\"samples\":{\"cpu_utilization\":0.1},\"faults\":[{\"id\":%d,\"state\":\"active\",\"age_s\":0."
             "01,\"effect\":\"seen\",\"metric\":\"cpu_utilization\",\"before\":0.03,\"after\":0.97}]}",
             id);
    assert_int_equal(call(&world, "POST", "/v1/nodes/db-1/reports", body), 200);
    WAIT_FOR(&world, fault_in_state(&world, "active"));
    assert_string_equal(word(&world, "faults.0.effect"), "seen");
    assert_true(number(&world, "faults.0.after") == 0.97);

    /* web-1 calls db-1: what is found there is counted from the fault below it. */
    report_until_command(&world, "web-1", 0.97);
    WAIT_FOR(&world, call(&world, "GET", "/v1/incidents/1", NULL) == 200 && word(&world, "fault.kind"));
    assert_string_equal(word(&world, "fault.node"), "db-1");
    assert_true(number(&world, "detected_after_s") > 0);

    assert_int_equal(call(&world, "DELETE", "/v1/faults", NULL), 200);
    assert_int_equal((int)number(&world, "cleared"), 1);
    assert_int_equal(call(&world, "POST", "/v1/nodes/db-1/reports", "{\"samples\":{}}"), 200);
    assert_int_equal((int)json_array_size(member(&world, "faults")), 0); /* so the node ends it */
    snprintf(body, sizeof(body),
             "{\"samples\":{},\"faults\":[{\"id\":%d,\"state\":\"ended\",\"reason\":\"cleared\"}]}", id);
    assert_int_equal(call(&world, "POST", "/v1/nodes/db-1/reports", body), 200);
    WAIT_FOR(&world, fault_in_state(&world, "ended"));
    assert_string_equal(word(&world, "faults.0.reason"), "cleared");
    assert_string_equal(word(&world, "kinds.0.kind"), "cpu_spike");
    world_close(&world);
}

static void a_fault_on_a_silent_node_ends_by_its_lease(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, quick_policy);
    hello(&world, "web-1");
    assert_int_equal(
        call(&world, "POST", "/v1/faults", "{\"kind\":\"service_hang\",\"node\":\"web-1\",\"lease_s\":1}"),
        201);
    world_stop_plane(&world); /* it stays on the board */
    world_start_plane(&world);
    assert_int_equal(call(&world, "GET", "/v1/faults?active=true", NULL), 200);
    assert_int_equal((int)json_array_size(member(&world, "faults")), 1);
    WAIT_FOR(&world, fault_in_state(&world, "ended")); /* six seconds */
    assert_string_equal(word(&world, "faults.0.reason"), "expired");
    world_close(&world);
}

/* --- watchers ------------------------------------------------------------------------------------------ */

struct watched {
    int count;
    uint64_t first, last;
    char names[8192];
};

static void on_event(void *context, const char *name, uint64_t id, const char *data)
{
    struct watched *watched = context;
    if (!name)
        return;
    json_t *parsed = json_loads(data, 0, NULL);
    assert_non_null(parsed);
    assert_true(id > watched->last);
    watched->first = watched->count++ ? watched->first : id;
    watched->last = id;
    const char *step = json_string_value(json_object_get(parsed, "step"));
    size_t length = strlen(watched->names);
    snprintf(watched->names + length, sizeof(watched->names) - length, "%s:%s ", name, step ? step : "-");
    json_decref(parsed);
}

static void watchers_see_the_story_and_can_have_it_again(void **state)
{
    (void)state;
    struct world world;
    struct watched live = {0}, again = {0}, rest = {0};
    char path[96];
    world_open(&world, quick_policy);
    struct event_stream *stream =
        event_stream_open(world.base, "127.0.0.1", world.port, "/v1/events", on_event, &live);
    WAIT_FOR(&world,
             call(&world, "GET", "/metrics", NULL) == 200 && strstr(world.body, "homeostat_http_streams 1"));
    hello(&world, "web-1");
    uint64_t id = report_until_command(&world, "web-1", 0.97);
    assert_int_equal(outcome(&world, id, "web-1", "done"), 200);
    report_until_state(&world, "web-1", 0.03, 1, "resolved");
    WAIT_FOR(&world, strstr(live.names, "incident:RESOLVED"));
    assert_true(strstr(live.names, "incident:DETECT") < strstr(live.names, "incident:PLAN"));
    assert_true(strstr(live.names, "incident:PLAN") < strstr(live.names, "incident:ACT"));
    assert_true(strstr(live.names, "command:COMMAND") < strstr(live.names, "command:DONE"));

    snprintf(path, sizeof(path), "/v1/events?after=%llu", (unsigned long long)live.first - 1);
    struct event_stream *replay =
        event_stream_open(world.base, "127.0.0.1", world.port, path, on_event, &again);
    WAIT_FOR(&world, again.last >= live.last);
    assert_memory_equal(again.names, live.names, strlen(live.names));
    snprintf(path, sizeof(path), "/v1/events?after=%llu", (unsigned long long)live.last - 2);
    struct event_stream *tail = event_stream_open(world.base, "127.0.0.1", world.port, path, on_event, &rest);
    WAIT_FOR(&world, rest.last >= live.last);
    assert_true(rest.first == live.last - 1);
    event_stream_close(&stream);
    event_stream_close(&replay);
    event_stream_close(&tail);
    WAIT_FOR(&world,
             call(&world, "GET", "/metrics", NULL) == 200 && strstr(world.body, "homeostat_http_streams 0"));
    world_close(&world);
}

/* Every line is a comment, or name{labels} value; every sample's family was announced with its type. */
static void prometheus_can_read_the_metrics(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, quick_policy);
    hello(&world, "web-1");
    report(&world, "web-1", 0.25);
    assert_int_equal(call(&world, "GET", "/metrics", NULL), 200);
    assert_non_null(
        strstr(world.body, "homeostat_node_sample{node=\"web-1\",metric=\"cpu_utilization\"} 0.25\n"));
    assert_non_null(strstr(world.body, "homeostat_reports_total 1\n"));
    assert_non_null(strstr(world.body, "homeostat_fleet_nodes 1\n"));
    char *text = strdup(world.body), *rest = text, *line, family[96] = "";
    while ((line = strsep(&rest, "\n")) && *line) {
        if (sscanf(line, "# TYPE %95s", family) == 1 || strncmp(line, "# HELP homeostat_", 17) == 0)
            continue;
        assert_memory_equal(line, family, strlen(family));
        char *value = strrchr(line, ' '), *end;
        assert_non_null(value);
        strtod(value + 1, &end);
        assert_true(end != value + 1 && *end == '\0');
    }
    free(text);
    world_close(&world);
}

static void the_api_describes_itself(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, quick_policy);
    assert_int_equal(call(&world, "GET", "/openapi.json", NULL), 200);
    assert_string_equal(word(&world, "openapi"), "3.1.0");
    assert_non_null(json_object_get(member(&world, "paths"), "/v1/nodes/{id}/reports"));
    world_close(&world);
}

/* --- trouble of its own -------------------------------------------------------------------------------- */

/* Another program holds the database's write lock for too long: commits fail, nothing is decided, and nothing
 * that was answered is lost; then it goes on. */
static void a_store_that_fails_stops_deciding_until_it_works_again(void **state)
{
    (void)state;
    struct world world;
    sqlite3 *other;
    world_open(&world, quick_policy);
    hello(&world, "web-1");
    int epoch = (int)number(&world, "epoch");
    uint64_t id = report_until_command(&world, "web-1", 0.97);
    assert_int_equal(sqlite3_open(world.database, &other), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    WAIT_FOR(&world, outcome(&world, id, "web-1", "done") == 503); /* not promised */
    WAIT_FOR(&world, call(&world, "GET", "/healthz", NULL) == 503);
    assert_string_equal(word(&world, "status"), "degraded");
    assert_int_equal(report(&world, "web-1", 0.97), 503);
    assert_int_equal(call(&world, "GET", "/v1/incidents/1", NULL), 200); /* people can still look */
    assert_string_equal(word(&world, "state"), "acting");
    assert_int_equal(sqlite3_exec(other, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(other);
    WAIT_FOR(&world, call(&world, "GET", "/healthz", NULL) == 200);
    assert_true((int)number(&world, "epoch") > epoch);
    assert_int_equal(report(&world, "web-1", 0.97), 200);
    assert_true(id == (uint64_t)json_integer_value(member(&world, "commands.0.id")));
    assert_int_equal(outcome(&world, id, "web-1", "done"), 200);
    report_until_state(&world, "web-1", 0.03, 1, "resolved");
    assert_int_equal(call(&world, "GET", "/metrics", NULL), 200);
    assert_non_null(strstr(world.body, "homeostat_rebuilds_total 1\n"));
    world_close(&world);
}

static void a_second_away_is_a_gap_and_nobody_is_blamed_for_it(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, quick_policy);
    hello(&world, "web-1");
    assert_int_equal(report(&world, "web-1", 0.03), 200);
    usleep(1400 * 1000); /* the loop itself sleeps: this is the event */
    assert_int_equal(call(&world, "GET", "/metrics", NULL), 200);
    assert_non_null(strstr(world.body, "homeostat_gaps_total 1\n"));
    assert_int_equal(call(&world, "GET", "/v1/nodes/web-1", NULL), 200);
    assert_string_equal(word(&world, "health"), "healthy");
    world_close(&world);
}

static void it_says_why_it_cannot_begin(void **state)
{
    (void)state;
    struct world world;
    char error[2048], path[128];
    world_open(&world, quick_policy);
    struct plane_options options = {
        .listen_fd = -1, .ready_fd = -1, .database = world.database, .log_path = ""};
    assert_null(plane_new(world.base, &options, error, sizeof(error)));
    assert_int_equal(errno, EWOULDBLOCK);
    snprintf(path, sizeof(path), "%s/other.db", world.folder);
    options.database = path;
    options.port = world.port;
    assert_null(plane_new(world.base, &options, error, sizeof(error)));
    assert_int_equal(errno, EADDRINUSE);
    options.address = "0.0.0.0";
    assert_null(plane_new(world.base, &options, error, sizeof(error)));
    assert_int_equal(errno, EPERM);
    options.address = NULL;
    options.port = 0;
    options.policy_text = "version: 1\nrules: 7\n";
    assert_null(plane_new(world.base, &options, error, sizeof(error)));
    assert_int_equal(errno, EINVAL);
    assert_non_null(strstr(error, "policy:2:"));
    world_close(&world);
}

/* The subcommand as a process: it says when it is ready, and SIGTERM loses nothing. */
static void serve_begins_and_ends_as_a_process(void **state)
{
    (void)state;
    struct world world;
    int ready[2];
    char line[16] = "", *body = NULL;
    world_open(&world, quick_policy);
    world_stop_plane(&world);
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        struct plane_options options = {
            .listen_fd = -1, .ready_fd = ready[1], .database = world.database, .log_path = ""};
        close(ready[0]);
        assert_non_null(freopen("/dev/null", "w", stderr));
        _exit(plane_main(&options));
    }
    close(ready[1]);
    assert_true(read(ready[0], line, sizeof(line) - 1) > 1);
    int port = atoi(line);
    static const char report_body[] = "{\"samples\":{\"cpu_utilization\":0.5}}";
    assert_int_equal(client_call("127.0.0.1", port, "POST", "/v1/nodes/web-7/reports", NULL, report_body,
                                 sizeof(report_body) - 1, 5 * SECOND, &body),
                     200);
    free(body);
    pid_t second = fork(); /* while the first one has the database */
    if (second == 0) {
        struct plane_options options = {.listen_fd = -1, .ready_fd = -1, .database = world.database};
        assert_non_null(freopen("/dev/null", "w", stderr));
        _exit(plane_main(&options));
    }
    int status;
    assert_int_equal(waitpid(second, &status, 0), second);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 3);
    assert_int_equal(kill(child, SIGTERM), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    close(ready[0]);
    world_start_plane(&world);
    assert_int_equal(call(&world, "GET", "/v1/nodes/web-7/metrics?metric=cpu_utilization", NULL), 200);
    assert_true(number(&world, "points.0.1") == 0.5); /* not a sample was lost */
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_wrong_is_said_with_its_place_and_mend),
        cmocka_unit_test(curl_without_a_content_type_is_told_the_mend),
        cmocka_unit_test(a_body_of_ten_megabytes_is_too_much),
        cmocka_unit_test(foreign_hosts_and_origins_are_refused),
        cmocka_unit_test(a_fault_is_delivered_told_of_and_explains_the_incident),
        cmocka_unit_test(a_fault_on_a_silent_node_ends_by_its_lease),
        cmocka_unit_test(watchers_see_the_story_and_can_have_it_again),
        cmocka_unit_test(prometheus_can_read_the_metrics),
        cmocka_unit_test(the_api_describes_itself),
        cmocka_unit_test(a_store_that_fails_stops_deciding_until_it_works_again),
        cmocka_unit_test(a_second_away_is_a_gap_and_nobody_is_blamed_for_it),
        cmocka_unit_test(it_says_why_it_cannot_begin),
        cmocka_unit_test(serve_begins_and_ends_as_a_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
