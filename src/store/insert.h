/* Inserts: which statements a row becomes, and with which values. A database prepares the statements and runs
 * them, inside a transaction of its own. */
#ifndef STORE_INSERT_H
#define STORE_INSERT_H

#include "base/text.h"
#include "store/rows.h"
#include "store/value.h"

#include <stdint.h>

enum insert {
    INSERT_NODE,
    INSERT_INCIDENT,
    INSERT_EVIDENCE,
    INSERT_EVIDENCE_REST, /* deletes what an incident had more of before */
    INSERT_TIMELINE,
    INSERT_COMMAND,
    INSERT_BLOCK,
    INSERT_TARGET,
    INSERT_FAULT,
    INSERT_GAP,
    INSERT_POLICY,
    INSERT_CONTROL,
    INSERT_COUNT
};

enum { INSERT_SQL_SIZE = 4096 };

/* The statement with parameters $1, $2 ..., and the type of each; returns how many there are. */
unsigned insert_sql(enum insert insert, struct text *sql, enum value_type types[VALUES_MAX]);

/* A samples row without the values that are not there: this head, then one double per bit of `present`. */
struct samples_head {
    int64_t at;
    uint64_t boot, sequence;
    uint32_t node, present;
};

#define EVIDENCE_THROUGH_SQL "SELECT coalesce(max(incident), 0) FROM evidence"

/* How a database takes them; both return 0 or a number of its own that ends the batch. The values live during
 * the call. */
struct inserter {
    int (*run)(void *context, enum insert insert, const struct value *values, unsigned count);
    /* `values` has METRIC_COUNT of them, NaN for those that are not there. */
    int (*samples)(void *context, const struct samples_head *head, const double *values);
    /* No incident above this number has evidence in the database, so there is nothing of it to delete.
     * Numbers rise, so that is so of each new incident. Kept up to date here; EVIDENCE_THROUGH_SQL begins it.
     */
    uint64_t *evidence_through;
    void *context;
};

/* All rows in their order; 0, or what the inserter returned. */
int insert_rows(const struct inserter *inserter, const struct rows *rows);

#endif
