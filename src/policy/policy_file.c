#include "policy/policy_file.h"

#include "policy/detector_file.h"
#include "policy/fields.h"
#include "policy/guards_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void read_planner(const struct yaml_node *node, struct policy *policy, struct complaints *complaints)
{
    if (node != NULL && field_map(node, &policy_keys[POLICY_MAP_PLANNER], complaints)) {
        field_duration(yaml_tree_entry(node, "wait"), 0, &policy->planner_wait_ns, complaints);
    }
}

void policy_read_tree(const struct yaml_node *root, struct policy *policy, struct complaints *complaints)
{
    uint32_t errors = complaints->errors;
    policy_init(policy);
    if (!field_map(root, &policy_keys[POLICY_MAP_POLICY], complaints)) {
        return;
    }
    field_version(root, complaints);
    detectors_read(root, policy, complaints);
    guards_read(yaml_tree_entry(root, "guards"), &policy->guards, complaints);
    size_t count;
    const char *const *modes = mode_names(&count);
    field_word(yaml_tree_entry(root, "mode"), "mode", modes, count, &policy->mode, complaints);
    read_planner(yaml_tree_entry(root, "planner"), policy, complaints);
    if (policy->detector_count == 0 && complaints->errors == errors) {
        complain_note(complaints, root->at, "no rules and no detectors: nothing will ever be found");
    }
}

int policy_read(const char *bytes, size_t length, struct policy *policy, struct complaints *complaints)
{
    memset(complaints, 0, sizeof *complaints);
    struct yaml_tree *tree;
    int result = yaml_tree_read(&tree, bytes, length, complaints);
    if (result < 0) {
        return result;
    }
    struct policy read;
    policy_init(&read);
    if (result == 0 && yaml_tree_root(tree) == NULL) {
        complain(complaints, (struct place){1, 1}, "the file is empty; begin with \"version: 1\"");
    } else if (result == 0) {
        policy_read_tree(yaml_tree_root(tree), &read, complaints);
    }
    yaml_tree_free(&tree);
    complaints_sort(complaints);
    if (complaints->errors > 0) {
        return POLICY_REFUSED;
    }
    *policy = read;
    return 0;
}

int policy_read_file(const char *path, struct policy *policy, struct complaints *complaints)
{
    memset(complaints, 0, sizeof *complaints);
    char *bytes;
    size_t length;
    int result = yaml_tree_load(path, &bytes, &length);
    if (result == 0) {
        result = policy_read(bytes, length, policy, complaints);
    }
    free(bytes);
    return result;
}
