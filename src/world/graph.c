/* Who calls whom: replicas of one role share the calls, one call of each request goes to each role. */
#include "state.h"

#define NOBODY UINT32_MAX

static const struct face *face_of(const struct world *world, uint32_t node)
{
    return &world->node[node].face;
}

/* The balancer before a role knows what is down and what is drained; that a process hangs it does not know.
 */
static bool takes_calls(const struct face *face)
{
    return face->known && face->up && !face->drained;
}

/* One role among the callees. */
struct role_sum {
    uint32_t takers,
        waiting; /* that take calls; that are down, and will be called all the same if nobody takes */
    double fail, refused, mean_s, p99_s, usual_s;
};

static void sum_role(const struct world *world, const struct node *node, uint16_t role, struct role_sum *sum)
{
    double timeout = duration_seconds(world->config.timeout_ns);
    for (uint32_t i = 0; i < node->calls_count; i++) {
        const struct face *face = face_of(world, node->calls[i]);
        if (!face->known || face->role != role) {
            continue;
        }
        double distance = face->zone == node->face.zone ? 0 : CROSS_ZONE_S;
        sum->usual_s = larger(sum->usual_s, (double)face->usual_s + distance);
        sum->waiting += !face->drained;
        if (!takes_calls(face)) {
            continue;
        }
        sum->takers++;
        sum->fail += (double)face->fail;
        sum->refused += (double)face->refused;
        sum->mean_s += smaller((double)face->mean_s + distance, timeout);
        sum->p99_s = larger(sum->p99_s, smaller((double)face->latency_s + distance, timeout));
    }
}

/* `attempts` of a call of which `fail` fail and are tried again, at most `retries` times. */
static double attempts_of(double fail, uint32_t retries)
{
    double attempts = 1, again = fail;
    for (uint32_t i = 0; i < retries; i++, again *= fail) {
        attempts += again;
    }
    return attempts;
}

static double power(double x, uint32_t n)
{
    double result = 1;
    for (uint32_t i = 0; i < n; i++) {
        result *= x;
    }
    return result;
}

/* Adds one role to the answer; returns the calls that each of its takers gets for one request. */
static double ask_role(const struct world_config *config, struct role_sum *sum, struct answer *answer)
{
    answer->usual_s += sum->usual_s;
    if (sum->takers == 0) {
        answer->fail = 1;
        /* Callers knock in vain: the herd that a service finds at its door when it comes back. */
        return sum->waiting == 0 ? 0 : (config->retries + 1.0) / sum->waiting;
    }
    double share = 1.0 / sum->takers, fail = sum->fail * share, refused = sum->refused * share;
    double attempts = attempts_of(fail * (1 - refused), config->retries);
    double fails = refused + (1 - refused) * power(fail, config->retries + 1);
    answer->mean_s += sum->mean_s * share * attempts;
    answer->p99_s += sum->p99_s * attempts;
    answer->fail = 1 - (1 - answer->fail) * (1 - fails);
    return attempts * share;
}

void graph_ask(const struct world *world, const struct node *node, struct answer *answer)
{
    *answer = (struct answer){0};
    uint32_t asked = 0; /* mask of callees whose role is done */
    for (uint32_t i = 0; i < node->calls_count; i++) {
        const struct face *face = face_of(world, node->calls[i]);
        if ((asked >> i & 1) != 0 || !face->known) {
            continue;
        }
        struct role_sum sum = {0};
        sum_role(world, node, face->role, &sum);
        double rate = ask_role(&world->config, &sum, answer);
        for (uint32_t k = i; k < node->calls_count; k++) {
            const struct face *other = face_of(world, node->calls[k]);
            if (other->known && other->role == face->role) {
                asked |= 1u << k;
                answer->rate[k] = takes_calls(other) || (sum.takers == 0 && !other->drained) ? rate : 0;
            }
        }
    }
}

/* What a caller sends is kept as whole thousandths, so that what is taken away later is what was added. */
static void send(struct world *world, struct node *node, uint32_t edge, uint32_t to, double per_s)
{
    uint32_t milli = (uint32_t)(clamp(per_s, 0, 4e6) * 1000);
    world->node[to].face.calls_milli += (int64_t)milli - (int64_t)node->sent_milli[edge];
    node->sent_milli[edge] = milli;
}

void graph_send(struct world *world, struct node *node, const struct answer *answer, double requests_per_s)
{
    for (uint32_t i = 0; i < node->calls_count; i++) {
        send(world, node, i, node->calls[i], requests_per_s * answer->rate[i]);
    }
}

uint32_t graph_sibling(const struct world *world, uint32_t node)
{
    enum { FAR = 16 }; /* so many are asked */
    uint32_t other = face_of(world, node)->next_of_role;
    for (int i = 0; i < FAR && other != node; i++, other = face_of(world, other)->next_of_role) {
        if (takes_calls(face_of(world, other))) {
            return other;
        }
    }
    return NOBODY;
}

void graph_send_users(struct world *world, struct node *node, double users_per_s)
{
    uint32_t self = (uint32_t)(node - world->node);
    uint32_t to = users_per_s > 0 ? graph_sibling(world, self) : NOBODY;
    if (node->sibling != NOBODY && node->sibling != to) {
        send(world, node, CALLS_MAX, node->sibling, 0);
    }
    if (to != NOBODY) {
        send(world, node, CALLS_MAX, to, users_per_s);
    }
    node->sibling = to;
}
