/* The way between the nodes and the control plane: an HTTP client behind the scenario's network. What is
 * drawn, and from what distribution, is as in the simulator (sim/way.c). */
#include "synthetic/state.h"

#include "base/approx.h"
#include "base/clock.h"

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

/* One stream of randomness per purpose. */
enum purpose { PURPOSE_THERE = 2, PURPOSE_BACK, PURPOSE_LOSS_THERE, PURPOSE_LOSS_BACK, PURPOSE_DOUBLE };

static uint64_t draw(const struct fleet *fleet, enum purpose purpose, uint32_t node, uint64_t count)
{
    return random_draw(random_stream(random_key(fleet->seed, 0x53594e00 + (uint64_t)purpose), node), count);
}

static bool happens(const struct fleet *fleet, enum purpose purpose, uint32_t node, uint64_t count,
                    double ratio)
{
    return ratio > 0 && random_unit(draw(fleet, purpose, node, count)) < ratio;
}

/* At least `least_ns`, and an exponential tail of that mean. */
static duration delay(uint64_t drawn, const struct scenario_network *network)
{
    double u = 1 - random_unit(drawn);
    return network->least_ns + (duration)((double)network->tail_ns * -0.6931471805599453 * approx_log2(u));
}

static bool takes_time(const struct scenario_network *network)
{
    return network->least_ns > 0 || network->tail_ns > 0;
}

/* --- an errand ------------------------------------------------------------------------------------------ */

struct errand *errand_new(struct fleet *fleet, enum errand_kind kind, uint32_t node)
{
    struct errand *errand = calloc(1, sizeof *errand);
    if (!errand)
        return NULL;
    *errand = (struct errand){.fleet = fleet,
                              .kind = kind,
                              .node = node,
                              .boot = fleet->nodes[node].boot,
                              .sent_ns = uptime_ns(),
                              .method = kind == ERRAND_HELLO ? "PUT" : "POST",
                              .next = fleet->errands,
                              .link = &fleet->errands};
    if (errand->next)
        errand->next->link = &errand->next;
    fleet->errands = errand;
    fleet->in_flight++;
    return errand;
}

static void errand_free(struct errand *errand)
{
    *errand->link = errand->next;
    if (errand->next)
        errand->next->link = errand->link;
    errand->fleet->in_flight--;
    if (errand->timer)
        event_free(errand->timer);
    free(errand->body);
    free(errand->answer);
    free(errand);
}

void errands_free(struct fleet *fleet)
{
    while (fleet->errands)
        errand_free(fleet->errands);
}

void errands_cancel(struct fleet *fleet)
{
    struct errand *next;
    for (struct errand *errand = fleet->errands; errand; errand = next) {
        next = errand->next;
        if (errand->timer && event_pending(errand->timer, EV_TIMEOUT, NULL))
            errand_free(errand);
    }
}

static void arrive(struct errand *errand, int status, const char *body, size_t length)
{
    struct fleet *fleet = errand->fleet;
    bool deaf = fleet->nodes[errand->node].cut_off && status != 0;
    if (!fleet->ending && !(errand->copy && status == 0))
        node_hear(errand, deaf ? 0 : status, body, length);
    errand_free(errand);
    if (fleet->ending && !fleet->errands)
        fleet_leave(fleet);
}

static void depart(struct errand *errand, const char *body, size_t length);

static void on_timer(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    struct errand *errand = context;
    if (errand->back)
        arrive(errand, errand->status, errand->answer ? errand->answer : "", errand->answer_length);
    else
        depart(errand, errand->body, errand->length);
}

static void wait(struct errand *errand, duration wait_ns)
{
    struct timeval time = timeval_of(wait_ns);
    if (!errand->timer)
        errand->timer = event_new(errand->fleet->base, -1, 0, on_timer, errand);
    if (!errand->timer || event_add(errand->timer, &time) < 0)
        arrive(errand, 0, "", 0);
}

/* It will not come back: the node agent waits until it has waited long enough. */
static void lose(struct errand *errand)
{
    duration left_ns = errand->sent_ns + ANSWER_LIMIT_NS - uptime_ns();
    errand->back = true;
    errand->status = 0;
    if (errand->copy)
        errand_free(errand);
    else
        wait(errand, left_ns > 0 ? left_ns : 0);
}

/* --- back ----------------------------------------------------------------------------------------------- */

static void on_answer(void *context, const struct answer *answer)
{
    struct errand *errand = context;
    struct fleet *fleet = errand->fleet;
    const struct scenario_network *network = &fleet->scenario->network;
    if (!fleet->ending)
        fleet_heard(fleet, answer->status, answer->error);
    if (fleet->ending || answer->status == 0 || (!takes_time(network) && network->loss_ratio <= 0)) {
        arrive(errand, answer->status, answer->body ? answer->body : "", answer->length);
        return;
    }
    uint64_t count = fleet->nodes[errand->node].messages++;
    if (happens(fleet, PURPOSE_LOSS_BACK, errand->node, count, network->loss_ratio)) {
        lose(errand);
        return;
    }
    errand->back = true;
    errand->status = answer->status;
    errand->answer = malloc(answer->length + 1);
    if (!errand->answer) {
        arrive(errand, 0, "", 0);
        return;
    }
    memcpy(errand->answer, answer->body, answer->length);
    errand->answer[answer->length] = '\0';
    errand->answer_length = answer->length;
    wait(errand, delay(draw(fleet, PURPOSE_BACK, errand->node, count), network));
}

/* --- there ---------------------------------------------------------------------------------------------- */

static void depart(struct errand *errand, const char *body, size_t length)
{
    duration left_ns = errand->sent_ns + ANSWER_LIMIT_NS - uptime_ns();
    int error = left_ns > 0 ? client_send(errand->fleet->client, errand->method, errand->path, NULL, body,
                                          length, left_ns, on_answer, errand)
                            : -1;
    if (error < 0)
        arrive(errand, 0, "", 0);
}

static void set_out(struct errand *errand, const char *body, size_t length, uint64_t drawn)
{
    const struct scenario_network *network = &errand->fleet->scenario->network;
    if (!takes_time(network)) {
        depart(errand, body, length);
        return;
    }
    errand->body = malloc(length + 1);
    if (!errand->body) {
        arrive(errand, 0, "", 0);
        return;
    }
    memcpy(errand->body, body, length);
    errand->body[length] = '\0';
    errand->length = length;
    wait(errand, delay(drawn, network));
}

static struct errand *double_of(const struct errand *errand)
{
    struct errand *copy = errand_new(errand->fleet, errand->kind, errand->node);
    if (!copy)
        return NULL;
    copy->freight = errand->freight;
    copy->command = errand->command;
    copy->copy = true;
    memcpy(copy->path, errand->path, sizeof copy->path);
    return copy;
}

void errand_send(struct errand *errand)
{
    struct fleet *fleet = errand->fleet;
    struct node *node = &fleet->nodes[errand->node];
    double loss_ratio = fleet->scenario->network.loss_ratio;
    uint64_t count = node->messages++;
    CHECK(!fleet->text.cut); /* BATCH_MAX reports and the other bounds are made for it */
    if (node->cut_off || happens(fleet, PURPOSE_LOSS_THERE, errand->node, count, loss_ratio)) {
        lose(errand);
        return;
    }
    bool twice = happens(fleet, PURPOSE_DOUBLE, errand->node, count, fleet->scenario->network.double_ratio);
    struct errand *copy = twice ? double_of(errand) : NULL;
    if (copy)
        set_out(copy, fleet->text.bytes, fleet->text.length,
                draw(fleet, PURPOSE_THERE, errand->node, 2 * count + 1));
    set_out(errand, fleet->text.bytes, fleet->text.length,
            draw(fleet, PURPOSE_THERE, errand->node, 2 * count));
}
