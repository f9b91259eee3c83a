/* How incidents look to people: one line each in a table, or one in full. The JSON is the API's. */
#ifndef CLI_INCIDENT_VIEW_H
#define CLI_INCIDENT_VIEW_H

#include <jansson.h>
#include <stdio.h>

void incident_table(const json_t *incidents, FILE *stream, int indent);

/* Head, timeline, evidence, commands, and what was not done. */
void incident_print(const json_t *incident, FILE *stream);

#endif
