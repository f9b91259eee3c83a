/* Requests whose answers wait. The list is short (one per connection at most) and unordered. */
#include "plane/state.h"

#include <stdlib.h>

static bool make_room(struct plane *plane)
{
    if (plane->waiter_count >= plane->connections - plane->connections / 8)
        return false;
    if (plane->waiter_count < plane->waiter_room)
        return true;
    uint32_t room = plane->waiter_room ? 2 * plane->waiter_room : 64;
    struct waiter *grown = realloc(plane->waiters, room * sizeof(*grown));
    if (!grown)
        return false;
    plane->waiters = grown;
    plane->waiter_room = room;
    return true;
}

bool wait_is_crowded(const struct plane *plane)
{
    return plane->waiter_count >= plane->connections / 2;
}

void wait_add(struct plane *plane, const struct waiter *waiter)
{
    if (plane->condition != CONDITION_READY) {
        waiter->end(plane, waiter, WAIT_FAILED);
        return;
    }
    if (waiter->ticket && waiter->ticket <= plane->commits.durable) {
        waiter->end(plane, waiter, WAIT_DONE);
        return;
    }
    if (!make_room(plane)) {
        server_problem(waiter->request, 503, NULL, "too many requests wait already; ask again");
        return;
    }
    request_drop_body(waiter->request);
    plane->waiters[plane->waiter_count++] = *waiter;
}

/* Takes it off the list first: its end may lead to a new wait. */
static void end(struct plane *plane, uint32_t index, enum wait_end how)
{
    struct waiter waiter = plane->waiters[index];
    plane->waiters[index] = plane->waiters[--plane->waiter_count];
    waiter.end(plane, &waiter, how);
}

void wait_durable(struct plane *plane)
{
    for (uint32_t i = plane->waiter_count; i-- > 0;) {
        if (i < plane->waiter_count && plane->waiters[i].ticket &&
            plane->waiters[i].ticket <= plane->commits.durable)
            end(plane, i, WAIT_DONE);
    }
}

void wait_command(struct plane *plane, uint32_t node)
{
    for (uint32_t i = plane->waiter_count; i-- > 0;) {
        if (i < plane->waiter_count && !plane->waiters[i].ticket && plane->waiters[i].node == node)
            end(plane, i, WAIT_DONE);
    }
}

void wait_late(struct plane *plane)
{
    for (uint32_t i = plane->waiter_count; i-- > 0;) {
        if (i < plane->waiter_count &&
            (plane->waiters[i].by <= plane->now || request_abandoned(plane->waiters[i].request)))
            end(plane, i, WAIT_LATE);
    }
}

void wait_fail(struct plane *plane)
{
    while (plane->waiter_count > 0)
        end(plane, plane->waiter_count - 1, WAIT_FAILED);
}
