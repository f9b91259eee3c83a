/* The noisy neighbour: threads that burn on the service's core. */
#include "inject/helper_ways.h"

#include "base/clock.h"
#include "inject/victims.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BURNERS_MAX  32
#define CHUNK_NS     (MILLISECOND / 2)   /* a burner looks that often whether the share is used up */
#define PIN_AGAIN_NS (500 * MILLISECOND) /* threads that are new by then are pinned, too */
#define THREADS_MAX  1024

/* --- the victim's threads ------------------------------------------------------------------------------- */

struct pinned {
    pid_t thread;
    cpu_set_t before;
};

static struct {
    cpu_set_t core, usual; /* the one; what the victim's main thread might run on before */
    struct pinned threads[THREADS_MAX];
    size_t count;
} pins;

static const struct pinned *pinned_find(pid_t thread)
{
    for (size_t i = 0; i < pins.count; i++)
        if (pins.threads[i].thread == thread)
            return &pins.threads[i];
    return NULL;
}

/* A thread that is there already on the core alone is a new one, that inherited it: it is let go as usual. */
static bool pin(void *context, pid_t thread)
{
    cpu_set_t before;

    (void)context;
    if (sched_getaffinity(thread, sizeof(before), &before) < 0 || CPU_EQUAL(&before, &pins.core))
        return true;
    if (!pinned_find(thread) && pins.count < THREADS_MAX)
        pins.threads[pins.count++] = (struct pinned){.thread = thread, .before = before};
    sched_setaffinity(thread, sizeof(pins.core), &pins.core);
    return true;
}

static bool unpin(void *context, pid_t thread)
{
    const struct pinned *known = pinned_find(thread);

    (void)context;
    sched_setaffinity(thread, sizeof(cpu_set_t), known ? &known->before : &pins.usual);
    return true;
}

static void each_thread(pid_t victim, bool (*take)(void *context, pid_t thread))
{
    pid_t ids[VICTIMS_MAX];
    size_t count = victims_list(victim, ids);

    for (size_t i = 0; i < count; i++)
        victims_threads(ids[i], take, NULL);
}

void neighbour_unpin_all(pid_t victim)
{
    pins.count = 0;
    if (sched_getaffinity(0, sizeof(pins.usual), &pins.usual) == 0)
        each_thread(victim, unpin);
}

/* Field 39 of /proc/PID/stat: where it ran last. -1 if that cannot be told. */
static int core_of(pid_t victim)
{
    char path[64], text[1024];
    int core;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)victim);
    FILE *file = fopen(path, "re");
    size_t length = file ? fread(text, 1, sizeof(text) - 1, file) : 0;
    if (file)
        fclose(file);
    text[length] = '\0';
    const char *rest = strrchr(text, ')');
    for (int field = 2; rest && field < 39; field++)
        rest = strchr(rest + 1, ' ');
    return rest && sscanf(rest, "%d", &core) == 1 ? core : -1;
}

static bool choose_core(pid_t victim)
{
    cpu_set_t mine;

    if (sched_getaffinity(victim, sizeof(pins.usual), &pins.usual) < 0 ||
        sched_getaffinity(0, sizeof(mine), &mine) < 0)
        return false;
    CPU_AND(&mine, &mine, &pins.usual);
    int core = core_of(victim);
    for (int i = 0; i < CPU_SETSIZE && (core < 0 || !CPU_ISSET((size_t)core, &mine)); i++)
        core = i;
    CPU_ZERO(&pins.core);
    CPU_SET((size_t)core, &pins.core);
    return CPU_ISSET((size_t)core, &mine);
}

/* --- burning -------------------------------------------------------------------------------------------- */

/* A budget of processor time, so that they have the asked share and no more, whatever the service does; and
 * twice as many threads as it takes to have it beside a service that never rests, so that one that works only
 * now and then finds them at work, and waits. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned active;
    int64_t budget; /* of CLOCK_PROCESS_CPUTIME_ID */
    bool over;
} crew = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static int64_t used_ns(void)
{
    return clock_ns(CLOCK_PROCESS_CPUTIME_ID);
}

static bool await_work(unsigned number)
{
    pthread_mutex_lock(&crew.lock);
    while (!crew.over && (number >= crew.active || used_ns() >= crew.budget))
        pthread_cond_wait(&crew.changed, &crew.lock);
    bool over = crew.over;
    pthread_mutex_unlock(&crew.lock);
    return !over;
}

static void *burner(void *context)
{
    unsigned number = (unsigned)(uintptr_t)context;
    volatile uint64_t work = 1;

    sched_setaffinity(0, sizeof(pins.core), &pins.core);
    while (await_work(number))
        for (int64_t end = clock_ns(CLOCK_THREAD_CPUTIME_ID) + CHUNK_NS;
             clock_ns(CLOCK_THREAD_CPUTIME_ID) < end;)
            for (int i = 0; i < 5000; i++)
                work = work * UINT64_C(6364136223846793005) + 1;
    return NULL;
}

static unsigned burners_for(double share)
{
    unsigned count = 1;

    if (share <= 0)
        return 0;
    while (count < BURNERS_MAX / 2 && count < share * (count + 1) - 1e-9)
        count++;
    return 2 * count;
}

static void tell_crew(double share, duration since, bool over)
{
    pthread_mutex_lock(&crew.lock);
    int64_t most = used_ns() + HELPER_PERIOD_NS; /* what it could not take in time is not made up for */
    crew.budget += duration_from_seconds(share * duration_seconds(since));
    crew.budget = crew.budget < most ? crew.budget : most;
    crew.active = burners_for(share);
    crew.over = over;
    pthread_cond_broadcast(&crew.changed);
    pthread_mutex_unlock(&crew.lock);
}

static void lead(const struct way *way)
{
    int64_t last = monotonic_ns(), pin_at = last;

    while (way_goes_on(way)) {
        int64_t now = monotonic_ns();
        if (now >= pin_at) {
            each_thread(way->victim, pin);
            pin_at = now + PIN_AGAIN_NS;
        }
        tell_crew(way_intensity(way), now - last, false);
        last = now;
        way_rest(HELPER_PERIOD_NS);
    }
}

int neighbour_run(const struct way *way)
{
    pthread_t burners[BURNERS_MAX];
    unsigned count = 0;

    if (!choose_core(way->victim))
        return way_fail("there is no core for process %d and its neighbour", (int)way->victim);
    while (count < BURNERS_MAX &&
           pthread_create(&burners[count], NULL, burner, (void *)(uintptr_t)count) == 0)
        count++;
    if (count > 0)
        lead(way);
    tell_crew(0, 0, true);
    each_thread(way->victim, unpin);
    for (unsigned i = 0; i < count; i++)
        pthread_join(burners[i], NULL);
    return count > 0 ? 0 : way_fail("no thread can be started");
}
