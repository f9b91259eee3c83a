/* What the loop watches for us: timers and descriptors. A thin cover of libevent, in a file of its own
 * because the core's `struct event` and libevent's are not the same thing. */
#ifndef PLANE_LOOP_H
#define PLANE_LOOP_H

#include "base/units.h"

struct event_base;
struct watch;

typedef void watch_call(void *context);

struct watch *watch_timer(struct event_base *base, watch_call *call, void *context);
struct watch *watch_readable(struct event_base *base, int fd, watch_call *call, void *context);
struct watch *watch_signal(struct event_base *base, int number, watch_call *call, void *context);

void watch_after(struct watch *watch, duration delay_ns); /* calls once; a later call moves it */
void watch_soon(struct watch *watch);                     /* calls once, when this turn of the loop ends */
void watch_free(struct watch **watch);

#endif
