#include "base/approx.h"

#include "base/check.h"

static double of_bits(uint64_t bits)
{
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* x = 2^e * m with m around 1; log2(m) = 2 / ln(2) * atanh((m - 1) / (m + 1)), a series that converges fast.
 */
double approx_log2(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    int64_t e = (int64_t)(bits >> 52) - 1023;
    CHECK(e > -1023 && e < 1024);
    double m = of_bits((bits & 0xfffffffffffffu) | 0x3ff0000000000000u);
    if (m > 1.4142135623730951) {
        m *= 0.5;
        e++;
    }
    double s = (m - 1) / (m + 1), q = s * s;
    double p = 1.0 / 9;
    p = p * q + 1.0 / 7;
    p = p * q + 1.0 / 5;
    p = p * q + 1.0 / 3;
    p = p * q + 1.0;
    return (double)e + 2.8853900817779268 * s * p;
}

/* The Taylor series to the ninth power, on the quarter of the turn where it is good. */
double approx_sine(double turn)
{
    double t = turn < 0.25 ? turn : turn < 0.75 ? 0.5 - turn : turn - 1;
    double x = t * 6.283185307179586, q = x * x;
    double p = 1.0 / 362880;
    p = p * q - 1.0 / 5040;
    p = p * q + 1.0 / 120;
    p = p * q - 1.0 / 6;
    p = p * q + 1.0;
    return x * p;
}
