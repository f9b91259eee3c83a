#include "agent/supervisor.h"

#include "agent/agent.h"
#include "agent/child.h"
#include "base/clock.h"
#include "agent/launch.h"
#include "agent/port.h"
#include "agent/second.h"
#include "base/check.h"
#include "base/crash.h"
#include "inject/page.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ACTIVE_PATH_SIZE = 1024 };

static const duration listen_limit_ns = 10 * SECOND;
static const duration patience_ns = 300 * MILLISECOND; /* between SIGTERM and SIGKILL */
static const duration stopped_patience_ns =
    100 *
    MILLISECOND; /* for a stopped one: the helper `burn` stops it for 60 ms at a time (inject/helper.h) */
static const duration look_ns = 2 * MILLISECOND; /* between looks whether it listens */

struct supervisor {
    struct event_base *base;
    struct supervisor_options options;
    struct event *timer; /* STARTING: look again; STOPPING: patience is over */
    struct child child;
    struct second *second;
    supervisor_done *done;
    void *done_context;
    int64_t started_ns;
    uint64_t starts;
    int exit;         /* of the process that died last, -1: none has */
    pid_t newest;     /* the process started last, dead or alive */
    pid_t pid_before; /* `newest` when the operation under way began */
    enum service_state state;
    uint64_t command; /* that asked for the operation under way; 0: none did */
    int stop_result;  /* what the stop under way will be told as */
    bool busy, start_after_stop, standby;
    bool blamed;        /* for its end: its release */
    bool reload_wanted; /* while it was starting */
    bool rushed;        /* STOPPING: it was given all its time */
};

/* --- how it ends ---------------------------------------------------------------------------------------- */

static void finish(struct supervisor *supervisor, int result, const char *detail)
{
    supervisor_done *done = supervisor->done;
    supervisor->busy = supervisor->start_after_stop = false;
    supervisor->command = 0;
    supervisor->done = NULL;
    if (done)
        done(supervisor->done_context, result, detail);
}

static void kill_tree(struct supervisor *supervisor)
{
    struct tree tree;
    supervisor_tree(supervisor, &tree);
    child_signal(&supervisor->child, SIGKILL);
    tree_signal(&tree, SIGKILL);
}

static void start_now(struct supervisor *supervisor);

static void stopped(struct supervisor *supervisor)
{
    if (supervisor->start_after_stop) {
        start_now(supervisor);
    } else if (supervisor->stop_result) {
        finish(supervisor, supervisor->stop_result, "it did not listen within 10 s and was killed");
    } else {
        supervisor->state = SERVICE_STOPPED;
        finish(supervisor, 0, "stopped");
    }
}

static void on_death(void *context, int status)
{
    struct supervisor *supervisor = context;
    enum service_state state = supervisor->state;
    char how[64], detail[128];
    child_status_text(status, how, sizeof how);
    event_del(supervisor->timer);
    supervisor->state = SERVICE_DEAD;
    supervisor->exit = supervisor->blamed && child_exit_code(status) >= 128 ? 1 : child_exit_code(status);
    supervisor->blamed = false;
    second_end(supervisor->second); /* it has nobody to work for */
    kill_tree(supervisor);          /* what it left behind would hold its port and its files */
    if (state == SERVICE_STOPPING) {
        stopped(supervisor);
        return;
    }
    if (state == SERVICE_STARTING) {
        snprintf(detail, sizeof detail, "the new process %s before it listened", how);
        finish(supervisor, -ECHILD, detail);
    }
    supervisor->options.died(supervisor->options.context, how);
}

/* --- how it begins -------------------------------------------------------------------------------------- */

/* Faults that sat in the old process do not strike the new one. */
static void renew_pages(struct supervisor *supervisor)
{
    for (int kind = 0; kind < FAULT_COUNT; kind++)
        if (fault_infos[kind].cures & REMEDY_BIT(RESTART_SERVICE))
            page_renew(supervisor->options.page, (enum fault_kind)kind);
}

static void start_now(struct supervisor *supervisor)
{
    if (supervisor->command)
        crash_here(CRASH_MID_EFFECT);
    if (supervisor->starts > 0)
        renew_pages(supervisor);
    struct launch launch = {.base = supervisor->base,
                            .options = &supervisor->options,
                            .standby = supervisor->standby,
                            .command = supervisor->command,
                            .died = on_death,
                            .context = supervisor};
    supervisor->reload_wanted = false;
    int error = launch_service(&launch, &supervisor->child);
    if (error < 0) {
        char detail[96];
        supervisor->state = SERVICE_DEAD;
        snprintf(detail, sizeof detail, "cannot start it: %s", strerror(-error));
        finish(supervisor, error, detail);
        return;
    }
    supervisor->starts++;
    supervisor->newest = supervisor->child.pid;
    supervisor->started_ns = monotonic_ns();
    supervisor->state = SERVICE_STARTING;
    struct timeval soon = timeval_of(look_ns);
    event_add(supervisor->timer, &soon);
}

static void stop_now(struct supervisor *supervisor)
{
    supervisor->state = SERVICE_STOPPING;
    second_end(supervisor->second);
    char state = process_state(supervisor->child.pid);
    bool is_stopped = state == 'T' || state == 't';
    if (is_stopped && !supervisor->options.agent->exec) {
        kill_tree(supervisor);
        return; /* on_death follows */
    }
    child_signal(&supervisor->child, SIGTERM);
    supervisor->rushed = !is_stopped;
    struct timeval patience = timeval_of(is_stopped ? stopped_patience_ns : patience_ns);
    event_add(supervisor->timer, &patience);
}

static void is_up(struct supervisor *supervisor)
{
    char detail[96];
    supervisor->state = SERVICE_UP;
    if (supervisor->reload_wanted)
        supervisor_reload(supervisor);
    if (supervisor->options.started)
        supervisor->options.started(supervisor->options.context);
    snprintf(detail, sizeof detail, "process %d -> %d", supervisor->pid_before, supervisor->child.pid);
    finish(supervisor, 0, detail);
}

/* STARTING: does it listen yet? A service that does not after 10 s never will. */
static void look(struct supervisor *supervisor)
{
    if (port_answers(supervisor->options.port)) {
        is_up(supervisor);
        return;
    }
    duration age_ns = monotonic_ns() - supervisor->started_ns;
    if (age_ns > listen_limit_ns) {
        supervisor->stop_result = -ETIMEDOUT;
        supervisor->state = SERVICE_STOPPING;
        kill_tree(supervisor);
        return;
    }
    struct timeval again = timeval_of(age_ns < SECOND ? look_ns : 25 * look_ns);
    event_add(supervisor->timer, &again);
}

static void patience_is_over(struct supervisor *supervisor)
{
    char state = process_state(supervisor->child.pid);
    struct timeval rest = timeval_of(patience_ns - stopped_patience_ns);
    if (!supervisor->rushed && state != 'T' && state != 't') { /* it was stopped, and now goes on */
        supervisor->rushed = true;
        event_add(supervisor->timer, &rest);
    } else {
        kill_tree(supervisor);
    }
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    struct supervisor *supervisor = context;
    if (supervisor->state == SERVICE_STARTING)
        look(supervisor);
    else if (supervisor->state == SERVICE_STOPPING)
        patience_is_over(supervisor);
}

/* --- which folder --------------------------------------------------------------------------------------- */

/* The built-in service finds the newer folder itself; of a program of one's own we must remember it, or the
 * next node agent would start it with old data. */
static bool active_path(const struct supervisor *supervisor, const char *suffix, char *out, size_t size)
{
    return supervisor->options.agent->exec &&
           snprintf(out, size, "%s/active%s", supervisor->options.agent->folder, suffix) < (int)size;
}

static bool read_active(const struct supervisor *supervisor)
{
    char path[ACTIVE_PATH_SIZE], text[16] = "";
    int fd = active_path(supervisor, "", path, sizeof path) ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd >= 0 && read(fd, text, sizeof text - 1) < 0)
        text[0] = '\0';
    if (fd >= 0)
        close(fd);
    return strcmp(text, "standby\n") == 0;
}

static int write_active(const struct supervisor *supervisor, bool standby)
{
    char path[ACTIVE_PATH_SIZE], draft[ACTIVE_PATH_SIZE];
    const char *text = standby ? "standby\n" : "primary\n";
    if (!active_path(supervisor, "", path, sizeof path) ||
        !active_path(supervisor, ".new", draft, sizeof draft))
        return supervisor->options.agent->exec ? -ENAMETOOLONG : 0;
    int fd = open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return -errno;
    errno = ENOSPC; /* what a short write means */
    bool is_written = write(fd, text, strlen(text)) == (ssize_t)strlen(text) && fsync(fd) == 0;
    int error = is_written && rename(draft, path) == 0 ? 0 : -errno;
    close(fd);
    return error;
}

/* --- the calls ------------------------------------------------------------------------------------------ */

struct supervisor *supervisor_new(struct event_base *base, const struct supervisor_options *options)
{
    struct supervisor *supervisor = calloc(1, sizeof *supervisor);
    if (!supervisor)
        return NULL;
    supervisor->base = base;
    supervisor->options = *options;
    supervisor->child.pidfd = -1;
    supervisor->exit = -1;
    supervisor->standby = read_active(supervisor);
    supervisor->timer = event_new(base, -1, 0, on_timer, supervisor);
    supervisor->second = second_new(base, &supervisor->options);
    if (!supervisor->timer || !supervisor->second)
        supervisor_free(&supervisor);
    return supervisor;
}

void supervisor_free(struct supervisor **owner)
{
    struct supervisor *supervisor = *owner;
    *owner = NULL;
    if (!supervisor)
        return;
    if (supervisor->timer && supervisor->second)
        kill_tree(supervisor);
    second_free(&supervisor->second);
    child_reap(&supervisor->child);
    if (supervisor->timer)
        event_free(supervisor->timer);
    free(supervisor);
}

static int begin(struct supervisor *supervisor, supervisor_done *done, void *context)
{
    if (supervisor->busy)
        return -EBUSY;
    supervisor->busy = true;
    supervisor->done = done;
    supervisor->done_context = context;
    supervisor->pid_before = supervisor->newest;
    supervisor->stop_result = 0;
    return 0;
}

int supervisor_restart(struct supervisor *supervisor, uint64_t command, supervisor_done *done, void *context)
{
    int error = begin(supervisor, done, context);
    if (error)
        return error;
    supervisor->command = command;
    if (supervisor->state == SERVICE_DEAD || supervisor->state == SERVICE_STOPPED) {
        start_now(supervisor);
        return 0;
    }
    supervisor->start_after_stop = true;
    stop_now(supervisor);
    return 0;
}

int supervisor_stop(struct supervisor *supervisor, supervisor_done *done, void *context)
{
    if (supervisor->busy) /* the end does not wait for a beginning */
        finish(supervisor, -ECANCELED, "the node agent is ending");
    int error = begin(supervisor, done, context);
    if (error)
        return error;
    if (supervisor->state == SERVICE_DEAD || supervisor->state == SERVICE_STOPPED)
        finish(supervisor, 0, "it was not running");
    else if (supervisor->state != SERVICE_STOPPING)
        stop_now(supervisor);
    return 0;
}

void supervisor_revive(struct supervisor *supervisor)
{
    if (supervisor->state == SERVICE_STOPPING)
        supervisor->start_after_stop = true;
    else if (supervisor->state == SERVICE_DEAD || supervisor->state == SERVICE_STOPPED)
        supervisor_restart(supervisor, 0, NULL, NULL);
}

int supervisor_scale_out(struct supervisor *supervisor, uint64_t command, supervisor_done *done,
                         void *context)
{
    if (supervisor->options.agent->exec)
        return -ENOTSUP;
    if (supervisor->busy || supervisor->state != SERVICE_UP)
        return -EBUSY;
    return second_start(supervisor->second, command, done, context);
}

void supervisor_scale_in(struct supervisor *supervisor)
{
    second_leave(supervisor->second);
}

int supervisor_instances(const struct supervisor *supervisor)
{
    return supervisor->state != SERVICE_UP ? 0 : second_is_up(supervisor->second) ? 2 : 1;
}

void supervisor_reload(struct supervisor *supervisor)
{
    if (supervisor->options.agent->exec)
        return;
    supervisor->reload_wanted = supervisor->state == SERVICE_STARTING;
    if (supervisor->state == SERVICE_UP)
        kill(supervisor->child.pid, SIGHUP);
    second_reload(supervisor->second);
}

void supervisor_blame_release(struct supervisor *supervisor)
{
    supervisor->blamed = true;
}

int supervisor_exit(const struct supervisor *supervisor)
{
    return supervisor->exit;
}

enum service_state supervisor_state(const struct supervisor *supervisor)
{
    return supervisor->state;
}

pid_t supervisor_pid(const struct supervisor *supervisor)
{
    return supervisor->child.pid;
}

uint64_t supervisor_starts(const struct supervisor *supervisor)
{
    return supervisor->starts;
}

int supervisor_port(const struct supervisor *supervisor)
{
    return supervisor->options.port;
}

void supervisor_tree(const struct supervisor *supervisor, struct tree *tree)
{
    pid_t second = second_pid(supervisor->second);
    tree_collect(tree, supervisor->child.pid, supervisor->options.boot);
    if (second > 0 && tree->count < TREE_MAX)
        tree->pid[tree->count++] = second;
}

pid_t supervisor_group(const struct supervisor *supervisor)
{
    return supervisor->child.group;
}

bool supervisor_on_standby(const struct supervisor *supervisor)
{
    return supervisor->standby;
}

int supervisor_set_standby(struct supervisor *supervisor, bool standby)
{
    int error = write_active(supervisor, standby);
    if (error == 0)
        supervisor->standby = standby;
    return error;
}
