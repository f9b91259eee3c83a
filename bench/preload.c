/* What the preload library of file faults costs a program while no fault is on.
 *
 *     ./run bench preload [--json]
 *
 * The library stands in this very process beside libc, loaded as a program loads it, with a fault page and
 * vitals. Calls on a closed descriptor, the fastest that there are, are made through libc and through the
 * library in turn; the difference of the medians of 21 rounds is what a call costs more. The last rows are
 * calls on a file below the folder. */
#include "base/check.h"
#include "base/clock.h"
#include "inject/page.h"
#include "inject/preload_image.h"
#include "inject/vitals.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

enum { ROUNDS = 21, CALLS = 20000, BYTES = 64 };

static char bytes[BYTES];

struct library { /* the calls of one of the two */
    ssize_t (*read)(int, void *, size_t);
    ssize_t (*pread)(int, void *, size_t, off_t);
    ssize_t (*write)(int, const void *, size_t);
    ssize_t (*pwrite)(int, const void *, size_t, off_t);
    ssize_t (*writev)(int, const struct iovec *, int);
    int (*fdatasync)(int);
};

enum call { READ, PREAD, WRITE, PWRITE, WRITEV, FDATASYNC, CALL_COUNT };
static const char *const names[] = {"read", "pread", "write", "pwrite", "writev", "fdatasync"};

static void make(const struct library *library, enum call call, int fd)
{
    struct iovec piece = {.iov_base = bytes, .iov_len = sizeof(bytes)};

    switch (call) {
    case READ:
        library->read(fd, bytes, sizeof(bytes));
        break;
    case PREAD:
        library->pread(fd, bytes, sizeof(bytes), 0);
        break;
    case WRITE:
        library->write(fd, bytes, sizeof(bytes));
        break;
    case PWRITE:
        library->pwrite(fd, bytes, sizeof(bytes), 0);
        break;
    case WRITEV:
        library->writev(fd, &piece, 1);
        break;
    case FDATASYNC:
        library->fdatasync(fd);
        break;
    case CALL_COUNT:
        break;
    }
}

static double ns_each(const struct library *library, enum call call, int fd, int count)
{
    int64_t began_at = clock_ns(CLOCK_PROCESS_CPUTIME_ID);

    for (int i = 0; i < count; i++)
        make(library, call, fd);
    return (double)(clock_ns(CLOCK_PROCESS_CPUTIME_ID) - began_at) / count;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(double *values)
{
    qsort(values, ROUNDS, sizeof(*values), by_value);
    return values[ROUNDS / 2];
}

struct cost {
    double libc, more; /* ns a call */
};

static struct cost cost_of(const struct library *libc, const struct library *ours, enum call call, int fd,
                           int count)
{
    double theirs[ROUNDS], with[ROUNDS];

    for (int round = 0; round < ROUNDS; round++) {
        theirs[round] = ns_each(libc, call, fd, count);
        with[round] = ns_each(ours, call, fd, count);
    }
    double base = median(theirs);
    return (struct cost){base, median(with) - base};
}

static void *symbol(void *from, const char *name)
{
    void *found = dlsym(from, name);

    CHECK(found);
    return found;
}

static struct library library_of(void *from)
{
    struct library library;
    void *found[] = {symbol(from, "read"),   symbol(from, "pread"),  symbol(from, "write"),
                     symbol(from, "pwrite"), symbol(from, "writev"), symbol(from, "fdatasync")};

    _Static_assert(sizeof(found) == sizeof(library), "one pointer each");
    memcpy(&library, found, sizeof(library));
    return library;
}

static void set_number(const char *variable, int number)
{
    char text[16];

    snprintf(text, sizeof(text), "%d", number);
    setenv(variable, text, 1);
}

/* A page that is calm, vitals, and the library, as a program of one's own would have them. */
static struct library load(const char *folder)
{
    char path[PATH_MAX];
    struct page *page;
    int vitals_fd = memfd_create("vitals", 0);

    set_number(PRELOAD_PAGE, page_create(&page));
    CHECK(ftruncate(vitals_fd, sizeof(struct vitals)) == 0);
    set_number(PRELOAD_VITALS, vitals_fd);
    setenv(PRELOAD_DATA, folder, 1);
    snprintf(path, sizeof(path), "%s/library.so", folder);
    CHECK(preload_write(path) == 0);
    void *loaded = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    unlink(path);
    if (!loaded) {
        fprintf(stderr, "preload: %s\n", dlerror());
        exit(3);
    }
    return library_of(loaded);
}

static void print(bool json, const char *name, struct cost cost, bool first)
{
    if (json)
        printf("%s\"%s_ns\":%.1f,\"%s_more_ns\":%.1f", first ? "" : ",", name, cost.libc, name, cost.more);
    else
        printf("  %-22s %10.1f %10.1f\n", name, cost.libc, cost.more);
}

int main(int argc, char **argv)
{
    bool json = argc > 1 && strcmp(argv[1], "--json") == 0;
    char folder[] = "/tmp/preload-XXXXXX", path[64];

    CHECK(mkdtemp(folder));
    struct library ours = load(folder), libc = library_of(dlopen("libc.so.6", RTLD_NOW));
    snprintf(path, sizeof(path), "%s/file", folder);
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    CHECK(fd >= 0 && write(fd, bytes, sizeof(bytes)) == BYTES);
    printf(json ? "{"
                : "file calls with the preload library, no fault on: ns of CPU a call\n\n"
                  "                               libc  +library\n");
    for (enum call call = READ; call < CALL_COUNT; call++)
        print(json, names[call], cost_of(&libc, &ours, call, -1, CALLS), call == READ);
    print(json, "file_pread", cost_of(&libc, &ours, PREAD, fd, CALLS), false);
    print(json, "file_pwrite", cost_of(&libc, &ours, PWRITE, fd, CALLS), false);
    printf(json ? "}\n" : "");
    unlink(path);
    rmdir(folder);
    return 0;
}
