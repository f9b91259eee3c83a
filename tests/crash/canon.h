/* The canonical run: one node, played here, says hello, reports, falls ill, obeys the one command that heals
 * it, tells its outcome and gets well; a person puts a policy, asks for a fault and ends it, and looks on
 * until the incident is closed. Whoever dies is started again at once; whatever is not answered is asked
 * again. What was answered is a promise. */
#ifndef TESTS_CRASH_CANON_H
#define TESTS_CRASH_CANON_H

#include "audit.h"
#include "promises.h"

struct calls;

extern const char canon_policy[];

struct canon_options {
    struct lab *lab; /* of one node, which is not started */
    struct audit *audit;
    struct promises *promises;
    struct calls *page; /* of the first control plane */
    bool kills;         /* its fate; else the trouble passes once it was seen, and only an fsync may end it */
    uint32_t again_at;  /* the second control plane dies as well, at this call; 0: it lives */
};

struct canon_result {
    int met_kind; /* of the call that met its fate first; -1: none did */
    unsigned effects;
    unsigned deaths;   /* as was wanted, or after a failed fsync */
    unsigned refusals; /* starts that were refused, in trouble */
    unsigned degraded; /* the store failed, and that was seen from outside */
};

/* Starts the control plane, runs it all, and kills the control plane in the end. */
void canon_run(const struct canon_options *options, struct canon_result *result);

#endif
