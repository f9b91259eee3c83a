/* The one connection that writes and checkpoints a SQLite file. */
#include "store/database.h"

#include "base/check.h"
#include "store/insert.h"
#include "store/lock.h"
#include "store/migrate.h"
#include "store/sqlite.h"
#include "store/store.h"
#include "store/shape.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHECKPOINT_PAGES = 2048 /* of the write-ahead log, 8 MiB */ };

struct writing {
    sqlite3 *db;
    sqlite3_stmt *begin, *commit, *newest_epoch, *samples, *samples_block, *inserts[INSERT_COUNT];
    int64_t block_number; /* of the samples since the last write_block(); -1: none */
    int64_t block_first_at, block_last_at;
    uint64_t epoch;            /* the newest in the database that we have seen or written */
    uint64_t evidence_through; /* see insert.h */
    int log_pages;             /* in the write-ahead log after the last commit */
    int lock_fd;
    char path[LOCK_PATH_SIZE];
};

/* --- rows ----------------------------------------------------------------------------------------------- */

/* Runs a bound statement that yields no rows, and makes it ready for the next. The code of the reset is the
 * more precise one. */
static int run(sqlite3_stmt *statement)
{
    int step = sqlite3_step(statement);
    int reset = sqlite3_reset(statement);
    return step == SQLITE_DONE ? SQLITE_OK : reset;
}

static int bind(sqlite3_stmt *statement, int at, const struct value *value)
{
    switch (value->type) {
    case VALUE_NULL:
        return sqlite3_bind_null(statement, at);
    case VALUE_INTEGER:
        return sqlite3_bind_int64(statement, at, value->integer);
    case VALUE_REAL:
        return sqlite3_bind_double(statement, at, value->real);
    case VALUE_TEXT:
        break;
    }
    return sqlite3_bind_text(statement, at, value->text, (int)value->length, SQLITE_STATIC);
}

static int run_insert(void *context, enum insert insert, const struct value *values, unsigned count)
{
    struct writing *writing = context;
    sqlite3_stmt *statement = writing->inserts[insert];
    int code = SQLITE_OK;
    for (unsigned i = 0; i < count && code == SQLITE_OK; i++)
        code = bind(statement, (int)i + 1, &values[i]);
    return code == SQLITE_OK ? run(statement) : code;
}

static int write_block(struct writing *writing)
{
    if (writing->block_number < 0)
        return SQLITE_OK;
    sqlite3_bind_int64(writing->samples_block, 1, writing->block_number);
    sqlite3_bind_int64(writing->samples_block, 2, writing->block_first_at);
    sqlite3_bind_int64(writing->samples_block, 3, writing->block_last_at);
    writing->block_number = -1;
    return run(writing->samples_block);
}

/* The sample with this id is at `at`: widens its block. */
static int widen_block(struct writing *writing, int64_t id, int64_t at)
{
    if (writing->block_number != id / SAMPLES_PER_BLOCK) {
        int code = write_block(writing);
        if (code != SQLITE_OK)
            return code;
        writing->block_number = id / SAMPLES_PER_BLOCK;
        writing->block_first_at = writing->block_last_at = at;
    }
    if (at < writing->block_first_at)
        writing->block_first_at = at;
    if (at > writing->block_last_at)
        writing->block_last_at = at;
    return SQLITE_OK;
}

static int run_samples(void *context, const struct samples_head *head, const double *values)
{
    struct writing *writing = context;
    sqlite3_stmt *statement = writing->samples;
    char boot[17];
    boot_text(boot, head->boot);
    sqlite3_bind_int64(statement, 1, head->node);
    sqlite3_bind_int64(statement, 2, head->at);
    int code = sqlite3_bind_text(statement, 3, boot, 16, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 4, (sqlite3_int64)head->sequence);
    for (int metric = 0; metric < METRIC_COUNT; metric++) {
        if (isnan(values[metric]))
            sqlite3_bind_null(statement, 5 + metric);
        else
            sqlite3_bind_double(statement, 5 + metric, values[metric]);
    }
    if (code == SQLITE_OK)
        code = run(statement);
    return code == SQLITE_OK ? widen_block(writing, sqlite3_last_insert_rowid(writing->db), head->at) : code;
}

/* --- a commit ------------------------------------------------------------------------------------------- */

/* The epoch of the newest control row among what was just written, or the one we knew. */
static uint64_t newest_epoch(const struct writing *writing, const struct rows *rows)
{
    uint64_t epoch = writing->epoch;
    struct row row;
    for (size_t at = 0; rows_next(rows, &at, &row);) {
        if (row.kind != ROW_CONTROL)
            continue;
        struct control_row control;
        memcpy(&control, row.bytes, sizeof control);
        epoch = control.control.epoch;
    }
    return epoch;
}

/* The lock file does not fence: somebody may have removed it while we were suspended. The epoch in the
 * database does. */
static bool is_fenced(struct writing *writing, char *error, size_t error_size)
{
    uint64_t epoch = 0;
    if (sqlite3_step(writing->newest_epoch) == SQLITE_ROW)
        epoch = (uint64_t)sqlite3_column_int64(writing->newest_epoch, 0);
    if (sqlite3_reset(writing->newest_epoch) != SQLITE_OK) {
        database_failure(writing->db, writing->path, error, error_size);
        return true;
    }
    if (epoch <= writing->epoch)
        return false;
    snprintf(error, error_size, "another control plane (epoch %llu, ours is %llu) has taken over the store",
             (unsigned long long)epoch, (unsigned long long)writing->epoch);
    return true;
}

static int run_statement(sqlite3_stmt *statement)
{
    sqlite3_step(statement);
    return sqlite3_reset(statement); /* says what the step said, more precisely */
}

static bool commit(void *context, const struct rows *rows, char *error, size_t error_size)
{
    struct writing *writing = context;
    const struct inserter inserter = {run_insert, run_samples, &writing->evidence_through, writing};
    int code = run_statement(writing->begin);
    bool fenced = code == SQLITE_OK && is_fenced(writing, error, error_size);
    if (code == SQLITE_OK && !fenced)
        code = insert_rows(&inserter, rows);
    if (code == SQLITE_OK && !fenced)
        code = write_block(writing);
    if (code == SQLITE_OK && !fenced)
        code = run_statement(writing->commit);
    if (code == SQLITE_OK && !fenced) {
        writing->epoch = newest_epoch(writing, rows);
        return true;
    }
    database_abort_after_fsync(writing->db, code, writing->path);
    if (!fenced)
        database_failure(writing->db, writing->path, error, error_size);
    writing->block_number = -1;
    if (!sqlite3_get_autocommit(writing->db)) /* some failures have rolled back by themselves */
        sqlite3_exec(writing->db, "ROLLBACK", NULL, NULL, NULL);
    return false;
}

static int count_log_pages(void *context, sqlite3 *db, const char *schema, int pages)
{
    (void)db, (void)schema;
    ((struct writing *)context)->log_pages = pages;
    return SQLITE_OK;
}

/* Moves committed pages from the log into the database file. What fails here is durable in the log already
 * and is tried again after the next commit; if it keeps failing, the log grows until a commit fails and says
 * so. */
static void checkpoint(struct writing *writing, int mode)
{
    int code = sqlite3_wal_checkpoint_v2(writing->db, NULL, mode, NULL, NULL);
    database_abort_after_fsync(writing->db, code, writing->path);
}

static void tidy(void *context)
{
    struct writing *writing = context;
    if (writing->log_pages >= CHECKPOINT_PAGES)
        checkpoint(writing, SQLITE_CHECKPOINT_PASSIVE);
}

/* --- opening and closing -------------------------------------------------------------------------------- */

static int prepare(struct writing *writing, const char *sql, sqlite3_stmt **statement)
{
    return sqlite3_prepare_v3(writing->db, sql, -1, SQLITE_PREPARE_PERSISTENT, statement, NULL);
}

/* Names each metric's column, so a metric without its migration is noticed when the store is opened. */
static int prepare_samples(struct writing *writing)
{
    char bytes[2048];
    struct text sql = text_over(bytes, sizeof bytes);
    text_add(&sql, "INSERT INTO samples (node, at, boot, sequence");
    for (unsigned metric = 0; metric < METRIC_COUNT; metric++)
        text_addf(&sql, ", %s", metric_name((enum metric)metric));
    text_add(&sql, ") VALUES (?, ?, ?, ?");
    for (unsigned metric = 0; metric < METRIC_COUNT; metric++)
        text_add(&sql, ", ?");
    text_add(&sql, ")");
    CHECK(!sql.cut);
    return prepare(writing, bytes, &writing->samples);
}

static int prepare_inserts(struct writing *writing)
{
    int code = prepare_samples(writing);
    for (int insert = 0; insert < INSERT_COUNT && code == SQLITE_OK; insert++) {
        char bytes[INSERT_SQL_SIZE];
        struct text sql = text_over(bytes, sizeof bytes);
        enum value_type types[VALUES_MAX];
        insert_sql((enum insert)insert, &sql, types);
        code = prepare(writing, bytes, &writing->inserts[insert]);
    }
    return code;
}

static int prepare_statements(struct writing *writing, char *error, size_t error_size)
{
    int64_t epoch = 0, evidence_through = 0;
    sqlite3_wal_hook(writing->db, count_log_pages, writing);
    int code = prepare_inserts(writing);
    if (code == SQLITE_OK)
        code =
            prepare(writing,
                    "INSERT INTO samples_blocks VALUES (?, ?, ?) ON CONFLICT (block) DO UPDATE SET "
                    "first_at = min(first_at, excluded.first_at), last_at = max(last_at, excluded.last_at)",
                    &writing->samples_block);
    if (code == SQLITE_OK)
        code = prepare(writing, "BEGIN IMMEDIATE", &writing->begin);
    if (code == SQLITE_OK)
        code = prepare(writing, "COMMIT", &writing->commit);
    if (code == SQLITE_OK)
        code = prepare(writing, "SELECT epoch FROM control", &writing->newest_epoch);
    if (code == SQLITE_OK)
        code = database_number(writing->db, "SELECT epoch FROM control", &epoch);
    if (code == SQLITE_OK)
        code = database_number(writing->db, EVIDENCE_THROUGH_SQL, &evidence_through);
    writing->epoch = (uint64_t)epoch;
    writing->evidence_through = (uint64_t)evidence_through;
    return code == SQLITE_OK ? 0 : database_failure(writing->db, writing->path, error, error_size);
}

static void release(struct writing *writing)
{
    sqlite3_stmt *others[] = {writing->begin, writing->commit, writing->newest_epoch, writing->samples,
                              writing->samples_block};
    for (size_t i = 0; i < COUNT_OF(others); i++)
        sqlite3_finalize(others[i]);
    for (size_t i = 0; i < INSERT_COUNT; i++)
        sqlite3_finalize(writing->inserts[i]);
    sqlite3_close(writing->db);
    lock_release(writing->lock_fd);
    free(writing);
}

static int write_open(void **out, const char *path, char *error, size_t error_size)
{
    *out = NULL;
    struct writing *writing = calloc(1, sizeof *writing);
    if (!writing) {
        snprintf(error, error_size, "out of memory");
        return -ENOMEM;
    }
    writing->block_number = -1;
    int result = lock_take(path, writing->path, sizeof writing->path, error, error_size);
    writing->lock_fd = result < 0 ? -1 : result;
    if (result >= 0)
        result = database_open(&writing->db, writing->path, DATABASE_WRITE, error, error_size);
    if (result == 0)
        result = migrate(writing->db, writing->path, error, error_size);
    if (result == 0)
        result = prepare_statements(writing, error, error_size);
    if (result < 0)
        release(writing);
    else
        *out = writing;
    return result;
}

static void write_close(void **out)
{
    struct writing *writing = *out;
    checkpoint(writing, SQLITE_CHECKPOINT_TRUNCATE);
    release(writing);
    *out = NULL;
}

static int run_all(void *context, const char *sql, char *error, size_t error_size)
{
    struct writing *writing = context;
    const char *const pieces[] = {"BEGIN IMMEDIATE", sql, "COMMIT"};
    int code = SQLITE_OK;
    for (size_t i = 0; i < COUNT_OF(pieces) && code == SQLITE_OK; i++)
        code = sqlite3_exec(writing->db, pieces[i], NULL, NULL, NULL);
    if (code == SQLITE_OK)
        return 0;
    database_abort_after_fsync(writing->db, code, writing->path);
    int result = database_failure(writing->db, writing->path, error, error_size);
    if (!sqlite3_get_autocommit(writing->db))
        sqlite3_exec(writing->db, "ROLLBACK", NULL, NULL, NULL);
    return result;
}

static int number(void *context, const char *sql, int64_t *out, char *error, size_t error_size)
{
    struct writing *writing = context;
    sqlite3_stmt *statement = NULL;
    *out = INSTANT_NONE;
    int code = sqlite3_prepare_v2(writing->db, sql, -1, &statement, NULL);
    if (code == SQLITE_OK && sqlite3_step(statement) == SQLITE_ROW &&
        sqlite3_column_type(statement, 0) != SQLITE_NULL)
        *out = sqlite3_column_int64(statement, 0);
    int end = sqlite3_finalize(statement);
    if (code == SQLITE_OK && end == SQLITE_OK)
        return 0;
    return database_failure(writing->db, writing->path, error, error_size);
}

static void span_sql(struct text *sql, instant from, instant to)
{
    text_addf(sql,
              "samples_blocks CROSS JOIN samples ON samples.id BETWEEN block * %d AND block * %d + %d WHERE "
              "last_at >= "
              "%lld AND first_at <= %lld AND at BETWEEN %lld AND %lld",
              SAMPLES_PER_BLOCK, SAMPLES_PER_BLOCK, SAMPLES_PER_BLOCK - 1, (long long)from, (long long)to,
              (long long)from, (long long)to);
}

/* Whole blocks, from the oldest on up to the first that has something newer. */
static void drop_samples_sql(struct text *sql, instant before)
{
    text_addf(sql,
              "DELETE FROM samples WHERE id < %d * coalesce((SELECT min(block) FROM samples_blocks WHERE "
              "last_at >= "
              "%lld), 0); DELETE FROM samples_blocks WHERE block < coalesce((SELECT min(block) FROM "
              "samples_blocks WHERE "
              "last_at >= %lld), 0); ",
              SAMPLES_PER_BLOCK, (long long)before, (long long)before);
}

static void show(const char *path, char *out, size_t size)
{
    text_copy(out, size, path);
}

const struct database sqlite_database = {
    .name = "SQLite",
    .show = show,
    .write_open = write_open,
    .commit = commit,
    .tidy = tidy,
    .write_close = write_close,
    .run = run_all,
    .number = number,
    .span_sql = span_sql,
    .drop_samples_sql = drop_samples_sql,
    .oldest_sample_sql = "SELECT min(first_at) FROM samples_blocks",
    .backup = sqlite_backup,
    .read_open = sqlite_read_open,
    .read_close = sqlite_read_close,
    .ask = sqlite_ask,
    .step = sqlite_step,
    .finish = sqlite_finish,
    .problem = sqlite_problem,
    .samples_sql = sqlite_samples_sql,
};
