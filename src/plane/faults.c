#include "plane/faults.h"

#include "base/text.h"

#include <math.h>
#include <string.h>

void faults_init(struct faults *faults, uint64_t next_id)
{
    faults->count = 0;
    faults->next_id = next_id;
}

bool fault_is_over(const struct fault_row *row)
{
    return row->state == FAULT_ENDED || row->state == FAULT_FAILED;
}

uint32_t faults_room(struct faults *faults)
{
    uint32_t room = FAULTS_MAX - faults->count;
    for (uint32_t i = 0; i < faults->count; i++)
        room += fault_is_over(&faults->row[i]);
    return room;
}

/* The one that has been over longest, whose place another one needs more. */
static void give_way(struct faults *faults)
{
    struct fault_row *oldest = NULL;
    for (uint32_t i = 0; i < faults->count; i++) {
        struct fault_row *row = &faults->row[i];
        if (fault_is_over(row) && (!oldest || row->ended_at < oldest->ended_at))
            oldest = row;
    }
    if (oldest)
        *oldest = faults->row[--faults->count];
}

struct fault_row *faults_ask(struct faults *faults, const struct fault_asked *asked, instant now)
{
    if (faults->count == FAULTS_MAX)
        give_way(faults);
    if (faults->count == FAULTS_MAX)
        return NULL;
    struct fault_row *row = &faults->row[faults->count++];
    *row = (struct fault_row){.id = faults->next_id++,
                              .node = asked->node,
                              .kind = (uint8_t)asked->kind,
                              .shape = (uint8_t)asked->shape,
                              .state = FAULT_ASKED,
                              .effect = EFFECT_WAITING,
                              .intensity = asked->intensity,
                              .before = NAN,
                              .after = NAN,
                              .restored = NAN,
                              .lease_ns = asked->lease_ns,
                              .period_ns = asked->period_ns,
                              .asked_at = now,
                              .injected_at = INSTANT_NONE,
                              .ended_at = INSTANT_NONE};
    return row;
}

struct fault_row *faults_find(struct faults *faults, uint64_t id)
{
    for (uint32_t i = 0; i < faults->count; i++)
        if (faults->row[i].id == id)
            return &faults->row[i];
    return NULL;
}

const struct fault_row *faults_same(const struct faults *faults, enum fault_kind kind, uint32_t node)
{
    for (uint32_t i = 0; i < faults->count; i++) {
        const struct fault_row *row = &faults->row[i];
        if (row->kind == kind && row->node == node && !fault_is_over(row) && !fault_is_clearing(row))
            return row;
    }
    return NULL;
}

const struct fault_row *faults_on(const struct faults *faults, uint32_t node, instant now)
{
    for (uint32_t i = 0; i < faults->count; i++)
        if (faults->row[i].node == node && fault_is_wanted(&faults->row[i], now))
            return &faults->row[i];
    return NULL;
}

bool fault_is_clearing(const struct fault_row *row)
{
    return row->state == FAULT_ACTIVE && strcmp(row->reason, "cleared") == 0;
}

bool fault_is_wanted(const struct fault_row *row, instant now)
{
    return !fault_is_over(row) && !fault_is_clearing(row) && now < row->asked_at + row->lease_ns;
}

static void end(struct fault_row *row, const char *reason, instant now)
{
    row->state = FAULT_ENDED;
    row->ended_at = now;
    text_copy(row->reason, sizeof(row->reason), reason);
}

void fault_clear(struct fault_row *row, instant now)
{
    text_copy(row->reason, sizeof(row->reason), "cleared");
    /* The lease is cut short too, so that a node that went silent does not keep it on the board for long. */
    row->lease_ns = now - row->asked_at;
    if (row->state == FAULT_ASKED)
        end(row, "cleared", now);
}

static void note_injected(struct fault_row *row, const struct fault_told *told, instant now)
{
    instant at = now - told->age_ns > row->asked_at ? now - told->age_ns : row->asked_at;
    if (row->injected_at == INSTANT_NONE && told->state != FAULT_FAILED)
        row->injected_at = fault_is_over(row) && at > row->ended_at ? row->ended_at : at;
}

/* A node that was cut off tells late what it had on. */
static void tell_of_the_past(struct fault_row *row, const struct fault_told *told, instant now)
{
    if (row->state == FAULT_ENDED)
        note_injected(row, told, now);
    if (told->effect >= 0 && row->effect == EFFECT_WAITING)
        row->effect = (uint8_t)told->effect;
}

static void tell_of_now(struct fault_row *row, const struct fault_told *told, instant now)
{
    if (told->effect >= 0)
        row->effect = (uint8_t)told->effect;
    if (!isnan(told->before))
        row->before = told->before;
    if (!isnan(told->after))
        row->after = told->after;
    note_injected(row, told, now);
    if (told->state == FAULT_ACTIVE && row->state == FAULT_ASKED)
        row->state = FAULT_ACTIVE;
    if (told->state == FAULT_ENDED)
        end(row, told->reason ? told->reason : fault_is_clearing(row) ? "cleared" : "expired", now);
    if (told->state == FAULT_FAILED) {
        end(row, told->reason ? told->reason : "the node could not inject it", now);
        row->state = FAULT_FAILED;
    }
}

bool fault_tell(struct fault_row *row, const struct fault_told *told, instant now)
{
    struct fault_row before = *row;
    bool was_over = fault_is_over(row);
    if (told->removal >= 0 && told->state == FAULT_ENDED)
        row->removal = (uint8_t)told->removal;
    if (was_over)
        tell_of_the_past(row, told, now);
    else
        tell_of_now(row, told, now);
    return before.state != row->state || before.effect != row->effect ||
           before.injected_at != row->injected_at || (was_over && before.removal != row->removal);
}

struct fault_row *faults_give_up(struct faults *faults, uint32_t node, const char *reason, instant now)
{
    for (uint32_t i = 0; i < faults->count; i++) {
        struct fault_row *row = &faults->row[i];
        if (row->node != node || fault_is_over(row))
            continue;
        end(row, reason, now);
        return row;
    }
    return NULL;
}

struct fault_row *faults_expire(struct faults *faults, instant now)
{
    for (uint32_t i = 0; i < faults->count; i++) {
        struct fault_row *row = &faults->row[i];
        if (fault_is_over(row) || now < row->asked_at + row->lease_ns + FAULT_SILENCE_S * SECOND)
            continue;
        end(row, fault_is_clearing(row) ? "cleared" : "expired", now);
        return row;
    }
    return NULL;
}

bool fault_awaits_removal(const struct fault_row *row, instant now)
{
    return row->state == FAULT_ENDED && row->removal == EFFECT_WAITING &&
           now < row->ended_at + FAULT_REMOVAL_S * SECOND;
}

void faults_sweep(struct faults *faults, instant now)
{
    for (uint32_t i = 0; i < faults->count;) {
        if (fault_is_over(&faults->row[i]) && !fault_awaits_removal(&faults->row[i], now))
            faults->row[i] = faults->row[--faults->count];
        else
            i++;
    }
}
