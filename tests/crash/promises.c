#include "promises.h"

#include "base/check.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

/* For each kind, the promises that are not kept: one sentence a row. */
static const char *const broken[PROMISE_KINDS] = {
    [PROMISE_INCIDENT] =
        "SELECT 'incident ' || p.id || ' (' || p.said || ')' FROM promise p WHERE kind = ?1 AND NOT "
        "EXISTS (SELECT 1 FROM kept.incidents i JOIN kept.nodes n ON n.number = i.node "
        "WHERE i.id = p.id AND n.name || ' ' || i.finding = p.said)",
    [PROMISE_APPROVAL] =
        "SELECT 'an approval of incident ' || p.id FROM promise p WHERE kind = ?1 GROUP BY p.id HAVING "
        "count(*) > (SELECT count(*) FROM kept.timeline t WHERE t.incident = p.id AND "
        "t.text LIKE '%a person approved it%')",
    [PROMISE_ACKNOWLEDGE] =
        "SELECT 'an acknowledgement of incident ' || p.id FROM promise p WHERE kind = ?1 GROUP BY "
        "p.id HAVING count(*) > (SELECT count(*) FROM kept.timeline t WHERE t.incident = p.id AND "
        "t.text LIKE '%a person has seen it%')",
    [PROMISE_POLICY] =
        "SELECT 'policy version ' || p.id FROM promise p WHERE kind = ?1 AND NOT EXISTS (SELECT 1 FROM "
        "kept.policies k WHERE k.version = p.id AND instr(k.text, p.said) > 0)",
    [PROMISE_OUTCOME] =
        "SELECT 'outcome ' || p.said || ' of command ' || p.id FROM promise p WHERE kind = ?1 AND NOT "
        "EXISTS (SELECT 1 FROM kept.commands c WHERE c.id = p.id AND c.outcome = p.said)",
    [PROMISE_FAULT] =
        "SELECT 'fault ' || p.id || ' (' || p.said || ')' FROM promise p WHERE kind = ?1 AND NOT EXISTS "
        "(SELECT 1 FROM kept.faults f JOIN kept.nodes n ON n.number = f.node WHERE f.id = p.id AND "
        "n.name || ' ' || f.kind = p.said)",
};

static const char broken_samples[] =
    "SELECT 'report ' || sequence || ' of ' || node || ', boot ' || boot FROM "
    "(SELECT node, boot, sequence FROM sample EXCEPT SELECT n.name, s.boot, s.sequence FROM kept.samples s "
    "JOIN kept.nodes n ON n.number = s.node) WHERE ?1 IS NOT NULL";

struct promises {
    sqlite3 *db;
    sqlite3_stmt *add, *add_sample;
    uint64_t count;
    void (*made)(void *context); /* NULL: nobody waits */
    void *context;
};

static sqlite3_stmt *prepare(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK)
        lab_give_up("%s: %s", sql, sqlite3_errmsg(db));
    return statement;
}

struct promises *promises_open(void)
{
    struct promises *promises = calloc(1, sizeof *promises);
    CHECK(promises);
    CHECK(sqlite3_open_v2(":memory:", &promises->db,
                          SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_URI, NULL) == SQLITE_OK);
    CHECK(sqlite3_exec(promises->db,
                       "CREATE TABLE promise (kind INTEGER, id INTEGER, said TEXT);"
                       "CREATE TABLE sample (node TEXT, boot TEXT, sequence INTEGER);"
                       /* What is said twice is one promise, but two approvals are two. */
                       "CREATE UNIQUE INDEX once ON promise (kind, id, said) WHERE said <> ''",
                       NULL, NULL, NULL) == SQLITE_OK);
    promises->add = prepare(promises->db, "INSERT OR IGNORE INTO promise VALUES (?1, ?2, ?3)");
    promises->add_sample = prepare(promises->db, "INSERT INTO sample VALUES (?1, ?2, ?3)");
    return promises;
}

void promises_close(struct promises **owner)
{
    sqlite3_finalize((*owner)->add);
    sqlite3_finalize((*owner)->add_sample);
    sqlite3_close((*owner)->db);
    free(*owner);
    *owner = NULL;
}

static void run(struct promises *promises, sqlite3_stmt *statement)
{
    CHECK(sqlite3_step(statement) == SQLITE_DONE);
    sqlite3_reset(statement);
    promises->count += (uint64_t)sqlite3_changes(promises->db);
}

void promises_watch(struct promises *promises, void (*made)(void *context), void *context)
{
    promises->made = made;
    promises->context = context;
}

void promise(struct promises *promises, enum promise_kind kind, uint64_t id, const char *said)
{
    void (*made)(void *context) = kind == PROMISE_INCIDENT ? NULL : promises->made;
    if (made) {
        promises->made = NULL;
        made(promises->context);
    }
    sqlite3_bind_int(promises->add, 1, (int)kind);
    sqlite3_bind_int64(promises->add, 2, (sqlite3_int64)id);
    sqlite3_bind_text(promises->add, 3, said, -1, SQLITE_TRANSIENT);
    run(promises, promises->add);
}

void promise_sample(struct promises *promises, const char *node, const char *boot, uint64_t sequence)
{
    sqlite3_bind_text(promises->add_sample, 1, node, -1, SQLITE_TRANSIENT);
    sqlite3_bind_text(promises->add_sample, 2, boot, -1, SQLITE_TRANSIENT);
    sqlite3_bind_int64(promises->add_sample, 3, (sqlite3_int64)sequence);
    run(promises, promises->add_sample);
}

uint64_t promises_count(const struct promises *promises)
{
    return promises->count;
}

static void check(struct promises *promises, struct audit *audit, const char *sql, int kind)
{
    sqlite3_stmt *statement = prepare(promises->db, sql);
    int code;
    sqlite3_bind_int(statement, 1, kind);
    while ((code = sqlite3_step(statement)) == SQLITE_ROW)
        audit_find(audit, AUDIT_LOST, "%s", (const char *)sqlite3_column_text(statement, 0));
    if (code != SQLITE_DONE)
        audit_find(audit, AUDIT_ILLEGAL, "the database cannot be read: %s", sqlite3_errmsg(promises->db));
    sqlite3_finalize(statement);
}

void promises_check(struct promises *promises, struct audit *audit, const char *database)
{
    char *attach = sqlite3_mprintf("ATTACH 'file:%q?mode=ro' AS kept", database);
    if (!attach || sqlite3_exec(promises->db, attach, NULL, NULL, NULL) != SQLITE_OK)
        lab_give_up("%s: %s", database, sqlite3_errmsg(promises->db));
    sqlite3_free(attach);
    for (int kind = 0; kind < PROMISE_KINDS; kind++)
        check(promises, audit, broken[kind], kind);
    check(promises, audit, broken_samples, 0);
    sqlite3_exec(promises->db, "DETACH kept", NULL, NULL, NULL);
}
