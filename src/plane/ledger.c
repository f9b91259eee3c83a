#include "plane/ledger.h"

#include "base/check.h"

void ledger_begin(struct ledger *ledger, uint64_t boot, uint64_t ticket)
{
    *ledger = (struct ledger){.boot = boot, .way[0] = {.ticket = ticket, .lowest = 1}};
}

static void settle(struct ledger *ledger, uint64_t durable)
{
    for (int i = 0; i < 2 && ledger->way[0].ticket && ledger->way[0].ticket <= durable; i++) {
        ledger->way[0] = ledger->way[1];
        ledger->way[1] = (struct way){0};
    }
}

void ledger_take(struct ledger *ledger, uint64_t first, uint64_t last, uint64_t ticket, uint64_t durable)
{
    CHECK(first >= 1 && first <= last && ticket >= ledger->way[0].ticket && ticket >= ledger->way[1].ticket);
    settle(ledger, durable);
    struct way *way = &ledger->way[ledger->way[0].ticket && ledger->way[0].ticket < ticket];
    if (way->ticket == 0 || first < way->lowest)
        way->lowest = first;
    way->ticket = ticket;
    if (last > ledger->highest)
        ledger->highest = last;
}

uint64_t ledger_through(struct ledger *ledger, uint64_t durable)
{
    settle(ledger, durable);
    uint64_t through = ledger->highest;
    for (int i = 0; i < 2; i++)
        if (ledger->way[i].ticket && ledger->way[i].lowest - 1 < through)
            through = ledger->way[i].lowest - 1;
    return through;
}
