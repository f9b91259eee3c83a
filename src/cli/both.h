/* One scenario twice, in virtual time and live, side by side: do the simulator and real processes tell the
 * same story? */
#ifndef CLI_BOTH_H
#define CLI_BOTH_H

#include <stdbool.h>

struct both_options {
    const char *path;        /* of the scenario */
    const char *policy_path; /* NULL: the scenario's, else the default */
    int seed;                /* 0: the scenario's */
    int synthetic;           /* nodes; below 0: real ones, 0: as many as the scenario says */
    bool json;
    bool is_wanted;
};

/* Runs both, prints them beside each other, and returns an exit code: EXIT_DONE if they agree, which means
 * the same incidents with the same sequence of states, remedies and verdicts, and times to recovery that
 * differ by at most 25 % or 2 s; EXIT_NOT_SO otherwise. Why something was held back is shown and not
 * compared: how often depends on the instants of reports. */
int both_run(const struct both_options *options);

#endif
