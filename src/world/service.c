/* One service: a queue before a few workers, as a fluid. Below saturation the stationary wait tells; above it
 * the backlog grows, and what waits longer than its time-out is served for nobody. */
#include "base/approx.h"
#include "state.h"

double service_capacity(const struct world_config *config, const struct node *node,
                        const struct forces *forces, instant now)
{
    double warm =
        config->warm_ns <= 0 ? 1 : clamp((double)(now - node->started_at) / (double)config->warm_ns, 0, 1);
    double cold = COLD_RATIO + (1 - COLD_RATIO) * warm;
    /* From half of its limit on, a leaking process spends its time on looking for memory. */
    double tight = clamp((1 + node->leaked - MEMORY_LIMIT / 2) / (MEMORY_LIMIT / 2), 0, 1);
    double share = cold * (1 - forces->burn) * (1 - NEIGHBOUR_WEIGHT * forces->neighbour) * (1 - 0.7 * tight);
    return node->capacity_per_s * node->instances * larger(share, 0.01);
}

/* What comes in through the door; turns requests away while that is ordered and needed. */
static double admit(struct node *node, double arrivals, double capacity)
{
    if (!node->shedding || arrivals <= 0) {
        return 1;
    }
    double fits = SHED_TARGET * capacity / arrivals;
    if (fits > 1.05) {
        node->shedding = 0; /* the load is what it can carry */
    }
    return smaller(fits, 1);
}

/* Lets the queue grow or drain; returns the share of `taken` that found it full. */
static double queue_up(struct node *node, double taken, double capacity, double timeout, double dt)
{
    double room = node->capacity_per_s * node->instances * QUEUE_TIMEOUTS * timeout;
    double backlog = node->backlog + (taken - capacity) * dt;
    double over = backlog > room ? backlog - room : 0;
    node->backlog = clamp(backlog, 0, room);
    return taken * dt > 0 ? smaller(over / (taken * dt), 1) : 0;
}

/* Utilisation of the processor: what a request costs it varies with the mix, until the loop is saturated. */
static double cpu_of(double rho, const struct forces *forces, const struct sky *sky)
{
    double mix = smaller(0.35 * sky->factor[NOISE_COST], 0.85 / larger(rho, 0.05));
    double busy = smaller(rho, 1), cubed = busy * busy * busy;
    double cpu = busy * (mix + (1 - mix) * cubed);
    if (rho < 0.9) {
        double job = sky->job * (1 - rho);
        cpu = smaller(cpu + (1 - cpu) * job, 0.85);
    }
    return clamp(0.002 + forces->burn + (1 - forces->burn) * cpu, 0.002, 1);
}

/* The process is there and does nothing. */
static void hang(struct node *node, double arrivals, double timeout, double dt, struct served *served)
{
    queue_up(node, arrivals, 0, timeout, dt);
    *served = (struct served){.cpu = 0,
                              .own_mean_s = timeout,
                              .own_p99_s = timeout,
                              .mean_s = timeout,
                              .p99_s = timeout,
                              .own_fail = 1,
                              .fail = 1};
    node->saturated = 0;
    node->utilization = 0;
}

/* Mean wait of an M/M/c queue after Sakasegawa (1977), rho^(sqrt(2(c+1)) - 1) / (1 - rho) / capacity, for c
 * of about seven workers, which makes the power 3: with one worker even a quarter of the load would show in
 * every answer, and in production it does not. */
static double stationary_wait(double rho, double capacity)
{
    double busy = smaller(rho, RHO_MAX);
    return busy * busy * busy / (1 - busy) / capacity;
}

/* Share of the requests whose time is up before their answer: a fixed part, and an exponential one of mean
 * `wait`. */
static double timed_out(double fixed, double wait, double timeout)
{
    double left = timeout - fixed;
    return left <= 0 ? 1 : wait * 40 < left ? 0 : approx_exp(-left / wait);
}

void service_run(const struct world_config *config, struct node *node, const struct forces *forces,
                 const struct sky *sky, const struct answer *answer, double arrivals_per_s, instant now,
                 struct served *served)
{
    double timeout = duration_seconds(config->timeout_ns);
    double dt = duration_seconds(now - node->at);
    if (forces->hung) {
        hang(node, arrivals_per_s, timeout, dt, served);
        return;
    }
    double capacity = service_capacity(config, node, forces, now);
    double admitted = admit(node, arrivals_per_s, capacity), taken = arrivals_per_s * admitted;
    double rho = taken / capacity;
    double dropped = queue_up(node, taken, capacity, timeout, dt);
    double queue = node->backlog / capacity, wait = stationary_wait(rho, capacity);

    double tail = sky->factor[NOISE_TAIL];
    double usual_network = node->network_latency_s * sky->factor[NOISE_NETWORK];
    double usual_write = node->storage_latency_s * sky->factor[NOISE_STORAGE];
    double network = usual_network + forces->network_s, write = usual_write + forces->storage_s;
    double alone = P99_SERVICE * tail * node->service_time_s;
    double slice = forces->burn * BURN_SLICE_S;
    double fixed = network + node->service_time_s + queue + slice / 2;
    served->own_mean_s = fixed + wait + WRITE_RATIO * write;
    served->own_p99_s = network + alone + queue + slice + P99_EXPONENTIAL * wait + write;

    node->usual_own_s = usual_network + alone + usual_write;

    double late = timed_out(fixed, wait, timeout);
    double late_write = write >= timeout ? WRITE_RATIO : 0;
    double full = forces->files >= FULL_RATIO ? 1 : 0;
    double writes = WRITE_RATIO * larger(forces->io_errors, full);
    double own_well = (1 - late) * (1 - late_write) * (1 - dropped) * (1 - forces->loss) *
                      (1 - forces->refuse) * (1 - writes);
    double late_all = timed_out(fixed + answer->mean_s, wait, timeout);
    double well = own_well * (1 - (late_all - late) / larger(1 - late, 1e-9)) * (1 - answer->fail);
    served->own_fail = 1 - own_well;
    served->fail = clamp(1 - well, 0, 1);
    served->refused = 1 - admitted;
    bool in_tail = late_all > 0.01 || late_write > 0.01 || forces->loss > 0.01;
    served->mean_s = smaller(served->own_mean_s + answer->mean_s, timeout);
    served->p99_s = in_tail ? timeout : smaller(served->own_p99_s + answer->p99_s, timeout);
    served->own_p99_s = late > 0.01 ? timeout : smaller(served->own_p99_s, timeout);
    served->taken_per_s = smaller(taken, capacity);
    served->cpu = cpu_of(node->backlog > 0 ? larger(rho, 1) : rho, forces, sky);
    node->utilization = arrivals_per_s / capacity;
    node->saturated = rho > 0.95 || queue > timeout / 4;
}

void service_start(struct node *node, instant at)
{
    node->started_at = at;
    node->backlog = 0;
    node->leaked = 0;
    node->dead = DEATH_NONE;
    node->shedding = 0;
    node->face.drained = 0;
    node->starts++;
}
