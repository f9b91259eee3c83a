/* The patients: nodes that exist only as clients of the control plane. Each keeps a connection, reports with
 * rising sequence numbers, falls ill now and then, obeys commands as a node agent should, and tells their
 * outcomes until they are accepted. What they are promised goes into the journal of promises; a command that
 * is not in the database when it is seen is an illegal history. */
#ifndef TESTS_CRASH_PATIENTS_H
#define TESTS_CRASH_PATIENTS_H

#include "audit.h"
#include "dice.h"
#include "promises.h"

#include <stddef.h>

struct event_base;
struct patients;

enum { PATIENTS_MAX = 64 };

struct patients_options {
    const struct lab *lab;
    struct promises *promises;
    struct audit *audit;
    struct dice *dice;
    size_t count; /* at most PATIENTS_MAX */
};

struct patients *patients_new(struct event_base *base, const struct patients_options *options);
void patients_free(struct patients **patients);

/* From now on nobody falls ill, and who is gets well. */
void patients_rest(struct patients *patients);

uint64_t patients_obeyed(const struct patients *patients); /* commands carried out so far */
size_t patients_untold(const struct patients *patients);   /* outcomes that nobody has accepted yet */

#endif
