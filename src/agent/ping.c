#include "agent/ping.h"

#include "base/clock.h"

#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    NUMBERS = 256,       /* a byte's number is what it says */
    UNDER_WAY_MAX = 250, /* or a number would mean two */
    WINDOW = 60,         /* bytes by which loss is judged */
    JUDGED_MIN = 10,     /* fewer say nothing */
    TRIPS_MAX = 64       /* of one interval; older ones give way */
};

static const duration period_ns = 50 * MILLISECOND;
static const duration overdue_ns = 200 * MILLISECOND; /* its age counts as a round trip */
static const duration late_ns = 400 * MILLISECOND;
static const duration silence_ns = 2 * SECOND;

enum fate { UNDER_WAY, BACK, LOST };

struct sent {
    int64_t at_ns;
    enum fate fate;
};

struct ping {
    struct event_base *base;
    struct event *timer, *answer;
    struct sent sent[NUMBERS]; /* the newest, by number */
    uint64_t next;             /* how many were sent ever, lost ones included */
    uint64_t first;            /* none before is under way */
    uint64_t since;            /* ping_forget(): none before counts */
    duration trips[TRIPS_MAX];
    unsigned count; /* of trips, since the last ping_take() */
    duration last_trip_ns;
    int port, fd;
};

static struct sent *sent_at(struct ping *ping, uint64_t number)
{
    return &ping->sent[number % NUMBERS];
}

static void hang_up(struct ping *ping)
{
    for (; ping->first < ping->next; ping->first++)
        if (sent_at(ping, ping->first)->fate == UNDER_WAY)
            sent_at(ping, ping->first)->fate = LOST;
    if (ping->answer)
        event_free(ping->answer);
    ping->answer = NULL;
    if (ping->fd >= 0)
        close(ping->fd);
    ping->fd = -1;
}

/* One is back: what was sent before it on this connection and is not, never will be. */
static void take_back(struct ping *ping, unsigned char said, int64_t now_ns)
{
    uint64_t number = ping->first + (unsigned char)(said - (unsigned char)ping->first);
    if (number >= ping->next)
        return; /* nothing of ours */
    for (; ping->first < number; ping->first++)
        sent_at(ping, ping->first)->fate = LOST;
    struct sent *sent = sent_at(ping, ping->first++);
    sent->fate = BACK;
    ping->trips[ping->count++ % TRIPS_MAX] = ping->last_trip_ns = now_ns - sent->at_ns;
}

static void on_answer(evutil_socket_t fd, short what, void *context)
{
    (void)what;
    struct ping *ping = context;
    unsigned char bytes[NUMBERS];
    ssize_t got = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        hang_up(ping);
        return;
    }
    int64_t now_ns = monotonic_ns();
    for (ssize_t i = 0; i < got; i++)
        take_back(ping, bytes[i], now_ns);
}

static void dial(struct ping *ping)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)ping->port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int yes = 1;
    ping->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (ping->fd < 0)
        return;
    (void)setsockopt(ping->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
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
    if (ping->next - ping->first >= UNDER_WAY_MAX)
        hang_up(ping); /* silent for so long that the numbers come round */
    if (ping->fd < 0)
        dial(ping);
    unsigned char number = (unsigned char)ping->next;
    bool sent = ping->fd >= 0 && send(ping->fd, &number, 1, MSG_DONTWAIT | MSG_NOSIGNAL) == 1;
    *sent_at(ping, ping->next++) = (struct sent){.at_ns = monotonic_ns(), .fate = sent ? UNDER_WAY : LOST};
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

void ping_forget(struct ping *ping)
{
    hang_up(ping);
    ping->since = ping->next;
    ping->last_trip_ns = 0;
}

/* --- what is known -------------------------------------------------------------------------------------- */

static int by_length(const void *left, const void *right)
{
    duration a = *(const duration *)left, b = *(const duration *)right;
    return (a > b) - (a < b);
}

static duration median(duration *trips, unsigned count)
{
    qsort(trips, count, sizeof trips[0], by_length);
    return count > 0 ? trips[count / 2] : 0;
}

static void take_latency(struct ping *ping, int64_t now_ns, struct ping_sample *sample)
{
    duration trips[TRIPS_MAX + NUMBERS];
    unsigned count = ping->count < TRIPS_MAX ? ping->count : TRIPS_MAX;
    memcpy(trips, ping->trips, count * sizeof trips[0]);
    ping->count = 0;
    duration usual_ns = median(trips, count);
    for (uint64_t i = ping->first; i < ping->next; i++) {
        const struct sent *sent = sent_at(ping, i);
        duration age_ns = now_ns - sent->at_ns;
        /* Nothing says that it will be faster than the others. */
        if (sent->fate == UNDER_WAY && age_ns > overdue_ns)
            trips[count++] = age_ns > usual_ns ? age_ns : usual_ns;
    }
    sample->has_latency = count > 0;
    sample->latency_s = duration_seconds(median(trips, count));
}

/* How long bytes may be under way before they are taken for lost. */
static duration patience(struct ping *ping, int64_t now_ns)
{
    duration silence_limit_ns = 2 * ping->last_trip_ns > silence_ns ? 2 * ping->last_trip_ns : silence_ns;
    bool silent = ping->first < ping->next && now_ns - sent_at(ping, ping->first)->at_ns > silence_limit_ns;
    return silent ? late_ns : INT64_MAX;
}

static void take_loss(struct ping *ping, int64_t now_ns, struct ping_sample *sample)
{
    duration patience_ns = patience(ping, now_ns);
    uint64_t oldest = ping->next > NUMBERS ? ping->next - NUMBERS : 0;
    unsigned back = 0, lost = 0;
    oldest = oldest > ping->since ? oldest : ping->since;
    for (uint64_t i = ping->next; i > oldest && back + lost < WINDOW; i--) {
        const struct sent *sent = sent_at(ping, i - 1);
        back += sent->fate == BACK;
        lost += sent->fate == LOST || (sent->fate == UNDER_WAY && now_ns - sent->at_ns > patience_ns);
    }
    sample->has_loss = back + lost >= JUDGED_MIN;
    sample->loss_ratio = sample->has_loss ? (double)lost / (back + lost) : 0;
}

void ping_take(struct ping *ping, struct ping_sample *sample)
{
    int64_t now_ns = monotonic_ns();
    take_latency(ping, now_ns, sample);
    take_loss(ping, now_ns, sample);
}
