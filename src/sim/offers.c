/* What the control plane offers to node agents, and its answers: they wait until what they are about is
 * durable. */
#include "sim/state.h"

static void add(struct plane *plane, const struct command *command, bool visible)
{
    if (plane->order_count == plane->order_room)
        plane->orders = sim_grow(plane->orders, &plane->order_room, sizeof plane->orders[0]);
    plane->orders[plane->order_count++] = (struct order){.command = *command, .visible = visible};
    plane->nodes[command->node].orders++;
}

static struct order *find(struct plane *plane, uint64_t id)
{
    for (uint32_t i = 0; i < plane->order_count; i++)
        if (plane->orders[i].command.id == id)
            return &plane->orders[i];
    return NULL;
}

static void take_out(struct plane *plane, struct order *order)
{
    plane->nodes[order->command.node].orders--;
    *order = plane->orders[--plane->order_count];
}

void offers_note(struct plane *plane, const struct effect *effect)
{
    struct order *order = find(plane, effect->of.command.id);
    if (effect->kind == EFFECT_ACT)
        add(plane, &effect->of.command, false);
    else if (order)
        take_out(plane, order);
}

void offers_restore(struct plane *plane, const struct command *command)
{
    const struct incident *incident = core_incident(plane->core, command->incident);
    if (incident && incident->state == INCIDENT_ACTING && incident->command == command->id)
        add(plane, command, true);
}

static void add_waiting(struct sim *sim, struct plane *plane, struct happening *answer)
{
    for (uint32_t i = 0; i < plane->order_count; i++) {
        const struct order *order = &plane->orders[i];
        if (order->command.node != answer->node || !order->visible || order->command.expires_at <= sim->now)
            continue;
        if (answer->list == NO_INDEX)
            answer->list = list_new(sim);
        struct list *list = &sim->lists[answer->list];
        if (list->count == LIST_MAX)
            return;
        list->expires_in_ns[list->count] = order->command.expires_at - sim->now;
        list->command[list->count++] = order->command;
    }
}

static void send(struct sim *sim, struct plane *plane, struct happening *answer)
{
    struct plane_node *node = &plane->nodes[answer->node];
    instant question_at = answer->sent_at;
    answer->epoch = plane->epoch;
    if (answer->kind == HAPPENING_ANSWER) {
        answer->list = NO_INDEX;
        if (answer->boot != 0)
            answer->number = reports_stored(reports_of(node, answer->boot), plane->durable_batch);
        if (node->orders > 0)
            add_waiting(sim, plane, answer);
    }
    way_back(sim, answer, question_at);
}

void offers_answer(struct sim *sim, struct plane *plane, struct happening *answer)
{
    uint64_t batch = plane->nodes[answer->node].batch;
    if (batch <= plane->durable_batch) {
        send(sim, plane, answer);
        return;
    }
    if (plane->answer_count == plane->answer_room)
        plane->answers = sim_grow(plane->answers, &plane->answer_room, sizeof plane->answers[0]);
    plane->answers[plane->answer_count++] = (struct waiting_answer){.answer = *answer, .batch = batch};
}

void offers_answer_durable(struct sim *sim, struct plane *plane)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < plane->answer_count; i++) {
        if (plane->answers[i].batch <= plane->durable_batch)
            send(sim, plane, &plane->answers[i].answer);
        else
            plane->answers[kept++] = plane->answers[i];
    }
    plane->answer_count = kept;
}

/* The gate has let it out. A node agent that reports seldom is waiting for it already. */
void offers_show(struct sim *sim, struct plane *plane, const struct command *command)
{
    struct order *order = find(plane, command->id);
    if (!order)
        return; /* it ended in the meantime */
    order->visible = true;
    score_ordered(sim, command);
    if (sim->fleet[command->node].interval_ns >= LONG_POLL_NS)
        send(sim, plane,
             &(struct happening){.kind = HAPPENING_ANSWER,
                                 .node = command->node,
                                 .sent_at = sim->now,
                                 .taken_at = INSTANT_NONE});
}
