#include "policy/keys.h"

#define X(symbol, map_name, ...) [POLICY_MAP_##symbol] = KEYS_OF(map_name, __VA_ARGS__),
const struct keys policy_keys[POLICY_MAP_COUNT] = {POLICY_MAP_TABLE(X)};
#undef X

const char *const weekday_names[WEEKDAYS] = {"mon", "tue", "wed", "thu", "fri", "sat", "sun"};
