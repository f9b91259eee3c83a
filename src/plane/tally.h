/* The tally: how often each incident was stopped by each reason, over its whole life.
 *
 * The core counts one spell of a reason; when the same reason comes back after another one, it counts anew.
 * The database has one row per incident and reason with first, last and count over all spells: they are added
 * up here. */
#ifndef PLANE_TALLY_H
#define PLANE_TALLY_H

#include "store/store.h"

enum {
    TALLY_MAX = 8192
}; /* pairs remembered; beyond that the oldest half is forgotten, and counts begin anew */

struct tally {
    struct tally_item {
        uint64_t incident;
        uint8_t reason;
        instant spell_at; /* when the present spell began */
        instant first_at; /* when the first one did */
        uint64_t before;  /* counted in earlier spells */
        uint64_t total;
    } item[TALLY_MAX];
    uint32_t count;
};

void tally_init(struct tally *tally);
void tally_restore(struct tally *tally, const struct block_row *row);

/* Takes a BLOCKED effect's incident. Fills the row to be stored; returns by how much its count has risen. */
uint64_t tally_add(struct tally *tally, const struct incident *incident, struct block_row *row);

#endif
