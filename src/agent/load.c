#include "agent/load.h"

#include "base/check.h"
#include "base/clock.h"
#include "agent/knock.h"
#include "base/histogram.h"
#include "wire/client.h"

#include <event2/event.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    KEYS = 300,
    CONNECTIONS = 256,
    UNDER_WAY_MAX = 4000,
    QUEUE = UNDER_WAY_MAX - CONNECTIONS,
    ANSWER_BYTES_MAX = 1 << 20,
    VALUE_BYTES = 64,
    RATE_MAX = 5000
};

#define TURNED_AWAY 429 /* HTTP: too many requests */

static const duration timeout_ns = SECOND;
static const double probes_per_second = 10;

/* One who asks the built-in service, until he is answered or gives up. */
struct user {
    struct load *load;
    uint64_t random; /* what he asks for */
    bool writes;
    unsigned retries; /* so far */
};

struct load {
    struct client *client;   /* or NULL */
    struct knocker *knocker; /* or NULL */
    struct event *timer;
    const char *path; /* of an http probe */
    double rate, factor;
    double owed; /* requests that are due, with a fraction */
    int64_t last_ns, taken_ns;
    uint64_t random;
    uint32_t turn;
    unsigned retries;
    uint32_t sent, ended, failed, turned_away; /* since the last load_take() */
    struct histogram latencies;
    bool paused, closing;
};

/* --- one request ---------------------------------------------------------------------------------------- */

/* True if it failed. */
static bool count_answer(struct load *load, int status, duration took_ns)
{
    bool failed = status == 0 || status >= 500;
    bool timed_out = status == 0 && took_ns >= timeout_ns - 5 * MILLISECOND;
    load->ended++;
    load->failed += failed;
    load->turned_away += status == TURNED_AWAY;
    /* A refusal is quick, and would make a dead service look fast. */
    if ((status != 0 && status != TURNED_AWAY) || timed_out)
        histogram_add(&load->latencies, took_ns);
    return failed;
}

static void on_knock(void *context, bool answered, duration took_ns)
{
    count_answer(context, answered ? 200 : 0, took_ns);
}

static void on_probe(void *context, const struct answer *answer)
{
    count_answer(context, answer->status, answer->took_ns);
}

static void ask(struct user *user);

static void on_answer(void *context, const struct answer *answer)
{
    struct user *user = context;
    struct load *load = user->load;
    bool failed = count_answer(load, answer->status, answer->took_ns);
    if (failed && user->retries < load->retries && !load->paused && !load->closing) {
        user->retries++;
        load->sent++;
        ask(user);
    } else {
        free(user);
    }
}

/* Marsaglia's xorshift64: which key is asked for need not be any better than that. */
static uint64_t next_random(struct load *load)
{
    load->random ^= load->random << 13;
    load->random ^= load->random >> 7;
    load->random ^= load->random << 17;
    return load->random;
}

/* As many wait as can wait. */
static void count_unheard(struct load *load)
{
    load->ended++;
    load->failed++;
}

static void ask(struct user *user)
{
    struct load *load = user->load;
    char path[32], value[VALUE_BYTES];
    const char *method = user->writes ? "PUT" : "GET";
    snprintf(path, sizeof path, "/kv/user-%u", (unsigned)(user->random % KEYS));
    memset(value, 'a' + (int)(user->random >> 48) % 26, VALUE_BYTES);
    if (client_send(load->client, method, path, "application/octet-stream", user->writes ? value : NULL,
                    user->writes ? VALUE_BYTES : 0, timeout_ns, on_answer, user) < 0) {
        count_unheard(load);
        free(user);
    }
}

static void probe(struct load *load)
{
    int error = load->knocker
                    ? knock(load->knocker)
                    : client_send(load->client, "GET", load->path, NULL, NULL, 0, timeout_ns, on_probe, load);
    if (error < 0)
        count_unheard(load);
}

static void come(struct load *load)
{
    load->sent++;
    if (load->knocker || load->path) {
        probe(load);
        return;
    }
    struct user *user = malloc(sizeof *user);
    if (!user) {
        count_unheard(load);
        return;
    }
    /* Writers by turns, so that every interval has some. */
    *user = (struct user){.load = load, .random = next_random(load), .writes = ++load->turn % 5 == 0};
    ask(user);
}

static double rate_of(const struct load *load)
{
    double rate = load->rate * load->factor;
    return rate < RATE_MAX ? rate : RATE_MAX;
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    struct load *load = context;
    int64_t now_ns = monotonic_ns();
    duration since_ns = now_ns - load->last_ns;
    load->last_ns = now_ns;
    if (load->paused)
        return;
    /* Users do not make up for what they could not send while this process slept. */
    load->owed += rate_of(load) * duration_seconds(since_ns < SECOND ? since_ns : SECOND);
    for (; load->owed >= 1; load->owed -= 1)
        come(load);
}

/* At their pace, but no oftener than the loop's own grain makes sense. False without memory. */
static bool set_pace(struct load *load)
{
    if (load->rate <= 0)
        return true;
    duration period_ns = duration_from_seconds(1 / rate_of(load));
    struct timeval period = timeval_of(period_ns > 2 * MILLISECOND ? period_ns : 2 * MILLISECOND);
    return event_add(load->timer, &period) == 0;
}

/* --- the life ------------------------------------------------------------------------------------------- */

bool load_probe_is_legal(const char *probe)
{
    return strncmp(probe, "http:/", 6) == 0 || strcmp(probe, "tcp") == 0 ||
           (strncmp(probe, "tcp:", 4) == 0 && strlen(probe) <= KNOCK_WANTED_MAX);
}

/* tcp, tcp:TEXT or tcp:TEXT => ANSWER, of a legal length. */
static struct knocker *open_knocker(struct load *load, struct event_base *base, int port, const char *probe)
{
    static const char arrow[] = " => ";
    char text[KNOCK_WANTED_MAX + 1] = "";
    if (probe[3] == ':')
        snprintf(text, sizeof text, "%s", probe + 4);
    char *wanted = strstr(text, arrow);
    if (wanted) {
        *wanted = '\0';
        wanted += strlen(arrow);
    }
    return knocker_new(base, port, text, wanted, timeout_ns, on_knock, load);
}

static bool open_way(struct load *load, struct event_base *base, const struct load_options *options)
{
    const char *probe = options->probe;
    if (probe)
        load->rate = probes_per_second;
    if (probe && strncmp(probe, "tcp", 3) == 0) {
        load->knocker = open_knocker(load, base, options->port, probe);
        return load->knocker != NULL;
    }
    load->path = probe ? probe + strlen("http:") : NULL;
    struct client_options client = {.host = "127.0.0.1",
                                    .port = options->port,
                                    .connections = CONNECTIONS,
                                    .queue = QUEUE,
                                    .answer_bytes_limit = ANSWER_BYTES_MAX};
    load->client = client_new(base, &client);
    return load->client != NULL;
}

struct load *load_new(struct event_base *base, const struct load_options *options)
{
    struct load *load = calloc(1, sizeof *load);
    if (!load)
        return NULL;
    load->rate = options->rate;
    load->factor = 1;
    load->last_ns = load->taken_ns = monotonic_ns();
    load->random = (uint64_t)load->last_ns * 2 + 1;
    load->timer = event_new(base, -1, EV_PERSIST, on_timer, load);
    if (!load->timer || !open_way(load, base, options) || !set_pace(load))
        load_free(&load);
    return load;
}

void load_free(struct load **owner)
{
    struct load *load = *owner;
    *owner = NULL;
    if (!load)
        return;
    load->closing = true; /* nobody tries again */
    if (load->timer)
        event_free(load->timer);
    if (load->client)
        client_free(&load->client);
    knocker_free(&load->knocker);
    free(load);
}

void load_pause(struct load *load, bool paused)
{
    load->paused = paused;
    load->owed = 0;
}

void load_surge(struct load *load, double factor)
{
    CHECK(factor > 0);
    load->factor = factor;
    set_pace(load); /* if it fails, they come in bunches */
}

void load_retry(struct load *load, unsigned retries)
{
    load->retries = retries;
}

void load_spread(struct load *load)
{
    if (load->client)
        client_renew(load->client);
}

void load_take(struct load *load, struct load_sample *sample)
{
    int64_t now_ns = monotonic_ns();
    double elapsed_s = duration_seconds(now_ns - load->taken_ns);
    *sample = (struct load_sample){0};
    if ((load->sent > 0 || load->ended > 0) && elapsed_s > 0) {
        sample->has_rate = true;
        sample->rate_per_s = (double)(load->ended - load->failed - load->turned_away) / elapsed_s;
        sample->sent_per_s = (double)load->sent / elapsed_s;
    }
    if (load->latencies.total > 0) {
        sample->has_latency = true;
        sample->latency_s = duration_seconds(histogram_quantile(&load->latencies, 0.99));
    }
    if (load->ended > 0) {
        sample->has_errors = true;
        sample->error_ratio = (double)load->failed / load->ended;
    }
    histogram_clear(&load->latencies);
    load->taken_ns = now_ns;
    load->sent = load->ended = load->failed = load->turned_away = 0;
}
