#include "plane/clock.h"

#include "base/check.h"

#include <time.h>

static instant read_clock(clockid_t id)
{
    struct timespec t;
    CHECK(clock_gettime(id, &t) == 0);
    return (instant)t.tv_sec * SECOND + (instant)t.tv_nsec;
}

void clock_start(struct clock *clock, instant durable_at)
{
    instant wall_at = read_clock(CLOCK_REALTIME);
    instant start_at = durable_at != INSTANT_NONE && durable_at > wall_at ? durable_at : wall_at;
    clock->origin_at = start_at - read_clock(CLOCK_BOOTTIME);
    clock->pulse_at = start_at;
}

instant clock_now(const struct clock *clock)
{
    return clock->origin_at + read_clock(CLOCK_BOOTTIME);
}

duration clock_pulse(struct clock *clock, instant now, duration period_ns)
{
    duration since_ns = now - clock->pulse_at;
    clock->pulse_at = now;
    return since_ns > period_ns + CLOCK_LATE_MS * MILLISECOND ? since_ns : 0;
}
