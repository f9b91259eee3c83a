#include "cli/fault_words.h"

#include "cli/cli.h"
#include "cli/show.h"
#include "plane/faults.h"
#include "plane/shapes.h"

#include "base/check.h"
#include "base/text.h"
#include "core/fault.h"
#include "policy/quantity.h"

#include <string.h>

/* --- intensities ---------------------------------------------------------------------------------------- */

static void add_bandwidth(struct text *text, double bytes)
{
    if (bytes >= 1e9)
        text_addf(text, "%.3g GB/s", bytes / 1e9);
    else if (bytes >= 1e6)
        text_addf(text, "%.3g MB/s", bytes / 1e6);
    else if (bytes >= 1e4)
        text_addf(text, "%.3g kB/s", bytes / 1e3);
    else
        text_addf(text, "%.0f B/s", bytes);
}

const char *intensity_text(const struct fault_info *info, double intensity, char out[INTENSITY_SIZE])
{
    struct text text = text_over(out, INTENSITY_SIZE);
    if (info->unit == UNIT_RATIO)
        text_addf(&text, "%.0f %%", intensity * 100);
    else if (info->unit == UNIT_SECONDS)
        text_duration(&text, duration_from_seconds(intensity));
    else if (info->unit == UNIT_COUNT)
        text_addf(&text, "%.3g times", intensity);
    else if (info->unit == UNIT_BYTES)
        add_bandwidth(&text, intensity);
    else
        text_add(&text, "-");
    return out;
}

/* People write a link's speed as kB/s, policies write memory as KiB: here both are understood. */
static bool in_base(double number, const char *unit, enum metric_unit of, double *value)
{
    static const struct {
        const char *name;
        double bytes;
    } decimal[] = {{"kB", 1e3}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}};
    char name[16];
    if (!text_copy(name, sizeof name, unit))
        return false;
    size_t length = strlen(name);
    if (of == UNIT_BYTES && length >= 2 && strcmp(name + length - 2, "/s") == 0)
        name[length - 2] = '\0';
    for (size_t i = 0; of == UNIT_BYTES && i < COUNT_OF(decimal); i++)
        if (strcmp(name, decimal[i].name) == 0) {
            *value = number * decimal[i].bytes;
            return true;
        }
    return quantity_in_base(number, name, of, value);
}

int read_intensity(const char *verb, const struct fault_info *info, const char *amount, double *intensity)
{
    const char *unit = amount;
    const char *units = info->unit == UNIT_BYTES ? "B/s, kB/s or MB/s" : quantity_unit_names(info->unit);
    double number;
    char least[INTENSITY_SIZE], most[INTENSITY_SIZE];
    if (info->unit == UNIT_NONE)
        return fail(EXIT_USAGE, "%s: %s is there or it is not; leave --intensity out", verb, info->name);
    bool good = quantity_number(&unit, info->least < 0, &number);
    while (good && *unit == ' ')
        unit++;
    if (!good || !in_base(number, unit, info->unit, intensity))
        return fail(EXIT_USAGE, "%s: --intensity of %s wants a number%s%s, not '%s'", verb, info->name,
                    *units ? " and perhaps its unit, " : "", units, amount);
    if (*intensity < info->least || *intensity > info->most)
        return fail(EXIT_USAGE, "%s: the intensity of %s lies between %s and %s, not at %s", verb, info->name,
                    intensity_text(info, info->least, least), intensity_text(info, info->most, most), amount);
    return EXIT_DONE;
}

const char *remedies_text(uint32_t mask, char out[REMEDIES_SIZE])
{
    struct text text = text_over(out, REMEDIES_SIZE);
    for (int remedy = 0; remedy < REMEDY_COUNT; remedy++) {
        if (mask & (1u << remedy))
            text_addf(&text, "%s%s", text.length ? ", " : "", remedy_name((enum remedy)remedy));
    }
    return out;
}

/* --- kinds ---------------------------------------------------------------------------------------------- */

bool read_kind_word(const char *verb, const char *word, struct kind_word *out)
{
    size_t count;
    const char *const *kinds = fault_kind_names(&count);
    const char *names[FAULT_COUNT + COMPOSED_FAULT_COUNT];
    memcpy(names, kinds, count * sizeof names[0]);
    *out = (struct kind_word){.kind = fault_kind_of(word), .composed = -1};
    for (int i = 0; i < COMPOSED_FAULT_COUNT; i++) {
        names[count + (size_t)i] = composed_infos[i].name;
        if (strcmp(word, composed_infos[i].name) == 0)
            out->composed = i;
    }
    if (out->kind >= 0 || out->composed >= 0)
        return true;
    const char *near = text_nearest(word, names, COUNT_OF(names));
    if (near)
        fail(EXIT_USAGE, "%s: no fault is called '%s'; did you mean '%s'?", verb, word, near);
    else
        fail(EXIT_USAGE, "%s: no fault is called '%s'; '%s inject --list' names them", verb, word,
             program_name());
    return false;
}

static const char *places_text(uint32_t places)
{
    bool synthetic = places & FAULT_AT_SYNTHETIC, program = places & FAULT_AT_PROGRAM;
    if (places == FAULT_AT_PLANE)
        return "the control plane itself";
    if (program)
        return synthetic ? "every node" : "every node with real processes";
    return synthetic ? "nodes with the built-in service or synthetic ones"
                     : "nodes with the built-in service";
}

enum { LIST_COLUMN = 22 };

/* "  cpu_spike           the service burns ..." */
static void print_head(const char *name, const char *sentence)
{
    printf("  %s%-*s%s", ink_on(stdout, INK_BOLD), LIST_COLUMN - 2, name, ink_off(stdout, INK_BOLD));
    print_wrapped(stdout, LIST_COLUMN, sentence);
}

static void print_below(const char *sentence)
{
    printf("%*s", LIST_COLUMN, "");
    print_wrapped(stdout, LIST_COLUMN, sentence);
}

static void print_metric_and_cures(const struct fault_info *info)
{
    char line[512], remedies[REMEDIES_SIZE];
    struct text text = text_over(line, sizeof line);
    if (info->metric == METRIC_NONE)
        text_add(&text, "moves no metric");
    else
        text_addf(&text, "moves %s", metric_name(info->metric));
    if (info->cures)
        text_addf(&text, "; cured by %s", remedies_text(info->cures, remedies));
    else
        text_add(&text, "; no remedy is right: it ends by itself");
    if (info->masks)
        text_addf(&text, "; only masked by %s", remedies_text(info->masks, remedies));
    print_below(line);
}

static void print_range(const struct fault_info *info)
{
    char line[256], usual[INTENSITY_SIZE], least[INTENSITY_SIZE], most[INTENSITY_SIZE];
    struct text text = text_over(line, sizeof line);
    text_addf(&text, "on %s", places_text(info->places));
    if (info->unit != UNIT_NONE)
        text_addf(&text, "; intensity %s, from %s to %s", intensity_text(info, info->intensity, usual),
                  intensity_text(info, info->least, least), intensity_text(info, info->most, most));
    if (info->places == FAULT_AT_PLANE)
        text_addf(&text, "; for %d s unless --lease says another time, at most %d s", FAULT_STALL_DEFAULT_S,
                  FAULT_STALL_MAX_S);
    print_below(line);
}

static void print_kind(enum fault_kind kind)
{
    const struct fault_info *info = &fault_infos[kind];
    print_head(info->name, info->sentence);
    print_metric_and_cures(info);
    print_range(info);
}

static void print_composed(enum composed_fault composed)
{
    char line[128];
    print_head(composed_infos[composed].name, composed_infos[composed].sentence);
    snprintf(line, sizeof line, "made of %s, unless --of says another kind; what cures that kind cures it",
             fault_kind_name(composed_default(composed)));
    print_below(line);
}

/* What is left to say of one: its shapes, and how to ask for it. */
static void print_more(enum fault_kind kind)
{
    char line[256];
    const struct fault_info *info = &fault_infos[kind];
    struct text text = text_over(line, sizeof line);
    bool of_plane = info->places == FAULT_AT_PLANE;
    text_add(&text, "shapes: step");
    for (int shape = SHAPE_STEP + 1; shape < SHAPE_COUNT && !of_plane; shape++)
        if (fault_shape_fits(kind, (enum shape)shape, MINUTE, SECOND))
            text_addf(&text, ", %s", shape_name((enum shape)shape));
    print_below(line);
    printf("%*s%s inject %s%s\n", LIST_COLUMN, "", program_name(), info->name,
           of_plane ? " --lease 8s" : " web-1 --lease 60s");
}

static int print_json_of(const char *word)
{
    json_t *all = json_object(), *kinds = shape_fault_kinds(), *composed = shape_composed_kinds();
    json_t *lists[] = {kinds, composed};
    for (size_t i = 0; word && i < COUNT_OF(lists); i++)
        for (size_t k = json_array_size(lists[i]); k-- > 0;)
            if (strcmp(member_text(json_array_get(lists[i], k), "kind"), word) != 0)
                json_array_remove(lists[i], k);
    json_object_set_new(all, "kinds", kinds);
    json_object_set_new(all, "composed", composed);
    print_json(all);
    json_decref(all);
    return EXIT_DONE;
}

int list_kinds(const char *word, bool json)
{
    struct kind_word one = {.kind = -1, .composed = -1};
    if (word && !read_kind_word("inject", word, &one))
        return EXIT_USAGE;
    if (json)
        return print_json_of(word);
    for (int kind = 0; kind < FAULT_COUNT; kind++)
        if (!word || kind == one.kind)
            print_kind((enum fault_kind)kind);
    for (int composed = 0; composed < COMPOSED_FAULT_COUNT; composed++)
        if (!word || composed == one.composed)
            print_composed((enum composed_fault)composed);
    if (one.kind >= 0)
        print_more((enum fault_kind)one.kind);
    if (one.composed >= 0)
        printf("%*s%s inject %s web-1 --of network_delay%s\n", LIST_COLUMN, "", program_name(),
               composed_infos[one.composed].name, one.composed == COMPOSED_FLAPPING ? " --period 20s" : "");
    return EXIT_DONE;
}
