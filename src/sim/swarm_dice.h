/* Dice: one stream of draws for one purpose of one seed. Private to the swarm. */
#ifndef SIM_SWARM_DICE_H
#define SIM_SWARM_DICE_H

#include "base/approx.h"
#include "base/check.h"
#include "base/random.h"
#include "base/units.h"
#include "sim/swarm.h"

enum dice_purpose {
    DICE_FLEET,
    DICE_LOAD,
    DICE_NETWORK,
    DICE_FAULTS,
    DICE_ACCIDENTS,
    DICE_CUTS,
    DICE_PLANNER,
    DICE_PEOPLE,
    DICE_POLICY
};

struct dice {
    uint64_t stream, count;
};

/* `which`: of several of one purpose. */
static inline struct dice dice_of(uint64_t seed, enum dice_purpose purpose, uint64_t which)
{
    return (struct dice){.stream = random_stream(random_key(seed, 0x5357524dull + which), purpose)};
}

static inline uint64_t dice_draw(struct dice *dice)
{
    return random_draw(dice->stream, dice->count++);
}

static inline double dice_unit(struct dice *dice)
{
    return random_unit(dice_draw(dice));
}

static inline bool dice_chance(struct dice *dice, double ratio)
{
    return dice_unit(dice) < ratio;
}

/* 0 .. below - 1; `below` is small. */
static inline uint32_t dice_below(struct dice *dice, uint32_t below)
{
    return (uint32_t)((dice_draw(dice) >> 32) * below >> 32);
}

/* least .. most, both included */
static inline uint32_t dice_whole(struct dice *dice, uint32_t least, uint32_t most)
{
    return least + dice_below(dice, most - least + 1);
}

static inline double dice_even(struct dice *dice, double least, double most)
{
    return least + dice_unit(dice) * (most - least);
}

/* As many between 1 and 10 as between 10 and 100; both ends above 0. */
static inline double dice_log(struct dice *dice, double least, double most)
{
    double low = approx_log2(least), x = approx_exp2(dice_even(dice, low, approx_log2(most)));
    return x < least ? least : x > most ? most : x;
}

/* Likewise, in whole milliseconds, as people could have written it. */
static inline duration dice_time(struct dice *dice, duration least, duration most)
{
    double ms = dice_log(dice, (double)least / 1e6, (double)most / 1e6);
    duration d = (duration)(ms + 0.5) * MILLISECOND;
    return d < least ? least : d > most ? most : d;
}

/* One of a list, each as likely as the others. */
#define DICE_OF(dice, list) ((list)[dice_below(dice, (uint32_t)(sizeof(list) / sizeof(list)[0]))])

/* swarm_fleet.c */
void swarm_draw_fleet(struct swarm *swarm);
void swarm_draw_load(struct swarm *swarm);
void swarm_draw_network(struct swarm *swarm);
/* swarm_script.c: the fleet and the length of the run are drawn already */
void swarm_draw_faults(struct swarm *swarm);
void swarm_draw_accidents(struct swarm *swarm);
/* swarm_policy.c: policy number `which` of this seed, 0 the one it begins with */
void swarm_draw_policy(const struct swarm *swarm, uint64_t which, struct policy *policy);

#endif
