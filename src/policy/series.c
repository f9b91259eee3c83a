#include "policy/series.h"

#include "policy/quantity.h"

#include <math.h>
#include <string.h>

enum { WORD_SIZE = 64 };

static struct place place_within(const struct yaml_node *node, size_t offset)
{
    struct place place = node->text_at;
    if (place.line == 0) {
        return node->at;
    }
    place.column += (int)offset;
    return place;
}

/* `97%`, `4ms`: the whole of `word`. */
static bool read_value(const char *word, enum metric metric, double *value)
{
    const char *rest = word;
    double number;
    enum metric_unit unit = metric_infos[metric].unit;
    bool reads = quantity_number(&rest, false, &number) && quantity_in_base(number, rest, unit, value) &&
                 isfinite(*value);
    bool share = unit == UNIT_RATIO || unit == UNIT_FLAG;
    return reads && (!share || *value <= 1);
}

/* Cuts `xN` off. False if N is no number of reports. */
static bool cut_count(char *word, uint32_t *count)
{
    char *times = strrchr(word, 'x');
    *count = 1;
    if (times == NULL) {
        return true;
    }
    uint32_t number = 0;
    for (const char *at = times + 1; *at != '\0'; at++) {
        if (*at < '0' || *at > '9' || number > SERIES_REPORTS_MAX) {
            return false;
        }
        number = 10 * number + (uint32_t)(*at - '0');
    }
    *times = '\0';
    *count = number;
    return number >= 1 && number <= SERIES_REPORTS_MAX;
}

/* One word: a value or a ramp, and its count. NULL, or what is wrong. */
static const char *read_stretch(char *word, enum metric metric, struct stretch *stretch)
{
    if (!cut_count(word, &stretch->count)) {
        return "behind x stands a number of reports from 1 to 100000";
    }
    if (strcmp(word, "_") == 0) {
        stretch->from = stretch->to = (double)NAN;
        return NULL;
    }
    char *ramp = strstr(word, "..");
    if (ramp != NULL) {
        *ramp = '\0';
        if (!read_value(word, metric, &stretch->from) || !read_value(ramp + 2, metric, &stretch->to)) {
            return "a ramp is two values and a count, as in 0.1..0.9x5";
        }
        return stretch->count >= 2 ? NULL : "a ramp needs a count of at least 2, as in 0.1..0.9x5";
    }
    if (!read_value(word, metric, &stretch->from)) {
        return metric_infos[metric].unit == UNIT_RATIO
                   ? "no share from 0 to 1, as in 0.97 or 97%; _ is not reported"
                   : "no value of this metric; _ is not reported";
    }
    stretch->to = stretch->from;
    return NULL;
}

bool series_read(const struct yaml_node *node, enum metric metric, struct series *series,
                 struct complaints *complaints)
{
    *series = (struct series){0};
    if (node->kind != YAML_SCALAR || node->text[strspn(node->text, " ")] == '\0') {
        complain(complaints, node->at, "%s must be its values, as in 0.05x5 0.97x8 0.05x20", node->key);
        return false;
    }
    static const char blanks[] = " \n\t";
    const char *at = node->text + strspn(node->text, blanks);
    while (*at != '\0') {
        size_t length = strcspn(at, blanks);
        char word[WORD_SIZE];
        struct place place = place_within(node, (size_t)(at - node->text));
        const char *wrong = "too long for a value";
        if (series->count == STRETCHES_MAX) {
            wrong = "more than 64 stretches in one series";
        } else if (length < sizeof word) {
            memcpy(word, at, length);
            word[length] = '\0';
            wrong = read_stretch(word, metric, &series->list[series->count]);
        }
        if (wrong == NULL) {
            series->reports += series->list[series->count++].count;
            wrong = series->reports > SERIES_REPORTS_MAX ? "more than 100000 reports in one series" : NULL;
        }
        if (wrong != NULL) {
            char given[WORD_SIZE], shown[SHOWN_SIZE];
            struct text text = text_over(given, sizeof given);
            text_addf(&text, "%.*s", (int)(length < WORD_SIZE ? length : WORD_SIZE), at);
            complain(complaints, place, "%s: \"%s\": %s", node->key, complaint_shown(shown, given), wrong);
            return false;
        }
        at += length;
        at += strspn(at, blanks);
    }
    return true;
}

double series_value(const struct series *series, uint32_t number)
{
    for (uint32_t i = 0; i < series->count; i++) {
        const struct stretch *stretch = &series->list[i];
        if (number < stretch->count) {
            double steps = stretch->count > 1 ? (double)(stretch->count - 1) : 1;
            return stretch->from + (stretch->to - stretch->from) * ((double)number / steps);
        }
        number -= stretch->count;
    }
    return series->list[series->count - 1].to;
}
