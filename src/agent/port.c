#include "agent/port.h"

#include "base/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int bound_socket(const struct sockaddr_in *address)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (const struct sockaddr *)address, sizeof *address) < 0) {
        int error = -errno;
        close(fd);
        return error;
    }
    return fd;
}

static int listening_socket(const struct sockaddr_in *address)
{
    int fd = bound_socket(address);
    if (fd >= 0 && listen(fd, SOMAXCONN) < 0) {
        int error = -errno;
        close(fd);
        return error;
    }
    return fd;
}

static struct sockaddr_in loopback(int port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

int port_listen(const char *text)
{
    char host[INET_ADDRSTRLEN];
    const char *colon = strrchr(text, ':');
    char *end = NULL;
    long port = colon ? strtol(colon + 1, &end, 10) : -1;
    if (port < 0 || port > 65535 || end == colon + 1 || *end || colon - text >= (ptrdiff_t)sizeof host)
        return -EINVAL;
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = '\0';
    struct sockaddr_in address = loopback((int)port);
    if (inet_pton(AF_INET, host, &address.sin_addr) != 1)
        return -EINVAL;
    static const struct timespec pause = {.tv_nsec = 5 * MILLISECOND};
    int64_t by_ns = monotonic_ns() + PORT_PATIENCE;
    int fd = listening_socket(&address);
    while (fd == -EADDRINUSE && monotonic_ns() < by_ns) {
        nanosleep(&pause, NULL);
        fd = listening_socket(&address);
    }
    return fd;
}

void port_turn_away(int fd)
{
    static const struct linger none = {.l_onoff = 1};
    for (int i = 0; i < SOMAXCONN; i++) { /* as many as can be queued: it ends although more are coming */
        int queued = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
        if (queued < 0 && errno == EAGAIN)
            return;
        if (queued < 0)
            continue;
        setsockopt(queued, SOL_SOCKET, SO_LINGER, &none, sizeof none);
        close(queued);
    }
}

int port_of(int fd)
{
    struct sockaddr_in address = {0};
    socklen_t length = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &length) < 0)
        return -errno;
    return ntohs(address.sin_port);
}

int port_reserve(int *port)
{
    struct sockaddr_in address = loopback(0);
    int fd = bound_socket(&address);
    if (fd >= 0)
        *port = port_of(fd);
    return fd;
}

bool port_answers(int port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return false;
    struct sockaddr_in address = loopback(port);
    bool answers = connect(fd, (struct sockaddr *)&address, sizeof address) == 0;
    if (!answers && errno == EINPROGRESS) {
        struct pollfd wait = {.fd = fd, .events = POLLOUT};
        int error = 0;
        socklen_t length = sizeof error;
        answers =
            poll(&wait, 1, 0) == 1 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0 && !error;
    }
    close(fd);
    return answers;
}
