/* The plane's clock: never earlier than anything it has made durable, never set back by anybody.
 *
 * It starts at max(newest durable instant, wall clock) and then follows CLOCK_BOOTTIME, which counts a
 * suspended laptop's hours too. The wall clock is not asked again, so an administrator who sets it moves
 * nothing. */
#ifndef PLANE_CLOCK_H
#define PLANE_CLOCK_H

#include "base/units.h"

struct clock {
    instant origin_at; /* plane's time less boot time */
    instant pulse_at;  /* when the loop was last seen alive */
};

enum { CLOCK_LATE_MS = 1000 }; /* a pulse this late means that we were away */

void clock_start(struct clock *clock, instant durable_at); /* INSTANT_NONE: nothing durable yet */
instant clock_now(const struct clock *clock);

/* Called at least every `period_ns`. Returns 0, or for how long the loop was away if that is more than a
 * second beyond the period: the process or the machine was suspended, or something blocked us. */
duration clock_pulse(struct clock *clock, instant now, duration period_ns);

#endif
