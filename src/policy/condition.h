/* The text of conditions: up to four comparisons joined by `and`.
 *
 *     condition  = comparison { "and" comparison }
 *     comparison = ( metric | "rate(" metric ")" ) ( ">" | ">=" | "<" | "<=" ) number [ unit ]
 *
 * Units: % for ratios; us ms s m h for seconds; B KiB MiB GiB for bytes; /s for rates. A bare number is in
 * the metric's base unit. rate() is the growth per second: its unit may have another /s behind it, and it may
 * be negative. */
#ifndef POLICY_CONDITION_H
#define POLICY_CONDITION_H

#include "core/policy.h"
#include "policy/yaml_tree.h"

/* Reads a scalar. False, with a complaint at the very word, if it does not read. */
bool condition_read(const struct yaml_node *node, struct condition list[CONDITION_MAX], uint8_t *count,
                    struct complaints *complaints);

/* Appends them so that condition_read() gives the same again. */
void condition_write(struct text *out, const struct condition *list, uint32_t count);

/* What clears `when` unless the policy says it: for > and >= four fifths of its number, as hysteresis; else
 * the number itself. */
struct condition condition_default_clear(const struct condition *when);

/* True if all comparisons of both lists can hold at one instant. Metrics are never below 0, flags are 0 or 1.
 */
bool condition_can_hold(const struct condition *a, uint32_t a_count, const struct condition *b,
                        uint32_t b_count);

/* True if `clear` is exactly the contrary of `when`: both single, same metric, same number. */
bool condition_is_contrary(const struct condition *when, uint32_t when_count, const struct condition *clear,
                           uint32_t clear_count);

#endif
