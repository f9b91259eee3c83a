/* A child process of the node agent: in a process group of its own (or as a helper in that of another),
 * killed by the kernel when the node agent dies, its death noticed at once through a pidfd in the event loop.
 */
#ifndef AGENT_CHILD_H
#define AGENT_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct event;
struct event_base;

/* `status` is wait(2)'s. The process has been reaped and `child->pid` is 0. */
typedef void child_died(void *context, int status);

struct child {
    pid_t pid;   /* 0: there is none */
    pid_t group; /* its process group, usually its own */
    int pidfd;
    struct event *watch;
    child_died *died;
    void *context;
    struct child *next; /* of those that are watched: it must stay where it is */
};

struct child_options {
    const char *path;  /* the program; NULL: argv[0] */
    char *const *argv; /* argv[0] is the name that `ps` shows */
    const int *keep;   /* descriptors it inherits under their numbers, besides 0, 1 and 2 */
    size_t keep_count;
    pid_t group;      /* the process group that it joins, of a child of ours; 0: one of its own */
    int held;         /* a signal that waits until the program asks for it; 0: none */
    int log_fd;       /* its standard output and error; -1: /dev/null */
    child_died *died; /* called once from the loop, unless child_reap() comes first */
    void *context;
};

/* Returns 0 once the process is there (its exec may still fail: it then ends with status 127), or a negative
 * errno. */
int child_start(struct child *child, struct event_base *base, const struct child_options *options);

/* To the whole process group if it is its own, else to the process alone. Nothing happens if there is no
 * child. */
void child_signal(const struct child *child, int signal_number);

/* True if `pid` is a child that will be reaped here, and must not be reaped elsewhere. */
bool child_is_watched(pid_t pid);

/* Kills the group and waits for the child; `died` is not called. For the end, when no loop runs any more. */
void child_reap(struct child *child);

/* wait(2)'s status as a shell tells it: the exit code, or 128 and the signal. */
int child_exit_code(int status);

/* "exited with code 1", "was killed by signal 9": for people. */
void child_status_text(int status, char *out, size_t size);

#endif
