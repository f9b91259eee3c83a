/* The load: the users of a node. They come at a steady rate whether or not earlier ones have been answered
 * (an open loop), through the relay, and give up after one second.
 *
 * The built-in service gets 80 % GET and 20 % PUT on a few hundred keys; a program of one's own gets its
 * probe, ten times a second. */
#ifndef AGENT_LOAD_H
#define AGENT_LOAD_H

#include <stdbool.h>

struct event_base;
struct load;

struct load_options {
    int port;          /* the relay's, on 127.0.0.1 */
    double rate;       /* requests per second, 0 .. 5000; for the built-in service only */
    const char *probe; /* NULL: the built-in service; else http:PATH, tcp, tcp:TEXT or tcp:TEXT => ANSWER */
};

/* True if `probe` is one of the forms above. */
bool load_probe_is_legal(const char *probe);

/* NULL if out of memory. A rate of 0: no users. */
struct load *load_new(struct event_base *base, const struct load_options *options);
void load_free(struct load **load);

/* Paused users send nothing; what is under way ends as it may. */
void load_pause(struct load *load, bool paused);

/* So many times their usual requests, > 0; 1: as usual. At most 5000 a second come of it. */
void load_surge(struct load *load, double factor);

/* Each failed request is tried again at once, up to that often; 0: no (the usual). At most 4000 requests are
 * under way at a time; users beyond that are turned away unheard, and count as refused. A program of one's
 * own is not asked again. */
void load_retry(struct load *load, unsigned retries);

/* Closes connections as they become idle, so that the next requests are spread anew. */
void load_spread(struct load *load);

/* What the users saw since the last call. What 429 turned away is no error, has no latency, and is not
 * answered. */
struct load_sample {
    bool has_rate, has_latency, has_errors; /* false: nothing was sent, or nothing ended */
    double rate_per_s;                      /* requests answered without an error */
    double latency_s;   /* 99th percentile of answers; a time-out counts with its full time */
    double sent_per_s;  /* requests that were made, retries included */
    double error_ratio; /* time-outs, refusals and 5xx among all that ended */
};
void load_take(struct load *load, struct load_sample *sample);

#endif
