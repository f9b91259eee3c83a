/* Which nodes are meant: a name, a pattern `web-*`, `role:web`, `zone:a`, or some of them, `2 of role:web`.
 * The same words wherever people name nodes: in scenarios, in suites, and when they ask for a fault. */
#ifndef POLICY_TARGET_H
#define POLICY_TARGET_H

#include "core/core.h"

#include <stdbool.h>

enum {
    TARGET_WORD_SIZE = 64,   /* of a role or zone, the NUL included */
    TARGET_SOME_MAX = 100000 /* N of ... */
};

/* Exactly one of the three texts is there, the others are "". */
struct node_target {
    char pattern[NODE_PATTERN_SIZE]; /* name or pattern */
    char role[TARGET_WORD_SIZE], zone[TARGET_WORD_SIZE];
    uint32_t some; /* so many of them; 0: all */
};

/* False if the words mean no nodes; then `out` is not to be used. */
bool node_target_parse(const char *text, struct node_target *out);

/* `some` is left out of account. */
bool node_target_means(const struct node_target *target, const char *name, const char *role,
                       const char *zone);

/* The name alone is meant: neither a pattern nor a role, a zone or some. */
bool node_target_is_one(const struct node_target *target);

#endif
