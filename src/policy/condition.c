#include "policy/condition.h"

#include "base/check.h"
#include "policy/quantity.h"

#include <math.h>
#include <string.h>
#include <strings.h>

static const char *const operators[] = {
    [COMPARE_GT] = ">", [COMPARE_GE] = ">=", [COMPARE_LT] = "<", [COMPARE_LE] = "<="};

/* What holds exactly where the other does not. */
static const uint8_t contrary[] = {[COMPARE_GT] = COMPARE_LE,
                                   [COMPARE_GE] = COMPARE_LT,
                                   [COMPARE_LT] = COMPARE_GE,
                                   [COMPARE_LE] = COMPARE_GT};

enum { WORD_SIZE = 64 };

/* The way through one condition's text. */
struct cursor {
    const struct yaml_node *node;
    const char *at;
    struct complaints *complaints;
};

/* Where `at` stands in the file; the scalar's beginning if its text is not in the file as it is. */
static struct place cursor_place(const struct cursor *cursor, const char *at)
{
    struct place place = cursor->node->text_at;
    if (place.line == 0) {
        return cursor->node->at;
    }
    place.column += (int)(at - cursor->node->text);
    return place;
}

static void skip_blanks(struct cursor *cursor)
{
    while (*cursor->at == ' ' || *cursor->at == '\t' || *cursor->at == '\n') {
        cursor->at++;
    }
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

/* Takes the longest run of characters that `belongs` accepts; what does not fit in `word` is left standing.
 */
static void take_word(struct cursor *cursor, bool (*belongs)(char), char word[WORD_SIZE])
{
    size_t length = 0;
    while (length < WORD_SIZE - 1 && *cursor->at != '\0' && belongs(*cursor->at)) {
        word[length++] = *cursor->at++;
    }
    word[length] = '\0';
}

static bool belongs_to_name(char c)
{
    return is_letter(c) || (c >= '0' && c <= '9') || c == '-' || c == '.';
}

static bool belongs_to_operator(char c)
{
    return strchr("<>=!~", c) != NULL;
}

static bool belongs_to_unit(char c)
{
    return is_letter(c) || c == '%' || c == '/';
}

static bool read_metric_name(struct cursor *cursor, struct condition *condition)
{
    skip_blanks(cursor);
    const char *from = cursor->at;
    char word[WORD_SIZE];
    take_word(cursor, belongs_to_name, word);
    if (word[0] == '\0') {
        complain(cursor->complaints, cursor_place(cursor, from),
                 "a metric is missing here; write for example cpu_utilization > 90%%");
        return false;
    }
    int metric = metric_of(word);
    if (metric < 0) {
        size_t count;
        const char *const *names = metric_names(&count);
        complain_unknown(cursor->complaints, cursor_place(cursor, from), "metric", word, names, count);
        return false;
    }
    condition->metric = (uint8_t)metric;
    return true;
}

/* `metric` or `rate(metric)`. */
static bool read_subject(struct cursor *cursor, struct condition *condition)
{
    skip_blanks(cursor);
    if (strncmp(cursor->at, "rate", 4) != 0 || belongs_to_name(cursor->at[4])) {
        return read_metric_name(cursor, condition);
    }
    cursor->at += 4;
    condition->rate = 1;
    skip_blanks(cursor);
    if (*cursor->at != '(') {
        complain(cursor->complaints, cursor_place(cursor, cursor->at),
                 "rate needs a metric: rate(memory_bytes)");
        return false;
    }
    cursor->at++;
    if (!read_metric_name(cursor, condition)) {
        return false;
    }
    skip_blanks(cursor);
    if (*cursor->at != ')') {
        complain(cursor->complaints, cursor_place(cursor, cursor->at), "a closing ) is missing here");
        return false;
    }
    cursor->at++;
    return true;
}

static bool read_operator(struct cursor *cursor, struct condition *condition)
{
    skip_blanks(cursor);
    const char *from = cursor->at;
    char word[WORD_SIZE];
    take_word(cursor, belongs_to_operator, word);
    for (size_t i = 0; i < COUNT_OF(operators); i++) {
        if (strcmp(word, operators[i]) == 0) {
            condition->comparison = (uint8_t)i;
            return true;
        }
    }
    const char *name = metric_name((enum metric)condition->metric);
    if (word[0] == '\0') {
        complain(cursor->complaints, cursor_place(cursor, from), "one of > >= < <= must follow %s", name);
    } else if (strcmp(word, "=>") == 0 || strcmp(word, "=<") == 0) {
        complain(cursor->complaints, cursor_place(cursor, from),
                 "unknown comparison \"%s\"; did you mean %s?", word, word[1] == '>' ? ">=" : "<=");
    } else {
        complain(cursor->complaints, cursor_place(cursor, from),
                 "unknown comparison \"%s\"; known: > >= < <=", word);
    }
    return false;
}

static void complain_unit(struct cursor *cursor, const char *from, const char *unit,
                          const struct condition *condition)
{
    enum metric_unit kind = metric_infos[condition->metric].unit;
    const char *names = quantity_unit_names(kind);
    char shown[SHOWN_SIZE];
    complaint_shown(shown, unit);
    struct place place = cursor_place(cursor, from);
    const char *name = metric_name((enum metric)condition->metric);
    if (names[0] == '\0') {
        complain(cursor->complaints, place, "unit \"%s\" does not fit %s; it has none: write the bare number",
                 shown, name);
    } else {
        complain(cursor->complaints, place, "unit \"%s\" does not fit %s; it takes %s%s", shown, name, names,
                 condition->rate ? ", with /s behind it" : "");
    }
}

/* The unit behind the number, if any; `and` is none. */
static bool read_unit(struct cursor *cursor, struct condition *condition, double number)
{
    skip_blanks(cursor);
    const char *from = cursor->at;
    char unit[WORD_SIZE];
    take_word(cursor, belongs_to_unit, unit);
    if (strcasecmp(unit, "and") == 0 || strcasecmp(unit, "or") == 0 || strcmp(unit, "for") == 0) {
        cursor->at = from; /* read_joint() knows what to say about them */
        unit[0] = '\0';
    }
    size_t length = strlen(unit);
    char stripped[WORD_SIZE];
    memcpy(stripped, unit, sizeof stripped);
    if (condition->rate && length >= 2 && strcmp(unit + length - 2, "/s") == 0) {
        stripped[length - 2] = '\0';
    }
    if (!quantity_in_base(number, stripped, metric_infos[condition->metric].unit, &condition->number)) {
        complain_unit(cursor, from, unit, condition);
        return false;
    }
    return true;
}

/* A number outside what the metric can be is a slip of the unit, most often 90 for 90%. `written` is the
 * number without its unit. */
static bool check_range(struct cursor *cursor, const char *from, double written,
                        const struct condition *condition)
{
    enum metric_unit unit = metric_infos[condition->metric].unit;
    const char *name = metric_name((enum metric)condition->metric);
    struct place place = cursor_place(cursor, from);
    double number = condition->number;
    if (number > 1e18 || number < -1e18) {
        complain(cursor->complaints, place, "more than 1e18");
        return false;
    }
    if (condition->rate) {
        return true;
    }
    bool up = condition->comparison == COMPARE_GT || condition->comparison == COMPARE_GE;
    if ((unit == UNIT_RATIO || unit == UNIT_FLAG) && number > 1) {
        char percent[32] = "";
        struct text text = text_over(percent, sizeof percent);
        if (unit == UNIT_RATIO && number == written && number <= 100) {
            text_addf(&text, "; did you mean %.6g%%?", number);
        }
        complain(cursor->complaints, place, "%s lies between 0 and 1%s", name, percent);
        return false;
    }
    if (unit == UNIT_SECONDS && number > 3600e3) {
        complain(cursor->complaints, place, "more than 1000h");
        return false;
    }
    bool never = (condition->comparison == COMPARE_LT && number == 0) ||
                 (condition->comparison == COMPARE_GT && number == 1 && unit == UNIT_FLAG);
    bool always = (condition->comparison == COMPARE_GE && number == 0) ||
                  (condition->comparison == COMPARE_LE && number == 1 && unit == UNIT_FLAG);
    if (never || always) {
        complain(cursor->complaints, place, "this %s holds: %s is %s", never ? "never" : "always", name,
                 up == never ? "never above 1" : "never below 0");
        return false;
    }
    return true;
}

static const char *example_of(enum metric_unit unit)
{
    static const char *const examples[] = {
        [UNIT_NONE] = "1",         [UNIT_RATIO] = "90%", [UNIT_SECONDS] = "100ms", [UNIT_BYTES] = "64MiB",
        [UNIT_PER_SECOND] = "5/s", [UNIT_COUNT] = "3",   [UNIT_FLAG] = "0"};
    CHECK((unsigned)unit < COUNT_OF(examples));
    return examples[unit];
}

static bool read_number(struct cursor *cursor, struct condition *condition)
{
    skip_blanks(cursor);
    const char *from = cursor->at;
    double number;
    if (!quantity_number(&cursor->at, condition->rate != 0, &number)) {
        const char *name = metric_name((enum metric)condition->metric);
        struct place place = cursor_place(cursor, from);
        if (*from == '-' && !condition->rate) {
            complain(cursor->complaints, place, "%s is never below 0; only rate(%s) can be", name, name);
        } else {
            complain(cursor->complaints, place, "a number up to 1e18 must follow, as in %s > %s", name,
                     example_of(metric_infos[condition->metric].unit));
        }
        return false;
    }
    return read_unit(cursor, condition, number) && check_range(cursor, from, number, condition);
}

/* True if an `and` leads to one more comparison; false at the end, or with a complaint (then *ok is false).
 */
static bool read_joint(struct cursor *cursor, bool *ok)
{
    skip_blanks(cursor);
    const char *from = cursor->at;
    if (*from == '\0') {
        return false;
    }
    char word[WORD_SIZE], shown[SHOWN_SIZE];
    take_word(cursor, is_letter, word);
    if (strcmp(word, "and") == 0) {
        return true;
    }
    *ok = false;
    struct place place = cursor_place(cursor, from);
    if (strcasecmp(word, "and") == 0 || strncmp(from, "&&", 2) == 0) {
        complain(cursor->complaints, place, "comparisons are joined by \"and\"");
    } else if (strcasecmp(word, "or") == 0 || strncmp(from, "||", 2) == 0) {
        complain(cursor->complaints, place, "\"or\" is not known; write one more detector instead");
    } else if (strcmp(word, "for") == 0) {
        complain(cursor->complaints, place,
                 "\"for\" does not belong here; it stands beside the condition: \"for: 3s\"");
    } else {
        complain(cursor->complaints, place, "\"%s\" does not belong here; comparisons are joined by \"and\"",
                 complaint_shown(shown, from));
    }
    return false;
}

bool condition_read(const struct yaml_node *node, struct condition list[CONDITION_MAX], uint8_t *count,
                    struct complaints *complaints)
{
    if (node->kind != YAML_SCALAR) {
        complain(complaints, node->at, "a condition must be a text, as in cpu_utilization > 90%%");
        return false;
    }
    struct cursor cursor = {.node = node, .at = node->text, .complaints = complaints};
    struct condition read[CONDITION_MAX] = {0};
    uint8_t length = 0;
    bool ok = true;
    do {
        if (length == CONDITION_MAX) {
            complain(complaints, cursor_place(&cursor, cursor.at),
                     "more than %d comparisons in one condition", CONDITION_MAX);
            return false;
        }
        struct condition *next = &read[length];
        if (!read_subject(&cursor, next) || !read_operator(&cursor, next) || !read_number(&cursor, next)) {
            return false;
        }
        length++;
    } while (read_joint(&cursor, &ok));
    if (ok) {
        memcpy(list, read, sizeof read);
        *count = length;
    }
    return ok;
}

void condition_write(struct text *out, const struct condition *list, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct condition *c = &list[i];
        const char *name = metric_name((enum metric)c->metric);
        text_add(out, i > 0 ? " and " : "");
        text_addf(out, c->rate ? "rate(%s) %s " : "%s %s ", name, operators[c->comparison]);
        quantity_write(out, c->number, metric_infos[c->metric].unit);
        text_add(out, c->rate ? "/s" : "");
    }
}

struct condition condition_default_clear(const struct condition *when)
{
    struct condition clear = *when;
    clear.comparison = contrary[when->comparison];
    bool above = when->comparison == COMPARE_GT || when->comparison == COMPARE_GE;
    if (above && when->number > 0) { /* four fifths of 0 or of a negative rate would lie within `when` */
        clear.comparison = COMPARE_LE;
        clear.number = when->number * 4 / 5;
    }
    return clear;
}

/* --- which values satisfy ------------------------------------------------------------------------------- */

struct range {
    double low, high;
    bool low_open, high_open; /* the end itself does not belong */
};

static void range_cut(struct range *range, const struct condition *c)
{
    bool open = c->comparison == COMPARE_GT || c->comparison == COMPARE_LT;
    if (c->comparison == COMPARE_GT || c->comparison == COMPARE_GE) {
        if (c->number > range->low || (c->number == range->low && open)) {
            range->low = c->number;
            range->low_open = open;
        }
    } else if (c->number < range->high || (c->number == range->high && open)) {
        range->high = c->number;
        range->high_open = open;
    }
}

static void range_cut_all(struct range *range, const struct condition *subject, const struct condition *list,
                          uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (list[i].metric == subject->metric && list[i].rate == subject->rate) {
            range_cut(range, &list[i]);
        }
    }
}

static bool range_holds(const struct range *range, double value)
{
    bool above = value > range->low || (value == range->low && !range->low_open);
    bool below = value < range->high || (value == range->high && !range->high_open);
    return above && below;
}

static bool subject_can_hold(const struct condition *subject, const struct condition *a, uint32_t a_count,
                             const struct condition *b, uint32_t b_count)
{
    struct range range = {.low = -INFINITY, .high = INFINITY};
    if (!subject->rate) {
        range.low = 0;
    }
    range_cut_all(&range, subject, a, a_count);
    range_cut_all(&range, subject, b, b_count);
    if (!subject->rate && metric_infos[subject->metric].unit == UNIT_FLAG) {
        return range_holds(&range, 0) || range_holds(&range, 1);
    }
    return range.low < range.high || (range.low == range.high && !range.low_open && !range.high_open);
}

bool condition_can_hold(const struct condition *a, uint32_t a_count, const struct condition *b,
                        uint32_t b_count)
{
    bool can = true;
    for (uint32_t i = 0; i < a_count; i++) {
        can = can && subject_can_hold(&a[i], a, a_count, b, b_count);
    }
    for (uint32_t i = 0; i < b_count; i++) {
        can = can && subject_can_hold(&b[i], a, a_count, b, b_count);
    }
    return can;
}

bool condition_is_contrary(const struct condition *when, uint32_t when_count, const struct condition *clear,
                           uint32_t clear_count)
{
    if (when_count != 1 || clear_count != 1 || when->metric != clear->metric || when->rate != clear->rate ||
        when->number != clear->number) {
        return false;
    }
    return contrary[when->comparison] == clear->comparison;
}
