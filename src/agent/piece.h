/* A piece: what the spool remembers of one of its segments without reading it, one kilobyte: which of its
 * reports are still owed to the control plane, and which of those it has accepted and not yet made durable.
 *
 *     owed, not accepted: pending --200--> accepted --stored_through--> not owed
 *                            ^                |
 *                            +- another epoch-+
 */
#ifndef AGENT_PIECE_H
#define AGENT_PIECE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PIECE_SPAN = 4096, PIECE_WORDS = PIECE_SPAN / 64 }; /* sequences that one segment can hold */

struct piece {
    uint64_t number; /* in the file's name */
    uint64_t boot;
    uint64_t first, next; /* the sequences in it lie in [first, next) */
    size_t bytes;         /* of the file */
    uint64_t floor_told;  /* as written to disk for this boot; 0: not yet */
    bool same_machine;    /* its uptimes count from the same boot of the machine as ours */
    int64_t wall_less_uptime_ns;
    uint64_t owed[PIECE_WORDS], accepted[PIECE_WORDS]; /* bit: sequence - first */
};

/* False if `sequence` cannot be in it: not above what it has, or beyond PIECE_SPAN. */
bool piece_takes(const struct piece *piece, uint64_t sequence);
void piece_add(struct piece *piece, uint64_t sequence); /* that it takes: owed from now on */

/* The reports from `from` to `to`, both included; those it does not have are passed over. */
void piece_accept(struct piece *piece, uint64_t from, uint64_t to); /* of those owed */
void piece_stored(struct piece *piece, uint64_t from, uint64_t to); /* of those accepted: not owed any more */
void piece_settle(struct piece *piece, uint64_t from, uint64_t to); /* accepted or not: not owed any more */
void piece_unaccept(struct piece *piece);

bool piece_is_pending(const struct piece *piece, uint64_t sequence);

/* Pending ones below `below`. */
size_t piece_pending(const struct piece *piece, uint64_t below);

/* Returns how many are owed, and between which sequences they lie (both included) if there are any. */
size_t piece_owed(const struct piece *piece, uint64_t *from, uint64_t *to);

#endif
