/* Strict JSON: what is refused and in which words, and how a body is read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "wire/json.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- parsing -------------------------------------------------------------------------------------------- */

#define TEXT(literal) literal, sizeof literal - 1

static const struct {
    const char *bytes;
    size_t length;
    const char *told; /* part of the sentence */
} refusals[] = {
    {TEXT(""), "empty"},
    {TEXT("   "), "line 1"},
    {TEXT("{\"a\":1} x"), "end of file expected"},
    {TEXT("{\"a\":1}{}"), "end of file expected"},
    {TEXT("{\"a\":1}\0"), "line 1"},
    {TEXT("{\"a\":1e999}"), "real number overflow"},
    {TEXT("{\"a\":-1e999}"), "real number overflow"},
    {TEXT("{\"a\":99999999999999999999}"), "too big integer"},
    {TEXT("{\"a\":NaN}"), "invalid token near 'NaN'"},
    {TEXT("{\"a\":Infinity}"), "invalid token"},
    {TEXT("{\"a\":-Infinity}"), "invalid token"},
    {TEXT("{\"a\":+1}"), "invalid token"},
    {TEXT("{\"a\":01}"), "invalid token near '0'"},
    {TEXT("{\"a\":1.}"), "invalid token"},
    {TEXT("{\"a\":.5}"), "invalid token"},
    {TEXT("{\"a\":0x10}"), "line 1"},
    {TEXT("{\"a\":1,\"a\":2}"), "duplicate object key near '\"a\"'"},
    {TEXT("{\"a\":1,\"\\u0061\":2}"), "duplicate object key"},
    {TEXT("{\"a\":1,}"), "string or '}' expected"},
    {TEXT("[1,]"), "line 1"},
    {TEXT("{a:1}"), "string or '}' expected"},
    {TEXT("{'a':1}"), "string or '}' expected"},
    {TEXT("{\"a\":\"\xff\"}"), "unable to decode byte 0xff"},
    {TEXT("{\"a\":\"\xc0\x80\"}"), "unable to decode byte 0xc0"},
    {TEXT("{\"a\":\"\xed\xa0\x80\"}"), "unable to decode byte 0xed"},
    {TEXT("{\"a\":\"\\ud800\"}"), "invalid Unicode"},
    {TEXT("{\"a\":\"\\u0000\"}"), "\\u0000 is not allowed"},
    {TEXT("{\"a\":\"x\0y\"}"), "control character 0x0"},
    {TEXT("{\"a\":\"x\ny\"}"), "unexpected newline"},
    {TEXT("{\"a\":\"x"), "premature end of input"},
    {TEXT("{\"a\":\"\\x\"}"), "invalid escape"},
    {TEXT("\xef\xbb\xbf{}"), "line 1"},
    {TEXT("/* c */{}"), "line 1"},
    {TEXT("{\"\xff"), "unable to decode byte"},
};

static void what_is_not_json_is_refused_in_words(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        struct json_error error;
        json_t *document = json_parse(refusals[i].bytes, refusals[i].length, &error);
        if (document || !strstr(error.sentence, refusals[i].told))
            fail_msg("%s: expected '%s', got '%s'", refusals[i].bytes, refusals[i].told, error.sentence);
        json_t *sentence = json_string(error.sentence); /* it can be sent on, whatever it quotes */
        assert_non_null(sentence);
        json_decref(sentence);
    }
}

static json_t *parse_nested(int depth, const char *open, const char *close, bool closed,
                            struct json_error *error)
{
    size_t one = strlen(open), other = strlen(close);
    char *text = malloc((size_t)depth * (one + other) + 2), *to = text;
    assert_non_null(text);
    for (int i = 0; i < depth; i++, to += one)
        memcpy(to, open, one);
    *to++ = '1';
    for (int i = 0; closed && i < depth; i++, to += other)
        memcpy(to, close, other);
    json_t *document = json_parse(text, (size_t)(to - text), error);
    free(text);
    return document;
}

static void nesting_is_bounded(void **state)
{
    (void)state;
    static const int depths[] = {65, 2048, 100000};
    struct json_error error;
    json_t *document = parse_nested(64, "[", "]", true, &error);
    assert_non_null(document);
    json_decref(document);
    document = parse_nested(64, "{\"a\":", "}", true, &error);
    assert_non_null(document);
    json_decref(document);
    for (size_t i = 0; i < sizeof depths / sizeof depths[0]; i++) {
        assert_null(parse_nested(depths[i], "[", "]", true, &error));
        assert_string_equal(error.sentence, "byte 65: more than 64 arrays and objects inside each other");
        assert_null(parse_nested(depths[i], "{\"a\":", "}", true, &error));
        assert_null(parse_nested(depths[i], "[", "", false, &error));
    }
    static const char brackets[] =
        "{\"a\":\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\\"[[[\"}";
    document = json_parse(TEXT(brackets), &error); /* brackets in strings do not count */
    assert_non_null(document);
    json_decref(document);
}

static void what_is_json_is_taken(void **state)
{
    (void)state;
    static const char *const texts[] = {"{}",
                                        "[]",
                                        "null",
                                        " true ",
                                        "\"a\"",
                                        "-0",
                                        "1e-400",
                                        "9223372036854775807",
                                        "[1E+2,-1.5e-3]",
                                        "\"\\ud83d\\ude00 \xf0\x9f\x98\x80 \\n\"",
                                        "{\"\":{\"\":[]}}",
                                        "\r\n\t{\"a\" : 1}\n"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct json_error error;
        json_t *document = json_parse(texts[i], strlen(texts[i]), &error);
        if (!document)
            fail_msg("%s: %s", texts[i], error.sentence);
        assert_string_equal(error.sentence, "");
        json_decref(document);
    }
}

/* --- reading -------------------------------------------------------------------------------------------- */

static const char *const metrics[] = {"cpu_utilization", "request_latency"};
static const char *const outcomes[] = {"done", "failed"};

/* A made-up body with one of everything. */
struct body {
    uint64_t boot;
    int64_t sequence;
    duration age_ns;
    instant began_at;
    double samples[2];
    char role[8];
    bool began;
    int outcome;
    size_t calls, faults;
    char call[4][8];
    int64_t fault[4];
};

static bool read_body(json_t *document, struct body *body, struct json_error *error)
{
    struct json_reader reader = json_reader_over(document, error);
    body->boot = json_read_boot(&reader, "boot", JSON_OPTIONAL);
    body->sequence = json_read_integer(&reader, "sequence", JSON_OPTIONAL, 0, INT64_MAX, -1);
    body->age_ns = json_read_seconds(&reader, "age_s", JSON_OPTIONAL, 0, HOUR, 7);
    body->began_at = json_read_instant(&reader, "began_at", JSON_OPTIONAL);
    body->began = json_read_flag(&reader, "began", JSON_OPTIONAL, true);
    body->outcome = json_read_word(&reader, "outcome", JSON_OPTIONAL, outcomes, 2, -1);
    (void)json_read_text(&reader, "role", JSON_OPTIONAL, body->role, sizeof body->role);
    struct json_reader samples = json_read_object(&reader, "samples", JSON_REQUIRED);
    for (const char *name = json_next_member(&samples, NULL); name; name = json_next_member(&samples, name)) {
        size_t i = strcmp(name, metrics[0]) == 0 ? 0 : strcmp(name, metrics[1]) == 0 ? 1 : 2;
        if (i == 2)
            json_refuse_word(&samples, name, "metric", metrics, 2);
        else
            body->samples[i] = json_read_number(&samples, name, JSON_REQUIRED, -10, DBL_MAX, 0);
    }
    body->calls = json_read_array(&reader, "calls", JSON_OPTIONAL, 4);
    for (size_t i = 0; i < body->calls; i++) {
        const char *call = json_read_element_string(&reader, "calls", i, 7);
        snprintf(body->call[i], sizeof body->call[i], "%s", call ? call : "");
    }
    body->faults = json_read_array(&reader, "faults", JSON_OPTIONAL, 4);
    bool good = json_read_end(&samples);
    for (size_t i = 0; i < body->faults; i++) {
        struct json_reader fault = json_read_element(&reader, "faults", i);
        body->fault[i] = json_read_integer(&fault, "id", JSON_REQUIRED, 1, 100, 0);
        good = json_read_end(&fault) && good;
    }
    return json_read_end(&reader) && good;
}

static void a_body_is_read(void **state)
{
    (void)state;
    static const char text[] =
        "{\"boot\":\"9F86d081884c7d65\",\"sequence\":17,\"age_s\":0.25,\"began\":false,\"role\":\"web\","
        "\"began_at\":\"2026-11-23T12:04:11.203Z\",\"outcome\":\"failed\",\"calls\":[\"api-1\",\"db\"],"
        "\"samples\":{\"request_latency\":3,\"cpu_utilization\":0.97},\"faults\":[{\"id\":4},{\"id\":5}]}";
    struct json_error error;
    struct body body;
    json_t *document = json_parse(TEXT(text), &error);
    assert_true(read_body(document, &body, &error));
    assert_true(body.boot == UINT64_C(0x9f86d081884c7d65));
    assert_int_equal(body.sequence, 17);
    assert_int_equal(body.age_ns, 250 * MILLISECOND);
    assert_int_equal(body.began_at, (INT64_C(1795435451) * SECOND) + 203 * MILLISECOND);
    assert_false(body.began);
    assert_string_equal(body.role, "web");
    assert_int_equal(body.outcome, 1);
    assert_true(body.samples[0] == 0.97 && body.samples[1] == 3);
    assert_int_equal(body.calls, 2);
    assert_string_equal(body.call[1], "db");
    assert_int_equal(body.faults, 2);
    assert_int_equal(body.fault[1], 5);
    json_decref(document);
}

static void what_is_absent_or_null_gets_its_fallback(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{\"samples\":{}}",
        "{\"samples\":{},\"boot\":null,\"sequence\":null,\"age_s\":null,\"began_at\":null,"
        "\"began\":null,\"outcome\":null,\"role\":null,\"calls\":null,\"faults\":null}"};
    for (size_t i = 0; i < 2; i++) {
        struct json_error error;
        struct body body;
        json_t *document = json_parse(texts[i], strlen(texts[i]), &error);
        assert_true(read_body(document, &body, &error));
        assert_true(body.boot == 0 && body.sequence == -1 && body.age_ns == 7 &&
                    body.began_at == INSTANT_NONE);
        assert_true(body.began && body.outcome == -1 && body.role[0] == '\0' && body.calls == 0 &&
                    body.faults == 0);
        json_decref(document);
    }
}

static void a_wrong_body_is_told_where_and_why(void **state)
{
    (void)state;
    static const struct {
        const char *text, *pointer, *sentence;
    } wrong[] = {
        {"[]", "", "a JSON object is expected"},
        {"7", "", "a JSON object is expected"},
        {"{}", "/samples", "is missing"},
        {"{\"samples\":null}", "/samples", "must be an object"},
        {"{\"samples\":[]}", "/samples", "must be an object"},
        {"{\"samples\":{\"cpu_utilisation\":1}}", "/samples/cpu_utilisation",
         "no such metric; did you mean cpu_utilization?"},
        {"{\"samples\":{\"a/b~c\":1}}", "/samples/a~1b~0c", "no such metric"},
        {"{\"samples\":{\"cpu_utilization\":\"1\"}}", "/samples/cpu_utilization", "must be a number"},
        {"{\"samples\":{\"cpu_utilization\":null}}", "/samples/cpu_utilization", "must be a number"},
        {"{\"samples\":{\"cpu_utilization\":-11}}", "/samples/cpu_utilization", "must be at least -10"},
        {"{\"samples\":{},\"sequence\":1.5}", "/sequence", "must be a whole number"},
        {"{\"samples\":{},\"sequence\":-1}", "/sequence", "must be at least 0"},
        {"{\"samples\":{},\"age_s\":3601}", "/age_s", "must be between 0 and 3600"},
        {"{\"samples\":{},\"began\":1}", "/began", "must be true or false"},
        {"{\"samples\":{},\"role\":7}", "/role", "must be a string"},
        {"{\"samples\":{},\"role\":\"12345678\"}", "/role", "must have at most 7 bytes"},
        {"{\"samples\":{},\"boot\":\"9f86\"}", "/boot", "must be 16 hexadecimal digits, not all of them 0"},
        {"{\"samples\":{},\"boot\":\"0000000000000000\"}", "/boot",
         "must be 16 hexadecimal digits, not all of them 0"},
        {"{\"samples\":{},\"boot\":\"9f86d081884c7d65a\"}", "/boot",
         "must be 16 hexadecimal digits, not all of them 0"},
        {"{\"samples\":{},\"boot\":\"9f86d081884c7d6g\"}", "/boot",
         "must be 16 hexadecimal digits, not all of them 0"},
        {"{\"samples\":{},\"began_at\":\"yesterday\"}", "/began_at",
         "must be an instant such as 2026-11-23T12:04:11.203Z"},
        {"{\"samples\":{},\"outcome\":\"dome\"}", "/outcome", "there is no 'dome'; did you mean done?"},
        {"{\"samples\":{},\"outcome\":\"nonsense\"}", "/outcome", "there is no 'nonsense'"},
        {"{\"samples\":{},\"calls\":{}}", "/calls", "must be an array"},
        {"{\"samples\":{},\"calls\":[\"a\",2]}", "/calls/1", "must be a string"},
        {"{\"samples\":{},\"calls\":[1,2,3,4,5]}", "/calls", "must have at most 4 elements"},
        {"{\"samples\":{},\"faults\":[{\"id\":1},{\"id\":101}]}", "/faults/1/id",
         "must be between 1 and 100"},
        {"{\"samples\":{},\"faults\":[{\"id\":1},{}]}", "/faults/1/id", "is missing"},
        {"{\"samples\":{},\"faults\":[7]}", "/faults/0", "must be an object"},
        {"{\"samples\":{},\"faults\":[{\"id\":1,\"di\":2}]}", "/faults/0/di",
         "no such member; did you mean id?"},
        {"{\"samples\":{},\"sequense\":1}", "/sequense", "no such member; did you mean sequence?"},
        {"{\"samples\":{},\"x\":null}", "/x", "no such member"},
        {"{\"samples\":{\"zzz\":1},\"sequence\":-1}", "/sequence",
         "must be at least 0"}, /* the first stands */
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct json_error error;
        struct body body;
        json_t *document = json_parse(wrong[i].text, strlen(wrong[i].text), &error);
        assert_false(read_body(document, &body, &error));
        if (strcmp(error.pointer, wrong[i].pointer) != 0 || strcmp(error.sentence, wrong[i].sentence) != 0)
            fail_msg("%s: got '%s' at '%s'", wrong[i].text, error.sentence, error.pointer);
        json_decref(document);
    }
}

static void a_text_that_could_not_be_parsed_stays_the_error(void **state)
{
    (void)state;
    struct json_error error;
    struct body body;
    assert_false(read_body(json_parse(TEXT("{\"samples\""), &error), &body, &error));
    assert_non_null(strstr(error.sentence, "line 1, column"));
    assert_string_equal(error.pointer, "");
}

/* --- writing -------------------------------------------------------------------------------------------- */

static void what_has_no_word_in_json_is_null(void **state)
{
    (void)state;
    json_t *list =
        json_pack("[o,o,o,o,o,o,o,o,o,o,o,o]", json_of_number(0.97), json_of_number(NAN),
                  json_of_number(INFINITY), json_of_instant(INSTANT_NONE), json_of_instant(INSTANT_NEVER),
                  json_of_instant(1795435451 * SECOND + 203 * MILLISECOND), json_of_boot(0),
                  json_of_boot(0xabc), json_of_seconds(64 * MILLISECOND), json_of_text("a\xff\xc3\xa4"),
                  json_of_text("\xed\xa0\x80"), json_of_text(NULL));
    size_t length = 0;
    char *text = json_text_of(list, &length);
    assert_string_equal(
        text, "[0.97,null,null,null,null,\"2026-11-23T12:04:11.203Z\",null,\"0000000000000abc\",0.064,"
              "\"a?\xc3\xa4\",\"???\",null]");
    assert_int_equal(length, strlen(text));
    free(text);
    assert_null(json_text_of(NULL, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_json_is_refused_in_words),
        cmocka_unit_test(nesting_is_bounded),
        cmocka_unit_test(what_is_json_is_taken),
        cmocka_unit_test(a_body_is_read),
        cmocka_unit_test(what_is_absent_or_null_gets_its_fallback),
        cmocka_unit_test(a_wrong_body_is_told_where_and_why),
        cmocka_unit_test(a_text_that_could_not_be_parsed_stays_the_error),
        cmocka_unit_test(what_has_no_word_in_json_is_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
