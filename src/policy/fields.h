/* Fields: the entries of a map read as what they should be. Each call complains about what does not fit, at
 * its place and with its mend, and then returns false. A node of NULL is an entry left out: `*out` keeps its
 * default. */
#ifndef POLICY_FIELDS_H
#define POLICY_FIELDS_H

#include "policy/keys.h"
#include "policy/yaml_tree.h"

/* A map with no other keys than these. Says false only for what is no map; unknown keys are complained about.
 */
bool field_map(const struct yaml_node *node, const struct keys *keys, struct complaints *complaints);

/* `version: 1`, which every file begins with. */
void field_version(const struct yaml_node *root, struct complaints *complaints);

/* A list; an entry with nothing behind it ("detectors:") is an empty one. */
bool field_list(const struct yaml_node *node, struct complaints *complaints);

/* A text that is not empty, in the tree's memory. */
bool field_text(const struct yaml_node *node, const char **out, struct complaints *complaints);

/* A text_is_name() of less than `capacity` bytes, copied. */
bool field_name(const struct yaml_node *node, char *out, size_t capacity, struct complaints *complaints);

/* One of `words`: its number. `kind` is what they are called: "remedy". */
bool field_word(const struct yaml_node *node, const char *kind, const char *const *words, size_t count,
                uint8_t *out, struct complaints *complaints);

bool field_duration(const struct yaml_node *node, duration least, duration *out,
                    struct complaints *complaints);

/* The same, and not longer than `most`. */
bool field_duration_upto(const struct yaml_node *node, duration least, duration most, duration *out,
                         struct complaints *complaints);

/* 0..1, written as `20%` or `0.2`. */
bool field_ratio(const struct yaml_node *node, double *out, struct complaints *complaints);

bool field_integer(const struct yaml_node *node, uint32_t least, uint32_t most, uint32_t *out,
                   struct complaints *complaints);

/* A scalar `no` or `false`: what the map that could stand here is about is not wanted. */
bool field_is_no(const struct yaml_node *node);

/* yes, no, true or false: 1 or 0. */
bool field_flag(const struct yaml_node *node, uint8_t *out, struct complaints *complaints);

#endif
