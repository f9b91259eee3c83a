/* The checkers themselves: for each invariant a forged story that breaks it, and that one alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/check.h"

/* --- forging -------------------------------------------------------------------------------------------- */

enum { NODES = 12 };

struct forge {
    struct checker *checker;
    struct policy policy;
    instant now;
    uint64_t ticket;
    struct effects effects; /* of the step that is being forged */
    struct control control;
    struct incident incident[NODES]; /* one per node */
    struct command command;          /* the newest */
    bool careless;                   /* commits are never told */
};

static void step(struct forge *f, const struct event *event)
{
    struct event copy = *event;
    copy.at = f->now;
    checker_event(f->checker, &copy);
    uint64_t ticket = f->effects.count > 0 ? ++f->ticket : 0;
    checker_effects(f->checker, f->now, ticket, &f->effects);
    f->effects.count = 0;
    if (!f->careless) {
        checker_committed(f->checker, f->now, f->ticket);
    }
}

static struct effect *effect(struct forge *f, enum effect_kind kind, uint32_t node)
{
    struct effect *e = &f->effects.list[f->effects.count++];
    memset(e, 0, sizeof *e);
    e->kind = (uint8_t)kind;
    e->node = node;
    e->at = f->now;
    return e;
}

static void deadline(struct forge *f)
{
    step(f, &(struct event){.kind = EVENT_DEADLINE, .node = NO_INDEX});
}

static void report(struct forge *f, uint32_t node, duration age_ns)
{
    uint32_t present = 1u << METRIC_CPU_UTILIZATION | 1u << METRIC_REQUEST_LATENCY;
    step(f,
         &(struct event){
             .kind = EVENT_REPORT, .node = node, .of.report.age_ns = age_ns, .of.report.present = present});
}

/* Everybody reports, each second. */
static void reports(struct forge *f, int count)
{
    for (int i = 0; i < count; i++) {
        f->now += SECOND;
        for (uint32_t n = 0; n < NODES; n++) {
            report(f, n, 0);
        }
    }
}

static void say(struct forge *f, uint32_t node, struct operator_order order)
{
    step(f, &(struct event){.kind = EVENT_OPERATOR, .node = node, .of.operator_order = order});
}

static void record(struct forge *f, uint32_t node, enum incident_state state)
{
    f->incident[node].state = (uint8_t)state;
    effect(f, EFFECT_RECORD, node)->of.incident = f->incident[node];
}

static void escalate(struct forge *f, uint32_t node)
{
    record(f, node, INCIDENT_ESCALATED);
    effect(f, EFFECT_NOTIFY, node)->of.incident = f->incident[node];
}

static void open_incident(struct forge *f, uint32_t node)
{
    struct incident *i = &f->incident[node];
    *i = (struct incident){.id = f->control.next_incident++,
                           .opened_at = f->now,
                           .node = node,
                           .remedy = REMEDY_RESTART_SERVICE,
                           .blocked_at = INSTANT_NONE,
                           .evidence_count = 1,
                           .local_cause = 1};
    strcpy(i->detector_name, "cpu-high");
    effect(f, EFFECT_CONTROL, NO_INDEX)->of.control = f->control;
    record(f, node, INCIDENT_OPEN);
    record(f, node, INCIDENT_PLANNED);
    deadline(f);
}

static void order(struct forge *f, uint32_t node, enum remedy remedy)
{
    struct incident *i = &f->incident[node];
    struct command *c = &f->command;
    *c = (struct command){.id = f->control.epoch << 32 | f->control.next_command++,
                          .epoch = f->control.epoch,
                          .incident = i->id,
                          .ordered_at = f->now,
                          .expires_at = f->now + 10 * SECOND,
                          .ended_at = INSTANT_NONE,
                          .rule = 1,
                          .node = node,
                          .attempt = ++i->attempts,
                          .remedy = (uint8_t)remedy,
                          .by_person = i->approved};
    i->command = c->id;
    i->outcome = OUTCOME_NONE;
    i->verdict = VERDICT_NONE;
    record(f, node, INCIDENT_ACTING);
    effect(f, EFFECT_ACT, node)->of.command = *c;
    deadline(f);
}

static void act(struct forge *f, uint32_t node)
{
    order(f, node, REMEDY_RESTART_SERVICE);
}

static void end(struct forge *f, uint32_t node, enum outcome outcome)
{
    f->command.ended_at = f->now;
    f->command.outcome = f->incident[node].outcome = (uint8_t)outcome;
    effect(f, EFFECT_ENDED, node)->of.command = f->command;
    record(f, node, INCIDENT_VERIFYING);
    step(f, &(struct event){.kind = EVENT_COMMAND_END,
                            .node = node,
                            .of.command_end = {.outcome = (uint8_t)outcome, .began = 1}});
}

static void resolve(struct forge *f, uint32_t node, enum verdict verdict, uint32_t fresh_samples)
{
    f->incident[node].verdict = (uint8_t)verdict;
    f->incident[node].fresh_samples = fresh_samples;
    f->incident[node].closed_at = f->now;
    record(f, node, INCIDENT_RESOLVED);
    deadline(f);
}

static void blocked(struct forge *f, uint32_t node, enum block_reason reason, uint32_t count)
{
    struct incident *i = &f->incident[node];
    i->blocked_at = i->block == reason ? i->blocked_at : f->now;
    i->block = (uint8_t)reason;
    i->blocked_last_at = f->now;
    i->blocked_count = count;
    effect(f, EFFECT_BLOCKED, node)->of.incident = *i;
    effect(f, EFFECT_NOTIFY, node)->of.incident = *i;
    deadline(f);
}

/* The first node falls ill, is healed, and nothing is wrong with that. */
static void heal(struct forge *f, uint32_t node)
{
    open_incident(f, node);
    act(f, node);
    checker_delivered(f->checker, f->now, &f->command);
    checker_world_effect(f->checker, f->now, &f->command);
    end(f, node, OUTCOME_DONE);
    reports(f, 5);
    resolve(f, node, VERDICT_EFFECTIVE, 4);
}

static void adopt_policy(struct forge *f)
{
    step(f, &(struct event){.kind = EVENT_POLICY, .node = NO_INDEX, .of.policy = &f->policy});
}

static void join_all(struct forge *f)
{
    for (uint32_t n = 0; n < NODES; n++) {
        struct event hello = {.kind = EVENT_HELLO, .node = n, .of.hello.interval_ns = SECOND};
        snprintf(hello.of.hello.name, NODE_NAME_SIZE, "node-%u", n);
        step(f, &hello);
        report(f, n, 0);
    }
}

static void begin(struct forge *f)
{
    memset(f, 0, sizeof *f);
    f->now = 100 * SECOND;
    f->control = (struct control){.epoch = 1, .next_incident = 1, .next_command = 1};
    policy_init(&f->policy);
    struct detector *d = &f->policy.detectors[0];
    strcpy(d->name, "cpu-high");
    d->when_count = 1;
    d->when[0] = (struct condition){.number = 0.9, .metric = METRIC_CPU_UTILIZATION};
    d->ladder_count = 2;
    d->ladder[0] = (struct rung){.remedy = REMEDY_RESTART_SERVICE, .settle_ns = SECOND};
    d->ladder[1] = (struct rung){.remedy = REMEDY_DRAIN_NODE, .settle_ns = SECOND};
    f->policy.detector_count = 1;
    f->policy.guards.rate_target.max = f->policy.guards.rate_fleet.max = 0;
    f->policy.guards.cooldown_ns = f->policy.guards.backoff_base_ns = 0;
    f->policy.guards.attempts_max = ATTEMPTS_MAX;
    f->policy.guards.max_disrupted_ratio = 0.25; /* three of twelve */
    f->checker = checker_new(NODES);
    assert_non_null(f->checker);
    adopt_policy(f);
    join_all(f);
}

/* --- stories -------------------------------------------------------------------------------------------- */

static void new_life(struct forge *f, uint64_t epoch, const struct incident *kept, struct core **core)
{
    const struct core_config config = {.node_capacity = NODES, .incident_capacity = 8};
    struct effects none;
    *core = core_init(calloc(1, core_size(&config)), &config);
    checker_crash(f->checker, f->now);
    struct control control = f->control;
    control.epoch = epoch;
    struct event events[] = {
        {.kind = EVENT_POLICY, .at = f->now, .node = NO_INDEX, .of.policy = &f->policy},
        {.kind = EVENT_RESTORE,
         .at = f->now,
         .node = NO_INDEX,
         .of.restore = {.kind = RESTORE_CONTROL, .what.control = control}},
        {.kind = EVENT_RESTORE, .at = f->now, .of.restore = {.kind = RESTORE_INCIDENT}},
    };
    for (uint32_t i = 0; i < (kept == NULL ? 2u : 3u); i++) {
        if (i == 2) {
            events[i].of.restore.what.incident = *kept;
        }
        checker_event(f->checker, &events[i]);
        core_step(*core, &events[i], &none);
        checker_effects(f->checker, f->now, 0, &none);
    }
    checker_restored(f->checker, f->now, *core);
}

static void an_incident_is_lost_in_a_crash(struct forge *f)
{
    struct core *core;
    open_incident(f, 0);
    new_life(f, 2, NULL, &core);
    free(core);
}

static void an_incident_comes_back_otherwise(struct forge *f)
{
    struct core *core;
    open_incident(f, 0);
    struct incident other = f->incident[0];
    other.attempts = 2;
    new_life(f, 2, &other, &core);
    free(core);
}

static void the_epoch_does_not_rise(struct forge *f)
{
    struct core *core;
    open_incident(f, 0);
    struct incident same = f->incident[0];
    new_life(f, 1, &same, &core);
    free(core);
}

static void an_illegal_edge(struct forge *f)
{
    open_incident(f, 0);
    record(f, 0, INCIDENT_VERIFYING);
    deadline(f);
}

static void a_number_is_given_twice(struct forge *f)
{
    heal(f, 0);
    f->control.next_command--;
    f->incident[1].node = 1;
    open_incident(f, 1);
    act(f, 1);
}

static void a_command_ends_twice(struct forge *f)
{
    open_incident(f, 0);
    act(f, 0);
    end(f, 0, OUTCOME_DONE);
    end(f, 0, OUTCOME_FAILED);
}

static void a_command_is_seen_before_its_commit(struct forge *f)
{
    open_incident(f, 0);
    f->careless = true;
    act(f, 0);
    checker_delivered(f->checker, f->now, &f->command);
}

static void a_command_goes_round_the_gate(struct forge *f)
{
    open_incident(f, 0);
    f->careless = true;
    f->ticket = UINT64_MAX; /* the next one is 0: none */
    act(f, 0);
    checker_committed(f->checker, f->now, UINT64_MAX);
    checker_world_effect(f->checker, f->now, &f->command);
}

static void a_command_has_two_effects(struct forge *f)
{
    open_incident(f, 0);
    act(f, 0);
    checker_world_effect(f->checker, f->now, &f->command);
    checker_world_effect(f->checker, f->now, &f->command);
}

static void four_of_twelve_at_once(struct forge *f)
{
    f->policy.guards.breaker_at_least = NODES;
    adopt_policy(f);
    for (uint32_t n = 0; n < 4; n++) {
        open_incident(f, n);
        act(f, n);
    }
}

static void two_at_once_on_one_target(struct forge *f)
{
    open_incident(f, 0);
    act(f, 0);
    open_incident(f, 0); /* another finding */
    act(f, 0);
}

static void one_more_than_the_fleet_may(struct forge *f)
{
    f->policy.guards.rate_fleet = (struct rate){.per_ns = MINUTE, .max = 2};
    adopt_policy(f);
    for (uint32_t n = 0; n < 3; n++) {
        heal(f, n);
        reports(f, 1);
    }
}

static void one_more_than_a_rule_may(struct forge *f)
{
    f->policy.guards.rate_rule = (struct rate){.per_ns = MINUTE, .max = 1};
    adopt_policy(f);
    heal(f, 0);
    reports(f, 1);
    heal(f, 1);
}

static void one_more_than_a_target_may(struct forge *f)
{
    f->policy.guards.rate_target = (struct rate){.per_ns = MINUTE, .max = 1};
    adopt_policy(f);
    heal(f, 0);
    heal(f, 0);
}

static void too_soon_after_the_last(struct forge *f)
{
    f->policy.guards.cooldown_ns = 30 * SECOND;
    adopt_policy(f);
    heal(f, 0);
    heal(f, 0);
}

/* Under a policy that takes the first illness for too many. */
static void open_breaker(struct forge *f)
{
    f->policy.guards.breaker_at_least = 1;
    f->policy.guards.breaker_unhealthy_ratio = 0;
    adopt_policy(f);
    f->control.breaker_open = 1;
    effect(f, EFFECT_CONTROL, NO_INDEX)->of.control = f->control;
    deadline(f);
}

static void act_with_the_breaker_open(struct forge *f)
{
    open_incident(f, 0);
    open_breaker(f);
    act(f, 0);
}

static void the_breaker_closes_by_itself(struct forge *f)
{
    open_incident(f, 0);
    open_breaker(f);
    f->control.breaker_open = 0;
    effect(f, EFFECT_CONTROL, NO_INDEX)->of.control = f->control;
    deadline(f);
}

static void the_breaker_does_not_open(struct forge *f)
{
    for (uint32_t n = 0; n < 8; n++) {
        open_incident(f, n);
    }
    act(f, 7);
}

static void act_on_old_samples(struct forge *f)
{
    f->now += 4 * SECOND;
    open_incident(f, 0);
    act(f, 0);
}

static void act_on_backfilled_samples(struct forge *f)
{
    f->now += 10 * SECOND;
    report(f, 0, 5 * SECOND);
    open_incident(f, 0);
    act(f, 0);
}

static void act_in_maintenance(struct forge *f)
{
    say(f, 0, (struct operator_order){.word = OPERATOR_MAINTAIN, .maintain_ns = MINUTE});
    open_incident(f, 0);
    act(f, 0);
}

static void act_in_a_window(struct forge *f)
{
    f->policy.guards.window_count = 1;
    f->policy.guards.windows[0] = (struct window){.nodes = "node-*", .until_at = HOUR};
    adopt_policy(f);
    open_incident(f, 0);
    act(f, 0);
}

static void act_while_paused(struct forge *f)
{
    say(f, NO_INDEX, (struct operator_order){.word = OPERATOR_PAUSE});
    f->control.paused = 1;
    open_incident(f, 0);
    act(f, 0);
}

static void act_without_approval(struct forge *f)
{
    f->policy.mode = MODE_APPROVE;
    adopt_policy(f);
    open_incident(f, 0);
    act(f, 0);
}

static void act_in_a_persons_name(struct forge *f)
{
    open_incident(f, 0);
    f->incident[0].approved = 1; /* but nobody said so */
    act(f, 0);
}

static void act_in_dry_run(struct forge *f)
{
    f->policy.mode = MODE_DRY_RUN;
    adopt_policy(f);
    open_incident(f, 0);
    act(f, 0);
}

static void act_right_after_a_gap(struct forge *f)
{
    open_incident(f, 0);
    step(f, &(struct event){.kind = EVENT_GAP, .node = NO_INDEX, .of.gap.length_ns = SECOND});
    act(f, 0);
}

static void an_effect_after_the_expiry(struct forge *f)
{
    open_incident(f, 0);
    act(f, 0);
    f->now += 11 * SECOND;
    checker_world_effect(f->checker, f->now, &f->command);
}

static void an_effect_of_an_older_epoch(struct forge *f)
{
    open_incident(f, 0);
    act(f, 0);
    struct command old = f->command;
    end(f, 0, OUTCOME_UNKNOWN);
    reports(f, 1);
    resolve(f, 0, VERDICT_INCONCLUSIVE, 0);
    f->control.epoch = 2;
    open_incident(f, 0);
    act(f, 0);
    checker_delivered(f->checker, f->now, &f->command);
    checker_world_effect(f->checker, f->now, &old);
}

static void a_remedy_that_is_not_on_the_ladder(struct forge *f)
{
    open_incident(f, 0);
    f->incident[0].remedy = REMEDY_REBOOT_NODE;
    order(f, 0, REMEDY_REBOOT_NODE);
}

static void effective_by_two_samples(struct forge *f)
{
    open_incident(f, 0);
    act(f, 0);
    end(f, 0, OUTCOME_DONE);
    reports(f, 5);
    resolve(f, 0, VERDICT_EFFECTIVE, 2);
}

static void effective_by_samples_that_never_came(struct forge *f)
{
    open_incident(f, 0);
    act(f, 0);
    end(f, 0, OUTCOME_DONE);
    reports(f, 3); /* the first of them while it settles */
    resolve(f, 0, VERDICT_EFFECTIVE, 3);
}

static void effective_without_an_outcome(struct forge *f)
{
    open_incident(f, 0);
    act(f, 0);
    end(f, 0, OUTCOME_UNKNOWN);
    reports(f, 5);
    resolve(f, 0, VERDICT_EFFECTIVE, 4);
}

static void a_count_goes_back(struct forge *f)
{
    open_incident(f, 0);
    blocked(f, 0, BLOCK_BUDGET, 1);
    f->now += 5 * SECOND;
    blocked(f, 0, BLOCK_BUDGET, 1);
}

static void an_act_that_is_stopped(struct forge *f)
{
    open_incident(f, 0);
    blocked(f, 0, BLOCK_BUDGET, 1);
    act(f, 0);
}

/* --- too timid ------------------------------------------------------------------------------------------ */

static void stopped_by_a_pause_that_nobody_ordered(struct forge *f)
{
    say(f, NO_INDEX, (struct operator_order){.word = OPERATOR_PAUSE});
    say(f, NO_INDEX, (struct operator_order){.word = OPERATOR_RESUME});
    open_incident(f, 0);
    blocked(f, 0, BLOCK_PAUSED, 1);
}

static void stopped_by_attempts_of_long_ago(struct forge *f)
{
    f->policy.guards.attempts_max = 1;
    f->policy.guards.attempts_within_ns = 20 * SECOND;
    adopt_policy(f);
    heal(f, 0);
    reports(f, 20);
    open_incident(f, 0);
    blocked(f, 0, BLOCK_ATTEMPTS, 1);
}

static void stopped_by_a_rate_without_a_limit(struct forge *f)
{
    heal(f, 0);
    open_incident(f, 0);
    blocked(f, 0, BLOCK_RATE_TARGET, 1);
}

static void stopped_by_maintenance_that_is_over(struct forge *f)
{
    say(f, 0, (struct operator_order){.word = OPERATOR_MAINTAIN, .maintain_ns = 5 * SECOND});
    reports(f, 6);
    open_incident(f, 0);
    blocked(f, 0, BLOCK_MAINTENANCE, 1);
}

static void stopped_by_flapping_of_a_calm_node(struct forge *f)
{
    f->policy.guards.flapping_changes = 8;
    f->policy.guards.flapping_within_ns = MINUTE;
    adopt_policy(f);
    reports(f, 40);
    open_incident(f, 0);
    blocked(f, 0, BLOCK_FLAPPING, 1);
}

static void stopped_for_want_of_a_witness_that_nobody_wants(struct forge *f)
{
    reports(f, 1);
    open_incident(f, 0);
    blocked(f, 0, BLOCK_UNCORROBORATED, 1);
}

static void people_are_never_told(struct forge *f)
{
    open_incident(f, 0);
    record(f, 0, INCIDENT_ESCALATED);
    deadline(f);
}

static void well_for_ever(struct forge *f)
{
    open_incident(f, 0);
    reports(f, 1);
    blocked(f, 0, BLOCK_CLEARING, 1);
    reports(f, 40);
    f->incident[0].blocked_count = 40;
    f->incident[0].blocked_last_at = f->now;
    effect(f, EFFECT_BLOCKED, 0)->of.incident = f->incident[0];
    report(f, 0, 0);
}

static void the_breaker_opens_for_one_of_twelve(struct forge *f)
{
    reports(f, 40);
    open_incident(f, 0);
    f->control.breaker_open = 1;
    effect(f, EFFECT_CONTROL, NO_INDEX)->of.control = f->control;
    deadline(f);
}

/* --- liveness ------------------------------------------------------------------------------------------- */

static void rest(struct forge *f)
{
    const struct core_config config = {.node_capacity = NODES, .incident_capacity = 8};
    struct core *core = core_init(calloc(1, core_size(&config)), &config);
    checker_rest(f->checker, f->now, core);
    free(core);
}

static void an_incident_stays_open(struct forge *f)
{
    open_incident(f, 0);
    reports(f, 40);
    rest(f);
}

static void a_command_without_an_outcome(struct forge *f)
{
    open_incident(f, 0);
    act(f, 0);
    escalate(f, 0);
    deadline(f);
    reports(f, 40);
    rest(f);
}

static void a_spool_that_is_not_empty(struct forge *f)
{
    checker_spooled(f->checker, f->now, 3, 17);
}

static void a_control_plane_that_stays_away(struct forge *f)
{
    checker_crash(f->checker, f->now);
    checker_rest(f->checker, f->now, NULL);
}

static void a_spike_that_nobody_sees(struct forge *f)
{
    checker_fault(f->checker, f->now, 2, FAULT_CPU_SPIKE, true);
    reports(f, 40);
    checker_fault(f->checker, f->now, 2, FAULT_CPU_SPIKE, false);
}

static void a_row_that_is_never_committed(struct forge *f)
{
    f->careless = true;
    open_incident(f, 0);
    escalate(f, 0);
    deadline(f);
    reports(f, 40);
    rest(f);
}

static const struct {
    enum invariant invariant;
    const char *name;
    void (*tell)(struct forge *f);
} stories[] = {
#define STORY(invariant, name)                                                                               \
    {                                                                                                        \
        INVARIANT_##invariant, #name, name                                                                   \
    }
    STORY(S1, an_incident_is_lost_in_a_crash),
    STORY(S1, an_incident_comes_back_otherwise),
    STORY(S1, the_epoch_does_not_rise),
    STORY(S2, an_illegal_edge),
    STORY(S2, a_number_is_given_twice),
    STORY(S2, a_command_ends_twice),
    STORY(S3, a_command_is_seen_before_its_commit),
    STORY(S3, a_command_goes_round_the_gate),
    STORY(S4, a_command_has_two_effects),
    STORY(S5, four_of_twelve_at_once),
    STORY(S5, two_at_once_on_one_target),
    STORY(S6, one_more_than_the_fleet_may),
    STORY(S6, one_more_than_a_rule_may),
    STORY(S6, one_more_than_a_target_may),
    STORY(S6, too_soon_after_the_last),
    STORY(S7, act_with_the_breaker_open),
    STORY(S7, the_breaker_closes_by_itself),
    STORY(S7, the_breaker_does_not_open),
    STORY(S8, act_on_old_samples),
    STORY(S8, act_on_backfilled_samples),
    STORY(S8, act_in_maintenance),
    STORY(S8, act_in_a_window),
    STORY(S8, act_while_paused),
    STORY(S8, act_without_approval),
    STORY(S8, act_in_a_persons_name),
    STORY(S8, act_in_dry_run),
    STORY(S8, act_right_after_a_gap),
    STORY(S8, an_effect_after_the_expiry),
    STORY(S9, an_effect_of_an_older_epoch),
    STORY(S10, a_remedy_that_is_not_on_the_ladder),
    STORY(S11, effective_by_two_samples),
    STORY(S11, effective_by_samples_that_never_came),
    STORY(S11, effective_without_an_outcome),
    STORY(S12, a_count_goes_back),
    STORY(S12, an_act_that_is_stopped),
    STORY(L1, an_incident_stays_open),
    STORY(L2, a_command_without_an_outcome),
    STORY(L3, a_spool_that_is_not_empty),
    STORY(S12, stopped_by_a_pause_that_nobody_ordered),
    STORY(S12, stopped_by_attempts_of_long_ago),
    STORY(S12, stopped_by_a_rate_without_a_limit),
    STORY(S12, stopped_by_maintenance_that_is_over),
    STORY(S12, stopped_by_flapping_of_a_calm_node),
    STORY(S12, stopped_for_want_of_a_witness_that_nobody_wants),
    STORY(L1, people_are_never_told),
    STORY(L1, well_for_ever),
    STORY(L6, the_breaker_opens_for_one_of_twelve),
    STORY(L4, a_control_plane_that_stays_away),
    STORY(L5, a_spike_that_nobody_sees),
    STORY(L6, a_row_that_is_never_committed),
#undef STORY
};

static void test_what_is_right_breaks_nothing(void **state)
{
    (void)state;
    struct forge f;
    begin(&f);
    heal(&f, 0);
    open_incident(&f, 0);
    f.policy.mode = MODE_APPROVE;
    adopt_policy(&f);
    say(&f, NO_INDEX, (struct operator_order){.word = OPERATOR_APPROVE, .incident = f.incident[0].id});
    blocked(&f, 0, BLOCK_APPROVAL, 1);
    blocked(&f, 0, BLOCK_APPROVAL, 9);
    checker_fault(f.checker, f.now, 2, FAULT_CPU_SPIKE, true);
    reports(&f, 10);
    open_incident(&f, 2);
    reports(&f, 40);
    checker_fault(f.checker, f.now, 2, FAULT_CPU_SPIKE, false);
    assert_int_equal(checker_count(f.checker), 0);
    checker_free(&f.checker);
    assert_null(f.checker);
}

static void test_each_forged_story_breaks_its_own_invariant(void **state)
{
    (void)state;
    bool shown[INVARIANT_COUNT] = {false};
    for (size_t i = 0; i < sizeof stories / sizeof stories[0]; i++) {
        struct forge f;
        begin(&f);
        assert_int_equal(checker_count(f.checker), 0);
        stories[i].tell(&f);
        bool right = checker_count(f.checker) > 0;
        for (uint32_t v = 0; v < checker_count(f.checker) && v < VIOLATIONS_MAX; v++) {
            const struct violation *seen = checker_violation(f.checker, v);
            right = right && seen->invariant == stories[i].invariant;
            print_message("# %-40s %s: %s\n", stories[i].name,
                          invariant_name((enum invariant)seen->invariant), seen->sentence);
        }
        if (!right) {
            print_error("%s should break %s and nothing else\n", stories[i].name,
                        invariant_name(stories[i].invariant));
        }
        shown[stories[i].invariant] = true;
        checker_free(&f.checker);
        assert_true(right);
    }
    for (int i = 0; i < INVARIANT_COUNT; i++) {
        assert_true(shown[i]); /* no invariant without a story */
    }
}

static void test_more_violations_than_are_kept_are_counted(void **state)
{
    (void)state;
    struct forge f;
    begin(&f);
    for (int i = 0; i < 2 * VIOLATIONS_MAX; i++) {
        checker_spooled(f.checker, f.now, 0, 1);
    }
    assert_int_equal(checker_count(f.checker), 2 * VIOLATIONS_MAX);
    assert_string_equal(invariant_name((enum invariant)checker_violation(f.checker, 3)->invariant), "L3");
    assert_false(invariant_is_safety(INVARIANT_L3));
    assert_true(strlen(invariant_sentence(INVARIANT_S4)) > 10);
    checker_free(&f.checker);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_right_breaks_nothing),
        cmocka_unit_test(test_each_forged_story_breaks_its_own_invariant),
        cmocka_unit_test(test_more_violations_than_are_kept_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
