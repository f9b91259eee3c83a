#include "service/upstream.h"

#include "base/check.h"

#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <stdlib.h>
#include <string.h>

struct upstream {
    struct event_base *base;
    char *host;
    uint16_t port;
    struct evhttp_connection *idle[UPSTREAM_CONCURRENCY]; /* a stack */
    unsigned idle_count, made;
};

struct upstream *upstream_new(struct event_base *base, const char *host, uint16_t port)
{
    struct upstream *upstream = calloc(1, sizeof(*upstream));
    char *copy = strdup(host);

    if (!upstream || !copy) {
        free(upstream);
        free(copy);
        return NULL;
    }
    upstream->base = base;
    upstream->host = copy;
    upstream->port = port;
    return upstream;
}

void upstream_free(struct upstream **upstream)
{
    struct upstream *gone = *upstream;

    if (!gone)
        return;
    CHECK(gone->idle_count == gone->made);
    while (gone->idle_count > 0)
        evhttp_connection_free(gone->idle[--gone->idle_count]);
    free(gone->host);
    free(gone);
    *upstream = NULL;
}

static struct evhttp_connection *take_connection(struct upstream *upstream)
{
    if (upstream->idle_count > 0)
        return upstream->idle[--upstream->idle_count];
    if (upstream->made == UPSTREAM_CONCURRENCY)
        return NULL;
    struct evhttp_connection *connection =
        evhttp_connection_base_new(upstream->base, NULL, upstream->host, upstream->port);
    if (connection)
        upstream->made++;
    return connection;
}

/* Back to the stack, also after a failure: evhttp connects it anew at its next use. */
static void put_back(struct upstream_call *call)
{
    struct upstream *upstream = call->upstream;

    event_free(call->deadline);
    upstream->idle[upstream->idle_count++] = call->connection;
    call->connection = NULL;
    call->request = NULL;
}

static void finish(struct upstream_call *call, bool answered)
{
    put_back(call);
    call->done(call->arg, answered);
}

static void on_answer(struct evhttp_request *request, void *arg)
{
    int code = request ? evhttp_request_get_response_code(request) : 0;

    finish(arg, code >= 100 && code < 500); /* 0: it never answered */
}

/* evhttp's own time-out starts anew with every byte, so a trickling upstream would hold its caller for ever.
 */
static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
    struct upstream_call *call = arg;

    (void)fd;
    (void)what;
    evhttp_cancel_request(call->request);
    finish(call, false);
}

void upstream_get(struct upstream *upstream, const char *path, struct upstream_call *call,
                  void (*done)(void *arg, bool answered), void *arg)
{
    struct timeval deadline = {.tv_usec = UPSTREAM_DEADLINE_NS / MICROSECOND};

    *call = (struct upstream_call){.upstream = upstream, .done = done, .arg = arg};
    call->connection = take_connection(upstream);
    if (!call->connection) {
        done(arg, false);
        return;
    }
    struct evhttp_request *request = evhttp_request_new(on_answer, call);
    call->request = request;
    call->deadline = evtimer_new(upstream->base, on_deadline, call);
    CHECK(request && call->deadline);
    evtimer_add(call->deadline, &deadline);
    evhttp_add_header(evhttp_request_get_output_headers(request), "Host", upstream->host);
    if (evhttp_make_request(call->connection, request, EVHTTP_REQ_GET, path) < 0)
        finish(call, false);
}

void upstream_cancel(struct upstream_call *call)
{
    if (!call->connection)
        return;
    evhttp_cancel_request(call->request);
    put_back(call);
}
