/* The leash: a small detached process that stops a service and is sure to let it go on.
 *
 * A stopped service must not stay stopped because the node agent died. So the leash, not the node agent,
 * sends SIGSTOP, and it sends SIGCONT when its lease is over or when the other end of its control socket is
 * closed, which the kernel does for a node agent that was killed. Nor because the leash died: a second
 * process, its guard, is given every pidfd before its process is stopped, and lets go when the leash is gone
 * or has overslept its lease. If the guard is gone, the leash lets go.
 *
 *     caller ──control──> leash ──pidfds──> guard
 *                           └── SIGSTOP, SIGCONT ──┘
 *
 * Both hold a pidfd for every process that was stopped and signal only through these, so a recycled process
 * id is never hit. Whom somebody else lets go on meanwhile is stopped again within 20 ms. */
#ifndef INJECT_LEASH_H
#define INJECT_LEASH_H

#include "base/units.h"

#include <sys/types.h>

#define LEASH_PROCESSES_MAX 256

/* Stops `victim`, all its descendants and, if it leads a process group, that group. Returns when they are
 * stopped: 0 and in `*control_fd` a descriptor (close-on-exec) that is the leash's life; negative errno if it
 * could not be done, then nothing stays stopped: -ESRCH no such process, -EPERM not ours, -E2BIG more than
 * LEASH_PROCESSES_MAX. `victim`, which is not the caller, should be a child that the caller has not reaped
 * yet, so that its id cannot mean another process. `lease` > 0, by CLOCK_MONOTONIC.
 *
 * Closing `*control_fd` ends it early. The descriptor becomes readable (end of file) when the leash has ended
 * by itself: lease over, or the victim is gone. The leash is no child of the caller: init reaps it (and its
 * guard, should the leash be killed), or the nearest subreaper. A caller that is one itself must reap
 * children it does not know (waitpid(-1)). */
int leash_hang(pid_t victim, duration lease, int *control_fd);

/* Stops that process alone, not its children and not its group. It need be no child of the caller, and it may
 * be the caller itself, with all its threads: then the call returns when the lease is over, or when the leash
 * was ended from outside; `*control_fd` is then readable already, and is to be released all the same. A
 * caller with threads is fine; no handler of its own runs in the leash. */
int leash_hang_alone(pid_t victim, duration lease, int *control_fd);

/* Ends it at once, also if a child that was forked meanwhile inherited the descriptor; closes, sets -1. A
 * descriptor below 0 is fine. */
void leash_release(int *control_fd);

#endif
