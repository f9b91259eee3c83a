#include "policy/test_run.h"

#include "base/check.h"
#include "core/trace.h"
#include "policy/test_judge.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { RESTS_MAX = 1000 * 1000 /* deadlines at one instant before we know that the core turns in circles */ };

/* A command on its way to its end. */
struct under_way {
    duration ends_at; /* INSTANT_NEVER: never answered */
    uint64_t command;
    uint32_t node;
    uint8_t outcome;
    uint8_t began;
};

struct node_agent {
    uint64_t boot, sequence;
    bool gone;
};

struct run {
    const struct test_case *test;
    struct core *core;
    struct control control; /* as it was told last */
    struct test_result *result;
    struct incident *incidents; /* TEST_INCIDENTS_MAX */
    uint32_t incident_count;
    struct node_agent agents[TEST_NODES_MAX];
    struct under_way under_way[TEST_ORDERS_MAX];
    uint32_t under_way_count;
    uint32_t outcomes_used[TEST_ITEMS_MAX];
    instant now;
    duration away_until; /* the control plane is not there before; 0: it never left */
    duration away_ns;
    uint32_t reports, next_event, next_expectation;
};

/* --- what the core says --------------------------------------------------------------------------------- */

/* The control row also counts ids; people care for its two switches. */
static bool is_switched(struct run *run, const struct effect *effect)
{
    const struct control *now = &effect->of.control, before = run->control;
    run->control = *now;
    return now->paused != before.paused || now->breaker_open != before.breaker_open;
}

static void note_line(struct run *run, const struct effect *effect)
{
    bool quiet = effect->kind == EFFECT_TARGET || effect->kind == EFFECT_ACT || effect->kind == EFFECT_ASK ||
                 effect->kind == EFFECT_NOTIFY;
    struct test_result *result = run->result;
    if (quiet || (effect->kind == EFFECT_CONTROL && !is_switched(run, effect))) {
        return;
    }
    if (result->trace_count == TEST_TRACE_MAX) {
        result->trace_dropped++;
        return;
    }
    struct test_line *line = &result->trace[result->trace_count++];
    line->at = effect->at - run->test->start_at;
    struct text text = text_over(line->text, sizeof line->text);
    trace_line(&text, run->core, effect);
}

static void note_incident(struct run *run, const struct incident *incident)
{
    for (uint32_t i = run->incident_count; i > 0; i--) {
        if (run->incidents[i - 1].id == incident->id) {
            run->incidents[i - 1] = *incident;
            return;
        }
    }
    if (run->incident_count < TEST_INCIDENTS_MAX) {
        run->incidents[run->incident_count++] = *incident;
    }
}

/* The answer that the case has for a command; its first outcome that fits and is not used up. */
static struct under_way answer_to(struct run *run, const struct command *command)
{
    duration now = run->now - run->test->start_at;
    struct under_way way = {.ends_at = now + SECOND,
                            .command = command->id,
                            .node = command->node,
                            .outcome = OUTCOME_DONE,
                            .began = 1};
    for (uint32_t i = 0; i < run->test->outcome_count; i++) {
        const struct test_outcome *outcome = &run->test->outcomes[i];
        bool fits = (outcome->node == NO_INDEX || outcome->node == command->node) &&
                    (outcome->remedy == REMEDY_NONE || outcome->remedy == command->remedy) &&
                    (outcome->times == 0 || run->outcomes_used[i] < outcome->times);
        if (fits) {
            run->outcomes_used[i]++;
            way.outcome = outcome->outcome;
            way.began = outcome->began;
            way.ends_at = outcome->outcome == OUTCOME_NONE ? INSTANT_NEVER : now + outcome->after_ns;
            break;
        }
    }
    return way;
}

static void note_command(struct run *run, const struct command *command)
{
    struct test_result *result = run->result;
    if (result->order_count < TEST_ORDERS_MAX) {
        result->orders[result->order_count++] = (struct test_order){
            .at = run->now - run->test->start_at, .node = command->node, .remedy = command->remedy};
    }
    if (run->under_way_count < TEST_ORDERS_MAX) {
        run->under_way[run->under_way_count++] = answer_to(run, command);
    }
}

static void step(struct run *run, struct event *event)
{
    static struct effects effects; /* some kilobytes; one run at a time */
    event->at = run->now;
    core_step(run->core, event, &effects);
    for (uint32_t i = 0; i < effects.count; i++) {
        const struct effect *effect = &effects.list[i];
        if (effect->kind == EFFECT_RECORD || effect->kind == EFFECT_BLOCKED) {
            note_incident(run, &effect->of.incident);
        }
        note_line(run, effect);
        if (effect->kind == EFFECT_ACT) {
            note_command(run, &effect->of.command);
        }
    }
}

static void run_deadlines(struct run *run, instant until)
{
    for (uint32_t rests = 0; core_deadline(run->core) <= until; rests++) {
        struct event event = {.kind = EVENT_DEADLINE, .node = NO_INDEX};
        instant due = core_deadline(run->core);
        run->now = due > run->now ? due : run->now;
        step(run, &event);
        CHECK(rests < RESTS_MAX);
    }
}

/* --- what happens --------------------------------------------------------------------------------------- */

static void say_hello(struct run *run, uint32_t number)
{
    const struct test_node *node = &run->test->nodes[number];
    struct node_agent *agent = &run->agents[number];
    struct event event = {.kind = EVENT_HELLO, .node = number};
    *agent = (struct node_agent){.boot = agent->boot + 1};
    event.of.hello.boot = agent->boot;
    event.of.hello.interval_ns = run->test->interval_ns;
    text_copy(event.of.hello.name, sizeof event.of.hello.name, node->name);
    memcpy(event.of.hello.calls, node->calls, sizeof node->calls);
    event.of.hello.calls_count = node->calls_count;
    step(run, &event);
}

/* Nothing to say of anything is no report; a node without series reports that it is there. */
static void say_report(struct run *run, uint32_t number)
{
    const struct test_node *node = &run->test->nodes[number];
    struct node_agent *agent = &run->agents[number];
    struct event event = {.kind = EVENT_REPORT, .node = number};
    for (uint32_t m = 0; m < METRIC_COUNT; m++) {
        double value = node->series[m] == NULL ? (double)NAN : series_value(node->series[m], run->reports);
        if (!isnan(value)) {
            event.of.report.present |= 1u << m;
            event.of.report.value[m] = value;
        }
    }
    if (agent->gone || (node->has_series && event.of.report.present == 0)) {
        return;
    }
    event.of.report.boot = agent->boot;
    event.of.report.sequence = ++agent->sequence;
    step(run, &event);
}

static void say_word(struct run *run, const struct test_event *said)
{
    struct event event = {.kind = EVENT_OPERATOR, .node = said->node};
    struct operator_order *order = &event.of.operator_order;
    order->word = said->word;
    order->remedy = REMEDY_NONE;
    order->maintain_ns = said->length_ns;
    if (said->incident[0] != '\0') {
        const struct test_view view = {run->test, run->core, run->incidents, run->incident_count};
        const struct incident *incident = test_view_incident(&view, said->node, said->incident);
        order->incident = incident == NULL ? 0 : incident->id;
        order->plan = incident == NULL ? 0 : incident->plan;
        order->remedy = incident == NULL ? REMEDY_NONE : incident->remedy;
    }
    step(run, &event);
}

static void happen(struct run *run, const struct test_event *said)
{
    struct event event = {.node = said->node};
    switch (said->kind) {
    case TEST_SAY:
        say_word(run, said);
        break;
    case TEST_GAP:
        run->away_until = run->now - run->test->start_at + said->length_ns;
        run->away_ns = said->length_ns;
        break;
    case TEST_GOODBYE:
        run->agents[said->node].gone = true;
        event.kind = EVENT_GOODBYE;
        step(run, &event);
        break;
    case TEST_HELLO:
        say_hello(run, said->node);
        break;
    case TEST_POLICY:
        event.kind = EVENT_POLICY;
        event.of.policy = said->policy;
        step(run, &event);
        break;
    }
}

static void end_command(struct run *run, uint32_t place)
{
    struct under_way way = run->under_way[place];
    run->under_way[place] = run->under_way[--run->under_way_count];
    struct event event = {.kind = EVENT_COMMAND_END, .node = way.node};
    event.of.command_end.command = way.command;
    event.of.command_end.outcome = way.outcome;
    event.of.command_end.began = way.began;
    step(run, &event);
}

/* --- time ----------------------------------------------------------------------------------------------- */

static duration sooner(duration a, duration b)
{
    return a < b ? a : b;
}

/* When something is to happen next; a control plane that is away takes nothing in. */
static duration next_at(const struct run *run)
{
    const struct test_case *test = run->test;
    duration next = run->reports * test->interval_ns;
    if (run->next_event < test->event_count) {
        next = sooner(next, test->events[run->next_event].at);
    }
    for (uint32_t i = 0; i < run->under_way_count; i++) {
        next = sooner(next, run->under_way[i].ends_at);
    }
    if (next < run->away_until) {
        next = run->away_until;
    }
    if (run->next_expectation < test->expectation_count) {
        next = sooner(next, test->expectations[run->next_expectation].at);
    }
    return next;
}

/* Back again: we were away for so long. What was reported meanwhile is lost. */
static void come_back(struct run *run, duration at)
{
    if (run->away_ns == 0 || at < run->away_until) {
        return;
    }
    struct event event = {.kind = EVENT_GAP, .node = NO_INDEX, .of.gap.length_ns = run->away_ns};
    run->away_ns = 0;
    while (run->reports * run->test->interval_ns < at) {
        run->reports++;
    }
    step(run, &event);
}

static bool is_away(const struct run *run, duration at)
{
    return run->away_ns > 0 && at < run->away_until;
}

/* False if none was due. */
static bool end_commands(struct run *run, duration at)
{
    uint32_t ended = 0;
    for (uint32_t i = 0; i < run->under_way_count;) {
        if (run->under_way[i].ends_at <= at) {
            end_command(run, i);
            ended++;
        } else {
            i++;
        }
    }
    return ended > 0;
}

static void take_in(struct run *run, duration at)
{
    const struct test_case *test = run->test;
    end_commands(run, at);
    while (run->next_event < test->event_count && test->events[run->next_event].at <= at &&
           !is_away(run, at)) {
        happen(run, &test->events[run->next_event++]);
    }
    if (run->reports * test->interval_ns <= at && !is_away(run, at)) {
        for (uint32_t n = 0; n < test->node_count; n++) {
            say_report(run, n);
        }
        run->reports++;
    }
}

static void live_through(struct run *run, duration at)
{
    const struct test_case *test = run->test;
    if (!is_away(run, at)) {
        if (run->away_ns == 0) { /* else what fell due while we were away waits for the news that we were */
            run_deadlines(run, test->start_at + at - 1);
        }
        run->now = test->start_at + at;
        come_back(run, at);
        take_in(run, at);
        while (!is_away(run, at)) {
            run_deadlines(run, run->now);
            if (!end_commands(run, at)) { /* such as were answered at once */
                break;
            }
        }
    }
    const struct test_view view = {test, run->core, run->incidents, run->incident_count};
    while (run->next_expectation < test->expectation_count &&
           test->expectations[run->next_expectation].at <= at) {
        test_judge(&view, &test->expectations[run->next_expectation++], run->result);
    }
}

/* --- the run -------------------------------------------------------------------------------------------- */

static void begin(struct run *run)
{
    const struct core_config config = {.node_capacity = TEST_NODES_MAX,
                                       .incident_capacity = TEST_NODES_MAX * DETECTOR_MAX};
    void *memory = calloc(1, core_size(&config));
    CHECK(memory);
    run->core = core_init(memory, &config);
    run->now = run->test->start_at;
    struct event event = {.kind = EVENT_POLICY, .node = NO_INDEX, .of.policy = run->test->policy};
    step(run, &event);
    for (uint32_t n = 0; n < run->test->node_count; n++) {
        say_hello(run, n);
    }
}

struct test_result *test_run(const struct test_case *test)
{
    struct run *run = calloc(1, sizeof *run);
    struct test_result *result = calloc(1, sizeof *result);
    CHECK(run && result);
    run->test = test;
    run->result = result;
    run->incidents = calloc(TEST_INCIDENTS_MAX, sizeof *run->incidents);
    result->trace = calloc(TEST_TRACE_MAX, sizeof *result->trace);
    CHECK(run->incidents && result->trace);
    begin(run);
    for (duration at = next_at(run); at <= test->until_ns; at = next_at(run)) {
        live_through(run, at);
    }
    test_judge_commands(test, result);
    free(run->core);
    free(run->incidents);
    free(run);
    return result;
}

void test_result_free(struct test_result **result)
{
    if (*result != NULL) {
        free((*result)->trace);
        free(*result);
        *result = NULL;
    }
}
