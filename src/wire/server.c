#include "wire/connection.h"

#include "base/check.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* As many as there may be connections: who finds the kernel's queue full tries again after a second only. */
#define LISTEN_BACKLOG 4096

#define KERNEL_BYTES                                                                                         \
    (128 * 1024) /* of a connection and direction; the kernel doubles it for its own needs                   \
                  */

/* New connections that are taken, and late ones that are cut, before the others of the loop have their turn.
 * A crowd that came together is late together, and comes again together: what one turn does for it is what a
 * report that arrives meanwhile has to wait. Four cuts a millisecond are all connections in about a second.
 */
#define ACCEPTS_PER_TURN 4
#define CUTS_PER_TURN    4

/* Connections with pipelined requests that go on in one turn, all together. */
#define BACKLOG_PER_TURN 2

/* A connection that was given a good answer so shortly ago is not closed to make room for a new one: node
 * agents report every second, while what sits there longer has no claim on its place. */
#define CLAIM_NS (5 * SECOND)

/* --- room ----------------------------------------------------------------------------------------------- */

static bool comes_into_question(const struct connection *connection, const struct room *room)
{
    if (connection == room->except || connection->in_handler || connection->phase == PHASE_WAITING ||
        connection->phase == PHASE_STREAMING || connection->phase == PHASE_BROKEN)
        return false;
    if (room->holding && connection->capacity + connection->out.capacity == 0)
        return false;
    return !room->from || memcmp(room->from, &connection->from, sizeof connection->from) == 0;
}

/* First those who have never been given a good answer, the oldest first: a client that means well needs
 * milliseconds for its first request, one that holds a place needs it for longer. Then those whose last good
 * answer lies longest back. */
bool server_make_room(struct server *server, const struct room *room)
{
    struct connection *connection;
    TAILQ_FOREACH(connection, &server->strangers, link)
    {
        if (comes_into_question(connection, room))
            break;
    }
    instant now = monotonic_ns();
    if (!connection) {
        TAILQ_FOREACH(connection, &server->known, link)
        {
            if (now - connection->since < CLAIM_NS)
                return false; /* nor any behind it */
            if (comes_into_question(connection, room))
                break;
        }
    }
    if (!connection)
        return false;
    server->counts.evicted++;
    connection_free(connection);
    return true;
}

static int count_from(const struct server *server, const struct in6_addr *from)
{
    const struct connections *lists[] = {&server->strangers, &server->known};
    const struct connection *connection;
    int count = 0;
    for (size_t i = 0; i < COUNT_OF(lists); i++)
        TAILQ_FOREACH(connection, lists[i], link)
        {
            count += memcmp(from, &connection->from, sizeof *from) == 0;
        }
    return count;
}

/* The new one is counted already. */
static bool has_room(struct server *server, const struct connection *connection)
{
    const struct server_options *options = &server->options;
    if (server->counts.connections > (unsigned)options->connections &&
        !server_make_room(server, &(struct room){.except = connection}))
        return false;
    if (connection->from_loopback && !server->counts_loopback)
        return true;
    return count_from(server, &connection->from) <= options->connections_per_address ||
           server_make_room(server, &(struct room){.except = connection, .from = &connection->from});
}

/* --- new connections ------------------------------------------------------------------------------------ */

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

/* Out of descriptors: one is freed if that harms nobody, else the backlog waits for the next sweep. */
static bool find_descriptor(struct server *server)
{
    if (server_make_room(server, &(struct room){0}))
        return true;
    server->deaf = event_del(server->accepting) == 0;
    return false;
}

/* False when there is none any more. */
static bool accept_one(struct server *server)
{
    union address address = {0};
    socklen_t size = sizeof address;
    int fd = accept4(server->fd, &address.any, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM))
        return find_descriptor(server);
    if (fd < 0)
        return errno == ECONNABORTED || errno == EINTR;
    struct connection *connection = connection_new(server, fd, &address.any);
    if (connection && !has_room(server, connection)) {
        server->counts.refused++;
        connection_free(connection);
    }
    return true;
}

static void on_accepting(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    for (int i = 0; i < ACCEPTS_PER_TURN; i++)
        if (!accept_one(context))
            return;
}

/* --- time ----------------------------------------------------------------------------------------------- */

/* RFC 9110, section 5.6.7. */
static void note_date(struct server *server)
{
    static const char days[] = "SunMonTueWedThuFriSat", months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    time_t now = time(NULL);
    struct tm utc;
    gmtime_r(&now, &utc);
    snprintf(server->date, sizeof server->date, "%.3s, %02d %.3s %d %02d:%02d:%02d GMT",
             days + 3 * utc.tm_wday, utc.tm_mday, months + 3 * utc.tm_mon, utc.tm_year % 8100 + 1900,
             utc.tm_hour, utc.tm_min, utc.tm_sec);
}

static void sweep_list(struct connections *list, instant now, int *cuts)
{
    struct connection *next;
    for (struct connection *connection = TAILQ_FIRST(list); connection && *cuts > 0; connection = next) {
        next = TAILQ_NEXT(connection, link);
        *cuts -= connection_sweep(connection, now);
    }
}

/* Two thousand that came together are late together: they are cut in portions, and nobody waits for it. */
static void on_sweep(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    struct server *server = context;
    instant now = monotonic_ns();
    int cuts = CUTS_PER_TURN;
    note_date(server);
    sweep_list(&server->strangers, now, &cuts);
    sweep_list(&server->known, now, &cuts);
    const struct timeval soon = timeval_of(MILLISECOND);
    if (cuts <= 0)
        event_add(server->sweep_on, &soon);
    if (server->deaf)
        server->deaf = event_add(server->accepting, NULL) != 0;
}

/* --- the backlog ---------------------------------------------------------------------------------------- */

void backlog_join(struct connection *connection)
{
    struct server *server = connection->server;
    const struct timeval next_turn = {0};
    if (!connection->backlog)
        TAILQ_INSERT_TAIL(&server->backlog, connection, turn);
    connection->backlog = true;
    event_add(server->backlog_on, &next_turn);
}

void backlog_leave(struct connection *connection)
{
    if (connection->backlog)
        TAILQ_REMOVE(&connection->server->backlog, connection, turn);
    connection->backlog = false;
}

static void on_backlog(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    struct server *server = context;
    const struct timeval next_turn = {0};
    for (int i = 0; i < BACKLOG_PER_TURN && !TAILQ_EMPTY(&server->backlog); i++)
        connection_take_backlog(TAILQ_FIRST(&server->backlog));
    if (!TAILQ_EMPTY(&server->backlog))
        event_add(server->backlog_on, &next_turn);
}

/* --- beginning and end ---------------------------------------------------------------------------------- */

static bool parse_address(const char *text, int port, union address *out, socklen_t *size)
{
    *out = (union address){0};
    if (inet_pton(AF_INET, text, &out->v4.sin_addr) == 1) {
        out->v4.sin_family = AF_INET;
        out->v4.sin_port = htons((uint16_t)port);
        *size = sizeof out->v4;
        return true;
    }
    out->v6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
    *size = sizeof out->v6;
    return inet_pton(AF_INET6, text, &out->v6.sin6_addr) == 1;
}

static int listen_on(const char *text, int port, char *error, size_t error_size)
{
    union address address;
    socklen_t size;
    if (port < 0 || port > 65535 || !parse_address(text, port, &address, &size)) {
        snprintf(error, error_size, "cannot listen on %s:%d: not a numeric address and a port", text, port);
        return -1;
    }
    int fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int yes = 1;
    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) == 0 &&
        bind(fd, &address.any, size) == 0 && listen(fd, LISTEN_BACKLOG) == 0)
        return fd;
    snprintf(error, error_size, "cannot listen on %s:%d: %s", text, port, strerror(errno));
    if (fd >= 0)
        close(fd);
    return -1;
}

/* What the socket is really bound to, for the Host check and for server_port(). */
static void learn_address(struct server *server, int fd)
{
    union address address = {0};
    socklen_t size = sizeof address;
    char text[INET6_ADDRSTRLEN] = "";
    if (getsockname(fd, &address.any, &size) != 0)
        return;
    bool v6 = address.any.sa_family == AF_INET6;
    inet_ntop(address.any.sa_family, v6 ? (void *)&address.v6.sin6_addr : (void *)&address.v4.sin_addr, text,
              sizeof text);
    snprintf(server->address, sizeof server->address, v6 ? "[%s]" : "%s", text);
    server->port = ntohs(v6 ? address.v6.sin6_port : address.v4.sin_port);
    server->any_address = strcmp(text, "0.0.0.0") == 0 || strcmp(text, "::") == 0;
}

static struct server_options with_defaults(struct server_options options)
{
    options.connections = options.connections ? options.connections : 1024;
    options.connections_per_address = options.connections_per_address ? options.connections_per_address : 64;
    options.body_bytes_limit = options.body_bytes_limit ? options.body_bytes_limit : 256 * 1024;
    options.header_bytes_limit = options.header_bytes_limit ? options.header_bytes_limit : 8192;
    options.request_deadline_ns = options.request_deadline_ns ? options.request_deadline_ns : 10 * SECOND;
    options.idle_ns = options.idle_ns ? options.idle_ns : 60 * SECOND;
    options.streams = options.streams ? options.streams : 64;
    options.stream_bytes_limit = options.stream_bytes_limit ? options.stream_bytes_limit : 256 * 1024;
    if (!options.memory_bytes_limit)
        options.memory_bytes_limit = 64 << 20;
    /* Slow readers of events have a bound of their own and take nothing away from the others. */
    options.memory_bytes_limit += (size_t)options.streams * 2 * options.stream_bytes_limit;
    options.address = NULL; /* the caller's string; what it said is in server->address */
    return options;
}

/* The sweep comes often enough that a deadline is late by an eighth at most, and at most a second. */
static bool start_events(struct server *server)
{
    const struct server_options *options = &server->options;
    duration shortest =
        options->request_deadline_ns < options->idle_ns ? options->request_deadline_ns : options->idle_ns;
    duration every = shortest / 8 < SECOND ? shortest / 8 : SECOND;
    every = every < 5 * MILLISECOND ? 5 * MILLISECOND : every;
    const struct timeval period = timeval_of(every);
    server->accepting = event_new(server->base, server->fd, EV_READ | EV_PERSIST, on_accepting, server);
    server->sweep = event_new(server->base, -1, EV_PERSIST, on_sweep, server);
    server->sweep_on = event_new(server->base, -1, 0, on_sweep, server);
    server->backlog_on = event_new(server->base, -1, 0, on_backlog, server);
    return server->accepting && server->sweep && server->sweep_on && server->backlog_on &&
           event_add(server->accepting, NULL) == 0 && event_add(server->sweep, &period) == 0;
}

static void free_connections(struct connections *list)
{
    while (!TAILQ_EMPTY(list))
        connection_free(TAILQ_FIRST(list));
}

static void free_server(struct server *server)
{
    free_connections(&server->strangers);
    free_connections(&server->known);
    CHECK(server->held_bytes == 0 && server->counts.connections == 0);
    if (server->accepting)
        event_free(server->accepting);
    if (server->sweep)
        event_free(server->sweep);
    if (server->sweep_on)
        event_free(server->sweep_on);
    if (server->backlog_on)
        event_free(server->backlog_on);
    close(server->fd);
    free(server);
}

struct server *server_start(struct event_base *base, const struct server_options *options,
                            server_handler *handler, server_stream_closed *closed, void *context, char *error,
                            size_t error_size)
{
    struct server *server = calloc(1, sizeof *server);
    if (!server) {
        snprintf(error, error_size, "cannot listen: no memory");
        return NULL;
    }
    server->base = base;
    server->options = with_defaults(*options);
    server->counts_loopback = options->connections_per_address > 0;
    server->handler = handler;
    server->closed = closed;
    server->context = context;
    TAILQ_INIT(&server->strangers);
    TAILQ_INIT(&server->known);
    TAILQ_INIT(&server->backlog);
    note_date(server);
    server->fd = options->listen_fd >= 0 ? options->listen_fd
                                         : listen_on(options->address, options->port, error, error_size);
    if (server->fd < 0) {
        free(server);
        return NULL;
    }
    /* Connections inherit these. An answer goes out in one piece, and at once. The kernel's own buffers would
     * grow to megabytes for each slow reader. */
    int yes = 1, bytes = KERNEL_BYTES;
    (void)setsockopt(server->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    (void)setsockopt(server->fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    (void)setsockopt(server->fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    learn_address(server, server->fd);
    if (!start_events(server)) {
        snprintf(error, error_size, "cannot serve HTTP on %s:%d: no memory", server->address, server->port);
        free_server(server);
        return NULL;
    }
    return server;
}

static void answer_waiting(struct connections *list)
{
    struct connection *next;
    for (struct connection *connection = TAILQ_FIRST(list); connection; connection = next) {
        next = TAILQ_NEXT(connection, link);
        if (connection->phase == PHASE_WAITING)
            server_problem(&connection->request, 503, NULL, "the server is stopping");
    }
}

void server_stop(struct server **owner)
{
    struct server *server = *owner;
    if (!server)
        return;
    *owner = NULL;
    server->stopping = true;
    answer_waiting(&server->strangers);
    answer_waiting(&server->known);
    free_server(server);
}

int server_port(const struct server *server)
{
    return server->port;
}

struct server_counts server_counts(const struct server *server)
{
    struct server_counts counts = server->counts;
    counts.held_bytes = server->held_bytes;
    return counts;
}
