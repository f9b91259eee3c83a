/* The supervisor: the life of the node's one service, built in or one's own.
 *
 *      DEAD --restart--> STARTING --it listens--> UP --stop--> STOPPING --it is gone--> STOPPED --restart-->
 *        ^                |                      |
 *        +---- it died ---+------- it died ------+        `died` is called, and nothing else happens:
 *                                                         whoever decides will send a command
 *
 * STOPPED is not DEAD: whoever stopped it will start it again. Stopping takes the whole process tree:
 * SIGTERM, after 300 ms SIGKILL; at once SIGKILL if the process is stopped by a signal, since it could not
 * answer anyway (a program of one's own after 100 ms, since the helper `burn` may be what stops it). Nothing
 * here waits: each call returns at once and tells its end through a callback. */
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

enum service_state { SERVICE_DEAD, SERVICE_STARTING, SERVICE_UP, SERVICE_STOPPING, SERVICE_STOPPED };

/* How an operation ended: 0, or a negative errno. `detail` is a sentence for people, valid during the call.
 */
typedef void supervisor_done(void *context, int result, const char *detail);

/* The service died without having been told to. */
typedef void supervisor_died(void *context, const char *how);

/* The service listens, after whatever made it start. */
typedef void supervisor_started(void *context);

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
    const char *config_path;  /* of the built-in service, read again at SIGHUP */
    const char *preload_path; /* the library of file faults, for a program of one's own; NULL: none */
    supervisor_died *died;
    supervisor_started *started; /* it listens; NULL: nobody wants to know */
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

/* Starts what is dead or was stopped; one that is just being stopped, as soon as it has ended. Nothing if it
 * runs, or is on its way already. */
void supervisor_revive(struct supervisor *supervisor);

/* A second instance of the built-in service, on a port of its own, that works for the first one: it does the
 * work of a request and leaves the map to the first (service.h). It is told to the relay by the fault page
 * (page_set_second_port()), ends with the service, and by supervisor_scale_in(): half a second after the
 * relay was told that it is no more. -EALREADY: there is one; -ENOTSUP: a program of one's own; -EBUSY: an
 * operation is under way, the service is not up, or the last second instance is still ending. `done` is told
 * -ETIMEDOUT if it does not listen within 5 s, -ECHILD if it dies before, -ECANCELED if the service ends
 * meanwhile. */
int supervisor_scale_out(struct supervisor *supervisor, uint64_t command, supervisor_done *done,
                         void *context);
void supervisor_scale_in(struct supervisor *supervisor);
int supervisor_instances(const struct supervisor *supervisor); /* 0, 1 or 2 */

/* SIGHUP: the built-in service reads its configuration again, both instances; one that is starting as soon as
 * it listens. */
void supervisor_reload(struct supervisor *supervisor);

/* The process that runs now is about to be told to end because its release would end by itself: however it
 * ends, that counts as an exit with code 1. Programs that do not catch SIGTERM would be told as killed. */
void supervisor_blame_release(struct supervisor *supervisor);

/* How the last process ended, as a shell tells it: its exit code, or 128 and the signal; -1: none has. */
int supervisor_exit(const struct supervisor *supervisor);

enum service_state supervisor_state(const struct supervisor *supervisor);
pid_t supervisor_pid(const struct supervisor *supervisor);       /* 0: dead */
uint64_t supervisor_starts(const struct supervisor *supervisor); /* so far */
int supervisor_port(const struct supervisor *supervisor);

/* Its processes, those of its second instance included. */
void supervisor_tree(const struct supervisor *supervisor, struct tree *tree);

/* The process group of the service (not of its second instance), 0: it is dead. */
pid_t supervisor_group(const struct supervisor *supervisor);

/* Where the built-in service writes; a service started later begins there. For a program of one's own, {data}
 * is that folder, and NODE/active remembers it for the next node agent. */
bool supervisor_on_standby(const struct supervisor *supervisor);

/* 0, or a negative errno if it cannot be remembered: then nothing has changed. */
int supervisor_set_standby(struct supervisor *supervisor, bool standby);

#endif
