/* Node agents: one sample per interval, a spool until it is durable, a journal of commands, each carried out
 * at most once. What the real one promises (src/agent), without its sockets and files. */
#include "sim/state.h"

#include <stdlib.h>
#include <string.h>

duration agent_age(const struct agent *agent, duration true_ns)
{
    return (duration)((double)true_ns * agent->rate);
}

static bool is_away(const struct sim *sim, const struct agent *agent)
{
    return agent->away_until > sim->now;
}

/* --- the spool ------------------------------------------------------------------------------------------ */

void record_drop(struct sim *sim, uint32_t number)
{
    struct record *record = &sim->records[number];
    CHECK(record->references > 0);
    if (--record->references == 0) {
        record->next = sim->record_free;
        sim->record_free = number;
    }
}

static uint32_t record_new(struct sim *sim)
{
    if (sim->record_free == NO_INDEX) {
        if (sim->record_count == sim->record_room)
            sim->records = sim_grow(sim->records, &sim->record_room, sizeof sim->records[0]);
        sim->records[sim->record_count].next = NO_INDEX;
        sim->record_free = sim->record_count++;
    }
    uint32_t number = sim->record_free;
    sim->record_free = sim->records[number].next;
    return number;
}

static void spool_pop(struct sim *sim, struct agent *agent)
{
    uint32_t first = agent->first;
    agent->first = sim->records[first].next;
    agent->last = agent->first == NO_INDEX ? NO_INDEX : agent->last;
    agent->spooled--;
    record_drop(sim, first);
}

static void spool_put(struct sim *sim, struct agent *agent, uint32_t number)
{
    if (agent->spooled == SPOOL_MAX) {
        spool_pop(sim, agent);
        agent->lost++;
    }
    sim->records[number].next = NO_INDEX;
    if (agent->last == NO_INDEX)
        agent->first = number;
    else
        sim->records[agent->last].next = number;
    agent->last = number;
    agent->spooled++;
}

/* Of a boot before this one no further answer tells: but what was sent after it was accepted is durable, and
 * commits keep their order. */
static bool is_stored(const struct agent *agent, const struct record *record, const struct happening *answer)
{
    if (record->boot == answer->boot)
        return record->sequence <= answer->number;
    return answer->boot == agent->boot && answer->number > agent->proof &&
           answer->epoch == agent->heard_epoch && record->accepted == (uint32_t)agent->heard_epoch;
}

static void spool_forget(struct sim *sim, struct agent *agent, const struct happening *answer)
{
    while (agent->first != NO_INDEX && is_stored(agent, &sim->records[agent->first], answer))
        spool_pop(sim, agent);
    if (agent->first == NO_INDEX || sim->records[agent->first].boot == answer->boot)
        return;
    uint32_t before = agent->first; /* of another boot, whose reports are still to be forwarded */
    for (uint32_t next; (next = sim->records[before].next) != NO_INDEX;) {
        if (!is_stored(agent, &sim->records[next], answer)) {
            before = next;
            continue;
        }
        sim->records[before].next = sim->records[next].next;
        agent->last = agent->last == next ? before : agent->last;
        agent->spooled--;
        record_drop(sim, next);
    }
}

bool agent_wants_forwarded(const struct agent *agent, const struct record *record, instant before)
{
    return record->sampled_at < before && record->accepted != (uint32_t)agent->heard_epoch;
}

static void spool_accepted(struct sim *sim, struct agent *agent, const struct happening *answer)
{
    /* What another control plane had accepted was left out of that batch, and is to be forwarded again. */
    if (answer->began && answer->generation != (uint32_t)answer->epoch)
        return;
    for (uint32_t i = agent->first; i != NO_INDEX && sim->records[i].sampled_at <= answer->taken_at;
         i = sim->records[i].next)
        if (answer->began || sim->records[i].sampled_at == answer->taken_at)
            sim->records[i].accepted = (uint32_t)answer->epoch;
    if (answer->began || answer->boot != agent->boot)
        agent->proof = agent->sequence;
}

/* The oldest report of this boot that is still here: whatever came before it is durable or lost for good. */
static uint64_t spool_begins(const struct sim *sim, const struct agent *agent, uint64_t boot)
{
    uint32_t i = agent->first;
    while (sim->records[i].boot != boot)
        i = sim->records[i].next;
    return sim->records[i].sequence;
}

/* --- sending -------------------------------------------------------------------------------------------- */

static void say_hello(struct sim *sim, uint32_t node)
{
    struct agent *agent = &sim->agents[node];
    if (agent->hello_at != INSTANT_NONE && sim->now - agent->hello_at < HELLO_AGAIN_NS)
        return;
    agent->hello_at = sim->now;
    way_there(sim, &(struct happening){.kind = HAPPENING_HELLO, .node = node});
}

static void send_report(struct sim *sim, uint32_t node, uint32_t number)
{
    struct agent *agent = &sim->agents[node];
    sim->records[number].references++;
    way_there(sim, &(struct happening){.kind = HAPPENING_REPORT,
                                       .node = node,
                                       .list = number,
                                       .taken_at = sim->now,
                                       .number = spool_begins(sim, agent, agent->boot)});
}

/* What was not answered goes in batches behind the newest report, once the control plane is heard again. */
static void send_backlog(struct sim *sim, uint32_t node)
{
    struct agent *agent = &sim->agents[node];
    instant before = sim->now - ANSWER_LIMIT_NS;
    if (agent->backlog_at != INSTANT_NONE && sim->now - agent->backlog_at < ANSWER_LIMIT_NS)
        return;
    uint32_t i = agent->first;
    while (i != NO_INDEX && sim->records[i].sampled_at < before &&
           !agent_wants_forwarded(agent, &sim->records[i], before))
        i = sim->records[i].next;
    if (i == NO_INDEX || sim->records[i].sampled_at >= before)
        return;
    agent->backlog_at = sim->now;
    way_there(sim, &(struct happening){.kind = HAPPENING_BACKLOG, .node = node, .number = (uint64_t)before});
}

/* --- samples -------------------------------------------------------------------------------------------- */

static struct entry *journal_find(struct agent *agent, uint64_t id)
{
    struct commander *commander = agent->commander;
    for (uint32_t i = commander ? commander->count : 0; i-- > 0;)
        if (commander->entries[i].id == id)
            return &commander->entries[i];
    return NULL;
}

/* The node agent's process has ended: its spool and its journal have not. What it was doing is cut. */
static void stop(struct agent *agent)
{
    struct commander *commander = agent->commander;
    agent->welcome = false;
    agent->hello_at = agent->backlog_at = INSTANT_NONE;
    if (!commander)
        return;
    struct entry *entry = commander->running ? journal_find(agent, commander->running) : NULL;
    if (entry)
        entry->outcome = OUTCOME_CUT;
    commander->running = 0;
    commander->waiting = 0;
}

static void boot(struct sim *sim, uint32_t node)
{
    struct agent *agent = &sim->agents[node];
    agent->boot++;
    agent->sequence = agent->proof = 0;
    agent->heard_epoch = 0;
    agent->down = agent->off = false;
    for (uint32_t i = agent->first; i != NO_INDEX; i = sim->records[i].next)
        sim->records[i].accepted = 0; /* what was answered is not on disk, so it is told again */
    agent_tell(sim, node);
}

static uint32_t take(struct sim *sim, uint32_t node, const struct world_sample *sample)
{
    struct agent *agent = &sim->agents[node];
    uint32_t number = record_new(sim);
    struct record *record = &sim->records[number];
    record->sampled_at = sim->now;
    record->boot = agent->boot;
    record->sequence = ++agent->sequence;
    memcpy(record->value, sample->value, sizeof record->value);
    record->present = sample->present;
    record->references = 1;
    record->accepted = 0;
    spool_put(sim, agent, number);
    return number;
}

/* Either the way is cut, and the node agent goes on by itself, or the node is off with all that runs on it.
 */
static bool is_off(const struct sim *sim, uint32_t node)
{
    struct world_truth truth;
    world_truth(sim->world, node, sim->now, &truth);
    return (truth.faults & 1u << FAULT_ZONE_OUTAGE) != 0;
}

void agent_ahead(const struct sim *sim, uint32_t node)
{
    const char *row = (const char *)&sim->agents[node];
    __builtin_prefetch(row, 1);
    __builtin_prefetch(row + sizeof sim->agents[0] - 1, 1);
}

void agent_sample(struct sim *sim, uint32_t node)
{
    struct agent *agent = &sim->agents[node];
    if (is_away(sim, agent)) {
        queue_sample(sim->queue, node, agent->away_until);
        return;
    }
    agent->away_until = INSTANT_NONE;
    queue_sample(sim->queue, node, sim->now + agent->interval_ns);
    if (agent->first != NO_INDEX) /* of the last interval, and long out of the cache by now */
        __builtin_prefetch(&sim->records[agent->first]);
    struct world_sample sample;
    world_sample(sim->world, node, sim->now, &sample);
    score_sample(sim, node);
    agent->cut_off = sample.silent;
    if (sample.silent && is_off(sim, node)) {
        stop(agent);
        agent->off = true;
        return;
    }
    if (agent->down || agent->off)
        boot(sim, node);
    uint32_t number = take(sim, node, &sample);
    if (!agent->welcome)
        say_hello(sim, node);
    else
        send_report(sim, node, number);
}

/* --- commands ------------------------------------------------------------------------------------------- */

static struct commander *commander_of(struct agent *agent)
{
    if (!agent->commander) {
        agent->commander = calloc(1, sizeof *agent->commander);
        CHECK(agent->commander);
    }
    return agent->commander;
}

static struct entry *journal_put(struct agent *agent, uint64_t id)
{
    struct commander *commander = commander_of(agent);
    if (commander->count == JOURNAL_MAX) {
        commander->id_floor =
            commander->entries[0].id > commander->id_floor ? commander->entries[0].id : commander->id_floor;
        memmove(&commander->entries[0], &commander->entries[1],
                --commander->count * sizeof commander->entries[0]);
    }
    if (commander->count == commander->room)
        commander->entries = sim_grow(commander->entries, &commander->room, sizeof commander->entries[0]);
    struct entry *entry = &commander->entries[commander->count++];
    memset(entry, 0, sizeof *entry);
    entry->id = id;
    return entry;
}

void agent_tell(struct sim *sim, uint32_t node)
{
    struct agent *agent = &sim->agents[node];
    struct commander *commander = agent->commander;
    bool any = false;
    for (uint32_t i = 0; commander && i < commander->count; i++) {
        const struct entry *entry = &commander->entries[i];
        if (entry->acknowledged || entry->outcome == OUTCOME_NONE)
            continue;
        any = true;
        way_there(sim, &(struct happening){.kind = HAPPENING_OUTCOME,
                                           .node = node,
                                           .number = entry->id,
                                           .outcome = entry->outcome,
                                           .began = entry->began});
    }
    if (!any || commander->again)
        return;
    commander->again = true;
    sim_put(sim, LANE_NONE,
            &(struct happening){.kind = HAPPENING_TELL_AGAIN, .node = node, .at = sim->now + TELL_AGAIN_NS});
}

static void record_outcome(struct sim *sim, uint32_t node, uint64_t id, enum outcome outcome, bool began)
{
    struct agent *agent = &sim->agents[node];
    struct entry *entry = journal_find(agent, id);
    if (!entry)
        entry = journal_put(agent, id);
    entry->outcome = (uint8_t)outcome;
    entry->began = began;
    agent_tell(sim, node);
}

static bool is_refused(const struct agent *agent, const struct command *command)
{
    return command->epoch < agent->epoch || (command->boot != 0 && command->boot != agent->boot) ||
           (agent->commander && command->id <= agent->commander->id_floor);
}

static void carry_out(struct sim *sim, uint32_t node, const struct command *command)
{
    struct agent *agent = &sim->agents[node];
    struct commander *commander = agent->commander;
    struct world_done done;
    uint32_t faults = script_faults(sim, node);
    world_remedy(sim->world, node, (enum remedy)command->remedy, sim->now, &done);
    if (done.outcome == OUTCOME_UNSUPPORTED) {
        record_outcome(sim, node, command->id, OUTCOME_UNSUPPORTED, false);
        return;
    }
    bool late = done.took_ns > WORK_LIMIT_NS;
    journal_put(agent, command->id)->began = 1;
    commander->running = command->id;
    commander->began_at = sim->now;
    commander->outcome = late ? OUTCOME_CUT : done.outcome;
    score_done(sim, &done);
    SIM_TELL(sim, effect, sim->now, command, &done);
    script_cured(sim, node, faults);
    sim_put(sim, LANE_NONE,
            &(struct happening){.kind = HAPPENING_WORK_DONE,
                                .node = node,
                                .boot = agent->boot,
                                .number = command->id,
                                .at = sim->now + (late ? WORK_LIMIT_NS : done.took_ns)});
}

static void next_command(struct sim *sim, uint32_t node)
{
    struct agent *agent = &sim->agents[node];
    struct commander *commander = agent->commander;
    while (commander->running == 0 && commander->waiting > 0) {
        struct waiting_command next = commander->queue[0];
        memmove(&commander->queue[0], &commander->queue[1], --commander->waiting * sizeof next);
        if (is_refused(agent, &next.command))
            record_outcome(sim, node, next.command.id, OUTCOME_REFUSED, false);
        else if (sim->now >= next.expires_at)
            record_outcome(sim, node, next.command.id, OUTCOME_EXPIRED, false);
        else
            carry_out(sim, node, &next.command);
    }
}

static bool is_waiting(const struct commander *commander, uint64_t id)
{
    for (uint32_t i = 0; i < commander->waiting; i++)
        if (commander->queue[i].command.id == id)
            return true;
    return commander->running == id;
}

/* `left_ns`: how long it may still begin, as the node agent's own clock has it. */
static void offer(struct sim *sim, uint32_t node, const struct command *command, duration left_ns)
{
    struct agent *agent = &sim->agents[node];
    struct commander *commander = commander_of(agent);
    if (is_waiting(commander, command->id))
        return;
    struct entry *known = journal_find(agent, command->id);
    if (known) {
        known->acknowledged = 0;
        agent_tell(sim, node);
        return;
    }
    SIM_TELL(sim, delivered, sim->now, command);
    if (is_refused(agent, command)) {
        record_outcome(sim, node, command->id, OUTCOME_REFUSED, false);
    } else if (left_ns <= 0) {
        record_outcome(sim, node, command->id, OUTCOME_EXPIRED, false);
    } else if (commander->waiting < OBEY_MAX) {
        agent->epoch = command->epoch;
        commander->queue[commander->waiting++] =
            (struct waiting_command){.command = *command, .expires_at = sim->now + left_ns};
    }
}

void agent_work_done(struct sim *sim, const struct happening *happening)
{
    struct agent *agent = &sim->agents[happening->node];
    struct commander *commander = agent->commander;
    if (agent->boot != happening->boot || commander->running != happening->number)
        return; /* cut by the end of the node agent */
    if (is_away(sim, agent)) {
        struct happening later = *happening;
        later.at = agent->away_until;
        sim_put(sim, LANE_NONE, &later);
        return;
    }
    bool late = sim->now - commander->began_at > WORK_LIMIT_NS;
    enum outcome outcome = late ? OUTCOME_CUT : (enum outcome)commander->outcome;
    commander->running = 0;
    record_outcome(sim, happening->node, happening->number, outcome, true);
    next_command(sim, happening->node);
}

/* --- answers -------------------------------------------------------------------------------------------- */

static void obey(struct sim *sim, const struct happening *answer)
{
    /* Counted from when the question was sent it is never too long. */
    duration age_ns = agent_age(&sim->agents[answer->node], sim->now - answer->sent_at);
    for (uint32_t i = 0; i < sim->lists[answer->list].count; i++) {
        struct command command = sim->lists[answer->list].command[i];
        offer(sim, answer->node, &command, sim->lists[answer->list].expires_in_ns[i] - age_ns);
    }
    next_command(sim, answer->node);
}

static void meet(struct sim *sim, uint32_t node, uint64_t epoch)
{
    struct agent *agent = &sim->agents[node];
    agent->epoch = epoch > agent->epoch ? epoch : agent->epoch;
    if (epoch <= agent->heard_epoch)
        return;
    bool other = agent->heard_epoch != 0;
    agent->heard_epoch = epoch;
    if (other)
        say_hello(sim, node);
}

static void hear(struct sim *sim, const struct happening *answer)
{
    struct agent *agent = &sim->agents[answer->node];
    switch ((enum happening_kind)answer->kind) {
    case HAPPENING_WELCOME:
        if (answer->boot == agent->boot) {
            bool news = !agent->welcome;
            agent->welcome = true;
            agent->hello_at = INSTANT_NONE;
            meet(sim, answer->node, answer->epoch);
            if (news && agent->last != NO_INDEX && sim->records[agent->last].boot == agent->boot &&
                sim->records[agent->last].accepted == 0 &&
                sim->records[agent->last].sampled_at == answer->sent_at)
                send_report(sim, answer->node, agent->last);
        }
        break;
    case HAPPENING_THANKS: {
        struct entry *entry = journal_find(agent, answer->number);
        if (entry)
            entry->acknowledged = 1;
        meet(sim, answer->node, answer->epoch);
        break;
    }
    default:
        meet(sim, answer->node, answer->epoch);
        if (answer->began && answer->sent_at == agent->backlog_at)
            agent->backlog_at = INSTANT_NONE; /* a doubled answer must not begin a second chain of batches */
        if (answer->outcome) {
            agent->welcome = false;
            say_hello(sim, answer->node);
            break;
        }
        spool_accepted(sim, agent, answer);
        spool_forget(sim, agent, answer);
        if (answer->list != NO_INDEX)
            obey(sim, answer);
        send_backlog(sim, answer->node);
    }
}

void agent_hear(struct sim *sim, const struct happening *answer)
{
    const struct agent *agent = &sim->agents[answer->node];
    bool suspended = is_away(sim, agent) && !agent->down && agent->away_until != INSTANT_NEVER;
    if (suspended) { /* it lies in the socket */
        struct happening later = *answer;
        later.at = agent->away_until;
        sim_put(sim, LANE_NONE, &later);
        return;
    }
    if (!is_away(sim, agent) && !agent->down && !agent->off && !agent->cut_off)
        hear(sim, answer);
    else
        sim_fate(sim, SIM_FATE_NOT_HEARD);
    message_drop(sim, answer);
}

/* --- coming and going ----------------------------------------------------------------------------------- */

static void go_away(struct sim *sim, uint32_t node, instant until)
{
    struct agent *agent = &sim->agents[node];
    agent->away_until = until > agent->away_until ? until : agent->away_until;
    queue_sample(sim->queue, node, agent->away_until);
}

void agent_crash(struct sim *sim, uint32_t node, instant until)
{
    stop(&sim->agents[node]);
    sim->agents[node].down = true;
    go_away(sim, node, until);
}

void agent_suspend(struct sim *sim, uint32_t node, instant until)
{
    go_away(sim, node, until);
}

void agent_leave(struct sim *sim, uint32_t node, instant until)
{
    way_there(sim, &(struct happening){.kind = HAPPENING_GOODBYE, .node = node});
    agent_crash(sim, node, until);
}

void agent_wake(struct sim *sim, uint32_t node)
{
    if (!is_away(sim, &sim->agents[node]))
        return;
    sim->agents[node].away_until = sim->now;
    queue_sample(sim->queue, node, sim->now);
}

void agents_begin(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->nodes; i++) {
        struct agent *agent = &sim->agents[i];
        double drift = 2 * random_unit(sim_draw(sim, PURPOSE_DRIFT, i, 0)) - 1;
        /* Each in its own part of the interval: they are visited as they lie in memory, which is worth half
         * of the time at ten thousand nodes. */
        double phase = i + random_unit(sim_draw(sim, PURPOSE_PHASE, i, 0));
        agent->away_until = agent->hello_at = agent->backlog_at = INSTANT_NONE;
        agent->boot = 1;
        agent->first = agent->last = NO_INDEX;
        agent->rate = 1 + drift * sim->network.drift_ratio;
        agent->interval_ns = (duration)((double)sim->fleet[i].interval_ns / agent->rate);
        queue_sample(sim->queue, i, (instant)(phase / sim->nodes * (double)agent->interval_ns));
    }
}
