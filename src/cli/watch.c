#include "cli/watch.h"

#include "base/check.h"
#include "base/text.h"
#include "cli/show.h"
#include "wire/client.h"

#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

struct watch {
    struct event_base *base;
    struct event_stream *stream; /* NULL: to be opened */
    struct event *deadline;
    uint64_t last_id;
    int port;
    bool ended; /* the stream has ended; its closing must wait until its callback has returned */
    watch_handler *handler;
    void *context;
};

static volatile sig_atomic_t stop_wanted;

static void on_signal(int number)
{
    (void)number;
    stop_wanted = 1;
}

void stop_on_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
}

bool stop_is_wanted(void)
{
    return stop_wanted != 0;
}

static void on_event(void *context, const char *name, uint64_t id, const char *data)
{
    struct watch *watch = context;
    if (!name) {
        watch->ended = true;
        return;
    }
    if (id && id <= watch->last_id)
        return;
    if (id)
        watch->last_id = id;
    json_t *object = json_loads(data, 0, NULL);
    if (json_is_object(object))
        watch->handler(watch->context, name, object);
    json_decref(object);
}

static void on_deadline(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    event_base_loopbreak(context);
}

struct watch *watch_open(int port, watch_handler *handler, void *context)
{
    struct watch *watch = calloc(1, sizeof *watch);
    CHECK(watch);
    watch->base = event_base_new();
    CHECK(watch->base);
    watch->deadline = event_new(watch->base, -1, 0, on_deadline, watch->base);
    CHECK(watch->deadline);
    watch->port = port;
    watch->handler = handler;
    watch->context = context;
    return watch;
}

void watch_close(struct watch **watch_slot)
{
    struct watch *watch = *watch_slot;
    if (!watch)
        return;
    if (watch->stream)
        event_stream_close(&watch->stream);
    event_free(watch->deadline);
    event_base_free(watch->base);
    free(watch);
    *watch_slot = NULL;
}

void watch_pump(struct watch *watch, duration at_most_ns)
{
    if (watch->ended) {
        event_stream_close(&watch->stream);
        watch->ended = false;
    }
    if (!watch->stream) {
        char path[64];
        snprintf(path, sizeof path, "/v1/events?after=%llu", (unsigned long long)watch->last_id);
        watch->stream = event_stream_open(watch->base, "127.0.0.1", watch->port, path, on_event, watch);
    }
    struct timeval wait = {(time_t)(at_most_ns / SECOND), (suseconds_t)(at_most_ns % SECOND / 1000)};
    event_add(watch->deadline, &wait);
    event_base_dispatch(watch->base);
    event_del(watch->deadline);
}

json_t *plane_ask(int port, const char *method, const char *path, const char *body, char *error,
                  size_t error_size)
{
    char *text = NULL;
    int status =
        client_call("127.0.0.1", port, method, path, NULL, body, body ? strlen(body) : 0, 2 * SECOND, &text);
    json_t *answer = status ? json_loads(text ? text : "", 0, NULL) : NULL;
    if (status >= 200 && status <= 299 && answer) {
        free(text);
        return answer;
    }
    const char *detail = member_text(answer, "detail");
    if (error && status == 0)
        snprintf(error, error_size, "the control plane does not answer: %s", text ? text : "no reason given");
    else if (error)
        snprintf(error, error_size, "the control plane answered %d to %s %s: %s", status, method, path,
                 *detail ? detail : "no reason given");
    json_decref(answer);
    free(text);
    return NULL;
}
