/* Receipts: what the control plane has accepted, until it says that it is durable. They decide when a report
 * may be forgotten.
 *
 * `stored_through` of an answer speaks of what had been accepted when the answer was written, and two answers
 * may overtake each other on their way. So it counts for a report only if the answer is the one that accepted
 * it, or the answer to a request that left after that acceptance was known. And it counts within one epoch of
 * the control plane: what an earlier one accepted may have gone with it.
 *
 * `stored_through` speaks of one boot, and after the last batch of an older boot no answer speaks of that
 * boot again. But things become durable in the order in which they were accepted: once a report is durable
 * that left after a receipt was known, what that receipt is for is durable too. */
#ifndef AGENT_RECEIPTS_H
#define AGENT_RECEIPTS_H

#include "agent/spool.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RECEIPTS_MAX = 64 };

/* What one request carries: all reports of a boot between two sequences that were pending when it left. */
struct waybill {
    uint64_t departure; /* the number of the request, rising */
    int64_t sent_ns;    /* uptime */
    uint64_t boot, from, to;
    size_t count;                     /* reports; 0: `from` and `to` say nothing */
    uint64_t gaps_to[BATCH_GAPS_MAX]; /* each gap's `to`, of `boot` too */
    size_t gaps_count;
};

struct receipt {
    uint64_t boot, from, to;
    uint64_t departure; /* of the request that carried them */
    uint64_t known;     /* the newest departure when its answer came */
    bool gap;
};

struct receipts {
    struct spool *spool;
    uint64_t departures;
    uint64_t forgot;                   /* the newest departure when they were last forgotten */
    struct receipt list[RECEIPTS_MAX]; /* the oldest first */
    size_t count;
};

/* The number for a request that leaves now. */
uint64_t receipts_depart(struct receipts *receipts);

/* It was accepted; false if that is not to be relied upon, since it left before another epoch was met and
 * carried more than one report: then it is to be sent again. At RECEIPTS_MAX the two oldest that adjoin each
 * other become one; if there are no such two, all accepted reports are sent again. */
bool receipts_accept(struct receipts *receipts, const struct waybill *waybill);

/* The answer to the request `departure` says that of `boot` all up to `through` is durable. */
void receipts_stored(struct receipts *receipts, uint64_t departure, uint64_t boot, uint64_t through);

/* Another control plane, or the same anew: what was accepted is to be sent again. */
void receipts_forget(struct receipts *receipts);

#endif
