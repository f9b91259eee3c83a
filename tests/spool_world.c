#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "spool_world.h"

#include "base/clock.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

const char *spool_folder(const struct world *world)
{
    static char path[96];
    snprintf(path, sizeof path, "%s/spool", world->folder);
    return path;
}

struct spool *spool_of(const struct world *world, uint64_t boot, size_t bytes)
{
    struct spool_options options = {
        .folder = spool_folder(world), .name = "web-1", .boot = boot, .bytes = bytes};
    struct spool *spool;
    assert_int_equal(spool_open(&spool, &options), 0);
    return spool;
}

struct agent_report spool_report(uint64_t boot, uint64_t sequence)
{
    struct agent_report report = {.boot = boot, .sequence = sequence, .taken_ns = uptime_ns()};
    for (int metric = 0; metric < METRIC_COUNT; metric++)
        samples_set(&report.samples, (enum metric)metric,
                    (metric_infos[metric].unit == UNIT_FLAG ? 1 : 1.0 / (double)(sequence + 3)));
    return report;
}

void spool_fill(struct spool *spool, uint64_t boot, uint64_t from, uint64_t to)
{
    for (uint64_t sequence = from; sequence <= to; sequence++) {
        struct agent_report report = spool_report(boot, sequence);
        spool_put(spool, &report);
        spool_tidy(spool);
    }
}

/* What a node agent of that boot leaves that is killed after so many reports, of which `stored` are durable.
 */
void spool_leave_behind(const struct world *world, uint64_t boot, size_t bytes, uint64_t reports,
                        uint64_t stored)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        struct spool *spool = spool_of(world, boot, bytes);
        spool_fill(spool, boot, 1, reports);
        for (uint64_t sequence = 1; sequence <= stored; sequence++) {
            spool_accept(spool, boot, sequence, sequence);
            spool_stored(spool, boot, sequence, sequence);
        }
        kill(getpid(), SIGKILL);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
}

void file_write(const char *path, const uint8_t *bytes, size_t length)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_int_equal(write(fd, bytes, length), length);
    close(fd);
}
