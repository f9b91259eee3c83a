#include "inject/relay_state.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/random.h"
#include "inject/delay_line.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define SWEEP_NS       (5 * MILLISECOND)
#define PAUSE_NS       (100 * MILLISECOND) /* after a failed accept, which is mostly for want of descriptors */
#define DRAIN_QUIET_NS (250 * MILLISECOND) /* answered, and silent for this long: the request is complete */
#define DRAIN_LIMIT_NS (5 * SECOND)
#define END_QUIET_NS   (10 * MILLISECOND)
#define END_LIMIT_NS   (100 * MILLISECOND)

/* --- accepting --- */

void relay_listen_as_due(struct relay *relay)
{
    bool full = relay->count >= relay->capacity;
    bool users = !relay->ending && !relay->paused && (relay->draining || !full);
    bool echoes = !relay->ending && !relay->paused && !full;

    (users ? evconnlistener_enable : evconnlistener_disable)(relay->users);
    if (relay->echoes)
        (echoes ? evconnlistener_enable : evconnlistener_disable)(relay->echoes);
}

static void sweep_in(struct relay *relay, duration in)
{
    struct timeval wait = {.tv_usec = in / MICROSECOND};

    event_add(relay->sweep, &wait);
}

static void on_accept_failed(struct evconnlistener *listener, void *arg)
{
    struct relay *relay = arg;

    (void)listener;
    relay->paused = true; /* or the loop would spin on the listener */
    relay_listen_as_due(relay);
    sweep_in(relay, PAUSE_NS);
}

void relay_watch_in(struct relay *relay, duration in)
{
    struct timeval wait = {.tv_usec = in / MICROSECOND};

    event_add(relay->watch, &wait);
}

static void on_user(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *from, int length,
                    void *arg)
{
    struct relay *relay = arg;

    (void)listener;
    (void)from;
    (void)length;
    if (relay_is_cut(relay))
        relay_reset_on_close(fd);
    if (relay_is_cut(relay) || relay->draining)
        close(fd);
    else
        relay_connect(relay, fd, false);
}

static void on_echo(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *from, int length,
                    void *arg)
{
    struct relay *relay = arg;

    (void)listener;
    (void)from;
    (void)length;
    if (relay_is_cut(relay)) {
        relay_reset_on_close(fd);
        close(fd);
    } else {
        relay_connect(relay, fd, true);
    }
}

/* What faults do, or stop doing, while nothing moves. A link that lost replies and loses none any more cannot
 * take up those connections again: they are reset, so that nobody waits for the fault after its end. */
static void on_watch(evutil_socket_t fd, short what, void *arg)
{
    struct relay *relay = arg;
    bool cut = relay_is_cut(relay), loses = relay_fault(relay, FAULT_NETWORK_LOSS) > 0;
    struct connection *connection = LIST_FIRST(&relay->connections);

    (void)fd;
    (void)what;
    while (connection) {
        struct connection *next = LIST_NEXT(connection, link);
        if (cut || (connection->lost && !loses))
            relay_reset(connection);
        connection = next;
    }
    relay_carry(relay);
    if (relay->count > 0)
        relay_watch_in(relay, TAILQ_EMPTY(&relay->queue) ? RELAY_WATCH_NS : RELAY_PUMP_NS);
}

/* --- draining and ending --- */

static bool connection_is_finished(const struct connection *connection, int64_t now)
{
    const struct relay *relay = connection->relay;

    if (!connection->service)
        return relay->ending; /* an echo outlives a drain */
    if (now >= relay->finish_by)
        return true;
    return !connection->awaiting && relay_held(connection) == 0 &&
           now - connection->touched_at >= relay->finish_quiet_ns;
}

static void on_sweep(evutil_socket_t fd, short what, void *arg)
{
    struct relay *relay = arg;
    struct connection *connection = LIST_FIRST(&relay->connections);
    int64_t now = monotonic_ns();

    (void)fd;
    (void)what;
    if (relay->paused) {
        relay->paused = false;
        relay_listen_as_due(relay);
    }
    if (!relay->draining && !relay->ending)
        return;
    while (connection) {
        struct connection *next = LIST_NEXT(connection, link);
        if (connection_is_finished(connection, now))
            relay_disconnect(connection);
        connection = next;
    }
    if (relay->ending || now < relay->finish_by)
        sweep_in(relay, SWEEP_NS);
}

static void finish(struct relay *relay, duration quiet, duration limit)
{
    relay->finish_quiet_ns = quiet;
    relay->finish_by = monotonic_ns() + limit;
    relay_listen_as_due(relay);
    sweep_in(relay, 0);
}

static void on_drain(evutil_socket_t signal_number, short what, void *arg)
{
    struct relay *relay = arg;

    (void)signal_number;
    (void)what;
    if (relay->ending || relay->draining)
        return;
    relay->draining = true;
    finish(relay, DRAIN_QUIET_NS, DRAIN_LIMIT_NS);
}

static void on_end(evutil_socket_t signal_number, short what, void *arg)
{
    struct relay *relay = arg;
    struct connection *connection;

    (void)signal_number;
    (void)what;
    if (relay->ending)
        return;
    relay->ending = true; /* and struck by nothing any more */
    relay_carry(relay);
    LIST_FOREACH(connection, &relay->connections, link)
    delay_line_hurry(connection->line);
    finish(relay, END_QUIET_NS, END_LIMIT_NS);
    if (relay->count == 0)
        event_base_loopbreak(relay->base);
}

/* --- setting up --- */

static int complain(const char *what, const char *why)
{
    fprintf(stderr, "homeostat relay: %s: %s\n", what, why);
    return 3;
}

static int resolve(struct relay *relay, const struct relay_options *options)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV}, *found = NULL;
    char port[8];

    snprintf(port, sizeof(port), "%u", (unsigned)options->to_port);
    int error = getaddrinfo(options->to_host, port, &hints, &found);
    if (error != 0)
        return complain(options->to_host, gai_strerror(error));
    memcpy(&relay->to, found->ai_addr, found->ai_addrlen);
    relay->to_length = found->ai_addrlen;
    freeaddrinfo(found);
    return 0;
}

/* Two descriptors per connection, and a few for ourselves. */
static unsigned capacity(void)
{
    struct rlimit limit = {0};
    rlim_t wanted = 2 * RELAY_CONNECTIONS_MAX + 64;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < wanted) {
        limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    if (limit.rlim_cur >= wanted)
        return RELAY_CONNECTIONS_MAX;
    return limit.rlim_cur > 96 ? (unsigned)(limit.rlim_cur - 64) / 2 : 16;
}

static struct evconnlistener *listen_on(struct relay *relay, evconnlistener_cb accepted, int fd)
{
    evutil_make_socket_nonblocking(fd);
    /* Backlog 0: it listens already, its maker chose the queue. Without CLOSE_ON_FREE: it is not ours alone.
     */
    struct evconnlistener *listener =
        evconnlistener_new(relay->base, accepted, relay, LEV_OPT_CLOSE_ON_EXEC, 0, fd);
    if (listener)
        evconnlistener_set_error_cb(listener, on_accept_failed);
    return listener;
}

static int relay_open(struct relay *relay, const struct relay_options *options)
{
    struct event_config *config = event_config_new();
    CHECK(config);
    event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER);
    relay->base = event_base_new_with_config(config);
    event_config_free(config);
    if (!relay->base)
        return complain("event loop", "cannot be made");

    if (options->page_fd >= 0) {
        int error = page_open(&relay->page, options->page_fd);
        if (error < 0)
            return complain("fault page", strerror(-error));
        for (int kind = 0; kind < FAULT_COUNT; kind++)
            relay->incarnations[kind] = page_incarnation(relay->page, (enum fault_kind)kind);
    }
    relay->chance = random_stream(random_key((uint64_t)monotonic_ns(), (uint64_t)getpid()), 0);
    if (resolve(relay, options) != 0)
        return 3;
    relay->terminate = evsignal_new(relay->base, SIGTERM, on_end, relay);
    relay->interrupt = evsignal_new(relay->base, SIGINT, on_end, relay);
    relay->drain = evsignal_new(relay->base, SIGUSR1, on_drain, relay);
    relay->sweep = evtimer_new(relay->base, on_sweep, relay);
    relay->watch = evtimer_new(relay->base, on_watch, relay);
    CHECK(relay->terminate && relay->interrupt && relay->drain && relay->sweep && relay->watch);
    event_add(relay->terminate, NULL);
    event_add(relay->interrupt, NULL);
    event_add(relay->drain, NULL);
    sigset_t drain;
    sigemptyset(&drain);
    sigaddset(&drain, SIGUSR1);
    sigprocmask(SIG_UNBLOCK, &drain, NULL); /* whoever started us may have held it back until now */

    relay->users = listen_on(relay, on_user, options->listen_fd);
    if (!relay->users)
        return complain("users' socket", strerror(errno));
    if (options->echo_fd >= 0) {
        relay->echoes = listen_on(relay, on_echo, options->echo_fd);
        if (!relay->echoes)
            return complain("echo socket", strerror(errno));
    }
    return 0;
}

static void relay_close(struct relay *relay)
{
    struct event *events[] = {relay->terminate, relay->interrupt, relay->drain, relay->sweep, relay->watch};

    for (size_t i = 0; i < COUNT_OF(events); i++)
        if (events[i])
            event_free(events[i]);
    if (relay->users)
        evconnlistener_free(relay->users);
    if (relay->echoes)
        evconnlistener_free(relay->echoes);
    if (relay->base)
        event_base_free(relay->base);
    page_close(relay->page);
}

int relay_main(struct relay_options options)
{
    struct relay relay = {.finish_by = INSTANT_NEVER, .capacity = capacity()};

    LIST_INIT(&relay.connections);
    TAILQ_INIT(&relay.queue);
    signal(SIGPIPE, SIG_IGN);
    int code = relay_open(&relay, &options);
    if (code == 0)
        event_base_dispatch(relay.base);
    relay_close(&relay);
    return code;
}
