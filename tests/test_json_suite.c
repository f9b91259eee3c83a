/* The kinds of text that a JSON reader meets, after the well-known suites: what RFC 8259 allows is taken,
 * what it forbids is refused, and where it leaves a choice ours is written here. Each text goes through
 * json_parse(), and through a real POST, as the whole body and as a sample's value. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "plane_world.h"
#include "wire/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define YES(literal)                                                                                         \
    {                                                                                                        \
        literal, sizeof literal - 1, true                                                                    \
    }
#define NO(literal)                                                                                          \
    {                                                                                                        \
        literal, sizeof literal - 1, false                                                                   \
    }

static const struct {
    const char *bytes;
    size_t length;
    bool taken;
} texts[] = {
    /* structure */
    YES("{}"),
    YES("[]"),
    YES("[[]]"),
    YES("[[],[[]]]"),
    YES("{\"a\":[]}"),
    YES("{\"a\":{\"b\":{}}}"),
    YES("[null]"),
    YES("[true,false]"),
    YES("null"),
    YES("true"),
    YES("false"),
    YES("\"a\""),
    YES("42"),
    YES("-0"),
    YES(" [1] "),
    YES("\t[\r\n1 ,\t2]\n"),
    YES("{\"a\" : 1 , \"b\" : 2}"),
    YES("{\"\":0}"),
    YES("{\"a\":1,\"A\":2}"),
    NO(""),
    NO(" "),
    NO("\n"),
    NO("["),
    NO("]"),
    NO("{"),
    NO("}"),
    NO("[1"),
    NO("[1,"),
    NO("[1,]"),
    NO("[,1]"),
    NO("[,]"),
    NO("[1,,2]"),
    NO("[1 2]"),
    NO("[1]]"),
    NO("[[1]"),
    NO("[1}"),
    NO("{\"a\"}"),
    NO("{\"a\":}"),
    NO("{\"a\" 1}"),
    NO("{\"a\":1,}"),
    NO("{,\"a\":1}"),
    NO("{\"a\":1 \"b\":2}"),
    NO("{\"a\"::1}"),
    NO("{\"a\":1]"),
    NO("{1:1}"),
    NO("{null:1}"),
    NO("{a:1}"),
    NO("{'a':1}"),
    NO("{[]:1}"),
    NO("{\"a\":1}}"),
    NO("{\"a\":1}#"),
    NO("{} {}"),
    NO("1 2"),
    NO("[1]x"),
    NO("a"),
    NO("*"),
    NO("<.>"),
    NO(":"),
    NO(","),
    NO("{\"a\":1,\"a\":1}"),
    NO("{\"a\":1,\"a\":2}"),
    NO("{\"a\":1,\"\\u0061\":2}"),
    NO("/**/{}"),
    NO("{}//"),
    NO("{\"a\":/*x*/1}"),
    NO("\f[]"),
    NO("[\v]"),
    NO("\xc2\xa0[]"),
    NO("\xef\xbb\xbf{}"),
    NO("\xef\xbb{}"),
    NO("\xff\xfe{\0}\0"),
    NO("\0{\0}"),
    NO("{}\0"),
    NO("[1\0]"),
    NO("\x1b[0m"),
    /* words */
    NO("nul"),
    NO("nulll"),
    NO("True"),
    NO("FALSE"),
    NO("[tru]"),
    NO("[truee]"),
    NO("undefined"),
    NO("[NaN]"),
    NO("[nan]"),
    NO("[Infinity]"),
    NO("[-Infinity]"),
    NO("[inf]"),
    /* numbers */
    YES("[0]"),
    YES("[-1]"),
    YES("[1.5]"),
    YES("[-0.0]"),
    YES("[1e5]"),
    YES("[1E+5]"),
    YES("[1e-5]"),
    YES("[0e1]"),
    YES("[123456789012345678]"),
    YES("[9223372036854775807]"),
    YES("[-9223372036854775808]"),
    YES("[1e308]"),
    YES("[0.00000000000000000000000000000000000001]"),
    YES("[3.141592653589793238462643383279502884197]"),
    NO("[9223372036854775808]"),
    NO("[-9223372036854775809]"),
    NO("[100000000000000000000000]"),
    NO("[1e400]"),
    NO("[-1e400]"),
    NO("[1e99999999999]"),
    NO("[+1]"),
    NO("[-]"),
    NO("[--1]"),
    NO("[01]"),
    NO("[-01]"),
    NO("[00]"),
    NO("[1.]"),
    NO("[.5]"),
    NO("[-.5]"),
    NO("[1.e5]"),
    NO("[1e]"),
    NO("[1e+]"),
    NO("[1eE2]"),
    NO("[1.2.3]"),
    NO("[1-2]"),
    NO("[0x1F]"),
    NO("[1_000]"),
    NO("[1f]"),
    NO("[1 000]"),
    NO("[1,000.0.0]"),
    NO("[- 1]"),
    NO("[\xef\xbc\x91]"),
    /* strings */
    YES("[\"\"]"),
    YES("[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"]"),
    YES("[\"\\u00e9\"]"),
    YES("[\"\xc3\xa9\"]"),
    YES("[\"\xe2\x82\xac\"]"),
    YES("[\"\xf0\x9f\x98\x80\"]"),
    YES("[\"\\ud83d\\ude00\"]"),
    YES("[\"\\uDBFF\\uDFFF\"]"),
    YES("[\"\x7f\"]"),
    YES("[\"\\u007f\"]"),
    YES("[\"\xef\xbf\xbf\"]"),
    YES("[\"/* no remark */\"]"),
    NO("[\"]"),
    NO("[\"a]"),
    NO("[a\"]"),
    NO("[\"\\\"]"),
    NO("[\"\\x41\"]"),
    NO("[\"\\a\"]"),
    NO("[\"\\u12\"]"),
    NO("[\"\\u12g4\"]"),
    NO("[\"\\U0041\"]"),
    NO("[\"\\\xc3\xa9\"]"),
    NO("[\"\\ud800\"]"),
    NO("[\"\\udc00\"]"),
    NO("[\"\\ud800\\ud800\"]"),
    NO("[\"\\ud800x\"]"),
    NO("[\"\\ud800\\u0041\"]"),
    NO("[\"\\u0000\"]"),
    NO("[\"a\0b\"]"),
    NO("[\"a\nb\"]"),
    NO("[\"a\tb\"]"),
    NO("[\"\x1f\"]"),
    NO("[\"\x80\"]"),
    NO("[\"\xc3\"]"),
    NO("[\"\xc3(\"]"),
    NO("[\"\xe2\x82\"]"),
    NO("[\"\xff\"]"),
    NO("[\"\xfe\"]"),
    NO("[\"\xc0\xaf\"]"),
    NO("[\"\xe0\x80\xaf\"]"),
    NO("[\"\xf0\x80\x80\xaf\"]"),
    NO("[\"\xed\xa0\x80\"]"),
    NO("[\"\xed\xbf\xbf\"]"),
    NO("[\"\xf4\x90\x80\x80\"]"),
    NO("[\"\xf8\x88\x80\x80\x80\"]"),
    NO("['a']"),
    NO("[\"a\" \"b\"]"),
    NO("[\\n]"),
    NO("\""),
    NO("{\"\xff\":1}"),
    NO("{\"a\0\":1}"),
};

static void say_which(size_t index)
{
    print_message("text %zu: %.*s\n", index, (int)texts[index].length, texts[index].bytes);
}

static void each_text_is_taken_or_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct json_error error;
        json_t *document = json_parse(texts[i].bytes, texts[i].length, &error);
        if ((document != NULL) != texts[i].taken || (error.sentence[0] == '\0') != texts[i].taken) {
            say_which(i);
            fail_msg("%s: %s", document ? "taken" : "refused", error.sentence);
        }
        json_decref(document);
    }
}

/* `open` repeated `depth` times around a number, and the same closed again. */
static char *nested(const char *open, const char *close, size_t depth, size_t *length)
{
    size_t opens = strlen(open), closes = strlen(close);
    char *text = malloc(depth * (opens + closes) + 2), *to = text;
    assert_non_null(text);
    for (size_t i = 0; i < depth; i++, to += opens)
        memcpy(to, open, opens);
    *to++ = '1';
    for (size_t i = 0; i < depth; i++, to += closes)
        memcpy(to, close, closes);
    *length = (size_t)(to - text);
    return text;
}

static void depth_is_bounded(void **state)
{
    (void)state;
    static const struct {
        const char *open, *close;
        size_t depth;
        bool taken;
    } depths[] = {{"[", "]", JSON_DEPTH_MAX, true},
                  {"{\"a\":", "}", JSON_DEPTH_MAX, true},
                  {"[", "]", JSON_DEPTH_MAX + 1, false},
                  {"{\"a\":", "}", JSON_DEPTH_MAX + 1, false},
                  {"[", "]", 100000, false},
                  {"{\"a\":", "}", 100000, false},
                  {"[{\"a\":", "}]", 50000, false},
                  {"[", "", 100000, false}};
    for (size_t i = 0; i < sizeof depths / sizeof depths[0]; i++) {
        struct json_error error;
        size_t length;
        char *text = nested(depths[i].open, depths[i].close, depths[i].depth, &length);
        json_t *document = json_parse(text, length, &error);
        assert_int_equal(document != NULL, depths[i].taken);
        json_decref(document);
        free(text);
    }
}

static void post(struct world *world, const char *bytes, size_t length)
{
    call_bytes(world, "POST", "/v1/nodes/web-1/reports", NULL, bytes, length);
}

/* 400, a detail that says where, and a problem document that is JSON itself, whatever was quoted in it. */
static bool was_refused_with_a_place(struct world *world)
{
    const char *detail = world->json ? word(world, "detail") : NULL;
    return world->status == 400 && detail &&
           (strstr(detail, "line ") || strstr(detail, "byte ") || strstr(detail, "empty"));
}

static void a_real_post_says_where_it_is_wrong(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, quick_policy);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        post(&world, texts[i].bytes, texts[i].length);
        if (texts[i].taken ? world.status != 400 && world.status != 200 : !was_refused_with_a_place(&world)) {
            say_which(i);
            fail_msg("as a body: %d %s", world.status, world.body);
        }
        char wrapped[512];
        static const char before[] = "{\"samples\":{\"cpu_utilization\":", after[] = "}}";
        memcpy(wrapped, before, sizeof before - 1);
        memcpy(wrapped + sizeof before - 1, texts[i].bytes, texts[i].length);
        memcpy(wrapped + sizeof before - 1 + texts[i].length, after, sizeof after - 1);
        post(&world, wrapped, sizeof before - 1 + texts[i].length + sizeof after - 1);
        if (texts[i].taken ? world.status != 400 && world.status != 200 : !was_refused_with_a_place(&world)) {
            say_which(i);
            fail_msg("as a sample: %d %s", world.status, world.body);
        }
    }
    size_t length;
    char *text = nested("[", "]", 100000, &length);
    post(&world, text, length);
    assert_true(was_refused_with_a_place(&world));
    free(text);
    assert_int_equal(call(&world, "GET", "/readyz", NULL), 200);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_text_is_taken_or_refused),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(a_real_post_says_where_it_is_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
