#include "plane/commits.h"

#include "base/check.h"
#include "base/text.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

const double commits_latency_bounds[LATENCY_BOUNDS] = {0.0005, 0.001, 0.002, 0.005, 0.01, 0.02,
                                                       0.05,   0.1,   0.25,  0.5,   1,    2.5};

int commits_init(struct commits *commits)
{
    memset(commits, 0, sizeof(*commits));
    commits->batch = 1;
    commits->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (commits->wake_fd < 0)
        return -errno;
    pthread_mutex_init(&commits->lock, NULL);
    return 0;
}

void commits_fini(struct commits *commits)
{
    if (commits->wake_fd < 0)
        return;
    close(commits->wake_fd);
    commits->wake_fd = -1;
    pthread_mutex_destroy(&commits->lock);
}

void commits_ended(void *context, uint64_t ticket, const char *error)
{
    struct commits *commits = context;
    pthread_mutex_lock(&commits->lock);
    if (ticket > commits->ended)
        commits->ended = ticket;
    if (error && !commits->failed) {
        commits->failed = true;
        text_copy(commits->error, sizeof(commits->error), error);
    }
    pthread_mutex_unlock(&commits->lock);
    uint64_t one = 1;
    ssize_t written = write(commits->wake_fd, &one, sizeof(one));
    (void)written; /* a full counter wakes the loop as well */
}

void commits_submit(struct commits *commits, instant now)
{
    if (!commits->dirty || commits->tail - commits->head == BATCHES_MAX)
        return;
    commits->way[commits->tail++ % BATCHES_MAX] =
        (struct batch){.ticket = commits->batch, .gate_ticket = commits->gate_ticket, .submitted_at = now};
    store_submit(commits->writer, commits->batch, commits->urgent);
    commits->batch++;
    commits->rows = 0;
    commits->gate_ticket = 0;
    commits->dirty = commits->urgent = false;
}

static void count_latency(struct commits *commits, double seconds)
{
    size_t i = 0;
    while (i < LATENCY_BOUNDS && seconds > commits_latency_bounds[i])
        i++;
    commits->latency_count[i]++;
    commits->latency_sum_s += seconds;
    commits->committed++;
}

enum commits_news commits_take(struct commits *commits, instant now, char *error, size_t error_size)
{
    uint64_t drained;
    ssize_t got = read(commits->wake_fd, &drained, sizeof(drained));
    (void)got; /* nothing to drain is fine */
    pthread_mutex_lock(&commits->lock);
    bool failed = commits->failed;
    uint64_t ended = commits->ended;
    if (failed)
        text_copy(error, error_size, commits->error);
    pthread_mutex_unlock(&commits->lock);
    if (failed)
        return COMMITS_FAILED;
    while (commits->head != commits->tail && commits->way[commits->head % BATCHES_MAX].ticket <= ended) {
        const struct batch *batch = &commits->way[commits->head++ % BATCHES_MAX];
        commits->durable = batch->ticket;
        if (batch->gate_ticket)
            commits->gate_durable = batch->gate_ticket;
        count_latency(commits, duration_seconds(now - batch->submitted_at));
    }
    return COMMITS_DURABLE;
}

void commits_forget(struct commits *commits)
{
    store_discard(commits->writer);
    pthread_mutex_lock(&commits->lock);
    commits->failed = false;
    pthread_mutex_unlock(&commits->lock);
    commits->head = commits->tail;
    commits->durable = commits->batch - 1;
    commits->rows = 0;
    commits->gate_ticket = 0;
    commits->dirty = commits->urgent = false;
}
