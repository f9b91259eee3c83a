/* Gaps: reports that are lost, told as ranges. A hole in the history that nobody mentions looks like a quiet
 * hour; one that is told of is known as what it is. A gap stays on the list until the control plane has made
 * it durable.
 *
 *     WAITING --sent--> SENDING --200--> ACCEPTED --stored_through--> forgotten
 *        ^                 |                |
 *        +---- failed -----+--another epoch-+
 */
#ifndef AGENT_GAPS_H
#define AGENT_GAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { GAPS_MAX = 128 };

/* spool_full: given up at a bound, of bytes, of memory or of age; damaged: could not be read back, or the
 * control plane refused it as malformed. */
enum gap_reason { GAP_SPOOL_FULL, GAP_DAMAGED, GAP_REASON_COUNT };
enum gap_state { GAP_WAITING, GAP_SENDING, GAP_ACCEPTED };

struct gap {
    uint64_t boot, from, to; /* sequences, both lost */
    enum gap_reason reason;
    enum gap_state state;
};

struct gaps {
    struct gap list[GAPS_MAX]; /* in the order they came */
    size_t count;
    uint64_t forgotten; /* at the bound */
};

const char *gap_reason_word(enum gap_reason reason);

/* Adds a gap that waits. One that touches it and waits too, of the same boot and reason, grows instead. At
 * GAPS_MAX the two oldest of one boot become one that also spans what lies between them (it then says too
 * much rather than too little); if there are no such two, the oldest is forgotten and counted. True if that
 * told something new. */
bool gaps_add(struct gaps *gaps, uint64_t boot, uint64_t from, uint64_t to, enum gap_reason reason);

void gaps_remove(struct gaps *gaps, size_t index);

/* All in one state go to another. */
void gaps_move(struct gaps *gaps, enum gap_state from, enum gap_state to);

/* The first that waits, NULL if none does; of `boot` if that is not 0. */
const struct gap *gaps_waiting(const struct gaps *gaps, uint64_t boot);

#endif
