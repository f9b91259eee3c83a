/* What the node agent measures: all metrics, with the noise of measuring. */
#include "base/approx.h"
#include "state.h"

static void set(struct world_sample *sample, enum metric metric, double value)
{
    sample->value[metric] = value;
    sample->present |= 1u << metric;
}

/* Errors are counted, and a small share of few requests is none at all, most of the time. */
static double counted(double share, double requests, double chance)
{
    double errors = (double)(int64_t)(share * requests + chance);
    return smaller(errors / requests, 1);
}

static void set_users(const struct node *node, const struct served *served, double fail, double arrivals,
                      double dt, double chance, bool pending, struct world_sample *sample)
{
    double requests = arrivals * (1 - served->refused) * (dt > 0 ? dt : 1);
    set(sample, METRIC_REQUEST_RATE, arrivals * (1 - served->refused) * (1 - fail));
    if (requests <= 1e-6 || pending) {
        return; /* nothing was sent, or nothing has ended */
    }
    double errors = requests >= 1 ? counted(larger(fail, 0.0002), requests, chance) : fail;
    set(sample, METRIC_ERROR_RATIO, errors);
    if (node->was_up) {
        set(sample, METRIC_REQUEST_LATENCY, served->p99_s);
    }
}

/* While it is dead: how it ended, as a shell tells it. */
static void set_exit(const struct node *node, const struct forces *forces, struct world_sample *sample)
{
    enum { KILLED = 128 + 9, FAILED = 1 };
    bool exited = node->dead == DEATH_BY_RELEASE || node->dead == DEATH_AT_START;
    if (exited || node->dead != DEATH_NONE || forces->crashed) {
        set(sample, METRIC_SERVICE_EXIT, exited ? FAILED : KILLED);
    }
}

/* Of its writes since the last sample. */
static void set_storage_errors(const struct forces *forces, const struct served *served, double dt,
                               double chance, struct world_sample *sample)
{
    double writes = WRITE_RATIO * served->taken_per_s * (dt > 0 ? dt : 1);
    double share = forces->files >= FULL_RATIO ? 1 : forces->io_errors;
    if (writes > 1e-6) {
        set(sample, METRIC_STORAGE_ERROR_RATIO, writes >= 1 ? counted(share, writes, chance) : share);
    }
}

static void set_service(const struct world_config *config, const struct node *node,
                        const struct forces *forces, const struct sky *sky, const struct served *served,
                        instant now, struct world_sample *sample)
{
    double warm =
        config->warm_ns <= 0 ? 1 : clamp((double)(now - node->started_at) / (double)config->warm_ns, 0, 1);
    double memory = node->memory_bytes * (0.7 + 0.3 * warm) * (1 + node->leaked) * sky->factor[NOISE_MEMORY];
    set(sample, METRIC_MEMORY_BYTES, (double)((int64_t)(memory / 4096) * 4096));
    set(sample, METRIC_CPU_UTILIZATION, served->cpu);
    set(sample, METRIC_STORAGE_LATENCY,
        node->storage_latency_s * sky->factor[NOISE_STORAGE] + forces->storage_s);
}

/* The node agent's pings: of the last sixty some are lost, by chance more or fewer than their share. */
static void set_link(struct node *node, const struct forces *forces, const struct sky *sky, double dt,
                     double chance, struct world_sample *sample)
{
    float newer = (float)smaller(dt / PINGS_S, 1);
    node->lost += ((float)forces->loss - node->lost) * newer;
    node->lost = node->lost < 0.001f ? 0 : node->lost;
    double share = (double)node->lost, spread = share * (1 - share) / PINGS;
    if (spread > 0) { /* even in +-sqrt(3) deviations of a binomial count */
        share += (2 * chance - 1) * approx_exp2(approx_log2(3 * spread) / 2);
    }
    set(sample, METRIC_NETWORK_LOSS, (double)(int64_t)(clamp(share, 0, 1) * PINGS + 0.5) / PINGS);
    if (forces->loss < 1) {
        set(sample, METRIC_NETWORK_LATENCY,
            node->network_latency_s * sky->factor[NOISE_NETWORK] + forces->network_s);
    }
}

static void set_node(const struct node *node, const struct forces *forces, const struct sky *sky,
                     double arrivals_per_s, struct world_sample *sample)
{
    double others = smaller(0.04 * sky->factor[NOISE_NODE], 0.5);
    set(sample, METRIC_NEIGHBOUR_CPU_UTILIZATION, others + (1 - others) * forces->neighbour);
    double memory = 0.15 + (node->was_up ? (1 + node->leaked) / MEMORY_LIMIT : 0) * sky->factor[NOISE_MEMORY];
    set(sample, METRIC_NODE_MEMORY_UTILIZATION, smaller(memory, 1));
    double files = clamp(0.40 * sky->factor[NOISE_FILES], 0, 1);
    set(sample, METRIC_FILESYSTEM_UTILIZATION, larger(files, forces->files));
    set(sample, METRIC_OFFERED_LOAD, arrivals_per_s / (node->capacity_per_s * node->instances));
}

void report_fill(const struct world_config *config, struct node *node, const struct forces *forces,
                 const struct sky *sky, const struct served *served, double fail, double arrivals_per_s,
                 instant now, struct world_sample *sample)
{
    uint64_t dice = random_draw(random_stream(node->key, PURPOSE_SAMPLE), node->samples);
    sample->skew_ns = forces->skew_ns;
    sample->silent = forces->cut_off || forces->off || now < node->off_until;
    if (now >= node->down_until) { /* while it is being started, it is neither up nor down */
        set(sample, METRIC_SERVICE_UP, node->was_up);
    }
    set(sample, METRIC_SERVICE_STARTS, node->starts);
    /* Who asks a hung service waits for his time-out, and cannot tell of an error before it. */
    bool pending = forces->hung && now - forces->hung_at < config->timeout_ns;
    double dt = duration_seconds(now - node->at), chance = random_unit(dice);
    set_users(node, served, fail, arrivals_per_s, dt, chance, pending, sample);
    if (node->was_up) {
        set_service(config, node, forces, sky, served, now, sample);
        set_storage_errors(forces, served, dt, chance, sample);
    } else if (now >= node->down_until) {
        set_exit(node, forces, sample);
    }
    set_node(node, forces, sky, arrivals_per_s, sample);
    set_link(node, forces, sky, dt, chance, sample);
    if (forces->lies) {
        set(sample, METRIC_CPU_UTILIZATION, forces->sensor);
    }
}
