/* docs/scenario.schema.json says what the scenario reader says: the same keys, words, limits and defaults,
 * and the same yes or no to every file, as far as a schema can tell. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "policy/yaml_tree.h"
#include "scenario/scenario.h"
#include "schema_check.h"

static json_t *schema;
static struct scenario scenario;
static struct complaints complaints;

static int load_schema(void **state)
{
    (void)state;
    json_error_t error;
    schema = json_load_file(ROOT "/docs/scenario.schema.json", JSON_REJECT_DUPLICATES, &error);
    if (schema == NULL) {
        print_message("%d: %s\n", error.line, error.text);
    }
    return schema == NULL;
}

static int free_schema(void **state)
{
    (void)state;
    json_decref(schema);
    return 0;
}

/* The properties of one map, the whole file's for "scenario". */
static json_t *properties_of(const char *map)
{
    json_t *of =
        strcmp(map, "scenario") == 0 ? schema : json_object_get(json_object_get(schema, "$defs"), map);
    json_t *properties = json_object_get(of, "properties");
    assert_non_null(properties);
    assert_true(json_is_false(json_object_get(of, "additionalProperties")));
    return properties;
}

static json_t *property(const char *map, const char *key)
{
    json_t *of = json_object_get(properties_of(map), key);
    if (of == NULL) {
        fail_msg("the schema's %s has no \"%s\"", map, key);
    }
    return of;
}

/* --- keys, words and limits ----------------------------------------------------------------------------- */

static void reader_and_schema_know_the_same_keys(void **state)
{
    (void)state;
    for (size_t i = 0; i < SCENARIO_MAP_COUNT; i++) {
        const struct keys *keys = &scenario_keys[i];
        for (size_t k = 0; k < keys->count; k++) {
            const json_t *of = property(keys->map, keys->words[k]);
            bool explained =
                json_object_get(of, "description") != NULL || json_object_get(of, "$ref") != NULL;
            assert_true(explained);
        }
        assert_int_equal(json_object_size(properties_of(keys->map)), keys->count);
    }
}

static void check_words(const char *map, const char *key, const char *const *words, size_t count)
{
    const json_t *list = json_object_get(property(map, key), "enum");
    assert_int_equal(json_array_size(list), count);
    for (size_t i = 0; i < count; i++) {
        assert_string_equal(json_string_value(json_array_get(list, i)), words[i]);
    }
}

static void the_words_are_those_of_the_tables(void **state)
{
    (void)state;
#define X(symbol, name) (name),
    static const char *const accidents[] = {ACCIDENT_TABLE(X)};
    static const char *const shapes[] = {SHAPE_TABLE(X)};
    static const char *const verdicts[] = {VERDICT_TABLE(X)};
#undef X
#define X(symbol, name, sentence) (name),
    static const char *const blocks[] = {BLOCK_REASON_TABLE(X)};
#undef X
    size_t count;
    const char *room[FAULT_COUNT];
    const char *const *words = fault_kind_names_at(FAULT_AT_ANYWHERE, room, &count);
    check_words("fault", "kind", words, count);
    words = remedy_names(&count);
    check_words("expectation", "remedy", words, count);
    check_words("fault", "shape", shapes, COUNT_OF(shapes));
    check_words("accident", "what", accidents, COUNT_OF(accidents));
    check_words("expectation", "verdict", verdicts + 1, COUNT_OF(verdicts) - 1); /* not "none" */
    check_words("expectation", "blocked", blocks + 1, COUNT_OF(blocks) - 1);
}

static void the_limits_are_those_of_the_reader(void **state)
{
    (void)state;
    static const struct {
        const char *map, *key, *says;
        int limit;
    } limits[] = {
        {"scenario", "fleet", "maxItems", SCENARIO_GROUPS_MAX},
        {"scenario", "faults", "maxItems", SCENARIO_FAULTS_MAX},
        {"scenario", "accidents", "maxItems", SCENARIO_ACCIDENTS_MAX},
        {"scenario", "expect", "maxItems", SCENARIO_EXPECT_MAX},
        {"scenario", "title", "maxLength", SCENARIO_TITLE_SIZE - 1},
        {"scenario", "teaches", "maxLength", SCENARIO_TEXT_SIZE - 1},
        {"group", "count", "maximum", SCENARIO_NODES_MAX},
        {"group", "zones", "maxItems", SCENARIO_ZONES_MAX},
        {"group", "calls", "maxItems", CALLS_MAX},
        {"expectation", "finding", "maxLength", DETECTOR_NAME_SIZE - 1},
    };
    for (size_t i = 0; i < COUNT_OF(limits); i++) {
        const json_t *limit = json_object_get(property(limits[i].map, limits[i].key), limits[i].says);
        assert_int_equal(json_integer_value(limit), limits[i].limit);
    }
}

/* --- defaults ------------------------------------------------------------------------------------------- */

/* What the schema gives as defaults in one map. */
static json_t *defaults_of(const char *map)
{
    json_t *whole = json_object();
    const char *key;
    json_t *of;
    json_object_foreach(properties_of(map), key, of)
    {
        if (json_object_get(of, "default") != NULL) {
            json_object_set(whole, key, json_object_get(of, "default"));
        }
    }
    return whole;
}

static void read_document(json_t *document)
{
    char *text = json_dumps(document, 0);
    if (scenario_read(text, strlen(text), "", &scenario, &complaints) != 0) {
        fail_msg("%d: %s in %s", complaints.list[0].column, complaints.list[0].text, text);
    }
    free(text);
    json_decref(document);
}

/* JSON is YAML: written out, the schema's defaults change nothing. */
static void the_defaults_are_those_of_the_reader(void **state)
{
    (void)state;
    struct scenario *left_out = malloc(sizeof *left_out);
    read_document(json_pack("{s:i,s:[{s:s}]}", "version", 1, "fleet", "role", "web"));
    *left_out = scenario;
    json_t *group = defaults_of("group"), *document = defaults_of("scenario");
    assert_true(json_object_size(group) >= 6 && json_object_size(document) >= 3);
    json_object_set_new(group, "role", json_string("web"));
    json_object_set_new(document, "version", json_integer(1));
    json_object_set_new(document, "fleet", json_pack("[o]", group));
    json_object_set_new(document, "load", defaults_of("load"));
    json_object_set_new(document, "network", defaults_of("network"));
    read_document(document);
    scenario.network_line = 0; /* where it stands is no value */
    assert_memory_equal(&scenario, left_out, sizeof scenario);
    free(left_out);
}

/* --- examples and defaults are good themselves ---------------------------------------------------------- */

static void check_sample(const json_t *of, const json_t *sample)
{
    char why[200];
    if (sample != NULL && !schema_accepts(schema, of, sample, why)) {
        fail_msg("%s is not valid: %s", json_dumps(sample, JSON_ENCODE_ANY), why);
    }
}

static void check_samples(const json_t *of, unsigned *count)
{
    size_t i;
    json_t *below;
    const char *key;
    json_array_foreach(json_object_get(of, "examples"), i, below)
    {
        check_sample(of, below);
        ++*count;
    }
    check_sample(of, json_object_get(of, "default"));
    json_array_foreach(of, i, below)
    {
        check_samples(below, count);
    }
    if (json_is_object(of)) {
        json_object_foreach((json_t *)(uintptr_t)of, key, below)
        {
            if (strcmp(key, "examples") != 0 && strcmp(key, "default") != 0) {
                check_samples(below, count);
            }
        }
    }
}

static void every_example_and_default_is_valid(void **state)
{
    (void)state;
    unsigned count = 0;
    check_samples(schema, &count);
    assert_true(count >= 15);
}

/* --- the same yes and no -------------------------------------------------------------------------------- */

static bool schema_takes(const char *bytes, size_t length, char why[200])
{
    struct yaml_tree *tree;
    static struct complaints unread;
    bool takes = false;
    unread = (struct complaints){0};
    if (yaml_tree_read(&tree, bytes, length, &unread) == 0 && yaml_tree_root(tree) != NULL) {
        json_t *document = schema_json_of(yaml_tree_root(tree));
        takes = schema_accepts(schema, schema, document, why);
        json_decref(document);
    }
    yaml_tree_free(&tree);
    return takes;
}

/* Whatever the reader takes, the schema takes: an editor never marks a good file. Returns how many it took.
 */
static unsigned check_folder(const char *folder)
{
    unsigned taken = 0;
    DIR *listing = opendir(folder);
    assert_non_null(listing);
    for (struct dirent *entry = readdir(listing); entry != NULL; entry = readdir(listing)) {
        char path[512], why[200] = "", *bytes;
        size_t length;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (entry->d_type != DT_REG || yaml_tree_load(path, &bytes, &length) != 0) {
            continue;
        }
        bool reads = scenario_read(bytes, length, folder, &scenario, &complaints) == 0;
        if (reads && !schema_takes(bytes, length, why)) {
            fail_msg("%s: the reader takes it, the schema does not: %s", path, why);
        }
        free(bytes);
        taken += reads;
    }
    closedir(listing);
    return taken;
}

static void no_good_file_is_refused_by_the_schema(void **state)
{
    (void)state;
    assert_true(check_folder(ROOT "/scenarios") >= 15);
    assert_true(check_folder(ROOT "/tests/fuzz/corpus/scenario") >= 5);
}

#define V "version: 1\n"
#define F V "fleet: [{role: web}]\n"

/* What both must refuse. What only the reader can see (nodes that are not there, intensities out of their
 * kind's range) is not here. */
static const char *const bad[] = {
    "fleet: [{role: web}]\n",
    "version: 2\nfleet: [{role: web}]\n",
    V,
    V "fleet: []\n",
    V "fleet: [{count: 2}]\n",
    V "fleet: [{role: -a}]\n",
    V "fleet: [{role: a, cuont: 2}]\n",
    V "fleet: [{role: a, count: 0}]\n",
    V "fleet: [{role: a, count: 100001}]\n",
    V "fleet: [{role: a, count: many}]\n",
    V "fleet: [{role: a, zones: [a, b, c, d, e]}]\n",
    V "fleet: [{role: a, zones: [a, a]}]\n",
    V "fleet: [{role: a, calls: b}, {role: b}]\n",
    V "fleet: [{role: a, users: -1}]\n",
    V "fleet: [{role: a, users: 40 ms}]\n",
    V "fleet: [{role: a, memory: 64 MB}]\n",
    V "fleet: [{role: a, interval: 5}]\n",
    F "title: \"\"\n",
    F "seed: 0\n",
    F "duration: 0\n",
    F "duration: 2 m\n",
    F "load: {wave: 2}\n",
    F "load: {noise: loud}\n",
    F "load: {retries: 11}\n",
    F "network: {loss: 2}\n",
    F "network: {loss: some}\n",
    F "network: {drift: 50}\n",
    F "network: {delay: 5}\n",
    F "faults: [{kind: cpu_spike, on: web-1}]\n",
    F "faults: [{at: 3s, on: web-1}]\n",
    F "faults: [{at: 3s, kind: cpu_spike}]\n",
    F "faults: [{at: 3, kind: cpu_spike, on: web-1}]\n",
    F "faults: [{at: 3s, kind: fire, on: web-1}]\n",
    F "faults: [{at: 3s, kind: cpu_spike, on: w*b}]\n",
    F "faults: [{at: 3s, kind: cpu_spike, on: [web-1]}]\n",
    F "faults: [{at: 3s, kind: cpu_spike, on: 0 of web-*}]\n",
    F "faults: [{at: 3s, kind: cpu_spike, on: web-1, intensity: much}]\n",
    F "faults: [{at: 3s, kind: cpu_spike, on: web-1, shape: round}]\n",
    F "accidents: [{at: 3s}]\n",
    F "accidents: [{what: reset}]\n",
    F "accidents: [{at: 3s, what: fire}]\n",
    F "expect: [{on: web-1}]\n",
    F "expect: [{finding: silent, untouched: web-1}]\n",
    F "expect: [{untouched: web-1, within: 3s}]\n",
    F "expect: [{finding: silent, verdict: none}]\n",
    F "expect: [{finding: silent, blocked: none}]\n",
    F "expect: [{finding: silent, remedy: reboot}]\n",
};

static void both_refuse_what_is_wrong(void **state)
{
    (void)state;
    unsigned wrong = 0;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        char why[200];
        bool reader = scenario_read(bad[i], strlen(bad[i]), "", &scenario, &complaints) == 0;
        if (reader || schema_takes(bad[i], strlen(bad[i]), why)) {
            print_message("the %s takes it:\n%s\n", reader ? "reader" : "schema", bad[i]);
            wrong++;
        }
    }
    assert_int_equal(wrong, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reader_and_schema_know_the_same_keys),
        cmocka_unit_test(the_words_are_those_of_the_tables),
        cmocka_unit_test(the_limits_are_those_of_the_reader),
        cmocka_unit_test(the_defaults_are_those_of_the_reader),
        cmocka_unit_test(every_example_and_default_is_valid),
        cmocka_unit_test(no_good_file_is_refused_by_the_schema),
        cmocka_unit_test(both_refuse_what_is_wrong),
    };
    return cmocka_run_group_tests_name("scenario_schema", tests, load_schema, free_schema);
}
