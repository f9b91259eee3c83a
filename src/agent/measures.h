/* Measures: all that is known of a node at one instant, put together: what the sampler reads, what users and
 * pings saw, and how the service lives. */
#ifndef AGENT_MEASURES_H
#define AGENT_MEASURES_H

#include "agent/sampler.h"

#include <sys/types.h>

struct agent_options;
struct injection;
struct link;
struct load;
struct ping;
struct supervisor;

/* All of them outlive the measures. */
struct measures {
    const struct agent_options *options;
    struct supervisor *supervisor;
    struct link *link;
    struct load *load;
    struct ping *ping;
    struct sampler *sampler;
    struct injection *injection;
    double offered; /* in the last interval, as a multiple of what ONE instance is provisioned for; < 0:
                       unknown */
};

/* To be called a few times per interval. */
void measures_look(const struct measures *measures);

/* The samples of the interval that ends now. */
void measures_take(struct measures *measures, struct samples *samples);

/* What is known at once when the service died; the rest of the interval is told when it is over. */
void measures_of_life(const struct measures *measures, struct samples *samples);

#endif
