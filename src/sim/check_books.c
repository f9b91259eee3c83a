/* The checkers' books: rows by id, what waits for its commit, and what a crash leaves. */
#include "sim/check_state.h"

#include <stdlib.h>
#include <string.h>

/* --- shelves -------------------------------------------------------------------------------------------- */

void *shelf_row(const struct shelf *shelf, uint32_t number)
{
    return shelf->rows + (size_t)number * shelf->row_size;
}

static uint64_t id_at(const struct shelf *shelf, uint32_t number)
{
    uint64_t id;
    memcpy(&id, shelf_row(shelf, number), sizeof id);
    return id;
}

/* The first place whose id is not below `id`. New ids come at the end, old ones are mostly near it. */
static uint32_t place_of(const struct shelf *shelf, uint64_t id)
{
    uint32_t low = 0, high = shelf->count;
    if (high > 0 && id_at(shelf, high - 1) < id) {
        return high;
    }
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (id_at(shelf, middle) < id) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

void *shelf_find(const struct shelf *shelf, uint64_t id)
{
    uint32_t place = place_of(shelf, id);
    return place < shelf->count && id_at(shelf, place) == id ? shelf_row(shelf, place) : NULL;
}

static bool make_room(struct shelf *shelf, uint32_t room)
{
    if (room > CHECKER_ROWS_MAX) {
        return false;
    }
    char *rows = realloc(shelf->rows, (size_t)room * shelf->row_size);
    if (rows == NULL) {
        return false;
    }
    shelf->rows = rows;
    shelf->room = room;
    return true;
}

void *shelf_put(struct shelf *shelf, uint64_t id)
{
    uint32_t place = place_of(shelf, id);
    if (place < shelf->count && id_at(shelf, place) == id) {
        return shelf_row(shelf, place);
    }
    if (shelf->count == shelf->room && !make_room(shelf, shelf->room == 0 ? 64 : 2 * shelf->room)) {
        return NULL;
    }
    char *row = shelf_row(shelf, place);
    memmove(row + shelf->row_size, row, (size_t)(shelf->count - place) * shelf->row_size);
    memset(row, 0, shelf->row_size);
    memcpy(row, &id, sizeof id);
    shelf->count++;
    return row;
}

bool shelf_copy(struct shelf *to, const struct shelf *from)
{
    if (to->room < from->count && !make_room(to, from->room)) {
        return false;
    }
    if (from->count > 0) {
        memcpy(to->rows, from->rows, (size_t)from->count * from->row_size);
    }
    to->count = from->count;
    return true;
}

/* --- what is counted from them -------------------------------------------------------------------------- */

bool state_is_active(uint8_t state)
{
    return state != INCIDENT_RESOLVED && state != INCIDENT_ESCALATED;
}

bool state_is_disrupted(uint8_t state)
{
    return state == INCIDENT_ACTING || state == INCIDENT_VERIFYING;
}

struct node_book *books_node(struct checker *checker, uint32_t node)
{
    return node < checker->nodes ? &checker->node[node] : NULL;
}

void books_count(struct checker *checker, const struct incident_book *book, int by)
{
    struct node_book *node = books_node(checker, book->node);
    uint32_t step = (uint32_t)by;
    if (state_is_disrupted(book->state)) {
        checker->disrupted += step;
        if (node != NULL) {
            node->busy += step;
        }
    }
    if (node != NULL && book->state != INCIDENT_RESOLVED) {
        node->open += step;
    }
    if (node != NULL && book->local_cause && book->state != INCIDENT_RESOLVED) {
        node->ill += step;
    }
}

/* --- what waits for its commit -------------------------------------------------------------------------- */

void books_full(struct checker *checker, instant at, const char *what)
{
    if (!checker->full_told) {
        checker->full_told = true;
        violation_add(checker, at, NO_INDEX, INVARIANT_L6, "more %s than the books hold, %d: they only grow",
                      what, CHECKER_ROWS_MAX);
    }
}

void books_changed(struct checker *checker, uint32_t node)
{
    for (uint32_t i = 0; i < checker->changed_count; i++) {
        if (checker->changed[i] == node) {
            return;
        }
    }
    if (node < checker->nodes && checker->changed_count <= EFFECTS_MAX) {
        checker->changed[checker->changed_count++] = node;
    }
}

static bool grow_pending(struct checker *checker)
{
    uint32_t room = checker->pending_room == 0 ? 256 : 2 * checker->pending_room;
    struct pending *ring = room > CHECKER_ROWS_MAX ? NULL : malloc(room * sizeof *ring);
    if (ring == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < checker->pending_count; i++) {
        ring[i] = checker->pending[(checker->pending_first + i) % checker->pending_room];
    }
    free(checker->pending);
    checker->pending = ring;
    checker->pending_first = 0;
    checker->pending_room = room;
    return true;
}

/* What has no ticket is never stored, so it does not wait. */
void books_pend(struct checker *checker, const struct pending *pending)
{
    if (pending->ticket == 0) {
        return;
    }
    if (checker->pending_count == checker->pending_room && !grow_pending(checker)) {
        books_full(checker, checker->step.at, "rows waiting for their commit");
        return;
    }
    checker->pending[(checker->pending_first + checker->pending_count++) % checker->pending_room] = *pending;
    checker->pending[(checker->pending_first + checker->pending_count - 1) % checker->pending_room].at =
        checker->step.at;
}

static void commit_one(struct checker *checker, const struct pending *pending)
{
    void *row = NULL;
    switch ((enum pending_kind)pending->kind) {
    case PENDING_INCIDENT:
        row = shelf_put(&checker->durable_incidents, pending->of.incident.id);
        if (row != NULL) {
            *(struct incident_book *)row = pending->of.incident;
        }
        break;
    case PENDING_COMMAND:
        row = shelf_put(&checker->durable_commands, pending->of.command.id);
        if (row != NULL) {
            uint32_t effects = ((struct command_book *)row)->effects;
            *(struct command_book *)row = pending->of.command;
            ((struct command_book *)row)->effects = effects;
        }
        break;
    case PENDING_CONTROL:
        checker->durable_control = pending->of.control;
        return;
    case PENDING_NODE:
        checker->node[pending->node].durable = pending->of.kept;
        return;
    default:
        return;
    }
    if (row == NULL) {
        books_full(checker, checker->step.at, "incidents or commands");
    }
}

void books_commit(struct checker *checker, uint64_t ticket)
{
    while (checker->pending_count > 0 && checker->pending[checker->pending_first].ticket <= ticket) {
        commit_one(checker, &checker->pending[checker->pending_first]);
        checker->pending_first = (checker->pending_first + 1) % checker->pending_room;
        checker->pending_count--;
    }
}

/* --- a crash -------------------------------------------------------------------------------------------- */

static void forget_actions(struct checker *checker)
{
    for (uint32_t i = 0; i < CHECKER_ACTIONS; i++) {
        struct action *newest =
            &checker->action[(checker->action_next + CHECKER_ACTIONS - 1) % CHECKER_ACTIONS];
        if (newest->at == INSTANT_NONE || shelf_find(&checker->durable_commands, newest->command) != NULL) {
            return;
        }
        newest->at = INSTANT_NONE;
        checker->action_next = (checker->action_next + CHECKER_ACTIONS - 1) % CHECKER_ACTIONS;
    }
}

void books_crash(struct checker *checker)
{
    checker->pending_count = 0;
    if (!shelf_copy(&checker->incidents, &checker->durable_incidents) ||
        !shelf_copy(&checker->commands, &checker->durable_commands)) {
        books_full(checker, checker->step.at, "incidents or commands");
    }
    checker->control = checker->durable_control;
    forget_actions(checker);
    checker->disrupted = checker->fleet = 0;
    for (uint32_t n = 0; n < checker->nodes; n++) {
        struct node_book *node = &checker->node[n];
        node->kept = node->durable;
        node->busy = node->ill = node->open = 0;
        node->here = node->known = node->declared = 0;
        node->sampled_at = node->heard_at = INSTANT_NONE;
        node->interval_ns = SECOND;
    }
    for (uint32_t i = 0; i < checker->incidents.count; i++) {
        struct incident_book *book = shelf_row(&checker->incidents, i);
        book->blocked_count = 0; /* counted anew in each life */
        books_count(checker, book, 1);
    }
    policy_init(&checker->policy);
}
