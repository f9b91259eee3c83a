/* What the three processes of the slow-sockets story share: the attackers, the node agents, and the judge
 * that watches the control plane. One page of counters between them; each field has one writer. */
#ifndef TESTS_SLOW_H
#define TESTS_SLOW_H

#include "base/units.h"

#include <stdatomic.h>
#include <stdbool.h>

enum {
    SLOW = 2000,
    NODE_AGENTS = 100,
    ANSWERED_MAX = 64 * 1024 /* of one phase: ten minutes' worth */
};

enum phase { PHASE_ENROL, PHASE_CALM, PHASE_ATTACK, PHASE_AFTER, PHASE_OVER, PHASES = PHASE_OVER };

/* One report that was answered. */
struct answered {
    instant due_at;
    duration latency_ns; /* from when it was due until its answer was there */
    duration own_ns; /* of that the control plane's: without how late it was sent, and how long the loop there
                        and the node agents here waited for a processor meanwhile */
};

/* What the node agents saw in one phase; a report belongs to the phase in which it was sent. */
struct tally {
    atomic_int due, good, failed;
    int count;
    struct answered answered[ANSWERED_MAX];
};

enum slow_kind {
    SLOW_HEADERS, /* a byte of a header each five seconds */
    SLOW_BODY,    /* a byte of a body each five seconds */
    SLOW_READER,  /* asks forty times for a long answer, and reads none */
    SLOW_IDLE,    /* asks once, and keeps its connection */
    SLOW_WATCHER, /* asks for the event stream, and does not read it */
    SLOW_KINDS
};

struct attack {
    atomic_int connected[SLOW_KINDS]; /* now */
    atomic_int cuts[SLOW_KINDS];      /* by the other side */
    atomic_int failed;                /* that did not come to be connections */
};

struct shared {
    int plane; /* its process id */
    int port;
    atomic_int phase; /* enum phase; the judge moves it */
    struct tally tallies[PHASES];
    struct attack attack;
};

/* Both run until they are killed, the node agents also until PHASE_OVER and all answers are there. */
_Noreturn void attackers_run(struct shared *shared);
_Noreturn void node_agents_run(struct shared *shared);

/* Ends the program, and says why as TAP does. */
_Noreturn void bail(const char *what);

/* A new non-blocking socket on its way to the control plane. `receive_bytes` 0: as the kernel likes it. */
int slow_connect(const struct shared *shared, int receive_bytes);

#endif
