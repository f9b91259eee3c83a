/* The control plane in virtual time: the real core and the real gate, stepped as src/plane steps them, over a
 * store in memory.
 *
 *     step --rows, ticket--> pending --commit begins--> on its way --commit ends--> durable: let out,
 * answered
 *
 * One commit is under way at a time and takes with it all that gathered meanwhile. A crash loses what is
 * pending; of what is on its way either all or nothing is durable, and nobody can say which. */
#include "sim/state.h"

#include <stdlib.h>
#include <string.h>

bool control_has_room(const struct plane *plane)
{
    return gate_has_room(plane->gate) && plane->row_count + EFFECTS_MAX <= PENDING_MAX;
}

/* --- commits -------------------------------------------------------------------------------------------- */

static void commit_begin(struct sim *sim, struct plane *plane)
{
    if (plane->committing || !plane->dirty)
        return;
    plane->committing = true;
    plane->dirty = plane->urgent = false;
    plane->committing_batch = plane->batch++;
    plane->committing_ticket = plane->ticket;
    plane->committing_control = *core_control(plane->core);
    uint64_t draw = sim_draw(sim, PURPOSE_COMMIT, plane->number, sim->commits++);
    sim_put(sim, LANE_NONE,
            &(struct happening){.kind = HAPPENING_COMMIT_END,
                                .node = NO_INDEX,
                                .plane = plane->number,
                                .generation = plane->generation,
                                .at = sim->now + sim_delay(draw, COMMIT_NS, COMMIT_TAIL_NS)});
}

static void dirty(struct sim *sim, struct plane *plane, bool urgent)
{
    plane->dirty = true;
    plane->urgent |= urgent;
    if (urgent) {
        commit_begin(sim, plane);
    } else if (!plane->flushing) {
        plane->flushing = true;
        sim_put(sim, LANE_NONE,
                &(struct happening){.kind = HAPPENING_FLUSH,
                                    .node = NO_INDEX,
                                    .plane = plane->number,
                                    .generation = plane->generation,
                                    .at = (sim->now / FLUSH_NS + 1) * FLUSH_NS});
    }
}

void control_flush(struct sim *sim, struct plane *plane)
{
    plane->flushing = false;
    commit_begin(sim, plane);
}

static void let_out(struct sim *sim, struct plane *plane)
{
    struct effect effect;
    gate_durable(plane->gate, plane->committing_ticket);
    if (plane == sim->plane)
        SIM_TELL(sim, committed, sim->now, plane->committing_ticket);
    while (gate_take(plane->gate, &effect))
        if (effect.kind == EFFECT_ACT)
            offers_show(sim, plane, &effect.of.command);
    offers_answer_durable(sim, plane);
}

static void make_durable(struct sim *sim, struct plane *plane)
{
    rows_commit(sim, plane, plane->committing_batch);
    sim->store.control = plane->committing_control;
    plane->durable_batch = plane->committing_batch;
    plane->committing = false;
}

void control_commit_end(struct sim *sim, struct plane *plane)
{
    if (plane->epoch != sim->store.owner) { /* another one has taken over: nothing of this is ever seen */
        sim_fate(sim, SIM_FATE_COMMIT_FENCED);
        control_end(sim, plane, PLANE_NONE);
        return;
    }
    make_durable(sim, plane);
    let_out(sim, plane);
    if (plane->urgent)
        commit_begin(sim, plane);
}

/* --- steps ---------------------------------------------------------------------------------------------- */

static void note_effects(struct sim *sim, struct plane *plane)
{
    for (uint32_t i = 0; i < plane->effects.count; i++) {
        const struct effect *effect = &plane->effects.list[i];
        bool command = effect->kind == EFFECT_ACT || effect->kind == EFFECT_ENDED;
        bool row = command || effect->kind == EFFECT_RECORD || effect->kind == EFFECT_BLOCKED ||
                   effect->kind == EFFECT_TARGET;
        if (effect->kind == EFFECT_REJECT)
            continue;
        if (row)
            rows_put(plane, &(struct row){.batch = plane->batch, .kind = effect->kind, .effect = *effect});
        if (effect->node < sim->nodes)
            plane->nodes[effect->node].batch = plane->batch;
        if (command)
            offers_note(plane, effect);
        sim->score.result.told += effect->kind == EFFECT_NOTIFY && plane == sim->plane;
        if (effect->kind == EFFECT_RECORD && plane == sim->plane)
            score_opened(sim, &effect->of.incident);
    }
}

void control_step(struct sim *sim, struct plane *plane, struct event *event)
{
    bool in_force = plane == sim->plane;
    event->at = sim->now;
    if (in_force)
        SIM_TELL(sim, event, event);
    core_step(plane->core, event, &plane->effects);
    uint64_t ticket = plane->effects.count > 0 ? gate_put(plane->gate, &plane->effects) : 0;
    if (in_force)
        SIM_TELL(sim, effects, plane->core, ticket, &plane->effects, sim->now);
    if (ticket == 0)
        return;
    plane->ticket = ticket;
    note_effects(sim, plane);
    dirty(sim, plane, true);
}

instant control_deadline_at(const struct plane *plane)
{
    if (plane->state != PLANE_UP)
        return INSTANT_NEVER;
    instant at = core_deadline(plane->core);
    if (at == INSTANT_NEVER || !control_has_room(plane))
        return INSTANT_NEVER;
    return at < plane->deadlines_from ? plane->deadlines_from : at;
}

void control_deadline(struct sim *sim, struct plane *plane)
{
    struct event event = {.kind = EVENT_DEADLINE, .node = NO_INDEX};
    control_step(sim, plane, &event);
}

void control_ahead(const struct plane *plane, uint32_t node)
{
    const char *row = (const char *)&plane->nodes[node];
    core_ahead(plane->core, node);
    for (size_t i = 0; i < sizeof plane->nodes[0]; i += 64)
        __builtin_prefetch(row + i, 1);
}

/* --- what node agents say ------------------------------------------------------------------------------- */

/* False: it is busy, and the node agent keeps the report. */
static bool take(struct sim *sim, struct plane *plane, uint32_t number, const struct record *record,
                 instant sent_at, uint64_t lost_below)
{
    struct plane_node *node = &plane->nodes[number];
    if (!control_has_room(plane))
        return false;
    if (record->boot > node->boot) {
        reports_boot(node, record->boot);
    }
    reports_accept(reports_of(node, record->boot), record->sequence, lost_below, plane->batch,
                   plane->durable_batch);
    dirty(sim, plane, false);
    sim->score.result.reports++;
    if (record->boot < node->boot)
        return true; /* what a boot before had put by is stored, and that is all */
    struct event *event = &plane->report;
    event->kind = EVENT_REPORT;
    event->node = number;
    event->of.report.boot = record->boot;
    event->of.report.sequence = record->sequence;
    event->of.report.age_ns = agent_age(&sim->agents[number], sent_at - record->sampled_at);
    memcpy(event->of.report.value, record->value, sizeof record->value);
    event->of.report.present = record->present;
    sim->store.nodes[number].seen_at = sim->now;
    control_step(sim, plane, event);
    return true;
}

static void answer_report(struct sim *sim, struct plane *plane, const struct happening *message,
                          uint64_t boot, instant taken_at)
{
    struct happening answer = {.kind = HAPPENING_ANSWER,
                               .node = message->node,
                               .boot = boot,
                               .sent_at = message->sent_at,
                               .taken_at = taken_at,
                               .began = message->kind == HAPPENING_BACKLOG,
                               .generation = (uint32_t)sim->agents[message->node].heard_epoch,
                               .list = NO_INDEX};
    offers_answer(sim, plane, &answer);
}

static void hear_report(struct sim *sim, struct plane *plane, const struct happening *message)
{
    const struct record *record = &sim->records[message->list];
    if (take(sim, plane, message->node, record, message->sent_at, message->number))
        answer_report(sim, plane, message, record->boot, record->sampled_at);
    record_drop(sim, message->list);
}

/* The oldest of each boot tells that nothing older will come. */
static void hear_backlog(struct sim *sim, struct plane *plane, const struct happening *message)
{
    const struct agent *agent = &sim->agents[message->node];
    const struct record *last = NULL;
    uint64_t boot = 0, lost_below = 0;
    uint32_t taken = 0;
    for (uint32_t i = agent->first; i != NO_INDEX && taken < BATCH_MAX; i = sim->records[i].next) {
        const struct record *record = &sim->records[i];
        if (record->boot != boot)
            lost_below = record->sequence;
        boot = record->boot;
        if (record->sampled_at >= (instant)message->number)
            break;
        if (!agent_wants_forwarded(agent, record, (instant)message->number))
            continue;
        if (!take(sim, plane, message->node, record, message->sent_at, lost_below))
            break;
        last = record;
        taken++;
    }
    if (last)
        answer_report(sim, plane, message, last->boot, last->sampled_at);
}

static void fill_hello(const struct sim *sim, uint32_t node, uint64_t boot, struct hello *hello)
{
    const struct world_node *what = &sim->fleet[node];
    memset(hello, 0, sizeof *hello);
    memcpy(hello->name, sim->names[node], sizeof hello->name);
    hello->boot = boot;
    hello->interval_ns = what->interval_ns;
    memcpy(hello->calls, what->calls, what->calls_count * sizeof what->calls[0]);
    hello->calls_count = what->calls_count;
}

static void put_node_row(struct sim *sim, struct plane *plane, uint32_t node, uint8_t kind, uint64_t boot)
{
    rows_put(plane, &(struct row){.batch = plane->batch, .kind = kind, .boot = boot, .effect.node = node});
    plane->nodes[node].batch = plane->batch;
    dirty(sim, plane, true);
}

static void hear_hello(struct sim *sim, struct plane *plane, const struct happening *message)
{
    struct plane_node *node = &plane->nodes[message->node];
    struct event event = {.kind = EVENT_HELLO, .node = message->node};
    if (!control_has_room(plane) || message->boot < node->boot)
        return;
    if (message->boot > node->boot) {
        reports_boot(node, message->boot);
    }
    fill_hello(sim, message->node, message->boot, &event.of.hello);
    node->told = true;
    put_node_row(sim, plane, message->node, ROW_HELLO, message->boot);
    sim->store.nodes[message->node].seen_at = sim->now;
    control_step(sim, plane, &event);
    struct happening answer = {
        .kind = HAPPENING_WELCOME, .node = message->node, .boot = message->boot, .sent_at = message->sent_at};
    offers_answer(sim, plane, &answer);
}

static void hear_goodbye(struct sim *sim, struct plane *plane, const struct happening *message)
{
    struct event event = {.kind = EVENT_GOODBYE, .node = message->node};
    if (!control_has_room(plane) || message->boot < plane->nodes[message->node].boot)
        return;
    put_node_row(sim, plane, message->node, ROW_GOODBYE, 0);
    control_step(sim, plane, &event);
}

static void hear_outcome(struct sim *sim, struct plane *plane, const struct happening *message)
{
    struct event event = {.kind = EVENT_COMMAND_END, .node = message->node};
    if (!control_has_room(plane))
        return;
    event.of.command_end = (struct command_end){
        .command = message->number, .outcome = message->outcome, .began = message->began};
    control_step(sim, plane, &event);
    struct happening answer = {.kind = HAPPENING_THANKS,
                               .node = message->node,
                               .number = message->number,
                               .sent_at = message->sent_at};
    offers_answer(sim, plane, &answer);
}

static void hear(struct sim *sim, struct plane *plane, const struct happening *message)
{
    bool known = plane->nodes[message->node].told;
    if (message->kind == HAPPENING_HELLO) {
        hear_hello(sim, plane, message);
    } else if (!known && message->kind != HAPPENING_GOODBYE) {
        struct happening who = {.kind = HAPPENING_ANSWER,
                                .node = message->node,
                                .outcome = 1,
                                .began = message->kind == HAPPENING_BACKLOG,
                                .epoch = plane->epoch,
                                .list = NO_INDEX};
        message_drop(sim, message);
        way_back(sim, &who, message->sent_at);
    } else if (message->kind == HAPPENING_REPORT) {
        hear_report(sim, plane, message);
    } else if (message->kind == HAPPENING_BACKLOG) {
        hear_backlog(sim, plane, message);
    } else if (message->kind == HAPPENING_OUTCOME) {
        hear_outcome(sim, plane, message);
    } else if (known) {
        hear_goodbye(sim, plane, message);
    }
}

/* --- suspended ------------------------------------------------------------------------------------------ */

/* It lies in the socket, until there are too many of them. */
static void queue_up(struct sim *sim, struct plane *plane, const struct happening *message)
{
    if (plane->socket_count >= 1024 + 4 * sim->nodes) {
        message_drop(sim, message);
        return;
    }
    if (plane->socket_count == plane->socket_room)
        plane->sockets = sim_grow(plane->sockets, &plane->socket_room, sizeof plane->sockets[0]);
    plane->sockets[plane->socket_count++] = *message;
}

static bool is_of_the_plane(const struct happening *happening)
{
    return happening->kind == HAPPENING_FLUSH || happening->kind == HAPPENING_COMMIT_END;
}

void control_hear(struct sim *sim, struct plane *plane, const struct happening *happening)
{
    bool own = is_of_the_plane(happening);
    if (own && happening->generation != plane->generation)
        return;
    if (plane->state == PLANE_SUSPENDED) {
        queue_up(sim, plane, happening);
    } else if (plane->state != PLANE_UP) {
        sim_fate(sim, SIM_FATE_NOBODY_THERE);
        message_drop(sim, happening);
    } else if (happening->kind == HAPPENING_FLUSH) {
        control_flush(sim, plane);
    } else if (own) {
        control_commit_end(sim, plane);
    } else {
        hear(sim, plane, happening);
    }
}

void control_suspend(struct sim *sim, struct plane *plane)
{
    if (plane->state != PLANE_UP)
        return;
    plane->state = PLANE_SUSPENDED;
    plane->suspended_at = sim->now;
}

/* What nobody waits for an answer to any more has been hung up on. */
void control_resume(struct sim *sim, struct plane *plane)
{
    if (plane->state != PLANE_SUSPENDED)
        return;
    duration away_ns = sim->now - plane->suspended_at;
    plane->state = PLANE_UP;
    plane->deadlines_from = sim->now + (away_ns > GAP_NS     ? GAP_WAIT_NS
                                        : away_ns > STALL_NS ? STALL_WAIT_NS
                                                             : 0);
    if (away_ns > GAP_NS && control_has_room(plane)) {
        struct event event = {.kind = EVENT_GAP, .node = NO_INDEX, .of.gap.length_ns = away_ns};
        control_step(sim, plane, &event);
    }
    for (uint32_t i = 0; i < plane->socket_count; i++) {
        struct happening waited = plane->sockets[i];
        bool hung_up = !is_of_the_plane(&waited) && sim->now - waited.sent_at > ANSWER_LIMIT_NS;
        if (hung_up) {
            sim_fate(sim, SIM_FATE_HUNG_UP);
            message_drop(sim, &waited);
        } else {
            control_hear(sim, plane, &waited);
        }
    }
    plane->socket_count = 0;
}

/* --- crash and restore ---------------------------------------------------------------------------------- */

/* How far the store has everybody's reports. */
static void save_ledgers(struct sim *sim, struct plane *plane)
{
    for (uint32_t i = 0; plane->nodes && i < sim->nodes; i++) {
        struct store_node *stored = &sim->store.nodes[i];
        for (int k = 0; k < 2; k++) {
            struct ledger *ledger = k == 0 ? &plane->nodes[i].ledger : plane->nodes[i].past;
            uint64_t through = ledger ? reports_stored(ledger, plane->durable_batch) : 0;
            if (ledger && ledger->boot == stored->boot && through > stored->boot_stored)
                stored->boot_stored = through;
            else if (ledger && ledger->boot == stored->past_boot && through > stored->past_stored)
                stored->past_stored = through;
        }
    }
}

void control_forget_nodes(const struct sim *sim, struct plane *plane)
{
    for (uint32_t i = 0; plane->nodes && i < sim->nodes; i++)
        free(plane->nodes[i].past);
    free(plane->nodes);
    plane->nodes = NULL;
}

void control_end(struct sim *sim, struct plane *plane, enum plane_state state)
{
    if (plane->core) {
        bool lucky = sim_draw(sim, PURPOSE_CRASH, plane->number, plane->generation) & 1;
        bool kept = plane->committing && lucky && plane->epoch == sim->store.owner;
        if (plane->committing)
            sim_fate(sim, kept ? SIM_FATE_COMMIT_KEPT : SIM_FATE_COMMIT_LOST);
        if (plane->dirty)
            sim_fate(sim, SIM_FATE_ROWS_LOST);
        if (kept) {
            make_durable(sim, plane);
            if (plane == sim->plane)
                SIM_TELL(sim, committed, sim->now, plane->committing_ticket);
        }
        save_ledgers(sim, plane);
        sim_fold(sim, core_digest(plane->core));
    }
    for (uint32_t i = 0; i < plane->socket_count; i++)
        message_drop(sim, &plane->sockets[i]);
    free(plane->core_memory);
    free(plane->gate);
    control_forget_nodes(sim, plane);
    plane->core_memory = NULL;
    plane->core = NULL;
    plane->gate = NULL;
    plane->order_count = plane->answer_count = plane->row_count = plane->row_first = 0;
    plane->socket_count = 0;
    plane->committing = plane->dirty = plane->urgent = plane->flushing = false;
    plane->batch = 1;
    plane->durable_batch = plane->committing_batch = plane->ticket = plane->committing_ticket = 0;
    plane->deadlines_from = INSTANT_NONE;
    plane->generation++;
    plane->state = state;
}

static void commit_at_once(struct sim *sim, struct plane *plane)
{
    commit_begin(sim, plane);
    make_durable(sim, plane);
    let_out(sim, plane);
    plane->flushing = false;
    plane->generation++; /* the end of that commit means nothing any more */
}

static void restore(struct sim *sim, struct plane *plane, uint32_t node, const struct restore *what)
{
    struct event event = {.kind = EVENT_RESTORE, .node = node};
    event.of.restore = *what;
    while (!control_has_room(plane)) /* more than the gate holds: nobody hears of it before the disk has it */
        commit_at_once(sim, plane);
    control_step(sim, plane, &event);
}

static void restore_nodes(struct sim *sim, struct plane *plane)
{
    instant went_at = INSTANT_NONE;
    for (uint32_t i = 0; i < sim->nodes; i++)
        if (sim->store.nodes[i].known && sim->store.nodes[i].seen_at > went_at)
            went_at = sim->store.nodes[i].seen_at;
    for (uint32_t i = 0; i < sim->nodes; i++) {
        const struct store_node *stored = &sim->store.nodes[i];
        struct plane_node *node = &plane->nodes[i];
        if (!stored->known)
            continue;
        node->boot = stored->boot;
        node->ledger = (struct ledger){
            .boot = stored->boot, .through = stored->boot_stored, .stored = stored->boot_stored};
        if (stored->past_boot != 0)
            *reports_of(node, stored->past_boot) = (struct ledger){
                .boot = stored->past_boot, .through = stored->past_stored, .stored = stored->past_stored};
        node->told = true;
        bool was_here = !stored->gone && went_at - stored->seen_at < MINUTE;
        struct event event = {.kind = was_here ? EVENT_HELLO : EVENT_RESTORE, .node = i};
        if (!was_here)
            event.of.restore.kind = RESTORE_NODE;
        fill_hello(sim, i, stored->boot, was_here ? &event.of.hello : &event.of.restore.what.node);
        control_step(sim, plane, &event);
    }
}

static void restore_rows(struct sim *sim, struct plane *plane)
{
    const struct store *store = &sim->store;
    instant since = sim->now - core_policy(plane->core)->guards.recurrence_ns;
    restore_nodes(sim, plane);
    for (uint32_t i = 0; i < sim->nodes; i++)
        if (store->nodes[i].target)
            restore(sim, plane, i,
                    &(struct restore){.kind = RESTORE_TARGET, .what.target = *store->nodes[i].target});
    for (uint32_t i = 0; i < store->incident_count; i++) {
        struct incident incident = store->incidents[i];
        if (incident.state != INCIDENT_RESOLVED || incident.closed_at >= since)
            restore(sim, plane, incident.node,
                    &(struct restore){.kind = RESTORE_INCIDENT, .what.incident = incident});
    }
    for (uint32_t i = 0; i < store->command_count; i++) {
        struct command command = store->commands[i];
        if (command.ordered_at < sim->now - SPAN_MAX_NS)
            continue;
        restore(sim, plane, command.node,
                &(struct restore){.kind = RESTORE_ACTION, .what.action = core_restored_action(&command)});
        offers_restore(plane, &command);
    }
}

static void take_memory(struct sim *sim, struct plane *plane)
{
    const struct core_config config = {
        .node_capacity = sim->nodes, .incident_capacity = 512 + sim->nodes / 8, .seed = sim->options.seed};
    plane->core_memory = sim_block(1, core_size(&config));
    void *gate = malloc(gate_size(GATE_ROOM));
    plane->nodes = sim_block(sim->nodes, sizeof plane->nodes[0]);
    CHECK(plane->core_memory && gate && plane->nodes);
    plane->core = core_init(plane->core_memory, &config);
    plane->gate = gate_init(gate, GATE_ROOM);
}

void control_begin(struct sim *sim, struct plane *plane)
{
    struct store *store = &sim->store;
    if (sim->plane && sim->plane->core)
        save_ledgers(sim, sim->plane);
    take_memory(sim, plane);
    plane->epoch = ++store->control.epoch;
    store->owner = plane->epoch;
    if (store->incident_count > 0 &&
        store->control.next_incident <= store->incidents[store->incident_count - 1].id)
        store->control.next_incident = store->incidents[store->incident_count - 1].id + 1;
    sim->plane = plane;
    plane->state = PLANE_UP;
    struct event policy = {.kind = EVENT_POLICY, .node = NO_INDEX, .of.policy = &sim->policy};
    control_step(sim, plane, &policy);
    restore(sim, plane, NO_INDEX, &(struct restore){.kind = RESTORE_CONTROL, .what.control = store->control});
    restore_rows(sim, plane);
}
