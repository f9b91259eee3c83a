/* The server in conversations with bad clients: what does not hold together, is too much, or too slow. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "wire_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* --- bad clients ---------------------------------------------------------------------------------------- */

/* One conversation: what is said, and the status that must come back before the connection is closed. */
struct refusal {
    const char *said;
    int status;
};

static void talk_and_be_refused(struct world *world, const struct refusal *refusal)
{
    struct peer peer;
    int requests = world->requests;
    peer_connect(&peer, world);
    peer_say_at(&peer, world, refusal->said);
    WAIT_FOR(world, peer_is_closed(&peer));
    const char *first = strstr(peer.heard, "HTTP/1.1 ");
    bool once = first && !strstr(first + 1, "HTTP/1.1 ");
    if (peer_status(&peer) != refusal->status || world->requests != requests || !once ||
        !strstr(peer.heard, "Content-Type: application/problem+json") ||
        !strstr(peer.heard, "Connection: close"))
        fail_msg("expected %d for:\n%s\nheard:\n%s", refusal->status, refusal->said, peer.heard);
    peer_close(&peer);
}

static void what_does_not_hold_together_is_refused(void **state)
{
    (void)state;
    static const struct refusal refusals[] = {
        {"POST /echo HTTP/1.1\r\nHost: localhost:$\r\nContent-Length: 3\r\nTransfer-Encoding: "
         "chunked\r\n\r\n0\r\n\r\n",
         400},
        {"POST /echo HTTP/1.1\r\nHost: localhost:$\r\nTransfer-Encoding: chunked\r\nContent-Length: "
         "3\r\n\r\n0\r\n\r\n",
         400},
        {"POST /echo HTTP/1.1\r\nHost: localhost:$\r\nContent-Length: 3\r\nContent-Length: 2\r\n\r\nabc",
         400},
        {"POST /echo HTTP/1.1\r\nHost: localhost:$\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
         400},
        {"POST /echo HTTP/1.1\r\nHost: localhost:$\r\nContent-Length: +3\r\n\r\nabc", 400},
        {"POST /echo HTTP/1.1\r\nHost: localhost:$\r\nContent-Length: -3\r\n\r\nabc", 400},
        {"POST /echo HTTP/1.1\r\nHost: localhost:$\r\nContent-Length: 3x\r\n\r\nabc", 400},
        {"POST /echo HTTP/1.1\r\nHost: localhost:$\r\nContent-Length: 3, 3\r\n\r\nabc", 400},
        {"POST /echo HTTP/1.1\r\nHost: localhost:$\r\nTransfer-Encoding: gzip\r\n\r\nabc", 400},
        {"POST /echo HTTP/1.1\r\nHost: localhost:$\r\nTransfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n",
         400},
        {"POST /echo HTTP/1.1\r\nHost: localhost:$\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: "
         "chunked\r\n\r\n0\r\n\r\n",
         400},
        {"POST /echo HTTP/1.1\r\nHost: localhost:$\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 400},
        {"POST /echo HTTP/1.1\r\nHost: localhost:$\r\nContent-Length : 3\r\n\r\nabc", 400},
        {"GET /now HTTP/1.1\r\n\r\n", 400},
        {"GET /now HTTP/1.1\r\nHost: localhost:$\r\nHost: localhost:$\r\n\r\n", 400},
        {"GET /now HTTP/1.1\r\nHost: localhost:$\r\nA b: c\r\n\r\n", 400},
        {"GET /n%00ow HTTP/1.1\r\nHost: localhost:$\r\n\r\n", 400},
        {"GET /n%zzow HTTP/1.1\r\nHost: localhost:$\r\n\r\n", 400},
        {"GET /tell%2fnow HTTP/1.1\r\nHost: localhost:$\r\n\r\n", 400},
        {"GET /tell%2Fnow HTTP/1.1\r\nHost: localhost:$\r\n\r\n", 400},
        {"GET /now HTTP/1.1\r\nHost: localhost:$\r\nAuthorization: Bearer a\r\nauthorization: Bearer "
         "b\r\n\r\n",
         400},
        {"GET /now?q=%0 HTTP/1.1\r\nHost: localhost:$\r\n\r\n", 400},
        {"G(T /now HTTP/1.1\r\nHost: localhost:$\r\n\r\n", 400},
        /* What two readers could take for different things. */
        {"GET /now HTTP/1.1\nHost: localhost:$\n\n", 400},
        {"GET /now HTTP/1.1\r\nHost: localhost:$\n\r\n", 400},
        {"GET /now HTTP/1.1\r\nHost: localhost:$\r\nA: b\rC: d\r\n\r\n", 400},
        {"GET /now HTTP/1.1\r\nHost: localhost:$\r\nA: b\r\n c\r\n\r\n", 400},
        {"GET /now HTTP/1.1\r\nHost: localhost:$\r\nA: b\r\n\tc\r\n\r\n", 400},
        {"GET /now HTTP/1.1\r\n Host: localhost:$\r\n\r\n", 400},
        {"GET /now HTTP/1.1\r\nHost : localhost:$\r\n\r\n", 400},
        {"GET /now HTTP/1.1\r\nHost: localhost:$\r\nA: \x01\r\n\r\n", 400},
        {"GET /now HTTP/1.1\r\nHost: localhost:$\r\n: b\r\n\r\n", 400},
        {"GET /now HTTP/1.1\r\nHost: localhost:$\r\nA\r\n\r\n", 400},
        {"GET /now\r\n", 400},
        {"GET /now HTTP/0.9\r\n\r\n", 505},
        {"GET /now HTTP/2.0\r\nHost: localhost:$\r\n\r\n", 505},
        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
        {"GET /now HTTP/1.1 \r\nHost: localhost:$\r\n\r\n", 400},
        {"GET  /now HTTP/1.1\r\nHost: localhost:$\r\n\r\n", 400},
        {"GET\t/now HTTP/1.1\r\nHost: localhost:$\r\n\r\n", 400},
        {"GET /now now HTTP/1.1\r\nHost: localhost:$\r\n\r\n", 400},
        {"GET http://localhost:$/now HTTP/1.1\r\nHost: localhost:$\r\n\r\n", 400},
        {"GET now HTTP/1.1\r\nHost: localhost:$\r\n\r\n", 400},
        {"OPTIONS * HTTP/1.1\r\nHost: localhost:$\r\n\r\n", 400},
        {"GET /now#x HTTP/1.1\r\nHost: localhost:$\r\n\r\n", 400},
        {"GET /n\xc3\xb6 HTTP/1.1\r\nHost: localhost:$\r\n\r\n", 400},
        {"GET /now%0d%0aX HTTP/1.1\r\nHost: localhost:$\r\n\r\n", 400},
        {"\r\nGET /now HTTP/1.1\r\nHost: localhost:$\r\n\r\n", 400},
        {"\x16\x03\x01\x02", 400},
        {"POST /echo HTTP/1.1\r\nHost: localhost:$\r\nContent-Length: -1\r\n\r\nabc", 400},
        {"POST /echo HTTP/1.1\r\nHost: localhost:$\r\nContent-Length: 0x3\r\n\r\nabc", 400},
        {"POST /echo HTTP/1.1\r\nHost: localhost:$\r\nContent-Length:\r\n\r\nabc", 400},
        {"POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
        {"POST /echo HTTP/1.1\r\nHost: localhost:$\r\nTransfer-Encoding:\x0b"
         "chunked\r\n\r\n0\r\n\r\n",
         400},
        {"POST /echo HTTP/1.1\r\nHost: localhost:$\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n",
         400},
        {"POST /echo HTTP/1.1\r\nHost: localhost:$\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n", 400},
        {"POST /echo HTTP/1.1\r\nHost: localhost:$\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n",
         400},
        {"POST /echo HTTP/1.1\r\nHost: localhost:$\r\nTransfer-Encoding: chunked\r\n\r\n-3\r\nabc\r\n", 400},
        {"POST /echo HTTP/1.1\r\nHost: localhost:$\r\nTransfer-Encoding: chunked\r\n\r\n000000003\r\n", 400},
        {"POST /echo HTTP/1.1\r\nHost: localhost:$\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n\r\n",
         400},
        /* The second request is smuggled in the first one's body, for whoever believes the wrong length. */
        {"POST /echo HTTP/1.1\r\nHost: localhost:$\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
         "0\r\n\r\nGET /now HTTP/1.1\r\nHost: localhost:$\r\n\r\n",
         400},
        {"POST /echo HTTP/1.1\r\nHost: localhost:$\r\nExpect: a miracle\r\nContent-Length: 3\r\n\r\nabc",
         417},
        {"POST /echo HTTP/1.1\r\nHost: localhost:$\r\nContent-Length: 999999999999\r\n\r\nabc", 413},
        {"POST /echo HTTP/1.1\r\nHost: localhost:$\r\nContent-Length: 18446744073709551615\r\n\r\nabc", 413},
        {"POST /echo HTTP/1.1\r\nHost: localhost:$\r\nContent-Length: 300000\r\nExpect: 100-continue\r\n\r\n",
         413},
    };
    struct world world;
    world_start(&world, NULL);
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++)
        talk_and_be_refused(&world, &refusals[i]);
    WAIT_FOR(&world, server_counts(world.server).connections == 0);
    world_stop(&world);
}

static void another_host_or_origin_is_refused(void **state)
{
    (void)state;
    static const struct refusal refusals[] = {
        {"GET /now HTTP/1.1\r\nHost: evil.example:$\r\n\r\n", 403},
        {"GET /now HTTP/1.1\r\nHost: localhost\r\n\r\n", 403},
        {"GET /now HTTP/1.1\r\nHost: localhost:1\r\n\r\n", 403},
        {"GET /now HTTP/1.1\r\nHost: localhost:$x\r\n\r\n", 403},
        {"GET /now HTTP/1.1\r\nHost: localhost.evil.example:$\r\n\r\n", 403},
        {"GET /now HTTP/1.1\r\nHost: 127.0.0.1.evil.example:$\r\n\r\n", 403},
        {"GET /now HTTP/1.1\r\nHost: 10.1.2.3:$\r\n\r\n", 403},
        {"GET /now HTTP/1.1\r\nHost: \r\n\r\n", 403},
        {"GET /now HTTP/1.1\r\nHost: [::1:$\r\n\r\n", 403},
        {"GET /now HTTP/1.1\r\nHost: localhost:$\r\nOrigin: http://evil.example\r\n\r\n", 403},
        {"GET /now HTTP/1.1\r\nHost: localhost:$\r\nOrigin: null\r\n\r\n", 403},
        {"GET /now HTTP/1.1\r\nHost: localhost:$\r\nOrigin: https://localhost:$\r\n\r\n", 403},
        {"GET /now HTTP/1.1\r\nHost: localhost:$\r\nOrigin: http://localhost:$@evil.example\r\n\r\n", 403},
    };
    struct world world;
    struct peer peer;
    world_start(&world, NULL);
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++)
        talk_and_be_refused(&world, &refusals[i]);
    peer_connect(&peer, &world);
    peer_ask(&peer, &world, "GET /now HTTP/1.1\r\nHost: LOCALHOST:$\r\nOrigin: http://127.0.0.1:$\r\n\r\n");
    assert_int_equal(peer_status(&peer), 200);
    peer_ask(&peer, &world, "GET /now HTTP/1.0\r\n\r\n"); /* HTTP/1.0 knows no Host */
    assert_int_equal(peer_status(&peer), 200);
    peer_close(&peer);
    world_stop(&world);
}

static void behind_all_addresses_numbers_are_believed_and_names_are_not(void **state)
{
    (void)state;
    static const struct refusal refusal = {"GET /now HTTP/1.1\r\nHost: evil.example:$\r\n\r\n", 403};
    struct world world;
    struct peer peer;
    world_start(&world, &(struct server_options){.address = "0.0.0.0"});
    talk_and_be_refused(&world, &refusal);
    peer_connect(&peer, &world);
    peer_ask(&peer, &world, "GET /now HTTP/1.1\r\nHost: 10.1.2.3:$\r\n\r\n");
    assert_int_equal(peer_status(&peer), 200);
    peer_close(&peer);
    world_stop(&world);
}

static void long_headers_and_targets_are_refused(void **state)
{
    (void)state;
    struct world world;
    struct peer peer;
    world_start(&world, &(struct server_options){.header_bytes_limit = 2048});
    char text[12000];
    int length =
        snprintf(text, sizeof text, "GET /now HTTP/1.1\r\nHost: localhost:%d\r\nX-Long: %0*d\r\n\r\n",
                 world.port, 1900, 7);
    peer_connect(&peer, &world);
    peer_say_bytes(&peer, &world, text, (size_t)length);
    WAIT_FOR(&world, peer_has_answers(&peer, 1));
    assert_int_equal(peer_status(&peer), 200);
    peer_close(&peer);
    for (int size = 2000; size < 11000; size += 700) {
        length =
            snprintf(text, sizeof text, "GET /now HTTP/1.1\r\nHost: localhost:%d\r\nX-Long: %0*d\r\n\r\n",
                     world.port, size, 7);
        peer_connect(&peer, &world);
        peer_say_bytes(&peer, &world, text, (size_t)length);
        WAIT_FOR(&world, peer_is_closed(&peer));
        assert_int_equal(peer_status(&peer), 431);
        peer_close(&peer);
    }
    length =
        snprintf(text, sizeof text, "GET /%0*d HTTP/1.1\r\nHost: localhost:%d\r\n\r\n", 11000, 7, world.port);
    peer_connect(&peer, &world);
    peer_say_bytes(&peer, &world, text, (size_t)length);
    WAIT_FOR(&world, peer_is_closed(&peer));
    assert_int_equal(peer_status(&peer), 414);
    peer_close(&peer);
    assert_int_equal(world.requests, 1);
    world_stop(&world);
}

static void refuse_bytes(struct world *world, const char *bytes, size_t length, int status)
{
    struct peer peer;
    peer_connect(&peer, world);
    peer_say_bytes(&peer, world, bytes, length);
    WAIT_FOR(world, peer_is_closed(&peer));
    assert_int_equal(peer_status(&peer), status);
    assert_true(peer_heard(&peer, "application/problem+json"));
    peer_close(&peer);
}

static void heaps_of_headers_and_hidden_bytes_are_refused(void **state)
{
    (void)state;
    static const char line[] = "A: b\r\n";
    struct world world;
    world_start(&world, NULL);
    char *heap = malloc(700000), head[128];
    assert_non_null(heap);
    int length = snprintf(heap, 700000, "GET /now HTTP/1.1\r\nHost: localhost:%d\r\n", world.port);
    size_t begun = (size_t)length;
    for (int i = 0; i < 100000; i++)
        memcpy(heap + begun + (size_t)i * (sizeof line - 1), line, sizeof line - 1);
    memcpy(heap + begun + 101 * (sizeof line - 1), "\r\n", 2); /* one too many, and yet short */
    refuse_bytes(&world, heap, begun + 101 * (sizeof line - 1) + 2, 431);
    memcpy(heap + begun + 101 * (sizeof line - 1), line, 2);
    refuse_bytes(&world, heap, begun + 100000 * (sizeof line - 1), 431);
    memset(heap, 'x', 65536);
    memcpy(heap, "GET /", 5);
    refuse_bytes(&world, heap, 65536, 414);
    free(heap);
    length =
        snprintf(head, sizeof head, "GET /now HTTP/1.1\r\nHost: localhost:%d\r\nA: b?c\r\n\r\n", world.port);
    *strchr(strstr(head, "A: "), '?') = '\0';
    refuse_bytes(&world, head, (size_t)length, 400);
    assert_int_equal(world.requests, 0);
    world_stop(&world);
}

static void what_a_good_request_leaves_behind_is_the_next_one(void **state)
{
    (void)state;
    static const char said[] =
        "POST /echo HTTP/1.1\r\nHost: localhost:$\r\nContent-Type: text/plain\r\nContent-Length: "
        "5\r\n\r\nGET /"
        "POST /echo HTTP/1.1\r\nHost: localhost:$\r\nContent-Type: text/plain\r\nTransfer-Encoding: "
        "chunked\r\n\r\n5\r\nPOST \r\n0\r\n\r\n"
        "HEAD /now HTTP/1.1\r\nHost: localhost:$\r\n\r\n"
        "GET /tell?q=last&x HTTP/1.1\r\nHost: localhost:$\r\nConnection: close\r\n\r\n"
        "GET /now HTTP/1.1\r\nHost: localhost:$\r\n\r\n";
    struct world world;
    world_start(&world, NULL);
    for (size_t piece = 1; piece < sizeof said; piece = piece < 4 ? piece + 1 : piece * 3) {
        char text[1024], *to = text;
        struct peer peer;
        for (const char *c = said; *c; c++)
            to += *c == '$' ? sprintf(to, "%d", world.port) : (*to = *c, 1);
        world.requests = 0;
        peer_connect(&peer, &world);
        for (const char *at = text; at < to; at += piece) {
            peer_say_bytes(&peer, &world, at, (size_t)(to - at) < piece ? (size_t)(to - at) : piece);
            event_base_loop(world.base, EVLOOP_NONBLOCK);
        }
        WAIT_FOR(&world, peer_is_closed(&peer));
        assert_int_equal(world.requests, 4); /* what stands behind the last is not looked at */
        assert_true(peer_heard(&peer, "\r\n\r\nGET /HTTP/1.1 200"));
        assert_true(peer_heard(&peer, "\r\n\r\nPOST HTTP/1.1 200"));
        assert_true(
            peer_heard(&peer, "Content-Length: 12\r\n\r\nHTTP/1.1 200")); /* HEAD: a length, no body */
        assert_true(peer_heard(&peer, "GET /tell q=last"));
        peer_close(&peer);
    }
    world_stop(&world);
}

static void a_long_body_gets_413_even_if_nobody_listens_meanwhile(void **state)
{
    (void)state;
    struct world world;
    struct peer peer;
    size_t length = 3 * 1000 * 1000;
    char *body = malloc(length);
    assert_non_null(body);
    memset(body, 'x', length);
    world_start(&world, &(struct server_options){.body_bytes_limit = 100000});
    peer_connect(&peer, &world);
    peer_say_at(&peer, &world, "POST /echo HTTP/1.1\r\nHost: localhost:$\r\nContent-Length: 3000000\r\n\r\n");
    peer_say_bytes(&peer, &world, body, length); /* all of it, before a look at the answer */
    WAIT_FOR(&world, peer_is_closed(&peer));
    assert_int_equal(peer_status(&peer), 413);
    assert_true(peer_heard(&peer, "the body has more than 100000 bytes"));
    peer_close(&peer);
    free(body);
    assert_int_equal(world.requests, 0);
    world_stop(&world);
}

static void chunks_without_end_get_413(void **state)
{
    (void)state;
    struct world world;
    struct peer peer;
    world_start(&world, &(struct server_options){.body_bytes_limit = 1000});
    peer_connect(&peer, &world);
    peer_say_at(&peer, &world,
                "POST /echo HTTP/1.1\r\nHost: localhost:$\r\nTransfer-Encoding: chunked\r\n\r\n");
    char chunk[1100];
    snprintf(chunk, sizeof chunk, "400\r\n%01024d\r\n", 7);
    int said = 0;
    WAIT_FOR(&world, (said += peer_try_say(&peer, chunk), peer_is_closed(&peer)));
    assert_int_equal(peer_status(&peer), 413);
    assert_true(said >= 64); /* it was patient, */
    assert_int_equal(world.requests, 0);
    peer_close(&peer);
    world_stop(&world);
}

/* --- slow clients --------------------------------------------------------------------------------------- */

#define SHORT_DEADLINE (400 * MILLISECOND)

/* A byte when it is time for one; true when the server has had enough. */
static bool drip(struct peer *peer, instant *next_at)
{
    if (world_now() >= *next_at) {
        (void)peer_try_say(peer, "x");
        *next_at += 50 * MILLISECOND;
    }
    return peer_is_closed(peer);
}

/* Says `head`, then a byte each 50 ms, and returns how long the server stood it. */
static duration say_in_drips(struct world *world, struct peer *peer, const char *head)
{
    instant began_at = world_now(), next_at = began_at;
    peer_connect(peer, world);
    peer_say_at(peer, world, head);
    WAIT_FOR(world, drip(peer, &next_at));
    return world_now() - began_at;
}

static void a_request_in_drips_is_cut_at_its_deadline(void **state)
{
    (void)state;
    static const char *const heads[] = {
        "", "GET /no", "GET /now HTTP/1.1\r\nHost: localhost:$\r\nX-Slow: ",
        "POST /echo HTTP/1.1\r\nHost: localhost:$\r\nContent-Length: 100000\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: localhost:$\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n"};
    struct world world;
    struct peer peer;
    world_start(&world, &(struct server_options){.request_deadline_ns = SHORT_DEADLINE});
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
        duration stood = say_in_drips(&world, &peer, heads[i]);
        assert_int_equal(peer_status(&peer), 408);
        assert_in_range(stood / MILLISECOND, SHORT_DEADLINE * 3 / 4 / MILLISECOND,
                        3 * SHORT_DEADLINE / MILLISECOND);
        peer_close(&peer);
    }
    assert_int_equal(server_counts(world.server).deadlines, 5);
    assert_int_equal(world.requests, 0);
    world_stop(&world);
}

static void the_deadline_holds_for_the_second_request_too(void **state)
{
    (void)state;
    struct world world;
    struct peer peer;
    world_start(&world, &(struct server_options){.request_deadline_ns = SHORT_DEADLINE});
    peer_connect(&peer, &world);
    peer_ask(&peer, &world, "GET /now HTTP/1.1\r\nHost: localhost:$\r\n\r\n");
    instant idle_at = world_now(); /* idleness is no crime */
    WAIT_FOR(&world, world_now() - idle_at > 2 * SHORT_DEADLINE);
    assert_false(peer_is_closed(&peer));
    peer_ask(&peer, &world, "GET /now HTTP/1.1\r\nHost: localhost:$\r\n\r\n");
    assert_int_equal(peer_status(&peer), 200);
    idle_at = world_now();
    WAIT_FOR(&world, world_now() - idle_at > SHORT_DEADLINE);
    peer_forget(&peer);
    instant began_at = world_now();
    peer_say_at(&peer, &world, "GET /now HTTP/1.1\r\nHost: ");
    WAIT_FOR(&world, peer_is_closed(&peer));
    assert_int_equal(peer_status(&peer), 408);
    assert_in_range((world_now() - began_at) / MILLISECOND, SHORT_DEADLINE * 3 / 4 / MILLISECOND,
                    3 * SHORT_DEADLINE / MILLISECOND);
    peer_close(&peer);
    world_stop(&world);
}

static void an_answer_that_nobody_takes_is_cut(void **state)
{
    (void)state;
    struct world world;
    struct peer peer;
    int small = 4096;
    world_start(&world, &(struct server_options){.request_deadline_ns = SHORT_DEADLINE});
    peer_connect(&peer, &world);
    setsockopt(peer.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    /* More than the sockets hold, and yet so little that its time is short: 6 MB would have 6 minutes. */
    for (int i = 0; i < 400; i++)
        peer_say_at(&peer, &world, "GET /bytes?n=16000 HTTP/1.1\r\nHost: localhost:$\r\n\r\n");
    WAIT_FOR(&world, server_counts(world.server).deadlines == 1);
    WAIT_FOR(&world, server_counts(world.server).connections == 0);
    peer_close(&peer);
    world_stop(&world);
}

static void idle_connections_are_closed(void **state)
{
    (void)state;
    struct world world;
    struct peer fresh, used;
    world_start(&world, &(struct server_options){.idle_ns = 300 * MILLISECOND});
    peer_connect(&fresh, &world);
    peer_connect(&used, &world);
    peer_ask(&used, &world, "GET /now HTTP/1.1\r\nHost: localhost:$\r\n\r\n");
    instant began_at = world_now();
    peer_forget(&used);
    WAIT_FOR(&world, peer_is_closed(&used) && peer_is_closed(&fresh));
    assert_true(world_now() - began_at >= 250 * MILLISECOND);
    assert_int_equal(used.heard_bytes, 0); /* without a word: nothing was asked */
    assert_int_equal(server_counts(world.server).deadlines, 0);
    peer_close(&fresh);
    peer_close(&used);
    world_stop(&world);
}

static void more_connections_than_allowed_are_closed_at_once(void **state)
{
    (void)state;
    struct world world;
    struct peer peers[4], late;
    world_start(&world, &(struct server_options){.connections = 4});
    for (int i = 0; i < 4; i++) {
        peer_connect(&peers[i], &world);
        peer_ask(&peers[i], &world, "GET /now HTTP/1.1\r\nHost: localhost:$\r\n\r\n");
    }
    for (int i = 0; i < 100; i++) {
        peer_connect(&late, &world);
        WAIT_FOR(&world, peer_is_closed(&late));
        peer_close(&late);
    }
    peer_ask(&peers[3], &world, "GET /now HTTP/1.1\r\nHost: localhost:$\r\n\r\n");
    peer_close(&peers[0]);
    WAIT_FOR(&world, server_counts(world.server).connections == 3);
    peer_connect(&late, &world);
    peer_ask(&late, &world, "GET /now HTTP/1.1\r\nHost: localhost:$\r\n\r\n");
    assert_int_equal(peer_status(&late), 200);
    peer_close(&late);
    for (int i = 1; i < 4; i++)
        peer_close(&peers[i]);
    world_stop(&world);
}

static void who_holds_a_place_without_using_it_makes_room(void **state)
{
    (void)state;
    struct world world;
    struct peer slow[8], good[8];
    world_start(&world, &(struct server_options){.connections = 8});
    for (int i = 0; i < 8; i++) {
        peer_connect(&slow[i], &world);
        peer_say(&slow[i], &world, "GET /no");
    }
    WAIT_FOR(&world, server_counts(world.server).connections == 8);
    for (int i = 0; i < 8; i++) { /* each of them pushes the oldest slow one out, and no good one */
        peer_connect(&good[i], &world);
        peer_ask(&good[i], &world, "GET /now HTTP/1.1\r\nHost: localhost:$\r\n\r\n");
        assert_int_equal(peer_status(&good[i]), 200);
        WAIT_FOR(&world, peer_is_closed(&slow[i]));
        assert_int_equal(server_counts(world.server).evicted, (uint64_t)i + 1);
    }
    for (int i = 0; i < 8; i++) {
        peer_ask(&good[i], &world, "GET /now HTTP/1.1\r\nHost: localhost:$\r\n\r\n");
        assert_int_equal(peer_status(&good[i]), 200);
        peer_close(&good[i]);
        peer_close(&slow[i]);
    }
    world_stop(&world);
}

static void one_address_has_its_share(void **state)
{
    (void)state;
    struct world world;
    struct peer peers[3], late;
    world_start(&world, &(struct server_options){.connections_per_address = 3});
    for (int i = 0; i < 3; i++) {
        peer_connect(&peers[i], &world);
        peer_ask(&peers[i], &world, "GET /now HTTP/1.1\r\nHost: localhost:$\r\n\r\n");
    }
    peer_connect(&late, &world);
    WAIT_FOR(&world, peer_is_closed(&late));
    peer_close(&late);
    peer_ask(&peers[0], &world, "GET /now HTTP/1.1\r\nHost: localhost:$\r\n\r\n");
    assert_int_equal(peer_status(&peers[0]), 200);
    for (int i = 0; i < 3; i++)
        peer_close(&peers[i]);
    world_stop(&world);
}

static void memory_has_a_bound_for_all_together(void **state)
{
    (void)state;
    struct world world;
    struct peer slow[16], good;
    world_start(&world, &(struct server_options){
                            .memory_bytes_limit = 1 << 20, .streams = 1, .stream_bytes_limit = 1});
    char *half = malloc(150000);
    assert_non_null(half);
    memset(half, 'x', 150000);
    for (int i = 0; i < 16; i++) { /* each begins a body of 200 kB and does not end it */
        peer_connect(&slow[i], &world);
        peer_say_at(&slow[i], &world,
                    "POST /echo HTTP/1.1\r\nHost: localhost:$\r\nContent-Length: 200000\r\n\r\n");
        peer_say_bytes(&slow[i], &world, half, 150000);
        WAIT_FOR(&world, server_counts(world.server).held_bytes <= 1 << 20);
    }
    WAIT_FOR(&world, server_counts(world.server).evicted >= 8);
    peer_connect(&good, &world);
    peer_ask(&good, &world, "GET /now HTTP/1.1\r\nHost: localhost:$\r\n\r\n");
    assert_int_equal(peer_status(&good), 200);
    for (int i = 0; i < 16; i++)
        peer_close(&slow[i]);
    peer_close(&good);
    free(half);
    world_stop(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_does_not_hold_together_is_refused),
        cmocka_unit_test(another_host_or_origin_is_refused),
        cmocka_unit_test(behind_all_addresses_numbers_are_believed_and_names_are_not),
        cmocka_unit_test(long_headers_and_targets_are_refused),
        cmocka_unit_test(heaps_of_headers_and_hidden_bytes_are_refused),
        cmocka_unit_test(what_a_good_request_leaves_behind_is_the_next_one),
        cmocka_unit_test(who_holds_a_place_without_using_it_makes_room),
        cmocka_unit_test(one_address_has_its_share),
        cmocka_unit_test(memory_has_a_bound_for_all_together),
        cmocka_unit_test(a_long_body_gets_413_even_if_nobody_listens_meanwhile),
        cmocka_unit_test(chunks_without_end_get_413),
        cmocka_unit_test(a_request_in_drips_is_cut_at_its_deadline),
        cmocka_unit_test(the_deadline_holds_for_the_second_request_too),
        cmocka_unit_test(an_answer_that_nobody_takes_is_cut),
        cmocka_unit_test(idle_connections_are_closed),
        cmocka_unit_test(more_connections_than_allowed_are_closed_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
