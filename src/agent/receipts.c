#include "agent/receipts.h"

#include "base/check.h"

#include <string.h>

uint64_t receipts_depart(struct receipts *receipts)
{
    return ++receipts->departures;
}

static void drop(struct receipts *receipts, size_t index)
{
    receipts->count--;
    memmove(&receipts->list[index], &receipts->list[index + 1],
            (receipts->count - index) * sizeof receipts->list[0]);
}

/* Two that adjoin are one, known since the later of both. */
static bool join_two(struct receipts *receipts)
{
    for (size_t i = 0; i + 1 < receipts->count; i++) {
        struct receipt *older = &receipts->list[i], *newer = &receipts->list[i + 1];
        if (older->gap || newer->gap || older->boot != newer->boot || older->to + 1 != newer->from)
            continue;
        older->to = newer->to;
        older->known = newer->known;
        older->departure = 0; /* the answers to both have had their say */
        drop(receipts, i + 1);
        return true;
    }
    return false;
}

static void add(struct receipts *receipts, const struct receipt *receipt)
{
    CHECK(receipts->count < RECEIPTS_MAX);
    receipts->list[receipts->count++] = *receipt;
}

bool receipts_accept(struct receipts *receipts, const struct waybill *waybill)
{
    /* What was accepted by the one before lies between and is pending again: it was not carried. */
    if (waybill->departure <= receipts->forgot && (waybill->from != waybill->to || waybill->gaps_count > 0))
        return false;
    struct receipt receipt = {.boot = waybill->boot,
                              .from = waybill->from,
                              .to = waybill->to,
                              .departure = waybill->departure,
                              .known = receipts->departures};
    while (receipts->count + 1 + BATCH_GAPS_MAX > RECEIPTS_MAX && join_two(receipts))
        ;
    if (receipts->count + 1 + BATCH_GAPS_MAX > RECEIPTS_MAX)
        receipts_forget(receipts);
    if (waybill->count > 0) {
        spool_accept(receipts->spool, waybill->boot, waybill->from, waybill->to);
        add(receipts, &receipt);
    }
    for (size_t i = 0; i < waybill->gaps_count; i++) {
        receipt.from = receipt.to = waybill->gaps_to[i];
        receipt.gap = true;
        add(receipts, &receipt);
    }
    if (waybill->gaps_count > 0)
        gaps_move(spool_gaps(receipts->spool), GAP_SENDING, GAP_ACCEPTED);
    return true;
}

/* `receipt` is durable up to `to`. True if that is all of it; then it is to be dropped. */
static bool settle(struct receipts *receipts, struct receipt *receipt, uint64_t to)
{
    to = to < receipt->to ? to : receipt->to;
    if (receipt->gap)
        spool_gap_stored(receipts->spool, receipt->boot, to);
    else
        spool_stored(receipts->spool, receipt->boot, receipt->from, to);
    receipt->from = to + 1;
    return to == receipt->to;
}

void receipts_stored(struct receipts *receipts, uint64_t departure, uint64_t boot, uint64_t through)
{
    uint64_t proof = 0; /* a request that was accepted and is durable, and all that was accepted before */
    for (size_t i = receipts->count; i-- > 0;) {
        struct receipt *receipt = &receipts->list[i];
        bool told = departure == receipt->departure || departure > receipt->known;
        if (receipt->boot != boot || receipt->from > through || !told)
            continue;
        uint64_t left = receipt->departure;
        if (!settle(receipts, receipt, through))
            continue;
        proof = left > proof ? left : proof;
        drop(receipts, i);
    }
    for (size_t i = receipts->count; i-- > 0;)
        if (receipts->list[i].known < proof && settle(receipts, &receipts->list[i], UINT64_MAX))
            drop(receipts, i);
}

void receipts_forget(struct receipts *receipts)
{
    receipts->count = 0;
    receipts->forgot = receipts->departures;
    spool_unaccept(receipts->spool);
}
