#include "talk.h"

#include "target.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECTS_MAX = 20 };

/* Each from another address of the loopback: who closes first leaves a port behind that stays taken for a
 * minute, and one address has not that many ports. */
static void choose_address(int fd)
{
    static uint32_t turn;
    struct sockaddr_in from = {.sin_family = AF_INET};
    const int yes = 1;
    from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + (++turn % 250));
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &yes, sizeof yes);
    PROMISE(bind(fd, (struct sockaddr *)&from, sizeof from) == 0);
}

/* A descriptor that is connected, or -1. libFuzzer's clock may interrupt us in the middle of it. */
static int try_to_connect(int port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    const struct linger reset = {.l_onoff = 1};
    const int yes = 1;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    PROMISE(fd >= 0);
    choose_address(fd);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0)
        return fd;
    close(fd);
    return -1;
}

static void connect_to(struct talk *talk)
{
    for (int i = 0; i < CONNECTS_MAX && talk->fd < 0; i++)
        talk->fd = try_to_connect(talk->port);
    PROMISE(talk->fd >= 0);
    talk->heard_bytes = 0;
    talk->heard[0] = '\0';
    talk->over = false;
}

void talk_send(struct talk *talk, const char *bytes, size_t length)
{
    if (talk->fd < 0)
        connect_to(talk);
    while (length > 0 && !talk->over) {
        ssize_t sent = send(talk->fd, bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno != EAGAIN)
            talk->over = true; /* cut: what was said before it may still be heard */
        bytes += sent > 0 ? sent : 0;
        length -= sent > 0 ? (size_t)sent : 0;
        if (length > 0)
            talk_turn(talk, false);
    }
}

static void hear(struct talk *talk)
{
    char more[16384];
    ssize_t got = 1;
    while (talk->fd >= 0 && got > 0) {
        got = recv(talk->fd, more, sizeof more, MSG_DONTWAIT);
        size_t room = HEARD_MAX - talk->heard_bytes;
        size_t kept = got <= 0 ? 0 : (size_t)got < room ? (size_t)got : room;
        memcpy(talk->heard + talk->heard_bytes, more, kept);
        talk->heard_bytes += kept;
        if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
            talk->over = true;
    }
    talk->heard[talk->heard_bytes] = '\0';
}

void talk_turn(struct talk *talk, bool may_wait)
{
    const struct timeval most = {.tv_usec = 2000};
    if (may_wait)
        event_base_loopexit(talk->base, &most);
    event_base_loop(talk->base, may_wait ? EVLOOP_ONCE : EVLOOP_NONBLOCK);
    hear(talk);
}

void talk_shut(struct talk *talk)
{
    if (talk->fd >= 0)
        shutdown(talk->fd, SHUT_WR);
}

void talk_leave(struct talk *talk)
{
    if (talk->fd >= 0)
        close(talk->fd);
    talk->fd = -1;
}

size_t talk_answer_end(const struct talk *talk, int *status)
{
    const char *head_end = strstr(talk->heard, "\r\n\r\n");
    const char *length = strcasestr(talk->heard, "\r\nContent-Length: ");
    *status = 0;
    if (!head_end || sscanf(talk->heard, "HTTP/1.%*1[01] %3d ", status) != 1)
        return 0;
    size_t body_at = (size_t)(head_end - talk->heard) + 4;
    if (*status == 204 || *status == 304)
        return body_at;
    if (!length || length > head_end)
        return 0; /* a stream, or one that ends with the connection */
    size_t end = body_at + strtoul(length + 18, NULL, 10);
    return end <= talk->heard_bytes ? end : 0;
}
