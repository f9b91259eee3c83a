/* The warden: a small process that waits for the node agent to end, in whatever way, and then kills
 * everything that the node agent had started and that is still there. The kernel's parent-death signal
 * reaches children only; the warden also finds their children, and those that have moved to a session of
 * their own. Then it removes what faults left in the node's folder: the scratch, and faulty releases and
 * configurations; unless the next node agent has that folder already, which does so itself when it begins. */
#ifndef AGENT_WARDEN_H
#define AGENT_WARDEN_H

#include <sys/types.h>

struct warden {
    pid_t pid;
    int lifeline; /* the warden sees its other end close */
};

/* `boot` is the value of WARD_VARIABLE in the environment of all that is to be killed, `folder` the node's,
 * which is there. Returns 0 or a negative errno. */
int warden_start(struct warden *warden, const char *boot, const char *folder);

/* Lets the warden do its work now, and waits for it (a few milliseconds). */
void warden_end(struct warden *warden);

#endif
