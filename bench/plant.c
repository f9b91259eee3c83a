#include "plant.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* What give_up() ends and removes; the kernel ends the children of a bench that is killed. */
static struct plant *running;

/* --- small things --- */

static double clock_s(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

double now_s(void)
{
    return clock_s(CLOCK_MONOTONIC);
}

double own_cpu_s(void)
{
    return clock_s(CLOCK_PROCESS_CPUTIME_ID);
}

void sleep_s(double seconds)
{
    struct timespec t = {.tv_sec = (time_t)seconds,
                         .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};
    while (nanosleep(&t, &t) != 0)
        ;
}

void pin(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    for (unsigned i = 0; i < CPU_SETSIZE; i++)
        if (cpu == ANY_CPU || i == (unsigned)cpu)
            CPU_SET(i, &set);
    sched_setaffinity(0, sizeof(set), &set); /* on one CPU alone it fails, and both share it */
}

void go_first(void)
{
    (void)!nice(-15);
    FILE *group = fopen("/proc/self/autogroup", "w"); /* where there is one, only its own niceness counts */
    if (group) {
        fputs("-15", group);
        fclose(group);
    }
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double median(double *values, int count)
{
    qsort(values, (size_t)count, sizeof(*values), by_value);
    return count > 0 ? values[count / 2] : 0;
}

void give_up(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "bench: ");
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n");
    va_end(arguments);
    if (running)
        plant_remove(running);
    exit(1);
}

/* --- HTTP, as little of it as there can be --- */

int connect_to(int port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0)
        give_up("cannot connect to port %d: %s", port, strerror(errno));
    return fd;
}

int ask_over(int fd, const char *method, const char *path, const char *body, char *answer, size_t size)
{
    char head[512], *text = malloc(1 << 20);
    if (!text)
        give_up("no memory");
    struct sockaddr_in peer;
    socklen_t peer_size = sizeof(peer);
    getpeername(fd, (struct sockaddr *)&peer, &peer_size);
    int head_bytes = snprintf(head, sizeof(head),
                              "%s %s HTTP/1.1\r\nHost: localhost:%d\r\nContent-Type: application/json\r\n"
                              "Content-Length: %zu\r\n\r\n",
                              method, path, ntohs(peer.sin_port), strlen(body));
    if (send(fd, head, (size_t)head_bytes, MSG_MORE | MSG_NOSIGNAL) < 0 ||
        send(fd, body, strlen(body), MSG_NOSIGNAL) < 0)
        give_up("%s %s: %s", method, path, strerror(errno));
    size_t got = 0, whole = SIZE_MAX;
    int status = 0;
    while (got < whole) {
        ssize_t more = read(fd, text + got, (1 << 20) - 1 - got);
        if (more <= 0)
            give_up("%s %s: the answer ended early", method, path);
        got += (size_t)more;
        text[got] = '\0';
        char *end = strstr(text, "\r\n\r\n"), *length = strcasestr(text, "\ncontent-length:");
        if (end && whole == SIZE_MAX)
            whole = (size_t)(end + 4 - text) + (length ? strtoul(length + 16, NULL, 10) : 0);
    }
    sscanf(text, "HTTP/1.1 %d", &status);
    if (answer)
        snprintf(answer, size, "%s", strstr(text, "\r\n\r\n") + 4);
    free(text);
    return status;
}

int ask(int port, const char *method, const char *path, const char *body, char *answer, size_t size)
{
    int fd = connect_to(port);
    int status = ask_over(fd, method, path, body, answer, size);
    close(fd);
    return status;
}

/* --- life --- */

static void make_folder(struct plant *plant)
{
    const char *home = getenv("HOMEOSTAT_HOME");
    char lab[200];
    snprintf(lab, sizeof(lab), "%s/lab", home && *home ? home : ".");
    mkdir(lab, 0777);
    snprintf(plant->folder, sizeof(plant->folder), "%s/bench-XXXXXX", lab);
    if (!mkdtemp(plant->folder))
        give_up("cannot make a folder in %s: %s", lab, strerror(errno));
    snprintf(plant->database, sizeof(plant->database), "%s/bench.db", plant->folder);
}

static void write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    if (!file || fputs(text, file) < 0 || fclose(file) != 0)
        give_up("cannot write %s: %s", path, strerror(errno));
}

static pid_t start(char *const arguments[], int cpu, const char *log)
{
    pid_t parent = getpid(), pid = fork();
    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0666);
    dup2(fd, 1);
    dup2(fd, 2);
    pin(cpu);
    execv(arguments[0], arguments);
    _exit(127);
}

__attribute__((noreturn)) static void give_up_with_log(const char *path)
{
    char said[1024] = "";
    FILE *file = fopen(path, "r");
    if (file) {
        size_t got = fread(said, 1, sizeof(said) - 1, file);
        said[got] = '\0';
        fclose(file);
    }
    give_up("serve did not start: %s", said);
}

void plant_start(struct plant *plant, const char *policy)
{
    *plant = (struct plant){0};
    running = plant;
    make_folder(plant);
    char log[288], file[288], ready[16], line[16] = "";
    int ends[2];
    if (pipe(ends) != 0)
        give_up("no pipe: %s", strerror(errno));
    fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    snprintf(ready, sizeof(ready), "%d", ends[1]);
    snprintf(log, sizeof(log), "%s/serve.log", plant->folder);
    snprintf(file, sizeof(file), "%s/policy.yaml", plant->folder);
    char *arguments[] = {PROGRAM,      "serve", "--port",   "0",  "--db", plant->database, "--log", log,
                         "--ready-fd", ready,   "--policy", file, NULL};
    if (policy)
        write_text(file, policy);
    else
        arguments[10] = NULL;
    plant->pid = start(arguments, SERVE_CPU, log);
    close(ends[1]);
    if (read(ends[0], line, sizeof(line) - 1) <= 0)
        give_up_with_log(log);
    close(ends[0]);
    plant->port = atoi(line);
}

void plant_stop(struct plant *plant)
{
    int status = 0;
    if (plant->pid <= 0)
        return;
    kill(plant->pid, SIGTERM);
    waitpid(plant->pid, &status, 0);
    plant->pid = 0;
    if (status != 0)
        fprintf(stderr, "bench: serve ended with status %d\n", status);
}

static int remove_one(const char *path, const struct stat *stat, int kind, struct FTW *ftw)
{
    (void)stat, (void)kind, (void)ftw;
    remove(path);
    return 0;
}

void plant_remove(struct plant *plant)
{
    if (plant->pid > 0) {
        kill(plant->pid, SIGKILL);
        waitpid(plant->pid, NULL, 0);
        plant->pid = 0;
    }
    if (plant->folder[0])
        nftw(plant->folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    plant->folder[0] = '\0';
    running = NULL;
}

/* --- what it costs --- */

double plant_cpu_s(const struct plant *plant)
{
    clockid_t clock;
    if (clock_getcpuclockid(plant->pid, &clock) != 0)
        give_up("serve is gone");
    return clock_s(clock);
}

double plant_cpu_busy_s(void)
{
    char line[256], name[16];
    double busy_s = 0;
    FILE *file = fopen("/proc/stat", "r");
    snprintf(name, sizeof(name), "cpu%d ", SERVE_CPU);
    while (file && fgets(line, sizeof(line), file)) {
        unsigned long long user, low, kernel, idle, waiting, hard, soft, stolen;
        if (strncmp(line, name, strlen(name)) == 0 &&
            sscanf(line + strlen(name), "%llu %llu %llu %llu %llu %llu %llu %llu", &user, &low, &kernel,
                   &idle, &waiting, &hard, &soft, &stolen) == 8)
            busy_s = (double)(user + low + kernel + hard + soft + stolen) / (double)sysconf(_SC_CLK_TCK);
    }
    if (file)
        fclose(file);
    return busy_s;
}

void plant_memory_mib(const struct plant *plant, double *rss, double *pss)
{
    char path[64], line[128];
    double kib;
    *rss = *pss = 0;
    snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", plant->pid);
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof(line), file)) {
        if (sscanf(line, "Rss: %lf", &kib) == 1)
            *rss = kib / 1024;
        else if (sscanf(line, "Pss: %lf", &kib) == 1)
            *pss = kib / 1024;
    }
    if (file)
        fclose(file);
}

/* --- what it knows --- */

int64_t plant_count(const struct plant *plant, const char *sql)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = NULL;
    if (sqlite3_open_v2(plant->database, &db, SQLITE_OPEN_READONLY, NULL) != SQLITE_OK ||
        sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK ||
        sqlite3_step(statement) != SQLITE_ROW)
        give_up("the database says: %s", sqlite3_errmsg(db));
    int64_t count = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    sqlite3_close(db);
    return count;
}

double plant_metric(const struct plant *plant, const char *name)
{
    enum { SIZE = 1 << 20 };
    char *text = malloc(SIZE);
    double sum = 0;
    if (!text || ask(plant->port, "GET", "/metrics", "", text, SIZE) != 200)
        give_up("/metrics does not answer");
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
        if (strncmp(line, name, strlen(name)) == 0 && strchr(" {", line[strlen(name)]))
            sum += strtod(strrchr(line, ' '), NULL);
    free(text);
    return sum;
}

/* --- node agents --- */

pid_t plant_agent(const struct plant *plant, const char *name)
{
    char url[64], folder[320], log[320];
    snprintf(url, sizeof(url), "http://127.0.0.1:%d", plant->port);
    snprintf(folder, sizeof(folder), "%s/%s", plant->folder, name);
    snprintf(log, sizeof(log), "%s/%s.log", plant->folder, name);
    char *arguments[] = {
        PROGRAM, "agent", (char *)(uintptr_t)name, "--plane", url, "--folder", folder, "--load", "-1", NULL};
    return start(arguments, ANY_CPU, log);
}

static bool is_service(int pid)
{
    char path[64], words[256] = "";
    snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd >= 0 ? read(fd, words, sizeof(words) - 1) : 0;
    if (fd >= 0)
        close(fd);
    const char *second = words + strlen(words) + 1;
    return got > (ssize_t)(second - words) && strcmp(second, "service") == 0;
}

pid_t agent_service(pid_t agent, pid_t but)
{
    char path[64];
    int pid, found = 0;
    snprintf(path, sizeof(path), "/proc/%d/task/%d/children", agent, agent);
    FILE *file = fopen(path, "r");
    while (file && !found && fscanf(file, "%d", &pid) == 1)
        found = pid != but && is_service(pid) ? pid : 0;
    if (file)
        fclose(file);
    return found;
}
