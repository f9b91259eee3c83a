#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "inject_world.h"

#include "base/clock.h"
#include "inject/page.h"
#include "inject/relay.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

double seconds_since(int64_t began_at)
{
    return duration_seconds(monotonic_ns() - began_at);
}

void pause_ms(int ms)
{
    poll(NULL, 0, ms);
}

pid_t start(void)
{
    fflush(NULL);
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0)
        prctl(PR_SET_PDEATHSIG, SIGKILL);
    return pid;
}

int end(pid_t pid, int number)
{
    int status = -1;

    kill(pid, SIGCONT);
    kill(pid, number);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

void *shared_new(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    assert_true(memory != MAP_FAILED);
    return memory;
}

int listen_somewhere(uint16_t *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 1024), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    *port = ntohs(address.sin_port);
    return fd;
}

int try_connect(uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval patience = {.tv_sec = PATIENCE / SECOND};
    int yes = 1, fd = socket(AF_INET, SOCK_STREAM, 0);

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

int user_of(uint16_t port)
{
    int fd = try_connect(port);

    assert_true(fd >= 0);
    return fd;
}

void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

void hear(int fd, const char *expected)
{
    char text[8192];
    size_t length = strlen(expected);

    assert_true(length < sizeof(text));
    assert_int_equal(recv(fd, text, length, MSG_WAITALL), length);
    text[length] = '\0';
    assert_string_equal(text, expected);
}

bool is_over(int fd)
{
    char byte;
    ssize_t length = recv(fd, &byte, 1, 0);

    return length == 0 || (length < 0 && errno == ECONNRESET);
}

bool is_silent(int fd, int ms)
{
    struct pollfd watched = {.fd = fd, .events = POLLIN};

    return poll(&watched, 1, ms) == 0;
}

/* Seconds for a word and its answer over a connection of its own. */
double round_trip(uint16_t port)
{
    int fd = user_of(port);
    int64_t began_at = monotonic_ns();

    say(fd, "ping");
    hear(fd, "ping");
    double took = seconds_since(began_at);
    close(fd);
    return took;
}

void answer_user(int fd)
{
    char text[4096];
    ssize_t length;

    while ((length = recv(fd, text, sizeof(text), 0)) > 0)
        send(fd, text, (size_t)length, MSG_NOSIGNAL);
    _exit(0);
}

void flood_user(int fd)
{
    static char text[65536];

    while (send(fd, text, sizeof(text), MSG_NOSIGNAL) > 0)
        ;
    _exit(0);
}

pid_t start_service(int listen_fd, void (*answer)(int fd))
{
    pid_t pid = start();

    if (pid != 0)
        return pid;
    signal(SIGCHLD, SIG_IGN);
    for (;;) {
        int fd = accept(listen_fd, NULL, NULL);
        if (fork() == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            answer(fd);
        }
        close(fd);
    }
}

pid_t start_relay(const struct link *link)
{
    pid_t pid = start();

    if (pid == 0) {
        close(link->service_fd);
        exit(relay_main((struct relay_options){.listen_fd = link->users_fd,
                                               .echo_fd = link->echo_fd,
                                               .page_fd = link->page_fd,
                                               .to_host = "127.0.0.1",
                                               .to_port = link->service_port}));
    }
    return pid;
}

struct link *link_up(void (*answer)(int fd))
{
    struct link *link = calloc(1, sizeof(*link));

    assert_non_null(link);
    link->page_fd = page_create(&link->page);
    assert_true(link->page_fd >= 0);
    link->users_fd = listen_somewhere(&link->users);
    link->echo_fd = listen_somewhere(&link->echo);
    link->service_fd = listen_somewhere(&link->service_port);
    link->service = start_service(link->service_fd, answer);
    link->relay = start_relay(link);
    round_trip(link->echo); /* it is there */
    return link;
}

void link_down(struct link *link)
{
    int64_t began_at = monotonic_ns();

    assert_int_equal(end(link->relay, SIGTERM), 0);
    assert_true(seconds_since(began_at) < 10);
    end(link->service, SIGKILL);
    close(link->users_fd);
    close(link->echo_fd);
    close(link->service_fd);
    close(link->page_fd);
    page_close(link->page);
    free(link);
}
