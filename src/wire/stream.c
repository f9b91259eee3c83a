/* Event streams: an answer without an end. What is sent waits in a buffer until libmicrohttpd asks for it;
 * while there is nothing the connection is suspended. A stream is let go in two steps, since two things refer
 * to it: its connection, until libmicrohttpd has completed the request, and the response that reads from it.
 */
#include "wire/connection.h"

#include "base/check.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define KEEP_ALIVE_NS (15 * SECOND)
#define BLOCK_BYTES   2048

struct stream {
    struct connection *connection; /* NULL: completed */
    void *context;
    char *waiting;
    size_t start, end, capacity; /* of what waits, in `waiting` */
    size_t limit;
    instant sent_at;
    bool dropped;
    int references;
};

static void release(struct stream *stream)
{
    if (--stream->references > 0)
        return;
    free(stream->waiting);
    free(stream);
}

static void response_freed(void *context)
{
    release(context);
}

/* libmicrohttpd asks for more. */
static ssize_t read_stream(void *context, uint64_t position, char *to, size_t room)
{
    (void)position;
    struct stream *stream = context;
    if (stream->dropped || !stream->connection)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    size_t waiting = stream->end - stream->start;
    if (waiting == 0) {
        stream->connection->suspended = true;
        MHD_suspend_connection(stream->connection->mhd);
        return 0;
    }
    size_t taken = waiting < room ? waiting : room;
    memcpy(to, stream->waiting + stream->start, taken);
    stream->start += taken;
    return (ssize_t)taken;
}

static void wake(struct stream *stream)
{
    struct connection *connection = stream->connection;
    if (connection->suspended && connection->phase == PHASE_STREAMING) /* else not begun yet, or awake */
        connection_resume(connection);
}

/* Makes room for `length` more at the end: moves what waits to the front, or grows. */
static bool make_room(struct stream *stream, size_t length)
{
    size_t waiting = stream->end - stream->start;
    if (stream->start > 0 && (waiting == 0 || stream->end + length > stream->capacity)) {
        if (waiting > 0)
            memmove(stream->waiting, stream->waiting + stream->start, waiting);
        stream->start = 0;
        stream->end = waiting;
    }
    if (stream->end + length <= stream->capacity)
        return true;
    size_t capacity = stream->capacity ? stream->capacity : 1024;
    while (capacity < stream->end + length)
        capacity *= 2;
    char *bytes = realloc(stream->waiting, capacity);
    if (!bytes)
        return false;
    stream->waiting = bytes;
    stream->capacity = capacity;
    return true;
}

struct stream *server_stream_begin(struct request *request, void *stream_context)
{
    struct connection *connection = request->connection;
    struct server *server = connection->server;
    CHECK(connection->phase == PHASE_WAITING && !request->response);
    struct stream *stream = NULL;
    struct MHD_Response *response = NULL;
    if (server->counts.streams < (unsigned)server->options.streams)
        stream = calloc(1, sizeof *stream);
    if (stream)
        response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK_BYTES, read_stream, stream,
                                                     response_freed);
    if (!response) {
        free(stream);
        server_problem(request, MHD_HTTP_SERVICE_UNAVAILABLE, NULL, "%u event streams are open already",
                       server->counts.streams);
        return NULL;
    }
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "text/event-stream");
    MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    *stream = (struct stream){.connection = connection,
                              .context = stream_context,
                              .limit = server->options.stream_bytes_limit,
                              .sent_at = monotonic_ns(),
                              .references = 2};
    connection->stream = stream;
    server->counts.streams++;
    request_respond(request, MHD_HTTP_OK, response);
    return stream;
}

void stream_drop(struct stream *stream)
{
    if (stream->dropped)
        return;
    stream->dropped = true;
    shutdown(stream->connection->fd, SHUT_RDWR);
    wake(stream);
}

bool server_stream_send(struct stream *stream, const char *bytes, size_t length)
{
    if (stream->dropped)
        return false;
    if (length > stream->limit - (stream->end - stream->start) || !make_room(stream, length)) {
        stream->connection->server->counts.dropped_streams++;
        stream_drop(stream);
        return false;
    }
    memcpy(stream->waiting + stream->end, bytes, length);
    stream->end += length;
    stream->sent_at = monotonic_ns();
    wake(stream);
    return true;
}

/* A comment now and then, so that both ends notice when the other is gone. */
void stream_sweep(struct stream *stream, instant now)
{
    static const char comment[] = ": keep-alive\n\n";
    if (now - stream->sent_at >= KEEP_ALIVE_NS)
        (void)server_stream_send(stream, comment, sizeof comment - 1);
}

void stream_completed(struct connection *connection)
{
    struct stream *stream = connection->stream;
    struct server *server = connection->server;
    connection->stream = NULL;
    server->counts.streams--;
    stream->dropped = true;
    stream->connection = NULL;
    if (!server->stopping && server->closed)
        server->closed(server->context, stream->context);
    release(stream);
}
