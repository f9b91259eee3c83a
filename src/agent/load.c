#include "agent/load.h"

#include "base/clock.h"
#include "agent/knock.h"
#include "base/histogram.h"
#include "wire/client.h"

#include <event2/event.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEYS = 300, CONNECTIONS = 64, QUEUE = 1024, ANSWER_BYTES_MAX = 1 << 20, VALUE_BYTES = 64 };

static const duration timeout_ns = SECOND;
static const double probes_per_second = 10;

struct load {
    struct client *client;   /* or NULL */
    struct knocker *knocker; /* or NULL */
    struct event *timer;
    const char *path; /* of an http probe */
    double rate;
    double owed; /* requests that are due, with a fraction */
    int64_t last_ns, taken_ns;
    uint64_t random;
    uint32_t turn;
    uint32_t sent, failed; /* since the last load_take() */
    uint32_t refused;      /* of the failed: those that have no latency */
    struct histogram latencies;
    bool paused;
};

/* --- one request ---------------------------------------------------------------------------------------- */

static void on_answer(void *context, const struct answer *answer)
{
    struct load *load = context;
    bool timed_out = answer->status == 0 && answer->took_ns >= timeout_ns - 5 * MILLISECOND;
    if (answer->status == 0 || answer->status >= 500)
        load->failed++;
    /* A refusal is quick, and would make a dead service look fast. */
    if (answer->status != 0 || timed_out)
        histogram_add(&load->latencies, answer->took_ns);
    else
        load->refused++;
}

static void on_knock(void *context, bool answered, duration took_ns)
{
    on_answer(context, &(struct answer){.status = answered ? 200 : 0, .took_ns = took_ns});
}

/* Marsaglia's xorshift64: which key is asked for need not be any better than that. */
static uint64_t next_random(struct load *load)
{
    load->random ^= load->random << 13;
    load->random ^= load->random >> 7;
    load->random ^= load->random << 17;
    return load->random;
}

static int send_one(struct load *load)
{
    if (load->knocker)
        return knock(load->knocker);
    if (load->path)
        return client_send(load->client, "GET", load->path, NULL, NULL, 0, timeout_ns, on_answer, load);
    char path[32], value[VALUE_BYTES + 1];
    uint64_t random = next_random(load);
    snprintf(path, sizeof path, "/kv/user-%u", (unsigned)(random % KEYS));
    if (++load->turn % 5 != 0) /* by turns, so that every interval has its writes */
        return client_send(load->client, "GET", path, NULL, NULL, 0, timeout_ns, on_answer, load);
    memset(value, 'a' + (int)(random >> 48) % 26, VALUE_BYTES);
    return client_send(load->client, "PUT", path, "application/octet-stream", value, VALUE_BYTES, timeout_ns,
                       on_answer, load);
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
    load->owed += load->rate * duration_seconds(since_ns < SECOND ? since_ns : SECOND);
    for (; load->owed >= 1; load->owed -= 1) {
        load->sent++;
        if (send_one(load) < 0) { /* as many wait as can wait */
            load->failed++;
            load->refused++;
        }
    }
}

/* --- the life ------------------------------------------------------------------------------------------- */

bool load_probe_is_legal(const char *probe)
{
    return strncmp(probe, "http:/", 6) == 0 || strcmp(probe, "tcp") == 0 ||
           (strncmp(probe, "tcp:", 4) == 0 && strlen(probe) < 200);
}

static bool open_way(struct load *load, struct event_base *base, const struct load_options *options)
{
    const char *probe = options->probe;
    if (probe)
        load->rate = probes_per_second;
    if (probe && strncmp(probe, "tcp", 3) == 0) {
        load->knocker =
            knocker_new(base, options->port, probe[3] == ':' ? probe + 4 : NULL, timeout_ns, on_knock, load);
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
    load->last_ns = load->taken_ns = monotonic_ns();
    load->random = (uint64_t)load->last_ns * 2 + 1;
    load->timer = event_new(base, -1, EV_PERSIST, on_timer, load);
    bool open = load->timer && open_way(load, base, options);
    duration period_ns = load->rate > 0 ? duration_from_seconds(1 / load->rate) : 0;
    struct timeval period = timeval_of(period_ns > 2 * MILLISECOND ? period_ns : 2 * MILLISECOND);
    if (!open || (load->rate > 0 && event_add(load->timer, &period) < 0))
        load_free(&load);
    return load;
}

void load_free(struct load **owner)
{
    struct load *load = *owner;
    *owner = NULL;
    if (!load)
        return;
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

void load_take(struct load *load, struct load_sample *sample)
{
    int64_t now_ns = monotonic_ns();
    double elapsed_s = duration_seconds(now_ns - load->taken_ns);
    uint64_t ended = load->latencies.total + load->refused;
    *sample = (struct load_sample){0};
    if ((load->sent > 0 || ended > 0) && elapsed_s > 0) {
        sample->has_rate = true;
        sample->rate_per_s = (double)(ended - load->failed) / elapsed_s;
    }
    if (load->latencies.total > 0) {
        sample->has_latency = true;
        sample->latency_s = duration_seconds(histogram_quantile(&load->latencies, 0.99));
    }
    if (ended > 0) {
        sample->has_errors = true;
        sample->error_ratio = (double)load->failed / (double)ended;
    }
    histogram_clear(&load->latencies);
    load->taken_ns = now_ns;
    load->sent = load->failed = load->refused = 0;
}
