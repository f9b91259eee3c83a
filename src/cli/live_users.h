/* How the users of one node fared, from the reports that it sent: the truth of a live run, as far as there is
 * one. Users are ill when every twentieth request fails, when the service is down, or when answers take three
 * times as long as before the first fault and 50 ms more, which is beyond what a busy laptop does to
 * innocents.
 */
#ifndef CLI_LIVE_USERS_H
#define CLI_LIVE_USERS_H

#include "store/store.h"

struct moment { /* one report */
    instant at; /* from the start of the script */
    bool ill;
    double served_per_s, asked_per_s; /* NaN: not measured */
};

struct look { /* at one node */
    struct moment *moments;
    uint32_t count, room;
    uint64_t reports; /* those before the start counted */
    double usual_s;   /* latency before the first fault */
};

/* Reads the samples of node `number` of the database. Their instants are counted from `begun_at`;
 * `first_fault_at` is counted so, too. False if they cannot be read. `look` is zeroed before, and
 * live_users_fini()d later. */
bool live_users_read(struct store *store, uint32_t number, instant begun_at, instant first_fault_at,
                     struct look *look);
void live_users_fini(struct look *look);

bool live_users_were_ill(const struct look *look, instant at);

/* From `struck_at` until they were well again, after having been ill: well for five seconds, or until the
 * end. Below 0: they were never ill, or never well again. */
duration live_users_recovered(const struct look *look, instant struck_at);

struct availability {
    double served, asked;     /* requests, all by one factor */
    double well_ns, lived_ns; /* time of nodes */
};

/* Adds the node's; `usual_per_s`: its users, for the time when nobody was answered. */
void live_users_sum(const struct look *look, double usual_per_s, struct availability *sum);

#endif
