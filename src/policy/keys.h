/* Keys: the words that may stand in each kind of map of a file, once. The readers go by these tables, and a
 * test holds the JSON Schemas in docs/ to them, so that an editor's help and the reader say the same. */
#ifndef POLICY_KEYS_H
#define POLICY_KEYS_H

#include <stddef.h>

enum { KEYS_MAX = 16 }; /* in one map */

struct keys {
    const char *map; /* what the map describes: "detector". Its name in the schema, too */
    const char *words[KEYS_MAX];
    size_t count;
};

/* Builds a row: KEYS_OF("step", "do", "settle", "within"). */
#define KEYS_OF(map_name, ...)                                                                               \
    {                                                                                                        \
        .map = map_name, .words = {__VA_ARGS__},                                                             \
        .count = sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *)                           \
    }

/* X(symbol, map, keys ...): the maps of a policy file. */
#define POLICY_MAP_TABLE(X)                                                                                  \
    X(POLICY, "policy", "version", "rules", "detectors", "playbooks", "guards", "mode", "planner")           \
    X(RULE, "rule", "if", "for", "do", "name")                                                               \
    X(DETECTOR, "detector", "name", "when", "for", "clear", "healthy_for", "severity", "confirm", "absent",  \
      "do")                                                                                                  \
    X(PLAYBOOK, "playbook", "on", "steps")                                                                   \
    X(STEP, "step", "do", "settle", "within")                                                                \
    X(PLANNER, "planner", "wait")                                                                            \
    X(GUARDS, "guards", "max_disrupted", "breaker", "per_target", "rate", "flapping", "maintenance",         \
      "approval", "recurrence", "hold")                                                                      \
    X(BREAKER, "breaker", "unhealthy", "at_least")                                                           \
    X(PER_TARGET, "per_target", "cooldown", "attempts", "backoff")                                           \
    X(ATTEMPTS, "attempts", "max", "within")                                                                 \
    X(BACKOFF, "backoff", "base", "cap", "reset")                                                            \
    X(RATES, "rates", "fleet", "target", "rule", "kind")                                                     \
    X(RATE, "rate", "per", "max")                                                                            \
    X(FLAPPING, "flapping", "changes", "within")                                                             \
    X(WINDOW, "window", "nodes", "from", "until", "daily", "for", "days")

#define X(symbol, ...) POLICY_MAP_##symbol,
enum policy_map { POLICY_MAP_TABLE(X) POLICY_MAP_COUNT };
#undef X

extern const struct keys policy_keys[POLICY_MAP_COUNT];

/* mon, tue, ... sun: bit 0 to bit 6 of window.days. */
enum { WEEKDAYS = 7 };
extern const char *const weekday_names[WEEKDAYS];

#endif
