/* What a database must be able to do to be a store. The queue, the thread, the rows and their shapes are the
 * same for all; what differs stands in sqlite*.c and postgres*.c. */
#ifndef STORE_DATABASE_H
#define STORE_DATABASE_H

#include "base/text.h"
#include "core/core.h"
#include "store/rows.h"
#include "store/value.h"

#include <stdbool.h>
#include <stddef.h>

/* All functions that can fail write a sentence into `error`, unless said otherwise, and return a negative
 * errno. */
struct database {
    const char *name;                                         /* "SQLite" */
    bool is_server;                                           /* else a file */
    void (*show)(const char *target, char *out, size_t size); /* what people may read of it */
    int (*make_room)(const char *target, const char *name, char *out, size_t size, char *error,
                     size_t error_size); /* of a server: see store_make_room() */

    /* The one writing connection: migrates, keeps other control planes out. */
    int (*write_open)(void **writing, const char *target, char *error, size_t error_size);
    /* One transaction over all rows. False with a sentence: nothing of it is in the database; of a server
     * that did not answer in time, nobody knows yet. It is settled before the next `commit` or `reach`
     * succeeds. */
    bool (*commit)(void *writing, const struct rows *rows, char *error, size_t error_size);
    /* Of a server: is it there? Connects anew if need be; may take seconds. */
    bool (*reach)(void *writing);
    void (*tidy)(void *writing); /* after each commit, when those who wait for it have been told */
    void (*write_close)(void **writing);
    /* Several statements in one transaction. */
    int (*run)(void *writing, const char *sql, char *error, size_t error_size);
    /* The first column of the first row; INSTANT_NONE: NULL, or no row. */
    int (*number)(void *writing, const char *sql, int64_t *out, char *error, size_t error_size);
    /* What follows FROM: samples of a span, both ends included, with a condition that can be gone on with by
     * AND. */
    void (*span_sql)(struct text *sql, instant from, instant to);
    void (*drop_samples_sql)(struct text *sql, instant before); /* perhaps not all of them yet */
    const char *oldest_sample_sql;
    /* NULL: a server has ways of its own. */
    int (*backup)(const char *target, const char *to, char *error, size_t error_size);

    /* A reading connection. */
    int (*read_open)(void **reading, const char *target, char *error, size_t error_size);
    void (*read_close)(void **reading);
    /* Starts a question. Several may be open at once; they see the same snapshot. NULL: see `problem`. */
    void *(*ask)(void *reading, const char *sql);
    /* The next row: fills `count` values, which live until the next call for this question. 1, 0 at the end,
     * or a negative errno: see `problem`. */
    int (*step)(void *question, struct value *values, unsigned count);
    void (*finish)(void *question); /* NULL is fine */
    const char *(*problem)(const void *reading);
    void (*hurry)(void *reading);         /* of a server: a loop waits for the answers from now on */
    bool (*is_lost)(const void *reading); /* of a server: the newest question found nobody */

    /* The rows of `samples` of a node in a span, oldest first: at, boot, sequence, then all metrics. */
    void (*samples_sql)(struct text *sql, uint32_t node, instant from, instant to);
};

extern const struct database sqlite_database, postgres_database;

/* `store` is sqlite:PATH, postgresql://... or a PATH. *target is what the functions above take: the path, or
 * the whole of the address. */
const struct database *database_of(const char *store, const char **target);

#endif
