/* The detectors of a policy file and their ladders: `rules`, `detectors` and `playbooks`. */
#ifndef POLICY_DETECTOR_FILE_H
#define POLICY_DETECTOR_FILE_H

#include "core/policy.h"
#include "policy/yaml_tree.h"

/* Of a step that leaves them out: a second for the service to come up, twenty for users to be served well
 * again. */
#define STEP_SETTLE_NS (1 * SECOND)
#define STEP_WITHIN_NS (20 * SECOND)

/* Reads all three below `root`, in the file's order. */
void detectors_read(const struct yaml_node *root, struct policy *policy, struct complaints *complaints);

#endif
