/* A scenario: one run's script, as people write it down in scenarios/NAME.yaml: the fleet and who calls whom,
 * the load on it, the network between node agents and control plane, the faults and accidents with their
 * times, and what is expected. The same file runs in virtual time (`sim`) and live (`up --scenario`).
 *
 *     version: 1
 *     title: A sick database
 *     teaches: The caller suffers, and the database is healed.
 *     duration: 2m
 *     fleet:
 *       - {role: web, count: 2, calls: [db]}
 *       - {role: db}
 *     faults:
 *       - {at: 30s, kind: storage_latency, on: db-1, for: 60s}
 *     expect:
 *       - {finding: slow-storage, on: db-1, remedy: failover_storage, verdict: effective, within: 20s}
 *       - {untouched: web-*}
 */
#ifndef SCENARIO_SCENARIO_H
#define SCENARIO_SCENARIO_H

#include "policy/complaint.h"
#include "policy/keys.h"
#include "world/world.h"

enum {
    SCENARIO_GROUPS_MAX = 32,    /* lines of the fleet */
    SCENARIO_NODES_MAX = 100000, /* in all groups */
    SCENARIO_FAULTS_MAX = 256,   /* lines; one line may strike many nodes */
    SCENARIO_ACCIDENTS_MAX = 64,
    SCENARIO_EXPECT_MAX = 64,
    SCENARIO_TITLE_SIZE = 80,
    SCENARIO_TEXT_SIZE = 400,
    SCENARIO_PATH_SIZE = 512,
    SCENARIO_WORD_SIZE = 32, /* of a role or zone, the NUL included */
    SCENARIO_ZONES_MAX = 4   /* of one group */
};

/* X(symbol, map, keys ...): the maps of a scenario file. */
#define SCENARIO_MAP_TABLE(X)                                                                                \
    X(SCENARIO, "scenario", "version", "title", "teaches", "seed", "duration", "heal", "policy", "fleet",    \
      "load", "network", "faults", "accidents", "expect")                                                    \
    X(GROUP, "group", "role", "count", "zones", "calls", "users", "capacity", "service_time", "memory",      \
      "storage", "network", "interval")                                                                      \
    X(LOAD, "load", "wave", "period", "bursts", "noise", "retries", "timeout", "warm")                       \
    X(NETWORK, "network", "delay", "tail", "loss", "double", "skew", "drift")                                \
    X(FAULT, "fault", "at", "kind", "on", "intensity", "shape", "for", "period", "spread")                   \
    X(ACCIDENT, "accident", "at", "what", "for", "on", "file")                                               \
    X(EXPECT, "expectation", "finding", "on", "remedy", "verdict", "blocked", "within", "untouched")

#define X(symbol, ...) SCENARIO_MAP_##symbol,
enum scenario_map { SCENARIO_MAP_TABLE(X) SCENARIO_MAP_COUNT };
#undef X

extern const struct keys scenario_keys[SCENARIO_MAP_COUNT];

/* Nodes that are alike: `web` with count 3 is web-1, web-2, web-3. */
struct scenario_group {
    char role[SCENARIO_WORD_SIZE];
    char zones[SCENARIO_ZONES_MAX][SCENARIO_WORD_SIZE]; /* dealt out in turn; none: "" */
    char calls[CALLS_MAX][SCENARIO_WORD_SIZE]; /* roles; each node calls up to CALLS_MAX nodes, evenly chosen;
                                                  no role calls itself */
    uint32_t zones_count, calls_count;
    uint32_t count;
    uint32_t capacity_is_said; /* 1: in the file, and not made up from the load */
    struct world_node node;    /* its `calls` are not used; role and zone are set when it is laid out */
};

/* Which nodes: a name, a pattern `web-*`, `role:web`, `zone:a`, or `2 of role:web`: drawn by the seed, and
 * the same ones wherever the script says so. */
struct scenario_target {
    char pattern[NODE_PATTERN_SIZE]; /* name or pattern; else "" */
    char role[SCENARIO_WORD_SIZE], zone[SCENARIO_WORD_SIZE];
    uint32_t some; /* 0: all of them */
};

struct scenario_fault {
    struct scenario_target on;
    struct world_fault fault; /* of the first node struck, whose number is set later; instants count from the
                                 start of the run */
    duration spread_ns; /* node k of n, as scenario_targets() orders them, is struck spread * k / n later, and
                           its fault ends as much later */
    uint32_t line;      /* of the file */
    uint32_t reserved;
};

#define ACCIDENT_TABLE(X)                                                                                    \
    X(CRASH_PLANE,                                                                                           \
      "crash_control_plane") /* kill -9, and back after `for` (1 s) through the usual restore */             \
    X(SUSPEND_PLANE, "suspend_control_plane") /* SIGSTOP for `for` */                                        \
    X(SECOND_PLANE, "second_control_plane")   /* another one takes over the store; the first is not told */  \
    X(CRASH_AGENT, "crash_node_agent")                                                                       \
    X(SUSPEND_AGENT, "suspend_node_agent")                                                                   \
    X(LEAVE, "leave")       /* says goodbye, and comes back after `for`, or never */                         \
    X(PAUSE, "pause")       /* a person pauses automation, for `for`, or until healing */                    \
    X(MAINTAIN, "maintain") /* a person keeps the nodes to himself, for `for` */                             \
    X(RESET, "reset")       /* a person resets the breaker */                                                \
    X(APPROVE, "approve")   /* a person approves whatever waits */                                           \
    X(POLICY, "policy")     /* the file in `path` takes effect */
#define X(symbol, ...) ACCIDENT_##symbol,
enum accident { ACCIDENT_TABLE(X) ACCIDENT_COUNT };
#undef X

struct scenario_accident {
    struct scenario_target on; /* of node agents */
    char path[SCENARIO_PATH_SIZE];
    instant at;         /* from the start */
    duration length_ns; /* `for`; 0: it has no length, or lasts until the healing phase */
    uint32_t line;      /* of the file */
    uint8_t kind;       /* enum accident */
    uint8_t reserved[3];
};

/* The way between node agents and control plane. Delays are drawn per message: least plus an exponential
 * tail. */
struct scenario_network {
    duration least_ns, tail_ns; /* tail: its mean */
    double loss_ratio, double_ratio;
    double skew_s;      /* node clocks are off by up to so much either way */
    double drift_ratio; /* and run fast or slow by up to this share */
};

/* Met if every node that `on` means had such an incident (with `3 of ...`: three of them, whichever; left
 * out: any one) in which all that is said came to pass: the remedy was taken and its verdict was this, or,
 * without a remedy, some verdict was. Remedy page_human: people were told. */
struct scenario_expect {
    char finding[DETECTOR_NAME_SIZE]; /* "": this line is about being untouched */
    struct scenario_target on;        /* all empty: any node */
    uint8_t remedy;                   /* REMEDY_NONE: not said */
    uint8_t verdict;                  /* VERDICT_NONE: not said */
    uint8_t untouched;                /* 1: no command may go to any of these nodes */
    uint8_t block; /* enum block_reason: its action was held up for this reason at least once; BLOCK_NONE: not
                      said */
    uint8_t reserved[4];
    duration within_ns; /* from the injection of the newest fault before it; 0: not said */
};

struct scenario {
    char title[SCENARIO_TITLE_SIZE];
    char teaches[SCENARIO_TEXT_SIZE];
    char policy_path[SCENARIO_PATH_SIZE]; /* relative to the scenario's file, resolved; "": the default policy
                                           */
    uint64_t seed;
    duration length_ns; /* of the phase under faults */
    duration heal_ns;   /* afterwards faults end, the network is good, and everything has to come to rest */
    struct world_config world; /* node_capacity is set when it is laid out */
    struct scenario_network network;
    struct scenario_group groups[SCENARIO_GROUPS_MAX];
    struct scenario_fault faults[SCENARIO_FAULTS_MAX];
    struct scenario_accident accidents[SCENARIO_ACCIDENTS_MAX];
    struct scenario_expect expects[SCENARIO_EXPECT_MAX];
    uint32_t group_count, fault_count, accident_count, expect_count;
    uint32_t node_count;   /* over all groups */
    uint32_t network_line; /* of the file; 0: it says nothing of the network */
};

enum { SCENARIO_REFUSED = 1 };

void scenario_init(struct scenario *scenario); /* the defaults of everything, no nodes */

/* As lab_read(): 0, SCENARIO_REFUSED with complaints (file:line:column and the mend), or a negative errno.
 * `folder` is what relative paths start from, "" for the working folder. The policies that are named are
 * read, because expectations name their findings. What is taken can be laid out and run: every target means
 * at least one node, no node meets more than WORLD_FAULTS_PER_NODE faults at once, and never one kind twice.
 * The struct is large: allocate it. */
int scenario_read(const char *bytes, size_t length, const char *folder, struct scenario *scenario,
                  struct complaints *complaints);
int scenario_read_file(const char *path, struct scenario *scenario, struct complaints *complaints);

/* 0, or SCENARIO_REFUSED with a complaint about a fault that only a live run can do: for who runs it in
 * virtual time. */
int scenario_check_synthetic(const struct scenario *scenario, struct complaints *complaints);

/* The same from a map of a file that has been parsed, such as `scenario` in a suite; there it has no version.
 * Adds to `complaints`. */
struct yaml_node;
int scenario_read_map(const struct yaml_node *map, const char *folder, struct scenario *scenario,
                      struct complaints *complaints);

/* The layout: node by node, what the groups say. Names are ROLE-1, ROLE-2 ...; zones dealt out in turn; calls
 * by name of role to the callees' nodes, spread evenly so that every callee has as many callers as any other,
 * give or take one. `nodes` and `names` have room for scenario->node_count. */
void scenario_lay_out(const struct scenario *scenario, struct world_node *nodes,
                      char (*names)[NODE_NAME_SIZE]);

/* The group and the zone ("": none) of node number `node`. */
const struct scenario_group *scenario_group_of(const struct scenario *scenario, uint32_t node);
const char *scenario_zone_of(const struct scenario *scenario, uint32_t node);

/* The numbers of the nodes that a target means, into `nodes`, which has room for scenario->node_count;
 * returns how many. `2 of ...` draws by `seed`: the same nodes for every line that says the same. */
uint32_t scenario_targets(const struct scenario *scenario, const struct scenario_target *target,
                          uint64_t seed, uint32_t *nodes);

/* How much later than the first the node `number` of the `count` nodes of a fault is struck. */
duration scenario_spread(duration spread_ns, uint32_t number, uint32_t count);

/* True if the target means a node of that name, role and zone; `some` is left out of account. */
bool scenario_target_means(const struct scenario_target *target, const char *name, const char *role,
                           const char *zone);

const char *accident_name(enum accident accident);
int accident_of(const char *name); /* or -1 */

#endif
