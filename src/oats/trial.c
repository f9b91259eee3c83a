#include "oats/trial.h"

#include "base/check.h"
#include "sim/watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- one row in virtual time ---------------------------------------------------------------------------- */

struct look {
    struct trial *trial;
    bool *struck; /* by node */
};

/* What was done on the struck nodes, and what verification said, newest last. */
static void on_effects(void *context, const struct core *core, uint64_t ticket, const struct effects *effects,
                       instant at)
{
    struct look *look = context;
    (void)core, (void)ticket, (void)at;
    for (uint32_t i = 0; i < effects->count; i++) {
        const struct effect *effect = &effects->list[i];
        if (effect->kind == EFFECT_ACT && look->struck[effect->node]) {
            look->trial->remedy = effect->of.command.remedy;
            look->trial->verdict = VERDICT_NONE;
        }
        if (effect->kind != EFFECT_RECORD || !look->struck[effect->node]) {
            continue;
        }
        const struct incident *incident = &effect->of.incident;
        look->trial->people |= incident->state == INCIDENT_ESCALATED;
        if (incident->verdict != VERDICT_NONE && incident->command != 0 &&
            incident->remedy == look->trial->remedy) {
            look->trial->verdict = incident->verdict;
        }
    }
}

static void note_first_unmet(struct trial *trial, const struct sim *sim)
{
    char *bytes = NULL, *rest;
    size_t size;
    FILE *out = open_memstream(&bytes, &size);
    CHECK(out != NULL);
    sim_print_expectations(sim, out);
    fclose(out);
    for (char *line = strtok_r(bytes, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
        static const char unmet[] = "not ok  ";
        if (strncmp(line, unmet, strlen(unmet)) == 0 && trial->why[0] == '\0') {
            text_copy(trial->why, sizeof trial->why, line + strlen(unmet));
        }
    }
    free(bytes);
}

static void note_violations(struct trial *trial, const struct checker *checker)
{
    uint32_t count = checker_count(checker);
    for (uint32_t i = 0; i < count && i < VIOLATIONS_MAX; i++) {
        const struct violation *violation = checker_violation(checker, i);
        enum invariant invariant = (enum invariant)violation->invariant;
        trial->safety += invariant_is_safety(invariant);
        trial->liveness += !invariant_is_safety(invariant);
        if (i == 0) {
            snprintf(trial->why, sizeof trial->why, "%s: %s", invariant_name(invariant), violation->sentence);
        }
    }
}

/* When the run's script is over all faults are cleared: what is well only then was not healed. */
static duration healed(const struct suite *suite, const struct scenario *scenario, duration recover_ns)
{
    return recover_ns >= 0 && recover_ns < scenario->length_ns - suite->at_ns ? recover_ns : -1;
}

static void note_result(struct trial *trial, const struct suite *suite, const struct scenario *scenario,
                        const struct sim *sim, const struct checker *checker)
{
    struct sim_result result;
    sim_result(sim, &result);
    trial->ran = 1;
    trial->found_ns = result.detect_p50_ns;
    trial->healed_ns = healed(suite, scenario, result.recover_p50_ns);
    trial->commands = result.commands;
    trial->wrong = result.wrong;
    trial->needless = result.needless;
    trial->harmful = result.harmful;
    trial->expectations = result.expectations;
    trial->met = result.met;
    trial->digest = result.digest;
    note_violations(trial, checker);
    note_first_unmet(trial, sim);
    trial->ok = trial->met == trial->expectations && trial->safety + trial->liveness == 0;
}

void trial_run(struct trial *trial, const struct suite *suite, uint32_t row, const struct scenario *scenario)
{
    *trial = (struct trial){.found_ns = -1, .healed_ns = -1, .remedy = REMEDY_NONE};
    struct look look = {.trial = trial, .struck = calloc(scenario->node_count, sizeof(bool))};
    uint32_t *nodes = calloc(scenario->node_count, sizeof *nodes);
    CHECK(look.struck != NULL && nodes != NULL);
    const struct scenario_target *on = &suite_level(suite, row, FACTOR_NODE)->on;
    for (uint32_t count = scenario_targets(scenario, on, scenario->seed, nodes); count > 0; count--) {
        look.struck[nodes[count - 1]] = true;
    }
    free(nodes);
    struct sim_judge judge;
    sim_judge_init(&judge, scenario->node_count);
    CHECK(judge.checker != NULL);
    struct sim_options options = {.scenario = scenario, .policy = &suite->policy, .watch_count = 2};
    options.watch[0] = sim_judge_watch(&judge);
    options.watch[1] = (struct sim_watch){.effects = on_effects, .context = &look};
    char error[TRIAL_WHY_SIZE];
    struct sim *sim = sim_new(&options, error, sizeof error);
    if (sim == NULL) {
        text_copy(trial->why, sizeof trial->why, error);
    } else {
        while (sim_turn(sim)) {
        }
        if (scenario->heal_ns >= SIM_REST_LEAST_NS)
            sim_judge_rest(&judge, sim);
        note_result(trial, suite, scenario, sim, judge.checker);
    }
    sim_free(&sim);
    sim_judge_fini(&judge);
    free(look.struck);
}

/* --- all of them ---------------------------------------------------------------------------------------- */

/* What never came about is slower than anything. */
static int by_length(const void *x, const void *y)
{
    uint64_t a = (uint64_t) * (const duration *)x, b = (uint64_t) * (const duration *)y;
    return (a > b) - (a < b);
}

duration trial_median(duration *times, uint32_t count)
{
    if (count == 0) {
        return -1;
    }
    qsort(times, count, sizeof *times, by_length);
    duration low = times[(count - 1) / 2], high = times[count / 2];
    return low < 0 || high < 0 ? -1 : low + (high - low) / 2;
}

struct trial_effect trial_effect(const struct suite *suite, const struct trial *trials, uint32_t factor,
                                 uint32_t level)
{
    struct trial_effect effect = {0};
    duration *times = calloc(suite->array.rows, sizeof *times);
    CHECK(times != NULL);
    for (uint32_t row = 0; row < suite->array.rows; row++) {
        if (array_cell(&suite->array, row, factor) != level) {
            continue;
        }
        effect.ok += trials[row].ok;
        effect.healed += trials[row].healed_ns >= 0;
        times[effect.rows++] = trials[row].healed_ns;
    }
    effect.healed_p50_ns = trial_median(times, effect.rows);
    free(times);
    return effect;
}
