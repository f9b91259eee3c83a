#include "base/flock.h"

#include "base/clock.h"

#include <errno.h>
#include <sys/file.h>

int flock_within(int fd, duration patience_ns)
{
    static const struct timespec pause = {.tv_nsec = 5 * MILLISECOND};
    int64_t by_ns = monotonic_ns() + patience_ns;
    while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return -errno;
        if (monotonic_ns() >= by_ns)
            return -EWOULDBLOCK;
        nanosleep(&pause, NULL);
    }
    return 0;
}
