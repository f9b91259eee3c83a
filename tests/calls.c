#undef _FORTIFY_SOURCE   /* here these calls are made, not used */
#undef _FILE_OFFSET_BITS /* else the headers would give pwrite() the name of pwrite64() */
#include "calls.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#ifdef CALLS_PRELOADED
struct calls *calls;

/* Whom this process starts is left alone. */
__attribute__((constructor)) static void map_page(void)
{
    const char *path = getenv("HOMEOSTAT_TEST_CALLS");
    int fd = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    void *page = mmap(NULL, sizeof *calls, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    calls = page == MAP_FAILED ? NULL : page;
    unsetenv("HOMEOSTAT_TEST_CALLS");
    unsetenv("LD_PRELOAD");
}
#else
static struct calls own;
struct calls *calls = &own;
#endif

/* --- which, and what becomes of it ---------------------------------------------------------------------- */

static bool is_below_folder(const char *path)
{
    return strncmp(path, calls->folder, strlen(calls->folder)) == 0;
}

/* Files, and sockets as far as they are written to; nothing else: -1. */
static int kind_of(int fd, enum calls_kind kind)
{
    char name[32], path[512];
    struct stat status;
    int saved_errno = errno;
    bool known = fstat(fd, &status) == 0;
    errno = saved_errno;
    if (known && S_ISSOCK(status.st_mode) && kind == CALLS_WRITE)
        return CALLS_SEND;
    if (!known || (!S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode)))
        return -1;
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(name, path, sizeof path - 1);
    path[length > 0 ? length : 0] = '\0';
    errno = saved_errno;
    return is_below_folder(path) ? (int)kind : -1;
}

enum { GOES_WELL = CALLS_FATES };

static unsigned fate_of(int kind)
{
    if (!calls || kind < 0 || !(calls->kinds >> kind & 1))
        return GOES_WELL;
    uint32_t number = atomic_fetch_add(&calls->count, 1) + 1, at = atomic_load(&calls->at);
    atomic_fetch_add(&calls->seen[kind], 1);
    if (at == 0 || number < at || (number > at && !calls->lasts))
        return GOES_WELL;
    bool first = atomic_fetch_add(&calls->met, 1) == 0;
    if (first)
        atomic_store(&calls->met_kind, (uint32_t)kind);
    return calls->fate == CALLS_SHORT && !first && calls->error ? (unsigned)CALLS_FAIL : calls->fate;
}

static void die(void)
{
    for (;;)
        syscall(SYS_kill, getpid(), SIGKILL);
}

static unsigned fate_of_fd(int fd, enum calls_kind kind)
{
    unsigned fate = calls && calls->kinds ? fate_of(kind_of(fd, kind)) : (unsigned)GOES_WELL;
    if (fate == CALLS_KILL)
        die();
    return fate;
}

static unsigned fate_of_path(const char *path, enum calls_kind kind)
{
    unsigned fate = calls && calls->kinds && is_below_folder(path) ? fate_of((int)kind) : (unsigned)GOES_WELL;
    if (fate == CALLS_KILL)
        die();
    return fate;
}

/* After the call. */
static long end(unsigned fate, long result)
{
    if (fate == CALLS_TEAR)
        die();
    return result;
}

static long fail(void)
{
    errno = calls->error;
    return -1;
}

/* Half of it; of a single byte all. */
static size_t part_of(size_t size, unsigned fate)
{
    return (fate == CALLS_TEAR || fate == CALLS_SHORT) && size > 1 ? size / 2 : size;
}

/* --- the calls ------------------------------------------------------------------------------------------ */

int open(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    unsigned fate = fate_of_path(path, CALLS_OPEN);
    return (int)(fate == CALLS_FAIL ? fail() : end(fate, syscall(SYS_openat, AT_FDCWD, path, flags, mode)));
}

ssize_t write(int fd, const void *bytes, size_t size)
{
    unsigned fate = fate_of_fd(fd, CALLS_WRITE);
    return fate == CALLS_FAIL ? fail() : end(fate, syscall(SYS_write, fd, bytes, part_of(size, fate)));
}

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t at)
{
    unsigned fate = fate_of_fd(fd, CALLS_WRITE);
    return fate == CALLS_FAIL ? fail() : end(fate, syscall(SYS_pwrite64, fd, bytes, part_of(size, fate), at));
}

/* Of several pieces the first, where it is to be less. */
ssize_t writev(int fd, const struct iovec *pieces, int count)
{
    unsigned fate = fate_of_fd(fd, CALLS_WRITE);
    if (fate == CALLS_FAIL)
        return fail();
    if (fate != GOES_WELL && count > 0)
        return end(fate, syscall(SYS_write, fd, pieces[0].iov_base, part_of(pieces[0].iov_len, fate)));
    return syscall(SYS_writev, fd, pieces, count);
}

int ftruncate(int fd, off_t size)
{
    unsigned fate = fate_of_fd(fd, CALLS_WRITE);
    return (int)(fate == CALLS_FAIL ? fail() : end(fate, syscall(SYS_ftruncate, fd, size)));
}

int fsync(int fd)
{
    unsigned fate = fate_of_fd(fd, CALLS_SYNC);
    bool skipped = fate == GOES_WELL && calls && calls->skips_sync;
    return skipped ? 0 : (int)(fate == CALLS_FAIL ? fail() : end(fate, syscall(SYS_fsync, fd)));
}

int fdatasync(int fd)
{
    unsigned fate = fate_of_fd(fd, CALLS_SYNC);
    bool skipped = fate == GOES_WELL && calls && calls->skips_sync;
    return skipped ? 0 : (int)(fate == CALLS_FAIL ? fail() : end(fate, syscall(SYS_fdatasync, fd)));
}

int unlink(const char *path)
{
    unsigned fate = fate_of_path(path, CALLS_NAME);
    return (int)(fate == CALLS_FAIL ? fail() : end(fate, syscall(SYS_unlink, path)));
}

int rename(const char *from, const char *to)
{
    unsigned fate = fate_of_path(from, CALLS_NAME);
    return (int)(fate == CALLS_FAIL ? fail() : end(fate, syscall(SYS_rename, from, to)));
}

ssize_t sendto(int fd, const void *bytes, size_t size, int flags, __CONST_SOCKADDR_ARG to, socklen_t to_size)
{
    unsigned fate = fate_of_fd(fd, CALLS_WRITE);
    return fate == CALLS_FAIL ? fail()
                              : end(fate, syscall(SYS_sendto, fd, bytes, part_of(size, fate), flags,
                                                  to.__sockaddr__, to_size));
}

ssize_t send(int fd, const void *bytes, size_t size, int flags)
{
    return sendto(fd, bytes, size, flags, (__CONST_SOCKADDR_ARG){NULL}, 0);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    unsigned fate = fate_of_fd(fd, CALLS_WRITE);
    if (fate == CALLS_FAIL)
        return fail();
    if (fate != GOES_WELL && message->msg_iovlen > 0)
        return end(fate, syscall(SYS_sendto, fd, message->msg_iov[0].iov_base,
                                 part_of(message->msg_iov[0].iov_len, fate), flags, NULL, 0));
    return syscall(SYS_sendmsg, fd, message, flags);
}

/* The names that programs with 64-bit offsets call. */
int open64(const char *path, int flags, ...) __attribute__((alias("open")));
ssize_t pwrite64(int fd, const void *bytes, size_t size, off_t at) __attribute__((alias("pwrite")));
int ftruncate64(int fd, off_t size) __attribute__((alias("ftruncate")));
