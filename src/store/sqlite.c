#include "store/sqlite.h"

#include "store/store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BUSY_MS = 2000 }; /* how long we wait for a person's sqlite3 shell to let go of the file */

const char *store_library_version(void)
{
    return sqlite3_libversion();
}

static int connect(sqlite3 **db, const char *path, enum database_access access)
{
    int flags = access == DATABASE_WRITE ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READONLY;
    /* Each connection stays with one thread: its own mutex is not needed. */
    int code = sqlite3_open_v2(path, db, flags | SQLITE_OPEN_NOMUTEX, NULL);
    if (code != SQLITE_OK)
        return code;
    sqlite3_extended_result_codes(*db, 1);
    sqlite3_busy_timeout(*db, BUSY_MS);
    /* Our own checkpoints only: SQLite's automatic ones hide their errors, a failed fsync among them. */
    code = sqlite3_exec(*db, "PRAGMA wal_autocheckpoint = 0", NULL, NULL, NULL);
    if (code == SQLITE_OK && access == DATABASE_READ) {
        sqlite3_db_config(*db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
        code = sqlite3_exec(*db, "PRAGMA query_only = 1", NULL, NULL, NULL);
    }
    return code;
}

int database_open(sqlite3 **db, const char *path, enum database_access access, char *error, size_t error_size)
{
    *db = NULL;
    /* SQLite says only "unable to open"; the difference between absent and forbidden matters to our callers.
     */
    if (access == DATABASE_READ && eaccess(path, R_OK) != 0) {
        int reason = errno;
        snprintf(error, error_size, "%s cannot be read: %s", path, strerror(reason));
        return -reason;
    }
    int code = connect(db, path, access);
    /* SQLite falls back to reading whatever the reason was, a passing one too. */
    if (code == SQLITE_OK && access == DATABASE_WRITE && sqlite3_db_readonly(*db, "main") == 1 &&
        eaccess(path, W_OK) == 0) {
        snprintf(error, error_size,
                 "%s could only be opened for reading, though it may be written: was the process out of "
                 "descriptors? Try again",
                 path);
        sqlite3_close(*db);
        *db = NULL;
        return -EAGAIN;
    }
    if (code == SQLITE_OK)
        return 0;
    int result = database_failure(*db, path, error, error_size);
    sqlite3_close(*db);
    *db = NULL;
    return result;
}

int database_number(sqlite3 *db, const char *sql, int64_t *out)
{
    *out = 0;
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
    if (code != SQLITE_OK)
        return code;
    code = sqlite3_step(statement);
    if (code == SQLITE_ROW)
        *out = sqlite3_column_int64(statement, 0);
    int end = sqlite3_finalize(statement);
    return code == SQLITE_ROW || code == SQLITE_DONE ? SQLITE_OK : end;
}

int database_version(sqlite3 *db, const char *path, int newest, char *error, size_t error_size)
{
    int64_t application = 0, version = 0, things = 0;
    if (database_number(db, "SELECT count(*) FROM sqlite_schema", &things) != SQLITE_OK ||
        database_number(db, "PRAGMA application_id", &application) != SQLITE_OK ||
        database_number(db, "PRAGMA user_version", &version) != SQLITE_OK)
        return database_failure(db, path, error, error_size);
    bool empty = application == 0 && version == 0 && things == 0;
    if (!empty && application != DATABASE_APPLICATION_ID) {
        snprintf(error, error_size,
                 "%s is the SQLite database of another program, not a store of homeostat: name another file",
                 path);
        return -EINVAL;
    }
    if (version < 0 || version > newest) {
        snprintf(error, error_size,
                 "%s was written by a newer homeostat (schema %lld; this one, %s, knows schemas up to %d): "
                 "start that "
                 "newer homeostat, or name another file",
                 path, (long long)version, HOMEOSTAT_VERSION, newest);
        return -EINVAL;
    }
    return (int)version;
}

/* What a person can do about it, by SQLite's primary code; %s is the path. */
static const struct meaning {
    int code;
    int error; /* errno; 0: what the system said, or EIO */
    const char *sentence;
} meanings[] = {
    {SQLITE_NOTADB, EINVAL,
     "%s is no SQLite database, and so no store of homeostat: name another file, or move this one away"},
    {SQLITE_CORRUPT, EBADMSG,
     "%s is damaged: put a copy of it in its place, or save what can be read with the sqlite3 shell's "
     ".recover"},
    {SQLITE_FULL, ENOSPC, "%s could not be written, the disk is full: make room"},
    {SQLITE_READONLY, EROFS, "%s cannot be written: look at the permissions of the file and its folder"},
    {SQLITE_BUSY, EBUSY, "%s is locked by another program (an sqlite3 shell inside a transaction?)"},
    {SQLITE_LOCKED, EBUSY, "%s is locked by another program (an sqlite3 shell inside a transaction?)"},
    {SQLITE_NOMEM, ENOMEM, "%s: out of memory"},
    {SQLITE_CANTOPEN, 0, "%s cannot be opened"},
    {SQLITE_IOERR, 0, "%s: the disk reported an error"},
    {SQLITE_CONSTRAINT, EINVAL, "%s refused a row"},
};

int database_failure(sqlite3 *db, const char *path, char *error, size_t error_size)
{
    int code = db ? sqlite3_extended_errcode(db) : SQLITE_NOMEM;
    int system = db ? sqlite3_system_errno(db) : 0;
    const char *message = db ? sqlite3_errmsg(db) : "out of memory";
    for (size_t i = 0; i < sizeof meanings / sizeof meanings[0]; i++) {
        const struct meaning *meaning = &meanings[i];
        if ((code & 0xff) != meaning->code)
            continue;
        int length = snprintf(error, error_size, meaning->sentence, path);
        if (length > 0 && (size_t)length < error_size)
            snprintf(error + length, error_size - (size_t)length, " [%s, code %d%s%s]", message, code,
                     system ? ", " : "", system ? strerror(system) : "");
        return -(meaning->error ? meaning->error : system ? system : EIO);
    }
    snprintf(error, error_size, "%s: %s [code %d]", path, message, code);
    return -EIO;
}

void database_abort_after_fsync(sqlite3 *db, int code, const char *path)
{
    if (code != SQLITE_IOERR_FSYNC && code != SQLITE_IOERR_DIR_FSYNC)
        return;
    fprintf(stderr,
            "homeostat: %s: the disk failed to keep what was written to it (fsync: %s). What is in memory "
            "can no longer "
            "be trusted to be on the disk, so the control plane stops here. Look at the disk, then start it "
            "again: it "
            "continues from what the store really holds.\n",
            path, strerror(sqlite3_system_errno(db)));
    abort();
}
