#include "service/request.h"

#include "base/check.h"
#include "base/clock.h"
#include "service/admin.h"
#include "service/answer.h"
#include "service/spin.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define COMMIT_EARLY_BYTES (4 * 1024 * 1024)   /* more than this is not gathered for one commit */
#define COMMIT_EARLY_NS    (200 * MILLISECOND) /* nor longer than this while others have their turns */

#define ENDING "the service is being ended"

struct request {
    struct desk *desk;
    struct evhttp_request *http;
    unsigned hop; /* of the callers before us */
    size_t key_length;
    char key[KV_KEY_MAX_BYTES];
    unsigned waiting; /* upstream calls under way, and one while they are being started */
    bool upstream_failed;
    struct upstream_call calls[SERVICE_UPSTREAMS_MAX]; /* the first one serves the primary, too */
    TAILQ_ENTRY(request) link;
};

/* --- endings --- */

static void refuse(struct request *request, int code, const char *sentence)
{
    answer_error(request->desk->vitals, request->http, code, sentence);
    free(request);
}

static void turn_away(struct desk *desk, struct evhttp_request *http)
{
    evhttp_add_header(evhttp_request_get_output_headers(http), "Retry-After", "1");
    answer_error(desk->vitals, http, 429, "too many requests: load is being shed");
}

static void refuse_for_storage(struct request *request, int error)
{
    if (error == -ENOSPC || error == -EDQUOT)
        refuse(request, 507, "the store or its disk is full");
    else
        refuse(request, 503, "the data folder failed; nothing was changed");
}

/* --- committing --- */

void desk_commit(struct desk *desk)
{
    int result = desk->kv ? kv_commit(desk->kv) : 0;
    struct request *request;

    while ((request = TAILQ_FIRST(&desk->staged)) != NULL) {
        TAILQ_REMOVE(&desk->staged, request, link);
        if (result < 0) {
            refuse_for_storage(request, result);
        } else {
            answer(desk->vitals, request->http, 204, NULL, "", 0);
            free(request);
        }
    }
}

static void on_commit(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    desk_commit(arg);
}

/* Whether a commit can be put off until others, who wait for their turn, share it. */
static bool may_gather(const struct desk *desk)
{
    return desk->waiting_count > 0 && monotonic_ns() - desk->staged_at < COMMIT_EARLY_NS;
}

/* The commit event goes behind everything that is already due in this round of the loop, so all writes that
 * arrived with this one share its fsync. */
static void call_commit(struct desk *desk)
{
    if (!TAILQ_EMPTY(&desk->staged) && !may_gather(desk))
        event_active(desk->commit, EV_TIMEOUT, 0);
}

static void await_commit(struct request *request)
{
    struct desk *desk = request->desk;

    if (TAILQ_EMPTY(&desk->staged))
        desk->staged_at = monotonic_ns();
    TAILQ_INSERT_TAIL(&desk->staged, request, link);
    if (kv_staged_bytes(desk->kv) >= COMMIT_EARLY_BYTES)
        desk_commit(desk);
    else
        call_commit(desk);
}

/* --- the map --- */

static void read_value(struct request *request)
{
    size_t length;
    const char *value = kv_value(request->desk->kv, request->key, request->key_length, &length);

    if (!value) {
        refuse(request, 404, "no such key");
        return;
    }
    answer(request->desk->vitals, request->http, 200, "application/octet-stream", value, length);
    free(request);
}

static int stage_put(struct request *request)
{
    struct evbuffer *body = evhttp_request_get_input_buffer(request->http);
    size_t length = evbuffer_get_length(body);
    const char *value = length > 0 ? (const char *)evbuffer_pullup(body, -1) : "";

    CHECK(value);
    return kv_stage_put(request->desk->kv, request->key, request->key_length, value, length);
}

static void change_value(struct request *request)
{
    struct desk *desk = request->desk;
    size_t length;
    int result;

    if (evhttp_request_get_command(request->http) == EVHTTP_REQ_PUT) {
        result = stage_put(request);
    } else if (!kv_value(desk->kv, request->key, request->key_length, &length)) {
        read_value(request); /* says that there is none */
        return;
    } else {
        result = kv_stage_remove(desk->kv, request->key, request->key_length);
    }
    if (result == 0)
        await_commit(request);
    else
        refuse_for_storage(request, result);
}

/* --- the primary, if this is a second instance --- */

static char *path_of(const struct request *request, const char *query)
{
    char *key = evhttp_uriencode(request->key, (ev_ssize_t)request->key_length, 0), *path;

    CHECK(key && asprintf(&path, "/kv/%s%s", key, query) > 0);
    free(key);
    return path;
}

static void on_primary(void *arg, const struct upstream_answer *came)
{
    struct request *request = arg;

    TAILQ_REMOVE(&request->desk->asking, request, link);
    if (came->code == 0) {
        refuse(request, 502, "the primary instance did not answer");
        return;
    }
    size_t length = evbuffer_get_length(came->body);
    answer(request->desk->vitals, request->http, came->code, came->type,
           length > 0 ? evbuffer_pullup(came->body, -1) : (const void *)"", length);
    free(request);
}

static void ask_primary(struct request *request)
{
    char *path = path_of(request, "");

    TAILQ_INSERT_TAIL(&request->desk->asking, request, link);
    upstream_send(request->desk->primary,
                  &(struct upstream_request){.method = evhttp_request_get_command(request->http),
                                             .path = path,
                                             .header = WORKED_HEADER,
                                             .body = evhttp_request_get_input_buffer(request->http)},
                  &request->calls[0], on_primary, request);
    free(path);
}

/* --- upstreams --- */

static void carry_out(struct request *request)
{
    if (request->desk->primary)
        ask_primary(request);
    else if (evhttp_request_get_command(request->http) == EVHTTP_REQ_GET)
        read_value(request);
    else
        change_value(request);
}

/* One of the calls is over, or all have been started. */
static void count_down(struct request *request)
{
    if (--request->waiting > 0)
        return;
    TAILQ_REMOVE(&request->desk->asking, request, link);
    if (request->upstream_failed)
        refuse(request, 502, "an upstream failed");
    else
        carry_out(request);
}

static void on_upstream(void *arg, const struct upstream_answer *came)
{
    struct request *request = arg;

    request->upstream_failed |= came->code == 0 || came->code >= 500;
    count_down(request);
}

static void ask_upstreams(struct request *request)
{
    struct desk *desk = request->desk;
    char query[32];

    snprintf(query, sizeof(query), "?hop=%u", request->hop + 1);
    char *path = path_of(request, query);
    TAILQ_INSERT_TAIL(&desk->asking, request, link);
    request->waiting = 1;
    for (size_t i = 0; i < desk->upstream_count; i++) {
        request->waiting++;
        upstream_send(desk->upstreams[i], &(struct upstream_request){.method = EVHTTP_REQ_GET, .path = path},
                      &request->calls[i], on_upstream, request);
    }
    free(path);
    count_down(request);
}

static void go_on(struct request *request)
{
    if (request->desk->upstream_count > 0 && request->hop < SERVICE_HOPS_MAX)
        ask_upstreams(request);
    else
        carry_out(request);
}

/* --- turns --- */

/* evhttp does not read from a user who has a request under way, so his leaving has to be looked for. */
static bool has_left(struct evhttp_request *http)
{
    struct evhttp_connection *connection = evhttp_request_get_connection(http);
    char byte;

    if (!connection)
        return true;
    evutil_socket_t fd = bufferevent_getfd(evhttp_connection_get_bufferevent(connection));
    ssize_t length = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return length == 0 || (length < 0 && errno != EAGAIN && errno != EINTR);
}

static struct request *take_waiting(struct desk *desk)
{
    struct request *request = TAILQ_FIRST(&desk->waiting);

    if (request) {
        TAILQ_REMOVE(&desk->waiting, request, link);
        desk->waiting_count--;
    }
    return request;
}

/* Through a timer, not at once: whatever came meanwhile is looked at before the next turn. */
static void call_turn(struct desk *desk)
{
    struct timeval soon = {0};

    if (desk->waiting_count > 0 && !event_pending(desk->turn, EV_TIMEOUT, NULL))
        event_add(desk->turn, &soon);
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
    struct desk *desk = arg;
    struct request *request = take_waiting(desk);

    (void)fd;
    (void)what;
    if (!request)
        return;
    if (shed_is_on(&desk->shed, monotonic_ns()) && has_left(request->http)) {
        refuse(request, 503, "its user has left");
    } else {
        spin(CLOCK_THREAD_CPUTIME_ID, duration_from_seconds(1 / desk->shed.capacity), desk->hurry_fd);
        go_on(request);
    }
    call_turn(desk);
    call_commit(desk);
}

static void await_turn(struct request *request)
{
    struct desk *desk = request->desk;

    if (desk->waiting_count == SERVICE_WAITING_MAX) {
        refuse(request, 503, "too many requests wait already");
        return;
    }
    TAILQ_INSERT_TAIL(&desk->waiting, request, link);
    desk->waiting_count++;
    call_turn(desk);
}

void desk_shed(struct desk *desk)
{
    struct request *request;

    if (shed_is_on(&desk->shed, monotonic_ns()))
        return;
    shed_begin(&desk->shed, monotonic_ns());
    /* Most of their users have given up, and the rest may come again: the sooner the queue is gone, the
     * sooner those who come now are answered in time. */
    while ((request = take_waiting(desk)) != NULL) {
        turn_away(desk, request->http);
        free(request);
    }
    call_commit(desk);
}

/* --- arrival --- */

/* The key of a path /kv/KEY, decoded into the request; NULL if it is fine, or what is wrong. */
static const char *take_key(struct request *request, const char *encoded)
{
    size_t length;
    const char *wrong = NULL;
    char *key = evhttp_uridecode(encoded, 0, &length);

    CHECK(key);
    if (length == 0 || length > KV_KEY_MAX_BYTES)
        wrong = "a key has 1 to 128 characters";
    for (size_t i = 0; !wrong && i < length; i++)
        if (key[i] <= ' ' || key[i] > '~' || key[i] == '/')
            wrong = "a key is of printable ASCII characters, without blanks and '/'";
    if (!wrong) {
        memcpy(request->key, key, length);
        request->key_length = length;
    }
    free(key);
    return wrong;
}

/* NULL, and answered, if it is no good. */
static struct request *read_request(struct desk *desk, struct evhttp_request *http,
                                    const struct evhttp_uri *uri)
{
    enum evhttp_cmd_type command = evhttp_request_get_command(http);
    char hop_text[8];

    if (command != EVHTTP_REQ_GET && command != EVHTTP_REQ_PUT && command != EVHTTP_REQ_DELETE) {
        answer_error(desk->vitals, http, 405, "a key takes GET, PUT and DELETE");
        return NULL;
    }
    if (evbuffer_get_length(evhttp_request_get_input_buffer(http)) > KV_VALUE_MAX_BYTES) {
        answer_error(desk->vitals, http, 413, "a value has at most 65536 bytes");
        return NULL;
    }
    struct request *request = calloc(1, sizeof(*request));
    CHECK(request);
    request->desk = desk;
    request->http = http;
    const char *wrong = take_key(request, evhttp_uri_get_path(uri) + strlen("/kv/"));
    if (wrong) {
        refuse(request, 400, wrong);
        return NULL;
    }
    const char *hop = query_parameter(uri, "hop", hop_text, sizeof(hop_text));
    unsigned long hops = hop ? strtoul(hop, NULL, 10) : 0;
    request->hop = hops < SERVICE_HOPS_MAX ? (unsigned)hops : SERVICE_HOPS_MAX;
    return request;
}

/* A second instance has done the work, and shed what was too much; it asked everybody but the map. */
static void on_worked(struct desk *desk, struct evhttp_request *http, const struct evhttp_uri *uri)
{
    if (desk->primary) {
        answer_error(desk->vitals, http, 508, "a second instance is nobody's primary");
        return;
    }
    struct request *request = read_request(desk, http, uri);
    if (request)
        carry_out(request);
}

/* The primary knows the routes: so the second instance's configuration refuses nobody, or a share of requests
 * would be refused twice. */
static bool finds_no_route(struct desk *desk)
{
    return !desk->primary && config_refuses(&desk->config, desk->page);
}

static void on_kv(struct desk *desk, struct evhttp_request *http, const struct evhttp_uri *uri)
{
    bool worked = is_worked(http);

    if (finds_no_route(desk)) {
        answer_error(desk->vitals, http, 500, "no route: the configuration is broken");
    } else if (worked) {
        on_worked(desk, http, uri);
    } else if (!shed_lets_in(&desk->shed, monotonic_ns())) {
        turn_away(desk, http);
    } else {
        struct request *request = read_request(desk, http, uri);
        if (request && desk->shed.capacity > 0)
            await_turn(request);
        else if (request)
            go_on(request);
    }
}

/* Only a process of this machine is believed to have done our work. */
static void distrust_strangers(struct evhttp_request *http)
{
    struct evhttp_connection *connection = evhttp_request_get_connection(http);
    char *address = NULL;
    uint16_t port;

    if (!is_worked(http))
        return;
    if (connection)
        evhttp_connection_get_peer(connection, &address, &port);
    bool local = address && (strncmp(address, "127.", 4) == 0 || strcmp(address, "::1") == 0);
    while (!local && is_worked(http)) /* it may have come more than once */
        evhttp_remove_header(evhttp_request_get_input_headers(http), WORKED_HEADER);
}

static void on_request(struct evhttp_request *http, void *arg)
{
    struct desk *desk = arg;
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(http);
    const char *path = uri ? evhttp_uri_get_path(uri) : NULL;
    bool of_kv = path && strncmp(path, "/kv/", 4) == 0;

    distrust_strangers(http);
    if (of_kv && !is_worked(http))
        atomic_fetch_add(&desk->vitals->arrivals, 1);
    if (desk->closing)
        answer_error(desk->vitals, http, 503, ENDING);
    else if (of_kv)
        on_kv(desk, http, uri);
    else if (path)
        admin_request(desk, http, uri);
    else
        answer_error(desk->vitals, http, 400, "no path");
}

/* --- the desk --- */

void desk_open(struct desk *desk, struct event_base *base, struct evhttp *http)
{
    TAILQ_INIT(&desk->waiting);
    TAILQ_INIT(&desk->asking);
    TAILQ_INIT(&desk->staged);
    desk->turn = evtimer_new(base, on_turn, desk);
    desk->commit = event_new(base, -1, 0, on_commit, desk);
    CHECK(desk->turn && desk->commit);
    evhttp_set_allowed_methods(http, EVHTTP_REQ_GET | EVHTTP_REQ_PUT | EVHTTP_REQ_DELETE | EVHTTP_REQ_POST |
                                         EVHTTP_REQ_HEAD | EVHTTP_REQ_OPTIONS | EVHTTP_REQ_PATCH);
    evhttp_set_gencb(http, on_request, desk);
}

void desk_close(struct desk *desk)
{
    struct request *request;

    desk->closing = true;
    while ((request = take_waiting(desk)) != NULL)
        refuse(request, 503, ENDING);
    while ((request = TAILQ_FIRST(&desk->asking)) != NULL) {
        TAILQ_REMOVE(&desk->asking, request, link);
        for (size_t i = 0; i < SERVICE_UPSTREAMS_MAX; i++)
            upstream_cancel(&request->calls[i]);
        refuse(request, 503, ENDING);
    }
    desk_commit(desk);
    event_free(desk->turn);
    event_free(desk->commit);
    desk->turn = desk->commit = NULL;
}
