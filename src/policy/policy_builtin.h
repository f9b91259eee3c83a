/* The policy that the binary carries with it, as text: policies/default.yaml, put in by the build. */
#ifndef POLICY_POLICY_BUILTIN_H
#define POLICY_POLICY_BUILTIN_H

const char *policy_default_text(void);

#endif
