/* The server in conversations with good clients: answers now and later, long polls, event streams. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "wire_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- good clients --------------------------------------------------------------------------------------- */

static void one_connection_carries_many_requests(void **state)
{
    (void)state;
    struct world world;
    struct peer peer;
    world_start(&world, NULL);
    peer_connect(&peer, &world);
    for (int i = 0; i < 50; i++) {
        peer_ask(&peer, &world, "GET /now HTTP/1.1\r\nHost: localhost:$\r\n\r\n");
        assert_int_equal(peer_status(&peer), 200);
        assert_true(peer_heard(&peer, "{\"now\":true}"));
        assert_true(peer_heard(&peer, "Content-Type: application/json"));
    }
    struct server_counts counts = server_counts(world.server);
    assert_int_equal(counts.requests, 50);
    assert_int_equal(counts.connections, 1);
    peer_close(&peer);
    WAIT_FOR(&world, server_counts(world.server).connections == 0);
    world_stop(&world);
}

static void the_handler_sees_method_path_query_header_and_body(void **state)
{
    (void)state;
    struct world world;
    struct peer peer;
    world_start(&world, NULL);
    peer_connect(&peer, &world);
    peer_ask(&peer, &world, "GET /tell/a%20b?q=c%2Bd+e HTTP/1.1\r\nHost: 127.0.0.1:$\r\nX-Q: yes\r\n\r\n");
    assert_true(peer_heard(&peer, "GET /tell/a b q=c+d e x-q=yes"));
    assert_true(peer_heard(&peer, "X-Told: yes"));
    peer_ask(
        &peer, &world,
        "PUT /echo HTTP/1.1\r\nHost: [::1]:$\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello");
    assert_true(peer_heard(&peer, "\r\n\r\nhello"));
    peer_ask(&peer, &world,
             "POST /echo HTTP/1.1\r\nHost: localhost:$\r\nContent-Type: text/plain\r\nTransfer-Encoding: "
             "chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n");
    assert_true(peer_heard(&peer, "\r\n\r\nhello world"));
    peer_ask(&peer, &world, "GET /nothing HTTP/1.1\r\nHost: localhost:$\r\n\r\n");
    assert_int_equal(peer_status(&peer), 404);
    assert_true(peer_heard(&peer, "application/problem+json"));
    assert_true(peer_heard(
        &peer, "{\"type\":\"about:blank\",\"title\":\"Not Found\",\"status\":404,\"detail\":\"there "
               "is nothing at /nothing\"}"));
    peer_close(&peer);
    world_stop(&world);
}

static void an_answer_may_come_later_and_from_elsewhere(void **state)
{
    (void)state;
    struct world world;
    struct peer peer;
    world_start(&world, NULL);
    peer_connect(&peer, &world);
    instant began_at = world_now();
    for (int i = 0; i < 20; i++) {
        peer_forget(&peer);
        peer_say_at(&peer, &world,
                    "POST /hold?q=7 HTTP/1.1\r\nHost: localhost:$\r\nContent-Length: 2\r\n\r\n{}");
        WAIT_FOR(&world, world.held_count == 1);
        assert_false(peer_has_answers(&peer, 1));
        assert_string_equal(request_query(world.held[0], "q"), "7");
        assert_string_equal(request_body(world.held[0], NULL), "{}");
        server_answer(world.held[--world.held_count], 201, NULL, "{\"late\":1}", 10);
        WAIT_FOR(&world, peer_has_answers(&peer, 1));
        assert_int_equal(peer_status(&peer), 201);
        assert_true(peer_heard(&peer, "{\"late\":1}"));
    }
    assert_true(world_now() - began_at < 5 * SECOND); /* sent when given, not when the sweep comes round */
    peer_close(&peer);
    world_stop(&world);
}

static void a_departed_long_poll_is_noticed(void **state)
{
    (void)state;
    struct world world;
    struct peer stays, leaves;
    world_start(&world, NULL);
    peer_connect(&stays, &world);
    peer_say_at(&stays, &world, "GET /hold HTTP/1.1\r\nHost: localhost:$\r\n\r\n");
    WAIT_FOR(&world, world.held_count == 1);
    peer_connect(&leaves, &world);
    peer_say_at(&leaves, &world, "GET /hold HTTP/1.1\r\nHost: localhost:$\r\n\r\n");
    WAIT_FOR(&world, world.held_count == 2);
    peer_close(&leaves);
    WAIT_FOR(&world, request_abandoned(world.held[1]));
    assert_false(request_abandoned(world.held[0]));
    server_answer(world.held[1], 200, NULL, "{}", 2);
    server_answer(world.held[0], 200, NULL, "{}", 2);
    WAIT_FOR(&world, peer_has_answers(&stays, 1));
    WAIT_FOR(&world, server_counts(world.server).connections == 1);
    peer_close(&stays);
    world_stop(&world);
}

static void pipelined_requests_are_answered_in_order(void **state)
{
    (void)state;
    struct world world;
    struct peer peer;
    world_start(&world, NULL);
    peer_connect(&peer, &world);
    for (int i = 0; i < 1000; i++) {
        char request[128];
        int length = snprintf(request, sizeof request, "GET /tell/%d HTTP/1.1\r\nHost: localhost:%d\r\n\r\n",
                              i, world.port);
        peer_say_bytes(&peer, &world, request, (size_t)length);
    }
    WAIT_FOR(&world, peer_has_answers(&peer, 1000));
    const char *at = peer.heard;
    for (int i = 0; i < 1000; i++) {
        char expected[64];
        snprintf(expected, sizeof expected, "\r\n\r\nGET /tell/%d q=", i);
        at = strstr(at, expected);
        assert_non_null(at);
    }
    peer_close(&peer);
    world_stop(&world);
}

static void a_body_of_ten_megabytes_arrives_whole(void **state)
{
    (void)state;
    struct world world;
    struct peer peer;
    size_t length = 10 * 1000 * 1000;
    world_start(&world, &(struct server_options){.body_bytes_limit = 16 << 20});
    peer_connect(&peer, &world);
    char *body = malloc(length);
    assert_non_null(body);
    memset(body, 'x', length);
    peer_say_at(&peer, &world,
                "POST /length HTTP/1.1\r\nHost: localhost:$\r\nContent-Length: 10000000\r\n\r\n");
    peer_say_bytes(&peer, &world, body, length);
    WAIT_FOR(&world, peer_has_answers(&peer, 1));
    assert_true(peer_heard(&peer, "\r\n\r\n10000000"));
    free(body);
    peer_ask(&peer, &world, "GET /now HTTP/1.1\r\nHost: localhost:$\r\n\r\n");
    assert_int_equal(peer_status(&peer), 200);
    peer_close(&peer);
    world_stop(&world);
}

static void waiting_clients_starve_nobody(void **state)
{
    (void)state;
    struct world world;
    struct peer waiting[HELD_MAX], busy;
    world_start(&world, NULL);
    peer_connect(&busy, &world);
    instant began_at = world_now();
    for (int i = 0; i < HELD_MAX; i++) {
        peer_connect(&waiting[i], &world);
        peer_say_at(&waiting[i], &world, "GET /hold HTTP/1.1\r\nHost: localhost:$\r\n\r\n");
        peer_ask(&busy, &world, "GET /now HTTP/1.1\r\nHost: localhost:$\r\n\r\n");
        assert_int_equal(peer_status(&busy), 200);
    }
    WAIT_FOR(&world, world.held_count == HELD_MAX);
    for (int round = 0; round < 100; round++)
        peer_ask(&busy, &world, "GET /now HTTP/1.1\r\nHost: localhost:$\r\n\r\n");
    for (int i = 0; i < HELD_MAX; i++) /* all at once, beside a client that goes on asking */
        server_answer(world.held[i], 200, NULL, "{}", 2);
    peer_ask(&busy, &world, "GET /now HTTP/1.1\r\nHost: localhost:$\r\n\r\n");
    for (int i = 0; i < HELD_MAX; i++) {
        WAIT_FOR(&world, peer_has_answers(&waiting[i], 1));
        peer_close(&waiting[i]);
    }
    assert_true(world_now() - began_at <
                5 * SECOND); /* a sweep for each that was skipped would take minutes */
    peer_close(&busy);
    world_stop(&world);
}

static void stopping_answers_what_waits(void **state)
{
    (void)state;
    struct world world;
    struct peer waiting, watching;
    world_start(&world, NULL);
    peer_connect(&waiting, &world);
    peer_connect(&watching, &world);
    peer_say_at(&waiting, &world, "GET /hold HTTP/1.1\r\nHost: localhost:$\r\n\r\n");
    peer_say_at(&watching, &world, "GET /events HTTP/1.1\r\nHost: localhost:$\r\n\r\n");
    WAIT_FOR(&world, world.held_count == 1 && world.streams_count == 1);
    world_stop(&world);
    assert_true(peer_has_answers(&waiting, 1));
    assert_int_equal(peer_status(&waiting), 503);
    assert_true(peer_is_closed(&waiting));
    assert_true(peer_is_closed(&watching));
    assert_int_equal(world.streams_closed, 0); /* that is for streams that ended otherwise */
    peer_close(&waiting);
    peer_close(&watching);
}

/* --- watching ------------------------------------------------------------------------------------------- */

static void a_stream_carries_events_until_the_reader_leaves(void **state)
{
    (void)state;
    struct world world;
    struct peer peer;
    world_start(&world, NULL);
    peer_connect(&peer, &world);
    peer_say_at(&peer, &world, "GET /events HTTP/1.1\r\nHost: localhost:$\r\nLast-Event-ID: 3\r\n\r\n");
    WAIT_FOR(&world, peer_heard(&peer, "number 5"));
    assert_true(peer_heard(&peer, "text/event-stream"));
    assert_true(peer_heard(&peer, "id: 4"));
    assert_false(peer_heard(&peer, "id: 3"));
    for (int i = 0; i < 100; i++) {
        char event[64], expected[32];
        snprintf(event, sizeof event, "event: n\nid: %d\ndata: live %d\n\n", 6 + i, i);
        snprintf(expected, sizeof expected, "live %d\n", i);
        assert_true(server_stream_send(world.streams[0], event, strlen(event)));
        WAIT_FOR(&world, peer_heard(&peer, expected));
    }
    assert_int_equal(server_counts(world.server).streams, 1);
    peer_close(&peer);
    WAIT_FOR(&world, world.streams_closed == 1);
    assert_int_equal(server_counts(world.server).streams, 0);
    assert_int_equal(server_counts(world.server).dropped_streams, 0);
    world_stop(&world);
}

static void a_reader_that_is_too_slow_is_dropped(void **state)
{
    (void)state;
    struct world world;
    struct peer slow, good;
    world_start(&world, &(struct server_options){.stream_bytes_limit = 65536});
    peer_connect(&slow, &world);
    peer_connect(&good, &world);
    peer_say_at(&slow, &world, "GET /events HTTP/1.1\r\nHost: localhost:$\r\n\r\n");
    WAIT_FOR(&world, world.streams_count == 1);
    peer_say_at(&good, &world, "GET /events HTTP/1.1\r\nHost: localhost:$\r\n\r\n");
    WAIT_FOR(&world, world.streams_count == 2);
    char event[1024];
    snprintf(event, sizeof event, "data: %01000d\n\n", 7);
    bool kept = true;
    long sent = 0;
    while (kept) {
        for (int i = 0; i < 20 && kept; i++, sent++) {
            kept = server_stream_send(world.streams[0], event, strlen(event));
            assert_true(server_stream_send(world.streams[1], event, strlen(event)));
        }
        WAIT_FOR(&world, (peer_listen(&good), good.heard_bytes > (size_t)sent * strlen(event)));
    }
    WAIT_FOR(&world, world.streams_closed == 1);
    assert_int_equal(server_counts(world.server).dropped_streams, 1);
    assert_int_equal(server_counts(world.server).streams, 1);
    WAIT_FOR(&world, peer_is_closed(&slow));
    peer_close(&slow);
    peer_close(&good);
    world_stop(&world);
}

static void streams_are_counted_and_bounded(void **state)
{
    (void)state;
    struct world world;
    struct peer one, two;
    world_start(&world, &(struct server_options){.streams = 1});
    peer_connect(&one, &world);
    peer_connect(&two, &world);
    peer_say_at(&one, &world, "GET /events HTTP/1.1\r\nHost: localhost:$\r\n\r\n");
    WAIT_FOR(&world, world.streams_count == 1);
    peer_ask(&two, &world, "GET /events HTTP/1.1\r\nHost: localhost:$\r\n\r\n");
    assert_int_equal(peer_status(&two), 503);
    peer_close(&one);
    WAIT_FOR(&world, world.streams_closed == 1);
    peer_say_at(&two, &world, "GET /events HTTP/1.1\r\nHost: localhost:$\r\n\r\n");
    WAIT_FOR(&world, world.streams_count == 2);
    peer_close(&two);
    world_stop(&world);
}

static void a_port_that_is_taken_is_told(void **state)
{
    (void)state;
    struct world world;
    world_start(&world, NULL);
    struct server_options options = {.address = "127.0.0.1", .port = world.port, .listen_fd = -1};
    char error[200] = "";
    assert_null(server_start(world.base, &options, NULL, NULL, NULL, error, sizeof error));
    assert_non_null(strstr(error, "Address already in use"));
    options.address = "somewhere";
    assert_null(server_start(world.base, &options, NULL, NULL, NULL, error, sizeof error));
    assert_non_null(strstr(error, "not a numeric address"));
    world_stop(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_connection_carries_many_requests),
        cmocka_unit_test(the_handler_sees_method_path_query_header_and_body),
        cmocka_unit_test(an_answer_may_come_later_and_from_elsewhere),
        cmocka_unit_test(a_departed_long_poll_is_noticed),
        cmocka_unit_test(pipelined_requests_are_answered_in_order),
        cmocka_unit_test(a_body_of_ten_megabytes_arrives_whole),
        cmocka_unit_test(waiting_clients_starve_nobody),
        cmocka_unit_test(stopping_answers_what_waits),
        cmocka_unit_test(a_stream_carries_events_until_the_reader_leaves),
        cmocka_unit_test(a_reader_that_is_too_slow_is_dropped),
        cmocka_unit_test(streams_are_counted_and_bounded),
        cmocka_unit_test(a_port_that_is_taken_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
