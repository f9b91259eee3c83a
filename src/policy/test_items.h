/* The lists of a test case: outcomes, events, expectations and commands. Private to src/policy. */
#ifndef POLICY_TEST_ITEMS_H
#define POLICY_TEST_ITEMS_H

#include "policy/test_file.h"

/* A test file being read. */
struct test_reader {
    struct test_file *file;
    const char *path;
    struct complaints *complaints;
    const struct yaml_node *root;
    const struct policy *shared_policy; /* NULL: not read yet */
    uint32_t longest;                   /* series of the present case, in reports */
    duration last_ns;                   /* the latest that the present case says or expects */
};

/* Fills the lists of `test` from its map. Its nodes are known. */
void test_items_read(struct test_reader *reader, struct test_case *test, const struct yaml_node *map);

/* Zeroed memory that lives as long as the file. */
void *test_file_own(struct test_file *file, size_t size);

uint32_t test_find_node(const struct test_case *test, const char *name); /* NO_INDEX: none */
/* The number of the node that a scalar names; NULL leaves *number. */
bool test_read_node_name(struct test_reader *reader, const struct test_case *test,
                         const struct yaml_node *node, uint32_t *number);
const struct policy *test_read_policy(struct test_reader *reader, const struct yaml_node *node);

#endif
