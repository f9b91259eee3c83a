/* A program that we pretend not to have written: it makes the file calls that it is told to, one line each,
 * and answers with one line. Built without sanitizers, so that anything can be preloaded into it.
 *
 *     open PATH, tmpfile FOLDER        answers with the descriptor
 *     close FD, dup2 FROM TO           answers with 0
 *     do CALL FD BYTES TIMES           answers with GOOD BAD ERRNO NANOSECONDS: how many calls moved all
 * their bytes, how many failed, the errno of the last that did fork CALL FD BYTES TIMES         the same in a
 * child */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char bytes[1 << 16];

/* What a fortified program calls. */
ssize_t __read_chk(int fd, void *out, size_t size, size_t room);
ssize_t __pread_chk(int fd, void *out, size_t size, off_t at, size_t room);
ssize_t __pread64_chk(int fd, void *out, size_t size, off_t at, size_t room);

static ssize_t call(const char *name, int fd, size_t size)
{
    struct iovec pieces[] = {{bytes, size / 2}, {bytes + size / 2, size - size / 2}};
#define CALL(which, ...)                                                                                     \
    if (strcmp(name, #which) == 0)                                                                           \
        return which(__VA_ARGS__);
    CALL(read, fd, bytes, size)
    CALL(pread, fd, bytes, size, 0)
    CALL(pread64, fd, bytes, size, 0)
    CALL(readv, fd, pieces, 2)
    CALL(preadv, fd, pieces, 2, 0)
    CALL(preadv64, fd, pieces, 2, 0)
    CALL(preadv2, fd, pieces, 2, 0, 0)
    CALL(preadv64v2, fd, pieces, 2, 0, 0)
    CALL(__read_chk, fd, bytes, size, sizeof(bytes))
    CALL(__pread_chk, fd, bytes, size, 0, sizeof(bytes))
    CALL(__pread64_chk, fd, bytes, size, 0, sizeof(bytes))
    CALL(write, fd, bytes, size)
    CALL(pwrite, fd, bytes, size, 0)
    CALL(pwrite64, fd, bytes, size, 0)
    CALL(writev, fd, pieces, 2)
    CALL(pwritev, fd, pieces, 2, 0)
    CALL(pwritev64, fd, pieces, 2, 0)
    CALL(pwritev2, fd, pieces, 2, 0, 0)
    CALL(pwritev64v2, fd, pieces, 2, 0, 0)
    CALL(fsync, fd)
    CALL(fdatasync, fd)
    CALL(sync_file_range, fd, 0, 0, SYNC_FILE_RANGE_WRITE)
    abort();
}

static long long now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000ll + time.tv_nsec;
}

static void make_calls(const char *name, int fd, size_t size, int times)
{
    int good = 0, bad = 0, error = 0;
    int is_sync = strstr(name, "sync") != NULL;
    long long began = now();

    for (int i = 0; i < times; i++) {
        errno = 77; /* a call that succeeds leaves it alone */
        ssize_t moved = call(name, fd, size);
        if (moved < 0) {
            bad++;
            error = errno;
        } else if (errno == 77 && (is_sync || moved == (ssize_t)size)) {
            good++;
        }
    }
    printf("%d %d %d %lld\n", good, bad, error, now() - began);
    fflush(stdout);
}

static void obey(const char *line)
{
    char word[16], name[256];
    int first, second, times;
    size_t size;

    if (sscanf(line, "open %255s", name) == 1)
        printf("%d\n", open(name, O_RDWR | O_CREAT, 0600));
    else if (sscanf(line, "tmpfile %255s", name) == 1)
        printf("%d\n", open(name, O_RDWR | O_TMPFILE, 0600));
    else if (sscanf(line, "close %d", &first) == 1)
        printf("%d\n", close(first));
    else if (sscanf(line, "dup2 %d %d", &first, &second) == 2)
        printf("%d\n", dup2(first, second) == second ? 0 : -1);
    else if (sscanf(line, "%15s %255s %d %zu %d", word, name, &first, &size, &times) != 5)
        abort();
    else if (strcmp(word, "do") == 0)
        make_calls(name, first, size, times);
    else if (fork() == 0)
        make_calls(name, first, size, times), _exit(0);
    else
        wait(NULL);
    fflush(stdout);
}

int main(void)
{
    char line[512];

    while (fgets(line, sizeof(line), stdin))
        obey(line);
    return 0;
}
