#include "base/check.h"
#include "scenario/scenario_reader.h"

#include <stdlib.h>

/* One line of faults as one node would meet it. */
struct strike {
    uint32_t line; /* of scenario.faults */
    instant from_at, until_at;
};

/* The lines of faults, walked through node by node. */
struct walk {
    const struct scenario *scenario;
    uint32_t meant[SCENARIO_FAULTS_MAX]; /* nodes that each line means */
    uint32_t met[SCENARIO_FAULTS_MAX];   /* ... of those, how many the walk has passed */
    bool told[SCENARIO_FAULTS_MAX];      /* one complaint for a line is enough */
};

/* When the next node that the line means is struck. Which nodes `2 of ...` means is drawn later, so that any
 * of them may be struck at any time of the spread. */
static struct strike next_strike(struct walk *walk, uint32_t line)
{
    const struct scenario_fault *fault = &walk->scenario->faults[line];
    duration offset_ns = 0, slack_ns = fault->spread_ns;
    if (fault->on.some == 0) {
        offset_ns = scenario_spread(fault->spread_ns, walk->met[line]++, walk->meant[line]);
        slack_ns = 0;
    }
    bool ends = fault->fault.until_at != INSTANT_NEVER;
    return (struct strike){.line = line,
                           .from_at = fault->fault.from_at + offset_ns,
                           .until_at = ends ? fault->fault.until_at + offset_ns + slack_ns : INSTANT_NEVER};
}

static void complain_twice(struct scenario_reader *reader, const struct strike *later,
                           const struct strike *earlier, const char *node)
{
    const struct scenario *scenario = reader->scenario;
    const char *kind = fault_kind_name(scenario->faults[later->line].fault.kind);
    int line = reader->faults[earlier->line]->at.line;
    if (scenario->faults[earlier->line].fault.until_at == INSTANT_NEVER) {
        complain(reader->complaints, reader->faults[later->line]->at,
                 "a second %s on %s; the one in line %d has no end: give it \"for: 20s\"", kind, node, line);
    } else {
        complain(reader->complaints, reader->faults[later->line]->at,
                 "a second %s on %s before the one in line %d is over", kind, node, line);
    }
}

/* The faults that are active on a node while its strikes are gone through in the order of time. */
struct active {
    struct strike list[WORLD_FAULTS_PER_NODE];
    uint32_t count;
};

static void forget_ended(struct active *active, instant now)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < active->count; i++) {
        if (active->list[i].until_at > now) {
            active->list[kept++] = active->list[i];
        }
    }
    active->count = kept;
}

static void weigh(struct scenario_reader *reader, struct walk *walk, struct active *active,
                  const struct strike *strike, const char *node)
{
    const struct scenario_fault *faults = reader->scenario->faults;
    forget_ended(active, strike->from_at);
    for (uint32_t i = 0; i < active->count; i++) {
        if (faults[active->list[i].line].fault.kind != faults[strike->line].fault.kind) {
            continue;
        }
        if (!walk->told[strike->line]) {
            complain_twice(reader, strike, &active->list[i], node);
        }
        walk->told[strike->line] = true;
        return;
    }
    if (active->count < WORLD_FAULTS_PER_NODE) {
        active->list[active->count++] = *strike;
        return;
    }
    if (!walk->told[strike->line]) {
        complain(reader->complaints, reader->faults[strike->line]->at, "more than %d faults at once on %s",
                 WORLD_FAULTS_PER_NODE, node);
    }
    walk->told[strike->line] = true;
}

static void weigh_node(struct scenario_reader *reader, struct walk *walk, uint32_t node, const char *name)
{
    const struct scenario *scenario = reader->scenario;
    struct strike strikes[SCENARIO_FAULTS_MAX];
    struct active active = {.count = 0};
    uint32_t count = 0;
    const char *role = scenario_group_of(scenario, node)->role, *zone = scenario_zone_of(scenario, node);
    for (uint32_t i = 0; i < scenario->fault_count; i++) {
        if (!scenario_target_means(&scenario->faults[i].on, name, role, zone)) {
            continue;
        }
        struct strike strike = next_strike(walk, i);
        uint32_t to = count++; /* nearly always the last: people write in the order of time */
        for (; to > 0 && strikes[to - 1].from_at > strike.from_at; to--) {
            strikes[to] = strikes[to - 1];
        }
        strikes[to] = strike;
    }
    for (uint32_t i = 0; i < count; i++) {
        weigh(reader, walk, &active, &strikes[i], name);
    }
}

void scenario_check_clashes(struct scenario_reader *reader)
{
    const struct scenario *scenario = reader->scenario;
    struct walk walk = {.scenario = scenario};
    uint32_t *nodes = calloc(scenario->node_count, sizeof *nodes);
    struct world_node *layout = calloc(scenario->node_count, sizeof *layout);
    char(*names)[NODE_NAME_SIZE] = calloc(scenario->node_count, sizeof *names);
    CHECK(nodes != NULL && layout != NULL && names != NULL);
    for (uint32_t i = 0; i < scenario->fault_count; i++) {
        walk.meant[i] = scenario_targets(scenario, &scenario->faults[i].on, 0, nodes);
    }
    scenario_lay_out(scenario, layout, names);
    for (uint32_t i = 0; i < scenario->node_count && scenario->fault_count > 1; i++) {
        weigh_node(reader, &walk, i, names[i]);
    }
    free(nodes);
    free(layout);
    free(names);
}
