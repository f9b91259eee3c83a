#include "journal/differ.h"

#include "base/check.h"
#include "base/text.h"
#include "core/image.h"
#include "core/trace.h"

#include <stdlib.h>
#include <string.h>

/* Deadlines of its own between two events: with more the other core does not come to rest, and is given up.
 */
enum { EXTRA_STEPS_MAX = 1 << 17 };

struct decisions { /* of one side, at one instant */
    struct effect *list;
    uint32_t count, room;
};

struct heard {
    instant at; /* 0 and no report: never */
    bool is_there;
    struct report report;
};

struct differ {
    struct policy instead;
    void *memory;
    struct core *other;
    const struct core *core; /* side A, between its steps */
    struct control control;  /* its control row before the step */
    struct heard *heard;     /* by node */
    uint32_t nodes;
    instant moment_at;
    struct decisions a, b;
    struct effects effects;
    bool found;
    bool restless; /* it was given up */
    uint32_t extra_steps;
    struct difference difference;
};

/* --- decisions ------------------------------------------------------------------------------------------ */

/* Most control rows only tell which numbers come next. */
static bool is_switched(const struct control *before, const struct control *now)
{
    return before->breaker_open != now->breaker_open || before->paused != now->paused;
}

static bool is_decision(const struct control *before, const struct effect *effect)
{
    return effect->kind == EFFECT_RECORD || effect->kind == EFFECT_ACT || effect->kind == EFFECT_ASK ||
           (effect->kind == EFFECT_CONTROL && is_switched(before, &effect->of.control)) ||
           (effect->kind == EFFECT_BLOCKED && effect->of.incident.blocked_count == 1);
}

static bool same_incident(const struct incident *a, const struct incident *b)
{
    return strncmp(a->detector_name, b->detector_name, DETECTOR_NAME_SIZE) == 0 && a->state == b->state &&
           a->why == b->why && a->remedy == b->remedy && a->verdict == b->verdict && a->block == b->block;
}

static bool same_decision(const struct effect *a, const struct effect *b)
{
    if (a->kind != b->kind || a->node != b->node)
        return false;
    if (a->kind == EFFECT_ACT)
        return a->of.command.remedy == b->of.command.remedy &&
               a->of.command.by_person == b->of.command.by_person;
    if (a->kind == EFFECT_CONTROL)
        return a->of.control.breaker_open == b->of.control.breaker_open &&
               a->of.control.paused == b->of.control.paused;
    return same_incident(&a->of.incident, &b->of.incident);
}

/* `before`: the control row before the step. */
static void keep(struct decisions *decisions, const struct control *before, const struct effects *effects)
{
    for (uint32_t i = 0; i < effects->count; i++) {
        if (!is_decision(before, &effects->list[i]))
            continue;
        if (decisions->count == decisions->room) {
            decisions->room = decisions->room ? 2 * decisions->room : 32;
            decisions->list = realloc(decisions->list, decisions->room * sizeof decisions->list[0]);
            CHECK(decisions->list);
        }
        decisions->list[decisions->count++] = effects->list[i];
    }
}

/* The first in `one` that `other` does not have; each of the other's counts once. */
static const struct effect *first_alone(const struct decisions *one, const struct decisions *other)
{
    const struct effect *alone = NULL;
    bool *taken = calloc(other->count + 1, 1);
    CHECK(taken);
    for (uint32_t i = 0; i < one->count && !alone; i++) {
        uint32_t k = 0;
        while (k < other->count && (taken[k] || !same_decision(&one->list[i], &other->list[k])))
            k++;
        if (k == other->count)
            alone = &one->list[i];
        else
            taken[k] = true;
    }
    free(taken);
    return alone;
}

/* --- the difference ------------------------------------------------------------------------------------- */

static void say(char *out, size_t size, const struct core *core, const struct effect *effect)
{
    struct text text = text_over(out, size);
    if (!effect)
        return;
    text_addf(&text, "%s ", trace_step(effect));
    trace_sentence(&text, core, effect);
}

static const char *detector_of_effect(const struct core *core, const struct effect *effect)
{
    if (!effect || effect->kind == EFFECT_CONTROL)
        return "";
    if (effect->kind != EFFECT_ACT)
        return effect->of.incident.detector_name;
    const struct incident *incident = core_incident(core, effect->of.command.incident);
    return incident ? incident->detector_name : "";
}

static void note_difference(struct differ *differ, const struct effect *a, const struct effect *b)
{
    struct difference *d = &differ->difference;
    const struct effect *first = a ? a : b;
    if (a && b && a->node != b->node)
        b = NULL; /* another matter */
    const char *name = detector_of_effect(a ? differ->core : differ->other, first);
    differ->found = true;
    *d = (struct difference){.at = differ->moment_at,
                             .node = first->node,
                             .has_a = a != NULL,
                             .has_b = b != NULL,
                             .a_policy = *core_policy(differ->core),
                             .b_policy = *core_policy(differ->other)};
    if (a)
        d->a = *a;
    if (b)
        d->b = *b;
    say(d->a_says, sizeof d->a_says, differ->core, a);
    say(d->b_says, sizeof d->b_says, differ->other, b);
    text_copy(d->detector_name, sizeof d->detector_name, name);
    if (first->node == NO_INDEX)
        return;
    text_copy(d->node_name, sizeof d->node_name, core_node_name(differ->core, first->node));
    if (first->node < differ->nodes && differ->heard[first->node].is_there) {
        d->has_report = true;
        d->report = differ->heard[first->node].report;
        d->reported_at = differ->heard[first->node].at;
    }
}

/* --- moments -------------------------------------------------------------------------------------------- */

static void step_other(struct differ *differ, const struct event *event)
{
    const struct control before = *core_control(differ->other);
    core_step(differ->other, event, &differ->effects);
    keep(&differ->b, &before, &differ->effects);
}

/* Its own deadlines up to `at`, as long as the other side has none that waits as well: then the driver was
 * holding them back, or its own event comes. */
static void run_deadlines(struct differ *differ, instant at)
{
    while (!differ->restless && core_deadline(differ->other) <= at && core_deadline(differ->core) > at) {
        struct event event = {.kind = EVENT_DEADLINE, .node = NO_INDEX, .at = at};
        step_other(differ, &event);
        differ->restless = ++differ->extra_steps >= EXTRA_STEPS_MAX;
    }
}

static void close_moment(struct differ *differ)
{
    if (!differ->core || differ->found || differ->restless || differ->moment_at == INSTANT_NONE)
        return;
    run_deadlines(differ, differ->moment_at);
    const struct effect *a = first_alone(&differ->a, &differ->b), *b = first_alone(&differ->b, &differ->a);
    if (a || b)
        note_difference(differ, a, b);
    differ->a.count = differ->b.count = 0;
}

/* From the newest moment to the event at `at`: what falls due on the other side alone has moments of its own.
 */
static void pass_time(struct differ *differ, instant at)
{
    while (!differ->found && !differ->restless) {
        instant due_at = core_deadline(differ->other);
        due_at = due_at > differ->moment_at ? due_at : differ->moment_at;
        if (due_at >= at || core_deadline(differ->core) <= due_at)
            return;
        differ->moment_at = due_at;
        close_moment(differ);
    }
}

/* --- watching ------------------------------------------------------------------------------------------- */

static void on_life(void *context, instant at, const struct core *core, bool from_image)
{
    struct differ *differ = context;
    const struct core_config config = core_made_with(core);
    (void)at;
    close_moment(differ);
    if (differ->found || differ->restless)
        return;
    free(differ->memory);
    free(differ->heard);
    differ->memory = calloc(1, core_size(&config));
    differ->heard = calloc(config.node_capacity, sizeof *differ->heard);
    CHECK(differ->memory && differ->heard);
    differ->nodes = config.node_capacity;
    differ->core = core;
    differ->moment_at = INSTANT_NONE;
    differ->a.count = differ->b.count = 0;
    if (!from_image) {
        differ->other = core_init(differ->memory, &config);
        return;
    }
    struct core_span spans[CORE_SPANS];
    core_spans(core, spans);
    for (int i = 0; i < CORE_SPANS; i++)
        memcpy((char *)differ->memory + spans[i].offset, (const char *)core + spans[i].offset,
               spans[i].length);
    differ->other = core_adopt(differ->memory, &config);
    CHECK(differ->other);
    struct event event = {
        .kind = EVENT_POLICY, .node = NO_INDEX, .at = core_now(core), .of.policy = &differ->instead};
    differ->moment_at = event.at;
    step_other(differ, &event);
}

static void on_event(void *context, const struct core *core, const struct event *event)
{
    struct differ *differ = context;
    if (differ->found || differ->restless)
        return;
    differ->core = core;
    differ->extra_steps = 0;
    if (event->at > differ->moment_at) {
        close_moment(differ);
        if (!differ->found && differ->moment_at != INSTANT_NONE)
            pass_time(differ, event->at);
    }
    if (differ->found || differ->restless)
        return;
    differ->moment_at = event->at;
    differ->control = *core_control(core);
    if (event->kind == EVENT_REPORT && event->node < differ->nodes)
        differ->heard[event->node] =
            (struct heard){.at = event->at, .is_there = true, .report = event->of.report};
    struct event own = *event;
    if (event->kind == EVENT_POLICY)
        own.of.policy = &differ->instead;
    step_other(differ, &own);
}

static void on_effects(void *context, const struct core *core, uint64_t ticket, const struct effects *effects,
                       instant at)
{
    struct differ *differ = context;
    (void)core, (void)ticket, (void)at;
    if (!differ->found && !differ->restless)
        keep(&differ->a, &differ->control, effects);
}

struct replay_watch differ_watch(struct differ *differ)
{
    return (struct replay_watch){
        .life = on_life, .event = on_event, .effects = on_effects, .context = differ};
}

/* --- life ----------------------------------------------------------------------------------------------- */

struct differ *differ_new(const struct policy *instead)
{
    struct differ *differ = calloc(1, sizeof *differ);
    if (!differ)
        return NULL;
    differ->instead = *instead;
    differ->moment_at = INSTANT_NONE;
    return differ;
}

void differ_free(struct differ **differ)
{
    if (!*differ)
        return;
    free((*differ)->memory);
    free((*differ)->heard);
    free((*differ)->a.list);
    free((*differ)->b.list);
    free(*differ);
    *differ = NULL;
}

const struct difference *differ_end(struct differ *differ)
{
    close_moment(differ);
    return differ->found ? &differ->difference : NULL;
}

bool differ_gave_up(const struct differ *differ)
{
    return differ->restless && !differ->found;
}
