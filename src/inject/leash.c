#include "inject/leash.h"

#include "base/check.h"
#include "base/clock.h"
#include "inject/victims.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define ANSWER_MS_MAX 5000                /* for the whole leash, on a machine that is busy */
#define INSIST_NS     (20 * MILLISECOND)  /* how often the leash looks whether all are still stopped */
#define OVERSLEPT_NS  (250 * MILLISECOND) /* after its lease; then the guard ends the leash */

_Static_assert(LEASH_PROCESSES_MAX == VICTIMS_MAX, "what is promised is what there is room for");

static volatile sig_atomic_t told_to_end;

static void on_signal(int number)
{
    (void)number;
    told_to_end = 1;
}

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

/* Until then, or until a descriptor is ready; true if one is. */
static bool wait_for(struct pollfd *watched, nfds_t count, int64_t until, const sigset_t *mask)
{
    int64_t left = until - monotonic_ns();
    struct timespec wait = {.tv_sec = left / SECOND, .tv_nsec = left % SECOND};

    return left > 0 && ppoll(watched, count, &wait, mask) > 0;
}

/* --- the guard's own process ---------------------------------------------------------------------------- */

/* Takes one pidfd. False at the end: the leash is gone. */
static bool guard_take(int from, struct victims *held)
{
    char byte, room[CMSG_SPACE(sizeof(int))];
    struct iovec piece = {.iov_base = &byte, .iov_len = 1};
    struct msghdr message = {
        .msg_iov = &piece, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof(room)};

    if (recvmsg(from, &message, MSG_CMSG_CLOEXEC) <= 0)
        return false;
    const struct cmsghdr *carried = CMSG_FIRSTHDR(&message);
    if (carried && carried->cmsg_type == SCM_RIGHTS && held->count < VICTIMS_MAX)
        memcpy(&held->fds[held->count++], CMSG_DATA(carried), sizeof(int));
    return true;
}

/* All signals stay blocked: whoever ends the guard kills it. */
static _Noreturn void guard_run(pid_t leash, int from, int64_t until)
{
    static struct victims held;
    int leash_fd = victims_open(leash);

    prctl(PR_SET_NAME, "leash-guard");
    close_all_but(from, leash_fd < 0 ? from : leash_fd);
    struct pollfd watched = {.fd = from, .events = POLLIN};
    while (wait_for(&watched, 1, until + OVERSLEPT_NS, NULL) && guard_take(from, &held))
        ;
    /* Gone, or stopped itself; in any case not to stop anybody again. */
    if (leash_fd >= 0)
        syscall(SYS_pidfd_send_signal, leash_fd, SIGKILL, NULL, 0);
    victims_continue(&held);
    _exit(0);
}

static int guard_tell(void *context, int fd)
{
    const int *to = context;
    char byte = 0, room[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec piece = {.iov_base = &byte, .iov_len = 1};
    struct msghdr message = {
        .msg_iov = &piece, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof(room)};
    struct cmsghdr *carried = CMSG_FIRSTHDR(&message);

    *carried = (struct cmsghdr){
        .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(carried), &fd, sizeof(fd));
    return sendmsg(*to, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* Returns the guard's process id and the socket to tell it by, or negative errno. */
static pid_t guard_start(int64_t until, int *to)
{
    int ends[2];
    pid_t leash = getpid();

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return -errno;
    pid_t guard = fork();
    if (guard == 0)
        guard_run(leash, ends[1], until);
    int error = -errno;
    close(ends[1]);
    if (guard < 0) {
        close(ends[0]);
        return error;
    }
    *to = ends[0];
    return guard;
}

static void guard_end(pid_t guard, int to)
{
    kill(guard, SIGKILL); /* our child, not reaped before */
    while (waitpid(guard, NULL, 0) < 0 && errno == EINTR)
        ;
    close(to);
}

/* --- the leash's own process ---------------------------------------------------------------------------- */

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

/* Until it is let go, until its caller, the victim or the guard is dead, or until the lease is over. */
static void hold_on(const struct victims *victims, int control, int guard, int64_t until)
{
    sigset_t none;
    struct pollfd watched[] = {{.fd = control, .events = POLLIN},
                               {.fd = victims->fds[0], .events = POLLIN},
                               {.fd = guard, .events = POLLIN}};

    sigemptyset(&none);
    while (!told_to_end) {
        int64_t now = monotonic_ns(), next = until - now < INSIST_NS ? until : now + INSIST_NS;
        if (now >= until || wait_for(watched, COUNT_OF(watched), next, &none))
            return;
        if (next < until)
            victims_stop_again(victims);
    }
}

struct order {
    pid_t victim;
    int victim_fd, control;
    enum victims_reach reach;
    int64_t until;
};

static _Noreturn void leash_run(const struct order *order)
{
    static struct victims victims;
    int guard_fd = -1;

    forget_handlers();
    prctl(PR_SET_NAME, "leash");
    close_all_but(order->control, order->victim_fd);
    pid_t guard = guard_start(order->until, &guard_fd);
    struct victims_options options = {.root = order->victim,
                                      .root_fd = order->victim_fd,
                                      .reach = order->reach,
                                      .spared = guard,
                                      .stopping = guard_tell,
                                      .context = &guard_fd};
    int answer = guard < 0 ? guard : victims_stop(&victims, &options);
    send(order->control, &answer, sizeof(answer), MSG_NOSIGNAL);
    if (answer == 0)
        hold_on(&victims, order->control, guard_fd, order->until);
    victims_continue(&victims);
    if (guard > 0)
        guard_end(guard, guard_fd);
    _exit(0);
}

/* --- the caller ----------------------------------------------------------------------------------------- */

/* Forks twice, so that the leash is nobody's child but init's and its end needs no one's attention. */
static int start_leash(const struct order *order)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    pid_t between = fork();
    int error = between < 0 ? -errno : 0;
    if (between == 0) {
        setsid(); /* out of the node agent's process group */
        pid_t leash = fork();
        if (leash == 0)
            leash_run(order);
        _exit(leash < 0 ? 1 : 0);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);

    int status = 0;
    if (between > 0)
        while (waitpid(between, &status, 0) < 0 && errno == EINTR)
            ;
    return error < 0 ? error : status == 0 ? 0 : -EAGAIN;
}

/* If the caller is the victim, it is stopped in here, and the answer is there when it goes on. */
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

static int hang(pid_t victim, enum victims_reach reach, duration lease, int *control_fd)
{
    int64_t until = monotonic_ns() + lease;
    int ends[2];

    int victim_fd = victims_open(victim);
    if (victim_fd < 0)
        return victim_fd;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) {
        int error = errno;
        close(victim_fd);
        return -error;
    }
    struct order order = {
        .victim = victim, .victim_fd = victim_fd, .control = ends[1], .reach = reach, .until = until};
    int error = start_leash(&order);
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

int leash_hang(pid_t victim, duration lease, int *control_fd)
{
    CHECK(victim > 1 && victim != getpid() && lease > 0);
    return hang(victim, VICTIMS_GROUP, lease, control_fd);
}

int leash_hang_alone(pid_t victim, duration lease, int *control_fd)
{
    CHECK(victim > 1 && lease > 0);
    return hang(victim, VICTIMS_ONE, lease, control_fd);
}

void leash_release(int *control_fd)
{
    if (*control_fd < 0)
        return;
    shutdown(*control_fd, SHUT_RDWR);
    close(*control_fd);
    *control_fd = -1;
}
