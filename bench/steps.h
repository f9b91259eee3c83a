/* Steps: the decision core fed by hand, without a clock or a wire. Rates are per second of CPU time. */
#ifndef BENCH_STEPS_H
#define BENCH_STEPS_H

#include "core/core.h"

enum { STEPS_NODES = 1000, STEPS_HEALTHY = 2000000 };

void steps_policy(struct policy *policy); /* the default one; incidents do not count as coming back */

double steps_healthy(const struct policy *policy); /* healthy reports of STEPS_NODES nodes */

/* Incidents from the first bad sample to "resolved, effective": 14 reports and an outcome each. */
double steps_incidents(const struct policy *policy);

#endif
