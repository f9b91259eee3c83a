/* Approx: the few functions of the real numbers that pure code needs, without libm, whose last bit differs
 * from machine to machine. Only + - * / and comparisons on doubles, so gcc and clang at every level give the
 * same bits (the build forbids contraction). */
#ifndef BASE_APPROX_H
#define BASE_APPROX_H

#include <stdint.h>
#include <string.h>

/* 2 to the x, relative error below 1e-8. x below -1000 counts as -1000, above 1000 as 1000; not for NaN.
 * Here, because it is called several times a sample. */
static inline double approx_exp2(double x)
{
    x = x < -1000 ? -1000 : x > 1000 ? 1000 : x;
    int64_t whole = (int64_t)(x + (x < 0 ? -0.5 : 0.5));
    double f = x - (double)whole;
    /* The Taylor series of 2^f for |f| <= 1/2: its coefficients are ln(2)^n / n!. */
    double p = 1.5252733804059841e-5;
    p = p * f + 1.5403530393381608e-4;
    p = p * f + 1.3333558146428443e-3;
    p = p * f + 9.6181291076284772e-3;
    p = p * f + 5.5504108664821580e-2;
    p = p * f + 2.4022650695910071e-1;
    p = p * f + 6.9314718055994531e-1;
    p = p * f + 1.0;
    uint64_t bits = (uint64_t)(1023 + whole) << 52;
    double power;
    memcpy(&power, &bits, sizeof power);
    return p * power;
}

/* Logarithm to base 2 of a normal number above 0, absolute error below 1e-8. Anything else is a broken
 * invariant. */
double approx_log2(double x);

/* e to the x, as approx_exp2. */
static inline double approx_exp(double x)
{
    return approx_exp2(x * 1.4426950408889634);
}

/* Sine of a full turn: approx_sine(0.25) is 1. `turn` is 0 .. 1; absolute error below 1e-5. */
double approx_sine(double turn);

#endif
