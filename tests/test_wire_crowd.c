/* What one turn of the loop does for a crowd, and what is left of those that are cut. */
#include "wire_world.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

enum { CROWD = 60, QUESTIONS = 40 };

/* All in one piece, and nobody has a turn meanwhile. */
static void ask_often(const struct world *world, struct peer *peer)
{
    char text[QUESTIONS * 64];
    size_t length = 0;
    for (int i = 0; i < QUESTIONS; i++)
        length += (size_t)snprintf(text + length, sizeof text - length,
                                   "GET /now HTTP/1.1\r\nHost: localhost:%d\r\n\r\n", world->port);
    assert_true(peer_try_say(peer, text));
}

static void connect_crowd(struct world *world, struct peer *crowd)
{
    for (int i = 0; i < CROWD; i++)
        peer_connect(&crowd[i], world);
    WAIT_FOR(world, server_counts(world->server).connections == CROWD);
}

static bool is_reset(const struct peer *peer)
{
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(peer->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    return error == ECONNRESET || error == EPIPE;
}

static void a_crowd_that_pipelines_does_not_hold_up_the_others(void **state)
{
    (void)state;
    struct world world;
    struct peer crowd[CROWD], other;
    char text[64];
    world_start(&world, NULL);
    connect_crowd(&world, crowd);
    peer_connect(&other, &world);
    WAIT_FOR(&world, server_counts(world.server).connections == CROWD + 1);
    for (int i = 0; i < CROWD; i++)
        ask_often(&world, &crowd[i]);
    WAIT_FOR(&world, world.requests > 0);
    snprintf(text, sizeof text, "GET /now HTTP/1.1\r\nHost: localhost:%d\r\n\r\n", world.port);
    assert_true(peer_try_say(&other, text));
    WAIT_FOR(&world, peer_has_answers(&other, 1));
    assert_true(world.requests < CROWD * QUESTIONS / 4); /* they have the most of it before them */
    for (int i = 0; i < CROWD; i++)
        WAIT_FOR(&world, peer_has_answers(&crowd[i], QUESTIONS));
    assert_int_equal(world.requests, CROWD * QUESTIONS + 1);
    for (int i = 0; i < CROWD; i++)
        peer_close(&crowd[i]);
    peer_close(&other);
    world_stop(&world);
}

static void who_leaves_before_its_turn_comes_is_let_go(void **state)
{
    (void)state;
    struct world world;
    struct peer crowd[CROWD];
    world_start(&world, NULL);
    connect_crowd(&world, crowd);
    for (int i = 0; i < CROWD; i++)
        ask_often(&world, &crowd[i]);
    WAIT_FOR(&world, world.requests > 0);
    for (int i = 0; i < CROWD; i++)
        peer_close(&crowd[i]);
    WAIT_FOR(&world, server_counts(world.server).connections == 0);
    assert_int_equal(server_counts(world.server).held_bytes, 0);
    world_stop(&world);
}

static void the_server_stops_while_many_wait_for_their_turn(void **state)
{
    (void)state;
    struct world world;
    struct peer crowd[CROWD];
    world_start(&world, NULL);
    connect_crowd(&world, crowd);
    for (int i = 0; i < CROWD; i++)
        ask_often(&world, &crowd[i]);
    WAIT_FOR(&world, world.requests > 0);
    assert_true(world.requests < CROWD * QUESTIONS);
    world_stop(&world);
    for (int i = 0; i < CROWD; i++)
        peer_close(&crowd[i]);
}

static void one_that_sits_idle_is_closed_and_counted(void **state)
{
    (void)state;
    struct world world;
    struct peer peer;
    world_start(&world, &(struct server_options){.idle_ns = 20 * MILLISECOND});
    peer_connect(&peer, &world);
    peer_ask(&peer, &world, "GET /now HTTP/1.1\r\nHost: localhost:$\r\n\r\n");
    WAIT_FOR(&world, peer_is_closed(&peer));
    assert_int_equal(server_counts(world.server).idle, 1);
    assert_int_equal(server_counts(world.server).deadlines, 0);
    peer_close(&peer);
    world_stop(&world);
}

/* The answer is in the kernel's hands, and would stay there for minutes behind an ordinary close. */
static void what_an_idle_one_did_not_read_is_not_kept(void **state)
{
    (void)state;
    struct world world;
    struct peer peer;
    char text[96];
    world_start(&world, &(struct server_options){.idle_ns = 50 * MILLISECOND});
    peer_connect(&peer, &world);
    snprintf(text, sizeof text, "GET /bytes?n=250000 HTTP/1.1\r\nHost: localhost:%d\r\n\r\n", world.port);
    assert_true(peer_try_say(&peer, text));
    WAIT_FOR(&world, server_counts(world.server).idle == 1);
    WAIT_FOR(&world, is_reset(&peer));
    peer_close(&peer);
    world_stop(&world);
}

static void a_reader_of_events_that_is_dropped_is_reset(void **state)
{
    (void)state;
    struct world world;
    struct peer peer;
    char text[4096];
    world_start(&world, &(struct server_options){.stream_bytes_limit = 64 * 1024});
    peer_connect(&peer, &world);
    snprintf(text, sizeof text, "GET /events HTTP/1.1\r\nHost: localhost:%d\r\n\r\n", world.port);
    assert_true(peer_try_say(&peer, text));
    WAIT_FOR(&world, world.streams_count == 1);
    memset(text, ':', sizeof text);
    while (server_stream_send(world.streams[0], text, sizeof text))
        world_turn(&world);
    WAIT_FOR(&world, world.streams_closed == 1);
    assert_int_equal(server_counts(world.server).dropped_streams, 1);
    WAIT_FOR(&world, is_reset(&peer));
    peer_close(&peer);
    world_stop(&world);
}

/* A request that waits costs its head, however long its body was; and what came behind it is not lost. */
static void the_body_of_one_that_waits_can_be_dropped(void **state)
{
    (void)state;
    static const char *const bodies[] = {"Content-Length: 100000\r\n\r\n", "Content-Length: 300\r\n\r\n",
                                         "Content-Length: 0\r\n\r\n"};
    static const size_t lengths[] = {100000, 300, 0};
    char head[200], *text = malloc(200000);
    assert_non_null(text);
    for (int i = 0; i < 3; i++) {
        struct world world;
        struct peer peer;
        world_start(&world, NULL);
        peer_connect(&peer, &world);
        snprintf(head, sizeof head, "POST /hold-bare HTTP/1.1\r\nHost: localhost:%d\r\n%s", world.port,
                 bodies[i]);
        size_t length = strlen(head);
        memcpy(text, head, length);
        memset(text + length, 'x', lengths[i]);
        length += lengths[i];
        length += (size_t)snprintf(text + length, 200,
                                   "POST /echo HTTP/1.1\r\nHost: localhost:%d\r\nContent-Length: "
                                   "7\r\n\r\nbehind!",
                                   world.port);
        peer_say_bytes(&peer, &world, text, length);
        WAIT_FOR(&world, world.held_count == 1);
        world_turn(&world);
        assert_true(server_counts(world.server).held_bytes <= 1024);
        server_answer(world.held[0], 200, NULL, "{}", 2);
        WAIT_FOR(&world, peer_has_answers(&peer, 2));
        assert_non_null(strstr(peer.heard, "behind!"));
        peer_close(&peer);
        world_stop(&world);
    }
    free(text);
}

/* There is memory for the answer, and not for what was sent behind its request. */
static void without_memory_nothing_is_said_in_the_midst_of_an_answer(void **state)
{
    (void)state;
    enum {
        ROOM = 4 << 20,
        ANSWER = ROOM - 200000
    }; /* what of it does not go at once needs all of that room */
    struct world world;
    struct peer peer;
    char text[256];
    world_start(&world,
                &(struct server_options){.memory_bytes_limit = ROOM, .streams = 1, .stream_bytes_limit = 1});
    peer_connect(&peer, &world);
    snprintf(text, sizeof text,
             "GET /bytes?n=%d HTTP/1.1\r\nHost: localhost:%d\r\n\r\n"
             "GET /now HTTP/1.1\r\nHost: localhost:%d\r\n\r\n",
             ANSWER, world.port, world.port);
    assert_true(peer_try_say(&peer, text));
    WAIT_FOR(&world, world.requests == 1);
    assert_true(server_counts(world.server).held_bytes >= ROOM);
    WAIT_FOR(&world, peer_is_closed(&peer));
    const char *body = strstr(peer.heard, "\r\n\r\n");
    assert_non_null(body);
    assert_int_equal(strspn(body + 4, "b"), ANSWER);
    assert_int_equal(body[4 + ANSWER], '\0');
    peer_close(&peer);
    world_stop(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_crowd_that_pipelines_does_not_hold_up_the_others),
        cmocka_unit_test(who_leaves_before_its_turn_comes_is_let_go),
        cmocka_unit_test(the_server_stops_while_many_wait_for_their_turn),
        cmocka_unit_test(one_that_sits_idle_is_closed_and_counted),
        cmocka_unit_test(what_an_idle_one_did_not_read_is_not_kept),
        cmocka_unit_test(a_reader_of_events_that_is_dropped_is_reset),
        cmocka_unit_test(the_body_of_one_that_waits_can_be_dropped),
        cmocka_unit_test(without_memory_nothing_is_said_in_the_midst_of_an_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
