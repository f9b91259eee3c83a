/* The database's health. A control plane may be writing to it: we read like any other reader, take no lock
 * of ours, and let go after a few seconds so that its checkpoints are not held up. */
#include "cli/doctor.h"

#include "base/clock.h"
#include "base/text.h"
#include "policy/policy_file.h"
#include "store/migrate.h"
#include "store/sqlite.h"
#include "store/store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum { PATH_SIZE = 4096, STEPS_PER_LOOK = 10000, NO_HOLDER = -1 };

#define PATIENCE_NS   (10 * SECOND)
#define WAL_BYTES_MAX (64.0 * 1024 * 1024) /* the journal_size_limit that the store sets */
#define CLOCK_AHEAD   (5 * SECOND)
#define QUIET_NS      MINUTE /* a running control plane makes its clock durable more often */

struct look {
    const struct doctor *doctor;
    struct checkup *checkup;
    sqlite3 *db;
    instant until; /* of CLOCK_MONOTONIC */
    int holder;    /* process that holds the lock, or NO_HOLDER */
    bool damaged;  /* said already */
};

/* --- the lock ------------------------------------------------------------------------------------------- */

/* Asked of the kernel's list: to try the lock would be to take it. */
static int lock_holder(const struct stat *lock)
{
    char line[256];
    int holder = NO_HOLDER;
    FILE *file = fopen("/proc/locks", "re");
    while (file && holder == NO_HOLDER && fgets(line, sizeof line, file)) {
        int id;
        unsigned major, minor;
        unsigned long inode;
        if (sscanf(line, "%*d: FLOCK %*s %*s %d %x:%x:%lu", &id, &major, &minor, &inode) == 4 &&
            inode == lock->st_ino && major == major(lock->st_dev) && minor == minor(lock->st_dev))
            holder = id > 0 ? id : 0;
    }
    if (file)
        fclose(file);
    return holder;
}

static void look_at_lock(struct look *look)
{
    char real[PATH_SIZE], path[PATH_SIZE + 8], who[128];
    struct stat lock;
    if (!realpath(look->doctor->database, real))
        text_copy(real, sizeof real, look->doctor->database);
    snprintf(path, sizeof path, "%s.lock", real);
    bool exists = stat(path, &lock) == 0;
    look->holder = exists ? lock_holder(&lock) : NO_HOLDER;
    if (look->holder == NO_HOLDER) {
        checkup_add(look->checkup, "lock", CHECK_OK, "no control plane has the database%s",
                    exists ? "; the lock file may stay" : "");
        return;
    }
    doctor_name_process(look->holder, who, sizeof who);
    int port = doctor_port_of(look->holder);
    bool elsewhere = port != 0 && port != look->doctor->port;
    struct check *check = checkup_add(look->checkup, "lock", elsewhere ? CHECK_NOTE : CHECK_OK,
                                      "a control plane has the database: %s", who);
    if (elsewhere)
        check_mend(check, "It listens on port %d: ask it with --url http://127.0.0.1:%d, or HOMEOSTAT_URL.",
                   port, port);
}

/* --- reading -------------------------------------------------------------------------------------------- */

static int is_too_long(void *context)
{
    const struct look *look = context;
    return !look->doctor->thorough && monotonic_ns() > look->until;
}

static void say_failure(struct look *look, const char *name)
{
    char error[CHECK_FOUND_SIZE];
    bool late = sqlite3_errcode(look->db) == SQLITE_INTERRUPT;
    database_failure(look->db, look->doctor->database, error, sizeof error);
    struct check *check = checkup_add(look->checkup, name, late ? CHECK_NOTE : CHECK_BAD, "%s", "");
    if (late) {
        text_copy(check->found, sizeof check->found, "not finished within 10 s: the database is large");
        check_mend(check, "Look again with --thorough, best while no control plane runs.");
        return;
    }
    check_take_sentence(check, error);
    look->damaged = true;
}

static bool look_at_schema(struct look *look)
{
    char error[CHECK_FOUND_SIZE];
    int version = database_version(look->db, look->doctor->database, migrations_count, error, sizeof error);
    struct check *check;
    if (version < 0) {
        check = checkup_add(look->checkup, "schema", CHECK_BAD, "%s", "");
        check_take_sentence(check, error);
        return false;
    }
    bool present = version == migrations_count;
    check = checkup_add(look->checkup, "schema", present ? CHECK_OK : CHECK_NOTE,
                        version == 0 ? "an empty file%.0d" : "%d%s", version,
                        present ? ", the one that this homeostat writes" : "");
    if (!present && version > 0)
        check_mend(check, "The next start of a control plane takes it to schema %d; keep a copy before that.",
                   migrations_count);
    return present;
}

static void look_for_damage(struct look *look)
{
    sqlite3_stmt *statement = NULL;
    char first[256] = "";
    int code = sqlite3_prepare_v2(look->db, "PRAGMA quick_check(1)", -1, &statement, NULL);
    if (code == SQLITE_OK && (code = sqlite3_step(statement)) == SQLITE_ROW)
        text_copy(first, sizeof first, (const char *)sqlite3_column_text(statement, 0));
    sqlite3_finalize(statement);
    if (code != SQLITE_ROW) {
        say_failure(look, "quick_check");
        return;
    }
    if (strcmp(first, "ok") == 0) {
        checkup_add(look->checkup, "quick_check", CHECK_OK, "every page is in order");
        return;
    }
    for (char *c = first; *c; c++)
        *c = *c == '\n' ? ' ' : *c;
    struct check *check = checkup_add(look->checkup, "quick_check", CHECK_BAD, "damaged: %s", first);
    check_mend(check,
               "Put a copy of it in its place, or save what can be read with the sqlite3 shell's .recover.");
    look->damaged = true;
}

static void look_at_rows(struct look *look)
{
    static const char *const tables[] = {"nodes",   "incidents", "timeline", "commands",
                                         "blocked", "faults",    "samples",  "policies"};
    char list[CHECK_FOUND_SIZE], sql[64];
    struct text text = text_over(list, sizeof list);
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
        int64_t rows;
        snprintf(sql, sizeof sql, "SELECT count(*) FROM %s", tables[i]);
        if (database_number(look->db, sql, &rows) != SQLITE_OK) {
            say_failure(look, "rows");
            return;
        }
        text_addf(&text, "%s%s %lld", i ? ", " : "", tables[i], (long long)rows);
    }
    checkup_add(look->checkup, "rows", CHECK_OK, "%s", list);
}

static void look_at_age(struct look *look, instant at)
{
    char age[32], wall[32];
    struct text text = text_over(age, sizeof age);
    duration old = clock_ns(CLOCK_REALTIME) - at;
    text_duration(&text, old < 0 ? -old : old);
    text_instant(wall, at);
    bool running = look->holder != NO_HOLDER;
    enum check_state state = old < -CLOCK_AHEAD || (running && old > QUIET_NS) ? CHECK_NOTE : CHECK_OK;
    struct check *check = checkup_add(look->checkup, "newest record", state, "%s %s (%s)", age,
                                      old < 0 ? "ahead of the wall clock" : "ago", wall);
    if (old < -CLOCK_AHEAD)
        check_mend(check, "The wall clock was set back: instants go on from the newest record, and agree "
                          "with the wall again once it has caught up.");
    else if (state == CHECK_NOTE)
        check_mend(check, "The control plane has it and writes nothing: look at its log, and whether it is "
                          "stopped.");
}

static void look_at_control(struct look *look)
{
    int64_t rows = 0, epoch = 0, paused = 0, open = 0, at = 0;
    if (database_number(look->db, "SELECT count(*) FROM control", &rows) != SQLITE_OK ||
        database_number(look->db, "SELECT epoch FROM control", &epoch) != SQLITE_OK ||
        database_number(look->db, "SELECT paused FROM control", &paused) != SQLITE_OK ||
        database_number(look->db, "SELECT breaker_open FROM control", &open) != SQLITE_OK ||
        database_number(look->db, "SELECT at FROM control", &at) != SQLITE_OK) {
        say_failure(look, "control");
        return;
    }
    if (rows == 0) {
        checkup_add(look->checkup, "control", CHECK_OK, "no control plane has been ready on it yet");
        return;
    }
    struct check *check = checkup_add(look->checkup, "control", paused || open ? CHECK_NOTE : CHECK_OK,
                                      "epoch %lld, automation %s, breaker %s", (long long)epoch,
                                      paused ? "paused" : "on", open ? "open" : "closed");
    if (open)
        check_mend(check, "Nothing disruptive is done until a person has looked and says reset.");
    else if (paused)
        check_mend(check, "Nothing is done until somebody says resume.");
    if (at != 0)
        look_at_age(look, at);
}

static void look_at_policy(struct look *look)
{
    sqlite3_stmt *statement = NULL;
    struct policy policy;
    struct complaints *complaints = calloc(1, sizeof *complaints);
    int code = sqlite3_prepare_v2(
        look->db, "SELECT version, text FROM policies ORDER BY version DESC LIMIT 1", -1, &statement, NULL);
    if (complaints && code == SQLITE_OK && sqlite3_step(statement) == SQLITE_ROW) {
        const char *text = (const char *)sqlite3_column_text(statement, 1);
        long long version = sqlite3_column_int64(statement, 0);
        int result = policy_read(text ? text : "", text ? strlen(text) : 0, &policy, complaints);
        struct check *check =
            checkup_add(look->checkup, "policy kept", result == 0 ? CHECK_OK : CHECK_BAD, "version %lld, %s",
                        version, result == 0 ? "good" : complaints->list[0].text);
        if (result != 0)
            check_mend(check, "Start with a good one: --policy FILE.");
    }
    sqlite3_finalize(statement);
    free(complaints);
}

/* --- the file ------------------------------------------------------------------------------------------- */

static void look_at_size(struct look *look, const struct stat *file)
{
    char path[PATH_SIZE + 8];
    struct stat wal = {0};
    snprintf(path, sizeof path, "%s-wal", look->doctor->database);
    double waiting = stat(path, &wal) == 0 ? (double)wal.st_size : 0;
    double mib = 1024.0 * 1024;
    checkup_add(look->checkup, "size", CHECK_OK, "%.1f MiB", (double)file->st_size / mib);
    bool large = waiting > WAL_BYTES_MAX;
    struct check *check = checkup_add(
        look->checkup, "log", large ? CHECK_NOTE : CHECK_OK, "%.1f MiB in the -wal file%s", waiting / mib,
        waiting > 0 && look->holder == NO_HOLDER ? ", taken in by the next start" : "");
    if (large)
        check_mend(check, "Some reader holds it up (an sqlite3 shell inside a transaction?): let it end.");
}

/* Even a reader makes files beside a database that had a log, and in a folder that cannot be written it fails
 * over that. While nobody has the database and all of it is in its one file, we read that as it stands. */
static int open_as_it_stands(struct look *look, char *error, size_t error_size)
{
    char uri[3 * PATH_SIZE + 32];
    struct text text = text_over(uri, sizeof uri);
    text_add(&text, "file:");
    for (const char *c = look->doctor->database; *c; c++)
        text_addf(&text, strchr("%?#", *c) ? "%%%02x" : "%c", (unsigned char)*c);
    text_add(&text, "?immutable=1");
    int code =
        sqlite3_open_v2(uri, &look->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX, NULL);
    return code == SQLITE_OK ? 0 : database_failure(look->db, look->doctor->database, error, error_size);
}

static bool has_log(const struct doctor *doctor)
{
    char path[PATH_SIZE + 8];
    struct stat log;
    snprintf(path, sizeof path, "%s-wal", doctor->database);
    return stat(path, &log) == 0 && log.st_size > 0;
}

static void look_inside(struct look *look, bool as_it_stands)
{
    char error[CHECK_FOUND_SIZE];
    int result = as_it_stands
                     ? open_as_it_stands(look, error, sizeof error)
                     : database_open(&look->db, look->doctor->database, DATABASE_READ, error, sizeof error);
    if (result < 0) {
        check_take_sentence(checkup_add(look->checkup, "schema", CHECK_BAD, "%s", ""), error);
        return;
    }
    sqlite3_progress_handler(look->db, STEPS_PER_LOOK, is_too_long, look);
    if (look_at_schema(look))
        look_for_damage(look);
    else
        look->damaged = true;
    /* What stands in a damaged file is not to be believed. */
    if (!look->damaged)
        look_at_rows(look);
    if (!look->damaged)
        look_at_control(look);
    if (!look->damaged)
        look_at_policy(look);
}

static bool has_changed(const struct doctor *doctor, const struct stat *before)
{
    struct stat now;
    return has_log(doctor) || stat(doctor->database, &now) != 0 || now.st_size != before->st_size ||
           now.st_mtim.tv_sec != before->st_mtim.tv_sec || now.st_mtim.tv_nsec != before->st_mtim.tv_nsec;
}

void doctor_store(const struct doctor *doctor, struct checkup *checkup)
{
    struct look look = {.doctor = doctor, .checkup = checkup, .until = monotonic_ns() + PATIENCE_NS};
    struct stat file;
    checkup->group = "Database";
    if (stat(doctor->database, &file) != 0 && errno == ENOENT && !doctor->database_named) {
        checkup_add(checkup, "file", CHECK_OK, "%s is not there yet; the first start makes it",
                    doctor->database);
        return;
    }
    if (stat(doctor->database, &file) != 0 || eaccess(doctor->database, R_OK) != 0) {
        struct check *check =
            checkup_add(checkup, "file", CHECK_BAD, "%s: %s", doctor->database, strerror(errno));
        check_mend(check, "Name a database that is there and can be read.");
        checkup->blind = true;
        return;
    }
    bool writable = eaccess(doctor->database, W_OK) == 0;
    struct check *check = checkup_add(checkup, "file", writable ? CHECK_OK : CHECK_NOTE, "%s%s",
                                      doctor->database, writable ? "" : " can be read, not written");
    if (!writable)
        check_mend(check, "A control plane needs to write it: look at the rights of the file.");
    look_at_lock(&look);
    look_at_size(&look, &file);
    size_t before = checkup->count;
    bool as_it_stands = look.holder == NO_HOLDER && !has_log(doctor);
    look_inside(&look, as_it_stands);
    sqlite3_close(look.db);
    if (as_it_stands && has_changed(doctor, &file)) { /* somebody has begun to write to it meanwhile */
        checkup->count = before;
        look.damaged = false;
        look_inside(&look, false);
        sqlite3_close(look.db);
    }
}
