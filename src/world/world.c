#include "world/world.h"

#include "state.h"

#include <string.h>

enum { CACHE_LINE = 64 };

size_t world_size(const struct world_config *config)
{
    CHECK(config->node_capacity >= 1 && config->node_capacity <= 1000000);
    return sizeof(struct world) + (size_t)config->node_capacity * sizeof(struct node);
}

struct world *world_init(void *memory, const struct world_config *config)
{
    _Static_assert(sizeof(struct face) == 64, "a face is one cache line");
    _Static_assert(sizeof(struct node) % 8 == 0 && sizeof(struct node) <= 1536, "what a node may cost");
    CHECK(config->timeout_ns > 0 && config->retries <= 16 && world_size(config) > 0);
    struct world *world = memory;
    world->config = *config;
    return world;
}

void world_config_default(struct world_config *config)
{
    *config = (struct world_config){.node_capacity = 64,
                                    .retries = 2,
                                    .seed = 1,
                                    .wave_ratio = 0.30,
                                    .wave_ns = 24 * HOUR,
                                    .burst_per_hour = 0.5,
                                    .noise_ratio = 1,
                                    .timeout_ns = SECOND,
                                    .warm_ns = 20 * SECOND};
}

void world_node_default(struct world_node *node)
{
    *node = (struct world_node){.interval_ns = SECOND,
                                .users_per_s = 540,
                                .capacity_per_s = 2000,
                                .service_time_s = 0.0005,
                                .memory_bytes = 64e6,
                                .storage_latency_s = 0.0005,
                                .network_latency_s = 0.0002};
}

/* Puts the node into the ring of its role. */
static void join_role(struct world *world, uint32_t node)
{
    struct face *face = &world->node[node].face;
    uint32_t *first = &world->first_of_role[face->role];
    if (*first == 0) {
        face->next_of_role = node;
        *first = node + 1;
        return;
    }
    struct face *head = &world->node[*first - 1].face;
    face->next_of_role = head->next_of_role;
    head->next_of_role = node;
}

static double usual_latency(const struct node *node)
{
    return node->network_latency_s + P99_SERVICE * node->service_time_s + node->storage_latency_s;
}

void world_add(struct world *world, uint32_t node, const struct world_node *what, instant now)
{
    CHECK(node < world->config.node_capacity && !world->node[node].face.known);
    CHECK(what->role < WORLD_ROLES_MAX && what->calls_count <= CALLS_MAX && what->capacity_per_s > 0 &&
          what->users_per_s >= 0);
    struct node *n = &world->node[node];
    n->face.known = n->face.up = n->was_up = 1;
    n->face.role = what->role;
    n->face.zone = what->zone;
    n->key = random_key(world->config.seed, node);
    n->phase = (duration)(random_draw(random_stream(n->key, PURPOSE_PHASE), 0) >> 17); /* of 2^47 ns */
    n->at = now;
    n->started_at = now - world->config.warm_ns; /* warm */
    n->down_from = n->down_until = n->off_until = now;
    n->users_per_s = what->users_per_s;
    n->capacity_per_s = what->capacity_per_s;
    n->service_time_s = what->service_time_s;
    n->memory_bytes = what->memory_bytes;
    n->storage_latency_s = what->storage_latency_s;
    n->network_latency_s = what->network_latency_s;
    n->usual_own_s = usual_latency(n);
    n->face.usual_s = n->face.latency_s = (float)n->usual_own_s;
    n->face.mean_s = (float)(n->network_latency_s + n->service_time_s);
    n->instances = 1;
    n->starts = 1;
    n->sibling = UINT32_MAX;
    n->weather.at = INSTANT_NONE;
    for (uint32_t i = 0; i < what->calls_count; i++) {
        CHECK(what->calls[i] < world->config.node_capacity);
        if (what->calls[i] != node) {
            n->calls[n->calls_count++] = what->calls[i];
        }
    }
    world->nodes++;
    join_role(world, node);
}

/* Dies or comes back. True if the service runs at `now`. */
static bool live(struct node *node, const struct forces *forces, instant now)
{
    if (forces->exit_ns > 0) {
        if (node->started_at < forces->released_at) {
            service_start(node, forces->released_at); /* the bad release is rolled out */
        }
        if (now >= node->started_at + forces->exit_ns) {
            node->dead = DEATH_BY_RELEASE; /* until the next start, or a better release */
        }
    } else if (node->dead == DEATH_BY_RELEASE) {
        node->dead = DEATH_NONE;
    }
    if (1 + node->leaked >= MEMORY_LIMIT) {
        node->dead = DEATH_OF_MEMORY;
    }
    bool up = !node->dead && !forces->crashed && !forces->off && now >= node->down_until;
    if (up && !node->was_up && node->down_until <= node->at && node->started_at <= node->at) {
        service_start(node, now); /* its cause has ended by itself */
    }
    node->was_up = up;
    return up;
}

/* Share of the time since the last sample that the service was being started. */
static double share_down(const struct node *node, duration took, instant now)
{
    instant from = node->down_from > node->at ? node->down_from : node->at;
    instant until = node->down_until < now ? node->down_until : now;
    return took <= 0 || until <= from ? 0 : (double)(until - from) / (double)took;
}

/* Nobody answers. */
static void be_down(struct node *node, double timeout, struct served *served)
{
    *served =
        (struct served){.own_fail = 1, .fail = 1, .mean_s = timeout, .p99_s = timeout, .own_p99_s = timeout};
    node->backlog = 0;
    node->saturated = 0;
    node->utilization = 0;
}

static void show_face(struct node *node, const struct served *served, const struct answer *answer, bool up)
{
    node->face.up = up;
    node->face.fail = (float)served->fail;
    node->face.refused = (float)served->refused;
    node->face.latency_s = (float)served->p99_s;
    node->face.mean_s = (float)served->mean_s;
    node->face.usual_s = (float)(node->usual_own_s + answer->usual_s);
    node->own_fail = served->own_fail;
    node->own_s = served->own_p99_s;
    node->fail = served->refused + (1 - served->refused) * served->fail;
    node->latency_s = served->p99_s;
}

/* The users' requests since the last sample: served here, or where they were sent instead. */
static void count_users(struct world *world, struct node *node, double users, double fail, double dt)
{
    if (node->face.drained) {
        const struct face *other = node->sibling == UINT32_MAX ? NULL : &world->node[node->sibling].face;
        fail = other == NULL ? 1 : (double)(other->refused + (1 - other->refused) * other->fail);
    }
    node->failed += users * dt * fail;
    node->served += users * dt * (1 - fail);
}

void world_sample(struct world *world, uint32_t node, instant now, struct world_sample *sample)
{
    struct node *n = node_of(world, node);
    CHECK(now >= n->at);
    duration took = now - n->at;
    double dt = duration_seconds(took);
    struct forces forces;
    struct sky sky;
    struct answer answer;
    struct served served;
    memset(sample, 0, sizeof *sample);
    fault_forces(n, now, &forces);
    noise_look(&world->config, n, now, &sky);
    n->leaked += MEMORY_LIMIT * forces.leak_per_min * dt / 60;
    bool up = live(n, &forces, now);
    double users = n->users_per_s * sky.load * forces.surge;
    double calls = (double)n->face.calls_milli / 1000;
    n->arrivals_per_s = n->face.drained ? calls : users + calls;
    graph_ask(world, n, &answer);
    if (up) {
        service_run(&world->config, n, &forces, &sky, &answer, n->arrivals_per_s, now, &served);
    } else {
        be_down(n, duration_seconds(world->config.timeout_ns), &served);
    }
    show_face(n, &served, &answer, up);
    graph_send(world, n, &answer, served.taken_per_s);
    if (n->face.drained || n->sibling != UINT32_MAX) {
        graph_send_users(world, n, n->face.drained ? users : 0);
    }
    double down = up ? share_down(n, took, now) : 1;
    count_users(world, n, users, down + (1 - down) * n->fail, dt);
    report_fill(&world->config, n, &forces, &sky, &served, down + (1 - down) * served.fail, n->arrivals_per_s,
                now, sample);
    n->samples++;
    n->at = now;
}

void world_ahead(const struct world *world, uint32_t node)
{
    const char *row = (const char *)&world->node[node];
    for (size_t i = 0; i < sizeof world->node[0]; i += CACHE_LINE)
        __builtin_prefetch(row + i, 1);
}

/* Users are worse off when they see it: every twentieth request fails, or answers take three times as long as
 * usual and 20 ms more. */
static bool hurts(double fail, double latency_s, double usual_s)
{
    return fail > 0.05 || latency_s > 3 * usual_s + 0.020;
}

void world_truth(const struct world *world, uint32_t node, instant now, struct world_truth *truth)
{
    CHECK(node < world->config.node_capacity && world->node[node].face.known);
    const struct node *n = &world->node[node];
    bool asked = n->arrivals_per_s > 0;
    *truth = (struct world_truth){.faults = fault_mask(n, now),
                                  .ill = asked && hurts(n->fail, n->latency_s, (double)n->face.usual_s),
                                  .ill_by_itself = asked && hurts(n->own_fail, n->own_s, n->usual_own_s),
                                  .up = n->was_up,
                                  .drained = n->face.drained,
                                  .served = n->served,
                                  .failed = n->failed};
    truth->ill |= truth->ill_by_itself;
}

uint64_t world_digest(const struct world *world)
{
    const unsigned char *bytes = (const unsigned char *)world;
    size_t size = world_size(&world->config);
    uint64_t digest = size;
    for (size_t i = 0; i + 8 <= size; i += 8) {
        uint64_t word;
        memcpy(&word, bytes + i, 8);
        digest = (digest ^ word) * 0x9fb21c651e98df25u;
        digest ^= digest >> 29;
    }
    return digest;
}
