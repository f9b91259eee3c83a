/* A control plane that runs out of descriptors: its limit is lowered to what it has open, and newcomers come.
 * Those who are connected go on being answered and stored, it does not turn in circles over those whom it
 * cannot let in, and once there are descriptors again they are let in, all of them.
 *
 * `crash_descriptors HOMEOSTAT SERVICE`. Exit status as audit.h has it; 3: the environment. */
#include "canon.h"

#include "base/check.h"
#include "base/clock.h"
#include "wire/client.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <event2/event.h>
#include <inttypes.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { NEWCOMERS = 30, REPORTS = 60 };

static const duration limit_ns = 20 * SECOND;

/* The node that is connected. */
static struct {
    struct event_base *base;
    struct client *client;
    bool answered;
    int status;
    uint64_t sequence, stored;
} node;

static void on_answer(void *context, const struct answer *answer)
{
    (void)context;
    node.answered = true;
    node.status = answer->status;
    json_t *body = answer->length ? json_loadb(answer->body, answer->length, 0, NULL) : NULL;
    json_t *stored = json_object_get(json_object_get(body, "stored_through"), "sequence");
    node.stored = stored ? (uint64_t)json_integer_value(stored) : node.stored;
    json_decref(body);
}

static int ask(const char *method, const char *path, const char *body)
{
    node.answered = false;
    CHECK(client_send(node.client, method, path, NULL, body, body ? strlen(body) : 0, 5 * SECOND, on_answer,
                      NULL) == 0);
    while (!node.answered)
        event_base_loop(node.base, EVLOOP_ONCE);
    return node.status;
}

static int report(void)
{
    char body[160];
    snprintf(body, sizeof body,
             "{\"boot\":\"00000000000000a1\",\"sequence\":%" PRIu64 ",\"samples\":{\"service_up\":1}}",
             ++node.sequence);
    return ask("POST", "/v1/nodes/real-1/reports", body);
}

static rlim_t descriptors_of(pid_t pid)
{
    char path[64];
    rlim_t highest = 0;
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *folder = opendir(path);
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        rlim_t fd = strtoul(entry->d_name, NULL, 10);
        highest = fd > highest ? fd : highest;
    }
    if (folder)
        closedir(folder);
    return highest + 1;
}

static void allow(pid_t pid, rlim_t descriptors)
{
    struct rlimit limit;
    CHECK(prlimit(pid, RLIMIT_NOFILE, NULL, &limit) == 0);
    limit.rlim_cur = descriptors;
    CHECK(prlimit(pid, RLIMIT_NOFILE, &limit, NULL) == 0);
}

/* Of all its threads. */
static double cpu_seconds(pid_t pid)
{
    char path[64], text[1024] = "";
    unsigned long user = 0, system = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "re");
    const char *rest = file && fgets(text, sizeof text, file) ? strrchr(text, ')') : NULL;
    if (file)
        fclose(file);
    CHECK(rest && sscanf(rest, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) == 2);
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

static int knock(int port)
{
    char text[128];
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int length = snprintf(text, sizeof text,
                          "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: close\r\n\r\n", port);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) < 0 ||
        send(fd, text, (size_t)length, MSG_NOSIGNAL) != length)
        lab_give_up("nobody listens");
    return fd;
}

static bool is_answered(int fd, duration wait_ns)
{
    char text[64] = "";
    struct pollfd waits = {.fd = fd, .events = POLLIN};
    return poll(&waits, 1, (int)(wait_ns / MILLISECOND)) == 1 && recv(fd, text, sizeof text - 1, 0) > 0 &&
           strncmp(text, "HTTP/1.1 200", 12) == 0;
}

static void come_in(struct lab *lab)
{
    lab_start_plane(lab, NULL);
    node.base = event_base_new();
    struct client_options client = {.host = "127.0.0.1", .port = lab->port, .connections = 1};
    node.client = client_new(node.base, &client);
    CHECK(node.base && node.client);
    for (int64_t by_ns = monotonic_ns() + limit_ns;
         ask("PUT", "/v1/nodes/real-1", "{\"boot\":\"00000000000000a1\",\"interval_s\":0.1}") != 200 ||
         report() != 200;
         lab_nap(10 * MILLISECOND))
        if (monotonic_ns() > by_ns)
            lab_give_up("the control plane does not come up; see %s", lab->folder);
}

static void go_on_without(struct lab *lab, struct audit *audit, const int *newcomers)
{
    double cpu_from = cpu_seconds(lab->plane);
    int64_t from_ns = monotonic_ns();
    uint64_t before = node.sequence;
    for (int i = 0; i < REPORTS; i++, lab_nap(50 * MILLISECOND))
        if (report() != 200)
            audit_find(audit, AUDIT_LOST, "a report was answered with %d", node.status);
    double took_s = duration_seconds(monotonic_ns() - from_ns), cpu_s = cpu_seconds(lab->plane) - cpu_from;
    printf("without descriptors: %d reports in %.1f s, %.2f s of CPU\n", REPORTS, took_s, cpu_s);
    if (cpu_s > took_s / 2)
        audit_find(audit, AUDIT_STUCK, "the control plane turns in circles: %.2f s of CPU in %.2f s", cpu_s,
                   took_s);
    if (node.stored <= before)
        audit_find(audit, AUDIT_LOST, "nothing was stored meanwhile");
    for (int i = 0; i < NEWCOMERS; i++)
        if (is_answered(newcomers[i], 0))
            audit_find(audit, AUDIT_ILLEGAL, "a newcomer was let in: there were descriptors after all");
}

int main(int argc, char **argv)
{
    struct lab lab;
    struct audit audit = {0};
    int newcomers[NEWCOMERS], late = 0;
    if (argc != 3) {
        fprintf(stderr, "usage: crash_descriptors HOMEOSTAT SERVICE\n");
        return 2;
    }
    lab_open(&lab, argv[1], argv[2], 1, canon_policy);
    come_in(&lab);
    allow(lab.plane, descriptors_of(lab.plane));
    for (int i = 0; i < NEWCOMERS; i++)
        newcomers[i] = knock(lab.port);
    go_on_without(&lab, &audit, newcomers);
    allow(lab.plane, 1024);
    for (int i = 0; i < NEWCOMERS; i++) {
        late += !is_answered(newcomers[i], limit_ns);
        close(newcomers[i]);
    }
    if (late > 0)
        audit_find(&audit, AUDIT_STUCK, "%d of %d are not let in", late, NEWCOMERS);
    if (report() != 200)
        audit_find(&audit, AUDIT_LOST, "a report was answered with %d", node.status);
    client_free(&node.client);
    event_base_free(node.base);
    lab_close(&lab, audit_status(&audit) != 0);
    printf("%d newcomers let in afterwards\n", NEWCOMERS - late);
    return audit_status(&audit);
}
