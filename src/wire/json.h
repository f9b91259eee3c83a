/* Strict reading of JSON, and plain writing of it, over jansson.
 *
 * A document is read with a *reader* per object. Members are asked for by name; the first thing that is not
 * as it should be is kept as a pointer and a sentence, and from then on every call returns its fallback, so
 * that a body is read top to bottom without an `if` per line:
 *
 *     json_t *document = json_parse(body, length, &error);
 *     struct json_reader reader = json_reader_over(document, &error);
 *     report->boot = json_read_boot(&reader, "boot", JSON_OPTIONAL);
 *     report->sequence = json_read_integer(&reader, "sequence", JSON_OPTIONAL, 0, INT64_MAX, 0);
 *     report->age_ns = json_read_seconds(&reader, "age_s", JSON_OPTIONAL, 0, 1000 * HOUR, 0);
 *     struct json_reader samples = json_read_object(&reader, "samples", JSON_REQUIRED);
 *     for (const char *name = json_next_member(&samples, NULL); name; name = json_next_member(&samples,
 * name)) { int metric = metric_of(name); if (metric < 0) json_refuse_word(&samples, name, "metric",
 * metric_names(&count), count); else report->samples[metric] = json_read_number(&samples, name,
 * JSON_REQUIRED, -DBL_MAX, DBL_MAX, 0);
 *     }
 *     bool good = json_read_end(&samples) && json_read_end(&reader);
 *
 * An optional member may be absent or null. Members that nobody asked for are refused by json_read_end(). */
#ifndef WIRE_JSON_H
#define WIRE_JSON_H

#include "base/units.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JSON_DEPTH_MAX   64 /* of arrays and objects inside each other; jansson alone would take 2048 */
#define JSON_MEMBERS_MAX 32 /* names one reader may be asked for */

/* What is wrong with a document, and where: an RFC 6901 pointer, "" for the whole. No error: `sentence` is
 * empty. */
struct json_error {
    char pointer[160];
    char sentence[240];
};

/* Any JSON value. Refuses what RFC 8259 does, and besides: duplicate names, NUL (as a byte or as \u0000),
 * numbers beyond a double or an int64, deeper nesting than JSON_DEPTH_MAX, bad UTF-8, an empty text. NULL and
 * `error` filled; else a value that the caller gives back with json_decref(). `error` is cleared first. */
json_t *json_parse(const char *bytes, size_t length, struct json_error *error);

enum json_need { JSON_OPTIONAL, JSON_REQUIRED };

/* One object being read. A plain value; it points to the document, to the error and to the reader it came
 * from, which must all live as long as it is used. */
struct json_reader {
    json_t
        *object; /* NULL: an absent optional object, or there was an error; every read gives its fallback */
    struct json_error *error;
    const struct json_reader *parent;
    const char *name; /* as a member of `parent`, or NULL */
    int index;        /* in the array `name` of `parent`, or -1 */
    bool open;        /* its members were enumerated: none of them is unknown */
    unsigned asked;
    const char *names[JSON_MEMBERS_MAX]; /* asked for; literals of the caller */
};

/* `document` may be NULL (json_parse() failed); then `error` stands. Refuses what is not an object. */
struct json_reader json_reader_over(json_t *document, struct json_error *error);

/* True if nothing was wrong, up to now and anywhere in the document; refuses members nobody asked for, naming
 * the nearest known one. Call it once for each reader, the inner ones first. */
bool json_read_end(struct json_reader *reader);

bool json_is_present(const struct json_reader *reader, const char *name); /* and not null */

double json_read_number(struct json_reader *reader, const char *name, enum json_need need, double least,
                        double most, double otherwise);
int64_t json_read_integer(struct json_reader *reader, const char *name, enum json_need need, int64_t least,
                          int64_t most, int64_t otherwise);
bool json_read_flag(struct json_reader *reader, const char *name, enum json_need need, bool otherwise);

/* At most `longest` bytes; lives as long as the document. NULL if it is not there. */
const char *json_read_string(struct json_reader *reader, const char *name, enum json_need need,
                             size_t longest);

/* Into the caller's buffer ("" if it is not there); a longer one is refused. True if it was there. */
bool json_read_text(struct json_reader *reader, const char *name, enum json_need need, char *to,
                    size_t capacity);

/* The index of a string among `words`, or `otherwise`. Others are refused with the nearest one. */
int json_read_word(struct json_reader *reader, const char *name, enum json_need need,
                   const char *const *words, size_t count, int otherwise);

/* 16 hexadecimal digits; 0 if it is not there (and refused if it is all zeros). */
uint64_t json_read_boot(struct json_reader *reader, const char *name, enum json_need need);

/* RFC 3339; INSTANT_NONE if it is not there. */
instant json_read_instant(struct json_reader *reader, const char *name, enum json_need need);

/* A number of seconds, as a duration between the bounds (which lie within +-9e9 s). */
duration json_read_seconds(struct json_reader *reader, const char *name, enum json_need need, duration least,
                           duration most, duration otherwise);

struct json_reader json_read_object(struct json_reader *reader, const char *name, enum json_need need);

/* The length of the array `name`, 0 if it is not there; more than `most` is refused. Its elements: */
size_t json_read_array(struct json_reader *reader, const char *name, enum json_need need, size_t most);
struct json_reader json_read_element(struct json_reader *reader, const char *name,
                                     size_t index); /* an object */
const char *json_read_element_string(struct json_reader *reader, const char *name, size_t index,
                                     size_t longest);

/* The names of an object whose members are not known beforehand, in the order they were written: the first
 * after NULL; NULL at the end or after an error. */
const char *json_next_member(struct json_reader *reader, const char *after);

/* What the caller finds wrong about a member, or about the whole object if `name` is NULL. The first stands.
 */
void json_refuse(struct json_reader *reader, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* "no such metric; did you mean cpu_utilization?" */
void json_refuse_word(struct json_reader *reader, const char *name, const char *what,
                      const char *const *words, size_t count);

/* --- writing; each returns a new reference -------------------------------------------------------------- */

json_t *json_of_instant(instant at);     /* RFC 3339, or null for INSTANT_NONE and INSTANT_NEVER */
json_t *json_of_number(double number);   /* null for NaN and the infinities, which JSON has no words for */
json_t *json_of_seconds(duration d);     /* rounded to the microsecond */
json_t *json_of_boot(uint64_t boot);     /* 16 hexadecimal digits, or null for 0 */
json_t *json_of_text(const char *bytes); /* bad UTF-8 becomes '?'; null for NULL */

void json_boot_text(char out[17], uint64_t boot);
bool json_boot_parse(const char *text, uint64_t *boot); /* exactly 16 hexadecimal digits, not all zeros */

/* Compact text with 15 significant digits, NUL-terminated, to be freed by the caller; takes over `value`.
 * NULL if there is no memory. `length` may be NULL. */
char *json_text_of(json_t *value, size_t *length);

#endif
