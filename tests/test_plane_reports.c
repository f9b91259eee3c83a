/* Reports as a spool sends them: backlogs, boots that are past, gaps; and what stored_through says of them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "plane_world.h"

#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

static int64_t ask_database(const struct world *world, const char *sql)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = NULL;
    assert_int_equal(sqlite3_open_v2(world->database, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    int64_t answer = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    sqlite3_close(db);
    return answer;
}

static int post(struct world *world, const char *body)
{
    return call(world, "POST", "/v1/nodes/web-1/reports", body);
}

#define ONE(boot, sequence, age)                                                                             \
    "{\"boot\":\"00000000000000" boot "\",\"sequence\":" sequence ",\"age_s\":" age                          \
    ",\"samples\":{\"cpu_utilization\":0.1}}"

/* Live reports with rising numbers, until so much of the boot is durable. A report that is sent again is
 * under way again: one that is repeated could wait for ever. */
static double through(struct world *world, const char *boot, double age_s)
{
    char body[256];
    snprintf(body, sizeof(body),
             "{\"boot\":\"%s\",\"sequence\":%llu,\"age_s\":%g,\"samples\":{\"cpu_utilization\":0.1}}", boot,
             (unsigned long long)++world->sequence, age_s);
    assert_int_equal(post(world, body), 200);
    assert_string_equal(word(world, "stored_through.boot"), boot);
    return number(world, "stored_through.sequence");
}

static const char live[] = "00000000000000b1", past[] = "00000000000000a0";

static void a_backlog_behind_the_newest_report_holds_stored_through_back(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, quick_policy);
    hello(&world, "web-1");
    world.sequence = 49;
    WAIT_FOR(&world, through(&world, live, 0) >= 50);
    assert_int_equal((int)number(&world, "epoch"), 1);
    assert_int_equal(post(&world, "{\"reports\":[" ONE("b1", "10", "40") "," ONE("b1", "11", "39") "]}"),
                     200);
    assert_int_equal((int)number(&world, "accepted"), 2);
    assert_int_equal((int)number(&world, "stored_through.sequence"), 9); /* 10 is under way */
    WAIT_FOR(&world, through(&world, live, 0) >= 51);
    world_close(&world);
}

static void the_backlog_of_a_past_boot_is_stored_and_changes_nothing(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, quick_policy);
    hello(&world, "web-1");
    world.sequence = 49;
    WAIT_FOR(&world, through(&world, live, 0) >= 50);
    uint64_t newest = world.sequence;
    world.sequence = 6;
    WAIT_FOR(&world, through(&world, past, 100) >= 7);
    assert_true(ask_database(&world, "SELECT count(*) FROM samples WHERE boot = '00000000000000a0'") >= 1);
    assert_int_equal(call(&world, "GET", "/v1/nodes/web-1", NULL), 200);
    assert_string_equal(word(&world, "boot"), live);
    assert_int_equal((int)number(&world, "sequence"), (int)newest);
    world.sequence = newest;
    WAIT_FOR(&world, through(&world, live, 0) > (double)newest); /* its numbering goes on */
    world_close(&world);
}

#define GAP(to)                                                                                              \
    "{\"gaps\":[{\"boot\":\"00000000000000b1\",\"from\":3,\"to\":" to ",\"reason\":\"spool_full\"}]}"

static void a_gap_is_one_row_however_often_it_is_told(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, quick_policy);
    hello(&world, "web-1");
    world.sequence = 100;
    assert_int_equal(post(&world, GAP("9")), 200);
    assert_int_equal((int)number(&world, "accepted"), 0);
    assert_string_equal(word(&world, "stored_through.boot"), live);
    assert_int_equal(post(&world, GAP("12")), 200);
    assert_int_equal(post(&world, GAP("9")), 200); /* an old word: it does not shrink */
    assert_true(number(&world, "stored_through.sequence") < 12);
    WAIT_FOR(&world, through(&world, live, 0) >= 101);
    assert_int_equal(ask_database(&world, "SELECT count(*) FROM gaps"), 1);
    assert_int_equal(ask_database(&world, "SELECT last FROM gaps WHERE reason = 'spool_full' AND first = 3"),
                     12);
    assert_int_equal(call(&world, "GET", "/metrics", NULL), 200);
    assert_non_null(strstr(world.body, "homeostat_reports_lost_total 10\n"));
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_backlog_behind_the_newest_report_holds_stored_through_back),
        cmocka_unit_test(the_backlog_of_a_past_boot_is_stored_and_changes_nothing),
        cmocka_unit_test(a_gap_is_one_row_however_often_it_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
