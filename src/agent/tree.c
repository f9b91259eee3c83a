#include "agent/tree.h"

#include "agent/child.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static ssize_t slurp(const char *path, char *out, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    size_t length = 0;
    ssize_t got;
    while (length < size - 1 && (got = read(fd, out + length, size - 1 - length)) > 0)
        length += (size_t)got;
    close(fd);
    out[length] = '\0';
    return (ssize_t)length;
}

char process_state(pid_t pid)
{
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    if (slurp(path, text, sizeof text) <= 0)
        return 0;
    const char *end = strrchr(text, ')'); /* the name before it may contain anything */
    return end && end[1] == ' ' ? end[2] : 0;
}

/* The environment that it was started with, as far as it has not written over it. */
static bool environment_says(pid_t pid, const char *boot)
{
    enum { ENVIRONMENT_MAX = 256 * 1024 };
    char path[64], wanted[96];
    snprintf(path, sizeof path, "/proc/%d/environ", pid);
    size_t wanted_length =
        (size_t)snprintf(wanted, sizeof wanted, WARD_VARIABLE "=%s", boot) + 1; /* with its NUL */
    char *text = malloc(ENVIRONMENT_MAX);
    ssize_t length = text ? slurp(path, text, ENVIRONMENT_MAX) : -1;
    bool says = length > 0 && memmem(text, (size_t)length + 1, wanted, wanted_length);
    free(text);
    return says;
}

static bool memory_says(pid_t pid, const char *boot)
{
    char path[64], name[WARD_MEMORY_SIZE], wanted[WARD_MEMORY_SIZE + 16];
    snprintf(path, sizeof path, "/proc/%d/maps", pid);
    ward_memory_name(name, boot);
    snprintf(wanted, sizeof wanted, "/memfd:%s ", name);
    FILE *maps = fopen(path, "re");
    char *line = NULL;
    size_t size = 0;
    bool says = false;
    while (maps && !says && getline(&line, &size, maps) > 0)
        says = strstr(line, wanted) != NULL;
    free(line);
    if (maps)
        fclose(maps);
    return says;
}

void ward_memory_name(char out[WARD_MEMORY_SIZE], const char *boot)
{
    snprintf(out, WARD_MEMORY_SIZE, "vitals-%s", boot);
}

bool process_is_ward(pid_t pid, const char *boot)
{
    return environment_says(pid, boot) || memory_says(pid, boot);
}

static bool tree_has(const struct tree *tree, pid_t pid)
{
    for (size_t i = 0; i < tree->count; i++)
        if (tree->pid[i] == pid)
            return true;
    return false;
}

/* Calls `take` for each child of `pid`, whichever of its threads begot it. */
static void each_child(pid_t pid, void (*take)(void *context, pid_t child), void *context)
{
    char path[64], text[8192];
    snprintf(path, sizeof path, "/proc/%d/task", pid);
    DIR *tasks = opendir(path);
    if (!tasks)
        return;
    for (struct dirent *entry; (entry = readdir(tasks));) {
        if (!isdigit((unsigned char)entry->d_name[0]))
            continue;
        snprintf(path, sizeof path, "/proc/%d/task/%.16s/children", pid, entry->d_name);
        if (slurp(path, text, sizeof text) <= 0)
            continue;
        char *rest = text;
        for (char *end; *rest; rest = end) {
            long child = strtol(rest, &end, 10);
            if (end == rest || *end != ' ') /* the end, or a number that the buffer cut */
                break;
            take(context, (pid_t)child);
        }
    }
    closedir(tasks);
}

static void take_descendant(void *context, pid_t child)
{
    struct tree *tree = context;
    if (tree->count < TREE_MAX && !tree_has(tree, child))
        tree->pid[tree->count++] = child;
}

struct orphans {
    struct tree *tree;
    const char *boot;
};

/* What we have started in a group of its own is nobody's orphan: the relay, a neighbour, a copy. */
static void take_orphan(void *context, pid_t child)
{
    struct orphans *orphans = context;
    if (tree_has(orphans->tree, child) || (child_is_watched(child) && getpgid(child) == child))
        return;
    if (process_state(child) == 'Z') {
        if (!child_is_watched(child)) /* else somebody wants to know how it ended */
            waitpid(child, NULL, WNOHANG);
    } else if (process_is_ward(child, orphans->boot)) {
        take_descendant(orphans->tree, child);
    }
}

void tree_collect(struct tree *tree, pid_t root, const char *boot)
{
    tree->count = 0;
    if (root > 0)
        tree->pid[tree->count++] = root;
    each_child(getpid(), take_orphan, &(struct orphans){tree, boot});
    for (size_t i = 0; i < tree->count; i++)
        each_child(tree->pid[i], take_descendant, tree);
}

void tree_signal(const struct tree *tree, int signal_number)
{
    for (size_t i = 0; i < tree->count; i++)
        kill(tree->pid[i], signal_number);
}
