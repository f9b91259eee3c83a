#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "schema_check.h"

#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_annotation(const char *key)
{
    static const char *const keys[] = {"title",   "description", "examples",           "default",
                                       "$schema", "$defs",       "patternErrorMessage"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (strcmp(key, keys[i]) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_type(const json_t *value, const char *type)
{
    if (strcmp(type, "integer") == 0) {
        return json_is_integer(value);
    }
    if (strcmp(type, "number") == 0) {
        return json_is_number(value);
    }
    if (strcmp(type, "string") == 0) {
        return json_is_string(value);
    }
    if (strcmp(type, "object") == 0) {
        return json_is_object(value);
    }
    if (strcmp(type, "array") == 0) {
        return json_is_array(value);
    }
    assert_string_equal(type, "null");
    return json_is_null(value);
}

static bool is_one_of(const json_t *value, const json_t *list)
{
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item)
    {
        if (json_equal(item, value)) {
            return true;
        }
    }
    return false;
}

static bool has_type(const json_t *value, const json_t *types)
{
    if (json_is_string(types)) {
        return is_type(value, json_string_value(types));
    }
    size_t i;
    json_t *type;
    json_array_foreach(types, i, type)
    {
        if (is_type(value, json_string_value(type))) {
            return true;
        }
    }
    return false;
}

static bool matches(const char *pattern, const char *text)
{
    regex_t regex;
    assert_int_equal(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB), 0);
    bool found = regexec(&regex, text, 0, NULL, 0) == 0;
    regfree(&regex);
    return found;
}

static size_t characters(const char *text)
{
    size_t count = 0;
    for (; *text != '\0'; text++) {
        count += ((unsigned char)*text & 0xC0) != 0x80;
    }
    return count;
}

static bool accepts_some(const json_t *root, const json_t *list, const json_t *value)
{
    size_t i;
    json_t *one;
    char why[200];
    json_array_foreach(list, i, one)
    {
        if (schema_accepts(root, one, value, why)) {
            return true;
        }
    }
    return false;
}

static bool accepts_members(const json_t *root, const json_t *schema, const json_t *value, char why[200])
{
    const json_t *properties = json_object_get(schema, "properties");
    const char *key;
    json_t *member;
    json_object_foreach((json_t *)(uintptr_t)value, key, member)
    {
        const json_t *of = json_object_get(properties, key);
        if (of == NULL && json_is_false(json_object_get(schema, "additionalProperties"))) {
            snprintf(why, 200, "unknown key %s", key);
            return false;
        }
        if (of != NULL && !schema_accepts(root, of, member, why)) {
            char below[200];
            memcpy(below, why, sizeof below);
            snprintf(why, 200, "%.40s: %.150s", key, below);
            return false;
        }
    }
    return true;
}

static bool has_required(const json_t *required, const json_t *value)
{
    size_t i;
    json_t *key;
    json_array_foreach(required, i, key)
    {
        if (json_object_get(value, json_string_value(key)) == NULL) {
            return false;
        }
    }
    return true;
}

static bool accepts_items(const json_t *root, const json_t *schema, const json_t *list, char why[200])
{
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item)
    {
        if (!schema_accepts(root, schema, item, why)) {
            return false;
        }
    }
    return true;
}

static bool are_unique(const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        for (size_t k = i + 1; k < json_array_size(list); k++) {
            if (json_equal(json_array_get(list, i), json_array_get(list, k))) {
                return false;
            }
        }
    }
    return true;
}

/* One keyword. Keywords that are about another type than the value's say yes, as the draft has it. */
static bool accepts_keyword(const json_t *root, const json_t *schema, const char *key, const json_t *says,
                            const json_t *value, char why[200])
{
    const char *text = json_is_string(value) ? json_string_value(value) : NULL;
    char inner[200];
    if (strcmp(key, "$ref") == 0) {
        static const char prefix[] = "#/$defs/";
        const char *name = json_string_value(says);
        assert_int_equal(strncmp(name, prefix, strlen(prefix)), 0);
        const json_t *of = json_object_get(json_object_get(root, "$defs"), name + strlen(prefix));
        assert_non_null(of);
        return schema_accepts(root, of, value, why);
    }
    if (strcmp(key, "type") == 0) {
        return has_type(value, says);
    }
    if (strcmp(key, "enum") == 0) {
        return is_one_of(value, says);
    }
    if (strcmp(key, "const") == 0) {
        return json_equal(says, value);
    }
    if (strcmp(key, "pattern") == 0) {
        return text == NULL || matches(json_string_value(says), text);
    }
    if (strcmp(key, "minLength") == 0) {
        return text == NULL || characters(text) >= (size_t)json_integer_value(says);
    }
    if (strcmp(key, "maxLength") == 0) {
        return text == NULL || characters(text) <= (size_t)json_integer_value(says);
    }
    if (strcmp(key, "minimum") == 0) {
        return !json_is_number(value) || json_number_value(value) >= json_number_value(says);
    }
    if (strcmp(key, "maximum") == 0) {
        return !json_is_number(value) || json_number_value(value) <= json_number_value(says);
    }
    if (strcmp(key, "required") == 0) {
        return !json_is_object(value) || has_required(says, value);
    }
    if (strcmp(key, "properties") == 0) {
        return !json_is_object(value) || accepts_members(root, schema, value, why);
    }
    if (strcmp(key, "items") == 0) {
        return !json_is_array(value) || accepts_items(root, says, value, why);
    }
    if (strcmp(key, "minItems") == 0) {
        return !json_is_array(value) || json_array_size(value) >= (size_t)json_integer_value(says);
    }
    if (strcmp(key, "maxItems") == 0) {
        return !json_is_array(value) || json_array_size(value) <= (size_t)json_integer_value(says);
    }
    if (strcmp(key, "uniqueItems") == 0) {
        return !json_is_array(value) || are_unique(value);
    }
    if (strcmp(key, "anyOf") == 0) {
        return accepts_some(root, says, value);
    }
    if (strcmp(key, "not") == 0) {
        return !schema_accepts(root, says, value, inner);
    }
    if (strcmp(key, "additionalProperties") != 0 && !is_annotation(key)) {
        fail_msg("the schema uses \"%s\", which this test does not know", key);
    }
    return true;
}

bool schema_accepts(const json_t *root, const json_t *schema, const json_t *value, char why[200])
{
    const char *key;
    json_t *says;
    json_object_foreach((json_t *)(uintptr_t)schema, key, says)
    {
        why[0] = '\0';
        if (!accepts_keyword(root, schema, key, says, value, why)) {
            if (why[0] == '\0') {
                snprintf(why, 200, "%s", key);
            }
            return false;
        }
    }
    return true;
}

/* --- YAML as JSON --------------------------------------------------------------------------------------- */

static json_t *json_of_scalar(const struct yaml_node *node)
{
    const char *text = node->text;
    if (node->quoted) {
        return json_string(text);
    }
    if (text[0] == '\0' || strcmp(text, "~") == 0 || strcmp(text, "null") == 0) {
        return json_null();
    }
    if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0) {
        return json_boolean(text[0] == 't');
    }
    if (matches("^[-+]?[0-9]{1,18}$", text)) {
        return json_integer(strtoll(text, NULL, 10));
    }
    if (matches("^[-+]?(\\.[0-9]+|[0-9]+(\\.[0-9]*)?)([eE][-+]?[0-9]+)?$", text)) {
        json_t *real = json_real(strtod(text, NULL));
        return real != NULL ? real : json_string(text); /* infinity is no JSON */
    }
    return json_string(text);
}

json_t *schema_json_of(const struct yaml_node *node)
{
    if (node->kind == YAML_SCALAR) {
        return json_of_scalar(node);
    }
    json_t *whole = node->kind == YAML_LIST ? json_array() : json_object();
    for (const struct yaml_node *child = node->first; child != NULL; child = child->next) {
        if (node->kind == YAML_LIST) {
            json_array_append_new(whole, schema_json_of(child));
        } else {
            json_object_set_new(whole, child->key, schema_json_of(child));
        }
    }
    return whole;
}
