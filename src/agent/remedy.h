/* What the remedies have in common, for remedies.c and remedy_*.c alone.
 *
 *     remedies.c         which there are, what stands against them, and the undo
 *     remedy_service.c   what restarts or reloads: the service, the relay, releases, configurations
 *     remedy_storage.c   folders and disks
 *     remedy_load.c      users and neighbours */
#ifndef AGENT_REMEDY_H
#define AGENT_REMEDY_H

#include "agent/remedies.h"
#include "base/text.h"
#include "base/units.h"

#include <event2/util.h>

struct answer;

enum { REMEDY_DETAIL_SIZE = 256 };

struct remedies {
    struct remedies_options options;
    struct event_base *base;
    struct client *admin;        /* to the service's own port, past the relay */
    struct client *second_admin; /* to the second instance's, of the last remedy that needed it */
    struct knocker *echo;        /* to the relay's echo port */
    struct folder_copy *copy;
    struct event *look;  /* rollback_config: ask again */
    struct event *watch; /* whether the second instance is still needed */
    remedies_done *done; /* of the one under way, else NULL */
    void *context;
    uint64_t command;
    int64_t began_ns, fits_since_ns; /* 0: it does not fit */
    char bytes[REMEDY_DETAIL_SIZE];
    struct text detail; /* what has changed so far */
    int result;         /* what a failover whose copy failed will be told as */
    bool drained;       /* before it began */
    bool had_second;
    bool opens;          /* it ends a drain */
    bool renews_link;    /* after the restart */
    bool shed, isolated; /* what an undo will take back */
    bool ending;
};

/* Ends the one under way: FAILED if `result` < 0, else DONE. */
void remedy_finish(struct remedies *remedies, int result, const char *detail);

/* Likewise with what was told so far, and then `how` (may be NULL). */
void remedy_finish_told(struct remedies *remedies, int result, const char *how);

/* Adds to what has changed, behind a comma. */
void remedy_tell(struct remedies *remedies, const char *what);

/* True if the service did what it was asked; else its answer is added to what will be told. */
bool remedy_is_fine(struct remedies *remedies, const struct answer *answer);

/* Ends by replacing the relay; `opens`: and a drain with it. */
void remedy_replace_link(struct remedies *remedies, bool opens);

/* Ends a second instance and spreads users anew. */
void remedy_scale_in(struct remedies *remedies);

/* A client for the service's own port, or its second instance's. NULL if out of memory. */
struct client *remedy_admin_of(struct event_base *base, int port);

/* What the knocker and the timers of `struct remedies` call; `context` is that. */
void remedy_on_echo(void *context, bool answered, duration took_ns);
void remedy_look(evutil_socket_t fd, short what, void *context);
void remedy_watch(evutil_socket_t fd, short what, void *context);

typedef void remedy_begin(struct remedies *remedies);
remedy_begin remedy_restart_service, remedy_failover_storage, remedy_reset_network, remedy_drain_node,
    remedy_shed_load, remedy_scale_out, remedy_isolate_neighbour, remedy_clean_disk, remedy_rollback_release,
    remedy_rollback_config, remedy_reboot_node;

#endif
