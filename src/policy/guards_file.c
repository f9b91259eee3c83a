#include "policy/guards_file.h"

#include "base/check.h"
#include "policy/fields.h"
#include "policy/quantity.h"
#include "policy/window_file.h"

#include <string.h>

/* --- per target ----------------------------------------------------------------------------------------- */

static void read_attempts(const struct yaml_node *node, struct guards *guards, struct complaints *complaints)
{
    if (node == NULL || !field_map(node, &policy_keys[POLICY_MAP_ATTEMPTS], complaints)) {
        return;
    }
    field_integer(yaml_tree_entry(node, "max"), 1, ATTEMPTS_MAX, &guards->attempts_max, complaints);
    field_duration_upto(yaml_tree_entry(node, "within"), SECOND, SPAN_MAX_NS, &guards->attempts_within_ns,
                        complaints);
}

static void read_backoff(const struct yaml_node *node, struct guards *guards, struct complaints *complaints)
{
    if (node != NULL && field_is_no(node)) {
        guards->backoff_base_ns = 0;
        return;
    }
    if (node == NULL || !field_map(node, &policy_keys[POLICY_MAP_BACKOFF], complaints)) {
        return;
    }
    const struct yaml_node *base = yaml_tree_entry(node, "base"), *cap = yaml_tree_entry(node, "cap");
    bool good = field_duration_upto(base, MILLISECOND, SPAN_MAX_NS, &guards->backoff_base_ns, complaints);
    good &= field_duration_upto(cap, MILLISECOND, SPAN_MAX_NS, &guards->backoff_cap_ns, complaints);
    field_duration_upto(yaml_tree_entry(node, "reset"), SECOND, SPAN_MAX_NS, &guards->backoff_reset_ns,
                        complaints);
    if (good && guards->backoff_cap_ns < guards->backoff_base_ns) {
        char bytes[64];
        struct text text = text_over(bytes, sizeof bytes);
        quantity_write_duration(&text, guards->backoff_cap_ns);
        complain(complaints, base != NULL ? base->at : cap->at, "cap, here %s, must not be shorter than base",
                 bytes);
    }
}

static void read_per_target(const struct yaml_node *node, struct guards *guards,
                            struct complaints *complaints)
{
    if (node == NULL || !field_map(node, &policy_keys[POLICY_MAP_PER_TARGET], complaints)) {
        return;
    }
    const struct yaml_node *cooldown = yaml_tree_entry(node, "cooldown");
    field_duration(cooldown, 0, &guards->cooldown_ns, complaints);
    read_attempts(yaml_tree_entry(node, "attempts"), guards, complaints);
    read_backoff(yaml_tree_entry(node, "backoff"), guards, complaints);
    if (guards->cooldown_ns == 0 && guards->backoff_base_ns == 0) {
        complain_note(complaints, node->key_at,
                      "without cooldown and backoff one action on a node may follow the other at once");
    }
}

/* --- rates ---------------------------------------------------------------------------------------------- */

/* 0 would be "never", which is what mode: dry_run is for; whoever writes it most likely means "no limit". */
static bool read_max(const struct yaml_node *node, uint32_t most, uint32_t *max,
                     struct complaints *complaints)
{
    if (node != NULL && node->kind == YAML_SCALAR && (strcmp(node->text, "0") == 0 || node->text[0] == '-')) {
        char shown[SHOWN_SIZE];
        complain(complaints, node->at,
                 "max: %s actions are none; write \"no\" in place of the map for no limit",
                 complaint_shown(shown, node->text));
        return false;
    }
    return field_integer(node, 1, most, max, complaints);
}

static void read_rate(const struct yaml_node *node, uint32_t most, struct rate *rate,
                      struct complaints *complaints)
{
    if (node == NULL) {
        return;
    }
    if (field_is_no(node)) {
        *rate = (struct rate){0};
        return;
    }
    if (!field_map(node, &policy_keys[POLICY_MAP_RATE], complaints)) {
        return;
    }
    const struct yaml_node *per = yaml_tree_entry(node, "per"), *max = yaml_tree_entry(node, "max");
    if (per == NULL || max == NULL) {
        complain(complaints, node->at, "a rate needs both: {per: 1m, max: 10}; or \"no\" for no limit");
        return;
    }
    field_duration_upto(per, SECOND, SPAN_MAX_NS, &rate->per_ns, complaints);
    read_max(max, most, &rate->max, complaints);
}

/* {per, max} alone is the fleet's; the others keep their defaults. `no` lifts all four. */
static void read_rates(const struct yaml_node *node, struct guards *guards, struct complaints *complaints)
{
    if (node == NULL) {
        return;
    }
    if (field_is_no(node)) {
        guards->rate_fleet = guards->rate_target = guards->rate_rule = guards->rate_kind = (struct rate){0};
        return;
    }
    if (yaml_tree_entry(node, "per") != NULL || yaml_tree_entry(node, "max") != NULL) {
        read_rate(node, RATE_MAX, &guards->rate_fleet, complaints);
        return;
    }
    if (field_map(node, &policy_keys[POLICY_MAP_RATES], complaints)) {
        read_rate(yaml_tree_entry(node, "fleet"), RATE_MAX, &guards->rate_fleet, complaints);
        read_rate(yaml_tree_entry(node, "target"), ATTEMPTS_MAX, &guards->rate_target, complaints);
        read_rate(yaml_tree_entry(node, "rule"), RATE_MAX, &guards->rate_rule, complaints);
        read_rate(yaml_tree_entry(node, "kind"), RATE_MAX, &guards->rate_kind, complaints);
    }
}

/* --- the fleet ------------------------------------------------------------------------------------------ */

static void read_flapping(const struct yaml_node *node, struct guards *guards, struct complaints *complaints)
{
    if (node != NULL && field_is_no(node)) {
        guards->flapping_changes = 0;
        return;
    }
    if (node == NULL || !field_map(node, &policy_keys[POLICY_MAP_FLAPPING], complaints)) {
        return;
    }
    field_integer(yaml_tree_entry(node, "changes"), 2, CHANGES_MAX, &guards->flapping_changes, complaints);
    field_duration_upto(yaml_tree_entry(node, "within"), SECOND, SPAN_MAX_NS, &guards->flapping_within_ns,
                        complaints);
}

static void read_breaker(const struct yaml_node *node, struct guards *guards, struct complaints *complaints)
{
    if (node == NULL || !field_map(node, &policy_keys[POLICY_MAP_BREAKER], complaints)) {
        return;
    }
    const struct yaml_node *unhealthy = yaml_tree_entry(node, "unhealthy");
    if (field_ratio(unhealthy, &guards->breaker_unhealthy_ratio, complaints) &&
        guards->breaker_unhealthy_ratio == 1) {
        complain_note(complaints, unhealthy->at, "more than 100%% are never ill: this breaker never trips");
    }
    field_integer(yaml_tree_entry(node, "at_least"), 1, 1000000, &guards->breaker_at_least, complaints);
}

static void read_max_disrupted(const struct yaml_node *node, struct guards *guards,
                               struct complaints *complaints)
{
    if (field_ratio(node, &guards->max_disrupted_ratio, complaints) && guards->max_disrupted_ratio == 1) {
        complain_note(complaints, node->at, "at 100%% the whole fleet may be restarted at once");
    }
}

void guards_read(const struct yaml_node *node, struct guards *guards, struct complaints *complaints)
{
    if (node == NULL || !field_map(node, &policy_keys[POLICY_MAP_GUARDS], complaints)) {
        return;
    }
    read_max_disrupted(yaml_tree_entry(node, "max_disrupted"), guards, complaints);
    read_breaker(yaml_tree_entry(node, "breaker"), guards, complaints);
    read_per_target(yaml_tree_entry(node, "per_target"), guards, complaints);
    read_rates(yaml_tree_entry(node, "rate"), guards, complaints);
    read_flapping(yaml_tree_entry(node, "flapping"), guards, complaints);
    windows_read(yaml_tree_entry(node, "maintenance"), guards, complaints);
    field_duration_upto(yaml_tree_entry(node, "approval"), SECOND, SPAN_MAX_NS, &guards->approval_ns,
                        complaints);
    field_duration(yaml_tree_entry(node, "recurrence"), 0, &guards->recurrence_ns, complaints);
    field_duration(yaml_tree_entry(node, "hold"), 0, &guards->hold_ns, complaints);
}

/* --- writing -------------------------------------------------------------------------------------------- */

static void write_duration(struct text *out, const char *label, duration d)
{
    text_add(out, label);
    quantity_write_duration(out, d);
}

static void write_ratio(struct text *out, const char *label, double ratio)
{
    text_add(out, label);
    quantity_write(out, ratio, UNIT_RATIO);
}

static void write_rate(struct text *out, const char *name, const struct rate *rate)
{
    if (rate->max == 0) {
        text_addf(out, "    %s: no\n", name);
        return;
    }
    text_addf(out, "    %s: ", name);
    write_duration(out, "{per: ", rate->per_ns);
    text_addf(out, ", max: %u}\n", rate->max);
}

static void write_per_target(struct text *out, const struct guards *guards)
{
    write_duration(out, "  per_target:\n    cooldown: ", guards->cooldown_ns);
    text_addf(out, "\n    attempts: {max: %u", guards->attempts_max);
    write_duration(out, ", within: ", guards->attempts_within_ns);
    if (guards->backoff_base_ns == 0) {
        text_add(out, "}\n    backoff: no\n");
        return;
    }
    write_duration(out, "}\n    backoff: {base: ", guards->backoff_base_ns);
    write_duration(out, ", cap: ", guards->backoff_cap_ns);
    write_duration(out, ", reset: ", guards->backoff_reset_ns);
    text_add(out, "}\n");
}

void guards_write(struct text *out, const struct guards *guards)
{
    write_ratio(out, "guards:\n  max_disrupted: ", guards->max_disrupted_ratio);
    write_ratio(out, "\n  breaker: {unhealthy: ", guards->breaker_unhealthy_ratio);
    text_addf(out, ", at_least: %u}\n", guards->breaker_at_least);
    write_per_target(out, guards);
    text_add(out, "  rate:\n");
    write_rate(out, "fleet", &guards->rate_fleet);
    write_rate(out, "target", &guards->rate_target);
    write_rate(out, "rule", &guards->rate_rule);
    write_rate(out, "kind", &guards->rate_kind);
    if (guards->flapping_changes == 0) {
        text_add(out, "  flapping: no\n");
    } else {
        text_addf(out, "  flapping: {changes: %u", guards->flapping_changes);
        write_duration(out, ", within: ", guards->flapping_within_ns);
        text_add(out, "}\n");
    }
    windows_write(out, guards);
    write_duration(out, "  approval: ", guards->approval_ns);
    write_duration(out, "\n  recurrence: ", guards->recurrence_ns);
    write_duration(out, "\n  hold: ", guards->hold_ns);
    text_add(out, "\n");
}
