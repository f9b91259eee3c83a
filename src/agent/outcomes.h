/* The outcomes: tells the control plane how each command ended, from the journal, until it has acknowledged
 * that. */
#ifndef AGENT_OUTCOMES_H
#define AGENT_OUTCOMES_H

struct client;
struct event_base;
struct journal;
struct outcomes;

/* `plane` and `node` must outlive it. NULL if out of memory. */
struct outcomes *outcomes_new(struct event_base *base, struct client *plane, const char *node,
                              struct journal *journal);
void outcomes_free(struct outcomes **outcomes); /* after the client is freed: its answers come here */

/* Sends the oldest one that is not acknowledged, if none is under way; then the next. Failures are tried
 * again after 100 ms, doubling up to 5 s. */
void outcomes_send(struct outcomes *outcomes);

#endif
