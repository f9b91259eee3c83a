#include "inject/leash.h"

#include "base/check.h"
#include "base/clock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define STOP_ROUNDS_MAX  16
#define STOP_WAIT_MS_MAX 200  /* for one process: one that waits for a disk stops only afterwards */
#define ANSWER_MS_MAX    5000 /* for the whole leash, on a machine that is busy */

/* What is on the leash. */
struct pack {
    pid_t victim;
    bool group; /* the victim leads its process group */
    size_t count;
    pid_t ids[LEASH_PROCESSES_MAX];
    int fds[LEASH_PROCESSES_MAX]; /* pidfds */
};

static volatile sig_atomic_t told_to_end;

static void on_signal(int number)
{
    (void)number;
    told_to_end = 1;
}

static int open_pidfd(pid_t id)
{
    return (int)syscall(SYS_pidfd_open, id, 0);
}

static int signal_pidfd(int fd, int number)
{
    return (int)syscall(SYS_pidfd_send_signal, fd, number, NULL, 0);
}

/* --- reading /proc --- */

struct family {
    char state;
    pid_t parent, group;
};

static bool family_of(pid_t id, struct family *family)
{
    char path[64], text[512];

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)id);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t length = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (length <= 0)
        return false;
    text[length] = '\0';

    /* The name in brackets may itself hold blanks and brackets: what counts comes after the last one. */
    const char *rest = strrchr(text, ')');
    int parent, group;
    if (!rest || sscanf(rest + 1, " %c %d %d", &family->state, &parent, &group) != 3)
        return false;
    family->parent = parent;
    family->group = group;
    return true;
}

static bool pack_has(const struct pack *pack, pid_t id)
{
    for (size_t i = 0; i < pack->count; i++)
        if (pack->ids[i] == id)
            return true;
    return false;
}

static bool pack_wants(const struct pack *pack, pid_t id)
{
    struct family family;

    return family_of(id, &family) && family.state != 'Z' && family.state != 'X' &&
           ((pack->group && family.group == pack->victim) || pack_has(pack, family.parent));
}

/* --- stopping and continuing --- */

static void wait_until_stopped(pid_t id)
{
    struct family family;

    for (int ms = 0; ms < STOP_WAIT_MS_MAX && family_of(id, &family) && !strchr("TtZX", family.state); ms++)
        poll(NULL, 0, 1);
}

/* Takes over the descriptor. */
static int pack_stop(struct pack *pack, pid_t id, int fd)
{
    if (pack->count == LEASH_PROCESSES_MAX) {
        close(fd);
        return -E2BIG;
    }
    if (signal_pidfd(fd, SIGSTOP) < 0) {
        int error = errno;
        close(fd);
        return -error;
    }
    pack->ids[pack->count] = id;
    pack->fds[pack->count++] = fd;
    wait_until_stopped(id);
    return 0;
}

static void pack_continue(struct pack *pack)
{
    while (pack->count > 0) {
        pack->count--;
        signal_pidfd(pack->fds[pack->count], SIGCONT);
        close(pack->fds[pack->count]);
    }
}

/* One look through /proc. Returns how many were newly stopped, or negative errno. */
static int pack_gather(struct pack *pack)
{
    DIR *processes = opendir("/proc");
    struct dirent *entry;
    int found = 0;

    if (!processes)
        return -errno;
    while (found >= 0 && (entry = readdir(processes)) != NULL) {
        pid_t id = (pid_t)strtol(entry->d_name, NULL, 10);
        if (id <= 1 || pack_has(pack, id) || !pack_wants(pack, id))
            continue;
        int fd = open_pidfd(id);
        /* Looked at again now that the pidfd holds it: the first look may have been at a predecessor. */
        if (fd >= 0 && !pack_wants(pack, id)) {
            close(fd);
            continue;
        }
        int error = fd < 0 ? -errno : pack_stop(pack, id, fd);
        if (error < 0 && error != -ESRCH)
            found = error;
        else if (error == 0)
            found++;
    }
    closedir(processes);
    return found;
}

/* The victim first; then whoever belongs to it, until a look finds nobody new: the stopped cannot fork. */
static int pack_hang(struct pack *pack, int victim_fd)
{
    int found = pack_stop(pack, pack->victim, victim_fd);

    for (int round = 0; found >= 0 && round < STOP_ROUNDS_MAX; round++) {
        found = pack_gather(pack);
        if (found == 0)
            break;
    }
    if (found < 0)
        pack_continue(pack);
    return found < 0 ? found : 0;
}

/* --- the leash's own process --- */

static void close_all_but(int first, int second)
{
    unsigned low = (unsigned)(first < second ? first : second),
             high = (unsigned)(first < second ? second : first);

    if (low > 0)
        close_range(0, low - 1, 0);
    if (high > low + 1)
        close_range(low + 1, high - 1, 0);
    close_range(high + 1, ~0u, 0);
    for (int fd = 0; fd <= 2; fd++) /* so that none of these is a pidfd that a library writes to */
        if (fcntl(fd, F_GETFD) < 0)
            (void)!open("/dev/null", O_RDWR);
}

/* Handlers of the parent's event loop must not run here: they write to descriptors that both share. All
 * signals are still blocked, from before the fork; they are let in while hold_on() waits. */
static void forget_handlers(void)
{
    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_DFL);
    struct sigaction end = {.sa_handler = on_signal};
    const int ends[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT};

    for (size_t i = 0; i < COUNT_OF(ends); i++)
        sigaction(ends[i], &end, NULL);
}

static void hold_on(int control, int victim_fd, int64_t until)
{
    sigset_t none;

    sigemptyset(&none);
    while (!told_to_end) {
        int64_t left = until - monotonic_ns();
        if (left <= 0)
            return;
        struct pollfd watched[] = {{.fd = control, .events = POLLIN}, {.fd = victim_fd, .events = POLLIN}};
        struct timespec wait = {.tv_sec = left / SECOND, .tv_nsec = left % SECOND};
        if (ppoll(watched, COUNT_OF(watched), &wait, &none) > 0)
            return; /* let go, the node agent is dead, or the victim is */
    }
}

static _Noreturn void leash_run(pid_t victim, bool group, int victim_fd, int64_t until, int control)
{
    static struct pack pack;

    forget_handlers();
    close_all_but(control, victim_fd);
    pack = (struct pack){.victim = victim, .group = group};
    int answer = pack_hang(&pack, victim_fd);
    send(control, &answer, sizeof(answer), MSG_NOSIGNAL);
    if (answer == 0)
        hold_on(control, victim_fd, until);
    pack_continue(&pack);
    _exit(0);
}

/* --- the caller --- */

/* Forks twice, so that the leash is nobody's child but init's and its end needs no one's attention. */
static int start_leash(pid_t victim, int victim_fd, int64_t until, int control)
{
    bool group = getpgid(victim) == victim;
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    pid_t between = fork();
    int error = between < 0 ? -errno : 0;
    if (between == 0) {
        setsid(); /* out of the node agent's process group */
        pid_t leash = fork();
        if (leash == 0)
            leash_run(victim, group, victim_fd, until, control);
        _exit(leash < 0 ? 1 : 0);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);

    int status = 0;
    if (between > 0)
        while (waitpid(between, &status, 0) < 0 && errno == EINTR)
            ;
    return error < 0 ? error : status == 0 ? 0 : -EAGAIN;
}

static int await_answer(int control)
{
    struct pollfd watched = {.fd = control, .events = POLLIN};
    int64_t until = monotonic_ns() + ANSWER_MS_MAX * MILLISECOND;
    int answer, ready;

    do {
        int64_t left = until - monotonic_ns();
        ready = poll(&watched, 1, left > 0 ? (int)(left / MILLISECOND) : 0);
    } while (ready < 0 && errno == EINTR);
    if (ready == 0)
        return -ETIMEDOUT;
    ssize_t length = recv(control, &answer, sizeof(answer), MSG_DONTWAIT);
    return length == (ssize_t)sizeof(answer) ? answer : -EIO;
}

int leash_hang(pid_t victim, duration lease, int *control_fd)
{
    CHECK(victim > 1 && victim != getpid() && lease > 0);
    int64_t until = monotonic_ns() + lease;
    int ends[2];

    int victim_fd = open_pidfd(victim);
    if (victim_fd < 0)
        return -errno;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) {
        int error = errno;
        close(victim_fd);
        return -error;
    }
    int error = start_leash(victim, victim_fd, until, ends[1]);
    close(victim_fd);
    close(ends[1]);
    if (error == 0)
        error = await_answer(ends[0]);
    if (error < 0) {
        close(ends[0]); /* a leash that answers late finds nobody and lets go */
        return error;
    }
    *control_fd = ends[0];
    return 0;
}

void leash_release(int *control_fd)
{
    if (*control_fd < 0)
        return;
    shutdown(*control_fd, SHUT_RDWR);
    close(*control_fd);
    *control_fd = -1;
}
