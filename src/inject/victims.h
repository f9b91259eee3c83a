/* Victims: the processes of a service, stopped together and let go on together.
 *
 * A pidfd is held for each one that was stopped, and only through it is it ever signalled again, so that a
 * recycled process id is never hit. Nothing here allocates: it is for forked children of programs with
 * threads, too. */
#ifndef INJECT_VICTIMS_H
#define INJECT_VICTIMS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define VICTIMS_MAX 256

struct victims {
    size_t count;
    pid_t ids[VICTIMS_MAX];
    int fds[VICTIMS_MAX]; /* pidfds, of the others -1 */
};

enum victims_reach {
    VICTIMS_ONE,  /* the root alone */
    VICTIMS_TREE, /* and its descendants */
    VICTIMS_GROUP /* and all of the process group that the root leads, and its descendants */
};

struct victims_options {
    pid_t root;
    int root_fd; /* a pidfd of it, taken over; -1: one is opened */
    enum victims_reach reach;
    bool leave_stopped; /* those stopped by others are not ours to stop, nor to let go on */
    pid_t spared;       /* 0: nobody. The caller itself is always spared */

    /* Told of each pidfd just before its process is stopped; negative: it is not stopped, and that is the
     * result. NULL: nobody wants to know. */
    int (*stopping)(void *context, int fd);
    void *context;
};

int victims_open(pid_t id);   /* a pidfd, close-on-exec, or negative errno */
char victims_state(pid_t id); /* as /proc/PID/stat has it; 'X' if there is no such process */

/* Stops them and returns when they are stopped (a process that waits for a disk, when it no longer does): 0,
 * or a negative errno, and then all go on: -ESRCH there is no root, -EPERM not ours, -E2BIG too many. A root
 * that has been left stopped is no failure. */
int victims_stop(struct victims *victims, const struct victims_options *options);
void victims_stop_again(const struct victims *victims); /* those that somebody let go on */
void victims_continue(struct victims *victims);         /* afterwards there are none */

/* The root and its descendants as they are now, without touching them; returns how many. */
size_t victims_list(pid_t root, pid_t ids[VICTIMS_MAX]);

/* Calls `take` for each thread of the process, as long as it returns true. */
void victims_threads(pid_t id, bool (*take)(void *context, pid_t thread), void *context);

#endif
