#include "policy/test_file.h"

#include "base/check.h"
#include "policy/fields.h"
#include "policy/policy_file.h"
#include "policy/test_items.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define X(symbol, map_name, ...) [TEST_MAP_##symbol] = KEYS_OF(map_name, __VA_ARGS__),
const struct keys test_keys[TEST_MAP_COUNT] = {TEST_MAP_TABLE(X)};
#undef X

enum { PATH_SIZE = 4096 };

/* Whatever the file holds, freed with it. */
struct owned {
    struct owned *next;
    max_align_t bytes[];
};

struct test_file {
    struct yaml_tree *tree; /* names point into it */
    struct owned *owned;
    struct test_case *cases[TEST_CASES_MAX];
    uint32_t count;
};

void *test_file_own(struct test_file *file, size_t size)
{
    struct owned *owned = calloc(1, sizeof *owned + size);
    CHECK(owned);
    owned->next = file->owned;
    file->owned = owned;
    return owned->bytes;
}

/* --- policies ------------------------------------------------------------------------------------------- */

/* `name` beside the file at `path`. */
static bool path_beside(char out[PATH_SIZE], const char *path, const char *name)
{
    struct text text = text_over(out, PATH_SIZE);
    const char *slash = strrchr(path, '/');
    if (name[0] != '/' && slash != NULL) {
        text_addf(&text, "%.*s", (int)(slash - path + 1), path);
    }
    text_add(&text, name);
    return !text.cut;
}

static void read_policy_file(struct test_reader *reader, const struct yaml_node *node, struct policy *policy)
{
    char path[PATH_SIZE];
    struct complaints *complaints = calloc(1, sizeof *complaints);
    CHECK(complaints);
    int result = path_beside(path, reader->path, node->text) ? policy_read_file(path, policy, complaints)
                                                             : -ENAMETOOLONG;
    char shown[SHOWN_SIZE];
    complaint_shown(shown, node->text);
    if (result < 0) {
        complain(reader->complaints, node->at, "policy %s: %s", shown, strerror(-result));
    } else if (result == POLICY_REFUSED) {
        const struct complaint *first = &complaints->list[0];
        for (uint32_t i = 0; i < complaints->count && first->note; i++) {
            first = &complaints->list[i];
        }
        complain(reader->complaints, node->at, "%s:%d:%d: %s", shown, first->line, first->column,
                 first->text);
    }
    free(complaints);
}

/* A path, or the policy itself. */
const struct policy *test_read_policy(struct test_reader *reader, const struct yaml_node *node)
{
    struct policy *policy = test_file_own(reader->file, sizeof *policy);
    if (node->kind == YAML_MAP) {
        policy_read_tree(node, policy, reader->complaints);
    } else {
        const char *name = NULL;
        if (field_text(node, &name, reader->complaints)) {
            read_policy_file(reader, node, policy);
        }
    }
    return policy;
}

/* --- nodes and series ----------------------------------------------------------------------------------- */

uint32_t test_find_node(const struct test_case *test, const char *name)
{
    for (uint32_t i = 0; i < test->node_count; i++) {
        if (strcmp(test->nodes[i].name, name) == 0) {
            return i;
        }
    }
    return NO_INDEX;
}

bool test_read_node_name(struct test_reader *reader, const struct test_case *test,
                         const struct yaml_node *node, uint32_t *number)
{
    const char *name = NULL, *names[TEST_NODES_MAX];
    if (node == NULL || !field_text(node, &name, reader->complaints)) {
        return node == NULL;
    }
    *number = test_find_node(test, name);
    for (uint32_t i = 0; i < test->node_count; i++) {
        names[i] = test->nodes[i].name;
    }
    if (*number == NO_INDEX) {
        complain_unknown(reader->complaints, node->at, "node", name, names, test->node_count);
    }
    return *number != NO_INDEX;
}

/* A node is its name, or a map as in a lab. */
static void read_node(struct test_reader *reader, struct test_case *test, const struct yaml_node *map)
{
    const struct yaml_node *name = map;
    if (map->kind == YAML_MAP) {
        field_map(map, &test_keys[TEST_MAP_NODE], reader->complaints);
        name = yaml_tree_entry(map, "name");
    }
    if (test->node_count == TEST_NODES_MAX) {
        complain(reader->complaints, map->at, "more than %d nodes in one case", TEST_NODES_MAX);
        return;
    }
    struct test_node *node = &test->nodes[test->node_count];
    char read[NODE_NAME_SIZE] = "";
    if (name == NULL) {
        complain(reader->complaints, map->at, "a node needs a name, as in \"name: web-1\"");
    } else if (field_name(name, read, sizeof read, reader->complaints)) {
        if (test_find_node(test, read) != NO_INDEX) {
            complain(reader->complaints, name->at, "a second node \"%s\"", read);
        }
        text_copy(node->name, sizeof node->name, read);
        test->node_count++;
    }
}

static void read_calls(struct test_reader *reader, struct test_case *test, const struct yaml_node *map)
{
    const struct yaml_node *name = yaml_tree_entry(map, "name"), *calls = yaml_tree_entry(map, "calls");
    uint32_t number = name == NULL ? NO_INDEX : test_find_node(test, name->text);
    if (number == NO_INDEX || calls == NULL || !field_list(calls, reader->complaints)) {
        return;
    }
    struct test_node *node = &test->nodes[number];
    for (const struct yaml_node *call = calls->first; call != NULL; call = call->next) {
        uint32_t callee;
        if (node->calls_count == CALLS_MAX) {
            complain(reader->complaints, call->at, "more than %d calls of one node", CALLS_MAX);
            return;
        }
        if (test_read_node_name(reader, test, call, &callee)) {
            node->calls[node->calls_count++] = callee;
        }
    }
}

static void read_nodes(struct test_reader *reader, struct test_case *test, const struct yaml_node *list)
{
    if (!field_list(list, reader->complaints)) {
        return;
    }
    if (list->count == 0) {
        complain(reader->complaints, list->at, "a case needs at least one node");
    }
    for (const struct yaml_node *node = list->first; node != NULL; node = node->next) {
        read_node(reader, test, node);
    }
    for (const struct yaml_node *node = list->first; node != NULL; node = node->next) {
        read_calls(reader, test, node);
    }
}

static void read_series_of(struct test_reader *reader, struct test_node *node, const struct yaml_node *map)
{
    size_t count;
    const char *const *names = metric_names(&count);
    for (const struct yaml_node *entry = map->first; entry != NULL; entry = entry->next) {
        int metric = metric_of(entry->key);
        if (metric < 0) {
            complain_unknown(reader->complaints, entry->key_at, "metric", entry->key, names, count);
            continue;
        }
        struct series *series = test_file_own(reader->file, sizeof *series);
        if (series_read(entry, (enum metric)metric, series, reader->complaints)) {
            node->series[metric] = series;
            node->has_series = true;
            if (series->reports > reader->longest) {
                reader->longest = series->reports;
            }
        }
    }
}

static void read_series(struct test_reader *reader, struct test_case *test, const struct yaml_node *map)
{
    const char *names[TEST_NODES_MAX];
    for (uint32_t i = 0; i < test->node_count; i++) {
        names[i] = test->nodes[i].name;
    }
    if (map->kind != YAML_MAP) {
        complain(reader->complaints, map->at,
                 "series is a map of nodes: \"web-1: {cpu_utilization: 0.05x5 0.97x8}\"");
        return;
    }
    for (const struct yaml_node *entry = map->first; entry != NULL; entry = entry->next) {
        uint32_t number = test_find_node(test, entry->key);
        if (number == NO_INDEX) {
            complain_unknown(reader->complaints, entry->key_at, "node", entry->key, names, test->node_count);
        } else if (entry->kind != YAML_MAP) {
            complain(reader->complaints, entry->at,
                     "of %s: a map of metrics, {cpu_utilization: 0.05x5 0.97x8}", entry->key);
        } else {
            read_series_of(reader, &test->nodes[number], entry);
        }
    }
}

/* --- cases ---------------------------------------------------------------------------------------------- */

/* The case's own entry, or the file's. */
static const struct yaml_node *entry_or_files(const struct test_reader *reader, const struct yaml_node *map,
                                              const char *key)
{
    const struct yaml_node *own = yaml_tree_entry(map, key);
    return own != NULL ? own : yaml_tree_entry(reader->root, key);
}

static void read_start(struct test_reader *reader, const struct yaml_node *node, instant *at)
{
    const char *text = NULL;
    if (node == NULL || !field_text(node, &text, reader->complaints)) {
        return;
    }
    if (!text_parse_instant(text, at) || *at < 0) {
        *at = 0;
        complain(reader->complaints, node->at, "start: no instant, as in 2026-12-24T20:00:00Z");
    }
}

static void read_policy_of(struct test_reader *reader, struct test_case *test, const struct yaml_node *map)
{
    const struct yaml_node *own = yaml_tree_entry(map, "policy"),
                           *shared = yaml_tree_entry(reader->root, "policy");
    if (own == NULL && shared == NULL) {
        complain(reader->complaints, map->at, "which policy? \"policy: ../default.yaml\"");
    } else if (own != NULL) {
        test->policy = test_read_policy(reader, own);
    } else {
        if (reader->shared_policy == NULL) {
            reader->shared_policy = test_read_policy(reader, shared);
        }
        test->policy = reader->shared_policy;
    }
}

/* Unless it says so itself, a case ends with its longest series, but not before all is asked and said. */
static void read_until(struct test_reader *reader, struct test_case *test, const struct yaml_node *map)
{
    const struct yaml_node *until = yaml_tree_entry(map, "until");
    duration longest = reader->longest > 0 ? (reader->longest - 1) * test->interval_ns : 0;
    duration most = (duration)TEST_REPORTS_MAX * test->interval_ns;
    if (reader->last_ns > longest) {
        longest = reader->last_ns;
    }
    test->until_ns = longest;
    if (field_duration(until, 0, &test->until_ns, reader->complaints) && until != NULL &&
        test->until_ns < reader->last_ns) {
        complain(reader->complaints, until->at, "until: the case says or expects something later than that");
    }
    if (test->until_ns > most) {
        complain(reader->complaints, until != NULL ? until->at : map->at,
                 "longer than %d reports of a node; take a longer interval", TEST_REPORTS_MAX);
    }
}

static void read_case(struct test_reader *reader, const struct yaml_node *map)
{
    struct test_file *file = reader->file;
    if (file->count == TEST_CASES_MAX) {
        complain(reader->complaints, map->at, "more than %d cases in one file", TEST_CASES_MAX);
        return;
    }
    struct test_case *test = test_file_own(file, sizeof *test);
    file->cases[file->count++] = test;
    *test = (struct test_case){.place = map->at, .name = "", .interval_ns = SECOND};
    if (!field_map(map, &test_keys[TEST_MAP_CASE], reader->complaints)) {
        return;
    }
    reader->longest = 0;
    reader->last_ns = 0;
    const struct yaml_node *name = yaml_tree_entry(map, "name"),
                           *nodes = entry_or_files(reader, map, "nodes");
    if (name == NULL) {
        complain(reader->complaints, map->at, "a case needs a name, which says what must be so");
    }
    field_text(name, &test->name, reader->complaints);
    read_policy_of(reader, test, map);
    read_start(reader, entry_or_files(reader, map, "start"), &test->start_at);
    field_duration_upto(entry_or_files(reader, map, "interval"), 10 * MILLISECOND, HOUR, &test->interval_ns,
                        reader->complaints);
    if (nodes == NULL) {
        complain(reader->complaints, map->at, "a case needs nodes: \"nodes: [web-1]\"");
    } else {
        read_nodes(reader, test, nodes);
    }
    const struct yaml_node *series = yaml_tree_entry(map, "series");
    if (series != NULL) {
        read_series(reader, test, series);
    }
    test_items_read(reader, test, map);
    read_until(reader, test, map);
}

/* --- the file ------------------------------------------------------------------------------------------- */

static void read_root(struct test_reader *reader, const struct yaml_node *root)
{
    struct complaints *complaints = reader->complaints;
    if (!field_map(root, &test_keys[TEST_MAP_FILE], complaints)) {
        return;
    }
    field_version(root, complaints);
    const struct yaml_node *cases = yaml_tree_entry(root, "cases");
    if (cases == NULL) {
        complain(complaints, root->at, "a test file needs cases: \"cases: [{name: ..., nodes: ..., ...}]\"");
        return;
    }
    if (!field_list(cases, complaints)) {
        return;
    }
    if (cases->count == 0) {
        complain(complaints, cases->at, "no case: nothing would be tested");
    }
    for (const struct yaml_node *entry = cases->first; entry != NULL; entry = entry->next) {
        read_case(reader, entry);
    }
}

int test_file_read_text(struct test_file **out, const char *path, const char *bytes, size_t length,
                        struct complaints *complaints)
{
    *out = NULL;
    memset(complaints, 0, sizeof *complaints);
    struct test_file *file = calloc(1, sizeof *file);
    CHECK(file);
    int result = yaml_tree_read(&file->tree, bytes, length, complaints);
    if (result == 0 && yaml_tree_root(file->tree) == NULL) {
        complain(complaints, (struct place){1, 1}, "the file is empty; begin with \"version: 1\"");
    } else if (result == 0) {
        struct test_reader reader = {
            .file = file, .path = path, .complaints = complaints, .root = yaml_tree_root(file->tree)};
        read_root(&reader, reader.root);
    }
    complaints_sort(complaints);
    if (result == 0 && complaints->errors > 0) {
        result = TEST_FILE_REFUSED;
    }
    if (result != 0) {
        test_file_free(&file);
    }
    *out = file;
    return result;
}

int test_file_read(struct test_file **file, const char *path, struct complaints *complaints)
{
    char *bytes;
    size_t length;
    memset(complaints, 0, sizeof *complaints);
    *file = NULL;
    int result = yaml_tree_load(path, &bytes, &length);
    if (result == 0) {
        result = test_file_read_text(file, path, bytes, length, complaints);
    }
    free(bytes);
    return result;
}

uint32_t test_file_count(const struct test_file *file)
{
    return file->count;
}

const struct test_case *test_file_case(const struct test_file *file, uint32_t number)
{
    CHECK(number < file->count);
    return file->cases[number];
}

void test_file_free(struct test_file **file)
{
    if (*file == NULL) {
        return;
    }
    for (struct owned *owned = (*file)->owned, *next; owned != NULL; owned = next) {
        next = owned->next;
        free(owned);
    }
    yaml_tree_free(&(*file)->tree);
    free(*file);
    *file = NULL;
}
