#include "wire/json.h"

#include "base/check.h"
#include "base/text.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- parsing -------------------------------------------------------------------------------------------- */

static bool failed(const struct json_error *error)
{
    return error->sentence[0] != '\0';
}

/* Replaces what is not UTF-8 by '?', in place: messages quote bytes that strangers sent. Lead and
 * continuation bytes only; overlong forms and surrogates are left to jansson, which refuses the string then.
 */
static void mend_utf8(char *text)
{
    unsigned char *at = (unsigned char *)text;
    while (*at) {
        size_t more = *at < 0x80 ? 0 : *at >= 0xc2 && *at < 0xe0 ? 1 : *at >= 0xe0 && *at < 0xf0 ? 2 : 3;
        bool good = *at < 0x80 || (*at >= 0xc2 && *at < 0xf5);
        for (size_t i = 1; good && i <= more; i++)
            good = (at[i] & 0xc0) == 0x80;
        if (!good)
            *at = '?';
        at += good ? more + 1 : 1;
    }
}

/* The offset at which nesting becomes too deep, or `length`. Strings are skipped as a JSON parser would; what
 * is not JSON at all is for jansson to refuse, whose recursion is then bounded too. */
static size_t too_deep_at(const char *bytes, size_t length)
{
    int depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < length; i++) {
        char c = bytes[i];
        if (quoted) {
            if (c == '\\')
                i++;
            else if (c == '"')
                quoted = false;
        } else if (c == '"') {
            quoted = true;
        } else if (c == '{' || c == '[') {
            if (++depth > JSON_DEPTH_MAX)
                return i;
        } else if (c == '}' || c == ']') {
            depth--;
        }
    }
    return length;
}

json_t *json_parse(const char *bytes, size_t length, struct json_error *error)
{
    error->pointer[0] = error->sentence[0] = '\0';
    struct text sentence = text_over(error->sentence, sizeof error->sentence);
    if (length == 0) {
        text_add(&sentence, "the text is empty where JSON is expected");
        return NULL;
    }
    size_t deep_at = too_deep_at(bytes, length);
    if (deep_at < length) {
        text_addf(&sentence, "byte %zu: more than %d arrays and objects inside each other", deep_at + 1,
                  JSON_DEPTH_MAX);
        return NULL;
    }
    json_error_t reason;
    json_t *document = json_loadb(bytes, length, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &reason);
    if (!document) {
        text_addf(&sentence, "line %d, column %d: %s", reason.line, reason.column, reason.text);
        mend_utf8(error->sentence);
        return NULL;
    }
    const char *nul = memchr(bytes, '\0', length); /* jansson takes [1<NUL>] for [1] */
    if (nul) {
        int line = 1;
        const char *start = bytes;
        for (const char *feed; (feed = memchr(start, '\n', (size_t)(nul - start))); start = feed + 1)
            line++;
        text_addf(&sentence, "line %d, column %td: a NUL byte", line, nul - start + 1);
        json_decref(document);
        return NULL;
    }
    return document;
}

/* --- where it is, and what is wrong --------------------------------------------------------------------- */

/* One step of an RFC 6901 pointer: '~' and '/' are escaped. */
static void add_step(struct text *pointer, const char *name)
{
    text_add(pointer, "/");
    for (; *name; name++) {
        char plain[2] = {*name, '\0'};
        text_add(pointer, *name == '~' ? "~0" : *name == '/' ? "~1" : plain);
    }
}

static void add_path(struct text *pointer, const struct json_reader *reader)
{
    if (!reader->parent)
        return;
    add_path(pointer, reader->parent);
    if (reader->name)
        add_step(pointer, reader->name);
    if (reader->index >= 0)
        text_addf(pointer, "/%d", reader->index);
}

__attribute__((format(printf, 4, 0))) static void refuse(struct json_reader *reader, const char *name,
                                                         int index, const char *format, va_list arguments)
{
    struct json_error *error = reader->error;
    if (failed(error))
        return;
    struct text pointer = text_over(error->pointer, sizeof error->pointer);
    add_path(&pointer, reader);
    if (name)
        add_step(&pointer, name);
    if (index >= 0)
        text_addf(&pointer, "/%d", index);
    vsnprintf(error->sentence, sizeof error->sentence, format, arguments);
    mend_utf8(error->sentence);
    mend_utf8(error->pointer);
}

void json_refuse(struct json_reader *reader, const char *name, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    refuse(reader, name, -1, format, arguments);
    va_end(arguments);
}

__attribute__((format(printf, 4, 5))) static void refuse_element(struct json_reader *reader, const char *name,
                                                                 size_t index, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    refuse(reader, name, (int)index, format, arguments);
    va_end(arguments);
}

void json_refuse_word(struct json_reader *reader, const char *name, const char *what,
                      const char *const *words, size_t count)
{
    const char *near = text_nearest(name, words, count);
    if (near)
        json_refuse(reader, name, "no such %s; did you mean %s?", what, near);
    else
        json_refuse(reader, name, "no such %s", what);
}

/* --- the reader ----------------------------------------------------------------------------------------- */

struct json_reader json_reader_over(json_t *document, struct json_error *error)
{
    struct json_reader reader = {.object = document, .error = error, .index = -1};
    if (!document) {
        if (!failed(error))
            json_refuse(&reader, NULL, "a JSON object is expected");
    } else if (!json_is_object(document)) {
        json_refuse(&reader, NULL, "a JSON object is expected");
        reader.object = NULL;
    }
    return reader;
}

static void remember(struct json_reader *reader, const char *name)
{
    if (reader->open)
        return;
    for (unsigned i = 0; i < reader->asked; i++) {
        if (strcmp(reader->names[i], name) == 0)
            return;
    }
    CHECK(reader->asked < JSON_MEMBERS_MAX);
    reader->names[reader->asked++] = name;
}

/* The member, or NULL if it is not there (which is refused if it is needed) or an error was before. */
static json_t *member(struct json_reader *reader, const char *name, enum json_need need)
{
    remember(reader, name);
    if (!reader->object || failed(reader->error))
        return NULL;
    json_t *value = json_object_get(reader->object, name);
    if (json_is_null(value) && need == JSON_OPTIONAL)
        return NULL;
    if (!value && need == JSON_REQUIRED)
        json_refuse(reader, name, "is missing");
    return value;
}

bool json_read_end(struct json_reader *reader)
{
    if (failed(reader->error))
        return false;
    if (!reader->object || reader->open)
        return true;
    const char *name;
    json_t *value;
    json_object_foreach(reader->object, name, value)
    {
        bool known = false;
        for (unsigned i = 0; i < reader->asked && !known; i++)
            known = strcmp(reader->names[i], name) == 0;
        if (!known) {
            json_refuse_word(reader, name, "member", reader->names, reader->asked);
            return false;
        }
    }
    return true;
}

bool json_is_present(const struct json_reader *reader, const char *name)
{
    const json_t *value = reader->object ? json_object_get(reader->object, name) : NULL;
    return value && !json_is_null(value);
}

double json_read_number(struct json_reader *reader, const char *name, enum json_need need, double least,
                        double most, double otherwise)
{
    const json_t *value = member(reader, name, need);
    if (!value)
        return otherwise;
    if (!json_is_number(value)) {
        json_refuse(reader, name, "must be a number");
        return otherwise;
    }
    double number = json_number_value(value);
    if (number >= least && number <= most)
        return number;
    if (most >= DBL_MAX)
        json_refuse(reader, name, "must be at least %g", least);
    else
        json_refuse(reader, name, "must be between %g and %g", least, most);
    return otherwise;
}

int64_t json_read_integer(struct json_reader *reader, const char *name, enum json_need need, int64_t least,
                          int64_t most, int64_t otherwise)
{
    const json_t *value = member(reader, name, need);
    if (!value)
        return otherwise;
    if (!json_is_integer(value)) {
        json_refuse(reader, name, "must be a whole number");
        return otherwise;
    }
    int64_t number = json_integer_value(value);
    if (number >= least && number <= most)
        return number;
    if (most == INT64_MAX)
        json_refuse(reader, name, "must be at least %" PRId64, least);
    else
        json_refuse(reader, name, "must be between %" PRId64 " and %" PRId64, least, most);
    return otherwise;
}

bool json_read_flag(struct json_reader *reader, const char *name, enum json_need need, bool otherwise)
{
    const json_t *value = member(reader, name, need);
    if (!value)
        return otherwise;
    if (!json_is_boolean(value)) {
        json_refuse(reader, name, "must be true or false");
        return otherwise;
    }
    return json_is_true(value);
}

const char *json_read_string(struct json_reader *reader, const char *name, enum json_need need,
                             size_t longest)
{
    const json_t *value = member(reader, name, need);
    if (!value)
        return NULL;
    if (!json_is_string(value)) {
        json_refuse(reader, name, "must be a string");
        return NULL;
    }
    if (json_string_length(value) > longest) {
        json_refuse(reader, name, "must have at most %zu bytes", longest);
        return NULL;
    }
    return json_string_value(value);
}

bool json_read_text(struct json_reader *reader, const char *name, enum json_need need, char *to,
                    size_t capacity)
{
    const char *string = json_read_string(reader, name, need, capacity - 1);
    text_copy(to, capacity, string ? string : "");
    return string != NULL;
}

int json_read_word(struct json_reader *reader, const char *name, enum json_need need,
                   const char *const *words, size_t count, int otherwise)
{
    const char *string = json_read_string(reader, name, need, 160);
    if (!string)
        return otherwise;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(words[i], string) == 0)
            return (int)i;
    }
    const char *near = text_nearest(string, words, count);
    if (near)
        json_refuse(reader, name, "there is no '%s'; did you mean %s?", string, near);
    else
        json_refuse(reader, name, "there is no '%s'", string);
    return otherwise;
}

uint64_t json_read_boot(struct json_reader *reader, const char *name, enum json_need need)
{
    const char *string = json_read_string(reader, name, need, 160);
    uint64_t boot = 0;
    if (string && !json_boot_parse(string, &boot))
        json_refuse(reader, name, "must be 16 hexadecimal digits, not all of them 0");
    return boot;
}

instant json_read_instant(struct json_reader *reader, const char *name, enum json_need need)
{
    const char *string = json_read_string(reader, name, need, 160);
    instant at = INSTANT_NONE;
    if (string && !text_parse_instant(string, &at)) {
        json_refuse(reader, name, "must be an instant such as 2026-11-23T12:04:11.203Z");
        return INSTANT_NONE;
    }
    return at;
}

duration json_read_seconds(struct json_reader *reader, const char *name, enum json_need need, duration least,
                           duration most, duration otherwise)
{
    double seconds =
        json_read_number(reader, name, need, duration_seconds(least), duration_seconds(most), NAN);
    return isnan(seconds) ? otherwise : duration_from_seconds(seconds);
}

/* --- what is inside ------------------------------------------------------------------------------------- */

struct json_reader json_read_object(struct json_reader *reader, const char *name, enum json_need need)
{
    struct json_reader inner = {.error = reader->error, .parent = reader, .name = name, .index = -1};
    json_t *value = member(reader, name, need);
    if (value && !json_is_object(value))
        json_refuse(reader, name, "must be an object");
    else
        inner.object = value;
    return inner;
}

size_t json_read_array(struct json_reader *reader, const char *name, enum json_need need, size_t most)
{
    const json_t *value = member(reader, name, need);
    if (!value)
        return 0;
    if (!json_is_array(value)) {
        json_refuse(reader, name, "must be an array");
        return 0;
    }
    if (json_array_size(value) > most) {
        json_refuse(reader, name, "must have at most %zu elements", most);
        return 0;
    }
    return json_array_size(value);
}

static json_t *element(struct json_reader *reader, const char *name, size_t index)
{
    return reader->object && !failed(reader->error)
               ? json_array_get(json_object_get(reader->object, name), index)
               : NULL;
}

struct json_reader json_read_element(struct json_reader *reader, const char *name, size_t index)
{
    struct json_reader inner = {.error = reader->error, .parent = reader, .name = name, .index = (int)index};
    json_t *value = element(reader, name, index);
    if (value && !json_is_object(value))
        refuse_element(reader, name, index, "must be an object");
    else
        inner.object = value;
    return inner;
}

const char *json_read_element_string(struct json_reader *reader, const char *name, size_t index,
                                     size_t longest)
{
    const json_t *value = element(reader, name, index);
    if (!value)
        return NULL;
    if (!json_is_string(value)) {
        refuse_element(reader, name, index, "must be a string");
        return NULL;
    }
    if (json_string_length(value) > longest) {
        refuse_element(reader, name, index, "must have at most %zu bytes", longest);
        return NULL;
    }
    return json_string_value(value);
}

const char *json_next_member(struct json_reader *reader, const char *after)
{
    reader->open = true;
    if (!reader->object || failed(reader->error))
        return NULL;
    void *at = after ? json_object_iter_next(reader->object, json_object_key_to_iter(after))
                     : json_object_iter(reader->object);
    return at ? json_object_iter_key(at) : NULL;
}

/* --- writing -------------------------------------------------------------------------------------------- */

json_t *json_of_instant(instant at)
{
    if (at == INSTANT_NONE || at == INSTANT_NEVER)
        return json_null();
    char text[32];
    text_instant(text, at);
    return json_string(text);
}

json_t *json_of_number(double number)
{
    return isfinite(number) ? json_real(number) : json_null();
}

json_t *json_of_seconds(duration d)
{
    return json_real((double)((d + (d < 0 ? -500 : 500)) / MICROSECOND) / 1e6);
}

json_t *json_of_boot(uint64_t boot)
{
    if (boot == 0)
        return json_null();
    char text[17];
    json_boot_text(text, boot);
    return json_string(text);
}

json_t *json_of_text(const char *bytes)
{
    if (!bytes)
        return json_null();
    json_t *plain = json_string(bytes);
    if (plain)
        return plain;
    char *mended = strdup(bytes);
    if (!mended)
        return NULL;
    mend_utf8(mended);
    plain = json_string(mended);
    if (!plain) { /* overlong forms and surrogates: leave only ASCII */
        for (char *at = mended; *at; at++)
            *at = (unsigned char)*at < 0x80 ? *at : '?';
        plain = json_string(mended);
    }
    free(mended);
    return plain;
}

void json_boot_text(char out[17], uint64_t boot)
{
    for (int digit = 15; digit >= 0; digit--, boot >>= 4)
        out[digit] = "0123456789abcdef"[boot & 15];
    out[16] = '\0';
}

bool json_boot_parse(const char *text, uint64_t *boot)
{
    uint64_t number = 0;
    for (int i = 0; i < 16; i++) {
        static const char digits[] = "0123456789abcdef";
        char c = text[i] >= 'A' && text[i] <= 'F' ? (char)(text[i] - 'A' + 'a') : text[i];
        const char *digit = c ? strchr(digits, c) : NULL;
        if (!digit)
            return false;
        number = number << 4 | (uint64_t)(digit - digits);
    }
    if (text[16] != '\0' || number == 0)
        return false;
    *boot = number;
    return true;
}

char *json_text_of(json_t *value, size_t *length)
{
    if (!value)
        return NULL;
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
    json_decref(value);
    if (text && length)
        *length = strlen(text);
    return text;
}
