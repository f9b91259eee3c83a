/* Effects become rows, events for watchers, counts, and orders. Nothing here decides anything. */
#include "plane/state.h"

#include "base/check.h"
#include "base/crash.h"
#include "base/text.h"
#include "core/trace.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* A row that finds no room: what the core believes and what the store holds have parted. */
static void put(struct plane *plane, int code, bool urgent)
{
    if (code < 0)
        plane_fail(plane, "more waits for the disk than there is memory for");
    else
        plane_rows_put(plane, urgent);
}

static struct node *node_of_effect(struct plane *plane, const struct effect *effect)
{
    return effect->node < plane->roster.count ? plane->roster.nodes[effect->node] : NULL;
}

static const char *name_of(struct plane *plane, uint32_t node)
{
    return node < plane->roster.count ? plane->roster.nodes[node]->name : "";
}

void record_log(struct plane *plane, const char *line)
{
    char at[32];
    if (!plane->log)
        return;
    text_instant(at, plane->now);
    fprintf(plane->log, "%s  %s\n", at, line);
    fflush(plane->log);
}

static void tell(struct plane *plane, const struct told *told)
{
    events_add(&plane->events, plane->commits.batch, told);
    /* Events travel with their batch; one that has no row of its own sends an empty one after it. */
    plane_rows_put(plane, true);
}

/* --- one effect ---------------------------------------------------------------------------------------- */

static void put_timeline(struct plane *plane, const struct effect *effect, uint64_t incident,
                         const char *state, const char *sentence)
{
    bool is_command = effect->kind == EFFECT_ACT || effect->kind == EFFECT_ENDED;
    struct timeline_row row = {.incident = incident,
                               .at = effect->at,
                               .remedy = is_command ? REMEDY_NONE : effect->of.incident.remedy,
                               .verdict = is_command ? VERDICT_NONE : effect->of.incident.verdict};
    text_copy(row.step, sizeof(row.step), trace_step(effect));
    text_copy(row.state, sizeof(row.state), state);
    text_copy(row.text, sizeof(row.text), sentence);
    put(plane, store_put_timeline(plane->commits.writer, &row), true);
}

static void count_move(struct plane *plane, const struct incident *incident, instant at)
{
    if (incident->state == INCIDENT_OPEN && incident->opened_at == at)
        plane->counts.opened++;
    bool closed = incident->state == INCIDENT_RESOLVED || incident->state == INCIDENT_ESCALATED;
    if (closed && incident->closed_at == at && incident->why != WHY_ACKNOWLEDGED)
        plane->counts.closed[incident->state][incident->verdict]++;
}

static void record_move(struct plane *plane, const struct effect *effect, const char *sentence)
{
    const struct incident *incident = &effect->of.incident;
    const char *state = incident_state_name(incident->state);
    put(plane, store_put_incident(plane->commits.writer, incident), true);
    put_timeline(plane, effect, incident->id, state, sentence);
    count_move(plane, incident, effect->at);
    tell(plane, &(struct told){.name = "incident",
                               .at = effect->at,
                               .step = trace_step(effect),
                               .node = name_of(plane, effect->node),
                               .incident = incident->id,
                               .state = state,
                               .text = sentence});
}

/* Why the node agent is asked to do it: the finding, in the words of its first line. */
void record_order_reason(struct plane *plane, struct order *order)
{
    struct text text = text_over(order->reason, sizeof(order->reason));
    const struct incident *incident = core_incident(plane->core, order->command.incident);
    if (!incident)
        return;
    struct effect effect = {.kind = EFFECT_RECORD, .node = incident->node, .of.incident = *incident};
    effect.of.incident.state = INCIDENT_OPEN;
    effect.of.incident.why = WHY_FINDING;
    trace_sentence(&text, plane->core, &effect);
}

static void record_command(struct plane *plane, const struct effect *effect, const char *sentence)
{
    const struct command *command = &effect->of.command;
    struct node *node = node_of_effect(plane, effect);
    CHECK(node);
    struct order *order = node_find_order(node, command->id);
    bool is_new = effect->kind == EFFECT_ACT;
    if (is_new)
        crash_here(CRASH_BEFORE_INTENT);
    if (is_new || !order) {
        order = node_order(node, command);
        record_order_reason(plane, order);
    }
    order->command = *command;
    struct command_row row = {.command = *command, .took_s = order->took_s};
    text_copy(row.detail, sizeof(row.detail), order->detail);
    put(plane, store_put_command(plane->commits.writer, &row), true);

    char full[STORE_TEXT_MAX];
    struct text text = text_over(full, sizeof(full));
    text_add(&text, sentence);
    if (order->detail[0])
        text_addf(&text, ": %s", order->detail);
    if (is_new) {
        plane->counts.ordered[command->remedy]++;
    } else {
        plane->counts.ended[command->remedy][command->outcome]++;
        put_timeline(plane, effect, command->incident, outcome_name(command->outcome), full);
    }
    tell(plane, &(struct told){.name = "command",
                               .at = effect->at,
                               .step = trace_step(effect),
                               .node = node->name,
                               .incident = command->incident,
                               .command = command->id,
                               .state = is_new ? "ordered" : outcome_name(command->outcome),
                               .text = full});
}

static void record_blocked(struct plane *plane, const struct effect *effect, const char *sentence)
{
    const struct incident *incident = &effect->of.incident;
    struct block_row row;
    plane->counts.blocked[incident->block] += tally_add(&plane->tally, incident, &row);
    put(plane, store_put_block(plane->commits.writer, &row), true);
    put(plane, store_put_incident(plane->commits.writer, incident), true);
    if (incident->blocked_count > 1)
        return; /* known already; its row has the count */
    put_timeline(plane, effect, incident->id, incident_state_name(incident->state), sentence);
    tell(plane, &(struct told){.name = "blocked",
                               .at = effect->at,
                               .step = trace_step(effect),
                               .node = name_of(plane, effect->node),
                               .incident = incident->id,
                               .state = block_reason_name(incident->block),
                               .text = sentence});
}

static void record_notify(struct plane *plane, const struct effect *effect, const char *sentence)
{
    plane->counts.notices += effect->kind == EFFECT_NOTIFY;
    tell(plane, &(struct told){.name = "notice",
                               .at = effect->at,
                               .step = trace_step(effect),
                               .node = name_of(plane, effect->node),
                               .incident = effect->of.incident.id,
                               .state = incident_state_name(effect->of.incident.state),
                               .text = sentence});
}

static void record_target(struct plane *plane, const struct effect *effect)
{
    struct target_row row = {.node = effect->node, .target = effect->of.target};
    put(plane, store_put_target(plane->commits.writer, &row), true);
}

static void record_reject(struct plane *plane, const struct effect *effect)
{
    plane->counts.old_reports += effect->reject == REJECT_OLD_REPORT;
    plane->counts.late_reports += effect->reject == REJECT_LATE_REPORT;
    plane->counts.bad_reports += effect->reject == REJECT_BAD_VALUE;
}

static void record_one(struct plane *plane, const struct effect *effect)
{
    char sentence[STORE_TEXT_MAX];
    struct text text = text_over(sentence, sizeof(sentence));
    struct node *node = node_of_effect(plane, effect);
    if (effect->kind == EFFECT_REJECT) {
        record_reject(plane, effect);
        return;
    }
    trace_sentence(&text, plane->core, effect);
    if (node)
        node->ticket = plane->commits.batch;
    switch ((enum effect_kind)effect->kind) {
    case EFFECT_RECORD:
        record_move(plane, effect, sentence);
        break;
    case EFFECT_ACT:
    case EFFECT_ENDED:
        record_command(plane, effect, sentence);
        break;
    case EFFECT_BLOCKED:
        record_blocked(plane, effect, sentence);
        break;
    case EFFECT_CONTROL: /* its row goes along with every batch */
        tell(plane, &(struct told){.name = "control", .at = effect->at, .step = "CONTROL", .text = sentence});
        break;
    case EFFECT_TARGET:
        record_target(plane, effect);
        break;
    case EFFECT_ASK:
    case EFFECT_NOTIFY:
        record_notify(plane, effect, sentence);
        break;
    case EFFECT_REJECT:
    case EFFECT_COUNT:
    default:
        break;
    }
}

void record_effects(struct plane *plane)
{
    for (uint32_t i = 0; i < plane->effects.count && plane->condition == CONDITION_READY; i++) {
        const struct effect *effect = &plane->effects.list[i];
        record_one(plane, effect);
        if (effect->node < plane->roster.count)
            record_health(plane, plane->roster.nodes[effect->node]);
    }
}

void record_release(struct plane *plane, const struct effect *effect)
{
    if (effect->kind == EFFECT_ACT) {
        crash_here(CRASH_AFTER_INTENT);
        struct order *order =
            node_find_order(roster_node(&plane->roster, effect->node), effect->of.command.id);
        if (order)
            order->visible = true;
        wait_command(plane, effect->node);
    } else if (effect->kind == EFFECT_NOTIFY) {
        char line[STORE_TEXT_MAX];
        struct text text = text_over(line, sizeof(line));
        trace_line(&text, plane->core, effect);
        record_log(plane, line);
    }
}

/* --- what is not the core's ---------------------------------------------------------------------------- */

void record_node(struct plane *plane, struct node *node)
{
    struct node_row row;
    roster_row(&plane->roster, node, &row);
    put(plane, store_put_node(plane->commits.writer, &row), false);
    node->changed = false;
    plane->book_ticket = plane->commits.batch;
}

void record_fault(struct plane *plane, const struct fault_row *row, const char *text)
{
    put(plane, store_put_fault(plane->commits.writer, row), true);
    plane->book_ticket = plane->commits.batch;
    char sentence[STORE_TEXT_MAX + 64];
    struct text line = text_over(sentence, sizeof(sentence));
    text_addf(&line, "%s %s", fault_kind_name(row->kind), text);
    tell(plane, &(struct told){.name = "fault",
                               .at = plane->now,
                               .step = "FAULT",
                               .node = name_of(plane, row->node),
                               .fault = row->id,
                               .state = shape_fault_state(row->state),
                               .text = sentence});
}

void record_notice(struct plane *plane, const char *step, const char *text)
{
    tell(plane, &(struct told){.name = "notice", .at = plane->now, .step = step, .text = text});
}

/* `news`: how many of its reports nobody knew to be lost. */
void record_gap(struct plane *plane, const struct node *node, const struct gap_row *row, uint64_t news)
{
    put(plane, store_put_gap(plane->commits.writer, row), false);
    if (news == 0)
        return;
    uint64_t room = UINT64_MAX - plane->counts.lost_reports;
    plane->counts.lost_reports += news < room ? news : room;
    char sentence[160];
    struct text text = text_over(sentence, sizeof(sentence));
    text_addf(&text, "%" PRIu64 " %s lost for good, numbers %" PRIu64 " to %" PRIu64 ": %s", news,
              news == 1 ? "report is" : "reports are", row->first, row->last,
              row->reason == GAP_SPOOL_FULL ? "the node agent's spool was full" : "its spool was damaged");
    tell(plane, &(struct told){.name = "notice",
                               .at = plane->now,
                               .step = "GAP",
                               .node = node->name,
                               .state = gap_reason_name(row->reason),
                               .text = sentence});
}

void record_health(struct plane *plane, struct node *node)
{
    enum health health = core_node_health(plane->core, node->number);
    if (health == node->last_health)
        return;
    node->last_health = (uint8_t)health;
    tell(plane, &(struct told){.name = "node",
                               .at = plane->now,
                               .step = "NODE",
                               .node = node->name,
                               .state = health_name(health),
                               .text = health_name(health)});
}
