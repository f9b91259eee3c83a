/* What is expected of a scenario, and whether it came about. The simulator and the live run bring the same
 * facts, what was done and what was injected, and are judged by the same code. */
#ifndef SCENARIO_EXPECT_H
#define SCENARIO_EXPECT_H

#include "scenario/scenario.h"

#include <stdio.h>

enum { EXPECT_REACH_MAX = 64 }; /* nodes that a walk along the calls looks at, as far as the core's own */

/* An incident with one of its commands, or without any. */
struct deed {
    uint64_t incident;
    uint64_t command;                       /* 0: none; UINT64_MAX: people were told (remedy page_human) */
    instant opened_at, acted_at, judged_at; /* INSTANT_NONE: not (yet) */
    uint32_t node;
    char finding[DETECTOR_NAME_SIZE];
    uint32_t blocks; /* mask of the reasons for which it waited */
    uint8_t remedy, verdict;
};

/* The beginning of a fault on one node. */
struct struck {
    instant at;
    uint32_t node;
};

/* What happened; all of it stays the caller's. Nodes are numbered as scenario_lay_out() has them. */
struct expect_facts {
    const struct scenario *scenario;
    const struct world_node *fleet; /* who calls whom */
    char (*names)[NODE_NAME_SIZE];
    const bool *touched; /* by node: a command went there */
    const struct deed *deeds;
    const struct struck *struck; /* in order of time */
    uint32_t deed_count, struck_count;
};

/* The node itself, and what it calls, directly or through others; returns how many. */
uint32_t expect_reach(const struct world_node *fleet, uint32_t from, uint32_t found[EXPECT_REACH_MAX]);

/* The newest injection before `opened_at` that can have made `node` ill: on itself, else on what it calls,
 * else anywhere. INSTANT_NONE: there was none. */
instant expect_cause(const struct expect_facts *facts, uint32_t node, instant opened_at);

/* Has the expectation of that number come about? */
bool expect_is_met(const struct expect_facts *facts, uint32_t number);

/* One line each: "ok ..." or "not ok ..., but ..." */
void expect_print(const struct expect_facts *facts, FILE *out);

#endif
