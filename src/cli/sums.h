/* The sums of a run, in virtual time or live, as people read them: the head of a summary. */
#ifndef CLI_SUMS_H
#define CLI_SUMS_H

#include "sim/sim.h"

/* From `title` to what was held back, on stdout. `virtual_time`: harm is known; nobody can tell it live. */
void sums_print(const char *title, const struct sim_result *sums, bool virtual_time);

#endif
