#include "agent/folder_copy.h"

#include "agent/child.h"
#include "agent/sweep.h"
#include "base/clock.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_SIZE = 1024 };

static const duration limit_ns = 10 * SECOND;

struct folder_copy {
    struct event_base *base;
    const char *log_path;
    struct event *limit;
    struct child child;
    folder_copy_done *done;
    void *context;
    bool too_long;
};

static void on_death(void *context, int status)
{
    struct folder_copy *copy = context;
    char how[64], detail[128];
    event_del(copy->limit);
    child_status_text(status, how, sizeof how);
    if (copy->too_long)
        snprintf(detail, sizeof detail, "the copy took longer than 10 s");
    else
        snprintf(detail, sizeof detail, "the copy %s (see the service's log)", how);
    copy->done(copy->context, copy->too_long ? -ETIMEDOUT : status ? -EIO : 0, detail);
}

static void on_limit(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    struct folder_copy *copy = context;
    copy->too_long = true;
    child_signal(&copy->child, SIGKILL);
}

struct folder_copy *folder_copy_new(struct event_base *base, const char *log_path)
{
    struct folder_copy *copy = calloc(1, sizeof *copy);
    if (!copy)
        return NULL;
    copy->base = base;
    copy->log_path = log_path;
    copy->child.pidfd = -1;
    copy->limit = event_new(base, -1, 0, on_limit, copy);
    if (!copy->limit) {
        free(copy);
        return NULL;
    }
    return copy;
}

void folder_copy_free(struct folder_copy **owner)
{
    struct folder_copy *copy = *owner;
    *owner = NULL;
    if (!copy)
        return;
    child_reap(&copy->child);
    event_free(copy->limit);
    free(copy);
}

int folder_copy_start(struct folder_copy *copy, const char *from, const char *to, folder_copy_done *done,
                      void *context)
{
    char source[PATH_SIZE], target[PATH_SIZE];
    struct swept swept = {0};
    if (copy->child.pid)
        return -EBUSY;
    if (snprintf(source, sizeof source, "%s/.", from) >= PATH_SIZE ||
        snprintf(target, sizeof target, "%s/", to) >= PATH_SIZE)
        return -ENAMETOOLONG;
    int error = sweep_folder(to, &swept);
    if (error)
        return error;
    /* On the disk before anybody is told to use it. */
    char *argv[] = {"/bin/sh", "-c",   "cp -a --reflink=auto -- \"$1\" \"$2\" && sync -f \"$2\"",
                    "copy",    source, target,
                    NULL};
    int log_fd = open(copy->log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    struct child_options options = {.argv = argv, .log_fd = log_fd, .died = on_death, .context = copy};
    error = child_start(&copy->child, copy->base, &options);
    if (log_fd >= 0)
        close(log_fd);
    if (error)
        return error;
    copy->done = done;
    copy->context = context;
    copy->too_long = false;
    struct timeval limit = timeval_of(limit_ns);
    event_add(copy->limit, &limit);
    return 0;
}
