#include "checked_lab.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "core/gate.h"
#include "policy/policy_file.h"

enum { NODES = 10, INCIDENTS = 512, COMMANDS = 1024, WAITING = 4096, POLICIES = 5 };
#define TICK      (100 * MILLISECOND)
#define FAULTS_NS (400 * SECOND)
#define HEALED_NS (150 * SECOND)

/* --- policies ------------------------------------------------------------------------------------------- */

#define CPU                                                                                                  \
    "  - {name: cpu-high, when: cpu_utilization > 0.90 and request_latency > 20ms, for: 3s,"                 \
    " clear: cpu_utilization < 0.70, healthy_for: 3s}\n"
#define CPU_LADDER                                                                                           \
    "  - on: cpu-high\n    steps: [{do: restart_service, settle: 1s, within: 20s}, {do: drain_node}, {do: "  \
    "page_human}]\n"
#define USERS                                                                                                \
    "  - {name: slow, when: request_latency > 100ms, for: 3s, clear: request_latency < 50ms,"                \
    " healthy_for: 3s, do: restart_service}\n"
#define STORAGE                                                                                              \
    "  - {name: slow-storage, when: storage_latency > 100ms, for: 2s, clear: storage_latency < 20ms,"        \
    " confirm: no, do: failover_storage}\n"
#define GUARDS                                                                                               \
    "guards:\n  per_target: {cooldown: 2s, attempts: {max: 3, within: 2m}, backoff: {base: 4s, cap: 16s,"    \
    " reset: 1m}}\n  flapping: {changes: 5, within: 1m}\n  approval: 20s\n  recurrence: 40s\n  "             \
    "max_disrupted: "                                                                                        \
    "25%\n  breaker: {unhealthy: 55%, at_least: 3}\n"

static const char *const texts[POLICIES] = {
    "version: 1\ndetectors:\n" CPU USERS STORAGE "playbooks:\n" CPU_LADDER GUARDS
    "  rate: {fleet: {per: 1m, max: 3}}\n"
    "planner: {wait: 1s}\n",
    "version: 1\ndetectors:\n" STORAGE CPU USERS
    "  - {name: silent, absent: 5s, do: page_human}\nplaybooks:\n" CPU_LADDER GUARDS
    "  rate: {rule: {per: 1m, max: 2}, target: {per: 3m, max: 2}}\n"
    "  maintenance: [{nodes: 'node-1*', from: 1970-01-01T00:02:00Z, until: 1970-01-01T00:02:40Z}]\n",
    "version: 1\ndetectors:\n" CPU USERS STORAGE "playbooks:\n" CPU_LADDER GUARDS
    "  rate: {kind: {per: 1m, max: 2}}\n"
    "mode: approve\n",
    /* Plans made under this one do not stand on the ladder of the next. */
    "version: 1\ndetectors:\n" CPU STORAGE
    "playbooks:\n  - on: cpu-high\n    steps: [{do: reset_network}, {do: page_human}]\n" GUARDS
    "mode: dry_run\n",
    /* Another threshold under the same name: a new meaning; and another ladder for what was there. */
    "version: 1\ndetectors:\n" USERS "  - {name: cpu-high, when: cpu_utilization > 0.80, for: 2s, clear: "
    "cpu_utilization < 0.70, healthy_for: 3s}\n"
    "playbooks:\n  - on: cpu-high\n    steps: [{do: drain_node}, {do: page_human}]\n" GUARDS
    "  rate: {kind: {per: 1m, max: 2}}\n",
};

static const struct policy *policies(void)
{
    static struct policy read[POLICIES];
    static bool done;
    for (int i = 0; i < POLICIES && !done; i++) {
        static struct complaints complaints;
        int failed = policy_read(texts[i], strlen(texts[i]), &read[i], &complaints);
        if (failed != 0) {
            struct text text;
            char line[512];
            text = text_over(line, sizeof line);
            complaint_print(&text, &complaints.list[0], "policy");
            fprintf(stderr, "policy %d: %s\n", i, line);
        }
        CHECK(failed == 0);
    }
    done = true;
    return read;
}

uint32_t checked_lab_remedies(void)
{
    return REMEDY_BIT(RESTART_SERVICE) | REMEDY_BIT(DRAIN_NODE) | REMEDY_BIT(FAILOVER_STORAGE);
}

/* --- the lab -------------------------------------------------------------------------------------------- */

enum illness { WELL, BUSY, SLOW, STORAGE_SLOW, SLOW_ALONE, ILLNESS_COUNT };

struct lab_node {
    struct hello hello;
    uint64_t sequence;
    uint64_t floor; /* newest command that its node agent took */
    instant ill_until;
    instant quiet_until;   /* nothing gets from it to the control plane */
    instant comes_back_at; /* what is only masked */
    uint64_t answer;       /* command whose outcome it will tell, 0: none */
    instant answer_at;
    struct report held; /* a report that another will overtake */
    uint8_t illness, masked, outcome, began;
    bool holds, here;
};

struct waiting {
    uint64_t ticket;
    struct effect effect;
};

struct kept { /* the store */
    struct control control;
    struct target target[NODES];
    bool has_target[NODES];
    struct incident incident[INCIDENTS]; /* by id */
    struct command command[COMMANDS];
    uint32_t commands;
    uint64_t newest_incident;
    const struct policy *policy;
};

struct lab {
    uint64_t random;
    instant now;
    struct core *core;
    struct gate *gate;
    struct checker *checker;
    struct kept kept;
    struct waiting waiting[WAITING]; /* not committed */
    uint32_t waiting_count;
    uint64_t ticket;
    instant commit_at;
    instant back_at; /* the control plane is down until then; INSTANT_NONE: it runs */
    bool healed;
    const struct policy *policy;
    struct lab_node node[NODES];
    uint32_t nodes;
    uint64_t asked; /* an incident that the planner was asked about */
    struct command visible[COMMANDS];
    uint32_t visible_count;
};

static uint64_t draw(struct lab *lab, uint64_t below)
{
    lab->random ^= lab->random << 13;
    lab->random ^= lab->random >> 7;
    lab->random ^= lab->random << 17;
    return (lab->random >> 16) % below;
}

static bool chance(struct lab *lab, uint64_t per_mille)
{
    return draw(lab, 1000) < per_mille;
}

/* --- the store and the gate ----------------------------------------------------------------------------- */

static void keep_command(struct kept *kept, const struct command *command)
{
    for (uint32_t i = kept->commands; i-- > 0;) {
        if (kept->command[i].id == command->id) {
            kept->command[i] = *command;
            return;
        }
    }
    CHECK(kept->commands < COMMANDS);
    kept->command[kept->commands++] = *command;
}

static void keep(struct kept *kept, const struct effect *e)
{
    switch ((enum effect_kind)e->kind) {
    case EFFECT_RECORD:
    case EFFECT_BLOCKED:
        CHECK(e->of.incident.id < INCIDENTS);
        kept->incident[e->of.incident.id] = e->of.incident;
        kept->newest_incident =
            e->of.incident.id > kept->newest_incident ? e->of.incident.id : kept->newest_incident;
        break;
    case EFFECT_ACT:
    case EFFECT_ENDED:
        keep_command(kept, &e->of.command);
        break;
    case EFFECT_CONTROL:
        kept->control = e->of.control;
        break;
    case EFFECT_TARGET:
        kept->target[e->node] = e->of.target;
        kept->has_target[e->node] = true;
        break;
    default:
        break;
    }
}

static void let_out(struct lab *lab)
{
    struct effect effect;
    while (gate_take(lab->gate, &effect)) {
        if (effect.kind == EFFECT_ACT) {
            CHECK(lab->visible_count < COMMANDS);
            lab->visible[lab->visible_count++] = effect.of.command;
        } else if (effect.kind == EFFECT_ASK) {
            lab->asked = effect.of.incident.id;
        }
    }
}

static void commit(struct lab *lab)
{
    for (uint32_t i = 0; i < lab->waiting_count; i++) {
        keep(&lab->kept, &lab->waiting[i].effect);
    }
    lab->waiting_count = 0;
    gate_durable(lab->gate, lab->ticket);
    checker_committed(lab->checker, lab->now, lab->ticket);
    let_out(lab);
}

static void step(struct lab *lab, struct event *event)
{
    struct effects effects;
    event->at = lab->now;
    if (!gate_has_room(lab->gate) || lab->waiting_count + EFFECTS_MAX > WAITING) {
        commit(lab);
    }
    checker_event(lab->checker, event);
    core_step(lab->core, event, &effects);
    uint64_t ticket = gate_put(lab->gate, &effects);
    checker_effects(lab->checker, lab->now, ticket, &effects);
    for (uint32_t i = 0; i < effects.count && ticket != 0; i++) {
        lab->waiting[lab->waiting_count++] = (struct waiting){.ticket = ticket, .effect = effects.list[i]};
    }
    lab->ticket = ticket != 0 ? ticket : lab->ticket;
    let_out(lab);
}

static void run_deadlines(struct lab *lab)
{
    for (int rounds = 0; core_deadline(lab->core) <= lab->now; rounds++) {
        struct event event = {.kind = EVENT_DEADLINE, .node = NO_INDEX};
        step(lab, &event);
        CHECK(rounds < 10000);
    }
}

static void happens(struct lab *lab, struct event *event)
{
    run_deadlines(lab);
    step(lab, event);
}

/* --- the control plane's life --------------------------------------------------------------------------- */

static void make_core(struct lab *lab)
{
    const struct core_config config = {.node_capacity = NODES, .incident_capacity = 256, .seed = 7};
    free(lab->core);
    free(lab->gate);
    void *memory = calloc(1, core_size(&config)), *gate = calloc(1, gate_size(512));
    CHECK(memory != NULL && gate != NULL);
    lab->core = core_init(memory, &config);
    lab->gate = gate_init(gate, 512);
    lab->waiting_count = 0;
    lab->ticket = 0;
    lab->visible_count = 0;
    lab->asked = 0;
}

static void crash(struct lab *lab, duration down_ns)
{
    checker_crash(lab->checker, lab->now);
    lab->back_at = lab->now + down_ns;
    lab->waiting_count = 0;
    lab->visible_count = 0;
}

/* All of it zero first: the digest is over every byte of a restore event. */
static void begin_restore(struct event *event, uint32_t node, enum restore_kind kind)
{
    memset(event, 0, sizeof *event);
    event->kind = EVENT_RESTORE;
    event->node = node;
    event->of.restore.kind = (uint8_t)kind;
}

static void restore_rows(struct lab *lab)
{
    struct kept *kept = &lab->kept;
    struct event event;
    begin_restore(&event, NO_INDEX, RESTORE_CONTROL);
    event.of.restore.what.control = kept->control;
    step(lab, &event);
    for (uint32_t n = 0; n < lab->nodes; n++) {
        struct event hello = {.kind = EVENT_HELLO, .node = n, .of.hello = lab->node[n].hello};
        step(lab, &hello);
    }
    for (uint32_t n = 0; n < lab->nodes; n++) {
        if (kept->has_target[n]) {
            begin_restore(&event, n, RESTORE_TARGET);
            event.of.restore.what.target = kept->target[n];
            step(lab, &event);
        }
    }
    for (uint64_t id = 1; id <= kept->newest_incident; id++) {
        const struct incident *i = &kept->incident[id];
        bool recent =
            i->closed_at != INSTANT_NONE && lab->now - i->closed_at < lab->policy->guards.recurrence_ns;
        bool masked = i->state == INCIDENT_RESOLVED && i->why == WHY_HEALTHY && recent;
        if (i->id != 0 && (i->state != INCIDENT_RESOLVED || masked)) {
            begin_restore(&event, i->node, RESTORE_INCIDENT);
            event.of.restore.what.incident = *i;
            step(lab, &event);
        }
    }
    for (uint32_t i = 0; i < kept->commands; i++) {
        const struct command *c = &kept->command[i];
        begin_restore(&event, c->node, RESTORE_ACTION);
        event.of.restore.what.action = core_restored_action(c);
        step(lab, &event);
        const struct incident *incident = core_incident(lab->core, c->incident);
        if (incident != NULL && incident->state == INCIDENT_ACTING && incident->command == c->id) {
            lab->visible[lab->visible_count++] = *c; /* offered again */
        }
    }
}

static void come_back(struct lab *lab)
{
    lab->back_at = INSTANT_NONE;
    make_core(lab);
    lab->policy = lab->kept.policy;
    struct event event = {.kind = EVENT_POLICY, .node = NO_INDEX, .of.policy = lab->policy};
    lab->kept.control.epoch++; /* durable before its first use */
    step(lab, &event);
    restore_rows(lab);
    checker_restored(lab->checker, lab->now, lab->core);
    run_deadlines(lab);
}

static void load_policy(struct lab *lab, const struct policy *policy)
{
    struct event event = {.kind = EVENT_POLICY, .node = NO_INDEX, .of.policy = policy};
    lab->policy = lab->kept.policy = policy;
    happens(lab, &event);
}

/* --- nodes ---------------------------------------------------------------------------------------------- */

static void fall_ill(struct lab *lab, struct lab_node *node)
{
    static const duration lasts[] = {3 * SECOND, 8 * SECOND, 30 * SECOND, 90 * SECOND};
    node->illness = (uint8_t)(BUSY + draw(lab, ILLNESS_COUNT - 1));
    node->ill_until = lab->now + lasts[draw(lab, 4)];
    if (node->illness == BUSY) {
        checker_fault(lab->checker, lab->now, (uint32_t)(node - lab->node), FAULT_CPU_SPIKE, true);
    }
}

static void end_illness(struct lab *lab, struct lab_node *node)
{
    if (node->illness == BUSY) {
        checker_fault(lab->checker, lab->now, (uint32_t)(node - lab->node), FAULT_CPU_SPIKE, false);
    }
    node->illness = WELL;
}

static void take_samples(struct lab *lab, uint32_t n, struct report *report)
{
    struct lab_node *node = &lab->node[n];
    bool caller_feels = false;
    for (uint32_t i = 0; i < node->hello.calls_count; i++) {
        caller_feels = caller_feels || lab->node[node->hello.calls[i]].illness != WELL;
    }
    report->boot = node->hello.boot;
    report->sequence = ++node->sequence;
    report->age_ns = 0;
    report->present =
        1u << METRIC_CPU_UTILIZATION | 1u << METRIC_REQUEST_LATENCY | 1u << METRIC_STORAGE_LATENCY;
    report->value[METRIC_CPU_UTILIZATION] = node->illness == BUSY ? 0.97 : 0.2;
    report->value[METRIC_STORAGE_LATENCY] = node->illness == STORAGE_SLOW ? 0.3 : 0.002;
    bool slow = node->illness == BUSY || node->illness == SLOW || node->illness == SLOW_ALONE || caller_feels;
    report->value[METRIC_REQUEST_LATENCY] = slow ? 0.4 : 0.004;
    if (node->illness == SLOW) {
        report->value[METRIC_CPU_UTILIZATION] = 0.85; /* ill by one policy, not by another */
    }
}

static void send(struct lab *lab, uint32_t n, const struct report *report)
{
    struct event event = {.kind = EVENT_REPORT, .node = n, .of.report = *report};
    happens(lab, &event);
}

static void do_remedy(struct lab *lab, struct lab_node *node)
{
    uint64_t dice = draw(lab, 10);
    if (dice < 5) {
        end_illness(lab, node);
        node->masked = WELL;
    } else if (dice < 7) {
        node->masked = node->illness;
        node->comes_back_at = lab->now + 10 * SECOND + (duration)draw(lab, 20) * SECOND;
        end_illness(lab, node);
    } else if (dice < 8) {
        end_illness(lab, node);
        node->illness = STORAGE_SLOW; /* harm */
        node->ill_until = lab->now + 30 * SECOND;
    }
}

/* A node agent takes each command once, refuses the old and the expired, and may keep its answer to itself.
 */
static void take_command(struct lab *lab, uint32_t n, const struct command *c)
{
    struct lab_node *node = &lab->node[n];
    checker_delivered(lab->checker, lab->now, c);
    if (c->id <= node->floor || node->answer != 0) {
        return;
    }
    node->floor = c->id;
    node->answer = c->id;
    node->answer_at = lab->now + (duration)draw(lab, 3000) * MILLISECOND;
    node->began = 1;
    static const uint8_t outcomes[] = {OUTCOME_FAILED, OUTCOME_CUT, OUTCOME_REFUSED, OUTCOME_UNSUPPORTED};
    node->outcome = OUTCOME_DONE;
    if (lab->now > c->expires_at) {
        node->outcome = OUTCOME_EXPIRED;
    } else if (!lab->healed && chance(lab, 250)) {
        node->outcome = outcomes[draw(lab, 4)];
    }
    node->began = node->outcome == OUTCOME_DONE ||
                  ((node->outcome == OUTCOME_FAILED || node->outcome == OUTCOME_CUT) && chance(lab, 600));
    if (node->began) {
        checker_world_effect(lab->checker, lab->now, c);
    }
    if (node->outcome == OUTCOME_DONE) {
        do_remedy(lab, node);
    }
    if (!lab->healed && chance(lab, 120)) { /* its answer is lost; or it comes much too late */
        node->answer_at = chance(lab, 500) ? lab->now + 25 * SECOND : INSTANT_NEVER;
    }
}

static void offer_commands(struct lab *lab, uint32_t n)
{
    for (uint32_t i = 0; i < lab->visible_count; i++) {
        const struct command *c = &lab->visible[i];
        const struct incident *incident = core_incident(lab->core, c->incident);
        bool waits = incident != NULL && incident->state == INCIDENT_ACTING && incident->command == c->id;
        if (c->node == n && waits) {
            take_command(lab, n, c);
        }
    }
}

static void report(struct lab *lab, uint32_t n)
{
    struct lab_node *node = &lab->node[n];
    struct report report = {0};
    take_samples(lab, n, &report);
    if (lab->back_at != INSTANT_NONE || lab->now < node->quiet_until || !node->here) {
        return;
    }
    if (!lab->healed && !node->holds && chance(lab, 30)) {
        node->held = report;
        node->holds = true;
        return;
    }
    report.age_ns = !lab->healed && chance(lab, 30) ? (duration)draw(lab, 5000) * MILLISECOND : 0;
    send(lab, n, &report);
    if (node->holds) {
        node->holds = false;
        node->held.age_ns = SECOND;
        send(lab, n, &node->held);
    }
    if (!lab->healed && chance(lab, 20)) {
        send(lab, n, &report); /* doubled */
    }
    offer_commands(lab, n);
}

static void answer(struct lab *lab, uint32_t n)
{
    struct lab_node *node = &lab->node[n];
    if (node->answer == 0 || lab->back_at != INSTANT_NONE || node->quiet_until == INSTANT_NEVER) {
        return;
    }
    if (lab->now >= node->answer_at && node->answer_at != INSTANT_NEVER) {
        struct event event = {.kind = EVENT_COMMAND_END, .node = n};
        event.of.command_end =
            (struct command_end){.command = node->answer, .outcome = node->outcome, .began = node->began};
        node->answer = 0;
        happens(lab, &event);
    } else if (node->answer_at == INSTANT_NEVER && chance(lab, 5)) {
        node->answer = 0; /* forgotten */
    }
}

static void live(struct lab *lab, uint32_t n)
{
    struct lab_node *node = &lab->node[n];
    if (node->illness != WELL && lab->now >= node->ill_until) {
        end_illness(lab, node);
    }
    if (node->masked != WELL && lab->now >= node->comes_back_at) {
        end_illness(lab, node);
        node->illness = node->masked;
        node->ill_until = lab->now + 60 * SECOND;
        node->masked = WELL;
    }
    if (lab->healed) {
        end_illness(lab, node);
        node->masked = WELL;
        node->quiet_until = node->quiet_until == INSTANT_NEVER ? INSTANT_NEVER : INSTANT_NONE;
    } else if (node->illness == WELL && chance(lab, n == 0 ? 12 : 3)) {
        fall_ill(lab, node);
    } else if (chance(lab, 1)) {
        node->quiet_until = lab->now + (duration)draw(lab, 15) * SECOND;
    }
}

static void hello(struct lab *lab, uint32_t n)
{
    struct event event = {.kind = EVENT_HELLO, .node = n, .of.hello = lab->node[n].hello};
    lab->node[n].here = true;
    happens(lab, &event);
}

static void come_and_go(struct lab *lab, uint32_t n)
{
    struct lab_node *node = &lab->node[n];
    if (!node->here && (lab->healed || chance(lab, 20))) {
        hello(lab, n);
    } else if (!lab->healed && node->here && chance(lab, 1)) {
        if (chance(lab, 500)) {
            struct event event = {.kind = EVENT_GOODBYE, .node = n};
            happens(lab, &event);
            node->here = false;
        } else { /* its node agent starts anew; journal and floor are on its disk */
            node->hello.boot++;
            node->sequence = 0;
            node->holds = false;
            hello(lab, n);
        }
    }
}

/* --- people --------------------------------------------------------------------------------------------- */

static void say(struct lab *lab, uint32_t node, const struct operator_order *order)
{
    struct event event = {.kind = EVENT_OPERATOR, .node = node, .of.operator_order = *order};
    happens(lab, &event);
}

static void approve_something(struct lab *lab)
{
    for (uint64_t id = lab->kept.newest_incident; id > 0 && id + 12 > lab->kept.newest_incident; id--) {
        const struct incident *incident = core_incident(lab->core, id);
        if (incident != NULL && core_approvable(lab->core, id) != REMEDY_NONE && chance(lab, 400)) {
            uint32_t plan = incident->plan + (uint32_t)chance(lab, 100); /* or one that was never shown */
            say(lab, NO_INDEX,
                &(struct operator_order){
                    .word = OPERATOR_APPROVE, .incident = id, .plan = plan, .remedy = REMEDY_NONE});
            return;
        }
    }
}

static void people(struct lab *lab)
{
    const struct control *control = core_control(lab->core);
    struct operator_order order = {.remedy = REMEDY_NONE};
    if (control->paused ? chance(lab, 20) : chance(lab, 1)) {
        order.word = control->paused ? OPERATOR_RESUME : OPERATOR_PAUSE;
        say(lab, NO_INDEX, &order);
    }
    if (control->breaker_open && chance(lab, 15)) {
        order.word = OPERATOR_RESET;
        say(lab, NO_INDEX, &order);
    }
    if (chance(lab, 2)) {
        order.word = OPERATOR_MAINTAIN;
        order.maintain_ns = (duration)draw(lab, 30) * SECOND;
        say(lab, (uint32_t)draw(lab, lab->nodes), &order);
    }
    if (chance(lab, 15)) {
        approve_something(lab);
    }
    if (chance(lab, 5)) {
        order.word = OPERATOR_ACKNOWLEDGE;
        order.incident = draw(lab, lab->kept.newest_incident + 2);
        say(lab, NO_INDEX, &order);
    }
}

static void plan_something(struct lab *lab)
{
    if (lab->asked != 0 && chance(lab, 150)) {
        struct event event = {.kind = EVENT_PROPOSAL, .node = NO_INDEX};
        event.of.proposal =
            (struct proposal){.incident = lab->asked, .remedy = (uint8_t)draw(lab, REMEDY_COUNT)};
        lab->asked = 0;
        happens(lab, &event);
    }
}

static void accidents(struct lab *lab)
{
    if (chance(lab, 2)) {
        crash(lab, chance(lab, 500) ? 0 : (duration)draw(lab, 20) * SECOND);
    } else if (chance(lab, 1)) {
        duration lost = SECOND + (duration)draw(lab, 20) * SECOND;
        lab->now += lost;
        struct event event = {.kind = EVENT_GAP, .node = NO_INDEX, .of.gap.length_ns = lost};
        step(lab, &event);
    } else if (chance(lab, 3)) {
        load_policy(lab, &policies()[draw(lab, POLICIES)]);
    }
}

/* --- a run ---------------------------------------------------------------------------------------------- */

static void tick(struct lab *lab)
{
    lab->now += TICK;
    if (lab->back_at != INSTANT_NONE && lab->now >= lab->back_at) {
        come_back(lab);
    }
    bool up = lab->back_at == INSTANT_NONE;
    if (up) {
        run_deadlines(lab);
    }
    for (uint32_t n = 0; n < lab->nodes; n++) {
        if (lab->now / TICK % 10 == n % 10) {
            live(lab, n);
            report(lab, n);
        }
        answer(lab, n);
        if (up && lab->now / TICK % 10 == 5) {
            come_and_go(lab, n);
        }
    }
    if (up && lab->now >= lab->commit_at) {
        commit(lab);
        lab->commit_at = lab->now + (duration)draw(lab, 4) * TICK;
    }
    if (up && !lab->healed) {
        people(lab);
        plan_something(lab);
        accidents(lab);
    }
}

/* Everybody is well, every switch is where it was, and nothing more happens. */
static void heal(struct lab *lab)
{
    if (lab->back_at != INSTANT_NONE) {
        come_back(lab);
    }
    lab->healed = true;
    say(lab, NO_INDEX, &(struct operator_order){.word = OPERATOR_RESUME, .remedy = REMEDY_NONE});
    say(lab, NO_INDEX, &(struct operator_order){.word = OPERATOR_RESET, .remedy = REMEDY_NONE});
    for (uint32_t n = 0; n < lab->nodes; n++) {
        say(lab, n, &(struct operator_order){.word = OPERATOR_MAINTAIN, .remedy = REMEDY_NONE});
    }
    load_policy(lab, &policies()[1]);
    if (chance(lab, 300)) { /* one is never heard of again, and nothing may wait for it */
        lab->node[0].quiet_until = INSTANT_NEVER;
    }
}

static void begin(struct lab *lab, uint64_t seed)
{
    lab->random = seed * 0x9e3779b97f4a7c15u | 1;
    lab->now = SECOND;
    lab->back_at = INSTANT_NONE;
    lab->kept.control = (struct control){.epoch = 1, .next_incident = 1, .next_command = 1};
    lab->nodes = 3 + (uint32_t)draw(lab, NODES - 2);
    lab->checker = checker_new(NODES);
    CHECK(lab->checker != NULL);
    make_core(lab);
    load_policy(lab, &policies()[draw(lab, 3)]);
    for (uint32_t n = 0; n < lab->nodes; n++) {
        struct hello *h = &lab->node[n].hello;
        snprintf(h->name, sizeof h->name, "node-%u", n);
        h->boot = 1;
        h->interval_ns = chance(lab, 800) ? SECOND : 0;
        h->calls_count = n > 0 && chance(lab, 600);
        h->calls[0] = n > 0 ? (uint32_t)draw(lab, n) : 0;
        lab->node[n].quiet_until = lab->node[n].ill_until = INSTANT_NONE;
        hello(lab, n);
    }
}

struct checker *checked_lab_run(uint64_t seed, uint64_t *digest)
{
    struct lab *lab = calloc(1, sizeof *lab);
    CHECK(lab != NULL);
    begin(lab, seed);
    while (lab->now < FAULTS_NS) {
        tick(lab);
    }
    heal(lab);
    for (instant until = lab->now + HEALED_NS; lab->now < until;) {
        tick(lab);
    }
    commit(lab);
    checker_rest(lab->checker, lab->now, lab->core);
    if (digest != NULL) {
        *digest = core_digest(lab->core);
    }
    struct checker *checker = lab->checker;
    free(lab->core);
    free(lab->gate);
    free(lab);
    return checker;
}

void checked_lab_print(const struct checker *checker, uint64_t seed, FILE *out)
{
    for (uint32_t i = 0; i < checker_count(checker) && i < VIOLATIONS_MAX; i++) {
        const struct violation *v = checker_violation(checker, i);
        fprintf(out, "# seed %llu at %.1f s, node %d: %s: %s\n", (unsigned long long)seed,
                duration_seconds(v->at), v->node == NO_INDEX ? -1 : (int)v->node,
                invariant_name((enum invariant)v->invariant), v->sentence);
    }
}
