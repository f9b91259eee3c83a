/* One try of a batch on PostgreSQL: one transaction, sent as a pipeline.
 *
 *     without samples    BEGIN, fence, statements, COMMIT                         one round trip
 *     with samples       BEGIN, fence, statements | COPY samples | its data, COMMIT     three
 *
 * The fence writes the batch's number into homeostat_session, and fails the transaction by itself if that
 * names another session: so COMMIT need not wait for anybody's look at an answer. */
#ifndef STORE_POSTGRES_BATCH_H
#define STORE_POSTGRES_BATCH_H

#include "store/insert.h"
#include "store/postgres.h"
#include "store/postgres_copy.h"

struct batch {
    struct postgres *postgres; /* the caller's, open */
    uint64_t evidence_through; /* no incident above has evidence in the database */
    unsigned counts[INSERT_COUNT];
    enum value_type types[INSERT_COUNT][VALUES_MAX];
    struct copy copy;
};

enum ending {
    BATCH_COMMITTED,
    BATCH_REFUSED, /* rolled back; the connection is as good as before */
    BATCH_LOST     /* nobody knows; the connection is closed */
};

/* Prepares the statements on a new connection. 0, or a negative errno with a sentence. */
int batch_prepare(struct batch *batch, char *error, size_t error_size);

/* `number` is looked up in homeostat_session after BATCH_LOST. */
enum ending batch_try(struct batch *batch, const char *session, uint64_t number, const struct rows *rows,
                      char *error, size_t error_size);

void batch_free(struct batch *batch);

#endif
