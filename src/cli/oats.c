/* oats: many scenarios laid out by an orthogonal array, run, and set side by side. */
#include "cli/oats.h"

#include "cli/cli.h"
#include "cli/policy_test.h"

#include "base/check.h"
#include "base/text.h"
#include "policy/policy_file.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- reading -------------------------------------------------------------------------------------------- */

static int after_reading(int result, const struct complaints *complaints, const char *path)
{
    policy_print_complaints(complaints, path);
    if (result < 0)
        return fail(EXIT_ENVIRONMENT, "%s: %s", path, strerror(-result));
    return result == 0 ? EXIT_DONE : EXIT_USAGE;
}

/* "first" of oats/first.yaml; a name that makes no good folder is "suite". */
static void name_of(const char *path, char *out, size_t size)
{
    const char *slash = strrchr(path, '/');
    if (!text_copy(out, size, slash ? slash + 1 : path))
        out[0] = '\0';
    char *ending = strrchr(out, '.');
    if (ending)
        *ending = '\0';
    if (!text_is_name(out, size - 1))
        text_copy(out, size, "suite");
}

static int read_suite(struct oats *oats)
{
    struct policy *policy = oats->policy_path ? calloc(1, sizeof *policy) : NULL;
    struct complaints *complaints = calloc(1, sizeof *complaints);
    CHECK(complaints && (policy || !oats->policy_path));
    int code = EXIT_DONE;
    if (policy)
        code = after_reading(policy_read_file(oats->policy_path, policy, complaints), complaints,
                             oats->policy_path);
    if (code == EXIT_DONE)
        code = after_reading(suite_read_file(oats->path, policy, oats->policy_path, &oats->suite, complaints),
                             complaints, oats->path);
    free(policy);
    free(complaints);
    name_of(oats->path, oats->name, sizeof oats->name);
    if (code == EXIT_DONE)
        oats->seed = oats->seed ? oats->seed : oats->suite->seed;
    return code;
}

/* --- the rows as files ---------------------------------------------------------------------------------- */

bool oats_row_path(const struct oats *oats, uint32_t row, char out[OATS_PATH_SIZE])
{
    int digits = oats->suite->array.rows < 100 ? 2 : 4;
    int length = snprintf(out, OATS_PATH_SIZE, "%s/%0*u.yaml", oats->folder, digits, row + 1);
    return length >= 0 && length < OATS_PATH_SIZE;
}

/* The way from one folder to a file or folder: ../../../policies/default.yaml. Both must be there. */
static bool way_from(const char *folder, const char *to, char out[PATH_MAX])
{
    char from_real[PATH_MAX], to_real[PATH_MAX];
    if (!realpath(folder, from_real) || !realpath(*to ? to : ".", to_real))
        return false;
    size_t common = 0, shared = 0; /* `shared` ends at a slash, or at an end of both */
    for (; from_real[common] && from_real[common] == to_real[common]; common++) {
        if (from_real[common] == '/')
            shared = common;
    }
    bool from_ends = !from_real[common], to_ends = !to_real[common];
    if ((from_ends || from_real[common] == '/') && (to_ends || to_real[common] == '/'))
        shared = common;
    struct text text = text_over(out, PATH_MAX);
    for (const char *at = from_real + shared; *at; at++) {
        if (*at == '/' && at[1])
            text_add(&text, *out ? "/.." : "..");
    }
    const char *rest = to_real + shared + (to_real[shared] == '/');
    if (*rest)
        text_addf(&text, "%s%s", *out ? "/" : "", rest);
    return !text.cut;
}

static int write_file(const char *path, const char *bytes, size_t length)
{
    FILE *file = fopen(path, "w");
    bool written = file && fwrite(bytes, 1, length, file) == length;
    if (file && fclose(file) != 0)
        written = false;
    return written ? EXIT_DONE : fail(EXIT_ENVIRONMENT, "%s: %s", path, strerror(errno));
}

/* What an earlier, larger form of the suite has left. */
static void remove_others(const struct oats *oats)
{
    char path[OATS_PATH_SIZE];
    for (uint32_t row = oats->suite->array.rows; oats_row_path(oats, row, path) && unlink(path) == 0; row++)
        ;
}

static int write_rows(struct oats *oats)
{
    char relative[128], path[OATS_PATH_SIZE], policy[PATH_MAX] = "", base[PATH_MAX];
    snprintf(relative, sizeof relative, "lab/oats/%s", oats->name);
    if (!home_path(oats->folder, sizeof oats->folder, relative) || !oats_row_path(oats, 0, path))
        return fail(EXIT_ENVIRONMENT, "the path of the folder %s is too long", relative);
    int code = make_folders_above(path);
    if (code != EXIT_DONE)
        return code;
    const char *policy_path = oats->suite->policy_path;
    if (!way_from(oats->folder, oats->suite->folder, base) ||
        (*policy_path && !way_from(oats->folder, policy_path, policy)))
        return fail(EXIT_ENVIRONMENT, "no way from %s to %s: %s", oats->folder,
                    *policy_path ? policy_path : oats->suite->folder, strerror(errno));
    struct row_options options = {
        .name = oats->path, .policy_path = policy, .to_base = base, .seed = oats->seed};
    char *bytes = malloc(SUITE_ROW_BYTES);
    CHECK(bytes);
    for (uint32_t row = 0; code == EXIT_DONE && row < oats->suite->array.rows; row++) {
        struct text text = text_over(bytes, SUITE_ROW_BYTES);
        row_write(&text, oats->suite, row, &options, NULL);
        code = !oats_row_path(oats, row, path) || text.cut
                   ? fail(EXIT_ENVIRONMENT, "row %u does not fit", row + 1)
                   : write_file(path, bytes, text.length);
    }
    free(bytes);
    remove_others(oats);
    return code;
}

/* --- running -------------------------------------------------------------------------------------------- */

static void show_progress(const struct oats *oats, uint32_t row)
{
    char bytes[256];
    struct text text = text_over(bytes, sizeof bytes);
    row_write_levels(&text, oats->suite, row);
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\r  row %u of %u: %s\033[K", row + 1, oats->suite->array.rows, bytes);
    else if (oats->live)
        fprintf(stderr, "row %u of %u: %s\n", row + 1, oats->suite->array.rows, bytes);
}

/* Reads the file that was written: what is run is what people can run alone. */
static int run_row(struct oats *oats, uint32_t row, struct scenario *scenario, struct complaints *complaints)
{
    char path[OATS_PATH_SIZE];
    CHECK(oats_row_path(oats, row, path));
    int code = after_reading(scenario_read_file(path, scenario, complaints), complaints, path);
    if (code != EXIT_DONE)
        return code;
    show_progress(oats, row);
    if (oats->live)
        oats_run_live(oats, row, scenario, path, &oats->trials[row]);
    else
        trial_run(&oats->trials[row], oats->suite, row, scenario);
    return EXIT_DONE;
}

static int run_rows(struct oats *oats)
{
    struct scenario *scenario = calloc(1, sizeof *scenario);
    struct complaints *complaints = calloc(1, sizeof *complaints);
    oats->trials = calloc(oats->suite->array.rows, sizeof *oats->trials);
    CHECK(scenario && complaints && oats->trials);
    int code = EXIT_DONE;
    for (uint32_t row = 0; code == EXIT_DONE && row < oats->suite->array.rows; row++)
        code = run_row(oats, row, scenario, complaints);
    if (isatty(STDERR_FILENO))
        fputs("\r\033[K", stderr);
    free(scenario);
    free(complaints);
    return code;
}

/* Safety first, as with one scenario. */
static int verdict_on(const struct oats *oats)
{
    uint32_t safety = 0, liveness = 0, ran = 0, ok = 0;
    for (uint32_t row = 0; row < oats->suite->array.rows; row++) {
        const struct trial *trial = &oats->trials[row];
        safety += trial->safety;
        liveness += trial->liveness;
        ran += trial->ran;
        ok += trial->ok;
    }
    if (safety > 0)
        return EXIT_SAFETY;
    if (liveness > 0)
        return EXIT_LIVENESS;
    if (ran < oats->suite->array.rows)
        return EXIT_ENVIRONMENT;
    return ok == oats->suite->array.rows ? EXIT_DONE : EXIT_NOT_SO;
}

static int run(struct oats *oats, bool json)
{
    int code = read_suite(oats);
    if (code == EXIT_DONE)
        code = write_rows(oats);
    if (code == EXIT_DONE)
        code = run_rows(oats);
    if (code != EXIT_DONE)
        return code;
    if (json)
        oats_print_json(oats);
    else
        oats_print(oats);
    return verdict_on(oats);
}

static int show(struct oats *oats, bool json)
{
    int code = read_suite(oats);
    if (code == EXIT_DONE && json)
        oats_print_json(oats);
    else if (code == EXIT_DONE)
        oats_print(oats);
    return code;
}

static int check(struct oats *oats)
{
    int code = read_suite(oats);
    if (code == EXIT_DONE)
        printf("%s is in order: %u factors, %u rows\n", oats->path, oats->suite->factor_count,
               oats->suite->array.rows);
    return code;
}

static int unknown_word(const char *word)
{
    static const char *const words[] = {"run", "show", "check"};
    const char *near = text_nearest(word, words, COUNT_OF(words));
    return fail(EXIT_USAGE, "oats: no '%s'; %s%s%s", word,
                near ? "did you mean '" : "it is run, show or check", near ? near : "", near ? "'?" : "");
}

int verb_oats(const struct verb *verb, int argc, char **argv)
{
    struct oats oats = {0};
    bool json = false;
    int seed = 0, count;
    const struct flag flags[] = {
        {"seed", 's', FLAG_WHOLE, &seed, "N", "another course of events in every row (the suite's)"},
        {"policy", 0, FLAG_TEXT, &oats.policy_path, "FILE", "(the suite's, else policies/default.yaml)"},
        {"live", 0, FLAG_YES, &oats.live, NULL, "run: row by row in a live lab, instead of in virtual time"},
        {"synthetic", 0, FLAG_YES, &oats.synthetic, NULL,
         "with --live: on synthetic nodes, which know every fault"},
        {"json", 0, FLAG_YES, &json, NULL, "rows, proof and main effects as one JSON object"},
        {0}};
    int code = flags_read(verb, flags, argc, argv, 2, 2, &count);
    if (code >= 0)
        return code;
    if (oats.synthetic && !oats.live)
        return fail(EXIT_USAGE, "oats: --synthetic belongs to --live; without, all nodes are simulated");
    oats.path = argv[2];
    oats.seed = (uint64_t)seed;
    if (strcmp(argv[1], "run") == 0)
        code = run(&oats, json);
    else if (strcmp(argv[1], "show") == 0)
        code = show(&oats, json);
    else if (strcmp(argv[1], "check") == 0)
        code = check(&oats);
    else
        code = unknown_word(argv[1]);
    suite_free(&oats.suite);
    free(oats.trials);
    return code;
}
