/* The runaway work of CPU_SPIKE: it burns a share of a core on the service's own request loop.
 *
 * In slices of a 60 ms period: at 0.95 it spins 57 ms, lets the loop serve for 3 ms, and so on. Requests are
 * still answered, tens of milliseconds late: that is how a spike is felt by users, and not only by the
 * scheduler. The share is of the wall clock; beside busy neighbours part of it is waiting for a core, which
 * counts as CPU pressure, too. */
#ifndef SERVICE_BURN_H
#define SERVICE_BURN_H

#include "base/units.h"
#include "inject/page.h"

#define BURN_PERIOD_NS (60 * MILLISECOND)

struct burn;
struct event_base;

/* Watches the page from now on. The incarnation of CPU_SPIKE is read here: a service started after
 * page_renew() does not burn. A slice ends early when `hurry_fd` becomes readable. NULL if there is no
 * memory. */
struct burn *burn_new(struct event_base *base, const struct page *page, int hurry_fd);
void burn_free(struct burn **burn);

#endif
