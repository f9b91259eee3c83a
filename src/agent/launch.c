#include "agent/launch.h"

#include "agent/agent.h"
#include "base/check.h"
#include "base/text.h"
#include "inject/preload_image.h"
#include "inject/vitals.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    COMMAND_SIZE = 4096,
    FOLDER_SIZE = 4096,
    ARGUMENTS_MAX = 24 + 2 * AGENT_CALLS_MAX,
    WORD_SIZE = 64,
    LOG_BYTES_MAX = 1 << 20
};

#define COMMAND_VARIABLE "HOMEOSTAT_COMMAND"
#define LIBRARY_VARIABLE "LD_PRELOAD"

static int log_open(const char *path)
{
    struct stat status;
    int fresh = stat(path, &status) == 0 && status.st_size > LOG_BYTES_MAX ? O_TRUNC : 0;
    return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | fresh, 0644);
}

static int start(const struct launch *launch, struct child_options *options, struct child *child)
{
    char id[24];
    snprintf(id, sizeof id, "%" PRIu64, launch->command);
    if (launch->command)
        setenv(COMMAND_VARIABLE, id, 1);
    else
        unsetenv(COMMAND_VARIABLE); /* of whoever started us */
    options->log_fd = log_open(launch->options->log_path);
    options->died = launch->died;
    options->context = launch->context;
    int error = child_start(child, launch->base, options);
    if (options->log_fd >= 0)
        close(options->log_fd);
    unsetenv(COMMAND_VARIABLE);
    return error;
}

/* --- a program of one's own ----------------------------------------------------------------------------- */

/* As the program will see it from wherever it goes; as it was given if it is not there. */
static void absolute(const char *path, char out[FOLDER_SIZE])
{
    if (!realpath(path, out))
        text_copy(out, FOLDER_SIZE, path);
}

/* Its command with {port}, {data}, {scratch} and {name} replaced, behind `exec` so that the shell does not
 * stay. */
static bool own_command(const struct launch *launch, char *out, size_t size)
{
    const struct supervisor_options *options = launch->options;
    char port[16], data[FOLDER_SIZE], scratch[FOLDER_SIZE], path[FOLDER_SIZE];
    snprintf(port, sizeof port, "%d", options->port);
    absolute(launch->standby ? options->standby_folder : options->data_folder, data);
    snprintf(path, sizeof path, "%s/scratch", options->agent->folder);
    absolute(path, scratch);
    const struct {
        const char *key, *value;
    } places[] = {
        {"{port}", port}, {"{data}", data}, {"{scratch}", scratch}, {"{name}", options->agent->name}};
    struct text text = text_over(out, size);
    text_add(&text, "exec ");
    for (const char *rest = options->agent->exec; *rest;) {
        size_t i = 0;
        while (i < COUNT_OF(places) && strncmp(rest, places[i].key, strlen(places[i].key)) != 0)
            i++;
        if (i < COUNT_OF(places)) {
            text_add(&text, places[i].value);
            rest += strlen(places[i].key);
        } else {
            text_add(&text, (const char[]){*rest++, '\0'});
        }
    }
    return !text.cut;
}

/* What the preload library wants to know. `before` is what was preloaded anyway, or NULL. */
static int tell_library(const struct supervisor_options *options, const char *before)
{
    char data[FOLDER_SIZE], standby[FOLDER_SIZE], folders[2 * FOLDER_SIZE], number[16];
    char library[FOLDER_SIZE], preload[2 * FOLDER_SIZE];
    absolute(options->data_folder, data);
    absolute(options->standby_folder, standby);
    absolute(options->preload_path, library);
    snprintf(folders, sizeof folders, "%s:%s", data, standby);
    int length =
        snprintf(preload, sizeof preload, "%s%s%s", library, before ? ":" : "", before ? before : "");
    if (length >= (int)sizeof preload)
        return -E2BIG;
    setenv(PRELOAD_DATA, folders, 1);
    snprintf(number, sizeof number, "%d", options->page_fd);
    setenv(PRELOAD_PAGE, number, 1);
    snprintf(number, sizeof number, "%d", options->vitals_fd);
    setenv(PRELOAD_VITALS, number, 1);
    return setenv(LIBRARY_VARIABLE, preload, 1) < 0 ? -errno : 0;
}

static void untell_library(const char *before)
{
    unsetenv(PRELOAD_DATA);
    unsetenv(PRELOAD_PAGE);
    unsetenv(PRELOAD_VITALS);
    if (before)
        setenv(LIBRARY_VARIABLE, before, 1);
    else
        unsetenv(LIBRARY_VARIABLE);
}

static int launch_own(const struct launch *launch, struct child *child)
{
    const struct supervisor_options *my = launch->options;
    char command[COMMAND_SIZE];
    if (!own_command(launch, command, sizeof command))
        return -E2BIG;
    char *argv[] = {"/bin/sh", "-c", command, NULL};
    struct child_options options = {
        .argv = argv, .keep = (const int[]){my->page_fd, my->vitals_fd}, .keep_count = 2};
    if (!my->preload_path) {
        options.keep_count = 0;
        return start(launch, &options, child);
    }
    const char *preloaded = getenv(LIBRARY_VARIABLE);
    char *before = preloaded ? strdup(preloaded) : NULL; /* setenv() may free what getenv() gave */
    if (preloaded && !before)
        return -ENOMEM;
    int error = tell_library(my, before);
    error = error ? error : start(launch, &options, child);
    untell_library(before);
    free(before);
    return error;
}

/* --- the built-in service ------------------------------------------------------------------------------- */

struct words {
    const char *word[ARGUMENTS_MAX + 1];
    size_t count;
    char listen[WORD_SIZE], page[WORD_SIZE], vitals[WORD_SIZE], capacity[WORD_SIZE], primary[WORD_SIZE];
};

static void add(struct words *words, const char *flag, const char *value)
{
    CHECK(words->count + 2 <= ARGUMENTS_MAX);
    words->word[words->count++] = flag;
    words->word[words->count++] = value;
}

/* What both instances have in common. */
static void add_common(struct words *words, const struct supervisor_options *my, int port)
{
    snprintf(words->listen, WORD_SIZE, "127.0.0.1:%d", port);
    snprintf(words->page, WORD_SIZE, "%d", my->page_fd);
    snprintf(words->vitals, WORD_SIZE, "%d", my->vitals_fd);
    snprintf(words->capacity, WORD_SIZE, "%g", my->agent->capacity_per_s);
    add(words, "homeostat", "service");
    add(words, "--name", my->agent->name);
    add(words, "--listen", words->listen);
    add(words, "--page-fd", words->page);
    add(words, "--vitals-fd", words->vitals);
    if (my->agent->capacity_per_s > 0)
        add(words, "--capacity", words->capacity);
    if (my->config_path)
        add(words, "--config", my->config_path);
    for (size_t i = 0; i < my->agent->calls_count; i++)
        add(words, "--upstream", my->agent->calls[i].url);
}

static int launch_words(const struct launch *launch, const struct words *words, struct child *child)
{
    const struct supervisor_options *my = launch->options;
    char *argv[ARGUMENTS_MAX + 1];
    memcpy(argv, words->word,
           sizeof argv); /* execv takes char *const[] for history's sake, changes nothing */
    argv[words->count] = NULL;
    struct child_options options = {.path = my->binary,
                                    .argv = argv,
                                    .keep = (const int[]){my->page_fd, my->vitals_fd},
                                    .keep_count = 2,
                                    .held = SIGHUP}; /* or a reload at its very start would kill it */
    return start(launch, &options, child);
}

static int launch_built_in(const struct launch *launch, struct child *child)
{
    const struct supervisor_options *my = launch->options;
    struct words words = {0};
    add_common(&words, my, my->port);
    add(&words, "--data", my->data_folder);
    add(&words, "--standby", my->standby_folder);
    add(&words, "--folder", launch->standby ? "standby" : "primary");
    return launch_words(launch, &words, child);
}

int launch_service(const struct launch *launch, struct child *child)
{
    /* Its predecessor may have died in the middle of a write. */
    if (launch->options->vitals)
        atomic_store(&launch->options->vitals->storage_since, 0);
    return launch->options->agent->exec ? launch_own(launch, child) : launch_built_in(launch, child);
}

int launch_second(const struct launch *launch, int port, struct child *child)
{
    struct words words = {0};
    add_common(&words, launch->options, port);
    snprintf(words.primary, WORD_SIZE, "http://127.0.0.1:%d", launch->options->port);
    add(&words, "--primary", words.primary);
    return launch_words(launch, &words, child);
}
