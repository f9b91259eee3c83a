#include "policy/policy_builtin.h"

/* The file as numbers, one per byte: a string literal may be 4095 bytes long only. */
static const char default_text[] = {
#include "default.yaml.inc"
    0};

const char *policy_default_text(void)
{
    return default_text;
}
