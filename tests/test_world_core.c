/* The real decision core under the default policy, in a world of replicas: it leaves the healthy alone and
 * heals the ill where they are ill. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "policy/policy_builtin.h"
#include "policy/policy_file.h"
#include "world/world.h"

enum { FLEET_MAX = 30, ENDS_MAX = 64 };

struct fleet {
    struct world *world;
    struct core *core;
    struct policy policy;
    uint32_t nodes;
    instant now;
    uint64_t sequence;
    struct {
        instant at;
        uint64_t command;
        uint32_t node;
        uint8_t outcome;
    } ends[ENDS_MAX]; /* commands under way */
    uint32_t opened, acted, effective;
    uint32_t acted_on;        /* node of the first command */
    enum remedy first_remedy; /* and what it was */
};

static void take_effects(struct fleet *f, const struct effects *out)
{
    for (uint32_t i = 0; i < out->count; i++) {
        const struct effect *e = &out->list[i];
        if (e->kind == EFFECT_RECORD) {
            f->opened += e->of.incident.state == INCIDENT_OPEN && e->of.incident.why == WHY_FINDING;
            f->effective +=
                e->of.incident.state == INCIDENT_RESOLVED && e->of.incident.verdict == VERDICT_EFFECTIVE;
        } else if (e->kind == EFFECT_ACT) {
            struct world_done done;
            world_remedy(f->world, e->of.command.node, (enum remedy)e->of.command.remedy, f->now, &done);
            uint32_t free_end = f->acted % ENDS_MAX;
            f->ends[free_end].at = f->now + done.took_ns;
            f->ends[free_end].command = e->of.command.id;
            f->ends[free_end].node = e->of.command.node;
            f->ends[free_end].outcome = done.outcome;
            if (f->acted++ == 0) {
                f->acted_on = e->of.command.node;
                f->first_remedy = (enum remedy)e->of.command.remedy;
            }
        }
    }
}

static void fleet_step(struct fleet *f, struct event *event)
{
    static struct effects out;
    event->at = f->now;
    core_step(f->core, event, &out);
    take_effects(f, &out);
    while (core_deadline(f->core) <= f->now) {
        struct event due = {.kind = EVENT_DEADLINE, .at = f->now};
        core_step(f->core, &due, &out);
        take_effects(f, &out);
    }
}

static void fleet_ends(struct fleet *f)
{
    for (uint32_t i = 0; i < ENDS_MAX; i++) {
        if (f->ends[i].command != 0 && f->ends[i].at <= f->now) {
            struct event event = {.kind = EVENT_COMMAND_END, .node = f->ends[i].node};
            event.of.command_end.command = f->ends[i].command;
            event.of.command_end.outcome = f->ends[i].outcome;
            event.of.command_end.began = 1;
            f->ends[i].command = 0;
            fleet_step(f, &event);
        }
    }
}

static void fleet_run(struct fleet *f, int seconds)
{
    for (int s = 0; s < seconds; s++) {
        f->sequence++;
        for (uint32_t n = 0; n < f->nodes; n++) {
            f->now += SECOND / f->nodes;
            struct world_sample sample;
            struct event event = {.kind = EVENT_REPORT, .node = n};
            world_sample(f->world, n, f->now, &sample);
            fleet_ends(f);
            if (sample.silent) {
                continue;
            }
            event.of.report.boot = 1;
            event.of.report.sequence = f->sequence;
            event.of.report.present = sample.present;
            memcpy(event.of.report.value, sample.value, sizeof sample.value);
            fleet_step(f, &event);
        }
    }
}

/* Three tiers of replicas: each web calls two apis, each api two databases. `idle`: at a hundredth of their
 * capacity, as the live lab's services are. */
static struct fleet *fleet_new(uint32_t nodes, uint64_t seed, bool idle)
{
    static struct complaints complaints; /* large */
    struct fleet *f = calloc(1, sizeof *f);
    const struct core_config size = {.node_capacity = FLEET_MAX, .incident_capacity = 256};
    struct world_config config;
    assert_non_null(f);
    const char *text = policy_default_text();
    assert_int_equal(policy_read(text, strlen(text), &f->policy, &complaints), 0);
    world_config_default(&config);
    config.seed = seed;
    f->world = world_init(calloc(1, world_size(&config)), &config);
    f->core = core_init(calloc(1, core_size(&size)), &size);
    f->nodes = nodes;
    struct event event = {.kind = EVENT_POLICY};
    event.of.policy = &f->policy;
    fleet_step(f, &event);
    uint32_t tier = nodes / 3;
    for (uint32_t n = 0; n < nodes; n++) {
        struct world_node node;
        world_node_default(&node);
        node.role = (uint16_t)(n / tier);
        node.users_per_s = node.role == 0 ? 540 : 50;
        if (node.role < 2) {
            node.calls[0] = (node.role + 1u) * tier + n % tier;
            node.calls[1] = (node.role + 1u) * tier + (n + 1) % tier;
            node.calls_count = 2;
        }
        if (idle) {
            node.capacity_per_s = 50000;
            node.service_time_s = 0.0004;
        }
        world_add(f->world, n, &node, 0);
        memset(&event, 0, sizeof event);
        event.kind = EVENT_HELLO;
        event.node = n;
        event.of.hello.boot = 1;
        event.of.hello.interval_ns = SECOND;
        event.of.hello.calls_count = node.calls_count;
        memcpy(event.of.hello.calls, node.calls, sizeof node.calls);
        snprintf(event.of.hello.name, sizeof event.of.hello.name, "node-%u", n);
        fleet_step(f, &event);
    }
    return f;
}

static void fleet_free(struct fleet **f)
{
    free((*f)->world);
    free((*f)->core);
    free(*f);
    *f = NULL;
}

static void test_a_healthy_fleet_opens_no_incident_in_two_hours(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct fleet *f = fleet_new(30, seed, seed == 5);
        fleet_run(f, 7200);
        assert_int_equal(f->opened, 0);
        fleet_free(&f);
    }
}

/* What the default policy sees each fault by, and does about it first. `apart`: an idle node does not feel
 * it.
 */
static const struct story {
    enum fault_kind kind;
    double intensity; /* 0: the default */
    enum remedy remedy;
    bool apart;
} stories[] = {
    {FAULT_CPU_SPIKE, 0, REMEDY_RESTART_SERVICE, false},
    {FAULT_NETWORK_DELAY, 0, REMEDY_RESET_NETWORK, false},
    {FAULT_STORAGE_LATENCY, 0, REMEDY_FAILOVER_STORAGE, false},
    {FAULT_SERVICE_CRASH, 0, REMEDY_RESTART_SERVICE, false},
    {FAULT_SERVICE_HANG, 0, REMEDY_RESTART_SERVICE, false},
    {FAULT_NOISY_NEIGHBOUR, 0, REMEDY_ISOLATE_NEIGHBOUR, true},
    {FAULT_MEMORY_LEAK, 0, REMEDY_ROLLBACK_RELEASE, false},
    {FAULT_CRASH_LOOP, 0, REMEDY_ROLLBACK_RELEASE, false},
    {FAULT_BAD_CONFIG, 0, REMEDY_ROLLBACK_CONFIG, false},
    {FAULT_NETWORK_LOSS, 0, REMEDY_RESET_NETWORK, false},
    {FAULT_IO_ERROR, 0, REMEDY_FAILOVER_STORAGE, false},
    {FAULT_DISK_FULL, 0, REMEDY_CLEAN_DISK, false},
    {FAULT_OVERLOAD, 36, REMEDY_SCALE_OUT, true}, /* few users: so that two instances carry them */
    {FAULT_NETWORK_BANDWIDTH, 0, REMEDY_RESET_NETWORK, false},
    {FAULT_NETWORK_CUT, 0, REMEDY_RESET_NETWORK, false},
};

static void every_curable_fault_has_a_story(void)
{
    uint32_t told = 0;
    for (size_t i = 0; i < COUNT_OF(stories); i++) {
        told |= 1u << stories[i].kind;
    }
    for (enum fault_kind kind = 0; kind < FAULT_COUNT; kind++) {
        bool wanted = fault_is_synthetic(kind) && fault_infos[kind].cures != 0;
        assert_int_equal(told >> kind & 1, wanted);
    }
}

/* The database of twelve nodes on which everything depends is struck, and healed by one right command. */
static void check_story(const struct story *story, uint64_t seed, uint32_t sick)
{
    bool idle = seed % 4 == 0 && !story->apart;
    const struct fault_info *info = &fault_infos[story->kind];
    struct fleet *f = fleet_new(12, seed, idle);
    fleet_run(f, 60);
    struct world_fault fault = {.node = sick,
                                .kind = (uint8_t)story->kind,
                                .intensity = story->intensity > 0 ? story->intensity : info->intensity,
                                .from_at = f->now,
                                .until_at = INSTANT_NEVER};
    assert_true(world_strike(f->world, &fault));
    fleet_run(f, 60);
    struct world_truth truth;
    world_truth(f->world, sick, f->now, &truth);
    print_message(
        "# %-17s node %2u seed %2llu: %u incidents, %u commands, first %s on node %u, %u effective\n",
        info->name, sick, (unsigned long long)seed, f->opened, f->acted, remedy_name(f->first_remedy),
        f->acted_on, f->effective);
    bool healed =
        f->acted == 1 && f->acted_on == sick && f->first_remedy == story->remedy &&
        (truth.faults == 0 || story->kind == FAULT_OVERLOAD) && /* the surge goes on, and is carried */
        !truth.ill && f->effective >= 1;
    if (!healed) {
        fail_msg("%s on node %u, seed %u: see above", info->name, sick, (unsigned)seed);
    }
    fleet_free(&f);
}

static void test_curable_faults_are_healed_where_they_are_by_the_default_policy(void **state)
{
    (void)state;
    enum { SEEDS = 12 };
    every_curable_fault_has_a_story();
    for (size_t i = 0; i < COUNT_OF(stories); i++) {
        for (uint64_t seed = 1; seed <= SEEDS; seed++) {
            check_story(&stories[i], seed, 11);
        }
    }
}

/* A lying sensor, a wrong clock, silence: whatever is done about them is wrong. */
static void test_what_no_remedy_cures_is_left_alone(void **state)
{
    (void)state;
    for (enum fault_kind kind = 0; kind < FAULT_COUNT; kind++) {
        bool none = fault_is_synthetic(kind) && fault_infos[kind].cures == 0;
        for (uint64_t seed = 1; none && seed <= 10; seed++) {
            struct fleet *f = fleet_new(12, seed, false);
            fleet_run(f, 60);
            struct world_fault fault = {.node = (uint32_t)seed,
                                        .kind = (uint8_t)kind,
                                        .intensity = fault_infos[kind].intensity,
                                        .from_at = f->now,
                                        .until_at = f->now + 5 * MINUTE};
            assert_true(world_strike(f->world, &fault));
            fleet_run(f, 600);
            if (f->acted != 0) {
                fail_msg("%s, seed %u: %s on node %u", fault_kind_name(kind), (unsigned)seed,
                         remedy_name(f->first_remedy), f->acted_on);
            }
            fleet_free(&f);
        }
    }
}

/* What stays just under the lines of the policy is seen by nobody, and nothing is done about it. */
static void test_gray_faults_make_nobody_act(void **state)
{
    (void)state;
    for (enum fault_kind kind = 0; kind < FAULT_COUNT; kind++) {
        struct fleet *f = fleet_new(12, 2, false);
        fleet_run(f, 60);
        struct world_fault fault = {.node = 11,
                                    .kind = (uint8_t)kind,
                                    .shape = SHAPE_GRAY,
                                    .intensity = fault_infos[kind].intensity,
                                    .from_at = f->now,
                                    .until_at = INSTANT_NEVER};
        if (world_strike(f->world, &fault)) {
            fleet_run(f, 300);
            if (f->opened != 0) {
                fail_msg("a gray %s opened %u incidents", fault_kind_name(kind), f->opened);
            }
        }
        fleet_free(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_healthy_fleet_opens_no_incident_in_two_hours),
        cmocka_unit_test(test_curable_faults_are_healed_where_they_are_by_the_default_policy),
        cmocka_unit_test(test_what_no_remedy_cures_is_left_alone),
        cmocka_unit_test(test_gray_faults_make_nobody_act),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
