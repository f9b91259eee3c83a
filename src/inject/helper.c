#include "inject/helper.h"

#include "base/check.h"
#include "base/clock.h"
#include "inject/helper_ways.h"
#include "inject/victims.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#define LEAK_STEP_NS (50 * MILLISECOND)
#define LOOK_NS      MILLISECOND       /* how often a slice looks whether it should end */
#define DOUBT_NS     (5 * MILLISECOND) /* a fault that is being replaced is off for a moment */

static const enum fault_kind fault_of[] = {[HELPER_BURN] = FAULT_CPU_SPIKE,
                                           [HELPER_LEAK] = FAULT_MEMORY_LEAK,
                                           [HELPER_NEIGHBOUR] = FAULT_NOISY_NEIGHBOUR};

static volatile sig_atomic_t told_to_end;

static void on_signal(int number)
{
    (void)number;
    told_to_end = 1;
}

/* --- what they share ------------------------------------------------------------------------------------ */

static bool is_gone(const struct way *way)
{
    struct pollfd watched = {.fd = way->victim_fd, .events = POLLIN};

    return way->victim_fd >= 0 && poll(&watched, 1, 0) > 0;
}

bool way_goes_on(const struct way *way)
{
    if (told_to_end || is_gone(way))
        return false;
    if (!page_is_over(way->page, way->kind, way->incarnation))
        return true;
    way_rest(DOUBT_NS);
    return !told_to_end && !page_is_over(way->page, way->kind, way->incarnation);
}

double way_intensity(const struct way *way)
{
    double intensity = page_intensity(way->page, way->kind, way->incarnation);

    return intensity < fault_infos[way->kind].most ? intensity : fault_infos[way->kind].most;
}

void way_rest(duration rest)
{
    struct timespec time = {.tv_sec = rest / SECOND, .tv_nsec = rest % SECOND};

    if (rest > 0 && !told_to_end)
        nanosleep(&time, NULL);
}

int way_fail(const char *format, ...)
{
    va_list values;

    va_start(values, format);
    fputs("homeostat: helper: ", stderr);
    vfprintf(stderr, format, values);
    fputc('\n', stderr);
    va_end(values);
    return 3;
}

/* --- burn ----------------------------------------------------------------------------------------------- */

static void spin(const struct way *way, duration burning)
{
    int64_t now = monotonic_ns(), end = now + burning, look_at = now + LOOK_NS;
    volatile uint64_t work = 1;

    for (; now < end; now = monotonic_ns()) {
        for (int i = 0; i < 1000; i++)
            work = work * UINT64_C(6364136223846793005) + 1;
        if (now < look_at)
            continue;
        if (told_to_end || is_gone(way) || page_is_over(way->page, way->kind, way->incarnation))
            return;
        look_at = now + LOOK_NS;
    }
}

static int burn_run(const struct way *way)
{
    static struct victims victims;

    while (way_goes_on(way)) {
        duration burning = duration_from_seconds(way_intensity(way) * duration_seconds(HELPER_PERIOD_NS));
        if (burning > 0) {
            const struct victims_options options = {.root = way->victim,
                                                    .root_fd = fcntl(way->victim_fd, F_DUPFD_CLOEXEC, 0),
                                                    .reach = VICTIMS_TREE,
                                                    .leave_stopped = true};
            int error = victims_stop(&victims, &options);
            if (error < 0 && !is_gone(way))
                return way_fail("process %d cannot be stopped: %s", (int)way->victim, strerror(-error));
            spin(way, burning);
            victims_continue(&victims);
        }
        /* Even at 1 it serves now and then, as the built-in service's loop does. */
        duration rest = HELPER_PERIOD_NS - burning;
        way_rest(rest > MILLISECOND ? rest : MILLISECOND);
    }
    return 0;
}

/* --- leak ----------------------------------------------------------------------------------------------- */

/* If memory runs short, the leak is to go first, not an innocent. */
static void volunteer(void)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return;
    (void)!write(fd, "1000", 4);
    close(fd);
}

static int leak_run(const struct way *way)
{
    double grown = 0, most = (double)way->most_bytes;
    size_t lost = 0;
    char *memory = mmap(NULL, way->most_bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (memory == MAP_FAILED)
        return way_fail("there is no room for a leak of %.0f bytes", most);
    madvise(memory, way->most_bytes, MADV_NOHUGEPAGE); /* in small steps, as a leak grows */
    volunteer();
    int64_t last = monotonic_ns();
    while (way_goes_on(way)) {
        way_rest(LEAK_STEP_NS);
        int64_t now = monotonic_ns();
        duration since = now - last < SECOND ? now - last : SECOND; /* it was stopped itself */
        grown += way_intensity(way) * most / 60 * duration_seconds(since);
        grown = grown < most ? grown : most;
        memset(memory + lost, 0x5a, (size_t)grown - lost);
        lost = (size_t)grown;
        last = now;
    }
    munmap(memory, way->most_bytes);
    return 0;
}

/* --- the process ---------------------------------------------------------------------------------------- */

static const char *complaint_about(const struct helper_options *options)
{
    if (options->kind == HELPER_LEAK)
        return options->most_bytes > 0 ? NULL : "a leak needs a limit of at least one byte";
    return options->victim > 1 && options->victim != getpid() ? NULL : "it needs a victim's process id";
}

/* burn must let its victim go on first; the others need not, and could not if they are stopped. */
static void die_with_parent(enum helper_kind kind)
{
    pid_t parent = getppid();

    prctl(PR_SET_PDEATHSIG, kind == HELPER_BURN ? SIGTERM : SIGKILL);
    if (getppid() != parent)
        told_to_end = 1;
}

static int run(enum helper_kind kind, const struct way *way)
{
    switch (kind) {
    case HELPER_BURN:
        return burn_run(way);
    case HELPER_LEAK:
        return leak_run(way);
    case HELPER_NEIGHBOUR:
        break;
    }
    return neighbour_run(way);
}

int helper_main(struct helper_options options)
{
    struct sigaction action = {.sa_handler = on_signal};
    struct page *page;

    const char *complaint = complaint_about(&options);
    if (complaint)
        return way_fail("%s", complaint);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    die_with_parent(options.kind);
    int error = page_open(&page, options.page_fd);
    if (error < 0)
        return way_fail("descriptor %d is no fault page: %s", options.page_fd, strerror(-error));
    struct way way = {.page = page,
                      .kind = fault_of[options.kind],
                      .incarnation = page_incarnation(page, fault_of[options.kind]),
                      .victim = options.victim,
                      .victim_fd = options.victim > 0 ? victims_open(options.victim) : -1,
                      .most_bytes = options.most_bytes};
    int code = options.victim > 0 && way.victim_fd < 0
                   ? way_fail("process %d: %s", (int)options.victim, strerror(-way.victim_fd))
                   : run(options.kind, &way);
    if (way.victim_fd >= 0)
        close(way.victim_fd);
    page_close(page);
    return code;
}

void helper_clean_up(enum helper_kind kind, pid_t victim)
{
    pid_t ids[VICTIMS_MAX];

    CHECK(victim > 1);
    if (kind == HELPER_NEIGHBOUR)
        neighbour_unpin_all(victim);
    size_t count = kind == HELPER_BURN ? victims_list(victim, ids) : 0;
    for (size_t i = 0; i < count; i++)
        if (victims_state(ids[i]) == 'T')
            kill(ids[i], SIGCONT);
}
