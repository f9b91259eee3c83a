#include "agent/supervisor.h"

#include "agent/agent.h"
#include "agent/child.h"
#include "base/clock.h"
#include "agent/port.h"
#include "base/check.h"
#include "base/crash.h"
#include "base/text.h"
#include "inject/page.h"
#include "service/vitals.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    KNOWN_MAX = 8,
    COMMAND_SIZE = 4096,
    ARGUMENTS_MAX = 18 + 2 * AGENT_CALLS_MAX,
    LOG_BYTES_MAX = 1 << 20
};

#define COMMAND_VARIABLE "HOMEOSTAT_COMMAND"

static const duration listen_limit_ns = 10 * SECOND;
static const duration patience_ns = 300 * MILLISECOND; /* between SIGTERM and SIGKILL */
static const duration look_ns = 2 * MILLISECOND;       /* between looks whether it listens */

struct supervisor {
    struct event_base *base;
    struct supervisor_options options;
    struct event *timer; /* STARTING: look again; STOPPING: patience is over */
    struct child child;
    supervisor_done *done;
    void *done_context;
    int64_t started_ns;
    uint64_t starts;
    pid_t known[KNOWN_MAX];
    size_t known_count;
    pid_t newest;     /* the process started last, dead or alive */
    pid_t pid_before; /* `newest` when the operation under way began */
    enum service_state state;
    uint64_t command; /* that asked for the operation under way; 0: none did */
    int stop_result;  /* what the stop under way will be told as */
    bool busy, start_after_stop, standby;
};

/* --- how it ends ---------------------------------------------------------------------------------------- */

static void finish(struct supervisor *supervisor, int result, const char *detail)
{
    supervisor_done *done = supervisor->done;
    supervisor->busy = supervisor->start_after_stop = false;
    supervisor->command = 0;
    supervisor->done = NULL;
    if (done)
        done(supervisor->done_context, result, detail);
}

static void kill_tree(struct supervisor *supervisor)
{
    struct tree tree;
    supervisor_tree(supervisor, &tree);
    child_signal(&supervisor->child, SIGKILL);
    tree_signal(&tree, SIGKILL);
}

static void start_now(struct supervisor *supervisor);

static void on_death(void *context, int status)
{
    struct supervisor *supervisor = context;
    enum service_state state = supervisor->state;
    char how[64], detail[128];
    child_status_text(status, how, sizeof how);
    event_del(supervisor->timer);
    supervisor->state = SERVICE_DEAD;
    kill_tree(supervisor); /* what it left behind would hold its port and its files */
    if (state == SERVICE_STOPPING) {
        if (supervisor->start_after_stop)
            start_now(supervisor);
        else
            finish(supervisor, supervisor->stop_result,
                   supervisor->stop_result ? "it did not listen within 10 s and was killed" : "stopped");
        return;
    }
    if (state == SERVICE_STARTING) {
        snprintf(detail, sizeof detail, "the new process %s before it listened", how);
        finish(supervisor, -ECHILD, detail);
    }
    supervisor->options.died(supervisor->options.context, how);
}

/* --- how it begins -------------------------------------------------------------------------------------- */

static int log_open(const char *path)
{
    struct stat status;
    int fresh = stat(path, &status) == 0 && status.st_size > LOG_BYTES_MAX ? O_TRUNC : 0;
    return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | fresh, 0644);
}

/* `text` with {port}, {data} and {name} replaced, behind `exec` so that the shell does not stay. */
static bool own_command(const struct supervisor *supervisor, char *out, size_t size)
{
    const struct supervisor_options *options = &supervisor->options;
    char port[16];
    snprintf(port, sizeof port, "%d", options->port);
    const struct {
        const char *key, *value;
    } places[] = {{"{port}", port}, {"{data}", options->data_folder}, {"{name}", options->agent->name}};
    struct text text = text_over(out, size);
    text_add(&text, "exec ");
    for (const char *rest = options->agent->exec; *rest;) {
        size_t i = 0;
        while (i < COUNT_OF(places) && strncmp(rest, places[i].key, strlen(places[i].key)) != 0)
            i++;
        if (i < COUNT_OF(places)) {
            text_add(&text, places[i].value);
            rest += strlen(places[i].key);
        } else {
            text_add(&text, (const char[]){*rest++, '\0'});
        }
    }
    return !text.cut;
}

static int start_own(struct supervisor *supervisor, int log_fd)
{
    char command[COMMAND_SIZE];
    if (!own_command(supervisor, command, sizeof command))
        return -E2BIG;
    char *argv[] = {"/bin/sh", "-c", command, NULL};
    struct child_options options = {.argv = argv, .log_fd = log_fd, .died = on_death, .context = supervisor};
    return child_start(&supervisor->child, supervisor->base, &options);
}

static int start_built_in(struct supervisor *supervisor, int log_fd)
{
    const struct supervisor_options *my = &supervisor->options;
    char listen[32], page[16], vitals[16];
    snprintf(listen, sizeof listen, "127.0.0.1:%d", my->port);
    snprintf(page, sizeof page, "%d", my->page_fd);
    snprintf(vitals, sizeof vitals, "%d", my->vitals_fd);
    const char *words[ARGUMENTS_MAX] = {"homeostat",   "service",
                                        "--name",      my->agent->name,
                                        "--listen",    listen,
                                        "--data",      my->data_folder,
                                        "--standby",   my->standby_folder,
                                        "--folder",    supervisor->standby ? "standby" : "primary",
                                        "--page-fd",   page,
                                        "--vitals-fd", vitals};
    size_t count = 16;
    for (size_t i = 0; i < my->agent->calls_count; i++) {
        words[count++] = "--upstream";
        words[count++] = my->agent->calls[i].url;
    }
    char *argv[ARGUMENTS_MAX + 1];
    memcpy(argv, words, sizeof words); /* execv takes char *const[] for history's sake and changes nothing */
    argv[count] = NULL;
    /* Its predecessor may have died in the middle of a write. */
    atomic_store(&my->vitals->storage_since, 0);
    struct child_options options = {.path = my->binary,
                                    .argv = argv,
                                    .keep = (const int[]){my->page_fd, my->vitals_fd},
                                    .keep_count = 2,
                                    .log_fd = log_fd,
                                    .died = on_death,
                                    .context = supervisor};
    return child_start(&supervisor->child, supervisor->base, &options);
}

/* Faults that sat in the old process do not strike the new one. */
static void renew_pages(struct supervisor *supervisor)
{
    for (int kind = 0; kind < FAULT_LIVE_COUNT; kind++)
        if (fault_infos[kind].cures & REMEDY_BIT(RESTART_SERVICE))
            page_renew(supervisor->options.page, (enum fault_kind)kind);
}

/* The child takes its environment from ours, where nothing of it stays. */
static void tell_command(uint64_t command)
{
    char id[24];
    snprintf(id, sizeof id, "%" PRIu64, command);
    if (command == 0)
        unsetenv(COMMAND_VARIABLE);
    else
        setenv(COMMAND_VARIABLE, id, 1);
}

static void start_now(struct supervisor *supervisor)
{
    if (supervisor->command)
        crash_here(CRASH_MID_EFFECT);
    if (supervisor->starts > 0)
        renew_pages(supervisor);
    int log_fd = log_open(supervisor->options.log_path);
    tell_command(supervisor->command);
    int error =
        supervisor->options.agent->exec ? start_own(supervisor, log_fd) : start_built_in(supervisor, log_fd);
    tell_command(0);
    if (log_fd >= 0)
        close(log_fd);
    if (error < 0) {
        char detail[96];
        snprintf(detail, sizeof detail, "cannot start it: %s", strerror(-error));
        finish(supervisor, error, detail);
        return;
    }
    supervisor->starts++;
    supervisor->newest = supervisor->child.pid;
    supervisor->started_ns = monotonic_ns();
    supervisor->state = SERVICE_STARTING;
    struct timeval soon = timeval_of(look_ns);
    event_add(supervisor->timer, &soon);
}

static void stop_now(struct supervisor *supervisor)
{
    supervisor->state = SERVICE_STOPPING;
    char state = process_state(supervisor->child.pid);
    if (state == 'T' || state == 't') {
        kill_tree(supervisor);
        return; /* on_death follows */
    }
    child_signal(&supervisor->child, SIGTERM);
    struct timeval patience = timeval_of(patience_ns);
    event_add(supervisor->timer, &patience);
}

/* STARTING: does it listen yet? A service that does not after 10 s never will. */
static void look(struct supervisor *supervisor)
{
    char detail[96];
    if (port_answers(supervisor->options.port)) {
        supervisor->state = SERVICE_UP;
        snprintf(detail, sizeof detail, "process %d -> %d", supervisor->pid_before, supervisor->child.pid);
        finish(supervisor, 0, detail);
        return;
    }
    duration age_ns = monotonic_ns() - supervisor->started_ns;
    if (age_ns > listen_limit_ns) {
        supervisor->stop_result = -ETIMEDOUT;
        supervisor->state = SERVICE_STOPPING;
        kill_tree(supervisor);
        return;
    }
    struct timeval again = timeval_of(age_ns < SECOND ? look_ns : 25 * look_ns);
    event_add(supervisor->timer, &again);
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    struct supervisor *supervisor = context;
    if (supervisor->state == SERVICE_STARTING)
        look(supervisor);
    else if (supervisor->state == SERVICE_STOPPING)
        kill_tree(supervisor);
}

/* --- the calls ------------------------------------------------------------------------------------------ */

struct supervisor *supervisor_new(struct event_base *base, const struct supervisor_options *options)
{
    struct supervisor *supervisor = calloc(1, sizeof *supervisor);
    if (!supervisor)
        return NULL;
    supervisor->base = base;
    supervisor->options = *options;
    supervisor->child.pidfd = -1;
    supervisor->timer = event_new(base, -1, 0, on_timer, supervisor);
    if (!supervisor->timer) {
        free(supervisor);
        return NULL;
    }
    return supervisor;
}

void supervisor_free(struct supervisor **owner)
{
    struct supervisor *supervisor = *owner;
    *owner = NULL;
    if (!supervisor)
        return;
    kill_tree(supervisor);
    child_reap(&supervisor->child);
    event_free(supervisor->timer);
    free(supervisor);
}

static int begin(struct supervisor *supervisor, supervisor_done *done, void *context)
{
    if (supervisor->busy)
        return -EBUSY;
    supervisor->busy = true;
    supervisor->done = done;
    supervisor->done_context = context;
    supervisor->pid_before = supervisor->newest;
    supervisor->stop_result = 0;
    return 0;
}

int supervisor_restart(struct supervisor *supervisor, uint64_t command, supervisor_done *done, void *context)
{
    int error = begin(supervisor, done, context);
    if (error)
        return error;
    supervisor->command = command;
    if (supervisor->state == SERVICE_DEAD) {
        start_now(supervisor);
        return 0;
    }
    supervisor->start_after_stop = true;
    stop_now(supervisor);
    return 0;
}

int supervisor_stop(struct supervisor *supervisor, supervisor_done *done, void *context)
{
    if (supervisor->busy) /* the end does not wait for a beginning */
        finish(supervisor, -ECANCELED, "the node agent is ending");
    int error = begin(supervisor, done, context);
    if (error)
        return error;
    if (supervisor->state == SERVICE_DEAD)
        finish(supervisor, 0, "it was not running");
    else if (supervisor->state != SERVICE_STOPPING)
        stop_now(supervisor);
    return 0;
}

enum service_state supervisor_state(const struct supervisor *supervisor)
{
    return supervisor->state;
}

pid_t supervisor_pid(const struct supervisor *supervisor)
{
    return supervisor->child.pid;
}

uint64_t supervisor_starts(const struct supervisor *supervisor)
{
    return supervisor->starts;
}

int supervisor_port(const struct supervisor *supervisor)
{
    return supervisor->options.port;
}

void supervisor_set_known(struct supervisor *supervisor, const pid_t *known, size_t count)
{
    CHECK(count <= KNOWN_MAX);
    memcpy(supervisor->known, known, count * sizeof *known);
    supervisor->known_count = count;
}

void supervisor_tree(const struct supervisor *supervisor, struct tree *tree)
{
    tree_collect(tree, supervisor->child.pid, supervisor->options.boot, supervisor->known,
                 supervisor->known_count);
}

bool supervisor_on_standby(const struct supervisor *supervisor)
{
    return supervisor->standby;
}

void supervisor_set_standby(struct supervisor *supervisor, bool standby)
{
    supervisor->standby = standby;
}
