/* The second instance of the built-in service, for more load than one can carry (supervisor.h). It has a
 * reserved port of its own while it lives, which the relay learns from the fault page once it listens there.
 *
 *      NONE --start--> STARTING --it listens--> UP --leave--> LEAVING --500 ms--> ENDING --it is gone--> NONE
 *        ^                |                      |
 *        +---- it died ---+------- it died ------+     said on stderr: whoever decides sees the load */
#ifndef AGENT_SECOND_H
#define AGENT_SECOND_H

#include "agent/supervisor.h"

struct second;

/* `options` must outlive it. */
struct second *second_new(struct event_base *base, const struct supervisor_options *options);
void second_free(struct second **second); /* kills it */

/* Starts it for the command with that id. As supervisor_scale_out(): -EALREADY, -EBUSY while one ends;
 * -ETIMEDOUT and -ECHILD are told to `done`, and -ECANCELED if it was ended meanwhile. */
int second_start(struct second *second, uint64_t command, supervisor_done *done, void *context);

/* No new users from now on; 500 ms later it ends. Nothing if there is none. */
void second_leave(struct second *second);

/* At once: takes it from the relay, then SIGTERM, after 300 ms SIGKILL. Nothing if there is none. */
void second_end(struct second *second);

void second_reload(struct second *second); /* SIGHUP */

pid_t second_pid(const struct second *second); /* 0: none */
bool second_is_up(const struct second *second);

#endif
