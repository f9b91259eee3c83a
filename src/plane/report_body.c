#include "plane/report_body.h"

#include "base/check.h"
#include "base/text.h"
#include "wire/json_scan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const duration age_most_ns = 1000 * HOUR;

/* More than a node agent can ever have written. */
#define GAP_REPORTS_MAX (UINT64_C(1) << 32)

static double most_of(int metric)
{
    enum metric_unit unit = metric_infos[metric].unit;
    return unit == UNIT_RATIO || unit == UNIT_FLAG ? 1 : 1e300;
}

/* Room for `count` reports; one needs none of the heap. */
static void make_room(struct report_body *body, size_t count)
{
    body->list = count <= 1 ? &body->one : malloc(count * sizeof(*body->list));
    CHECK(body->list);
}

void report_body_free(struct report_body *body)
{
    if (body->list != &body->one)
        free(body->list);
    free(body->told);
    json_decref(body->document);
    body->list = NULL;
    body->told = NULL;
    body->document = NULL;
}

/* --- any body, by its tree ----------------------------------------------------------------------------- */

static void read_samples(struct json_reader *reader, struct report *report)
{
    struct json_reader samples = json_read_object(reader, "samples", JSON_REQUIRED);
    const char *name = json_next_member(&samples, NULL);
    for (; name; name = json_next_member(&samples, name)) {
        int metric = metric_of(name);
        if (metric < 0) {
            size_t count;
            const char *const *names = metric_names(&count);
            json_refuse_word(&samples, name, "metric", names, count);
            break;
        }
        report->value[metric] = json_read_number(&samples, name, JSON_REQUIRED, 0, most_of(metric), 0);
        report->present |= 1u << metric;
    }
    json_read_end(&samples);
}

static void read_told(struct json_reader *reader, struct fault_told *told)
{
    static const char *const states[] = {"active", "ended", "failed"};
    static const char *const effects[] = {"waiting", "seen", "none"};
    const char *metric;
    told->id = (uint64_t)json_read_integer(reader, "id", JSON_REQUIRED, 1, INT64_MAX, 0);
    told->state = FAULT_ACTIVE + json_read_word(reader, "state", JSON_REQUIRED, states, COUNT_OF(states), 0);
    told->effect = json_read_word(reader, "effect", JSON_OPTIONAL, effects, COUNT_OF(effects), -1);
    told->removal = json_read_word(reader, "removal", JSON_OPTIONAL, effects, COUNT_OF(effects), -1);
    told->age_ns = json_read_seconds(reader, "age_s", JSON_OPTIONAL, 0, age_most_ns, 0);
    told->before = json_read_number(reader, "before", JSON_OPTIONAL, -1e300, 1e300, NAN);
    told->after = json_read_number(reader, "after", JSON_OPTIONAL, -1e300, 1e300, NAN);
    told->reason = json_read_string(reader, "reason", JSON_OPTIONAL, STORE_TEXT_MAX - 1);
    metric = json_read_string(reader, "metric", JSON_OPTIONAL, STORE_WORD_MAX);
    if (metric && strcmp(metric, metric_name(METRIC_NONE)) != 0 && metric_of(metric) < 0) {
        size_t count;
        const char *const *names = metric_names(&count);
        json_refuse_word(reader, "metric", "metric", names, count);
    }
    json_read_end(reader);
}

static uint32_t read_standing(struct json_reader *reader)
{
    uint32_t standing = 0;
    size_t count = json_read_array(reader, "standing", JSON_OPTIONAL, REMEDY_COUNT);
    for (size_t i = 0; i < count; i++) {
        const char *name = json_read_element_string(reader, "standing", i, STORE_WORD_MAX);
        int remedy = name ? remedy_of(name) : -1;
        if (remedy >= 0) {
            standing |= 1u << remedy;
        } else if (name) {
            size_t names_count;
            const char *const *names = remedy_names(&names_count);
            json_refuse_word(reader, "standing", "remedy", names, names_count);
        }
    }
    return standing;
}

static void read_report(struct json_reader *reader, struct report_read *read, struct fault_told *told)
{
    read->report.boot = json_read_boot(reader, "boot", JSON_OPTIONAL);
    read->report.sequence = (uint64_t)json_read_integer(reader, "sequence", JSON_OPTIONAL, 0, INT64_MAX, 0);
    read->report.age_ns = json_read_seconds(reader, "age_s", JSON_OPTIONAL, 0, age_most_ns, 0);
    read_samples(reader, &read->report);
    read->standing = read_standing(reader);
    read->told = told;
    read->told_count = (uint32_t)json_read_array(reader, "faults", JSON_OPTIONAL, TOLD_MAX);
    for (uint32_t i = 0; i < read->told_count; i++) {
        struct json_reader element = json_read_element(reader, "faults", i);
        read_told(&element, &told[i]);
    }
}

static void read_node_name(struct json_reader *reader, struct report_read *read)
{
    bool there = json_read_text(reader, "node", JSON_REQUIRED, read->node, sizeof(read->node));
    if (there && !text_is_name(read->node, NODE_NAME_SIZE - 1))
        json_refuse(reader, "node", "not a name of a node");
}

static void read_gap(struct json_reader *reader, struct gap_told *gap)
{
    static const char *const reasons[] = {"spool_full", "damaged"};
    gap->boot = json_read_boot(reader, "boot", JSON_REQUIRED);
    gap->first = (uint64_t)json_read_integer(reader, "from", JSON_REQUIRED, 1, INT64_MAX, 1);
    gap->last = (uint64_t)json_read_integer(reader, "to", JSON_REQUIRED, (int64_t)gap->first, INT64_MAX, 1);
    if (gap->last > gap->first && gap->last - gap->first >= GAP_REPORTS_MAX)
        json_refuse(reader, "to", "a gap has at most 2^32 reports");
    gap->reason =
        (enum gap_reason)json_read_word(reader, "reason", JSON_REQUIRED, reasons, COUNT_OF(reasons), 0);
    json_read_end(reader);
}

/* False if one of them is wrong. */
static bool read_list(struct json_reader *reader, struct report_body *body, bool many_nodes)
{
    for (size_t i = 0; i < body->count; i++) {
        struct json_reader element = json_read_element(reader, "reports", i);
        if (many_nodes)
            read_node_name(&element, &body->list[i]);
        read_report(&element, &body->list[i], body->told + i * TOLD_MAX);
        if (!json_read_end(&element))
            return false;
    }
    for (size_t i = 0; i < body->gaps_count; i++) {
        struct json_reader element = json_read_element(reader, "gaps", i);
        read_gap(&element, &body->gaps[i]);
    }
    return true;
}

bool report_body_read_slowly(struct report_body *body, const char *bytes, size_t length, bool many_nodes,
                             struct json_error *error)
{
    *body = (struct report_body){.document = json_parse(bytes, length, error)};
    struct json_reader reader = json_reader_over(body->document, error);
    bool gaps = !many_nodes && json_is_present(&reader, "gaps");
    bool batch = many_nodes || gaps || json_is_present(&reader, "reports");
    body->count =
        batch ? json_read_array(&reader, "reports", gaps ? JSON_OPTIONAL : JSON_REQUIRED, REPORTS_MAX) : 1;
    body->gaps_count = gaps ? json_read_array(&reader, "gaps", JSON_OPTIONAL, GAPS_TOLD_MAX) : 0;
    make_room(body, body->count);
    memset(body->list, 0, body->count * sizeof(*body->list));
    body->told = calloc(body->count + 1, TOLD_MAX * sizeof(*body->told));
    CHECK(body->told);
    if (!batch)
        read_report(&reader, &body->list[0], body->told);
    if ((!batch || read_list(&reader, body, many_nodes)) && json_read_end(&reader))
        return true;
    report_body_free(body);
    return false;
}

/* --- the usual ones, in one pass ----------------------------------------------------------------------- */

#define IS(piece, literal) json_scan_is(&(piece), literal, sizeof(literal) - 1)

/* Node agents write their samples in the order of the table, so the next one is looked for first. */
static int scan_metric(const struct json_piece *name, int expected)
{
    for (int i = 0; i < METRIC_COUNT; i++) {
        int metric = (expected + i) % METRIC_COUNT;
        if (json_scan_is(name, metric_infos[metric].name, strlen(metric_infos[metric].name)))
            return metric;
    }
    return -1;
}

static bool scan_samples(struct json_scan *scan, struct report *report)
{
    size_t count = 0;
    int metric = -1;
    json_scan_must(scan, '{');
    while (json_scan_next(scan, '}', &count)) {
        struct json_piece name = json_scan_name(scan);
        metric = scan_metric(&name, metric + 1);
        double value = json_scan_number(scan);
        if (scan->failed || metric < 0 || report->present & 1u << metric || value > most_of(metric))
            return false;
        report->value[metric] = value;
        report->present |= 1u << metric;
    }
    return true;
}

static bool scan_boot(struct json_scan *scan, uint64_t *boot)
{
    struct json_piece digits = json_scan_string(scan);
    if (digits.length != 16)
        return false;
    uint64_t number = 0;
    for (int i = 0; i < 16; i++) {
        char c = digits.bytes[i];
        if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'f'))
            return false;
        number = number << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    *boot = number;
    return number != 0;
}

static bool scan_node(struct json_scan *scan, struct report_read *read)
{
    struct json_piece name = json_scan_string(scan);
    if (name.length >= sizeof(read->node))
        return false;
    memcpy(read->node, name.bytes, name.length);
    read->node[name.length] = '\0';
    return text_is_name(read->node, NODE_NAME_SIZE - 1);
}

static bool scan_age(struct json_scan *scan, struct report *report)
{
    double seconds = json_scan_number(scan);
    report->age_ns = duration_from_seconds(seconds <= duration_seconds(age_most_ns) ? seconds : 0);
    return seconds <= duration_seconds(age_most_ns);
}

/* The members by bits, so that a second one of a name is noticed. */
enum { HAS_BOOT = 1, HAS_SEQUENCE = 2, HAS_AGE = 4, HAS_SAMPLES = 8, HAS_FAULTS = 16, HAS_NODE = 32 };

static unsigned scan_member(struct json_scan *scan, struct report_read *read)
{
    struct json_piece name = json_scan_name(scan);
    if (IS(name, "samples"))
        return scan_samples(scan, &read->report) ? HAS_SAMPLES : 0;
    if (IS(name, "sequence")) {
        read->report.sequence = json_scan_integer(scan);
        return HAS_SEQUENCE;
    }
    if (IS(name, "boot"))
        return scan_boot(scan, &read->report.boot) ? HAS_BOOT : 0;
    if (IS(name, "age_s"))
        return scan_age(scan, &read->report) ? HAS_AGE : 0;
    if (IS(name, "node"))
        return scan_node(scan, read) ? HAS_NODE : 0;
    if (IS(name, "faults")) { /* none of them: the usual case */
        json_scan_must(scan, '[');
        json_scan_must(scan, ']');
        return HAS_FAULTS;
    }
    return 0;
}

static bool scan_report(struct json_scan *scan, struct report_read *read, bool with_node)
{
    unsigned has = 0;
    size_t count = 0;
    memset(read, 0, sizeof(*read));
    json_scan_must(scan, '{');
    while (json_scan_next(scan, '}', &count)) {
        unsigned member = scan_member(scan, read);
        if (scan->failed || member == 0 || has & member)
            return false;
        has |= member;
    }
    return !scan->failed && has & HAS_SAMPLES && !(has & HAS_NODE) == !with_node;
}

/* The least that a report can be: {"samples":{}}, and a comma. */
enum { REPORT_BYTES_LEAST = 15 };

static bool scan_list(struct json_scan *scan, struct report_body *body, size_t length, bool with_node)
{
    size_t count = 0, most = length / REPORT_BYTES_LEAST + 1;
    make_room(body, most < REPORTS_MAX ? most : REPORTS_MAX);
    json_scan_must(scan, '[');
    while (json_scan_next(scan, ']', &count))
        if (count > REPORTS_MAX || count > most || !scan_report(scan, &body->list[count - 1], with_node))
            return false;
    body->count = count;
    json_scan_must(scan, '}');
    return !scan->failed;
}

bool report_body_read_quickly(struct report_body *body, const char *bytes, size_t length, bool many_nodes)
{
    struct json_scan scan = {.at = bytes}, inner = {.at = bytes};
    body->list = &body->one;
    body->count = 1;
    body->gaps_count = 0;
    body->told = NULL;
    body->document = NULL;
    json_scan_must(&inner, '{');
    struct json_piece first = json_scan_name(&inner);
    bool batch = IS(first, "reports");
    if (batch)
        scan = inner;
    bool good = batch ? scan_list(&scan, body, length, many_nodes)
                      : !many_nodes && scan_report(&scan, &body->one, false);
    if (good && json_scan_end(&scan, bytes + length))
        return true;
    report_body_free(body);
    return false;
}

bool report_body_read(struct report_body *body, const char *bytes, size_t length, bool many_nodes,
                      struct json_error *error)
{
    return report_body_read_quickly(body, bytes, length, many_nodes) ||
           report_body_read_slowly(body, bytes, length, many_nodes, error);
}
