/* The lock that keeps a second control plane away from a store: flock() on `<path>.lock`. It belongs to the
 * kernel and ends with the process, however that ends; the file stays, because removing it would let two in.
 */
#ifndef STORE_LOCK_H
#define STORE_LOCK_H

#include <stddef.h>

enum { LOCK_PATH_SIZE = 4096 };

/* Takes the lock of the store at `path` and writes the path that it stands for, links resolved, to `settled`.
 * Returns a descriptor, or a negative errno with a sentence in `error`; -EWOULDBLOCK: another process
 * still has it after FLOCK_PATIENCE (base/flock.h). */
int lock_take(const char *path, char *settled, size_t settled_size, char *error, size_t error_size);
void lock_release(int fd); /* negative: nothing to do */

#endif
