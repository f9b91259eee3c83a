/* The node agent: the process on a node that keeps one service running and reports about it.
 *
 * It starts the service and a relay in front of it, sends the users' load through the relay, samples, reports
 * to the control plane once per interval, carries out the commands that come back with the answers (each at
 * most once) and does the injected faults. It decides nothing: a service that dies stays dead until a command
 * says otherwise.
 *
 *     users (load.c) --> relay (link.c) --> service (supervisor.c)        all three on loopback
 *        |                 |                  |
 *        +--- request_*    +--- network_*     +--- cpu, memory, storage (sampler.c)
 *                          |
 *                      reporter.c --> control plane --> commander.c, injection.c
 *
 * Everything runs on one event loop in one thread. When the node agent ends, or is killed, everything that it
 * started ends with it (child.c, warden.c). */
#ifndef AGENT_AGENT_H
#define AGENT_AGENT_H

#include "base/units.h"

#include <stddef.h>
#include <stdint.h>

enum { AGENT_CALLS_MAX = 8 };

struct agent_call {
    const char *name; /* of the node that is called */
    const char *url;  /* its users' port: http://127.0.0.1:9002 */
};

/* Strings stay the caller's and must outlive agent_main(). NULL and 0 mean the default in brackets. */
struct agent_options {
    const char *name;      /* of the node, a legal name */
    const char *plane_url; /* http://127.0.0.1:7070 */
    const char *token;     /* said to the control plane; NULL: none */
    const char *role;      /* [""] */
    const char *zone;      /* [""] */
    struct agent_call calls[AGENT_CALLS_MAX];
    size_t calls_count;
    duration interval_ns; /* between reports [1 s], 50 ms .. 1 min */
    const char *listen;   /* numeric IPv4 address:port that users know; the node's own load comes by 127.0.0.1
                             [127.0.0.1:0, the kernel chooses] */
    int listen_fd;        /* > 0: that, listening already; `listen` is ignored [0] */
    const char *folder;   /* of this node; made if it is missing */
    size_t spool_bytes;   /* of disk for reports that are not stored yet [16 MiB], 64 KiB .. 64 MiB */
    const char *exec;     /* a program of one's own instead of the built-in service [NULL]. {port}, {data} and
                             {name}     are replaced and /bin/sh runs it; it must stay in the foreground and
                             listen on     127.0.0.1:{port} with SO_REUSEADDR, as servers do */
    const char *probe;    /* how users see that program: http:PATH, tcp, or tcp:TEXT (TEXT and CR LF are sent,
                             any answer counts; TEXT => ANSWER: one that begins so) [tcp] */
    double load_rate;     /* requests per second of the built-in service's users [20]; < 0: none */
    double capacity_per_s; /* requests that the node is provisioned for; the built-in service works that long
                              for each [500]; < 0: not said, and no work */
    uint64_t quota_bytes;  /* of disk for the data folder and what lies beside it [256 MiB] */
    uint64_t memory_bytes; /* of memory that the node has [256 MiB] */
    const char *binary;    /* what to start as service and relay [/proc/self/exe] */
};

/* Runs until SIGTERM or SIGINT; then says goodbye, stops what it started and returns 0. Returns a negative
 * errno and says why on stderr if it cannot begin: the folder is in use or not writable, the port is taken,
 * an option is unusable. */
int agent_main(const struct agent_options *options);

#endif
