/* Rows on their way to the writer's thread: a compact buffer of records, each a kind and some bytes. Texts
 * take what they need and not what their member could hold, so that a bound in bytes means something. */
#ifndef STORE_ROWS_H
#define STORE_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum row_kind {
    ROW_NODE,
    ROW_INCIDENT,
    ROW_TIMELINE,
    ROW_COMMAND,
    ROW_BLOCK,
    ROW_TARGET,
    ROW_FAULT,
    ROW_GAP,
    ROW_SAMPLES,
    ROW_POLICY,
    ROW_CONTROL
};

/* Zero-initialized is empty. */
struct rows {
    unsigned char *bytes;
    size_t used, capacity;
};

struct row {
    enum row_kind kind;
    size_t size;
    const unsigned char *bytes; /* inside the buffer; copy before use, they need not be aligned */
};

size_t rows_cost(size_t size); /* what a record of `size` bytes takes in the buffer */

/* Appends a record made of two pieces; either may be empty. False if there is no memory: nothing is added
 * then. */
bool rows_add(struct rows *rows, enum row_kind kind, const void *head, size_t head_size, const void *tail,
              size_t tail_size);

/* Moves all of `from` behind `rows`, and empties it. False if there is no memory: nothing is moved then. */
bool rows_move(struct rows *rows, struct rows *from);

/* Walks the records; *at starts as 0. False at the end. */
bool rows_next(const struct rows *rows, size_t *at, struct row *row);

void rows_clear(struct rows *rows); /* keeps a little memory for the next time */
void rows_free(struct rows *rows);

#endif
