#include "agent/report.h"

#include "agent/agent.h"
#include "wire/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PATH_SIZE = 128,
    FRAME_BYTES = 128, /* boot, sequence, age and brackets, at their longest */
    NUMBER_BYTES = 28  /* 15 digits, sign, point, exponent, and what stands between two members */
};

json_t *agent_report_json(const struct agent_report *report, duration age_ns)
{
    json_t *body = json_object(), *samples = json_object();
    json_object_set_new(body, "boot", json_of_boot(report->boot));
    json_object_set_new(body, "sequence", json_integer((json_int_t)report->sequence));
    json_object_set_new(body, "age_s", json_of_seconds(age_ns));
    for (int metric = 0; metric < METRIC_COUNT; metric++)
        if (samples_have(&report->samples, (enum metric)metric))
            json_object_set_new(samples, metric_name((enum metric)metric),
                                json_of_number(report->samples.value[metric]));
    json_object_set_new(body, "samples", samples);
    return body;
}

size_t agent_report_json_bytes(const struct agent_report *report)
{
    size_t bytes = FRAME_BYTES;
    for (int metric = 0; metric < METRIC_COUNT; metric++)
        if (samples_have(&report->samples, (enum metric)metric))
            bytes += NUMBER_BYTES + strlen(metric_name((enum metric)metric));
    return bytes;
}

void agent_send(const struct agent_options *agent, struct client *plane, const char *method, const char *tail,
                json_t *body, duration timeout_ns, client_done *done, void *context)
{
    char path[PATH_SIZE];
    size_t length = 0;
    char *text = body ? json_text_of(body, &length) : NULL;
    snprintf(path, sizeof path, "/v1/nodes/%s%s", agent->name, tail);
    int error =
        body && !text ? -1 : client_send(plane, method, path, NULL, text, length, timeout_ns, done, context);
    free(text);
    if (error < 0)
        done(context, &(struct answer){.error = "it could not be sent"});
}
