#include "policy/quantity.h"

#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NUMBER_SIZE = 40 };

/* value = number * times / by. Only one of the two differs from 1, so that one rounding at most takes place:
 * 20 / 1000 is the double nearest to 0.02, 20 * 0.001 is not. */
struct scale {
    enum metric_unit unit;
    const char *name;
    double times, by;
};

/* In the order in which they are preferred for writing. */
static const struct scale scales[] = {
    {UNIT_RATIO, "%", 1, 100},    {UNIT_RATIO, "", 1, 1},          {UNIT_SECONDS, "s", 1, 1},
    {UNIT_SECONDS, "ms", 1, 1e3}, {UNIT_SECONDS, "us", 1, 1e6},    {UNIT_SECONDS, "m", 60, 1},
    {UNIT_SECONDS, "h", 3600, 1}, {UNIT_SECONDS, "", 1, 1},        {UNIT_BYTES, "B", 1, 1},
    {UNIT_BYTES, "KiB", 1024, 1}, {UNIT_BYTES, "MiB", 1048576, 1}, {UNIT_BYTES, "GiB", 1073741824, 1},
    {UNIT_BYTES, "", 1, 1},       {UNIT_PER_SECOND, "/s", 1, 1},   {UNIT_PER_SECOND, "", 1, 1},
    {UNIT_COUNT, "", 1, 1},       {UNIT_FLAG, "", 1, 1},
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static const char *after_digits(const char *at)
{
    while (is_digit(*at)) {
        at++;
    }
    return at;
}

/* strtod() alone would take hexadecimal, "inf" and "nan" as well. */
bool quantity_number(const char **at, bool negative_allowed, double *number)
{
    const char *from = *at, *end = from + (negative_allowed && *from == '-');
    if (!is_digit(*end)) {
        return false;
    }
    end = after_digits(end);
    if (end[0] == '.' && is_digit(end[1])) {
        end = after_digits(end + 1);
    }
    if (end[0] == 'e' || end[0] == 'E') {
        size_t sign = end[1] == '+' || end[1] == '-';
        end = is_digit(end[1 + sign]) ? after_digits(end + 1 + sign) : end;
    }
    char copy[NUMBER_SIZE];
    size_t length = (size_t)(end - from);
    if (length >= sizeof copy) {
        return false;
    }
    memcpy(copy, from, length);
    copy[length] = '\0';
    double value = strtod(copy, NULL);
    if (!(value >= -1e18 && value <= 1e18)) {
        return false;
    }
    *number = value == 0 ? 0 : value; /* no -0: it would be written as "-0" */
    *at = end;
    return true;
}

static double scale_apply(const struct scale *scale, double number)
{
    return number * scale->times / scale->by;
}

bool quantity_in_base(double number, const char *name, enum metric_unit unit, double *value)
{
    for (size_t i = 0; i < COUNT_OF(scales); i++) {
        if (scales[i].unit == unit && strcmp(scales[i].name, name) == 0) {
            *value = scale_apply(&scales[i], number);
            return true;
        }
    }
    return false;
}

const char *quantity_unit_names(enum metric_unit unit)
{
    static const char *const names[] = {
        [UNIT_RATIO] = "%",
        [UNIT_SECONDS] = "us, ms, s, m or h",
        [UNIT_BYTES] = "B, KiB, MiB or GiB",
        [UNIT_PER_SECOND] = "/s",
        [UNIT_NONE] = "",
        [UNIT_COUNT] = "",
        [UNIT_FLAG] = "",
    };
    CHECK((unsigned)unit < COUNT_OF(names));
    return names[unit];
}

const char *quantity_unit_meant(const char *word, enum metric_unit unit)
{
    static const struct {
        const char *word;
        enum metric_unit unit;
        const char *name;
    } others[] = {
        {"sec", UNIT_SECONDS, "s"},   {"secs", UNIT_SECONDS, "s"},    {"second", UNIT_SECONDS, "s"},
        {"min", UNIT_SECONDS, "m"},   {"mins", UNIT_SECONDS, "m"},    {"minute", UNIT_SECONDS, "m"},
        {"hr", UNIT_SECONDS, "h"},    {"hour", UNIT_SECONDS, "h"},    {"msec", UNIT_SECONDS, "ms"},
        {"hours", UNIT_SECONDS, "h"}, {"minutes", UNIT_SECONDS, "m"}, {"seconds", UNIT_SECONDS, "s"},
        {"KB", UNIT_BYTES, "KiB"},    {"MB", UNIT_BYTES, "MiB"},      {"GB", UNIT_BYTES, "GiB"},
        {"kB", UNIT_BYTES, "KiB"},    {"M", UNIT_BYTES, "MiB"},       {"G", UNIT_BYTES, "GiB"},
    };
    for (size_t i = 0; i < COUNT_OF(scales); i++) {
        if (scales[i].unit == unit && word[0] != '\0' && strcmp(scales[i].name, word) == 0) {
            return scales[i].name;
        }
    }
    for (size_t i = 0; i < COUNT_OF(others); i++) {
        if (others[i].unit == unit && strcmp(others[i].word, word) == 0) {
            return others[i].name;
        }
    }
    return NULL;
}

/* Writes the shortest number that reads back as `value` in this scale. False if there is none: 1e-7 s in
 * hours, say. */
static bool write_shortest(char out[NUMBER_SIZE], double value, const struct scale *scale)
{
    double number = value * scale->by / scale->times;
    if (number > -1e9 && number < 1e9 && number == (double)(int64_t)number) { /* %g turns 200 into 2e+02 */
        snprintf(out, NUMBER_SIZE, "%lld", (long long)number);
        return scale_apply(scale, number) == value;
    }
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(out, NUMBER_SIZE, "%.*g", digits, number);
        if (scale_apply(scale, strtod(out, NULL)) == value) {
            return true;
        }
    }
    return false;
}

/* How hard a number is to read: its length, and a little more for a fraction, so that 0.3s becomes 300ms. */
static size_t effort(const char *number)
{
    return strlen(number) + (strchr(number, '.') != NULL);
}

void quantity_write(struct text *out, double value, enum metric_unit unit)
{
    char best[NUMBER_SIZE] = "", number[NUMBER_SIZE];
    const struct scale *chosen = NULL;
    for (size_t i = 0; i < COUNT_OF(scales); i++) {
        const struct scale *scale = &scales[i];
        if (scale->unit != unit || !write_shortest(number, value, scale)) {
            continue;
        }
        bool easier = unit != UNIT_RATIO && effort(number) < effort(best); /* ratios always as a percentage */
        if (chosen == NULL || easier) {
            chosen = scale;
            memcpy(best, number, sizeof best);
        }
    }
    CHECK(chosen != NULL); /* the bare number is always exact */
    text_addf(out, "%s%s", best, chosen->name);
}

void quantity_write_duration(struct text *out, duration d)
{
    static const struct {
        duration unit;
        const char *name;
    } units[] = {{HOUR, "h"}, {MINUTE, "m"}, {SECOND, "s"}, {MILLISECOND, "ms"}, {MICROSECOND, "us"}};
    if (d == 0) {
        text_add(out, "0s");
        return;
    }
    for (size_t i = 0; i < COUNT_OF(units); i++) {
        if (d % units[i].unit == 0) {
            text_addf(out, "%lld%s", (long long)(d / units[i].unit), units[i].name);
            return;
        }
    }
    text_addf(out, "%lld.%03lldus", (long long)(d / MICROSECOND), (long long)(d % MICROSECOND));
}
