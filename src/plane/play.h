/* The faults of a scenario, played on the fleet that is here: what a person asks for when he starts one from
 * the dashboard. The file's fleet, load, policy and expectations are not used, and its accidents cannot be
 * done from within (`up --scenario` does all of it). At most one is played at a time. It is not stored: when
 * the control plane starts anew nothing is played, and the faults that are on end with their leases. */
#ifndef PLANE_PLAY_H
#define PLANE_PLAY_H

#include "base/units.h"
#include "plane/faults.h"
#include "scenario/scenario.h"

#include <stdbool.h>
#include <stdint.h>

struct plane;

enum { PLAY_NAME_SIZE = 64, REPERTOIRE_MAX = 128, PLAY_WHY_SIZE = 256 };

/* One scenario of the folder. */
struct listed {
    char name[PLAY_NAME_SIZE]; /* of the file, without .yaml */
    char title[SCENARIO_TITLE_SIZE], teaches[SCENARIO_TEXT_SIZE];
    char trouble[PLAY_WHY_SIZE]; /* why it cannot be read; "": it can */
    struct scenario_fault *faults;
    uint32_t fault_count, accident_count;
    uint64_t seed;
    duration length_ns;
};

/* The scenarios of a folder, by name; read again when a file has changed. Starts as all zeros. */
struct repertoire {
    char folder[4096]; /* "": none */
    struct listed *items;
    uint32_t count;
    uint64_t seen; /* of the files as they were read */
};

void repertoire_fini(struct repertoire *repertoire);
void repertoire_look(struct repertoire *repertoire);
const struct listed *repertoire_find(const struct repertoire *repertoire, const char *name);

/* Why it cannot be played on this fleet now, as a sentence in `why`; false if it can be. */
bool play_is_unfit(const struct plane *plane, const struct listed *item, char why[PLAY_WHY_SIZE]);

/* One fault on one node. */
struct play_strike {
    instant at; /* from the start */
    duration lease_ns;
    uint64_t fault; /* its id; 0: not struck */
    uint32_t line, node;
    bool done;
};

struct play_line {
    struct scenario_fault fault;
    uint32_t strikes, struck;
    char trouble[PLAY_WHY_SIZE]; /* why one of its strikes could not be done; "": they could */
};

struct play {
    char name[PLAY_NAME_SIZE], title[SCENARIO_TITLE_SIZE];
    instant began_at, ended_at; /* ended_at INSTANT_NEVER: it is being played */
    duration length_ns;
    struct play_line lines[SCENARIO_FAULTS_MAX];
    struct play_strike strikes[FAULTS_MAX];
    uint32_t line_count, strike_count;
};

/* Plays it from now on; it must not be unfit, and none may be being played. */
void play_begin(struct plane *plane, const struct listed *item);
bool play_is_on(const struct plane *plane);
void play_turn(struct plane *plane); /* does what is due */
void play_stop(struct plane *plane); /* clears its faults */

/* "2 of role:web", as the file says it. */
const char *play_target_text(const struct scenario_target *target, char out[2 * NODE_PATTERN_SIZE]);

#endif
