/* The script: faults and accidents at their times, what people do, and the healing phase. */
#include "sim/state.h"

#include "base/text.h"
#include "policy/policy_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORD_POLICY = OPERATOR_WORD_COUNT }; /* what else a person says */

static const struct scenario_accident *accident_at(const struct sim *sim, uint32_t number)
{
    return number == ACCIDENT_OF_CALLER ? &sim->own : &sim->scenario->accidents[number];
}

/* --- whom it means -------------------------------------------------------------------------------------- */

bool script_means(const struct sim *sim, const struct scenario_target *target, uint32_t node)
{
    return scenario_target_means(target, sim->names[node], scenario_group_of(sim->scenario, node)->role,
                                 scenario_zone_of(sim->scenario, node));
}

/* The nodes that a line means, by number. The caller frees. */
static uint32_t *choose(const struct sim *sim, const struct scenario_target *target, uint32_t *count)
{
    uint32_t *list = calloc(sim->nodes, sizeof *list);
    CHECK(list);
    *count = scenario_targets(sim->scenario, target, sim->options.seed, list);
    return list;
}

/* --- faults --------------------------------------------------------------------------------------------- */

static void put_strikes(struct sim *sim, uint32_t line)
{
    const struct scenario_fault *fault = &sim->scenario->faults[line];
    uint32_t count, *list = choose(sim, &fault->on, &count);
    for (uint32_t i = 0; i < count; i++) {
        duration later_ns = scenario_spread(fault->spread_ns, i, count);
        sim_put(sim, LANE_NONE,
                &(struct happening){.kind = HAPPENING_STRIKE,
                                    .node = list[i],
                                    .list = line,
                                    .number = (uint64_t)later_ns,
                                    .at = fault->fault.from_at + later_ns});
    }
    free(list);
}

static void strike(struct sim *sim, const struct happening *happening)
{
    struct world_fault fault = sim->scenario->faults[happening->list].fault;
    fault.node = happening->node;
    fault.from_at = sim->now;
    if (fault.until_at != INSTANT_NEVER)
        fault.until_at += (duration)happening->number;
    if (sim->healing || !world_strike(sim->world, &fault))
        return;
    score_strike(sim, &fault);
    SIM_TELL(sim, fault, sim->now, &fault, true);
    if (fault.until_at != INSTANT_NEVER)
        sim_put(
            sim, LANE_NONE,
            &(struct happening){
                .kind = HAPPENING_FAULT_END, .node = fault.node, .number = fault.kind, .at = fault.until_at});
}

static void end_fault(struct sim *sim, uint32_t node, enum fault_kind kind)
{
    for (uint32_t i = 0; i < sim->score.injection_count; i++) {
        struct injection *injection = &sim->score.injections[i];
        if (injection->over || injection->node != node || injection->kind != kind)
            continue;
        injection->over = true;
        SIM_TELL(sim, fault, sim->now, &injection->fault, false);
        return;
    }
}

uint32_t script_faults(const struct sim *sim, uint32_t node)
{
    struct world_truth truth;
    world_truth(sim->world, node, sim->now, &truth);
    return truth.faults;
}

void script_cured(struct sim *sim, uint32_t node, uint32_t before)
{
    uint32_t cured = before & ~script_faults(sim, node);
    for (uint32_t kind = 0; cured >> kind != 0; kind++)
        if (cured >> kind & 1)
            end_fault(sim, node, (enum fault_kind)kind);
}

/* --- people --------------------------------------------------------------------------------------------- */

static void put_person(struct sim *sim, uint64_t word, uint32_t node, uint32_t number, duration later_ns)
{
    sim_put(sim, LANE_NONE,
            &(struct happening){.kind = HAPPENING_PERSON,
                                .node = node,
                                .number = word,
                                .list = number,
                                .at = sim->now + later_ns});
}

static void say(struct sim *sim, enum operator_word word, uint32_t node, duration maintain_ns)
{
    struct event event = {.kind = EVENT_OPERATOR, .node = node};
    event.of.operator_order =
        (struct operator_order){.word = (uint8_t)word, .remedy = REMEDY_NONE, .maintain_ns = maintain_ns};
    control_step(sim, sim->plane, &event);
}

static void approve_all(struct sim *sim)
{
    const struct store *store = &sim->store;
    for (uint32_t i = 0; i < store->incident_count && control_has_room(sim->plane); i++) {
        uint64_t id = store->incidents[i].id;
        const struct incident *incident = core_incident(sim->plane->core, id);
        if (!incident || core_approvable(sim->plane->core, id) == REMEDY_NONE)
            continue;
        struct event event = {.kind = EVENT_OPERATOR, .node = NO_INDEX};
        event.of.operator_order = (struct operator_order){
            .word = OPERATOR_APPROVE, .incident = id, .plan = incident->plan, .remedy = REMEDY_NONE};
        control_step(sim, sim->plane, &event);
    }
}

static void take_policy(struct sim *sim, uint32_t number)
{
    struct event event = {.kind = EVENT_POLICY, .node = NO_INDEX};
    sim->policy = sim->policies[number];
    event.of.policy = &sim->policy;
    control_step(sim, sim->plane, &event);
}

/* A person who finds the control plane away tries again. */
static void person(struct sim *sim, const struct happening *happening)
{
    if (sim->plane->state != PLANE_UP || !control_has_room(sim->plane)) {
        put_person(sim, happening->number, happening->node, happening->list, SECOND);
        return;
    }
    const struct scenario_accident *accident = accident_at(sim, happening->list);
    if (happening->number == WORD_POLICY)
        take_policy(sim, happening->list);
    else if (happening->number == OPERATOR_APPROVE)
        approve_all(sim);
    else if (happening->number == OPERATOR_MAINTAIN)
        say(sim, OPERATOR_MAINTAIN, happening->node,
            sim->healing              ? 0
            : accident->length_ns > 0 ? accident->length_ns
                                      : MAINTAIN_MAX_NS);
    else
        say(sim, (enum operator_word)happening->number, NO_INDEX, 0);
}

/* --- accidents ------------------------------------------------------------------------------------------ */

static void put_end(struct sim *sim, enum happening_kind kind, uint32_t number, duration later_ns)
{
    sim_put(sim, LANE_NONE,
            &(struct happening){.kind = (uint8_t)kind,
                                .node = NO_INDEX,
                                .list = number,
                                .plane = sim->plane->number,
                                .generation = sim->plane->generation,
                                .at = sim->now + later_ns});
}

static bool crash_plane(struct sim *sim, uint32_t number, duration length_ns)
{
    if (!sim->plane->core)
        return false; /* it lies on the ground already */
    control_end(sim, sim->plane, PLANE_DOWN);
    SIM_TELL(sim, accident, sim->now, accident_at(sim, number), true);
    if (!sim->healing && length_ns > sim->heal_at - sim->now)
        length_ns = sim->heal_at - sim->now; /* like all else that goes wrong it ends with the script */
    put_end(sim, HAPPENING_PLANE_BACK, number, length_ns + BEGIN_NS);
    return true;
}

static void plane_back(struct sim *sim, const struct happening *happening)
{
    struct plane *plane = &sim->planes[happening->plane];
    if (plane->generation != happening->generation || plane->state != PLANE_DOWN || plane != sim->plane)
        return;
    control_begin(sim, plane);
    SIM_TELL(sim, accident, sim->now, accident_at(sim, happening->list), false);
}

static void second_plane(struct sim *sim, uint32_t number)
{
    struct plane *other = &sim->planes[!sim->plane->number];
    SIM_TELL(sim, accident, sim->now, accident_at(sim, number), true);
    if (other->core)
        control_end(sim, other, PLANE_NONE); /* a third one: the oldest is fenced at the latest now */
    if (sim->plane->state == PLANE_DOWN)
        sim->plane->state = PLANE_NONE; /* it will not come back */
    control_begin(sim, other);
    SIM_TELL(sim, accident, sim->now, accident_at(sim, number), false);
}

static void to_agents(struct sim *sim, uint32_t number, const struct scenario_accident *accident)
{
    uint32_t count, *list = choose(sim, &accident->on, &count);
    bool ends = accident->length_ns > 0;
    instant until = ends ? sim->now + accident->length_ns : INSTANT_NEVER;
    for (uint32_t i = 0; i < count; i++) {
        if (accident->kind == ACCIDENT_CRASH_AGENT)
            agent_crash(sim, list[i], ends ? until : sim->now);
        else if (accident->kind == ACCIDENT_SUSPEND_AGENT)
            agent_suspend(sim, list[i], until);
        else if (accident->kind == ACCIDENT_LEAVE)
            agent_leave(sim, list[i], until);
        else
            put_person(sim, OPERATOR_MAINTAIN, list[i], number, 0);
    }
    free(list);
}

static void begin_accident(struct sim *sim, uint32_t number, const struct scenario_accident *accident)
{
    duration length_ns = accident->length_ns;
    switch ((enum accident)accident->kind) {
    case ACCIDENT_SUSPEND_PLANE:
        control_suspend(sim, sim->plane);
        put_end(sim, HAPPENING_PLANE_RESUME, number, length_ns);
        break;
    case ACCIDENT_CRASH_AGENT:
    case ACCIDENT_SUSPEND_AGENT:
    case ACCIDENT_LEAVE:
    case ACCIDENT_MAINTAIN:
        to_agents(sim, number, accident);
        break;
    case ACCIDENT_PAUSE:
        put_person(sim, OPERATOR_PAUSE, NO_INDEX, number, 0);
        if (length_ns > 0)
            put_person(sim, OPERATOR_RESUME, NO_INDEX, number, length_ns);
        break;
    case ACCIDENT_RESET:
        put_person(sim, OPERATOR_RESET, NO_INDEX, number, 0);
        break;
    case ACCIDENT_APPROVE:
        put_person(sim, OPERATOR_APPROVE, NO_INDEX, number, 0);
        break;
    case ACCIDENT_POLICY:
        if (number != ACCIDENT_OF_CALLER)
            put_person(sim, WORD_POLICY, NO_INDEX, number, 0);
        break;
    default:
        break;
    }
}

void script_accident(struct sim *sim, uint32_t number)
{
    const struct scenario_accident *accident = accident_at(sim, number);
    if (accident->kind == ACCIDENT_CRASH_PLANE) {
        crash_plane(sim, number, accident->length_ns);
    } else if (accident->kind == ACCIDENT_SECOND_PLANE) {
        second_plane(sim, number);
    } else {
        SIM_TELL(sim, accident, sim->now, accident, true);
        begin_accident(sim, number, accident);
        if (accident->kind != ACCIDENT_SUSPEND_PLANE && accident->length_ns > 0)
            put_end(sim, HAPPENING_ACCIDENT_END, number, accident->length_ns);
    }
}

/* --- healing -------------------------------------------------------------------------------------------- */

static void heal(struct sim *sim)
{
    sim->healing = true;
    if (sim->network.least_ns > HEALED_DELAY_NS)
        sim->network.least_ns = HEALED_DELAY_NS;
    sim->network.tail_ns = 0;
    sim->network.loss_ratio = sim->network.double_ratio = 0;
    for (uint32_t i = 0; i < sim->score.injection_count; i++) {
        const struct injection *injection = &sim->score.injections[i];
        if (injection->over)
            continue;
        world_clear(sim->world, injection->node, (enum fault_kind)injection->kind, sim->now);
        end_fault(sim, injection->node, (enum fault_kind)injection->kind);
    }
    for (uint32_t i = 0; i < sim->nodes; i++) {
        agent_wake(sim, i);
        if (sim->plane->core && core_maintained(sim->plane->core, i, NULL))
            put_person(sim, OPERATOR_MAINTAIN, i, ACCIDENT_OF_CALLER, 0);
    }
    if (sim->plane->state == PLANE_SUSPENDED)
        control_resume(sim, sim->plane);
    put_person(sim, OPERATOR_RESUME, NO_INDEX, ACCIDENT_OF_CALLER, 0);
    put_person(sim, OPERATOR_RESET, NO_INDEX, ACCIDENT_OF_CALLER, 0);
}

/* --- turns ---------------------------------------------------------------------------------------------- */

void script_turn(struct sim *sim, const struct happening *happening)
{
    switch ((enum happening_kind)happening->kind) {
    case HAPPENING_STRIKE:
        strike(sim, happening);
        break;
    case HAPPENING_FAULT_END:
        end_fault(sim, happening->node, (enum fault_kind)happening->number);
        break;
    case HAPPENING_ACCIDENT:
        if (!sim->healing)
            script_accident(sim, happening->list);
        break;
    case HAPPENING_ACCIDENT_END:
        SIM_TELL(sim, accident, sim->now, accident_at(sim, happening->list), false);
        break;
    case HAPPENING_PLANE_BACK:
        plane_back(sim, happening);
        break;
    case HAPPENING_PLANE_RESUME:
        control_resume(sim, &sim->planes[happening->plane]);
        SIM_TELL(sim, accident, sim->now, accident_at(sim, happening->list), false);
        break;
    case HAPPENING_PERSON:
        person(sim, happening);
        break;
    case HAPPENING_HEAL:
        heal(sim);
        break;
    default:
        CHECK(false); /* all others are handled before */
    }
}

/* --- at the start --------------------------------------------------------------------------------------- */

static bool read_policy(struct sim *sim, uint32_t number, char *error, size_t error_size)
{
    if (sim->options.later) {
        sim->policies[number] = sim->options.later[number];
        return true;
    }
    const char *path = sim->scenario->accidents[number].path;
    struct complaints *complaints = calloc(1, sizeof *complaints);
    CHECK(complaints);
    int code = policy_read_file(path, &sim->policies[number], complaints);
    if (code < 0)
        snprintf(error, error_size, "cannot read the policy %s: %s", path, strerror(-code));
    else if (code > 0) {
        struct text text = text_over(error, error_size);
        complaint_print(&text, &complaints->list[0], path);
    }
    free(complaints);
    return code == 0;
}

bool script_begin(struct sim *sim, char *error, size_t error_size)
{
    const struct scenario *scenario = sim->scenario;
    sim->policies = calloc(SCENARIO_ACCIDENTS_MAX, sizeof sim->policies[0]);
    if (!sim->policies)
        return false;
    for (uint32_t i = 0; i < scenario->accident_count; i++)
        if (scenario->accidents[i].kind == ACCIDENT_POLICY && !read_policy(sim, i, error, error_size))
            return false;
    for (uint32_t i = 0; i < scenario->fault_count; i++)
        put_strikes(sim, i);
    for (uint32_t i = 0; i < scenario->accident_count; i++)
        sim_put(
            sim, LANE_NONE,
            &(struct happening){
                .kind = HAPPENING_ACCIDENT, .node = NO_INDEX, .list = i, .at = scenario->accidents[i].at});
    sim_put(sim, LANE_NONE,
            &(struct happening){.kind = HAPPENING_HEAL, .node = NO_INDEX, .at = sim->heal_at});
    return true;
}
