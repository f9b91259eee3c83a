/* What the machine gives: limits, clocks, /proc, and the rights to do what a lab does. */
#include "cli/doctor.h"

#include "base/clock.h"
#include "base/text.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    DESCRIPTORS_WANTED = 8192, /* serve asks for as many: one for each node agent that stays connected */
    DESCRIPTORS_LEAST = 256,   /* a lab of a few nodes */
    PROCESSES_LEAST = 64,      /* four for each node, and the compiler's */
    PATH_SIZE = 4096
};

#define MIB              (1024.0 * 1024)
#define MEMORY_LEAST_MIB 64 /* the control plane, and a few node agents with their services */
#define MEMORY_GOOD_MIB  256
#define DISK_LEAST_MIB   64   /* what may wait for the disk at once */
#define DISK_GOOD_MIB    1024 /* some days of a lab of three */

/* Earlier than this program could have been written. */
#define WALL_EARLIEST (1735689600 * SECOND) /* 2025-01-01 */

static bool read_file(const char *path, char *out, size_t size)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    size_t length = fread(out, 1, size - 1, file);
    fclose(file);
    out[length] = '\0';
    out[strcspn(out, "\n")] = '\0';
    return length > 0;
}

/* --- limits --------------------------------------------------------------------------------------------- */

static void look_at_descriptors(struct checkup *checkup)
{
    struct rlimit limit = {0};
    getrlimit(RLIMIT_NOFILE, &limit);
    bool enough = limit.rlim_max == RLIM_INFINITY || limit.rlim_max >= DESCRIPTORS_WANTED;
    enum check_state state = enough ? CHECK_OK : limit.rlim_max >= DESCRIPTORS_LEAST ? CHECK_NOTE : CHECK_BAD;
    struct check *check;
    if (limit.rlim_max == RLIM_INFINITY)
        check = checkup_add(checkup, "descriptors", state, "as many as the control plane wants (%d)",
                            DESCRIPTORS_WANTED);
    else
        check = checkup_add(checkup, "descriptors", state, "up to %llu; the control plane takes up to %d",
                            (unsigned long long)limit.rlim_max, DESCRIPTORS_WANTED);
    if (!enough)
        check_mend(check, "For fleets beyond a few hundred nodes raise the hard limit (ulimit -Hn).");
}

static size_t my_processes(void)
{
    size_t count = 0;
    DIR *proc = opendir("/proc");
    for (struct dirent *entry = proc ? readdir(proc) : NULL; entry; entry = readdir(proc)) {
        struct stat info;
        if (isdigit((unsigned char)entry->d_name[0]) && fstatat(dirfd(proc), entry->d_name, &info, 0) == 0)
            count += info.st_uid == geteuid();
    }
    if (proc)
        closedir(proc);
    return count;
}

static void look_at_processes(struct checkup *checkup)
{
    struct rlimit limit = {0};
    size_t running = my_processes();
    getrlimit(RLIMIT_NPROC, &limit);
    if (limit.rlim_cur == RLIM_INFINITY || geteuid() == 0) {
        checkup_add(checkup, "processes", CHECK_OK, "%zu of this user run; nothing limits them", running);
        return;
    }
    bool enough = limit.rlim_cur > running + PROCESSES_LEAST;
    struct check *check =
        checkup_add(checkup, "processes", enough ? CHECK_OK : CHECK_BAD,
                    "%zu of at most %llu of this user run", running, (unsigned long long)limit.rlim_cur);
    if (!enough)
        check_mend(check, "Raise the limit (ulimit -u), or end some: a lab needs four for each node.");
}

static void look_at_memory(struct checkup *checkup)
{
    char text[4096] = "";
    unsigned long long kib = 0;
    FILE *file = fopen("/proc/meminfo", "re");
    if (file) {
        text[fread(text, 1, sizeof text - 1, file)] = '\0';
        fclose(file);
    }
    const char *line = strstr(text, "MemAvailable:");
    if (!line || sscanf(line, "MemAvailable: %llu", &kib) != 1) {
        checkup_add(checkup, "memory", CHECK_NOTE, "/proc/meminfo does not tell how much is free");
        return;
    }
    double mib = (double)kib / 1024;
    enum check_state state = mib >= MEMORY_GOOD_MIB    ? CHECK_OK
                             : mib >= MEMORY_LEAST_MIB ? CHECK_NOTE
                                                       : CHECK_BAD;
    struct check *check = checkup_add(checkup, "memory", state, "%.0f MiB are free", mib);
    if (state != CHECK_OK)
        check_mend(check, "End something: a lab wants about %d MiB.", MEMORY_GOOD_MIB);
}

/* The folder of the database, or the nearest above it that exists. */
static void existing_folder(const struct doctor *doctor, char folder[PATH_SIZE])
{
    text_copy(folder, PATH_SIZE, doctor->database);
    struct stat info;
    do {
        char *slash = strrchr(folder, '/');
        if (slash)
            slash[slash == folder] = '\0';
        else
            text_copy(folder, PATH_SIZE, ".");
    } while (stat(folder, &info) != 0 && strcmp(folder, ".") != 0 && strcmp(folder, "/") != 0);
}

static void look_at_disk(const struct doctor *doctor, struct checkup *checkup)
{
    char folder[PATH_SIZE];
    struct statvfs info;
    existing_folder(doctor, folder);
    if (statvfs(folder, &info) != 0) {
        checkup_add(checkup, "disk", CHECK_BAD, "%s: %s", folder, strerror(errno));
        return;
    }
    double mib = (double)info.f_bavail * (double)info.f_frsize / MIB;
    enum check_state state = mib >= DISK_GOOD_MIB ? CHECK_OK : mib >= DISK_LEAST_MIB ? CHECK_NOTE : CHECK_BAD;
    struct check *check = checkup_add(checkup, "disk", state, "%.0f MiB are free at %s", mib, folder);
    if (state != CHECK_OK)
        check_mend(check, "Make room, or name a database elsewhere with --db.");
}

/* The third number of schedstat counts time slices: 0 throughout means that the kernel does not keep it. */
static void look_at_proc(struct checkup *checkup)
{
    char text[256];
    unsigned long long run, wait, slices = 0;
    if (!read_file("/proc/self/stat", text, sizeof text)) {
        struct check *check = checkup_add(checkup, "/proc", CHECK_BAD, "it cannot be read");
        check_mend(check, "Mount it (mount -t proc proc /proc): node agents see their services there.");
        return;
    }
    bool counted = read_file("/proc/self/schedstat", text, sizeof text) &&
                   sscanf(text, "%llu %llu %llu", &run, &wait, &slices) == 3 && slices > 0;
    struct check *check = checkup_add(checkup, "/proc", counted ? CHECK_OK : CHECK_BAD,
                                      counted ? "readable, and schedstat counts run and wait time"
                                              : "readable, but schedstat does not count");
    if (!counted)
        check_mend(check, "Boot a kernel with CONFIG_SCHED_INFO: cpu_utilization is made of it.");
}

static void look_at_clocks(struct checkup *checkup)
{
    struct timespec boot, steady;
    char source[64] = "unknown", wall[32];
    bool counts = clock_gettime(CLOCK_BOOTTIME, &boot) == 0 && clock_gettime(CLOCK_MONOTONIC, &steady) == 0;
    read_file("/sys/devices/system/clocksource/clocksource0/current_clocksource", source, sizeof source);
    struct check *check = checkup_add(checkup, "clock", counts ? CHECK_OK : CHECK_BAD,
                                      counts ? "CLOCK_BOOTTIME counts; the kernel's source is %s"
                                             : "there is no CLOCK_BOOTTIME (source: %s)",
                                      source);
    if (!counts)
        check_mend(check, "Linux 2.6.39 or newer is needed.");

    instant now = clock_ns(CLOCK_REALTIME);
    text_instant(wall, now);
    check = checkup_add(checkup, "wall clock", now >= WALL_EARLIEST ? CHECK_OK : CHECK_NOTE, "%s", wall);
    if (now < WALL_EARLIEST)
        check_mend(check, "Set it: incidents would be told with a date long gone.");
}

void doctor_limits(const struct doctor *doctor, struct checkup *checkup)
{
    checkup->group = "Limits";
    look_at_descriptors(checkup);
    look_at_processes(checkup);
    look_at_memory(checkup);
    look_at_disk(doctor, checkup);
    look_at_proc(checkup);
    look_at_clocks(checkup);
}

/* --- rights --------------------------------------------------------------------------------------------- */

static void look_at_folder(const struct doctor *doctor, struct checkup *checkup)
{
    char folder[PATH_SIZE];
    existing_folder(doctor, folder);
    bool writable = eaccess(folder, W_OK | X_OK) == 0;
    struct check *check =
        checkup_add(checkup, "folder", writable ? CHECK_OK : CHECK_BAD,
                    writable ? "%s can be written" : "%s cannot be written: %s", folder, strerror(errno));
    if (!writable)
        check_mend(check, "Give yourself the right to write there, or name a database elsewhere with --db.");
}

static void look_at_loopback(struct checkup *checkup)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool good = fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0 && listen(fd, 1) == 0;
    struct check *check =
        checkup_add(checkup, "loopback", good ? CHECK_OK : CHECK_BAD,
                    good ? "127.0.0.1 can be listened on%s" : "127.0.0.1: %s", good ? "" : strerror(errno));
    if (!good)
        check_mend(check, "Bring the loopback up (ip link set lo up): all of a lab talks over it.");
    if (fd >= 0)
        close(fd);
}

static void look_at_user(struct checkup *checkup)
{
    if (geteuid() != 0) {
        checkup_add(checkup, "user", CHECK_OK, "%d; neither root nor ptrace is needed", (int)geteuid());
        return;
    }
    struct check *check = checkup_add(checkup, "user", CHECK_NOTE, "root, which nothing here needs");
    check_mend(check, "Run it as an ordinary user: faults then hit nothing but the lab.");
}

static void look_at_children(struct checkup *checkup)
{
    int number;
    bool ties = prctl(PR_GET_PDEATHSIG, &number) == 0 && prctl(PR_GET_CHILD_SUBREAPER, &number) == 0;
    struct check *check =
        checkup_add(checkup, "children", ties ? CHECK_OK : CHECK_BAD, "%s",
                    ties ? "they end with their parent (PDEATHSIG, subreaper)" : "prctl refuses PDEATHSIG");
    if (!ties)
        check_mend(check, "Loosen the sandbox: without it a kill -9 leaves processes behind.");
    int fd = (int)syscall(SYS_pidfd_open, getpid(), 0);
    check = checkup_add(checkup, "pidfd", fd >= 0 ? CHECK_OK : CHECK_NOTE, "%s",
                        fd >= 0 ? "processes can be held without mistaking them" : strerror(errno));
    if (fd < 0)
        check_mend(check, "Linux 5.3 or newer is needed for the fault service_hang; all else works.");
    else
        close(fd);
}

void doctor_rights(const struct doctor *doctor, struct checkup *checkup)
{
    checkup->group = "Rights";
    look_at_folder(doctor, checkup);
    look_at_loopback(checkup);
    look_at_user(checkup);
    look_at_children(checkup);
}
