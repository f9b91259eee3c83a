#include "store/postgres_copy.h"

#include "base/check.h"
#include "store/shape.h"

#include <endian.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    FIELDS = 4 + METRIC_COUNT,
    ROW_MOST = 2 + FIELDS * (4 + 16), /* bytes: the widest field is the boot id's text */
    KEPT_BYTES = 1 << 20
};

/* Signature, no flags, no extension. */
static const unsigned char head_bytes[19] = "PGCOPY\n\377\r\n";

void copy_sql(struct text *sql)
{
    text_add(sql, "COPY samples (node, at, boot, sequence");
    for (unsigned metric = 0; metric < METRIC_COUNT; metric++)
        text_addf(sql, ", %s", metric_name((enum metric)metric));
    text_add(sql, ") FROM STDIN (FORMAT binary)");
    CHECK(!sql->cut);
}

static bool reserve(struct copy *copy, size_t more)
{
    if (copy->capacity - copy->used >= more)
        return true;
    size_t capacity = copy->capacity ? copy->capacity * 2 : 64 << 10;
    unsigned char *bytes = realloc(copy->bytes, capacity);
    if (!bytes)
        return false;
    copy->bytes = bytes;
    copy->capacity = capacity;
    return true;
}

static void put(struct copy *copy, const void *bytes, size_t size)
{
    memcpy(copy->bytes + copy->used, bytes, size);
    copy->used += size;
}

static void put_16(struct copy *copy, uint16_t value)
{
    value = htobe16(value);
    put(copy, &value, sizeof value);
}

static void put_32(struct copy *copy, uint32_t value)
{
    value = htobe32(value);
    put(copy, &value, sizeof value);
}

/* A field of eight bytes, with its length. */
static void put_64(struct copy *copy, uint64_t value)
{
    value = htobe64(value);
    put_32(copy, sizeof value);
    put(copy, &value, sizeof value);
}

bool copy_add(struct copy *copy, const struct samples_head *head, const double *values)
{
    char boot[17];
    if (!reserve(copy, sizeof head_bytes + ROW_MOST))
        return false;
    if (copy->used == 0)
        put(copy, head_bytes, sizeof head_bytes);
    boot_text(boot, head->boot);
    put_16(copy, FIELDS);
    put_64(copy, head->node);
    put_64(copy, (uint64_t)head->at);
    put_32(copy, 16);
    put(copy, boot, 16);
    put_64(copy, head->sequence);
    for (int metric = 0; metric < METRIC_COUNT; metric++) {
        uint64_t bits;
        double value = values[metric] + 0.0; /* -0 becomes 0, as in SQLite */
        memcpy(&bits, &value, sizeof bits);
        if (isnan(values[metric]))
            put_32(copy, UINT32_MAX); /* NULL */
        else
            put_64(copy, bits);
    }
    return true;
}

bool copy_end(struct copy *copy)
{
    if (!reserve(copy, sizeof(uint16_t)))
        return false;
    put_16(copy, UINT16_MAX);
    return true;
}

void copy_clear(struct copy *copy)
{
    copy->used = 0;
    if (copy->capacity > KEPT_BYTES)
        copy_free(copy);
}

void copy_free(struct copy *copy)
{
    free(copy->bytes);
    *copy = (struct copy){0};
}
