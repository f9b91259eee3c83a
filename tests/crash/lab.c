#include "lab.h"

#include "base/clock.h"
#include "wire/client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

void lab_give_up(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(3);
}

void lab_nap(duration nap_ns)
{
    struct timespec nap = {.tv_sec = nap_ns / SECOND, .tv_nsec = nap_ns % SECOND};
    nanosleep(&nap, NULL);
}

/* --- opening and closing -------------------------------------------------------------------------------- */

static int listen_on_loopback(int *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, length) < 0 || listen(fd, 256) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &length) < 0)
        lab_give_up("no port on loopback: %s", strerror(errno));
    *port = ntohs(address.sin_port);
    return fd;
}

static void write_policy(const struct lab *lab, const char *text)
{
    FILE *file = fopen(lab->policy, "we");
    if (!file || fputs(text, file) < 0 || fclose(file) != 0)
        lab_give_up("%s: %s", lab->policy, strerror(errno));
}

static void find_program(char out[LAB_PATH_SIZE], const char *path)
{
    char *settled = realpath(path, NULL);
    if (!settled || strlen(settled) >= LAB_PATH_SIZE)
        lab_give_up("%s: %s", path, strerror(errno));
    snprintf(out, LAB_PATH_SIZE, "%s", settled);
    free(settled);
}

void lab_open(struct lab *lab, const char *homeostat, const char *service, size_t nodes, const char *policy)
{
    char folder[] = "/tmp/homeostat-crash-XXXXXX";
    *lab = (struct lab){.node_count = nodes, .interval = "200ms"};
    find_program(lab->homeostat, homeostat);
    find_program(lab->service, service);
    if (!mkdtemp(folder))
        lab_give_up("%s: %s", folder, strerror(errno));
    snprintf(lab->folder, sizeof lab->folder, "%s", folder);
    snprintf(lab->database, sizeof lab->database, "%s/homeostat.db", folder);
    snprintf(lab->policy, sizeof lab->policy, "%s/policy.yaml", folder);
    write_policy(lab, policy);
    lab->listen_fd = listen_on_loopback(&lab->port);
    for (size_t i = 0; i < nodes; i++) {
        struct lab_node *node = &lab->nodes[i];
        snprintf(node->name, sizeof node->name, "real-%zu", i + 1);
        snprintf(node->witness, sizeof node->witness, "%s/%s.witness", folder, node->name);
        snprintf(node->folder, sizeof node->folder, "%s/%s", folder, node->name);
    }
}

static int remove_one(const char *path, const struct stat *status, int what, struct FTW *where)
{
    (void)status, (void)what, (void)where;
    return remove(path);
}

void lab_close(struct lab *lab, bool keep)
{
    for (size_t i = 0; i < lab->node_count; i++)
        lab_kill(&lab->nodes[i].pid);
    lab_kill(&lab->plane);
    close(lab->listen_fd);
    if (keep) {
        char command[LAB_PATH_SIZE + 32];
        snprintf(command, sizeof command, "tail -n 5 %s/*.log >&2", lab->folder);
        if (system(command) != 0) /* for who can read only what was printed */
            fprintf(stderr, "there are no logs\n");
        fprintf(stderr, "everything is kept in %s\n", lab->folder);
    } else {
        nftw(lab->folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    }
}

/* --- processes ------------------------------------------------------------------------------------------ */

static _Noreturn void become(const struct lab *lab, char *const *argv, const char *log, const char *crash_at,
                             pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(127);
    int null = open("/dev/null", O_RDONLY), out = open(log, O_WRONLY | O_CREAT | O_APPEND, 0644);
    dup2(null, 0);
    dup2(out, 1);
    dup2(out, 2);
    close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
    if (strcmp(argv[1], "serve") == 0)
        fcntl(lab->listen_fd, F_SETFD, 0);
    if (strcmp(argv[1], "serve") == 0 && lab->preload) {
        setenv("LD_PRELOAD", lab->preload, 1);
        setenv("HOMEOSTAT_TEST_CALLS", lab->calls, 1);
    }
    setenv("HOMEOSTAT_HOME", lab->folder, 1);
    unsetenv("HOMEOSTAT_URL");
    if (crash_at)
        setenv("HOMEOSTAT_CRASH_AT", crash_at, 1);
    else
        unsetenv("HOMEOSTAT_CRASH_AT");
    execv(lab->homeostat, argv);
    _exit(127);
}

static pid_t launch(const struct lab *lab, char *const *argv, const char *log, const char *crash_at)
{
    pid_t parent = getpid(), pid = fork();
    if (pid == 0)
        become(lab, argv, log, crash_at, parent);
    if (pid < 0)
        lab_give_up("no process: %s", strerror(errno));
    return pid;
}

/* --policy only for an empty database: later starts take what was put last. */
void lab_start_plane(struct lab *lab, const char *crash_at)
{
    char fd[16], log[LAB_PATH_SIZE + 16];
    snprintf(fd, sizeof fd, "%d", lab->listen_fd);
    snprintf(log, sizeof log, "%s/plane.log", lab->folder);
    char *argv[] = {"homeostat",   "serve",    "--listen-fd", fd,  "--db",
                    lab->database, "--policy", lab->policy,   NULL};
    if (access(lab->database, F_OK) == 0)
        argv[6] = NULL;
    lab->plane = launch(lab, argv, log, crash_at);
}

void lab_start_agent(struct lab *lab, size_t index, const char *crash_at)
{
    struct lab_node *node = &lab->nodes[index];
    char url[64], log[LAB_PATH_SIZE + 16], command[2 * LAB_PATH_SIZE + 32];
    snprintf(url, sizeof url, "http://127.0.0.1:%d", lab->port);
    snprintf(log, sizeof log, "%s.log", node->folder);
    snprintf(command, sizeof command, "%s {port} %s", lab->service, node->witness);
    char *argv[] = {"homeostat",  "agent",      node->name,
                    "--plane",    url,          "--folder",
                    node->folder, "--interval", (char *)(uintptr_t)lab->interval,
                    "--quota",    "16777216",   "--exec",
                    command,      "--probe",    "tcp:PING",
                    NULL};
    if (index < lab->built_in)
        argv[11] = NULL;
    node->pid = launch(lab, argv, log, crash_at);
}

void lab_kill(pid_t *pid)
{
    if (*pid <= 0)
        return;
    kill(*pid, SIGKILL);
    while (waitpid(*pid, NULL, 0) < 0 && errno == EINTR)
        ;
    *pid = 0;
}

bool lab_dies(pid_t *pid, duration limit_ns)
{
    int status;
    for (int64_t by_ns = monotonic_ns() + limit_ns; waitpid(*pid, &status, WNOHANG) != *pid;
         lab_nap(MILLISECOND))
        if (monotonic_ns() > by_ns)
            return false;
    *pid = 0;
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

int lab_call(const struct lab *lab, const char *method, const char *path, char **body)
{
    return client_call("127.0.0.1", lab->port, method, path, NULL, NULL, 0, 3 * SECOND, body);
}

int lab_post(const struct lab *lab, const char *path, const char *json, char **body)
{
    return client_call("127.0.0.1", lab->port, "POST", path, "application/json", json, strlen(json),
                       3 * SECOND, body);
}

/* --- the witness ---------------------------------------------------------------------------------------- */

struct testimony *lab_witness(const struct lab *lab, size_t node, size_t *count)
{
    struct testimony *starts = NULL, one;
    int64_t pid;
    FILE *file = fopen(lab->nodes[node].witness, "re");
    *count = 0;
    while (file && fscanf(file, "%" SCNd64 " %" SCNd64 " %" SCNu64, &pid, &one.at, &one.command) == 3) {
        starts = reallocarray(starts, *count + 1, sizeof *starts);
        if (!starts)
            lab_give_up("out of memory");
        one.pid = (pid_t)pid;
        starts[(*count)++] = one;
    }
    if (file)
        fclose(file);
    return starts;
}

/* A process id may have been given to somebody else since: it must still be our service. */
static bool is_service(const struct lab *lab, pid_t pid)
{
    char path[64], program[LAB_PATH_SIZE];
    snprintf(path, sizeof path, "/proc/%d/exe", (int)pid);
    ssize_t length = readlink(path, program, sizeof program - 1);
    program[length > 0 ? length : 0] = '\0';
    return strcmp(program, lab->service) == 0;
}

void lab_kill_service(const struct lab *lab, size_t node)
{
    size_t count;
    struct testimony *starts = lab_witness(lab, node, &count);
    if (count > 0 && is_service(lab, starts[count - 1].pid))
        kill(starts[count - 1].pid, SIGKILL);
    free(starts);
}
