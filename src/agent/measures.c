#include "agent/measures.h"

#include "agent/agent.h"
#include "agent/injection.h"
#include "agent/link.h"
#include "agent/load.h"
#include "agent/ping.h"
#include "agent/supervisor.h"
#include "agent/tree.h"

/* The service's processes, and those beside them. */
static void collect_trees(const struct measures *measures, struct tree *tree, struct tree *others)
{
    supervisor_tree(measures->supervisor, tree);
    injection_others(measures->injection, others);
    if (supervisor_pid(measures->supervisor) == 0)
        tree->count = 0; /* what may be left of a dead service is not its service */
}

/* While it starts or is stopped by a command it is neither up nor down. */
void measures_of_life(const struct measures *measures, struct samples *samples)
{
    enum service_state state = supervisor_state(measures->supervisor);
    if (state == SERVICE_UP || state == SERVICE_DEAD)
        samples_set(samples, METRIC_SERVICE_UP, state == SERVICE_UP);
    if (state == SERVICE_DEAD && supervisor_exit(measures->supervisor) >= 0)
        samples_set(samples, METRIC_SERVICE_EXIT, supervisor_exit(measures->supervisor));
    samples_set(samples, METRIC_SERVICE_STARTS, (double)supervisor_starts(measures->supervisor));
}

/* Whoever counts more is right: the service sees its callers too, and its users know of those it never got
 * to.
 */
static void sample_load(struct measures *measures, const struct load_sample *load, double arrivals_per_s,
                        struct samples *samples)
{
    int instances = supervisor_instances(measures->supervisor);
    double offered_per_s = load->sent_per_s > arrivals_per_s ? load->sent_per_s : arrivals_per_s;
    double capacity_per_s = measures->options->capacity_per_s;
    measures->offered = capacity_per_s > 0 && offered_per_s >= 0 ? offered_per_s / capacity_per_s : -1;
    if (measures->offered >= 0)
        samples_set(samples, METRIC_OFFERED_LOAD, measures->offered / (instances > 1 ? instances : 1));
}

static void sample_users(struct measures *measures, double arrivals_per_s, struct samples *samples)
{
    struct load_sample load;
    struct ping_sample ping;
    load_take(measures->load, &load);
    if (load.has_rate)
        samples_set(samples, METRIC_REQUEST_RATE, load.rate_per_s);
    if (load.has_latency)
        samples_set(samples, METRIC_REQUEST_LATENCY, load.latency_s);
    if (load.has_errors)
        samples_set(samples, METRIC_ERROR_RATIO, load.error_ratio);
    sample_load(measures, &load, arrivals_per_s, samples);
    ping_take(measures->ping, &ping);
    if (ping.has_latency)
        samples_set(samples, METRIC_NETWORK_LATENCY, ping.latency_s);
    if (ping.has_loss)
        samples_set(samples, METRIC_NETWORK_LOSS, ping.loss_ratio);
}

void measures_look(const struct measures *measures)
{
    struct tree tree, others;
    collect_trees(measures, &tree, &others);
    sampler_look(measures->sampler, &tree, &others);
}

void measures_take(struct measures *measures, struct samples *samples)
{
    struct tree tree, others;
    double arrivals_per_s;
    collect_trees(measures, &tree, &others);
    int instances = supervisor_instances(measures->supervisor);
    sampler_take(measures->sampler, instances > 1 ? instances : 1, &tree, &others, samples, &arrivals_per_s);
    measures_of_life(measures, samples);
    sample_users(measures, arrivals_per_s, samples);
}
