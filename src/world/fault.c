/* Faults: their shapes over time, and the forces that they are. */
#include "core/fault.h"
#include "state.h"

#include <string.h>

bool fault_active(const struct world_fault *fault, instant now)
{
    return fault->from_at <= now && now < fault->until_at;
}

/* 0..1 of the intensity at `now`, while the fault is active. */
static double level(const struct world_fault *fault, instant now)
{
    duration lasts = fault->until_at == INSTANT_NEVER ? INSTANT_NEVER : fault->until_at - fault->from_at;
    return fault_level((enum shape)fault->shape, now - fault->from_at, lasts, fault->period_ns);
}

static void add_on_off(const struct world_fault *fault, struct forces *f)
{
    switch ((enum fault_kind)fault->kind) {
    case FAULT_SERVICE_CRASH:
        f->crashed = true;
        break;
    case FAULT_SERVICE_HANG:
        f->hung = true;
        f->hung_at = fault->from_at;
        break;
    case FAULT_NODE_PARTITION:
        f->cut_off = true;
        break;
    case FAULT_ZONE_OUTAGE:
        f->off = true;
        break;
    case FAULT_CRASH_LOOP:
        f->exit_ns = duration_from_seconds(fault->intensity);
        f->released_at = fault->from_at;
        break;
    case FAULT_NETWORK_BANDWIDTH:
        f->network_s += REPLY_BYTES / fault->intensity;
        break;
    case FAULT_NETWORK_CUT:
        f->loss = 1;
        break;
    case FAULT_SENSOR_FAULT:
        f->lies = true;
        f->sensor = fault->intensity;
        break;
    case FAULT_CLOCK_SKEW:
        f->skew_ns = duration_from_seconds(fault->intensity);
        break;
    default:
        break;
    }
}

static void add(const struct world_fault *fault, double l, struct forces *f)
{
    double x = l * fault->intensity;
    switch ((enum fault_kind)fault->kind) {
    case FAULT_CPU_SPIKE:
        f->burn = larger(f->burn, x);
        break;
    case FAULT_NETWORK_DELAY:
        f->network_s += x;
        break;
    case FAULT_STORAGE_LATENCY:
        f->storage_s += x;
        break;
    case FAULT_NOISY_NEIGHBOUR:
        f->neighbour = larger(f->neighbour, x);
        break;
    case FAULT_MEMORY_LEAK:
        f->leak_per_min += x;
        break;
    case FAULT_BAD_CONFIG:
        f->refuse = larger(f->refuse, x);
        break;
    case FAULT_NETWORK_LOSS:
        f->loss = larger(f->loss, x);
        break;
    case FAULT_IO_ERROR:
        f->io_errors = larger(f->io_errors, x);
        break;
    case FAULT_DISK_FULL:
        f->files = larger(f->files, x);
        break;
    case FAULT_OVERLOAD:
        f->surge *= 1 + (fault->intensity - 1) * l;
        break;
    default:
        if (l >= 0.5) {
            add_on_off(fault, f);
        }
        break;
    }
}

void fault_forget(struct node *node, uint32_t index)
{
    CHECK(index < node->fault_count);
    uint32_t last = --node->fault_count;
    for (uint32_t i = index; i < last; i++) {
        node->faults[i] = node->faults[i + 1];
        node->carried[i] = node->carried[i + 1];
    }
    memset(&node->faults[last], 0, sizeof node->faults[last]);
    node->carried[last] = 0;
}

void fault_forces(struct node *node, instant now, struct forces *forces)
{
    memset(forces, 0, sizeof *forces);
    forces->surge = 1;
    for (uint32_t i = 0; i < node->fault_count;) {
        if (now >= node->faults[i].until_at) {
            fault_forget(node, i);
            continue;
        }
        if (fault_active(&node->faults[i], now)) {
            add(&node->faults[i], level(&node->faults[i], now), forces);
        }
        i++;
    }
}

uint32_t fault_mask(const struct node *node, instant now)
{
    uint32_t mask = 0;
    for (uint32_t i = 0; i < node->fault_count; i++) {
        if (fault_active(&node->faults[i], now) && !node->carried[i]) {
            mask |= 1u << node->faults[i].kind;
        }
    }
    return mask;
}

/* True if the shape can be had with this kind and these times. */
static bool shape_fits(const struct world_fault *fault)
{
    duration lasts = fault->until_at == INSTANT_NEVER ? INSTANT_NEVER : fault->until_at - fault->from_at;
    return fault_shape_fits((enum fault_kind)fault->kind, (enum shape)fault->shape, lasts, fault->period_ns);
}

/* What is over by then, and not forgotten yet since no sample was taken, is no fault at once with it. */
static void make_room(struct node *node, instant from_at)
{
    for (uint32_t i = 0; i < node->fault_count && node->fault_count == WORLD_FAULTS_PER_NODE;) {
        if (node->faults[i].until_at <= from_at) {
            fault_forget(node, i);
        } else {
            i++;
        }
    }
}

bool world_strike(struct world *world, const struct world_fault *fault)
{
    if (fault->node >= world->config.node_capacity || fault->kind >= FAULT_COUNT ||
        fault->shape >= SHAPE_COUNT || !fault_is_synthetic((enum fault_kind)fault->kind)) {
        return false;
    }
    const struct fault_info *info = &fault_infos[fault->kind];
    bool in_range = fault->intensity >= info->least && fault->intensity <= info->most; /* false for NaN */
    struct node *node = &world->node[fault->node];
    make_room(node, fault->from_at);
    if (!node->face.known || !in_range || fault->until_at <= fault->from_at || !shape_fits(fault) ||
        node->fault_count == WORLD_FAULTS_PER_NODE) {
        return false;
    }
    struct world_fault *mine = &node->faults[node->fault_count++];
    *mine = *fault;
    memset(mine->reserved, 0, sizeof mine->reserved);
    if (fault->shape == SHAPE_GRAY) {
        mine->intensity = fault_gray((enum fault_kind)fault->kind, fault->intensity);
    }
    return true;
}

void world_clear(struct world *world, uint32_t node, enum fault_kind kind, instant now)
{
    struct node *n = node_of(world, node);
    for (uint32_t i = 0; i < n->fault_count;) {
        if (n->faults[i].kind == kind && n->faults[i].from_at <= now) {
            fault_forget(n, i);
        } else {
            i++;
        }
    }
}
