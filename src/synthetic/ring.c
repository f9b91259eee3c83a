/* Reports that are not durable yet, the oldest first. */
#include "synthetic/state.h"

#include <stdlib.h>
#include <string.h>

void ring_free(struct ring *ring)
{
    free(ring->records);
    free(ring->losses);
    *ring = (struct ring){0};
}

struct record *ring_at(struct ring *ring, uint32_t place)
{
    CHECK(place < ring->count);
    return &ring->records[(ring->first + place) % ring->room];
}

/* One that was accepted has most probably come to rest: that is told only if its control plane is gone. */
static void lose(struct ring *ring, const struct record *record, bool damaged)
{
    enum loss_state state = record->state == RECORD_ACCEPTED ? LOSS_ACCEPTED : LOSS_WAITING;
    if (!ring->losses)
        ring->losses = calloc(1, sizeof *ring->losses);
    struct losses *losses = ring->losses;
    if (!losses)
        return;
    if (state == LOSS_ACCEPTED && losses->known < record->known)
        losses->known = record->known;
    struct loss *last = losses->count > 0 ? &losses->list[losses->count - 1] : NULL;
    bool goes_on = last && last->boot == record->boot && last->state == state && last->damaged == damaged &&
                   last->to + 1 == record->sequence;
    if (goes_on ||
        (losses->count == LOSSES_MAX && last->boot == record->boot && last->to < record->sequence)) {
        last->to = record->sequence;
        last->state = (uint8_t)(goes_on ? state : LOSS_WAITING);
        return;
    }
    if (losses->count == LOSSES_MAX)
        memmove(&losses->list[0], &losses->list[1], --losses->count * sizeof losses->list[0]);
    losses->list[losses->count++] = (struct loss){.boot = record->boot,
                                                  .from = record->sequence,
                                                  .to = record->sequence,
                                                  .state = (uint8_t)state,
                                                  .damaged = damaged};
}

static const struct loss *loss_waiting(const struct losses *losses)
{
    for (uint32_t i = 0; losses && i < losses->count; i++)
        if (losses->list[i].state == LOSS_WAITING)
            return &losses->list[i];
    return NULL;
}

static void losses_move(struct losses *losses, enum loss_state from, enum loss_state to)
{
    for (uint32_t i = 0; losses && i < losses->count; i++)
        if (losses->list[i].state == from)
            losses->list[i].state = (uint8_t)to;
}

static void losses_forget_accepted(struct losses *losses)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < losses->count; i++)
        if (losses->list[i].state != LOSS_ACCEPTED)
            losses->list[kept++] = losses->list[i];
    losses->count = kept;
}

static void drop_first(struct ring *ring)
{
    ring->first = (ring->first + 1) % ring->room;
    ring->count--;
}

/* Twice as much room, up to RING_MAX. False at the bound, or without memory. */
static bool grow(struct ring *ring)
{
    uint32_t room = ring->room ? 2 * ring->room : 4;
    struct record *records = room <= RING_MAX ? calloc(room, sizeof *records) : NULL;
    if (!records)
        return false;
    for (uint32_t i = 0; i < ring->count; i++)
        records[i] = *ring_at(ring, i);
    free(ring->records);
    ring->records = records;
    ring->first = 0;
    ring->room = room;
    return true;
}

struct record *ring_put(struct ring *ring)
{
    if (ring->count == ring->room && !grow(ring)) {
        CHECK(ring->room > 0);
        lose(ring, ring_at(ring, 0), false);
        drop_first(ring);
    }
    ring->count++;
    struct record *record = ring_at(ring, ring->count - 1);
    memset(record, 0, sizeof *record);
    return record;
}

bool ring_has_backlog(const struct ring *ring, const struct record *newest)
{
    for (uint32_t i = 0; i < ring->count; i++) {
        const struct record *record = &ring->records[(ring->first + i) % ring->room];
        if (record->state == RECORD_PENDING && record != newest)
            return true;
    }
    return loss_waiting(ring->losses) != NULL;
}

void ring_load_one(struct ring *ring, struct record *record, struct freight *freight)
{
    *freight = (struct freight){.boot = record->boot,
                                .from = record->sequence,
                                .to = record->sequence,
                                .departure = ++ring->departures,
                                .count = 1};
    record->state = RECORD_FLYING;
    record->departure = freight->departure;
}

void ring_load(struct ring *ring, const struct record *newest, struct freight *freight)
{
    const struct loss *loss = loss_waiting(ring->losses);
    *freight = (struct freight){.boot = loss ? loss->boot : 0, .departure = ++ring->departures};
    for (uint32_t i = 0; i < ring->count && freight->count < BATCH_MAX; i++) {
        struct record *record = ring_at(ring, i);
        if (record->state != RECORD_PENDING || record == newest)
            continue;
        if (freight->boot == 0)
            freight->boot = record->boot;
        if (record->boot != freight->boot)
            continue;
        freight->from = freight->count == 0 ? record->sequence : freight->from;
        freight->to = record->sequence;
        freight->count++;
        record->state = RECORD_FLYING;
        record->departure = freight->departure;
    }
    freight->losses = loss != NULL;
}

static bool is_in(const struct freight *freight, const struct record *record)
{
    return record->state == RECORD_FLYING && record->departure == freight->departure;
}

void ring_accept(struct ring *ring, const struct freight *freight)
{
    for (uint32_t i = 0; i < ring->count; i++) {
        struct record *record = ring_at(ring, i);
        if (!is_in(freight, record))
            continue;
        record->state = RECORD_ACCEPTED;
        record->known = ring->departures;
    }
    if (freight->losses) {
        losses_move(ring->losses, LOSS_SENDING, LOSS_ACCEPTED);
        ring->losses->known = ring->departures;
    }
}

void ring_fail(struct ring *ring, const struct freight *freight)
{
    for (uint32_t i = 0; i < ring->count; i++)
        if (is_in(freight, ring_at(ring, i)))
            ring_at(ring, i)->state = RECORD_PENDING;
    if (freight->losses)
        losses_move(ring->losses, LOSS_SENDING, LOSS_WAITING);
}

static void take_out(struct ring *ring, uint32_t place)
{
    for (uint32_t i = place; i > 0; i--)
        *ring_at(ring, i) = *ring_at(ring, i - 1);
    drop_first(ring);
}

void ring_give_up(struct ring *ring, const struct freight *freight)
{
    for (uint32_t i = 0; i < ring->count;) {
        if (!is_in(freight, ring_at(ring, i))) {
            i++;
            continue;
        }
        lose(ring, ring_at(ring, i), true);
        take_out(ring, i);
    }
    if (freight->losses)
        losses_move(ring->losses, LOSS_SENDING, LOSS_ACCEPTED); /* they may be what could not be read */
}

/* `stored_through` of an answer speaks of what had been accepted when it was written, and answers overtake
 * each other. So it counts for what that message itself brought, and for what was known to be accepted before
 * it left. Things become durable in the order in which they were accepted: what was known when a durable
 * report left is durable too, of whatever boot (agent/receipts.h has the same rule). */
void ring_stored(struct ring *ring, uint32_t departure, uint64_t boot, uint64_t through)
{
    uint32_t proof = 0;
    for (uint32_t i = 0; i < ring->count; i++) {
        const struct record *record = ring_at(ring, i);
        bool counts = record->state == RECORD_ACCEPTED && record->boot == boot &&
                      record->sequence <= through &&
                      (record->departure == departure || record->known < departure);
        if (counts && record->departure > proof)
            proof = record->departure;
    }
    for (uint32_t i = 0; i < ring->count;) {
        const struct record *record = ring_at(ring, i);
        bool counts = record->boot == boot && record->sequence <= through &&
                      (record->departure == departure || record->known < departure);
        if (record->state == RECORD_ACCEPTED && (counts || record->known < proof))
            take_out(ring, i);
        else
            i++;
    }
    if (ring->losses && ring->losses->known < proof)
        losses_forget_accepted(ring->losses);
}

void ring_unaccept(struct ring *ring)
{
    for (uint32_t i = 0; i < ring->count; i++)
        if (ring_at(ring, i)->state == RECORD_ACCEPTED)
            ring_at(ring, i)->state = RECORD_PENDING;
    losses_move(ring->losses, LOSS_ACCEPTED, LOSS_WAITING);
}
