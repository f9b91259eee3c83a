/* The reader of event streams: pieces, names, ids, ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "wire/client.h"
#include "wire_world.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* --- watching ------------------------------------------------------------------------------------------- */

struct watched {
    int events;
    char last[64], name[64], end[128];
    uint64_t id;
    struct event_stream *close_on_event;
};

static void on_event(void *context, const char *name, uint64_t id, const char *data)
{
    struct watched *watched = context;
    if (!name) {
        snprintf(watched->end, sizeof watched->end, "%s", data);
        return;
    }
    watched->events++;
    watched->id = id;
    snprintf(watched->name, sizeof watched->name, "%s", name);
    snprintf(watched->last, sizeof watched->last, "%.60s", data);
    if (watched->close_on_event)
        event_stream_close(&watched->close_on_event);
}

static void events_arrive_with_their_names_and_ids(void **state)
{
    (void)state;
    struct world world;
    struct watched watched = {0};
    world_start(&world, NULL);
    struct event_stream *stream =
        event_stream_open(world.base, "localhost", world.port, "/events", on_event, &watched);
    WAIT_FOR(&world, world.streams_count == 1);
    for (int i = 1; i <= 50; i++) {
        char event[64];
        snprintf(event, sizeof event, ": aside\nevent: incident\nid: %d\ndata: {\"n\":%d}\n\n", i, i);
        assert_true(server_stream_send(world.streams[0], event, strlen(event)));
    }
    WAIT_FOR(&world, watched.events == 50);
    assert_string_equal(watched.name, "incident");
    assert_string_equal(watched.last, "{\"n\":50}");
    assert_int_equal(watched.id, 50);
    event_stream_close(&stream);
    WAIT_FOR(&world, world.streams_closed == 1);
    assert_string_equal(watched.end, "");
    world_stop(&world);
}

static void an_event_is_put_together_whatever_the_pieces(void **state)
{
    (void)state;
    static const char text[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
                               "data: one\r\ndata:two\ndata\rid: 7\nretry: 9\nunknown: x\n\n"
                               "event: empty\n\n"
                               "id: not a number\nevent: second\rdata:  spaced\r\r";
    struct world world;
    struct actor actor;
    world_start(&world, NULL);
    actor_start(&actor);
    for (size_t piece = 1; piece < sizeof text; piece += piece < 8 ? 1 : 37) {
        struct watched watched = {0};
        struct event_stream *stream =
            event_stream_open(world.base, "127.0.0.1", actor.port, "/", on_event, &watched);
        actor_hears(&actor, &world, true);
        for (size_t at = 0; at < sizeof text - 1; at += piece) {
            size_t rest = sizeof text - 1 - at;
            peer_say_bytes(&actor.peer, &world, text + at, rest < piece ? rest : piece);
            event_base_loop(world.base, EVLOOP_NONBLOCK);
        }
        WAIT_FOR(&world, watched.events == 2);
        assert_string_equal(watched.name, "second");
        assert_string_equal(watched.last, " spaced");
        assert_int_equal(watched.id, 7);
        actor_hang_up(&actor);
        WAIT_FOR(&world, watched.end[0]);
        assert_string_equal(watched.end, "the server ended the stream");
        event_stream_close(&stream);
    }
    actor_stop(&actor);
    world_stop(&world);
}

static void streams_end_with_a_reason(void **state)
{
    (void)state;
    struct world world;
    struct actor actor;
    struct watched watched = {0};
    world_start(&world, NULL);
    actor_start(&actor);
    struct event_stream *stream =
        event_stream_open(world.base, "127.0.0.1", world.port, "/nothing", on_event, &watched);
    WAIT_FOR(&world, watched.end[0]);
    assert_string_equal(watched.end, "the server answered with status 404");
    event_stream_close(&stream);

    watched = (struct watched){0};
    stream = event_stream_open(world.base, "127.0.0.1", actor.port, "/", on_event, &watched);
    actor_hears(&actor, &world, true);
    peer_say(&actor.peer, &world, "HTTP/1.1 200 OK\r\n\r\n");
    char line[4096];
    memset(line, 'x', sizeof line);
    WAIT_FOR(&world, (send(actor.peer.fd, line, sizeof line, MSG_NOSIGNAL), watched.end[0] != '\0'));
    assert_string_equal(watched.end, "an event has more than 1 MiB");
    event_stream_close(&stream);
    actor_stop(&actor);

    watched = (struct watched){0};
    stream = event_stream_open(world.base, "127.0.0.1", actor.port, "/", on_event, &watched);
    WAIT_FOR(&world, watched.end[0]);
    assert_string_equal(watched.end, "connection refused");
    event_stream_close(&stream);
    world_stop(&world);
}

static void a_stream_may_be_closed_from_its_own_event(void **state)
{
    (void)state;
    static const char events[] = "data: 1\n\ndata: 2\n\n";
    struct world world;
    struct watched watched = {0};
    world_start(&world, NULL);
    watched.close_on_event =
        event_stream_open(world.base, "127.0.0.1", world.port, "/events", on_event, &watched);
    WAIT_FOR(&world, world.streams_count == 1);
    assert_true(server_stream_send(world.streams[0], events, sizeof events - 1));
    WAIT_FOR(&world, watched.events > 0);
    WAIT_FOR(&world, world.streams_closed == 1);
    assert_int_equal(watched.events, 1);
    world_stop(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_arrive_with_their_names_and_ids),
        cmocka_unit_test(an_event_is_put_together_whatever_the_pieces),
        cmocka_unit_test(streams_end_with_a_reason),
        cmocka_unit_test(a_stream_may_be_closed_from_its_own_event),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
