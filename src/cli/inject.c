/* Faults on demand: inject one, list them, clear them. */
#include "cli/cli.h"
#include "cli/fault_words.h"
#include "cli/show.h"
#include "cli/source.h"

#include "base/text.h"
#include "core/core.h"
#include "plane/faults.h"
#include "plane/shapes.h"
#include "policy/target.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TARGET_WORDS_MAX = 8 };

/* --- asking --------------------------------------------------------------------------------------------- */

/* What is to be injected, as it was asked for. */
struct wish {
    struct kind_word kind;
    char on[3 * NODE_NAME_SIZE]; /* "": nowhere, the control plane itself */
    const char *amount, *shape, *of;
    duration lease_ns, period_ns;
    bool alongside;
};

/* What the fault is in the end: of a composed one, what it is made of. */
static enum fault_kind kind_of_wish(const struct wish *wish)
{
    return wish->kind.kind >= 0 ? (enum fault_kind)wish->kind.kind
           : wish->of           ? (enum fault_kind)fault_kind_of(wish->of)
                                : composed_default((enum composed_fault)wish->kind.composed);
}

static void print_one(const json_t *fault)
{
    char intensity[INTENSITY_SIZE];
    const char *kind = member_text(fault, "kind"), *node = member_text(fault, "node");
    int index = fault_kind_of(kind);
    printf("  fault %lld: %s on %s", member_whole(fault, "id"), kind, *node ? node : "the control plane");
    if (index >= 0 && fault_infos[index].unit != UNIT_NONE)
        printf(", %s", intensity_text(&fault_infos[index], member_number(fault, "intensity"), intensity));
    if (shape_of(member_text(fault, "shape")) > SHAPE_STEP)
        printf(", %s", member_text(fault, "shape"));
    if (index >= 0)
        printf(": %s", fault_infos[index].sentence);
    printf("\n");
}

static void print_injected(const json_t *answer)
{
    const json_t *list = json_object_get(answer, "faults"), *first = list ? json_array_get(list, 0) : answer;
    size_t index;
    json_t *fault;
    if (!list)
        print_one(answer);
    json_array_foreach(list, index, fault)
    {
        print_one(fault);
    }
    if (!*member_text(first, "node"))
        printf("  it answers no more until that is over; '%s faults --all' shows it then\n", program_name());
    else if (json_array_size(list) > 1)
        printf("  '%s nodes' shows them bite, '%s incidents' what is done, '%s clear' ends them\n",
               program_name(), program_name(), program_name());
    else
        printf("  '%s nodes' shows it bite, '%s incidents' what is done, '%s clear %lld' ends it\n",
               program_name(), program_name(), program_name(), member_whole(first, "id"));
}

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

static int read_of(const struct wish *wish)
{
    struct kind_word of;
    if (!wish->of)
        return EXIT_DONE;
    if (wish->kind.composed < 0)
        return fail(EXIT_USAGE, "inject: --of belongs to dependency_sick and flapping");
    if (!read_kind_word("inject", wish->of, &of))
        return EXIT_USAGE;
    if (of.kind < 0)
        return fail(EXIT_USAGE, "inject: %s cannot be made of %s, which is made of another fault itself",
                    composed_infos[wish->kind.composed].name, wish->of);
    return EXIT_DONE;
}

/* The words behind the kind: `web-1`, or `2 of role:web`. */
static int read_target(struct wish *wish, char **words, int count)
{
    struct node_target target;
    struct text text = text_over(wish->on, sizeof wish->on);
    bool of_plane = wish->kind.kind >= 0 && fault_infos[wish->kind.kind].places == FAULT_AT_PLANE;
    for (int i = 0; i < count; i++)
        text_addf(&text, "%s%s", i ? " " : "", words[i]);
    if (of_plane && count > 0)
        return fail(EXIT_USAGE, "inject: %s strikes the control plane itself; leave '%s' out",
                    fault_kind_name((enum fault_kind)wish->kind.kind), wish->on);
    if (!of_plane && count == 0)
        return fail(EXIT_USAGE,
                    "inject: on which node? It is '%s inject KIND NODE'; '%s inject --list' names "
                    "the kinds",
                    program_name(), program_name());
    bool below = strncmp(wish->on, "below ", 6) == 0;
    if (text.cut || (count > 0 && !below && !node_target_parse(wish->on, &target)))
        return fail(EXIT_USAGE,
                    "inject: '%s' means no nodes; it is web-1, 'web-*', role:web, zone:a, 2 of role:web or "
                    "below web-1",
                    wish->on);
    return EXIT_DONE;
}

/* The body of the request, or NULL and the exit code. */
static json_t *order_json(const struct wish *wish, int *code)
{
    double intensity = (double)NAN;
    const char *kind = wish->kind.kind >= 0 ? fault_kind_name((enum fault_kind)wish->kind.kind)
                                            : composed_infos[wish->kind.composed].name;
    *code = read_of(wish);
    if (*code == EXIT_DONE && wish->amount)
        *code = read_intensity("inject", &fault_infos[kind_of_wish(wish)], wish->amount, &intensity);
    if (*code == EXIT_DONE && wish->shape)
        *code = read_shape(wish->shape);
    if (*code != EXIT_DONE)
        return NULL;
    json_t *order = json_pack("{s:s}", "kind", kind);
    bool is_name = text_is_name(wish->on, NODE_NAME_SIZE - 1);
    if (*wish->on)
        json_object_set_new(order, is_name ? "node" : "on", json_string(wish->on));
    if (wish->of)
        json_object_set_new(order, "of", json_string(wish->of));
    if (!isnan(intensity))
        json_object_set_new(order, "intensity", json_real(intensity));
    if (wish->lease_ns > 0)
        json_object_set_new(order, "lease_s", json_real(duration_seconds(wish->lease_ns)));
    if (wish->shape)
        json_object_set_new(order, "shape", json_string(wish->shape));
    if (wish->period_ns > 0)
        json_object_set_new(order, "period_s", json_real(duration_seconds(wish->period_ns)));
    if (wish->alongside)
        json_object_set_new(order, "alongside", json_true());
    return order;
}

static int inject(struct source *source, const struct wish *wish, bool json)
{
    int code;
    json_t *answer = NULL, *order = order_json(wish, &code);
    if (!order)
        return code;
    char *body = json_dumps(order, JSON_COMPACT);
    code = source_call(source, "POST", "/v1/faults", NULL, body, &answer);
    if (code == EXIT_DONE && json)
        print_json(answer);
    else if (code == EXIT_DONE)
        print_injected(answer);
    json_decref(answer);
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
         "how hard: 50%, 200ms, 2kB/s, or 0.2 in base units (see --list)"},
        {"lease", 'l', FLAG_DURATION, &wish.lease_ns, "TIME", "it ends by itself after this (60s)"},
        {"shape", 's', FLAG_TEXT, &wish.shape, "SHAPE", "step, ramp, spike, sawtooth, flapping, gray (step)"},
        {"period", 'p', FLAG_DURATION, &wish.period_ns, "TIME",
         "of the shapes spike, sawtooth and flapping (20s)"},
        {"of", 0, FLAG_TEXT, &wish.of, "KIND", "what dependency_sick and flapping are made of"},
        {"alongside", 0, FLAG_YES, &wish.alongside, NULL,
         "although another fault is on there, or was a moment ago"},
        {"list", 0, FLAG_YES, &list, NULL,
         "explain the kinds of faults, or KIND: what cures it, where it works"},
        {"json", 0, FLAG_YES, &json, NULL, "the API's JSON as it is"},
        SOURCE_URL_FLAG(&source),
        {0}};
    int count;
    int code = flags_read(verb, flags, argc, argv, 0, TARGET_WORDS_MAX, &count);
    if (code >= 0)
        return code;
    if (list)
        return count > 1 ? fail(EXIT_USAGE, "inject: --list explains all kinds, or one of them")
                         : list_kinds(count == 1 ? argv[1] : NULL, json);
    if (count == 0)
        return fail(EXIT_USAGE, "inject: it is '%s inject KIND NODE'; '%s inject --list' names the kinds",
                    program_name(), program_name());
    if (fault_kind_of(argv[1]) < 0 && count > 1 && fault_kind_of(argv[2]) >= 0)
        return fail(EXIT_USAGE, "inject: the fault comes before the node: '%s inject %s %s'", program_name(),
                    argv[2], argv[1]);
    if (!read_kind_word("inject", argv[1], &wish.kind))
        return EXIT_USAGE;
    if (wish.lease_ns > 0 && (wish.lease_ns < SECOND || wish.lease_ns > FAULT_LEASE_MAX_S * SECOND))
        return fail(EXIT_USAGE, "inject: --lease lies between 1s and %ds", FAULT_LEASE_MAX_S);
    code = read_target(&wish, argv + 2, count - 1);
    return code == EXIT_DONE ? inject(&source, &wish, json) : code;
}

/* --- showing -------------------------------------------------------------------------------------------- */

/* "cpu 3 % → 97 % → 4 %": before, while it was on, and when its removal was seen. */
static void effect_cell(struct table *table, const json_t *fault)
{
    char before[32], after[32], restored[32];
    const char *metric = member_text(fault, "metric"), *effect = member_text(fault, "effect");
    bool over = *member_text(fault, "ended_at") != '\0';
    const char *removal = over ? member_text(fault, "removal") : "";
    int index = metric_of(metric);
    double back = member_number(fault, "restored");
    if (strcmp(effect, "none") == 0)
        table_cell(table, INK_RED, "no effect");
    else if (strcmp(effect, "seen") != 0)
        table_cell(table, INK_DIM, "%s", *effect ? effect : "-");
    else if (index < 0)
        table_cell(table, INK_PLAIN, "seen%s", strcmp(removal, "seen") == 0 ? ", and its end" : "");
    else
        table_cell(table, INK_PLAIN, "%s %s → %s%s%s%s", metric_infos[index].short_name,
                   metric_text(metric, member_number(fault, "before"), before),
                   metric_text(metric, member_number(fault, "after"), after), isnan(back) ? "" : " → ",
                   isnan(back) ? "" : metric_text(metric, back, restored),
                   strcmp(removal, "none") == 0 ? ", not back" : "");
}

static void fault_row(struct table *table, const json_t *fault)
{
    char clock[16], intensity[INTENSITY_SIZE];
    const char *kind = member_text(fault, "kind"), *state = member_text(fault, "state");
    const char *reason = member_text(fault, "reason"), *node = member_text(fault, "node");
    const char *shape = member_text(fault, "shape");
    int number = fault_kind_of(kind);
    bool is_on = json_is_string(json_object_get(fault, "injected_at")),
         is_step = shape_of(shape) <= SHAPE_STEP;
    table_cell(table, INK_PLAIN, "%lld", member_whole(fault, "id"));
    table_cell(table, INK_BOLD, "%s%s%s", kind, is_step ? "" : ", ", is_step ? "" : shape);
    table_cell(table, INK_PLAIN, "%s", *node ? node : "-");
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

/* A fault that nobody could see proves nothing, whatever was or was not done afterwards. */
static void say_invalid(const json_t *fault)
{
    const char *metric = member_text(fault, "metric");
    if (strcmp(member_text(fault, "effect"), "none") != 0)
        return;
    printf("  fault %lld is invalid, no effect: ", member_whole(fault, "id"));
    if (*metric)
        printf("%s did not move; inject it harder, or longer\n", metric);
    else
        printf("nothing of it could be seen; inject it longer\n");
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
        fault_row(table, fault);
    }
    table_print(&table, stdout, 2);
    json_array_foreach(faults, index, fault)
    {
        say_invalid(fault);
    }
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
    bool one = count == 1 && strcmp(argv[1], "all") != 0;
    if (one && !parse_id(argv[1], &id))
        return fail(EXIT_USAGE,
                    "clear: '%s' is not the number of a fault; '%s faults' lists them, '%s clear' clears all",
                    argv[1], program_name(), program_name());
    if (one)
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
