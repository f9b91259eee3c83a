/* Windows of maintenance as a policy file writes them: one span, or one that comes back every day. */
#ifndef POLICY_WINDOW_FILE_H
#define POLICY_WINDOW_FILE_H

#include "core/policy.h"
#include "policy/yaml_tree.h"

/* Reads the list `maintenance`, NULL if it was left out. */
void windows_read(const struct yaml_node *list, struct guards *guards, struct complaints *complaints);

/* Appends `maintenance:` and its windows, so that windows_read() gives the same again. */
void windows_write(struct text *out, const struct guards *guards);

#endif
