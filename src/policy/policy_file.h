/* Policy files: the YAML that people write, read into the flat policy of the core. docs/policy.md is the
 * reference.
 *
 *     version: 1
 *     rules:
 *       - {if: cpu_utilization > 0.90, for: 3s, do: restart_service} */
#ifndef POLICY_POLICY_FILE_H
#define POLICY_POLICY_FILE_H

#include "core/policy.h"
#include "policy/yaml_tree.h"

enum { POLICY_REFUSED = 1 };

/* Reads a policy. 0: *policy holds it, and `complaints` notes at most. POLICY_REFUSED: `complaints` says why,
 * *policy is as it was. Negative errno: out of memory. `complaints` is overwritten, and in the order of the
 * file. */
int policy_read(const char *bytes, size_t length, struct policy *policy, struct complaints *complaints);

/* The same from a file; negative errno also if it cannot be read. */
int policy_read_file(const char *path, struct policy *policy, struct complaints *complaints);

/* The same from the node of a larger file: what is wrong is added to `complaints`, *policy is overwritten. */
void policy_read_tree(const struct yaml_node *root, struct policy *policy, struct complaints *complaints);

#endif
