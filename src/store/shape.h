/* A shape: which member of a row stands in which column, and in what words. Writing and reading both follow
 * it, so that what goes in comes out. Samples and policy texts have their own few lines instead. */
#ifndef STORE_SHAPE_H
#define STORE_SHAPE_H

#include "base/text.h"
#include "store/store.h"
#include "store/value.h"

enum column_type {
    COLUMN_U64,     /* as INTEGER with the same 64 bits: ids count from 1 and stay far from the sign */
    COLUMN_BOOT,    /* a random uint64_t: 16 hex digits, as in the API */
    COLUMN_U32,     /* INTEGER */
    COLUMN_INDEX,   /* uint32_t, NULL for NO_INDEX */
    COLUMN_U8,      /* INTEGER */
    COLUMN_BOOL,    /* 0 or 1 */
    COLUMN_INSTANT, /* INTEGER nanoseconds, NULL for INSTANT_NONE */
    COLUMN_NS,      /* a duration, INTEGER nanoseconds */
    COLUMN_REAL,    /* NULL for NaN */
    COLUMN_TEXT,    /* char array */
    COLUMN_CHANGES, /* target.changed_at and change_next: instants, the oldest first, with blanks between */
    COLUMN_CALLS,   /* node_row.calls and calls_count: names with blanks between */
    COLUMN_WORD,    /* uint8_t, an enumerator, by its word */
    COLUMN_ONE      /* the key of a table with one row; no member */
};

enum column_use {
    USE_STORED,
    USE_GREATEST, /* the greater of the two when the row is there already */
    USE_KEPT,     /* not overwritten when the row is there already */
    USE_COMPUTED  /* `name` is an expression; read only */
};

struct words {
    const char *(*name)(unsigned value);
    int (*value)(const char *name); /* -1: no such word */
};

struct column {
    const char *name;
    size_t offset; /* of the member in the row */
    size_t size;   /* of the member */
    const struct words *words;
    enum column_type type;
    enum column_use use;
};

struct row_shape {
    const char *table;
    const char *key; /* columns that tell rows apart; NULL: rows are only appended */
    const struct column *columns;
    unsigned count;
    size_t row_size;
};

/* One comparison of an incident, as its own row. */
struct evidence_row {
    uint64_t incident;
    struct evidence evidence;
    uint8_t place;
};

extern const struct row_shape node_shape, incident_shape, evidence_shape, timeline_shape, command_shape,
    target_shape, block_shape, fault_shape, gap_shape, control_shape;

/* In words that all databases share. */
void shape_insert_sql(const struct row_shape *shape,
                      struct text *sql); /* $1, $2 ... in the order of columns */
void shape_select_sql(const struct row_shape *shape, struct text *sql); /* up to and with FROM table */

enum { SHAPE_SCRATCH_SIZE = 8192 }; /* room for the texts of one row that stand in none of its members */

/* What `row` puts into the parameters of an insert; returns how many. The values live as long as `row` and
 * `scratch` do. */
unsigned shape_write(const struct row_shape *shape, const void *row, struct value *values,
                     struct text *scratch);
enum value_type shape_type(const struct column *column); /* of the values that are not NULL */

/* Fills `row` from the columns of a result; what has no column becomes 0. Returns NULL, or the name of the
 * column whose content cannot be ours. */
const char *shape_read(const struct row_shape *shape, const struct value *values, void *row);

/* A boot id as text; `out` holds 17 bytes. */
void boot_text(char *out, uint64_t boot);
bool boot_parse(const char *text, uint64_t *out);

#endif
