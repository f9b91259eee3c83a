#include "cli/machine_use.h"

#include "base/clock.h"

#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

/* Of the processors in `allowed`, from the lines "cpuN user nice system idle iowait irq softirq steal ..." of
 * /proc/stat, in ticks (proc(5)); negative if they cannot be read. */
static double busy_seconds(const cpu_set_t *allowed)
{
    FILE *file = fopen("/proc/stat", "re");
    if (!file)
        return -1;
    char line[512];
    double ticks = 0;
    unsigned number, found = 0;
    unsigned long long user, nice, system, idle, iowait, irq, softirq, steal;
    while (fgets(line, sizeof line, file)) {
        if (sscanf(line, "cpu%u %llu %llu %llu %llu %llu %llu %llu %llu", &number, &user, &nice, &system,
                   &idle, &iowait, &irq, &softirq, &steal) != 9)
            continue;
        if (number >= CPU_SETSIZE || !CPU_ISSET(number, allowed))
            continue;
        ticks += (double)(user + nice + system + irq + softirq + steal);
        found++;
    }
    fclose(file);
    return found ? ticks / (double)sysconf(_SC_CLK_TCK) : -1;
}

static double seconds_used(int who)
{
    struct rusage used = {0};
    getrusage(who, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           1e-6 * (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec);
}

static struct machine_use now(void)
{
    cpu_set_t allowed;
    struct machine_use use = {0};
    if (sched_getaffinity(0, sizeof allowed, &allowed) < 0)
        return use;
    use.processors = (unsigned)CPU_COUNT(&allowed);
    use.busy_s = busy_seconds(&allowed);
    use.own_s = seconds_used(RUSAGE_SELF) + seconds_used(RUSAGE_CHILDREN);
    use.began_ns = use.busy_s < 0 ? 0 : monotonic_ns();
    return use;
}

void machine_use_begin(struct machine_use *use)
{
    *use = now();
}

double machine_use_by_others(const struct machine_use *use)
{
    struct machine_use end = now();
    double took_s = duration_seconds(end.began_ns - use->began_ns);
    if (use->began_ns == 0 || end.began_ns == 0 || took_s <= 0)
        return NAN;
    double others = ((end.busy_s - use->busy_s) - (end.own_s - use->own_s)) / took_s;
    return others < 0 ? 0 : others > use->processors ? use->processors : others;
}
