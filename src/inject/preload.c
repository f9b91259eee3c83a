/* The preload library: file faults for programs that we did not write. See preload_image.h.
 *
 * It stands between a program and its libc, in whatever thread, signal handler or forked child the call is
 * made: so it takes no lock, allocates nothing, and leaves errno as libc would. While no fault is on, a call
 * costs a load, a countdown and a jump beyond what it cost before.
 *
 *     call -> quiet? -> libc
 *               |  no
 *               +--> one of our files? -> ask files.h -> wait -> fail, or libc -> count it in the vitals */
#undef _FORTIFY_SOURCE   /* here these calls are made, not used */
#undef _FILE_OFFSET_BITS /* else the headers would give pread() the name of pread64() */
#undef _TIME_BITS

#include "base/clock.h"
#include "base/random.h"
#include "inject/files.h"
#include "inject/preload_fds.h"
#include "inject/preload_image.h"
#include "inject/vitals.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

_Static_assert(sizeof(off_t) == 8 && sizeof(long) == 8, "pread() and pread64() are one, as on 64-bit Linux");

#define OURS              __attribute__((visibility("default")))
#define LIKELY(condition) __builtin_expect(!!(condition), 1)

static struct files files; /* its page is NULL while nothing is to be done */
static struct vitals *vitals;

/* --- which calls are looked at ------------------------------------------------------------------------- */

#define TIMED_APART_NS MILLISECOND
#define STRIDE_MAX     4096u

/* Of each thread, for writes and for syncs: how many until the next one is timed, and how many there were
 * between the last two. Strides are shaken, so that a program that writes to a file and to a socket in turn
 * has both looked at. A signal handler that comes between only shakes them more. */
static __thread __attribute__((tls_model("initial-exec"))) struct turn {
    uint32_t left, stride;
    int64_t timed_at;
} turns[FILE_SYNCS + 1];

static void turn_over(struct turn *turn)
{
    int64_t now = monotonic_ns();

    if (now - turn->timed_at >= TIMED_APART_NS)
        turn->stride /= 2;
    else if (turn->stride < STRIDE_MAX)
        turn->stride = turn->stride * 2 + 1;
    turn->timed_at = now;
    turn->left = turn->stride / 2 + (uint32_t)(random_mix((uint64_t)now) % (turn->stride + UINT64_C(1)));
}

/* Nothing is on, and it is not this one's turn. */
static inline bool is_quiet(enum file_call call)
{
    if (!files_are_calm(&files))
        return false;
    if (call == FILE_READS || !vitals)
        return true;
    if (turns[call].left == 0)
        return false;
    turns[call].left--;
    return true;
}

/* --- one call ------------------------------------------------------------------------------------------- */

struct op {
    int64_t began_at;
    bool counts;
    int saved_errno;
};

static void op_count(const struct op *op, bool failed)
{
    if (!op->counts)
        return;
    uint64_t since = (uint64_t)op->began_at;
    atomic_compare_exchange_strong(&vitals->storage_since, &since, 0); /* unless it is another thread's */
    atomic_fetch_add(&vitals->storage_ns, (uint64_t)(monotonic_ns() - op->began_at));
    if (failed)
        atomic_fetch_add(&vitals->storage_errors, 1);
    atomic_fetch_add(&vitals->storage_writes, 1);
}

/* Waits if it is to wait. False if the call fails: then errno says why. */
static bool op_begin(struct op *op, enum file_call call, int fd, size_t bytes)
{
    duration wait = 0;

    *op = (struct op){.saved_errno = errno};
    if (call != FILE_READS && vitals && files_are_calm(&files))
        turn_over(&turns[call]);
    if (!preload_has(fd)) {
        errno = op->saved_errno;
        return true;
    }
    op->counts = vitals && call != FILE_READS;
    op->began_at = monotonic_ns();
    uint64_t none = 0;
    if (op->counts)
        atomic_compare_exchange_strong(&vitals->storage_since, &none, (uint64_t)op->began_at);
    int error = files_ask(&files, call, bytes, &wait);
    if (wait > 0)
        files_wait(&files, wait);
    if (error)
        op_count(op, true);
    errno = error ? error : op->saved_errno;
    return error == 0;
}

static ssize_t op_end(const struct op *op, ssize_t result)
{
    if (!op->counts)
        return result;
    int error = errno;
    op_count(op, result < 0 && error != EINTR && error != EAGAIN);
    errno = error;
    return result;
}

static size_t bytes_of(const struct iovec *pieces, int count)
{
    size_t bytes = 0;

    for (int i = 0; i < count; i++)
        bytes += pieces[i].iov_len;
    return bytes;
}

/* --- libc's own ----------------------------------------------------------------------------------------- */

/* Until the constructor has run, and should libc lack one of them, the kernel itself is asked. */
static ssize_t raw_read(int fd, void *out, size_t size)
{
    return syscall(SYS_read, fd, out, size);
}

static ssize_t raw_write(int fd, const void *from, size_t size)
{
    return syscall(SYS_write, fd, from, size);
}

static ssize_t raw_pread(int fd, void *out, size_t size, off_t at)
{
    return syscall(SYS_pread64, fd, out, size, at);
}

static ssize_t raw_pwrite(int fd, const void *from, size_t size, off_t at)
{
    return syscall(SYS_pwrite64, fd, from, size, at);
}

static ssize_t raw_readv(int fd, const struct iovec *pieces, int count)
{
    return syscall(SYS_readv, fd, pieces, count);
}

static ssize_t raw_writev(int fd, const struct iovec *pieces, int count)
{
    return syscall(SYS_writev, fd, pieces, count);
}

static ssize_t raw_preadv(int fd, const struct iovec *pieces, int count, off_t at)
{
    return syscall(SYS_preadv, fd, pieces, count, at, 0);
}

static ssize_t raw_pwritev(int fd, const struct iovec *pieces, int count, off_t at)
{
    return syscall(SYS_pwritev, fd, pieces, count, at, 0);
}

static ssize_t raw_preadv2(int fd, const struct iovec *pieces, int count, off_t at, int how)
{
    return syscall(SYS_preadv2, fd, pieces, count, at, 0, how);
}

static ssize_t raw_pwritev2(int fd, const struct iovec *pieces, int count, off_t at, int how)
{
    return syscall(SYS_pwritev2, fd, pieces, count, at, 0, how);
}

static int raw_fsync(int fd)
{
    return (int)syscall(SYS_fsync, fd);
}

static int raw_fdatasync(int fd)
{
    return (int)syscall(SYS_fdatasync, fd);
}

static int raw_sync_file_range(int fd, off_t at, off_t length, unsigned how)
{
    return (int)syscall(SYS_sync_file_range, fd, at, length, how);
}

/* X(name): one pointer each. */
#define CALLS(X)                                                                                             \
    X(read)                                                                                                  \
    X(write)                                                                                                 \
    X(pread)                                                                                                 \
    X(pwrite)                                                                                                \
    X(readv)                                                                                                 \
    X(writev)                                                                                                \
    X(preadv)                                                                                                \
    X(pwritev)                                                                                               \
    X(preadv2)                                                                                               \
    X(pwritev2)                                                                                              \
    X(fsync)                                                                                                 \
    X(fdatasync)                                                                                             \
    X(sync_file_range)

#define POINTER(name) static __typeof__(&raw_##name) real_##name = raw_##name;
CALLS(POINTER)

#define FIND(name)                                                                                           \
    if ((found = dlsym(RTLD_NEXT, #name)) != NULL)                                                           \
        memcpy(&real_##name, &found, sizeof(found));

static void find_libc(void)
{
    void *found;

    CALLS(FIND)
}

/* --- the start ------------------------------------------------------------------------------------------ */

/* -1 if the variable is missing or is no number. */
static int fd_in(const char *variable)
{
    const char *text = getenv(variable);
    char *end;

    if (!text || *text < '0' || *text > '9')
        return -1;
    long number = strtol(text, &end, 10);
    return *end == '\0' && number <= INT32_MAX ? (int)number : -1;
}

/* In a grandchild that closed what it inherited the number may mean a file that is not to be written to. */
static void open_vitals(int fd)
{
    static const char wanted[] = "/memfd:vitals";
    char link[64], path[64];
    struct stat status;

    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    if (readlink(link, path, sizeof(path)) < (ssize_t)strlen(wanted) ||
        memcmp(path, wanted, strlen(wanted)) != 0 || fstat(fd, &status) < 0 ||
        status.st_size < (off_t)sizeof(*vitals))
        return;
    void *memory = mmap(NULL, sizeof(*vitals), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    vitals = memory == MAP_FAILED ? NULL : memory;
}

__attribute__((constructor)) static void begin(void)
{
    int saved_errno = errno, page_fd = fd_in(PRELOAD_PAGE), vitals_fd = fd_in(PRELOAD_VITALS);
    struct page *page = NULL;

    find_libc();
    preload_watch(getenv(PRELOAD_DATA));
    if (preload_watches_any()) {
        if (page_fd >= 0 && page_open(&page, page_fd) == 0)
            files_open(&files, page);
        if (vitals_fd >= 0)
            open_vitals(vitals_fd);
    }
    errno = saved_errno;
}

/* --- the calls ------------------------------------------------------------------------------------------ */

#define CALL(kind, bytes, call)                                                                              \
    do {                                                                                                     \
        struct op op;                                                                                        \
        if (LIKELY(is_quiet(kind)))                                                                          \
            return call;                                                                                     \
        if (!op_begin(&op, kind, fd, bytes))                                                                 \
            return -1;                                                                                       \
        return (__typeof__(call))op_end(&op, call);                                                          \
    } while (0)
#define READ(call)         CALL(FILE_READS, 0, call)
#define WRITE(bytes, call) CALL(FILE_WRITES, bytes, call)
#define SYNC(call)         CALL(FILE_SYNCS, 0, call)

OURS ssize_t read(int fd, void *out, size_t size)
{
    READ(real_read(fd, out, size));
}

OURS ssize_t pread(int fd, void *out, size_t size, off_t at)
{
    READ(real_pread(fd, out, size, at));
}

OURS ssize_t readv(int fd, const struct iovec *pieces, int count)
{
    READ(real_readv(fd, pieces, count));
}

OURS ssize_t preadv(int fd, const struct iovec *pieces, int count, off_t at)
{
    READ(real_preadv(fd, pieces, count, at));
}

OURS ssize_t preadv2(int fd, const struct iovec *pieces, int count, off_t at, int how)
{
    READ(real_preadv2(fd, pieces, count, at, how));
}

OURS ssize_t write(int fd, const void *from, size_t size)
{
    WRITE(size, real_write(fd, from, size));
}

OURS ssize_t pwrite(int fd, const void *from, size_t size, off_t at)
{
    WRITE(size, real_pwrite(fd, from, size, at));
}

OURS ssize_t writev(int fd, const struct iovec *pieces, int count)
{
    WRITE(bytes_of(pieces, count), real_writev(fd, pieces, count));
}

OURS ssize_t pwritev(int fd, const struct iovec *pieces, int count, off_t at)
{
    WRITE(bytes_of(pieces, count), real_pwritev(fd, pieces, count, at));
}

OURS ssize_t pwritev2(int fd, const struct iovec *pieces, int count, off_t at, int how)
{
    WRITE(bytes_of(pieces, count), real_pwritev2(fd, pieces, count, at, how));
}

OURS int fsync(int fd)
{
    SYNC(real_fsync(fd));
}

OURS int fdatasync(int fd)
{
    SYNC(real_fdatasync(fd));
}

OURS int sync_file_range(int fd, off_t at, off_t length, unsigned how)
{
    SYNC(real_sync_file_range(fd, at, length, how));
}

/* The same under the names that programs were compiled with: with 64-bit offsets, or fortified. */
OURS ssize_t pread64(int fd, void *out, size_t size, off64_t at) __attribute__((alias("pread")));
OURS ssize_t pwrite64(int fd, const void *from, size_t size, off64_t at) __attribute__((alias("pwrite")));
OURS ssize_t preadv64(int fd, const struct iovec *pieces, int count, off64_t at)
    __attribute__((alias("preadv")));
OURS ssize_t pwritev64(int fd, const struct iovec *pieces, int count, off64_t at)
    __attribute__((alias("pwritev")));
OURS ssize_t preadv64v2(int fd, const struct iovec *pieces, int count, off64_t at, int how)
    __attribute__((alias("preadv2")));
OURS ssize_t pwritev64v2(int fd, const struct iovec *pieces, int count, off64_t at, int how)
    __attribute__((alias("pwritev2")));

OURS ssize_t __read_chk(int fd, void *out, size_t size, size_t room);
OURS ssize_t __pread_chk(int fd, void *out, size_t size, off_t at, size_t room);
OURS ssize_t __pread64_chk(int fd, void *out, size_t size, off64_t at, size_t room);

ssize_t __read_chk(int fd, void *out, size_t size, size_t room)
{
    if (size > room)
        abort();
    READ(real_read(fd, out, size));
}

ssize_t __pread_chk(int fd, void *out, size_t size, off_t at, size_t room)
{
    if (size > room)
        abort();
    READ(real_pread(fd, out, size, at));
}

ssize_t __pread64_chk(int fd, void *out, size_t size, off64_t at, size_t room)
{
    return __pread_chk(fd, out, size, at, room);
}
