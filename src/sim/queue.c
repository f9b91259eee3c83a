#include "sim/queue.h"

#include "base/check.h"

#include <stdlib.h>
#include <string.h>

#define NOBODY QUEUE_NOBODY

enum { BUCKETS = 1024, SHARE = 8 /* samples that a bucket should hold */, FEW = 64 };

struct ring {
    struct happening *list;
    uint32_t first, count, room; /* room: a power of two */
};

struct today { /* samples of the bucket that is being worked off, the earliest last */
    instant at;
    uint32_t node;
};

struct calendar {
    instant *at;    /* by node; INSTANT_NEVER: none */
    uint32_t *next; /* in its bucket */
    uint32_t bucket[BUCKETS];
    struct today *today;
    uint32_t today_count, count, nodes;
    uint32_t ahead; /* place in the chain of the bucket after it */
    int shift;
    int64_t number; /* of the bucket that is being worked off */
};

struct queue {
    struct calendar calendar;
    struct ring lane[2];
    struct happening *heap;
    uint32_t heap_count, heap_room;
    uint64_t rank; /* given last */
};

/* --- the calendar --------------------------------------------------------------------------------------- */

static bool is_later(const struct today *a, const struct today *b)
{
    return a->at != b->at ? a->at > b->at : a->node > b->node;
}

static void today_insert(struct calendar *calendar, uint32_t node, instant at)
{
    struct today item = {.at = at, .node = node};
    uint32_t i = calendar->today_count++;
    for (; i > 0 && is_later(&item, &calendar->today[i - 1]); i--)
        calendar->today[i] = calendar->today[i - 1];
    calendar->today[i] = item;
}

static void bucket_insert(struct calendar *calendar, uint32_t node, instant at)
{
    uint32_t b = (uint32_t)((at >> calendar->shift) & (BUCKETS - 1));
    calendar->next[node] = calendar->bucket[b];
    calendar->bucket[b] = node;
}

static void calendar_remove(struct calendar *calendar, uint32_t node)
{
    instant at = calendar->at[node];
    calendar->count--;
    calendar->at[node] = INSTANT_NEVER;
    for (uint32_t i = 0; i < calendar->today_count; i++) {
        if (calendar->today[i].node == node) {
            calendar->today_count--;
            memmove(&calendar->today[i], &calendar->today[i + 1],
                    (calendar->today_count - i) * sizeof calendar->today[0]);
            return;
        }
    }
    uint32_t *link = &calendar->bucket[(at >> calendar->shift) & (BUCKETS - 1)];
    while (*link != node)
        link = &calendar->next[*link];
    *link = calendar->next[node];
}

static int by_time(const void *x, const void *y)
{
    const struct today *a = x, *b = y;
    return is_later(a, b) ? -1 : is_later(b, a) ? 1 : 0;
}

/* The samples of the next bucket that has any, in order. Buckets are shared by days: those of a later one
 * stay. Few at a time are put in their places one by one; many, as when all report at one instant, are
 * sorted. */
static void turn_page(struct calendar *calendar)
{
    while (calendar->today_count == 0) {
        uint32_t *link = &calendar->bucket[++calendar->number & (BUCKETS - 1)];
        while (*link != NOBODY) {
            uint32_t node = *link;
            if (calendar->at[node] >> calendar->shift != calendar->number) {
                link = &calendar->next[node];
                continue;
            }
            *link = calendar->next[node];
            if (calendar->today_count < FEW)
                today_insert(calendar, node, calendar->at[node]);
            else
                calendar->today[calendar->today_count++] =
                    (struct today){.at = calendar->at[node], .node = node};
        }
    }
    calendar->ahead = calendar->bucket[(calendar->number + 1) & (BUCKETS - 1)];
    if (calendar->today_count > FEW)
        qsort(calendar->today, calendar->today_count, sizeof calendar->today[0], by_time);
}

static instant calendar_at(struct calendar *calendar)
{
    if (calendar->count == 0)
        return INSTANT_NEVER;
    if (calendar->today_count == 0)
        turn_page(calendar);
    return calendar->today[calendar->today_count - 1].at;
}

void queue_sample(struct queue *queue, uint32_t node, instant at)
{
    struct calendar *calendar = &queue->calendar;
    CHECK(node < calendar->nodes);
    if (calendar->at[node] != INSTANT_NEVER)
        calendar_remove(calendar, node);
    calendar->at[node] = at;
    if (at == INSTANT_NEVER)
        return;
    CHECK(at >= 0);
    /* A page may have been turned ahead of time, to look what comes next. */
    if (calendar->count++ == 0)
        calendar->number = (at >> calendar->shift) - 1;
    if (at >> calendar->shift <= calendar->number)
        today_insert(calendar, node, at);
    else
        bucket_insert(calendar, node, at);
}

uint32_t queue_ahead(struct queue *queue)
{
    struct calendar *calendar = &queue->calendar;
    uint32_t node = calendar->ahead;
    if (node != NOBODY)
        calendar->ahead = calendar->next[node];
    return node;
}

/* --- lanes and heap ------------------------------------------------------------------------------------- */

static bool ring_put(struct ring *ring, const struct happening *happening)
{
    if (ring->count == ring->room) {
        uint32_t room = ring->room > 0 ? 2 * ring->room : 256;
        struct happening *grown = malloc(room * sizeof *grown);
        if (!grown)
            return false;
        for (uint32_t i = 0; i < ring->count; i++)
            grown[i] = ring->list[(ring->first + i) & (ring->room - 1)];
        free(ring->list);
        ring->list = grown;
        ring->first = 0;
        ring->room = room;
    }
    ring->list[(ring->first + ring->count++) & (ring->room - 1)] = *happening;
    return true;
}

static bool is_before(const struct happening *a, const struct happening *b)
{
    return a->at != b->at ? a->at < b->at : a->rank < b->rank;
}

static bool heap_put(struct queue *queue, const struct happening *happening)
{
    if (queue->heap_count == queue->heap_room) {
        uint32_t room = queue->heap_room > 0 ? 2 * queue->heap_room : 256;
        struct happening *grown = realloc(queue->heap, room * sizeof *grown);
        if (!grown)
            return false;
        queue->heap = grown;
        queue->heap_room = room;
    }
    uint32_t i = queue->heap_count++;
    for (; i > 0 && is_before(happening, &queue->heap[(i - 1) / 4]); i = (i - 1) / 4)
        queue->heap[i] = queue->heap[(i - 1) / 4];
    queue->heap[i] = *happening;
    return true;
}

static void heap_drop(struct queue *queue)
{
    struct happening last = queue->heap[--queue->heap_count];
    uint32_t i = 0, count = queue->heap_count;
    for (;;) {
        uint32_t child = 4 * i + 1, least = child;
        if (child >= count)
            break;
        for (uint32_t c = child + 1; c < count && c < child + 4; c++)
            if (is_before(&queue->heap[c], &queue->heap[least]))
                least = c;
        if (!is_before(&queue->heap[least], &last))
            break;
        queue->heap[i] = queue->heap[least];
        i = least;
    }
    if (count > 0)
        queue->heap[i] = last;
}

bool queue_put(struct queue *queue, enum lane lane, struct happening *happening)
{
    happening->rank = ++queue->rank;
    if (lane == LANE_NONE)
        return heap_put(queue, happening);
    struct ring *ring = &queue->lane[lane];
    if (ring->count > 0 && ring->list[(ring->first + ring->count - 1) & (ring->room - 1)].at > happening->at)
        return heap_put(queue, happening);
    return ring_put(ring, happening);
}

const struct happening *queue_lane_ahead(const struct queue *queue, enum lane lane, uint32_t places)
{
    const struct ring *ring = &queue->lane[lane];
    return places < ring->count ? &ring->list[(ring->first + places) & (ring->room - 1)] : NULL;
}

/* --- the next one --------------------------------------------------------------------------------------- */

/* Which of lanes (0, 1) and heap (2) has the next happening that is no sample; -1: none. */
static int earliest(const struct queue *queue, const struct happening **first)
{
    int where = -1;
    *first = NULL;
    for (int i = 0; i < 2; i++) {
        const struct ring *ring = &queue->lane[i];
        if (ring->count > 0 && (!*first || is_before(&ring->list[ring->first], *first))) {
            *first = &ring->list[ring->first];
            where = i;
        }
    }
    if (queue->heap_count > 0 && (!*first || is_before(&queue->heap[0], *first))) {
        *first = &queue->heap[0];
        where = 2;
    }
    return where;
}

instant queue_at(struct queue *queue)
{
    const struct happening *first;
    instant at = calendar_at(&queue->calendar);
    return earliest(queue, &first) >= 0 && first->at < at ? first->at : at;
}

bool queue_take(struct queue *queue, struct happening *out, uint32_t *node)
{
    const struct happening *first;
    int where = earliest(queue, &first);
    instant sample_at = calendar_at(&queue->calendar);
    if (where < 0 || sample_at <= first->at) {
        CHECK(queue->calendar.count > 0);
        *node = queue->calendar.today[--queue->calendar.today_count].node;
        queue->calendar.at[*node] = INSTANT_NEVER;
        queue->calendar.count--;
        return false;
    }
    *out = *first;
    if (where == 2) {
        heap_drop(queue);
    } else {
        struct ring *ring = &queue->lane[where];
        ring->first = (ring->first + 1) & (ring->room - 1);
        ring->count--;
    }
    return true;
}

/* --- life ----------------------------------------------------------------------------------------------- */

struct queue *queue_new(uint32_t nodes, duration interval_ns)
{
    struct queue *queue = calloc(1, sizeof *queue);
    if (!queue)
        return NULL;
    struct calendar *calendar = &queue->calendar;
    calendar->nodes = nodes;
    calendar->at = malloc(nodes * sizeof calendar->at[0]);
    calendar->next = malloc(nodes * sizeof calendar->next[0]);
    calendar->today = malloc(nodes * sizeof calendar->today[0]);
    if (!calendar->at || !calendar->next || !calendar->today) {
        queue_free(&queue);
        return NULL;
    }
    for (uint32_t i = 0; i < nodes; i++)
        calendar->at[i] = INSTANT_NEVER;
    for (uint32_t i = 0; i < BUCKETS; i++)
        calendar->bucket[i] = NOBODY;
    for (uint32_t i = 0; i < nodes; i++)
        calendar->next[i] = NOBODY;
    calendar->ahead = NOBODY;
    duration width = interval_ns / nodes * SHARE;
    for (calendar->shift = 10; calendar->shift < 36 && (duration)1 << calendar->shift < width;)
        calendar->shift++;
    return queue;
}

void queue_free(struct queue **owner)
{
    struct queue *queue = *owner;
    *owner = NULL;
    if (!queue)
        return;
    free(queue->calendar.at);
    free(queue->calendar.next);
    free(queue->calendar.today);
    free(queue->lane[0].list);
    free(queue->lane[1].list);
    free(queue->heap);
    free(queue);
}
