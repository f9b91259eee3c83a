#include "cli/tale_sim.h"

#include "cli/tale.h"

#include "base/check.h"

#include <stdlib.h>
#include <string.h>

/* Effects are told before they are durable, and a crash takes back what is not: a step waits for its commit.
 */
struct waiting {
    uint64_t ticket;
    struct told_step step;
    char finding[DETECTOR_NAME_SIZE];
    uint8_t block;
};

struct tale_sim {
    const struct scenario *scenario;
    struct tale *tale;
    struct world_node *nodes;
    char (*names)[NODE_NAME_SIZE];
    struct struck *struck;
    struct waiting *waiting;
    uint32_t struck_count, struck_room, waiting_count, waiting_room;
};

static void *grow(void *list, uint32_t *room, size_t item)
{
    *room = *room ? 2 * *room : 64;
    void *grown = reallocarray(list, *room, item);
    CHECK(grown);
    return grown;
}

struct tale_sim *tale_sim_new(const struct scenario *scenario)
{
    struct tale_sim *tale = calloc(1, sizeof *tale);
    CHECK(tale);
    tale->scenario = scenario;
    tale->tale = tale_new();
    tale->nodes = calloc(scenario->node_count, sizeof *tale->nodes);
    tale->names = calloc(scenario->node_count, sizeof *tale->names);
    CHECK(tale->nodes && tale->names);
    scenario_lay_out(scenario, tale->nodes, tale->names);
    return tale;
}

void tale_sim_free(struct tale_sim **owner)
{
    struct tale_sim *tale = *owner;
    if (!tale)
        return;
    tale_free(&tale->tale);
    free(tale->nodes);
    free(tale->names);
    free(tale->struck);
    free(tale->waiting);
    free(tale);
    *owner = NULL;
}

static void on_effects(void *context, const struct core *core, uint64_t ticket, const struct effects *effects,
                       instant at)
{
    struct tale_sim *tale = context;
    (void)core;
    for (uint32_t i = 0; i < effects->count; i++) {
        const struct effect *effect = &effects->list[i];
        const struct incident *incident = &effect->of.incident;
        if (effect->kind != EFFECT_RECORD && effect->kind != EFFECT_BLOCKED)
            continue;
        if (tale->waiting_count == tale->waiting_room)
            tale->waiting = grow(tale->waiting, &tale->waiting_room, sizeof *tale->waiting);
        struct waiting *waiting = &tale->waiting[tale->waiting_count++];
        *waiting = (struct waiting){.ticket = ticket,
                                    .block = effect->kind == EFFECT_BLOCKED ? incident->block : BLOCK_NONE,
                                    .step = {.incident = incident->id,
                                             .at = at,
                                             .node = tale->names[effect->node],
                                             .number = effect->node,
                                             .state = incident->state,
                                             .remedy = incident->remedy,
                                             .verdict = incident->verdict}};
        memcpy(waiting->finding, incident->detector_name, sizeof waiting->finding);
    }
}

static void on_committed(void *context, instant at, uint64_t ticket)
{
    struct tale_sim *tale = context;
    uint32_t kept = 0;
    (void)at;
    for (uint32_t i = 0; i < tale->waiting_count; i++) {
        struct waiting *waiting = &tale->waiting[i];
        waiting->step.finding = waiting->finding;
        if (waiting->ticket > ticket)
            tale->waiting[kept++] = *waiting;
        else if (waiting->block != BLOCK_NONE)
            tale_blocked(tale->tale, &waiting->step, (enum block_reason)waiting->block);
        else
            tale_step(tale->tale, &waiting->step);
    }
    tale->waiting_count = kept;
}

static void on_fault(void *context, instant at, const struct world_fault *fault, bool begins)
{
    struct tale_sim *tale = context;
    if (!begins)
        return;
    if (tale->struck_count == tale->struck_room)
        tale->struck = grow(tale->struck, &tale->struck_room, sizeof *tale->struck);
    tale->struck[tale->struck_count++] = (struct struck){.at = at, .node = fault->node};
}

static void on_accident(void *context, instant at, const struct scenario_accident *accident, bool begins)
{
    struct tale_sim *tale = context;
    (void)at;
    if (begins && (accident->kind == ACCIDENT_CRASH_PLANE || accident->kind == ACCIDENT_SECOND_PLANE))
        tale->waiting_count = 0;
}

struct sim_watch tale_sim_watch(struct tale_sim *tale)
{
    return (struct sim_watch){.effects = on_effects,
                              .committed = on_committed,
                              .fault = on_fault,
                              .accident = on_accident,
                              .context = tale};
}

json_t *tale_sim_json(const struct tale_sim *tale)
{
    const struct expect_facts facts = {.scenario = tale->scenario,
                                       .fleet = tale->nodes,
                                       .names = tale->names,
                                       .struck = tale->struck,
                                       .struck_count = tale->struck_count};
    return tale_json(tale->tale, &facts);
}
