/* What a person writes into a scenario file, what the reader makes of it or says about it, and how it is laid
 * out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "scenario/scenario.h"

static struct complaints complaints;
static struct scenario scenario;

#define V     "version: 1\n"
#define FLEET V "fleet:\n  - {role: web, count: 3, calls: [db], zones: [a, b]}\n  - {role: db, count: 2}\n"

static const char *first_line(void)
{
    static char line[512];
    struct text text = text_over(line, sizeof line);
    if (complaints.count > 0) {
        complaint_print(&text, &complaints.list[0], "F");
    }
    return line;
}

/* A scenario that must be read without errors. */
static void read_well(const char *yaml)
{
    if (scenario_read(yaml, strlen(yaml), SCENARIOS, &scenario, &complaints) != 0) {
        fail_msg("%s in:\n%s", first_line(), yaml);
    }
    assert_int_equal(complaints.errors, 0);
}

/* --- what is read --------------------------------------------------------------------------------------- */

static void what_is_left_out_has_a_good_default(void **state)
{
    (void)state;
    struct scenario *init = calloc(1, sizeof *init);
    scenario_init(init);
    read_well(V "fleet: [{role: web}]\n");
    assert_int_equal(scenario.length_ns, 2 * MINUTE);
    assert_int_equal(scenario.heal_ns, MINUTE);
    assert_int_equal(scenario.seed, 1);
    assert_memory_equal(&scenario.world, &init->world, sizeof init->world);
    assert_memory_equal(&scenario.network, &init->network, sizeof init->network);
    assert_int_equal(scenario.network.least_ns, MILLISECOND);
    assert_int_equal(scenario.node_count, 1);
    assert_int_equal(scenario.groups[0].node.interval_ns, SECOND);
    assert_true(scenario.groups[0].node.users_per_s == 40);
    free(init);
}

static void every_key_is_read(void **state)
{
    (void)state;
    read_well(
        V "title: A title\n"
          "teaches: >\n  One.\n  Two.\n"
          "seed: 7\nduration: 10m\nheal: 90s\npolicy: ../policies/default.yaml\n"
          "load: {wave: 40%, period: 5m, bursts: 2, noise: 0.5, retries: 3, timeout: 250ms, warm: 5s}\n"
          "network: {delay: 2ms, tail: 30ms, loss: 5%, double: 1%, skew: 2s, drift: 0.1%}\n"
          "fleet:\n"
          "  - {role: web, count: 2, zones: [a, b], calls: [db], users: 30/s, capacity: 200/s, "
          "service_time: 2ms, memory: 128 MiB, storage: 4ms, network: 500us, interval: 250ms}\n"
          "  - {role: db}\n"
          "faults:\n"
          "  - {at: 10s, kind: cpu_spike, on: web-1, intensity: 50%, shape: sawtooth, period: 30s, for: 1m}\n"
          "  - {at: 20s, kind: storage_latency, on: \"1 of zone:b\", intensity: 300ms, spread: 5s}\n"
          "accidents:\n"
          "  - {at: 30s, what: crash_control_plane}\n"
          "  - {at: 40s, what: leave, on: role:db, for: 15s}\n"
          "  - {at: 50s, what: policy, file: ../policies/first.yaml}\n"
          "expect:\n"
          "  - {finding: cpu-high, on: web-*, remedy: restart_service, verdict: effective, within: 20s}\n"
          "  - {finding: silent, remedy: page_human}\n"
          "  - {finding: cpu-high, blocked: breaker}\n"
          "  - {untouched: role:db}\n");
    assert_string_equal(scenario.title, "A title");
    assert_string_equal(scenario.teaches, "One. Two.");
    assert_int_equal(scenario.seed, 7);
    assert_int_equal(scenario.world.seed, 7);
    assert_int_equal(scenario.length_ns, 10 * MINUTE);
    assert_int_equal(scenario.heal_ns, 90 * SECOND);
    assert_string_equal(scenario.policy_path, SCENARIOS "/../policies/default.yaml");
    assert_true(scenario.world.wave_ratio == 0.4 && scenario.world.noise_ratio == 0.5);
    assert_int_equal(scenario.world.wave_ns, 5 * MINUTE);
    assert_int_equal(scenario.world.retries, 3);
    assert_int_equal(scenario.world.timeout_ns, 250 * MILLISECOND);
    assert_int_equal(scenario.world.warm_ns, 5 * SECOND);
    assert_int_equal(scenario.network.tail_ns, 30 * MILLISECOND);
    assert_true(scenario.network.loss_ratio == 0.05 && scenario.network.skew_s == 2);
    const struct world_node *web = &scenario.groups[0].node;
    assert_true(web->users_per_s == 30 && web->capacity_per_s == 200 && web->service_time_s == 0.002);
    assert_true(web->memory_bytes == 128 << 20 && web->storage_latency_s == 0.004);
    assert_int_equal(web->interval_ns, 250 * MILLISECOND);
    assert_int_equal(scenario.faults[0].fault.kind, FAULT_CPU_SPIKE);
    assert_int_equal(scenario.faults[0].fault.until_at, 70 * SECOND);
    assert_int_equal(scenario.faults[0].fault.period_ns, 30 * SECOND);
    assert_int_equal(scenario.faults[1].fault.until_at, INSTANT_NEVER);
    assert_int_equal(scenario.faults[1].on.some, 1);
    assert_string_equal(scenario.faults[1].on.zone, "b");
    assert_int_equal(scenario.accidents[0].length_ns, SECOND);
    assert_int_equal(scenario.accidents[1].kind, ACCIDENT_LEAVE);
    assert_string_equal(scenario.accidents[2].path, SCENARIOS "/../policies/first.yaml");
    assert_int_equal(scenario.expects[0].verdict, VERDICT_EFFECTIVE);
    assert_int_equal(scenario.expects[1].verdict, VERDICT_NONE);
    assert_string_equal(scenario.expects[1].on.pattern, ""); /* any node */
    assert_int_equal(scenario.expects[2].remedy, REMEDY_NONE);
    assert_int_equal(scenario.expects[2].block, BLOCK_BREAKER);
    assert_int_equal(scenario.expects[3].untouched, 1);
}

/* Each node that users do not reach is as strong as its callers need. */
static void capacity_that_is_left_out_fits_the_load(void **state)
{
    (void)state;
    read_well(V "fleet: [{role: web, count: 10, users: 20/s, calls: [db]}, {role: db, count: 2}]\n");
    assert_true(scenario.groups[0].node.capacity_per_s == 80);
    assert_true(scenario.groups[1].node.users_per_s == 0);
    assert_true(scenario.groups[1].node.capacity_per_s == 4 * 10 * 20 / 2);
}

static void a_circle_of_calls_is_noted_and_taken(void **state)
{
    (void)state;
    read_well(V "fleet: [{role: a, calls: [b]}, {role: b, calls: [a]}]\n");
    assert_int_equal(complaints.count, 1);
    assert_true(complaints.list[0].note);
    assert_non_null(strstr(complaints.list[0].text, "a circle of calls"));
}

static void what_outlasts_the_run_is_noted(void **state)
{
    (void)state;
    read_well(FLEET "faults: [{at: 1m, kind: bad_config, on: web-1, for: 10m}]\n");
    assert_int_equal(complaints.count, 1);
    assert_non_null(strstr(complaints.list[0].text, "for: 10m goes beyond the end of the run at 2m"));
}

/* A file may be meant for the live lab; in virtual time there are faults that nobody can have. */
static void what_only_live_runs_can_do_is_read_and_told(void **state)
{
    (void)state;
    read_well(FLEET "faults: [{at: 3s, kind: cpu_spike, on: web-1}]\n");
    assert_int_equal(scenario_check_synthetic(&scenario, &complaints), 0);
    read_well(FLEET "faults: [{at: 3s, kind: retry_storm, on: web-1}]\n");
    assert_int_equal(complaints.count, 0);
    assert_int_equal(scenario_check_synthetic(&scenario, &complaints), SCENARIO_REFUSED);
    assert_string_equal(first_line(),
                        "F:5:1: retry_storm is for the live lab alone; an overload that ends does it, with "
                        "\"retries\" under load (scenarios/retry-storm.yaml)");
}

/* --- what is refused ------------------------------------------------------------------------------------ */

static const struct {
    const char *yaml;
    const char *says; /* the beginning of the first complaint */
} refusals[] = {
    {"", "F:1:1: the file is empty"},
    {"fleet: [{role: web}]\n", "F:1:1: the version is missing"},
    {V "flet: [{role: web}]\nfleet: [{role: web}]\n", "F:2:1: unknown key \"flet\"; did you mean fleet?"},
    {V, "F:1:1: a scenario needs a fleet"},
    {V "fleet: []\n", "F:2:8: a fleet needs at least one group"},
    {V "fleet: [{count: 3}]\n", "F:2:9: a group needs a role"},
    {V "fleet: [{role: web, count: 0}]\n", "F:2:28: count: \"0\" is no whole number from 1 to 100000"},
    {V "fleet: [{role: a, count: 60000}, {role: b, count: 60000}]\n",
     "F:2:51: more than 100000 nodes in all"},
    {V "fleet: [{role: a}, {role: a}]\n", "F:2:27: a second group \"a\"; the first is in line 2"},
    {V "fleet: [{role: a, calls: [dbb]}, {role: db}]\n", "F:2:27: unknown role \"dbb\"; did you mean db?"},
    {V "fleet: [{role: a, calls: [a]}]\n", "F:2:27: a calls itself"},
    {V "fleet: [{role: a, calls: [b, b]}, {role: b}]\n", "F:2:30: role b stands here twice"},
    {V "fleet: [{role: a, zones: [a, b, c, d, e]}]\n", "F:2:39: more than 4 zones of one group"},
    {V "fleet: [{role: a, users: 40 ms}]\n",
     "F:2:26: users: \"40 ms\" is no amount for one node's users; a number with its unit: /s"},
    {V "fleet: [{role: a, memory: 12 KiB}]\n",
     "F:2:27: memory: 12 KiB is out of range; a service's memory takes 1MiB to"},
    {V "fleet: [{role: a, memory: 64MB}]\n",
     "F:2:27: memory: \"64MB\" is no amount for a service's memory; did you mean 64MiB?"},
    {V "fleet: [{role: a, storage: 5}]\n",
     "F:2:28: storage: 5 needs a unit: us, ms, s, m or h; did you mean 5ms?"},
    {V "fleet: [{role: a}]\nnetwork: {delay: 10}\n",
     "F:3:18: delay: 10 needs a unit: us, ms, s, m or h; did you mean 10ms?"},
    {V "fleet: [{role: a}]\nduration: 1min\n", "F:3:11: duration: \"1min\" is no duration; did you mean 1m?"},
    {V "fleet: [{role: a, interval: 5ms}]\n", "F:2:29: interval: 5ms is too short; at least 50ms"},
    {V "fleet: [{role: a}]\nduration: 5s\n", "F:3:11: duration: 5s is too short; at least 10s"},
    {V "fleet: [{role: a}]\nseed: 0\n", "F:3:7: seed: \"0\" is no whole number from 1"},
    {V "fleet: [{role: a}]\nload: {wave: 95%}\n", "F:3:14: wave: 95% is out of range; the wave's height"},
    {V "fleet: [{role: a}]\nload: {wave: 40}\n",
     "F:3:14: wave: 40 is out of range; the wave's height over the mean takes 0% to 90%; did you mean 40%?"},
    {V "fleet: [{role: a}]\nnetwork: {latency: 5ms}\n",
     "F:3:11: unknown key \"latency\"; known: delay, tail"},
    {V "fleet: [{role: a}]\npolicy: nowhere.yaml\n", "F:3:9: policy nowhere.yaml: No such file"},
    {V "fleet: [{role: a}]\npolicy: /dev/zero\n", "F:3:9: policy /dev/zero: Invalid argument"},
    {V "fleet: [{role: a}]\npolicy: cpu-spike.yaml\n", "F:3:9: cpu-spike.yaml:3:1: unknown key \"title\""},
    {FLEET "faults: {at: 3s}\n", "F:5:9: faults must be a list"},
    {FLEET "faults: [{kind: cpu_spike, on: web-1}]\n", "F:5:10: when? \"at: 30s\""},
    {FLEET "faults: [{at: 3s, on: web-1}]\n", "F:5:10: what? \"kind: cpu_spike\""},
    {FLEET "faults: [{at: 3s, kind: cpu_spike}]\n", "F:5:10: where? \"on: web-1\""},
    {FLEET "faults: [{at: 3s, kind: cpu_spik, on: web-1}]\n",
     "F:5:25: unknown fault \"cpu_spik\"; did you mean cpu_spike?"},
    {FLEET "faults: [{at: 3s, kind: control_plane_stall, on: web-1}]\n",
     "F:5:25: control_plane_stall is no fault of a node; write an accident instead: {at: 30s, what: "
     "suspend_control_plane, for: 60s}"},
    {FLEET "faults: [{at: 3s, kind: crash_loop, on: web-1, shape: gray}]\n",
     "F:5:55: shape: there is no crash_loop that nobody sees; leave gray out"},
    {FLEET "faults: [{at: 2m, kind: cpu_spike, on: web-1}]\n",
     "F:5:15: at: 2m is after the end of the run; its duration is 2m"},
    {FLEET "faults: [{at: 3s, kind: cpu_spike, on: web-1, intensity: 200%}]\n",
     "F:5:58: intensity: 200% is out of range; cpu_spike takes 5% to 100%"},
    {FLEET "faults: [{at: 3s, kind: cpu_spike, on: web-1, intensity: 95}]\n",
     "F:5:58: intensity: 95 is out of range; cpu_spike takes 5% to 100%; did you mean 95%?"},
    {FLEET "faults: [{at: 3s, kind: network_delay, on: web-1, intensity: 20s}]\n",
     "F:5:62: intensity: 20s is out of range; network_delay takes 1ms to 10s"},
    {FLEET "faults: [{at: 3s, kind: network_delay, on: web-1, intensity: 200}]\n",
     "F:5:62: intensity: 200 is out of range; network_delay takes 1ms to 10s; did you mean 200ms?"},
    {FLEET "faults: [{at: 3s, kind: network_delay, on: web-1, intensity: 5%}]\n",
     "F:5:62: intensity: \"5%\" is no amount for network_delay; a number with its unit: us, ms, s, m or h"},
    {FLEET "faults: [{at: 3s, kind: overload, on: web-1, intensity: 5x}]\n",
     "F:5:57: intensity: \"5x\" is no amount for overload; a number, without a unit"},
    {FLEET "faults: [{at: 3s, kind: service_crash, on: web-1, intensity: 1}]\n",
     "F:5:51: a service_crash has no intensity"},
    {FLEET "faults: [{at: 3s, kind: service_hang, on: web-1, shape: gray}]\n",
     "F:5:57: shape: a service_hang is there or it is not"},
    {FLEET "faults: [{at: 3s, kind: cpu_spike, on: web-1, shape: stepp}]\n",
     "F:5:54: unknown shape \"stepp\"; did you mean step?"},
    {FLEET "faults: [{at: 3s, kind: cpu_spike, on: web-1, shape: ramp}]\n",
     "F:5:54: shape: a ramp needs an end"},
    {FLEET "faults: [{at: 3s, kind: cpu_spike, on: web-1, period: 9s}]\n",
     "F:5:47: period belongs to the shapes"},
    {FLEET "faults: [{at: 100s, kind: cpu_spike, on: web-*, spread: 1m}]\n",
     "F:5:57: spread: the last nodes would be struck after the end"},
    {FLEET "faults: [{at: 3s, kind: cpu_spike, on: wbe-1}]\n",
     "F:5:40: unknown node \"wbe-1\"; did you mean web-1?"},
    {FLEET "faults: [{at: 5 sec, kind: cpu_spike, on: web-1}]\n",
     "F:5:15: at: \"5 sec\" is no duration; did you mean 5s?"},
    {FLEET "faults: [{at: 3s, kind: cpu_spike, on: cache-1}]\n",
     "F:5:40: unknown role \"cache\"; known: web, db"},
    {FLEET "faults: [{at: 3s, kind: cpu_spike, on: web-4}]\n",
     "F:5:40: no node \"web-4\": the nodes of role web are web-1 to web-3"},
    {FLEET "faults: [{at: 3s, kind: cpu_spike, on: web}]\n",
     "F:5:40: \"web\" is a role, not a node; did you mean role:web?"},
    {FLEET "faults: [{at: 3s, kind: cpu_spike, on: x*}]\n", "F:5:40: no node's name begins like \"x*\""},
    {FLEET "faults: [{at: 3s, kind: cpu_spike, on: role:wen}]\n",
     "F:5:40: unknown role \"wen\"; did you mean web?"},
    {V "fleet: [{role: web, zones: [a, b]}]\nfaults: [{at: 3s, kind: cpu_spike, on: zone:b}]\n",
     "F:3:40: no node is in zone \"b\": its groups have fewer nodes than zones"},
    {FLEET "faults: [{at: 3s, kind: cpu_spike, on: zone:c}]\n",
     "F:5:40: unknown zone \"c\"; did you mean a?"},
    {FLEET "faults: [{at: 3s, kind: cpu_spike, on: 4 of role:web}]\n",
     "F:5:40: 4 of role:web: there are only 3"},
    {FLEET "faults: [{at: 3s, kind: cpu_spike, on: 0 of role:web}]\n",
     "F:5:40: on: \"0 of role:web\" means no nodes"},
    {FLEET "faults: [{at: 3s, kind: cpu_spike, on: w*b}]\n",
     "F:5:40: on: \"w*b\" means no nodes; write web-1, web-*"},
    {FLEET "accidents: [{at: 3s, what: crash}]\n",
     "F:5:28: unknown accident \"crash\"; did you mean crash_control_plane?"},
    {FLEET "accidents: [{at: 3s, what: suspend_control_plane}]\n",
     "F:5:13: suspend_control_plane needs \"for\""},
    {FLEET "accidents: [{at: 3s, what: maintain, for: 10s}]\n", "F:5:13: maintain needs \"on\""},
    {FLEET "accidents: [{at: 3s, what: reset, for: 10s}]\n", "F:5:35: reset takes no \"for\""},
    {FLEET "accidents: [{at: 3s, what: policy}]\n", "F:5:13: policy needs \"file\""},
    {FLEET "expect: [{on: web-1}]\n", "F:5:10: what is expected?"},
    {FLEET "expect: [{finding: cpu-hihg, on: web-1}]\n",
     "F:5:20: unknown finding \"cpu-hihg\"; did you mean cpu-high?"},
    {FLEET "expect: [{finding: silent, on: web-1, verdict: none}]\n",
     "F:5:48: unknown verdict \"none\"; known: effective"},
    {FLEET "expect: [{finding: silent, remedy: page_human, verdict: effective}]\n",
     "F:5:48: page_human acts on no node"},
    {FLEET "expect: [{finding: cpu-high, blocked: braker}]\n",
     "F:5:39: unknown block reason \"braker\"; did you mean breaker?"},
    {FLEET "expect: [{untouched: web-1, within: 3s}]\n", "F:5:29: within does not go with untouched"},
    {FLEET "expect: [{untouched: 2 of role:web}]\n", "F:5:22: untouched: which of them?"},
};

static void mistakes_are_told_with_their_place_and_mend(void **state)
{
    (void)state;
    unsigned wrong = 0;
    struct scenario *before = malloc(sizeof *before);
    read_well(FLEET);
    *before = scenario;
    for (size_t i = 0; i < COUNT_OF(refusals); i++) {
        int result =
            scenario_read(refusals[i].yaml, strlen(refusals[i].yaml), SCENARIOS, &scenario, &complaints);
        if (result != SCENARIO_REFUSED ||
            strncmp(first_line(), refusals[i].says, strlen(refusals[i].says)) != 0) {
            print_message("wanted: %s\nsaid:   %s\n", refusals[i].says,
                          result == 0 ? "(taken)" : first_line());
            wrong++;
        }
    }
    assert_int_equal(wrong, 0);
    assert_memory_equal(&scenario, before, sizeof scenario); /* as it was */
    free(before);
}

/* What faults must not do to one node: each pair or crowd of lines, and what is said about it, if anything.
 */
static const struct {
    const char *faults;
    const char *says; /* NULL: it is taken */
} clashes[] = {
    {"[{at: 5s, kind: cpu_spike, on: web-1, for: 10s}, {at: 14s, kind: cpu_spike, on: role:web}]",
     "F:5:58: a second cpu_spike on web-1 before the one in line 5 is over"},
    {"[{at: 5s, kind: cpu_spike, on: web-1}, {at: 50s, kind: cpu_spike, on: zone:a}]",
     "F:5:48: a second cpu_spike on web-1; the one in line 5 has no end: give it \"for: 20s\""},
    {"[{at: 50s, kind: cpu_spike, on: web-1}, {at: 5s, kind: cpu_spike, on: web-1, for: 1m}]",
     "F:5:10: a second cpu_spike on web-1 before"}, /* the later one is told, wherever it stands */
    {"[{at: 5s, kind: cpu_spike, on: 2 of role:web, for: 10s}, {at: 6s, kind: cpu_spike, on: web-3}]",
     "F:5:66: a second cpu_spike on web-3 before"}, /* it may be drawn */
    {"[{at: 5s, kind: disk_full, on: web-1}, {at: 6s, kind: io_error, on: web-1}, {at: 7s, kind: overload, "
     "on: "
     "web-1}, {at: 8s, kind: bad_config, on: web-1}, {at: 9s, kind: cpu_spike, on: web-1}]",
     "F:5:161: more than 4 faults at once on web-1"},
    {"[{at: 5s, kind: cpu_spike, on: web-1, for: 10s}, {at: 15s, kind: cpu_spike, on: web-1}]", NULL},
    {"[{at: 5s, kind: cpu_spike, on: web-1}, {at: 6s, kind: cpu_spike, on: db-*}]", NULL},
    /* Node by node a second later, and so are their ends: no two meet. */
    {"[{at: 5s, kind: cpu_spike, on: web-*, spread: 3s, for: 2s}, {at: 7s, kind: cpu_spike, on: web-*, "
     "spread: 3s}]",
     NULL},
};

static void faults_that_cannot_be_at_once_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(clashes); i++) {
        char yaml[1024];
        struct text text = text_over(yaml, sizeof yaml);
        text_addf(&text, FLEET "faults: %s\n", clashes[i].faults);
        if (clashes[i].says == NULL) {
            read_well(yaml);
            continue;
        }
        assert_int_equal(scenario_read(yaml, strlen(yaml), "", &scenario, &complaints), SCENARIO_REFUSED);
        assert_int_equal(complaints.errors, 1);
        if (strncmp(first_line(), clashes[i].says, strlen(clashes[i].says)) != 0) {
            fail_msg("wanted: %s\nsaid:   %s", clashes[i].says, first_line());
        }
    }
}

static void lists_have_an_end(void **state)
{
    (void)state;
    static const struct {
        const char *list, *item, *says;
        int most;
    } lists[] = {
        {FLEET "faults:\n", "  - {at: %ds, kind: cpu_spike, on: web-1, for: 1ms}\n", "more than 256 faults",
         256},
        {FLEET "accidents:\n", "  - {at: %ds, what: reset}\n", "more than 64 accidents", 64},
        {FLEET "expect:\n", "  - {finding: silent, within: %dh}\n", "more than 64 expectations", 64},
        {V "fleet:\n", "  - {role: r%d}\n", "more than 32 groups", 32},
    };
    static char yaml[64 * 1024];
    for (size_t i = 0; i < COUNT_OF(lists); i++) {
        struct text text = text_over(yaml, sizeof yaml);
        text_addf(&text, "duration: 10m\n%s", lists[i].list);
        for (int k = 1; k <= lists[i].most; k++) {
            text_addf(&text, lists[i].item, k);
        }
        read_well(yaml);
        text_addf(&text, lists[i].item, lists[i].most + 1);
        assert_int_equal(scenario_read(yaml, strlen(yaml), "", &scenario, &complaints), SCENARIO_REFUSED);
        assert_string_equal(complaints.list[0].text, lists[i].says);
    }
}

/* --- the layout ----------------------------------------------------------------------------------------- */

static struct world_node *nodes;
static char (*names)[NODE_NAME_SIZE];

static void lay_out(const char *yaml)
{
    read_well(yaml);
    free(nodes);
    free(names);
    nodes = calloc(scenario.node_count, sizeof *nodes);
    names = calloc(scenario.node_count, sizeof *names);
    assert_true(nodes != NULL && names != NULL);
    scenario_lay_out(&scenario, nodes, names);
}

static int free_layout(void **state)
{
    (void)state;
    free(nodes);
    free(names);
    nodes = NULL;
    names = NULL;
    return 0;
}

static void nodes_are_numbered_and_zones_dealt_out(void **state)
{
    (void)state;
    lay_out(FLEET);
    static const char *const wanted[] = {"web-1", "web-2", "web-3", "db-1", "db-2"};
    static const char *const zones[] = {"a", "b", "a", "", ""};
    assert_int_equal(scenario.node_count, 5);
    for (uint32_t i = 0; i < 5; i++) {
        assert_string_equal(names[i], wanted[i]);
        assert_string_equal(scenario_zone_of(&scenario, i), zones[i]);
        assert_string_equal(scenario_group_of(&scenario, i)->role, i < 3 ? "web" : "db");
    }
    assert_int_equal(nodes[0].zone, nodes[2].zone);
    assert_int_not_equal(nodes[0].zone, nodes[1].zone);
    assert_int_equal(nodes[3].zone, 0);
    assert_int_not_equal(nodes[0].role, nodes[3].role);
}

/* Two roles call the third one, neither a multiple of the other: still no callee has two callers more. */
static void callers_are_spread_evenly(void **state)
{
    (void)state;
    lay_out(V
            "fleet:\n  - {role: web, count: 37, calls: [db, mail]}\n  - {role: job, count: 11, calls: [db]}\n"
            "  - {role: db, count: 23}\n  - {role: mail}\n");
    uint32_t callers[72] = {0}, least = UINT32_MAX, most = 0;
    for (uint32_t i = 0; i < scenario.node_count; i++) {
        assert_true(nodes[i].calls_count <= CALLS_MAX);
        for (uint32_t k = 0; k < nodes[i].calls_count; k++) {
            callers[nodes[i].calls[k]]++;
            for (uint32_t other = 0; other < k; other++) {
                assert_int_not_equal(nodes[i].calls[other], nodes[i].calls[k]);
            }
        }
    }
    for (uint32_t i = 48; i < 71; i++) {
        least = callers[i] < least ? callers[i] : least;
        most = callers[i] > most ? callers[i] : most;
    }
    assert_true(least > 0 && most <= least + 1);
    assert_int_equal(nodes[0].calls_count, 4 + 1);
    assert_int_equal(callers[71], 37);
    assert_int_equal(callers[0], 0);
}

static void the_same_file_is_laid_out_alike(void **state)
{
    (void)state;
    lay_out(FLEET);
    struct world_node *first = calloc(scenario.node_count, sizeof *first);
    memcpy(first, nodes, scenario.node_count * sizeof *first);
    lay_out(FLEET);
    assert_memory_equal(first, nodes, scenario.node_count * sizeof *first);
    free(first);
}

/* --- targets -------------------------------------------------------------------------------------------- */

static struct scenario_target target_of(const char *text)
{
    char yaml[512];
    struct text out = text_over(yaml, sizeof yaml);
    text_addf(&out, FLEET "faults: [{at: 1s, kind: bad_config, on: \"%s\"}]\n", text);
    read_well(yaml);
    return scenario.faults[0].on;
}

static void a_target_means_what_it_says(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint32_t count, nodes[5];
    } cases[] = {
        {"web-2", 1, {1}},     {"web-*", 3, {0, 1, 2}}, {"*", 5, {0, 1, 2, 3, 4}},    {"role:db", 2, {3, 4}},
        {"zone:a", 2, {0, 2}}, {"d*", 2, {3, 4}},       {"3 of web-*", 3, {0, 1, 2}}, /* all, in some order */
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct scenario_target target = target_of(cases[i].text);
        uint32_t meant[5];
        assert_int_equal(scenario_targets(&scenario, &target, 1, meant), cases[i].count);
        bool is_meant[5] = {false};
        for (uint32_t k = 0; k < cases[i].count; k++) {
            is_meant[meant[k]] = true;
        }
        for (uint32_t k = 0; k < cases[i].count; k++) {
            assert_true(is_meant[cases[i].nodes[k]]);
        }
    }
}

/* Each of five nodes is drawn a fifth of the time, and one seed always draws the same. */
static void some_are_drawn_by_the_seed(void **state)
{
    (void)state;
    struct scenario_target one = target_of("1 of *"), two = target_of("2 of *");
    uint32_t drawn[5], again[5], times[5] = {0};
    for (uint64_t seed = 1; seed <= 1000; seed++) {
        assert_int_equal(scenario_targets(&scenario, &two, seed, drawn), 2);
        assert_int_equal(scenario_targets(&scenario, &one, seed, again), 1);
        assert_int_equal(drawn[0], again[0]);
        assert_int_not_equal(drawn[0], drawn[1]);
        times[drawn[0]]++;
    }
    for (uint32_t i = 0; i < 5; i++) {
        assert_in_range(times[i], 140, 260);
    }
}

static void nodes_are_struck_evenly_over_the_spread(void **state)
{
    (void)state;
    assert_int_equal(scenario_spread(10 * SECOND, 0, 4), 0);
    assert_int_equal(scenario_spread(10 * SECOND, 3, 4), 7500 * MILLISECOND);
    assert_int_equal(scenario_spread(1000 * HOUR, 99999, 100000), 999990 * (HOUR / 1000));
}

static void accidents_have_names(void **state)
{
    (void)state;
    for (int i = 0; i < ACCIDENT_COUNT; i++) {
        assert_int_equal(accident_of(accident_name((enum accident)i)), i);
    }
    assert_int_equal(accident_of("crash"), -1);
}

/* --- the files that are shipped ------------------------------------------------------------------------- */

static unsigned count_lines(const char *path)
{
    FILE *file = fopen(path, "re");
    unsigned lines = 0;
    assert_non_null(file);
    for (int c = getc(file); c != EOF; c = getc(file)) {
        lines += c == '\n';
    }
    fclose(file);
    return lines;
}

static unsigned count_sentences(const char *text)
{
    unsigned count = 0;
    for (; *text != '\0'; text++) {
        count += *text == '.' && (text[1] == ' ' || text[1] == '\0');
    }
    return count;
}

static bool ends_with(const char *name, const char *end)
{
    size_t length = strlen(name), tail = strlen(end);
    return length >= tail && strcmp(name + length - tail, end) == 0;
}

/* Each can be read without a note, fits a screen, says in two sentences what it teaches, and expects
 * something; docs/scenarios.md lists it. */
static void every_scenario_of_ours_is_good(void **state)
{
    (void)state;
    static char list[1 << 16];
    FILE *docs = fopen(SCENARIOS "/../docs/scenarios.md", "re");
    assert_non_null(docs);
    list[fread(list, 1, sizeof list - 1, docs)] = '\0';
    fclose(docs);
    DIR *folder = opendir(SCENARIOS);
    assert_non_null(folder);
    unsigned count = 0;
    for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        char path[512], row[300];
        if (!ends_with(entry->d_name, ".yaml")) {
            continue;
        }
        snprintf(path, sizeof path, SCENARIOS "/%s", entry->d_name);
        int result = scenario_read_file(path, &scenario, &complaints);
        if (result != 0 || complaints.count > 0) {
            fail_msg("%s: %d, %s", path, result, first_line());
        }
        snprintf(row, sizeof row, "| `%.*s` |", (int)strlen(entry->d_name) - 5, entry->d_name);
        bool good = scenario.title[0] != '\0' && count_sentences(scenario.teaches) == 2 &&
                    scenario.expect_count > 0 && count_lines(path) <= 40 && strstr(list, row) != NULL;
        if (!good) {
            fail_msg("%s: title, two sentences of teaches (%u), an expectation, 40 lines, its row in "
                     "docs/scenarios.md",
                     path, count_sentences(scenario.teaches));
        }
        count++;
    }
    closedir(folder);
    assert_true(count >= 15);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_left_out_has_a_good_default),
        cmocka_unit_test(every_key_is_read),
        cmocka_unit_test(capacity_that_is_left_out_fits_the_load),
        cmocka_unit_test(a_circle_of_calls_is_noted_and_taken),
        cmocka_unit_test(what_outlasts_the_run_is_noted),
        cmocka_unit_test(what_only_live_runs_can_do_is_read_and_told),
        cmocka_unit_test(mistakes_are_told_with_their_place_and_mend),
        cmocka_unit_test(faults_that_cannot_be_at_once_are_refused),
        cmocka_unit_test(lists_have_an_end),
        cmocka_unit_test_teardown(nodes_are_numbered_and_zones_dealt_out, free_layout),
        cmocka_unit_test_teardown(callers_are_spread_evenly, free_layout),
        cmocka_unit_test_teardown(the_same_file_is_laid_out_alike, free_layout),
        cmocka_unit_test(a_target_means_what_it_says),
        cmocka_unit_test(some_are_drawn_by_the_seed),
        cmocka_unit_test(nodes_are_struck_evenly_over_the_spread),
        cmocka_unit_test(accidents_have_names),
        cmocka_unit_test(every_scenario_of_ours_is_good),
    };
    return cmocka_run_group_tests_name("scenario_file", tests, NULL, NULL);
}
