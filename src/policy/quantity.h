/* A quantity: a number and its unit, as policy files write them: 90%, 20ms, 64 MiB, 5 /s. In memory it is a
 * double in the metric's base unit (ratio, seconds, bytes, per second), or a duration in nanoseconds. */
#ifndef POLICY_QUANTITY_H
#define POLICY_QUANTITY_H

#include "base/text.h"
#include "core/vocabulary.h"

/* Reads `12`, `0.9`, `1e6`, with a leading `-` if it is allowed, and moves *at behind it. Always finite.
 * False, and *at stays, if no number stands there or it is beyond 1e18. */
bool quantity_number(const char **at, bool negative_allowed, double *number);

/* Turns `number` of the unit called `name` ("" for the bare number) into the base unit of `unit`. False if
 * the name does not fit there. */
bool quantity_in_base(double number, const char *name, enum metric_unit unit, double *value);

/* The names that fit, for complaints: "us, ms, s, m or h"; "" if only the bare number does. */
const char *quantity_unit_names(enum metric_unit unit);

/* The name in `unit` of what others call `word`: "m" for "min", "MiB" for "MB"; of a name of its own, that
 * name. NULL if it is nobody's. */
const char *quantity_unit_meant(const char *word, enum metric_unit unit);

/* Appends `value`, in the base unit of `unit`, as people would write it: 0.9 as 90%, 0.02 seconds as 20ms.
 * What it writes reads back as exactly `value`. */
void quantity_write(struct text *out, double value, enum metric_unit unit);

/* Appends a duration the way text_parse_duration() reads it, exactly: 3s, 250ms, 10m. */
void quantity_write_duration(struct text *out, duration d);

#endif
