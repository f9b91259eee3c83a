/* How large the groups of a synthetic fleet are. */
#include "synthetic/synthetic.h"

#include "base/check.h"
#include "base/text.h"

static void add_group(struct scenario *scenario, const char *role, uint32_t count, const char *calls)
{
    struct scenario_group *group = &scenario->groups[scenario->group_count++];
    text_copy(group->role, sizeof group->role, role);
    group->count = count;
    world_node_default(&group->node);
    if (calls)
        text_copy(group->calls[group->calls_count++], sizeof group->calls[0], calls);
    if (scenario->group_count > 1)
        group->node.users_per_s = 0;
    scenario->node_count += count;
}

void synthetic_fleet(struct scenario *scenario, uint32_t nodes)
{
    CHECK(nodes >= 1 && nodes <= SYNTHETIC_NODES_MAX);
    uint32_t web = nodes < 3 ? 1 : nodes / 3, api = nodes < 3 ? nodes - web : web, db = nodes - web - api;
    scenario_init(scenario);
    scenario->network = (struct scenario_network){0};
    add_group(scenario, "web", web, api > 0 ? "api" : NULL);
    if (api > 0)
        add_group(scenario, "api", api, db > 0 ? "db" : NULL);
    if (db > 0)
        add_group(scenario, "db", db, NULL);
}

/* The largest remainder gets what rounding left over (Hamilton's method), after one node for each group. */
bool synthetic_resize(struct scenario *scenario, uint32_t nodes)
{
    uint64_t before = scenario->node_count, rest[SCENARIO_GROUPS_MAX];
    uint32_t groups = scenario->group_count, given = 0;
    if (groups == 0 || nodes < groups)
        return false;
    if (nodes == before)
        return true; /* rounding would move some of them from one group to another */
    for (uint32_t i = 0; i < groups; i++) {
        uint64_t share = (uint64_t)(nodes - groups) * scenario->groups[i].count;
        scenario->groups[i].count = 1 + (uint32_t)(share / before);
        rest[i] = share % before;
        given += scenario->groups[i].count;
    }
    while (given < nodes) {
        uint32_t most = 0;
        for (uint32_t i = 1; i < groups; i++)
            if (rest[i] > rest[most])
                most = i;
        scenario->groups[most].count++;
        rest[most] = 0;
        given++;
    }
    scenario->node_count = nodes;
    return true;
}
