/* File calls that return at once, to be preloaded behind the preload library in the place of libc's: what is
 * left is what the library itself takes. */
#undef _FILE_OFFSET_BITS /* else the headers would give pread() the name of pread64(), and both are wanted   \
                            here */

#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

ssize_t read(int fd, void *out, size_t size)
{
    (void)fd, (void)out, (void)size;
    return 0;
}

ssize_t pread(int fd, void *out, size_t size, off_t at)
{
    (void)fd, (void)out, (void)size, (void)at;
    return 0;
}

ssize_t pread64(int fd, void *out, size_t size, off64_t at)
{
    (void)fd, (void)out, (void)size, (void)at;
    return 0;
}

ssize_t write(int fd, const void *from, size_t size)
{
    (void)fd, (void)from, (void)size;
    return 0;
}

ssize_t pwrite(int fd, const void *from, size_t size, off_t at)
{
    (void)fd, (void)from, (void)size, (void)at;
    return 0;
}

ssize_t pwrite64(int fd, const void *from, size_t size, off64_t at)
{
    (void)fd, (void)from, (void)size, (void)at;
    return 0;
}

ssize_t writev(int fd, const struct iovec *pieces, int count)
{
    (void)fd, (void)pieces, (void)count;
    return 0;
}

int fdatasync(int fd)
{
    (void)fd;
    return 0;
}
