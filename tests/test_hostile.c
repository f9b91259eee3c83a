/* What a node agent with a token of its own, or a client without manners, cannot do to the control plane and
 * to the people who look at it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "plane/state.h"
#include "plane_world.h"

#include <arpa/inet.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* --- epochs and ids ------------------------------------------------------------------------------------- */

static double claim(struct world *world, int epoch)
{
    char body[64];
    snprintf(body, sizeof body, "{\"epoch_seen\":%d}", epoch);
    assert_int_equal(call(world, "PUT", "/v1/nodes/web-1", body), 200);
    return number(world, "epoch");
}

static void many_hellos_lift_the_epoch_no_higher_than_one(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, quick_policy);
    assert_int_equal(claim(&world, 600), 601);
    assert_int_equal(claim(&world, 1001), 1002); /* a thousand above the one of the start */
    assert_int_equal(claim(&world, 1002), 1002);
    assert_int_equal(claim(&world, 1600), 1002);
    assert_int_equal(claim(&world, 2000), 1002);
    world_stop_plane(&world);
    world_start_plane(&world);
    assert_int_equal(claim(&world, 2000), 2001); /* of a start of its own */
    world_close(&world);
}

static void ids_have_up_to_nineteen_digits(void **state)
{
    (void)state;
    struct world world;
    sqlite3 *db;
    world_open(&world, quick_policy);
    world_stop_plane(&world);
    assert_int_equal(sqlite3_open(world.database, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "UPDATE control SET epoch = 2000000000", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    world_start_plane(&world);
    hello(&world, "web-1");
    uint64_t id = report_until_command(&world, "web-1", 0.97);
    assert_true(id > UINT64_C(1000000000000000000));
    assert_int_equal(outcome(&world, id, "web-1", "done"), 200);
    assert_int_equal(outcome(&world, (uint64_t)INT64_MAX, "web-1", "done"), 404);
    assert_int_equal(outcome(&world, (uint64_t)INT64_MAX + 1, "web-1", "done"), 404);
    world_close(&world);
}

static void an_outcome_is_looked_up_by_its_id(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, quick_policy);
    hello(&world, "web-1");
    hello(&world, "web-2");
    uint64_t id = report_until_command(&world, "web-1", 0.97);
    assert_int_equal(outcome(&world, id, "web-1", "done"), 200);
    memset(roster_find(&world.plane->roster, "web-1")->orders, 0, sizeof(struct orders));
    assert_int_equal(outcome(&world, id, "web-2", "done"), 404); /* it was another's */
    assert_int_equal(outcome(&world, id - 1, "web-1", "done"), 404);
    assert_int_equal(outcome(&world, id + 1, "web-1", "done"), 404);
    assert_int_equal(outcome(&world, id + (UINT64_C(1) << 32), "web-1", "done"), 404);
    assert_int_equal(outcome(&world, id, "web-1", "done"), 200);
    world_close(&world);
}

/* --- names ---------------------------------------------------------------------------------------------- */

/* Eight names, of which the first has that number. */
static int name_eight(struct world *world, const char *node, int first)
{
    char path[64], body[512];
    int length = snprintf(body, sizeof body, "{\"calls\":[");
    for (int i = 0; i < CALLS_MAX; i++)
        length += snprintf(body + length, sizeof body - (size_t)length, "%s\"made-up-%d\"", i ? "," : "",
                           first + i);
    snprintf(body + length, sizeof body - (size_t)length, "]}");
    snprintf(path, sizeof path, "/v1/nodes/%s", node);
    return call(world, "PUT", path, body);
}

static void one_node_brings_in_no_more_than_64_names(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, quick_policy);
    for (int i = 0; i < NAMED_BY_ONE_MAX; i += CALLS_MAX)
        assert_int_equal(name_eight(&world, "web-1", i), 200);
    assert_int_equal(name_eight(&world, "web-1", NAMED_BY_ONE_MAX), 507);
    assert_string_equal(word(&world, "pointer"), "/calls");
    assert_int_equal(name_eight(&world, "web-1", 8), 200); /* they are known */
    assert_int_equal(name_eight(&world, "web-2", NAMED_BY_ONE_MAX), 200);
    assert_int_equal(call(&world, "GET", "/v1/nodes/web-1", NULL), 200);
    assert_string_equal(word(&world, "calls.0"), "made-up-8");
    world_close(&world);
}

static void a_quarter_of_the_places_is_for_names_that_nobody_heard_of(void **state)
{
    (void)state;
    struct roster roster;
    roster_init(&roster, 16);
    struct node *web = roster_enrol(&roster, "web-1"), *other = roster_enrol(&roster, "web-2");
    for (int i = 0; i < 4; i++) {
        char name[16];
        snprintf(name, sizeof name, "named-%d", i);
        assert_non_null(roster_name(&roster, i % 2 ? web : other, name));
    }
    assert_null(roster_name(&roster, web, "named-4"));
    assert_null(roster_name(&roster, other, "named-4"));
    assert_ptr_equal(roster_name(&roster, web, "web-2"), other);
    assert_non_null(roster_enrol(&roster, "named-0")); /* it says hello: one place is free again */
    assert_non_null(roster_enrol(&roster, "named-0"));
    assert_non_null(roster_name(&roster, web, "named-4"));
    assert_null(roster_name(&roster, web, "named-5"));
    assert_non_null(roster_enrol(&roster, "named-5")); /* who comes itself finds a place */

    struct node_row row;
    struct roster again;
    roster_init(&again, 16);
    for (uint32_t i = 0; i < roster.count; i++) {
        roster_row(&roster, roster_node(&roster, i), &row);
        row.boot = i < 2; /* the web nodes have been here */
        assert_non_null(roster_restore(&again, &row));
    }
    assert_int_equal(again.named, roster.count - 2);
    roster_fini(&again);
    roster_fini(&roster);
}

/* --- what people see ------------------------------------------------------------------------------------ */

static void assert_tame(json_t *value)
{
    const char *name;
    json_t *inner;
    size_t i;
    if (json_is_object(value))
        json_object_foreach(value, name, inner) assert_tame(inner);
    json_array_foreach(value, i, inner) assert_tame(inner);
    const unsigned char *c = (const unsigned char *)json_string_value(value);
    for (; c && *c; c++)
        if (*c < ' ' || *c == 0x7f || (*c == 0xc2 && c[1] < 0xa0))
            fail_msg("a control character in: %s", json_string_value(value));
}

/* Reports are answered before what they tell is in the store. */
static void see(struct world *world, const char *path, const char *text)
{
    WAIT_FOR(world, call(world, "GET", path, NULL) == 200 && strstr(world->body, text));
    assert_tame(world->json);
}

/* It would wipe the screen, change the title and ring. */
#define ESCAPES "\\u001b[2J\\u009b31m\\u007f\\u0007\\r\\n\\u00e9"
#define TAMED   " [2J  31m    \xc3\xa9"

static void no_word_of_a_node_reaches_a_terminal_as_an_order(void **state)
{
    (void)state;
    struct world world;
    char path[96], body[512];
    world_open(&world, quick_policy);
    assert_int_equal(call(&world, "PUT", "/v1/nodes/web-1",
                          "{\"boot\":\"00000000000000b1\",\"interval_s\":0.05,\"role\":\"r" ESCAPES
                          "\",\"zone\":\"z" ESCAPES "\",\"address\":\"a" ESCAPES "\"}"),
                     200);
    see(&world, "/v1/nodes", "\"role\":\"r" TAMED);
    see(&world, "/v1/nodes/web-1", "\"zone\":\"z" TAMED);
    see(&world, "/v1/nodes/web-1", "\"address\":\"a" TAMED);

    assert_int_equal(call(&world, "POST", "/v1/faults", "{\"kind\":\"cpu_spike\",\"node\":\"web-1\"}"), 201);
    snprintf(body, sizeof body,
             "{\"samples\":{},\"faults\":[{\"id\":%d,\"state\":\"failed\",\"reason\":\"f" ESCAPES "\"}]}",
             (int)number(&world, "id"));
    assert_int_equal(call(&world, "POST", "/v1/nodes/web-1/reports", body), 200);
    WAIT_FOR(&world, call(&world, "GET", "/v1/faults", NULL) == 200 && strstr(world.body, "failed"));
    see(&world, "/v1/faults", "\"reason\":\"f" TAMED);

    uint64_t id = report_until_command(&world, "web-1", 0.97);
    snprintf(path, sizeof path, "/v1/commands/%llu/outcome", (unsigned long long)id);
    assert_int_equal(
        call(&world, "POST", path, "{\"node\":\"web-1\",\"outcome\":\"done\",\"detail\":\"d" ESCAPES "\"}"),
        200);
    see(&world, "/v1/incidents/1", "d" TAMED);
    world_close(&world);
}

/* --- long polls ----------------------------------------------------------------------------------------- */

static void a_get_takes_no_body(void **state)
{
    (void)state;
    struct world world;
    char text[160];
    static const char *const paths[] = {"/v1/nodes/web-1/commands?wait=30s", "/v1/nodes"};
    world_open(&world, quick_policy);
    hello(&world, "web-1");
    for (int i = 0; i < 2; i++) {
        snprintf(text, sizeof text,
                 "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: close\r\nContent-Length: "
                 "2\r\n\r\n{}",
                 paths[i], world.port);
        char *answer = say_raw(&world, text);
        if (strncmp(answer, "HTTP/1.1 400", 12) != 0 || !strstr(answer, "a GET takes no body"))
            fail_msg("%s: %s", paths[i], answer);
        free(answer);
    }
    world_close(&world);
}

enum { PLACES = 16 };

/* As on a machine that allows so few descriptors. */
static void open_small(struct world *world)
{
    struct rlimit usual, few;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &usual), 0);
    few = usual;
    few.rlim_cur = DESCRIPTORS_ASIDE + PLACES;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    world_open(world, quick_policy);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &usual), 0);
    assert_int_equal(world->plane->connections, PLACES);
}

static int ask_and_wait(const struct world *world)
{
    char text[128];
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)world->port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    int length =
        snprintf(text, sizeof text,
                 "GET /v1/nodes/web-1/commands?wait=30s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n", world->port);
    assert_int_equal(send(fd, text, (size_t)length, MSG_NOSIGNAL), length);
    return fd;
}

static bool is_let_in(struct world *world)
{
    char text[128];
    snprintf(text, sizeof text, "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: close\r\n\r\n",
             world->port);
    char *answer = say_raw(world, text);
    bool good = strncmp(answer, "HTTP/1.1 200", 12) == 0;
    free(answer);
    return good;
}

static void a_crowd_of_long_polls_leaves_room_for_newcomers(void **state)
{
    (void)state;
    struct world world;
    int fds[2 * PLACES];
    open_small(&world);
    hello(&world, "web-1");
    for (int i = 0; i < 2 * PLACES; i++) {
        fds[i] = ask_and_wait(&world);
        world_turn(&world);
    }
    instant from = world_now();
    WAIT_FOR(&world, is_let_in(&world));
    assert_true(world_now() - from < 10 * SECOND);
    assert_true(world.plane->waiter_count <= PLACES / 2);
    assert_true(server_counts(world.plane->server).connections <= PLACES);
    for (int i = 0; i < 2 * PLACES; i++)
        close(fds[i]);
    world_close(&world);
}

/* --- losses --------------------------------------------------------------------------------------------- */

static void losses_have_a_bound_and_their_count_does_not_wrap(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, quick_policy);
    assert_int_equal(call(&world, "POST", "/v1/nodes/web-1/reports",
                          "{\"gaps\":[{\"boot\":\"00000000000000b1\",\"from\":1,\"to\":4294967297,"
                          "\"reason\":\"damaged\"}]}"),
                     400);
    assert_string_equal(word(&world, "pointer"), "/gaps/0/to");
    world.plane->counts.lost_reports = UINT64_MAX - 3;
    assert_int_equal(call(&world, "POST", "/v1/nodes/web-1/reports",
                          "{\"gaps\":[{\"boot\":\"00000000000000b1\",\"from\":1,\"to\":4294967296,"
                          "\"reason\":\"damaged\"}]}"),
                     200);
    assert_int_equal(call(&world, "GET", "/metrics", NULL), 200);
    assert_non_null(strstr(world.body, "homeostat_reports_lost_total 18446744073709551615\n"));
    world_close(&world);
}

/* --- two of one name ------------------------------------------------------------------------------------ */

static void a_goodbye_is_for_its_own_boot(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, quick_policy);
    hello(&world, "web-1"); /* boot b1 */
    assert_int_equal(call(&world, "DELETE", "/v1/nodes/web-1?boot=00000000000000a0", NULL), 204);
    assert_int_equal(call(&world, "GET", "/healthz", NULL), 200);
    assert_int_equal((int)number(&world, "fleet"), 1);
    assert_int_equal(call(&world, "DELETE", "/v1/nodes/web-1?boot=b1", NULL), 400);
    assert_int_equal(call(&world, "DELETE", "/v1/nodes/web-1?boot=00000000000000b1", NULL), 204);
    assert_int_equal(call(&world, "GET", "/healthz", NULL), 200);
    assert_int_equal((int)number(&world, "fleet"), 0);
    hello(&world, "web-1");
    assert_int_equal(call(&world, "DELETE", "/v1/nodes/web-1", NULL), 204); /* a person's */
    assert_int_equal(call(&world, "GET", "/healthz", NULL), 200);
    assert_int_equal((int)number(&world, "fleet"), 0);
    world_close(&world);
}

static int count_in_log(const struct world *world, const char *text)
{
    char line[512];
    int count = 0;
    FILE *file = fopen(world->log, "r");
    while (file && fgets(line, sizeof line, file))
        count += strstr(line, text) != NULL;
    if (file)
        fclose(file);
    return count;
}

static void report_of(struct world *world, const char *boot)
{
    char body[128];
    snprintf(body, sizeof body, "{\"boot\":\"%s\",\"samples\":{\"cpu_utilization\":0.1}}", boot);
    for (int i = 0; i < 2; i++) /* samples must be newer than the ones before */
        world_turn(world);
    assert_int_equal(call(world, "POST", "/v1/nodes/web-1/reports", body), 200);
}

static void two_node_agents_of_one_name_are_told_of_once(void **state)
{
    (void)state;
    struct world world;
    static const char one[] = "00000000000000b1", two[] = "00000000000000b2";
    static const char sentence[] = "two node agents call themselves web-1";
    world_open(&world, quick_policy);
    report_of(&world, one);
    report_of(&world, two); /* a restart */
    report_of(&world, one); /* a last word that was overtaken */
    report_of(&world, two);
    report_of(&world, "00000000000000b3");
    assert_int_equal(count_in_log(&world, sentence), 0);
    for (int i = 0; i < 10; i++)
        report_of(&world, i % 2 ? one : two);
    assert_int_equal(count_in_log(&world, sentence), 1);
    world_close(&world);
}

/* --- HEAD ----------------------------------------------------------------------------------------------- */

static void head_is_get_without_the_body(void **state)
{
    (void)state;
    struct world world;
    char text[128];
    static const char *const paths[] = {"/healthz", "/v1/nodes", "/v1/events"};
    world_open(&world, quick_policy);
    for (size_t i = 0; i < 3; i++) {
        snprintf(text, sizeof text, "HEAD %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: close\r\n\r\n",
                 paths[i], world.port);
        char *answer = say_raw(&world, text), *end = strstr(answer, "\r\n\r\n");
        if (strncmp(answer, "HTTP/1.1 200", 12) != 0 || !end || end[4])
            fail_msg("%s: %s", paths[i], answer);
        free(answer);
    }
    assert_int_equal(call(&world, "POST", "/v1/nodes", "{}"), 405);
    assert_non_null(strstr(word(&world, "detail"), "GET, HEAD"));
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_hellos_lift_the_epoch_no_higher_than_one),
        cmocka_unit_test(ids_have_up_to_nineteen_digits),
        cmocka_unit_test(an_outcome_is_looked_up_by_its_id),
        cmocka_unit_test(one_node_brings_in_no_more_than_64_names),
        cmocka_unit_test(a_quarter_of_the_places_is_for_names_that_nobody_heard_of),
        cmocka_unit_test(no_word_of_a_node_reaches_a_terminal_as_an_order),
        cmocka_unit_test(a_get_takes_no_body),
        cmocka_unit_test(a_crowd_of_long_polls_leaves_room_for_newcomers),
        cmocka_unit_test(losses_have_a_bound_and_their_count_does_not_wrap),
        cmocka_unit_test(a_goodbye_is_for_its_own_boot),
        cmocka_unit_test(two_node_agents_of_one_name_are_told_of_once),
        cmocka_unit_test(head_is_get_without_the_body),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
