#include "base/check.h"
#include "oats/suite_reader.h"
#include "policy/fields.h"
#include "policy/policy_builtin.h"
#include "policy/policy_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const duration at_default_ns = 30 * SECOND;

/* --- the base ------------------------------------------------------------------------------------------- */

static void folder_of(const char *path, char out[SCENARIO_PATH_SIZE])
{
    text_copy(out, SCENARIO_PATH_SIZE, path);
    char *slash = strrchr(out, '/');
    out[slash == NULL ? 0 : slash - out + (slash == out)] = '\0';
}

/* What is wrong in the base's file is told where the suite names it, as "FILE:LINE:COLUMN: ...". */
static void complain_of_base(struct suite_reader *reader, const struct yaml_node *node,
                             const struct complaints *complaints)
{
    uint32_t first = 0;
    while (first + 1 < complaints->count && complaints->list[first].note) {
        first++;
    }
    char bytes[2 * COMPLAINT_TEXT_SIZE], shown[SHOWN_SIZE];
    struct text text = text_over(bytes, sizeof bytes);
    complaint_print(&text, &complaints->list[first], complaint_shown(shown, node->text));
    complain(reader->complaints, node->at, "%s", bytes);
}

static int parse_base(struct suite_reader *reader, const struct yaml_node *node,
                      struct complaints *complaints)
{
    struct suite *suite = reader->suite;
    char *bytes;
    size_t length;
    int result = yaml_tree_load(suite->base_path, &bytes, &length);
    if (result < 0) {
        char shown[SHOWN_SIZE];
        complain(reader->complaints, node->at, "base %s: %s", complaint_shown(shown, node->text),
                 strerror(-result));
        return SUITE_REFUSED;
    }
    result = yaml_tree_read(&suite->base_tree, bytes, length, complaints);
    free(bytes);
    if (result != 0) {
        return result;
    }
    suite->map = yaml_tree_root(suite->base_tree);
    if (suite->map == NULL) {
        complain(complaints, (struct place){1, 1}, "the file is empty; begin with \"version: 1\"");
        return SCENARIO_REFUSED;
    }
    folder_of(suite->base_path, suite->folder);
    return scenario_read_map(suite->map, suite->folder, suite->base, complaints);
}

static int read_base_file(struct suite_reader *reader, const struct yaml_node *node)
{
    reader->scenario.folder = reader->folder;
    if (!scenario_read_path(&reader->scenario, node, reader->suite->base_path)) {
        return SUITE_REFUSED;
    }
    struct complaints *complaints = calloc(1, sizeof *complaints);
    if (complaints == NULL) {
        return -ENOMEM;
    }
    int result = parse_base(reader, node, complaints);
    complaints_sort(complaints);
    if (result > 0 && complaints->errors > 0) {
        complain_of_base(reader, node, complaints);
    }
    free(complaints);
    return result;
}

/* Faults are the suite's business. */
static void note_left_out(struct suite_reader *reader, const struct yaml_node *map)
{
    static const char *const left_out[] = {"title", "teaches", "seed", "faults", "expect"};
    for (size_t i = 0; i < COUNT_OF(left_out); i++) {
        const struct yaml_node *entry = yaml_tree_entry(map, left_out[i]);
        if (entry != NULL) {
            complain_note(reader->complaints, entry->key_at, "%s: each row has its own; this is not used",
                          left_out[i]);
        }
    }
}

static int read_base(struct suite_reader *reader, const struct yaml_node *root)
{
    struct suite *suite = reader->suite;
    const struct yaml_node *base = yaml_tree_entry(root, "base"), *map = yaml_tree_entry(root, "scenario");
    int result;
    if ((base == NULL) == (map == NULL)) {
        complain(reader->complaints, base == NULL ? root->at : map->key_at,
                 base == NULL ? "on what? \"base: ../scenarios/NAME.yaml\", or \"scenario:\" with a fleet"
                              : "either base or scenario; leave one of them out");
        return SUITE_REFUSED;
    }
    suite->base_at = base != NULL ? base->at : map->at;
    if (base != NULL) {
        result = read_base_file(reader, base);
    } else {
        suite->map = map;
        text_copy(suite->folder, sizeof suite->folder, reader->folder);
        result = scenario_read_map(map, reader->folder, suite->base, reader->complaints);
        note_left_out(reader, map);
    }
    if (result == 0 && suite->base->node_count > SUITE_NODES_MAX) {
        complain(reader->complaints, suite->base_at,
                 "%u nodes; a suite runs its fleet many times, so at most %d", suite->base->node_count,
                 SUITE_NODES_MAX);
        result = SUITE_REFUSED;
    }
    reader->scenario.scenario = suite->base;
    reader->scenario.fleet_reads = result == 0;
    return result;
}

/* --- the rest of the file ------------------------------------------------------------------------------- */

static void read_times(struct suite_reader *reader, const struct yaml_node *root)
{
    struct suite *suite = reader->suite;
    const struct {
        const char *key;
        duration least, *out;
        struct place *place;
    } times[] = {{"at", 0, &suite->at_ns, &suite->at_at},
                 {"for", MILLISECOND, &suite->length_ns, &suite->length_at},
                 {"period", SECOND, &suite->period_ns, &suite->period_at},
                 {"within", MILLISECOND, &suite->within_ns, NULL}};
    suite->at_ns = at_default_ns;
    for (size_t i = 0; i < COUNT_OF(times); i++) {
        const struct yaml_node *node = yaml_tree_entry(root, times[i].key);
        field_duration(node, times[i].least, times[i].out, reader->complaints);
        if (node != NULL && times[i].place != NULL) {
            *times[i].place = node->at;
        }
    }
}

static void read_title(struct suite_reader *reader, const struct yaml_node *node)
{
    const char *title = "";
    if (node == NULL || !field_text(node, &title, reader->complaints)) {
        return;
    }
    if (!text_copy(reader->suite->title, SUITE_TITLE_SIZE, title)) {
        complain(reader->complaints, node->at, "title is longer than %d bytes", SUITE_TITLE_SIZE - 1);
    }
    text_tame(reader->suite->title);
}

/* The policy that was given, else the base's own, else the default. */
static void take_policy(struct suite_reader *reader, const struct policy *policy, const char *path)
{
    struct suite *suite = reader->suite;
    struct complaints *complaints = calloc(1, sizeof *complaints);
    CHECK(complaints != NULL);
    const char *text = policy_default_text();
    if (policy != NULL) {
        suite->policy = *policy;
        text_copy(suite->policy_path, sizeof suite->policy_path, path);
    } else if (suite->base->policy_path[0] != '\0') {
        text_copy(suite->policy_path, sizeof suite->policy_path, suite->base->policy_path);
        int result = policy_read_file(suite->policy_path, &suite->policy, complaints);
        if (result != 0) { /* it was there a moment ago */
            complain(reader->complaints, suite->base_at, "policy %s: %s", suite->policy_path,
                     result < 0 ? strerror(-result) : complaints->list[0].text);
        }
    } else {
        CHECK(policy_read(text, strlen(text), &suite->policy, complaints) == 0);
    }
    if (suite->policy.detector_count == 0 && reader->complaints->errors == 0) {
        complain(reader->complaints, suite->base_at, "the policy %s detects nothing, so no row can be healed",
                 suite->policy_path);
    }
    free(complaints);
}

/* --- the rows ------------------------------------------------------------------------------------------- */

/* The suite's word that the reader of the row's text complains of. */
static struct place place_of(const struct suite *suite, uint32_t row, const struct row_places *places,
                             const struct complaint *complaint)
{
    struct place place = suite->factors_at;
    int nearest = 0;
    if (complaint->line > places->line) { /* what is expected follows from who is struck */
        return suite_level(suite, row, FACTOR_NODE)->at;
    }
    for (enum factor_kind kind = 0; kind < FACTOR_COUNT && complaint->line == places->line; kind++) {
        int column = places->column[kind];
        if (column > nearest && column <= complaint->column) {
            place = suite_level(suite, row, kind)->at;
            nearest = column;
        }
    }
    const struct {
        int column;
        struct place at;
    } times[] = {
        {places->at, suite->at_at}, {places->length, suite->length_at}, {places->period, suite->period_at}};
    for (size_t i = 0; i < COUNT_OF(times) && complaint->line == places->line; i++) {
        if (times[i].column > nearest && times[i].column <= complaint->column) {
            place = times[i].at.line > 0 ? times[i].at : suite->factors_at;
            nearest = times[i].column;
        }
    }
    return place;
}

static void pass_on(struct suite_reader *reader, const struct complaint *complaint, struct place place)
{
    const struct complaints *known = reader->complaints;
    for (uint32_t i = 0; i < known->count; i++) {
        const struct complaint *other = &known->list[i];
        if (other->line == place.line && other->column == place.column &&
            strcmp(other->text, complaint->text) == 0) {
            return; /* another row has the same level */
        }
    }
    if (complaint->note) {
        complain_note(reader->complaints, place, "%s", complaint->text);
    } else {
        complain(reader->complaints, place, "%s", complaint->text);
    }
}

/* Reads every row as its file will be read. */
static int try_rows(struct suite_reader *reader)
{
    struct suite *suite = reader->suite;
    struct row_options options = {
        .name = "", .policy_path = suite->policy_path, .to_base = suite->folder, .seed = suite->seed};
    char *bytes = malloc(SUITE_ROW_BYTES);
    struct scenario *scenario = malloc(sizeof *scenario);
    struct complaints *complaints = malloc(sizeof *complaints);
    int result = bytes != NULL && scenario != NULL && complaints != NULL ? 0 : -ENOMEM;
    for (uint32_t row = 0; result >= 0 && row < suite->array.rows; row++) {
        struct text text = text_over(bytes, SUITE_ROW_BYTES);
        struct row_places places;
        row_write(&text, suite, row, &options, &places);
        if (text.cut) {
            complain(reader->complaints, suite->base_at, "a row of it would be larger than %d bytes",
                     SUITE_ROW_BYTES);
            break;
        }
        result = scenario_read(bytes, text.length, "", scenario, complaints);
        for (uint32_t i = 0; result >= 0 && i < complaints->count; i++) {
            const struct complaint *complaint = &complaints->list[i];
            if (!complaint->note || complaint->line == places.line) {
                pass_on(reader, complaint, place_of(suite, row, &places, complaint));
            }
        }
    }
    free(bytes);
    free(scenario);
    free(complaints);
    return result < 0 ? result : 0;
}

static int lay_out(struct suite_reader *reader)
{
    struct suite *suite = reader->suite;
    uint8_t levels[SUITE_FACTORS_MAX];
    for (uint32_t i = 0; i < suite->factor_count; i++) {
        levels[i] = suite->factors[i].level_count;
    }
    int result = array_make(&suite->array, levels, suite->factor_count);
    CHECK(result != -E2BIG); /* six factors of 32 levels are 1024 rows */
    return result == 0 ? try_rows(reader) : result;
}

/* --- the file ------------------------------------------------------------------------------------------- */

static int read_root(struct suite_reader *reader, const struct yaml_node *root, const struct policy *policy,
                     const char *policy_path)
{
    struct suite *suite = reader->suite;
    struct complaints *complaints = reader->complaints;
    uint32_t seed = 1;
    if (!field_map(root, &suite_keys[SUITE_MAP_SUITE], complaints)) {
        return SUITE_REFUSED;
    }
    field_version(root, complaints);
    read_title(reader, yaml_tree_entry(root, "title"));
    field_integer(yaml_tree_entry(root, "seed"), 1, UINT32_MAX - 1, &seed, complaints);
    suite->seed = seed;
    read_times(reader, root);
    int result = read_base(reader, root);
    if (result < 0) {
        return result;
    }
    suite_read_factors(reader, root);
    if (complaints->errors == 0) {
        take_policy(reader, policy, policy_path);
    }
    if (complaints->errors > 0) {
        return SUITE_REFUSED;
    }
    result = lay_out(reader);
    return result < 0 ? result : complaints->errors > 0 ? SUITE_REFUSED : 0;
}

int suite_read(const char *bytes, size_t length, const char *folder, const struct policy *policy,
               const char *policy_path, struct suite **suite, struct complaints *complaints)
{
    memset(complaints, 0, sizeof *complaints);
    struct suite *read = calloc(1, sizeof *read);
    *suite = NULL;
    if (read == NULL || (read->base = calloc(1, sizeof *read->base)) == NULL) {
        suite_free(&read);
        return -ENOMEM;
    }
    struct suite_reader reader = {
        .suite = read, .complaints = complaints, .scenario = {.complaints = complaints}, .folder = folder};
    int result = yaml_tree_read(&read->tree, bytes, length, complaints);
    if (result == 0 && yaml_tree_root(read->tree) == NULL) {
        complain(complaints, (struct place){1, 1}, "the file is empty; begin with \"version: 1\"");
        result = SUITE_REFUSED;
    } else if (result == 0) {
        result = read_root(&reader, yaml_tree_root(read->tree), policy, policy_path);
    }
    complaints_sort(complaints);
    if (result == 0) {
        *suite = read;
    } else {
        suite_free(&read);
    }
    return result;
}

int suite_read_file(const char *path, const struct policy *policy, const char *policy_path,
                    struct suite **suite, struct complaints *complaints)
{
    char folder[SCENARIO_PATH_SIZE], *bytes;
    size_t length;
    memset(complaints, 0, sizeof *complaints);
    *suite = NULL;
    int result = yaml_tree_load(path, &bytes, &length);
    if (result < 0) {
        return result;
    }
    folder_of(path, folder);
    result = suite_read(bytes, length, folder, policy, policy_path, suite, complaints);
    free(bytes);
    return result;
}

void suite_free(struct suite **suite)
{
    if (*suite != NULL) {
        array_free(&(*suite)->array);
        yaml_tree_free(&(*suite)->tree);
        yaml_tree_free(&(*suite)->base_tree);
        free((*suite)->base);
        free(*suite);
    }
    *suite = NULL;
}
