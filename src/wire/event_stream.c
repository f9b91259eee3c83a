/* Reading Server-Sent Events, after the WHATWG HTML standard, section 9.2: lines end in LF, CR or CR LF;
 * `data` may have many lines, an empty line ends an event, a line that begins with a colon is a comment.
 * Unlike a browser it does not connect again by itself: who reads knows whether that makes sense. */
#include "wire/client.h"

#include "base/text.h"
#include "wire/http_words.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_BYTES_LIMIT (1024 * 1024) /* and of all data lines of one event together */
#define SILENCE_S        45            /* three missed keep-alive comments of our server: it is gone */

struct bytes {
    char *at;
    size_t length, capacity;
};

struct event_stream {
    struct event_base *base;
    struct evhttp_connection *connection;
    struct http_connecting connecting;
    struct event *silence; /* restarted by every byte, comments included */
    event_stream_handler *handler;
    void *context;
    struct bytes line, data;
    char name[64];
    uint64_t id;
    bool after_cr; /* a LF right now belongs to the CR before */
    bool has_data; /* the event has at least one data line, be it empty */
    bool calling;  /* the handler is being called: it may close the stream */
    bool closed;   /* and has done so */
    bool ended;    /* the end was told */
    int failure;   /* an enum evhttp_request_error, or -1 */
    char error[128];
};

/* Appends, keeping a NUL behind; false beyond the limit or without memory. */
static bool append(struct bytes *bytes, const char *more, size_t length)
{
    if (length > LINE_BYTES_LIMIT - bytes->length)
        return false;
    if (bytes->length + length + 1 > bytes->capacity) {
        size_t capacity = bytes->capacity ? bytes->capacity : 256;
        while (capacity < bytes->length + length + 1)
            capacity *= 2;
        char *grown = realloc(bytes->at, capacity);
        if (!grown)
            return false;
        bytes->at = grown;
        bytes->capacity = capacity;
    }
    memcpy(bytes->at + bytes->length, more, length);
    bytes->length += length;
    bytes->at[bytes->length] = '\0';
    return true;
}

static void free_stream(struct event_stream *stream)
{
    if (stream->connection)
        evhttp_connection_free(stream->connection);
    if (stream->silence)
        event_free(stream->silence);
    free(stream->line.at);
    free(stream->data.at);
    free(stream);
}

static void tell(struct event_stream *stream, const char *name, const char *data)
{
    stream->calling = true;
    stream->handler(stream->context, name, stream->id, data);
    stream->calling = false;
}

static void tell_end(struct event_stream *stream, const char *why)
{
    if (stream->ended || stream->closed)
        return;
    stream->ended = true;
    event_del(stream->silence);
    tell(stream, NULL, why);
}

/* --- the text ------------------------------------------------------------------------------------------- */

static void event_over(struct event_stream *stream)
{
    if (stream->has_data)
        tell(stream, stream->name[0] ? stream->name : "message", stream->data.at);
    stream->has_data = false;
    stream->data.length = 0;
    stream->name[0] = '\0';
}

static bool take_field(struct event_stream *stream, const char *field, const char *value)
{
    if (strcmp(field, "data") == 0) {
        bool first = !stream->has_data;
        stream->has_data = true;
        return (first || append(&stream->data, "\n", 1)) && append(&stream->data, value, strlen(value));
    }
    if (strcmp(field, "event") == 0)
        text_copy(stream->name, sizeof stream->name, value);
    else if (strcmp(field, "id") == 0 && value[0] && strspn(value, "0123456789") == strlen(value))
        stream->id = strtoull(value, NULL, 10);
    return true; /* others are to be ignored */
}

static bool take_line(struct event_stream *stream)
{
    struct bytes *line = &stream->line;
    if (line->length == 0) {
        event_over(stream);
        return true;
    }
    line->length = 0;
    char *colon = strchr(line->at, ':');
    if (colon == line->at)
        return true;
    const char *value = "";
    if (colon) {
        *colon = '\0';
        value = colon + 1 + (colon[1] == ' ');
    }
    return take_field(stream, line->at, value);
}

/* False if a line or an event is too long. Stops early when the handler has closed the stream. */
static bool take_bytes(struct event_stream *stream, const char *at, size_t length)
{
    const char *end = at + length;
    while (at < end && !stream->closed) {
        if (stream->after_cr && *at == '\n')
            at++;
        stream->after_cr = false;
        const char *stop = at;
        while (stop < end && *stop != '\n' && *stop != '\r')
            stop++;
        if (!append(&stream->line, at, (size_t)(stop - at)))
            return false;
        if (stop < end) {
            stream->after_cr = *stop == '\r';
            stop++;
            if (!take_line(stream))
                return false;
        }
        at = stop;
    }
    return true;
}

/* --- what evhttp calls ---------------------------------------------------------------------------------- */

static void wait_for_bytes(struct event_stream *stream)
{
    const struct timeval patience = {.tv_sec = SILENCE_S};
    event_add(stream->silence, &patience);
}

static void on_chunk(struct evhttp_request *request, void *context)
{
    struct event_stream *stream = context;
    struct evbuffer *input = evhttp_request_get_input_buffer(request);
    size_t length = evbuffer_get_length(input);
    const char *bytes = (const char *)evbuffer_pullup(input, -1);
    if (evhttp_request_get_response_code(request) != HTTP_OK || stream->ended || length == 0)
        return;
    wait_for_bytes(stream);
    if (!bytes || !take_bytes(stream, bytes, length))
        tell_end(stream, "an event has more than 1 MiB");
    if (stream->closed)
        free_stream(stream);
}

static void on_error(enum evhttp_request_error error, void *context)
{
    struct event_stream *stream = context;
    stream->failure = (int)error;
}

static void on_over(struct evhttp_request *request, void *context)
{
    struct event_stream *stream = context;
    int status = request ? evhttp_request_get_response_code(request) : 0;
    if (status == HTTP_OK || stream->failure == EVREQ_HTTP_EOF)
        snprintf(stream->error, sizeof stream->error, "the server ended the stream");
    else if (status)
        snprintf(stream->error, sizeof stream->error, "the server answered with status %d", status);
    else
        http_failure(stream->error, sizeof stream->error, stream->failure, stream->connecting.error_number,
                     0);
    /* From the loop, as this may be inside event_stream_open(). */
    event_active(stream->silence, EV_READ, 0);
}

static void on_silence(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    struct event_stream *stream = context;
    tell_end(stream, what & EV_READ ? stream->error : "the server has been silent for 45 s");
    if (stream->closed)
        free_stream(stream);
}

/* --- beginning and end ---------------------------------------------------------------------------------- */

static bool send_request(struct event_stream *stream, const char *host, int port, const char *path)
{
    char authority[300];
    http_authority(authority, sizeof authority, host, port);
    struct evhttp_request *request = evhttp_request_new(on_over, stream);
    if (!request)
        return false;
    evhttp_request_set_chunked_cb(request, on_chunk);
    evhttp_request_set_error_cb(request, on_error);
    struct evkeyvalq *headers = evhttp_request_get_output_headers(request);
    if (evhttp_add_header(headers, "Host", authority) != 0 ||
        evhttp_add_header(headers, "Accept", "text/event-stream") != 0) {
        evhttp_request_free(request);
        return false;
    }
    if (evhttp_make_request(stream->connection, request, EVHTTP_REQ_GET, path) != 0)
        return false;
    http_watch_connecting(stream->connection, &stream->connecting);
    return true;
}

struct event_stream *event_stream_open(struct event_base *base, const char *host, int port, const char *path,
                                       event_stream_handler *handler, void *context)
{
    struct event_stream *stream = calloc(1, sizeof *stream);
    if (!stream)
        return NULL;
    *stream = (struct event_stream){.base = base, .handler = handler, .context = context, .failure = -1};
    stream->silence = event_new(base, -1, 0, on_silence, stream);
    stream->connection = http_connect(base, host, port);
    if (!stream->silence || !stream->connection || !append(&stream->data, "", 0) ||
        !append(&stream->line, "", 0)) {
        free_stream(stream);
        return NULL;
    }
    wait_for_bytes(stream);
    if (!send_request(stream, host, port, path)) {
        free_stream(stream);
        return NULL;
    }
    return stream;
}

void event_stream_close(struct event_stream **owner)
{
    struct event_stream *stream = *owner;
    if (!stream)
        return;
    *owner = NULL;
    stream->closed = true;
    if (!stream->calling)
        free_stream(stream);
}
