/* Text into a caller's buffer, numbers for people, and the nearest word to a misspelt one. */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include "base/units.h"

#include <stdbool.h>
#include <stddef.h>

/* A growing line in a caller's buffer. Always NUL-terminated; what does not fit is cut, never within a UTF-8
 * character, `cut` is set, and nothing more is added. */
struct text {
    char *bytes;
    size_t capacity; /* of `bytes`, the NUL included; at least 1 */
    size_t length;
    bool cut;
};

struct text text_over(char *bytes, size_t capacity);
void text_add(struct text *text, const char *piece);
void text_addf(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Copies `from` into `to`, NUL-terminated and the rest zeroed, so that structs that hold it compare and
 * digest alike; returns false if it was cut. `capacity` >= 1. */
bool text_copy(char *to, size_t capacity, const char *from);

/* Puts blanks in the place of control characters (C0, DEL, and C1 as UTF-8 has them): what others sent us is
 * printed on people's terminals, which take some of them for orders. */
void text_tame(char *text);

/* "4 ms", "1.2 s", "3 s", "10 min": at most two significant figures below 10, whole numbers above. Units: ns,
 * us, ms, s (up to two minutes), min (up to two hours), h. */
void text_duration(struct text *text, duration d);

/* RFC 3339 in UTC with milliseconds: 2026-11-23T12:04:11.203Z. `out` holds at least 32 bytes. Pure arithmetic
 * (days-from-civil, after Howard Hinnant's public-domain description), so it needs no libc time zone. */
void text_instant(char out[32], instant at);

/* Parses RFC 3339 (UTC `Z` or a numeric offset, up to nine fractional digits). False if it is not that. */
bool text_parse_instant(const char *text, instant *out);

/* Parses a duration as policy and command lines write it: `250ms`, `3s`, `1.5s`, `10m`, `1h`, `200us`.
 * Refuses signs, blanks, other units and anything over 1000 hours. */
bool text_parse_duration(const char *text, duration *out);

/* True if `name` is a legal node or detector name: 1 to `max` characters of a-z, A-Z, 0-9, '-', '_', '.', and
 * the first is a letter or digit. */
bool text_is_name(const char *name, size_t max);

/* The word among `words` nearest to `misspelt` (Damerau-Levenshtein distance, at most a third of its length
 * and at least 1 allowed), or NULL if none is near. Ties go to the first. */
const char *text_nearest(const char *misspelt, const char *const *words, size_t count);

#endif
