#include "service/spin.h"

#include "base/clock.h"

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#define LOOK_NS MILLISECOND /* how often it looks whether it should hurry */

static bool in_a_hurry(int hurry_fd)
{
    struct pollfd hurry = {.fd = hurry_fd, .events = POLLIN};

    return poll(&hurry, 1, 0) > 0;
}

void spin(clockid_t clock, duration time, int hurry_fd)
{
    int64_t now = clock_ns(clock), end = now + time, look_at = now;
    volatile uint64_t work = 1;

    while (now < end) {
        /* The first look is at once: at the end a thousand short pieces of work must not add up. */
        if (now >= look_at) {
            if (in_a_hurry(hurry_fd))
                return;
            look_at = now + LOOK_NS;
        }
        for (int i = 0; i < 1000; i++)
            work = work * UINT64_C(6364136223846793005) + 1;
        now = clock_ns(clock);
    }
}
