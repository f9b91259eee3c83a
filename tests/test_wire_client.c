/* The client: against our own server, and against one that does what a test wants it to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "wire/client.h"
#include "wire_world.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* What came back. */
struct reply {
    int calls, status;
    char text[256]; /* the body's beginning, or the error */
    size_t length;
    duration took_ns;
    struct client *again; /* send another from within the callback, this many times */
    int more;
};

static void on_reply(void *context, const struct answer *answer)
{
    struct reply *reply = context;
    reply->calls++;
    reply->status = answer->status;
    reply->length = answer->length;
    reply->took_ns = answer->took_ns;
    assert_int_equal(answer->status == 0, answer->error != NULL);
    snprintf(reply->text, sizeof reply->text, "%s", answer->error ? answer->error : answer->body);
    if (reply->more > 0) {
        reply->more--;
        assert_int_equal(client_send(reply->again, "GET", "/now", NULL, NULL, 0, SECOND, on_reply, reply), 0);
    }
}

static struct client *new_client(struct world *world, int port, int connections, int queue)
{
    struct client_options options = {.host = "127.0.0.1",
                                     .port = port,
                                     .connections = connections,
                                     .queue = queue,
                                     .answer_bytes_limit = 100000};
    struct client *client = client_new(world->base, &options);
    assert_non_null(client);
    return client;
}

static struct reply ask(struct world *world, struct client *client, const char *method, const char *path,
                        const char *body, duration timeout_ns)
{
    struct reply reply = {0};
    int sent =
        client_send(client, method, path, NULL, body, body ? strlen(body) : 0, timeout_ns, on_reply, &reply);
    assert_int_equal(sent, 0);
    assert_int_equal(reply.calls, 0); /* never from within */
    WAIT_FOR(world, reply.calls > 0);
    assert_int_equal(reply.calls, 1);
    return reply;
}

/* --- against our own server ----------------------------------------------------------------------------- */

static void requests_follow_each_other_over_one_connection(void **state)
{
    (void)state;
    struct world world;
    world_start(&world, NULL);
    struct client *client = new_client(&world, world.port, 1, 0);
    for (int i = 0; i < 20; i++) {
        struct reply reply = ask(&world, client, "POST", "/echo", "{\"a\":1}", SECOND);
        assert_int_equal(reply.status, 200);
        assert_string_equal(reply.text, "{\"a\":1}");
        assert_int_equal(reply.length, 7);
        assert_true(reply.took_ns > 0 && reply.took_ns < SECOND);
    }
    assert_string_equal(ask(&world, client, "PUT", "/length", "12345", SECOND).text, "5");
    assert_string_equal(ask(&world, client, "DELETE", "/tell/x", NULL, SECOND).text,
                        "DELETE /tell/x q=- x-q=-");
    assert_int_equal(ask(&world, client, "GET", "/nothing", NULL, SECOND).status, 404);
    struct reply chain = {.again = client, .more = 10};
    assert_int_equal(client_send(client, "GET", "/now", NULL, NULL, 0, SECOND, on_reply, &chain), 0);
    WAIT_FOR(&world, chain.calls == 11);
    assert_int_equal(chain.status, 200);
    assert_int_equal(server_counts(world.server).connections, 1);
    assert_int_equal(client_waiting(client), 0);
    client_free(&client);
    assert_null(client);
    world_stop(&world);
}

static void what_finds_no_connection_waits_and_the_queue_is_bounded(void **state)
{
    (void)state;
    struct world world;
    struct reply replies[6] = {0};
    world_start(&world, NULL);
    struct client *client = new_client(&world, world.port, 2, 3);
    for (int i = 0; i < 5; i++)
        assert_int_equal(
            client_send(client, "GET", "/hold", NULL, NULL, 0, 10 * SECOND, on_reply, &replies[i]), 0);
    assert_int_equal(client_send(client, "GET", "/hold", NULL, NULL, 0, 10 * SECOND, on_reply, &replies[5]),
                     -EAGAIN);
    assert_int_equal(client_waiting(client), 5);
    WAIT_FOR(&world, world.held_count == 2);
    for (int answered = 0; answered < 5; answered++) {
        WAIT_FOR(&world, world.held_count > answered);
        server_answer(world.held[answered], 200, NULL, "{}", 2);
    }
    for (int i = 0; i < 5; i++)
        WAIT_FOR(&world, replies[i].status == 200);
    assert_int_equal(replies[5].calls, 0);
    assert_int_equal(server_counts(world.server).connections, 2);
    client_free(&client);
    world_stop(&world);
}

static void each_request_has_its_deadline_waiting_included(void **state)
{
    (void)state;
    struct world world;
    struct reply under_way = {0}, queued = {0};
    world_start(&world, NULL);
    struct client *client = new_client(&world, world.port, 1, 4);
    client_send(client, "GET", "/hold", NULL, NULL, 0, 300 * MILLISECOND, on_reply, &under_way);
    client_send(client, "GET", "/hold", NULL, NULL, 0, 100 * MILLISECOND, on_reply, &queued);
    WAIT_FOR(&world, queued.calls == 1);
    assert_int_equal(under_way.calls, 0);
    assert_string_equal(queued.text, "no answer within 100 ms");
    WAIT_FOR(&world, under_way.calls == 1);
    assert_string_equal(under_way.text, "no answer within 300 ms");
    assert_in_range(under_way.took_ns / MILLISECOND, 290, 2000);
    WAIT_FOR(&world, request_abandoned(world.held[0])); /* it has let go */
    server_answer(world.held[0], 200, NULL, "{}", 2);
    assert_int_equal(ask(&world, client, "GET", "/now", NULL, SECOND).status, 200);
    client_free(&client);
    world_stop(&world);
}

static void freeing_fails_what_is_under_way(void **state)
{
    (void)state;
    struct world world;
    struct reply replies[3] = {0};
    world_start(&world, NULL);
    struct client *client = new_client(&world, world.port, 1, 4);
    for (int i = 0; i < 3; i++)
        client_send(client, "GET", "/hold", NULL, NULL, 0, SECOND, on_reply, &replies[i]);
    WAIT_FOR(&world, world.held_count == 1);
    client_free(&client);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(replies[i].calls, 1);
        assert_string_equal(replies[i].text, "the client was closed");
    }
    WAIT_FOR(&world, request_abandoned(world.held[0]));
    world_stop(&world);
}

static void a_refusal_of_a_long_body_is_understood(void **state)
{
    (void)state;
    struct world world;
    world_start(&world, &(struct server_options){.body_bytes_limit = 200000});
    struct client *client = new_client(&world, world.port, 1, 0);
    size_t length = 8 * 1000 * 1000;
    char *body = calloc(1, length + 1);
    assert_non_null(body);
    memset(body, 'x', length);
    struct reply reply = ask(&world, client, "POST", "/echo", body, 5 * SECOND);
    assert_int_equal(reply.status, 413);
    free(body);
    assert_int_equal(ask(&world, client, "GET", "/now", NULL, SECOND).status, 200);
    client_free(&client);
    world_stop(&world);
}

static void what_cannot_be_sent_is_refused(void **state)
{
    (void)state;
    struct world world;
    world_start(&world, NULL);
    struct client *client = new_client(&world, world.port, 1, 0);
    assert_int_equal(client_send(client, "PATCH", "/", NULL, NULL, 0, SECOND, on_reply, NULL), -EINVAL);
    assert_int_equal(client_send(client, "GET", "now", NULL, NULL, 0, SECOND, on_reply, NULL), -EINVAL);
    assert_int_equal(client_send(client, "GET", "/a b", NULL, NULL, 0, SECOND, on_reply, NULL), -EINVAL);
    assert_int_equal(client_send(client, "GET", "/a\r\nX: y", NULL, NULL, 0, SECOND, on_reply, NULL),
                     -EINVAL);
    assert_int_equal(client_send(client, "PUT", "/a", "x\r\nX: y", "", 0, SECOND, on_reply, NULL), -EINVAL);
    client_free(&client);
    world_stop(&world);
}

static void addresses_are_taken_apart(void **state)
{
    (void)state;
    char host[32];
    int port;
    assert_true(client_parse_url("http://127.0.0.1:7070", host, sizeof host, &port));
    assert_string_equal(host, "127.0.0.1");
    assert_int_equal(port, 7070);
    assert_true(client_parse_url("http://localhost/", host, sizeof host, &port));
    assert_string_equal(host, "localhost");
    assert_int_equal(port, 80);
    assert_true(client_parse_url("http://[::1]:81/", host, sizeof host, &port));
    assert_string_equal(host, "::1");
    static const char *const wrong[] = {"",
                                        "localhost:1",
                                        "https://a:1",
                                        "http://",
                                        "http://:1",
                                        "http://a:",
                                        "http://a:0",
                                        "http://a:65536",
                                        "http://a:1x",
                                        "http://a:1/b",
                                        "http://a@b:1",
                                        "http://[::1:1",
                                        "http://a:-1",
                                        "http://0123456789012345678901234567890123456789"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_false(client_parse_url(wrong[i], host, sizeof host, &port));
}

/* --- against a server that misbehaves ------------------------------------------------------------------- */

static const char fine[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";

static void failures_are_told_in_words(void **state)
{
    (void)state;
    struct world world;
    struct actor actor;
    struct reply reply = {0};
    static const struct {
        const char *said, *told;
    } cases[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 100001\r\n\r\n", "the answer has more than 100000 bytes"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}",
         "the server closed the connection before its answer was complete"},
        {"", "the server closed the connection before its answer was complete"},
        {"SSH-2.0-OpenSSH_9.2\r\n\r\n", "the answer is not HTTP"},
    };
    world_start(&world, NULL);
    actor_start(&actor);
    struct client *client = new_client(&world, actor.port, 1, 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        reply = (struct reply){0};
        client_send(client, "GET", "/", NULL, NULL, 0, 5 * SECOND, on_reply, &reply);
        actor_hears(&actor, &world, true);
        peer_say(&actor.peer, &world, cases[i].said);
        actor_hang_up(&actor);
        WAIT_FOR(&world, reply.calls == 1);
        assert_int_equal(reply.status, 0);
        assert_string_equal(reply.text, cases[i].told);
    }
    actor_stop(&actor);
    reply = ask(&world, client, "GET", "/", NULL, 5 * SECOND); /* nobody listens any more */
    assert_string_equal(reply.text, "connection refused");
    client_free(&client);
    world_stop(&world);
}

static bool send_chunk(struct actor *actor)
{
    char chunk[1100];
    snprintf(chunk, sizeof chunk, "400\r\n%01024d\r\n", 7);
    return peer_try_say(&actor->peer, chunk);
}

static void an_answer_in_chunks_is_bounded_too(void **state)
{
    (void)state;
    struct world world;
    struct actor actor;
    struct reply reply = {0};
    world_start(&world, NULL);
    actor_start(&actor);
    struct client *client = new_client(&world, actor.port, 1, 0);
    client_send(client, "GET", "/", NULL, NULL, 0, 5 * SECOND, on_reply, &reply);
    actor_hears(&actor, &world, true);
    peer_say(&actor.peer, &world, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    WAIT_FOR(&world, (send_chunk(&actor), reply.calls == 1));
    assert_string_equal(reply.text, "the answer has more than 100000 bytes");
    client_free(&client);
    actor_stop(&actor);
    world_stop(&world);
}

static bool drip(struct actor *actor, instant *next_at, const struct reply *reply)
{
    if (world_now() >= *next_at) {
        (void)peer_try_say(&actor->peer, "x");
        *next_at += 50 * MILLISECOND;
    }
    return reply->calls == 1;
}

static void an_answer_in_drips_ends_at_the_deadline(void **state)
{
    (void)state;
    struct world world;
    struct actor actor;
    struct reply reply = {0};
    world_start(&world, NULL);
    actor_start(&actor);
    struct client *client = new_client(&world, actor.port, 1, 0);
    client_send(client, "GET", "/", NULL, NULL, 0, 400 * MILLISECOND, on_reply, &reply);
    actor_hears(&actor, &world, true);
    peer_say(&actor.peer, &world, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
    instant next_at = world_now();
    WAIT_FOR(&world, drip(&actor, &next_at, &reply));
    assert_string_equal(reply.text, "no answer within 400 ms");
    assert_in_range(reply.took_ns / MILLISECOND, 390, 1500);
    client_free(&client);
    actor_stop(&actor);
    world_stop(&world);
}

/* The server closes the connection just as the second request is under way, without a word, and does so
 * `hang_ups` times before it answers. */
static struct reply second_request_meets_closing_connections(struct world *world, struct actor *actor,
                                                             const char *method, int hang_ups)
{
    struct reply first = {0}, second = {0};
    struct client *client = new_client(world, actor->port, 1, 0);
    client_send(client, "GET", "/1", NULL, NULL, 0, 5 * SECOND, on_reply, &first);
    actor_hears(actor, world, true);
    peer_say(&actor->peer, world, fine);
    WAIT_FOR(world, first.status == 200);
    client_send(client, method, "/2", NULL, NULL, 0, 5 * SECOND, on_reply, &second);
    actor_hears(actor, world, false);
    actor_hang_up(actor);
    for (int i = 1; i < hang_ups; i++) {
        actor_hears(actor, world, true);
        actor_hang_up(actor);
    }
    for (int i = 0; i < 10 && second.calls == 0; i++) /* whatever the client does now, it does at once */
        world_turn(world);
    if (second.calls == 0) {
        actor_hears(actor, world, true);
        peer_say(&actor->peer, world, fine);
        WAIT_FOR(world, second.calls == 1);
    }
    client_free(&client);
    assert_false(actor_accepts(actor));
    return second;
}

static void what_can_be_repeated_is_repeated_once_on_a_fresh_connection(void **state)
{
    (void)state;
    static const char lost[] = "the server closed the connection before its answer was complete";
    struct world world;
    struct actor actor;
    world_start(&world, NULL);
    actor_start(&actor);
    assert_int_equal(second_request_meets_closing_connections(&world, &actor, "GET", 1).status, 200);
    assert_int_equal(second_request_meets_closing_connections(&world, &actor, "PUT", 1).status, 200);
    assert_int_equal(actor.accepted, 4);
    assert_string_equal(second_request_meets_closing_connections(&world, &actor, "DELETE", 2).text, lost);
    assert_int_equal(actor.accepted, 6);
    /* A POST may have been carried out: that is for its sender to find out. */
    assert_string_equal(second_request_meets_closing_connections(&world, &actor, "POST", 1).text, lost);
    assert_int_equal(actor.accepted, 7);
    actor_stop(&actor);
    world_stop(&world);
}

static void a_connection_closed_while_idle_is_not_used(void **state)
{
    (void)state;
    struct world world;
    struct actor actor;
    struct reply first = {0}, second = {0};
    world_start(&world, NULL);
    actor_start(&actor);
    struct client *client = new_client(&world, actor.port, 1, 0);
    client_send(client, "GET", "/1", NULL, NULL, 0, 5 * SECOND, on_reply, &first);
    actor_hears(&actor, &world, true);
    peer_say(&actor.peer, &world, fine);
    WAIT_FOR(&world, first.status == 200);
    actor_hang_up(&actor);
    /* The loop has not yet turned: the client has to look. Even a POST may be sent then, as none was. */
    client_send(client, "POST", "/2", NULL, "{}", 2, 5 * SECOND, on_reply, &second);
    actor_hears(&actor, &world, true);
    peer_say(&actor.peer, &world, fine);
    WAIT_FOR(&world, second.status == 200);
    client_free(&client);
    actor_stop(&actor);
    world_stop(&world);
}

/* --- in two processes ----------------------------------------------------------------------------------- */

static _Noreturn void serve_for_ever(int port_pipe)
{
    struct world world;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    world_start(&world, NULL);
    if (write(port_pipe, &world.port, sizeof world.port) == (ssize_t)sizeof world.port)
        event_base_dispatch(world.base);
    _exit(0);
}

static pid_t start_server(int *port)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        serve_for_ever(ends[1]);
    assert_int_equal(read(ends[0], port, sizeof *port), sizeof *port);
    close(ends[0]);
    close(ends[1]);
    return child;
}

static void end_server(pid_t child)
{
    int status;
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
}

static void a_blocking_call_needs_no_loop(void **state)
{
    (void)state;
    int port;
    char *body = NULL;
    pid_t child = start_server(&port);
    assert_int_equal(client_call("localhost", port, "GET", "/now", NULL, NULL, 0, 5 * SECOND, &body), 200);
    assert_string_equal(body, "{\"now\":true}");
    free(body);
    assert_int_equal(
        client_call("127.0.0.1", port, "POST", "/echo", "text/plain", "abc", 3, 5 * SECOND, NULL), 200);
    assert_int_equal(client_call("127.0.0.1", port, "GET", "/hold", NULL, NULL, 0, 100 * MILLISECOND, &body),
                     0);
    assert_string_equal(body, "no answer within 100 ms");
    free(body);
    assert_int_equal(client_call("127.0.0.1", port, "HUH", "/", NULL, NULL, 0, SECOND, &body), 0);
    assert_string_equal(body, "the method or the path cannot be sent");
    free(body);
    end_server(child);
    assert_int_equal(client_call("127.0.0.1", port, "GET", "/now", NULL, NULL, 0, 5 * SECOND, &body), 0);
    assert_string_equal(body, "connection refused");
    free(body);
}

struct flood {
    struct client *client;
    long answers;
    instant until;
};

static void on_flood(void *context, const struct answer *answer)
{
    struct flood *flood = context;
    static const char report[] =
        "{\"boot\":\"9f86d081884c7d65\",\"sequence\":17,\"age_s\":0.0,\"samples\":{\"cpu_utilization\":"
        "0.97,\"memory_bytes\":123456789,\"request_latency\":0.058,\"error_ratio\":0.01}}";
    if (answer) {
        assert_int_equal(answer->status, 200);
        flood->answers++;
    }
    if (world_now() < flood->until)
        client_send(flood->client, "POST", "/now", NULL, report, sizeof report - 1, 5 * SECOND, on_flood,
                    flood);
}

/* No assertion on the figure: it tells about the machine. */
static void a_figure_for_the_log(void **state)
{
    (void)state;
    int port;
    pid_t child = start_server(&port);
    struct world world = {.base = event_base_new()};
    struct flood flood = {.until = world_now() + SECOND / 2};
    flood.client = new_client(&world, port, 64, 0);
    for (int i = 0; i < 64; i++)
        on_flood(&flood, NULL);
    while (client_waiting(flood.client) > 0)
        event_base_loop(world.base, EVLOOP_ONCE);
    print_message("# %ld requests/s over 64 connections, client and server together on this machine\n",
                  flood.answers * 2);
    assert_true(flood.answers >= 64);
    client_free(&flood.client);
    event_base_free(world.base);
    end_server(child);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_follow_each_other_over_one_connection),
        cmocka_unit_test(what_finds_no_connection_waits_and_the_queue_is_bounded),
        cmocka_unit_test(each_request_has_its_deadline_waiting_included),
        cmocka_unit_test(freeing_fails_what_is_under_way),
        cmocka_unit_test(a_refusal_of_a_long_body_is_understood),
        cmocka_unit_test(what_cannot_be_sent_is_refused),
        cmocka_unit_test(addresses_are_taken_apart),
        cmocka_unit_test(failures_are_told_in_words),
        cmocka_unit_test(an_answer_in_chunks_is_bounded_too),
        cmocka_unit_test(an_answer_in_drips_ends_at_the_deadline),
        cmocka_unit_test(what_can_be_repeated_is_repeated_once_on_a_fresh_connection),
        cmocka_unit_test(a_connection_closed_while_idle_is_not_used),
        cmocka_unit_test(a_blocking_call_needs_no_loop),
        cmocka_unit_test(a_figure_for_the_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
