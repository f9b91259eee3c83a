/* A lab: the fleet of a run and who calls whom, as people write it down in labs/NAME.yaml.
 *
 *     version: 1
 *     nodes:
 *       - {name: web-1, role: web, calls: [api-1]}
 *       - {name: api-1, role: api}
 *
 * A node runs the built-in service, or with `exec` any program, which is then probed as a user would use it.
 */
#ifndef SCENARIO_LAB_H
#define SCENARIO_LAB_H

#include "core/core.h"
#include "policy/complaint.h"
#include "policy/keys.h"

enum {
    LAB_NODES_MAX = 64,
    LAB_ROLE_SIZE = 32,  /* of a role or zone, the NUL included */
    LAB_EXEC_SIZE = 512, /* of a command line */
    LAB_PROBE_SIZE = 200
};

/* X(symbol, map, keys ...): the maps of a lab file. */
#define LAB_MAP_TABLE(X)                                                                                     \
    X(LAB, "lab", "version", "nodes")                                                                        \
    X(NODE, "node", "name", "role", "zone", "calls", "exec", "probe", "interval", "capacity", "quota",       \
      "memory")

#define X(symbol, ...) LAB_MAP_##symbol,
enum lab_map { LAB_MAP_TABLE(X) LAB_MAP_COUNT };
#undef X

extern const struct keys lab_keys[LAB_MAP_COUNT];

/* Flat; texts that were left out are "". */
struct lab_node {
    char name[NODE_NAME_SIZE]; /* unique in its lab */
    char role[LAB_ROLE_SIZE];
    char zone[LAB_ROLE_SIZE];
    char exec[LAB_EXEC_SIZE];   /* the program's command line with {port}, {data}, {name}; "": the built-in
                                   service */
    char probe[LAB_PROBE_SIZE]; /* with `exec`: "http:/PATH", "tcp" or "tcp:TEXT"; else "" */
    duration interval_ns;       /* between its reports, 50 ms .. 1 min */
    double capacity_per_s;      /* requests that it is provisioned for; 0: not said */
    uint64_t quota_bytes;       /* of disk; 0: not said */
    uint64_t memory_bytes;      /* 0: not said */
    uint32_t calls[CALLS_MAX];  /* numbers of nodes in the lab */
    uint32_t calls_count;
};

struct lab {
    struct lab_node nodes[LAB_NODES_MAX];
    uint32_t node_count;
};

enum { LAB_REFUSED = 1 };

/* The lab of `up` and `demo`: web-1 calls api-1 calls db-1. The same as labs/default.yaml. */
void lab_default(struct lab *lab);

/* Reads a lab. 0: *lab holds it, and `complaints` notes at most. LAB_REFUSED: `complaints` says why, *lab is
 * as it was. Negative errno: out of memory. `complaints` is overwritten, and in the order of the file. */
int lab_read(const char *bytes, size_t length, struct lab *lab, struct complaints *complaints);

/* The same from a file; negative errno also if it cannot be read. */
int lab_read_file(const char *path, struct lab *lab, struct complaints *complaints);

/* The number of the node called `name`, or -1. */
int lab_find(const struct lab *lab, const char *name);

#endif
