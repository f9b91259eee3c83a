/* The demo's second half: what the database says after everything has been stopped. */
#ifndef CLI_DEMO_H
#define CLI_DEMO_H

#include "base/units.h"
#include "core/vocabulary.h"

#include <stdbool.h>
#include <stdio.h>

struct demo_options {
    enum fault_kind kind;
    const char *node;
    const char *policy_path; /* NULL: the built-in one */
    duration interval_ns;
    int port;          /* -1: 7070, or a free one */
    const char *store; /* on a server; NULL: lab/demo.db */
    bool verbose;
    bool json;
};

/* Opens the store `database` read-only and tells what it holds, to `out` or, with --json, as one object on
 * stdout. EXIT_DONE only if an incident of the fault's node is resolved and its remedy was effective; else
 * EXIT_NOT_SO with the reason, in which `trouble` ("" if there was none) has its place. */
int demo_read_back(const struct demo_options *options, const char *database, const char *trouble, FILE *out);

#endif
