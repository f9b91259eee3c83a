#include "policy/test_judge.h"

#include "base/check.h"

#include <string.h>

const struct incident *test_view_incident(const struct test_view *view, uint32_t node, const char *detector)
{
    for (uint32_t i = view->incident_count; i > 0; i--) {
        const struct incident *kept = &view->incidents[i - 1];
        if (kept->node == node && strcmp(kept->detector_name, detector) == 0) {
            const struct incident *now = core_incident(view->core, kept->id);
            return now != NULL ? now : kept; /* the core forgets what is over */
        }
    }
    return NULL;
}

/* A failure whose sentences are still to be written, or NULL if there is no room. */
static struct test_failure *add_failure(struct test_result *result, struct place place, duration at)
{
    if (result->failure_count == TEST_FAILURES_MAX) {
        result->failures_dropped++;
        return NULL;
    }
    struct test_failure *failure = &result->failures[result->failure_count++];
    *failure = (struct test_failure){.place = place, .at = at};
    return failure;
}

/* --- one expectation ------------------------------------------------------------------------------------ */

static void say_incident(struct text *text, const struct incident *i)
{
    if (i == NULL) {
        text_add(text, "there is no such incident");
        return;
    }
    text_addf(text, "it is %s", incident_state_name((enum incident_state)i->state));
    text_addf(text, i->remedy == REMEDY_NONE ? "%s" : ", remedy %s",
              i->remedy == REMEDY_NONE ? "" : remedy_name((enum remedy)i->remedy));
    if (i->verdict != VERDICT_NONE) {
        text_addf(text, ", verdict %s", verdict_name((enum verdict)i->verdict));
    }
    if (i->block != BLOCK_NONE) {
        text_addf(text, ", blocked by %s", block_reason_name((enum block_reason)i->block));
    }
}

/* All that the expectation says of its incident, as one sentence. */
static void say_wanted(struct text *text, const struct test_view *view, const struct test_expectation *e)
{
    text_addf(text, "%s on %s", e->incident, view->test->nodes[e->node].name);
    if (e->state == TEST_NO_STATE) {
        text_add(text, " never happened");
    } else if (e->state != TEST_ANY) {
        text_addf(text, " is %s", incident_state_name((enum incident_state)e->state));
    } else {
        text_add(text, " is there");
    }
    if (e->remedy != TEST_ANY) {
        text_addf(text, ", remedy %s", remedy_name((enum remedy)e->remedy));
    }
    if (e->verdict != TEST_ANY) {
        text_addf(text, ", verdict %s", verdict_name((enum verdict)e->verdict));
    }
    if (e->block != TEST_ANY) {
        text_addf(text, ", blocked by %s", block_reason_name((enum block_reason)e->block));
    }
}

static bool incident_is_as_wanted(const struct incident *i, const struct test_expectation *e)
{
    if (e->state == TEST_NO_STATE || i == NULL) {
        return e->state == TEST_NO_STATE && i == NULL;
    }
    return (e->state == TEST_ANY || e->state == i->state) &&
           (e->remedy == TEST_ANY || e->remedy == i->remedy) &&
           (e->verdict == TEST_ANY || e->verdict == i->verdict) &&
           (e->block == TEST_ANY || e->block == i->block);
}

static void judge_incident(const struct test_view *view, const struct test_expectation *e,
                           struct test_result *result)
{
    const struct incident *i = test_view_incident(view, e->node, e->incident);
    struct test_failure *failure = incident_is_as_wanted(i, e) ? NULL : add_failure(result, e->place, e->at);
    if (failure != NULL) {
        struct text expected = text_over(failure->expected, sizeof failure->expected);
        struct text seen = text_over(failure->seen, sizeof failure->seen);
        say_wanted(&expected, view, e);
        say_incident(&seen, i);
    }
}

/* One word that should be another: the health of a node, the breaker, the pause. */
static void judge_word(const struct test_expectation *e, const char *what, const char *wanted, const char *is,
                       struct test_result *result)
{
    struct test_failure *failure = strcmp(wanted, is) == 0 ? NULL : add_failure(result, e->place, e->at);
    if (failure != NULL) {
        struct text expected = text_over(failure->expected, sizeof failure->expected);
        struct text seen = text_over(failure->seen, sizeof failure->seen);
        text_addf(&expected, "%s is %s", what, wanted);
        text_addf(&seen, "it is %s", is);
    }
}

static void judge_ordered(const struct test_view *view, const struct test_expectation *e,
                          struct test_result *result)
{
    const struct test_order *newest = NULL;
    bool found = false;
    for (uint32_t i = 0; i < result->order_count; i++) {
        const struct test_order *order = &result->orders[i];
        if (e->node == NO_INDEX || order->node == e->node) {
            newest = order;
            found = found || order->remedy == e->command;
        }
    }
    bool well = e->command == REMEDY_NONE ? newest == NULL : found;
    struct test_failure *failure = well ? NULL : add_failure(result, e->place, e->at);
    if (failure == NULL) {
        return;
    }
    struct text expected = text_over(failure->expected, sizeof failure->expected);
    struct text seen = text_over(failure->seen, sizeof failure->seen);
    const char *to = e->node == NO_INDEX ? "any node" : view->test->nodes[e->node].name;
    if (e->command == REMEDY_NONE) {
        text_addf(&expected, "no command to %s by then", to);
    } else {
        text_addf(&expected, "%s ordered to %s by then", remedy_name((enum remedy)e->command), to);
    }
    if (newest == NULL) {
        text_add(&seen, "none was ordered");
    } else {
        text_addf(&seen, "%s to %s at ", remedy_name((enum remedy)newest->remedy),
                  view->test->nodes[newest->node].name);
        text_duration(&seen, newest->at);
    }
}

void test_judge(const struct test_view *view, const struct test_expectation *e, struct test_result *result)
{
    if (e->incident[0] != '\0') {
        judge_incident(view, e, result);
    }
    if (e->health != TEST_ANY) {
        judge_word(e, view->test->nodes[e->node].name, health_name((enum health)e->health),
                   health_name(core_node_health(view->core, e->node)), result);
    }
    if (e->command != TEST_ANY) {
        judge_ordered(view, e, result);
    }
    const struct control *control = core_control(view->core);
    if (e->breaker_open != TEST_ANY) {
        judge_word(e, "the breaker", e->breaker_open ? "open" : "closed",
                   control->breaker_open ? "open" : "closed", result);
    }
    if (e->paused != TEST_ANY) {
        judge_word(e, "automation", e->paused ? "paused" : "on", control->paused ? "paused" : "on", result);
    }
}

/* --- all commands --------------------------------------------------------------------------------------- */

static void say_command(struct text *text, const struct test_case *test, uint8_t remedy, uint32_t node,
                        duration at)
{
    text_addf(text, "%s%s to %s", text->length > 0 ? ", " : "", remedy_name((enum remedy)remedy),
              test->nodes[node].name);
    if (at >= 0) {
        text_add(text, " at ");
        text_duration(text, at);
    }
}

static bool is_ordered_as(const struct test_order *order, const struct test_command *wanted)
{
    return order->remedy == wanted->remedy && order->node == wanted->node &&
           (wanted->at < 0 || wanted->at == order->at);
}

void test_judge_commands(const struct test_case *test, struct test_result *result)
{
    uint32_t first = 0;
    while (first < test->command_count && first < result->order_count &&
           is_ordered_as(&result->orders[first], &test->commands[first])) {
        first++;
    }
    if (!test->commands_are_all || (first == test->command_count && first == result->order_count)) {
        return;
    }
    struct place place = first < test->command_count ? test->commands[first].place : test->place;
    duration at = first < result->order_count ? result->orders[first].at : test->until_ns;
    struct test_failure *failure = add_failure(result, place, at);
    if (failure == NULL) {
        return;
    }
    struct text expected = text_over(failure->expected, sizeof failure->expected);
    struct text seen = text_over(failure->seen, sizeof failure->seen);
    for (uint32_t i = 0; i < test->command_count; i++) {
        const struct test_command *wanted = &test->commands[i];
        say_command(&expected, test, wanted->remedy, wanted->node, wanted->at);
    }
    for (uint32_t i = 0; i < result->order_count; i++) {
        const struct test_order *order = &result->orders[i];
        say_command(&seen, test, order->remedy, order->node, order->at);
    }
    if (test->command_count == 0) {
        text_add(&expected, "no command at all");
    }
    if (result->order_count == 0) {
        text_add(&seen, "no command at all");
    }
}
