#include "store/database.h"

#include "base/check.h"
#include "store/store.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

const struct database *database_of(const char *store, const char **target)
{
    *target = store;
    if (begins(store, "postgresql://") || begins(store, "postgres://"))
        return &postgres_database;
    if (begins(store, "sqlite:"))
        *target = store + strlen("sqlite:");
    return &sqlite_database;
}

bool store_check_name(const char *store, char *error, size_t error_size)
{
    const char *target;
    database_of(store, &target);
    const char *colon = strstr(store, "://");
    if (*target && (!colon || begins(store, "postgres")))
        return true;
    if (colon && colon < strchr(store, '/'))
        snprintf(error, error_size,
                 "no store is kept in %.*s: name sqlite:PATH, or postgresql://USER@HOST/NAME",
                 (int)(colon - store), store);
    else
        snprintf(error, error_size, "a store needs a name: sqlite:PATH, or postgresql://USER@HOST/NAME");
    return false;
}

const char *store_path(const char *store)
{
    const char *target;
    return database_of(store, &target)->is_server ? NULL : target;
}

void store_show(const char *store, char *out, size_t size)
{
    const char *target;
    const struct database *database = database_of(store, &target);
    database->show(target, out, size);
}

int store_make_room(const char *store, const char *name, char *out, size_t size, char *error,
                    size_t error_size)
{
    const char *target;
    const struct database *database = database_of(store, &target);
    if (database->make_room)
        return database->make_room(target, name, out, size, error, error_size);
    snprintf(error, error_size, "%s is a file", target);
    return -EINVAL;
}

int store_backup(const char *store, const char *to, char *error, size_t error_size)
{
    const char *target;
    const struct database *database = database_of(store, &target);
    if (database->backup)
        return database->backup(target, to, error, error_size);
    char shown[256];
    database->show(target, shown, sizeof shown);
    snprintf(
        error, error_size,
        "a server's database is copied by its own tools: pg_dump -Fc -f %s '%s', and pg_restore for the way "
        "back",
        to, shown);
    return -ENOTSUP;
}

/* Nodes, targets, policies and the control row stay: the next start needs them. */
int store_prune(const char *store, instant before, char *error, size_t error_size)
{
    static const char *const parts[] = {"evidence", "timeline", "blocked", "commands"};
    char bytes[2048];
    struct text sql = text_over(bytes, sizeof bytes);
    for (size_t i = 0; i < COUNT_OF(parts); i++)
        text_addf(&sql,
                  "DELETE FROM %s WHERE incident IN (SELECT id FROM incidents WHERE state = 'resolved' AND "
                  "closed_at < %lld); ",
                  parts[i], (long long)before);
    text_addf(&sql,
              "DELETE FROM incidents WHERE state = 'resolved' AND closed_at < %lld; "
              "DELETE FROM faults WHERE ended_at < %lld; DELETE FROM gaps WHERE at < %lld; "
              "DELETE FROM samples WHERE at < %lld; ",
              (long long)before, (long long)before, (long long)before, (long long)before);
    const char *target;
    const struct database *database = database_of(store, &target);
    if (!database->is_server)
        text_addf(&sql, "DELETE FROM samples_blocks WHERE last_at < %lld; ", (long long)before);
    CHECK(!sql.cut);
    void *writing = NULL;
    int code = database->write_open(&writing, target, error, error_size);
    if (code == 0)
        code = database->run(writing, bytes, error, error_size);
    if (writing)
        database->write_close(&writing);
    return code;
}
