/* The audit: what must be true of a database and of the witness files whatever was killed when. Each finding
 * is one sentence on stderr and one count. */
#ifndef TESTS_CRASH_AUDIT_H
#define TESTS_CRASH_AUDIT_H

#include "lab.h"

#include <stdint.h>

struct store;

enum audit_kind {
    AUDIT_LOST,    /* something that was promised is not there, or is not what was promised */
    AUDIT_DOUBLED, /* one command, two effects */
    AUDIT_ILLEGAL, /* a history that no state machine allows, or an effect without an order */
    AUDIT_STUCK,   /* something that does not come to its end */
    AUDIT_KINDS
};

struct audit {
    unsigned found[AUDIT_KINDS];
};

void audit_find(struct audit *audit, enum audit_kind kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The file is whole: PRAGMA integrity_check. */
void audit_integrity(struct audit *audit, const char *database);

/* Every incident's timeline takes legal edges only, begins with open, ends where the incident is, and does
 * not go back in time; every incident is closed, every command has ended. Returns the number of incidents. */
unsigned audit_histories(struct audit *audit, struct store *store);

/* Each command has at most one effect at the real nodes, exactly one if it is a restart that was done; no
 * effect without a command that was ordered before; none of an older epoch after one of a newer. Returns the
 * number of effects. */
unsigned audit_effects(struct audit *audit, struct store *store, const struct lab *lab);

/* What the flight recorder has of every life of the control plane, fed back into the core: the same
 * decisions, and none of the checkers of the simulator (S2, S3, S5-S12) complains. */
void audit_decisions(struct audit *audit, const struct lab *lab);

/* 0, or the exit status of the worst finding: lost 4, doubled 5, illegal 6, stuck 7. */
int audit_status(const struct audit *audit);

#endif
