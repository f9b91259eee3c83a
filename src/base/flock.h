/* Taking a lock that its last owner may still be letting go.
 *
 * flock() belongs to an open file, and a process that was forked a moment ago shares its parent's open files
 * until it begins its own program. Whoever takes a killed owner's place at once can find the lock held by
 * such a child, which needs only a moment of processor time to let it go or to die. */
#ifndef BASE_FLOCK_H
#define BASE_FLOCK_H

#include "base/units.h"

/* How long a killed owner's children may need on a busy machine. Only who is refused waits that long. */
#define FLOCK_PATIENCE (2 * SECOND)

/* The exclusive lock of `fd`, tried again until `patience_ns` is over; 0: once. Returns 0, -EWOULDBLOCK if
 * somebody has it, or another negative errno. */
int flock_within(int fd, duration patience_ns);

#endif
