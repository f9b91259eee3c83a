/* The roster: who is who. Names of nodes and their numbers, what each told about itself, its newest
 * samples, and how far the store has its reports.
 *
 * Numbers are dense from 0 in order of enrolment and are never reused, also across restarts: the core, the
 * store and the roster mean the same node by one number. A node is enrolled when it is first heard of, or
 * when another one says that it calls it. Bounded by its capacity; a node's memory is taken when it is
 * enrolled, the room for samples and commands when it has some. */
#ifndef PLANE_ROSTER_H
#define PLANE_ROSTER_H

#include "core/core.h"
#include "plane/ledger.h"
#include "store/store.h"

#include <stdbool.h>

enum {
    RECENT_MAX = 32, /* samples kept in memory of one node; at the shortest interval of 10 ms more than the
                        quarter of a second that the store may lag */
    ORDERS_MAX = 8,  /* commands remembered of one node, the newest */
    LOSSES_MAX = 16, /* losses remembered of one node, the newest */
    NAMED_BY_ONE_MAX = 64, /* new names that one node may bring in as those that it calls, since our start */
    NAMED_SHARE = 4        /* a quarter of the places at most are for names that were never heard of */
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
    bool delivered;         /* an answer has carried it */
    double took_s;          /* NaN until told */
    char reason[STORE_TEXT_MAX];
    char detail[STORE_TEXT_MAX];
};

struct orders {
    struct order slot[ORDERS_MAX];
};

/* Reports that a node agent lost, remembered so that a repeated word is not counted twice. */
struct losses {
    struct loss {
        uint64_t boot, first, last;
    } ring[LOSSES_MAX];
    uint32_t count; /* ever */
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
    bool heard;      /* it said hello or reported itself; else another one named it */
    bool told;       /* the core knows it since this start of ours */
    bool gone;
    bool synthetic;       /* of the world model */
    bool program;         /* of one's own, in place of the built-in service */
    bool undo, undo_told; /* a person wants its remedies taken back; an answer has said so */
    double clock_off_s;   /* its wall clock is ahead of ours by so much, as its hello told; NaN: unknown */
    uint32_t standing;    /* mask of remedies in force, as its newest report tells */
    bool changed;         /* since its row was last handed to the store */
    uint8_t last_health;  /* as watchers were told */
    uint32_t named;       /* new names that it brought in */
    uint32_t turns;       /* how often its present boot was the one before last, in a row */
    uint64_t boot_before; /* the boot that the present one replaced */
    instant turned_at, twins_told_at; /* when that was; when people were told; INSTANT_NONE: never */
    instant struck_at;                /* the newest fault was asked for; INSTANT_NONE: never */
    uint64_t ticket;                  /* newest batch with an effect on this node */
    instant sampled_at;       /* newest sample of this boot, or when it said hello; INSTANT_NONE: none yet */
    uint64_t stored_sequence; /* highest of this boot that was ever known to be durable */
    struct ledger ledgers[2]; /* one of the present boot; one of another whose backlog is being posted */
    struct losses *losses;    /* NULL: nothing was lost */
    struct recent *recent;    /* NULL: no samples yet */
    struct orders *orders;    /* NULL: no command yet */
};

struct roster {
    struct node **nodes; /* by number */
    uint32_t count, capacity;
    uint32_t named;  /* of them, those that were never heard of */
    uint32_t *slots; /* hash of names: number + 1, or 0 */
    uint32_t slot_count;
};

void roster_init(struct roster *roster, uint32_t capacity);
void roster_fini(struct roster *roster);

struct node *roster_find(const struct roster *roster, const char *name); /* NULL if it is not enrolled */
struct node *roster_node(const struct roster *roster,
                         uint32_t number); /* a number out of range is our mistake */

/* Finds or enrols one that is heard of now. NULL if the roster is full. `name` must be a legal one. */
struct node *roster_enrol(struct roster *roster, const char *name);

/* Finds or enrols one that `by` says it calls. NULL if the roster is full, or has as many as it may that were
 * named and never heard of, by all (capacity / NAMED_SHARE) or by this one (NAMED_BY_ONE_MAX). */
struct node *roster_name(struct roster *roster, struct node *by, const char *name);

/* The name among all nearest to a misspelt one, or NULL; the first 1000 are looked at. */
const char *roster_nearest(const struct roster *roster, const char *misspelt);

/* The node's row for the store, and back. roster_restore() enrols under the row's number; rows come by
 * number. */
void roster_row(const struct roster *roster, const struct node *node, struct node_row *row);
struct node *roster_restore(struct roster *roster, const struct node_row *row);

/* Where a fault would be on it: FAULT_AT_SERVICE, FAULT_AT_PROGRAM or FAULT_AT_SYNTHETIC. */
uint32_t node_place(const struct node *node);

/* What the core is to be told of it. */
void roster_hello(const struct node *node, struct hello *hello);

/* The newest samples. */
void node_remember(struct node *node, instant at, const struct report *report);
const struct recent_samples *node_newest(const struct node *node); /* NULL if there are none */

/* Reports first..last (from 1) of a boot are accepted and go along with this ticket; the tickets up to
 * `durable` are committed. */
void node_taken(struct node *node, uint64_t boot, uint64_t first, uint64_t last, uint64_t ticket,
                uint64_t durable);

/* `stored_through` of that boot (ledger.h); 0 of one that nothing is known of. */
uint64_t node_through(struct node *node, uint64_t boot, uint64_t durable);

void node_forget_taken(struct node *node); /* a commit failed, another epoch begins */

/* A node agent starts anew with another boot, by a hello or a report whose newest sample is of `at`. */
void node_reboot(struct node *node, uint64_t boot, instant at);

/* After each node_reboot(): true, and at most once a minute, when two boots take turns. A report that was
 * overtaken by its successor's hello looks like that too, but not for long. */
bool node_has_twin(struct node *node, instant now);

/* True for a boot that was replaced: reports of it are what its node agent had put by. */
bool node_is_past(const struct node *node, uint64_t boot, instant sampled_at);

/* How many of these reports were not told of before, and the loss as it is now known: one that
 * begins where an earlier one of its boot does continues it. */
uint64_t node_note_loss(struct node *node, struct loss *loss);

/* The order for a new command; the oldest ended one gives way. */
struct order *node_order(struct node *node, const struct command *command);
struct order *node_find_order(const struct node *node, uint64_t command);

/* Visible, without an outcome, not expired: what the node agent is to be told. */
bool order_is_waiting(const struct order *order, instant now);
bool node_has_orders(const struct node *node, instant now); /* any of them is waiting */

#endif
