/* Random numbers that a seed repeats: SplitMix64 (Steele, Lea, Flood). */
#ifndef TESTS_CRASH_DICE_H
#define TESTS_CRASH_DICE_H

#include "base/units.h"

#include <stdint.h>

struct dice {
    uint64_t state;
};

static inline uint64_t dice_next(struct dice *dice)
{
    uint64_t z = dice->state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* 0 .. below - 1. */
static inline uint32_t dice_below(struct dice *dice, uint32_t below)
{
    return (uint32_t)((dice_next(dice) >> 32) * below >> 32);
}

static inline duration dice_duration(struct dice *dice, duration least, duration most)
{
    return least + (duration)(dice_next(dice) % (uint64_t)(most - least + 1));
}

#endif
