/* The control plane: the driver of the decision core on the real clock.
 *
 * It takes reports over HTTP, steps the core, writes the records to the store, and lets commands out once
 * their intent is durable. One loop, one writer thread; nothing blocks the loop.
 *
 *     request -> event -> core_step -> rows to the store --(commit)--> gate -> outbox of the node, watchers,
 * log
 *
 * One process may hold several planes (tests do), each on a database of its own. */
#ifndef PLANE_PLANE_H
#define PLANE_PLANE_H

#include "base/units.h"

#include <stddef.h>

struct event_base;
struct plane;

enum { PLANE_NODE_CAPACITY = 16384, PLANE_INCIDENT_CAPACITY = 4096, PLANE_INJECT_GAP_S = 3 };

struct plane_options {
    const char *address;         /* numeric; NULL: 127.0.0.1. Beyond the loopback only with tokens */
    int port;                    /* 0: the kernel chooses, see plane_port() */
    int listen_fd;               /* >= 0: already listening, then address and port are not used; else -1 */
    const char *token_file;      /* see access.h; NULL: whoever reaches the loopback may do everything */
    int connections_per_address; /* of one client, 0: 64 and no limit for the loopback */
    const char *database;        /* path of the SQLite file, made if need be */
    const char *policy_path;     /* NULL: the newest policy of the database, else the default */
    const char *policy_text; /* the default's text when neither gives one; NULL: the one that is built in */
    int ready_fd;            /* >= 0: "PORT\n" is written to it once it answers, and it is closed; else -1 */
    const char *record_path; /* a journal is written there, see journal/recorder.h; NULL: none */
    const char *flight_folder;   /* of the flight recorder; NULL: none */
    const char *scenario_folder; /* scenarios that can be played on this fleet; NULL: none */
    duration inject_gap_ns; /* the least time between two faults on one node, unless who asks for one says
                               `alongside`; 0: none; what `serve` has: PLANE_INJECT_GAP_S */
    const char *log_path;   /* notices to people go there, one line each; NULL: stderr; "": nowhere */
};

/* Starts on `base`: opens the database, listens, and begins to answer as soon as its epoch is durable (until
 * then requests get 503). NULL with a sentence in `error` and errno: EADDRINUSE (port taken), EWOULDBLOCK
 * (another control plane has the database), EPERM (beyond the
 * loopback without tokens, or tokens that cannot be used), EINVAL (the policy file has
 * errors), or what the world said. Copies what it needs of `options`. */
struct plane *plane_new(struct event_base *base, const struct plane_options *options, char *error,
                        size_t error_size);

/* Stops listening, commits what waits, closes the database. Forgets the owner's variable. */
void plane_free(struct plane **plane);

int plane_port(const struct plane *plane);

/* Reads the token file again. When it cannot be used the old tokens stay, and the log says why. */
void plane_reload_tokens(struct plane *plane);

/* The `serve` subcommand: runs until SIGTERM or SIGINT. Returns the exit code: 0, 1 (the policy has errors),
 * 2 (usage), or 3 (the environment failed, with a sentence on stderr). */
int plane_main(const struct plane_options *options);

#endif
