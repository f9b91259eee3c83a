/* clang-format off */
/* An orthogonal array: rows of levels, one column per factor, in which every pair of levels of every two
 * factors stands equally often. So a few rows meet every pair: nine of them, instead of 81, for four factors
 * with three levels each.
 *
 *       a  b  a+b  2a+b      L9, over GF(3). Take any two columns: all nine pairs are there, each once.
 *       0  0   0    0
 *       0  1   1    1        Arrays are constructed, not looked up: the rows are all vectors of length m over
 *       0  2   2    2        the field with q elements, the columns the points of the projective geometry
 *       1  0   1    2        PG(m-1, q), a cell is the scalar product of the two. Two different points are
 *       1  1   2    0        linearly independent, so each of the q*q pairs stands in q^(m-2) rows.
 *       1  2   0    1
 *       2  0   2    1        With m = 2 that is Bose's array of q+1 columns; in general it is that of Rao and
 *       2  1   0    2        Hamming, of (q^m - 1) / (q - 1) columns. Source: Hedayat, Sloane, Stufken,
 *       2  2   1    0        "Orthogonal Arrays", Springer 1999, chapter 3: Bose and Bush, Rao-Hamming. */
/* clang-format on */
#ifndef OATS_ARRAY_H
#define OATS_ARRAY_H

#include "base/text.h"

#include <stdint.h>

enum {
    ARRAY_LEVELS_MAX = 32, /* of one factor; 32 is a prime power too */
    ARRAY_COLUMNS_MAX = 128,
    ARRAY_ROWS_MAX = 4096
};

struct array {
    uint32_t rows, columns;
    uint32_t q, power;                 /* made over GF(q), from q^power rows; q is 0 for all combinations */
    uint8_t levels[ARRAY_COLUMNS_MAX]; /* of each column: its cells are below that */
    uint8_t *cells;                    /* row by row */
};

/* What is there of all that there could be. */
struct array_pairs {
    uint32_t covered, all; /* pairs of levels, over all pairs of columns */
    uint32_t least, most; /* rows in which a pair stands; equal in an array that is not folded. 0: no pairs */
};

/* Makes the smallest array we know for `columns` factors with so many levels each, 1 .. ARRAY_LEVELS_MAX. A
 * factor with fewer levels than q folds them: cells count around, so every pair is still there, only no
 * longer equally often; rows whose pairs all stand in other rows too are then left out. If all combinations
 * are no more rows than the array has, it is all combinations. 0: the caller frees it with array_free();
 * -E2BIG: more than ARRAY_ROWS_MAX rows; -ENOMEM. */
int array_make(struct array *array, const uint8_t *levels, uint32_t columns);
void array_free(struct array *array);

uint8_t array_cell(const struct array *array, uint32_t row, uint32_t column);

/* Counts, from the cells alone: the proof of coverage. */
void array_pairs(const struct array *array, struct array_pairs *out);
/* Likewise of two columns. */
void array_pairs_of(const struct array *array, uint32_t column, uint32_t other, struct array_pairs *out);

/* "L9(3^3)", "L16(4^5), folded", "all 12 combinations". */
void array_write_name(struct text *out, const struct array *array);

#endif
