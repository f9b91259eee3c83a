#include "oats/array.h"

#include "base/check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* --- the field with q elements -------------------------------------------------------------------------- */

/* GF(q), q = prime^degree. An element is a number below q: the coefficients of a polynomial over GF(prime),
 * as digits to the base `prime`. */
struct field {
    uint32_t q, prime, degree;
    uint8_t sum[ARRAY_LEVELS_MAX][ARRAY_LEVELS_MAX];
    uint8_t product[ARRAY_LEVELS_MAX][ARRAY_LEVELS_MAX];
};

enum { DEGREE_MAX = 5 }; /* 2^5 = 32 */

/* False if q is no power of a prime. */
static bool field_shape(struct field *field, uint32_t q)
{
    uint32_t prime = 2;
    while (prime < q && q % prime != 0) {
        prime++;
    }
    *field = (struct field){.q = q, .prime = prime};
    for (; q % prime == 0; q /= prime) {
        field->degree++;
    }
    return q == 1;
}

static void digits_of(uint32_t number, uint32_t base, uint32_t count, uint32_t *digits)
{
    for (uint32_t i = 0; i < count; i++, number /= base) {
        digits[i] = number % base;
    }
}

static uint32_t number_of(const uint32_t *digits, uint32_t base, uint32_t count)
{
    uint32_t number = 0;
    while (count-- > 0) {
        number = number * base + digits[count];
    }
    return number;
}

static uint8_t add(const struct field *field, uint32_t a, uint32_t b)
{
    uint32_t x[DEGREE_MAX], y[DEGREE_MAX];
    digits_of(a, field->prime, field->degree, x);
    digits_of(b, field->prime, field->degree, y);
    for (uint32_t i = 0; i < field->degree; i++) {
        x[i] = (x[i] + y[i]) % field->prime;
    }
    return (uint8_t)number_of(x, field->prime, field->degree);
}

/* The product of two polynomials, modulo the monic one of full degree whose lower coefficients are `modulus`.
 */
static uint8_t multiply(const struct field *field, uint32_t a, uint32_t b, uint32_t modulus)
{
    uint32_t p = field->prime, n = field->degree;
    uint32_t x[DEGREE_MAX], y[DEGREE_MAX], m[DEGREE_MAX], z[2 * DEGREE_MAX] = {0};
    digits_of(a, p, n, x);
    digits_of(b, p, n, y);
    digits_of(modulus, p, n, m);
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t k = 0; k < n; k++) {
            z[i + k] = (z[i + k] + x[i] * y[k]) % p;
        }
    }
    for (uint32_t high = 2 * n; high-- > n;) { /* t^n = -(the lower part) */
        for (uint32_t i = 0; i < n; i++) {
            z[high - n + i] = (z[high - n + i] + (p - m[i]) * z[high]) % p;
        }
    }
    return (uint8_t)number_of(z, p, n);
}

/* Fills the tables. False if a product of two that are not 0 is 0: then the modulus can be divided, and this
 * is no field. */
static bool field_fill(struct field *field, uint32_t modulus)
{
    for (uint32_t a = 0; a < field->q; a++) {
        for (uint32_t b = 0; b < field->q; b++) {
            field->sum[a][b] = add(field, a, b);
            field->product[a][b] = multiply(field, a, b, modulus);
            if (a > 0 && b > 0 && field->product[a][b] == 0) {
                return false;
            }
        }
    }
    return true;
}

static void field_make(struct field *field, uint32_t q)
{
    CHECK(q >= 2 && q <= ARRAY_LEVELS_MAX);
    CHECK(field_shape(field, q));
    uint32_t modulus = 0; /* for a prime q the modulus is t itself: plain arithmetic */
    while (!field_fill(field, modulus)) {
        CHECK(++modulus < q); /* there is an irreducible polynomial of every degree */
    }
}

/* --- which array ---------------------------------------------------------------------------------------- */

struct choice {
    uint32_t q, power; /* q 0: all combinations */
    uint64_t rows;     /* before equal ones are left out */
};

/* The points of PG(power-1, q): how many columns there can be. */
static uint64_t points(uint32_t q, uint32_t power)
{
    uint64_t count = 0;
    for (; power > 0; power--) {
        count = count * q + 1;
    }
    return count;
}

static struct choice choose(const uint8_t *levels, uint32_t columns)
{
    struct choice best = {.rows = 1};
    uint32_t most = 2, varied = 0; /* what has one level needs no column of its own */
    for (uint32_t i = 0; i < columns; i++) {
        most = levels[i] > most ? levels[i] : most;
        varied += levels[i] > 1;
        best.rows = best.rows > ARRAY_ROWS_MAX ? best.rows : best.rows * levels[i];
    }
    for (uint32_t q = most; q <= ARRAY_LEVELS_MAX; q++) {
        struct field shape;
        struct choice choice = {.q = q, .power = 2, .rows = (uint64_t)q * q};
        if (!field_shape(&shape, q)) {
            continue;
        }
        for (; points(q, choice.power) < varied; choice.power++) {
            choice.rows *= q;
        }
        if (choice.rows < best.rows) {
            best = choice;
        }
    }
    return best;
}

/* --- the cells ------------------------------------------------------------------------------------------ */

/* The points with 1 as their highest coordinate, in rising order: 1, q, q+1, ... The first two are the first
 * two digits of the row. */
static uint32_t next_point(uint32_t point, uint32_t q)
{
    for (;;) {
        uint32_t top = ++point;
        while (top >= q) {
            top /= q;
        }
        if (top == 1) {
            return point;
        }
    }
}

static void fill_geometric(struct array *array)
{
    struct field field;
    uint32_t point = 0, row_digits[16], point_digits[16], power = array->power;
    CHECK(power <= 16);
    field_make(&field, array->q);
    for (uint32_t column = 0; column < array->columns; column++) {
        if (array->levels[column] == 1) {
            continue; /* all cells are 0 */
        }
        point = next_point(point, array->q);
        digits_of(point, array->q, power, point_digits);
        for (uint32_t row = 0; row < array->rows; row++) {
            uint8_t cell = 0;
            digits_of(row, array->q, power, row_digits);
            for (uint32_t i = 0; i < power; i++) { /* the row's first digit changes slowest */
                cell = field.sum[cell][field.product[point_digits[i]][row_digits[power - 1 - i]]];
            }
            array->cells[row * array->columns + column] = cell % array->levels[column];
        }
    }
}

static bool is_folded(const struct array *array)
{
    for (uint32_t i = 0; i < array->columns; i++) {
        if (array->levels[i] > 1 && array->levels[i] < array->q) {
            return true;
        }
    }
    return false;
}

static void fill_all(struct array *array)
{
    for (uint32_t row = 0; row < array->rows; row++) {
        uint32_t rest = row;
        for (uint32_t column = array->columns; column-- > 0; rest /= array->levels[column]) {
            array->cells[row * array->columns + column] = (uint8_t)(rest % array->levels[column]);
        }
    }
}

/* How many rows have each pair: a square of levels for each two columns. */
struct tally {
    uint16_t *counts;
    uint32_t columns;
};

static uint16_t *count_of(const struct tally *tally, const uint8_t *cells, uint32_t column, uint32_t other)
{
    uint32_t square = ARRAY_LEVELS_MAX * ARRAY_LEVELS_MAX;
    return &tally->counts[(column * tally->columns + other) * square + cells[column] * ARRAY_LEVELS_MAX +
                          cells[other]];
}

static void count_row(const struct tally *tally, const uint8_t *cells, int more)
{
    for (uint32_t i = 0; i < tally->columns; i++) {
        for (uint32_t k = i + 1; k < tally->columns; k++) {
            uint16_t *count = count_of(tally, cells, i, k);
            *count = (uint16_t)(*count + more);
        }
    }
}

static bool is_needed(const struct tally *tally, const uint8_t *cells)
{
    for (uint32_t i = 0; i < tally->columns; i++) {
        for (uint32_t k = i + 1; k < tally->columns; k++) {
            if (*count_of(tally, cells, i, k) == 1) {
                return true;
            }
        }
    }
    return false;
}

/* A folded array has rows whose pairs all stand elsewhere too. Which of them go depends on the order; the
 * last ones go first, so that the first rows stay as they are in the full array. */
static int leave_out_needless_rows(struct array *array)
{
    struct tally tally = {.columns = array->columns};
    tally.counts = calloc((size_t)array->columns * array->columns * ARRAY_LEVELS_MAX * ARRAY_LEVELS_MAX,
                          sizeof tally.counts[0]);
    bool *needless = calloc(array->rows, sizeof *needless);
    uint32_t kept = 0;
    if (tally.counts == NULL || needless == NULL) {
        free(tally.counts);
        free(needless);
        return -ENOMEM;
    }
    for (uint32_t row = 0; row < array->rows; row++) {
        count_row(&tally, &array->cells[row * array->columns], 1);
    }
    for (uint32_t row = array->rows; row-- > 0;) {
        const uint8_t *cells = &array->cells[row * array->columns];
        needless[row] = !is_needed(&tally, cells);
        if (needless[row]) {
            count_row(&tally, cells, -1);
        }
    }
    for (uint32_t row = 0; row < array->rows; row++) {
        if (!needless[row]) {
            memmove(&array->cells[kept++ * array->columns], &array->cells[row * array->columns],
                    array->columns);
        }
    }
    array->rows = kept;
    free(tally.counts);
    free(needless);
    return 0;
}

int array_make(struct array *array, const uint8_t *levels, uint32_t columns)
{
    CHECK(columns >= 1 && columns <= ARRAY_COLUMNS_MAX);
    for (uint32_t i = 0; i < columns; i++) {
        CHECK(levels[i] >= 1 && levels[i] <= ARRAY_LEVELS_MAX);
    }
    struct choice choice = choose(levels, columns);
    memset(array, 0, sizeof *array);
    if (choice.rows > ARRAY_ROWS_MAX) {
        return -E2BIG;
    }
    array->rows = (uint32_t)choice.rows;
    array->columns = columns;
    array->q = choice.q;
    array->power = choice.power;
    memcpy(array->levels, levels, columns);
    array->cells = calloc(array->rows, columns);
    if (array->cells == NULL) {
        return -ENOMEM;
    }
    if (array->q == 0) {
        fill_all(array);
        return 0;
    }
    fill_geometric(array);
    int result = is_folded(array) ? leave_out_needless_rows(array) : 0;
    if (result < 0) {
        array_free(array);
    }
    return result;
}

void array_free(struct array *array)
{
    free(array->cells);
    memset(array, 0, sizeof *array);
}

uint8_t array_cell(const struct array *array, uint32_t row, uint32_t column)
{
    CHECK(row < array->rows && column < array->columns);
    return array->cells[row * array->columns + column];
}

/* --- the proof ------------------------------------------------------------------------------------------ */

void array_pairs_of(const struct array *array, uint32_t column, uint32_t other, struct array_pairs *out)
{
    uint32_t times[ARRAY_LEVELS_MAX * ARRAY_LEVELS_MAX] = {0}, width = array->levels[other];
    uint32_t all = array->levels[column] * width;
    CHECK(column != other);
    for (uint32_t row = 0; row < array->rows; row++) {
        times[array_cell(array, row, column) * width + array_cell(array, row, other)]++;
    }
    *out = (struct array_pairs){.all = all, .least = UINT32_MAX};
    for (uint32_t i = 0; i < all; i++) {
        out->covered += times[i] > 0;
        out->least = times[i] < out->least ? times[i] : out->least;
        out->most = times[i] > out->most ? times[i] : out->most;
    }
}

void array_pairs(const struct array *array, struct array_pairs *out)
{
    *out = (struct array_pairs){.least = UINT32_MAX};
    for (uint32_t i = 0; i < array->columns; i++) {
        for (uint32_t k = i + 1; k < array->columns; k++) {
            struct array_pairs two;
            array_pairs_of(array, i, k, &two);
            out->covered += two.covered;
            out->all += two.all;
            out->least = two.least < out->least ? two.least : out->least;
            out->most = two.most > out->most ? two.most : out->most;
        }
    }
    out->least = out->all > 0 ? out->least : 0;
}

void array_write_name(struct text *out, const struct array *array)
{
    uint32_t rows = 1, varied = 0;
    if (array->q == 0) {
        text_addf(out, "all %u combinations", array->rows);
        return;
    }
    for (uint32_t i = 0; i < array->power; i++) {
        rows *= array->q;
    }
    for (uint32_t i = 0; i < array->columns; i++) {
        varied += array->levels[i] > 1;
    }
    text_addf(out, "L%u(%u^%u)%s", rows, array->q, varied, is_folded(array) ? ", folded" : "");
}
