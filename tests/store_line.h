/* A line to the server of the tests that can be cut, or stall, around a COMMIT: a small process that passes
 * the bytes on. */
#ifndef TESTS_STORE_LINE_H
#define TESTS_STORE_LINE_H

#include "store_bench.h"

#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

enum line_mode {
    LINE_WHOLE,
    LINE_CUT_BEFORE_COMMIT,   /* the server never hears of it */
    LINE_CUT_AFTER_COMMIT,    /* the server has done it, and its answer is lost */
    LINE_STALL_BEFORE_COMMIT, /* the server hears of it when the other end has given up */
    LINE_STALL_AFTER_COMMIT,  /* the server has done it, and its answer never comes */
    LINE_DOWN                 /* nobody is let through */
};

enum { LINE_PAIRS = 16 };

struct line {          /* shared with the process that passes the bytes on */
    volatile int mode; /* a cut or stall is made once, then the line is whole again for others */
    volatile unsigned cuts;
    int port;
    pid_t process;
};

enum { CLIENT, SERVER, HELD_SIZE = 16384 };

struct pair {
    int fds[2]; /* -1: there is none */
    bool stalled;
    ssize_t held; /* bytes that the server has not heard yet */
    char bytes[HELD_SIZE];
};

static inline int connect_to(int port)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) == 0)
        return fd;
    close(fd);
    return -1;
}

static inline bool holds(const char *bytes, ssize_t size, const char *what, size_t length)
{
    return memmem(bytes, (size_t)size, what, length) != NULL;
}

/* The prepared statement of that name, or the end of a COPY command. */
static inline bool asks_for_commit(const char *bytes, ssize_t size)
{
    return holds(bytes, size, "\0commit\0", 8) || holds(bytes, size, "; COMMIT", 8);
}

static inline bool tells_of_commit(const char *bytes, ssize_t size)
{
    return holds(bytes, size, "COMMIT\0", 7);
}

static inline bool is_made(struct line *line)
{
    line->mode = LINE_WHOLE;
    line->cuts++;
    return true;
}

/* One direction's bytes. False: the pair is to be closed. */
static inline bool pass(struct line *line, struct pair *pair, int from)
{
    ssize_t size = read(pair->fds[from], pair->bytes, sizeof pair->bytes);
    if (size <= 0)
        return false;
    bool before = from == CLIENT && asks_for_commit(pair->bytes, size);
    bool after = from == SERVER && tells_of_commit(pair->bytes, size);
    if ((before && line->mode == LINE_CUT_BEFORE_COMMIT) || (after && line->mode == LINE_CUT_AFTER_COMMIT))
        return !is_made(line);
    if ((before && line->mode == LINE_STALL_BEFORE_COMMIT) ||
        (after && line->mode == LINE_STALL_AFTER_COMMIT)) {
        pair->held = before ? size : 0;
        pair->stalled = is_made(line);
        return true;
    }
    return write(pair->fds[!from], pair->bytes, (size_t)size) == size;
}

/* The client has given up: now the server hears what was held, and answers nobody. */
static inline void let_go(struct pair *pair)
{
    if (pair->held > 0)
        (void)!write(pair->fds[SERVER], pair->bytes, (size_t)pair->held);
    pair->held = 0;
}

static inline void close_pair(struct pair *pair)
{
    close(pair->fds[CLIENT]);
    close(pair->fds[SERVER]);
    *pair = (struct pair){.fds = {-1, -1}};
}

static inline void accept_pair(struct line *line, int listener, int server_port, struct pair *pairs)
{
    int client = accept(listener, NULL, NULL), i = 0;
    while (i < LINE_PAIRS && pairs[i].fds[CLIENT] >= 0)
        i++;
    int server = i < LINE_PAIRS && line->mode != LINE_DOWN ? connect_to(server_port) : -1;
    if (server < 0) {
        close(client);
        return;
    }
    pairs[i] = (struct pair){.fds = {client, server}};
}

/* False: the pair is to be closed. */
static inline bool serve_pair(struct line *line, struct pair *pair, const struct pollfd fds[2])
{
    if (line->mode == LINE_DOWN)
        return false;
    if (pair->stalled && fds[CLIENT].revents) {
        let_go(pair);
        return false;
    }
    for (int from = 0; from < 2; from++)
        if (!pair->stalled && fds[from].revents && !pass(line, pair, from))
            return false;
    return true;
}

static inline _Noreturn void run_line(struct line *line, int listener, int server_port)
{
    static struct pair pairs[LINE_PAIRS];
    for (int i = 0; i < LINE_PAIRS; i++)
        pairs[i].fds[CLIENT] = pairs[i].fds[SERVER] = -1;
    for (;;) {
        struct pollfd fds[2 * LINE_PAIRS + 1];
        for (int i = 0; i < LINE_PAIRS; i++) {
            fds[2 * i] = (struct pollfd){.fd = pairs[i].fds[CLIENT], .events = POLLIN};
            fds[2 * i + 1] =
                (struct pollfd){.fd = pairs[i].stalled ? -1 : pairs[i].fds[SERVER], .events = POLLIN};
        }
        fds[2 * LINE_PAIRS] = (struct pollfd){.fd = listener, .events = POLLIN};
        poll(fds, 2 * LINE_PAIRS + 1, 100);
        for (int i = 0; i < LINE_PAIRS; i++)
            if (pairs[i].fds[CLIENT] >= 0 && !serve_pair(line, &pairs[i], &fds[2 * i]))
                close_pair(&pairs[i]);
        if (fds[2 * LINE_PAIRS].revents)
            accept_pair(line, listener, server_port, pairs);
    }
}

static inline int port_of_server(void)
{
    const char *address = getenv("HOMEOSTAT_TEST_STORE");
    return atoi(strrchr(address, ':') + 1);
}

/* From now on the bench's store lies at the other end of a line. */
static inline struct line *line_open(struct bench *bench)
{
    struct line *line = mmap(NULL, sizeof *line, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(line, MAP_FAILED);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listener, 16), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &length), 0);
    line->port = ntohs(address.sin_port);
    pid_t tester = getpid(), process = fork();
    if (process == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        signal(SIGPIPE, SIG_IGN);
        if (getppid() == tester)
            run_line(line, listener, port_of_server());
        _exit(3);
    }
    line->process = process; /* this memory is shared with it */
    close(listener);
    snprintf(bench->store, sizeof bench->store,
             "postgresql://homeostat:secret@127.0.0.1:%d/postgres?options=-csearch_path%%3D%%22%s%%22",
             line->port, strrchr(bench->folder, '/') + 1);
    return line;
}

static inline void line_close(struct line *line)
{
    kill(line->process, SIGKILL);
    waitpid(line->process, NULL, 0);
    munmap(line, sizeof *line);
}

#endif
