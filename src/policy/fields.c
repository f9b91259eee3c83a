#include "policy/fields.h"

#include "policy/quantity.h"

#include <string.h>

/* What to call a node in a complaint. */
static const char *field_label(const struct yaml_node *node)
{
    return node->key != NULL ? node->key : "this";
}

static const char *kind_sentence(const struct yaml_node *node)
{
    switch (node->kind) {
    case YAML_SCALAR:
        return node->text[0] == '\0' && !node->quoted ? "nothing" : "a text";
    case YAML_LIST:
        return "a list";
    case YAML_MAP:
        return "a map; a text that begins with a brace needs quotes";
    }
    return "";
}

static bool field_scalar(const struct yaml_node *node, const char *wanted, struct complaints *complaints)
{
    if (node->kind == YAML_SCALAR && node->text[0] != '\0') {
        return true;
    }
    complain(complaints, node->at, "%s must be %s, not %s", field_label(node), wanted,
             node->kind == YAML_SCALAR ? "empty" : kind_sentence(node));
    return false;
}

bool field_map(const struct yaml_node *node, const struct keys *keys, struct complaints *complaints)
{
    if (node->kind != YAML_MAP) {
        complain(complaints, node->at, "%s%s must be a map of \"key: value\", not %s",
                 node->key != NULL ? "" : "a ", node->key != NULL ? node->key : keys->map,
                 kind_sentence(node));
        return false;
    }
    for (const struct yaml_node *entry = node->first; entry != NULL; entry = entry->next) {
        bool known = false;
        for (size_t i = 0; i < keys->count; i++) {
            known = known || strcmp(entry->key, keys->words[i]) == 0;
        }
        if (!known) {
            complain_unknown(complaints, entry->key_at, "key", entry->key, keys->words, keys->count);
        }
    }
    return true;
}

void field_version(const struct yaml_node *root, struct complaints *complaints)
{
    const struct yaml_node *version = yaml_tree_entry(root, "version");
    if (version == NULL) {
        complain(complaints, root->at, "the version is missing; begin with \"version: 1\"");
    } else if (version->kind != YAML_SCALAR || strcmp(version->text, "1") != 0) {
        complain(complaints, version->at, "only version 1 is known");
    }
}

bool field_list(const struct yaml_node *node, struct complaints *complaints)
{
    bool empty = node->kind == YAML_SCALAR && node->text[0] == '\0' && !node->quoted;
    if (node->kind == YAML_LIST || empty) {
        return true;
    }
    complain(complaints, node->at, "%s must be a list: \"- ...\" in lines, or [...]", field_label(node));
    return false;
}

bool field_text(const struct yaml_node *node, const char **out, struct complaints *complaints)
{
    if (node == NULL) {
        return true;
    }
    if (!field_scalar(node, "a text", complaints)) {
        return false;
    }
    *out = node->text;
    return true;
}

bool field_name(const struct yaml_node *node, char *out, size_t capacity, struct complaints *complaints)
{
    if (node == NULL) {
        return true;
    }
    if (!field_scalar(node, "a name", complaints)) {
        return false;
    }
    if (!text_is_name(node->text, capacity - 1)) {
        char shown[SHOWN_SIZE];
        complain(complaints, node->at,
                 "%s: \"%s\" is no name: up to %zu of a-z A-Z 0-9 - _ . and first a letter or digit",
                 field_label(node), complaint_shown(shown, node->text), capacity - 1);
        return false;
    }
    text_copy(out, capacity, node->text);
    return true;
}

bool field_word(const struct yaml_node *node, const char *kind, const char *const *words, size_t count,
                uint8_t *out, struct complaints *complaints)
{
    if (node == NULL) {
        return true;
    }
    if (!field_scalar(node, "one word", complaints)) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (strcmp(node->text, words[i]) == 0) {
            *out = (uint8_t)i;
            return true;
        }
    }
    complain_unknown(complaints, node->at, kind, node->text, words, count);
    return false;
}

/* The mend for a duration that does not read: a bare number, or a unit as others write it. `usual_ns`: what
 * stands there if nothing is said; a bare number beside milliseconds means milliseconds. */
static void complain_duration(const struct yaml_node *node, duration usual_ns, struct complaints *complaints)
{
    char shown[SHOWN_SIZE];
    complaint_shown(shown, node->text);
    const char *rest = node->text, *label = field_label(node);
    double number;
    bool is_number = quantity_number(&rest, false, &number), is_bare = is_number && *rest == '\0';
    size_t blanks = strspn(rest, " ");
    const char *meant = is_number ? quantity_unit_meant(rest + blanks, UNIT_SECONDS) : NULL;
    int digits = (int)(rest - node->text);
    if (is_bare) {
        complain(complaints, node->at, "%s: %s needs a unit: us, ms, s, m or h; did you mean %s%s?", label,
                 shown, shown, usual_ns > 0 && usual_ns < SECOND ? "ms" : "s");
    } else if (meant != NULL && (blanks > 0 || strcmp(meant, rest) != 0)) {
        complain(complaints, node->at, "%s: \"%s\" is no duration; did you mean %.*s%s?", label, shown,
                 digits, node->text, meant);
    } else {
        complain(complaints, node->at,
                 "%s: \"%s\" is no duration from 0s to 1000h, as in 250ms, 3s, 10m or 1h", label, shown);
    }
}

bool field_duration(const struct yaml_node *node, duration least, duration *out,
                    struct complaints *complaints)
{
    if (node == NULL) {
        return true;
    }
    if (!field_scalar(node, "a duration, as in 3s", complaints)) {
        return false;
    }
    duration d = 0;
    if (strcmp(node->text, "0") != 0 && !text_parse_duration(node->text, &d)) {
        complain_duration(node, *out, complaints);
        return false;
    }
    if (d < least) {
        char bytes[32];
        struct text text = text_over(bytes, sizeof bytes);
        quantity_write_duration(&text, least);
        complain(complaints, node->at, "%s: %s is too short; at least %s", field_label(node), node->text,
                 bytes);
        return false;
    }
    *out = d;
    return true;
}

bool field_duration_upto(const struct yaml_node *node, duration least, duration most, duration *out,
                         struct complaints *complaints)
{
    duration d = *out;
    if (!field_duration(node, least, &d, complaints)) {
        return false;
    }
    if (node != NULL && d > most) {
        char bytes[32];
        struct text text = text_over(bytes, sizeof bytes);
        quantity_write_duration(&text, most);
        complain(complaints, node->at, "%s: %s is too long; at most %s", field_label(node), node->text,
                 bytes);
        return false;
    }
    *out = d;
    return true;
}

bool field_ratio(const struct yaml_node *node, double *out, struct complaints *complaints)
{
    if (node == NULL) {
        return true;
    }
    if (!field_scalar(node, "a share, as in 20%", complaints)) {
        return false;
    }
    char shown[SHOWN_SIZE];
    complaint_shown(shown, node->text);
    const char *rest = node->text;
    double number, ratio;
    if (!quantity_number(&rest, false, &number) || !quantity_in_base(number, rest, UNIT_RATIO, &ratio)) {
        complain(complaints, node->at, "%s: \"%s\" is no share, as in 20%% or 0.2", field_label(node), shown);
        return false;
    }
    if (ratio > 1) {
        bool percent_meant = *rest == '\0' && ratio <= 100;
        complain(complaints, node->at, "%s: %s is more than all of it%s%s%s", field_label(node), shown,
                 percent_meant ? "; did you mean " : "", percent_meant ? shown : "",
                 percent_meant ? "%?" : "");
        return false;
    }
    *out = ratio;
    return true;
}

bool field_integer(const struct yaml_node *node, uint32_t least, uint32_t most, uint32_t *out,
                   struct complaints *complaints)
{
    if (node == NULL) {
        return true;
    }
    if (!field_scalar(node, "a whole number", complaints)) {
        return false;
    }
    uint64_t number = 0;
    const char *at = node->text;
    for (; *at >= '0' && *at <= '9' && number <= most; at++) {
        number = 10 * number + (uint64_t)(*at - '0');
    }
    if (*at != '\0' || number < least || number > most) {
        char shown[SHOWN_SIZE];
        complain(complaints, node->at, "%s: \"%s\" is no whole number from %u to %u", field_label(node),
                 complaint_shown(shown, node->text), least, most);
        return false;
    }
    *out = (uint32_t)number;
    return true;
}

bool field_is_no(const struct yaml_node *node)
{
    return node->kind == YAML_SCALAR && (strcmp(node->text, "no") == 0 || strcmp(node->text, "false") == 0);
}

bool field_flag(const struct yaml_node *node, uint8_t *out, struct complaints *complaints)
{
    if (node == NULL) {
        return true;
    }
    static const char *const words[] = {"no", "yes", "false", "true"};
    uint8_t word;
    if (!field_scalar(node, "yes or no", complaints) ||
        !field_word(node, "answer", words, sizeof words / sizeof words[0], &word, complaints)) {
        return false;
    }
    *out = word & 1;
    return true;
}
