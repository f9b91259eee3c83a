/* Versions: the numbered releases, or configurations, of a node's service, as folders of their own.
 *
 *     NODE/releases/1/run         the first one, made when the node agent first starts
 *     NODE/releases/2/run         one that was rolled out later
 *     NODE/releases/2/before      the number of the one that it took the place of
 *     NODE/releases/2/fault       only if a fault rolled it out: its id
 *     NODE/releases/current -> 2  moved by a rename, so that there is always exactly one
 *
 * A version is made under another name and renamed when all of it is durable, so a kill at any instant leaves
 * it whole or not there. What was rolled out stands across restarts of the node agent; what a fault rolled
 * out does not outlive the fault. Whoever has the versions open holds a lock (flock) on their folder. */
#ifndef AGENT_VERSIONS_H
#define AGENT_VERSIONS_H

#include <stdbool.h>
#include <stdint.h>

enum { VERSION_TEXT_MAX = 4096, VERSIONS_KEPT = 8 };

struct versions;

/* `folder` is NODE/releases or NODE/configs, `file` the name of the one file in each version ("run", "conf"),
 * `text` what version 1 holds; if the current good version holds something else, the text becomes a new
 * version. What faults left behind is removed. The folder is made if it is missing. Waits up to
 * FLOCK_PATIENCE for the lock, since the warden of a node agent that died may be cleaning. Negative errno on
 * failure: -EBUSY: somebody else has them open; -E2BIG: the text is longer than VERSION_TEXT_MAX. */
int versions_open(struct versions **versions, const char *folder, const char *file, const char *text);
void versions_close(struct versions **versions);

int versions_current(const struct versions *versions); /* its number, from 1 */

/* The number that versions_roll_back() would return. */
int versions_before(const struct versions *versions);

/* The path of the current version's file, valid until the next call that changes something. */
const char *versions_path(const struct versions *versions);

/* The number that versions_roll_out() would return, for texts that tell it. */
int versions_next(const struct versions *versions);

/* Rolls out a new version for the fault with that id (0: for none): its number, or a negative errno, and then
 * nothing has changed. Old ones beyond VERSIONS_KEPT are removed, but never the last one without a fault. */
int versions_roll_out(struct versions *versions, const char *text, uint64_t fault);

/* Goes back to the version before the current one; the version that is left is kept, but a later roll-back
 * does not come back to it. Returns the number that is current now, or -ENOENT: there is none before this
 * one; or another negative errno, and then nothing has changed. */
int versions_roll_back(struct versions *versions);

/* The fault is over: what it rolled out is removed, and the version before it is current again if it was.
 * True if the current version changed. */
bool versions_forget(struct versions *versions, uint64_t fault);

/* For the warden, when the node agent is dead: removes what faults left in that folder. Does nothing if
 * somebody has them open: the next node agent, which has done so itself. */
void versions_clean(const char *folder);

#endif
