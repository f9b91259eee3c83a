/* The guards of a policy file: what stops an action. */
#ifndef POLICY_GUARDS_FILE_H
#define POLICY_GUARDS_FILE_H

#include "core/policy.h"
#include "policy/yaml_tree.h"

/* The longest that back-off, a span of rates or flapping, or an approval may last: far below what the core's
 * arithmetic (twice the cap, an instant and a duration) could overflow. */
/* The longest that one window of maintenance may last. What is longer was forgotten. */
#define WINDOW_SPAN_MAX_NS (31 * 24 * HOUR)

/* Reads the map `guards`, NULL if it was left out, over what `guards` holds: its defaults. */
void guards_read(const struct yaml_node *node, struct guards *guards, struct complaints *complaints);

/* Appends `guards:` and every key below it, so that guards_read() gives the same again. */
void guards_write(struct text *out, const struct guards *guards);

#endif
