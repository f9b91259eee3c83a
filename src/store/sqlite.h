/* One SQLite file: how it is opened, how we tell whose it is, and what its errors mean in words. */
#ifndef STORE_SQLITE_H
#define STORE_SQLITE_H

#include "store/database.h"

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* "home", in the file's header: `file lab.db` shows it, and we refuse a file that says something else. */
#define DATABASE_APPLICATION_ID 0x686f6d65

enum { SAMPLES_PER_BLOCK = 4096 }; /* ids of samples in one row of samples_blocks; part of the schema */

enum database_access { DATABASE_READ, DATABASE_WRITE };

/* Opens `path`, and creates it when writing. 0, or a negative errno with a sentence in `error`; *db is NULL
 * then. */
int database_open(sqlite3 **db, const char *path, enum database_access access, char *error,
                  size_t error_size);

/* Whose file is it? Returns its schema version, 0 for an empty file, or -EINVAL with a sentence when it
 * belongs to another program or to a newer homeostat than this one, which knows versions up to `newest`. */
int database_version(sqlite3 *db, const char *path, int newest, char *error, size_t error_size);

/* Runs `sql` and takes the first column of its first row; 0 if there is none. Returns an SQLite code. */
int database_number(sqlite3 *db, const char *sql, int64_t *out);

/* The newest failure of `db` as a sentence, and as a negative errno. */
int database_failure(sqlite3 *db, const char *path, char *error, size_t error_size);

/* After a failed fsync the kernel may have dropped the pages that it could not write, and a second fsync
 * would say that all is well: there is no way on but to start anew from what is on the disk. Aborts if `code`
 * says so. */
void database_abort_after_fsync(sqlite3 *db, int code, const char *path);

/* Those of `sqlite_database` that read, see database.h. */
int sqlite_backup(const char *path, const char *to, char *error, size_t error_size);
int sqlite_read_open(void **reading, const char *path, char *error, size_t error_size);
void sqlite_read_close(void **reading);
void *sqlite_ask(void *reading, const char *sql);
int sqlite_step(void *question, struct value *values, unsigned count);
void sqlite_finish(void *question);
const char *sqlite_problem(const void *reading);
void sqlite_samples_sql(struct text *sql, uint32_t node, instant from, instant to);

#endif
