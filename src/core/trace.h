/* The log that people read and that the tests check: one line for an effect.
 *
 *     DETECT    web-1  cpu above 90 % and latency above 20 ms for 3 s          incident 1
 *
 * The same words stand in an incident's timeline, in the log of `up` and in the tests. */
#ifndef CORE_TRACE_H
#define CORE_TRACE_H

#include "base/text.h"
#include "core/core.h"

/* The step of the loop that an effect belongs to: "DETECT", "PLAN", "ACT", "COMMAND", "DONE", "CUT",
 * "END" (a command that ended otherwise), "VERIFY", "RESOLVED", "PEOPLE", "BLOCKED", "CONTROL", "TARGET",
 * "ASK", "NOTIFY", "REJECT". Never longer than 8 characters. */
const char *trace_step(const struct effect *effect);

/* What happened and why, as one sentence without the node's name: "restart_service: web-1 is ill by itself".
 */
void trace_sentence(struct text *text, const struct core *core, const struct effect *effect);

/* Step, node, sentence and incident, as in the head of this file. */
void trace_line(struct text *text, const struct core *core, const struct effect *effect);

/* A metric's value for people: "97 %", "58 ms", "12 MiB", "20 /s". NaN gives "-". */
void trace_value(struct text *text, enum metric metric, double value);

#endif
