/* What people see: colours when there is a terminal that wants them, tables whose columns line up, and
 * members of a JSON object taken without fuss. */
#ifndef CLI_SHOW_H
#define CLI_SHOW_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum ink { INK_PLAIN, INK_BOLD, INK_DIM, INK_GREEN, INK_YELLOW, INK_RED, INK_CYAN, INK_COUNT };

/* The sequences that begin and end a colour on `stream`; "" if it is no terminal, or NO_COLOR is set. */
const char *ink_on(FILE *stream, enum ink ink);
const char *ink_off(FILE *stream, enum ink ink);

/* State by word *and* colour: healthy, ill, resolved, effective, active ... have one each, other words are
 * plain. */
enum ink ink_of_word(const char *word);

/* Columns that a UTF-8 text takes on a terminal, for the characters that homeostat prints. */
size_t text_width(const char *text);

/* Prints `text` from column `column` on and ends the line. On a terminal it is broken at blanks, and what
 * follows is indented to that column; elsewhere it stays one line. */
void print_folded(FILE *stream, size_t column, const char *text);

/* The same, broken at 100 columns where there is no terminal: for pages, not for logs. */
void print_wrapped(FILE *stream, size_t column, const char *text);

/* --- tables --------------------------------------------------------------------------------------------- */

struct table;

/* `titles` are copied; one that begins with '>' is set flush right. At most 12 columns. */
struct table *table_new(const char *const *titles, size_t columns);

/* The next cell, row by row. */
void table_cell(struct table *table, enum ink ink, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Prints to `stream` with `indent` blanks before each line, frees, and forgets the owner's variable. The last
 * row must be complete. The text of a last column that is set flush left is wrapped. */
void table_print(struct table **table, FILE *stream, int indent);

/* --- JSON members --------------------------------------------------------------------------------------- */

const char *member_text(const json_t *object, const char *name); /* "" if it is missing, null or no text */
double member_number(const json_t *object, const char *name);    /* NaN likewise */
long long member_whole(const json_t *object, const char *name);  /* 0 likewise */
bool member_true(const json_t *object, const char *name);

/* "12:04:11.2Z" of an RFC 3339 instant in member `name`, "-" if it is null. `out` holds 16 bytes. */
const char *member_clock(const json_t *object, const char *name, char out[16]);

/* "4.1 s" of a number of seconds, "-" for NaN. `out` holds 32 bytes. */
const char *seconds_text(double seconds, char out[32]);

/* A metric's value for people, by the metric's name: "97 %", "58 ms". `out` holds 32 bytes. */
const char *metric_text(const char *metric, double value, char out[32]);

/* Prints JSON as the API gave it, two blanks of indent. */
void print_json(const json_t *value);

#endif
