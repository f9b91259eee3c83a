/* A load: many nodes that report as fast as they are answered, over keep-alive connections on raw sockets.
 *
 * Requests are prebuilt; only their sequence numbers rise. Every answer is looked at: it must be a 200 that
 * has accepted all that was sent. A connection sends its next request when its last one was answered. */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <stdint.h>

struct load {
    int port;
    int connections;
    int nodes;    /* shared out among the connections */
    int batch;    /* 0: a report a request; else so many nodes a request, to POST /v1/reports */
    double run_s; /* how long; 0: until each node has reported `rounds` times */
    int rounds;
    int sick; /* 1: their services are down: a report is repeated until its answer carries a command */
    uint64_t sequence; /* of the last reports; the next load of the same nodes goes on from there */
};

struct load_result {
    uint64_t answers, repeats, reports;
    double took_s;
    double p50_ms, p99_ms, most_ms; /* from the sending of a request to its answer */
    int idle[4096];                 /* the sockets, still connected; the caller closes them */
    int idle_count;
};

enum { LOAD_CONNECTIONS_MAX = 4096 };

void load_run(struct load *load, struct load_result *result);
void load_close(struct load_result *result);

#endif
