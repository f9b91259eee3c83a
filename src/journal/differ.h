/* Two policies on one journal: a second core gets the same events, but this policy instead of each that was
 * recorded; the first decision that one takes and the other does not is kept, with what led to it. From there
 * on the world would have gone another way, so nothing after it is compared.
 *
 * Decisions are moves of incidents, orders, new reasons not to act, questions to a planner, and the breaker.
 * What happens at one instant is compared as a whole: two policies may come to the same in another order. */
#ifndef JOURNAL_DIFFER_H
#define JOURNAL_DIFFER_H

#include "journal/replay.h"

struct differ;

struct difference {
    instant at;
    uint32_t node; /* NO_INDEX: the fleet */
    char node_name[NODE_NAME_SIZE];
    bool has_a, has_b;             /* that side decides something here */
    struct effect a, b;            /* what */
    char a_says[512], b_says[512]; /* in the words of the trace; "" if it decides nothing */
    bool has_report;
    instant reported_at;
    struct report report;                   /* the newest of the node */
    struct policy a_policy, b_policy;       /* in force then */
    char detector_name[DETECTOR_NAME_SIZE]; /* that it is about; "" if there is none */
};

struct differ *differ_new(const struct policy *instead); /* copied; NULL without memory */
void differ_free(struct differ **differ);

struct replay_watch differ_watch(struct differ *differ);

/* After the last event. NULL if no decision differs. */
const struct difference *differ_end(struct differ *differ);

/* With this policy the core does not come to rest at one instant: what came after was not compared. */
bool differ_gave_up(const struct differ *differ);

#endif
