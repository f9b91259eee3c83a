/* Orthogonal arrays: any two columns have every pair of levels, equally often; folded ones have them all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "oats/array.h"

static struct array array;

/* Columns that are alike. */
static void make(uint32_t columns, uint8_t level_count)
{
    uint8_t levels[ARRAY_COLUMNS_MAX];
    memset(levels, level_count, sizeof levels);
    assert_int_equal(array_make(&array, levels, columns), 0);
}

static void is_balanced(uint32_t times)
{
    struct array_pairs pairs;
    for (uint32_t i = 0; i < array.columns; i++) {
        for (uint32_t k = i + 1; k < array.columns; k++) {
            array_pairs_of(&array, i, k, &pairs);
            assert_int_equal(pairs.covered, pairs.all);
            assert_int_equal(pairs.least, times);
            assert_int_equal(pairs.most, times);
        }
    }
}

static void every_pair_stands_once_in_an_array_of_q_squared_rows(void **state)
{
    (void)state;
    static const uint8_t fields[] = {2, 3, 4, 5, 7, 8, 9, 11, 13, 16, 17, 25, 27, 32};
    for (size_t i = 0; i < COUNT_OF(fields); i++) {
        uint32_t q = fields[i];
        make(q + 1, fields[i]);
        assert_int_equal(array.rows, q * q);
        assert_int_equal(array.q, q);
        is_balanced(1);
        array_free(&array);
    }
}

static void more_columns_take_a_higher_power_and_every_pair_stands_q_times(void **state)
{
    (void)state;
    static const struct {
        uint8_t levels;
        uint32_t columns, rows, times;
    } cases[] = {{2, 4, 8, 2},    {2, 7, 8, 2},    {2, 15, 16, 4},  {2, 100, 128, 32},
                 {3, 7, 27, 3},   {3, 13, 27, 3},  {3, 40, 81, 9},  {4, 21, 64, 4},
                 {5, 31, 125, 5}, {7, 57, 343, 7}, {8, 73, 512, 8}, {9, 91, 729, 9}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        make(cases[i].columns, cases[i].levels);
        assert_int_equal(array.rows, cases[i].rows);
        is_balanced(cases[i].times);
        array_free(&array);
    }
}

/* As it stands in the books. */
static void the_nine_rows_are_the_nine_rows(void **state)
{
    (void)state;
    static const uint8_t l9[9][4] = {{0, 0, 0, 0}, {0, 1, 1, 1}, {0, 2, 2, 2}, {1, 0, 1, 2}, {1, 1, 2, 0},
                                     {1, 2, 0, 1}, {2, 0, 2, 1}, {2, 1, 0, 2}, {2, 2, 1, 0}};
    char bytes[64];
    struct text name = text_over(bytes, sizeof bytes);
    make(4, 3);
    assert_int_equal(array.rows, 9);
    assert_memory_equal(array.cells, l9, sizeof l9);
    array_write_name(&name, &array);
    assert_string_equal(bytes, "L9(3^4)");
    array_free(&array);
}

static void three_factors_of_three_levels_have_27_pairs(void **state)
{
    (void)state;
    struct array_pairs pairs;
    make(3, 3);
    array_pairs(&array, &pairs);
    assert_int_equal(pairs.all, 27);
    assert_int_equal(pairs.covered, 27);
    array.rows--; /* the proof is counted, not asserted: without its last row it does not hold */
    array_pairs(&array, &pairs);
    assert_int_equal(pairs.covered, 24);
    assert_int_equal(pairs.least, 0);
    array.cells[0] = 1;
    array_pairs(&array, &pairs);
    assert_int_equal(pairs.covered, 22);
    array_free(&array);
}

static void what_is_folded_has_every_pair_still(void **state)
{
    (void)state;
    static const struct {
        const char *levels; /* digits */
        uint32_t most_rows;
    } cases[] = {{"3333332", 27},  {"4332", 16},   {"33222", 9},   {"44333", 16},
                 {"55555322", 49}, {"222223", 27}, {"766554", 49}, {"6666666", 49},
                 {"33333", 15},    {"3331", 9},    {"2122", 4}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        uint8_t levels[16];
        uint32_t columns = (uint32_t)strlen(cases[i].levels);
        struct array_pairs pairs;
        for (uint32_t k = 0; k < columns; k++) {
            levels[k] = (uint8_t)(cases[i].levels[k] - '0');
        }
        assert_int_equal(array_make(&array, levels, columns), 0);
        array_pairs(&array, &pairs);
        assert_int_equal(pairs.covered, pairs.all);
        assert_true(pairs.least >= 1);
        assert_true(array.rows <= cases[i].most_rows);
        for (uint32_t cell = 0; cell < array.rows * columns; cell++) {
            assert_true(array.cells[cell] < levels[cell % columns]);
        }
        array_free(&array);
    }
}

/* No row of a folded array could be left out without losing a pair. */
static void no_row_is_there_for_nothing(void **state)
{
    (void)state;
    static const uint8_t levels[] = {17, 3, 2, 2, 2};
    struct array_pairs whole, less;
    assert_int_equal(array_make(&array, levels, COUNT_OF(levels)), 0);
    array_pairs(&array, &whole);
    assert_true(array.rows >= 17 * 3 && array.rows < 17 * 17);
    for (uint32_t row = 0; row < array.rows; row++) {
        uint8_t kept[COUNT_OF(levels)], *cells = &array.cells[row * array.columns];
        const uint8_t *other = &array.cells[(row == 0 ? 1 : 0) * array.columns];
        memcpy(kept, cells, sizeof kept);
        memcpy(cells, other, sizeof kept);
        array_pairs(&array, &less);
        assert_true(less.covered < whole.covered);
        memcpy(cells, kept, sizeof kept);
    }
    array_free(&array);
}

static void few_combinations_are_all_run(void **state)
{
    (void)state;
    static const struct {
        uint8_t levels[3];
        uint32_t columns, rows;
    } cases[] = {{{5}, 1, 5}, {{3, 2}, 2, 6}, {{7, 2, 2}, 3, 28}, {{1, 1, 1}, 3, 1}, {{1, 4, 1}, 3, 4}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct array_pairs pairs;
        assert_int_equal(array_make(&array, cases[i].levels, cases[i].columns), 0);
        assert_int_equal(array.rows, cases[i].rows);
        assert_int_equal(array.q, 0);
        array_pairs(&array, &pairs);
        assert_int_equal(pairs.covered, pairs.all);
        array_free(&array);
    }
}

static void what_would_be_too_large_is_told(void **state)
{
    (void)state;
    uint8_t levels[100];
    memset(levels, 32, sizeof levels);
    assert_int_equal(array_make(&array, levels, 33), 0);
    array_free(&array);
    assert_int_equal(array_make(&array, levels, 34), -E2BIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_pair_stands_once_in_an_array_of_q_squared_rows),
        cmocka_unit_test(more_columns_take_a_higher_power_and_every_pair_stands_q_times),
        cmocka_unit_test(the_nine_rows_are_the_nine_rows),
        cmocka_unit_test(three_factors_of_three_levels_have_27_pairs),
        cmocka_unit_test(what_is_folded_has_every_pair_still),
        cmocka_unit_test(no_row_is_there_for_nothing),
        cmocka_unit_test(few_combinations_are_all_run),
        cmocka_unit_test(what_would_be_too_large_is_told),
    };
    return cmocka_run_group_tests_name("oats_array", tests, NULL, NULL);
}
