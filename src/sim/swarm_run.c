/* One seed of the swarm: the run, under the checkers, with what occurred in it. */
#include "sim/swarm.h"

#include "base/check.h"
#include "base/random.h"
#include "base/text.h"
#include "sim/swarm_tell.h"
#include "sim/watch.h"

#include <stdlib.h>
#include <string.h>

enum { QUESTIONS_MAX = 32 /* waiting for the planner or for people; more are never answered */ };

static const duration look_ns = 10 * SECOND; /* how often a healing run is asked whether it rests */
static const duration heal_least_ns = MINUTE;

/* What the planner or a person will say. */
struct question {
    instant answer_at;
    struct event event;
};

struct run {
    const struct swarm *swarm;
    struct sim *sim;
    struct sim_judge judge;
    struct swarm_tell tell;
    struct swarm_outcome *outcome;
    struct question questions[QUESTIONS_MAX];
    uint32_t question_count, cuts_done;
    uint64_t steps; /* of the control plane in force that had something to commit */
    uint64_t questions_asked, people_told;
    bool breaker_open, rests;
};

static void saw(struct run *run, enum seen_group group, uint32_t row)
{
    CHECK(row < seen_rows(group));
    run->outcome->seen.times[group][row]++;
}

/* --- what it watches ------------------------------------------------------------------------------------ */

static enum remedy any_remedy(const struct swarm *swarm, const struct core *core,
                              const struct incident *incident, uint64_t draw)
{
    bool wild = random_unit(random_draw(draw, 1)) < swarm->planner.wild_ratio;
    const struct policy *policy = core_policy(core);
    uint32_t among =
        incident->detector < policy->detector_count ? policy->detectors[incident->detector].ladder_count : 0;
    if (wild || among == 0) /* now and then one that does not exist */
        return (enum remedy)(random_draw(draw, 2) % (REMEDY_COUNT + 2));
    return (enum remedy)policy->detectors[incident->detector].ladder[random_draw(draw, 2) % among].remedy;
}

static void will_say(struct run *run, const struct event *event, duration takes_ns, uint64_t draw, instant at)
{
    if (run->question_count == QUESTIONS_MAX)
        return;
    double after = random_unit(random_draw(draw, 3)) * (double)takes_ns;
    run->questions[run->question_count++] =
        (struct question){.answer_at = at + (duration)after, .event = *event};
}

static void ask_planner(struct run *run, const struct core *core, const struct incident *incident, instant at)
{
    const struct swarm_planner *planner = &run->swarm->planner;
    uint64_t draw = random_draw(random_key(run->swarm->seed, 0x706c616e), run->questions_asked++);
    struct event event = {.kind = EVENT_PROPOSAL, .node = incident->node};
    event.of.proposal = (struct proposal){.incident = incident->id,
                                          .remedy = (uint8_t)any_remedy(run->swarm, core, incident, draw)};
    if (random_unit(random_draw(draw, 0)) < planner->answers_ratio)
        will_say(run, &event, planner->takes_ns, draw, at);
}

/* They speak of what they were shown, which may be something else by then. */
static void tell_people(struct run *run, const struct incident *incident, instant at)
{
    const struct swarm_people *people = &run->swarm->people;
    uint64_t draw = random_draw(random_key(run->swarm->seed, 0x70656f70), run->people_told++);
    double what = random_unit(random_draw(draw, 0));
    struct event event = {.kind = EVENT_OPERATOR, .node = NO_INDEX};
    event.of.operator_order = (struct operator_order){
        .word = OPERATOR_APPROVE, .incident = incident->id, .plan = incident->plan, .remedy = REMEDY_NONE};
    double acknowledged = people->approve_ratio + people->acknowledge_ratio;
    if (what >= people->approve_ratio)
        event.of.operator_order.word = what < acknowledged ? OPERATOR_ACKNOWLEDGE : OPERATOR_DECLINE;
    if (what < acknowledged + people->decline_ratio)
        will_say(run, &event, people->takes_ns, draw, at);
}

static void on_event(void *context, const struct event *event)
{
    struct run *run = context;
    if (event->kind == EVENT_POLICY)
        saw(run, SEEN_MODE, event->of.policy->mode);
    else if (event->kind == EVENT_PROPOSAL)
        saw(run, SEEN_RUN, SEEN_RUN_PROPOSAL);
    else if (event->kind == EVENT_RESTORE && event->of.restore.kind == RESTORE_CONTROL)
        run->breaker_open = event->of.restore.what.control.breaker_open;
}

static void on_effects(void *context, const struct core *core, uint64_t ticket, const struct effects *effects,
                       instant at)
{
    struct run *run = context;
    run->steps += ticket != 0;
    for (uint32_t i = 0; i < effects->count; i++) {
        const struct effect *effect = &effects->list[i];
        if (effect->kind == EFFECT_RECORD) {
            saw(run, SEEN_WHY, effect->of.incident.why);
            if (effect->of.incident.why == WHY_PAGE)
                saw(run, SEEN_REMEDY, REMEDY_PAGE_HUMAN);
        } else if (effect->kind == EFFECT_REJECT) {
            saw(run, SEEN_REJECT, effect->reject);
        } else if (effect->kind == EFFECT_ASK) {
            ask_planner(run, core, &effect->of.incident, at);
        } else if (effect->kind == EFFECT_NOTIFY) {
            tell_people(run, &effect->of.incident, at);
        } else if (effect->kind == EFFECT_CONTROL) {
            if (effect->of.control.breaker_open && !run->breaker_open)
                saw(run, SEEN_RUN, SEEN_RUN_BREAKER);
            run->breaker_open = effect->of.control.breaker_open;
        }
    }
}

static void on_fault(void *context, instant at, const struct world_fault *fault, bool begins)
{
    struct run *run = context;
    struct world_truth truth;
    if (!begins)
        return;
    saw(run, SEEN_FAULT, fault->kind);
    saw(run, SEEN_SHAPE, fault->shape);
    world_truth(sim_world(run->sim), fault->node, at, &truth);
    if (__builtin_popcount(truth.faults) > 1)
        saw(run, SEEN_RUN, SEEN_RUN_COMPOSITION);
}

static void on_accident(void *context, instant at, const struct scenario_accident *accident, bool begins)
{
    (void)at;
    if (begins)
        saw(context, SEEN_ACCIDENT, accident->kind);
}

/* --- what it does between two happenings ---------------------------------------------------------------- */

static void answer_questions(struct run *run)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < run->question_count; i++) {
        struct question question = run->questions[i];
        if (sim_now(run->sim) < question.answer_at) {
            run->questions[kept++] = question;
            continue;
        }
        sim_event(run->sim, &question.event);
    }
    run->question_count = kept;
}

static void cut(struct run *run)
{
    const struct swarm_cut *next = &run->swarm->cuts[run->cuts_done++];
    struct scenario_accident accident = {.kind = next->kind, .length_ns = next->length_ns};
    sim_accident(run->sim, &accident);
}

static bool is_healing(const struct run *run)
{
    return sim_now(run->sim) >= run->swarm->scenario.length_ns;
}

static bool has_come_to_rest(const struct run *run)
{
    struct sim_rest rest;
    sim_rest(run->sim, &rest);
    return rest.overdue == 0 && checker_settles(run->judge.checker, sim_now(run->sim), sim_core(run->sim));
}

/* A phase of healing is as long as the slowest policy needs; most rest after a minute. */
static void go(struct run *run, bool stops)
{
    instant look_at = run->swarm->scenario.length_ns + heal_least_ns;
    while (!run->rests && sim_turn(run->sim)) {
        if (run->question_count > 0)
            answer_questions(run);
        if (run->cuts_done < run->swarm->cut_count && run->steps >= run->swarm->cuts[run->cuts_done].step &&
            !is_healing(run))
            cut(run);
        if (stops && checker_count(run->judge.checker) > 0)
            return;
        if (sim_now(run->sim) >= look_at) {
            look_at = sim_now(run->sim) + look_ns;
            run->rests = has_come_to_rest(run);
        }
    }
    if (!run->rests)
        sim_judge_rest(&run->judge, run->sim);
}

/* --- what it came to ------------------------------------------------------------------------------------ */

static void tell_violations(struct run *run)
{
    struct swarm_outcome *outcome = run->outcome;
    outcome->violations = checker_count(run->judge.checker);
    for (uint32_t i = 0; i < outcome->violations && i < VIOLATIONS_MAX; i++) {
        const struct violation *violation = checker_violation(run->judge.checker, i);
        outcome->safety += invariant_is_safety((enum invariant)violation->invariant);
        if (i >= SWARM_VIOLATIONS_KEPT)
            continue;
        outcome->violation[i] = *violation;
        text_copy(outcome->node[i], sizeof outcome->node[i], sim_node_name(run->sim, violation->node));
    }
}

static void tell_seen(struct run *run, const struct sim_result *result, const struct sim_rest *rest)
{
    struct checker_seen books;
    struct seen *seen = &run->outcome->seen;
    checker_seen(run->judge.checker, &books);
    memcpy(seen->times[SEEN_BLOCK], books.blocks, sizeof books.blocks);
    for (uint32_t i = 0; i < REMEDY_COUNT; i++)
        seen->times[SEEN_REMEDY][i] += books.remedies[i];
    memcpy(seen->times[SEEN_VERDICT], books.verdicts, sizeof books.verdicts);
    memcpy(seen->times[SEEN_OUTCOME], books.outcomes, sizeof books.outcomes);
    memcpy(seen->times[SEEN_FATE], result->fates, sizeof result->fates);
    for (uint32_t from = 0; from < INCIDENT_STATE_COUNT; from++)
        for (uint32_t to = 0; to < INCIDENT_STATE_COUNT; to++)
            if (seen_edge_of(from, to) != SEEN_EDGE_COUNT)
                seen->times[SEEN_EDGE][seen_edge_of(from, to)] = books.edges[from][to];
    seen->times[SEEN_RUN][SEEN_RUN_GAP] = books.gaps;
    seen->times[SEEN_RUN][SEEN_RUN_LOST_REPORTS] = rest->lost;
    seen->times[SEEN_RUN][SEEN_RUN_NEVER_RESTS] = !run->rests;
    seen->times[SEEN_RUN][SEEN_RUN_STORM] = run->swarm->storm;
    for (uint32_t g = 0; g < SEEN_GROUP_COUNT; g++)
        for (uint32_t r = 0; r < SEEN_ROWS_MAX; r++)
            seen->seeds[g][r] = seen->times[g][r] > 0;
}

static uint64_t fold(uint64_t digest, const void *bytes, size_t size)
{
    const unsigned char *from = bytes;
    for (size_t i = 0; i < size; i++) /* FNV-1a, 64 bit */
        digest = (digest ^ from[i]) * 0x100000001b3u;
    return digest;
}

static void tell(struct run *run)
{
    struct swarm_outcome *outcome = run->outcome;
    struct sim_result result;
    struct sim_rest rest;
    sim_result(run->sim, &result);
    sim_rest(run->sim, &rest);
    tell_violations(run);
    tell_seen(run, &result, &rest);
    outcome->reports = result.reports;
    outcome->virtual_s = duration_seconds(sim_now(run->sim));
    outcome->digest = fold(result.digest, &outcome->seen, sizeof outcome->seen);
}

static struct sim *begin(struct run *run, FILE *trace)
{
    const struct swarm *swarm = run->swarm;
    struct sim_options options = {
        .scenario = &swarm->scenario, .policy = &swarm->policy, .later = swarm->later, .seed = swarm->seed};
    char error[256];
    options.watch[options.watch_count++] = (struct sim_watch){
        .event = on_event, .effects = on_effects, .fault = on_fault, .accident = on_accident, .context = run};
    if (trace)
        options.watch[options.watch_count++] = swarm_tell_watch(&run->tell, trace);
    options.watch[options.watch_count++] = sim_judge_watch(&run->judge);
    run->sim = sim_new(&options, error, sizeof error);
    run->tell.sim = run->sim;
    return run->sim;
}

bool swarm_run(const struct swarm *swarm, FILE *trace, bool stops, struct swarm_outcome *outcome)
{
    struct run run = {.swarm = swarm, .outcome = outcome};
    memset(outcome, 0, sizeof *outcome);
    outcome->seed = swarm->seed;
    outcome->nodes = swarm->scenario.node_count;
    sim_judge_init(&run.judge, swarm->scenario.node_count);
    bool begun = run.judge.checker && begin(&run, trace);
    if (begun) {
        go(&run, stops);
        tell(&run);
        sim_free(&run.sim);
    }
    sim_judge_fini(&run.judge);
    return begun;
}
