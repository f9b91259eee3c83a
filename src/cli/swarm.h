/* `sim --swarm N`: many drawn runs, each under the checkers. */
#ifndef CLI_SWARM_H
#define CLI_SWARM_H

#include "cli/cli.h"

/* True if the arguments of `sim` ask for a swarm. */
bool swarm_is_asked(int argc, char **argv);

/* The rest of the verb: argv[0] is `sim`. Exit codes as sim's, and 6 if a run ended by a signal; of several
 * the worst: a crash, then safety, then liveness. */
int swarm_verb(int argc, char **argv);

#endif
