/* Which reports of a boot the control plane has accepted, and up to where they are durable. */
#include "sim/state.h"

#include <stdlib.h>
#include <string.h>

static void shift(struct ledger *ledger, uint64_t by)
{
    uint64_t words = by / 64, bits = by % 64;
    for (uint64_t i = 0; i < LEDGER_WORDS; i++) {
        uint64_t from = i + words;
        uint64_t low = from < LEDGER_WORDS ? ledger->beyond[from] : 0;
        uint64_t high = from + 1 < LEDGER_WORDS ? ledger->beyond[from + 1] : 0;
        ledger->beyond[i] = bits ? low >> bits | high << (64 - bits) : low;
    }
}

/* `through` moves over what is accepted beyond it. */
static void advance(struct ledger *ledger, uint64_t by)
{
    ledger->through += by;
    shift(ledger, by);
    while (ledger->beyond[0] & 1) {
        uint64_t run = ~ledger->beyond[0] ? (uint64_t)__builtin_ctzll(~ledger->beyond[0]) : 64;
        ledger->through += run;
        shift(ledger, run);
    }
}

/* Of batches under way the older one is kept until it is durable, so that a fast node's reports do not push
 * each other out for ever. */
static void promote(struct ledger *ledger, uint64_t durable)
{
    for (int i = 0; i < 2 && ledger->way[0].batch != 0 && ledger->way[0].batch <= durable; i++) {
        ledger->stored = ledger->way[0].through;
        ledger->way[0] = ledger->way[1];
        memset(&ledger->way[1], 0, sizeof ledger->way[1]);
    }
}

/* Everything below `lost_below` is either durable already or lost for good: its node agent says so. */
void reports_accept(struct ledger *ledger, uint64_t sequence, uint64_t lost_below, uint64_t batch,
                    uint64_t durable)
{
    if (lost_below > ledger->through + 1)
        advance(ledger, lost_below - 1 - ledger->through);
    uint64_t place = sequence - ledger->through - 1;
    if (sequence == ledger->through + 1)
        advance(ledger, 1);
    else if (sequence > ledger->through && place < SPOOL_MAX)
        ledger->beyond[place / 64] |= (uint64_t)1 << place % 64;
    promote(ledger, durable);
    int newest = ledger->way[0].batch == 0 || ledger->way[0].batch == batch ? 0 : 1;
    ledger->way[newest].through = ledger->through;
    ledger->way[newest].batch = batch;
}

uint64_t reports_stored(struct ledger *ledger, uint64_t durable)
{
    promote(ledger, durable);
    return ledger->stored;
}

static struct ledger *past_of(struct plane_node *node)
{
    if (!node->past) {
        node->past = calloc(1, sizeof *node->past);
        CHECK(node->past);
    }
    return node->past;
}

struct ledger *reports_of(struct plane_node *node, uint64_t boot)
{
    struct ledger *ledger = boot == node->boot ? &node->ledger : past_of(node);
    if (ledger->boot != boot) {
        memset(ledger, 0, sizeof *ledger);
        ledger->boot = boot;
    }
    return ledger;
}

void reports_boot(struct plane_node *node, uint64_t boot)
{
    if (node->boot != 0)
        *past_of(node) = node->ledger;
    node->boot = boot;
}
