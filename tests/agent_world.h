/* A small world for the stories about the node agent: a control plane in this process that writes down all it
 * hears, and the node agent as a process of its own. The test program is started again as whatever it is told
 * to be: the node agent, the built-in service, the relay, or a program that is not ours. */
#ifndef TESTS_AGENT_WORLD_H
#define TESTS_AGENT_WORLD_H

#include "base/clock.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { REPORTS_MAX = 8192, EPOCH = 3 };

struct heard { /* one report */
    json_t *body;
    char boot[17];
    uint64_t sequence;
    double age_s;
    int64_t at_ns;
    size_t batch; /* reports that came with it, itself included */
};

struct world {
    struct event_base *base;
    struct server *server; /* NULL: the control plane is away */
    int port;
    char folder[64], witness[96];
    pid_t agent;
    char boot[17]; /* of the newest hello, like the next two */
    char address[32];
    pid_t service;
    int hellos, goodbyes;
    json_t *commands, *faults; /* what the answers carry */
    json_t *outcomes;          /* all that came, in order */
    json_t *gaps;              /* likewise */
    int epoch;                 /* EPOCH at first */
    bool forgetful;            /* nothing is called durable */
    bool mute;                 /* takes what comes, and does not answer reports any more */
    bool old;                  /* says no epoch in its answers, and knows nothing of gaps */
    bool strict;               /* asks for tokens: 401 */
    bool picky;                /* refuses bodies with a report whose sequence ends in 77 */
    duration slow_ns;          /* reads a batch for that long, and cannot do anything else meanwhile */
    size_t spool_bytes;        /* 0: the node agent's default */
    struct request *unanswered[64];
    size_t unanswered_count;
    size_t bodies, biggest; /* reports' bodies, and the bytes of the biggest */
    struct heard heard[REPORTS_MAX];
    size_t count;
};

/* Plays the role that the command line names and returns true, or returns false: then this is the test. */
bool world_role(int argc, char **argv, int *exit_code);

int world_setup(void **state);
int world_teardown(void **state);

void world_plane_start(struct world *world);
void world_plane_stop(struct world *world);

/* `manner` NULL: the built-in service; else how the program that is not ours behaves: "", busy (a child of it
 * burns), stubborn (it ignores SIGTERM), parent (with a child in a session of its own, and one below that).
 */
void world_agent_start(struct world *world, const char *manner, int interval_ms, const char *probe);

/* True if the node agent has written that to its stderr. */
bool world_said(const struct world *world, const char *text);

/* Returns wait(2)'s status. */
int world_agent_end(struct world *world, int signal_number);

/* What the answers say from now on. */
void world_order(struct world *world, uint32_t sequence, const char *remedy);
json_t *world_command(const struct world *world, uint32_t sequence, const char *remedy);
uint64_t world_command_id(uint32_t sequence);
void world_strike(struct world *world, int id, const char *kind, double intensity);

/* A sample of the newest report, or `otherwise` if it is not in it. */
double world_sample(const struct world *world, const char *metric, double otherwise);
/* Member `name` of the newest report's fault `id`, "" if there is none. */
const char *world_fault(const struct world *world, int id, const char *name);
/* Member `name` of the newest outcome of a command, "" if there is none. */
const char *world_outcome(const struct world *world, uint32_t sequence, const char *name);

bool world_outcome_is(const struct world *world, uint32_t sequence, const char *word);
bool world_fault_is(const struct world *world, int id, const char *name, const char *word);
/* The newest report says that the service is up and that users get answers. */
bool world_is_up(const struct world *world);

/* How many times that report came. */
size_t world_came(const struct world *world, const char *boot, uint64_t sequence);

/* How often a program that is not ours was started. */
int world_starts(const struct world *world);
/* Process ids that programs wrote into the witness file at their start; returns how many there are. */
int world_witnesses(const struct world *world, pid_t *pids, int most);
bool world_is_gone(pid_t pid);

/* A process that burns a core, to be killed and waited for. */
pid_t world_neighbour(void);

/* Lets the control plane work for some milliseconds. */
void world_turn(struct world *world);

#define WAIT(world, seconds, condition)                                                                      \
    do {                                                                                                     \
        int64_t by_ns_ = monotonic_ns() + (int64_t)(seconds)*SECOND;                                         \
        while (!(condition)) {                                                                               \
            if (monotonic_ns() > by_ns_)                                                                     \
                fail_msg("waited %d s in vain: %s", (int)(seconds), #condition);                             \
            world_turn(world);                                                                               \
        }                                                                                                    \
    } while (0)

#endif
