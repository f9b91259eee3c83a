/* The one connection that writes to PostgreSQL.
 *
 * A batch is one transaction: BEGIN, homeostat_batch(), the statements, all sent at once (a pipeline); then
 * the samples by COPY; then COMMIT. A batch without samples is one round trip.
 *
 * A lost connection loses nothing: the batch is still here, so it is tried again on a new one, until patience
 * ends. If it was lost between COMMIT and its answer, homeostat_session tells how that ended:
 * homeostat_batch() wrote the batch's number in the same transaction. Taking the session over waits for a
 * transaction of the old connection that is still open (both want that row), and whatever the old connection
 * has not begun by then is refused (it names the old session). */
#include "store/postgres.h"

#include "base/check.h"
#include "base/clock.h"
#include "store/insert.h"
#include "store/postgres_copy.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

enum {
    SESSION_SIZE = 33, /* 128 random bits in hex */
    PARAMETER_SIZE = 8
};

static const duration answer_patience_ns = 10 * SECOND; /* of one transaction */
static const duration again_ns = 200 * MILLISECOND;     /* between two connections */
/* Beyond this the control plane is told that the store fails. It then asks again each second. */
static const duration batch_patience_ns = 5 * SECOND;
static const duration whole_patience_ns =
    60 * SECOND; /* of a batch whose connections break again and again */
static const duration takeover_patience_ns = 3 * SECOND; /* for a killed predecessor's backend to notice */

/* "home" and the name of the schema, as in postgres_migrate.c, but another key. */
#define STORE_LOCK "SELECT pg_try_advisory_lock(1752132966, hashtext(current_schema()))::int"

struct writing {
    struct postgres postgres;
    char session[SESSION_SIZE];
    char old_session[SESSION_SIZE]; /* in which `batch` may have been committed; "": it was not */
    int backend;    /* the server's process for this session, and for the one before; 0: none */
    uint64_t batch; /* the number of the newest one, from 1 in each session */
    unsigned counts[INSERT_COUNT];
    enum value_type types[INSERT_COUNT][VALUES_MAX];
    struct copy copy;
};

enum ending { COMMITTED, REFUSED, LOST };

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

static int prepare(struct writing *writing, const char *name, const char *sql, unsigned count,
                   const Oid *oids, char *error, size_t error_size)
{
    struct postgres *postgres = &writing->postgres;
    bool lost = !PQsendPrepare(postgres->connection, name, sql, (int)count, oids);
    int code = 0;
    PGresult *result;
    postgres_begin(postgres);
    while (!lost && (result = postgres_result(postgres, &lost))) {
        if (PQresultStatus(result) != PGRES_COMMAND_OK && code == 0)
            code = postgres_failure(postgres, result, error, error_size);
        PQclear(result);
    }
    return lost ? postgres_failure(postgres, NULL, error, error_size) : code;
}

static int prepare_insert(struct writing *writing, int insert, char *error, size_t error_size)
{
    char bytes[INSERT_SQL_SIZE], name[16];
    struct text sql = text_over(bytes, sizeof bytes);
    Oid oids[VALUES_MAX];
    unsigned count = insert_sql((enum insert)insert, &sql, writing->types[insert]);
    writing->counts[insert] = count;
    for (unsigned i = 0; i < count; i++)
        oids[i] = type_of(writing->types[insert][i]);
    name_insert(name, insert);
    return prepare(writing, name, bytes, count, oids, error, error_size);
}

static int prepare_all(struct writing *writing, char *error, size_t error_size)
{
    const Oid oids[] = {type_of(VALUE_TEXT), type_of(VALUE_INTEGER)};
    int code = prepare(writing, "batch", "SELECT homeostat_batch($1, $2)", 2, oids, error, error_size);
    for (int insert = 0; insert < INSERT_COUNT && code == 0; insert++)
        code = prepare_insert(writing, insert, error, error_size);
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
        parameters->lengths[i] = PARAMETER_SIZE;
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
    struct writing *writing = context;
    struct parameters parameters;
    char name[16];
    for (unsigned i = 0; i < count; i++)
        CHECK(ends_well(&values[i]));
    CHECK(count == writing->counts[insert]);
    fill(&parameters, values, count);
    name_insert(name, (int)insert);
    return PQsendQueryPrepared(writing->postgres.connection, name, (int)count, parameters.values,
                               parameters.lengths, parameters.formats, 0)
               ? 0
               : -1;
}

static int run_samples(void *context, const struct samples_head *head, const double *values)
{
    return copy_add(&((struct writing *)context)->copy, head, values) ? 0 : -1;
}

/* --- one try of a batch --------------------------------------------------------------------------------- */

static bool send(struct writing *writing, const char *sql)
{
    return PQsendQueryParams(writing->postgres.connection, sql, 0, NULL, NULL, NULL, NULL, 0);
}

static bool send_batch_number(struct writing *writing)
{
    struct value values[] = {value_text(writing->session, strlen(writing->session)),
                             value_integer((int64_t)writing->batch)};
    struct parameters parameters;
    fill(&parameters, values, COUNT_OF(values));
    return PQsendQueryPrepared(writing->postgres.connection, "batch", 2, parameters.values,
                               parameters.lengths, parameters.formats, 0);
}

/* Reads until the pipeline's end. The first error counts: what follows it was only not tried. */
static enum ending read_pipeline(struct writing *writing, char *error, size_t error_size)
{
    enum ending ending = COMMITTED;
    for (;;) {
        bool lost = false;
        PGresult *result = postgres_result(&writing->postgres, &lost);
        if (lost)
            return LOST;
        ExecStatusType status = result ? PQresultStatus(result) : PGRES_COMMAND_OK;
        if ((status == PGRES_FATAL_ERROR || status == PGRES_BAD_RESPONSE) && ending == COMMITTED) {
            postgres_failure(&writing->postgres, result, error, error_size);
            ending = REFUSED;
        }
        PQclear(result);
        if (status == PGRES_PIPELINE_SYNC)
            return ending;
    }
}

/* Results of a command outside the pipeline, up to the last. `wanted` is what each should be. */
static enum ending read_all(struct writing *writing, ExecStatusType wanted, char *error, size_t error_size)
{
    enum ending ending = COMMITTED;
    bool lost = false;
    PGresult *result;
    while ((result = postgres_result(&writing->postgres, &lost))) {
        ExecStatusType status = PQresultStatus(result);
        if (status != wanted && ending == COMMITTED) {
            postgres_failure(&writing->postgres, result, error, error_size);
            ending = REFUSED;
        }
        PQclear(result);
        if (status == PGRES_COPY_IN)
            return ending; /* there will be no end before the data */
    }
    return lost ? LOST : ending;
}

static bool put_copy(struct writing *writing)
{
    const char *bytes = (const char *)writing->copy.bytes;
    size_t left = writing->copy.used;
    while (left > 0) {
        int piece = left > 256 << 10 ? 256 << 10 : (int)left;
        if (PQputCopyData(writing->postgres.connection, bytes, piece) != 1 ||
            !postgres_flush(&writing->postgres))
            return false;
        bytes += piece;
        left -= (size_t)piece;
    }
    return PQputCopyEnd(writing->postgres.connection, NULL) == 1;
}

static enum ending copy_samples(struct writing *writing, char *error, size_t error_size)
{
    char bytes[2048];
    struct text sql = text_over(bytes, sizeof bytes);
    copy_sql(&sql);
    if (!copy_end(&writing->copy)) {
        snprintf(error, error_size, "out of memory");
        return REFUSED;
    }
    if (!PQsendQuery(writing->postgres.connection, bytes))
        return LOST;
    enum ending ending = read_all(writing, PGRES_COPY_IN, error, error_size);
    if (ending != COMMITTED)
        return ending;
    return put_copy(writing) ? read_all(writing, PGRES_COMMAND_OK, error, error_size) : LOST;
}

/* COMMIT of a transaction that had failed answers ROLLBACK, and calls it good. */
static enum ending end_transaction(struct writing *writing, char *error, size_t error_size)
{
    bool lost = false;
    if (!PQsendQuery(writing->postgres.connection, "COMMIT"))
        return LOST;
    PGresult *result = postgres_result(&writing->postgres, &lost);
    if (lost)
        return LOST;
    enum ending ending = REFUSED;
    if (strcmp(PQcmdStatus(result), "COMMIT") == 0)
        ending = COMMITTED;
    else
        postgres_failure(&writing->postgres, result, error, error_size);
    PQclear(result);
    return read_all(writing, PGRES_COMMAND_OK, error, error_size) == LOST ? LOST : ending;
}

/* All statements at once. Without samples COMMIT goes along: if a statement failed, it rolls back. */
static enum ending send_statements(struct writing *writing, const struct rows *rows, char *error,
                                   size_t error_size)
{
    PGconn *connection = writing->postgres.connection;
    const struct inserter inserter = {run_insert, run_samples, writing};
    copy_clear(&writing->copy);
    if (!PQenterPipelineMode(connection))
        return LOST;
    bool sent = send(writing, "BEGIN") && send_batch_number(writing) && insert_rows(&inserter, rows) == 0;
    if (sent && writing->copy.used == 0)
        sent = send(writing, "COMMIT");
    if (!sent || !PQpipelineSync(connection))
        return LOST;
    enum ending ending = read_pipeline(writing, error, error_size);
    if (ending != LOST && !PQexitPipelineMode(connection))
        return LOST;
    return ending;
}

static void roll_back(struct writing *writing)
{
    char ignored[256];
    if (postgres_is_open(&writing->postgres) &&
        PQtransactionStatus(writing->postgres.connection) != PQTRANS_IDLE)
        postgres_run(&writing->postgres, "ROLLBACK", NULL, ignored, sizeof ignored);
}

static enum ending try_batch(struct writing *writing, const struct rows *rows, char *error, size_t error_size)
{
    postgres_begin(&writing->postgres);
    enum ending ending = send_statements(writing, rows, error, error_size);
    if (ending == COMMITTED && writing->copy.used > 0) {
        ending = copy_samples(writing, error, error_size);
        if (ending == COMMITTED)
            ending = end_transaction(writing, error, error_size);
    }
    if (ending == LOST)
        postgres_disconnect(&writing->postgres);
    if (ending == REFUSED)
        roll_back(writing);
    return ending;
}

/* --- sessions ------------------------------------------------------------------------------------------- */

static bool draw_session(char *session)
{
    unsigned char random[SESSION_SIZE / 2];
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return false;
    for (size_t i = 0; i < sizeof random; i++)
        snprintf(session + 2 * i, 3, "%02x", random[i]);
    return true;
}

/* Who has the lock, in words. */
static int refuse_second(struct writing *writing, char *error, size_t error_size)
{
    static const char sql[] =
        "SELECT coalesce(min(format('%s%s, backend %s, since %s', application_name, ' at ' || client_addr, "
        "pg_stat_activity.pid, to_char(backend_start, 'YYYY-MM-DD HH24:MI:SS'))), 'unknown') "
        "FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE locktype = 'advisory' AND granted AND "
        "classid = 1752132966 AND database = (SELECT oid FROM pg_database WHERE datname = "
        "current_database())";
    PGresult *result = NULL;
    char ignored[256], owner[256] = "unknown";
    if (postgres_run(&writing->postgres, sql, &result, ignored, sizeof ignored) == 0)
        text_copy(owner, sizeof owner, PQgetvalue(result, 0, 0));
    PQclear(result);
    text_tame(owner);
    snprintf(error, error_size, "another control plane (%s) has %s: stop it first, or name another database",
             owner, writing->postgres.shown);
    return -EWOULDBLOCK;
}

/* Our own old backend may still be busy with what we have given up: it is ended, which it does whole or not
 * at all. */
static void end_old_backend(struct writing *writing)
{
    char sql[256], ignored[256];
    if (!writing->backend || writing->backend == PQbackendPID(writing->postgres.connection))
        return;
    snprintf(sql, sizeof sql,
             "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted AND "
             "classid = "
             "1752132966 AND pid = %d",
             writing->backend);
    postgres_run(&writing->postgres, sql, NULL, ignored, sizeof ignored);
}

/* One connection's lock, which ends with it. A predecessor that was killed has it until its server notices.
 */
static int take_lock(struct writing *writing, char *error, size_t error_size)
{
    end_old_backend(writing);
    for (int64_t by_ns = monotonic_ns() + takeover_patience_ns;;) {
        PGresult *result = NULL;
        int code = postgres_run(&writing->postgres, STORE_LOCK, &result, error, error_size);
        bool taken = code == 0 && postgres_number(result) != 0;
        PQclear(result);
        if (code < 0 || taken)
            return code;
        if (monotonic_ns() > by_ns)
            return refuse_second(writing, error, error_size);
        nanosleep(&(struct timespec){.tv_nsec = 50 * MILLISECOND}, NULL);
    }
}

/* From here on transactions of older sessions are refused. *committed: the batch in doubt is in the database.
 */
static int take_session(struct writing *writing, bool *committed, char *error, size_t error_size)
{
    char sql[512], session[SESSION_SIZE];
    PGresult *result = NULL;
    if (!draw_session(session)) {
        snprintf(error, error_size, "the system has no random numbers");
        return -errno;
    }
    snprintf(sql, sizeof sql,
             "UPDATE homeostat_session SET session = '%s' WHERE id = 1 RETURNING (last_session = '%s' AND "
             "last_batch = %llu)::int",
             session, writing->old_session, (unsigned long long)writing->batch);
    int code = postgres_run(&writing->postgres, sql, &result, error, error_size);
    if (code == 0 && PQntuples(result) != 1) {
        snprintf(error, error_size, "%s: homeostat_session has lost its row", writing->postgres.shown);
        code = -EBADMSG;
    }
    *committed = code == 0 && writing->old_session[0] && postgres_number(result) == 1;
    PQclear(result);
    if (code == 0) {
        memcpy(writing->session, session, sizeof session);
        writing->backend = PQbackendPID(writing->postgres.connection);
    }
    return code;
}

static int begin_session(struct writing *writing, bool *committed, char *error, size_t error_size)
{
    *committed = false;
    int code = postgres_connect(&writing->postgres, error, error_size);
    if (code == 0)
        code = take_lock(writing, error, error_size);
    if (code == 0)
        code = take_session(writing, committed, error, error_size);
    if (code == 0)
        code = prepare_all(writing, error, error_size);
    if (code < 0)
        postgres_disconnect(&writing->postgres);
    return code;
}

/* --- a commit ------------------------------------------------------------------------------------------- */

static bool commit(void *context, const struct rows *rows, char *error, size_t error_size)
{
    struct writing *writing = context;
    writing->batch++;
    writing->old_session[0] = '\0';
    int64_t began_ns = monotonic_ns(), by_ns = began_ns + batch_patience_ns;
    for (;;) {
        bool committed = false;
        int code = 0;
        if (!postgres_is_open(&writing->postgres))
            code = begin_session(writing, &committed, error, error_size);
        if (committed)
            return true;
        enum ending ending = code == 0 ? try_batch(writing, rows, error, error_size) : LOST;
        if (ending != LOST)
            return ending == COMMITTED;
        if (code == 0) {
            memcpy(writing->old_session, writing->session, sizeof writing->session);
            postgres_failure(&writing->postgres, NULL, error, error_size);
            by_ns =
                monotonic_ns() + batch_patience_ns; /* however long that took: how it ended is looked up */
        }
        if (monotonic_ns() > by_ns || monotonic_ns() - began_ns > whole_patience_ns)
            return false;
        if (code < 0)
            nanosleep(&(struct timespec){.tv_nsec = again_ns}, NULL);
    }
}

static bool reach(void *context)
{
    struct writing *writing = context;
    char ignored[512];
    bool committed; /* of a batch that has been given up */
    if (postgres_is_open(&writing->postgres) &&
        postgres_run(&writing->postgres, "SELECT 1", NULL, ignored, sizeof ignored) == 0)
        return true;
    postgres_disconnect(&writing->postgres);
    return begin_session(writing, &committed, ignored, sizeof ignored) == 0;
}

static void tidy(void *context)
{
    (void)context; /* the server's own business */
}

/* --- opening and closing -------------------------------------------------------------------------------- */

static void write_close(void **out)
{
    struct writing *writing = *out;
    postgres_fini(&writing->postgres);
    copy_free(&writing->copy);
    free(writing);
    *out = NULL;
}

static int write_open(void **out, const char *address, char *error, size_t error_size)
{
    struct writing *writing = calloc(1, sizeof *writing);
    *out = writing;
    if (!writing) {
        snprintf(error, error_size, "out of memory");
        return -ENOMEM;
    }
    bool committed;
    int code = postgres_init(&writing->postgres, address, answer_patience_ns, error, error_size);
    if (code == 0)
        code = postgres_connect(&writing->postgres, error, error_size);
    if (code == 0)
        code = take_lock(writing, error,
                         error_size); /* a schema that somebody else works with is left as it is */
    if (code == 0)
        code = postgres_migrate(&writing->postgres, error, error_size);
    if (code == 0)
        code = begin_session(writing, &committed, error, error_size);
    if (code < 0)
        write_close(out);
    return code;
}

/* Statements that are sent together are one transaction. */
static int run_all(void *context, const char *sql, char *error, size_t error_size)
{
    return postgres_run(&((struct writing *)context)->postgres, sql, NULL, error, error_size);
}

static int number(void *context, const char *sql, int64_t *out, char *error, size_t error_size)
{
    PGresult *result = NULL;
    int code = postgres_run(&((struct writing *)context)->postgres, sql, &result, error, error_size);
    *out = INSTANT_NONE;
    if (code == 0 && PQntuples(result) > 0 && !PQgetisnull(result, 0, 0))
        *out = postgres_number(result);
    PQclear(result);
    return code;
}

static void span_sql(struct text *sql, instant from, instant to)
{
    text_addf(sql, "samples WHERE at BETWEEN %lld AND %lld", (long long)from, (long long)to);
}

static void drop_samples_sql(struct text *sql, instant before)
{
    text_addf(sql, "DELETE FROM samples WHERE at < %lld; ", (long long)before);
}

const struct database postgres_database = {
    .name = "PostgreSQL",
    .is_server = true,
    .show = postgres_show,
    .make_room = postgres_make_room,
    .write_open = write_open,
    .commit = commit,
    .reach = reach,
    .tidy = tidy,
    .write_close = write_close,
    .run = run_all,
    .number = number,
    .span_sql = span_sql,
    .drop_samples_sql = drop_samples_sql,
    .oldest_sample_sql = "SELECT min(at) FROM samples",
    .read_open = postgres_read_open,
    .read_close = postgres_read_close,
    .ask = postgres_ask,
    .step = postgres_step,
    .finish = postgres_finish,
    .problem = postgres_problem,
    .is_lost = postgres_is_lost,
    .hurry = postgres_hurry,
    .samples_sql = postgres_samples_sql,
};
