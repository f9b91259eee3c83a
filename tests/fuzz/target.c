#include "target.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

_Noreturn void promise_broken(const char *expression, const char *file, int line)
{
    fprintf(stderr, "%s:%d: broken promise: %s\n", file, line, expression);
    abort();
}

static void remove_folder(const char *folder)
{
    char path[512];
    DIR *dir = opendir(folder);
    for (struct dirent *entry = dir ? readdir(dir) : NULL; entry; entry = readdir(dir)) {
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            unlink(path);
    }
    if (dir)
        closedir(dir);
    rmdir(folder);
}

/* A crash ends in abort(), past atexit(): a process that outlives us by a moment clears up instead. It knows
 * our end by that of a pipe, whose other end only we hold. */
static void watch_and_remove(const char *folder, int pipe_fd)
{
    char byte;
    for (int number = 1; number < 32; number++)
        signal(number, SIG_IGN);
    for (int fd = 0; fd < 256; fd++) {
        if (fd != pipe_fd)
            close(fd);
    }
    while (read(pipe_fd, &byte, 1) > 0)
        ;
    remove_folder(folder);
    _exit(0);
}

void make_scratch_folder(char out[64])
{
    int ends[2];
    snprintf(out, 64, "%s/homeostat-fuzz-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    PROMISE(mkdtemp(out) && pipe(ends) == 0);
    pid_t child = fork();
    PROMISE(child >= 0);
    if (child == 0)
        watch_and_remove(out, ends[0]);
    close(ends[0]); /* ours stays open until we end */
}
