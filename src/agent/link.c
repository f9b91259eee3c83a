#include "agent/link.h"

#include "agent/child.h"
#include "agent/port.h"
#include "base/clock.h"
#include "agent/tree.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const duration patience_ns = 200 * MILLISECOND; /* the relay lets go of what it holds within 100 ms */

struct link {
    struct event_base *base;
    struct link_options options;
    struct child relay;
    struct event *patience;
    link_done *done;
    void *context;
    pid_t pid_before;
    bool replacing, drained;
};

static void finish(struct link *link, int result)
{
    char detail[96];
    if (result < 0)
        snprintf(detail, sizeof detail, "cannot start the relay: %s", strerror(-result));
    else
        snprintf(detail, sizeof detail, "relay %d -> %d", link->pid_before, link->relay.pid);
    link_done *done = link->done;
    link->replacing = false;
    link->done = NULL;
    if (done)
        done(link->context, result, detail);
}

/* A relay that dies unasked stays dead: the link is then silent, which the control plane sees in
 * network_latency. */
static void on_death(void *context, int status)
{
    (void)status;
    struct link *link = context;
    event_del(link->patience);
    if (link->replacing)
        finish(link, link_start(link));
}

static void on_patience(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    struct link *link = context;
    child_signal(&link->relay, SIGKILL);
}

struct link *link_new(struct event_base *base, const struct link_options *options)
{
    struct link *link = calloc(1, sizeof *link);
    if (!link)
        return NULL;
    link->base = base;
    link->options = *options;
    link->relay.pidfd = -1;
    link->patience = event_new(base, -1, 0, on_patience, link);
    if (!link->patience) {
        free(link);
        return NULL;
    }
    return link;
}

void link_free(struct link **owner)
{
    struct link *link = *owner;
    *owner = NULL;
    if (!link)
        return;
    child_reap(&link->relay);
    event_free(link->patience);
    free(link);
}

int link_start(struct link *link)
{
    const struct link_options *my = &link->options;
    char listen[16], echo[16], page[16], to[32];
    snprintf(listen, sizeof listen, "%d", my->listen_fd);
    snprintf(echo, sizeof echo, "%d", my->echo_fd);
    snprintf(page, sizeof page, "%d", my->page_fd);
    snprintf(to, sizeof to, "127.0.0.1:%d", my->to_port);
    const char *words[] = {"homeostat", "relay", "--listen-fd", listen, "--echo-fd", echo,
                           "--to",      to,      "--page-fd",   page,   NULL};
    char *argv[sizeof words / sizeof words[0]];
    memcpy(argv, words, sizeof words); /* execv takes char *const[] for history's sake and changes nothing */
    int log_fd = open(my->log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    struct child_options options = {.path = my->binary,
                                    .argv = argv,
                                    .keep = (const int[]){my->listen_fd, my->echo_fd, my->page_fd},
                                    .keep_count = 3,
                                    .held = SIGUSR1, /* or a drain at its very start would kill it */
                                    .log_fd = log_fd,
                                    .died = on_death,
                                    .context = link};
    int error = child_start(&link->relay, link->base, &options);
    if (log_fd >= 0)
        close(log_fd);
    link->drained = false;
    return error;
}

int link_replace(struct link *link, link_done *done, void *context)
{
    if (link->replacing)
        return -EBUSY;
    link->replacing = true;
    link->done = done;
    link->context = context;
    link->pid_before = link->relay.pid;
    if (!link->relay.pid) {
        /* Who has waited since it died has mostly given up. Their requests would be a surge of their own. */
        port_turn_away(link->options.listen_fd);
        finish(link, link_start(link));
        return 0;
    }
    char state = process_state(link->relay.pid);
    child_signal(&link->relay, state == 'T' ? SIGKILL : SIGTERM);
    struct timeval patience = timeval_of(patience_ns);
    event_add(link->patience, &patience);
    return 0;
}

void link_drain(struct link *link)
{
    link->drained = true;
    child_signal(&link->relay, SIGUSR1);
}

bool link_is_drained(const struct link *link)
{
    return link->drained;
}

pid_t link_pid(const struct link *link)
{
    return link->relay.pid;
}
