/* The ping: numbered bytes through the relay and back, twenty times a second. It measures the node's link and
 * nothing else, since the relay itself answers. The link keeps their order: a byte is lost when one that was
 * sent after it is back. If nothing comes back at all, they may be only late: bytes older than 400 ms are
 * then taken for lost once 2 s are over, or twice the last round trip, and no longer if they do come. With a
 * connection that breaks goes what was under way on it, and each byte that cannot be sent is lost. */
#ifndef AGENT_PING_H
#define AGENT_PING_H

#include <stdbool.h>

struct event_base;
struct ping;

/* To 127.0.0.1:`port`, at once and again whenever the connection breaks. NULL if out of memory. */
struct ping *ping_new(struct event_base *base, int port);
void ping_free(struct ping **ping);

struct ping_sample {
    bool has_latency; /* false: nothing can be said: no byte came back, and none is overdue */
    double
        latency_s; /* the median round trip since the last call; a byte that is overdue counts with its age */
    bool has_loss; /* false: fewer than 10 bytes are known to be back or lost */
    double loss_ratio; /* of the last 60 bytes of which it is known, sent since ping_forget() */
};

void ping_take(struct ping *ping, struct ping_sample *sample);

/* The link was replaced, or is about to be: what was lost before says nothing of it. Takes a new
 * connection. */
void ping_forget(struct ping *ping);

#endif
