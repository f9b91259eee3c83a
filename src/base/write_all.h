/* Writes all of it, however little the kernel takes at a time. */
#ifndef BASE_WRITE_ALL_H
#define BASE_WRITE_ALL_H

#include <errno.h>
#include <stddef.h>
#include <unistd.h>

/* 0, or a negative errno: then a part of it may have been written. */
static inline int write_all(int fd, const void *bytes, size_t length)
{
    const char *at = bytes;
    while (length > 0) {
        ssize_t wrote = write(fd, at, length);
        if (wrote < 0 && errno != EINTR)
            return -errno;
        if (wrote == 0)
            return -ENOSPC;
        if (wrote > 0) {
            at += wrote;
            length -= (size_t)wrote;
        }
    }
    return 0;
}

#endif
