/* A knock: one TCP connection that tells whether a program which is not ours answers. */
#ifndef AGENT_KNOCK_H
#define AGENT_KNOCK_H

#include "base/units.h"

#include <stdbool.h>

enum { KNOCK_WANTED_MAX = 199 };

struct event_base;
struct knocker;

/* Called once for each accepted knock, from the loop; not for those that knocker_free() ends. `took_ns` is
 * until the answer, or until the failure. */
typedef void knock_done(void *context, bool answered, duration took_ns);

/* Knocks at 127.0.0.1:`port`. With `say`, that text and CR LF are sent and what comes back is the answer; it
 * must begin with `wanted` (at most KNOCK_WANTED_MAX bytes; NULL: any byte will do). Without, the door must
 * open and stay open for 50 ms, since a relay in front of a dead program opens as well, and closes again;
 * took_ns is then the time until it opened. */
struct knocker *knocker_new(struct event_base *base, int port, const char *say, const char *wanted,
                            duration timeout_ns, knock_done *done, void *context);
void knocker_free(struct knocker **knocker);

/* Returns 0, or -EAGAIN if 32 are under way or no socket can be had. */
int knock(struct knocker *knocker);

#endif
