/* What a seed draws of faults and accidents, and at which commits the control plane is cut. */
#include "base/text.h"
#include "core/fault.h"
#include "sim/swarm_dice.h"

#include <stdlib.h>
#include <string.h>

enum { LINES_USUAL = 8, TRIES = 4 };

/* --- whom it means -------------------------------------------------------------------------------------- */

static const struct scenario_group *any_group(const struct scenario *scenario, struct dice *dice)
{
    return &scenario->groups[dice_below(dice, scenario->group_count)];
}

static void target_node(struct dice *dice, const struct scenario *scenario, struct scenario_target *target)
{
    uint32_t node = dice_below(dice, scenario->node_count), group = 0;
    for (; node >= scenario->groups[group].count; group++)
        node -= scenario->groups[group].count;
    struct text text = text_over(target->pattern, sizeof target->pattern);
    text_addf(&text, "%s-%u", scenario->groups[group].role, node + 1);
}

static struct scenario_target draw_target(struct dice *dice, const struct scenario *scenario)
{
    struct scenario_target target;
    memset(&target, 0, sizeof target);
    double kind = dice_unit(dice);
    const struct scenario_group *group = any_group(scenario, dice);
    if (kind < 0.55) {
        target_node(dice, scenario, &target);
    } else if (kind < 0.70) {
        text_copy(target.role, sizeof target.role, group->role);
    } else if (kind < 0.80 && group->zones_count > 0) { /* its first zone surely has a node */
        text_copy(target.zone, sizeof target.zone, group->zones[0]);
    } else if (kind < 0.90) {
        text_copy(target.role, sizeof target.role, group->role);
        target.some = dice_whole(dice, 1, group->count);
    } else {
        text_copy(target.pattern, sizeof target.pattern, "*");
        target.some = dice_whole(dice, 1, scenario->node_count);
    }
    return target;
}

/* --- clashes -------------------------------------------------------------------------------------------- */

/* When any node may be under this line: which ones `some` means is drawn by the simulation. */
static bool overlap(const struct scenario_fault *a, const struct scenario_fault *b)
{
    instant a_until = a->fault.until_at == INSTANT_NEVER ? INSTANT_NEVER : a->fault.until_at + a->spread_ns;
    instant b_until = b->fault.until_at == INSTANT_NEVER ? INSTANT_NEVER : b->fault.until_at + b->spread_ns;
    return a->fault.from_at < b_until && b->fault.from_at < a_until;
}

/* What the reader of scenarios guarantees: no node meets one kind twice at once, nor more than the world
 * takes. Here with a little more caution than there: whom a line may mean counts as meant. */
static bool clashes(const struct scenario *scenario, const struct scenario_fault *line,
                    char (*names)[NODE_NAME_SIZE])
{
    for (uint32_t n = 0; n < scenario->node_count; n++) {
        const char *role = scenario_group_of(scenario, n)->role, *zone = scenario_zone_of(scenario, n);
        uint32_t at_once = 0;
        if (!scenario_target_means(&line->on, names[n], role, zone))
            continue;
        for (uint32_t i = 0; i < scenario->fault_count; i++) {
            const struct scenario_fault *other = &scenario->faults[i];
            if (!overlap(line, other) || !scenario_target_means(&other->on, names[n], role, zone))
                continue;
            if (other->fault.kind == line->fault.kind || ++at_once == WORLD_FAULTS_PER_NODE)
                return true;
        }
    }
    return false;
}

/* --- faults --------------------------------------------------------------------------------------------- */

static double draw_intensity(struct dice *dice, const struct fault_info *info)
{
    if (info->unit == UNIT_NONE || dice_chance(dice, 0.5))
        return info->intensity;
    return info->least > 0 ? dice_log(dice, info->least, info->most)
                           : dice_even(dice, info->least, info->most);
}

static enum shape draw_shape(struct dice *dice, enum fault_kind kind, bool ends)
{
    static const enum shape there_or_not[] = {SHAPE_STEP, SHAPE_STEP, SHAPE_SPIKE, SHAPE_FLAPPING};
    if (dice_chance(dice, 0.4))
        return SHAPE_STEP;
    if (fault_infos[kind].unit == UNIT_NONE)
        return DICE_OF(dice, there_or_not);
    enum shape shape = (enum shape)dice_below(dice, SHAPE_COUNT);
    bool has_period = shape != SHAPE_GRAY && shape != SHAPE_RAMP; /* it is drawn later */
    bool fits = fault_shape_fits(kind, shape, ends ? SECOND : INSTANT_NEVER, has_period ? SECOND : 0);
    return fits ? shape : SHAPE_STEP;
}

/* One of those that the world knows. */
static enum fault_kind draw_kind(struct dice *dice)
{
    for (;;) {
        enum fault_kind kind = (enum fault_kind)dice_below(dice, FAULT_COUNT);
        if (fault_is_synthetic(kind))
            return kind;
    }
}

static void draw_fault(struct dice *dice, const struct scenario *scenario, struct scenario_fault *line)
{
    struct world_fault *fault = &line->fault;
    bool ends = dice_chance(dice, 0.7);
    fault->from_at =
        (instant)(dice_unit(dice) * 0.9 * (double)scenario->length_ns) / MILLISECOND * MILLISECOND;
    fault->until_at =
        ends ? fault->from_at + dice_time(dice, SECOND, scenario->length_ns / 2) : INSTANT_NEVER;
    fault->kind = (uint8_t)draw_kind(dice);
    fault->shape = (uint8_t)draw_shape(dice, (enum fault_kind)fault->kind, ends);
    fault->intensity = draw_intensity(dice, &fault_infos[fault->kind]);
    if (fault->shape == SHAPE_SPIKE || fault->shape == SHAPE_SAWTOOTH || fault->shape == SHAPE_FLAPPING)
        fault->period_ns = dice_time(dice, SECOND, MINUTE);
    if (dice_chance(dice, 0.3)) {
        duration left_ns = scenario->length_ns - fault->from_at;
        line->spread_ns = dice_time(dice, MILLISECOND, left_ns < MINUTE ? left_ns : MINUTE);
    }
}

static void add_line(struct dice *dice, struct scenario *scenario, char (*names)[NODE_NAME_SIZE],
                     const struct scenario_fault *like)
{
    for (int i = 0; i < TRIES; i++) {
        struct scenario_fault line;
        memset(&line, 0, sizeof line);
        draw_fault(dice, scenario, &line);
        line.on = like ? like->on : draw_target(dice, scenario);
        if (like && like->fault.from_at + 16 * SECOND <
                        scenario->length_ns) { /* while the other one lasts, if it does */
            duration after_ns = dice_chance(dice, 0.5) ? 0 : dice_time(dice, MILLISECOND, 15 * SECOND);
            duration moved_ns = like->fault.from_at + after_ns - line.fault.from_at;
            line.fault.from_at += moved_ns;
            line.fault.until_at += line.fault.until_at == INSTANT_NEVER ? 0 : moved_ns;
            line.spread_ns = 0;
        }
        if (clashes(scenario, &line, names))
            continue;
        scenario->faults[scenario->fault_count++] = line;
        return;
    }
}

/* A switch, a bad roll-out, a dependency: much of the fleet at once, or nearly. */
static void add_storm(struct dice *dice, struct scenario *scenario)
{
    struct scenario_fault *line = &scenario->faults[scenario->fault_count++];
    draw_fault(dice, scenario, line);
    double share = dice_even(dice, 0.4, 1.0);
    text_copy(line->on.pattern, sizeof line->on.pattern, "*");
    line->on.some = (uint32_t)(share * scenario->node_count + 0.999);
    line->fault.shape = dice_chance(dice, 0.7) ? SHAPE_STEP : line->fault.shape;
    line->fault.intensity = fault_infos[line->fault.kind].intensity;
    line->spread_ns = dice_chance(dice, 0.5) ? 0 : line->spread_ns;
}

void swarm_draw_faults(struct swarm *swarm)
{
    struct scenario *scenario = &swarm->scenario;
    struct dice dice = dice_of(swarm->seed, DICE_FAULTS, 0);
    struct world_node *layout = calloc(scenario->node_count, sizeof *layout);
    char(*names)[NODE_NAME_SIZE] = calloc(scenario->node_count, sizeof *names);
    CHECK(layout && names);
    scenario_lay_out(scenario, layout, names);
    if (scenario->node_count > 2 && dice_chance(&dice, 0.2))
        swarm->storm = 1;
    if (swarm->storm)
        add_storm(&dice, scenario);
    uint32_t lines = dice_chance(&dice, 0.05) ? 0 : dice_whole(&dice, 1, LINES_USUAL);
    lines = dice_chance(&dice, 0.1) ? 4 * LINES_USUAL : lines;
    for (uint32_t i = 0; i < lines; i++) {
        uint32_t before = scenario->fault_count;
        add_line(&dice, scenario, names, NULL);
        bool more = scenario->fault_count > before && dice_chance(&dice, 0.25);
        for (uint32_t k = more ? dice_whole(&dice, 1, WORLD_FAULTS_PER_NODE - 1) : 0; k > 0; k--)
            add_line(&dice, scenario, names, &scenario->faults[before]);
    }
    free(layout);
    free(names);
}

/* --- accidents ------------------------------------------------------------------------------------------ */

static duration draw_accident_length(struct dice *dice, enum accident kind, duration run_ns)
{
    switch (kind) {
    case ACCIDENT_CRASH_PLANE:
        return dice_time(dice, MILLISECOND, 90 * SECOND);
    case ACCIDENT_SUSPEND_PLANE:
    case ACCIDENT_SUSPEND_AGENT:
    case ACCIDENT_CRASH_AGENT:
        return dice_time(dice, 10 * MILLISECOND, 2 * MINUTE);
    case ACCIDENT_LEAVE:
    case ACCIDENT_PAUSE:
        return dice_chance(dice, 0.3) ? 0 : dice_time(dice, 100 * MILLISECOND, 3 * MINUTE);
    case ACCIDENT_MAINTAIN:
        return dice_time(dice, SECOND, run_ns);
    default:
        return 0;
    }
}

static void add_accident(struct dice *dice, struct swarm *swarm, enum accident kind, instant at)
{
    struct scenario *scenario = &swarm->scenario;
    if (scenario->accident_count == SWARM_ACCIDENTS_MAX)
        return;
    uint32_t number = scenario->accident_count++;
    struct scenario_accident *accident = &scenario->accidents[number];
    accident->kind = (uint8_t)kind;
    accident->at = at < scenario->length_ns ? at : scenario->length_ns - 1;
    accident->length_ns = draw_accident_length(dice, kind, scenario->length_ns);
    if (kind == ACCIDENT_CRASH_AGENT || kind == ACCIDENT_SUSPEND_AGENT || kind == ACCIDENT_LEAVE ||
        kind == ACCIDENT_MAINTAIN)
        accident->on = draw_target(dice, scenario);
    if (kind == ACCIDENT_POLICY) {
        struct text text = text_over(accident->path, sizeof accident->path);
        text_addf(&text, "drawn-%u.yaml", number + 1);
        swarm_draw_policy(swarm, number + 1, &swarm->later[number]);
    }
}

static instant any_instant(struct dice *dice, const struct scenario *scenario)
{
    return (instant)(dice_unit(dice) * (double)scenario->length_ns) / MILLISECOND * MILLISECOND;
}

/* Somebody who looks in now and then, where nothing goes without him. */
static void add_people(struct dice *dice, struct swarm *swarm)
{
    const struct scenario *scenario = &swarm->scenario;
    if (swarm->policy.mode == MODE_APPROVE && dice_chance(dice, 0.8)) {
        uint32_t looks = dice_whole(dice, 1, 6);
        for (uint32_t i = 0; i < looks; i++)
            add_accident(dice, swarm, ACCIDENT_APPROVE, any_instant(dice, scenario));
    }
    if (dice_chance(dice, 0.15))
        add_accident(dice, swarm, ACCIDENT_RESET, any_instant(dice, scenario));
}

/* One after the other, as if what is wrong with it came with its start. */
static void add_crash_loop(struct dice *dice, struct swarm *swarm)
{
    instant at = any_instant(dice, &swarm->scenario);
    for (uint32_t i = dice_whole(dice, 2, 4); i > 0; i--) {
        uint32_t number = swarm->scenario.accident_count;
        add_accident(dice, swarm, ACCIDENT_CRASH_PLANE, at);
        if (number < SWARM_ACCIDENTS_MAX)
            swarm->scenario.accidents[number].length_ns = dice_time(dice, MILLISECOND, SECOND);
        at += dice_time(dice, 10 * MILLISECOND, 3 * SECOND);
    }
}

static int by_step(const void *x, const void *y)
{
    const struct swarm_cut *a = x, *b = y;
    return a->step < b->step ? -1 : a->step > b->step;
}

static void draw_cuts(struct swarm *swarm)
{
    struct dice dice = dice_of(swarm->seed, DICE_CUTS, 0);
    if (dice_chance(&dice, 0.6))
        return;
    swarm->cut_count = dice_whole(&dice, 1, SWARM_CUTS_MAX);
    for (uint32_t i = 0; i < swarm->cut_count; i++)
        swarm->cuts[i] = (struct swarm_cut){.step = (uint64_t)dice_log(&dice, 1, 1000),
                                            .length_ns = dice_time(&dice, MILLISECOND, 20 * SECOND),
                                            .kind = dice_chance(&dice, 0.75) ? ACCIDENT_CRASH_PLANE
                                                                             : ACCIDENT_SECOND_PLANE};
    qsort(swarm->cuts, swarm->cut_count, sizeof swarm->cuts[0], by_step);
}

void swarm_draw_accidents(struct swarm *swarm)
{
    const struct scenario *scenario = &swarm->scenario;
    struct dice dice = dice_of(swarm->seed, DICE_ACCIDENTS, 0);
    uint32_t count = dice_chance(&dice, 0.25) ? 0 : dice_whole(&dice, 1, 8);
    for (uint32_t i = 0; i < count; i++) {
        enum accident kind = (enum accident)dice_below(&dice, ACCIDENT_COUNT);
        add_accident(&dice, swarm, kind, any_instant(&dice, scenario));
    }
    add_people(&dice, swarm);
    if (dice_chance(&dice, 0.08))
        add_crash_loop(&dice, swarm);
    draw_cuts(swarm);
}
