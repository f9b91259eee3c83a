#include "journal/segments.h"

#include "base/check.h"
#include "base/text.h"
#include "journal/recorder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Twelve digits and ".journal"; 0 if it is none of ours. */
static uint64_t number_of(const char *name)
{
    char *end;
    if (strspn(name, "0123456789") != 12)
        return 0;
    uint64_t number = strtoull(name, &end, 10);
    return strcmp(end, ".journal") == 0 ? number : 0;
}

static int is_segment(const struct dirent *entry)
{
    return number_of(entry->d_name) > 0;
}

static bool path_of(char *out, size_t size, const char *folder, const char *name)
{
    int length = snprintf(out, size, "%s/%s", folder, name);
    return length >= 0 && (size_t)length < size;
}

static int look(const char *folder, struct dirent ***entries)
{
    int count = scandir(folder, entries, is_segment, alphasort); /* twelve digits: by number */
    return count < 0 ? -errno : count;
}

static void forget(struct dirent **entries, int count)
{
    for (int i = 0; i < count; i++)
        free(entries[i]);
    free(entries);
}

int segments_open(struct segments *segments, const char *folder)
{
    struct dirent **entries;
    *segments = (struct segments){.newest = 0};
    if (!text_copy(segments->folder, sizeof segments->folder, folder))
        return -ENAMETOOLONG;
    if (mkdir(folder, 0755) != 0 && errno != EEXIST)
        return -errno;
    int count = look(folder, &entries);
    if (count < 0)
        return count;
    if (count > 0)
        segments->newest = number_of(entries[count - 1]->d_name);
    forget(entries, count);
    return 0;
}

static uint64_t bytes_of(const struct segments *segments, const struct dirent *entry)
{
    char path[SEGMENT_PATH_MAX];
    struct stat stat_of;
    bool there = path_of(path, sizeof path, segments->folder, entry->d_name) && stat(path, &stat_of) == 0;
    return there && stat_of.st_size > 0 ? (uint64_t)stat_of.st_size : 0;
}

void segments_make_room(const struct segments *segments, uint64_t bytes)
{
    struct dirent **entries;
    char path[SEGMENT_PATH_MAX];
    int count = look(segments->folder, &entries);
    uint64_t sum = 0;
    for (int i = 0; i < count; i++)
        sum += bytes_of(segments, entries[i]);
    /* The newest is always kept: it may be what somebody looks for. */
    for (int i = 0; i + 1 < count && (sum > bytes || count - i >= RECORDER_SEGMENTS_MAX); i++) {
        sum -= bytes_of(segments, entries[i]);
        if (path_of(path, sizeof path, segments->folder, entries[i]->d_name))
            unlink(path);
    }
    if (count >= 0)
        forget(entries, count);
}

int segments_next(struct segments *segments, uint64_t bytes)
{
    char path[SEGMENT_PATH_MAX], name[32];
    segments_make_room(segments, bytes);
    snprintf(name, sizeof name, "%012" PRIu64 ".journal", ++segments->newest);
    if (!path_of(path, sizeof path, segments->folder, name))
        return -ENAMETOOLONG;
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0644);
    return fd < 0 ? -errno : fd;
}

void segments_take_back(struct segments *segments)
{
    char path[SEGMENT_PATH_MAX], name[32];
    snprintf(name, sizeof name, "%012" PRIu64 ".journal", segments->newest);
    if (path_of(path, sizeof path, segments->folder, name) && unlink(path) == 0)
        segments->newest--;
}

/* --- the tail ------------------------------------------------------------------------------------------- */

static const char tail_magic[8] = {'h', 'o', 'm', 'e', 'j', 't', 'l', '1'};

/* A copy of the tail of a folder, NULL if it has none; the caller frees. */
static struct tail *copy_tail(const char *folder)
{
    char path[SEGMENT_PATH_MAX];
    struct tail *tail = malloc(sizeof *tail);
    CHECK(tail);
    int fd = path_of(path, sizeof path, folder, "tail") ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    ssize_t got = fd < 0 ? -1 : pread(fd, tail, sizeof *tail, 0);
    if (fd >= 0)
        close(fd);
    bool good = got == sizeof *tail && memcmp(tail->magic, tail_magic, sizeof tail_magic) == 0 &&
                (tail->state & ((1u << TAIL_FILLED_BITS) - 1)) <= TAIL_BUFFER_BYTES;
    if (good)
        return tail;
    free(tail);
    return NULL;
}

static size_t filled_of(const struct tail *tail)
{
    return tail->state & ((1u << TAIL_FILLED_BITS) - 1);
}

/* What the writer before us had no time or no room for. */
static int settle(const struct segments *segments)
{
    char path[SEGMENT_PATH_MAX], name[32];
    struct tail *tail = copy_tail(segments->folder);
    int code = 0;
    if (!tail)
        return 0;
    uint64_t offset = tail->state >> TAIL_FILLED_BITS;
    snprintf(name, sizeof name, "%012" PRIu64 ".journal", tail->segment);
    bool empty = filled_of(tail) == 0 || !path_of(path, sizeof path, segments->folder, name);
    int fd = empty ? -1 : open(path, O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        ssize_t wrote =
            ftruncate(fd, (off_t)offset) == 0 ? pwrite(fd, tail->buffer, filled_of(tail), (off_t)offset) : -1;
        if (wrote < (ssize_t)filled_of(tail))
            code = wrote < 0 ? -errno : -ENOSPC;
        close(fd);
    } else if (!empty && errno != ENOENT) {
        code = -errno;
    }
    free(tail);
    return code;
}

int segments_tail(const struct segments *segments, struct tail **tail)
{
    char path[SEGMENT_PATH_MAX];
    *tail = NULL;
    if (!path_of(path, sizeof path, segments->folder, "tail"))
        return 0;
    int code = settle(segments);
    int fd = code < 0 ? -1 : open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0)
        return code;
    /* Really there, so that a full disk cannot take the pages away later. */
    struct tail *blank = calloc(1, sizeof *blank);
    CHECK(blank);
    memcpy(blank->magic, tail_magic, sizeof tail_magic);
    bool there = ftruncate(fd, sizeof *blank) == 0 && pwrite(fd, blank, sizeof *blank, 0) == sizeof *blank;
    free(blank);
    void *at =
        there ? mmap(NULL, sizeof(struct tail), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;
    close(fd);
    *tail = at == MAP_FAILED ? NULL : at;
    return 0;
}

void segments_drop_tail(struct tail **tail)
{
    if (*tail)
        munmap(*tail, sizeof **tail);
    *tail = NULL;
}

void tail_begin(struct tail *tail, uint64_t segment)
{
    tail_set(tail, 0, 0);
    __atomic_store_n(&tail->segment, segment, __ATOMIC_RELEASE);
}

/* --- reading -------------------------------------------------------------------------------------------- */

/* The tail is looked at first: whatever its writer does meanwhile, the bytes up to its offset stay. */
static struct tail *tail_of(const char *path)
{
    char folder[SEGMENT_PATH_MAX];
    const char *slash = strrchr(path, '/');
    uint64_t number = number_of(slash ? slash + 1 : path);
    if (number == 0 || !text_copy(folder, sizeof folder, slash ? path : "."))
        return NULL;
    if (slash)
        folder[slash - path] = '\0';
    struct tail *tail = copy_tail(slash == path ? "/" : folder);
    if (tail && (tail->segment != number || filled_of(tail) == 0)) {
        free(tail);
        tail = NULL;
    }
    return tail;
}

static int map(const char *path, struct loaded *loaded)
{
    struct stat stat_of;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    int code = fd < 0 ? -errno : fstat(fd, &stat_of) != 0 ? -errno : S_ISREG(stat_of.st_mode) ? 0 : -EINVAL;
    *loaded = (struct loaded){.bytes = (const uint8_t *)""};
    if (code == 0 && stat_of.st_size > 0) {
        void *at = mmap(NULL, (size_t)stat_of.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        code = at == MAP_FAILED ? -errno : 0;
        if (code == 0)
            *loaded = (struct loaded){
                .bytes = at, .length = (size_t)stat_of.st_size, .mapped = (size_t)stat_of.st_size};
    }
    if (fd >= 0)
        close(fd);
    return code;
}

int segments_load(const char *path, struct loaded *loaded)
{
    struct tail *tail = tail_of(path);
    int code = map(path, loaded);
    uint64_t offset = tail ? tail->state >> TAIL_FILLED_BITS : 0;
    if (code == 0 && tail && offset <= loaded->length) {
        uint8_t *whole = malloc(offset + filled_of(tail));
        CHECK(whole);
        memcpy(whole, loaded->bytes, offset);
        memcpy(whole + offset, tail->buffer, filled_of(tail));
        segments_unload(loaded);
        *loaded = (struct loaded){.bytes = whole, .length = offset + filled_of(tail)};
    }
    free(tail);
    return code;
}

void segments_unload(struct loaded *loaded)
{
    if (loaded->mapped > 0)
        munmap((void *)(uintptr_t)loaded->bytes, loaded->mapped);
    else if (loaded->length > 0)
        free((void *)(uintptr_t)loaded->bytes);
    *loaded = (struct loaded){.bytes = (const uint8_t *)""};
}

/* --- the folder ----------------------------------------------------------------------------------------- */

int segments_list(const char *folder, char ***paths)
{
    struct dirent **entries;
    char path[SEGMENT_PATH_MAX];
    int count = look(folder, &entries);
    if (count < 0)
        return count;
    *paths = calloc((size_t)count + 1, sizeof **paths);
    CHECK(*paths);
    for (int i = 0; i < count; i++) {
        if (!path_of(path, sizeof path, folder, entries[i]->d_name))
            path[0] = '\0';
        (*paths)[i] = strdup(path);
        CHECK((*paths)[i]);
    }
    forget(entries, count);
    return count;
}

void segments_free(char ***paths, int count)
{
    for (int i = 0; i < count; i++)
        free((*paths)[i]);
    free(*paths);
    *paths = NULL;
}
