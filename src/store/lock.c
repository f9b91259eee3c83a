#include "store/lock.h"

#include "base/flock.h"
#include "base/text.h"
#include "base/write_all.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Two names of one file must find the same lock. */
static bool settle_path(const char *path, char *settled, size_t settled_size)
{
    char *real = realpath(path, NULL);
    bool fits = text_copy(settled, settled_size, real ? real : path);
    free(real);
    return fits;
}

/* The number in the file is for people; the lock itself is the kernel's. */
static void name_owner(int fd, char *owner, size_t owner_size)
{
    ssize_t length = pread(fd, owner, owner_size - 1, 0);
    owner[length > 0 ? length : 0] = '\0';
    owner[strcspn(owner, "\n")] = '\0';
    if (!owner[0])
        snprintf(owner, owner_size, "unknown");
}

static int lock_file(int fd, const char *settled, char *error, size_t error_size)
{
    char owner[16];
    int result = flock_within(fd, FLOCK_PATIENCE);
    if (result < 0) {
        name_owner(fd, owner, sizeof owner);
        snprintf(error, error_size,
                 "another control plane (process %s) has %s: stop it first, or name another file", owner,
                 settled);
        return result;
    }
    int length = snprintf(owner, sizeof owner, "%d\n", (int)getpid());
    result =
        ftruncate(fd, 0) < 0 ? -errno : write_all(fd, owner, (size_t)length); /* it is at its beginning */
    if (result < 0)
        snprintf(error, error_size, "%s.lock cannot be written: %s", settled, strerror(-result));
    return result;
}

int lock_take(const char *path, char *settled, size_t settled_size, char *error, size_t error_size)
{
    char name[LOCK_PATH_SIZE];
    if (!settle_path(path, settled, settled_size) ||
        snprintf(name, sizeof name, "%s.lock", settled) >= (int)sizeof name) {
        snprintf(error, error_size, "the path of the store is too long: %s", path);
        return -ENAMETOOLONG;
    }
    int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) {
        int reason = errno;
        snprintf(error, error_size, "%s cannot be opened: %s", name, strerror(reason));
        return -reason;
    }
    int result = lock_file(fd, settled, error, error_size);
    if (result == 0)
        return fd;
    close(fd);
    return result;
}

void lock_release(int fd)
{
    if (fd >= 0)
        close(fd);
}
