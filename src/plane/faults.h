/* The fault board: faults that were asked for and are not over, and for a while those whose removal nobody
 * has told of yet.
 *
 *     asked --(the node says: active)--> active --(the node says: ended, or lease + 5 s passed)--> ended
 *       \--(the node says: failed)--> failed
 *
 * A node learns of its faults from every answer: what is on the board with what is left of its lease; what is
 * missing is to be ended. So a fault ends although nobody can reach the node, and a lost answer harms nobody.
 */
#ifndef PLANE_FAULTS_H
#define PLANE_FAULTS_H

#include "store/store.h"

#include <stdbool.h>

enum {
    FAULTS_MAX = 1024,    /* on the board at once */
    FAULT_SILENCE_S = 5,  /* after its lease a fault is taken as ended, whatever its node says */
    FAULT_REMOVAL_S = 30, /* so long after its end we listen for the word that its metric is back */
    FAULT_LEASE_DEFAULT_S = 60,
    FAULT_LEASE_MAX_S = 3600,
    FAULT_STALL_DEFAULT_S = 8, /* of the control plane itself, which cannot be told to go on */
    FAULT_STALL_MAX_S = 30
};

struct faults {
    struct fault_row row[FAULTS_MAX]; /* any order; first `count` */
    uint32_t count;
    uint64_t next_id;
};

void faults_init(struct faults *faults, uint64_t next_id);

/* What is asked for. Shapes and kinds are not judged here. */
struct fault_asked {
    enum fault_kind kind;
    enum shape shape;
    uint32_t node; /* NO_INDEX: the control plane itself */
    double intensity;
    duration lease_ns, period_ns;
};

/* How many more can be asked for; those that are over give way. */
uint32_t faults_room(struct faults *faults);

/* NULL if the board is full. The row is in state asked. Ids of faults that are asked for one after the other
 * follow each other. */
struct fault_row *faults_ask(struct faults *faults, const struct fault_asked *asked, instant now);
struct fault_row *faults_find(struct faults *faults, uint64_t id);

/* One that is on already, of that kind on that node, or NULL: two of a kind on one node would hide each
 * other. */
const struct fault_row *faults_same(const struct faults *faults, enum fault_kind kind, uint32_t node);

/* Any that is on, or asked for, on that node; or NULL. */
const struct fault_row *faults_on(const struct faults *faults, uint32_t node, instant now);

bool fault_is_over(const struct fault_row *row);

/* Should the node have it on now? False once it is being cleared or its lease is over. */
bool fault_is_wanted(const struct fault_row *row, instant now);

/* Taken off the node's answers; it ends when the node says so. One that no node has seen yet ends at once. */
void fault_clear(struct fault_row *row, instant now);
bool fault_is_clearing(const struct fault_row *row);

/* What a node tells of its fault. */
struct fault_told {
    uint64_t id;
    int state;            /* enum fault_state: ACTIVE, ENDED or FAILED */
    int effect;           /* enum fault_effect, or -1: it does not say */
    int removal;          /* likewise, of its end */
    duration age_ns;      /* of its start */
    double before, after; /* NaN: it does not say */
    const char *reason;   /* NULL: it does not say */
};

/* True if the row has changed and is to be stored. One that is over takes what was not known of its
 * beginning, its effect and its removal. */
bool fault_tell(struct fault_row *row, const struct fault_told *told, instant now);

/* The next one whose node has been silent for too long after its lease, ended by this call; NULL if none. */
struct fault_row *faults_expire(struct faults *faults, instant now);

/* The next one of that node that is not over, ended by this call; NULL if none. */
struct fault_row *faults_give_up(struct faults *faults, uint32_t node, const char *reason, instant now);

/* True for one that is over and whose removal may still be told of. */
bool fault_awaits_removal(const struct fault_row *row, instant now);

/* Takes those off the board that are over and of which nothing more will be told; their rows must have been
 * handed to the store. */
void faults_sweep(struct faults *faults, instant now);

#endif
