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
    "    steps: [{do: restart_service, settle: 1s, within: 20s}, {do: drain_node}, {do: "                    \
    "page_human}]\n" GUARDS "planner: {wait: 1s}\n"
#define SEVERAL_FINDINGS                                                                                     \
    "version: 1\ndetectors:\n"                                                                               \
    "  - {name: slow-storage, when: storage_latency > 100ms and request_latency > 50ms, for: 3s,"            \
    " clear: storage_latency < 20ms, do: failover_storage}\n"                                                \
    "  - {name: failing, when: error_ratio > 0.2 and request_latency > 50ms, for: 2s, confirm: no,"          \
    " do: restart_service}\n"                                                                                \
    "  - {name: full, when: filesystem_utilization < 0.1, clear: filesystem_utilization > 0.2, do: "         \
    "drain_node}\n"                                                                                          \
    "  - {name: silent, absent: 3s, do: page_human}\n" GUARDS
/* The limits are the same in all policies, so that they must hold over every reload. */
#define GUARDS                                                                                               \
    "guards: {per_target: {cooldown: 2s, attempts: {max: 2, within: 20s}, backoff: {base: 1s, cap: 4s}},"    \
    " rate: {fleet: {per: 1m, max: 4}, target: {per: 1m, max: 2}, kind: {per: 1m, max: 3}},"                 \
    " flapping: {changes: 4, within: 1m} , approval: 20s,"                                                   \
    " maintenance: [{nodes: 'node-7', from: 1970-01-01T00:10:00Z, until: 1970-01-01T00:30:00Z}]}\n"

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
        snprintf(event->of.hello.name, NODE_NAME_SIZE, "node-%u", event->node);
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
        event->of.operator_order.plan = (uint32_t)(next_random(x) % 4);
        event->of.operator_order.maintain_ns = (duration)(next_random(x) % (20 * SECOND));
    } else if (dice < 97) {
        event->kind = EVENT_POLICY;
        event->of.policy = &policies[next_random(x) % 3];
    } else if (dice < 98) {
        event->kind = EVENT_GAP;
        event->of.gap.length_ns = (duration)(next_random(x) % (10 * SECOND));
    } else {
        event->kind = EVENT_PROPOSAL;
        event->of.proposal.incident = next_random(x) % 50;
        event->of.proposal.remedy = (uint8_t)(next_random(x) % (REMEDY_COUNT + 1));
    }
}

/* What an onlooker counts who knows nothing of the core's own counters. */
struct onlooker {
    instant acted_at[4096]; /* of the machine's own commands, the oldest first */
    uint32_t node[4096];
    uint32_t count;
    uint32_t blocked[BLOCK_REASON_COUNT]; /* evaluations, over all runs */
    instant maintained_until[9];          /* by a person's word */
};

static uint32_t actions_within(const struct onlooker *seen, instant now, uint32_t node)
{
    uint32_t count = 0;
    for (uint32_t i = seen->count; i-- > 0 && now - seen->acted_at[i] < MINUTE;) {
        count += node == NO_INDEX || seen->node[i] == node;
    }
    return count;
}

/* Rates over every sliding window (S6), nothing inside maintenance (S8), whoever asked for it. */
static void watch_action(struct onlooker *seen, const struct command *c)
{
    assert_true(c->ordered_at >= seen->maintained_until[c->node]);
    assert_true(c->node != 7 || c->ordered_at < 10 * MINUTE || c->ordered_at >= 30 * MINUTE);
    if (c->by_person) {
        return;
    }
    assert_true(seen->count < 4096);
    seen->acted_at[seen->count] = c->ordered_at;
    seen->node[seen->count++] = c->node;
    assert_true(actions_within(seen, c->ordered_at, NO_INDEX) <= 4);
    assert_true(actions_within(seen, c->ordered_at, c->node) <= 2);
}

/* Checks what must hold after every step, whatever came in. Returns the command that was ordered, if any. */
static uint64_t check_effects(const struct core *core, const struct effects *out, bool breaker_before,
                              struct onlooker *seen)
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
            watch_action(seen, &e->of.command);
        }
        if (e->kind == EFFECT_BLOCKED) {
            seen->blocked[e->of.incident.block]++;
        }
        if (e->kind == EFFECT_TARGET) {
            seen->maintained_until[e->node] = e->of.target.maintained_until;
        }
        if (e->kind == EFFECT_RECORD && e->of.incident.verdict == VERDICT_EFFECTIVE) {
            assert_int_equal(e->of.incident.outcome, OUTCOME_DONE);
            assert_true(e->of.incident.fresh_samples >= 3);
        }
    }
    return command;
}

static uint64_t random_run(uint64_t seed, int steps, uint32_t *commands, struct onlooker *seen)
{
    struct story *one = story_new(ONE_FINDING);
    struct story *two = story_new(SEVERAL_FINDINGS);
    struct policy policies[3] = {one->policy, two->policy, two->policy};
    policies[2].mode = MODE_APPROVE;
    seen->count = 0;
    for (uint32_t n = 0; n < 9; n++) {
        seen->maintained_until[n] = INSTANT_NONE;
    }
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
            uint64_t late = check_effects(core, &out, open, seen);
            command = late != 0 ? late : command;
            *commands += late != 0;
            assert_true(due < 1000);
        }
        event.at = now;
        bool open = core_control(core)->breaker_open && event.kind != EVENT_OPERATOR;
        core_step(core, &event, &out);
        uint64_t ordered = check_effects(core, &out, open, seen);
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
    static struct onlooker seen; /* large */
    uint32_t commands = 0, again = 0;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        uint64_t first = random_run(seed * 77777, 20000, &commands, &seen);
        uint64_t second = random_run(seed * 77777, 20000, &again, &seen);
        assert_true(first == second);
    }
    assert_int_equal(commands, again);
    assert_true(commands > 100); /* the runs did something */
    for (unsigned reason = BLOCK_NONE + 1; reason < BLOCK_REASON_COUNT; reason++) {
        bool met = seen.blocked[reason] > 0 || reason == BLOCK_DRY_RUN || reason == BLOCK_RATE_RULE;
        if (!met) {
            print_error("no run was ever stopped by %s\n", block_reason_name((enum block_reason)reason));
        }
        assert_true(met); /* no policy here asks for those two */
    }
    assert_true(random_run(1, 1000, &commands, &seen) != random_run(2, 1000, &commands, &seen));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_events_break_nothing_and_equal_runs_are_equal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
