/* A closed loop around the real core and the real gate, for tests: a few nodes that fall ill and are healed,
 * masked or harmed by what is done to them, node agents that answer or do not, people who approve, pause and
 * maintain, a store in memory that commits a while later, crashes, gaps and reloads; all drawn from one seed.
 * The checkers watch. A phase under faults is followed by one in which everything is well. */
#ifndef TESTS_CHECKED_LAB_H
#define TESTS_CHECKED_LAB_H

#include "sim/check.h"

#include <stdio.h>

/* Runs it. The violations and what was seen are in the checker, which the caller frees. `digest`, if not
 * NULL, gets the core's at the end. */
struct checker *checked_lab_run(uint64_t seed, uint64_t *digest);

/* The remedies that stand on any ladder here: a mask of REMEDY_BIT()s. */
uint32_t checked_lab_remedies(void);

/* One line for each violation that is kept. */
void checked_lab_print(const struct checker *checker, uint64_t seed, FILE *out);

#endif
