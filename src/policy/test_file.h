/* A policy test file: fleets, what they report, and what the core must make of it under a policy.
 *
 *     version: 1
 *     policy: ../first.yaml
 *     cases:
 *       - name: a CPU spike is healed by one restart
 *         nodes: [web-1]
 *         series:
 *           web-1: {cpu_utilization: 0.05x5 0.97x5 0.05}
 *         expect:
 *           - {at: 8s, incident: cpu-high, state: acting}
 *         commands:
 *           - {do: restart_service, node: web-1, at: 8s}
 *
 * docs/policy.md is the reference of its keys. test_run.h runs it. */
#ifndef POLICY_TEST_FILE_H
#define POLICY_TEST_FILE_H

#include "core/core.h"
#include "policy/keys.h"
#include "policy/series.h"

enum {
    TEST_CASES_MAX = 256,
    TEST_NODES_MAX = 32,                  /* of one case */
    TEST_ITEMS_MAX = 256,                 /* events, outcomes, expectations or commands of one case, each */
    TEST_REPORTS_MAX = SERIES_REPORTS_MAX /* of one node in one case */
};

/* X(symbol, map, keys ...): the maps of a test file. */
#define TEST_MAP_TABLE(X)                                                                                    \
    X(FILE, "test file", "version", "policy", "start", "interval", "nodes", "cases")                         \
    X(CASE, "case", "name", "policy", "start", "interval", "nodes", "series", "outcomes", "events",          \
      "expect", "commands", "until")                                                                         \
    X(NODE, "node", "name", "role", "zone", "calls")                                                         \
    X(OUTCOME, "outcome", "do", "node", "outcome", "after", "began", "times")                                \
    X(EVENT, "event", "at", "say", "node", "incident", "for", "gap", "goodbye", "hello", "policy")           \
    X(EXPECTATION, "expectation", "at", "node", "incident", "state", "remedy", "verdict", "blocked",         \
      "health", "command", "breaker", "paused")                                                              \
    X(COMMAND, "command", "do", "node", "at")

#define X(symbol, ...) TEST_MAP_##symbol,
enum test_map { TEST_MAP_TABLE(X) TEST_MAP_COUNT };
#undef X

extern const struct keys test_keys[TEST_MAP_COUNT];

struct test_node {
    char name[NODE_NAME_SIZE];
    uint32_t calls[CALLS_MAX]; /* numbers of nodes of the case */
    uint32_t calls_count;
    const struct series *series[METRIC_COUNT]; /* NULL: never reported */
    bool has_series;
};

enum test_event_kind { TEST_SAY, TEST_GAP, TEST_GOODBYE, TEST_HELLO, TEST_POLICY };

struct test_event {
    struct place place;
    enum test_event_kind kind;
    duration at;                       /* from the start of the case */
    uint32_t node;                     /* NO_INDEX: none */
    uint8_t word;                      /* TEST_SAY: enum operator_word */
    char incident[DETECTOR_NAME_SIZE]; /* approve, decline, acknowledge: of this finding */
    duration length_ns;                /* maintain, gap */
    const struct policy *policy;       /* TEST_POLICY */
};

/* How commands end: the first one that fits and is not used up. None: done after a second. */
struct test_outcome {
    uint32_t node;   /* NO_INDEX: on any */
    uint8_t remedy;  /* REMEDY_NONE: any */
    uint8_t outcome; /* OUTCOME_NONE: never answered */
    uint8_t began;
    uint32_t times; /* 0: always */
    duration after_ns;
};

enum { TEST_ANY = 255 };                       /* an expectation that does not say */
enum { TEST_NO_STATE = INCIDENT_STATE_COUNT }; /* state: none */

/* What must be so at `at`, when all that falls on that instant has happened. */
struct test_expectation {
    struct place place;
    duration at;
    uint32_t node;                     /* NO_INDEX: not said; only for breaker, paused and `command: none` */
    char incident[DETECTOR_NAME_SIZE]; /* "": none named */
    uint8_t state;                     /* enum incident_state or TEST_NO_STATE */
    uint8_t remedy, verdict, block, health;
    uint8_t command; /* enum remedy: ordered by then; REMEDY_NONE: none was */
    uint8_t breaker_open, paused;
};

struct test_command {
    struct place place;
    uint8_t remedy;
    uint32_t node;
    duration at; /* -1: at any time */
};

struct test_case {
    const char *name;
    struct place place;
    const struct policy *policy;
    instant start_at;
    duration interval_ns;
    duration until_ns;
    struct test_node nodes[TEST_NODES_MAX];
    struct test_outcome outcomes[TEST_ITEMS_MAX];
    struct test_event events[TEST_ITEMS_MAX];             /* in the order of time */
    struct test_expectation expectations[TEST_ITEMS_MAX]; /* in the order of time */
    struct test_command commands[TEST_ITEMS_MAX];
    uint32_t node_count, outcome_count, event_count, expectation_count, command_count;
    bool commands_are_all; /* `commands` is there: exactly these */
};

struct test_file;

enum { TEST_FILE_REFUSED = 1 };

/* Reads a test file and the policies that it names, whose paths are relative to its own. 0: *file is the
 * caller's until test_file_free(). TEST_FILE_REFUSED: `complaints` says why. Negative errno: it cannot be
 * read. */
int test_file_read(struct test_file **file, const char *path, struct complaints *complaints);
/* The same of a text that stands at `path`. */
int test_file_read_text(struct test_file **file, const char *path, const char *bytes, size_t length,
                        struct complaints *complaints);

uint32_t test_file_count(const struct test_file *file);
const struct test_case *test_file_case(const struct test_file *file, uint32_t number);

void test_file_free(struct test_file **file);

#endif
