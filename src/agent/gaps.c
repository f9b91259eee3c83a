#include "agent/gaps.h"

#include "base/check.h"

#include <string.h>

const char *gap_reason_word(enum gap_reason reason)
{
    static const char *const words[GAP_REASON_COUNT] = {"spool_full", "damaged"};
    CHECK(reason < GAP_REASON_COUNT);
    return words[reason];
}

void gaps_remove(struct gaps *gaps, size_t index)
{
    CHECK(index < gaps->count);
    gaps->count--;
    memmove(&gaps->list[index], &gaps->list[index + 1], (gaps->count - index) * sizeof gaps->list[0]);
}

static void widen(struct gap *gap, uint64_t from, uint64_t to)
{
    gap->from = from < gap->from ? from : gap->from;
    gap->to = to > gap->to ? to : gap->to;
}

static void make_room(struct gaps *gaps)
{
    for (size_t i = 0; i < gaps->count; i++) {
        for (size_t k = i + 1; k < gaps->count; k++) {
            struct gap *older = &gaps->list[i], *newer = &gaps->list[k];
            if (older->boot != newer->boot || older->reason != newer->reason || older->state != GAP_WAITING ||
                newer->state != GAP_WAITING)
                continue;
            widen(older, newer->from, newer->to);
            gaps_remove(gaps, k);
            return;
        }
    }
    gaps_remove(gaps, 0);
    gaps->forgotten++;
}

bool gaps_add(struct gaps *gaps, uint64_t boot, uint64_t from, uint64_t to, enum gap_reason reason)
{
    CHECK(from <= to);
    for (size_t i = 0; i < gaps->count; i++) {
        struct gap *gap = &gaps->list[i];
        if (gap->boot != boot || gap->reason != reason)
            continue;
        if (gap->from <= from && to <= gap->to)
            return false;
        bool touches = from <= gap->to + 1 && gap->from <= to + 1;
        if (touches && gap->state == GAP_WAITING) {
            widen(gap, from, to);
            return true;
        }
    }
    if (gaps->count == GAPS_MAX)
        make_room(gaps);
    gaps->list[gaps->count++] =
        (struct gap){.boot = boot, .from = from, .to = to, .reason = reason, .state = GAP_WAITING};
    return true;
}

void gaps_move(struct gaps *gaps, enum gap_state from, enum gap_state to)
{
    for (size_t i = 0; i < gaps->count; i++)
        if (gaps->list[i].state == from)
            gaps->list[i].state = to;
}

const struct gap *gaps_waiting(const struct gaps *gaps, uint64_t boot)
{
    for (size_t i = 0; i < gaps->count; i++)
        if (gaps->list[i].state == GAP_WAITING && (boot == 0 || gaps->list[i].boot == boot))
            return &gaps->list[i];
    return NULL;
}
