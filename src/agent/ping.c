#include "agent/ping.h"

#include "base/clock.h"

#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { TRIPS_MAX = 64 }; /* of one interval; older ones give way */

static const duration period_ns = 200 * MILLISECOND;

struct ping {
    struct event_base *base;
    struct event *timer, *answer;
    int64_t sent_ns; /* since when an answer is owed, 0: none is */
    duration trips[TRIPS_MAX];
    unsigned count; /* taken since the last ping_take() */
    int port, fd;
    bool waiting; /* a byte is under way on this connection */
};

static void hang_up(struct ping *ping)
{
    if (ping->answer)
        event_free(ping->answer);
    ping->answer = NULL;
    if (ping->fd >= 0)
        close(ping->fd);
    ping->fd = -1;
    ping->waiting = false;
}

static void on_answer(evutil_socket_t fd, short what, void *context)
{
    (void)what;
    struct ping *ping = context;
    char bytes[64];
    ssize_t got = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        hang_up(ping);
        return;
    }
    if (ping->sent_ns)
        ping->trips[ping->count++ % TRIPS_MAX] = monotonic_ns() - ping->sent_ns;
    ping->sent_ns = 0;
    ping->waiting = false;
}

static void dial(struct ping *ping)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)ping->port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    ping->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (ping->fd < 0)
        return;
    if (connect(ping->fd, (struct sockaddr *)&address, sizeof address) < 0 && errno != EINPROGRESS) {
        hang_up(ping);
        return;
    }
    ping->answer = event_new(ping->base, ping->fd, EV_READ | EV_PERSIST, on_answer, ping);
    if (!ping->answer || event_add(ping->answer, NULL) < 0)
        hang_up(ping);
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    struct ping *ping = context;
    if (ping->fd < 0)
        dial(ping);
    if (ping->fd < 0 || ping->waiting)
        return;
    ping->waiting = send(ping->fd, "p", 1, MSG_DONTWAIT | MSG_NOSIGNAL) == 1;
    /* After a broken connection the owed answer keeps its age: it is still what users wait for. */
    if (ping->waiting && !ping->sent_ns)
        ping->sent_ns = monotonic_ns();
}

struct ping *ping_new(struct event_base *base, int port)
{
    struct ping *ping = calloc(1, sizeof *ping);
    if (!ping)
        return NULL;
    ping->base = base;
    ping->port = port;
    ping->fd = -1;
    ping->timer = event_new(base, -1, EV_PERSIST, on_timer, ping);
    struct timeval period = timeval_of(period_ns);
    if (!ping->timer || event_add(ping->timer, &period) < 0)
        ping_free(&ping);
    return ping;
}

void ping_free(struct ping **owner)
{
    struct ping *ping = *owner;
    *owner = NULL;
    if (!ping)
        return;
    hang_up(ping);
    if (ping->timer)
        event_free(ping->timer);
    free(ping);
}

static int by_length(const void *left, const void *right)
{
    duration a = *(const duration *)left, b = *(const duration *)right;
    return (a > b) - (a < b);
}

bool ping_take(struct ping *ping, double *seconds)
{
    unsigned count = ping->count < TRIPS_MAX ? ping->count : TRIPS_MAX;
    duration age_ns = ping->sent_ns ? monotonic_ns() - ping->sent_ns : 0;
    if (age_ns > period_ns) { /* the next one should have been sent by now */
        if (count == TRIPS_MAX)
            count--;
        ping->trips[count++] = age_ns;
    }
    ping->count = 0;
    if (count == 0)
        return false;
    qsort(ping->trips, count, sizeof ping->trips[0], by_length);
    *seconds = duration_seconds(ping->trips[count / 2]);
    return true;
}
