/* Liveness: what must have come about once the faults have stopped and everybody had time. */
#include "sim/check_state.h"

typedef unsigned long long id;

/* --- faults that must be found -------------------------------------------------------------------------- */

void liveness_found(struct checker *checker, uint32_t node)
{
    for (uint32_t i = 0; i < checker->fault_count; i++) {
        checker->fault[i].found |=
            checker->fault[i].since_at != INSTANT_NONE && checker->fault[i].node == node;
    }
}

void liveness_excuse(struct checker *checker, uint32_t node)
{
    for (uint32_t i = 0; i < checker->fault_count; i++) {
        checker->fault[i].excused |= node == NO_INDEX || checker->fault[i].node == node;
    }
}

/* Where nothing was heard for long, nothing can be seen. */
void liveness_report(struct checker *checker, uint32_t node, instant at)
{
    const struct node_book *book = &checker->node[node];
    if (checker->fault_count > 0 &&
        (book->heard_at == INSTANT_NONE || at - book->heard_at > 3 * book->interval_ns)) {
        liveness_excuse(checker, node);
    }
}

/* Other findings are looked for from now on, or samples are missing: whoever is ill has the usual time anew.
 */
void liveness_anew(struct checker *checker, uint32_t node, instant at)
{
    for (uint32_t i = 0; i < checker->fault_count; i++) {
        struct fault_book *fault = &checker->fault[i];
        if (fault->since_at != INSTANT_NONE && (node == NO_INDEX || fault->node == node)) {
            fault->since_at = at;
        }
    }
}

/* The fault moves this metric beyond the line, if it is at its usual intensity or above. */
static bool goes_beyond(const struct condition *c, const struct fault_info *info)
{
    const struct metric_info *metric = &metric_infos[c->metric];
    bool above = c->comparison == COMPARE_GT || c->comparison == COMPARE_GE;
    bool far = metric->unit != info->unit || c->number < info->intensity;
    return above == metric->worse_up && (!metric->worse_up || far);
}

/* What else it asks for is sure to come with the fault: no trend, nothing that a lying sensor can deny, and
 * no latency beyond what a burnt processor gives, which takes slices of 60 ms (the world's BURN_SLICE_S). */
static bool comes_with_it(const struct condition *c)
{
    const struct metric_info *metric = &metric_infos[c->metric];
    bool above = c->comparison == COMPARE_GT || c->comparison == COMPARE_GE;
    bool illness =
        !metric->local && above == metric->worse_up && (metric->unit != UNIT_SECONDS || c->number <= 0.05);
    return !c->rate && (metric->unit == UNIT_FLAG || illness);
}

/* The detector is sure to see this kind of fault, in time, where these metrics are sampled. */
static bool sees(const struct detector *d, uint8_t kind, uint32_t present)
{
    const struct fault_info *info = &fault_infos[kind];
    bool looks = false;
    for (uint8_t c = 0; c < d->when_count; c++) {
        const struct condition *when = &d->when[c];
        bool own = when->metric == info->metric;
        bool sure = own ? !when->rate && goes_beyond(when, info) : comes_with_it(when);
        if (!sure || !(present & 1u << when->metric)) {
            return false;
        }
        looks |= own;
    }
    return looks && d->for_ns <= CHECKER_DETECT_NS / 2;
}

static bool has_detector(const struct checker *checker, uint8_t kind, uint32_t present)
{
    for (uint32_t i = 0; i < checker->policy.detector_count; i++) {
        if (sees(&checker->policy.detectors[i], kind, present)) {
            return true;
        }
    }
    return false;
}

/* What is not measured cannot be seen: of a service that nobody asks there are no errors and no latency. */
void liveness_sampled(struct checker *checker, uint32_t node, uint32_t present)
{
    for (uint32_t i = 0; i < checker->fault_count; i++) {
        struct fault_book *fault = &checker->fault[i];
        if (fault->node == node && fault->since_at != INSTANT_NONE && !fault->excused) {
            fault->excused = !has_detector(checker, fault->kind, present);
        }
    }
}

static bool has_incident(const struct checker *checker, uint32_t node)
{
    for (uint32_t i = checker->incidents.count; i-- > 0;) {
        const struct incident_book *book = shelf_row(&checker->incidents, i);
        if (book->node == node && book->state != INCIDENT_RESOLVED) {
            return true;
        }
    }
    return false;
}

static void judge_fault(struct checker *checker, struct fault_book *fault, instant at)
{
    const struct node_book *node = books_node(checker, fault->node);
    bool silent = node == NULL || !node->here || node->heard_at == INSTANT_NONE ||
                  at - node->heard_at > 3 * node->interval_ns;
    if (at - fault->since_at > CHECKER_DETECT_NS && !fault->found && !fault->excused && !silent &&
        checker->crashed_at == INSTANT_NONE && has_detector(checker, fault->kind, UINT32_MAX)) {
        violation_add(checker, at, fault->node, INVARIANT_L5, "%s lasted %.0f s and was not found",
                      fault_kind_name(fault->kind), duration_seconds(at - fault->since_at));
    }
    fault->since_at = INSTANT_NONE;
}

static struct fault_book *find_fault(struct checker *checker, uint32_t node, enum fault_kind kind)
{
    for (uint32_t i = 0; i < checker->fault_count; i++) {
        struct fault_book *fault = &checker->fault[i];
        if (fault->since_at != INSTANT_NONE && fault->node == node && fault->kind == kind) {
            return fault;
        }
    }
    return NULL;
}

static bool can_hide(uint8_t kind)
{
    return kind == FAULT_CPU_SPIKE || kind == FAULT_STORAGE_LATENCY;
}

void checker_hidden(struct checker *checker, uint32_t node, bool begins)
{
    struct node_book *book = books_node(checker, node);
    if (book == NULL) {
        return;
    }
    if (begins) {
        book->hidden++;
    } else if (book->hidden > 0) {
        book->hidden--;
    }
    for (uint32_t i = 0; i < checker->fault_count; i++) {
        checker->fault[i].excused |= checker->fault[i].node == node && can_hide(checker->fault[i].kind);
    }
}

/* Faults that every policy of the swarm can heal: their incidents must come to an end. */
static bool is_followed(enum fault_kind kind)
{
    return kind == FAULT_CPU_SPIKE || kind == FAULT_NETWORK_DELAY || kind == FAULT_STORAGE_LATENCY ||
           kind == FAULT_SERVICE_CRASH || kind == FAULT_SERVICE_HANG;
}

void checker_fault(struct checker *checker, instant at, uint32_t node, enum fault_kind kind, bool begins)
{
    struct fault_book *fault = find_fault(checker, node, kind);
    if (!begins || fault != NULL || !is_followed(kind)) {
        if (!begins && fault != NULL) {
            judge_fault(checker, fault, at);
        }
        return;
    }
    for (uint32_t i = 0; i < FAULTS_FOLLOWED && fault == NULL; i++) {
        if (i >= checker->fault_count || checker->fault[i].since_at == INSTANT_NONE) {
            fault = &checker->fault[i];
            checker->fault_count = i < checker->fault_count ? checker->fault_count : i + 1;
        }
    }
    const struct node_book *book = books_node(checker, node);
    bool hidden = book != NULL && book->hidden > 0 && can_hide((uint8_t)kind);
    if (fault != NULL) {
        *fault = (struct fault_book){.since_at = at,
                                     .node = node,
                                     .kind = (uint8_t)kind,
                                     .found = has_incident(checker, node),
                                     .excused = checker->crashed_at != INSTANT_NONE || hidden};
    }
}

/* --- rest ----------------------------------------------------------------------------------------------- */

/* See checker_rest(): people do not come in a simulation. */
static bool waits_for_people(const struct checker *checker, const struct incident_book *book,
                             enum block_reason reason, instant at)
{
    switch (reason) {
    case BLOCK_APPROVAL:
    case BLOCK_UNCORROBORATED:
    case BLOCK_FLAPPING:
    case BLOCK_RATE_TARGET:
    case BLOCK_ATTEMPTS:
    case BLOCK_MAINTENANCE:
    case BLOCK_PAUSED:
    case BLOCK_BREAKER:
    case BLOCK_DRY_RUN:
        return excuse_holds(checker, book, reason, at, CHECKER_BUSY_NS);
    default:
        return false;
    }
}

static enum block_reason block_now(const struct core *core, const struct incident_book *book)
{
    const struct incident *incident = core_incident(core, book->id);
    return incident == NULL ? BLOCK_NONE : (enum block_reason)incident->block;
}

/* Something is in people's hands: what it explains may wait with it. */
static bool people_have_something(const struct checker *checker, const struct core *core, instant at)
{
    for (uint32_t i = 0; i < checker->incidents.count; i++) {
        const struct incident_book *book = shelf_row(&checker->incidents, i);
        if (book->state == INCIDENT_ESCALATED ||
            (state_is_active(book->state) && waits_for_people(checker, book, block_now(core, book), at))) {
            return true;
        }
    }
    return false;
}

/* Of such a node nobody can say that it is well; that it is silent is a finding of its own. */
static bool is_lost(struct checker *checker, uint32_t node, instant at)
{
    const struct node_book *book = books_node(checker, node);
    return book == NULL || book->heard_at == INSTANT_NONE || at - book->heard_at > MINUTE;
}

/* Terminal, or nothing to be done about but by people. */
static bool may_rest(struct checker *checker, const struct core *core, const struct incident_book *book,
                     bool people, instant at)
{
    enum block_reason block = block_now(core, book);
    bool may_wait = waits_for_people(checker, book, block, at) || (block == BLOCK_EXPLAINED && people) ||
                    is_lost(checker, book->node, at);
    return !state_is_active(book->state) || (may_wait && !state_is_disrupted(book->state));
}

static void rest_incidents(struct checker *checker, instant at, const struct core *core)
{
    bool people = people_have_something(checker, core, at);
    for (uint32_t i = 0; i < checker->incidents.count; i++) {
        const struct incident_book *book = shelf_row(&checker->incidents, i);
        if (!may_rest(checker, core, book, people, at) && at - book->moved_at > CHECKER_BUSY_NS) {
            violation_add(checker, at, book->node, INVARIANT_L1,
                          "incident %llu (%s) is still %s, stopped by %s, %.0f s after it was opened",
                          (id)book->id, book->detector_name, incident_state_name(book->state),
                          block_reason_name(block_now(core, book)), duration_seconds(at - book->opened_at));
        }
    }
}

/* An incident in work has moved just now. */
static bool anything_moves(const struct checker *checker, instant at)
{
    for (uint32_t i = 0; i < checker->incidents.count; i++) {
        const struct incident_book *book = shelf_row(&checker->incidents, i);
        if (state_is_disrupted(book->state) && at - book->moved_at <= CHECKER_BUSY_NS) {
            return true;
        }
    }
    return false;
}

static void rest_commands(struct checker *checker, instant at)
{
    for (uint32_t i = 0; i < checker->commands.count; i++) {
        const struct command_book *book = shelf_row(&checker->commands, i);
        if (book->outcome == OUTCOME_NONE && at - book->ordered_at > CHECKER_BUSY_NS) {
            violation_add(checker, at, book->node, INVARIANT_L2, "command %llu has no outcome after %.0f s",
                          (id)book->id, duration_seconds(at - book->ordered_at));
        }
    }
}

void checker_spooled(struct checker *checker, instant at, uint32_t node, uint64_t waiting)
{
    if (waiting > 0) {
        violation_add(checker, at, node, INVARIANT_L3, "%llu reports still wait in the spool", (id)waiting);
    }
}

/* Longer than the policy lets one incident take, alone in the fleet and with every rung tried: what is in
 * work for longer goes round in circles, or waits for others. */
static duration longest_work(const struct policy *policy)
{
    const struct guards *g = &policy->guards;
    duration wait = g->backoff_base_ns > g->cooldown_ns ? g->backoff_cap_ns : g->cooldown_ns;
    duration longest = 0;
    for (uint32_t i = 0; i < policy->detector_count; i++) {
        const struct detector *d = &policy->detectors[i];
        duration all = d->healthy_for_ns;
        for (uint8_t rung = 0; rung < d->ladder_count; rung++) {
            all += d->ladder[rung].within_ns + d->healthy_for_ns + wait + MINUTE; /* and its answer */
        }
        longest = all > longest ? all : longest;
    }
    return longest + g->hold_ns + policy->planner_wait_ns + CHECKER_MOVED_NS;
}

static bool rows_wait(const struct checker *checker, instant at)
{
    return checker->pending_count > 0 && at - checker->pending[checker->pending_first].at > CHECKER_BUSY_NS;
}

bool checker_settles(struct checker *checker, instant at, const struct core *core)
{
    if (core == NULL || checker->crashed_at != INSTANT_NONE || core_disrupted(core) != checker->disrupted) {
        return false;
    }
    bool people = people_have_something(checker, core, at), settles = !rows_wait(checker, at);
    duration longest = longest_work(&checker->policy);
    for (uint32_t i = 0; i < checker->incidents.count; i++) {
        struct incident_book *book = shelf_row(&checker->incidents, i);
        book->rested |= may_rest(checker, core, book, people, at);
        bool moves = at - book->moved_at <= CHECKER_MOVED_NS && at - book->active_at <= longest;
        settles &= book->rested || moves;
    }
    for (uint32_t i = 0; i < checker->commands.count; i++) {
        const struct command_book *book = shelf_row(&checker->commands, i);
        settles &= book->outcome != OUTCOME_NONE || at - book->ordered_at <= CHECKER_MOVED_NS;
    }
    return settles;
}

void checker_rest(struct checker *checker, instant at, const struct core *core)
{
    if (core == NULL || checker->crashed_at != INSTANT_NONE) {
        violation_add(checker, at, NO_INDEX, INVARIANT_L4, "the control plane has not come back");
    }
    for (uint32_t i = 0; i < checker->fault_count; i++) {
        if (checker->fault[i].since_at != INSTANT_NONE) {
            judge_fault(checker, &checker->fault[i], at);
        }
    }
    if (core == NULL) {
        return;
    }
    rest_incidents(checker, at, core);
    rest_commands(checker, at);
    if (core_disrupted(core) != checker->disrupted ||
        (checker->disrupted != 0 && !anything_moves(checker, at))) {
        violation_add(checker, at, NO_INDEX, INVARIANT_L6,
                      "%u nodes are in work as the core counts, %u by the books", core_disrupted(core),
                      checker->disrupted);
    }
    if (rows_wait(checker, at)) {
        violation_add(checker, at, NO_INDEX, INVARIANT_L6, "%u rows still wait for their commit",
                      checker->pending_count);
    }
}
