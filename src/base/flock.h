/* Taking a lock that its last owner may still be letting go.
 *
 * flock() belongs to an open file, and a process that was forked a moment ago shares its parent's open files
 * until it begins its own program. Whoever takes a killed owner's place at once can find the lock held by
 * such a child, which needs only a moment of processor time to let it go or to die. */
#ifndef BASE_FLOCK_H
#define BASE_FLOCK_H

#include "base/clock.h"

#include <errno.h>
#include <sys/file.h>

/* How long a killed owner's children may need on a busy machine. Only who is refused waits that long. */
#define FLOCK_PATIENCE (2 * SECOND)

/* The exclusive lock of `fd`, tried again until `patience_ns` is over; 0: once. Returns 0, -EWOULDBLOCK if
 * somebody has it, or another negative errno. */
static inline int flock_within(int fd, duration patience_ns)
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

#endif
