#include "store/insert.h"

#include "base/check.h"
#include "store/shape.h"

#include <string.h>

static int prepare(sqlite3 *db, const char *sql, sqlite3_stmt **statement)
{
    return sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, statement, NULL);
}

static int prepare_shape(sqlite3 *db, const struct row_shape *shape, sqlite3_stmt **statement)
{
    char bytes[4096];
    struct text sql = text_over(bytes, sizeof bytes);
    shape_insert_sql(shape, &sql);
    CHECK(!sql.cut);
    return prepare(db, bytes, statement);
}

/* Names each metric's column, so a metric without its migration is noticed when the store is opened. */
static int prepare_samples(sqlite3 *db, sqlite3_stmt **statement)
{
    char bytes[2048];
    struct text sql = text_over(bytes, sizeof bytes);
    text_add(&sql, "INSERT INTO samples (node, at, boot, sequence");
    for (unsigned metric = 0; metric < METRIC_COUNT; metric++)
        text_addf(&sql, ", %s", metric_name((enum metric)metric));
    text_add(&sql, ") VALUES (?, ?, ?, ?");
    for (unsigned metric = 0; metric < METRIC_COUNT; metric++)
        text_add(&sql, ", ?");
    text_add(&sql, ")");
    CHECK(!sql.cut);
    return prepare(db, bytes, statement);
}

int inserts_open(struct inserts *inserts, sqlite3 *db)
{
    *inserts = (struct inserts){.db = db, .block_number = -1};
    const struct {
        const struct row_shape *shape;
        sqlite3_stmt **statement;
    } shaped[] = {
        {&node_shape, &inserts->node},         {&incident_shape, &inserts->incident},
        {&evidence_shape, &inserts->evidence}, {&timeline_shape, &inserts->timeline},
        {&command_shape, &inserts->command},   {&block_shape, &inserts->block},
        {&target_shape, &inserts->target},     {&fault_shape, &inserts->fault},
        {&gap_shape, &inserts->gap},           {&control_shape, &inserts->control},
    };
    int code = SQLITE_OK;
    for (size_t i = 0; i < COUNT_OF(shaped) && code == SQLITE_OK; i++)
        code = prepare_shape(db, shaped[i].shape, shaped[i].statement);
    if (code == SQLITE_OK)
        code = prepare_samples(db, &inserts->samples);
    if (code == SQLITE_OK)
        code = prepare(db, "DELETE FROM evidence WHERE incident = ? AND place >= ?", &inserts->evidence_rest);
    if (code == SQLITE_OK)
        code = prepare(db, "INSERT INTO policies (version, at, text) VALUES (?, ?, ?)", &inserts->policy);
    if (code == SQLITE_OK)
        code =
            prepare(db,
                    "INSERT INTO samples_blocks VALUES (?, ?, ?) ON CONFLICT (block) DO UPDATE SET "
                    "first_at = min(first_at, excluded.first_at), last_at = max(last_at, excluded.last_at)",
                    &inserts->samples_block);
    return code;
}

/* Runs a bound statement that yields no rows, and makes it ready for the next. The code of the reset is the
 * more precise one. */
static int run(sqlite3_stmt *statement)
{
    int step = sqlite3_step(statement);
    int reset = sqlite3_reset(statement);
    return step == SQLITE_DONE ? SQLITE_OK : reset;
}

static int insert_shaped(const struct row_shape *shape, sqlite3_stmt *statement, const void *row)
{
    int code = shape_bind(shape, statement, row);
    return code == SQLITE_OK ? run(statement) : code;
}

static int insert_incident(struct inserts *inserts, const struct incident *incident)
{
    int code = insert_shaped(&incident_shape, inserts->incident, incident);
    CHECK(incident->evidence_count <= CONDITION_MAX);
    for (uint8_t place = 0; place < incident->evidence_count && code == SQLITE_OK; place++) {
        struct evidence_row row = {
            .incident = incident->id, .place = place, .evidence = incident->evidence[place]};
        code = insert_shaped(&evidence_shape, inserts->evidence, &row);
    }
    if (code != SQLITE_OK)
        return code;
    sqlite3_bind_int64(inserts->evidence_rest, 1, (sqlite3_int64)incident->id);
    sqlite3_bind_int(inserts->evidence_rest, 2, incident->evidence_count);
    return run(inserts->evidence_rest);
}

static int write_block(struct inserts *inserts)
{
    if (inserts->block_number < 0)
        return SQLITE_OK;
    sqlite3_bind_int64(inserts->samples_block, 1, inserts->block_number);
    sqlite3_bind_int64(inserts->samples_block, 2, inserts->block_first_at);
    sqlite3_bind_int64(inserts->samples_block, 3, inserts->block_last_at);
    inserts->block_number = -1;
    return run(inserts->samples_block);
}

/* The sample with this id is at `at`: widens its block. */
static int widen_block(struct inserts *inserts, int64_t id, int64_t at)
{
    if (inserts->block_number != id / SAMPLES_PER_BLOCK) {
        int code = write_block(inserts);
        if (code != SQLITE_OK)
            return code;
        inserts->block_number = id / SAMPLES_PER_BLOCK;
        inserts->block_first_at = inserts->block_last_at = at;
    }
    if (at < inserts->block_first_at)
        inserts->block_first_at = at;
    if (at > inserts->block_last_at)
        inserts->block_last_at = at;
    return SQLITE_OK;
}

static int insert_samples(struct inserts *inserts, const struct row *row)
{
    struct samples_head head;
    memcpy(&head, row->bytes, sizeof head);
    const unsigned char *values = row->bytes + sizeof head;
    char boot[17];
    boot_text(boot, head.boot);
    sqlite3_stmt *statement = inserts->samples;
    sqlite3_bind_int64(statement, 1, head.node);
    sqlite3_bind_int64(statement, 2, head.at);
    int code = sqlite3_bind_text(statement, 3, boot, 16, SQLITE_TRANSIENT);
    sqlite3_bind_int64(statement, 4, (sqlite3_int64)head.sequence);
    for (int metric = 0; metric < METRIC_COUNT; metric++) {
        if (!(head.present >> metric & 1)) {
            sqlite3_bind_null(statement, 5 + metric);
            continue;
        }
        double value;
        memcpy(&value, values, sizeof value);
        values += sizeof value;
        sqlite3_bind_double(statement, 5 + metric, value);
    }
    if (code == SQLITE_OK)
        code = run(statement);
    return code == SQLITE_OK ? widen_block(inserts, sqlite3_last_insert_rowid(inserts->db), head.at) : code;
}

/* The row's text follows its two numbers. */
static int insert_policy(struct inserts *inserts, const struct row *row)
{
    struct policy_row policy;
    const char *text = (const char *)row->bytes + offsetof(struct policy_row, text);
    memcpy(&policy, row->bytes, offsetof(struct policy_row, text));
    sqlite3_bind_int64(inserts->policy, 1, (sqlite3_int64)policy.version);
    sqlite3_bind_int64(inserts->policy, 2, policy.at);
    int code = sqlite3_bind_text(inserts->policy, 3, text, -1, SQLITE_STATIC);
    return code == SQLITE_OK ? run(inserts->policy) : code;
}

int inserts_row(struct inserts *inserts, const struct row *row)
{
    union {
        struct node_row node;
        struct incident incident;
        struct timeline_row timeline;
        struct command_row command;
        struct block_row block;
        struct target_row target;
        struct fault_row fault;
        struct gap_row gap;
        struct control_row control;
    } of;
    if (row->kind == ROW_SAMPLES)
        return insert_samples(inserts, row);
    if (row->kind == ROW_POLICY)
        return insert_policy(inserts, row);
    CHECK(row->size <= sizeof of);
    memcpy(&of, row->bytes,
           row->size); /* a text at its end may be shorter than its member: it brings its NUL */
    switch (row->kind) {
    case ROW_NODE:
        return insert_shaped(&node_shape, inserts->node, &of.node);
    case ROW_INCIDENT:
        return insert_incident(inserts, &of.incident);
    case ROW_TIMELINE:
        return insert_shaped(&timeline_shape, inserts->timeline, &of.timeline);
    case ROW_COMMAND:
        return insert_shaped(&command_shape, inserts->command, &of.command);
    case ROW_BLOCK:
        return insert_shaped(&block_shape, inserts->block, &of.block);
    case ROW_TARGET:
        return insert_shaped(&target_shape, inserts->target, &of.target);
    case ROW_FAULT:
        return insert_shaped(&fault_shape, inserts->fault, &of.fault);
    case ROW_GAP:
        return insert_shaped(&gap_shape, inserts->gap, &of.gap);
    case ROW_CONTROL:
        return insert_shaped(&control_shape, inserts->control, &of.control);
    case ROW_SAMPLES:
    case ROW_POLICY:
        break;
    }
    return SQLITE_INTERNAL; /* the row is of none of our kinds: the batch is not what rows_add() made */
}

int inserts_finish(struct inserts *inserts)
{
    return write_block(inserts);
}

void inserts_forget(struct inserts *inserts)
{
    inserts->block_number = -1;
}

void inserts_close(struct inserts *inserts)
{
    sqlite3_stmt *statements[] = {inserts->node,          inserts->incident, inserts->evidence,
                                  inserts->evidence_rest, inserts->timeline, inserts->command,
                                  inserts->block,         inserts->target,   inserts->fault,
                                  inserts->gap,           inserts->samples,  inserts->samples_block,
                                  inserts->policy,        inserts->control};
    for (size_t i = 0; i < COUNT_OF(statements); i++)
        sqlite3_finalize(statements[i]);
    *inserts = (struct inserts){.block_number = -1};
}
