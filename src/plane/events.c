#include "plane/events.h"

#include "base/check.h"
#include "base/text.h"
#include "wire/json.h"
#include "wire/server.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

void events_init(struct events *events, uint64_t first_id)
{
    memset(events, 0, sizeof(*events));
    events->first_id = events->next_id = events->released_id = first_id;
}

void events_fini(struct events *events)
{
    for (size_t i = 0; i < EVENTS_MAX; i++)
        free(events->ring[i].line);
}

static struct kept *kept(struct events *events, uint64_t id)
{
    return &events->ring[id % EVENTS_MAX];
}

static void put(json_t *object, const char *key, const char *value)
{
    if (value && *value)
        json_object_set_new(object, key, json_of_text(value));
}

static char *data_of(const struct told *told)
{
    json_t *object = json_object();
    char at[32];
    text_instant(at, told->at);
    put(object, "at", at);
    put(object, "step", told->step);
    put(object, "node", told->node);
    if (told->incident)
        json_object_set_new(object, "incident", json_integer((json_int_t)told->incident));
    if (told->command)
        json_object_set_new(object, "command", json_integer((json_int_t)told->command));
    if (told->fault)
        json_object_set_new(object, "fault", json_integer((json_int_t)told->fault));
    put(object, "state", told->state);
    put(object, "text", told->text);
    return json_text_of(object, NULL);
}

void events_add(struct events *events, uint64_t ticket, const struct told *told)
{
    char *data = data_of(told);
    if (!data)
        return;
    char frame[EVENT_DATA_MAX + 256];
    struct text text = text_over(frame, sizeof(frame));
    text_addf(&text, "id: %" PRIu64 "\nevent: %s\ndata: %s\n\n", events->next_id, told->name, data);
    free(data);
    if (text.cut)
        return; /* sentences are bounded well below this */
    char *line = strdup(frame);
    if (!line)
        return;
    struct kept *slot = kept(events, events->next_id);
    free(slot->line);
    *slot = (struct kept){.ticket = ticket, .line = line, .length = (uint32_t)text.length};
    events->next_id++;
    if (events->next_id - events->first_id > EVENTS_MAX)
        events->first_id = events->next_id - EVENTS_MAX;
    if (events->released_id < events->first_id)
        events->released_id = events->first_id;
}

static void send_to(struct watcher *watcher, const char *bytes, size_t length)
{
    if (watcher->stream && !server_stream_send(watcher->stream, bytes, length))
        watcher->stream = NULL; /* too slow: the server drops it */
}

void events_release(struct events *events, uint64_t ticket)
{
    while (events->released_id < events->next_id && kept(events, events->released_id)->ticket <= ticket) {
        const struct kept *slot = kept(events, events->released_id++);
        for (size_t i = 0; i < WATCHERS_MAX; i++)
            send_to(&events->watchers[i], slot->line, slot->length);
    }
}

void events_discard(struct events *events)
{
    events->next_id = events->released_id;
}

/* The oldest id above `after` from which a replay is still within its bound. */
static uint64_t replay_from(struct events *events, uint64_t after)
{
    uint64_t id = events->released_id;
    size_t bytes = 0;
    while (after != UINT64_MAX && id > events->first_id && id - 1 > after) {
        bytes += kept(events, id - 1)->length;
        if (bytes > REPLAY_MAX_BYTES)
            break;
        id--;
    }
    return id;
}

void events_watch(struct events *events, struct request *request, uint64_t after)
{
    struct watcher *watcher = NULL;
    for (size_t i = 0; i < WATCHERS_MAX && !watcher; i++)
        if (!events->watchers[i].taken)
            watcher = &events->watchers[i];
    if (!watcher) {
        server_problem(request, 503, NULL, "%d streams are open already; close one", WATCHERS_MAX);
        return;
    }
    watcher->stream = server_stream_begin(request, watcher);
    watcher->taken = watcher->stream != NULL;
    static const char hello[] = ": homeostat\nretry: 1000\n\n";
    send_to(watcher, hello, sizeof(hello) - 1);
    for (uint64_t id = replay_from(events, after); id < events->released_id; id++)
        send_to(watcher, kept(events, id)->line, kept(events, id)->length);
}

void events_closed(struct watcher *watcher)
{
    *watcher = (struct watcher){0};
}

void events_ping(struct events *events)
{
    for (size_t i = 0; i < WATCHERS_MAX; i++)
        send_to(&events->watchers[i], ":\n\n", 3);
}
