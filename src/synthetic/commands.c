/* Commands: what a node agent promises about them (agent/commander.h), without its files. */
#include "synthetic/state.h"

#include "base/clock.h"

#include <event2/event.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static void next_command(struct node *node);

/* --- the journal ---------------------------------------------------------------------------------------- */

static struct entry *journal_find(const struct node *node, uint64_t id)
{
    const struct commander *commander = node->commander;
    for (uint32_t i = commander ? commander->count : 0; i-- > 0;)
        if (commander->entries[i].id == id)
            return &commander->entries[i];
    return NULL;
}

static void forget_oldest(struct commander *commander)
{
    uint64_t id = commander->entries[0].id;
    commander->id_floor = id > commander->id_floor ? id : commander->id_floor;
    memmove(&commander->entries[0], &commander->entries[1],
            --commander->count * sizeof commander->entries[0]);
}

/* NULL without memory: then the command is not begun, and will be offered again. */
static struct entry *journal_put(struct node *node, uint64_t id)
{
    struct commander *commander = node->commander;
    if (commander->count == JOURNAL_MAX)
        forget_oldest(commander);
    if (commander->count == commander->room) {
        uint32_t room = commander->room ? 2 * commander->room : 4;
        struct entry *grown = realloc(commander->entries, room * sizeof *grown);
        if (!grown) {
            fleet_complain(node->fleet, TROUBLE_MEMORY, node, 0, "no memory for a command");
            return NULL;
        }
        commander->entries = grown;
        commander->room = room;
    }
    struct entry *entry = &commander->entries[commander->count++];
    *entry = (struct entry){.id = id, .detail = ""};
    return entry;
}

static struct commander *commander_of(struct node *node)
{
    if (!node->commander)
        node->commander = calloc(1, sizeof *node->commander);
    if (!node->commander)
        fleet_complain(node->fleet, TROUBLE_MEMORY, node, 0, "no memory for a command");
    return node->commander;
}

/* --- outcomes ------------------------------------------------------------------------------------------- */

static void tell(struct node *node, struct entry *entry)
{
    struct errand *errand =
        fleet_has_room(node->fleet) ? errand_new(node->fleet, ERRAND_OUTCOME, node->number) : NULL;
    if (!errand)
        return; /* the next sample tries again */
    entry->telling = true;
    errand->command = entry->id;
    snprintf(errand->path, sizeof errand->path, "/v1/commands/%" PRIu64 "/outcome", entry->id);
    struct text *text = &node->fleet->text;
    text->length = 0;
    text->cut = false;
    text_addf(text, "{\"node\":\"%s\",\"outcome\":\"%s\",\"began\":%s,\"took_s\":%.6f,\"detail\":\"%s\"}",
              node_name(node), outcome_name(entry->outcome), entry->began ? "true" : "false", entry->took_s,
              entry->detail);
    errand_send(errand);
}

void commands_tell(struct node *node)
{
    struct commander *commander = node->commander;
    for (uint32_t i = 0; commander && i < commander->count; i++) {
        struct entry *entry = &commander->entries[i];
        if (entry->outcome != OUTCOME_NONE && !entry->acknowledged && !entry->telling)
            tell(node, entry);
    }
}

void commands_told(struct node *node, const struct errand *errand, int status)
{
    struct entry *entry = journal_find(node, errand->command);
    if (!entry)
        return; /* told again after so many others that it is forgotten */
    if (!errand->copy)
        entry->telling = false;
    /* A control plane that refuses it will never want it. */
    if (status != 0 && status < 500 && status != 408 && status != 429)
        entry->acknowledged = true;
    if (status >= 500)
        fleet_complain(node->fleet, TROUBLE_OUTCOME, node, status, "it is told again");
}

static void record(struct node *node, uint64_t id, enum outcome outcome, bool began, duration took_ns,
                   const char *detail)
{
    struct entry *entry = journal_find(node, id);
    entry = entry ? entry : journal_put(node, id);
    if (!entry)
        return;
    entry->outcome = (uint8_t)outcome;
    entry->began = began;
    entry->took_s = duration_seconds(took_ns);
    entry->detail = detail;
    if (!node->off)
        commands_tell(node);
}

/* --- the one that runs ---------------------------------------------------------------------------------- */

static void on_timer(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    struct node *node = context;
    struct commander *commander = node->commander;
    uint64_t id = commander->running.id;
    if (id == 0)
        return;
    commander->running.id = 0;
    if (commander->outcome == OUTCOME_DONE)
        strikes_cured(node, commander->cures);
    record(node, id, (enum outcome)commander->outcome, true, commander->took_ns,
           commander->outcome == OUTCOME_CUT      ? "it was not finished in 20 s"
           : commander->outcome == OUTCOME_FAILED ? "the node could not do it"
                                                  : "");
    next_command(node);
}

static uint32_t kinds_on(const struct node *node)
{
    struct world_truth truth;
    world_truth(node->fleet->world, node->number, fleet_now(node->fleet), &truth);
    return truth.faults;
}

/* The kinds of faults that this remedy ended: what it can cure and what is not there any more. A flapping
 * fault counts whether it is just on or off. */
static uint32_t kinds_cured(const struct node *node, enum remedy remedy, uint32_t before)
{
    uint32_t ended = before & ~kinds_on(node), cured = 0;
    uint32_t bits = 1u << remedy | (remedy == REMEDY_REBOOT_NODE ? REMEDY_BIT(RESTART_SERVICE) : 0);
    for (int kind = 0; kind < FAULT_COUNT; kind++)
        if (ended & 1u << kind && fault_infos[kind].cures & bits)
            cured |= 1u << kind;
    return cured;
}

/* The world changes at once; the outcome is told when the time that it takes is over. */
static void carry_out(struct node *node, const struct order *order)
{
    struct commander *commander = node->commander;
    struct entry *entry = journal_put(node, order->id);
    struct world_done done;
    if (!commander->timer)
        commander->timer = event_new(node->fleet->base, -1, 0, on_timer, node);
    if (!entry || !commander->timer)
        return;
    uint32_t before = kinds_on(node);
    world_remedy(node->fleet->world, node->number, (enum remedy)order->remedy, fleet_now(node->fleet), &done);
    if (done.outcome == OUTCOME_UNSUPPORTED) {
        bool back = order->remedy == REMEDY_ROLLBACK_RELEASE || order->remedy == REMEDY_ROLLBACK_CONFIG;
        record(node, order->id, OUTCOME_UNSUPPORTED, false, 0,
               back ? "there is nothing to go back to" : "no node agent can do that");
        return;
    }
    bool late = done.took_ns > WORK_LIMIT_NS;
    entry->began = true;
    commander->running = *order;
    commander->began_ns = uptime_ns();
    commander->took_ns = late ? WORK_LIMIT_NS : done.took_ns;
    commander->outcome = late ? OUTCOME_CUT : done.outcome;
    commander->cures = done.cured ? kinds_cured(node, (enum remedy)order->remedy, before) : 0;
    struct timeval time = timeval_of(commander->took_ns);
    event_add(commander->timer, &time);
}

/* --- those that come ------------------------------------------------------------------------------------ */

/* Why it will not be begun, or NULL. Asked when it comes and once more when its turn comes. */
static const char *objection(const struct node *node, const struct order *order)
{
    if (order->epoch < node->epoch_floor)
        return "it comes from an older epoch: another control plane has taken over";
    if (order->boot != 0 && order->boot != node->boot)
        return "it is meant for another boot of this node agent";
    if (order->id <= node->commander->id_floor)
        return "it is older than what this node agent remembers";
    return NULL;
}

static void begin(struct node *node, const struct order *order, int64_t expires_ns)
{
    const char *why = objection(node, order);
    if (why)
        record(node, order->id, OUTCOME_REFUSED, false, 0, why);
    else if (order->remedy < 0)
        record(node, order->id, OUTCOME_UNSUPPORTED, false, 0, "this node agent knows no such remedy");
    else if (uptime_ns() >= expires_ns)
        record(node, order->id, OUTCOME_EXPIRED, false, 0, "its time was over before its turn came");
    else
        carry_out(node, order);
}

static void next_command(struct node *node)
{
    struct commander *commander = node->commander;
    while (commander->running.id == 0 && commander->waiting > 0) {
        struct order first = commander->queue[0];
        int64_t expires_ns = commander->expires_ns[0];
        commander->waiting--;
        memmove(&commander->queue[0], &commander->queue[1], commander->waiting * sizeof first);
        memmove(&commander->expires_ns[0], &commander->expires_ns[1],
                commander->waiting * sizeof commander->expires_ns[0]);
        begin(node, &first, expires_ns);
    }
}

static bool is_waiting(const struct commander *commander, uint64_t id)
{
    for (uint32_t i = 0; i < commander->waiting; i++)
        if (commander->queue[i].id == id)
            return true;
    return commander->running.id == id;
}

static void offer(struct node *node, const struct order *order)
{
    struct commander *commander = node->commander;
    if (is_waiting(commander, order->id))
        return;
    struct entry *known = journal_find(node, order->id);
    if (known) { /* its outcome has not arrived */
        known->acknowledged = false;
        commands_tell(node);
        return;
    }
    const char *why = objection(node, order);
    if (why) {
        record(node, order->id, OUTCOME_REFUSED, false, 0, why);
    } else if (order->expires_in_s <= 0) {
        record(node, order->id, OUTCOME_EXPIRED, false, 0, "its time was over when it came");
    } else if (commander->waiting < QUEUE_MAX) {
        double left_s = order->expires_in_s < 1e6 ? order->expires_in_s : 1e6;
        node->epoch_floor = order->epoch;
        commander->expires_ns[commander->waiting] = uptime_ns() + duration_from_seconds(left_s);
        commander->queue[commander->waiting++] = *order;
    }
}

void commands_obey(struct node *node, const struct orders *orders)
{
    if (orders->commands_count == 0 || !commander_of(node))
        return;
    for (size_t i = 0; i < orders->commands_count; i++)
        offer(node, &orders->commands[i]);
    next_command(node);
}

void commands_stop(struct node *node)
{
    struct commander *commander = node->commander;
    if (!commander)
        return;
    uint64_t id = commander->running.id;
    commander->waiting = 0;
    commander->running.id = 0;
    if (commander->timer)
        event_del(commander->timer);
    if (id != 0)
        record(node, id, OUTCOME_CUT, true, uptime_ns() - commander->began_ns, "the node went off");
}

void commands_free(struct node *node)
{
    if (!node->commander)
        return;
    if (node->commander->timer)
        event_free(node->commander->timer);
    free(node->commander->entries);
    free(node->commander);
    node->commander = NULL;
}
