#include "wire/connection.h"

#include "base/check.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <linux/tcp.h> /* the kernel's own tcp_info; that of the C library lacks tcpi_bytes_received */
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* Beside the headers themselves a connection's memory holds libmicrohttpd's list of them and the answer's
 * headers. */
#define POOL_BYTES_EXTRA 2048

/* More connections than we take are accepted and closed at once by ourselves: at its own limit libmicrohttpd
 * would leave them waiting in the backlog. */
#define CONNECTIONS_EXTRA 64

/* How often libmicrohttpd is run before the other events of the loop get their turn. */
#define RUNS_PER_TURN 8

#define LISTEN_BACKLOG 1024

/* --- the loop ------------------------------------------------------------------------------------------- */

/* No timeouts of libmicrohttpd are in use, so what it tells is either "at once" or nothing. */
static void run(struct server *server)
{
    MHD_UNSIGNED_LONG_LONG timeout_ms = 0;
    for (int i = 0; i < RUNS_PER_TURN; i++) {
        MHD_run(server->daemon);
        if (MHD_get_timeout(server->daemon, &timeout_ms) != MHD_YES || timeout_ms > 0)
            return;
    }
    event_active(server->again, EV_TIMEOUT, 0);
}

static void on_ready(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    run(context);
}

void connection_resume(struct connection *connection)
{
    connection->suspended = false;
    MHD_resume_connection(connection->mhd);
    event_active(connection->server->again, EV_TIMEOUT, 0);
}

/* Bytes that came over the connection so far; a stable number if the kernel does not tell. */
static uint64_t bytes_received(const struct connection *connection)
{
    struct tcp_info info = {0};
    socklen_t size = sizeof info;
    return getsockopt(connection->fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 ? info.tcpi_bytes_received
                                                                                : 0;
}

static void sweep_idle(struct connection *connection, instant now)
{
    uint64_t received = bytes_received(connection);
    if (connection->bytes_received == BYTES_UNKNOWN)
        connection->bytes_received = received;
    if (received != connection->bytes_received)
        connection_starts_reading(connection);
    else if (now - connection->since >= connection->server->options.idle_ns)
        connection_cut(connection, 0, NULL);
}

static bool has_left(const struct connection *connection)
{
    struct pollfd look = {.fd = connection->fd, .events = POLLRDHUP};
    return poll(&look, 1, 0) > 0;
}

/* One look at one connection: libmicrohttpd's own timeout starts anew with every byte and it does not look at
 * suspended connections at all, so all of this is ours. */
static void sweep_connection(struct connection *connection, instant now)
{
    struct server_counts *counts = &connection->server->counts;
    switch (connection->phase) {
    case PHASE_IDLE:
        sweep_idle(connection, now);
        break;
    case PHASE_READING:
        if (now >= connection->deadline_by) {
            counts->deadlines++;
            connection_cut(connection, MHD_HTTP_REQUEST_TIMEOUT, "the request did not arrive in time");
        }
        break;
    case PHASE_WAITING:
        if (has_left(connection))
            connection->request.abandoned = true;
        break;
    case PHASE_ANSWERING:
        if (now >= connection->deadline_by) {
            counts->deadlines++;
            connection_cut(connection, 0, NULL);
        }
        break;
    case PHASE_STREAMING:
        if (connection->suspended && has_left(connection))
            stream_drop(connection->stream);
        else
            stream_sweep(connection->stream, now);
        break;
    case PHASE_CLOSING:
        break;
    }
}

static void on_sweep(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    struct server *server = context;
    instant now = monotonic_ns();
    struct connection *next;
    for (struct connection *connection = server->first; connection; connection = next) {
        next = connection->next;
        sweep_connection(connection, now);
    }
    server->swept_at = now;
    run(server);
}

/* --- connections ---------------------------------------------------------------------------------------- */

static void connection_begins(struct server *server, struct MHD_Connection *mhd, void **socket_context)
{
    struct connection *connection = calloc(1, sizeof *connection);
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
    *socket_context = connection;
    if (!connection) { /* then its first request ends it, and its reader has no hold on us */
        shutdown(info->connect_fd, SHUT_RDWR);
        return;
    }
    *connection = (struct connection){
        .server = server, .next = server->first, .mhd = mhd, .fd = info->connect_fd, .since = monotonic_ns()};
    connection->request.connection = connection;
    if (server->first)
        server->first->previous = connection;
    server->first = connection;
    server->counts.connections++;
}

static void connection_ends(struct connection *connection)
{
    struct server *server = connection->server;
    if (connection->previous)
        connection->previous->next = connection->next;
    else
        server->first = connection->next;
    if (connection->next)
        connection->next->previous = connection->previous;
    server->counts.connections--;
    free(connection);
}

static void on_connection(void *context, struct MHD_Connection *mhd, void **socket_context,
                          enum MHD_ConnectionNotificationCode code)
{
    if (code == MHD_CONNECTION_NOTIFY_STARTED)
        connection_begins(context, mhd, socket_context);
    else if (*socket_context)
        connection_ends(*socket_context);
}

static enum MHD_Result admit(void *context, const struct sockaddr *address, socklen_t size)
{
    (void)address;
    (void)size;
    const struct server *server = context;
    return server->counts.connections < (unsigned)server->options.connections ? MHD_YES : MHD_NO;
}

/* --- beginning and end ---------------------------------------------------------------------------------- */

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

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
    options.body_bytes_limit = options.body_bytes_limit ? options.body_bytes_limit : 256 * 1024;
    options.header_bytes_limit = options.header_bytes_limit ? options.header_bytes_limit : 8192;
    options.request_deadline_ns = options.request_deadline_ns ? options.request_deadline_ns : 10 * SECOND;
    options.idle_ns = options.idle_ns ? options.idle_ns : 60 * SECOND;
    options.streams = options.streams ? options.streams : 64;
    options.stream_bytes_limit = options.stream_bytes_limit ? options.stream_bytes_limit : 256 * 1024;
    options.address = NULL; /* the caller's string; what it said is in server->address */
    return options;
}

/* Takes over `fd`, also when it fails. */
static bool start_daemon(struct server *server, int fd)
{
    const struct server_options *options = &server->options;
    unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_TURBO;
    server->daemon = MHD_start_daemon(
        flags, 0, admit, server, request_arrives, server, MHD_OPTION_LISTEN_SOCKET, fd,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)options->connections + CONNECTIONS_EXTRA,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, options->header_bytes_limit + POOL_BYTES_EXTRA,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, server, MHD_OPTION_NOTIFY_COMPLETED, request_completed,
        server, MHD_OPTION_UNESCAPE_CALLBACK, strict_unescape, server, MHD_OPTION_END);
    return server->daemon != NULL;
}

/* The sweep comes often enough that a deadline is late by an eighth at most, and at most a second. */
static bool start_events(struct server *server)
{
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    const struct server_options *options = &server->options;
    duration shortest =
        options->request_deadline_ns < options->idle_ns ? options->request_deadline_ns : options->idle_ns;
    duration every = shortest / 8 < SECOND ? shortest / 8 : SECOND;
    every = every < 5 * MILLISECOND ? 5 * MILLISECOND : every;
    struct timeval period = {.tv_sec = every / SECOND, .tv_usec = every % SECOND / MICROSECOND};
    server->ready = event_new(server->base, info->epoll_fd, EV_READ | EV_PERSIST, on_ready, server);
    server->again = event_new(server->base, -1, 0, on_ready, server);
    server->sweep = event_new(server->base, -1, EV_PERSIST, on_sweep, server);
    return server->ready && server->again && server->sweep && event_add(server->ready, NULL) == 0 &&
           event_add(server->sweep, &period) == 0;
}

static void free_server(struct server *server)
{
    if (server->daemon)
        MHD_stop_daemon(server->daemon);
    CHECK(!server->first);
    if (server->ready)
        event_free(server->ready);
    if (server->again)
        event_free(server->again);
    if (server->sweep)
        event_free(server->sweep);
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
    server->handler = handler;
    server->closed = closed;
    server->context = context;
    server->swept_at = monotonic_ns();
    int fd = options->listen_fd >= 0 ? options->listen_fd
                                     : listen_on(options->address, options->port, error, error_size);
    if (fd < 0) {
        free(server);
        return NULL;
    }
    learn_address(server, fd);
    if (!start_daemon(server, fd)) {
        snprintf(error, error_size, "cannot serve HTTP on %s:%d", server->address, server->port);
        free(server);
        return NULL;
    }
    if (!start_events(server)) {
        snprintf(error, error_size, "cannot serve HTTP on %s:%d: no memory", server->address, server->port);
        free_server(server);
        return NULL;
    }
    return server;
}

void server_stop(struct server **owner)
{
    struct server *server = *owner;
    if (!server)
        return;
    *owner = NULL;
    server->stopping = true;
    for (struct connection *connection = server->first; connection; connection = connection->next) {
        if (connection->stream)
            stream_drop(connection->stream);
        else if (connection->phase == PHASE_WAITING && !connection->request.response)
            server_problem(&connection->request, MHD_HTTP_SERVICE_UNAVAILABLE, NULL,
                           "the server is stopping");
    }
    for (int i = 0; i < RUNS_PER_TURN;
         i++) /* lets the answers out, as far as the sockets take them at once */
        MHD_run(server->daemon);
    free_server(server);
}

int server_port(const struct server *server)
{
    return server->port;
}

struct server_counts server_counts(const struct server *server)
{
    return server->counts;
}
