/* The ping: one byte through the relay and back, five times a second, on one connection. It measures the
 * node's link and nothing else, since the relay itself answers. */
#ifndef AGENT_PING_H
#define AGENT_PING_H

#include <stdbool.h>

struct event_base;
struct ping;

/* To 127.0.0.1:`port`, at once and again whenever the connection breaks. NULL if out of memory. */
struct ping *ping_new(struct event_base *base, int port);
void ping_free(struct ping **ping);

/* The median round trip in seconds since the last call; a byte that is overdue and still unanswered counts
 * with its age. False if nothing can be said: no byte was sent or came back. */
bool ping_take(struct ping *ping, double *seconds);

#endif
