#include "wire/client.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/text.h"
#include "wire/http_words.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define ANSWER_BYTES_LIMIT (8 * 1024 * 1024)

/* A connection that has been idle for longer is not used again: the server may be about to close it (ours
 * does after a minute), and what is sent into a closing connection is lost without a word. */
#define REUSE_NS (30 * SECOND)

/* One request, from client_send() to its client_done. */
struct call {
    struct client *client;
    struct slot *slot; /* that carries it; NULL while it waits */
    struct call *next; /* in the queue */
    struct event *timer;
    enum evhttp_cmd_type method;
    char *path, *type, *body;
    size_t body_bytes;
    instant sent_at;
    duration timeout_ns;
    client_done *done;
    void *context;
    bool reused;   /* sent over a connection that had carried another */
    bool began;    /* the head of an answer came */
    bool repeated; /* is being sent for the second time */
    bool dispatching;
    bool failed;
    int failure; /* an enum evhttp_request_error, or -1 */
    char error[128];
};

/* One of the connections. */
struct slot {
    struct client *client;
    struct evhttp_connection *connection; /* NULL: to be made when needed */
    struct call *call;                    /* under way, or NULL */
    struct http_connecting connecting;
    instant idle_since;
    bool outdated; /* by client_renew() */
};

struct client {
    struct event_base *base;
    struct event *pump; /* dispatches from the loop, after a failure */
    char host[256], authority[300], authorization[160];
    int port;
    int queue_limit, queued, under_way;
    size_t answer_bytes_limit;
    bool closing, cut;
    struct call *first, **last; /* the queue */
    int slots;
    struct slot slot[];
};

/* --- the end of a call ---------------------------------------------------------------------------------- */

static void free_call(struct call *call)
{
    if (call->timer)
        event_free(call->timer);
    free(call->path);
    free(call->type);
    free(call->body);
    free(call);
}

/* Tells the caller. The call must be in no slot and in no queue any more. */
static void finish(struct call *call, int status, const char *body, size_t length)
{
    struct answer answer = {.status = status,
                            .error = status ? NULL : call->error,
                            .body = body,
                            .length = length,
                            .took_ns = monotonic_ns() - call->sent_at};
    call->done(call->context, &answer);
    free_call(call);
}

static void leave_slot(struct call *call)
{
    struct slot *slot = call->slot;
    if (!slot)
        return;
    slot->call = NULL;
    slot->idle_since = monotonic_ns();
    slot->client->under_way--;
    call->slot = NULL;
}

static void leave_queue(struct call *call)
{
    struct client *client = call->client;
    for (struct call **at = &client->first; *at; at = &(*at)->next) {
        if (*at != call)
            continue;
        *at = call->next;
        if (client->last == &call->next)
            client->last = at;
        client->queued--;
        call->next = NULL;
        return;
    }
}

static int socket_of(const struct slot *slot)
{
    return slot->connection ? bufferevent_getfd(evhttp_connection_get_bufferevent(slot->connection)) : -1;
}

static void free_connection(struct slot *slot)
{
    if (slot->connection)
        evhttp_connection_free(slot->connection);
    slot->connection = NULL;
    slot->outdated = false;
}

/* Dissolving the association resets it at once; evhttp would end it with a shutdown, which may just as well
 * mean that we still listen. */
static void reset_connection(struct slot *slot)
{
    const struct sockaddr nobody = {.sa_family = AF_UNSPEC};
    int fd = socket_of(slot);
    if (fd >= 0)
        (void)connect(fd, &nobody, sizeof nobody);
    free_connection(slot);
}

/* The request may be repeated only if that cannot do it twice: its method says so (RFC 9110, section 9.2.2),
 * no answer had begun, and the connection was one that the server may have closed while it was idle. It goes
 * over a fresh one then, and so never a third time. */
static bool may_repeat(const struct call *call)
{
    return (call->failure == EVREQ_HTTP_EOF || call->failure == EVREQ_HTTP_BUFFER_ERROR) && call->reused &&
           !call->began && call->method != EVHTTP_REQ_POST && !call->client->closing;
}

static void fail(struct call *call)
{
    struct client *client = call->client;
    leave_slot(call);
    if (may_repeat(call)) {
        call->repeated = true;
        call->next = client->first;
        client->first = call;
        if (!call->next)
            client->last = &call->next;
        client->queued++;
    } else {
        finish(call, 0, "", 0);
    }
    event_active(client->pump, EV_TIMEOUT, 0);
}

/* --- what evhttp calls ---------------------------------------------------------------------------------- */

static void dispatch_waiting(struct client *client);

static int on_head(struct evhttp_request *request, void *context)
{
    (void)request;
    struct call *call = context;
    call->began = true;
    return 0;
}

static void on_error(enum evhttp_request_error error, void *context)
{
    struct call *call = context;
    call->failure = (int)error;
}

static void on_answer(struct evhttp_request *request, void *context)
{
    struct call *call = context;
    struct client *client = call->client;
    int status = request ? evhttp_request_get_response_code(request) : 0;
    if (status) {
        struct evbuffer *input = evhttp_request_get_input_buffer(request);
        size_t length = evbuffer_get_length(input);
        const char *body = evbuffer_add(input, "", 1) == 0 ? (const char *)evbuffer_pullup(input, -1) : NULL;
        leave_slot(call);
        if (!body)
            snprintf(call->error, sizeof call->error, "no memory for the answer");
        finish(call, body ? status : 0, body ? body : "", body ? length : 0);
        dispatch_waiting(client);
        return;
    }
    http_failure(call->error, sizeof call->error, call->failure, call->slot->connecting.error_number,
                 client->answer_bytes_limit);
    if (call->dispatching) { /* nobody expects client_send() to call back */
        call->failed = true;
        event_active(call->timer, EV_TIMEOUT, 0);
    } else {
        fail(call);
    }
}

/* The deadline, or a failure that was noticed inside client_send(). */
static void on_timer(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    struct call *call = context;
    if (call->failed) {
        fail(call);
        return;
    }
    char time[32];
    struct text text = text_over(time, sizeof time);
    text_duration(&text, call->timeout_ns);
    snprintf(call->error, sizeof call->error, "no answer within %s", time);
    call->failure = EVREQ_HTTP_TIMEOUT;
    if (call->slot)
        reset_connection(call->slot); /* and with it the request; its callback is not called */
    else
        leave_queue(call);
    fail(call);
}

/* --- sending -------------------------------------------------------------------------------------------- */

/* The socket of a connection that can carry another request, or -1 after making a new one if that was
 * necessary or wanted. */
static int usable_socket(struct slot *slot, bool fresh)
{
    int fd = socket_of(slot);
    char byte;
    bool silent =
        fd >= 0 && recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && (errno == EAGAIN || errno == EINTR);
    if (!fresh && !slot->outdated && silent && monotonic_ns() - slot->idle_since <= REUSE_NS)
        return fd;
    if (fd >= 0)
        free_connection(slot); /* closed by the server, or old, or not wanted */
    if (!slot->connection) {
        slot->connection = http_connect(slot->client->base, slot->client->host, slot->client->port);
        if (slot->connection)
            evhttp_connection_set_max_body_size(slot->connection,
                                                (ev_ssize_t)slot->client->answer_bytes_limit);
    }
    return -1;
}

static struct evhttp_request *make_request(struct call *call)
{
    struct evhttp_request *request = evhttp_request_new(on_answer, call);
    if (!request)
        return NULL;
    evhttp_request_set_header_cb(request, on_head);
    evhttp_request_set_error_cb(request, on_error);
    struct evkeyvalq *headers = evhttp_request_get_output_headers(request);
    bool made = evhttp_add_header(headers, "Host", call->client->authority) == 0;
    if (call->client->authorization[0])
        made = made && evhttp_add_header(headers, "Authorization", call->client->authorization) == 0;
    if (call->body) {
        made = made &&
               evhttp_add_header(headers, "Content-Type", call->type ? call->type : "application/json") == 0;
        made = made &&
               evbuffer_add(evhttp_request_get_output_buffer(request), call->body, call->body_bytes) == 0;
    }
    if (made)
        return request;
    evhttp_request_free(request);
    return NULL;
}

/* A connection that is being made. */
static void set_up(struct slot *slot)
{
    int yes = 1, fd = bufferevent_getfd(evhttp_connection_get_bufferevent(slot->connection));
    if (fd >= 0)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    http_watch_connecting(slot->connection, &slot->connecting);
}

static void dispatch(struct slot *slot, struct call *call)
{
    slot->call = call;
    call->slot = slot;
    slot->client->under_way++;
    call->began = false;
    call->failure = -1;
    call->dispatching = true;
    slot->connecting.error_number = 0;
    call->reused = usable_socket(slot, call->repeated) >= 0;
    struct evhttp_request *request = slot->connection ? make_request(call) : NULL;
    if (!request || evhttp_make_request(slot->connection, request, call->method, call->path) != 0) {
        snprintf(call->error, sizeof call->error, "no memory to send the request");
        call->failed = true;
        event_active(call->timer, EV_TIMEOUT, 0);
    } else if (!call->reused) {
        set_up(slot);
    }
    call->dispatching = false;
}

/* A free slot, preferably with an open connection. */
static struct slot *free_slot(struct client *client)
{
    struct slot *found = NULL;
    for (int i = 0; i < client->slots && client->under_way < client->slots && !client->cut; i++) {
        struct slot *slot = &client->slot[i];
        if (slot->call)
            continue;
        if (slot->connection)
            return slot;
        found = found ? found : slot;
    }
    return found;
}

static void dispatch_waiting(struct client *client)
{
    struct slot *slot;
    while (client->first && !client->closing && (slot = free_slot(client))) {
        struct call *call = client->first;
        client->first = call->next;
        if (!client->first)
            client->last = &client->first;
        client->queued--;
        call->next = NULL;
        dispatch(slot, call);
    }
}

static void on_pump(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    dispatch_waiting(context);
}

static bool parse_method(const char *word, enum evhttp_cmd_type *method)
{
    static const struct {
        const char *word;
        enum evhttp_cmd_type method;
    } methods[] = {{"GET", EVHTTP_REQ_GET},
                   {"POST", EVHTTP_REQ_POST},
                   {"PUT", EVHTTP_REQ_PUT},
                   {"DELETE", EVHTTP_REQ_DELETE}};
    for (size_t i = 0; i < COUNT_OF(methods); i++) {
        if (strcmp(word, methods[i].word) == 0) {
            *method = methods[i].method;
            return true;
        }
    }
    return false;
}

/* Nothing that would end the request line early. */
static bool is_path(const char *path)
{
    if (path[0] != '/')
        return false;
    for (; *path; path++) {
        if ((unsigned char)*path <= ' ' || *path == 0x7f)
            return false;
    }
    return true;
}

static bool is_header_value(const char *value)
{
    return strpbrk(value, "\r\n") == NULL;
}

static struct call *new_call(struct client *client, const char *path, const char *type, const char *body,
                             size_t body_bytes)
{
    struct call *call = calloc(1, sizeof *call);
    if (!call)
        return NULL;
    call->client = client;
    call->timer = event_new(client->base, -1, 0, on_timer, call);
    call->path = strdup(path);
    call->type = type ? strdup(type) : NULL;
    call->body = body ? malloc(body_bytes + 1) : NULL;
    if (!call->timer || !call->path || (type && !call->type) || (body && !call->body)) {
        free_call(call);
        return NULL;
    }
    if (body)
        memcpy(call->body, body, body_bytes);
    call->body_bytes = body_bytes;
    return call;
}

int client_send(struct client *client, const char *method, const char *path, const char *content_type,
                const char *body, size_t body_bytes, duration timeout_ns, client_done *done, void *context)
{
    enum evhttp_cmd_type command;
    if (!parse_method(method, &command) || !is_path(path) || (content_type && !is_header_value(content_type)))
        return -EINVAL;
    bool busy = client->first || client->under_way >= client->slots;
    if (client->closing || (busy && client->queued >= client->queue_limit))
        return -EAGAIN;
    struct call *call = new_call(client, path, content_type, body, body_bytes);
    if (!call)
        return -EAGAIN;
    call->method = command;
    call->timeout_ns = timeout_ns;
    call->done = done;
    call->context = context;
    call->sent_at = monotonic_ns();
    struct timeval after = {.tv_sec = timeout_ns / SECOND, .tv_usec = timeout_ns % SECOND / MICROSECOND};
    event_add(call->timer, &after);
    *client->last = call;
    client->last = &call->next;
    client->queued++;
    dispatch_waiting(client);
    return 0;
}

/* --- beginning and end ---------------------------------------------------------------------------------- */

struct client *client_new(struct event_base *base, const struct client_options *options)
{
    CHECK(options->connections >= 1 && options->connections <= 256);
    CHECK(options->queue >= 0 && options->queue <= 4096);
    CHECK(!options->token || strlen(options->token) <= 128);
    size_t slots = (size_t)options->connections;
    struct client *client = calloc(1, sizeof *client + slots * sizeof client->slot[0]);
    if (!client)
        return NULL;
    client->base = base;
    client->pump = event_new(base, -1, 0, on_pump, client);
    if (!client->pump || !text_copy(client->host, sizeof client->host, options->host)) {
        if (client->pump)
            event_free(client->pump);
        free(client);
        return NULL;
    }
    http_authority(client->authority, sizeof client->authority, client->host, options->port);
    if (options->token)
        snprintf(client->authorization, sizeof client->authorization, "Bearer %s", options->token);
    client->port = options->port;
    client->queue_limit = options->queue;
    client->answer_bytes_limit =
        options->answer_bytes_limit ? options->answer_bytes_limit : ANSWER_BYTES_LIMIT;
    client->last = &client->first;
    client->slots = options->connections;
    for (int i = 0; i < client->slots; i++)
        client->slot[i].client = client;
    return client;
}

static void give_up(struct call *call)
{
    snprintf(call->error, sizeof call->error, "the client was closed");
    leave_slot(call);
    finish(call, 0, "", 0);
}

void client_free(struct client **owner)
{
    struct client *client = *owner;
    if (!client)
        return;
    *owner = NULL;
    client->closing = true;
    for (int i = 0; i < client->slots; i++) {
        free_connection(&client->slot[i]);
        if (client->slot[i].call)
            give_up(client->slot[i].call);
    }
    struct call *next;
    for (struct call *call = client->first; call; call = next) {
        next = call->next;
        give_up(call);
    }
    event_free(client->pump);
    free(client);
}

void client_cut(struct client *client, bool cut)
{
    client->cut = cut;
    /* What is under way gets no answer any more, and ends at its deadline. */
    for (int i = 0; i < client->slots && cut; i++)
        free_connection(&client->slot[i]);
    if (!cut)
        event_active(client->pump, EV_TIMEOUT, 0);
}

void client_renew(struct client *client)
{
    for (int i = 0; i < client->slots; i++) {
        struct slot *slot = &client->slot[i];
        if (slot->call)
            slot->outdated = slot->connection != NULL;
        else
            free_connection(slot);
    }
}

int client_waiting(const struct client *client)
{
    return client->under_way + client->queued;
}

bool client_parse_url(const char *url, char *host, size_t host_size, int *port)
{
    if (strncmp(url, "http://", 7) != 0)
        return false;
    const char *start = url + 7;
    bool bracketed = *start == '[';
    start += bracketed;
    size_t length = strcspn(start, bracketed ? "]" : ":/?#@ ");
    const char *after = start + length;
    if (length == 0 || length >= host_size || (bracketed && *after++ != ']'))
        return false;
    long number = 80;
    if (*after == ':') {
        char *end;
        if (after[1] < '0' || after[1] > '9')
            return false;
        number = strtol(after + 1, &end, 10);
        after = end;
    }
    if (strcmp(after, "") != 0 && strcmp(after, "/") != 0)
        return false;
    if (number < 1 || number > 65535)
        return false;
    memcpy(host, start, length);
    host[length] = '\0';
    *port = (int)number;
    return true;
}

/* --- blocking ------------------------------------------------------------------------------------------- */

struct blocking {
    struct event_base *base;
    bool over;
    int status;
    char *body;
};

static void on_blocking_done(void *context, const struct answer *answer)
{
    struct blocking *blocking = context;
    blocking->over = true;
    blocking->status = answer->status;
    size_t length = answer->status ? answer->length : strlen(answer->error);
    blocking->body = malloc(length + 1);
    if (blocking->body) {
        memcpy(blocking->body, answer->status ? answer->body : answer->error, length);
        blocking->body[length] = '\0';
    }
    event_base_loopbreak(blocking->base);
}

int client_call(const char *host, int port, const char *method, const char *path, const char *content_type,
                const char *body, size_t body_bytes, duration timeout_ns, char **answer_body)
{
    return client_call_as(NULL, host, port, method, path, content_type, body, body_bytes, timeout_ns,
                          answer_body);
}

int client_call_as(const char *token, const char *host, int port, const char *method, const char *path,
                   const char *content_type, const char *body, size_t body_bytes, duration timeout_ns,
                   char **answer_body)
{
    struct blocking blocking = {.base = event_base_new()};
    struct client_options options = {.host = host, .port = port, .connections = 1, .token = token};
    struct client *client = blocking.base ? client_new(blocking.base, &options) : NULL;
    int sent = client ? client_send(client, method, path, content_type, body, body_bytes, timeout_ns,
                                    on_blocking_done, &blocking)
                      : -ENOMEM;
    if (sent == 0)
        event_base_dispatch(blocking.base);
    client_free(&client);
    if (blocking.base)
        event_base_free(blocking.base);
    if (sent != 0)
        blocking.body = strdup(sent == -EINVAL ? "the method or the path cannot be sent" : "no memory");
    if (answer_body)
        *answer_body = blocking.body;
    else
        free(blocking.body);
    return blocking.status;
}
