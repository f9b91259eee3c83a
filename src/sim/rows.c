/* The store: rows that are durable, and rows on their way. A crash leaves what is durable. */
#include "sim/state.h"

#include <stdlib.h>

void rows_put(struct plane *plane, const struct row *row)
{
    if (plane->row_count == plane->row_room) {
        uint32_t room = plane->row_room > 0 ? 2 * plane->row_room : 64;
        struct row *grown = malloc(room * sizeof *grown);
        CHECK(grown);
        for (uint32_t i = 0; i < plane->row_count; i++)
            grown[i] = plane->rows[(plane->row_first + i) % plane->row_room];
        free(plane->rows);
        plane->rows = grown;
        plane->row_first = 0;
        plane->row_room = room;
    }
    plane->rows[(plane->row_first + plane->row_count++) % plane->row_room] = *row;
}

/* --- incidents and commands, by id ---------------------------------------------------------------------- */

static uint32_t incident_place(const struct store *store, uint64_t id)
{
    uint32_t low = 0, high = store->incident_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (store->incidents[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const struct incident *rows_incident(const struct store *store, uint64_t id)
{
    uint32_t place = incident_place(store, id);
    bool found = place < store->incident_count && store->incidents[place].id == id;
    return found ? &store->incidents[place] : NULL;
}

/* What no restore can ask for any more gives way to what is new. */
static void forget_old(struct store *store, instant now)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < store->incident_count; i++) {
        const struct incident *incident = &store->incidents[i];
        if (incident->state != INCIDENT_RESOLVED || incident->closed_at > now - SPAN_MAX_NS)
            store->incidents[kept++] = *incident;
    }
    store->incident_count = kept;
    kept = 0;
    for (uint32_t i = 0; i < store->command_count; i++)
        if (store->commands[i].ordered_at > now - SPAN_MAX_NS)
            store->commands[kept++] = store->commands[i];
    store->command_count = kept;
}

static void keep_incident(struct sim *sim, const struct incident *incident)
{
    struct store *store = &sim->store;
    struct incident *known = (struct incident *)(uintptr_t)rows_incident(store, incident->id);
    score_incident(sim, known, incident);
    if (known) {
        *known = *incident;
        return;
    }
    if (store->incident_count == store->incident_room)
        forget_old(store, sim->now);
    if (store->incident_count == store->incident_room)
        store->incidents = sim_grow(store->incidents, &store->incident_room, sizeof *incident);
    CHECK(store->incident_count == 0 || store->incidents[store->incident_count - 1].id < incident->id);
    store->incidents[store->incident_count++] = *incident;
}

static void keep_command(struct sim *sim, const struct command *command)
{
    struct store *store = &sim->store;
    for (uint32_t i = store->command_count; i-- > 0 && store->commands[i].id >= command->id;) {
        if (store->commands[i].id == command->id) {
            store->commands[i] = *command;
            return;
        }
    }
    if (store->command_count == store->command_room)
        forget_old(store, sim->now);
    if (store->command_count == store->command_room)
        store->commands = sim_grow(store->commands, &store->command_room, sizeof *command);
    store->commands[store->command_count++] = *command;
    sim->score.result.commands++;
}

static void keep_boot(struct store_node *node, uint64_t boot)
{
    node->known = true;
    node->gone = false;
    if (boot <= node->boot)
        return;
    node->past_boot = node->boot;
    node->past_stored = node->boot_stored;
    node->boot = boot;
    node->boot_stored = 0;
}

static void keep(struct sim *sim, const struct row *row)
{
    struct store_node *node = row->effect.node < sim->nodes ? &sim->store.nodes[row->effect.node] : NULL;
    switch (row->kind) {
    case EFFECT_RECORD:
    case EFFECT_BLOCKED:
        keep_incident(sim, &row->effect.of.incident);
        break;
    case EFFECT_ACT:
    case EFFECT_ENDED:
        keep_command(sim, &row->effect.of.command);
        break;
    case EFFECT_TARGET:
        if (!node->target)
            node->target = malloc(sizeof *node->target);
        CHECK(node->target);
        *node->target = row->effect.of.target;
        break;
    case ROW_HELLO:
        keep_boot(node, row->boot);
        break;
    case ROW_GOODBYE:
        node->gone = true;
        break;
    default:
        break;
    }
}

void rows_commit(struct sim *sim, struct plane *plane, uint64_t batch)
{
    while (plane->row_count > 0 && plane->rows[plane->row_first].batch <= batch) {
        keep(sim, &plane->rows[plane->row_first]);
        plane->row_first = (plane->row_first + 1) % plane->row_room;
        plane->row_count--;
    }
}

void rows_fini(struct store *store, uint32_t nodes)
{
    for (uint32_t i = 0; store->nodes && i < nodes; i++)
        free(store->nodes[i].target);
    free(store->incidents);
    free(store->commands);
    free(store->nodes);
}
