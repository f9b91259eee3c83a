/* The guards of a policy file: what a person writes, what the core gets, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "policy/policy_file.h"
#include "policy/policy_text.h"

static struct complaints complaints;

#define V "version: 1\nrules: [{if: service_up < 1, do: restart_service}]\n"

static void print_complaints(const char *yaml)
{
    for (uint32_t i = 0; i < complaints.count; i++) {
        char line[512];
        struct text text = text_over(line, sizeof line);
        complaint_print(&text, &complaints.list[i], "FILE");
        print_message("%s\n", line);
    }
    print_message("in:\n%s\n", yaml);
}

/* The guards of a policy that must be read, and that is the same again after being written. */
static struct guards guards_of(const char *guards)
{
    static char yaml[8192], written[POLICY_TEXT_SIZE];
    struct policy policy, again;
    snprintf(yaml, sizeof yaml, V "guards:\n%s", guards);
    if (policy_read(yaml, strlen(yaml), &policy, &complaints) != 0) {
        print_complaints(yaml);
        fail();
    }
    struct complaints kept = complaints;
    struct text text = text_over(written, sizeof written);
    policy_write(&text, &policy);
    assert_false(text.cut);
    if (policy_read(written, strlen(written), &again, &complaints) != 0) {
        print_complaints(written);
        fail();
    }
    assert_memory_equal(&policy, &again, sizeof policy);
    complaints = kept;
    return policy.guards;
}

static struct guards defaults(void)
{
    struct policy policy;
    policy_init(&policy);
    return policy.guards;
}

/* --- what is read --------------------------------------------------------------------------------------- */

static void backoff_is_read_and_can_be_left_out_or_switched_off(void **state)
{
    (void)state;
    struct guards g = guards_of("  per_target: {backoff: {base: 2s, cap: 1h, reset: 20m}}\n");
    assert_int_equal(g.backoff_base_ns, 2 * SECOND);
    assert_int_equal(g.backoff_cap_ns, HOUR);
    assert_int_equal(g.backoff_reset_ns, 20 * MINUTE);
    g = guards_of("  per_target: {backoff: {cap: 24h}}\n");
    assert_int_equal(g.backoff_base_ns, defaults().backoff_base_ns);
    assert_int_equal(g.backoff_cap_ns, 24 * HOUR);
    assert_int_equal(guards_of("  per_target: {backoff: no}\n").backoff_base_ns, 0);
    assert_int_equal(complaints.count, 0); /* the cooldown is still there */
    assert_int_equal(guards_of("  per_target: {backoff: no, cooldown: 0s}\n").backoff_base_ns, 0);
    assert_int_equal(complaints.count, 1);
    assert_true(complaints.list[0].note);
}

static void a_short_rate_is_the_fleets_and_leaves_the_others_alone(void **state)
{
    (void)state;
    struct guards g = guards_of("  rate: {per: 10s, max: 1000}\n");
    assert_int_equal(g.rate_fleet.per_ns, 10 * SECOND);
    assert_int_equal(g.rate_fleet.max, 1000);
    assert_int_equal(g.rate_target.max, defaults().rate_target.max);
    assert_int_equal(g.rate_rule.max, 0);
}

static void each_of_the_four_rates_is_read_or_switched_off(void **state)
{
    (void)state;
    struct guards g = guards_of("  rate: {target: {per: 24h, max: 16}, rule: {per: 1s, max: 1}, kind: {per: "
                                "1m, max: 2}, fleet: no}\n");
    assert_int_equal(g.rate_target.max, 16);
    assert_int_equal(g.rate_target.per_ns, 24 * HOUR);
    assert_int_equal(g.rate_rule.max, 1);
    assert_int_equal(g.rate_rule.per_ns, SECOND);
    assert_int_equal(g.rate_kind.max, 2);
    assert_int_equal(g.rate_fleet.max, 0);
    g = guards_of("  rate: no\n");
    assert_int_equal(g.rate_fleet.max + g.rate_target.max + g.rate_rule.max + g.rate_kind.max, 0);
}

static void flapping_and_approval_are_read(void **state)
{
    (void)state;
    struct guards g = guards_of("  flapping: {changes: 16, within: 1h}\n  approval: 1s\n");
    assert_int_equal(g.flapping_changes, 16);
    assert_int_equal(g.flapping_within_ns, HOUR);
    assert_int_equal(g.approval_ns, SECOND);
    assert_int_equal(guards_of("  flapping: no\n").flapping_changes, 0);
}

/* --- windows of maintenance ----------------------------------------------------------------------------- */

static instant at(const char *text)
{
    instant read = INSTANT_NONE;
    assert_true(text_parse_instant(text, &read));
    return read;
}

static void a_window_from_here_to_there_is_on_in_between(void **state)
{
    (void)state;
    struct guards g = guards_of(
        "  maintenance: [{nodes: web-*, from: 2026-12-24T21:00:00+01:00, until: 2026-12-25T02:00:00Z}]\n");
    assert_int_equal(g.window_count, 1);
    assert_true(window_covers(&g.windows[0], "web-7"));
    assert_false(window_covers(&g.windows[0], "db-1"));
    instant until = INSTANT_NONE;
    assert_false(window_is_on(&g.windows[0], at("2026-12-24T19:59:59.999Z"), NULL));
    assert_true(window_is_on(&g.windows[0], at("2026-12-24T20:00:00Z"), &until));
    assert_int_equal(until, at("2026-12-25T02:00:00Z"));
    assert_false(window_is_on(&g.windows[0], until, NULL));
}

static void a_daily_window_comes_back_on_its_days_also_over_midnight(void **state)
{
    (void)state;
    struct guards g =
        guards_of("  maintenance: [{nodes: db-1, daily: \"23:30\", for: 1h, days: [sun, sat]}]\n");
    const struct window *w = &g.windows[0];
    instant until;
    assert_false(window_is_on(w, at("2026-11-27T23:45:00Z"), NULL)); /* a Friday */
    assert_true(window_is_on(w, at("2026-11-28T23:30:00Z"), NULL));
    assert_true(window_is_on(w, at("2026-11-30T00:29:59Z"), &until)); /* Monday, begun on Sunday */
    assert_int_equal(until, at("2026-11-30T00:30:00Z"));
    assert_false(window_is_on(w, at("2026-11-30T23:45:00Z"), NULL));
    g = guards_of("  maintenance: [{nodes: \"*\", daily: 00:00, for: 24h}]\n");
    assert_int_equal(complaints.count, 1); /* every node: a note */
    assert_true(complaints.list[0].note);
    assert_true(window_covers(&g.windows[0], "anything"));
    assert_true(window_is_on(&g.windows[0], at("2026-11-25T12:00:00Z"), NULL));
}

static void sixteen_windows_fit_and_no_more(void **state)
{
    (void)state;
    char list[4096];
    struct text text = text_over(list, sizeof list);
    text_add(&text, "  maintenance:\n");
    for (int i = 0; i < WINDOW_MAX; i++) {
        text_addf(&text, "    - {nodes: n-%d, daily: \"%02d:00\", for: 1h}\n", i, i);
    }
    assert_int_equal(guards_of(list).window_count, WINDOW_MAX);
    text_add(&text, "    - {nodes: straw, daily: \"02:00\", for: 1h}\n");
    char yaml[8192];
    struct policy policy;
    snprintf(yaml, sizeof yaml, V "guards:\n%s", list);
    assert_int_equal(policy_read(yaml, strlen(yaml), &policy, &complaints), POLICY_REFUSED);
    assert_int_equal(complaints.errors, 1);
    assert_string_equal(complaints.list[0].text, "more than 16 windows of maintenance");
    assert_int_equal(complaints.list[0].line, 4 + WINDOW_MAX + 1);
}

/* --- what is refused ------------------------------------------------------------------------------------ */

struct bad_guard {
    const char *guards; /* behind `guards: {` in line 3 */
    int column;
    const char *text;
};

#define SPAN "from: 2026-12-24T20:00:00Z, until: 2026-12-25T02:00:00Z"

static const struct bad_guard bad_guards[] = {
    {"per_target: {backof: no}", 23, "unknown key \"backof\"; did you mean backoff?"},
    {"per_target: {backoff: none}", 32, "backoff must be a map of \"key: value\", not a text"},
    {"per_target: {backoff: {base: 0s}}", 39, "base: 0s is too short; at least 1ms"},
    {"per_target: {backoff: {base: 25h, cap: 24h}}", 39, "base: 25h is too long; at most 24h"},
    {"per_target: {backoff: {cap: 1000h}}", 38, "cap: 1000h is too long; at most 24h"},
    {"per_target: {backoff: {base: 20m}}", 39, "cap, here 10m, must not be shorter than base"},
    {"per_target: {backoff: {reset: 0s}}", 40, "reset: 0s is too short; at least 1s"},
    {"per_target: {attempts: {max: 17}}", 39, "max: \"17\" is no whole number from 1 to 16"},
    {"rate: {per: 1m}", 16, "a rate needs both: {per: 1m, max: 10}; or \"no\" for no limit"},
    {"rate: {per: 1m, max: 0}", 31, "max: 0 actions are none; write \"no\" in place of the map for no limit"},
    {"rate: {per: 1m, max: -1}", 31,
     "max: -1 actions are none; write \"no\" in place of the map for no limit"},
    {"rate: {per: 1m, max: 1001}", 31, "max: \"1001\" is no whole number from 1 to 1000"},
    {"rate: {per: 1m, max: .nan}", 31, "max: \".nan\" is no whole number from 1 to 1000"},
    {"rate: {per: 1m, max: 1e3}", 31, "max: \"1e3\" is no whole number from 1 to 1000"},
    {"rate: {per: 0s, max: 1}", 22, "per: 0s is too short; at least 1s"},
    {"rate: {per: 25h, max: 1}", 22, "per: 25h is too long; at most 24h"},
    {"rate: {fleet: {per: 1m, max: 1}, per: 1m, max: 1}", 17, "unknown key \"fleet\"; known: per, max"},
    {"rate: {target: {per: 1h, max: 17}}", 40, "max: \"17\" is no whole number from 1 to 16"},
    {"rate: {rules: no}", 17, "unknown key \"rules\"; did you mean rule?"},
    {"rate: 0", 16, "rate must be a map of \"key: value\", not a text"},
    {"flapping: {changes: 1}", 30, "changes: \"1\" is no whole number from 2 to 16"},
    {"flapping: {within: 0s}", 29, "within: 0s is too short; at least 1s"},
    {"approval: 0s", 20, "approval: 0s is too short; at least 1s"},
    {"approval: 25h", 20, "approval: 25h is too long; at most 24h"},
    {"maintenance: web-1", 23, "maintenance must be a list: \"- ...\" in lines, or [...]"},
    {"maintenance: [web-1]", 24, "a window must be a map of \"key: value\", not a text"},
    {"maintenance: [{" SPAN "}]", 24,
     "a window without nodes selects nothing; name a node, or some as in web-*, or all by \"*\""},
    {"maintenance: [{nodes: \"\", " SPAN "}]", 32,
     "a window without nodes selects nothing; name a node, or some as in web-*, or all by \"*\""},
    {"maintenance: [{nodes: [], " SPAN "}]", 32,
     "a window without nodes selects nothing; name a node, or some as in web-*, or all by \"*\""},
    {"maintenance: [{nodes: web 1, " SPAN "}]", 32,
     "nodes: \"web 1\" is neither a node's name nor its beginning and a star"},
    {"maintenance: [{nodes: w*1, " SPAN "}]", 32,
     "nodes: \"w*1\" is neither a node's name nor its beginning and a star"},
    {"maintenance: [{nodes: *, " SPAN "}]", 33,
     "not YAML: did not find expected alphabetic or numeric character; put a text that begins with * or & in "
     "quotes"},
    {"maintenance: [{nodes: web-1}]", 24,
     "a window needs its time: \"from:\" and \"until:\", or \"daily:\" and \"for:\""},
    {"maintenance: [{nodes: web-1, from: 2026-12-24T20:00:00Z}]", 24,
     "a window from here to there needs \"until\" as well"},
    {"maintenance: [{nodes: web-1, from: tomorrow, until: 2026-12-25T02:00:00Z}]", 45,
     "from: \"tomorrow\" is no instant, as in 2026-12-24T20:00:00Z"},
    {"maintenance: [{nodes: web-1, from: 1969-12-24T20:00:00Z, until: 1969-12-25T02:00:00Z}]", 45, NULL},
    {"maintenance: [{nodes: web-1, from: 2026-12-25T02:00:00Z, until: 2026-12-25T02:00:00Z}]", 74,
     "until must be after from; this window never begins"},
    {"maintenance: [{nodes: web-1, from: 2026-01-01T00:00:00Z, until: 2026-02-01T00:00:00.001Z}]", 74,
     "longer than 31 days; what is to be left alone for ever needs no policy"},
    {"maintenance: [{nodes: web-1, for: 1h, " SPAN "}]", 39,
     "for belongs to a window that comes back: daily: \"02:00\""},
    {"maintenance: [{nodes: web-1, daily: \"02:00\"}]", 24,
     "a window that comes back needs its length: \"for: 1h\""},
    {"maintenance: [{nodes: web-1, daily: \"24:00\", for: 1h}]", 46,
     "daily: \"24:00\" is no time of day from \"00:00\" to \"23:59\", in UTC"},
    {"maintenance: [{nodes: web-1, daily: \"2:00\", for: 1h}]", 46,
     "daily: \"2:00\" is no time of day from \"00:00\" to \"23:59\", in UTC"},
    {"maintenance: [{nodes: web-1, daily: \"02:00\", for: 25h}]", 60, "for: 25h is too long; at most 24h"},
    {"maintenance: [{nodes: web-1, daily: \"02:00\", for: 1h, days: []}]", 70,
     "a window without days never begins; leave days out for every day"},
    {"maintenance: [{nodes: web-1, daily: \"02:00\", for: 1h, days: [sat, sat]}]", 76,
     "sat for the second time"},
    {"maintenance: [{nodes: web-1, daily: \"02:00\", for: 1h, days: [sab]}]", 71,
     "unknown day \"sab\"; did you mean sat?"},
    {"maintenance: [{nodes: web-1, daily: \"02:00\", for: 1h, from: 2026-12-24T20:00:00Z}]", 64,
     "daily and from do not go together; write two windows"},
};

static void a_bad_guard_is_named_at_its_place(void **state)
{
    (void)state;
    size_t wrong = 0;
    for (size_t i = 0; i < COUNT_OF(bad_guards); i++) {
        char yaml[1024];
        struct policy policy;
        const struct bad_guard *bad = &bad_guards[i];
        snprintf(yaml, sizeof yaml, V "guards: {%s}\n", bad->guards);
        int result = policy_read(yaml, strlen(yaml), &policy, &complaints);
        const struct complaint *first = &complaints.list[0];
        bool ok = result == POLICY_REFUSED && first->line == 3 && first->column == bad->column &&
                  (bad->text == NULL || (complaints.count == 1 && strcmp(first->text, bad->text) == 0));
        if (!ok) {
            print_complaints(yaml);
            print_message("expected 3:%d: %s\n\n", bad->column, bad->text);
            wrong++;
        }
    }
    assert_int_equal(wrong, 0);
}

static void what_is_dangerous_is_noted(void **state)
{
    (void)state;
    guards_of("  max_disrupted: 100%\n  breaker: {unhealthy: 100%}\n");
    assert_int_equal(complaints.count, 2);
    assert_string_equal(complaints.list[0].text, "at 100% the whole fleet may be restarted at once");
    assert_string_equal(complaints.list[1].text, "more than 100% are never ill: this breaker never trips");
    assert_true(complaints.list[0].note && complaints.list[1].note);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(backoff_is_read_and_can_be_left_out_or_switched_off),
        cmocka_unit_test(a_short_rate_is_the_fleets_and_leaves_the_others_alone),
        cmocka_unit_test(each_of_the_four_rates_is_read_or_switched_off),
        cmocka_unit_test(flapping_and_approval_are_read),
        cmocka_unit_test(a_window_from_here_to_there_is_on_in_between),
        cmocka_unit_test(a_daily_window_comes_back_on_its_days_also_over_midnight),
        cmocka_unit_test(sixteen_windows_fit_and_no_more),
        cmocka_unit_test(a_bad_guard_is_named_at_its_place),
        cmocka_unit_test(what_is_dangerous_is_noted),
    };
    return cmocka_run_group_tests_name("policy_guards", tests, NULL, NULL);
}
