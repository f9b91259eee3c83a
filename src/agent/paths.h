/* The paths: what lies where in a node's folder.
 *
 *     NODE/data, NODE/standby      what the service writes, and where it goes on after a failover
 *     NODE/scratch                 what may be lost: clean_disk empties it
 *     NODE/releases, NODE/configs  numbered versions (versions.h)
 *     NODE/spool                   reports that are not durable yet (spool.h)
 *     NODE/commands.journal        which commands were carried out (journal.h)
 *     NODE/preload.so              the preload library, for a program of one's own
 *     NODE/service.log, relay.log  what they say */
#ifndef AGENT_PATHS_H
#define AGENT_PATHS_H

enum { PATHS_SIZE = 1024, PATHS_FOLDER_MAX = PATHS_SIZE - 64 };

struct paths {
    char data[PATHS_SIZE], standby[PATHS_SIZE], scratch[PATHS_SIZE], releases[PATHS_SIZE],
        configs[PATHS_SIZE], config[PATHS_SIZE], spool[PATHS_SIZE], journal[PATHS_SIZE], preload[PATHS_SIZE],
        service_log[PATHS_SIZE], relay_log[PATHS_SIZE];
};

/* Fills them in for a folder whose name has at most PATHS_FOLDER_MAX bytes, and makes it with those of the
 * folders in it that the service needs. 0 or a negative errno. */
int paths_make(struct paths *paths, const char *folder);

#endif
