/* What oats prints: the rows, the proof that every pair is met, and what each level did. */
#include "cli/oats.h"

#include "cli/cli.h"
#include "cli/show.h"

#include "base/check.h"
#include "base/text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { COLUMNS_MAX = 12, CELL_SIZE = 128, REASONS_MAX = 12 };

static const char *time_or_dash(duration d, char out[32])
{
    struct text text = text_over(out, 32);
    if (d < 0)
        text_add(&text, "-");
    else
        text_duration(&text, d);
    return out;
}

/* --- the rows ------------------------------------------------------------------------------------------- */

/* "restart_service: effective", "people were told", "nothing" */
static const char *remedy_text(const struct trial *trial, char out[CELL_SIZE])
{
    struct text text = text_over(out, CELL_SIZE);
    if (!trial->ran)
        text_add(&text, "-");
    else if (trial->remedy == REMEDY_NONE)
        text_add(&text, trial->people ? "people were told" : "nothing");
    else
        text_addf(&text, "%s: %s%s", remedy_name((enum remedy)trial->remedy),
                  trial->verdict == VERDICT_NONE ? "no verdict" : verdict_name((enum verdict)trial->verdict),
                  trial->people ? ", people" : "");
    return out;
}

static void add_trial(struct table *table, const struct trial *trial)
{
    char bytes[CELL_SIZE];
    table_cell(table, INK_PLAIN, "%s", time_or_dash(trial->found_ns, bytes));
    table_cell(table, INK_PLAIN, "%s", time_or_dash(trial->healed_ns, bytes));
    table_cell(table, INK_PLAIN, "%s", remedy_text(trial, bytes));
    table_cell(table, trial->wrong > 0 ? INK_RED : INK_PLAIN, "%u", trial->wrong);
    table_cell(table, trial->ok ? INK_GREEN : INK_RED, "%s",
               trial->ok    ? "ok"
               : trial->ran ? "not ok"
                            : "not run");
}

/* What a row that was not run is to bring. */
static void add_expected(struct table *table, const struct suite *suite, uint32_t row)
{
    struct row_cure cure = row_cure(suite, row);
    if (!cure.heals)
        table_cell(table, INK_PLAIN, "nobody is touched");
    else if (cure.possible)
        table_cell(table, INK_PLAIN, "%s, %s", cure.finding, remedy_name((enum remedy)cure.remedy));
    else
        table_cell(table, INK_RED, "nothing in the policy leads to %s",
                   remedy_name((enum remedy)cure.remedy));
}

static void print_rows(const struct oats *oats)
{
    const struct suite *suite = oats->suite;
    static const char *const results[] = {">found after", ">well after", "newest remedy", ">wrong",
                                          "as expected"};
    const char *titles[COLUMNS_MAX] = {">row"};
    size_t columns = 1;
    for (uint32_t i = 0; i < suite->factor_count; i++)
        titles[columns++] = factor_name((enum factor_kind)suite->factors[i].kind);
    if (!oats->trials)
        titles[columns++] = "to be healed by";
    for (size_t i = 0; oats->trials && i < COUNT_OF(results); i++)
        titles[columns++] = results[i];
    struct table *table = table_new(titles, columns);
    for (uint32_t row = 0; row < suite->array.rows; row++) {
        table_cell(table, INK_DIM, "%u", row + 1);
        for (uint32_t i = 0; i < suite->factor_count; i++)
            table_cell(table, INK_PLAIN, "%s",
                       suite->factors[i].levels[array_cell(&suite->array, row, i)].word);
        if (oats->trials)
            add_trial(table, &oats->trials[row]);
        else
            add_expected(table, suite, row);
    }
    table_print(&table, stdout, 2);
}

/* --- the proof ------------------------------------------------------------------------------------------ */

/* "fault x node 9 of 9" for each two factors, and "27 of 27 pairs, each once" over all. */
static void print_proof(const struct oats *oats)
{
    const struct suite *suite = oats->suite;
    struct array_pairs pairs;
    if (!oats->trials && suite->factor_count > 1) {
        printf("\n");
        for (uint32_t i = 0; i < suite->factor_count; i++) {
            for (uint32_t k = i + 1; k < suite->factor_count; k++) {
                array_pairs_of(&suite->array, i, k, &pairs);
                printf("  %s x %s: %u of %u\n", factor_name((enum factor_kind)suite->factors[i].kind),
                       factor_name((enum factor_kind)suite->factors[k].kind), pairs.covered, pairs.all);
            }
        }
    }
    array_pairs(&suite->array, &pairs);
    printf("\n  %u of %u pairs", pairs.covered, pairs.all);
    if (pairs.most == 1)
        printf(", each in one row");
    else if (pairs.least == pairs.most && pairs.all > 0)
        printf(", each in %u rows", pairs.most);
    else if (pairs.all > 0)
        printf(", each in %u to %u rows", pairs.least, pairs.most);
    printf("\n");
}

/* --- what it came to ------------------------------------------------------------------------------------ */

static void print_reason(const struct oats *oats, uint32_t row)
{
    char bytes[TRIAL_WHY_SIZE + 128], head[32];
    struct text text = text_over(bytes, sizeof bytes);
    struct row_cure cure = row_cure(oats->suite, row);
    const struct trial *trial = &oats->trials[row];
    bool hopeless = cure.heals && !cure.possible && trial->ran && trial->safety + trial->liveness == 0;
    if (hopeless)
        text_addf(&text, "nothing in the policy leads to %s", remedy_name((enum remedy)cure.remedy));
    else
        text_add(&text, trial->why);
    int length = snprintf(head, sizeof head, "  row %u: ", row + 1);
    fputs(head, stdout);
    print_wrapped(stdout, (size_t)length, bytes);
}

static void print_reasons(const struct oats *oats)
{
    uint32_t count = 0;
    for (uint32_t row = 0; row < oats->suite->array.rows; row++) {
        if (oats->trials[row].ok)
            continue;
        if (count == 0)
            printf("\n");
        if (count++ < REASONS_MAX)
            print_reason(oats, row);
    }
    if (count > REASONS_MAX)
        printf("  and %u more; --json has them all\n", count - REASONS_MAX);
}

static void print_total(const struct oats *oats)
{
    uint32_t rows = oats->suite->array.rows, ok = 0, healed = 0, wrong = 0;
    duration *times = calloc(rows, sizeof *times);
    CHECK(times);
    for (uint32_t row = 0; row < rows; row++) {
        const struct trial *trial = &oats->trials[row];
        ok += trial->ok;
        wrong += trial->wrong;
        healed += trial->healed_ns >= 0;
        times[row] = trial->healed_ns;
    }
    char bytes[32];
    printf("  %s%u of %u rows as expected%s; users well again in %u, the median after %s; wrong actions %u\n",
           ink_on(stdout, ok == rows ? INK_GREEN : INK_RED), ok, rows,
           ink_off(stdout, ok == rows ? INK_GREEN : INK_RED), healed,
           time_or_dash(trial_median(times, rows), bytes), wrong);
    free(times);
}

static void print_effects(const struct oats *oats)
{
    static const char *const titles[] = {"factor",       "level",       ">rows",
                                         ">as expected", ">well again", ">median after"};
    struct table *table = table_new(titles, COUNT_OF(titles));
    for (uint32_t i = 0; i < oats->suite->factor_count; i++) {
        const struct suite_factor *factor = &oats->suite->factors[i];
        for (uint32_t level = 0; level < factor->level_count; level++) {
            struct trial_effect effect = trial_effect(oats->suite, oats->trials, i, level);
            char bytes[32];
            table_cell(table, INK_PLAIN, "%s", level == 0 ? factor_name((enum factor_kind)factor->kind) : "");
            table_cell(table, INK_PLAIN, "%s", factor->levels[level].word);
            table_cell(table, INK_PLAIN, "%u", effect.rows);
            table_cell(table, effect.ok < effect.rows ? INK_RED : INK_PLAIN, "%u", effect.ok);
            table_cell(table, INK_PLAIN, "%u", effect.healed);
            table_cell(table, INK_PLAIN, "%s", time_or_dash(effect.healed_p50_ns, bytes));
        }
    }
    printf("\n");
    table_print(&table, stdout, 2);
    struct array_pairs pairs;
    array_pairs(&oats->suite->array, &pairs);
    if (oats->suite->array.q > 0 && pairs.least != pairs.most)
        printf(
            "  the array is folded: its levels do not meet equally often, so differences are only hints\n");
}

/* The first row that went wrong, else the first. */
static void print_again(const struct oats *oats)
{
    char path[OATS_PATH_SIZE];
    uint32_t row = 0;
    while (row + 1 < oats->suite->array.rows && oats->trials[row].ok)
        row++;
    row = oats->trials[row].ok ? 0 : row;
    CHECK(oats_row_path(oats, row, path));
    printf("\n  row %u alone, with every step: %s %s %s%s\n", row + 1, program_name(),
           oats->live ? "up --scenario" : "sim", path,
           oats->synthetic ? " --synthetic 0"
           : oats->live    ? ""
                           : " --trace");
}

void oats_print(const struct oats *oats)
{
    const struct suite *suite = oats->suite;
    char bytes[64];
    struct text name = text_over(bytes, sizeof bytes);
    array_write_name(&name, &suite->array);
    printf("\n  %s: %s, %u rows, seed %" PRIu64 ", %s\n\n", *suite->title ? suite->title : oats->name, bytes,
           suite->array.rows, oats->seed, *suite->policy_path ? suite->policy_path : "the default policy");
    print_rows(oats);
    print_proof(oats);
    if (!oats->trials)
        return;
    print_total(oats);
    print_reasons(oats);
    print_effects(oats);
    print_again(oats);
}

/* --- JSON ----------------------------------------------------------------------------------------------- */

static json_t *json_of_time(duration d)
{
    return d < 0 ? json_null() : json_real(duration_seconds(d));
}

static json_t *json_of_levels(const struct suite *suite, uint32_t row)
{
    json_t *levels = json_object();
    for (uint32_t i = 0; i < suite->factor_count; i++)
        json_object_set_new(levels, factor_name((enum factor_kind)suite->factors[i].kind),
                            json_string(suite->factors[i].levels[array_cell(&suite->array, row, i)].word));
    return levels;
}

static void add_trial_json(json_t *object, const struct trial *trial)
{
    char digest[17];
    snprintf(digest, sizeof digest, "%016" PRIx64, trial->digest);
    json_t *more = json_pack(
        "{s:b,s:b,s:s,s:o,s:o,s:o,s:o,s:b}", "ran", trial->ran, "ok", trial->ok, "why", trial->why,
        "detect_s", json_of_time(trial->found_ns), "recover_s", json_of_time(trial->healed_ns), "remedy",
        trial->remedy == REMEDY_NONE ? json_null() : json_string(remedy_name((enum remedy)trial->remedy)),
        "verdict",
        trial->verdict == VERDICT_NONE ? json_null()
                                       : json_string(verdict_name((enum verdict)trial->verdict)),
        "people", trial->people);
    json_t *counts =
        json_pack("{s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i}", "commands", (int)trial->commands, "wrong",
                  (int)trial->wrong, "needless", (int)trial->needless, "harmful", (int)trial->harmful,
                  "expectations", (int)trial->expectations, "met", (int)trial->met, "safety_violations",
                  (int)trial->safety, "liveness_violations", (int)trial->liveness);
    CHECK(more && counts);
    json_object_update(object, more);
    json_object_update(object, counts);
    if (trial->digest)
        json_object_set_new(object, "digest", json_string(digest));
    json_decref(more);
    json_decref(counts);
}

static json_t *json_of_row(const struct oats *oats, uint32_t row)
{
    char path[OATS_PATH_SIZE];
    struct row_cure cure = row_cure(oats->suite, row);
    json_t *object = json_pack("{s:i,s:o}", "row", (int)row + 1, "levels", json_of_levels(oats->suite, row));
    json_t *wanted = json_object();
    json_object_set_new(wanted, "finding", cure.heals ? json_string(cure.finding) : json_null());
    json_object_set_new(wanted, "remedy",
                        cure.heals ? json_string(remedy_name((enum remedy)cure.remedy)) : json_null());
    json_object_set_new(wanted, "possible", json_boolean(!cure.heals || cure.possible));
    json_object_set_new(object, "expected", wanted);
    if (oats->trials) {
        CHECK(oats_row_path(oats, row, path));
        json_object_set_new(object, "file", json_string(path));
        add_trial_json(object, &oats->trials[row]);
    }
    return object;
}

static json_t *json_of_effects(const struct oats *oats)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < oats->suite->factor_count; i++) {
        const struct suite_factor *factor = &oats->suite->factors[i];
        for (uint32_t level = 0; level < factor->level_count; level++) {
            struct trial_effect effect = trial_effect(oats->suite, oats->trials, i, level);
            json_array_append_new(list, json_pack("{s:s,s:s,s:i,s:i,s:i,s:o}", "factor",
                                                  factor_name((enum factor_kind)factor->kind), "level",
                                                  factor->levels[level].word, "rows", (int)effect.rows, "ok",
                                                  (int)effect.ok, "healed", (int)effect.healed,
                                                  "recover_p50_s", json_of_time(effect.healed_p50_ns)));
        }
    }
    return list;
}

void oats_print_json(const struct oats *oats)
{
    const struct suite *suite = oats->suite;
    char bytes[64];
    struct text name = text_over(bytes, sizeof bytes);
    struct array_pairs pairs;
    array_write_name(&name, &suite->array);
    array_pairs(&suite->array, &pairs);
    json_t *rows = json_array();
    uint32_t ok = 0;
    for (uint32_t row = 0; row < suite->array.rows; row++) {
        json_array_append_new(rows, json_of_row(oats, row));
        ok += oats->trials && oats->trials[row].ok;
    }
    json_t *all = json_pack("{s:s,s:s,s:I,s:o,s:s,s:{s:i,s:i,s:i,s:i},s:o}", "suite", oats->path, "title",
                            suite->title, "seed", (json_int_t)oats->seed, "policy",
                            *suite->policy_path ? json_string(suite->policy_path) : json_null(), "array",
                            bytes, "pairs", "covered", (int)pairs.covered, "all", (int)pairs.all, "least",
                            (int)pairs.least, "most", (int)pairs.most, "rows", rows);
    CHECK(all);
    if (oats->trials) {
        json_object_set_new(all, "live", json_boolean(oats->live));
        json_object_set_new(all, "ok", json_integer(ok));
        json_object_set_new(all, "effects", json_of_effects(oats));
    }
    print_json(all);
    json_decref(all);
}
