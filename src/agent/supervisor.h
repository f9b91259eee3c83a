/* The supervisor: the life of the node's one service, built in or one's own.
 *
 *      DEAD --restart--> STARTING --it listens--> UP --stop--> STOPPING --it is gone--> DEAD
 *        ^                |                      |
 *        +---- it died ---+------- it died ------+        `died` is called, and nothing else happens:
 *                                                         whoever decides will send a command
 *
 * Stopping takes the whole process tree: SIGTERM, after 300 ms SIGKILL; at once SIGKILL if the process is
 * stopped, since it could not answer anyway. Nothing here waits: each call returns at once and tells its end
 * through a callback. */
#ifndef AGENT_SUPERVISOR_H
#define AGENT_SUPERVISOR_H

#include "agent/tree.h"
#include "base/units.h"

#include <stdbool.h>
#include <stdint.h>

struct event_base;
struct supervisor;
struct page;
struct vitals;
struct agent_options;

enum service_state { SERVICE_DEAD, SERVICE_STARTING, SERVICE_UP, SERVICE_STOPPING };

/* How an operation ended: 0, or a negative errno. `detail` is a sentence for people, valid during the call.
 */
typedef void supervisor_done(void *context, int result, const char *detail);

/* The service died without having been told to. */
typedef void supervisor_died(void *context, const char *how);

struct supervisor_options {
    const struct agent_options *agent;
    const char *binary;
    const char *boot;
    int port;    /* the service's own, on loopback */
    int page_fd; /* for the built-in service, like the next three */
    struct page *page;
    int vitals_fd;
    struct vitals *vitals;
    const char *data_folder;
    const char *standby_folder;
    const char *log_path;
    supervisor_died *died;
    void *context;
};

/* Copies `options`, whose pointers must live as long as the supervisor. NULL if out of memory. */
struct supervisor *supervisor_new(struct event_base *base, const struct supervisor_options *options);

/* Kills what is there, at once. Forgets the owner's variable. */
void supervisor_free(struct supervisor **supervisor);

/* `command` is the id of the command that asks for it, or 0; the new process finds it in its environment as
 * HOMEOSTAT_COMMAND, so that a service can know why it was started. One operation at a time: -EBUSY while one
 * is under way, and `done` is not called then. Otherwise `done` (may be NULL) is called once, possibly before
 * the call returns. Restarting what is dead starts it. A start fails with -ETIMEDOUT if the service does not
 * listen within 10 s (it is killed then), with -ECHILD if it dies before. Stopping goes before everything:
 * what is under way ends with -ECANCELED. */
int supervisor_restart(struct supervisor *supervisor, uint64_t command, supervisor_done *done, void *context);
int supervisor_stop(struct supervisor *supervisor, supervisor_done *done, void *context);

enum service_state supervisor_state(const struct supervisor *supervisor);
pid_t supervisor_pid(const struct supervisor *supervisor);       /* 0: dead */
uint64_t supervisor_starts(const struct supervisor *supervisor); /* so far */
int supervisor_port(const struct supervisor *supervisor);

/* Children of the node agent that do not belong to the service, so that they are not taken for orphans of it;
 * at most 8. */
void supervisor_set_known(struct supervisor *supervisor, const pid_t *known, size_t count);
void supervisor_tree(const struct supervisor *supervisor, struct tree *tree);

/* Where the built-in service writes; a service started later begins there. */
bool supervisor_on_standby(const struct supervisor *supervisor);
void supervisor_set_standby(struct supervisor *supervisor, bool standby);

#endif
