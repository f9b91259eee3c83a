#include "agent/warden.h"

#include "agent/sweep.h"
#include "agent/tree.h"
#include "agent/versions.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* One pass over all processes; returns how many wards are still alive. */
static int warden_pass(const char *boot)
{
    int alive = 0;
    DIR *processes = opendir("/proc");
    if (!processes)
        return 0;
    for (struct dirent *entry; (entry = readdir(processes));) {
        pid_t pid = (pid_t)atoi(entry->d_name);
        if (pid <= 1 || pid == getpid() || !process_is_ward(pid, boot))
            continue;
        alive++;
        kill(pid, SIGKILL);
    }
    closedir(processes);
    return alive;
}

/* Holding the releases (versions.h) keeps the next node agent from its beginning while the scratch is swept;
 * if it has them already, the scratch is its own. */
static void clean_folder(const char *folder)
{
    enum { PATH_SIZE = PATH_MAX + 16 };
    char scratch[PATH_SIZE], releases[PATH_SIZE], configs[PATH_SIZE];
    struct swept swept = {0};
    snprintf(scratch, sizeof scratch, "%s/scratch", folder);
    snprintf(releases, sizeof releases, "%s/releases", folder);
    snprintf(configs, sizeof configs, "%s/configs", folder);
    int fd = open(releases, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) == 0)
        sweep_folder(scratch, &swept);
    if (fd >= 0)
        close(fd);
    versions_clean(releases);
    versions_clean(configs);
}

static _Noreturn void warden_main(int lifeline, const char *boot, const char *folder)
{
    enum { PASSES = 100 }; /* 1 s: a process that cannot be killed by then is the kernel's */
    setsid();              /* a Ctrl-C or a closed terminal is meant for the node agent */
    prctl(PR_SET_NAME, "warden");
    for (int number = 1; number < 32; number++)
        signal(number, SIG_IGN);
    dup2(lifeline, 0);
    close_range(1, ~0u, 0); /* above all the write end of its own lifeline, and the listening sockets */
    char byte;
    ssize_t got;
    do
        got = read(0, &byte, 1);
    while (got > 0 || (got < 0 && errno == EINTR));
    /* A ward may be starting another one right now: only an empty pass proves that none is left. */
    for (int pass = 0; pass < PASSES && warden_pass(boot) > 0; pass++)
        nanosleep(&(struct timespec){.tv_nsec = 10 * 1000 * 1000}, NULL);
    clean_folder(folder);
    _exit(0);
}

int warden_start(struct warden *warden, const char *boot, const char *folder)
{
    int ends[2];
    char absolute[PATH_MAX]; /* wherever the node agent goes */
    *warden = (struct warden){.lifeline = -1};
    if (!realpath(folder, absolute) || pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    pid_t pid = fork();
    if (pid == 0)
        warden_main(ends[0], boot, absolute);
    int error = -errno;
    close(ends[0]);
    if (pid < 0) {
        close(ends[1]);
        return error;
    }
    *warden = (struct warden){.pid = pid, .lifeline = ends[1]};
    return 0;
}

void warden_end(struct warden *warden)
{
    if (warden->pid <= 0)
        return;
    close(warden->lifeline);
    while (waitpid(warden->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    *warden = (struct warden){.lifeline = -1};
}
