/* A read-only connection to a SQLite file. */
#include "store/sqlite.h"

#include "base/check.h"
#include "store/migrate.h"
#include "store/store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct reading {
    sqlite3 *db;
    char *path;
    char problem[1024];
};

struct question {
    struct reading *reading;
    sqlite3_stmt *statement;
};

int sqlite_read_open(void **out, const char *path, char *error, size_t error_size)
{
    *out = NULL;
    struct reading *reading = calloc(1, sizeof *reading);
    if (!reading || !(reading->path = strdup(path))) {
        free(reading);
        snprintf(error, error_size, "out of memory");
        return -ENOMEM;
    }
    int result = database_open(&reading->db, path, DATABASE_READ, error, error_size);
    if (result == 0)
        result = database_version(reading->db, path, migrations_count, error, error_size);
    if (result >= 0 && result < migrations_count) {
        snprintf(error, error_size,
                 "%s has schema %d and this homeostat reads schema %d: start the control plane on it once, "
                 "or let `homeostat store migrate` bring it up to date",
                 path, result, migrations_count);
        result = -EINVAL;
    }
    *out = reading;
    if (result < 0)
        sqlite_read_close(out);
    return result < 0 ? result : 0;
}

void sqlite_read_close(void **out)
{
    struct reading *reading = *out;
    if (!reading)
        return;
    sqlite3_close(reading->db);
    free(reading->path);
    free(reading);
    *out = NULL;
}

const char *sqlite_problem(const void *reading)
{
    return ((const struct reading *)reading)->problem;
}

static int fail(struct reading *reading)
{
    return database_failure(reading->db, reading->path, reading->problem, sizeof reading->problem);
}

void *sqlite_ask(void *context, const char *sql)
{
    struct reading *reading = context;
    reading->problem[0] = '\0';
    struct question *question = calloc(1, sizeof *question);
    if (!question) {
        snprintf(reading->problem, sizeof reading->problem, "%s: out of memory", reading->path);
        return NULL;
    }
    question->reading = reading;
    if (sqlite3_prepare_v2(reading->db, sql, -1, &question->statement, NULL) == SQLITE_OK)
        return question;
    fail(reading);
    free(question);
    return NULL;
}

static struct value value_at(sqlite3_stmt *statement, int at)
{
    switch (sqlite3_column_type(statement, at)) {
    case SQLITE_INTEGER:
        return value_integer(sqlite3_column_int64(statement, at));
    case SQLITE_FLOAT:
        return value_real(sqlite3_column_double(statement, at));
    case SQLITE_NULL:
        return value_null();
    default:
        break;
    }
    const char *text = (const char *)sqlite3_column_text(statement, at);
    return text ? value_text(text, (size_t)sqlite3_column_bytes(statement, at)) : value_null();
}

int sqlite_step(void *context, struct value *values, unsigned count)
{
    struct question *question = context;
    int code = sqlite3_step(question->statement);
    if (code == SQLITE_DONE)
        return 0;
    if (code != SQLITE_ROW)
        return fail(question->reading);
    for (unsigned i = 0; i < count; i++)
        values[i] = value_at(question->statement, (int)i);
    return 1;
}

void sqlite_finish(void *context)
{
    struct question *question = context;
    if (!question)
        return;
    sqlite3_finalize(question->statement);
    free(question);
}

/* All pages in one step, so in one snapshot: the writer goes on in its log meanwhile. */
static int copy_pages(sqlite3 *from, sqlite3 *into)
{
    sqlite3_backup *backup = sqlite3_backup_init(into, "main", from, "main");
    if (!backup)
        return sqlite3_errcode(into);
    sqlite3_backup_step(backup, -1);
    return sqlite3_backup_finish(backup);
}

int sqlite_backup(const char *path, const char *to, char *error, size_t error_size)
{
    void *from = NULL;
    sqlite3 *into = NULL;
    if (access(to, F_OK) == 0) {
        snprintf(error, error_size, "%s is there already: name another file", to);
        return -EEXIST;
    }
    int result = sqlite_read_open(&from, path, error, error_size);
    if (result == 0)
        result = database_open(&into, to, DATABASE_WRITE, error, error_size);
    if (result == 0 && copy_pages(((struct reading *)from)->db, into) != SQLITE_OK) {
        result = database_failure(into, to, error, error_size);
        unlink(to);
    }
    sqlite3_close(into);
    sqlite_read_close(&from);
    return result;
}

/* CROSS JOIN keeps the order of the tables: the few blocks that overlap the span first, then their samples.
 */
void sqlite_samples_sql(struct text *sql, uint32_t node, instant from, instant to)
{
    text_add(sql, "SELECT at, boot, sequence");
    for (unsigned metric = 0; metric < METRIC_COUNT; metric++)
        text_addf(sql, ", %s", metric_name((enum metric)metric));
    text_addf(sql,
              " FROM samples_blocks CROSS JOIN samples ON samples.id BETWEEN block * %d AND block * %d + %d"
              " WHERE last_at >= %lld AND first_at <= %lld AND +node = %u AND at BETWEEN %lld AND %lld"
              " ORDER BY at, samples.id",
              SAMPLES_PER_BLOCK, SAMPLES_PER_BLOCK, SAMPLES_PER_BLOCK - 1, (long long)from, (long long)to,
              node, (long long)from, (long long)to);
}
