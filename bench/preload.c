/* What the preload library of file faults costs a program while no fault is on.
 *
 *     ./run bench preload [--json]
 *
 * The library stands in this very process beside libc, loaded as a program loads it, with a fault page and
 * vitals. Calls on a closed descriptor, the fastest that there are, are made through libc and through the
 * library in turn; the difference of the medians of 21 rounds is what a call costs more. The last rows are
 * calls on a file below the folder. After a system call the processor has forgotten where jumps lead, which
 * makes any jump dear: the last column is the library's own cost, with calls behind it that return at once.
 */
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

enum { ROUNDS = 21, CALLS = 20000, INSTANT_CALLS = 1000000, BYTES = 64 };

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

    int page_fd = page_create(&page);
    CHECK(fcntl(page_fd, F_SETFD, 0) == 0); /* for own_costs() */
    set_number(PRELOAD_PAGE, page_fd);
    CHECK(ftruncate(vitals_fd, sizeof(struct vitals)) == 0);
    set_number(PRELOAD_VITALS, vitals_fd);
    setenv(PRELOAD_DATA, folder, 1);
    snprintf(path, sizeof(path), "%s/library.so", folder);
    CHECK(preload_write(path) == 0);
    void *loaded = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!loaded) {
        fprintf(stderr, "preload: %s\n", dlerror());
        exit(3);
    }
    return library_of(loaded);
}

/* --- calls that return at once -------------------------------------------------------------------------- */

/* In a process with instant.so, and perhaps the library, preloaded: a line of ns a call for each. */
static int time_instants(void)
{
    struct library library = library_of(RTLD_DEFAULT);
    double times[ROUNDS];

    for (enum call call = READ; call < CALL_COUNT; call++) {
        for (int round = 0; round < ROUNDS; round++)
            times[round] = ns_each(&library, call, -1, INSTANT_CALLS);
        printf("%.3f\n", median(times));
    }
    return 0;
}

static void read_instants(const char *preloaded, double ns[CALL_COUNT])
{
    char command[3 * PATH_MAX], self[PATH_MAX] = "";

    CHECK(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
    snprintf(command, sizeof(command), "LD_PRELOAD='%s' '%s' --instants", preloaded, self);
    FILE *lines = popen(command, "r");
    CHECK(lines);
    for (enum call call = READ; call < CALL_COUNT; call++)
        CHECK(fscanf(lines, "%lf", &ns[call]) == 1);
    CHECK(pclose(lines) == 0);
}

/* What the library takes by itself, ns a call. */
static void own_costs(const char *folder, double own[CALL_COUNT])
{
    char both[2 * PATH_MAX];
    double without[CALL_COUNT];

    snprintf(both, sizeof(both), "%s/library.so:%s", folder, INSTANT);
    read_instants(INSTANT, without);
    read_instants(both, own);
    for (enum call call = READ; call < CALL_COUNT; call++)
        own[call] -= without[call];
}

static void print(bool json, const char *name, struct cost cost, const double *own)
{
    if (json)
        printf("\"%s_ns\":%.1f,\"%s_more_ns\":%.1f,", name, cost.libc, name, cost.more);
    else
        printf("  %-22s %10.1f %10.1f", name, cost.libc, cost.more);
    if (json && own)
        printf("\"%s_own_ns\":%.2f,", name, *own);
    else if (!json && own)
        printf(" %10.2f", *own);
    printf(json ? "" : "\n");
}

int main(int argc, char **argv)
{
    bool json = argc > 1 && strcmp(argv[1], "--json") == 0;
    char folder[] = "/tmp/preload-XXXXXX", path[64];
    double own[CALL_COUNT];

    if (argc > 1 && strcmp(argv[1], "--instants") == 0)
        return time_instants();
    CHECK(mkdtemp(folder));
    struct library ours = load(folder), libc = library_of(dlopen("libc.so.6", RTLD_NOW));
    snprintf(path, sizeof(path), "%s/file", folder);
    own_costs(folder, own);
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    CHECK(fd >= 0 && write(fd, bytes, sizeof(bytes)) == BYTES);
    printf(json ? "{"
                : "file calls with the preload library, no fault on: ns of CPU a call\n\n"
                  "                               libc  +library        own\n");
    for (enum call call = READ; call < CALL_COUNT; call++)
        print(json, names[call], cost_of(&libc, &ours, call, -1, CALLS), &own[call]);
    print(json, "file_pread", cost_of(&libc, &ours, PREAD, fd, CALLS), NULL);
    print(json, "file_pwrite", cost_of(&libc, &ours, PWRITE, fd, CALLS), NULL);
    printf(json ? "\"calls\":%d}\n" : "", CALLS);
    unlink(path);
    snprintf(path, sizeof(path), "%s/library.so", folder);
    unlink(path);
    rmdir(folder);
    return 0;
}
