#include "core/vocabulary.h"

#include "base/check.h"

#include <string.h>

enum { UP = 1, DOWN = 0 };
enum { LOCAL = 1, SHARED = 0 };
enum { SCHEDULER, MEMORY, SUPERVISOR, USERS, STORAGE, NETWORK, FILESYSTEM, TRAFFIC };

_Static_assert(METRIC_COUNT <= METRIC_CAPACITY, "the core's rows have no room for so many metrics");
_Static_assert(REMEDY_COUNT < 32, "masks of remedies are 32 bits wide");

#define X(symbol, name, short_name, unit, worse, witness, reach)                                             \
    {name, short_name, UNIT_##unit, worse == UP, witness, reach == LOCAL},
const struct metric_info metric_infos[METRIC_COUNT] = {METRIC_TABLE(X)};
#undef X

#define X(symbol, name, disruptive, sentence) {name, disruptive, sentence},
const struct remedy_info remedy_infos[REMEDY_COUNT] = {REMEDY_TABLE(X)};
#undef X

enum {
    SERVICE = FAULT_AT_SERVICE,
    SYNTHETIC = FAULT_AT_SYNTHETIC,
    PLANE = FAULT_AT_PLANE,
    ANYWHERE = FAULT_AT_ANYWHERE
};

#define X(symbol, name, metric, intensity, least, most, unit, cures, masks, places, sentence)                \
    {name, METRIC_##metric, intensity, least, most, UNIT_##unit, cures, masks, places, sentence},
const struct fault_info fault_infos[FAULT_COUNT] = {FAULT_TABLE(X)};
#undef X

#define X(symbol, name, sentence) {name, sentence},
const struct composed_info composed_infos[COMPOSED_FAULT_COUNT] = {COMPOSED_FAULT_TABLE(X)};
#undef X

static int word_of(const char *name, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(name, words[i]) == 0) {
            return (int)i;
        }
    }
    return -1;
}

/* The words of one table, and the word of an enumerator. */
#define WORDS(function, type, TABLE, COUNT)                                                                  \
    static const char *const function##_words[COUNT] = {TABLE(X)};                                           \
    const char *function##_name(enum type value)                                                             \
    {                                                                                                        \
        CHECK((unsigned)value < COUNT);                                                                      \
        return function##_words[value];                                                                      \
    }

/* The enumerator of a word. */
#define LOOK_UP(function, COUNT)                                                                             \
    int function##_of(const char *name)                                                                      \
    {                                                                                                        \
        return word_of(name, function##_words, COUNT);                                                       \
    }

#define X(symbol, name, ...) name,
WORDS(incident_state, incident_state, INCIDENT_STATE_TABLE, INCIDENT_STATE_COUNT)
WORDS(outcome, outcome, OUTCOME_TABLE, OUTCOME_COUNT)
WORDS(verdict, verdict, VERDICT_TABLE, VERDICT_COUNT)
WORDS(block_reason, block_reason, BLOCK_REASON_TABLE, BLOCK_REASON_COUNT)
WORDS(severity, severity, SEVERITY_TABLE, SEVERITY_COUNT)
WORDS(mode, mode, MODE_TABLE, MODE_COUNT)
WORDS(why, why, WHY_TABLE, WHY_COUNT)
WORDS(fault_kind, fault_kind, FAULT_TABLE, FAULT_COUNT)
WORDS(shape, shape, SHAPE_TABLE, SHAPE_COUNT)
static const char *const remedy_words[REMEDY_COUNT] = {REMEDY_TABLE(X)};
static const char *const metric_words[METRIC_COUNT] = {METRIC_TABLE(X)};
#undef X

const char *metric_name(enum metric metric)
{
    CHECK((unsigned)metric <= METRIC_NONE);
    return metric == METRIC_NONE ? "none" : metric_words[metric];
}

const char *remedy_name(enum remedy remedy)
{
    CHECK((unsigned)remedy <= REMEDY_NONE);
    return remedy == REMEDY_NONE ? "none" : remedy_words[remedy];
}

LOOK_UP(metric, METRIC_COUNT)
LOOK_UP(remedy, REMEDY_COUNT)
LOOK_UP(incident_state, INCIDENT_STATE_COUNT)
LOOK_UP(outcome, OUTCOME_COUNT)
LOOK_UP(verdict, VERDICT_COUNT)
LOOK_UP(block_reason, BLOCK_REASON_COUNT)
LOOK_UP(severity, SEVERITY_COUNT)
LOOK_UP(why, WHY_COUNT)
LOOK_UP(fault_kind, FAULT_COUNT)
LOOK_UP(shape, SHAPE_COUNT)

bool outcome_never_began(enum outcome outcome)
{
    return outcome == OUTCOME_REFUSED || outcome == OUTCOME_UNSUPPORTED || outcome == OUTCOME_EXPIRED;
}

const char *block_reason_sentence(enum block_reason reason)
{
#define X(symbol, name, sentence) sentence,
    static const char *const sentences[BLOCK_REASON_COUNT] = {BLOCK_REASON_TABLE(X)};
#undef X
    CHECK((unsigned)reason < BLOCK_REASON_COUNT);
    return sentences[reason];
}

const char *metric_unit_name(enum metric_unit unit)
{
    static const char *const names[] = {"", "ratio", "seconds", "bytes", "per_second", "count", "flag"};
    CHECK((unsigned)unit < COUNT_OF(names));
    return names[unit];
}

const char *const *metric_names(size_t *count)
{
    *count = METRIC_COUNT;
    return metric_words;
}

const char *const *remedy_names(size_t *count)
{
    *count = REMEDY_COUNT;
    return remedy_words;
}

const char *const *severity_names(size_t *count)
{
    *count = SEVERITY_COUNT;
    return severity_words;
}

const char *const *mode_names(size_t *count)
{
    *count = MODE_COUNT;
    return mode_words;
}

const char *const *fault_kind_names(size_t *count)
{
    *count = FAULT_COUNT;
    return fault_kind_words;
}

const char *const *shape_names(size_t *count)
{
    *count = SHAPE_COUNT;
    return shape_words;
}

const char *const *fault_kind_names_at(uint32_t places, const char *names[FAULT_COUNT], size_t *count)
{
    *count = 0;
    for (int kind = 0; kind < FAULT_COUNT; kind++) {
        if (fault_infos[kind].places & places) {
            names[(*count)++] = fault_kind_words[kind];
        }
    }
    return names;
}
