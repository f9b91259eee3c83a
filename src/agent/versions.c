#include "agent/versions.h"

#include "agent/sweep.h"
#include "base/check.h"
#include "base/flock.h"
#include "base/text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FOUND_MAX = 4 * VERSIONS_KEPT, NUMBER_MAX = 1000000000, FILE_NAME_SIZE = 32, FOLDER_SIZE = 1024 };

#define DRAFT    ".new"  /* a version that is being made */
#define DOOMED   ".gone" /* one that is being removed */
#define CURRENT  "current"
#define NEW_LINK ".current"

struct version {
    int number;
    int before; /* 0: none */
    uint64_t fault;
};

struct versions {
    int fd; /* of the folder, with the lock */
    int current;
    int highest; /* number that was ever given, while we are here */
    char folder[FOLDER_SIZE], file[FILE_NAME_SIZE], path[FOLDER_SIZE + FILE_NAME_SIZE + 16];
    struct version found[FOUND_MAX]; /* by number */
    size_t count;
};

/* --- small files ---------------------------------------------------------------------------------------- */

static int read_text(int fd, const char *path, char *out, size_t size)
{
    int file = openat(fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (file < 0)
        return -errno;
    ssize_t length = read(file, out, size - 1);
    int error = length < 0 ? -errno : 0;
    close(file);
    out[length < 0 ? 0 : length] = '\0';
    return error;
}

static int write_text(int fd, const char *path, const char *text)
{
    size_t length = strlen(text);
    int file = openat(fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (file < 0)
        return -errno;
    int error = 0;
    errno = ENOSPC; /* what a short write means */
    if (write(file, text, length) != (ssize_t)length || fsync(file) < 0)
        error = -errno;
    close(file);
    return error;
}

/* 0 if it is not there or no number. */
static uint64_t read_number(int fd, int version, const char *name)
{
    char path[64], text[32];
    snprintf(path, sizeof path, "%d/%s", version, name);
    return read_text(fd, path, text, sizeof text) == 0 ? strtoull(text, NULL, 10) : 0;
}

/* A name as versions have it, or 0. */
static int number_of(const char *name)
{
    char again[16];
    long number = strtol(name, NULL, 10);
    if (number < 1 || number > NUMBER_MAX)
        return 0;
    snprintf(again, sizeof again, "%ld", number);
    return strcmp(again, name) == 0 ? (int)number : 0;
}

/* --- what is there -------------------------------------------------------------------------------------- */

static int index_of(const struct versions *versions, int number)
{
    for (size_t i = 0; i < versions->count; i++)
        if (versions->found[i].number == number)
            return (int)i;
    return -1;
}

static struct version *find(struct versions *versions, int number)
{
    int index = index_of(versions, number);
    return index < 0 ? NULL : &versions->found[index];
}

static void set_current(struct versions *versions, int number)
{
    versions->current = number;
    snprintf(versions->path, sizeof versions->path, "%s/%d/%s", versions->folder, number, versions->file);
}

static int by_number(const void *left, const void *right)
{
    const struct version *a = left, *b = right;
    return (a->number > b->number) - (a->number < b->number);
}

static int take_all(struct versions *versions)
{
    int fd = openat(versions->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    if (!folder) {
        int error = -errno;
        if (fd >= 0)
            close(fd);
        return error;
    }
    versions->count = 0;
    for (struct dirent *entry; (entry = readdir(folder)) && versions->count < FOUND_MAX;) {
        int number = number_of(entry->d_name);
        if (number == 0)
            continue;
        uint64_t before = read_number(versions->fd, number, "before");
        versions->found[versions->count++] = (struct version){
            .number = number,
            .before = before < (uint64_t)number ? (int)before : 0, /* so that no chain is a ring */
            .fault = read_number(versions->fd, number, "fault")};
        versions->highest = number > versions->highest ? number : versions->highest;
    }
    closedir(folder);
    qsort(versions->found, versions->count, sizeof versions->found[0], by_number);
    return 0;
}

static void read_current(struct versions *versions)
{
    char target[32];
    ssize_t length = readlinkat(versions->fd, CURRENT, target, sizeof target - 1);
    target[length < 0 ? 0 : length] = '\0';
    int number = number_of(target);
    set_current(versions, find(versions, number) ? number : 0);
}

/* The first version without a fault: `number` itself, or what was before it, or else the newest there is. */
static int good_one(struct versions *versions, int number)
{
    for (struct version *version = find(versions, number); version; version = find(versions, version->before))
        if (version->fault == 0)
            return version->number;
    for (size_t i = versions->count; i-- > 0;)
        if (versions->found[i].fault == 0)
            return versions->found[i].number;
    return 0;
}

/* --- changes, each durable when it returns -------------------------------------------------------------- */

static int make_current(struct versions *versions, int number)
{
    char target[16];
    if (number == versions->current)
        return 0;
    snprintf(target, sizeof target, "%d", number);
    unlinkat(versions->fd, NEW_LINK, 0);
    if (symlinkat(target, versions->fd, NEW_LINK) < 0 ||
        renameat(versions->fd, NEW_LINK, versions->fd, CURRENT) < 0)
        return -errno;
    set_current(versions, number);
    return fsync(versions->fd) < 0 ? -errno : 0;
}

static int sweep_away(struct versions *versions, const char *name)
{
    char path[FOLDER_SIZE + 16];
    struct swept swept = {0};
    snprintf(path, sizeof path, "%s/%s", versions->folder, name);
    int error = sweep_folder(path, &swept);
    if (!error && unlinkat(versions->fd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
        error = -errno;
    return error;
}

/* Whoever came after `gone` comes after what was before it. */
static int relink(struct versions *versions, const struct version *gone)
{
    for (size_t i = 0; i < versions->count; i++) {
        struct version *version = &versions->found[i];
        char draft[32], path[32], text[16];
        if (version->before != gone->number)
            continue;
        snprintf(draft, sizeof draft, "%d/before.new", version->number);
        snprintf(path, sizeof path, "%d/before", version->number);
        snprintf(text, sizeof text, "%d", gone->before);
        int error = write_text(versions->fd, draft, text);
        if (!error && renameat(versions->fd, draft, versions->fd, path) < 0)
            error = -errno;
        if (error)
            return error;
        version->before = gone->before;
    }
    return 0;
}

static int remove_version(struct versions *versions, int number)
{
    char name[16];
    struct version *version = find(versions, number);
    CHECK(version && number != versions->current);
    struct version gone = *version;
    int error = relink(versions, &gone);
    error = error ? error : sweep_away(versions, DOOMED);
    if (error)
        return error;
    snprintf(name, sizeof name, "%d", number);
    if (renameat(versions->fd, name, versions->fd, DOOMED) < 0)
        return -errno;
    *version = versions->found[--versions->count];
    qsort(versions->found, versions->count, sizeof versions->found[0], by_number);
    return sweep_away(versions, DOOMED);
}

/* What can go first: the oldest that nobody may want to come back to soon. */
static int oldest_idle(struct versions *versions)
{
    int before = versions_before(versions), good = good_one(versions, versions->current);
    for (size_t i = 0; i < versions->count; i++) {
        int number = versions->found[i].number;
        if (number != versions->current && number != before && number != good)
            return number;
    }
    return 0;
}

static void prune(struct versions *versions)
{
    while (versions->count > VERSIONS_KEPT) {
        int number = oldest_idle(versions);
        if (number == 0 || remove_version(versions, number) < 0)
            return; /* the next roll-out tries again */
    }
}

static int draft(struct versions *versions, const struct version *version, const char *text)
{
    char path[FILE_NAME_SIZE + 8], number[24];
    int error = sweep_away(versions, DRAFT);
    if (!error && mkdirat(versions->fd, DRAFT, 0755) < 0)
        error = -errno;
    snprintf(path, sizeof path, DRAFT "/%s", versions->file);
    error = error ? error : write_text(versions->fd, path, text);
    snprintf(number, sizeof number, "%d", version->before);
    if (!error && version->before)
        error = write_text(versions->fd, DRAFT "/before", number);
    snprintf(number, sizeof number, "%" PRIu64, version->fault);
    if (!error && version->fault)
        error = write_text(versions->fd, DRAFT "/fault", number);
    int fd = error ? -1 : openat(versions->fd, DRAFT, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (!error && (fd < 0 || fsync(fd) < 0))
        error = -errno;
    if (fd >= 0)
        close(fd);
    return error;
}

int versions_next(const struct versions *versions)
{
    return versions->highest + 1;
}

int versions_roll_out(struct versions *versions, const char *text, uint64_t fault)
{
    struct version version = {.number = versions_next(versions), .before = versions->current, .fault = fault};
    char name[16];
    if (strlen(text) >= VERSION_TEXT_MAX)
        return -E2BIG;
    if (version.number > NUMBER_MAX || versions->count == FOUND_MAX)
        return -ENOSPC;
    int error = draft(versions, &version, text);
    snprintf(name, sizeof name, "%d", version.number);
    if (!error && renameat(versions->fd, DRAFT, versions->fd, name) < 0)
        error = -errno;
    if (error)
        return error;
    versions->highest = version.number;
    versions->found[versions->count++] = version; /* the highest number: it stays sorted */
    error = make_current(versions, version.number);
    if (error) {
        if (versions->current != version.number)
            remove_version(versions, version.number);
        return error;
    }
    prune(versions);
    return version.number;
}

int versions_before(const struct versions *versions)
{
    int current = index_of(versions, versions->current);
    int before = current < 0 ? 0 : versions->found[current].before;
    return index_of(versions, before) < 0 ? -ENOENT : before;
}

int versions_roll_back(struct versions *versions)
{
    int number = versions_before(versions);
    int error = number < 0 ? number : make_current(versions, number);
    return error ? error : number;
}

/* Removes all versions of `fault`, or of any if it is 0. */
static int forget(struct versions *versions, uint64_t fault)
{
    int first = 0;
    for (size_t i = versions->count; i-- > 0;) {
        struct version version = versions->found[i];
        if (version.fault == 0 || (fault && version.fault != fault) || version.number == versions->current)
            continue;
        int error = remove_version(versions, version.number);
        first = first ? first : error;
    }
    return first;
}

/* The version that is to be current once all of `fault` are gone. */
static int without(struct versions *versions, uint64_t fault)
{
    struct version *version = find(versions, versions->current);
    while (version && version->fault == fault)
        version = find(versions, version->before);
    return version ? version->number : good_one(versions, versions->current);
}

bool versions_forget(struct versions *versions, uint64_t fault)
{
    int was = versions->current, next = fault ? without(versions, fault) : was;
    if (fault == 0 || next == 0)
        return false;
    if (make_current(versions, next) == 0)
        forget(versions, fault);
    return versions->current != was;
}

/* --- opening -------------------------------------------------------------------------------------------- */

static int lock(struct versions *versions, duration patience_ns)
{
    versions->fd = open(versions->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (versions->fd < 0)
        return -errno;
    int error = flock_within(versions->fd, patience_ns);
    return error == -EWOULDBLOCK ? -EBUSY : error;
}

/* Half-made and half-removed versions go, and those of faults. */
static int clean(struct versions *versions)
{
    unlinkat(versions->fd, NEW_LINK, 0);
    int error = sweep_away(versions, DRAFT);
    error = error ? error : sweep_away(versions, DOOMED);
    error = error ? error : take_all(versions);
    if (error)
        return error;
    read_current(versions);
    int good = good_one(versions, versions->current);
    if (good) {
        error = make_current(versions, good);
    } else {
        unlinkat(versions->fd, CURRENT, 0);
        set_current(versions, 0);
    }
    return error ? error : forget(versions, 0);
}

static bool holds(struct versions *versions, const char *text)
{
    char path[FILE_NAME_SIZE + 16], there[VERSION_TEXT_MAX];
    snprintf(path, sizeof path, "%d/%s", versions->current, versions->file);
    return read_text(versions->fd, path, there, sizeof there) == 0 && strcmp(there, text) == 0;
}

static int versions_init(struct versions *versions, const char *folder, const char *file, const char *text)
{
    if (!text_copy(versions->folder, sizeof versions->folder, folder) ||
        !text_copy(versions->file, sizeof versions->file, file))
        return -ENAMETOOLONG;
    if (mkdir(folder, 0755) < 0 && errno != EEXIST)
        return -errno;
    int error = lock(versions, FLOCK_PATIENCE);
    error = error ? error : clean(versions);
    if (error || (versions->current && holds(versions, text)))
        return error;
    int number = versions_roll_out(versions, text, 0);
    return number < 0 ? number : 0;
}

int versions_open(struct versions **owner, const char *folder, const char *file, const char *text)
{
    struct versions *versions = calloc(1, sizeof *versions);
    *owner = versions;
    if (!versions)
        return -ENOMEM;
    versions->fd = -1;
    int error = versions_init(versions, folder, file, text);
    if (error)
        versions_close(owner);
    return error;
}

void versions_close(struct versions **owner)
{
    struct versions *versions = *owner;
    *owner = NULL;
    if (!versions)
        return;
    if (versions->fd >= 0)
        close(versions->fd);
    free(versions);
}

void versions_clean(const char *folder)
{
    struct versions *versions = calloc(1, sizeof *versions);
    if (!versions)
        return;
    versions->fd = -1;
    if (text_copy(versions->folder, sizeof versions->folder, folder) && lock(versions, 0) == 0)
        clean(versions);
    versions_close(&versions);
}

int versions_current(const struct versions *versions)
{
    return versions->current;
}

const char *versions_path(const struct versions *versions)
{
    return versions->path;
}
