#include "store/rows.h"

#include "base/check.h"

#include <stdlib.h>
#include <string.h>

struct row_head {
    uint32_t size; /* of what follows */
    uint32_t kind;
};

enum { KEPT_BYTES = 1 << 20 };

size_t rows_cost(size_t size)
{
    return sizeof(struct row_head) + size;
}

static bool reserve(struct rows *rows, size_t more)
{
    if (rows->capacity - rows->used >= more)
        return true;
    size_t capacity = rows->capacity ? rows->capacity : 4096;
    while (capacity - rows->used < more)
        capacity *= 2;
    unsigned char *bytes = realloc(rows->bytes, capacity);
    if (!bytes)
        return false;
    rows->bytes = bytes;
    rows->capacity = capacity;
    return true;
}

static void append(struct rows *rows, const void *bytes, size_t size)
{
    if (size > 0)
        memcpy(rows->bytes + rows->used, bytes, size);
    rows->used += size;
}

bool rows_add(struct rows *rows, enum row_kind kind, const void *head, size_t head_size, const void *tail,
              size_t tail_size)
{
    CHECK(head_size + tail_size <= UINT32_MAX);
    struct row_head record = {.size = (uint32_t)(head_size + tail_size), .kind = kind};
    if (!reserve(rows, rows_cost(record.size)))
        return false;
    append(rows, &record, sizeof record);
    append(rows, head, head_size);
    append(rows, tail, tail_size);
    return true;
}

bool rows_move(struct rows *rows, struct rows *from)
{
    if (rows->used == 0) {
        struct rows empty = *rows;
        *rows = *from;
        *from = empty;
        return true;
    }
    if (!reserve(rows, from->used))
        return false;
    append(rows, from->bytes, from->used);
    rows_clear(from);
    return true;
}

bool rows_next(const struct rows *rows, size_t *at, struct row *row)
{
    if (*at == rows->used)
        return false;
    struct row_head record;
    CHECK(rows->used - *at >= sizeof record);
    memcpy(&record, rows->bytes + *at, sizeof record);
    CHECK(rows->used - *at - sizeof record >= record.size);
    row->kind = (enum row_kind)record.kind;
    row->size = record.size;
    row->bytes = rows->bytes + *at + sizeof record;
    *at += rows_cost(record.size);
    return true;
}

void rows_clear(struct rows *rows)
{
    rows->used = 0;
    if (rows->capacity > KEPT_BYTES)
        rows_free(rows);
}

void rows_free(struct rows *rows)
{
    free(rows->bytes);
    *rows = (struct rows){0};
}
