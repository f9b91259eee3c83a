/* A report as the node agent keeps and sends it: all samples of one instant, with the boot of the node agent
 * that took them and a number that rises with each report of that boot. */
#ifndef AGENT_REPORT_H
#define AGENT_REPORT_H

#include "agent/sampler.h"
#include "base/units.h"
#include "wire/client.h"

#include <jansson.h>

struct agent_options;

struct agent_report {
    uint64_t boot;     /* of the node agent */
    uint64_t sequence; /* from 1 */
    int64_t taken_ns;  /* uptime */
    struct samples samples;
};

/* A new reference: the report as the API wants it. `age_ns` >= 0. */
json_t *agent_report_json(const struct agent_report *report, duration age_ns);

/* An upper bound of the bytes that its JSON takes. */
size_t agent_report_json_bytes(const struct agent_report *report);

/* Sends `body` (which is taken over; NULL: none) to this node's path in the API with `tail` behind it. `done`
 * is called exactly once, and at once if it could not be sent. */
void agent_send(const struct agent_options *agent, struct client *plane, const char *method, const char *tail,
                json_t *body, duration timeout_ns, client_done *done, void *context);

#endif
