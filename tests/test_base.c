/* The ground everything stands on: text, durations and instants as people write them, the heap of deadlines,
 * the histogram of latencies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/check.h"
#include "base/heap.h"
#include "base/histogram.h"
#include "base/secret.h"
#include "base/text.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* A small generator of our own (xorshift64*), so that every run of these tests sees the same numbers. */
static uint64_t next_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(2685821657736338717);
}

/* --- checks --------------------------------------------------------------------------------------------- */

static void a_broken_invariant_says_where_and_aborts(void **state)
{
    (void)state;
    int said[2];
    assert_int_equal(pipe(said), 0);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(said[1], STDERR_FILENO);
        CHECK(1 + 1 == 3);
        _exit(0);
    }
    close(said[1]);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    char line[256] = "";
    assert_true(read(said[0], line, sizeof line - 1) > 0);
    close(said[0]);
    assert_non_null(strstr(line, "test_base.c:"));
    assert_non_null(strstr(line, "1 + 1 == 3"));
}

/* --- text ----------------------------------------------------------------------------------------------- */

static void text_grows_until_it_is_cut(void **state)
{
    (void)state;
    char bytes[12];
    struct text text = text_over(bytes, sizeof bytes);
    assert_string_equal(bytes, "");
    text_add(&text, "web-");
    text_addf(&text, "%d", 17);
    assert_string_equal(bytes, "web-17");
    assert_int_equal(text.length, 6);
    text_add(&text, "12345");
    assert_false(text.cut);
    text_add(&text, "6");
    assert_true(text.cut);
    assert_string_equal(bytes, "web-1712345");
}

static void nothing_follows_a_cut(void **state)
{
    (void)state;
    char bytes[5];
    struct text text = text_over(bytes, sizeof bytes);
    text_add(&text, "ab\xE2\x82\xAC"); /* the euro sign needs three bytes, two are left */
    assert_true(text.cut);
    assert_string_equal(bytes, "ab");
    text_add(&text, "c");
    assert_string_equal(bytes, "ab");

    char one[1];
    struct text tiny = text_over(one, sizeof one);
    text_add(&tiny, "x");
    assert_true(tiny.cut);
    assert_string_equal(one, "");
}

static void a_copy_is_zeroed_to_its_end(void **state)
{
    (void)state;
    char to[8];
    memset(to, 'x', sizeof to);
    assert_true(text_copy(to, sizeof to, "api"));
    assert_memory_equal(to, "api\0\0\0\0\0", 8);
    assert_true(text_copy(to, sizeof to, "seven77"));
    assert_string_equal(to, "seven77");
    assert_false(text_copy(to, sizeof to, "eight888"));
    assert_string_equal(to, "eight88");
    assert_false(text_copy(to, 4, "ab\xC3\xA9")); /* e acute: two bytes, one is left */
    assert_string_equal(to, "ab");
    assert_false(text_copy(to, 1, "a"));
    assert_string_equal(to, "");
}

/* --- durations ------------------------------------------------------------------------------------------ */

static void control_characters_become_blanks(void **state)
{
    (void)state;
    char text[] = "\x1b[2J\a\t\x7f\xc2\x9b"
                  "31m \xc2\xa9 \xc3\xa9 \xe2\x82\x80 \xc2";
    text_tame(text);
    assert_string_equal(text, " [2J     31m \xc2\xa9 \xc3\xa9 \xe2\x82\x80 \xc2");
}

static void durations_read_well(void **state)
{
    (void)state;
    static const struct {
        duration d;
        const char *said;
    } cases[] = {
        {0, "0 s"},
        {1, "1 ns"},
        {999, "999 ns"},
        {1500, "1.5 us"},
        {4 * MILLISECOND, "4 ms"},
        {4040 * MICROSECOND, "4 ms"},
        {4060 * MICROSECOND, "4.1 ms"},
        {64 * MILLISECOND, "64 ms"},
        {9949 * MICROSECOND, "9.9 ms"},
        {9950 * MICROSECOND, "10 ms"},
        {999400 * MICROSECOND, "999 ms"},
        {999600 * MICROSECOND, "1 s"},
        {1200 * MILLISECOND, "1.2 s"},
        {3 * SECOND, "3 s"},
        {90 * SECOND, "90 s"},
        {119400 * MILLISECOND, "119 s"},
        {119500 * MILLISECOND, "2 min"},
        {150 * SECOND, "2.5 min"},
        {10 * MINUTE, "10 min"},
        {2 * HOUR, "2 h"},
        {1000 * HOUR, "1000 h"},
        {-3 * SECOND, "-3 s"},
        {INT64_MAX, "2562048 h"},
        {INT64_MIN, "-2562048 h"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char bytes[32];
        struct text text = text_over(bytes, sizeof bytes);
        text_duration(&text, cases[i].d);
        assert_string_equal(bytes, cases[i].said);
    }
}

static void durations_are_read_as_policies_write_them(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        duration d;
    } good[] = {
        {"200us", 200 * MICROSECOND},
        {"250ms", 250 * MILLISECOND},
        {"3s", 3 * SECOND},
        {"1.5s", 1500 * MILLISECOND},
        {"0s", 0},
        {"10m", 10 * MINUTE},
        {"1h", HOUR},
        {"1000h", 1000 * HOUR},
        {"0.000000001s", 1},
        {"0.999999999h", HOUR - 3600},
        {"3600000000000us", 1000 * HOUR},
    };
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        duration d = -1;
        assert_true(text_parse_duration(good[i].text, &d));
        assert_int_equal(d, good[i].d);
    }
}

static void what_is_no_duration_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",    "3",     "s",       "-3s",           "+3s",
                                      " 3s", "3 s",   "3s ",     "3sec",          "3d",
                                      "3S",  "1.s",   ".5s",     "1.5.2s",        "1e3s",
                                      "3ns", "1001h", "1000.1h", "1.0000000001s", "99999999999999999999999s",
                                      "0x3s"};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        duration d = 42;
        assert_false(text_parse_duration(bad[i], &d));
        assert_int_equal(d, 42);
    }
}

/* --- instants ------------------------------------------------------------------------------------------- */

static void instants_are_rfc_3339(void **state)
{
    (void)state;
    char out[32];
    text_instant(out, 0);
    assert_string_equal(out, "1970-01-01T00:00:00.000Z");
    text_instant(out, -1);
    assert_string_equal(out, "1969-12-31T23:59:59.999Z");
    text_instant(out, 1709210096789 * MILLISECOND + 999999); /* cut, not rounded */
    assert_string_equal(out, "2024-02-29T12:34:56.789Z");
    text_instant(out, INSTANT_NEVER);
    assert_string_equal(out, "2262-04-11T23:47:16.854Z");
    text_instant(out, INSTANT_NONE);
    assert_string_equal(out, "1677-09-21T00:12:43.145Z");
}

static void instants_are_read_with_any_offset(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        instant at;
    } good[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"1970-01-01t00:00:00z", 0},
        {"2024-02-29T12:34:56.789Z", 1709210096789 * MILLISECOND},
        {"2024-02-29T14:34:56.789+02:00", 1709210096789 * MILLISECOND},
        {"2024-02-29T07:04:56.789-05:30", 1709210096789 * MILLISECOND},
        {"1970-01-01T00:00:00.000000001Z", 1},
        {"2016-12-31T23:59:60Z", 1483228800 * SECOND}, /* a leap second is the second after it */
        {"1969-12-31T23:59:59.5Z", -SECOND / 2},
    };
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        instant at = 7;
        assert_true(text_parse_instant(good[i].text, &at));
        assert_int_equal(at, good[i].at);
    }
}

static void what_is_no_instant_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "now",
                                      "2024-02-29",
                                      "2024-02-29T12:34:56",
                                      "2024-02-29 12:34:56Z",
                                      "2023-02-29T12:34:56Z",
                                      "1900-02-29T12:34:56Z",
                                      "2024-04-31T12:34:56Z",
                                      "2024-13-01T12:34:56Z",
                                      "2024-00-01T12:34:56Z",
                                      "2024-01-00T12:34:56Z",
                                      "2024-01-99T12:34:56Z",
                                      "2024-01-01T24:00:00Z",
                                      "2024-01-01T00:60:00Z",
                                      "2024-01-01T00:00:61Z",
                                      "2024-01-01T00:00:00.Z",
                                      "2024-01-01T00:00:00.1234567890Z",
                                      "2024-01-01T00:00:00Zx",
                                      "2024-01-01T00:00:00+0200",
                                      "2024-01-01T00:00:00+24:00",
                                      "0001-01-01T00:00:00Z",
                                      "9999-01-01T00:00:00Z"};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        instant at = 42;
        assert_false(text_parse_instant(bad[i], &at));
        assert_int_equal(at, 42);
    }
}

static void every_day_survives_writing_and_reading(void **state)
{
    (void)state;
    for (int64_t day = -100000; day <= 100000; day++) {
        instant at = (day * 86400 + 45296) * SECOND + 789 * MILLISECOND, back = 0;
        char out[32];
        text_instant(out, at);
        assert_true(text_parse_instant(out, &back));
        assert_int_equal(at, back);
    }
}

/* --- words ---------------------------------------------------------------------------------------------- */

static void names_are_plain(void **state)
{
    (void)state;
    assert_true(text_is_name("web-1", 63));
    assert_true(text_is_name("0", 63));
    assert_true(text_is_name("A_b.c", 5));
    assert_false(text_is_name("A_b.cd", 5));
    assert_false(text_is_name("", 63));
    assert_false(text_is_name("-web", 63));
    assert_false(text_is_name(".", 63));
    assert_false(text_is_name("..", 63));
    assert_false(text_is_name("web 1", 63));
    assert_false(text_is_name("web/1", 63));
    assert_false(text_is_name("w\xC3\xA9"
                              "b",
                              63));
}

static void secrets_are_hex_and_never_the_same(void **state)
{
    (void)state;
    char one[SECRET_SIZE], other[SECRET_SIZE];
    assert_true(secret_draw(one) && secret_draw(other));
    assert_int_equal(strspn(one, "0123456789abcdef"), SECRET_SIZE - 1);
    assert_int_equal(strlen(one), SECRET_SIZE - 1);
    assert_string_not_equal(one, other);
}

static void a_misspelt_word_finds_the_nearest(void **state)
{
    (void)state;
    static const char *const words[] = {"cpu_utilization", "memory_bytes", "restart_service", "up",
                                        "cpu_spike"};
    assert_string_equal(text_nearest("cpu_utilisation", words, COUNT_OF(words)), "cpu_utilization");
    assert_string_equal(text_nearest("restrat_service", words, COUNT_OF(words)), "restart_service");
    assert_string_equal(text_nearest("service_restart_", words, 0) ? "found" : "none", "none");
    assert_string_equal(text_nearest("RESTART_SERVICE", words, COUNT_OF(words)), "restart_service");
    assert_string_equal(text_nearest("pu", words, COUNT_OF(words)), "up"); /* a swap counts once */
    assert_string_equal(text_nearest("up", words, COUNT_OF(words)), "up");
    assert_null(text_nearest("banana", words, COUNT_OF(words)));
    assert_null(text_nearest("xy", words, COUNT_OF(words)));

    static const char *const alike[] = {"web-1", "web-2"};
    assert_string_equal(text_nearest("web-3", alike, COUNT_OF(alike)), "web-1"); /* ties: the first */

    char endless[1000];
    memset(endless, 'a', sizeof endless - 1);
    endless[sizeof endless - 1] = '\0';
    assert_null(text_nearest(endless, words, COUNT_OF(words)));
}

/* --- the heap of deadlines ------------------------------------------------------------------------------ */

static struct heap *new_heap(uint32_t capacity)
{
    void *memory = malloc(heap_size(capacity));
    assert_non_null(memory);
    assert_int_equal(heap_size(capacity) % 8, 0);
    return heap_init(memory, capacity);
}

static void the_earliest_deadline_is_on_top(void **state)
{
    (void)state;
    struct heap *heap = new_heap(4);
    assert_int_equal(heap_top_at(heap), INSTANT_NEVER);
    heap_set(heap, 2, 30);
    heap_set(heap, 0, 20);
    heap_set(heap, 3, 10);
    assert_int_equal(heap_top(heap), 3);
    heap_set(heap, 3, 40); /* moved back */
    assert_int_equal(heap_top(heap), 0);
    heap_set(heap, 2, INSTANT_NONE); /* moved forward, as far as can be */
    assert_int_equal(heap_top(heap), 2);
    heap_set(heap, 2, INSTANT_NEVER); /* taken out */
    heap_set(heap, 2, INSTANT_NEVER); /* which may be said twice */
    assert_int_equal(heap_top(heap), 0);
    assert_int_equal(heap_top_at(heap), 20);
    assert_int_equal(heap_at(heap, 2), INSTANT_NEVER);
    assert_int_equal(heap_at(heap, 3), 40);
    free(heap);
}

static void equal_deadlines_go_by_item(void **state)
{
    (void)state;
    static const uint32_t inserted[] = {3, 1, 4, 0, 2};
    struct heap *heap = new_heap(5);
    for (size_t i = 0; i < COUNT_OF(inserted); i++)
        heap_set(heap, inserted[i], 100);
    for (uint32_t item = 0; item < 5; item++) {
        assert_int_equal(heap_top(heap), item);
        heap_set(heap, item, INSTANT_NEVER);
    }
    assert_int_equal(heap_top_at(heap), INSTANT_NEVER);
    free(heap);
}

static void a_heap_agrees_with_looking_at_every_item(void **state)
{
    (void)state;
    enum { ITEMS = 37, MOVES = 20000 };
    instant at[ITEMS];
    uint64_t seed = 1;
    struct heap *heap = new_heap(ITEMS);
    for (uint32_t item = 0; item < ITEMS; item++)
        at[item] = INSTANT_NEVER;
    for (int move = 0; move < MOVES; move++) {
        uint32_t item = (uint32_t)(next_random(&seed) % ITEMS);
        at[item] = next_random(&seed) % 3 == 0 ? INSTANT_NEVER : (instant)(next_random(&seed) % 50);
        heap_set(heap, item, at[item]);
        uint32_t first = 0;
        for (uint32_t i = 0; i < ITEMS; i++) {
            assert_int_equal(heap_at(heap, i), at[i]);
            if (at[i] < at[first])
                first = i;
        }
        assert_int_equal(heap_top_at(heap), at[first]);
        if (at[first] != INSTANT_NEVER)
            assert_int_equal(heap_top(heap), first);
    }
    free(heap);
}

static void a_heap_can_be_copied_as_bytes(void **state)
{
    (void)state;
    struct heap *heap = new_heap(8), *copy = new_heap(8);
    heap_set(heap, 5, 50);
    heap_set(heap, 6, 40);
    memcpy(copy, heap, heap_size(8));
    heap_set(heap, 6, INSTANT_NEVER);
    assert_int_equal(heap_top(copy), 6);
    assert_int_equal(heap_top(heap), 5);
    heap_set(copy, 6, INSTANT_NEVER);
    assert_memory_equal(heap, copy, heap_size(8)); /* equal calls, equal bytes */
    free(heap);
    free(copy);
}

/* --- the histogram -------------------------------------------------------------------------------------- */

static void an_empty_histogram_says_zero(void **state)
{
    (void)state;
    static struct histogram histogram;
    histogram_clear(&histogram);
    assert_int_equal(histogram_quantile(&histogram, 0.99), 0);
}

static void quantiles_of_a_hundred(void **state)
{
    (void)state;
    static struct histogram histogram;
    histogram_clear(&histogram);
    for (int i = 1; i <= 100; i++)
        histogram_add(&histogram, i * MILLISECOND);
    assert_int_equal(histogram.total, 100);
    assert_int_equal(histogram_quantile(&histogram, 1),
                     100 * MILLISECOND); /* exact: never above the longest */
    duration median = histogram_quantile(&histogram, 0.5), p99 = histogram_quantile(&histogram, 0.99);
    assert_in_range(median, 50 * MILLISECOND, 50 * MILLISECOND * 1032 / 1000);
    assert_in_range(p99, 99 * MILLISECOND, 100 * MILLISECOND);
    assert_in_range(histogram_quantile(&histogram, 0), MILLISECOND, MILLISECOND * 1032 / 1000);
    histogram_clear(&histogram);
    assert_int_equal(histogram.total, 0);
    assert_int_equal(histogram.longest, 0);
}

static void the_error_is_bounded_over_the_whole_range(void **state)
{
    (void)state;
    static struct histogram histogram;
    uint64_t seed = 2;
    for (int round = 0; round < 5000; round++) {
        unsigned bits =
            10 + (unsigned)(next_random(&seed) % 32); /* 1 us to 1.2 hours, every magnitude alike */
        duration value =
            (duration)(next_random(&seed) % (UINT64_C(1) << bits)) + (duration)(UINT64_C(1) << bits);
        if (value > HOUR)
            continue;
        histogram_clear(&histogram);
        histogram_add(&histogram, value);
        histogram_add(&histogram, HOUR); /* so that the longest does not do the work */
        duration found = histogram_quantile(&histogram, 0.5);
        duration allowed = value / 1000 * 32 > MICROSECOND ? value / 1000 * 32 : MICROSECOND;
        assert_true(found >= value);
        assert_true(found - value <= allowed);
    }
}

static void what_lies_outside_counts_at_the_nearest_end(void **state)
{
    (void)state;
    static struct histogram histogram;
    histogram_clear(&histogram);
    histogram_add(&histogram, -5 * SECOND);
    histogram_add(&histogram, 0);
    histogram_add(&histogram, 1000 * HOUR);
    assert_int_equal(histogram.total, 3);
    assert_int_equal(histogram.longest, 1000 * HOUR);
    assert_int_equal(histogram_quantile(&histogram, 0.5), 0);
    assert_in_range(histogram_quantile(&histogram, 1), HOUR, 2 * HOUR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_broken_invariant_says_where_and_aborts),
        cmocka_unit_test(text_grows_until_it_is_cut),
        cmocka_unit_test(nothing_follows_a_cut),
        cmocka_unit_test(a_copy_is_zeroed_to_its_end),
        cmocka_unit_test(control_characters_become_blanks),
        cmocka_unit_test(durations_read_well),
        cmocka_unit_test(durations_are_read_as_policies_write_them),
        cmocka_unit_test(what_is_no_duration_is_refused),
        cmocka_unit_test(instants_are_rfc_3339),
        cmocka_unit_test(instants_are_read_with_any_offset),
        cmocka_unit_test(what_is_no_instant_is_refused),
        cmocka_unit_test(every_day_survives_writing_and_reading),
        cmocka_unit_test(names_are_plain),
        cmocka_unit_test(secrets_are_hex_and_never_the_same),
        cmocka_unit_test(a_misspelt_word_finds_the_nearest),
        cmocka_unit_test(the_earliest_deadline_is_on_top),
        cmocka_unit_test(equal_deadlines_go_by_item),
        cmocka_unit_test(a_heap_agrees_with_looking_at_every_item),
        cmocka_unit_test(a_heap_can_be_copied_as_bytes),
        cmocka_unit_test(an_empty_histogram_says_zero),
        cmocka_unit_test(quantiles_of_a_hundred),
        cmocka_unit_test(the_error_is_bounded_over_the_whole_range),
        cmocka_unit_test(what_lies_outside_counts_at_the_nearest_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
