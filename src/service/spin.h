/* Work that costs processor time and does nothing else. */
#ifndef SERVICE_SPIN_H
#define SERVICE_SPIN_H

#include "base/units.h"

#include <time.h>

/* Spins until `clock` has gone on by so much: CLOCK_MONOTONIC for a share of the time,
 * CLOCK_THREAD_CPUTIME_ID for work that takes longer beside busy neighbours. Ends early, within about a
 * millisecond, once `hurry_fd` is readable (-1: never). */
void spin(clockid_t clock, duration time, int hurry_fd);

#endif
