#include "store/migrate.h"

#include "base/check.h"
#include "base/crc.h"
#include "base/units.h"
#include "store/sqlite.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static instant wall_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * SECOND + now.tv_nsec;
}

/* The pragmas are part of the transaction: a step is there with its number, or not at all. */
static int migrate_step(sqlite3 *db, int version)
{
    const struct migration *migration = &migrations[version - 1];
    char *note =
        sqlite3_mprintf("INSERT INTO migrations (version, name, applied_at) VALUES (%d, %Q, %lld);"
                        "PRAGMA user_version = %d; PRAGMA application_id = %d; COMMIT",
                        version, migration->name, (long long)wall_clock(), version, DATABASE_APPLICATION_ID);
    if (!note)
        return SQLITE_NOMEM;
    int code = sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_exec(db, migration->sql, NULL, NULL, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_exec(db, note, NULL, NULL, NULL);
    sqlite3_free(note);
    return code;
}

static int migrate_from(sqlite3 *db, const char *path, int version, char *error, size_t error_size)
{
    while (version < migrations_count) {
        version++;
        if (migrate_step(db, version) == SQLITE_OK)
            continue;
        int length =
            snprintf(error, error_size, "migration %03d_%s: ", version, migrations[version - 1].name);
        if (length < 0 || (size_t)length >= error_size)
            length = 0;
        int result = database_failure(db, path, error + length, error_size - (size_t)length);
        if (!sqlite3_get_autocommit(db))
            sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
        return result;
    }
    return 0;
}

/* The tables that a restore reads must be whole before anybody acts on them; samples would take too long. */
static int look_for_damage(sqlite3 *db, const char *path, char *error, size_t error_size)
{
    static const char *const tables[] = {"nodes", "incidents", "evidence", "commands", "faults", "control"};
    for (size_t i = 0; i < COUNT_OF(tables); i++) {
        char sql[128];
        int64_t bad = 0;
        snprintf(sql, sizeof sql, "SELECT count(*) FROM pragma_quick_check('%s') WHERE quick_check <> 'ok'",
                 tables[i]);
        if (database_number(db, sql, &bad) != SQLITE_OK)
            return database_failure(db, path, error, error_size);
        if (bad == 0)
            continue;
        snprintf(error, error_size,
                 "%s is damaged (table %s): put a copy of it in its place, or save what can be read with the "
                 "sqlite3 "
                 "shell's .recover",
                 path, tables[i]);
        return -EBADMSG;
    }
    return 0;
}

static uint32_t checksum_of(int version)
{
    return crc32_add(0, migrations[version - 1].sql, strlen(migrations[version - 1].sql));
}

/* Steps that were taken are those that we know. Those from before there were checksums get theirs now. */
static int compare_checksums(sqlite3 *db, const char *path, char *error, size_t error_size)
{
    for (int version = 1; version <= migrations_count; version++) {
        char sql[160];
        int64_t changed = 0;
        snprintf(sql, sizeof sql, "SELECT count(*) FROM migrations WHERE version = %d AND checksum <> %u",
                 version, checksum_of(version));
        if (database_number(db, sql, &changed) != SQLITE_OK)
            return database_failure(db, path, error, error_size);
        if (changed) {
            snprintf(error, error_size,
                     "%s: its migration %d is not the one that this homeostat knows: it was made by another "
                     "build. Start "
                     "that one, or name another file",
                     path, version);
            return -EINVAL;
        }
        snprintf(sql, sizeof sql,
                 "UPDATE migrations SET checksum = %u WHERE version = %d AND checksum IS NULL",
                 checksum_of(version), version);
        if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
            return database_failure(db, path, error, error_size);
    }
    return 0;
}

int migrate(sqlite3 *db, const char *path, char *error, size_t error_size)
{
    int version = database_version(db, path, migrations_count, error, error_size);
    if (version < 0)
        return version;
    /* EXTRA for the change to WAL: its rollback journal must be gone from the disk for good. One that came
     * back after a power cut would roll the database back to what it was before: nothing
     * (tests/test_store_power.c). */
    const char *settings =
        "PRAGMA synchronous = EXTRA; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; "
        "PRAGMA journal_size_limit = 67108864";
    if (sqlite3_exec(db, settings, NULL, NULL, NULL) != SQLITE_OK)
        return database_failure(db, path, error, error_size);
    int result = version > 0 ? look_for_damage(db, path, error, error_size) : 0;
    if (result == 0)
        result = migrate_from(db, path, version, error, error_size);
    return result == 0 ? compare_checksums(db, path, error, error_size) : result;
}
