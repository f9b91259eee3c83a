#include "store/postgres.h"

#include "base/check.h"
#include "base/clock.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OLDEST_SERVER = 120000 }; /* what is tried; older ones are out of maintenance, too */

/* --- the address ---------------------------------------------------------------------------------------- */

static const char search_path[] = "-csearch_path=";

/* What people may read of it, and use again: never the password. */
static void show_address(const PQconninfoOption *options, char *shown)
{
    const char *user = NULL, *host = NULL, *port = NULL, *name = NULL, *schema = NULL;
    for (; options->keyword; options++) {
        const char *value = options->val && options->val[0] ? options->val : NULL;
        if (strcmp(options->keyword, "user") == 0)
            user = value;
        else if (strcmp(options->keyword, "host") == 0)
            host = value;
        else if (strcmp(options->keyword, "port") == 0)
            port = value;
        else if (strcmp(options->keyword, "dbname") == 0)
            name = value;
        else if (strcmp(options->keyword, "options") == 0 && value &&
                 strncmp(value, search_path, strlen(search_path)) == 0)
            schema = value + strlen(search_path);
    }
    struct text text = text_over(shown, SHOWN_SIZE);
    /* A password with a slash or an at sign that is not percent-encoded ends up in one of these. */
    if ((port && port[strspn(port, "0123456789,")]) || (name && strchr(name, '@')) ||
        (host && strchr(host, '@'))) {
        text_add(&text, "a PostgreSQL database (is the password in its address percent-encoded?)");
        return;
    }
    text_addf(&text, "postgresql://%s%s%s%s%s/%s", user ? user : "", user ? "@" : "", host ? host : "",
              port ? ":" : "", port ? port : "", name ? name : "");
    if (schema)
        text_addf(&text, "?options=-csearch_path%%3D%s", schema);
}

int postgres_init(struct postgres *postgres, const char *address, duration patience, char *error,
                  size_t error_size)
{
    char *problem = NULL;
    const char *missing = libpq_load();
    *postgres = (struct postgres){.patience = patience};
    if (missing) {
        snprintf(error, error_size, "%s", missing);
        return -ENOTSUP;
    }
    PQconninfoOption *options = libpq.conninfoParse(address, &problem);
    if (!options) {
        /* libpq's own sentence quotes from the address, perhaps the password. */
        snprintf(error, error_size,
                 "this is no address of a PostgreSQL database: percent-encode what is special in name and "
                 "password (an "
                 "example: postgresql://homeostat@127.0.0.1/homeostat)");
        libpq.freemem(problem);
        return -EINVAL;
    }
    show_address(options, postgres->shown);
    libpq.conninfoFree(options);
    postgres->address = strdup(address);
    if (postgres->address)
        return 0;
    snprintf(error, error_size, "out of memory");
    return -ENOMEM;
}

void postgres_fini(struct postgres *postgres)
{
    postgres_disconnect(postgres);
    free(postgres->address);
    postgres->address = NULL;
}

/* --- waiting -------------------------------------------------------------------------------------------- */

void postgres_begin(struct postgres *postgres)
{
    postgres->by_ns = monotonic_ns() + postgres->patience;
}

bool postgres_is_open(const struct postgres *postgres)
{
    return postgres->connection && libpq.status(postgres->connection) == CONNECTION_OK;
}

void postgres_disconnect(struct postgres *postgres)
{
    if (postgres->connection)
        libpq.finish(postgres->connection);
    postgres->connection = NULL;
}

/* False when patience has ended. */
static bool wait_for(const struct postgres *postgres, short events)
{
    for (;;) {
        int64_t left_ns = postgres->by_ns - monotonic_ns();
        if (left_ns <= 0)
            return false;
        struct pollfd one = {.fd = libpq.socket(postgres->connection), .events = events};
        int ready = poll(&one, 1, (int)(left_ns / MILLISECOND) + 1);
        if (ready > 0 || (ready < 0 && errno != EINTR))
            return ready > 0;
    }
}

/* The server may want to be rid of its answers before it takes more: what comes is taken in meanwhile. */
bool postgres_flush(struct postgres *postgres)
{
    int left = 1;
    while (postgres_is_open(postgres) && (left = libpq.flush(postgres->connection)) == 1)
        if (!wait_for(postgres, POLLIN | POLLOUT) || !libpq.consumeInput(postgres->connection))
            break;
    if (left == 0)
        return true;
    postgres_disconnect(postgres);
    return false;
}

PGresult *postgres_result(struct postgres *postgres, bool *lost)
{
    *lost = !postgres_flush(postgres);
    while (!*lost && libpq.isBusy(postgres->connection))
        *lost = !wait_for(postgres, POLLIN) || !libpq.consumeInput(postgres->connection);
    PGresult *result = *lost ? NULL : libpq.getResult(postgres->connection);
    if (*lost || libpq.status(postgres->connection) != CONNECTION_OK) {
        *lost = true;
        libpq.clear(result);
        postgres_disconnect(postgres);
        return NULL;
    }
    return result;
}

/* --- errors --------------------------------------------------------------------------------------------- */

/* What a person can do about it, by SQLSTATE or the class that it begins with. */
static const struct meaning {
    const char *state;
    int error; /* errno */
    const char *mend;
} meanings[] = {
    {"53100", ENOSPC, "make room on the disk of the database server"},
    {"53300", EAGAIN, "raise max_connections of the server, or end other programs' connections"},
    {"42501", EACCES, "let the owner of the database GRANT this user the right, or be that user"},
    {"25006", EROFS, "this server only reads (a standby?): name the one that writes"},
    {"55P03", EBUSY, "another program holds a lock on the tables: end its transaction"},
    {"57014", ETIMEDOUT, "the server was too slow: look at its load"},
    {"53", ENOMEM, "the server lacks memory or other means: look at its log"},
    {"58", EIO, "the server's system failed: look at its log"},
    {"XX", EIO, "the database may be damaged: look at the server's log"},
};

int postgres_failure(const struct postgres *postgres, const PGresult *result, char *error, size_t error_size)
{
    const char *state = result ? libpq.resultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
    const char *message = result ? libpq.resultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : NULL;
    if (!state || !message) {
        snprintf(error, error_size, "the connection to %s was lost: is the server up?", postgres->shown);
        return -ECONNRESET;
    }
    for (size_t i = 0; i < COUNT_OF(meanings); i++)
        if (strncmp(state, meanings[i].state, strlen(meanings[i].state)) == 0) {
            snprintf(error, error_size, "%s: %s [SQLSTATE %s]: %s", postgres->shown, message, state,
                     meanings[i].mend);
            return -meanings[i].error;
        }
    snprintf(error, error_size, "%s: %s [SQLSTATE %s]", postgres->shown, message, state);
    return -EIO;
}

static bool is_good(const PGresult *result)
{
    ExecStatusType status = libpq.resultStatus(result);
    return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
}

int postgres_run(struct postgres *postgres, const char *sql, PGresult **out, char *error, size_t error_size)
{
    PGresult *last = NULL, *result;
    bool lost = false;
    int code = 0;
    if (out)
        *out = NULL;
    postgres_begin(postgres);
    if (!postgres_is_open(postgres) || !libpq.sendQuery(postgres->connection, sql))
        return postgres_failure(postgres, NULL, error, error_size);
    while ((result = postgres_result(postgres, &lost))) {
        if (code == 0 && !is_good(result))
            code = postgres_failure(postgres, result, error, error_size);
        libpq.clear(last);
        last = result;
    }
    if (lost)
        code = postgres_failure(postgres, NULL, error, error_size);
    if (code == 0 && out)
        *out = last;
    else
        libpq.clear(last);
    return code;
}

int64_t postgres_number(const PGresult *result)
{
    if (libpq.ntuples(result) < 1 || libpq.getisnull(result, 0, 0))
        return 0;
    return strtoll(libpq.getvalue(result, 0, 0), NULL, 10);
}

/* --- connecting ----------------------------------------------------------------------------------------- */

static int refuse_connection(struct postgres *postgres, char *error, size_t error_size)
{
    const char *why = postgres->connection ? libpq.errorMessage(postgres->connection) : "out of memory";
    char line[512];
    text_copy(line, sizeof line, why);
    line[strcspn(line, "\n")] = '\0';
    text_tame(line);
    snprintf(error, error_size,
             "%s does not answer as a database should: %s  (is the server up, and are name and password "
             "right?)",
             postgres->shown, line);
    postgres_disconnect(postgres);
    return -ECONNREFUSED;
}

static int refuse_server(struct postgres *postgres, const char *why, char *error, size_t error_size)
{
    snprintf(error, error_size, "%s %s", postgres->shown, why);
    postgres_disconnect(postgres);
    return -EINVAL;
}

/* Whatever the server's defaults are: a commit that was told is on its disk, and nothing of ours waits for
 * ever. */
static const char settings[] =
    "SET synchronous_commit = on; SET client_min_messages = warning; SET lock_timeout = '5s'; "
    "SET statement_timeout = '30s'; SET idle_in_transaction_session_timeout = '60s'; "
    "SET timezone = 'UTC'; SET standard_conforming_strings = on; SET tcp_keepalives_idle = 5; "
    "SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3; SELECT pg_is_in_recovery()::int";

int postgres_connect(struct postgres *postgres, char *error, size_t error_size)
{
    if (postgres_is_open(postgres))
        return 0;
    postgres_disconnect(postgres);
    /* What comes before dbname are defaults that the address may change. */
    const char *const keywords[] = {"connect_timeout",  "keepalives_idle",  "keepalives_interval",
                                    "keepalives_count", "tcp_user_timeout", "fallback_application_name",
                                    "client_encoding",  "dbname",           NULL};
    const char *wait = postgres->patience > 5 * SECOND ? "5" : "2"; /* seconds; libpq's least is 2 */
    const char *const values[] = {wait, "5", "5", "3", "10000", "homeostat", "UTF8", postgres->address, NULL};
    postgres->connection = libpq.connectdbParams(keywords, values, 1);
    if (!postgres_is_open(postgres))
        return refuse_connection(postgres, error, error_size);
    if (libpq.serverVersion(postgres->connection) < OLDEST_SERVER)
        return refuse_server(postgres, "is older than PostgreSQL 12, which homeostat needs at least", error,
                             error_size);
    const char *encoding = libpq.parameterStatus(postgres->connection, "server_encoding");
    if (!encoding || strcmp(encoding, "UTF8") != 0)
        return refuse_server(postgres, "does not keep UTF-8: create a database with it (createdb -E UTF8)",
                             error, error_size);
    libpq.setnonblocking(postgres->connection, 1);
    PGresult *result = NULL;
    int code = postgres_run(postgres, settings, &result, error, error_size);
    bool standby = code == 0 && postgres_number(result) != 0;
    libpq.clear(result);
    if (standby)
        return refuse_server(postgres, "is a standby, which only reads: name the server that writes", error,
                             error_size);
    if (code < 0)
        postgres_disconnect(postgres);
    return code;
}

/* --- names and places ----------------------------------------------------------------------------------- */

void postgres_show(const char *address, char *out, size_t size)
{
    struct postgres postgres;
    char error[512];
    bool good = postgres_init(&postgres, address, SECOND, error, sizeof error) == 0;
    text_copy(out, size, good ? postgres.shown : "a PostgreSQL database");
    postgres_fini(&postgres);
}

/* One transaction: whoever looks sees the places before or after. */
static int move_schema(struct postgres *postgres, const char *name, char *error, size_t error_size)
{
    char sql[1024];
    snprintf(
        sql, sizeof sql,
        "BEGIN; DROP SCHEMA IF EXISTS \"%s_previous\" CASCADE; DO $$ BEGIN IF EXISTS (SELECT FROM "
        "pg_namespace WHERE nspname = '%s') THEN ALTER SCHEMA \"%s\" RENAME TO \"%s_previous\"; END IF; END "
        "$$; CREATE SCHEMA \"%s\"; COMMIT",
        name, name, name, name, name);
    return postgres_run(postgres, sql, NULL, error, error_size);
}

int postgres_make_room(const char *address, const char *name, char *out, size_t size, char *error,
                       size_t error_size)
{
    struct postgres postgres;
    CHECK(text_is_name(name, 40) && !strpbrk(name, "-."));
    int length = snprintf(out, size, "%s%coptions=-csearch_path%%3D%s", address,
                          strchr(address, '?') ? '&' : '?', name);
    if (length < 0 || (size_t)length >= size) {
        snprintf(error, error_size, "the address of the database is too long");
        return -ENAMETOOLONG;
    }
    int code = postgres_init(&postgres, address, 10 * SECOND, error, error_size);
    if (code == 0)
        code = postgres_connect(&postgres, error, error_size);
    if (code == 0)
        code = move_schema(&postgres, name, error, error_size);
    postgres_fini(&postgres);
    return code;
}
