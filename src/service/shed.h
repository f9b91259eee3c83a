/* Load shedding: while it is on, users get in through a token bucket at four fifths of the service's
 * capacity, and the rest is to be turned away. It ends by itself once what arrives would have been no trouble
 * for a while. Pure: time comes with the calls (CLOCK_MONOTONIC, never backwards). */
#ifndef SERVICE_SHED_H
#define SERVICE_SHED_H

#include "base/units.h"

#include <stdbool.h>
#include <stdint.h>

#define SHED_SHARE        0.8                /* of the capacity is let in */
#define SHED_CALM_SHARE   0.7                /* of the capacity: less than this arrives in a calm window */
#define SHED_BURST_NS     (50 * MILLISECOND) /* what the bucket holds, and one request at least */
#define SHED_WINDOW_NS    SECOND
#define SHED_CALM_WINDOWS 5 /* in a row end it */

struct shed {
    double capacity; /* requests per second, 0: unknown, there is nothing to shed by */
    bool on;
    double tokens;
    int64_t filled_at, window_at; /* window: of what arrived, not yet over */
    uint64_t arrived;
    unsigned calm_windows; /* in a row, until this one */
};

void shed_begin(struct shed *shed, int64_t now); /* nothing new if it is on; the capacity must be known */
void shed_end(struct shed *shed);

bool shed_is_on(struct shed *shed, int64_t now);

/* One request arrives: may it come in? Always, while it is off. */
bool shed_lets_in(struct shed *shed, int64_t now);

#endif
