#include "store/postgres_batch.h"

#include "base/check.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* --- statements ----------------------------------------------------------------------------------------- */

static Oid type_of(enum value_type type)
{
    enum { INT8 = 20, TEXT = 25, FLOAT8 = 701 }; /* PostgreSQL's pg_type.dat: they never change */
    return type == VALUE_INTEGER ? INT8 : type == VALUE_REAL ? FLOAT8 : TEXT;
}

static void name_insert(char name[16], int insert)
{
    snprintf(name, 16, "insert_%d", insert);
}

static int prepare(struct batch *batch, const char *name, const char *sql, unsigned count, const Oid *oids,
                   char *error, size_t error_size)
{
    struct postgres *postgres = batch->postgres;
    bool lost = !libpq.sendPrepare(postgres->connection, name, sql, (int)count, oids);
    int code = 0;
    PGresult *result;
    postgres_begin(postgres);
    while (!lost && (result = postgres_result(postgres, &lost))) {
        if (libpq.resultStatus(result) != PGRES_COMMAND_OK && code == 0)
            code = postgres_failure(postgres, result, error, error_size);
        libpq.clear(result);
    }
    return lost ? postgres_failure(postgres, NULL, error, error_size) : code;
}

static int prepare_insert(struct batch *batch, int insert, char *error, size_t error_size)
{
    char bytes[INSERT_SQL_SIZE], name[16];
    struct text sql = text_over(bytes, sizeof bytes);
    Oid oids[VALUES_MAX];
    unsigned count = insert_sql((enum insert)insert, &sql, batch->types[insert]);
    batch->counts[insert] = count;
    for (unsigned i = 0; i < count; i++)
        oids[i] = type_of(batch->types[insert][i]);
    name_insert(name, insert);
    return prepare(batch, name, bytes, count, oids, error, error_size);
}

/* Takes the batch's number. If the row names another session, last_session becomes NULL, which it may not be:
 * the transaction fails, by the cheapest of all ways to fail. */
#define FENCE_SQL                                                                                            \
    "UPDATE homeostat_session SET last_session = CASE session WHEN $1 THEN $1 END, last_batch = $2 WHERE "   \
    "id = 1"
static const char fence_column[] = "last_session";

int batch_prepare(struct batch *batch, char *error, size_t error_size)
{
    const Oid oids[] = {type_of(VALUE_TEXT), type_of(VALUE_INTEGER)};
    int code = prepare(batch, "begin", "BEGIN", 0, NULL, error, error_size);
    if (code == 0)
        code = prepare(batch, "commit", "COMMIT", 0, NULL, error, error_size);
    if (code == 0)
        code = prepare(batch, "fence", FENCE_SQL, COUNT_OF(oids), oids, error, error_size);
    for (int insert = 0; insert < INSERT_COUNT && code == 0; insert++)
        code = prepare_insert(batch, insert, error, error_size);
    return code;
}

/* Big-endian, as the binary format of parameters is. Text is sent as it is. */
struct parameters {
    const char *values[VALUES_MAX];
    int lengths[VALUES_MAX], formats[VALUES_MAX];
    uint64_t bits[VALUES_MAX];
};

static void fill(struct parameters *parameters, const struct value *values, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        const struct value *value = &values[i];
        parameters->formats[i] = value->type != VALUE_TEXT;
        parameters->lengths[i] = sizeof parameters->bits[i];
        parameters->values[i] = (const char *)&parameters->bits[i];
        if (value->type == VALUE_INTEGER)
            parameters->bits[i] = htobe64((uint64_t)value->integer);
        else if (value->type == VALUE_NULL)
            parameters->values[i] = NULL;
        else if (value->type == VALUE_TEXT)
            parameters->values[i] = value->text;
        else {
            double real = value->real + 0.0; /* -0 becomes 0, as in SQLite */
            memcpy(&parameters->bits[i], &real, sizeof real);
            parameters->bits[i] = htobe64(parameters->bits[i]);
        }
    }
}

/* A text may be followed by more in its member: libpq wants a NUL where it ends. */
static bool ends_well(const struct value *value)
{
    return value->type != VALUE_TEXT || value->text[value->length] == '\0';
}

static int run_insert(void *context, enum insert insert, const struct value *values, unsigned count)
{
    struct batch *batch = context;
    struct parameters parameters;
    char name[16];
    for (unsigned i = 0; i < count; i++)
        CHECK(ends_well(&values[i]));
    CHECK(count == batch->counts[insert]);
    fill(&parameters, values, count);
    name_insert(name, (int)insert);
    return libpq.sendQueryPrepared(batch->postgres->connection, name, (int)count, parameters.values,
                                   parameters.lengths, parameters.formats, 0)
               ? 0
               : -1;
}

static int run_samples(void *context, const struct samples_head *head, const double *values)
{
    return copy_add(&((struct batch *)context)->copy, head, values) ? 0 : -1;
}

/* --- one try of a batch --------------------------------------------------------------------------------- */

static bool send_word(struct batch *batch, const char *name)
{
    return libpq.sendQueryPrepared(batch->postgres->connection, name, 0, NULL, NULL, NULL, 0);
}

static bool send_fence(struct batch *batch, const char *session, uint64_t number)
{
    struct value values[] = {value_text(session, strlen(session)), value_integer((int64_t)number)};
    struct parameters parameters;
    fill(&parameters, values, COUNT_OF(values));
    return libpq.sendQueryPrepared(batch->postgres->connection, "fence", COUNT_OF(values), parameters.values,
                                   parameters.lengths, parameters.formats, 0);
}

static void say_why(const struct batch *batch, const PGresult *result, char *error, size_t error_size)
{
    const char *column = libpq.resultErrorField(result, PG_DIAG_COLUMN_NAME);
    if (strcmp(libpq.cmdStatus((PGresult *)result), "UPDATE 0") == 0)
        snprintf(error, error_size,
                 "%s: homeostat_session has lost its row: put a copy of the database in its place",
                 batch->postgres->shown);
    else if (column && strcmp(column, fence_column) == 0)
        snprintf(
            error, error_size,
            "%s: another control plane has taken over the store: two may not share one, stop one of them",
            batch->postgres->shown);
    else
        postgres_failure(batch->postgres, result, error, error_size);
}

/* Only the fence updates, and it finds its row. Without one nobody can take the store over, so that it is
 * told when COMMIT has been done does no harm. */
static bool is_good(PGresult *result)
{
    ExecStatusType status = libpq.resultStatus(result);
    return status != PGRES_FATAL_ERROR && status != PGRES_BAD_RESPONSE &&
           strcmp(libpq.cmdStatus(result), "UPDATE 0") != 0;
}

/* Reads until the pipeline's end. The first error counts: what follows it was only not tried. */
static enum ending read_pipeline(struct batch *batch, char *error, size_t error_size)
{
    enum ending ending = BATCH_COMMITTED;
    for (;;) {
        bool lost = false;
        PGresult *result = postgres_result(batch->postgres, &lost);
        if (lost)
            return BATCH_LOST;
        ExecStatusType status = result ? libpq.resultStatus(result) : PGRES_COMMAND_OK;
        if (result && !is_good(result) && ending == BATCH_COMMITTED) {
            say_why(batch, result, error, error_size);
            ending = BATCH_REFUSED;
        }
        libpq.clear(result);
        if (status == PGRES_PIPELINE_SYNC)
            return ending;
    }
}

/* Results of a command outside the pipeline, up to the last. `wanted` is what each should be. */
static enum ending read_all(struct batch *batch, ExecStatusType wanted, char *error, size_t error_size)
{
    enum ending ending = BATCH_COMMITTED;
    bool lost = false;
    PGresult *result;
    while ((result = postgres_result(batch->postgres, &lost))) {
        ExecStatusType status = libpq.resultStatus(result);
        if (status != wanted && ending == BATCH_COMMITTED) {
            postgres_failure(batch->postgres, result, error, error_size);
            ending = BATCH_REFUSED;
        }
        libpq.clear(result);
        if (status == PGRES_COPY_IN)
            return ending; /* there will be no end before the data */
    }
    return lost ? BATCH_LOST : ending;
}

static bool put_copy(struct batch *batch)
{
    const char *bytes = (const char *)batch->copy.bytes;
    size_t left = batch->copy.used;
    while (left > 0) {
        int piece = left > 256 << 10 ? 256 << 10 : (int)left;
        if (libpq.putCopyData(batch->postgres->connection, bytes, piece) != 1 ||
            !postgres_flush(batch->postgres))
            return false;
        bytes += piece;
        left -= (size_t)piece;
    }
    return libpq.putCopyEnd(batch->postgres->connection, NULL) == 1;
}

/* COMMIT is in the same message as COPY: it runs when the data has been taken, and not if that failed. */
static enum ending copy_and_commit(struct batch *batch, char *error, size_t error_size)
{
    char bytes[2048];
    struct text sql = text_over(bytes, sizeof bytes);
    copy_sql(&sql);
    text_add(&sql, "; COMMIT");
    CHECK(!sql.cut);
    if (!copy_end(&batch->copy)) {
        snprintf(error, error_size, "out of memory");
        return BATCH_REFUSED;
    }
    if (!libpq.sendQuery(batch->postgres->connection, bytes))
        return BATCH_LOST;
    enum ending ending = read_all(batch, PGRES_COPY_IN, error, error_size);
    if (ending != BATCH_COMMITTED)
        return ending;
    return put_copy(batch) ? read_all(batch, PGRES_COMMAND_OK, error, error_size) : BATCH_LOST;
}

/* All statements at once. Without samples COMMIT goes along: if a statement failed, it rolls back. */
static enum ending send_statements(struct batch *batch, const char *session, uint64_t number,
                                   const struct rows *rows, char *error, size_t error_size)
{
    PGconn *connection = batch->postgres->connection;
    const struct inserter inserter = {run_insert, run_samples, &batch->evidence_through, batch};
    copy_clear(&batch->copy);
    if (!libpq.enterPipelineMode(connection))
        return BATCH_LOST;
    bool sent =
        send_word(batch, "begin") && send_fence(batch, session, number) && insert_rows(&inserter, rows) == 0;
    if (sent && batch->copy.used == 0)
        sent = send_word(batch, "commit");
    if (!sent || !libpq.pipelineSync(connection))
        return BATCH_LOST;
    enum ending ending = read_pipeline(batch, error, error_size);
    if (ending != BATCH_LOST && !libpq.exitPipelineMode(connection))
        return BATCH_LOST;
    return ending;
}

static void roll_back(struct batch *batch)
{
    char ignored[256];
    if (postgres_is_open(batch->postgres) &&
        libpq.transactionStatus(batch->postgres->connection) != PQTRANS_IDLE)
        postgres_run(batch->postgres, "ROLLBACK", NULL, ignored, sizeof ignored);
}

enum ending batch_try(struct batch *batch, const char *session, uint64_t number, const struct rows *rows,
                      char *error, size_t error_size)
{
    postgres_begin(batch->postgres);
    enum ending ending = send_statements(batch, session, number, rows, error, error_size);
    if (ending == BATCH_COMMITTED && batch->copy.used > 0)
        ending = copy_and_commit(batch, error, error_size);
    if (ending == BATCH_LOST)
        postgres_disconnect(batch->postgres);
    if (ending == BATCH_REFUSED)
        roll_back(batch);
    return ending;
}

void batch_free(struct batch *batch)
{
    copy_free(&batch->copy);
}
