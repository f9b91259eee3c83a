/* A PostgreSQL database's health: is it there, whose is it, does it keep what it is told to keep. Each
 * question has an end; nothing is changed, and no lock is taken. */
#include "cli/doctor.h"

#include "base/text.h"
#include "store/migrate.h"
#include "store/postgres.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct look {
    struct checkup *checkup;
    struct postgres postgres;
};

static const duration patience_ns = 3 * SECOND; /* for one answer */

static void say_failure(struct look *look, const char *name, const char *sentence)
{
    check_take_sentence(checkup_add(look->checkup, name, CHECK_BAD, "%s", ""), sentence);
}

/* NULL: it has been said. Cleared by the caller. */
static PGresult *ask(struct look *look, const char *name, const char *sql)
{
    char error[CHECK_FOUND_SIZE];
    PGresult *result = NULL;
    if (postgres_run(&look->postgres, sql, &result, error, sizeof error) < 0)
        say_failure(look, name, error);
    return result;
}

/* --- the server ----------------------------------------------------------------------------------------- */

static bool look_at_server(struct look *look, const char *address)
{
    char error[CHECK_FOUND_SIZE];
    int code = postgres_init(&look->postgres, address, patience_ns, error, sizeof error);
    if (code == -ENOTSUP) { /* no server is at fault */
        say_failure(look, "libpq", error);
        look->checkup->blind = true;
        return false;
    }
    if (code == 0)
        code = postgres_connect(&look->postgres, error, sizeof error);
    if (code < 0) {
        struct check *check = checkup_add(look->checkup, "server", CHECK_BAD, "%s", error);
        check_mend(check, "Start that server, or name another database: --store, or HOMEOSTAT_STORE.");
        look->checkup->blind = true;
        return false;
    }
    checkup_add(look->checkup, "server", CHECK_OK, "%s, PostgreSQL %s", look->postgres.shown,
                libpq.parameterStatus(look->postgres.connection, "server_version"));
    return true;
}

/* Without these a lost power supply can damage the whole of it, whatever a client asks for. */
static void look_at_durability(struct look *look)
{
    PGresult *result =
        ask(look, "durability",
            "SELECT coalesce(string_agg(name, ' and ' ORDER BY name) FILTER (WHERE name <> "
            "'synchronous_commit'), ''), "
            "coalesce(max(name) FILTER (WHERE name = 'synchronous_commit'), '') FROM pg_settings WHERE "
            "name IN ('fsync', 'full_page_writes', 'synchronous_commit') AND reset_val = 'off'");
    if (!result)
        return;
    const char *off = libpq.getvalue(result, 0, 0);
    bool late = libpq.getvalue(result, 0, 1)[0] != '\0';
    if (off[0]) {
        struct check *check = checkup_add(look->checkup, "durability", CHECK_NOTE,
                                          "%s off: what is committed may be lost with the power", off);
        check_mend(check,
                   "Set %s = on in postgresql.conf, and let the server read it: SELECT pg_reload_conf().",
                   off);
    } else if (late) {
        struct check *check =
            checkup_add(look->checkup, "durability", CHECK_NOTE,
                        "synchronous_commit is off; homeostat turns it on for its own commits");
        check_mend(check, "What other programs commit may be lost: set synchronous_commit = on.");
    } else {
        checkup_add(look->checkup, "durability", CHECK_OK, "what is committed is on the server's disk");
    }
    libpq.clear(result);
}

/* --- the store ------------------------------------------------------------------------------------------ */

static void look_at_lock(struct look *look)
{
    char holder[256], error[CHECK_FOUND_SIZE];
    int backend = postgres_holder(&look->postgres, holder, sizeof holder, error, sizeof error);
    if (backend < 0)
        say_failure(look, "lock", error);
    else if (backend == 0)
        checkup_add(look->checkup, "lock", CHECK_OK, "no control plane has the database");
    else
        check_mend(
            checkup_add(look->checkup, "lock", CHECK_NOTE, "a control plane has the database: %s", holder),
            "Another one is refused as long as that one runs.");
}

/* True: it has the tables of this homeostat. */
static bool look_at_schema(struct look *look)
{
    char error[CHECK_FOUND_SIZE];
    int version = postgres_version(&look->postgres, error, sizeof error);
    if (version < 0) {
        say_failure(look, "schema", error);
        return false;
    }
    if (version == postgres_migrations_count) {
        checkup_add(look->checkup, "schema", CHECK_OK, "%d, the one that this homeostat writes", version);
        return true;
    }
    if (version == 0) {
        checkup_add(look->checkup, "schema", CHECK_OK, "none yet; the first start makes it");
        return false;
    }
    struct check *check = checkup_add(look->checkup, "schema", CHECK_NOTE, "%d, an older one", version);
    check_mend(
        check,
        "The next start of a control plane takes it to schema %d; keep a copy before that (pg_dump -Fc).",
        postgres_migrations_count);
    return false;
}

static bool is_one(const PGresult *result, int column)
{
    return strcmp(libpq.getvalue(result, 0, column), "1") == 0;
}

static void look_at_control(struct look *look)
{
    PGresult *result = ask(look, "control", "SELECT epoch, paused, breaker_open FROM control");
    if (result && libpq.ntuples(result) == 0)
        checkup_add(look->checkup, "control", CHECK_OK, "no control plane has been ready on it yet");
    if (result && libpq.ntuples(result) > 0) {
        bool paused = is_one(result, 1), open = is_one(result, 2);
        struct check *check = checkup_add(look->checkup, "control", paused || open ? CHECK_NOTE : CHECK_OK,
                                          "epoch %s, automation %s, breaker %s", libpq.getvalue(result, 0, 0),
                                          paused ? "paused" : "on", open ? "open" : "closed");
        if (open)
            check_mend(check, "Nothing disruptive is done until a person has looked and says reset.");
        else if (paused)
            check_mend(check, "Nothing is done until somebody says resume.");
    }
    libpq.clear(result);
}

void doctor_postgres(const struct doctor *doctor, struct checkup *checkup)
{
    struct look look = {.checkup = checkup};
    checkup->group = "Database";
    if (look_at_server(&look, doctor->address)) {
        look_at_durability(&look);
        look_at_lock(&look);
        if (look_at_schema(&look))
            look_at_control(&look);
    }
    postgres_fini(&look.postgres);
}
