#include "store/store.h"

#include "base/check.h"
#include "store/database.h"
#include "store/shape.h"
#include "store/writer.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct store {
    const struct database *database;
    void *reading;
    struct store_writer *writer; /* that it follows, or NULL */
    char problem[1024];          /* of our own; "": the database has one, or there is none */
};

int store_open(struct store **store, const char *name, char *error, size_t error_size)
{
    *store = NULL;
    struct store *made = calloc(1, sizeof *made);
    if (!made) {
        snprintf(error, error_size, "out of memory");
        return -ENOMEM;
    }
    const char *target;
    made->database = database_of(name, &target);
    int result = made->database->read_open(&made->reading, target, error, error_size);
    if (result < 0)
        store_close(&made);
    *store = made;
    return result;
}

void store_close(struct store **store)
{
    if (!*store)
        return;
    if ((*store)->reading)
        (*store)->database->read_close(&(*store)->reading);
    free(*store);
    *store = NULL;
}

const char *store_problem(const struct store *store)
{
    return store->problem[0] ? store->problem : store->database->problem(store->reading);
}

/* --- a cursor over the rows of one shape -------------------------------------------------------------- */

struct cursor {
    struct store *store;
    const struct row_shape *shape;
    void *question;
    struct value values[VALUES_MAX];
    int result; /* rows so far, or a negative errno */
};

static void cursor_open_sql(struct cursor *cursor, struct store *store, const struct row_shape *shape,
                            const struct text *sql)
{
    CHECK(!sql->cut);
    store->problem[0] = '\0';
    *cursor = (struct cursor){.store = store, .shape = shape};
    if (store->writer && !writer_reaches(store->writer)) {
        snprintf(store->problem, sizeof store->problem, "the database server does not answer");
        cursor->result = -EAGAIN;
        return;
    }
    cursor->question = store->database->ask(store->reading, sql->bytes);
    if (cursor->question)
        return;
    cursor->result = -EIO;
    if (store->writer && store->database->is_lost && store->database->is_lost(store->reading))
        writer_doubt(store->writer);
}

void store_follow(struct store *store, struct store_writer *writer)
{
    store->writer = writer;
    if (store->database->hurry)
        store->database->hurry(store->reading);
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

/* True while there is a row that the database could read. */
static bool cursor_step(struct cursor *cursor, unsigned columns)
{
    if (cursor->result < 0)
        return false;
    int code = cursor->store->database->step(cursor->question, cursor->values, columns);
    if (code > 0)
        cursor->result++;
    else if (code < 0)
        cursor->result = code;
    return code > 0;
}

static bool cursor_refuse(struct cursor *cursor, const char *table, const char *column)
{
    struct store *store = cursor->store;
    snprintf(store->problem, sizeof store->problem,
             "%s.%s in the %s store holds something that homeostat never wrote", table, column,
             store->database->name);
    cursor->result = -EBADMSG;
    return false;
}

static bool cursor_next(struct cursor *cursor, void *row)
{
    if (!cursor_step(cursor, cursor->shape->count))
        return false;
    const char *column = shape_read(cursor->shape, cursor->values, row);
    if (!column)
        return true;
    return cursor_refuse(cursor, cursor->shape->table, column);
}

static int cursor_close(struct cursor *cursor)
{
    cursor->store->database->finish(cursor->question);
    cursor->question = NULL;
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
             "incident %llu has %d rows of evidence and should have %d", (unsigned long long)incident->id,
             count, incident->evidence_count);
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

static bool read_samples(struct cursor *cursor, struct samples_row *row)
{
    const struct value *values = cursor->values;
    if (!cursor_step(cursor, 3 + METRIC_COUNT))
        return false;
    row->at = values[0].integer;
    if (values[1].type != VALUE_TEXT || !boot_parse(values[1].text, &row->boot))
        return cursor_refuse(cursor, "samples", "boot");
    row->sequence = (uint64_t)values[2].integer;
    row->present = 0;
    for (int metric = 0; metric < METRIC_COUNT; metric++) {
        bool there = values[3 + metric].type == VALUE_REAL;
        row->present |= (uint32_t)there << metric;
        row->value[metric] = there ? values[3 + metric].real : 0;
    }
    return true;
}

int store_samples(struct store *store, uint32_t node, instant from, instant to, each_samples *each,
                  void *context)
{
    char bytes[2048];
    struct text sql = text_over(bytes, sizeof bytes);
    store->database->samples_sql(&sql, node, from, to);
    struct cursor cursor;
    struct samples_row row = {.node = node};
    cursor_open_sql(&cursor, store, NULL, &sql);
    while (read_samples(&cursor, &row) && each(context, &row))
        ;
    return cursor_close(&cursor);
}

int store_rollups(struct store *store, uint32_t node, enum metric metric, int step_s, instant from,
                  instant to, each_rollup *each, void *context)
{
    char bytes[512];
    struct text sql = text_over(bytes, sizeof bytes);
    text_addf(&sql,
              "SELECT at, least, most, mean, last, count FROM rollups WHERE node = %u AND metric = '%s' AND "
              "step_s = %d "
              "AND at BETWEEN %lld AND %lld ORDER BY at",
              node, metric_name(metric), step_s, (long long)from, (long long)to);
    struct cursor cursor;
    bool wanted = true;
    cursor_open_sql(&cursor, store, NULL, &sql);
    while (wanted && cursor_step(&cursor, 6)) {
        const struct value *values = cursor.values;
        struct rollup_row row = {.at = values[0].integer,
                                 .least = values[1].real,
                                 .most = values[2].real,
                                 .mean = values[3].real,
                                 .last = values[4].real,
                                 .count = (double)values[5].integer};
        wanted = each(context, &row);
    }
    return cursor_close(&cursor);
}

static bool take_instant(void *context, const struct value *values)
{
    if (values[0].type == VALUE_INTEGER)
        *(instant *)context = values[0].integer;
    return false;
}

int store_history(struct store *store, instant *raw_from, instant *minutes_from)
{
    *raw_from = *minutes_from = INSTANT_NONE;
    int code = store_ask(store, "SELECT at FROM history WHERE what = 'raw'", 1, take_instant, raw_from);
    return code < 0 ? code
                    : store_ask(store, "SELECT min(at) FROM rollups WHERE step_s = 60", 1, take_instant,
                                minutes_from);
}

int store_ask(struct store *store, const char *sql, unsigned columns, each_values *each, void *context)
{
    struct text text = {.bytes = (char *)sql, .capacity = strlen(sql) + 1, .length = strlen(sql)};
    struct cursor cursor;
    CHECK(columns <= VALUES_MAX);
    cursor_open_sql(&cursor, store, NULL, &text);
    while (cursor_step(&cursor, columns) && each(context, cursor.values))
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
    if (cursor_step(&cursor, 3)) {
        row->version = (uint64_t)cursor.values[0].integer;
        row->at = cursor.values[1].integer;
        row->text = *text = cursor.values[2].type == VALUE_TEXT ? strdup(cursor.values[2].text) : NULL;
        if (!*text)
            cursor.result = -ENOMEM;
    }
    return cursor_close(&cursor);
}
