/* The processes of a service: the one the node agent started, all that it started in turn, and those of them
 * whose parents have died and that came to the node agent, which is their subreaper. */
#ifndef AGENT_TREE_H
#define AGENT_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Everything the node agent starts carries this variable in its environment, with the node agent's boot as
 * value. Programs may write over their environment to show what they do (nginx, Redis, PostgreSQL), so the
 * vitals, which the preload library maps into all of them, bear the boot in their name as well. */
#define WARD_VARIABLE "HOMEOSTAT_WARD"

enum { TREE_MAX = 256 }; /* processes; more are not looked at */
enum { WARD_MEMORY_SIZE = 64 };

/* For memfd_create(); begins with "vitals", by which the preload library knows them. */
void ward_memory_name(char out[WARD_MEMORY_SIZE], const char *boot);

struct tree {
    pid_t pid[TREE_MAX];
    size_t count;
};

/* `root` may be 0: only the orphans. Children of the node agent in a process group of their own (child.h) are
 * not the service's, whatever they carry; orphans that have died are reaped on the way. A process that comes
 * or goes meanwhile may or may not be in it. */
void tree_collect(struct tree *tree, pid_t root, const char *boot);

void tree_signal(const struct tree *tree, int signal_number);

/* R, S, D, T (stopped), t, Z, ... as in proc(5), or 0 if there is no such process. */
char process_state(pid_t pid);

/* True if `pid` carries WARD_VARIABLE=boot, or maps memory of that boot's name. */
bool process_is_ward(pid_t pid, const char *boot);

#endif
