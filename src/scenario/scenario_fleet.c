#include "base/check.h"
#include "policy/fields.h"
#include "scenario/scenario_reader.h"

#include <string.h>

/* What the node agent can do, as in a lab. */
static const duration interval_least_ns = 50 * MILLISECOND;
static const duration interval_most_ns = MINUTE;

/* Left out. */
static const double users_default_per_s = 40;  /* of each node that no other calls */
static const double spare_default = 4;         /* capacity over mean load: a quarter busy */
static const double capacity_least_per_s = 40; /* of one that is left out */
static const double rate_most_per_s = 1e6;     /* of users and capacity */
static const double not_said = -1;

static const struct world_node node_default = {
    .interval_ns = SECOND,
    .users_per_s = -1,
    .capacity_per_s = -1,
    .service_time_s = 0.001,
    .memory_bytes = 64 << 20,
    .storage_latency_s = 0.001,
    .network_latency_s = 0.0002,
};

static int group_find(const struct scenario *scenario, const char *role)
{
    for (uint32_t i = 0; i < scenario->group_count; i++) {
        if (strcmp(scenario->groups[i].role, role) == 0) {
            return (int)i;
        }
    }
    return -1;
}

/* --- one group ------------------------------------------------------------------------------------------ */

/* A list of names without repetition. `what` is one of them. */
static void read_words(const struct yaml_node *list, const char *what, uint32_t most,
                       char (*words)[SCENARIO_WORD_SIZE], uint32_t *count, struct complaints *complaints)
{
    if (list == NULL || !field_list(list, complaints)) {
        return;
    }
    for (const struct yaml_node *entry = list->first; entry != NULL; entry = entry->next) {
        char word[SCENARIO_WORD_SIZE];
        if (!field_name(entry, word, sizeof word, complaints)) {
            continue;
        }
        for (uint32_t i = 0; i < *count; i++) {
            if (strcmp(words[i], word) == 0) {
                complain(complaints, entry->at, "%s %s stands here twice; once is enough", what, word);
                return;
            }
        }
        if (*count == most) {
            complain(complaints, entry->at, "more than %u %ss of one group", most, what);
            return;
        }
        text_copy(words[(*count)++], SCENARIO_WORD_SIZE, word);
    }
}

static void read_seconds(const struct yaml_node *node, duration most, double *out,
                         struct complaints *complaints)
{
    duration d = duration_from_seconds(*out);
    if (field_duration_upto(node, 10 * MICROSECOND, most, &d, complaints)) {
        *out = duration_seconds(d);
    }
}

static void read_world_node(const struct yaml_node *map, struct world_node *node,
                            struct complaints *complaints)
{
    scenario_read_amount(yaml_tree_entry(map, "users"),
                         (struct scale_of){UNIT_PER_SECOND, 0, rate_most_per_s, "one node's users"},
                         &node->users_per_s, complaints);
    scenario_read_amount(yaml_tree_entry(map, "capacity"),
                         (struct scale_of){UNIT_PER_SECOND, 1, rate_most_per_s, "one node's capacity"},
                         &node->capacity_per_s, complaints);
    scenario_read_amount(yaml_tree_entry(map, "memory"),
                         (struct scale_of){UNIT_BYTES, 1 << 20, 1ll << 40, "a service's memory"},
                         &node->memory_bytes, complaints);
    read_seconds(yaml_tree_entry(map, "service_time"), 10 * SECOND, &node->service_time_s, complaints);
    read_seconds(yaml_tree_entry(map, "storage"), SECOND, &node->storage_latency_s, complaints);
    read_seconds(yaml_tree_entry(map, "network"), SECOND, &node->network_latency_s, complaints);
    field_duration_upto(yaml_tree_entry(map, "interval"), interval_least_ns, interval_most_ns,
                        &node->interval_ns, complaints);
}

static void read_role(struct scenario_reader *reader, const struct yaml_node *map,
                      struct scenario_group *group)
{
    const struct yaml_node *role = yaml_tree_entry(map, "role");
    if (role == NULL) {
        complain(reader->complaints, map->at,
                 "a group needs a role, as in \"role: web\"; its nodes are web-1, ...");
    } else if (field_name(role, group->role, sizeof group->role, reader->complaints)) {
        int before = group_find(reader->scenario, group->role);
        if (before >= 0) {
            complain(reader->complaints, role->at, "a second group \"%s\"; the first is in line %d",
                     group->role, reader->groups[before]->at.line);
        }
    }
}

static void read_group(struct scenario_reader *reader, const struct yaml_node *map)
{
    struct scenario *scenario = reader->scenario;
    struct complaints *complaints = reader->complaints;
    if (scenario->group_count == SCENARIO_GROUPS_MAX) {
        complain(complaints, map->at, "more than %d groups", SCENARIO_GROUPS_MAX);
        return;
    }
    if (!field_map(map, &scenario_keys[SCENARIO_MAP_GROUP], complaints)) {
        return;
    }
    struct scenario_group *group = &scenario->groups[scenario->group_count];
    group->node = node_default;
    group->count = 1;
    read_role(reader, map, group);
    reader->groups[scenario->group_count++] = map;
    field_integer(yaml_tree_entry(map, "count"), 1, SCENARIO_NODES_MAX, &group->count, complaints);
    read_words(yaml_tree_entry(map, "zones"), "zone", SCENARIO_ZONES_MAX, group->zones, &group->zones_count,
               complaints);
    read_words(yaml_tree_entry(map, "calls"), "role", CALLS_MAX, group->calls, &group->calls_count,
               complaints);
    group->capacity_is_said = yaml_tree_entry(map, "capacity") != NULL;
    read_world_node(map, &group->node, complaints);
    if (group->count > SCENARIO_NODES_MAX - scenario->node_count) {
        const struct yaml_node *count = yaml_tree_entry(map, "count");
        complain(complaints, count == NULL ? map->at : count->at, "more than %d nodes in all",
                 SCENARIO_NODES_MAX);
        group->count = 0;
    }
    scenario->node_count += group->count;
}

/* --- who calls whom ------------------------------------------------------------------------------------- */

static void check_calls(struct scenario_reader *reader, uint32_t number)
{
    const struct scenario *scenario = reader->scenario;
    const struct scenario_group *group = &scenario->groups[number];
    const struct yaml_node *calls = yaml_tree_entry(reader->groups[number], "calls");
    for (const struct yaml_node *call = calls == NULL ? NULL : calls->first; call != NULL;
         call = call->next) {
        const char *roles[SCENARIO_GROUPS_MAX];
        if (call->kind != YAML_SCALAR || !text_is_name(call->text, SCENARIO_WORD_SIZE - 1)) {
            continue; /* told by read_words() */
        }
        for (uint32_t i = 0; i < scenario->group_count; i++) {
            roles[i] = scenario->groups[i].role;
        }
        if (group_find(scenario, call->text) < 0) {
            complain_unknown(reader->complaints, call->at, "role", call->text, roles, scenario->group_count);
        } else if (strcmp(call->text, group->role) == 0) {
            complain(reader->complaints, call->at, "%s calls itself", group->role);
        }
    }
}

/* True if a call leads back to `number` from `from`; `seen` bounds the walk. */
static bool leads_to(const struct scenario *scenario, uint32_t from, uint32_t number,
                     bool seen[SCENARIO_GROUPS_MAX])
{
    const struct scenario_group *group = &scenario->groups[from];
    seen[from] = true;
    for (uint32_t i = 0; i < group->calls_count; i++) {
        uint32_t callee = (uint32_t)group_find(scenario, group->calls[i]);
        if (callee == number || (!seen[callee] && leads_to(scenario, callee, number, seen))) {
            return true;
        }
    }
    return false;
}

static void note_circles(struct scenario_reader *reader)
{
    for (uint32_t i = 0; i < reader->scenario->group_count; i++) {
        bool seen[SCENARIO_GROUPS_MAX] = {false};
        if (leads_to(reader->scenario, i, i, seen)) {
            complain_note(reader->complaints, yaml_tree_entry(reader->groups[i], "calls")->at,
                          "a circle of calls: %s is called by what it calls; who made whom ill cannot be "
                          "told there",
                          reader->scenario->groups[i].role);
            return; /* one is enough to see it */
        }
    }
}

/* --- what was left out ---------------------------------------------------------------------------------- */

static bool is_called(const struct scenario *scenario, const char *role)
{
    for (uint32_t i = 0; i < scenario->group_count; i++) {
        for (uint32_t k = 0; k < scenario->groups[i].calls_count; k++) {
            if (strcmp(scenario->groups[i].calls[k], role) == 0) {
                return true;
            }
        }
    }
    return false;
}

/* Requests that each node of each group gets at the mean of the wave: its users', and one for each request of
 * its callers. As many rounds as there are groups follow every way without a circle to its end. */
static void mean_loads(const struct scenario *scenario, double loads[SCENARIO_GROUPS_MAX])
{
    double next[SCENARIO_GROUPS_MAX];
    for (uint32_t round = 0; round <= scenario->group_count; round++) {
        for (uint32_t i = 0; i < scenario->group_count; i++) {
            next[i] = scenario->groups[i].node.users_per_s;
        }
        for (uint32_t i = 0; round > 0 && i < scenario->group_count; i++) {
            const struct scenario_group *group = &scenario->groups[i];
            for (uint32_t k = 0; k < group->calls_count; k++) {
                int callee = group_find(scenario, group->calls[k]);
                next[callee] += loads[i] * group->count / scenario->groups[callee].count;
            }
        }
        for (uint32_t i = 0; i < scenario->group_count; i++) {
            loads[i] = next[i] < rate_most_per_s ? next[i] : rate_most_per_s;
        }
    }
}

static void fill_in(struct scenario *scenario)
{
    double loads[SCENARIO_GROUPS_MAX] = {0};
    for (uint32_t i = 0; i < scenario->group_count; i++) {
        struct scenario_group *group = &scenario->groups[i];
        if (group->node.users_per_s == not_said) {
            group->node.users_per_s = is_called(scenario, group->role) ? 0 : users_default_per_s;
        }
    }
    mean_loads(scenario, loads);
    for (uint32_t i = 0; i < scenario->group_count; i++) {
        double *capacity = &scenario->groups[i].node.capacity_per_s, wanted = spare_default * loads[i];
        if (*capacity == not_said) {
            *capacity = wanted < capacity_least_per_s ? capacity_least_per_s
                        : wanted > rate_most_per_s    ? rate_most_per_s
                                                      : wanted;
        }
    }
}

void scenario_read_fleet(struct scenario_reader *reader, const struct yaml_node *list)
{
    uint32_t errors = reader->complaints->errors;
    if (list == NULL || !field_list(list, reader->complaints)) {
        return;
    }
    if (list->count == 0) {
        complain(reader->complaints, list->at, "a fleet needs at least one group: \"fleet: [{role: web}]\"");
    }
    for (const struct yaml_node *group = list->first; group != NULL; group = group->next) {
        read_group(reader, group);
    }
    for (uint32_t i = 0; i < reader->scenario->group_count; i++) {
        check_calls(reader, i);
    }
    reader->fleet_reads = reader->complaints->errors == errors;
    if (reader->fleet_reads) {
        note_circles(reader);
        fill_in(reader->scenario);
    }
}
