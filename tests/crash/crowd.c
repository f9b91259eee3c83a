#include "crowd.h"

#include "base/check.h"
#include "base/clock.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

const char *const crowd_role_names[CROWD_ROLES] = {
    [CROWD_PLANE] = "control plane", [CROWD_AGENT] = "node agent", [CROWD_WARDEN] = "warden",
    [CROWD_RELAY] = "relay",         [CROWD_SERVICE] = "service",  [CROWD_HELPER] = "helper",
    [CROWD_LEASH] = "leash",         [CROWD_GUARD] = "guard",      [CROWD_OTHER] = "process unknown",
};

/* --- processes ------------------------------------------------------------------------------------------ */

/* A file of /proc/PID with its NULs, and one behind it; its length, 0 if it is not to be had. */
static size_t slurp(pid_t pid, const char *name, char *out, size_t size)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t length = 0;
    for (ssize_t got; fd >= 0 && length + 1 < size; length += (size_t)got)
        if ((got = read(fd, out + length, size - 1 - length)) <= 0)
            break;
    if (fd >= 0)
        close(fd);
    out[length] = '\0';
    return length;
}

static bool is_of_lab(pid_t pid, const struct lab *lab)
{
    static char text[64 * 1024];
    char wanted[LAB_PATH_SIZE + 32];
    int length = snprintf(wanted, sizeof wanted, "HOMEOSTAT_HOME=%s", lab->folder) + 1;
    size_t got = slurp(pid, "environ", text, sizeof text);
    return memmem(text, got + 1, wanted, (size_t)length) != NULL;
}

/* What it is called and how it is, from stat: "pid (name) S ...". */
static bool read_stat(pid_t pid, char name[32], char *state)
{
    char text[512];
    slurp(pid, "stat", text, sizeof text);
    const char *from = strchr(text, '('), *to = strrchr(text, ')');
    if (!from || !to || !to[1])
        return false;
    snprintf(name, 32, "%.*s", (int)(to - from - 1), from + 1);
    *state = to[2];
    return true;
}

/* Its first words. A fork that did not become another program has those of its parent. */
static enum crowd_role role_of(pid_t pid, const char *name, const struct lab *lab)
{
    static const struct {
        const char *word;
        enum crowd_role role;
    } verbs[] = {{"serve", CROWD_PLANE},
                 {"agent", CROWD_AGENT},
                 {"relay", CROWD_RELAY},
                 {"service", CROWD_SERVICE},
                 {"helper", CROWD_HELPER}};
    char line[4096] = "";
    if (strcmp(name, "warden") == 0)
        return CROWD_WARDEN;
    if (strncmp(name, "leash", 5) == 0)
        return strcmp(name, "leash") == 0 ? CROWD_LEASH : CROWD_GUARD;
    size_t length = slurp(pid, "cmdline", line, sizeof line), first = strlen(line) + 1;
    if (strstr(line, lab->service) || strcmp(line, "/bin/sh") == 0) /* the shell is about to become it */
        return CROWD_SERVICE;
    for (size_t i = 0; i < COUNT_OF(verbs) && first < length; i++)
        if (strcmp(line + first, verbs[i].word) == 0)
            return verbs[i].role;
    return CROWD_OTHER;
}

static pid_t parent_of(pid_t pid)
{
    char text[512];
    slurp(pid, "stat", text, sizeof text);
    const char *to = strrchr(text, ')');
    int parent = 0;
    return to && sscanf(to + 1, " %*c %d", &parent) == 1 ? parent : 0;
}

/* By its nearest ancestor that is a node agent of the lab. */
static int node_of(pid_t pid, const struct lab *lab)
{
    for (int depth = 0; pid > 1 && depth < 8; depth++, pid = parent_of(pid))
        for (size_t i = 0; i < lab->node_count; i++)
            if (lab->nodes[i].pid == pid)
                return (int)i;
    return -1;
}

void crowd_look(struct crowd *crowd, const struct lab *lab)
{
    DIR *processes = opendir("/proc");
    crowd->count = 0;
    for (struct dirent *entry; processes && (entry = readdir(processes));) {
        struct crowd_member member = {.pid = (pid_t)atoi(entry->d_name)};
        char name[32];
        if (member.pid <= 1 || !is_of_lab(member.pid, lab) || !read_stat(member.pid, name, &member.state) ||
            member.state == 'Z' || crowd->count == CROWD_MAX)
            continue;
        member.role = role_of(member.pid, name, lab);
        member.node = node_of(member.pid, lab);
        crowd->member[crowd->count++] = member;
    }
    if (processes)
        closedir(processes);
}

void crowd_judge(const struct crowd *crowd, const struct lab *lab, struct text *left)
{
    unsigned seen[LAB_NODES_MAX][CROWD_ROLES] = {{0}};
    for (size_t i = 0; i < crowd->count; i++) {
        const struct crowd_member *member = &crowd->member[i];
        enum crowd_role role = member->role;
        const char *of = member->node >= 0 ? lab->nodes[member->node].name : "nobody";
        bool may_be = member->pid == lab->plane;
        if (member->node >= 0 && role != CROWD_PLANE && role <= CROWD_SERVICE)
            may_be = seen[member->node][role]++ == 0;
        if (!may_be)
            text_addf(left, "%s %d of %s; ", crowd_role_names[role], (int)member->pid, of);
        else if (member->state == 'T')
            text_addf(left, "%s %d of %s is stopped; ", crowd_role_names[role], (int)member->pid, of);
    }
}

/* --- files ---------------------------------------------------------------------------------------------- */

static struct text *files_left;

static int judge_file(const char *path, const struct stat *status, int what, struct FTW *where)
{
    (void)status, (void)where;
    const char *name = strrchr(path, '/');
    if (what == FTW_F && (strstr(path, "/scratch/") || strcmp(name, "/fault") == 0))
        text_addf(files_left, "%s; ", path);
    return 0;
}

void crowd_judge_files(const char *folder, struct text *left)
{
    files_left = left;
    nftw(folder, judge_file, 16, FTW_PHYS);
}

/* --- users ---------------------------------------------------------------------------------------------- */

static int connect_to(const char *address)
{
    char host[64];
    const char *colon = strrchr(address, ':');
    if (!colon || colon - address >= (long)sizeof host)
        return -1;
    snprintf(host, sizeof host, "%.*s", (int)(colon - address), address);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(colon + 1))};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 &&
        (inet_pton(AF_INET, host, &to.sin_addr) != 1 || connect(fd, (struct sockaddr *)&to, sizeof to) < 0)) {
        close(fd);
        fd = -1;
    }
    return fd;
}

/* True if something came back within two seconds; `*fine`: and it was no error. */
static bool ask_once(const char *address, const char *request, bool *fine)
{
    char answer[64] = "";
    int fd = connect_to(address);
    if (fd < 0)
        return false;
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    bool answered = send(fd, request, strlen(request), MSG_NOSIGNAL) > 0 && poll(&ready, 1, 2000) > 0 &&
                    recv(fd, answer, sizeof answer - 1, 0) > 0;
    close(fd);
    /* "No such key" is the right answer for as long as nobody's write has come through. */
    *fine = strncmp(request, "PING", 4) == 0 || strncmp(answer, "HTTP/1.1 2", 10) == 0 ||
            strncmp(answer, "HTTP/1.1 404", 12) == 0;
    return answered;
}

static int by_size(const void *a, const void *b)
{
    duration x = *(const duration *)a, y = *(const duration *)b;
    return (x > y) - (x < y);
}

struct crowd_users crowd_ask_users(const char *address, bool speaks_http)
{
    enum { USERS = 8 };
    static const char write[] = "PUT /kv/crowd HTTP/1.1\r\nHost: user\r\nContent-Length: 1\r\n\r\nx";
    static const char read[] = "GET /kv/crowd HTTP/1.1\r\nHost: user\r\n\r\n";
    struct crowd_users users = {0};
    duration took_ns[USERS];
    for (int i = 0; i < USERS; i++) {
        int64_t from_ns = monotonic_ns();
        bool fine = false;
        if (!ask_once(address, speaks_http ? i % 2 ? read : write : "PING\r\n", &fine))
            continue;
        took_ns[users.answered++] = monotonic_ns() - from_ns;
        users.failed += !fine;
    }
    qsort(took_ns, users.answered, sizeof took_ns[0], by_size);
    users.median_ns = users.answered ? took_ns[users.answered / 2] : 0;
    return users;
}
