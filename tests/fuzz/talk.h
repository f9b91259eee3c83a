/* A client on the same loop as the server under test: it sends bytes, turns the loop, and takes what comes.
 */
#ifndef TESTS_FUZZ_TALK_H
#define TESTS_FUZZ_TALK_H

#include <stdbool.h>
#include <stddef.h>

struct event_base;

enum { HEARD_MAX = 256 * 1024 };

struct talk {
    struct event_base *base;
    int port;
    int fd; /* -1: not connected */
    size_t heard_bytes;
    char heard[HEARD_MAX + 1]; /* NUL-terminated; what is beyond is dropped */
    bool over;                 /* the server has closed */
};

/* Connects if need be. */
void talk_send(struct talk *talk, const char *bytes, size_t length);

/* One turn of the loop, and what there is to hear after it. `may_wait`: up to 2 ms for something to happen.
 */
void talk_turn(struct talk *talk, bool may_wait);

/* No more will be sent. */
void talk_shut(struct talk *talk);

/* Leaves with a reset, so that no port is kept busy by connections that are over. */
void talk_leave(struct talk *talk);

/* Where the first complete answer in `heard` ends, its body included; 0: it is not complete. `*status` is
 * told as soon as its headers are there, else 0. */
size_t talk_answer_end(const struct talk *talk, int *status);

#endif
