/* Preloaded into a lab's processes: another wall clock, set while they run. The other clocks are left alone.
 *
 * HOMEOSTAT_SKEW names a folder. A process reads the file called like its subcommand (serve, agent, ...) at
 * each call: the offset in seconds, then, if given, the milliseconds of a strobe (offset on, offset off,
 * ...), then the drift in seconds per second. No file: the true time. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const int64_t second_ns = 1000000000;
static char path[512];

__attribute__((constructor)) static void find_path(void)
{
    char words[256] = "";
    const char *folder = getenv("HOMEOSTAT_SKEW");
    int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    ssize_t length = fd >= 0 ? read(fd, words, sizeof words - 1) : 0;
    if (fd >= 0)
        close(fd);
    size_t first = strlen(words) + 1;
    if (folder && length > 0 && first < (size_t)length)
        snprintf(path, sizeof path, "%s/%s", folder, words + first);
}

static int64_t true_ns(clockid_t id)
{
    struct timespec t = {0};
    syscall(SYS_clock_gettime, id, &t);
    return t.tv_sec * second_ns + t.tv_nsec;
}

static int64_t skew_ns(void)
{
    char text[64] = "";
    double offset_s = 0, strobe_ms = 0, drift = 0;
    int fd = path[0] ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return 0;
    ssize_t length = read(fd, text, sizeof text - 1);
    close(fd);
    int64_t up_ns = true_ns(CLOCK_MONOTONIC);
    if (length <= 0 || sscanf(text, "%lf %lf %lf", &offset_s, &strobe_ms, &drift) < 1)
        return 0;
    if (strobe_ms > 0 && up_ns / (int64_t)(strobe_ms * 1e6) % 2 == 1)
        offset_s = 0;
    return (int64_t)(offset_s * 1e9) + (int64_t)((double)up_ns * drift);
}

static int64_t wall_ns(void)
{
    return true_ns(CLOCK_REALTIME) + skew_ns();
}

int clock_gettime(clockid_t id, struct timespec *out)
{
    if (id != CLOCK_REALTIME && id != CLOCK_REALTIME_COARSE)
        return (int)syscall(SYS_clock_gettime, id, out);
    int64_t now = wall_ns();
    *out = (struct timespec){.tv_sec = now / second_ns, .tv_nsec = now % second_ns};
    return 0;
}

int gettimeofday(struct timeval *restrict out, void *restrict zone)
{
    (void)zone;
    int64_t now = wall_ns();
    *out = (struct timeval){.tv_sec = now / second_ns, .tv_usec = now % second_ns / 1000};
    return 0;
}

time_t time(time_t *out)
{
    time_t now = wall_ns() / second_ns;
    if (out)
        *out = now;
    return now;
}
