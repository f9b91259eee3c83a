/* The checkers: what comes in, and the books that are kept of it. */
#include "sim/check_state.h"

#include "base/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- names ---------------------------------------------------------------------------------------------- */

const char *invariant_name(enum invariant invariant)
{
#define X(symbol, name, sentence) name,
    static const char *const names[INVARIANT_COUNT] = {INVARIANT_TABLE(X)};
#undef X
    CHECK((unsigned)invariant < INVARIANT_COUNT);
    return names[invariant];
}

const char *invariant_sentence(enum invariant invariant)
{
#define X(symbol, name, sentence) sentence,
    static const char *const sentences[INVARIANT_COUNT] = {INVARIANT_TABLE(X)};
#undef X
    CHECK((unsigned)invariant < INVARIANT_COUNT);
    return sentences[invariant];
}

bool invariant_is_safety(enum invariant invariant)
{
    return invariant <= INVARIANT_S12;
}

void violation_add(struct checker *checker, instant at, uint32_t node, enum invariant invariant,
                   const char *format, ...)
{
    if (checker->violations < VIOLATIONS_MAX) {
        struct violation *violation = &checker->violation[checker->violations];
        *violation = (struct violation){.at = at, .node = node, .invariant = (uint8_t)invariant};
        va_list list;
        va_start(list, format);
        vsnprintf(violation->sentence, sizeof violation->sentence, format, list);
        va_end(list);
    }
    checker->violations++;
}

uint32_t checker_count(const struct checker *checker)
{
    return checker->violations;
}

const struct violation *checker_violation(const struct checker *checker, uint32_t number)
{
    CHECK(number < checker->violations && number < VIOLATIONS_MAX);
    return &checker->violation[number];
}

void checker_seen(const struct checker *checker, struct checker_seen *seen)
{
    *seen = checker->seen;
}

/* --- life ----------------------------------------------------------------------------------------------- */

static void kept_init(struct node_kept *kept)
{
    *kept = (struct node_kept){.maintained_until = INSTANT_NONE, .ended_at = INSTANT_NONE};
    for (uint32_t i = 0; i <= ATTEMPTS_MAX; i++) {
        kept->acted_at[i] = INSTANT_NONE;
    }
}

struct checker *checker_new(uint32_t nodes)
{
    struct checker *checker = calloc(1, sizeof *checker);
    struct node_book *books = calloc(nodes, sizeof *books);
    if (checker == NULL || books == NULL) {
        free(checker);
        free(books);
        return NULL;
    }
    checker->nodes = nodes;
    checker->node = books;
    checker->incidents.row_size = checker->durable_incidents.row_size = sizeof(struct incident_book);
    checker->commands.row_size = checker->durable_commands.row_size = sizeof(struct command_book);
    checker->control = (struct control_book){.next_incident = 1, .next_command = 1};
    checker->durable_control = checker->control;
    checker->away_until = checker->policy_at = checker->crashed_at = INSTANT_NONE;
    policy_init(&checker->policy);
    for (uint32_t n = 0; n < nodes; n++) {
        struct node_book *book = &books[n];
        kept_init(&book->kept);
        kept_init(&book->durable);
        book->sampled_at = book->heard_at = book->arrived_at = INSTANT_NONE;
        book->fresh_from = INSTANT_NONE;
        book->interval_ns = SECOND;
        excuse_init(book);
    }
    for (uint32_t i = 0; i < CHECKER_ACTIONS; i++) {
        checker->action[i].at = INSTANT_NONE;
    }
    return checker;
}

void checker_free(struct checker **checker)
{
    if (*checker == NULL) {
        return;
    }
    free((*checker)->node);
    free((*checker)->incidents.rows);
    free((*checker)->durable_incidents.rows);
    free((*checker)->commands.rows);
    free((*checker)->durable_commands.rows);
    free((*checker)->pending);
    free(*checker);
    *checker = NULL;
}

/* --- what an event means, once it is known whether it was taken ----------------------------------------- */

static void arrive(struct checker *checker, struct node_book *node, instant at)
{
    if (!node->here) {
        node->here = 1;
        node->arrived_at = at;
        checker->fleet++;
        checker->breaker_due = false;
    }
}

static void take_hello(struct checker *checker, const struct hello *hello, bool here)
{
    struct node_book *node = books_node(checker, checker->step.node);
    if (node == NULL) {
        return;
    }
    node->known = 1;
    memcpy(node->name, hello->name, NODE_NAME_SIZE);
    if (hello->interval_ns > 0) {
        node->interval_ns = hello->interval_ns;
        node->declared = 1;
    }
    if (here) {
        arrive(checker, node, checker->step.at);
    }
}

/* As the core learns it; where reports wait for others it may differ a little, and a little is granted. */
static void learn_interval(struct node_book *node, instant sampled_at)
{
    duration gap = node->sampled_at == INSTANT_NONE ? 0 : sampled_at - node->sampled_at;
    if (!node->declared && node->sampled_at != INSTANT_NONE && gap <= 3 * node->interval_ns) {
        node->interval_ns += (gap - node->interval_ns) / 8;
    }
}

static void take_report(struct checker *checker, const struct report *report, bool judged, bool heard)
{
    struct node_book *node = books_node(checker, checker->step.node);
    instant at = checker->step.at;
    if (node == NULL || !node->known) {
        return;
    }
    arrive(checker, node, at);
    if (heard) {
        liveness_report(checker, checker->step.node, at);
        node->heard_at = at;
    }
    liveness_sampled(checker, checker->step.node, report->present);
    if (!judged) {
        return;
    }
    instant sampled_at = at - report->age_ns;
    sampled_at = sampled_at > node->sampled_at ? sampled_at : node->sampled_at;
    if (node->sampled_at != INSTANT_NONE && sampled_at - node->sampled_at > 2 * node->interval_ns) {
        liveness_anew(checker, checker->step.node, at); /* a hole: `for` starts anew, too */
    }
    excuse_note_report(node, report, sampled_at, at);
    learn_interval(node, sampled_at);
    node->sampled_at = sampled_at;
    node->fresh += sampled_at > node->fresh_from;
}

static void take_order(struct checker *checker, const struct operator_order *order)
{
    instant at = checker->step.at;
    struct node_book *node = books_node(checker, checker->step.node);
    struct incident_book *incident;
    switch ((enum operator_word)order->word) {
    case OPERATOR_PAUSE:
    case OPERATOR_RESUME:
        checker->control.paused = order->word == OPERATOR_PAUSE;
        break;
    case OPERATOR_RESET:
        checker->control.breaker_open = checker->breaker_before = false;
        checker->breaker_due = false;
        break;
    case OPERATOR_MAINTAIN:
        if (node != NULL) {
            node->kept.maintained_until = order->maintain_ns > 0 ? at + order->maintain_ns : INSTANT_NONE;
            books_changed(checker, checker->step.node);
        }
        break;
    case OPERATOR_APPROVE:
        incident = shelf_find(&checker->incidents, order->incident);
        if (incident != NULL) {
            incident->word_until = at + checker->policy.guards.approval_ns;
        }
        break;
    case OPERATOR_ACKNOWLEDGE:
    case OPERATOR_DECLINE:
    case OPERATOR_WORD_COUNT:
    default:
        break;
    }
}

/* What it is stopped by is taken over only when it is `told` as a block, or is over: a record in between has
 * a count that nobody was told. */
static void book_incident(struct incident_book *book, const struct incident *incident, bool told, instant at)
{
    const struct incident_book before = *book;
    instant word_until = book->word_until;
    bool over = incident->block == BLOCK_NONE;
    bool is_new = book->opened_at == 0 && book->attempts == 0 && book->detector_name[0] == '\0';
    bool stays = !is_new && before.state == incident->state;
    *book =
        (struct incident_book){.id = incident->id,
                               .command = incident->command,
                               .opened_at = incident->opened_at,
                               .moved_at = stays ? before.moved_at : at,
                               .active_at = !is_new && state_is_active(before.state) ? before.active_at : at,
                               .rested = stays && before.rested,
                               .blocked_at = told ? incident->blocked_at : before.blocked_at,
                               .word_until = incident->approved && !is_new ? word_until : INSTANT_NONE,
                               .node = incident->node,
                               .attempts = incident->attempts,
                               .reopened = incident->reopened,
                               .plan = incident->plan,
                               .blocked_count = told   ? incident->blocked_count
                                                : over ? 0
                                                       : before.blocked_count,
                               .state = incident->state,
                               .rung = incident->rung,
                               .remedy = incident->remedy,
                               .outcome = incident->outcome,
                               .verdict = incident->verdict,
                               .block = told || over ? incident->block : before.block,
                               .why = incident->why,
                               .acknowledged = incident->acknowledged,
                               .approved = incident->approved,
                               /* silence is no illness: it has no evidence */
                               .local_cause = incident->local_cause && incident->evidence_count > 0};
    memcpy(book->detector_name, incident->detector_name, DETECTOR_NAME_SIZE);
}

/* A store from before the checker's time is taken as it is; later nothing may be restored that was not kept.
 */
static void take_restored_incident(struct checker *checker, const struct incident *incident)
{
    struct incident_book *book = shelf_find(&checker->incidents, incident->id);
    if (book != NULL) {
        return;
    }
    if (checker->has_lived) {
        violation_add(checker, checker->step.at, incident->node, INVARIANT_S1,
                      "incident %llu was restored, and nobody ever kept it",
                      (unsigned long long)incident->id);
        return;
    }
    book = shelf_put(&checker->incidents, incident->id);
    if (book != NULL) {
        book_incident(book, incident, true, checker->step.at);
        book->blocked_count = 0;
        book->word_until = incident->approved ? incident->approved_until : INSTANT_NONE;
        books_count(checker, book, 1);
        book = shelf_put(&checker->durable_incidents, incident->id);
        if (book != NULL) {
            *book = *(struct incident_book *)shelf_find(&checker->incidents, incident->id);
        }
    }
}

/* Likewise a command of a store from before the checker's time; its incident, restored before it, knows how
 * it ended if it was its newest. */
static void take_restored_action(struct checker *checker, const struct restored_action *action)
{
    if (checker->has_lived || shelf_find(&checker->commands, action->command) != NULL) {
        return;
    }
    struct command_book *book = shelf_put(&checker->commands, action->command);
    struct command_book *durable = shelf_put(&checker->durable_commands, action->command);
    if (book == NULL || durable == NULL) {
        return;
    }
    *book = (struct command_book){.id = action->command,
                                  .epoch = action->command >> 32,
                                  .ordered_at = action->acted_at,
                                  .expires_at = action->expires_at,
                                  .ended_at = action->ended_at,
                                  .node = checker->step.node,
                                  .remedy = action->remedy,
                                  .outcome = OUTCOME_UNKNOWN,
                                  .by_person = action->by_person};
    for (uint32_t i = 0; i < checker->incidents.count; i++) {
        const struct incident_book *incident = shelf_row(&checker->incidents, i);
        if (incident->command == action->command) {
            book->incident = incident->id;
            book->outcome = incident->outcome;
        }
    }
    *durable = *book;
}

static void take_restore(struct checker *checker, const struct restore *restore)
{
    switch ((enum restore_kind)restore->kind) {
    case RESTORE_CONTROL:
        checker->away_until = checker->step.at;
        checker->epoch_restored = restore->what.control.epoch;
        if (!checker->has_lived) {
            const struct control *control = &restore->what.control;
            checker->control = (struct control_book){.next_incident = control->next_incident,
                                                     .next_command = control->next_command,
                                                     .forgiven = control->forgiven,
                                                     .paused = control->paused,
                                                     .breaker_open = control->breaker_open};
            checker->durable_control = checker->control;
        }
        break;
    case RESTORE_NODE:
        take_hello(checker, &restore->what.node, false);
        break;
    case RESTORE_INCIDENT:
        take_restored_incident(checker, &restore->what.incident);
        break;
    case RESTORE_ACTION:
        checker->older_rows |= !checker->has_lived;
        take_restored_action(checker, &restore->what.action);
        break;
    case RESTORE_TARGET:
        checker->older_rows |= !checker->has_lived;
        break;
    default:
        break;
    }
}

/* Why the core refused the event, REJECT_NONE if it did not. */
static enum reject refusal(const struct effects *effects)
{
    for (uint32_t i = 0; effects != NULL && i < effects->count; i++) {
        if (effects->list[i].kind == EFFECT_REJECT && effects->list[i].reject != REJECT_INCIDENTS_FULL) {
            return (enum reject)effects->list[i].reject;
        }
    }
    return REJECT_NONE;
}

static void settle_step(struct checker *checker, const struct effects *effects)
{
    enum reject refused = refusal(effects);
    const struct event *event = &checker->step;
    struct node_book *node = books_node(checker, event->node);
    checker->step_open = false;
    if (event->kind == EVENT_REPORT) {
        take_report(checker, &event->of.report, refused == REJECT_NONE,
                    refused == REJECT_NONE || refused == REJECT_LATE_REPORT);
        return;
    }
    if (refused != REJECT_NONE) {
        return;
    }
    switch ((enum event_kind)event->kind) {
    case EVENT_HELLO:
        take_hello(checker, &event->of.hello, true);
        break;
    case EVENT_GOODBYE:
        checker->fleet -= node != NULL && node->here;
        if (node != NULL) {
            node->here = 0;
            node->has_left = 1;
        }
        break;
    case EVENT_OPERATOR:
        take_order(checker, &event->of.operator_order);
        break;
    case EVENT_RESTORE:
        take_restore(checker, &event->of.restore);
        break;
    case EVENT_GAP:
        checker->away_until = event->at;
        checker->seen.gaps++;
        liveness_excuse(checker, NO_INDEX);
        break;
    case EVENT_POLICY:
        checker->breaker_due = false;
        liveness_anew(checker, NO_INDEX, event->at);
        break;
    default:
        break;
    }
}

/* --- what comes in -------------------------------------------------------------------------------------- */

void checker_event(struct checker *checker, const struct event *event)
{
    if (checker->step_open) {
        settle_step(checker, NULL);
    }
    checker->step = *event;
    checker->step_open = true;
    if (event->kind == EVENT_POLICY) {
        order_policy_ends(checker, event->at);
        checker->policy_at = event->at;
        checker->policy = *event->of.policy; /* it need not live longer than the step */
        checker->step.of.policy = NULL;
    }
}

static void put_incident(struct checker *checker, const struct effect *effect)
{
    const struct incident *incident = &effect->of.incident;
    struct incident_book *book = shelf_put(&checker->incidents, incident->id);
    if (book == NULL) {
        books_full(checker, effect->at, "incidents");
        return;
    }
    bool is_new = book->detector_name[0] == '\0';
    const struct incident_book before = *book;
    bool was_ill = !is_new && before.local_cause && before.state != INCIDENT_RESOLVED;
    struct node_book *node = books_node(checker, incident->node);
    if (!is_new) {
        books_count(checker, &before, -1);
        checker->seen.edges[before.state][incident->state] += before.state != incident->state;
    }
    book_incident(book, incident, effect->kind == EFFECT_BLOCKED, effect->at);
    excuse_note_move(books_node(checker, incident->node), is_new ? &(struct incident_book){0} : &before, book,
                     effect->at);
    books_count(checker, book, 1);
    checker->seen.opened += is_new;
    bool began_or_ended =
        (before.state == INCIDENT_VERIFYING && !is_new) != (book->state == INCIDENT_VERIFYING);
    if (node != NULL && began_or_ended && !step_tells_not_begun(checker)) {
        node->kept.ended_at = effect->at;
        books_changed(checker, incident->node);
    }
    bool is_ill = book->local_cause && book->state != INCIDENT_RESOLVED;
    if (is_ill && !was_ill) {
        order_note_illness(checker, book);
    } else if (was_ill && !is_ill) {
        checker->breaker_due = false;
    }
    if (state_is_active(book->state)) {
        liveness_found(checker, incident->node);
    }
    books_pend(checker,
               &(struct pending){.ticket = checker->ticket, .kind = PENDING_INCIDENT, .of.incident = *book});
}

static void put_command(struct checker *checker, const struct command *command)
{
    struct command_book *book = shelf_put(&checker->commands, command->id);
    if (book == NULL) {
        books_full(checker, checker->step.at, "commands");
        return;
    }
    uint32_t effects = book->effects;
    *book = (struct command_book){.id = command->id,
                                  .epoch = command->epoch,
                                  .incident = command->incident,
                                  .ordered_at = command->ordered_at,
                                  .expires_at = command->expires_at,
                                  .ended_at = command->ended_at,
                                  .node = command->node,
                                  .effects = effects,
                                  .remedy = command->remedy,
                                  .outcome = command->outcome,
                                  .by_person = command->by_person};
    books_pend(checker,
               &(struct pending){.ticket = checker->ticket, .kind = PENDING_COMMAND, .of.command = *book});
}

static void put_control(struct checker *checker, const struct control *control)
{
    checker->epoch = control->epoch > checker->epoch ? control->epoch : checker->epoch;
    checker->control.next_incident = control->next_incident;
    checker->control.next_command = control->next_command;
    checker->control.forgiven = control->forgiven;
    checker->control.breaker_open = control->breaker_open;
    books_pend(checker, &(struct pending){.ticket = checker->ticket,
                                          .kind = PENDING_CONTROL,
                                          .of.control = checker->control});
}

static void put_effect(struct checker *checker, const struct effect *effect)
{
    switch ((enum effect_kind)effect->kind) {
    case EFFECT_RECORD:
    case EFFECT_BLOCKED:
        safety_record(checker, effect);
        put_incident(checker, effect);
        break;
    case EFFECT_ACT:
        safety_act(checker, effect);
        put_command(checker, &effect->of.command);
        break;
    case EFFECT_ENDED:
        safety_ended(checker, effect);
        put_command(checker, &effect->of.command);
        break;
    case EFFECT_CONTROL:
        safety_control(checker, effect);
        put_control(checker, &effect->of.control);
        break;
    case EFFECT_TARGET:
        books_changed(checker, effect->node);
        excuse_note_target(books_node(checker, effect->node), &effect->of.target, effect->at);
        break;
    case EFFECT_REJECT:
        checker->seen.refusals++;
        if (effect->reject == REJECT_INCIDENTS_FULL) {
            liveness_excuse(checker, effect->node);
        }
        break;
    case EFFECT_ASK:
    case EFFECT_NOTIFY:
    case EFFECT_COUNT:
    default:
        break;
    }
}

void checker_effects(struct checker *checker, instant at, uint64_t ticket, const struct effects *effects)
{
    checker->breaker_before = checker->control.breaker_open;
    checker->step.at = at;
    checker->ticket = ticket;
    checker->changed_count = 0;
    if (checker->step_open) {
        settle_step(checker, effects);
    }
    bool was_open = checker->control.breaker_open; /* after the word of a person, if that is the step */
    for (uint32_t i = 0; i < effects->count; i++) {
        excuse_check_told(checker, effects, &effects->list[i]);
        put_effect(checker, &effects->list[i]);
    }
    if (!was_open && checker->control.breaker_open) {
        excuse_check_breaker(checker, at);
    }
    for (uint32_t i = 0; i < checker->changed_count; i++) {
        uint32_t node = checker->changed[i];
        books_pend(checker, &(struct pending){.ticket = ticket,
                                              .node = node,
                                              .kind = PENDING_NODE,
                                              .of.kept = checker->node[node].kept});
    }
}

void checker_committed(struct checker *checker, instant at, uint64_t ticket)
{
    (void)at;
    books_commit(checker, ticket);
}

void checker_crash(struct checker *checker, instant at)
{
    if (checker->step_open) {
        settle_step(checker, NULL);
    }
    checker->seen.crashes++;
    checker->has_lived = true;
    checker->crashed_at = checker->crashed_at == INSTANT_NONE ? at : checker->crashed_at;
    checker->breaker_due = false;
    books_crash(checker);
    liveness_excuse(checker, NO_INDEX);
}
