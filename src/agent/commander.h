/* The commander: takes the commands that come with the control plane's answers and sees to it that each has
 * at most one effect, ever.
 *
 *     offered --> known?      yes: its recorded outcome is told again
 *             --> refused?    older epoch, another boot, long forgotten, nothing this node can do
 *             --> queued --> expired? --> journal: begin (fsync) --> effect --> journal: end (fsync) --> told
 *
 * A kill -9 between begin and end leaves a begin alone; the next node agent tells such a command as `cut`. */
#ifndef AGENT_COMMANDER_H
#define AGENT_COMMANDER_H

#include "agent/orders.h"
#include "core/vocabulary.h"

struct commander;
struct event_base;
struct journal;
struct outcomes;
struct remedies;

enum { COMMANDS_WAITING = 8 }; /* more are passed over: they will be offered again */

struct commander_options {
    uint64_t boot;
    struct journal *journal;
    struct outcomes *outcomes;
    struct remedies *remedies;
    void (*carried_out)(void *context, enum remedy remedy); /* it is done, and not yet told */
    void *context;
};

struct commander *commander_new(struct event_base *base, const struct commander_options *options);
void commander_free(struct commander **commander);

/* Takes the commands of an answer that came just now. */
void commander_obey(struct commander *commander, const struct orders *orders);

/* A control plane with this epoch exists: older ones are not obeyed from now on, also not after a restart. */
void commander_meet_epoch(struct commander *commander, uint64_t epoch);

/* Begins nothing more. What is under way goes on. */
void commander_stop(struct commander *commander);

#endif
