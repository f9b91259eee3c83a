/* The decision core and time: streams of reports that come doubled, late, out of order, from clocks that
 * drift, or all at once after we were suspended, lead to the decisions that the clean stream leads to.
 *
 * Each story is run twice in the same small world (faults at the same instants, cured by the right remedy):
 * once over a perfect way to the core, once over a disturbed one. What was ordered and what came of it must
 * be the same; a little later, but no later than the reports were, and an interval.
 *
 *     test_core_time [STREAMS [FIRST_SEED]]       a failing stream prints the seed that repeats it */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "base/check.h"
#include "core/core.h"
#include "sanitized.h"
#include "story.h"

#define POLICY                                                                                               \
    "version: 1\ndetectors:\n"                                                                               \
    "  - {name: cpu-high, when: cpu_utilization > 0.90 and request_latency > 20ms, for: 3s,"                 \
    " clear: cpu_utilization < 0.70, healthy_for: 3s}\n"                                                     \
    "  - {name: slow-storage, when: storage_latency > 100ms and request_latency > 50ms, for: 3s,"            \
    " clear: storage_latency < 20ms, healthy_for: 3s}\n"                                                     \
    "  - {name: slow, when: request_latency > 200ms, for: 3s, clear: request_latency < 100ms,"               \
    " healthy_for: 3s, confirm: no}\n"                                                                       \
    "  - {name: silent, absent: 8s}\n"                                                                       \
    "playbooks:\n"                                                                                           \
    "  - {on: cpu-high, steps: [{do: restart_service, settle: 1s, within: 20s}, page_human]}\n"              \
    "  - {on: slow-storage, steps: [{do: failover_storage, settle: 1s, within: 20s}, page_human]}\n"         \
    "  - {on: slow, steps: [{do: restart_service, settle: 1s, within: 20s}, page_human]}\n"                  \
    "  - {on: silent, steps: [page_human]}\n"                                                                \
    "guards: {max_disrupted: 100%, breaker: {unhealthy: 90%, at_least: 20},"                                 \
    " per_target: {cooldown: 5s}, hold: 2s}\n"

enum {
    NODES_MAX = 30,
    HAPPENED_MAX = 16,  /* orders and endings of one node in one run */
    PENDING_MAX = 4096, /* events on their way */
    RUN_S = 60,
    COPIES_MAX = 5
};

/* Under the sanitizers a stream costs ten times as much. */
static unsigned streams = SANITIZED ? 30 : 300;
static uint64_t first_seed = 1;

static uint64_t next_random(uint64_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 7;
    *x ^= *x << 17;
    return *x;
}

/* 0 .. below */
static duration random_below(uint64_t *x, duration below)
{
    return below > 0 ? (duration)(next_random(x) >> 1) % below : 0;
}

/* --- the world ------------------------------------------------------------------------------------------ */

enum trouble {
    TROUBLE_NONE,
    TROUBLE_CPU,     /* until a restart */
    TROUBLE_STORAGE, /* until a failover; its callers are slow meanwhile */
    TROUBLE_SILENT,  /* for a dozen seconds nothing is sent */
    TROUBLE_NEARLY   /* three bad samples and a good one, over and over: two seconds are not three */
};

struct member {
    enum trouble trouble;
    instant from, until; /* it is on; `until` moves when it is cured */
    instant phase;       /* of its sampling */
    uint64_t sequence;
    uint32_t callee; /* NO_INDEX: calls nobody */
};

struct happened {
    instant at;
    bool ordered; /* else it ended */
    uint8_t word; /* remedy, or verdict */
    uint8_t state;
};

struct way {                       /* from a node to the core */
    duration late_ns;              /* each report is up to so late, and says so */
    duration unsaid_ns;            /* and up to so late on the wire, which nobody knows of */
    unsigned copies;               /* each comes up to so many times */
    bool in_order;                 /* the first copies keep their order */
    double drift;                  /* of the nodes' clocks, between 1/drift and drift */
    instant away_from, away_until; /* we are suspended */
};

enum pending_kind { PENDING_TICK, PENDING_REPORT, PENDING_END };

struct pending {
    instant at;
    enum pending_kind kind;
    uint32_t node;
    struct report report;
    uint64_t command;
    uint8_t remedy;
};

struct run {
    struct core *core;
    const struct way *way;
    uint64_t random; /* of the way alone: the world draws the same in both runs */
    uint32_t nodes;
    struct member member[NODES_MAX];
    double rate[NODES_MAX];
    instant last_arrival[NODES_MAX];
    struct happened happened[NODES_MAX][HAPPENED_MAX];
    unsigned happenings[NODES_MAX];
    struct pending *pending; /* sorted, the next one last */
    size_t pending_count;
    unsigned rejected[REJECT_COUNT];
};

static void later(struct run *run, const struct pending *one)
{
    size_t low = 0, high = run->pending_count;
    assert_true(run->pending_count < PENDING_MAX);
    while (low < high) { /* of equal instants the one that was put first comes first */
        size_t middle = (low + high) / 2;
        if (run->pending[middle].at >= one->at) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    while (low > 0 && run->pending[low - 1].at == one->at) {
        low--;
    }
    memmove(&run->pending[low + 1], &run->pending[low], (run->pending_count - low) * sizeof *one);
    run->pending[low] = *one;
    run->pending_count++;
}

static void draw_member(struct run *run, uint32_t number, uint64_t *x)
{
    struct member *m = &run->member[number];
    static const enum trouble troubles[] = {TROUBLE_NONE, TROUBLE_NONE,    TROUBLE_NONE,   TROUBLE_CPU,
                                            TROUBLE_CPU,  TROUBLE_STORAGE, TROUBLE_SILENT, TROUBLE_NEARLY};
    *m = (struct member){.trouble = troubles[next_random(x) % COUNT_OF(troubles)],
                         .phase = random_below(x, SECOND),
                         .callee = NO_INDEX};
    if (m->trouble == TROUBLE_NEARLY && run->way->drift > 1) {
        m->trouble = TROUBLE_NONE; /* by a clock at half speed, it is ill for four seconds */
    }
    m->from = 8 * SECOND + random_below(x, 20 * SECOND);
    m->until = m->trouble == TROUBLE_SILENT ? m->from + 12 * SECOND : INSTANT_NEVER;
    /* The first third are called by the second; nobody calls a caller. */
    if (number >= run->nodes / 3 && number < 2 * (run->nodes / 3)) {
        m->callee = number - run->nodes / 3;
        m->trouble = m->trouble == TROUBLE_NEARLY ? TROUBLE_NEARLY : TROUBLE_NONE;
    }
}

static bool is_on(const struct member *m, enum trouble trouble, instant at)
{
    return m->trouble == trouble && at >= m->from && at < m->until;
}

static void sample(const struct run *run, uint32_t number, instant at, struct report *report)
{
    const struct member *m = &run->member[number];
    bool nearly = is_on(m, TROUBLE_NEARLY, at) && m->sequence % 4 != 0;
    double cpu = is_on(m, TROUBLE_CPU, at) || nearly ? 0.97 : 0.05;
    double storage = is_on(m, TROUBLE_STORAGE, at) ? 0.3 : 0.001;
    double latency = cpu > 0.9 ? 0.058 : 0.001 + storage;
    if (m->callee != NO_INDEX && is_on(&run->member[m->callee], TROUBLE_STORAGE, at)) {
        latency = 0.3;
    }
    report->present =
        1u << METRIC_CPU_UTILIZATION | 1u << METRIC_STORAGE_LATENCY | 1u << METRIC_REQUEST_LATENCY;
    report->value[METRIC_CPU_UTILIZATION] = cpu;
    report->value[METRIC_STORAGE_LATENCY] = storage;
    report->value[METRIC_REQUEST_LATENCY] = latency;
}

/* --- the way -------------------------------------------------------------------------------------------- */

static void send_report(struct run *run, uint32_t number, instant at)
{
    const struct way *way = run->way;
    struct pending one = {.kind = PENDING_REPORT, .node = number};
    sample(run, number, at, &one.report);
    one.report.boot = 1;
    one.report.sequence = run->member[number].sequence;
    unsigned copies = 1 + (unsigned)(next_random(&run->random) % way->copies);
    for (unsigned i = 0; i < copies; i++) {
        duration told_ns = random_below(&run->random, way->late_ns);
        one.at = at + told_ns + random_below(&run->random, way->unsaid_ns);
        if (way->in_order && i == 0 && one.at < run->last_arrival[number]) {
            told_ns += run->last_arrival[number] - one.at; /* it waited for the one before it, and knows */
            one.at = run->last_arrival[number];
        }
        if (way->in_order && i > 0 && one.at < run->last_arrival[number]) {
            one.at = run->last_arrival[number];
        }
        run->last_arrival[number] = i == 0 ? one.at : run->last_arrival[number];
        one.report.age_ns = (duration)((double)told_ns * run->rate[number]);
        if (one.at >= way->away_from && one.at < way->away_until) {
            /* It waits in the socket, where its age does not grow; they are read one after the other. */
            one.at = way->away_until + (one.at - way->away_from) / 1000;
        }
        later(run, &one);
    }
}

static void tick(struct run *run, const struct pending *pending)
{
    struct member *m = &run->member[pending->node];
    m->sequence++;
    if (!is_on(m, TROUBLE_SILENT, pending->at)) {
        send_report(run, pending->node, pending->at);
    }
    struct pending next = *pending;
    next.at += (duration)((double)SECOND / run->rate[pending->node]);
    next.at += random_below(&run->random, 6 * MILLISECOND) - 3 * MILLISECOND; /* the jitter of its timer */
    later(run, &next);
}

/* --- the core ------------------------------------------------------------------------------------------- */

static void note(struct run *run, uint32_t node, const struct happened *one)
{
    if (run->happenings[node] < HAPPENED_MAX) {
        run->happened[node][run->happenings[node]++] = *one;
    }
}

static void take_effect(struct run *run, const struct effect *e)
{
    if (e->kind == EFFECT_ACT) {
        note(run, e->node, &(struct happened){.at = e->at, .ordered = true, .word = e->of.command.remedy});
        later(run, &(struct pending){.at = e->at + 200 * MILLISECOND,
                                     .kind = PENDING_END,
                                     .node = e->node,
                                     .command = e->of.command.id,
                                     .remedy = e->of.command.remedy});
    }
    bool ended = e->kind == EFFECT_RECORD && e->of.incident.closed_at == e->at &&
                 (e->of.incident.state == INCIDENT_RESOLVED || e->of.incident.state == INCIDENT_ESCALATED) &&
                 e->of.incident.attempts > 0;
    if (ended) {
        note(run, e->node,
             &(struct happened){.at = e->at, .word = e->of.incident.verdict, .state = e->of.incident.state});
    }
    if (e->kind == EFFECT_REJECT) {
        run->rejected[e->reject]++;
    }
}

static void step(struct run *run, const struct event *event)
{
    struct effects effects;
    core_step(run->core, event, &effects);
    for (uint32_t i = 0; i < effects.count; i++) {
        take_effect(run, &effects.list[i]);
    }
}

/* Nothing happens here while we are away. */
static instant awake_at(const struct run *run, instant at)
{
    return at >= run->way->away_from && at < run->way->away_until ? run->way->away_until : at;
}

static void run_deadlines(struct run *run, instant *now, instant until)
{
    while (core_deadline(run->core) <= until) {
        instant at = core_deadline(run->core) > *now ? core_deadline(run->core) : *now;
        at = awake_at(run, at);
        if (at > until) {
            return;
        }
        *now = at;
        step(run, &(struct event){.at = at, .kind = EVENT_DEADLINE, .node = NO_INDEX});
    }
}

static void cure(struct run *run, const struct pending *end)
{
    struct member *m = &run->member[end->node];
    bool cures = (m->trouble == TROUBLE_CPU && end->remedy == REMEDY_RESTART_SERVICE) ||
                 (m->trouble == TROUBLE_STORAGE && end->remedy == REMEDY_FAILOVER_STORAGE);
    if (cures && end->at < m->until) {
        m->until = end->at;
    }
}

static void take(struct run *run, const struct pending *one, instant now)
{
    struct event event = {.at = now, .node = one->node};
    if (one->kind == PENDING_REPORT) {
        event.kind = EVENT_REPORT;
        event.of.report = one->report;
        step(run, &event);
    } else if (one->kind == PENDING_END) {
        cure(run, one);
        event.kind = EVENT_COMMAND_END;
        event.of.command_end =
            (struct command_end){.command = one->command, .outcome = OUTCOME_DONE, .began = 1};
        step(run, &event);
    } else {
        tick(run, one);
    }
}

static void enrol(struct run *run)
{
    for (uint32_t n = 0; n < run->nodes; n++) {
        struct event event = {.kind = EVENT_HELLO, .node = n};
        struct text name = text_over(event.of.hello.name, NODE_NAME_SIZE);
        text_addf(&name, "node-%u", n);
        event.of.hello.boot = 1;
        event.of.hello.interval_ns = SECOND;
        if (run->member[n].callee != NO_INDEX) {
            event.of.hello.calls[event.of.hello.calls_count++] = run->member[n].callee;
        }
        step(run, &event);
        later(run, &(struct pending){.at = run->member[n].phase, .kind = PENDING_TICK, .node = n});
    }
}

static void run_world(struct run *run, const struct policy *policy, uint64_t seed, const struct way *way)
{
    const struct core_config config = {.node_capacity = NODES_MAX, .incident_capacity = 64};
    uint64_t x = seed * 0x9e3779b97f4a7c15u + 1;
    memset(run, 0, sizeof *run);
    run->core = core_init(calloc(1, core_size(&config)), &config);
    run->pending = calloc(PENDING_MAX, sizeof *run->pending);
    run->way = way;
    run->random = x;
    run->nodes = 10 + (uint32_t)(next_random(&x) % 21);
    for (uint32_t n = 0; n < run->nodes; n++) {
        draw_member(run, n, &x);
        double r = (double)(next_random(&x) % 1000) / 999; /* 1/drift .. drift, evenly */
        run->rate[n] = 1 / way->drift + r * (way->drift - 1 / way->drift);
    }
    step(run, &(struct event){.kind = EVENT_POLICY, .of.policy = policy});
    enrol(run);
    bool was_away = way->away_until == 0;
    instant now = 0;
    while (run->pending_count > 0) {
        struct pending one = run->pending[--run->pending_count];
        bool is_plane = one.kind == PENDING_REPORT || (one.kind == PENDING_END);
        instant at = is_plane ? awake_at(run, one.at) : one.at;
        if (one.at >= RUN_S * SECOND) {
            break;
        }
        if (at > one.at) { /* an outcome waits like a report; what it did has been done */
            cure(run, &one);
            one.at = at;
            later(run, &one);
            continue;
        }
        if (!was_away && one.at >= way->away_until) {
            was_away = true;
            now = way->away_until;
            struct event gap = {.at = now, .kind = EVENT_GAP, .node = NO_INDEX};
            gap.of.gap.length_ns = way->away_until - way->away_from;
            step(run, &gap);
        }
        if (one.kind == PENDING_TICK) { /* the node's own affair */
            tick(run, &one);
            continue;
        }
        run_deadlines(run, &now, one.at - 1);
        now = one.at > now ? one.at : now;
        take(run, &one, now);
        run_deadlines(run, &now, now);
    }
    free(run->pending);
    free(run->core);
}

/* --- the comparison ------------------------------------------------------------------------------------- */

struct tally {
    unsigned orders, wrong, missing, other, late, differing;
    duration worst_order_ns, worst_end_ns;
};

static bool may_be_ordered(const struct member *m, uint8_t remedy)
{
    return (m->trouble == TROUBLE_CPU && remedy == REMEDY_RESTART_SERVICE) ||
           (m->trouble == TROUBLE_STORAGE && remedy == REMEDY_FAILOVER_STORAGE);
}

/* One node in both runs. True if all is as it should be. */
static bool compare_node(const struct run *clean, const struct run *run, uint32_t n, duration bound_ns,
                         struct tally *tally)
{
    bool good = true;
    for (unsigned i = 0; i < run->happenings[n]; i++) {
        const struct happened *h = &run->happened[n][i];
        if (h->ordered && !may_be_ordered(&clean->member[n], h->word)) {
            tally->wrong++;
            good = false;
        }
    }
    if (run->happenings[n] != clean->happenings[n]) {
        tally->missing += run->happenings[n] < clean->happenings[n];
        tally->other += run->happenings[n] > clean->happenings[n];
        return false;
    }
    for (unsigned i = 0; i < clean->happenings[n]; i++) {
        const struct happened *a = &clean->happened[n][i], *b = &run->happened[n][i];
        tally->orders += a->ordered;
        if (a->ordered != b->ordered || a->word != b->word || a->state != b->state) {
            tally->other++;
            return false;
        }
        duration shift = b->at - a->at;
        duration *worst = a->ordered ? &tally->worst_order_ns : &tally->worst_end_ns;
        *worst = shift > *worst ? shift : *worst;
        duration limit = a->ordered ? bound_ns : 2 * bound_ns;
        if (shift > limit || -shift > limit) {
            tally->late++;
            good = false;
        }
    }
    return good;
}

static void print_node(const char *name, uint64_t seed, uint32_t n, const struct run *clean,
                       const struct run *run)
{
    print_message("# %s: seed %" PRIu64 ", node %u\n", name, seed, n);
    const struct run *runs[] = {clean, run};
    for (size_t r = 0; r < COUNT_OF(runs); r++) {
        for (unsigned i = 0; i < runs[r]->happenings[n]; i++) {
            const struct happened *h = &runs[r]->happened[n][i];
            print_message("#   %s %.3f %s\n", r == 0 ? "clean    " : "disturbed", duration_seconds(h->at),
                          h->ordered ? remedy_name(h->word) : verdict_name(h->word));
        }
    }
}

static void check_way(const char *name, const struct way *way, duration bound_ns, struct tally *tally)
{
    static const struct way perfect = {.copies = 1, .in_order = true, .drift = 1};
    struct story *story = story_new(POLICY);
    struct run *clean = malloc(sizeof *clean), *run = malloc(sizeof *run);
    *tally = (struct tally){0};
    story->policy.guards.rate_fleet.max = 0; /* who comes too late for it depends on everybody else */
    for (uint64_t seed = first_seed; seed < first_seed + streams; seed++) {
        run_world(clean, &story->policy, seed, &perfect);
        run_world(run, &story->policy, seed, way);
        bool good = true;
        for (uint32_t n = 0; n < clean->nodes; n++) {
            if (!compare_node(clean, run, n, bound_ns, tally)) {
                good = false;
                if (tally->differing < 3) {
                    print_node(name, seed, n, clean, run);
                }
            }
        }
        tally->differing += !good;
    }
    print_message(
        "# %s: %u streams, %u orders, %u streams differ (wrong %u, missing %u, other %u, too late %u); "
        "at most %.2f s later, endings %.2f s\n",
        name, streams, tally->orders, tally->differing, tally->wrong, tally->missing, tally->other,
        tally->late, duration_seconds(tally->worst_order_ns), duration_seconds(tally->worst_end_ns));
    free(clean);
    free(run);
    story_free(&story);
}

/* --- the stories ---------------------------------------------------------------------------------------- */

static void expect_same(const char *name, const struct way *way, duration bound_ns)
{
    struct tally tally;
    check_way(name, way, bound_ns, &tally);
    assert_true(tally.orders > 0);
    assert_int_equal(tally.differing, 0);
}

static void test_equal_ways_lead_to_equal_decisions(void **state)
{
    (void)state;
    expect_same("the clean way", &(struct way){.copies = 1, .in_order = true, .drift = 1}, 0);
}

static void test_reports_come_up_to_five_times(void **state)
{
    (void)state;
    expect_same("doubled", &(struct way){.copies = COPIES_MAX, .in_order = true, .drift = 1}, 0);
}

static void test_reports_are_a_moment_on_their_way(void **state)
{
    (void)state;
    const struct way way = {.copies = 1, .in_order = true, .drift = 1, .unsaid_ns = 500 * MILLISECOND};
    expect_same("on their way", &way, 2 * SECOND + 500 * MILLISECOND);
}

static void test_clocks_drift_by_a_tenth(void **state)
{
    (void)state;
    expect_same("drift", &(struct way){.copies = 1, .in_order = true, .drift = 1.1}, 2 * SECOND);
}

static void test_we_were_away_for_a_second(void **state)
{
    (void)state;
    const struct way way = {
        .copies = 1, .in_order = true, .drift = 1, .away_from = 12 * SECOND, .away_until = 13 * SECOND};
    expect_same("away for 1 s", &way, 5 * SECOND);
}

static void test_late_reports_in_their_order(void **state)
{
    (void)state;
    const struct way way = {.copies = COPIES_MAX, .in_order = true, .drift = 1, .late_ns = 2 * SECOND};
    expect_same("late", &way, 3 * SECOND);
}

static void test_reports_overtake_each_other(void **state)
{
    (void)state;
    expect_same("reordered", &(struct way){.copies = 1, .drift = 1, .late_ns = 2 * SECOND}, 3 * SECOND);
}

static void test_reports_overtake_each_other_and_come_up_to_five_times(void **state)
{
    (void)state;
    const struct way way = {.copies = COPIES_MAX, .drift = 1, .late_ns = 2 * SECOND};
    expect_same("reordered and doubled", &way, 3 * SECOND);
}

static void test_clocks_run_at_half_and_double_speed(void **state)
{
    (void)state;
    expect_same("drift by 2", &(struct way){.copies = 1, .in_order = true, .drift = 2}, 3 * SECOND);
}

/* Our own absence, the run that it broke, and an interval. */
static void expect_same_when_away(duration away_ns, duration late_ns, unsigned copies)
{
    const struct way way = {.copies = copies,
                            .in_order = late_ns == 0,
                            .drift = 1,
                            .late_ns = late_ns,
                            .away_from = 12 * SECOND,
                            .away_until = 12 * SECOND + away_ns};
    expect_same("away", &way, away_ns + 5 * SECOND + late_ns);
}

static void test_we_were_away(void **state)
{
    (void)state;
    static const int seconds[] = {2, 3, 10, 30};
    for (size_t i = 0; i < COUNT_OF(seconds); i++) {
        expect_same_when_away(seconds[i] * SECOND, 0, 1);
    }
}

static void test_we_were_away_and_reports_overtake_each_other(void **state)
{
    (void)state;
    expect_same_when_away(3 * SECOND, 2 * SECOND, 3);
}

/* Late by more than what is granted: told as such, and nobody is harmed for it. */
static void test_much_too_late_is_stored_only(void **state)
{
    (void)state;
    const struct way way = {.copies = 2, .drift = 1, .late_ns = 60 * SECOND};
    struct story *story = story_new(POLICY);
    struct run *run = malloc(sizeof *run);
    for (uint64_t seed = first_seed; seed < first_seed + streams; seed++) {
        run_world(run, &story->policy, seed, &way);
        assert_true(run->rejected[REJECT_LATE_REPORT] > 0);
        for (uint32_t n = 0; n < run->nodes; n++) {
            bool is_well = run->member[n].trouble == TROUBLE_NONE && run->member[n].callee == NO_INDEX;
            assert_true(!is_well || run->happenings[n] == 0);
        }
    }
    free(run);
    story_free(&story);
}

int main(int argc, char **argv)
{
    streams = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : streams;
    first_seed = argc > 2 ? strtoull(argv[2], NULL, 10) : first_seed;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equal_ways_lead_to_equal_decisions),
        cmocka_unit_test(test_reports_come_up_to_five_times),
        cmocka_unit_test(test_reports_are_a_moment_on_their_way),
        cmocka_unit_test(test_clocks_drift_by_a_tenth),
        cmocka_unit_test(test_we_were_away_for_a_second),
        cmocka_unit_test(test_late_reports_in_their_order),
        cmocka_unit_test(test_reports_overtake_each_other),
        cmocka_unit_test(test_reports_overtake_each_other_and_come_up_to_five_times),
        cmocka_unit_test(test_clocks_run_at_half_and_double_speed),
        cmocka_unit_test(test_we_were_away),
        cmocka_unit_test(test_we_were_away_and_reports_overtake_each_other),
        cmocka_unit_test(test_much_too_late_is_stored_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
