/* What the stories of the fault plane and of the built-in service are told with: children that die with us,
 * patience for a busy machine, and users on loopback sockets. Include after cmocka.h. */
#ifndef TESTS_INJECT_WORLD_H
#define TESTS_INJECT_WORLD_H

#include "base/units.h"

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define PATIENCE (20 * SECOND) /* for what should come at once, on a machine that is busy */

double seconds_since(int64_t began_at);
void pause_ms(int ms);

#define assert_soon(condition)                                                                               \
    do {                                                                                                     \
        int64_t patient_until = monotonic_ns() + PATIENCE;                                                   \
        while (!(condition)) {                                                                               \
            if (monotonic_ns() > patient_until)                                                              \
                fail_msg("never came true: %s", #condition);                                                 \
            pause_ms(5);                                                                                     \
        }                                                                                                    \
    } while (0)

/* Takes a sample again and again, until one is as expected. */
#define UNTIL(sample, take, condition)                                                                       \
    do {                                                                                                     \
        int64_t until_ns = monotonic_ns() + PATIENCE;                                                        \
        do {                                                                                                 \
            if (monotonic_ns() > until_ns)                                                                   \
                fail_msg("never came true: %s", #condition);                                                 \
            sample = (take);                                                                                 \
        } while (!(condition));                                                                              \
    } while (0)

/* A child that dies with us; 0 in the child. Its end: SIGCONT, the signal, and the status it ended with. */
pid_t start(void);
int end(pid_t pid, int number);

/* Zeroed memory that children share. */
void *shared_new(size_t bytes);

int listen_somewhere(uint16_t *port);
int try_connect(uint16_t port); /* -1 if refused; reads give up after PATIENCE */
int user_of(uint16_t port);     /* fails the story if refused */
void say(int fd, const char *text);
void hear(int fd, const char *expected);
bool is_over(int fd); /* waits until the other end closed, one way or the other */
bool is_silent(int fd, int ms);

/* Seconds for a word and its answer over a connection of its own. */
double round_trip(uint16_t port);

/* --- a node's link: a service, a page, and the relay --- */

struct page;

struct link {
    struct page *page;
    int page_fd, users_fd, echo_fd, service_fd;
    uint16_t users, echo, service_port;
    pid_t service, relay;
};

/* What a service does with a user, in a process of its own: says back what it hears, or talks without end. */
void answer_user(int fd);
void flood_user(int fd);

pid_t start_service(int listen_fd, void (*answer)(int fd));
pid_t start_relay(const struct link *link);
struct link *link_up(void (*answer)(int fd));

/* The relay is expected to end cleanly: under a leak checker that includes its memory. */
void link_down(struct link *link);

#endif
