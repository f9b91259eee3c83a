#include "wire_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* --- the handler ---------------------------------------------------------------------------------------- */

static void answer_bytes(struct request *request)
{
    const char *asked = request_query(request, "n");
    size_t length = asked ? strtoul(asked, NULL, 10) : 0;
    char *bytes = malloc(length + 1);
    assert_non_null(bytes);
    memset(bytes, 'b', length);
    server_answer(request, 200, "text/plain", bytes, length);
    free(bytes);
}

static void answer_tell(struct request *request)
{
    char text[512];
    const char *query = request_query(request, "q"), *header = request_header(request, "x-q");
    int length = snprintf(text, sizeof text, "%s %s q=%s x-q=%s", request_method(request),
                          request_path(request), query ? query : "-", header ? header : "-");
    server_answer_header(request, "X-Told", "yes");
    server_answer(request, 200, "text/plain", text, (size_t)length);
}

static void begin_stream(struct world *world, struct request *request)
{
    const char *last = request_header(request, "Last-Event-ID");
    unsigned long from = last ? strtoul(last, NULL, 10) : 0;
    struct stream *stream = server_stream_begin(request, world);
    if (!stream)
        return;
    assert_true(world->streams_count < HELD_MAX);
    world->streams[world->streams_count++] = stream;
    for (unsigned long id = from + 1; last && id <= 5; id++) {
        char event[64];
        int length = snprintf(event, sizeof event, "event: replay\nid: %lu\ndata: number %lu\n\n", id, id);
        assert_true(server_stream_send(stream, event, (size_t)length));
    }
}

static void handle(void *context, struct request *request)
{
    struct world *world = context;
    const char *path = request_path(request);
    size_t length;
    const char *body = request_body(request, &length);
    world->requests++;
    if (strcmp(path, "/now") == 0) {
        server_answer(request, 200, NULL, "{\"now\":true}", 12);
    } else if (strcmp(path, "/echo") == 0) {
        server_answer(request, 200, request_header(request, "Content-Type"), body, length);
    } else if (strcmp(path, "/length") == 0) {
        char text[32];
        int digits = snprintf(text, sizeof text, "%zu", length);
        server_answer(request, 200, "text/plain", text, (size_t)digits);
    } else if (strncmp(path, "/tell", 5) == 0) {
        answer_tell(request);
    } else if (strcmp(path, "/hold") == 0) {
        assert_true(world->held_count < HELD_MAX);
        world->held[world->held_count++] = request;
    } else if (strcmp(path, "/hold-bare") == 0) {
        assert_true(world->held_count < HELD_MAX);
        world->held[world->held_count++] = request;
        request_drop_body(request);
        assert_string_equal(request_path(request), "/hold-bare");
        assert_string_equal(request_body(request, &length), "");
        assert_int_equal(length, 0);
    } else if (strcmp(path, "/events") == 0) {
        begin_stream(world, request);
    } else if (strcmp(path, "/bytes") == 0) {
        answer_bytes(request);
    } else {
        server_problem(request, 404, NULL, "there is nothing at %s", path);
    }
}

static void on_stream_closed(void *context, void *stream_context)
{
    struct world *world = context;
    assert_ptr_equal(stream_context, world);
    world->streams_closed++;
}

/* --- the loop ------------------------------------------------------------------------------------------- */

void world_start(struct world *world, const struct server_options *options)
{
    struct server_options plain = {.address = "127.0.0.1", .listen_fd = -1};
    if (options)
        plain = *options;
    plain.address = plain.address ? plain.address : "127.0.0.1";
    plain.listen_fd = -1;
    char error[200] = "";
    *world = (struct world){.base = event_base_new()};
    world->server = server_start(world->base, &plain, handle, on_stream_closed, world, error, sizeof error);
    if (!world->server)
        fail_msg("%s", error);
    world->port = server_port(world->server);
    assert_true(world->port > 0);
}

void world_stop(struct world *world)
{
    server_stop(&world->server);
    assert_null(world->server);
    event_base_free(world->base);
}

instant world_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * SECOND + now.tv_nsec;
}

void world_turn(struct world *world)
{
    const struct timeval shortly = {.tv_usec = 5000};
    event_base_loopexit(world->base, &shortly);
    event_base_loop(world->base, EVLOOP_ONCE);
}

/* --- the other end -------------------------------------------------------------------------------------- */

void peer_connect(struct peer *peer, struct world *world)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)world->port)};
    int yes = 1;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    *peer = (struct peer){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), .heard = calloc(1, 1)};
    assert_true(peer->fd >= 0 && peer->heard);
    assert_int_equal(connect(peer->fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(fcntl(peer->fd, F_SETFL, O_NONBLOCK), 0);
    setsockopt(peer->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
}

void peer_listen(struct peer *peer)
{
    static char piece[65536];
    ssize_t got;
    while (!peer->closed && (got = recv(peer->fd, piece, sizeof piece, 0)) != -1) {
        if (got == 0) {
            peer->closed = true;
            break;
        }
        peer->heard = realloc(peer->heard, peer->heard_bytes + (size_t)got + 1);
        assert_non_null(peer->heard);
        memcpy(peer->heard + peer->heard_bytes, piece, (size_t)got);
        peer->heard_bytes += (size_t)got;
        peer->heard[peer->heard_bytes] = '\0';
    }
    if (!peer->closed && errno != EAGAIN && errno != EINTR)
        peer->closed = true; /* reset */
}

void peer_say_bytes(struct peer *peer, struct world *world, const char *bytes, size_t length)
{
    instant until = world_now() + PATIENCE_NS;
    while (length > 0) {
        ssize_t said = send(peer->fd, bytes, length, MSG_NOSIGNAL);
        if (said < 0 && errno != EAGAIN)
            return; /* cut; the test will see it */
        if (said > 0) {
            bytes += said;
            length -= (size_t)said;
        }
        if (length > 0)
            world_turn(world);
        assert_true(world_now() < until);
    }
}

void peer_say(struct peer *peer, struct world *world, const char *text)
{
    peer_say_bytes(peer, world, text, strlen(text));
}

void peer_say_at(struct peer *peer, struct world *world, const char *text)
{
    char *said = malloc(strlen(text) * 6 + 1), *to = said;
    assert_non_null(said);
    for (; *text; text++)
        to += *text == '$' ? sprintf(to, "%d", world->port) : (*to = *text, 1);
    *to = '\0';
    peer_say(peer, world, said);
    free(said);
}

void peer_ask(struct peer *peer, struct world *world, const char *text)
{
    peer_forget(peer);
    peer_say_at(peer, world, text);
    WAIT_FOR(world, peer_has_answers(peer, 1));
}

bool peer_try_say(struct peer *peer, const char *text)
{
    return send(peer->fd, text, strlen(text), MSG_NOSIGNAL) > 0;
}

void peer_forget(struct peer *peer)
{
    peer->heard_bytes = 0;
    peer->heard[0] = '\0';
}

void peer_close(struct peer *peer)
{
    close(peer->fd);
    free(peer->heard);
    peer->heard = NULL;
    peer->fd = -1;
}

bool peer_has_answers(struct peer *peer, int count)
{
    peer_listen(peer);
    const char *at = peer->heard;
    for (int i = 0; i < count; i++) {
        const char *head_end = strstr(at, "\r\n\r\n");
        const char *length = strcasestr(at, "\r\nContent-Length: ");
        if (!head_end)
            return false;
        at = head_end + 4 + (length && length < head_end ? strtoul(length + 18, NULL, 10) : 0);
        if (at > peer->heard + peer->heard_bytes)
            return false;
    }
    return true;
}

bool peer_heard(struct peer *peer, const char *text)
{
    peer_listen(peer);
    return strstr(peer->heard, text) != NULL;
}

bool peer_is_closed(struct peer *peer)
{
    peer_listen(peer);
    return peer->closed;
}

int peer_status(const struct peer *peer)
{
    return strncmp(peer->heard, "HTTP/1.1 ", 9) == 0 ? atoi(peer->heard + 9) : 0;
}

/* --- a server without a library ------------------------------------------------------------------------- */

void actor_start(struct actor *actor)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    *actor = (struct actor){.listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
    assert_int_equal(bind(actor->listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(actor->listener, 8), 0);
    assert_int_equal(getsockname(actor->listener, (struct sockaddr *)&address, &size), 0);
    actor->port = ntohs(address.sin_port);
    actor->peer.fd = -1;
}

void actor_hang_up(struct actor *actor)
{
    if (actor->peer.heard)
        peer_close(&actor->peer);
    actor->peer = (struct peer){.fd = -1};
}

bool actor_accepts(struct actor *actor)
{
    int fd = accept4(actor->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return false;
    actor_hang_up(actor);
    actor->peer = (struct peer){.fd = fd, .heard = calloc(1, 1)};
    actor->accepted++;
    return true;
}

void actor_hears(struct actor *actor, struct world *world, bool fresh)
{
    if (fresh)
        WAIT_FOR(world, actor_accepts(actor));
    else
        peer_forget(&actor->peer);
    WAIT_FOR(world, peer_heard(&actor->peer, "\r\n\r\n"));
}

void actor_stop(struct actor *actor)
{
    actor_hang_up(actor);
    close(actor->listener);
}
