/* What the node agent measures: the twelve metrics, with the noise of measuring. */
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

static void set_node(const struct node *node, const struct forces *forces, const struct sky *sky,
                     const struct served *served, struct world_sample *sample)
{
    double others = smaller(0.04 * sky->factor[NOISE_NODE], 0.5);
    double cpu = others + 0.25 * served->cpu;
    set(sample, METRIC_NODE_CPU_UTILIZATION, smaller(cpu + (1 - cpu) * forces->neighbour, 1));
    double memory = 0.35 + 0.15 * (node->was_up ? 1 + node->leaked : 0) * sky->factor[NOISE_MEMORY];
    set(sample, METRIC_NODE_MEMORY_UTILIZATION, smaller(memory, 1));
    double files = clamp(0.40 * sky->factor[NOISE_FILES], 0, 1);
    set(sample, METRIC_FILESYSTEM_UTILIZATION, larger(files, forces->files));
    set(sample, METRIC_NETWORK_LATENCY,
        node->network_latency_s * sky->factor[NOISE_NETWORK] + forces->network_s);
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
    set_users(node, served, fail, arrivals_per_s, duration_seconds(now - node->at), random_unit(dice),
              pending, sample);
    if (node->was_up) {
        set_service(config, node, forces, sky, served, now, sample);
    }
    set_node(node, forces, sky, served, sample);
    if (forces->lies) {
        set(sample, METRIC_CPU_UTILIZATION, forces->sensor);
    }
}
