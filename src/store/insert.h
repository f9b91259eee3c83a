/* Inserts: the prepared statements that put rows into the database, inside a transaction of the caller. */
#ifndef STORE_INSERT_H
#define STORE_INSERT_H

#include "store/rows.h"

#include <sqlite3.h>

enum { SAMPLES_PER_BLOCK = 4096 }; /* ids of samples in one row of samples_blocks; part of the schema */

struct inserts {
    sqlite3 *db;
    sqlite3_stmt *node, *incident, *evidence, *evidence_rest, *timeline, *command, *block, *target, *fault,
        *gap, *samples, *samples_block, *policy, *control;
    int64_t block_number; /* of the samples since the last inserts_finish(); -1: none */
    int64_t block_first_at, block_last_at;
};

/* A samples row without the values that are not there: this head, then one double per bit of `present`. */
struct samples_head {
    int64_t at;
    uint64_t boot, sequence;
    uint32_t node, present;
};

/* All return SQLite codes. */
int inserts_open(struct inserts *inserts, sqlite3 *db);
int inserts_row(struct inserts *inserts, const struct row *row);
int inserts_finish(struct inserts *inserts);  /* before COMMIT */
void inserts_forget(struct inserts *inserts); /* after ROLLBACK */
void inserts_close(struct inserts *inserts);

#endif
