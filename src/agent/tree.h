/* The processes of a service: the one the node agent started, all that it started in turn, and those of them
 * whose parents have died and that came to the node agent, which is their subreaper. */
#ifndef AGENT_TREE_H
#define AGENT_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Everything the node agent starts carries this variable in its environment, with the node agent's boot as
 * value. */
#define WARD_VARIABLE "HOMEOSTAT_WARD"

enum { TREE_MAX = 256 }; /* processes; more are not looked at */

struct tree {
    pid_t pid[TREE_MAX];
    size_t count;
};

/* `root` may be 0: only the orphans. `known` are children of the node agent that are not the service's;
 * orphans that have died are reaped on the way. A process that comes or goes meanwhile may or may not be in
 * it. */
void tree_collect(struct tree *tree, pid_t root, const char *boot, const pid_t *known, size_t known_count);

void tree_signal(const struct tree *tree, int signal_number);

/* R, S, D, T (stopped), t, Z, ... as in proc(5), or 0 if there is no such process. */
char process_state(pid_t pid);

/* True if `pid` carries WARD_VARIABLE=boot. */
bool process_is_ward(pid_t pid, const char *boot);

#endif
