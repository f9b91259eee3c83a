#include "cli/store_lines.h"

#include "base/check.h"
#include "store/shape.h"
#include "wire/json.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct export
{
    struct store *store;
    FILE *out;
    long long lines;
};

static json_t *json_of_value(const struct value *value)
{
    switch (value->type) {
    case VALUE_INTEGER:
        return json_integer(value->integer);
    case VALUE_REAL: /* JSON has no infinity */
        return isinf(value->real) ? json_string(value->real > 0 ? "Infinity" : "-Infinity")
                                  : json_real(value->real);
    case VALUE_TEXT:
        return json_stringn(value->text, value->length);
    case VALUE_NULL:
        break;
    }
    return json_null();
}

static json_t *json_of_row(const struct row_shape *shape, const void *row)
{
    struct value values[VALUES_MAX];
    char bytes[SHAPE_SCRATCH_SIZE];
    struct text scratch = text_over(bytes, sizeof bytes);
    json_t *object = json_object();
    unsigned at = 0;
    shape_write(shape, row, values, &scratch);
    for (unsigned i = 0; i < shape->count; i++)
        if (shape->columns[i].use != USE_COMPUTED)
            json_object_set_new(object, shape->columns[i].name, json_of_value(&values[at++]));
    return object;
}

/* False: the line cannot be written, so no more is asked for. */
static bool write_line(struct export *export, const char *table, json_t *row)
{
    json_t *line = json_pack("{s:s}", "table", table);
    json_object_update(line, row);
    json_decref(row);
    bool good = json_dumpf(line, export->out, JSON_COMPACT | JSON_REAL_PRECISION(17)) == 0 &&
                fputc('\n', export->out) != EOF;
    json_decref(line);
    export->lines += good;
    return good;
}

#define WRITER(noun, type)                                                                                   \
    static bool write_##noun(void *context, const type *row)                                                 \
    {                                                                                                        \
        return write_line(context, noun##_shape.table, json_of_row(&noun##_shape, row));                     \
    }
WRITER(node, struct node_row)
WRITER(timeline, struct timeline_row)
WRITER(command, struct command_row)
WRITER(block, struct block_row)
WRITER(target, struct target_row)
WRITER(fault, struct fault_row)
WRITER(gap, struct gap_row)
#undef WRITER

static bool write_samples(void *context, const struct samples_row *row)
{
    char boot[17];
    boot_text(boot, row->boot);
    json_t *object = json_pack("{s:I, s:I, s:s, s:I}", "node", (json_int_t)row->node, "at",
                               (json_int_t)row->at, "boot", boot, "sequence", (json_int_t)row->sequence);
    for (unsigned metric = 0; metric < METRIC_COUNT; metric++)
        if (row->present >> metric & 1) {
            struct value value = value_real(row->value[metric]);
            json_object_set_new(object, metric_name((enum metric)metric), json_of_value(&value));
        }
    return write_line(context, "samples", object);
}

static bool write_policy(void *context, const struct value *values)
{
    json_t *object = json_object();
    json_object_set_new(object, "version", json_of_value(&values[0]));
    json_object_set_new(object, "at", json_of_value(&values[1]));
    json_object_set_new(object, "text", json_of_value(&values[2]));
    return write_line(context, "policies", object);
}

struct incidents {
    struct export *export;
    uint64_t *ids;
    size_t count, room;
};

static bool write_incident(void *context, const struct incident *incident)
{
    struct incidents *all = context;
    json_t *object = json_of_row(&incident_shape, incident), *list = json_array();
    for (uint8_t place = 0; place < incident->evidence_count; place++) {
        struct evidence_row row = {
            .incident = incident->id, .place = place, .evidence = incident->evidence[place]};
        json_array_append_new(list, json_of_row(&evidence_shape, &row));
    }
    json_object_set_new(object, "evidence", list);
    if (all->count == all->room) {
        all->room = all->room ? 2 * all->room : 256;
        all->ids = realloc(all->ids, all->room * sizeof *all->ids);
        CHECK(all->ids);
    }
    all->ids[all->count++] = incident->id;
    return write_line(all->export, incident_shape.table, object);
}

/* Incidents come newest first; their timelines follow, the oldest incident's first. */
static int write_incidents(struct export *export)
{
    const struct incident_filter every = {.node = -1, .state = -1};
    struct incidents all = {.export = export};
    int code = store_incidents(export->store, &every, write_incident, &all);
    for (size_t i = all.count; i-- > 0 && code >= 0;)
        code = store_timeline(export->store, all.ids[i], write_timeline, export);
    free(all.ids);
    return code;
}

static bool note_number(void *context, const struct node_row *row)
{
    uint32_t *most = context;
    *most = row->number + 1 > *most ? row->number + 1 : *most;
    return true;
}

static int write_all_samples(struct export *export)
{
    uint32_t most = 0;
    int code = store_nodes(export->store, note_number, &most);
    for (uint32_t node = 0; node < most && code >= 0; node++)
        code = store_samples(export->store, node, INSTANT_NONE, INSTANT_NEVER, write_samples, export);
    return code;
}

static int write_control(struct export *export)
{
    struct control_row row;
    int rows = store_control(export->store, &row);
    if (rows > 0)
        write_line(export, control_shape.table, json_of_row(&control_shape, &row));
    return rows;
}

long long store_export(struct store *store, FILE *out, char *error, size_t error_size)
{
    struct export export = {.store = store, .out = out};
    int code = write_control(&export);
    if (code >= 0)
        code = store_ask(store, "SELECT version, at, text FROM policies ORDER BY version", 3, write_policy,
                         &export);
    if (code >= 0)
        code = store_nodes(store, write_node, &export);
    if (code >= 0)
        code = store_targets(store, write_target, &export);
    if (code >= 0)
        code = write_incidents(&export);
    if (code >= 0)
        code = store_commands(store, 0, -1, INSTANT_NONE, write_command, &export);
    if (code >= 0)
        code = store_blocks(store, 0, 0, write_block, &export);
    if (code >= 0)
        code = store_faults(store, 0, false, 0, write_fault, &export);
    if (code >= 0)
        code = store_gaps(store, -1, write_gap, &export);
    if (code >= 0)
        code = write_all_samples(&export);
    if (code < 0) {
        snprintf(error, error_size, "%s", store_problem(store));
        return code;
    }
    if (fflush(out) == 0 && !ferror(out))
        return export.lines;
    snprintf(error, error_size, "the lines cannot be written: %s", strerror(errno));
    return -EIO;
}
