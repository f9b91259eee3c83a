/* Which descriptors of this process are regular files below certain folders. Part of the preload library:
 * nothing here allocates, locks, or may be disturbed by a signal, a thread or a fork. */
#ifndef INJECT_PRELOAD_FDS_H
#define INJECT_PRELOAD_FDS_H

#include <stdbool.h>

/* `folders`: as PRELOAD_DATA is; NULL, or a folder that is not absolute: none. Once, before everything. */
void preload_watch(const char *folders);
bool preload_watches_any(void);

/* A few hundred nanoseconds for a file that was asked about before. A number that was closed and is now
 * another file is seen to be another; a file that is moved while it is open stays what it was. May change
 * errno. */
bool preload_has(int fd);

#endif
