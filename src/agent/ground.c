#include "agent/ground.h"

#include "agent/injection.h"
#include "agent/journal.h"
#include "agent/load.h"
#include "agent/port.h"
#include "agent/spool.h"
#include "agent/versions.h"
#include "base/check.h"
#include "base/text.h"
#include "inject/page.h"
#include "inject/preload_image.h"
#include "inject/vitals.h"
#include "wire/json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#define MIB UINT64_C(1048576)

static int complain(const struct ground *ground, int error, const char *what)
{
    fprintf(stderr, "%s: %s: %s\n", ground->options.name ? ground->options.name : "node agent", what,
            strerror(-error));
    return error;
}

static int check_options(struct ground *ground)
{
    struct agent_options *options = &ground->options;
    if (!options->name || !text_is_name(options->name, 63))
        return complain(ground, -EINVAL, "the node's name");
    if (!options->folder || strlen(options->folder) > PATHS_FOLDER_MAX)
        return complain(ground, -EINVAL, "the node's folder");
    if (options->calls_count > AGENT_CALLS_MAX)
        return complain(ground, -E2BIG, "the node calls too many others");
    options->plane_url = options->plane_url ? options->plane_url : "http://127.0.0.1:7070";
    options->interval_ns = options->interval_ns ? options->interval_ns : SECOND;
    if (options->interval_ns < 50 * MILLISECOND || options->interval_ns > MINUTE)
        return complain(ground, -ERANGE, "the interval");
    options->spool_bytes = options->spool_bytes ? options->spool_bytes : SPOOL_BYTES_DEFAULT;
    if (options->spool_bytes < SPOOL_BYTES_MIN || options->spool_bytes > SPOOL_BYTES_MAX)
        return complain(ground, -ERANGE, "the spool's size, which is 64 KiB to 64 MiB");
    options->listen = options->listen ? options->listen : "127.0.0.1:0";
    options->binary = options->binary ? options->binary : "/proc/self/exe";
    options->load_rate = options->load_rate == 0 ? 20 : options->load_rate < 0 ? 0 : options->load_rate;
    if (options->load_rate > 5000)
        return complain(ground, -ERANGE, "the load's rate");
    if (options->capacity_per_s == 0 && !options->exec)
        options->capacity_per_s = 500;
    if (options->capacity_per_s > 1e6)
        return complain(ground, -ERANGE, "the capacity, which is at most 1000000 requests a second");
    options->quota_bytes = options->quota_bytes ? options->quota_bytes : 256 * MIB;
    options->memory_bytes = options->memory_bytes ? options->memory_bytes : 256 * MIB;
    if (options->quota_bytes < 16 * MIB || options->memory_bytes < 16 * MIB)
        return complain(ground, -ERANGE, "the quota and the memory, which are at least 16 MiB");
    if (!options->probe || !options->exec)
        options->probe = options->exec ? "tcp" : NULL;
    if (options->probe && !load_probe_is_legal(options->probe))
        return complain(ground, -EINVAL, "the probe, which is http:PATH, tcp or tcp:TEXT");
    return 0;
}

static int open_folder(struct ground *ground)
{
    int error = paths_make(&ground->paths, ground->options.folder);
    if (error)
        return complain(ground, error, ground->options.folder);
    ground->use =
        (struct folder_use){.folders = {ground->paths.data, ground->paths.standby, ground->paths.scratch}};
    error = journal_open(&ground->journal, ground->paths.journal);
    if (error == -EBUSY)
        fprintf(stderr,
                "%s: another node agent has this folder, %s; mend: stop that one, or --folder FOLDER\n",
                ground->options.name, ground->options.folder);
    else if (error == -ENOTSUP)
        fprintf(stderr, "%s: %s, its .lock or its .new is no regular file; mend: remove it\n",
                ground->options.name, ground->paths.journal);
    else if (error)
        complain(ground, error, ground->paths.journal);
    return error;
}

/* What version 1 of the release holds: how the service is started. */
static void release_text(const struct ground *ground, char *out, size_t size)
{
    snprintf(out, size, "%s\n", ground->options.exec ? ground->options.exec : "the built-in service");
}

/* After the journal, whose lock keeps others out. Faults of a node agent that was killed may have left their
 * traces. */
static int open_versions(struct ground *ground)
{
    char text[VERSION_TEXT_MAX];
    release_text(ground, text, sizeof text);
    int error = versions_open(&ground->releases, ground->paths.releases, "run", text);
    if (error)
        return complain(ground, error, ground->paths.releases);
    injection_clean(ground->paths.scratch);
    error = versions_open(&ground->configs, ground->paths.configs, "conf", "{\"version\": 1}\n");
    if (error)
        return complain(ground, error, ground->paths.configs);
    error = ground->options.exec ? preload_write(ground->paths.preload) : 0;
    return error ? complain(ground, error, ground->paths.preload) : 0;
}

/* After the journal, whose lock keeps others out. */
static int open_spool(struct ground *ground)
{
    struct spool_options options = {.folder = ground->paths.spool,
                                    .name = ground->options.name,
                                    .boot = ground->boot,
                                    .bytes = ground->options.spool_bytes};
    return spool_open(&ground->spool, &options);
}

static int open_ports(struct ground *ground)
{
    ground->listen_fd =
        ground->options.listen_fd > 0 ? ground->options.listen_fd : port_listen(ground->options.listen);
    if (ground->listen_fd < 0)
        return complain(ground, ground->listen_fd, ground->options.listen);
    ground->echo_fd = port_listen("127.0.0.1:0");
    ground->reserved_fd = port_reserve(&ground->service_port);
    if (ground->echo_fd < 0 || ground->reserved_fd < 0)
        return complain(ground, ground->echo_fd < 0 ? ground->echo_fd : ground->reserved_fd,
                        "a port on loopback");
    snprintf(ground->address, sizeof ground->address, "127.0.0.1:%d", port_of(ground->listen_fd));
    return 0;
}

static int open_pages(struct ground *ground)
{
    ground->page_fd = page_create(&ground->page);
    if (ground->page_fd < 0)
        return complain(ground, ground->page_fd, "the fault page");
    char name[WARD_MEMORY_SIZE];
    ward_memory_name(name, ground->boot_text);
    ground->vitals_fd = memfd_create(name, MFD_CLOEXEC);
    if (ground->vitals_fd < 0 || ftruncate(ground->vitals_fd, sizeof *ground->vitals) < 0)
        return complain(ground, -errno, "the vitals");
    void *memory =
        mmap(NULL, sizeof *ground->vitals, PROT_READ | PROT_WRITE, MAP_SHARED, ground->vitals_fd, 0);
    if (memory == MAP_FAILED)
        return complain(ground, -errno, "the vitals");
    ground->vitals = memory;
    madvise(memory, sizeof *ground->vitals, MADV_DONTFORK); /* a leash, forked from here, is nobody's ward */
    return 0;
}

static int make_boot(struct ground *ground)
{
    do
        if (getrandom(&ground->boot, sizeof ground->boot, 0) != sizeof ground->boot)
            return -errno;
    while (ground->boot == 0);
    json_boot_text(ground->boot_text, ground->boot);
    return setenv(WARD_VARIABLE, ground->boot_text, 1) < 0 ? -errno : 0;
}

int ground_open(struct ground *ground, const struct agent_options *options)
{
    *ground = (struct ground){.options = *options,
                              .listen_fd = -1,
                              .echo_fd = -1,
                              .reserved_fd = -1,
                              .page_fd = -1,
                              .vitals_fd = -1,
                              .warden = {.lifeline = -1}};
    int error = check_options(ground);
    error = error ? error : open_folder(ground);
    error = error ? error : open_versions(ground);
    error = error ? error : make_boot(ground);
    error = error ? error : open_spool(ground);
    if (error)
        return error;
    error = warden_start(&ground->warden, ground->boot_text,
                         ground->options.folder); /* before there is anything that it must not inherit */
    error = error ? error : open_ports(ground);
    return error ? error : open_pages(ground);
}

void ground_close(struct ground *ground)
{
    spool_close(&ground->spool);
    if (ground->vitals)
        munmap(ground->vitals, sizeof *ground->vitals); /* who maps them is the warden's to kill */
    warden_end(&ground->warden);
    versions_close(&ground->releases);
    versions_close(&ground->configs);
    journal_close(&ground->journal);
    page_close(ground->page);
    const int fds[] = {ground->echo_fd, ground->reserved_fd, ground->page_fd, ground->vitals_fd,
                       ground->options.listen_fd > 0 ? -1 : ground->listen_fd};
    for (size_t i = 0; i < COUNT_OF(fds); i++)
        if (fds[i] >= 0)
            close(fds[i]);
    unsetenv(WARD_VARIABLE);
}
