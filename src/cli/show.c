#include "cli/show.h"

#include "base/check.h"
#include "base/text.h"
#include "core/trace.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { COLUMNS_MAX = 12, PAGE_WIDTH = 100, TEXT_LEAST = 30 };

struct cell {
    char *text;
    enum ink ink;
};

struct table {
    struct cell *cells; /* row by row, the titles first */
    size_t count, capacity, columns;
    bool right[COLUMNS_MAX];
};

static bool is_coloured(FILE *stream)
{
    const char *no_color = getenv("NO_COLOR");
    const char *terminal = getenv("TERM");
    return !(no_color && *no_color) && !(terminal && strcmp(terminal, "dumb") == 0) && isatty(fileno(stream));
}

const char *ink_on(FILE *stream, enum ink ink)
{
    static const char *const sequences[INK_COUNT] = {"",         "\033[1m",  "\033[2m", "\033[32m",
                                                     "\033[33m", "\033[31m", "\033[36m"};
    CHECK(ink < INK_COUNT);
    return ink != INK_PLAIN && is_coloured(stream) ? sequences[ink] : "";
}

const char *ink_off(FILE *stream, enum ink ink)
{
    return ink != INK_PLAIN && is_coloured(stream) ? "\033[0m" : "";
}

enum ink ink_of_word(const char *word)
{
    static const struct {
        const char *word;
        enum ink ink;
    } inks[] = {{"healthy", INK_GREEN},    {"resolved", INK_GREEN},
                {"effective", INK_GREEN},  {"done", INK_GREEN},
                {"RESOLVED", INK_GREEN},   {"cured", INK_GREEN},
                {"ill", INK_RED},          {"escalated", INK_RED},
                {"harmed", INK_RED},       {"FAULT", INK_RED},
                {"failed", INK_RED},       {"critical", INK_RED},
                {"PEOPLE", INK_RED},       {"active", INK_RED},
                {"DETECT", INK_YELLOW},    {"healing", INK_YELLOW},
                {"open", INK_YELLOW},      {"planned", INK_YELLOW},
                {"acting", INK_YELLOW},    {"verifying", INK_YELLOW},
                {"asked", INK_YELLOW},     {"ineffective", INK_YELLOW},
                {"silent", INK_DIM},       {"gone", INK_DIM},
                {"unknown", INK_DIM},      {"alone", INK_DIM},
                {"BLOCKED", INK_DIM},      {"none", INK_DIM},
                {"inconclusive", INK_DIM}, {"CUT", INK_YELLOW},
                {"END", INK_YELLOW}};
    for (size_t i = 0; i < COUNT_OF(inks); i++) {
        if (strcmp(word, inks[i].word) == 0)
            return inks[i].ink;
    }
    return INK_PLAIN;
}

size_t text_width(const char *text)
{
    size_t width = 0;
    for (; *text; text++)
        width += ((unsigned char)*text & 0xC0) != 0x80;
    return width;
}

static void add_cell(struct table *table, enum ink ink, char *text)
{
    CHECK(text);
    if (table->count == table->capacity) {
        table->capacity = table->capacity ? 2 * table->capacity : 64;
        table->cells = realloc(table->cells, table->capacity * sizeof *table->cells);
        CHECK(table->cells);
    }
    table->cells[table->count++] = (struct cell){text, ink};
}

static size_t terminal_width(FILE *stream)
{
    struct winsize size;
    bool known = isatty(fileno(stream)) && ioctl(fileno(stream), TIOCGWINSZ, &size) == 0;
    return known && size.ws_col >= 40 ? size.ws_col : SIZE_MAX;
}

static void fold(FILE *stream, size_t column, size_t width, const char *text)
{
    size_t at = column;
    while (*text) {
        size_t blanks = strspn(text, " ");
        size_t length = blanks + strcspn(text + blanks, " ");
        char word[512];
        snprintf(word, sizeof word, "%.*s", (int)length, text);
        size_t columns = text_width(word);
        if (at > column && at + columns > width) {
            fprintf(stream, "\n%*s%s", (int)column, "", word + blanks);
            at = column + columns - blanks;
        } else {
            fputs(word, stream);
            at += columns;
        }
        text += length;
    }
    fputc('\n', stream);
}

void print_folded(FILE *stream, size_t column, const char *text)
{
    fold(stream, column, terminal_width(stream), text);
}

void print_wrapped(FILE *stream, size_t column, const char *text)
{
    size_t width = terminal_width(stream), least = column + TEXT_LEAST;
    width = width == SIZE_MAX ? PAGE_WIDTH : width;
    fold(stream, column, width > least ? width : least, text);
}

struct table *table_new(const char *const *titles, size_t columns)
{
    CHECK(columns > 0 && columns <= COLUMNS_MAX);
    struct table *table = calloc(1, sizeof *table);
    CHECK(table);
    table->columns = columns;
    for (size_t i = 0; i < columns; i++) {
        table->right[i] = titles[i][0] == '>';
        add_cell(table, INK_DIM, strdup(titles[i] + table->right[i]));
    }
    return table;
}

void table_cell(struct table *table, enum ink ink, const char *format, ...)
{
    char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    int length = vasprintf(&text, format, arguments);
    va_end(arguments);
    CHECK(length >= 0);
    add_cell(table, ink, text);
}

/* `at`: the column of the screen at which it begins. */
static void print_cell(const struct table *table, const struct cell *cell, size_t column, size_t at,
                       size_t width, FILE *stream)
{
    int pad = (int)(width - text_width(cell->text));
    bool last = column + 1 == table->columns;
    if (last && !table->right[column]) {
        fputs(ink_on(stream, cell->ink), stream);
        print_wrapped(stream, at, cell->text);
        fputs(ink_off(stream, cell->ink), stream);
        return;
    }
    fprintf(stream, "%*s%s%s%s", table->right[column] ? pad : 0, "", ink_on(stream, cell->ink), cell->text,
            ink_off(stream, cell->ink));
    if (last)
        fputc('\n', stream);
    else
        fprintf(stream, "%*s", (table->right[column] ? 0 : pad) + 2, "");
}

void table_print(struct table **table_slot, FILE *stream, int indent)
{
    struct table *table = *table_slot;
    CHECK(table->count % table->columns == 0);
    size_t width[COLUMNS_MAX] = {0};
    for (size_t i = 0; i < table->count; i++) {
        size_t wide = text_width(table->cells[i].text);
        if (wide > width[i % table->columns])
            width[i % table->columns] = wide;
    }
    for (size_t i = 0, at = 0; i < table->count; i++) {
        size_t column = i % table->columns;
        if (column == 0) {
            fprintf(stream, "%*s", indent, "");
            at = (size_t)indent;
        }
        print_cell(table, &table->cells[i], column, at, width[column], stream);
        at += width[column] + 2;
        free(table->cells[i].text);
    }
    free(table->cells);
    free(table);
    *table_slot = NULL;
}

const char *member_text(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "";
}

double member_number(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

long long member_whole(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

bool member_true(const json_t *object, const char *name)
{
    return json_is_true(json_object_get(object, name));
}

const char *member_clock(const json_t *object, const char *name, char out[16])
{
    instant at;
    char whole[32];
    if (!text_parse_instant(member_text(object, name), &at)) {
        text_copy(out, 16, "-");
        return out;
    }
    text_instant(whole, at);
    /* 2026-11-23T12:04:11.203Z: the time of day to a tenth of a second is what a person compares. */
    snprintf(out, 16, "%.10sZ", whole + 11);
    return out;
}

const char *seconds_text(double seconds, char out[32])
{
    if (isnan(seconds))
        text_copy(out, 32, "-");
    else if (seconds < 0.1 && seconds >= 0)
        snprintf(out, 32, "%.0f ms", seconds * 1e3);
    else
        snprintf(out, 32, "%.1f s", seconds);
    return out;
}

const char *metric_text(const char *metric, double value, char out[32])
{
    int index = metric_of(metric);
    struct text text = text_over(out, 32);
    bool is_fraction =
        index >= 0 && metric_infos[index].unit == UNIT_COUNT && value < 1000 && value != floor(value);
    if (is_fraction) /* of what a node is provisioned for */
        text_addf(&text, "%.2f", value);
    else if (index >= 0)
        trace_value(&text, (enum metric)index, value);
    else
        text_addf(&text, "%g", value);
    return out;
}

void print_json(const json_t *value)
{
    json_dumpf(value, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(12) | JSON_ENCODE_ANY);
    putchar('\n');
}
