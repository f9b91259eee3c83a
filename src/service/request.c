#include "service/request.h"

#include "base/check.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COMMIT_EARLY_BYTES (4 * 1024 * 1024) /* more than this is not gathered for one commit */

#define ENDING "the service is being ended"

struct request {
    struct desk *desk;
    struct evhttp_request *http;
    size_t key_length;
    char key[KV_KEY_MAX_BYTES];
    unsigned waiting; /* upstream calls under way, and one while they are being started */
    bool upstream_failed;
    struct upstream_call calls[SERVICE_UPSTREAMS_MAX];
    TAILQ_ENTRY(request) link;
};

/* --- answers --- */

static void answer(struct desk *desk, struct evhttp_request *http, int code, const char *type,
                   const void *bytes, size_t length)
{
    struct evbuffer *body = evbuffer_new();

    CHECK(body && evbuffer_add(body, bytes, length) == 0);
    if (type)
        evhttp_add_header(evhttp_request_get_output_headers(http), "Content-Type", type);
    evhttp_send_reply(http, code, NULL, body);
    evbuffer_free(body);
    atomic_fetch_add(&desk->vitals->requests, 1);
}

__attribute__((format(printf, 4, 5))) static void answer_json(struct desk *desk, struct evhttp_request *http,
                                                              int code, const char *format, ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    int length = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    CHECK(length >= 0 && length < (int)sizeof(text));
    answer(desk, http, code, "application/json", text, (size_t)length);
}

/* `sentence` is ours: it needs no escaping. */
static void answer_error(struct desk *desk, struct evhttp_request *http, int code, const char *sentence)
{
    answer_json(desk, http, code, "{\"error\":\"%s\"}\n", sentence);
}

static void answer_storage_error(struct desk *desk, struct evhttp_request *http, int error)
{
    if (error == -ENOSPC)
        answer_error(desk, http, 507, "the store or its disk is full");
    else
        answer_error(desk, http, 503, "the data folder failed; nothing was changed");
}

/* --- committing --- */

void desk_commit(struct desk *desk)
{
    int result = kv_commit(desk->kv);
    struct request *request;

    while ((request = TAILQ_FIRST(&desk->staged)) != NULL) {
        TAILQ_REMOVE(&desk->staged, request, link);
        if (result < 0)
            answer_storage_error(desk, request->http, result);
        else
            answer(desk, request->http, 204, NULL, "", 0);
        free(request);
    }
}

static void on_commit(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    desk_commit(arg);
}

/* The commit event goes behind everything that is already due in this round of the loop, so all writes that
 * arrived with this one share its fsync. */
static void await_commit(struct request *request)
{
    struct desk *desk = request->desk;

    if (TAILQ_EMPTY(&desk->staged))
        event_active(desk->commit, EV_TIMEOUT, 0);
    TAILQ_INSERT_TAIL(&desk->staged, request, link);
    if (kv_staged_bytes(desk->kv) >= COMMIT_EARLY_BYTES)
        desk_commit(desk);
}

/* --- /kv --- */

static void read_value(struct request *request)
{
    size_t length;
    const char *value = kv_value(request->desk->kv, request->key, request->key_length, &length);

    if (value)
        answer(request->desk, request->http, 200, "application/octet-stream", value, length);
    else
        answer_error(request->desk, request->http, 404, "no such key");
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
    if (result == 0) {
        await_commit(request);
    } else {
        answer_storage_error(desk, request->http, result);
        free(request);
    }
}

static void carry_out(struct request *request)
{
    if (evhttp_request_get_command(request->http) == EVHTTP_REQ_GET)
        read_value(request);
    else
        change_value(request);
}

static void on_upstream(void *arg, bool answered)
{
    struct request *request = arg;

    request->upstream_failed |= !answered;
    if (--request->waiting > 0)
        return;
    TAILQ_REMOVE(&request->desk->asking, request, link);
    if (request->upstream_failed) {
        answer_error(request->desk, request->http, 502, "an upstream failed");
        free(request);
    } else {
        carry_out(request);
    }
}

static void ask_upstreams(struct request *request, unsigned hop)
{
    struct desk *desk = request->desk;
    char path[3 * KV_KEY_MAX_BYTES + 32];
    char *key = evhttp_uriencode(request->key, (ev_ssize_t)request->key_length, 0);

    CHECK(key);
    snprintf(path, sizeof(path), "/kv/%s?hop=%u", key, hop);
    free(key);
    TAILQ_INSERT_TAIL(&desk->asking, request, link);
    request->waiting = 1;
    for (size_t i = 0; i < desk->upstream_count; i++) {
        request->waiting++;
        upstream_get(desk->upstreams[i], path, &request->calls[i], on_upstream, request);
    }
    on_upstream(request, true);
}

/* What stands after `name=` in the query, or NULL; copied into `out`. */
static const char *parameter(const struct evhttp_uri *uri, const char *name, char *out, size_t capacity)
{
    struct evkeyvalq query;
    const char *text = evhttp_uri_get_query(uri), *value;
    bool found = false;

    if (!text || evhttp_parse_query_str(text, &query) < 0)
        return NULL;
    value = evhttp_find_header(&query, name);
    if (value)
        found = snprintf(out, capacity, "%s", value) < (int)capacity;
    evhttp_clear_headers(&query);
    return found ? out : NULL;
}

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

static void on_kv(struct desk *desk, struct evhttp_request *http, const struct evhttp_uri *uri)
{
    enum evhttp_cmd_type command = evhttp_request_get_command(http);
    struct request *request;
    const char *wrong;
    char hop_text[8];

    if (command != EVHTTP_REQ_GET && command != EVHTTP_REQ_PUT && command != EVHTTP_REQ_DELETE) {
        answer_error(desk, http, 405, "a key takes GET, PUT and DELETE");
        return;
    }
    if (evbuffer_get_length(evhttp_request_get_input_buffer(http)) > KV_VALUE_MAX_BYTES) {
        answer_error(desk, http, 413, "a value has at most 65536 bytes");
        return;
    }
    request = calloc(1, sizeof(*request));
    CHECK(request);
    request->desk = desk;
    request->http = http;
    wrong = take_key(request, evhttp_uri_get_path(uri) + strlen("/kv/"));
    if (wrong) {
        answer_error(desk, http, 400, wrong);
        free(request);
        return;
    }
    unsigned long hop = parameter(uri, "hop", hop_text, sizeof(hop_text)) ? strtoul(hop_text, NULL, 10) : 0;
    if (desk->upstream_count > 0 && hop < SERVICE_HOPS_MAX)
        ask_upstreams(request, (unsigned)hop + 1);
    else
        carry_out(request);
}

/* --- the rest --- */

static void on_health(struct desk *desk, struct evhttp_request *http)
{
    if (evhttp_request_get_command(http) != EVHTTP_REQ_GET)
        answer_error(desk, http, 405, "the health takes GET");
    else
        answer_json(desk, http, 200, "{\"status\":\"ok\",\"name\":\"%s\",\"folder\":\"%s\",\"keys\":%zu}\n",
                    desk->name, kv_folder_name(kv_active(desk->kv)), kv_keys(desk->kv));
}

static void switch_folder(struct desk *desk, struct evhttp_request *http, enum kv_folder folder)
{
    desk_commit(desk);
    int result = kv_switch(desk->kv, folder);

    if (result == 0)
        answer_json(desk, http, 200, "{\"folder\":\"%s\",\"keys\":%zu}\n", kv_folder_name(folder),
                    kv_keys(desk->kv));
    else if (result == -EINVAL)
        answer_error(desk, http, 409, "this service has no such folder");
    else
        answer_error(desk, http, 503, "the other folder failed; it goes on in the old one");
}

static void on_admin(struct desk *desk, struct evhttp_request *http, const struct evhttp_uri *uri)
{
    char name[16];
    const char *folder = parameter(uri, "folder", name, sizeof(name));

    if (evhttp_request_get_command(http) != EVHTTP_REQ_POST)
        answer_error(desk, http, 405, "the storage takes POST");
    else if (evhttp_find_header(evhttp_request_get_input_headers(http), "Origin"))
        answer_error(desk, http, 403, "not from a web page");
    else if (folder && strcmp(folder, "primary") == 0)
        switch_folder(desk, http, KV_PRIMARY);
    else if (folder && strcmp(folder, "standby") == 0)
        switch_folder(desk, http, KV_STANDBY);
    else
        answer_error(desk, http, 400, "say ?folder=primary or ?folder=standby");
}

static void on_request(struct evhttp_request *http, void *arg)
{
    struct desk *desk = arg;
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(http);
    const char *path = uri ? evhttp_uri_get_path(uri) : NULL;

    if (desk->closing)
        answer_error(desk, http, 503, ENDING);
    else if (!path)
        answer_error(desk, http, 400, "no path");
    else if (strncmp(path, "/kv/", 4) == 0)
        on_kv(desk, http, uri);
    else if (strcmp(path, "/healthz") == 0)
        on_health(desk, http);
    else if (strcmp(path, "/admin/storage") == 0)
        on_admin(desk, http, uri);
    else
        answer_error(desk, http, 404, "there is /kv/KEY, /healthz and /admin/storage");
}

/* --- the desk --- */

void desk_open(struct desk *desk, struct event_base *base, struct evhttp *http)
{
    TAILQ_INIT(&desk->asking);
    TAILQ_INIT(&desk->staged);
    desk->commit = event_new(base, -1, 0, on_commit, desk);
    CHECK(desk->commit);
    evhttp_set_allowed_methods(http, EVHTTP_REQ_GET | EVHTTP_REQ_PUT | EVHTTP_REQ_DELETE | EVHTTP_REQ_POST |
                                         EVHTTP_REQ_HEAD | EVHTTP_REQ_OPTIONS | EVHTTP_REQ_PATCH);
    evhttp_set_gencb(http, on_request, desk);
}

void desk_close(struct desk *desk)
{
    struct request *request;

    desk->closing = true;
    while ((request = TAILQ_FIRST(&desk->asking)) != NULL) {
        TAILQ_REMOVE(&desk->asking, request, link);
        for (size_t i = 0; i < desk->upstream_count; i++)
            upstream_cancel(&request->calls[i]);
        answer_error(desk, request->http, 503, ENDING);
        free(request);
    }
    desk_commit(desk);
    event_free(desk->commit);
    desk->commit = NULL;
}
