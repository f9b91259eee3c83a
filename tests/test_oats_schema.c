/* docs/oats.schema.json says what the reader of suites says: the same keys, words, limits and defaults, the
 * same parts of scenarios, and the same yes or no to every file, as far as a schema can tell. */
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
#include "oats/suite.h"
#include "schema_check.h"

static json_t *schema, *scenario_schema;
static struct suite *suite;
static struct complaints complaints;

static int load_schemas(void **state)
{
    (void)state;
    json_error_t error;
    schema = json_load_file(ROOT "/docs/oats.schema.json", JSON_REJECT_DUPLICATES, &error);
    if (schema == NULL) {
        print_message("%d: %s\n", error.line, error.text);
    }
    scenario_schema = json_load_file(ROOT "/docs/scenario.schema.json", JSON_REJECT_DUPLICATES, &error);
    return schema == NULL || scenario_schema == NULL;
}

static int free_schemas(void **state)
{
    (void)state;
    json_decref(schema);
    json_decref(scenario_schema);
    return 0;
}

static json_t *part(const char *name)
{
    return json_object_get(json_object_get(schema, "$defs"), name);
}

static json_t *property(const json_t *of, const char *key)
{
    json_t *found = json_object_get(json_object_get(of, "properties"), key);
    if (found == NULL) {
        fail_msg("the schema has no \"%s\"", key);
    }
    return found;
}

/* --- keys, words and limits ----------------------------------------------------------------------------- */

static void check_keys(const json_t *of, const struct keys *keys)
{
    for (size_t i = 0; i < keys->count; i++) {
        const json_t *one = property(of, keys->words[i]);
        assert_true(json_object_get(one, "description") != NULL || json_object_get(one, "$ref") != NULL);
    }
    assert_int_equal(json_object_size(json_object_get(of, "properties")), keys->count);
    assert_true(json_is_false(json_object_get(of, "additionalProperties")));
}

static void reader_and_schema_know_the_same_keys(void **state)
{
    (void)state;
    check_keys(schema, &suite_keys[SUITE_MAP_SUITE]);
    check_keys(part("factor"), &suite_keys[SUITE_MAP_FACTOR]);
    check_keys(part("scenario"), &scenario_keys[SCENARIO_MAP_SCENARIO]);
}

static void check_words(const json_t *list, const char *const *words, size_t count)
{
    assert_int_equal(json_array_size(list), count);
    for (size_t i = 0; i < count; i++) {
        assert_string_equal(json_string_value(json_array_get(list, i)), words[i]);
    }
}

static json_t *levels_of(enum factor_kind kind)
{
    const json_t *branch = json_array_get(json_object_get(part("factor"), "anyOf"), (size_t)kind);
    const char *name = factor_name(kind);
    check_words(json_object_get(property(branch, "name"), "enum"), &name, 1);
    return json_object_get(property(branch, "levels"), "items");
}

static void the_words_are_those_of_the_tables(void **state)
{
    (void)state;
#define X(symbol, name) (name),
    static const char *const factors[] = {FACTOR_TABLE(X)};
    static const char *const strengths[] = {STRENGTH_TABLE(X)};
    static const char *const shapes[] = {SHAPE_TABLE(X)};
#undef X
    size_t count;
    const char *room[FAULT_COUNT];
    const char *const *kinds = fault_kind_names_at(FAULT_AT_SYNTHETIC, room, &count);
    check_words(json_object_get(property(part("factor"), "name"), "enum"), factors, COUNT_OF(factors));
    check_words(json_object_get(levels_of(FACTOR_FAULT), "enum"), kinds, count);
    check_words(json_object_get(levels_of(FACTOR_SHAPE), "enum"), shapes, COUNT_OF(shapes));
    const json_t *words = json_array_get(json_object_get(levels_of(FACTOR_INTENSITY), "anyOf"), 0);
    check_words(json_object_get(words, "enum"), strengths, COUNT_OF(strengths));
}

static void the_limits_are_those_of_the_reader(void **state)
{
    (void)state;
    const json_t *levels = property(part("factor"), "levels"), *factors = property(schema, "factors");
    assert_int_equal(json_integer_value(json_object_get(levels, "maxItems")), ARRAY_LEVELS_MAX);
    assert_int_equal(json_integer_value(json_object_get(factors, "maxItems")), SUITE_FACTORS_MAX);
    assert_int_equal(json_integer_value(json_object_get(property(schema, "title"), "maxLength")),
                     SUITE_TITLE_SIZE - 1);
}

/* What is said of a scenario is said once more here, because editors do not follow files: word for word. */
static void the_parts_of_scenarios_are_those_of_their_own_schema(void **state)
{
    (void)state;
    const char *key;
    json_t *of;
    json_object_foreach(json_object_get(scenario_schema, "$defs"), key, of)
    {
        if (!json_equal(of, part(key))) {
            fail_msg("$defs/%s differs", key);
        }
    }
    assert_true(json_equal(json_object_get(scenario_schema, "properties"),
                           json_object_get(part("scenario"), "properties")));
}

/* --- the same yes and no -------------------------------------------------------------------------------- */

static bool reader_takes(const char *bytes, size_t length, const char *folder)
{
    bool takes = suite_read(bytes, length, folder, NULL, NULL, &suite, &complaints) == 0;
    suite_free(&suite);
    return takes;
}

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
        bool reads = reader_takes(bytes, length, folder);
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
    assert_true(check_folder(ROOT "/oats") >= 2);
    assert_true(check_folder(ROOT "/tests/fuzz/corpus/oats") >= 3);
}

#define V "version: 1\n"
#define S "scenario: {fleet: [{role: web}]}\n"
#define F "factors: [{name: fault, levels: [cpu_spike]}, {name: node, levels: [web-1]}"
#define W V S F "]\n"

static void the_defaults_are_those_of_the_reader(void **state)
{
    (void)state;
    assert_int_equal(suite_read(W, strlen(W), "", NULL, NULL, &suite, &complaints), 0);
    duration at_ns;
    assert_true(
        text_parse_duration(json_string_value(json_object_get(property(schema, "at"), "default")), &at_ns));
    assert_int_equal(suite->at_ns, at_ns);
    assert_int_equal(suite->seed, json_integer_value(json_object_get(property(schema, "seed"), "default")));
    suite_free(&suite);
}

/* What both must refuse. */
static const char *const bad[] = {
    S F "]\n",
    "version: 2\n" S F "]\n",
    V S,
    V F "]\n",
    V "base: a.yaml\n" S F "]\n",
    V "base: \"\"\n" F "]\n",
    V S "factors: []\n",
    V S "factors: [{name: fault, levels: [cpu_spike]}]\n",
    V "scenario: {}\n" F "]\n",
    V "scenario: {fleet: []}\n" F "]\n",
    V "scenario: {fleet: [{role: web, cuont: 2}]}\n" F "]\n",
    V "scenario: {fleet: [{role: web}], load: {wave: 2}}\n" F "]\n",
    W "tilte: x\n",
    W "title: \"\"\n",
    W "seed: 0\n",
    W "at: 3\n",
    W "for: 0\n",
    W "period: 0\n",
    W "within: soon\n",
    V S F ", {name: nodes, levels: [a]}]\n",
    V S F ", {name: load}]\n",
    V S F ", {levels: [1]}]\n",
    V S F ", {name: load, levels: 3}]\n",
    V S F ", {name: load, levels: []}]\n",
    V S F ", {name: load, levels: [50%, 50%]}]\n",
    V S F ", {name: load, levels: [11]}]\n",
    V S F ", {name: load, levels: [much]}]\n",
    V S F ", {name: loss, levels: [2]}]\n",
    V S F ", {name: shape, levels: [round]}]\n",
    V S F ", {name: intensity, levels: [hihg]}]\n",
    V S F ", {name: intensity, levels: [[low]]}]\n",
    V S "factors: [{name: fault, levels: [fire]}, {name: node, levels: [web-1]}]\n",
    V S "factors: [{name: fault, levels: [cpu_spike]}, {name: node, levels: [w*b]}]\n",
};

static void both_refuse_what_is_wrong(void **state)
{
    (void)state;
    unsigned wrong = 0;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        char why[200];
        bool reader = reader_takes(bad[i], strlen(bad[i]), "");
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
        cmocka_unit_test(the_parts_of_scenarios_are_those_of_their_own_schema),
        cmocka_unit_test(no_good_file_is_refused_by_the_schema),
        cmocka_unit_test(the_defaults_are_those_of_the_reader),
        cmocka_unit_test(both_refuse_what_is_wrong),
    };
    return cmocka_run_group_tests_name("oats_schema", tests, load_schemas, free_schemas);
}
