/* Factors and their levels, as people write them. */
#include "base/check.h"
#include "oats/suite_reader.h"
#include "policy/fields.h"

#include <string.h>

#define X(symbol, name) (name),
static const char *const factor_words[] = {FACTOR_TABLE(X)};
static const char *const strength_words[] = {STRENGTH_TABLE(X)};
static const char *const shape_words[] = {SHAPE_TABLE(X)};
#undef X

/* --- levels --------------------------------------------------------------------------------------------- */

static void read_node(struct suite_reader *reader, const struct yaml_node *node, struct suite_level *level)
{
    if (scenario_read_target(&reader->scenario, node, &level->on) && level->on.some > 0) {
        complain(reader->complaints, node->at, "node: which of them? name them, leave \"%u of\" out",
                 level->on.some);
    }
}

/* low, medium, high; or an amount, which is weighed when the faults are known. */
static void read_intensity(struct suite_reader *reader, const struct yaml_node *node,
                           struct suite_level *level)
{
    char first = node->text[0];
    bool amount = (first >= '0' && first <= '9') || first == '.' || first == '-';
    level->which = STRENGTH_COUNT;
    if (!amount) {
        field_word(node, "intensity", strength_words, COUNT_OF(strength_words), &level->which,
                   reader->complaints);
    }
}

static void read_share(struct suite_reader *reader, const struct yaml_node *node, double most, const char *of,
                       struct suite_level *level)
{
    scenario_read_amount(node, (struct scale_of){UNIT_RATIO, 0, most, of}, &level->share, reader->complaints);
}

static void read_level(struct suite_reader *reader, const struct yaml_node *node, struct suite_factor *factor)
{
    struct complaints *complaints = reader->complaints;
    const char *word = "";
    if (!field_text(node, &word, complaints)) {
        return;
    }
    struct suite_level *level = &factor->levels[factor->level_count];
    struct yaml_node named = *node; /* for complaints that name the key */
    named.key = factor_words[factor->kind];
    level->at = node->at;
    if (!text_copy(level->word, sizeof level->word, word)) {
        complain(complaints, node->at, "a level of more than %d bytes", SUITE_LEVEL_SIZE - 1);
        return;
    }
    for (uint32_t i = 0; i < factor->level_count; i++) {
        if (strcmp(factor->levels[i].word, level->word) == 0) {
            char shown[SHOWN_SIZE];
            complain(complaints, node->at, "level %s stands here twice; once is enough",
                     complaint_shown(shown, word));
            return;
        }
    }
    factor->level_count++;
    size_t kinds;
    const char *const *kind_words = fault_kind_names(&kinds);
    switch ((enum factor_kind)factor->kind) {
    case FACTOR_FAULT:
        if (field_word(&named, "fault", kind_words, kinds, &level->which, complaints)) {
            scenario_check_kind(&named, (enum fault_kind)level->which, FAULT_AT_SYNTHETIC, complaints);
        }
        break;
    case FACTOR_NODE:
        read_node(reader, &named, level);
        break;
    case FACTOR_INTENSITY:
        read_intensity(reader, &named, level);
        break;
    case FACTOR_SHAPE:
        field_word(&named, "shape", shape_words, COUNT_OF(shape_words), &level->which, complaints);
        break;
    case FACTOR_LOAD:
        read_share(reader, &named, 10, "the share of the usual load", level);
        break;
    case FACTOR_LOSS:
        read_share(reader, &named, 1, "loss", level);
        break;
    case FACTOR_COUNT:
        CHECK(false);
    }
}

/* --- factors -------------------------------------------------------------------------------------------- */

static const struct suite_factor *find_factor(const struct suite *suite, enum factor_kind kind)
{
    for (uint32_t i = 0; i < suite->factor_count; i++) {
        if (suite->factors[i].kind == kind) {
            return &suite->factors[i];
        }
    }
    return NULL;
}

static void read_levels(struct suite_reader *reader, const struct yaml_node *map, struct suite_factor *factor)
{
    const struct yaml_node *levels = yaml_tree_entry(map, "levels");
    if (levels == NULL) {
        complain(reader->complaints, map->at, "a factor needs levels, as in \"levels: [low, medium, high]\"");
        return;
    }
    if (!field_list(levels, reader->complaints)) {
        return;
    }
    if (levels->count == 0 || levels->count > ARRAY_LEVELS_MAX) {
        complain(reader->complaints, levels->at, "%u levels; a factor has 1 to %d", levels->count,
                 ARRAY_LEVELS_MAX);
        return;
    }
    for (const struct yaml_node *level = levels->first; level != NULL; level = level->next) {
        read_level(reader, level, factor);
    }
}

static void read_factor(struct suite_reader *reader, const struct yaml_node *map)
{
    struct suite *suite = reader->suite;
    struct complaints *complaints = reader->complaints;
    if (!field_map(map, &suite_keys[SUITE_MAP_FACTOR], complaints)) {
        return;
    }
    const struct yaml_node *name = yaml_tree_entry(map, "name");
    uint8_t kind = FACTOR_COUNT;
    if (name == NULL) {
        complain(complaints, map->at, "a factor needs a name, as in \"name: fault\"");
        return;
    }
    if (!field_word(name, "factor", factor_words, COUNT_OF(factor_words), &kind, complaints)) {
        return;
    }
    if (find_factor(suite, (enum factor_kind)kind) != NULL) {
        complain(complaints, name->at, "a second factor %s; put all its levels into one", name->text);
        return;
    }
    CHECK(suite->factor_count < SUITE_FACTORS_MAX); /* there are no more kinds */
    struct suite_factor *factor = &suite->factors[suite->factor_count++];
    factor->kind = kind;
    read_levels(reader, map, factor);
}

/* An amount has to fit every fault that it meets, and sooner or later it meets all of them. */
static void weigh_intensities(struct suite_reader *reader)
{
    const struct suite_factor *faults = find_factor(reader->suite, FACTOR_FAULT),
                              *levels = find_factor(reader->suite, FACTOR_INTENSITY);
    for (uint32_t i = 0; levels != NULL && faults != NULL && i < levels->level_count; i++) {
        const struct suite_level *level = &levels->levels[i];
        if (level->which != STRENGTH_COUNT) {
            continue;
        }
        struct yaml_node node = {.at = level->at, .text = level->word, .key = "intensity"};
        for (uint32_t k = 0; k < faults->level_count; k++) {
            const struct fault_info *info = &fault_infos[faults->levels[k].which];
            double amount;
            if (info->unit == UNIT_NONE) {
                complain(reader->complaints, level->at,
                         "intensity: a %s has none; low, medium and high fit all", info->name);
            } else if (!scenario_read_amount(
                           &node, (struct scale_of){info->unit, info->least, info->most, info->name}, &amount,
                           reader->complaints)) {
                break;
            }
        }
    }
}

static void note_equal_strengths(struct suite_reader *reader)
{
    const struct suite_factor *faults = find_factor(reader->suite, FACTOR_FAULT),
                              *levels = find_factor(reader->suite, FACTOR_INTENSITY);
    for (uint32_t k = 0; levels != NULL && levels->level_count > 1 && k < faults->level_count; k++) {
        enum fault_kind kind = (enum fault_kind)faults->levels[k].which;
        if (strength_of(kind, STRENGTH_LOW) == strength_of(kind, STRENGTH_HIGH)) {
            complain_note(reader->complaints, faults->levels[k].at,
                          "%s has one strength only: its rows are alike in that", fault_kind_name(kind));
        }
    }
}

void suite_read_factors(struct suite_reader *reader, const struct yaml_node *root)
{
    const struct yaml_node *list = yaml_tree_entry(root, "factors");
    if (list == NULL) {
        complain(reader->complaints, root->at,
                 "what is varied? \"factors:\", as in \"- {name: fault, levels: [cpu_spike, memory_leak]}\"");
        return;
    }
    reader->suite->factors_at = list->at;
    if (!field_list(list, reader->complaints)) {
        return;
    }
    for (const struct yaml_node *factor = list->first; factor != NULL; factor = factor->next) {
        read_factor(reader, factor);
    }
    static const enum factor_kind needed[] = {FACTOR_FAULT, FACTOR_NODE};
    for (size_t i = 0; i < COUNT_OF(needed); i++) {
        if (find_factor(reader->suite, needed[i]) == NULL) {
            complain(reader->complaints, list->at, "the factor %s is missing; one level is enough",
                     factor_words[needed[i]]);
        }
    }
    if (reader->complaints->errors == 0) {
        weigh_intensities(reader);
        note_equal_strengths(reader);
    }
}
