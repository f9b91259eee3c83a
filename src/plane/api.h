/* The API, as docs/api.md promises it: one file per group of requests, each a few handlers in the table of
 * api.c. */
#ifndef PLANE_API_H
#define PLANE_API_H

#include "plane/state.h"
#include "wire/json.h"

enum { API_NAME_SIZE = 128, ANSWER_WAIT_MS = 2000, PROMISE_WAIT_MS = 10000 };

/* `name` is the variable segment of the path, "" if there is none. */
typedef void api_handler(struct plane *plane, struct request *request, const char *name);

/* nodes */
api_handler api_put_node, api_delete_node, api_maintain_node, api_end_maintenance, api_list_nodes,
    api_show_node, api_node_metrics, api_undo;
/* reports and commands */
api_handler api_node_reports, api_fleet_reports, api_node_commands, api_command_outcome;
/* incidents */
api_handler api_list_incidents, api_show_incident, api_approve, api_decline, api_acknowledge, api_propose,
    api_blocked;
/* faults */
api_handler api_ask_fault, api_list_faults, api_clear_fault, api_clear_faults;
/* scenarios */
api_handler api_list_scenarios, api_start_scenario, api_stop_scenario;
/* policy and operators */
api_handler api_show_policy, api_put_policy, api_pause, api_resume, api_reset;
/* the dashboard */
api_handler api_page;
/* watching */
api_handler api_events, api_health, api_ready, api_metrics, api_openapi;

/* --- helpers ------------------------------------------------------------------------------------------- */

void api_answer(struct request *request, int status, json_t *value); /* takes over `value` */
void api_refuse(struct request *request, const struct json_error *error);

/* The parsed body, or NULL when it has been answered (415, 400). An empty body counts as {} if
 * `may_be_empty`. */
json_t *api_body(struct request *request, bool may_be_empty);
bool api_is_json(struct request *request); /* false when 415 has been answered */

/* The enrolled node of that name, or NULL when 404 has been answered. */
struct node *api_node(struct plane *plane, struct request *request, const char *name);

/* False when 400 has been answered. */
bool api_name_is_legal(struct request *request, const char *name);
void api_full(struct request *request); /* 507: no room for another node */

/* A whole number from 1 to 2^63 - 1 in the path, or 0 when 404 has been answered. */
uint64_t api_id(struct request *request, const char *name, const char *what);

/* A whole number of the query between bounds. False when 400 has been answered. */
bool api_query_number(struct request *request, const char *name, uint64_t least, uint64_t most,
                      uint64_t otherwise, uint64_t *out);

/* False when 401 or 403 has been answered: the token is for another node. */
bool api_speaks_for(struct plane *plane, struct request *request, const char *node);

/* Answers 503 unless the plane can act. */
bool api_can_act(struct plane *plane, struct request *request);

/* Answers only when everything that was put up to now is durable. `end` gets WAIT_DONE, or api_not_kept()
 * answers. */
void api_promise(struct plane *plane, struct request *request, waiter_end *end, uint32_t node, uint64_t id);
void api_not_kept(struct plane *plane, struct request *request); /* 503: it may or may not have been stored */

/* The names, the graph and the faults of durable rows; NULL when 503 has been answered. */
const struct book *api_book(struct plane *plane, struct request *request);
void api_unreadable(struct plane *plane, struct request *request);

/* The reject of the newest step as a problem: 404, 409 or 400. False if there was none. */
bool api_rejected(struct plane *plane, struct request *request);

/* "commands" and "faults" of an answer to a node, with what else `head` has ("\"accepted\":1," or ""). */
void api_answer_node(struct plane *plane, struct request *request, struct node *node, const char *head);

/* Until when the node is left alone because people are at work on it; null if it is not. */
json_t *api_maintained_until(const struct plane *plane, const struct node *node);

/* The core is told of a node that it has not heard of since this start. */
void api_introduce(struct plane *plane, struct node *node);

/* node_reboot(), and people are told if two node agents take turns under one name. */
void api_reboot(struct plane *plane, struct node *node, uint64_t boot, instant at);

/* Prometheus text of everything; the caller frees it. */
char *metrics_text(struct plane *plane, size_t *length);

#endif
