#include "agent/folder_use.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct walk {
    uint64_t bytes;
    size_t entries;
};

static void walk_folder(struct walk *walk, int folder_fd, int depth);

static void walk_entry(struct walk *walk, int folder_fd, const char *name, int depth)
{
    struct stat status;
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || walk->entries++ >= FOLDER_ENTRIES_MAX)
        return;
    if (fstatat(folder_fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return;
    if (S_ISREG(status.st_mode))
        walk->bytes += (uint64_t)status.st_blocks * 512;
    if (S_ISDIR(status.st_mode) && depth < FOLDER_DEPTH_MAX)
        walk_folder(walk, openat(folder_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC),
                    depth + 1);
}

/* Takes the descriptor over. */
static void walk_folder(struct walk *walk, int folder_fd, int depth)
{
    DIR *folder = folder_fd < 0 ? NULL : fdopendir(folder_fd);
    if (!folder) {
        if (folder_fd >= 0)
            close(folder_fd);
        return;
    }
    for (struct dirent *entry; walk->entries < FOLDER_ENTRIES_MAX && (entry = readdir(folder));)
        walk_entry(walk, folder_fd, entry->d_name, depth);
    closedir(folder);
}

uint64_t folder_use_bytes(const struct folder_use *use)
{
    struct walk walk = {0};
    for (size_t i = 0; i < FOLDERS_MAX && use->folders[i]; i++)
        walk_folder(&walk, open(use->folders[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC), 0);
    return walk.bytes;
}
