/* The remedies: what a node agent can do about its node, one at a time, none of which blocks. Each can be
 * done twice in a row and has a time-out of its own; its `detail` says what changed.
 *
 *     restart_service    stop the service, renew the fault page, start, wait until it listens;
 *                        ends a drain, a second instance and load shedding
 *     failover_storage   POST /admin/storage to the built-in service: the other folder from now on;
 *                        a program of one's own is stopped, its folder copied, and started there
 *     reset_network      replace the relay, wait until the new one answers
 *     drain_node         no more users, by the relay and by the node's own load
 *     shed_load          POST /admin/shed?on=yes to the built-in service, to both instances
 *     scale_out          a second instance of the built-in service
 *     isolate_neighbour  stop the processes beside the service
 *     clean_disk         empty the scratch folder
 *     rollback_release   the release before this one, and a restart
 *     rollback_config    the configuration before this one; reload, wait until the service says so
 *     reboot_node        what faults have started ends, service and relay start afresh; ends a drain
 *
 * An undo takes back what does not end by itself. A second instance does: once what users ask for has fitted
 * one instance for 30 s. */
#ifndef AGENT_REMEDIES_H
#define AGENT_REMEDIES_H

#include "base/units.h"
#include "core/vocabulary.h"

#include <stdbool.h>
#include <stdint.h>

struct event_base;
struct link;
struct load;
struct page;
struct ping;
struct remedies;
struct supervisor;
struct versions;

#define REMEDIES_FITS_RATIO 0.6 /* of one instance's capacity */

/* All pointers outlive the remedies. */
struct remedies_options {
    struct supervisor *supervisor;
    struct link *link;
    struct load *load;
    struct ping *ping; /* forgets what the old relay lost */
    struct page *page;
    struct versions *releases, *configs;
    const char *name; /* of the node */
    const char *data_folder, *standby_folder, *scratch_folder;
    const char *log_path;  /* where a copy of the data folder complains */
    uint64_t quota_bytes;  /* both data folders must fit in it */
    double capacity_per_s; /* <= 0: not said */
    duration calm_ns;      /* so long must all fit one instance before the second ends [30 s] */
    int echo_port;
    bool built_in; /* false: a program of one's own */

    /* What only others can do; NULL: nobody can, and the remedy is unsupported. `context` is for all. */
    int (*neighbours)(void *context);            /* how many processes are beside the service */
    int (*isolate)(void *context, bool isolate); /* stops them, or lets them go on: how many it were */
    void (*cleaned)(void *context);              /* the disk has more room */
    void (*rolled_back)(void *context, enum remedy remedy); /* before the service is restarted or reloaded */
    void (*reboot)(void *context);                          /* ends what faults have started */
    double (*offered)(void *context); /* requests/s over the capacity of ONE instance; < 0: unknown */
    void *context;
};

/* `outcome` is DONE or FAILED. `detail` is for people, valid during the call. */
typedef void remedies_done(void *context, enum outcome outcome, const char *detail);

struct remedies *remedies_new(struct event_base *base, const struct remedies_options *options);
void remedies_free(struct remedies **remedies);

/* Why `remedy` cannot be begun now, a sentence, or NULL if it can. `outcome` is then REFUSED or UNSUPPORTED.
 */
const char *remedies_objection(const struct remedies *remedies, int remedy, enum outcome *outcome);

/* Begins one to which there is no objection, for the command with that id. `done` is called once, possibly
 * before the call returns. */
void remedies_begin(struct remedies *remedies, enum remedy remedy, uint64_t command, remedies_done *done,
                    void *context);

/* Takes back what was done and is still so: load shedding, a second instance, a drain, isolated neighbours.
 * `detail` tells each. -EBUSY while a remedy is under way; `done` is not called then. */
uint32_t remedies_standing(const struct remedies *remedies); /* mask of remedies that are still in force */
int remedies_undo(struct remedies *remedies, remedies_done *done, void *context);

#endif
