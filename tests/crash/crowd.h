/* The crowd: all processes of a lab, found in /proc by what they inherited from it, and what each is for;
 * and whatever else a fault might leave: files in the nodes' folders, users who wait. */
#ifndef TESTS_CRASH_CROWD_H
#define TESTS_CRASH_CROWD_H

#include "lab.h"

#include "base/text.h"

enum crowd_role {
    CROWD_PLANE,
    CROWD_AGENT,
    CROWD_WARDEN,
    CROWD_RELAY,
    CROWD_SERVICE,
    CROWD_HELPER,
    CROWD_LEASH,
    CROWD_GUARD,
    CROWD_OTHER,
    CROWD_ROLES
};

extern const char *const crowd_role_names[CROWD_ROLES];

enum { CROWD_MAX = 128 };

struct crowd {
    struct crowd_member {
        pid_t pid;
        enum crowd_role role;
        int node;   /* its index in the lab, or -1: nobody's */
        char state; /* as in proc(5) */
    } member[CROWD_MAX];
    size_t count;
};

/* Everybody who is alive now. */
void crowd_look(struct crowd *crowd, const struct lab *lab);

/* Adds a phrase for each process that should not be there when no fault is on, and for each that is stopped:
 * a living node agent keeps one warden, one relay and at most one service, and nobody else. */
void crowd_judge(const struct crowd *crowd, const struct lab *lab, struct text *left);

/* Likewise for files below a node's folder. */
void crowd_judge_files(const char *folder, struct text *left);

struct crowd_users {
    unsigned answered, failed; /* failed: answered with an error */
    duration median_ns;        /* of the answers */
};

/* Eight users of that ADDRESS:PORT, one after the other; of the built-in service, every other one writes. */
struct crowd_users crowd_ask_users(const char *address, bool speaks_http);

#endif
