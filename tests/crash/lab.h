/* A lab of real processes to be killed: one control plane and a few node agents of the build, each with the
 * service that writes a witness file. Everything lives in a folder of its own and ends with the test.
 *
 * The listening socket of the control plane is the lab's, as `homeostat up` has it: the port stays the same
 * from one control plane to the next, and who connects meanwhile waits. */
#ifndef TESTS_CRASH_LAB_H
#define TESTS_CRASH_LAB_H

#include "base/units.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { LAB_NODES_MAX = 8, LAB_PATH_SIZE = 512 };

struct lab_node {
    char name[32], witness[LAB_PATH_SIZE], folder[LAB_PATH_SIZE];
    pid_t pid; /* of the node agent, 0: dead */
};

struct lab {
    char folder[LAB_PATH_SIZE], database[LAB_PATH_SIZE], policy[LAB_PATH_SIZE];
    char homeostat[LAB_PATH_SIZE], service[LAB_PATH_SIZE];
    int listen_fd, port;
    const char *interval;        /* between reports of node agents */
    size_t built_in;             /* so many nodes, from the first, keep the built-in service instead [0] */
    const char *preload, *calls; /* of the control plane: a library, and its page; NULL: none (calls.h) */
    pid_t plane;                 /* 0: dead */
    struct lab_node nodes[LAB_NODES_MAX];
    size_t node_count;
};

/* One start of a service. */
struct testimony {
    pid_t pid;
    instant at;
    uint64_t command; /* 0: nobody's order */
};

/* Makes the folder, the socket and the names of `nodes` nodes; starts nothing. `policy` is written to a file.
 * What cannot be done ends the process with status 3. */
void lab_open(struct lab *lab, const char *homeostat, const char *service, size_t nodes, const char *policy);

/* Kills what is left, waits for it, and removes the folder unless `keep`. */
void lab_close(struct lab *lab, bool keep);

/* `crash_at`: what HOMEOSTAT_CRASH_AT says to the new process, or NULL. */
void lab_start_plane(struct lab *lab, const char *crash_at);
void lab_start_agent(struct lab *lab, size_t node, const char *crash_at);

/* SIGKILL, and waits until it is dead. */
void lab_kill(pid_t *pid);

/* The process killed itself within `limit_ns`: then *pid is 0. */
bool lab_dies(pid_t *pid, duration limit_ns);

/* One request; the status, or 0. `*body` (may be NULL) is malloc'ed. */
int lab_call(const struct lab *lab, const char *method, const char *path, char **body);
int lab_post(const struct lab *lab, const char *path, const char *json, char **body);

/* The starts of that node's service so far, oldest first; the caller frees them. */
struct testimony *lab_witness(const struct lab *lab, size_t node, size_t *count);

/* SIGKILL to that node's service, if it lives. */
void lab_kill_service(const struct lab *lab, size_t node);

void lab_nap(duration nap_ns);
_Noreturn void lab_give_up(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
