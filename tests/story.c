#include "story.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "core/trace.h"
#include "policy/policy_file.h"

static void read_policy(struct policy *policy, const char *yaml)
{
    struct complaints complaints;
    int failed = policy_read(yaml, strlen(yaml), policy, &complaints);
    if (failed != 0) {
        char line[512];
        struct text text = text_over(line, sizeof line);
        complaint_print(&text, &complaints.list[0], "policy");
        fail_msg("the story's policy does not read: %s", line);
    }
}

/* --- what a control plane would have stored ------------------------------------------------------------- */

enum { KEPT_INCIDENTS = 64, KEPT_COMMANDS = 2048, KEPT_NODES = 64 };

struct story_store {
    struct control control;
    struct hello hello[KEPT_NODES];
    struct target target[KEPT_NODES];
    bool has_target[KEPT_NODES];
    struct incident incident[KEPT_INCIDENTS]; /* by id */
    struct command command[KEPT_COMMANDS];    /* in the order of their ids */
    uint32_t commands;
    uint32_t blocked[BLOCK_REASON_COUNT];
};

static void keep_command(struct story_store *kept, const struct command *command)
{
    for (uint32_t i = 0; i < kept->commands; i++) {
        if (kept->command[i].id == command->id) {
            kept->command[i] = *command;
            return;
        }
    }
    assert_true(kept->commands < KEPT_COMMANDS);
    kept->command[kept->commands++] = *command;
}

static void keep(struct story_store *kept, const struct effect *e)
{
    switch ((enum effect_kind)e->kind) {
    case EFFECT_BLOCKED:
        kept->blocked[e->of.incident.block] += e->of.incident.blocked_count == 1;
        /* fall through */
    case EFFECT_RECORD:
        kept->incident[e->of.incident.id % KEPT_INCIDENTS] = e->of.incident;
        break;
    case EFFECT_ACT:
    case EFFECT_ENDED:
        keep_command(kept, &e->of.command);
        break;
    case EFFECT_CONTROL:
        kept->control = e->of.control;
        break;
    case EFFECT_TARGET:
        assert_true(e->node < KEPT_NODES);
        kept->target[e->node] = e->of.target;
        kept->has_target[e->node] = true;
        break;
    default:
        break;
    }
}

uint32_t story_blocked(const struct story *s, enum block_reason reason)
{
    return s->kept->blocked[reason];
}

/* --- the trace ------------------------------------------------------------------------------------------ */

static void note(struct story *s, const struct effect *e)
{
    keep(s->kept, e);
    bool quiet = e->kind == EFFECT_CONTROL || e->kind == EFFECT_TARGET || e->kind == EFFECT_BLOCKED ||
                 e->kind == EFFECT_ACT || e->kind == EFFECT_NOTIFY;
    if (e->kind == EFFECT_ACT) {
        s->command = e->of.command.id;
        s->commands++;
    }
    if (quiet && !s->verbose) {
        return;
    }
    char line[512];
    struct text text = text_over(line, sizeof line);
    text_addf(&text, "%.1f ", duration_seconds(e->at));
    trace_line(&text, s->core, e);
    s->length += (size_t)snprintf(s->log + s->length, sizeof s->log - s->length, "%s\n", line);
    assert_true(s->length < sizeof s->log);
}

static void step(struct story *s, const struct event *event)
{
    struct effects effects;
    core_step(s->core, event, &effects);
    for (uint32_t i = 0; i < effects.count; i++) {
        note(s, &effects.list[i]);
    }
}

static void run_deadlines(struct story *s, instant until)
{
    for (int rounds = 0; core_deadline(s->core) <= until; rounds++) {
        instant due = core_deadline(s->core);
        struct event event;
        memset(&event, 0, sizeof event);
        event.kind = EVENT_DEADLINE;
        event.at = due > s->now ? due : s->now;
        s->now = event.at;
        step(s, &event);
        assert_true(rounds < 100000); /* the core must come to rest */
    }
}

void story_event(struct story *s, double at, struct event *event)
{
    instant when = duration_from_seconds(at);
    run_deadlines(s, when - 1);
    event->at = when > s->now ? when : s->now;
    s->now = event->at;
    step(s, event);
    run_deadlines(s, s->now);
}

struct story *story_new_sized(const char *policy_yaml, uint32_t nodes, uint32_t incidents)
{
    struct story *s = calloc(1, sizeof *s);
    assert_non_null(s);
    s->config = (struct core_config){.node_capacity = nodes, .incident_capacity = incidents};
    s->kept = calloc(1, sizeof *s->kept);
    assert_non_null(s->kept);
    s->kept->control = (struct control){.epoch = 1, .next_incident = 1, .next_command = 1};
    s->core = core_init(calloc(1, core_size(&s->config)), &s->config);
    story_policy(s, 0, policy_yaml);
    return s;
}

struct story *story_new(const char *policy_yaml)
{
    return story_new_sized(policy_yaml, 16, 16);
}

void story_free(struct story **story)
{
    free((*story)->core);
    free((*story)->kept);
    free(*story);
    *story = NULL;
}

void story_policy(struct story *s, double at, const char *policy_yaml)
{
    struct event event = {.kind = EVENT_POLICY};
    read_policy(&s->policy, policy_yaml);
    event.of.policy = &s->policy;
    story_event(s, at, &event);
}

static uint32_t node_named(const struct story *s, const char *name)
{
    for (uint32_t n = 0; n < s->nodes; n++) {
        if (strcmp(core_node_name(s->core, n), name) == 0) {
            return n;
        }
    }
    fail_msg("no node %s in this story", name);
    return 0;
}

uint32_t story_join(struct story *s, double at, const char *name, const char *calls)
{
    struct event event;
    memset(&event, 0, sizeof event);
    event.kind = EVENT_HELLO;
    event.node = s->nodes;
    event.of.hello.interval_ns = SECOND;
    event.of.hello.boot = 7;
    text_copy(event.of.hello.name, sizeof event.of.hello.name, name);
    char list[256] = "";
    text_copy(list, sizeof list, calls == NULL ? "" : calls);
    for (char *rest = list, *one; (one = strtok_r(rest, " ", &rest)) != NULL;) {
        event.of.hello.calls[event.of.hello.calls_count++] = node_named(s, one);
    }
    assert_true(s->nodes < KEPT_NODES);
    s->kept->hello[s->nodes++] = event.of.hello;
    story_event(s, at, &event);
    return event.node;
}

static void fill_samples(struct report *report, const char *samples)
{
    char list[256];
    text_copy(list, sizeof list, samples);
    for (char *rest = list, *one; (one = strtok_r(rest, " ", &rest)) != NULL;) {
        char *equals = strchr(one, '=');
        assert_non_null(equals);
        *equals = '\0';
        bool found = false;
        for (unsigned m = 0; m < METRIC_COUNT; m++) {
            if (strcmp(metric_infos[m].short_name, one) == 0) {
                report->present |= 1u << m;
                report->value[m] = strtod(equals + 1, NULL);
                found = true;
            }
        }
        assert_true(found);
    }
}

void story_report(struct story *s, double at, uint32_t node, const char *samples)
{
    struct event event;
    memset(&event, 0, sizeof event);
    event.kind = EVENT_REPORT;
    event.node = node;
    event.of.report.boot = 7;
    event.of.report.sequence = ++s->sequence[node];
    fill_samples(&event.of.report, samples);
    story_event(s, at, &event);
}

void story_reports(struct story *s, double from, double to, uint32_t node, const char *samples)
{
    for (double at = from; at <= to; at += 1) {
        story_report(s, at, node, samples);
    }
}

void story_wait(struct story *s, double until)
{
    run_deadlines(s, duration_from_seconds(until));
}

void story_end(struct story *s, double at, uint32_t node, enum outcome outcome, bool began)
{
    struct event event;
    memset(&event, 0, sizeof event);
    event.kind = EVENT_COMMAND_END;
    event.node = node;
    event.of.command_end.command = s->command;
    event.of.command_end.outcome = (uint8_t)outcome;
    event.of.command_end.began = began;
    story_event(s, at, &event);
}

void story_say(struct story *s, double at, enum operator_word word, uint64_t incident, enum remedy remedy)
{
    struct event event;
    memset(&event, 0, sizeof event);
    event.kind = EVENT_OPERATOR;
    event.node = NO_INDEX;
    event.of.operator_order.word = (uint8_t)word;
    event.of.operator_order.incident = incident;
    event.of.operator_order.remedy = (uint8_t)remedy;
    const struct incident *shown = core_incident(s->core, incident);
    event.of.operator_order.plan = shown == NULL ? 0 : shown->plan;
    story_event(s, at, &event);
}

void story_approve(struct story *s, double at, uint64_t incident, uint32_t plan)
{
    struct event event = {.kind = EVENT_OPERATOR, .node = NO_INDEX};
    event.of.operator_order = (struct operator_order){
        .word = OPERATOR_APPROVE, .incident = incident, .plan = plan, .remedy = REMEDY_NONE};
    story_event(s, at, &event);
}

void story_maintain(struct story *s, double at, uint32_t node, double seconds)
{
    struct event event = {.kind = EVENT_OPERATOR, .node = node};
    event.of.operator_order = (struct operator_order){
        .word = OPERATOR_MAINTAIN, .remedy = REMEDY_NONE, .maintain_ns = duration_from_seconds(seconds)};
    story_event(s, at, &event);
}

/* --- a new core from what was kept ---------------------------------------------------------------------- */

static void restore(struct story *s, uint32_t node, const struct restore *what)
{
    struct event event = {.kind = EVENT_RESTORE, .at = s->now, .node = node};
    event.of.restore = *what;
    step(s, &event);
}

static void restore_all(struct story *s, const struct story_store *kept)
{
    struct control control = kept->control;
    control.epoch++;
    restore(s, NO_INDEX, &(struct restore){.kind = RESTORE_CONTROL, .what.control = control});
    for (uint32_t n = 0; n < s->nodes; n++) {
        struct event event = {.kind = EVENT_HELLO, .at = s->now, .node = n, .of.hello = kept->hello[n]};
        step(s, &event);
    }
    for (uint32_t n = 0; n < s->nodes; n++) {
        if (kept->has_target[n]) {
            restore(s, n, &(struct restore){.kind = RESTORE_TARGET, .what.target = kept->target[n]});
        }
    }
    for (uint32_t i = 0; i < KEPT_INCIDENTS; i++) {
        const struct incident *incident = &kept->incident[i];
        if (incident->id != 0) {
            restore(s, incident->node,
                    &(struct restore){.kind = RESTORE_INCIDENT, .what.incident = *incident});
        }
    }
    for (uint32_t i = 0; i < kept->commands; i++) {
        const struct command *c = &kept->command[i];
        restore(s, c->node,
                &(struct restore){.kind = RESTORE_ACTION, .what.action = core_restored_action(c)});
    }
}

void story_restart(struct story *s, double at)
{
    story_wait(s, at);
    instant when = duration_from_seconds(at);
    s->now = when > s->now ? when : s->now;
    struct story_store *kept = malloc(sizeof *kept);
    assert_non_null(kept);
    *kept = *s->kept;
    free(s->core);
    s->core = core_init(calloc(1, core_size(&s->config)), &s->config);
    struct event event = {.kind = EVENT_POLICY, .at = s->now, .of.policy = &s->policy};
    step(s, &event);
    restore_all(s, kept);
    free(kept);
    run_deadlines(s, s->now);
}

void story_forget(struct story *s)
{
    s->length = 0;
    s->log[0] = '\0';
}

void story_expect_at(struct story *s, const char *expected, const char *file, int line)
{
    if (strcmp(s->log, expected) != 0) {
        print_error("the trace was\n%s--- but the story says\n%s---\n", s->log, expected);
        _fail(file, line);
    }
    story_forget(s);
}

void story_saw_at(struct story *s, const char *piece, bool wanted, const char *file, int line)
{
    if ((strstr(s->log, piece) != NULL) != wanted) {
        print_error("the trace was\n%s--- and should%s have \"%s\"\n", s->log, wanted ? "" : " not", piece);
        _fail(file, line);
    }
}
