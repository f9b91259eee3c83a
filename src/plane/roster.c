#include "plane/roster.h"

#include "base/check.h"
#include "base/text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void roster_init(struct roster *roster, uint32_t capacity)
{
    uint32_t slots = 16;
    while (slots < 2 * capacity)
        slots *= 2;
    *roster = (struct roster){.capacity = capacity, .slot_count = slots};
    roster->nodes = calloc(capacity, sizeof(roster->nodes[0]));
    roster->slots = calloc(slots, sizeof(roster->slots[0]));
    CHECK(roster->nodes && roster->slots);
}

void roster_fini(struct roster *roster)
{
    for (uint32_t i = 0; i < roster->count; i++) {
        free(roster->nodes[i]->losses);
        free(roster->nodes[i]->recent);
        free(roster->nodes[i]->orders);
        free(roster->nodes[i]);
    }
    free(roster->nodes);
    free(roster->slots);
    *roster = (struct roster){0};
}

/* FNV-1a, 64 bits (Fowler, Noll, Vo). Names are short and come from our own nodes. */
static uint64_t hash(const char *name)
{
    uint64_t h = 14695981039346656037u;
    for (; *name; name++)
        h = (h ^ (unsigned char)*name) * 1099511628211u;
    return h ^ h >> 29;
}

/* The slot that holds `name`, or the free one where it belongs. At most half of the slots are taken. */
static uint32_t *find_slot(const struct roster *roster, const char *name)
{
    uint32_t mask = roster->slot_count - 1;
    uint32_t i = (uint32_t)hash(name) & mask;
    while (roster->slots[i] && strcmp(roster->nodes[roster->slots[i] - 1]->name, name) != 0)
        i = (i + 1) & mask;
    return &roster->slots[i];
}

struct node *roster_find(const struct roster *roster, const char *name)
{
    uint32_t number = *find_slot(roster, name);
    return number ? roster->nodes[number - 1] : NULL;
}

struct node *roster_node(const struct roster *roster, uint32_t number)
{
    CHECK(number < roster->count);
    return roster->nodes[number];
}

/* NULL if it is full. Nobody has heard of the new one yet. */
static struct node *add(struct roster *roster, const char *name)
{
    if (roster->count == roster->capacity)
        return NULL;
    struct node *node = calloc(1, sizeof(*node));
    if (!node)
        return NULL;
    CHECK(text_copy(node->name, sizeof(node->name), name));
    node->number = roster->count;
    node->seen_at = node->sampled_at = node->turned_at = node->twins_told_at = node->struck_at = INSTANT_NONE;
    node->clock_off_s = NAN;
    node->changed = true;
    uint32_t *slot = find_slot(roster, name);
    roster->nodes[roster->count++] = node;
    *slot = roster->count;
    roster->named++;
    return node;
}

static void hear(struct roster *roster, struct node *node)
{
    roster->named -= !node->heard;
    node->heard = true;
}

struct node *roster_enrol(struct roster *roster, const char *name)
{
    struct node *node = roster_find(roster, name);
    node = node ? node : add(roster, name);
    if (node)
        hear(roster, node);
    return node;
}

struct node *roster_name(struct roster *roster, struct node *by, const char *name)
{
    struct node *node = roster_find(roster, name);
    if (node || roster->named >= roster->capacity / NAMED_SHARE || by->named >= NAMED_BY_ONE_MAX)
        return node;
    node = add(roster, name);
    by->named += node != NULL;
    return node;
}

uint32_t node_place(const struct node *node)
{
    return node->synthetic ? FAULT_AT_SYNTHETIC : node->program ? FAULT_AT_PROGRAM : FAULT_AT_SERVICE;
}

const char *roster_nearest(const struct roster *roster, const char *misspelt)
{
    const char *names[1000];
    size_t count = roster->count < COUNT_OF(names) ? roster->count : COUNT_OF(names);
    for (size_t i = 0; i < count; i++)
        names[i] = roster->nodes[i]->name;
    return text_nearest(misspelt, names, count);
}

void roster_row(const struct roster *roster, const struct node *node, struct node_row *row)
{
    *row = (struct node_row){.calls_count = node->calls_count,
                             .number = node->number,
                             .boot = node->boot,
                             .sequence = node->stored_sequence,
                             .interval_ns = node->interval_ns,
                             .seen_at = node->seen_at,
                             .gone = node->gone,
                             .synthetic = node->synthetic,
                             .program = node->program};
    text_copy(row->name, sizeof(row->name), node->name);
    text_copy(row->role, sizeof(row->role), node->role);
    text_copy(row->zone, sizeof(row->zone), node->zone);
    text_copy(row->address, sizeof(row->address), node->address);
    for (uint32_t i = 0; i < node->calls_count; i++)
        text_copy(row->calls[i], sizeof(row->calls[i]), roster_node(roster, node->calls[i])->name);
}

struct node *roster_restore(struct roster *roster, const struct node_row *row)
{
    if (roster_find(roster, row->name) || row->number != roster->count)
        return NULL; /* not a database of ours: numbers are dense and names are unique there */
    struct node *node = add(roster, row->name);
    if (!node)
        return NULL;
    if (row->boot != 0 || row->seen_at != INSTANT_NONE)
        hear(roster, node);
    text_copy(node->role, sizeof(node->role), row->role);
    text_copy(node->zone, sizeof(node->zone), row->zone);
    text_copy(node->address, sizeof(node->address), row->address);
    node->boot = row->boot;
    node->sequence = node->stored_sequence = row->sequence;
    node->interval_ns = row->interval_ns;
    node->seen_at = node->sampled_at = row->seen_at;
    node->gone = row->gone;
    node->synthetic = row->synthetic;
    node->program = row->program;
    node->changed = false;
    return node;
}

void roster_hello(const struct node *node, struct hello *hello)
{
    *hello = (struct hello){
        .boot = node->boot, .interval_ns = node->interval_ns, .calls_count = node->calls_count};
    text_copy(hello->name, sizeof(hello->name), node->name);
    memcpy(hello->calls, node->calls, sizeof(hello->calls));
}

void node_remember(struct node *node, instant at, const struct report *report)
{
    if (!node->recent)
        node->recent = calloc(1, sizeof(*node->recent));
    if (!node->recent)
        return; /* the store still has them */
    struct recent_samples *samples = &node->recent->ring[node->recent->count++ % RECENT_MAX];
    *samples = (struct recent_samples){.at = at, .present = report->present};
    memcpy(samples->value, report->value, sizeof(samples->value));
}

const struct recent_samples *node_newest(const struct node *node)
{
    if (!node->recent || node->recent->count == 0)
        return NULL;
    return &node->recent->ring[(node->recent->count - 1) % RECENT_MAX];
}

/* --- what was taken, and what is durable -------------------------------------------------------------- */

/* The ledger of a boot. The one that is not of the present boot gives way to a new one. */
static struct ledger *ledger_of(struct node *node, uint64_t boot, uint64_t ticket)
{
    struct ledger *spare = NULL;
    for (int i = 0; i < 2; i++) {
        if (node->ledgers[i].boot == boot)
            return &node->ledgers[i];
        if (!spare || node->ledgers[i].boot == 0 || spare->boot == node->boot)
            spare = &node->ledgers[i];
    }
    ledger_begin(spare, boot, ticket);
    return spare;
}

void node_taken(struct node *node, uint64_t boot, uint64_t first, uint64_t last, uint64_t ticket,
                uint64_t durable)
{
    CHECK(boot != 0);
    ledger_take(ledger_of(node, boot, ticket), first, last, ticket, durable);
}

uint64_t node_through(struct node *node, uint64_t boot, uint64_t durable)
{
    for (int i = 0; boot != 0 && i < 2; i++) {
        if (node->ledgers[i].boot != boot)
            continue;
        uint64_t through = ledger_through(&node->ledgers[i], durable);
        if (boot == node->boot && through > node->stored_sequence)
            node->stored_sequence = through;
        return through;
    }
    return 0;
}

void node_forget_taken(struct node *node)
{
    memset(node->ledgers, 0, sizeof(node->ledgers));
}

void node_reboot(struct node *node, uint64_t boot, instant at)
{
    node->turns = boot == node->boot_before ? node->turns + 1 : 0;
    node->boot_before = node->boot;
    node->boot = boot;
    node->sequence = node->stored_sequence = 0;
    node->sampled_at = at;
}

bool node_has_twin(struct node *node, instant now)
{
    enum { TURNS = 4 };
    bool lately = node->turned_at != INSTANT_NONE && now - node->turned_at < MINUTE;
    node->turned_at = now;
    node->turns = lately ? node->turns : 0;
    bool told = node->twins_told_at != INSTANT_NONE && now - node->twins_told_at < MINUTE;
    if (node->turns < TURNS || told)
        return false;
    node->twins_told_at = now;
    return true;
}

bool node_is_past(const struct node *node, uint64_t boot, instant sampled_at)
{
    return boot != 0 && node->boot != 0 && boot != node->boot && node->sampled_at != INSTANT_NONE &&
           sampled_at <= node->sampled_at;
}

static struct loss *find_loss(struct losses *losses, const struct loss *loss)
{
    for (uint32_t i = 0; i < LOSSES_MAX && i < losses->count; i++)
        if (losses->ring[i].boot == loss->boot && losses->ring[i].first == loss->first)
            return &losses->ring[i];
    return NULL;
}

uint64_t node_note_loss(struct node *node, struct loss *loss)
{
    if (!node->losses)
        node->losses = calloc(1, sizeof(*node->losses));
    CHECK(node->losses);
    struct loss *known = find_loss(node->losses, loss);
    uint64_t news = loss->last - loss->first + 1;
    if (!known) {
        node->losses->ring[node->losses->count++ % LOSSES_MAX] = *loss;
        return news;
    }
    news = loss->last > known->last ? loss->last - known->last : 0;
    known->last += news;
    *loss = *known;
    return news;
}

/* --- orders -------------------------------------------------------------------------------------------- */

struct order *node_find_order(const struct node *node, uint64_t command)
{
    for (int i = 0; command != 0 && node->orders && i < ORDERS_MAX; i++)
        if (node->orders->slot[i].command.id == command)
            return &node->orders->slot[i];
    return NULL;
}

struct order *node_order(struct node *node, const struct command *command)
{
    struct order *order = node_find_order(node, command->id);
    if (!order) {
        if (!node->orders)
            node->orders = calloc(1, sizeof(*node->orders));
        CHECK(node->orders);
        order = &node->orders->slot[0];
        for (int i = 1; i < ORDERS_MAX; i++) {
            struct order *other = &node->orders->slot[i];
            bool other_ended = other->command.outcome != OUTCOME_NONE;
            bool ended = order->command.outcome != OUTCOME_NONE;
            if (order->command.id == 0)
                break;
            if (other->command.id == 0 || (other_ended && !ended) ||
                (other_ended == ended && other->command.id < order->command.id))
                order = other;
        }
    }
    *order = (struct order){.command = *command, .took_s = NAN};
    return order;
}

bool order_is_waiting(const struct order *order, instant now)
{
    return order->command.id != 0 && order->visible && order->command.outcome == OUTCOME_NONE &&
           now < order->command.expires_at;
}

bool node_has_orders(const struct node *node, instant now)
{
    for (int i = 0; node->orders && i < ORDERS_MAX; i++)
        if (order_is_waiting(&node->orders->slot[i], now))
            return true;
    return false;
}
