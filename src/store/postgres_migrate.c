#include "store/postgres.h"

#include "base/check.h"
#include "base/crc.h"
#include "store/migrate.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "home" and the name of the schema: two stores in one database do not wait for each other. */
#define MIGRATION_LOCK "SELECT pg_advisory_xact_lock(1752132965, hashtext(current_schema()))"

static int refuse(const struct postgres *postgres, char *error, size_t error_size, const char *what)
{
    snprintf(error, error_size, "%s: %s", postgres->shown, what);
    return -EINVAL;
}

/* Whose schema is it? Ours has a table homeostat_migrations; an empty one becomes ours. */
static int look_whose(struct postgres *postgres, bool *ours, char *error, size_t error_size)
{
    static const char sql[] =
        "SELECT CASE WHEN current_schema() IS NULL THEN -1 "
        "WHEN to_regclass(quote_ident(current_schema()) || '.homeostat_migrations') IS NOT NULL THEN 1 "
        "WHEN EXISTS (SELECT FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace "
        "WHERE nspname = current_schema() "
        "AND relkind IN ('r', 'p', 'v', 'm')) THEN 2 ELSE 0 END";
    PGresult *result = NULL;
    int code = postgres_run(postgres, sql, &result, error, error_size);
    int64_t whose = code == 0 ? postgres_number(result) : 0;
    libpq.clear(result);
    if (code < 0)
        return code;
    if (whose == -1)
        return refuse(
            postgres, error, error_size,
            "this user's search_path names no schema that is there: create one, or name another user");
    if (whose == 2)
        return refuse(postgres, error, error_size,
                      "this schema holds tables of another program: create a database for homeostat "
                      "(createdb homeostat), or give it a schema of its own");
    *ours = whose == 1;
    return 0;
}

static uint32_t checksum_of(int version)
{
    const char *sql = postgres_migrations[version - 1].sql;
    return crc32_add(0, sql, strlen(sql));
}

/* The migrations that were taken are those that we know, as we know them. */
static int compare(const struct postgres *postgres, const PGresult *taken, char *error, size_t error_size)
{
    int count = libpq.ntuples(taken);
    char what[256];
    if (count > postgres_migrations_count) {
        snprintf(
            what, sizeof what,
            "it was written by a newer homeostat (schema %d; this one, %s, knows schemas up to %d): start "
            "that newer one, or name another database",
            count, HOMEOSTAT_VERSION, postgres_migrations_count);
        return refuse(postgres, error, error_size, what);
    }
    for (int row = 0; row < count; row++) {
        int version = atoi(libpq.getvalue(taken, row, 0));
        uint32_t checksum = (uint32_t)strtoul(libpq.getvalue(taken, row, 1), NULL, 10);
        if (version == row + 1 && checksum == checksum_of(version))
            continue;
        snprintf(what, sizeof what,
                 "its migration %d is not the one that this homeostat knows: it was made by another build. "
                 "Start that one, or name another database",
                 row + 1);
        return refuse(postgres, error, error_size, what);
    }
    return count;
}

int postgres_version(struct postgres *postgres, char *error, size_t error_size)
{
    bool ours = false;
    int code = look_whose(postgres, &ours, error, error_size);
    if (code < 0 || !ours)
        return code;
    PGresult *taken = NULL;
    code = postgres_run(postgres, "SELECT version, checksum FROM homeostat_migrations ORDER BY version",
                        &taken, error, error_size);
    if (code == 0)
        code = compare(postgres, taken, error, error_size);
    libpq.clear(taken);
    return code;
}

static int take(struct postgres *postgres, int version, char *error, size_t error_size)
{
    char note[256];
    const struct migration *migration = &postgres_migrations[version - 1];
    snprintf(note, sizeof note,
             "INSERT INTO homeostat_migrations VALUES (%d, '%s', %u, (extract(epoch FROM "
             "clock_timestamp()) * 1000000000)::bigint)",
             version, migration->name, checksum_of(version));
    int code = postgres_run(postgres, migration->sql, NULL, error, error_size);
    return code == 0 ? postgres_run(postgres, note, NULL, error, error_size) : code;
}

/* One step in a transaction of its own. The version is looked at again behind the lock: whoever came first
 * has taken it meanwhile. Returns the version that is there then. */
static int migrate_step(struct postgres *postgres, char *error, size_t error_size)
{
    int code = postgres_run(postgres, "BEGIN; " MIGRATION_LOCK, NULL, error, error_size);
    int version = code == 0 ? postgres_version(postgres, error, error_size) : code;
    if (version >= 0 && version < postgres_migrations_count) {
        code = take(postgres, version + 1, error, error_size);
        version = code < 0 ? code : version + 1;
    }
    if (version >= 0) {
        code = postgres_run(postgres, "COMMIT", NULL, error, error_size);
        return code < 0 ? code : version;
    }
    char ignored[512];
    if (postgres_is_open(postgres))
        postgres_run(postgres, "ROLLBACK", NULL, ignored, sizeof ignored);
    return version;
}

int postgres_migrate(struct postgres *postgres, char *error, size_t error_size)
{
    int version = postgres_version(postgres, error, error_size);
    while (version >= 0 && version < postgres_migrations_count)
        version = migrate_step(postgres, error, error_size);
    return version < 0 ? version : 0;
}
