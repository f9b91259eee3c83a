#include "wire/connection.h"

#include "base/check.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define BAD_REQUEST         400
#define REQUEST_TIMEOUT     408
#define CONTENT_TOO_LARGE   413
#define URI_TOO_LONG        414
#define HEADERS_TOO_LONG    431
#define SERVICE_UNAVAILABLE 503

/* Pipelined requests of one connection that are taken when its turn in the backlog comes. Of what has just
 * arrived one is taken: hundreds may arrive at once, and all ask for the longest answer there is. */
#define REQUESTS_PER_TURN 4

#define LINGER_NS SECOND

static void settle(struct connection *connection);

static char *request_bytes(const struct connection *connection)
{
    return connection->bytes + connection->start;
}

static bool uses_scratch(const struct connection *connection)
{
    return connection->bytes == connection->server->scratch;
}

/* --- memory --------------------------------------------------------------------------------------------- */

static void drop_bytes(struct connection *connection)
{
    if (uses_scratch(connection))
        connection->bytes = NULL;
    else if (connection->bytes)
        connection_give_back(connection, &connection->bytes, &connection->capacity);
    connection->start = connection->end = connection->capacity = 0;
}

/* The server's buffer is needed by others. */
static bool move_out_of_scratch(struct connection *connection, bool must)
{
    size_t length = connection->end - connection->start;
    const char *from = request_bytes(connection);
    char *own = NULL;
    size_t capacity = 0;
    if (!connection_grow(connection, &own, &capacity, length + 1, must))
        return false;
    memcpy(own, from, length + (connection->phase == PHASE_WAITING)); /* its body may end in a NUL */
    connection->bytes = own;
    connection->capacity = capacity;
    connection->start = 0;
    connection->end = length;
    return true;
}

/* --- beginning and end ---------------------------------------------------------------------------------- */

/* Who does not read would not hear of our end either: the kernel would keep what he did not take, and try for
 * minutes, counted with no connection of ours. */
static void reset_on_close(const struct connection *connection)
{
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(connection->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

static bool has_untaken(const struct connection *connection)
{
    int bytes = 0;
    return ioctl(connection->fd, SIOCOUTQ, &bytes) == 0 && bytes > 0;
}

void connection_free(struct connection *connection)
{
    struct server *server = connection->server;
    CHECK(connection->phase != PHASE_WAITING); /* its owner would be left with a dead request */
    TAILQ_REMOVE(connection->known ? &server->known : &server->strangers, connection, link);
    backlog_leave(connection);
    server->counts.connections--;
    if (connection->stream)
        stream_ended(connection);
    if (connection->out.end > connection->out.start && !server->stopping)
        reset_on_close(connection);
    if (connection->readable)
        event_free(connection->readable);
    if (connection->writable)
        event_free(connection->writable);
    drop_bytes(connection);
    connection_give_back(connection, &connection->out.bytes, &connection->out.capacity);
    close(connection->fd);
    free(connection);
}

void connection_break(struct connection *connection)
{
    connection->phase = PHASE_BROKEN;
    event_active(connection->readable, EV_READ, 0);
}

static void resume_reading(struct connection *connection)
{
    if (connection->paused && event_add(connection->readable, NULL) == 0)
        connection->paused = false;
}

static void pause_reading(struct connection *connection)
{
    if (!connection->paused && event_del(connection->readable) == 0)
        connection->paused = true;
}

static void hang_up(struct connection *connection)
{
    connection->behind_bytes = 0;
    if (shutdown(connection->fd, SHUT_WR) != 0)
        connection_break(connection);
}

/* The last word was said. `by`: how long to listen yet. */
static void linger(struct connection *connection, instant by)
{
    connection->has_head = false;
    connection->swallowed_bytes = connection->end - connection->start;
    drop_bytes(connection);
    connection->phase = PHASE_LINGERING;
    connection->deadline_by = by;
    resume_reading(connection);
    if (connection->swallowed_bytes >= connection->behind_bytes)
        hang_up(connection);
}

static void say_refusal(struct connection *connection, int status, const char *detail)
{
    size_t length = 0;
    char head[512], *problem = problem_text(status, NULL, detail, &length);
    connection->last = true;
    connection->request.headers = 0;
    size_t head_bytes =
        answer_head(connection, head, sizeof head, status, "application/problem+json", length);
    struct iovec pieces[] = {{head, head_bytes}, {problem, length}};
    struct msghdr message = {.msg_iov = pieces, .msg_iovlen = 2};
    /* Best effort: nothing waits before it, and what does not fit into the socket's buffer has no reader. */
    if (problem)
        (void)!sendmsg(connection->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    free(problem);
    connection->server->counts.refused++;
}

void connection_refuse(struct connection *connection, int status, const char *detail)
{
    say_refusal(connection, status, detail);
    linger(connection, monotonic_ns() + LINGER_NS);
}

/* --- answering ------------------------------------------------------------------------------------------ */

/* All of the answer is sent. */
static void go_on(struct connection *connection)
{
    if (connection->last) {
        linger(connection, monotonic_ns() + LINGER_NS);
        return;
    }
    connection->phase = PHASE_IDLE;
    connection->idle_since = monotonic_ns();
    resume_reading(connection);
    if (!connection->in_handler && connection->end > connection->start)
        backlog_join(connection);
}

static void on_writable(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    struct connection *connection = context;
    if (connection->phase == PHASE_BROKEN)
        return; /* on_readable() is on its way */
    connection_flush(connection);
    if (connection->phase == PHASE_ANSWERING && connection->out.end == 0)
        go_on(connection);
    if (connection->phase != PHASE_BROKEN)
        settle(connection);
}

static void become_known(struct connection *connection)
{
    struct server *server = connection->server;
    TAILQ_REMOVE(connection->known ? &server->known : &server->strangers, connection, link);
    TAILQ_INSERT_TAIL(&server->known, connection, link);
    connection->known = true;
    connection->since = monotonic_ns();
}

void connection_answered(struct connection *connection, bool good)
{
    request_bytes(connection)[connection->body_end] = connection->behind;
    connection->start += connection->body_end;
    connection->has_head = false;
    connection->seen = 0;
    connection->request = (struct request){.connection = connection};
    if (good)
        become_known(connection);
    if (connection->phase == PHASE_STREAMING)
        connection->start = connection->end; /* nothing is taken any more */
    if (connection->phase == PHASE_BROKEN || connection->phase == PHASE_STREAMING)
        return;
    connection->phase = PHASE_ANSWERING;
    if (connection->out.end == 0)
        go_on(connection);
    if (!connection->in_handler && connection->phase != PHASE_BROKEN)
        settle(connection);
}

/* --- reading -------------------------------------------------------------------------------------------- */

/* The request is complete: over to the handler, which answers now or later. */
static void hand_over(struct connection *connection)
{
    struct server *server = connection->server;
    char *bytes = request_bytes(connection);
    connection->request.body_bytes = connection->body_end - connection->head.length;
    connection->behind = bytes[connection->body_end];
    bytes[connection->body_end] = '\0';
    connection->last |= !connection->head.keeps;
    connection->phase = PHASE_WAITING;
    server->counts.requests++;
    connection->in_handler = true;
    server->handler(server->context, &connection->request);
    connection->in_handler = false;
}

/* Many clients look for an answer only when they have sent everything, and take the end of what they could
 * read for a failure: so the end comes behind the body, unless the body is out of all proportion. */
static void refuse_body(struct connection *connection)
{
    const struct head *head = &connection->head;
    size_t limit = connection->server->options.body_bytes_limit;
    char sentence[80];
    snprintf(sentence, sizeof sentence, "the body has more than %zu bytes", limit);
    say_refusal(connection, CONTENT_TOO_LARGE, sentence);
    if (head->chunked)
        connection->behind_bytes = SIZE_MAX;
    else if (!head->expects && head->content_bytes / SWALLOWED_LIMITS <= limit)
        connection->behind_bytes = head->length + (size_t)head->content_bytes;
    linger(connection, connection->deadline_by);
}

static void ask_for_body(struct connection *connection)
{
    static const char go_ahead[] = "HTTP/1.1 100 Continue\r\n\r\n";
    if (!connection->head.expects)
        return;
    connection->head.expects = false;
    (void)!send(connection->fd, go_ahead, sizeof go_ahead - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* True when all of the body is there. */
static bool take_chunks(struct connection *connection)
{
    char *bytes = request_bytes(connection);
    size_t to = connection->body_end, from = to, end = connection->end - connection->start;
    if (!chunks_take(&connection->chunks, bytes, &to, &from, end)) {
        connection_refuse(connection, BAD_REQUEST, "a chunk of the body is not as chunks are");
        return false;
    }
    memmove(bytes + to, bytes + from, end - from);
    connection->end -= from - to;
    connection->body_end = to;
    if (to - connection->head.length > connection->server->options.body_bytes_limit) {
        refuse_body(connection);
        return false;
    }
    return connection->chunks.over;
}

static bool take_body(struct connection *connection)
{
    if (connection->head.chunked)
        return take_chunks(connection);
    size_t whole = connection->head.length + (size_t)connection->head.content_bytes;
    if (connection->end - connection->start < whole)
        return false;
    connection->body_end = whole;
    return true;
}

static void refuse_length(struct connection *connection)
{
    bool in_first_line =
        !memchr(request_bytes(connection), '\n', connection->server->options.header_bytes_limit);
    connection_refuse(connection, in_first_line ? URI_TOO_LONG : HEADERS_TOO_LONG,
                      in_first_line ? "the request's target is too long" : "the headers are too long");
}

/* True when the head is there and good. */
static bool take_head(struct connection *connection)
{
    const struct server_options *options = &connection->server->options;
    size_t came = connection->end - connection->start;
    const char *why = "";
    long length = head_length(request_bytes(connection), came, &connection->seen, &why);
    if (length < 0) {
        connection_refuse(connection, BAD_REQUEST, why);
        return false;
    }
    if ((length == 0 ? came : (size_t)length) > options->header_bytes_limit) {
        refuse_length(connection);
        return false;
    }
    if (length == 0)
        return false;
    int status = head_read(request_bytes(connection), (size_t)length, &connection->head, &why);
    status = status ? status : strict_check(connection, &why);
    if (status) {
        connection_refuse(connection, status, why);
        return false;
    }
    connection->has_head = true;
    connection->body_end = (size_t)length;
    connection->chunks = (struct chunks){0};
    if (connection->head.content_bytes > options->body_bytes_limit)
        refuse_body(connection);
    return connection->has_head;
}

/* A step further with what has come; false if more is needed, or nothing more is wanted. */
static bool advance(struct connection *connection)
{
    if (connection->phase == PHASE_IDLE) {
        connection->phase = PHASE_READING;
        connection->deadline_by = monotonic_ns() + connection->server->options.request_deadline_ns;
    }
    if (!connection->has_head && !take_head(connection))
        return false;
    if (!take_body(connection)) {
        if (connection->phase == PHASE_READING)
            ask_for_body(connection);
        return false;
    }
    hand_over(connection);
    return connection->phase == PHASE_IDLE;
}

static void process(struct connection *connection, int most)
{
    for (int taken = 0; connection->start < connection->end && taken < most; taken++)
        if (!advance(connection))
            return;
    if (connection->start < connection->end)
        backlog_join(connection);
}

/* Somebody who waits for his answer cannot be refused any more, and a refusal in the midst of an answer would
 * be taken for a part of it; what he sent behind his request can be dropped. */
static void cope_without_memory(struct connection *connection)
{
    if (connection->phase == PHASE_ANSWERING) {
        connection->last = true;
        drop_bytes(connection);
        return;
    }
    if (connection->phase != PHASE_WAITING) {
        connection_refuse(connection, SERVICE_UNAVAILABLE, "there is no memory for this request");
        return;
    }
    connection->end = connection->start + connection->body_end;
    connection->last = true;
    CHECK(move_out_of_scratch(connection, true));
}

/* At the end of each turn: what is still needed gets memory of its own, what is not is given back. */
static void settle(struct connection *connection)
{
    bool waiting = connection->phase == PHASE_WAITING;
    if (connection->phase == PHASE_BROKEN) {
        connection_free(connection);
        return;
    }
    if (connection->start == connection->end && !waiting) {
        drop_bytes(connection);
        return;
    }
    if (uses_scratch(connection)) {
        if (!move_out_of_scratch(connection, false))
            cope_without_memory(connection);
        return;
    }
    if (connection->start > 0 && !waiting) {
        memmove(connection->bytes, request_bytes(connection), connection->end - connection->start);
        connection->end -= connection->start;
        connection->start = 0;
    }
}

/* False if nothing came, or no more will. */
static bool receive(struct connection *connection)
{
    struct server *server = connection->server;
    if (!connection->bytes) {
        connection->bytes = server->scratch;
        connection->capacity = SCRATCH_BYTES;
    } else if (!connection_grow(connection, &connection->bytes, &connection->capacity, connection->end + 2,
                                false)) {
        connection_refuse(connection, SERVICE_UNAVAILABLE, "there is no memory for this request");
        return false;
    }
    ssize_t got = recv(connection->fd, connection->bytes + connection->end,
                       connection->capacity - connection->end - 1, 0);
    if (got > 0) {
        connection->end += (size_t)got;
        return true;
    }
    if (got == 0 || !socket_would_block())
        connection->phase = PHASE_BROKEN;
    return false;
}

/* While an answer waits or is being sent: whoever sends more is not heard until it is over; whoever leaves is
 * noticed. */
static void look_behind(struct connection *connection)
{
    char byte;
    ssize_t got = recv(connection->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    if (got < 0 && socket_would_block())
        return;
    if (got <= 0)
        connection->request.abandoned = true;
    if (got < 0 && connection->phase == PHASE_ANSWERING)
        connection_free(connection);
    else
        pause_reading(connection);
}

/* What readers of event streams say interests nobody, nor what comes behind a refusal. */
static void swallow(struct connection *connection)
{
    struct server *server = connection->server;
    ssize_t got = recv(connection->fd, server->scratch, SCRATCH_BYTES, MSG_DONTWAIT);
    if (got < 0 && socket_would_block())
        return;
    connection->swallowed_bytes += got > 0 ? (size_t)got : 0;
    if (got <= 0 || connection->swallowed_bytes / SWALLOWED_LIMITS > server->options.body_bytes_limit)
        connection_free(connection);
    else if (connection->behind_bytes > 0 && connection->swallowed_bytes >= connection->behind_bytes)
        hang_up(connection);
}

static void on_readable(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    struct connection *connection = context;
    switch (connection->phase) {
    case PHASE_BROKEN:
        connection_free(connection);
        break;
    case PHASE_WAITING:
    case PHASE_ANSWERING:
        look_behind(connection);
        break;
    case PHASE_STREAMING:
    case PHASE_LINGERING:
        swallow(connection);
        break;
    case PHASE_IDLE:
    case PHASE_READING:
        if (connection->backlog)
            break; /* its turn will come */
        if (receive(connection))
            process(connection, 1);
        settle(connection);
        break;
    }
}

void connection_take_backlog(struct connection *connection)
{
    backlog_leave(connection);
    if (connection->phase != PHASE_IDLE)
        return; /* it was refused or broken meanwhile */
    process(connection, REQUESTS_PER_TURN);
    settle(connection);
}

/* --- time ----------------------------------------------------------------------------------------------- */

/* One who never had a good answer is not let to sit there for as long as others. */
static duration patience(const struct connection *connection)
{
    const struct server_options *options = &connection->server->options;
    bool short_one = !connection->known && options->request_deadline_ns < options->idle_ns;
    return short_one ? options->request_deadline_ns : options->idle_ns;
}

static bool has_left(const struct connection *connection)
{
    struct pollfd look = {.fd = connection->fd, .events = POLLRDHUP};
    return poll(&look, 1, 0) > 0;
}

bool connection_sweep(struct connection *connection, instant now)
{
    struct server_counts *counts = &connection->server->counts;
    bool late = now >= connection->deadline_by;
    switch (connection->phase) {
    case PHASE_IDLE:
        if (now - connection->idle_since < patience(connection))
            return false;
        counts->idle++;
        if (has_untaken(connection))
            reset_on_close(connection);
        connection_free(connection);
        return true;
    case PHASE_READING:
        if (!late)
            return false;
        counts->deadlines++;
        connection_refuse(connection, REQUEST_TIMEOUT, "the request did not arrive in time");
        return true;
    case PHASE_WAITING:
        if (connection->paused && has_left(connection))
            connection->request.abandoned = true;
        return false;
    case PHASE_ANSWERING:
    case PHASE_LINGERING:
        if (!late)
            return false;
        counts->deadlines += connection->phase == PHASE_ANSWERING;
        connection_free(connection);
        return true;
    case PHASE_STREAMING:
        stream_sweep(connection->stream, now);
        return false;
    case PHASE_BROKEN:
        break;
    }
    return false;
}

/* --- beginning ------------------------------------------------------------------------------------------ */

static void learn_address(struct connection *connection, const struct sockaddr *address)
{
    struct in6_addr *from = &connection->from;
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)address;
        from->s6_addr[10] = from->s6_addr[11] = 0xff;
        memcpy(from->s6_addr + 12, &v4->sin_addr, 4);
        connection->from_loopback = ntohl(v4->sin_addr.s_addr) >> 24 == 127;
    } else if (address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)address;
        bool mapped = IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr);
        memcpy(from->s6_addr, &v6->sin6_addr, mapped ? 16 : 8);
        connection->from_loopback =
            IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr) || (mapped && v6->sin6_addr.s6_addr[12] == 127);
    }
}

struct connection *connection_new(struct server *server, int fd, const struct sockaddr *address)
{
    struct connection *connection = calloc(1, sizeof *connection);
    if (!connection) {
        close(fd);
        return NULL;
    }
    connection->server = server;
    connection->fd = fd;
    connection->since = connection->idle_since = monotonic_ns();
    connection->request.connection = connection;
    learn_address(connection, address);
    TAILQ_INSERT_TAIL(&server->strangers, connection, link);
    server->counts.connections++;
    connection->readable = event_new(server->base, fd, EV_READ | EV_PERSIST, on_readable, connection);
    connection->writable = event_new(server->base, fd, EV_WRITE, on_writable, connection);
    if (connection->readable && connection->writable && event_add(connection->readable, NULL) == 0)
        return connection;
    connection_free(connection);
    return NULL;
}
