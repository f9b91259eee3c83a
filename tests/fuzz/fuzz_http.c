/* Bytes that a server gets: whatever they are, what reaches the handler is well-formed, each request is
 * answered once, and the connection does not outlive its client.
 *
 * The first byte of an input says in pieces of how many bytes the rest is sent; in the rest, '@' stands for
 * the server's address and port, which no corpus can know. */
#include "target.h"

#include "base/clock.h"
#include "talk.h"
#include "wire/server.h"

#include <event2/event.h>
#include <stdio.h>
#include <string.h>

enum { BODY_MAX = 4096, PIECES_MAX = 64, TURNS_MAX = 400, TEXT_MAX = 128 * 1024 };

static struct talk talk = {.fd = -1};
static struct server *server;
static struct event *later;
static struct request *waiting;

static void answer(struct request *request)
{
    size_t length;
    const char *body = request_body(request, &length);
    server_answer(request, 200, "text/plain", body, length);
}

static void on_later(int fd, short what, void *context)
{
    (void)fd, (void)what, (void)context;
    struct request *request = waiting;
    waiting = NULL;
    if (request)
        answer(request);
}

static void begin_stream(struct request *request)
{
    struct stream *stream = server_stream_begin(request, &talk);
    if (stream && server_stream_send(stream, "event: a\ndata: b\n\n", 18))
        server_stream_send(stream, ": over\n\n", 8);
}

static void on_stream_closed(void *context, void *stream_context)
{
    (void)context;
    PROMISE(stream_context == &talk);
}

/* The forms by which two programs could see two different requests in the same bytes must not get here. */
static void request_is_sound(struct request *request)
{
    size_t length;
    const char *method = request_method(request), *path = request_path(request);
    const char *body = request_body(request, &length),
               *encoding = request_header(request, "Transfer-Encoding");
    PROMISE(method && *method && strlen(method) < 16384);
    PROMISE(path && strlen(path) < 16384);
    PROMISE(body && body[length] == '\0' && length <= BODY_MAX);
    PROMISE(!(encoding && request_header(request, "Content-Length")));
    PROMISE(!encoding || strcasecmp(encoding, "chunked") == 0);
    const char *query = request_query(request, "a");
    PROMISE(!query || strlen(query) < 16384);
}

static void handle(void *context, struct request *request)
{
    (void)context;
    const char *path = request_path(request);
    request_is_sound(request);
    if (strcmp(path, "/later") == 0 && !waiting) {
        waiting = request;
        event_active(later, EV_TIMEOUT, 0);
    } else if (strcmp(path, "/stream") == 0) {
        begin_stream(request);
    } else if (strcmp(path, "/problem") == 0) {
        server_answer_header(request, "Retry-After", "1");
        server_problem(request, 503, "/a", "%s",
                       request_query(request, "a") ? request_query(request, "a") : "no");
    } else {
        answer(request);
    }
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    char error[256];
    talk.base = event_base_new();
    const struct server_options options = {.address = "127.0.0.1",
                                           .listen_fd = -1,
                                           .body_bytes_limit = BODY_MAX,
                                           .header_bytes_limit = 2048,
                                           .request_deadline_ns = 200 * MILLISECOND,
                                           .idle_ns = 200 * MILLISECOND};
    server = server_start(talk.base, &options, handle, on_stream_closed, NULL, error, sizeof error);
    later = event_new(talk.base, -1, 0, on_later, NULL);
    PROMISE(server && later);
    talk.port = server_port(server);
    return 0;
}

/* Returns the number of bytes in `out`. */
static size_t fill_in_address(char *out, size_t room, const uint8_t *bytes, size_t length)
{
    size_t at = 0;
    for (size_t i = 0; i < length && at + 32 < room; i++) {
        if (bytes[i] == '@')
            at += (size_t)snprintf(out + at, 32, "127.0.0.1:%d", talk.port);
        else
            out[at++] = (char)bytes[i];
    }
    return at;
}

static void send_in_pieces(const char *bytes, size_t length, size_t piece)
{
    size_t pieces = 0;
    while (length > 0) {
        size_t part = length < piece || pieces == PIECES_MAX ? length : piece;
        talk_send(&talk, bytes, part);
        talk_turn(&talk, false);
        bytes += part;
        length -= part;
        pieces++;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static char text[TEXT_MAX];
    if (length < 2)
        return 0;
    size_t filled = fill_in_address(text, sizeof text, bytes + 1, length - 1);
    send_in_pieces(text, filled, bytes[0] ? bytes[0] : filled);
    talk_shut(&talk);
    for (int i = 0; i < 4 && !talk.over; i++)
        talk_turn(&talk, false);
    PROMISE(talk.heard_bytes == 0 || strncmp(talk.heard, "HTTP/1.", 7) == 0);
    talk_leave(&talk);
    for (int i = 0; server_counts(server).connections > 0; i++) {
        talk_turn(&talk, i > 2);
        PROMISE(i < TURNS_MAX); /* nearly a second */
    }
    PROMISE(!waiting);
    return 0;
}
