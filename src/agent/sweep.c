#include "agent/sweep.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct walk {
    struct swept *swept;
    dev_t device;
    int error; /* the first */
};

static void walk_fail(struct walk *walk, int error)
{
    if (walk->error == 0)
        walk->error = error;
}

static bool is_full(const struct walk *walk)
{
    return walk->swept->files + walk->swept->folders >= SWEEP_ENTRIES_MAX;
}

static void walk_folder(struct walk *walk, int fd, int depth);

static void walk_entry(struct walk *walk, int parent, const char *name, int depth)
{
    struct stat status;
    if (fstatat(parent, name, &status, AT_SYMLINK_NOFOLLOW) < 0) {
        if (errno != ENOENT) /* its owner was faster */
            walk_fail(walk, -errno);
        return;
    }
    bool is_folder = S_ISDIR(status.st_mode);
    if (is_folder) {
        int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
            walk_fail(walk, -errno);
        else if (status.st_dev != walk->device)
            close(fd);
        else
            walk_folder(walk, fd, depth + 1);
    }
    if (unlinkat(parent, name, is_folder ? AT_REMOVEDIR : 0) < 0) {
        if (errno != ENOENT)
            walk_fail(walk, -errno);
        return;
    }
    walk->swept->files += !is_folder;
    walk->swept->folders += is_folder;
    walk->swept->bytes += is_folder ? 0 : (uint64_t)status.st_blocks * 512;
}

/* Closes `fd`. */
static void walk_folder(struct walk *walk, int fd, int depth)
{
    DIR *folder = depth < SWEEP_DEPTH_MAX ? fdopendir(fd) : NULL;
    if (!folder) {
        walk_fail(walk, depth < SWEEP_DEPTH_MAX ? -errno : -E2BIG);
        close(fd);
        return;
    }
    for (struct dirent *entry; (entry = readdir(folder));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (is_full(walk)) {
            walk_fail(walk, -E2BIG);
            break;
        }
        walk_entry(walk, dirfd(folder), entry->d_name, depth);
    }
    closedir(folder);
}

int sweep_folder(const char *path, struct swept *swept)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    if (fstat(fd, &status) < 0) {
        int error = -errno;
        close(fd);
        return error;
    }
    struct walk walk = {.swept = swept, .device = status.st_dev};
    walk_folder(&walk, fd, 0);
    return walk.error;
}
