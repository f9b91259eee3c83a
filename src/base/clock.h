/* The clocks of the doing side, in nanoseconds and deaf to whoever sets the wall clock. The deciding side
 * (core) never includes this: there, time arrives with the events. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include "base/units.h"

#include <sys/time.h>
#include <time.h>

static inline int64_t clock_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec * SECOND + now.tv_nsec;
}

/* For time-outs, leases and latencies: the same for all processes of a machine, and it stands still while the
 * machine is suspended, so that a lease does not run out in a closed bag. */
static inline int64_t monotonic_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

/* For the age of samples: goes on while the machine is suspended. */
static inline int64_t uptime_ns(void)
{
    return clock_ns(CLOCK_BOOTTIME);
}

static inline struct timeval timeval_of(duration d)
{
    return (struct timeval){.tv_sec = d / SECOND, .tv_usec = d % SECOND / MICROSECOND};
}

#endif
