/* The helpers: small processes that make a fault real beside a service that reads no fault page.
 *
 *     burn       cpu_spike, runaway work inside a program that is not ours: in slices of 60 ms it stops the
 *                program's processes, burns in their stead and lets them go on, so that users feel what they
 *                feel of the built-in service
 *     leak       memory_leak: touches pages at a rate, up to a limit: memory that the release has lost
 *     neighbour  noisy_neighbour, another process on the node: threads that burn on the service's core,
 *                enough of them that the scheduler gives them the asked share, and no more than that share
 *
 * Each reads its intensity from the fault page as it is now (shapes!), and ends by itself with code 0 when
 * its fault is over (page_is_over() for the incarnation that it read at its start) or its victim is gone. It
 * dies with its parent.
 *
 * What the parent owes. A helper is started anew for each new process of the service. `burn` and `leak`
 * belong in the service's process group, `neighbour` in one of its own, and all in the session of the
 * service, or the scheduler may weigh the two sessions instead of their threads. `burn` is ended, by SIGTERM,
 * before the service is asked to end: a service that is stopped just then cannot answer. If a helper is
 * killed by SIGKILL, or stopped and then killed, helper_clean_up() is to be called for it. */
#ifndef INJECT_HELPER_H
#define INJECT_HELPER_H

#include <stdint.h>
#include <sys/types.h>

enum helper_kind { HELPER_BURN, HELPER_LEAK, HELPER_NEIGHBOUR };

struct helper_options {
    enum helper_kind kind;
    int page_fd;
    pid_t victim; /* burn: the root of the program's process tree; neighbour: the service, whose threads
                     it keeps on one core with itself while it lives, and lets go after; leak: 0, or a
                     process to end with */
    uint64_t most_bytes; /* leak: the node's memory: intensity 1 loses so much each minute, and no more in
                            all */
};

/* Runs until its fault is over or a signal ends it; returns the exit code: 0, or 3 with a sentence on stderr.
 * SIGTERM and SIGINT undo (SIGCONT, cores) and end it within 100 ms. */
int helper_main(struct helper_options options);

/* Undoes what a helper that was killed left behind in its victim: burn: it and its descendants go on;
 * neighbour: their threads may run wherever the caller may. Harmless if there is nothing to undo, or no such
 * process; the leak leaves nothing. The victim is a child that the caller has not reaped yet. */
void helper_clean_up(enum helper_kind kind, pid_t victim);

#endif
