/* The same answers as the control plane's, read from its database file. */
#include "cli/source.h"

#include "base/text.h"
#include "plane/series.h"
#include "plane/shapes.h"
#include "wire/json.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { NODES_MAX = 100000 };

struct node_list {
    struct store *store;
    const struct book *book;
    json_t *nodes;
};

struct newest {
    struct samples_row row;
    bool found;
};

static bool keep_newest(void *context, const struct samples_row *row)
{
    struct newest *newest = context;
    if (!newest->found || row->at >= newest->row.at)
        newest->row = *row;
    newest->found = true;
    return true;
}

static json_t *newest_samples(struct store *store, const struct node_row *node)
{
    struct newest newest = {.found = false};
    json_t *samples = json_object();
    if (node->seen_at != INSTANT_NONE)
        store_samples(store, node->number, node->seen_at - MINUTE, node->seen_at + MINUTE, keep_newest,
                      &newest);
    for (int metric = 0; newest.found && metric < METRIC_COUNT; metric++) {
        if (newest.row.present & (1u << metric))
            json_object_set_new(samples, metric_name((enum metric)metric),
                                json_of_number(newest.row.value[metric]));
    }
    return samples;
}

static bool keep_active(void *context, const struct incident *incident)
{
    uint64_t *id = context;
    if (!incident_is_active(incident))
        return true;
    *id = incident->id;
    return false;
}

static json_t *active_incident(struct store *store, uint32_t node)
{
    uint64_t id = 0;
    const struct incident_filter filter = {.node = node, .state = -1, .limit = 100};
    store_incidents(store, &filter, keep_active, &id);
    return id ? json_integer((json_int_t)id) : json_null();
}

/* How a node is now no file can tell: only that it said goodbye, or that nothing is known. */
static bool add_node(void *context, const struct node_row *row)
{
    struct node_list *list = context;
    json_t *node = shape_node(row, row->gone ? "gone" : "unknown");
    if (!node)
        return false;
    json_object_set_new(node, "samples", newest_samples(list->store, row));
    json_object_set_new(node, "incident", active_incident(list->store, row->number));
    json_array_append_new(list->nodes, node);
    return json_array_size(list->nodes) < NODES_MAX;
}

static json_t *read_nodes(struct store *store, const struct book *book)
{
    struct node_list list = {store, book, json_array()};
    if (store_nodes(store, add_node, &list) < 0) {
        json_decref(list.nodes);
        return NULL;
    }
    return json_pack("{s:o}", "nodes", list.nodes);
}

struct one_incident {
    struct incident incident;
    bool found;
};

static bool keep_one(void *context, const struct incident *incident)
{
    struct one_incident *one = context;
    one->incident = *incident;
    one->found = true;
    return false;
}

static int read_incident(struct store *store, const struct book *book, uint64_t id, json_t **answer,
                         char *error, size_t error_size)
{
    struct one_incident one = {.found = false};
    const struct incident_filter filter = {.id = id, .node = -1, .state = -1, .limit = 1};
    if (store_incidents(store, &filter, keep_one, &one) < 0)
        return EXIT_ENVIRONMENT;
    if (!one.found) {
        snprintf(error, error_size, "there is no incident %llu", (unsigned long long)id);
        return EXIT_NOT_SO;
    }
    *answer = shape_incident(store, book, &one.incident, true);
    return EXIT_DONE;
}

static int read_incidents(struct store *store, const struct book *book, const struct question *question,
                          json_t **answer, char *error, size_t error_size)
{
    struct incident_filter filter = {.node = -1, .state = -1, .limit = (unsigned)question->limit};
    if (question->state)
        filter.state = incident_state_of(question->state);
    if (question->node) {
        filter.node = book_node_number(book, question->node);
        if (filter.node < 0) {
            snprintf(error, error_size, "there is no node %s", question->node);
            return EXIT_NOT_SO;
        }
    }
    *answer = shape_incidents(store, book, &filter);
    return EXIT_DONE;
}

static int read_metrics(struct store *store, const struct book *book, const struct question *question,
                        json_t **answer, char *error, size_t error_size)
{
    int64_t node = book_node_number(book, question->node);
    struct series series = {.metric = (enum metric)metric_of(question->metric),
                            .from = question->from,
                            .to = question->to,
                            .step_ns = question->step_ns};
    if (node < 0) {
        snprintf(error, error_size, "there is no node %s", question->node);
        return EXIT_NOT_SO;
    }
    series_open(&series);
    bool good = series_add_stored(&series, store, (uint32_t)node, series.to);
    series_close(&series);
    *answer = series_answer(&series, question->node);
    return good ? EXIT_DONE : EXIT_ENVIRONMENT;
}

static int answer_question(struct store *store, const struct book *book, const struct question *question,
                           json_t **answer, char *error, size_t error_size)
{
    switch (question->kind) {
    case ASK_NODES:
        *answer = read_nodes(store, book);
        return EXIT_DONE;
    case ASK_INCIDENTS:
        return read_incidents(store, book, question, answer, error, error_size);
    case ASK_INCIDENT:
        return read_incident(store, book, question->id, answer, error, error_size);
    case ASK_BLOCKED:
        *answer = shape_blocked_list(store, book, 0, (unsigned)question->limit);
        return EXIT_DONE;
    case ASK_FAULTS:
        *answer = shape_faults(store, book, question->active);
        return EXIT_DONE;
    case ASK_METRICS:
        return read_metrics(store, book, question, answer, error, error_size);
    }
    return EXIT_USAGE;
}

int source_read_database(const char *path, const struct question *question, json_t **answer, char *error,
                         size_t error_size)
{
    struct store *store = NULL;
    *answer = NULL;
    text_copy(error, error_size, "");
    int result = store_open(&store, path, error, error_size);
    if (result < 0) {
        if (result == -ENOENT && store_path(path))
            snprintf(error, error_size, "there is no database %s yet", store_path(path));
        else if (*error == '\0')
            snprintf(error, error_size, "the store: %s", strerror(-result));
        return EXIT_ENVIRONMENT;
    }
    struct book *book = book_open(store);
    int code = EXIT_ENVIRONMENT;
    if (book)
        code = answer_question(store, book, question, answer, error, error_size);
    if (code == EXIT_DONE && !*answer)
        code = EXIT_ENVIRONMENT;
    if (code == EXIT_ENVIRONMENT && *error == '\0')
        snprintf(error, error_size, "the store cannot be read: %s", store_problem(store));
    book_close(&book);
    store_close(&store);
    return code;
}
