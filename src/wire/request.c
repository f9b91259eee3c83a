#include "wire/connection.h"

#include "base/check.h"
#include "wire/json.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* A client that only looks for the answer once it has sent everything would see a reset instead of our 413;
 * so bodies that are too long are swallowed up to this many times the limit before they are refused. */
#define SWALLOWED_LIMITS 64

/* Whoever takes an answer slower than this is cut. */
#define ANSWER_BYTES_PER_SECOND 16384

#define BODY_BYTES_FIRST 2048

struct connection *connection_of(struct MHD_Connection *mhd)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info ? info->socket_context : NULL;
}

void connection_starts_reading(struct connection *connection)
{
    const struct server *server = connection->server;
    instant began_at = connection->since > server->swept_at ? connection->since : server->swept_at;
    connection->phase = PHASE_READING;
    connection->deadline_by = began_at + server->options.request_deadline_ns;
}

char *problem_text(int status, const char *pointer, const char *detail, size_t *length)
{
    json_t *problem = json_pack("{s:s, s:s, s:i, s:o}", "type", "about:blank", "title",
                                MHD_get_reason_phrase_for((unsigned)status), "status", status, "detail",
                                json_of_text(detail));
    if (problem && pointer)
        json_object_set_new(problem, "pointer", json_of_text(pointer));
    return json_text_of(problem, length);
}

/* Best effort: what does not fit into the socket's buffer at once is lost, as the connection is anyway. */
void connection_cut(struct connection *connection, int status, const char *detail)
{
    size_t length = 0;
    char *problem = status ? problem_text(status, NULL, detail, &length) : NULL;
    if (problem) {
        char head[256];
        int head_bytes =
            snprintf(head, sizeof head,
                     "HTTP/1.1 %d %s\r\nConnection: close\r\nContent-Type: application/problem+json\r\n"
                     "Content-Length: %zu\r\n\r\n",
                     status, MHD_get_reason_phrase_for((unsigned)status), length);
        if (send(connection->fd, head, (size_t)head_bytes, MSG_NOSIGNAL | MSG_DONTWAIT | MSG_MORE) ==
            head_bytes)
            (void)!send(connection->fd, problem, length, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    free(problem);
    shutdown(connection->fd, SHUT_RDWR);
    connection->phase = PHASE_CLOSING;
}

/* --- the answer ----------------------------------------------------------------------------------------- */

/* Gives the response to libmicrohttpd; only from within its calls. */
static enum MHD_Result queue_response(struct connection *connection)
{
    struct request *request = &connection->request;
    enum MHD_Result queued =
        MHD_queue_response(connection->mhd, (unsigned)request->status, request->response);
    MHD_destroy_response(request->response);
    request->response = NULL;
    connection->phase = connection->stream ? PHASE_STREAMING : PHASE_ANSWERING;
    return queued;
}

void request_respond(struct request *request, int status, struct MHD_Response *response)
{
    struct connection *connection = request->connection;
    CHECK(connection->phase == PHASE_WAITING && !request->response);
    request->status = status;
    request->response = response;
    for (int i = 0; i < request->headers; i++)
        MHD_add_response_header(response, request->header_names[i], request->header_values[i]);
    request->headers = 0;
    if (connection->suspended)
        connection_resume(connection);
}

static struct MHD_Response *make_response(const char *type, const char *body, size_t length, bool last)
{
    /* The cast: with MUST_COPY the library reads only. */
    struct MHD_Response *response =
        MHD_create_response_from_buffer(length, (void *)(uintptr_t)body, MHD_RESPMEM_MUST_COPY);
    if (!response)
        return NULL;
    if (type)
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    if (last)
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
    return response;
}

/* For an answer as long as `length`. */
static void start_answer_deadline(struct connection *connection, size_t length)
{
    connection->deadline_by = monotonic_ns() + connection->server->options.request_deadline_ns +
                              (duration)(length / ANSWER_BYTES_PER_SECOND) * SECOND;
}

void server_answer(struct request *request, int status, const char *content_type, const char *body,
                   size_t length)
{
    struct connection *connection = request->connection;
    CHECK(connection->phase == PHASE_WAITING && !request->response);
    if (!content_type && status != MHD_HTTP_NO_CONTENT)
        content_type = "application/json";
    struct MHD_Response *response =
        make_response(content_type, body ? body : "", length, connection->server->stopping);
    if (!response) { /* no memory: all we can still do is let go */
        shutdown(connection->fd, SHUT_RDWR);
        response = MHD_create_response_from_buffer(0, (void *)(uintptr_t) "", MHD_RESPMEM_PERSISTENT);
        CHECK(response);
    }
    start_answer_deadline(connection, length);
    request_respond(request, status, response);
}

void server_problem(struct request *request, int status, const char *pointer, const char *detail_format, ...)
{
    char detail[512];
    va_list arguments;
    va_start(arguments, detail_format);
    vsnprintf(detail, sizeof detail, detail_format, arguments);
    va_end(arguments);
    size_t length = 0;
    char *problem = problem_text(status, pointer, detail, &length);
    server_answer(request, status, "application/problem+json", problem, length);
    free(problem);
}

void server_answer_header(struct request *request, const char *name, const char *value)
{
    CHECK(request->headers < ANSWER_HEADERS_MAX);
    request->header_names[request->headers] = name;
    request->header_values[request->headers++] = value;
}

/* --- the request ---------------------------------------------------------------------------------------- */

const char *request_method(const struct request *request)
{
    return request->method;
}

const char *request_path(const struct request *request)
{
    return request->path;
}

const char *request_query(const struct request *request, const char *name)
{
    return MHD_lookup_connection_value(request->connection->mhd, MHD_GET_ARGUMENT_KIND, name);
}

const char *request_header(const struct request *request, const char *name)
{
    return MHD_lookup_connection_value(request->connection->mhd, MHD_HEADER_KIND, name);
}

const char *request_body(const struct request *request, size_t *length)
{
    if (length)
        *length = request->body_bytes;
    return request->body ? request->body : "";
}

bool request_abandoned(const struct request *request)
{
    return request->abandoned;
}

/* --- what libmicrohttpd calls --------------------------------------------------------------------------- */

/* An answer of the server itself, after which the connection ends. */
static enum MHD_Result refuse(struct connection *connection, int status, const char *why)
{
    struct request *request = &connection->request;
    size_t length = 0;
    char *problem = problem_text(status, NULL, why, &length);
    request->status = status;
    request->response = problem ? make_response("application/problem+json", problem, length, true) : NULL;
    free(problem);
    connection->server->counts.refused++;
    start_answer_deadline(connection, length);
    return request->response ? queue_response(connection) : MHD_NO;
}

static const char *too_long(const struct connection *connection, char out[80])
{
    snprintf(out, 80, "the body has more than %zu bytes", connection->server->options.body_bytes_limit);
    return out;
}

/* The headers are there. */
static enum MHD_Result begin(struct connection *connection, const char *url, const char *method,
                             const char *version)
{
    struct request *request = &connection->request;
    const struct server_options *options = &connection->server->options;
    if (connection->phase == PHASE_IDLE)
        connection_starts_reading(connection);
    request->begun = true;
    request->method = method;
    request->path = url;
    size_t announced = 0;
    const char *why = "";
    int status = strict_check(connection, method, version, &announced, &why);
    if (status)
        return refuse(connection, status, why);
    if (announced != SIZE_MAX && announced > options->body_bytes_limit) {
        bool waits = request_header(request, MHD_HTTP_HEADER_EXPECT) != NULL;
        char sentence[80];
        if (waits || announced / SWALLOWED_LIMITS > options->body_bytes_limit)
            return refuse(connection, MHD_HTTP_CONTENT_TOO_LARGE, too_long(connection, sentence));
        request->refusal = MHD_HTTP_CONTENT_TOO_LARGE;
    }
    return MHD_YES;
}

/* Room for `more` bytes and a NUL; doubles, so that a length that was only announced costs nothing. */
static bool make_room(struct request *request, size_t more)
{
    size_t needed = request->body_bytes + more + 1;
    if (needed <= request->body_capacity)
        return true;
    size_t capacity = request->body_capacity ? request->body_capacity : BODY_BYTES_FIRST;
    while (capacity < needed)
        capacity *= 2;
    char *body = realloc(request->body, capacity);
    if (!body)
        return false;
    request->body = body;
    request->body_capacity = capacity;
    return true;
}

static void drop_body(struct request *request)
{
    free(request->body);
    request->body = NULL;
    request->body_bytes = request->body_capacity = 0;
}

static enum MHD_Result take_body(struct connection *connection, const char *bytes, size_t length)
{
    struct request *request = &connection->request;
    size_t limit = connection->server->options.body_bytes_limit;
    if (!request->refusal && length > limit - request->body_bytes)
        request->refusal = MHD_HTTP_CONTENT_TOO_LARGE;
    if (!request->refusal && !make_room(request, length))
        request->refusal = MHD_HTTP_SERVICE_UNAVAILABLE;
    if (!request->refusal) {
        memcpy(request->body + request->body_bytes, bytes, length);
        request->body_bytes += length;
        request->body[request->body_bytes] = '\0';
        return MHD_YES;
    }
    drop_body(request);
    request->swallowed_bytes += length;
    if (request->swallowed_bytes / SWALLOWED_LIMITS <= limit)
        return MHD_YES;
    char sentence[80];
    connection->server->counts.refused++;
    connection_cut(connection, MHD_HTTP_CONTENT_TOO_LARGE, too_long(connection, sentence));
    return MHD_NO;
}

/* All of it is there: over to the handler, which answers now or later. */
static enum MHD_Result finish(struct connection *connection)
{
    struct request *request = &connection->request;
    struct server *server = connection->server;
    char sentence[80];
    if (request->refusal == MHD_HTTP_CONTENT_TOO_LARGE)
        return refuse(connection, request->refusal, too_long(connection, sentence));
    if (request->refusal)
        return refuse(connection, request->refusal, "there is no memory for this request");
    if (connection->phase == PHASE_READING) {
        connection->phase = PHASE_WAITING;
        server->counts.requests++;
        server->handler(server->context, request);
    }
    if (request->response)
        return queue_response(connection);
    connection->suspended = true;
    MHD_suspend_connection(connection->mhd);
    return MHD_YES;
}

enum MHD_Result request_arrives(void *server, struct MHD_Connection *mhd, const char *url, const char *method,
                                const char *version, const char *upload, size_t *upload_bytes, void **unused)
{
    (void)server;
    (void)unused;
    struct connection *connection = connection_of(mhd);
    if (!connection || connection->phase == PHASE_CLOSING)
        return MHD_NO;
    if (!connection->request.begun)
        return begin(connection, url, method, version);
    if (*upload_bytes > 0) {
        enum MHD_Result taken = take_body(connection, upload, *upload_bytes);
        *upload_bytes = 0;
        return taken;
    }
    return finish(connection);
}

void request_completed(void *server, struct MHD_Connection *mhd, void **unused,
                       enum MHD_RequestTerminationCode how)
{
    (void)server;
    (void)unused;
    (void)how;
    struct connection *connection = connection_of(mhd);
    if (!connection)
        return;
    struct request *request = &connection->request;
    CHECK(connection->phase != PHASE_WAITING ||
          request->response); /* its owner would be left with a dead one */
    if (connection->stream)
        stream_completed(connection);
    if (request->response)
        MHD_destroy_response(request->response);
    free(request->body);
    *request = (struct request){.connection = connection};
    if (connection->phase != PHASE_CLOSING)
        connection->phase = PHASE_IDLE;
    connection->since = monotonic_ns();
    connection->bytes_received = BYTES_UNKNOWN;
}
