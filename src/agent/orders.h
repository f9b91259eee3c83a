/* Orders: what the control plane's answer to a report tells this node to do and to be. */
#ifndef AGENT_ORDERS_H
#define AGENT_ORDERS_H

#include "base/units.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ORDERS_MAX = 16, ORDER_WORD_SIZE = 32 };

struct order {
    uint64_t id;
    uint64_t epoch;
    uint64_t boot; /* 0: any */
    double expires_in_s;
    int remedy; /* enum remedy, or -1: a word this node agent does not know */
    char word[ORDER_WORD_SIZE];
};

struct fault_order {
    uint64_t id;
    int kind; /* enum fault_kind, or -1: a word this node agent does not know */
    double intensity;
    double lease_s;
    int shape; /* enum shape, or -1: a word this node agent does not know. Of a real node always SHAPE_STEP */
    double period_s; /* of the shape; 0: it has none */
};

struct orders {
    uint64_t epoch;       /* of the control plane; 0: nothing was said */
    uint64_t stored_boot; /* 0: nothing was said */
    uint64_t stored_sequence;
    struct order commands[ORDERS_MAX];
    size_t commands_count;
    bool has_faults; /* false: the answer is silent about faults, which then stay as they are */
    struct fault_order faults[ORDERS_MAX];
    size_t faults_count;
    bool undo; /* take back what remedies left in force */
};

/* Reads the body of an answer. False if it is not one; `why` then says so. Members it does not know are
 * passed over, so that a newer control plane can talk to it. What is beyond ORDERS_MAX is not taken: it will
 * be repeated. */
bool orders_parse(const char *body, size_t length, struct orders *orders, char *why, size_t why_size);

/* Takes `age_ns` off what is left of commands and leases: an answer may have waited in the socket while this
 * process, or the machine, slept. Counted from when the question was sent it is never too long. A fault whose
 * lease is over is dropped; a command whose time is over stays, to be answered. */
void orders_age(struct orders *orders, duration age_ns);

#endif
