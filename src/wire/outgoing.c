/* What a connection sends, and the memory of its buffers. */
#include "wire/connection.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define BUFFER_BYTES_FIRST 512

/* --- memory --------------------------------------------------------------------------------------------- */

bool connection_grow(struct connection *connection, char **bytes, size_t *capacity, size_t needed, bool must)
{
    struct server *server = connection->server;
    size_t wanted = *capacity ? *capacity : BUFFER_BYTES_FIRST;
    if (needed <= *capacity)
        return true;
    while (wanted < needed)
        wanted *= 2;
    while (!must && server->held_bytes + wanted - *capacity > server->options.memory_bytes_limit)
        if (!server_make_room(server, &(struct room){.except = connection, .holding = true}))
            return false;
    char *grown = realloc(*bytes, wanted);
    if (!grown)
        return false;
    server->held_bytes += wanted - *capacity;
    *bytes = grown;
    *capacity = wanted;
    return true;
}

void connection_shrink(struct connection *connection)
{
    size_t wanted = BUFFER_BYTES_FIRST;
    while (wanted < connection->end + 2)
        wanted *= 2;
    if (connection->bytes == connection->server->scratch || wanted >= connection->capacity)
        return;
    char *less = realloc(connection->bytes, wanted);
    if (!less)
        return;
    connection->server->held_bytes -= connection->capacity - wanted;
    connection->bytes = less;
    connection->capacity = wanted;
}

void connection_give_back(struct connection *connection, char **bytes, size_t *capacity)
{
    free(*bytes);
    connection->server->held_bytes -= *capacity;
    *bytes = NULL;
    *capacity = 0;
}

/* --- sending -------------------------------------------------------------------------------------------- */

bool socket_would_block(void)
{
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

bool connection_queue(struct connection *connection, const char *bytes, size_t length)
{
    struct outgoing *out = &connection->out;
    if (length == 0)
        return true;
    if (out->start > 0 && out->end + length > out->capacity) {
        memmove(out->bytes, out->bytes + out->start, out->end - out->start);
        out->end -= out->start;
        out->start = 0;
    }
    if (!connection_grow(connection, &out->bytes, &out->capacity, out->end + length,
                         connection->stream != NULL))
        return false;
    memcpy(out->bytes + out->end, bytes, length);
    out->end += length;
    return true;
}

void connection_send(struct connection *connection, const char *head, size_t head_bytes, const char *body,
                     size_t body_bytes)
{
    struct iovec pieces[] = {{(void *)(uintptr_t)head, head_bytes}, {(void *)(uintptr_t)body, body_bytes}};
    struct msghdr message = {.msg_iov = pieces, .msg_iovlen = body_bytes > 0 ? 2 : 1};
    ssize_t sent = sendmsg(connection->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && !socket_would_block()) {
        connection_break(connection);
        return;
    }
    size_t gone = sent > 0 ? (size_t)sent : 0;
    if (gone == head_bytes + body_bytes)
        return;
    size_t of_head = gone < head_bytes ? gone : head_bytes, of_body = gone - of_head;
    if (!connection_queue(connection, head + of_head, head_bytes - of_head) ||
        !connection_queue(connection, body + of_body, body_bytes - of_body)) {
        connection_break(connection);
        return;
    }
    event_add(connection->writable, NULL);
}

void connection_flush(struct connection *connection)
{
    struct outgoing *out = &connection->out;
    while (out->start < out->end) {
        ssize_t sent =
            send(connection->fd, out->bytes + out->start, out->end - out->start, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && socket_would_block()) {
            event_add(connection->writable, NULL);
            return;
        }
        if (sent < 0) {
            connection_break(connection);
            return;
        }
        out->start += (size_t)sent;
    }
    out->start = out->end = 0;
    connection_give_back(connection, &out->bytes, &out->capacity);
}
