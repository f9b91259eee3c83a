/* What is asked of an order at the moment when it is given: the guards, counted once more from outside. */
#include "sim/check_state.h"

#include <string.h>

typedef unsigned long long id;

/* --- S5 ------------------------------------------------------------------------------------------------- */

static void check_budget(struct checker *checker, const struct command *c, const struct node_book *node)
{
    double share = checker->policy.guards.max_disrupted_ratio * checker->fleet;
    uint32_t budget = share < 1 ? 1 : (uint32_t)share;
    if (checker->disrupted > budget) {
        violation_add(checker, c->ordered_at, c->node, INVARIANT_S5,
                      "command %llu makes it %u nodes in work of %u, and %u may be", (id)c->id,
                      checker->disrupted, checker->fleet, budget);
    }
    if (node->busy > 1) {
        violation_add(checker, c->ordered_at, c->node, INVARIANT_S5,
                      "command %llu is the second action at once on its target", (id)c->id);
    }
}

/* --- S6 ------------------------------------------------------------------------------------------------- */

/* Machine's own actions within the span before `c`, `c` included. */
static uint32_t count_actions(const struct checker *checker, const struct command *c, duration within_ns,
                              bool of_rule, bool of_kind)
{
    uint32_t count = 1;
    for (uint32_t i = 1; i <= CHECKER_ACTIONS; i++) {
        const struct action *a =
            &checker->action[(checker->action_next + CHECKER_ACTIONS - i) % CHECKER_ACTIONS];
        if (a->at == INSTANT_NONE || c->ordered_at - a->at >= within_ns) {
            break;
        }
        count += (!of_rule || a->rule == c->rule) && (!of_kind || a->remedy == c->remedy);
    }
    return count;
}

static uint32_t count_on_target(const struct node_book *node, const struct command *c, duration within_ns)
{
    uint32_t count = 1;
    for (uint32_t i = 0; i <= ATTEMPTS_MAX && node->kept.acted_at[i] != INSTANT_NONE &&
                         c->ordered_at - node->kept.acted_at[i] < within_ns;
         i++) {
        count++;
    }
    return count;
}

static void check_rate(struct checker *checker, const struct command *c, const struct rate *rate,
                       uint32_t count, const char *what)
{
    if (rate->max > 0 && count > rate->max) {
        violation_add(checker, c->ordered_at, c->node, INVARIANT_S6,
                      "command %llu is number %u within %.0f s, and the limit of the %s is %u", (id)c->id,
                      count, duration_seconds(rate->per_ns), what, rate->max);
    }
}

static void check_rates(struct checker *checker, const struct command *c, const struct node_book *node)
{
    const struct guards *g = &checker->policy.guards;
    const struct rate attempts = {.per_ns = g->attempts_within_ns, .max = g->attempts_max};
    check_rate(checker, c, &attempts, count_on_target(node, c, attempts.per_ns), "attempts");
    check_rate(checker, c, &g->rate_target, count_on_target(node, c, g->rate_target.per_ns), "target");
    if (g->rate_rule.max > 0) {
        check_rate(checker, c, &g->rate_rule, count_actions(checker, c, g->rate_rule.per_ns, true, false),
                   "rule");
    }
    if (g->rate_kind.max > 0) {
        check_rate(checker, c, &g->rate_kind, count_actions(checker, c, g->rate_kind.per_ns, false, true),
                   "kind");
    }
    if (g->rate_fleet.max > 0) {
        check_rate(checker, c, &g->rate_fleet, count_actions(checker, c, g->rate_fleet.per_ns, false, false),
                   "fleet");
    }
}

/* Cooldown, and at least what back-off leaves after its jitter of up to a fifth. */
static void check_waits(struct checker *checker, const struct command *c, struct node_book *node)
{
    const struct guards *g = &checker->policy.guards;
    instant newest = node->kept.acted_at[0];
    if (newest != INSTANT_NONE && c->ordered_at - newest >= g->backoff_reset_ns) {
        node->kept.streak = 0; /* it may have been well for long */
    }
    duration wait = node->kept.streak > 0 ? g->backoff_base_ns : 0;
    for (uint32_t i = 1; i < node->kept.streak && wait < g->backoff_cap_ns; i++) {
        wait *= 2;
    }
    wait = wait < g->backoff_cap_ns ? wait : g->backoff_cap_ns;
    duration least = wait - wait / 5;
    least = least > g->cooldown_ns ? least : g->cooldown_ns;
    if (node->kept.ended_at != INSTANT_NONE && c->ordered_at - node->kept.ended_at < least) {
        violation_add(
            checker, c->ordered_at, c->node, INVARIANT_S6,
            "command %llu comes %.1f s after the action before, number %u in a row, and %.1f s is the least",
            (id)c->id, duration_seconds(c->ordered_at - node->kept.ended_at), node->kept.streak,
            duration_seconds(least));
    }
}

/* Who was well for long under the policy that ends began anew, whatever the next one asks for. Onlookers
 * cannot know when that was, nor whether a crash takes it back: granted for good. */
void order_policy_ends(struct checker *checker, instant at)
{
    for (uint32_t n = 0; n < checker->nodes; n++) {
        struct node_book *node = &checker->node[n];
        instant newest = node->kept.acted_at[0];
        if (newest != INSTANT_NONE && at - newest >= checker->policy.guards.backoff_reset_ns) {
            node->kept.streak = node->durable.streak = 0;
        }
    }
}

static void note_action(struct checker *checker, const struct command *c, struct node_book *node)
{
    struct node_kept *kept = &node->kept;
    memmove(&kept->acted_at[1], &kept->acted_at[0], sizeof kept->acted_at - sizeof kept->acted_at[0]);
    kept->acted_at[0] = c->ordered_at;
    kept->streak++;
    checker->action[checker->action_next] = (struct action){
        .at = c->ordered_at, .command = c->id, .rule = c->rule, .node = c->node, .remedy = c->remedy};
    checker->action_next = (checker->action_next + 1) % CHECKER_ACTIONS;
    books_changed(checker, c->node);
}

/* --- S7 ------------------------------------------------------------------------------------------------- */

bool order_is_maintained(const struct checker *checker, const struct node_book *node, instant at)
{
    bool on = node->kept.maintained_until != INSTANT_NONE && node->kept.maintained_until > at;
    for (uint32_t i = 0; i < checker->policy.guards.window_count && !on; i++) {
        const struct window *window = &checker->policy.guards.windows[i];
        on = window_covers(window, node->name) && window_is_on(window, at, NULL);
    }
    return on;
}

/* Ill for a cause of its own beyond any doubt: here all the time, heard of since it came, and not in
 * anybody's hands. */
static bool is_surely_ill(const struct checker *checker, const struct node_book *node, instant at)
{
    return node->here && !node->has_left && node->ill > 0 && node->heard_at != INSTANT_NONE &&
           node->heard_at >= node->arrived_at && !order_is_maintained(checker, node, at) &&
           !order_is_maintained(checker, node, at - MINUTE);
}

/* Called when one more is ill: if they are too many, the breaker must be open before anything else is done,
 * to this one too. */
void order_note_illness(struct checker *checker, const struct incident_book *book)
{
    const struct guards *g = &checker->policy.guards;
    const struct node_book *node = books_node(checker, book->node);
    instant at = checker->step.at;
    uint32_t ill = 0;
    if (node == NULL || node->ill != 1 || !is_surely_ill(checker, node, at)) {
        return;
    }
    for (uint32_t n = 0; n < checker->nodes; n++) {
        ill += is_surely_ill(checker, &checker->node[n], at);
    }
    checker->breaker_due = ill >= g->breaker_at_least && ill > checker->control.forgiven &&
                           (double)ill > g->breaker_unhealthy_ratio * checker->fleet;
}

static void check_breaker(struct checker *checker, const struct command *c)
{
    if (checker->breaker_before) {
        violation_add(checker, c->ordered_at, c->node, INVARIANT_S7,
                      "command %llu is ordered while the breaker is open", (id)c->id);
    } else if (checker->breaker_due) {
        violation_add(checker, c->ordered_at, c->node, INVARIANT_S7,
                      "command %llu is ordered after so many fell ill that the breaker must be open",
                      (id)c->id);
    }
}

/* --- S8 ------------------------------------------------------------------------------------------------- */

static void check_news(struct checker *checker, const struct command *c, const struct node_book *node)
{
    duration limit = (node->declared ? 2 : 3) * node->interval_ns + SECOND;
    if (node->sampled_at == INSTANT_NONE || c->ordered_at - node->sampled_at > limit) {
        violation_add(checker, c->ordered_at, c->node, INVARIANT_S8,
                      "command %llu rests on a sample that is %.1f s old, and %.1f s is the most", (id)c->id,
                      node->sampled_at == INSTANT_NONE ? -1.0
                                                       : duration_seconds(c->ordered_at - node->sampled_at),
                      duration_seconds(limit));
    }
    if (checker->away_until == INSTANT_NONE) {
        return;
    }
    duration interval_ns = node->declared ? node->interval_ns : node->interval_ns / 2;
    if (node->heard_at == INSTANT_NONE || node->heard_at < checker->away_until ||
        c->ordered_at < checker->away_until + interval_ns) {
        violation_add(checker, c->ordered_at, c->node, INVARIANT_S8,
                      "command %llu comes %.1f s after the control plane was away, without news since",
                      (id)c->id, duration_seconds(c->ordered_at - checker->away_until));
    }
}

static void check_switches(struct checker *checker, const struct command *c, const struct node_book *node,
                           const struct incident_book *incident)
{
    const char *against = NULL;
    bool has_word = incident->word_until != INSTANT_NONE && c->ordered_at < incident->word_until;
    if (order_is_maintained(checker, node, c->ordered_at)) {
        against = "people are at work on the node";
    } else if (checker->control.paused) {
        against = "a person has paused automation";
    } else if (checker->policy.mode == MODE_DRY_RUN) {
        against = "the policy only watches";
    } else if (c->by_person && !has_word) {
        against = "the person in whose name it goes has not said so";
    } else if (checker->policy.mode == MODE_APPROVE && !c->by_person) {
        against = "nobody has approved it";
    }
    if (against != NULL) {
        violation_add(checker, c->ordered_at, c->node, INVARIANT_S8, "command %llu is ordered, and %s",
                      (id)c->id, against);
    }
}

/* --- S10 ------------------------------------------------------------------------------------------------ */

static void check_ladder(struct checker *checker, const struct command *c,
                         const struct incident_book *incident)
{
    bool stands = false;
    for (uint32_t i = 0; i < checker->policy.detector_count; i++) {
        const struct detector *d = &checker->policy.detectors[i];
        bool own = strncmp(d->name, incident->detector_name, DETECTOR_NAME_SIZE) == 0;
        for (uint8_t rung = 0; own && rung < d->ladder_count; rung++) {
            stands = stands || d->ladder[rung].remedy == c->remedy;
        }
    }
    if (!stands || c->remedy >= REMEDY_COUNT || !remedy_infos[c->remedy].disruptive) {
        violation_add(checker, c->ordered_at, c->node, INVARIANT_S10,
                      "command %llu, %s, does not stand on the ladder of %s", (id)c->id,
                      c->remedy < REMEDY_COUNT ? remedy_name(c->remedy) : "an unknown remedy",
                      incident->detector_name);
    }
}

/* --- together ------------------------------------------------------------------------------------------- */

void order_check(struct checker *checker, const struct command *command, struct incident_book *incident)
{
    struct node_book *node = books_node(checker, command->node);
    if (node == NULL) {
        violation_add(checker, command->ordered_at, command->node, INVARIANT_S10,
                      "command %llu is for a node that is not there", (id)command->id);
        return;
    }
    check_budget(checker, command, node);
    check_breaker(checker, command);
    check_news(checker, command, node);
    check_switches(checker, command, node, incident);
    check_ladder(checker, command, incident);
    if (!command->by_person) {
        check_rates(checker, command, node);
        check_waits(checker, command, node);
        note_action(checker, command, node);
    }
    incident->word_until = INSTANT_NONE; /* one word, one command */
    books_pend(checker, &(struct pending){
                            .ticket = checker->ticket, .kind = PENDING_INCIDENT, .of.incident = *incident});
}
