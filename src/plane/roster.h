/* The roster: who is who. Names of nodes and their numbers, what each told about itself, its last minute of
 * samples, and how far the store has its reports.
 *
 * Numbers are dense from 0 in order of enrolment and are never reused, also across restarts: the core, the
 * store and the roster mean the same node by one number. A node is enrolled when it is first heard of, or
 * when another one says that it calls it. Bounded by its capacity; a node's memory is taken when it is
 * enrolled, the room for samples and commands when it has some. */
#ifndef PLANE_ROSTER_H
#define PLANE_ROSTER_H

#include "core/core.h"
#include "store/store.h"

#include <stdbool.h>

enum {
    RECENT_MAX = 64, /* samples kept in memory of one node: a minute at one a second */
    ORDERS_MAX = 8   /* commands remembered of one node, the newest */
};

struct recent {
    struct recent_samples {
        instant at;
        uint32_t present;
        uint32_t reserved;
        double value[METRIC_COUNT];
    } ring[RECENT_MAX];
    uint32_t count; /* ever; ring[(count - 1) % RECENT_MAX] is the newest */
};

struct order {
    struct command command; /* id 0: free */
    bool visible;           /* its intent is durable: the node agent may have it */
    double took_s;          /* NaN until told */
    char reason[STORE_TEXT_MAX];
    char detail[STORE_TEXT_MAX];
};

struct orders {
    struct order slot[ORDERS_MAX];
};

/* A report handed to the store, whose commit is awaited. */
struct handed {
    uint64_t boot, sequence;
    uint64_t ticket; /* 0: none */
};

struct node {
    char name[NODE_NAME_SIZE];
    char role[STORE_WORD_MAX];
    char zone[STORE_WORD_MAX];
    char address[STORE_WORD_MAX];
    uint32_t calls[CALLS_MAX];
    uint32_t calls_count;
    uint32_t number;
    uint64_t boot;
    uint64_t sequence; /* highest seen of this boot */
    int64_t pid;       /* 0: unknown */
    duration interval_ns;
    instant seen_at; /* newest report; INSTANT_NONE: none yet */
    bool told;       /* the core knows it since this start of ours */
    bool gone;
    bool changed;        /* since its row was last handed to the store */
    uint8_t last_health; /* as watchers were told */
    uint64_t ticket;     /* newest batch with an effect on this node */
    uint64_t stored_boot, stored_sequence;
    struct handed handed[2];
    struct recent *recent; /* NULL: no samples yet */
    struct orders *orders; /* NULL: no command yet */
};

struct roster {
    struct node **nodes; /* by number */
    uint32_t count, capacity;
    uint32_t *slots; /* hash of names: number + 1, or 0 */
    uint32_t slot_count;
};

void roster_init(struct roster *roster, uint32_t capacity);
void roster_fini(struct roster *roster);

struct node *roster_find(const struct roster *roster, const char *name); /* NULL if it is not enrolled */
struct node *roster_node(const struct roster *roster,
                         uint32_t number); /* a number out of range is our mistake */

/* Finds or enrols. NULL if the roster is full. `name` must be a legal one. */
struct node *roster_enrol(struct roster *roster, const char *name);

/* The name among all nearest to a misspelt one, or NULL; the first 1000 are looked at. */
const char *roster_nearest(const struct roster *roster, const char *misspelt);

/* The node's row for the store, and back. roster_restore() enrols under the row's number; rows come by
 * number. */
void roster_row(const struct roster *roster, const struct node *node, struct node_row *row);
struct node *roster_restore(struct roster *roster, const struct node_row *row);

/* What the core is to be told of it. */
void roster_hello(const struct node *node, struct hello *hello);

/* Samples of the last minute. */
void node_remember(struct node *node, instant at, const struct report *report);
const struct recent_samples *node_newest(const struct node *node); /* NULL if there are none */

/* `stored_through`: a report was handed over with this ticket; the tickets up to `durable` are committed.
 * Errs on the safe side: what it says is stored is stored. */
void node_handed(struct node *node, uint64_t boot, uint64_t sequence, uint64_t ticket, uint64_t durable);
void node_settle(struct node *node, uint64_t durable);
void node_unhand(struct node *node); /* a commit failed: forget what was under way */

/* The order for a new command; the oldest ended one gives way. */
struct order *node_order(struct node *node, const struct command *command);
struct order *node_find_order(const struct node *node, uint64_t command);

/* Visible, without an outcome, not expired: what the node agent is to be told. */
bool order_is_waiting(const struct order *order, instant now);
bool node_has_orders(const struct node *node, instant now); /* any of them is waiting */

#endif
