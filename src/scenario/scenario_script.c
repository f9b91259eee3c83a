#include "base/check.h"
#include "core/fault.h"
#include "policy/fields.h"
#include "policy/quantity.h"
#include "scenario/scenario_reader.h"

#include <stdlib.h>
#include <string.h>

static const duration period_default_ns = 20 * SECOND;
static const duration period_least_ns = SECOND;
static const duration crash_default_ns = SECOND; /* until a new process is up */

#define X(symbol, name) (name),
static const char *const shape_words[] = {SHAPE_TABLE(X)};
static const char *const accident_words[] = {ACCIDENT_TABLE(X)};
static const char *const verdict_words[] = {VERDICT_TABLE(X)};
#undef X
#define X(symbol, name, sentence) (name),
static const char *const block_words[] = {BLOCK_REASON_TABLE(X)};
#undef X

/* --- instants ------------------------------------------------------------------------------------------- */

/* `at`, which must be there and before the end of the run. */
static bool read_at(struct scenario_reader *reader, const struct yaml_node *map, instant *out)
{
    const struct yaml_node *at = yaml_tree_entry(map, "at");
    duration d = 0;
    if (at == NULL) {
        complain(reader->complaints, map->at, "when? \"at: 30s\", counted from the start");
        return false;
    }
    if (!field_duration(at, 0, &d, reader->complaints)) {
        return false;
    }
    if (d >= reader->scenario->length_ns) {
        char bytes[32];
        struct text end = text_over(bytes, sizeof bytes);
        quantity_write_duration(&end, reader->scenario->length_ns);
        complain(reader->complaints, at->at, "at: %s is after the end of the run; its duration is %s",
                 at->text, bytes);
        return false;
    }
    *out = d;
    return true;
}

static void note_beyond_end(struct scenario_reader *reader, const struct yaml_node *node, instant until_at)
{
    if (node != NULL && until_at > reader->scenario->length_ns) {
        char bytes[32];
        struct text end = text_over(bytes, sizeof bytes);
        quantity_write_duration(&end, reader->scenario->length_ns);
        complain_note(reader->complaints, node->at,
                      "%s: %s goes beyond the end of the run at %s, where all faults end", node->key,
                      node->text, bytes);
    }
}

/* A word that must be there: its number among `words`. */
static bool read_word(struct scenario_reader *reader, const struct yaml_node *map, const char *key,
                      const char *kind, const char *const *words, size_t count, uint8_t *out)
{
    const struct yaml_node *node = yaml_tree_entry(map, key);
    if (node == NULL) {
        complain(reader->complaints, map->at, "what? \"%s: %s\"", key, words[0]);
        return false;
    }
    return field_word(node, kind, words, count, out, reader->complaints);
}

/* --- faults --------------------------------------------------------------------------------------------- */

static bool has_period(uint8_t shape)
{
    return shape == SHAPE_SPIKE || shape == SHAPE_SAWTOOTH || shape == SHAPE_FLAPPING;
}

/* A fault with nothing to be more or less of is there or not. */
static bool shape_fits(const struct fault_info *info, uint8_t shape)
{
    return info->unit != UNIT_NONE || shape == SHAPE_STEP || shape == SHAPE_SPIKE || shape == SHAPE_FLAPPING;
}

static void read_shape(struct scenario_reader *reader, const struct yaml_node *map,
                       const struct fault_info *info, struct world_fault *fault)
{
    struct complaints *complaints = reader->complaints;
    const struct yaml_node *shape = yaml_tree_entry(map, "shape"), *period = yaml_tree_entry(map, "period");
    if (!field_word(shape, "shape", shape_words, COUNT_OF(shape_words), &fault->shape, complaints)) {
        return;
    }
    if (!shape_fits(info, fault->shape)) {
        complain(complaints, shape->at, "shape: a %s is there or it is not; step, spike or flapping",
                 info->name);
    } else if (fault->shape == SHAPE_GRAY &&
               !fault_shape_fits((enum fault_kind)fault->kind, SHAPE_GRAY, INSTANT_NEVER, 0)) {
        complain(complaints, shape->at, "shape: there is no %s that nobody sees; leave gray out", info->name);
    }
    if (fault->shape == SHAPE_RAMP && fault->until_at == INSTANT_NEVER) {
        complain(complaints, shape->at, "shape: a ramp needs an end to rise towards; add \"for: 60s\"");
    }
    if (!has_period(fault->shape) && period != NULL) {
        complain(complaints, period->key_at, "period belongs to the shapes spike, sawtooth and flapping");
    } else if (has_period(fault->shape)) {
        fault->period_ns = period_default_ns;
        field_duration_upto(period, period_least_ns, HOUR, &fault->period_ns, complaints);
    }
}

static void read_intensity(struct scenario_reader *reader, const struct yaml_node *node,
                           const struct fault_info *info, double *intensity)
{
    *intensity = info->intensity;
    if (node != NULL && info->unit == UNIT_NONE) {
        complain(reader->complaints, node->key_at, "a %s has no intensity; leave it out", info->name);
        return;
    }
    scenario_read_amount(node, (struct scale_of){info->unit, info->least, info->most, info->name}, intensity,
                         reader->complaints);
}

static void read_spread(struct scenario_reader *reader, const struct yaml_node *node,
                        struct scenario_fault *fault)
{
    const struct scenario *scenario = reader->scenario;
    if (!field_duration(node, 0, &fault->spread_ns, reader->complaints)) {
        return;
    }
    if (fault->spread_ns > scenario->length_ns - fault->fault.from_at) {
        complain(reader->complaints, node->at,
                 "spread: the last nodes would be struck after the end of the run");
    }
}

/* What to write instead of a fault that synthetic nodes cannot have. */
static const char *mend_of(enum fault_kind kind)
{
    return kind == FAULT_CONTROL_PLANE_STALL
               ? "; write an accident instead: {at: 30s, what: suspend_control_plane, for: 60s}"
           : kind == FAULT_RETRY_STORM
               ? "; an overload that ends does it, with \"retries\" under load (scenarios/retry-storm.yaml)"
               : "";
}

bool scenario_check_kind(const struct yaml_node *node, enum fault_kind kind, uint32_t places,
                         struct complaints *complaints)
{
    if ((fault_infos[kind].places & places) != 0) {
        return true;
    }
    bool nowhere = (fault_infos[kind].places & FAULT_AT_ANYWHERE) == 0;
    complain(complaints, node->at, "%s is %s%s", fault_kind_name(kind),
             nowhere ? "no fault of a node" : "for the live lab alone", mend_of(kind));
    return false;
}

int scenario_check_synthetic(const struct scenario *scenario, struct complaints *complaints)
{
    for (uint32_t i = 0; i < scenario->fault_count; i++) {
        enum fault_kind kind = (enum fault_kind)scenario->faults[i].fault.kind;
        if (!fault_is_synthetic(kind)) {
            complain(complaints, (struct place){(int)scenario->faults[i].line, 1},
                     "%s is for the live lab alone%s", fault_kind_name(kind), mend_of(kind));
            return SCENARIO_REFUSED;
        }
    }
    return 0;
}

static void read_fault(struct scenario_reader *reader, const struct yaml_node *map)
{
    struct scenario *scenario = reader->scenario;
    struct complaints *complaints = reader->complaints;
    if (scenario->fault_count == SCENARIO_FAULTS_MAX) {
        complain(complaints, map->at, "more than %d faults", SCENARIO_FAULTS_MAX);
        return;
    }
    if (!field_map(map, &scenario_keys[SCENARIO_MAP_FAULT], complaints)) {
        return;
    }
    uint32_t errors = complaints->errors;
    struct scenario_fault read;
    memset(&read, 0, sizeof read);
    size_t kinds;
    const char *const *kind_words = fault_kind_names(&kinds);
    const struct yaml_node *length = yaml_tree_entry(map, "for"), *on = yaml_tree_entry(map, "on");
    bool has_at = read_at(reader, map, &read.fault.from_at);
    bool has_kind = read_word(reader, map, "kind", "fault", kind_words, kinds, &read.fault.kind) &&
                    scenario_check_kind(yaml_tree_entry(map, "kind"), (enum fault_kind)read.fault.kind,
                                        FAULT_AT_ANYWHERE, complaints);
    if (on == NULL) {
        complain(complaints, map->at, "where? \"on: web-1\", \"on: role:web\" or \"on: zone:a\"");
    }
    scenario_read_target(reader, on, &read.on);
    duration length_ns = 0;
    bool has_length = field_duration(length, MILLISECOND, &length_ns, complaints) && length != NULL;
    read.fault.until_at = has_length ? read.fault.from_at + length_ns : INSTANT_NEVER;
    if (has_kind) {
        const struct fault_info *info = &fault_infos[read.fault.kind];
        read_intensity(reader, yaml_tree_entry(map, "intensity"), info, &read.fault.intensity);
        read_shape(reader, map, info, &read.fault);
    }
    if (has_at) {
        read_spread(reader, yaml_tree_entry(map, "spread"), &read);
    }
    if (complaints->errors == errors) {
        note_beyond_end(reader, length, has_length ? read.fault.until_at : 0);
        read.line = (uint32_t)map->at.line;
        reader->faults[scenario->fault_count] = map;
        scenario->faults[scenario->fault_count++] = read;
    }
}

void scenario_read_faults(struct scenario_reader *reader, const struct yaml_node *list)
{
    for (const struct yaml_node *fault = list->first; fault != NULL; fault = fault->next) {
        read_fault(reader, fault);
    }
}

/* --- accidents ------------------------------------------------------------------------------------------ */

enum may { NO, MAY, MUST };

/* What stands with each accident. */
static const struct {
    enum may on, length, file;
    duration length_ns; /* default */
} accident_rules[ACCIDENT_COUNT] = {
    [ACCIDENT_CRASH_PLANE] = {.length = MAY, .length_ns = crash_default_ns},
    [ACCIDENT_SUSPEND_PLANE] = {.length = MUST},
    [ACCIDENT_SECOND_PLANE] = {.on = NO},
    [ACCIDENT_CRASH_AGENT] = {.on = MUST, .length = MAY, .length_ns = crash_default_ns},
    [ACCIDENT_SUSPEND_AGENT] = {.on = MUST, .length = MUST},
    [ACCIDENT_LEAVE] = {.on = MUST, .length = MAY},
    [ACCIDENT_PAUSE] = {.length = MAY},
    [ACCIDENT_MAINTAIN] = {.on = MUST, .length = MUST},
    [ACCIDENT_RESET] = {.on = NO},
    [ACCIDENT_APPROVE] = {.on = NO},
    [ACCIDENT_POLICY] = {.file = MUST},
};

/* Complains about a key that is missing or has no business here. */
static void check_may(struct scenario_reader *reader, const struct yaml_node *map, const char *key,
                      const char *example, enum may may, const char *name)
{
    const struct yaml_node *node = yaml_tree_entry(map, key);
    if (may == MUST && node == NULL) {
        complain(reader->complaints, map->at, "%s needs \"%s\", as in \"%s\"", name, key, example);
    } else if (may == NO && node != NULL) {
        complain(reader->complaints, node->key_at, "%s takes no \"%s\"; leave it out", name, key);
    }
}

static void read_accident_file(struct scenario_reader *reader, const struct yaml_node *node, char *path)
{
    if (node != NULL && scenario_read_path(reader, node, path)) {
        free(scenario_load_policy(reader, node, path));
    }
}

static void read_accident(struct scenario_reader *reader, const struct yaml_node *map)
{
    struct scenario *scenario = reader->scenario;
    struct complaints *complaints = reader->complaints;
    if (scenario->accident_count == SCENARIO_ACCIDENTS_MAX) {
        complain(complaints, map->at, "more than %d accidents", SCENARIO_ACCIDENTS_MAX);
        return;
    }
    if (!field_map(map, &scenario_keys[SCENARIO_MAP_ACCIDENT], complaints)) {
        return;
    }
    struct scenario_accident *accident = &scenario->accidents[scenario->accident_count];
    accident->line = (uint32_t)map->at.line;
    bool has_at = read_at(reader, map, &accident->at);
    if (!read_word(reader, map, "what", "accident", accident_words, ACCIDENT_COUNT, &accident->kind)) {
        return;
    }
    const char *name = accident_words[accident->kind];
    const struct yaml_node *length = yaml_tree_entry(map, "for");
    check_may(reader, map, "on", "on: web-1", accident_rules[accident->kind].on, name);
    check_may(reader, map, "for", "for: 10s", accident_rules[accident->kind].length, name);
    check_may(reader, map, "file", "file: ../policies/default.yaml", accident_rules[accident->kind].file,
              name);
    accident->length_ns = accident_rules[accident->kind].length_ns;
    field_duration_upto(length, MILLISECOND, MAINTAIN_MAX_NS, &accident->length_ns, complaints);
    scenario_read_target(reader, yaml_tree_entry(map, "on"), &accident->on);
    read_accident_file(reader, yaml_tree_entry(map, "file"), accident->path);
    if (has_at) {
        note_beyond_end(reader, length, accident->at + accident->length_ns);
        scenario->accident_count++;
    }
}

void scenario_read_accidents(struct scenario_reader *reader, const struct yaml_node *list)
{
    for (const struct yaml_node *accident = list->first; accident != NULL; accident = accident->next) {
        read_accident(reader, accident);
    }
}

/* --- expectations --------------------------------------------------------------------------------------- */

/* The finding must be one of the policy, if that could be read. */
static void read_finding(struct scenario_reader *reader, const struct yaml_node *node,
                         char out[DETECTOR_NAME_SIZE])
{
    if (!field_name(node, out, DETECTOR_NAME_SIZE, reader->complaints) || reader->policy == NULL) {
        return;
    }
    const char *names[DETECTOR_MAX];
    size_t count = 0;
    for (uint32_t i = 0; i < DETECTOR_MAX; i++) {
        const char *name = reader->policy->detectors[i].name;
        if (strcmp(name, out) == 0) {
            return;
        }
        if (name[0] != '\0') {
            names[count++] = name;
        }
    }
    complain_unknown(reader->complaints, node->at, "finding", out, names, count);
}

/* A word of a table whose first row means "not said". */
static void read_said(const struct yaml_node *node, const char *kind, const char *const *words, size_t count,
                      uint8_t *out, struct complaints *complaints)
{
    uint8_t word;
    if (node != NULL && field_word(node, kind, words + 1, count - 1, &word, complaints)) {
        *out = (uint8_t)(word + 1);
    }
}

static void read_untouched(struct scenario_reader *reader, const struct yaml_node *map,
                           struct scenario_expect *expect)
{
    const struct yaml_node *node = yaml_tree_entry(map, "untouched");
    for (const struct yaml_node *entry = map->first; entry != NULL; entry = entry->next) {
        if (entry != node) {
            complain(reader->complaints, entry->key_at, "%s does not go with untouched; make two lines of it",
                     entry->key);
            return;
        }
    }
    expect->untouched = 1;
    if (scenario_read_target(reader, node, &expect->on) && expect->on.some > 0) {
        complain(reader->complaints, node->at, "untouched: which of them? leave \"%u of\" out",
                 expect->on.some);
    }
}

static void read_incident(struct scenario_reader *reader, const struct yaml_node *map,
                          struct scenario_expect *expect)
{
    struct complaints *complaints = reader->complaints;
    const struct yaml_node *verdict = yaml_tree_entry(map, "verdict"),
                           *block = yaml_tree_entry(map, "blocked");
    size_t remedies;
    const char *const *remedy_words = remedy_names(&remedies);
    read_finding(reader, yaml_tree_entry(map, "finding"), expect->finding);
    scenario_read_target(reader, yaml_tree_entry(map, "on"), &expect->on);
    field_word(yaml_tree_entry(map, "remedy"), "remedy", remedy_words, remedies, &expect->remedy, complaints);
    read_said(verdict, "verdict", verdict_words, VERDICT_COUNT, &expect->verdict, complaints);
    read_said(block, "block reason", block_words, BLOCK_REASON_COUNT, &expect->block, complaints);
    field_duration(yaml_tree_entry(map, "within"), MILLISECOND, &expect->within_ns, complaints);
    bool pages = expect->remedy != REMEDY_NONE && !remedy_infos[expect->remedy].disruptive;
    if (pages && (expect->verdict != VERDICT_NONE || expect->block != BLOCK_NONE)) {
        complain(complaints, verdict != NULL ? verdict->key_at : block->key_at,
                 "%s acts on no node: it has no verdict, and nothing blocks it", remedy_name(expect->remedy));
    }
}

static void read_expect(struct scenario_reader *reader, const struct yaml_node *map)
{
    struct scenario *scenario = reader->scenario;
    if (scenario->expect_count == SCENARIO_EXPECT_MAX) {
        complain(reader->complaints, map->at, "more than %d expectations", SCENARIO_EXPECT_MAX);
        return;
    }
    if (!field_map(map, &scenario_keys[SCENARIO_MAP_EXPECT], reader->complaints)) {
        return;
    }
    struct scenario_expect *expect = &scenario->expects[scenario->expect_count++];
    expect->remedy = REMEDY_NONE;
    expect->verdict = VERDICT_NONE;
    expect->block = BLOCK_NONE;
    if (yaml_tree_entry(map, "untouched") != NULL) {
        read_untouched(reader, map, expect);
    } else if (yaml_tree_entry(map, "finding") != NULL) {
        read_incident(reader, map, expect);
    } else {
        complain(reader->complaints, map->at,
                 "what is expected? \"finding: cpu-high\" on some node, or \"untouched: web-*\"");
    }
}

void scenario_read_expects(struct scenario_reader *reader, const struct yaml_node *list)
{
    for (const struct yaml_node *expect = list->first; expect != NULL; expect = expect->next) {
        read_expect(reader, expect);
    }
}
