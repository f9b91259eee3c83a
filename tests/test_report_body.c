/* Report bodies: the quick way of reading takes nothing that the strict one refuses, and reads the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/check.h"
#include "plane/report_body.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BOOT "\"boot\":\"00000000000000b1\""

static const char *const usual[] = {
    "{" BOOT
    ",\"sequence\":17,\"age_s\":0.0,\"samples\":{\"cpu_utilization\":0.97,\"request_latency\":0.058}}",
    "{\"samples\":{}}",
    "{ \"samples\" : { \"memory_bytes\" : 8400123 , \"service_up\" : 1 } , \"faults\" : [ ] }\n",
    "{\"reports\":[{\"samples\":{\"cpu_utilization\":1e-3}},{" BOOT ",\"samples\":{\"error_ratio\":0.25}}]}",
    "{\"reports\":[]}",
    "{\"samples\":{\"neighbour_cpu_utilization\":0.12345678901234567,\"storage_latency\":2.5E2}}",
    "{\"samples\":{\"service_exit\":139,\"offered_load\":9.25,\"storage_error_ratio\":0.5}}",
};

static const char *const usual_of_many[] = {
    "{\"reports\":[{\"node\":\"web-1\"," BOOT ",\"sequence\":1,\"samples\":{\"cpu_utilization\":0.1}},"
    "{\"node\":\"db-1\",\"age_s\":3599.999,\"samples\":{\"request_rate\":19.5}}]}",
    "{\"reports\":[]}",
};

static const char *const wrong[] = {
    "",
    "{",
    "{}",
    "[]",
    "{\"reports\":[}",
    "{\"samples\":{},}",
    "{\"samples\":{}} x",
    "{\"samples\":{}}{}",
    "{\"samples\":{\"cpu_utilization\":01}}",
    "{\"samples\":{\"cpu_utilization\":.5}}",
    "{\"samples\":{\"cpu_utilization\":1.}}",
    "{\"samples\":{\"cpu_utilization\":1.5}}",
    "{\"samples\":{\"cpu_utilization\":-0.5}}",
    "{\"samples\":{\"cpu_utilization\":0x1}}",
    "{\"samples\":{\"cpu_utilization\":1e}}",
    "{\"samples\":{\"memory_bytes\":1e999}}",
    "{\"samples\":{\"memory_bytes\":1e301}}",
    "{\"samples\":{\"cpu_utilization\":null}}",
    "{\"samples\":{\"cpu\":0.5}}",
    "{\"samples\":{\"cpu_utilization\":0.5,\"cpu_utilization\":0.5}}",
    "{\"samples\":{},\"samples\":{}}",
    "{\"samples\":{},\"node\":\"web-1\"}",
    "{\"samples\":{},\"sequence\":1.0}",
    "{\"samples\":{},\"sequence\":1e2}",
    "{\"samples\":{},\"sequence\":-1}",
    "{\"samples\":{},\"sequence\":99999999999999999999}",
    "{\"samples\":{},\"age_s\":3600001}",
    "{\"samples\":{},\"boot\":\"0000000000000000\"}",
    "{\"samples\":{},\"boot\":\"b1\"}",
    "{\"samples\":{},\"boot\":\"00000000000000g1\"}",
    "{\"samples\":{}\v}",
    "{\"samples\":{\"\xff\":1}}",
    "{\"reports\":[{\"samples\":{}} {\"samples\":{}}]}",
    "{\"reports\":[{\"samples\":{}}],\"samples\":{}}",
    "{\"gaps\":[{" BOOT ",\"from\":4,\"to\":3,\"reason\":\"damaged\"}]}",
    "{\"gaps\":[{" BOOT ",\"from\":4,\"to\":5,\"reason\":\"tired\"}]}",
    "{\"gaps\":{}}",
    "{\"samples\":{\"network_loss\":1.01}}",
    "{\"samples\":{},\"standing\":[\"shed_lode\"]}",
    "{\"samples\":{},\"standing\":\"shed_load\"}",
    "{\"samples\":{},\"faults\":[{\"id\":4,\"state\":\"ended\",\"removal\":\"gone\"}]}",
    "{\"samples\":{},\"faults\":[{\"id\":4,\"state\":\"ended\",\"metric\":\"nothing\"}]}",
};

static bool reports_are_equal(const struct report_read *a, const struct report_read *b)
{
    return strcmp(a->node, b->node) == 0 && a->told_count == b->told_count &&
           a->report.boot == b->report.boot && a->report.sequence == b->report.sequence &&
           a->report.age_ns == b->report.age_ns && a->standing == b->standing &&
           a->report.present == b->report.present &&
           memcmp(a->report.value, b->report.value, sizeof(a->report.value)) == 0;
}

/* Reads both ways; returns whether the quick one took it. */
static bool compare(const char *text, size_t length, bool many_nodes)
{
    struct report_body quick, slow;
    struct json_error error = {.sentence = ""};
    bool taken = report_body_read_quickly(&quick, text, length, many_nodes);
    bool right = report_body_read_slowly(&slow, text, length, many_nodes, &error);
    if (taken && !right)
        fail_msg("only the quick way takes %s: %s", text, error.sentence);
    for (size_t i = 0; taken && i < slow.count; i++)
        if (quick.count != slow.count || slow.gaps_count != 0 ||
            !reports_are_equal(&quick.list[i], &slow.list[i]))
            fail_msg("the two ways read %s differently", text);
    assert_true(!taken || quick.count == slow.count);
    if (taken)
        report_body_free(&quick);
    if (right)
        report_body_free(&slow);
    return taken;
}

static void usual_bodies_are_read_quickly(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(usual); i++)
        assert_true(compare(usual[i], strlen(usual[i]), false));
    for (size_t i = 0; i < COUNT_OF(usual_of_many); i++)
        assert_true(compare(usual_of_many[i], strlen(usual_of_many[i]), true));
}

static void what_is_wrong_is_refused_with_a_sentence(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        struct report_body body;
        struct json_error error = {.sentence = ""};
        assert_false(compare(wrong[i], strlen(wrong[i]), false));
        if (report_body_read(&body, wrong[i], strlen(wrong[i]), false, &error))
            fail_msg("taken: %s", wrong[i]);
        assert_true(error.sentence[0] != '\0');
    }
    assert_false(compare("{\"samples\":{}}\0", 15, false)); /* a NUL behind it is part of the body */
}

static void gaps_are_read_with_and_without_reports(void **state)
{
    (void)state;
    static const char alone[] = "{\"gaps\":[{" BOOT ",\"from\":10,\"to\":42,\"reason\":\"damaged\"}]}";
    static const char both[] = "{\"reports\":[{\"samples\":{}}],\"gaps\":[{" BOOT
                               ",\"from\":1,\"to\":1,\"reason\":\"spool_full\"}]}";
    struct report_body body;
    struct json_error error;
    assert_true(report_body_read(&body, alone, strlen(alone), false, &error));
    assert_int_equal(body.count, 0);
    assert_int_equal(body.gaps_count, 1);
    assert_int_equal(body.gaps[0].boot, 0xb1);
    assert_int_equal(body.gaps[0].first, 10);
    assert_int_equal(body.gaps[0].last, 42);
    assert_int_equal(body.gaps[0].reason, GAP_DAMAGED);
    report_body_free(&body);
    assert_true(report_body_read(&body, both, strlen(both), false, &error));
    assert_int_equal(body.count, 1);
    assert_int_equal(body.gaps_count, 1);
    report_body_free(&body);
    assert_false(report_body_read(&body, both, strlen(both), true, &error)); /* not of many nodes */
}

/* Of a fault that has ended, of one that moves no metric, and of what is in force. */
static void removals_and_standing_remedies_are_read(void **state)
{
    (void)state;
    static const char text[] =
        "{\"samples\":{},\"standing\":[\"scale_out\",\"shed_load\"],\"faults\":["
        "{\"id\":4,\"state\":\"ended\",\"reason\":\"cured\",\"effect\":\"seen\",\"removal\":\"none\"},"
        "{\"id\":5,\"state\":\"active\",\"metric\":\"none\"}]}";
    struct report_body body;
    struct json_error error;
    assert_true(report_body_read(&body, text, strlen(text), false, &error));
    assert_int_equal(body.list[0].standing, REMEDY_BIT(SHED_LOAD) | REMEDY_BIT(SCALE_OUT));
    assert_int_equal(body.list[0].told_count, 2);
    assert_int_equal(body.list[0].told[0].removal, EFFECT_NONE);
    assert_int_equal(body.list[0].told[0].effect, EFFECT_SEEN);
    assert_int_equal(body.list[0].told[1].removal, -1);
    report_body_free(&body);
}

static uint64_t random_below(uint64_t *seed, uint64_t below)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (*seed >> 33) % below;
}

/* One to three bytes changed, doubled or left out, with a taste for those that mean something. */
static size_t mutate(char *text, size_t length, uint64_t *dice)
{
    static const char spice[] = "{}[]\",:.eE+-0123456789 \\\n\t\x01\x80"
                                "abtr";
    for (uint64_t i = 1 + random_below(dice, 3); i-- > 0 && length > 1;) {
        size_t at = random_below(dice, length);
        switch (random_below(dice, 3)) {
        case 0:
            text[at] = spice[random_below(dice, sizeof(spice))];
            break;
        case 1:
            memmove(text + at + 1, text + at, length++ - at);
            break;
        default:
            memmove(text + at, text + at + 1, --length - at);
        }
    }
    text[length] = '\0';
    return length;
}

static void mutants_are_read_the_same_both_ways(void **state)
{
    (void)state;
    uint64_t dice = 3, taken = 0;
    for (int i = 0; i < 200000; i++) {
        char text[512];
        bool many = random_below(&dice, 3) == 0;
        const char *from = many ? usual_of_many[random_below(&dice, COUNT_OF(usual_of_many))]
                                : usual[random_below(&dice, COUNT_OF(usual))];
        size_t length = strlen(from);
        memcpy(text, from, length + 1);
        taken += compare(text, mutate(text, length, &dice), many);
    }
    assert_true(taken > 2000); /* enough of them must still be right, or nothing was compared */
}

static void numbers_are_rounded_as_strtod_does(void **state)
{
    (void)state;
    uint64_t dice = 5;
    for (int i = 0; i < 200000; i++) {
        char number[64], text[128];
        int places = (int)random_below(&dice, 20);
        double value = (double)random_below(&dice, 1u << 30) * (double)random_below(&dice, 1u << 30);
        for (uint64_t shift = random_below(&dice, 22); shift-- > 0;)
            value /= 10;
        snprintf(number, sizeof(number), i % 2 ? "%.*f" : "%.*g", places, value);
        snprintf(text, sizeof(text), "{\"samples\":{\"memory_bytes\":%s}}", number);
        compare(text, strlen(text), false);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(usual_bodies_are_read_quickly),
        cmocka_unit_test(what_is_wrong_is_refused_with_a_sentence),
        cmocka_unit_test(gaps_are_read_with_and_without_reports),
        cmocka_unit_test(removals_and_standing_remedies_are_read),
        cmocka_unit_test(mutants_are_read_the_same_both_ways),
        cmocka_unit_test(numbers_are_rounded_as_strtod_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
