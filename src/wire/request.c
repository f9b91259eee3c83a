#include "wire/connection.h"

#include "base/check.h"
#include "base/text.h"
#include "wire/json.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Whoever takes an answer slower than this is cut. */
#define ANSWER_BYTES_PER_SECOND 16384

#define HEAD_BYTES_MAX 2048

#define NO_CONTENT            204
#define NOT_MODIFIED          304
#define INTERNAL_SERVER_ERROR 500

static const char *reason_phrase(int status)
{
    static const struct {
        int status;
        const char *phrase;
    } phrases[] = {{200, "OK"},
                   {201, "Created"},
                   {202, "Accepted"},
                   {204, "No Content"},
                   {304, "Not Modified"},
                   {400, "Bad Request"},
                   {401, "Unauthorized"},
                   {403, "Forbidden"},
                   {404, "Not Found"},
                   {405, "Method Not Allowed"},
                   {408, "Request Timeout"},
                   {409, "Conflict"},
                   {412, "Precondition Failed"},
                   {413, "Content Too Large"},
                   {414, "URI Too Long"},
                   {415, "Unsupported Media Type"},
                   {417, "Expectation Failed"},
                   {422, "Unprocessable Content"},
                   {429, "Too Many Requests"},
                   {431, "Request Header Fields Too Large"},
                   {500, "Internal Server Error"},
                   {501, "Not Implemented"},
                   {502, "Bad Gateway"},
                   {503, "Service Unavailable"},
                   {504, "Gateway Timeout"},
                   {505, "HTTP Version Not Supported"},
                   {507, "Insufficient Storage"}};
    for (size_t i = 0; i < COUNT_OF(phrases); i++)
        if (phrases[i].status == status)
            return phrases[i].phrase;
    return "Unknown";
}

char *problem_text(int status, const char *pointer, const char *detail, size_t *length)
{
    json_t *problem = json_pack("{s:s, s:s, s:i, s:o}", "type", "about:blank", "title", reason_phrase(status),
                                "status", status, "detail", json_of_text(detail));
    if (problem && pointer)
        json_object_set_new(problem, "pointer", json_of_text(pointer));
    return json_text_of(problem, length);
}

/* --- the answer ----------------------------------------------------------------------------------------- */

static void add_number(struct text *text, size_t number)
{
    char digits[24], *at = digits + sizeof digits - 1;
    *at = '\0';
    do
        *--at = (char)('0' + number % 10);
    while (number /= 10);
    text_add(text, at);
}

/* RFC 9110, sections 15.3.5 and 15.4.5 */
static bool has_no_content(int status)
{
    return status == NO_CONTENT || status == NOT_MODIFIED;
}

static void add_header(struct text *text, const char *name, const char *value)
{
    text_add(text, name);
    text_add(text, ": ");
    text_add(text, value);
    text_add(text, "\r\n");
}

size_t answer_head(const struct connection *connection, char *out, size_t size, int status, const char *type,
                   size_t length)
{
    const struct request *request = &connection->request;
    struct text text = text_over(out, size);
    text_add(&text, "HTTP/1.1 ");
    add_number(&text, (size_t)status);
    text_add(&text, " ");
    text_add(&text, reason_phrase(status));
    text_add(&text, "\r\n");
    add_header(&text, "Date", connection->server->date);
    if (type)
        add_header(&text, "Content-Type", type);
    for (int i = 0; i < request->headers; i++)
        add_header(&text, request->header_names[i], request->header_values[i]);
    if (length != SIZE_MAX && !has_no_content(status)) {
        text_add(&text, "Content-Length: ");
        add_number(&text, length);
        text_add(&text, "\r\n");
    }
    if (connection->last || length == SIZE_MAX)
        add_header(&text, "Connection", "close");
    else if (connection->head.old)
        add_header(&text, "Connection", "keep-alive");
    text_add(&text, "\r\n");
    return text.cut ? 0 : text.length;
}

void server_answer(struct request *request, int status, const char *content_type, const char *body,
                   size_t length)
{
    struct connection *connection = request->connection;
    CHECK(connection->phase == PHASE_WAITING);
    if (!content_type && !has_no_content(status))
        content_type = "application/json";
    if (!body)
        body = "", length = 0;
    connection->last |= connection->server->stopping || !connection->head.keeps;
    char head[HEAD_BYTES_MAX];
    size_t head_bytes = answer_head(connection, head, sizeof head, status, content_type, length);
    if (head_bytes == 0) { /* headers of ours that are too long: then without them */
        request->headers = 0;
        status = INTERNAL_SERVER_ERROR;
        length = 0;
        head_bytes = answer_head(connection, head, sizeof head, status, NULL, length);
    }
    bool bodiless = connection->head.bodiless || has_no_content(status);
    connection_send(connection, head, head_bytes, body, bodiless ? 0 : length);
    if (connection->out.end > 0)
        connection->deadline_by = monotonic_ns() + connection->server->options.request_deadline_ns +
                                  (duration)(length / ANSWER_BYTES_PER_SECOND) * SECOND;
    connection_answered(connection, status < 400);
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

static const char *bytes_of(const struct request *request)
{
    return request->connection->bytes + request->connection->start;
}

const char *request_method(const struct request *request)
{
    return bytes_of(request) + request->connection->head.method;
}

const char *request_path(const struct request *request)
{
    return bytes_of(request) + request->connection->head.path;
}

const char *request_query(const struct request *request, const char *name)
{
    return head_parameter(&request->connection->head, bytes_of(request), name);
}

const char *request_header(const struct request *request, const char *name)
{
    return head_field(&request->connection->head, bytes_of(request), name);
}

const char *request_body(const struct request *request, size_t *length)
{
    if (length)
        *length = request->body_bytes;
    return bytes_of(request) + request->connection->head.length;
}

void request_drop_body(struct request *request)
{
    struct connection *connection = request->connection;
    char *body = connection->bytes + connection->start + connection->head.length;
    size_t behind = connection->end - connection->start - connection->body_end;
    body[request->body_bytes] = connection->behind;
    memmove(body, body + request->body_bytes, behind);
    connection->end -= request->body_bytes;
    connection->body_end = connection->head.length;
    connection->behind = *body;
    *body = '\0';
    request->body_bytes = 0;
    connection_shrink(connection);
}

void server_answer_closes(struct request *request)
{
    request->connection->last = true;
}

bool request_abandoned(const struct request *request)
{
    return request->abandoned;
}
