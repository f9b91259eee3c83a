/* The remedies: the four things that a node agent can do about its node, one at a time, none of which blocks.
 *
 *     restart_service    stop the service, renew the fault page, start, wait until it listens; ends a drain
 *     failover_storage   POST /admin/storage to the built-in service: the other folder from now on
 *     reset_network      replace the relay, wait until the new one answers
 *     drain_node         no more users, by the relay and by the node's own load */
#ifndef AGENT_REMEDIES_H
#define AGENT_REMEDIES_H

#include "core/vocabulary.h"

#include <stdint.h>

struct event_base;
struct link;
struct load;
struct page;
struct remedies;
struct supervisor;

struct remedies_options {
    struct supervisor *supervisor;
    struct link *link;
    struct load *load;
    struct page *page;
    int echo_port;
    bool built_in; /* false: a program of one's own, without folders to switch */
};

/* `outcome` is DONE or FAILED. `detail` is for people, valid during the call. */
typedef void remedies_done(void *context, enum outcome outcome, const char *detail);

struct remedies *remedies_new(struct event_base *base, const struct remedies_options *options);
void remedies_free(struct remedies **remedies);

/* Why `remedy` cannot be begun now, a sentence, or NULL if it can. */
const char *remedies_objection(const struct remedies *remedies, int remedy, enum outcome *outcome);

/* Begins one to which there is no objection, for the command with that id. `done` is called once, possibly
 * before the call returns. */
void remedies_begin(struct remedies *remedies, enum remedy remedy, uint64_t command, remedies_done *done,
                    void *context);

#endif
