#include "inject/relay.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/random.h"
#include "inject/delay_line.h"
#include "inject/page.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <unistd.h>

/* One end has finished and the other says nothing more for this long: the connection is over. It bounds what
 * users who gave up on a stopped service leave behind. */
#define HALF_CLOSED_S 15

#define SWEEP_NS       (5 * MILLISECOND)
#define PAUSE_NS       (100 * MILLISECOND) /* after a failed accept, which is mostly for want of descriptors */
#define DRAIN_QUIET_NS (250 * MILLISECOND) /* answered, and silent for this long: the request is complete */
#define DRAIN_LIMIT_NS (5 * SECOND)
#define END_QUIET_NS   (10 * MILLISECOND)
#define END_LIMIT_NS   (100 * MILLISECOND)

/* How often the page is looked at for what must strike, or end, while nothing moves: only while anybody is
 * connected, since whoever comes is struck at the door. */
#define WATCH_NS (35 * MILLISECOND)
#define PUMP_NS  (10 * MILLISECOND) /* the same while bytes wait for a link of little bandwidth */

#define SECOND_PATIENCE_NS (200 * MILLISECOND) /* for a second instance to accept a connection */

/* Of one connection before it is the next one's turn: a small reply is not taken apart. */
#define PACKET_BYTES 1500

/* So much of its time a link of little bandwidth has taken in advance: what is inside can no longer be
 * hurried when the fault ends. */
#define LINK_AHEAD_NS (100 * MILLISECOND)

struct relay;

struct connection {
    struct relay *relay;
    struct bufferevent *user;
    struct bufferevent *service;    /* NULL: an echo */
    struct evbuffer *waiting;       /* towards the user, for the link to be free; in the queue unless empty */
    size_t carried;                 /* of what waited, in this turn */
    struct delay_line *line;        /* after that */
    int64_t touched_at;             /* last bytes of either side */
    bool awaiting;                  /* the user spoke last, or nobody did */
    bool asked;                     /* the user spoke, and the service has not answered since */
    bool lost;                      /* a reply was, and with it all that follows */
    bool connected;                 /* to the service */
    bool second;                    /* to its second instance */
    bool user_ended, service_ended; /* that side sends no more */
    bool user_shut, service_shut;   /* we told that side that no more is coming */
    LIST_ENTRY(connection) link;
    TAILQ_ENTRY(connection) turn;
};

struct relay {
    struct event_base *base;
    struct evconnlistener *users, *echoes;
    struct event *terminate, *interrupt, *drain, *sweep, *watch;
    struct page *page;
    uint64_t incarnations[FAULT_COUNT];
    uint64_t chance, draws; /* a stream of base/random.h, and how many were drawn */
    int64_t link_free_at;   /* what the link of little bandwidth has taken will be over then */
    unsigned turns;         /* connections made to the service while it had two instances */
    struct sockaddr_storage to;
    socklen_t to_length;
    LIST_HEAD(, connection) connections;
    TAILQ_HEAD(, connection) queue; /* those with bytes that wait for the link, in their turns */
    unsigned count, capacity;
    bool draining;     /* new users are closed at once */
    bool ending;       /* no more is accepted; over when the last connection is */
    bool paused;       /* accepting failed a moment ago */
    int64_t finish_by; /* INSTANT_NEVER unless draining or ending */
    duration finish_quiet_ns;
};

/* --- accepting --- */

/* One place says who is listened to; all that changes an answer calls it. */
static void listen_as_due(struct relay *relay)
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
    listen_as_due(relay);
    sweep_in(relay, PAUSE_NS);
}

/* --- the life of a connection --- */

static void connection_free(struct connection *connection)
{
    struct relay *relay = connection->relay;

    LIST_REMOVE(connection, link);
    if (evbuffer_get_length(connection->waiting) > 0)
        TAILQ_REMOVE(&relay->queue, connection, turn);
    evbuffer_free(connection->waiting);
    delay_line_free(&connection->line);
    if (connection->service)
        bufferevent_free(connection->service);
    bufferevent_free(connection->user);
    free(connection);
    relay->count--;
    listen_as_due(relay);
    if (relay->ending && relay->count == 0)
        event_base_loopbreak(relay->base);
}

static size_t unsent(struct bufferevent *side)
{
    return evbuffer_get_length(bufferevent_get_output(side));
}

static size_t held(const struct connection *connection)
{
    return evbuffer_get_length(connection->waiting) + delay_line_held(connection->line) +
           unsent(connection->user);
}

static void read_or_pause(struct bufferevent *side, bool ended, size_t pending, size_t most)
{
    if (ended)
        return;
    if (pending >= most)
        bufferevent_disable(side, EV_READ);
    else if (pending <= most / 2)
        bufferevent_enable(side, EV_READ);
}

static void shut(struct bufferevent *side)
{
    struct timeval silence = {.tv_sec = HALF_CLOSED_S};

    shutdown(bufferevent_getfd(side), SHUT_WR);
    bufferevent_set_timeouts(side, &silence, NULL);
}

/* What a user says to a second instance stays in the kernel until that has proved to be there. */
static bool is_trying_second(const struct connection *connection)
{
    return connection->second && !connection->connected;
}

/* After anything happened: pauses and resumes reading, hands on what has ended, and frees what is over. */
static void connection_settle(struct connection *connection)
{
    struct bufferevent *user = connection->user, *service = connection->service;

    if (service) {
        read_or_pause(service, connection->service_ended, held(connection), RELAY_HELD_MAX_BYTES);
        if (!is_trying_second(connection))
            read_or_pause(user, connection->user_ended, unsent(service), RELAY_AHEAD_MAX_BYTES);
        if (connection->user_ended && !connection->service_shut && connection->connected &&
            unsent(service) == 0) {
            shut(service);
            connection->service_shut = true;
        }
    } else {
        read_or_pause(user, connection->user_ended, held(connection), RELAY_HELD_MAX_BYTES);
    }
    if (connection->lost && connection->user_ended) {
        connection_free(connection);
        return;
    }
    if (connection->service_ended && !connection->lost && !connection->user_shut && held(connection) == 0) {
        shut(user);
        connection->user_shut = true;
    }
    if (connection->user_shut && connection->service_shut)
        connection_free(connection);
}

static void on_moved(void *arg)
{
    connection_settle(arg);
}

static void on_written(struct bufferevent *side, void *arg)
{
    (void)side;
    connection_settle(arg);
}

/* --- the faults, as they strike now --- */

static double fault(const struct relay *relay, enum fault_kind kind)
{
    if (!relay->page || relay->ending)
        return 0;
    return page_intensity(relay->page, kind, relay->incarnations[kind]);
}

static bool is_cut(const struct relay *relay)
{
    return fault(relay, FAULT_NETWORK_CUT) > 0;
}

/* How many bytes the link can take now. A link that does nothing takes at least one, however slow it is. */
static size_t link_room(struct relay *relay, double bytes_per_s, int64_t now)
{
    if (relay->link_free_at <= now) {
        relay->link_free_at = now;
        return 1 + (size_t)(duration_seconds(LINK_AHEAD_NS) * bytes_per_s);
    }
    duration room_ns = LINK_AHEAD_NS - (relay->link_free_at - now);
    return room_ns > 0 ? (size_t)(duration_seconds(room_ns) * bytes_per_s) : 0;
}

/* The link takes bytes of those who wait in their turns, as many as it can. One link for all: who comes late
 * waits for everybody before him. Settles nobody, since nothing more is held than before. */
static void link_carry(struct relay *relay)
{
    double bytes_per_s = fault(relay, FAULT_NETWORK_BANDWIDTH);
    duration delay = duration_from_seconds(fault(relay, FAULT_NETWORK_DELAY));
    int64_t now = monotonic_ns();
    struct connection *next;

    while ((next = TAILQ_FIRST(&relay->queue)) != NULL) {
        size_t bytes = evbuffer_get_length(next->waiting);
        duration transfer = 0;
        if (bytes_per_s > 0) {
            size_t room = link_room(relay, bytes_per_s, now);
            if (room == 0)
                break;
            bytes = bytes < room ? bytes : room;
            relay->link_free_at += duration_from_seconds((double)bytes / bytes_per_s);
            transfer = relay->link_free_at - now;
        }
        delay_line_take(next->line, next->waiting, bytes, transfer + delay);
        next->carried += bytes;
        bool done = evbuffer_get_length(next->waiting) == 0;
        if (!done && next->carried < PACKET_BYTES)
            continue;
        next->carried = 0;
        TAILQ_REMOVE(&relay->queue, next, turn);
        if (!done)
            TAILQ_INSERT_TAIL(&relay->queue, next, turn);
    }
}

static bool chance(struct relay *relay, double probability)
{
    return random_unit(random_draw(relay->chance, relay->draws++)) < probability;
}

/* Each byte of an echo is lost or not by itself, so that their share can be counted. */
static void pour_and_lose(struct relay *relay, struct evbuffer *from, struct evbuffer *to, double share)
{
    char piece[256];
    int length;

    while ((length = evbuffer_remove(from, piece, sizeof(piece))) > 0) {
        size_t kept = 0;
        for (int i = 0; i < length; i++)
            if (!chance(relay, share))
                piece[kept++] = piece[i];
        CHECK(evbuffer_add(to, piece, kept) == 0);
    }
}

/* A reply is lost or not at its beginning. TCP goes on after a gap only once it is filled, and nobody fills
 * this one: nothing of that connection arrives any more, and its user waits until he gives up. */
static bool is_lost(struct connection *connection)
{
    if (connection->asked && !connection->lost)
        connection->lost = chance(connection->relay, fault(connection->relay, FAULT_NETWORK_LOSS));
    connection->asked = false;
    return connection->lost;
}

static void watch_in(struct relay *relay, duration in)
{
    struct timeval wait = {.tv_usec = in / MICROSECOND};

    event_add(relay->watch, &wait);
}

/* Bytes begin their way back to the user. */
static void send_back(struct connection *connection, struct evbuffer *bytes)
{
    struct relay *relay = connection->relay;
    bool has_turn = evbuffer_get_length(connection->waiting) > 0, was_empty = TAILQ_EMPTY(&relay->queue);

    if (connection->service)
        delay_line_pour(bytes, connection->waiting, SIZE_MAX);
    else
        pour_and_lose(relay, bytes, connection->waiting, fault(relay, FAULT_NETWORK_LOSS));
    if (!has_turn && evbuffer_get_length(connection->waiting) > 0)
        TAILQ_INSERT_TAIL(&relay->queue, connection, turn);
    link_carry(relay);
    if (was_empty && !TAILQ_EMPTY(&relay->queue))
        watch_in(relay, PUMP_NS);
}

static void on_user_bytes(struct bufferevent *user, void *arg)
{
    struct connection *connection = arg;
    struct evbuffer *bytes = bufferevent_get_input(user);

    connection->touched_at = monotonic_ns();
    if (connection->service) {
        connection->awaiting = connection->asked = true;
        delay_line_pour(bytes, bufferevent_get_output(connection->service), SIZE_MAX);
    } else {
        send_back(connection, bytes);
    }
    connection_settle(connection);
}

static void on_service_bytes(struct bufferevent *service, void *arg)
{
    struct connection *connection = arg;
    struct evbuffer *bytes = bufferevent_get_input(service);

    connection->touched_at = monotonic_ns();
    connection->awaiting = false;
    if (is_lost(connection))
        evbuffer_drain(bytes, SIZE_MAX);
    else
        send_back(connection, bytes);
    connection_settle(connection);
}

static void on_user_event(struct bufferevent *user, short what, void *arg)
{
    struct connection *connection = arg;

    (void)user;
    if (!(what & BEV_EVENT_EOF)) {
        connection_free(connection); /* reset, or half closed and silent */
        return;
    }
    connection->user_ended = true;
    if (!connection->service) {
        connection->service_ended = true;
        connection->service_shut = true;
    }
    connection_settle(connection);
}

static void no_delay(struct bufferevent *side)
{
    int yes = 1;

    setsockopt(bufferevent_getfd(side), IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
}

static bool connect_to_service(struct connection *connection, uint16_t second_port);

static void on_service_event(struct bufferevent *service, short what, void *arg)
{
    struct connection *connection = arg;

    if (what & BEV_EVENT_CONNECTED) {
        connection->connected = true;
        no_delay(service);
        bufferevent_set_timeouts(service, NULL, NULL);
    } else if (is_trying_second(connection)) {
        bufferevent_free(service); /* it is gone, or not there yet */
        if (connect_to_service(connection, 0))
            bufferevent_enable(connection->user, EV_READ);
        else
            connection_free(connection);
        return;
    } else if (!connection->connected || (what & BEV_EVENT_TIMEOUT)) {
        connection_free(connection); /* refused; or the user has ended and the service says nothing */
        return;
    } else {
        connection->service_ended = true;
        connection->awaiting = false;
        if (connection->lost) { /* its user is not told; he must not wait for ever, either */
            struct timeval silence = {.tv_sec = HALF_CLOSED_S};
            bufferevent_set_timeouts(connection->user, &silence, NULL);
        }
        if (!(what & BEV_EVENT_EOF)) { /* it died: the user still gets what it had said */
            connection->service_shut = true;
            connection->user_ended = true;
            bufferevent_disable(connection->user, EV_READ);
        }
    }
    connection_settle(connection);
}

static struct sockaddr_storage at_port(struct sockaddr_storage address, uint16_t port)
{
    if (address.ss_family == AF_INET6)
        ((struct sockaddr_in6 *)&address)->sin6_port = htons(port);
    else
        ((struct sockaddr_in *)&address)->sin_port = htons(port);
    return address;
}

/* To its second instance if that has a port, not 0. False if it cannot even be tried. */
static bool connect_to_service(struct connection *connection, uint16_t second_port)
{
    const struct relay *relay = connection->relay;
    struct sockaddr_storage to = second_port ? at_port(relay->to, second_port) : relay->to;
    struct bufferevent *service = bufferevent_socket_new(relay->base, -1, BEV_OPT_CLOSE_ON_FREE);

    CHECK(service);
    connection->service = service;
    connection->second = second_port != 0;
    if (second_port) {
        struct timeval patience = {.tv_usec = SECOND_PATIENCE_NS / MICROSECOND};
        bufferevent_set_timeouts(service, NULL, &patience);
    }
    /* The callbacks come after the attempt: it reports some failures from within, and the caller frees then.
     */
    if (bufferevent_socket_connect(service, (const struct sockaddr *)&to, (int)relay->to_length) < 0)
        return false;
    bufferevent_setcb(service, on_service_bytes, on_written, on_service_event, connection);
    bufferevent_enable(service, EV_READ | EV_WRITE);
    return true;
}

/* New connections go to both instances by turns. */
static bool connect_to_either(struct connection *connection)
{
    struct relay *relay = connection->relay;
    uint16_t second_port = relay->page ? page_second_port(relay->page) : 0;

    if (second_port && relay->turns++ % 2 == 0) {
        if (connect_to_service(connection, second_port))
            return true;
        bufferevent_free(connection->service);
    }
    return connect_to_service(connection, 0);
}

static void connection_open(struct relay *relay, evutil_socket_t fd, bool echo)
{
    struct connection *connection = calloc(1, sizeof(*connection));
    struct bufferevent *user = bufferevent_socket_new(relay->base, fd, BEV_OPT_CLOSE_ON_FREE);

    CHECK(connection && user);
    *connection =
        (struct connection){.relay = relay, .user = user, .touched_at = monotonic_ns(), .awaiting = !echo};
    connection->line = delay_line_new(relay->base, user, on_moved, connection);
    connection->waiting = evbuffer_new();
    CHECK(connection->line && connection->waiting);
    if (relay->count == 0)
        watch_in(relay, WATCH_NS);
    LIST_INSERT_HEAD(&relay->connections, connection, link);
    relay->count++;
    listen_as_due(relay);

    no_delay(user);
    bufferevent_setcb(user, on_user_bytes, on_written, on_user_event, connection);
    if (echo || connect_to_either(connection))
        bufferevent_enable(user, is_trying_second(connection) ? EV_WRITE : EV_READ | EV_WRITE);
    else
        connection_free(connection);
}

/* When it is closed the other end hears a reset, and what was under way is gone. */
static void reset_on_close(evutil_socket_t fd)
{
    struct linger none = {.l_onoff = 1};

    setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
}

static void connection_reset(struct connection *connection)
{
    reset_on_close(bufferevent_getfd(connection->user));
    if (connection->service)
        reset_on_close(bufferevent_getfd(connection->service));
    connection_free(connection);
}

static void on_user(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *from, int length,
                    void *arg)
{
    struct relay *relay = arg;

    (void)listener;
    (void)from;
    (void)length;
    if (is_cut(relay))
        reset_on_close(fd);
    if (is_cut(relay) || relay->draining)
        close(fd);
    else
        connection_open(relay, fd, false);
}

static void on_echo(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *from, int length,
                    void *arg)
{
    struct relay *relay = arg;

    (void)listener;
    (void)from;
    (void)length;
    if (is_cut(relay)) {
        reset_on_close(fd);
        close(fd);
    } else {
        connection_open(relay, fd, true);
    }
}

/* What faults do, or stop doing, while nothing moves. A link that lost replies and loses none any more cannot
 * take up those connections again: they are reset, so that nobody waits for the fault after its end. */
static void on_watch(evutil_socket_t fd, short what, void *arg)
{
    struct relay *relay = arg;
    bool cut = is_cut(relay), loses = fault(relay, FAULT_NETWORK_LOSS) > 0;
    struct connection *connection = LIST_FIRST(&relay->connections);

    (void)fd;
    (void)what;
    while (connection) {
        struct connection *next = LIST_NEXT(connection, link);
        if (cut || (connection->lost && !loses))
            connection_reset(connection);
        connection = next;
    }
    link_carry(relay);
    if (relay->count > 0)
        watch_in(relay, TAILQ_EMPTY(&relay->queue) ? WATCH_NS : PUMP_NS);
}

/* --- draining and ending --- */

static bool connection_is_finished(const struct connection *connection, int64_t now)
{
    const struct relay *relay = connection->relay;

    if (!connection->service)
        return relay->ending; /* an echo outlives a drain */
    if (now >= relay->finish_by)
        return true;
    return !connection->awaiting && held(connection) == 0 &&
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
        listen_as_due(relay);
    }
    if (!relay->draining && !relay->ending)
        return;
    while (connection) {
        struct connection *next = LIST_NEXT(connection, link);
        if (connection_is_finished(connection, now))
            connection_free(connection);
        connection = next;
    }
    if (relay->ending || now < relay->finish_by)
        sweep_in(relay, SWEEP_NS);
}

static void finish(struct relay *relay, duration quiet, duration limit)
{
    relay->finish_quiet_ns = quiet;
    relay->finish_by = monotonic_ns() + limit;
    listen_as_due(relay);
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
    link_carry(relay);
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
