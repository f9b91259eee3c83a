/* What a person can do: the verb that lets go ahead what was stopped, and what stands over the whole fleet.
 */
#ifndef CLI_HINT_H
#define CLI_HINT_H

#include "cli/source.h"

enum { HINT_SIZE = 160 };

/* What to say against this block reason: "./run approve 3 has it done now". "" if it ends by itself, or
 * nothing but patience helps. `node` may be "". */
const char *block_hint(const char *reason, long long incident, const char *node, char out[HINT_SIZE]);

/* "automation is paused: nothing is done until './run resume'", and likewise of the breaker. */
const char *paused_sentence(char out[HINT_SIZE]);
const char *breaker_sentence(char out[HINT_SIZE]);

/* Asks the control plane how it stands, and prints a line for a pause and for an open breaker. Silent if
 * nobody answers, or if a database was named instead. */
void print_standing(const struct source *source);

#endif
