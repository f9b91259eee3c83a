/* Flags of a verb: read, and explained, from one table. */
#include "cli/cli.h"

#include "base/check.h"
#include "base/text.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char *program_name(void)
{
    if (access("run", X_OK) == 0 && access("meson.build", R_OK) == 0)
        return "./run";
    return program_invocation_name;
}

int fail(int code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fflush(stdout);
    fputs("homeostat: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    return code;
}

bool parse_id(const char *text, unsigned long long *id)
{
    if (*text < '0' || *text > '9')
        return false;
    char *end;
    errno = 0;
    *id = strtoull(text, &end, 10);
    return errno == 0 && *end == '\0' && *id > 0;
}

bool home_path(char *out, size_t size, const char *relative)
{
    const char *home = getenv("HOMEOSTAT_HOME");
    char home_real[4096];
    char here_real[4096];
    /* Below where we stand, a short relative path reads better, and hints with it can be copied as they are.
     */
    bool here = !home || *home == '\0' || strcmp(home, ".") == 0 ||
                (realpath(home, home_real) && realpath(".", here_real) && strcmp(home_real, here_real) == 0);
    int length = here ? snprintf(out, size, "%s", relative) : snprintf(out, size, "%s/%s", home, relative);
    return length >= 0 && (size_t)length < size;
}

int make_folders_above(const char *path)
{
    char folder[4096];
    if (!text_copy(folder, sizeof folder, path))
        return fail(EXIT_ENVIRONMENT, "the path %s is too long", path);
    for (char *slash = strchr(folder + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(folder, 0777) != 0 && errno != EEXIST)
            return fail(EXIT_ENVIRONMENT, "the folder %s cannot be made: %s", folder, strerror(errno));
        *slash = '/';
    }
    return EXIT_DONE;
}

static size_t flags_count(const struct flag *flags)
{
    size_t count = 0;
    while (flags[count].name)
        count++;
    CHECK(count <= FLAGS_MAX);
    return count;
}

static void print_help(const struct verb *verb, const struct flag *flags)
{
    const char *me = program_name();
    printf("%s: %s\n\n  %s %s%s%s%s\n", verb->name, verb->line, me, verb->name, *verb->usage ? " " : "",
           verb->usage, flags[0].name ? " [options]" : "");
    if (flags[0].name)
        printf("\n");
    for (const struct flag *flag = flags; flag->name; flag++) {
        char head[80];
        char letter[8] = "    ";
        if (flag->letter)
            snprintf(letter, sizeof letter, "-%c, ", flag->letter);
        snprintf(head, sizeof head, "%s--%s%s%s", letter, flag->name, flag->value ? " " : "",
                 flag->value ? flag->value : "");
        printf("  %-26s %s\n", head, flag->line);
    }
    printf("\nExample\n  %s %s%s%s\n", me, verb->name, *verb->example ? " " : "", verb->example);
}

static bool flag_take(const struct flag *flag, const char *value)
{
    char *end;
    errno = 0;
    switch (flag->type) {
    case FLAG_YES:
        *(bool *)flag->to = true;
        return true;
    case FLAG_TEXT:
        *(const char **)flag->to = value;
        return *value != '\0';
    case FLAG_WHOLE: {
        long number = strtol(value, &end, 10);
        *(int *)flag->to = (int)number;
        return errno == 0 && end != value && *end == '\0' && number >= 0 && number <= 1000000000;
    }
    case FLAG_NUMBER: {
        double number = strtod(value, &end);
        *(double *)flag->to = number;
        return errno == 0 && end != value && *end == '\0' && isfinite(number);
    }
    case FLAG_DURATION:
        return text_parse_duration(value, flag->to);
    case FLAG_LIST: {
        struct flag_list *list = flag->to;
        if (list->count == FLAG_LIST_MAX || *value == '\0')
            return false;
        list->items[list->count++] = value;
        return true;
    }
    }
    return false;
}

static const char *flag_wants(const struct flag *flag)
{
    switch (flag->type) {
    case FLAG_WHOLE:
        return "a whole number";
    case FLAG_NUMBER:
        return "a number";
    case FLAG_DURATION:
        return "a duration such as 500ms, 3s or 10m";
    case FLAG_LIST:
        return "a value, and at most 8 of them";
    default:
        return "a value";
    }
}

static int unknown_flag(const struct verb *verb, const struct flag *flags, const char *given)
{
    const char *names[FLAGS_MAX + 1];
    size_t count = flags_count(flags);
    for (size_t i = 0; i < count; i++)
        names[i] = flags[i].name;
    names[count] = "help";
    char name[64];
    text_copy(name, sizeof name, given + strspn(given, "-"));
    name[strcspn(name, "=")] = '\0';
    const char *near = text_nearest(name, names, count + 1);
    if (near)
        return fail(EXIT_USAGE, "%s: no option '%s'; did you mean '--%s'?", verb->name, given, near);
    return fail(EXIT_USAGE, "%s: no option '%s'; '%s %s --help' names them", verb->name, given,
                program_name(), verb->name);
}

static int wrong_operands(const struct verb *verb, bool few)
{
    return fail(EXIT_USAGE, "%s: too %s arguments; it is '%s %s%s%s', see '%s %s --help'", verb->name,
                few ? "few" : "many", program_name(), verb->name, *verb->usage ? " " : "", verb->usage,
                program_name(), verb->name);
}

int flags_read(const struct verb *verb, const struct flag *flags, int argc, char **argv, int least, int most,
               int *count)
{
    struct option options[FLAGS_MAX + 2] = {0};
    char letters[2 * FLAGS_MAX + 4] = ":h";
    size_t flag_count = flags_count(flags);
    size_t at = strlen(letters);
    for (size_t i = 0; i < flag_count; i++) {
        int has_value = flags[i].type == FLAG_YES ? no_argument : required_argument;
        options[i] = (struct option){flags[i].name, has_value, NULL, 256 + (int)i};
        if (flags[i].letter) {
            letters[at++] = flags[i].letter;
            if (has_value == required_argument)
                letters[at++] = ':';
        }
    }
    letters[at] = '\0';
    options[flag_count] = (struct option){"help", no_argument, NULL, 'h'};

    opterr = 0;
    optind = 0;
    for (;;) {
        int found = getopt_long(argc, argv, letters, options, NULL);
        if (found < 0)
            break;
        if (found == 'h') {
            print_help(verb, flags);
            return EXIT_DONE;
        }
        char short_given[] = {'-', (char)optopt, '\0'};
        const char *given = optopt > 0 && optopt < 256 ? short_given : argv[optind - 1];
        if (found == '?')
            return unknown_flag(verb, flags, given);
        if (found == ':')
            return fail(EXIT_USAGE, "%s: '%s' wants a value", verb->name, given);
        const struct flag *flag = NULL;
        for (size_t i = 0; i < flag_count; i++) {
            if (found == 256 + (int)i || (flags[i].letter && found == flags[i].letter))
                flag = &flags[i];
        }
        CHECK(flag);
        if (!flag_take(flag, optarg))
            return fail(EXIT_USAGE, "%s: --%s wants %s, not '%s'", verb->name, flag->name, flag_wants(flag),
                        optarg);
    }
    *count = argc - optind;
    for (int i = 0; i < *count; i++)
        argv[1 + i] = argv[optind + i];
    if (*count < least || *count > most)
        return wrong_operands(verb, *count < least);
    return -1;
}
