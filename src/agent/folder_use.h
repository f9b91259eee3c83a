/* How much of the node's disk is in use: the bytes of all files in its folders. The node's disk is not the
 * machine's: it has a quota of its own, so that one node can run out of it and its neighbours do not. */
#ifndef AGENT_FOLDER_USE_H
#define AGENT_FOLDER_USE_H

#include <stddef.h>
#include <stdint.h>

enum { FOLDERS_MAX = 4, FOLDER_DEPTH_MAX = 8, FOLDER_ENTRIES_MAX = 20000 };

struct folder_use {
    const char *folders[FOLDERS_MAX]; /* the first NULL ends them; they outlive it */
};

/* Blocks in use, as du counts them. Links are not followed; what lies deeper or is more than the bounds above
 * is left out. What cannot be read counts nothing. */
uint64_t folder_use_bytes(const struct folder_use *use);

#endif
