#include "policy/window_file.h"

#include "base/check.h"
#include "policy/fields.h"
#include "policy/guards_file.h"
#include "policy/quantity.h"

#include <string.h>

#define DAY (24 * HOUR)

static const uint8_t every_day = (1 << WEEKDAYS) - 1;
static const duration window_least_ns = SECOND;

/* --- which nodes ---------------------------------------------------------------------------------------- */

/* A name, or the beginning of one and a star, or the star alone. */
static bool is_pattern(const char *text)
{
    char name[NODE_PATTERN_SIZE];
    size_t length = strlen(text);
    bool star = length > 0 && text[length - 1] == '*';
    if (length >= sizeof name) {
        return false;
    }
    text_copy(name, sizeof name, text);
    if (star) {
        name[length - 1] = '\0';
    }
    return (star && name[0] == '\0') || text_is_name(name, sizeof name - 1);
}

/* An empty selector selects nothing: whoever meant every node says so. */
static void read_nodes(const struct yaml_node *map, struct window *window, struct complaints *complaints)
{
    const struct yaml_node *node = yaml_tree_entry(map, "nodes");
    bool empty = node == NULL || (node->kind != YAML_MAP && node->count == 0 && node->text[0] == '\0');
    if (empty) {
        complain(complaints, node == NULL ? map->at : node->at,
                 "a window without nodes selects nothing; name a node, or some as in web-*, or all by \"*\"");
        return;
    }
    const char *text = "";
    if (!field_text(node, &text, complaints)) {
        return;
    }
    if (!is_pattern(text)) {
        char shown[SHOWN_SIZE];
        complain(complaints, node->at, "nodes: \"%s\" is neither a node's name nor its beginning and a star",
                 complaint_shown(shown, text));
        return;
    }
    text_copy(window->nodes, sizeof window->nodes, text);
    if (strcmp(text, "*") == 0) {
        complain_note(complaints, node->at, "every node: nothing at all is healed while this window lasts");
    }
}

/* --- one span ------------------------------------------------------------------------------------------- */

/* The years that a control plane may meet, far from the ends of the core's arithmetic. */
static bool is_of_our_time(instant at)
{
    return at >= 0 && at < 200 * 366 * DAY;
}

static bool read_instant(const struct yaml_node *map, const char *key, instant *at,
                         struct complaints *complaints)
{
    const struct yaml_node *node = yaml_tree_entry(map, key);
    if (node == NULL) {
        complain(complaints, map->at, "a window from here to there needs \"%s\" as well", key);
        return false;
    }
    const char *text = "";
    if (!field_text(node, &text, complaints)) {
        return false;
    }
    if (!text_parse_instant(text, at) || !is_of_our_time(*at) || *at % MILLISECOND != 0) {
        char shown[SHOWN_SIZE];
        complain(complaints, node->at, "%s: \"%s\" is no instant, as in 2026-12-24T20:00:00Z", key,
                 complaint_shown(shown, text));
        return false;
    }
    return true;
}

static void read_span(const struct yaml_node *map, struct window *window, struct complaints *complaints)
{
    static const char *const others[] = {"for", "days"};
    for (size_t i = 0; i < COUNT_OF(others); i++) {
        const struct yaml_node *other = yaml_tree_entry(map, others[i]);
        if (other != NULL) {
            complain(complaints, other->key_at, "%s belongs to a window that comes back: daily: \"02:00\"",
                     others[i]);
        }
    }
    instant from_at = 0, until_at = 0;
    bool from_reads = read_instant(map, "from", &from_at, complaints);
    if (!read_instant(map, "until", &until_at, complaints) || !from_reads) {
        return;
    }
    const struct yaml_node *until = yaml_tree_entry(map, "until");
    if (from_at >= until_at) {
        complain(complaints, until->at, "until must be after from; this window never begins");
    } else if (until_at - from_at > WINDOW_SPAN_MAX_NS) {
        complain(complaints, until->at,
                 "longer than 31 days; what is to be left alone for ever needs no policy");
    }
    window->from_at = from_at;
    window->until_at = until_at;
}

/* --- one that comes back -------------------------------------------------------------------------------- */

static bool parse_time_of_day(const char *text, duration *after_midnight_ns)
{
    static const char shape[] = "00:00";
    for (size_t i = 0; i < sizeof shape; i++) {
        bool digit = text[i] >= '0' && text[i] <= '9';
        if (shape[i] == '0' ? !digit : text[i] != shape[i]) {
            return false;
        }
    }
    int hours = 10 * (text[0] - '0') + text[1] - '0', minutes = 10 * (text[3] - '0') + text[4] - '0';
    *after_midnight_ns = hours * HOUR + minutes * MINUTE;
    return hours < 24 && minutes < 60;
}

static void read_days(const struct yaml_node *list, struct window *window, struct complaints *complaints)
{
    if (list == NULL || !field_list(list, complaints)) {
        return;
    }
    if (list->count == 0) {
        complain(complaints, list->at, "a window without days never begins; leave days out for every day");
    }
    window->days = 0;
    for (const struct yaml_node *entry = list->first; entry != NULL; entry = entry->next) {
        uint8_t day = 0;
        if (!field_word(entry, "day", weekday_names, WEEKDAYS, &day, complaints)) {
            continue;
        }
        if (window->days & (1u << day)) {
            complain(complaints, entry->at, "%s for the second time", weekday_names[day]);
        }
        window->days |= (uint8_t)(1u << day);
    }
}

static void read_daily(const struct yaml_node *map, struct window *window, struct complaints *complaints)
{
    static const char *const others[] = {"from", "until"};
    for (size_t i = 0; i < COUNT_OF(others); i++) {
        const struct yaml_node *other = yaml_tree_entry(map, others[i]);
        if (other != NULL) {
            complain(complaints, other->key_at, "daily and %s do not go together; write two windows",
                     others[i]);
        }
    }
    const struct yaml_node *daily = yaml_tree_entry(map, "daily"), *lasts = yaml_tree_entry(map, "for");
    const char *text = "";
    window->days = every_day;
    if (field_text(daily, &text, complaints) && !parse_time_of_day(text, &window->after_midnight_ns)) {
        char shown[SHOWN_SIZE];
        complain(complaints, daily->at, "daily: \"%s\" is no time of day from \"00:00\" to \"23:59\", in UTC",
                 complaint_shown(shown, text));
    }
    if (lasts == NULL) {
        complain(complaints, map->at, "a window that comes back needs its length: \"for: 1h\"");
    }
    field_duration_upto(lasts, window_least_ns, DAY, &window->lasts_ns, complaints);
    read_days(yaml_tree_entry(map, "days"), window, complaints);
}

static void read_window(const struct yaml_node *map, struct guards *guards, struct complaints *complaints)
{
    struct window *window = &guards->windows[guards->window_count++];
    *window = (struct window){.from_at = INSTANT_NONE, .until_at = INSTANT_NONE};
    if (!field_map(map, &policy_keys[POLICY_MAP_WINDOW], complaints)) {
        return;
    }
    read_nodes(map, window, complaints);
    if (yaml_tree_entry(map, "daily") != NULL) {
        read_daily(map, window, complaints);
    } else if (yaml_tree_entry(map, "from") != NULL || yaml_tree_entry(map, "until") != NULL) {
        read_span(map, window, complaints);
    } else {
        complain(complaints, map->at,
                 "a window needs its time: \"from:\" and \"until:\", or \"daily:\" and \"for:\"");
    }
}

void windows_read(const struct yaml_node *list, struct guards *guards, struct complaints *complaints)
{
    if (list == NULL || !field_list(list, complaints)) {
        return;
    }
    for (const struct yaml_node *entry = list->first; entry != NULL; entry = entry->next) {
        if (guards->window_count == WINDOW_MAX) {
            complain(complaints, entry->at, "more than %d windows of maintenance", WINDOW_MAX);
            return;
        }
        read_window(entry, guards, complaints);
    }
}

/* --- writing -------------------------------------------------------------------------------------------- */

static void write_daily(struct text *out, const struct window *window)
{
    duration minutes = window->after_midnight_ns / MINUTE;
    text_addf(out, ", daily: \"%02d:%02d\", for: ", (int)(minutes / 60), (int)(minutes % 60));
    quantity_write_duration(out, window->lasts_ns);
    const char *before = ", days: [";
    for (uint32_t day = 0; day < WEEKDAYS; day++) {
        if (window->days & (1u << day)) {
            text_addf(out, "%s%s", before, weekday_names[day]);
            before = ", ";
        }
    }
    text_add(out, "]");
}

void windows_write(struct text *out, const struct guards *guards)
{
    text_add(out, guards->window_count == 0 ? "  maintenance: []\n" : "  maintenance:\n");
    for (uint32_t i = 0; i < guards->window_count; i++) {
        const struct window *window = &guards->windows[i];
        text_addf(out, "    - {nodes: \"%s\"", window->nodes);
        if (window->from_at == INSTANT_NONE) {
            write_daily(out, window);
        } else {
            char from[32], until[32];
            text_instant(from, window->from_at);
            text_instant(until, window->until_at);
            text_addf(out, ", from: %s, until: %s", from, until);
        }
        text_add(out, "}\n");
    }
}
