/* The world: a synthetic fleet, as the decision core would see it through its node agents. Pure: no I/O, no
 * clock, no allocation; time and randomness arrive.
 *
 * Users' load goes to services with capacity and queues; services call services of other nodes, with
 * time-outs and retries, so trouble spreads to callers and a retry storm can outlive its cause. Each fault
 * says what it moves, which remedies cure it, which only mask it, and which make it worse (FAULT_TABLE). A
 * fluid model: per node and sample a few dozen operations, no single requests.
 *
 *     struct world *world = world_init(memory, &config);          // world_size(&config) zeroed bytes
 *     world_sample(world, node, now, &sample);                    // what the node agent would report at
 * `now` world_strike(world, &fault, now);                           // a fault begins world_remedy(world,
 * node, remedy, now, &done);              // a node agent carries out a command
 *
 * The same calls in the same order with the same seed give the same bytes. Every purpose has its own stream
 * of randomness, hashed from seed, purpose, node and count, so that a draw added in one shifts no other. */
#ifndef WORLD_WORLD_H
#define WORLD_WORLD_H

#include "core/core.h"

enum {
    WORLD_FAULTS_PER_NODE = 4, /* at once on one node, those to come in it; more are refused */
    WORLD_ROLES_MAX = 256,
    WORLD_NODE_MEMORY = 4 /* times the size of its service */
};

/* One service on one node. */
struct world_node {
    uint32_t calls[CALLS_MAX]; /* nodes; those of one role share the calls, one call goes to each role */
    uint32_t calls_count;
    uint16_t role;            /* equal for equal names, below WORLD_ROLES_MAX */
    uint16_t zone;            /* likewise; calls across zones take half a millisecond more */
    duration interval_ns;     /* between its samples */
    double users_per_s;       /* requests that come from outside, at the mean of the wave */
    double capacity_per_s;    /* requests that one core can serve */
    double service_time_s;    /* of one request without waiting, callees left out */
    double memory_bytes;      /* of the service when warm */
    double storage_latency_s; /* of a write */
    double network_latency_s; /* there and back */
};

/* What is the same for the whole fleet. Ratios are 0..1 unless told otherwise. */
struct world_config {
    uint32_t node_capacity;
    uint32_t retries; /* of a call that timed out or failed */
    uint64_t seed;
    double wave_ratio;     /* amplitude of the daily wave of load, relative to its mean */
    duration wave_ns;      /* its period: a day, or what fits the run */
    double burst_per_hour; /* bursts of load; their size has a heavy tail (Pareto, 1.5) */
    double noise_ratio;    /* 1: as in measured production series (docs/realism.md); 0: none */
    duration timeout_ns;   /* of a call */
    duration warm_ns; /* a cold cache needs so long to get warm after a restart; a cold one costs capacity */
};

/* One fault on one node. */
struct world_fault {
    uint32_t node;
    uint8_t kind;  /* enum fault_kind */
    uint8_t shape; /* enum shape */
    uint8_t reserved[2];
    double intensity;   /* in the unit of FAULT_TABLE */
    instant from_at;    /* injection */
    instant until_at;   /* ends by itself then, INSTANT_NEVER: only by its cure */
    duration period_ns; /* of spike, sawtooth and flapping */
};

/* What a node agent would put into a report. What it could not measure is left out, as in the live lab: a
 * service's own metrics while it is down, service_up while it is being started, latency and errors while
 * nobody asks. request_latency is the 99th percentile, and a time-out counts in full; error_ratio is of the
 * requests that were let in. */
struct world_sample {
    double value[METRIC_CAPACITY];
    uint32_t present;
    bool silent; /* partitioned, or the whole node is down: no report reaches anybody */
    uint8_t reserved[3];
    duration skew_ns; /* of the node's wall clock, which nobody should believe */
};

/* What became of a command on the node. */
struct world_done {
    duration took_ns; /* the outcome comes after so long */
    uint8_t outcome;  /* enum outcome: DONE, FAILED or UNSUPPORTED */
    uint8_t cured;    /* 1: it truly ended a fault of this node, or a storm that had outlived its cause */
    uint8_t masked;   /* 1: a fault is only hidden for a while */
    uint8_t harmed; /* 1: it made something worse: a needless restart of a loaded service, a cold cache in an
                       overload */
    uint8_t needed; /* 1: there was something here that some remedy cures: a lying sensor is not */
    uint8_t reserved[3];
};

/* The truth that nobody in the loop is told: for scores and checkers only. As of the node's last sample;
 * `faults` as of `now`. Users are worse off when every twentieth request fails, or answers take three times
 * as long as they would in this weather without faults and queues, and 20 ms more. An overload that scale_out
 * has made bearable is not counted as a fault any more, though it goes on. */
struct world_truth {
    uint32_t faults;       /* mask of active fault kinds on this node, sensor_fault and the like included */
    uint8_t ill;           /* 1: users of this node are worse off, for whatever reason */
    uint8_t ill_by_itself; /* 1: ... because of a fault or a full queue of its own */
    uint8_t up;            /* 1: its service runs */
    uint8_t drained;
    double served, failed; /* users' requests since the world began: availability by request */
};

struct world;

/* Values to begin with, each with its source in docs/world.md: a fleet of services at a quarter of their
 * capacity. */
void world_config_default(struct world_config *config);
void world_node_default(struct world_node *node); /* role and zone 0, calls nobody */

/* Bytes of a world of this size. Absurd figures (no nodes, a time-out of 0) are a broken invariant. */
size_t world_size(const struct world_config *config);

/* Makes an empty world in the caller's memory: world_size() bytes, 8-byte aligned and all zero. There are no
 * pointers inside, so it can be copied. */
struct world *world_init(void *memory, const struct world_config *config);

/* Nodes are numbered 0, 1, 2 ... as the core numbers them. Callees may be added later; a call to itself is
 * left out. Rates, capacity and times are finite; capacity is above 0. */
void world_add(struct world *world, uint32_t node, const struct world_node *what, instant now);

/* Advances the node to `now` (never earlier than before) and takes a sample. Neighbours are seen as they were
 * when they were advanced last, so the order in which nodes are sampled is part of the input. */
void world_sample(struct world *world, uint32_t node, instant now, struct world_sample *sample);

/* A fault begins at fault->from_at, which is not before any sample taken. False: too many on this node, a
 * value out of its range, or a shape that this kind cannot have. */
bool world_strike(struct world *world, const struct world_fault *fault);

/* Ends all faults of that kind on the node by hand. None: nothing happens. */
void world_clear(struct world *world, uint32_t node, enum fault_kind kind, instant now);

/* A hint: this node will be sampled soon. It changes nothing but the processor's caches. */
void world_ahead(const struct world *world, uint32_t node);

/* The node agent begins to carry out `remedy`. The world changes at once; the outcome is told after took_ns.
 * page_human is nothing for a node agent: UNSUPPORTED. */
void world_remedy(struct world *world, uint32_t node, enum remedy remedy, instant now,
                  struct world_done *done);

void world_truth(const struct world *world, uint32_t node, instant now, struct world_truth *truth);
uint64_t world_digest(const struct world *world); /* of all its bytes: O(nodes) */

#endif
