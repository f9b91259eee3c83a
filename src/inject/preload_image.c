#include "inject/preload_image.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static int write_whole(int fd)
{
    size_t done = 0;

    while (done < preload_image_size) {
        ssize_t wrote = write(fd, preload_image + done, preload_image_size - done);
        if (wrote < 0 && errno != EINTR)
            return -errno;
        done += wrote > 0 ? (size_t)wrote : 0;
    }
    return fchmod(fd, 0700) < 0 ? -errno : 0; /* whatever the umask */
}

int preload_write(const char *path)
{
    char draft[PATH_MAX];

    if ((size_t)snprintf(draft, sizeof(draft), "%s.new", path) >= sizeof(draft))
        return -ENAMETOOLONG;
    unlink(draft); /* of one who was killed here */
    int fd = open(draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0700);
    if (fd < 0)
        return -errno;
    int error = write_whole(fd);
    if (close(fd) < 0 && error == 0)
        error = -errno;
    if (error == 0 && rename(draft, path) < 0)
        error = -errno;
    if (error < 0)
        unlink(draft);
    return error;
}
