/* Random: numbers that look random and are not: a hash of seed, node, purpose and count. There is no state to
 * be shifted, so a draw added for one purpose changes no other, and any draw can be repeated by itself.
 *
 *     uint64_t key = random_key(seed, node);                  // one per node
 *     uint64_t stream = random_stream(key, PURPOSE);          // one per thing that is drawn
 *     double u = random_unit(random_draw(stream, count));     // the count-th draw of it
 *
 * The mixing is the finalizer of SplitMix64 (Steele, Lea, Flood 2014, constants by David Stafford). Not for
 * secrets. */
#ifndef BASE_RANDOM_H
#define BASE_RANDOM_H

#include <stdint.h>

static inline uint64_t random_mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static inline uint64_t random_key(uint64_t seed, uint64_t node)
{
    return random_mix(random_mix(seed + 0x9e3779b97f4a7c15u) + (node + 1) * 0xd1342543de82ef95u);
}

static inline uint64_t random_stream(uint64_t key, uint64_t purpose)
{
    return random_mix(key + (purpose + 1) * 0xda942042e4dd58b5u);
}

static inline uint64_t random_draw(uint64_t stream, uint64_t count)
{
    return random_mix(stream + (count + 1) * 0x9e3779b97f4a7c15u);
}

/* 0 <= u < 1 */
static inline double random_unit(uint64_t draw)
{
    return (double)(draw >> 11) * 0x1p-53;
}

/* Nearly normal, mean 0, deviation 1: the sum of four uniform numbers (Irwin-Hall), so never beyond +-3.47.
 */
static inline double random_gauss(uint64_t draw)
{
    int64_t sum = (int64_t)(draw & 0xffff) + (int64_t)(draw >> 16 & 0xffff) + (int64_t)(draw >> 32 & 0xffff) +
                  (int64_t)(draw >> 48);
    return ((double)sum - 131070.0) * (1 / 37837.22);
}

/* At least 1, and above x with probability x^-alpha (Pareto). alpha > 0; at most 2^(53/alpha). */
double random_pareto(uint64_t draw, double alpha);

#endif
