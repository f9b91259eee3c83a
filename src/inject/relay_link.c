#include "inject/relay_state.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/random.h"
#include "inject/delay_line.h"

#include <event2/buffer.h>

/* Of one connection before it is the next one's turn: a small reply is not taken apart. */
#define PACKET_BYTES 1500

/* So much of its time a link of little bandwidth has taken in advance: what is inside can no longer be
 * hurried when the fault ends. */
#define LINK_AHEAD_NS (100 * MILLISECOND)

double relay_fault(const struct relay *relay, enum fault_kind kind)
{
    if (!relay->page || relay->ending)
        return 0;
    return page_intensity(relay->page, kind, relay->incarnations[kind]);
}

bool relay_is_cut(const struct relay *relay)
{
    return relay_fault(relay, FAULT_NETWORK_CUT) > 0;
}

/* How many bytes the link can take now. A link that does nothing takes at least one, however slow it is. */
static size_t link_room(struct relay *relay, double bytes_per_s, int64_t now)
{
    if (relay->link_free_at <= now) {
        relay->link_free_at = now;
        return 1 + (size_t)(duration_seconds(LINK_AHEAD_NS) * bytes_per_s);
    }
    duration room_ns = LINK_AHEAD_NS - (relay->link_free_at - now);
    return room_ns > 0 ? (size_t)(duration_seconds(room_ns) * bytes_per_s) : 0;
}

/* The link takes bytes of those who wait in their turns, as many as it can. One link for all: who comes late
 * waits for everybody before him. Settles nobody, since nothing more is held than before. */
void relay_carry(struct relay *relay)
{
    double bytes_per_s = relay_fault(relay, FAULT_NETWORK_BANDWIDTH);
    duration delay = duration_from_seconds(relay_fault(relay, FAULT_NETWORK_DELAY));
    int64_t now = monotonic_ns();
    struct connection *next;

    while ((next = TAILQ_FIRST(&relay->queue)) != NULL) {
        size_t bytes = evbuffer_get_length(next->waiting);
        duration transfer = 0;
        if (bytes_per_s > 0) {
            size_t room = link_room(relay, bytes_per_s, now);
            if (room == 0)
                break;
            bytes = bytes < room ? bytes : room;
            relay->link_free_at += duration_from_seconds((double)bytes / bytes_per_s);
            transfer = relay->link_free_at - now;
        }
        delay_line_take(next->line, next->waiting, bytes, transfer + delay);
        next->carried += bytes;
        bool done = evbuffer_get_length(next->waiting) == 0;
        if (!done && next->carried < PACKET_BYTES)
            continue;
        next->carried = 0;
        TAILQ_REMOVE(&relay->queue, next, turn);
        if (!done)
            TAILQ_INSERT_TAIL(&relay->queue, next, turn);
    }
}

static bool chance(struct relay *relay, double probability)
{
    return random_unit(random_draw(relay->chance, relay->draws++)) < probability;
}

/* Each byte of an echo is lost or not by itself, so that their share can be counted. */
void relay_pour(struct relay *relay, struct evbuffer *from, struct evbuffer *to, double share)
{
    char piece[256];
    int length;

    while ((length = evbuffer_remove(from, piece, sizeof(piece))) > 0) {
        size_t kept = 0;
        for (int i = 0; i < length; i++)
            if (!chance(relay, share))
                piece[kept++] = piece[i];
        CHECK(evbuffer_add(to, piece, kept) == 0);
    }
}

/* A reply is lost or not at its beginning. TCP goes on after a gap only once it is filled, and nobody fills
 * this one: nothing of that connection arrives any more, and its user waits until he gives up. */
bool relay_loses(struct connection *connection)
{
    if (connection->asked && !connection->lost)
        connection->lost = chance(connection->relay, relay_fault(connection->relay, FAULT_NETWORK_LOSS));
    connection->asked = false;
    return connection->lost;
}
