#include "load.h"

#include "plant.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    DIGITS = 7, /* of a sequence number; they begin at 1000000, so that their length never changes */
    ANSWER_MAX = 8192,
    SLOTS = 20000 /* of latencies, 10 us each */
};

struct message {
    char *bytes;
    size_t length;
    int places; /* of sequence numbers in it */
    char **digits;
};

struct link {
    int fd;
    struct message *messages;
    int count, next;
    uint64_t sequence, asked; /* asked: how many requests it has sent */
    double sent_at;
    char answer[ANSWER_MAX];
    size_t got;
};

struct run {
    struct load *load;
    struct link *links;
    int epoll_fd;
    uint32_t slots[SLOTS + 1];
    uint64_t answers, repeats;
    double until, most_s;
    char accepted[32];
};

/* --- what is said --- */

/* About 250 bytes: what a node agent reports of one node. Ages keep the reports of one request apart. */
static int add_report(char *to, size_t size, const struct load *load, int node, char **digits)
{
    int length = 0;
    if (load->batch)
        length = snprintf(to, size, "{\"node\":\"node-%d\",\"boot\":", node);
    else
        length = snprintf(to, size, "{\"boot\":");
    length += snprintf(to + length, size - (size_t)length, "\"%016x\",\"sequence\":", 0xbe9c000 + node);
    *digits = to + length;
    length +=
        snprintf(to + length, size - (size_t)length,
                 "1000000,\"age_s\":0.000,\"samples\":{\"cpu_utilization\":0.%03d,\"memory_bytes\":%d,"
                 "\"service_up\":%d,\"service_starts\":1,\"request_rate\":19.%d,"
                 "\"request_latency\":0.00%d,\"error_ratio\":0,\"storage_latency\":0.00021%d}}",
                 20 + node % 90, 8400000 + node, load->sick ? 0 : 1, node % 100, 1 + node % 9, node % 10);
    return length;
}

static void make_message(struct message *message, const struct load *load, int first, int count)
{
    size_t room = (size_t)count * 400 + 64, used = 0;
    char *body = malloc(room), path[64] = "/v1/reports";
    message->digits = calloc((size_t)count, sizeof(*message->digits));
    message->bytes = malloc(room + 256);
    if (!body || !message->digits || !message->bytes)
        give_up("no memory");
    if (load->batch)
        used += (size_t)snprintf(body, room, "{\"reports\":[");
    else
        snprintf(path, sizeof(path), "/v1/nodes/node-%d/reports", first);
    for (int i = 0; i < count; i++) {
        if (i > 0)
            body[used++] = ',';
        used += (size_t)add_report(body + used, room - used, load, first + i, &message->digits[i]);
    }
    if (load->batch)
        used += (size_t)snprintf(body + used, room - used, "]}");
    int head = snprintf(message->bytes, 256,
                        "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\n"
                        "Content-Length: %zu\r\n\r\n",
                        path, load->port, used);
    memcpy(message->bytes + head, body, used);
    for (int i = 0; i < count; i++)
        message->digits[i] = message->bytes + head + (message->digits[i] - body);
    message->length = (size_t)head + used;
    message->places = count;
    free(body);
}

static void make_link(struct link *link, const struct load *load, int index)
{
    int units = load->batch ? load->nodes / load->batch : load->nodes;
    link->messages = calloc((size_t)(units / load->connections + 1), sizeof(*link->messages));
    if (!link->messages)
        give_up("no memory");
    for (int unit = index; unit < units; unit += load->connections) {
        int each = load->batch ? load->batch : 1;
        make_message(&link->messages[link->count++], load, unit * each, each);
    }
    link->sequence = load->sequence;
    link->fd = connect_to(load->port);
    fcntl(link->fd, F_SETFL, O_NONBLOCK);
}

static void free_link(struct link *link)
{
    for (int i = 0; i < link->count; i++) {
        free(link->messages[i].bytes);
        free(link->messages[i].digits);
    }
    free(link->messages);
}

/* --- saying it --- */

/* All of it fits into the socket's buffer, except a batch now and then. */
static void send_all(struct link *link, const struct message *message)
{
    size_t sent = 0;
    while (sent < message->length) {
        ssize_t more = send(link->fd, message->bytes + sent, message->length - sent, MSG_NOSIGNAL);
        if (more < 0 && errno != EAGAIN)
            give_up("a connection broke: %s", strerror(errno));
        sent += more > 0 ? (size_t)more : 0;
    }
}

static void say_next(struct link *link)
{
    struct message *message = &link->messages[link->next];
    link->sequence += link->next == 0;
    char digits[DIGITS + 1];
    snprintf(digits, sizeof(digits), "%07llu", 1000000 + (unsigned long long)link->sequence % 9000000);
    for (int i = 0; i < message->places; i++)
        memcpy(message->digits[i], digits, DIGITS);
    link->next = (link->next + 1) % link->count;
    link->asked++;
    link->sent_at = now_s();
    send_all(link, message);
}

static void say_again(struct link *link)
{
    double sent_at = link->sent_at;
    link->next = (link->next ? link->next : link->count) - 1;
    link->asked--;
    link->got = 0;
    link->sequence++;
    say_next(link);
    link->sent_at = sent_at;
}

/* True when the answer is whole; then it has been looked at. */
static bool answer_is_whole(const struct run *run, struct link *link)
{
    link->answer[link->got] = '\0';
    char *body = strstr(link->answer, "\r\n\r\n");
    char *length = body ? strcasestr(link->answer, "\ncontent-length:") : NULL;
    if (!length || link->got < (size_t)(body + 4 - link->answer) + strtoul(length + 16, NULL, 10))
        return false;
    if (strncmp(link->answer, "HTTP/1.1 200", 12) != 0 || !strstr(body, run->accepted))
        give_up("an answer is not as it should be: %s", link->answer);
    return true;
}

static bool wants_more(const struct run *run, const struct link *link, double now)
{
    return run->load->run_s > 0 ? now < run->until
                                : link->asked < (uint64_t)run->load->rounds * (uint64_t)link->count;
}

/* True while it has something under way. */
static bool hear(struct run *run, struct link *link)
{
    ssize_t more = read(link->fd, link->answer + link->got, sizeof(link->answer) - 1 - link->got);
    if (more == 0 || (more < 0 && errno != EAGAIN))
        give_up("a connection broke: %s", more ? strerror(errno) : "it was closed");
    link->got += more > 0 ? (size_t)more : 0;
    if (!answer_is_whole(run, link))
        return true;
    if (run->load->sick && !strstr(link->answer, "\"remedy\":")) {
        say_again(link); /* the incident is known, its plan is still in the queue */
        run->repeats++;
        return true;
    }
    double now = now_s(), took_s = now - link->sent_at, slot = took_s * 1e5;
    if (took_s > run->most_s)
        run->most_s = took_s;
    run->slots[slot < SLOTS ? (int)slot : SLOTS]++;
    run->answers++;
    link->got = 0;
    if (!wants_more(run, link, now))
        return false;
    say_next(link);
    return true;
}

static double quantile_ms(const struct run *run, double share)
{
    uint64_t below = 0, wanted = (uint64_t)((double)run->answers * share);
    int slot = 0;
    while (slot < SLOTS && (below += run->slots[slot]) <= wanted)
        slot++;
    return (slot + 1) / 100.0;
}

static void run_all(struct run *run)
{
    int under_way = 0;
    struct epoll_event ready[64];
    for (int i = 0; i < run->load->connections; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &run->links[i]};
        epoll_ctl(run->epoll_fd, EPOLL_CTL_ADD, run->links[i].fd, &event);
        if (run->links[i].count > 0) {
            say_next(&run->links[i]);
            under_way++;
        }
    }
    while (under_way > 0) {
        int count = epoll_wait(run->epoll_fd, ready, 64, 10000);
        if (count == 0)
            give_up("no answer for ten seconds");
        for (int i = 0; i < count; i++)
            under_way -= !hear(run, ready[i].data.ptr);
    }
}

void load_run(struct load *load, struct load_result *result)
{
    static struct run run; /* large */
    run = (struct run){.load = load, .epoll_fd = epoll_create1(EPOLL_CLOEXEC)};
    run.links = calloc((size_t)load->connections, sizeof(*run.links));
    if (!run.links || load->connections > LOAD_CONNECTIONS_MAX)
        give_up("no memory");
    snprintf(run.accepted, sizeof(run.accepted), "\"accepted\":%d", load->batch ? load->batch : 1);
    for (int i = 0; i < load->connections; i++)
        make_link(&run.links[i], load, i);
    double begun = now_s();
    run.until = begun + load->run_s;
    run_all(&run);
    *result = (struct load_result){.answers = run.answers, .repeats = run.repeats, .took_s = now_s() - begun};
    result->reports = run.answers * (uint64_t)(load->batch ? load->batch : 1);
    result->p50_ms = quantile_ms(&run, 0.5);
    result->p99_ms = quantile_ms(&run, 0.99);
    result->most_ms = run.most_s * 1000;
    for (int i = 0; i < load->connections; i++) {
        if (run.links[i].sequence > load->sequence)
            load->sequence = run.links[i].sequence;
        result->idle[result->idle_count++] = run.links[i].fd;
        free_link(&run.links[i]);
    }
    free(run.links);
    close(run.epoll_fd);
}

void load_close(struct load_result *result)
{
    while (result->idle_count > 0)
        close(result->idle[--result->idle_count]);
}
