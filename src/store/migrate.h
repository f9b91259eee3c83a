/* Migrations: the numbered steps from an empty file to the present schema, sql/001_first.sql and on. A step
 * that was ever released is never changed; a new one is added behind it. */
#ifndef STORE_MIGRATE_H
#define STORE_MIGRATE_H

#include <sqlite3.h>
#include <stddef.h>

struct migration {
    const char *name; /* "first", of 001_first.sql */
    const char *sql;
};

extern const struct migration migrations[]; /* SQLite's: the n-th leads to schema n, counted from 1 */
extern const int migrations_count;
extern const struct migration postgres_migrations[]; /* the same for PostgreSQL, which counts its own */
extern const int postgres_migrations_count;

/* Makes an open file ready to be written: looks whose it is, settles how it is made durable, looks for damage
 * in what a restore reads, and takes the migrations that are missing, one transaction each. 0, or a negative
 * errno with a sentence in `error`; migrations before a failed one stay done. */
int migrate(sqlite3 *db, const char *path, char *error, size_t error_size);

#endif
