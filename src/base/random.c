#include "base/random.h"

#include "base/approx.h"

double random_pareto(uint64_t draw, double alpha)
{
    double u = ((double)(draw >> 11) + 1) * 0x1p-53; /* never 0 */
    return approx_exp2(-approx_log2(u) / alpha);
}
