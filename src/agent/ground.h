/* The ground that a node agent stands on: its options with the defaults filled in, its folder with journal,
 * spool and versions, its ports, the memory it shares with what it starts, its boot, and the warden. All of
 * it is there before anything runs, and stays until everything has ended. */
#ifndef AGENT_GROUND_H
#define AGENT_GROUND_H

#include "agent/agent.h"
#include "agent/folder_use.h"
#include "agent/paths.h"
#include "agent/warden.h"

#include <stdint.h>

struct journal;
struct page;
struct spool;
struct versions;
struct vitals;

struct ground {
    struct agent_options options;
    uint64_t boot;
    char boot_text[17], address[64];
    struct paths paths;
    int listen_fd, echo_fd, reserved_fd, page_fd, vitals_fd, service_port;
    struct warden warden;
    struct page *page;
    struct vitals *vitals;
    struct journal *journal;
    struct spool *spool;
    struct versions *releases, *configs;
    struct folder_use use; /* of the node's disk */
};

/* 0, or a negative errno and a sentence on stderr; ground_close() is wanted in either case. */
int ground_open(struct ground *ground, const struct agent_options *options);

/* After everything that uses it. */
void ground_close(struct ground *ground);

#endif
