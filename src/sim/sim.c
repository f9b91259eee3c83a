#include "sim/state.h"

#include "base/approx.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* --- what all files use --------------------------------------------------------------------------------- */

/* A large fleet is some tens of megabytes that are walked through again and again: with large pages that
 * costs far fewer look-ups of addresses. Only a hint. */
void *sim_block(size_t count, size_t item)
{
    const uintptr_t page = (uintptr_t)2 << 20;
    char *block = calloc(count, item);
    uintptr_t from = ((uintptr_t)block + page - 1) / page * page,
              to = ((uintptr_t)block + count * item) / page * page;
    if (block && from < to)
        madvise((void *)from, to - from, MADV_HUGEPAGE);
    return block;
}

void *sim_grow(void *list, uint32_t *room, size_t item)
{
    *room = *room > 0 ? 2 * *room : 64;
    void *grown = realloc(list, *room * item);
    CHECK(grown); /* a run that has lost its memory must not go on as if nothing were */
    return grown;
}

void sim_put(struct sim *sim, enum lane lane, struct happening *happening)
{
    CHECK(queue_put(sim->queue, lane, happening));
}

uint64_t sim_draw(const struct sim *sim, enum purpose purpose, uint64_t who, uint64_t count)
{
    return random_draw(random_stream(sim->streams[purpose], who), count);
}

/* At least `least_ns`, and an exponential tail of that mean: -ln(u) by the logarithm of our own. */
duration sim_delay(uint64_t draw, duration least_ns, duration tail_ns)
{
    if (tail_ns <= 0)
        return least_ns;
    double u = 1 - random_unit(draw);
    return least_ns + (duration)((double)tail_ns * -0.6931471805599453 * approx_log2(u));
}

void sim_fold(struct sim *sim, uint64_t word)
{
    sim->digest = (sim->digest ^ word) * 0xbf58476d1ce4e5b9u;
    sim->digest ^= sim->digest >> 29;
}

/* --- life ----------------------------------------------------------------------------------------------- */

static bool add_world(struct sim *sim)
{
    struct world_config config = sim->scenario->world;
    config.node_capacity = sim->nodes;
    config.seed = sim->options.seed;
    void *memory = sim_block(1, world_size(&config));
    if (!memory)
        return false;
    sim->world = world_init(memory, &config);
    for (uint32_t i = 0; i < sim->nodes; i++)
        world_add(sim->world, i, &sim->fleet[i], 0);
    return true;
}

static duration shortest_interval(const struct sim *sim)
{
    duration shortest = HOUR;
    for (uint32_t i = 0; i < sim->nodes; i++)
        if (sim->fleet[i].interval_ns < shortest)
            shortest = sim->fleet[i].interval_ns;
    return shortest;
}

static bool take_memory(struct sim *sim)
{
    sim->fleet = calloc(sim->nodes, sizeof sim->fleet[0]);
    sim->names = calloc(sim->nodes, sizeof sim->names[0]);
    sim->agents = sim_block(sim->nodes, sizeof sim->agents[0]);
    sim->store.nodes = sim_block(sim->nodes, sizeof sim->store.nodes[0]);
    if (!sim->fleet || !sim->names || !sim->agents || !sim->store.nodes)
        return false;
    scenario_lay_out(sim->scenario, sim->fleet, sim->names);
    sim->queue = queue_new(sim->nodes, shortest_interval(sim));
    return sim->queue && add_world(sim) && score_begin(sim);
}

static void set_up(struct sim *sim, const struct sim_options *options)
{
    const struct scenario *scenario = options->scenario;
    sim->options = *options;
    sim->options.seed = options->seed ? options->seed : scenario->seed;
    sim->scenario = scenario;
    sim->policy = *options->policy;
    sim->network = scenario->network;
    sim->nodes = scenario->node_count;
    sim->heal_at = scenario->length_ns;
    sim->end_at = scenario->length_ns + scenario->heal_ns;
    sim->record_free = sim->list_free = NO_INDEX;
    sim->store.control = (struct control){.next_incident = 1, .next_command = 1};
    for (uint8_t i = 0; i < 2; i++)
        sim->planes[i] = (struct plane){.number = i, .batch = 1, .deadlines_from = INSTANT_NONE};
    for (uint64_t purpose = 0; purpose < PURPOSE_COUNT; purpose++)
        sim->streams[purpose] = random_key(sim->options.seed, 0x53494d00 + purpose);
    sim_fold(sim, sim->options.seed);
}

struct sim *sim_new(const struct sim_options *options, char *error, size_t error_size)
{
    const struct scenario *scenario = options->scenario;
    struct sim *sim = NULL;
    snprintf(error, error_size, "out of memory");
    if (scenario->node_count < 1 || scenario->node_count > SCENARIO_NODES_MAX) {
        snprintf(error, error_size, "a scenario has 1 to %d nodes, not %u", SCENARIO_NODES_MAX,
                 scenario->node_count);
        return NULL;
    }
    if (options->watch_count > COUNT_OF(options->watch)) {
        snprintf(error, error_size, "more watchers than there is room for");
        return NULL;
    }
    sim = calloc(1, sizeof *sim);
    if (!sim)
        return NULL;
    set_up(sim, options);
    if (!take_memory(sim) || !script_begin(sim, error, error_size)) {
        sim_free(&sim);
        return NULL;
    }
    agents_begin(sim);
    control_begin(sim, &sim->planes[0]);
    return sim;
}

void sim_free(struct sim **owner)
{
    struct sim *sim = *owner;
    *owner = NULL;
    if (!sim)
        return;
    for (int i = 0; i < 2; i++) {
        struct plane *plane = &sim->planes[i];
        free(plane->core_memory);
        free(plane->gate);
        control_forget_nodes(sim, plane);
        free(plane->orders);
        free(plane->answers);
        free(plane->rows);
        free(plane->sockets);
    }
    for (uint32_t i = 0; sim->agents && i < sim->nodes; i++) {
        if (sim->agents[i].commander)
            free(sim->agents[i].commander->entries);
        free(sim->agents[i].commander);
    }
    if (sim->queue)
        queue_free(&sim->queue);
    rows_fini(&sim->store, sim->nodes);
    score_fini(sim);
    free(sim->world);
    free(sim->fleet);
    free(sim->names);
    free(sim->agents);
    free(sim->records);
    free(sim->lists);
    free(sim->policies);
    free(sim);
}

/* --- turns ---------------------------------------------------------------------------------------------- */

/* While an older control plane has not noticed that it was replaced, a node agent may reach either. */
static struct plane *plane_reached(struct sim *sim, const struct happening *message)
{
    struct plane *other = &sim->planes[!sim->plane->number];
    if (!other->core)
        return sim->plane;
    bool old = sim_draw(sim, PURPOSE_WHICH_PLANE, message->node, sim->turns) & 1;
    return !sim->plane->core || old ? other : sim->plane;
}

static void handle(struct sim *sim, const struct happening *happening)
{
    switch ((enum happening_kind)happening->kind) {
    case HAPPENING_REPORT:
    case HAPPENING_BACKLOG:
    case HAPPENING_HELLO:
    case HAPPENING_GOODBYE:
    case HAPPENING_OUTCOME:
        control_hear(sim, plane_reached(sim, happening), happening);
        break;
    case HAPPENING_FLUSH:
    case HAPPENING_COMMIT_END:
        control_hear(sim, &sim->planes[happening->plane], happening);
        break;
    case HAPPENING_ANSWER:
    case HAPPENING_WELCOME:
    case HAPPENING_THANKS:
        agent_hear(sim, happening);
        break;
    case HAPPENING_WORK_DONE:
        agent_work_done(sim, happening);
        break;
    case HAPPENING_TELL_AGAIN:
        sim->agents[happening->node].commander->again = false;
        agent_tell(sim, happening->node);
        break;
    default:
        script_turn(sim, happening);
    }
}

/* The control plane whose deadline comes first, and when; what happened at that instant comes before it. */
static struct plane *next_deadline(struct sim *sim, instant *at)
{
    struct plane *plane = &sim->planes[0];
    *at = control_deadline_at(plane);
    instant second_at = control_deadline_at(&sim->planes[1]);
    if (second_at < *at) {
        plane = &sim->planes[1];
        *at = second_at;
    }
    return plane;
}

/* A fleet is larger than the caches, and its nodes come in no order that a processor could guess: what will
 * be touched a few happenings later is fetched meanwhile. */
static void look_ahead(struct sim *sim, bool sample)
{
    enum { PLACES = 6 };
    uint32_t node = sample ? queue_ahead(sim->queue) : QUEUE_NOBODY;
    if (node != QUEUE_NOBODY) {
        world_ahead(sim->world, node);
        agent_ahead(sim, node);
    }
    const struct happening *message = queue_lane_ahead(sim->queue, LANE_THERE, PLACES);
    if (!sample && message && sim->plane->core)
        control_ahead(sim->plane, message->node);
}

/* A core that asks for a deadline and does not serve it would ask for ever, and time would stand still. */
static void serve_deadline(struct sim *sim, struct plane *plane)
{
    const uint64_t most = 1000000 + 16 * (uint64_t)sim->nodes;
    if (++sim->deadlines_at_once > most)
        check_failed("the core asks for a deadline again and again and does not serve it", __FILE__,
                     __LINE__);
    control_deadline(sim, plane);
}

bool sim_turn(struct sim *sim)
{
    instant deadline_at;
    struct plane *plane = next_deadline(sim, &deadline_at);
    instant at = queue_at(sim->queue);
    bool deadline = deadline_at < at;
    at = deadline ? deadline_at : at;
    if (at > sim->end_at) {
        sim->now = sim->end_at;
        return false;
    }
    sim->deadlines_at_once = at > sim->now ? 0 : sim->deadlines_at_once;
    sim->now = at > sim->now ? at : sim->now;
    sim->turns++;
    struct happening happening;
    uint32_t node = NO_INDEX;
    uint64_t kind = HAPPENING_SAMPLE;
    if (deadline) {
        kind = HAPPENING_DEADLINE;
        serve_deadline(sim, plane);
    } else if (queue_take(sim->queue, &happening, &node)) {
        kind = happening.kind;
        node = happening.node;
        handle(sim, &happening);
    } else {
        agent_sample(sim, node);
    }
    look_ahead(sim, kind == HAPPENING_SAMPLE);
    sim_fold(sim, (uint64_t)sim->now ^ kind << 56 ^ (uint64_t)node << 24);
    return true;
}

/* --- looking in ----------------------------------------------------------------------------------------- */

instant sim_now(const struct sim *sim)
{
    return sim->now;
}

instant sim_end(const struct sim *sim)
{
    return sim->end_at;
}

const struct core *sim_core(const struct sim *sim)
{
    return sim->plane->core;
}

const struct world *sim_world(const struct sim *sim)
{
    return sim->world;
}

const char *sim_node_name(const struct sim *sim, uint32_t node)
{
    return node < sim->nodes ? sim->names[node] : "";
}

uint32_t sim_nodes(const struct sim *sim)
{
    return sim->nodes;
}

uint64_t sim_overdue(const struct sim *sim, uint32_t node)
{
    const struct agent *agent = &sim->agents[node];
    duration old_ns = 30 * SECOND + 2 * agent->interval_ns;
    uint64_t count = 0;
    for (uint32_t r = agent->first; r != NO_INDEX; r = sim->records[r].next)
        count += sim->now - sim->records[r].sampled_at > old_ns;
    return count;
}

void sim_rest(const struct sim *sim, struct sim_rest *rest)
{
    *rest = (struct sim_rest){0};
    for (uint32_t i = 0; i < sim->nodes; i++) {
        const struct agent *agent = &sim->agents[i];
        const struct commander *commander = agent->commander;
        rest->spooled += agent->spooled;
        rest->lost += agent->lost;
        rest->overdue += sim_overdue(sim, i);
        for (uint32_t e = 0; commander && e < commander->count; e++)
            rest->untold +=
                !commander->entries[e].acknowledged && commander->entries[e].outcome != OUTCOME_NONE;
        if (commander)
            rest->running += commander->waiting + (commander->running != 0);
    }
}

void sim_accident(struct sim *sim, const struct scenario_accident *accident)
{
    sim->own = *accident;
    script_accident(sim, ACCIDENT_OF_CALLER);
}

bool sim_event(struct sim *sim, struct event *event)
{
    if (sim->plane->state != PLANE_UP || !control_has_room(sim->plane))
        return false;
    control_step(sim, sim->plane, event);
    return true;
}
