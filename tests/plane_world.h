/* A control plane with a database in a folder of its own, and a client that talks to it over a real socket,
 * all on one loop in one thread. Every wait turns the loop until something has happened, and fails the test
 * after PATIENCE_NS. */
#ifndef TESTS_PLANE_WORLD_H
#define TESTS_PLANE_WORLD_H

#include "base/units.h"
#include "plane/plane.h"
#include "wire/client.h"

#include <event2/event.h>
#include <jansson.h>
#include <stdbool.h>

#define PATIENCE_NS (15 * SECOND)

struct world {
    struct event_base *base;
    struct plane *plane;
    struct client *client;
    int port;
    char folder[64];
    char database[96];
    char log[96];
    const char *policy;
    duration inject_gap_ns; /* of the plane's options, for the next start */
    /* The newest answer. */
    int status;
    char *body;
    json_t *json; /* NULL if it was none */
    bool answered;
    uint64_t sequence; /* of report() */
};

/* Quick to fire, quick to believe: a tenth of a second each, so that a story takes one second and not ten. */
extern const char quick_policy[];

void world_open(struct world *world, const char *policy);
void world_close(struct world *world);
void world_stop_plane(struct world *world);
void world_start_plane(struct world *world);
void world_turn(struct world *world); /* once around the loop, waiting 5 ms at most */
instant world_now(void);

#define WAIT_FOR(world, expression)                                                                          \
    do {                                                                                                     \
        instant wait_until = world_now() + PATIENCE_NS;                                                      \
        while (!(expression)) {                                                                              \
            if (world_now() > wait_until)                                                                    \
                fail_msg("waited in vain for: %s", #expression);                                             \
            world_turn(world);                                                                               \
        }                                                                                                    \
    } while (0)

/* One request; returns the status and keeps the answer in the world. `body` may be NULL. */
int call(struct world *world, const char *method, const char *path, const char *body);
int call_as(struct world *world, const char *method, const char *path, const char *type, const char *body);
int call_bytes(struct world *world, const char *method, const char *path, const char *type, const char *body,
               size_t length);

/* Members of the newest answer by a path such as "commands.0.remedy"; NULL or NaN if there is none. */
json_t *member(struct world *world, const char *path);
const char *word(struct world *world, const char *path);
double number(struct world *world, const char *path);

/* Says hello with a report interval of 50 ms. */
void hello(struct world *world, const char *node);

/* A numbered report with that CPU, about 30 ms after the one before; returns the status. */
int report(struct world *world, const char *node, double cpu);

/* Reports that CPU until the answer brings a command; returns its id. */
uint64_t report_until_command(struct world *world, const char *node, double cpu);

/* Reports that CPU until incident `id` is in that state. */
void report_until_state(struct world *world, const char *node, double cpu, int id, const char *state);

int outcome(struct world *world, uint64_t command, const char *node, const char *word);

/* Bytes as they are; the caller frees the whole answer. */
char *say_raw(struct world *world, const char *text);

#endif
