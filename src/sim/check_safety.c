/* Safety: legal edges, durable before visible, one effect, honest verdicts, counted blocks, and what a crash
 * must leave as it was. What is asked of an order stands in check_order.c. */
#include "sim/check_state.h"

#include <string.h>

typedef unsigned long long id;

/* --- records -------------------------------------------------------------------------------------------- */

static void check_new(struct checker *checker, const struct effect *effect)
{
    const struct incident *incident = &effect->of.incident;
    const struct shelf *shelf = &checker->incidents;
    uint64_t newest = 0;
    if (shelf->count > 0) {
        memcpy(&newest, shelf_row(shelf, shelf->count - 1), sizeof newest);
    }
    if (incident->state != INCIDENT_OPEN || incident->id <= newest) {
        violation_add(checker, effect->at, incident->node, INVARIANT_S2,
                      "incident %llu begins as %s after incident %llu", (id)incident->id,
                      incident_state_name(incident->state), (id)newest);
    }
}

static void check_move(struct checker *checker, const struct effect *effect,
                       const struct incident_book *before)
{
    const struct incident *incident = &effect->of.incident;
    enum incident_state from = (enum incident_state)before->state, to = (enum incident_state)incident->state;
    if (from != to && !incident_edge_is_legal(from, to)) {
        violation_add(checker, effect->at, incident->node, INVARIANT_S2, "incident %llu went from %s to %s",
                      (id)incident->id, incident_state_name(from), incident_state_name(to));
    }
    if (incident->node != before->node || incident->attempts < before->attempts ||
        incident->attempts > before->attempts + 1 || incident->reopened < before->reopened) {
        violation_add(checker, effect->at, incident->node, INVARIANT_S2,
                      "incident %llu went from %u to %u attempts, from node %u to node %u", (id)incident->id,
                      before->attempts, incident->attempts, before->node, incident->node);
    }
}

static void check_verdict(struct checker *checker, const struct effect *effect,
                          const struct incident_book *before)
{
    const struct incident *incident = &effect->of.incident;
    uint8_t was = before == NULL ? VERDICT_NONE : before->verdict;
    const struct node_book *node = books_node(checker, incident->node);
    if (incident->verdict == was || incident->verdict == VERDICT_NONE) {
        return;
    }
    checker->seen.verdicts[incident->verdict]++;
    if (incident->verdict != VERDICT_EFFECTIVE) {
        return;
    }
    uint32_t fresh = node == NULL ? 0 : node->fresh;
    if (before == NULL || before->state != INCIDENT_VERIFYING || incident->outcome != OUTCOME_DONE ||
        incident->fresh_samples < 3 || fresh < 3) {
        violation_add(
            checker, effect->at, incident->node, INVARIANT_S11,
            "incident %llu is called effective with outcome %s, %u fresh samples as the core counts "
            "and %u reports since",
            (id)incident->id, outcome_name(incident->outcome), incident->fresh_samples, fresh);
    }
}

/* A reason is told with its count, which rises; then the next one. What ends it may be the move of the same
 * step. */
void safety_blocked(struct checker *checker, const struct effect *effect, const struct incident_book *before)
{
    const struct incident *incident = &effect->of.incident;
    bool same = before->block == incident->block && before->blocked_at == incident->blocked_at;
    bool stands = incident->state == INCIDENT_OPEN || incident->state == INCIDENT_PLANNED;
    bool counts = incident->blocked_count > 0 && incident->blocked_last_at >= incident->blocked_at &&
                  (same ? incident->blocked_count > before->blocked_count
                        : incident->blocked_count == 1 && incident->blocked_at == effect->at);
    /* A new life counts from one again, under the reason that was told before. */
    bool resumed = before->block == incident->block && before->blocked_count == 0;
    if (incident->block == BLOCK_NONE || incident->block >= BLOCK_REASON_COUNT ||
        (before->id != 0 && !stands && incident->state == before->state) || !(counts || resumed)) {
        violation_add(checker, effect->at, incident->node, INVARIANT_S12,
                      "incident %llu, %s: stopped by %s, count %u after %u", (id)incident->id,
                      incident_state_name(incident->state),
                      incident->block < BLOCK_REASON_COUNT ? block_reason_name(incident->block)
                                                           : "nothing known",
                      incident->blocked_count, before->blocked_count);
        return;
    }
    uint32_t told = same && before->blocked_count < incident->blocked_count ? before->blocked_count : 0;
    checker->seen.blocks[incident->block] += incident->blocked_count - told;
    excuse_check(checker, effect, before);
}

void safety_record(struct checker *checker, const struct effect *effect)
{
    const struct incident *incident = &effect->of.incident;
    const struct incident_book *before = shelf_find(&checker->incidents, incident->id);
    if (incident->state >= INCIDENT_STATE_COUNT || incident->verdict >= VERDICT_COUNT ||
        incident->outcome >= OUTCOME_COUNT) {
        violation_add(checker, effect->at, incident->node, INVARIANT_S2, "incident %llu is in no known state",
                      (id)incident->id);
        return;
    }
    if (before == NULL) {
        check_new(checker, effect);
    } else {
        check_move(checker, effect, before);
    }
    check_verdict(checker, effect, before);
    if (effect->kind == EFFECT_BLOCKED) {
        static const struct incident_book nothing;
        safety_blocked(checker, effect, before == NULL ? &nothing : before);
        return;
    }
    if (incident->state == INCIDENT_ACTING && incident->block != BLOCK_NONE) {
        violation_add(checker, effect->at, incident->node, INVARIANT_S12,
                      "incident %llu acts while it is stopped by %s", (id)incident->id,
                      block_reason_name(incident->block));
    }
}

/* --- commands ------------------------------------------------------------------------------------------- */

void safety_act(struct checker *checker, const struct effect *effect)
{
    const struct command *command = &effect->of.command;
    struct incident_book *incident = shelf_find(&checker->incidents, command->incident);
    const struct shelf *shelf = &checker->commands;
    uint64_t newest = 0;
    if (shelf->count > 0) {
        memcpy(&newest, shelf_row(shelf, shelf->count - 1), sizeof newest);
    }
    if (command->id <= newest || command->id >> 32 != command->epoch || command->epoch < checker->epoch) {
        violation_add(checker, effect->at, command->node, INVARIANT_S2,
                      "command %llu of epoch %llu comes after command %llu of epoch %llu", (id)command->id,
                      (id)command->epoch, (id)newest, (id)checker->epoch);
    }
    checker->epoch = command->epoch > checker->epoch ? command->epoch : checker->epoch;
    checker->seen.remedies[command->remedy]++;
    if (incident == NULL || incident->state != INCIDENT_ACTING || incident->command != command->id ||
        incident->node != command->node || incident->attempts != command->attempt) {
        violation_add(checker, effect->at, command->node, INVARIANT_S2,
                      "command %llu, attempt %u, is not that of incident %llu", (id)command->id,
                      command->attempt, (id)command->incident);
        return;
    }
    order_check(checker, command, incident);
}

/* When samples begin to count: after the end and the settling time of the rung that was tried. */
static instant fresh_from(const struct checker *checker, const struct incident_book *incident, instant at)
{
    for (uint32_t i = 0; i < checker->policy.detector_count; i++) {
        const struct detector *d = &checker->policy.detectors[i];
        if (strncmp(d->name, incident->detector_name, DETECTOR_NAME_SIZE) == 0 &&
            incident->rung < d->ladder_count) {
            return at + d->ladder[incident->rung].settle_ns;
        }
    }
    return at;
}

void safety_ended(struct checker *checker, const struct effect *effect)
{
    const struct command *command = &effect->of.command;
    const struct command_book *before = shelf_find(&checker->commands, command->id);
    const struct incident_book *incident = shelf_find(&checker->incidents, command->incident);
    struct node_book *node = books_node(checker, command->node);
    bool awaited = before != NULL && (before->outcome == OUTCOME_NONE || before->outcome == OUTCOME_UNKNOWN);
    if (!awaited || command->outcome == OUTCOME_NONE || command->outcome >= OUTCOME_COUNT ||
        (before->outcome == OUTCOME_UNKNOWN && command->outcome == OUTCOME_UNKNOWN) ||
        command->remedy != before->remedy || command->node != before->node ||
        command->ended_at < before->ordered_at) {
        violation_add(checker, effect->at, command->node, INVARIANT_S2,
                      "command %llu, %s, ends with outcome %u", (id)command->id,
                      before == NULL ? "which nobody ordered" : outcome_name(before->outcome),
                      command->outcome);
        return;
    }
    checker->seen.outcomes[command->outcome]++;
    if (node == NULL) {
        return;
    }
    node->fresh = 0;
    node->fresh_from = incident == NULL ? effect->at : fresh_from(checker, incident, effect->at);
    if (step_tells_not_begun(checker) && !before->by_person && node->kept.streak > 0) {
        node->kept.streak--;
        books_changed(checker, command->node);
    }
}

void safety_control(struct checker *checker, const struct effect *effect)
{
    const struct control *control = &effect->of.control;
    const struct control_book *book = &checker->control;
    if (control->next_incident < book->next_incident || control->next_command < book->next_command ||
        control->epoch < checker->epoch) {
        violation_add(checker, effect->at, NO_INDEX, INVARIANT_S2,
                      "numbers go back: incident %llu, command %llu, epoch %llu", (id)control->next_incident,
                      (id)control->next_command, (id)control->epoch);
    }
    if (book->breaker_open && !control->breaker_open) {
        violation_add(checker, effect->at, NO_INDEX, INVARIANT_S7,
                      "the breaker closes, and no person has reset it");
    }
    if (book->paused != control->paused) {
        violation_add(checker, effect->at, NO_INDEX, INVARIANT_S8,
                      "automation is %s, against the word of a person",
                      control->paused ? "paused" : "resumed");
    }
}

/* --- in the world --------------------------------------------------------------------------------------- */

void checker_delivered(struct checker *checker, instant at, const struct command *command)
{
    struct node_book *node = books_node(checker, command->node);
    if (shelf_find(&checker->durable_commands, command->id) == NULL) {
        violation_add(checker, at, command->node, INVARIANT_S3,
                      "command %llu is seen by its node agent, and no intent of it is durable",
                      (id)command->id);
    }
    if (node != NULL && command->epoch > node->epoch_seen) {
        node->epoch_seen = command->epoch;
    }
}

void checker_world_effect(struct checker *checker, instant at, const struct command *command)
{
    const struct node_book *node = books_node(checker, command->node);
    struct command_book *durable = shelf_find(&checker->durable_commands, command->id);
    struct command_book *now = shelf_find(&checker->commands, command->id);
    if (durable == NULL) {
        violation_add(checker, at, command->node, INVARIANT_S3,
                      "command %llu is carried out, and no intent of it is durable", (id)command->id);
        return;
    }
    durable->effects++;
    if (now != NULL) {
        now->effects = durable->effects;
    }
    if (durable->effects > 1) {
        violation_add(checker, at, command->node, INVARIANT_S4, "command %llu is carried out %u times",
                      (id)command->id, durable->effects);
    }
    if (at > durable->expires_at) {
        violation_add(checker, at, command->node, INVARIANT_S8,
                      "command %llu is carried out %.1f s after its expiry", (id)command->id,
                      duration_seconds(at - durable->expires_at));
    }
    if (node != NULL && durable->epoch < node->epoch_seen) {
        violation_add(checker, at, command->node, INVARIANT_S9,
                      "command %llu of epoch %llu is carried out by a node agent that has seen epoch %llu",
                      (id)command->id, (id)durable->epoch, (id)node->epoch_seen);
    }
}

/* --- after a crash -------------------------------------------------------------------------------------- */

static void check_restored_incident(struct checker *checker, instant at, const struct core *core,
                                    const struct incident_book *book)
{
    /* What people have and nobody watches any more may be forgotten; so may what is resolved. */
    bool kept =
        state_is_active(book->state) || (book->state == INCIDENT_ESCALATED && book->why != WHY_UNWATCHED);
    const struct incident *now = core_incident(core, book->id);
    if (now == NULL) {
        if (kept) {
            violation_add(checker, at, book->node, INVARIANT_S1, "incident %llu, %s, is lost", (id)book->id,
                          incident_state_name(book->state));
        }
        return;
    }
    if (now->state != book->state || now->attempts != book->attempts || now->node != book->node ||
        now->command != book->command || now->rung != book->rung || now->plan != book->plan ||
        now->reopened != book->reopened || now->outcome != book->outcome || now->verdict != book->verdict ||
        now->remedy != book->remedy || now->approved != book->approved || now->opened_at != book->opened_at ||
        now->acknowledged != book->acknowledged) {
        violation_add(checker, at, book->node, INVARIANT_S1,
                      "incident %llu was %s with %u attempts, plan %u, outcome %s, and is %s with %u, %u, %s",
                      (id)book->id, incident_state_name(book->state), book->attempts, book->plan,
                      outcome_name(book->outcome), incident_state_name(now->state), now->attempts, now->plan,
                      outcome_name(now->outcome));
    }
}

static void check_restored_control(struct checker *checker, instant at, const struct core *core)
{
    const struct control *control = core_control(core);
    const struct control_book *book = &checker->control;
    if (checker->has_lived &&
        (control->epoch <= checker->epoch || control->next_incident < book->next_incident ||
         control->next_command < book->next_command)) {
        violation_add(checker, at, NO_INDEX, INVARIANT_S1,
                      "epoch %llu after %llu, next incident %llu, once %llu, next command %llu, once %llu",
                      (id)control->epoch, (id)checker->epoch, (id)control->next_incident,
                      (id)book->next_incident, (id)control->next_command, (id)book->next_command);
    }
    if (control->paused != book->paused || control->breaker_open != book->breaker_open ||
        control->forgiven != book->forgiven) {
        violation_add(checker, at, NO_INDEX, INVARIANT_S1,
                      "paused, breaker and forgiven were %u, %u and %u, and are %u, %u and %u", book->paused,
                      book->breaker_open, book->forgiven, control->paused, control->breaker_open,
                      control->forgiven);
    }
    checker->epoch = control->epoch > checker->epoch ? control->epoch : checker->epoch;
}

void checker_restored(struct checker *checker, instant at, const struct core *core)
{
    check_restored_control(checker, at, core);
    for (uint32_t i = 0; i < checker->incidents.count; i++) {
        check_restored_incident(checker, at, core, shelf_row(&checker->incidents, i));
    }
    for (uint32_t n = 0; n < checker->nodes && checker->has_lived; n++) {
        const struct target *target = core_target(core, n);
        instant until = checker->node[n].kept.maintained_until;
        if (target != NULL && target->maintained_until != until) {
            violation_add(checker, at, n, INVARIANT_S1, "a person's word of maintenance is lost, or made up");
        }
    }
    if (checker->crashed_at != INSTANT_NONE && at - checker->crashed_at > CHECKER_BACK_NS) {
        violation_add(checker, at, NO_INDEX, INVARIANT_L4, "the control plane was away for %.0f s",
                      duration_seconds(at - checker->crashed_at));
    }
    checker->crashed_at = INSTANT_NONE;
    excuse_note_restart(checker, at);
}
