/* What the files of src/synthetic share. Private to them.
 *
 *     synthetic.c  the loop: who is sampled when, the beginning and the end
 *     node.c       one node agent: samples, hello, reports, answers
 *     ring.c       reports that are not durable yet, and what was lost of them
 *     commands.c   commands: each at most once
 *     strikes.c    faults, as the control plane asks for them
 *     way.c        messages, and what becomes of them on the way */
#ifndef SYNTHETIC_STATE_H
#define SYNTHETIC_STATE_H

#include "agent/orders.h"
#include "base/check.h"
#include "base/heap.h"
#include "base/random.h"
#include "base/text.h"
#include "synthetic/synthetic.h"
#include "wire/client.h"

#include <stdio.h>

struct event;
struct event_base;

enum {
    RING_MAX = 128, /* reports kept by one node; beyond that the oldest becomes part of a loss */
    BATCH_MAX = 64, /* of them in one message of the backlog */
    LIVE_MAX = 4,   /* newest reports of one node under way at once: as many as come until a time-out */
    BACKLOGS_MAX =
        8, /* messages of backlogs under way in the fleet, so that they leave room for the newest */
    IN_FLIGHT_MAX = 1024, /* messages of all kinds; at it reports stay in their rings, the rest comes later */
    PLANE_CONNECTIONS = 16, /* kept open */
    GOODBYES_MAX = 64,      /* under way at once */
    JOURNAL_MAX = 256,      /* command ids remembered by one node */
    QUEUE_MAX = 8,          /* commands waiting on one node; more will be offered again */
    LOSSES_MAX = 16,
    STRIKES_MAX = 16,  /* faults known to one node, told-of ends included */
    UNANSWERED_MAX = 3 /* messages in a row: then nobody is there. One alone may just have been lost */
};

#define ANSWER_LIMIT_NS (3 * SECOND)  /* reports are answered at once; a slow answer is none */
#define HELLO_AGAIN_NS  (1 * SECOND)  /* a hello that was not answered */
#define GREET_AGAIN_NS  (30 * SECOND) /* for a control plane that was replaced unnoticed */
#define WORK_LIMIT_NS   (20 * SECOND) /* a remedy that takes longer is given up: cut, as on a real node */
#define PROBE_NS        (200 * MILLISECOND) /* while nobody answers, one hello in this time for the whole fleet */
#define SETTLE_NS                                                                                            \
    (500 * MILLISECOND)         /* for what is under way at the end: it must not arrive behind the goodbye */
#define GOODBYE_NS (2 * SECOND) /* for all of them */

/* --- reports -------------------------------------------------------------------------------------------- */

enum record_state { RECORD_PENDING, RECORD_FLYING, RECORD_ACCEPTED };

struct record {
    int64_t taken_ns; /* uptime */
    uint64_t boot, sequence;
    double value[METRIC_COUNT];
    uint32_t present;
    uint32_t departure; /* of the message that carries or carried it */
    uint32_t known;     /* the newest departure when its acceptance became known */
    uint32_t state;     /* enum record_state */
};

/* Reports that had no room, or that the control plane could not read: it is told of them, so that a hole in
 * the history is known as what it is. */
enum loss_state { LOSS_WAITING, LOSS_SENDING, LOSS_ACCEPTED };

struct loss {
    uint64_t boot, from, to; /* sequences, both lost */
    uint8_t state;           /* enum loss_state */
    bool damaged;            /* else there was no room */
};

struct losses { /* the oldest first. At the bound the newest one says too much rather than too little */
    struct loss list[LOSSES_MAX];
    uint32_t count;
    uint32_t known; /* the newest departure when losses, or the reports in them, were last accepted */
};

struct ring { /* the oldest first; its room grows with need */
    struct record *records;
    uint32_t first, count, room;
    uint32_t departures;   /* numbers of messages that carry reports */
    struct losses *losses; /* NULL: nothing was ever lost */
};

/* What one message carries: sequences of one boot, all that were pending between the two. */
struct freight {
    uint64_t boot, from, to;
    uint32_t departure, count;
    bool losses; /* and what waits of the losses of that boot */
};

void ring_free(struct ring *ring);
struct record *ring_at(struct ring *ring, uint32_t place); /* from 0, the oldest */
struct record *ring_put(struct ring *ring); /* zeroed and pending; makes room if there is none */
bool ring_has_backlog(const struct ring *ring, const struct record *newest); /* something besides it waits */

/* The oldest pending ones of one boot, `newest` (may be NULL) left out, go on their way. */
void ring_load(struct ring *ring, const struct record *newest, struct freight *freight);
void ring_load_one(struct ring *ring, struct record *record, struct freight *freight);
void ring_accept(struct ring *ring, const struct freight *freight);
void ring_fail(struct ring *ring, const struct freight *freight);    /* to be sent again */
void ring_give_up(struct ring *ring, const struct freight *freight); /* the control plane cannot read them */
void ring_stored(struct ring *ring, uint32_t departure, uint64_t boot, uint64_t through);
void ring_unaccept(struct ring *ring); /* another epoch */

/* --- messages ------------------------------------------------------------------------------------------- */

enum errand_kind { ERRAND_HELLO, ERRAND_REPORT, ERRAND_BACKLOG, ERRAND_OUTCOME };

/* One message to the control plane, until its answer is heard or given up. */
struct errand {
    struct fleet *fleet;
    struct errand *next, **link; /* of all that are on their way */
    struct event *timer;         /* NULL: the way takes no time of its own */
    enum errand_kind kind;
    uint32_t node;
    uint64_t boot;   /* of the node agent that sent it */
    int64_t sent_ns; /* uptime */
    struct freight freight;
    uint64_t command; /* whose outcome it is */
    const char *method;
    char path[96];
    char *body; /* while it waits on the way */
    size_t length;
    int status; /* of an answer that waits on its way back; 0: nothing will come back */
    char *answer;
    size_t answer_length;
    bool copy; /* the network doubled it: nobody waits for it */
    bool back; /* its answer is on the way, or lost */
};

/* Takes the body from fleet->text. errand_new() gives one to be filled; it is freed after node_hear(). */
struct errand *errand_new(struct fleet *fleet, enum errand_kind kind, uint32_t node);
void errand_send(struct errand *errand);
void errands_free(struct fleet *fleet);
void errands_cancel(
    struct fleet *fleet); /* those that have not reached the control plane, or are on their way back */

/* --- nodes ---------------------------------------------------------------------------------------------- */

struct strike {
    uint64_t id;
    int64_t began_ns, until_ns, ended_ns; /* monotonic */
    double intensity, before, after;
    duration patience_ns; /* until an effect that nobody has seen counts as none */
    const char *reason;   /* of its end */
    int kind;
    uint8_t state, effect, removal;
    bool has_before, has_after, listed, told;
};

struct strikes { /* made when the first fault comes */
    struct strike list[STRIKES_MAX];
    uint32_t count;
};

struct entry { /* of a journal */
    uint64_t id;
    double took_s;
    const char *detail;
    uint8_t outcome; /* NONE: begun and not ended */
    bool began, acknowledged, telling;
};

struct commander { /* made when the first command comes */
    struct event *timer;
    struct entry *entries; /* the oldest first */
    uint32_t count, room;
    uint64_t id_floor; /* ids up to here are forgotten, hence refused */
    struct order queue[QUEUE_MAX];
    int64_t expires_ns[QUEUE_MAX]; /* uptime */
    uint32_t waiting;
    struct order running; /* id 0: none */
    int64_t began_ns;     /* uptime */
    duration took_ns;
    uint8_t outcome; /* that it will have */
    bool cured;
    uint32_t cures; /* kinds of faults that it ended */
};

struct node {
    struct fleet *fleet;
    uint32_t number;
    uint32_t live; /* newest reports under way */
    uint64_t boot, sequence;
    uint64_t epoch_floor;      /* the highest epoch that was obeyed */
    uint64_t epoch;            /* of the control plane that it speaks to; 0: none yet */
    uint64_t messages;         /* either way: draws are counted by it */
    uint32_t faults_departure; /* of the newest report whose answer told about faults */
    duration interval_ns;      /* on a true clock */
    double rate;               /* of the node's own clock: 1 is true */
    int64_t next_ns;           /* monotonic: its next sample */
    int64_t hello_ns;          /* monotonic: of the last hello */
    uint64_t absence;          /* fleet->absences when it was welcomed */
    struct ring ring;
    double last[METRIC_COUNT]; /* the newest of each metric */
    uint32_t last_present;
    struct strikes *strikes;
    struct commander *commander;
    bool greeting, welcome, ever_welcome;
    bool backlog; /* a message of the backlog is under way */
    bool cut_off; /* partitioned, as of the newest sample */
    bool off;     /* the whole node is */
};

enum trouble {
    TROUBLE_HELLO,
    TROUBLE_REPORT,
    TROUBLE_ANSWER,
    TROUBLE_OUTCOME,
    TROUBLE_MEMORY,
    TROUBLE_COUNT
};

struct fleet {
    struct synthetic_options options;
    const struct scenario *scenario;
    struct event_base *base;
    struct event *tick, *end, *on_term, *on_int;
    struct client *client;
    struct heap *heap; /* of nodes, by their next sample */
    struct world *world;
    struct world_node *layout;
    char (*names)[NODE_NAME_SIZE];
    struct node *nodes;
    uint32_t count;
    uint64_t seed;
    int64_t began_ns;    /* monotonic: the world's instant 0 */
    int64_t probed_ns;   /* the last hello while nobody answered */
    int64_t away_ns;     /* since when nobody answers; 0: somebody does */
    uint64_t absences;   /* how often nobody answered */
    uint32_t unanswered; /* messages in a row */
    uint32_t welcomed, backlogs, in_flight;
    struct errand *errands;
    struct text text; /* the body of the message that is being written */
    char *text_bytes;
    uint32_t goodbyes, goodbye_next; /* while ending: under way, to be said next */
    bool told[TROUBLE_COUNT];
    bool announced, ending, leaving; /* leaving: goodbyes are being said */
};

instant fleet_now(const struct fleet *fleet); /* the world's */
void fleet_leave(struct fleet *fleet);        /* the end: nothing is under way any more */
bool fleet_has_room(const struct fleet *fleet);
void fleet_heard(struct fleet *fleet, int status, const char *error); /* somebody answers, or nobody */
void fleet_complain(struct fleet *fleet, enum trouble trouble, const struct node *node, int status,
                    const char *why);

bool node_init(struct fleet *fleet, uint32_t number);
void node_fini(struct node *node);
void node_sample(struct node *node);     /* it is time to */
void node_report_now(struct node *node); /* what it has to tell cannot wait */
void node_hear(const struct errand *errand, int status, const char *body, size_t length);
const char *node_name(const struct node *node);

/* commands.c */
void commands_obey(struct node *node, const struct orders *orders);
void commands_tell(struct node *node); /* outcomes that nobody has acknowledged */
void commands_told(struct node *node, const struct errand *errand, int status);
void commands_stop(struct node *node); /* the node agent ends: what it was doing is cut */
void commands_free(struct node *node);

/* strikes.c */
void strikes_obey(struct node *node, const struct orders *orders);
void strikes_observe(struct node *node, const struct world_sample *sample);
void strikes_cured(struct node *node, uint32_t kinds); /* these kinds were ended by a remedy */
void strikes_json(struct node *node,
                  struct text *text); /* `,"faults":[...]`, if there is something to tell */

#endif
