/* The launch: with which command line, environment and descriptors the processes of a service are started.
 *
 * The child takes its environment from the node agent's, where nothing of it stays:
 *
 *     HOMEOSTAT_COMMAND      the id of the command that asked for the start, if one did
 *     HOMEOSTAT_PAGE_FD      for a program of one's own, if there is a preload library: the fault page,
 *     HOMEOSTAT_VITALS_FD    the vitals,
 *     HOMEOSTAT_DATA         and the data folders, absolute: PRIMARY:STANDBY
 *     LD_PRELOAD             the library, before what was there */
#ifndef AGENT_LAUNCH_H
#define AGENT_LAUNCH_H

#include "agent/child.h"
#include "agent/supervisor.h"

struct launch {
    struct event_base *base;
    const struct supervisor_options *options;
    bool standby;     /* in which folder it begins */
    uint64_t command; /* 0: none asked for it */
    child_died *died;
    void *context;
};

/* The service itself, on its port. As child_start(); -E2BIG if its command line is too long. */
int launch_service(const struct launch *launch, struct child *child);

/* The second instance of the built-in service, on that port. */
int launch_second(const struct launch *launch, int port, struct child *child);

#endif
