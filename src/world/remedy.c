/* What a remedy does to a node: ends faults, hides them, or harms. */
#include "base/approx.h"
#include "state.h"

/* How long it takes, least and most; drawn evenly in the logarithm. */
static const double took_s[REMEDY_COUNT][2] = {
    [REMEDY_RESTART_SERVICE] = {0.2, 3},   [REMEDY_FAILOVER_STORAGE] = {0.1, 1},
    [REMEDY_RESET_NETWORK] = {0.05, 0.5},  [REMEDY_DRAIN_NODE] = {0.05, 0.5},
    [REMEDY_SHED_LOAD] = {0.02, 0.2},      [REMEDY_SCALE_OUT] = {1, 5},
    [REMEDY_ISOLATE_NEIGHBOUR] = {0.1, 1}, [REMEDY_CLEAN_DISK] = {0.5, 5},
    [REMEDY_ROLLBACK_RELEASE] = {0.5, 4},  [REMEDY_ROLLBACK_CONFIG] = {0.1, 1},
    [REMEDY_REBOOT_NODE] = {30, 30},
};

/* The random stream is drawn from once per command, so that what is ordered on one node shifts nothing
 * elsewhere. */
static duration draw_took(struct node *node, enum remedy remedy)
{
    double u = random_unit(random_draw(random_stream(node->key, PURPOSE_TOOK), node->draws++));
    double least = approx_log2(took_s[remedy][0]), most = approx_log2(took_s[remedy][1]);
    return duration_from_seconds(approx_exp2(least + u * (most - least)));
}

static bool starts_service(enum remedy remedy)
{
    return remedy == REMEDY_RESTART_SERVICE || remedy == REMEDY_ROLLBACK_RELEASE ||
           remedy == REMEDY_REBOOT_NODE;
}

/* True if the node could carry its surge with what it has now. */
static bool surge_fits(const struct world_config *config, const struct node *node,
                       const struct forces *forces, instant now)
{
    double capacity = service_capacity(config, node, forces, now);
    return node->arrivals_per_s < 0.9 * capacity;
}

/* An overload goes on after scale_out, but hurts nobody; what was turned away by shed_load stays away.
 * Returns whether the fault is over. */
static bool end_fault(const struct world_config *config, struct node *node, uint32_t index,
                      enum remedy remedy, const struct forces *forces, instant now)
{
    if (node->faults[index].kind == FAULT_OVERLOAD && remedy == REMEDY_SCALE_OUT) {
        node->carried[index] = surge_fits(config, node, forces, now);
        return node->carried[index];
    }
    fault_forget(node, index);
    return true;
}

/* What this remedy ends and hides among the faults that are there. */
static void weigh_faults(const struct world_config *config, struct node *node, enum remedy remedy,
                         const struct forces *forces, instant now, struct world_done *done)
{
    /* A reboot starts the service as well. */
    uint32_t bits = 1u << remedy | (remedy == REMEDY_REBOOT_NODE ? REMEDY_BIT(RESTART_SERVICE) : 0);
    for (uint32_t i = 0; i < node->fault_count;) {
        const struct fault_info *info = &fault_infos[node->faults[i].kind];
        uint32_t count = node->fault_count;
        if (fault_active(&node->faults[i], now) && !node->carried[i]) {
            done->needed |= info->cures != 0;
            done->masked |= (info->masks & bits) != 0;
            if ((info->cures & bits) != 0 && end_fault(config, node, i, remedy, forces, now)) {
                done->cured = 1;
            }
        }
        i += node->fault_count == count;
    }
}

/* The service ends and comes up again after took_ns; on a full disk it does not. */
static void restart(struct node *node, enum remedy remedy, const struct forces *forces, instant now,
                    struct world_done *done)
{
    service_start(node, now + done->took_ns);
    node->down_from = now;
    node->down_until = now + done->took_ns;
    if (remedy == REMEDY_REBOOT_NODE) {
        node->off_until = node->down_until;
    }
    if (forces->files >= FULL_RATIO) {
        node->dead = DEATH_AT_START;
        done->outcome = OUTCOME_FAILED;
    }
}

static void change(struct node *node, enum remedy remedy, const struct forces *forces, instant now,
                   struct world_done *done)
{
    if (starts_service(remedy)) {
        restart(node, remedy, forces, now, done);
    } else if (remedy == REMEDY_DRAIN_NODE) {
        node->face.drained = 1;
    } else if (remedy == REMEDY_SCALE_OUT) {
        node->instances = smaller(node->instances * 2, 16);
    } else if (remedy == REMEDY_SHED_LOAD) {
        node->shedding = 1;
        node->backlog = 0;
    } else if (remedy == REMEDY_RESET_NETWORK) {
        node->lost = 0; /* what the old link lost says nothing of the new one */
    }
}

/* A roll-back needs something to go back from: what one of the faults that it cures has rolled out. */
static bool has_a_way_back(const struct node *node, enum remedy remedy, instant now)
{
    if (remedy != REMEDY_ROLLBACK_RELEASE && remedy != REMEDY_ROLLBACK_CONFIG) {
        return true;
    }
    for (uint32_t i = 0; i < node->fault_count; i++) {
        const struct world_fault *fault = &node->faults[i];
        if (fault_active(fault, now) && (fault_infos[fault->kind].cures >> remedy & 1) != 0) {
            return true;
        }
    }
    return false;
}

void world_remedy(struct world *world, uint32_t node, enum remedy remedy, instant now,
                  struct world_done *done)
{
    struct node *n = node_of(world, node);
    *done = (struct world_done){.outcome = OUTCOME_UNSUPPORTED};
    if ((unsigned)remedy >= REMEDY_COUNT || took_s[remedy][1] <= 0 || !has_a_way_back(n, remedy, now)) {
        return;
    }
    struct forces forces;
    fault_forces(n, now, &forces);
    done->took_ns = draw_took(n, remedy);
    if (forces.off || now < n->off_until) {
        done->outcome = OUTCOME_FAILED; /* the whole node is off */
        return;
    }
    bool crowded = n->saturated && fault_mask(n, now) == 0; /* a storm that has outlived its cause */
    bool served = n->was_up && n->arrivals_per_s > 0 && !forces.hung;
    bool dead = n->dead == DEATH_OF_MEMORY || n->dead == DEATH_AT_START; /* by what is over by now */
    done->outcome = OUTCOME_DONE;
    done->needed = crowded || dead;
    change(n, remedy, &forces, now, done);
    weigh_faults(&world->config, n, remedy, &forces, now, done);
    done->cured |= (crowded && remedy == REMEDY_SHED_LOAD) ||
                   (dead && starts_service(remedy) && done->outcome == OUTCOME_DONE && !done->masked);
    bool helped = done->cured != 0 || done->masked != 0;
    bool deserted = remedy == REMEDY_DRAIN_NODE && graph_sibling(world, node) == UINT32_MAX && served;
    done->harmed = (starts_service(remedy) && served && !helped) ||
                   (done->outcome == OUTCOME_FAILED && served) || (deserted && !helped);
}
