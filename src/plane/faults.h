/* The fault board: faults that were asked for and are not over.
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
    FAULTS_MAX = 1024,   /* on the board at once */
    FAULT_SILENCE_S = 5, /* after its lease a fault is taken as ended, whatever its node says */
    FAULT_LEASE_DEFAULT_S = 60,
    FAULT_LEASE_MAX_S = 3600
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
    uint32_t node;
    double intensity;
    duration lease_ns, period_ns;
};

/* NULL if the board is full. The row is in state asked. */
struct fault_row *faults_ask(struct faults *faults, const struct fault_asked *asked, instant now);
struct fault_row *faults_find(struct faults *faults, uint64_t id);

/* One that is on already, of that kind on that node, or NULL: two of a kind on one node would hide each
 * other. */
const struct fault_row *faults_same(const struct faults *faults, enum fault_kind kind, uint32_t node);

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
    duration age_ns;      /* of its start */
    double before, after; /* NaN: it does not say */
    const char *reason;   /* NULL: it does not say */
};

/* True if the row has changed and is to be stored. */
bool fault_tell(struct fault_row *row, const struct fault_told *told, instant now);

/* The next one whose node has been silent for too long after its lease, ended by this call; NULL if none. */
struct fault_row *faults_expire(struct faults *faults, instant now);

/* Takes ended and failed ones off the board; their rows must have been handed to the store. */
void faults_sweep(struct faults *faults);

#endif
