/* The log of a lab that runs: a line for each event of its control plane, with a column per node if there are
 * few, and a line for the health of all of them when it changes. */
#ifndef CLI_LAB_LOG_H
#define CLI_LAB_LOG_H

#include "base/units.h"
#include "core/core.h"

#include <jansson.h>
#include <stdbool.h>

struct lab_log;

struct lab_log_options {
    char (*names)[NODE_NAME_SIZE]; /* of the nodes; outlives the log */
    uint32_t count;
    bool verbose; /* commands with their ids, and every notice */
    bool quiet;   /* nothing is printed: who wants JSON reads no log */
};

struct lab_log *lab_log_new(const struct lab_log_options *options);
void lab_log_free(struct lab_log **log);

void lab_log_head(struct lab_log *log); /* the names over their columns */

/* A watch_handler; the context is the log. */
void lab_log_event(void *log, const char *kind, const json_t *data);

/* A line that the control plane has not said. `node` is a number among the names, or NO_INDEX. */
void lab_log_say(struct lab_log *log, const char *step, uint32_t node, const char *sentence);

/* To be called a few times a second: looks who is left alone, and prints the health of all if it has changed.
 * Asks the control plane at `port`, which must not be suspended. */
void lab_log_tick(struct lab_log *log, int port);

/* How many nodes have reported since the log began: their health is known. */
uint32_t lab_log_heard(const struct lab_log *log);

/* How many of them are not healthy as of the newest news. */
uint32_t lab_log_unwell(const struct lab_log *log);

/* When the newest event came, by CLOCK_MONOTONIC, health included. */
int64_t lab_log_news_ns(const struct lab_log *log);

/* The number of the node called `name`, or -1. */
int64_t lab_log_find(const struct lab_log *log, const char *name);

#endif
