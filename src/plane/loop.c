#include "plane/loop.h"

#include "base/check.h"

#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>

struct watch {
    struct event *event;
    watch_call *call;
    void *context;
};

static void on_event(evutil_socket_t fd, short what, void *context)
{
    struct watch *watch = context;
    (void)fd;
    (void)what;
    watch->call(watch->context);
}

static struct watch *watch_new(struct event_base *base, int fd, short what, watch_call *call, void *context)
{
    struct watch *watch = malloc(sizeof(*watch));
    CHECK(watch);
    *watch = (struct watch){.call = call, .context = context};
    watch->event = event_new(base, fd, what, on_event, watch);
    CHECK(watch->event);
    if (what)
        CHECK(event_add(watch->event, NULL) == 0);
    return watch;
}

struct watch *watch_timer(struct event_base *base, watch_call *call, void *context)
{
    return watch_new(base, -1, 0, call, context);
}

struct watch *watch_readable(struct event_base *base, int fd, watch_call *call, void *context)
{
    return watch_new(base, fd, EV_READ | EV_PERSIST, call, context);
}

struct watch *watch_signal(struct event_base *base, int number, watch_call *call, void *context)
{
    return watch_new(base, number, EV_SIGNAL | EV_PERSIST, call, context);
}

void watch_after(struct watch *watch, duration delay_ns)
{
    if (delay_ns < 0)
        delay_ns = 0;
    /* Rounded up: a timer that is a little early would find nothing due and come again at once. */
    duration us = (delay_ns + MICROSECOND - 1) / MICROSECOND;
    struct timeval delay = {.tv_sec = us / 1000000, .tv_usec = us % 1000000};
    CHECK(event_add(watch->event, &delay) == 0);
}

void watch_soon(struct watch *watch)
{
    event_active(watch->event, 0, 0);
}

void watch_free(struct watch **watch)
{
    if (!*watch)
        return;
    event_free((*watch)->event);
    free(*watch);
    *watch = NULL;
}
