#include "cli/fleet.h"

#include "agent/port.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/store_choice.h"
#include "core/core.h"
#include "scenario/lab.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PATH_SIZE = 4096, ARGUMENTS_MAX = 64, READY_MS = 15000, STOP_MS = 3000, LOG_TAIL = 600 };

struct member { /* one process */
    char name[NODE_NAME_SIZE];
    char log[PATH_SIZE];
    pid_t pid;    /* 0: not running */
    bool started; /* once at least: its log goes on */
};

struct fleet {
    struct fleet_options options;
    struct member plane;
    struct member *agents;
    int *listen_fds; /* users' sockets, kept until their node agents have them */
    int *ports;
    size_t count;
    int port;
};

bool fleet_path(char *out, size_t size, const char *database, const char *kind_and_name)
{
    const char *slash = strrchr(database, '/');
    const char *file = slash ? slash + 1 : database;
    size_t stem = strlen(database);
    int length;
    if (strcmp(file, "homeostat.db") == 0) {
        length = snprintf(out, size, "%.*s%s", (int)(file - database), database, kind_and_name);
    } else {
        if (stem > 3 && strcmp(database + stem - 3, ".db") == 0)
            stem -= 3;
        length = snprintf(out, size, "%.*s-%s", (int)stem, database, kind_and_name);
    }
    return length >= 0 && (size_t)length < size;
}

/* --- sockets -------------------------------------------------------------------------------------------- */

/* A socket that listens on 127.0.0.1; `*port` 0: the kernel chooses, and it is told. Negative errno on
 * failure. */
static int listen_on(int *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)*port)};
    socklen_t length = sizeof address;
    const int yes = 1;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 128) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &length) != 0) {
        int error = -errno;
        close(fd);
        return error;
    }
    *port = ntohs(address.sin_port);
    return fd;
}

bool fleet_port_is_free(int port)
{
    int fd = listen_on(&port);
    if (fd >= 0)
        close(fd);
    return fd != -EADDRINUSE;
}

/* --- one process ---------------------------------------------------------------------------------------- */

struct words { /* the command line of a process */
    char text[ARGUMENTS_MAX][PATH_SIZE / 4];
    size_t count;
    bool cut;
    const char *store; /* what HOMEOSTAT_STORE is to it; NULL: nothing */
};

static void add_word(struct words *words, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add_word(struct words *words, const char *format, ...)
{
    if (words->count == ARGUMENTS_MAX - 1) {
        words->cut = true;
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(words->text[words->count], sizeof words->text[0], format, arguments);
    va_end(arguments);
    words->cut |= length < 0 || (size_t)length >= sizeof words->text[0];
    words->count++;
}

/* In the new process: nothing is shared with us but the log and the descriptor it is to have. */
static _Noreturn void become(struct words *words, int log_fd, int keep_fd, pid_t parent)
{
    char *arguments[ARGUMENTS_MAX];
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    /* A group of its own: Ctrl-C in the terminal reaches us alone, and we end the others in order. */
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(EXIT_ENVIRONMENT);
    int null = open("/dev/null", O_RDONLY);
    if (null < 0 || dup2(null, 0) < 0 || dup2(log_fd, 1) < 0 || dup2(log_fd, 2) < 0)
        _exit(EXIT_ENVIRONMENT);
    if (keep_fd >= 0)
        fcntl(keep_fd, F_SETFD, 0);
    for (size_t i = 0; i < words->count; i++)
        arguments[i] = words->text[i];
    arguments[words->count] = NULL;
    /* In no list of processes, and for the control plane alone: there may be a password in it. */
    if (words->store ? setenv(STORE_VARIABLE, words->store, 1) : unsetenv(STORE_VARIABLE))
        _exit(EXIT_ENVIRONMENT);
    execv("/proc/self/exe", arguments);
    dprintf(2, "cannot execute /proc/self/exe: %s\n", strerror(errno));
    _exit(EXIT_ENVIRONMENT);
}

static int launch(struct member *member, struct words *words, int keep_fd, int other_fd)
{
    if (words->cut)
        return -E2BIG;
    int log_fd =
        open(member->log, O_WRONLY | O_CREAT | O_APPEND | (member->started ? 0 : O_TRUNC) | O_CLOEXEC, 0644);
    member->started = true;
    if (log_fd < 0)
        return -errno;
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0) {
        if (other_fd >= 0)
            fcntl(other_fd, F_SETFD, 0);
        become(words, log_fd, keep_fd, parent);
    }
    int error = pid < 0 ? -errno : 0;
    close(log_fd);
    member->pid = pid > 0 ? pid : 0;
    return error;
}

/* True once it is gone and reaped; `*status` as of waitpid(). */
static bool is_gone(struct member *member, int *status)
{
    if (member->pid == 0)
        return true;
    pid_t found = waitpid(member->pid, status, WNOHANG);
    if (found == 0 || (found < 0 && errno == EINTR))
        return false;
    member->pid = 0;
    return true;
}

static int64_t now_ms(void)
{
    return monotonic_ns() / MILLISECOND;
}

static void ask_to_end(struct member *members, size_t count)
{
    int status;
    for (size_t i = 0; i < count; i++) {
        if (members[i].pid > 0) {
            kill(members[i].pid, SIGTERM);
            kill(members[i].pid, SIGCONT); /* it may be suspended */
        }
    }
    int64_t until = now_ms() + STOP_MS;
    for (size_t i = 0; i < count; i++) {
        while (!is_gone(&members[i], &status)) {
            if (now_ms() > until)
                kill(members[i].pid, SIGKILL);
            nanosleep(&(struct timespec){0, 5 * 1000000}, NULL);
        }
    }
}

/* --- the last words of a process ------------------------------------------------------------------------ */

static void add_log_tail(struct text *text, const char *path)
{
    char tail[LOG_TAIL + 1];
    FILE *log = fopen(path, "re");
    if (!log)
        return;
    if (fseek(log, -LOG_TAIL, SEEK_END) != 0)
        rewind(log);
    size_t length = fread(tail, 1, LOG_TAIL, log);
    fclose(log);
    while (length > 0 && tail[length - 1] == '\n')
        length--;
    tail[length] = '\0';
    for (char *rest = tail, *line; (line = strsep(&rest, "\n"));)
        text_addf(text, "\n    %s", line);
}

static void tell_end(const struct member *member, int status, char *error, size_t error_size)
{
    struct text text = text_over(error, error_size);
    if (WIFSIGNALED(status))
        text_addf(&text, "%s was ended by signal %d; the end of %s:", member->name, WTERMSIG(status),
                  member->log);
    else
        text_addf(&text, "%s has ended with exit code %d; the end of %s:", member->name, WEXITSTATUS(status),
                  member->log);
    add_log_tail(&text, member->log);
}

enum fleet_news fleet_look(struct fleet *fleet, char *error, size_t error_size)
{
    int status = 0;
    if (fleet->plane.pid && is_gone(&fleet->plane, &status)) {
        tell_end(&fleet->plane, status, error, error_size);
        return FLEET_PLANE_ENDED;
    }
    for (size_t i = 0; i < fleet->count; i++) {
        if (fleet->agents[i].pid && is_gone(&fleet->agents[i], &status)) {
            tell_end(&fleet->agents[i], status, error, error_size);
            return FLEET_NODE_ENDED;
        }
    }
    return FLEET_IS_WELL;
}

/* --- the control plane ---------------------------------------------------------------------------------- */

/* Waits for "PORT\n" on the pipe; its closing without that means that the control plane has ended. */
static bool wait_until_ready(struct fleet *fleet, int ready_fd, char *error, size_t error_size)
{
    char answer[16] = "";
    int64_t until = now_ms() + READY_MS;
    struct pollfd wait = {ready_fd, POLLIN, 0};
    while (now_ms() < until) {
        int found = poll(&wait, 1, 100);
        if (found <= 0)
            continue;
        if (read(ready_fd, answer, sizeof answer - 1) > 0)
            return true;
        break;
    }
    int status = 0;
    int64_t end_by = now_ms() + 1000;
    while (!is_gone(&fleet->plane, &status) && now_ms() < end_by)
        nanosleep(&(struct timespec){0, 5 * 1000000}, NULL);
    if (fleet->plane.pid == 0)
        tell_end(&fleet->plane, status, error, error_size);
    else
        snprintf(error, error_size, "the control plane does not answer after %d s; see %s", READY_MS / 1000,
                 fleet->plane.log);
    return false;
}

static int listen_for_plane(struct fleet *fleet, const struct fleet_options *options, char *error,
                            size_t error_size)
{
    if (fleet->port == 0) /* else it is started again */
        fleet->port = options->port;
    int fd = listen_on(&fleet->port);
    if (fd == -EADDRINUSE && options->any_port) {
        fleet->port = 0;
        fd = listen_on(&fleet->port);
    }
    if (fd == -EADDRINUSE)
        snprintf(error, error_size,
                 "port %d is taken: perhaps another lab is up (end it with Ctrl-C), or choose another port "
                 "with --port "
                 "%d, or a free one with --port 0",
                 fleet->port, fleet->port + 1);
    else if (fd < 0)
        snprintf(error, error_size, "cannot listen on 127.0.0.1:%d: %s", fleet->port, strerror(-fd));
    return fd;
}

static bool start_plane(struct fleet *fleet, const struct fleet_options *options, char *error,
                        size_t error_size)
{
    int ready[2];
    int fd = listen_for_plane(fleet, options, error, error_size);
    if (fd < 0)
        return false;
    CHECK(pipe2(ready, O_CLOEXEC) == 0);
    struct words words = {.count = 0};
    add_word(&words, "homeostat");
    add_word(&words, "serve");
    add_word(&words, "--listen-fd");
    add_word(&words, "%d", fd);
    add_word(&words, "--ready-fd");
    add_word(&words, "%d", ready[1]);
    if (options->store) {
        char flight[PATH_SIZE];
        words.store = options->store;
        name_flight_folder(flight, sizeof flight, options->database);
        add_word(&words, "--flight=%s", flight);
    } else {
        add_word(&words, "--db");
        add_word(&words, "%s", options->database);
    }
    if (options->record_path)
        add_word(&words, "--record=%s", options->record_path);
    if (options->policy_path && !fleet->plane.started) {
        add_word(&words, "--policy");
        add_word(&words, "%s", options->policy_path);
    }
    int result = launch(&fleet->plane, &words, fd, ready[1]);
    close(fd);
    close(ready[1]);
    bool is_ready = result == 0 && wait_until_ready(fleet, ready[0], error, error_size);
    if (result < 0)
        snprintf(error, error_size, "cannot start the control plane: %s", strerror(-result));
    close(ready[0]);
    return is_ready;
}

/* --- the node agents ------------------------------------------------------------------------------------ */

static bool listen_for_users(struct fleet *fleet, char *error, size_t error_size)
{
    for (size_t i = 0; i < fleet->count; i++) {
        fleet->listen_fds[i] = listen_on(&fleet->ports[i]);
        if (fleet->listen_fds[i] < 0) {
            snprintf(error, error_size, "no port for the users of %s: %s", fleet->agents[i].name,
                     strerror(-fleet->listen_fds[i]));
            return false;
        }
    }
    return true;
}

static bool start_agent(struct fleet *fleet, const struct fleet_options *options, size_t index, char *error,
                        size_t error_size)
{
    const struct lab_node *node = &options->lab->nodes[index];
    struct member *member = &fleet->agents[index];
    char relative[NODE_NAME_SIZE + 16], folder[PATH_SIZE];
    struct words words = {.count = 0};
    snprintf(relative, sizeof relative, "nodes/%s", node->name);
    if (!fleet_path(folder, sizeof folder, options->database, relative)) {
        snprintf(error, error_size, "the path of %s is too long", node->name);
        return false;
    }
    const char *const pairs[][2] = {{"--role", node->role},
                                    {"--zone", node->zone},
                                    {"--exec", node->exec},
                                    {"--probe", node->probe},
                                    {"--folder", folder}};
    add_word(&words, "homeostat");
    add_word(&words, "agent");
    add_word(&words, "%s", node->name);
    add_word(&words, "--plane=http://127.0.0.1:%d", fleet->port);
    add_word(&words, "--listen-fd=%d", fleet->listen_fds[index]);
    add_word(&words, "--interval=%lldus",
             (long long)((options->interval_ns ? options->interval_ns : node->interval_ns) / MICROSECOND));
    for (size_t i = 0; i < COUNT_OF(pairs); i++) {
        if (*pairs[i][1])
            add_word(&words, "%s=%s", pairs[i][0], pairs[i][1]);
    }
    if (node->capacity_per_s > 0)
        add_word(&words, "--capacity=%g", node->capacity_per_s);
    if (node->quota_bytes > 0)
        add_word(&words, "--quota=%llu", (unsigned long long)node->quota_bytes);
    if (node->memory_bytes > 0)
        add_word(&words, "--memory=%llu", (unsigned long long)node->memory_bytes);
    if (options->load)
        add_word(&words, "--load=%g", options->load[index]);
    for (uint32_t i = 0; i < node->calls_count; i++)
        add_word(&words, "--call=%s=http://127.0.0.1:%d", options->lab->nodes[node->calls[i]].name,
                 fleet->ports[node->calls[i]]);
    int result = launch(member, &words, fleet->listen_fds[index], -1);
    if (result < 0)
        snprintf(error, error_size, "cannot start the node agent of %s: %s", node->name, strerror(-result));
    return result == 0;
}

static bool start_synthetic(struct fleet *fleet, char *error, size_t error_size)
{
    const struct fleet_synthetic *synthetic = fleet->options.synthetic;
    struct words words = {.count = 0};
    add_word(&words, "homeostat");
    add_word(&words, "agent");
    add_word(&words, "--synthetic=%u", synthetic->nodes);
    add_word(&words, "--url=http://127.0.0.1:%d", fleet->port);
    if (synthetic->scenario_path)
        add_word(&words, "--scenario=%s", synthetic->scenario_path);
    if (synthetic->seed)
        add_word(&words, "--seed=%llu", (unsigned long long)synthetic->seed);
    int result = launch(&fleet->agents[0], &words, -1, -1);
    if (result < 0)
        snprintf(error, error_size, "cannot start the synthetic nodes: %s", strerror(-result));
    return result == 0;
}

/* A node agent remembers the commands it has carried out by their numbers. A fresh database begins to number
 * anew, so the memory of an older one's commands goes with that; the services' data stays. */
static bool forget_old_commands(const struct fleet_options *options, char *error, size_t error_size)
{
    if (options->store || access(options->database, F_OK) == 0 || options->synthetic)
        return true;
    for (uint32_t i = 0; i < options->lab->node_count; i++) {
        char relative[NODE_NAME_SIZE + 32], journal[PATH_SIZE];
        snprintf(relative, sizeof relative, "nodes/%s/commands.journal", options->lab->nodes[i].name);
        if (!fleet_path(journal, sizeof journal, options->database, relative))
            continue; /* start_agent() says so */
        if (unlink(journal) != 0 && errno != ENOENT) {
            snprintf(error, error_size, "the old %s cannot be removed: %s", journal, strerror(errno));
            return false;
        }
    }
    return true;
}

static struct fleet *fleet_new(const struct fleet_options *options)
{
    struct fleet *fleet = calloc(1, sizeof *fleet);
    CHECK(fleet);
    fleet->options = *options;
    fleet->count = options->synthetic ? 1 : options->lab->node_count;
    fleet->agents = calloc(fleet->count, sizeof *fleet->agents);
    fleet->listen_fds = calloc(fleet->count, sizeof *fleet->listen_fds);
    fleet->ports = calloc(fleet->count, sizeof *fleet->ports);
    CHECK(fleet->agents && fleet->listen_fds && fleet->ports);
    for (size_t i = 0; i < fleet->count; i++)
        fleet->listen_fds[i] = -1;
    return fleet;
}

static bool name_member(struct member *member, const char *name, const char *database)
{
    char log[NODE_NAME_SIZE + 16];
    snprintf(log, sizeof log, "%s.log", name);
    return text_copy(member->name, sizeof member->name, name) &&
           fleet_path(member->log, sizeof member->log, database, log);
}

static void close_listeners(struct fleet *fleet)
{
    for (size_t i = 0; i < fleet->count; i++) {
        if (fleet->listen_fds[i] >= 0)
            close(fleet->listen_fds[i]);
        fleet->listen_fds[i] = -1;
    }
}

static bool start_all(struct fleet *fleet, const struct fleet_options *options, char *error,
                      size_t error_size)
{
    bool named = name_member(&fleet->plane, "control-plane", options->database);
    for (size_t i = 0; i < fleet->count; i++)
        named &= name_member(&fleet->agents[i],
                             options->synthetic ? "synthetic-nodes" : options->lab->nodes[i].name,
                             options->database);
    if (!named) {
        snprintf(error, error_size, "the path %s is too long", options->database);
        return false;
    }
    if (!forget_old_commands(options, error, error_size) || !start_plane(fleet, options, error, error_size))
        return false;
    if (options->synthetic)
        return start_synthetic(fleet, error, error_size);
    if (!listen_for_users(fleet, error, error_size))
        return false;
    for (size_t i = 0; i < fleet->count; i++) {
        if (!start_agent(fleet, options, i, error, error_size))
            return false;
    }
    /* From here on a user's port is its node agent's alone: it must be closed when that is gone. */
    close_listeners(fleet);
    return true;
}

struct fleet *fleet_start(const struct fleet_options *options, char *error, size_t error_size)
{
    struct fleet *fleet = fleet_new(options);
    if (!start_all(fleet, options, error, error_size))
        fleet_stop(&fleet);
    return fleet;
}

int fleet_port(const struct fleet *fleet)
{
    return fleet->port;
}

size_t fleet_size(const struct fleet *fleet)
{
    return fleet->count;
}

const char *fleet_node(const struct fleet *fleet, size_t index)
{
    CHECK(index < fleet->count);
    return fleet->agents[index].name;
}

int fleet_users_port(const struct fleet *fleet, size_t index)
{
    CHECK(index < fleet->count);
    return fleet->ports[index];
}

/* --- accidents ------------------------------------------------------------------------------------------ */

static void kill_member(struct member *member)
{
    int status;
    if (member->pid > 0)
        kill(member->pid, SIGKILL);
    while (!is_gone(member, &status))
        nanosleep(&(struct timespec){0, 1000000}, NULL);
}

static void suspend_member(const struct member *member, bool suspend)
{
    if (member->pid > 0)
        kill(member->pid, suspend ? SIGSTOP : SIGCONT);
}

void fleet_kill_plane(struct fleet *fleet)
{
    kill_member(&fleet->plane);
}

void fleet_kill_agent(struct fleet *fleet, size_t index)
{
    CHECK(index < fleet->count);
    kill_member(&fleet->agents[index]);
}

void fleet_end_agent(struct fleet *fleet, size_t index)
{
    CHECK(index < fleet->count);
    ask_to_end(&fleet->agents[index], 1);
}

void fleet_suspend_plane(struct fleet *fleet, bool suspend)
{
    suspend_member(&fleet->plane, suspend);
}

void fleet_suspend_agent(struct fleet *fleet, size_t index, bool suspend)
{
    CHECK(index < fleet->count);
    suspend_member(&fleet->agents[index], suspend);
}

bool fleet_start_plane_again(struct fleet *fleet, char *error, size_t error_size)
{
    return fleet->plane.pid > 0 || start_plane(fleet, &fleet->options, error, error_size);
}

bool fleet_start_agent_again(struct fleet *fleet, size_t index, char *error, size_t error_size)
{
    CHECK(index < fleet->count && !fleet->options.synthetic);
    if (fleet->agents[index].pid > 0)
        return true;
    char address[32];
    snprintf(address, sizeof address, "127.0.0.1:%d", fleet->ports[index]);
    fleet->listen_fds[index] = port_listen(address); /* the relay of the one before may have it still */
    if (fleet->listen_fds[index] < 0) {
        snprintf(error, error_size, "the users' port of %s is taken: %s", fleet->agents[index].name,
                 strerror(-fleet->listen_fds[index]));
        return false;
    }
    bool started = start_agent(fleet, &fleet->options, index, error, error_size);
    close_listeners(fleet);
    return started;
}

void fleet_stop(struct fleet **fleet_slot)
{
    struct fleet *fleet = *fleet_slot;
    if (!fleet)
        return;
    close_listeners(fleet);
    ask_to_end(fleet->agents, fleet->count);
    ask_to_end(&fleet->plane, 1);
    free(fleet->agents);
    free(fleet->listen_fds);
    free(fleet->ports);
    free(fleet);
    *fleet_slot = NULL;
}
