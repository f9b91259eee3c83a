/* A small judge of JSON Schemas (draft 2020-12): the keywords that our own schemas use, and no others. An
 * unknown keyword fails the test, so that no schema says more than is checked. */
#ifndef TESTS_SCHEMA_CHECK_H
#define TESTS_SCHEMA_CHECK_H

#include <jansson.h>
#include <stdbool.h>

#include "policy/yaml_tree.h"

/* True if `value` is valid under `schema`, a part of the document `root`. If not, `why` (200 bytes) says
 * where. */
bool schema_accepts(const json_t *root, const json_t *schema, const json_t *value, char why[200]);

/* A document as an editor sees it: plain scalars become numbers, booleans and null by YAML's core schema. */
json_t *schema_json_of(const struct yaml_node *node);

#endif
