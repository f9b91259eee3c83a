/* Held: a report that overtook another waits for it, so that samples are judged in the order in which they
 * were taken. Nothing waits while the reports come in their order; what is missing for longer than the
 * lateness that is granted is not waited for. */
#include "core/state.h"

/* The instant until which the report after the newest evaluated one may still come. */
static instant missing_until(const struct node *node)
{
    return node->sampled_at + (1 + LATENESS_INTERVALS) * node->interval_ns + node->interval_ns / 4;
}

/* True if reports before this one are missing and may still come in time. */
bool held_wants(const struct core *core, uint32_t number, const struct report *report)
{
    const struct node *node = node_of(core, number);
    bool numbered = report->boot != 0 && report->boot == node->boot && node->sequence != 0;
    return numbered && report->sequence > node->sequence + 1 && core->now < missing_until(node);
}

bool held_has(const struct core *core, uint32_t number, const struct report *report)
{
    const struct node_cold *cold = cold_of(core, number);
    for (uint32_t i = 0; i < cold->held_count; i++) {
        if (cold->held[i].report.boot == report->boot && cold->held[i].report.sequence == report->sequence) {
            return true;
        }
    }
    return false;
}

void held_put(struct core *core, uint32_t number, const struct report *report, instant sampled_at)
{
    struct node_cold *cold = cold_of(core, number);
    uint32_t place = cold->held_count;
    CHECK(cold->held_count < HELD_MAX);
    while (place > 0 && cold->held[place - 1].report.sequence > report->sequence) {
        cold->held[place] = cold->held[place - 1];
        place--;
    }
    cold->held[place] = (struct held){.sampled_at = sampled_at, .report = *report};
    cold->held_count++;
    node_of(core, number)->flags |= NODE_HELD;
}

/* What overtook this report was taken after it, hence so was this one before that came: dated by its own
 * coming alone, an old sample would pass for a fresh one. */
instant held_bound(const struct core *core, uint32_t number, const struct report *report, instant sampled_at)
{
    if (!(node_of(core, number)->flags & NODE_HELD)) {
        return sampled_at; /* the usual case touches no cold row */
    }
    const struct node_cold *cold = cold_of(core, number);
    for (uint32_t i = 0; i < cold->held_count; i++) {
        const struct held *held = &cold->held[i];
        bool overtook = held->report.boot == report->boot && held->report.sequence > report->sequence;
        sampled_at = overtook && held->sampled_at < sampled_at ? held->sampled_at : sampled_at;
    }
    return sampled_at;
}

instant held_due(const struct core *core, uint32_t number)
{
    const struct node *node = node_of(core, number);
    if (!(node->flags & NODE_HELD)) {
        return INSTANT_NEVER; /* the usual case touches no cold row */
    }
    const struct node_cold *cold = cold_of(core, number);
    bool next = cold->held[0].report.sequence <= node->sequence + 1 || cold->held_count == HELD_MAX;
    return next ? core->now : missing_until(node);
}

bool held_take(struct core *core, uint32_t number, struct held *held)
{
    struct node_cold *cold = cold_of(core, number);
    if (held_due(core, number) > core->now) {
        return false;
    }
    *held = cold->held[0];
    cold->held_count--;
    memmove(&cold->held[0], &cold->held[1], cold->held_count * sizeof cold->held[0]);
    memset(&cold->held[cold->held_count], 0, sizeof cold->held[0]);
    if (cold->held_count == 0) {
        node_of(core, number)->flags &= ~(uint32_t)NODE_HELD;
    }
    return true;
}

void held_forget(struct core *core, uint32_t number)
{
    struct node_cold *cold = cold_of(core, number);
    memset(cold->held, 0, sizeof cold->held);
    cold->held_count = 0;
    node_of(core, number)->flags &= ~(uint32_t)NODE_HELD;
}
