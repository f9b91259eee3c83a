#include "sim/watch.h"

static void on_event(void *context, const struct event *event)
{
    checker_event(((struct sim_judge *)context)->checker, event);
}

static void on_effects(void *context, const struct core *core, uint64_t ticket, const struct effects *effects,
                       instant at)
{
    struct sim_judge *judge = context;
    judge->core = core;
    checker_effects(judge->checker, at, ticket, effects);
}

static void on_committed(void *context, instant at, uint64_t ticket)
{
    checker_committed(((struct sim_judge *)context)->checker, at, ticket);
}

static void on_delivered(void *context, instant at, const struct command *command)
{
    checker_delivered(((struct sim_judge *)context)->checker, at, command);
}

static void on_effect(void *context, instant at, const struct command *command, const struct world_done *done)
{
    (void)done;
    checker_world_effect(((struct sim_judge *)context)->checker, at, command);
}

/* Only what must be seen: full, lasting, and of a kind that shows in what users or the node agent see. */
static bool is_plain(const struct world_fault *fault)
{
    bool lasting = fault->shape == SHAPE_STEP &&
                   (fault->until_at == INSTANT_NEVER || fault->until_at - fault->from_at > CHECKER_DETECT_NS);
    bool told = fault->kind == FAULT_SERVICE_CRASH || fault->kind == FAULT_SERVICE_HANG ||
                fault->kind == FAULT_ZONE_OUTAGE || fault->kind == FAULT_NODE_PARTITION;
    return lasting && (told || fault->intensity >= fault_infos[fault->kind].intensity) &&
           fault->kind != FAULT_CLOCK_SKEW && fault->kind != FAULT_SENSOR_FAULT;
}

static void on_fault(void *context, instant at, const struct world_fault *fault, bool begins)
{
    if (fault->kind == FAULT_SERVICE_HANG || fault->kind == FAULT_SENSOR_FAULT)
        checker_hidden(((struct sim_judge *)context)->checker, fault->node, begins);
    if (is_plain(fault))
        checker_fault(((struct sim_judge *)context)->checker, at, fault->node, (enum fault_kind)fault->kind,
                      begins);
}

static void on_accident(void *context, instant at, const struct scenario_accident *accident, bool begins)
{
    struct sim_judge *judge = context;
    if (accident->kind != ACCIDENT_CRASH_PLANE && accident->kind != ACCIDENT_SECOND_PLANE)
        return;
    if (begins)
        checker_crash(judge->checker, at);
    else
        checker_restored(judge->checker, at, judge->core);
}

void sim_judge_init(struct sim_judge *judge, uint32_t nodes)
{
    *judge = (struct sim_judge){.checker = checker_new(nodes)};
}

void sim_judge_fini(struct sim_judge *judge)
{
    checker_free(&judge->checker);
}

struct sim_watch sim_judge_watch(struct sim_judge *judge)
{
    return (struct sim_watch){.event = on_event,
                              .effects = on_effects,
                              .committed = on_committed,
                              .delivered = on_delivered,
                              .effect = on_effect,
                              .fault = on_fault,
                              .accident = on_accident,
                              .context = judge};
}

void sim_judge_rest(struct sim_judge *judge, const struct sim *sim)
{
    checker_rest(judge->checker, sim_now(sim), sim_core(sim));
    for (uint32_t i = 0; i < sim_nodes(sim); i++) {
        uint64_t waiting = sim_overdue(sim, i);
        if (waiting > 0)
            checker_spooled(judge->checker, sim_now(sim), i, waiting);
    }
}
