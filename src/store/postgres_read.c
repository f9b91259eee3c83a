/* A read-only connection to PostgreSQL. The first open question begins a transaction of one snapshot, the end
 * of the last one ends it; results come whole, in binary. */
#include "store/postgres.h"

#include "base/check.h"
#include "base/clock.h"
#include "store/migrate.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const duration patience_ns = 60 * SECOND;
static const duration hurried_ns = 3 * SECOND; /* the control plane's loop waits for it */
static const duration at_once_ns = 500 * MILLISECOND;

struct reading {
    struct postgres postgres;
    unsigned open; /* questions */
    char problem[1024];
};

struct question {
    struct reading *reading;
    PGresult *result;
    int row;
};

static int check_schema(struct postgres *postgres, char *error, size_t error_size)
{
    int version = postgres_version(postgres, error, error_size);
    if (version < 0 || version == postgres_migrations_count)
        return version < 0 ? version : 0;
    if (version == 0)
        snprintf(error, error_size, "there is no store in %s yet: start the control plane on it once",
                 postgres->shown);
    else
        snprintf(
            error, error_size,
            "%s has schema %d and this homeostat reads schema %d: start the control plane on it once, or "
            "let `homeostat store migrate` bring it up to date",
            postgres->shown, version, postgres_migrations_count);
    return version == 0 ? -ENOENT : -EINVAL;
}

int postgres_read_open(void **out, const char *address, char *error, size_t error_size)
{
    struct reading *reading = calloc(1, sizeof *reading);
    *out = reading;
    if (!reading) {
        snprintf(error, error_size, "out of memory");
        return -ENOMEM;
    }
    int code = postgres_init(&reading->postgres, address, patience_ns, error, error_size);
    if (code == 0)
        code = postgres_connect(&reading->postgres, error, error_size);
    if (code == 0)
        code = check_schema(&reading->postgres, error, error_size);
    if (code < 0)
        postgres_read_close(out);
    return code;
}

void postgres_read_close(void **out)
{
    struct reading *reading = *out;
    if (!reading)
        return;
    postgres_fini(&reading->postgres);
    free(reading);
    *out = NULL;
}

void postgres_hurry(void *reading)
{
    ((struct reading *)reading)->postgres.patience = hurried_ns;
}

const char *postgres_problem(const void *reading)
{
    return ((const struct reading *)reading)->problem;
}

bool postgres_is_lost(const void *reading)
{
    return !postgres_is_open(&((const struct reading *)reading)->postgres);
}

/* BEGIN, if this is the first question, and the question, in one round trip. NULL: `problem` says why. */
static PGresult *ask_once(struct reading *reading, const char *sql)
{
    struct postgres *postgres = &reading->postgres;
    char *problem = reading->problem;
    if (postgres_connect(postgres, problem, sizeof reading->problem) < 0)
        return NULL;
    PGconn *connection = postgres->connection;
    postgres_begin(postgres);
    bool sent = libpq.enterPipelineMode(connection) &&
                (reading->open > 0 ||
                 libpq.sendQueryParams(connection, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", 0, NULL,
                                       NULL, NULL, NULL, 1)) &&
                libpq.sendQueryParams(connection, sql, 0, NULL, NULL, NULL, NULL, 1) &&
                libpq.pipelineSync(connection);
    PGresult *answer = NULL;
    bool lost = !sent, failed = false;
    while (!lost) {
        PGresult *result = postgres_result(postgres, &lost);
        ExecStatusType status = result ? libpq.resultStatus(result) : PGRES_COMMAND_OK;
        if (status == PGRES_FATAL_ERROR && !failed) {
            postgres_failure(postgres, result, problem, sizeof reading->problem);
            failed = true;
        }
        if (status == PGRES_TUPLES_OK)
            answer = result;
        else
            libpq.clear(result);
        if (status == PGRES_PIPELINE_SYNC)
            break;
    }
    if (!lost && libpq.exitPipelineMode(connection))
        return answer;
    postgres_failure(postgres, NULL, problem, sizeof reading->problem);
    postgres_disconnect(postgres);
    libpq.clear(answer);
    return NULL;
}

static void end_snapshot(struct reading *reading)
{
    char ignored[256];
    if (postgres_is_open(&reading->postgres) &&
        libpq.transactionStatus(reading->postgres.connection) != PQTRANS_IDLE)
        postgres_run(&reading->postgres, "ROLLBACK", NULL, ignored, sizeof ignored);
}

void *postgres_ask(void *context, const char *sql)
{
    struct reading *reading = context;
    reading->problem[0] = '\0';
    struct question *question = calloc(1, sizeof *question);
    if (!question) {
        snprintf(reading->problem, sizeof reading->problem, "out of memory");
        return NULL;
    }
    question->reading = reading;
    question->row = -1;
    bool was_open = postgres_is_open(&reading->postgres);
    int64_t began_ns = monotonic_ns();
    question->result = ask_once(reading, sql);
    /* The server may have been started anew since the last question: once more, on a new connection. Not if
     * it had us wait. */
    if (!question->result && was_open && reading->open == 0 && !postgres_is_open(&reading->postgres) &&
        monotonic_ns() - began_ns < at_once_ns)
        question->result = ask_once(reading, sql);
    if (question->result) {
        reading->problem[0] = '\0';
        reading->open++;
        return question;
    }
    if (reading->open == 0)
        end_snapshot(reading);
    free(question);
    return NULL;
}

static struct value value_at(const PGresult *result, int row, int column)
{
    enum { BOOL = 16, INT8 = 20, INT4 = 23, FLOAT8 = 701 }; /* pg_type.dat: they never change */
    const char *bytes = libpq.getvalue(result, row, column);
    uint64_t wide;
    uint32_t half;
    double real;
    if (libpq.getisnull(result, row, column))
        return value_null();
    switch (libpq.ftype(result, column)) {
    case BOOL:
        return value_integer(bytes[0] != 0);
    case INT4:
        memcpy(&half, bytes, sizeof half);
        return value_integer((int32_t)be32toh(half));
    case INT8:
        memcpy(&wide, bytes, sizeof wide);
        return value_integer((int64_t)be64toh(wide));
    case FLOAT8:
        memcpy(&wide, bytes, sizeof wide);
        wide = be64toh(wide);
        memcpy(&real, &wide, sizeof real);
        return value_real(real);
    default:
        break;
    }
    return value_text(bytes, (size_t)libpq.getlength(result, row, column));
}

int postgres_step(void *context, struct value *values, unsigned count)
{
    struct question *question = context;
    if (++question->row >= libpq.ntuples(question->result))
        return 0;
    CHECK(count <= (unsigned)libpq.nfields(question->result));
    for (unsigned i = 0; i < count; i++)
        values[i] = value_at(question->result, question->row, (int)i);
    return 1;
}

void postgres_finish(void *context)
{
    struct question *question = context;
    if (!question)
        return;
    libpq.clear(question->result);
    if (--question->reading->open == 0)
        end_snapshot(question->reading);
    free(question);
}

void postgres_samples_sql(struct text *sql, uint32_t node, instant from, instant to)
{
    text_add(sql, "SELECT at, boot, sequence");
    for (unsigned metric = 0; metric < METRIC_COUNT; metric++)
        text_addf(sql, ", %s", metric_name((enum metric)metric));
    text_addf(sql, " FROM samples WHERE node = %u AND at BETWEEN %lld AND %lld ORDER BY at, sequence", node,
              (long long)from, (long long)to);
}
