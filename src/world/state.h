/* What a node of the world is between two samples. Private to this folder: others see world.h.
 *
 * world.c moves a node from one sample to the next and asks the others in this order:
 *
 *     fault.c    which forces act on it now
 *     noise.c    what the weather is: load, cost of requests, tails, housekeeping
 *     graph.c    what it calls, and what comes back
 *     service.c  queue, utilisation, latency, errors
 *     report.c   what its node agent would report
 *     remedy.c   (on command) what a remedy does to it */
#ifndef WORLD_STATE_H
#define WORLD_STATE_H

#include "base/check.h"
#include "base/random.h"
#include "world/world.h"

/* Purposes of randomness. Each is a stream of its own; the noise has one for each channel and octave. */
enum purpose { PURPOSE_PHASE, PURPOSE_BURST, PURPOSE_JOB, PURPOSE_SAMPLE, PURPOSE_TOOK, PURPOSE_NOISE = 16 };

/* The channels of noise, see noise.c for their size at each time scale. */
enum channel {
    NOISE_LOAD,
    NOISE_COST,
    NOISE_TAIL,
    NOISE_STORAGE,
    NOISE_NETWORK,
    NOISE_MEMORY,
    NOISE_NODE,
    NOISE_FILES,
    NOISE_CHANNELS
};
enum { NOISE_OCTAVES = 6, NOISE_FAST = 2 }; /* the first ones turn often */

struct weather {
    float left[NOISE_FAST][NOISE_CHANNELS];  /* at the beginning of the octave's present slot */
    float right[NOISE_FAST][NOISE_CHANNELS]; /* at its end */
    float slow[NOISE_CHANNELS];    /* all others together, at the beginning of the first of their slots */
    float step[NOISE_CHANNELS];    /* ... and what they gain until its end */
    instant at;                    /* of the last look, on the node's own phase; INSTANT_NONE: none */
    instant burst_at, burst_until; /* of the slot's burst of load; empty if there is none */
    instant job_at, job_until;     /* likewise of its housekeeping */
    double burst_size, job_size;
};

/* What the weather says at one instant. */
struct sky {
    double load;                   /* factor on the users' mean rate, the daily wave in it */
    double job;                    /* 0..1 of the processor, for housekeeping that gives way to requests */
    double factor[NOISE_CHANNELS]; /* around 1 */
};

/* What all faults of a node together do to it at one instant. All zero: nothing, except `surge`, then 1. */
struct forces {
    double burn;         /* share of the request loop */
    double neighbour;    /* share of the node's processor */
    double network_s;    /* added to every reply */
    double storage_s;    /* added to every write */
    double loss;         /* share of replies; 1: the link is cut */
    double refuse;       /* share of requests */
    double io_errors;    /* share of writes */
    double files;        /* filesystem filled up to this share */
    double surge;        /* factor on the users' requests */
    double leak_per_min; /* of the node's memory */
    double sensor;       /* cpu_utilization as reported, if `lies` */
    duration exit_ns;    /* a bad release exits so long after its start; 0: no */
    instant released_at; /* ... and was started then, when it was rolled out */
    duration skew_ns;
    instant hung_at; /* since when, if `hung`; of what comes and goes, the first time */
    bool crashed, hung, off, cut_off, lies;
};

/* The face that a node shows its callers: one cache line. */
struct face {
    int64_t calls_milli; /* thousandths of a request per second that callers send it */
    float fail;          /* share of what it takes in */
    float refused;       /* share turned away at the door, which callers do not try again */
    float latency_s;     /* 99th percentile, callees in it */
    float mean_s;
    float usual_s; /* latency_s in this weather, without faults and queues */
    uint16_t role, zone;
    uint32_t next_of_role; /* a ring through all nodes of its role */
    uint8_t known, up, drained, off;
    uint8_t reserved[20];
};

/* Why the service is gone. */
enum death { DEATH_NONE, DEATH_OF_MEMORY, DEATH_BY_RELEASE, DEATH_AT_START };

struct node {
    struct face face;
    uint64_t key;   /* of its randomness */
    duration phase; /* of its weather, so that the fleet's octaves do not turn all at once */
    instant at;     /* of the last sample */
    instant started_at, down_from, down_until, off_until;
    double users_per_s, capacity_per_s, service_time_s, memory_bytes, storage_latency_s, network_latency_s;
    double backlog;   /* requests that wait */
    double leaked;    /* of memory_bytes */
    double instances; /* 1, 2, 4 ... */
    double served, failed;
    double utilization; /* of the request loop, from outside and unbounded: arrivals over capacity */
    double own_fail, own_s, fail, latency_s; /* as of the last sample: by itself, and with what it calls */
    double usual_own_s;                      /* of a request in this weather, without faults and queue */
    double arrivals_per_s;
    uint32_t calls[CALLS_MAX];
    uint32_t sent_milli[CALLS_MAX + 1]; /* what it sends them now; the last: its users to a sibling */
    uint32_t sibling;                   /* who gets its users while it is drained; NO_INDEX: nobody */
    uint32_t starts, samples, draws;
    float lost; /* share of the node agent's last pings */
    uint8_t calls_count, fault_count;
    uint8_t dead;      /* enum death: its process is gone and stays so until a start */
    uint8_t shedding;  /* turns requests away */
    uint8_t was_up;    /* at the last sample */
    uint8_t saturated; /* its own queue does not fit its capacity */
    uint8_t reserved[2];
    struct world_fault faults[WORLD_FAULTS_PER_NODE];
    uint8_t carried[WORLD_FAULTS_PER_NODE]; /* 1: an overload that goes on and hurts nobody any more */
    uint32_t carried_reserved;
    struct weather weather;
};

struct world {
    struct world_config config;
    uint32_t first_of_role[WORLD_ROLES_MAX]; /* 1 + node, 0: none */
    uint32_t nodes;
    uint32_t reserved;
    struct node node[];
};

/* Sources of the figures: docs/world.md. */
#define WRITE_RATIO      0.2   /* of requests that write; as the built-in load does */
#define P99_EXPONENTIAL  4.605 /* ln 100: the 99th percentile of an exponential time over its mean */
#define P99_SERVICE      2.2   /* 99th percentile over mean of a request alone */
#define RHO_MAX          0.98  /* up to here the stationary wait is used, beyond it the backlog tells */
#define COLD_RATIO       0.5   /* of capacity that a cold cache leaves */
#define NEIGHBOUR_WEIGHT 0.8   /* of the processor that a neighbour takes from the service */
#define SHED_TARGET      0.75  /* of capacity that shedding lets in */
#define QUEUE_TIMEOUTS   2.0   /* the queue holds what is served in so many time-outs */
#define BURN_SLICE_S     0.06  /* the built-in service burns in slices of that period */
#define MEMORY_LIMIT     ((double)WORLD_NODE_MEMORY) /* then the kernel ends the service */
#define REPLY_BYTES      600.0                       /* of one reply on the wire, head and body */
#define PINGS_S          1.5  /* the mean age of the pings of which the losses are counted ... */
#define PINGS            60.0 /* ... and their number, twenty a second */
#define CROSS_ZONE_S     0.0005
#define FULL_RATIO       0.999 /* so full that nothing can be written any more */

static inline double clamp(double x, double low, double high)
{
    return x < low ? low : x > high ? high : x;
}

static inline double larger(double a, double b)
{
    return a > b ? a : b;
}

static inline double smaller(double a, double b)
{
    return a < b ? a : b;
}

static inline struct node *node_of(struct world *world, uint32_t node)
{
    CHECK(node < world->config.node_capacity && world->node[node].face.known);
    return &world->node[node];
}

/* fault.c */
void fault_forces(struct node *node, instant now, struct forces *forces); /* forgets those that are over */
bool fault_active(const struct world_fault *fault, instant now);
uint32_t fault_mask(const struct node *node, instant now); /* of kinds, the carried ones left out */
void fault_forget(struct node *node, uint32_t index);

/* noise.c */
void noise_look(const struct world_config *config, struct node *node, instant now, struct sky *sky);

/* graph.c */
struct answer {           /* what calling all roles costs one request */
    double mean_s, p99_s; /* added, retries in it */
    double usual_s;
    double fail;            /* after retries */
    double rate[CALLS_MAX]; /* calls that each callee gets for one request */
};
void graph_ask(const struct world *world, const struct node *node, struct answer *answer);
void graph_send(struct world *world, struct node *node, const struct answer *answer, double requests_per_s);
void graph_send_users(struct world *world, struct node *node,
                      double users_per_s);                        /* 0: they come here again */
uint32_t graph_sibling(const struct world *world, uint32_t node); /* who could stand in; NO_INDEX: nobody */

/* service.c */
struct served { /* one interval of the service */
    double cpu; /* utilization, 0..1 */
    double own_mean_s, own_p99_s;
    double mean_s, p99_s;  /* callees in it */
    double own_fail, fail; /* of what was taken in */
    double refused;        /* of what came */
    double taken_per_s;    /* goes on to the callees */
};
void service_run(const struct world_config *config, struct node *node, const struct forces *forces,
                 const struct sky *sky, const struct answer *answer, double arrivals_per_s, instant now,
                 struct served *served);
double service_capacity(const struct world_config *config, const struct node *node,
                        const struct forces *forces, instant now);
void service_start(struct node *node, instant at); /* afresh: empty queue, cold cache, not drained */

/* report.c */
void report_fill(const struct world_config *config, struct node *node, const struct forces *forces,
                 const struct sky *sky, const struct served *served, double fail, double arrivals_per_s,
                 instant now, struct world_sample *sample);

#endif
