#include "cli/swarm_jobs.h"

#include "base/check.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

struct worker {
    pid_t pid;
    int fd;        /* what it tells; -1: it has ended */
    uint64_t next; /* the seed it is at, or comes to; past the end: none is left */
    size_t filled; /* of `told` */
    struct swarm_told *told;
};

struct jobs {
    uint64_t end; /* the first seed after the last one */
    uint32_t count;
    struct worker worker[SWARM_JOBS_MAX];
    swarm_tell_fn *tell;
    void *context;
};

/* --- in a worker ---------------------------------------------------------------------------------------- */

static bool write_all(int fd, const void *bytes, size_t size)
{
    for (const char *from = bytes; size > 0;) {
        ssize_t written = write(fd, from, size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return false;
        from += written;
        size -= (size_t)written;
    }
    return true;
}

/* A run that never ends is a run that breaks: SIGPROF ends the process. Measured in time of the processor, so
 * that a busy machine matters little. */
static void give_time(void)
{
    const struct itimerval time = {.it_value.tv_sec = SWARM_SEED_SECONDS};
    CHECK(setitimer(ITIMER_PROF, &time, NULL) == 0);
}

/* Ends when its work is done, or nobody listens any more. */
static _Noreturn void work(int fd, uint64_t seed, uint64_t end, uint64_t stride)
{
    struct swarm *swarm = malloc(sizeof *swarm);
    struct swarm_told *told = malloc(sizeof *told);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    for (; swarm && told && seed < end; seed += stride) {
        memset(told, 0, sizeof *told);
        give_time();
        swarm_draw(seed, swarm);
        if (!swarm_run(swarm, NULL, false, &told->outcome))
            _exit(1);
        if (told->outcome.violations > 0)
            swarm_tail(swarm, told->tail);
        if (!write_all(fd, told, sizeof *told))
            _exit(1);
    }
    _exit(swarm && told ? 0 : 1);
}

static int start(struct jobs *jobs, struct worker *worker)
{
    int ends[2];
    if (pipe(ends) != 0)
        return -errno;
    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0) {
        int error = errno;
        close(ends[0]);
        close(ends[1]);
        return -error;
    }
    if (pid == 0) {
        close(ends[0]);
        work(ends[1], worker->next, jobs->end, jobs->count);
    }
    close(ends[1]);
    worker->pid = pid;
    worker->fd = ends[0];
    worker->filled = 0;
    return 0;
}

/* --- who started them ----------------------------------------------------------------------------------- */

static void tell_signal(struct jobs *jobs, struct worker *worker, int signal)
{
    memset(worker->told, 0, sizeof *worker->told);
    worker->told->outcome.seed = worker->next;
    worker->told->signal = signal;
    jobs->tell(jobs->context, worker->told);
}

/* Its seed is told as lost, and another worker takes up the rest. */
static int ended(struct jobs *jobs, struct worker *worker)
{
    int status;
    close(worker->fd);
    worker->fd = -1;
    while (waitpid(worker->pid, &status, 0) < 0)
        CHECK(errno == EINTR);
    worker->pid = 0;
    if (worker->next >= jobs->end)
        return 0;
    if (!WIFSIGNALED(status))
        return -ENOMEM;
    tell_signal(jobs, worker, WTERMSIG(status));
    worker->next += jobs->count;
    return worker->next < jobs->end ? start(jobs, worker) : 0;
}

static int hear(struct jobs *jobs, struct worker *worker)
{
    char *bytes = (char *)worker->told;
    ssize_t got = read(worker->fd, bytes + worker->filled, sizeof *worker->told - worker->filled);
    if (got < 0)
        return errno == EINTR ? 0 : -errno;
    if (got == 0)
        return ended(jobs, worker);
    worker->filled += (size_t)got;
    if (worker->filled == sizeof *worker->told) {
        worker->filled = 0;
        CHECK(worker->told->outcome.seed == worker->next);
        worker->next += jobs->count;
        jobs->tell(jobs->context, worker->told);
    }
    return 0;
}

static int hear_all(struct jobs *jobs)
{
    for (;;) {
        struct pollfd fds[SWARM_JOBS_MAX];
        bool any = false;
        for (uint32_t i = 0; i < jobs->count; i++) {
            fds[i] = (struct pollfd){.fd = jobs->worker[i].fd, .events = POLLIN};
            any |= fds[i].fd >= 0;
        }
        if (!any)
            return 0;
        if (poll(fds, jobs->count, -1) < 0 && errno != EINTR)
            return -errno;
        for (uint32_t i = 0; i < jobs->count; i++) {
            int code = fds[i].fd >= 0 && fds[i].revents != 0 ? hear(jobs, &jobs->worker[i]) : 0;
            if (code < 0)
                return code;
        }
    }
}

static void stop_all(struct jobs *jobs)
{
    for (uint32_t i = 0; i < jobs->count; i++) {
        struct worker *worker = &jobs->worker[i];
        if (worker->fd >= 0)
            close(worker->fd);
        if (worker->pid > 0) {
            kill(worker->pid, SIGTERM);
            waitpid(worker->pid, NULL, 0);
        }
        free(worker->told);
    }
}

int swarm_jobs_run(uint64_t first, uint64_t count, uint32_t jobs_count, swarm_tell_fn *tell, void *context)
{
    struct jobs jobs = {.end = first + count, .count = jobs_count, .tell = tell, .context = context};
    int code = 0;
    CHECK(jobs_count >= 1 && jobs_count <= SWARM_JOBS_MAX);
    for (uint32_t i = 0; i < jobs.count; i++) {
        jobs.worker[i] =
            (struct worker){.fd = -1, .next = first + i, .told = malloc(sizeof(struct swarm_told))};
        if (!jobs.worker[i].told)
            code = -ENOMEM;
    }
    for (uint32_t i = 0; i < jobs.count && code == 0; i++)
        if (jobs.worker[i].next < jobs.end)
            code = start(&jobs, &jobs.worker[i]);
    if (code == 0)
        code = hear_all(&jobs);
    stop_all(&jobs);
    return code;
}
