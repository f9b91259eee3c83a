/* The sweep: empties a folder, for disks that are to be cleaned. */
#ifndef AGENT_SWEEP_H
#define AGENT_SWEEP_H

#include <stddef.h>
#include <stdint.h>

enum { SWEEP_DEPTH_MAX = 16, SWEEP_ENTRIES_MAX = 10000 };

struct swept {
    size_t files; /* whatever is no folder */
    size_t folders;
    uint64_t bytes; /* blocks that they used, as du counts them */
};

/* Removes all that is below `path`, and leaves that folder itself. Links are removed and not followed, other
 * file systems are not entered. Adds to `*swept`, which the caller zeroes. 0, also if there is no such
 * folder; -E2BIG: more than SWEEP_ENTRIES_MAX entries, or deeper than SWEEP_DEPTH_MAX, and the rest is still
 * there; else the first negative errno that was met, after the rest was removed. */
int sweep_folder(const char *path, struct swept *swept);

#endif
