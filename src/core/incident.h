/* An incident: one trouble of one node, from the first finding to its close.
 *
 *             finding cleared by itself
 *        +--------------------------------------------+
 *        |            +-------------------------------|-----------+
 *        |            |     not begun / failed        v           |
 *   --> OPEN <--> PLANNED ---> ACTING ---> VERIFYING ---> RESOLVED -+
 *        |            ^  ^        |            |  |          ^      | the same finding again, too soon:
 *        |            |  +--------+            |  |          |      | it did not help after all
 *        |            +------------------------+  |          |      v
 *        |               ineffective: next rung   v          |     OPEN
 *        +----------------------------------> ESCALATED -----+
 *             nothing left to try, harmed,    (a person has it)
 *             no evidence, attempts used up; back to PLANNED when he says: do it all the same
 *
 * The legal edges are INCIDENT_EDGE_TABLE; incident_move() is the only door. */
#ifndef CORE_INCIDENT_H
#define CORE_INCIDENT_H

#include "base/units.h"
#include "core/policy.h"

#define NO_INDEX UINT32_MAX

/* One comparison of the detector, with what was seen. */
struct evidence {
    double before; /* when the finding fired; NaN if there was no such sample */
    double after;  /* the newest sample that verification has seen; NaN until then */
    struct condition condition;
};

/* Everything that is known of an incident, flat: the core's own record, what a record effect carries, what
 * the store keeps, and what a restore event brings back. Instants not reached yet are INSTANT_NONE. */
struct incident {
    uint64_t id;            /* 1, 2, 3 ... over the life of the database */
    uint64_t command;       /* id of the newest command, 0 if there was none */
    instant began_at;       /* the first sample of the finding */
    instant opened_at;      /* the finding fired */
    instant planned_at;     /* the newest plan */
    instant acted_at;       /* the newest command was ordered */
    instant answer_by;      /* without an outcome by then it is unknown */
    instant ended_at;       /* the newest command ended */
    instant verify_from;    /* samples taken before count for nothing */
    instant verify_by;      /* the verdict is due */
    instant healthy_since;  /* first of the unbroken run of clear samples, INSTANT_NONE if broken */
    instant closed_at;      /* resolved or escalated */
    instant hold_until;     /* a callee could explain it until then */
    instant planner_by;     /* the planner may propose until then */
    instant approved_until; /* a person's approval of the present plan is good until then */
    instant blocked_at;     /* first evaluation that met `block` */
    instant blocked_last_at;
    struct evidence evidence[CONDITION_MAX];
    char detector_name[DETECTOR_NAME_SIZE];
    uint32_t node;
    uint32_t detector;      /* slot in the policy; NO_INDEX once the policy has lost it */
    uint32_t fresh_samples; /* seen since verify_from */
    uint32_t attempts;      /* commands ordered so far */
    uint32_t reopened;      /* times */
    uint32_t plan;          /* plans made so far: the number of the present one */
    uint32_t blocked_count; /* evaluations that met `block` since blocked_at */
    uint8_t evidence_count;
    uint8_t state;        /* enum incident_state */
    uint8_t severity;     /* enum severity */
    uint8_t rung;         /* of the ladder, 0-based; the one being tried, or next to be */
    uint8_t remedy;       /* enum remedy of the newest plan, or REMEDY_NONE */
    uint8_t outcome;      /* enum outcome of the newest command */
    uint8_t verdict;      /* enum verdict of the newest command */
    uint8_t block;        /* enum block_reason: what stops it now */
    uint8_t why;          /* enum why of the newest move */
    uint8_t proposed;     /* 1: the plan came from a planner */
    uint8_t approved;     /* 1: a person approved the present plan */
    uint8_t acknowledged; /* 1: a person has seen it */
    uint8_t explained;    /* 1: something else explains it: not an illness of its own */
    uint8_t local_cause;  /* 1: its detector sees an illness of the node itself */
    uint8_t reserved[6];
};

/* Moves `incident` to `state` if the edge is legal; an illegal edge is a broken invariant. */
void incident_move(struct incident *incident, enum incident_state state, enum why why);
bool incident_edge_is_legal(enum incident_state from, enum incident_state to);

/* Neither resolved nor escalated: the machine still has it. */
bool incident_is_active(const struct incident *incident);

#endif
