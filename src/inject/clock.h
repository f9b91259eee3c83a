/* The clock of leases and delays: CLOCK_MONOTONIC in nanoseconds. It is the same for all processes of a
 * machine, no one can set it, and it stands still while the laptop sleeps, so a lease does not run out in a
 * closed bag. */
#ifndef INJECT_CLOCK_H
#define INJECT_CLOCK_H

#include "base/units.h"

#include <time.h>

static inline int64_t clock_monotonic_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * SECOND + now.tv_nsec;
}

#endif
