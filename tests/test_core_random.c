/* The decision core under random events: nothing breaks, the guards hold, equal runs are equal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "core/core.h"
#include "story.h"

#define ONE_FINDING                                                                                          \
    "version: 1\ndetectors:\n"                                                                               \
    "  - {name: cpu-high, when: cpu_utilization > 0.90 and request_latency > 20ms, for: 3s,"                 \
    " clear: cpu_utilization < 0.70, healthy_for: 3s}\n"                                                     \
    "playbooks:\n  - on: cpu-high\n"                                                                         \
    "    steps: [{do: restart_service, settle: 1s, within: 20s}, {do: drain_node}, {do: page_human}]\n"      \
    "guards: {per_target: {cooldown: 5s}}\nplanner: {wait: 1s}\n"
#define THREE_FINDINGS                                                                                       \
    "version: 1\ndetectors:\n"                                                                               \
    "  - {name: slow-storage, when: storage_latency > 100ms and request_latency > 50ms, for: 3s,"            \
    " clear: storage_latency < 20ms, do: failover_storage}\n"                                                \
    "  - {name: failing, when: error_ratio > 0.2 and request_latency > 50ms, for: 2s, confirm: no,"          \
    " do: restart_service}\n"                                                                                \
    "  - {name: silent, absent: 3s, do: page_human}\n"                                                       \
    "guards: {per_target: {cooldown: 1s, attempts: {max: 9, within: 1m}}}\n"

static uint64_t next_random(uint64_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 7;
    *x ^= *x << 17;
    return *x;
}

static void random_event(uint64_t *x, struct event *event, const struct policy *policies, uint64_t command)
{
    memset(event, 0, sizeof *event);
    event->node = (uint32_t)(next_random(x) % 9); /* one more than there are */
    uint64_t dice = next_random(x) % 100;
    if (dice < 70) {
        event->kind = EVENT_REPORT;
        event->of.report.boot = next_random(x) % 50 == 0 ? 2 : 1;
        event->of.report.sequence = next_random(x) % 10 == 0 ? next_random(x) % 10000 : 0;
        event->of.report.age_ns = next_random(x) % 10 == 0 ? (duration)(next_random(x) % (4 * SECOND)) : 0;
        event->of.report.present = (uint32_t)(next_random(x) & ((1u << METRIC_COUNT) - 1)) | 3;
        for (int m = 0; m < METRIC_COUNT; m++) {
            event->of.report.value[m] = next_random(x) % 8 == 0 ? 0.001 : 0.99;
        }
    } else if (dice < 80) {
        event->kind = EVENT_COMMAND_END;
        event->of.command_end.command = command;
        event->of.command_end.outcome = (uint8_t)(next_random(x) % OUTCOME_COUNT);
        event->of.command_end.began = (uint8_t)(next_random(x) % 2);
    } else if (dice < 88) {
        event->kind = EVENT_HELLO;
        text_copy(event->of.hello.name, NODE_NAME_SIZE, "node");
        event->of.hello.calls_count = (uint32_t)(next_random(x) % 3);
        event->of.hello.calls[0] = (uint32_t)(next_random(x) % 8);
        event->of.hello.calls[1] = (uint32_t)(next_random(x) % 8);
    } else if (dice < 90) {
        event->kind = EVENT_GOODBYE;
    } else if (dice < 96) {
        event->kind = EVENT_OPERATOR;
        event->of.operator_order.word = (uint8_t)(next_random(x) % (OPERATOR_WORD_COUNT + 1));
        event->of.operator_order.incident = next_random(x) % 50;
        event->of.operator_order.remedy = REMEDY_NONE;
    } else if (dice < 97) {
        event->kind = EVENT_POLICY;
        event->of.policy = &policies[next_random(x) % 2];
    } else if (dice < 98) {
        event->kind = EVENT_GAP;
        event->of.gap.length_ns = (duration)(next_random(x) % (10 * SECOND));
    } else {
        event->kind = EVENT_PROPOSAL;
        event->of.proposal.incident = next_random(x) % 50;
        event->of.proposal.remedy = (uint8_t)(next_random(x) % (REMEDY_COUNT + 1));
    }
}

/* Checks what must hold after every step, whatever came in. Returns the command that was ordered, if any. */
static uint64_t check_effects(const struct core *core, const struct effects *out, bool breaker_before)
{
    uint64_t command = 0;
    assert_true(core_disrupted(core) <= core_budget(core) || core_fleet(core) < 8);
    for (uint32_t i = 0; i < out->count; i++) {
        const struct effect *e = &out->list[i];
        if (e->kind == EFFECT_ACT) {
            assert_int_equal(command, 0); /* at most one command a step */
            assert_false(breaker_before);
            assert_false(core_control(core)->paused);
            assert_true(core_disrupted(core) <= core_budget(core));
            assert_true(remedy_infos[e->of.command.remedy].disruptive);
            command = e->of.command.id;
        }
        if (e->kind == EFFECT_RECORD && e->of.incident.verdict == VERDICT_EFFECTIVE) {
            assert_int_equal(e->of.incident.outcome, OUTCOME_DONE);
            assert_true(e->of.incident.fresh_samples >= 3);
        }
    }
    return command;
}

static uint64_t random_run(uint64_t seed, int steps, uint32_t *commands)
{
    struct story *one = story_new(ONE_FINDING);
    struct story *two = story_new(THREE_FINDINGS);
    const struct policy policies[2] = {one->policy, two->policy};
    const struct core_config config = {.node_capacity = 8, .incident_capacity = 12};
    struct core *core = core_init(calloc(1, core_size(&config)), &config);
    uint64_t x = seed, command = 0;
    instant now = SECOND;
    for (int i = 0; i < steps; i++) {
        struct event event;
        struct effects out;
        now += (duration)(next_random(&x) % (400 * MILLISECOND));
        random_event(&x, &event, policies, command);
        for (int due = 0; core_deadline(core) <= now; due++) {
            struct event deadline = {.kind = EVENT_DEADLINE, .at = now};
            bool open = core_control(core)->breaker_open;
            core_step(core, &deadline, &out);
            uint64_t late = check_effects(core, &out, open);
            command = late != 0 ? late : command;
            *commands += late != 0;
            assert_true(due < 1000);
        }
        event.at = now;
        bool open = core_control(core)->breaker_open && event.kind != EVENT_OPERATOR;
        core_step(core, &event, &out);
        uint64_t ordered = check_effects(core, &out, open);
        command = ordered != 0 ? ordered : command;
        *commands += ordered != 0;
    }
    uint64_t digest = core_digest(core);
    free(core);
    story_free(&one);
    story_free(&two);
    return digest;
}

static void test_random_events_break_nothing_and_equal_runs_are_equal(void **state)
{
    (void)state;
    uint32_t commands = 0, again = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        uint64_t first = random_run(seed * 77777, 20000, &commands);
        uint64_t second = random_run(seed * 77777, 20000, &again);
        assert_true(first == second);
    }
    assert_int_equal(commands, again);
    assert_true(commands > 100); /* the runs did something */
    assert_true(random_run(1, 1000, &commands) != random_run(2, 1000, &commands));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_events_break_nothing_and_equal_runs_are_equal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
