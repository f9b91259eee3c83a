#include "agent/knock.h"

#include "base/clock.h"

#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { KNOCKS_MAX = 32, SAY_SIZE = 256 };

static const duration stay_ns = 50 * MILLISECOND;

struct visit {
    struct knocker *knocker;
    struct event *event; /* NULL: this place is free */
    int64_t began_ns;
    duration opened_ns; /* it took that long to open; 0: not yet */
    size_t heard;       /* bytes of `wanted` that came */
    int fd;
};

struct knocker {
    struct event_base *base;
    knock_done *done;
    void *context;
    duration timeout_ns;
    int port;
    char say[SAY_SIZE]; /* with its CR LF; "": nothing */
    char wanted[KNOCK_WANTED_MAX + 1];
    struct visit visits[KNOCKS_MAX];
};

static void visit_forget(struct visit *visit)
{
    event_free(visit->event);
    visit->event = NULL;
    close(visit->fd);
}

static void visit_end(struct visit *visit, bool answered, duration took_ns)
{
    struct knocker *knocker = visit->knocker;
    visit_forget(visit);
    knocker->done(knocker->context, answered, took_ns);
}

/* The visit goes on: for another event, or until its next time-out. */
static void visit_wait(struct visit *visit, short events, duration limit_ns)
{
    struct timeval limit = timeval_of(limit_ns > 0 ? limit_ns : MICROSECOND);
    event_del(visit->event);
    event_assign(visit->event, visit->knocker->base, visit->fd, events, event_get_callback(visit->event),
                 visit);
    event_add(visit->event, &limit);
}

static void on_open(struct visit *visit)
{
    struct knocker *knocker = visit->knocker;
    int error = 0;
    socklen_t length = sizeof error;
    duration took_ns = monotonic_ns() - visit->began_ns;
    size_t say = strlen(knocker->say);
    if (getsockopt(visit->fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0 || error ||
        (say && send(visit->fd, knocker->say, say, MSG_NOSIGNAL) != (ssize_t)say)) {
        visit_end(visit, false, took_ns);
        return;
    }
    visit->opened_ns = took_ns > 0 ? took_ns : 1;
    visit_wait(visit, EV_READ, say ? knocker->timeout_ns - took_ns : stay_ns);
}

/* What has come so far. */
static void on_answer(struct visit *visit, duration took_ns)
{
    const char *wanted = visit->knocker->wanted + visit->heard;
    char bytes[KNOCK_WANTED_MAX + 1];
    size_t missing = strlen(wanted);
    ssize_t got = recv(visit->fd, bytes, missing ? missing : 1, MSG_DONTWAIT);
    if (got <= 0 || (missing && memcmp(bytes, wanted, (size_t)got) != 0)) {
        visit_end(visit, false, took_ns);
    } else if ((size_t)got >= missing) {
        visit_end(visit, true, took_ns);
    } else {
        visit->heard += (size_t)got;
        visit_wait(visit, EV_READ, visit->knocker->timeout_ns - took_ns);
    }
}

static void on_event(evutil_socket_t fd, short what, void *context)
{
    struct visit *visit = context;
    bool says = visit->knocker->say[0];
    duration age_ns = monotonic_ns() - visit->began_ns;
    (void)fd;
    if (what & EV_WRITE)
        on_open(visit);
    else if (what & EV_READ)
        on_answer(visit, says ? age_ns : visit->opened_ns);
    else if (visit->opened_ns && !says) /* it stayed open */
        visit_end(visit, true, visit->opened_ns);
    else
        visit_end(visit, false, age_ns);
}

struct knocker *knocker_new(struct event_base *base, int port, const char *say, const char *wanted,
                            duration timeout_ns, knock_done *done, void *context)
{
    struct knocker *knocker = calloc(1, sizeof *knocker);
    if (!knocker)
        return NULL;
    *knocker = (struct knocker){
        .base = base, .done = done, .context = context, .timeout_ns = timeout_ns, .port = port};
    if (say && *say)
        snprintf(knocker->say, sizeof knocker->say, "%s\r\n", say);
    if (wanted)
        snprintf(knocker->wanted, sizeof knocker->wanted, "%s", wanted);
    return knocker;
}

void knocker_free(struct knocker **owner)
{
    struct knocker *knocker = *owner;
    *owner = NULL;
    for (size_t i = 0; knocker && i < KNOCKS_MAX; i++)
        if (knocker->visits[i].event)
            visit_forget(&knocker->visits[i]);
    free(knocker);
}

int knock(struct knocker *knocker)
{
    struct visit *visit = knocker->visits;
    while (visit < knocker->visits + KNOCKS_MAX && visit->event)
        visit++;
    if (visit == knocker->visits + KNOCKS_MAX)
        return -EAGAIN;
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)knocker->port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -EAGAIN;
    *visit = (struct visit){.knocker = knocker, .began_ns = monotonic_ns(), .fd = fd};
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0 && errno != EINPROGRESS)
        shutdown(fd, SHUT_RDWR); /* refused at once: the loop tells it like any other end */
    struct timeval limit = timeval_of(knocker->timeout_ns);
    visit->event = event_new(knocker->base, fd, EV_WRITE, on_event, visit);
    if (!visit->event || event_add(visit->event, &limit) < 0) {
        if (visit->event)
            event_free(visit->event);
        visit->event = NULL;
        close(fd);
        return -EAGAIN;
    }
    return 0;
}
