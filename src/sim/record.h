/* A recorder as a watcher of a simulation: the journal that a control plane in its place would have written,
 * and what only the simulator knows, the effects in the world. The same scenario and seed give the same
 * bytes.
 *
 *     struct sim_record record = {.recorder = recorder};
 *     options.watch[options.watch_count++] = sim_record_watch(&record); */
#ifndef SIM_RECORD_H
#define SIM_RECORD_H

#include "journal/recorder.h"
#include "sim/sim.h"

struct sim_record {
    struct recorder *recorder;
    struct event event; /* the one under way */
    bool lives;         /* the core of the newest life is the one in force */
};

struct sim_watch sim_record_watch(struct sim_record *record);

#endif
