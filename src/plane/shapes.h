/* Shapes: the JSON of incidents, nodes, faults and block rows, made from store rows.
 *
 * The control plane answers with them, and the command line prints the same from the database file when no
 * control plane runs. Members are as docs/api.md lists them; what has not happened is null. */
#ifndef PLANE_SHAPES_H
#define PLANE_SHAPES_H

#include "store/store.h"

#include <jansson.h>
#include <stdbool.h>

/* Names, the graph of calls, and the newest faults, read once: what the shapes look up. */
struct book;

enum { BOOK_FAULTS_MAX = 1000 };

/* NULL if the store cannot be read. */
struct book *book_open(struct store *store);
void book_close(struct book **book);

/* "" for a number it does not know. */
const char *book_node_name(const struct book *book, uint32_t node);
/* The number of a name, or -1. */
int64_t book_node_number(const struct book *book, const char *name);

/* The fault behind an incident, or NULL: the newest that struck its node, or one that it calls (directly or
 * through others), was injected before the finding fired, and had not ended more than ten seconds before it
 * began. */
const struct fault_row *book_fault_of(const struct book *book, const struct incident *incident);

/* New references; the caller owns them. `details` adds timeline, commands and blocked, read from `store`. */
json_t *shape_incident(struct store *store, const struct book *book, const struct incident *incident,
                       bool details);
json_t *shape_node(const struct node_row *row,
                   const char *health); /* without samples; the plane adds its own */
json_t *shape_fault(const struct book *book, const struct fault_row *row);
json_t *shape_fault_kinds(void);         /* [{"kind":...}]: one kind each, the row of its table */
json_t *shape_composed_kinds(void);      /* [{"kind":...,"of":...}]: those made of the others */
json_t *json_of_remedies(uint32_t mask); /* ["shed_load"] */
json_t *shape_blocked(const struct book *book, const struct block_row *row);
json_t *shape_command(const struct command_row *row); /* as in an incident's `commands` */

/* What a composed fault is made of, unless people say otherwise. */
enum fault_kind composed_default(enum composed_fault composed);

/* {"incidents":[...]}, {"blocked":[...]}, {"faults":[...],"kinds":[...],"composed":[...]} straight from the
 * database; NULL if it cannot be read. */
json_t *shape_incidents(struct store *store, const struct book *book, const struct incident_filter *filter);
json_t *shape_blocked_list(struct store *store, const struct book *book, uint64_t incident, unsigned limit);
json_t *shape_faults(struct store *store, const struct book *book, bool active_only);

const char *shape_fault_state(enum fault_state state);    /* asked active ended failed */
const char *shape_fault_effect(enum fault_effect effect); /* waiting seen none */

#endif
