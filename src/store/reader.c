#include "store/store.h"

#include "base/check.h"
#include "store/insert.h"
#include "store/migrate.h"
#include "store/shape.h"
#include "store/sqlite.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct store {
    sqlite3 *db;
    char *path;
    char problem[1024];
};

int store_open(struct store **store, const char *path, char *error, size_t error_size)
{
    *store = NULL;
    struct store *made = calloc(1, sizeof *made);
    if (!made || !(made->path = strdup(path))) {
        free(made);
        snprintf(error, error_size, "out of memory");
        return -ENOMEM;
    }
    int result = database_open(&made->db, path, DATABASE_READ, error, error_size);
    if (result == 0)
        result = database_version(made->db, path, migrations_count, error, error_size);
    if (result >= 0 && result < migrations_count) {
        snprintf(error, error_size,
                 "%s has schema %d and this homeostat reads schema %d: start the control plane on it once, "
                 "which brings "
                 "it up to date",
                 path, result, migrations_count);
        result = -EINVAL;
    }
    if (result < 0)
        store_close(&made);
    *store = made;
    return result < 0 ? result : 0;
}

void store_close(struct store **store)
{
    if (!*store)
        return;
    sqlite3_close((*store)->db);
    free((*store)->path);
    free(*store);
    *store = NULL;
}

const char *store_problem(const struct store *store)
{
    return store->problem;
}

/* --- a cursor over the rows of one shape -------------------------------------------------------------- */

struct cursor {
    struct store *store;
    const struct row_shape *shape;
    sqlite3_stmt *statement;
    int result; /* rows so far, or a negative errno */
};

static int fail(struct store *store)
{
    return database_failure(store->db, store->path, store->problem, sizeof store->problem);
}

static void cursor_open_sql(struct cursor *cursor, struct store *store, const struct row_shape *shape,
                            const struct text *sql)
{
    CHECK(!sql->cut);
    store->problem[0] = '\0';
    *cursor = (struct cursor){.store = store, .shape = shape};
    if (sqlite3_prepare_v2(store->db, sql->bytes, (int)sql->length + 1, &cursor->statement, NULL) !=
        SQLITE_OK)
        cursor->result = fail(store);
}

/* `rest` is what follows FROM table: numbers only, so it needs no parameters. */
static void cursor_open(struct cursor *cursor, struct store *store, const struct row_shape *shape,
                        const char *rest)
{
    char bytes[4096];
    struct text sql = text_over(bytes, sizeof bytes);
    shape_select_sql(shape, &sql);
    text_add(&sql, rest);
    cursor_open_sql(cursor, store, shape, &sql);
}

/* True while there is a row that SQLite could read. */
static bool cursor_step(struct cursor *cursor)
{
    if (cursor->result < 0)
        return false;
    int code = sqlite3_step(cursor->statement);
    if (code == SQLITE_ROW) {
        cursor->result++;
        return true;
    }
    if (code != SQLITE_DONE)
        cursor->result = fail(cursor->store);
    return false;
}

static bool cursor_refuse(struct cursor *cursor, const char *table, const char *column)
{
    struct store *store = cursor->store;
    snprintf(store->problem, sizeof store->problem, "%s: %s.%s holds something that homeostat never wrote",
             store->path, table, column);
    cursor->result = -EBADMSG;
    return false;
}

static bool cursor_next(struct cursor *cursor, void *row)
{
    if (!cursor_step(cursor))
        return false;
    const char *column = shape_read(cursor->shape, cursor->statement, row);
    if (!column)
        return true;
    return cursor_refuse(cursor, cursor->shape->table, column);
}

static int cursor_close(struct cursor *cursor)
{
    sqlite3_finalize(cursor->statement);
    return cursor->result;
}

/* --- the readers -------------------------------------------------------------------------------------- */

int store_nodes(struct store *store, each_node *each, void *context)
{
    struct cursor cursor;
    struct node_row row;
    cursor_open(&cursor, store, &node_shape, " ORDER BY number");
    while (cursor_next(&cursor, &row) && each(context, &row))
        ;
    return cursor_close(&cursor);
}

static void add_limit(struct text *sql, unsigned limit)
{
    if (limit > 0)
        text_addf(sql, " LIMIT %u", limit);
}

/* The evidence of one incident, in the same snapshot, since the outer statement is still open. */
static int read_evidence(struct store *store, struct incident *incident)
{
    char rest[128];
    snprintf(rest, sizeof rest, " WHERE incident = %lld ORDER BY place", (long long)incident->id);
    struct cursor cursor;
    struct evidence_row row;
    int count = 0;
    cursor_open(&cursor, store, &evidence_shape, rest);
    while (count < CONDITION_MAX && cursor_next(&cursor, &row))
        incident->evidence[count++] = row.evidence;
    int result = cursor_close(&cursor);
    if (result < 0 || count == incident->evidence_count)
        return result;
    snprintf(store->problem, sizeof store->problem,
             "%s: incident %llu has %d rows of evidence and should have %d", store->path,
             (unsigned long long)incident->id, count, incident->evidence_count);
    return -EBADMSG;
}

static void incidents_rest(const struct incident_filter *filter, struct text *rest)
{
    text_add(rest, " WHERE true");
    if (filter->id)
        text_addf(rest, " AND id = %lld", (long long)filter->id);
    if (filter->node >= 0)
        text_addf(rest, " AND node = %lld", (long long)filter->node);
    if (filter->state >= 0)
        text_addf(rest, " AND state = '%s'", incident_state_name((enum incident_state)filter->state));
    if (filter->open_or_since) {
        text_add(rest, " AND (state IN (");
        for (int state = 0; state < INCIDENT_STATE_COUNT; state++)
            if (state != INCIDENT_RESOLVED)
                text_addf(rest, "%s'%s'", state ? ", " : "", incident_state_name((enum incident_state)state));
        text_addf(rest, ") OR (state = '%s' AND closed_at >= %lld))", incident_state_name(INCIDENT_RESOLVED),
                  (long long)filter->since);
    }
    text_add(rest, " ORDER BY id DESC");
    add_limit(rest, filter->limit);
}

int store_incidents(struct store *store, const struct incident_filter *filter, each_incident *each,
                    void *context)
{
    char bytes[1024];
    struct text rest = text_over(bytes, sizeof bytes);
    incidents_rest(filter, &rest);
    CHECK(!rest.cut);
    struct cursor cursor;
    struct incident incident;
    cursor_open(&cursor, store, &incident_shape, bytes);
    while (cursor_next(&cursor, &incident)) {
        int evidence = read_evidence(store, &incident);
        if (evidence < 0)
            cursor.result = evidence;
        else if (each(context, &incident))
            continue;
        break;
    }
    return cursor_close(&cursor);
}

int store_timeline(struct store *store, uint64_t incident, each_timeline *each, void *context)
{
    char rest[128];
    snprintf(rest, sizeof rest, " WHERE incident = %lld ORDER BY id", (long long)incident);
    struct cursor cursor;
    struct timeline_row row;
    cursor_open(&cursor, store, &timeline_shape, rest);
    while (cursor_next(&cursor, &row) && each(context, &row))
        ;
    return cursor_close(&cursor);
}

int store_commands(struct store *store, uint64_t incident, int64_t node, instant since, each_command *each,
                   void *context)
{
    char bytes[512];
    struct text rest = text_over(bytes, sizeof bytes);
    text_addf(&rest, " WHERE (ordered_at >= %lld OR ended_at IS NULL OR ended_at >= %lld)", (long long)since,
              (long long)since);
    if (incident)
        text_addf(&rest, " AND incident = %lld", (long long)incident);
    if (node >= 0)
        text_addf(&rest, " AND node = %lld", (long long)node);
    text_add(&rest, " ORDER BY id");
    struct cursor cursor;
    struct command_row row;
    cursor_open(&cursor, store, &command_shape, bytes);
    while (cursor_next(&cursor, &row) && each(context, &row))
        ;
    return cursor_close(&cursor);
}

int store_command(struct store *store, uint64_t id, struct command_row *row)
{
    char rest[64];
    snprintf(rest, sizeof rest, " WHERE id = %lld", (long long)id);
    struct cursor cursor;
    cursor_open(&cursor, store, &command_shape, rest);
    cursor_next(&cursor, row);
    return cursor_close(&cursor);
}

int store_blocks(struct store *store, uint64_t incident, unsigned limit, each_block *each, void *context)
{
    char bytes[256];
    struct text rest = text_over(bytes, sizeof bytes);
    if (incident)
        text_addf(&rest, " WHERE incident = %lld", (long long)incident);
    text_add(&rest, " ORDER BY last_at DESC");
    add_limit(&rest, limit);
    struct cursor cursor;
    struct block_row row;
    cursor_open(&cursor, store, &block_shape, bytes);
    while (cursor_next(&cursor, &row) && each(context, &row))
        ;
    return cursor_close(&cursor);
}

int store_targets(struct store *store, each_target *each, void *context)
{
    struct cursor cursor;
    struct target_row row;
    cursor_open(&cursor, store, &target_shape, " ORDER BY node");
    while (cursor_next(&cursor, &row) && each(context, &row))
        ;
    return cursor_close(&cursor);
}

int store_faults(struct store *store, uint64_t id, bool active_only, unsigned limit, each_fault *each,
                 void *context)
{
    char bytes[256];
    struct text rest = text_over(bytes, sizeof bytes);
    text_add(&rest, " WHERE true");
    if (id)
        text_addf(&rest, " AND id = %lld", (long long)id);
    if (active_only)
        text_addf(&rest, " AND state IN ('%s', '%s')", fault_state_name(FAULT_ASKED),
                  fault_state_name(FAULT_ACTIVE));
    text_add(&rest, " ORDER BY id DESC");
    add_limit(&rest, limit);
    struct cursor cursor;
    struct fault_row row;
    cursor_open(&cursor, store, &fault_shape, bytes);
    while (cursor_next(&cursor, &row) && each(context, &row))
        ;
    return cursor_close(&cursor);
}

int store_gaps(struct store *store, int64_t node, each_gap *each, void *context)
{
    char bytes[128];
    struct text rest = text_over(bytes, sizeof bytes);
    if (node >= 0)
        text_addf(&rest, " WHERE node = %lld", (long long)node);
    text_add(&rest, " ORDER BY node, boot, first");
    struct cursor cursor;
    struct gap_row row;
    cursor_open(&cursor, store, &gap_shape, bytes);
    while (cursor_next(&cursor, &row) && each(context, &row))
        ;
    return cursor_close(&cursor);
}

int store_control(struct store *store, struct control_row *row)
{
    struct cursor cursor;
    cursor_open(&cursor, store, &control_shape, "");
    if (!cursor_next(&cursor, row))
        *row = (struct control_row){.at = INSTANT_NONE};
    return cursor_close(&cursor);
}

/* --- samples and policy, which have no shape ---------------------------------------------------------- */

/* CROSS JOIN keeps the order of the tables: the few blocks that overlap the span first, then their samples.
 */
static void samples_sql(struct text *sql, uint32_t node, instant from, instant to)
{
    text_add(sql, "SELECT at, boot, sequence");
    for (unsigned metric = 0; metric < METRIC_COUNT; metric++)
        text_addf(sql, ", %s", metric_name((enum metric)metric));
    text_addf(sql,
              " FROM samples_blocks CROSS JOIN samples ON samples.id BETWEEN block * %d AND block * %d + %d"
              " WHERE last_at >= %lld AND first_at <= %lld AND +node = %u AND at BETWEEN %lld AND %lld"
              " ORDER BY at, samples.id",
              SAMPLES_PER_BLOCK, SAMPLES_PER_BLOCK, SAMPLES_PER_BLOCK - 1, (long long)from, (long long)to,
              node, (long long)from, (long long)to);
}

static bool read_samples(struct cursor *cursor, struct samples_row *row)
{
    if (!cursor_step(cursor))
        return false;
    sqlite3_stmt *statement = cursor->statement;
    row->at = sqlite3_column_int64(statement, 0);
    const char *boot = (const char *)sqlite3_column_text(statement, 1);
    if (!boot || !boot_parse(boot, &row->boot))
        return cursor_refuse(cursor, "samples", "boot");
    row->sequence = (uint64_t)sqlite3_column_int64(statement, 2);
    row->present = 0;
    for (int metric = 0; metric < METRIC_COUNT; metric++) {
        bool there = sqlite3_column_type(statement, 3 + metric) != SQLITE_NULL;
        row->present |= (uint32_t)there << metric;
        row->value[metric] = there ? sqlite3_column_double(statement, 3 + metric) : 0;
    }
    return true;
}

int store_samples(struct store *store, uint32_t node, instant from, instant to, each_samples *each,
                  void *context)
{
    char bytes[2048];
    struct text sql = text_over(bytes, sizeof bytes);
    samples_sql(&sql, node, from, to);
    struct cursor cursor;
    struct samples_row row = {.node = node};
    cursor_open_sql(&cursor, store, NULL, &sql);
    while (read_samples(&cursor, &row) && each(context, &row))
        ;
    return cursor_close(&cursor);
}

int store_policy(struct store *store, struct policy_row *row, char **text)
{
    *row = (struct policy_row){.at = INSTANT_NONE};
    *text = NULL;
    char bytes[] = "SELECT version, at, text FROM policies ORDER BY version DESC LIMIT 1";
    struct text sql = {.bytes = bytes, .capacity = sizeof bytes, .length = sizeof bytes - 1};
    struct cursor cursor;
    cursor_open_sql(&cursor, store, NULL, &sql);
    if (cursor_step(&cursor)) {
        row->version = (uint64_t)sqlite3_column_int64(cursor.statement, 0);
        row->at = sqlite3_column_int64(cursor.statement, 1);
        const char *found = (const char *)sqlite3_column_text(cursor.statement, 2);
        row->text = *text = found ? strdup(found) : NULL;
        if (!*text)
            cursor.result = -ENOMEM;
    }
    return cursor_close(&cursor);
}
