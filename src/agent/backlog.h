/* The backlog: forwards what the spool holds from the time when the control plane was away, in flights of its
 * own, so that the newest report never waits for it. One batch of one boot is in the air; the next one leaves
 * after a pause as long as the last one took to be answered, and PACE_NS at least, so that at most half of
 * the time is spent on history: some 300 reports in 50 ms, an hour in a second, a full spool of 16 MiB in
 * half a minute.
 *
 *     idle --something pending, the control plane answers--> in the air --200--> pause --> in the air ...
 *       ^                                                        |
 *       +------ 1 s, 2 s, ... 30 s <-------- failed -------------+
 *
 * A batch that is refused as malformed is halved until it is known which report is at fault; that one becomes
 * a gap. */
#ifndef AGENT_BACKLOG_H
#define AGENT_BACKLOG_H

#include "agent/receipts.h"
#include "base/units.h"

#include <stdbool.h>

struct agent_options;
struct backlog;
struct client;
struct event_base;

struct backlog_options {
    struct event_base *base;
    const struct agent_options *agent;
    struct client *plane;
    struct receipts *receipts;
    /* An answer with status 2xx came. True if what `waybill` lists was accepted by it. */
    bool (*taken)(void *context, const struct waybill *waybill, const struct answer *answer);
    /* The newest reports, from this sequence of this boot on, are not the backlog's. */
    uint64_t (*below)(void *context);
    /* Does this control plane know of gaps? */
    bool (*takes_gaps)(void *context);
    void *context;
};

/* Pointers in `options` must outlive the backlog. NULL if out of memory. */
struct backlog *backlog_new(const struct backlog_options *options);
void backlog_free(struct backlog **backlog); /* after the client is freed: its answers come here */

/* The control plane has answered: if something is pending and none is in the air, a batch leaves now, or when
 * the pause is over. */
void backlog_go(struct backlog *backlog);

/* The control plane is away: none leaves until the next backlog_go(). */
void backlog_hold(struct backlog *backlog);

#endif
