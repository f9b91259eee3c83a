#include "service/answer.h"

#include "base/check.h"

#include <event2/buffer.h>
#include <event2/http.h>
#include <stdarg.h>
#include <stdio.h>

bool is_worked(struct evhttp_request *http)
{
    return evhttp_find_header(evhttp_request_get_input_headers(http), WORKED_HEADER) != NULL;
}

void answer(struct vitals *vitals, struct evhttp_request *http, int code, const char *type, const void *bytes,
            size_t length)
{
    struct evbuffer *body = evbuffer_new();
    bool counts = !is_worked(http); /* the second instance counts it */

    CHECK(body && evbuffer_add(body, bytes, length) == 0);
    if (type)
        evhttp_add_header(evhttp_request_get_output_headers(http), "Content-Type", type);
    evhttp_send_reply(http, code, NULL, body);
    evbuffer_free(body);
    if (counts)
        atomic_fetch_add(&vitals->requests, 1);
}

void answer_json(struct vitals *vitals, struct evhttp_request *http, int code, const char *format, ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    int length = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    CHECK(length >= 0 && length < (int)sizeof(text));
    answer(vitals, http, code, "application/json", text, (size_t)length);
}

void answer_error(struct vitals *vitals, struct evhttp_request *http, int code, const char *sentence)
{
    answer_json(vitals, http, code, "{\"error\":\"%s\"}\n", sentence);
}
