#include "service/burn.h"

#include "service/spin.h"

#include <event2/event.h>
#include <stdlib.h>

struct burn {
    const struct page *page;
    uint64_t incarnation;
    int hurry_fd;
    struct event *timer;
};

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct burn *burn = arg;

    (void)fd;
    (void)what;
    double share = page_intensity(burn->page, FAULT_CPU_SPIKE, burn->incarnation);
    duration burning = duration_from_seconds((share > 1 ? 1 : share) * duration_seconds(BURN_PERIOD_NS));
    spin(CLOCK_MONOTONIC, burning, burn->hurry_fd);
    struct timeval rest = {.tv_usec = (BURN_PERIOD_NS - burning) / MICROSECOND};
    event_add(burn->timer, &rest);
}

struct burn *burn_new(struct event_base *base, const struct page *page, int hurry_fd)
{
    struct burn *burn = calloc(1, sizeof(*burn));
    struct timeval soon = {.tv_usec = BURN_PERIOD_NS / MICROSECOND};

    if (!burn)
        return NULL;
    burn->page = page;
    burn->hurry_fd = hurry_fd;
    burn->incarnation = page_incarnation(page, FAULT_CPU_SPIKE);
    burn->timer = evtimer_new(base, on_timer, burn);
    if (!burn->timer || event_add(burn->timer, &soon) < 0)
        burn_free(&burn);
    return burn;
}

void burn_free(struct burn **burn)
{
    if (!*burn)
        return;
    if ((*burn)->timer)
        event_free((*burn)->timer);
    free(*burn);
    *burn = NULL;
}
