#include "store/shape.h"

#include "base/check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- words -------------------------------------------------------------------------------------------- */

static int word_of(const char *const *words, size_t count, const char *word)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(words[i], word) == 0)
            return (int)i;
    return -1;
}

static const char *const fault_states[] = {"asked", "active", "ended", "failed"};
static const char *const fault_effects[] = {"waiting", "seen", "none"};
static const char *const gap_reasons[] = {"spool_full", "damaged"};
static const char *const comparisons[] = {">", ">=", "<", "<="};

const char *fault_state_name(enum fault_state state)
{
    CHECK((size_t)state < COUNT_OF(fault_states));
    return fault_states[state];
}

const char *fault_effect_name(enum fault_effect effect)
{
    CHECK((size_t)effect < COUNT_OF(fault_effects));
    return fault_effects[effect];
}

int fault_state_of(const char *word)
{
    return word_of(fault_states, COUNT_OF(fault_states), word);
}

int fault_effect_of(const char *word)
{
    return word_of(fault_effects, COUNT_OF(fault_effects), word);
}

const char *gap_reason_name(enum gap_reason reason)
{
    CHECK((size_t)reason < COUNT_OF(gap_reasons));
    return gap_reasons[reason];
}

int gap_reason_of(const char *word)
{
    return word_of(gap_reasons, COUNT_OF(gap_reasons), word);
}

static const char *comparison_name(enum comparison comparison)
{
    CHECK((size_t)comparison < COUNT_OF(comparisons));
    return comparisons[comparison];
}

static int comparison_of(const char *word)
{
    return word_of(comparisons, COUNT_OF(comparisons), word);
}

static int remedy_or_none_of(const char *word)
{
    return strcmp(word, remedy_name(REMEDY_NONE)) == 0 ? (int)REMEDY_NONE : remedy_of(word);
}

#define WORDS(noun, enumeration, of)                                                                         \
    static const char *noun##_word(unsigned value)                                                           \
    {                                                                                                        \
        return noun##_name((enum enumeration)value);                                                         \
    }                                                                                                        \
    static const struct words noun##_words = {noun##_word, of};

WORDS(metric, metric, metric_of)
WORDS(comparison, comparison, comparison_of)
WORDS(remedy, remedy, remedy_or_none_of)
WORDS(incident_state, incident_state, incident_state_of)
WORDS(outcome, outcome, outcome_of)
WORDS(verdict, verdict, verdict_of)
WORDS(block_reason, block_reason, block_reason_of)
WORDS(severity, severity, severity_of)
WORDS(why, why, why_of)
WORDS(fault_kind, fault_kind, fault_kind_of)
WORDS(shape, shape, shape_of)
WORDS(fault_state, fault_state, fault_state_of)
WORDS(fault_effect, fault_effect, fault_effect_of)
WORDS(gap_reason, gap_reason, gap_reason_of)

/* --- shapes ------------------------------------------------------------------------------------------- */

#define MEMBER_SIZE(member) sizeof(((const struct ROW *)0)->member)
#define COLUMN(type, column, member)                                                                         \
    {                                                                                                        \
        column, offsetof(struct ROW, member), MEMBER_SIZE(member), NULL, type, USE_STORED                    \
    }
#define KEPT(type, column, member)                                                                           \
    {                                                                                                        \
        column, offsetof(struct ROW, member), MEMBER_SIZE(member), NULL, type, USE_KEPT                      \
    }
#define GREATEST(type, column, member)                                                                       \
    {                                                                                                        \
        column, offsetof(struct ROW, member), MEMBER_SIZE(member), NULL, type, USE_GREATEST                  \
    }
#define WORD(column, member, words)                                                                          \
    {                                                                                                        \
        column, offsetof(struct ROW, member), MEMBER_SIZE(member), &words, COLUMN_WORD, USE_STORED           \
    }
#define COMPUTED(type, expression, member)                                                                   \
    {                                                                                                        \
        expression, offsetof(struct ROW, member), MEMBER_SIZE(member), NULL, type, USE_COMPUTED              \
    }
#define SHAPE(noun, table, key)                                                                              \
    const struct row_shape noun##_shape = {table, key, noun##_columns, COUNT_OF(noun##_columns),             \
                                           sizeof(struct ROW)}

#define ROW node_row
static const struct column node_columns[] = {
    COLUMN(COLUMN_U32, "number", number),
    COLUMN(COLUMN_TEXT, "name", name),
    COLUMN(COLUMN_TEXT, "role", role),
    COLUMN(COLUMN_TEXT, "zone", zone),
    COLUMN(COLUMN_TEXT, "address", address),
    COLUMN(COLUMN_CALLS, "calls", calls),
    COLUMN(COLUMN_BOOT, "boot", boot),
    COLUMN(COLUMN_U64, "sequence", sequence),
    COLUMN(COLUMN_NS, "interval_ns", interval_ns),
    COLUMN(COLUMN_INSTANT, "seen_at", seen_at),
    COLUMN(COLUMN_BOOL, "gone", gone),
    COLUMN(COLUMN_BOOL, "synthetic", synthetic),
    COLUMN(COLUMN_BOOL, "program", program),
};
SHAPE(node, "nodes", "name");
#undef ROW

#define ROW incident
static const struct column incident_columns[] = {
    COLUMN(COLUMN_U64, "id", id),
    COLUMN(COLUMN_U32, "node", node),
    COLUMN(COLUMN_TEXT, "finding", detector_name),
    WORD("severity", severity, severity_words),
    WORD("state", state, incident_state_words),
    WORD("remedy", remedy, remedy_words),
    WORD("outcome", outcome, outcome_words),
    WORD("verdict", verdict, verdict_words),
    WORD("block", block, block_reason_words),
    WORD("why", why, why_words),
    COLUMN(COLUMN_INSTANT, "began_at", began_at),
    COLUMN(COLUMN_INSTANT, "opened_at", opened_at),
    COLUMN(COLUMN_INSTANT, "planned_at", planned_at),
    COLUMN(COLUMN_INSTANT, "acted_at", acted_at),
    COLUMN(COLUMN_INSTANT, "answer_by", answer_by),
    COLUMN(COLUMN_INSTANT, "ended_at", ended_at),
    COLUMN(COLUMN_INSTANT, "verify_from", verify_from),
    COLUMN(COLUMN_INSTANT, "verify_by", verify_by),
    COLUMN(COLUMN_INSTANT, "healthy_since", healthy_since),
    COLUMN(COLUMN_INSTANT, "closed_at", closed_at),
    COLUMN(COLUMN_INSTANT, "approved_until", approved_until),
    COLUMN(COLUMN_INSTANT, "hold_until", hold_until),
    COLUMN(COLUMN_INSTANT, "planner_by", planner_by),
    COLUMN(COLUMN_INSTANT, "blocked_at", blocked_at),
    COLUMN(COLUMN_INSTANT, "blocked_last_at", blocked_last_at),
    COLUMN(COLUMN_U32, "blocked_count", blocked_count),
    COLUMN(COLUMN_U64, "command", command),
    COLUMN(COLUMN_INDEX, "detector", detector),
    COLUMN(COLUMN_U32, "fresh_samples", fresh_samples),
    COLUMN(COLUMN_U32, "attempts", attempts),
    COLUMN(COLUMN_U32, "reopened", reopened),
    COLUMN(COLUMN_U32, "plan", plan),
    COLUMN(COLUMN_U8, "rung", rung),
    COLUMN(COLUMN_U8, "evidence_count", evidence_count),
    COLUMN(COLUMN_U8, "proposed", proposed),
    COLUMN(COLUMN_U8, "approved", approved),
    COLUMN(COLUMN_U8, "acknowledged", acknowledged),
    COLUMN(COLUMN_U8, "explained", explained),
    COLUMN(COLUMN_U8, "local_cause", local_cause),
};
SHAPE(incident, "incidents", "id");
#undef ROW

#define ROW evidence_row
static const struct column evidence_columns[] = {
    COLUMN(COLUMN_U64, "incident", incident),
    COLUMN(COLUMN_U8, "place", place),
    WORD("metric", evidence.condition.metric, metric_words),
    WORD("comparison", evidence.condition.comparison, comparison_words),
    COLUMN(COLUMN_REAL, "number", evidence.condition.number),
    COLUMN(COLUMN_U8, "rate", evidence.condition.rate),
    COLUMN(COLUMN_REAL, "before", evidence.before),
    COLUMN(COLUMN_REAL, "after", evidence.after),
};
SHAPE(evidence, "evidence", "incident, place");
#undef ROW

#define ROW timeline_row
static const struct column timeline_columns[] = {
    COLUMN(COLUMN_U64, "incident", incident), COLUMN(COLUMN_INSTANT, "at", at),
    COLUMN(COLUMN_TEXT, "step", step),        COLUMN(COLUMN_TEXT, "state", state),
    WORD("remedy", remedy, remedy_words),     WORD("verdict", verdict, verdict_words),
    COLUMN(COLUMN_TEXT, "text", text),
};
SHAPE(timeline, "timeline", NULL);
#undef ROW

#define ROW command_row
static const struct column command_columns[] = {
    COLUMN(COLUMN_U64, "id", command.id),
    COLUMN(COLUMN_U64, "epoch", command.epoch),
    COLUMN(COLUMN_U64, "incident", command.incident),
    COLUMN(COLUMN_U32, "node", command.node),
    COLUMN(COLUMN_BOOT, "boot", command.boot),
    WORD("remedy", command.remedy, remedy_words),
    COLUMN(COLUMN_U32, "attempt", command.attempt),
    COLUMN(COLUMN_INSTANT, "ordered_at", command.ordered_at),
    COLUMN(COLUMN_INSTANT, "expires_at", command.expires_at),
    COLUMN(COLUMN_INSTANT, "answer_by", command.answer_by),
    COLUMN(COLUMN_INSTANT, "ended_at", command.ended_at),
    WORD("outcome", command.outcome, outcome_words),
    COLUMN(COLUMN_U64, "rule", command.rule),
    COLUMN(COLUMN_U64, "meaning", command.meaning),
    COLUMN(COLUMN_U8, "by_person", command.by_person),
    COLUMN(COLUMN_REAL, "took_s", took_s),
    COLUMN(COLUMN_TEXT, "detail", detail),
};
SHAPE(command, "commands", "id");
#undef ROW

#define ROW block_row
static const struct column block_columns[] = {
    COLUMN(COLUMN_U64, "incident", incident),
    WORD("reason", reason, block_reason_words),
    KEPT(COLUMN_U32, "node", node),
    WORD("remedy", remedy, remedy_words),
    KEPT(COLUMN_INSTANT, "first_at", first_at),
    COLUMN(COLUMN_INSTANT, "last_at", last_at),
    COLUMN(COLUMN_U64, "count", count),
    COMPUTED(COLUMN_TEXT, "(SELECT finding FROM incidents WHERE id = incident)", finding),
};
SHAPE(block, "blocked", "incident, reason");
#undef ROW

#define ROW target_row
static const struct column target_columns[] = {
    COLUMN(COLUMN_U32, "node", node),
    COLUMN(COLUMN_INSTANT, "ended_at", target.ended_at),
    COLUMN(COLUMN_INSTANT, "trouble_at", target.trouble_at),
    COLUMN(COLUMN_INSTANT, "maintained_until", target.maintained_until),
    COLUMN(COLUMN_CHANGES, "changes", target),
    COLUMN(COLUMN_U32, "streak", target.streak),
    COLUMN(COLUMN_U8, "flapping", target.flapping),
};
SHAPE(target, "targets", "node");
#undef ROW

#define ROW fault_row
static const struct column fault_columns[] = {
    COLUMN(COLUMN_U64, "id", id),
    COLUMN(COLUMN_U32, "node", node),
    WORD("kind", kind, fault_kind_words),
    WORD("state", state, fault_state_words),
    WORD("effect", effect, fault_effect_words),
    WORD("removal", removal, fault_effect_words),
    COLUMN(COLUMN_REAL, "intensity", intensity),
    WORD("shape", shape, shape_words),
    COLUMN(COLUMN_NS, "period_ns", period_ns),
    COLUMN(COLUMN_REAL, "before", before),
    COLUMN(COLUMN_REAL, "after", after),
    COLUMN(COLUMN_REAL, "restored", restored),
    COLUMN(COLUMN_NS, "lease_ns", lease_ns),
    COLUMN(COLUMN_INSTANT, "asked_at", asked_at),
    COLUMN(COLUMN_INSTANT, "injected_at", injected_at),
    COLUMN(COLUMN_INSTANT, "ended_at", ended_at),
    COLUMN(COLUMN_TEXT, "reason", reason),
};
SHAPE(fault, "faults", "id");
#undef ROW

#define ROW gap_row
static const struct column gap_columns[] = {
    COLUMN(COLUMN_U32, "node", node),         COLUMN(COLUMN_BOOT, "boot", boot),
    COLUMN(COLUMN_U64, "first", first),       GREATEST(COLUMN_U64, "last", last),
    WORD("reason", reason, gap_reason_words), KEPT(COLUMN_INSTANT, "at", at),
};
SHAPE(gap, "gaps", "node, boot, first");
#undef ROW

#define ROW control_row
static const struct column control_columns[] = {
    {"id", 0, 0, NULL, COLUMN_ONE, USE_STORED},
    COLUMN(COLUMN_U64, "epoch", control.epoch),
    COLUMN(COLUMN_U64, "next_incident", control.next_incident),
    COLUMN(COLUMN_U64, "next_command", control.next_command),
    COLUMN(COLUMN_U32, "forgiven", control.forgiven),
    COLUMN(COLUMN_U8, "paused", control.paused),
    COLUMN(COLUMN_U8, "breaker_open", control.breaker_open),
    COLUMN(COLUMN_INSTANT, "at", at),
};
SHAPE(control, "control", "id");
#undef ROW

/* --- SQL ---------------------------------------------------------------------------------------------- */

void shape_insert_sql(const struct row_shape *shape, struct text *sql)
{
    unsigned parameters = 0;
    text_addf(sql, "INSERT INTO %s (", shape->table);
    for (unsigned i = 0; i < shape->count; i++)
        if (shape->columns[i].use != USE_COMPUTED)
            text_addf(sql, "%s%s", parameters++ ? ", " : "", shape->columns[i].name);
    for (unsigned i = 1; i <= parameters; i++)
        text_addf(sql, "%s$%u", i == 1 ? ") VALUES (" : ", ", i);
    text_add(sql, ")");
    if (!shape->key)
        return;
    text_addf(sql, " ON CONFLICT (%s) DO UPDATE SET ", shape->key);
    bool first = true;
    for (unsigned i = 0; i < shape->count; i++) {
        const struct column *column = &shape->columns[i];
        bool greatest = column->use == USE_GREATEST;
        if ((!greatest && column->use != USE_STORED) || strcmp(column->name, shape->key) == 0)
            continue;
        text_addf(sql, "%s%s = ", first ? "" : ", ", column->name);
        if (greatest)
            text_addf(sql, "CASE WHEN excluded.%s > %s.%s THEN excluded.%s ELSE %s.%s END", column->name,
                      shape->table, column->name, column->name, shape->table, column->name);
        else
            text_addf(sql, "excluded.%s", column->name);
        first = false;
    }
}

void shape_select_sql(const struct row_shape *shape, struct text *sql)
{
    for (unsigned i = 0; i < shape->count; i++)
        text_addf(sql, "%s%s", i == 0 ? "SELECT " : ", ", shape->columns[i].name);
    text_addf(sql, " FROM %s", shape->table);
}

/* --- writing ------------------------------------------------------------------------------------------ */

void boot_text(char *out, uint64_t boot)
{
    for (int digit = 15; digit >= 0; digit--, boot >>= 4)
        out[digit] = "0123456789abcdef"[boot & 15];
    out[16] = '\0';
}

/* A text that stands in no member is written behind the others in `scratch`, with its NUL. */
static struct value written(struct text *scratch, size_t from)
{
    struct value value = value_text(scratch->bytes + from, scratch->length - from);
    CHECK(!scratch->cut && scratch->length + 1 < scratch->capacity);
    scratch->length++;
    return value;
}

static struct value value_of_calls(const struct node_row *row, struct text *scratch)
{
    size_t from = scratch->length;
    CHECK(row->calls_count <= CALLS_MAX);
    for (uint32_t i = 0; i < row->calls_count; i++)
        text_addf(scratch, "%s%s", i ? " " : "", row->calls[i]);
    return written(scratch, from);
}

static struct value value_of_changes(const struct target *target, struct text *scratch)
{
    size_t from = scratch->length;
    for (uint32_t i = 0; i < CHANGES_MAX; i++) {
        instant changed_at = target->changed_at[(target->change_next + i) % CHANGES_MAX];
        if (changed_at != INSTANT_NONE)
            text_addf(scratch, "%s%lld", scratch->length > from ? " " : "", (long long)changed_at);
    }
    return written(scratch, from);
}

static struct value value_of_boot(const unsigned char *member, struct text *scratch)
{
    uint64_t boot;
    char hex[17];
    size_t from = scratch->length;
    memcpy(&boot, member, sizeof boot);
    boot_text(hex, boot);
    text_add(scratch, hex);
    return written(scratch, from);
}

/* All whole numbers; the member may stand anywhere, so it is copied by its size. */
static struct value value_of_whole(const struct column *column, const unsigned char *member)
{
    uint64_t wide = 0;
    uint32_t half = 0;
    if (column->size == sizeof wide)
        memcpy(&wide, member, sizeof wide);
    else if (column->size == sizeof half)
        memcpy(&half, member, sizeof half);
    else
        CHECK(column->size == 1);
    int64_t value = column->size == sizeof wide   ? (int64_t)wide
                    : column->size == sizeof half ? (int64_t)half
                                                  : *member;
    if ((column->type == COLUMN_INSTANT && value == INSTANT_NONE) ||
        (column->type == COLUMN_INDEX && half == NO_INDEX))
        return value_null();
    return value_integer(value);
}

static struct value value_of(const struct column *column, const unsigned char *row, struct text *scratch)
{
    const unsigned char *member = row + column->offset;
    const char *word;
    double real;
    switch (column->type) {
    case COLUMN_REAL:
        memcpy(&real, member, sizeof real);
        return isnan(real) ? value_null() : value_real(real);
    case COLUMN_TEXT:
        return value_text((const char *)member, strnlen((const char *)member, column->size));
    case COLUMN_BOOT:
        return value_of_boot(member, scratch);
    case COLUMN_WORD:
        word = column->words->name(*member);
        return value_text(word, strlen(word));
    case COLUMN_CALLS:
        return value_of_calls((const struct node_row *)(const void *)row, scratch);
    case COLUMN_CHANGES:
        return value_of_changes(&((const struct target_row *)(const void *)row)->target, scratch);
    case COLUMN_ONE:
        return value_integer(1);
    case COLUMN_U64:
    case COLUMN_U32:
    case COLUMN_INDEX:
    case COLUMN_U8:
    case COLUMN_BOOL:
    case COLUMN_INSTANT:
    case COLUMN_NS:
        break;
    }
    return value_of_whole(column, member);
}

unsigned shape_write(const struct row_shape *shape, const void *row, struct value *values,
                     struct text *scratch)
{
    unsigned count = 0;
    CHECK(shape->count <= VALUES_MAX);
    for (unsigned i = 0; i < shape->count; i++)
        if (shape->columns[i].use != USE_COMPUTED)
            values[count++] = value_of(&shape->columns[i], row, scratch);
    return count;
}

enum value_type shape_type(const struct column *column)
{
    switch (column->type) {
    case COLUMN_REAL:
        return VALUE_REAL;
    case COLUMN_TEXT:
    case COLUMN_BOOT:
    case COLUMN_WORD:
    case COLUMN_CALLS:
    case COLUMN_CHANGES:
        return VALUE_TEXT;
    case COLUMN_U64:
    case COLUMN_U32:
    case COLUMN_INDEX:
    case COLUMN_U8:
    case COLUMN_BOOL:
    case COLUMN_INSTANT:
    case COLUMN_NS:
    case COLUMN_ONE:
        break;
    }
    return VALUE_INTEGER;
}

/* --- reading ------------------------------------------------------------------------------------------ */

bool boot_parse(const char *text, uint64_t *out)
{
    *out = 0;
    if (strlen(text) != 16)
        return false;
    for (; *text; text++) {
        const char *digit = strchr("0123456789abcdef", *text);
        if (!digit)
            return false;
        *out = *out << 4 | (uint64_t)(digit - "0123456789abcdef");
    }
    return true;
}

static bool read_calls(const char *text, struct node_row *row)
{
    while (*text) {
        size_t length = strcspn(text, " ");
        if (row->calls_count == CALLS_MAX || length >= NODE_NAME_SIZE)
            return false;
        memcpy(row->calls[row->calls_count++], text, length);
        text += length + (text[length] == ' ');
    }
    return true;
}

static bool read_changes(const char *text, struct target *target)
{
    target->change_next = 0;
    for (uint32_t i = 0; i < CHANGES_MAX; i++)
        target->changed_at[i] = INSTANT_NONE;
    while (*text) {
        char *end;
        long long changed_at = strtoll(text, &end, 10);
        if (end == text || target->change_next == CHANGES_MAX)
            return false;
        target->changed_at[target->change_next++] = changed_at;
        text = end + (*end == ' ');
    }
    target->change_next %= CHANGES_MAX;
    return true;
}

static bool read_whole(const struct value *from, const struct column *column, unsigned char *member)
{
    bool null = from->type == VALUE_NULL;
    int64_t value = from->integer;
    if (!null && from->type != VALUE_INTEGER)
        return false;
    if (column->size == sizeof(uint64_t)) {
        if (null && column->type == COLUMN_INSTANT)
            value = INSTANT_NONE;
        memcpy(member, &value, sizeof value);
        return true;
    }
    if (null && column->type == COLUMN_INDEX)
        value = NO_INDEX;
    if (column->size == sizeof(uint32_t)) {
        uint32_t half = (uint32_t)value;
        memcpy(member, &half, sizeof half);
        return value >= 0 && value <= UINT32_MAX;
    }
    *member = (unsigned char)value;
    return value >= 0 && value <= (column->type == COLUMN_BOOL ? 1 : UINT8_MAX);
}

static bool read_text(const char *text, const struct column *column, unsigned char *row)
{
    unsigned char *member = row + column->offset;
    if (column->type == COLUMN_TEXT)
        return text_copy((char *)member, column->size, text);
    if (column->type == COLUMN_CHANGES)
        return read_changes(text, &((struct target_row *)(void *)row)->target);
    if (column->type == COLUMN_CALLS)
        return read_calls(text, (struct node_row *)(void *)row);
    if (column->type == COLUMN_BOOT) {
        uint64_t boot;
        bool good = boot_parse(text, &boot);
        memcpy(member, &boot, sizeof boot);
        return good;
    }
    int value = column->words->value(text);
    *member = (unsigned char)value;
    return value >= 0;
}

static bool read_real(const struct value *from, unsigned char *member)
{
    double real = from->type == VALUE_NULL      ? (double)NAN
                  : from->type == VALUE_INTEGER ? (double)from->integer
                                                : from->real;
    memcpy(member, &real, sizeof real);
    return from->type != VALUE_TEXT;
}

static bool read_column(const struct value *from, const struct column *column, unsigned char *row)
{
    if (column->type == COLUMN_ONE)
        return true;
    switch (shape_type(column)) {
    case VALUE_REAL:
        return read_real(from, row + column->offset);
    case VALUE_TEXT:
        return (from->type == VALUE_TEXT || from->type == VALUE_NULL) &&
               read_text(from->type == VALUE_TEXT ? from->text : "", column, row);
    case VALUE_INTEGER:
    case VALUE_NULL:
        break;
    }
    return read_whole(from, column, row + column->offset);
}

const char *shape_read(const struct row_shape *shape, const struct value *values, void *row)
{
    memset(row, 0, shape->row_size);
    for (unsigned i = 0; i < shape->count; i++)
        if (!read_column(&values[i], &shape->columns[i], row))
            return shape->columns[i].name;
    return NULL;
}
