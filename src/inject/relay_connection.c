#include "inject/relay_state.h"

#include "base/check.h"
#include "base/clock.h"
#include "inject/delay_line.h"

#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>

/* One end has finished and the other says nothing more for this long: the connection is over. It bounds what
 * users who gave up on a stopped service leave behind. */
#define HALF_CLOSED_S 15

#define SECOND_PATIENCE_NS (200 * MILLISECOND) /* for a second instance to accept a connection */

void relay_disconnect(struct connection *connection)
{
    struct relay *relay = connection->relay;

    LIST_REMOVE(connection, link);
    if (evbuffer_get_length(connection->waiting) > 0)
        TAILQ_REMOVE(&relay->queue, connection, turn);
    evbuffer_free(connection->waiting);
    delay_line_free(&connection->line);
    if (connection->service)
        bufferevent_free(connection->service);
    bufferevent_free(connection->user);
    free(connection);
    relay->count--;
    relay_listen_as_due(relay);
    if (relay->ending && relay->count == 0)
        event_base_loopbreak(relay->base);
}

static size_t unsent(struct bufferevent *side)
{
    return evbuffer_get_length(bufferevent_get_output(side));
}

size_t relay_held(const struct connection *connection)
{
    return evbuffer_get_length(connection->waiting) + delay_line_held(connection->line) +
           unsent(connection->user);
}

static void read_or_pause(struct bufferevent *side, bool ended, size_t pending, size_t most)
{
    if (ended)
        return;
    if (pending >= most)
        bufferevent_disable(side, EV_READ);
    else if (pending <= most / 2)
        bufferevent_enable(side, EV_READ);
}

static void shut(struct bufferevent *side)
{
    struct timeval silence = {.tv_sec = HALF_CLOSED_S};

    shutdown(bufferevent_getfd(side), SHUT_WR);
    bufferevent_set_timeouts(side, &silence, NULL);
}

/* What a user says to a second instance stays in the kernel until that has proved to be there. */
static bool is_trying_second(const struct connection *connection)
{
    return connection->second && !connection->connected;
}

/* After anything happened: pauses and resumes reading, hands on what has ended, and frees what is over. */
static void connection_settle(struct connection *connection)
{
    struct bufferevent *user = connection->user, *service = connection->service;

    if (service) {
        read_or_pause(service, connection->service_ended, relay_held(connection), RELAY_HELD_MAX_BYTES);
        if (!is_trying_second(connection))
            read_or_pause(user, connection->user_ended, unsent(service), RELAY_AHEAD_MAX_BYTES);
        if (connection->user_ended && !connection->service_shut && connection->connected &&
            unsent(service) == 0) {
            shut(service);
            connection->service_shut = true;
        }
    } else {
        read_or_pause(user, connection->user_ended, relay_held(connection), RELAY_HELD_MAX_BYTES);
    }
    if (connection->lost && connection->user_ended) {
        relay_disconnect(connection);
        return;
    }
    if (connection->service_ended && !connection->lost && !connection->user_shut &&
        relay_held(connection) == 0) {
        shut(user);
        connection->user_shut = true;
    }
    if (connection->user_shut && connection->service_shut)
        relay_disconnect(connection);
}

static void on_moved(void *arg)
{
    connection_settle(arg);
}

static void on_written(struct bufferevent *side, void *arg)
{
    (void)side;
    connection_settle(arg);
}

/* --- bytes, and ends --- */

/* Bytes begin their way back to the user. */
static void send_back(struct connection *connection, struct evbuffer *bytes)
{
    struct relay *relay = connection->relay;
    bool has_turn = evbuffer_get_length(connection->waiting) > 0, was_empty = TAILQ_EMPTY(&relay->queue);

    if (connection->service)
        delay_line_pour(bytes, connection->waiting, SIZE_MAX);
    else
        relay_pour(relay, bytes, connection->waiting, relay_fault(relay, FAULT_NETWORK_LOSS));
    if (!has_turn && evbuffer_get_length(connection->waiting) > 0)
        TAILQ_INSERT_TAIL(&relay->queue, connection, turn);
    relay_carry(relay);
    if (was_empty && !TAILQ_EMPTY(&relay->queue))
        relay_watch_in(relay, RELAY_PUMP_NS);
}

static void on_user_bytes(struct bufferevent *user, void *arg)
{
    struct connection *connection = arg;
    struct evbuffer *bytes = bufferevent_get_input(user);

    connection->touched_at = monotonic_ns();
    if (connection->service) {
        connection->awaiting = connection->asked = true;
        delay_line_pour(bytes, bufferevent_get_output(connection->service), SIZE_MAX);
    } else {
        send_back(connection, bytes);
    }
    connection_settle(connection);
}

static void on_service_bytes(struct bufferevent *service, void *arg)
{
    struct connection *connection = arg;
    struct evbuffer *bytes = bufferevent_get_input(service);

    connection->touched_at = monotonic_ns();
    connection->awaiting = false;
    if (relay_loses(connection))
        evbuffer_drain(bytes, SIZE_MAX);
    else
        send_back(connection, bytes);
    connection_settle(connection);
}

static void on_user_event(struct bufferevent *user, short what, void *arg)
{
    struct connection *connection = arg;

    (void)user;
    if (!(what & BEV_EVENT_EOF)) {
        relay_disconnect(connection); /* reset, or half closed and silent */
        return;
    }
    connection->user_ended = true;
    if (!connection->service) {
        connection->service_ended = true;
        connection->service_shut = true;
    }
    connection_settle(connection);
}

static void no_delay(struct bufferevent *side)
{
    int yes = 1;

    setsockopt(bufferevent_getfd(side), IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
}

static bool connect_to_service(struct connection *connection, uint16_t second_port);

static void on_service_event(struct bufferevent *service, short what, void *arg)
{
    struct connection *connection = arg;

    if (what & BEV_EVENT_CONNECTED) {
        connection->connected = true;
        no_delay(service);
        bufferevent_set_timeouts(service, NULL, NULL);
    } else if (is_trying_second(connection)) {
        bufferevent_free(service); /* it is gone, or not there yet */
        if (connect_to_service(connection, 0))
            bufferevent_enable(connection->user, EV_READ);
        else
            relay_disconnect(connection);
        return;
    } else if (!connection->connected || (what & BEV_EVENT_TIMEOUT)) {
        relay_disconnect(connection); /* refused; or the user has ended and the service says nothing */
        return;
    } else {
        connection->service_ended = true;
        connection->awaiting = false;
        if (connection->lost) { /* its user is not told; he must not wait for ever, either */
            struct timeval silence = {.tv_sec = HALF_CLOSED_S};
            bufferevent_set_timeouts(connection->user, &silence, NULL);
        }
        if (!(what & BEV_EVENT_EOF)) { /* it died: the user still gets what it had said */
            connection->service_shut = true;
            connection->user_ended = true;
            bufferevent_disable(connection->user, EV_READ);
        }
    }
    connection_settle(connection);
}

static struct sockaddr_storage at_port(struct sockaddr_storage address, uint16_t port)
{
    if (address.ss_family == AF_INET6)
        ((struct sockaddr_in6 *)&address)->sin6_port = htons(port);
    else
        ((struct sockaddr_in *)&address)->sin_port = htons(port);
    return address;
}

/* To its second instance if that has a port, not 0. False if it cannot even be tried. */
static bool connect_to_service(struct connection *connection, uint16_t second_port)
{
    const struct relay *relay = connection->relay;
    struct sockaddr_storage to = second_port ? at_port(relay->to, second_port) : relay->to;
    struct bufferevent *service = bufferevent_socket_new(relay->base, -1, BEV_OPT_CLOSE_ON_FREE);

    CHECK(service);
    connection->service = service;
    connection->second = second_port != 0;
    if (second_port) {
        struct timeval patience = {.tv_usec = SECOND_PATIENCE_NS / MICROSECOND};
        bufferevent_set_timeouts(service, NULL, &patience);
    }
    /* The callbacks come after the attempt: it reports some failures from within, and the caller frees then.
     */
    if (bufferevent_socket_connect(service, (const struct sockaddr *)&to, (int)relay->to_length) < 0)
        return false;
    bufferevent_setcb(service, on_service_bytes, on_written, on_service_event, connection);
    bufferevent_enable(service, EV_READ | EV_WRITE);
    return true;
}

/* New connections go to both instances by turns. */
static bool connect_to_either(struct connection *connection)
{
    struct relay *relay = connection->relay;
    uint16_t second_port = relay->page ? page_second_port(relay->page) : 0;

    if (second_port && relay->turns++ % 2 == 0) {
        if (connect_to_service(connection, second_port))
            return true;
        bufferevent_free(connection->service);
    }
    return connect_to_service(connection, 0);
}

void relay_connect(struct relay *relay, evutil_socket_t fd, bool echo)
{
    struct connection *connection = calloc(1, sizeof(*connection));
    struct bufferevent *user = bufferevent_socket_new(relay->base, fd, BEV_OPT_CLOSE_ON_FREE);

    CHECK(connection && user);
    *connection =
        (struct connection){.relay = relay, .user = user, .touched_at = monotonic_ns(), .awaiting = !echo};
    connection->line = delay_line_new(relay->base, user, on_moved, connection);
    connection->waiting = evbuffer_new();
    CHECK(connection->line && connection->waiting);
    if (relay->count == 0)
        relay_watch_in(relay, RELAY_WATCH_NS);
    LIST_INSERT_HEAD(&relay->connections, connection, link);
    relay->count++;
    relay_listen_as_due(relay);

    no_delay(user);
    bufferevent_setcb(user, on_user_bytes, on_written, on_user_event, connection);
    if (echo || connect_to_either(connection))
        bufferevent_enable(user, is_trying_second(connection) ? EV_WRITE : EV_READ | EV_WRITE);
    else
        relay_disconnect(connection);
}

/* When it is closed the other end hears a reset, and what was under way is gone. */
void relay_reset_on_close(evutil_socket_t fd)
{
    struct linger none = {.l_onoff = 1};

    setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
}

void relay_reset(struct connection *connection)
{
    relay_reset_on_close(bufferevent_getfd(connection->user));
    if (connection->service)
        relay_reset_on_close(bufferevent_getfd(connection->service));
    relay_disconnect(connection);
}
