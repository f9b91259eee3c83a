/* The one connection that writes to PostgreSQL: who may write, and what becomes of a batch whose connection
 * broke.
 *
 * A lost connection loses nothing: the batch is still here, so it is tried again on a new one, until patience
 * ends. If it was lost between COMMIT and its answer, homeostat_session tells how that ended: the batch's
 * fence (postgres_batch.h) wrote its number in the same transaction. Taking the session over waits for a
 * transaction of the old connection that is still open (both want that row), and whatever the old connection
 * has not begun by then is refused (it names the old session). */
#include "store/postgres.h"

#include "base/clock.h"
#include "base/secret.h"
#include "store/postgres_batch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const duration again_ns = 200 * MILLISECOND; /* between two connections */

/* "home" and the name of the schema, as in postgres_migrate.c, but another key. */
#define STORE_LOCK "SELECT pg_try_advisory_lock(1752132966, hashtext(current_schema()))::int"

struct writing {
    struct postgres postgres;
    struct postgres_patience patience;
    char session[SECRET_SIZE];      /* ours; "": none yet */
    char next_session[SECRET_SIZE]; /* ours, perhaps: asked for, and not answered; "": none */
    char old_session[SECRET_SIZE];  /* in which `batch` may have been committed; "": it was not */
    bool failed;    /* a commit, since this session began: whoever goes on has thrown away what he knew */
    int backend;    /* the server's process for this session, and for the one before; 0: none */
    uint64_t batch; /* the number of the newest one; it rises for as long as this writer is open */
    struct batch tried;
};

/* --- sessions ------------------------------------------------------------------------------------------- */

int postgres_holder(struct postgres *postgres, char *holder, size_t size, char *error, size_t error_size)
{
    static const char sql[] =
        "SELECT pid, format('%s%s, backend %s, since %s', application_name, ' at ' || client_addr, pid, "
        "to_char(backend_start, 'YYYY-MM-DD HH24:MI:SS')) FROM pg_locks JOIN pg_stat_activity USING (pid) "
        "WHERE "
        "locktype = 'advisory' AND granted AND classid = 1752132966 AND objid = "
        "hashtext(current_schema())::bigint "
        "& 4294967295 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    PGresult *result = NULL;
    int code = postgres_run(postgres, sql, &result, error, error_size);
    holder[0] = '\0';
    if (code == 0 && libpq.ntuples(result) > 0) {
        code = (int)postgres_number(result);
        text_copy(holder, size, libpq.getvalue(result, 0, 1));
        text_tame(holder);
    }
    libpq.clear(result);
    return code;
}

static int refuse_second(struct writing *writing, char *error, size_t error_size)
{
    char owner[256], ignored[256];
    int backend = postgres_holder(&writing->postgres, owner, sizeof owner, ignored, sizeof ignored);
    if (backend <= 0)
        text_copy(owner, sizeof owner, "unknown");
    if (backend > 0 && backend == writing->backend)
        snprintf(error, error_size,
                 "%s: the server's process of our last connection (%s) does not end: it hangs, or its disk "
                 "does; look "
                 "at the server",
                 writing->postgres.shown, owner);
    else
        snprintf(error, error_size,
                 "another control plane (%s) has %s: stop it first, or name another database", owner,
                 writing->postgres.shown);
    return -EWOULDBLOCK;
}

/* Our own old backend may still be busy with what we have given up: it is ended, which it does whole or not
 * at all. */
static void end_old_backend(struct writing *writing)
{
    char sql[256], ignored[256];
    if (!writing->backend || writing->backend == libpq.backendPID(writing->postgres.connection))
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
    for (int64_t by_ns = monotonic_ns() + writing->patience.takeover;;) {
        PGresult *result = NULL;
        int code = postgres_run(&writing->postgres, STORE_LOCK, &result, error, error_size);
        bool taken = code == 0 && postgres_number(result) != 0;
        libpq.clear(result);
        if (code < 0 || taken)
            return code;
        if (monotonic_ns() > by_ns)
            return refuse_second(writing, error, error_size);
        nanosleep(&(struct timespec){.tv_nsec = 50 * MILLISECOND}, NULL);
    }
}

/* From here on transactions of older sessions are refused. *committed: the batch in doubt is in the database.
 * Nobody else may have written since our last session, unless what we knew has been thrown away (`failed`).
 * The new session is drawn once: an answer that was lost may have been this one's. */
static int take_session(struct writing *writing, bool *committed, char *error, size_t error_size)
{
    char sql[512];
    PGresult *result = NULL;
    if (!writing->next_session[0] && !secret_draw(writing->next_session)) {
        snprintf(error, error_size, "the system has no random numbers: %s", strerror(errno));
        return -errno;
    }
    snprintf(
        sql, sizeof sql,
        "UPDATE homeostat_session SET session = '%s' WHERE id = 1 AND (%d = 1 OR session IN ('%s', '%s')) "
        "RETURNING (last_session = '%s' AND last_batch = %llu)::int",
        writing->next_session, writing->failed, writing->session, writing->next_session, writing->old_session,
        (unsigned long long)writing->batch);
    int code = postgres_run(&writing->postgres, sql, &result, error, error_size);
    if (code == 0 && libpq.ntuples(result) != 1) {
        snprintf(error, error_size,
                 "%s: another control plane has taken over the store meanwhile, or homeostat_session has "
                 "lost its row",
                 writing->postgres.shown);
        code = -ESTALE;
    }
    *committed = code == 0 && writing->old_session[0] && postgres_number(result) == 1;
    libpq.clear(result);
    if (code == 0) {
        memcpy(writing->session, writing->next_session, sizeof writing->session);
        writing->next_session[0] = '\0';
        writing->failed = false;
        writing->backend = libpq.backendPID(writing->postgres.connection);
    }
    return code;
}

/* *committed counts even if this fails afterwards. */
static int begin_session(struct writing *writing, bool *committed, char *error, size_t error_size)
{
    *committed = false;
    int code = postgres_connect(&writing->postgres, error, error_size);
    if (code == 0)
        code = take_lock(writing, error, error_size);
    if (code == 0)
        code = take_session(writing, committed, error, error_size);
    if (code == 0)
        code = batch_prepare(&writing->tried, error, error_size);
    if (code < 0)
        postgres_disconnect(&writing->postgres);
    return code;
}

/* --- a commit ------------------------------------------------------------------------------------------- */

static bool try_until_settled(struct writing *writing, const struct rows *rows, char *error,
                              size_t error_size)
{
    int64_t began_ns = monotonic_ns(), by_ns = began_ns + writing->patience.batch;
    for (;;) {
        bool committed = false;
        int code = 0;
        if (!postgres_is_open(&writing->postgres))
            code = begin_session(writing, &committed, error, error_size);
        if (committed)
            return true;
        if (code == -ESTALE)
            return false;
        enum ending ending = BATCH_LOST;
        if (code == 0)
            ending = batch_try(&writing->tried, writing->session, writing->batch, rows, error, error_size);
        if (ending != BATCH_LOST)
            return ending == BATCH_COMMITTED;
        if (code == 0) {
            memcpy(writing->old_session, writing->session, sizeof writing->session);
            postgres_failure(&writing->postgres, NULL, error, error_size);
            by_ns = monotonic_ns() +
                    writing->patience.batch; /* however long that took: how it ended is looked up */
        }
        if (monotonic_ns() > by_ns || monotonic_ns() - began_ns > writing->patience.whole)
            return false;
        if (code < 0)
            nanosleep(&(struct timespec){.tv_nsec = again_ns}, NULL);
    }
}

static bool commit(void *context, const struct rows *rows, char *error, size_t error_size)
{
    struct writing *writing = context;
    writing->batch++;
    writing->old_session[0] = '\0';
    bool done = try_until_settled(writing, rows, error, error_size);
    writing->failed |= !done;
    return done;
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

/* --- the history's statements --------------------------------------------------------------------------- */

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
    if (code == 0 && libpq.ntuples(result) > 0 && !libpq.getisnull(result, 0, 0))
        *out = postgres_number(result);
    libpq.clear(result);
    return code;
}

/* --- opening and closing -------------------------------------------------------------------------------- */

static void write_close(void **out)
{
    struct writing *writing = *out;
    postgres_fini(&writing->postgres);
    batch_free(&writing->tried);
    free(writing);
    *out = NULL;
}

int postgres_write_open(void **out, const char *address, const struct postgres_patience *patience,
                        char *error, size_t error_size)
{
    struct writing *writing = calloc(1, sizeof *writing);
    *out = writing;
    if (!writing) {
        snprintf(error, error_size, "out of memory");
        return -ENOMEM;
    }
    bool committed;
    int64_t evidence_through = 0;
    writing->patience = *patience;
    writing->tried.postgres = &writing->postgres;
    writing->failed = true; /* nothing is known yet that could have been overtaken */
    int code = postgres_init(&writing->postgres, address, patience->answer, error, error_size);
    if (code == 0)
        code = postgres_connect(&writing->postgres, error, error_size);
    if (code == 0) /* a schema that somebody else works with is left as it is */
        code = take_lock(writing, error, error_size);
    if (code == 0)
        code = postgres_migrate(&writing->postgres, error, error_size);
    if (code == 0)
        code = begin_session(writing, &committed, error, error_size);
    if (code == 0)
        code = number(writing, EVIDENCE_THROUGH_SQL, &evidence_through, error, error_size);
    writing->tried.evidence_through = (uint64_t)evidence_through;
    if (code < 0)
        write_close(out);
    return code;
}

static int write_open(void **out, const char *address, char *error, size_t error_size)
{
    static const struct postgres_patience patience = {
        .answer = 10 * SECOND, .batch = 5 * SECOND, .whole = 60 * SECOND, .takeover = 3 * SECOND};
    return postgres_write_open(out, address, &patience, error, error_size);
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
