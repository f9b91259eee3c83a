#include "agent/sampler.h"

#include "agent/folder_use.h"
#include "base/clock.h"
#include "inject/vitals.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { THREADS_MAX = 1024 }; /* watched at once; more are not counted */

/* Few writes are not none: what the last ones said holds for so long. */
static const duration errors_hold_ns = 5 * SECOND;

/* One thread, known by its id together with when it began, since ids come again. */
struct thread {
    uint64_t began; /* clock ticks since the machine's start */
    uint64_t used_ns;
    uint32_t round; /* of the look that saw it last */
    pid_t tid;
    bool other; /* of another process on the node */
};

struct sampler {
    struct sampler_options options;
    struct thread threads[THREADS_MAX];
    size_t threads_count;
    uint32_t round;
    int64_t looked_ns;  /* uptime of the newest look */
    int64_t taken_ns;   /* monotonic, of the newest take */
    uint64_t grown_ns;  /* run plus wait since then */
    uint64_t others_ns; /* run time of the others since then */
    uint64_t writes, writes_ns, errors, arrivals;
    uint64_t storage_since; /* of the vitals, at the last look */
    double error_ratio;     /* of the writes ... */
    int64_t error_ratio_ns; /* ... as it was then, monotonic; 0: never */
};

void samples_set(struct samples *samples, enum metric metric, double value)
{
    samples->value[metric] = value;
    samples->present |= 1u << metric;
}

void samples_forget(struct samples *samples, enum metric metric)
{
    samples->present &= ~(1u << metric);
}

bool samples_have(const struct samples *samples, enum metric metric)
{
    return samples->present >> metric & 1;
}

static bool read_text(const char *path, char *out, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, out, size - 1);
    if (fd >= 0)
        close(fd);
    out[got > 0 ? got : 0] = '\0';
    return got > 0;
}

/* --- the service's threads ------------------------------------------------------------------------------ */

/* Field 22 of /proc/PID/stat; the name in field 2 may contain blanks and parentheses. */
static bool parse_began(const char *stat, uint64_t *began)
{
    const char *rest = strrchr(stat, ')');
    for (int field = 2; rest && field < 22; field++)
        rest = strchr(rest + 1, ' ');
    return rest && sscanf(rest, "%" SCNu64, began) == 1;
}

static struct thread *thread_find(struct sampler *sampler, pid_t tid, uint64_t began)
{
    for (size_t i = 0; i < sampler->threads_count; i++)
        if (sampler->threads[i].tid == tid && sampler->threads[i].began == began)
            return &sampler->threads[i];
    return NULL;
}

static void look_at_thread(struct sampler *sampler, pid_t pid, const char *tid, bool other)
{
    char path[96], text[1024];
    uint64_t began, run_ns, wait_ns;
    snprintf(path, sizeof path, "/proc/%d/task/%.16s/stat", pid, tid);
    if (!read_text(path, text, sizeof text) || !parse_began(text, &began))
        return;
    snprintf(path, sizeof path, "/proc/%d/task/%.16s/schedstat", pid, tid);
    if (!read_text(path, text, sizeof text) || sscanf(text, "%" SCNu64 " %" SCNu64, &run_ns, &wait_ns) != 2)
        return;
    uint64_t used_ns = other ? run_ns : run_ns + wait_ns;
    struct thread *thread = thread_find(sampler, (pid_t)atoi(tid), began);
    if (!thread) {
        if (sampler->threads_count == THREADS_MAX)
            return;
        /* A thread that began since the last look counts from its start; one that is only new to us, from
         * now. */
        int64_t tick_ns = SECOND / sysconf(_SC_CLK_TCK);
        bool is_young = (int64_t)began * tick_ns + tick_ns >= sampler->looked_ns;
        thread = &sampler->threads[sampler->threads_count++];
        *thread = (struct thread){
            .began = began, .used_ns = is_young ? 0 : used_ns, .tid = (pid_t)atoi(tid), .other = other};
    }
    if (used_ns > thread->used_ns && thread->other)
        sampler->others_ns += used_ns - thread->used_ns;
    else if (used_ns > thread->used_ns)
        sampler->grown_ns += used_ns - thread->used_ns;
    thread->used_ns = used_ns;
    thread->round = sampler->round;
}

static void look_at_process(struct sampler *sampler, pid_t pid, bool other)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task", pid);
    DIR *tasks = opendir(path);
    if (!tasks)
        return;
    for (struct dirent *entry; (entry = readdir(tasks));)
        if (isdigit((unsigned char)entry->d_name[0]))
            look_at_thread(sampler, pid, entry->d_name, other);
    closedir(tasks);
}

void sampler_look(struct sampler *sampler, const struct tree *tree, const struct tree *others)
{
    sampler->round++;
    int64_t now_ns = uptime_ns();
    for (size_t i = 0; i < tree->count; i++)
        look_at_process(sampler, tree->pid[i], false);
    for (size_t i = 0; i < others->count; i++)
        look_at_process(sampler, others->pid[i], true);
    sampler->looked_ns = now_ns;
    size_t kept = 0;
    for (size_t i = 0; i < sampler->threads_count; i++)
        if (sampler->threads[i].round == sampler->round)
            sampler->threads[kept++] = sampler->threads[i];
    sampler->threads_count = kept;
}

/* --- the samples ---------------------------------------------------------------------------------------- */

static double within_one(double ratio)
{
    return ratio < 0 ? 0 : ratio > 1 ? 1 : ratio;
}

static void take_memory(const struct sampler *sampler, const struct tree *tree, struct samples *samples)
{
    uint64_t pages = 0;
    bool any = false;
    for (size_t i = 0; i < tree->count; i++) {
        char path[64], text[128];
        uint64_t size, resident;
        snprintf(path, sizeof path, "/proc/%d/statm", tree->pid[i]);
        if (!read_text(path, text, sizeof text) ||
            sscanf(text, "%" SCNu64 " %" SCNu64, &size, &resident) != 2)
            continue;
        pages += resident;
        any = true;
    }
    double bytes = (double)pages * (double)sysconf(_SC_PAGESIZE);
    if (any)
        samples_set(samples, METRIC_MEMORY_BYTES, bytes);
    if (any && sampler->options.memory_bytes > 0)
        samples_set(samples, METRIC_NODE_MEMORY_UTILIZATION,
                    within_one(bytes / (double)sampler->options.memory_bytes));
}

/* The mean of the writes that ended; one that has been under way for longer says more than they do, unless
 * the service is stopped: then it is not the storage that keeps it waiting. */
static void take_storage(struct sampler *sampler, const struct tree *tree, struct samples *samples)
{
    bool has_service = tree->count > 0;
    uint64_t writes = atomic_load(&sampler->options.vitals->storage_writes);
    uint64_t writes_ns = atomic_load(&sampler->options.vitals->storage_ns);
    uint64_t since_ns = atomic_load(&sampler->options.vitals->storage_since);
    uint64_t errors = atomic_load(&sampler->options.vitals->storage_errors);
    double latency_ns = -1;
    int64_t now_ns = monotonic_ns();
    if (writes > sampler->writes) {
        sampler->error_ratio =
            within_one((double)(errors - sampler->errors) / (double)(writes - sampler->writes));
        sampler->error_ratio_ns = now_ns;
    }
    if (has_service && sampler->error_ratio_ns && now_ns - sampler->error_ratio_ns < errors_hold_ns)
        samples_set(samples, METRIC_STORAGE_ERROR_RATIO, sampler->error_ratio);
    sampler->errors = errors;
    /* One that lasts while others end was begun by a process that has died in it. */
    bool abandoned = since_ns == sampler->storage_since && writes > sampler->writes;
    sampler->storage_since = since_ns;
    if (writes > sampler->writes && writes_ns >= sampler->writes_ns)
        latency_ns = (double)(writes_ns - sampler->writes_ns) / (double)(writes - sampler->writes);
    sampler->writes = writes;
    sampler->writes_ns = writes_ns;
    double age_ns = since_ns && !abandoned ? (double)(monotonic_ns() - (int64_t)since_ns) : -1;
    if (age_ns > latency_ns && has_service && process_state(tree->pid[0]) != 'T')
        latency_ns = age_ns;
    if (has_service && latency_ns >= 0)
        samples_set(samples, METRIC_STORAGE_LATENCY, latency_ns / 1e9);
}

/* What is in use of what the node has. */
static void take_filesystem(const struct sampler *sampler, struct samples *samples)
{
    double used = (double)folder_use_bytes(sampler->options.use);
    if (sampler->options.quota_bytes > 0)
        samples_set(samples, METRIC_FILESYSTEM_UTILIZATION,
                    within_one(used / (double)sampler->options.quota_bytes));
}

struct sampler *sampler_new(const struct sampler_options *options)
{
    struct sampler *sampler = calloc(1, sizeof *sampler);
    if (!sampler)
        return NULL;
    sampler->options = *options;
    sampler->looked_ns = uptime_ns();
    sampler->taken_ns = monotonic_ns();
    return sampler;
}

void sampler_free(struct sampler **sampler)
{
    free(*sampler);
    *sampler = NULL;
}

void sampler_take(struct sampler *sampler, int cores, const struct tree *tree, const struct tree *others,
                  struct samples *samples, double *arrivals_per_s)
{
    bool has_service = tree->count > 0;
    sampler_look(sampler, tree, others);
    int64_t now_ns = monotonic_ns();
    double elapsed_ns = (double)(now_ns - sampler->taken_ns);
    uint64_t arrivals = atomic_load(&sampler->options.vitals->arrivals);
    *arrivals_per_s = -1;
    if (elapsed_ns > 0) {
        if (has_service)
            samples_set(samples, METRIC_CPU_UTILIZATION,
                        within_one((double)sampler->grown_ns / elapsed_ns / cores));
        samples_set(samples, METRIC_NEIGHBOUR_CPU_UTILIZATION,
                    within_one((double)sampler->others_ns / elapsed_ns));
        *arrivals_per_s = (double)(arrivals - sampler->arrivals) / elapsed_ns * 1e9;
    }
    sampler->taken_ns = now_ns;
    sampler->grown_ns = sampler->others_ns = 0;
    sampler->arrivals = arrivals;
    take_memory(sampler, tree, samples);
    take_storage(sampler, tree, samples);
    take_filesystem(sampler, samples);
}
