#include "base/heap.h"

#include "base/check.h"

#include <string.h>

/* The block: this header, `at` of every item, the tree (order[0] is the earliest), and for every item its
 * place in the tree plus one, 0 if it is not in. Slots of the tree that are not in use are 0, so that equal
 * heaps that saw equal calls are equal bytes. */
struct heap {
    uint32_t capacity;
    uint32_t count;
};

static instant *instants(struct heap *heap)
{
    return (instant *)(void *)(heap + 1);
}

static uint32_t *order(struct heap *heap)
{
    return (uint32_t *)(void *)(instants(heap) + heap->capacity);
}

static uint32_t *places(struct heap *heap)
{
    return order(heap) + heap->capacity;
}

static const instant *instants_of(const struct heap *heap)
{
    return (const instant *)(const void *)(heap + 1);
}

static const uint32_t *order_of(const struct heap *heap)
{
    return (const uint32_t *)(const void *)(instants_of(heap) + heap->capacity);
}

size_t heap_size(uint32_t capacity)
{
    return sizeof(struct heap) + (size_t)capacity * (sizeof(instant) + 2 * sizeof(uint32_t));
}

struct heap *heap_init(void *memory, uint32_t capacity)
{
    CHECK(memory != NULL);
    CHECK((uintptr_t)memory % sizeof(instant) == 0);
    CHECK(capacity < UINT32_MAX / 2); /* so that the children of a place have numbers too */
    struct heap *heap = memory;
    memset(heap, 0, heap_size(capacity));
    heap->capacity = capacity;
    for (uint32_t item = 0; item < capacity; item++)
        instants(heap)[item] = INSTANT_NEVER;
    return heap;
}

static bool is_before(struct heap *heap, uint32_t a, uint32_t b)
{
    instant a_at = instants(heap)[a], b_at = instants(heap)[b];
    return a_at != b_at ? a_at < b_at : a < b;
}

static void put(struct heap *heap, uint32_t place, uint32_t item)
{
    order(heap)[place] = item;
    places(heap)[item] = place + 1;
}

/* `place` is free: lets its ancestors sink until `item` fits, and puts it there. */
static void rise(struct heap *heap, uint32_t place, uint32_t item)
{
    while (place > 0) {
        uint32_t parent = (place - 1) / 2;
        if (!is_before(heap, item, order(heap)[parent]))
            break;
        put(heap, place, order(heap)[parent]);
        place = parent;
    }
    put(heap, place, item);
}

/* `place` is free: lets the earlier of its children rise until `item` fits, and puts it there. */
static void sink(struct heap *heap, uint32_t place, uint32_t item)
{
    for (;;) {
        uint32_t child = 2 * place + 1;
        if (child >= heap->count)
            break;
        if (child + 1 < heap->count && is_before(heap, order(heap)[child + 1], order(heap)[child]))
            child++;
        if (!is_before(heap, order(heap)[child], item))
            break;
        put(heap, place, order(heap)[child]);
        place = child;
    }
    put(heap, place, item);
}

static void settle(struct heap *heap, uint32_t place, uint32_t item)
{
    if (place > 0 && is_before(heap, item, order(heap)[(place - 1) / 2]))
        rise(heap, place, item);
    else
        sink(heap, place, item);
}

static void take_out(struct heap *heap, uint32_t item)
{
    uint32_t place = places(heap)[item] - 1;
    uint32_t last = order(heap)[--heap->count];
    order(heap)[heap->count] = 0;
    places(heap)[item] = 0;
    if (last != item)
        settle(heap, place, last);
}

void heap_set(struct heap *heap, uint32_t item, instant at)
{
    CHECK(item < heap->capacity);
    bool was_in = places(heap)[item] != 0;
    instants(heap)[item] = at;
    if (at == INSTANT_NEVER) {
        if (was_in)
            take_out(heap, item);
    } else if (was_in) {
        settle(heap, places(heap)[item] - 1, item);
    } else {
        rise(heap, heap->count++, item);
    }
}

instant heap_at(const struct heap *heap, uint32_t item)
{
    CHECK(item < heap->capacity);
    return instants_of(heap)[item];
}

instant heap_top_at(const struct heap *heap)
{
    return heap->count > 0 ? instants_of(heap)[order_of(heap)[0]] : INSTANT_NEVER;
}

uint32_t heap_top(const struct heap *heap)
{
    CHECK(heap->count > 0);
    return order_of(heap)[0];
}

bool heap_is_sound(const struct heap *heap, uint32_t capacity)
{
    if (heap->capacity != capacity || heap->count > capacity)
        return false;
    const uint32_t *tree = order_of(heap), *place = tree + capacity;
    uint32_t in = 0;
    for (uint32_t item = 0; item < capacity; item++) {
        bool is_in = place[item] != 0;
        in += is_in;
        if (is_in && (place[item] > heap->count || tree[place[item] - 1] != item))
            return false;
        if (is_in != (instants_of(heap)[item] != INSTANT_NEVER))
            return false;
    }
    return in == heap->count;
}
