/* Synthetic nodes: a fleet in one process. The world model (world/world.h) runs on the wall clock, and each
 * of its nodes speaks to the control plane as a real node agent does: hello, a report per interval, commands
 * that it carries out in the world at most once each, outcomes, goodbye. The control plane cannot tell the
 * difference, but for the word `synthetic` in the hello, which lets it take faults that no real process can
 * be given.
 *
 *     world --sample--> node --report--> way --> control plane
 *       ^                |                            |
 *       +--remedy, fault-+<------- way <---- answer --+
 *
 * The way (way.c) is the scenario's network: messages take their time, are lost and doubled. Of the drift of
 * clocks the intervals and ages take notice; a wall clock that is off changes nothing, for reports carry ages
 * and not instants. What a scenario's script says of faults and accidents is not done here: faults come
 * through the API.
 *
 * Everything is in memory: a fleet that is started anew begins with new boots, and commands for the old ones
 * are refused. */
#ifndef SYNTHETIC_SYNTHETIC_H
#define SYNTHETIC_SYNTHETIC_H

#include "scenario/scenario.h"

enum { SYNTHETIC_NODES_MAX = 10000 };

/* Strings stay the caller's. */
struct synthetic_options {
    const char *plane_url;           /* http://127.0.0.1:7070 */
    const char *token;               /* good for all of the nodes; NULL: none */
    const struct scenario *scenario; /* laid out by synthetic_fleet() or synthetic_resize() */
    uint64_t seed;                   /* 0: the scenario's */
};

/* The fleet that is there without a scenario: web nodes that call api nodes that call db nodes, a third of
 * each; users come to the web nodes. A single node is a web node, the second an api node. The network adds
 * nothing to the real one. `nodes`: 1 .. SYNTHETIC_NODES_MAX. */
void synthetic_fleet(struct scenario *scenario, uint32_t nodes);

/* Makes the groups of a scenario larger or smaller in proportion, at least one node each, so that there are
 * `nodes` in all. False if there are more groups than that. Its script may mean nodes that are not there any
 * more. */
bool synthetic_resize(struct scenario *scenario, uint32_t nodes);

/* Runs until SIGTERM or SIGINT, then says goodbye for all nodes and returns 0. A line on stderr says when all
 * have been welcomed; troubles are told there once per kind. A negative errno, told on stderr too, if it
 * cannot begin. */
int synthetic_main(const struct synthetic_options *options);

#endif
