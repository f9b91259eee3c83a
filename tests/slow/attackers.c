/* Two thousand slow sockets, a fifth of each kind. They come all at once, as fast as one process can connect
 * them, and whoever is cut comes again at once: nothing limits them but that a connection that could not be
 * made is tried again a turn (10 ms) later. */
#include "slow/slow.h"

#include "base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { QUESTIONS = 40, SMALL_BUFFER = 4096, TURN_MS = 10 };

static const duration drip_ns = 5 * SECOND;

struct slow_one {
    enum slow_kind kind;
    int fd; /* -1: to come again */
    bool introduced;
    instant next_at; /* its next byte */
};

struct crowd {
    struct shared *shared;
    int epoll;
    struct slow_one ones[SLOW];
};

static void say(const struct slow_one *one, const char *text)
{
    (void)!send(one->fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void introduce(struct crowd *crowd, struct slow_one *one)
{
    static const char *const openings[SLOW_KINDS] = {
        [SLOW_HEADERS] = "GET /healthz HTTP/1.1\r\nX-Slow: ",
        [SLOW_BODY] = "POST /v1/reports HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Length: 100000\r\n\r\n{",
        [SLOW_READER] = "GET /openapi.json HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n",
        [SLOW_IDLE] = "GET /readyz HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n",
        [SLOW_WATCHER] = "GET /v1/events HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n",
    };
    char text[256];
    const char *opening = openings[one->kind], *port = strstr(opening, "%d");
    snprintf(text, sizeof text, "%s", opening);
    if (port)
        snprintf(text, sizeof text, "%.*s%d%s", (int)(port - opening), opening, crowd->shared->port,
                 port + 2);
    for (int i = 0; i < (one->kind == SLOW_READER ? QUESTIONS : 1); i++)
        say(one, text);
    /* Who does not read wants to hear only of the end. */
    bool reads = one->kind != SLOW_READER && one->kind != SLOW_WATCHER;
    struct epoll_event wanted = {.events = reads ? EPOLLIN : EPOLLRDHUP, .data.ptr = one};
    epoll_ctl(crowd->epoll, EPOLL_CTL_MOD, one->fd, &wanted);
    one->introduced = true;
    one->next_at = monotonic_ns() + drip_ns;
    crowd->shared->attack.connected[one->kind]++;
}

static void come(struct crowd *crowd, struct slow_one *one)
{
    bool small = one->kind == SLOW_READER || one->kind == SLOW_WATCHER;
    struct epoll_event wanted = {.events = EPOLLOUT, .data.ptr = one};
    one->introduced = false;
    one->fd = slow_connect(crowd->shared, small ? SMALL_BUFFER : 0);
    if (one->fd < 0)
        crowd->shared->attack.failed++;
    else if (epoll_ctl(crowd->epoll, EPOLL_CTL_ADD, one->fd, &wanted) != 0)
        bail("epoll");
}

static void leave(struct crowd *crowd, struct slow_one *one)
{
    struct attack *attack = &crowd->shared->attack;
    if (one->introduced) {
        attack->connected[one->kind]--;
        attack->cuts[one->kind]++;
    } else {
        attack->failed++;
    }
    close(one->fd);
    one->fd = -1;
}

static void hear(struct crowd *crowd, struct slow_one *one, uint32_t what)
{
    char answer[4096];
    bool over = (what & (EPOLLERR | EPOLLHUP | EPOLLRDHUP)) != 0;
    if (!over && !one->introduced) {
        introduce(crowd, one);
        return;
    }
    if (!over) {
        ssize_t got = recv(one->fd, answer, sizeof answer, MSG_DONTWAIT);
        over = got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR);
    }
    if (!over)
        return;
    bool again_at_once = one->introduced;
    leave(crowd, one);
    if (again_at_once)
        come(crowd, one);
}

static void take_turn(struct crowd *crowd, struct slow_one *one, instant now)
{
    if (one->fd < 0) {
        come(crowd, one);
    } else if (one->introduced && now >= one->next_at) {
        if (one->kind == SLOW_HEADERS || one->kind == SLOW_BODY)
            say(one, "x");
        one->next_at += drip_ns;
    }
}

_Noreturn void attackers_run(struct shared *shared)
{
    static struct crowd crowd;
    struct epoll_event events[256];
    instant turn_at = 0;
    crowd.shared = shared;
    crowd.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (crowd.epoll < 0)
        bail("epoll");
    for (int i = 0; i < SLOW; i++)
        crowd.ones[i] = (struct slow_one){.kind = (enum slow_kind)(i % SLOW_KINDS), .fd = -1};
    for (;;) {
        instant now = monotonic_ns();
        if (now >= turn_at) {
            for (int i = 0; i < SLOW; i++)
                take_turn(&crowd, &crowd.ones[i], now);
            turn_at = now + TURN_MS * MILLISECOND;
        }
        int count = epoll_wait(crowd.epoll, events, 256, TURN_MS);
        for (int i = 0; i < count; i++)
            hear(&crowd, events[i].data.ptr, events[i].events);
    }
}
