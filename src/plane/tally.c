#include "plane/tally.h"

#include "base/text.h"

#include <string.h>

void tally_init(struct tally *tally)
{
    tally->count = 0;
}

/* From the newest back: what is asked for is nearly always among the last. */
static struct tally_item *find(struct tally *tally, uint64_t incident, uint8_t reason)
{
    for (uint32_t i = tally->count; i-- > 0;)
        if (tally->item[i].incident == incident && tally->item[i].reason == reason)
            return &tally->item[i];
    return NULL;
}

static struct tally_item *add(struct tally *tally, uint64_t incident, uint8_t reason, instant first_at)
{
    if (tally->count == TALLY_MAX) {
        memmove(tally->item, tally->item + TALLY_MAX / 2, sizeof(tally->item) / 2);
        tally->count = TALLY_MAX / 2;
    }
    struct tally_item *item = &tally->item[tally->count++];
    *item = (struct tally_item){
        .incident = incident, .reason = reason, .spell_at = first_at, .first_at = first_at};
    return item;
}

void tally_restore(struct tally *tally, const struct block_row *row)
{
    struct tally_item *item = add(tally, row->incident, row->reason, row->first_at);
    item->total = item->before = row->count;
    item->spell_at = INSTANT_NONE; /* what the core counts from now on is a spell of its own */
}

uint64_t tally_add(struct tally *tally, const struct incident *incident, struct block_row *row)
{
    struct tally_item *item = find(tally, incident->id, incident->block);
    if (!item)
        item = add(tally, incident->id, incident->block, incident->blocked_at);
    if (item->spell_at != incident->blocked_at) {
        item->before = item->total;
        item->spell_at = incident->blocked_at;
    }
    uint64_t old_total = item->total;
    item->total = item->before + incident->blocked_count;
    *row = (struct block_row){.incident = incident->id,
                              .node = incident->node,
                              .reason = incident->block,
                              .remedy = incident->remedy,
                              .first_at = item->first_at,
                              .last_at = incident->blocked_last_at,
                              .count = item->total};
    text_copy(row->finding, sizeof(row->finding), incident->detector_name);
    return item->total > old_total ? item->total - old_total : 0;
}
