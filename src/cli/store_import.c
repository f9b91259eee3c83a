#include "cli/store_lines.h"

#include "base/check.h"
#include "base/clock.h"
#include "store/shape.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { LINES_A_BATCH = 1000, LINE_MOST = 4 << 20 /* a policy is 1 MiB at most */ };

struct import {
    struct store_writer *writer;
    pthread_mutex_t mutex;
    pthread_cond_t told;
    uint64_t durable, batch;
    char failure[512]; /* of a commit; "": none */
    long long line;
    char why[256]; /* the present line cannot be read */
};

static void on_durable(void *context, uint64_t ticket, const char *error)
{
    struct import *import = context;
    pthread_mutex_lock(&import->mutex);
    if (error)
        text_copy(import->failure, sizeof import->failure, error);
    else
        import->durable = ticket;
    pthread_cond_signal(&import->told);
    pthread_mutex_unlock(&import->mutex);
}

/* Hands over, and waits for the disk: so many rows are never on their way that one finds no room. */
static bool commit(struct import *import)
{
    store_submit(import->writer, ++import->batch, true);
    pthread_mutex_lock(&import->mutex);
    while (import->durable < import->batch && !import->failure[0])
        pthread_cond_wait(&import->told, &import->mutex);
    bool good = !import->failure[0];
    pthread_mutex_unlock(&import->mutex);
    return good;
}

/* --- one line ------------------------------------------------------------------------------------------- */

static struct value value_of_json(const json_t *json)
{
    if (json_is_integer(json))
        return value_integer(json_integer_value(json));
    if (json_is_real(json))
        return value_real(json_real_value(json));
    if (json_is_string(json))
        return value_text(json_string_value(json), json_string_length(json));
    return value_null();
}

/* The infinities are words in JSON. */
static struct value real_of_json(const json_t *json)
{
    const char *word = json_string_value(json);
    if (json_is_number(json))
        return value_real(json_number_value(json));
    if (!word)
        return value_null();
    return value_real(strcmp(word, "Infinity") == 0    ? (double)INFINITY
                      : strcmp(word, "-Infinity") == 0 ? (double)-INFINITY
                                                       : (double)NAN);
}

/* False: `why` says which column. */
static bool read_row(struct import *import, const struct row_shape *shape, const json_t *object, void *row)
{
    struct value values[VALUES_MAX];
    for (unsigned i = 0; i < shape->count; i++) {
        const struct column *column = &shape->columns[i];
        const json_t *member = json_object_get(object, column->name);
        if (!member && column->use != USE_COMPUTED) {
            snprintf(import->why, sizeof import->why, "%s has no %s", shape->table, column->name);
            return false;
        }
        values[i] = shape_type(column) == VALUE_REAL ? real_of_json(member) : value_of_json(member);
    }
    const char *bad = shape_read(shape, values, row);
    if (bad)
        snprintf(import->why, sizeof import->why, "%s.%s holds something that homeostat never writes",
                 shape->table, bad);
    return !bad;
}

static int put_incident(struct import *import, const json_t *object)
{
    struct incident incident;
    const json_t *list = json_object_get(object, "evidence");
    if (!read_row(import, &incident_shape, object, &incident))
        return -EBADMSG;
    if (json_array_size(list) != incident.evidence_count || incident.evidence_count > CONDITION_MAX) {
        snprintf(import->why, sizeof import->why, "the incident's evidence is not complete");
        return -EBADMSG;
    }
    for (uint8_t place = 0; place < incident.evidence_count; place++) {
        struct evidence_row row;
        if (!read_row(import, &evidence_shape, json_array_get(list, place), &row))
            return -EBADMSG;
        incident.evidence[place] = row.evidence;
    }
    return store_put_incident(import->writer, &incident);
}

#define INSTANT_MOST (INT64_MAX / 2) /* the year 2116 */

static bool is_whole(const json_t *object, const char *name, json_int_t most)
{
    const json_t *member = json_object_get(object, name);
    return json_is_integer(member) && json_integer_value(member) >= 0 && json_integer_value(member) <= most;
}

static int put_samples(struct import *import, const json_t *object)
{
    struct samples_row row = {.node = (uint32_t)json_integer_value(json_object_get(object, "node")),
                              .at = json_integer_value(json_object_get(object, "at")),
                              .sequence = (uint64_t)json_integer_value(json_object_get(object, "sequence"))};
    const char *boot = json_string_value(json_object_get(object, "boot"));
    if (!is_whole(object, "node", UINT32_MAX) || !is_whole(object, "at", INSTANT_MOST) ||
        !is_whole(object, "sequence", INT64_MAX)) {
        snprintf(import->why, sizeof import->why,
                 "samples need node, at and sequence, whole numbers from 0 on");
        return -EBADMSG;
    }
    if (!boot || !boot_parse(boot, &row.boot)) {
        snprintf(import->why, sizeof import->why, "samples.boot holds something that homeostat never writes");
        return -EBADMSG;
    }
    for (unsigned metric = 0; metric < METRIC_COUNT; metric++) {
        struct value value = real_of_json(json_object_get(object, metric_name((enum metric)metric)));
        if (value.type != VALUE_REAL || isnan(value.real))
            continue;
        row.present |= 1u << metric;
        row.value[metric] = value.real;
    }
    return store_put_samples(import->writer, &row);
}

static int put_policy(struct import *import, const json_t *object)
{
    struct policy_row row = {.version = (uint64_t)json_integer_value(json_object_get(object, "version")),
                             .at = json_integer_value(json_object_get(object, "at")),
                             .text = json_string_value(json_object_get(object, "text"))};
    if (row.text && is_whole(object, "version", INT64_MAX) && is_whole(object, "at", INT64_MAX))
        return store_put_policy(import->writer, &row);
    snprintf(import->why, sizeof import->why, "a policy needs version, at and text");
    return -EBADMSG;
}

#define PUT_SHAPED(noun, type)                                                                               \
    static int put_##noun(struct import *import, const json_t *object)                                       \
    {                                                                                                        \
        type row;                                                                                            \
        return read_row(import, &noun##_shape, object, &row) ? store_put_##noun(import->writer, &row)        \
                                                             : -EBADMSG;                                     \
    }
PUT_SHAPED(node, struct node_row)
PUT_SHAPED(timeline, struct timeline_row)
PUT_SHAPED(command, struct command_row)
PUT_SHAPED(block, struct block_row)
PUT_SHAPED(target, struct target_row)
PUT_SHAPED(fault, struct fault_row)
PUT_SHAPED(gap, struct gap_row)
PUT_SHAPED(control, struct control_row)
#undef PUT_SHAPED

static int put_line(struct import *import, const char *bytes, size_t length)
{
    static const struct {
        const char *table;
        int (*put)(struct import *import, const json_t *object);
    } tables[] = {{"nodes", put_node},       {"incidents", put_incident}, {"timeline", put_timeline},
                  {"commands", put_command}, {"blocked", put_block},      {"targets", put_target},
                  {"faults", put_fault},     {"gaps", put_gap},           {"samples", put_samples},
                  {"policies", put_policy},  {"control", put_control}};
    json_error_t problem;
    json_t *object = json_loadb(bytes, length, JSON_REJECT_DUPLICATES, &problem);
    const char *table = json_string_value(json_object_get(object, "table"));
    int code = -EBADMSG;
    if (!object)
        snprintf(import->why, sizeof import->why, "no JSON: %s", problem.text);
    else if (!table)
        snprintf(import->why, sizeof import->why, "it does not say which table it belongs to");
    else
        snprintf(import->why, sizeof import->why, "there is no table %.40s", table);
    for (size_t i = 0; table && i < COUNT_OF(tables); i++)
        if (strcmp(tables[i].table, table) == 0)
            code = tables[i].put(import, object);
    json_decref(object);
    if (code == -ENOMEM)
        snprintf(import->why, sizeof import->why,
                 "so many rows wait for the disk that there is no room for it");
    return code;
}

/* --- all of them ---------------------------------------------------------------------------------------- */

static int put_lines(struct import *import, FILE *in)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t length;
    int code = 0;
    while (code == 0 && (length = getline(&line, &room, in)) > 0) {
        import->line++;
        if (length > LINE_MOST) {
            snprintf(import->why, sizeof import->why, "it is longer than %d bytes", (int)LINE_MOST);
            code = -EBADMSG;
        } else {
            code = put_line(import, line, (size_t)length);
        }
        if (code == 0 && import->line % LINES_A_BATCH == 0 && !commit(import))
            code = -EIO;
    }
    free(line);
    if (code == 0 && ferror(in))
        code = -EIO;
    return code == 0 && !commit(import) ? -EIO : code;
}

static bool any(void *context, const struct value *values)
{
    (void)context, (void)values;
    return false;
}

static int refuse_full(const char *name, char *error, size_t error_size)
{
    struct store *store;
    int code = store_open(&store, name, error, error_size);
    if (code < 0)
        return code;
    int rows = store_ask(store, "SELECT epoch FROM control UNION ALL SELECT number FROM nodes", 1, any, NULL);
    if (rows > 0)
        snprintf(error, error_size, "the store holds something already: import into a new one");
    else if (rows < 0)
        snprintf(error, error_size, "%s", store_problem(store));
    store_close(&store);
    return rows > 0 ? -EEXIST : rows;
}

long long store_import(const char *name, FILE *in, char *error, size_t error_size)
{
    static struct import import;
    import = (struct import){.line = 0};
    pthread_mutex_init(&import.mutex, NULL);
    pthread_cond_init(&import.told, NULL);
    int code = store_writer_open(&import.writer, name, on_durable, &import, error, error_size);
    if (code < 0)
        return code;
    /* Lines come node by node: the next control plane begins with the oldest of all. */
    store_keep_no_history(import.writer);
    code = refuse_full(name, error, error_size);
    if (code == 0) {
        code = put_lines(&import, in);
        if (code < 0 && import.failure[0])
            snprintf(error, error_size, "%s", import.failure);
        else if (code < 0)
            snprintf(error, error_size, "line %lld: %s", import.line, import.why);
    }
    store_writer_close(&import.writer);
    pthread_cond_destroy(&import.told);
    pthread_mutex_destroy(&import.mutex);
    return code < 0 ? code : import.line;
}
