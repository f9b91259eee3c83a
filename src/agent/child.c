#include "agent/child.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static struct child *children; /* all that have not been reaped yet */

bool child_is_watched(pid_t pid)
{
    for (const struct child *child = children; child; child = child->next)
        if (child->pid == pid)
            return true;
    return false;
}

/* In the new process, between fork and exec: only calls that are safe there. */
static _Noreturn void child_become(const struct child_options *options, pid_t parent)
{
    if (setpgid(0, options->group) < 0 && options->group) /* the group has died: a helper is not wanted */
        _exit(127);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) /* it died before the line above */
        _exit(127);
    int null = open("/dev/null", O_RDWR);
    int log = options->log_fd >= 0 ? options->log_fd : null;
    dup2(null, STDIN_FILENO);
    dup2(log, STDOUT_FILENO);
    dup2(log, STDERR_FILENO);
    /* Whatever else is open here, such as a listening socket, must not live on in a stranger. */
    close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
    for (size_t i = 0; i < options->keep_count; i++)
        fcntl(options->keep[i], F_SETFD, 0);
    for (int number = 1; number < 32; number++)
        signal(number, SIG_DFL);
    sigset_t held;
    sigemptyset(&held);
    if (options->held)
        sigaddset(&held, options->held);
    sigprocmask(SIG_SETMASK, &held, NULL);
    execv(options->path ? options->path : options->argv[0], options->argv);
    _exit(127);
}

static void child_forget(struct child *child)
{
    if (child->watch)
        event_free(child->watch);
    if (child->pidfd >= 0)
        close(child->pidfd);
    struct child **link = &children;
    while (*link && *link != child)
        link = &(*link)->next;
    if (*link)
        *link = child->next;
    *child = (struct child){.pidfd = -1};
}

static void child_on_death(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    struct child *child = context;
    int status = 0;
    /* The zombie still pins the number of its group, so this cannot hit a stranger. */
    child_signal(child, SIGKILL);
    if (waitpid(child->pid, &status, WNOHANG) != child->pid)
        return;
    child_died *died = child->died;
    void *owner = child->context;
    child_forget(child);
    died(owner, status);
}

int child_start(struct child *child, struct event_base *base, const struct child_options *options)
{
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid < 0)
        return -errno;
    if (pid == 0)
        child_become(options, parent);
    pid_t group = options->group ? options->group : pid;
    setpgid(pid, group); /* both sides do it, so that neither has to wait for the other */
    *child = (struct child){
        .pid = pid, .group = group, .died = options->died, .context = options->context, .next = children};
    children = child;
    child->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (child->pidfd >= 0)
        child->watch = event_new(base, child->pidfd, EV_READ | EV_PERSIST, child_on_death, child);
    if (!child->watch || event_add(child->watch, NULL) < 0) {
        int error = child->pidfd < 0 ? -errno : -ENOMEM;
        child_reap(child);
        return error;
    }
    return 0;
}

void child_signal(const struct child *child, int signal_number)
{
    if (child->pid > 0)
        kill(child->group == child->pid ? -child->pid : child->pid, signal_number);
}

void child_reap(struct child *child)
{
    if (child->pid <= 0)
        return;
    child_signal(child, SIGKILL);
    while (waitpid(child->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    child_forget(child);
}

int child_exit_code(int status)
{
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

void child_status_text(int status, char *out, size_t size)
{
    if (WIFSIGNALED(status))
        snprintf(out, size, "was killed by signal %d", WTERMSIG(status));
    else
        snprintf(out, size, "exited with code %d", WEXITSTATUS(status));
}
