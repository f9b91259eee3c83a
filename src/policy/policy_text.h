/* The effective policy as YAML: every default filled in, every rule in its full form. policy_read() of it
 * gives the same policy, byte for byte. */
#ifndef POLICY_POLICY_TEXT_H
#define POLICY_POLICY_TEXT_H

#include "base/text.h"
#include "core/policy.h"

enum { POLICY_TEXT_SIZE = 64 * 1024 }; /* room enough for every policy */

void policy_write(struct text *out, const struct policy *policy);

#endif
