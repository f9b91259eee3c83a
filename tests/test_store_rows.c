/* What goes into the store comes out of it, bit for bit, whatever it was. */
#include "store_bench.h"

#include <math.h>

/* --- rows drawn at random ----------------------------------------------------------------------------- */

static uint64_t random_state;

/* splitmix64 */
static uint64_t draw(void)
{
    uint64_t z = random_state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static uint8_t draw_below(unsigned count)
{
    return (uint8_t)(draw() % count);
}

static instant draw_instant(void)
{
    return draw_below(4) == 0 ? INSTANT_NONE : (instant)draw();
}

static double draw_real(void)
{
    double value;
    uint64_t bits;
    do {
        bits = draw();
        memcpy(&value, &bits, sizeof value);
    } while (isnan(value));
    return value;
}

static double draw_real_or_nan(void)
{
    return draw_below(3) == 0 ? (double)NAN : draw_real();
}

/* Also quotes, blanks, UTF-8, nothing at all, and the longest that fits. */
static void draw_text(char *out, size_t size)
{
    size_t length = draw_below(8) == 0 ? size - 1 : (size_t)(draw() % size);
    for (size_t i = 0; i < length; i++)
        out[i] = "abcXYZ 019'\"%?\\\n-_.;"[draw_below(20)];
    out[length] = '\0';
}

static struct node_row draw_node(uint32_t number)
{
    struct node_row row = {.number = number,
                           .boot = draw(),
                           .sequence = draw(),
                           .interval_ns = (duration)draw(),
                           .seen_at = draw_instant(),
                           .gone = draw_below(2),
                           .synthetic = draw_below(2),
                           .program = draw_below(2),
                           .calls_count = draw_below(CALLS_MAX + 1)};
    snprintf(row.name, sizeof row.name, "node-%u", number);
    draw_text(row.role, sizeof row.role);
    draw_text(row.zone, sizeof row.zone);
    draw_text(row.address, sizeof row.address);
    for (uint32_t i = 0; i < row.calls_count; i++)
        memset(row.calls[i], 'a' + (int)i, i == 0 ? NODE_NAME_SIZE - 1 : i);
    return row;
}

static struct incident draw_incident(uint64_t id)
{
    struct incident incident;
    memset(&incident, 0, sizeof incident);
    incident.id = id;
    incident.command = draw();
    instant *instants[] = {&incident.began_at,    &incident.opened_at,      &incident.planned_at,
                           &incident.acted_at,    &incident.answer_by,      &incident.ended_at,
                           &incident.verify_from, &incident.verify_by,      &incident.healthy_since,
                           &incident.closed_at,   &incident.hold_until,     &incident.planner_by,
                           &incident.blocked_at,  &incident.blocked_last_at};
    for (size_t i = 0; i < sizeof instants / sizeof instants[0]; i++)
        *instants[i] = draw_instant();
    incident.evidence_count = draw_below(CONDITION_MAX + 1);
    for (uint8_t i = 0; i < incident.evidence_count; i++) {
        struct evidence *evidence = &incident.evidence[i];
        evidence->before = draw_real_or_nan();
        evidence->after = draw_real_or_nan();
        evidence->condition.number = draw_real();
        evidence->condition.metric = draw_below(METRIC_COUNT);
        evidence->condition.comparison = draw_below(COMPARE_LE + 1);
        evidence->condition.rate = draw_below(2);
    }
    draw_text(incident.detector_name, sizeof incident.detector_name);
    incident.node = (uint32_t)draw();
    incident.detector = draw_below(2) ? NO_INDEX : (uint32_t)draw();
    incident.fresh_samples = (uint32_t)draw();
    incident.attempts = (uint32_t)draw();
    incident.reopened = (uint32_t)draw();
    incident.blocked_count = (uint32_t)draw();
    incident.state = draw_below(INCIDENT_STATE_COUNT);
    incident.severity = draw_below(SEVERITY_COUNT);
    incident.rung = draw_below(256);
    incident.remedy = draw_below(REMEDY_COUNT + 1); /* REMEDY_NONE too */
    incident.outcome = draw_below(OUTCOME_COUNT);
    incident.verdict = draw_below(VERDICT_COUNT);
    incident.block = draw_below(BLOCK_REASON_COUNT);
    incident.why = draw_below(WHY_COUNT);
    uint8_t *flags[] = {&incident.proposed, &incident.approved, &incident.acknowledged, &incident.explained,
                        &incident.local_cause};
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
        *flags[i] = draw_below(2);
    return incident;
}

static struct command_row draw_command(uint64_t id)
{
    struct command_row row;
    memset(&row, 0, sizeof row);
    row.command = (struct command){.id = id,
                                   .epoch = draw(),
                                   .incident = draw(),
                                   .boot = draw(),
                                   .ordered_at = (instant)draw(),
                                   .expires_at = draw_instant(),
                                   .answer_by = draw_instant(),
                                   .ended_at = draw_instant(),
                                   .node = (uint32_t)draw(),
                                   .attempt = (uint32_t)draw(),
                                   .remedy = draw_below(REMEDY_COUNT),
                                   .outcome = draw_below(OUTCOME_COUNT)};
    row.took_s = draw_real_or_nan();
    draw_text(row.detail, sizeof row.detail);
    return row;
}

static struct fault_row draw_fault(uint64_t id)
{
    struct fault_row row;
    memset(&row, 0, sizeof row);
    row.id = id;
    row.node = (uint32_t)draw();
    row.kind = draw_below(FAULT_COUNT);
    row.state = draw_below(FAULT_FAILED + 1);
    row.effect = draw_below(EFFECT_NONE + 1);
    row.removal = draw_below(EFFECT_NONE + 1);
    row.shape = draw_below(SHAPE_COUNT);
    row.period_ns = (duration)draw();
    row.intensity = draw_real();
    row.before = draw_real_or_nan();
    row.after = draw_real_or_nan();
    row.restored = draw_real_or_nan();
    row.lease_ns = (duration)draw();
    row.asked_at = (instant)draw();
    row.injected_at = draw_instant();
    row.ended_at = draw_instant();
    draw_text(row.reason, sizeof row.reason);
    return row;
}

static struct samples_row draw_samples(uint32_t node, instant at)
{
    struct samples_row row;
    memset(&row, 0, sizeof row);
    row.node = node;
    row.at = at;
    row.boot = draw();
    row.sequence = draw();
    for (unsigned metric = 0; metric < METRIC_COUNT; metric++)
        if (draw_below(2)) {
            row.present |= 1u << metric;
            row.value[metric] = draw_real();
        }
    return row;
}

/* --- the story ------------------------------------------------------------------------------------------ */

static void every_row_comes_back_exactly(void **state)
{
    struct bench *bench = *state;
    bench_open(bench);
    random_state = 20261123;
    enum { ROUNDS = 200 };
    struct node_row nodes[8], nodes_read[9];
    static struct incident incidents[ROUNDS], incidents_read[ROUNDS + 1];
    static struct command_row commands[ROUNDS], commands_read[ROUNDS + 1];
    static struct fault_row faults[ROUNDS], faults_read[ROUNDS + 1];
    struct timeline_row lines[20], lines_read[21];
    struct samples_row samples, samples_read[2];
    struct control_row control = {.control = {.epoch = 7,
                                              .next_incident = UINT64_MAX,
                                              .next_command = UINT64_MAX - 1,
                                              .paused = 1,
                                              .breaker_open = 1},
                                  .at = -5},
                       control_read;
    struct basket basket;

    /* Everything is written twice: a later row replaces all of an earlier one. */
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; i < 8; i++)
            nodes[i] = draw_node(i), assert_int_equal(store_put_node(bench->writer, &nodes[i]), 0);
        for (uint64_t i = 0; i < ROUNDS; i++) {
            incidents[i] = draw_incident(i == 0 ? UINT64_MAX - 1 : i);
            commands[i] = draw_command((3ull << 32) + i);
            faults[i] = draw_fault(i + 1);
            assert_int_equal(store_put_incident(bench->writer, &incidents[i]), 0);
            assert_int_equal(store_put_command(bench->writer, &commands[i]), 0);
            assert_int_equal(store_put_fault(bench->writer, &faults[i]), 0);
        }
        assert_int_equal(store_put_control(bench->writer, &control), 0);
        bench_commit(bench, (uint64_t)pass + 1);
    }
    memset(lines, 0, sizeof lines);
    for (size_t i = 0; i < 20; i++) {
        lines[i].incident = UINT64_MAX - 1;
        lines[i].at = (instant)draw();
        lines[i].remedy = (uint8_t)(draw() % (REMEDY_NONE + 1));
        lines[i].verdict = (uint8_t)(draw() % VERDICT_COUNT);
        draw_text(lines[i].step, sizeof lines[i].step);
        draw_text(lines[i].state, sizeof lines[i].state);
        draw_text(lines[i].text, sizeof lines[i].text);
        assert_int_equal(store_put_timeline(bench->writer, &lines[i]), 0);
    }
    samples = draw_samples(3, -77);
    assert_int_equal(store_put_samples(bench->writer, &samples), 0);
    assert_int_equal(
        store_put_policy(bench->writer, &(struct policy_row){.version = 1, .at = 1, .text = "old"}), 0);
    assert_int_equal(
        store_put_policy(bench->writer, &(struct policy_row){.version = 2, .at = 5, .text = "a: 'b'\n"}), 0);
    bench_commit(bench, 3);

    struct store *store = bench_reader(bench);
    basket = (struct basket)BASKET(nodes_read);
    assert_int_equal(store_nodes(store, take_node, &basket), 8);
    assert_memory_equal(nodes_read, nodes, sizeof nodes);

    basket = (struct basket)BASKET(incidents_read);
    assert_int_equal(store_incidents(store, &every_incident, take_incident, &basket), ROUNDS);
    for (size_t i = 0; i < ROUNDS; i++) /* newest first; the huge id is the last one, as its sign says */
        assert_memory_equal(&incidents_read[i], &incidents[i == ROUNDS - 1 ? 0 : ROUNDS - 1 - i],
                            sizeof incidents[0]);
    struct incident_filter one = {.id = UINT64_MAX - 1, .node = -1, .state = -1};
    basket = (struct basket)BASKET(incidents_read);
    assert_int_equal(store_incidents(store, &one, take_incident, &basket), 1);
    assert_memory_equal(incidents_read, incidents, sizeof incidents[0]);

    basket = (struct basket)BASKET(commands_read);
    assert_int_equal(store_commands(store, 0, -1, INSTANT_NONE, take_command, &basket), ROUNDS);
    assert_memory_equal(commands_read, commands, sizeof commands);
    basket = (struct basket)BASKET(faults_read);
    assert_int_equal(store_faults(store, 0, false, 0, take_fault, &basket), ROUNDS);
    for (size_t i = 0; i < ROUNDS; i++)
        assert_memory_equal(&faults_read[i], &faults[ROUNDS - 1 - i], sizeof faults[0]);

    memset(lines_read, 0, sizeof lines_read);
    basket = (struct basket)BASKET(lines_read);
    assert_int_equal(store_timeline(store, UINT64_MAX - 1, take_timeline, &basket), 20);
    for (size_t i = 0; i < 20; i++) {
        assert_int_equal(lines_read[i].at, lines[i].at);
        assert_string_equal(lines_read[i].step, lines[i].step);
        assert_string_equal(lines_read[i].state, lines[i].state);
        assert_string_equal(lines_read[i].text, lines[i].text);
    }
    basket = (struct basket)BASKET(samples_read);
    assert_int_equal(store_samples(store, 3, INSTANT_NONE, INSTANT_NEVER, take_samples, &basket), 1);
    assert_memory_equal(samples_read, &samples, sizeof samples);

    struct policy_row policy;
    char *text;
    assert_int_equal(store_policy(store, &policy, &text), 1);
    assert_int_equal(policy.version, 2);
    assert_int_equal(policy.at, 5);
    assert_string_equal(text, "a: 'b'\n");
    assert_ptr_equal(policy.text, text);
    free(text);
    assert_int_equal(store_control(store, &control_read), 1);
    assert_memory_equal(&control_read, &control, sizeof control);
    store_close(&store);
}

int main(void)
{
    const struct CMUnitTest stories[] = {
        STORY(every_row_comes_back_exactly),
    };
    return cmocka_run_group_tests_name("store_rows", stories, NULL, NULL);
}
