/* The way between node agents and the control plane: messages take their time, are lost, doubled, and
 * overtake each other. */
#include "sim/state.h"

uint32_t list_new(struct sim *sim)
{
    if (sim->list_free == NO_INDEX) {
        if (sim->list_count == sim->list_room)
            sim->lists = sim_grow(sim->lists, &sim->list_room, sizeof sim->lists[0]);
        sim->lists[sim->list_count].next = NO_INDEX;
        sim->list_free = sim->list_count++;
    }
    uint32_t list = sim->list_free;
    sim->list_free = sim->lists[list].next;
    sim->lists[list].count = 0;
    return list;
}

void list_free(struct sim *sim, uint32_t list)
{
    if (list == NO_INDEX)
        return;
    sim->lists[list].next = sim->list_free;
    sim->list_free = list;
}

void message_drop(struct sim *sim, const struct happening *message)
{
    if (message->kind == HAPPENING_REPORT)
        record_drop(sim, message->list);
    else if (message->kind == HAPPENING_ANSWER)
        list_free(sim, message->list);
}

static bool is_steady(const struct sim *sim)
{
    return sim->network.tail_ns == 0 && sim->network.loss_ratio <= 0 && sim->network.double_ratio <= 0;
}

static bool happens(const struct sim *sim, enum purpose purpose, uint32_t node, uint64_t count, double ratio)
{
    return ratio > 0 && random_unit(sim_draw(sim, purpose, node, count)) < ratio;
}

static void note_fate(struct sim *sim, struct agent *agent, const struct happening *message, bool copy)
{
    if (copy)
        sim_fate(sim, SIM_FATE_DOUBLED);
    if (message->at - sim->now > ANSWER_LIMIT_NS)
        sim_fate(sim, SIM_FATE_LATE);
    if (message->at < agent->latest_at)
        sim_fate(sim, SIM_FATE_OVERTAKEN);
    agent->latest_at = message->at > agent->latest_at ? message->at : agent->latest_at;
}

void way_there(struct sim *sim, struct happening *message)
{
    struct agent *agent = &sim->agents[message->node];
    const struct scenario_network *network = &sim->network;
    uint64_t count = agent->messages++;
    message->sent_at = sim->now;
    message->boot = message->boot ? message->boot : agent->boot;
    if (agent->cut_off || happens(sim, PURPOSE_LOSS_THERE, message->node, count, network->loss_ratio)) {
        sim_fate(sim, agent->cut_off ? SIM_FATE_CUT_OFF : SIM_FATE_LOST_THERE);
        message_drop(sim, message);
        return;
    }
    if (is_steady(sim)) {
        message->at = sim->now + network->least_ns;
        sim_put(sim, LANE_THERE, message);
        return;
    }
    bool twice = happens(sim, PURPOSE_DOUBLE, message->node, count, network->double_ratio);
    for (uint64_t copy = 0; copy <= twice; copy++) {
        uint64_t draw = sim_draw(sim, PURPOSE_THERE, message->node, 2 * count + copy);
        message->at = sim->now + sim_delay(draw, network->least_ns, network->tail_ns);
        if (copy > 0 && message->kind == HAPPENING_REPORT)
            sim->records[message->list].references++;
        note_fate(sim, agent, message, copy > 0);
        sim_put(sim, LANE_NONE, message);
    }
}

/* Whether the node agent is still there to hear it is seen when it arrives. */
void way_back(struct sim *sim, struct happening *answer, instant question_at)
{
    struct agent *agent = &sim->agents[answer->node];
    const struct scenario_network *network = &sim->network;
    uint64_t count = agent->messages++;
    answer->sent_at = question_at;
    if (happens(sim, PURPOSE_LOSS_BACK, answer->node, count, network->loss_ratio)) {
        sim_fate(sim, SIM_FATE_LOST_BACK);
        message_drop(sim, answer);
        return;
    }
    uint64_t draw = is_steady(sim) ? 0 : sim_draw(sim, PURPOSE_BACK, answer->node, count);
    answer->at = sim->now + sim_delay(draw, network->least_ns, network->tail_ns);
    sim_put(sim, is_steady(sim) ? LANE_BACK : LANE_NONE, answer);
}
