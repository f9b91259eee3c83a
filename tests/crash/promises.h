/* The promises: what the control plane has answered with a 2xx, written down by its clients. Whatever dies,
 * all of it must be in the database afterwards. A journal in an SQLite database of its own, in memory. */
#ifndef TESTS_CRASH_PROMISES_H
#define TESTS_CRASH_PROMISES_H

#include "audit.h"

#include <stdint.h>

struct promises;

enum promise_kind {
    PROMISE_INCIDENT,    /* it was shown; said: "NODE FINDING" */
    PROMISE_APPROVAL,    /* of an incident */
    PROMISE_ACKNOWLEDGE, /* of an incident */
    PROMISE_POLICY,      /* of that version; said: words in its text */
    PROMISE_OUTCOME,     /* of that command; said: the outcome */
    PROMISE_FAULT,       /* it was asked for; said: "NODE KIND" */
    PROMISE_KINDS
};

struct promises *promises_open(void);
void promises_close(struct promises **promises);

void promise(struct promises *promises, enum promise_kind kind, uint64_t id, const char *said);

/* A report that was accepted, and that lies at or below `stored_through`. */
void promise_sample(struct promises *promises, const char *node, const char *boot, uint64_t sequence);

/* Calls `made` once, at the very moment of the next promise that is neither a sample nor an incident that was
 * shown: the worst moment for who made it to die. */
void promises_watch(struct promises *promises, void (*made)(void *context), void *context);

uint64_t promises_count(const struct promises *promises);

/* Finds those that the database does not keep. */
void promises_check(struct promises *promises, struct audit *audit, const char *database);

#endif
