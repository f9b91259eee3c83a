/* A hundred node agents as the control plane sees them: each keeps its connection and reports once a second,
 * whether its last report was answered in time or not. A latency counts from the instant at which the report
 * was due, so that nothing is left out that somebody had to wait for. Their phases are spread over the
 * second, and each interval is up to 5 % longer or shorter, or some of them would meet the same timer of the
 * control plane each time. */
#include "slow/slow.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static const duration interval_ns = SECOND, patience_ns = 10 * SECOND;

struct node_agent {
    int number, fd;
    bool asked; /* its report is under way */
    int sequence;
    instant due_at, sent_at; /* of the report that is under way, or comes next */
    duration waited_ns;      /* for a processor, by the loop and us together, when it was sent */
    enum phase phase;
    char answer[8192];
    size_t answer_bytes;
};

struct fleet {
    struct shared *shared;
    int epoll, under_way, plane_waits, own_waits;
    unsigned seed;
    struct node_agent agents[NODE_AGENTS];
};

static void connect_one(struct fleet *fleet, struct node_agent *agent)
{
    struct epoll_event wanted = {.events = EPOLLIN, .data.ptr = agent};
    agent->fd = slow_connect(fleet->shared, 0);
    if (agent->fd < 0 || epoll_ctl(fleet->epoll, EPOLL_CTL_ADD, agent->fd, &wanted) != 0)
        bail("a node agent cannot connect");
}

static duration waited_of(int fd)
{
    char text[96];
    long long ran = 0, waited = 0;
    ssize_t got = fd < 0 ? 0 : pread(fd, text, sizeof text - 1, 0);
    text[got > 0 ? got : 0] = '\0';
    (void)sscanf(text, "%lld %lld", &ran, &waited);
    return waited;
}

static duration waited_ns(const struct fleet *fleet)
{
    return waited_of(fleet->plane_waits) + waited_of(fleet->own_waits);
}

static void note(struct fleet *fleet, struct node_agent *agent, bool good)
{
    struct tally *tally = &fleet->shared->tallies[agent->phase];
    fleet->under_way--;
    agent->asked = false;
    if (!good) {
        tally->failed++;
    } else {
        if (tally->count == ANSWERED_MAX)
            bail("there are too many reports");
        instant now = monotonic_ns();
        duration own_ns = now - agent->sent_at - (waited_ns(fleet) - agent->waited_ns);
        tally->answered[tally->count++] = (struct answered){
            .due_at = agent->due_at, .latency_ns = now - agent->due_at, .own_ns = own_ns > 0 ? own_ns : 0};
        tally->good++;
    }
    /* One that was late by more than an interval is due already. */
    agent->due_at += interval_ns / 100 * (95 + rand_r(&fleet->seed) % 11);
}

static void was_cut(struct fleet *fleet, struct node_agent *agent)
{
    close(agent->fd);
    connect_one(fleet, agent);
    if (agent->asked)
        note(fleet, agent, false);
}

/* As the built-in node agent's reports are: all that a healthy node measures. */
static void report(struct fleet *fleet, struct node_agent *agent)
{
    char body[1024], text[1536];
    agent->phase = (enum phase)atomic_load(&fleet->shared->phase);
    agent->waited_ns = waited_ns(fleet);
    agent->sent_at = monotonic_ns();
    int body_bytes = snprintf(
        body, sizeof body,
        "{\"boot\":\"%016x\",\"sequence\":%d,\"age_s\":%.6f,\"samples\":{\"cpu_utilization\":0.0%d,"
        "\"request_latency\":0.00231,\"error_ratio\":0,\"storage_latency\":0.00087,"
        "\"network_latency\":0.00012,\"filesystem_utilization\":0.41,\"neighbour_cpu_utilization\":0.22,"
        "\"node_memory_utilization\":0.37}}",
        agent->number + 1, ++agent->sequence, duration_seconds(agent->sent_at - agent->due_at),
        agent->number % 9 + 1);
    int bytes = snprintf(text, sizeof text,
                         "POST /v1/nodes/node-%d/reports HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
                         "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
                         agent->number, fleet->shared->port, body_bytes, body);
    agent->asked = true;
    agent->answer_bytes = 0;
    fleet->under_way++;
    fleet->shared->tallies[agent->phase].due++;
    if (send(agent->fd, text, (size_t)bytes, MSG_NOSIGNAL | MSG_DONTWAIT) != bytes)
        was_cut(fleet, agent);
}

/* All of an answer is there when its body is as long as its head says. */
static bool complete(const struct node_agent *agent)
{
    static const char field[] = "Content-Length: ";
    const char *end = strstr(agent->answer, "\r\n\r\n"), *length = strcasestr(agent->answer, field);
    return end && length && length < end &&
           agent->answer_bytes >=
               (size_t)(end + 4 - agent->answer) + strtoul(length + sizeof field - 1, NULL, 10);
}

static void hear(struct fleet *fleet, struct node_agent *agent)
{
    size_t room = sizeof agent->answer - 1 - agent->answer_bytes;
    ssize_t got = recv(agent->fd, agent->answer + agent->answer_bytes, room, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0 || !agent->asked) {
        was_cut(fleet, agent);
        return;
    }
    agent->answer_bytes += (size_t)got;
    agent->answer[agent->answer_bytes] = '\0';
    if (complete(agent))
        note(fleet, agent, strncmp(agent->answer, "HTTP/1.1 200", 12) == 0);
}

/* Returns when somebody is next to be looked at. */
static instant take_turns(struct fleet *fleet, instant now, bool over)
{
    instant next_at = now + 50 * MILLISECOND;
    for (struct node_agent *agent = fleet->agents; agent < fleet->agents + NODE_AGENTS; agent++) {
        if (agent->asked && now - agent->sent_at > patience_ns)
            was_cut(fleet, agent);
        else if (!agent->asked && !over && now >= agent->due_at)
            report(fleet, agent);
        if (!agent->asked && agent->due_at < next_at)
            next_at = agent->due_at;
    }
    return next_at;
}

_Noreturn void node_agents_run(struct shared *shared)
{
    static struct fleet fleet;
    struct epoll_event events[NODE_AGENTS];
    instant began_at = monotonic_ns();
    fleet = (struct fleet){.shared = shared, .epoll = epoll_create1(EPOLL_CLOEXEC), .seed = 1};
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/schedstat", shared->plane);
    fleet.plane_waits = open(path, O_RDONLY | O_CLOEXEC);
    fleet.own_waits = open("/proc/self/schedstat", O_RDONLY | O_CLOEXEC);
    for (int i = 0; i < NODE_AGENTS; i++) {
        fleet.agents[i] =
            (struct node_agent){.number = i, .due_at = began_at + i * interval_ns / NODE_AGENTS};
        connect_one(&fleet, &fleet.agents[i]);
    }
    for (;;) {
        bool over = atomic_load(&shared->phase) == PHASE_OVER;
        if (over && fleet.under_way == 0)
            _exit(0);
        instant next_at = take_turns(&fleet, monotonic_ns(), over);
        duration wait_ns = next_at - monotonic_ns();
        wait_ns = over ? MILLISECOND : wait_ns < 0 ? 0 : wait_ns;
        const struct timespec wait = {.tv_sec = wait_ns / SECOND, .tv_nsec = wait_ns % SECOND};
        int count = epoll_pwait2(fleet.epoll, events, NODE_AGENTS, &wait, NULL);
        for (int i = 0; i < count; i++)
            hear(&fleet, events[i].data.ptr);
    }
}
