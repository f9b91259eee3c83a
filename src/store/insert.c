#include "store/insert.h"

#include "base/check.h"
#include "store/shape.h"

#include <math.h>
#include <string.h>

static const struct row_shape *const shapes[INSERT_COUNT] = {
    [INSERT_NODE] = &node_shape,         [INSERT_INCIDENT] = &incident_shape,
    [INSERT_EVIDENCE] = &evidence_shape, [INSERT_TIMELINE] = &timeline_shape,
    [INSERT_COMMAND] = &command_shape,   [INSERT_BLOCK] = &block_shape,
    [INSERT_TARGET] = &target_shape,     [INSERT_FAULT] = &fault_shape,
    [INSERT_GAP] = &gap_shape,           [INSERT_CONTROL] = &control_shape,
};

unsigned insert_sql(enum insert insert, struct text *sql, enum value_type types[VALUES_MAX])
{
    const struct row_shape *shape = shapes[insert];
    unsigned count = 0;
    if (insert == INSERT_EVIDENCE_REST) {
        text_add(sql, "DELETE FROM evidence WHERE incident = $1 AND place >= $2");
        types[count++] = VALUE_INTEGER;
        types[count++] = VALUE_INTEGER;
    } else if (insert == INSERT_POLICY) {
        text_add(sql, "INSERT INTO policies (version, at, text) VALUES ($1, $2, $3)");
        types[count++] = VALUE_INTEGER;
        types[count++] = VALUE_INTEGER;
        types[count++] = VALUE_TEXT;
    } else {
        shape_insert_sql(shape, sql);
        for (unsigned i = 0; i < shape->count; i++)
            if (shape->columns[i].use != USE_COMPUTED)
                types[count++] = shape_type(&shape->columns[i]);
    }
    CHECK(!sql->cut && count <= VALUES_MAX);
    return count;
}

static int run_shaped(const struct inserter *inserter, enum insert insert, const void *row)
{
    struct value values[VALUES_MAX];
    char bytes[SHAPE_SCRATCH_SIZE];
    struct text scratch = text_over(bytes, sizeof bytes);
    unsigned count = shape_write(shapes[insert], row, values, &scratch);
    return inserter->run(inserter->context, insert, values, count);
}

static int run_incident(const struct inserter *inserter, const struct incident *incident)
{
    int code = run_shaped(inserter, INSERT_INCIDENT, incident);
    CHECK(incident->evidence_count <= CONDITION_MAX);
    for (uint8_t place = 0; place < incident->evidence_count && code == 0; place++) {
        struct evidence_row row = {
            .incident = incident->id, .place = place, .evidence = incident->evidence[place]};
        code = run_shaped(inserter, INSERT_EVIDENCE, &row);
    }
    if (code != 0 || incident->id > *inserter->evidence_through) {
        if (incident->evidence_count > 0)
            *inserter->evidence_through = incident->id;
        return code;
    }
    struct value rest[] = {value_integer((int64_t)incident->id), value_integer(incident->evidence_count)};
    return inserter->run(inserter->context, INSERT_EVIDENCE_REST, rest, COUNT_OF(rest));
}

static int run_samples(const struct inserter *inserter, const struct row *row)
{
    struct samples_head head;
    double values[METRIC_COUNT];
    memcpy(&head, row->bytes, sizeof head);
    const unsigned char *next = row->bytes + sizeof head;
    for (int metric = 0; metric < METRIC_COUNT; metric++) {
        values[metric] = (double)NAN;
        if (head.present >> metric & 1) {
            memcpy(&values[metric], next, sizeof values[metric]);
            next += sizeof values[metric];
        }
    }
    return inserter->samples(inserter->context, &head, values);
}

/* The row's text follows its two numbers. */
static int run_policy(const struct inserter *inserter, const struct row *row)
{
    struct policy_row policy;
    const char *text = (const char *)row->bytes + offsetof(struct policy_row, text);
    memcpy(&policy, row->bytes, offsetof(struct policy_row, text));
    struct value values[] = {value_integer((int64_t)policy.version), value_integer(policy.at),
                             value_text(text, strlen(text))};
    return inserter->run(inserter->context, INSERT_POLICY, values, COUNT_OF(values));
}

static int run_row(const struct inserter *inserter, const struct row *row)
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
        return run_samples(inserter, row);
    if (row->kind == ROW_POLICY)
        return run_policy(inserter, row);
    CHECK(row->size <= sizeof of);
    memcpy(&of, row->bytes,
           row->size); /* a text at its end may be shorter than its member: it brings its NUL */
    switch (row->kind) {
    case ROW_NODE:
        return run_shaped(inserter, INSERT_NODE, &of.node);
    case ROW_INCIDENT:
        return run_incident(inserter, &of.incident);
    case ROW_TIMELINE:
        return run_shaped(inserter, INSERT_TIMELINE, &of.timeline);
    case ROW_COMMAND:
        return run_shaped(inserter, INSERT_COMMAND, &of.command);
    case ROW_BLOCK:
        return run_shaped(inserter, INSERT_BLOCK, &of.block);
    case ROW_TARGET:
        return run_shaped(inserter, INSERT_TARGET, &of.target);
    case ROW_FAULT:
        return run_shaped(inserter, INSERT_FAULT, &of.fault);
    case ROW_GAP:
        return run_shaped(inserter, INSERT_GAP, &of.gap);
    case ROW_CONTROL:
        return run_shaped(inserter, INSERT_CONTROL, &of.control);
    case ROW_SAMPLES:
    case ROW_POLICY:
        break;
    }
    CHECK(false); /* the row is of none of our kinds: the batch is not what rows_add() made */
    return -1;
}

int insert_rows(const struct inserter *inserter, const struct rows *rows)
{
    struct row row;
    int code = 0;
    for (size_t at = 0; code == 0 && rows_next(rows, &at, &row);)
        code = run_row(inserter, &row);
    return code;
}
