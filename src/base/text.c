#include "base/text.h"

#include "base/check.h"

#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* --- into a buffer -------------------------------------------------------------------------------------- */

/* How much of `length` bytes remains if a UTF-8 character cut at its end is left out: half a character would
 * make JSON writers refuse the whole text. */
static size_t whole_characters(const char *bytes, size_t length)
{
    size_t lead = length;
    while (lead > 0 && length - lead < 3 && ((unsigned char)bytes[lead - 1] & 0xC0) == 0x80)
        lead--;
    if (lead == 0)
        return length;
    unsigned char first = (unsigned char)bytes[--lead];
    size_t needed = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : first >= 0xC0 ? 2 : 1;
    return length - lead < needed ? lead : length;
}

struct text text_over(char *bytes, size_t capacity)
{
    CHECK(bytes != NULL && capacity >= 1);
    bytes[0] = '\0';
    return (struct text){.bytes = bytes, .capacity = capacity};
}

void text_add(struct text *text, const char *piece)
{
    if (text->cut)
        return;
    size_t length = strlen(piece), room = text->capacity - text->length;
    if (length >= room) { /* cut, as below */
        text_addf(text, "%s", piece);
        return;
    }
    memcpy(text->bytes + text->length, piece, length + 1);
    text->length += length;
}

void text_addf(struct text *text, const char *format, ...)
{
    if (text->cut) /* what comes after a cut would read as if nothing were missing */
        return;
    va_list arguments;
    va_start(arguments, format);
    size_t room = text->capacity - text->length;
    int wanted = vsnprintf(text->bytes + text->length, room, format, arguments);
    va_end(arguments);
    CHECK(wanted >= 0);
    if ((size_t)wanted < room) {
        text->length += (size_t)wanted;
        return;
    }
    text->cut = true;
    text->length = whole_characters(text->bytes, text->capacity - 1);
    text->bytes[text->length] = '\0';
}

bool text_copy(char *to, size_t capacity, const char *from)
{
    CHECK(capacity >= 1);
    size_t length = strnlen(from, capacity);
    bool fits = length < capacity;
    if (!fits)
        length = whole_characters(from, capacity - 1);
    memmove(to, from, length);
    memset(to + length, 0, capacity - length);
    return fits;
}

void text_tame(char *text)
{
    for (unsigned char *at = (unsigned char *)text; *at; at++) {
        bool c1 = at[0] == 0xC2 && at[1] >= 0x80 && at[1] <= 0x9F;
        if (*at < ' ' || *at == 0x7F || c1)
            *at = ' ';
        if (c1)
            *++at = ' ';
    }
}

/* --- durations ------------------------------------------------------------------------------------------ */

void text_duration(struct text *text, duration d)
{
    /* Seconds go up to two minutes and minutes up to two hours: "90 s" says more than "1.5 min". */
    static const struct {
        uint64_t unit;
        uint64_t below; /* a rounded value from here on is written in the next unit */
        const char *name;
    } scales[] = {
        {NANOSECOND, MICROSECOND, "ns"}, {MICROSECOND, MILLISECOND, "us"}, {MILLISECOND, SECOND, "ms"},
        {SECOND, 2 * MINUTE, "s"},       {MINUTE, 2 * HOUR, "min"},        {HOUR, UINT64_MAX, "h"},
    };
    if (d == 0) {
        text_add(text, "0 s");
        return;
    }
    uint64_t size = d < 0 ? -(uint64_t)d : (uint64_t)d;
    size_t scale = 0;
    while (size + scales[scale].unit / 2 >= scales[scale].below)
        scale++;
    uint64_t unit = scales[scale].unit, whole = size / unit, rest = size % unit;
    uint64_t tenths = 10 * whole + (10 * rest + unit / 2) / unit;
    text_add(text, d < 0 ? "-" : "");
    if (tenths >= 100)
        text_addf(text, "%llu", (unsigned long long)(whole + (rest >= unit - rest)));
    else if (tenths % 10 == 0)
        text_addf(text, "%llu", (unsigned long long)(tenths / 10));
    else
        text_addf(text, "%llu.%llu", (unsigned long long)(tenths / 10), (unsigned long long)(tenths % 10));
    text_addf(text, " %s", scales[scale].name);
}

/* Reads digits into `*value` and moves `*at` behind them. False if there is none or the value exceeds `most`.
 */
static bool read_digits(const char **at, uint64_t most, uint64_t *value, int *digits)
{
    *value = 0;
    *digits = 0;
    for (; **at >= '0' && **at <= '9'; (*at)++) {
        *value = 10 * *value + (uint64_t)(**at - '0');
        if (*value > most)
            return false;
        (*digits)++;
    }
    return *digits > 0;
}

/* Reads 1 to 9 digits behind a decimal point as billionths. */
static bool read_billionths(const char **at, uint64_t *billionths)
{
    int digits;
    if (!read_digits(at, 999999999, billionths, &digits) || digits > 9)
        return false;
    for (; digits < 9; digits++)
        *billionths *= 10;
    return true;
}

bool text_parse_duration(const char *text, duration *out)
{
    static const struct {
        const char *name;
        uint64_t unit;
    } units[] = {{"us", MICROSECOND}, {"ms", MILLISECOND}, {"s", SECOND}, {"m", MINUTE}, {"h", HOUR}};
    const uint64_t most = UINT64_C(1000) * HOUR;
    uint64_t whole, billionths = 0;
    int digits;
    if (!read_digits(&text, most / MICROSECOND, &whole, &digits))
        return false;
    if (*text == '.') {
        text++;
        if (!read_billionths(&text, &billionths))
            return false;
    }
    for (size_t i = 0; i < COUNT_OF(units); i++) {
        if (strcmp(text, units[i].name) != 0)
            continue;
        if (whole > most / units[i].unit)
            return false;
        /* Each unit is a multiple of 1000 ns, which keeps the product below within 64 bits. */
        uint64_t value = whole * units[i].unit + units[i].unit / 1000 * billionths / 1000000;
        if (value > most)
            return false;
        *out = (duration)value;
        return true;
    }
    return false;
}

/* --- instants ------------------------------------------------------------------------------------------- */

enum {
    DAYS_OF_ERA = 146097,
    DAYS_TO_1970 = 719468
}; /* an era: 400 years from a 1 March; days from 0000-03-01 */

struct civil {
    int64_t year;
    int64_t month; /* 1 .. 12 */
    int64_t day;   /* 1 .. 31 */
};

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

static int64_t days_from_civil(struct civil date)
{
    int64_t year = date.year - (date.month <= 2);
    int64_t era = floor_div(year, 400);
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * (date.month > 2 ? date.month - 3 : date.month + 9) + 2) / 5 + date.day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * DAYS_OF_ERA + day_of_era - DAYS_TO_1970;
}

static struct civil civil_from_days(int64_t days)
{
    days += DAYS_TO_1970;
    int64_t era = floor_div(days, DAYS_OF_ERA);
    int64_t day_of_era = days - era * DAYS_OF_ERA;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / (DAYS_OF_ERA - 1)) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t shifted = (5 * day_of_year + 2) / 153; /* months since March */
    struct civil date = {.month = shifted < 10 ? shifted + 3 : shifted - 9,
                         .day = day_of_year - (153 * shifted + 2) / 5 + 1};
    date.year = year_of_era + era * 400 + (date.month <= 2);
    return date;
}

void text_instant(char out[32], instant at)
{
    int64_t ms = floor_div(at, MILLISECOND);
    int64_t days = floor_div(ms, 86400000);
    int64_t of_day = ms - days * 86400000;
    struct civil date = civil_from_days(days);
    /* The remainders tell the compiler what the arithmetic ensures: that 32 bytes are enough. */
    snprintf(out, 32, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", (int)(date.year % 10000),
             (int)(date.month % 100), (int)(date.day % 100), (int)(of_day / 3600000 % 24),
             (int)(of_day / 60000 % 60), (int)(of_day / 1000 % 60), (int)(of_day % 1000));
}

/* Reads exactly `digits` digits and then `after` ('\0': nothing more is read). */
static bool read_field(const char **at, int digits, char after, int64_t *value)
{
    *value = 0;
    for (; digits > 0; digits--, (*at)++) {
        if (**at < '0' || **at > '9')
            return false;
        *value = 10 * *value + (**at - '0');
    }
    if (after == '\0')
        return true;
    return *(*at)++ == after;
}

/* Reads `Z` or a numeric offset, in seconds east of UTC, and insists on the end of the text. */
static bool read_offset(const char *at, int64_t *seconds)
{
    *seconds = 0;
    if (*at == 'Z' || *at == 'z')
        return at[1] == '\0';
    if (*at != '+' && *at != '-')
        return false;
    int64_t sign = *at++ == '-' ? -1 : 1, hours, minutes;
    if (!read_field(&at, 2, ':', &hours) || !read_field(&at, 2, '\0', &minutes) || *at != '\0')
        return false;
    *seconds = sign * (hours * 3600 + minutes * 60);
    return hours <= 23 && minutes <= 59;
}

bool text_parse_instant(const char *text, instant *out)
{
    struct civil date;
    int64_t hour, minute, second, offset;
    uint64_t nanoseconds = 0;
    if (!read_field(&text, 4, '-', &date.year) || !read_field(&text, 2, '-', &date.month) ||
        !read_field(&text, 2, '\0', &date.day))
        return false;
    if (*text != 'T' && *text != 't')
        return false;
    text++;
    if (!read_field(&text, 2, ':', &hour) || !read_field(&text, 2, ':', &minute) ||
        !read_field(&text, 2, '\0', &second))
        return false;
    if (*text == '.') {
        text++;
        if (!read_billionths(&text, &nanoseconds))
            return false;
    }
    if (!read_offset(text, &offset) || hour > 23 || minute > 59 || second > 60) /* 60: a leap second */
        return false;
    if (date.year < 1678 || date.year > 2261) /* what 64 bits of nanoseconds hold, in whole years */
        return false;
    if (date.month < 1 || date.month > 12 || date.day < 1)
        return false;
    int64_t days = days_from_civil(date);
    if (civil_from_days(days).month != date.month) /* 30 February would become 1 or 2 March */
        return false;
    *out = (days * 86400 + hour * 3600 + minute * 60 + second - offset) * SECOND + (int64_t)nanoseconds;
    return true;
}

/* --- words ---------------------------------------------------------------------------------------------- */

static bool is_letter_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool text_is_name(const char *name, size_t max)
{
    if (!is_letter_or_digit(name[0]))
        return false;
    size_t length = 0;
    for (; name[length] != '\0'; length++)
        if (length == max || (!is_letter_or_digit(name[length]) && strchr("-_.", name[length]) == NULL))
            return false;
    return true;
}

enum { WORD_MAX = 63 }; /* longer than any word we have a table of */

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* Whether they are the same letter, small or large. */
static bool is_same(char a, char b)
{
    return (a >= 'A' && a <= 'Z' ? a + ('a' - 'A') : a) == (b >= 'A' && b <= 'Z' ? b + ('a' - 'A') : b);
}

/* How many insertions, deletions, exchanges and swaps of neighbours lead from `a` to `b` (optimal string
 * alignment: no place is edited twice). Both are at most WORD_MAX long. */
static unsigned distance(const char *a, size_t a_length, const char *b, size_t b_length)
{
    unsigned rows[3][WORD_MAX + 1];
    unsigned *two_before = rows[0], *before = rows[1], *now = rows[2];
    for (size_t j = 0; j <= b_length; j++)
        before[j] = (unsigned)j;
    for (size_t i = 1; i <= a_length; i++) {
        now[0] = (unsigned)i;
        for (size_t j = 1; j <= b_length; j++) {
            now[j] = least(before[j - 1] + !is_same(a[i - 1], b[j - 1]), least(before[j], now[j - 1]) + 1);
            if (i > 1 && j > 1 && is_same(a[i - 1], b[j - 2]) && is_same(a[i - 2], b[j - 1]))
                now[j] = least(now[j], two_before[j - 2] + 1);
        }
        unsigned *free_row = two_before;
        two_before = before;
        before = now;
        now = free_row;
    }
    return before[b_length];
}

const char *text_nearest(const char *misspelt, const char *const *words, size_t count)
{
    size_t length = strnlen(misspelt, WORD_MAX + 1);
    if (length > WORD_MAX)
        return NULL;
    unsigned nearest_yet = length < 6 ? 2 : (unsigned)(length / 3) + 1; /* one more than is allowed */
    const char *nearest = NULL;
    for (size_t i = 0; i < count; i++) {
        size_t word_length = strnlen(words[i], WORD_MAX + 1);
        if (word_length > WORD_MAX)
            continue;
        unsigned away = distance(misspelt, length, words[i], word_length);
        if (away < nearest_yet) {
            nearest_yet = away;
            nearest = words[i];
        }
    }
    return nearest;
}
