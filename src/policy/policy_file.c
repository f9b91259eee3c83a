#include "policy/policy_file.h"

#include "base/check.h"
#include "policy/condition.h"
#include "policy/detector_file.h"
#include "policy/fields.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* --- the guards ----------------------------------------------------------------------------------------- */

static void read_breaker(const struct yaml_node *node, struct guards *guards, struct complaints *complaints)
{
    static const char *const keys[] = {"unhealthy", "at_least"};
    if (node == NULL || !field_map(node, "breaker", keys, COUNT_OF(keys), complaints)) {
        return;
    }
    field_ratio(yaml_tree_entry(node, "unhealthy"), &guards->breaker_unhealthy_ratio, complaints);
    field_integer(yaml_tree_entry(node, "at_least"), 1, 1000000, &guards->breaker_at_least, complaints);
}

static void read_attempts(const struct yaml_node *node, struct guards *guards, struct complaints *complaints)
{
    static const char *const keys[] = {"max", "within"};
    if (node == NULL || !field_map(node, "attempts", keys, COUNT_OF(keys), complaints)) {
        return;
    }
    field_integer(yaml_tree_entry(node, "max"), 1, 1000, &guards->attempts_max, complaints);
    field_duration(yaml_tree_entry(node, "within"), SECOND, &guards->attempts_within_ns, complaints);
}

static void read_per_target(const struct yaml_node *node, struct guards *guards,
                            struct complaints *complaints)
{
    static const char *const keys[] = {"cooldown", "attempts"};
    if (node == NULL || !field_map(node, "per_target", keys, COUNT_OF(keys), complaints)) {
        return;
    }
    field_duration(yaml_tree_entry(node, "cooldown"), 0, &guards->cooldown_ns, complaints);
    read_attempts(yaml_tree_entry(node, "attempts"), guards, complaints);
}

static void read_guards(const struct yaml_node *node, struct guards *guards, struct complaints *complaints)
{
    static const char *const keys[] = {"max_disrupted", "breaker", "per_target", "recurrence", "hold"};
    if (node == NULL || !field_map(node, "guards", keys, COUNT_OF(keys), complaints)) {
        return;
    }
    const struct yaml_node *max_disrupted = yaml_tree_entry(node, "max_disrupted");
    if (field_ratio(max_disrupted, &guards->max_disrupted_ratio, complaints) &&
        guards->max_disrupted_ratio == 1) {
        complain_note(complaints, max_disrupted->at, "at 100%% the whole fleet may be restarted at once");
    }
    read_breaker(yaml_tree_entry(node, "breaker"), guards, complaints);
    read_per_target(yaml_tree_entry(node, "per_target"), guards, complaints);
    field_duration(yaml_tree_entry(node, "recurrence"), 0, &guards->recurrence_ns, complaints);
    field_duration(yaml_tree_entry(node, "hold"), 0, &guards->hold_ns, complaints);
}

/* --- the rest ------------------------------------------------------------------------------------------- */

static void read_version(const struct yaml_node *root, struct complaints *complaints)
{
    const struct yaml_node *version = yaml_tree_entry(root, "version");
    if (version == NULL) {
        complain(complaints, root->at, "the version is missing; begin with \"version: 1\"");
    } else if (version->kind != YAML_SCALAR || strcmp(version->text, "1") != 0) {
        complain(complaints, version->at, "only version 1 is known");
    }
}

static void read_planner(const struct yaml_node *node, struct policy *policy, struct complaints *complaints)
{
    static const char *const keys[] = {"wait"};
    if (node != NULL && field_map(node, "planner", keys, COUNT_OF(keys), complaints)) {
        field_duration(yaml_tree_entry(node, "wait"), 0, &policy->planner_wait_ns, complaints);
    }
}

static void read_root(const struct yaml_node *root, struct policy *policy, struct complaints *complaints)
{
    static const char *const keys[] = {"version", "rules", "detectors", "playbooks",
                                       "guards",  "mode",  "planner"};
    if (!field_map(root, "policy", keys, COUNT_OF(keys), complaints)) {
        return;
    }
    read_version(root, complaints);
    detectors_read(root, policy, complaints);
    read_guards(yaml_tree_entry(root, "guards"), &policy->guards, complaints);
    size_t count;
    const char *const *modes = mode_names(&count);
    field_word(yaml_tree_entry(root, "mode"), "mode", modes, count, &policy->mode, complaints);
    read_planner(yaml_tree_entry(root, "planner"), policy, complaints);
    if (policy->detector_count == 0 && complaints->errors == 0) {
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
        read_root(yaml_tree_root(tree), &read, complaints);
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
