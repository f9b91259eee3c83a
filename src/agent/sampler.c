#include "agent/sampler.h"

#include "base/clock.h"
#include "service/vitals.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { THREADS_MAX = 1024 }; /* watched at once; more are not counted */

/* One thread, known by its id together with when it began, since ids come again. */
struct thread {
    uint64_t began; /* clock ticks since the machine's start */
    uint64_t used_ns;
    uint32_t round; /* of the look that saw it last */
    pid_t tid;
};

struct sampler {
    const struct vitals *vitals;
    const char *data_folder;
    struct thread threads[THREADS_MAX];
    size_t threads_count;
    uint32_t round;
    int64_t looked_ns;            /* uptime of the newest look */
    int64_t taken_ns;             /* monotonic, of the newest take */
    uint64_t grown_ns;            /* run plus wait since then */
    uint64_t cpu_busy, cpu_total; /* of the node, clock ticks */
    uint64_t writes, writes_ns;
};

void samples_set(struct samples *samples, enum metric metric, double value)
{
    samples->value[metric] = value;
    samples->present |= 1u << metric;
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

static void look_at_thread(struct sampler *sampler, pid_t pid, const char *tid)
{
    char path[96], text[1024];
    uint64_t began, run_ns, wait_ns;
    snprintf(path, sizeof path, "/proc/%d/task/%.16s/stat", pid, tid);
    if (!read_text(path, text, sizeof text) || !parse_began(text, &began))
        return;
    snprintf(path, sizeof path, "/proc/%d/task/%.16s/schedstat", pid, tid);
    if (!read_text(path, text, sizeof text) || sscanf(text, "%" SCNu64 " %" SCNu64, &run_ns, &wait_ns) != 2)
        return;
    uint64_t used_ns = run_ns + wait_ns;
    struct thread *thread = thread_find(sampler, (pid_t)atoi(tid), began);
    if (!thread) {
        if (sampler->threads_count == THREADS_MAX)
            return;
        /* A thread that began since the last look counts from its start; one that is only new to us, from
         * now. */
        int64_t tick_ns = SECOND / sysconf(_SC_CLK_TCK);
        bool is_young = (int64_t)began * tick_ns + tick_ns >= sampler->looked_ns;
        thread = &sampler->threads[sampler->threads_count++];
        *thread = (struct thread){.began = began, .used_ns = is_young ? 0 : used_ns, .tid = (pid_t)atoi(tid)};
    }
    if (used_ns > thread->used_ns)
        sampler->grown_ns += used_ns - thread->used_ns;
    thread->used_ns = used_ns;
    thread->round = sampler->round;
}

static void look_at_process(struct sampler *sampler, pid_t pid)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task", pid);
    DIR *tasks = opendir(path);
    if (!tasks)
        return;
    for (struct dirent *entry; (entry = readdir(tasks));)
        if (isdigit((unsigned char)entry->d_name[0]))
            look_at_thread(sampler, pid, entry->d_name);
    closedir(tasks);
}

void sampler_look(struct sampler *sampler, const struct tree *tree)
{
    sampler->round++;
    int64_t now_ns = uptime_ns();
    for (size_t i = 0; i < tree->count; i++)
        look_at_process(sampler, tree->pid[i]);
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

static void take_memory(const struct tree *tree, struct samples *samples)
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
    if (any)
        samples_set(samples, METRIC_MEMORY_BYTES, (double)pages * (double)sysconf(_SC_PAGESIZE));
}

/* The mean of the writes that ended; one that has been under way for longer says more than they do, unless
 * the service is stopped: then it is not the storage that keeps it waiting. */
static void take_storage(struct sampler *sampler, const struct tree *tree, struct samples *samples)
{
    bool has_service = tree->count > 0;
    if (!sampler->vitals)
        return;
    uint64_t writes = atomic_load(&sampler->vitals->storage_writes);
    uint64_t writes_ns = atomic_load(&sampler->vitals->storage_ns);
    uint64_t since_ns = atomic_load(&sampler->vitals->storage_since);
    double latency_ns = -1;
    if (writes > sampler->writes && writes_ns >= sampler->writes_ns)
        latency_ns = (double)(writes_ns - sampler->writes_ns) / (double)(writes - sampler->writes);
    sampler->writes = writes;
    sampler->writes_ns = writes_ns;
    double age_ns = since_ns ? (double)(monotonic_ns() - (int64_t)since_ns) : -1;
    if (age_ns > latency_ns && has_service && process_state(tree->pid[0]) != 'T')
        latency_ns = age_ns;
    if (has_service && latency_ns >= 0)
        samples_set(samples, METRIC_STORAGE_LATENCY, latency_ns / 1e9);
}

static void take_node_cpu(struct sampler *sampler, struct samples *samples)
{
    char text[512];
    uint64_t t[8]; /* user nice system idle iowait irq softirq steal */
    if (!read_text("/proc/stat", text, sizeof text) ||
        sscanf(text,
               "cpu %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64
               " %" SCNu64,
               &t[0], &t[1], &t[2], &t[3], &t[4], &t[5], &t[6], &t[7]) != 8)
        return;
    uint64_t busy = t[0] + t[1] + t[2] + t[5] + t[6] + t[7], total = busy + t[3] + t[4];
    if (sampler->cpu_total && total > sampler->cpu_total && busy >= sampler->cpu_busy)
        samples_set(samples, METRIC_NODE_CPU_UTILIZATION,
                    within_one((double)(busy - sampler->cpu_busy) / (double)(total - sampler->cpu_total)));
    sampler->cpu_busy = busy;
    sampler->cpu_total = total;
}

static void take_node_memory(struct samples *samples)
{
    char text[1024];
    uint64_t total, available;
    if (!read_text("/proc/meminfo", text, sizeof text))
        return;
    const char *found = strstr(text, "MemAvailable:");
    if (found && sscanf(text, "MemTotal: %" SCNu64, &total) == 1 && total > 0 &&
        sscanf(found, "MemAvailable: %" SCNu64, &available) == 1)
        samples_set(samples, METRIC_NODE_MEMORY_UTILIZATION,
                    within_one(1 - (double)available / (double)total));
}

/* What is in use of what the service could use: as df counts it, without the blocks reserved for root. */
static void take_filesystem(const struct sampler *sampler, struct samples *samples)
{
    struct statvfs status;
    if (statvfs(sampler->data_folder, &status) < 0 || status.f_blocks == 0)
        return;
    double used = (double)(status.f_blocks - status.f_bfree);
    double usable = used + (double)status.f_bavail;
    if (usable > 0)
        samples_set(samples, METRIC_FILESYSTEM_UTILIZATION, within_one(used / usable));
}

struct sampler *sampler_new(const struct vitals *vitals, const char *data_folder)
{
    struct sampler *sampler = calloc(1, sizeof *sampler);
    if (!sampler)
        return NULL;
    sampler->vitals = vitals;
    sampler->data_folder = data_folder;
    sampler->looked_ns = uptime_ns();
    sampler->taken_ns = monotonic_ns();
    struct samples dropped = {0};
    take_node_cpu(sampler, &dropped);
    return sampler;
}

void sampler_free(struct sampler **sampler)
{
    free(*sampler);
    *sampler = NULL;
}

void sampler_take(struct sampler *sampler, const struct tree *tree, struct samples *samples)
{
    bool has_service = tree->count > 0;
    sampler_look(sampler, tree);
    int64_t now_ns = monotonic_ns();
    double elapsed_ns = (double)(now_ns - sampler->taken_ns);
    if (has_service && elapsed_ns > 0)
        samples_set(samples, METRIC_CPU_UTILIZATION, within_one((double)sampler->grown_ns / elapsed_ns));
    sampler->taken_ns = now_ns;
    sampler->grown_ns = 0;
    take_memory(tree, samples);
    take_storage(sampler, tree, samples);
    take_filesystem(sampler, samples);
    take_node_cpu(sampler, samples);
    take_node_memory(samples);
}
