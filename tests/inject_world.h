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

#endif
