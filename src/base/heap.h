/* A priority queue of deadlines over a fixed set of items, each of which is in it at most once.
 *
 * Items are the numbers 0 .. capacity-1. The earliest instant is on top; equal instants go by item number, so
 * the order never depends on the order of insertion. All memory is the caller's, one block, without pointers
 * inside, so that it can be copied and digested. Every call is O(log n) or better. */
#ifndef BASE_HEAP_H
#define BASE_HEAP_H

#include "base/units.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct heap; /* lives at the start of the caller's block */

size_t heap_size(uint32_t capacity);                         /* bytes of the block, a multiple of 8 */
struct heap *heap_init(void *memory, uint32_t capacity);     /* `memory` is 8-byte aligned */
void heap_set(struct heap *heap, uint32_t item, instant at); /* insert or move; INSTANT_NEVER takes it out */
instant heap_at(const struct heap *heap, uint32_t item);     /* INSTANT_NEVER if it is not in */
instant heap_top_at(const struct heap *heap);                /* INSTANT_NEVER if empty */
uint32_t heap_top(const struct heap *heap);                  /* only when not empty */

/* The bytes come from a copy: could they be a heap of this capacity? */
bool heap_is_sound(const struct heap *heap, uint32_t capacity);

#endif
