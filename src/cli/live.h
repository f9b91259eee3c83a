/* A scenario live: its fleet of real node agents, or of one process of synthetic ones, its script on the real
 * clock, and what came of it, judged as the simulator is judged. What the parts share.
 *
 *     live_refusal()       can it be done live?                    live_refuse.c
 *     live_begin_script()  the script, as a list of acts           live_script.c
 *     live_turn()          ... does what is due
 *     live_heal()          ends everything that is still on
 *     live_result()        reads the database                      live_score.c
 *     live_print...()      tells it                                live_tell.c
 *
 * The script's clock starts when all nodes have reported once. */
#ifndef CLI_LIVE_H
#define CLI_LIVE_H

#include "cli/fleet.h"
#include "cli/lab_log.h"
#include "cli/machine_use.h"
#include "cli/tale.h"
#include "cli/watch.h"
#include "policy/policy_file.h"
#include "scenario/expect.h"
#include "scenario/lab.h"
#include "sim/sim.h"

enum {
    LIVE_NODES_MAX = 24,   /* real ones: three processes each, on a laptop */
    LIVE_ACTS_MAX = 65536, /* of a script */
    LIVE_SENTENCE_SIZE = 512
};

enum act_kind { ACT_STRIKE, ACT_END_STRIKE, ACT_BEGIN, ACT_END };

/* One thing that the script does at one instant to one node, or to the control plane. */
struct act {
    instant at;      /* from the start of the script */
    uint32_t line;   /* number of the fault or accident in the scenario */
    uint32_t node;   /* NO_INDEX: none */
    uint32_t strike; /* of ACT_STRIKE and ACT_END_STRIKE */
    uint32_t order;  /* as they were made: keeps those of one instant in order */
    uint8_t kind;    /* enum act_kind */
    bool done;
};

/* One line's fault on one node. */
struct strike {
    uint64_t id;     /* of the fault, 0: none yet */
    instant over_at; /* from the start, INSTANT_NEVER: at the healing */
    uint32_t line, node;
};

struct live_options {
    const char *path; /* of the scenario */
    const char *database;
    const char *record_path; /* a journal is written there; NULL: none */
    const char *policy_path; /* NULL: the scenario's, else the default */
    int port;
    bool synthetic;
    uint32_t synthetic_nodes; /* 0: as many as the scenario says */
    uint64_t seed;            /* 0: the scenario's */
    bool json, verbose;
};

struct live {
    struct live_options options;
    struct scenario *scenario;
    struct fleet_options fleet_options;
    struct fleet_synthetic synthetic;
    struct lab lab;
    struct world_node *nodes; /* as laid out */
    char (*names)[NODE_NAME_SIZE];
    double *load;
    struct fleet *fleet;
    struct watch *watch;
    struct lab_log *log;
    struct machine_use machine;
    struct act *acts;
    struct strike *strikes;
    uint32_t act_count, act_room, strike_count, strike_room, first_act; /* all before it are done */
    int64_t begun_ns;   /* CLOCK_MONOTONIC, when the script began; 0: not yet */
    instant begun_at;   /* the same by the wall clock, which the control plane's follows */
    instant healed_at;  /* from the start: when the healing phase began, INSTANT_NEVER: not yet */
    instant ended_at;   /* ... and when it was over */
    int lock_fd;        /* only one run at a time works on a database; -1: not taken */
    bool plane_is_away; /* killed or suspended by the script: nobody asks it anything */
    char trouble[2048]; /* why the run is void; "": it is not */
};

struct live_result {
    struct sim_result sums; /* digest, turns, harmful, fates and deeds_dropped stay 0 */
    struct tale *tale;
    json_t *story;   /* tale_json() */
    char **expected; /* a line each */
    double took_s;   /* of the script and its healing */
    double others;   /* machine_use_by_others() over the whole run */
};

/* True if the scenario cannot be done live in this way; then `sentence` says why, and names the line. */
bool live_refusal(const struct live *live, char sentence[LIVE_SENTENCE_SIZE]);

/* --- live_script.c --- */

/* False with live->trouble: more acts than there is room for. */
bool live_begin_script(struct live *live);

/* Nanoseconds from the start of the script. */
instant live_now(const struct live *live);

/* Does what is due; when the next is due, from the start, or INSTANT_NEVER. What the control plane must take
 * waits until it is there. */
instant live_turn(struct live *live);

/* Ends faults, accidents and words of people. False with live->trouble if the control plane does not do it.
 */
bool live_heal(struct live *live);

/* True when nothing is under way any more that will end by itself. Asks the control plane. */
bool live_is_at_rest(const struct live *live);

/* --- live_score.c, live_tell.c --- */

/* From the database, after the end. False with live->trouble if it cannot be read. */
bool live_result(struct live *live, struct live_result *result);
void live_result_free(struct live_result *result);

void live_print_summary(const struct live *live, const struct live_result *result);
void live_print_json(const struct live *live, const struct live_result *result);

/* --- the whole --- */

/* Runs it and tells what it came to; an exit code. */
int live_run(const struct live_options *options);

#endif
