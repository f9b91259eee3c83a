/* A scan: one pass over JSON text without making a tree of it, for the few bodies that come by the ten
 * thousand a second (a tree of jansson's costs 4 us a report, a scan 0.3).
 *
 * It knows the usual forms only. Whatever is unusual or wrong (escapes, bytes beyond ASCII, null, a number of
 * twenty digits) makes it fail, without a word: its caller then reads the same text with json.h, which
 * decides and finds the words. So what a scan takes, json.h must take too, and with the same values;
 * tests/test_report_body.c holds the two against each other. */
#ifndef WIRE_JSON_SCAN_H
#define WIRE_JSON_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json_scan {
    const char *at; /* the text is NUL-terminated, which is no byte of JSON: no bound is needed */
    bool failed;    /* then every call does nothing and returns its zero */
};

/* A piece of the text, without its quotes. */
struct json_piece {
    const char *bytes;
    size_t length;
};

bool json_scan_is(const struct json_piece *piece, const char *literal, size_t length);

/* Goes on over `c` with the blanks behind it, if it stands here. */
bool json_scan_maybe(struct json_scan *scan, char c);
void json_scan_must(struct json_scan *scan, char c);

struct json_piece json_scan_string(struct json_scan *scan);

/* Enumerates an object or array, whose opening bracket has been passed: true if another member follows.
 * *count starts as 0 and counts them. */
bool json_scan_next(struct json_scan *scan, char closing, size_t *count);
struct json_piece json_scan_name(struct json_scan *scan); /* of a member, with its colon */

uint64_t json_scan_integer(struct json_scan *scan); /* from 0 to 10^18 - 1 */
double json_scan_number(struct json_scan *scan);    /* finite, not negative; rounded as strtod() does */

/* True if the text is over, after blanks, at its byte `end`. */
bool json_scan_end(struct json_scan *scan, const char *end);

#endif
