#include "agent/piece.h"

#include "base/check.h"

#include <string.h>

static bool bit(const uint64_t *words, uint64_t index)
{
    return words[index / 64] >> index % 64 & 1;
}

bool piece_takes(const struct piece *piece, uint64_t sequence)
{
    return sequence >= piece->next && sequence - piece->first < PIECE_SPAN;
}

void piece_add(struct piece *piece, uint64_t sequence)
{
    CHECK(piece_takes(piece, sequence));
    uint64_t index = sequence - piece->first;
    piece->owed[index / 64] |= 1ull << index % 64;
    piece->next = sequence + 1;
}

/* The bits of word `word` that stand for sequences from `from` to `to`. */
static uint64_t mask_of(const struct piece *piece, size_t word, uint64_t from, uint64_t to)
{
    uint64_t lowest = piece->first + word * 64, highest = lowest + 63;
    if (from > highest || to < lowest || from > to)
        return 0;
    uint64_t mask = ~0ull;
    if (from > lowest)
        mask <<= from - lowest;
    if (to < highest)
        mask &= ~0ull >> (highest - to);
    return mask;
}

void piece_accept(struct piece *piece, uint64_t from, uint64_t to)
{
    for (size_t word = 0; word < PIECE_WORDS; word++)
        piece->accepted[word] |= piece->owed[word] & mask_of(piece, word, from, to);
}

void piece_stored(struct piece *piece, uint64_t from, uint64_t to)
{
    for (size_t word = 0; word < PIECE_WORDS; word++) {
        uint64_t stored = piece->accepted[word] & mask_of(piece, word, from, to);
        piece->owed[word] &= ~stored;
        piece->accepted[word] &= ~stored;
    }
}

void piece_settle(struct piece *piece, uint64_t from, uint64_t to)
{
    piece_accept(piece, from, to);
    piece_stored(piece, from, to);
}

void piece_unaccept(struct piece *piece)
{
    memset(piece->accepted, 0, sizeof piece->accepted);
}

bool piece_is_pending(const struct piece *piece, uint64_t sequence)
{
    uint64_t index = sequence - piece->first;
    return sequence >= piece->first && sequence < piece->next && bit(piece->owed, index) &&
           !bit(piece->accepted, index);
}

size_t piece_pending(const struct piece *piece, uint64_t below)
{
    size_t count = 0;
    if (below == 0)
        return 0;
    for (size_t word = 0; word < PIECE_WORDS; word++)
        count += (size_t)__builtin_popcountll(piece->owed[word] & ~piece->accepted[word] &
                                              mask_of(piece, word, 0, below - 1));
    return count;
}

size_t piece_owed(const struct piece *piece, uint64_t *from, uint64_t *to)
{
    size_t count = 0;
    for (size_t word = 0; word < PIECE_WORDS; word++) {
        uint64_t bits = piece->owed[word];
        if (bits == 0)
            continue;
        uint64_t lowest = piece->first + word * 64;
        if (count == 0)
            *from = lowest + (uint64_t)__builtin_ctzll(bits);
        *to = lowest + 63 - (uint64_t)__builtin_clzll(bits);
        count += (size_t)__builtin_popcountll(bits);
    }
    return count;
}
