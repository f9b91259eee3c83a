/* How each kind of fault is done to this node. */
#include "agent/fault.h"

#include "agent/folder_use.h"
#include "agent/journal.h"
#include "agent/load.h"
#include "agent/supervisor.h"
#include "agent/versions.h"
#include "base/clock.h"
#include "inject/helper.h"
#include "inject/leash.h"
#include "inject/page.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_SIZE = 1100 };

static const duration exit_patience_ns = 2 * SECOND; /* for a SIGTERM, before SIGKILL */
static const duration surge_lasts_ns = 2 * SECOND;   /* of a retry storm: the cause that goes */
static const duration room_told_ns = 200 * MILLISECOND;

/* How a kind is done. What is NULL does nothing. */
struct way {
    const char *(*begin)(struct fault *fault);
    void (*drive)(struct fault *fault, double level);
    void (*started)(struct fault *fault);
    bool (*is_out_of_reach)(const struct fault *fault); /* NULL: ask the page */
    const char *(*tick)(struct fault *fault, int64_t now_ns);
    void (*end)(struct fault *fault);
};

/* --- helpers ----------------------------------------------------------------------------------------------
 */

/* It may have been killed while it held the service, or kept it on one core. */
static void clean_up(const struct fault *fault)
{
    pid_t victim = supervisor_pid(fault->injection->options.supervisor);
    if (victim > 0 && fault->kind == FAULT_CPU_SPIKE)
        helper_clean_up(HELPER_BURN, victim);
    if (victim > 0 && fault->kind == FAULT_NOISY_NEIGHBOUR)
        helper_clean_up(HELPER_NEIGHBOUR, victim);
}

static void on_helper_death(void *context, int status)
{
    (void)status;
    clean_up(context);
}

static const char *start_helper(struct fault *fault, const char *kind, bool in_group)
{
    const struct injection_options *my = &fault->injection->options;
    char page[16], victim[16], bytes[32];
    snprintf(page, sizeof page, "%d", my->page_fd);
    snprintf(victim, sizeof victim, "%d", supervisor_pid(my->supervisor));
    snprintf(bytes, sizeof bytes, "%" PRIu64, my->memory_bytes);
    const char *words[] = {"homeostat", "helper", kind,     "--page-fd", page,
                           "--victim",  victim,   "--most", bytes,       NULL};
    char *argv[sizeof words / sizeof words[0]];
    memcpy(argv, words, sizeof words); /* execv takes char *const[] for history's sake and changes nothing */
    struct child_options options = {.path = my->binary,
                                    .argv = argv,
                                    .keep = &my->page_fd,
                                    .keep_count = 1,
                                    .group = in_group ? supervisor_group(my->supervisor) : 0,
                                    .log_fd = -1,
                                    .died = on_helper_death,
                                    .context = fault};
    if (supervisor_pid(my->supervisor) <= 0)
        return "the service is not running";
    int error = child_start(&fault->helper, fault->injection->base, &options);
    return error < 0 ? "a helper process cannot be started" : NULL;
}

static void end_helper(struct fault *fault)
{
    if (!fault->helper.pid)
        return;
    child_signal(&fault->helper, SIGCONT);
    child_signal(&fault->helper, SIGTERM);
}

/* --- what is only on the page: its readers do it ----------------------------------------------------------
 */

static const char *page_begin(struct fault *fault)
{
    page_set(fault->injection->options.page, (enum fault_kind)fault->kind, 0, fault->until_ns);
    return NULL;
}

static void page_drive(struct fault *fault, double level)
{
    page_level(fault->injection->options.page, (enum fault_kind)fault->kind, level * fault->intensity);
}

static void page_end(struct fault *fault)
{
    page_clear(fault->injection->options.page, (enum fault_kind)fault->kind);
}

/* --- cpu_spike --------------------------------------------------------------------------------------------
 */

static const char *spike_begin(struct fault *fault)
{
    page_begin(fault);
    const char *why = fault->injection->options.built_in ? NULL : start_helper(fault, "burn", true);
    if (why)
        page_end(fault);
    return why;
}

/* A helper that somebody killed is not started again: the fault is then over. One that the service's restart
 * took along is no news; that cure will be told by the command. */
static const char *helper_tick(struct fault *fault, int64_t now_ns)
{
    (void)now_ns;
    const struct injection_options *my = &fault->injection->options;
    enum fault_kind kind = (enum fault_kind)fault->kind;
    bool strikes = page_intensity(my->page, kind, page_incarnation(my->page, kind)) > 0;
    bool gone = !my->built_in && fault->level > 0 && strikes && !fault->helper.pid;
    return gone && supervisor_state(my->supervisor) == SERVICE_UP ? "its helper process has ended" : NULL;
}

static void helper_end(struct fault *fault)
{
    page_end(fault);
    end_helper(fault);
}

/* --- noisy_neighbour --------------------------------------------------------------------------------------
 */

static const char *neighbour_begin(struct fault *fault)
{
    page_begin(fault);
    const char *why = start_helper(fault, "neighbour", false);
    if (why)
        page_end(fault);
    return why;
}

/* The new process is to share its core, too. */
static void neighbour_started(struct fault *fault)
{
    if (fault->isolated)
        return;
    child_reap(&fault->helper);
    start_helper(fault, "neighbour", false);
}

static const char *neighbour_tick(struct fault *fault, int64_t now_ns)
{
    (void)now_ns;
    bool up = supervisor_state(fault->injection->options.supervisor) == SERVICE_UP;
    return up && !fault->helper.pid ? "its helper process has ended" : NULL;
}

/* A drained node has it still, though nobody feels it. */
static bool neighbour_is_out_of_reach(const struct fault *fault)
{
    return fault->isolated || !fault->helper.pid;
}

static void neighbour_end(struct fault *fault)
{
    if (fault->isolated)
        return; /* it is stopped, and stays so until its time is over */
    page_end(fault);
    end_helper(fault);
}

/* --- service_crash, service_hang --------------------------------------------------------------------------
 */

static const char *crash_begin(struct fault *fault)
{
    const struct injection_options *my = &fault->injection->options;
    if (supervisor_pid(my->supervisor) <= 0)
        return "the service is not running";
    if (journal_strike(my->journal, fault->id, fault->until_ns - fault->began_ns) < 0)
        return "the command journal cannot be written";
    fault->victim = supervisor_pid(my->supervisor);
    return NULL;
}

/* The process that it struck is gone, and a successor runs. */
static bool crash_is_out_of_reach(const struct fault *fault)
{
    const struct supervisor *supervisor = fault->injection->options.supervisor;
    return supervisor_state(supervisor) == SERVICE_UP && supervisor_pid(supervisor) != fault->victim;
}

/* Its victim, while that is there, and never a successor that a remedy has started. */
static pid_t crash_victim(const struct fault *fault)
{
    pid_t pid = supervisor_pid(fault->injection->options.supervisor);
    return pid == fault->victim ? pid : 0;
}

static void crash_drive(struct fault *fault, double level)
{
    pid_t pid = crash_victim(fault);
    if (level > 0 && pid > 0)
        kill(pid, SIGKILL);
}

static void hang_drive(struct fault *fault, double level)
{
    pid_t pid = crash_victim(fault);
    int64_t left_ns = fault->until_ns - monotonic_ns();
    leash_release(&fault->leash_fd);
    if (level > 0 && pid > 0 && left_ns > 0 && leash_hang(pid, left_ns, &fault->leash_fd) < 0)
        fault->leash_fd = -1;
}

static const char *hang_tick(struct fault *fault, int64_t now_ns)
{
    (void)now_ns;
    bool strikes = fault->level > 0 && crash_victim(fault) > 0;
    return strikes && fault->leash_fd < 0 ? "the service's process could not be stopped" : NULL;
}

static void hang_end(struct fault *fault)
{
    leash_release(&fault->leash_fd);
}

/* --- memory_leak, crash_loop: a bad release ---------------------------------------------------------------
 */

static const char *release_begin(struct fault *fault)
{
    const struct injection_options *my = &fault->injection->options;
    char text[256];
    if (supervisor_state(my->supervisor) != SERVICE_UP)
        return "the service is not running";
    snprintf(text, sizeof text, "# rolled out by fault %" PRIu64 ": %s\n", fault->id,
             fault_infos[fault->kind].sentence);
    fault->version = versions_roll_out(my->releases, text, fault->id);
    if (fault->version < 0)
        return "a new release cannot be written to the node's folder";
    page_begin(fault);
    int error = supervisor_restart(my->supervisor, 0, NULL, NULL);
    if (error == 0)
        return NULL;
    page_end(fault);
    versions_forget(my->releases, fault->id);
    return "the service is being started already";
}

static bool runs_release(const struct fault *fault)
{
    return versions_current(fault->injection->options.releases) == fault->version;
}

static bool release_is_out_of_reach(const struct fault *fault)
{
    return !runs_release(fault);
}

/* The old helper was killed with the service's group, but takes its time to die if it has lost much. */
static void leak_started(struct fault *fault)
{
    child_reap(&fault->helper);
    samples_forget(&fault->injection->last, METRIC_NODE_MEMORY_UTILIZATION); /* of the process before */
    if (runs_release(fault))
        start_helper(fault, "leak", true);
}

/* What the kernel would do on a machine of that size. */
static const char *leak_tick(struct fault *fault, int64_t now_ns)
{
    (void)now_ns;
    const struct injection *injection = fault->injection;
    pid_t pid = supervisor_pid(injection->options.supervisor);
    bool full = samples_have(&injection->last, METRIC_NODE_MEMORY_UTILIZATION) &&
                injection->last.value[METRIC_NODE_MEMORY_UTILIZATION] >= 1;
    if (full && pid > 0 && fault->helper.pid)
        kill(pid, SIGKILL);
    return NULL;
}

static void loop_started(struct fault *fault)
{
    fault->exits_ns = runs_release(fault) ? monotonic_ns() + duration_from_seconds(fault->intensity) : 0;
    fault->killed_ns = 0;
}

static const char *loop_tick(struct fault *fault, int64_t now_ns)
{
    pid_t pid = supervisor_pid(fault->injection->options.supervisor);
    if (pid <= 0 || supervisor_state(fault->injection->options.supervisor) != SERVICE_UP) {
        fault->exits_ns = fault->killed_ns = 0;
    } else if (fault->exits_ns && now_ns >= fault->exits_ns && fault->level > 0) {
        supervisor_blame_release(fault->injection->options.supervisor);
        kill(pid, SIGTERM);
        fault->bit = true;
        fault->exits_ns = 0;
        fault->killed_ns = now_ns + exit_patience_ns;
    } else if (fault->killed_ns && now_ns >= fault->killed_ns) {
        kill(pid, SIGKILL);
        fault->killed_ns = 0;
    }
    return NULL;
}

static void release_end(struct fault *fault)
{
    page_end(fault);
    end_helper(fault);
    versions_forget(fault->injection->options.releases, fault->id);
}

/* --- bad_config -------------------------------------------------------------------------------------------
 */

static const char *config_begin(struct fault *fault)
{
    const struct injection_options *my = &fault->injection->options;
    char text[64];
    snprintf(text, sizeof text, "{\"version\": %d, \"broken\": true}\n", versions_next(my->configs));
    fault->version = versions_roll_out(my->configs, text, fault->id);
    if (fault->version < 0)
        return "a new configuration cannot be written to the node's folder";
    page_renew(my->page, FAULT_BAD_CONFIG); /* it strikes those who read this configuration */
    page_begin(fault);
    supervisor_reload(my->supervisor);
    return NULL;
}

static bool config_is_out_of_reach(const struct fault *fault)
{
    return versions_current(fault->injection->options.configs) != fault->version;
}

static void config_end(struct fault *fault)
{
    const struct injection_options *my = &fault->injection->options;
    page_end(fault);
    if (versions_forget(my->configs, fault->id) > 0)
        supervisor_reload(my->supervisor);
}

/* --- disk_full --------------------------------------------------------------------------------------------
 */

static void ballast_path(const struct fault *fault, char path[PATH_SIZE])
{
    snprintf(path, PATH_SIZE, "%s/ballast-%" PRIu64, fault->injection->options.scratch_folder, fault->id);
}

/* The warden sweeps, unless this node agent was started before it could. */
void injection_clean(const char *scratch_folder)
{
    DIR *scratch = opendir(scratch_folder);
    for (struct dirent *entry; scratch && (entry = readdir(scratch));)
        if (strncmp(entry->d_name, "ballast-", strlen("ballast-")) == 0)
            unlinkat(dirfd(scratch), entry->d_name, 0);
    if (scratch)
        closedir(scratch);
}

static int64_t ballast_bytes(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 ? (int64_t)status.st_blocks * 512 : 0;
}

/* Real blocks, so that the disk is full for whoever looks at it. 0 or a negative errno. */
static int resize_ballast(const char *path, int64_t bytes)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    int result = fd < 0 || ftruncate(fd, bytes) < 0 ? -errno : 0;
    if (result == 0 && bytes > 0 && fallocate(fd, 0, 0, bytes) < 0)
        result = -errno;
    if (fd >= 0)
        close(fd);
    return result;
}

static int fill(struct fault *fault, double share)
{
    const struct injection_options *my = &fault->injection->options;
    char path[PATH_SIZE];
    ballast_path(fault, path);
    int64_t others = (int64_t)folder_use_bytes(my->use) - ballast_bytes(path);
    int64_t wanted = (int64_t)(share * (double)my->quota_bytes) - others;
    int result = resize_ballast(path, wanted > 0 ? wanted / 4096 * 4096 : 0);
    injection_tell_room(fault->injection);
    return result;
}

static const char *full_begin(struct fault *fault)
{
    int result = fill(fault, fault->intensity);
    if (result == 0) {
        page_set(fault->injection->options.page, FAULT_DISK_FULL, fault->intensity, fault->until_ns);
        return NULL;
    }
    char path[PATH_SIZE];
    ballast_path(fault, path);
    unlink(path);
    return result == -ENOSPC       ? "the machine's own disk has no room for it"
           : result == -EOPNOTSUPP ? "the machine's file system cannot set room aside (fallocate)"
                                   : "the node's scratch folder cannot be written";
}

static void full_drive(struct fault *fault, double level)
{
    if (monotonic_ns() - fault->began_ns > SECOND || level < 1)
        fill(fault, level * fault->intensity);
}

static const char *full_tick(struct fault *fault, int64_t now_ns)
{
    if (now_ns - fault->injection->room_ns >= room_told_ns)
        injection_tell_room(fault->injection);
    return NULL;
}

static bool full_is_out_of_reach(const struct fault *fault)
{
    char path[PATH_SIZE];
    ballast_path(fault, path);
    return access(path, F_OK) < 0;
}

static void full_end(struct fault *fault)
{
    char path[PATH_SIZE];
    page_end(fault);
    ballast_path(fault, path);
    unlink(path);
}

/* --- node_partition, zone_outage --------------------------------------------------------------------------
 */

/* Whether another fault of that kind, or of the other, is on as well. */
static bool another_is_on(const struct fault *fault, enum fault_kind kind, enum fault_kind other)
{
    const struct injection *injection = fault->injection;
    for (size_t i = 0; i < injection->count; i++) {
        const struct fault *each = injection->faults[i];
        if (each != fault && each->state == FAULT_IS_ACTIVE && each->level > 0 &&
            (each->kind == (int)kind || each->kind == (int)other))
            return true;
    }
    return false;
}

static void partition_drive(struct fault *fault, double level)
{
    bool cut = level > 0 || another_is_on(fault, FAULT_NODE_PARTITION, FAULT_ZONE_OUTAGE);
    fault->injection->options.cut(fault->injection->options.context, cut);
    fault->bit |= level > 0;
}

static void partition_end(struct fault *fault)
{
    partition_drive(fault, 0);
}

static void outage_drive(struct fault *fault, double level)
{
    struct supervisor *supervisor = fault->injection->options.supervisor;
    partition_drive(fault, level);
    if (level > 0)
        supervisor_stop(supervisor, NULL, NULL);
    else if (!fault->injection->ending)
        supervisor_revive(supervisor);
}

static void outage_end(struct fault *fault)
{
    outage_drive(fault, 0);
}

/* --- overload, retry_storm --------------------------------------------------------------------------------
 */

/* How many times their usual requests users send on behalf of that fault now. */
static double surge_of(const struct fault *fault)
{
    const struct injection_options *my = &fault->injection->options;
    if (fault->state != FAULT_IS_ACTIVE)
        return 1;
    if (fault->kind == FAULT_OVERLOAD)
        return 1 + (fault->intensity - 1) * fault->level;
    if (fault->kind != FAULT_RETRY_STORM || fault->surge_ns == 0)
        return 1;
    return my->usual_per_s > 0 && my->capacity_per_s > 0 ? 2 * my->capacity_per_s / my->usual_per_s : 10;
}

/* The greatest of all, for `fault` as if it were at `level`. */
static void surge(struct fault *fault, double level)
{
    const struct injection *injection = fault->injection;
    double most = 1;
    fault->level = level;
    for (size_t i = 0; i < injection->count; i++) {
        double each = surge_of(injection->faults[i]);
        most = each > most ? each : most;
    }
    load_surge(injection->options.load, most);
}

static void overload_drive(struct fault *fault, double level)
{
    surge(fault, level);
}

static void overload_end(struct fault *fault)
{
    surge(fault, 0);
}

/* Enough for a moment to push the node over the edge; then the retries keep it there. */
static void storm_drive(struct fault *fault, double level)
{
    load_retry(fault->injection->options.load, level > 0 ? (unsigned)fault->intensity : 0);
    fault->surge_ns = level > 0 ? monotonic_ns() + surge_lasts_ns : 0;
    surge(fault, level);
}

static const char *storm_tick(struct fault *fault, int64_t now_ns)
{
    if (fault->surge_ns && now_ns >= fault->surge_ns) {
        fault->surge_ns = 0;
        surge(fault, fault->level);
    }
    return NULL;
}

static void storm_end(struct fault *fault)
{
    storm_drive(fault, 0);
}

/* --- the table --------------------------------------------------------------------------------------------
 */

/* sensor_fault and clock_skew need nothing: injection.c asks for them when it reports. */
static const struct way ways[FAULT_COUNT] = {
    [FAULT_CPU_SPIKE] = {spike_begin, page_drive, NULL, NULL, helper_tick, helper_end},
    [FAULT_NETWORK_DELAY] = {page_begin, page_drive, NULL, NULL, NULL, page_end},
    [FAULT_NETWORK_LOSS] = {page_begin, page_drive, NULL, NULL, NULL, page_end},
    [FAULT_NETWORK_BANDWIDTH] = {page_begin, page_drive, NULL, NULL, NULL, page_end},
    [FAULT_NETWORK_CUT] = {page_begin, page_drive, NULL, NULL, NULL, page_end},
    [FAULT_STORAGE_LATENCY] = {page_begin, page_drive, NULL, NULL, NULL, page_end},
    [FAULT_IO_ERROR] = {page_begin, page_drive, NULL, NULL, NULL, page_end},
    [FAULT_SERVICE_CRASH] = {crash_begin, crash_drive, NULL, crash_is_out_of_reach, NULL, NULL},
    [FAULT_SERVICE_HANG] = {crash_begin, hang_drive, NULL, crash_is_out_of_reach, hang_tick, hang_end},
    [FAULT_NOISY_NEIGHBOUR] = {neighbour_begin, page_drive, neighbour_started, neighbour_is_out_of_reach,
                               neighbour_tick, neighbour_end},
    [FAULT_MEMORY_LEAK] = {release_begin, page_drive, leak_started, release_is_out_of_reach, leak_tick,
                           release_end},
    [FAULT_CRASH_LOOP] = {release_begin, page_drive, loop_started, release_is_out_of_reach, loop_tick,
                          release_end},
    [FAULT_BAD_CONFIG] = {config_begin, page_drive, NULL, config_is_out_of_reach, NULL, config_end},
    [FAULT_DISK_FULL] = {full_begin, full_drive, NULL, full_is_out_of_reach, full_tick, full_end},
    [FAULT_NODE_PARTITION] = {NULL, partition_drive, NULL, NULL, NULL, partition_end},
    [FAULT_ZONE_OUTAGE] = {NULL, outage_drive, NULL, NULL, NULL, outage_end},
    [FAULT_OVERLOAD] = {NULL, overload_drive, NULL, NULL, NULL, overload_end},
    [FAULT_RETRY_STORM] = {NULL, storm_drive, NULL, NULL, storm_tick, storm_end},
};

const char *strike_begin(struct fault *fault)
{
    const struct way *way = &ways[fault->kind];
    return way->begin ? way->begin(fault) : NULL;
}

void strike_drive(struct fault *fault, double level)
{
    if (ways[fault->kind].drive)
        ways[fault->kind].drive(fault, level);
}

void strike_started(struct fault *fault)
{
    if (ways[fault->kind].started)
        ways[fault->kind].started(fault);
}

bool strike_is_out_of_reach(const struct fault *fault)
{
    const struct page *page = fault->injection->options.page;
    enum fault_kind kind = (enum fault_kind)fault->kind;
    if (ways[kind].is_out_of_reach)
        return ways[kind].is_out_of_reach(fault);
    return page_is_over(page, kind, page_incarnation(page, kind));
}

const char *strike_tick(struct fault *fault, int64_t now_ns)
{
    return ways[fault->kind].tick ? ways[fault->kind].tick(fault, now_ns) : NULL;
}

void strike_end(struct fault *fault)
{
    if (fault->kind >= 0 && ways[fault->kind].end)
        ways[fault->kind].end(fault);
}

void strike_bury(struct fault *fault)
{
    if (!fault->helper.pid)
        return;
    if (fault->isolated && !another_is_on(fault, FAULT_NOISY_NEIGHBOUR, FAULT_NOISY_NEIGHBOUR))
        page_end(fault);
    fault->isolated = false;
    child_reap(&fault->helper);
    clean_up(fault);
}
