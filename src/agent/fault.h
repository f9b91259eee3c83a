/* One injected fault on this node, as injection.c keeps it. strike.c does it, effect.c judges it. */
#ifndef AGENT_FAULT_H
#define AGENT_FAULT_H

#include "agent/child.h"
#include "agent/injection.h"

#include <event2/event.h>

enum { NODE_FAULTS_MAX = 32, FAULT_REASON_SIZE = 128 };

enum fault_progress { FAULT_IS_ACTIVE, FAULT_IS_ENDED, FAULT_IS_FAILED };
enum fault_sight { SIGHT_IS_WAITING, SIGHT_IS_SEEN, SIGHT_IS_NONE };

struct fault {
    struct injection *injection;
    uint64_t id;
    int kind;  /* enum fault_kind, or -1: a word this node agent does not know */
    int shape; /* likewise */
    duration period_ns;
    double intensity; /* at its most */
    double level;     /* 0..1 of it, as it is on now */
    double peak;      /* the highest of these so far */
    int64_t peak_ns;  /* when it was first at half of its intensity; 0: not yet */
    int64_t began_ns, until_ns, ended_ns;
    enum fault_progress state;
    char reason[FAULT_REASON_SIZE];

    enum fault_sight effect, removal;
    double before, after,
        worst; /* of its metric: the last sample before it, the newest and the most moved one since */
    bool has_before, has_after;
    unsigned samples; /* since it began */

    bool listed; /* by the newest answer */
    bool told;   /* its end, and what was seen of it, were in a report */

    pid_t victim;        /* service_crash and service_hang: whom it struck */
    int leash_fd;        /* service_hang; -1: none */
    struct child helper; /* burn, leak or neighbour; pid 0: none */
    bool isolated;       /* the neighbour is stopped */
    int version;         /* that it rolled out; 0: none */
    int64_t exits_ns;    /* crash_loop: then the service is told to end; 0: not */
    int64_t killed_ns;   /* ... and then it is killed */
    int64_t surge_ns;    /* retry_storm: the surge is over then */
    bool bit;            /* something happened that no metric shows */
};

struct injection {
    struct injection_options options;
    struct event_base *base;
    struct event *tick;
    struct samples last; /* the newest of each metric */
    struct fault *faults[NODE_FAULTS_MAX];
    size_t count;
    int64_t room_ns; /* when the room on the disk was told last */
    bool ending;     /* the node agent is: nothing is brought back */
};

/* --- strike.c: how each kind is done ----------------------------------------------------------------------
 */

/* NULL, or why it cannot be done: then nothing is on. */
const char *strike_begin(struct fault *fault);

/* `level` 0..1 of its intensity from now on. Called at the beginning and when the shape says so. */
void strike_drive(struct fault *fault, double level);

/* The service listens again. */
void strike_started(struct fault *fault);

/* True if nothing that is there now can feel it any more, whatever its lease says. That is what a cure must
 * come to; that a remedy was carried out proves nothing. */
bool strike_is_out_of_reach(const struct fault *fault);

/* Time passes, about twenty times a second. NULL, or why the fault can no longer be kept up. */
const char *strike_tick(struct fault *fault, int64_t now_ns);

/* Undoes it. A neighbour that was isolated stays stopped until strike_bury(). What faults have in common (the
 * cut, the surge of users) stays as the others that are on want it. */
void strike_end(struct fault *fault);

/* The lease is over: no process of it is left. */
void strike_bury(struct fault *fault);

/* --- effect.c: what the samples say -----------------------------------------------------------------------
 */

void effect_observe(struct fault *fault, const struct samples *samples);

#endif
