/* The queue of happenings: what happens next, in one total order.
 *
 * Happenings are ordered by instant, and at one instant by rank: samples first (by node number), then
 * everything else in the order in which it was put. Four stores hold them, so that the frequent ones cost
 * little; which store one lies in has no influence on the order:
 *
 *     samples      a calendar of buckets: each node has at most one, its next
 *     two lanes    messages that all take equally long, there and back: first in, first out
 *     a heap       everything else */
#ifndef SIM_QUEUE_H
#define SIM_QUEUE_H

#include "base/units.h"

#include <stdbool.h>
#include <stdint.h>

enum happening_kind {
    /* on their way to the control plane */
    HAPPENING_REPORT,  /* record */
    HAPPENING_BACKLOG, /* of what was sampled before `number` */
    HAPPENING_HELLO,
    HAPPENING_GOODBYE,
    HAPPENING_OUTCOME, /* of command `number` */
    /* on their way back */
    HAPPENING_ANSWER,  /* to a report or a batch: stored through `number` of `boot`; `list`: commands */
    HAPPENING_WELCOME, /* to a hello */
    HAPPENING_THANKS,  /* to the outcome of command `number` */
    /* at a node agent */
    HAPPENING_WORK_DONE,  /* command `number` */
    HAPPENING_TELL_AGAIN, /* outcomes that nobody has acknowledged */
    /* at the control plane `plane`, of its life number `generation` */
    HAPPENING_FLUSH, /* rows that nobody waits for */
    HAPPENING_COMMIT_END,
    HAPPENING_PLANE_BACK, /* after a crash */
    HAPPENING_PLANE_RESUME,
    HAPPENING_PERSON, /* says word `number` at accident `list`; node or NO_INDEX */
    /* the script; `list`: which of the scenario's */
    HAPPENING_STRIKE,
    HAPPENING_FAULT_END,
    HAPPENING_ACCIDENT,
    HAPPENING_ACCIDENT_END,
    HAPPENING_HEAL,
    HAPPENING_KIND_COUNT,
    /* not in the queue */
    HAPPENING_SAMPLE = HAPPENING_KIND_COUNT,
    HAPPENING_DEADLINE
};

struct happening {
    instant at;
    uint64_t rank; /* given by the queue */
    uint8_t kind;
    uint8_t outcome, began; /* OUTCOME; ANSWER: 1 `outcome`: this node is not known, 1 `began`: to a batch */
    uint8_t plane;
    uint32_t node;
    uint64_t boot;
    uint64_t number;
    uint64_t epoch;      /* of the control plane that answers */
    instant sent_at;     /* of the question, if it is an answer */
    instant taken_at;    /* of the newest sample that it is about */
    uint32_t list;       /* record, place of a list of commands, or place in the script */
    uint32_t generation; /* ANSWER to a batch: low half of the epoch whose receipts were left out of it */
};

struct queue;

/* `interval_ns`: a usual time between a node's samples. NULL without memory. */
struct queue *queue_new(uint32_t nodes, duration interval_ns);
void queue_free(struct queue **queue);

enum lane { LANE_THERE, LANE_BACK, LANE_NONE };

/* Gives it its rank. With a lane other than LANE_NONE it must not be earlier than the one put there before;
 * if it is, it goes to the heap. False if there is no memory for more. */
bool queue_put(struct queue *queue, enum lane lane, struct happening *happening);

void queue_sample(struct queue *queue, uint32_t node,
                  instant at); /* moves its next one; INSTANT_NEVER: none */

/* Hints for the processor's caches, with no influence on anything: a node whose sample is a few happenings
 * away, another one with each call, and the message that is so many places behind the first of a lane.
 * QUEUE_NOBODY and NULL: nothing known. */
#define QUEUE_NOBODY UINT32_MAX
uint32_t queue_ahead(struct queue *queue);
const struct happening *queue_lane_ahead(const struct queue *queue, enum lane lane, uint32_t places);

instant queue_at(struct queue *queue); /* of the next happening; INSTANT_NEVER if there is none */

/* Takes the next one: true and *out, or false: it is a sample of node *node. Only if there is one. */
bool queue_take(struct queue *queue, struct happening *out, uint32_t *node);

#endif
