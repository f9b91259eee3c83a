/* The weather: noise at several time scales, bursts of load and housekeeping jobs.
 *
 * A channel is a sum of octaves; an octave is a line from one random value to the next, drawn at fixed
 * instants from its own stream. Slots nest, so within a slot of the first slow octave all slow ones together
 * are one line, which is all that is kept of them. So the weather is a function of seed, node and time: who
 * samples more often sees the same weather more closely. Octaves of equal strength at time scales a factor of
 * 8 to 16 apart, from 2 s to 39 h, add up to a noise with long memory (Voss 1978), as measured in production:
 * docs/realism.md. */
#include "base/approx.h"
#include "state.h"

#include <string.h>

enum { BURST_SHIFT = 39 }; /* slots of 550 s: at most one burst and one job begins in each */

static const uint8_t octave_shift[NOISE_OCTAVES] = {31, 34, 37,
                                                    40, 43, 47}; /* 2.1 s, 17 s, 137 s, 18 min, 2.4 h, 39 h */
static const double octave_rate[NOISE_OCTAVES] = {0x1p-31, 0x1p-34, 0x1p-37, 0x1p-40, 0x1p-43, 0x1p-47};

/* Deviation of the logarithm in each octave and channel. */
static const float octave_size[NOISE_OCTAVES][NOISE_CHANNELS] = {
    /* load  cost  tail  storage  network  memory  node  files */
    {0.05f, 0.40f, 0.20f, 0.25f, 0.25f, 0, 0.10f, 0},
    {0.08f, 0.45f, 0.22f, 0.25f, 0.25f, 0, 0.15f, 0},
    {0.09f, 0.60f, 0.32f, 0.45f, 0.45f, 0, 0.30f, 0},
    {0.10f, 0.70f, 0.38f, 0.50f, 0.50f, 0.001f, 0.40f, 0},
    {0.13f, 0.60f, 0.35f, 0.50f, 0.50f, 0.010f, 0.50f, 0.002f},
    {0.16f, 0.50f, 0.25f, 0.35f, 0.35f, 0.013f, 0.50f, 0.01f},
};

/* The values of all channels of one octave at the beginning of `slot`: even in +-sqrt(3), which has deviation
 * 1; several octaves together are nearly normal. A draw has bits for four channels. */
static void values_at(uint64_t key, int octave, int64_t slot, float values[NOISE_CHANNELS])
{
    for (int part = 0; part < NOISE_CHANNELS / 4; part++) {
        uint64_t stream = random_stream(key, PURPOSE_NOISE + (uint64_t)(octave * NOISE_CHANNELS / 4 + part));
        uint64_t draw = random_draw(stream, (uint64_t)slot);
        for (int c = 0; c < 4; c++) {
            float even = (float)(int32_t)(draw >> (16 * c) & 0xffff) - 32767.5f;
            values[part * 4 + c] = octave_size[octave][part * 4 + c] * (1.7320508f / 32767.5f) * even;
        }
    }
}

/* How far into its slot: 0..1 */
static float into_slot(instant now, int octave)
{
    return (float)((double)(now & (((int64_t)1 << octave_shift[octave]) - 1)) * octave_rate[octave]);
}

static void turn_fast(struct node *node, int octave, int64_t slot, bool next)
{
    struct weather *w = &node->weather;
    if (next) {
        memcpy(w->left[octave], w->right[octave], sizeof w->left[octave]);
    } else {
        values_at(node->key, octave, slot, w->left[octave]);
    }
    values_at(node->key, octave, slot + 1, w->right[octave]);
}

static void turn_slow(struct node *node, instant begins_at)
{
    struct weather *w = &node->weather;
    memset(w->slow, 0, sizeof w->slow);
    memset(w->step, 0, sizeof w->step);
    for (int o = NOISE_FAST; o < NOISE_OCTAVES; o++) {
        float left[NOISE_CHANNELS], right[NOISE_CHANNELS];
        int64_t slot = begins_at >> octave_shift[o];
        float f = into_slot(begins_at, o),
              share = (float)octave_rate[o] * (float)((int64_t)1 << octave_shift[NOISE_FAST]);
        values_at(node->key, o, slot, left);
        values_at(node->key, o, slot + 1, right);
        for (int c = 0; c < NOISE_CHANNELS; c++) {
            w->slow[c] += left[c] + (right[c] - left[c]) * f;
            w->step[c] += (right[c] - left[c]) * share;
        }
    }
}

/* Four floats side by side. gcc and clang do with them what they would do one after another, bit for bit. */
typedef float four __attribute__((vector_size(16)));
typedef int32_t four_whole __attribute__((vector_size(16)));
enum { FOURS = NOISE_CHANNELS / 4 };

static four four_of(const float *x)
{
    four v;
    memcpy(&v, x, sizeof v);
    return v;
}

static four chosen(four_whole mask, four yes, four no)
{
    return (four)((mask & (four_whole)yes) | (~mask & (four_whole)no));
}

/* e^(ratio * x): approx_exp in single precision, without a branch. |ratio * x| < 80, or it counts as that. */
static four exp_of(four x, float ratio)
{
    const four most = {115, 115, 115, 115};
    four y = x * ratio * 1.44269504f;
    y = chosen(y < -most, -most, y);
    y = chosen(y > most, most, y);
    four_whole whole = __builtin_convertvector(y + 128.5f, four_whole) - 128;
    four f = y - __builtin_convertvector(whole, four);
    four p = f * 1.3333558e-3f + 9.6181291e-3f;
    p = p * f + 5.5504109e-2f;
    p = p * f + 2.4022651e-1f;
    p = p * f + 6.9314718e-1f;
    p = p * f + 1.0f;
    return p * (four)((127 + whole) << 23);
}

static void look_at_channels(struct node *node, instant was, instant now, double ratio, struct sky *sky)
{
    struct weather *w = &node->weather;
    int64_t slow = now >> octave_shift[NOISE_FAST];
    if (was == INSTANT_NONE || slow != was >> octave_shift[NOISE_FAST]) {
        turn_slow(node, slow << octave_shift[NOISE_FAST]);
    }
    float along = into_slot(now, NOISE_FAST);
    four sum[FOURS];
    for (int i = 0; i < FOURS; i++) {
        sum[i] = four_of(&w->slow[4 * i]) + four_of(&w->step[4 * i]) * along;
    }
    for (int o = 0; o < NOISE_FAST; o++) {
        int64_t slot = now >> octave_shift[o], old = was >> octave_shift[o];
        if (slot != old || was == INSTANT_NONE) {
            turn_fast(node, o, slot, was != INSTANT_NONE && slot == old + 1);
        }
        float f = into_slot(now, o);
        for (int i = 0; i < FOURS; i++) {
            four left = four_of(&w->left[o][4 * i]), right = four_of(&w->right[o][4 * i]);
            sum[i] += left + (right - left) * f;
        }
    }
    for (int i = 0; i < FOURS; i++) {
        four factor = exp_of(sum[i], (float)ratio);
        for (int c = 0; c < 4; c++) {
            sky->factor[4 * i + c] = (double)factor[c];
        }
    }
}

/* A burst begins in the first half of its slot, at once, and fades away before the slot's end. */
static void draw_burst(uint64_t stream, int64_t slot, double probability, double least, double most,
                       instant *from, instant *until, double *size)
{
    *from = *until = 0;
    *size = 0;
    if (random_unit(random_draw(stream, (uint64_t)slot * 4)) >= probability) {
        return;
    }
    double width = (double)((int64_t)1 << BURST_SHIFT);
    double begin = 0.5 * random_unit(random_draw(stream, (uint64_t)slot * 4 + 1));
    double length = 0.03 * random_pareto(random_draw(stream, (uint64_t)slot * 4 + 2), 1.5);
    *from = (slot << BURST_SHIFT) + (instant)(begin * width);
    *until = *from + (instant)(smaller(length, 0.5) * width);
    *size = smaller(least * random_pareto(random_draw(stream, (uint64_t)slot * 4 + 3), 1.5), most);
}

static double burst_now(instant from, instant until, double size, instant now)
{
    return now < from || now >= until ? 0 : size * (double)(until - now) / (double)(until - from);
}

void noise_look(const struct world_config *config, struct node *node, instant now, struct sky *sky)
{
    struct weather *w = &node->weather;
    instant here = now + node->phase;
    instant was = w->at;
    look_at_channels(node, was, here, config->noise_ratio, sky);
    int64_t slot = here >> BURST_SHIFT;
    if (was == INSTANT_NONE || slot != was >> BURST_SHIFT) {
        double slot_h = (double)((int64_t)1 << BURST_SHIFT) / (double)HOUR;
        draw_burst(random_stream(node->key, PURPOSE_BURST), slot, config->burst_per_hour * slot_h, 0.15, 1.6,
                   &w->burst_at, &w->burst_until, &w->burst_size);
        draw_burst(random_stream(node->key, PURPOSE_JOB), slot, slot_h, 0.10, 0.60, &w->job_at, &w->job_until,
                   &w->job_size);
    }
    w->at = here;
    double wave = 1;
    if (config->wave_ns > 0) {
        instant into = now % config->wave_ns;
        into = into < 0 ? into + config->wave_ns : into;
        wave += config->wave_ratio * approx_sine((double)into / (double)config->wave_ns);
    }
    /* The cap: fleets are built for about three times their mean, and people who get no answer go away. */
    double burst = 1 + burst_now(w->burst_at, w->burst_until, w->burst_size, here);
    sky->load = clamp(wave * sky->factor[NOISE_LOAD] * burst, 0, 3.2);
    sky->job = smaller(1, config->noise_ratio) * burst_now(w->job_at, w->job_until, w->job_size, here);
}
