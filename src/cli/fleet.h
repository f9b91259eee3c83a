/* A fleet: the processes of one running lab, that is a control plane and one node agent per node.
 *
 * Each is this same binary under another verb. All of them end when we end, in whatever way: the kernel kills
 * them if we are killed. What they write lies beside the database: for lab/homeostat.db the folders
 * lab/nodes/NAME and the logs lab/NAME.log, for another one such as lab/demo.db lab/demo-nodes/NAME and
 * lab/demo-NAME.log. */
#ifndef CLI_FLEET_H
#define CLI_FLEET_H

#include "base/units.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lab;
struct fleet;

/* The fleet that one process pretends to be (synthetic/synthetic.h), instead of real node agents. */
struct fleet_synthetic {
    uint32_t nodes;            /* 0: as many as the scenario says */
    const char *scenario_path; /* NULL: web, api and db nodes, a third each */
    uint64_t seed;             /* 0: the scenario's */
};

/* What it points to outlives the fleet. */
struct fleet_options {
    const struct lab *lab; /* who is in it and who calls whom; not used if `synthetic` is set */
    const struct fleet_synthetic *synthetic; /* NULL: real nodes */
    const double *load;      /* by node: requests per second of its users; NULL: as a node agent has it */
    const char *database;    /* a file, which names the folders and logs; its folder must be there */
    const char *store;       /* a server's address; NULL: the file is the store */
    const char *policy_path; /* NULL: the newest of the database, else the built-in default */
    const char *record_path; /* a journal is written there (`serve --record`); NULL: none */
    int port;                /* of the control plane; 0: the kernel chooses */
    bool any_port;           /* take another one if it is taken */
    duration interval_ns;    /* between reports */
};

/* Starts everything and returns once the control plane answers. NULL and a sentence in `error` otherwise, and
 * nothing is left running. The sockets of all users' ports are bound here and inherited, so nobody races for
 * a port. */
struct fleet *fleet_start(const struct fleet_options *options, char *error, size_t error_size);

int fleet_port(const struct fleet *fleet);

/* Nobody listens there now. */
bool fleet_port_is_free(int port);
size_t fleet_size(const struct fleet *fleet); /* node agents; the synthetic ones are one process */
const char *fleet_node(const struct fleet *fleet, size_t index);

/* Where users find a node's service on 127.0.0.1. */
int fleet_users_port(const struct fleet *fleet, size_t index);

/* --- accidents: what a scenario does to a fleet that runs --- */

/* kill -9; returns when it is gone. What was killed is no news for fleet_look(). */
void fleet_kill_plane(struct fleet *fleet);
void fleet_kill_agent(struct fleet *fleet, size_t index); /* its service and its relay end with it */

/* SIGTERM, so that it says goodbye; who has not ended three seconds later is killed. */
void fleet_end_agent(struct fleet *fleet, size_t index);

/* Starts again what is not running, on the same port, with the same folder and the same database; a control
 * plane goes on with the newest policy of its database. False with a sentence in `error` if it cannot. One
 * that runs is left alone. */
bool fleet_start_plane_again(struct fleet *fleet, char *error, size_t error_size);
bool fleet_start_agent_again(struct fleet *fleet, size_t index, char *error, size_t error_size);

/* SIGSTOP, or SIGCONT. */
void fleet_suspend_plane(struct fleet *fleet, bool suspend);
void fleet_suspend_agent(struct fleet *fleet, size_t index, bool suspend);

/* Has one of the processes ended by itself? Tells each end once; `error` gets which, and the end of its log.
 */
enum fleet_news { FLEET_IS_WELL, FLEET_NODE_ENDED, FLEET_PLANE_ENDED };
enum fleet_news fleet_look(struct fleet *fleet, char *error, size_t error_size);

/* Node agents first, so that they can say goodbye, then the control plane; who has not ended three seconds
 * after being asked is killed. Returns when all are gone. Forgets the owner's variable. */
void fleet_stop(struct fleet **fleet);

/* Where the log and the folder of `name` lie for this database, see above. */
bool fleet_path(char *out, size_t size, const char *database, const char *kind_and_name);

#endif
