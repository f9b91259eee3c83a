#include "policy/policy_text.h"

#include "policy/condition.h"
#include "policy/detector_file.h"
#include "policy/guards_file.h"
#include "policy/quantity.h"

static void write_duration(struct text *out, const char *label, duration d)
{
    text_add(out, label);
    quantity_write_duration(out, d);
}

static void write_detector(struct text *out, const struct detector *detector)
{
    text_addf(out, "  - name: %s\n", detector->name);
    if (detector->absent_ns > 0) {
        write_duration(out, "    absent: ", detector->absent_ns);
    } else {
        text_add(out, "    when: ");
        condition_write(out, detector->when, detector->when_count);
        write_duration(out, "\n    for: ", detector->for_ns);
        text_add(out, "\n    clear: ");
        condition_write(out, detector->clear, detector->clear_count);
    }
    write_duration(out, "\n    healthy_for: ", detector->healthy_for_ns);
    text_addf(out, "\n    severity: %s\n", severity_name((enum severity)detector->severity));
    text_addf(out, "    confirm: %s\n", detector->confirm ? "yes" : "no");
}

static void write_playbook(struct text *out, const struct detector *detector)
{
    text_addf(out, "  - on: %s\n    steps:%s\n", detector->name, detector->ladder_count == 0 ? " []" : "");
    for (uint32_t i = 0; i < detector->ladder_count; i++) {
        const struct rung *rung = &detector->ladder[i];
        text_addf(out, "      - {do: %s", remedy_name((enum remedy)rung->remedy));
        bool has_times = remedy_infos[rung->remedy].disruptive || rung->settle_ns != STEP_SETTLE_NS ||
                         rung->within_ns != STEP_WITHIN_NS; /* telling people has none */
        if (has_times) {
            write_duration(out, ", settle: ", rung->settle_ns);
            write_duration(out, ", within: ", rung->within_ns);
        }
        text_add(out, "}\n");
    }
}

void policy_write(struct text *out, const struct policy *policy)
{
    text_addf(out, "version: 1\nmode: %s\n", mode_name((enum mode)policy->mode));
    write_duration(out, "planner: {wait: ", policy->planner_wait_ns);
    text_add(out, "}\ndetectors:\n");
    for (uint32_t i = 0; i < policy->detector_count; i++) {
        if (policy->detectors[i].name[0] != '\0') {
            write_detector(out, &policy->detectors[i]);
        }
    }
    text_add(out, "playbooks:\n");
    for (uint32_t i = 0; i < policy->detector_count; i++) {
        if (policy->detectors[i].name[0] != '\0') {
            write_playbook(out, &policy->detectors[i]);
        }
    }
    guards_write(out, &policy->guards);
}
