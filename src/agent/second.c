#include "agent/second.h"

#include "agent/agent.h"
#include "agent/launch.h"
#include "agent/port.h"
#include "base/clock.h"
#include "base/crash.h"
#include "inject/page.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const duration listen_limit_ns = 5 * SECOND;
static const duration patience_ns = 300 * MILLISECOND;
static const duration look_ns = 5 * MILLISECOND;
static const duration leave_ns = 500 * MILLISECOND; /* for what users have asked it already */

enum second_state { SECOND_NONE, SECOND_STARTING, SECOND_UP, SECOND_LEAVING, SECOND_ENDING };

struct second {
    struct event_base *base;
    const struct supervisor_options *options;
    struct event *timer; /* STARTING: look again; LEAVING: end now; ENDING: patience is over */
    struct child child;
    supervisor_done *done;
    void *done_context;
    int64_t started_ns;
    int port, reserved_fd;
    enum second_state state;
};

static void finish(struct second *second, int result, const char *detail)
{
    supervisor_done *done = second->done;
    second->done = NULL;
    if (done)
        done(second->done_context, result, detail);
}

static void let_go_of_port(struct second *second)
{
    page_set_second_port(second->options->page, 0);
    if (second->reserved_fd >= 0)
        close(second->reserved_fd);
    second->reserved_fd = -1;
}

static void on_death(void *context, int status)
{
    struct second *second = context;
    enum second_state state = second->state;
    char how[64], detail[128];
    child_status_text(status, how, sizeof how);
    event_del(second->timer);
    second->state = SECOND_NONE;
    let_go_of_port(second);
    if (state != SECOND_ENDING && state != SECOND_LEAVING)
        fprintf(stderr, "%s: the second instance %s\n", second->options->agent->name, how);
    snprintf(detail, sizeof detail, "the second instance %s before it listened", how);
    finish(second, -ECHILD, detail); /* in vain if it was told to end: that has been answered */
}

/* STARTING: does it listen yet? */
static void look(struct second *second)
{
    char detail[96];
    if (port_answers(second->port)) {
        second->state = SECOND_UP;
        page_set_second_port(second->options->page, (uint16_t)second->port);
        snprintf(detail, sizeof detail, "instances 1 -> 2: process %d on port %d", second->child.pid,
                 second->port);
        finish(second, 0, detail);
    } else if (monotonic_ns() - second->started_ns > listen_limit_ns) {
        second->state = SECOND_ENDING;
        child_signal(&second->child, SIGKILL);
        finish(second, -ETIMEDOUT, "the second instance did not listen within 5 s and was killed");
    } else {
        struct timeval again = timeval_of(look_ns);
        event_add(second->timer, &again);
    }
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    struct second *second = context;
    if (second->state == SECOND_STARTING)
        look(second);
    else if (second->state == SECOND_LEAVING)
        second_end(second);
    else
        child_signal(&second->child, SIGKILL);
}

struct second *second_new(struct event_base *base, const struct supervisor_options *options)
{
    struct second *second = calloc(1, sizeof *second);
    if (!second)
        return NULL;
    second->base = base;
    second->options = options;
    second->child.pidfd = second->reserved_fd = -1;
    second->timer = event_new(base, -1, 0, on_timer, second);
    if (!second->timer) {
        free(second);
        return NULL;
    }
    return second;
}

void second_free(struct second **owner)
{
    struct second *second = *owner;
    *owner = NULL;
    if (!second)
        return;
    child_reap(&second->child);
    if (second->reserved_fd >= 0)
        let_go_of_port(second);
    event_free(second->timer);
    free(second);
}

int second_start(struct second *second, uint64_t command, supervisor_done *done, void *context)
{
    if (second_is_up(second))
        return -EALREADY;
    if (second->state != SECOND_NONE)
        return -EBUSY;
    second->reserved_fd = port_reserve(&second->port);
    if (second->reserved_fd < 0)
        return second->reserved_fd;
    struct launch launch = {.base = second->base,
                            .options = second->options,
                            .command = command,
                            .died = on_death,
                            .context = second};
    int error = launch_second(&launch, second->port, &second->child);
    if (error < 0) {
        let_go_of_port(second);
        return error;
    }
    if (command)
        crash_here(CRASH_MID_EFFECT);
    second->state = SECOND_STARTING;
    second->started_ns = monotonic_ns();
    second->done = done;
    second->done_context = context;
    struct timeval soon = timeval_of(look_ns);
    event_add(second->timer, &soon);
    return 0;
}

void second_end(struct second *second)
{
    if (second->state == SECOND_NONE || second->state == SECOND_ENDING)
        return;
    page_set_second_port(second->options->page, 0);
    second->state = SECOND_ENDING;
    child_signal(&second->child, SIGTERM);
    struct timeval patience = timeval_of(patience_ns);
    event_add(second->timer, &patience);
    finish(second, -ECANCELED, "the second instance was ended before it listened");
}

void second_leave(struct second *second)
{
    struct timeval leave = timeval_of(leave_ns);
    if (second->state != SECOND_UP) {
        if (second->state == SECOND_STARTING)
            second_end(second);
        return;
    }
    page_set_second_port(second->options->page, 0);
    second->state = SECOND_LEAVING;
    event_add(second->timer, &leave);
}

void second_reload(struct second *second)
{
    if (second->state == SECOND_UP)
        kill(second->child.pid, SIGHUP);
}

pid_t second_pid(const struct second *second)
{
    return second->child.pid;
}

bool second_is_up(const struct second *second)
{
    return second->state == SECOND_UP;
}
