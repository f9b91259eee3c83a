#include "inject/preload_fds.h"

#include "base/random.h"
#include "base/units.h"
#include "inject/preload_image.h"

#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define KNOWN 256u /* files remembered, by the low bits of their descriptors */

static struct {
    char path[PATH_MAX];
    size_t length;
} watched[PRELOAD_FOLDERS_MAX];
static size_t watched_count;

/* A print of the file, and in its lowest bit the answer. One word, so that it is always whole. */
static _Atomic uint64_t known[KNOWN];

static void watch(const char *from, size_t length)
{
    char given[PATH_MAX], *path = watched[watched_count].path;

    if (length < 2 || length >= sizeof(given) || from[0] != '/')
        return;
    memcpy(given, from, length);
    given[length] = '\0';
    if (!realpath(given, path)) /* the kernel tells names without links; one not made yet stands as it is */
        memcpy(path, given, length + 1);
    size_t whole = strlen(path);
    while (whole > 1 && path[whole - 1] == '/')
        path[--whole] = '\0';
    watched[watched_count++].length = whole;
}

void preload_watch(const char *folders)
{
    while (folders && watched_count < PRELOAD_FOLDERS_MAX) {
        const char *end = strchrnul(folders, ':');
        watch(folders, (size_t)(end - folders));
        folders = *end ? end + 1 : NULL;
    }
}

bool preload_watches_any(void)
{
    return watched_count > 0;
}

static bool is_below(const char *path, size_t length)
{
    for (size_t i = 0; i < watched_count; i++)
        if (length > watched[i].length && path[watched[i].length] == '/' &&
            memcmp(path, watched[i].path, watched[i].length) == 0)
            return true;
    return false;
}

/* snprintf() is no call for a signal handler. */
static bool look(int fd)
{
    char path[PATH_MAX], link[32] = "/proc/self/fd/", digits[12];
    size_t at = strlen(link), count = 0;

    for (unsigned rest = (unsigned)fd; count == 0 || rest > 0; rest /= 10)
        digits[count++] = (char)('0' + rest % 10);
    while (count > 0)
        link[at++] = digits[--count];
    link[at] = '\0';
    ssize_t length = readlink(link, path, sizeof(path));
    return length > 0 && is_below(path, (size_t)length);
}

/* Inodes are used again, even at once; so the instant when this one was made belongs to it. That instant is
 * told in ticks of the kernel's clock, of which several files may be made: nothing is remembered of a file
 * that was made just now, nor where a filesystem cannot tell. */
static bool can_be_known(const struct statx *status)
{
    struct timespec now;

    if (!(status->stx_mask & STATX_BTIME) || clock_gettime(CLOCK_REALTIME, &now) < 0)
        return false;
    int64_t age_s = now.tv_sec - status->stx_btime.tv_sec;
    return age_s > 1 || age_s * SECOND + now.tv_nsec - status->stx_btime.tv_nsec > 50 * MILLISECOND;
}

/* Never 0 but for its lowest bit. */
static uint64_t print_of(int fd, const struct statx *status)
{
    uint64_t print = random_key((uint64_t)(unsigned)fd, status->stx_ino);

    print = random_key(print, (uint64_t)status->stx_dev_major << 32 | status->stx_dev_minor);
    print =
        random_key(print, (uint64_t)status->stx_btime.tv_sec * (uint64_t)SECOND + status->stx_btime.tv_nsec);
    return print << 1 | UINT64_C(1) << 63;
}

bool preload_has(int fd)
{
    struct statx status;

    if (fd < 0 ||
        statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE | STATX_INO | STATX_BTIME, &status) <
            0 ||
        (status.stx_mode & S_IFMT) != S_IFREG)
        return false;
    if (!can_be_known(&status))
        return look(fd);
    uint64_t print = print_of(fd, &status);
    _Atomic uint64_t *slot = &known[(unsigned)fd % KNOWN];
    uint64_t found = atomic_load_explicit(slot, memory_order_relaxed);
    if ((found & ~UINT64_C(1)) == print)
        return found & 1;
    bool answer = look(fd);
    atomic_store_explicit(slot, print | answer, memory_order_relaxed);
    return answer;
}
