#include "policy/test_items.h"

#include "base/check.h"
#include "policy/fields.h"

#include <stdlib.h>
#include <string.h>

static const duration answer_default_ns = SECOND;

/* `at`, which must be there. */
static void read_at(struct test_reader *reader, const struct yaml_node *map, duration *at)
{
    const struct yaml_node *node = yaml_tree_entry(map, "at");
    if (node == NULL) {
        complain(reader->complaints, map->at, "when? \"at: 9s\" after the beginning of the case");
    }
    field_duration(node, 0, at, reader->complaints);
    reader->last_ns = *at > reader->last_ns ? *at : reader->last_ns;
}

/* A word of a table, or "none" for `none` if there is such a value (0 .. 254). TEST_ANY if it was left out.
 */
static void read_word(struct test_reader *reader, const struct yaml_node *map, const char *key,
                      const char *(*name_of)(unsigned number), unsigned count, int none, uint8_t *out)
{
    const char *words[32];
    uint8_t number = TEST_ANY;
    *out = TEST_ANY;
    CHECK(count + 1 < COUNT_OF(words));
    for (unsigned i = 0; i < count; i++) {
        words[i] = name_of(i);
    }
    if (none >= 0) {
        words[count] = "none";
    }
    if (yaml_tree_entry(map, key) != NULL &&
        field_word(yaml_tree_entry(map, key), key, words, count + (none >= 0), &number, reader->complaints)) {
        *out = none >= 0 && number == count ? (uint8_t)none : number;
    }
}

#define WORDS_OF(kind, type)                                                                                 \
    static const char *kind##_word(unsigned number)                                                          \
    {                                                                                                        \
        return kind##_name((enum type)number);                                                               \
    }
WORDS_OF(remedy, remedy)
WORDS_OF(outcome, outcome)
WORDS_OF(verdict, verdict)
WORDS_OF(incident_state, incident_state)
WORDS_OF(block_reason, block_reason)
WORDS_OF(health, health)

static const char *operator_word(unsigned number)
{
#define X(symbol, name) name,
    static const char *const names[] = {OPERATOR_WORD_TABLE(X)};
#undef X
    return names[number];
}

/* Room for one more, or NULL with a complaint. */
static bool has_room(struct test_reader *reader, uint32_t count, const struct yaml_node *node)
{
    if (count == TEST_ITEMS_MAX) {
        complain(reader->complaints, node->at, "more than %d in one list of a case", TEST_ITEMS_MAX);
    }
    return count < TEST_ITEMS_MAX;
}

/* --- outcomes ------------------------------------------------------------------------------------------- */

static void read_outcome(struct test_reader *reader, struct test_case *test, const struct yaml_node *map)
{
    struct complaints *complaints = reader->complaints;
    if (!has_room(reader, test->outcome_count, map) ||
        !field_map(map, &test_keys[TEST_MAP_OUTCOME], complaints)) {
        return;
    }
    struct test_outcome *outcome = &test->outcomes[test->outcome_count++];
    *outcome = (struct test_outcome){.node = NO_INDEX, .after_ns = answer_default_ns};
    read_word(reader, map, "do", remedy_word, REMEDY_COUNT, -1, &outcome->remedy);
    if (outcome->remedy == TEST_ANY) {
        outcome->remedy = REMEDY_NONE;
    }
    test_read_node_name(reader, test, yaml_tree_entry(map, "node"), &outcome->node);
    const struct yaml_node *word = yaml_tree_entry(map, "outcome");
    if (word == NULL) {
        complain(complaints, map->at,
                 "how does it end? \"outcome: failed\", or done, cut, refused, none ...");
    }
    /* `unknown` is our own word for no answer; here that is `none`. */
    read_word(reader, map, "outcome", outcome_word, OUTCOME_UNKNOWN, -1, &outcome->outcome);
    if (outcome->outcome == TEST_ANY) {
        outcome->outcome = OUTCOME_NONE;
    }
    outcome->began = !outcome_never_began((enum outcome)outcome->outcome);
    field_flag(yaml_tree_entry(map, "began"), &outcome->began, complaints);
    field_duration_upto(yaml_tree_entry(map, "after"), 0, HOUR, &outcome->after_ns, complaints);
    field_integer(yaml_tree_entry(map, "times"), 1, 1000, &outcome->times, complaints);
}

/* --- events --------------------------------------------------------------------------------------------- */

static void read_say(struct test_reader *reader, struct test_case *test, const struct yaml_node *map,
                     struct test_event *event)
{
    struct complaints *complaints = reader->complaints;
    event->kind = TEST_SAY;
    read_word(reader, map, "say", operator_word, OPERATOR_WORD_COUNT, -1, &event->word);
    test_read_node_name(reader, test, yaml_tree_entry(map, "node"), &event->node);
    field_name(yaml_tree_entry(map, "incident"), event->incident, sizeof event->incident, complaints);
    field_duration_upto(yaml_tree_entry(map, "for"), 0, MAINTAIN_MAX_NS, &event->length_ns, complaints);
    bool of_incident = event->word == OPERATOR_APPROVE || event->word == OPERATOR_DECLINE ||
                       event->word == OPERATOR_ACKNOWLEDGE;
    bool of_node = event->word == OPERATOR_MAINTAIN;
    if ((of_incident || of_node) && yaml_tree_entry(map, "node") == NULL && test->node_count == 1) {
        event->node = 0;
    }
    if (of_incident && (event->node == NO_INDEX || event->incident[0] == '\0')) {
        complain(complaints, map->at, "to which plan? \"incident: cpu-high, node: web-1\"");
    } else if (of_node && (event->node == NO_INDEX || yaml_tree_entry(map, "for") == NULL)) {
        complain(complaints, map->at, "which node, and for how long? \"node: web-1, for: 10m\"; 0s ends it");
    }
}

static void read_event(struct test_reader *reader, struct test_case *test, const struct yaml_node *map)
{
    static const char *const kinds[] = {
        [TEST_SAY] = "say",     [TEST_GAP] = "gap",       [TEST_GOODBYE] = "goodbye",
        [TEST_HELLO] = "hello", [TEST_POLICY] = "policy",
    };
    if (!has_room(reader, test->event_count, map) ||
        !field_map(map, &test_keys[TEST_MAP_EVENT], reader->complaints)) {
        return;
    }
    struct test_event *event = &test->events[test->event_count++];
    *event = (struct test_event){.place = map->at, .node = NO_INDEX};
    read_at(reader, map, &event->at);
    uint32_t said = 0;
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        if (yaml_tree_entry(map, kinds[i]) != NULL) {
            event->kind = (enum test_event_kind)i;
            said++;
        }
    }
    if (said != 1) {
        complain(reader->complaints, map->at, "one of say, gap, goodbye, hello and policy at a time");
        return;
    }
    const struct yaml_node *what = yaml_tree_entry(map, kinds[event->kind]);
    switch (event->kind) {
    case TEST_SAY:
        read_say(reader, test, map, event);
        break;
    case TEST_GAP:
        field_duration_upto(what, MILLISECOND, 24 * HOUR, &event->length_ns, reader->complaints);
        if (event->at + event->length_ns > reader->last_ns) {
            reader->last_ns = event->at + event->length_ns;
        }
        break;
    case TEST_GOODBYE:
    case TEST_HELLO:
        test_read_node_name(reader, test, what, &event->node);
        break;
    case TEST_POLICY:
        event->policy = test_read_policy(reader, what);
        break;
    }
}

/* --- expectations --------------------------------------------------------------------------------------- */

static void read_flag(struct test_reader *reader, const struct yaml_node *map, const char *key, uint8_t *out)
{
    *out = TEST_ANY;
    field_flag(yaml_tree_entry(map, key), out, reader->complaints);
}

static void check_expectation(struct test_reader *reader, const struct test_case *test,
                              struct test_expectation *e, const struct yaml_node *map)
{
    bool of_incident =
        e->state != TEST_ANY || e->remedy != TEST_ANY || e->verdict != TEST_ANY || e->block != TEST_ANY;
    bool of_node = e->incident[0] != '\0' || e->health != TEST_ANY ||
                   (e->command != TEST_ANY && e->command != REMEDY_NONE);
    bool of_fleet = e->command == REMEDY_NONE || e->breaker_open != TEST_ANY || e->paused != TEST_ANY;
    if (of_node && e->node == NO_INDEX && test->node_count == 1) {
        e->node = 0;
    }
    if (of_incident && e->incident[0] == '\0') {
        complain(reader->complaints, map->at, "of which finding? \"incident: cpu-high\"");
    } else if (of_node && e->node == NO_INDEX) {
        complain(reader->complaints, map->at, "on which node? \"node: web-1\"");
    } else if (!of_node && !of_fleet) {
        complain(reader->complaints, map->at,
                 "what is expected? \"incident: cpu-high, state: acting\", \"command: none\", ...");
    }
}

static void read_expectation(struct test_reader *reader, struct test_case *test, const struct yaml_node *map)
{
    struct complaints *complaints = reader->complaints;
    if (!has_room(reader, test->expectation_count, map) ||
        !field_map(map, &test_keys[TEST_MAP_EXPECTATION], complaints)) {
        return;
    }
    struct test_expectation *e = &test->expectations[test->expectation_count++];
    *e = (struct test_expectation){.place = map->at, .node = NO_INDEX};
    uint32_t errors = complaints->errors;
    read_at(reader, map, &e->at);
    test_read_node_name(reader, test, yaml_tree_entry(map, "node"), &e->node);
    field_name(yaml_tree_entry(map, "incident"), e->incident, sizeof e->incident, complaints);
    read_word(reader, map, "state", incident_state_word, INCIDENT_STATE_COUNT, TEST_NO_STATE, &e->state);
    read_word(reader, map, "remedy", remedy_word, REMEDY_COUNT, REMEDY_NONE, &e->remedy);
    read_word(reader, map, "verdict", verdict_word, VERDICT_COUNT, -1, &e->verdict);
    read_word(reader, map, "blocked", block_reason_word, BLOCK_REASON_COUNT, -1, &e->block);
    read_word(reader, map, "health", health_word, HEALTH_COUNT, -1, &e->health);
    read_word(reader, map, "command", remedy_word, REMEDY_COUNT, REMEDY_NONE, &e->command);
    read_flag(reader, map, "paused", &e->paused);
    static const char *const breaker_words[] = {"closed", "open"};
    e->breaker_open = TEST_ANY;
    field_word(yaml_tree_entry(map, "breaker"), "breaker", breaker_words, COUNT_OF(breaker_words),
               &e->breaker_open, complaints);
    if (complaints->errors == errors) {
        check_expectation(reader, test, e, map);
    }
}

static void read_command(struct test_reader *reader, struct test_case *test, const struct yaml_node *map)
{
    if (!has_room(reader, test->command_count, map) ||
        !field_map(map, &test_keys[TEST_MAP_COMMAND], reader->complaints)) {
        return;
    }
    struct test_command *command = &test->commands[test->command_count++];
    *command =
        (struct test_command){.place = map->at, .at = -1, .node = test->node_count == 1 ? 0 : NO_INDEX};
    if (yaml_tree_entry(map, "do") == NULL ||
        (yaml_tree_entry(map, "node") == NULL && command->node == NO_INDEX)) {
        complain(reader->complaints, map->at, "a command is {do: restart_service, node: web-1}");
    }
    read_word(reader, map, "do", remedy_word, REMEDY_COUNT, -1, &command->remedy);
    test_read_node_name(reader, test, yaml_tree_entry(map, "node"), &command->node);
    field_duration(yaml_tree_entry(map, "at"), 0, &command->at, reader->complaints);
    reader->last_ns = command->at > reader->last_ns ? command->at : reader->last_ns;
}

/* --- all of them ---------------------------------------------------------------------------------------- */

static void read_list(struct test_reader *reader, struct test_case *test, const struct yaml_node *list,
                      void (*read)(struct test_reader *, struct test_case *, const struct yaml_node *))
{
    if (list != NULL && field_list(list, reader->complaints)) {
        for (const struct yaml_node *entry = list->first; entry != NULL; entry = entry->next) {
            read(reader, test, entry);
        }
    }
}

/* Both are sorted by `at`; what falls on one instant keeps the file's order. */
static int by_time_of_event(const void *a, const void *b)
{
    const struct test_event *x = a, *y = b;
    if (x->at != y->at) {
        return x->at < y->at ? -1 : 1;
    }
    return x->place.line != y->place.line ? x->place.line - y->place.line : x->place.column - y->place.column;
}

static int by_time_of_expectation(const void *a, const void *b)
{
    const struct test_expectation *x = a, *y = b;
    if (x->at != y->at) {
        return x->at < y->at ? -1 : 1;
    }
    return x->place.line != y->place.line ? x->place.line - y->place.line : x->place.column - y->place.column;
}

void test_items_read(struct test_reader *reader, struct test_case *test, const struct yaml_node *map)
{
    const struct yaml_node *expect = yaml_tree_entry(map, "expect"),
                           *commands = yaml_tree_entry(map, "commands");
    read_list(reader, test, yaml_tree_entry(map, "outcomes"), read_outcome);
    read_list(reader, test, yaml_tree_entry(map, "events"), read_event);
    read_list(reader, test, expect, read_expectation);
    read_list(reader, test, commands, read_command);
    test->commands_are_all = commands != NULL;
    if (commands == NULL && (expect == NULL || expect->count == 0)) {
        complain(reader->complaints, map->at, "nothing is expected: \"expect:\" or \"commands:\" is missing");
    }
    qsort(test->events, test->event_count, sizeof test->events[0], by_time_of_event);
    qsort(test->expectations, test->expectation_count, sizeof test->expectations[0], by_time_of_expectation);
}
