#include "service/upstream.h"

#include "base/check.h"
#include "base/clock.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <stdlib.h>
#include <string.h>

/* A connection that evhttp makes anew whenever it is used after it was closed. */
struct kept {
    struct evhttp_connection *connection;
    unsigned uses; /* since it was made */
};

struct upstream {
    struct event_base *base;
    char *host;
    uint16_t port;
    struct timeval deadline;
    unsigned concurrency, idle_count, made;
    struct kept *idle[UPSTREAM_CONCURRENCY_MAX]; /* a stack */
};

struct upstream *upstream_new(struct event_base *base, const struct upstream_options *options)
{
    struct upstream *upstream = calloc(1, sizeof(*upstream));
    char *copy = strdup(options->host);

    CHECK(options->concurrency <= UPSTREAM_CONCURRENCY_MAX);
    if (!upstream || !copy) {
        free(upstream);
        free(copy);
        return NULL;
    }
    upstream->base = base;
    upstream->host = copy;
    upstream->port = options->port;
    upstream->deadline = timeval_of(options->deadline_ns > 0 ? options->deadline_ns : UPSTREAM_DEADLINE_NS);
    upstream->concurrency = options->concurrency > 0 ? options->concurrency : UPSTREAM_CONCURRENCY;
    return upstream;
}

static void kept_free(struct kept *kept)
{
    if (kept && kept->connection)
        evhttp_connection_free(kept->connection);
    free(kept);
}

void upstream_free(struct upstream **upstream)
{
    struct upstream *gone = *upstream;

    if (!gone)
        return;
    CHECK(gone->idle_count == gone->made);
    while (gone->idle_count > 0)
        kept_free(gone->idle[--gone->idle_count]);
    free(gone->host);
    free(gone);
    *upstream = NULL;
}

static struct kept *take_connection(struct upstream *upstream)
{
    if (upstream->idle_count > 0)
        return upstream->idle[--upstream->idle_count];
    if (upstream->made == upstream->concurrency)
        return NULL;
    struct kept *kept = calloc(1, sizeof(*kept));
    if (kept)
        kept->connection = evhttp_connection_base_new(upstream->base, NULL, upstream->host, upstream->port);
    if (!kept || !kept->connection) {
        kept_free(kept);
        return NULL;
    }
    upstream->made++;
    return kept;
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

static void finish(struct upstream_call *call, const struct upstream_answer *answer)
{
    put_back(call);
    call->done(call->arg, answer);
}

static const struct upstream_answer no_answer = {0};

static void on_answer(struct evhttp_request *request, void *arg)
{
    int code = request ? evhttp_request_get_response_code(request) : 0;

    if (code < 100) { /* 0: it never answered */
        finish(arg, &no_answer);
        return;
    }
    finish(arg, &(struct upstream_answer){
                    .code = code,
                    .type = evhttp_find_header(evhttp_request_get_input_headers(request), "Content-Type"),
                    .body = evhttp_request_get_input_buffer(request)});
}

/* evhttp's own time-out starts anew with every byte, so a trickling upstream would hold its caller for ever.
 */
static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
    struct upstream_call *call = arg;

    (void)fd;
    (void)what;
    evhttp_cancel_request(call->request);
    finish(call, &no_answer);
}

/* Its last use says so, and both ends close it after the answer. */
static void count_use(struct kept *kept, struct evkeyvalq *headers)
{
    if (++kept->uses < UPSTREAM_USES)
        return;
    evhttp_add_header(headers, "Connection", "close");
    kept->uses = 0;
}

void upstream_send(struct upstream *upstream, const struct upstream_request *asked,
                   struct upstream_call *call, upstream_done *done, void *arg)
{
    *call = (struct upstream_call){.upstream = upstream, .done = done, .arg = arg};
    call->connection = take_connection(upstream);
    if (!call->connection) {
        done(arg, &no_answer);
        return;
    }
    struct evhttp_request *request = evhttp_request_new(on_answer, call);
    call->request = request;
    call->deadline = evtimer_new(upstream->base, on_deadline, call);
    CHECK(request && call->deadline);
    evtimer_add(call->deadline, &upstream->deadline);

    struct evkeyvalq *headers = evhttp_request_get_output_headers(request);
    evhttp_add_header(headers, "Host", upstream->host);
    if (asked->header)
        evhttp_add_header(headers, asked->header, "1");
    count_use(call->connection, headers);
    if (asked->body)
        evbuffer_add_buffer(evhttp_request_get_output_buffer(request), asked->body);
    if (evhttp_make_request(call->connection->connection, request, asked->method, asked->path) < 0)
        finish(call, &no_answer);
}

void upstream_cancel(struct upstream_call *call)
{
    if (!call->connection)
        return;
    evhttp_cancel_request(call->request);
    put_back(call);
}
