/* A row as a scenario file: what people can read, keep, and run alone. */
#include "oats/suite.h"

#include "base/check.h"
#include "policy/quantity.h"
#include "policy/yaml_tree.h"

#include <string.h>

/* --- YAML ----------------------------------------------------------------------------------------------- */

/* True if the words need no quotes within braces. */
static bool is_plain(const char *words)
{
    static const char inside[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./%+*:- ";
    size_t length = strlen(words);
    return length > 0 && strspn(words, inside) == length && strspn(words, "*:- +%") == 0 &&
           strstr(words, ": ") == NULL && words[length - 1] != ':' && words[length - 1] != ' ';
}

static void write_quoted(struct text *text, const char *words)
{
    text_add(text, "\"");
    for (; *words != '\0'; words++) {
        char piece[] = {*words, '\0'};
        text_add(text, *words == '"'    ? "\\\""
                       : *words == '\\' ? "\\\\"
                       : *words == '\n' ? "\\n"
                       : *words == '\t' ? "\\t"
                                        : piece);
    }
    text_add(text, "\"");
}

static void write_words(struct text *text, const char *words)
{
    if (is_plain(words)) {
        text_add(text, words);
    } else {
        write_quoted(text, words);
    }
}

static void write_node(struct text *text, const struct yaml_node *node);

static void write_entries(struct text *text, const struct yaml_node *map, const char *left_out)
{
    for (const struct yaml_node *entry = map->first; entry != NULL; entry = entry->next) {
        if (left_out != NULL && strcmp(entry->key, left_out) == 0) {
            continue;
        }
        text_add(text, text->bytes[text->length - 1] == '{' ? "" : ", ");
        text_addf(text, "%s: ", entry->key);
        write_node(text, entry);
    }
}

/* As it stood in its file, but in one line. The reader of scenarios has taken it, so keys are plain words. */
static void write_node(struct text *text, const struct yaml_node *node)
{
    if (node->kind == YAML_MAP) {
        text_add(text, "{");
        write_entries(text, node, NULL);
        text_add(text, "}");
    } else if (node->kind == YAML_LIST) {
        text_add(text, "[");
        for (const struct yaml_node *entry = node->first; entry != NULL; entry = entry->next) {
            write_node(text, entry);
            text_add(text, entry->next != NULL ? ", " : "");
        }
        text_add(text, "]");
    } else if (node->quoted || node->text[0] != '\0') {
        write_words(text, node->text);
    }
}

static void write_amount(struct text *text, double value, enum metric_unit unit)
{
    char bytes[64];
    struct text amount = text_over(bytes, sizeof bytes);
    quantity_write(&amount, value, unit);
    write_words(text, bytes);
}

static void write_duration(struct text *text, const char *key, duration d)
{
    text_addf(text, "%s: ", key);
    quantity_write_duration(text, d);
}

/* A path, which stood relative to the base's folder. */
static void write_path(struct text *text, const char *to_base, const char *path)
{
    char bytes[2 * SCENARIO_PATH_SIZE];
    struct text whole = text_over(bytes, sizeof bytes);
    if (path[0] != '/' && to_base[0] != '\0') {
        text_addf(&whole, "%s/", to_base);
    }
    text_add(&whole, path);
    write_words(text, bytes);
}

/* --- what comes from the base --------------------------------------------------------------------------- */

/* With a share of the usual users, and the capacity that the usual ones have got. */
static void write_fleet(struct text *text, const struct suite *suite, const struct suite_level *load)
{
    const struct yaml_node *list = yaml_tree_entry(suite->map, "fleet");
    const struct scenario_group *group = suite->base->groups;
    text_add(text, "fleet:\n");
    for (const struct yaml_node *entry = list->first; entry != NULL; entry = entry->next, group++) {
        text_add(text, "  - ");
        if (load == NULL) {
            write_node(text, entry);
        } else {
            text_add(text, "{");
            for (const struct yaml_node *part = entry->first; part != NULL; part = part->next) {
                if (strcmp(part->key, "users") != 0 && strcmp(part->key, "capacity") != 0) {
                    text_addf(text, "%s: ", part->key);
                    write_node(text, part);
                    text_add(text, ", ");
                }
            }
            text_add(text, "users: ");
            write_amount(text, group->node.users_per_s * load->share, UNIT_PER_SECOND);
            text_add(text, ", capacity: ");
            write_amount(text, group->node.capacity_per_s, UNIT_PER_SECOND);
            text_add(text, "}");
        }
        text_add(text, "\n");
    }
}

static void write_network(struct text *text, const struct suite *suite, const struct suite_level *loss)
{
    const struct yaml_node *map = yaml_tree_entry(suite->map, "network");
    if (map == NULL && loss == NULL) {
        return;
    }
    text_add(text, "network: {");
    if (map != NULL) {
        write_entries(text, map, loss != NULL ? "loss" : NULL);
    }
    if (loss != NULL) {
        text_addf(text, "%sloss: %s", text->bytes[text->length - 1] == '{' ? "" : ", ", loss->word);
    }
    text_add(text, "}\n");
}

static void write_entry(struct text *text, const struct suite *suite, const char *key)
{
    const struct yaml_node *node = yaml_tree_entry(suite->map, key);
    if (node != NULL && node->kind == YAML_SCALAR && node->text[0] == '\0') {
        return; /* "load:" with nothing behind it */
    }
    if (node != NULL) {
        text_addf(text, "%s: ", key);
        write_node(text, node);
        text_add(text, "\n");
    }
}

/* Their files are named from the base's folder. */
static void write_accidents(struct text *text, const struct suite *suite, const char *to_base)
{
    const struct yaml_node *list = yaml_tree_entry(suite->map, "accidents");
    if (list == NULL || list->first == NULL) {
        return;
    }
    text_add(text, "accidents:\n");
    for (const struct yaml_node *entry = list->first; entry != NULL; entry = entry->next) {
        const struct yaml_node *file = yaml_tree_entry(entry, "file");
        text_add(text, "  - {");
        write_entries(text, entry, "file");
        if (file != NULL) {
            text_add(text, ", file: ");
            write_path(text, to_base, file->text);
        }
        text_add(text, "}\n");
    }
}

/* --- what the row says ---------------------------------------------------------------------------------- */

/* `, KEY: `. Returns the key's column. */
static int begin_value(struct text *text, const char *key, size_t line_begins)
{
    text_add(text, text->bytes[text->length - 1] == '{' ? "" : ", ");
    int column = (int)(text->length - line_begins) + 1;
    text_addf(text, "%s: ", key);
    return column;
}

static void write_intensity(struct text *text, const struct suite_level *level, enum fault_kind kind)
{
    if (level->which == STRENGTH_COUNT) {
        write_words(text, level->word);
    } else {
        write_amount(text, strength_of(kind, (enum strength)level->which), fault_infos[kind].unit);
    }
}

static bool has_period(uint8_t shape)
{
    return shape == SHAPE_SPIKE || shape == SHAPE_SAWTOOTH || shape == SHAPE_FLAPPING;
}

static void write_fault(struct text *text, const struct suite *suite, uint32_t row, struct row_places *places)
{
    const struct suite_level *fault = suite_level(suite, row, FACTOR_FAULT),
                             *node = suite_level(suite, row, FACTOR_NODE),
                             *intensity = suite_level(suite, row, FACTOR_INTENSITY),
                             *shape = suite_level(suite, row, FACTOR_SHAPE);
    enum fault_kind kind = (enum fault_kind)fault->which;
    size_t begins = text->length;
    text_add(text, "  - {");
    places->at = begin_value(text, "at", begins);
    quantity_write_duration(text, suite->at_ns);
    places->column[FACTOR_FAULT] = begin_value(text, "kind", begins);
    text_add(text, fault->word);
    places->column[FACTOR_NODE] = begin_value(text, "on", begins);
    write_words(text, node->word);
    bool graded = fault_infos[kind].unit != UNIT_NONE;
    if (intensity != NULL && (graded || intensity->which == STRENGTH_COUNT)) {
        places->column[FACTOR_INTENSITY] = begin_value(text, "intensity", begins);
        write_intensity(text, intensity, kind);
    }
    if (suite->length_ns > 0) {
        places->length = begin_value(text, "for", begins);
        quantity_write_duration(text, suite->length_ns);
    }
    if (shape != NULL) {
        places->column[FACTOR_SHAPE] = begin_value(text, "shape", begins);
        text_add(text, shape->word);
    }
    if (suite->period_ns > 0 && shape != NULL && has_period(shape->which)) {
        places->period = begin_value(text, "period", begins);
        quantity_write_duration(text, suite->period_ns);
    }
    text_add(text, "}\n");
}

static bool strikes(const struct suite *suite, const struct suite_level *node, uint32_t number,
                    uint32_t of_group)
{
    char name[NODE_NAME_SIZE];
    struct text text = text_over(name, sizeof name);
    const struct scenario_group *group = scenario_group_of(suite->base, number);
    text_addf(&text, "%s-%u", group->role, of_group + 1);
    return scenario_target_means(&node->on, name, group->role, scenario_zone_of(suite->base, number));
}

/* Everybody else is left alone: roles as a whole where that says it, else node by node, and no more of them
 * than a scenario has room for: then reading it says so. */
static void write_untouched(struct text *text, const struct suite *suite, const struct suite_level *node)
{
    uint32_t first = 0, lines = 0;
    for (uint32_t g = 0; g < suite->base->group_count; g++) {
        const struct scenario_group *group = &suite->base->groups[g];
        uint32_t struck = 0;
        for (uint32_t i = 0; i < group->count; i++) {
            struck += strikes(suite, node, first + i, i);
        }
        if (struck == 0) {
            text_addf(text, "  - {untouched: role:%s}\n", group->role);
            lines++;
        }
        for (uint32_t i = 0; struck > 0 && i < group->count && lines <= SCENARIO_EXPECT_MAX; i++) {
            if (!strikes(suite, node, first + i, i)) {
                text_addf(text, "  - {untouched: %s-%u}\n", group->role, i + 1);
                lines++;
            }
        }
        first += group->count;
    }
}

static void write_expect(struct text *text, const struct suite *suite, uint32_t row)
{
    const struct suite_level *node = suite_level(suite, row, FACTOR_NODE);
    struct row_cure cure = row_cure(suite, row);
    text_add(text, "expect:\n");
    if (!cure.heals) {
        text_add(text, "  - {untouched: \"*\"}\n");
        return;
    }
    if (!cure.possible) {
        text_addf(text, "  # The policy has no finding that leads to %s, so this cannot come about:\n",
                  remedy_name((enum remedy)cure.remedy));
    }
    text_addf(text, "  - {finding: %s, on: ", cure.finding);
    write_words(text, node->word);
    text_addf(text, ", remedy: %s, verdict: effective", remedy_name((enum remedy)cure.remedy));
    if (suite->within_ns > 0) {
        text_add(text, ", ");
        write_duration(text, "within", suite->within_ns);
    }
    text_add(text, "}\n");
    write_untouched(text, suite, node);
}

void row_write_levels(struct text *text, const struct suite *suite, uint32_t row)
{
    text_addf(text, "%s on %s", suite_level(suite, row, FACTOR_FAULT)->word,
              suite_level(suite, row, FACTOR_NODE)->word);
    for (enum factor_kind kind = FACTOR_INTENSITY; kind < FACTOR_COUNT; kind++) {
        const struct suite_level *level = suite_level(suite, row, kind);
        if (level != NULL) {
            text_addf(text, ", %s %s", factor_name(kind), level->word);
        }
    }
}

static void write_head(struct text *text, const struct suite *suite, uint32_t row,
                       const struct row_options *options)
{
    char bytes[SCENARIO_TEXT_SIZE + 1];
    struct text title = text_over(bytes, SCENARIO_TITLE_SIZE);
    text_addf(text,
              "# Row %u of %u of the suite %s, written by `oats`: change the suite, not this file.\n"
              "version: 1\n",
              row + 1, suite->array.rows, options->name);
    text_addf(&title, "%s, %u of %u", suite->title[0] != '\0' ? suite->title : "A suite", row + 1,
              suite->array.rows);
    text_add(text, "title: ");
    write_words(text, bytes);
    struct row_cure cure = row_cure(suite, row);
    struct text teaches = text_over(bytes, SCENARIO_TEXT_SIZE);
    row_write_levels(&teaches, suite, row);
    text_addf(&teaches, "%s",
              cure.heals ? ": it is healed where it is, by what truly cures it, and nobody else is touched."
                         : ": there is nothing that an action could mend, so nobody is touched.");
    text_add(text, "\nteaches: ");
    write_quoted(text, bytes);
    text_addf(text, "\nseed: %llu\n", (unsigned long long)options->seed);
}

static int lines_of(const struct text *text, size_t from)
{
    int lines = 0;
    for (const char *at = text->bytes + from; (at = strchr(at, '\n')) != NULL; at++) {
        lines++;
    }
    return lines;
}

void row_write(struct text *text, const struct suite *suite, uint32_t row, const struct row_options *options,
               struct row_places *places)
{
    struct row_places unwanted;
    size_t begins = text->length;
    places = places != NULL ? places : &unwanted;
    *places = (struct row_places){0};
    write_head(text, suite, row, options);
    write_entry(text, suite, "duration");
    write_entry(text, suite, "heal");
    if (options->policy_path[0] != '\0') {
        text_add(text, "policy: ");
        write_words(text, options->policy_path);
        text_add(text, "\n");
    }
    write_fleet(text, suite, suite_level(suite, row, FACTOR_LOAD));
    write_entry(text, suite, "load");
    write_network(text, suite, suite_level(suite, row, FACTOR_LOSS));
    text_add(text, "faults:\n");
    places->line = lines_of(text, begins) + 1;
    write_fault(text, suite, row, places);
    write_accidents(text, suite, options->to_base);
    write_expect(text, suite, row);
}
