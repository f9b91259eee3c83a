/* Event streams: an answer without an end. What is sent waits with the connection until the socket takes it,
 * up to a bound; at the bound the reader is dropped. */
#include "wire/connection.h"

#include "base/check.h"

#include <stdlib.h>

#define KEEP_ALIVE_NS       (15 * SECOND)
#define OK                  200
#define SERVICE_UNAVAILABLE 503

struct stream {
    struct connection *connection;
    void *context;
    instant sent_at;
    bool dropped;
};

struct stream *server_stream_begin(struct request *request, void *stream_context)
{
    struct connection *connection = request->connection;
    struct server *server = connection->server;
    CHECK(connection->phase == PHASE_WAITING);
    char head[512];
    if (connection->head.bodiless) {
        connection->last = true; /* as the one that is asked about ends */
        size_t bytes = answer_head(connection, head, sizeof head, OK, "text/event-stream", SIZE_MAX);
        connection_send(connection, head, bytes, "", 0);
        connection_answered(connection, true);
        return NULL;
    }
    struct stream *stream = NULL;
    if (server->counts.streams < (unsigned)server->options.streams)
        stream = calloc(1, sizeof *stream);
    if (!stream) {
        server_problem(request, SERVICE_UNAVAILABLE, NULL, "%u event streams are open already",
                       server->counts.streams);
        return NULL;
    }
    server_answer_header(request, "Cache-Control", "no-store");
    size_t length = answer_head(connection, head, sizeof head, OK, "text/event-stream", SIZE_MAX);
    CHECK(length > 0);
    *stream = (struct stream){.connection = connection, .context = stream_context, .sent_at = monotonic_ns()};
    connection->stream = stream;
    connection->phase = PHASE_STREAMING;
    server->counts.streams++;
    connection_send(connection, head, length, "", 0);
    connection_answered(connection, true);
    return stream;
}

bool server_stream_send(struct stream *stream, const char *bytes, size_t length)
{
    struct connection *connection = stream->connection;
    struct server *server = connection->server;
    if (stream->dropped || connection->phase != PHASE_STREAMING)
        return false;
    size_t waiting = connection->out.end - connection->out.start;
    if (waiting > server->options.stream_bytes_limit ||
        length > server->options.stream_bytes_limit - waiting ||
        !connection_queue(connection, bytes, length)) {
        stream->dropped = true;
        server->counts.dropped_streams++;
        connection_break(connection);
        return false;
    }
    stream->sent_at = monotonic_ns();
    if (waiting == 0) /* from the loop, so that what is sent in one turn goes out in one piece */
        event_active(connection->writable, EV_WRITE, 0);
    return true;
}

/* A comment now and then, so that both ends notice when the other is gone. */
void stream_sweep(struct stream *stream, instant now)
{
    static const char comment[] = ": keep-alive\n\n";
    if (now - stream->sent_at >= KEEP_ALIVE_NS)
        (void)server_stream_send(stream, comment, sizeof comment - 1);
}

void stream_ended(struct connection *connection)
{
    struct stream *stream = connection->stream;
    struct server *server = connection->server;
    connection->stream = NULL;
    server->counts.streams--;
    if (!server->stopping && server->closed)
        server->closed(server->context, stream->context);
    free(stream);
}
