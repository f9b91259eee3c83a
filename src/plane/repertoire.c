/* The folder of scenarios. */
#include "plane/play.h"

#include "base/check.h"
#include "base/text.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char suffix[] = ".yaml";

static int is_scenario(const struct dirent *entry)
{
    size_t length = strlen(entry->d_name), tail = sizeof suffix - 1;
    return length > tail && length < PLAY_NAME_SIZE && strcmp(entry->d_name + length - tail, suffix) == 0;
}

static bool path_of(const struct repertoire *repertoire, const char *file, char *out, size_t size)
{
    return snprintf(out, size, "%s/%s", repertoire->folder, file) < (int)size;
}

/* Another number when a file has come, gone or changed. */
static uint64_t look_at(const struct repertoire *repertoire, struct dirent **files, int count)
{
    uint64_t seen = (uint64_t)count + 1;
    for (int i = 0; i < count; i++) {
        char path[sizeof repertoire->folder + PLAY_NAME_SIZE];
        struct stat status;
        if (path_of(repertoire, files[i]->d_name, path, sizeof path) && stat(path, &status) == 0)
            seen = seen * 1099511628211u + (uint64_t)status.st_mtim.tv_sec * 1000000007u +
                   (uint64_t)status.st_mtim.tv_nsec + (uint64_t)status.st_size + (uint64_t)status.st_ino;
    }
    return seen;
}

static void take(struct listed *item, const struct scenario *scenario)
{
    text_copy(item->title, sizeof item->title, scenario->title);
    text_copy(item->teaches, sizeof item->teaches, scenario->teaches);
    item->accident_count = scenario->accident_count;
    item->seed = scenario->seed;
    item->length_ns = scenario->length_ns;
    item->faults = calloc(scenario->fault_count + 1, sizeof *item->faults);
    CHECK(item->faults);
    memcpy(item->faults, scenario->faults, scenario->fault_count * sizeof *item->faults);
    item->fault_count = scenario->fault_count;
}

static void read_item(const struct repertoire *repertoire, struct listed *item, const char *file,
                      struct scenario *scenario)
{
    char path[sizeof repertoire->folder + PLAY_NAME_SIZE];
    struct complaints complaints = {0};
    memset(item, 0, sizeof *item);
    memcpy(item->name, file, strlen(file) - (sizeof suffix - 1));
    int code = path_of(repertoire, file, path, sizeof path) ? scenario_read_file(path, scenario, &complaints)
                                                            : -ENAMETOOLONG;
    struct text trouble = text_over(item->trouble, sizeof item->trouble);
    if (code == 0)
        take(item, scenario);
    else if (code < 0)
        text_addf(&trouble, "it cannot be read: %s", strerror(-code));
    else
        complaint_print(&trouble, &complaints.list[0], file);
}

static void forget(struct repertoire *repertoire)
{
    for (uint32_t i = 0; i < repertoire->count; i++)
        free(repertoire->items[i].faults);
    free(repertoire->items);
    repertoire->items = NULL;
    repertoire->count = 0;
}

void repertoire_fini(struct repertoire *repertoire)
{
    forget(repertoire);
}

void repertoire_look(struct repertoire *repertoire)
{
    struct dirent **files = NULL;
    int count = repertoire->folder[0] ? scandir(repertoire->folder, &files, is_scenario, alphasort) : 0;
    uint64_t seen = look_at(repertoire, files, count);
    if (seen != repertoire->seen) {
        struct scenario *scenario = malloc(sizeof *scenario);
        forget(repertoire);
        repertoire->items = calloc(REPERTOIRE_MAX, sizeof *repertoire->items);
        CHECK(scenario && repertoire->items);
        for (int i = 0; i < count && repertoire->count < REPERTOIRE_MAX; i++)
            read_item(repertoire, &repertoire->items[repertoire->count++], files[i]->d_name, scenario);
        free(scenario);
        repertoire->seen = seen;
    }
    for (int i = 0; i < count; i++)
        free(files[i]);
    free(files);
}

const struct listed *repertoire_find(const struct repertoire *repertoire, const char *name)
{
    for (uint32_t i = 0; i < repertoire->count; i++)
        if (strcmp(repertoire->items[i].name, name) == 0)
            return &repertoire->items[i];
    return NULL;
}
