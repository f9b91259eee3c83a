/* Faults on demand: inject one, list them, clear them. */
#include "cli/cli.h"
#include "cli/show.h"
#include "cli/source.h"

#include "base/text.h"
#include "core/core.h"
#include "core/trace.h"
#include "core/vocabulary.h"
#include "policy/quantity.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *intensity_text(const struct fault_info *info, double intensity, char out[32])
{
    struct text text = text_over(out, 32);
    if (info->unit == UNIT_RATIO)
        text_addf(&text, "%.0f %%", intensity * 100);
    else if (info->unit == UNIT_SECONDS)
        text_duration(&text, duration_from_seconds(intensity));
    else if (info->unit == UNIT_COUNT)
        text_addf(&text, "%.3g times", intensity);
    else
        text_add(&text, "-");
    return out;
}

static const char *cures_text(const struct fault_info *info, char out[128])
{
    struct text text = text_over(out, 128);
    for (int remedy = 0; remedy < REMEDY_COUNT; remedy++) {
        if (info->cures & (1u << remedy))
            text_addf(&text, "%s%s", text.length ? ", " : "", remedy_name((enum remedy)remedy));
    }
    return out;
}

static json_t *kinds_json(void)
{
    json_t *kinds = json_array();
    for (int kind = 0; kind < FAULT_COUNT; kind++) {
        const struct fault_info *info = &fault_infos[kind];
        json_t *cures = json_array();
        for (int remedy = 0; remedy < REMEDY_COUNT; remedy++) {
            if (info->cures & (1u << remedy))
                json_array_append_new(cures, json_string(remedy_name((enum remedy)remedy)));
        }
        json_array_append_new(
            kinds, json_pack("{s:s, s:s, s:f, s:f, s:f, s:s, s:o, s:b, s:s}", "kind", info->name, "unit",
                             metric_unit_name(info->unit), "intensity", info->intensity, "least", info->least,
                             "most", info->most, "metric", metric_name(info->metric), "cures", cures,
                             "synthetic", kind >= FAULT_LIVE_COUNT, "text", info->sentence));
    }
    return json_pack("{s:o}", "kinds", kinds);
}

static void print_kinds(void)
{
    static const char *const titles[] = {"kind", "nodes", ">intensity", "cured by", "what it does"};
    struct table *table = table_new(titles, 5);
    for (int kind = 0; kind < FAULT_COUNT; kind++) {
        const struct fault_info *info = &fault_infos[kind];
        char intensity[32], cures[128];
        bool everywhere = kind < FAULT_LIVE_COUNT, is_cured = info->cures != 0;
        table_cell(table, INK_BOLD, "%s", info->name);
        table_cell(table, everywhere ? INK_PLAIN : INK_DIM, everywhere ? "all" : "synthetic");
        table_cell(table, INK_PLAIN, "%s", intensity_text(info, info->intensity, intensity));
        table_cell(table, INK_PLAIN, "%s", is_cured ? cures_text(info, cures) : "-");
        table_cell(table, INK_PLAIN, "%s", info->sentence);
    }
    table_print(&table, stdout, 2);
}

static int unknown_kind(const char *given)
{
    size_t count;
    const char *const *names = fault_kind_names(&count);
    const char *near = text_nearest(given, names, count);
    if (near)
        return fail(EXIT_USAGE, "inject: no fault is called '%s'; did you mean '%s'?", given, near);
    return fail(EXIT_USAGE, "inject: no fault is called '%s'; '%s inject --list' names them", given,
                program_name());
}

static int list_kinds(bool json)
{
    if (!json) {
        print_kinds();
        return EXIT_DONE;
    }
    json_t *kinds = kinds_json();
    print_json(kinds);
    json_decref(kinds);
    return EXIT_DONE;
}

static void print_injected(const json_t *fault)
{
    char intensity[32];
    const char *kind = member_text(fault, "kind");
    int index = fault_kind_of(kind);
    printf("  fault %lld: %s on %s", member_whole(fault, "id"), kind, member_text(fault, "node"));
    if (index >= 0 && fault_infos[index].unit != UNIT_NONE)
        printf(", %s", intensity_text(&fault_infos[index], member_number(fault, "intensity"), intensity));
    if (shape_of(member_text(fault, "shape")) > SHAPE_STEP)
        printf(", %s", member_text(fault, "shape"));
    if (index >= 0)
        printf(": %s", fault_infos[index].sentence);
    printf("\n  '%s nodes' shows it bite, '%s incidents' what is done, '%s clear %lld' ends it\n",
           program_name(), program_name(), program_name(), member_whole(fault, "id"));
}

/* `50%`, `200ms`, or the bare number in base units. */
static int read_intensity(const struct fault_info *info, const char *amount, double *intensity)
{
    const char *unit = amount;
    double number;
    char least[32], most[32];
    bool good = quantity_number(&unit, false, &number);
    while (good && *unit == ' ')
        unit++;
    if (!good || !quantity_in_base(number, unit, info->unit, intensity))
        return fail(EXIT_USAGE, "inject: --intensity wants a number%s%s, not '%s'",
                    *quantity_unit_names(info->unit) ? " and perhaps its unit, " : "",
                    quantity_unit_names(info->unit), amount);
    if (*intensity < info->least || *intensity > info->most)
        return fail(EXIT_USAGE, "inject: the intensity of %s lies between %s and %s", info->name,
                    intensity_text(info, info->least, least), intensity_text(info, info->most, most));
    return EXIT_DONE;
}

/* What is to be injected, as it was asked for. */
struct wish {
    const char *amount, *shape;
    duration lease_ns, period_ns;
};

static int read_shape(const char *given)
{
    size_t count;
    const char *const *names = shape_names(&count);
    const char *near = text_nearest(given, names, count);
    if (shape_of(given) >= 0)
        return EXIT_DONE;
    if (near)
        return fail(EXIT_USAGE, "inject: no shape is called '%s'; did you mean '%s'?", given, near);
    return fail(EXIT_USAGE,
                "inject: no shape is called '%s'; it is step, ramp, spike, sawtooth, flapping or gray",
                given);
}

/* The body of the request, or NULL and the exit code. */
static json_t *order_json(int kind, const char *node, const struct wish *wish, int *code)
{
    double intensity = (double)NAN;
    *code = wish->amount ? read_intensity(&fault_infos[kind], wish->amount, &intensity) : EXIT_DONE;
    if (*code == EXIT_DONE && wish->shape)
        *code = read_shape(wish->shape);
    if (*code != EXIT_DONE)
        return NULL;
    json_t *order = json_pack("{s:s, s:s}", "kind", fault_kind_name((enum fault_kind)kind), "node", node);
    if (!isnan(intensity))
        json_object_set_new(order, "intensity", json_real(intensity));
    if (wish->lease_ns > 0)
        json_object_set_new(order, "lease_s", json_real(duration_seconds(wish->lease_ns)));
    if (wish->shape)
        json_object_set_new(order, "shape", json_string(wish->shape));
    if (wish->period_ns > 0)
        json_object_set_new(order, "period_s", json_real(duration_seconds(wish->period_ns)));
    return order;
}

static int inject(struct source *source, int kind, const char *node, const struct wish *wish, bool json)
{
    int code;
    json_t *fault = NULL, *order = order_json(kind, node, wish, &code);
    if (!order)
        return code;
    char *body = json_dumps(order, JSON_COMPACT);
    code = source_call(source, "POST", "/v1/faults", NULL, body, &fault);
    if (code == EXIT_DONE && json)
        print_json(fault);
    else if (code == EXIT_DONE)
        print_injected(fault);
    json_decref(fault);
    json_decref(order);
    free(body);
    return code;
}

int verb_inject(const struct verb *verb, int argc, char **argv)
{
    struct source source = {0};
    struct wish wish = {0};
    bool list = false, json = false;
    const struct flag flags[] = {
        {"intensity", 'i', FLAG_TEXT, &wish.amount, "X",
         "how hard: 50%, 200ms, or 0.2 in base units (see --list)"},
        {"lease", 'l', FLAG_DURATION, &wish.lease_ns, "TIME", "it ends by itself after this (60s)"},
        {"shape", 's', FLAG_TEXT, &wish.shape, "SHAPE",
         "step, ramp, spike, sawtooth, flapping, gray (step; others: synthetic)"},
        {"period", 'p', FLAG_DURATION, &wish.period_ns, "TIME",
         "of the shapes spike, sawtooth and flapping (20s)"},
        {"list", 0, FLAG_YES, &list, NULL, "name the kinds of faults, where they work and what cures them"},
        {"json", 0, FLAG_YES, &json, NULL, "the API's JSON as it is"},
        SOURCE_URL_FLAG(&source),
        {0}};
    int count;
    int code = flags_read(verb, flags, argc, argv, 0, 2, &count);
    if (code >= 0)
        return code;
    if (list)
        return list_kinds(json);
    if (count != 2)
        return fail(EXIT_USAGE, "inject: it is '%s inject KIND NODE'; '%s inject --list' names the kinds",
                    program_name(), program_name());
    int kind = fault_kind_of(argv[1]);
    if (kind < 0)
        return unknown_kind(argv[1]);
    if (!text_is_name(argv[2], NODE_NAME_SIZE - 1))
        return fail(EXIT_USAGE, "inject: '%s' cannot be the name of a node", argv[2]);
    return inject(&source, kind, argv[2], &wish, json);
}

/* "cpu_utilization 3 % -> 97 %", or what is known so far. */
static void effect_cell(struct table *table, const json_t *fault)
{
    char before[32], after[32];
    const char *metric = member_text(fault, "metric");
    const char *effect = member_text(fault, "effect");
    if (strcmp(effect, "seen") == 0)
        table_cell(table, INK_PLAIN, "%s %s → %s", metric,
                   metric_text(metric, member_number(fault, "before"), before),
                   metric_text(metric, member_number(fault, "after"), after));
    else
        table_cell(table, INK_DIM, "%s", *effect ? effect : "-");
}

static void print_faults(const json_t *faults)
{
    static const char *const titles[] = {">id",   "kind",  "node",   ">intensity",
                                         "state", "since", "effect", "ended"};
    struct table *table = table_new(titles, 8);
    size_t index;
    json_t *fault;
    json_array_foreach(faults, index, fault)
    {
        char clock[16], intensity[32];
        const char *kind = member_text(fault, "kind");
        const char *state = member_text(fault, "state");
        const char *reason = member_text(fault, "reason");
        int number = fault_kind_of(kind);
        bool is_on = json_is_string(json_object_get(fault, "injected_at"));
        table_cell(table, INK_PLAIN, "%lld", member_whole(fault, "id"));
        const char *shape = member_text(fault, "shape");
        bool is_step = shape_of(shape) <= SHAPE_STEP;
        table_cell(table, INK_BOLD, "%s%s%s", kind, is_step ? "" : ", ", is_step ? "" : shape);
        table_cell(table, INK_PLAIN, "%s", member_text(fault, "node"));
        table_cell(table, INK_PLAIN, "%s",
                   number >= 0
                       ? intensity_text(&fault_infos[number], member_number(fault, "intensity"), intensity)
                       : "-");
        table_cell(table, ink_of_word(state), "%s", state);
        table_cell(table, INK_PLAIN, "%s", member_clock(fault, is_on ? "injected_at" : "asked_at", clock));
        effect_cell(table, fault);
        table_cell(table, INK_PLAIN, "%s%s%s", member_clock(fault, "ended_at", clock), *reason ? " " : "",
                   reason);
    }
    table_print(&table, stdout, 2);
}

int verb_faults(const struct verb *verb, int argc, char **argv)
{
    struct source source = {0};
    bool all = false, json = false;
    const struct flag flags[] = {{"all", 'a', FLAG_YES, &all, NULL, "those that have ended too"},
                                 {"json", 0, FLAG_YES, &json, NULL, "the API's JSON as it is"},
                                 SOURCE_URL_FLAG(&source),
                                 SOURCE_DB_FLAG(&source),
                                 {0}};
    int count;
    int code = flags_read(verb, flags, argc, argv, 0, 0, &count);
    if (code >= 0)
        return code;
    return source_show(&source, &(struct question){.kind = ASK_FAULTS, .active = !all}, json, "faults",
                       all ? "no faults" : "no faults are on; --all shows those that were", print_faults);
}

int verb_clear(const struct verb *verb, int argc, char **argv)
{
    struct source source = {0};
    bool json = false;
    const struct flag flags[] = {
        {"json", 0, FLAG_YES, &json, NULL, "the API's JSON as it is"}, SOURCE_URL_FLAG(&source), {0}};
    int count;
    char path[64] = "/v1/faults";
    int code = flags_read(verb, flags, argc, argv, 0, 1, &count);
    if (code >= 0)
        return code;
    unsigned long long id;
    if (count == 1 && !parse_id(argv[1], &id))
        return fail(EXIT_USAGE, "clear: '%s' is not the number of a fault; '%s faults' lists them", argv[1],
                    program_name());
    if (count == 1)
        snprintf(path, sizeof path, "/v1/faults/%llu", id);
    json_t *answer = NULL;
    code = source_call(&source, "DELETE", path, NULL, NULL, &answer);
    if (code == EXIT_DONE && json)
        print_json(answer);
    else if (code == EXIT_DONE) {
        long long cleared = member_whole(answer, "cleared");
        printf("  %lld fault%s cleared\n", cleared, cleared == 1 ? "" : "s");
    }
    json_decref(answer);
    return code;
}
