/* A ledger: which reports of one boot this epoch has accepted, and how far they are durable.
 *
 * Reports come in any order: the newest first, and what a node agent had put by while nobody listened after
 * it. A batch of rows may wait for the disk while later ones are being filled. So a ledger keeps the highest
 * sequence number that was accepted, and of what is still under way the lowest: two ways are enough, the
 * older one until its batch is durable, the newer one for all that came after.
 *
 *     accepted 7, 8, 9 (batch 1)  then 2, 3 (batch 2)     batch 1 durable: through 1   both durable: through
 * 9
 *
 * It errs on the safe side: what it calls durable is. */
#ifndef PLANE_LEDGER_H
#define PLANE_LEDGER_H

#include <stdint.h>

struct ledger {
    uint64_t boot;    /* 0: nobody's */
    uint64_t highest; /* accepted */
    struct way {
        uint64_t ticket; /* of the newest batch in it; 0: nothing is under way */
        uint64_t lowest;
    } way[2]; /* the older one first */
};

/* An empty one. Reports of this boot that a forgotten ledger had accepted went along with `ticket` at the
 * latest, so nothing is called durable before that is. */
void ledger_begin(struct ledger *ledger, uint64_t boot, uint64_t ticket);

/* first..last (from 1) are accepted, and under way with `ticket`, which never falls. */
void ledger_take(struct ledger *ledger, uint64_t first, uint64_t last, uint64_t ticket, uint64_t durable);

/* Every report accepted since the begin with this sequence number or a lower one is durable, if the batches
 * up to `durable` are. It may fall again when a backlog arrives. */
uint64_t ledger_through(struct ledger *ledger, uint64_t durable);

#endif
