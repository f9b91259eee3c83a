/* docs/policy.schema.json and docs/lab.schema.json say what the readers say: the same keys, words, limits and
 * defaults, and the same yes or no to every file, as far as a schema can tell. */
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
#include "policy/policy_file.h"
#include "policy/yaml_tree.h"
#include "scenario/lab.h"
#include "schema_check.h"

static json_t *policy_schema, *lab_schema;

static json_t *load(const char *path)
{
    json_error_t error;
    json_t *schema = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
    if (schema == NULL) {
        fail_msg("%s:%d: %s", path, error.line, error.text);
    }
    return schema;
}

static int load_schemas(void **state)
{
    (void)state;
    policy_schema = load(ROOT "/docs/policy.schema.json");
    lab_schema = load(ROOT "/docs/lab.schema.json");
    return 0;
}

static int free_schemas(void **state)
{
    (void)state;
    json_decref(policy_schema);
    json_decref(lab_schema);
    return 0;
}

/* A part of a schema by a path such as "$defs/rate/properties/max/maximum". */
static const json_t *part(const json_t *schema, const char *path)
{
    char name[64];
    const json_t *at = schema;
    for (const char *rest = path; *rest != '\0';) {
        size_t length = strcspn(rest, "/");
        assert_true(length < sizeof name);
        memcpy(name, rest, length);
        name[length] = '\0';
        at = json_is_array(at) ? json_array_get(at, (size_t)atoi(name)) : json_object_get(at, name);
        rest += length + (rest[length] == '/');
    }
    if (at == NULL) {
        fail_msg("the schema has no %s", path);
    }
    return at;
}

/* --- keys ----------------------------------------------------------------------------------------------- */

/* `properties` of a map's definition; a step may also be a bare word, so its map stands deeper. */
static const json_t *properties_of(const json_t *schema, const char *map)
{
    char path[128];
    if (strcmp(map, "policy") == 0 || strcmp(map, "lab") == 0) {
        return part(schema, "properties");
    }
    snprintf(path, sizeof path,
             strcmp(map, "step") == 0 ? "$defs/%s/anyOf/1/properties" : "$defs/%s/properties", map);
    return part(schema, path);
}

static void check_keys(const json_t *schema, const struct keys *keys)
{
    const json_t *properties = properties_of(schema, keys->map);
    for (size_t i = 0; i < keys->count; i++) {
        if (json_object_get(properties, keys->words[i]) == NULL) {
            fail_msg("%s: the reader takes \"%s\", the schema does not know it", keys->map, keys->words[i]);
        }
    }
    if (json_object_size(properties) != keys->count) {
        fail_msg("%s: the schema has %zu keys, the reader %zu", keys->map, json_object_size(properties),
                 keys->count);
    }
}

static void reader_and_schema_know_the_same_keys(void **state)
{
    (void)state;
    for (size_t i = 0; i < POLICY_MAP_COUNT; i++) {
        check_keys(policy_schema, &policy_keys[i]);
    }
    for (size_t i = 0; i < LAB_MAP_COUNT; i++) {
        check_keys(lab_schema, &lab_keys[i]);
    }
}

/* A key that nobody knows is refused by every map of the schema, and each key is explained. */
static void every_map_is_closed_and_every_key_explained(void **state)
{
    (void)state;
    for (size_t i = 0; i < POLICY_MAP_COUNT; i++) {
        const json_t *properties = properties_of(policy_schema, policy_keys[i].map);
        const char *key;
        json_t *of;
        json_object_foreach((json_t *)(uintptr_t)properties, key, of)
        {
            if (json_object_get(of, "title") == NULL && json_object_get(of, "$ref") == NULL) {
                fail_msg("%s: \"%s\" has no title", policy_keys[i].map, key);
            }
        }
    }
}

/* --- words and limits ----------------------------------------------------------------------------------- */

static void check_words(const json_t *list, const char *const *words, size_t count)
{
    assert_int_equal(json_array_size(list), count);
    for (size_t i = 0; i < count; i++) {
        assert_string_equal(json_string_value(json_array_get(list, i)), words[i]);
    }
}

static void the_words_are_those_of_the_tables(void **state)
{
    (void)state;
    size_t count;
    const char *const *words = remedy_names(&count);
    check_words(part(policy_schema, "$defs/remedy/enum"), words, count);
    words = severity_names(&count);
    check_words(part(policy_schema, "$defs/detector/properties/severity/enum"), words, count);
    words = mode_names(&count);
    check_words(part(policy_schema, "properties/mode/enum"), words, count);
    check_words(part(policy_schema, "$defs/window/properties/days/items/enum"), weekday_names, WEEKDAYS);
    char bytes[1024];
    struct text metrics = text_over(bytes, sizeof bytes);
    words = metric_names(&count);
    for (size_t i = 0; i < count; i++) {
        text_addf(&metrics, "%s%s", i > 0 ? "|" : "(", words[i]);
    }
    text_add(&metrics, ")");
    const char *pattern = json_string_value(part(policy_schema, "$defs/condition/pattern"));
    const char *first = strstr(pattern, bytes);
    assert_non_null(first);
    assert_non_null(strstr(first + 1, bytes)); /* behind `and` as well */
}

static void the_limits_are_those_of_the_core(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        int limit;
    } limits[] = {
        {"$defs/attempts/properties/max/maximum", ATTEMPTS_MAX},
        {"$defs/rate/properties/max/maximum", RATE_MAX},
        {"$defs/target_rate/properties/max/maximum", ATTEMPTS_MAX},
        {"$defs/flapping/properties/changes/maximum", CHANGES_MAX},
        {"$defs/guards/properties/maintenance/maxItems", WINDOW_MAX},
        {"$defs/window/properties/nodes/anyOf/0/maxLength", NODE_PATTERN_SIZE - 1},
        {"$defs/name/anyOf/0/maxLength", DETECTOR_NAME_SIZE - 1},
        {"$defs/playbook/properties/steps/maxItems", LADDER_MAX},
        {"$defs/ladder/anyOf/1/maxItems", LADDER_MAX},
        {"properties/rules/maxItems", DETECTOR_MAX},
        {"properties/detectors/maxItems", DETECTOR_MAX},
    };
    for (size_t i = 0; i < COUNT_OF(limits); i++) {
        assert_int_equal(json_integer_value(part(policy_schema, limits[i].path)), limits[i].limit);
    }
    assert_int_equal(json_integer_value(part(lab_schema, "properties/nodes/maxItems")), LAB_NODES_MAX);
    assert_int_equal(json_integer_value(part(lab_schema, "$defs/name/anyOf/0/maxLength")),
                     NODE_NAME_SIZE - 1);
    assert_int_equal(json_integer_value(part(lab_schema, "$defs/word/anyOf/0/maxLength")), LAB_ROLE_SIZE - 1);
    assert_int_equal(json_integer_value(part(lab_schema, "$defs/node/properties/calls/maxItems")), CALLS_MAX);
}

/* --- defaults ------------------------------------------------------------------------------------------- */

/* What the schema gives as defaults below a map, as a document. */
static json_t *defaults_below(const json_t *map)
{
    json_t *whole = json_object();
    const char *key;
    json_t *of;
    json_object_foreach((json_t *)(uintptr_t)json_object_get(map, "properties"), key, of)
    {
        const json_t *given = json_object_get(of, "default"), *below = of;
        const char *ref = json_string_value(json_object_get(of, "$ref"));
        if (json_object_get(of, "anyOf") != NULL) { /* no, or a map: the last of them */
            const json_t *all = json_object_get(of, "anyOf");
            ref = json_string_value(json_object_get(json_array_get(all, json_array_size(all) - 1), "$ref"));
        }
        if (ref != NULL) {
            below = json_object_get(json_object_get(policy_schema, "$defs"), ref + strlen("#/$defs/"));
        }
        if (given != NULL) {
            json_object_set(whole, key, (json_t *)(uintptr_t)given);
        } else if (json_object_get(below, "properties") != NULL) {
            json_object_set_new(whole, key, defaults_below(below));
        } else {
            fail_msg("%s has no default", key);
        }
    }
    return whole;
}

/* JSON is YAML: the reader reads them, over other values, and finds the core's own. */
static void the_defaults_are_those_of_the_core(void **state)
{
    (void)state;
    json_t *document = json_pack("{s:i,s:o,s:O}", "version", 1, "guards",
                                 defaults_below(part(policy_schema, "$defs/guards")), "mode",
                                 part(policy_schema, "properties/mode/default"));
    char *text = json_dumps(document, 0);
    struct policy read, own;
    struct complaints complaints;
    if (policy_read(text, strlen(text), &read, &complaints) != 0) {
        fail_msg("%d: %s in %s", complaints.list[0].column, complaints.list[0].text, text);
    }
    policy_init(&own);
    assert_memory_equal(&read, &own, sizeof own);
    assert_non_null(strstr(text, "\"reset\"")); /* the deepest of them is there */
    free(text);
    json_decref(document);
}

/* --- examples and defaults are good themselves ---------------------------------------------------------- */

static void check_samples(const json_t *root, const json_t *schema, unsigned *count)
{
    char why[200];
    size_t i;
    json_t *sample;
    json_array_foreach(json_object_get(schema, "examples"), i, sample)
    {
        if (!schema_accepts(root, schema, sample, why)) {
            char *text = json_dumps(sample, JSON_ENCODE_ANY);
            fail_msg("the example %s is not valid: %s", text, why);
        }
        ++*count;
    }
    sample = json_object_get(schema, "default");
    if (sample != NULL && !schema_accepts(root, schema, sample, why)) {
        char *text = json_dumps(sample, JSON_ENCODE_ANY);
        fail_msg("the default %s is not valid: %s", text, why);
    }
    const char *key;
    json_t *below;
    if (json_is_object(schema)) {
        json_object_foreach((json_t *)(uintptr_t)schema, key, below)
        {
            if (strcmp(key, "examples") != 0 && strcmp(key, "default") != 0) {
                check_samples(root, below, count);
            }
        }
    }
    json_array_foreach(schema, i, below)
    {
        check_samples(root, below, count);
    }
}

static void every_example_and_default_is_valid(void **state)
{
    (void)state;
    unsigned count = 0;
    check_samples(policy_schema, policy_schema, &count);
    check_samples(lab_schema, lab_schema, &count);
    assert_true(count >= 20);
}

/* --- the same yes and no -------------------------------------------------------------------------------- */

struct opinions {
    bool reader, schema;
    char reason[256]; /* of the reader */
    char why[200];    /* of the schema */
};

static struct opinions ask(bool lab, const char *bytes, size_t length)
{
    struct opinions said = {0};
    static struct complaints complaints;
    static struct policy policy;
    static struct lab read_lab;
    int result = lab ? lab_read(bytes, length, &read_lab, &complaints)
                     : policy_read(bytes, length, &policy, &complaints);
    said.reader = result == 0;
    for (uint32_t i = complaints.count; i > 0; i--) {
        if (!complaints.list[i - 1].note) {
            memcpy(said.reason, complaints.list[i - 1].text, sizeof said.reason);
        }
    }
    struct yaml_tree *tree;
    static struct complaints unread;
    unread = (struct complaints){0};
    if (yaml_tree_read(&tree, bytes, length, &unread) == 0 && yaml_tree_root(tree) != NULL) {
        json_t *document = schema_json_of(yaml_tree_root(tree));
        const json_t *schema = lab ? lab_schema : policy_schema;
        said.schema = schema_accepts(schema, schema, document, said.why);
        json_decref(document);
    }
    yaml_tree_free(&tree);
    return said;
}

/* Whatever the reader takes, the schema takes: an editor never marks a good file. Returns how many it took.
 */
static unsigned check_folder(bool lab, const char *folder)
{
    unsigned taken = 0;
    DIR *listing = opendir(folder);
    if (listing == NULL) {
        fail_msg("no folder %s", folder);
    }
    for (struct dirent *entry = readdir(listing); entry != NULL; entry = readdir(listing)) {
        char path[512], *bytes;
        size_t length;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (entry->d_type != DT_REG || yaml_tree_load(path, &bytes, &length) != 0) {
            continue;
        }
        struct opinions said = ask(lab, bytes, length);
        free(bytes);
        taken += said.reader;
        if (said.reader && !said.schema) {
            closedir(listing);
            fail_msg("%s: the reader takes it, the schema does not: %s", path, said.why);
        }
    }
    closedir(listing);
    return taken;
}

static void no_good_file_is_refused_by_the_schema(void **state)
{
    (void)state;
    assert_true(check_folder(false, ROOT "/policies") >= 2);
    assert_true(check_folder(true, ROOT "/labs") >= 2);
    assert_true(check_folder(false, ROOT "/tests/policies/good") >= 3);
    assert_true(check_folder(false, ROOT "/tests/fuzz/corpus/policy") >= 5);
    assert_true(check_folder(true, ROOT "/tests/fuzz/corpus/lab") >= 5);
}

#define V "version: 1\n"
#define W V "guards: {maintenance: [{"

/* What both must refuse. What only the reader can see (names that nobody bears, values that exclude each
 * other) is not here. */
static const char *const bad_policies[] = {
    "rules: []\n",
    "version: 2\n",
    "- a\n",
    V "moode: auto\n",
    V "mode: automatic\n",
    V "rules: restart_service\n",
    V "rules: [{if: cpu_utilization > 0.9}]\n",
    V "rules: [{do: restart_service}]\n",
    V "rules: [{if: cpu > 0.9, do: restart_service}]\n",
    V "rules: [{if: cpu_utilization = 0.9, do: restart_service}]\n",
    V "rules: [{if: cpu_utilization > high, do: restart_service}]\n",
    V "rules: [{if: cpu_utilization > 0.9 or error_ratio > 0.1, do: restart_service}]\n",
    V "rules: [{if: cpu_utilization > 0.9, do: reboot}]\n",
    V "rules: [{if: cpu_utilization > 0.9, for: 3, do: drain_node}]\n",
    V "rules: [{if: cpu_utilization > 0.9, for: 3 s, do: drain_node}]\n",
    V "rules: [{if: cpu_utilization > 0.9, do: {settle: 1s}}]\n",
    V "rules: [{if: cpu_utilization > 0.9, do: [drain_node, drain_node, drain_node, drain_node, drain_node, "
      "drain_node, drain_node]}]\n",
    V "rules: [{if: cpu_utilization > 0.9, do: drain_node, name: a b}]\n",
    V "detectors: [{when: service_up < 1}]\n",
    V "detectors: [{name: a}]\n",
    V "detectors: [{name: a, absent: 5s, when: service_up < 1}]\n",
    V "detectors: [{name: a, absent: 5s, for: 3s}]\n",
    V "detectors: [{name: a, when: service_up < 1, severity: bad}]\n",
    V "detectors: [{name: a, when: service_up < 1, confirm: maybe}]\n",
    V "playbooks: [{on: a}]\n",
    V "playbooks: [{steps: []}]\n",
    V "planner: 2s\n",
    V "guards: []\n",
    V "guards: {max_disrupted: 20}\n",
    V "guards: {max_disrupted: some}\n",
    V "guards: {breaker: {at_least: 0}}\n",
    V "guards: {breaker: no}\n",
    V "guards: {per_target: {cooldown: 30}}\n",
    V "guards: {per_target: {attempts: {max: 17}}}\n",
    V "guards: {per_target: {attempts: no}}\n",
    V "guards: {per_target: {backoff: none}}\n",
    V "guards: {per_target: {backoff: {bases: 1s}}}\n",
    V "guards: {rate: {per: 1m}}\n",
    V "guards: {rate: {per: 1m, max: 0}}\n",
    V "guards: {rate: {per: 1m, max: 1001}}\n",
    V "guards: {rate: {per: 0, max: 1}}\n",
    V "guards: {rate: {target: {per: 1h, max: 17}}}\n",
    V "guards: {rate: {per: 1m, max: 1, fleet: no}}\n",
    V "guards: {flapping: {changes: 1}}\n",
    V "guards: {flapping: yes}\n",
    V "guards: {approval: 0}\n",
    V "guards: {maintenance: web-1}\n",
    W "daily: \"02:00\", for: 1h}]}\n",
    W "nodes: \"\", daily: \"02:00\", for: 1h}]}\n",
    W "nodes: [], daily: \"02:00\", for: 1h}]}\n",
    W "nodes: a*b, daily: \"02:00\", for: 1h}]}\n",
    W "nodes: a}]}\n",
    W "nodes: a, daily: \"24:00\", for: 1h}]}\n",
    W "nodes: a, daily: \"02:00\"}]}\n",
    W "nodes: a, daily: \"02:00\", for: 1h, days: []}]}\n",
    W "nodes: a, daily: \"02:00\", for: 1h, days: [sat, sat]}]}\n",
    W "nodes: a, daily: \"02:00\", for: 1h, days: [caturday]}]}\n",
    W "nodes: a, daily: \"02:00\", for: 1h, from: 2026-12-24T20:00:00Z}]}\n",
    W "nodes: a, from: 2026-12-24T20:00:00Z}]}\n",
    W "nodes: a, from: today, until: tomorrow}]}\n",
    W "nodes: a, from: 2026-12-24T20:00:00Z, until: 2026-12-25T20:00:00Z, days: [sat]}]}\n",
};

static const char *const bad_labs[] = {
    "nodes: [{name: a}]\n",
    V "nodes: []\n",
    V "nodes: [{role: web}]\n",
    V "nodes: [{name: -a}]\n",
    V "nodes: [{name: a, rolle: web}]\n",
    V "nodes: [{name: a, interval: 5}]\n",
    V "nodes: [{name: a, calls: b}]\n",
    V "nodes: [{name: a, calls: [b, b]}, {name: b}]\n",
    V "nodes: [{name: a, exec: \"x {port}\"}]\n",
    V "nodes: [{name: a, exec: x, probe: tcp}]\n",
    V "nodes: [{name: a, probe: tcp}]\n",
    V "nodes: [{name: a, exec: \"x {port}\", probe: udp}]\n",
    V "nodes: [{name: a, exec: \"x {port}\", probe: \"http://x\"}]\n",
};

static unsigned count_wrong(bool lab, const char *const *bad, size_t count)
{
    unsigned wrong = 0;
    for (size_t i = 0; i < count; i++) {
        struct opinions said = ask(lab, bad[i], strlen(bad[i]));
        if (said.reader || said.schema) {
            print_message("the %s takes it:\n%s\n", said.reader ? "reader" : "schema", bad[i]);
            wrong++;
        }
    }
    return wrong;
}

static void both_refuse_what_is_wrong(void **state)
{
    (void)state;
    assert_int_equal(count_wrong(false, bad_policies, COUNT_OF(bad_policies)), 0);
    assert_int_equal(count_wrong(true, bad_labs, COUNT_OF(bad_labs)), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reader_and_schema_know_the_same_keys),
        cmocka_unit_test(every_map_is_closed_and_every_key_explained),
        cmocka_unit_test(the_words_are_those_of_the_tables),
        cmocka_unit_test(the_limits_are_those_of_the_core),
        cmocka_unit_test(the_defaults_are_those_of_the_core),
        cmocka_unit_test(every_example_and_default_is_valid),
        cmocka_unit_test(no_good_file_is_refused_by_the_schema),
        cmocka_unit_test(both_refuse_what_is_wrong),
    };
    return cmocka_run_group_tests_name("schema", tests, load_schemas, free_schemas);
}
