/* Samples as COPY ... (FORMAT binary) takes them: one buffer, big-endian, as PostgreSQL's documentation of
 * COPY describes it ("Binary Format"). */
#ifndef STORE_POSTGRES_COPY_H
#define STORE_POSTGRES_COPY_H

#include "base/text.h"
#include "store/insert.h"

/* Zero-initialized is empty. */
struct copy {
    unsigned char *bytes;
    size_t used, capacity;
};

void copy_sql(struct text *sql); /* the COPY command, with the columns in the order of the values */
bool copy_add(struct copy *copy, const struct samples_head *head,
              const double *values); /* false: no memory */
bool copy_end(struct copy *copy);    /* false: no memory */
void copy_clear(struct copy *copy);
void copy_free(struct copy *copy);

#endif
