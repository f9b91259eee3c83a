/* The core's bytes as an image: what of its memory is in use, so that a copy can be kept and taken up again
 * by the same build. A flight recorder keeps one at the head of each segment. */
#ifndef CORE_IMAGE_H
#define CORE_IMAGE_H

#include "core/core.h"

enum { CORE_SPANS = 4 };

struct core_span { /* bytes of its memory, both multiples of 8 */
    uint64_t offset, length;
};

/* Where something may stand that is not zero. In rising order, without overlaps. */
void core_spans(const struct core *core, struct core_span spans[CORE_SPANS]);

struct core_config core_made_with(const struct core *core);
instant core_now(const struct core *core); /* of the newest step; INSTANT_NONE before the first */

/* `memory`, core_size(config) bytes, was filled from a copy. NULL if that cannot be a core of this config:
 * whatever the bytes are, stepping what this returns stays within its memory. */
struct core *core_adopt(void *memory, const struct core_config *config);

/* What an event, a policy or an incident from outside must be for a step to be safe: enumerators and counts
 * within their ranges, names that end, instants within 73 years of 1970, durations of 0 to 73 years. Drivers
 * see to it by the way they read; whoever feeds in bytes that he only found asks here. */
bool event_is_sound(const struct event *event);
bool policy_is_sound(const struct policy *policy);
bool incident_is_sound(const struct incident *incident);
bool command_is_sound(const struct command *command);

#endif
